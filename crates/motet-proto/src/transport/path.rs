//! The addresses of a session's peer: one in use, others being tried.
//!
//! S-40 A packet from a new address does not move the session; an answer to a challenge sent there
//! does. S-41 An address that has not answered gets challenges only, at most four of them: 41 bytes
//! each, so that nobody is flooded through us (RFC 9000, 8.1).

use crate::Time;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// Most addresses tried at a time.
const TRIALS_MAX: usize = 8;
const RETRY: Duration = Duration::from_millis(250);
const TRIES: u32 = 4;

/// Where a session's packets go.
#[derive(Debug)]
pub struct Path {
    /// The peer's address in use.
    pub remote: SocketAddr,
    /// Our address that it talks to.
    pub local: Option<IpAddr>,
    trials: Vec<Trial>,
}

#[derive(Debug)]
struct Trial {
    addr: SocketAddr,
    local: Option<IpAddr>,
    token: u64,
    tries: u32,
    at: Time,
}

impl Path {
    /// A path that the handshake has proved.
    pub fn new(remote: SocketAddr, local: Option<IpAddr>) -> Self {
        Self { remote, local, trials: Vec::new() }
    }

    /// Our addresses have changed. Where the one that the peer talks to is gone, the host chooses
    /// another: a datagram from an address that we do not have is never sent.
    pub fn on_own_addresses(&mut self, still_ours: impl Fn(IpAddr) -> bool) {
        let trials = self.trials.iter_mut().map(|trial| &mut trial.local);
        for local in trials.chain([&mut self.local]) {
            *local = local.filter(|ip| still_ours(*ip));
        }
    }

    /// Starts trying an address, unless it is tried already. `token` must be random.
    pub fn try_address(&mut self, now: Time, addr: SocketAddr, local: Option<IpAddr>, token: u64) {
        let known = self.trials.iter().any(|trial| trial.addr == addr);
        if !known && self.trials.len() < TRIALS_MAX {
            self.trials.push(Trial { addr, local, token, tries: 0, at: now });
        }
    }

    /// The next challenge to send: where, from where, its token.
    pub fn challenge(&mut self, now: Time) -> Option<(SocketAddr, Option<IpAddr>, u64)> {
        self.trials.retain(|trial| trial.tries < TRIES || trial.at > now);
        let due = |trial: &&mut Trial| trial.tries < TRIES && trial.at <= now;
        let trial = self.trials.iter_mut().find(due)?;
        trial.tries += 1;
        trial.at = now + RETRY * trial.tries;
        Some((trial.addr, trial.local, trial.token))
    }

    /// A challenge was answered: the session moves. Returns true if the host changed, not only the
    /// port, so that what was learnt of the way no longer holds.
    pub fn on_response(&mut self, token: u64) -> Option<bool> {
        let at = self.trials.iter().position(|trial| trial.token == token)?;
        let trial = self.trials.swap_remove(at);
        if trial.addr == self.remote {
            return None;
        }
        let moved = trial.addr.ip() != self.remote.ip();
        (self.remote, self.local) = (trial.addr, trial.local.or(self.local));
        self.trials.clear();
        Some(moved)
    }

    /// When a challenge is due.
    pub fn deadline(&self) -> Time {
        self.trials.iter().map(|trial| trial.at).min().unwrap_or(Time::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(last: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], port))
    }

    #[test] // S-40
    fn only_an_answered_challenge_moves_the_session() {
        let mut path = Path::new(addr(1, 1), None);
        path.try_address(Time::ZERO, addr(2, 1), None, 7);
        path.try_address(Time::ZERO, addr(2, 1), None, 8);

        assert_eq!(path.challenge(Time::ZERO), Some((addr(2, 1), None, 7)));
        assert_eq!(path.challenge(Time::ZERO), None, "one at a time, and it is not due again");
        assert_eq!(path.on_response(9), None);
        assert_eq!(path.remote, addr(1, 1));
        assert_eq!(path.on_response(7), Some(true));
        assert_eq!(path.remote, addr(2, 1));
    }

    #[test]
    fn an_address_of_ours_that_is_gone_is_not_sent_from() {
        let (old, kept) = (addr(8, 0).ip(), addr(9, 0).ip());
        let mut path = Path::new(addr(1, 1), Some(old));
        path.try_address(Time::ZERO, addr(2, 1), Some(old), 7);
        path.try_address(Time::ZERO, addr(3, 1), Some(kept), 8);
        path.on_own_addresses(|ip| ip == kept);

        assert_eq!(path.local, None);
        assert_eq!(path.challenge(Time::ZERO), Some((addr(2, 1), None, 7)));
        assert_eq!(path.challenge(Time::ZERO), Some((addr(3, 1), Some(kept), 8)));
    }

    #[test] // S-41
    fn a_silent_address_is_tried_four_times_and_dropped() {
        let mut path = Path::new(addr(1, 1), None);
        path.try_address(Time::ZERO, addr(1, 2), None, 7);
        let mut sent = 0;
        while path.deadline() < Time::NEVER {
            let now = path.deadline();
            sent += u32::from(path.challenge(now).is_some());
        }
        assert_eq!(sent, TRIES);
    }
}
