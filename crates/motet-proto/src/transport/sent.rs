//! Packets that left and are not settled: which arrived, which are lost, how much is in flight.
//!
//! | event | effect |
//! |---|---|
//! | ACK | settles what it names; a sample if its largest is new and something eliciting with it |
//! | 3 packets after it arrived | lost (RFC 9002 §6.1.1) (S-18) |
//! | a later one arrived, 9/8 round trips passed | lost (RFC 9002 §6.1.2) |
//! | all of a run lost over 3 probe timeouts, nothing between arrived | persistent congestion (RFC 9002 §7.6) |
//! | ACK of a number never sent | `invalid`, nothing else |
//! | an MTU probe lost | reported by itself, not as congestion (RFC 9000 §14.4) |
//!
//! **Bounds.** [`MAX_TRACKED`] packets of 56 bytes; older ones count as lost. Packets that elicit
//! no ACK hold a place in the ring (numbers are its index) but are never in flight.
//!
//! **Not here.** What the packets carried: streams notice loss themselves; how fast the path
//! delivers ([`delivery`](super::delivery)). The split into sent
//! packets and outcome follows quinn-proto's spaces (MIT/Apache-2.0).

use alloc::collections::VecDeque;
use core::ops::RangeInclusive;
use core::time::Duration;

use motet_wire::frame::Ack;

use super::delivery::{Delivery, Rate, Stamp};
use super::rtt::{MAX_ACK_DELAY, Rtt};
use crate::time::Time;

/// Packets the ring holds.
pub const MAX_TRACKED: usize = 65_536;

/// Later packets that must arrive before one is lost: kPacketThreshold of RFC 9002 §6.1.1.
const PACKET_THRESHOLD: u64 = 3;
/// Probe timeouts without any arrival that are persistent congestion (RFC 9002 §7.6.1).
const PERSISTENT_PTOS: u32 = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// In flight.
    Flying,
    /// In flight, and as large as the path may turn out not to take.
    Probing,
    /// Left, asks for no ACK.
    Silent,
    Acked,
    Lost,
    /// This number was never used.
    Skipped,
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    at: Time,
    size: u32,
    state: State,
    stamp: Stamp,
}

/// What an ACK or the passing of time settled.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Outcome {
    /// Bytes that arrived, probes included.
    pub acked_bytes: u64,
    /// The newest number that this ACK settled as arrived.
    pub newest_acked_pn: Option<u64>,
    /// When that packet left.
    pub largest_acked_sent_at: Option<Time>,
    /// The largest packet among those that arrived, bytes; 0 if none.
    pub largest_acked_size: u32,
    /// Bytes lost, probes excluded.
    pub lost_bytes: u64,
    /// Packets lost, probes excluded.
    pub lost_packets: u64,
    /// When the newest lost packet left; `None` if nothing was lost.
    pub largest_lost_sent_at: Option<Time>,
    /// Bytes in flight when it left, itself included.
    pub largest_lost_in_flight: u64,
    /// What the path delivered; `None` if nothing can be said.
    pub rate: Option<Rate>,
    /// The smallest packet among the lost, bytes; 0 if none.
    pub smallest_lost_size: u32,
    /// Nothing arrived for so long that the window should start over.
    pub persistent: bool,
    /// Marked packets that the peer newly reports.
    pub ce_increase: u64,
    /// The ACK names a packet that was never sent; it was ignored.
    pub invalid: bool,
    /// An MTU probe that arrived.
    pub acked_probe: Option<u64>,
    /// An MTU probe that is lost.
    pub lost_probe: Option<u64>,
}

/// The send side of a session's packet numbers.
#[derive(Debug)]
pub struct Sent {
    ring: VecDeque<Packet>,
    /// The number of the ring's first packet.
    base: u64,
    largest_acked: Option<u64>,
    bytes: u64,
    packets: u64,
    last_eliciting: Time,
    loss_deadline: Option<Time>,
    first_sample_at: Option<Time>,
    /// When the first packet of the present unbroken run of lost packets left.
    run_since: Option<Time>,
    ce: u64,
    delivery: Delivery,
    /// What the ring pushed out since the last call that returns an outcome.
    pushed_out: Outcome,
}

impl Default for Sent {
    fn default() -> Self {
        Self::new()
    }
}

impl Sent {
    /// Nothing sent.
    pub fn new() -> Self {
        Self {
            ring: VecDeque::new(),
            base: 0,
            largest_acked: None,
            bytes: 0,
            packets: 0,
            last_eliciting: Time::ZERO,
            loss_deadline: None,
            first_sample_at: None,
            run_since: None,
            ce: 0,
            delivery: Delivery::new(),
            pushed_out: Outcome::default(),
        }
    }

    /// Packet `pn` of `size` bytes left. Numbers ascend; one that does not is ignored.
    pub fn on_sent(&mut self, now: Time, pn: u64, size: u32, eliciting: bool) {
        self.push(now, pn, size, if eliciting { State::Flying } else { State::Silent });
    }

    /// Packet `pn`, an MTU probe of `size` bytes, left.
    pub fn on_probe_sent(&mut self, now: Time, pn: u64, size: u32) {
        self.push(now, pn, size, State::Probing);
    }

    /// An ACK arrived; `ack_delay` is what the peer says it waited. Feeds `rtt`.
    pub fn on_ack(
        &mut self,
        now: Time,
        ack: &Ack<'_>,
        rtt: &mut Rtt,
        ack_delay: Duration,
    ) -> Outcome {
        self.on_ranges(now, ack.largest, ack.ranges(), ack.ce, ack_delay, rtt)
    }

    /// As [`on_ack`](Self::on_ack), its fields one by one: `ranges` newest first; `ce` the peer's
    /// count of marked packets so far.
    pub fn on_ranges(
        &mut self,
        now: Time,
        largest: u64,
        ranges: impl Iterator<Item = RangeInclusive<u64>>,
        ce: Option<u64>,
        ack_delay: Duration,
        rtt: &mut Rtt,
    ) -> Outcome {
        let next = self.next_pn();
        if largest >= next {
            return Outcome { invalid: true, ..Outcome::default() };
        }
        let mut out = core::mem::take(&mut self.pushed_out);
        let mut eliciting = false;
        for range in ranges {
            let from = (*range.start()).max(self.base);
            for pn in from..=(*range.end()).min(largest) {
                eliciting |= self.settle_acked(now, pn, &mut out);
            }
        }
        if let Some(ce) = ce {
            out.ce_increase = ce.saturating_sub(self.ce);
            self.ce = self.ce.max(ce);
        }
        self.largest_acked = self.largest_acked.max(Some(largest));
        if eliciting
            && out.newest_acked_pn == Some(largest)
            && let Some(at) = out.largest_acked_sent_at
        {
            rtt.update(now.since(at), ack_delay);
            self.first_sample_at.get_or_insert(now);
        }
        out.rate = self.delivery.sample(now, rtt.min());
        self.lose(now, rtt, &mut out);
        out
    }

    /// There is nothing more to send: the rate that follows is the application's, not the path's.
    pub fn on_app_limited(&mut self) {
        self.delivery.on_app_limited(self.bytes);
    }

    /// Declares lost what [`loss_deadline`](Self::loss_deadline) announced.
    pub fn detect_lost(&mut self, now: Time, rtt: &Rtt) -> Outcome {
        let mut out = core::mem::take(&mut self.pushed_out);
        self.lose(now, rtt, &mut out);
        out
    }

    /// When [`detect_lost`](Self::detect_lost) should be called; `None` while nothing is overtaken.
    pub fn loss_deadline(&self) -> Option<Time> {
        self.loss_deadline
    }

    /// What is neither acknowledged nor lost: bytes of UDP payload, and packets.
    pub fn in_flight(&self) -> (u64, u64) {
        (self.bytes, self.packets)
    }

    /// When the last ack-eliciting packet left, if any is in flight: the probe timeout counts from
    /// there.
    pub fn pto_base(&self) -> Option<Time> {
        (self.packets > 0).then_some(self.last_eliciting)
    }

    /// The number after the last one sent.
    pub fn next_pn(&self) -> u64 {
        self.base + self.ring.len() as u64
    }

    fn push(&mut self, now: Time, pn: u64, size: u32, state: State) {
        let Some(skipped) = pn.checked_sub(self.next_pn()) else { return };
        if skipped >= MAX_TRACKED as u64 {
            while !self.ring.is_empty() {
                self.push_out();
            }
            self.base = pn;
        }
        let stamp = self.delivery.stamp(now, self.bytes, size);
        while self.next_pn() < pn {
            self.append(Packet { at: now, size: 0, state: State::Skipped, stamp });
        }
        self.append(Packet { at: now, size, state, stamp });
        if matches!(state, State::Flying | State::Probing) {
            self.bytes += u64::from(size);
            self.packets += 1;
            self.last_eliciting = now;
        }
    }

    fn append(&mut self, packet: Packet) {
        if self.ring.len() == MAX_TRACKED {
            self.push_out();
        }
        self.ring.push_back(packet);
    }

    fn push_out(&mut self) {
        let mut out = core::mem::take(&mut self.pushed_out);
        self.settle_lost(self.base, &mut out);
        self.pushed_out = out;
        self.ring.pop_front();
        self.base += 1;
    }

    fn get_mut(&mut self, pn: u64) -> Option<&mut Packet> {
        let at = usize::try_from(pn.checked_sub(self.base)?).ok()?;
        self.ring.get_mut(at)
    }

    fn land(&mut self, size: u32) {
        self.bytes = self.bytes.saturating_sub(u64::from(size));
        self.packets = self.packets.saturating_sub(1);
    }

    /// True if `pn` was in flight.
    fn settle_acked(&mut self, now: Time, pn: u64, out: &mut Outcome) -> bool {
        let Some(p) = self.get_mut(pn) else { return false };
        let was = p.state;
        if matches!(was, State::Acked | State::Skipped) {
            return false;
        }
        p.state = State::Acked;
        let (at, size, stamp) = (p.at, p.size, p.stamp);
        if was == State::Lost {
            return false; // it was only late; the window has paid already
        }
        if out.newest_acked_pn.is_none_or(|newest| pn > newest) {
            out.newest_acked_pn = Some(pn);
            out.largest_acked_sent_at = Some(at);
        }
        if was == State::Silent {
            return false;
        }
        if was == State::Probing {
            out.acked_probe = Some(pn);
        }
        out.acked_bytes += u64::from(size);
        self.delivery.on_acked(now, size, at, stamp);
        out.largest_acked_size = out.largest_acked_size.max(size);
        self.land(size);
        true
    }

    fn settle_lost(&mut self, pn: u64, out: &mut Outcome) {
        let Some(p) = self.get_mut(pn) else { return };
        let (was, at, size, stamp) = (p.state, p.at, p.size, p.stamp);
        match was {
            State::Flying => {
                out.lost_bytes += u64::from(size);
                out.lost_packets += 1;
                if out.largest_lost_sent_at.is_none_or(|latest| at >= latest) {
                    out.largest_lost_sent_at = Some(at);
                    out.largest_lost_in_flight = stamp.in_flight();
                }
                if out.smallest_lost_size == 0 || size < out.smallest_lost_size {
                    out.smallest_lost_size = size;
                }
            }
            State::Probing => out.lost_probe = Some(pn),
            _ => return,
        }
        p.state = State::Lost;
        self.land(size);
    }

    /// Loss detection over what the largest acknowledged packet has overtaken; at most the packets
    /// within the threshold stay in flight, so this visits each packet O(1) times.
    fn lose(&mut self, now: Time, rtt: &Rtt, out: &mut Outcome) {
        self.loss_deadline = None;
        let Some(largest) = self.largest_acked else { return };
        let delay = rtt.loss_delay();
        for pn in self.base..largest {
            let Some(p) = self.get_mut(pn) else { continue };
            if !matches!(p.state, State::Flying | State::Probing) {
                continue;
            }
            let overdue = p.at + delay;
            if pn + PACKET_THRESHOLD <= largest || overdue <= now {
                self.settle_lost(pn, out);
            } else {
                self.loss_deadline = Some(self.loss_deadline.map_or(overdue, |d| d.min(overdue)));
            }
        }
        self.trim(largest, rtt, out);
    }

    /// Takes settled packets off the front, watching for a run of losses without an arrival.
    fn trim(&mut self, largest: u64, rtt: &Rtt, out: &mut Outcome) {
        let limit = rtt.pto(MAX_ACK_DELAY).saturating_mul(PERSISTENT_PTOS);
        while self.base <= largest
            && let Some(p) = self.ring.front().copied()
        {
            match p.state {
                State::Flying | State::Probing => return,
                State::Acked => self.run_since = None,
                State::Lost if self.first_sample_at.is_some_and(|at| p.at > at) => {
                    let since = *self.run_since.get_or_insert(p.at);
                    if p.at.since(since) > limit {
                        out.persistent = true;
                        self.run_since = None;
                    }
                }
                State::Lost | State::Silent | State::Skipped => {}
            }
            self.ring.pop_front();
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests;
