//! Offers → groups; packets of lanes → the readers of streams.

use super::super::deliver::{budget, has_room};
use super::writing::lane_state;
use super::{Group, Node};
use crate::crypto::Crypto;
use crate::host::{HostAction, RecvMeta, Via};
use crate::ids::StreamId;
use crate::time::Time;
use crate::transport::lane::keys::{Opened, ReaderKeys, Told};
use crate::transport::lane::source::{LaneSource, State};
use crate::transport::lane::{OFFERS_MAX, group_of};
use crate::transport::stream::reader::Arrival;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use core::time::Duration;
use motet_wire::control::{LaneKey, LaneOffer};
use motet_wire::frame::{Frame, Frames};
use motet_wire::packet::{MdataHeader, TAG_LEN};

/// Whether a silent lane's writer is alive is asked again after this long.
const DOUBT: Duration = Duration::from_millis(50);
/// The LANE_ACK frames that wait in a session may be this long.
const ACKS_MAX: usize = 600;

impl<C: Crypto> Node<C> {
    /// A writer offers a lane, or withdraws it.
    pub(in crate::node) fn on_lane_offer(&mut self, now: Time, at: usize, offer: LaneOffer) {
        let tag = offer.source_tag;
        let known = self.lanes.sources.get(&tag).map(|source| source.peer);
        if known.is_some_and(|peer| peer != at) {
            self.counters.lane_offers_refused += 1;
            return;
        }
        if known.is_some() {
            self.drop_source(tag);
        }
        if offer.streams.is_empty() {
            return;
        }
        if !self.take_lane(now, at, offer) {
            self.counters.lane_offers_refused += 1;
            self.say_of_lane(at, &lane_state(tag, 2, 0));
        }
    }

    fn take_lane(&mut self, now: Time, at: usize, offer: LaneOffer) -> bool {
        let Some(peer) = self.peers.get(at).and_then(Option::as_ref) else { return false };
        let v6 = offer.group.is_ipv6();
        let of_peer = self.lanes.sources.values().filter(|source| source.peer == at).count();
        let allowed = self.lanes.sources.len() < self.cfg.lanes_max
            && of_peer < OFFERS_MAX
            && offer.group == group_of(offer.lane, v6)
            && offer.port == self.cfg.lane_port; // L-1, L-6
        let Some((iface, family)) = self.place_of(peer) else { return false };
        let mut streams = offer.streams;
        streams.retain(|stream| peer.ins.contains_key(stream));
        if !allowed || family != v6 || streams.is_empty() {
            return false;
        }
        let told = Told { epoch: offer.epoch, key: offer.key.0 };
        let Some(keys) = ReaderKeys::new(&self.crypto, offer.suite, told) else { return false };
        let group = (offer.group, offer.port).into();
        let place = (offer.lane, iface, group);
        let mut source = LaneSource::new(now, at, place, offer.mtu, streams, keys);
        let joined = self.lanes.groups.entry((iface, offer.lane, v6)).or_insert_with(|| {
            let lane = offer.lane;
            self.lanes.actions.push_back(HostAction::JoinLane { iface, lane, group });
            Group { users: 0, joined: false, group }
        });
        joined.users += 1;
        if joined.joined {
            source.turn(now, State::Proving);
        }
        self.lanes.sources.insert(offer.source_tag, source);
        true
    }

    /// A writer tells the next key of a lane.
    pub(in crate::node) fn on_lane_key(&mut self, at: usize, key: LaneKey) {
        if let Some(source) = self.lanes.sources.get_mut(&key.source_tag)
            && source.peer == at
        {
            source.keys.add(&self.crypto, Told { epoch: key.epoch, key: key.key.0 });
        }
    }

    /// The host has joined a group, or cannot.
    pub(in crate::node) fn on_lane_joined(&mut self, now: Time, iface: u32, lane: u16, ok: bool) {
        for v6 in [false, true] {
            let Some(group) = self.lanes.groups.get_mut(&(iface, lane, v6)) else { continue };
            if group.joined {
                continue;
            }
            group.joined = ok;
            let state = if ok { State::Proving } else { State::Refused };
            let mut failed = 0;
            for source in self.lanes.sources.values_mut() {
                let here = (source.iface, source.lane, source.v6) == (iface, lane, v6);
                if here && source.state == State::Joining {
                    source.heard = now;
                    source.turn(now, state);
                    failed += usize::from(!ok);
                }
            }
            if !ok {
                group.users = group.users.saturating_sub(failed);
                if group.users == 0 {
                    self.lanes.groups.remove(&(iface, lane, v6));
                }
            }
        }
        self.lanes.due = self.lanes.due.min(now);
    }

    /// A lane is of no use any more: its group is left with its last one.
    pub(super) fn drop_source(&mut self, tag: u64) {
        let Some(source) = self.lanes.sources.remove(&tag) else { return };
        let (iface, lane) = (source.iface, source.lane);
        self.set_pace(&source, None);
        if source.state == State::Refused {
            return; // the group was given up then
        }
        let place = (iface, lane, source.v6);
        let Some(group) = self.lanes.groups.get_mut(&place) else { return };
        group.users = group.users.saturating_sub(1);
        if group.users == 0 {
            let group = group.group;
            self.lanes.groups.remove(&place);
            self.lanes.actions.push_back(HostAction::LeaveLane { iface, lane, group });
        }
    }

    fn set_pace(&mut self, source: &LaneSource<C::Aead>, pace: Option<Duration>) {
        let Some(peer) = self.peers.get_mut(source.peer).and_then(Option::as_mut) else { return };
        for stream in &source.streams {
            if let Some(incoming) = peer.ins.get_mut(stream) {
                incoming.reader.set_pace(pace);
            }
        }
    }

    /// A packet that came by a group.
    pub(in crate::node) fn on_mdata(&mut self, now: Time, meta: &RecvMeta, mut packet: BytesMut) {
        let Ok(header) = MdataHeader::decode(&packet) else {
            self.counters.malformed_packets += 1;
            return;
        };
        let tag = header.source_tag;
        let Some(source) = self.lanes.sources.get_mut(&tag) else {
            self.counters.lane_unknown += 1; // L-7: before any cryptography
            return;
        };
        let via = Via::Lane { iface: source.iface, lane: source.lane, v6: source.v6 };
        if meta.via != via || header.lane != source.lane {
            self.counters.lane_unknown += 1;
            return;
        }
        let size = packet.len();
        let Some((head, rest)) = packet.split_first_chunk_mut::<{ MdataHeader::LEN }>() else {
            return;
        };
        let Some((body, end)) = rest.split_last_chunk_mut::<TAG_LEN>() else { return };
        match source.keys.open(header.epoch, header.pn, head, body, end) {
            Opened::Authentic => {}
            Opened::Stale => {
                self.counters.lane_stale += 1;
                return;
            }
            Opened::Forged => {
                self.counters.lane_forged += 1;
                return;
            }
        }
        let blind = crate::planted::on("lane_replay_unchecked");
        if !source.replay.check(header.pn) && !blind {
            self.counters.lane_replayed += 1; // L-8
            return;
        }
        source.replay.mark(header.pn);
        let at = source.peer;
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let srtt = peer.session.rtt.srtt();
        if source.on_packet(now, header.pn, size, srtt) {
            source.turn(now, State::Ready);
            let pace = source.pace(self.rng.unit());
            for stream in &source.streams {
                if let Some(incoming) = peer.ins.get_mut(stream) {
                    incoming.reader.set_pace(Some(pace));
                }
            }
        }
        let ready = source.state == State::Ready;
        let arrival = Arrival {
            now,
            pkt: peer.session.received,
            repair: false,
            lane: Some(source.wait(self.rng.unit())),
        };
        let packet = packet.freeze();
        self.on_lane_frames(now, at, tag, arrival, ready, &packet);
        if let Some(source) = self.lanes.sources.get(&tag) {
            self.lanes.due = self.lanes.due.min(source.deadline(now));
        }
        self.finish_input(now, at);
    }

    fn on_lane_frames(
        &mut self,
        now: Time,
        at: usize,
        tag: u64,
        arrival: Arrival,
        ready: bool,
        packet: &Bytes,
    ) {
        let frames = packet.get(MdataHeader::LEN..packet.len() - TAG_LEN).unwrap_or(&[]);
        for frame in Frames::new(frames) {
            match frame {
                Ok(frame) if frame.allowed_on_lane() => {
                    self.on_lane_frame(now, at, tag, arrival, ready, packet, frame);
                }
                // Any member may have written it: it proves nothing about the writer (L-52).
                Ok(_) | Err(_) => {
                    self.counters.lane_frames_refused += 1;
                    return;
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one frame and where it came from")]
    fn on_lane_frame(
        &mut self,
        now: Time,
        at: usize,
        tag: u64,
        arrival: Arrival,
        ready: bool,
        packet: &Bytes,
        frame: Frame<'_>,
    ) {
        match frame {
            Frame::Msg { stream, seq, t_us, repair, body } => {
                let arrival = Arrival { repair, ..arrival };
                if ready && self.lane_brings(now, at, tag, stream) {
                    self.on_lane_message(at, stream, arrival, seq, t_us, packet.slice_ref(body));
                    self.drain(now, at, stream);
                }
            }
            Frame::Msgs { stream, first_seq, t_us, repair, bodies } => {
                let arrival = Arrival { repair, ..arrival };
                if ready && self.lane_brings(now, at, tag, stream) {
                    for (seq, body) in (first_seq..).zip(bodies) {
                        let body = packet.slice_ref(body);
                        self.on_lane_message(at, stream, arrival, seq, t_us, body);
                    }
                    self.drain(now, at, stream);
                }
            }
            Frame::Frag { stream, seq, t_us, total, off, repair, body } => {
                let arrival = Arrival { repair, ..arrival };
                if ready && self.lane_brings(now, at, tag, stream) {
                    self.on_lane_fragment(at, stream, arrival, (seq, t_us, total, off), body);
                }
            }
            Frame::LaneHb { readers_log2, grtt_us, items } => {
                let pace = self.lanes.sources.get_mut(&tag).map(|source| {
                    source.on_group(readers_log2, grtt_us);
                    source.pace(self.rng.unit())
                });
                let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
                let Some(source) = self.lanes.sources.get(&tag).filter(|_| ready) else { return };
                for item in items.filter(|item| source.streams.contains(&item.stream)) {
                    let Some(incoming) = peer.ins.get_mut(&item.stream) else { continue };
                    if !incoming.suspended {
                        incoming.reader.set_pace(pace);
                        incoming.reader.on_lane_beat(arrival, item.next_seq);
                        peer.heat_in(item.stream);
                    }
                }
            }
            Frame::Ncf { stream, items } => {
                if ready
                    && self.lane_brings(now, at, tag, stream)
                    && let Some(peer) = self.peer(at)
                    && let Some(incoming) = peer.ins.get_mut(&stream)
                {
                    incoming.reader.on_ncf(now, items);
                    peer.heat_in(stream);
                }
            }
            // A gap takes messages away for good: only the session may say so (L-25).
            Frame::Gap { .. } | Frame::Heartbeat { .. } => self.counters.lane_frames_refused += 1,
            _ => {}
        }
    }

    /// True if this lane may bring this stream to us.
    fn lane_brings(&mut self, now: Time, at: usize, tag: u64, stream: StreamId) -> bool {
        let Some(source) = self.lanes.sources.get_mut(&tag) else { return false };
        let Some(peer) = self.peers.get(at).and_then(Option::as_ref) else { return false };
        let reads = peer.ins.get(&stream).is_some_and(|incoming| !incoming.suspended);
        if !reads || !source.streams.contains(&stream) {
            return false;
        }
        source.on_data(now);
        true
    }

    fn on_lane_message(
        &mut self,
        at: usize,
        stream: StreamId,
        arrival: Arrival,
        seq: u64,
        t_us: u64,
        body: Bytes,
    ) {
        let now = arrival.now;
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let Some(incoming) = peer.ins.get_mut(&stream) else { return };
        let open = !incoming.stalled && has_room(&self.subscriptions, incoming);
        incoming.reader.set_rtt(peer.session.rtt_view());
        let mut budget = budget(&mut self.pool, &mut peer.share);
        let taken = incoming.reader.on_message(arrival, seq, t_us, body, open, &mut budget);
        let holds = !incoming.reader.is_caught_up();
        match taken {
            Ok(Some(item)) => self.deliver(now, at, stream, item),
            Ok(None) => {}
            Err(_) => self.counters.lane_frames_refused += 1, // the session will say what it is
        }
        if holds {
            self.drain(now, at, stream);
        }
    }

    fn on_lane_fragment(
        &mut self,
        at: usize,
        stream: StreamId,
        arrival: Arrival,
        (seq, t_us, total, off): (u64, u64, u64, u64),
        body: &[u8],
    ) {
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let rtt = peer.session.rtt_view();
        let Some(incoming) = peer.ins.get_mut(&stream) else { return };
        incoming.reader.set_rtt(rtt);
        let mut budget = budget(&mut self.pool, &mut peer.share);
        match incoming.reader.on_fragment(arrival, seq, t_us, total, off, body, &mut budget) {
            Ok(()) => self.drain(arrival.now, at, stream),
            Err(_) => self.counters.lane_frames_refused += 1,
        }
    }

    /// The writer of a lane wants our acknowledgements.
    pub(super) fn on_asked_to_ack(&mut self, now: Time, at: usize, tag: u64) {
        if let Some(source) = self.lanes.sources.get_mut(&tag)
            && source.peer == at
        {
            source.on_asked_to_ack(now);
        }
    }

    /// Nothing comes by a lane any more: everything comes by the session again (L-32).
    pub(super) fn lose_lane(&mut self, now: Time, tag: u64) {
        let Some(source) = self.lanes.sources.get_mut(&tag) else { return };
        if !matches!(source.state, State::Ready) {
            return;
        }
        self.counters.lanes_lost += 1;
        source.turn(now, State::Lost);
        let at = source.peer;
        let streams = source.streams.clone();
        self.lanes.due = self.lanes.due.min(now);
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        for stream in streams {
            if let Some(incoming) = peer.ins.get_mut(&stream) {
                incoming.reader.set_pace(None);
                incoming.reader.urge_status(now); // it goes on from where we are
                peer.heat_in(stream);
            }
        }
        self.wake(at);
    }

    /// A peer's session died: its lanes are as good as lost.
    pub(in crate::node) fn lose_lanes_of(&mut self, now: Time, at: usize) {
        let of = self.lanes.sources.iter().filter(|(_, source)| source.peer == at);
        for tag in of.map(|(tag, _)| *tag).collect::<Vec<_>>() {
            self.lose_lane(now, tag);
        }
    }

    pub(super) fn lane_source_timeout(&mut self, now: Time, tag: u64) {
        let Some(source) = self.lanes.sources.get_mut(&tag) else { return };
        if source.deadline(now) > now {
            return;
        }
        let at = source.peer;
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        if !source.streams.iter().any(|stream| peer.ins.contains_key(stream)) {
            return self.drop_source(tag);
        }
        if source.is_acking(now) && source.acks.due(now) && peer.lane_acks.len() < ACKS_MAX {
            source.acks.write_lane(now, tag, &mut peer.lane_acks);
            self.wake(at);
        }
        let Some(source) = self.lanes.sources.get_mut(&tag) else { return };
        if source.silent_at() <= now {
            let heard = self.peers.get(at).and_then(Option::as_ref);
            let heard = heard.map_or(Time::ZERO, |peer| peer.session.watch.heard());
            if heard > source.heard + DOUBT {
                self.lose_lane(now, tag);
            } else {
                // Is it the lane, or the writer?
                source.doubt(now + DOUBT);
                if let Some(peer) = self.peer(at) {
                    peer.session.ping = true;
                }
                self.wake(at);
            }
        }
        let Some(source) = self.lanes.sources.get_mut(&tag) else { return };
        if let Some((state, loss)) = source.say(now) {
            self.say_of_lane(at, &lane_state(tag, state, loss));
        }
    }
}
