//! Whom a caller may call, as name servers say: when it asks them, and how long it believes them.
//!
//! | goes in | effect |
//! |---|---|
//! | [`Resolver::used`], [`Resolver::lacks`] | a question is due, if what is known is old or of no use |
//! | [`Resolver::ask`] | the question goes out; one at a time |
//! | [`Resolver::answered`] | who has the name, each until its lease ends (B-25) |
//! | [`Resolver::unanswered`] | what is believed stays believed until its leases end |
//! | [`Resolver::expire`] | leases that ran out end |
//!
//! It is asked when there are calls, and not otherwise: at half of the shortest lease, so that no call
//! waits for a name server while there are others. A call that finds nobody is never told so by what
//! was asked before it was made (B-26).
//!
//! Bounds: one question at a time, [`HOLDERS_MAX`] holders. Not in it: which name server is asked, and
//! that the next one is asked when one is mute: that is a call like any other.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use crate::ids::EndpointId;
use crate::time::Time;

/// Holders of one name; those beyond are counted and left out.
pub const HOLDERS_MAX: usize = 65_536;
/// The pause between two questions while calls find nobody: the first, doubled up to the longest.
pub const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// An answer is not asked for again before the first of these, and is after the second.
pub const FRESH: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// What name servers have said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Said {
    /// They have not answered yet.
    #[default]
    Nothing,
    /// There is no name server, or none that answers.
    Nobody,
    /// Who has the name.
    Holders,
}

/// What a caller knows of one name.
#[derive(Debug, Default)]
pub struct Resolver {
    /// Who has it, and until when.
    holders: BTreeMap<EndpointId, Time>,
    /// When what is known was asked for.
    asked: Option<Time>,
    said: Said,
    /// A question is on its way since then.
    out: Option<Time>,
    /// When the next one is due.
    due: Option<Time>,
    /// When the last one ended, and from when on a call is a reason for another.
    ended: Time,
    old: Time,
    pause: Duration,
    changed: bool,
    left_out: u64,
}

impl Resolver {
    /// One that knows nothing.
    pub fn new() -> Self {
        Self { pause: PAUSE.0, ..Self::default() }
    }

    /// A call begins.
    pub fn used(&mut self, now: Time) {
        if self.said == Said::Nothing || self.old <= now {
            self.due_at(now);
        }
    }

    /// A call finds nobody among those that are known, or none that is known late enough.
    pub fn lacks(&mut self, now: Time) {
        let at = match self.said {
            Said::Nothing => now,
            _ => now.max(self.ended + self.pause),
        };
        self.due_at(at);
    }

    fn due_at(&mut self, at: Time) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Whether the name servers are to be asked now. If so the question counts as on its way.
    pub fn ask(&mut self, now: Time) -> bool {
        let due = self.out.is_none() && self.due.is_some_and(|due| due <= now);
        if due {
            (self.out, self.due) = (Some(now), None);
        }
        due
    }

    /// A name server has answered: who has the name, and what is left of each lease. `whole`: it knows
    /// all; one that has just begun does not, and nobody is gone because it does not know it.
    pub fn answered(
        &mut self,
        now: Time,
        whole: bool,
        found: impl IntoIterator<Item = (EndpointId, Duration)>,
    ) {
        let whole = whole || crate::planted::on("resolver_believes_the_young");
        let before: BTreeSet<EndpointId> = self.holders.keys().copied().collect();
        if whole {
            self.holders.clear();
        }
        let mut shortest = FRESH.1 * 2;
        for (id, left) in found {
            if self.holders.len() >= HOLDERS_MAX && !self.holders.contains_key(&id) {
                self.left_out += 1;
                continue;
            }
            shortest = shortest.min(left);
            let until = self.holders.entry(id).or_insert(Time::ZERO);
            *until = (*until).max(now + left);
        }
        self.said = Said::Holders;
        self.over(now, whole);
        let fresh = if whole { (shortest / 2).clamp(FRESH.0, FRESH.1) } else { FRESH.0 };
        self.old = now + fresh;
        if self.holders.len() != before.len() || !self.holders.keys().all(|id| before.contains(id))
        {
            self.pause = PAUSE.0;
        }
    }

    /// There is no name server, or none has answered.
    pub fn unanswered(&mut self, now: Time) {
        self.said = Said::Nobody;
        self.over(now, true);
        self.old = now;
    }

    fn over(&mut self, now: Time, told: bool) {
        let asked = self.out.take();
        if told {
            self.asked = asked.or(self.asked);
        }
        (self.ended, self.changed) = (now, true);
        self.pause = (self.pause * 2).min(PAUSE.1);
    }

    /// Ends the leases that ran out (B-25).
    pub fn expire(&mut self, now: Time) {
        if crate::planted::on("resolver_keeps_what_ran_out") {
            return;
        }
        let before = self.holders.len();
        self.holders.retain(|_, until| *until > now);
        self.changed |= self.holders.len() != before;
    }

    /// When [`expire`](Self::expire) or [`ask`](Self::ask) is to be called next.
    pub fn deadline(&self) -> Time {
        let lease = self.holders.values().copied().min();
        let due = self.due.filter(|_| self.out.is_none());
        lease.into_iter().chain(due).min().unwrap_or(Time::NEVER)
    }

    /// If something has changed: when it was asked for, and who may be called.
    pub fn take_change(&mut self) -> Option<(Option<Time>, BTreeSet<EndpointId>)> {
        core::mem::take(&mut self.changed)
            .then(|| (self.asked, self.holders.keys().copied().collect()))
    }

    /// What name servers said last, and how many have the name.
    pub fn said(&self) -> (Said, usize) {
        (self.said, self.holders.len())
    }

    /// Holders that had no room.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    fn id(n: u8) -> EndpointId {
        EndpointId([n; 16])
    }

    fn held(all: &[(u8, u64)]) -> impl Iterator<Item = (EndpointId, Duration)> {
        all.iter().map(|(n, ms)| (id(*n), Duration::from_millis(*ms)))
    }

    fn listed(resolver: &mut Resolver) -> (Option<Time>, Vec<u8>) {
        let (asked, ids) = resolver.take_change().expect("it has changed");
        (asked, ids.iter().map(|id| id.0[0]).collect())
    }

    /// One that was asked at 0 and answered at 1.
    fn knowing(all: &[(u8, u64)]) -> Resolver {
        let mut resolver = Resolver::new();
        resolver.used(at(0));
        assert!(resolver.ask(at(0)));
        resolver.answered(at(1), true, held(all));
        resolver
    }

    #[test]
    fn without_calls_nobody_is_asked_and_one_question_is_out_at_a_time() {
        let mut resolver = Resolver::new();
        assert!(!resolver.ask(at(0)));
        assert_eq!(resolver.deadline(), Time::NEVER);
        resolver.used(at(1));
        assert!(resolver.ask(at(1)));
        resolver.used(at(2));
        resolver.lacks(at(2));
        assert!(!resolver.ask(at(2)));
        assert_eq!(resolver.deadline(), Time::NEVER);
        resolver.answered(at(3), true, held(&[(1, 6_000)]));
        assert_eq!(listed(&mut resolver), (Some(at(1)), vec![1]));
        assert!(resolver.take_change().is_none());
    }

    #[test] // B-25
    fn what_was_said_is_believed_until_each_lease_ends_and_asked_for_again_at_half_of_the_shortest()
    {
        let mut resolver = knowing(&[(1, 2_000), (2, 6_000)]);
        listed(&mut resolver);
        resolver.used(at(1_000));
        assert!(!resolver.ask(at(1_000)));
        resolver.used(at(1_001));
        assert!(resolver.ask(at(1_001)));
        // Nobody answers: each holds on to its end, and no longer.
        resolver.unanswered(at(1_900));
        assert_eq!(listed(&mut resolver), (Some(at(1_001)), vec![1, 2]));
        assert_eq!(resolver.deadline(), at(2_001));
        resolver.expire(at(2_001));
        assert_eq!(listed(&mut resolver).1, [2]);
        resolver.expire(at(6_001));
        assert_eq!(listed(&mut resolver).1, [0_u8; 0]);
        assert_eq!(resolver.said(), (Said::Nobody, 0));
    }

    #[test] // B-25
    fn a_whole_answer_replaces_what_is_known_and_one_of_a_newcomer_only_adds() {
        let mut resolver = knowing(&[(1, 6_000), (2, 6_000)]);
        listed(&mut resolver);
        resolver.lacks(at(100));
        assert!(resolver.ask(at(100)));
        resolver.answered(at(101), false, held(&[(3, 6_000)]));
        // It is as old as it was: nobody is told that somebody is not there.
        assert_eq!(listed(&mut resolver), (Some(at(0)), vec![1, 2, 3]));
        resolver.lacks(at(200));
        assert!(resolver.ask(at(200)));
        resolver.answered(at(201), true, held(&[(3, 6_000)]));
        assert_eq!(listed(&mut resolver), (Some(at(200)), vec![3]));
    }

    #[test]
    fn while_calls_find_nobody_it_is_asked_at_a_pace_that_slows_down_until_something_changes() {
        let mut resolver = knowing(&[]);
        let (mut now, mut pauses) = (1, Vec::new());
        for _ in 0..7 {
            resolver.lacks(at(now));
            let next = resolver.deadline();
            assert!(!resolver.ask(Time(next.0 - 1)));
            assert!(resolver.ask(next));
            pauses.push(next.since(at(now)).as_millis());
            now = next.0 / 1_000_000;
            resolver.answered(at(now), true, held(&[]));
        }
        assert_eq!(pauses, [40, 80, 160, 320, 500, 500, 500]);
        resolver.lacks(at(now));
        now += 500;
        assert!(resolver.ask(at(now)));
        resolver.answered(at(now), true, held(&[(1, 6_000)]));
        resolver.lacks(at(now));
        assert_eq!(resolver.deadline(), at(now + 20));
    }

    #[test]
    fn holders_beyond_the_bound_are_counted_and_left_out() {
        let mut resolver = Resolver::new();
        resolver.used(at(0));
        assert!(resolver.ask(at(0)));
        let many = (0..HOLDERS_MAX + 3).map(|n| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&(n as u64).to_be_bytes());
            (EndpointId(id), Duration::from_secs(6))
        });
        resolver.answered(at(1), true, many);
        assert_eq!((resolver.said().1, resolver.left_out()), (HOLDERS_MAX, 3));
    }
}
