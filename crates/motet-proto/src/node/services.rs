//! Services ⇄ topics: messages on `$svc/…`, and endpoints that come and go.
//!
//! Built on the verbs of topics alone. Its own publications and subscriptions are hidden from the
//! application: their events end here. An endpoint that neither offers nor calls anything pays
//! nothing.

mod books;
mod known;

use super::Node;
use crate::config::{History, PubQos, SlowPolicy, SubQos};
use crate::crypto::Crypto;
use crate::events::{Delivery, DownReason, Event, WriterState};
use crate::ids::{CallId, EndpointId, EndpointKey, PubId, RequestId, ServeId, SubId, WatchId};
use crate::node::message::Message;
use crate::node::verbs::PublishError;
use crate::services::{
    ALL_OFFERS, CallOutput, CallRefused, CallSpec, Change, InstanceState, InstanceView, Lane,
    Notice, Offer, OfferStream, ReplySpec, RespondError, ServeRefused, ServeSettings,
    ServiceRequest, Services, Stats, offer_filter, offer_topic, reply_topic, request_topic,
};
use crate::time::Time;
use crate::topics::filter::TopicFilter;
use crate::topics::name::TopicName;
use crate::transport::liveness::State;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use known::Known;
use motet_wire::service::{Finding, Inquiry};

/// The layer, and the topics it uses.
pub(super) struct Wiring {
    layer: Services,
    requests: Option<SubId>,
    replies: Option<SubId>,
    /// Subscriptions to the offers of one service each.
    sought: BTreeMap<Arc<str>, SubId>,
    /// The subscription to all offers, and how many watches want it.
    all: Option<(SubId, usize)>,
    subs: BTreeSet<SubId>,
    offers: BTreeMap<ServeId, PubId>,
    lanes: BTreeMap<(Lane, EndpointId), (PubId, EndpointKey)>,
    pubs: BTreeMap<PubId, Option<(Lane, EndpointKey)>>,
    /// Events at the front that were looked at already.
    scanned: usize,
    /// The event of having settled was seen.
    settled: bool,
    known: Known,
    scratch: Vec<u8>,
    /// How far a server's clock is ahead of ours at least, and when that was looked up.
    offsets: BTreeMap<EndpointKey, (i64, Time)>,
}

/// How long a look at a server's clock is good for; an older one is safe, but stricter.
const OFFSET_FOR: core::time::Duration = core::time::Duration::from_millis(100);

/// After the start, an endpoint that is dialled is waited for so long before nobody is there.
const DIAL_FOR: core::time::Duration = core::time::Duration::from_secs(3);

/// Requests and replies wait for room, in order; each is wanted once.
fn lane_qos() -> PubQos {
    PubQos { history: 0, slow: SlowPolicy::Block, ..PubQos::default() }
}

/// What an instance is: its last word.
fn offer_qos() -> PubQos {
    PubQos { history: 1, priority: 2, log_bytes: 64 << 10, ..PubQos::default() }
}

impl<C: Crypto> Node<C> {
    /// Offers a service: from now on requests may come, told by
    /// [`Event::Request`].
    ///
    /// # Errors
    /// [`ServeRefused`]; nothing changed then.
    pub fn serve(
        &mut self,
        now: Time,
        service: &str,
        settings: ServeSettings,
    ) -> Result<ServeId, ServeRefused> {
        let id = self.wiring(now).layer.serve(now, service, settings)?;
        if self.wiring(now).requests.is_none() {
            let topic = request_topic(self.key.id);
            let sub = self.listen(now, &topic, History::None);
            self.wiring(now).requests = Some(sub);
        }
        self.run_services(now);
        Ok(id)
    }

    /// Ends a service: what waits is refused, what runs may still be answered.
    pub fn stop_serving(&mut self, now: Time, id: ServeId) {
        self.with_services(now, |layer| layer.stop(id));
    }

    /// Says whether an instance takes work, and why not.
    pub fn set_serving(&mut self, now: Time, id: ServeId, state: InstanceState, reason: &str) {
        self.with_services(now, |layer| layer.set_state(id, state, reason));
    }

    /// Changes how many requests are handed out at once, and how many one caller may have open.
    pub fn set_credit(&mut self, now: Time, id: ServeId, concurrency: u32, credit: u32) {
        self.with_services(now, |layer| layer.set_credit(id, concurrency, credit));
    }

    /// Says how loaded the program is, in thousandths.
    pub fn set_load(&mut self, now: Time, id: ServeId, permille: u32) {
        self.with_services(now, |layer| layer.set_load(id, permille));
    }

    /// Shows other metadata; more than 64, or than 16 KiB, are not taken.
    pub fn set_metadata(&mut self, now: Time, id: ServeId, metadata: Vec<(String, String)>) {
        self.with_services(now, |layer| layer.set_metadata(id, metadata));
    }

    /// What a service has counted.
    pub fn serving_stats(&self, id: ServeId) -> Option<Stats> {
        self.services.as_ref()?.layer.stats(id)
    }

    /// Requests that wait, and requests that are handed out and unanswered.
    pub fn backlog(&self, id: ServeId) -> (usize, usize) {
        self.services.as_ref().map_or((0, 0), |wiring| wiring.layer.backlog(id))
    }

    /// Nothing waits, nothing is unanswered, and every answer has reached its caller.
    pub fn is_idle(&self, id: ServeId) -> bool {
        let Some(wiring) = &self.services else { return true };
        let told = |(lane, at): (&(Lane, EndpointId), &(PubId, EndpointKey))| {
            lane.0 != Lane::Replies
                || self.unacked(at.0) == 0 && !wiring.layer.needs(Lane::Replies, at.1)
        };
        wiring.layer.backlog(id) == (0, 0) && wiring.lanes.iter().all(told)
    }

    /// Whether [`Node::next_request`] may return something.
    pub fn has_request(&self, id: ServeId) -> bool {
        self.services.as_ref().is_some_and(|wiring| wiring.layer.has_request(id))
    }

    /// The oldest request that is not too old, unless as many are handed out as the service takes
    /// on at once. It is to be answered by [`Node::respond`].
    pub fn next_request(&mut self, now: Time, id: ServeId) -> Option<ServiceRequest> {
        let request = self.services.as_mut()?.layer.next_request(now, id);
        self.run_services(now);
        request
    }

    /// Sends an answer, or a part of it, to all who wait for it.
    ///
    /// # Errors
    /// [`RespondError`]: nobody waits for it, too much waits already, or it breaks a bound.
    pub fn respond(
        &mut self,
        now: Time,
        id: RequestId,
        reply: ReplySpec,
    ) -> Result<(), RespondError> {
        let max = self.cfg.max_message;
        let wiring = self.services.as_mut().ok_or(RespondError::Gone)?;
        let result = wiring.layer.respond(now, id, reply, max);
        self.run_services(now);
        result
    }

    /// Looks for the instances of a service from now on.
    ///
    /// # Errors
    /// The rule that its name breaks.
    pub fn seek_service(&mut self, now: Time, service: &str) -> Result<(), CallRefused> {
        self.seek(now, service)?;
        self.run_services(now);
        Ok(())
    }

    fn seek(&mut self, now: Time, service: &str) -> Result<Arc<str>, CallRefused> {
        let name = self.wiring(now).layer.seek(now, service)?;
        if !self.wiring(now).sought.contains_key(&name) {
            if self.wiring(now).all.is_none() {
                let sub = self.listen(now, &offer_filter(&name), History::All);
                self.wiring(now).sought.insert(name.clone(), sub);
                self.ask_anew(now);
            }
            let wiring = self.wiring(now);
            let round = wiring.all.map_or(wiring.known.round, |_| wiring.known.round_of_all);
            wiring.layer.set_round(now, &name, round);
        }
        self.listen_for_replies(now);
        Ok(name)
    }

    fn listen_for_replies(&mut self, now: Time) {
        if self.wiring(now).replies.is_none() {
            let topic = reply_topic(self.key.id);
            let sub = self.listen(now, &topic, History::None);
            self.wiring(now).replies = Some(sub);
        }
    }

    /// Calls a service. What comes of it is told by
    /// [`Event::CallOutput`] and taken by [`Node::take_output`].
    ///
    /// # Errors
    /// [`CallRefused`]; nothing changed then.
    pub fn call(
        &mut self,
        now: Time,
        service: &str,
        spec: CallSpec,
    ) -> Result<CallId, CallRefused> {
        let max = self.cfg.max_message;
        let name = self.seek(now, service)?;
        let id = self.wiring(now).layer.call(now, name, spec, max)?;
        self.run_services(now);
        Ok(id)
    }

    /// Gives a call up; whoever works on it is told.
    pub fn cancel_call(&mut self, now: Time, id: CallId) {
        self.with_services(now, |layer| layer.cancel(now, id));
    }

    /// What has come of a call, in order. To be called until `None`.
    pub fn take_output(&mut self, id: CallId) -> Option<CallOutput> {
        self.services.as_mut()?.layer.take_output(id)
    }

    /// Watches the instances of one service, or of all. Changes are told by
    /// [`Event::ServiceChange`].
    pub fn watch_services(&mut self, now: Time, service: Option<&str>) -> WatchId {
        let name = service.and_then(|service| self.seek(now, service).ok());
        if service.is_none() {
            match &mut self.wiring(now).all {
                Some((_, watches)) => *watches += 1,
                None => {
                    let sub = self.listen(now, ALL_OFFERS, History::All);
                    self.wiring(now).all = Some((sub, 1));
                    self.ask_anew(now);
                    let known = &mut self.wiring(now).known;
                    known.round_of_all = known.round;
                }
            }
        }
        let id = self.wiring(now).layer.watch(name);
        self.run_services(now);
        id
    }

    /// Ends a watch.
    pub fn unwatch_services(&mut self, now: Time, id: WatchId) {
        let Some(wiring) = &mut self.services else { return };
        if wiring.layer.unwatch(id)
            && let Some((_, watches)) = &mut wiring.all
        {
            // The subscription stays: services that were found by it may be called.
            *watches -= 1;
        }
        self.run_services(now);
    }

    /// The next change of a watch.
    pub fn take_change(&mut self, id: WatchId) -> Option<(Change, InstanceView)> {
        self.services.as_mut()?.layer.take_change(id)
    }

    /// All instances that a watch covers.
    pub fn instances(&self, id: WatchId) -> Vec<InstanceView> {
        self.services.as_ref().map_or_else(Vec::new, |wiring| wiring.layer.instances(id))
    }

    /// Asks the instance at an endpoint how it stands; the answer is told by
    /// [`Event::Standing`].
    ///
    /// # Errors
    /// The name breaks a rule, or no session with the endpoint stands.
    pub fn ping_service(
        &mut self,
        now: Time,
        at: EndpointId,
        service: &str,
    ) -> Result<u64, CallRefused> {
        let known = (at == self.key.id).then_some(self.key);
        let peer = || Some(self.peers.get(*self.by_id.get(&at)?)?.as_ref()?.key);
        let to = known
            .or_else(peer)
            .ok_or(CallRefused::Setting("no session with that endpoint stands; is it up?"))?;
        self.listen_for_replies(now);
        let token = self.wiring(now).layer.ping(now, to, service)?;
        self.run_services(now);
        Ok(token)
    }

    /// The answer to [`Node::ping_service`], once it has come; `None` in it if the endpoint does not
    /// offer the service.
    pub fn take_standing(&mut self, token: u64) -> Option<Option<(Offer, Stats)>> {
        self.services.as_mut()?.layer.take_standing(token)
    }

    /// Asks a server about a key (V-40). What it finds is told by [`Event::Findings`] and taken by
    /// [`Node::take_finding`]; one that goes before answers nothing.
    pub fn inquire(&mut self, now: Time, to: EndpointKey, inquiry: &Inquiry<'_>) {
        self.listen_for_replies(now);
        self.wiring(now).layer.inquire(now, to, inquiry);
        self.run_services(now);
    }

    /// What a server found. To be called until `None`.
    pub fn take_finding(&mut self) -> Option<(EndpointKey, Finding)> {
        self.services.as_mut()?.layer.take_finding()
    }

    // ---- the wiring

    fn wiring(&mut self, now: Time) -> &mut Wiring {
        let (key, rng) = (self.key, &mut self.rng);
        self.services.get_or_insert_with(|| {
            Box::new(Wiring {
                layer: Services::new(now, key, rng.bytes()),
                requests: None,
                replies: None,
                sought: BTreeMap::new(),
                all: None,
                subs: BTreeSet::new(),
                offers: BTreeMap::new(),
                lanes: BTreeMap::new(),
                pubs: BTreeMap::new(),
                scanned: 0,
                settled: false,
                known: Known::new(),
                scratch: Vec::new(),
                offsets: BTreeMap::new(),
            })
        })
    }

    fn with_services(&mut self, now: Time, what: impl FnOnce(&mut Services)) {
        if let Some(wiring) = &mut self.services {
            what(&mut wiring.layer);
            self.run_services(now);
        }
    }

    /// Subscribes to topics of the layer. Its queue takes any message: it is read at once.
    fn listen(&mut self, now: Time, filter: &str, history: History) -> SubId {
        let queue_bytes = usize::try_from(self.cfg.max_message).unwrap_or(usize::MAX) + (1 << 20);
        let qos = SubQos { history, queue_bytes, ..SubQos::default() };
        let filters = TopicFilter::parse(filter).into_iter().collect();
        let sub = self.subscribe_to(now, filters, qos);
        self.wiring(now).subs.insert(sub);
        sub
    }

    pub(super) fn services_deadline(&self) -> Option<Time> {
        self.services.as_ref().map(|wiring| wiring.layer.deadline().min(wiring.known.deadline()))
    }

    pub(super) fn services_timeout(&mut self, now: Time) {
        if let Some(wiring) = &mut self.services
            && wiring.layer.deadline() <= now
        {
            wiring.layer.on_time(now);
        }
    }

    /// An event was handed out.
    pub(super) fn event_taken(&mut self) {
        if let Some(wiring) = &mut self.services {
            wiring.scanned = wiring.scanned.saturating_sub(1);
        }
    }

    pub(super) fn services_close(&mut self, now: Time) {
        self.with_services(now, |layer| layer.on_close(now));
    }

    /// To be called last with every input: hands the layer what concerns it, and carries out what
    /// it wants.
    pub(super) fn run_services(&mut self, now: Time) {
        if self.services.is_none() {
            return;
        }
        loop {
            self.scan_events(now);
            // Whoever is being dialled may offer what is asked for; but dead addresses are dialled, too.
            let dialling = !self.dials.is_empty() && now.since(self.doubled.born) < DIAL_FOR;
            let settled = self.discovery.settled() && !dialling;
            let Some(wiring) = &mut self.services else { return };
            if settled && !wiring.settled {
                wiring.settled = true;
                wiring.layer.on_settled();
            }
            self.look_who_has_answered(now, settled);
            let Some(wiring) = &mut self.services else { return };
            wiring.layer.work(now);
            while let Some(wiring) = &mut self.services
                && let Some((id, offer)) = wiring.layer.next_announcement(now)
            {
                self.announce_service(now, id, offer);
            }
            while let Some(wiring) = &mut self.services
                && let Some((lane, key)) = wiring.layer.next_dirty()
            {
                self.fill_lane(now, lane, key);
            }
            let Some(wiring) = &mut self.services else { return };
            while let Some(notice) = wiring.layer.next_notice() {
                self.events.push_back(match notice {
                    Notice::Request(id) => Event::Request(id),
                    Notice::Cancelled(id) => Event::RequestCancelled(id),
                    Notice::Output(id) => Event::CallOutput(id),
                    Notice::Change(id) => Event::ServiceChange(id),
                    Notice::BookLacks(id) => Event::BookLacks(id),
                    Notice::Standing(token) => Event::Standing(token),
                    Notice::Findings => Event::Findings,
                });
            }
            wiring.layer.count(&mut self.counters);
            if self.events.len() <= wiring.scanned {
                return;
            }
        }
    }

    /// Looks at events that are new: those of our own topics end here.
    fn scan_events(&mut self, now: Time) {
        while let Some(wiring) = &mut self.services
            && let Some(event) = self.events.get(wiring.scanned)
        {
            let at = wiring.scanned;
            let ours = match event {
                Event::Readable(sub) | Event::Writer { subscription: sub, .. } => {
                    wiring.subs.contains(sub)
                }
                Event::Writable(id)
                | Event::Flushed(id)
                | Event::ReaderJoined { publication: id, .. }
                | Event::ReaderLeft { publication: id, .. }
                | Event::ReaderLagging { publication: id, .. }
                | Event::Refused { publication: id, .. } => wiring.pubs.contains_key(id),
                Event::PeerDown { key, reason, .. } => {
                    let (key, reason) = (*key, *reason);
                    wiring.scanned += 1;
                    self.service_peer_gone(now, key, reason);
                    continue;
                }
                Event::PeerUp { .. } => {
                    wiring.scanned += 1;
                    wiring.known.look = true;
                    wiring.layer.on_peer_up(now);
                    continue;
                }
                Event::PeerSuspect { key } => {
                    let key = *key;
                    wiring.scanned += 1;
                    wiring.layer.on_peer_suspect(now, key);
                    continue;
                }
                _ => false,
            };
            if !ours {
                wiring.scanned += 1;
                continue;
            }
            let Some(event) = self.events.remove(at) else { return };
            self.on_own_event(now, event);
        }
    }

    fn on_own_event(&mut self, now: Time, event: Event) {
        let Some(wiring) = &mut self.services else { return };
        match event {
            Event::Readable(sub) => self.read_services(now, sub),
            Event::Writer { subscription, writer, topic, state } => {
                if Some(subscription) == wiring.requests || Some(subscription) == wiring.replies {
                    return;
                }
                match state {
                    WriterState::Joined => wiring.known.opened(writer, &topic),
                    _ => wiring.known.heard(writer, &topic),
                }
                let state = match state {
                    WriterState::Joined => return,
                    WriterState::Resumed => OfferStream::Back,
                    WriterState::Suspended | WriterState::Dead => OfferStream::Lost,
                    _ => OfferStream::Ended,
                };
                wiring.layer.on_offer_stream(now, &topic, writer, state);
            }
            Event::Writable(id) | Event::ReaderJoined { publication: id, .. } => {
                if let Some(Some((lane, key))) = wiring.pubs.get(&id).copied() {
                    self.fill_lane(now, lane, key);
                }
            }
            _ => {}
        }
    }

    fn read_services(&mut self, now: Time, sub: SubId) {
        while let Some(delivery) = self.read(now, sub) {
            // What is missing here was counted where it was dropped.
            let Delivery::Message(message) = delivery else { continue };
            let Some(wiring) = &mut self.services else { return };
            let (from, name) = (message.writer(), message.writer_name());
            let payload = message.payload_bytes();
            if Some(sub) == wiring.requests {
                wiring.layer.on_to_server(now, from, name, &payload);
            } else if Some(sub) == wiring.replies {
                wiring.layer.on_to_caller(now, from, &payload);
            } else {
                wiring.known.heard(from, message.topic());
                wiring.layer.on_offer(now, message.topic(), from, name, &payload);
            }
        }
    }

    fn service_peer_gone(&mut self, now: Time, key: EndpointKey, reason: DownReason) {
        let back = reason == DownReason::Silent;
        let Some(wiring) = &mut self.services else { return };
        wiring.layer.on_peer_gone(now, key, back);
        wiring.known.gone(now, key, back);
        wiring.offsets.remove(&key);
        if !back {
            let mine = |lane| wiring.lanes.get(&(lane, key.id)).filter(|it| it.1 == key);
            let gone = [Lane::Requests, Lane::Replies].map(|lane| (lane, mine(lane).copied()));
            for (lane, at) in gone {
                let Some((publication, _)) = at else { continue };
                self.drop_lane(now, lane, key.id, publication);
            }
        }
    }

    fn drop_lane(&mut self, now: Time, lane: Lane, id: EndpointId, publication: PubId) {
        let Some(wiring) = &mut self.services else { return };
        wiring.lanes.remove(&(lane, id));
        self.unadvertise(now, publication);
        if !self.publications.contains_key(&publication.0)
            && let Some(wiring) = &mut self.services
        {
            wiring.pubs.remove(&publication);
        }
    }

    /// Tells what an instance is, or that it is no more.
    fn announce_service(&mut self, now: Time, id: ServeId, offer: Option<(Arc<str>, Offer)>) {
        let own = self.key.id;
        let Some(wiring) = &mut self.services else { return };
        let known = wiring.offers.get(&id).copied();
        let Some((service, offer)) = offer else {
            wiring.offers.remove(&id);
            if let Some(publication) = known {
                self.unadvertise(now, publication);
            }
            return;
        };
        let publication = match known {
            Some(publication) => publication,
            None => {
                let Ok(topic) = TopicName::system(&offer_topic(&service, own)) else { return };
                let Ok(publication) = self.publish_on(now, topic, offer_qos(), None) else {
                    return;
                };
                let Some(wiring) = &mut self.services else { return };
                wiring.offers.insert(id, publication);
                wiring.pubs.insert(publication, None);
                publication
            }
        };
        let mut bytes = Vec::new();
        offer.encode(&mut bytes);
        let message = Message::from(&bytes[..]);
        // An offer has at most some KiB, and its log drops what is older.
        let _ = self.publish(now, publication, message);
    }

    /// Sends what waits for an endpoint, as far as its way takes it. Nothing is sent before the
    /// reader is there: it would be history, and is not to be had.
    fn fill_lane(&mut self, now: Time, lane: Lane, key: EndpointKey) {
        let Some(wiring) = &mut self.services else { return };
        let known = wiring.lanes.get(&(lane, key.id)).copied();
        let publication = match known {
            Some((publication, _)) => publication,
            None => {
                let alive = key == self.key || self.is_peer(key);
                let Some(wiring) = &self.services else { return };
                if !alive || !wiring.layer.needs(lane, key) {
                    return;
                }
                let topic = match lane {
                    Lane::Requests => request_topic(key.id),
                    Lane::Replies => reply_topic(key.id),
                };
                let Ok(made) = self.advertise_to(now, &topic, lane_qos(), key.id) else { return };
                made
            }
        };
        let Some(wiring) = &mut self.services else { return };
        wiring.lanes.insert((lane, key.id), (publication, key));
        wiring.pubs.insert(publication, Some((lane, key)));
        if !self.is_read(publication, key) {
            return;
        }
        let offset = if lane == Lane::Requests { self.offset(now, key) } else { 0 };
        let Some(wiring) = &mut self.services else { return };
        let mut bytes = core::mem::take(&mut wiring.scratch);
        while let Some(wiring) = &mut self.services
            && wiring.layer.next_message(lane, key, offset, &mut bytes)
        {
            let message = Message::from(&bytes[..]);
            let result = self.publish(now, publication, message);
            let Some(wiring) = &mut self.services else { return };
            match result {
                Err(PublishError::Full) => {
                    wiring.layer.on_full();
                    break;
                }
                Err(PublishError::Closed) => break,
                // The layer has checked all bounds; what breaks one all the same is not sent again.
                Ok(_) | Err(_) => wiring.layer.sent(now, lane, key),
            }
        }
        if let Some(wiring) = &mut self.services {
            wiring.scratch = bytes;
        }
    }

    fn is_peer(&self, key: EndpointKey) -> bool {
        let peer = self.by_id.get(&key.id).and_then(|at| self.peers.get(*at)?.as_ref());
        peer.is_some_and(|peer| {
            peer.key == key && !matches!(peer.session.watch.state(), State::Dead(_))
        })
    }

    fn is_read(&self, id: PubId, key: EndpointKey) -> bool {
        if key == self.key {
            return self.publications.get(&id.0).is_some_and(|it| !it.local.is_empty());
        }
        self.is_peer(key) && self.readers(id) > 0
    }

    /// How far a server's clock is ahead of ours at least, in µs: what its messages have shown. A
    /// deadline in that clock is never later than it should be (V-16).
    fn offset(&mut self, now: Time, key: EndpointKey) -> i64 {
        if key == self.key {
            return 0;
        }
        let Some(wiring) = &self.services else { return i64::MIN / 4 };
        let known = wiring.offsets.get(&key).copied();
        if let Some((offset, at)) = known
            && now.since(at) < OFFSET_FOR
        {
            return offset;
        }
        let peer = self.by_id.get(&key.id).and_then(|at| self.peers.get(*at)?.as_ref());
        let ins = peer.into_iter().flat_map(|peer| peer.ins.values());
        let ours = ins.filter(|incoming| incoming.topic.as_str().starts_with("$svc/"));
        let least = ours.map(|incoming| incoming.lag.smallest()).min();
        let seen = least.and_then(|ns| i64::try_from(-(ns / 1_000) - 1).ok());
        let offset = seen.or_else(|| known.map(|(offset, _)| offset)).unwrap_or(i64::MIN / 4);
        if let Some(wiring) = &mut self.services {
            wiring.offsets.insert(key, (offset, now));
        }
        offset
    }

    /// What must hold of the layer.
    pub(super) fn check_services(&self) -> Result<(), String> {
        self.services.as_ref().map_or(Ok(()), |wiring| wiring.layer.check())
    }
}
