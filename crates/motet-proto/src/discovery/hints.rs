//! Endpoints heard of with which no handshake has ever completed: whom to dial, and how fast.

use super::bucket::PerSecond;
use super::jittered;
use super::outbox::{Action, Outbox};
use crate::Time;
use crate::ids::{EndpointId, EndpointKey};
use crate::rng::Rng;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// Dials in any second that hints of strangers can cause (§2.4 step 10).
const DIALS_PER_SECOND: usize = 50;
/// Strangers remembered. About 300 B each.
const HINTS_MAX: usize = 1_024;
/// Dials without an answer after which a stranger is forgotten until it is heard again.
const TRIES_MAX: u32 = 5;

#[derive(Debug)]
struct Hint {
    key: EndpointKey,
    addrs: Vec<SocketAddr>,
    tries: u32,
    /// A dial is under way.
    dialing: bool,
    /// When to dial, or to give the dial up.
    at: Time,
    /// Earliest next dial.
    not_before: Time,
}

#[derive(Debug)]
pub(super) struct Hints {
    table: BTreeMap<EndpointId, Hint>,
    queue: BTreeSet<(Time, EndpointId)>,
    rate: PerSecond,
    /// Hints not taken because the table was full.
    pub(super) dropped: u64,
}

impl Hints {
    pub(super) fn new() -> Self {
        Self {
            table: BTreeMap::new(),
            queue: BTreeSet::new(),
            rate: PerSecond::new(DIALS_PER_SECOND),
            dropped: 0,
        }
    }

    /// Somebody says that `key` is alive there.
    pub(super) fn offer(&mut self, now: Time, key: EndpointKey, addrs: Vec<SocketAddr>) {
        if addrs.is_empty() {
            return;
        }
        if let Some(hint) = self.table.get_mut(&key.id) {
            if key.incarnation < hint.key.incarnation {
                return;
            }
            (hint.key, hint.addrs) = (key, addrs);
            if !hint.dialing {
                let at = hint.at.min(now.max(hint.not_before));
                self.queue.remove(&(hint.at, key.id));
                self.queue.insert((at, key.id));
                hint.at = at;
            }
            return;
        }
        if self.table.len() >= HINTS_MAX {
            let unanswered = self.table.iter().find(|(_, hint)| hint.tries > 0).map(|(id, _)| *id);
            let Some(id) = unanswered else {
                self.dropped += 1;
                return;
            };
            self.forget(id);
        }
        let hint = Hint { key, addrs, tries: 0, dialing: false, at: now, not_before: now };
        self.table.insert(key.id, hint);
        self.queue.insert((now, key.id));
    }

    /// It has become a member, or left.
    pub(super) fn forget(&mut self, id: EndpointId) {
        if let Some(hint) = self.table.remove(&id) {
            self.queue.remove(&(hint.at, id));
        }
    }

    /// Not everybody is dialled any more: who is not being dialled already is forgotten.
    pub(super) fn forget_waiting(&mut self) {
        let waiting: Vec<EndpointId> =
            self.table.iter().filter(|(_, hint)| !hint.dialing).map(|(id, _)| *id).collect();
        waiting.into_iter().for_each(|id| self.forget(id));
    }

    pub(super) fn incarnation(&self, id: EndpointId) -> Option<u64> {
        self.table.get(&id).map(|hint| hint.key.incarnation)
    }

    pub(super) fn dial_failed(&mut self, now: Time, id: EndpointId, rng: &mut Rng) {
        let Some(hint) = self.table.get_mut(&id).filter(|hint| hint.dialing) else { return };
        self.queue.remove(&(hint.at, id));
        hint.tries += 1;
        if hint.tries >= TRIES_MAX {
            self.table.remove(&id);
            return;
        }
        hint.dialing = false;
        hint.at = now + jittered(Duration::from_secs(1 << (hint.tries - 1)), 20, rng);
        self.queue.insert((hint.at, id));
    }

    /// Dials what is due, as fast as the rate allows.
    pub(super) fn pump(&mut self, now: Time, rng: &mut Rng, out: &mut Outbox) {
        while let Some((_, id)) = self.queue.first().copied().filter(|(at, _)| *at <= now) {
            let Some(hint) = self.table.get_mut(&id) else {
                self.queue.pop_first();
                continue;
            };
            if hint.dialing {
                self.dial_failed(now, id, rng);
                continue;
            }
            if !self.rate.take(now) {
                return; // D-12
            }
            self.queue.pop_first();
            hint.dialing = true;
            hint.at = now + super::DIAL_LOST;
            hint.not_before = now + Duration::from_secs(1);
            self.queue.insert((hint.at, id));
            out.push(Action::Dial { id: Some(id), addrs: hint.addrs.clone() });
        }
    }

    pub(super) fn deadline(&self) -> Time {
        let Some((at, id)) = self.queue.first() else { return Time::NEVER };
        let waits = self.table.get(id).is_some_and(|hint| !hint.dialing);
        if waits { (*at).max(self.rate.next()) } else { *at }
    }
}
