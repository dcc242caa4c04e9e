//! # Services: requests go to a name, and one of its instances answers
//!
//! Built on topics alone: instances say what they are on `$svc/offer/<service>/<endpoint id>`
//! (their last word is kept for those who come later, and ends with its writer), requests travel on
//! `$svc/req/<endpoint id>`, replies on `$svc/rep/<endpoint id>`, each offered to that one endpoint.
//! A reply returns on the way that its request opened, so there is no race of discovery.
//!
//! Promise: a call ends exactly one way. With an idempotency key it is begun at most once, wherever
//! its instances die. Nothing is begun after its deadline. No answer reaches another call than that
//! it was given to.
//!
//! | file | knows |
//! |---|---|
//! | `directory` | who offers what, and who watches it |
//! | `choice` | which instance gets a call |
//! | `caller`, `call` | calls that are open |
//! | `server`, `cache` | requests that wait or run, answers that are kept |
//! | `terms`, `refused`, `name` | what goes in and out |
//!
//! Not in it: topics and sessions. `node/services.rs` carries messages in and out, and tells of
//! endpoints that come and go.

mod cache;
mod call;
mod caller;
mod choice;
mod directory;
mod name;
mod refused;
mod server;
mod tally;
mod terms;
#[cfg(test)]
mod tests;

pub use call::backoff;
pub use name::{
    ALL_OFFERS, SERVICE_BYTES_MAX, SERVICE_LEVELS_MAX, ServiceNameError, check_service,
    offer_filter, offer_topic, parse_offer_topic, reply_topic, request_topic,
};
pub use refused::{CallRefused, RespondError, ServeRefused};
pub use terms::*;

use crate::counters::Counters;
use crate::ids::{BookId, CallId, EndpointId, EndpointKey, RequestId, ServeId, WatchId};
use crate::rng::Rng;
use crate::time::Time;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use caller::{Callers, Cx};
use directory::Directory;
use motet_wire::service as wire;
use server::{ServerNotice, Servers};
use tally::Tally;

/// What the program is to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// [`Services::next_request`] returns something.
    Request(ServeId),
    /// Nobody waits for the answer to this request any more.
    Cancelled(RequestId),
    /// [`Services::take_output`] returns something.
    Output(CallId),
    /// [`Services::take_change`] returns something.
    Change(WatchId),
    /// A call finds nobody in this book.
    BookLacks(BookId),
    /// [`Services::take_standing`] returns something.
    Standing(u64),
    /// [`Services::take_finding`] returns something.
    Findings,
}

/// The way a message takes: to a server or to a caller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Lane {
    /// `$svc/req/…`
    Requests,
    /// `$svc/rep/…`
    Replies,
}

/// What became of a stream that an offer comes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OfferStream {
    /// It ended for good.
    Ended,
    /// Its session is dead; it may come back.
    Lost,
    /// It is back where it was.
    Back,
}

/// The name of a service, and what an instance of it says of itself.
pub type Announcement = (Arc<str>, Offer);

/// The services side of one endpoint, without topics, sessions or clock.
pub struct Services {
    own: EndpointKey,
    directory: Directory,
    callers: Callers,
    servers: Servers,
    tally: Tally,
    rng: Rng,
    tidy_at: Time,
}

/// How often what is long gone is forgotten.
const TIDY_EVERY: core::time::Duration = core::time::Duration::from_secs(30);

impl Services {
    /// For this endpoint. `seed` is all its chance.
    pub fn new(now: Time, own: EndpointKey, seed: [u8; 32]) -> Self {
        Self {
            own,
            directory: Directory::default(),
            callers: Callers::new(own),
            servers: Servers::new(own),
            tally: Tally::default(),
            rng: Rng::new(seed),
            tidy_at: now + TIDY_EVERY,
        }
    }

    // ---- offering

    /// Offers a service.
    ///
    /// # Errors
    /// [`ServeRefused`]; nothing changed then.
    pub fn serve(
        &mut self,
        now: Time,
        service: &str,
        settings: ServeSettings,
    ) -> Result<ServeId, ServeRefused> {
        self.servers.serve(now, service, settings)
    }

    /// Ends a service: what waits is refused, what runs may still be answered.
    pub fn stop(&mut self, id: ServeId) {
        self.servers.stop(id, &mut self.tally);
    }

    /// Says whether an instance takes work, and why not.
    pub fn set_state(&mut self, id: ServeId, state: InstanceState, reason: &str) {
        self.servers.set_state(id, state, reason);
    }

    /// Changes how many requests are handed out at once, and how many one caller may have open.
    pub fn set_credit(&mut self, id: ServeId, concurrency: u32, credit: u32) {
        self.servers.set_credit(id, concurrency, credit);
    }

    /// Says how loaded the program is, in thousandths.
    pub fn set_load(&mut self, id: ServeId, permille: u32) {
        self.servers.set_load(id, permille);
    }

    /// Shows other metadata.
    pub fn set_metadata(&mut self, id: ServeId, metadata: Vec<(String, String)>) {
        self.servers.set_metadata(id, metadata);
    }

    /// What a service has counted.
    pub fn stats(&self, id: ServeId) -> Option<Stats> {
        self.servers.stats(id)
    }

    /// Requests that wait, and that are handed out.
    pub fn backlog(&self, id: ServeId) -> (usize, usize) {
        self.servers.backlog(id)
    }

    /// Whether [`Services::next_request`] may return something.
    pub fn has_request(&self, id: ServeId) -> bool {
        self.servers.has_request(id)
    }

    /// The oldest request that is not too old, unless enough are handed out.
    pub fn next_request(&mut self, now: Time, id: ServeId) -> Option<ServiceRequest> {
        self.servers.next_request(now, id, &mut self.tally)
    }

    /// Answers a request.
    ///
    /// # Errors
    /// [`RespondError`].
    pub fn respond(
        &mut self,
        now: Time,
        id: RequestId,
        reply: ReplySpec,
        max_message: u64,
    ) -> Result<(), RespondError> {
        self.servers.respond(now, id, reply, max_message, &mut self.tally)
    }

    // ---- calling

    /// Looks for a service from now on.
    ///
    /// # Errors
    /// The rule that its name breaks.
    pub fn seek(&mut self, now: Time, service: &str) -> Result<Arc<str>, CallRefused> {
        check_service(service).map_err(CallRefused::Name)?;
        if let Some((name, _)) = self.directory.services.get_key_value(service) {
            return Ok(name.clone());
        }
        let name: Arc<str> = service.into();
        self.directory.service(now, &name);
        Ok(name)
    }

    /// Begins a call.
    ///
    /// # Errors
    /// [`CallRefused`]; nothing changed then.
    pub fn call(
        &mut self,
        now: Time,
        service: Arc<str>,
        spec: CallSpec,
        max_message: u64,
    ) -> Result<CallId, CallRefused> {
        self.callers.call(now, service, spec, max_message, &mut self.directory)
    }

    /// Gives a call up.
    pub fn cancel(&mut self, now: Time, id: CallId) {
        self.callers.cancel(now, id, &mut self.directory);
    }

    /// What has come of a call, in order.
    pub fn take_output(&mut self, id: CallId) -> Option<CallOutput> {
        self.callers.take_output(id)
    }

    /// Asks an instance how it stands.
    ///
    /// # Errors
    /// The rule that the name breaks.
    pub fn ping(&mut self, now: Time, to: EndpointKey, service: &str) -> Result<u64, CallRefused> {
        self.callers.ping(now, to, service)
    }

    /// The answer to a question, once it has come: `None` in it if the service is not offered.
    pub fn take_standing(&mut self, token: u64) -> Option<Option<(Offer, Stats)>> {
        self.callers.take_standing(token)
    }

    /// Asks a server about a key; what it says is taken by [`Services::take_finding`], unless it goes
    /// before.
    pub fn inquire(&mut self, now: Time, to: EndpointKey, inquiry: &wire::Inquiry<'_>) {
        self.callers.inquire(now, to, inquiry);
    }

    /// What a server found.
    pub fn take_finding(&mut self) -> Option<(EndpointKey, wire::Finding)> {
        let finding = self.callers.findings.pop_front();
        self.callers.findings_told &= finding.is_some();
        finding
    }

    /// Opens a book: calls that name it go only to those that are written into it. Nobody is yet, and
    /// calls wait until it is written.
    ///
    /// # Errors
    /// [`CallRefused`]: the name, or too many are open.
    pub fn open_book(&mut self, service: &Arc<str>) -> Result<BookId, CallRefused> {
        self.callers.books.open(service)
    }

    /// What is in a book from now on, at most 65,536 endpoints. `asked`: when that was asked for; `None`
    /// while nobody has answered.
    pub fn write_book(&mut self, id: BookId, asked: Option<Time>, listed: BTreeSet<EndpointId>) {
        self.callers.write_book(id, asked, listed, &self.directory);
    }

    /// Closes a book: calls that wait in it find nobody.
    pub fn close_book(&mut self, now: Time, id: BookId) {
        self.callers.close_book(now, id, &mut self.directory);
    }

    // ---- watching

    /// Watches one service, or all.
    pub fn watch(&mut self, service: Option<Arc<str>>) -> WatchId {
        self.directory.watch(service)
    }

    /// Ends a watch; true if it was one of all services.
    pub fn unwatch(&mut self, id: WatchId) -> bool {
        self.directory.unwatch(id)
    }

    /// The next change.
    pub fn take_change(&mut self, id: WatchId) -> Option<(Change, InstanceView)> {
        self.directory.take_change(id)
    }

    /// All instances that a watch covers.
    pub fn instances(&self, id: WatchId) -> Vec<InstanceView> {
        self.directory.instances(id)
    }

    // ---- what comes in

    /// An offer came on `topic`.
    pub fn on_offer(
        &mut self,
        now: Time,
        topic: &str,
        writer: EndpointKey,
        name: &Arc<str>,
        payload: &[u8],
    ) {
        let Some((service, id)) = parse_offer_topic(topic) else { return };
        // V-5: nobody speaks for another.
        if id != format!("{}", writer.id) || check_service(service).is_err() {
            self.tally.offers_ignored += 1;
            return;
        }
        let Ok(offer) = Offer::decode(payload) else {
            self.tally.service_malformed += 1;
            return;
        };
        let known = self.directory.services.get_key_value(service).map(|(name, _)| name.clone());
        let service = known.unwrap_or_else(|| service.into());
        if self.directory.on_offer(now, &service, writer, name, offer) {
            self.callers.on_life(now, writer, &mut self.directory);
            self.callers.on_change(&service);
        } else {
            self.tally.offers_ignored += 1;
        }
    }

    /// The stream of an offer changed.
    pub fn on_offer_stream(
        &mut self,
        now: Time,
        topic: &str,
        writer: EndpointKey,
        state: OfferStream,
    ) {
        let Some((service, id)) = parse_offer_topic(topic) else { return };
        let Some((service, _)) = self.directory.services.get_key_value(service) else { return };
        if id != format!("{}", writer.id) {
            return;
        }
        let service = service.clone();
        match state {
            OfferStream::Ended => self.directory.withdraw(now, &service, writer),
            OfferStream::Lost => self.directory.lose(now, &service, writer),
            OfferStream::Back => self.directory.regain(now, &service, writer),
        }
        self.callers.on_change(&service);
    }

    /// A message came on our `$svc/req/…`.
    pub fn on_to_server(&mut self, now: Time, from: EndpointKey, name: &Arc<str>, payload: &Bytes) {
        match wire::ToServer::decode(payload) {
            Ok(wire::ToServer::Request(request)) => {
                self.servers.on_request(now, from, name, payload, &request, &mut self.tally);
            }
            Ok(wire::ToServer::Cancel(cancel)) if cancel.incarnation == from.incarnation => {
                self.servers.on_cancel(from, cancel.call, &mut self.tally);
            }
            Ok(wire::ToServer::Cancel(_)) => self.tally.service_malformed += 1,
            Ok(wire::ToServer::Ping(ping)) => {
                let standing = self.servers.standing(ping.service);
                let pong = wire::Pong { token: ping.token, service: ping.service, standing };
                let mut bytes = Vec::new();
                pong.encode(&mut bytes);
                self.servers.push_reply(from, bytes, &mut self.tally);
            }
            Ok(wire::ToServer::Inquiry(inquiry)) => {
                self.servers.on_inquiry(now, from, &inquiry, &mut self.tally);
            }
            Err(why) => self.servers.on_broken(from, payload, why, &mut self.tally),
        }
    }

    /// A message came on our `$svc/rep/…`.
    pub fn on_to_caller(&mut self, now: Time, from: EndpointKey, payload: &Bytes) {
        match wire::ToCaller::decode(payload) {
            Ok(wire::ToCaller::Reply(reply)) => {
                let Self { directory, tally, rng, .. } = self;
                let mut cx = Cx { directory, tally, rng };
                self.callers.on_reply(now, from, payload, &reply, &mut cx);
            }
            Ok(wire::ToCaller::Pong(pong)) => {
                self.callers.on_pong(now, from, pong, &mut self.directory);
            }
            Ok(wire::ToCaller::Finding(finding)) => {
                let Self { directory, tally, .. } = self;
                self.callers.on_finding(now, from, finding, directory, tally);
            }
            Err(_) => self.tally.service_malformed += 1,
        }
    }

    /// An endpoint is gone; `back`: its session may still be revived.
    pub fn on_peer_gone(&mut self, now: Time, key: EndpointKey, back: bool) {
        for service in self.directory.of(key) {
            if back {
                self.directory.lose(now, &service, key);
            } else {
                self.directory.withdraw(now, &service, key);
            }
            self.callers.on_change(&service);
        }
        self.callers.on_gone(now, key, back, &mut self.directory);
        self.servers.on_client_gone(key, &mut self.tally);
    }

    /// A session with another endpoint came up.
    pub fn on_peer_up(&mut self, now: Time) {
        self.callers.on_peer(now);
    }

    /// A service is asked for by this round of questions.
    pub fn set_round(&mut self, now: Time, service: &Arc<str>, round: u64) {
        self.directory.service(now, service).round = round;
    }

    /// All members that are known have said what they offer, of what was asked for up to this round;
    /// 0: not all. `waits`: somebody has not who will, or will be found gone.
    pub fn on_known(&mut self, round: u64, waits: bool) {
        self.callers.on_known(round, waits, &self.directory);
    }

    /// An endpoint is suspected.
    pub fn on_peer_suspect(&mut self, now: Time, key: EndpointKey) {
        self.callers.on_suspect(now, key, &mut self.directory);
    }

    /// Discovery has settled.
    pub fn on_settled(&mut self) {
        self.callers.on_settled(&self.directory);
    }

    /// The endpoint closes: all calls end.
    pub fn on_close(&mut self, now: Time) {
        self.callers.close(now, &mut self.directory);
    }

    // ---- time and what goes out

    /// When [`Services::on_time`] is to be called.
    pub fn deadline(&self) -> Time {
        let each = [self.callers.deadline(), self.servers.deadline(), Some(self.tidy_at)];
        each.into_iter().flatten().min().unwrap_or(Time::NEVER)
    }

    /// Lets what is due happen.
    pub fn on_time(&mut self, now: Time) {
        self.callers.on_time(now, &mut self.directory, &mut self.rng, &mut self.tally);
        self.servers.on_time(now);
        if self.tidy_at <= now {
            self.tidy_at = now + TIDY_EVERY;
            self.directory.tidy(now);
        }
    }

    /// Gives calls that wait to instances. To be called after any input.
    pub fn work(&mut self, now: Time) {
        self.callers.work(now, &mut self.directory, &mut self.rng);
    }

    /// Services to be announced anew, or to be withdrawn (`None`).
    pub fn next_announcement(&mut self, now: Time) -> Option<(ServeId, Option<Announcement>)> {
        let id = self.servers.announce.pop_first()?;
        Some((id, self.servers.offer(now, id)))
    }

    /// Endpoints that a message may wait for, by lane; each is named once.
    pub fn next_dirty(&mut self) -> Option<(Lane, EndpointKey)> {
        if let Some(key) = self.servers.dirty.pop_first() {
            return Some((Lane::Replies, key));
        }
        self.callers.dirty.pop_first().map(|key| (Lane::Requests, key))
    }

    /// The next message for an endpoint, written into `out`; false if there is none. `offset`: how
    /// many µs its clock is ahead of ours at least (V-16).
    pub fn next_message(
        &mut self,
        lane: Lane,
        to: EndpointKey,
        offset: i64,
        out: &mut Vec<u8>,
    ) -> bool {
        match lane {
            Lane::Requests => self.callers.next_message(to, offset, out),
            Lane::Replies => {
                let Some(bytes) = self.servers.peek_reply(to) else { return false };
                out.clear();
                out.extend_from_slice(bytes);
                true
            }
        }
    }

    /// The message that [`Services::next_message`] gave has left.
    pub fn sent(&mut self, now: Time, lane: Lane, to: EndpointKey) {
        match lane {
            Lane::Requests => self.callers.sent(now, to, &mut self.tally),
            Lane::Replies => self.servers.pop_reply(to),
        }
    }

    /// The way to an endpoint is full: its messages wait.
    pub fn on_full(&mut self) {
        self.callers.on_full(&mut self.tally);
    }

    /// Whether the way to an endpoint is still needed.
    pub fn needs(&self, lane: Lane, to: EndpointKey) -> bool {
        match lane {
            Lane::Requests => self.callers.needs(to),
            Lane::Replies => self.servers.peek_reply(to).is_some(),
        }
    }

    /// What the program is to be told next.
    pub fn next_notice(&mut self) -> Option<Notice> {
        if let Some(notice) = self.servers.notices.pop_front() {
            return Some(match notice {
                ServerNotice::Ready(id) => Notice::Request(id),
                ServerNotice::Cancelled(id) => Notice::Cancelled(id),
            });
        }
        if let Some(id) = self.callers.notices.pop_front() {
            return Some(Notice::Output(id));
        }
        if let Some(token) = self.callers.answered_pings.pop_front() {
            return Some(Notice::Standing(token));
        }
        if !self.callers.findings.is_empty() && !self.callers.findings_told {
            self.callers.findings_told = true;
            return Some(Notice::Findings);
        }
        if let Some(id) = self.callers.books.next_lacking() {
            return Some(Notice::BookLacks(id));
        }
        self.directory.changed.pop_first().map(Notice::Change)
    }

    /// Moves what was counted to `counters`.
    pub fn count(&mut self, counters: &mut Counters) {
        self.tally.take(counters);
    }

    /// This endpoint.
    pub fn own(&self) -> EndpointKey {
        self.own
    }

    /// What must hold after every step.
    ///
    /// # Errors
    /// What does not hold, in words.
    pub fn check(&self) -> Result<(), String> {
        self.servers.check()?;
        self.callers.check()
    }
}
