//! Lines of the acceptance list about many: what is told by stories, and what takes very many.

use motet_proto::node::MemberWhere;
use motet_sim::flock::{Flock, FlockSpec};
use motet_sim::net::config;
use motet_sim::scenarios::{crowd, lanes};
use motet_sim::storm::storm;
use motet_sim::{Ep, Net};
use std::time::Duration;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

// PE-6: one who misses much and one who comes late are served beside live data; the others hear
// nothing of the first, and keep their rate beside the second.
#[test]
fn pe_6_who_catches_up_slows_nobody() {
    lanes::a_loss_of_one_reader_is_repaired_for_it_alone();
    lanes::a_late_joiner_does_not_drag_the_group();
}

/// Names of those whom an endpoint holds for living, itself among them.
fn list(net: &mut Net, ep: Ep) -> Vec<String> {
    let own = net.world.slots[ep.0].cfg.name.clone();
    let members = net.node(ep).map(|node| node.members()).unwrap_or_default();
    let living =
        members.into_iter().filter(|it| !matches!(it.state, MemberWhere::Dead | MemberWhere::Left));
    let mut all: Vec<String> = living.map(|it| it.name.to_string()).chain([own]).collect();
    all.sort();
    all
}

// RC-11: whole endpoints, most of them without sessions. Someone comes on one side and someone goes on
// the other while they are apart.
#[test] // M-10, M-11
fn rc_11_after_a_partition_has_healed_both_sides_lists_are_equal() {
    let (mut net, eps) = crowd::crowd(31, 16, 4);
    net.run_for(secs(10));
    let (left, right) = eps.split_at(8);
    let cut = |net: &mut Net, left: &[Ep]| {
        for (a, b) in left.iter().flat_map(|a| right.iter().map(move |b| (*a, *b))) {
            net.world.block(a.0, b.0);
            net.world.block(b.0, a.0);
        }
    };
    cut(&mut net, left);
    net.run_for(secs(15));
    let mut cfg = config("newcomer");
    cfg.sessions_eager = 4;
    let host = net.world.add_host(&[0]);
    let newcomer = net.place(host, cfg);
    cut(&mut net, &[newcomer]);
    net.start(newcomer, false);
    net.kill(eps[15]);
    net.run_for(secs(30));
    let apart = (list(&mut net, left[0]), list(&mut net, right[0]));
    let has = |list: &[String], name: &str| list.iter().any(|it| it == name);
    assert!(has(&apart.0, "newcomer") && !has(&apart.1, "newcomer"), "{apart:?}");
    assert!(apart.0.len() + apart.1.len() < 24, "each side gives the other up: {apart:?}");

    net.heal();
    let all: Vec<Ep> = eps[..15].iter().copied().chain([newcomer]).collect();
    let mut expected: Vec<String> = (0..15).map(|n| format!("m{n}")).collect();
    expected.push("newcomer".into());
    expected.sort();
    let equal = |net: &mut Net| all.iter().all(|ep| list(net, *ep) == expected);
    let healed = net.world.now;
    assert!(net.run_until(equal, secs(120)), "{:?}", list(&mut net, left[0]));
    println!("equal after {:.1} s", net.world.now.since(healed).as_secs_f64());
    net.run_for(secs(60));
    assert!(equal(&mut net), "and they stay so");
}

// PB-5: a thousand endpoints of membership alone: loss, delay, a split and crashes. Whole endpoints:
// a hundred in `tests/membership.rs`, a thousand below.
#[test]
fn pb_5_a_thousand_endpoints_with_loss_a_split_and_crashes_repeat_exactly() {
    let run = |seed| {
        let spec =
            FlockSpec { nodes: 1_000, loss: 0.02, starved: 0.0, slice: 0, health: true, seed };
        let mut flock = Flock::new(spec);
        flock.introduce_all();
        flock.run_for(secs(3));
        flock.split(Some(400));
        flock.kill(7);
        flock.run_for(secs(4));
        flock.kill(900);
        flock.split(None);
        flock.run_for(secs(5));
        (flock.hash(), flock.tally.packets)
    };
    let first = run(5);
    assert_eq!(first, run(5));
    assert_ne!(first, run(6), "another seed is another run");
    assert!(first.1 > 10_000, "{first:?}");
}

// PB-5
#[test]
#[ignore = "a thousand whole endpoints, twice, take minutes and gigabytes: `motet-sim repeat`"]
fn pb_5_a_thousand_whole_endpoints_repeat_exactly() {
    let first = storm(1_000, 0.02, 9);
    assert_eq!(first, storm(1_000, 0.02, 9));
    assert!(first.packets > 1_000_000, "{first:?}");
}
