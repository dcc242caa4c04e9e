use super::*;

fn greetings(bench: &Bench, port: u16) -> Vec<String> {
    let to = |(_, action): &(Time, Action)| match action {
        Action::Unicast { dst, solicit: true, leaving: false } if dst.port() == port => {
            Some(dst.ip().to_string())
        }
        _ => None,
    };
    bench.done.iter().filter_map(to).collect()
}

#[test] // D-1
fn the_start_is_four_soliciting_beacons_at_their_times() {
    for seed in 0..50 {
        let mut bench = Bench::seeded(&config(), seed);

        bench.run_for(S * 3);

        let solicit = |action: &Action| matches!(action, Action::Multicast { solicit: true, .. });
        let times = bench.times(solicit);
        let [first, rest @ ..] = times.as_slice() else { panic!("no beacon") };
        assert!(*first <= Time::ZERO + MS * 2);
        assert_eq!(rest, [100, 400, 1600].map(|ms| Time::ZERO + MS * ms));
    }
}

#[test] // D-1
fn the_start_beacons_greet_the_ports_of_loopback_but_our_own() {
    let mut bench = Bench::new(&config());
    let lo = face(1, "lo", &["127.0.0.1", "::1"], false);
    bench.discovery.on_interfaces(bench.now, &[lo]);

    bench.run_for(S * 60);

    assert_eq!(bench.unicasts().len(), 4 * 2 * 15);
    assert_eq!(greetings(&bench, 37_321), [""; 0]);
    assert_eq!(greetings(&bench, 37_336), ["127.0.0.1", "::1"].repeat(4));
    assert_eq!(greetings(&bench, 37_337), [""; 0]);
}

#[test] // D-1
fn loopback_is_not_greeted_where_there_is_none_or_when_told_not_to() {
    let mut without = Bench::new(&config());
    without.discovery.on_interfaces(Time::ZERO, &[face(2, "eth0", &["10.0.0.9"], true)]);
    let mut cfg = config();
    cfg.greet_loopback = false;
    let mut told = Bench::new(&cfg);
    told.discovery.on_interfaces(Time::ZERO, &[face(1, "lo", &["127.0.0.1"], false)]);

    without.run_for(S * 10);
    told.run_for(S * 10);

    assert_eq!((without.unicasts().len(), told.unicasts().len()), (0, 0));
}

#[test] // D-2
fn the_steady_load_of_a_realm_is_at_most_ten_beacons_a_second_whatever_its_size() {
    for n in [1, 10, 100, 1000] {
        let mut bench = Bench::new(&config());
        (1..n).for_each(|peer| bench.up(peer));
        bench.run_for(S * 300);
        bench.done.clear();

        let span = 100_000;
        bench.run_for(S * span);

        let each = bench.multicasts().len() as f64 / f64::from(span);
        let period = (n as f64 / 10.0).max(2.0);
        assert!((each * period - 1.0).abs() < 0.05, "N = {n}: {each} beacons/s each");
        assert!(each * n as f64 <= 10.2, "N = {n}");
        assert!(bench.unicasts().is_empty() && bench.dials().is_empty());
    }
}

#[test] // D-2
fn periods_are_spread_by_a_quarter() {
    let mut bench = Bench::settled();
    bench.run_for(S * 4000);

    let times = bench.multicasts();
    let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1].since(pair[0])).collect();

    assert!(gaps.iter().all(|gap| (MS * 1500..=MS * 2500).contains(gap)));
    assert!(gaps.iter().any(|gap| *gap < MS * 1600) && gaps.iter().any(|gap| *gap > MS * 2400));
}

#[test] // D-2
fn a_realm_that_shrinks_beacons_soon_again() {
    for seed in 0..20 {
        let mut bench = Bench::seeded(&config(), seed);
        (1..1000).for_each(|peer| bench.up(peer));
        bench.run_for(S * 200);
        (1..1000).for_each(|peer| bench.down(peer, LEFT));
        bench.done.clear();

        bench.run_for(S * 3);

        assert!(!bench.multicasts().is_empty());
    }
}

#[test] // D-4
fn in_a_small_realm_a_newcomer_is_answered_at_once_while_tokens_last() {
    let mut bench = Bench::settled();

    (1..=10).for_each(|n| bench.hear(key(n, 1), &beacon_of(n), true));

    assert_eq!(bench.unicasts(), [bench.now; 8]);
    let to = Action::Unicast { dst: addr(1), solicit: false, leaving: false };
    assert!(bench.done.iter().any(|(_, action)| *action == to), "at the advertised port");
    bench.run_for(S);
    assert_eq!(bench.unicasts().len() as u64 + bench.counters.replies_limited, 10);
}

#[test] // D-4
fn who_has_a_session_or_does_not_ask_is_not_answered() {
    let mut bench = Bench::settled();
    bench.up(1);

    bench.hear(key(1, 1), &beacon_of(1), true);
    bench.hear(key(2, 1), &beacon_of(2), false);
    bench.run_for(S);

    assert!(bench.unicasts().is_empty());
}

#[test] // D-5
fn in_a_large_realm_about_eight_answer_within_100_ms() {
    let mut answers = Vec::new();
    for seed in 0..200 {
        let mut bench = Bench::seeded(&config(), seed);
        (1..200).for_each(|peer| bench.up(peer));
        bench.run_for(S * 2);
        bench.done.clear();
        let asked = bench.now;

        bench.hear(key(1000, 1), &beacon_of(1000), true);
        bench.run_for(S);

        answers.extend(bench.unicasts().iter().map(|at| at.since(asked)));
    }

    assert!((2..=16).contains(&answers.len()), "{} of 200 answer", answers.len());
    assert!(answers.iter().all(|wait| *wait <= MS * 100));
    assert!(answers.iter().any(|wait| *wait > MS * 20), "they do not answer in step");
}

#[test] // D-5
fn a_cold_start_of_a_thousand_costs_each_at_most_its_bucket() {
    let mut bench = Bench::new(&config());

    for round in [0u32, 100, 400, 1600] {
        let at = Time::ZERO + MS * round;
        bench.run_for(at.since(bench.now));
        (1..1000).for_each(|n| bench.hear(key(n, 1), &beacon_of(n), true));
    }
    bench.run_for(MS * 1400);

    let answers = bench.unicasts().len();
    assert!(answers <= 8 + 3 * 20, "{answers} answers in 3 s");
    assert!(bench.dials().len() <= 4 * 50, "{} dials in 3 s", bench.dials().len());
    assert!(bench.counters.replies_limited > 0);
}

#[test] // D-6
fn new_interfaces_start_the_series_anew_but_flapping_ones_only_once_a_second() {
    let mut bench = Bench::settled();
    let one = [face(2, "eth0", &["10.0.0.9"], true)];
    let two = [one[0].clone(), face(3, "eth1", &["10.1.0.9"], true)];
    let start = bench.now;

    bench.discovery.on_interfaces(start, &one);
    bench.run_for(MS * 5);
    assert_eq!(bench.multicasts().len(), 1);
    for round in 0..100 {
        bench.discovery.on_interfaces(bench.now, if round % 2 == 0 { &two } else { &one });
        bench.run_for(MS * 10);
    }

    assert!(bench.multicasts().len() <= 3, "{:?}", bench.multicasts());
    bench.run_for(S * 2);
    assert!(bench.multicasts().len() >= 5);
    bench.done.clear();
    bench.discovery.on_interfaces(bench.now, &one);
    bench.run_for(MS * 10);
    assert!(bench.multicasts().is_empty(), "nothing has changed");
}

#[test] // D-6
fn a_card_that_comes_up_just_after_the_start_is_announced_at_once() {
    let mut bench = Bench::new(&config());
    bench.run_for(MS * 5);
    bench.done.clear();

    bench.discovery.on_interfaces(bench.now, &[face(2, "eth0", &["10.0.0.9"], true)]);
    bench.run_for(MS * 5);

    assert_eq!(bench.multicasts().len(), 1);
}

#[test] // D-6
fn the_address_version_rises_with_what_is_advertised_and_only_then() {
    let mut bench = Bench::new(&config());
    let eth = face(2, "eth0", &["10.0.0.9"], true);
    bench.discovery.on_interfaces(bench.now, core::slice::from_ref(&eth));
    let before = bench.discovery.addr_version();

    bench.discovery.on_interfaces(bench.now, &[eth.clone(), face(1, "lo", &["127.0.0.1"], false)]);
    let lo = bench.discovery.addr_version();
    bench.discovery.on_interfaces(bench.now, &[face(2, "eth0", &["10.0.0.10"], true)]);

    assert_eq!((lo, bench.discovery.addr_version()), (before, before + 1));
}

#[test] // D-7
fn advertised_are_addresses_that_mean_something_elsewhere() {
    let advertised = |cfg: &Config, faces: &[InterfaceInfo]| {
        let mut bench = Bench::new(cfg);
        bench.discovery.on_interfaces(bench.now, faces);
        let beacon = bench.discovery.beacon(0, 0);
        beacon.addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let lo = face(1, "lo", &["127.0.0.1"], false);
    let docker = face(4, "docker0", &["172.17.0.1"], true);
    let eth = face(2, "eth0", &["fe80::1", "fd00::1", "10.0.0.9"], true);
    let many: Vec<String> = (0..20).map(|n| format!("10.2.0.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut given = config();
    given.advertise = vec![ip(77)];

    let both = [lo.clone(), docker, eth];
    assert_eq!(advertised(&config(), &both), ["10.0.0.9", "fd00::1", "fe80::1"]);
    assert_eq!(advertised(&config(), &[lo]), ["127.0.0.1"]);
    assert_eq!(advertised(&given, &both), ["10.0.0.77"]);
    assert_eq!(advertised(&config(), &[face(2, "eth0", &many, true)]).len(), 8);
}

#[test] // D-1
fn beacons_go_to_the_group_of_each_interface_with_a_socket() {
    let mut bench = Bench::new(&config());
    let both = InterfaceInfo { multicast: (true, true), ..face(3, "eth1", &["10.1.0.9"], true) };
    let faces = [face(2, "eth0", &["10.0.0.9"], true), both, face(4, "tun0", &["10.2.0.9"], false)];
    bench.discovery.on_interfaces(bench.now, &faces);

    let groups = bench.discovery.groups();

    let v6 = |(via, _): &&(Via, SocketAddr)| matches!(via, Via::Group { v6: true, .. });
    let scope = |(_, dst): &(Via, SocketAddr)| match dst {
        SocketAddr::V6(dst) => dst.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    assert_eq!(groups.len(), 3);
    assert_eq!(groups.iter().filter(v6).map(scope).collect::<Vec<_>>(), [3]);
}

#[test] // D-21
fn a_change_of_interest_leaves_at_once_five_times_then_in_steps_that_carry_the_last() {
    let mut bench = Bench::settled();
    let start = bench.now;
    let quiet = |action: &Action| matches!(action, Action::Multicast { solicit: false, .. });

    for _ in 0..100 {
        bench.discovery.on_interest_changed(bench.now);
        bench.pull();
    }
    assert_eq!(bench.times(quiet), [start; 5]);
    bench.run_for(MS * 221);

    let last = bench.times(quiet)[5].since(start);
    assert!((MS * 200..=MS * 220).contains(&last) && bench.times(quiet).len() == 6, "{last:?}");
}

#[test] // D-21
fn a_beacon_carries_a_change_of_interest_that_waits() {
    let mut bench = Bench::new(&config());
    bench.run_for(MS * 390);
    (0..6).for_each(|_| bench.discovery.on_interest_changed(bench.now));
    bench.run_for(MS * 9);
    bench.done.clear();

    bench.run_for(S);

    assert_eq!(bench.multicasts(), [Time::ZERO + MS * 400]);
}

#[test] // D-21
fn interest_at_the_start_goes_with_the_first_beacon() {
    let mut bench = Bench::new(&config());

    bench.discovery.on_interest_changed(bench.now);
    bench.run_for(MS * 50);

    assert_eq!(bench.multicasts().len(), 1);
}

#[test] // D-22
fn closing_says_goodbye_three_times_and_nothing_else() {
    let mut bench = Bench::settled();
    bench.up(1);
    bench.down(1, SILENT);
    bench.done.clear();
    let start = bench.now;

    bench.discovery.close(start);
    bench.discovery.close(start);
    bench.run_for(S * 1000);
    bench.hear(key(2, 1), &beacon_of(2), true);

    assert!(bench.discovery.is_closed() && bench.discovery.deadline().is_none());
    let goodbye = Action::Multicast { solicit: false, leaving: true };
    assert_eq!(bench.done, [0, 20, 40].map(|ms| (start + MS * ms, goodbye.clone())));
}

#[test] // D-25
fn discovery_settles_after_300_ms_of_quiet() {
    let settled = Action::Event(Event::Settled);
    let mut alone = Bench::new(&config());
    let mut joined = Bench::new(&config());

    alone.run_for(S * 5);
    joined.run_for(MS * 200);
    joined.up(1);
    joined.run_for(MS * 299);
    assert!(!joined.discovery.settled());
    joined.run_for(S * 5);

    assert_eq!(alone.times(|action| *action == settled), [Time::ZERO + MS * 300]);
    assert_eq!(joined.times(|action| *action == settled), [Time::ZERO + MS * 500]);
    assert!(joined.discovery.settled());
}

#[test] // D-25
fn discovery_settles_after_a_second_even_in_a_busy_realm_and_once() {
    let mut bench = Bench::new(&config());

    for n in 1..50 {
        bench.run_for(MS * 100);
        bench.up(n);
        bench.discovery.on_news(bench.now);
    }

    let settled = bench.times(|action| *action == Action::Event(Event::Settled));
    assert_eq!(settled, [Time::ZERO + S]);
}

#[test] // D-26
fn an_interface_that_brings_no_copy_back_is_told_of_once() {
    let mut bench = Bench::new(&config());
    let faces = [
        face(2, "eth0", &["10.0.0.9"], true),
        face(3, "wlan0", &["10.1.0.9"], true),
        face(4, "tun0", &["10.3.0.9"], false),
    ];
    bench.discovery.on_interfaces(bench.now, &faces);
    bench.run_for(MS * 5);
    bench.hear(me(), &beacon_of(0), true);

    bench.run_for(S * 100);

    let deaf = |action: &Action| matches!(action, Action::Event(Event::NoMulticast { .. }));
    assert_eq!(bench.times(deaf), [Time::ZERO + S * 3]);
    let event = Action::Event(Event::NoMulticast { iface: 3 });
    assert!(bench.done.contains(&(Time::ZERO + S * 3, event)));
    assert_eq!(bench.counters.beacons_received, 0, "our own are not counted");
}

#[test] // D-25
fn a_session_that_is_renewed_is_no_news() {
    let mut bench = Bench::new(&config());
    bench.up(1);
    bench.run_for(MS * 299);
    bench.up(1);

    bench.run_for(MS * 2);

    assert!(bench.discovery.settled());
}
