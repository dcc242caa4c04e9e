//! Slow readers, late readers, writers that leave.

use super::{Pair, expect_messages, is_peer_down, secs};
use crate::flight::lose;
use crate::links::LinkModel;
use crate::net::{Net, ms};
use motet_proto::config::{History, QueuePolicy};
use motet_proto::node::PublishError;
use motet_proto::{Delivery, PubQos, SlowPolicy, SubQos};
use motet_wire::frame::Frame;

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
    let writable = |event: &motet_proto::Event| matches!(event, motet_proto::Event::Writable(_));
    assert!(net.said(alice, writable).is_some());
    net.publish(many, "again");
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
