//! Heartbeats, silence, and coming back: who is in the pool.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::pool::{Worker, WorkerOffer};
use super::task::TaskId;
use super::{Action, Broker, LEFT_MAX, PeerOffer};
use crate::ids::EndpointKey;
use crate::time::Time;
use crate::wanted::Kind;

impl Broker {
    /// A worker offers a service, or says something new of it.
    pub fn worker(&mut self, now: Time, key: EndpointKey, service: &str, offer: WorkerOffer) {
        let service: Arc<str> = service.into();
        let mine = self.peers.at_home(self.me.id, &service, key.id);
        if !offer.takes {
            self.note_left(now, key, Some(&service));
        }
        if !self.pool.offer(now, key, &service, offer, mine) {
            self.meter.counters.workers_refused += 1;
            return;
        }
        self.services.entry(Arc::clone(&service)).or_default();
        self.heard(now, key);
        self.staffed(now, &service);
        self.dispatch(now, &service);
    }

    /// Any traffic of a worker is a sign of life (B-7).
    pub fn heard(&mut self, now: Time, key: EndpointKey) {
        let beat = self.config.beat;
        let Some(worker) = self.pool.workers.get_mut(&key) else { return };
        worker.heard = now;
        if worker.silent.take().is_some() {
            worker.beat_at = now + beat;
            self.meter.counters.returned += 1;
            self.resettle(now);
        }
    }

    /// A worker is gone: from one service, or with all it offered (B-4).
    pub fn gone(&mut self, now: Time, key: EndpointKey, service: Option<&str>) {
        self.note_left(now, key, service);
        let lost = self.pool.remove(key, service);
        self.take_back(now, key, lost);
        self.ask_no_longer(now, key);
        self.resettle(now);
    }

    /// Beats are due; whoever missed too many leaves the pool, and is looked for at a growing pace
    /// (B-7, B-8).
    pub(super) fn beat(&mut self, now: Time) {
        let limit = self.config.beat * self.config.liveness;
        let (first, last) = self.config.back_off;
        let mut silenced = Vec::new();
        for (key, worker) in &mut self.pool.workers {
            if worker.beat_at > now {
                continue;
            }
            worker.beat_at = now + self.config.beat;
            if worker.silent.is_none() && now.since(worker.heard) >= limit {
                worker.silent = Some(first);
                silenced.push(*key);
            }
            if let Some(pace) = &mut worker.silent {
                worker.beat_at = now + jitter(*pace, self.rng.unit());
                *pace = (*pace * 2).min(last);
            }
            self.out.push_back(Action::Beat { to: *key });
        }
        for key in silenced {
            self.silence(now, key);
        }
    }

    /// A worker with open requests gives no sign of life: it leaves the pool until the next one.
    pub fn stalled(&mut self, now: Time, key: EndpointKey) {
        let (first, _) = self.config.back_off;
        let Some(worker) = self.pool.workers.get_mut(&key) else { return };
        if worker.silent.is_none() {
            worker.silent = Some(first);
            worker.beat_at = now + jitter(first, self.rng.unit());
            self.silence(now, key);
        }
    }

    /// What it has is given anew, but for what has a key: it may only be slow, and then both would
    /// begin it. That waits until it answers, or is gone (B-17).
    fn silence(&mut self, now: Time, key: EndpointKey) {
        self.meter.counters.silenced += 1;
        self.note_left(now, key, None);
        let tasks = self.pool.workers.get(&key).map(Worker::tasks).unwrap_or_default();
        let keyed = |task: &TaskId| self.tasks.get(task).is_some_and(|it| it.name.is_some());
        let tasks = tasks.into_iter().filter(|task| !keyed(task)).collect();
        self.take_back(now, key, tasks);
        self.resettle(now);
    }

    /// A worker takes nothing more: what wants its kind waits for its successor for a while.
    fn note_left(&mut self, now: Time, key: EndpointKey, service: Option<&str>) {
        for (of, kind) in self.pool.kinds_of(key) {
            let Some(entry) = self.services.get_mut(&of) else { continue };
            if service.is_some_and(|service| *service != *of) || kind == Kind::default() {
                continue; // of which kind nobody wants one in particular
            }
            entry.left.retain(|(known, _)| *known != kind);
            if entry.left.len() >= LEFT_MAX {
                entry.left.pop_front();
            }
            entry.left.push_back((kind, now));
        }
    }

    /// Tasks of a worker that is gone.
    fn take_back(&mut self, now: Time, key: EndpointKey, tasks: Vec<TaskId>) {
        // The oldest ends up in front.
        for task in tasks.into_iter().rev() {
            self.pool.release(key, task);
            let Some(entry) = self.tasks.get_mut(&task) else { continue };
            if entry.given.take().is_some() {
                self.out.push_back(Action::Withdraw { task, from: key });
                self.lost(now, task);
            }
        }
    }

    /// A service has workers again, or none any more.
    pub(super) fn staffed(&mut self, now: Time, service: &Arc<str>) {
        let staffed = self.has_workers(service);
        if let Some(entry) = self.services.get_mut(service) {
            entry.unstaffed = if staffed { None } else { entry.unstaffed.or(Some(now)) };
        }
    }

    /// The pool or the set of brokers has changed: homes, and who can be given what.
    pub(super) fn resettle(&mut self, now: Time) {
        let (peers, me) = (&self.peers, self.me.id);
        self.pool.settle(|service, worker| peers.at_home(me, service, worker.id));
        let services: Vec<Arc<str>> = self.services.keys().cloned().collect();
        for service in services {
            self.staffed(now, &service);
            self.dispatch(now, &service);
        }
    }

    /// Another broker says how much room it has for a service.
    pub fn peer(&mut self, now: Time, key: EndpointKey, service: &str, offer: PeerOffer) {
        if key == self.me {
            return;
        }
        let service: Arc<str> = service.into();
        let known = self.peers.is_up(key);
        match self.peers.told(key, &service, offer) {
            None => self.meter.counters.peers_refused += 1,
            Some(true) => self.resettle(now),
            Some(false) => self.dispatch(now, &service),
        }
        if !known {
            self.share_all(key);
        }
    }

    /// Another broker no longer serves this, or is gone: its workers are at home elsewhere, what it
    /// had been given is given again (B-12).
    pub fn peer_gone(&mut self, now: Time, key: EndpointKey, service: Option<&str>) {
        let tasks = self.peers.remove(key, service);
        for task in tasks.into_iter().rev() {
            let Some(entry) = self.tasks.get_mut(&task) else { continue };
            if entry.given.take().is_some() {
                self.out.push_back(Action::Withdraw { task, from: key });
                self.lost(now, task);
            }
        }
        self.resettle(now);
    }
}

/// Between half and all of a pace, so that many do not come at once.
fn jitter(pace: Duration, chance: f64) -> Duration {
    pace.mul_f64(0.5 + chance / 2.0)
}
