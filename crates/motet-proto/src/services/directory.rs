//! Who offers what, as far as this endpoint has looked, and those who watch it.

use super::choice::{Candidate, Pace, may_serve};
use super::terms::{CallSettings, Change, InstanceState, InstanceView, Offer};
use crate::ids::{EndpointKey, WatchId};
use crate::time::Time;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// Instances known at once; offers beyond that are ignored and counted.
const INSTANCES_MAX: usize = 65_536;
/// An instance whose session is dead is remembered for its return so long.
const LOST_FOR: Duration = Duration::from_secs(120);

/// An instance of a service.
pub(super) struct Instance {
    pub(super) name: Arc<str>,
    pub(super) offer: Offer,
    pub(super) pace: Pace,
    pub(super) heard: Time,
    /// Its session is dead; it may come back as it was.
    pub(super) lost: Option<Time>,
    /// It has open requests and gives no sign of life.
    pub(super) silent: bool,
    /// Its endpoint is suspected until then.
    pub(super) suspect: Time,
}

impl Instance {
    fn usable(&self) -> bool {
        self.lost.is_none() && !self.silent && self.offer.state == InstanceState::Up
    }

    fn view(&self, service: &Arc<str>, key: EndpointKey) -> InstanceView {
        InstanceView {
            service: service.clone(),
            key,
            name: self.name.clone(),
            offer: self.offer.clone(),
            outstanding: self.pace.outstanding,
            took: Duration::from_micros(self.pace.took_us),
            heard: self.heard,
            silent: self.silent,
        }
    }
}

/// A service that somebody here calls or watches.
pub(super) struct Service {
    pub(super) instances: BTreeMap<EndpointKey, Instance>,
    /// When it was first looked for.
    pub(super) since: Time,
    /// Which round of questions asked for it: see [`Callers::on_known`](super::caller::Callers).
    pub(super) round: u64,
    /// When the last usable instance went.
    pub(super) emptied: Option<Time>,
    pub(super) clock: u64,
    /// Calls that wait for credit or for an instance.
    pub(super) waiting: VecDeque<u64>,
}

impl Service {
    /// Those that may get this call now.
    pub(super) fn candidates<'a>(
        &'a self,
        now: Time,
        settings: &CallSettings,
        avoid: &BTreeSet<EndpointKey>,
    ) -> Vec<Candidate<'a>> {
        let dead = crate::planted::on("dead_server_chosen");
        // V-11, V-31
        let alive = self.instances.iter().filter(|(key, it)| {
            may_serve(&it.offer, **key, settings) && (dead || it.lost.is_none() && !it.silent)
        });
        let each = alive.map(|(key, it)| Candidate {
            key: *key,
            offer: &it.offer,
            pace: &it.pace,
            failed: avoid.contains(key),
            doubtful: it.suspect > now,
        });
        each.collect()
    }
}

struct Watch {
    service: Option<Arc<str>>,
    pending: BTreeMap<(Arc<str>, EndpointKey), (Change, Option<InstanceView>)>,
    order: VecDeque<(Arc<str>, EndpointKey)>,
}

/// All services that are looked for.
#[derive(Default)]
pub(super) struct Directory {
    pub(super) services: BTreeMap<Arc<str>, Service>,
    by_key: BTreeMap<EndpointKey, BTreeSet<Arc<str>>>,
    watches: BTreeMap<WatchId, Watch>,
    /// Watches that have something.
    pub(super) changed: BTreeSet<WatchId>,
    count: usize,
    next_watch: u32,
}

impl Directory {
    pub(super) fn service(&mut self, now: Time, name: &Arc<str>) -> &mut Service {
        self.services.entry(name.clone()).or_insert_with(|| Service {
            instances: BTreeMap::new(),
            since: now,
            round: u64::MAX,
            emptied: None,
            clock: 0,
            waiting: VecDeque::new(),
        })
    }

    /// An instance says what it is; false if there is no room.
    pub(super) fn on_offer(
        &mut self,
        now: Time,
        service: &Arc<str>,
        key: EndpointKey,
        name: &Arc<str>,
        offer: Offer,
    ) -> bool {
        let full = self.count >= INSTANCES_MAX;
        let entry = self.service(now, service);
        let lowest = entry.instances.values().map(|it| it.pace.clock).min().unwrap_or(0);
        let change = match entry.instances.get_mut(&key) {
            Some(known) => {
                let was = known.lost.take().is_some();
                (known.heard, known.silent) = (now, false);
                let same = known.offer == offer;
                known.offer = offer;
                match (was, same) {
                    (true, _) => Change::Up,
                    (false, true) => return true,
                    (false, false) => Change::Changed,
                }
            }
            None if full => return false,
            None => {
                let pace = Pace { clock: lowest, ..Pace::default() };
                let (lost, silent, suspect) = (None, false, Time::ZERO);
                let name = name.clone();
                let new = Instance { name, offer, pace, heard: now, lost, silent, suspect };
                entry.instances.insert(key, new);
                self.count += 1;
                self.by_key.entry(key).or_default().insert(service.clone());
                Change::Up
            }
        };
        self.note_empty(now, service);
        self.tell(service, key, change);
        true
    }

    /// The stream of an offer ended for good: the instance withdrew, or is gone.
    pub(super) fn withdraw(&mut self, now: Time, service: &Arc<str>, key: EndpointKey) {
        let Some(entry) = self.services.get_mut(service) else { return };
        let Some(known) = entry.instances.get(&key) else { return };
        let (told, view) = (known.lost.is_some(), known.view(service, key));
        if !told {
            self.tell_view(service, key, Change::Gone, Some(view));
        }
        if let Some(entry) = self.services.get_mut(service) {
            entry.instances.remove(&key);
            self.count -= 1;
        }
        if let Some(services) = self.by_key.get_mut(&key) {
            services.remove(service);
            if services.is_empty() {
                self.by_key.remove(&key);
            }
        }
        self.note_empty(now, service);
    }

    /// The session of an endpoint is dead; it may come back.
    pub(super) fn lose(&mut self, now: Time, service: &Arc<str>, key: EndpointKey) {
        let Some(known) = self.instance(service, key) else { return };
        if known.lost.is_none() {
            let view = known.view(service, key);
            known.lost = Some(now);
            self.tell_view(service, key, Change::Gone, Some(view));
            self.note_empty(now, service);
        }
    }

    /// It is back as it was.
    pub(super) fn regain(&mut self, now: Time, service: &Arc<str>, key: EndpointKey) {
        let Some(known) = self.instance(service, key) else { return };
        if known.lost.take().is_some() {
            (known.heard, known.silent) = (now, false);
            self.note_empty(now, service);
            self.tell(service, key, Change::Up);
        }
    }

    /// Services that an endpoint offers, as far as they are looked for.
    pub(super) fn of(&self, key: EndpointKey) -> Vec<Arc<str>> {
        self.by_key.get(&key).map(|all| all.iter().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn instance(
        &mut self,
        service: &Arc<str>,
        key: EndpointKey,
    ) -> Option<&mut Instance> {
        self.services.get_mut(service)?.instances.get_mut(&key)
    }

    /// A sign of life of an endpoint. True if it had been silent.
    pub(super) fn on_life(&mut self, now: Time, key: EndpointKey) -> bool {
        let mut back = false;
        for service in self.of(key) {
            let Some(known) = self.instance(&service, key) else { continue };
            (known.heard, known.suspect) = (now, Time::ZERO);
            if core::mem::take(&mut known.silent) {
                back = true;
                self.note_empty(now, &service);
                self.tell(&service, key, Change::Back);
            }
        }
        back
    }

    /// It does not answer (V-32).
    pub(super) fn on_silence(&mut self, now: Time, key: EndpointKey) {
        for service in self.of(key) {
            let Some(known) = self.instance(&service, key) else { continue };
            if !core::mem::replace(&mut known.silent, true) {
                self.note_empty(now, &service);
                self.tell(&service, key, Change::Silent);
            }
        }
    }

    fn note_empty(&mut self, now: Time, service: &Arc<str>) {
        if let Some(entry) = self.services.get_mut(service) {
            let usable = entry.instances.values().any(Instance::usable);
            if usable {
                entry.emptied = None;
            } else {
                entry.emptied.get_or_insert(now);
            }
        }
    }

    /// Forgets instances that did not come back.
    pub(super) fn tidy(&mut self, now: Time) {
        let mut gone = Vec::new();
        for (service, entry) in &self.services {
            let lost = entry
                .instances
                .iter()
                .filter(|(_, it)| it.lost.is_some_and(|since| now.since(since) > LOST_FOR));
            gone.extend(lost.map(|(key, _)| (service.clone(), *key)));
        }
        for (service, key) in gone {
            self.withdraw(now, &service, key);
        }
    }

    pub(super) fn watch(&mut self, service: Option<Arc<str>>) -> WatchId {
        self.next_watch += 1;
        let id = WatchId(self.next_watch);
        let mut watch =
            Watch { service: service.clone(), pending: BTreeMap::new(), order: VecDeque::new() };
        for (name, entry) in &self.services {
            if service.as_ref().is_some_and(|only| only != name) {
                continue;
            }
            for (key, _) in entry.instances.iter().filter(|(_, it)| it.lost.is_none()) {
                watch.pending.insert((name.clone(), *key), (Change::Up, None));
                watch.order.push_back((name.clone(), *key));
            }
        }
        if !watch.order.is_empty() {
            self.changed.insert(id);
        }
        self.watches.insert(id, watch);
        id
    }

    /// Whether the watch was one of all services.
    pub(super) fn unwatch(&mut self, id: WatchId) -> bool {
        self.changed.remove(&id);
        self.watches.remove(&id).is_some_and(|watch| watch.service.is_none())
    }

    pub(super) fn take_change(&mut self, id: WatchId) -> Option<(Change, InstanceView)> {
        loop {
            let watch = self.watches.get_mut(&id)?;
            let at = watch.order.pop_front()?;
            let Some((change, view)) = watch.pending.remove(&at) else { continue };
            if change == Change::Gone && view.is_none() {
                continue;
            }
            let (service, key) = at;
            let now = self.services.get(&service).and_then(|entry| entry.instances.get(&key));
            let view = view.or_else(|| now.map(|it| it.view(&service, key)));
            if let Some(view) = view {
                return Some((change, view));
            }
        }
    }

    pub(super) fn instances(&self, id: WatchId) -> Vec<InstanceView> {
        let Some(watch) = self.watches.get(&id) else { return Vec::new() };
        let mut found = Vec::new();
        for (name, entry) in &self.services {
            if watch.service.as_ref().is_none_or(|only| only == name) {
                let here = entry.instances.iter().filter(|(_, it)| it.lost.is_none());
                found.extend(here.map(|(key, it)| it.view(name, *key)));
            }
        }
        found
    }

    fn tell(&mut self, service: &Arc<str>, key: EndpointKey, change: Change) {
        self.tell_view(service, key, change, None);
    }

    /// Changes of one instance that wait are merged: the last one counts, but an instance that
    /// nobody was told of yet comes up first.
    fn tell_view(
        &mut self,
        service: &Arc<str>,
        key: EndpointKey,
        change: Change,
        view: Option<InstanceView>,
    ) {
        for (id, watch) in &mut self.watches {
            if watch.service.as_ref().is_some_and(|only| only != service) {
                continue;
            }
            let at = (service.clone(), key);
            match watch.pending.get_mut(&at) {
                // Nobody had heard of it, and nobody will.
                Some(waiting) if waiting.0 == Change::Up && change == Change::Gone => {
                    *waiting = (Change::Gone, None);
                }
                Some((Change::Up, _)) => {}
                Some(waiting) if waiting.0 == Change::Gone => *waiting = (Change::Up, None),
                Some(waiting) => *waiting = (change, view.clone()),
                None => {
                    watch.pending.insert(at.clone(), (change, view.clone()));
                    watch.order.push_back(at);
                    if watch.order.len() > INSTANCES_MAX
                        && let Some(oldest) = watch.order.pop_front()
                    {
                        watch.pending.remove(&oldest);
                    }
                    self.changed.insert(*id);
                }
            }
        }
    }
}
