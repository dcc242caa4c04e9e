//! The workers of a broker: who is alive, who has room, who has been unused for longest.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::WORKERS_MAX;
use super::task::TaskId;
use crate::ids::EndpointKey;
use crate::time::Time;
use crate::wanted::{Kind, Wanted};

/// What a worker says of one of its services.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkerOffer {
    /// It takes work: it is up, and neither draining nor under maintenance nor unhealthy.
    pub takes: bool,
    /// Tasks that it may be given at once.
    pub credit: u64,
    /// Its version and groups.
    pub kind: Kind,
}

#[derive(Debug)]
struct Slot {
    offer: WorkerOffer,
    /// The stamp of its last task: smaller is longer ago.
    used: u64,
    /// Until when it gets nothing, after a refusal.
    rests: Time,
    /// This broker is its home.
    mine: bool,
    running: u64,
}

#[derive(Debug)]
pub(super) struct Worker {
    slots: BTreeMap<Arc<str>, Slot>,
    tasks: BTreeMap<TaskId, Arc<str>>,
    pub(super) heard: Time,
    pub(super) beat_at: Time,
    /// It was silent for too long, and is looked for at this pace.
    pub(super) silent: Option<Duration>,
}

#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) workers: BTreeMap<EndpointKey, Worker>,
    members: BTreeMap<Arc<str>, BTreeSet<EndpointKey>>,
    stamp: u64,
}

impl Pool {
    /// Takes in what a worker says. False if there are too many.
    pub(super) fn offer(
        &mut self,
        now: Time,
        key: EndpointKey,
        service: &Arc<str>,
        offer: WorkerOffer,
        mine: bool,
    ) -> bool {
        if self.workers.len() >= WORKERS_MAX && !self.workers.contains_key(&key) {
            return false;
        }
        self.stamp += 1;
        let fresh = || Worker {
            slots: BTreeMap::new(),
            tasks: BTreeMap::new(),
            heard: now,
            beat_at: now,
            silent: None,
        };
        let worker = self.workers.entry(key).or_insert_with(fresh);
        let slot = worker.slots.entry(Arc::clone(service)).or_insert_with(|| Slot {
            offer: WorkerOffer { takes: false, credit: 0, kind: Kind::default() },
            used: self.stamp,
            rests: Time::ZERO,
            mine,
            running: 0,
        });
        (slot.offer, slot.rests, slot.mine) = (offer, Time::ZERO, mine);
        self.members.entry(Arc::clone(service)).or_default().insert(key);
        true
    }

    /// Takes a worker out of one service, or of all. The tasks it had.
    pub(super) fn remove(&mut self, key: EndpointKey, service: Option<&str>) -> Vec<TaskId> {
        let Some(worker) = self.workers.get_mut(&key) else { return Vec::new() };
        let left = |of: &Arc<str>| service.is_none_or(|service| **of == *service);
        let lost: Vec<TaskId> =
            worker.tasks.iter().filter(|(_, of)| left(of)).map(|(task, _)| *task).collect();
        worker.tasks.retain(|_, of| !left(of));
        worker.slots.retain(|of, _| !left(of));
        if worker.slots.is_empty() {
            self.workers.remove(&key);
        }
        self.members.retain(|of, members| {
            if left(of) {
                members.remove(&key);
            }
            !members.is_empty()
        });
        lost
    }

    /// Of the workers of a service that will do and have room, the one unused for longest (B-2,
    /// B-18).
    pub(super) fn choose(&self, now: Time, service: &str, wanted: &Wanted) -> Option<EndpointKey> {
        let free = self.slots(service).filter(|(key, worker, slot)| {
            let rests = slot.rests > now;
            let fits = wanted.fits(key.id, &slot.offer.kind);
            let fits = fits || crate::planted::on("broker_ignores_the_version");
            worker.silent.is_none() && slot.mine && !rests && slot.room() > 0 && fits
        });
        if crate::planted::on("broker_takes_the_most_recently_used") {
            return free.max_by_key(|(_, _, slot)| slot.used).map(|(key, ..)| key);
        }
        free.min_by_key(|(_, _, slot)| slot.used).map(|(key, ..)| key)
    }

    /// Whether this worker is there for the service, free or not.
    pub(super) fn serves(&self, service: &str, key: EndpointKey) -> bool {
        let worker = self.workers.get(&key);
        worker.is_some_and(|it| it.silent.is_none() && it.slots.contains_key(service))
    }

    /// Whether this worker offers the service, be it silent.
    pub(super) fn knows(&self, service: &str, key: EndpointKey) -> bool {
        self.workers.get(&key).is_some_and(|it| it.slots.contains_key(service))
    }

    /// All workers of a service, be they silent, draining or at home elsewhere.
    pub(super) fn all(&self, service: &str) -> BTreeSet<EndpointKey> {
        self.members.get(service).cloned().unwrap_or_default()
    }

    pub(super) fn give(&mut self, service: &Arc<str>, key: EndpointKey, task: TaskId) {
        self.stamp += 1;
        let stamp = self.stamp;
        let Some(worker) = self.workers.get_mut(&key) else { return };
        if let Some(slot) = worker.slots.get_mut(service) {
            slot.used = stamp;
            slot.running += 1;
            worker.tasks.insert(task, Arc::clone(service));
        }
    }

    pub(super) fn release(&mut self, key: EndpointKey, task: TaskId) {
        let Some(worker) = self.workers.get_mut(&key) else { return };
        if let Some(service) = worker.tasks.remove(&task)
            && let Some(slot) = worker.slots.get_mut(&service)
        {
            slot.running = slot.running.saturating_sub(1);
        }
    }

    pub(super) fn rest(&mut self, service: &str, key: EndpointKey, until: Time) {
        let slot = self.workers.get_mut(&key).and_then(|worker| worker.slots.get_mut(service));
        if let Some(slot) = slot {
            slot.rests = until;
        }
    }

    /// The first time after `now` at which a worker of ours has rested.
    pub(super) fn rested(&self, now: Time) -> Time {
        let slots = self.workers.values().flat_map(|worker| worker.slots.values());
        let rests = slots.map(|slot| slot.rests).filter(|rests| *rests > now);
        rests.min().unwrap_or(Time::NEVER)
    }

    /// Free and all room of a service with the workers at home here; `None` if there is none.
    pub(super) fn room(&self, service: &str) -> Option<(u64, u64)> {
        let alive = self
            .slots(service)
            .filter(|(_, worker, slot)| worker.silent.is_none() && slot.mine && slot.offer.takes);
        alive.fold(None, |sum, (_, _, slot)| {
            let (free, all) = sum.unwrap_or((0, 0));
            Some((free + slot.room(), all + slot.offer.credit))
        })
    }

    /// Whether a worker is there that will do, free or not; with `elsewhere`, also one that is at
    /// home with a peer.
    pub(super) fn has(&self, service: &str, wanted: &Wanted, elsewhere: bool) -> bool {
        self.at_work(service, elsewhere).any(|(key, offer)| wanted.fits(key.id, &offer.kind))
    }

    /// The kinds of workers that take work; with `elsewhere`, also of those at home with peers.
    pub(super) fn kinds(&self, service: &str, elsewhere: bool) -> BTreeSet<&Kind> {
        self.at_work(service, elsewhere).map(|(_, offer)| &offer.kind).collect()
    }

    /// Workers that take work, and what they offer; with `elsewhere`, also those at home with peers.
    fn at_work(
        &self,
        service: &str,
        elsewhere: bool,
    ) -> impl Iterator<Item = (EndpointKey, &WorkerOffer)> {
        let takes = move |worker: &Worker, slot: &Slot| {
            worker.silent.is_none() && (slot.mine || elsewhere) && slot.offer.takes
        };
        let slots = self.slots(service).filter(move |(_, worker, slot)| takes(worker, slot));
        slots.map(|(key, _, slot)| (key, &slot.offer))
    }

    /// Each service of a worker, and of which kind it is there.
    pub(super) fn kinds_of(&self, key: EndpointKey) -> Vec<(Arc<str>, Kind)> {
        let slots = self.workers.get(&key).into_iter().flat_map(|worker| &worker.slots);
        slots.map(|(service, slot)| (Arc::clone(service), slot.offer.kind.clone())).collect()
    }

    pub(super) fn running(&self, service: &str) -> u64 {
        self.slots(service).map(|(_, _, slot)| slot.running).sum()
    }

    pub(super) fn members(&self, service: &str) -> Vec<EndpointKey> {
        self.slots(service)
            .filter(|(_, worker, _)| worker.silent.is_none())
            .map(|(key, ..)| key)
            .collect()
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &Arc<str>> {
        self.members.keys()
    }

    /// Decides anew where each worker is at home.
    pub(super) fn settle(&mut self, mine: impl Fn(&str, EndpointKey) -> bool) {
        for (key, worker) in &mut self.workers {
            for (service, slot) in &mut worker.slots {
                slot.mine = mine(service, *key);
            }
        }
    }

    fn slots(&self, service: &str) -> impl Iterator<Item = (EndpointKey, &Worker, &Slot)> {
        let members = self.members.get(service).into_iter().flatten();
        members.filter_map(move |key| {
            let worker = self.workers.get(key)?;
            Some((*key, worker, worker.slots.get(service)?))
        })
    }
}

impl Slot {
    /// What it asked for, less what it has (B-3).
    fn room(&self) -> u64 {
        if self.offer.takes { self.offer.credit.saturating_sub(self.running) } else { 0 }
    }
}

impl Worker {
    /// The tasks it has.
    pub(super) fn tasks(&self) -> Vec<TaskId> {
        self.tasks.keys().copied().collect()
    }
}
