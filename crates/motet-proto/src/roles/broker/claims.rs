//! Which broker acts on which key: so that a successor asks the worker that has begun, and no two
//! act on one request after a split has healed.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::task::{Given, Standing, Task, TaskId};
use super::{Action, Broker, CLAIMS_MAX};
use crate::ids::EndpointKey;
use crate::time::Time;

/// A broker has given the task with this key to a worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// Service and key: [`Claim::name`].
    pub key: Vec<u8>,
    /// Who works on it.
    pub worker: EndpointKey,
}

impl Claim {
    /// The key of a request, apart from the same key of another service.
    pub fn name(service: &str, key: &[u8]) -> Vec<u8> {
        let mut name = Vec::with_capacity(service.len() + 1 + key.len());
        name.extend_from_slice(service.as_bytes());
        name.push(0); // no name of a service holds a control character
        name.extend_from_slice(key);
        name
    }
}

#[derive(Clone, Copy, Debug)]
struct Known {
    broker: EndpointKey,
    worker: EndpointKey,
    until: Time,
}

/// Where a task may go.
pub(super) enum Way {
    /// To whoever has room.
    Anywhere,
    /// To the one who has begun it.
    To(Given),
    /// The same key waits here already, and goes first.
    Later,
    /// It began with somebody who is gone, and must not run twice.
    Nowhere,
}

#[derive(Debug, Default)]
pub(super) struct Claims {
    /// The first of our tasks with each key.
    ours: BTreeMap<Vec<u8>, TaskId>,
    /// Who acted on a key last: another broker, or we.
    known: BTreeMap<Vec<u8>, Known>,
    /// The known ones, by age.
    order: VecDeque<(Time, Vec<u8>)>,
}

impl Claims {
    pub(super) fn begin(&mut self, task: TaskId, entry: &Task) {
        if let Some(name) = &entry.name {
            self.ours.entry(name.clone()).or_insert(task);
        }
    }

    pub(super) fn end(&mut self, task: TaskId, entry: &Task) {
        if let Some(name) = &entry.name
            && self.ours.get(name) == Some(&task)
        {
            self.ours.remove(name);
        }
    }

    /// It did not begin there: the claim of `from` is void.
    pub(super) fn disown(&mut self, name: Option<&[u8]>, from: EndpointKey) {
        let claim = name.and_then(|name| Some((name, self.known.get(name)?)));
        if let Some((name, claim)) = claim
            && (claim.worker == from || claim.broker == from)
        {
            self.known.remove(name);
        }
    }

    pub(super) fn keep(&mut self, broker: EndpointKey, claim: Claim, until: Time) {
        self.order.push_back((until, claim.key.clone()));
        self.known.insert(claim.key, Known { broker, worker: claim.worker, until });
        while self.order.len() > CLAIMS_MAX {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((until, name)) = self.order.pop_front() else { return };
        if self.known.get(&name).is_some_and(|claim| claim.until == until) {
            self.known.remove(&name);
        }
    }

    pub(super) fn expire(&mut self, now: Time) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            self.drop_oldest();
        }
    }
}

impl Broker {
    /// Another broker has given this key to a worker. If we act on it too, one of us lets go
    /// (B-14): the one that has not begun; of two that have, the one with the larger id.
    pub fn claim(&mut self, now: Time, from: EndpointKey, claim: Claim) {
        let task = self.claims.ours.get(&claim.key).copied();
        let entry = task.and_then(|task| Some((task, self.tasks.get(&task)?)));
        let given = entry.and_then(|(_, entry)| entry.given);
        // With a peer it is because we gave it there; with the same worker it runs once anyway.
        let settled = given.is_some_and(|given| given.forward || given.to == claim.worker);
        let stronger = given.is_some() && self.me.id < from.id;
        if stronger && !settled {
            return;
        }
        self.claims.keep(from, claim, now + self.config.claim_kept);
        let Some((task, entry)) = entry.filter(|_| !settled) else { return };
        if crate::planted::on("broker_never_yields") {
            return;
        }
        self.meter.counters.yielded += 1;
        let service = Arc::clone(&entry.asked.service);
        if let Some(given) = given {
            self.release(task, given);
            if let Some(entry) = self.tasks.get_mut(&task) {
                (entry.doubt, entry.standing) = (true, Standing::Unknown);
            }
            self.out.push_back(Action::Withdraw { task, from: given.to });
            if let Some(service) = self.services.get_mut(&service) {
                service.queue.push_front(task);
            }
        }
        self.dispatch(now, &service);
    }

    /// A task whose key has been acted on goes where it began: to that broker while it lives, else
    /// to the worker, which attaches it or answers from its cache (B-13).
    pub(super) fn way(&self, entry: &Task) -> Way {
        let Some(name) = &entry.name else { return Way::Anywhere };
        if let Some(leader) = self.claims.ours.get(name).and_then(|task| self.tasks.get(task))
            && !core::ptr::eq(leader, entry)
            && leader.given.is_none()
        {
            return Way::Later;
        }
        let Some(claim) = self.claims.known.get(name) else { return Way::Anywhere };
        let passed = entry.asked.hops.contains(&claim.broker.id);
        if self.peers.is_up(claim.broker) && !passed {
            Way::To(Given { to: claim.broker, forward: true })
        } else if self.pool.serves(&entry.asked.service, claim.worker) {
            Way::To(Given { to: claim.worker, forward: false })
        } else if entry.asked.repeatable {
            Way::Anywhere
        } else {
            Way::Nowhere
        }
    }

    /// A peer is new, or is back after a split: it is told all that we have begun.
    pub(super) fn share_all(&mut self, to: EndpointKey) {
        for (name, task) in &self.claims.ours {
            let given = self.tasks.get(task).and_then(|entry| entry.given);
            if let Some(given) = given.filter(|given| !given.forward) {
                let claim = Claim { key: name.clone(), worker: given.to };
                self.out.push_back(Action::Share { to: Some(to), claim });
            }
        }
    }
}
