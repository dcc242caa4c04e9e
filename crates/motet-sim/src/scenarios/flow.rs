//! Slow readers, late readers, writers that leave.

use super::{Pair, expect_messages, is_peer_down, secs};
use crate::flight::{Verdict, lose};
use crate::links::LinkModel;
use crate::net::{Net, ms};
use motet_proto::config::{History, QueuePolicy};
use motet_proto::events::{DownReason, WriterState};
use motet_proto::node::PublishError;
use motet_proto::{Delivery, Event, PubQos, SlowPolicy, SubQos};
use motet_wire::frame::Frame;
use motet_wire::packet::{DataHeader, PacketType};
use std::collections::BTreeSet;

/// P16: the reader's word that there is room again gets lost five times.
pub fn a_lost_reopening_of_the_window_is_repeated() {
    let Pair { mut net, alice, bob, .. } = Pair::over(LinkModel::default());
    let qos = SubQos { queue_bytes: 4 << 10, ..SubQos::default() };
    let slow = net.subscribe_with(bob, &["many"], qos);
    let block = PubQos { slow: SlowPolicy::Block, log_bytes: 16 << 10, ..PubQos::default() };
    let many = net.advertise_with(alice, "many", block);
    net.run_for(ms(500));
    net.hold(slow);
    let mut sent = 0;
    while net.try_publish(many, &[1; 500]).is_ok() {
        sent += 1;
        assert!(sent < 5_000, "the writer never blocks");
        net.run_for(ms(5));
    }
    net.run_for(secs(5));
    let open = |frame: Frame<'_>| matches!(frame, Frame::Status { stream, window: 1.., .. } if stream != 0);
    net.world.rules.push(lose(5, move |flight| flight.frames().any(open)));
    net.release(slow);

    expect_messages(&mut net, slow, sent, secs(10));
}

/// P18: a reader that stands still for a minute blocks its writer, and nothing else.
pub fn back_pressure_never_closes_a_session() {
    let Pair { mut net, alice, bob, .. } = Pair::over(LinkModel::default());
    let qos = SubQos { queue_bytes: 8 << 10, ..SubQos::default() };
    let slow = net.subscribe_with(bob, &["many"], qos);
    let block = PubQos { slow: SlowPolicy::Block, log_bytes: 16 << 10, ..PubQos::default() };
    let many = net.advertise_with(alice, "many", block);
    net.run_for(ms(500));
    net.hold(slow);
    let mut sent = 0;
    while net.try_publish(many, &[1; 500]).is_ok() {
        sent += 1;
        assert!(sent < 5_000, "the writer never blocks");
        net.run_for(ms(5));
    }
    net.run_for(secs(60));
    assert_eq!(net.try_publish(many, &[1; 500]), Err(PublishError::Full));
    net.release(slow);
    expect_messages(&mut net, slow, sent, secs(10));

    assert!(net.said(alice, is_peer_down).is_none() && net.said(bob, is_peer_down).is_none());
    let writable = |event: &Event| matches!(event, Event::Writable(_));
    assert!(net.said(alice, writable).is_some());
    net.publish(many, "again");
}

/// What only history keeps in the log makes room: the writer is told to go on.
pub fn history_alone_blocks_nobody() {
    let Pair { mut net, alice, bob, .. } = Pair::over(LinkModel::default());
    let slow = net.subscribe(bob, "many");
    let block = PubQos {
        slow: SlowPolicy::Block,
        log_bytes: 16 << 10,
        history: 1_000,
        ..PubQos::default()
    };
    let many = net.advertise_with(alice, "many", block);
    net.run_for(ms(500));
    let mut sent = 0;
    while net.try_publish(many, &[1; 500]).is_ok() {
        sent += 1;
        assert!(sent < 5_000, "the writer never blocks");
    }
    let writable = |event: &Event| matches!(event, Event::Writable(_));
    let told = net.run_until(|net| net.said(alice, writable).is_some(), secs(5));

    expect_messages(&mut net, slow, sent, secs(5));
    assert!(told, "the writer waits for ever");
    net.publish(many, [1; 500]);
}

/// Only who holds the log full is dropped, not those that keep up.
pub fn only_the_slow_reader_is_dropped() {
    let Pair { mut net, alice, bob, .. } = Pair::over(LinkModel::default());
    let carol = net.endpoint("carol");
    let qos = SubQos { queue_bytes: 4 << 10, ..SubQos::default() };
    let slow = net.subscribe_with(bob, &["many"], qos);
    let quick = net.subscribe(carol, "many");
    let drop = PubQos {
        slow: SlowPolicy::Disconnect(secs(2)),
        log_bytes: 16 << 10,
        history: 1_000,
        ..PubQos::default()
    };
    let many = net.advertise_with(alice, "many", drop);
    net.run_for(secs(1));
    net.hold(slow);
    let mut sent = 0;
    for _ in 0..2_000 {
        sent += usize::from(net.try_publish(many, &[1; 500]).is_ok());
        net.run_for(ms(10));
    }
    net.run_for(secs(1));

    let evicted =
        |event: &Event| matches!(event, Event::ReaderLeft { reason: DownReason::Evicted, .. });
    assert_eq!(net.events(alice).filter(|event| evicted(event)).count(), 1);
    assert_eq!(net.deliveries(quick).len(), sent);
    assert!(sent > 1_000, "the others go on after two seconds: {sent}");
}

/// A dropped reader that asks once more for the same gets it.
pub fn who_was_dropped_may_ask_again() {
    let Pair { mut net, alice, bob, .. } = Pair::over(LinkModel::default());
    let qos = SubQos { queue_bytes: 4 << 10, ..SubQos::default() };
    let slow = net.subscribe_with(bob, &["many"], qos);
    let drop =
        PubQos { slow: SlowPolicy::Disconnect(secs(2)), log_bytes: 16 << 10, ..PubQos::default() };
    let many = net.advertise_with(alice, "many", drop);
    net.run_for(secs(1));
    net.hold(slow);
    for _ in 0..500 {
        let _ = net.try_publish(many, &[1; 500]);
        net.run_for(ms(10));
    }
    let evicted =
        |event: &Event| matches!(event, Event::Writer { state: WriterState::Evicted, .. });
    assert!(net.said(bob, evicted).is_some());
    let again = net.subscribe(bob, "many");
    net.release(slow);
    net.run_for(secs(1));
    net.publish(many, "again");
    expect_messages(&mut net, again, 1, secs(2));
}

/// A second subscription has the past sent again: what was said of the first reading comes late.
pub fn a_status_from_before_a_second_reading_is_not_believed() {
    let Pair { mut net, alice, bob, .. } = Pair::over(LinkModel::default());
    let first = net.subscribe(bob, "many");
    let block = PubQos { slow: SlowPolicy::Block, history: 10, ..PubQos::default() };
    let many = net.advertise_with(alice, "many", block);
    net.run_for(secs(1));
    for _ in 0..20 {
        net.publish(many, "past");
        net.run_for(ms(50));
    }
    let (mut held, mut lost) = (false, 0);
    let start = net.world.now;
    net.rule(move |flight| {
        let of_bob = flight.from == bob.0;
        let status = |frame: Frame<'_>| matches!(frame, Frame::Status { stream, .. } if stream != 0);
        let body = |frame: Frame<'_>| matches!(frame, Frame::Msg { stream, .. } | Frame::Msgs { stream, .. } if stream != 0);
        if of_bob && !held && flight.frames().any(status) {
            held = true;
            return Verdict::Late(ms(30));
        }
        if !of_bob && flight.now > start + ms(8) && lost < 4 && flight.frames().any(body) {
            lost += 1;
            return Verdict::Drop;
        }
        Verdict::Pass
    });
    net.publish(many, "last");
    net.run_for(ms(8));
    let qos = SubQos { history: History::All, ..SubQos::default() };
    let again = net.subscribe_with(bob, &["many"], qos);
    expect_messages(&mut net, again, 10, secs(3));
    assert_eq!(net.deliveries(first).len(), 21);
}

/// The word that a reader was dropped is lost with the session: the next session repeats it.
pub fn a_reader_dropped_while_cut_off_is_told_later() {
    let Pair { mut net, alice, bob, .. } = Pair::over(LinkModel::default());
    let slow = net.subscribe(bob, "many");
    let drop =
        PubQos { slow: SlowPolicy::Disconnect(secs(2)), log_bytes: 16 << 10, ..PubQos::default() };
    let many = net.advertise_with(alice, "many", drop);
    net.run_for(secs(1));
    net.publish(many, [1; 500]);
    net.run_for(ms(100));
    // The session that stands is cut off for good; a new one may be made.
    let mut old = BTreeSet::new();
    let cut = net.world.now + ms(100);
    net.rule(move |flight| match DataHeader::decode(flight.bytes) {
        Ok(header) if flight.packet() == Some(PacketType::Data) => {
            let known = if flight.now < cut {
                !old.insert(header.index)
            } else {
                old.contains(&header.index)
            };
            if known && flight.now >= cut { Verdict::Drop } else { Verdict::Pass }
        }
        _ => Verdict::Pass,
    });
    net.run_for(ms(50));
    let now = net.world.now;
    for ep in [alice, bob] {
        let other = net.key(if ep == alice { bob } else { alice });
        if let (Some(key), Some(node)) = (other, net.node(ep)) {
            node.ping(now, key.id);
        }
    }
    for _ in 0..400 {
        let _ = net.try_publish(many, &[1; 500]);
        net.run_for(ms(10));
    }
    net.run_for(secs(30));
    assert!(net.connected(alice, bob));

    let writer = |event: &Event| matches!(event, Event::Writer { topic, state, .. } if **topic == *"many" && *state != WriterState::Joined);
    assert!(net.said(bob, writer).is_some());
    net.publish(many, "again");
    net.run_for(secs(1));
    let _ = slow;
}

/// R2: what a policy drops is counted, in its place.
pub fn a_slow_reader_is_told_what_it_missed() {
    let Pair { mut net, alice, bob, .. } = Pair::over(LinkModel::default());
    for full in [QueuePolicy::Block, QueuePolicy::DropOldest, QueuePolicy::DropNewest] {
        let topic = format!("many/{full:?}");
        let qos = SubQos { queue_bytes: 8 << 10, full, ..SubQos::default() };
        let slow = net.subscribe_with(bob, &[&topic], qos);
        let qos = PubQos { log_bytes: 16 << 10, ..PubQos::default() };
        let many = net.advertise_with(alice, &topic, qos);
        net.run_for(ms(500));
        net.hold(slow);
        for _ in 0..500 {
            net.publish(many, [1; 500]);
            net.run_for(ms(1));
        }
        net.run_for(ms(100));
        net.release(slow);
        net.run_for(secs(2));

        let count = |delivery: &Delivery| match delivery {
            Delivery::Message(_) => (1, 0),
            Delivery::Missed { n, .. } => (0, *n),
        };
        let counts = net.deliveries(slow).iter().map(count);
        let (got, missed) = counts.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        assert_eq!(got + missed, 500, "{full:?}");
        assert!(got >= 10 && missed >= 100, "{full:?}: {got} and {missed} missed");
    }
    net.demand();
}

/// A late reader chooses how much of the past it gets.
pub fn a_late_reader_gets_the_history_it_asks_for() {
    let mut net = Net::seeded(1);
    let alice = net.endpoint("alice");
    let qos = PubQos { history: 10, ..PubQos::default() };
    let words = net.advertise_with(alice, "words", qos);
    for n in 1..=20 {
        net.publish(words, format!("{n}"));
    }
    net.run_for(secs(1));
    let bob = net.endpoint("bob");
    let read = |net: &mut Net, history| {
        let sub = net.subscribe_with(bob, &["words"], SubQos { history, ..SubQos::default() });
        net.run_for(secs(2));
        let got = net.received(sub);
        net.unsubscribe(sub);
        net.run_for(ms(200));
        got
    };
    let last = |n: usize| (21 - n..=20).map(|n| n.to_string()).collect::<Vec<_>>();

    assert_eq!(read(&mut net, History::All), last(10));
    assert_eq!(read(&mut net, History::Last(3)), last(3));
    assert_eq!(read(&mut net, History::None), last(0));
}

/// Closing means to say goodbye after everything was said.
pub fn a_writer_that_leaves_gets_its_last_words_out() {
    let Pair { mut net, alice, words, heard, bob, .. } = Pair::over(LinkModel::default());
    for n in 0..50 {
        net.publish(words, format!("{n}"));
    }
    net.close(alice);
    net.run_for(secs(1));

    assert_eq!(net.received(heard).len(), 50);
    assert!(net.said(bob, is_peer_down).is_some(), "bob is told that alice left");
}

/// Readers in the writer's own endpoint.
pub fn local_readers_get_everything() {
    let mut net = Net::seeded(1);
    let alice = net.endpoint("alice");
    let heard = net.subscribe(alice, "**");
    let words = net.advertise(alice, "words");
    for n in 0..100 {
        net.publish(words, format!("{n}"));
    }
    net.run_for(secs(1));

    assert_eq!(net.received(heard).len(), 100);
    net.demand();
}

/// `*` is exactly one level, for local readers and for others.
pub fn a_star_is_one_level() {
    let Pair { mut net, alice, bob, .. } = Pair::over(LinkModel::default());
    let subs = [net.subscribe(alice, "tree/*"), net.subscribe(bob, "tree/*")];
    let topics = ["tree", "tree/leaf", "tree/branch/leaf"];
    let pubs = topics.map(|topic| net.advertise(alice, topic));
    net.run_for(secs(1));
    for (to, topic) in pubs.into_iter().zip(topics) {
        net.publish(to, topic);
    }
    net.run_for(secs(1));

    for sub in subs {
        assert_eq!(net.received(sub), ["tree/leaf"]);
    }
}

/// T-5: a log is kept for a reader that died as long as there is room, and no longer.
pub fn a_dead_reader_blocks_nobody() {
    let Pair { mut net, alice, bob, .. } = Pair::over(LinkModel::default());
    net.subscribe(bob, "many");
    let block = PubQos { slow: SlowPolicy::Block, log_bytes: 16 << 10, ..PubQos::default() };
    let many = net.advertise_with(alice, "many", block);
    net.run_for(secs(1));
    net.kill(bob);
    for _ in 0..200 {
        let _ = net.try_publish(many, &[1; 500]);
        net.run_for(ms(50));
    }
    assert!(net.said(alice, is_peer_down).is_some());
    for _ in 0..200 {
        net.publish(many, [1; 500]);
        net.run_for(ms(10));
    }
}
