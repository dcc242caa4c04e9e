//! Publications ⇄ the readers that want them: OPEN, ACCEPT, REJECT, CLOSE_STREAM.

use super::Node;
use super::deliver::{free, stream_end};
use super::failures::StreamNote;
use super::lanes::{Leaves, Tie};
use super::local::Subscription;
use super::peer::{Incoming, OutState, Outgoing, STREAMS_MAX};
use crate::crypto::Crypto;
use crate::events::{DownReason, Event, WriterState};
use crate::ids::{StreamId, SubId};
use crate::received::Origin;
use crate::time::Time;
use crate::topics::lag::LagClock;
use crate::topics::name::TopicName;
use crate::transport::stream::Order;
use crate::transport::stream::cursor::Cursor;
use crate::transport::stream::reader::{ReadQos, Reader};
use alloc::vec::Vec;
use core::time::Duration;
use motet_wire::control::{Class, Control as Record, Open, RejectReason};

impl<C: Crypto> Node<C> {
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

    pub(super) fn offer(&mut self, now: Time, at: usize, stream: StreamId) {
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
            offered_at: now,
            behind: false,
            status_from: 0,
            tie: Tie::NONE,
        });
        (out.offered, out.offered_at) = (log.first(), now);
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

    pub(super) fn on_open(&mut self, now: Time, at: usize, open: Open) {
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
            self.note_reject(now, key, &topic.arc(), reason, &open.type_tag, &misfit);
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

    pub(super) fn accept(
        &mut self,
        now: Time,
        at: usize,
        open: Open,
        topic: TopicName,
        subs: Vec<SubId>,
    ) {
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
        let (writer, writer_name) = (key, peer.name.clone());
        let incoming = peer.ins.entry(stream).or_insert_with(|| Incoming {
            topic: topic.clone(),
            origin: Origin { topic: topic.arc(), writer, writer_name }.into(),
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
            stalled_at: now,
            suspended: false,
            rewound: false,
        });
        if !resumed {
            let later = subs.iter().filter_map(|id| Some((*id, wish(id)?)));
            incoming.starts.extend(later.filter(|(_, wanted)| *wanted > start));
        }
        self.failures.streaming(key.id, &topic.arc());
        incoming.suspended = false;
        incoming.first_avail = open.first_avail;
        incoming.lag.origin(now, open.t_us, open.wall_us);
        incoming.subs.clone_from(&subs);
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
        self.say_accept(now, at, stream);
    }

    /// Tells the writer of a stream where its reader stands, which may be further back than before.
    pub(super) fn say_accept(&mut self, now: Time, at: usize, stream: StreamId) {
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let Some(incoming) = peer.ins.get_mut(&stream) else { return };
        incoming.rewound = false;
        let free = free(&self.subscriptions, incoming);
        let status = incoming.reader.status(now, free);
        let required = incoming.qos.reliable;
        let (start_seq, window) = (status.next_seq, status.window);
        peer.heat_in(stream);
        self.say(now, at, &Record::Accept { stream, start_seq, window, required });
        self.rearm(at);
    }

    pub(super) fn on_accept(
        &mut self,
        now: Time,
        at: usize,
        stream: StreamId,
        start: u64,
        window: u64,
    ) {
        self.lane_release(now, at, stream, Leaves::Ended); // it chooses its place anew
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
        self.failures.streaming(key.id, &publication.topic.arc());
        peer.make_ready(stream);
        peer.heat_out(stream);
        self.wake(at);
        if joined {
            self.tell_joined(stream, key);
            self.watch_for_lanes(now, stream);
        }
        self.on_acked(now, stream);
    }

    pub(super) fn on_reject(
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
        let ours = &publication.qos.type_tag;
        let note = StreamNote::of_types(super::explain::of_reject(reason), ours, detail);
        self.failures.stream(now, peer.key.id, &topic, note);
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

    pub(super) fn on_close_stream(&mut self, now: Time, at: usize, stream: StreamId, code: u64) {
        if code < stream_end::UNSUBSCRIBED {
            let evicted = code == stream_end::EVICTED;
            let Some(writer) = self.peer(at).map(|peer| peer.key) else { return };
            self.drain(now, at, stream);
            self.cut_off(now, at, stream);
            if let Some(incoming) = self.drop_incoming(at, stream) {
                self.evicted |= evicted;
                if evicted {
                    let note = StreamNote::of_limit("slowness", 0);
                    self.failures.stream(now, writer.id, &incoming.topic.arc(), note);
                }
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
}
