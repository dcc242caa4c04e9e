//! The calling side: each call is given to an instance, and ends exactly one way.
//!
//! | input | effect |
//! |---|---|
//! | [`Callers::call`] | given to the best instance, or waits for one |
//! | REPLY | handed over; a refusal, or a part out of order, is acted upon |
//! | an instance that goes, stalls, or comes | calls are given anew where that is allowed (V-14) |
//! | time | attempts and calls that are over, questions to the silent |
//!
//! Bounds: [`CALLS_MAX`] calls, `CallSettings::reply_bytes` each.

mod answers;
mod books;
mod clockwork;
mod giving;
mod inquiring;
mod losses;
mod sending;

use super::call::{Call, Outputs, Target, backoff, size};
use super::choice::{choose, stride};
use super::directory::Directory;
use super::name::check_service;
use super::refused::CallRefused;
use super::tally::Tally;
use super::terms::{
    Address, CallOutput, CallSpec, FailureKind, Mode, Offer, Role, ServiceReply, ServiceStatus,
    Stats, WaitFor,
};
use crate::ids::{BookId, CallId, EndpointId, EndpointKey};
use crate::rng::Rng;
use crate::time::Time;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use books::Books;
use bytes::Bytes;
use core::time::Duration;
use motet_wire::service as wire;

/// Calls of one endpoint that are open, or whose replies were not taken.
pub(super) const CALLS_MAX: usize = 131_072;
/// Where not all answer: since the question for a service was sent, so long until nobody is there.
const ASK_FOR: Duration = Duration::from_millis(300);
/// An instance that is gone is waited for so long.
const RETURN_FOR: Duration = Duration::from_secs(3);
/// Cancels and questions that wait for one server; more are dropped and counted.
const LANE_MAX: usize = 131_072;
/// Questions of the program that are not answered yet.
const PINGS_MAX: usize = 1_024;
/// Calls that cannot be given to anybody are passed over so often in one turn.
const SKIPS_MAX: usize = 64;

/// The way to one server.
struct Link {
    /// Cancels and questions.
    control: VecDeque<Vec<u8>>,
    /// Calls that wait to leave.
    to_send: VecDeque<u64>,
    /// Calls that are open there.
    open: BTreeSet<u64>,
    heard: Time,
    pinged: Time,
    silent: bool,
    ttl: Duration,
}

/// What an instance that was pinged says of itself; nothing if it does not offer the service.
type Standing = Option<(Offer, Stats)>;

/// All calls of this endpoint.
pub(super) struct Callers {
    own: EndpointKey,
    /// Boxed: they are large, and the map moves what it holds.
    calls: BTreeMap<u64, Box<Call>>,
    outputs: BTreeMap<u64, Outputs>,
    due: BTreeSet<(Time, u64)>,
    links: BTreeMap<EndpointKey, Link>,
    pub(super) books: Books,
    /// Servers that something waits for.
    pub(super) dirty: BTreeSet<EndpointKey>,
    pub(super) notices: VecDeque<CallId>,
    pings: BTreeMap<u64, (EndpointId, Option<Standing>)>,
    pub(super) answered_pings: VecDeque<u64>,
    /// Inquiries that are not answered yet, and answers that were not taken.
    inquiries: BTreeSet<(EndpointKey, u64)>,
    pub(super) findings: VecDeque<(EndpointKey, wire::Finding)>,
    /// The program was told of them.
    pub(super) findings_told: bool,
    /// Services whose waiting calls are to be looked at.
    feed: BTreeSet<Arc<str>>,
    /// No link has a deadline before this; may be too early.
    links_due: Time,
    settled: bool,
    /// Up to this round of questions all members that are known have said what they offer.
    known: u64,
    /// Somebody has not who will, or will be found gone: no time is enough.
    waits: bool,
    /// When a session last came up: it is asked, too, and needs its time.
    last_up: Time,
    next_call: u64,
    next_token: u64,
}

impl Callers {
    pub(super) fn new(own: EndpointKey) -> Self {
        Self {
            own,
            calls: BTreeMap::new(),
            outputs: BTreeMap::new(),
            due: BTreeSet::new(),
            links: BTreeMap::new(),
            books: Books::default(),
            dirty: BTreeSet::new(),
            notices: VecDeque::new(),
            pings: BTreeMap::new(),
            answered_pings: VecDeque::new(),
            inquiries: BTreeSet::new(),
            findings: VecDeque::new(),
            findings_told: false,
            feed: BTreeSet::new(),
            links_due: Time::NEVER,
            settled: false,
            known: 0,
            waits: false,
            last_up: Time::ZERO,
            next_call: 1,
            next_token: 1,
        }
    }

    /// Begins a call.
    pub(super) fn call(
        &mut self,
        now: Time,
        service: Arc<str>,
        spec: CallSpec,
        max_message: u64,
        directory: &mut Directory,
    ) -> Result<CallId, CallRefused> {
        check_service(&service).map_err(CallRefused::Name)?;
        check(&spec, max_message).map_err(CallRefused::Setting)?;
        if self.outputs.len() >= CALLS_MAX {
            return Err(CallRefused::Limit);
        }
        let book = spec.settings.book;
        let calls = &self.calls;
        let Some(waiting) = self.books.waiting(now, &service, book, directory) else {
            return Err(CallRefused::Setting("the book is closed, or of another service"));
        };
        if waiting.len() >= CALLS_MAX {
            waiting.retain(|id| calls.contains_key(id));
        }
        let id = self.next_call;
        self.next_call += 1;
        let call = Box::new(Call::new(now, service.clone(), spec));
        self.outputs.insert(id, Outputs::default());
        self.calls.insert(id, call);
        if let Some(waiting) = self.books.waiting(now, &service, book, directory) {
            waiting.push_back(id);
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.waits = true;
        }
        self.rearm(id, directory);
        self.feed.insert(service);
        Ok(CallId(id))
    }

    /// The program no longer wants it.
    pub(super) fn cancel(&mut self, now: Time, id: CallId, directory: &mut Directory) {
        if self.calls.contains_key(&id.0) {
            self.end_failed(now, id.0, FailureKind::Cancelled, directory);
        }
    }

    pub(super) fn take_output(&mut self, id: CallId) -> Option<CallOutput> {
        let outputs = self.outputs.get_mut(&id.0)?;
        let output = outputs.queue.pop_front();
        if outputs.queue.is_empty() {
            outputs.told = false;
            if outputs.over {
                self.outputs.remove(&id.0);
            }
        }
        if let Some(CallOutput::Part(reply)) = &output
            && let Some(call) = self.calls.get_mut(&id.0)
        {
            call.out_bytes = call.out_bytes.saturating_sub(size(reply));
        }
        output
    }

    /// Discovery has settled.
    pub(super) fn on_settled(&mut self, directory: &Directory) {
        if !core::mem::replace(&mut self.settled, true) {
            self.look_again(directory);
        }
    }

    /// All members that are known have said what they offer of what was asked for up to this round;
    /// 0: not all.
    pub(super) fn on_known(&mut self, round: u64, waits: bool, directory: &Directory) {
        let before = core::mem::replace(&mut self.known, round);
        let waited = core::mem::replace(&mut self.waits, waits);
        if (round > before || waited != waits) && self.settled {
            self.look_again(directory);
        }
    }

    fn look_again(&mut self, directory: &Directory) {
        self.feed.extend(directory.services.keys().cloned());
        let ids: Vec<u64> = self.calls.keys().copied().collect();
        ids.into_iter().for_each(|id| self.rearm(id, directory));
    }

    fn heard(&self) -> Heard {
        let Self { settled, known, waits, last_up, .. } = *self;
        Heard { settled, known, waits, last_up }
    }

    /// A session came up.
    pub(super) fn on_peer(&mut self, now: Time) {
        self.last_up = now;
    }

    /// Something about the instances of a service changed: calls that wait may go on.
    pub(super) fn on_change(&mut self, service: &Arc<str>) {
        self.feed.insert(service.clone());
    }

    fn survey_over(&mut self, now: Time, id: u64, directory: &mut Directory) {
        let Some(call) = self.calls.get(&id) else { return };
        // Those that discovery may still bring are waited for.
        let entry = directory.services.get(&call.service);
        let quiet = entry.is_some_and(|it| self.heard().asked_at(it) <= now);
        if call.is_asking() {
            return;
        }
        if self.settled && quiet {
            let (asked, answered) = (call.tried.len(), call.answered);
            self.end(now, id, CallOutput::End { asked, answered }, directory);
        } else {
            self.rearm(id, directory); // nobody may come who would remind us
        }
    }

    fn end_failed(&mut self, now: Time, id: u64, kind: FailureKind, directory: &mut Directory) {
        let Some(call) = self.calls.get(&id) else { return };
        let failure = call.failure(now, kind);
        self.end(now, id, CallOutput::Failed(failure), directory);
    }

    /// Ends a call: whoever still works on it is told.
    fn end(&mut self, _now: Time, id: u64, output: CallOutput, directory: &mut Directory) {
        let Some(call) = self.calls.remove(&id) else { return };
        self.due.remove(&(call.due, id));
        for target in &call.targets {
            if !target.over {
                if target.sent.is_some() {
                    self.say_cancel(target.key, id);
                }
                self.release(target.key, id, &call.service, directory);
            }
        }
        self.put(id, output);
        if let Some(outputs) = self.outputs.get_mut(&id) {
            outputs.over = true;
        }
    }

    fn put(&mut self, id: u64, output: CallOutput) {
        let Some(outputs) = self.outputs.get_mut(&id) else { return };
        outputs.queue.push_back(output);
        if !core::mem::replace(&mut outputs.told, true) {
            self.notices.push_back(CallId(id));
        }
    }

    /// All calls end: the endpoint closes.
    pub(super) fn close(&mut self, now: Time, directory: &mut Directory) {
        let ids: Vec<u64> = self.calls.keys().copied().collect();
        for id in ids {
            self.end_failed(now, id, FailureKind::Closed, directory);
        }
    }

    /// What must hold after every step.
    pub(super) fn check(&self) -> Result<(), String> {
        for (key, link) in &self.links {
            for id in &link.open {
                let asks = self
                    .calls
                    .get(id)
                    .is_some_and(|call| call.targets.iter().any(|it| it.key == *key && !it.over));
                if !asks {
                    return Err(format!("V: call {id} is open at {} and does not ask it", key.id));
                }
            }
        }
        for (id, call) in &self.calls {
            if call.due == Time::NEVER || !self.due.contains(&(call.due, *id)) {
                return Err(format!("V: call {id} waits for nothing"));
            }
        }
        Ok(())
    }
}

/// What a reply may act upon beside the calls.
pub(super) struct Cx<'a> {
    pub(super) directory: &'a mut Directory,
    pub(super) tally: &'a mut Tally,
    pub(super) rng: &'a mut Rng,
}

/// Whoever answers in parts has until the deadline of the call. True if that was news.
fn call_deadline(calls: &mut BTreeMap<u64, Box<Call>>, id: u64, from: EndpointKey) -> bool {
    let Some(call) = calls.get_mut(&id) else { return false };
    let deadline = call.deadline;
    let Some(target) = call.target(from) else { return false };
    let news = target.until != deadline;
    target.until = deadline;
    news
}

/// What members have said of their offers, as far as it is known.
#[derive(Clone, Copy)]
struct Heard {
    settled: bool,
    known: u64,
    waits: bool,
    last_up: Time,
}

impl Heard {
    /// When all that discovery had found were asked what they offer. V-10: where all have answered,
    /// nobody is waited for; who will answer is, for as long as that takes.
    fn asked_at(self, entry: &super::directory::Service) -> Time {
        match entry.round <= self.known {
            true => entry.since,
            false if self.waits => Time::NEVER,
            false => entry.since.max(self.last_up) + ASK_FOR,
        }
    }

    /// When it is clear that nobody offers the service; `None` while somebody does, or it is open.
    fn empty_at(self, entry: &super::directory::Service) -> Option<Time> {
        let asked = self.asked_at(entry);
        match entry.emptied {
            _ if !self.settled || asked == Time::NEVER => None,
            Some(emptied) => Some(asked.max(emptied + RETURN_FOR)),
            // There is none, or none that fits this call.
            None => Some(asked),
        }
    }
}

fn check(spec: &CallSpec, max_message: u64) -> Result<(), &'static str> {
    let rule = |ok: bool, rule| if ok { Ok(()) } else { Err(rule) };
    let settings = &spec.settings;
    if let Some(key) = &spec.key {
        rule(
            (1..=wire::MAX_IDEMPOTENCY_KEY).contains(&key.len()),
            "an idempotency key has 1 to 512 bytes",
        )?;
    }
    rule(spec.properties.len() <= wire::MAX_PROPERTIES, "a request has at most 64 properties")?;
    rule(spec.frames.len() <= wire::MAX_PARTS, "a request has at most 256 frames")?;
    rule(spec.hops.len() <= wire::MAX_HOPS, "a request is passed on at most 16 times")?;
    rule(settings.tries >= 1, "tries must be at least 1")?;
    rule(settings.version.len() <= wire::MAX_SERVICE_VERSION, "a version has at most 64 bytes")?;
    rule(settings.ttl >= Duration::from_millis(30), "ttl must be at least 30 ms")?;
    let frames = spec.frames.iter().map(|frame| frame.len() + 8).sum::<usize>();
    let properties = spec.properties.iter().map(|(k, v)| k.len() + v.len() + 16).sum::<usize>();
    let bytes = (frames + properties + 2_048) as u64;
    rule(bytes <= max_message, "the request is larger than a message may be; send less at once")
}

fn owned(from: EndpointKey, bytes: &Bytes, reply: &wire::Reply<'_>) -> ServiceReply {
    let properties = reply.properties.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    ServiceReply {
        from,
        part: reply.part,
        last: reply.last,
        cached: reply.cached,
        status: reply.status,
        code: reply.code,
        text: reply.text.to_owned(),
        took: Duration::from_micros(reply.took_us),
        properties: properties.collect(),
        frames: reply.frames.iter().map(|frame| bytes.slice_ref(frame)).collect(),
    }
}

/// A suspected endpoint is a last resort for so long.
const SUSPECT_FOR: Duration = Duration::from_secs(2);
