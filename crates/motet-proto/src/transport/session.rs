//! One session: keys, packet numbers, feedback and the way to one peer.
//!
//! S-10 A packet is opened before anything in it is believed; S-11 its number is checked against
//! the replay window only after that. S-12 A packet number is never used twice under a key.
//! S-13 What is in flight stays below the congestion window and the peer's credit; S-14 packets
//! that carry only feedback (ACK, STATUS, NAK, HEARTBEAT, PING) are not held back by them.

use super::acks::Acks;
use super::congestion::{Acked, Controller, Cubic, Lost, Model};
use super::keys::{Keys, Sealed};
use super::liveness::Watch;
use super::mtu::Mtud;
use super::pacer::Pacer;
use super::path::Path;
use super::replay::Window;
use super::rtt::Rtt;
use super::sent::{Outcome, Sent};
use super::stream::RttView;
use crate::Time;
use crate::config::Congestion;
use crate::crypto::{Aead, Crypto};
use crate::transport::handshake::RETRIES_MS;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use motet_wire::frame::Ack;
use motet_wire::packet::{DataHeader, TAG_LEN};

/// Bytes of a packet that are not frames.
pub const OVERHEAD: usize = DataHeader::LEN + TAG_LEN;

/// The address in use is asked this often whether it still works, when packets come from another.
const STRAY_PING: Duration = Duration::from_millis(100);
/// Nothing acknowledged for so long after such a PING: the address in use is not answered.
const STRAY_PATIENCE: Duration = Duration::from_secs(1);

/// A keyed association with one peer.
pub struct Session<A> {
    /// Our index: what the peer writes into its packets.
    pub local: u32,
    /// The peer's index.
    pub remote: u32,
    /// Token that a RESET from this peer must carry.
    pub reset_token: [u8; 16],
    /// Stamp of the HS1 that made it; 0 if we dialled.
    pub stamp: u64,
    /// We sent HS1.
    pub initiator: bool,
    /// Addresses.
    pub path: Path,
    /// Is the peer alive?
    pub watch: Watch,
    /// Feedback we owe.
    pub acks: Acks,
    /// What is on its way.
    pub sent: Sent,
    /// Round trip.
    pub rtt: Rtt,
    /// How much may be on its way.
    pub congestion: Box<dyn Controller>,
    /// Spreads it over the round trip.
    pub pacer: Pacer,
    /// How large packets may be.
    pub mtu: Mtud,
    /// Bytes and packets that the peer takes in flight.
    pub credit: (u64, u64),
    /// Packets received, for the reordering threshold of streams.
    pub received: u64,
    /// A PING is wanted in the next packet.
    pub ping: bool,
    /// The sender had nothing to send while the window was open.
    pub app_limited: bool,
    /// PATH_RESPONSEs owed: where to, token.
    pub responses: VecDeque<(SocketAddr, Option<IpAddr>, u64)>,
    chosen: Congestion,
    keys: Keys<A>,
    replay: Window,
    next: u64,
    probes: u32,
    stray_at: Time,
    /// Since when the PINGs that strays caused are unanswered.
    stray_since: Time,
    hs3: Option<Hs3Retry>,
    established: Time,
}

struct Hs3Retry {
    datagram: Vec<u8>,
    tries: usize,
    at: Time,
}

/// What a handshake agreed on.
pub struct Agreed<A> {
    /// Our index.
    pub local: u32,
    /// The peer's.
    pub remote: u32,
    /// Keys.
    pub keys: Keys<A>,
    /// The peer's address.
    pub addr: SocketAddr,
    /// Ours.
    pub local_addr: Option<IpAddr>,
    /// The peer's reset token.
    pub reset_token: [u8; 16],
    /// The peer's credit: bytes, packets.
    pub credit: (u64, u64),
    /// Stamp of HS1, at the responder.
    pub stamp: u64,
    /// Who decides how much may be in flight.
    pub congestion: Congestion,
    /// HS3, at the initiator.
    pub hs3: Option<Vec<u8>>,
    /// Datagram sizes: base, largest.
    pub mtu: (u16, u16),
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
    /// Its frames lie in the buffer.
    Fresh,
    /// It was here before.
    Replayed,
    /// It is not from the peer.
    Forged,
}

impl<A: Aead> Session<A> {
    /// A session whose handshake is complete.
    pub fn new(now: Time, agreed: Agreed<A>) -> Self {
        let (base, max) = agreed.mtu;
        let hs3 = agreed.hs3.map(|datagram| Hs3Retry {
            datagram,
            tries: 0,
            at: now + Duration::from_millis(RETRIES_MS[0]),
        });
        Self {
            local: agreed.local,
            remote: agreed.remote,
            reset_token: agreed.reset_token,
            stamp: agreed.stamp,
            initiator: hs3.is_some(),
            path: Path::new(agreed.addr, agreed.local_addr),
            watch: Watch::new(now),
            acks: Acks::new(),
            sent: Sent::new(),
            rtt: Rtt::new(),
            congestion: controller(agreed.congestion, base, agreed.credit.0, agreed.local),
            chosen: agreed.congestion,
            pacer: Pacer::new(now),
            mtu: Mtud::new(base, max),
            credit: agreed.credit,
            received: 0,
            ping: false,
            app_limited: true,
            responses: VecDeque::new(),
            keys: agreed.keys,
            replay: Window::new(),
            next: 0,
            probes: 0,
            stray_since: Time::NEVER,
            stray_at: now,
            hs3,
            established: now,
        }
    }

    /// When the handshake was complete.
    pub fn established(&self) -> Time {
        self.established
    }

    /// Opens a packet in place: `body` is what lies between header and tag.
    pub fn open<C: Crypto<Aead = A>>(
        &mut self,
        crypto: &C,
        now: Time,
        header: &DataHeader,
        aad: &[u8],
        body: &mut [u8],
        tag: &[u8; 16],
    ) -> Opened {
        let grace = self.rtt.pto(Duration::from_millis(5)) * 3;
        let packet = Sealed { number: header.pn, aad, buf: body, tag };
        if !self.keys.open(crypto, now, grace, header.key_phase, packet) {
            return Opened::Forged; // S-10
        }
        if !self.replay.check(header.pn) {
            return Opened::Replayed; // S-11
        }
        self.replay.mark(header.pn);
        self.received += 1;
        self.hs3 = None; // S-8
        Opened::Fresh
    }

    /// The round trip as streams see it.
    pub fn rtt_view(&self) -> RttView {
        RttView { srtt: self.rtt.srtt(), var: self.rtt.var() }
    }

    /// Bytes of frames that fit into a packet now.
    pub fn room(&self) -> usize {
        usize::from(self.mtu.current()).saturating_sub(OVERHEAD)
    }

    /// May a packet with data leave now? If not for the pacer, says when.
    pub fn may_send(&mut self, now: Time) -> Result<(), Option<Time>> {
        let (bytes, packets) = self.sent.in_flight();
        let size = u64::from(self.mtu.current());
        let window = self.congestion.window().min(self.credit.0);
        if packets > 0 && (bytes + size > window || packets + 1 > self.credit.1) {
            return Err(None); // S-13
        }
        let (srtt, mtu) = (self.rtt.srtt(), self.mtu.current());
        let wait = match self.congestion.pacing_rate() {
            Some(rate) => self.pacer.delay_at(now, srtt, rate, mtu, size),
            None => self.pacer.delay(now, srtt, self.congestion.window(), mtu, size),
        };
        match wait {
            Some(at) => Err(Some(at)),
            None => Ok(()),
        }
    }

    /// A packet came from another address than the one in use. True if that one is to be tried:
    /// what we send to the old one is not answered any more. As long as it is, two ways work and
    /// either side keeps its own; following each other would never end.
    pub fn on_stray(&mut self, now: Time) -> bool {
        if self.probes == 0 && now >= self.stray_at {
            self.ping = true;
            self.stray_at = now + STRAY_PING;
            self.stray_since = self.stray_since.min(now);
        }
        // After a pause of the peer the probe timeout may be many seconds: do not wait for it.
        self.probes > 0 || now.since(self.stray_since) >= STRAY_PATIENCE
    }

    /// Starts a packet: the header's place is taken in `out`.
    pub fn begin(&mut self, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(&[0; DataHeader::LEN]);
        start
    }

    /// Seals the packet that [`begin`](Self::begin) started at `start` and notes it as sent. `end` is
    /// its end, which does not have to be copied before.
    pub fn seal<C: Crypto<Aead = A>>(
        &mut self,
        crypto: &C,
        now: Time,
        out: &mut Vec<u8>,
        (start, end): (usize, &[u8]),
        kind: Kind,
    ) -> u64 {
        self.keys.update(crypto, now, false);
        let pn = self.next; // S-12
        self.next += 1;
        let header = DataHeader { key_phase: self.keys.phase(), index: self.remote, pn }.encode();
        out.resize(out.len() + end.len() + TAG_LEN, 0);
        let (_, packet) = out.split_at_mut(start);
        if let Some((place, rest)) = packet.split_first_chunk_mut::<{ DataHeader::LEN }>() {
            *place = header;
            self.keys.seal(pn, &header, rest, end);
        }
        let size = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
        match kind {
            Kind::Probe => self.sent.on_probe_sent(now, pn, size),
            Kind::Data | Kind::Eliciting => self.sent.on_sent(now, pn, size, true),
            Kind::Feedback => self.sent.on_sent(now, pn, size, false),
        }
        match kind {
            Kind::Data => self.pacer.on_sent(u64::from(size)),
            Kind::Probe => self.mtu.probe_sent(pn, u16::try_from(size).unwrap_or(u16::MAX)),
            Kind::Feedback | Kind::Eliciting => {}
        }
        pn
    }

    /// Forces the next packet under the next key (tests, and after long pauses).
    pub fn update_key<C: Crypto<Aead = A>>(&mut self, crypto: &C, now: Time) {
        self.keys.update(crypto, now, true);
    }

    /// The peer acknowledges. Returns packets newly lost; `None` if it acknowledges what was never
    /// sent.
    pub fn on_ack(&mut self, now: Time, ack: &Ack<'_>) -> Option<u64> {
        let delay = Duration::from_micros(ack.delay_us.min(1_000_000));
        let outcome = self.sent.on_ack(now, ack, &mut self.rtt, delay);
        if outcome.invalid {
            return None;
        }
        self.probes = 0;
        self.stray_since = Time::NEVER;
        self.settle(now, &outcome);
        Some(outcome.lost_packets)
    }

    fn settle(&mut self, now: Time, outcome: &Outcome) {
        if outcome.acked_bytes > 0 {
            self.congestion.on_ack(&Acked {
                now,
                bytes: outcome.acked_bytes,
                sent_at: outcome.largest_acked_sent_at.unwrap_or(now),
                app_limited: self.app_limited,
                in_flight: self.sent.in_flight().0,
                rate: outcome.rate,
                rtt: &self.rtt,
            });
        }
        if outcome.lost_bytes > 0 || outcome.ce_increase > 0 {
            let sent_at = outcome.largest_lost_sent_at.or(outcome.largest_acked_sent_at);
            self.congestion.on_congestion(&Lost {
                now,
                bytes: outcome.lost_bytes,
                sent_at: sent_at.unwrap_or(now),
                in_flight: outcome.largest_lost_in_flight,
                marked: outcome.ce_increase > 0,
                persistent: outcome.persistent,
            });
        }
        if self.mtu.on_outcome(now, outcome) {
            self.congestion.on_mtu(self.mtu.current());
        }
    }

    /// Lets the clocks of packets act: losses by time, probe timeouts, a due HS3. Returns packets
    /// newly lost and a datagram to send again.
    pub fn on_time(&mut self, now: Time) -> (u64, Option<&[u8]>) {
        let mut lost = 0;
        if self.sent.loss_deadline().is_some_and(|at| at <= now) {
            let outcome = self.sent.detect_lost(now, &self.rtt);
            lost = outcome.lost_packets;
            self.settle(now, &outcome);
        }
        if self.pto_deadline() <= now {
            self.probes = self.probes.saturating_add(1);
            self.ping = true;
        }
        let due = match &mut self.hs3 {
            Some(retry) if retry.at <= now => {
                retry.tries += 1;
                match RETRIES_MS.get(retry.tries) {
                    Some(wait) => retry.at = now + Duration::from_millis(*wait),
                    None => retry.at = Time::NEVER,
                }
                true
            }
            _ => false,
        };
        (lost, self.hs3.as_ref().filter(|_| due).map(|retry| &retry.datagram[..]))
    }

    fn pto_deadline(&self) -> Time {
        let packets = self.sent.in_flight().1;
        match self.sent.pto_base() {
            Some(base) if packets > 0 && self.probes < 10 => {
                base + self.rtt.pto(Duration::from_millis(5)) * (1 << self.probes.min(10))
            }
            _ => Time::NEVER,
        }
    }

    /// When [`on_time`](Self::on_time) has something to do.
    pub fn deadline(&self) -> Time {
        let hs3 = self.hs3.as_ref().map_or(Time::NEVER, |retry| retry.at);
        let loss = self.sent.loss_deadline().unwrap_or(Time::NEVER);
        self.pto_deadline().min(hs3).min(loss).min(self.path.deadline())
    }

    /// The session moved to another address: what was learnt of the old way is void.
    pub fn on_moved(&mut self, now: Time, mtu: (u16, u16)) {
        self.congestion = controller(self.chosen, mtu.0, self.credit.0, self.local);
        self.mtu = Mtud::new(mtu.0, mtu.1);
        self.rtt = Rtt::new();
        self.pacer = Pacer::new(now);
    }
}

/// With the peer's credit as its floor where the round trip is tiny.
pub(in crate::transport) fn controller(
    chosen: Congestion,
    mtu: u16,
    credit: u64,
    seed: u32,
) -> Box<dyn Controller> {
    match chosen {
        Congestion::Cubic => Box::new(Cubic::new(mtu, credit)),
        Congestion::Model => Box::new(Model::new(mtu, credit, seed)),
    }
}

/// What a packet holds, as far as metering cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// ACK alone: asks for no acknowledgement.
    Feedback,
    /// Small control frames: acknowledged, but not held back by the window.
    Eliciting,
    /// Messages: metered.
    Data,
    /// A path MTU probe.
    Probe,
}
