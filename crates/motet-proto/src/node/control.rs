//! Control records → interest, offers, answers.

use super::Node;
use super::deliver::{budget, free, stream_end};
use super::local::Subscription;
use super::peer::{CONTROL_MAX, CONTROL_WINDOW, Incoming, OutState, Outgoing, Probe, STREAMS_MAX};
use crate::config::SlowPolicy;
use crate::crypto::Crypto;
use crate::discovery::Action;
use crate::events::{DownReason, Event, WriterState};
use crate::host::Via;
use crate::ids::{EndpointId, EndpointKey, PubId, QueryId, QueryKey, StreamId, SubId};
use crate::time::Time;
use crate::topics::lag::LagClock;
use crate::topics::name::TopicName;
use crate::transport::liveness::State;
use crate::transport::stream::cursor::Cursor;
use crate::transport::stream::reader::{ReadQos, Reader};
use crate::transport::stream::{Item, Order};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use motet_wire::control::{Class, Control as Record, MAX_MEMBERS, Open, RejectReason};
use motet_wire::packet::RealmHeader;
use motet_wire::record::{Member, Record as Realm, put_padding};

/// Beacons are padded to this.
const BEACON_LEN: usize = 256;
/// Questions per second that a peer may ask.
const QUERIES_PER_SECOND: u32 = 10;

impl<C: Crypto> Node<C> {
    /// Says something on a peer's control stream.
    ///
    /// Past 1 MiB that it has not read, what can be said later is left out (false) and said anew
    /// when there is room; past 4 MiB the peer asks without reading the answers and is closed.
    pub(super) fn say(&mut self, now: Time, at: usize, record: &Record<'_>) -> bool {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        let Some(peer) = self.peer(at) else { return false };
        let control = &mut peer.control;
        let waiting = control.log.bytes() + bytes.len() as u64;
        let later = matches!(
            record,
            Record::Open(_) | Record::Interest(_) | Record::Members(_) | Record::Resume { .. }
        );
        if later && waiting > CONTROL_WINDOW {
            control.resync = true;
            return false;
        }
        if waiting > CONTROL_MAX {
            self.close_peer(now, at, super::receive::close::FRAME_ERROR, DownReason::Protocol);
            return false;
        }
        control.log.push(Bytes::from(bytes), now.micros(), 0);
        control.ready = true;
        control.cursor.arm(&control.log, now);
        self.wake(at);
        true
    }

    /// The control stream has room again: says what was left out.
    pub(super) fn resync(&mut self, now: Time, at: usize) {
        let Some(peer) = self.peer(at) else { return };
        if peer.control.resync && peer.control.log.bytes() * 2 <= CONTROL_WINDOW {
            peer.control.resync = false;
            self.tell_interest(now, at);
            self.ask_to_resume(now, at);
            self.on_interest_of(now, at);
        }
    }

    /// The first words on a new session: our interest, what we know of others, our offers.
    pub(super) fn greet(&mut self, now: Time, at: usize) {
        self.tell_interest(now, at);
        self.tell_members(now, at);
        let streams: Vec<StreamId> = self.publications.keys().copied().collect();
        for stream in streams {
            let resumes = self
                .peer(at)
                .is_some_and(|peer| matches!(peer.outs.get(&stream), Some(out) if out.state == OutState::Suspended));
            if resumes {
                self.offer(now, at, stream);
            }
        }
        self.ask_to_resume(now, at);
        self.rearm(at);
    }

    /// Names the streams that an earlier session left: the writer offers them anew, or says that
    /// they ended, should that word have been lost with the session.
    fn ask_to_resume(&mut self, now: Time, at: usize) {
        let Some(peer) = self.peer(at) else { return };
        let left = peer.ins.iter().filter(|(_, incoming)| incoming.suspended);
        let left: Vec<_> = left.map(|(id, incoming)| (*id, incoming.reader.next())).collect();
        for (stream, next_seq) in left {
            if !self.say(now, at, &Record::Resume { stream, next_seq, next_off: 0 }) {
                return;
            }
        }
    }

    fn on_resume(&mut self, now: Time, at: usize, stream: StreamId) {
        let Some(peer) = self.peer(at) else { return };
        let code = match peer.outs.get(&stream).map(|out| out.state) {
            Some(OutState::Offered | OutState::Active | OutState::Suspended) => return,
            Some(OutState::Rejected { reason: RejectReason::Policy, .. }) => stream_end::EVICTED,
            Some(OutState::Rejected { .. }) | None => stream_end::ENDED,
        };
        self.say(now, at, &Record::CloseStream { stream, code });
    }

    /// Tells a peer what changed in our interest since it was last told.
    pub(super) fn tell_interest(&mut self, now: Time, at: usize) {
        let version = self.interest.version();
        let Some(peer) = self.peer(at) else { return };
        let told = peer.interest_told;
        if told == version && version > 0 {
            return;
        }
        let delta = (told > 0).then(|| self.interest.delta_since(told)).flatten();
        let interest = delta.unwrap_or_else(|| self.interest.snapshot());
        let told = self.say(now, at, &Record::Interest(interest));
        if let Some(peer) = self.peer(at) {
            peer.interest_told = if told { version } else { 0 };
        }
    }

    fn tell_members(&mut self, now: Time, at: usize) {
        let Some(own) = self.peer(at).map(|peer| peer.key.id) else { return };
        let list: Vec<Member> = self.discovery.relay(own).take(4 * MAX_MEMBERS).collect();
        for page in list.chunks(MAX_MEMBERS) {
            self.say(now, at, &Record::Members(page.to_vec()));
        }
    }

    pub(super) fn drain_control(&mut self, now: Time, at: usize) {
        loop {
            let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
            let mut budget = budget(&mut self.pool, &mut peer.share);
            match peer.control.reader.take(now, &mut budget) {
                Some(item) => self.on_control_item(now, at, item),
                None => return,
            }
        }
    }

    pub(super) fn on_control_item(&mut self, now: Time, at: usize, item: Item) {
        let Item::Message { body, .. } = item else { return };
        match Record::decode(&body) {
            Ok(record) => self.on_control(now, at, record),
            Err(_) => self.counters.malformed_records += 1,
        }
    }

    fn on_control(&mut self, now: Time, at: usize, record: Record<'_>) {
        match record {
            Record::Open(open) => self.on_open(now, at, open),
            Record::Accept { stream, start_seq, window, .. } => {
                self.on_accept(now, at, stream, start_seq, window);
            }
            Record::Reject { stream, reason, interest_version, detail } => {
                let Ok(stream) = StreamId::try_from(stream) else { return };
                self.on_reject(now, at, stream, reason, interest_version, &detail);
            }
            Record::CloseStream { stream, code } => self.on_close_stream(now, at, stream, code),
            Record::RejectMsg { stream, seq, limit } => {
                let Some(peer) = self.peer(at) else { return };
                let reader = peer.key;
                if let Some(out) = peer.outs.get_mut(&stream) {
                    out.cursor.refuse(seq);
                    peer.make_ready(stream);
                    self.counters.messages_refused += 1;
                    let publication = PubId(stream);
                    self.events.push_back(Event::Refused { publication, reader, limit });
                }
            }
            Record::Interest(interest) => {
                let Some(peer) = self.peer(at) else { return };
                let before = peer.interest.version();
                let fits = peer.interest.apply(&interest).is_ok();
                let newer = peer.interest.version() > before;
                if !fits {
                    // On a stream without holes a delta always fits: this peer makes things up.
                    let code = super::receive::close::FRAME_ERROR;
                    self.close_peer(now, at, code, DownReason::Protocol);
                } else if newer {
                    // A new version of the same set asks anew for what it was dropped from.
                    self.on_interest_of(now, at);
                }
            }
            Record::Members(members) => {
                let Some(from) = self.peer(at).map(|peer| peer.key.id) else { return };
                for member in &members {
                    self.discovery.on_member_hint(now, member, from);
                }
                self.run_discovery(now);
            }
            Record::Query { id, what, cursor } => self.on_query(now, at, id, what, cursor),
            Record::Answer { id, more, cursor, body } => {
                let Some(peer) = self.peer(at) else { return };
                if let Some(place) = peer.asked.iter().position(|asked| *asked == id) {
                    peer.asked.swap_remove(place);
                    self.events.push_back(Event::Answer {
                        id: QueryId(id),
                        body: Some(body.to_vec()),
                        next: more.then_some(cursor),
                    });
                }
            }
            Record::ProbeReq(key) => {
                self.say(now, at, &Record::ProbeResult { key, result: 2, rtt_us: 0 });
            }
            Record::HistoryPull { id, .. } => {
                let reason = RejectReason::NotHeld;
                let interest_version = self.interest.version();
                let detail = String::new();
                let reject = Record::Reject { stream: id, reason, interest_version, detail };
                self.say(now, at, &reject);
            }
            Record::Resume { stream, .. } => self.on_resume(now, at, stream),
            Record::ProbeResult { .. }
            | Record::LaneOffer { .. }
            | Record::LaneKey { .. }
            | Record::ShmOffer { .. }
            | Record::Unknown(_) => {}
        }
    }

    /// A peer wants other things now: offer what it wants, end what it does not.
    pub(super) fn on_interest_of(&mut self, now: Time, at: usize) {
        let streams: Vec<StreamId> = self.publications.keys().copied().collect();
        for stream in streams {
            self.match_up(now, at, stream);
        }
        self.discovery.on_news(now);
        self.rearm(at);
    }

    /// Offers a publication to a peer that wants it and has not been asked (T-1).
    pub(super) fn match_up(&mut self, now: Time, at: usize, stream: StreamId) {
        let Some(publication) = self.publications.get(&stream) else { return };
        let Some(peer) = self.peers.get(at).and_then(Option::as_ref) else { return };
        let allowed = publication.only.is_none_or(|only| only == peer.key.id);
        let wants = peer.interest.wants(&publication.topic, publication.hash);
        let asked = match peer.outs.get(&stream).map(|out| out.state) {
            None => false,
            Some(OutState::Rejected { version, .. }) => version >= peer.interest.version(),
            Some(OutState::Offered | OutState::Active | OutState::Suspended) => true,
        };
        if allowed && wants && !asked && publication.closing.is_none() {
            self.offer(now, at, stream);
        }
    }

    fn offer(&mut self, now: Time, at: usize, stream: StreamId) {
        let Some(publication) = self.publications.get_mut(&stream) else { return };
        let qos = &publication.qos;
        let open = Open {
            stream,
            topic_hash: publication.hash,
            topic: publication.topic.as_str().into(),
            class: if qos.reliable { Class::Reliable } else { Class::BestEffort },
            order: motet_wire::control::Order::Fifo,
            priority: qos.priority.min(7),
            history: u64::from(qos.history),
            lifespan_ms: qos
                .lifespan
                .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0).max(1)),
            max_message: self.cfg.max_message,
            type_tag: qos.type_tag.clone(),
            first_avail: publication.log.first(),
            next_seq: publication.log.next(),
            t_us: now.micros(),
            wall_us: self.wall.micros(now),
        };
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        if !publication.readers.contains(&at) {
            publication.readers.push(at);
        }
        let (log, priority) = (&publication.log, qos.priority);
        let reliable = qos.reliable;
        let out = peer.outs.entry(stream).or_insert_with(|| Outgoing {
            cursor: Cursor::new(log, stream, log.next(), 0, reliable),
            state: OutState::Offered,
            priority,
            ready: false,
            hot: false,
            offered: log.first(),
            behind: false,
            status_from: 0,
        });
        out.offered = log.first();
        if out.state != OutState::Suspended {
            out.state = OutState::Offered;
        }
        if !self.say(now, at, &Record::Open(open))
            && let Some(peer) = self.peer(at)
        {
            peer.outs.remove(&stream);
            if let Some(publication) = self.publications.get_mut(&stream) {
                publication.readers.retain(|reader| *reader != at);
            }
        }
    }

    fn on_open(&mut self, now: Time, at: usize, open: Open) {
        let stream = open.stream;
        let Ok(topic) = TopicName::system(&open.topic) else {
            self.counters.malformed_records += 1;
            return;
        };
        let mut subs = Vec::new();
        self.matching.for_each_match(&topic, |id| {
            if !subs.contains(&id) {
                subs.push(id);
            }
        });
        let ours = |sub: &Subscription| sub.qos.type_tag.clone();
        let fits = |sub: &Subscription| {
            sub.qos.type_tag.is_empty()
                || open.type_tag.is_empty()
                || sub.qos.type_tag == open.type_tag
        };
        let table = &self.subscriptions;
        let misfit = subs.iter().filter_map(|id| table.get(id)).find(|sub| !fits(sub)).map(ours);
        subs.retain(|id| table.get(id).is_some_and(fits));
        let version = self.interest.version();
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let key = peer.key;
        if let Some(ours) = &misfit {
            self.counters.type_mismatches += 1;
            if peer.mismatch_is_news(&topic.arc()) {
                self.events.push_back(Event::TypeMismatch {
                    topic: topic.arc(),
                    ours: ours.as_str().into(),
                    theirs: open.type_tag.as_str().into(),
                    peer: key,
                });
            }
        }
        // T-2, P-40
        let reason = match (subs.is_empty(), &misfit) {
            (true, Some(_)) => Some(RejectReason::TypeDiffers),
            (true, None) => Some(RejectReason::NoInterest),
            (false, _) if peer.ins.len() >= STREAMS_MAX => Some(RejectReason::Limit),
            (false, _) => None,
        };
        if let Some(reason) = reason {
            self.counters.streams_rejected += 1;
            let detail = misfit.unwrap_or_default();
            let stream = u64::from(stream);
            self.say(
                now,
                at,
                &Record::Reject { stream, reason, interest_version: version, detail },
            );
            return;
        }
        self.accept(now, at, open, topic, subs);
    }

    fn accept(&mut self, now: Time, at: usize, open: Open, topic: TopicName, subs: Vec<SubId>) {
        let stream = open.stream;
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let key = peer.key;
        let resumed = peer.ins.contains_key(&stream);
        let wish = |id: &SubId| {
            self.subscriptions.get(id).map(|sub| sub.start(open.first_avail, open.next_seq))
        };
        let start = subs.iter().filter_map(wish).min().unwrap_or(open.next_seq);
        let qos = ReadQos {
            reliable: open.class == Class::Reliable,
            order: Order::Fifo,
            max_message: self.cfg.max_message,
        };
        let incoming = peer.ins.entry(stream).or_insert_with(|| Incoming {
            topic: topic.clone(),
            reader: Reader::new(start, qos),
            subs: Vec::new(),
            starts: Default::default(),
            fresh: Default::default(),
            history_below: 0,
            qos,
            first_avail: open.first_avail,
            lag: LagClock::new(now, open.t_us, open.wall_us),
            lifespan: (open.lifespan_ms > 0).then(|| Duration::from_millis(open.lifespan_ms)),
            missed: 0,
            type_tag: open.type_tag.as_str().into(),
            hot: false,
            stalled: false,
            suspended: false,
        });
        if !resumed {
            let later = subs.iter().filter_map(|id| Some((*id, wish(id)?)));
            incoming.starts.extend(later.filter(|(_, wanted)| *wanted > start));
        }
        incoming.suspended = false;
        incoming.first_avail = open.first_avail;
        incoming.lag.origin(now, open.t_us, open.wall_us);
        incoming.subs.clone_from(&subs);
        let free = free(&self.subscriptions, incoming);
        let status = incoming.reader.status(now, free);
        let accept = Record::Accept {
            stream,
            start_seq: status.next_seq,
            window: status.window,
            required: qos.reliable,
        };
        peer.heat_in(stream);
        for id in subs {
            if let Some(sub) = self.subscriptions.get_mut(&id)
                && !sub.feeds.contains(&(at, stream))
            {
                sub.feeds.push((at, stream));
            }
            let state = if resumed { WriterState::Resumed } else { WriterState::Joined };
            let topic = topic.arc();
            self.events.push_back(Event::Writer { subscription: id, writer: key, topic, state });
        }
        self.say(now, at, &accept);
    }

    fn on_accept(&mut self, now: Time, at: usize, stream: StreamId, start: u64, window: u64) {
        let Some(publication) = self.publications.get(&stream) else { return };
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let Some(out) = peer.outs.get_mut(&stream) else { return };
        if matches!(out.state, OutState::Rejected { .. }) {
            return; // it was refused or evicted meanwhile
        }
        let start = start.min(publication.log.next());
        out.cursor.restart(&publication.log, start, window.min(1 << 30));
        out.behind = start < publication.log.first();
        out.status_from = peer.pn.1 + 1;
        let joined = out.state != OutState::Active;
        out.state = OutState::Active;
        let key = peer.key;
        peer.make_ready(stream);
        peer.heat_out(stream);
        self.wake(at);
        if joined {
            self.tell_joined(stream, key);
        }
        self.on_acked(now, stream);
    }

    fn on_reject(
        &mut self,
        now: Time,
        at: usize,
        stream: StreamId,
        reason: RejectReason,
        version: u64,
        detail: &str,
    ) {
        let Some(publication) = self.publications.get_mut(&stream) else { return };
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let Some(out) = peer.outs.get_mut(&stream) else { return };
        out.state = OutState::Rejected { reason, version };
        publication.readers.retain(|reader| *reader != at);
        let topic = publication.topic.arc();
        if reason == RejectReason::TypeDiffers && peer.mismatch_is_news(&topic) {
            self.counters.type_mismatches += 1;
            self.events.push_back(Event::TypeMismatch {
                topic,
                ours: publication.qos.type_tag.as_str().into(),
                theirs: detail.into(),
                peer: peer.key,
            });
        }
        self.on_acked(now, stream);
    }

    fn on_close_stream(&mut self, now: Time, at: usize, stream: StreamId, code: u64) {
        if code < stream_end::UNSUBSCRIBED {
            let evicted = code == stream_end::EVICTED;
            let Some(writer) = self.peer(at).map(|peer| peer.key) else { return };
            self.drain(now, at, stream);
            self.cut_off(at, stream);
            if let Some(incoming) = self.drop_incoming(at, stream) {
                self.evicted |= evicted;
                let state = if evicted { WriterState::Evicted } else { WriterState::Left };
                for subscription in incoming.subs {
                    let topic = incoming.topic.arc();
                    self.events.push_back(Event::Writer { subscription, writer, topic, state });
                }
            }
            return;
        }
        let reason = DownReason::Unsubscribed;
        self.drop_outgoing(now, at, stream, reason);
        // It may want it again later: a new interest version asks anew.
    }

    /// Ends a reader of a publication.
    pub(super) fn drop_outgoing(
        &mut self,
        now: Time,
        at: usize,
        stream: StreamId,
        reason: DownReason,
    ) {
        let Some(peer) = self.peer(at) else { return };
        let Some(out) = peer.outs.remove(&stream) else { return };
        let reader = peer.key;
        if let Some(publication) = self.publications.get_mut(&stream) {
            publication.readers.retain(|other| *other != at);
        }
        if out.state == OutState::Active {
            let readers = self.readers(PubId(stream));
            let publication = PubId(stream);
            self.events.push_back(Event::ReaderLeft { publication, reader, readers, reason });
        }
        self.on_acked(now, stream);
    }

    pub(super) fn tell_joined(&mut self, stream: StreamId, reader: EndpointKey) {
        let active =
            self.by_id.get(&reader.id).and_then(|at| self.peers.get(*at)).and_then(Option::as_ref);
        let active = active.and_then(|peer| peer.outs.get(&stream));
        if active.is_some_and(|out| out.state == OutState::Active) {
            let publication = PubId(stream);
            let readers = self.readers(publication);
            self.events.push_back(Event::ReaderJoined { publication, reader, readers });
        }
    }

    /// Some reader acknowledged, came or went: free what nobody needs, let publishers go on.
    pub(super) fn on_acked(&mut self, now: Time, stream: StreamId) {
        let acked = self.needed_from(stream, true);
        let blocking = self.needed_from(stream, false);
        let unacked = self.unacked(PubId(stream));
        let Some(publication) = self.publications.get_mut(&stream) else { return };
        let lifespan =
            publication.qos.lifespan.map(|d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX));
        let history = publication.qos.history;
        if publication.log.trim(acked, history, now.micros(), lifespan) > 0 {
            self.wake_readers(stream);
        }
        let Some(publication) = self.publications.get_mut(&stream) else { return };
        // History, and what the absent would like, make room at the next publish.
        let log = &publication.log;
        let held = log.pos(log.next()) - log.pos(blocking);
        if publication.blocked.is_some() && held * 2 <= publication.qos.log_bytes as u64 {
            publication.blocked = None;
            self.events.push_back(Event::Writable(publication.id));
        }
        if unacked == 0 && !publication.flushed {
            publication.flushed = true;
            self.events.push_back(Event::Flushed(publication.id));
        }
        if publication.closing.is_some() && acked >= publication.log.next() {
            self.free_publication(now, stream);
        }
    }

    /// Puts readers that a publication has something for on the lists of those to be served.
    fn wake_readers(&mut self, stream: StreamId) {
        let Some(publication) = self.publications.get(&stream) else { return };
        for at in &publication.readers {
            let Some(peer) = self.peers.get_mut(*at).and_then(Option::as_mut) else { continue };
            let Some(out) = peer.outs.get(&stream) else { continue };
            if out.state == OutState::Active && out.cursor.has_work(&publication.log) {
                peer.make_ready(stream);
                if !peer.queued {
                    peer.queued = true;
                    self.ready.push_back(*at);
                }
            }
        }
    }

    /// The first message that some reader still needs; with `absent` also for readers whose
    /// session is dead: they are kept for as long as the log has room, but never block anybody.
    pub(super) fn needed_from(&self, stream: StreamId, absent: bool) -> u64 {
        let Some(publication) = self.publications.get(&stream) else { return 0 };
        let of_peer = |at: &usize| {
            let peer = self.peers.get(*at)?.as_ref()?;
            let out = peer.outs.get(&stream)?;
            let dead = matches!(peer.session.watch.state(), State::Dead(_));
            match out.state {
                OutState::Active => Some(out.cursor.acked()),
                OutState::Offered => (absent || !dead).then_some(out.offered),
                OutState::Suspended => (absent
                    || crate::planted::on("dead_reader_blocks_publisher"))
                .then(|| out.cursor.acked()),
                OutState::Rejected { .. } => None,
            }
        };
        let peers = publication.readers.iter().filter_map(of_peer);
        let locals = publication.local.iter().map(|local| local.next);
        let next = publication.log.next();
        peers.chain(locals).min().map_or(next, |acked| acked.min(next))
    }

    /// Policy disconnect: the reader that has held the log full for too long goes (T-6).
    pub(super) fn evict_slowest(&mut self, now: Time, stream: StreamId) {
        let Some(publication) = self.publications.get_mut(&stream) else { return };
        let (SlowPolicy::Disconnect(after), Some(since)) =
            (publication.qos.slow, publication.blocked)
        else {
            return;
        };
        if now.since(since) < after {
            return;
        }
        publication.blocked = Some(now);
        let slowest = self.needed_from(stream, false);
        let Some(publication) = self.publications.get(&stream) else { return };
        if slowest >= publication.log.next() {
            return self.on_acked(now, stream); // nobody lacks anything
        }
        let holds = |at: &&usize| {
            self.peers
                .get(**at)
                .and_then(Option::as_ref)
                .and_then(|p| p.outs.get(&stream))
                .is_some_and(|out| match out.state {
                    OutState::Active => out.cursor.acked() == slowest,
                    OutState::Offered => out.offered == slowest,
                    OutState::Suspended | OutState::Rejected { .. } => false,
                })
        };
        if let Some(at) = publication.readers.iter().find(holds).copied() {
            self.say(now, at, &Record::CloseStream { stream, code: stream_end::EVICTED });
            self.drop_outgoing(now, at, stream, DownReason::Evicted);
            if let Some(peer) = self.peer(at) {
                // Not offered again before its interest changes.
                let version = peer.interest.version();
                let reason = RejectReason::Policy;
                if let Some(publication) = self.publications.get(&stream) {
                    let log = &publication.log;
                    let cursor = Cursor::new(log, stream, log.next(), 0, true);
                    let state = OutState::Rejected { reason, version };
                    let out = Outgoing {
                        cursor,
                        state,
                        priority: 7,
                        ready: false,
                        hot: false,
                        offered: log.next(),
                        behind: false,
                        status_from: 0,
                    };
                    if let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) {
                        peer.outs.insert(stream, out);
                    }
                }
            }
        } else if let Some(publication) = self.publications.get_mut(&stream)
            && let Some(local) = publication.local.iter().position(|local| local.next == slowest)
        {
            let gone = publication.local.swap_remove(local);
            let (topic, state) = (publication.topic.arc(), WriterState::Evicted);
            let (subscription, writer) = (gone.sub, self.key);
            self.events.push_back(Event::Writer { subscription, writer, topic, state });
            self.on_acked(now, stream);
        }
    }

    fn on_query(&mut self, now: Time, at: usize, id: u64, what: u8, cursor: u64) {
        let Some(peer) = self.peer(at) else { return };
        let second = now.0 / 1_000_000_000;
        if peer.queries.0 != second {
            peer.queries = (second, 0);
        }
        peer.queries.1 += 1;
        if peer.queries.1 > QUERIES_PER_SECOND {
            self.counters.queries_limited += 1;
            return;
        }
        let key = QueryKey { from: peer.key.id, id };
        self.events.push_back(Event::Query { key, what, cursor });
    }

    /// Executes what discovery wants done.
    pub(super) fn run_discovery(&mut self, now: Time) {
        while let Some(action) = self.discovery.poll() {
            match action {
                Action::Multicast { solicit, leaving } => {
                    for (via, dst) in self.discovery.groups() {
                        let bytes = self.beacon(true, solicit, leaving);
                        self.push(super::Packet { via, dst, src: None, bytes });
                    }
                }
                Action::Unicast { dst, solicit, leaving } => {
                    let bytes = self.beacon(false, solicit, leaving);
                    self.push(super::Packet { via: Via::Unicast, dst, src: None, bytes });
                }
                Action::Dial { id, addrs } => self.dial(now, id, &addrs),
                Action::Probe { id } => {
                    if let Some((at, peer)) = self.peer_by_id(id) {
                        peer.probe.get_or_insert_with(|| Probe::new(now)).asked = true;
                        self.rearm(at);
                    } else {
                        self.discovery.on_probe(now, id, false);
                    }
                }
                Action::DeclareDead { id, reason } => {
                    if let Some(at) = self.by_id.get(&id).copied() {
                        self.free_peer(now, at, reason);
                    }
                }
                Action::Event(event) => self.events.push_back(event),
            }
        }
    }

    fn beacon(&mut self, multicast: bool, solicit: bool, leaving: bool) -> Vec<u8> {
        self.counters.beacons_sent += 1;
        let mut records = Vec::with_capacity(BEACON_LEN);
        let beacon = self.discovery.beacon(0, self.interest.version());
        Realm::Beacon(beacon).encode(&mut records);
        let header = RealmHeader {
            multicast,
            solicit,
            leaving,
            epoch: 0,
            realm_tag: self.realm.tag,
            id: self.key.id,
            incarnation: self.key.incarnation,
            counter: 0,
        };
        let room = BEACON_LEN - RealmHeader::LEN - motet_wire::packet::TAG_LEN;
        if let Some(pad) = room.checked_sub(records.len())
            && pad >= 2
        {
            put_padding(&mut records, pad);
        }
        self.realm.seal(header, &records)
    }

    /// A peer's session died of silence: its streams wait for its return (T-5).
    pub(super) fn on_dead(&mut self, now: Time, at: usize) {
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let (key, name) = (peer.key, peer.name.clone());
        let silent = now.since(peer.session.watch.heard());
        let (mut left, mut offered) = (Vec::new(), Vec::new());
        for (stream, out) in &mut peer.outs {
            if out.state == OutState::Offered {
                offered.push(*stream);
            }
            if out.state == OutState::Active {
                left.push(*stream);
                out.state = OutState::Suspended;
            }
        }
        let mut dead: Vec<(Arc<str>, SubId)> = Vec::new();
        for incoming in peer.ins.values_mut() {
            incoming.suspended = true;
            dead.extend(incoming.subs.iter().map(|id| (incoming.topic.arc(), *id)));
        }
        let asked = core::mem::take(&mut peer.asked);
        self.counters.sessions_died += 1;
        for id in asked {
            self.events.push_back(Event::Answer { id: QueryId(id), body: None, next: None });
        }
        let reason = DownReason::Silent;
        self.events.push_back(Event::PeerDown { key, name, reason, silent });
        for (topic, subscription) in dead {
            let state = WriterState::Dead;
            self.events.push_back(Event::Writer { subscription, writer: key, topic, state });
        }
        for stream in left {
            let publication = PubId(stream);
            let readers = self.readers(publication);
            let event = Event::ReaderLeft { publication, reader: key, readers, reason };
            self.events.push_back(event);
            self.on_acked(now, stream);
        }
        offered.into_iter().for_each(|stream| self.on_acked(now, stream));
        self.discovery.on_session_down(now, key, reason);
        self.run_discovery(now);
    }

    /// Forgets a peer and all its streams.
    pub(super) fn free_peer(&mut self, now: Time, at: usize, reason: DownReason) {
        let Some(peer) = self.peers.get_mut(at).and_then(Option::take) else { return };
        let was_dead = matches!(peer.session.watch.state(), State::Dead(_));
        let (key, name) = (peer.key, peer.name.clone());
        self.by_id.remove(&key.id);
        self.by_index.remove(&peer.session.local);
        self.realm.forget(key.id);
        let silent = now.since(peer.session.watch.heard());
        let mut share = peer.share;
        for (stream, mut incoming) in peer.ins {
            incoming.reader.release(&mut budget(&mut self.pool, &mut share));
            for sub in self.subscriptions.values_mut() {
                sub.feeds.retain(|feed| *feed != (at, stream));
            }
            let state = match reason {
                DownReason::Restarted => WriterState::Restarted,
                DownReason::Left | DownReason::Closed => WriterState::Left,
                _ => WriterState::Dead,
            };
            if !incoming.suspended || reason == DownReason::Restarted {
                for subscription in incoming.subs {
                    let topic = incoming.topic.arc();
                    self.events.push_back(Event::Writer {
                        subscription,
                        writer: key,
                        topic,
                        state,
                    });
                }
            }
        }
        if !was_dead {
            self.events.push_back(Event::PeerDown { key, name, reason, silent });
        }
        for id in peer.asked {
            self.events.push_back(Event::Answer { id: QueryId(id), body: None, next: None });
        }
        for (stream, out) in peer.outs {
            if let Some(publication) = self.publications.get_mut(&stream) {
                publication.readers.retain(|reader| *reader != at);
            }
            if out.state == OutState::Active {
                let publication = PubId(stream);
                let readers = self.readers(publication);
                let event = Event::ReaderLeft { publication, reader: key, readers, reason };
                self.events.push_back(event);
            }
            self.on_acked(now, stream);
        }
        self.discovery.on_session_down(now, key, reason);
    }

    /// Pings a peer now; its round trip and last sign of life show the answer.
    pub fn ping(&mut self, now: Time, to: EndpointId) -> bool {
        let Some((at, peer)) = self.peer_by_id(to) else { return false };
        peer.session.ping = true;
        self.finish_input(now, at);
        true
    }
}
