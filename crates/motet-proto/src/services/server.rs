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

mod accepting;
mod answering;
mod promises;

use super::cache::{Cache, DeedKey, Kept, size};
use super::name::check_service;
use super::refused::{RespondError, ServeRefused};
use super::tally::Tally;
use super::terms::{
    Address, InstanceState, Offer, ReplySpec, Role, ServeSettings, ServiceRequest, ServiceStatus,
    Stats,
};
use crate::ids::{EndpointId, EndpointKey, RequestId, ServeId};
use crate::time::Time;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use motet_wire::service as wire;
use promises::Promises;

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
    promises: Promises,
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
    /// Boxed: they are large, and the map moves what it holds.
    accepted: BTreeMap<RequestId, Box<Accepted>>,
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
            promises: Promises::default(),
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
