//! Peers that are known by address alone.

use super::addresses::ADDRESSES_MAX;
use super::jittered;
use super::outbox::{Action, Outbox};
use crate::Time;
use crate::ids::EndpointId;
use crate::rng::Rng;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// Seeds kept; more are refused and counted.
const SEEDS_MAX: usize = 256;
/// Dials to seeds under way at once.
const DIALS_MAX: usize = 2;
/// The wait after the first failure, doubled after each (§2.14).
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// A contact: a host whose port is not known has several addresses.
#[derive(Debug)]
struct Seed {
    addrs: Vec<SocketAddr>,
    backoff: Duration,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Waiting(Time),
    /// A dial is under way; given up then, should nobody report its end.
    Dialing(Time),
    /// It is this member.
    Up(EndpointId),
}

#[derive(Default, Debug)]
pub(super) struct Seeds(Vec<Seed>);

impl Seeds {
    /// False if there is no room for one more.
    pub(super) fn add(&mut self, now: Time, addrs: &[SocketAddr]) -> bool {
        let addrs = addrs.get(..addrs.len().min(ADDRESSES_MAX)).unwrap_or_default();
        if addrs.is_empty() || self.0.iter().any(|seed| seed.addrs == addrs) {
            return true;
        }
        if self.0.len() >= SEEDS_MAX {
            return false;
        }
        let state = State::Waiting(now);
        self.0.push(Seed { addrs: addrs.to_vec(), backoff: BACKOFF_MIN, state });
        true
    }

    /// Not tried any more. A session that stands is not touched.
    pub(super) fn remove(&mut self, addrs: &[SocketAddr]) {
        let addrs = addrs.get(..addrs.len().min(ADDRESSES_MAX)).unwrap_or_default();
        self.0.retain(|seed| seed.addrs != addrs);
    }

    /// The seed at this address is that member: let it be while its session stands (D-24).
    pub(super) fn identified(&mut self, addr: SocketAddr, id: EndpointId) {
        for seed in self.0.iter_mut().filter(|seed| seed.addrs.contains(&addr)) {
            seed.state = State::Up(id);
            seed.backoff = BACKOFF_MIN;
        }
    }

    pub(super) fn session_down(&mut self, now: Time, id: EndpointId, rng: &mut Rng) {
        for seed in self.0.iter_mut().filter(|seed| seed.state == State::Up(id)) {
            seed.wait(now, rng);
        }
    }

    pub(super) fn dial_failed(&mut self, now: Time, addrs: &[SocketAddr], rng: &mut Rng) {
        let dialing = |seed: &&mut Seed| {
            matches!(seed.state, State::Dialing(_))
                && addrs.first().is_some_and(|addr| seed.addrs.contains(addr))
        };
        if let Some(seed) = self.0.iter_mut().find(dialing) {
            seed.wait(now, rng);
        }
    }

    /// Dials what is due. `known` tells the live member at an address; `own` our own addresses.
    pub(super) fn on_timeout(
        &mut self,
        now: Time,
        known: impl Fn(SocketAddr) -> Option<EndpointId>,
        own: impl Fn(SocketAddr) -> bool,
        rng: &mut Rng,
        out: &mut Outbox,
    ) {
        for seed in &mut self.0 {
            if matches!(seed.state, State::Dialing(until) if until <= now) {
                seed.wait(now, rng);
            }
        }
        while self.dialing() < DIALS_MAX {
            let waiting = |seed: &&mut Seed| matches!(seed.state, State::Waiting(at) if at <= now);
            let due = self.0.iter_mut().filter(waiting).min_by_key(|seed| seed.at());
            let Some(seed) = due else { return };
            if let Some(id) = seed.addrs.iter().find_map(|addr| known(*addr)) {
                seed.state = State::Up(id);
                continue;
            }
            let others = seed.addrs.iter().copied().filter(|addr| !own(*addr));
            let addrs: Vec<SocketAddr> = others.collect();
            if addrs.is_empty() {
                seed.wait(now, rng);
            } else {
                seed.state = State::Dialing(now + super::DIAL_LOST);
                out.push(Action::Dial { id: None, addrs }); // D-23, D-80
            }
        }
    }

    pub(super) fn deadline(&self) -> Time {
        let full = self.dialing() >= DIALS_MAX;
        let due = |seed: &Seed| match seed.state {
            State::Waiting(_) if full => Time::NEVER,
            _ => seed.at(),
        };
        self.0.iter().map(due).min().unwrap_or(Time::NEVER)
    }

    fn dialing(&self) -> usize {
        self.0.iter().filter(|seed| matches!(seed.state, State::Dialing(_))).count()
    }
}

impl Seed {
    fn at(&self) -> Time {
        match self.state {
            State::Waiting(at) | State::Dialing(at) => at,
            State::Up(_) => Time::NEVER,
        }
    }

    fn wait(&mut self, now: Time, rng: &mut Rng) {
        self.state = State::Waiting(now + jittered(self.backoff, 20, rng));
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX); // D-23
    }
}
