//! A subscription's queue, full and less full.

use bytes::Bytes;
use motet_proto::config::QueuePolicy;
use motet_proto::events::MissedReason;
use motet_proto::received::{Origin, Received, Run};
use motet_proto::topics::queue::{MARKS_MAX, Pushed, Queue};
use motet_proto::{Delivery, EndpointId, EndpointKey};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn writer(n: u32) -> EndpointKey {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&n.to_le_bytes());
    EndpointKey { id: EndpointId(id), incarnation: 1 }
}

fn message(from: u32, seq: u64, len: usize) -> Received {
    let (topic, writer) = ("words".into(), writer(from));
    let origin = Origin { topic, writer, writer_name: "ada".into() };
    let (age, bytes) = (Duration::ZERO, Bytes::from(vec![0; len]));
    let run = Run { origin: origin.into(), age, published_us: 0, bytes };
    Received::alone(run.into(), seq, 0)
}

fn miss(queue: &mut Queue, from: u32, n: u64) {
    queue.push_missed(writer(from), "words".into(), n, MissedReason::Evicted);
}

/// Takes everything: `ada 1` is message 1 of writer 0, `ada -2 …` a mark of two, and so on.
fn read(queue: &mut Queue) -> Vec<String> {
    let who = |key: EndpointKey| ["ada", "bob", "cyd"][usize::from(key.id.0[0])];
    std::iter::from_fn(|| queue.pop())
        .map(|delivery| match delivery {
            Delivery::Message(message) => format!("{} {}", who(message.writer()), message.seq),
            Delivery::Missed { writer, n, reason, .. } => {
                format!("{} -{n} {reason:?}", who(writer))
            }
        })
        .collect()
}

#[test]
fn messages_count_their_length_but_at_least_64_bytes() {
    let mut queue = Queue::new(1_000, QueuePolicy::Block);

    queue.push(message(0, 1, 0));
    queue.push(message(0, 2, 500));

    assert_eq!((queue.bytes(), queue.free(), queue.len()), (564, 436, 2));
    queue.pop();
    assert_eq!((queue.bytes(), queue.free()), (500, 500));
}

#[test]
fn a_full_queue_that_blocks_gives_the_message_back() {
    let mut queue = Queue::new(150, QueuePolicy::Block);
    assert!(matches!(queue.push(message(0, 1, 10)), Pushed::Queued));
    assert!(!queue.is_full());
    assert!(matches!(queue.push(message(0, 2, 10)), Pushed::Queued));

    assert!(queue.is_full());
    assert!(matches!(queue.push(message(0, 3, 10)), Pushed::Refused(message) if message.seq == 3));
    assert_eq!(read(&mut queue), ["ada 1", "ada 2"]);
}

#[test] // P-30
fn a_message_larger_than_the_queue_is_taken_alone() {
    for policy in [QueuePolicy::Block, QueuePolicy::DropOldest, QueuePolicy::DropNewest] {
        let mut queue = Queue::new(1_024, policy);
        assert!(matches!(queue.push(message(0, 1, 5_000)), Pushed::Queued));
        assert_eq!((queue.free(), queue.is_full()), (0, true));
        assert!(!matches!(queue.push(message(0, 2, 5_000)), Pushed::Queued));
    }
}

#[test] // P-31
fn what_arrives_at_a_full_queue_goes_and_is_marked_at_the_end() {
    let mut queue = Queue::new(128, QueuePolicy::DropNewest);
    queue.push(message(0, 1, 1));
    queue.push(message(1, 1, 1));

    for seq in 2..5 {
        assert!(matches!(queue.push(message(0, seq, 1)), Pushed::Dropped));
    }

    assert_eq!(queue.dropped(), 3);
    assert_eq!(read(&mut queue), ["ada 1", "bob 1", "ada -3 QueueFull"]);
}

#[test] // P-31, P-32
fn what_is_oldest_in_a_full_queue_goes_and_is_marked_before_what_follows() {
    let mut queue = Queue::new(192, QueuePolicy::DropOldest);
    queue.push(message(0, 1, 1));
    miss(&mut queue, 0, 2);
    queue.push(message(1, 1, 1));
    queue.push(message(0, 4, 1));

    assert!(matches!(queue.push(message(0, 5, 1)), Pushed::QueuedAfterDrop));
    assert!(matches!(queue.push(message(0, 6, 100)), Pushed::QueuedAfterDrop));

    let expected = ["ada -2 QueueFull", "ada -2 Evicted", "bob -1 QueueFull", "ada 5", "ada 6"];
    assert_eq!(read(&mut queue), expected);
    assert_eq!(queue.dropped(), 3);
}

#[test] // P-33
fn equal_marks_in_one_run_are_one() {
    let mut queue = Queue::new(1_000, QueuePolicy::Block);
    queue.push(message(0, 1, 1));
    for _ in 0..3 {
        miss(&mut queue, 0, 2);
        miss(&mut queue, 1, 1);
    }
    queue.push(message(0, 8, 1));
    miss(&mut queue, 0, 1);
    miss(&mut queue, 0, 0);

    let expected = ["ada 1", "ada -6 Evicted", "bob -3 Evicted", "ada 8", "ada -1 Evicted"];
    assert_eq!(read(&mut queue), expected);
    assert_eq!(queue.marks(), 0);
}

#[test] // P-34
fn marks_are_bounded_and_their_counts_are_not_lost() {
    let mut queue = Queue::new(8 << 20, QueuePolicy::Block);
    for seq in 0..5_000 {
        miss(&mut queue, 0, 1);
        queue.push(message(0, seq, 1));
    }

    assert_eq!(queue.marks(), MARKS_MAX);
    miss(&mut queue, 1, 1);
    assert_eq!(queue.marks(), MARKS_MAX + 1, "a writer without any mark gets one more");
    let missed = std::iter::from_fn(|| queue.pop())
        .map(|delivery| if let Delivery::Missed { n, .. } = delivery { n } else { 0 });
    assert_eq!(missed.sum::<u64>(), 5_001);
}

#[test] // P-32, P-34
fn beyond_the_bound_a_loss_is_told_early_but_never_late() {
    let mut queue = Queue::new(2_000 * 64, QueuePolicy::DropOldest);
    let (mut put, mut told) = (0, 0);
    for _ in 0..5_000 {
        miss(&mut queue, 0, 1);
        queue.push(message(0, put + 2, 1));
        put += 2;
    }

    assert!(queue.marks() <= MARKS_MAX + 1);
    while let Some(delivery) = queue.pop() {
        match delivery {
            Delivery::Missed { n, .. } => told += n,
            Delivery::Message(message) => {
                told += 1;
                assert!(told >= message.seq, "{told} {}", message.seq);
            }
        }
    }
    assert_eq!(told, put);
}

#[derive(Clone, Debug)]
enum Step {
    Push(u32, usize),
    Miss(u32, u64),
    Pop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..3u32, 0..300usize).prop_map(|(from, len)| Step::Push(from, len)),
        1 => (0..3u32, 1..4u64).prop_map(|(from, n)| Step::Miss(from, n)),
        2 => Just(Step::Pop),
    ];
    proptest::collection::vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test] // P-30, P-31, P-32, P-33: nothing is lost without a mark in its place
    fn messages_and_marks_add_up_in_order_for_every_writer(
        steps in steps(),
        limit in 0..2_000usize,
        policy in 0..3usize,
    ) {
        let policies = [QueuePolicy::Block, QueuePolicy::DropOldest, QueuePolicy::DropNewest];
        let mut queue = Queue::new(limit, policies[policy]);
        let mut put = BTreeMap::<EndpointKey, u64>::new();
        let mut got = BTreeMap::<EndpointKey, u64>::new();
        let check = |got: &mut BTreeMap<_, u64>, delivery| match delivery {
            Delivery::Message(message) => {
                let next = got.entry(message.writer()).or_insert(0);
                *next += 1;
                *next == message.seq
            }
            Delivery::Missed { writer, n, .. } => {
                *got.entry(writer).or_insert(0) += n;
                n > 0
            }
        };
        for step in steps {
            match step {
                Step::Push(from, len) => {
                    let seq = put.entry(writer(from)).or_insert(0);
                    *seq += 1;
                    if let Pushed::Refused(back) = queue.push(message(from, *seq, len)) {
                        prop_assert!(policy == 0 && back.seq == *seq);
                        *seq -= 1;
                    }
                }
                Step::Miss(from, n) => {
                    *put.entry(writer(from)).or_insert(0) += n;
                    let reason = if n == 1 { MissedReason::Lost } else { MissedReason::Evicted };
                    queue.push_missed(writer(from), Arc::from("words"), n, reason);
                }
                Step::Pop => {
                    if let Some(delivery) = queue.pop() {
                        prop_assert!(check(&mut got, delivery));
                    }
                }
            }
            prop_assert!(queue.within_limit()); // a queue that blocks may hold one message more
        }
        while let Some(delivery) = queue.pop() {
            prop_assert!(check(&mut got, delivery));
        }
        put.retain(|_, n| *n > 0);
        prop_assert_eq!(got, put);
        prop_assert_eq!((queue.bytes(), queue.marks(), queue.len()), (0, 0, 0));
    }
}
