//! A broker: stands before the instances of services, keeps what they cannot take yet, and gives
//! each task to the worker that has been unused for longest.
//!
//! | goes in | effect |
//! |---|---|
//! | [`Broker::request`] | queued, given, passed to a peer, or refused |
//! | [`Broker::worker`], [`Broker::heard`], [`Broker::gone`] | the pool changes; tasks of the dead go back to the front |
//! | [`Broker::peer`], [`Broker::peer_gone`] | workers change their home; work spills, returns |
//! | [`Broker::claim`] | which other broker acts on which key |
//! | [`Broker::found`], [`Broker::settled`] | where a key is that somebody may have begun |
//! | [`Broker::done`] | the task ends, or is queued again |
//! | [`Broker::tick`] | deadlines, heartbeats, silence |
//!
//! Effects are pulled with [`Broker::poll`]. Bounds: [`BrokerConfig::tasks_max`] tasks,
//! [`WORKERS_MAX`], [`PEERS_MAX`], [`CLAIMS_MAX`]. Not in it: bodies (the host keeps them under the
//! task's number), sockets, names of programs.

mod claims;
mod config;
mod dispatch;
mod inquiries;
mod liveness;
mod peers;
mod pool;
mod stats;
mod task;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

pub use claims::Claim;
use claims::Claims;
pub use config::{BrokerConfig, NoWorkers};
pub use peers::PeerOffer;
use peers::Peers;
use pool::Pool;
pub use pool::WorkerOffer;
use stats::Meter;
pub use stats::{BrokerCounters, ServiceReport};
pub use task::{Asked, Outcome, Refusal, TaskId};
use task::{Given, Service, Standing, Task};

use crate::ids::EndpointKey;
use crate::rng::Rng;
use crate::time::Time;
use crate::wanted::Kind;

/// Workers of one broker.
pub const WORKERS_MAX: usize = 4_096;
/// Services of one broker.
pub const SERVICES_MAX: usize = 1_024;
/// Peers of one broker.
pub const PEERS_MAX: usize = 64;
/// Claims of peers that are kept.
pub const CLAIMS_MAX: usize = 65_536;
/// Brokers that a task may pass. A longer way is refused.
pub const HOPS_MAX: usize = 8;
/// Numbers of inquiries begin above those that a first attempt has.
const FIRST_NUMBER: u64 = 1;
/// Kinds of workers that have left lately, of one service; the oldest are forgotten.
const LEFT_MAX: usize = 64;
/// Times that a task is given before it is refused.
pub const TRIES_MAX: u32 = 16;

/// What the host has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the task there, as one attempt.
    Give {
        /// Which.
        task: TaskId,
        /// A worker, or a peer.
        to: EndpointKey,
        /// It is a peer: this broker's id goes into the list of hops.
        forward: bool,
        /// How often it counts as sent before; to a worker, the number of the inquiry.
        sent_before: u64,
    },
    /// Ask a worker where a key is (B-17). Its answer is [`Broker::found`].
    Inquire {
        /// Whom.
        to: EndpointKey,
        /// Comes back with the answer.
        number: u64,
        /// Which service.
        service: Arc<str>,
        /// The key, as in [`Asked::key`].
        key: Vec<u8>,
        /// When nobody needs a promise any more.
        until: Time,
    },
    /// Tell the caller that it will not be done; the task is forgotten.
    Refuse {
        /// Which.
        task: TaskId,
        /// Why.
        why: Refusal,
    },
    /// Forget the task without an answer ([`NoWorkers::Ignore`]).
    Drop {
        /// Which.
        task: TaskId,
    },
    /// Tell the one who has the task that it is not wanted there any more.
    Withdraw {
        /// Which.
        task: TaskId,
        /// From whom.
        from: EndpointKey,
    },
    /// Say in the offer how much room there is; only when that changed.
    Tell {
        /// Which service.
        service: Arc<str>,
        /// Requests that can begin at once.
        free: u64,
        /// Requests that are worked on at once, at most.
        capacity: u64,
        /// Requests that wait.
        waiting: u64,
        /// The kinds of workers at home here.
        kinds: Vec<Kind>,
    },
    /// Ask the worker for a sign of life.
    Beat {
        /// Whom.
        to: EndpointKey,
    },
    /// Tell a peer, or all of them, who acts on a key.
    Share {
        /// Whom; `None` is everybody.
        to: Option<EndpointKey>,
        /// What.
        claim: Claim,
    },
}

/// The state of a broker.
pub struct Broker {
    me: EndpointKey,
    config: BrokerConfig,
    rng: Rng,
    tasks: BTreeMap<TaskId, Task>,
    services: BTreeMap<Arc<str>, Service>,
    pool: Pool,
    peers: Peers,
    claims: Claims,
    /// Tasks whose key is asked for, by the number of the question.
    asking: BTreeMap<u64, TaskId>,
    /// The highest number of a question.
    number: u64,
    /// All servers are known that can be.
    settled: bool,
    out: VecDeque<Action>,
    meter: Meter,
    draining: bool,
}

impl Broker {
    /// A broker that knows nobody.
    pub fn new(me: EndpointKey, config: BrokerConfig, seed: [u8; 32]) -> Self {
        Self {
            me,
            config,
            rng: Rng::new(seed),
            tasks: BTreeMap::new(),
            services: BTreeMap::new(),
            pool: Pool::default(),
            peers: Peers::default(),
            claims: Claims::default(),
            asking: BTreeMap::new(),
            number: FIRST_NUMBER,
            settled: false,
            out: VecDeque::new(),
            meter: Meter::default(),
            draining: false,
        }
    }

    /// A request has come. Its body stays with the host, under the number `task`.
    pub fn request(&mut self, now: Time, task: TaskId, asked: Asked) {
        self.meter.counters.requests += 1;
        let refused = self.refused(now, &asked);
        let entry = Task::new(asked);
        let service = Arc::clone(&entry.asked.service);
        if let Some(why) = refused {
            self.meter.counters.refuse(why);
            self.out.push_back(Action::Refuse { task, why });
            return;
        }
        if !self.has_workers_for(&entry) && !self.stand_in(now, task, &entry) {
            return;
        }
        self.claims.begin(task, &entry);
        let service_entry = self.services.entry(Arc::clone(&service)).or_default();
        service_entry.accepted += 1;
        let asks = entry.doubt && !self.goes_to_a_peer(&entry);
        self.tasks.insert(task, entry);
        if asks {
            self.ask(now, task);
        } else if let Some(entry) = self.services.get_mut(&service) {
            entry.queue.push_back(task);
        }
        self.dispatch(now, &service);
    }

    /// Why a request is not taken at all.
    fn refused(&self, now: Time, asked: &Asked) -> Option<Refusal> {
        if asked.deadline <= now {
            return Some(Refusal::DeadlinePassed); // B-6
        }
        if asked.hops.contains(&self.me.id) || asked.hops.len() >= HOPS_MAX {
            return Some(Refusal::Loop); // B-11
        }
        if self.draining {
            return Some(Refusal::Draining); // B-15
        }
        let queued = self.services.get(&asked.service).map_or(0, |it| it.queue.len());
        let full = queued >= self.config.high_water
            || self.tasks.len() >= self.config.tasks_max
            || (self.services.len() >= SERVICES_MAX && !self.services.contains_key(&asked.service));
        full.then_some(Refusal::Overload) // B-5
    }

    /// Nobody works on the service here: what the policy says (B-1). True if the task is to be queued.
    fn stand_in(&mut self, now: Time, task: TaskId, entry: &Task) -> bool {
        let why = match self.config.no_workers {
            NoWorkers::Wait => return true,
            NoWorkers::Ignore => {
                self.meter.counters.ignored += 1;
                self.out.push_back(Action::Drop { task });
                return false;
            }
            // A peer that has workers, free or not; dispatch finds it.
            NoWorkers::Forward if self.peers.choose(&entry.asked, true).is_some() => return true,
            NoWorkers::Notify | NoWorkers::Forward => Refusal::NoWorkers,
        };
        // A peer that has room is as good as a worker, and so is one where those that will do are
        // at home.
        let elsewhere = self.pool.has(&entry.asked.service, &entry.asked.wanted, true);
        if self.peers.choose(&entry.asked, elsewhere).is_some() || self.recently_staffed(now, entry)
        {
            return true;
        }
        self.meter.counters.refuse(why);
        self.out.push_back(Action::Refuse { task, why });
        false
    }

    /// Its workers have only just been lost: their successors get the time of the silence that
    /// makes a death.
    fn recently_staffed(&self, now: Time, entry: &Task) -> bool {
        let service = self.services.get(&entry.asked.service);
        let recent = |left: Time| now.since(left) < self.config.grace;
        let wanted = &entry.asked.wanted;
        service.is_some_and(|service| {
            service.unstaffed.is_some_and(recent)
                || service.left.iter().any(|(kind, left)| recent(*left) && wanted.takes(kind))
        })
    }

    /// The caller no longer wants it.
    pub fn cancel(&mut self, now: Time, task: TaskId) {
        let Some(entry) = self.forget(task) else { return };
        self.meter.counters.cancelled += 1;
        if let Some(given) = entry.given {
            self.release(task, given);
            self.out.push_back(Action::Withdraw { task, from: given.to });
        }
        self.dispatch(now, &entry.asked.service);
    }

    /// What became of a task that was given to `from`. Ignored if it has been taken back.
    pub fn done(&mut self, now: Time, task: TaskId, from: EndpointKey, outcome: Outcome) {
        self.heard(now, from);
        let Some(entry) = self.tasks.get(&task) else { return };
        let Some(given) = entry.given.filter(|given| given.to == from) else { return };
        let service = Arc::clone(&entry.asked.service);
        self.release(task, given);
        match outcome {
            Outcome::Answered => {
                self.forget(task);
                self.meter.counters.answered += 1;
                self.meter.answered(now);
                if let Some(service) = self.services.get_mut(&service) {
                    service.answered += 1;
                }
            }
            Outcome::NotBegun => {
                self.pool.rest(&service, from, now + self.config.rest);
                self.peers.full(&service, from);
                self.claims.disown(entry_name(self.tasks.get(&task)), from);
                self.requeue(now, task);
            }
            Outcome::Lost => self.lost(now, task),
        }
        self.dispatch(now, &service);
    }

    /// The one who had it died or stalled. At the front again, if it may run twice, or if servers can
    /// be asked where it is (B-4, B-17).
    fn lost(&mut self, now: Time, task: TaskId) {
        let Some(entry) = self.tasks.get_mut(&task) else { return };
        entry.lost = true;
        if entry.asked.repeatable || entry.name.is_some() {
            self.requeue(now, task);
        } else {
            self.refuse(task, Refusal::Unknown);
        }
    }

    fn requeue(&mut self, now: Time, task: TaskId) {
        let Some(entry) = self.tasks.get_mut(&task) else { return };
        entry.given = None;
        entry.standing = Standing::Unknown;
        entry.doubt = entry.name.is_some();
        if entry.asked.deadline <= now {
            return self.refuse(task, Refusal::DeadlinePassed);
        }
        if entry.tries >= TRIES_MAX {
            let why = if entry.lost { Refusal::Unknown } else { Refusal::TurnedDown };
            return self.refuse(task, why);
        }
        self.meter.counters.requeued += 1;
        if entry.doubt {
            return self.ask(now, task);
        }
        let service = self.services.entry(Arc::clone(&entry.asked.service)).or_default();
        if crate::planted::on("broker_requeues_at_the_back") {
            service.queue.push_back(task);
        } else {
            service.queue.push_front(task);
        }
    }

    fn refuse(&mut self, task: TaskId, why: Refusal) {
        if self.forget(task).is_some() {
            self.meter.counters.refuse(why);
            self.out.push_back(Action::Refuse { task, why });
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.out.pop_front()
    }

    /// Takes nothing new; what is queued goes to peers, or is finished here.
    pub fn drain(&mut self, now: Time) {
        self.draining = true;
        let services: Vec<Arc<str>> = self.services.keys().cloned().collect();
        for service in services {
            self.dispatch(now, &service);
        }
    }

    /// Whether no task is left.
    pub fn is_idle(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Everything it has counted.
    pub fn counters(&self) -> BrokerCounters {
        self.meter.counters
    }

    /// Forgets a task, wherever it stands.
    fn forget(&mut self, task: TaskId) -> Option<Task> {
        let entry = self.tasks.remove(&task)?;
        self.claims.end(task, &entry);
        if let Standing::Asking(inquiry) = &entry.standing {
            self.asking.remove(&inquiry.number);
        }
        if entry.given.is_none()
            && let Some(service) = self.services.get_mut(&entry.asked.service)
        {
            service.queue.retain(|queued| *queued != task);
        }
        Some(entry)
    }

    fn release(&mut self, task: TaskId, given: Given) {
        if let Some(entry) = self.tasks.get_mut(&task) {
            entry.given = None;
        }
        if given.forward {
            self.peers.release(given.to, task);
        } else {
            self.pool.release(given.to, task);
        }
    }
}

fn entry_name(entry: Option<&Task>) -> Option<&[u8]> {
    entry?.name.as_deref()
}

#[cfg(test)]
mod tests;
