//! Endpoints that spin before they sleep.

use std::time::Duration;

use motet::{Delivery, Endpoint, Publisher, Scope, Subscriber};

/// Generous: only a broken machine or program reaches it.
const LIMIT: Duration = Duration::from_secs(20);
/// How long they spin.
const SPIN: Duration = Duration::from_millis(2);

/// CPU time of this thread: field 1 of /proc/thread-self/schedstat, in ns.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("it is Linux");
    let ns = text.split_whitespace().next().and_then(|ns| ns.parse().ok());
    Duration::from_nanos(ns.expect("a number of nanoseconds"))
}

async fn pass(to: &Publisher, from: &mut Subscriber, number: u32) {
    to.publish(number.to_le_bytes()).await.expect("it is open");
    let delivery = tokio::time::timeout(LIMIT, from.next()).await.expect("it comes");
    let Some(Delivery::Message(message)) = delivery else { panic!("{delivery:?}") };
    assert_eq!(message.payload(), number.to_le_bytes());
}

#[tokio::test]
async fn spinning_endpoints_exchange_messages_and_sleep_when_nothing_happens() {
    let state = std::env::temp_dir().join(format!("motet-spin-{}", std::process::id()));
    let open = |name| {
        let builder = Endpoint::builder().name(name).state_dir(&state).scope(Scope::Host);
        builder.spin(SPIN).open()
    };
    let (a, b) = (open("a").await.unwrap(), open("b").await.unwrap());
    let (mut ping, mut pong) =
        (b.subscriber("ping").await.unwrap(), a.subscriber("pong").await.unwrap());
    let (to, back) = (a.publisher("ping").await.unwrap(), b.publisher("pong").await.unwrap());
    to.wait_readers(1, LIMIT).await.unwrap();
    back.wait_readers(1, LIMIT).await.unwrap();
    for number in 0..1_000 {
        pass(&to, &mut ping, number).await;
        pass(&back, &mut pong, number).await;
    }

    let before = cpu_time();
    let quiet = Duration::from_millis(500);
    assert!(tokio::time::timeout(quiet, ping.next()).await.is_err(), "nobody publishes");
    let used = cpu_time() - before;
    std::fs::remove_dir_all(&state).unwrap();
    // Timers and beacons each make it spin once more.
    assert!(used < quiet / 2, "{used:?} of {quiet:?}");

    // Whoever publishes wakes a driver that sleeps.
    pass(&to, &mut ping, 7).await;
    pass(&back, &mut pong, 8).await;
}
