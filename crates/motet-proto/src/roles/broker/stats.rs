//! What a broker has counted, and how it stands.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Broker;
use super::task::Refusal;
use crate::ids::EndpointKey;
use crate::time::Time;
use crate::wanted::Kind;

/// What a broker has counted since it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BrokerCounters {
    /// Requests that came.
    pub requests: u64,
    /// Times that a task was given to a worker.
    pub given: u64,
    /// Times that a task was passed to a peer.
    pub forwarded: u64,
    /// Tasks with an answer.
    pub answered: u64,
    /// Times that a task went back to the front.
    pub requeued: u64,
    /// Requests that the caller took back.
    pub cancelled: u64,
    /// Requests dropped because nobody works on the service.
    pub ignored: u64,
    /// Requests refused because nobody works on the service.
    pub no_workers: u64,
    /// Requests refused because too much waits.
    pub overload: u64,
    /// Requests that everybody said no to, time and again.
    pub turned_down: u64,
    /// Requests refused because their deadline was over.
    pub late: u64,
    /// Requests refused because they had been here, or everywhere.
    pub loops: u64,
    /// Requests of which nobody knows whether they ran.
    pub unknown: u64,
    /// Requests refused because this broker ends.
    pub draining: u64,
    /// Tasks left to another broker that acts on them, too.
    pub yielded: u64,
    /// Workers that were silent for too long.
    pub silenced: u64,
    /// Rounds of questions to all workers where a key is.
    pub inquiries: u64,
    /// Answers to them with a number that nobody can have asked with.
    pub absurd: u64,
    /// Workers that spoke again.
    pub returned: u64,
    /// Offers of workers beyond the limit.
    pub workers_refused: u64,
    /// Offers of brokers beyond the limit.
    pub peers_refused: u64,
}

impl BrokerCounters {
    pub(super) fn refuse(&mut self, why: Refusal) {
        *match why {
            Refusal::NoWorkers => &mut self.no_workers,
            Refusal::Overload => &mut self.overload,
            Refusal::DeadlinePassed => &mut self.late,
            Refusal::TurnedDown => &mut self.turned_down,
            Refusal::Loop => &mut self.loops,
            Refusal::Unknown => &mut self.unknown,
            Refusal::Draining => &mut self.draining,
        } += 1;
    }
}

/// Counters, and answers of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pub(super) counters: BrokerCounters,
    /// Answers of the second that runs, and of the one before.
    second: u64,
    now: u64,
    before: u64,
}

impl Meter {
    pub(super) fn answered(&mut self, now: Time) {
        self.turn(now);
        self.now += 1;
    }

    fn turn(&mut self, now: Time) {
        let second = now.0 / 1_000_000_000;
        if second != self.second {
            self.before = if second == self.second + 1 { self.now } else { 0 };
            (self.second, self.now) = (second, 0);
        }
    }
}

/// How one service stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceReport {
    /// Its name.
    pub service: Arc<str>,
    /// Workers that live, at home here or with a peer.
    pub workers: Vec<EndpointKey>,
    /// Requests that can begin at once here.
    pub free: u64,
    /// Requests that wait.
    pub waiting: u64,
    /// Requests that workers have.
    pub running: u64,
    /// Requests taken.
    pub accepted: u64,
    /// Requests answered.
    pub answered: u64,
}

impl Broker {
    /// How each service stands.
    pub fn report(&self) -> Vec<ServiceReport> {
        let each = self.services.iter().map(|(service, entry)| ServiceReport {
            service: Arc::clone(service),
            workers: self.pool.members(service),
            free: self.pool.room(service).unwrap_or_default().0,
            waiting: entry.queue.len() as u64,
            running: self.pool.running(service),
            accepted: entry.accepted,
            answered: entry.answered,
        });
        each.collect()
    }

    /// Answers of the last full second.
    pub fn rate(&mut self, now: Time) -> u64 {
        self.meter.turn(now);
        self.meter.before
    }

    /// The kinds of workers that are there for a service, at home here or with a peer.
    pub fn kinds(&self, service: &str) -> Vec<Kind> {
        self.pool.kinds(service, true).into_iter().cloned().collect()
    }

    /// How many other brokers are known.
    pub fn peers_known(&self) -> usize {
        self.peers.len()
    }

    /// Names of the services that somebody works on.
    pub fn services_known(&self) -> Vec<Arc<str>> {
        self.pool
            .services()
            .filter(|service| !self.pool.members(service).is_empty())
            .cloned()
            .collect()
    }

    /// Whether somebody works on this service, here or behind a peer.
    pub fn knows(&self, service: &str) -> bool {
        !self.pool.members(service).is_empty()
    }
}
