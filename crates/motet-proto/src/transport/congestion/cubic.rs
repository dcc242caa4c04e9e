//! CUBIC: RFC 9438, over the recovery rules of RFC 9002 §7.
//!
//! | event | effect |
//! |---|---|
//! | ACK, window below ssthresh | slow start: grows by what was acknowledged |
//! | ACK, else | grows towards W_cubic(t + srtt), never slower than Reno would (§4.3–4.5) |
//! | ACK while the window was not full | none, and the time does not count (§5.8) |
//! | ACK of a packet from before the last reduction | none |
//! | loss or mark | × 0.7, once per round trip; fast convergence (§4.6, §4.7) (S-19) |
//! | persistent congestion | two packets, slow start (RFC 9002 §7.6.2) |
//!
//! The structure follows quinn-proto's controller of the same name (MIT/Apache-2.0).

use core::time::Duration;

use super::{Acked, Controller, Lost, Near};
use crate::time::Time;

/// How steep the curve is, packets/s³ (RFC 9438 §5).
const C: f64 = 0.4;
/// What a reduction leaves of the window (RFC 9438 §4.6).
const BETA: f64 = 0.7;
/// Growth per round trip, in packets, that is as fair as Reno's with [`BETA`] (RFC 9438 §4.3).
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
/// Packets in the first window (RFC 9002 §7.2, RFC 6928).
const INITIAL_PACKETS: u64 = 10;
/// Packets in the smallest window (RFC 9002 §7.2).
const MIN_PACKETS: u64 = 2;

/// The controller of RFC 9438.
#[derive(Clone, Debug)]
pub struct Cubic {
    mtu: u16,
    cwnd: u64,
    ssthresh: u64,
    near: Near,
    /// Packets sent up to here belong to the reduction made then.
    recovery: Option<Time>,
    /// Where the next curve levels off, bytes.
    w_max: f64,
    /// The window before the last reduction, bytes: once back there, growth is Reno's again.
    before: f64,
    avoidance: Option<Avoidance>,
    /// Fractions of a byte that `cwnd` has earned.
    earned: f64,
}

/// Congestion avoidance since the last reduction.
#[derive(Clone, Copy, Debug)]
struct Avoidance {
    since: Time,
    /// Where this curve is level, bytes.
    w_max: f64,
    /// Seconds from `since` to the level part of the curve.
    k: f64,
    /// What Reno would have, bytes.
    w_est: f64,
    /// Since when the window has not been full.
    idle_since: Option<Time>,
}

impl Cubic {
    /// Ten packets of `mtu` bytes; `floor` as in [`set_floor`](Controller::set_floor).
    pub fn new(mtu: u16, floor: u64) -> Self {
        Self {
            mtu,
            cwnd: INITIAL_PACKETS * u64::from(mtu),
            ssthresh: u64::MAX,
            near: Near::new(floor),
            recovery: None,
            w_max: 0.0,
            before: 0.0,
            avoidance: None,
            earned: 0.0,
        }
    }

    fn least(&self) -> u64 {
        MIN_PACKETS * u64::from(self.mtu)
    }

    fn avoid(&mut self, now: Time, acked: f64, srtt: Duration) {
        let mss = f64::from(self.mtu);
        let cwnd = self.cwnd as f64 + self.earned;
        let w_max = self.w_max.max(cwnd);
        let a = self.avoidance.get_or_insert_with(|| Avoidance {
            since: now,
            w_max,
            k: k(w_max / mss, cwnd / mss),
            w_est: cwnd,
            idle_since: None,
        });
        if let Some(idle) = a.idle_since.take() {
            a.since = a.since + now.since(idle);
        }
        let w_max = a.w_max;
        let t = now.since(a.since).as_secs_f64();
        let alpha = if a.w_est < self.before { ALPHA } else { 1.0 };
        a.w_est += alpha * acked * mss / cwnd;
        let grown = if w_cubic(t, a.k, w_max / mss) * mss < a.w_est {
            a.w_est.max(cwnd)
        } else {
            let ahead = w_cubic(t + srtt.as_secs_f64(), a.k, w_max / mss) * mss;
            let target = ahead.clamp(cwnd, cwnd * 1.5);
            cwnd + (target - cwnd) * acked / cwnd
        };
        self.cwnd = grown as u64;
        self.earned = grown - self.cwnd as f64;
    }
}

/// Seconds until W_cubic is back at `w_max` packets (RFC 9438 §4.2, figure 2).
fn k(w_max: f64, cwnd: f64) -> f64 {
    libm::cbrt((w_max - cwnd).max(0.0) / C)
}

/// The window in packets `t` seconds into congestion avoidance (RFC 9438 §4.2, figure 1).
fn w_cubic(t: f64, k: f64, w_max: f64) -> f64 {
    C * (t - k) * (t - k) * (t - k) + w_max
}

impl Controller for Cubic {
    fn on_ack(&mut self, ack: &Acked<'_>) {
        self.near.on_ack(ack, self.mtu);
        if self.recovery.is_some_and(|at| ack.sent_at <= at) {
            return;
        }
        if ack.app_limited {
            if let Some(a) = &mut self.avoidance {
                a.idle_since.get_or_insert(ack.now);
            }
        } else if self.cwnd < self.ssthresh {
            self.cwnd = self.cwnd.saturating_add(ack.bytes).min(self.ssthresh);
        } else {
            self.avoid(ack.now, ack.bytes as f64, ack.rtt.srtt());
        }
    }

    fn on_congestion(&mut self, lost: &Lost) {
        self.near.on_lost(lost);
        if self.recovery.is_none_or(|at| lost.sent_at > at) {
            let cwnd = self.cwnd as f64;
            self.w_max = if cwnd < self.w_max { cwnd * (1.0 + BETA) / 2.0 } else { cwnd };
            self.before = cwnd;
            self.cwnd = ((cwnd * BETA) as u64).max(self.least());
            self.ssthresh = self.cwnd;
            self.recovery = Some(lost.now);
            self.avoidance = None;
            self.earned = 0.0;
        }
        if lost.persistent {
            self.cwnd = self.least();
            self.recovery = None;
            // RFC 9438 §4.8: after a timeout the curve starts level, where slow start ends.
            self.w_max = 0.0;
            self.avoidance = None;
            self.earned = 0.0;
        }
    }

    fn set_floor(&mut self, bytes: u64) {
        self.near.set(bytes);
    }

    fn on_mtu(&mut self, mtu: u16) {
        self.mtu = mtu;
        self.cwnd = self.cwnd.max(self.least());
        if self.ssthresh == u64::MAX {
            self.cwnd = self.cwnd.max(INITIAL_PACKETS * u64::from(mtu)); // RFC 9002 §7.2
        }
    }

    fn window(&self) -> u64 {
        self.cwnd.max(self.near.floor())
    }

    fn name(&self) -> &'static str {
        "cubic"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::rtt::Rtt;

    const MTU: u16 = 1_000;

    fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    fn rtt_of(ms: u64) -> Rtt {
        let mut rtt = Rtt::new();
        rtt.update(Duration::from_millis(ms), Duration::ZERO);
        rtt
    }

    impl Cubic {
        fn acked(&mut self, now: Time, bytes: u64, sent_at: Time, rtt: &Rtt, app_limited: bool) {
            let (in_flight, rate) = (0, None);
            self.on_ack(&Acked { now, bytes, sent_at, app_limited, in_flight, rate, rtt });
        }

        fn lost(&mut self, now: Time, sent_at: Time, persistent: bool) {
            let (bytes, in_flight, marked) = (1_000, 0, false);
            self.on_congestion(&Lost { now, bytes, sent_at, in_flight, marked, persistent });
        }
    }

    /// A controller with a window of `packets`, reduced once, at time 1 ms.
    fn reduced_from(packets: u64) -> Cubic {
        let mut c = Cubic::new(MTU, 0);
        c.acked(at(0), (packets - 10) * 1_000, at(0), &rtt_of(10), false);
        assert_eq!(c.window(), packets * 1_000);
        c.lost(at(1), at(1), false);
        c
    }

    #[test]
    fn slow_start_grows_by_what_is_acknowledged() {
        let mut c = Cubic::new(MTU, 0);
        assert_eq!(c.window(), 10_000);
        c.acked(at(20), 10_000, at(0), &rtt_of(20), false);
        assert_eq!(c.window(), 20_000);
    }

    #[test]
    fn a_window_that_is_not_full_does_not_grow() {
        let mut c = Cubic::new(MTU, 0);
        c.acked(at(20), 10_000, at(0), &rtt_of(20), true);
        assert_eq!(c.window(), 10_000);
    }

    #[test] // S-19
    fn one_round_trip_reduces_once() {
        let mut c = reduced_from(100);
        assert_eq!(c.window(), 70_000);
        c.lost(at(2), at(0), false);
        c.lost(at(2), at(1), false);
        assert_eq!(c.window(), 70_000);
        c.acked(at(5), 50_000, at(1), &rtt_of(10), false);
        assert_eq!(c.window(), 70_000, "packets from before the reduction say nothing new");
        c.lost(at(12), at(2), false);
        assert_eq!(c.window(), 49_000);
    }

    #[test]
    fn fast_convergence_aims_lower_after_two_reductions_in_a_row() {
        let mut c = reduced_from(100);
        c.lost(at(12), at(2), false);
        assert!((c.w_max - 70_000.0 * 0.85).abs() < 1.0, "RFC 9438 §4.7: {}", c.w_max);
    }

    #[test]
    fn windows_never_fall_below_two_packets() {
        let mut c = Cubic::new(MTU, 0);
        for ms in 0..50 {
            c.lost(at(ms + 1), at(ms + 1), ms % 7 == 0);
            assert!(c.window() >= 2_000);
        }
        assert_eq!(c.window(), 2_000);
    }

    #[test]
    fn persistent_congestion_starts_over_even_within_recovery() {
        let mut c = reduced_from(100);
        c.lost(at(2), at(0), true);
        assert_eq!(c.window(), 2_000);
        c.acked(at(30), 2_000, at(20), &rtt_of(10), false);
        assert_eq!(c.window(), 4_000, "slow start");
        c.acked(at(40), 500_000, at(30), &rtt_of(10), false);
        assert_eq!(c.window(), 70_000, "up to ssthresh");
    }

    #[test]
    fn near_paths_keep_the_credit_as_their_floor() {
        let mut c = Cubic::new(MTU, 0);
        c.set_floor(200_000);
        assert_eq!(c.window(), 10_000, "nothing is measured yet");
        let mut near = Rtt::new();
        near.update(Duration::from_micros(80), Duration::ZERO);
        c.acked(at(1), 1_000, at(0), &near, true);
        assert_eq!(c.window(), 200_000);
        c.lost(at(2), at(2), true);
        assert_eq!(c.window(), 200_000);
        c.acked(at(50), 1_000, at(40), &rtt_of(10), true);
        assert_eq!(c.window(), 2_000, "the path became far");
    }

    #[test]
    fn a_larger_mtu_rescales_only_the_first_window() {
        let mut c = Cubic::new(MTU, 0);
        c.on_mtu(1_472);
        assert_eq!(c.window(), 14_720);
        let mut c = reduced_from(100);
        c.on_mtu(8_972);
        assert_eq!(c.window(), 70_000);
    }

    #[test]
    fn the_curve_meets_the_points_of_the_rfc() {
        // RFC 9438 §4.2: K = cbrt((W_max − cwnd) / C); W(0) = cwnd, W(K) = W_max, W(2K) mirrors.
        for w_max in [10.0, 100.0, 1_000.0, 25_000.0] {
            let k = k(w_max, BETA * w_max);
            assert!((k - libm::cbrt(w_max * 0.3 / 0.4)).abs() < 1e-9);
            assert!((w_cubic(0.0, k, w_max) - 0.7 * w_max).abs() < 1e-6);
            assert!((w_cubic(k, k, w_max) - w_max).abs() < 1e-9);
            assert!((w_cubic(2.0 * k, k, w_max) - 1.3 * w_max).abs() < 1e-6);
        }
    }

    /// Acknowledges full windows, a round trip each, until `until` ms.
    fn grow(c: &mut Cubic, rtt_ms: u64, until: u64) {
        let rtt = rtt_of(rtt_ms);
        let mut now = rtt_ms + 2;
        while now <= until {
            for part in 0..10 {
                let _ = part;
                c.acked(at(now), c.window() / 10, at(now - 1), &rtt, false);
            }
            now += rtt_ms;
        }
    }

    #[test]
    fn windows_follow_the_cubic_where_it_is_above_reno() {
        let mut c = reduced_from(1_000);
        let k = k(1_000.0, 700.0); // 9.09 s
        for share in [0.25, 0.5, 0.75, 1.0, 1.3] {
            let mut c = c.clone();
            grow(&mut c, 100, (k * share * 1_000.0) as u64);
            let want = w_cubic(k * share, k, 1_000.0) * 1_000.0;
            let error = (c.window() as f64 - want).abs() / want;
            assert!(error < 0.02, "at {share} K: {} for {want}", c.window());
        }
        grow(&mut c, 100, (k * 1_000.0) as u64);
        assert!(c.window() < 1_010_000);
    }

    #[test]
    fn windows_follow_reno_where_that_is_faster() {
        let mut c = reduced_from(20);
        grow(&mut c, 5, 202);
        // 40 round trips: α until 20 packets are reached again, then 1 for each (RFC 9438 §4.3).
        let slow = 6.0 / ALPHA;
        let want = 20.0 + (40.0 - slow);
        let got = c.window() as f64 / 1_000.0;
        assert!((got - want).abs() < 2.0, "{got} packets for {want}");
    }

    #[test]
    fn idle_time_does_not_count() {
        let mut c = reduced_from(1_000);
        grow(&mut c, 100, 1_000);
        let before = c.window();
        let rtt = rtt_of(100);
        c.acked(at(1_100), 1_000, at(1_000), &rtt, true);
        c.acked(at(60_000), 1_000, at(59_900), &rtt, false);
        assert!(c.window() - before < 1_000, "{before} grew to {}", c.window());
    }
}
