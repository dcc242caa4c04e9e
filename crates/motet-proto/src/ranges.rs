//! A set of numbers kept as disjoint half-open ranges.
//!
//! Sorted in one `Vec`: sets here have few ranges (bounded by their users), mostly grow at the end
//! and shrink at the front, and then neither allocate nor move much.

use alloc::vec::Vec;

/// Numbers, as ascending, disjoint, non-adjacent, non-empty ranges `from..to`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RangeSet {
    ranges: Vec<(u64, u64)>,
}

impl RangeSet {
    /// No numbers.
    pub const fn new() -> Self {
        Self { ranges: Vec::new() }
    }

    /// True if no number is in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many ranges it has.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// How many numbers it has.
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|(from, to)| to - from).sum()
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().copied()
    }

    /// The lowest range.
    pub fn first(&self) -> Option<(u64, u64)> {
        self.ranges.first().copied()
    }

    /// The highest range.
    pub fn last(&self) -> Option<(u64, u64)> {
        self.ranges.last().copied()
    }

    /// True if `n` is in it.
    pub fn contains(&self, n: u64) -> bool {
        self.range_at(n).is_some()
    }

    /// The range that holds `n`.
    pub fn range_at(&self, n: u64) -> Option<(u64, u64)> {
        let range = self.ranges.get(self.index_after(n)).copied()?;
        (range.0 <= n).then_some(range)
    }

    /// How many ranges the set has after `insert(from, to)`.
    pub fn len_after_insert(&self, from: u64, to: u64) -> usize {
        if from >= to {
            return self.ranges.len();
        }
        let (lo, hi) = self.touching(from, to);
        self.ranges.len() - (hi - lo) + 1
    }

    /// Adds `from..to`; how many numbers are new.
    pub fn insert(&mut self, from: u64, to: u64) -> u64 {
        if from >= to {
            return 0;
        }
        let (lo, hi) = self.touching(from, to);
        let Some(old) = self.ranges.get(lo..hi).filter(|old| !old.is_empty()) else {
            self.ranges.insert(lo, (from, to));
            return to - from;
        };
        let held: u64 = old.iter().map(|(a, b)| b.min(&to).saturating_sub(*a.max(&from))).sum();
        let start = old.first().map_or(from, |(a, _)| from.min(*a));
        let end = old.last().map_or(to, |(_, b)| to.max(*b));
        self.ranges.drain(lo + 1..hi);
        if let Some(range) = self.ranges.get_mut(lo) {
            *range = (start, end);
        }
        (to - from) - held
    }

    /// Removes `from..to`; how many numbers were there.
    pub fn remove(&mut self, from: u64, to: u64) -> u64 {
        if from >= to {
            return 0;
        }
        let (lo, hi) = (self.index_after(from), self.ranges.partition_point(|(a, _)| *a < to));
        let Some(old) = self.ranges.get(lo..hi).filter(|old| !old.is_empty()) else { return 0 };
        let held: u64 = old.iter().map(|(a, b)| b.min(&to) - a.max(&from)).sum();
        let left = old.first().and_then(|(a, _)| (*a < from).then_some((*a, from)));
        let right = old.last().and_then(|(_, b)| (*b > to).then_some((to, *b)));
        self.ranges.splice(lo..hi, left.into_iter().chain(right));
        held
    }

    /// Removes and returns the lowest range, at most `max` numbers of it.
    pub fn pop_first(&mut self, max: u64) -> Option<(u64, u64)> {
        let (from, to) = self.first()?;
        let to = to.min(from.saturating_add(max));
        self.remove(from, to);
        Some((from, to))
    }

    /// The parts of `from..to` that are in the set.
    pub fn intersect(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let tail = self.ranges.get(self.index_after(from)..).unwrap_or_default();
        tail.iter()
            .take_while(move |(a, _)| *a < to)
            .map(move |(a, b)| (*a.max(&from), *b.min(&to)))
            .filter(|(a, b)| a < b)
    }

    /// The parts of `from..to` that are not in the set.
    pub fn missing(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut at = from;
        let ends = self.intersect(from, to).chain(core::iter::once((to, to)));
        ends.filter_map(move |(a, b)| {
            let hole = (at, a);
            at = b.max(at);
            (hole.0 < hole.1).then_some(hole)
        })
    }

    /// Forgets all numbers; keeps the memory.
    pub fn clear(&mut self) {
        self.ranges.clear();
    }

    /// The first range that ends above `n`.
    fn index_after(&self, n: u64) -> usize {
        self.ranges.partition_point(|(_, b)| *b <= n)
    }

    /// The ranges that overlap `from..to` or stand right beside it.
    fn touching(&self, from: u64, to: u64) -> (usize, usize) {
        let lo = self.ranges.partition_point(|(_, b)| *b < from);
        (lo, self.ranges.partition_point(|(a, _)| *a <= to).max(lo))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges_of(model: &[bool]) -> Vec<(u64, u64)> {
        let mut out: Vec<(u64, u64)> = Vec::new();
        for (n, held) in model.iter().enumerate().filter(|(_, held)| **held) {
            let n = n as u64;
            assert!(held);
            match out.last_mut() {
                Some(last) if last.1 == n => last.1 += 1,
                _ => out.push((n, n + 1)),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn a_range_set_does_what_a_bitmap_does(
            ops in proptest::collection::vec((0..4u8, 0..64u64, 0..20u64), 1..60),
        ) {
            let (mut set, mut model) = (RangeSet::new(), vec![false; 100]);
            for (op, from, len) in ops {
                let (to, span) = (from + len, from as usize..(from + len) as usize);
                let held = model[span.clone()].iter().filter(|held| **held).count() as u64;
                match op {
                    0 | 1 => {
                        let len_after = set.len_after_insert(from, to);
                        prop_assert_eq!(set.insert(from, to), len - held);
                        prop_assert_eq!(set.len(), len_after);
                        model[span].fill(true);
                    }
                    2 => {
                        prop_assert_eq!(set.remove(from, to), held);
                        model[span].fill(false);
                    }
                    _ => {
                        prop_assert_eq!(set.intersect(from, to).map(|(a, b)| b - a).sum::<u64>(), held);
                        let missing: u64 = set.missing(from, to).map(|(a, b)| b - a).sum();
                        prop_assert_eq!(missing, len - held);
                    }
                }
                prop_assert_eq!(set.iter().collect::<Vec<_>>(), ranges_of(&model));
                for n in 0..100 {
                    prop_assert_eq!(set.contains(n), model[n as usize]);
                }
            }
        }
    }

    #[test]
    fn the_largest_numbers_do_not_wrap() {
        let mut set = RangeSet::new();
        set.insert(u64::MAX - 1, u64::MAX);
        assert_eq!(set.pop_first(u64::MAX), Some((u64::MAX - 1, u64::MAX)));
        assert_eq!(set.remove(0, u64::MAX), 0);
    }
}
