//! Is a lane cheaper than packets of each reader's own? Asked once a second, with hysteresis (L-10).

use crate::Time;
use crate::config::LanePolicy;
use core::time::Duration;

/// How much dearer a multicast packet is on Wi-Fi: it goes at a basic rate (RFC 9119 §3.1.2).
const WIFI_WEIGHT: f64 = 20.0;
/// Fewer readers are served by their sessions.
const READERS_UP: usize = 3;
/// A lane with fewer ends.
const READERS_DOWN: usize = 2;
/// So long it must have been cheaper.
const UP_AFTER: Duration = Duration::from_secs(3);
/// And so long not, before it ends.
const DOWN_AFTER: Duration = Duration::from_secs(5);

/// What is known when it is decided.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// The publication's wish.
    pub policy: LanePolicy,
    /// Readers reachable on the interface.
    pub readers: usize,
    /// Bytes published per second, and how many a lane begins with.
    pub rate: u64,
    /// See `rate`.
    pub enough: u64,
    /// Loss on the lane, parts per million.
    pub loss_ppm: u64,
    /// The interface is Wi-Fi.
    pub wifi: bool,
    /// There is a lane.
    pub up: bool,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing.
    Stay,
    /// Begin a lane.
    Up,
    /// End it.
    Down,
}

/// Why there is no lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Against {
    /// The policy.
    Policy,
    /// Too few readers.
    Readers,
    /// Too little to send.
    Rate,
    /// Wi-Fi.
    Wifi,
    /// Nothing but time.
    Time,
}

/// One stream on one interface.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decider {
    up_since: Option<Time>,
    down_since: Option<Time>,
}

impl Situation {
    /// The lane's cost over that of sessions.
    fn ratio(&self) -> f64 {
        let weight = if self.wifi { WIFI_WEIGHT } else { 1.0 };
        let loss = self.loss_ppm.min(1_000_000) as f64 / 1e6;
        (1.0 + 2.0 * loss) * weight / self.readers.max(1) as f64
    }

    /// What speaks against a lane first.
    pub fn against(&self) -> Against {
        match self.policy {
            LanePolicy::Never => Against::Policy,
            LanePolicy::Always => Against::Time,
            LanePolicy::Auto if self.readers < READERS_UP => Against::Readers,
            LanePolicy::Auto if self.rate < self.enough => Against::Rate,
            LanePolicy::Auto if self.ratio() >= 0.5 && self.wifi => Against::Wifi,
            LanePolicy::Auto => Against::Time,
        }
    }
}

impl Decider {
    /// Looks at the situation; call about once a second.
    pub fn judge(&mut self, now: Time, at: &Situation) -> Step {
        match at.policy {
            LanePolicy::Never => return if at.up { Step::Down } else { Step::Stay },
            LanePolicy::Always => {
                return match (at.up, at.readers) {
                    (false, 1..) => Step::Up,
                    (true, 0) => Step::Down,
                    _ => Step::Stay,
                };
            }
            LanePolicy::Auto => {}
        }
        if at.up {
            self.up_since = None;
            let dear = at.readers < READERS_DOWN || at.ratio() > 0.8;
            if !dear {
                self.down_since = None;
            } else if now.since(*self.down_since.get_or_insert(now)) >= DOWN_AFTER {
                self.down_since = None;
                return Step::Down;
            }
        } else {
            self.down_since = None;
            let good = at.readers >= READERS_UP && at.ratio() < 0.5 && at.rate >= at.enough;
            if !good {
                self.up_since = None;
            } else if now.since(*self.up_since.get_or_insert(now)) >= UP_AFTER {
                self.up_since = None;
                return Step::Up;
            }
        }
        Step::Stay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: Situation = Situation {
        policy: LanePolicy::Auto,
        readers: 3,
        rate: 20_000,
        enough: 20_000,
        loss_ppm: 0,
        wifi: false,
        up: false,
    };

    /// After how many seconds the decider moves, if it does within a minute.
    fn moves(at: Situation) -> Option<(u64, Step)> {
        let mut decider = Decider::default();
        (0..60).find_map(|second| {
            let step = decider.judge(Time(second * 1_000_000_000), &at);
            (step != Step::Stay).then_some((second, step))
        })
    }

    #[test] // L-10
    fn a_lane_begins_after_three_seconds_of_three_readers_and_20_kb_per_second() {
        assert_eq!(moves(BUSY), Some((3, Step::Up)));
        assert_eq!(moves(Situation { readers: 2, ..BUSY }), None);
        assert_eq!(moves(Situation { rate: 19_999, ..BUSY }), None);
        assert_eq!(moves(Situation { policy: LanePolicy::Never, ..BUSY }), None);
        let always = Situation { policy: LanePolicy::Always, readers: 1, rate: 0, ..BUSY };
        assert_eq!(moves(always), Some((0, Step::Up)));
    }

    #[test] // L-10
    fn on_wifi_it_takes_more_than_forty_readers() {
        assert_eq!(moves(Situation { wifi: true, readers: 40, ..BUSY }), None);
        assert_eq!(moves(Situation { wifi: true, readers: 41, ..BUSY }), Some((3, Step::Up)));
        assert_eq!(Situation { wifi: true, readers: 40, ..BUSY }.against(), Against::Wifi);
    }

    #[test] // L-10
    fn a_lane_ends_after_five_seconds_of_one_reader_or_of_too_much_loss() {
        let up = Situation { up: true, ..BUSY };
        assert_eq!(moves(Situation { readers: 1, ..up }), Some((5, Step::Down)));
        assert_eq!(moves(Situation { readers: 2, rate: 0, ..up }), None);
        assert_eq!(moves(Situation { loss_ppm: 750_000, ..up }), Some((5, Step::Down)));
        let never = Situation { policy: LanePolicy::Never, ..up };
        assert_eq!(moves(never), Some((0, Step::Down)));
    }

    #[test] // L-10
    fn a_moment_of_silence_begins_the_count_anew() {
        let mut decider = Decider::default();
        let at = |second: u64| Time(second * 1_000_000_000);
        assert_eq!(decider.judge(at(0), &BUSY), Step::Stay);
        assert_eq!(decider.judge(at(2), &Situation { rate: 0, ..BUSY }), Step::Stay);
        assert_eq!(decider.judge(at(3), &BUSY), Step::Stay);
        assert_eq!(decider.judge(at(6), &BUSY), Step::Up);
    }
}
