use super::*;

#[test] // D-10
fn a_hundred_thousand_restarts_leave_a_bounded_list_of_the_dead() {
    let mut bench = Bench::new(&config());
    (1..=20).for_each(|n| bench.up(n));

    for n in 100..100_100 {
        bench.up(n);
        bench.down(n, if n % 2 == 0 { SILENT } else { LEFT });
        bench.run_for(MS);
    }

    let gone = bench.discovery.members().count() - 20;
    assert!(gone <= 4 * 21, "{gone}");
    assert!(bench.discovery.member(key(100_099, 1).id).is_some(), "the oldest go first");
    assert!(bench.discovery.member(key(100, 1).id).is_none());
    assert_eq!(bench.discovery.live_count(), 21);
}

#[test] // D-10
fn when_a_switch_takes_all_but_us_all_are_redialled() {
    let mut bench = Bench::settled();
    (1..=30).for_each(|n| bench.up(n));

    (1..=30).for_each(|n| bench.down(n, SILENT));
    bench.run_for(MS * 130);

    assert_eq!(bench.dials().len(), 30);
}

#[test] // D-10
fn a_dead_member_is_forgotten_after_a_day() {
    let mut bench = Bench::settled();
    bench.up(1);
    bench.down(1, SILENT);

    bench.run_for(S * 23 * 3600);
    assert!(bench.discovery.member(key(1, 1).id).is_some());
    bench.run_for(S * 3700);

    assert!(bench.discovery.member(key(1, 1).id).is_none());
    bench.done.clear();
    bench.run_for(S * 3600);
    assert!(bench.dials().is_empty());
}

#[test] // D-27
fn neighbours_are_listed_by_address_and_kind_and_the_stalest_goes() {
    let mut bench = Bench::settled();
    bench.discovery.on_foreign_realm(Time::ZERO + S, ip(1), [1; 4]);
    for n in 2..200 {
        bench.discovery.on_wrong_key(Time::ZERO + S * n, ip(u64::from(n)));
        bench.discovery.on_foreign_realm(Time::ZERO + S * n, ip(1), [1; 4]);
    }

    let all: Vec<_> = bench.discovery.neighbours().iter().collect();

    assert_eq!(all.len(), 64);
    let kind = NeighbourKind::ForeignRealm { tag: [1; 4] };
    let (first, last) = (Time::ZERO + S, Time::ZERO + S * 199);
    assert_eq!(*all[0], Neighbour { ip: ip(1), kind, count: 199, first, last });
    assert!(all.iter().all(|neighbour| neighbour.last > Time::ZERO + S * 130));
    assert!(bench.discovery.poll().is_none(), "never answered");
}

#[test] // D-8, D-10
fn the_books_are_right_after_any_order_of_ups_and_downs() {
    let mut rng = Rng::new([3; 32]);
    for seed in 0..20 {
        let mut bench = Bench::seeded(&config(), seed);
        for _ in 0..2_000 {
            let who = key(1 + rng.below(12), 1 + rng.below(3));
            let name = ["me", "a", "b"][rng.below(3) as usize];
            let reasons = [LEFT, SILENT, DownReason::Restarted, DownReason::Protocol];
            let reason = reasons[rng.below(4) as usize];
            match rng.below(8) {
                0 | 1 => bench.up_as(who, name, (rng.below(2) as u16) * roles::OBSERVER),
                2 | 3 => bench.discovery.on_session_down(bench.now, who, reason),
                4 => bench.discovery.on_leaving(bench.now, who),
                5 => bench.probed(who, rng.below(2) == 0),
                6 => bench.hear(who, &beacon_of(5), rng.below(2) == 0),
                _ => bench.run_for(MS * rng.below(3_000) as u32),
            }

            let live = |m: &&MemberEntry| m.state == MemberState::Live;
            let all: Vec<_> = bench.discovery.members().filter(live).collect();
            let counted = all.iter().filter(|m| m.counts()).count();
            assert_eq!(bench.discovery.live_count(), counted + 1);
            for name in ["me", "a", "b"] {
                let holders = all.iter().filter(|m| &*m.name == name).count();
                assert_eq!(bench.discovery.name_holders(name).count(), holders);
            }
            assert!(bench.discovery.members.timers_match());
        }
    }
}
