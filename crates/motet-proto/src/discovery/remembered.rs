//! Where members lived in an earlier run: guesses, tried until somebody is found.

use super::jittered;
use super::outbox::{Action, Outbox};
use crate::Time;
use crate::rng::Rng;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// Guesses kept; more are ignored.
pub const REMEMBERED_MAX: usize = 64;
/// Dials of guesses under way at once: an old address costs a datagram or five, a late start more.
const DIALS_MAX: usize = 8;
/// Dials without an answer after which a guess is given up, once anybody is there.
const TRIES_MAX: u32 = 3;
/// The wait after the first failure, doubled after each.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest wait.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Guess {
    addr: SocketAddr,
    tries: u32,
    dialing: bool,
    /// When to dial, or to give the dial up.
    at: Time,
}

#[derive(Default, Debug)]
pub(super) struct Remembered(Vec<Guess>);

impl Remembered {
    pub(super) fn new(now: Time, addrs: &[SocketAddr]) -> Self {
        let mut guesses: Vec<Guess> = Vec::new();
        for addr in addrs.iter().copied() {
            let known = guesses.iter().any(|guess| guess.addr == addr);
            if guesses.len() < REMEMBERED_MAX && !known {
                guesses.push(Guess { addr, tries: 0, dialing: false, at: now });
            }
        }
        Self(guesses)
    }

    /// Somebody has been met there.
    pub(super) fn met(&mut self, addr: SocketAddr) {
        self.0.retain(|guess| guess.addr != addr);
    }

    pub(super) fn dial_failed(&mut self, now: Time, addr: SocketAddr, rng: &mut Rng) {
        let dialing = |guess: &&mut Guess| guess.addr == addr && guess.dialing;
        if let Some(guess) = self.0.iter_mut().find(dialing) {
            guess.failed(now, rng);
        }
    }

    /// Dials what is due. `met`: somebody lives at this address, or we do; `lonely`: nobody has
    /// been found yet.
    pub(super) fn on_timeout(
        &mut self,
        now: Time,
        met: impl Fn(SocketAddr) -> bool,
        lonely: bool,
        rng: &mut Rng,
        out: &mut Outbox,
    ) {
        for guess in &mut self.0 {
            if guess.dialing && guess.at <= now {
                guess.failed(now, rng);
            }
        }
        let due = |guess: &Guess| !guess.dialing && guess.at <= now;
        let given_up = |guess: &Guess| guess.tries >= TRIES_MAX && !lonely; // D-81
        self.0.retain(|guess| !due(guess) || !(given_up(guess) || met(guess.addr)));
        let mut room = DIALS_MAX.saturating_sub(self.dialing());
        for guess in self.0.iter_mut().filter(|guess| due(guess)) {
            if room == 0 {
                return;
            }
            room -= 1;
            guess.dialing = true;
            guess.at = now + super::DIAL_LOST;
            out.push(Action::Dial { id: None, addrs: vec![guess.addr] }); // D-81
        }
    }

    pub(super) fn deadline(&self) -> Time {
        let full = self.dialing() >= DIALS_MAX;
        let due = self.0.iter().filter(|guess| guess.dialing || !full).map(|guess| guess.at);
        due.min().unwrap_or(Time::NEVER)
    }

    fn dialing(&self) -> usize {
        self.0.iter().filter(|guess| guess.dialing).count()
    }
}

impl Guess {
    fn failed(&mut self, now: Time, rng: &mut Rng) {
        let wait = BACKOFF_MIN * (1 << self.tries.min(6));
        self.at = now + jittered(wait.min(BACKOFF_MAX), 20, rng);
        self.tries += 1;
        self.dialing = false;
    }
}
