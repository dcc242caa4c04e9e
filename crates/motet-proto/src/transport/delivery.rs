//! How fast the path delivers: draft-cheng-iccrg-delivery-rate-estimation, part of
//! draft-ietf-ccwg-bbr today.
//!
//! Each packet remembers how much had been delivered when it left. When it is acknowledged, what was
//! delivered since, over the longer of the time it took to send that and the time it took to
//! acknowledge it, is a sample of the rate: neither a burst of sending nor one of ACKs inflates it.
//!
//! A sample from a time when the application had nothing to send is marked: the path can do more
//! (S-24).

use core::time::Duration;

use crate::time::Time;

/// A sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Bytes delivered between the sending of the packet and its ACK.
    pub delivered: u64,
    /// How long that took.
    pub interval: Duration,
    /// Bytes that had been delivered in all when the packet left: tells round trips apart.
    pub prior: u64,
    /// Bytes delivered in all.
    pub total: u64,
    /// The application had nothing to send at the time.
    pub app_limited: bool,
    /// From the sending of the packet to its ACK.
    pub rtt: Duration,
    /// Bytes in flight when it left, itself included.
    pub in_flight: u64,
}

impl Rate {
    /// Bytes per second.
    pub fn per_second(&self) -> u64 {
        let nanos = self.interval.as_nanos().max(1);
        let rate = u128::from(self.delivered) * 1_000_000_000 / nanos;
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

/// What a packet remembers of the moment it left.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    delivered: u64,
    delivered_at: Time,
    first_sent_at: Time,
    in_flight: u32,
    app_limited: bool,
}

impl Stamp {
    /// Bytes in flight when it left, itself included.
    pub fn in_flight(&self) -> u64 {
        u64::from(self.in_flight)
    }
}

/// The connection's side of the estimate.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    delivered: u64,
    delivered_at: Time,
    first_sent_at: Time,
    /// Samples of packets that left before so much was delivered are app-limited.
    limited_until: u64,
    /// The newest packet of the ACK in hand: its stamp, and when it left.
    newest: Option<(Stamp, Time)>,
}

impl Default for Delivery {
    fn default() -> Self {
        Self::new()
    }
}

impl Delivery {
    /// Nothing sent.
    pub fn new() -> Self {
        Self {
            delivered: 0,
            delivered_at: Time::ZERO,
            first_sent_at: Time::ZERO,
            limited_until: 0,
            newest: None,
        }
    }

    /// A packet leaves now, while `before` bytes were in flight; `size` are its own.
    pub fn stamp(&mut self, now: Time, before: u64, size: u32) -> Stamp {
        if before == 0 {
            (self.first_sent_at, self.delivered_at) = (now, now);
        }
        Stamp {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            in_flight: u32::try_from(before + u64::from(size)).unwrap_or(u32::MAX),
            app_limited: self.limited_until > self.delivered,
        }
    }

    /// The application has nothing more to send while `in_flight` bytes are under way.
    pub fn on_app_limited(&mut self, in_flight: u64) {
        self.limited_until = (self.delivered + in_flight).max(1);
    }

    /// A packet of `size` bytes that left at `sent_at` is acknowledged.
    pub fn on_acked(&mut self, now: Time, size: u32, sent_at: Time, stamp: Stamp) {
        self.delivered += u64::from(size);
        self.delivered_at = now;
        let newer =
            |(newest, at): (Stamp, Time)| (stamp.delivered, sent_at) >= (newest.delivered, at);
        if self.newest.is_none_or(newer) {
            self.newest = Some((stamp, sent_at));
            self.first_sent_at = sent_at;
        }
    }

    /// The sample of the ACK that was just taken. An interval shorter than the path's minimum round
    /// trip `min` would be an artefact of bunched ACKs.
    pub fn sample(&mut self, now: Time, min: Duration) -> Option<Rate> {
        let (stamp, sent_at) = self.newest.take()?;
        let sending = sent_at.since(stamp.first_sent_at);
        let interval = sending.max(self.delivered_at.since(stamp.delivered_at));
        let rate = Rate {
            delivered: self.delivered - stamp.delivered,
            interval,
            prior: stamp.delivered,
            total: self.delivered,
            app_limited: stamp.app_limited,
            rtt: now.since(sent_at),
            in_flight: stamp.in_flight(),
        };
        (!interval.is_zero() && interval >= min).then_some(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    #[test] // S-24
    fn a_full_path_shows_the_rate_it_delivers_whatever_is_sent() {
        let mut d = Delivery::new();
        // 20 packets under way; the path delivers one each ms, and each lets the next one go.
        let mut flying: Vec<(Time, Stamp)> =
            (0..20).map(|n| (at(0), d.stamp(at(0), n * 1_000, 1_000))).collect();
        for n in 10..100 {
            let (sent_at, stamp) = flying.remove(0);
            d.on_acked(at(n), 1_000, sent_at, stamp);
            let rate = d.sample(at(n), MS * 10);
            if n > 50 {
                assert_eq!(rate.unwrap().per_second(), 1_000_000);
                assert_eq!(rate.unwrap().rtt, MS * 20);
            }
            flying.push((at(n), d.stamp(at(n), 19_000, 1_000)));
        }
    }

    #[test] // S-24
    fn bunched_acks_do_not_raise_the_rate() {
        let mut d = Delivery::new();
        let stamps: Vec<(u64, Stamp)> =
            (0..10).map(|n| (n, d.stamp(at(n * 10), n * 1_000, 1_000))).collect();
        for (n, stamp) in stamps {
            d.on_acked(at(100), 1_000, at(n * 10), stamp); // one ACK for what took 90 ms to send
        }
        let rate = d.sample(at(100), MS * 10).unwrap();
        assert!(rate.per_second() <= 10_000 * 1_000 / 90, "{rate:?}");
    }

    #[test] // S-24
    fn samples_of_an_idle_application_are_marked_until_what_was_under_way_arrived() {
        let mut d = Delivery::new();
        let first = d.stamp(at(0), 0, 1_000);
        d.on_app_limited(1_000);
        let second = d.stamp(at(1), 1_000, 1_000);
        d.on_acked(at(10), 1_000, at(0), first);
        assert!(!d.sample(at(10), MS).unwrap().app_limited);
        d.on_acked(at(11), 1_000, at(1), second);
        assert!(d.sample(at(11), MS).unwrap().app_limited);
        let third = d.stamp(at(12), 0, 1_000);
        d.on_acked(at(22), 1_000, at(12), third);
        assert!(!d.sample(at(22), MS).unwrap().app_limited);
    }
}
