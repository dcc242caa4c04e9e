//! Lines of docs/acceptance.md about services, in virtual time.

use motet_proto::services::{
    Address, CallSettings, FailureKind, InstanceState, Mode, ServeSettings, ServiceStatus, WaitFor,
    backoff,
};
use motet_proto::{Liveness, Time};
use motet_sim::LinkModel;
use motet_sim::net::{Ep, config, ms};
use motet_sim::trade::{Ending, Made, Srv, Trade, Work};
use std::time::Duration;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn calls() -> CallSettings {
    CallSettings::default()
}

/// Servers of one service, and a caller that has met them all.
fn pool(seed: u64, n: usize, work: impl Fn(usize) -> Work) -> (Trade, Vec<(Ep, Srv)>, Ep) {
    let mut trade = Trade::seeded(seed);
    let mut servers = Vec::new();
    for at in 0..n {
        let ep = trade.net.endpoint(&format!("server {at}"));
        servers.push((ep, trade.serve(ep, "s", ServeSettings::default(), work(at))));
    }
    let mut cfg = config("caller");
    cfg.liveness = Liveness::FAST;
    let caller = trade.net.endpoint_with(cfg);
    let now = trade.net.world.now;
    trade.net.node(caller).expect("it runs").watch_services(now, Some("s"));
    trade.net.touch(caller);
    trade.run_for(secs(2));
    (trade, servers, caller)
}

fn all(trade: &mut Trade, made: &[Made]) {
    let over = |trade: &mut Trade| made.iter().all(|made| trade.ending(*made).is_some());
    assert!(trade.run_until(over, secs(60)), "some calls do not end");
}

// TR-1
#[test]
fn tr_1_retries_carry_a_client_over_a_restart_of_its_server() {
    let (mut trade, servers, caller) = pool(1, 1, |_| Work::For(ms(5)));
    let (ep, srv) = servers[0];
    let before = trade.call(caller, "s", "before", calls());
    trade.finish(before);
    assert_eq!(trade.answer(before), Some("before"));
    trade.net.restart(ep, true);
    // The program needs a while until it serves again.
    let during = trade.call(caller, "s", "during", CallSettings { safe: true, ..calls() });
    trade.run_for(ms(400));
    trade.serve_again(srv);
    trade.finish(during);
    assert_eq!(trade.answer(during), Some("during"));
    trade.judge();
}

// TR-3
#[test]
fn tr_3_a_mute_server_costs_timeout_times_tries_and_a_late_answer_is_nobody_elses() {
    let (mut trade, servers, caller) = pool(2, 1, |_| Work::For(ms(4_000)));
    let settings =
        CallSettings { timeout: secs(3), per_try: Some(secs(1)), tries: 3, safe: true, ..calls() };
    let mute = trade.call(caller, "s", "mute", settings);
    let Ending::Failed(failure) = trade.finish(mute) else { panic!("{:?}", trade.ending(mute)) };
    assert_eq!(failure.kind, FailureKind::TimedOut);
    assert_eq!(failure.attempts, 3);
    assert!(failure.after >= secs(3) && failure.after < ms(3_100), "{:?}", failure.after);
    // The next call is open when the answer to the first one comes.
    trade.set_work(servers[0].1, Work::For(ms(3_000)));
    let next = trade.call(caller, "s", "next", calls());
    trade.finish(next);
    assert_eq!(trade.answer(next), Some("next"));
    trade.judge();
}

// PL-1, PL-3
#[test]
fn pl_1_two_dead_servers_cost_two_timeouts() {
    let (mut trade, servers, caller) = pool(3, 3, |_| Work::For(ms(1)));
    let mut by_id: Vec<_> = servers.clone();
    by_id.sort_by_key(|(ep, _)| trade.net.key(*ep).map(|key| key.id));
    // The first accepts and stays mute, the second is cut off and not yet known to be.
    trade.set_work(by_id[0].1, Work::Mute);
    trade.net.world.pause(by_id[1].0.0);
    let settings = CallSettings { mode: Mode::Ordered(ms(300)), ..calls() };
    let made = trade.call(caller, "s", "who?", settings);
    trade.finish(made);
    assert_eq!(trade.ending(made), Some(&Ending::Answered(by_id[2].0, "who?".into())));
    let took = trade.took(made).expect("it has ended");
    assert!(took >= ms(600) && took < ms(650), "{took:?}");
    trade.judge();
}

// PL-2
#[test]
fn pl_2_all_dead_is_one_timeout_each() {
    let (mut trade, _, caller) = pool(4, 3, |_| Work::Mute);
    let settings = CallSettings { mode: Mode::Ordered(ms(300)), ..calls() };
    let made = trade.call(caller, "s", "who?", settings);
    trade.finish(made);
    assert_eq!(trade.failure(made), Some(&FailureKind::TimedOut));
    let took = trade.took(made).expect("it has ended");
    assert!(took >= ms(900) && took < ms(950), "{took:?}");
}

// PL-4
#[test]
fn pl_4_a_live_first_server_costs_no_timeout_and_one_that_failed_is_not_asked_first() {
    let (mut trade, servers, caller) = pool(5, 2, |_| Work::For(ms(1)));
    let mut by_id: Vec<_> = servers.clone();
    by_id.sort_by_key(|(ep, _)| trade.net.key(*ep).map(|key| key.id));
    let settings = CallSettings { mode: Mode::Ordered(ms(300)), ..calls() };
    let first = trade.call(caller, "s", "one", settings.clone());
    trade.finish(first);
    assert_eq!(trade.ending(first), Some(&Ending::Answered(by_id[0].0, "one".into())));
    assert!(trade.took(first) < Some(ms(50)));
    trade.set_work(by_id[0].1, Work::Mute);
    let second = trade.call(caller, "s", "two", settings.clone());
    trade.finish(second);
    assert!(trade.took(second) >= Some(ms(300)));
    let third = trade.call(caller, "s", "three", settings);
    trade.finish(third);
    assert_eq!(trade.ending(third), Some(&Ending::Answered(by_id[1].0, "three".into())));
    assert!(trade.took(third) < Some(ms(50)), "the one that failed was asked first");
}

// BK-11, V-15
#[test]
fn bk_11_a_pause_doubles_to_its_limit_with_jitter() {
    let pauses: Vec<_> = (0..8).map(|n| backoff(secs(1), secs(32), n, 0.5).as_secs()).collect();
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 32, 32]);
    assert_eq!(backoff(secs(1), secs(32), 40, 0.0), secs(32).mul_f64(0.8));
    assert!(backoff(secs(1), secs(32), 0, 0.999) < ms(1_200));
}

// BK-12, V-32
#[test]
fn bk_12_a_server_silent_for_its_ttl_is_not_chosen_until_it_answers() {
    let mut trade = Trade::seeded(12);
    let mut eps = Vec::new();
    // Sessions live longer than the silence: it is the service that notices.
    for name in ["a", "b", "caller"] {
        let mut cfg = config(name);
        cfg.liveness = Liveness::LAZY;
        eps.push(trade.net.endpoint_with(cfg));
    }
    let a = trade.serve(eps[0], "s", ServeSettings::default(), Work::For(ms(1)));
    let b = trade.serve(eps[1], "s", ServeSettings::default(), Work::For(ms(1)));
    let caller = eps[2];
    let warm: Vec<_> = (0..4).map(|n| trade.call(caller, "s", &format!("w{n}"), calls())).collect();
    all(&mut trade, &warm);
    trade.net.world.pause(eps[0].0);
    let safe = CallSettings { safe: true, timeout: secs(20), ..calls() };
    let one = CallSettings { per_try: Some(secs(20)), ..safe };
    let open: Vec<_> =
        (0..4).map(|n| trade.call(caller, "s", &format!("o{n}"), one.clone())).collect();
    all(&mut trade, &open);
    // What was open at the silent one went to the other after 6 s.
    let longest = open.iter().filter_map(|made| trade.took(*made)).max().expect("they ended");
    assert!(longest >= secs(6) && longest < ms(6_500), "{longest:?}");
    let before = trade.begun(a);
    for n in 0..10 {
        let made = trade.call(caller, "s", &format!("b{n}"), calls());
        trade.finish(made);
        assert!(trade.took(made) < Some(ms(50)), "it was given to the silent one");
    }
    // Nor is it a last resort where there is no other.
    let out = |trade: &mut Trade, state| {
        trade.at_server(b, |node, now, id| node.set_serving(now, id, state, ""));
        trade.run_for(ms(50));
    };
    out(&mut trade, InstanceState::Maintenance);
    let hasty = CallSettings { wait: WaitFor::Nothing, ..calls() };
    let made = trade.call(caller, "s", "to nobody", hasty);
    assert_eq!(trade.failure(made), Some(&FailureKind::NoResponders));
    out(&mut trade, InstanceState::Up);
    trade.net.world.resume(eps[0].0);
    trade.net.touch(eps[0]);
    trade.run_for(secs(3));
    for n in 0..20 {
        let made = trade.call(caller, "s", &format!("c{n}"), calls());
        trade.finish(made);
    }
    assert!(trade.begun(a) > before, "it is chosen again");
    assert!(trade.begun(b) > 0);
    trade.judge();
}

// BK-13, V-10
#[test]
fn bk_13_each_way_to_fail_has_its_code() {
    let mut trade = Trade::seeded(13);
    let ep = trade.net.endpoint("server");
    let tiny = ServeSettings { concurrency: 1, queue: 0, ..ServeSettings::default() };
    let srv = trade.serve(ep, "s", tiny, Work::For(secs(2)));
    let caller = trade.net.endpoint("caller");
    let now = CallSettings { wait: WaitFor::Nothing, ..calls() };
    let nobody = trade.call(caller, "nothing", "1", now);
    assert_eq!(trade.failure(nobody), Some(&FailureKind::NoResponders));
    let first = trade.call(caller, "s", "2", calls());
    assert!(trade.run_until(|trade| trade.begun(srv) == 1, secs(2)));
    let overload = trade.call(caller, "s", "3", CallSettings { tries: 1, ..calls() });
    trade.finish(overload);
    assert_eq!(trade.status(overload), Some(ServiceStatus::Overload));
    trade.finish(first);
    trade.set_work(srv, Work::Fail(ms(1), 42));
    let failed = trade.call(caller, "s", "4", calls());
    trade.finish(failed);
    match trade.failure(failed) {
        Some(FailureKind::Status { status: ServiceStatus::Failed, code: 42, text, .. }) => {
            assert_eq!(text, "as it was told");
        }
        other => panic!("{other:?}"),
    }
    let other = CallSettings { address: Address::Group("north".into()), ..calls() };
    let elsewhere = trade.call(caller, "s", "5", other);
    trade.finish(elsewhere);
    assert_eq!(trade.failure(elsewhere), Some(&FailureKind::NoResponders));
    let cancelled = trade.call(caller, "s", "6", calls());
    trade.cancel(cancelled);
    assert_eq!(trade.failure(cancelled), Some(&FailureKind::Cancelled));
    trade.judge();
}

// BK-14, V-18
#[test]
fn bk_14_above_the_high_water_mark_new_requests_are_refused_and_accepted_ones_kept() {
    let mut trade = Trade::seeded(14);
    let ep = trade.net.endpoint("server");
    let settings = ServeSettings { concurrency: 1, queue: 5, credit: 100, ..Default::default() };
    let srv = trade.serve(ep, "s", settings, Work::For(ms(100)));
    let caller = trade.net.endpoint("caller");
    trade.run_for(secs(1));
    let made: Vec<_> = (0..20)
        .map(|n| trade.call(caller, "s", &format!("{n}"), CallSettings { tries: 1, ..calls() }))
        .collect();
    all(&mut trade, &made);
    let answered = made.iter().filter(|made| trade.answer(**made).is_some()).count();
    let refused =
        made.iter().filter(|made| trade.status(**made) == Some(ServiceStatus::Overload)).count();
    assert_eq!((answered, refused), (6, 14));
    assert_eq!(trade.begun(srv), 6);
    trade.judge();
}

// BK-15, V-16
#[test]
fn bk_15_a_request_older_than_its_deadline_is_not_begun_though_its_server_slept() {
    let (mut trade, servers, caller) = pool(15, 1, |_| Work::For(ms(1)));
    let warm = trade.call(caller, "s", "warm", calls());
    trade.finish(warm);
    trade.net.world.pause(servers[0].0.0);
    let made = trade.call(caller, "s", "old", CallSettings { timeout: ms(500), ..calls() });
    trade.run_for(ms(700));
    assert_eq!(trade.failure(made), Some(&FailureKind::TimedOut));
    trade.net.world.resume(servers[0].0.0);
    trade.net.touch(servers[0].0);
    trade.run_for(secs(2));
    assert_eq!(trade.begun_by("old"), []);
    trade.judge();
}

// BK-16, V-14
#[test]
fn bk_16_a_keyed_call_whose_server_dies_is_reported_as_unknown_and_not_repeated() {
    let (mut trade, servers, caller) = pool(16, 2, |_| Work::For(ms(500)));
    let settings = CallSettings { timeout: secs(20), ..calls() };
    let made = trade.call_with(caller, "s", "pay", Some("k"), settings);
    let begun = |trade: &mut Trade| trade.begun(servers[0].1) + trade.begun(servers[1].1) == 1;
    assert!(trade.run_until(begun, secs(2)));
    let at = if trade.begun(servers[0].1) == 1 { servers[0] } else { servers[1] };
    let key = trade.net.key(at.0).expect("it runs");
    trade.net.restart(at.0, true);
    trade.finish(made);
    assert_eq!(trade.failure(made), Some(&FailureKind::Unknown { at: key }));
    assert_eq!(trade.begun_by("pay").len(), 1);
    trade.judge();
}

// BK-17
#[test]
fn bk_17_calls_in_flight_together_take_a_fraction_of_the_time_of_one_after_the_other() {
    const CALLS: usize = 10_000;
    let wide = ServeSettings {
        concurrency: 200_000,
        credit: 200_000,
        queue: 200_000,
        ..ServeSettings::default()
    };
    let mut trade = Trade::seeded(17);
    trade.net.world.set_links(&LinkModel { latency: ms(1), ..LinkModel::default() });
    let ep = trade.net.endpoint("server");
    let srv = trade.serve(ep, "s", wide, Work::For(ms(1)));
    let caller = trade.net.endpoint("caller");
    trade.net.check_every = 0;
    trade.run_for(secs(2));
    let begun = trade.net.world.now;
    for n in 0..100 {
        let made = trade.call(caller, "s", &format!("one {n}"), calls());
        trade.finish(made);
    }
    let alone = trade.net.world.now.since(begun) / 100;
    let begun = trade.net.world.now;
    let settings = CallSettings { timeout: secs(60), ..calls() };
    let made: Vec<_> = (0..CALLS)
        .map(|n| trade.call(caller, "s", &format!("all {n}"), settings.clone()))
        .collect();
    all(&mut trade, &made);
    let together = trade.net.world.now.since(begun) / u32::try_from(CALLS).expect("it fits");
    assert!(made.iter().all(|made| trade.answer(*made).is_some()));
    assert_eq!(trade.begun(srv), CALLS as u64 + 100);
    assert!(together * 10 < alone, "{together:?} each, alone {alone:?}");
    trade.judge();
}

// BK-21
#[test]
fn bk_21_the_tasks_of_a_dead_server_are_given_again_before_those_that_wait() {
    let mut trade = Trade::seeded(21);
    let one = ServeSettings { concurrency: 1, credit: 2, safe: true, ..ServeSettings::default() };
    let [a, b] = [trade.net.endpoint("a"), trade.net.endpoint("b")];
    let dies = trade.serve(a, "s", one.clone(), Work::For(ms(400)));
    trade.serve(b, "s", one, Work::For(ms(400)));
    let mut cfg = config("caller");
    cfg.liveness = Liveness::FAST;
    let caller = trade.net.endpoint_with(cfg);
    trade.run_for(secs(1));
    let settings = CallSettings { timeout: secs(30), per_try: Some(secs(30)), ..calls() };
    let made: Vec<_> =
        (0..12).map(|n| trade.call(caller, "s", &format!("{n:02}"), settings.clone())).collect();
    assert!(trade.run_until(|trade| trade.begun(dies) == 1, secs(2)));
    trade.net.kill(a);
    all(&mut trade, &made);
    assert!(made.iter().all(|made| trade.answer(*made).is_some()));
    // The two that the dead one had come before the last of those that had waited.
    let last_begun = |body: &str| trade.begun_by(body).last().expect("begun").0;
    let given_again: Vec<Time> = (0..4).map(|n| last_begun(&format!("{n:02}"))).collect();
    let waited = last_begun("11");
    assert!(given_again.iter().all(|at| *at < waited));
    trade.judge();
}

// SV-1
#[test]
fn sv_1_a_survey_is_answered_by_all() {
    let (mut trade, servers, caller) = pool(31, 6, |_| Work::For(ms(2)));
    let settings = CallSettings { mode: Mode::All(secs(1)), ..calls() };
    let made = trade.call(caller, "s", "who?", settings);
    trade.finish(made);
    assert_eq!(trade.ending(made), Some(&Ending::Surveyed(6, 6)));
    let mut from: Vec<_> = trade.parts(made).iter().map(|(ep, _)| *ep).collect();
    from.sort();
    assert_eq!(from, servers.iter().map(|(ep, _)| *ep).collect::<Vec<_>>());
    assert!(trade.took(made) < Some(ms(100)), "it does not wait when all have answered");
    trade.judge();
}

#[test]
fn a_survey_of_strangers_ends_when_all_have_answered_and_not_with_its_time() {
    let (mut trade, servers, _) = pool(33, 6, |_| Work::For(ms(2)));
    let newcomer = trade.net.endpoint("newcomer");
    let settings = CallSettings { mode: Mode::All(secs(10)), timeout: secs(10), ..calls() };
    let made = trade.call(newcomer, "s", "who?", settings);
    trade.finish(made);
    let all = servers.len();
    assert_eq!(trade.ending(made), Some(&Ending::Surveyed(all, all)));
    assert!(trade.took(made) < Some(secs(2)), "{:?}", trade.took(made));
    trade.judge();
}

// SV-2
#[test]
fn sv_2_a_survey_of_nobody_ends_with_none_after_its_time() {
    let mut trade = Trade::seeded(32);
    let caller = trade.net.endpoint("caller");
    let settings = CallSettings { mode: Mode::All(secs(1)), ..calls() };
    let made = trade.call(caller, "nobody", "who?", settings);
    trade.finish(made);
    assert_eq!(trade.ending(made), Some(&Ending::Surveyed(0, 0)));
    assert_eq!(trade.took(made), Some(secs(1)));
}

/// The shares of servers in so much time, with so many calls always open.
fn shares(trade: &mut Trade, servers: &[Srv], caller: Ep, open: usize, time: Duration) -> Vec<f64> {
    let before: Vec<u64> = servers.iter().map(|srv| trade.begun(*srv)).collect();
    let end = trade.net.world.now + time;
    let settings = CallSettings { timeout: secs(60), ..calls() };
    let mut running: Vec<Made> = Vec::new();
    let mut n = trade.net.world.now.0;
    while trade.net.world.now < end {
        while running.len() < open {
            n += 1;
            running.push(trade.call(caller, "s", &format!("c{n}"), settings.clone()));
        }
        let some = running.clone();
        trade.run_until(|t| some.iter().any(|made| t.ending(*made).is_some()), secs(10));
        running.retain(|made| trade.ending(*made).is_none());
    }
    let begun = servers.iter().zip(before).map(|(srv, before)| trade.begun(*srv) - before);
    let begun: Vec<u64> = begun.collect();
    let all = begun.iter().sum::<u64>() as f64;
    begun.into_iter().map(|n| n as f64 / all).collect()
}

fn spread(seed: u64, times: &[u64], settings: &ServeSettings) -> (Trade, Vec<Srv>, Ep) {
    let mut trade = Trade::seeded(seed);
    let mut servers = Vec::new();
    for (at, time) in times.iter().enumerate() {
        let ep = trade.net.endpoint(&format!("server {at}"));
        servers.push(trade.serve(ep, "s", settings.clone(), Work::For(ms(*time))));
    }
    let caller = trade.net.endpoint("caller");
    trade.net.check_every = 0;
    trade.run_for(secs(2));
    (trade, servers, caller)
}

#[test]
fn load_spreads_evenly_over_equal_servers() {
    for open in [1, 6, 40] {
        let serial = ServeSettings { concurrency: 1, credit: 8, ..ServeSettings::default() };
        let (mut trade, servers, caller) = spread(41, &[10; 4], &serial);
        let shares = shares(&mut trade, &servers, caller, open, secs(5));
        assert!(
            shares.iter().all(|share| (share - 0.25).abs() < 0.05 * 0.25),
            "{open}: {shares:?}"
        );
    }
}

#[test]
fn load_spreads_in_proportion_to_speed() {
    for open in [1, 5, 40] {
        let serial = ServeSettings { concurrency: 1, credit: 8, ..ServeSettings::default() };
        let (mut trade, servers, caller) = spread(42, &[40, 20, 10], &serial);
        let warm = shares(&mut trade, &servers, caller, open, secs(3));
        let shares = shares(&mut trade, &servers, caller, open, secs(10));
        for (share, wanted) in shares.iter().zip([1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0]) {
            assert!((share - wanted).abs() < 0.1 * wanted, "{open}: {warm:?} {shares:?}");
        }
    }
}

#[test]
fn a_server_that_turns_ten_times_slower_loses_its_share_within_two_seconds() {
    let serial = ServeSettings { concurrency: 4, credit: 16, ..ServeSettings::default() };
    let (mut trade, servers, caller) = spread(43, &[20; 4], &serial);
    shares(&mut trade, &servers, caller, 8, secs(3));
    trade.set_work(servers[0], Work::For(ms(200)));
    shares(&mut trade, &servers, caller, 8, secs(2));
    let after = shares(&mut trade, &servers, caller, 8, secs(3));
    // An even split in proportion to speed would be 1 of 31.
    assert!(after[0] < 0.06, "{after:?}");
}

#[test]
fn a_rolling_restart_with_drain_fails_no_call() {
    let (mut trade, servers, caller) = pool(51, 3, |_| Work::For(ms(20)));
    let mut made = Vec::new();
    let mut n = 0;
    let mut load = |trade: &mut Trade, made: &mut Vec<Made>, time: Duration| {
        let end = trade.net.world.now + time;
        while trade.net.world.now < end {
            n += 1;
            made.push(trade.call(caller, "s", &format!("c{n}"), calls()));
            trade.run_for(ms(5));
        }
    };
    load(&mut trade, &mut made, ms(500));
    for (ep, srv) in servers {
        trade.at_server(srv, |node, now, id| {
            node.set_serving(now, id, InstanceState::Draining, "new version");
        });
        load(&mut trade, &mut made, ms(300));
        assert_eq!(trade.working(srv), 0, "it has finished what it had");
        trade.net.close(ep);
        load(&mut trade, &mut made, ms(200));
        trade.net.start(ep, false);
        trade.serve_again(srv);
        load(&mut trade, &mut made, ms(800));
    }
    all(&mut trade, &made);
    let failed: Vec<_> = made.iter().filter(|made| trade.answer(**made).is_none()).collect();
    assert!(failed.is_empty(), "{} of {} failed", failed.len(), made.len());
    trade.judge();
}

// EX-5
#[test]
fn ex_5_a_single_server_is_replaced_by_a_newer_one_and_no_call_fails() {
    let mut trade = Trade::seeded(52);
    let v1 = ServeSettings { version: "1.0".into(), ..ServeSettings::default() };
    let v2 = ServeSettings { version: "2.0".into(), ..ServeSettings::default() };
    let old_ep = trade.net.endpoint("old");
    let old = trade.serve(old_ep, "s", v1, Work::For(ms(10)));
    let caller = trade.net.endpoint("caller");
    trade.run_for(secs(1));
    let mut made = Vec::new();
    for n in 0..60 {
        made.push(trade.call(caller, "s", &format!("c{n}"), calls()));
        trade.run_for(ms(20));
        if n == 20 {
            trade.at_server(old, |node, now, id| {
                node.set_serving(now, id, InstanceState::Draining, "2.0 comes");
            });
            trade.run_for(ms(200));
            trade.net.close(old_ep);
        }
        if n == 35 {
            let ep = trade.net.endpoint("new");
            trade.serve(ep, "s", v2.clone(), Work::For(ms(10)));
        }
    }
    all(&mut trade, &made);
    let by: Vec<Ep> = made
        .iter()
        .map(|made| match trade.ending(*made) {
            Some(Ending::Answered(ep, _)) => *ep,
            other => panic!("{other:?}"),
        })
        .collect();
    let changes = by.windows(2).filter(|two| two[0] != two[1]).count();
    assert_eq!(changes, 1, "the version changes once");
    let wants = CallSettings { version: "2".into(), ..calls() };
    let versioned = trade.call(caller, "s", "v2", wants);
    trade.finish(versioned);
    assert_eq!(trade.answer(versioned), Some("v2"));
    trade.judge();
}

#[test]
fn answers_in_parts_arrive_in_order_under_loss() {
    let link = LinkModel { loss: 0.1, latency: ms(1), ..LinkModel::default() };
    let mut trade = Trade::seeded(61);
    trade.net.world.set_links(&link);
    let ep = trade.net.endpoint("server");
    trade.serve(ep, "s", ServeSettings::default(), Work::Parts(20, ms(5)));
    let caller = trade.net.endpoint("caller");
    let settings = CallSettings { wait: WaitFor::Deadline, timeout: secs(20), ..calls() };
    let made = trade.call(caller, "s", "parts", settings);
    trade.finish(made);
    assert_eq!(trade.answer(made), Some("parts"));
    assert_eq!(trade.parts(made).len(), 19);
    trade.judge();
}

#[test] // V-24
fn a_cancelled_call_reaches_its_server() {
    let (mut trade, servers, caller) = pool(62, 1, |_| Work::Mute);
    let made = trade.call(caller, "s", "never mind", calls());
    assert!(trade.run_until(|trade| trade.working(servers[0].1) == 1, secs(2)));
    trade.cancel(made);
    trade.run_for(ms(100));
    let told =
        |event: &motet_proto::Event| matches!(event, motet_proto::Event::RequestCancelled(_));
    assert!(trade.net.said(servers[0].0, told).is_some());
    // A caller that vanishes counts as one that cancelled.
    let made = trade.call(caller, "s", "nor this", calls());
    assert!(trade.run_until(|trade| trade.working(servers[0].1) == 2, secs(2)));
    trade.net.close(caller);
    trade.run_for(ms(100));
    assert_eq!(trade.net.counters(servers[0].0).requests_cancelled, 2);
    assert!(trade.ending(made).is_none() || trade.answer(made).is_none());
}
