//! Handshakes in progress: those we began and those we answered.
//!
//! | step | rule |
//! |---|---|
//! | HS1 goes out | S-1 resent verbatim after 250 ms, 500 ms, 1 s, 2 s, 2 s; then the dial has failed |
//! | several addresses | S-2 tried in parallel, 100 ms apart, best first; the first HS2 wins |
//! | HS1 comes in | S-3 mac1 before anything else; S-4 a stamp that does not rise is dropped |
//! | the same HS1 again | S-5 the same HS2 again, for 5 s |
//! | both dial | S-6 the larger id's HS1 wins; only a tie-break |
//! | many come in | S-7 cookies when more than 64 are half open, 50 come a second, or 20 from one /24 |
//! | HS3 | S-8 resent on the schedule of HS1 until authenticated DATA comes back |

use crate::Time;
use crate::host::RecvMeta;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::BytesMut;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use motet_wire::{EndpointId, EndpointKey};

/// Waits between copies of HS1 and HS3, in ms (S-1).
pub const RETRIES_MS: [u64; 5] = [250, 500, 1_000, 2_000, 2_000];
/// Between the first copies to several addresses (S-2).
const STAGGER: Duration = Duration::from_millis(100);
/// How long an answered HS1 is remembered (S-5).
pub const HALF_OPEN_FOR: Duration = Duration::from_secs(5);
/// Handshakes half open at most; beyond [`COOKIES_FROM`] only with a cookie (S-7).
pub const HALF_OPEN_MAX: usize = 1_024;
/// From here on cookies are asked for (S-7).
pub const COOKIES_FROM: usize = 64;
/// DATA that overtook HS3 and waits for it.
pub const EARLY_MAX: usize = 16;

/// A handshake that we began.
pub struct Dial<H> {
    /// Whom we want, if we know.
    pub id: Option<EndpointId>,
    /// Our session index.
    pub index: u32,
    /// The datagram, mac1 included.
    pub hs1: Vec<u8>,
    /// The suite that message 1 was made with.
    pub suite: u8,
    /// Noise, after message 1.
    pub noise: H,
    /// A cookie was asked for and given.
    pub cookie: bool,
    /// Answers that proved nothing.
    pub failures: u32,
    targets: Vec<Target>,
}

struct Target {
    addr: SocketAddr,
    tries: usize,
    at: Time,
}

impl<H> Dial<H> {
    /// Starts a dial to `addrs`, best first.
    pub fn new(
        now: Time,
        id: Option<EndpointId>,
        addrs: &[SocketAddr],
        index: u32,
        suite: u8,
        hs1: Vec<u8>,
        noise: H,
    ) -> Self {
        let target = |(i, addr): (usize, &SocketAddr)| Target {
            addr: *addr,
            tries: 0,
            at: now + STAGGER * u32::try_from(i).unwrap_or(u32::MAX),
        };
        let targets = addrs.iter().take(8).enumerate().map(target).collect();
        Self { id, index, hs1, suite, noise, cookie: false, failures: 0, targets }
    }

    /// Where it goes.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.targets.iter().map(|target| target.addr).collect()
    }

    /// Where a copy of HS1 is due now.
    pub fn poll(&mut self, now: Time) -> Option<SocketAddr> {
        let due = |target: &&mut Target| target.at <= now && target.tries < RETRIES_MS.len();
        let target = self.targets.iter_mut().find(due)?;
        let wait = *RETRIES_MS.get(target.tries)?;
        target.tries += 1;
        target.at = now + Duration::from_millis(wait);
        Some(target.addr)
    }

    /// Nothing is left to try.
    pub fn failed(&self, now: Time) -> bool {
        self.targets.iter().all(|target| target.tries >= RETRIES_MS.len() && target.at <= now)
    }

    /// When [`poll`](Self::poll) or [`failed`](Self::failed) changes.
    pub fn deadline(&self) -> Time {
        let left = |target: &&Target| target.tries < RETRIES_MS.len();
        let next = self.targets.iter().filter(left).map(|target| target.at).min();
        let last = self.targets.iter().map(|target| target.at).max(); // all tried: then it fails
        next.or(last).unwrap_or(Time::ZERO)
    }

    /// This address does not answer; the others go on at once.
    pub fn unreachable(&mut self, now: Time, addr: SocketAddr) {
        self.targets.retain(|target| target.addr != addr || self.id.is_none());
        if let Some(next) =
            self.targets.iter_mut().filter(|target| target.tries == 0).min_by_key(|t| t.at)
        {
            next.at = now;
        }
    }

    /// Send HS1 again at once to the address that asked for a cookie.
    pub fn again(&mut self, now: Time, addr: SocketAddr) {
        if let Some(target) = self.targets.iter_mut().find(|target| target.addr == addr) {
            target.at = now;
        }
    }
}

/// A handshake that we answered.
pub struct HalfOpen<H> {
    /// The initiator, as it says.
    pub key: EndpointKey,
    /// Its session index.
    pub remote: u32,
    /// Its ephemeral key: with the index it names the HS1.
    pub ephemeral: [u8; 32],
    /// HS1's stamp, proved by HS3.
    pub stamp: u64,
    /// Where it came from.
    pub addr: SocketAddr,
    /// The address of ours that it came to.
    pub local: Option<IpAddr>,
    /// The suite.
    pub suite: u8,
    /// Our answer, for copies of the HS1.
    pub hs2: Vec<u8>,
    /// Noise, after message 2.
    pub noise: H,
    /// When it came.
    pub since: Time,
    /// DATA that overtook HS3.
    pub early: Vec<(RecvMeta, BytesMut)>,
    /// Third messages that proved nothing.
    pub failures: u32,
}

/// Handshake packets counted by time, to know when cookies are due (S-7).
#[derive(Default)]
pub struct Load {
    second: u64,
    all: u32,
    by_net: BTreeMap<[u8; 8], u32>,
}

impl Load {
    /// Counts one HS1. True if cookies are due.
    pub fn on_hs1(&mut self, now: Time, from: IpAddr, half_open: usize) -> bool {
        let second = now.0 / 1_000_000_000;
        if second != self.second {
            (self.second, self.all) = (second, 0);
            self.by_net.clear();
        }
        self.all = self.all.saturating_add(1);
        let mut net = [0; 8];
        match from {
            IpAddr::V4(v4) => net[..3].copy_from_slice(&v4.octets()[..3]),
            IpAddr::V6(v6) => net.copy_from_slice(&v6.octets()[..8]),
        }
        let of_net = if self.by_net.len() < 4_096 || self.by_net.contains_key(&net) {
            let count = self.by_net.entry(net).or_insert(0);
            *count = count.saturating_add(1);
            *count
        } else {
            u32::MAX
        };
        half_open >= COOKIES_FROM || self.all > 50 || of_net > 20
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(addrs: &[SocketAddr]) -> Dial<()> {
        Dial::new(Time::ZERO, None, addrs, 1, 1, Vec::new(), ())
    }

    #[test] // S-1, S-2
    fn addresses_are_tried_in_parallel_and_each_five_times() {
        let [a, b] = [SocketAddr::from(([10, 0, 0, 1], 1)), SocketAddr::from(([10, 0, 0, 2], 1))];
        let mut dial = dial(&[a, b]);
        let mut log = Vec::new();
        while !dial.failed(dial.deadline()) {
            let now = dial.deadline();
            match dial.poll(now) {
                Some(addr) => log.push((now.0 / 1_000_000, addr)),
                None => break,
            }
        }
        assert_eq!(log[..4], [(0, a), (100, b), (250, a), (350, b)]);
        assert_eq!(log.len(), 10);
    }

    #[test] // S-2
    fn a_dial_never_waits_for_a_moment_at_which_nothing_changes() {
        let [a, b] = [SocketAddr::from(([10, 0, 0, 1], 1)), SocketAddr::from(([10, 0, 0, 2], 1))];
        let mut dial = dial(&[a, b]);
        let mut now = Time::ZERO;
        while !dial.failed(now) {
            assert!(dial.poll(now).is_some(), "woken for nothing at {now:?}");
            while dial.poll(now).is_some() {}
            assert!(dial.deadline() > now);
            now = dial.deadline();
        }
        assert_eq!(now, Time(5_850_000_000));
    }

    #[test] // S-7
    fn cookies_are_asked_for_under_load() {
        let mut load = Load::default();
        let from = |c, d| IpAddr::from([10, 0, c, d]);
        assert!((1..=20).all(|d| !load.on_hs1(Time::ZERO, from(0, d), 0)));
        assert!(load.on_hs1(Time::ZERO, from(0, 99), 0), "the 21st from one /24");
        assert!(!load.on_hs1(Time::ZERO, from(1, 1), 0));
        assert!(load.on_hs1(Time::ZERO, from(1, 1), COOKIES_FROM));
        let many = (2..40).filter(|c| load.on_hs1(Time::ZERO, from(*c, 1), 0)).count();
        assert!(many < 38);
        assert!(load.on_hs1(Time::ZERO, from(99, 1), 0), "more than 50 in one second");
        assert!(!load.on_hs1(Time(1_000_000_000), from(99, 1), 0), "the next second starts anew");
    }
}
