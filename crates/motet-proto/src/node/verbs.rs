//! The application → publications, subscriptions.

use super::deliver::{budget, stream_end};
use super::local::{LocalReader, Publication, Subscription};
use super::message::{Message, Payload};
use super::peer::OutState;
use super::{Node, Packet};
use crate::config::{History, PubQos, SlowPolicy, SubQos};
use crate::crypto::Crypto;
use crate::events::DownReason;
use crate::host::Via;
use crate::ids::{EndpointId, PubId, QueryId, QueryKey, StreamId, SubId};
use crate::received::Origin;
use crate::time::Time;
use crate::topics::filter::{FilterError, TopicFilter};
use crate::topics::name::{NameError, TopicName};
use crate::topics::queue::Queue;
use crate::transport::session::Kind;
use crate::transport::stream::blocks::{BLOCK_MESSAGE_MAX, PLAIN};
use crate::transport::stream::cost;
use crate::transport::stream::log::Log;
use crate::transport::stream::reader::Reader;
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use motet_wire::control::{Control as Record, MAX_ANSWER, MAX_ARGUMENT};
use motet_wire::envelope;
use motet_wire::frame::Frame;

/// Publications and subscriptions of one endpoint.
const TOPICS_MAX: usize = 131_072;
/// A publication without publishers waits this long for its readers.
const LINGER: Duration = Duration::from_secs(10);

/// Why [`Node::advertise`] refused. Nothing changed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AdvertiseError {
    /// The topic is not a name.
    Name(NameError),
    /// Another publisher of this endpoint writes the topic with other settings.
    QosDiffers,
    /// A setting is out of its bound.
    Qos(&'static str),
    /// 131,072 publications exist.
    Limit,
}

impl fmt::Display for AdvertiseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::QosDiffers => f.write_str(
                "this endpoint publishes the topic with other settings; use the same, or another topic",
            ),
            Self::Qos(rule) => f.write_str(rule),
            Self::Limit => f.write_str("131,072 publications exist; drop some"),
        }
    }
}

impl core::error::Error for AdvertiseError {}

/// Why [`Node::publish`] refused. Nothing was sent and nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// The log is full and its policy is to wait; `Writable` follows.
    Full,
    /// The log is full and its policy drops the newest.
    Dropped,
    /// The message is larger than allowed.
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit.
        max: u64,
    },
    /// A key has at most 1,024 bytes, a message at most 64 headers.
    Envelope,
    /// The publication was dropped.
    Closed,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("a slow reader holds the log full"),
            Self::Dropped => {
                f.write_str("the log is full, so the message was dropped (policy drop-newest)")
            }
            Self::TooLarge { size, max } => {
                write!(f, "the message has {size} bytes, at most {max} are allowed")
            }
            Self::Envelope => {
                f.write_str("a key has at most 1,024 bytes, a message at most 64 headers")
            }
            Self::Closed => f.write_str("the publication is closed"),
        }
    }
}

impl core::error::Error for PublishError {}

/// Why [`Node::subscribe`] refused. Nothing changed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SubscribeError {
    /// A filter is not well-formed.
    Filter(FilterError),
    /// At least one filter is needed.
    Empty,
    /// 131,072 subscriptions exist.
    Limit,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(filter) => filter.fmt(f),
            Self::Empty => f.write_str("name at least one filter"),
            Self::Limit => f.write_str("131,072 subscriptions exist; drop some"),
        }
    }
}

impl core::error::Error for SubscribeError {}

/// Why [`Node::query`] refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueryError {
    /// No session with that endpoint stands, and nobody of that id is known.
    NotConnected,
    /// Too many questions are open.
    Limit,
}

impl<C: Crypto> Node<C> {
    /// Starts publishing a topic.
    ///
    /// # Errors
    /// [`AdvertiseError`]; nothing changed then.
    pub fn advertise(
        &mut self,
        now: Time,
        topic: &str,
        qos: PubQos,
    ) -> Result<PubId, AdvertiseError> {
        let topic = TopicName::parse(topic).map_err(AdvertiseError::Name)?;
        self.publish_on(now, topic, qos, None)
    }

    /// Starts writing to one endpoint's topic, such as its inbox: nobody else is offered it.
    ///
    /// # Errors
    /// [`AdvertiseError`]; nothing changed then.
    pub fn advertise_to(
        &mut self,
        now: Time,
        topic: &str,
        qos: PubQos,
        only: EndpointId,
    ) -> Result<PubId, AdvertiseError> {
        let topic = TopicName::system(topic).map_err(AdvertiseError::Name)?;
        self.publish_on(now, topic, qos, Some(only))
    }

    pub(super) fn publish_on(
        &mut self,
        now: Time,
        topic: TopicName,
        qos: PubQos,
        only: Option<EndpointId>,
    ) -> Result<PubId, AdvertiseError> {
        if qos.log_bytes < 1_024 {
            return Err(AdvertiseError::Qos("log_bytes must be at least 1,024"));
        }
        if qos.priority > 7 {
            return Err(AdvertiseError::Qos("priority must be 0 to 7"));
        }
        if qos.type_tag.len() > 255 {
            return Err(AdvertiseError::Qos("a type tag has at most 255 bytes"));
        }
        if let Some(id) = self.by_topic.get(&topic.arc())
            && let Some(publication) = self.publications.get_mut(&id.0)
        {
            if publication.qos != qos {
                return Err(AdvertiseError::QosDiffers);
            }
            publication.holders += 1;
            publication.closing = None;
            return Ok(*id);
        }
        if self.publications.len() >= TOPICS_MAX {
            return Err(AdvertiseError::Limit);
        }
        let stream = self.next_stream;
        self.next_stream += 1;
        let id = PubId(stream);
        let hash = self.realm.topic_hash(&self.crypto, topic.as_str());
        self.by_topic.insert(topic.arc(), id);
        let (writer, writer_name) = (self.key, self.name.clone());
        let publication = Publication {
            id,
            origin: Origin { topic: topic.arc(), writer, writer_name }.into(),
            hash,
            log: Log::new(1),
            holders: 1,
            readers: Vec::new(),
            local: Vec::new(),
            lanes: Vec::new(),
            laned: Vec::new(),
            only,
            blocked: None,
            closing: None,
            flushed: true,
            confirmed: 0,
            topic,
            qos,
        };
        self.publications.insert(stream, publication);
        self.match_local(stream);
        for at in 0..self.peers.len() {
            self.match_up(now, at, stream);
            self.rearm(at);
        }
        self.want_readers(now, stream);
        Ok(id)
    }

    /// Adds this endpoint's own subscriptions that match to a publication's readers.
    fn match_local(&mut self, stream: StreamId) {
        let Some(publication) = self.publications.get_mut(&stream) else { return };
        if !publication.qos.local {
            return;
        }
        for (id, sub) in &self.subscriptions {
            let reads = publication.local.iter().any(|local| local.sub == *id);
            let typed = sub.qos.type_tag.is_empty()
                || publication.qos.type_tag.is_empty()
                || sub.qos.type_tag == publication.qos.type_tag;
            if sub.qos.local && typed && !reads && sub.matches(&publication.topic) {
                let next = sub.start(publication.log.first(), publication.log.next());
                publication.local.push(LocalReader { sub: *id, next });
            }
        }
    }

    /// Publishes a message. Returns its number in the stream.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was sent then.
    pub fn publish(
        &mut self,
        now: Time,
        id: PubId,
        message: Message<'_>,
    ) -> Result<u64, PublishError> {
        let stream = id.0;
        let publication = self.publications.get_mut(&stream).ok_or(PublishError::Closed)?;
        if publication.closing.is_some() {
            return Err(PublishError::Closed);
        }
        let Message { key, headers, payload } = message;
        if key.is_some_and(|key| key.len() > envelope::MAX_KEY)
            || headers.len() > envelope::MAX_HEADERS
        {
            return Err(PublishError::Envelope);
        }
        let shared = match payload {
            Payload::Shared(bytes) if bytes.len() >= BLOCK_MESSAGE_MAX => Some(bytes),
            _ => None,
        };
        let payload = payload.bytes();
        let size = envelope::encoded_len(key, headers, payload.len());
        if size as u64 > self.cfg.max_message {
            return Err(PublishError::TooLarge { size, max: self.cfg.max_message });
        }
        if !publication.has_room(cost(size)) {
            self.make_room(now, stream, cost(size))?;
        }
        let plain = key.is_none() && headers.is_empty();
        if !plain || shared.is_some() || self.packing != Some(stream) {
            self.seal_packed();
        }
        let publication = self.publications.get_mut(&stream).ok_or(PublishError::Closed)?;
        let hash = key.map_or(0, |key| self.realm.hash(&self.crypto, key).max(1));
        let seq = if let Some(payload) = shared {
            let head = envelope_of(key, headers);
            publication.log.push_shared(head, payload.clone(), now.micros(), hash)
        } else if plain {
            self.packing = Some(stream);
            publication.log.pack(&mut self.blocks, payload, now.micros())
        } else {
            let mut bytes = Vec::with_capacity(size);
            envelope::encode(&mut bytes, key, headers, payload);
            publication.log.push(bytes.into(), now.micros(), hash)
        };
        if publication.qos.conflate && hash != 0 {
            let unsent = publication.readers.iter().filter_map(|at| {
                self.peers.get(*at)?.as_ref()?.outs.get(&stream).map(|out| out.cursor.next())
            });
            let from = unsent.max().unwrap_or(seq);
            let laned =
                publication.lanes.iter().filter_map(|tag| Some(self.lanes.position(*tag)?.0));
            let from = laned.max().unwrap_or(0).max(from);
            publication.log.conflate(hash, from, seq);
        }
        publication.flushed = false;
        let all_laned = publication.laned.len() == publication.readers.len();
        for at in publication.readers.iter().filter(|_| !all_laned) {
            if publication.laned.binary_search(at).is_ok() {
                continue; // one packet for all of these
            }
            let Some(peer) = self.peers.get_mut(*at).and_then(Option::as_mut) else { continue };
            let Some(out) = peer.outs.get_mut(&stream) else { continue };
            // What is ready is looked at again when it is sent.
            if out.state != OutState::Active || (out.ready && peer.queued) {
                continue;
            }
            if out.cursor.has_work(&publication.log) {
                peer.make_ready(stream);
            } else {
                out.cursor.arm(&publication.log, now);
                let asks = out.cursor.deadline().unwrap_or(Time::NEVER);
                peer.heat_out(stream);
                peer.deadline = peer.deadline.min(asks);
                self.peers_due = self.peers_due.min(asks);
            }
            if !peer.queued {
                peer.queued = true;
                self.ready.push_back(*at);
            }
        }
        publication.lanes.iter().for_each(|tag| self.lanes.wake(*tag));
        let watch = publication.readers.len() >= 3 && publication.lanes.is_empty();
        let (local, idle) = (!publication.local.is_empty(), publication.readers.is_empty());
        if watch {
            self.watch_for_lanes(now, stream);
        }
        if local {
            self.deliver_local(now, stream);
        }
        if local || idle {
            self.on_acked(now, stream);
        }
        Ok(seq)
    }

    /// Makes room for `bytes` in a log, as its policy says (T-15).
    fn make_room(&mut self, now: Time, stream: StreamId, bytes: u64) -> Result<(), PublishError> {
        let fits = |publication: &Publication| publication.has_room(bytes);
        let publication = self.publications.get(&stream).ok_or(PublishError::Closed)?;
        if fits(publication) {
            return Ok(());
        }
        let needed = match publication.qos.slow {
            SlowPolicy::DropOldest => u64::MAX,
            SlowPolicy::DropNewest | SlowPolicy::Block | SlowPolicy::Disconnect(_) => {
                self.needed_from(stream, false)
            }
        };
        let publication = self.publications.get_mut(&stream).ok_or(PublishError::Closed)?;
        while !fits(publication) && publication.log.first() < needed {
            // Up to `needed` only history goes, or what the dead would have wanted.
            if publication.log.evict_front().is_none() {
                break;
            }
        }
        if fits(publication) {
            return Ok(());
        }
        match publication.qos.slow {
            SlowPolicy::DropNewest => {
                self.counters.messages_dropped += 1;
                Err(PublishError::Dropped)
            }
            _ => {
                publication.blocked.get_or_insert(now);
                self.timed.insert(stream);
                Err(PublishError::Full)
            }
        }
    }

    /// One publisher less. With the last one the publication ends, once its readers have everything
    /// or after 10 s.
    pub fn unadvertise(&mut self, now: Time, id: PubId) {
        let Some(publication) = self.publications.get_mut(&id.0) else { return };
        publication.holders = publication.holders.saturating_sub(1);
        if publication.holders == 0 {
            publication.closing = Some(now + LINGER);
            self.timed.insert(id.0);
            self.on_acked(now, id.0);
        }
    }

    /// Ends a publication for all its readers.
    pub(super) fn free_publication(&mut self, now: Time, stream: StreamId) {
        self.seal_packed();
        self.end_lanes_of(now, stream);
        let Some(publication) = self.publications.remove(&stream) else { return };
        self.by_topic.remove(&publication.topic.arc());
        for at in 0..self.peers.len() {
            let Some(peer) = self.peer(at) else { continue };
            if peer.outs.remove(&stream).is_some_and(|out| {
                matches!(out.state, OutState::Active | OutState::Offered | OutState::Suspended)
            }) {
                self.say(now, at, &Record::CloseStream { stream, code: stream_end::ENDED });
            }
        }
    }

    /// Starts reading everything that matches one of `filters`.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing changed then.
    pub fn subscribe(
        &mut self,
        now: Time,
        filters: &[&str],
        qos: SubQos,
    ) -> Result<SubId, SubscribeError> {
        let parse = |text: &&str| TopicFilter::parse(text).map_err(SubscribeError::Filter);
        let filters = filters.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        if filters.is_empty() {
            return Err(SubscribeError::Empty);
        }
        if self.subscriptions.len() >= TOPICS_MAX {
            return Err(SubscribeError::Limit);
        }
        Ok(self.subscribe_to(now, filters, qos))
    }

    /// Starts reading what is sent to this endpoint by id or name.
    pub fn subscribe_inbox(&mut self, now: Time, qos: SubQos) -> SubId {
        let inbox = TopicName::system(&format!("$inbox/{}", self.key.id));
        let filters = inbox.iter().map(TopicFilter::from).collect();
        self.subscribe_to(now, filters, qos)
    }

    pub(super) fn subscribe_to(
        &mut self,
        now: Time,
        filters: Vec<TopicFilter>,
        qos: SubQos,
    ) -> SubId {
        let id = SubId(self.next_sub);
        self.next_sub += 1;
        for filter in &filters {
            self.matching.add(filter, id);
            self.interest.add(filter, |topic| self.realm.topic_hash(&self.crypto, topic));
        }
        if qos.history != History::None {
            self.interest.set_history(true);
        }
        let queue = Queue::new(qos.queue_bytes.max(1_024), qos.full);
        let sub = Subscription {
            filters,
            qos,
            queue,
            notified: false,
            stalled: false,
            feeds: Vec::new(),
        };
        self.subscriptions.insert(id, sub);
        let streams: Vec<StreamId> = self.publications.keys().copied().collect();
        for stream in streams {
            self.match_local(stream);
            self.deliver_local(now, stream);
        }
        self.join_streams(now, id);
        if core::mem::take(&mut self.evicted) {
            // Whoever dropped us asks again only if our interest changes; we may want nothing new.
            self.interest.renew();
        }
        self.interest_changed(now);
        id
    }

    /// A new subscription reads streams that are open already, too: from here on, or with their
    /// history, which is then sent once more (the others do not see it twice).
    fn join_streams(&mut self, now: Time, id: SubId) {
        let Some(sub) = self.subscriptions.get_mut(&id) else { return };
        let mut again = Vec::new();
        for (at, peer) in self.peers.iter_mut().enumerate() {
            let Some(peer) = peer else { continue };
            for (stream, incoming) in &mut peer.ins {
                let typed = sub.qos.type_tag.is_empty()
                    || incoming.type_tag.is_empty()
                    || *sub.qos.type_tag == *incoming.type_tag;
                if !typed || !sub.matches(&incoming.topic) || incoming.subs.contains(&id) {
                    continue;
                }
                let next = incoming.reader.next();
                let live = next.max(incoming.history_below);
                let start = sub.start(incoming.first_avail, live);
                for old in &incoming.subs {
                    let from = incoming.starts.entry(*old).or_insert(0);
                    *from = (*from).max(next);
                }
                incoming.starts.insert(id, start);
                incoming.fresh.insert(id);
                incoming.subs.push(id);
                sub.feeds.push((at, *stream));
                if start < next {
                    incoming.reader.release(&mut budget(&mut self.pool, &mut peer.share));
                    incoming.reader = Reader::new(start, incoming.qos);
                    incoming.history_below = live;
                    if incoming.suspended {
                        incoming.rewound = true; // the resumption will say it
                    } else {
                        again.push((at, *stream));
                    }
                }
            }
        }
        for (at, stream) in again {
            self.say_accept(now, at, stream);
        }
    }

    fn interest_changed(&mut self, now: Time) {
        for at in 0..self.peers.len() {
            if self.peers.get(at).is_some_and(Option::is_some) {
                self.tell_interest(now, at);
                self.rearm(at);
            }
        }
        self.crowd.set_interest(self.interest.version());
        self.discovery.on_interest_changed(now);
        self.run_discovery(now);
    }

    /// Stops reading. What waits in its queue is gone.
    pub fn unsubscribe(&mut self, now: Time, id: SubId) {
        let Some(sub) = self.subscriptions.remove(&id) else { return };
        for filter in &sub.filters {
            self.matching.remove(filter, id);
            self.interest.remove(filter, |topic| self.realm.topic_hash(&self.crypto, topic));
        }
        let streams: Vec<StreamId> = self.publications.keys().copied().collect();
        for stream in streams {
            if let Some(publication) = self.publications.get_mut(&stream) {
                publication.local.retain(|local| local.sub != id);
            }
            self.on_acked(now, stream);
        }
        // First the interest, then the end of the streams: the writer must not offer them again.
        self.interest_changed(now);
        for (at, stream) in sub.feeds {
            let Some(peer) = self.peer(at) else { continue };
            let Some(incoming) = peer.ins.get_mut(&stream) else { continue };
            incoming.subs.retain(|sub| *sub != id);
            let stalled = core::mem::take(&mut incoming.stalled);
            if incoming.subs.is_empty() {
                self.acknowledge_last(now, at, stream);
                self.say(now, at, &Record::CloseStream { stream, code: stream_end::UNSUBSCRIBED });
                self.drop_incoming(at, stream);
            } else if stalled {
                self.drain(now, at, stream);
            }
            self.finish_input(now, at);
        }
    }

    /// Asks a peer something; the answer comes as an event.
    ///
    /// # Errors
    /// No session, or 64 questions are open.
    pub fn query(
        &mut self,
        now: Time,
        to: EndpointId,
        what: u8,
        cursor: u64,
    ) -> Result<QueryId, QueryError> {
        if !self.by_id.contains_key(&to) {
            let asked = self.ask_later(now, to, (what, cursor), None);
            return asked.ok_or(QueryError::NotConnected);
        }
        let id = self.next_query;
        let (at, peer) = self.peer_by_id(to).ok_or(QueryError::NotConnected)?;
        if peer.asked.len() >= 64 {
            return Err(QueryError::Limit);
        }
        peer.used = now;
        peer.asked.push(id);
        self.next_query += 1;
        self.say(now, at, &Record::Query { id, what, cursor });
        self.rearm(at);
        Ok(QueryId(id))
    }

    /// As [`query`](Self::query), with an argument of at most 4,096 bytes.
    ///
    /// # Errors
    /// As [`query`](Self::query); `Limit` also for a longer argument.
    pub fn ask(
        &mut self,
        now: Time,
        to: EndpointId,
        (what, cursor): (u8, u64),
        argument: &[u8],
    ) -> Result<QueryId, QueryError> {
        if argument.len() > MAX_ARGUMENT {
            return Err(QueryError::Limit);
        }
        if !self.by_id.contains_key(&to) {
            let asked = self.ask_later(now, to, (what, cursor), Some(argument));
            return asked.ok_or(QueryError::NotConnected);
        }
        let id = self.next_query;
        let (at, peer) = self.peer_by_id(to).ok_or(QueryError::NotConnected)?;
        if peer.asked.len() >= 64 {
            return Err(QueryError::Limit);
        }
        peer.used = now;
        peer.asked.push(id);
        self.next_query += 1;
        self.say(now, at, &Record::Ask { id, what, cursor, argument });
        self.rearm(at);
        Ok(QueryId(id))
    }

    /// Answers a peer's question. A body above 32 KiB is cut to an empty one.
    pub fn answer(&mut self, now: Time, key: QueryKey, body: &[u8], next: Option<u64>) {
        let Some(at) = self.by_id.get(&key.from).copied() else { return };
        let body = if body.len() <= MAX_ANSWER { body } else { &[] };
        let (more, cursor) = (next.is_some(), next.unwrap_or(0));
        self.say(now, at, &Record::Answer { id: key.id, more, cursor, body });
        self.rearm(at);
    }

    /// Tries an address for ever: a peer that multicast does not reach.
    pub fn add_seed(&mut self, now: Time, addr: SocketAddr) {
        self.add_contact(now, &[addr]);
    }

    /// Tries for ever to reach somebody at one of these addresses, at most eight: a host whose port
    /// is not known.
    pub fn add_contact(&mut self, now: Time, addrs: &[SocketAddr]) {
        if !self.discovery.add_seed(now, addrs) {
            self.counters.seeds_ignored += 1;
        }
        self.run_discovery(now);
    }

    /// Ends what [`add_contact`](Self::add_contact) began with the same addresses. Sessions stay.
    pub fn remove_contact(&mut self, addrs: &[SocketAddr]) {
        self.discovery.remove_seed(addrs);
    }

    /// Says goodbye to everybody. What is not acknowledged by now is lost.
    pub fn close(&mut self, now: Time) {
        if self.leaving {
            return;
        }
        self.leaving = true;
        self.services_close(now);
        self.dials.clear();
        self.half_open.clear();
        for at in 0..self.peers.len() {
            self.close_peer(now, at, super::receive::close::LEAVING, DownReason::Closed);
        }
        self.crowd.leave(now);
        self.run_crowd(now);
        self.discovery.close(now);
        self.run_discovery(now);
    }

    /// Everything was said; the node may be dropped.
    pub fn is_drained(&self) -> bool {
        self.leaving && self.outbox.is_empty() && self.discovery.is_closed()
    }

    /// Ends a session: three copies of CLOSE, no answer awaited (S-51).
    pub(super) fn close_peer(&mut self, now: Time, at: usize, code: u64, reason: DownReason) {
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        // What was taken is acknowledged before the goodbye (S-52), in each copy of it.
        let taken = super::transmit::last_words(peer, &self.subscriptions, now);
        for _ in 0..3 {
            let mut bytes = Vec::new();
            let session = &mut peer.session;
            let start = session.begin(&mut bytes);
            bytes.extend_from_slice(&taken);
            Frame::Close { code, reason: &[] }.encode(&mut bytes);
            session.seal(&self.crypto, now, &mut bytes, (start, &[]), Kind::Feedback);
            let (dst, src) = (session.path.remote, session.path.local);
            self.outbox.push_back(Packet { via: Via::Unicast, dst, src, bytes });
        }
        self.free_peer(now, at, reason);
        self.run_discovery(now);
    }
}

/// What comes before a payload.
fn envelope_of(key: Option<&[u8]>, headers: &[(&str, &str)]) -> Bytes {
    if key.is_none() && headers.is_empty() {
        return Bytes::from_static(&PLAIN);
    }
    let mut head = Vec::with_capacity(envelope::encoded_len(key, headers, 0));
    envelope::encode(&mut head, key, headers, &[]);
    head.into()
}
