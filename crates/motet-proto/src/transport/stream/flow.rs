//! The window that a reader grants, and when it says so (STATUS): T-30, T-31, T-32.

use super::{RttView, WINDOW_AUTO_MAX, WINDOW_INITIAL};
use crate::Time;
use core::time::Duration;

/// A STATUS leaves this long after it is first needed, so that many deliveries share one.
const DELAY: Duration = Duration::from_millis(5);
/// A reopened window is told so often, until data comes.
const REOPEN_MAX: u32 = 5;
/// Shorter round trips do not count as such for growing: a driver wakes no more often.
const ROUND_MIN: Duration = Duration::from_millis(1);
/// A window that the writer calls too small grows at most so often.
const GROW_AFTER: Duration = Duration::from_millis(5);

/// So many bytes are delivered before a STATUS says so: what the writer keeps of them stays near its
/// processor.
const FRESH_MAX: u64 = 512 << 10;

#[derive(Clone, Debug)]
pub(super) struct Flow {
    /// Bytes delivered, counted as windows count.
    consumed: u64,
    /// The same, since the last STATUS.
    fresh: u64,
    /// Granted up to here, on the scale of `consumed`; never falls.
    edge: u64,
    /// What is granted at most.
    auto: u64,
    tuned_at: Time,
    tuned_pos: u64,
    grown_at: Time,
    told: u64,
    due: Option<Time>,
    dirty: bool,
    reopened: u32,
    /// A lane brings the data: STATUS comes so far apart, that many readers do not drown the writer.
    pace: Option<Duration>,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self {
            consumed: 0,
            fresh: 0,
            edge: 0,
            auto: WINDOW_INITIAL,
            tuned_at: Time::ZERO,
            tuned_pos: 0,
            grown_at: Time::ZERO,
            told: WINDOW_INITIAL,
            due: None,
            dirty: false,
            reopened: 0,
            pace: None,
        }
    }

    /// By lane: STATUS after this time, or when less than a quarter of the window is left (L-21).
    pub(super) fn set_pace(&mut self, pace: Option<Duration>) {
        self.pace = pace;
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.due
    }

    pub(super) fn dirty(&self) -> bool {
        self.dirty
    }

    /// Data came: the writer knows of the open window.
    pub(super) fn arrived(&mut self) {
        self.reopened = 0;
    }

    /// The writer says that the window stops it. While losses are mended a window lasts longer than
    /// two round trips, so that the time it takes does not show that it is the limit.
    pub(super) fn limited(&mut self, now: Time) {
        if now.since(self.grown_at) >= GROW_AFTER {
            self.auto = (self.auto * 2).min(WINDOW_AUTO_MAX);
            self.grown_at = now;
            self.urge(now);
        }
    }

    /// `held` bytes wait for what was lost. When that is half the window, the window would stop the
    /// writer before the loss is mended: it is too small for this path.
    pub(super) fn crowded(&mut self, now: Time, rtt: &RttView, held: u64) {
        if held >= self.auto / 2
            && self.auto < WINDOW_AUTO_MAX
            && now.since(self.grown_at) >= rtt.srtt.max(GROW_AFTER)
        {
            self.auto = (self.auto * 2).min(WINDOW_AUTO_MAX);
            self.grown_at = now;
            self.urge(now);
        }
    }

    /// Something new would be said.
    pub(super) fn touch(&mut self, now: Time) {
        self.dirty = true;
        let at = now + self.pace.unwrap_or(DELAY);
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// A STATUS must leave now.
    pub(super) fn urge(&mut self, now: Time) {
        self.dirty = true;
        self.due = Some(self.due.map_or(now, |due| due.min(now)));
    }

    /// A message that counts `cost` was delivered.
    #[inline]
    pub(super) fn consume(&mut self, now: Time, cost: u64) {
        self.consumed += cost;
        self.fresh += cost;
        let quarter = self.told / 4;
        let share = if self.pace.is_some() { quarter * 3 } else { quarter.min(FRESH_MAX) };
        if self.fresh > share { self.urge(now) } else { self.touch(now) }
    }

    /// The subscriber's queue has `free` bytes; `off` bytes of the next message are here.
    pub(super) fn on_room(&mut self, now: Time, free: u64, off: u64) {
        let left = self.edge.saturating_sub(self.consumed + off);
        let could = self.auto.min(free);
        if (left == 0 && could > 0) || could > left + self.auto / 4 {
            self.urge(now);
        }
    }

    /// The window to grant now.
    pub(super) fn grant(&mut self, now: Time, rtt: &RttView, free: u64, off: u64) -> u64 {
        let pos = self.consumed + off;
        if pos - self.tuned_pos.min(pos) >= self.auto {
            // A whole window went by within two round trips: it was the limit.
            if now.since(self.tuned_at) <= rtt.srtt.max(ROUND_MIN) * 2 {
                self.auto = (self.auto * 2).min(WINDOW_AUTO_MAX);
            }
            (self.tuned_at, self.tuned_pos) = (now, pos);
        }
        self.edge = self.edge.max(pos + self.auto.min(free));
        let window = self.edge - pos;
        if self.told == 0 && window > 0 {
            self.reopened = REOPEN_MAX;
        }
        (self.told, self.fresh, self.dirty, self.due) = (window, 0, false, None);
        if let Some(left) = self.reopened.checked_sub(1) {
            self.reopened = left;
            if left > 0 {
                self.due = Some(now + rtt.srtt.max(ROUND_MIN) * (1 << (REOPEN_MAX - 1 - left)));
            }
        }
        window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn rtt() -> RttView {
        RttView { srtt: MS * 10, var: MS }
    }

    #[test] // T-31
    fn a_window_that_limits_for_a_round_trip_doubles_and_a_slow_one_stays() {
        let mut flow = Flow::new();
        let mut now = Time::ZERO;
        assert_eq!(flow.grant(now, &rtt(), u64::MAX, 0), WINDOW_INITIAL);
        now = now + MS * 15;
        flow.consume(now, WINDOW_INITIAL);
        assert_eq!(flow.grant(now, &rtt(), u64::MAX, 0), WINDOW_INITIAL * 2);
        now = now + MS * 1_000;
        flow.consume(now, WINDOW_INITIAL * 2);
        assert_eq!(flow.grant(now, &rtt(), u64::MAX, 0), WINDOW_INITIAL * 2);
    }

    #[test] // T-31
    fn a_window_that_the_writer_calls_too_small_doubles_however_long_it_took() {
        let mut flow = Flow::new();
        let now = Time::ZERO + MS * 1_000;
        flow.limited(now);
        flow.limited(now + MS);
        assert_eq!(flow.deadline(), Some(now), "it is told at once");
        assert_eq!(flow.grant(now, &rtt(), u64::MAX, 0), WINDOW_INITIAL * 2);
        assert_eq!(flow.grant(now, &rtt(), 1_000, 0), WINDOW_INITIAL * 2, "never taken back");
    }

    #[test] // T-31
    fn a_window_half_full_of_what_waits_for_a_repair_doubles_once_a_round_trip() {
        let mut flow = Flow::new();
        let now = Time::ZERO + MS * 1_000;
        flow.crowded(now, &rtt(), WINDOW_INITIAL / 2 - 1);
        assert_eq!(flow.deadline(), None);
        flow.crowded(now, &rtt(), WINDOW_INITIAL / 2);
        assert_eq!(flow.deadline(), Some(now), "it is told at once");
        flow.crowded(now + MS * 9, &rtt(), WINDOW_INITIAL);
        assert_eq!(flow.grant(now + MS * 9, &rtt(), u64::MAX, 0), WINDOW_INITIAL * 2);
        flow.crowded(now + MS * 10, &rtt(), WINDOW_INITIAL);
        assert_eq!(flow.grant(now + MS * 10, &rtt(), u64::MAX, 0), WINDOW_INITIAL * 4);
    }

    #[test] // T-31
    fn what_was_granted_is_never_taken_back() {
        let mut flow = Flow::new();
        assert_eq!(flow.grant(Time::ZERO, &rtt(), 1_000, 0), 1_000);
        flow.consume(Time::ZERO, 400);
        assert_eq!(flow.grant(Time::ZERO, &rtt(), 0, 0), 600);
        flow.consume(Time::ZERO, 600);
        assert_eq!(flow.grant(Time::ZERO, &rtt(), 0, 0), 0);
    }

    #[test] // P16, T-32
    fn a_reopened_window_is_told_five_times_or_until_data_comes() {
        let mut flow = Flow::new();
        flow.grant(Time::ZERO, &rtt(), 0, 0);
        flow.on_room(Time::ZERO, 10_000, 0);
        let mut told = Vec::new();
        while let Some(due) = flow.deadline() {
            told.push(due.0 / 1_000_000);
            flow.grant(due, &rtt(), 10_000, 0);
        }
        assert_eq!(told, [0, 10, 30, 70, 150]);

        flow.consume(Time::ZERO, 10_000);
        flow.grant(Time::ZERO, &rtt(), 0, 0);
        flow.grant(Time::ZERO, &rtt(), 10_000, 0);
        flow.arrived();
        flow.grant(Time::ZERO, &rtt(), 10_000, 0);
        assert_eq!(flow.deadline(), None);
    }

    #[test] // T-30
    fn a_status_waits_5_ms_unless_a_quarter_of_the_window_was_taken() {
        let mut flow = Flow::new();
        flow.grant(Time::ZERO, &rtt(), u64::MAX, 0);
        flow.consume(Time::ZERO, 64);
        assert_eq!(flow.deadline(), Some(Time::ZERO + MS * 5));
        flow.consume(Time::ZERO + MS, WINDOW_INITIAL / 4);
        assert_eq!(flow.deadline(), Some(Time::ZERO + MS));
    }
}
