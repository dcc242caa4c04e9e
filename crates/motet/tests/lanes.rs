//! Lanes over real sockets, on loopback only, each test with a realm of its own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use motet::report::{ReaderReport, Snapshot};
use motet::{
    Builder, Delivery, Endpoint, Impairment, LanePolicy, PubQos, Publisher, Scope, SlowPolicy,
    Subscriber,
};

/// A state directory of its own, removed when dropped.
struct State(PathBuf);

impl State {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("motet-lanes-{}-{n}", std::process::id()));
        Self(path)
    }

    fn builder(&self, name: &str) -> Builder {
        Endpoint::builder().name(name).state_dir(&self.0).scope(Scope::Host)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Generous: only a broken machine or program reaches it.
const LIMIT: Duration = Duration::from_secs(30);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(LIMIT, future).await;
    ended.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

/// One writer and its readers.
struct Group {
    writer: Endpoint,
    publisher: Publisher,
    endpoints: Vec<Endpoint>,
    readers: Vec<Subscriber>,
}

const TOPIC: &str = "plant/speed";

impl Group {
    /// A writer under this policy, and readers from these builders.
    async fn open(writer: Builder, lane: LanePolicy, readers: Vec<Builder>) -> Self {
        let writer = writer.open().await.expect("a network that works");
        let qos = PubQos { lane, slow: SlowPolicy::Block, ..PubQos::default() };
        let publisher = writer.publisher_with(TOPIC, qos).await.expect("a network that works");
        let mut group = Self { writer, publisher, endpoints: Vec::new(), readers: Vec::new() };
        for reader in readers {
            group.join(reader).await;
        }
        group
    }

    async fn join(&mut self, reader: Builder) {
        let endpoint = reader.open().await.expect("a network that works");
        self.readers.push(endpoint.subscriber(TOPIC).await.expect("a network that works"));
        self.endpoints.push(endpoint);
        let n = self.readers.len();
        within("readers", self.publisher.wait_readers(n, LIMIT))
            .await
            .expect("a network that works");
    }

    fn carriers(&self) -> Vec<ReaderReport> {
        let mut topics = self.writer.snapshot().topics;
        let topic =
            topics.iter_mut().find(|topic| topic.topic == TOPIC).expect("a network that works");
        std::mem::take(&mut topic.readers)
    }

    /// Waits until all readers are as wanted.
    async fn until(&self, what: &str, wanted: impl Fn(&ReaderReport) -> bool) {
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        let look = async {
            while !self.carriers().iter().all(&wanted) {
                looks.tick().await;
            }
        };
        tokio::time::timeout(LIMIT, look).await.unwrap_or_else(|_| {
            panic!("{what}: {:#?} {:#?}", self.carriers(), counters(&self.writer.snapshot()))
        });
    }

    /// Publishes messages `from..to`, and demands of each reader that it gets them: all, once, in
    /// order.
    async fn exchange(&mut self, from: u64, to: u64) {
        let publisher = &self.publisher;
        let write = async {
            for n in from..to {
                publisher.publish(body(n)).await.expect("a network that works");
            }
            publisher.flushed(LIMIT).await.expect("a network that works");
        };
        let read = async {
            for (at, reader) in self.readers.iter_mut().enumerate() {
                for n in from..to {
                    match reader.next().await {
                        Some(Delivery::Message(message)) => {
                            assert_eq!(message.payload(), &body(n)[..], "reader {at}");
                        }
                        other => panic!("reader {at}: message {n}, not {other:?}"),
                    }
                }
            }
        };
        within("the exchange", async { tokio::join!(write, read) }).await;
    }
}

/// A message of 1 KiB that is like no other.
fn body(n: u64) -> Vec<u8> {
    n.to_le_bytes().repeat(128)
}

fn counters(snapshot: &Snapshot) -> Vec<(String, u64)> {
    let counted = snapshot.counters.iter().filter(|counter| counter.value > 0);
    counted.map(|counter| (counter.name.clone(), counter.value)).collect()
}

fn count(endpoint: &Endpoint, name: &str) -> u64 {
    let snapshot = endpoint.snapshot();
    let counter = snapshot.counters.iter().find(|counter| counter.name == name);
    counter.unwrap_or_else(|| panic!("no counter {name}")).value
}

fn three(state: &State) -> Vec<Builder> {
    ["b", "c", "d"].map(|name| state.builder(name)).into()
}

// PE-4
#[tokio::test]
async fn pe_4_what_goes_to_three_readers_leaves_once() {
    let state = State::new();
    let mut group = Group::open(state.builder("a"), LanePolicy::Always, three(&state)).await;
    group.until("all on a lane", |reader| reader.carrier == "lane").await;
    for reader in group.carriers() {
        assert_eq!((&reader.by[..], &reader.why[..]), ("lo", ""), "{reader:?}");
        assert_eq!((reader.lane.is_some(), reader.lane_readers), (true, Some(3)), "{reader:?}");
    }
    let bytes = |group: &Group| count(&group.writer, "bytes_sent");
    let before = bytes(&group);
    group.exchange(0, 2_000).await;
    let sent = bytes(&group) - before;
    // Once, with what packets and feedback cost; three times would be above 6 MB.
    let once = 2_000 * 1_024;
    assert!((once..once * 3 / 2).contains(&sent), "{sent} bytes for {once}");
    group.until("still on a lane", |reader| reader.carrier == "lane").await;
}

#[tokio::test]
async fn a_topic_that_never_takes_lanes_sends_to_each_reader() {
    let state = State::new();
    let mut group = Group::open(state.builder("a"), LanePolicy::Never, three(&state)).await;
    let before = count(&group.writer, "bytes_sent");
    group.exchange(0, 500).await;
    let sent = count(&group.writer, "bytes_sent") - before;
    assert!(sent > 3 * 500 * 1_024, "{sent} bytes");
    for reader in group.carriers() {
        assert_eq!((&reader.carrier[..], &reader.why[..]), ("unicast", "policy never"));
        assert!(reader.by.starts_with("127.0.0.1:"), "{reader:?}");
    }
}

#[tokio::test]
async fn a_reader_that_cannot_multicast_gets_its_own_packets_and_the_others_the_lane() {
    let state = State::new();
    let deaf = state.builder("deaf").multicast_off();
    let readers = three(&state).into_iter().chain([deaf]).collect();
    let mut group = Group::open(state.builder("a"), LanePolicy::Always, readers).await;
    let settled = |reader: &ReaderReport| (reader.carrier == "lane") == (reader.name != "deaf");
    group.until("three on a lane", settled).await;
    group.exchange(0, 500).await;
    group.until("three on a lane", settled).await;
    let carriers = group.carriers();
    let deaf = carriers.iter().find(|reader| reader.name == "deaf").unwrap();
    assert!(deaf.carrier == "unicast" && !deaf.why.is_empty(), "{deaf:?}");
}

#[tokio::test]
async fn a_writer_that_cannot_multicast_says_so_and_sends_to_each() {
    let state = State::new();
    let writer = state.builder("a").multicast_off();
    let mut group = Group::open(writer, LanePolicy::Always, three(&state)).await;
    group.exchange(0, 200).await;
    for reader in group.carriers() {
        let told = (&reader.carrier[..], &reader.why[..]);
        assert_eq!(told, ("unicast", "multicast is off"), "{reader:?}");
    }
}

#[tokio::test]
async fn a_lane_with_loss_doubles_and_damage_delivers_everything_once() {
    let state = State::new();
    let faults = |seed: u64| {
        Impairment::parse(&format!("loss=5%,dup=2%,reorder=2%,corrupt=1%,seed={seed}")).unwrap()
    };
    let readers = (1..).zip(three(&state)).map(|(seed, it)| it.impair(faults(seed))).collect();
    let mut group = Group::open(state.builder("a"), LanePolicy::Always, readers).await;
    group.until("all on a lane", |reader| reader.carrier == "lane").await;
    group.exchange(0, 5_000).await;
    let naks: u64 = group.endpoints.iter().map(|each| count(each, "naks_sent")).sum();
    assert!(naks > 0, "nothing was lost: the test tests nothing");
}

#[tokio::test]
async fn readers_come_to_a_lane_and_leave_it_while_messages_flow() {
    let state = State::new();
    let mut group = Group::open(state.builder("a"), LanePolicy::Always, three(&state)).await;
    group.until("all on a lane", |reader| reader.carrier == "lane").await;
    group.exchange(0, 300).await;
    // The last message is history, which the newcomer takes first.
    let newcomer = state.builder("e").open().await.unwrap();
    let mut late = newcomer.subscriber(TOPIC).await.unwrap();
    within("readers", group.publisher.wait_readers(4, LIMIT)).await.unwrap();
    group.until("all on a lane", |reader| reader.carrier == "lane").await;
    drop(group.readers.remove(0));
    let left = group.endpoints.remove(0);
    let _ = left.close(LIMIT).await;
    group.exchange(300, 900).await;
    for n in 299..900 {
        match within("the newcomer", late.next()).await {
            Some(Delivery::Message(message)) => assert_eq!(message.payload(), &body(n)[..]),
            other => panic!("message {n}, not {other:?}"),
        }
    }
    group.until("three on a lane", |reader| reader.carrier == "lane").await;
    assert_eq!(group.carriers().len(), 3);
}

// PE-4
#[tokio::test]
async fn pe_4_a_topic_in_demand_comes_to_a_lane_by_itself_and_goes_back_with_its_readers() {
    let state = State::new();
    let mut group = Group::open(state.builder("a"), LanePolicy::Auto, three(&state)).await;
    assert!(group.carriers().iter().all(|reader| reader.carrier == "unicast"));
    // 1 MB/s, until the decision has held for its seconds.
    let publisher = group.publisher.clone();
    let pace = async move {
        let mut pace = tokio::time::interval(Duration::from_millis(1));
        loop {
            pace.tick().await;
            publisher.publish(body(0)).await.unwrap();
        }
    };
    let flow = tokio::spawn(pace);
    let drains: Vec<_> =
        group.readers.drain(..).map(|reader| tokio::spawn(drain(reader))).collect();
    group.until("all on a lane", |reader| reader.carrier == "lane").await;
    for left in group.endpoints.drain(1..) {
        let _ = left.close(LIMIT).await;
    }
    let alone = |reader: &ReaderReport| {
        (&reader.carrier[..], &reader.why[..]) == ("unicast", "too few readers")
    };
    group.until("alone, by unicast", alone).await;
    assert_eq!(group.carriers().len(), 1);
    flow.abort();
    drains.iter().for_each(tokio::task::JoinHandle::abort);
}

async fn drain(mut reader: Subscriber) {
    let mut batch = Vec::new();
    while reader.next_batch(&mut batch).await != 0 {
        for delivery in batch.drain(..) {
            assert!(matches!(delivery, Delivery::Message(_)), "{delivery:?}");
        }
    }
}
