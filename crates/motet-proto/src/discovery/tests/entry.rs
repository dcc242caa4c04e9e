//! Ways in without multicast: contacts by host, and what is remembered from an earlier run.

use super::*;

/// The addresses of a host whose port is not known.
fn host(n: u64) -> Vec<SocketAddr> {
    (37_321..=37_324).map(|port| SocketAddr::new(ip(n), port)).collect()
}

fn dial_all(addrs: Vec<SocketAddr>) -> Action {
    Action::Dial { id: None, addrs }
}

fn fail(bench: &mut Bench, addrs: &[SocketAddr]) {
    bench.discovery.on_dial_failed(bench.now, None, addrs, &mut bench.counters);
    bench.pull();
}

fn remembering(count: u64) -> Bench {
    let mut cfg = config();
    cfg.remembered = (1..=count).map(addr).collect();
    let mut bench = Bench::new(&cfg);
    bench.run_for(MS);
    bench
}

#[test] // D-80
fn a_host_without_a_port_is_one_seed_whose_ports_are_dialled_together() {
    let mut bench = Bench::settled();

    for n in 1..=3 {
        assert!(bench.discovery.add_seed(bench.now, &host(n)));
    }
    bench.run_for(MS);
    assert_eq!(bench.decisions(), [dial_all(host(1)), dial_all(host(2))]);
    fail(&mut bench, &host(1));
    bench.run_for(MS);
    assert_eq!(bench.decisions(), [dial_all(host(3))]);
}

#[test] // D-80, D-24
fn a_host_is_left_alone_while_anybody_of_it_is_a_member() {
    let mut bench = Bench::settled();
    assert!(bench.discovery.add_seed(bench.now, &host(1)));
    bench.run_for(MS);
    let at = host(1)[2];

    bench.discovery.on_session_up(bench.now, key(1, 1), "peer1", at, 0, [1; 16]);
    bench.pull();
    bench.run_for(S * 3600);
    assert_eq!(bench.dials().len(), 1);
    bench.down(1, LEFT);
    bench.run_for(S * 2);

    assert_eq!(bench.dials().len(), 2);
}

#[test] // D-80
fn our_own_port_of_our_own_host_is_not_dialled() {
    let mut cfg = config();
    cfg.port = 37_322;
    let mut bench = Bench::new(&cfg);
    bench.discovery.on_interfaces(Time::ZERO, &[face(2, "eth0", &["10.0.0.1"], false)]);
    bench.run_for(S * 2);
    bench.done.clear();

    assert!(bench.discovery.add_seed(bench.now, &host(1)));
    bench.run_for(MS);

    let [one, _, three, four] = host(1)[..] else { panic!() };
    assert_eq!(bench.decisions(), [dial_all(vec![one, three, four])]);
}

#[test] // D-23
fn a_removed_seed_is_not_tried_again_and_its_room_is_free() {
    let mut bench = Bench::settled();
    for n in 1..=256 {
        assert!(bench.discovery.add_seed(bench.now, &[addr(n)]));
    }
    assert!(!bench.discovery.add_seed(bench.now, &[addr(257)]));
    assert!(bench.discovery.add_seed(bench.now, &[addr(256)]), "it is there already");

    (1..=256).for_each(|n| bench.discovery.remove_seed(&[addr(n)]));
    bench.run_for(S * 100);
    assert_eq!(bench.decisions(), []);
    assert!(bench.discovery.add_seed(bench.now, &[addr(257)]));
}

#[test] // D-81
fn remembered_addresses_are_tried_eight_at_a_time_until_somebody_is_there() {
    let mut bench = remembering(100);
    assert_eq!(bench.dials().len(), 8);

    for _ in 0..600 {
        (1..=100).for_each(|n| fail(&mut bench, &[addr(n)]));
        bench.run_for(S);
    }
    let of = |bench: &Bench, n: u64| {
        bench.times(|action| matches!(action, Action::Dial { addrs, .. } if *addrs == [addr(n)]))
    };
    for n in 1..=64 {
        let times = of(&bench, n);
        assert!(times.len() > 10, "{n}: {} dials", times.len());
        let last = times[times.len() - 1].since(times[times.len() - 2]);
        assert!((S * 48..=S * 80).contains(&last), "{last:?}");
    }
    assert!((65..=100).all(|n| of(&bench, n).is_empty()), "64 are kept");

    bench.up(200);
    bench.done.clear();
    bench.run_for(S * 600);
    assert_eq!(bench.decisions(), [], "given up: somebody is there");
}

#[test] // D-81
fn with_somebody_there_a_remembered_address_gets_three_tries() {
    let mut bench = remembering(2);
    bench.up(2);

    for _ in 0..100 {
        fail(&mut bench, &[addr(1)]);
        bench.run_for(S);
    }

    assert_eq!(bench.dials().len(), 2 + 2, "two at the start, two more of the one that is silent");
}

#[test] // D-81, D-24
fn a_member_met_otherwise_is_not_dialled_by_memory() {
    let mut bench = Bench::settled();
    bench.up(1);
    let mut cfg = config();
    cfg.remembered = vec![addr(1), addr(2)];
    let mut bench = Bench::new(&cfg);
    bench.up(1);

    bench.run_for(MS);

    assert_eq!(bench.dials().len(), 1);
    assert!(bench.decisions().contains(&dial_all(vec![addr(2)])));
}
