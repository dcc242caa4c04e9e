//! Lines of docs/acceptance.md, over real sockets on loopback.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use motet::{
    AskError, Delivery, Endpoint, Event, PubQos, PublishError, Scope, SendError, SlowPolicy,
    SubQos, Subscriber, WaitError, What,
};

/// A state directory of its own, removed when dropped.
struct State(PathBuf);

impl State {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("motet-lines-{}-{n}", std::process::id()));
        Self(path)
    }

    async fn open(&self, name: &str) -> Endpoint {
        let builder = Endpoint::builder().name(name).state_dir(&self.0).scope(Scope::Host);
        builder.open().await.expect("it opens")
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Generous: only a broken machine or program reaches it.
const LIMIT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(200);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it ends in time")
}

async fn message(subscriber: &mut Subscriber) -> motet::Message {
    match within(subscriber.next()).await {
        Some(Delivery::Message(message)) => message,
        other => panic!("a message, not {other:?}"),
    }
}

// ALL-4: each call that waits for others has a deadline, which its error names.
#[tokio::test]
async fn all_4_no_call_waits_without_a_deadline() {
    let state = State::new();
    let (a, b) = (state.open("a").await, state.open("b").await);
    let small = SubQos { queue_bytes: 16 * 1024, ..SubQos::default() };
    let _stuck = b.subscriber_with(&["t"], small).await.unwrap();
    let qos = PubQos { slow: SlowPolicy::Block, log_bytes: 16 * 1024, ..PubQos::default() };
    let writer = a.publisher_with("t", qos).await.unwrap().blocking_deadline(SHORT);
    within(writer.wait_readers(1, LIMIT)).await.unwrap();
    let refused = loop {
        if let Err(error) = within(writer.publish([7; 1_000])).await {
            break error;
        }
    };
    assert_eq!(refused, PublishError::Timeout { after: SHORT });
    let late = |error: &dyn std::fmt::Display| assert!(error.to_string().contains("200ms"));
    let flushed = within(writer.flushed(SHORT)).await.unwrap_err();
    let readers: WaitError = within(writer.wait_readers(2, SHORT)).await.unwrap_err();
    let (sent, pinged, asked) = within(async {
        tokio::join!(
            a.send("nobody", "x", SHORT),
            a.ping("nobody", SHORT),
            a.ask("nobody", What::Endpoint, SHORT)
        )
    })
    .await;
    let sent: SendError = sent.unwrap_err();
    let (pinged, asked): (AskError, AskError) = (pinged.unwrap_err(), asked.unwrap_err());
    let errors: [&dyn std::fmt::Display; 6] =
        [&refused, &flushed, &readers, &sent, &pinged, &asked];
    errors.into_iter().for_each(late);
    assert!(!within(a.close(SHORT)).await.is_empty(), "what was not acknowledged is told");
}

// WP-11
#[tokio::test]
async fn wp_11_an_endpoint_holds_many_subscriptions_and_closes_each_on_its_own() {
    let state = State::new();
    let (a, b) = (state.open("a").await, state.open("b").await);
    let mut same = Vec::new();
    for _ in 0..4 {
        same.push(b.subscriber("words/eng").await.unwrap());
    }
    let mut other = b.subscriber("words/fra").await.unwrap();
    let mut all = b.subscriber("words/*").await.unwrap();
    let mut own = a.subscriber("words/eng").await.unwrap();
    let (eng, fra) =
        (a.publisher("words/eng").await.unwrap(), a.publisher("words/fra").await.unwrap());
    within(eng.wait_readers(1, LIMIT)).await.unwrap();
    within(fra.wait_readers(1, LIMIT)).await.unwrap();
    for n in 0..5u32 {
        eng.publish(n.to_le_bytes()).await.unwrap();
        fra.publish(n.to_le_bytes()).await.unwrap();
        for reader in same.iter_mut().chain([&mut other, &mut own]) {
            assert_eq!(message(reader).await.payload(), n.to_le_bytes());
        }
        for _ in 0..2 {
            assert_eq!(message(&mut all).await.payload(), n.to_le_bytes());
        }
        same.pop(); // one less; the last goes in the fourth round
        assert_eq!(eng.readers(), 2, "`words/*` and `own` still read");
    }
    drop(all);
    let mut events = a.events();
    while eng.readers() > 1 {
        let _ = within(events.next()).await;
    }
    fra.publish("still").await.unwrap();
    assert_eq!(message(&mut other).await.payload(), b"still");
    eng.publish("own").await.unwrap();
    assert_eq!(message(&mut own).await.payload(), b"own");
}

// WP-13
#[tokio::test]
async fn wp_13_a_star_inside_a_level_is_refused_with_a_reason() {
    let state = State::new();
    let a = state.open("a").await;
    let refused = a.subscriber("words/e*").await.expect_err("it is refused");
    assert!(refused.to_string().contains("words/e*"), "{refused}");
    for fine in ["words/*", "words/**", "words/eng"] {
        assert!(a.subscriber(fine).await.is_ok());
    }
}

// PS-1
#[tokio::test]
async fn ps_1_a_publisher_that_waits_for_ten_readers_reaches_all_with_its_first_message() {
    let state = State::new();
    let a = state.open("a").await;
    let qos = PubQos { slow: SlowPolicy::Block, ..PubQos::default() };
    let writer = a.publisher_with("count", qos).await.unwrap();
    let (mut readers, mut endpoints) = (Vec::new(), Vec::new());
    for n in 0..9 {
        let b = state.open(&format!("reader-{n}")).await;
        readers.push(b.subscriber("count").await.unwrap());
        endpoints.push(b);
    }
    within(writer.wait_readers(9, LIMIT)).await.unwrap();
    let early = within(writer.wait_readers(10, SHORT)).await;
    assert!(early.is_err(), "nine are not ten");
    let last = state.open("reader-9").await;
    readers.push(last.subscriber("count").await.unwrap());
    assert_eq!(within(writer.wait_readers(10, LIMIT)).await.unwrap(), 10);
    for n in 0..300u32 {
        writer.publish(n.to_le_bytes()).await.unwrap();
    }
    for reader in &mut readers {
        for n in 0..300u32 {
            assert_eq!(message(reader).await.payload(), n.to_le_bytes());
        }
    }
}

// GL-14
#[tokio::test]
async fn gl_14_a_type_mismatch_names_both_types_at_both_ends() {
    let state = State::new();
    let (a, b) = (state.open("a").await, state.open("b").await);
    let (mut at_a, mut at_b) = (a.events(), b.events());
    let reads = SubQos { type_tag: "number/2".into(), ..SubQos::default() };
    let mut reader = b.subscriber_with(&["words/*"], reads).await.unwrap();
    let writes = PubQos { type_tag: "word/1".into(), ..PubQos::default() };
    let writer = a.publisher_with("words/eng", writes).await.unwrap();
    writer.publish("a word").await.unwrap();
    for (events, own, other) in
        [(&mut at_a, "word/1", "number/2"), (&mut at_b, "number/2", "word/1")]
    {
        let told = async {
            loop {
                if let Some(Event::TypeMismatch { ours, theirs, .. }) = events.next().await {
                    return (ours.to_string(), theirs.to_string());
                }
            }
        };
        assert_eq!(within(told).await, (own.into(), other.into()));
    }
    assert!(reader.try_next().is_none());
}
