//! What of a session's packets has arrived, and when to say so.
//!
//! | event | the ACK is due |
//! |---|---|
//! | one of the first 16 ack-eliciting packets | now |
//! | eliciting, and not the number after the largest | now |
//! | eliciting with a congestion mark, or a PING | now |
//! | 10th eliciting packet since the last ACK | now (S-15) |
//! | on a far path: 1/8 of those of the last round trip, 2nd to 10th | now (S-15) |
//! | any other eliciting packet | min(5 ms, max(1 ms, srtt / 4)) after the first of them |
//! | not eliciting | with the next one; ACKs are never sent for ACKs (S-16) |
//!
//! The first five follow RFC 9000 §13.2, thinned to one in ten. A late or repeated report of a
//! packet costs nothing, so a lost ACK is mended by the next one.
//!
//! **Bounds.** 33 ranges, what one ACK can name; the oldest are forgotten.

use alloc::vec::Vec;
use core::time::Duration;

use motet_wire::frame::{MAX_ACK_RANGES, put_ack, put_lane_ack};

use super::rtt::{GRANULARITY, MAX_ACK_DELAY};
use crate::time::Time;

/// This many eliciting packets make an ACK due.
const EVERY: u32 = 10;
/// On a far path that few packets cross in a round trip, so few do (RFC 9000 §13.2.2): a small
/// window must not wait for the timer.
const EVERY_MIN: u32 = 2;
/// On a far path there are at least so many ACKs in a round trip.
const PER_ROUND: u32 = 8;
/// The first so many are acknowledged one by one: a window of 10 packets must not wait for a timer.
const EAGER: u32 = 16;

/// What a packet asks of its receiver.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Asks {
    /// It carries a frame that wants an ACK.
    pub eliciting: bool,
    /// It arrived with the mark Congestion Experienced (RFC 3168).
    pub ce: bool,
    /// It carries a PING.
    pub urgent: bool,
}

/// Received packet numbers that are to be reported.
#[derive(Debug)]
pub struct Acks {
    /// Inclusive, ascending, disjoint, with holes between.
    ranges: Vec<(u64, u64)>,
    largest_at: Time,
    ce: u64,
    eliciting_seen: u32,
    waiting: u32,
    /// How many make an ACK due; how many came in this round trip, and since when it lasts.
    every: u32,
    round: u32,
    round_at: Time,
    deadline: Option<Time>,
}

impl Default for Acks {
    fn default() -> Self {
        Self::new()
    }
}

impl Acks {
    /// Nothing received.
    pub fn new() -> Self {
        Self {
            ranges: Vec::with_capacity(MAX_ACK_RANGES + 1),
            largest_at: Time::ZERO,
            ce: 0,
            eliciting_seen: 0,
            waiting: 0,
            every: EVERY_MIN,
            round: 0,
            round_at: Time::ZERO,
            deadline: None,
        }
    }

    /// An authenticated packet that the replay window called fresh. `srtt` of the path it came on.
    pub fn on_packet(&mut self, now: Time, pn: u64, asks: Asks, srtt: Duration) {
        if pn > MAX_VI {
            return; // cannot be named in an ACK, nor reached at one packet per nanosecond
        }
        let largest = self.largest();
        let in_order = pn == largest.map_or(0, |l| l.saturating_add(1));
        if largest.is_none_or(|l| pn > l) {
            self.largest_at = now;
        }
        self.insert(pn);
        self.ce = self.ce.saturating_add(u64::from(asks.ce));
        if !asks.eliciting && !asks.urgent {
            return;
        }
        self.eliciting_seen = self.eliciting_seen.saturating_add(1);
        self.waiting = self.waiting.saturating_add(1);
        self.round = self.round.saturating_add(1);
        if now.since(self.round_at) >= srtt {
            self.every = (self.round / PER_ROUND).clamp(EVERY_MIN, EVERY);
            (self.round, self.round_at) = (0, now);
        }
        let every = if srtt < GRANULARITY { EVERY } else { self.every };
        let at_once = asks.urgent
            || asks.ce
            || !in_order
            || self.eliciting_seen <= EAGER
            || self.waiting >= every;
        let at = if at_once { now } else { now + (srtt / 4).clamp(GRANULARITY, MAX_ACK_DELAY) };
        self.deadline = Some(self.deadline.map_or(at, |d| d.min(at)));
    }

    /// True if an ACK should leave now, by itself if need be.
    pub fn due(&self, now: Time) -> bool {
        self.deadline.is_some_and(|at| at <= now)
    }

    /// True if an ACK should go with any packet that leaves anyway.
    pub fn pending(&self) -> bool {
        self.waiting > 0
    }

    /// When [`due`](Self::due) turns true; `None` while nothing asks for an ACK.
    pub fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// The largest number received.
    pub fn largest(&self) -> Option<u64> {
        self.ranges.last().map(|r| r.1)
    }

    /// Inclusive ranges of what arrived, newest first, at most 33.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().rev().copied()
    }

    /// Appends an ACK frame of everything remembered, and regards all of it as reported. Writes
    /// nothing if nothing was ever received.
    pub fn write(&mut self, now: Time, out: &mut Vec<u8>) {
        let Some(largest) = self.largest() else { return };
        let delay = now.since(self.largest_at).as_micros();
        let delay_us = u64::try_from(delay).unwrap_or(u64::MAX).min(MAX_VI);
        let ce = (self.ce > 0).then_some(self.ce);
        put_ack(out, largest, delay_us, self.ranges(), ce);
        self.waiting = 0;
        self.deadline = None;
    }

    /// As [`write`](Self::write), as a LANE_ACK of a lane's source.
    pub fn write_lane(&mut self, now: Time, source_tag: u64, out: &mut Vec<u8>) {
        let Some(largest) = self.largest() else { return };
        let delay = now.since(self.largest_at).as_micros();
        let delay_us = u64::try_from(delay).unwrap_or(u64::MAX).min(MAX_VI);
        put_lane_ack(out, source_tag, largest, delay_us, self.ranges());
        self.waiting = 0;
        self.deadline = None;
    }

    /// The most bytes that [`write`](Self::write) would append now.
    pub fn encoded_len_max(&self) -> usize {
        let Some(largest) = self.largest() else { return 0 };
        let mut len = 1 + vi_len(largest) + 8 + 1 + vi_len(self.ce);
        let mut low = None;
        for (lo, hi) in self.ranges() {
            len += vi_len(hi - lo) + low.map_or(0, |above: u64| vi_len(above.saturating_sub(hi)));
            low = Some(lo);
        }
        len
    }

    /// The peer knows of everything below `pn`: an ACK that named it was acknowledged. Keeps ACKs
    /// short on a lossy path; calling it is optional.
    pub fn forget_below(&mut self, pn: u64) {
        let keep = self.largest();
        self.ranges.retain(|r| r.1 >= pn || Some(r.1) == keep);
    }

    fn insert(&mut self, pn: u64) {
        // The first range that ends at `pn - 1` or later is the only one that can take `pn` in.
        let at = self.ranges.partition_point(|r| r.1.saturating_add(1) < pn);
        match self.ranges.get_mut(at) {
            Some(r) if pn > r.1 => r.1 = pn,
            Some(r) if pn >= r.0 => return,
            Some(r) if pn.saturating_add(1) == r.0 => {
                r.0 = pn;
                return;
            }
            _ => self.ranges.insert(at, (pn, pn)),
        }
        // `pn` may have closed the hole below the next range.
        if let (Some(&(lo, hi)), Some(&next)) = (self.ranges.get(at), self.ranges.get(at + 1))
            && hi.saturating_add(1) == next.0
        {
            self.ranges.remove(at + 1);
            if let Some(r) = self.ranges.get_mut(at) {
                *r = (lo, next.1);
            }
        }
        if self.ranges.len() > MAX_ACK_RANGES {
            self.ranges.remove(0);
        }
    }
}

/// The largest value of a varint (RFC 9000 §16).
const MAX_VI: u64 = (1 << 62) - 1;

fn vi_len(v: u64) -> usize {
    match v {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use motet_wire::frame::Frame;
    use proptest::prelude::*;

    use super::*;

    const ASKS: Asks = Asks { eliciting: true, ce: false, urgent: false };
    const SRTT: Duration = Duration::from_millis(12);

    /// After the first 16 packets, all acknowledged; the next number is 16.
    fn warm() -> Acks {
        let mut acks = Acks::new();
        for pn in 0..16 {
            acks.on_packet(Time(pn), pn, ASKS, SRTT);
            assert!(acks.due(Time(pn)), "one of the first 16");
            acks.write(Time(pn), &mut Vec::new());
            assert!(!acks.pending() && acks.deadline().is_none());
        }
        acks
    }

    #[test] // S-15
    fn the_tenth_packet_makes_an_ack_due() {
        let near = Duration::from_micros(300);
        let mut acks = warm();
        for pn in 16..25 {
            acks.on_packet(Time(100), pn, ASKS, near);
            assert!(!acks.due(Time(100)) && acks.pending());
        }
        acks.on_packet(Time(100), 25, ASKS, near);
        assert!(acks.due(Time(100)));
    }

    /// Numbers of the packets that made an ACK due, of `n` that came `gap` µs apart.
    fn due_at(acks: &mut Acks, n: u64, gap: u64) -> Vec<u64> {
        let mut due = Vec::new();
        for pn in 16..16 + n {
            let now = Time(pn * gap * 1_000);
            acks.on_packet(now, pn, ASKS, SRTT);
            if acks.due(now) {
                due.push(pn);
                acks.write(now, &mut Vec::new());
            }
        }
        due
    }

    #[test] // S-15
    fn a_small_window_on_a_far_path_gets_eight_acks_a_round_trip() {
        // 24 packets in a round trip of 12 ms: every third.
        let due = due_at(&mut warm(), 200, 500);
        assert!(due.windows(2).skip(20).all(|pair| pair[1] - pair[0] == 3), "{due:?}");
        // 6 in a round trip: every second, however long the timer.
        let due = due_at(&mut warm(), 50, 2_000);
        assert!(due.windows(2).skip(5).all(|pair| pair[1] - pair[0] == 2), "{due:?}");
        // 1,200: every tenth.
        let due = due_at(&mut warm(), 5_000, 10);
        assert!(due.windows(2).skip(600).all(|pair| pair[1] - pair[0] == 10), "{due:?}");
    }

    #[test] // S-15
    fn the_timer_is_a_quarter_of_srtt_within_1_and_5_ms() {
        for (srtt_us, wait_us) in [(50, 1_000), (12_000, 3_000), (600_000, 5_000)] {
            let mut acks = warm();
            acks.on_packet(Time(100), 16, ASKS, Duration::from_micros(srtt_us));
            assert_eq!(acks.deadline(), Some(Time(100 + wait_us * 1_000)), "{srtt_us} µs");
        }
    }

    #[test] // S-15
    fn gaps_marks_and_pings_make_an_ack_due_at_once() {
        for (pn, asks) in
            [(17, ASKS), (16, Asks { ce: true, ..ASKS }), (16, Asks { urgent: true, ..ASKS })]
        {
            let mut acks = warm();
            acks.on_packet(Time(100), pn, asks, SRTT);
            assert!(acks.due(Time(100)), "{pn} {asks:?}");
        }
    }

    #[test] // S-16
    fn acks_are_not_acknowledged() {
        let mut acks = warm();
        acks.on_packet(Time(100), 20, Asks::default(), SRTT);
        assert!(!acks.pending() && acks.deadline().is_none());
        assert_eq!(acks.largest(), Some(20), "but reported with the next one");
    }

    #[test]
    fn marks_and_delay_are_reported() {
        let mut acks = warm();
        acks.on_packet(Time(1_000), 16, Asks { ce: true, ..ASKS }, SRTT);
        let mut out = Vec::new();
        acks.write(Time(43_000), &mut out);
        let Some(Ok(Frame::Ack(ack))) = motet_wire::frame::Frames::new(&out).next() else {
            panic!("no ACK")
        };
        assert_eq!((ack.largest, ack.delay_us, ack.ce), (16, 42, Some(1)));
        assert_eq!(ack.ranges().collect::<Vec<_>>(), [0..=16]);
    }

    proptest! {
        #[test]
        fn ranges_name_the_newest_of_what_arrived(pns in prop::collection::vec(0u64..300, 1..300)) {
            let (mut acks, mut model) = (Acks::new(), BTreeSet::new());
            for pn in pns {
                acks.on_packet(Time(1), pn, ASKS, SRTT);
                model.insert(pn);
                let ranges: Vec<_> = acks.ranges().collect();
                prop_assert!(ranges.len() <= 33);
                prop_assert!(ranges.windows(2).all(|w| w[1].1 + 1 < w[0].0));
                let named: BTreeSet<u64> = ranges.iter().flat_map(|&(lo, hi)| lo..=hi).collect();
                // Once ranges were forgotten, what is named is all that is known from there on,
                // except holes whose low neighbours were forgotten.
                prop_assert!(named.is_subset(&model));
                if ranges.len() < 30 && model.len() < 33 {
                    prop_assert_eq!(&named, &model);
                }
                prop_assert_eq!(acks.largest(), model.last().copied());
                let (most, mut out) = (acks.encoded_len_max(), Vec::new());
                acks.write(Time(u64::MAX), &mut out);
                prop_assert!(out.len() <= most, "{} > {}", out.len(), most);
            }
        }
    }
}
