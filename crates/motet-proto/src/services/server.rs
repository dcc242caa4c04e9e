//! The serving side: requests are accepted or refused at once, handed out, answered once.
//!
//! | input | effect |
//! |---|---|
//! | REQUEST | refused with a code, answered from the cache, attached to one that runs, or queued |
//! | CANCEL, a caller that is gone | what waits is dropped; whoever works on it is told |
//! | [`Servers::next_request`] | the oldest that is not too old is handed out |
//! | [`Servers::respond`] | goes to all who wait for it, and into the cache |
//!
//! Bounds: `ServeSettings::queue` and `queue_bytes`, `concurrency`, `cache_bytes`;
//! [`REPLY_BYTES_MAX`] of replies that wait for one caller.

use super::cache::{Cache, DeedKey, Kept, size};
use super::name::check_service;
use super::refused::{RespondError, ServeRefused};
use super::tally::Tally;
use super::types::{
    Address, InstanceState, Offer, ReplySpec, Role, ServeSettings, ServiceRequest, ServiceStatus,
    Stats,
};
use crate::ids::{EndpointKey, RequestId, ServeId};
use crate::time::Time;
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use motet_wire::service as wire;

/// Services that one endpoint offers.
const SERVICES_MAX: usize = 4_096;
/// Bytes of parts that wait for one caller; more are refused with `Full`.
const PART_BYTES_MAX: usize = 8 << 20;
/// Bytes of replies that wait for one caller; more are dropped and counted.
pub(super) const REPLY_BYTES_MAX: usize = 128 << 20;
/// How often a queue's length is told to those who watch, while it changes.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Something the program is to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ServerNotice {
    Ready(ServeId),
    Cancelled(RequestId),
}

struct Serving {
    name: Arc<str>,
    settings: ServeSettings,
    state: InstanceState,
    reason: String,
    load: u64,
    queue: VecDeque<RequestId>,
    queue_bytes: usize,
    running: usize,
    stats: Stats,
    cache: Cache,
    /// Deeds that wait or run, by their key.
    deeds: BTreeMap<DeedKey, RequestId>,
    told: (u64, u64),
    tell_at: Time,
    ready: bool,
}

impl Serving {
    fn offer(&self) -> Offer {
        Offer {
            state: self.state,
            role: self.settings.role,
            safe: self.settings.safe,
            concurrency: self.settings.concurrency.into(),
            credit: self.settings.credit.into(),
            queued: self.queue.len() as u64,
            running: self.running as u64,
            queue_max: self.settings.queue.into(),
            load: self.load,
            version: self.settings.version.clone(),
            reason: self.reason.clone(),
            metadata: self.settings.metadata.clone(),
            requires: self.settings.requires.clone(),
        }
    }

    fn free(&self) -> usize {
        (self.settings.concurrency as usize).saturating_sub(self.running)
    }

    fn is_full(&self, bytes: usize) -> bool {
        let bytes_full = !self.queue.is_empty()
            && self.queue_bytes.saturating_add(bytes) > self.settings.queue_bytes;
        bytes_full || self.queue.len() >= (self.settings.queue as usize).saturating_add(self.free())
    }

    fn backlog(&self) -> u64 {
        (self.queue.len() + self.running) as u64
    }
}

/// Who waits for an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Waiter {
    client: EndpointKey,
    /// Its number for the call.
    call: u64,
    /// The last attempt that came.
    attempt: u64,
}

impl Waiter {
    fn id(self) -> (EndpointKey, u64) {
        (self.client, self.call)
    }
}

/// A request that waits or runs.
struct Accepted {
    serving: ServeId,
    request: ServiceRequest,
    bytes: usize,
    started: Option<Time>,
    waiters: Vec<Waiter>,
    deed: Option<DeedKey>,
    /// Parts so far: how many, and themselves if the deed has a key.
    parts: u64,
    kept: Vec<ReplySpec>,
    /// What is kept is too much.
    overfull: bool,
}

/// Replies that wait to be sent to one caller.
#[derive(Default)]
struct Waiting {
    queue: VecDeque<Vec<u8>>,
    bytes: usize,
}

/// All services of this endpoint.
pub(super) struct Servers {
    own: EndpointKey,
    serving: BTreeMap<ServeId, Serving>,
    by_name: BTreeMap<Arc<str>, ServeId>,
    accepted: BTreeMap<RequestId, Accepted>,
    by_call: BTreeMap<(EndpointKey, u64), RequestId>,
    replies: BTreeMap<EndpointKey, Waiting>,
    /// Callers that something waits for.
    pub(super) dirty: BTreeSet<EndpointKey>,
    /// Services whose offer is to be told, or (no longer there) to be withdrawn.
    pub(super) announce: BTreeSet<ServeId>,
    pub(super) notices: VecDeque<ServerNotice>,
    next_serve: u32,
    next_request: u64,
}

impl Servers {
    pub(super) fn new(own: EndpointKey) -> Self {
        Self {
            own,
            serving: BTreeMap::new(),
            by_name: BTreeMap::new(),
            accepted: BTreeMap::new(),
            by_call: BTreeMap::new(),
            replies: BTreeMap::new(),
            dirty: BTreeSet::new(),
            announce: BTreeSet::new(),
            notices: VecDeque::new(),
            next_serve: 1,
            next_request: 1,
        }
    }

    pub(super) fn serve(
        &mut self,
        now: Time,
        name: &str,
        settings: ServeSettings,
    ) -> Result<ServeId, ServeRefused> {
        check_service(name).map_err(ServeRefused::Name)?;
        let rule = |ok: bool, rule| if ok { Ok(()) } else { Err(ServeRefused::Setting(rule)) };
        rule(settings.concurrency >= 1, "concurrency must be at least 1")?;
        rule(settings.credit >= 1, "credit must be at least 1")?;
        rule(
            settings.version.len() <= wire::MAX_SERVICE_VERSION,
            "a version has at most 64 bytes",
        )?;
        check_metadata(&settings.metadata).map_err(ServeRefused::Setting)?;
        rule(settings.requires.len() <= wire::MAX_REQUIRES, "at most 32 services are required")?;
        for service in &settings.requires {
            check_service(service).map_err(ServeRefused::Name)?;
        }
        if self.by_name.contains_key(name) {
            return Err(ServeRefused::Twice);
        }
        if self.serving.len() >= SERVICES_MAX {
            return Err(ServeRefused::Limit);
        }
        let id = ServeId(self.next_serve);
        self.next_serve += 1;
        let name: Arc<str> = name.into();
        self.by_name.insert(name.clone(), id);
        let cache = Cache::new(settings.cache_bytes);
        let serving = Serving {
            name,
            settings,
            state: InstanceState::Up,
            reason: String::new(),
            load: 0,
            queue: VecDeque::new(),
            queue_bytes: 0,
            running: 0,
            stats: Stats::default(),
            cache,
            deeds: BTreeMap::new(),
            told: (0, 0),
            tell_at: now,
            ready: false,
        };
        self.serving.insert(id, serving);
        self.announce.insert(id);
        Ok(id)
    }

    /// Ends a service: what waits is refused, what runs may still be answered.
    pub(super) fn stop(&mut self, id: ServeId, tally: &mut Tally) {
        let Some(serving) = self.serving.get_mut(&id) else { return };
        for request in core::mem::take(&mut serving.queue) {
            let text = "the service ended here before the request was begun";
            self.turn_away(request, ServiceStatus::Unavailable, text, tally);
        }
        if let Some(serving) = self.serving.remove(&id) {
            self.by_name.remove(&serving.name);
        }
        self.announce.insert(id);
    }

    /// Changes what a service says of itself, and tells it at once.
    fn change(&mut self, id: ServeId, change: impl FnOnce(&mut Serving)) {
        if let Some(serving) = self.serving.get_mut(&id) {
            change(serving);
            self.announce.insert(id);
            self.ready(id);
        }
    }

    pub(super) fn set_state(&mut self, id: ServeId, state: InstanceState, reason: &str) {
        self.change(id, |serving| (serving.state, serving.reason) = (state, reason.to_owned()));
    }

    pub(super) fn set_credit(&mut self, id: ServeId, concurrency: u32, credit: u32) {
        self.change(id, |serving| {
            serving.settings.concurrency = concurrency.max(1);
            serving.settings.credit = credit;
        });
    }

    pub(super) fn set_load(&mut self, id: ServeId, permille: u32) {
        self.change(id, |serving| serving.load = permille.into());
    }

    pub(super) fn set_metadata(&mut self, id: ServeId, metadata: Vec<(String, String)>) {
        if check_metadata(&metadata).is_ok() {
            self.change(id, |serving| serving.settings.metadata = metadata);
        }
    }

    pub(super) fn stats(&self, id: ServeId) -> Option<Stats> {
        self.serving.get(&id).map(|serving| serving.stats)
    }

    pub(super) fn backlog(&self, id: ServeId) -> (usize, usize) {
        self.serving.get(&id).map_or((0, 0), |serving| (serving.queue.len(), serving.running))
    }

    /// The name and the offer of a service, to be told.
    pub(super) fn offer(&mut self, now: Time, id: ServeId) -> Option<(Arc<str>, Offer)> {
        let serving = self.serving.get_mut(&id)?;
        let offer = serving.offer();
        (serving.told, serving.tell_at) = ((offer.queued, offer.running), now + TELL_EVERY);
        Some((serving.name.clone(), offer))
    }

    /// The offer and the counters of a service by its name.
    pub(super) fn standing(&self, name: &str) -> Option<(Offer, Stats)> {
        let serving = self.serving.get(self.by_name.get(name)?)?;
        Some((serving.offer(), serving.stats))
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let changed = |serving: &&Serving| {
            serving.told != (serving.queue.len() as u64, serving.running as u64)
        };
        self.serving.values().filter(changed).map(|serving| serving.tell_at).min()
    }

    pub(super) fn on_time(&mut self, now: Time) {
        for (id, serving) in &self.serving {
            let backlog = (serving.queue.len() as u64, serving.running as u64);
            if serving.told != backlog && serving.tell_at <= now {
                self.announce.insert(*id);
            }
        }
    }

    /// Takes a request. What is wrong with it is said to its caller.
    pub(super) fn on_request(
        &mut self,
        now: Time,
        from: EndpointKey,
        from_name: &Arc<str>,
        bytes: &Bytes,
        request: &wire::Request<'_>,
        tally: &mut Tally,
    ) {
        let waiter = Waiter { client: from, call: request.call, attempt: request.attempt };
        if request.incarnation != from.incarnation {
            tally.service_malformed += 1;
            return;
        }
        if request.server != self.own.incarnation {
            // V-12
            let text = "the instance that was meant is gone; this one began later";
            return self.refuse(waiter, request.service, ServiceStatus::Unavailable, text, tally);
        }
        let Some(id) = self.by_name.get(request.service).copied() else {
            let text = format!("{:?} is not offered here", request.service);
            return self.refuse(
                waiter,
                request.service,
                ServiceStatus::UnknownService,
                &text,
                tally,
            );
        };
        if let Some(number) = self.by_call.get(&waiter.id()) {
            // Sent again while the first one waits or runs: that one is answered (V-22).
            tally.requests_repeated += 1;
            let known = self.accepted.get_mut(number).into_iter().flat_map(|it| &mut it.waiters);
            for known in known.filter(|known| known.id() == waiter.id()) {
                known.attempt = known.attempt.max(waiter.attempt);
            }
            if let Some(serving) = self.serving.get_mut(&id) {
                serving.stats.repeated += 1;
            }
            return;
        }
        let Some(serving) = self.serving.get_mut(&id) else { return };
        let origin = request.hops.first().copied().unwrap_or(from.id);
        let origin = if crate::planted::on("reply_cache_without_client") {
            self.own.id
        } else {
            origin // V-20
        };
        let deed = request.key.map(|key| (origin, bytes.slice_ref(key)));
        if let Some(deed) = &deed {
            // V-22
            if let Some(kept) = serving.cache.get(now, deed).cloned() {
                serving.stats.repeated += 1;
                tally.requests_repeated += 1;
                return self.replay(id, waiter, &kept, tally);
            }
            if let Some(running) = serving.deeds.get(deed).copied()
                && !crate::planted::on("work_given_twice")
            {
                serving.stats.repeated += 1;
                tally.requests_repeated += 1;
                return self.attach(running, waiter, tally);
            }
        }
        let fits = super::choice::version_fits(&serving.settings.version, request.version);
        let meant = match &request.address {
            Address::Any => true,
            Address::Endpoint(id) => *id == self.own.id || serving.settings.role == Role::Broker,
            Address::Group(group) => {
                super::choice::in_group(&serving.settings.metadata, group)
                    || serving.settings.role == Role::Broker
            }
        };
        if serving.state != InstanceState::Up {
            // V-30
            let (state, reason) = (serving.state.as_str(), serving.reason.clone());
            let text = if reason.is_empty() { state.into() } else { format!("{state}: {reason}") };
            return self.refuse(waiter, request.service, ServiceStatus::Unavailable, &text, tally);
        }
        if !fits || !meant {
            let text = "this instance is not of the version, endpoint or group that was meant";
            return self.refuse(waiter, request.service, ServiceStatus::Unavailable, text, tally);
        }
        let deadline = Time(request.deadline_us.saturating_mul(1_000));
        if deadline <= now {
            // V-16
            tally.requests_expired += 1;
            let text = "the request came after its deadline, and was not begun";
            return self.refuse(
                waiter,
                request.service,
                ServiceStatus::DeadlinePassed,
                text,
                tally,
            );
        }
        let size = bytes.len();
        if serving.is_full(size) {
            self.drop_expired(now, id, tally);
        }
        let Some(serving) = self.serving.get_mut(&id) else { return };
        if serving.is_full(size) {
            // V-18
            let text = format!("{} requests wait, {} run", serving.queue.len(), serving.running);
            return self.refuse(waiter, request.service, ServiceStatus::Overload, &text, tally);
        }
        let number = RequestId(self.next_request);
        self.next_request += 1;
        // V-4: all of them, whatever they mean.
        let properties = request.properties.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        let request = ServiceRequest {
            id: number,
            service: serving.name.clone(),
            client: from,
            client_name: from_name.clone(),
            call: request.call,
            attempt: request.attempt,
            key: deed.as_ref().map(|(_, key)| key.clone()),
            address: match &request.address {
                Address::Any => Address::Any,
                Address::Endpoint(id) => Address::Endpoint(*id),
                Address::Group(group) => Address::Group((*group).into()),
            },
            version: request.version.into(),
            deadline,
            hops: request.hops.clone(),
            properties: properties.collect(),
            frames: request.frames.iter().map(|frame| bytes.slice_ref(frame)).collect(),
        };
        serving.queue.push_back(number);
        serving.queue_bytes += size;
        serving.stats.accepted += 1;
        if let Some(deed) = &deed {
            serving.deeds.insert(deed.clone(), number);
        }
        tally.requests_accepted += 1;
        self.by_call.insert(waiter.id(), number);
        let accepted = Accepted {
            serving: id,
            request,
            bytes: size,
            started: None,
            waiters: [waiter].into(),
            deed,
            parts: 0,
            kept: Vec::new(),
            overfull: false,
        };
        self.accepted.insert(number, accepted);
        self.ready(id);
    }

    fn refuse(
        &mut self,
        waiter: Waiter,
        service: &str,
        status: ServiceStatus,
        text: &str,
        tally: &mut Tally,
    ) {
        tally.requests_refused += 1;
        let serving = self.by_name.get(service).and_then(|id| self.serving.get_mut(id));
        if let Some(serving) = serving {
            serving.stats.refused += 1;
        }
        self.say_no(waiter, status, text, tally);
    }

    /// Answers what could not be read at all (V-3).
    pub(super) fn on_broken(
        &mut self,
        from: EndpointKey,
        bytes: &[u8],
        why: motet_wire::Malformed,
        tally: &mut Tally,
    ) {
        tally.service_malformed += 1;
        if let Some((incarnation, call, attempt)) = wire::Request::correlation(bytes)
            && incarnation == from.incarnation
        {
            tally.requests_refused += 1;
            let text = format!("the request breaks the protocol: {why}");
            let waiter = Waiter { client: from, call, attempt };
            self.say_no(waiter, ServiceStatus::BadRequest, &text, tally);
        }
    }

    /// The caller no longer wants it (V-24).
    pub(super) fn on_cancel(&mut self, from: EndpointKey, call: u64, tally: &mut Tally) {
        if let Some(waiter) = self.drop_waiter((from, call), tally) {
            self.say_no(waiter, ServiceStatus::Cancelled, "cancelled by the caller", tally);
        }
    }

    /// A caller is gone: nobody waits for its answers.
    pub(super) fn on_client_gone(&mut self, client: EndpointKey, tally: &mut Tally) {
        let last = (client, u64::MAX);
        let calls: Vec<_> = self.by_call.range((client, 0)..=last).map(|(of, _)| *of).collect();
        for waiter in calls {
            self.drop_waiter(waiter, tally);
        }
        if let Some(waiting) = self.replies.remove(&client) {
            tally.replies_dropped += waiting.queue.len() as u64;
        }
        self.dirty.remove(&client);
    }

    /// One who waited no longer does.
    fn drop_waiter(&mut self, of: (EndpointKey, u64), tally: &mut Tally) -> Option<Waiter> {
        let number = self.by_call.remove(&of)?;
        let accepted = self.accepted.get_mut(&number)?;
        let at = accepted.waiters.iter().position(|each| each.id() == of)?;
        let waiter = accepted.waiters.remove(at);
        if !accepted.waiters.is_empty() {
            return Some(waiter);
        }
        tally.requests_cancelled += 1;
        if accepted.started.is_some() {
            self.notices.push_back(ServerNotice::Cancelled(number));
            return Some(waiter);
        }
        let id = accepted.serving;
        if let Some(serving) = self.serving.get_mut(&id) {
            serving.queue.retain(|queued| *queued != number);
            serving.stats.refused += 1;
        }
        self.forget(number);
        Some(waiter)
    }

    /// Takes a request out of all tables.
    fn forget(&mut self, number: RequestId) -> Option<Accepted> {
        let accepted = self.accepted.remove(&number)?;
        for waiter in &accepted.waiters {
            self.by_call.remove(&waiter.id());
        }
        if let Some(serving) = self.serving.get_mut(&accepted.serving) {
            if accepted.started.is_none() {
                serving.queue_bytes -= accepted.bytes;
            }
            if let Some(deed) = &accepted.deed {
                serving.deeds.remove(deed);
            }
        }
        Some(accepted)
    }

    fn drop_expired(&mut self, now: Time, id: ServeId, tally: &mut Tally) {
        let Some(serving) = self.serving.get_mut(&id) else { return };
        let table = &self.accepted;
        let late = |number: &RequestId| {
            table.get(number).is_none_or(|accepted| accepted.request.deadline <= now)
        };
        let queue = core::mem::take(&mut serving.queue).into_iter();
        let (gone, kept): (Vec<RequestId>, Vec<RequestId>) = queue.partition(late);
        serving.queue = kept.into();
        for number in gone {
            tally.requests_expired += 1;
            let text = "the request waited until its deadline, and was not begun";
            self.turn_away(number, ServiceStatus::DeadlinePassed, text, tally);
        }
    }

    /// Refuses one that waited; it is in no queue any more.
    fn turn_away(
        &mut self,
        number: RequestId,
        status: ServiceStatus,
        text: &str,
        tally: &mut Tally,
    ) {
        let Some(accepted) = self.forget(number) else { return };
        tally.requests_refused += 1;
        if let Some(serving) = self.serving.get_mut(&accepted.serving) {
            serving.stats.refused += 1;
        }
        for waiter in accepted.waiters {
            self.say_no(waiter, status, text, tally);
        }
    }

    fn ready(&mut self, id: ServeId) {
        if let Some(serving) = self.serving.get_mut(&id)
            && !serving.ready
            && serving.free() > 0
            && !serving.queue.is_empty()
        {
            serving.ready = true;
            self.notices.push_back(ServerNotice::Ready(id));
        }
    }

    /// Whether [`Servers::next_request`] may return something.
    pub(super) fn has_request(&self, id: ServeId) -> bool {
        self.serving.get(&id).is_some_and(|it| it.free() > 0 && !it.queue.is_empty())
    }

    /// The oldest request that is not too old, unless enough are worked on.
    pub(super) fn next_request(
        &mut self,
        now: Time,
        id: ServeId,
        tally: &mut Tally,
    ) -> Option<ServiceRequest> {
        loop {
            let serving = self.serving.get_mut(&id)?;
            serving.ready = false;
            if serving.free() == 0 {
                return None;
            }
            let number = serving.queue.pop_front()?;
            let accepted = self.accepted.get_mut(&number)?;
            // V-17
            if accepted.request.deadline <= now && !crate::planted::on("started_after_deadline") {
                tally.requests_expired += 1;
                let text = "the request waited until its deadline, and was not begun";
                self.turn_away(number, ServiceStatus::DeadlinePassed, text, tally);
                continue;
            }
            accepted.started = Some(now);
            serving.queue_bytes -= accepted.bytes;
            serving.running += 1;
            return Some(accepted.request.clone());
        }
    }

    /// Sends an answer, or a part of it, to all who wait for it.
    pub(super) fn respond(
        &mut self,
        now: Time,
        number: RequestId,
        mut reply: ReplySpec,
        max_message: u64,
        tally: &mut Tally,
    ) -> Result<(), RespondError> {
        check_reply(&reply, max_message)?;
        let accepted = self.accepted.get_mut(&number).ok_or(RespondError::Gone)?;
        let started = accepted.started.ok_or(RespondError::Gone)?;
        let took = now.since(started);
        if !reply.last {
            let full = accepted.waiters.iter().any(|waiter| {
                self.replies
                    .get(&waiter.client)
                    .is_some_and(|waiting| waiting.bytes >= PART_BYTES_MAX)
            });
            if full {
                return Err(RespondError::Full);
            }
            if accepted.waiters.is_empty() && accepted.deed.is_none() {
                return Err(RespondError::Gone);
            }
        }
        reply.text.truncate(floor(&reply.text, wire::MAX_STATUS_TEXT));
        let part = accepted.parts;
        accepted.parts += 1;
        let (waiters, keyed) = (accepted.waiters.clone(), accepted.deed.is_some());
        let serving = self.serving.get_mut(&accepted.serving);
        let room = serving.as_ref().map_or(0, |serving| serving.settings.cache_bytes);
        if keyed {
            let held = accepted.kept.iter().map(size).sum::<usize>() + size(&reply);
            if held <= room && !accepted.overfull {
                accepted.kept.push(reply.clone());
            } else {
                accepted.kept.clear();
                accepted.overfull = true;
            }
        }
        let backlog = serving.map_or(0, |serving| serving.backlog() - u64::from(reply.last));
        let head = Head { part, took, backlog, cached: false };
        for waiter in &waiters {
            self.send(*waiter, &reply, head, tally);
        }
        if reply.last {
            self.finish(now, number, &reply, took, tally);
        }
        if waiters.is_empty() { Err(RespondError::Gone) } else { Ok(()) }
    }

    fn finish(
        &mut self,
        now: Time,
        number: RequestId,
        reply: &ReplySpec,
        took: Duration,
        tally: &mut Tally,
    ) {
        let Some(accepted) = self.forget(number) else { return };
        let Some(serving) = self.serving.get_mut(&accepted.serving) else { return };
        serving.running -= 1;
        match reply.status {
            ServiceStatus::Ok => serving.stats.answered += 1,
            _ => serving.stats.failed += 1,
        }
        serving.stats.busy_us += u64::try_from(took.as_micros()).unwrap_or(u64::MAX >> 8);
        if let Some(deed) = accepted.deed {
            // No shorter than anybody may ask again (V-21).
            let until = (now + serving.settings.cache_for).max(accepted.request.deadline);
            let kept = if accepted.overfull { Vec::new() } else { accepted.kept };
            serving.cache.put(now, deed, kept, until);
            tally.replies_forgotten += core::mem::take(&mut serving.cache.forgotten);
        }
        self.ready(accepted.serving);
    }

    /// One more who waits for a deed that waits or runs already.
    fn attach(&mut self, number: RequestId, waiter: Waiter, tally: &mut Tally) {
        let Some(accepted) = self.accepted.get_mut(&number) else { return };
        accepted.waiters.push(waiter);
        self.by_call.insert(waiter.id(), number);
        let head = |part| Head { part, took: Duration::ZERO, backlog: 0, cached: false };
        let parts = accepted.kept.clone();
        for (part, reply) in parts.iter().enumerate() {
            self.send(waiter, reply, head(part as u64), tally);
        }
    }

    /// Answers from what was kept.
    fn replay(&mut self, id: ServeId, waiter: Waiter, kept: &Kept, tally: &mut Tally) {
        let backlog = self.serving.get(&id).map_or(0, Serving::backlog);
        let head = |part| Head { part, took: Duration::ZERO, backlog, cached: true };
        match kept {
            Kept::Answer(parts) if !parts.is_empty() => {
                for (part, reply) in parts.iter().enumerate() {
                    self.send(waiter, reply, head(part as u64), tally);
                }
            }
            _ => {
                let text = "it was done before; its answer is no longer kept".to_owned();
                let status = ServiceStatus::Unknown;
                let reply = ReplySpec { status, text, ..ReplySpec::default() };
                self.send(waiter, &reply, head(0), tally);
            }
        }
    }

    fn say_no(&mut self, waiter: Waiter, status: ServiceStatus, text: &str, tally: &mut Tally) {
        let reply = ReplySpec { status, text: text.to_owned(), ..ReplySpec::default() };
        let head = Head { part: 0, took: Duration::ZERO, backlog: 0, cached: false };
        self.send(waiter, &reply, head, tally);
    }

    fn send(
        &mut self,
        Waiter { client, call, attempt }: Waiter,
        reply: &ReplySpec,
        head: Head,
        tally: &mut Tally,
    ) {
        let properties = reply.properties.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let message = wire::Reply {
            incarnation: client.incarnation,
            call,
            attempt,
            part: head.part,
            last: reply.last,
            cached: head.cached,
            status: reply.status,
            code: reply.code.min(motet_wire::codec::MAX_VI),
            took_us: u64::try_from(head.took.as_micros()).unwrap_or(0),
            backlog: head.backlog,
            text: &reply.text,
            properties: properties.collect(),
            frames: reply.frames.iter().map(|frame| &frame[..]).collect(),
        };
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.push_reply(client, bytes, tally);
    }

    /// Puts a message in the queue for a caller.
    pub(super) fn push_reply(&mut self, client: EndpointKey, bytes: Vec<u8>, tally: &mut Tally) {
        let waiting = self.replies.entry(client).or_default();
        if !waiting.queue.is_empty() && waiting.bytes + bytes.len() > REPLY_BYTES_MAX {
            tally.replies_dropped += 1;
            return;
        }
        waiting.bytes += bytes.len() + 64;
        waiting.queue.push_back(bytes);
        self.dirty.insert(client);
    }

    /// The first message that waits for a caller.
    pub(super) fn peek_reply(&self, client: EndpointKey) -> Option<&[u8]> {
        self.replies.get(&client)?.queue.front().map(Vec::as_slice)
    }

    /// It was sent, or cannot be.
    pub(super) fn pop_reply(&mut self, client: EndpointKey) {
        let Some(waiting) = self.replies.get_mut(&client) else { return };
        if let Some(bytes) = waiting.queue.pop_front() {
            waiting.bytes -= bytes.len() + 64;
        }
        if waiting.queue.is_empty() {
            self.replies.remove(&client);
        }
    }

    /// What must hold after every step.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut running = BTreeMap::new();
        let mut queued = 0;
        for accepted in self.accepted.values() {
            if accepted.started.is_some() {
                *running.entry(accepted.serving).or_insert(0) += 1;
            } else {
                queued += 1;
            }
        }
        let mut in_queues = 0;
        for (id, serving) in &self.serving {
            in_queues += serving.queue.len();
            let runs = running.get(id).copied().unwrap_or(0);
            if serving.running != runs {
                return Err(format!("V: {} run, {runs} were handed out", serving.running));
            }
            if serving.cache.bytes() > serving.settings.cache_bytes {
                return Err(format!("V: {} bytes in a reply cache", serving.cache.bytes()));
            }
        }
        if in_queues != queued {
            return Err(format!("V: {queued} requests wait, {in_queues} are in queues"));
        }
        Ok(())
    }
}

/// What a reply says beside the answer.
#[derive(Clone, Copy)]
struct Head {
    part: u64,
    took: Duration,
    backlog: u64,
    cached: bool,
}

fn check_metadata(metadata: &[(String, String)]) -> Result<(), &'static str> {
    if metadata.len() > wire::MAX_PROPERTIES {
        return Err("at most 64 metadata are shown");
    }
    let bytes = metadata.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
    if bytes > METADATA_BYTES_MAX { Err("metadata have at most 16 KiB") } else { Ok(()) }
}

const METADATA_BYTES_MAX: usize = 16 << 10;

fn check_reply(reply: &ReplySpec, max_message: u64) -> Result<(), RespondError> {
    if reply.properties.len() > wire::MAX_PROPERTIES {
        return Err(RespondError::Invalid("an answer has at most 64 properties"));
    }
    if reply.frames.len() > wire::MAX_PARTS {
        return Err(RespondError::Invalid("an answer has at most 256 frames"));
    }
    if (size(reply) + 256) as u64 > max_message {
        return Err(RespondError::Invalid(
            "the answer is larger than a message may be; send it in parts",
        ));
    }
    Ok(())
}

/// The last boundary of a character at or below `max`.
fn floor(text: &str, max: usize) -> usize {
    let mut at = text.len().min(max);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
