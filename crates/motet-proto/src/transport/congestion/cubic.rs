//! CUBIC: RFC 9438, over the recovery rules of RFC 9002 §7.
//!
//! | event | effect |
//! |---|---|
//! | ACK, window below ssthresh | slow start: grows by what was acknowledged |
//! | ACK, else | grows towards W_cubic(t + srtt), never slower than Reno would (§4.3–4.5) |
//! | ACK while the window was not full | none, and the time does not count (§5.8) |
//! | ACK of a packet from before the last reduction | none |
//! | loss or mark | × 0.7, once per round trip; fast convergence (§4.6, §4.7) |
//! | persistent congestion | two packets, slow start (RFC 9002 §7.6.2) |
//!
//! The structure follows quinn-proto's controller of the same name (MIT/Apache-2.0).

use core::time::Duration;

use super::Controller;
use crate::time::Time;
use crate::transport::rtt::Rtt;

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
/// Below this minimum round trip the floor holds.
const NEAR: Duration = Duration::from_millis(1);

/// The controller of RFC 9438.
#[derive(Clone, Debug)]
pub struct Cubic {
    mtu: u16,
    cwnd: u64,
    ssthresh: u64,
    floor: u64,
    near: bool,
    /// Packets sent up to here belong to the reduction made then.
    recovery: Option<Time>,
    /// Where the curve levels off, bytes.
    w_max: f64,
    avoidance: Option<Avoidance>,
    /// Fractions of a byte that `cwnd` has earned.
    earned: f64,
}

/// Congestion avoidance since the last reduction.
#[derive(Clone, Copy, Debug)]
struct Avoidance {
    since: Time,
    /// Seconds from `since` to the level part of the curve.
    k: f64,
    /// What Reno would have, bytes.
    w_est: f64,
    /// The window before the reduction, bytes: from there on Reno's pace is 1.
    before: f64,
    /// Since when the window has not been full.
    idle_since: Option<Time>,
}

impl Cubic {
    /// Ten packets of `mtu` bytes.
    pub fn new(mtu: u16) -> Self {
        Self {
            mtu,
            cwnd: INITIAL_PACKETS * u64::from(mtu),
            ssthresh: u64::MAX,
            floor: 0,
            near: false,
            recovery: None,
            w_max: 0.0,
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
        let (w_max, before) = (self.w_max.max(cwnd), self.w_max.max(cwnd));
        let a = self.avoidance.get_or_insert_with(|| Avoidance {
            since: now,
            k: k(w_max / mss, cwnd / mss),
            w_est: cwnd,
            before,
            idle_since: None,
        });
        if let Some(idle) = a.idle_since.take() {
            a.since = a.since + now.since(idle);
        }
        self.w_max = w_max;
        let t = now.since(a.since).as_secs_f64();
        let alpha = if a.w_est < a.before { ALPHA } else { 1.0 };
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
    fn on_sent(&mut self, _bytes: u64) {}

    fn on_ack(&mut self, now: Time, acked_bytes: u64, sent_at: Time, rtt: &Rtt, app_limited: bool) {
        self.near = rtt.has_sample() && rtt.min() < NEAR;
        if self.recovery.is_some_and(|at| sent_at <= at) {
            return;
        }
        if app_limited {
            if let Some(a) = &mut self.avoidance {
                a.idle_since.get_or_insert(now);
            }
        } else if self.cwnd < self.ssthresh {
            self.cwnd = self.cwnd.saturating_add(acked_bytes).min(self.ssthresh);
        } else {
            self.avoid(now, acked_bytes as f64, rtt.srtt());
        }
    }

    fn on_congestion(&mut self, now: Time, sent_at: Time, persistent: bool) {
        if self.recovery.is_none_or(|at| sent_at > at) {
            let cwnd = self.cwnd as f64;
            self.w_max = if cwnd < self.w_max { cwnd * (1.0 + BETA) / 2.0 } else { cwnd };
            self.cwnd = ((cwnd * BETA) as u64).max(self.least());
            self.ssthresh = self.cwnd;
            self.recovery = Some(now);
            self.avoidance = None;
            self.earned = 0.0;
        }
        if persistent {
            self.cwnd = self.least();
            self.recovery = None;
            // RFC 9438 §4.8: after a timeout the curve starts level, where slow start ends.
            self.w_max = 0.0;
            self.avoidance = None;
            self.earned = 0.0;
        }
    }

    fn set_floor(&mut self, bytes: u64) {
        self.floor = bytes;
    }

    fn on_mtu(&mut self, mtu: u16) {
        self.mtu = mtu;
        self.cwnd = self.cwnd.max(self.least());
        if self.ssthresh == u64::MAX {
            self.cwnd = self.cwnd.max(INITIAL_PACKETS * u64::from(mtu)); // RFC 9002 §7.2
        }
    }

    fn window(&self) -> u64 {
        let floor = if self.near { self.floor } else { 0 };
        self.cwnd.max(floor)
    }

    fn name(&self) -> &'static str {
        "cubic"
    }
}
