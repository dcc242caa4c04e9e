//! Endpoints over real sockets, on loopback only, each test with realms of its own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use motet::{
    Builder, Delivery, DownReason, Endpoint, Event, History, Impairment, OpenError, Outgoing,
    PubQos, PublishError, Scope, SendError, SlowPolicy, SubQos, What,
};

/// A state directory of its own, removed when dropped.
struct State(PathBuf);

impl State {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("motet-lib-{}-{n}", std::process::id()));
        Self(path)
    }

    fn builder(&self, name: &str) -> Builder {
        Endpoint::builder().name(name).state_dir(&self.0).scope(Scope::Host)
    }

    async fn open(&self, name: &str) -> Endpoint {
        self.builder(name).open().await.expect("it opens")
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Generous: only a broken machine or program reaches it.
const LIMIT: Duration = Duration::from_secs(20);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it ends in time")
}

async fn message(subscriber: &mut motet::Subscriber) -> motet::Message {
    match within(subscriber.next()).await {
        Some(Delivery::Message(message)) => message,
        other => panic!("a message, not {other:?}"),
    }
}

#[tokio::test]
async fn two_endpoints_meet_and_exchange_messages_in_order() {
    let state = State::new();
    let (a, b) = (state.open("a").await, state.open("b").await);
    let mut reader = b.subscriber("house/*").await.unwrap();
    let writer = a.publisher("house/kitchen").await.unwrap();
    within(writer.wait_readers(1, LIMIT)).await.unwrap();
    for n in 0..1_000u32 {
        writer.publish(n.to_le_bytes()).await.unwrap();
    }
    for n in 0..1_000u32 {
        let message = message(&mut reader).await;
        assert_eq!((message.topic(), message.payload()), ("house/kitchen", &n.to_le_bytes()[..]));
        assert_eq!((message.writer(), message.writer_name()), (a.key(), "a"));
    }
    within(writer.flushed(LIMIT)).await.unwrap();
    assert!(within(a.close(LIMIT)).await.is_empty());
}

#[tokio::test]
async fn key_and_headers_travel_with_a_message() {
    let state = State::new();
    let (a, b) = (state.open("a").await, state.open("b").await);
    let mut reader = b.subscriber("t").await.unwrap();
    let writer = a.publisher("t").await.unwrap();
    let outgoing = Outgoing::new(b"21.5").key(b"sensor-7").header("unit", "C");
    writer.publish_with(&outgoing).await.unwrap();
    let message = message(&mut reader).await;
    assert_eq!(message.payload(), b"21.5");
    assert_eq!(&message.bytes()[..], b"21.5");
    assert_eq!(message.key(), Some(&b"sensor-7"[..]));
    assert_eq!(message.header("unit"), Some("C"));
    assert!(message.published().elapsed().unwrap() < LIMIT);
}

#[tokio::test]
async fn a_message_of_one_mebibyte_arrives_whole() {
    let state = State::new();
    let (a, b) = (state.open("a").await, state.open("b").await);
    let mut reader = b.subscriber("big").await.unwrap();
    let writer = a.publisher("big").await.unwrap();
    let payload: Vec<u8> = (0..1u32 << 20).map(|n| ((n * 31) >> 3) as u8).collect();
    writer.publish(&payload).await.unwrap();
    assert!(message(&mut reader).await.payload() == payload);
}

#[tokio::test]
async fn a_shared_payload_arrives_here_and_there_and_is_let_go_when_it_is_acknowledged() {
    let state = State::new();
    let (a, b) = (state.open("a").await, state.open("b").await);
    let mut here = a.subscriber("large").await.unwrap();
    let mut there = b.subscriber("large").await.unwrap();
    let writer = a.publisher("large").await.unwrap();
    within(writer.wait_readers(2, LIMIT)).await.unwrap();

    let payload = Bytes::from((0..1_000_000u32).map(|n| (n % 251) as u8).collect::<Vec<u8>>());
    for message in [
        Outgoing::shared(payload.clone()),
        Outgoing::shared(payload.clone()).key(b"truck7").header("trace", "4711"),
    ] {
        writer.publish_with(&message).await.unwrap();
    }
    assert!(!payload.is_unique(), "it is not copied");
    for reader in [&mut here, &mut there] {
        assert_eq!(message(reader).await.payload(), &payload[..]);
        let second = message(reader).await;
        assert_eq!((second.key(), second.payload()), (Some(&b"truck7"[..]), &payload[..]));
        assert_eq!(second.headers().collect::<Vec<_>>(), [("trace", "4711")]);
    }
    // The log keeps the last one of each key.
    let next = Outgoing::new(b"small").key(b"truck7");
    within(async {
        while !payload.is_unique() {
            writer.publish_with(&next).await.unwrap();
            writer.flushed(LIMIT).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_late_joiner_gets_the_last_value() {
    let state = State::new();
    let a = state.open("a").await;
    let writer = a.publisher("state").await.unwrap();
    for value in ["old", "new"] {
        writer.publish(value).await.unwrap();
    }
    let b = state.open("b").await;
    let mut reader = b.subscriber("state").await.unwrap();
    assert_eq!(message(&mut reader).await.payload(), b"new");
}

#[tokio::test]
async fn a_reader_that_wants_no_past_gets_none() {
    let state = State::new();
    let (a, b) = (state.open("a").await, state.open("b").await);
    let writer = a.publisher("state").await.unwrap();
    writer.publish("past").await.unwrap();
    let qos = SubQos { history: History::None, ..SubQos::default() };
    let mut reader = b.subscriber_with(&["state"], qos).await.unwrap();
    within(writer.wait_readers(1, LIMIT)).await.unwrap();
    writer.publish("present").await.unwrap();
    assert_eq!(message(&mut reader).await.payload(), b"present");
}

#[tokio::test]
async fn close_says_goodbye_and_a_subscriber_ends_with_its_endpoint() {
    let state = State::new();
    let (a, b) = (state.open("a").await, state.open("b").await);
    let mut events = a.events();
    let mut reader = b.subscriber("t").await.unwrap();
    let writer = a.publisher("t").await.unwrap();
    within(writer.wait_readers(1, LIMIT)).await.unwrap();
    let key = b.key();
    assert!(within(b.close(LIMIT)).await.is_empty());
    assert!(within(reader.next()).await.is_none());
    let left = async {
        loop {
            if let Some(Event::PeerDown { key, reason, .. }) = events.next().await {
                return (key, reason);
            }
        }
    };
    assert_eq!(within(left).await, (key, DownReason::Left));
}

#[tokio::test]
async fn dropping_the_last_handle_says_goodbye() {
    let state = State::new();
    let (a, b) = (state.open("a").await, state.open("b").await);
    let mut events = a.events();
    let reader = b.subscriber("t").await.unwrap();
    let writer = a.publisher("t").await.unwrap();
    within(writer.wait_readers(1, LIMIT)).await.unwrap();
    drop((b, reader));
    let left = async {
        loop {
            if let Some(Event::PeerDown { reason, .. }) = events.next().await {
                return reason;
            }
        }
    };
    assert_eq!(within(left).await, DownReason::Left);
}

#[tokio::test]
async fn a_stuck_reader_makes_a_blocking_publisher_time_out_and_then_it_goes_on() {
    let state = State::new();
    let (a, b) = (state.open("a").await, state.open("b").await);
    let small = SubQos { queue_bytes: 16 * 1024, ..SubQos::default() };
    let mut reader = b.subscriber_with(&["t"], small).await.unwrap();
    let qos = PubQos { slow: SlowPolicy::Block, log_bytes: 16 * 1024, ..PubQos::default() };
    let writer = a.publisher_with("t", qos).await.unwrap();
    let writer = writer.blocking_deadline(Duration::from_millis(300));
    within(writer.wait_readers(1, LIMIT)).await.unwrap();
    let payload = [7; 1_000];
    let mut published = 0u64;
    let refused = loop {
        match within(writer.publish(payload)).await {
            Ok(_) => published += 1,
            Err(error) => break error,
        }
        assert!(published < 1_000, "the log has room for ever");
    };
    assert_eq!(refused, PublishError::Timeout { after: Duration::from_millis(300) });
    let writer = writer.blocking_deadline(LIMIT);
    let publish = async {
        for _ in 0..50 {
            writer.publish(payload).await.unwrap();
        }
    };
    let read = async {
        for _ in 0..published + 50 {
            assert_eq!(message(&mut reader).await.payload(), payload);
        }
    };
    within(async { tokio::join!(publish, read) }).await;
}

#[tokio::test]
async fn a_dropped_subscriber_is_no_reader_any_more() {
    let state = State::new();
    let (a, b) = (state.open("a").await, state.open("b").await);
    let reader = b.subscriber("t").await.unwrap();
    let writer = a.publisher("t").await.unwrap();
    within(writer.wait_readers(1, LIMIT)).await.unwrap();
    let mut events = a.events();
    drop(reader);
    let left = async {
        loop {
            if let Some(Event::ReaderLeft { readers, .. }) = events.next().await {
                return readers;
            }
        }
    };
    assert_eq!((within(left).await, writer.readers()), (0, 0));
}

#[tokio::test]
async fn next_may_be_abandoned_at_any_time_without_losing_a_message() {
    let state = State::new();
    let (a, b) = (state.open("a").await, state.open("b").await);
    let mut reader = b.subscriber("t").await.unwrap();
    let writer = a.publisher("t").await.unwrap();
    within(writer.wait_readers(1, LIMIT)).await.unwrap();
    let mut expected = 0u32;
    for n in 0..200u32 {
        writer.publish(n.to_le_bytes()).await.unwrap();
        // Sometimes ready, sometimes abandoned.
        tokio::select! {
            biased;
            delivery = reader.next() => {
                let message = delivery.unwrap().message().unwrap();
                assert_eq!(message.payload(), expected.to_le_bytes());
                expected += 1;
            }
            () = tokio::task::yield_now() => {}
        }
    }
    while expected < 200 {
        assert_eq!(message(&mut reader).await.payload(), expected.to_le_bytes());
        expected += 1;
    }
}

#[tokio::test]
async fn messages_arrive_in_order_through_loss_and_disorder() {
    let state = State::new();
    let faults = Impairment::parse("loss=5%,dup=2%,reorder=5%,corrupt=1%,seed=3").unwrap();
    let a = state.builder("a").impair(faults).open().await.unwrap();
    let b = state.open("b").await;
    let mut reader = b.subscriber("t").await.unwrap();
    let writer = a.publisher("t").await.unwrap();
    within(writer.wait_readers(1, LIMIT)).await.unwrap();
    for n in 0..2_000u32 {
        writer.publish(n.to_le_bytes()).await.unwrap();
    }
    for n in 0..2_000u32 {
        assert_eq!(message(&mut reader).await.payload(), n.to_le_bytes());
    }
}

#[tokio::test] // S-52
async fn a_reader_that_takes_a_message_and_leaves_at_once_has_acknowledged_it() {
    for _ in 0..10 {
        let state = State::new();
        let (a, b) = (state.open("a").await, state.open("b").await);
        let mut inbox = b.inbox().await.unwrap();
        let (receipt, ()) = within(async {
            tokio::join!(a.send("b", "hello", LIMIT), async {
                assert_eq!(message(&mut inbox).await.payload(), b"hello");
                drop(inbox);
                let _nothing = b.close(Duration::ZERO).await;
            })
        })
        .await;
        assert!(receipt.is_ok(), "{receipt:?}");
    }
}

#[tokio::test]
async fn a_message_reaches_the_inbox_of_a_named_endpoint_or_is_an_error() {
    let state = State::new();
    let (a, b) = (state.open("a").await, state.open("b").await);
    let mut inbox = b.inbox().await.unwrap();
    let receipt = within(a.send("b", "hello", LIMIT)).await.unwrap();
    assert_eq!(receipt.to, b.key());
    assert_eq!(message(&mut inbox).await.payload(), b"hello");
    let after = Duration::from_millis(300);
    let nobody = within(a.send("nobody", "hello", after)).await;
    assert_eq!(nobody, Err(SendError::NotFound { to: "nobody".into(), after }));
}

#[tokio::test]
async fn an_endpoint_answers_pings_and_questions() {
    let state = State::new();
    let (a, b) = (state.open("a").await, state.open("b").await);
    let _writer = b.publisher("b/topic").await.unwrap();
    assert!(within(a.ping("b", LIMIT)).await.unwrap() < LIMIT);
    let motet::Answer::Endpoint(about) = within(a.ask("b", What::Endpoint, LIMIT)).await.unwrap()
    else {
        panic!("a report of an endpoint");
    };
    assert_eq!((about.name.as_str(), about.id), ("b", b.id().to_string()));
    let motet::Answer::Topics(topics) = within(a.ask("b", What::Topics, LIMIT)).await.unwrap()
    else {
        panic!("a report of topics");
    };
    assert_eq!(topics.topics[0].topic, "b/topic");
    let motet::Answer::Counters(counters) =
        within(a.ask("b", What::Counters, LIMIT)).await.unwrap()
    else {
        panic!("counters");
    };
    assert!(counters.iter().any(|counter| counter.name == "sessions_opened" && counter.value > 0));
    assert!(a.snapshot().peers.iter().any(|peer| peer.name == "b" && peer.state == "alive"));
}

#[tokio::test]
async fn discovery_settles_alone() {
    let state = State::new();
    assert!(within(state.open("a").await.settled()).await);
}

#[tokio::test]
async fn endpoints_of_different_realms_do_not_see_each_other() {
    let (state, other) = (State::new(), State::new());
    let (a, b, stranger) =
        (state.open("a").await, state.open("b").await, other.open("stranger").await);
    let _writer = stranger.publisher("t").await.unwrap();
    let mut reader = a.subscriber("t").await.unwrap();
    within(a.ping("b", LIMIT)).await.unwrap();
    assert!(within(stranger.settled()).await && within(a.settled()).await);
    assert!(a.resolve("stranger").is_empty() && stranger.resolve("a").is_empty());
    assert!(reader.try_next().is_none());
    drop(b);
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    let state = State::new();
    let a = state.builder("a").listen(([127, 0, 0, 1], 0).into()).open().await.unwrap();
    let refused = state.builder("b").listen(a.local_addr()).open().await;
    let port = a.local_addr().port();
    assert!(matches!(refused, Err(OpenError::PortInUse { port: named }) if named == port));
}

#[tokio::test]
async fn a_key_file_keeps_the_id_and_serves_one_endpoint_at_a_time() {
    let state = State::new();
    std::fs::create_dir_all(&state.0).unwrap();
    let file = state.0.join("press.key");
    let first = state.builder("a").key_file(&file).open().await.unwrap();
    let second = state.builder("b").key_file(&file).open().await;
    assert!(matches!(second, Err(OpenError::KeyInUse { .. })));
    let key = first.key();
    let _ = within(first.close(LIMIT)).await;
    // The lock goes with the driver, which has ended before `close` returns or does at once.
    let again = within(async {
        loop {
            match state.builder("a").key_file(&file).open().await {
                Err(OpenError::KeyInUse { .. }) => tokio::task::yield_now().await,
                other => break other.unwrap(),
            }
        }
    });
    let again = again.await.key();
    assert_eq!(again.id, key.id);
    assert!(again.incarnation > key.incarnation);
}

#[tokio::test]
async fn an_endpoint_on_a_thread_of_its_own_works_while_its_runtime_is_blocked() {
    let state = State::new();
    let a = state.builder("a").dedicated_thread(true).open().await.unwrap();
    let b = state.builder("b").dedicated_thread(true).open().await.unwrap();
    let mut reader = b.subscriber("t").await.unwrap();
    let writer = a.publisher("t").await.unwrap();
    writer.publish("x").await.unwrap();
    // This thread never yields to its runtime.
    let found = loop {
        match reader.try_next() {
            Some(found) => break found,
            None => {
                let waited = a.snapshot().endpoint.uptime_seconds;
                assert!(waited < LIMIT.as_secs_f64(), "nothing arrives");
            }
        }
        std::thread::yield_now();
    };
    assert_eq!(found.message().unwrap().payload(), b"x");
}

#[tokio::test]
async fn the_doctor_names_a_remedy_for_whatever_is_wrong() {
    let state = State::new();
    let findings = within(state.open("a").await.doctor()).await;
    for check in ["interfaces", "multicast", "buffers", "files", "clock", "realm", "neighbours"] {
        assert!(findings.iter().any(|finding| finding.check == check), "{check}");
    }
    assert!(findings.iter().all(|finding| finding.ok || finding.remedy.is_some()), "{findings:?}");
}
