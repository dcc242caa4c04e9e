//! Endpoints that find, lose and find each other.

use super::{Pair, expect_messages, is_peer_down, secs};
use crate::flight::Verdict;
use crate::links::LinkModel;
use crate::net::{Net, config, ms};
use motet_wire::packet::PacketType;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// P27: who may dial is a tie-break, never a rule.
pub fn endpoints_meet_within_a_second_whoever_starts_first() {
    for seed in 0..8 {
        for gap in [0, 1, 50, 700] {
            let mut net = Net::seeded(seed);
            let a = net.endpoint("a");
            net.run_for(ms(gap));
            let b = net.endpoint("b");
            let met = net.run_until(|net| net.connected(a, b), secs(1));
            assert!(met, "seed {seed}, {gap} ms apart");
        }
    }
}

/// P26: everything that makes a meeting is retried.
pub fn lost_first_packets_delay_a_meeting_but_do_not_prevent_it() {
    for k in [1, 2, 3, 5, 8] {
        let mut net = Net::seeded(k);
        net.world.trace.keep = true;
        let [a, b, c] = [net.endpoint("a"), net.endpoint("b"), net.endpoint("c")];
        let mut seen: BTreeMap<(usize, Option<usize>), u64> = BTreeMap::new();
        net.rule(move |flight| {
            let count = seen.entry((flight.from, flight.to)).or_default();
            *count += 1;
            if *count <= k { Verdict::Drop } else { Verdict::Pass }
        });
        let words = net.advertise(a, "words");
        let subs = [net.subscribe(b, "words"), net.subscribe(c, "**")];
        net.publish(words, "one");
        net.run_for(secs(15));

        for sub in subs {
            assert_eq!(net.received(sub), ["one"], "{k} lost\n{}", net.trace());
        }
        net.demand();
    }
}

/// P28: candidates are tried in parallel.
pub fn seven_dead_addresses_of_eight_do_not_hold_up_a_dial() {
    let mut net = Net::seeded(1);
    let (a_host, b_host) = (net.world.add_host(&[0]), net.world.add_host(&[1]));
    let own = net.world.hosts[b_host].ifaces[0].addr;
    let mut cfg = config("b");
    cfg.advertise = (1..8).map(|n| IpAddr::V4(Ipv4Addr::new(10, 99, 0, n))).collect();
    cfg.advertise.push(IpAddr::V4(own));
    let b = net.place(b_host, cfg);
    let a = net.place(a_host, config("a"));
    // A third endpoint knows both: it is on both segments, and a and b hear only its gossip.
    let middle = net.world.add_host(&[0, 1]);
    let m = net.place(middle, config("m"));
    [m, a, b].into_iter().for_each(|ep| net.start(ep, false));

    assert!(net.run_until(|net| net.connected(a, m) && net.connected(b, m), secs(3)));
    let mut cfg_addr = net.world.addr(b.0);
    cfg_addr.set_ip(IpAddr::V4(own));
    let now = net.world.now;
    if let Some(node) = net.node(a) {
        (1..8).for_each(|n| node.add_seed(now, (Ipv4Addr::new(10, 99, 0, n), 37_321).into()));
        node.add_seed(now, cfg_addr);
    }
    assert!(net.run_until(|net| net.connected(a, b), secs(3)));
}

/// P6: nothing counts questions; only authentic packets count.
pub fn a_one_way_cut_of_20_s_heals() {
    for reverse in [false, true] {
        let Pair { mut net, alice, bob, words, heard } = Pair::over(LinkModel::default());
        let (from, to) = if reverse { (bob, alice) } else { (alice, bob) };
        net.world.block(from.0, to.0);
        for n in 0..20 {
            net.publish(words, format!("{n}"));
            net.run_for(secs(1));
        }
        net.heal();
        net.run_for(secs(10));

        net.demand();
        assert_eq!(net.received(heard).last().map(String::as_str), Some("19"));
    }
}

/// A session survives a new address on either side.
pub fn an_address_change_keeps_the_session() {
    for mover in [0, 1] {
        let Pair { mut net, alice, bob, words, heard } = Pair::over(LinkModel::default());
        net.publish(words, "before");
        net.run_for(ms(100));
        net.world.move_host([alice, bob][mover].0);
        net.run_for(ms(10));
        net.publish(words, "after");
        expect_messages(&mut net, heard, 2, secs(5));

        assert_eq!(net.received(heard), ["before", "after"]);
        net.run_for(secs(20));
        net.publish(words, "later");
        expect_messages(&mut net, heard, 3, secs(5));
    }
}

/// Whoever is paused while it moves, its first packets answer old ones: round trips seem to last for
/// seconds, and no probe times out for as long.
pub fn an_endpoint_that_moved_while_paused_is_followed() {
    let Pair { mut net, alice, bob, words, heard } = Pair::over(LinkModel::default());
    for round in 1..=3 {
        net.publish(words, "before");
        net.run_for(secs(2));
        net.world.pause(bob.0);
        for _ in 0..100 {
            net.publish(words, "meanwhile");
            net.run_for(ms(20));
        }
        net.world.move_host(bob.0);
        net.run_for(ms(20));
        net.world.resume(bob.0);
        for _ in 0..10 {
            net.publish(words, "after");
            net.run_for(ms(20));
        }
        expect_messages(&mut net, heard, round * 111, secs(5));
    }
    assert!(net.said(alice, is_peer_down).is_none());
}

/// Both ends of a session move at once: it dies, and a new one begins.
pub fn two_that_move_at_once_find_each_other_again() {
    let Pair { mut net, alice, bob, words, heard } = Pair::over(LinkModel::default());
    net.publish(words, "before");
    net.run_for(secs(60));
    net.world.move_host(alice.0);
    net.world.move_host(bob.0);
    net.run_for(ms(10));
    net.publish(words, "after");
    expect_messages(&mut net, heard, 2, secs(12));
}

/// Each is told of the former life of the other and dials that: the answer is a stranger's.
pub fn two_that_restarted_meet_though_each_dials_what_the_other_was() {
    for seed in 0..6 {
        let mut net = Net::seeded(seed);
        let [a, b, c] = [net.endpoint("a"), net.endpoint("b"), net.endpoint("c")];
        net.run_for(secs(2));
        assert!(net.connected(a, b) && net.connected(a, c) && net.connected(b, c));
        net.rule(move |flight| match (flight.packet(), flight.from, flight.to) {
            // They do not hear each other's beacons: what the third says comes first.
            (Some(PacketType::Realm), from, to) if from != c.0 && to != Some(c.0) => {
                if flight.now < motet_proto::Time(8_000_000_000) {
                    Verdict::Drop
                } else {
                    Verdict::Pass
                }
            }
            _ => Verdict::Pass,
        });
        net.restart(a, false);
        net.restart(b, false);
        net.run_for(secs(13));

        assert!(net.connected(a, b), "seed {seed}");
    }
}

/// P30: beacons keep nobody alive.
pub fn an_endpoint_without_a_way_for_data_is_dead_whatever_its_beacons_say() {
    let Pair { mut net, alice, bob, .. } = Pair::over(LinkModel::default());
    net.rule(|flight| match flight.packet() {
        Some(PacketType::Realm) => Verdict::Pass,
        _ => Verdict::Drop,
    });
    net.run_for(secs(15));

    assert!(net.said(alice, is_peer_down).is_some() && net.said(bob, is_peer_down).is_some());
}

/// P30: silence of the application is not silence of the peer.
pub fn a_quiet_peer_stays_for_an_hour() {
    let Pair { mut net, alice, bob, words, heard } = Pair::over(LinkModel::default());
    net.world.trace.keep = false;
    net.run_for(secs(3_600));

    assert!(net.said(alice, is_peer_down).is_none() && net.said(bob, is_peer_down).is_none());
    net.publish(words, "still there");
    expect_messages(&mut net, heard, 1, ms(50));
}

/// P34: on one host, the loopback greeting does what the group cannot.
pub fn loopback_needs_no_multicast() {
    let mut net = Net::seeded(1);
    net.rule(|flight| if flight.multicast { Verdict::Drop } else { Verdict::Pass });
    let host = net.world.add_host(&[0]);
    let [a, b] = ["a", "b"].map(|name| net.place(host, config(name)));
    net.start(a, false);
    net.start(b, false);

    assert!(net.run_until(|net| net.connected(a, b), secs(3)));
}

/// A host that says what is too large is not asked byte by byte.
pub fn the_path_mtu_is_found_in_a_few_probes() {
    let Pair { mut net, alice, bob, .. } = Pair::over(LinkModel::default());
    net.run_for(secs(60));

    let refused = net.world.traffic.too_large;
    assert!(refused <= 40, "{refused} datagrams were too large");
    for ep in [alice, bob] {
        let mtu = net.node(ep).and_then(|node| node.peers().first().map(|peer| peer.mtu));
        assert!(mtu.is_some_and(|mtu| (1_400..=1_472).contains(&mtu)), "{mtu:?}");
    }
}
