//! When a reader of a lane asks for what it misses: late enough that one or two ask for all.
//!
//! RFC 5401 §3.2.2: `d = (T / L) · ln(1 + U·(e^L − 1))` with L = ln(readers) + 1, so that few draws
//! are early and most are near T. T is 2·L round trips of the group: an answer to the first two
//! reaches the others while hardly any of them has asked (L-41; why not a fixed number of round
//! trips: ADR 15).

use core::time::Duration;

/// Bounds of T.
const SPAN: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(500));

/// The wait's distribution for a group.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// T: no wait is longer.
    pub span: Duration,
    l: f64,
    top: f64,
}

impl Backoff {
    /// For a group of so many readers whose largest round trip is `grtt`.
    pub fn new(readers: u64, grtt: Duration) -> Self {
        let l = libm::log(readers.clamp(1, 1 << 40) as f64) + 1.0;
        let span = grtt.min(SPAN.1).mul_f64(2.0 * l).clamp(SPAN.0, SPAN.1);
        Self { span, l, top: libm::expm1(l) }
    }

    /// The wait for a `u` drawn evenly from 0 to 1.
    pub fn wait(&self, u: f64) -> Duration {
        if crate::planted::on("lane_no_backoff") {
            return Duration::ZERO;
        }
        self.span.mul_f64((libm::log1p(u * self.top) / self.l).clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test] // L-41
    fn most_wait_long_and_a_few_of_a_thousand_do_not() {
        let grtt = Duration::from_millis(2);
        let backoff = Backoff::new(1_000, grtt);
        let mut rng = Rng::new([3; 32]);
        let mut early = 0;
        for _ in 0..100 {
            let mut waits: Vec<Duration> = (0..1_000).map(|_| backoff.wait(rng.unit())).collect();
            waits.sort();
            assert!(waits[999] <= backoff.span);
            assert!(waits[500] > backoff.span / 2);
            // Who asks before the answer to the second question has come around.
            early += waits.iter().filter(|wait| **wait < waits[1] + grtt).count();
        }
        assert!(early < 500, "{early} questions of 100 losses");
    }

    #[test] // L-41
    fn one_reader_waits_two_round_trips_at_most() {
        let backoff = Backoff::new(1, Duration::from_millis(10));
        assert_eq!(backoff.span, Duration::from_millis(20));
        assert_eq!((backoff.wait(0.0), backoff.wait(1.0)), (Duration::ZERO, backoff.span));
        assert_eq!(Backoff::new(8, Duration::ZERO).span, SPAN.0);
    }
}
