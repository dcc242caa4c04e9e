//! Brokers in a small world: clients, two or three brokers, workers; messages take time, anybody
//! dies and returns, brokers are split from each other. One seed names a run.
#![allow(clippy::unwrap_used, reason = "tests")]

mod world;

use world::{Faults, Ran, World};

/// As many seeds as CI has time for; `MOTET_SEEDS` asks for more.
fn seeds() -> u64 {
    std::env::var("MOTET_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}

fn each(faults: Faults, check: impl Fn(&Ran)) {
    #[cfg(feature = "planted")]
    if let Ok(bug) = std::env::var("MOTET_PLANTED") {
        assert!(motet_proto::planted::arm(&bug), "MOTET_PLANTED names no bug: {bug}");
    }
    for seed in 0..seeds() {
        let ran = World::new(seed, faults).run();
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&ran)));
        assert!(judged.is_ok(), "seed {seed} of {faults:?}: {ran:#?}");
    }
}

fn ends_once(ran: &Ran) {
    for (call, ends) in &ran.ends {
        assert_eq!(*ends, 1, "call {call} ended {ends} times");
    }
    assert!(ran.late_starts == 0, "begun after its deadline");
}

#[test] // B-2 B-3 B-6
fn without_faults_every_call_is_answered_and_runs_once() {
    each(Faults::default(), |ran| {
        ends_once(ran);
        assert_eq!((ran.answered, ran.most_runs), (ran.calls, 1));
        assert!(ran.most_at_once <= 2, "more than its credit");
    });
}

#[test] // B-4 CB-1
fn dying_workers_and_brokers_lose_no_call_that_may_run_twice() {
    each(Faults { deaths: true, ..Faults::default() }, |ran| {
        ends_once(ran);
        assert_eq!(ran.answered, ran.calls);
    });
}

#[test] // B-4 B-13 BK-16
fn what_must_not_run_twice_never_does_whoever_dies() {
    each(Faults { deaths: true, once: true, ..Faults::default() }, |ran| {
        ends_once(ran);
        assert_eq!(ran.most_runs, 1);
    });
}

#[test] // B-13
fn with_living_workers_a_dying_broker_makes_nothing_run_twice() {
    each(Faults { broker_deaths: true, ..Faults::default() }, |ran| {
        ends_once(ran);
        assert_eq!(ran.answered, ran.calls);
        assert_eq!(ran.most_runs, 1);
    });
}

#[test] // B-17
fn what_is_sent_again_runs_once_although_claims_are_late_or_lost() {
    for broker_deaths in [false, true] {
        each(Faults { busy: true, broker_deaths, ..Faults::default() }, |ran| {
            ends_once(ran);
            assert_eq!(ran.answered, ran.calls);
            assert_eq!(ran.most_runs, 1);
        });
    }
}

#[test] // B-17
fn a_worker_that_stands_still_keeps_what_has_a_key() {
    for busy in [false, true] {
        each(Faults { busy, stalls: true, broker_deaths: true, ..Faults::default() }, |ran| {
            ends_once(ran);
            assert_eq!(ran.answered, ran.calls);
            assert_eq!(ran.most_runs, 1);
        });
    }
}

#[test] // B-14 CB-4
fn a_split_between_brokers_loses_no_answer_and_shows_none_twice() {
    each(Faults { split: true, ..Faults::default() }, |ran| {
        ends_once(ran);
        assert_eq!(ran.answered, ran.calls);
        assert_eq!(ran.both_active, 0, "two brokers act on one request after the split");
    });
}
