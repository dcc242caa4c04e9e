//! Who gets which task, and what is told of it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::claims::{Claim, Way};
use super::task::{Given, Refusal, Standing, Task, TaskId};
use super::{Action, Broker};
use crate::ids::EndpointKey;
use crate::time::Time;
use crate::wanted::{Kind, Wanted};

/// Waiting tasks that are looked at when the first cannot go where there is room.
const LOOK_AHEAD: usize = 32;
/// The last and the first room are told at once if nothing was told for so long: under a load that
/// just fills all workers they come and go with every answer.
const TURN_PAUSE: Duration = Duration::from_millis(5);
/// Those that want a kind of worker that is known to be busy are passed over, but not more in all.
const LOOK_PAST: usize = 1_024;

/// What is to be done with a task that waits.
enum Step {
    Give(Given),
    /// Servers are asked where its key is.
    Ask,
    /// It began where nobody can be asked any more.
    Refuse,
}

impl Broker {
    /// Gives what waits for a service, in order, as long as anybody has room.
    pub(super) fn dispatch(&mut self, now: Time, service: &Arc<str>) {
        while let Some((at, step)) = self.next_to_give(now, service) {
            let queue = self.services.get_mut(service).map(|service| &mut service.queue);
            let Some(task) = queue.and_then(|queue| queue.remove(at)) else { break };
            match step {
                Step::Give(given) => self.give(now, task, given),
                Step::Ask => self.ask(now, task),
                Step::Refuse => self.refuse(task, Refusal::Unknown),
            }
        }
        self.tell(now, service);
    }

    /// The first task with which something can be done, and what.
    fn next_to_give(&self, now: Time, service: &Arc<str>) -> Option<(usize, Step)> {
        let queue = &self.services.get(service)?.queue;
        // Who is next, for each kind that is wanted.
        let mut next: Vec<(&Wanted, Option<EndpointKey>)> = Vec::new();
        let mut looked = 0;
        for (at, task) in queue.iter().enumerate().take(LOOK_PAST) {
            let Some(entry) = self.tasks.get(task) else { continue };
            let wanted = &entry.asked.wanted;
            let known = next.iter().find(|(known, _)| *known == wanted).map(|(_, worker)| *worker);
            if known.is_none() || wanted.is_any() {
                looked += 1;
                if looked > LOOK_AHEAD {
                    return None;
                }
            }
            let worker = known.unwrap_or_else(|| {
                let worker = self.pool.choose(now, service, wanted);
                next.push((wanted, worker));
                worker
            });
            let to = |to| Given { to, forward: false };
            let step = match (&entry.standing, self.way(entry)) {
                (Standing::Held(holder), _) if self.pool.knows(service, *holder) => {
                    Step::Give(to(*holder))
                }
                (_, Way::Nowhere) => Step::Refuse,
                (_, Way::Later) => continue,
                (_, Way::To(given)) if given.forward => Step::Give(given),
                (Standing::Held(_), _) => Step::Ask,
                (Standing::Unknown, _) if entry.doubt => Step::Ask,
                (_, Way::To(given)) => Step::Give(given),
                // Own workers first, then a peer with room (B-10).
                (_, Way::Anywhere) => match worker {
                    Some(worker) => Step::Give(to(worker)),
                    None => {
                        let peer = self.peers.choose(&entry.asked, self.passes_on(entry));
                        let Some(to) = peer else { continue };
                        Step::Give(Given { to, forward: true })
                    }
                },
            };
            // Only who has promised may begin it (B-17); one that came since is asked, too.
            if let (Step::Give(given), Standing::Clear(_, promised)) = (&step, &entry.standing)
                && !given.forward
                && !promised.contains(&given.to)
            {
                return Some((at, Step::Ask));
            }
            return Some((at, step));
        }
        None
    }

    /// Whether tasks go to peers that are busy, too: this broker can do nothing for them itself.
    fn passes_on(&self, entry: &Task) -> bool {
        self.draining || !self.has_workers_for(entry)
    }

    /// Whether workers are at home here that will do for a task, free or not.
    pub(super) fn has_workers_for(&self, entry: &Task) -> bool {
        self.pool.has(&entry.asked.service, &entry.asked.wanted, false)
    }

    pub(super) fn has_workers(&self, service: &str) -> bool {
        self.pool.room(service).is_some()
    }

    fn give(&mut self, now: Time, task: TaskId, given: Given) {
        let Some(entry) = self.tasks.get_mut(&task) else { return };
        let sent_before = match (given.forward, &entry.standing) {
            (true, _) => u64::from(entry.doubt),
            (false, Standing::Clear(number, _)) => *number,
            (false, _) => 0,
        };
        entry.given = Some(given);
        entry.tries += 1;
        let service = Arc::clone(&entry.asked.service);
        if given.forward {
            self.peers.give(&service, given.to, task);
            self.meter.counters.forwarded += 1;
        } else {
            self.pool.give(&service, given.to, task);
            self.meter.counters.given += 1;
        }
        // Before the work itself, so that a successor knows where it went (B-13).
        if let (Some(name), false) = (&entry.name, given.forward) {
            let claim = Claim { key: name.clone(), worker: given.to };
            self.claims.keep(self.me, claim.clone(), now + self.config.claim_kept);
            if self.peers.len() > 0 {
                self.out.push_back(Action::Share { to: None, claim });
            }
        }
        let Given { to, forward } = given;
        self.out.push_back(Action::Give { task, to, forward, sent_before });
    }

    /// Tells the room for a service if it changed: at once when the last goes or the first comes,
    /// unless something was told just before, else not more often than
    /// [`tell_every`](super::BrokerConfig::tell_every).
    pub(super) fn tell(&mut self, now: Time, service: &Arc<str>) {
        let (free, capacity) = self.pool.room(service).unwrap_or_default();
        let (free, capacity) = if self.draining { (0, 0) } else { (free, capacity) };
        let kinds = self.pool.kinds(service, false);
        let Some(entry) = self.services.get_mut(service) else { return };
        let waiting = entry.queue.len() as u64;
        let other = !entry.told_kinds.iter().eq(kinds.iter().copied());
        if let Some((was_free, was_all, was_waiting, at)) = entry.told {
            let same = (was_free, was_all, was_waiting) == (free, capacity, waiting);
            let turned = (was_free == 0) != (free == 0) && now.since(at) >= TURN_PAUSE;
            let at_once = turned || was_all != capacity || other;
            if same && !other || (!at_once && now.since(at) < self.config.tell_every) {
                return;
            }
        }
        entry.told = Some((free, capacity, waiting, now));
        let kinds: Vec<Kind> = kinds.into_iter().cloned().collect();
        entry.told_kinds.clone_from(&kinds);
        let service = Arc::clone(service);
        self.out.push_back(Action::Tell { service, free, capacity, waiting, kinds });
    }

    /// What is due: deadlines, heartbeats, silence, statements that were held back.
    pub fn tick(&mut self, now: Time) {
        self.beat(now);
        let late: Vec<TaskId> = self
            .tasks
            .iter()
            .filter(|(_, entry)| entry.asked.deadline <= now)
            .map(|(task, _)| *task)
            .collect();
        for task in late {
            self.expire(task);
        }
        self.claims.expire(now);
        self.ask_again(now);
        self.remind(now);
        let services: Vec<Arc<str>> = self.services.keys().cloned().collect();
        for service in services {
            self.strand(now, &service);
            self.dispatch(now, &service);
        }
    }

    /// Its deadline is over (B-6).
    fn expire(&mut self, task: TaskId) {
        let Some(given) = self.tasks.get(&task).map(|entry| entry.given) else { return };
        if let Some(given) = given {
            self.release(task, given);
            self.out.push_back(Action::Withdraw { task, from: given.to });
        }
        self.refuse(task, Refusal::DeadlinePassed);
    }

    /// Workers have been gone for too long: what waits goes the way of the policy.
    fn strand(&mut self, now: Time, service: &Arc<str>) {
        let staffed = self.has_workers(service);
        let grace = self.config.grace;
        let Some(entry) = self.services.get_mut(service) else { return };
        let recent = |(_, left): &(Kind, Time)| now.since(*left) < grace;
        entry.left.retain(recent);
        if staffed {
            entry.unstaffed = None;
            let any =
                |task: &TaskId| self.tasks.get(task).is_none_or(|it| it.asked.wanted.is_any());
            if entry.queue.iter().all(any) {
                return;
            }
        } else {
            let left = *entry.unstaffed.get_or_insert(now);
            if now.since(left) < grace {
                return;
            }
        }
        let queue = core::mem::take(&mut entry.queue);
        for task in queue {
            let Some(entry) = self.tasks.remove(&task) else { continue };
            let goes = matches!(self.way(&entry), Way::To(_)) || self.has_workers_for(&entry);
            if goes || self.stand_in(now, task, &entry) {
                self.keep(task, entry, service);
            } else {
                self.claims.end(task, &entry);
            }
        }
    }

    fn keep(&mut self, task: TaskId, entry: Task, service: &Arc<str>) {
        self.tasks.insert(task, entry);
        if let Some(service) = self.services.get_mut(service) {
            service.queue.push_back(task);
        }
    }

    /// When [`tick`](Broker::tick) is due at the latest.
    pub fn next_tick(&self, now: Time) -> Time {
        let deadlines = self.tasks.values().map(|entry| entry.asked.deadline);
        let deadline = deadlines.min().unwrap_or(Time::NEVER);
        let beats = self.pool.workers.values().map(|worker| worker.beat_at);
        let beat = beats.min().unwrap_or(Time::NEVER);
        let told = self.services.iter().map(|(service, entry)| {
            let (free, capacity) = self.pool.room(service).unwrap_or_default();
            match entry.told {
                Some((was_free, was_all, waiting, at))
                    if (was_free, was_all, waiting)
                        != (free, capacity, entry.queue.len() as u64) =>
                {
                    at + self.config.tell_every
                }
                _ if entry.queue.is_empty() => Time::NEVER,
                _ => entry.unstaffed.map_or(Time::NEVER, |left| left + self.config.grace),
            }
        });
        let told = told.min().unwrap_or(Time::NEVER);
        deadline.min(beat).min(told).min(self.pool.rested(now)).max(now)
    }
}
