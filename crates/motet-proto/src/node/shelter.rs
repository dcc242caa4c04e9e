//! Under load and after a loss of state: COOKIE, VNEG, RESET.

use super::peer::Peer;
use super::shake::{VERSIONS, best};
use super::{Node, Packet};
use crate::crypto::Crypto;
use crate::explain::Outcome;
use crate::host::{RecvMeta, Via};
use crate::time::Time;
use crate::transport::liveness::State;
use core::net::SocketAddr;
use core::time::Duration;
use motet_wire::handshake::Hs1;
use motet_wire::packet::{Cookie, Reset, Vneg};

/// Cookie secrets live this long.
const COOKIE_AGE: Duration = Duration::from_secs(120);

impl<C: Crypto> Node<C> {
    pub(super) fn cookie_valid(&self, src: SocketAddr, hs1: &Hs1<'_>) -> bool {
        self.cookies.secrets.iter().any(|secret| self.cookie(secret, src, hs1.index) == hs1.cookie)
    }

    pub(super) fn cookie(&self, secret: &[u8; 32], src: SocketAddr, index: u32) -> [u8; 16] {
        let mut cookie = [0; 16];
        let ip = match src.ip() {
            core::net::IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            core::net::IpAddr::V6(ip) => ip.octets(),
        };
        let mac = self.crypto.mac(secret, &[&ip, &src.port().to_le_bytes(), &index.to_le_bytes()]);
        cookie.copy_from_slice(&mac[..16]);
        cookie
    }

    pub(super) fn send_cookie(&mut self, now: Time, meta: &RecvMeta, hs1: &Hs1<'_>) {
        if now.since(self.cookies.since) >= COOKIE_AGE {
            self.cookies.secrets = [self.rng.bytes(), self.cookies.secrets[0]];
            self.cookies.since = now;
        }
        let cookie = self.cookie(&self.cookies.secrets[0], meta.src, hs1.index);
        let mut packet = Cookie { index: hs1.index, cookie, mac: [0; 16] };
        let mac = self.crypto.mac(&self.realm.mac1, &[Cookie::macced(&packet.encode())]);
        packet.mac.copy_from_slice(&mac[..16]);
        let bytes = packet.encode().to_vec();
        self.push(Packet { via: Via::Unicast, dst: meta.src, src: meta.dst, bytes });
    }

    /// COOKIE: the responder is under load; say HS1 again with what it gave us.
    pub(super) fn on_cookie(&mut self, now: Time, meta: &RecvMeta, datagram: &[u8]) {
        let Ok(cookie) = Cookie::decode(datagram) else {
            self.counters.malformed_packets += 1;
            return;
        };
        let mac = self.crypto.mac(&self.realm.mac1, &[Cookie::macced(datagram)]);
        if mac[..16] != cookie.mac {
            self.counters.wrong_key += 1;
            return;
        }
        let mac1 = self.realm.mac1;
        let Some(dial) = self.dials.get_mut(&cookie.index) else { return };
        // Only the clear header changes, and the prologue masks its flags: Noise goes on as it was.
        let Ok(hs1) = Hs1::decode(&dial.hs1) else { return };
        let again = Hs1 { cookie_present: true, cookie: cookie.cookie, ..hs1 };
        let mut bytes = again.encode(dial.hs1.len());
        let mac = self.crypto.mac(&mac1, &[&bytes]);
        bytes.extend_from_slice(&mac[..16]);
        (dial.hs1, dial.cookie) = (bytes, true);
        dial.again(now, meta.src);
        self.poll_dials(now);
    }

    /// VNEG: the responder speaks none of what we offered.
    pub(super) fn on_vneg(&mut self, now: Time, meta: &RecvMeta, datagram: &[u8]) {
        let Ok(vneg) = Vneg::decode(datagram) else {
            self.counters.malformed_packets += 1;
            return;
        };
        let Some(dial) = self.dials.get(&vneg.index) else { return };
        let common = best(self.crypto.suites(), vneg.suites).filter(|suite| *suite != dial.suite);
        let (Some(suite), true) = (common, vneg.versions & VERSIONS != 0) else {
            if dial.addrs().contains(&meta.src) {
                let id = dial.id;
                self.failures.dialled(now, id, meta.src, Outcome::Version);
            }
            return;
        };
        let Some(mut dial) = self.dials.remove(&vneg.index) else { return };
        let mut suites = self.crypto.suites();
        if let Some(at) = suites.iter().position(|s| *s == suite) {
            suites.swap(0, at);
        }
        if let Some((hs1, noise)) = self.first_message(now, dial.index, suites, None) {
            (dial.hs1, dial.noise, dial.suite) = (hs1, noise, suite);
            self.dials.insert(dial.index, dial);
        }
    }

    /// RESET: the peer does not know the session any more.
    pub(super) fn on_reset(&mut self, now: Time, datagram: &[u8]) {
        let Ok(reset) = Reset::decode(datagram) else {
            self.counters.malformed_packets += 1;
            return;
        };
        // It names the index that we wrote into our packets: the peer's.
        let held = |peer: &Peer<C::Aead>| {
            peer.session.remote == reset.index && peer.session.reset_token == reset.token
        };
        let at = self.peers.iter().position(|peer| peer.as_ref().is_some_and(held));
        if let Some(at) = at {
            self.counters.resets_received += 1;
            if let Some(peer) = self.peer(at) {
                if matches!(peer.session.watch.state(), State::Dead(_)) {
                    return;
                }
                peer.session.watch.declare_dead(now);
            }
            self.on_dead(now, at);
            let id = self.peer(at).map(|peer| peer.key.id);
            if let Some(id) = id {
                let addrs = self.discovery.candidates(id);
                self.dial(now, Some(id), &addrs);
            }
        }
    }

    /// A session packet for an index that we do not know, from an address where a member is known
    /// (S-50).
    pub(super) fn maybe_reset(&mut self, now: Time, meta: &RecvMeta, index: u32, len: usize) {
        let second = now.0 / 1_000_000_000;
        if self.resets.0 != second {
            self.resets = (second, 0);
        }
        let ours = self.dials.contains_key(&index)
            || self.rejected.iter().any(|(local, _)| *local == index);
        if len < 48 || self.resets.1 >= 10 || ours || !self.discovery.knows_address(meta.src.ip()) {
            return;
        }
        self.resets.1 += 1;
        let bytes = Reset { index, token: self.reset_token(index) }.encode().to_vec();
        self.push(Packet { via: Via::Unicast, dst: meta.src, src: meta.dst, bytes });
    }

    /// Survives restarts of an endpoint with a kept key (K-10).
    pub(super) fn reset_token(&self, index: u32) -> [u8; 16] {
        let key = self.crypto.private(b"reset");
        let mut token = [0; 16];
        token.copy_from_slice(&self.crypto.mac(&key, &[&index.to_le_bytes()])[..16]);
        token
    }
}
