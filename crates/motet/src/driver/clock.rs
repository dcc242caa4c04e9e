//! The node's time, from the kernel's monotonic clock.

use std::time::Duration;

use motet_proto::Time;

/// Nanoseconds since the endpoint was opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: motet_net::monotonic_now() }
    }

    pub(crate) fn now(self) -> Time {
        let since = motet_net::monotonic_now().saturating_sub(self.start);
        Time(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The same moment on the kernel's clock.
    pub(crate) fn kernel(self, at: Time) -> Duration {
        self.start.saturating_add(Duration::from_nanos(at.0))
    }
}

/// Notices when the wall clock and the monotonic clock drift apart: it was set, or the machine
/// slept.
#[derive(Debug)]
pub(crate) struct WallWatch {
    looked: Time,
    offset_ms: u64,
}

impl WallWatch {
    pub(crate) fn new(now: Time) -> Self {
        Self { looked: now, offset_ms: Self::offset(now) }
    }

    /// The wall clock in ms, if it jumped by more than a second. Looks once a second at most.
    pub(crate) fn jumped(&mut self, now: Time) -> Option<u64> {
        if now.since(self.looked) < LOOK_EVERY {
            return None;
        }
        self.looked = now;
        let offset = Self::offset(now);
        if offset.abs_diff(self.offset_ms) <= JUMP_MS {
            return None;
        }
        self.offset_ms = offset;
        Some(motet_net::wall_ms())
    }

    fn offset(now: Time) -> u64 {
        motet_net::wall_ms().wrapping_sub(now.0 / 1_000_000)
    }
}

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Less is drift and rounding.
const JUMP_MS: u64 = 1_000;
