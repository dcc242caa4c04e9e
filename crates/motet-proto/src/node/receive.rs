//! Datagrams → realm packets, handshakes, sessions → frames → streams.

use super::Node;
use super::deliver::{budget, has_room};
use super::peer::OutState;
use crate::crypto::Crypto;
use crate::events::{DownReason, Event, WriterState};
use crate::explain::{Offence, Outcome, Reason};
use crate::host::{HostEvent, RecvMeta, Via};
use crate::ids::{EndpointKey, StreamId};
use crate::time::Time;
use crate::transport::acks::Asks;
use crate::transport::liveness::State;
use crate::transport::session::Opened;
use crate::transport::stream::reader::{Arrival, Refuse};
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};
use motet_wire::control::Control as Record;
use motet_wire::frame::{Frame, Frames};
use motet_wire::packet::{DataHeader, PacketType, RealmHeader, TAG_LEN, packet_type};
use motet_wire::record::{Record as Realm, Records};

/// CLOSE codes.
pub(super) mod close {
    /// We leave.
    pub(in crate::node) const LEAVING: u64 = 0;
    /// The peer broke the protocol.
    pub(in crate::node) const FRAME_ERROR: u64 = 2;
    /// The realm does not, or no more, authorise the peer's key.
    pub(in crate::node) const NOT_AUTHORISED: u64 = 3;
    /// It carries nothing, and there are too many for everybody to have one.
    pub(in crate::node) const IDLE: u64 = 4;
}

impl<C: Crypto> Node<C> {
    /// Takes one datagram. Whatever a peer sends, this neither fails nor panics.
    pub fn handle_datagram(&mut self, now: Time, meta: RecvMeta, mut packet: BytesMut) {
        self.wake_up(now);
        self.counters.datagrams_received += 1;
        self.counters.bytes_received += packet.len() as u64;
        let Ok(kind) = packet_type(&packet) else {
            self.counters.malformed_packets += 1;
            return;
        };
        match kind {
            PacketType::Data => self.on_data(now, meta, packet),
            PacketType::Realm => self.on_realm(now, &meta, &mut packet),
            PacketType::Hs1 => self.on_hs1(now, &meta, &packet),
            PacketType::Hs2 => self.on_hs2(now, &meta, &packet),
            PacketType::Hs3 => self.on_hs3(now, &meta, &packet),
            PacketType::Cookie => self.on_cookie(now, &meta, &packet),
            PacketType::Reset => self.on_reset(now, &packet),
            PacketType::Vneg => self.on_vneg(now, &meta, &packet),
            PacketType::Mdata => self.on_mdata(now, &meta, packet),
            PacketType::Hint => self.counters.unsupported_packets += 1, // S-60
        }
    }

    /// Takes what the host noticed.
    pub fn handle_host(&mut self, now: Time, event: HostEvent) {
        self.wake_up(now);
        match event {
            HostEvent::Interfaces(list) => {
                let mtu = list.iter().filter(|i| !i.loopback).map(|i| i.mtu).min();
                let payload = mtu.map_or(0xffff, |mtu| mtu.saturating_sub(48).max(512));
                self.mtu_cap = u16::try_from(payload).unwrap_or(u16::MAX);
                self.discovery.on_interfaces(now, &list);
                self.lanes_on_interfaces(now, &list);
                self.crowd_addresses(now);
                for at in 0..self.peers.len() {
                    if let Some(peer) = self.peer(at) {
                        let own = || list.iter().flat_map(|face| &face.addresses);
                        peer.session.path.on_own_addresses(|ip| own().any(|(own, _)| *own == ip));
                        peer.session.watch.doubt(now);
                        self.rearm(at);
                    }
                }
                self.run_discovery(now);
            }
            HostEvent::WallClock(ms) => self.wall.set(ms, now),
            HostEvent::RxDropped(n) => self.counters.kernel_drops += n,
            HostEvent::TooBig { dst, size } => {
                let size = u16::try_from(size).unwrap_or(u16::MAX);
                if dst.ip().is_multicast() {
                    self.lane_too_big(dst);
                }
                for at in 0..self.peers.len() {
                    if let Some(peer) = self.peer(at)
                        && peer.session.path.remote == dst
                    {
                        peer.session.mtu.on_too_big(now, size);
                        self.wake(at);
                    }
                }
            }
            HostEvent::Refused(dst) => self.failures.dialled(now, None, dst, Outcome::Refused),
            HostEvent::Unreachable(dst) => {
                let dialled = self.dials.values().find(|dial| dial.addrs().contains(&dst));
                let id = dialled.and_then(|dial| dial.id);
                self.failures.dialled(now, id, dst, Outcome::NoRoute);
                self.dials.values_mut().for_each(|dial| dial.unreachable(now, dst));
                self.poll_dials(now);
            }
            HostEvent::LaneJoined { iface, lane, ok } => self.on_lane_joined(now, iface, lane, ok),
            HostEvent::Resumed => {
                for peer in self.peers.iter_mut().flatten() {
                    let silent = now.since(peer.session.watch.heard());
                    peer.session.watch.forgive(now, silent);
                }
            }
        }
    }

    fn on_realm(&mut self, now: Time, meta: &RecvMeta, packet: &mut BytesMut) {
        let Ok(header) = RealmHeader::decode(packet) else {
            self.counters.malformed_packets += 1;
            return;
        };
        if header.realm_tag != self.realm.tag {
            self.counters.foreign_realm += 1;
            self.discovery.on_foreign_realm(now, meta.src.ip(), header.realm_tag.to_le_bytes());
            return;
        }
        if !self.realm.open(&self.crypto, &header, packet) {
            self.counters.wrong_key += 1;
            self.discovery.on_wrong_key(now, meta.src.ip());
            return;
        }
        let from = EndpointKey { id: header.id, incarnation: header.incarnation };
        if !self.discovery.fresh(from, header.counter) {
            self.counters.replayed_beacons += 1;
            return;
        }
        if from.id == self.key.id {
            self.own_voice(now, from.incarnation);
        }
        let records = packet.get(RealmHeader::LEN..packet.len() - TAG_LEN).unwrap_or(&[]);
        if header.leaving {
            self.discovery.on_leaving(now, from);
            if let Some((at, peer)) = self.peer_by_id(from.id) {
                peer.session.watch.doubt(now);
                self.rearm(at);
            }
        }
        let multicast = matches!(meta.via, Via::Group { .. });
        if multicast && from.id != self.key.id {
            self.failures.heard_multicast(now, from.id);
        }
        for record in Records::new(records) {
            match record {
                Ok(Realm::Beacon(beacon)) if !header.leaving => {
                    let counters = &mut self.counters;
                    self.discovery.on_beacon(
                        now,
                        from,
                        &beacon,
                        meta,
                        header.solicit,
                        multicast,
                        counters,
                    );
                    let source = crate::discovery::with_port(meta.src, beacon.port);
                    self.crowd.on_beacon(now, from, &beacon, source);
                }
                Ok(record) if from.id != self.key.id && !header.leaving => {
                    self.on_crowd_record(now, from, meta, &record);
                }
                Ok(_) => {}
                Err(_) => {
                    self.counters.malformed_records += 1;
                    self.offence(now, from, Offence::Malformed, 1);
                }
            }
        }
        if let Some((at, peer)) = self.peer_by_id(from.id)
            && matches!(peer.session.watch.state(), State::Dead(_))
        {
            peer.session.watch.doubt(now); // any hint of the dead is worth a PING
            self.rearm(at);
        }
        self.run_crowd(now);
        self.run_discovery(now);
    }

    fn on_data(&mut self, now: Time, meta: RecvMeta, mut packet: BytesMut) {
        let Ok(header) = DataHeader::decode(&packet) else {
            self.counters.malformed_packets += 1;
            return;
        };
        let Some(at) = self.by_index.get(&header.index).copied() else {
            if self.half_open.contains_key(&header.index) {
                self.hold_early(header.index, meta, packet);
            } else {
                self.counters.unknown_session += 1;
                self.maybe_reset(now, &meta, header.index, packet.len());
            }
            return;
        };
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let Some((head, rest)) = packet.split_first_chunk_mut::<{ DataHeader::LEN }>() else {
            return;
        };
        let Some((body, tag)) = rest.split_last_chunk_mut::<TAG_LEN>() else { return };
        match peer.session.open(&self.crypto, now, &header, head, body, tag) {
            Opened::Fresh => {}
            Opened::Replayed => {
                self.counters.replayed_packets += 1;
                return;
            }
            Opened::Forged => {
                self.counters.forged_packets += 1;
                return;
            }
        }
        let before = peer.session.watch.on_heard(now);
        if meta.src != peer.session.path.remote && peer.session.on_stray(now) {
            let token = self.rng.u64();
            peer.session.path.try_address(now, meta.src, meta.dst, token); // S-40
        }
        if matches!(before, State::Dead(_)) {
            self.revive(now, at);
        }
        let packet = packet.freeze();
        self.on_frames(now, at, &meta, header.pn, &packet);
        self.finish_input(now, at);
    }

    fn on_frames(&mut self, now: Time, at: usize, meta: &RecvMeta, pn: u64, packet: &Bytes) {
        let frames = packet.get(DataHeader::LEN..packet.len() - TAG_LEN).unwrap_or(&[]);
        if let Some(peer) = self.peer(at) {
            peer.pn = (pn, pn.max(peer.pn.1));
        }
        let mut asks = Asks { eliciting: false, ce: meta.ce, urgent: false };
        let mut broken = false;
        for frame in Frames::new(frames) {
            let Ok(frame) = frame else {
                broken = true;
                break;
            };
            asks.eliciting |= frame.is_ack_eliciting();
            asks.urgent |= matches!(frame, Frame::Ping);
            if !self.on_frame(now, at, meta, packet, frame) {
                return; // the peer is gone
            }
        }
        if broken {
            self.counters.malformed_frames += 1; // W-21
            self.offence_at(now, at, Offence::Malformed, 1);
            self.close_peer(now, at, close::FRAME_ERROR, DownReason::Protocol);
            return;
        }
        if let Some(peer) = self.peer(at) {
            let srtt = peer.session.rtt.srtt();
            peer.session.acks.on_packet(now, pn, asks, srtt);
        }
    }

    /// False if the peer is gone.
    fn on_frame(
        &mut self,
        now: Time,
        at: usize,
        meta: &RecvMeta,
        packet: &Bytes,
        frame: Frame<'_>,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return false };
        match frame {
            Frame::Msg { stream, seq, t_us, repair, body } => {
                self.on_message(now, at, stream, seq, t_us, packet.slice_ref(body), repair);
                self.drain(now, at, stream);
            }
            Frame::Msgs { stream, first_seq, t_us, repair, bodies } => {
                if !self.deliver_row(now, at, stream, (first_seq, t_us), packet, &bodies) {
                    for (seq, body) in (first_seq..).zip(bodies) {
                        self.on_message(now, at, stream, seq, t_us, packet.slice_ref(body), repair);
                    }
                }
                self.drain(now, at, stream);
            }
            Frame::Frag { stream, seq, t_us, total, off, repair, body } => {
                let arrival = Arrival::by_session(now, peer.session.received, repair);
                self.on_fragment(at, stream, arrival, (seq, t_us, total, off), body);
            }
            Frame::Ack(ack) => match peer.session.on_ack(now, &ack) {
                Some(lost) => self.counters.packets_lost += lost,
                None => {
                    self.counters.malformed_frames += 1; // S-17
                    self.offence_at(now, at, Offence::Malformed, 1);
                    self.close_peer(now, at, close::FRAME_ERROR, DownReason::Protocol);
                    return false;
                }
            },
            Frame::Status { stream, next_seq, next_off, window, .. } => {
                self.on_status(now, at, stream, (next_seq, next_off, window));
            }
            Frame::Nak { stream, items } => {
                self.counters.naks_received += 1;
                let rtt = peer.session.rtt_view();
                if stream == 0 && crate::planted::on("control_not_resent") {
                    return true;
                }
                let outcome = if stream == 0 {
                    let control = &mut peer.control;
                    let outcome = control.cursor.on_nak(&control.log, now, &rtt, items);
                    control.ready = control.cursor.has_work(&control.log);
                    outcome
                } else if peer.outs.get(&stream).is_some_and(|out| out.tie.ready) {
                    self.on_lane_nak(now, at, stream, items);
                    return self.peers.get(at).is_some_and(Option::is_some);
                } else {
                    let log = self.publications.get(&stream).map(|publication| &publication.log);
                    let (Some(out), Some(log)) = (peer.outs.get_mut(&stream), log) else {
                        return true;
                    };
                    let outcome = out.cursor.on_nak(log, now, &rtt, items);
                    peer.make_ready(stream);
                    peer.heat_out(stream);
                    outcome
                };
                self.counters.naks_ignored += outcome.ignored;
                self.offence_at(now, at, Offence::NakFlood, outcome.ignored);
            }
            Frame::Heartbeat { stream, first_avail, next_seq, answer, end, blocked } => {
                let arrival = Arrival::by_session(now, peer.session.received, false);
                let rtt = peer.session.rtt_view();
                if stream == 0 {
                    let reader = &mut peer.control.reader;
                    reader.on_heartbeat(arrival, first_avail, next_seq, answer, end, blocked);
                } else if let Some(incoming) = peer.ins.get_mut(&stream) {
                    let reader = &mut incoming.reader;
                    reader.set_rtt(rtt);
                    reader.on_heartbeat(arrival, first_avail, next_seq, answer, end, blocked);
                    peer.heat_in(stream);
                }
            }
            Frame::Gap { stream, from, count, reason } => {
                let arrival = Arrival::by_session(now, peer.session.received, false);
                if let Some(incoming) = peer.ins.get_mut(&stream) {
                    let mut budget = budget(&mut self.pool, &mut peer.share);
                    incoming.reader.on_gap(arrival, from, count, reason, &mut budget);
                    peer.heat_in(stream);
                    self.drain(now, at, stream);
                }
            }
            Frame::Close { code, .. } => {
                if code == close::NOT_AUTHORISED {
                    let (id, addr) = (peer.key.id, peer.session.path.remote);
                    self.note_refused(now, id, addr, Reason::Revoked);
                }
                let reason = match code {
                    close::LEAVING => DownReason::Left,
                    close::IDLE => DownReason::Idle,
                    _ => DownReason::Protocol,
                };
                self.free_peer(now, at, reason);
                return false;
            }
            Frame::PathChallenge(token) => {
                if peer.session.responses.len() < 8 {
                    peer.session.responses.push_back((meta.src, meta.dst, token));
                }
            }
            Frame::PathResponse(token) => {
                if let Some(host_changed) = peer.session.path.on_response(token) {
                    self.counters.path_changes += 1;
                    if host_changed {
                        let base = self.cfg.mtu_base.min(self.mtu_cap).max(512);
                        let max = if self.cfg.mtu_discovery { self.cfg.mtu_max } else { base };
                        peer.session.on_moved(now, (base, max.max(base)));
                    }
                }
            }
            Frame::SessionCredit { bytes, packets } => {
                peer.session.credit = (bytes.max(2_048), packets.max(2));
            }
            Frame::LaneState { source_tag, state, loss_ppm } => {
                self.on_lane_state(now, at, source_tag, state, loss_ppm);
            }
            Frame::LaneAck { source_tag, ack } => self.on_lane_ack(now, at, source_tag, &ack),
            Frame::Records(_)
            | Frame::Padding(_)
            | Frame::Ping
            | Frame::Ncf { .. }
            | Frame::LaneHb { .. }
            | Frame::Extension { .. } => {}
        }
        self.peers.get(at).is_some_and(Option::is_some)
    }

    /// A whole message. Call [`drain`](Self::drain) after the last one of a frame.
    #[expect(clippy::too_many_arguments, reason = "the fields of one frame")]
    fn on_message(
        &mut self,
        now: Time,
        at: usize,
        stream: StreamId,
        seq: u64,
        t_us: u64,
        body: Bytes,
        repair: bool,
    ) {
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let arrival = Arrival::by_session(now, peer.session.received, repair);
        let rtt = peer.session.rtt_view();
        if stream == 0 {
            let mut budget = budget(&mut self.pool, &mut peer.share);
            let reader = &mut peer.control.reader;
            reader.set_rtt(rtt);
            if let Ok(Some(item)) = reader.on_message(arrival, seq, t_us, body, true, &mut budget) {
                self.on_control_item(now, at, item);
            }
            self.drain_control(now, at);
            return;
        }
        let Some(incoming) = peer.ins.get_mut(&stream) else { return };
        let open = !incoming.stalled && has_room(&self.subscriptions, incoming);
        let mut budget = budget(&mut self.pool, &mut peer.share);
        incoming.reader.set_rtt(rtt);
        let taken = incoming.reader.on_message(arrival, seq, t_us, body, open, &mut budget);
        let holds = !incoming.reader.is_caught_up();
        match taken {
            Ok(Some(item)) => self.deliver(now, at, stream, item),
            Ok(None) => {}
            Err(refuse) => return self.refuse(now, at, stream, seq, refuse),
        }
        if holds {
            self.drain(now, at, stream); // before the next message asks for memory
        }
    }

    fn on_fragment(
        &mut self,
        at: usize,
        stream: StreamId,
        arrival: Arrival,
        (seq, t_us, total, off): (u64, u64, u64, u64),
        body: &[u8],
    ) {
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let rtt = peer.session.rtt_view();
        let mut budget = budget(&mut self.pool, &mut peer.share);
        if stream == 0 {
            let reader = &mut peer.control.reader;
            reader.set_rtt(rtt);
            let taken = reader.on_fragment(arrival, seq, t_us, total, off, body, &mut budget);
            if taken.is_ok() {
                self.drain_control(arrival.now, at);
            }
            return;
        }
        let Some(incoming) = peer.ins.get_mut(&stream) else { return };
        incoming.reader.set_rtt(rtt);
        let taken = incoming.reader.on_fragment(arrival, seq, t_us, total, off, body, &mut budget);
        match taken {
            Ok(()) => self.drain(arrival.now, at, stream),
            Err(refuse) => self.refuse(arrival.now, at, stream, seq, refuse),
        }
    }

    fn refuse(&mut self, now: Time, at: usize, stream: StreamId, seq: u64, refuse: Refuse) {
        match refuse {
            Refuse::TooLarge { limit } => {
                self.counters.messages_refused += 1;
                self.say(now, at, &Record::RejectMsg { stream, seq, limit });
            }
            Refuse::Broken => self.leave_stream(now, at, stream, WriterState::Left),
        }
    }

    fn on_status(
        &mut self,
        now: Time,
        at: usize,
        stream: StreamId,
        (next_seq, next_off, window): (u64, u64, u64),
    ) {
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let rtt = peer.session.rtt_view();
        if stream == 0 {
            let (control, key) = (&mut peer.control, peer.key);
            let log = &control.log;
            let false_status =
                control.cursor.on_status(log, now, &rtt, next_seq, next_off, window).is_err();
            self.counters.status_rejected += u64::from(false_status);
            let acked = control.cursor.acked();
            control.log.trim(acked, 0, now.micros(), None);
            control.ready = control.cursor.has_work(&control.log);
            self.offence(now, key, Offence::FalseStatus, u64::from(false_status));
            self.resync(now, at);
            return;
        }
        let lane = self.lane_follow(now, at, stream);
        let Some(publication) = self.publications.get(&stream) else { return };
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let Some(out) = peer.outs.get_mut(&stream) else { return };
        if out.state != OutState::Active || peer.pn.0 < out.status_from {
            return;
        }
        let edge = out.cursor.edge_pos();
        for (next, off) in publication.lanes.iter().filter_map(|tag| self.lanes.position(*tag)) {
            out.cursor.may_have(next, off);
        }
        // A member of a lane may have made it believe that there is more: that wedges nothing (L-53).
        let (next_seq, next_off) = match out.tie.was {
            true => (next_seq, next_off).min(out.cursor.furthest()),
            false => (next_seq, next_off),
        };
        match out.cursor.on_status(&publication.log, now, &rtt, next_seq, next_off, window) {
            Ok(progress) => {
                out.behind &= next_seq < publication.log.first();
                if out.cursor.has_work(&publication.log) {
                    peer.make_ready(stream);
                }
                peer.heat_out(stream);
                match lane {
                    Some(tag) => self.lane_progress(now, tag, edge),
                    None if progress.advanced => self.on_acked(now, stream),
                    None => {}
                }
            }
            Err(_) => {
                self.counters.status_rejected += 1;
                self.offence_at(now, at, Offence::FalseStatus, 1);
            }
        }
    }

    /// A dead session spoke: streams go on.
    fn revive(&mut self, now: Time, at: usize) {
        let Some(peer) = self.peer(at) else { return };
        let (key, name) = (peer.key, peer.name.clone());
        let addr = peer.session.path.remote;
        let (roles, host_id) = (peer.roles, peer.host_id);
        let streams: Vec<StreamId> = peer.outs.keys().copied().collect();
        for stream in &streams {
            if let Some(out) = peer.outs.get_mut(stream)
                && out.state == OutState::Suspended
            {
                out.state = OutState::Active;
                out.behind = true;
                peer.make_ready(*stream);
                peer.heat_out(*stream);
            }
        }
        let (mut resumed, mut rewound) = (Vec::new(), Vec::new());
        let ins: Vec<StreamId> = peer.ins.keys().copied().collect();
        for stream in ins {
            peer.heat_in(stream);
            if let Some(incoming) = peer.ins.get_mut(&stream) {
                incoming.suspended = false;
                rewound.extend(incoming.rewound.then_some(stream));
                resumed.push((incoming.topic.arc(), incoming.subs.clone()));
            }
        }
        self.events.push_back(Event::PeerUp { key, name: name.clone() });
        for stream in rewound {
            self.say_accept(now, at, stream);
        }
        for (topic, subs) in resumed {
            for subscription in subs {
                let state = WriterState::Resumed;
                self.events.push_back(Event::Writer {
                    subscription,
                    writer: key,
                    topic: topic.clone(),
                    state,
                });
            }
        }
        for stream in streams {
            self.tell_joined(stream, key);
        }
        self.discovery.on_session_up(now, key, &name, addr, roles, host_id);
        self.crowd.on_session_up(now, key, &name, addr, roles, host_id);
        self.run_crowd(now);
        self.run_discovery(now);
    }

    /// After any input for a peer: it may have something to send, and its deadlines moved.
    pub(super) fn finish_input(&mut self, now: Time, at: usize) {
        if let Some(peer) = self.peers.get(at).and_then(Option::as_ref) {
            if let Some(probe) = &peer.probe
                && probe.sent > 0
                && peer.session.watch.heard() >= probe.since
            {
                let (id, asked) = (peer.key.id, probe.asked);
                if let Some(peer) = self.peer(at) {
                    peer.probe = None;
                }
                if asked {
                    self.discovery.on_probe(now, id, true);
                    self.run_discovery(now);
                }
            }
            self.wake(at);
            self.rearm(at);
        }
    }
}
