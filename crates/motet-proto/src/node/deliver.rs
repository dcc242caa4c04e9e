//! Streams → subscriptions.

use super::Node;
use super::failures::StreamNote;
use super::local::Subscription;
use super::peer::Incoming;
use crate::config::QueuePolicy;
use crate::crypto::Crypto;
use crate::events::{Delivery, Event, MissedReason, WriterState};
use crate::ids::{StreamId, SubId};
use crate::received::{Received, Row, Run};
use crate::time::Time;
use crate::topics::queue::{MESSAGE_COST_MIN, Pushed};
use crate::transport::stream::{Budget, Item, Pool, Share};
use alloc::vec::Vec;
use bytes::Bytes;
use motet_wire::control::Control as Record;
use motet_wire::envelope::Envelope;
use motet_wire::frame::Bodies;

/// CLOSE_STREAM codes: below 16 the writer speaks, from 16 on the reader.
pub(super) mod stream_end {
    pub(in crate::node) const ENDED: u64 = 0;
    pub(in crate::node) const EVICTED: u64 = 1;
    pub(in crate::node) const UNSUBSCRIBED: u64 = 16;
    pub(in crate::node) const LAGGING: u64 = 17;
    pub(in crate::node) const BROKEN: u64 = 18;
}

pub(super) fn budget<'a>(pool: &'a mut Pool, share: &'a mut Share) -> Budget<'a> {
    Budget { pool, share }
}

impl<C: Crypto> Node<C> {
    /// The next message of a subscription, or what is missing in its place.
    pub fn read(&mut self, now: Time, id: SubId) -> Option<Delivery> {
        let sub = self.subscriptions.get_mut(&id)?;
        let delivery = sub.queue.pop();
        if delivery.is_none() {
            sub.notified = false;
            self.runs.sweep(); // what was read by then may be over
        }
        if sub.stalled && (delivery.is_none() || sub.queue.bytes() * 2 <= sub.qos.queue_bytes) {
            self.unstall(now, id);
            if delivery.is_none() {
                let sub = self.subscriptions.get_mut(&id)?;
                let next = sub.queue.pop();
                sub.notified = next.is_some();
                return next;
            }
        }
        delivery
    }

    fn unstall(&mut self, now: Time, id: SubId) {
        let Some(sub) = self.subscriptions.get_mut(&id) else { return };
        sub.stalled = false;
        let feeds = core::mem::take(&mut sub.feeds);
        for (at, stream) in &feeds {
            // All of them: a window that was told as closed must be told as open, too.
            if let Some(incoming) = self.peer(*at).and_then(|peer| peer.ins.get_mut(stream)) {
                incoming.stalled = false;
                self.drain(now, *at, *stream);
                self.finish_input(now, *at);
            }
        }
        let peers = &self.peers;
        let open = |(at, stream): &(usize, StreamId)| {
            let peer = peers.get(*at).and_then(Option::as_ref);
            peer.is_some_and(|peer| peer.ins.contains_key(stream))
        };
        if let Some(sub) = self.subscriptions.get_mut(&id) {
            sub.feeds = feeds.into_iter().filter(open).collect();
        }
        self.feed_local(now, id);
    }

    /// Hands over what a stream can deliver, as long as its subscriptions have room.
    pub(super) fn drain(&mut self, now: Time, at: usize, stream: StreamId) {
        self.hand_over(now, at, stream);
        if let Some(peer) = self.peer(at) {
            peer.heat_in(stream); // the window moved, or will have to
        }
    }

    fn hand_over(&mut self, now: Time, at: usize, stream: StreamId) {
        loop {
            let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
            let Some(incoming) = peer.ins.get_mut(&stream) else { return };
            if incoming.stalled {
                return;
            }
            if !has_room(&self.subscriptions, incoming) {
                (incoming.stalled, incoming.stalled_at) = (true, now);
                for id in &incoming.subs {
                    if let Some(sub) = self.subscriptions.get_mut(id) {
                        sub.stalled = true;
                    }
                }
                return;
            }
            let free = free(&self.subscriptions, incoming);
            incoming.reader.on_room(now, free);
            let mut budget = budget(&mut self.pool, &mut peer.share);
            match incoming.reader.take(now, &mut budget) {
                Some(item) => self.deliver(now, at, stream, item),
                None => {
                    let counts = core::mem::take(&mut incoming.reader.counts);
                    self.counters.duplicates += counts.duplicates;
                    self.counters.overruns += counts.overruns;
                    return;
                }
            }
        }
    }

    /// Hands one item of a stream to all subscriptions that read it.
    pub(super) fn deliver(&mut self, now: Time, at: usize, stream: StreamId, item: Item) {
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let writer = peer.key;
        let one_way = peer.session.rtt.min() / 2;
        let Some(incoming) = peer.ins.get_mut(&stream) else { return };
        let (seq, t_us, body) = match item {
            Item::Message { seq, t_us, body } => (seq, t_us, body),
            Item::Missed { from, n, reason } => {
                let topic = incoming.topic.arc();
                incoming.missed = incoming.missed.saturating_add(n);
                self.counters.messages_missed = self.counters.messages_missed.saturating_add(n);
                let end = from + n;
                for id in &incoming.subs {
                    let mut start = incoming.start_of(*id);
                    if from <= start && start < end && incoming.fresh.contains(id) {
                        // It has had nothing yet: history that is gone is nobody's loss.
                        start = start.max(incoming.history_below.min(end));
                        incoming.starts.insert(*id, start);
                    }
                    let n = end.saturating_sub(start.max(from));
                    if let Some(sub) = self.subscriptions.get_mut(id).filter(|_| n > 0) {
                        sub.queue.push_missed(writer, topic.clone(), n, reason);
                        notify(sub, *id, &mut self.events);
                    }
                }
                return;
            }
        };
        let lag = incoming.lag.on_message(now, t_us);
        let expired = incoming.lifespan.is_some_and(|lifespan| lag.age(one_way) > lifespan);
        let payload_at = match Envelope::decode(&body) {
            Ok(envelope) => body.len() - envelope.payload.len(),
            Err(_) => {
                self.counters.malformed_records += 1;
                self.missed(at, stream, seq, MissedReason::Refused);
                return;
            }
        };
        if expired {
            self.missed(at, stream, seq, MissedReason::Expired);
            return;
        }
        let run = self.runs.make(Run {
            origin: incoming.origin.clone(),
            age: lag.age(one_way),
            published_us: incoming.lag.published_us(t_us),
            bytes: body,
        });
        let received = Received::alone(run, seq, payload_at);
        let mut lagging = Vec::new();
        if !incoming.starts.is_empty() && incoming.starts.values().all(|start| *start <= seq) {
            incoming.starts.clear();
        }
        let mut received = Some(received);
        let last = incoming.subs.last();
        for id in &incoming.subs {
            if seq < incoming.start_of(*id) {
                continue;
            }
            if !incoming.fresh.is_empty() {
                incoming.fresh.remove(id);
            }
            let Some(sub) = self.subscriptions.get_mut(id) else { continue };
            // The last one takes it: nearly always there is one.
            let mine = if Some(id) == last { received.take() } else { received.clone() };
            let Some(mine) = mine else { continue };
            if sub.qos.abort_after.is_some_and(|limit| lag.behind > limit) {
                sub.queue.push_missed(writer, mine.topic().clone(), 1, MissedReason::Lagging);
                self.counters.messages_missed += 1;
                lagging.push(*id);
            } else if let Pushed::Refused(mine) = sub.queue.push(mine) {
                // `has_room` looked before: only a message larger than the whole queue gets here.
                sub.queue.push_missed(writer, mine.topic().clone(), 1, MissedReason::QueueFull);
                self.counters.messages_missed += 1;
            } else {
                self.counters.messages_delivered += 1;
            }
            notify(sub, *id, &mut self.events);
        }
        if !lagging.is_empty() {
            self.abort_lagging(now, at, stream, &lagging);
        }
    }

    /// Hands a row of messages as it came to all subscriptions that read the stream: those next in
    /// line, while nothing is held, missing or stopped. False if it is not as simple as that; then
    /// nothing was handed over.
    pub(super) fn deliver_row(
        &mut self,
        now: Time,
        at: usize,
        stream: StreamId,
        (seq, t_us): (u64, u64),
        packet: &Bytes,
        bodies: &Bodies<'_>,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return false };
        let (one_way, rtt) = (peer.session.rtt.min() / 2, peer.session.rtt_view());
        let Some(incoming) = peer.ins.get_mut(&stream) else { return false };
        if incoming.stalled
            || !(incoming.starts.is_empty() && incoming.fresh.is_empty())
            || !incoming.reader.is_next(seq)
        {
            return false;
        }
        let (mut cost, mut longest) = (0, 0);
        for body in bodies.clone() {
            if !Envelope::is_plain(body) {
                return false;
            }
            cost += body.len().max(MESSAGE_COST_MIN);
            longest = longest.max(body.len());
        }
        let lag = incoming.lag.on_message(now, t_us);
        let age = lag.age(one_way);
        let takes = |sub: &Subscription| {
            sub.queue.takes(cost) && sub.qos.abort_after.is_none_or(|limit| lag.behind <= limit)
        };
        if longest as u64 > incoming.qos.max_message
            || incoming.lifespan.is_some_and(|lifespan| age > lifespan)
            || !incoming.subs.iter().all(|id| self.subscriptions.get(id).is_none_or(takes))
        {
            return false;
        }
        let n = bodies.len() as u32; // 255 at most
        incoming.reader.set_rtt(rtt);
        incoming.reader.on_row(now, u64::from(n), cost as u64);
        let mut run = Some(self.runs.make(Run {
            origin: incoming.origin.clone(),
            age,
            published_us: incoming.lag.published_us(t_us),
            bytes: packet.slice_ref(bodies.bytes()),
        }));
        let last = incoming.subs.last();
        for id in &incoming.subs {
            let Some(sub) = self.subscriptions.get_mut(id) else { continue };
            // The last one takes it: nearly always there is one.
            let mine = if Some(id) == last { run.take() } else { run.clone() };
            let Some(mine) = mine else { continue };
            sub.queue.push_row(Row::new(mine, seq, n), cost);
            self.counters.messages_delivered += u64::from(n);
            notify(sub, *id, &mut self.events);
        }
        true
    }

    /// What is not delivered leaves a mark and is counted (T-52).
    fn missed(&mut self, at: usize, stream: StreamId, seq: u64, reason: MissedReason) {
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let writer = peer.key;
        let Some(incoming) = peer.ins.get_mut(&stream) else { return };
        incoming.missed += 1;
        self.counters.messages_missed += 1;
        let topic = incoming.topic.arc();
        for id in &incoming.subs {
            if seq < incoming.start_of(*id) {
                continue;
            }
            if let Some(sub) = self.subscriptions.get_mut(id) {
                sub.queue.push_missed(writer, topic.clone(), 1, reason);
                notify(sub, *id, &mut self.events);
            }
        }
    }

    /// Subscriptions with an abort threshold leave a stream that they cannot keep up with; the
    /// others read on.
    fn abort_lagging(&mut self, now: Time, at: usize, stream: StreamId, lagging: &[SubId]) {
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let writer = peer.key;
        let Some(incoming) = peer.ins.get_mut(&stream) else { return };
        let topic = incoming.topic.arc();
        incoming.subs.retain(|id| !lagging.contains(id));
        let empty = incoming.subs.is_empty();
        if empty {
            let note = StreamNote::of_limit("lag", 0);
            self.failures.stream(now, writer.id, &topic, note);
        }
        for subscription in lagging.iter().copied() {
            let state = WriterState::TooSlow;
            let topic = topic.clone();
            self.events.push_back(Event::Writer { subscription, writer, topic, state });
        }
        if empty {
            self.say(now, at, &Record::CloseStream { stream, code: stream_end::LAGGING });
            self.drop_incoming(at, stream);
        }
    }

    /// A stream ends before all that is known of it has come: what is missing is said.
    pub(super) fn cut_off(&mut self, now: Time, at: usize, stream: StreamId) {
        let Some(incoming) = self.peer(at).and_then(|peer| peer.ins.get(&stream)) else { return };
        let (from, high) = (incoming.reader.next(), incoming.reader.high());
        if from < high {
            let (n, reason) = (high - from, MissedReason::Cancelled);
            self.deliver(now, at, stream, Item::Missed { from, n, reason });
        }
    }

    /// Forgets a stream that we read; its reader frees what it held (F-6).
    pub(super) fn drop_incoming(&mut self, at: usize, stream: StreamId) -> Option<Incoming> {
        let peer = self.peers.get_mut(at).and_then(Option::as_mut)?;
        let mut incoming = peer.ins.remove(&stream)?;
        incoming.reader.release(&mut budget(&mut self.pool, &mut peer.share));
        for sub in self.subscriptions.values_mut() {
            sub.feeds.retain(|feed| *feed != (at, stream));
        }
        Some(incoming)
    }

    /// Leaves a stream that its writer broke.
    pub(super) fn leave_stream(
        &mut self,
        now: Time,
        at: usize,
        stream: StreamId,
        state: WriterState,
    ) {
        self.say(now, at, &Record::CloseStream { stream, code: stream_end::BROKEN });
        if let Some(incoming) = self.drop_incoming(at, stream)
            && let Some(peer) = self.peer(at)
        {
            let writer = peer.key;
            for subscription in incoming.subs {
                let topic = incoming.topic.arc();
                self.events.push_back(Event::Writer { subscription, writer, topic, state });
            }
        }
    }

    /// Moves messages of our own publications to our own subscriptions.
    pub(super) fn deliver_local(&mut self, now: Time, stream: StreamId) {
        self.seal_packed();
        let Some(publication) = self.publications.get_mut(&stream) else { return };
        let topic = publication.topic.arc();
        for local in &mut publication.local {
            let Some(sub) = self.subscriptions.get_mut(&local.sub) else { continue };
            if local.next < publication.log.first() {
                let n = publication.log.first() - local.next;
                sub.queue.push_missed(self.key, topic.clone(), n, MissedReason::Evicted);
                self.counters.messages_missed = self.counters.messages_missed.saturating_add(n);
                local.next = publication.log.first();
                notify(sub, local.sub, &mut self.events);
            }
            while let Some(entry) = publication.log.get(local.next) {
                if sub.qos.full == QueuePolicy::Block && sub.queue.is_full() {
                    sub.stalled = true;
                    break;
                }
                match entry.gone {
                    Some(reason) => {
                        let reason = crate::transport::stream::missed(reason);
                        sub.queue.push_missed(self.key, topic.clone(), 1, reason);
                        self.counters.messages_missed += 1;
                    }
                    None => {
                        let body = publication.log.kept(entry);
                        let payload = Envelope::decode(&body).map_or(0, |e| e.payload.len());
                        let payload_at = body.len() - payload;
                        let behind = now.micros().saturating_sub(entry.t_us);
                        let run = self.runs.make(Run {
                            origin: publication.origin.clone(),
                            age: core::time::Duration::from_micros(behind),
                            published_us: self.wall.micros(now).saturating_sub(behind),
                            bytes: body,
                        });
                        sub.queue.push(Received::alone(run, local.next, payload_at));
                        self.counters.messages_delivered += 1;
                    }
                }
                local.next += 1;
                notify(sub, local.sub, &mut self.events);
            }
        }
    }

    fn feed_local(&mut self, now: Time, id: SubId) {
        let reads = |(stream, publication): (&StreamId, &super::local::Publication)| {
            publication.local.iter().any(|local| local.sub == id).then_some(*stream)
        };
        let streams: Vec<StreamId> = self.publications.iter().filter_map(reads).collect();
        for stream in streams {
            self.deliver_local(now, stream);
            self.on_acked(now, stream);
        }
    }
}

pub(super) type Subscriptions = alloc::collections::BTreeMap<SubId, Subscription>;

/// Every subscription of a stream takes a message now.
pub(super) fn has_room(subs: &Subscriptions, incoming: &Incoming) -> bool {
    incoming
        .subs
        .iter()
        .filter_map(|id| subs.get(id))
        .all(|sub| sub.qos.full != QueuePolicy::Block || !sub.queue.is_full())
}

/// Bytes that all blocking subscriptions of a stream have room for.
pub(super) fn free(subs: &Subscriptions, incoming: &Incoming) -> u64 {
    let of = |sub: &Subscription| match sub.qos.full {
        QueuePolicy::Block => sub.queue.free() as u64,
        QueuePolicy::DropOldest | QueuePolicy::DropNewest => u64::MAX,
    };
    incoming.subs.iter().filter_map(|id| subs.get(id)).map(of).min().unwrap_or(u64::MAX)
}

pub(super) fn notify(
    sub: &mut Subscription,
    id: SubId,
    events: &mut alloc::collections::VecDeque<Event>,
) {
    if !sub.notified {
        sub.notified = true;
        events.push_back(Event::Readable(id));
    }
}
