use super::*;

fn dial(n: u64) -> Action {
    Action::Dial { id: Some(key(n, 1).id), addrs: vec![addr(n)] }
}

fn seed_dials(bench: &Bench, seed: SocketAddr) -> Vec<Time> {
    bench.times(|action| matches!(action, Action::Dial { id: None, addrs } if *addrs == [seed]))
}

#[test] // D-8
fn a_beacon_of_a_stranger_causes_a_dial_at_once_and_no_member() {
    let mut bench = Bench::settled();

    bench.hear(key(1, 1), &beacon_of(1), false);
    bench.hear(key(1, 1), &beacon_of(1), false);

    assert_eq!(bench.decisions(), [dial(1)]);
    assert_eq!((bench.discovery.members().count(), bench.discovery.live_count()), (0, 1));
}

#[test] // D-12
fn strangers_cause_at_most_fifty_dials_in_any_second_and_none_is_forgotten() {
    let mut bench = Bench::settled();

    (1..=300).for_each(|n| bench.hear(key(n, 1), &beacon_of(n), false));
    bench.run_for(S * 6);

    let dials = bench.dials();
    assert_eq!(dials.len(), 300);
    assert!(dials.windows(51).all(|run| run[50].since(run[0]) >= S));
}

#[test] // D-12
fn a_stranger_that_never_answers_is_dialled_five_times() {
    let mut bench = Bench::settled();
    bench.hear(key(1, 1), &beacon_of(1), false);

    for _ in 0..20 {
        bench.fail(1);
        bench.run_for(S * 40);
    }

    assert_eq!(bench.dials().len(), 5);
}

#[test] // D-12
fn a_flood_of_strangers_stays_within_its_table() {
    let mut bench = Bench::settled();

    (1..=5_000).for_each(|n| bench.hear(key(n, 1), &beacon_of(n), false));

    assert_eq!(bench.discovery.hints_dropped(), 5_000 - 1_024);
}

#[test] // D-9
fn a_beacon_of_a_live_member_changes_its_addresses_and_nothing_else() {
    let mut bench = Bench::settled();
    bench.up(1);
    let moved = Beacon { addresses: vec![ip(200)], ..beacon_of(1) };

    bench.hear(key(1, 1), &moved, true);

    assert_eq!(bench.decisions(), []);
    let member = bench.discovery.member(key(1, 1).id).unwrap();
    assert_eq!((member.addresses.as_slice(), member.since), ([ip(200)].as_slice(), bench.now));
    assert_eq!(bench.discovery.candidates(key(1, 1).id), [addr(1), addr(200)]);
}

#[test] // D-9
fn beacons_revive_no_dead_member() {
    let mut bench = Bench::settled();
    bench.up(1);
    bench.down(1, SILENT);

    (0..10).for_each(|_| bench.hear(key(1, 1), &beacon_of(1), false));

    let state = bench.discovery.member(key(1, 1).id).unwrap().state;
    assert_eq!((state, bench.discovery.live_count()), (MemberState::Dead, 1));
    assert_eq!(bench.decisions(), [dial(1)]);
}

#[test] // D-8
fn the_end_of_a_replaced_session_ends_nothing() {
    let mut bench = Bench::settled();
    bench.up_as(key(1, 1), "peer1", 0);
    bench.up_as(key(1, 2), "peer1", 0);

    bench.discovery.on_session_down(bench.now, key(1, 1), SILENT);

    let member = bench.discovery.member(key(1, 2).id).unwrap();
    assert_eq!((member.key, member.state), (key(1, 2), MemberState::Live));
    assert_eq!(bench.discovery.live_count(), 2);
}

#[test] // D-8, D-13, D-15
fn a_higher_incarnation_is_dialled_once_a_second_and_a_lower_one_never() {
    let mut bench = Bench::settled();
    bench.up_as(key(1, 5), "peer1", 0);

    (0..100).for_each(|_| bench.hear(key(1, 4), &beacon_of(1), true));
    assert!(bench.done.is_empty(), "not dialled, not answered");
    (0..100).for_each(|_| bench.hear(key(1, 6), &beacon_of(1), false));
    assert_eq!(bench.decisions(), [dial(1)]);
    bench.run_for(S);
    bench.hear(key(1, 6), &beacon_of(1), false);

    assert_eq!(bench.decisions(), [dial(1)]);
    assert_eq!(bench.discovery.member(key(1, 5).id).unwrap().key, key(1, 5), "only a hint");
}

#[test] // D-11 BK-11
fn a_silent_member_is_redialled_for_a_day_ever_more_rarely() {
    let mut bench = Bench::settled();
    bench.up(1);
    let mut last = bench.now;
    bench.down(1, SILENT);
    let mut gaps = Vec::new();

    for _ in 0..15 {
        let before = bench.dials().len();
        while bench.dials().len() == before {
            bench.run_for(MS * 10);
        }
        gaps.push(bench.dials()[before].since(last));
        last = bench.now;
        bench.fail(1);
    }

    for (n, gap) in gaps.iter().enumerate() {
        let wanted = (MS * 100 * 2u32.pow(n as u32)).min(S * 32);
        assert!((wanted * 79 / 100..=wanted * 121 / 100).contains(gap), "{n}: {gap:?}");
    }
}

#[test] // D-11
fn a_dial_whose_end_nobody_reports_does_not_stop_the_redialling() {
    let mut bench = Bench::settled();
    bench.up(1);
    bench.down(1, SILENT);

    bench.run_for(S * 3600);

    assert!((80..=100).contains(&bench.dials().len()), "{}", bench.dials().len());
}

#[test] // D-11 BK-11
fn a_session_clears_the_backoff() {
    let mut bench = Bench::settled();
    bench.up(1);
    bench.down(1, SILENT);
    bench.run_for(S * 600);

    bench.up(1);
    bench.down(1, SILENT);
    bench.done.clear();
    bench.run_for(MS * 120);

    assert_eq!(bench.decisions(), [dial(1)]);
}

#[test] // D-11
fn a_dead_member_that_says_goodbye_after_all_is_not_redialled() {
    let mut bench = Bench::settled();
    bench.up(1);
    bench.down(1, SILENT);

    bench.down(1, SILENT);
    bench.down(1, LEFT);
    bench.run_for(S * 59);

    assert_eq!(bench.discovery.member(key(1, 1).id).unwrap().state, MemberState::Left);
    assert!(bench.dials().is_empty());
}

#[test] // D-15
fn late_beacons_of_a_member_that_left_are_ignored_but_a_new_life_is_dialled() {
    let mut bench = Bench::settled();
    bench.up(1);
    bench.down(1, LEFT);

    bench.hear(key(1, 1), &beacon_of(1), true);
    bench.run_for(MS * 59_000);
    bench.hear(key(1, 1), &beacon_of(1), true);
    assert_eq!(bench.decisions(), []);
    assert!(bench.unicasts().is_empty());
    bench.hear(key(1, 2), &beacon_of(1), true);

    assert_eq!(bench.decisions(), [dial(1)]);
    bench.run_for(S * 2);
    assert!(bench.discovery.member(key(1, 1).id).is_none(), "forgotten after 60 s");
}

#[test] // D-12, D-15
fn a_member_record_is_a_hint_and_only_from_a_member() {
    let mut bench = Bench::settled();
    bench.up(1);
    let record = |n, state| Member {
        state,
        key: key(n, 1),
        addr_version: 1,
        port: 37_321,
        addresses: vec![ip(n)],
        interest_version: 0,
    };

    bench.discovery.on_member_hint(bench.now, &record(2, hint_state::ALIVE), key(9, 1).id);
    bench.discovery.on_member_hint(bench.now, &record(3, hint_state::DOWN), key(1, 1).id);
    bench.discovery.on_member_hint(bench.now, &record(0, hint_state::ALIVE), key(1, 1).id);
    bench.discovery.on_member_hint(bench.now, &record(1, hint_state::ALIVE), key(1, 1).id);
    bench.discovery.on_member_hint(bench.now, &record(4, hint_state::SUSPECT), key(1, 1).id);
    bench.pull();

    assert_eq!(bench.decisions(), [dial(4)]);
    assert_eq!(bench.discovery.member(key(1, 1).id).unwrap().addresses, [ip(1)]);
}

#[test] // D-14
fn addresses_are_tried_best_first_at_most_eight_and_never_our_own() {
    let mut bench = Bench::settled();
    let eth = face(2, "eth0", &["10.7.0.1"], true);
    bench.discovery.on_interfaces(bench.now, &[eth, face(1, "lo", &["127.0.0.1"], false)]);
    let told = ["172.17.0.1", "127.0.0.1", "10.7.0.1", "10.7.0.2", "10.0.0.1", "fe80::7"];
    let told = Beacon { addresses: told.map(|ip| ip.parse().unwrap()).into(), ..beacon_of(1) };
    let same_host = Beacon { host_id: [9; 16], port: 5, ..told.clone() };
    let other_host = Beacon { port: 5, ..told.clone() };
    let at = |bench: &mut Bench, n, beacon: &Beacon| {
        let meta = from("10.0.0.1:40000".parse().unwrap());
        bench.discovery.on_beacon(
            bench.now,
            key(n, 1),
            beacon,
            &meta,
            false,
            true,
            &mut bench.counters,
        );
        bench.pull();
        let Some(Action::Dial { addrs, .. }) = bench.decisions().pop() else { panic!() };
        addrs.iter().map(ToString::to_string).collect::<Vec<_>>()
    };

    let (far, near) = (at(&mut bench, 1, &told), at(&mut bench, 2, &same_host));
    let other = at(&mut bench, 4, &other_host);

    let subnet_then_rest = ["10.0.0.1:37321", "10.7.0.2:37321", "172.17.0.1:37321"];
    assert_eq!(far[..3], subnet_then_rest);
    assert_eq!(far[3..], ["[fe80::7%2]:37321"], "not our own");
    assert!(other.contains(&"10.7.0.1:5".into()), "our address, but another's port");
    assert!(!other.contains(&"127.0.0.1:5".into()), "no loopback of another host");
    assert!(near.contains(&"127.0.0.1:5".to_string()) && near[0] == "10.0.0.1:5");
    let many = Beacon { addresses: (1..30).map(ip).collect(), ..beacon_of(3) };
    assert_eq!(at(&mut bench, 3, &many).len(), 8);
}

#[test] // D-14
fn a_mapped_source_is_an_ipv4_address() {
    let mapped = with_port("[::ffff:10.0.0.1]:9".parse().unwrap(), 37_321);

    assert_eq!(mapped, addr(1));
}

#[test] // D-17
fn observers_are_dialled_but_neither_counted_nor_told_of() {
    let mut bench = Bench::settled();
    let observer = Beacon { roles: Roles(roles::OBSERVER), ..beacon_of(1) };

    bench.hear(key(1, 1), &observer, false);
    assert_eq!(bench.decisions(), [dial(1)]);
    bench.up_as(key(1, 1), "peer1", roles::OBSERVER);
    bench.up(2);
    bench.up(3);

    assert_eq!(bench.discovery.live_count(), 3);
    let told: Vec<_> = bench.discovery.relay(key(3, 1).id).map(|member| member.key).collect();
    assert_eq!(told, [key(2, 1)]);
    bench.discovery.on_session_down(bench.now, key(1, 1), LEFT);
    assert_eq!(bench.discovery.live_count(), 3);
}

#[test] // D-23
fn seeds_are_tried_two_at_a_time_for_ever() {
    let mut cfg = config();
    cfg.seeds = (1..=5).map(addr).collect();
    let mut bench = Bench::new(&cfg);

    bench.run_for(MS);
    assert_eq!(bench.dials().len(), 2);
    for _ in 0..2_000 {
        for n in 1..=5 {
            bench.discovery.on_dial_failed(bench.now, None, &[addr(n)], &mut bench.counters);
        }
        bench.run_for(S);
    }

    for n in 1..=5 {
        let times = seed_dials(&bench, addr(n));
        let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1].since(pair[0])).collect();
        assert!((MS * 800..=S * 4).contains(&gaps[0]), "{:?}", gaps[0]);
        assert!(gaps.iter().all(|gap| *gap <= S * 75));
        assert!(gaps.len() >= 25 && gaps[gaps.len() - 1] >= S * 48);
    }
}

#[test] // D-24
fn a_seed_that_is_a_live_member_is_left_alone_until_its_session_ends() {
    let mut cfg = config();
    cfg.seeds = vec![addr(1)];
    let mut bench = Bench::new(&cfg);
    bench.run_for(MS);
    bench.up(1);

    bench.run_for(S * 3600);
    assert_eq!(seed_dials(&bench, addr(1)).len(), 1);
    bench.down(1, LEFT);
    bench.run_for(S * 2);

    assert_eq!(seed_dials(&bench, addr(1)).len(), 2);
}

#[test] // D-23, D-24
fn a_seed_that_was_a_member_is_tried_from_the_shortest_wait_again() {
    let mut cfg = config();
    cfg.seeds = vec![addr(1)];
    let mut bench = Bench::new(&cfg);
    bench.run_for(S * 1000);
    bench.up(1);
    bench.done.clear();

    bench.down(1, LEFT);
    bench.run_for(MS * 1200);

    assert_eq!(seed_dials(&bench, addr(1)).len(), 1);
}

#[test] // D-24
fn a_seed_met_otherwise_before_is_not_dialled_at_all() {
    let mut bench = Bench::settled();
    bench.up(1);
    bench.hear(key(1, 1), &Beacon { addresses: vec![ip(1), ip(2)], ..beacon_of(1) }, false);
    bench.up(3);

    assert!(bench.discovery.add_seed(bench.now, &[addr(1)]));
    assert!(bench.discovery.add_seed(bench.now, &[addr(2)]));
    assert!(bench.discovery.add_seed(bench.now, &[addr(4)]));
    bench.run_for(MS);
    bench.discovery.on_seed_known(addr(4), key(3, 1).id);
    bench.run_for(S * 3600);

    assert_eq!(bench.decisions(), [Action::Dial { id: None, addrs: vec![addr(4)] }]);
}
