//! # Gaps: what is missing, and when to ask for it
//!
//! **Promise.** Every range put in is asked for, again and again, until it is filled or cut off.
//! A range keeps its age when it is split; a new one beside an old one has its own.
//!
//! | input | effect |
//! |---|---|
//! | a hole shows | due after the reorder delay, or when 3 later packets have arrived (T-21) |
//! | part of it is filled | the rest keeps its due time |
//! | it is asked for | due again after the retry time (T-22) |
//!
//! Used for message numbers of a stream, and for byte offsets inside a message.

use crate::Time;
use alloc::collections::BTreeMap;

/// Later packets after which a hole is no reordering (RFC 9002 §6.1.1).
const PACKETS: u64 = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Gap {
    to: u64,
    due: Time,
    born_pkt: u64,
    tries: u32,
}

impl Gap {
    fn is_due(&self, now: Time, pkt: u64) -> bool {
        self.due <= now || (self.tries == 0 && pkt.saturating_sub(self.born_pkt) >= PACKETS)
    }
}

/// What filling a range found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Filled {
    /// Numbers that were missing.
    pub count: u64,
    /// Some of them had been asked for.
    pub asked: bool,
}

/// Missing ranges, disjoint.
#[derive(Clone, Debug)]
pub struct Gaps {
    map: BTreeMap<u64, Gap>,
    /// No range is due earlier; may be too early, never too late.
    due: Time,
    /// No range never asked for is older, counted in packets.
    born_pkt: u64,
}

impl Default for Gaps {
    fn default() -> Self {
        Self { map: BTreeMap::new(), due: Time::NEVER, born_pkt: u64::MAX }
    }
}

impl Gaps {
    /// True if nothing is missing.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// How many ranges.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// True if `n` is missing.
    pub fn contains(&self, n: u64) -> bool {
        self.map.range(..=n).next_back().is_some_and(|(_, gap)| n < gap.to)
    }

    /// True if filling `from..to` would leave a range on both sides of it.
    pub fn would_split(&self, from: u64, to: u64) -> bool {
        let around = self.map.range(..from).next_back();
        around.is_some_and(|(_, gap)| gap.to > to)
    }

    /// `from..to`, which is above all ranges that are there, is missing.
    pub fn push(&mut self, from: u64, to: u64, due: Time, pkt: u64) {
        if from >= to {
            return;
        }
        self.map.insert(from, Gap { to, due, born_pkt: pkt, tries: 0 });
        self.due = self.due.min(due);
        self.born_pkt = self.born_pkt.min(pkt);
    }

    /// `from..to` is no longer missing.
    pub fn fill(&mut self, from: u64, to: u64) -> Filled {
        let mut filled = Filled::default();
        if from >= to {
            return filled;
        }
        if let Some((&start, &gap)) = self.map.range(..from).next_back()
            && gap.to > from
        {
            self.map.insert(start, Gap { to: from, ..gap });
            self.cut(gap, from, to, &mut filled);
        }
        while let Some((&start, &gap)) = self.map.range(from..to).next() {
            self.map.remove(&start);
            self.cut(gap, start, to, &mut filled);
        }
        if self.map.is_empty() {
            *self = Self { map: core::mem::take(&mut self.map), ..Self::default() };
        }
        filled
    }

    /// Counts what of `gap`, taken from `start` on, lies below `to`; puts back the rest.
    fn cut(&mut self, gap: Gap, start: u64, to: u64, filled: &mut Filled) {
        filled.count += gap.to.min(to) - start;
        filled.asked |= gap.tries > 0;
        if gap.to > to {
            self.map.insert(to, gap);
        }
    }

    /// When something is due, given how many packets have arrived.
    pub fn deadline(&self, pkt: u64) -> Option<Time> {
        if self.map.is_empty() {
            return None;
        }
        let later = self.born_pkt != u64::MAX && pkt.saturating_sub(self.born_pkt) >= PACKETS;
        Some(if later { Time::ZERO } else { self.due })
    }

    /// Until then, and until that many packets have arrived, nothing is due.
    pub fn bound(&self) -> (Time, u64) {
        if self.map.is_empty() {
            return (Time::NEVER, u64::MAX);
        }
        (self.due, self.born_pkt.saturating_add(PACKETS))
    }

    /// Names each range that is due, ascending, and puts it off by what `retry` says for the
    /// number of times it was asked for.
    pub fn ask(
        &mut self,
        now: Time,
        pkt: u64,
        retry: impl Fn(u32) -> Time,
        mut sink: impl FnMut(u64, u64),
    ) {
        if self.deadline(pkt).is_none_or(|due| due > now) {
            return;
        }
        (self.due, self.born_pkt) = (Time::NEVER, u64::MAX);
        for (from, gap) in &mut self.map {
            if gap.is_due(now, pkt) {
                sink(*from, gap.to);
                gap.due = retry(gap.tries);
                gap.tries = gap.tries.saturating_add(1);
                if crate::planted::on("nak_not_rescheduled") {
                    gap.due = Time::NEVER;
                }
            }
            self.due = self.due.min(gap.due);
            if gap.tries == 0 {
                self.born_pkt = self.born_pkt.min(gap.born_pkt);
            }
        }
    }

    /// `n`, which was filled, is missing after all.
    pub fn reopen(&mut self, n: u64, due: Time) {
        if !self.contains(n) {
            self.map.insert(n, Gap { to: n + 1, due, born_pkt: u64::MAX, tries: 1 });
            self.due = self.due.min(due);
        }
    }

    /// What of `from..to` is missing will come without being asked for: not before `until`.
    pub fn put_off(&mut self, from: u64, to: u64, until: Time) {
        let first = self.map.range(..from).next_back().map_or(from, |(start, _)| *start);
        for (_, gap) in self.map.range_mut(first..to).filter(|(_, gap)| gap.to > from) {
            gap.due = gap.due.max(until);
            gap.born_pkt = u64::MAX;
        }
    }

    /// The ranges.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.map.iter().map(|(from, gap)| (*from, gap.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    fn asked(gaps: &mut Gaps, now: Time, pkt: u64) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        gaps.ask(now, pkt, |tries| now + MS * (tries + 1), |from, to| out.push((from, to)));
        out
    }

    #[test] // T-21
    fn a_hole_is_due_after_the_reorder_delay_or_three_later_packets() {
        let mut gaps = Gaps::default();
        gaps.push(5, 8, Time::ZERO + MS, 10);

        assert_eq!(asked(&mut gaps, Time::ZERO, 12), []);
        assert_eq!(asked(&mut gaps.clone(), Time::ZERO, 13), [(5, 8)]);
        assert_eq!(asked(&mut gaps, Time::ZERO + MS, 10), [(5, 8)]);
        assert_eq!(asked(&mut gaps, Time::ZERO + MS, 99), [], "it was just asked for");
        assert_eq!(gaps.deadline(99), Some(Time::ZERO + MS * 2));
    }

    #[test] // P8, T-21
    fn a_new_hole_is_not_asked_for_together_with_an_old_one() {
        let mut gaps = Gaps::default();
        gaps.push(5, 8, Time::ZERO + MS, 10);
        gaps.push(9, 10, Time::ZERO + MS * 2, 11);

        assert_eq!(asked(&mut gaps, Time::ZERO + MS, 11), [(5, 8)]);
    }

    #[test] // L-42
    fn what_will_come_is_not_asked_for_before_it_had_the_time() {
        let mut gaps = Gaps::default();
        gaps.push(5, 8, Time::ZERO + MS, u64::MAX);
        gaps.push(9, 10, Time::ZERO + MS, u64::MAX);
        gaps.put_off(6, 9, Time::ZERO + MS * 4);
        assert_eq!(asked(&mut gaps, Time::ZERO + MS * 2, 99), [(9, 10)]);
        assert_eq!(asked(&mut gaps, Time::ZERO + MS * 4, 0), [(5, 8), (9, 10)]);
    }

    proptest! {
        #[test] // P9, T-20, T-23
        fn gaps_are_what_a_bitmap_says_and_every_one_has_a_deadline(
            ops in proptest::collection::vec((0..3u8, 0..60u64, 1..12u64), 1..80),
        ) {
            let (mut gaps, mut model, mut high) = (Gaps::default(), vec![false; 2_000], 0_u64);
            let mut now = Time::ZERO;
            for (op, at, len) in ops {
                now = now + MS / 2;
                match op {
                    0 => {
                        let from = high + at % 3;
                        gaps.push(from, from + len, now + MS, at);
                        model[from as usize..(from + len) as usize].fill(true);
                        high = from + len;
                    }
                    1 => {
                        let at = at.min(high);
                        let span = at as usize..(at + len) as usize;
                        let missing = model[span.clone()].iter().filter(|m| **m).count() as u64;
                        prop_assert_eq!(gaps.fill(at, at + len).count, missing);
                        model[span].fill(false);
                    }
                    _ => {
                        for (from, to) in asked(&mut gaps, now, at) {
                            prop_assert!(model[from as usize..to as usize].iter().all(|m| *m));
                        }
                    }
                }
                let mut seen = vec![false; 2_000];
                for (from, to) in gaps.iter() {
                    seen[from as usize..to as usize].fill(true);
                }
                prop_assert_eq!(&seen, &model);
                prop_assert_eq!(gaps.deadline(0).is_some(), !gaps.is_empty());
                let earliest = gaps.map.values().map(|gap| gap.due).min();
                prop_assert!(gaps.deadline(0) <= earliest);
            }
        }
    }
}
