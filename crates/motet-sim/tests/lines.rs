//! Lines of docs/acceptance.md: death and return, enemies, meeting.

use motet_proto::events::{DownReason, WriterState};
use motet_proto::rng::Rng;
use motet_proto::{Delivery, Event, PubQos, Realm, SlowPolicy, SubQos, Time, Via};
use motet_sim::net::{Ep, Net, config, ms};
use motet_sim::{LinkModel, Verdict};
use motet_wire::packet::PacketType;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Runs until the writer has so many readers.
fn joined(net: &mut Net, writer: Ep, readers: usize) {
    let ready = |net: &mut Net| {
        net.events(writer)
            .any(|event| matches!(event, Event::ReaderJoined { readers: n, .. } if *n >= readers))
    };
    assert!(net.run_until(ready, secs(10)), "{readers} readers do not join");
}

/// An endpoint's tables as (peers, readers, writers).
fn tables(net: &mut Net, ep: Ep) -> (usize, usize, usize) {
    let node = net.node(ep).expect("the endpoint runs");
    let readers = node.publications().iter().map(|it| it.readers.len()).sum();
    let writers = node.subscriptions().iter().map(|it| it.writers.len()).sum();
    (node.peers().len(), readers, writers)
}

fn down(name: &'static str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::PeerDown { name: of, .. } if **of == *name)
}

// ALL-2
#[test]
fn all_2_a_death_and_a_return_are_noticed_in_seconds_and_the_dead_leave_every_table() {
    let mut net = Net::seeded(2);
    let [alice, bob] = [net.endpoint("alice"), net.endpoint("bob")];
    net.subscribe(alice, "echo");
    net.subscribe(bob, "words");
    let words = net.advertise(alice, "words");
    net.advertise(bob, "echo");
    joined(&mut net, alice, 1);
    net.run_for(secs(1));
    assert_eq!(tables(&mut net, alice), (1, 1, 1));

    net.kill(bob);
    let killed = net.world.now;
    net.publish(words, "to nobody");
    assert!(net.run_until(|net| net.said(alice, down("bob")).is_some(), secs(7)), "a death");
    let dead = |event: &Event| matches!(event, Event::PeerDown { reason: DownReason::Silent, .. });
    let noticed = net.said(alice, dead).expect("died of silence").since(killed);
    assert!(noticed <= ms(6_200), "{noticed:?}");

    net.start(bob, true);
    let heard = net.subscribe(bob, "words");
    let up = |net: &mut Net| net.connected(alice, bob);
    assert!(net.run_until(up, secs(2)), "a return");
    net.publish(words, "again");
    assert!(net.run_until(|net| net.received(heard).contains(&"again".into()), secs(2)));

    net.kill(bob);
    net.run_for(secs(5 + 60 + 5));
    assert_eq!(tables(&mut net, alice), (0, 0, 0));
    let node = net.node(alice).expect("alice runs");
    assert!(node.resolve("bob").is_empty());
}

// ALL-2: whether its key was kept or not, within two seconds.
#[test]
fn all_2_a_restarted_endpoint_has_its_name_back_within_two_seconds() {
    for keep_key in [true, false] {
        for seed in 0..5 {
            let mut net = Net::seeded(seed);
            let [alice, bob] = [net.endpoint("alice"), net.endpoint("bob")];
            assert!(net.run_until(|net| net.connected(alice, bob), secs(5)));
            net.run_for(secs(3));
            net.restart(bob, keep_key);
            let named = |net: &mut Net| {
                let key = net.key(bob);
                net.node(alice).map(|node| node.resolve("bob")) == key.map(|key| vec![key])
            };
            assert!(net.run_until(named, secs(2)), "key kept: {keep_key}, seed {seed}");
            net.run_for(secs(10));
            let conflict = |event: &Event| matches!(event, Event::NameConflict { .. });
            assert!(net.said(alice, conflict).is_none() && net.said(bob, conflict).is_none());
        }
    }
}

// ALL-3: what decodes bytes is fuzzed by itself as well: fuzz targets packets, frames, handshake,
// records, filter, endpoint_id, invitation, script, and endpoint (a whole node).
#[test]
fn all_3_twenty_thousand_random_datagrams_of_a_stranger_change_only_counters() {
    let mut net = Net::seeded(3);
    net.malformed = true;
    let [alice, bob] = [net.endpoint("alice"), net.endpoint("bob")];
    let heard = net.subscribe(bob, "words");
    let words = net.advertise(alice, "words");
    joined(&mut net, alice, 1);
    let mut rng = Rng::new([3; 32]);
    let stranger = (std::net::Ipv4Addr::new(10, 0, 99, 1), 5_000).into();
    let (alice_addr, mut sent) = (net.world.addr(alice.0), 0);
    for n in 0..20_000_u64 {
        let mut bytes: Vec<u8> = (0..rng.below(400)).map(|_| rng.u32() as u8).collect();
        if n % 4 > 0 && bytes.len() > 8 {
            bytes[0] = 0x10 | (1 + rng.below(10) as u8);
            bytes[1..4].fill(0);
            bytes[5..8].fill(0); // a small session index
        }
        let src = if n % 2 == 0 { stranger } else { alice_addr };
        let multicast = Via::Group { iface: 2, v6: false };
        let via = if n % 8 == 0 { multicast } else { Via::Unicast };
        net.world.inject(bob.0, src, via, &bytes);
        if n % 100 == 99 {
            sent += 1;
            net.publish(words, format!("{sent}"));
            net.run_for(ms(10));
        }
    }
    net.run_for(secs(1));

    assert_eq!(net.received(heard).len(), sent);
    let counters = net.counters(bob);
    assert!(counters.malformed_packets > 5_000, "{counters:?}");
    assert!(counters.unknown_session + counters.forged_packets + counters.foreign_realm > 2_000);
    let (peers, ..) = tables(&mut net, bob);
    assert_eq!(peers, 1, "strangers are no peers");
    assert!(net.node(bob).expect("bob runs").neighbours().iter().count() <= 64);
    net.demand();
}

// ALL-3
#[test]
fn all_3_a_member_that_sends_twenty_thousand_packets_of_nonsense_harms_only_itself() {
    let mut net = Net::seeded(4);
    (net.malformed, net.check_every) = (true, 64);
    let [alice, bob] = [net.endpoint("alice"), net.endpoint("bob")];
    let heard = net.subscribe(bob, "words");
    let words = net.advertise(alice, "words");
    let mallory = net.endpoint("mallory");
    let now = net.world.now;
    // Read by hand: the checkers must not see what a liar says.
    let small = SubQos { queue_bytes: 64 << 10, ..SubQos::default() };
    let noise = net.node(bob).expect("bob runs").subscribe(now, &["noise"], small);
    let noise = noise.expect("a filter");
    joined(&mut net, alice, 1);
    let liar = net.slot(mallory).liar.clone();
    let (mut sent, mut lives) = (0, 0_usize);
    while liar.told() < 20_000 {
        // Each time it is thrown out, it comes back, and speaks the truth until it is believed.
        lives += 1;
        liar.set(false);
        net.restart(mallory, true);
        let lies = net.advertise_with(mallory, "noise", PubQos::default());
        let believed = |net: &mut Net| {
            let joined = |event: &&Event| matches!(event, Event::ReaderJoined { .. });
            net.events(mallory).filter(joined).count() >= lives
        };
        assert!(net.run_until(believed, secs(60)), "{} lies in {lives} lives", liar.told());
        liar.set(true);
        for _ in 0..400 {
            let _ = net.try_publish(lies, &[7; 700]);
        }
        sent += 1;
        net.publish(words, format!("{sent}"));
        net.run_for(ms(100));
        let now = net.world.now;
        while net.node(bob).expect("bob runs").read(now, noise).is_some() {}
    }
    let counters = net.counters(bob);
    assert!(counters.malformed_frames + counters.malformed_records > 50, "{counters:?}");
    net.run_for(secs(1));
    assert_eq!(net.received(heard).len(), sent);
    assert!(net.said(alice, down("bob")).is_none() && net.said(bob, down("alice")).is_none());
    let bytes: usize = net.node(bob).expect("runs").subscriptions().iter().map(|it| it.bytes).sum();
    assert!(bytes <= (64 << 10) + 300);
}

// SV-6
#[test]
fn sv_6_three_endpoints_of_one_host_without_multicast_find_each_other_in_a_second() {
    for seed in 0..5 {
        let mut net = Net::seeded(seed);
        let host = net.world.add_host(&[]); // loopback only
        let all = ["a", "b", "c"].map(|name| net.place(host, config(name)));
        all.into_iter().for_each(|ep| net.start(ep, false));
        let [a, b, c] = all;
        let met = |net: &mut Net| net.connected(a, b) && net.connected(b, c) && net.connected(a, c);
        assert!(net.run_until(met, secs(1)), "seed {seed}");
        let keys = all.map(|ep| net.key(ep));
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        let ports = all.map(|ep| net.slot(ep).port);
        assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2]);
        let heard = net.subscribe(c, "words");
        let words = net.advertise(a, "words");
        net.publish(words, "found");
        assert!(net.run_until(|net| net.received(heard) == ["found"], secs(1)));
    }
}

// BC-2
#[test]
fn bc_2_a_beacon_has_256_bytes_however_many_topics_and_names_where_the_endpoint_is() {
    let mut net = Net::seeded(5);
    let sizes = Arc::new([AtomicU64::new(u64::MAX), AtomicU64::new(0)]);
    let seen = sizes.clone();
    net.rule(move |flight| {
        if flight.multicast && flight.packet() == Some(PacketType::Realm) {
            seen[0].fetch_min(flight.bytes.len() as u64, Ordering::Relaxed);
            seen[1].fetch_max(flight.bytes.len() as u64, Ordering::Relaxed);
        }
        Verdict::Pass
    });
    let [alice, bob] =
        [net.endpoint("alice"), net.endpoint("a name of nearly forty bytes in length")];
    for n in 0..10 {
        net.advertise(alice, &format!("topic/{n}"));
    }
    net.run_for(secs(30));

    let [least, most] = [0, 1].map(|at: usize| sizes[at].load(Ordering::Relaxed));
    assert_eq!((least, most), (256, 256));
    let addr = net.world.addr(bob.0);
    let peers = net.node(alice).expect("alice runs").peers();
    assert!(peers.iter().any(|peer| peer.addresses.contains(&addr)), "{peers:?}");
}

// BC-2
#[test]
fn bc_2_foreign_and_forged_beacons_are_counted_and_listed_and_nobody_is_joined() {
    let mut net = Net::seeded(6);
    let alice = net.endpoint("alice");
    let secret = Some([42; 32]);
    let mut cfg = config("foreigner");
    cfg.realm = Realm { name: "elsewhere".into(), secret };
    let foreigner = net.endpoint_with(cfg);
    let mut cfg = config("keyless");
    cfg.realm = Realm { name: "simulated".into(), secret: Some([43; 32]) };
    let keyless = net.endpoint_with(cfg);
    let heard = [foreigner, keyless].map(|ep| net.subscribe(ep, "**"));
    let words = net.advertise(alice, "words");
    for _ in 0..20 {
        net.publish(words, "secret");
        net.run_for(secs(1));
    }

    let counters = net.counters(alice);
    assert!(counters.foreign_realm >= 5 || counters.wrong_key >= 5, "{counters:?}");
    assert!(counters.foreign_realm + counters.wrong_key >= 10, "{counters:?}");
    let from: Vec<_> = [foreigner, keyless].map(|ep| net.world.addr(ep.0).ip()).into();
    let listed = |net: &mut Net| -> Vec<_> {
        let node = net.node(alice).expect("alice runs");
        node.neighbours().iter().map(|it| it.ip).collect()
    };
    let listed = listed(&mut net);
    assert!(from.iter().all(|ip| listed.contains(ip)), "{listed:?}");
    assert!(heard.iter().all(|sub| net.received(*sub).is_empty()));
    for ep in [alice, foreigner, keyless] {
        assert_eq!(tables(&mut net, ep).0, 0, "joined by nobody");
        assert_eq!(net.counters(ep).sessions_opened, 0);
    }
}

// BC-2: a beacon with one flipped bit is dropped and counted.
#[test]
fn bc_2_a_flipped_bit_makes_a_beacon_worthless() {
    let mut net = Net::seeded(7).links(LinkModel { corrupt: 1.0, ..LinkModel::default() });
    net.malformed = true;
    let [alice, bob] = [net.endpoint("alice"), net.endpoint("bob")];
    net.run_for(secs(30));

    for ep in [alice, bob] {
        let counters = net.counters(ep);
        assert_eq!((counters.beacons_received, counters.sessions_opened), (0, 0));
        let dropped = counters.malformed_packets + counters.foreign_realm + counters.wrong_key;
        assert!(dropped >= 10, "{counters:?}");
    }
    net.heal();
    assert!(net.run_until(|net| net.connected(alice, bob), secs(5)));
}

// GL-7: an address is nowhere configured, so it may change at any time.
#[test]
fn gl_7_a_new_address_does_no_harm_while_messages_flow() {
    for mover in [0, 1] {
        let mut net = Net::seeded(8);
        let both = [net.endpoint("alice"), net.endpoint("bob")];
        let [alice, bob] = both;
        let heard = net.subscribe(bob, "words");
        let words = net.advertise(alice, "words");
        joined(&mut net, alice, 1);
        for n in 0..1_000 {
            if n % 250 == 125 {
                net.world.move_host(both[mover].0);
            }
            net.publish(words, format!("{n}"));
            net.run_for(ms(5));
        }
        net.run_for(secs(5));
        assert_eq!(net.received(heard), (0..1_000).map(|n| n.to_string()).collect::<Vec<_>>());
        assert!(net.said(alice, down("bob")).is_none() && net.said(bob, down("alice")).is_none());
        let now_at = net.world.addr(both[mover].0);
        let peers = net.node(both[1 - mover]).expect("it runs").peers();
        assert_eq!(peers[0].addr, now_at, "the new address is in use");
        net.demand();
    }
}

// PB-3: all content is compared with what was published.
#[test]
fn pb_3_damaged_replayed_late_and_cut_packets_are_never_delivered_as_data() {
    let link = LinkModel {
        corrupt: 0.2,
        duplicate: 0.2,
        reorder: 0.2,
        reorder_by: ms(30),
        ..LinkModel::default()
    };
    for seed in 0..5 {
        let mut net = Net::seeded(seed).links(link.clone());
        net.malformed = true;
        let mut chance = Rng::new([seed as u8; 32]);
        net.rule(move |_| match chance.below(20) {
            0 => Verdict::Twice(secs(2)), // a replay from long ago
            1 => Verdict::Late(ms(50)),
            _ => Verdict::Pass,
        });
        let [alice, bob] = [net.endpoint("alice"), net.endpoint("bob")];
        let heard = net.subscribe(bob, "words");
        let words = net.advertise(alice, "words");
        joined(&mut net, alice, 1);
        for n in 0..500_usize {
            net.publish(words, format!("{n} ").repeat(1 + n % 300));
            net.run_for(ms(5));
        }
        net.heal();
        net.run_for(secs(10));

        assert_eq!(net.received(heard).len(), 500, "seed {seed}");
        let counters = net.counters(bob);
        assert!(counters.forged_packets > 50 && counters.replayed_packets > 50, "{counters:?}");
        net.demand();
    }
}

// WP-3: a reader that is killed costs nothing from then on.
#[test]
fn wp_3_a_killed_reader_neither_slows_the_rest_nor_leaves_anything_behind() {
    let mut net = Net::seeded(9);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| net.endpoint(name));
    let heard = net.subscribe(carol, "words");
    net.subscribe(bob, "words");
    let qos = PubQos { slow: SlowPolicy::DropOldest, ..PubQos::default() };
    let words = net.advertise_with(alice, "words", qos);
    joined(&mut net, alice, 2);
    let mut sent: usize = 0;
    for n in 0..700_usize {
        if n == 100 {
            net.kill(bob);
        }
        net.publish(words, [1; 1_000]);
        sent += 1;
        net.run_for(ms(10));
        let behind = sent - net.received(heard).len();
        assert!(behind <= 2, "{behind} behind at {n}");
    }
    let gone = |event: &Event| {
        matches!(event, Event::ReaderLeft { reason: DownReason::Silent, readers: 1, .. })
    };
    assert!(net.said(alice, gone).is_some(), "the publisher hears that it went");
    net.run_for(secs(65));
    assert_eq!(tables(&mut net, alice), (1, 1, 0));
    let bytes = net.node(alice).expect("alice runs").publications()[0].bytes;
    assert!(bytes <= 1_100, "only the history of one message is left, not {bytes} B");
    net.demand();
}

// WP-12: within the bound, by its publisher's death; silence alone says nothing.
#[test]
fn wp_12_a_silent_publisher_is_no_dead_one() {
    let mut net = Net::seeded(10);
    let [alice, bob] = [net.endpoint("alice"), net.endpoint("bob")];
    net.subscribe(bob, "words");
    net.advertise(alice, "words");
    joined(&mut net, alice, 1);
    net.run_for(secs(120));
    let ended = |event: &Event| matches!(event, Event::Writer { state, .. } if !matches!(state, WriterState::Joined));
    assert!(net.said(bob, ended).is_none() && net.said(bob, down("alice")).is_none());
    net.kill(alice);
    let killed: Time = net.world.now;
    net.run_for(secs(10));
    let told = net.said(bob, ended).expect("told of the death").since(killed);
    assert!(told <= ms(6_200), "{told:?}");
}

// WP-8: and what a reader that stands still loses, it is told when it goes on.
#[test]
fn wp_8_a_stopped_reader_blocks_nobody_and_its_losses_are_counted() {
    let mut net = Net::seeded(11);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| net.endpoint(name));
    let small = SubQos { queue_bytes: 16 << 10, ..SubQos::default() };
    let [stopped, heard] = [(bob, small), (carol, SubQos::default())]
        .map(|(ep, qos)| net.subscribe_with(ep, &["words"], qos));
    let qos = PubQos { log_bytes: 32 << 10, ..PubQos::default() };
    let words = net.advertise_with(alice, "words", qos);
    joined(&mut net, alice, 2);
    net.hold(stopped);
    for _ in 0..1_000 {
        net.publish(words, [1; 500]);
        net.run_for(ms(2));
    }
    assert!(net.received(heard).len() >= 999, "{}", net.received(heard).len());
    let view = net.node(alice).expect("alice runs").publications();
    assert!(view[0].bytes <= 32 << 10);
    assert!(view[0].readers.iter().any(|reader| reader.unacked > 50), "it can be seen");
    let dropped = net.counters(alice).messages_dropped;
    assert!(dropped > 500, "{dropped}");
    net.release(stopped);
    net.run_for(secs(2));
    let missed: u64 = net.deliveries(stopped).iter().map(missed).sum();
    assert_eq!(missed, net.counters(alice).messages_dropped);
    assert_eq!(net.received(stopped).len() as u64 + missed, 1_000);
    assert_eq!(net.deliveries(heard).iter().map(self::missed).sum::<u64>(), 0);
    net.demand();
}

fn missed(delivery: &Delivery) -> u64 {
    match delivery {
        Delivery::Message(_) => 0,
        Delivery::Missed { n, .. } => *n,
    }
}
