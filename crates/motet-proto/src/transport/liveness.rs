//! Is the peer of a session alive? Any authenticated packet says yes; nothing else does.
//!
//! S-30 After `rate` of silence the peer is pinged; S-31 three pings without an answer make it
//! suspect; S-32 silence of `rate × multiplier`, stretched by our own ill health, makes it dead.
//! S-33 A dead session keeps its keys for the resume window and is pinged once a second.

use crate::Time;
use crate::config::Liveness;
use core::time::Duration;

/// What the node must do about a silent peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// Send a PING.
    Ping,
    /// Send a PING; the peer has just become suspect.
    Suspect,
    /// It has just died.
    Dead,
    /// It has been dead for the whole resume window: free it.
    Forget,
}

/// Where the peer stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Heard of lately.
    Alive,
    /// Pinged in vain.
    Suspect,
    /// Given up at this time, may come back.
    Dead(Time),
}

/// The watch over one peer.
#[derive(Debug)]
pub struct Watch {
    state: State,
    heard: Time,
    pinged: Option<Time>,
    pings: u32,
    /// A PING is wanted since then, whatever the silence.
    doubted: Option<Time>,
}

impl Watch {
    /// A peer heard of just now.
    pub fn new(now: Time) -> Self {
        Self { state: State::Alive, heard: now, pinged: None, pings: 0, doubted: None }
    }

    /// Where the peer stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// When it was last heard of.
    pub fn heard(&self) -> Time {
        self.heard
    }

    /// It was silent and has been asked; no answer yet.
    pub fn asks(&self) -> bool {
        self.pinged.is_some()
    }

    /// An authenticated packet came. Returns the state before.
    pub fn on_heard(&mut self, now: Time) -> State {
        let before = self.state;
        *self = Self::new(now);
        before
    }

    /// Our own timers fired `late`: the silence is partly ours and does not count.
    pub fn forgive(&mut self, now: Time, late: Duration) {
        if !matches!(self.state, State::Dead(_)) {
            self.heard = (self.heard + late).min(now.max(self.heard));
        }
    }

    /// It is known by other means to be gone: silence needs no longer be waited for.
    pub fn declare_dead(&mut self, now: Time) {
        self.state = State::Dead(now);
        self.pinged = Some(now);
    }

    /// Asks for a PING at once, whatever the silence.
    pub fn doubt(&mut self, now: Time) {
        if self.pinged.is_none() {
            self.doubted = Some(now);
        }
    }

    /// Looks at the clock.
    pub fn on_time(
        &mut self,
        now: Time,
        profile: Liveness,
        rto: Duration,
        resume: Duration,
    ) -> Verdict {
        if self.deadline(profile, rto, resume) > now {
            return Verdict::Fine;
        }
        self.doubted = None;
        if let State::Dead(since) = self.state {
            if now.since(since) >= resume {
                return Verdict::Forget;
            }
            self.pinged = Some(now);
            return Verdict::Ping;
        }
        if now.since(self.heard) >= profile.dead_after() {
            self.state = State::Dead(now);
            self.pinged = Some(now);
            return Verdict::Dead;
        }
        self.pinged = Some(now);
        self.pings += 1;
        if self.pings > 3 && self.state == State::Alive {
            self.state = State::Suspect;
            return Verdict::Suspect;
        }
        Verdict::Ping
    }

    /// When [`on_time`](Self::on_time) has something to say.
    pub fn deadline(&self, profile: Liveness, rto: Duration, resume: Duration) -> Time {
        if let State::Dead(since) = self.state {
            let ping = self.pinged.map_or(since, |at| at + Duration::from_secs(1));
            return ping.min(since + resume);
        }
        let ping = match self.pinged {
            None => self.doubted.unwrap_or(self.heard + profile.rate),
            Some(at) => at + rto.max(profile.rate / 5),
        };
        ping.min(self.heard + profile.dead_after())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const RTO: Duration = Duration::from_millis(2);

    fn run(watch: &mut Watch, until: u64) -> Vec<(u64, Verdict)> {
        let mut out = Vec::new();
        loop {
            let at = watch.deadline(Liveness::NORMAL, RTO, SECOND * 60);
            if at.0 > until * 1_000_000_000 {
                return out;
            }
            let verdict = watch.on_time(at, Liveness::NORMAL, RTO, SECOND * 60);
            out.push((at.0 / 1_000_000, verdict));
            if verdict == Verdict::Forget {
                return out;
            }
        }
    }

    #[test] // S-30, S-31, S-32
    fn silence_is_pinged_then_suspected_then_death() {
        let mut watch = Watch::new(Time::ZERO);

        let seen = run(&mut watch, 5);

        assert_eq!(seen[0], (1_000, Verdict::Ping));
        let suspect = seen.iter().find(|(_, v)| *v == Verdict::Suspect).unwrap();
        assert!((1_600..3_000).contains(&suspect.0), "{seen:?}");
        assert_eq!(*seen.last().unwrap(), (5_000, Verdict::Dead));
    }

    #[test] // S-33
    fn the_dead_are_pinged_every_second_and_forgotten_after_the_resume_window() {
        let mut watch = Watch::new(Time::ZERO);

        let seen = run(&mut watch, 100);

        assert_eq!(*seen.last().unwrap(), (65_000, Verdict::Forget));
        let pings = seen.iter().filter(|(at, v)| *at > 5_000 && *v == Verdict::Ping).count();
        assert!((58..=60).contains(&pings), "{pings}");
    }

    #[test] // S-30
    fn doubt_asks_for_a_ping_now_and_not_in_the_past() {
        let mut watch = Watch::new(Time::ZERO);
        let now = Time(500_000_000);
        watch.doubt(now);

        assert_eq!(watch.deadline(Liveness::NORMAL, RTO, SECOND * 60), now);
        assert_eq!(watch.on_time(now, Liveness::NORMAL, RTO, SECOND * 60), Verdict::Ping);
        assert!(watch.deadline(Liveness::NORMAL, RTO, SECOND * 60) > now);
        watch.forgive(now, SECOND);
        assert_eq!(watch.heard(), now, "nobody was heard in the future");
    }

    #[test] // S-32
    fn anything_heard_revives_and_our_own_lateness_does_not_count() {
        let mut watch = Watch::new(Time::ZERO);
        run(&mut watch, 5);
        assert!(matches!(watch.on_heard(Time(6_000_000_000)), State::Dead(_)));

        watch.forgive(Time(9_000_000_000), SECOND * 3);

        assert_eq!(watch.deadline(Liveness::NORMAL, RTO, SECOND * 60), Time(10_000_000_000));
    }
}
