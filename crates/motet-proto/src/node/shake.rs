//! Handshakes → sessions → peers.

use super::peer::Probe;
use super::{Doubled, Node, Packet};
use crate::crypto::{Cipher, Crypto, Handshake as _, Role};
use crate::events::Event;
use crate::explain::{Outcome, Reason};
use crate::host::{RecvMeta, Via};
use crate::ids::{EndpointId, EndpointKey};
use crate::time::Time;
use crate::transport::handshake::{Dial, EARLY_MAX, HALF_OPEN_FOR, HALF_OPEN_MAX, HalfOpen};
use crate::transport::keys::Keys;
use crate::transport::liveness::State;
use crate::transport::session::Agreed;
use alloc::vec::Vec;
use bytes::BytesMut;
use core::net::SocketAddr;
use core::time::Duration;
use motet_wire::codec::Reader as Bytes;
use motet_wire::handshake::{Hs1, Hs2, Hs3, Params};
use motet_wire::packet::{RealmHeader, TAG_LEN, Vneg};

/// Answers that prove nothing before a handshake is given up.
const FAILURES_MAX: u32 = 8;
/// Versions this build speaks, as a bitmap: version 1.
pub(super) const VERSIONS: u16 = 1 << 1;
/// Packets of our own earlier life may be on their way for so long.
const ECHO: Duration = Duration::from_secs(5);
/// Another holder of our key is told of at most so often.
const TELL_EVERY: Duration = Duration::from_secs(60);

impl<C: Crypto> Node<C> {
    /// Starts a handshake with whoever answers at `addrs`.
    pub(super) fn dial(&mut self, now: Time, id: Option<EndpointId>, addrs: &[SocketAddr]) {
        if addrs.is_empty() || self.leaving || id == Some(self.key.id) {
            return;
        }
        if let Some(id) = id {
            let under_way = self.dials.values().any(|dial| dial.id == Some(id))
                || self.half_open.values().any(|half| half.key.id == id);
            let held = self
                .peer_by_id(id)
                .is_some_and(|(_, peer)| !matches!(peer.session.watch.state(), State::Dead(_)));
            if under_way || held {
                return;
            }
        }
        self.start_dial(now, id, addrs);
    }

    pub(super) fn start_dial(&mut self, now: Time, id: Option<EndpointId>, addrs: &[SocketAddr]) {
        self.counters.dials += 1;
        let index = self.free_index();
        let suites = self.crypto.suites();
        let Some((hs1, noise)) = self.first_message(now, index, suites, None) else { return };
        self.dials.insert(index, Dial::new(now, id, addrs, index, suites[0], hs1, noise));
        self.poll_dials(now);
    }

    pub(super) fn first_message(
        &mut self,
        now: Time,
        index: u32,
        suites: [u8; 4],
        cookie: Option<[u8; 16]>,
    ) -> Option<(Vec<u8>, C::Handshake)> {
        let mut hs1 = Hs1 {
            cookie_present: cookie.is_some(),
            versions: VERSIONS,
            realm_tag: self.realm.tag,
            index,
            id: self.key.id,
            incarnation: self.key.incarnation,
            suites,
            stamp: self.wall.stamp(now),
            message: &[0; 48],
            cookie: cookie.unwrap_or_default(),
            mac1: [0; 16],
        };
        let prologue = Hs1::prologue(&hs1.encode(Hs1::MIN_LEN));
        let seed = self.rng.bytes();
        let mut noise =
            self.crypto.handshake(Role::Initiator, suites[0], &self.realm.psk, &prologue, seed);
        let mut message = Vec::new();
        noise.write(&[], &mut message);
        let message: [u8; 48] = message.try_into().ok()?;
        hs1.message = &message;
        let len =
            usize::from(self.mtu_cap.min(self.cfg.mtu_base)).clamp(Hs1::MIN_LEN, Hs1::PADDED_LEN);
        let mut bytes = hs1.encode(len);
        let mac = self.crypto.mac(&self.realm.mac1, &[&bytes]);
        bytes.extend_from_slice(&mac[..16]);
        Some((bytes, noise))
    }

    /// Sends copies of HS1 that are due; gives up dials that have failed.
    pub(super) fn poll_dials(&mut self, now: Time) {
        let mut failed = Vec::new();
        let mut due = Vec::new();
        for dial in self.dials.values_mut() {
            while let Some(addr) = dial.poll(now) {
                due.push((addr, dial.hs1.clone()));
            }
            if dial.failed(now) {
                failed.push((dial.index, dial.id, dial.addrs()));
            }
        }
        for (dst, bytes) in due {
            self.push(Packet { via: Via::Unicast, dst, src: None, bytes });
        }
        for (index, id, addrs) in failed {
            self.dials.remove(&index);
            for addr in &addrs {
                self.failures.dialled(now, id, *addr, Outcome::Silent);
            }
            self.discovery.on_dial_failed(now, id, &addrs, &mut self.counters);
        }
        self.half_open.retain(|_, half| now.since(half.since) < HALF_OPEN_FOR);
    }

    /// HS1: somebody wants a session.
    pub(super) fn on_hs1(&mut self, now: Time, meta: &RecvMeta, datagram: &[u8]) {
        let Ok(hs1) = Hs1::decode(datagram) else {
            self.counters.malformed_packets += 1;
            return;
        };
        if hs1.realm_tag != self.realm.tag {
            self.counters.foreign_realm += 1;
            self.discovery.on_foreign_realm(now, meta.src.ip(), hs1.realm_tag.to_le_bytes());
            return;
        }
        let mac = self.crypto.mac(&self.realm.mac1, &[Hs1::macced(datagram)]);
        if mac[..16] != hs1.mac1 {
            self.counters.wrong_key += 1; // S-3
            self.discovery.on_wrong_key(now, meta.src.ip());
            return;
        }
        if hs1.id == self.key.id {
            self.own_voice(now, hs1.incarnation);
            return; // our own voice, or our own key elsewhere
        }
        let mut ephemeral = [0; 32];
        ephemeral.copy_from_slice(&hs1.message[..32]);
        let copy =
            self.half_open.values().find(|h| h.remote == hs1.index && h.ephemeral == ephemeral);
        if let Some(half) = copy {
            let packet = Packet {
                via: Via::Unicast,
                dst: half.addr,
                src: half.local,
                bytes: half.hs2.clone(),
            };
            if half.addr == meta.src {
                self.push(packet); // S-5
            }
            return;
        }
        let suite = hs1.suites[0];
        if hs1.versions & VERSIONS == 0 || !self.crypto.suites().contains(&suite) || suite == 0 {
            self.note_refused(now, hs1.id, meta.src, Reason::Version);
            let vneg = Vneg { versions: VERSIONS, index: hs1.index, suites: self.crypto.suites() };
            let bytes = vneg.encode().to_vec();
            self.push(Packet { via: Via::Unicast, dst: meta.src, src: meta.dst, bytes });
            return;
        }
        if let Some((at, peer)) = self.peer_by_id(hs1.id) {
            let stale = peer.session.stamp > 0
                && hs1.stamp <= peer.session.stamp
                && !crate::planted::on("stamp_unchecked");
            let older = hs1.incarnation < peer.key.incarnation
                && !crate::planted::on("old_incarnation_accepted");
            let dead = matches!(peer.session.watch.state(), State::Dead(_));
            if (stale || older) && !dead {
                // S-4: a hint; it causes three PINGs on the held session, and silence voids it
                peer.probe.get_or_insert_with(|| Probe::new(now)).deadly = true;
                self.counters.stale_handshakes += 1;
                self.rearm(at);
                self.note_stale(now, hs1.id, meta.src, hs1.stamp);
                return;
            }
        }
        // S-6: both dial; the larger id's HS1 wins.
        // But ours may go where it is no more: only a dial to where it speaks from can win.
        let crossed = |dial: &Dial<_>| dial.id == Some(hs1.id) && dial.addrs().contains(&meta.src);
        if self.key.id > hs1.id && self.dials.values().any(crossed) {
            return;
        }
        if self.load.on_hs1(now, meta.src.ip(), self.half_open.len())
            && !(hs1.cookie_present && self.cookie_valid(meta.src, &hs1))
        {
            self.counters.handshakes_limited += 1;
            self.send_cookie(now, meta, &hs1);
            return;
        }
        if self.half_open.len() >= HALF_OPEN_MAX
            || (self.peers_held() >= self.cfg.sessions_max && !self.by_id.contains_key(&hs1.id))
        {
            self.note_refused(now, hs1.id, meta.src, Reason::Limit);
            self.counters.handshakes_limited += 1;
            return;
        }
        self.answer_hs1(now, meta, &hs1, datagram, ephemeral);
    }

    /// An authentic packet carries our own id. A later life began while we live, or an earlier one
    /// speaks long after we began: then two hold the key (P50).
    pub(super) fn own_voice(&mut self, now: Time, incarnation: u64) {
        let Doubled { born, told } = self.doubled;
        let echo = incarnation < self.key.incarnation && now.since(born) < ECHO;
        if incarnation == self.key.incarnation
            || echo
            || told.is_some_and(|at| now.since(at) < TELL_EVERY)
        {
            return;
        }
        self.doubled.told = Some(now);
        self.events.push_back(Event::DuplicateIdentity { key: self.key });
    }

    pub(super) fn answer_hs1(
        &mut self,
        now: Time,
        meta: &RecvMeta,
        hs1: &Hs1<'_>,
        datagram: &[u8],
        ephemeral: [u8; 32],
    ) {
        let suite = hs1.suites[0];
        let seed = self.rng.bytes();
        let prologue = Hs1::prologue(datagram);
        let mut noise =
            self.crypto.handshake(Role::Responder, suite, &self.realm.psk, &prologue, seed);
        if !noise.read(hs1.message, &mut Vec::new()) {
            self.counters.handshakes_failed += 1;
            return;
        }
        let index = self.free_index();
        let hs2 = Hs2 { version: 1, initiator: hs1.index, responder: index, suite, message: &[] };
        let params = self.params(now, index, hs2.header().to_vec()).encode();
        let mut message = Vec::new();
        if !noise.write(&params, &mut message) {
            self.counters.handshakes_failed += 1;
            return;
        }
        let bytes = Hs2 { message: &message, ..hs2 }.encode();
        if bytes.len() > datagram.len() {
            self.counters.handshakes_failed += 1; // S-9: never more than came in
            return;
        }
        let half = HalfOpen {
            key: EndpointKey { id: hs1.id, incarnation: hs1.incarnation },
            remote: hs1.index,
            ephemeral,
            stamp: hs1.stamp,
            addr: meta.src,
            local: meta.dst,
            suite,
            hs2: bytes.clone(),
            noise,
            since: now,
            early: Vec::new(),
            failures: 0,
        };
        self.half_open.insert(index, half);
        self.push(Packet { via: Via::Unicast, dst: meta.src, src: meta.dst, bytes });
    }

    pub(super) fn params(&self, now: Time, index: u32, header: Vec<u8>) -> Params {
        Params {
            name: self.cfg.name.clone(),
            incarnation: self.key.incarnation,
            host_id: self.cfg.host_id,
            max_datagram: self.cfg.mtu_max,
            credit_bytes: self.cfg.session_credit.0,
            credit_packets: self.cfg.session_credit.1,
            versions: VERSIONS,
            suites: self.crypto.suites(),
            header,
            reset_token: self.reset_token(index),
            wall_ms: self.wall.micros(now) / 1_000,
            roles: self.cfg.roles,
            ..Params::default()
        }
    }

    /// HS2: somebody answered us.
    pub(super) fn on_hs2(&mut self, now: Time, meta: &RecvMeta, datagram: &[u8]) {
        let Ok(hs2) = Hs2::decode(datagram) else {
            self.counters.malformed_packets += 1;
            return;
        };
        let Some(mut dial) = self.dials.remove(&hs2.initiator) else {
            self.counters.unknown_session += 1;
            return;
        };
        let mut payload = Vec::new();
        let read = self.read_hs2(&mut dial, &hs2, &mut payload);
        let Some((params, key)) = read else {
            // Anybody can write this packet: the true answer may still come.
            self.counters.handshakes_failed += 1;
            dial.failures += 1;
            self.failures.dialled(now, dial.id, meta.src, Outcome::Unproven);
            if dial.failures < FAILURES_MAX {
                self.dials.insert(dial.index, dial);
            } else {
                self.discovery.on_dial_failed(now, dial.id, &dial.addrs(), &mut self.counters);
            }
            return;
        };
        if dial.id.is_some_and(|wanted| wanted != key.id) {
            self.wrong_number(now, meta.src, &dial, key.id);
            return;
        }
        if key.id == self.key.id {
            return; // we dialled ourselves through a seed or a loopback greeting
        }
        let alive = self.peer_by_id(key.id).is_some_and(|(_, peer)| {
            peer.key == key && !matches!(peer.session.watch.state(), State::Dead(_))
        });
        if dial.id.is_none() && alive {
            dial.addrs().iter().for_each(|seed| self.discovery.on_seed_known(*seed, key.id));
            return; // a seed that is a peer already
        }
        let own = self.params(now, dial.index, hs2.header().to_vec()).encode();
        let mut first = Vec::with_capacity(own.len() + 4);
        motet_wire::codec::put_vi_bytes(&mut first, &own);
        let mut message = Vec::new();
        if !dial.noise.write(&first, &mut message) {
            self.counters.handshakes_failed += 1;
            return;
        }
        let hs3 = Hs3 { responder: hs2.responder, message: &message }.encode();
        let Some((to_responder, to_initiator)) = dial.noise.split() else { return };
        let Some(cipher) = Cipher::of_suite(hs2.suite) else { return };
        self.push(Packet { via: Via::Unicast, dst: meta.src, src: meta.dst, bytes: hs3.clone() });
        let agreed = Agreed {
            local: dial.index,
            remote: hs2.responder,
            keys: Keys::new(&self.crypto, cipher, to_responder, to_initiator, now),
            addr: meta.src,
            local_addr: meta.dst,
            reset_token: params.reset_token,
            credit: (params.credit_bytes, params.credit_packets),
            stamp: 0,
            congestion: self.cfg.congestion,
            hs3: Some(hs3),
            mtu: self.path_mtu(params.max_datagram),
        };
        self.establish(now, key, &params, agreed);
    }

    /// Somebody else answered at the address of the one that we dialled, who may be gone for good.
    /// This one we dial at once: it may be dialling a former life of ours in the same way, so that
    /// neither would begin as long as it believes the other to be about to.
    pub(super) fn wrong_number(
        &mut self,
        now: Time,
        addr: SocketAddr,
        dial: &Dial<C::Handshake>,
        id: EndpointId,
    ) {
        self.counters.handshakes_failed += 1;
        self.failures.dialled(now, dial.id, addr, Outcome::SomebodyElse);
        self.discovery.on_dial_failed(now, dial.id, &dial.addrs(), &mut self.counters);
        let held = self
            .peer_by_id(id)
            .is_some_and(|(_, peer)| !matches!(peer.session.watch.state(), State::Dead(_)));
        let under_way = self.dials.values().any(|dial| dial.id == Some(id));
        if id != self.key.id && !held && !under_way {
            self.start_dial(now, Some(id), &[addr]);
        }
    }

    pub(super) fn read_hs2(
        &self,
        dial: &mut Dial<C::Handshake>,
        hs2: &Hs2<'_>,
        payload: &mut Vec<u8>,
    ) -> Option<(Params, EndpointKey)> {
        if hs2.suite != dial.suite || hs2.version != 1 || !dial.noise.read(hs2.message, payload) {
            return None;
        }
        let params = Params::decode(payload).ok()?;
        let id = super::endpoint_id(&self.crypto, &dial.noise.remote_key()?);
        let bound = params.header == hs2.header() // K-5, K-6
            && best(self.crypto.suites(), params.suites) == Some(hs2.suite);
        let incarnation = params.incarnation;
        bound.then_some((params, EndpointKey { id, incarnation }))
    }

    /// HS3: the initiator proves itself.
    pub(super) fn on_hs3(&mut self, now: Time, meta: &RecvMeta, datagram: &[u8]) {
        let Ok(hs3) = Hs3::decode(datagram) else {
            self.counters.malformed_packets += 1;
            return;
        };
        let Some(half) = self.half_open.get_mut(&hs3.responder) else {
            // A copy of an HS3 that we have: our answer was lost, so answer again.
            if let Some(at) = self.by_index.get(&hs3.responder).copied() {
                if let Some(peer) = self.peer(at)
                    && !peer.session.initiator
                    && now.since(peer.session.established()) < HALF_OPEN_FOR
                {
                    peer.session.ping = true;
                }
                self.wake(at);
            } else {
                self.counters.unknown_session += 1;
            }
            return;
        };
        let mut payload = Vec::new();
        if !half.noise.read(hs3.message, &mut payload) {
            self.counters.handshakes_failed += 1;
            half.failures += 1;
            if half.failures >= FAILURES_MAX {
                self.half_open.remove(&hs3.responder);
            }
            return;
        }
        let Some(mut half) = self.half_open.remove(&hs3.responder) else { return };
        let header = Hs2 {
            version: 1,
            initiator: half.remote,
            responder: hs3.responder,
            suite: half.suite,
            message: &[],
        }
        .header();
        let id = half.noise.remote_key().map(|key| super::endpoint_id(&self.crypto, &key));
        let params = Bytes::new(&payload).get_vi_bytes(4_096).and_then(Params::decode);
        let (Ok(params), true) = (params, id == Some(half.key.id)) else {
            self.counters.handshakes_failed += 1;
            return;
        };
        let bound = params.header == header // K-5, K-6, K-7
            && params.incarnation == half.key.incarnation
            && best(params.suites, self.crypto.suites()) == Some(half.suite);
        let (Some((to_responder, to_initiator)), Some(cipher), true) =
            (half.noise.split(), Cipher::of_suite(half.suite), bound)
        else {
            self.counters.handshakes_failed += 1;
            return;
        };
        let agreed = Agreed {
            local: hs3.responder,
            remote: half.remote,
            keys: Keys::new(&self.crypto, cipher, to_initiator, to_responder, now),
            addr: meta.src,
            local_addr: meta.dst,
            reset_token: params.reset_token,
            credit: (params.credit_bytes, params.credit_packets),
            stamp: half.stamp,
            congestion: self.cfg.congestion,
            hs3: None,
            mtu: self.path_mtu(params.max_datagram),
        };
        let at = self.establish(now, half.key, &params, agreed);
        if let Some(peer) = at.and_then(|at| self.peer(at)) {
            peer.session.ping = true; // S-8: the initiator waits for a sign
        }
        for (meta, packet) in core::mem::take(&mut half.early) {
            self.handle_datagram(now, meta, packet);
        }
    }

    /// DATA for a session whose HS3 has not come yet.
    pub(super) fn hold_early(&mut self, index: u32, meta: RecvMeta, packet: BytesMut) {
        match self.half_open.get_mut(&index) {
            Some(half)
                if half.early.len() < EARLY_MAX
                    && half.addr == meta.src
                    && packet.len() <= Hs1::PADDED_LEN + 300 =>
            {
                half.early.push((meta, packet));
            }
            Some(_) => {}
            None => self.counters.unknown_session += 1,
        }
    }
}

/// The first of `ours` (initiator's order) that the other side has, too.
pub(super) fn best(initiator: [u8; 4], responder: [u8; 4]) -> Option<u8> {
    initiator.into_iter().find(|suite| *suite != 0 && responder.contains(suite))
}

const _: () = assert!(RealmHeader::LEN == 40 && TAG_LEN == 16);
