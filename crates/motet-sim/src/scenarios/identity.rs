//! Restarts, clones, clocks, strangers.

use super::{Pair, expect_messages, is_conflict, secs};
use crate::flight::Verdict;
use crate::links::LinkModel;
use crate::net::{Net, config, ms};
use motet_proto::events::DownReason;
use motet_proto::rng::Rng;
use motet_proto::{Event, PubQos, Realm, SlowPolicy, Via};
use motet_wire::packet::PacketType;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const DAY_MS: i64 = 86_400_000;

/// P43: with or without what it had stored.
pub fn a_restart_with_the_clock_set_back_gets_in() {
    for stored in [true, false] {
        let Pair { mut net, alice, bob, .. } = Pair::over(LinkModel::default());
        net.kill(bob);
        net.slot(bob).clock_off = -DAY_MS;
        net.start(bob, stored);
        let heard = net.subscribe(bob, "words");
        let limit = if stored { secs(5) } else { secs(10) };

        assert!(net.run_until(|net| net.connected(alice, bob), limit), "{}", net.trace());
        net.run_for(secs(1));
        let again = net.advertise(alice, "again");
        let _ = (heard, again);
        net.demand();
    }
}

/// P53: the one before does not answer any more.
pub fn a_restart_is_no_name_conflict() {
    for keep_key in [true, false] {
        let Pair { mut net, alice, bob, words, .. } = Pair::over(LinkModel::default());
        net.restart(bob, keep_key);
        let heard = net.subscribe(bob, "words");
        net.publish(words, "again");
        expect_messages(&mut net, heard, 1, secs(5));
        net.run_for(secs(10));

        for ep in [alice, bob] {
            assert!(net.said(ep, is_conflict).is_none(), "keep_key {keep_key}\n{}", net.trace());
        }
        net.demand();
    }
}

/// P53: both answer.
pub fn two_living_holders_of_a_name_are_both_told() {
    let mut net = Net::seeded(1);
    let first = net.endpoint("same");
    net.run_for(secs(2));
    let third = net.endpoint("other");
    net.run_for(secs(1));
    let second = net.endpoint("same");
    net.run_for(secs(5));

    let newcomer = |is| move |event: &Event| matches!(event, Event::NameConflict { newcomer, .. } if *newcomer == is);
    assert!(net.said(first, newcomer(false)).is_some());
    assert!(net.said(second, newcomer(true)).is_some());
    assert!(net.said(third, is_conflict).is_none(), "it is none of its business");
}

/// P43, P50: a copied key file.
pub fn two_holders_of_one_key_are_told_and_others_unharmed() {
    let Pair { mut net, alice, bob, words, heard } = Pair::over(LinkModel::default());
    net.strict = false; // the clone takes part under bob's identity
    let host = net.world.add_host(&[0]);
    let clone = net.place(host, config("clone"));
    net.slot(clone).secret = net.slot(bob).secret;
    let carol = net.endpoint("carol");
    let also = net.subscribe(carol, "words");
    net.run_for(secs(2));
    net.start(clone, false);
    let before = net.world.traffic.packets;
    net.run_for(secs(20));
    let packets = net.world.traffic.packets - before;

    let duplicate = |event: &Event| matches!(event, Event::DuplicateIdentity { .. });
    let told = [bob, clone].into_iter().filter(|ep| net.said(*ep, duplicate).is_some()).count();
    assert_eq!(told, 2, "both are told");
    assert!(packets < 20_000, "{packets} packets in 20 s");
    // The later life stays: it lives, so the earlier one does not get its place back.
    let lost =
        |event: &&Event| matches!(event, Event::PeerDown { reason: DownReason::Restarted, .. });
    for third in [alice, carol] {
        assert!(net.events(third).filter(lost).count() <= 1, "its place changes hands");
    }
    net.publish(words, "calm");
    expect_messages(&mut net, also, 1, secs(3));
    let _ = heard;
}

/// P44: who has no key can only make noise.
pub fn forged_packets_change_nothing_but_counters() {
    let Pair { mut net, alice, bob, words, heard } = Pair::over(LinkModel::default());
    net.malformed = true;
    let mut rng = Rng::new([9; 32]);
    let src = net.world.addr(alice.0);
    for n in 0..3_000_u64 {
        let mut bytes: Vec<u8> = (0..24 + rng.below(600)).map(|_| rng.u32() as u8).collect();
        bytes[0] = 0x10 | (1 + rng.below(10) as u8);
        if n % 2 == 0 {
            bytes[1..4].fill(0);
        }
        net.world.inject(bob.0, src, Via::Unicast, &bytes);
        if n % 100 == 0 {
            net.run_for(ms(10));
        }
    }
    net.run_for(ms(100));

    assert!(net.connected(alice, bob));
    net.publish(words, "unmoved");
    expect_messages(&mut net, heard, 1, ms(50));
}

/// P54: only what came after counts, not what the clocks say.
pub fn nothing_expires_because_clocks_differ() {
    for off in [-DAY_MS, DAY_MS] {
        let mut net = Net::seeded(1);
        let alice = net.endpoint("alice");
        let host = net.world.add_host(&[0]);
        let bob = net.place(host, config("bob"));
        net.slot(bob).clock_off = off;
        net.start(bob, false);
        let lifespan = Some(Duration::from_millis(500));
        let qos = PubQos { lifespan, slow: SlowPolicy::Block, ..PubQos::default() };
        let words = net.advertise_with(alice, "words", qos);
        let heard = net.subscribe(bob, "words");
        net.run_for(secs(2));
        for n in 0..100 {
            net.publish(words, format!("{n}"));
            net.run_for(ms(100));
            if n % 10 == 0 {
                net.world.jump_clock(bob.0, off / 24);
            }
        }
        net.run_for(secs(1));

        assert_eq!(net.received(heard).len(), 100, "offset {off} ms");
    }
}

/// Two realms on one wire.
pub fn another_realm_is_not_heard() {
    let Pair { mut net, alice, words, .. } = Pair::over(LinkModel::default());
    let mut cfg = config("mallory");
    cfg.realm = Realm { name: "simulated".into(), secret: Some([43; 32]) };
    let mallory = net.endpoint_with(cfg);
    let heard = net.subscribe(mallory, "**");
    net.publish(words, "secret");
    net.run_for(secs(10));

    assert!(net.received(heard).is_empty() && !net.connected(alice, mallory));
    let counters = net.counters(alice);
    assert!(counters.foreign_realm + counters.wrong_key > 0);
}

/// S-11: the network may repeat what it likes.
pub fn a_repeated_datagram_is_taken_once() {
    let Pair { mut net, alice, bob, words, heard } = Pair::over(LinkModel::default());
    net.rule(|flight| match flight.packet() {
        Some(PacketType::Data) => Verdict::Twice(ms(3)),
        _ => Verdict::Pass,
    });
    for n in 0..50 {
        net.publish(words, format!("{n}"));
        net.run_for(ms(20));
    }
    net.run_for(secs(1));

    assert_eq!(net.received(heard).len(), 50);
    for ep in [alice, bob] {
        let counters = net.counters(ep);
        assert!(counters.replayed_packets >= 50, "{counters:?}");
        assert_eq!(counters.duplicates, 0);
    }
}

/// S-4: who recorded the handshake of a session that stands can cause a PING with it, no more.
pub fn a_recorded_handshake_opens_nothing() {
    let mut net = Net::seeded(1);
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let book = Arc::clone(&recorded);
    net.rule(move |flight| {
        if let (Some(PacketType::Hs1), Some(to), Ok(mut book)) =
            (flight.packet(), flight.to, book.lock())
        {
            book.push((flight.from, to, flight.bytes.to_vec()));
        }
        Verdict::Pass
    });
    let [alice, bob] = [net.endpoint("alice"), net.endpoint("bob")];
    assert!(net.run_until(|net| net.connected(alice, bob), secs(3)));
    net.run_for(secs(10));
    let opened = [alice, bob].map(|ep| net.counters(ep).sessions_opened);
    let list = recorded.lock().map(|list| list.clone()).unwrap_or_default();
    assert!(!list.is_empty());
    for (from, to, bytes) in list {
        let src = net.world.addr(from);
        net.world.inject(to, src, Via::Unicast, &bytes);
    }
    net.run_for(secs(10));

    assert!(net.connected(alice, bob));
    assert_eq!([alice, bob].map(|ep| net.counters(ep).sessions_opened), opened);
    let stale: u64 = [alice, bob].map(|ep| net.counters(ep).stale_handshakes).iter().sum();
    assert!(stale > 0);
}
