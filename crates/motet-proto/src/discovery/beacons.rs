//! When our own beacon goes out, and to whom.

use super::bucket::Bucket;
use super::jittered;
use super::outbox::{Action, Outbox};
use crate::config::Config;
use crate::rng::Rng;
use crate::{Counters, Time};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use core::time::Duration;

/// After the start, once a random 0–2 ms have passed (§2.14).
const SERIES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1_600),
];
const FIRST_WITHIN: Duration = Duration::from_millis(2);
/// Interfaces that come and go start at most one series in this time. The one of the start does not
/// count: a card that comes up just after it is announced at once.
const SERIES_EVERY: Duration = Duration::from_secs(1);
/// Ports greeted on loopback.
const GREETED: RangeInclusive<u16> = 37_321..=37_336;
/// The period of a small realm.
const PERIOD_MIN: Duration = Duration::from_secs(2);
/// The period grows by this much with each member: ten beacons a second in all.
const PERIOD_PER_MEMBER: Duration = Duration::from_millis(100);
/// Up to this many members, everyone answers at once.
const SMALL_REALM: usize = 32;
/// Answers that a newcomer to a large realm can expect.
const ANSWERS_WANTED: u64 = 8;
/// Answers that wait; about 40 B each.
const REPLIES_MAX: usize = 64;
/// Goodbyes: at once and twice more, within the 200 ms that closing may take (§2.13).
const GOODBYES: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(20), Duration::from_millis(40)];

#[derive(Debug)]
pub(super) struct Beacons {
    port: u16,
    groups: bool,
    greets: bool,
    /// Start of the present series and the steps of it that are done.
    series: (Time, usize),
    /// Earliest start of a series for changed interfaces.
    again: Time,
    next: Time,
    reply_bucket: Bucket,
    replies: Vec<(Time, SocketAddr)>,
    interest_bucket: Bucket,
    /// A change of interest waits for this.
    interest_at: Time,
}

impl Beacons {
    pub(super) fn new(now: Time, cfg: &Config, rng: &mut Rng) -> Self {
        Self {
            port: cfg.port,
            groups: cfg.group_v4.is_some() || cfg.group_v6.is_some(),
            greets: cfg.greet_loopback,
            series: (now, 0),
            again: now,
            next: now + within(FIRST_WITHIN, rng),
            reply_bucket: Bucket::new(8, Duration::from_millis(50)),
            replies: Vec::new(),
            interest_bucket: Bucket::new(5, Duration::from_millis(200)),
            interest_at: Time::NEVER,
        }
    }

    /// Begins the series anew (D-6), unless it has not begun yet.
    pub(super) fn restart(&mut self, now: Time, greets: bool, rng: &mut Rng) {
        if self.series.1 == 0 {
            return;
        }
        self.greets = greets;
        let start = now.max(self.again);
        self.again = start + SERIES_EVERY;
        self.series = (start, 0);
        self.next = start + within(FIRST_WITHIN, rng);
    }

    /// The realm has shrunk: a wait drawn for the large one would be too long.
    pub(super) fn shrunk(&mut self, now: Time, n: usize, rng: &mut Rng) {
        if self.series.1 == SERIES.len() && self.next > now + period(n) * 5 / 4 {
            self.next = now + jittered(period(n), 25, rng);
        }
    }

    pub(super) fn interest_changed(&mut self, now: Time, rng: &mut Rng, out: &mut Outbox) {
        let begins = self.series.1 == 0 && self.next <= now + FIRST_WITHIN;
        if !self.groups || begins || self.interest_at != Time::NEVER {
            return; // the first beacon, or the one that waits, carries it
        }
        if self.interest_bucket.take(now) {
            out.push(Action::Multicast { solicit: false, leaving: false }); // D-21
        } else {
            let token = self.interest_bucket.next();
            self.interest_at = token + within(Duration::from_millis(20), rng);
        }
    }

    /// Somebody asks who is there.
    pub(super) fn solicited(
        &mut self,
        now: Time,
        from: SocketAddr,
        n: usize,
        rng: &mut Rng,
        out: &mut Outbox,
        counters: &mut Counters,
    ) {
        if n <= SMALL_REALM && self.reply_bucket.take(now) {
            out.push(unicast(from, false)); // D-4
            return;
        }
        if rng.below(n as u64) >= ANSWERS_WANTED {
            return; // others answer
        }
        if self.replies.len() >= REPLIES_MAX {
            counters.replies_limited += 1;
            return;
        }
        let most = Duration::from_millis(2 * n as u64).min(Duration::from_millis(100));
        self.replies.push((now + within(most, rng), from)); // D-5
    }

    pub(super) fn on_timeout(
        &mut self,
        now: Time,
        n: usize,
        loopbacks: &[IpAddr],
        rng: &mut Rng,
        out: &mut Outbox,
        counters: &mut Counters,
    ) {
        if self.next <= now {
            self.beacon(now, n, loopbacks, rng, out);
        }
        if self.interest_at <= now && self.interest_bucket.take(now) {
            self.interest_at = Time::NEVER;
            out.push(Action::Multicast { solicit: false, leaving: false }); // D-21
        }
        let mut waiting = core::mem::take(&mut self.replies);
        waiting.retain(|(at, dst)| {
            if *at <= now {
                if self.reply_bucket.take(now) {
                    out.push(unicast(*dst, false));
                } else {
                    counters.replies_limited += 1;
                }
            }
            *at > now
        });
        self.replies = waiting;
    }

    pub(super) fn deadline(&self) -> Time {
        let reply = self.replies.iter().map(|(at, _)| *at).min().unwrap_or(Time::NEVER);
        self.next.min(self.interest_at).min(reply)
    }

    fn beacon(
        &mut self,
        now: Time,
        n: usize,
        loopbacks: &[IpAddr],
        rng: &mut Rng,
        out: &mut Outbox,
    ) {
        let (start, done) = self.series;
        let solicit = done < SERIES.len();
        if self.groups {
            out.push(Action::Multicast { solicit, leaving: false });
            self.interest_at = Time::NEVER; // this beacon told it
        }
        if !solicit {
            self.next = now + jittered(period(n), 25, rng); // D-2
            return;
        }
        if self.greets {
            for ip in loopbacks {
                for port in GREETED.filter(|port| *port != self.port) {
                    out.push(unicast(SocketAddr::new(*ip, port), true)); // D-1
                }
            }
        }
        self.series.1 = done + 1;
        self.next = match SERIES.get(done + 1) {
            Some(offset) => now.max(start + *offset),
            None => now + jittered(period(n), 25, rng),
        };
    }
}

/// Goodbyes that are still to be said.
#[derive(Debug)]
pub(super) struct Goodbyes {
    start: Time,
    said: usize,
}

impl Goodbyes {
    pub(super) fn new(start: Time) -> Self {
        Self { start, said: 0 }
    }

    pub(super) fn on_timeout(&mut self, now: Time, out: &mut Outbox) {
        while self.deadline() <= now {
            self.said += 1;
            out.push(Action::Multicast { solicit: false, leaving: true }); // D-22
        }
    }

    pub(super) fn deadline(&self) -> Time {
        GOODBYES.get(self.said).map_or(Time::NEVER, |offset| self.start + *offset)
    }
}

/// Period of the beacons of one of `n` members.
pub(super) fn period(n: usize) -> Duration {
    PERIOD_MIN.max(PERIOD_PER_MEMBER * u32::try_from(n).unwrap_or(u32::MAX))
}

fn unicast(dst: SocketAddr, solicit: bool) -> Action {
    Action::Unicast { dst, solicit, leaving: false }
}

fn within(most: Duration, rng: &mut Rng) -> Duration {
    Duration::from_nanos(rng.below(most.as_nanos() as u64))
}
