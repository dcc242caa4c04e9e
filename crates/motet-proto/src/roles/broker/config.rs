//! What a broker is told.

use core::time::Duration;

/// What becomes of a request for which no worker is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NoWorkers {
    /// It is dropped: the caller's time runs out.
    Ignore,
    /// The caller is told at once.
    #[default]
    Notify,
    /// Another broker that has workers gets it; without one the caller is told.
    Forward,
    /// It waits until its deadline.
    Wait,
}

/// Settings of a broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BrokerConfig {
    /// What becomes of a request for which no worker is there.
    pub no_workers: NoWorkers,
    /// Requests of one service that may wait; above that they are refused as overload.
    pub high_water: usize,
    /// Requests of all services, waiting or given.
    pub tasks_max: usize,
    /// Time between two signs of life that are asked of a worker: 1 s.
    pub beat: Duration,
    /// Beats without a sign of life after which a worker leaves the pool: 3.
    pub liveness: u32,
    /// First and largest time between two attempts to find a silent worker again: 1 s, 32 s.
    pub back_off: (Duration, Duration),
    /// Time for which a service that has just lost its last worker counts as having one.
    pub grace: Duration,
    /// Time for which a worker that refused gets nothing.
    pub rest: Duration,
    /// Least time between two statements of free room, except when the last room goes or the first
    /// comes.
    pub tell_every: Duration,
    /// Time for which it is known which worker was given a key by another broker.
    pub claim_kept: Duration,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            no_workers: NoWorkers::Notify,
            high_water: 10_000,
            tasks_max: 200_000,
            beat: Duration::from_secs(1),
            liveness: 3,
            back_off: (Duration::from_secs(1), Duration::from_secs(32)),
            grace: Duration::from_secs(3),
            rest: Duration::from_millis(20),
            tell_every: Duration::from_millis(50),
            claim_kept: Duration::from_secs(30),
        }
    }
}
