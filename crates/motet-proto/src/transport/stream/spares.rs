//! Memory of large messages that nobody reads any more, for those that come next: new memory of
//! that size is made by page faults, which cost more than what is done with it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;

/// Smaller messages are left to the allocator, larger ones are too rare.
const WORTH: core::ops::RangeInclusive<usize> = 32 << 10..=4 << 20;
/// Bytes kept at most. What somebody else holds as well, a log say, costs nothing more.
const KEPT_MAX: usize = 64 << 20;
/// How many of the free ones are looked at.
const LOOKED_AT: usize = 8;
/// When the oldest was found held so often, it goes to the end.
const PATIENCE: u32 = 4;

/// Handed-out messages, about the oldest first; and those of them that only we hold, the last to
/// become so at the end: it is the likeliest to be near the processor.
#[derive(Clone, Debug, Default)]
pub(super) struct Spares {
    kept: VecDeque<Bytes>,
    free: Vec<Bytes>,
    refused: u32,
    bytes: usize,
    used: bool,
}

impl Spares {
    /// Remembers a message that is handed out.
    pub(super) fn keep(&mut self, body: &Bytes) {
        if !WORTH.contains(&body.len()) {
            return;
        }
        self.used = true;
        self.bytes += body.len();
        self.kept.push_back(body.clone());
        while self.bytes > KEPT_MAX {
            self.drop_oldest();
        }
    }

    /// Empty, with room for a message of `total` bytes, and not for more than twice that.
    pub(super) fn take(&mut self, total: u64) -> Option<Vec<u8>> {
        self.sweep();
        let fits = |body: &Bytes| (total..=2 * total).contains(&(body.len() as u64));
        let back = self.free.iter().rev().take(LOOKED_AT).position(fits)?;
        let mut body = self.free.remove(self.free.len() - 1 - back);
        self.used = true;
        self.bytes -= body.len();
        body.clear(); // else it is moved along
        Some(body.into())
    }

    /// Finds those that nobody else holds any more.
    fn sweep(&mut self) {
        while let Some(oldest) = self.kept.front() {
            if !oldest.is_unique() {
                self.refused += 1;
                if self.refused >= PATIENCE {
                    self.refused = 0;
                    self.kept.rotate_left(1);
                }
                return;
            }
            self.refused = 0;
            self.free.extend(self.kept.pop_front());
        }
    }

    /// Gives all back if nothing was kept or taken since the last call.
    pub(super) fn tidy(&mut self) {
        if !core::mem::take(&mut self.used) {
            *self = Self::default();
        }
    }

    fn drop_oldest(&mut self) {
        let oldest = if self.free.is_empty() {
            self.kept.pop_front()
        } else {
            Some(self.free.remove(0)) // few, and only beyond the bound
        };
        self.bytes -= oldest.map_or(0, |body| body.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(len: usize) -> Bytes {
        alloc::vec![1; len].into()
    }

    #[test]
    fn memory_is_used_again_once_nobody_else_holds_it() {
        let mut spares = Spares::default();
        let message = body(1 << 20);
        let place = message.as_ptr();
        spares.keep(&message);
        assert_eq!(spares.take(1 << 20), None, "it is still being read");
        drop(message);
        assert_eq!(spares.take(100_000), None, "too large for that");
        (0..4).for_each(|_| spares.keep(&body(40_000)));
        let spare = spares.take(1_000_000).unwrap();
        assert_eq!((spare.as_ptr(), spare.len(), spare.capacity()), (place, 0, 1 << 20));
        assert_eq!((spares.take(1_000_000), spares.bytes), (None, 4 * 40_000));
    }

    #[test]
    fn no_more_is_kept_than_the_bound_and_nothing_for_long() {
        let mut spares = Spares::default();
        (0..100).for_each(|_| spares.keep(&body(1 << 20)));
        assert_eq!((spares.bytes, spares.kept.len()), (64 << 20, 64));
        spares.keep(&body(10));
        spares.keep(&body(5 << 20));
        assert_eq!(spares.kept.len(), 64);
        spares.tidy();
        assert_eq!(spares.kept.len(), 64, "used since the last time");
        spares.tidy();
        assert_eq!((spares.bytes, spares.kept.len()), (0, 0));
    }
}
