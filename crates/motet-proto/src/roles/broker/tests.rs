use core::time::Duration;

use super::*;
use crate::ids::EndpointId;
use crate::wanted::Wanted;
use motet_wire::service::{Finding, Found};

fn key(n: u8) -> EndpointKey {
    EndpointKey { id: EndpointId([n; 16]), incarnation: 1 }
}

fn at(ms: u64) -> Time {
    Time(ms * 1_000_000)
}

fn broker(config: BrokerConfig) -> Broker {
    let mut broker = Broker::new(key(200), config, [7; 32]);
    broker.settled(at(0));
    broker
}

fn asked(deadline: u64) -> Asked {
    Asked {
        service: "s".into(),
        deadline: at(deadline),
        key: None,
        repeatable: true,
        hops: vec![key(1).id],
        again: false,
        wanted: Wanted::default(),
    }
}

/// A worker without version or group.
const ANY: Kind = Kind { version: String::new(), groups: Vec::new() };

fn room(free: u64, capacity: u64, takes: bool) -> PeerOffer {
    PeerOffer { free, capacity, takes, kinds: None }
}

fn of_version(version: &str) -> WorkerOffer {
    WorkerOffer { kind: Kind { version: version.into(), ..ANY }, ..TAKES }
}

fn wanting(version: &str) -> Asked {
    let wanted = Wanted { version: version.into(), ..Wanted::default() };
    Asked { wanted, ..asked(60_000) }
}

const TAKES: WorkerOffer = WorkerOffer { takes: true, credit: 1, kind: ANY };

fn all(broker: &mut Broker) -> Vec<Action> {
    std::iter::from_fn(|| broker.poll()).collect()
}

/// Gives alone: task and receiver.
fn given(broker: &mut Broker) -> Vec<(TaskId, EndpointKey)> {
    let gives = all(broker).into_iter();
    gives
        .filter_map(
            |it| if let Action::Give { task, to, .. } = it { Some((task, to)) } else { None },
        )
        .collect()
}

fn refused(broker: &mut Broker) -> Vec<(TaskId, Refusal)> {
    let each = all(broker).into_iter();
    each.filter_map(
        |it| if let Action::Refuse { task, why } = it { Some((task, why)) } else { None },
    )
    .collect()
}

#[test] // B-2
fn the_worker_unused_for_longest_gets_the_next_task() {
    let mut broker = broker(BrokerConfig::default());
    for worker in 1..=3 {
        broker.worker(at(0), key(worker), "s", TAKES);
    }
    for task in 0..3 {
        broker.request(at(1), task, asked(1_000));
    }
    assert_eq!(given(&mut broker), [(0, key(1)), (1, key(2)), (2, key(3))]);
    broker.done(at(2), 1, key(2), Outcome::Answered);
    broker.done(at(3), 0, key(1), Outcome::Answered);
    broker.request(at(4), 3, asked(1_000));
    broker.request(at(4), 4, asked(1_000));
    // 1 was given its task before 2 was.
    assert_eq!(given(&mut broker), [(3, key(1)), (4, key(2))]);
}

#[test] // B-3
fn no_worker_gets_more_than_it_asked_for() {
    let mut broker = broker(BrokerConfig::default());
    broker.worker(at(0), key(1), "s", WorkerOffer { takes: true, credit: 2, kind: ANY });
    for task in 0..5 {
        broker.request(at(1), task, asked(1_000));
    }
    assert_eq!(given(&mut broker).len(), 2);
    broker.done(at(2), 0, key(1), Outcome::Answered);
    assert_eq!(given(&mut broker), [(2, key(1))]);
    broker.worker(at(3), key(1), "s", WorkerOffer { takes: false, credit: 2, kind: ANY });
    broker.done(at(4), 1, key(1), Outcome::Answered);
    assert_eq!(given(&mut broker), []);
}

#[test] // B-4
fn a_task_of_a_dead_worker_goes_back_to_the_front() {
    let mut broker = broker(BrokerConfig::default());
    broker.worker(at(0), key(1), "s", TAKES);
    for task in 0..3 {
        broker.request(at(1), task, asked(9_000));
    }
    assert_eq!(given(&mut broker), [(0, key(1))]);
    broker.gone(at(2), key(1), None);
    let actions = all(&mut broker);
    assert!(actions.contains(&Action::Withdraw { task: 0, from: key(1) }), "{actions:?}");
    broker.worker(at(3), key(2), "s", TAKES);
    assert_eq!(given(&mut broker), [(0, key(2))]);
    // What the dead one would have said comes too late.
    broker.done(at(4), 0, key(1), Outcome::Lost);
    assert_eq!(all(&mut broker), []);
}

#[test] // B-4
fn a_task_that_must_not_run_twice_is_unknown_after_the_death_of_its_worker() {
    let mut broker = broker(BrokerConfig::default());
    broker.worker(at(0), key(1), "s", TAKES);
    broker.worker(at(0), key(2), "s", TAKES);
    broker.request(at(1), 0, Asked { repeatable: false, ..asked(9_000) });
    assert_eq!(given(&mut broker), [(0, key(1))]);
    broker.gone(at(2), key(1), None);
    assert_eq!(refused(&mut broker), [(0, Refusal::Unknown)]);
}

#[test] // B-5
fn above_the_high_water_mark_requests_are_refused_and_those_accepted_stay() {
    let mut broker = broker(BrokerConfig { high_water: 2, ..BrokerConfig::default() });
    broker.worker(at(0), key(1), "s", TAKES);
    for task in 0..5 {
        broker.request(at(1), task, asked(9_000));
    }
    assert_eq!(refused(&mut broker), [(3, Refusal::Overload), (4, Refusal::Overload)]);
    for task in 0..3 {
        broker.done(at(2), task, key(1), Outcome::Answered);
    }
    assert_eq!(broker.counters().answered, 3);
    assert!(broker.is_idle());
}

#[test] // B-6
fn what_waits_past_its_deadline_is_refused_and_never_begun() {
    let mut broker = broker(BrokerConfig::default());
    broker.worker(at(0), key(1), "s", TAKES);
    broker.request(at(1), 0, asked(9_000));
    broker.request(at(1), 1, asked(100));
    assert_eq!(given(&mut broker), [(0, key(1))]);
    assert!(broker.next_tick(at(2)) <= at(100));
    broker.tick(at(100));
    assert_eq!(refused(&mut broker), [(1, Refusal::DeadlinePassed)]);
    broker.request(at(200), 2, asked(150));
    assert_eq!(refused(&mut broker), [(2, Refusal::DeadlinePassed)]);
    broker.done(at(300), 0, key(1), Outcome::Answered);
    assert_eq!(given(&mut broker), []);
}

#[test] // B-7
fn a_worker_that_misses_three_beats_leaves_the_pool_and_any_traffic_is_life() {
    let mut broker = broker(BrokerConfig::default());
    broker.worker(at(0), key(1), "s", TAKES);
    broker.worker(at(0), key(2), "s", TAKES);
    broker.request(at(1), 0, asked(60_000));
    assert_eq!(given(&mut broker), [(0, key(1))]);
    let mut beats = 0;
    for second in 1..=3 {
        broker.tick(at(second * 1_000));
        // The second one is only heard by what else it sends.
        broker.heard(at(second * 1_000), key(2));
        beats += all(&mut broker).iter().filter(|it| **it == Action::Beat { to: key(1) }).count();
    }
    assert_eq!(beats, 3);
    assert_eq!(broker.counters().silenced, 1);
    broker.tick(at(3_001));
    assert_eq!(broker.report()[0].workers, [key(2)]);
    assert_eq!(broker.report()[0].running, 1);
}

/// The times at which a broker asks worker 1 for a sign of life, until `end`.
fn beats(broker: &mut Broker, mut now: Time, end: Time) -> Vec<Time> {
    let mut beats = Vec::new();
    while now < end {
        now = broker.next_tick(now).max(now + Duration::from_millis(1));
        broker.tick(now);
        let asked = all(broker).into_iter().filter(|it| *it == Action::Beat { to: key(1) });
        beats.extend(asked.map(|_| now));
    }
    beats
}

#[test] // B-8
fn bk_11_a_silent_worker_is_looked_for_at_a_pace_that_doubles_to_a_limit_and_starts_over() {
    let config = BrokerConfig::default();
    let mut broker = broker(config);
    broker.worker(at(0), key(1), "s", TAKES);
    let mut now = at(0);
    let mut even = 0;
    for round in 0..3 {
        let times = beats(&mut broker, now, now + Duration::from_secs(200));
        let pauses: Vec<Duration> = times.windows(2).map(|pair| pair[1].since(pair[0])).collect();
        // Beats a second apart are missed first.
        let missed = if round == 0 { 3 } else { 2 };
        assert_eq!(pauses[..missed], vec![config.beat; missed], "round {round}");
        let bound = |n: u32| Duration::from_secs(1 << n.min(5));
        for (n, pause) in pauses.iter().skip(missed).enumerate() {
            let bound = bound(u32::try_from(n).unwrap());
            assert!(*pause <= bound && *pause * 2 >= bound, "{round}, {n}: {pause:?} of {bound:?}");
            even += usize::from(pause.subsec_millis() == 0);
        }
        assert!(pauses.len() > 9, "{pauses:?}");
        assert_eq!(broker.report()[0].workers, []);
        // A sign of life: it is back, and the next search begins with a second again.
        now = *times.last().unwrap() + Duration::from_millis(1);
        broker.heard(now, key(1));
        assert_eq!(broker.report()[0].workers, [key(1)]);
        assert_eq!(broker.next_tick(now), now + config.beat);
    }
    assert!(even < 3, "no jitter");
}

#[test] // B-1
fn without_workers_the_policy_decides() {
    let with = |no_workers| broker(BrokerConfig { no_workers, ..BrokerConfig::default() });
    let mut ignores = with(NoWorkers::Ignore);
    ignores.request(at(0), 0, asked(1_000));
    assert_eq!(all(&mut ignores), [Action::Drop { task: 0 }]);
    assert_eq!(ignores.counters().ignored, 1);

    let mut notifies = with(NoWorkers::Notify);
    notifies.request(at(0), 0, asked(1_000));
    assert_eq!(refused(&mut notifies), [(0, Refusal::NoWorkers)]);

    let mut waits = with(NoWorkers::Wait);
    waits.request(at(0), 0, asked(1_000));
    waits.tick(at(900));
    assert_eq!(refused(&mut waits), []);
    waits.worker(at(950), key(1), "s", TAKES);
    assert_eq!(given(&mut waits), [(0, key(1))]);

    let mut forwards = with(NoWorkers::Forward);
    forwards.request(at(0), 0, asked(1_000));
    assert_eq!(refused(&mut forwards), [(0, Refusal::NoWorkers)]);
    forwards.peer(at(0), key(201), "s", room(0, 1, true));
    forwards.request(at(0), 1, asked(1_000));
    assert_eq!(given(&mut forwards), [(1, key(201))]);
}

#[test] // B-10
fn work_spills_to_a_peer_with_room_only_when_the_own_workers_are_busy() {
    let mut broker = broker(BrokerConfig::default());
    let own = (1..=9).map(key).find(|worker| {
        let mut peers = Peers::default();
        peers.told(key(201), &"s".into(), room(2, 2, true));
        peers.at_home(key(200).id, "s", worker.id)
    });
    let own = own.unwrap();
    broker.worker(at(0), own, "s", TAKES);
    broker.peer(at(0), key(201), "s", room(2, 2, true));
    for task in 0..5 {
        broker.request(at(1), task, asked(1_000));
    }
    assert_eq!(given(&mut broker), [(0, own), (1, key(201)), (2, key(201))]);
    broker.peer(at(2), key(201), "s", room(1, 2, true));
    assert_eq!(given(&mut broker), [(3, key(201))]);
    assert_eq!(broker.counters().forwarded, 3);
}

#[test] // B-11
fn a_request_is_never_passed_to_a_broker_that_had_it() {
    let mut broker =
        broker(BrokerConfig { no_workers: NoWorkers::Forward, ..BrokerConfig::default() });
    broker.peer(at(0), key(201), "s", room(5, 5, true));
    broker.request(at(1), 0, Asked { hops: vec![key(1).id, key(201).id], ..asked(1_000) });
    assert_eq!(refused(&mut broker), [(0, Refusal::NoWorkers)]);
    broker.request(at(1), 1, Asked { hops: vec![key(1).id, key(200).id], ..asked(1_000) });
    assert_eq!(refused(&mut broker), [(1, Refusal::Loop)]);
}

#[test] // B-9 B-12
fn workers_of_a_dead_peer_come_home_here_and_go_back_when_it_returns() {
    let mut broker = broker(BrokerConfig::default());
    for worker in 1..=20 {
        broker.worker(at(0), key(worker), "s", TAKES);
    }
    let free = |broker: &Broker| broker.report()[0].free;
    assert_eq!(free(&broker), 20);
    broker.peer(at(0), key(201), "s", room(1, 1, true));
    let split = free(&broker);
    assert!((3..=17).contains(&split), "{split} of 20");
    // A task that it had is given again.
    all(&mut broker);
    for task in 0..=split {
        broker.request(at(1), task, asked(9_000));
    }
    assert_eq!(given(&mut broker).last(), Some(&(split, key(201))));
    broker.peer_gone(at(2), key(201), None);
    assert_eq!(free(&broker), 20 - split - 1);
    assert_eq!(given(&mut broker).len(), 1);
    broker.peer(at(3), key(201), "s", room(1, 1, true));
    assert!(free(&broker) < 20 - split - 1);
}

fn keyed(repeatable: bool) -> Asked {
    Asked { key: Some(b"k".to_vec()), repeatable, ..asked(9_000) }
}

#[test] // B-13
fn a_successor_sends_a_key_where_the_dead_broker_had_sent_it() {
    for repeatable in [true, false] {
        let mut broker = broker(BrokerConfig::default());
        for worker in 1..=4 {
            broker.worker(at(0), key(worker), "s", TAKES);
        }
        broker.peer(at(0), key(201), "s", room(0, 2, true));
        broker.claim(at(1), key(201), Claim { key: Claim::name("s", b"k"), worker: key(3) });
        broker.peer_gone(at(2), key(201), None);
        all(&mut broker);
        broker.request(at(3), 0, keyed(repeatable));
        assert_eq!(given(&mut broker), [(0, key(3))]);
        // And that worker is gone, too.
        broker.gone(at(4), key(3), None);
        for (worker, number) in inquired(&mut broker) {
            let finding = Finding { number, found: Found::Promised, promised: number };
            broker.found(at(5), worker, finding);
        }
        let actions = all(&mut broker);
        let again = actions.iter().any(|it| matches!(it, Action::Give { task: 0, .. }));
        let unknown = actions.contains(&Action::Refuse { task: 0, why: Refusal::Unknown });
        assert_eq!((again, unknown), (repeatable, !repeatable), "{actions:?}");
    }
}

#[test] // B-13
fn a_key_that_a_living_peer_acts_on_is_passed_to_that_peer() {
    let mut broker = broker(BrokerConfig::default());
    for worker in 1..=4 {
        broker.worker(at(0), key(worker), "s", TAKES);
    }
    broker.peer(at(0), key(201), "s", room(0, 2, true));
    broker.claim(at(1), key(201), Claim { key: Claim::name("s", b"k"), worker: key(3) });
    all(&mut broker);
    broker.request(at(3), 0, keyed(true));
    assert_eq!(given(&mut broker), [(0, key(201))]);
}

#[test] // B-14
fn after_a_split_the_broker_with_the_larger_id_lets_go() {
    for (other, yields) in [(key(199), true), (key(201), false)] {
        let mut broker = broker(BrokerConfig::default());
        broker.worker(at(0), key(1), "s", TAKES);
        broker.request(at(1), 0, keyed(true));
        assert_eq!(given(&mut broker), [(0, key(1))]);
        broker.peer(at(2), other, "s", room(0, 1, true));
        let share = Claim { key: Claim::name("s", b"k"), worker: key(1) };
        assert!(all(&mut broker).contains(&Action::Share { to: Some(other), claim: share }));
        broker.claim(at(3), other, Claim { key: Claim::name("s", b"k"), worker: key(2) });
        let actions = all(&mut broker);
        let withdrawn = actions.contains(&Action::Withdraw { task: 0, from: key(1) });
        let passed =
            actions.contains(&Action::Give { task: 0, to: other, forward: true, sent_before: 1 });
        assert_eq!((withdrawn, passed), (yields, yields), "{actions:?}");
    }
}

#[test]
fn a_second_request_with_a_key_goes_where_the_first_went() {
    let mut broker = broker(BrokerConfig::default());
    broker.request(at(0), 9, asked(9_000));
    broker.worker(at(0), key(1), "s", TAKES);
    broker.worker(at(0), key(2), "s", TAKES);
    broker.request(at(1), 0, keyed(false));
    broker.request(at(1), 1, keyed(false));
    assert_eq!(given(&mut broker), [(0, key(1)), (1, key(1))]);
    broker.done(at(2), 0, key(1), Outcome::Answered);
    broker.done(at(2), 1, key(1), Outcome::Answered);
    broker.request(at(3), 2, keyed(false));
    assert_eq!(given(&mut broker), [(2, key(1))]);
}

#[test]
fn room_is_told_only_when_it_changed() {
    let mut broker = broker(BrokerConfig::default());
    broker.worker(at(0), key(1), "s", WorkerOffer { takes: true, credit: 10, kind: ANY });
    let told = |broker: &mut Broker| {
        all(broker).into_iter().filter(|it| matches!(it, Action::Tell { .. })).count()
    };
    assert_eq!(told(&mut broker), 1);
    for task in 0..9 {
        broker.request(at(1), task, asked(9_000));
    }
    assert_eq!(told(&mut broker), 0, "held back");
    broker.request(at(6), 9, asked(9_000));
    assert_eq!(told(&mut broker), 1, "the last room is gone");
    broker.tick(at(60));
    assert_eq!(told(&mut broker), 0);
}

#[test]
fn room_that_comes_and_goes_with_every_answer_is_not_told_each_time() {
    let mut broker = broker(BrokerConfig::default());
    broker.worker(at(0), key(1), "s", TAKES);
    let told = |broker: &mut Broker| {
        let tells = all(broker).into_iter().filter_map(|it| match it {
            Action::Tell { free, .. } => Some(free),
            _ => None,
        });
        tells.collect::<Vec<_>>()
    };
    assert_eq!(told(&mut broker), [1]);
    broker.request(at(10), 0, asked(9_000));
    assert_eq!(told(&mut broker), [0], "the last room is gone");
    for task in 0..9 {
        broker.done(at(11), task, key(1), Outcome::Answered);
        broker.request(at(11), task + 1, asked(9_000));
    }
    broker.done(at(12), 9, key(1), Outcome::Answered);
    assert_eq!(told(&mut broker), [], "held back");
    assert!(broker.next_tick(at(12)) <= at(60));
    broker.tick(at(60));
    assert_eq!(told(&mut broker), [1], "how it stands is told in the end");
}

#[test] // B-15
fn a_draining_broker_refuses_what_is_new_and_ends_what_it_has() {
    let mut broker = broker(BrokerConfig::default());
    broker.worker(at(0), key(1), "s", TAKES);
    broker.request(at(1), 0, asked(9_000));
    broker.request(at(1), 1, asked(9_000));
    broker.drain(at(2));
    broker.request(at(3), 2, asked(9_000));
    assert_eq!(refused(&mut broker), [(2, Refusal::Draining)]);
    broker.done(at(4), 0, key(1), Outcome::Answered);
    assert_eq!(given(&mut broker), [(1, key(1))]);
    broker.done(at(5), 1, key(1), Outcome::Answered);
    assert!(broker.is_idle());
}

/// Workers that are asked where a key is, with the number of the question.
fn inquired(broker: &mut Broker) -> Vec<(EndpointKey, u64)> {
    let each = all(broker).into_iter();
    each.filter_map(|it| {
        if let Action::Inquire { to, number, .. } = it { Some((to, number)) } else { None }
    })
    .collect()
}

#[test] // B-17
fn what_was_sent_before_is_given_only_when_all_have_answered() {
    let mut broker = broker(BrokerConfig::default());
    for worker in 1..=2 {
        broker.worker(at(0), key(worker), "s", TAKES);
    }
    let again = Asked { key: Some(vec![9; 20]), again: true, ..asked(9_000) };
    broker.request(at(1), 0, again);
    let asked = inquired(&mut broker);
    assert_eq!(asked.iter().map(|it| it.0).collect::<Vec<_>>(), [key(1), key(2)]);
    let number = asked[0].1;
    let finding = |found| Finding { number, found, promised: number };
    broker.found(at(2), key(1), finding(Found::Promised));
    assert_eq!(given(&mut broker), []);
    // Silent or not, the other is waited for; it has it.
    broker.stalled(at(3), key(2));
    assert_eq!(given(&mut broker), []);
    broker.found(at(4), key(2), finding(Found::Here));
    assert_eq!(given(&mut broker), [(0, key(2))]);
    // It is slow: what has a key stays with it until it is gone.
    broker.stalled(at(5), key(2));
    assert_eq!(given(&mut broker), []);
    broker.gone(at(6), key(2), None);
    let asked = inquired(&mut broker);
    assert_eq!(asked.iter().map(|it| it.0).collect::<Vec<_>>(), [key(1)]);
}

#[test] // B-18
fn only_workers_of_the_version_and_group_that_are_wanted_get_a_task() {
    let mut broker = broker(BrokerConfig::default());
    broker.worker(at(0), key(1), "s", of_version("1.4"));
    broker.worker(at(0), key(2), "s", of_version("2.0"));
    let north = Kind { groups: vec!["north".into()], ..ANY };
    broker.worker(at(0), key(3), "s", WorkerOffer { kind: north, ..TAKES });
    broker.request(at(1), 0, wanting("2"));
    // Its kind is busy: it waits, and what comes behind it does not.
    broker.request(at(1), 1, wanting("2.0"));
    broker.request(at(1), 2, wanting("1"));
    let group = |group: &str| Wanted { group: Some(group.into()), ..Wanted::default() };
    broker.request(at(1), 3, Asked { wanted: group("north"), ..asked(60_000) });
    assert_eq!(given(&mut broker), [(0, key(2)), (2, key(1)), (3, key(3))]);
    broker.done(at(2), 2, key(1), Outcome::Answered);
    assert_eq!(given(&mut broker), []);
    broker.done(at(3), 0, key(2), Outcome::Answered);
    assert_eq!(given(&mut broker), [(1, key(2))]);
    // Without a worker that will do, the policy decides, at once.
    broker.request(at(4), 4, wanting("3"));
    broker.request(at(4), 5, Asked { wanted: group("south"), ..asked(60_000) });
    let only = Wanted { only: Some(key(9).id), ..Wanted::default() };
    broker.request(at(4), 6, Asked { wanted: only, ..asked(60_000) });
    let why = Refusal::NoWorkers;
    assert_eq!(refused(&mut broker), [(4, why), (5, why), (6, why)]);
    let versions: Vec<String> = broker.kinds("s").into_iter().map(|kind| kind.version).collect();
    assert_eq!(versions, ["", "1.4", "2.0"]);
}

#[test] // B-18
fn a_thousand_tasks_for_a_busy_version_hold_up_no_other() {
    let mut broker = broker(BrokerConfig::default());
    broker.worker(at(0), key(1), "s", of_version("1"));
    broker.worker(at(0), key(2), "s", of_version("2"));
    for task in 0..1_000 {
        broker.request(at(1), task, wanting("2"));
    }
    given(&mut broker);
    broker.request(at(2), 1_000, wanting("1"));
    assert_eq!(given(&mut broker), [(1_000, key(1))]);
}

#[test] // B-18
fn the_successor_of_a_version_is_waited_for_and_what_waits_for_none_is_refused() {
    let config = BrokerConfig::default();
    let mut broker = broker(config);
    broker.worker(at(0), key(1), "s", of_version("1"));
    broker.worker(at(0), key(2), "s", of_version("2"));
    broker.gone(at(1_000), key(2), None);
    broker.request(at(1_100), 0, wanting("2"));
    assert_eq!(refused(&mut broker), []);
    broker.worker(at(1_500), key(3), "s", of_version("2"));
    assert_eq!(given(&mut broker), [(0, key(3))]);
    broker.request(at(1_600), 1, wanting("2"));
    broker.gone(at(2_000), key(3), None);
    assert_eq!(given(&mut broker), []);
    broker.heard(at(4_900), key(1));
    broker.tick(at(2_000) + config.grace);
    // The one that was lost may run twice, so both have waited.
    assert_eq!(refused(&mut broker), [(0, Refusal::NoWorkers), (1, Refusal::NoWorkers)]);
}

#[test] // B-18
fn work_goes_to_the_peer_that_has_the_version() {
    let mut broker = broker(BrokerConfig::default());
    let has = |version: &str| PeerOffer {
        kinds: Some(vec![Kind { version: version.into(), ..ANY }]),
        ..room(5, 5, true)
    };
    broker.peer(at(0), key(201), "s", has("1"));
    broker.peer(at(0), key(202), "s", has("2"));
    broker.request(at(1), 0, wanting("2.1"));
    assert_eq!(refused(&mut broker), [(0, Refusal::NoWorkers)]);
    broker.request(at(1), 1, wanting("2"));
    assert_eq!(given(&mut broker), [(1, key(202))]);
}

#[test] // B-18
fn a_change_of_kinds_is_told_though_the_room_is_the_same() {
    let mut broker = broker(BrokerConfig::default());
    broker.worker(at(0), key(1), "s", of_version("1"));
    all(&mut broker);
    broker.worker(at(1), key(1), "s", of_version("2"));
    let kinds = vec![Kind { version: "2".into(), ..ANY }];
    let (free, capacity, waiting) = (1, 1, 0);
    let tell = Action::Tell { service: "s".into(), free, capacity, waiting, kinds };
    assert_eq!(all(&mut broker), [tell]);
}

#[test] // B-17 ALL-3
fn a_number_that_nobody_can_have_asked_with_stops_no_questions() {
    let mut broker = broker(BrokerConfig::default());
    broker.worker(at(0), key(1), "s", TAKES);
    broker.worker(at(0), key(2), "s", TAKES);
    let again = Asked { key: Some(vec![9; 20]), again: true, ..asked(60_000) };
    broker.request(at(1), 0, again.clone());
    let found = |number, found, promised| Finding { number, found, promised };
    let [(liar, number), (honest, _)] = inquired(&mut broker)[..] else { panic!("two are asked") };
    broker.found(at(2), liar, found(number, Found::Elsewhere, u64::MAX));
    broker.found(at(2), honest, found(number, Found::Promised, number));
    assert_eq!(given(&mut broker), [(0, honest)]);
    assert_eq!(broker.counters().absurd, 1);
    // The next question has the next number, and the liar gets nothing for a while.
    broker.done(at(3), 0, honest, Outcome::Answered);
    broker.request(at(4), 1, Asked { key: Some(vec![8; 20]), ..again.clone() });
    assert!(inquired(&mut broker).iter().all(|(_, next)| *next == number + 1));
    // One that is only ahead is believed.
    broker.found(at(5), honest, found(number + 1, Found::Elsewhere, number + 1_000));
    broker.tick(at(100));
    assert!(inquired(&mut broker).iter().all(|(_, next)| *next == number + 1_001));
    assert_eq!(broker.counters().absurd, 1);
}

#[test] // B-17 ALL-3
fn where_all_answers_are_absurd_questions_go_on_at_a_pace() {
    let mut broker = broker(BrokerConfig::default());
    broker.worker(at(0), key(1), "s", TAKES);
    let again = Asked { key: Some(vec![9; 20]), again: true, ..asked(60_000) };
    broker.request(at(1), 0, again);
    for round in 0..10 {
        let [(to, number)] = inquired(&mut broker)[..] else { panic!("one is asked in {round}") };
        let absurd = Finding { number, found: Found::Elsewhere, promised: u64::MAX };
        broker.found(at(100 * round + 2), to, absurd);
        assert_eq!(inquired(&mut broker), [], "without a pause");
        broker.tick(at(100 * round + 99));
    }
    assert_eq!(broker.counters().absurd, 10);
}
