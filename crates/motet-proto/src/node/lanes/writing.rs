//! Logs → packets of lanes; STATUS and NAK of their readers → cursors.

use super::super::peer::OutState;
use super::super::transmit::{BATCH_BYTES, encode_piece, space};
use super::Node;
use super::leaving::Leaves;
use crate::crypto::Crypto;
use crate::host::{Transmit, TxBatch, Via};
use crate::ids::StreamId;
use crate::time::Time;
use crate::transport::lane::asked::Answer;
use crate::transport::lane::writer::{NCF_MAX, OVERHEAD};
use crate::transport::stream::RttView;
use crate::transport::stream::cursor::Piece;
use alloc::vec::Vec;
use core::time::Duration;
use motet_wire::frame::{Ack, Frame, LaneHbItem, NakBuilder, NakItem, put_lane_hb};

/// What readers have is gathered at least so often.
const GATHER: Duration = Duration::from_millis(5);
/// A lane that is held up is looked at after this, for who does it.
const LAG_MIN: Duration = Duration::from_millis(10);
/// Most bytes of an NCF frame's items.
const NCF_BYTES: usize = 200;

impl<C: Crypto> Node<C> {
    /// Lanes with something to send, in turn with sessions.
    pub(in crate::node) fn lane_transmit(
        &mut self,
        now: Time,
        out: &mut TxBatch,
    ) -> Option<Transmit> {
        if core::mem::take(&mut self.lanes.peers_turn) && !self.ready.is_empty() {
            return None;
        }
        while let Some(tag) = self.lanes.queue.front().copied() {
            let transmit = self.build_lane(now, tag, out);
            if transmit.is_some() {
                self.lanes.queue.rotate_left(1);
                self.lanes.peers_turn = true;
                return transmit;
            }
            self.lanes.queue.pop_front();
            if let Some(writer) = self.lanes.writers.get_mut(&tag) {
                writer.queued = false;
                self.lanes.due = self.lanes.due.min(writer.deadline());
            }
        }
        None
    }

    fn build_lane(&mut self, now: Time, tag: u64, out: &mut TxBatch) -> Option<Transmit> {
        let writer = self.lanes.writers.get(&tag)?;
        let log = &self.publications.get(&writer.stream)?.log;
        if writer.dirty && (writer.gather_at <= now || !writer.cursor.has_work(log)) {
            self.gather(now, tag);
        }
        out.bytes.clear();
        let (mut segment, mut last, mut gaps) = (0, 0, Vec::new());
        for _ in 0..out.segments_max.max(1) {
            let start = out.bytes.len();
            if segment > 0 && start + segment > BATCH_BYTES {
                break;
            }
            let Some(more) = self.lane_packet(now, tag, &mut out.bytes, &mut gaps) else { break };
            last = out.bytes.len() - start;
            if segment == 0 {
                segment = last;
            }
            if last < segment || !more {
                break;
            }
        }
        self.owe_gaps(now, tag, &gaps);
        let writer = self.lanes.writers.get_mut(&tag)?;
        let log = &self.publications.get(&writer.stream)?.log;
        if writer.ready > 0 && writer.cursor.blocked(log) && writer.lag_at == Time::NEVER {
            writer.lag_at = now + LAG_MIN;
        }
        if last > segment && segment > 0 {
            // Cannot be: only full packets are followed by another one.
            debug_assert!(false, "a lane's packets grow");
        }
        let len = out.bytes.len();
        let via = Via::Lane { iface: writer.iface, lane: writer.lane, v6: writer.v6 };
        (len > 0).then_some(Transmit { via, dst: writer.group, src: None, len, segment })
    }

    /// One packet, sealed once for all (L-2). `None` if there is nothing to send; else whether it
    /// is full and more waits.
    fn lane_packet(
        &mut self,
        now: Time,
        tag: u64,
        out: &mut Vec<u8>,
        gaps: &mut Vec<(u64, u64)>,
    ) -> Option<bool> {
        let writer = self.lanes.writers.get_mut(&tag)?;
        let log = &self.publications.get(&writer.stream)?.log;
        let start = writer.begin(out);
        let base = out.len();
        let limit = base + usize::from(writer.mtu).saturating_sub(OVERHEAD);
        let (next, off) = writer.cursor.position();
        let unacked = writer.ready > 0 && writer.cursor.acked() < next;
        let beat = writer.beat_due(now);
        if beat {
            let next_seq = next + u64::from(off > 0);
            let item = LaneHbItem { stream: writer.stream, first_avail: log.first(), next_seq };
            let items = if writer.ready > 0 { &[item][..] } else { &[] };
            let grtt = u64::try_from(writer.grtt.as_micros()).unwrap_or(u64::MAX);
            put_lane_hb(out, writer.readers_log2(), grtt, items);
            self.counters.lane_heartbeats_sent += 1;
        }
        encode_ncf(writer.stream, &mut writer.ncf, limit.min(base + NCF_BYTES), out);
        let before = out.len();
        let mut more = false;
        let mut end = &[][..];
        if writer.ready > 0 && writer.cursor.has_work(log) {
            match writer.meter.may_send(now) {
                Ok(()) => {
                    writer.send_at = Time::NEVER;
                    let rtt = RttView { srtt: writer.grtt, var: writer.grtt / 2 };
                    let room = u64::from(writer.mtu);
                    loop {
                        let backlog = writer.cursor.unsent(log) > room;
                        let space = space(out, base, limit, backlog);
                        let piece = writer.cursor.next_piece(log, now, &rtt, space);
                        match piece {
                            None => break,
                            Some(Piece::Gap { from, count, .. }) => {
                                gaps.push((from, from.saturating_add(count)));
                            }
                            Some(piece) => {
                                if let Some(rest) =
                                    encode_piece(writer.stream, log, piece, out, limit)
                                {
                                    end = rest;
                                    break;
                                }
                            }
                        }
                    }
                    more = writer.cursor.has_work(log);
                    writer.meter.app_limited = !more;
                }
                Err(at) => {
                    writer.send_at = at.unwrap_or(Time::NEVER);
                    writer.meter.app_limited = false;
                }
            }
        }
        let counts = core::mem::take(&mut writer.cursor.counts);
        self.counters.messages_sent += counts.messages_sent;
        self.counters.repairs_sent += counts.repairs_sent;
        self.counters.repair_bytes += counts.repair_bytes;
        self.counters.lane_repairs_sent += counts.repairs_sent;
        let data = out.len() > before;
        if out.len() == base {
            out.truncate(start);
            return None;
        }
        if (beat && writer.is_proving()) || (more && data) {
            let before = limit.saturating_sub(end.len()); // PADDING: a proof (L-11), or equal segments
            out.resize(before.max(out.len()), 0);
        }
        writer.seal(now, out, start, end);
        if data {
            writer.on_data(now, !more);
        }
        if beat {
            writer.on_beat(now, unacked || data);
        }
        Some(more && data)
    }

    /// What the lane passed over because it is gone: its readers are told one by one (L-25).
    fn owe_gaps(&mut self, now: Time, tag: u64, gaps: &[(u64, u64)]) {
        if gaps.is_empty() {
            return;
        }
        let Some(writer) = self.lanes.writers.get(&tag) else { return };
        let stream = writer.stream;
        let (next, off) = writer.cursor.position();
        let ready = |(at, member): (&usize, &crate::transport::lane::writer::Member)| {
            member.ready.then_some(*at)
        };
        let members: Vec<usize> = writer.members.iter().filter_map(ready).collect();
        for at in members {
            let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { continue };
            let Some(out) = peer.outs.get_mut(&stream) else { continue };
            out.cursor.follow(now, next, off);
            for (from, to) in gaps {
                out.cursor.owe_gap(*from, *to);
            }
            peer.make_ready(stream);
            peer.heat_out(stream);
            self.wake(at);
            self.rearm(at);
        }
    }

    /// What all readers of a lane have, and how far all of them take more (L-20).
    pub(super) fn gather(&mut self, now: Time, tag: u64) {
        let Some(writer) = self.lanes.writers.get_mut(&tag) else { return };
        let Some(publication) = self.publications.get(&writer.stream) else { return };
        let (mut acked, mut edge) = (u64::MAX, u64::MAX);
        for at in writer.members.iter().filter(|(_, member)| member.ready).map(|(at, _)| at) {
            let peer = self.peers.get(*at).and_then(Option::as_ref);
            let Some(out) = peer.and_then(|peer| peer.outs.get(&writer.stream)) else { continue };
            acked = acked.min(out.cursor.acked());
            edge = edge.min(out.cursor.edge_pos());
        }
        if crate::planted::on("lane_ignores_slowest_window") {
            edge = u64::MAX;
        }
        let stream = writer.stream;
        if writer.ready > 0 {
            writer.cursor.set_bounds(&publication.log, acked, edge);
        }
        writer.dirty = false;
        self.on_acked(now, stream);
    }

    /// A publication has something new.
    pub(in crate::node) fn wake_lanes(&mut self, stream: StreamId) {
        let Some(publication) = self.publications.get(&stream) else { return };
        publication.lanes.iter().for_each(|tag| self.lanes.wake(*tag));
    }

    /// Brings a reader's own cursor up to what its lane has sent. The lane, if one carries it.
    pub(in crate::node) fn lane_follow(
        &mut self,
        now: Time,
        at: usize,
        stream: StreamId,
    ) -> Option<u64> {
        let peer = self.peers.get_mut(at).and_then(Option::as_mut)?;
        let out = peer.outs.get_mut(&stream)?;
        let tag = out.tie.carrying()?;
        let writer = self.lanes.writers.get_mut(&tag)?;
        let (next, off) = writer.cursor.position();
        out.cursor.follow(now, next, off);
        writer.heard(now, at);
        Some(tag)
    }

    /// A STATUS of a lane's reader moved something; it stood at `edge` before.
    pub(in crate::node) fn lane_progress(&mut self, now: Time, tag: u64, edge: u64) {
        let Some(writer) = self.lanes.writers.get_mut(&tag) else { return };
        if !writer.dirty {
            writer.dirty = true;
            writer.gather_at = now + GATHER;
            self.lanes.due = self.lanes.due.min(writer.gather_at);
        }
        // Only one that the lane may have waited for is worth looking at now.
        if edge <= writer.cursor.edge_pos() {
            self.lanes.wake(tag);
        }
    }

    /// A NAK of a lane's reader: the first one for something is answered by its session, a second
    /// one by the lane (L-43). True if it was that.
    pub(in crate::node) fn on_lane_nak(
        &mut self,
        now: Time,
        at: usize,
        stream: StreamId,
        items: impl Iterator<Item = NakItem>,
    ) {
        let Some(tag) = self.lane_follow(now, at, stream) else { return };
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let Some(out) = peer.outs.get_mut(&stream) else { return };
        let Some(writer) = self.lanes.writers.get_mut(&tag) else { return };
        let Some(log) = self.publications.get(&stream).map(|publication| &publication.log) else {
            return;
        };
        let rtt = peer.session.rtt_view();
        let since = now - (writer.backoff().span + writer.grtt * 2);
        let (end, acked) = (out.cursor.position().0, out.cursor.acked());
        let mut answer = Answer::default();
        let mut bytes = 0_u64;
        for item in items {
            let (seq, item) = match item {
                NakItem::Range { seq, count } => {
                    let to = seq.saturating_add(count).min(end);
                    bytes += log.pos(to).saturating_sub(log.pos(seq.max(acked)));
                    (seq, NakItem::Range { seq, count: to.saturating_sub(seq) })
                }
                NakItem::Bytes { seq, off, len } => {
                    let whole = log.get(seq).map_or(0, |entry| entry.size() as u64);
                    let rest = whole.saturating_sub(off);
                    bytes += if len == 0 { rest } else { len.min(rest) };
                    (seq, item)
                }
            };
            if seq >= end || seq < acked {
                answer.alone.push(match item {
                    NakItem::Range { seq, count } => NakItem::Range { seq, count: count.max(1) },
                    bytes => bytes,
                });
            } else {
                writer.asked.ask(now, since, at, item, &mut answer);
            }
        }
        if let Some(member) = writer.members.get_mut(&at) {
            member.asked = member.asked.saturating_add(bytes);
        }
        let Answer { alone, shared } = answer;
        if crate::planted::on("lane_repairs_alone_only") {
            writer.asked.clear();
        }
        let outcome = out.cursor.on_nak(log, now, &rtt, alone.into_iter());
        self.counters.naks_ignored += outcome.ignored;
        peer.make_ready(stream);
        peer.heat_out(stream);
        if !shared.is_empty() {
            let group = RttView { srtt: writer.grtt, var: Duration::ZERO };
            let outcome = writer.cursor.on_nak(log, now, &group, shared.iter().copied());
            self.counters.naks_ignored += outcome.ignored;
            // What cannot leave at once is confirmed, so that nobody else asks (L-44).
            if outcome.queued > 0
                && writer.meter.may_send(now).is_err()
                && !crate::planted::on("lane_confirms_nothing")
            {
                let room = NCF_MAX.saturating_sub(writer.ncf.len());
                writer.ncf.extend(shared.into_iter().take(room));
            }
            self.lanes.wake(tag);
        }
    }

    /// What a reader says of a lane.
    pub(in crate::node) fn on_lane_state(
        &mut self,
        now: Time,
        at: usize,
        tag: u64,
        state: u8,
        loss_ppm: u64,
    ) {
        if state == 3 {
            return self.on_asked_to_ack(now, at, tag);
        }
        let Some(writer) = self.lanes.writers.get_mut(&tag) else { return };
        let stream = writer.stream;
        let Some(member) = writer.members.get_mut(&at) else { return };
        (member.heard, member.loss_ppm) = (now, loss_ppm.min(1_000_000));
        match (state, member.ready) {
            (0, false) => self.admit_to_lane(now, at, tag),
            (0, true) => {}
            (1, _) => self.lane_release(now, at, stream, Leaves::Lost),
            _ => self.lane_release(now, at, stream, Leaves::JoinFailed),
        }
    }

    /// A reader has heard the lane: what is new comes that way from now on, if it is near (L-12).
    fn admit_to_lane(&mut self, now: Time, at: usize, tag: u64) {
        let Some(writer) = self.lanes.writers.get(&tag) else { return };
        let stream = writer.stream;
        if self.lane_distance(at, tag).is_none_or(|(behind, allowed)| behind > allowed) {
            let writer = self.lanes.writers.get_mut(&tag);
            if let Some(member) = writer.and_then(|writer| writer.members.get_mut(&at)) {
                member.hears = true; // it says so again, or is dismissed in time
            }
            return;
        }
        let first = writer.ready == 0;
        let start = if first { self.furthest(stream) } else { writer.cursor.position().0 };
        let part = !first && writer.cursor.position().1 > 0;
        let Some(publication) = self.publications.get_mut(&stream) else { return };
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let credit = peer.session.credit;
        let Some(out) = peer.outs.get_mut(&stream) else { return };
        let Some(writer) = self.lanes.writers.get_mut(&tag) else { return };
        if out.state != OutState::Active || !writer.admit(now, at) {
            return;
        }
        if first {
            writer.cursor.jump(start);
        }
        writer.meter.limit(credit);
        (out.tie.ready, out.tie.was) = (true, true);
        out.cursor.yield_from(start + u64::from(part));
        if let Err(place) = publication.laned.binary_search(&at) {
            publication.laned.insert(place, at);
        }
        peer.make_ready(stream); // up to there it is still served as before
        self.counters.lane_readers_joined += 1;
        self.wake(at);
        self.gather(now, tag);
        self.lanes.wake(tag);
        if first {
            self.elect(now, tag);
        }
    }

    /// How many bytes a reader is behind the lane, and how many it may be: half its window.
    pub(super) fn lane_distance(&self, at: usize, tag: u64) -> Option<(u64, u64)> {
        let writer = self.lanes.writers.get(&tag)?;
        let log = &self.publications.get(&writer.stream)?.log;
        let out = self.peers.get(at)?.as_ref()?.outs.get(&writer.stream)?;
        let live = if writer.ready > 0 {
            writer.cursor.position().0
        } else {
            self.furthest(writer.stream)
        };
        let behind = log.pos(live).saturating_sub(log.pos(out.cursor.next()));
        let window = out.cursor.edge_pos().saturating_sub(log.pos(out.cursor.acked()));
        Some((behind, window / 2))
    }

    /// The first message that no reader was sent by its session.
    fn furthest(&self, stream: StreamId) -> u64 {
        let Some(publication) = self.publications.get(&stream) else { return 0 };
        let of = |at: &usize| {
            let out = self.peers.get(*at)?.as_ref()?.outs.get(&stream)?;
            let (next, off) = out.cursor.position();
            (out.state == OutState::Active).then_some(next + u64::from(off > 0))
        };
        let next = publication.readers.iter().filter_map(of).max();
        next.unwrap_or_else(|| publication.log.next()).min(publication.log.next())
    }

    /// A LANE_ACK came.
    pub(in crate::node) fn on_lane_ack(&mut self, now: Time, at: usize, tag: u64, ack: &Ack<'_>) {
        let Some(writer) = self.lanes.writers.get_mut(&tag) else { return };
        let next_pn = writer.keys.next_pn();
        if writer.meter.acker() != Some(at) || !writer.meter.on_ack(now, ack, next_pn) {
            self.counters.lane_acks_ignored += 1;
            return;
        }
        writer.heard(now, at);
        self.counters.packets_lost += writer.meter.take_lost();
        self.lanes.due = self.lanes.due.min(writer.deadline());
        self.lanes.wake(tag);
    }

    pub(super) fn lane_writer_timeout(&mut self, now: Time, tag: u64) {
        let Some(writer) = self.lanes.writers.get_mut(&tag) else { return };
        if writer.deadline() > now {
            return;
        }
        writer.meter.on_time(now);
        self.counters.packets_lost += writer.meter.take_lost();
        let forsaken = writer.meter.is_forsaken(now);
        writer.keys.turn(&self.crypto, now);
        let (renew, lag) = (writer.keys.is_due(now), writer.lag_at <= now);
        if writer.dirty && writer.gather_at <= now {
            self.gather(now, tag);
        }
        if forsaken {
            self.elect(now, tag);
        }
        if renew {
            self.renew_lane_key(now, tag);
        }
        if lag {
            self.look_for_laggards(now, tag);
        }
        if let Some(writer) = self.lanes.writers.get_mut(&tag)
            && writer.send_at <= now
        {
            writer.send_at = Time::NEVER;
        }
        self.lanes.wake(tag);
    }
}

/// Writes NCF frames for as much of `items` as fits.
fn encode_ncf(
    stream: StreamId,
    items: &mut alloc::collections::VecDeque<NakItem>,
    limit: usize,
    out: &mut Vec<u8>,
) {
    while !items.is_empty() {
        let mut builder = NakBuilder::new();
        // Items ascend within a frame; one that does not begins the next.
        while let Some(item) = items.front().copied() {
            let fits = out.len() + builder.encoded_len(stream) + 32 <= limit;
            let pushed = fits
                && match item {
                    NakItem::Range { seq, count } => builder.push_range(seq, count),
                    NakItem::Bytes { seq, off, len } => builder.push_bytes(seq, off, len),
                };
            if !pushed {
                break;
            }
            items.pop_front();
        }
        if builder.is_empty() {
            return;
        }
        builder.encode(stream, true, out);
    }
}

/// So that callers need not name the frame.
pub(super) fn lane_state(source_tag: u64, state: u8, loss_ppm: u64) -> Frame<'static> {
    Frame::LaneState { source_tag, state, loss_ppm }
}
