//! Rates in virtual time.

use crate::Time;
use alloc::collections::VecDeque;
use core::time::Duration;

/// A token bucket: `burst` tokens, one more every `every`. It holds one instant instead of a count,
/// so nothing has to be topped up.
#[derive(Debug)]
pub(super) struct Bucket {
    burst: u32,
    every: Duration,
    /// When the bucket is full again.
    full: Time,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(burst: u32, every: Duration) -> Self {
        Self { burst, every, full: Time::ZERO }
    }

    /// Takes a token if there is one.
    pub(super) fn take(&mut self, now: Time) -> bool {
        let there = self.next() <= now;
        if there {
            self.full = self.full.max(now) + self.every;
        }
        there
    }

    /// Takes the next token, now or in advance: from when on it holds.
    pub(super) fn reserve(&mut self, now: Time) -> Time {
        let at = self.next().max(now);
        self.full = self.full.max(now) + self.every;
        at
    }

    /// When the next token is there (in the past, if one is).
    pub(super) fn next(&self) -> Time {
        self.full - self.every * self.burst.saturating_sub(1)
    }
}

/// At most `max` in any second. Unlike a bucket, a burst and the refill after it never add up.
#[derive(Debug)]
pub(super) struct PerSecond {
    max: usize,
    taken: VecDeque<Time>,
}

impl PerSecond {
    pub(super) fn new(max: usize) -> Self {
        Self { max, taken: VecDeque::with_capacity(max) }
    }

    pub(super) fn take(&mut self, now: Time) -> bool {
        if self.next() > now {
            return false;
        }
        if self.taken.len() == self.max {
            self.taken.pop_front();
        }
        self.taken.push_back(now);
        true
    }

    /// When the next one may go.
    pub(super) fn next(&self) -> Time {
        match self.taken.front() {
            Some(first) if self.taken.len() == self.max => *first + Duration::from_secs(1),
            _ => Time::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::new(5, 200 * MS);
        let at = |ms| Time::ZERO + MS * ms;

        let burst = (0..10).filter(|_| bucket.take(at(1000))).count();
        let second = (1..=1000).filter(|ms| bucket.take(at(1000 + ms))).count();

        assert_eq!((burst, second), (5, 5));
    }

    #[test]
    fn a_bucket_left_alone_fills_to_its_burst_and_no_further() {
        let mut bucket = Bucket::new(3, 10 * MS);
        assert!(bucket.take(Time::ZERO));

        let later = Time::ZERO + Duration::from_secs(3600);

        assert_eq!((0..10).filter(|_| bucket.take(later)).count(), 3);
    }

    #[test]
    fn what_is_reserved_of_a_bucket_comes_at_its_rate() {
        let mut bucket = Bucket::new(3, 10 * MS);
        let now = Time::ZERO + Duration::from_secs(1);
        let waits = [0; 6].map(|_| bucket.reserve(now).since(now).as_millis());
        assert_eq!(waits, [0, 0, 0, 10, 20, 30]);
    }

    #[test]
    fn no_second_holds_more_than_its_number() {
        let mut window = PerSecond::new(50);
        let taken: Vec<u64> =
            (0..5000).filter(|ms| window.take(Time::ZERO + MS * *ms)).map(u64::from).collect();

        for start in &taken {
            let within = taken.iter().filter(|at| (*start..start + 1000).contains(at)).count();
            assert!(within <= 50);
        }
        assert!(taken.len() >= 240);
    }
}
