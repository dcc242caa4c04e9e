//! Which instance gets a call.
//!
//! The one with the shortest expected wait: open requests × time per request ÷ requests at once.
//! Where waits are equal, as between idle instances, work is dealt out in proportion to speed: each
//! assignment moves an instance's clock on by its time per request, and the earliest clock is next.
//! Of more than 16 instances two are drawn at random and compared.

use super::terms::{Address, CallSettings, InstanceState, Offer, Reach, Role};
use crate::ids::EndpointKey;
use crate::rng::Rng;
use crate::time::Time;
use crate::wanted::{groups, version_fits};
use alloc::vec::Vec;
use core::time::Duration;

/// Up to so many instances are all looked at.
const LOOK_AT_ALL: usize = 16;
/// Below this, a time per request is noise: such instances count as equally fast.
const FLOOR_US: u64 = 100;
/// A server's own figure of its backlog is believed for so long.
const FRESH: Duration = Duration::from_millis(500);
/// The first penalty after a failure; doubled with each more, up to 32 s, over with a success.
const PENALTY: Duration = Duration::from_secs(1);

/// What is known of an instance's speed and load.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    /// Our requests that are open there.
    pub(super) outstanding: usize,
    /// Time per request, smoothed, in µs; 0 until known.
    pub(super) took_us: u64,
    /// What it said of its backlog, and when.
    pub(super) backlog: (u64, Time),
    /// When the oldest open request was sent.
    pub(super) oldest: Option<Time>,
    /// Its clock: see above.
    pub(super) clock: u64,
    /// When it is no longer avoided, and how often it has failed in a row.
    pub(super) avoid: (Time, u32),
}

impl Pace {
    /// An answer came: it took so long, and so many are left there.
    pub(super) fn on_answer(&mut self, now: Time, took_us: u64, backlog: u64) {
        self.took_us = match self.took_us {
            0 => took_us.max(1),
            old => (old * 7 + took_us) / 8,
        };
        self.backlog = (backlog, now);
        self.avoid = (Time::ZERO, 0);
    }

    /// It did not answer in time.
    pub(super) fn on_failure(&mut self, now: Time) {
        let times = self.avoid.1.min(5);
        self.avoid = (now + PENALTY * (1 << times), self.avoid.1.saturating_add(1));
    }

    /// Time per request, in µs: what was measured, or what the oldest open one already shows.
    fn time_us(&self, now: Time) -> u64 {
        let waits = self.oldest.map_or(0, |sent| now.since(sent).as_micros());
        let waits = u64::try_from(waits).unwrap_or(u64::MAX) / (self.outstanding as u64).max(1);
        self.took_us.max(waits).max(FLOOR_US)
    }
}

/// Whether an instance may get this call at all.
pub(super) fn may_serve(offer: &Offer, key: EndpointKey, settings: &CallSettings) -> bool {
    let reach = match settings.reach {
        Reach::Callers => matches!(offer.role, Role::Direct | Role::Broker),
        Reach::Workers => matches!(offer.role, Role::Direct | Role::Worker),
        Reach::Brokers => offer.role == Role::Broker,
    };
    // A broker finds out itself which of its workers is meant.
    let broker = offer.role == Role::Broker;
    let meant = match &settings.address {
        Address::Any => true,
        Address::Endpoint(id) => *id == key.id || broker && settings.only.is_some(),
        Address::Group(group) => broker || groups(&offer.metadata).any(|it| it == group),
    };
    reach
        && meant
        && settings.only.is_none_or(|only| only == key.id)
        && (offer.state == InstanceState::Up || crate::planted::on("draining_server_chosen"))
        && (broker || version_fits(&offer.version, &settings.version))
}

/// One that may be chosen.
pub(super) struct Candidate<'a> {
    pub(super) key: EndpointKey,
    pub(super) offer: &'a Offer,
    pub(super) pace: &'a Pace,
    /// It failed this call: only if there is no other.
    pub(super) failed: bool,
    /// Its endpoint is suspected: only if there is none better.
    pub(super) doubtful: bool,
}

/// What an instance is compared by; less is better.
fn rank(now: Time, candidate: &Candidate<'_>, best_us: u64) -> (bool, bool, u64, u64) {
    let Candidate { offer, pace, failed, doubtful, .. } = candidate;
    let time = even(pace.time_us(now), best_us);
    let known = pace.outstanding as u64;
    let told = if now.since(pace.backlog.1) < FRESH { pace.backlog.0 } else { 0 };
    let wait =
        known.max(told).saturating_mul(time).saturating_mul(1_024) / offer.concurrency.max(1);
    (*failed, *doubtful || pace.avoid.0 > now, wait, pace.clock)
}

/// Times that differ little count as equal: what is measured is never exact.
fn even(time: u64, best: u64) -> u64 {
    if time < best.saturating_mul(3) / 2 { best } else { time }
}

/// The best of those that have credit; `None` if none has.
pub(super) fn choose(
    now: Time,
    candidates: &[Candidate<'_>],
    rng: &mut Rng,
) -> Option<EndpointKey> {
    let open: Vec<&Candidate<'_>> =
        candidates.iter().filter(|it| (it.pace.outstanding as u64) < it.offer.credit).collect();
    let best = best_time(now, candidates);
    let drawn: Vec<&Candidate<'_>> = if open.len() <= LOOK_AT_ALL {
        open
    } else {
        let any = |rng: &mut Rng| open.get(rng.below(open.len() as u64) as usize).copied();
        let good = |it: &&Candidate<'_>| !it.failed && !it.doubtful && it.pace.avoid.0 <= now;
        let mut two: Vec<_> = (0..8).filter_map(|_| any(rng)).filter(good).take(2).collect();
        if two.is_empty() {
            two.extend(open.iter().copied());
        }
        two
    };
    drawn.into_iter().min_by_key(|it| (rank(now, it, best), it.key)).map(|it| it.key)
}

/// The time per request of the fastest.
fn best_time(now: Time, candidates: &[Candidate<'_>]) -> u64 {
    let known = |it: &&Candidate<'_>| it.pace.took_us > 0;
    candidates.iter().filter(known).map(|it| it.pace.time_us(now)).min().unwrap_or(FLOOR_US)
}

/// How far the clock of an instance moves with one more request.
pub(super) fn stride(now: Time, candidates: &[Candidate<'_>], key: EndpointKey) -> u64 {
    let best = best_time(now, candidates);
    let chosen = candidates.iter().find(|it| it.key == key);
    chosen.map_or(0, |it| even(it.pace.time_us(now), best) * 1_024 / it.offer.concurrency.max(1))
}
