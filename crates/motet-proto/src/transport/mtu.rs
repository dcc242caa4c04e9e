//! The largest packet a path takes: datagram packetization layer path MTU discovery, RFC 8899.
//!
//! | state | event | effect |
//! |---|---|---|
//! | searching | [`poll_probe`](Mtud::poll_probe) | the next size: 1,452, 1,472, 8,952, 8,972, 65,000, the maximum; after a failure the middle of what is left |
//! | searching | probe arrived | this size is the MTU, go on upwards |
//! | searching | 3 probes of a size lost | the size is too big |
//! | searching | less than 20 bytes to gain | settled; again after 600 s if there is room above |
//! | any | 3 loss bursts of packets above base, no such packet arriving | black hole: base, again after 60 s (S-42) |
//! | any | the host refuses a size | too big at once, without retries |
//!
//! Sizes are bytes of UDP payload. The structure, and the shape of the black-hole rule, follow
//! quinn-proto's `mtud` (MIT/Apache-2.0).

use core::time::Duration;

use super::sent::Outcome;
use crate::time::Time;

/// No path is asked to carry less: below this the handshake would not fit.
pub const LEAST: u16 = 512;

/// What common links leave of their MTU: Ethernet over IPv6 and IPv4, jumbo frames likewise,
/// loopback.
const CANDIDATES: [u16; 5] = [1_452, 1_472, 8_952, 8_972, 65_000];
/// Probes of one size before it is too big: MAX_PROBES of RFC 8899 §5.1.2.
const MAX_PROBES: u8 = 3;
/// The search ends when this little is left to gain.
const RESOLUTION: u16 = 20;
/// Suspicious bursts that are a black hole.
const BLACK_HOLE_BURSTS: usize = 3;
/// Wait after a search that did not reach the maximum: PMTU_RAISE_TIMER of RFC 8899 §5.1.1.
const RAISE_AFTER: Duration = Duration::from_secs(600);
/// Wait after a black hole.
const COOLDOWN: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Search {
    /// The largest size not known to be too big.
    high: u16,
    /// What is probed, and how often it was lost.
    size: u16,
    lost: u8,
    in_flight: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Searching(Search),
    /// Settled until then.
    Settled(Time),
}

/// Path MTU discovery of one path.
#[derive(Clone, Debug)]
pub struct Mtud {
    base: u16,
    max: u16,
    current: u16,
    phase: Phase,
    /// The smallest packet of each suspicious burst of losses.
    bursts: [u16; BLACK_HOLE_BURSTS],
    burst_count: usize,
}

impl Mtud {
    /// Starts at `base`; never probes above `max`, the least of the interface's payload limit and
    /// what configuration and peer allow.
    pub fn new(base: u16, max: u16) -> Self {
        let base = base.max(LEAST).min(max.max(LEAST));
        let max = max.max(base);
        let mut mtud = Self {
            base,
            max,
            current: base,
            phase: Phase::Settled(Time::NEVER),
            bursts: [0; BLACK_HOLE_BURSTS],
            burst_count: 0,
        };
        mtud.search(Time::ZERO);
        mtud
    }

    /// Forgets everything: the path changed.
    pub fn reset(&mut self, base: u16, max: u16) {
        *self = Self::new(base, max);
    }

    /// What a packet may measure now.
    pub fn current(&self) -> u16 {
        self.current
    }

    /// The size of a probe to send now, if one is wanted; the same answer until
    /// [`probe_sent`](Self::probe_sent). `in_flight_ok`: the window has room for it.
    pub fn poll_probe(&mut self, now: Time, in_flight_ok: bool) -> Option<u16> {
        if let Phase::Settled(until) = self.phase
            && until <= now
        {
            self.search(now);
        }
        match self.phase {
            Phase::Searching(s) if s.in_flight.is_none() && in_flight_ok => Some(s.size),
            _ => None,
        }
    }

    /// The probe left as packet `pn`.
    pub fn probe_sent(&mut self, pn: u64, size: u16) {
        if let Phase::Searching(s) = &mut self.phase
            && s.size == size
        {
            s.in_flight = Some(pn);
        }
    }

    /// Everything an ACK or a loss timer settled. Returns true if the MTU changed.
    pub fn on_outcome(&mut self, now: Time, out: &Outcome) -> bool {
        let before = self.current;
        if let Some(pn) = out.acked_probe.or(out.newest_acked_pn) {
            self.on_acked(now, pn, saturated(out.largest_acked_size));
        }
        if let Some(pn) = out.lost_probe {
            self.on_probe_lost(now, pn);
        }
        // What arrives together with the loss shows that the path still takes that size.
        if out.lost_packets > 0 && out.smallest_lost_size > out.largest_acked_size {
            self.on_lost(now, saturated(out.smallest_lost_size));
        }
        self.current != before
    }

    /// A packet of `size` bytes arrived, probe or not. Returns true if the MTU grew.
    pub fn on_acked(&mut self, now: Time, pn: u64, size: u16) -> bool {
        self.clear_bursts_of(size);
        let Phase::Searching(s) = self.phase else { return false };
        if s.in_flight != Some(pn) {
            return false;
        }
        self.current = s.size;
        self.advance(now, Search { lost: 0, in_flight: None, ..s });
        true
    }

    /// The probe that left as packet `pn` is lost.
    pub fn on_probe_lost(&mut self, now: Time, pn: u64) {
        let Phase::Searching(s) = &mut self.phase else { return };
        if s.in_flight != Some(pn) {
            return;
        }
        s.in_flight = None;
        s.lost += 1;
        if s.lost >= MAX_PROBES {
            let s = *s;
            self.too_big(now, s);
        }
    }

    /// Packets other than probes were found lost at one time; the smallest measured
    /// `smallest_size` bytes. Returns true if that shows a black hole, and the MTU is back at base.
    pub fn on_lost(&mut self, now: Time, smallest_size: u16) -> bool {
        // A burst with a small packet in it is congestion, not a path that became narrower.
        if smallest_size <= self.base || self.current == self.base {
            return false;
        }
        if let Some(slot) = self.bursts.get_mut(self.burst_count) {
            *slot = smallest_size;
            self.burst_count += 1;
        }
        if self.burst_count < BLACK_HOLE_BURSTS {
            return false;
        }
        self.burst_count = 0;
        self.current = self.base;
        self.phase = Phase::Settled(now + COOLDOWN);
        true
    }

    /// The host refused to send `size` bytes (EMSGSIZE). The packet counts as never sent.
    pub fn on_too_big(&mut self, now: Time, size: u16) {
        let cap = size.saturating_sub(1).max(LEAST);
        self.max = self.max.min(cap);
        self.base = self.base.min(cap);
        if self.current > cap {
            self.current = self.base;
            self.burst_count = 0;
            self.search(now);
        } else if let Phase::Searching(s) = self.phase
            && s.high > cap
        {
            // Below the maximum, so that the search halves: told exactly what is too large, trying
            // the new maximum first would go down byte by byte.
            let s = Search { high: cap.saturating_sub(1), ..s };
            if s.size > cap {
                self.advance(now, Search { lost: 0, in_flight: None, ..s });
            } else {
                self.phase = Phase::Searching(s);
            }
        }
    }

    /// When [`poll_probe`](Self::poll_probe) will want to search again; `None` while it does
    /// already (poll whenever packets are sent) or has reached the maximum.
    pub fn deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Settled(until) if until != Time::NEVER => Some(until),
            _ => None,
        }
    }

    fn search(&mut self, now: Time) {
        self.advance(now, Search { high: self.max, size: 0, lost: 0, in_flight: None });
    }

    fn too_big(&mut self, now: Time, s: Search) {
        let high = s.size.saturating_sub(1).max(self.current);
        self.advance(now, Search { high, lost: 0, ..s });
    }

    /// Chooses the next size between what is proven and what is left, or settles.
    fn advance(&mut self, now: Time, s: Search) {
        let (low, high) = (self.current, s.high);
        let size = if let Some(&known) = CANDIDATES.iter().find(|&&c| c > low && c <= high) {
            known
        } else if high == self.max && high > low {
            high
        } else if high.saturating_sub(low) >= RESOLUTION {
            low + (high - low) / 2
        } else {
            let again = if low < self.max { now + RAISE_AFTER } else { Time::NEVER };
            self.phase = Phase::Settled(again);
            return;
        };
        self.phase = Phase::Searching(Search { size, ..s });
    }

    fn clear_bursts_of(&mut self, size: u16) {
        let mut kept = 0;
        for at in 0..self.burst_count {
            let Some(&burst) = self.bursts.get(at) else { break };
            if burst > size {
                if let Some(slot) = self.bursts.get_mut(kept) {
                    *slot = burst;
                }
                kept += 1;
            }
        }
        self.burst_count = kept;
    }
}

fn saturated(size: u32) -> u16 {
    u16::try_from(size).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(7);

    /// Probes until settled, over a path that takes `limit`; the sizes probed.
    fn settle(m: &mut Mtud, now: Time, limit: u16) -> Vec<u16> {
        let mut sizes = Vec::new();
        while let Some(size) = m.poll_probe(now, true) {
            let pn = sizes.len() as u64;
            m.probe_sent(pn, size);
            assert_eq!(m.poll_probe(now, true), None, "one at a time");
            sizes.push(size);
            assert!(sizes.len() < 100);
            if size <= limit {
                assert!(m.on_acked(now, pn, size));
            } else {
                m.on_probe_lost(now, pn);
            }
        }
        sizes
    }

    #[test]
    fn common_sizes_are_tried_first() {
        for (max, limit, probed, found) in [
            (1_472, 1_472, vec![1_452, 1_472], 1_472),
            (1_472, 1_452, vec![1_452, 1_472, 1_472, 1_472], 1_452),
            (8_972, 9_000, vec![1_452, 1_472, 8_952, 8_972], 8_972),
            (65_507, 65_507, vec![1_452, 1_472, 8_952, 8_972, 65_000, 65_507], 65_507),
            (1_400, 1_400, vec![1_400], 1_400),
            (1_200, 1_200, vec![], 1_200),
        ] {
            let mut m = Mtud::new(1_200, max);
            assert_eq!(settle(&mut m, NOW, limit), probed, "{max} {limit}");
            assert_eq!(m.current(), found);
            assert_eq!(m.deadline().is_some(), found < max);
        }
    }

    #[test] // S-42
    fn every_limit_is_found_within_the_resolution() {
        for limit in (1_200..65_507).step_by(611) {
            let mut m = Mtud::new(1_200, 65_507);
            settle(&mut m, NOW, limit);
            assert!(m.current() <= limit && limit - m.current() < RESOLUTION, "{limit}: {m:?}");
        }
    }

    #[test]
    fn a_search_that_fell_short_is_repeated_after_600_s() {
        let mut m = Mtud::new(1_200, 1_472);
        settle(&mut m, NOW, 1_300);
        assert_eq!(m.deadline(), Some(NOW + RAISE_AFTER));
        assert_eq!(settle(&mut m, NOW + RAISE_AFTER, 1_472).last(), Some(&1_472));
        assert_eq!((m.current(), m.deadline()), (1_472, None));
    }

    #[test]
    fn a_full_window_delays_the_probe() {
        let mut m = Mtud::new(1_200, 1_472);
        assert_eq!(m.poll_probe(NOW, false), None);
        assert_eq!(m.poll_probe(NOW, true), Some(1_452));
    }

    #[test] // S-42
    fn three_bursts_of_large_packets_are_a_black_hole() {
        let mut m = Mtud::new(1_200, 1_472);
        settle(&mut m, NOW, 1_472);
        assert!(!m.on_lost(NOW, 1_472) && !m.on_lost(NOW, 1_400));
        m.on_acked(NOW, 90, 1_200);
        assert!(m.on_lost(NOW, 1_472), "small arrivals prove nothing");
        assert_eq!((m.current(), m.poll_probe(NOW, true)), (1_200, None));
        assert_eq!(m.deadline(), Some(NOW + COOLDOWN));
        assert_eq!(m.poll_probe(NOW + COOLDOWN, true), Some(1_452));
    }

    #[test]
    fn arrivals_of_the_size_and_losses_of_small_packets_are_not_a_black_hole() {
        let mut m = Mtud::new(1_200, 1_472);
        settle(&mut m, NOW, 1_472);
        for pn in 0..20 {
            assert!(!m.on_lost(NOW, 1_400) && !m.on_lost(NOW, 1_200));
            m.on_acked(NOW, 100 + pn, 1_400);
        }
        let both = Outcome {
            lost_packets: 1,
            smallest_lost_size: 1_472,
            largest_acked_size: 1_472,
            ..Outcome::default()
        };
        for _ in 0..20 {
            assert!(!m.on_outcome(NOW, &both));
        }
        assert_eq!(m.current(), 1_472);
    }

    #[test]
    fn a_size_that_the_host_refuses_is_not_tried_again() {
        let mut m = Mtud::new(1_200, 8_972);
        assert_eq!(m.poll_probe(NOW, true), Some(1_452));
        m.on_too_big(NOW, 1_452);
        assert_eq!(m.poll_probe(NOW, true), Some(1_325), "halfway down, not one byte");
        let mut m = Mtud::new(1_200, 8_972);
        settle(&mut m, NOW, 8_972);
        m.on_too_big(NOW, 8_972);
        assert_eq!(m.current(), 1_200);
        assert!(settle(&mut m, NOW, 1_472).iter().all(|&s| s < 8_972));
        m.on_too_big(NOW, 300);
        assert_eq!(m.current(), LEAST);
    }

    #[test]
    fn a_new_path_starts_over() {
        let mut m = Mtud::new(1_200, 1_472);
        settle(&mut m, NOW, 1_472);
        m.reset(1_200, 8_972);
        assert_eq!((m.current(), m.poll_probe(NOW, true)), (1_200, Some(1_452)));
    }
}
