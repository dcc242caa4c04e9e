//! In the steady state messages cross a lane, from one endpoint to three, without an allocation each.

use std::alloc::System;
use std::time::Duration;

use motet::{Delivery, Endpoint, LanePolicy, PubQos, Publisher, Scope, SlowPolicy, Subscriber};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LIMIT: Duration = Duration::from_secs(20);
/// Messages that are published, then read.
const BURST: u64 = 50;
const READERS: usize = 3;

struct Wire {
    writer: Publisher,
    readers: Vec<Subscriber>,
    batch: Vec<Delivery>,
    sent: u64,
}

impl Wire {
    async fn exchange(&mut self, n: u64) {
        let end = self.sent + n;
        while self.sent < end {
            let first = self.sent;
            for _ in 0..BURST.min(end - self.sent) {
                let mut payload = [0; 64];
                payload[..8].copy_from_slice(&self.sent.to_le_bytes());
                self.writer.try_publish(payload).expect("the log is never full");
                self.sent += 1;
            }
            for reader in &mut self.readers {
                let mut read = first;
                while read < self.sent {
                    assert_ne!(reader.next_batch(&mut self.batch).await, 0, "it is open");
                    for delivery in self.batch.drain(..) {
                        let Delivery::Message(message) = delivery else { panic!("{delivery:?}") };
                        assert_eq!(message.payload()[..8], read.to_le_bytes());
                        read += 1;
                    }
                }
            }
        }
    }
}

/// How many readers are on a lane.
fn on_lane(endpoint: &Endpoint) -> usize {
    let readers = endpoint.snapshot().topics.into_iter().flat_map(|topic| topic.readers);
    readers.filter(|reader| reader.carrier == "lane").count()
}

// One test: whatever else the process does is counted, too.
#[tokio::test]
async fn ten_thousand_small_messages_cross_a_lane_without_an_allocation_each() {
    let state = std::env::temp_dir().join(format!("motet-no-alloc-lane-{}", std::process::id()));
    let open = |name| Endpoint::builder().name(name).state_dir(&state).scope(Scope::Host).open();
    let a = open("a").await.unwrap();
    let (mut endpoints, mut readers) = (Vec::new(), Vec::new());
    for name in ["b", "c", "d"] {
        let endpoint = open(name).await.unwrap();
        readers.push(endpoint.subscriber("t").await.unwrap());
        endpoints.push(endpoint);
    }
    let qos = PubQos { slow: SlowPolicy::Block, lane: LanePolicy::Always, ..PubQos::default() };
    let writer = a.publisher_with("t", qos).await.unwrap();
    writer.wait_readers(READERS, LIMIT).await.unwrap();
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    let settle = async {
        while on_lane(&a) < READERS {
            looks.tick().await;
        }
    };
    tokio::time::timeout(LIMIT, settle).await.expect("all on a lane");
    let mut wire = Wire { writer, readers, batch: Vec::new(), sent: 0 };

    let warm_up = Region::new(ALLOCATOR);
    wire.exchange(10_000).await;
    assert!(warm_up.change().allocations > 0, "the counter counts");
    let region = Region::new(ALLOCATOR);
    wire.exchange(10_000).await;
    let change = region.change();
    assert_eq!(on_lane(&a), READERS, "still on the lane");
    std::fs::remove_dir_all(&state).unwrap();

    // Beacons, heartbeats and looks at the kernel go on beside, a few times a second.
    let allocations = change.allocations + change.reallocations;
    assert!(allocations < 200, "{allocations} allocations");
}
