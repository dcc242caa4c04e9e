//! Streams and feedback → packets, at the last moment.

use super::Node;
use super::deliver::free;
use super::local::Publication;
use super::peer::{Incoming, OutState, Peer, Soonest};
use crate::counters::Counters;
use crate::crypto::{Aead, Crypto};
use crate::events::Event;
use crate::host::{Transmit, TxBatch, Via};
use crate::ids::{EndpointKey, PubId, StreamId};
use crate::time::Time;
use crate::transport::session::Kind;
use crate::transport::stream::body::Body;
use crate::transport::stream::cursor::{Piece, Space};
use crate::transport::stream::log::Log;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use motet_wire::frame::{Frame, GapReason, NakBuilder, NakItem, put_msgs_header};

/// Most bytes of one transmit.
pub(super) const BATCH_BYTES: usize = 64_000;
/// What one more item may add to a NAK frame.
const NAK_ITEM: usize = 32;
/// A STATUS or HEARTBEAT frame is at most this large.
const FEEDBACK_ROOM: usize = 40;
/// Every so many packets the lowest class with something to send goes first (T-13).
const LOW_SHARE: u64 = 16;

impl<C: Crypto> Node<C> {
    /// The next datagrams to send, written over `out`.
    pub fn poll_transmit(&mut self, now: Time, out: &mut TxBatch) -> Option<Transmit> {
        out.bytes.clear();
        self.seal_packed();
        let transmit = self.next_transmit(now, out)?;
        let count = transmit.len.div_ceil(transmit.segment.max(1));
        self.counters.datagrams_sent += count as u64;
        self.counters.bytes_sent += transmit.len as u64;
        Some(transmit)
    }

    fn next_transmit(&mut self, now: Time, out: &mut TxBatch) -> Option<Transmit> {
        if let Some(packet) = self.outbox.pop_front() {
            out.bytes.extend_from_slice(&packet.bytes);
            let len = packet.bytes.len();
            return Some(Transmit {
                via: packet.via,
                dst: packet.dst,
                src: packet.src,
                len,
                segment: len,
            });
        }
        if !self.lanes.is_quiet()
            && let Some(transmit) = self.lane_transmit(now, out)
        {
            return Some(transmit);
        }
        while let Some(at) = self.ready.front().copied() {
            let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else {
                self.ready.pop_front();
                continue;
            };
            let mut desk = Desk {
                now,
                crypto: &self.crypto,
                publications: &self.publications,
                subscriptions: &self.subscriptions,
                counters: &mut self.counters,
                events: &mut self.events,
                end: &[],
            };
            let transmit = desk.build(peer, out);
            if transmit.is_some() {
                self.ready.rotate_left(1); // the next peer's turn
                return transmit;
            }
            peer.queued = false;
            self.ready.pop_front();
            self.rearm(at);
        }
        if self.lanes.is_quiet() { None } else { self.lane_transmit(now, out) }
    }
}

/// What building packets needs beside the peer.
struct Desk<'a, C: Crypto> {
    now: Time,
    crypto: &'a C,
    publications: &'a BTreeMap<StreamId, Publication>,
    subscriptions: &'a BTreeMap<crate::ids::SubId, super::local::Subscription>,
    counters: &'a mut Counters,
    events: &'a mut VecDeque<Event>,
    /// The end of the packet being built: what is sealed straight out of a log.
    end: &'a [u8],
}

impl<C: Crypto> Desk<'_, C> {
    fn build(&mut self, peer: &mut Peer<C::Aead>, out: &mut TxBatch) -> Option<Transmit> {
        if let Some(transmit) = self.path_packet(peer, &mut out.bytes) {
            return Some(transmit);
        }
        let mut segment = 0;
        let mut last = 0;
        for _ in 0..out.segments_max.max(1) {
            let start = out.bytes.len();
            let room = peer.session.room();
            if segment > 0 && start + segment > BATCH_BYTES {
                break;
            }
            let Some(more) = self.packet(peer, &mut out.bytes, room) else { break };
            last = out.bytes.len() - start;
            if segment == 0 {
                segment = last;
            }
            if last < segment || !more {
                break;
            }
        }
        if segment == 0 {
            return self.mtu_probe(peer, &mut out.bytes);
        }
        debug_assert!(last <= segment, "segments of one transmit are equal but for the last");
        let path = &peer.session.path;
        let len = out.bytes.len();
        Some(Transmit { via: Via::Unicast, dst: path.remote, src: path.local, len, segment })
    }

    /// A packet to an address that is being tried, or an answer to one.
    fn path_packet(&self, peer: &mut Peer<C::Aead>, out: &mut Vec<u8>) -> Option<Transmit> {
        let session = &mut peer.session;
        let (dst, src, frame) = match session.responses.pop_front() {
            Some((dst, src, token)) => (dst, src, Frame::PathResponse(token)),
            None => {
                let (dst, src, token) = session.path.challenge(self.now)?;
                (dst, src, Frame::PathChallenge(token))
            }
        };
        let start = session.begin(out);
        frame.encode(out);
        session.seal(self.crypto, self.now, out, (start, &[]), Kind::Feedback);
        Some(Transmit { via: Via::Unicast, dst, src, len: out.len(), segment: out.len() })
    }

    fn mtu_probe(&self, peer: &mut Peer<C::Aead>, out: &mut Vec<u8>) -> Option<Transmit> {
        let session = &mut peer.session;
        if session.established() + session.rtt.srtt() > self.now && !session.rtt.has_sample() {
            return None;
        }
        let room = session.may_send(self.now).is_ok();
        let size = session.mtu.poll_probe(self.now, room)?;
        let start = session.begin(out);
        Frame::Ping.encode(out);
        let target = usize::from(size).saturating_sub(motet_wire::packet::TAG_LEN);
        out.resize(target.max(out.len()), 0);
        session.seal(self.crypto, self.now, out, (start, &[]), Kind::Probe);
        let (dst, src) = (session.path.remote, session.path.local);
        Some(Transmit { via: Via::Unicast, dst, src, len: out.len(), segment: out.len() })
    }

    /// One packet. `None` if there is nothing to send; else whether it is full and more waits.
    fn packet(&mut self, peer: &mut Peer<C::Aead>, out: &mut Vec<u8>, room: usize) -> Option<bool> {
        let now = self.now;
        let start = peer.session.begin(out);
        let base = out.len();
        let limit = base + room;
        let ack_due = peer.session.acks.due(now) || !peer.lane_acks.is_empty();
        self.feedback(peer, out, limit);
        if core::mem::take(&mut peer.session.ping) {
            Frame::Ping.encode(out);
        }
        let eliciting = out.len() > base;
        let before = out.len();
        let mut more = false;
        match peer.session.may_send(now) {
            Ok(()) => {
                more = self.fill(peer, out, limit);
                peer.send_at = Time::NEVER;
                peer.session.app_limited = !more;
                if !more {
                    peer.session.sent.on_app_limited();
                }
            }
            Err(at) => {
                if has_data(peer) {
                    peer.send_at = at.unwrap_or(Time::NEVER);
                    peer.session.app_limited = false;
                }
            }
        }
        let data = out.len() > before;
        let end = core::mem::take(&mut self.end);
        let limit = limit - end.len(); // what comes before it
        if !eliciting && !data && !ack_due {
            out.truncate(start);
            return None;
        }
        if peer.session.acks.pending() && out.len() + peer.session.acks.encoded_len_max() <= limit {
            peer.session.acks.write(now, out);
        }
        if out.len() + peer.lane_acks.len() <= limit {
            out.append(&mut peer.lane_acks);
        }
        if out.len() == base {
            out.truncate(start);
            return None;
        }
        let full = more && data;
        if full {
            out.resize(limit.max(out.len()), 0); // PADDING: equal segments
        }
        let kind = match (data, eliciting) {
            (true, _) => Kind::Data,
            (false, true) => Kind::Eliciting,
            (false, false) => Kind::Feedback,
        };
        peer.session.seal(self.crypto, now, out, (start, end), kind);
        Some(full)
    }

    /// STATUS, NAK and HEARTBEAT that are due, and those that may ride along.
    fn feedback(&mut self, peer: &mut Peer<C::Aead>, out: &mut Vec<u8>, limit: usize) {
        let now = self.now;
        let pkt = peer.session.received;
        let rtt = peer.session.rtt_view();
        let limit = limit.saturating_sub(peer.session.acks.encoded_len_max());
        let reader = &mut peer.control.reader;
        reader.set_rtt(rtt);
        if reader.status_deadline().is_some_and(|at| at <= now)
            && out.len() + FEEDBACK_ROOM <= limit
        {
            let status = reader.status(now, super::peer::CONTROL_WINDOW);
            encode_status(0, status, out);
        }
        if reader.nak_deadline(pkt).is_some_and(|at| at <= now) {
            reader.naks(now, pkt, |item| peer.naks.push_back((0, item)));
        }
        let control = &mut peer.control;
        if out.len() + FEEDBACK_ROOM <= limit
            && let Some(beat) = control.cursor.heartbeat(&control.log, now)
        {
            self.counters.heartbeats_sent += 1;
            encode_beat(0, beat, out);
        }
        let looked = peer.hot.deadline(pkt) <= now;
        if looked {
            peer.hot = Soonest::NEVER;
            self.reader_feedback(peer, out, limit);
        }
        self.counters.naks_sent += encode_naks(&mut peer.naks, limit, out);
        if looked {
            self.writer_feedback(peer, out, limit);
        }
        if out.len() + peer.lane_says.len() <= limit {
            out.append(&mut peer.lane_says);
        }
    }

    /// STATUS and NAK of streams that we read.
    fn reader_feedback(&self, peer: &mut Peer<C::Aead>, out: &mut Vec<u8>, limit: usize) {
        let now = self.now;
        let pkt = peer.session.received;
        let rtt = peer.session.rtt_view();
        let mut i = 0;
        while let Some(stream) = peer.hot_ins.get(i).copied() {
            let Some(incoming) = peer.ins.get_mut(&stream) else {
                peer.hot_ins.swap_remove(i);
                continue;
            };
            if incoming.suspended {
                i += 1;
                continue;
            }
            let reader = &mut incoming.reader;
            let status_at = reader.status_deadline();
            let nak_at = reader.nak_deadline(pkt);
            if nak_at.is_some_and(|at| at <= now) {
                reader.set_rtt(rtt);
                reader.naks(now, pkt, |item| peer.naks.push_back((stream, item)));
            }
            if status_at.is_some_and(|at| at <= now) && out.len() + FEEDBACK_ROOM <= limit {
                let free = free(self.subscriptions, incoming);
                encode_status(stream, incoming.reader.status(now, free), out);
            }
            if incoming.reader.status_deadline().is_none()
                && incoming.reader.nak_deadline(pkt).is_none()
            {
                incoming.hot = false;
                peer.hot_ins.swap_remove(i);
            } else {
                peer.hot.of_reader(&incoming.reader);
                i += 1;
            }
        }
    }

    /// HEARTBEATs of streams that we write.
    fn writer_feedback(&mut self, peer: &mut Peer<C::Aead>, out: &mut Vec<u8>, limit: usize) {
        let now = self.now;
        let mut i = 0;
        while let Some(stream) = peer.hot_outs.get(i).copied() {
            let Some(log) = self.publications.get(&stream).map(|publication| &publication.log)
            else {
                peer.hot_outs.swap_remove(i);
                continue;
            };
            let Some(outgoing) = peer.outs.get_mut(&stream) else {
                peer.hot_outs.swap_remove(i);
                continue;
            };
            if outgoing.state == OutState::Active
                && out.len() + FEEDBACK_ROOM <= limit
                && let Some(beat) = outgoing.cursor.heartbeat(log, now)
            {
                self.counters.heartbeats_sent += 1;
                encode_beat(stream, beat, out);
            }
            if outgoing.cursor.deadline().is_none() {
                outgoing.hot = false;
                peer.hot_outs.swap_remove(i);
            } else {
                if outgoing.state == OutState::Active {
                    peer.hot.of_cursor(&outgoing.cursor);
                }
                i += 1;
            }
        }
    }

    /// Fills the packet from streams. True if more waits.
    fn fill(&mut self, peer: &mut Peer<C::Aead>, out: &mut Vec<u8>, limit: usize) -> bool {
        let base = out.len();
        let rtt = peer.session.rtt_view();
        if peer.control.ready {
            let Peer { control, .. } = peer;
            while let Some(piece) = control.cursor.next_piece(
                &control.log,
                self.now,
                &rtt,
                space(out, base, limit, false),
            ) {
                let _ = encode_piece(0, &control.log, piece, out, usize::MAX);
            }
            control.ready = control.cursor.has_work(&control.log);
            if control.ready {
                return true;
            }
        }
        peer.turn = peer.turn.wrapping_add(1);
        let low_first = peer.turn.is_multiple_of(LOW_SHARE);
        for class in 0..8 {
            let class = if low_first { 7 - class } else { class };
            while let Some(stream) = peer.ready.get(class).and_then(VecDeque::front).copied() {
                let limit = limit - self.end.len();
                let done = self.fill_from(peer, stream, out, (base, limit));
                let waits = !done;
                if let Some(list) = peer.ready.get_mut(class) {
                    list.pop_front();
                    if waits {
                        list.push_back(stream); // its turn again after the others
                    }
                }
                if done && let Some(outgoing) = peer.outs.get_mut(&stream) {
                    outgoing.ready = false;
                }
                peer.heat_out(stream);
                if waits {
                    return true;
                }
            }
        }
        false
    }

    /// True if the stream has nothing more to send; false if the packet is full.
    fn fill_from(
        &mut self,
        peer: &mut Peer<C::Aead>,
        stream: StreamId,
        out: &mut Vec<u8>,
        (base, limit): (usize, usize),
    ) -> bool {
        let reader = peer.key;
        let rtt = peer.session.rtt_view();
        let room = peer.session.room() as u64;
        let Some(publication) = self.publications.get(&stream) else { return true };
        let Some(outgoing) = peer.outs.get_mut(&stream) else { return true };
        if outgoing.state != OutState::Active {
            return true;
        }
        let (log, cursor) = (&publication.log, &mut outgoing.cursor);
        loop {
            let backlog = cursor.unsent(log) > room;
            let Some(piece) =
                cursor.next_piece(log, self.now, &rtt, space(out, base, limit, backlog))
            else {
                break;
            };
            if let Some(end) = encode_piece(stream, log, piece, out, limit) {
                self.end = end;
                break;
            }
            if let Piece::Gap { from, count, reason } = piece {
                let lost = cursor.told_gone(from, count);
                self.counters.messages_dropped =
                    self.counters.messages_dropped.saturating_add(lost);
                if reason == GapReason::Evicted && lost > 0 {
                    lagging(self.events, PubId(stream), reader, lost);
                }
            }
        }
        let counts = core::mem::take(&mut cursor.counts);
        self.counters.messages_sent += counts.messages_sent;
        self.counters.repairs_sent += counts.repairs_sent;
        self.counters.repair_bytes += counts.repair_bytes;
        !cursor.has_work(log)
    }
}

/// Says that a reader lost messages; what follows on its own heels is added up.
fn lagging(events: &mut VecDeque<Event>, to: PubId, who: EndpointKey, count: u64) {
    if let Some(Event::ReaderLagging { publication, reader, missed }) = events.back_mut()
        && (*publication, *reader) == (to, who)
    {
        *missed = missed.saturating_add(count);
        return;
    }
    events.push_back(Event::ReaderLagging { publication: to, reader: who, missed: count });
}

pub(super) fn space(out: &[u8], base: usize, limit: usize, backlog: bool) -> Space {
    Space { room: limit.saturating_sub(out.len()), empty: out.len() == base, backlog }
}

fn has_data<A: Aead>(peer: &Peer<A>) -> bool {
    peer.control.ready || peer.ready.iter().any(|class| !class.is_empty())
}

/// STATUS of all streams whose reader got further than it has said, as one packet takes them.
pub(super) fn last_words<A>(
    peer: &mut Peer<A>,
    subscriptions: &super::deliver::Subscriptions,
    now: Time,
) -> Vec<u8> {
    let mut out = core::mem::take(&mut peer.lane_says);
    out.truncate(if out.len() > LAST_WORDS_MAX { 0 } else { out.len() });
    for (stream, incoming) in &mut peer.ins {
        last_status(*stream, incoming, subscriptions, now, &mut out);
    }
    out
}

/// STATUS of a stream whose reader got further than it has said, if there is room for it.
fn last_status(
    stream: StreamId,
    incoming: &mut Incoming,
    subscriptions: &super::deliver::Subscriptions,
    now: Time,
    out: &mut Vec<u8>,
) {
    let owes = !incoming.suspended && incoming.reader.status_deadline().is_some();
    if owes && out.len() + FEEDBACK_ROOM <= LAST_WORDS_MAX {
        let free = free(subscriptions, incoming);
        encode_status(stream, incoming.reader.status(now, free), out);
    }
}

impl<C: Crypto> Node<C> {
    /// A reader leaves: what it has taken is acknowledged in the packet before its goodbye, or in
    /// the same one (S-52).
    pub(super) fn acknowledge_last(&mut self, now: Time, at: usize, stream: StreamId) {
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let Some(incoming) = peer.ins.get_mut(&stream) else { return };
        last_status(stream, incoming, &self.subscriptions, now, &mut peer.lane_says);
    }
}

/// Bytes that any path takes beside a CLOSE.
const LAST_WORDS_MAX: usize = 1_000;

fn encode_status(
    stream: StreamId,
    status: crate::transport::stream::reader::Status,
    out: &mut Vec<u8>,
) {
    let crate::transport::stream::reader::Status { next_seq, next_off, window } = status;
    Frame::Status { stream, next_seq, next_off, window, required: true, end: false }.encode(out);
}

fn encode_beat(stream: StreamId, beat: crate::transport::stream::cursor::Beat, out: &mut Vec<u8>) {
    let crate::transport::stream::cursor::Beat { first_avail, next_seq, blocked } = beat;
    let frame =
        Frame::Heartbeat { stream, first_avail, next_seq, answer: true, end: false, blocked };
    frame.encode(out);
}

/// Writes NAK frames for as much of `naks` as fits; the rest waits for the next packet. Returns
/// how many frames.
fn encode_naks(naks: &mut VecDeque<(StreamId, NakItem)>, limit: usize, out: &mut Vec<u8>) -> u64 {
    let mut frames = 0;
    while let Some((stream, _)) = naks.front().copied() {
        let mut builder = NakBuilder::new();
        while let Some((of, item)) = naks.front().copied() {
            let pushed = of == stream
                && out.len() + builder.encoded_len(stream) + NAK_ITEM <= limit
                && match item {
                    NakItem::Range { seq, count } => builder.push_range(seq, count),
                    NakItem::Bytes { seq, off, len } => builder.push_bytes(seq, off, len),
                };
            if !pushed {
                break;
            }
            naks.pop_front();
        }
        if builder.is_empty() {
            break;
        }
        builder.encode(stream, false, out);
        frames += 1;
    }
    frames
}

/// Writes a piece of a packet of `limit` bytes. The bytes with which it is full are not copied but
/// returned, for who seals it.
pub(super) fn encode_piece<'a>(
    stream: StreamId,
    log: &'a Log,
    piece: Piece,
    out: &mut Vec<u8>,
    limit: usize,
) -> Option<&'a [u8]> {
    match piece {
        Piece::Whole { seq, count, repair } => {
            let first = log.get(seq)?;
            if count == 1 {
                let frame = Frame::Msg { stream, seq, t_us: first.t_us, repair, body: &[] };
                return put(frame, log.body(first), out, limit);
            }
            let n = u8::try_from(count).unwrap_or(u8::MAX);
            put_msgs_header(out, stream, seq, first.t_us, repair, n);
            log.put_run(seq, u64::from(n), out);
        }
        Piece::Fragment { seq, off, len, total, repair } => {
            let entry = log.get(seq)?;
            let t_us = entry.t_us;
            let frame = Frame::Frag { stream, seq, t_us, total, off, repair, body: &[] };
            return put(frame, log.body(entry).range(off, len)?, out, limit);
        }
        Piece::Gap { from, count, reason } => {
            Frame::Gap { stream, from, count, reason }.encode(out);
        }
    }
    None
}

fn put<'a>(frame: Frame<'_>, body: Body<'a>, out: &mut Vec<u8>, limit: usize) -> Option<&'a [u8]> {
    frame.encode_head(body.len(), out);
    body.put_upto(out, limit)
}
