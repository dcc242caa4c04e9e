//! Lanes, beyond the stories that planted bugs are looked for with: figures, switches, endurance.

use motet_proto::node::{Carrier, WhyUnicast};
use motet_proto::{LanePolicy, PubQos, SlowPolicy, SubQos};
use motet_sim::net::config;
use motet_sim::scenarios::lanes::{Group, carriers, on_lane, shared_loss, why};
use motet_sim::{LinkModel, Net, fanout, ms};
use std::time::Duration;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn always() -> PubQos {
    let slow = SlowPolicy::Block;
    PubQos { lane: LanePolicy::Always, slow, history: 0, ..PubQos::default() }
}

#[test] // PE-4, L-2, L-21
fn pe_4_a_lane_costs_its_writer_the_same_for_2_and_for_32_readers() {
    let few = fanout::cost(2, true);
    let many = fanout::cost(32, true);
    let unicast = fanout::cost(32, false);

    // One datagram; what readers say 20 times a second each, and its acknowledgement, comes beside.
    assert!(many.laned <= few.laned * 1.05 && few.laned <= 1.05, "{few:?} and {many:?}");
    assert!(many.bytes <= few.bytes * 1.1, "{few:?} and {many:?}");
    assert!(many.sent <= few.sent + 0.5, "{few:?} and {many:?}");
    assert!(unicast.sent >= 32.0 && unicast.bytes >= many.bytes * 20.0, "{unicast:?}");
}

#[test] // N13, P7, L-41, L-43
fn n_13_a_thousand_readers_that_miss_one_packet_ask_a_few_times() {
    let (mean, largest, repairs) = shared_loss(1_000, 10);
    println!(
        "1,000 readers: {mean:.1} NAKs per loss, at most {largest}; {repairs} repairs for 10 losses"
    );
}

#[test] // L-10, L-12, L-13
fn a_hundred_switches_under_full_load_lose_nothing() {
    let link = LinkModel { rate: Some(400_000), queue: 64 << 10, ..LinkModel::default() };
    // A small log keeps readers near each other: who is far behind stays with its session.
    let qos = PubQos { log_bytes: 64 << 10, ..always() };
    let mut group = Group::new(3, 3, link, qos);
    let writer = group.writer.0;
    let (mut published, mut switches, mut up) = (0, 0, false);
    while switches < 100 {
        let limit = group.net.world.now + secs(10);
        let wanted = if up { 0 } else { 3 };
        group.net.world.change_iface(writer, |iface| iface.multicast = !up);
        while group.on_lane() != wanted {
            assert!(group.net.world.now < limit, "switch {switches}: {:?}", group.carriers());
            for _ in 0..4 {
                published += usize::from(group.net.try_publish(group.topic, &[1; 500]).is_ok());
            }
            group.net.run_for(ms(2));
        }
        (up, switches) = (!up, switches + 1);
    }
    group.net.run_for(secs(60));

    assert_eq!(group.got(), [published; 3], "each once, in order: the oracle looked at every one");
    let counters = group.net.counters(group.writer);
    assert!(counters.lane_readers_joined >= 150 && counters.lane_readers_left >= 150);
    assert!(published > 20_000, "{published}");
    group.net.demand();
}

#[test] // L-10
fn auto_goes_up_with_three_readers_and_down_with_one_and_says_why() {
    let qos = PubQos { slow: SlowPolicy::Block, ..PubQos::default() };
    let mut group = Group::new(4, 2, LinkModel::default(), qos);
    let run = |group: &mut Group, seconds: u64| {
        let end = group.net.world.now + secs(seconds);
        while group.net.world.now < end {
            group.net.publish(group.topic, [1; 1_000]);
            group.net.run_for(ms(20));
        }
    };
    run(&mut group, 6);
    assert_eq!(why(&group.carriers()[0]), Some(WhyUnicast::TooFewReaders));
    let third = group.net.endpoint("third");
    let sub = group.net.subscribe(third, "data");
    run(&mut group, 3);
    assert_eq!(group.on_lane(), 0, "not at once");
    run(&mut group, 4);
    assert_eq!(group.on_lane(), 3, "{:?}", group.carriers());
    group.net.unsubscribe(sub);
    group.net.close(group.readers[1]);
    run(&mut group, 4);
    assert_eq!(group.on_lane(), 1, "nor down at once");
    run(&mut group, 5);
    assert_eq!(group.on_lane(), 0);
    assert_eq!(why(&group.carriers()[0]), Some(WhyUnicast::TooFewReaders));
    let counters = group.net.counters(group.writer);
    assert_eq!((counters.lanes_begun, counters.lanes_ended), (1, 1));
    group.net.demand();
}

#[test] // L-10
fn on_wifi_a_few_readers_keep_their_sessions() {
    let wifi = |net: &mut Net, _, _: &[_]| {
        for slot in 0..net.world.slots.len() {
            net.world.change_iface(slot, |iface| iface.wifi = true);
        }
    };
    let qos = PubQos { slow: SlowPolicy::Block, ..PubQos::default() };
    let mut group = Group::prepared(5, 5, LinkModel::default(), qos, wifi);
    for _ in 0..400 {
        group.net.publish(group.topic, [1; 1_000]);
        group.net.run_for(ms(20));
    }
    assert_eq!(group.on_lane(), 0);
    assert!(group.carriers().iter().all(|it| why(it) == Some(WhyUnicast::Wifi)));
}

#[test]
fn a_lane_on_wifi_is_slow_and_loses_and_still_brings_everything() {
    let wifi = |net: &mut Net, _, _: &[_]| {
        for slot in 0..net.world.slots.len() {
            net.world.change_iface(slot, |iface| iface.wifi = true);
        }
    };
    let mut group = Group::prepared(6, 5, LinkModel::default(), always(), wifi);
    group.await_lane(5, 10);
    group.publish(2_000, 1_000, 5);
    group.net.run_for(secs(5));
    assert_eq!(group.got(), [2_000; 5]);
    assert!(group.net.counters(group.writer).repairs_sent > 50);
    group.net.demand();
}

#[test] // L-10
fn processes_of_one_host_share_a_lane_on_loopback() {
    let mut net = Net::seeded(7);
    let host = net.world.add_host(&[]);
    let eps: Vec<_> = (0..5)
        .map(|n| {
            let ep = net.place(host, config(&format!("p{n}")));
            net.start(ep, false);
            ep
        })
        .collect();
    let subs: Vec<_> = eps[1..].iter().map(|ep| net.subscribe(*ep, "data")).collect();
    let qos = PubQos { slow: SlowPolicy::Block, ..PubQos::default() };
    let topic = net.advertise_with(eps[0], "data", qos);
    net.run_for(secs(2));
    for _ in 0..500 {
        for _ in 0..5 {
            net.publish(topic, [2; 1_000]);
        }
        net.run_for(ms(20));
    }
    net.run_for(secs(1));
    assert_eq!(on_lane(&mut net, eps[0]), 4, "{:?}", carriers(&mut net, eps[0]));
    for sub in subs {
        assert_eq!(net.received(sub).len(), 2_500);
    }
    net.demand();
}

#[test] // L-4, L-5
fn keys_change_every_ten_minutes_and_when_a_reader_dies() {
    let mut group = Group::on_a_lane(8, 3, LinkModel::default(), SlowPolicy::Block);
    let mut sent = 0;
    let mut publish_for = |group: &mut Group, seconds: u64| {
        for _ in 0..seconds {
            group.net.publish(group.topic, [3; 300]);
            group.net.run_for(secs(1));
            sent += 1;
        }
        sent
    };
    publish_for(&mut group, 590);
    assert_eq!(group.net.counters(group.writer).lane_keys_renewed, 0);
    publish_for(&mut group, 20);
    assert_eq!(group.net.counters(group.writer).lane_keys_renewed, 1);
    group.net.kill(group.readers[2]);
    let sent = publish_for(&mut group, 60);
    let counters = group.net.counters(group.writer);
    assert_eq!(counters.lane_keys_renewed, 2);
    assert_eq!(counters.lane_readers_left, 1);
    assert_eq!(group.got()[..2], [sent; 2]);
    for ep in [group.readers[0], group.readers[1]] {
        assert_eq!(group.net.counters(ep).lane_stale, 0, "keys are told before they are used");
    }
    group.net.demand();
}

#[test] // L-23
fn a_lane_goes_on_when_the_one_that_acknowledges_stops() {
    let link = LinkModel { rate: Some(2_000_000), ..LinkModel::default() };
    let mut group = Group::on_a_lane(9, 4, link, SlowPolicy::DropOldest);
    group.publish(2_000, 1_000, 2);
    // Whoever it is: each in turn stops for a while, the others never wait long.
    for n in 0..4 {
        let before: Vec<usize> = group.got();
        let stopped = group.readers[n].0;
        group.net.world.pause(stopped);
        group.publish(1_500, 1_000, 1);
        for (m, (after, before)) in group.got().iter().zip(&before).enumerate() {
            assert!(m == n || after - before >= 1_400, "{m} got {} beside {n}", after - before);
        }
        group.net.world.resume(stopped);
        group.net.run_for(secs(2));
    }
    group.net.run_for(secs(20));
    group.net.demand();
}

#[test]
fn a_starved_reader_loses_nothing_and_holds_up_nobody() {
    let mut group = Group::on_a_lane(10, 5, LinkModel::default(), SlowPolicy::Block);
    for starved in [1, 3] {
        let ep = group.readers[starved];
        group.net.slot(ep).starved = ms(60);
    }
    let start = group.net.world.now;
    group.publish(5_000, 1_000, 5);
    group.net.run_for(secs(2));
    assert_eq!(group.got(), [5_000; 5]);
    assert!(group.net.world.now.since(start) < secs(6));
    group.net.demand();
}

#[test] // L-13
fn messages_in_pieces_cross_a_lossy_lane() {
    let link = LinkModel::default().losing(0.05);
    let mut group = Group::on_a_lane(11, 4, link, SlowPolicy::Block);
    group.publish(40, 200_000, 1);
    group.net.run_for(secs(20));
    assert_eq!(group.got(), [40; 4]);
    group.net.demand();
}

#[test]
fn best_effort_goes_by_a_lane_and_is_not_repaired() {
    let link = LinkModel::default().losing(0.1);
    let qos = PubQos { reliable: false, ..always() };
    let mut group = Group::new(12, 3, link, qos);
    group.await_lane(3, 20);
    group.publish(1_000, 300, 1);
    group.net.run_for(secs(1));
    let counters = group.net.counters(group.writer);
    assert_eq!(counters.repairs_sent, 0);
    for sub in &group.subs {
        let got = group.net.received(*sub).len();
        assert!((800..1_000).contains(&got), "{got}");
    }
    group.net.demand();
}

#[test] // L-25
fn expired_messages_are_told_to_each_reader_by_its_session() {
    let qos = PubQos { lifespan: Some(ms(200)), ..always() };
    let mut group = Group::new(13, 3, LinkModel::default(), qos);
    group.await_lane(3, 10);
    // The lane stands still for longer than messages live.
    for sub in group.subs.clone() {
        group.net.hold(sub);
    }
    for _ in 0..3_000 {
        let _ = group.net.try_publish(group.topic, &[4; 10_000]);
        group.net.run_for(ms(1));
    }
    for sub in group.subs.clone() {
        group.net.release(sub);
    }
    group.net.run_for(secs(5));
    for ep in group.readers.clone() {
        let counters = group.net.counters(ep);
        assert!(counters.messages_missed > 0);
        assert_eq!(counters.lane_frames_refused, 0, "no GAP came by the lane");
    }
    group.net.demand();
}

#[test]
fn a_session_that_dies_and_comes_back_finds_its_lane_again() {
    let mut group = Group::on_a_lane(14, 3, LinkModel::default(), SlowPolicy::Block);
    let (writer, cut) = (group.writer, group.readers[1]);
    let rule = move |flight: &motet_sim::Flight<'_>| {
        let other = [Some(writer.0), Some(cut.0)];
        let between = other.contains(&Some(flight.from)) && other.contains(&flight.to);
        if between { motet_sim::Verdict::Drop } else { motet_sim::Verdict::Pass }
    };
    group.net.rule(rule);
    for _ in 0..100 {
        group.net.publish(group.topic, [1; 300]);
        group.net.run_for(ms(100));
    }
    assert_eq!(group.got()[0], 100, "the others go on");
    group.net.heal();
    for _ in 0..400 {
        group.net.publish(group.topic, [1; 300]);
        group.net.run_for(ms(100));
    }
    assert_eq!(group.got(), [500; 3]);
    assert_eq!(group.on_lane(), 3, "{:?}", group.carriers());
    group.net.demand();
}

#[test] // L-6
fn an_offer_of_another_port_or_beyond_the_limit_is_refused_and_sessions_bring_everything() {
    let refusing: [fn(&mut motet_proto::Config); 2] =
        [|cfg| cfg.lane_port += 1, |cfg| cfg.lanes_max = 0];
    for (seed, refuse) in refusing.into_iter().enumerate() {
        let mut net = Net::seeded(16 + seed as u64);
        let writer = net.endpoint("writer");
        let mut cfg = config("refuses");
        refuse(&mut cfg);
        let refuses = net.endpoint_with(cfg);
        let takes = net.endpoint("takes");
        let subs = [refuses, takes].map(|ep| net.subscribe(ep, "data"));
        let topic = net.advertise_with(writer, "data", always());
        assert!(net.run_until(|net| on_lane(net, writer) == 1, secs(10)));
        for _ in 0..300 {
            net.publish(topic, [1; 500]);
            net.run_for(ms(10));
        }
        assert_eq!(on_lane(&mut net, writer), 1, "{:?}", carriers(&mut net, writer));
        assert!(net.counters(refuses).lane_offers_refused >= 1);
        assert_eq!(net.counters(takes).lane_offers_refused, 0);
        assert_eq!(subs.map(|sub| net.deliveries(sub).len()), [300; 2]);
        net.demand();
    }
}

#[test] // T-15
fn a_small_queue_keeps_its_policy_on_a_lane() {
    let mut net = Net::seeded(15);
    let writer = net.endpoint("writer");
    let readers = ["a", "b", "c"].map(|name| net.endpoint(name));
    let small = SubQos {
        queue_bytes: 8 << 10,
        full: motet_proto::config::QueuePolicy::DropOldest,
        ..SubQos::default()
    };
    let subs = readers.map(|ep| net.subscribe_with(ep, &["data"], small.clone()));
    let topic = net.advertise_with(writer, "data", always());
    assert!(net.run_until(|net| on_lane(net, writer) == 3, secs(10)));
    net.hold(subs[0]);
    for _ in 0..500 {
        net.publish(topic, [1; 500]);
        net.run_for(ms(1));
    }
    net.release(subs[0]);
    net.run_for(secs(2));
    let count = |net: &Net, at: usize| {
        let of = net.deliveries(subs[at]).iter().map(|it| match it {
            motet_proto::Delivery::Message(_) => (1, 0),
            motet_proto::Delivery::Missed { n, .. } => (0, *n),
        });
        of.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1))
    };
    let slow = count(&net, 0);
    assert_eq!(slow.0 + slow.1, 500);
    assert!(slow.1 > 400);
    assert_eq!([count(&net, 1), count(&net, 2)], [(500, 0); 2]);
    let lanes = carriers(&mut net, writer);
    assert!(lanes.iter().all(|it| matches!(it, Carrier::Lane { .. })), "{lanes:?}");
    net.demand();
}
