//! Round-trip time of one path: RFC 9002 §5, Appendix A.7.
//!
//! | question | answer |
//! |---|---|
//! | before the first sample | srtt [`INITIAL`], var half of it |
//! | first sample | srtt = min = sample, var = sample / 2 |
//! | later samples | var ← ¾·var + ¼·\|srtt − s\|, srtt ← ⅞·srtt + ⅛·s, with s less the peer's ACK delay unless that would go below min |
//!
//! The structure follows quinn-proto's RTT estimator (MIT/Apache-2.0).

use core::time::Duration;

/// What is assumed before the first sample. RFC 9002 §6.2.2 says 333 ms, for the Internet; here
/// most peers share a LAN and the handshake soon brings a sample, so a third of it is safe enough.
pub const INITIAL: Duration = Duration::from_millis(100);

/// The shortest time worth a timer: kGranularity of RFC 9002 §6.1.2.
pub const GRANULARITY: Duration = Duration::from_millis(1);

/// The longest a receiver holds back an ACK; a longer delay claimed by a peer counts as this much
/// (RFC 9002 §5.3).
pub const MAX_ACK_DELAY: Duration = Duration::from_millis(5);

/// The least [`Rtt::rto`]: below it the peer's scheduling is measured, not the network.
pub const MIN_RTO: Duration = Duration::from_millis(2);

/// Smoothed round-trip time, its variation and its minimum.
#[derive(Clone, Copy, Debug)]
pub struct Rtt {
    srtt: Duration,
    var: Duration,
    min: Duration,
    latest: Duration,
    samples: u64,
}

impl Default for Rtt {
    fn default() -> Self {
        Self::new()
    }
}

impl Rtt {
    /// No samples yet.
    pub fn new() -> Self {
        Self { srtt: INITIAL, var: INITIAL / 2, min: INITIAL, latest: INITIAL, samples: 0 }
    }

    /// One measured round trip, and how much of it the peer says it waited before acknowledging.
    pub fn update(&mut self, sample: Duration, ack_delay: Duration) {
        self.latest = sample;
        self.samples += 1;
        if self.samples == 1 {
            (self.srtt, self.var, self.min) = (sample, sample / 2, sample);
            return;
        }
        self.min = self.min.min(sample);
        let delay = ack_delay.min(MAX_ACK_DELAY);
        let adjusted = match sample.checked_sub(delay) {
            Some(rest) if rest >= self.min => rest,
            _ => sample,
        };
        self.var = (self.var.saturating_mul(3).saturating_add(self.srtt.abs_diff(adjusted))) / 4;
        self.srtt = (self.srtt.saturating_mul(7).saturating_add(adjusted)) / 8;
    }

    /// The smoothed round-trip time; [`INITIAL`] before the first sample.
    pub fn srtt(&self) -> Duration {
        self.srtt
    }

    /// The mean deviation from [`srtt`](Self::srtt).
    pub fn var(&self) -> Duration {
        self.var
    }

    /// The smallest sample; [`INITIAL`] before the first.
    pub fn min(&self) -> Duration {
        self.min
    }

    /// The newest sample, with the peer's delay in it; [`INITIAL`] before the first.
    pub fn latest(&self) -> Duration {
        self.latest
    }

    /// False while all figures are assumptions.
    pub fn has_sample(&self) -> bool {
        self.samples > 0
    }

    /// How many samples there were.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Probe timeout without backoff: srtt + max(4·var, 1 ms) + the peer's longest ACK delay
    /// (RFC 9002 §6.2.1).
    pub fn pto(&self, max_ack_delay: Duration) -> Duration {
        let spread = self.var.saturating_mul(4).max(GRANULARITY);
        self.srtt.saturating_add(spread).saturating_add(max_ack_delay)
    }

    /// When an answer that is sent at once is overdue: srtt + 4·var, at least [`MIN_RTO`].
    pub fn rto(&self) -> Duration {
        self.srtt.saturating_add(self.var.saturating_mul(4)).max(MIN_RTO)
    }

    /// How much later than its successors a packet may arrive: 9/8 · max(srtt, latest), at least
    /// 1 ms (RFC 9002 §6.1.2).
    pub fn loss_delay(&self) -> Duration {
        (self.srtt.max(self.latest).saturating_mul(9) / 8).max(GRANULARITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_first_sample_replaces_the_assumption() {
        let mut rtt = Rtt::new();
        assert_eq!((rtt.srtt(), rtt.has_sample()), (INITIAL, false));
        rtt.update(ms(8), ms(4));
        assert_eq!((rtt.srtt(), rtt.var(), rtt.min()), (ms(8), ms(4), ms(8)));
        assert!(rtt.has_sample());
    }

    #[test]
    fn later_samples_are_smoothed_without_the_peers_delay() {
        let mut rtt = Rtt::new();
        rtt.update(ms(8), ms(0));
        rtt.update(ms(20), ms(4));
        assert_eq!(rtt.srtt(), ms(9)); // 7/8 · 8 + 1/8 · 16
        assert_eq!(rtt.var(), ms(5)); // 3/4 · 4 + 1/4 · 8
        assert_eq!((rtt.min(), rtt.latest()), (ms(8), ms(20)));
    }

    #[test]
    fn a_claimed_delay_counts_5_ms_at_most_and_never_undercuts_the_minimum() {
        let mut rtt = Rtt::new();
        rtt.update(ms(8), ms(0));
        rtt.update(ms(16), ms(1_000));
        assert_eq!(rtt.srtt(), (ms(56) + ms(11)) / 8);
        let mut rtt = Rtt::new();
        rtt.update(ms(8), ms(0));
        rtt.update(ms(10), ms(5));
        assert_eq!(rtt.srtt(), (ms(56) + ms(10)) / 8);
    }

    #[test]
    fn timeouts_follow_the_round_trip_and_have_floors() {
        let mut rtt = Rtt::new();
        rtt.update(ms(100), ms(0));
        assert_eq!(rtt.pto(ms(5)), ms(305));
        assert_eq!(rtt.rto(), ms(300));
        assert_eq!(rtt.loss_delay(), Duration::from_micros(112_500));
        let mut near = Rtt::new();
        near.update(Duration::from_micros(50), ms(0));
        assert_eq!(near.rto(), MIN_RTO);
        assert_eq!(near.loss_delay(), GRANULARITY);
        assert_eq!(near.pto(ms(0)), Duration::from_micros(1_050));
    }
}
