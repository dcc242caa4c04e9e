//! In the steady state messages cross two endpoints and their sockets without an allocation each.

use std::alloc::System;
use std::time::Duration;

use motet::{Delivery, Endpoint, PubQos, Publisher, Scope, SlowPolicy, Subscriber};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const LIMIT: Duration = Duration::from_secs(20);
/// Messages that are published, then read.
const BURST: u64 = 50;

struct Wire {
    writer: Publisher,
    reader: Subscriber,
    batch: Vec<Delivery>,
    sent: u64,
    read: u64,
}

impl Wire {
    async fn exchange(&mut self, n: u64) {
        let end = self.sent + n;
        while self.read < end {
            for _ in 0..BURST.min(end - self.sent) {
                let mut payload = [0; 64];
                payload[..8].copy_from_slice(&self.sent.to_le_bytes());
                self.writer.try_publish(payload).expect("the log is never full");
                self.sent += 1;
            }
            while self.read < self.sent {
                assert_ne!(self.reader.next_batch(&mut self.batch).await, 0, "it is open");
                for delivery in self.batch.drain(..) {
                    let Delivery::Message(message) = delivery else { panic!("{delivery:?}") };
                    assert_eq!(message.payload()[..8], self.read.to_le_bytes());
                    self.read += 1;
                }
            }
        }
    }
}

// One test: whatever else the process does is counted, too.
#[tokio::test]
async fn ten_thousand_small_messages_cross_the_sockets_without_an_allocation_each() {
    let state = std::env::temp_dir().join(format!("motet-no-allocation-{}", std::process::id()));
    let open = |name| Endpoint::builder().name(name).state_dir(&state).scope(Scope::Host).open();
    let (a, b) = (open("a").await.unwrap(), open("b").await.unwrap());
    let reader = b.subscriber("t").await.unwrap();
    let qos = PubQos { slow: SlowPolicy::Block, ..PubQos::default() };
    let writer = a.publisher_with("t", qos).await.unwrap();
    writer.wait_readers(1, LIMIT).await.unwrap();
    let mut wire = Wire { writer, reader, batch: Vec::new(), sent: 0, read: 0 };

    let warm_up = Region::new(ALLOCATOR);
    wire.exchange(10_000).await;
    assert!(warm_up.change().allocations > 0, "the counter counts");
    let region = Region::new(ALLOCATOR);
    wire.exchange(10_000).await;
    let change = region.change();
    std::fs::remove_dir_all(&state).unwrap();

    // Beacons, answers to them and looks at the kernel go on beside, a few times a second.
    let allocations = change.allocations + change.reallocations;
    assert!(allocations < 100, "{allocations} allocations");
}
