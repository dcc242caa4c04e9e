//! Which packet numbers a session has taken, so that a repeated datagram is taken once.
//!
//! RFC 6479's shape: a ring of 64-bit words that moves on by clearing whole words, never by
//! shifting. One word more than the window needs keeps the window exact.
//!
//! **Bounds.** 1,032 bytes, allocated with the first packet. Numbers at or below
//! `largest − 8,192` are never fresh.

use alloc::boxed::Box;

/// How many packet numbers below the largest are still told apart.
pub const WINDOW: u64 = 8_192;

const WORDS: usize = (WINDOW / 64) as usize + 1;

/// A sliding window over packet numbers. Both methods are for authenticated packets only: a forged
/// number must not move the window.
#[derive(Default, Debug)]
pub struct Window {
    seen: Option<Box<[u64; WORDS]>>,
    largest: u64,
}

impl Window {
    /// Nothing seen.
    pub fn new() -> Self {
        Self::default()
    }

    /// True if `pn` is neither taken nor too old to tell.
    pub fn check(&self, pn: u64) -> bool {
        if crate::planted::on("replay_unchecked") {
            return true;
        }
        let Some(seen) = &self.seen else { return true };
        if pn > self.largest {
            return true;
        }
        let slip = u64::from(crate::planted::on("replay_off_by_one"));
        if self.largest - pn >= WINDOW + slip {
            return false;
        }
        let (word, bit) = place(pn);
        seen.get(word).is_some_and(|w| w & bit == 0)
    }

    /// Takes `pn`. Does nothing if [`check`](Self::check) would be false.
    pub fn mark(&mut self, pn: u64) {
        if !self.check(pn) {
            return;
        }
        let seen = self.seen.get_or_insert_with(|| {
            self.largest = pn;
            Box::new([0; WORDS])
        });
        if pn > self.largest {
            let (from, to) = (self.largest / 64, pn / 64);
            let steps = (to - from).min(WORDS as u64);
            for step in 0..steps {
                if let Some(w) = seen.get_mut(((to - step) % WORDS as u64) as usize) {
                    *w = 0;
                }
            }
            self.largest = pn;
        }
        let (word, bit) = place(pn);
        if let Some(w) = seen.get_mut(word) {
            *w |= bit;
        }
    }
}

fn place(pn: u64) -> (usize, u64) {
    ((pn / 64 % WORDS as u64) as usize, 1 << (pn % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test] // S-11
    fn the_window_reaches_exactly_8192_numbers_back() {
        let mut w = Window::new();
        w.mark(WINDOW + 100);
        assert!(w.check(101) && !w.check(100));
        assert!(!w.check(WINDOW + 100) && w.check(u64::MAX));
        w.mark(u64::MAX);
        assert!(!w.check(u64::MAX) && w.check(u64::MAX - 1) && !w.check(WINDOW + 100));
    }

    #[test]
    fn the_bitmap_waits_for_the_first_packet() {
        assert!(Window::new().seen.is_none());
    }

    proptest! {
        #[test] // S-11
        fn a_number_is_taken_once(
            start in 0u64..20_000,
            steps in prop::collection::vec((-9_000i64..1_000, prop::bool::weighted(0.02)), 1..400),
        ) {
            let (mut w, mut model, mut largest) = (Window::new(), BTreeSet::new(), start);
            for (step, leap) in steps {
                let step = if leap { step * 50 } else { step };
                let pn = largest.saturating_add_signed(step);
                let first = model.is_empty();
                let fresh = first || pn > largest || (largest - pn < WINDOW && !model.contains(&pn));
                prop_assert_eq!(w.check(pn), fresh, "{} with largest {}", pn, largest);
                w.mark(pn);
                if fresh {
                    model.insert(pn);
                    largest = if first { pn } else { largest.max(pn) };
                }
                prop_assert!(!w.check(pn));
            }
        }
    }
}
