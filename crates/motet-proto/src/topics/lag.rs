//! How far a stream is behind, whatever the clocks say.

use crate::time::Time;
use core::time::Duration;

/// Half of the minute over which the smallest delay is kept.
const BUCKET: Duration = Duration::from_secs(30);
/// How fast two clocks may drift apart, in µs per second: what a silent stream's smallest delay is
/// allowed to have grown by. NTP slews by at most 500 ppm (RFC 5905, appendix A.5.5.6).
const DRIFT_PPM: i128 = 500;

/// Judges how late each message of one writer's stream is: its (arrival − publishing time), less
/// the smallest such difference of the last minute. Clocks that differ by a day, or drift, do no
/// harm. P-20
#[derive(Clone, Debug)]
pub struct LagClock {
    origin_t_us: u64,
    origin_wall_us: u64,
    bucket_start: Time,
    // The smallest (arrival − t) of this bucket and of the one before it, in ns.
    current: i128,
    previous: Option<i128>,
    last: Option<Time>,
}

/// How late a message is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Lag {
    /// More than the quickest message of the last minute; that one has zero.
    pub behind: Duration,
}

impl Lag {
    /// How long ago the message was published, if the quickest one took `one_way` (half of the
    /// smallest round trip, say).
    #[inline]
    pub fn age(self, one_way: Duration) -> Duration {
        self.behind.saturating_add(one_way)
    }
}

impl LagClock {
    /// From OPEN, which arrived at `arrival` and says that the stream clock stood at `t_us` when
    /// the writer's wall clock stood at `wall_us` (µs since 1970). Its own delay is the first
    /// sample, so that old messages of a late joiner's history count as old. P-23
    pub fn new(arrival: Time, t_us: u64, wall_us: u64) -> Self {
        Self {
            origin_t_us: t_us,
            origin_wall_us: wall_us,
            bucket_start: arrival,
            current: difference(arrival, t_us),
            previous: None,
            last: None,
        }
    }

    /// The stream was opened again: forgets all, as [`new`](Self::new).
    pub fn origin(&mut self, arrival: Time, t_us: u64, wall_us: u64) {
        *self = Self::new(arrival, t_us, wall_us);
    }

    /// A message published at `t_us` of the stream clock arrived.
    #[inline]
    pub fn on_message(&mut self, arrival: Time, t_us: u64) -> Lag {
        self.last = Some(arrival);
        let this = difference(arrival, t_us);
        self.rotate(arrival, this);
        self.current = self.current.min(this);
        let smallest = self.previous.map_or(self.current, |least| least.min(self.current));
        // P-21
        let behind = u64::try_from(this - smallest).unwrap_or(u64::MAX);
        Lag { behind: Duration::from_nanos(behind) }
    }

    /// When the last message arrived, if one did since the stream was opened.
    pub fn last(&self) -> Option<Time> {
        self.last
    }

    /// Wall time of publishing, in µs since 1970 by the writer's clock. P-24
    #[inline]
    pub fn published_us(&self, t_us: u64) -> u64 {
        if t_us >= self.origin_t_us {
            self.origin_wall_us.saturating_add(t_us - self.origin_t_us)
        } else {
            self.origin_wall_us.saturating_sub(self.origin_t_us - t_us)
        }
    }

    #[inline]
    fn rotate(&mut self, now: Time, this: i128) {
        let elapsed = now.since(self.bucket_start);
        if elapsed < BUCKET {
            return;
        }
        let mut smallest = self.current;
        if elapsed < BUCKET * 2 {
            self.bucket_start = self.bucket_start + BUCKET;
        } else {
            // Silent for long: what was known stands for one more bucket, as far as the clocks
            // cannot have drifted. Else whatever comes first after a cut counted as fresh. P-22
            smallest += i128::from(now.0 - self.bucket_start.0) * DRIFT_PPM / 1_000_000;
            self.bucket_start = now;
        }
        self.previous = Some(smallest);
        self.current = this;
    }
}

/// Arrival − t in ns, by two clocks that have nothing in common.
#[inline]
fn difference(arrival: Time, t_us: u64) -> i128 {
    i128::from(arrival.0) - i128::from(t_us) * 1_000
}
