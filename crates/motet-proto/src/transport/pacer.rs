//! Spreads a window over its round trip, so that queues on the path stay short.
//!
//! A token bucket, filled at 1.25 windows per round trip (RFC 9002 §7.7), that holds
//! max(10 packets, 2 ms of rate). The structure follows quinn-proto's pacer (MIT/Apache-2.0).
//!
//! Below 1 ms of round trip there is no pacing: timers are coarser than what they would space.
//! There a caller hands out at most [`BURST_PACKETS`] per turn, which is one segmented send.

use core::time::Duration;

use crate::time::Time;

/// Most packets for one peer in one turn of the endpoint: one segmented send (GSO) of the kernel.
pub const BURST_PACKETS: usize = 64;

/// Round trips shorter than this are not paced.
pub const UNPACED_BELOW: Duration = Duration::from_millis(1);

/// Packets that may always leave together.
const MIN_BURST: u64 = 10;
/// The bucket holds this much time at the current rate: user-space timers are good to about 1 ms.
const BURST_NS: u128 = 2_000_000;

/// When the next packet may leave.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    tokens: u64,
    filled_at: Time,
}

impl Pacer {
    /// A full bucket.
    pub fn new(now: Time) -> Self {
        Self { tokens: u64::MAX, filled_at: now }
    }

    /// `None`: `bytes` may leave now. Else the time to ask again: the bucket is half full then, so
    /// a timer that fires late by as much again costs no rate. `cwnd` in bytes, `mtu` in bytes of
    /// UDP payload.
    pub fn delay(
        &mut self,
        now: Time,
        srtt: Duration,
        cwnd: u64,
        mtu: u16,
        bytes: u64,
    ) -> Option<Time> {
        if srtt < UNPACED_BELOW {
            return None;
        }
        // 1.25 windows per round trip (RFC 9002 §7.7), as a fraction: windows may be of any size.
        self.wait(now, (u128::from(cwnd.max(1)) * 5, srtt.as_nanos() * 4), mtu, bytes)
    }

    /// As [`delay`](Self::delay), at `rate` bytes per second.
    pub fn delay_at(
        &mut self,
        now: Time,
        srtt: Duration,
        rate: u64,
        mtu: u16,
        bytes: u64,
    ) -> Option<Time> {
        if srtt < UNPACED_BELOW {
            return None;
        }
        self.wait(now, (u128::from(rate.max(1)), 1_000_000_000), mtu, bytes)
    }

    /// `rate`: bytes, and the nanoseconds that they take.
    fn wait(&mut self, now: Time, rate: (u128, u128), mtu: u16, bytes: u64) -> Option<Time> {
        let in_time = |nanos: u128| u64::try_from(rate.0 * nanos / rate.1).unwrap_or(u64::MAX);
        let capacity = in_time(BURST_NS).max(MIN_BURST * u64::from(mtu)).max(bytes);
        let earned = in_time(now.since(self.filled_at).as_nanos());
        if earned > 0 {
            self.tokens = self.tokens.saturating_add(earned);
            self.filled_at = now;
        }
        self.tokens = self.tokens.min(capacity);
        if self.tokens >= bytes {
            return None;
        }
        let missing = u128::from(bytes.max(capacity / 2) - self.tokens);
        let wait = (missing * rate.1).div_ceil(rate.0);
        Some(now + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    /// `bytes` left.
    pub fn on_sent(&mut self, bytes: u64) {
        self.tokens = self.tokens.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(20);

    fn burst(p: &mut Pacer, now: Time, cwnd: u64) -> (u64, Option<Time>) {
        let mut sent = 0;
        loop {
            match p.delay(now, RTT, cwnd, 1_000, 1_000) {
                None if sent < 10_000 => p.on_sent(1_000),
                at => return (sent, at),
            }
            sent += 1;
        }
    }

    #[test]
    fn bursts_are_ten_packets_or_2_ms_of_rate() {
        assert_eq!(burst(&mut Pacer::new(Time::ZERO), Time(1), 40_000).0, 10);
        // 1.25 · 1 MB / 20 ms = 62,500 B/ms
        assert_eq!(burst(&mut Pacer::new(Time::ZERO), Time(1), 1_000_000).0, 125);
    }

    #[test]
    fn the_rate_is_five_quarters_of_a_window_per_round_trip() {
        let (mut p, mut now, mut sent) = (Pacer::new(Time::ZERO), Time(1), 0);
        burst(&mut p, now, 1_000_000);
        while now < Time(200_000_001) {
            let (packets, at) = burst(&mut p, now, 1_000_000);
            sent += packets;
            now = at.unwrap();
        }
        assert!((12_400..=12_650).contains(&sent), "{sent} packets in ten round trips");
    }

    #[test]
    fn near_paths_are_not_paced() {
        let mut p = Pacer::new(Time::ZERO);
        for _ in 0..1_000 {
            assert_eq!(p.delay(Time(1), Duration::from_micros(999), 2_000, 1_000, 1_000), None);
            p.on_sent(1_000);
        }
    }

    #[test]
    fn extremes_neither_overflow_nor_stall() {
        let mut p = Pacer::new(Time::ZERO);
        for (rtt, cwnd) in [(RTT, 0), (RTT, u64::MAX), (Duration::from_secs(1 << 30), 1)] {
            p.on_sent(u64::MAX);
            let at = p.delay(Time(5), rtt, cwnd, u16::MAX, 70_000);
            assert!(at.is_none_or(|at| at > Time(5)));
        }
    }
}
