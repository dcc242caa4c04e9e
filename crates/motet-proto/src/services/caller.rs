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

use super::call::{Call, Outputs, Target, backoff, size};
use super::choice::{choose, stride};
use super::directory::Directory;
use super::name::check_service;
use super::refused::CallRefused;
use super::tally::Tally;
use super::types::{
    Address, CallOutput, CallSpec, FailureKind, Mode, Offer, ServiceReply, ServiceStatus, Stats,
    WaitFor,
};
use crate::ids::{CallId, EndpointId, EndpointKey};
use crate::rng::Rng;
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

/// Calls of one endpoint that are open, or whose replies were not taken.
pub(super) const CALLS_MAX: usize = 131_072;
/// Since the question for a service was sent, so long until nobody is there.
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

/// All calls of this endpoint.
pub(super) struct Callers {
    own: EndpointKey,
    calls: BTreeMap<u64, Call>,
    outputs: BTreeMap<u64, Outputs>,
    due: BTreeSet<(Time, u64)>,
    links: BTreeMap<EndpointKey, Link>,
    /// Servers that something waits for.
    pub(super) dirty: BTreeSet<EndpointKey>,
    pub(super) notices: VecDeque<CallId>,
    pings: BTreeMap<u64, (EndpointId, Option<Option<(Offer, Stats)>>)>,
    pub(super) answered_pings: VecDeque<u64>,
    /// Services whose waiting calls are to be looked at.
    feed: BTreeSet<Arc<str>>,
    /// No link has a deadline before this; may be too early.
    links_due: Time,
    settled: bool,
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
            dirty: BTreeSet::new(),
            notices: VecDeque::new(),
            pings: BTreeMap::new(),
            answered_pings: VecDeque::new(),
            feed: BTreeSet::new(),
            links_due: Time::NEVER,
            settled: false,
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
        let waiting = &mut directory.service(now, &service).waiting;
        if waiting.len() >= CALLS_MAX {
            waiting.retain(|id| self.calls.contains_key(id));
        }
        let id = self.next_call;
        self.next_call += 1;
        let call = Call::new(now, service.clone(), spec);
        self.outputs.insert(id, Outputs::default());
        self.calls.insert(id, call);
        directory.service(now, &service).waiting.push_back(id);
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
            self.feed.extend(directory.services.keys().cloned());
            let ids: Vec<u64> = self.calls.keys().copied().collect();
            ids.into_iter().for_each(|id| self.rearm(id, directory));
        }
    }

    /// Something about the instances of a service changed: calls that wait may go on.
    pub(super) fn on_change(&mut self, service: &Arc<str>) {
        self.feed.insert(service.clone());
    }

    // ---- giving calls to instances

    /// Gives waiting calls to instances.
    pub(super) fn work(&mut self, now: Time, directory: &mut Directory, rng: &mut Rng) {
        while let Some(service) = self.feed.pop_first() {
            let mut skipped = Vec::new();
            while let Some(entry) = directory.services.get_mut(&service)
                && let Some(id) = entry.waiting.pop_front()
            {
                let Some(call) = self.calls.get_mut(&id) else { continue };
                if !call.waits {
                    continue;
                }
                if self.pursue(now, id, directory, rng) {
                    continue;
                }
                let plain = self.calls.get(&id).is_some_and(Call::is_plain);
                skipped.push(id);
                if plain || skipped.len() >= SKIPS_MAX {
                    break;
                }
            }
            if let Some(entry) = directory.services.get_mut(&service) {
                for id in skipped.into_iter().rev() {
                    entry.waiting.push_front(id);
                }
            }
        }
    }

    /// Finds an instance for a call that waits; false if it goes on waiting.
    fn pursue(&mut self, now: Time, id: u64, directory: &mut Directory, rng: &mut Rng) -> bool {
        let Some(call) = self.calls.get_mut(&id) else { return true };
        if call.pause.is_some_and(|until| until > now) {
            return true; // it comes back by its deadline
        }
        call.pause = None;
        let service = call.service.clone();
        let entry = directory.service(now, &service);
        let nobody = BTreeSet::new();
        let avoid = if call.is_one() { &call.failed } else { &nobody };
        let candidates = entry.candidates(now, &call.spec.settings, avoid);
        call.lonely = false;
        if candidates.is_empty() {
            return self.nobody(now, id, directory);
        }
        let mode = call.spec.settings.mode;
        let chosen: Vec<(EndpointKey, Offer)> = match mode {
            Mode::One => {
                let Some(key) = choose(now, &candidates, rng) else { return false };
                let step = stride(now, &candidates, key);
                let offer = candidates.iter().find(|it| it.key == key).map(|it| it.offer.clone());
                let Some(offer) = offer else { return false };
                let clock = entry.clock;
                if let Some(instance) = entry.instances.get_mut(&key) {
                    let pace = &mut instance.pace;
                    let from = pace.clock.max(clock.saturating_sub(16 * step));
                    pace.clock = from.saturating_add(step);
                    entry.clock = clock.max(from);
                }
                [(key, offer)].into()
            }
            Mode::First(n) => {
                let n = if n == 0 { usize::MAX } else { n as usize };
                let mut all: Vec<_> = candidates.iter().collect();
                all.sort_by_key(|it| (it.doubtful, it.pace.outstanding, it.pace.clock, it.key));
                all.into_iter().take(n).map(|it| (it.key, it.offer.clone())).collect()
            }
            Mode::All(_) => {
                let given = |key| call.targets.iter().any(|target| target.key == key);
                let new = candidates.iter().filter(|it| !given(it.key));
                new.map(|it| (it.key, it.offer.clone())).collect()
            }
            Mode::Ordered(_) => {
                let single = candidates.len() == 1;
                let mut all: Vec<_> = candidates.iter().collect();
                // PL-4: whoever failed last is not the first to be asked.
                all.sort_by_key(|it| (it.pace.avoid.0 > now, it.key));
                let given = |key| call.targets.iter().any(|target| target.key == key);
                let next = all.into_iter().find(|it| single || !given(it.key));
                next.map(|it| (it.key, it.offer.clone())).into_iter().collect()
            }
        };
        if chosen.is_empty() {
            if matches!(mode, Mode::All(_)) {
                // Those that come later are asked, too.
                return false;
            }
            call.waits = false;
            self.exhausted(now, id, directory);
            return true;
        }
        call.waits = matches!(mode, Mode::All(_));
        for (key, offer) in chosen {
            self.aim(now, id, key, &offer, directory);
        }
        self.rearm(id, directory);
        !matches!(mode, Mode::All(_))
    }

    fn aim(
        &mut self,
        now: Time,
        id: u64,
        key: EndpointKey,
        offer: &Offer,
        directory: &mut Directory,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let target = call.aim(now, key, offer);
        let ttl = call.spec.settings.ttl;
        let known = match call.target(key) {
            Some(known) => {
                let (open, sent, next_part) = (!known.over, known.sent, known.next_part);
                let attempt = known.attempt;
                *known = if open { Target { sent, next_part, attempt, ..target } } else { target };
                open
            }
            None => {
                call.targets.push(target);
                false
            }
        };
        let service = call.service.clone();
        let link = self.links.entry(key).or_insert_with(|| Link {
            control: VecDeque::new(),
            to_send: VecDeque::new(),
            open: BTreeSet::new(),
            heard: now,
            pinged: now,
            silent: false,
            ttl,
        });
        if link.open.is_empty() {
            // Silence counts from when an answer was first awaited.
            (link.heard, link.pinged, link.ttl) = (now, now, ttl);
        }
        link.ttl = link.ttl.min(ttl);
        self.links_due = self.links_due.min(link.pinged.max(link.heard) + link.ttl / 3);
        link.open.insert(id);
        link.to_send.push_back(id);
        self.dirty.insert(key);
        if !known && let Some(instance) = directory.instance(&service, key) {
            instance.pace.outstanding += 1;
            instance.pace.oldest.get_or_insert(now);
        }
    }

    /// There is no instance that may get the call: it waits, or ends (V-10). True if it ended.
    fn nobody(&mut self, now: Time, id: u64, directory: &mut Directory) -> bool {
        let Some(call) = self.calls.get_mut(&id) else { return true };
        if call.is_asking() {
            return false;
        }
        call.lonely = true;
        let over = match call.spec.settings.wait {
            WaitFor::Nothing => true,
            WaitFor::Deadline => false,
            WaitFor::Settled => {
                let entry = directory.services.get(&call.service);
                let empty = entry.and_then(|entry| empty_at(self.settled, entry));
                empty.is_some_and(|at| at <= now)
            }
        };
        let survey = matches!(call.spec.settings.mode, Mode::All(_));
        if survey {
            // A survey takes its time: who comes late is asked, too.
            self.rearm(id, directory);
            return false;
        }
        if over {
            let kind = call.said.take().unwrap_or(FailureKind::NoResponders);
            self.end_failed(now, id, kind, directory);
            return true;
        }
        self.rearm(id, directory);
        false
    }

    /// All that may be tried was tried.
    fn exhausted(&mut self, now: Time, id: u64, directory: &mut Directory) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.is_asking() && call.targets.iter().any(|it| !it.over && !it.late) {
            return;
        }
        let kind = call.said.take().unwrap_or(FailureKind::TimedOut);
        self.end_failed(now, id, kind, directory);
    }

    /// Puts a call back among those that wait: at the front, for it has waited before (BK-21).
    fn again(&mut self, now: Time, id: u64, directory: &mut Directory) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !core::mem::replace(&mut call.waits, true) {
            let service = call.service.clone();
            directory.service(now, &service).waiting.push_front(id);
            self.feed.insert(service);
        }
        self.rearm(id, directory);
    }

    fn pause(&mut self, now: Time, id: u64, directory: &mut Directory, rng: &mut Rng) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (first, longest) = call.spec.settings.backoff;
        call.pause = Some(now + backoff(first, longest, call.pauses, rng.unit()));
        call.pauses += 1;
        call.failed.clear();
        call.waits = false;
        self.rearm(id, directory);
    }

    /// The instance no longer has this call.
    fn release(
        &mut self,
        key: EndpointKey,
        id: u64,
        service: &Arc<str>,
        directory: &mut Directory,
    ) {
        let Some(link) = self.links.get_mut(&key) else { return };
        if !link.open.remove(&id) {
            return;
        }
        let oldest = link.open.first().copied();
        let sent = oldest
            .and_then(|oldest| self.calls.get(&oldest))
            .and_then(|call| call.targets.iter().find(|it| it.key == key)?.sent);
        if let Some(instance) = directory.instance(service, key) {
            instance.pace.outstanding = instance.pace.outstanding.saturating_sub(1);
            instance.pace.oldest = if instance.pace.outstanding == 0 { None } else { sent };
        }
        self.feed.insert(service.clone());
    }

    // ---- what servers say

    /// A reply from a server, or part of one.
    pub(super) fn on_reply(
        &mut self,
        now: Time,
        from: EndpointKey,
        bytes: &Bytes,
        reply: &wire::Reply<'_>,
        cx: &mut Cx<'_>,
    ) {
        let Cx { directory, tally, rng } = cx;
        self.on_life(now, from, directory);
        let id = reply.call;
        let known = self
            .calls
            .get_mut(&id)
            .filter(|_| reply.incarnation == self.own.incarnation)
            .filter(|call| call.from.is_none_or(|answering| answering == from));
        // V-23: only from whom this very call was given to.
        let Some(call) = known else { return self.unexpected(from, reply, tally) };
        let service = call.service.clone();
        let Some(target) = call.target(from).filter(|it| !it.over && it.sent.is_some()) else {
            return self.unexpected(from, reply, tally);
        };
        if reply.part < target.next_part {
            tally.replies_duplicate += 1;
            return;
        }
        if reply.part > target.next_part {
            let text = "parts of the answer are missing".to_owned();
            let status = ServiceStatus::BadRequest;
            let kind = FailureKind::Status { from, status, code: 0, text };
            return self.end_failed(now, id, kind, directory);
        }
        if reply.status.not_begun() && reply.attempt < target.attempt {
            // V-14: an attempt that left later may be begun yet.
            tally.replies_duplicate += 1;
            return;
        }
        tally.replies_received += 1;
        target.next_part += 1;
        if reply.last {
            target.over = true;
            let sent = target.sent;
            let pace = directory.instance(&service, from).map(|it| &mut it.pace);
            if let Some(pace) = pace.filter(|_| !reply.status.not_begun() && !reply.cached) {
                let round = sent.map_or(0, |sent| now.since(sent).as_micros());
                let took = reply.took_us.min(u64::try_from(round).unwrap_or(u64::MAX));
                pace.on_answer(now, took, reply.backlog);
            }
            self.release(from, id, &service, directory);
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        let mode = call.spec.settings.mode;
        let survey = matches!(mode, Mode::All(_));
        if reply.last && reply.status != ServiceStatus::Ok && !survey {
            return self.on_no(now, from, reply, directory, rng);
        }
        let reply = owned(from, bytes, reply);
        call.out_bytes += size(&reply);
        if call.out_bytes > call.spec.settings.reply_bytes {
            return self.end_failed(now, id, FailureKind::TooLarge, directory);
        }
        if survey {
            call.answered += usize::from(reply.last);
            self.put(id, CallOutput::Part(reply));
            return self.survey_over(now, id, directory);
        }
        if reply.last {
            self.end(now, id, CallOutput::Done(reply), directory);
        } else {
            call.from = Some(from);
            self.put(id, CallOutput::Part(reply));
            // Who answers in parts has until the deadline.
            let until = call_deadline(&mut self.calls, id, from);
            if until {
                self.rearm(id, directory);
            }
        }
    }

    /// The last word of an instance is not `Ok`.
    fn on_no(
        &mut self,
        now: Time,
        from: EndpointKey,
        reply: &wire::Reply<'_>,
        directory: &mut Directory,
        rng: &mut Rng,
    ) {
        let id = reply.call;
        let Some(call) = self.calls.get_mut(&id) else { return };
        let status = reply.status;
        let (code, text) = (reply.code, reply.text.to_owned());
        let kind = FailureKind::Status { from, status, code, text };
        call.failed.insert(from);
        call.said = Some(kind.clone());
        match call.spec.settings.mode {
            Mode::First(_) => {
                if !call.is_asking() {
                    self.end_failed(now, id, kind, directory);
                }
            }
            Mode::Ordered(_) if status.not_begun() => {
                let service = call.service.clone();
                let entry = directory.service(now, &service);
                let others = entry.candidates(now, &call.spec.settings, &BTreeSet::new());
                let given = |key| call.targets.iter().any(|target| target.key == key);
                if others.iter().any(|it| !given(it.key)) {
                    self.again(now, id, directory);
                } else if call.attempts < u64::from(call.spec.settings.tries) {
                    self.pause(now, id, directory, rng);
                } else {
                    self.end_failed(now, id, kind, directory);
                }
            }
            Mode::One if status.not_begun() && call.is_asking() => {}
            Mode::One if status.not_begun() => {
                // V-14: what was not begun may be begun elsewhere, whatever it is.
                let service = call.service.clone();
                if status == ServiceStatus::Unavailable || status == ServiceStatus::UnknownService {
                    // What it said of itself is out of date; the news is on its way.
                    if let Some(instance) = directory.instance(&service, from) {
                        instance.pace.on_failure(now);
                    }
                }
                let entry = directory.service(now, &service);
                let others = entry.candidates(now, &call.spec.settings, &call.failed);
                let rest = || others.iter().filter(|it| !call.failed.contains(&it.key));
                // One that has no credit now is waited for, but not without a pause in which the
                // others are left alone.
                let other = rest().any(|it| (it.pace.outstanding as u64) < it.offer.credit);
                let busy = rest().next().is_some();
                let stale = status == ServiceStatus::Unavailable;
                let nobody = status == ServiceStatus::NoWorkers;
                if other {
                    self.again(now, id, directory);
                } else if nobody {
                    self.end_failed(now, id, kind, directory);
                } else if busy || stale || call.pauses + 1 < call.spec.settings.tries {
                    self.pause(now, id, directory, rng);
                } else {
                    self.end_failed(now, id, kind, directory);
                }
            }
            _ => self.end_failed(now, id, kind, directory),
        }
    }

    /// A reply that nobody asked for, or that comes too late.
    fn unexpected(&mut self, from: EndpointKey, reply: &wire::Reply<'_>, tally: &mut Tally) {
        tally.replies_unexpected += 1;
        // Whoever still sends parts is told that nobody wants them.
        if !reply.last && reply.part % 16 == 0 && reply.incarnation == self.own.incarnation {
            self.say_cancel(from, reply.call);
        }
    }

    /// Any message of a server is a sign of life (V-32).
    pub(super) fn on_life(&mut self, now: Time, from: EndpointKey, directory: &mut Directory) {
        if let Some(link) = self.links.get_mut(&from) {
            link.heard = now;
            if core::mem::take(&mut link.silent) {
                self.links_due = self.links_due.min(now + link.ttl / 3);
            }
        }
        if directory.on_life(now, from) {
            for service in directory.of(from) {
                self.feed.insert(service);
            }
        }
    }

    pub(super) fn on_pong(
        &mut self,
        now: Time,
        from: EndpointKey,
        pong: wire::Pong<'_>,
        directory: &mut Directory,
    ) {
        self.on_life(now, from, directory);
        let asked = self.pings.get_mut(&pong.token).filter(|(id, _)| *id == from.id);
        if let Some((_, answer)) = asked
            && answer.is_none()
        {
            *answer = Some(pong.standing);
            self.answered_pings.push_back(pong.token);
        }
    }

    // ---- instances that go

    /// An endpoint is gone. `back`: its session may be revived, and it may still answer.
    pub(super) fn on_gone(
        &mut self,
        now: Time,
        key: EndpointKey,
        back: bool,
        directory: &mut Directory,
    ) {
        let Some(link) = self.links.get_mut(&key) else { return };
        link.control.clear();
        let open: Vec<u64> = link.open.iter().copied().collect();
        if !back {
            self.dirty.remove(&key);
        }
        // The oldest last, for each is put at the front.
        for id in open.into_iter().rev() {
            self.on_lost(now, id, key, back, directory);
        }
        if !back {
            self.links.remove(&key);
        }
    }

    /// An instance that has a call is gone, or stalls.
    fn on_lost(
        &mut self,
        now: Time,
        id: u64,
        key: EndpointKey,
        back: bool,
        directory: &mut Directory,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let keyed = call.spec.key.is_some();
        let Some(target) = call.target(key).filter(|it| !it.over) else { return };
        let unsent = target.sent.is_none();
        let (safe, broker) = (target.safe, target.broker);
        let elsewhere = unsent || safe || keyed && broker;
        if !elsewhere && keyed && back && call.is_one() {
            return; // it may come back, and has the answer then
        }
        let Some(target) = call.target(key) else { return };
        target.over = true;
        let service = call.service.clone();
        call.failed.insert(key);
        let streaming = call.from == Some(key);
        self.release(key, id, &service, directory);
        let Some(call) = self.calls.get_mut(&id) else { return };
        match call.spec.settings.mode {
            Mode::All(_) => self.survey_over(now, id, directory),
            Mode::First(_) if call.is_asking() => {}
            Mode::Ordered(_) => self.again(now, id, directory),
            Mode::One if elsewhere && !streaming => {
                if unsent || call.attempts < u64::from(call.spec.settings.tries.max(1)) * 4 {
                    self.again(now, id, directory);
                } else {
                    self.end_failed(now, id, FailureKind::Unknown { at: key }, directory);
                }
            }
            _ => self.end_failed(now, id, FailureKind::Unknown { at: key }, directory),
        }
    }

    /// An endpoint is suspected: it is a last resort for a while.
    pub(super) fn on_suspect(&mut self, now: Time, key: EndpointKey, directory: &mut Directory) {
        for service in directory.of(key) {
            if let Some(instance) = directory.instance(&service, key) {
                instance.suspect = now + SUSPECT_FOR;
            }
        }
    }

    // ---- time

    pub(super) fn deadline(&self) -> Option<Time> {
        let calls = self.due.first().map(|(at, _)| *at);
        let links = (self.links_due < Time::NEVER).then_some(self.links_due);
        calls.into_iter().chain(links).min()
    }

    pub(super) fn on_time(
        &mut self,
        now: Time,
        directory: &mut Directory,
        rng: &mut Rng,
        tally: &mut Tally,
    ) {
        while let Some((at, id)) = self.due.first().copied()
            && at <= now
        {
            self.due.pop_first();
            if let Some(call) = self.calls.get_mut(&id) {
                call.due = Time::NEVER;
            }
            self.call_due(now, id, directory, rng, tally);
        }
        if self.links_due > now {
            return;
        }
        let awaited = |link: &Link| !link.open.is_empty() && !link.silent;
        let next = |link: &Link| link.pinged.max(link.heard) + link.ttl / 3;
        let due: Vec<EndpointKey> = self
            .links
            .iter()
            .filter(|(_, link)| awaited(link) && next(link) <= now)
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            self.link_due(now, key, directory);
        }
        let left = self.links.values().filter(|link| awaited(link)).map(next);
        self.links_due = left.min().unwrap_or(Time::NEVER);
    }

    fn call_due(
        &mut self,
        now: Time,
        id: u64,
        directory: &mut Directory,
        rng: &mut Rng,
        tally: &mut Tally,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.deadline <= now {
            let kind = match (&call.said, call.is_asking()) {
                (Some(said), false) => said.clone(),
                _ if call.tried.is_empty() => FailureKind::NoResponders,
                _ => FailureKind::TimedOut,
            };
            if let Mode::All(_) = call.spec.settings.mode {
                let (asked, answered) = (call.tried.len(), call.answered);
                return self.end(now, id, CallOutput::End { asked, answered }, directory);
            }
            return self.end_failed(now, id, kind, directory);
        }
        if call.pause.is_some_and(|until| until <= now) {
            call.pause = None;
            return self.again(now, id, directory);
        }
        let late: Vec<EndpointKey> = call
            .targets
            .iter_mut()
            .filter(|it| !it.over && !it.late && it.until <= now)
            .map(|it| {
                it.late = true;
                it.key
            })
            .collect();
        for key in late {
            self.on_late(now, id, key, directory, tally);
        }
        // It waits, and now it is clear that nobody comes.
        if self.calls.get(&id).is_some_and(|call| call.waits && !call.is_asking()) {
            self.pursue(now, id, directory, rng);
        }
        self.rearm(id, directory);
    }

    /// An attempt has not been answered in time.
    fn on_late(
        &mut self,
        now: Time,
        id: u64,
        key: EndpointKey,
        directory: &mut Directory,
        tally: &mut Tally,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let service = call.service.clone();
        call.failed.insert(key);
        if let Some(instance) = directory.instance(&service, key) {
            instance.pace.on_failure(now);
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        let more = call.attempts < u64::from(call.spec.settings.tries);
        match call.spec.settings.mode {
            Mode::Ordered(_) => {
                let single = call.tried.len() == 1;
                if single && !more {
                    // A single instance had all its tries, unless others are there.
                    call.waits = false;
                    let others = directory.service(now, &service);
                    let settings = &call.spec.settings;
                    if others.candidates(now, settings, &BTreeSet::new()).len() <= 1 {
                        return self.end_failed(now, id, FailureKind::TimedOut, directory);
                    }
                }
                tally.calls_repeated += 1;
                self.again(now, id, directory);
            }
            Mode::One => {
                let safe = call.target(key).is_some_and(|it| it.safe);
                let keyed = call.spec.key.is_some();
                if !more || !(safe || keyed) {
                    return self.end_failed(now, id, FailureKind::TimedOut, directory);
                }
                tally.calls_repeated += 1;
                if safe {
                    return self.again(now, id, directory);
                }
                // With a key it is the same instance that is asked again: it knows the deed.
                let offer = directory.instance(&service, key).map(|it| it.offer.clone());
                match offer {
                    Some(offer) => {
                        self.aim(now, id, key, &offer, directory);
                        self.rearm(id, directory);
                    }
                    None => self.end_failed(now, id, FailureKind::TimedOut, directory),
                }
            }
            _ => {}
        }
    }

    /// A server with open requests has been quiet for a while: it is asked, then given up (V-32).
    fn link_due(&mut self, now: Time, key: EndpointKey, directory: &mut Directory) {
        let Some(link) = self.links.get_mut(&key) else { return };
        link.pinged = now;
        if now.since(link.heard) >= link.ttl {
            link.silent = true;
            directory.on_silence(now, key);
            let open: Vec<u64> = link.open.iter().copied().collect();
            for id in open.into_iter().rev() {
                self.on_stalled(now, id, key, directory);
            }
            return;
        }
        let service = directory.of(key).first().cloned().unwrap_or_else(|| "".into());
        self.say_ping(key, 0, &service);
    }

    /// The server that has a call stalls: another gets it, if that is allowed.
    fn on_stalled(&mut self, now: Time, id: u64, key: EndpointKey, directory: &mut Directory) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (keyed, streaming) = (call.spec.key.is_some(), call.from.is_some());
        let Some(target) = call.target(key).filter(|it| !it.over) else { return };
        let elsewhere = target.sent.is_none() || target.safe || keyed && target.broker;
        if elsewhere && !streaming {
            if target.sent.is_some() {
                self.say_cancel(key, id);
            }
            self.on_lost(now, id, key, true, directory);
        }
    }

    /// Puts the next thing to do for a call into the table of deadlines.
    fn rearm(&mut self, id: u64, directory: &Directory) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let empty = match call.waits {
            true => {
                let entry = directory.services.get(&call.service);
                entry.and_then(|entry| empty_at(self.settled, entry))
            }
            false => None,
        };
        let due = call.next_due(empty);
        if due != call.due {
            self.due.remove(&(call.due, id));
            call.due = due;
            self.due.insert((due, id));
        }
    }

    // ---- the end

    fn survey_over(&mut self, now: Time, id: u64, directory: &mut Directory) {
        let Some(call) = self.calls.get(&id) else { return };
        // Those that discovery may still bring are waited for.
        let entry = directory.services.get(&call.service);
        let quiet = entry.is_some_and(|entry| now.since(entry.since) >= ASK_FOR);
        if !call.is_asking() && self.settled && quiet {
            let (asked, answered) = (call.tried.len(), call.answered);
            self.end(now, id, CallOutput::End { asked, answered }, directory);
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

    // ---- what is sent

    fn say_cancel(&mut self, to: EndpointKey, call: u64) {
        let mut bytes = Vec::new();
        wire::Cancel { incarnation: self.own.incarnation, call }.encode(&mut bytes);
        self.say(to, bytes);
    }

    fn say_ping(&mut self, to: EndpointKey, token: u64, service: &str) {
        let mut bytes = Vec::new();
        wire::Ping { token, service }.encode(&mut bytes);
        self.say(to, bytes);
    }

    fn say(&mut self, to: EndpointKey, bytes: Vec<u8>) {
        if let Some(link) = self.links.get_mut(&to)
            && link.control.len() < LANE_MAX
        {
            link.control.push_back(bytes);
            self.dirty.insert(to);
        }
    }

    /// Asks an instance how it stands.
    pub(super) fn ping(
        &mut self,
        now: Time,
        to: EndpointKey,
        service: &str,
    ) -> Result<u64, CallRefused> {
        check_service(service).map_err(CallRefused::Name)?;
        while self.pings.len() >= PINGS_MAX {
            self.pings.pop_first(); // nobody waits that long
        }
        let token = self.next_token;
        self.next_token += 1;
        self.pings.insert(token, (to.id, None));
        self.links.entry(to).or_insert_with(|| Link {
            control: VecDeque::new(),
            to_send: VecDeque::new(),
            open: BTreeSet::new(),
            heard: now,
            pinged: now,
            silent: false,
            ttl: Duration::from_secs(6),
        });
        self.say_ping(to, token, service);
        Ok(token)
    }

    pub(super) fn take_standing(&mut self, token: u64) -> Option<Option<(Offer, Stats)>> {
        self.pings.get(&token)?.1.as_ref()?;
        self.pings.remove(&token)?.1
    }

    /// The next message for a server, written into `out`: cancels and questions first. `offset` is
    /// how far the server's clock is ahead of ours at least, in µs. False if there is none.
    pub(super) fn next_message(&mut self, to: EndpointKey, offset: i64, out: &mut Vec<u8>) -> bool {
        let Some(link) = self.links.get_mut(&to) else { return false };
        out.clear();
        if let Some(bytes) = link.control.front() {
            out.extend_from_slice(bytes);
            return true;
        }
        loop {
            let Some(id) = link.to_send.front().copied() else { return false };
            let open = self.calls.get_mut(&id).and_then(|call| {
                let deadline = call.target(to).filter(|it| !it.over && it.queued);
                deadline.map(|it| it.deadline).map(|deadline| (deadline, call))
            });
            let Some((deadline, call)) = open else {
                link.to_send.pop_front();
                continue;
            };
            let spec = &call.spec;
            let server_us = i128::from(deadline.micros()) + i128::from(offset);
            let properties = spec.properties.iter().map(|(k, v)| (k.as_str(), v.as_str()));
            let request = wire::Request {
                server: to.incarnation,
                incarnation: self.own.incarnation,
                call: id,
                attempt: call.attempts + 1,
                deadline_us: u64::try_from(server_us).unwrap_or(0),
                address: match &spec.settings.address {
                    Address::Any => Address::Any,
                    Address::Endpoint(id) => Address::Endpoint(*id),
                    Address::Group(group) => Address::Group(group.as_str()),
                },
                service: &call.service,
                version: &spec.settings.version,
                key: spec.key.as_deref(),
                hops: spec.hops.clone(),
                properties: properties.collect(),
                frames: spec.frames.iter().map(|frame| &frame[..]).collect(),
            };
            request.encode(out);
            return true;
        }
    }

    /// The message that [`Callers::next_message`] gave has left.
    pub(super) fn sent(&mut self, now: Time, to: EndpointKey, tally: &mut Tally) {
        let Some(link) = self.links.get_mut(&to) else { return };
        if link.control.pop_front().is_some() {
            return;
        }
        let Some(id) = link.to_send.pop_front() else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.attempts += 1;
        call.tried.insert(to);
        tally.requests_sent += 1;
        let attempt = call.attempts;
        if let Some(target) = call.target(to) {
            target.attempt = attempt;
            target.sent.get_or_insert(now);
            target.queued = false;
        }
    }

    /// The way to a server is full.
    pub(super) fn on_full(&mut self, tally: &mut Tally) {
        tally.service_lanes_full += 1;
    }

    /// Whether anything is open at an endpoint, or waits to go there.
    pub(super) fn needs(&self, key: EndpointKey) -> bool {
        self.links.get(&key).is_some_and(|link| {
            !link.open.is_empty() || !link.control.is_empty() || !link.to_send.is_empty()
        })
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
fn call_deadline(calls: &mut BTreeMap<u64, Call>, id: u64, from: EndpointKey) -> bool {
    let Some(call) = calls.get_mut(&id) else { return false };
    let deadline = call.deadline;
    let Some(target) = call.target(from) else { return false };
    let news = target.until != deadline;
    target.until = deadline;
    news
}

/// When it is clear that nobody offers the service; `None` while somebody does, or it is open.
fn empty_at(settled: bool, entry: &super::directory::Service) -> Option<Time> {
    let asked = entry.since + ASK_FOR;
    match entry.emptied {
        _ if !settled => None,
        Some(emptied) => Some(asked.max(emptied + RETURN_FOR)),
        None if entry.instances.is_empty() => Some(asked),
        None => {
            // There are some, but none that fits this call.
            Some(asked)
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
