//! One endpoint of the demonstration: does what it is told on stdin, tells what happens on stdout,
//! one JSON object a line. It ends when stdin does, so none outlives the demonstration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use motet::{
    Delivery, DownReason, Endpoint, Event, Message, PubQos, Publisher, SlowPolicy, Subscriber,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval};

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What one endpoint of the demonstration is told.
#[derive(Args, Debug)]
pub(crate) struct EndpointArgs {}

/// What it shall do, one JSON object a line.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(crate) enum Order {
    /// Read this filter; tell [`Told::Complete`] after each topic's `count`th message.
    Subscribe { filter: String, count: u64 },
    /// Publish `count` numbered messages of `bytes` bytes, `rate` a second, once there are `readers`.
    Publish { topic: String, count: u64, rate: u64, bytes: usize, readers: usize },
    /// Tell [`Told::Report`].
    Report,
}

/// What it tells, one JSON object a line.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "told", rename_all = "kebab-case")]
pub(crate) enum Told {
    /// It is open.
    Open { id: String, secured: bool },
    /// A session with a peer stands, so long after it was opened.
    Up { name: String, seconds: f64 },
    /// A peer is gone after so much silence.
    Down { name: String, died: bool, silent_seconds: f64 },
    /// A name is used twice.
    Clash { name: String },
    /// A subscription stands.
    Subscribed { filter: String },
    /// Everything was published and acknowledged by every reader.
    Published { topic: String, count: u64, hash: String },
    /// Publishing did not succeed.
    Trouble { topic: String, what: String },
    /// A topic's messages are complete; `seconds` since it was opened.
    Complete { topic: String, hash: String, bytes: usize, seconds: f64 },
    /// What it counted.
    Report(Report),
}

/// What an endpoint of the demonstration counted.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Report {
    pub(crate) found: u64,
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    pub(crate) missed: u64,
    pub(crate) duplicates: u64,
    pub(crate) disorder: u64,
    pub(crate) naks_sent: u64,
    pub(crate) repairs_sent: u64,
    pub(crate) packets: u64,
}

/// Tells; a closed pipe means that nobody listens any more.
#[derive(Clone)]
struct Teller(mpsc::UnboundedSender<Told>);

impl Teller {
    fn tell(&self, told: Told) {
        // The end is told by the end of stdin.
        let _ = self.0.send(told);
    }
}

#[derive(Default)]
struct Tally {
    peers: BTreeSet<String>,
    sent: u64,
    seen: BTreeMap<(Arc<str>, String), Seen>,
    missed: u64,
    duplicates: u64,
    disorder: u64,
    delivered: u64,
}

#[derive(Default)]
struct Seen {
    numbers: BTreeSet<u64>,
    last: Option<u64>,
}

pub(crate) async fn run(_: EndpointArgs, context: &Context) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let endpoint = context.join().await?;
    let mut events = endpoint.events();
    let (sender, mut told) = mpsc::unbounded_channel();
    let teller = Teller(sender);
    let about = endpoint.snapshot().endpoint;
    teller.tell(Told::Open { id: about.id, secured: about.secured });
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    let mut tally = Tally::default();
    let (deliveries, mut delivered) = mpsc::channel::<(Delivery, u64)>(64);
    let (published, mut finished) = mpsc::unbounded_channel();
    // Publications stay until the end, so that late joiners get last values.
    let mut publishers = Vec::new();
    loop {
        tokio::select! {
            line = orders.next_line() => match line {
                Ok(Some(line)) => match serde_json::from_str(&line) {
                    Ok(Order::Subscribe { filter, count }) => {
                        let messages = endpoint.subscriber(&filter).await?;
                        tokio::spawn(forward(messages, count, deliveries.clone()));
                        teller.tell(Told::Subscribed { filter });
                    }
                    Ok(Order::Publish { topic, count, rate, bytes, readers }) => {
                        let publisher = publisher(&endpoint, &topic).await?;
                        publishers.push(publisher.clone());
                        let series = Series { count, rate, bytes, readers };
                        tokio::spawn(publish(publisher, series, teller.clone(), published.clone()));
                    }
                    Ok(Order::Report) => teller.tell(Told::Report(tally.report(&endpoint))),
                    Err(error) => return Err(Failure::usage(format!("no order: {error}"))),
                },
                _ => return Ok(Exit::Done),
            },
            Some(event) = events.next() => match event {
                Event::PeerUp { name, .. } => up(&mut tally, &teller, name.to_string(), begun),
                Event::PeerDown { name, reason, silent, .. } => {
                    tally.peers.remove(&*name);
                    let died = reason == DownReason::Silent;
                    let silent_seconds = silent.as_secs_f64();
                    teller.tell(Told::Down { name: name.to_string(), died, silent_seconds });
                }
                Event::NameConflict { name, .. } => {
                    teller.tell(Told::Clash { name: name.to_string() });
                }
                _ => {}
            },
            Some((delivery, complete)) = delivered.recv() => {
                tally.take(delivery, complete, &teller, begun);
            }
            Some(sent) = finished.recv() => { let sent: u64 = sent; tally.sent += sent; }
            Some(told) = told.recv() => context.out.object(&told)?,
        }
    }
}

fn up(tally: &mut Tally, teller: &Teller, name: String, begun: Instant) {
    if tally.peers.insert(name.clone()) {
        teller.tell(Told::Up { name, seconds: begun.elapsed().as_secs_f64() });
    }
}

async fn forward(mut messages: Subscriber, count: u64, to: mpsc::Sender<(Delivery, u64)>) {
    while let Some(delivery) = messages.next().await {
        if to.send((delivery, count)).await.is_err() {
            return;
        }
    }
}

async fn publisher(endpoint: &Endpoint, topic: &str) -> Result<Publisher, Failure> {
    let qos = PubQos { slow: SlowPolicy::Block, ..PubQos::default() };
    Ok(endpoint.publisher_with(topic, qos).await?)
}

struct Series {
    count: u64,
    rate: u64,
    bytes: usize,
    readers: usize,
}

async fn publish(
    publisher: Publisher,
    series: Series,
    teller: Teller,
    published: mpsc::UnboundedSender<u64>,
) {
    let topic = publisher.topic().to_owned();
    match publish_series(&publisher, &series).await {
        Ok(hash) => {
            let _ = published.send(series.count);
            teller.tell(Told::Published { topic, count: series.count, hash });
        }
        Err(what) => teller.tell(Told::Trouble { topic, what }),
    }
}

async fn publish_series(publisher: &Publisher, series: &Series) -> Result<String, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    publisher.wait_readers(series.readers, PATIENCE).await.map_err(|error| text(&error))?;
    let mut pace = interval(Duration::from_secs_f64(1.0 / series.rate.max(1) as f64));
    let mut body = filling(series.bytes.max(8));
    for number in 0..series.count {
        pace.tick().await;
        body[..8].copy_from_slice(&number.to_be_bytes());
        publisher.publish(&body).await.map_err(|error| text(&error))?;
    }
    publisher.flushed(PATIENCE).await.map_err(|error| text(&error))?;
    Ok(hash(&body))
}

impl Tally {
    fn take(&mut self, delivery: Delivery, complete: u64, teller: &Teller, begun: Instant) {
        match delivery {
            Delivery::Message(message) => {
                self.delivered += 1;
                let numbers = self.note(&message);
                if numbers == complete {
                    teller.tell(Told::Complete {
                        topic: message.topic().to_owned(),
                        hash: hash(message.payload()),
                        bytes: message.payload().len(),
                        seconds: begun.elapsed().as_secs_f64(),
                    });
                }
            }
            Delivery::Missed { n, .. } => self.missed += n,
            _ => {}
        }
    }

    /// Duplicates and disorder, per topic and life of a writer; how many different ones came.
    fn note(&mut self, message: &Message) -> u64 {
        let writer = message.writer();
        let stream = (message.topic_shared(), format!("{} {}", writer.id, writer.incarnation));
        let seen = self.seen.entry(stream).or_default();
        let seq = message.seq();
        self.duplicates += u64::from(!seen.numbers.insert(seq));
        self.disorder += u64::from(seen.last.is_some_and(|last| seq < last));
        seen.last = Some(seq);
        seen.numbers.len() as u64
    }

    fn report(&self, endpoint: &Endpoint) -> Report {
        let counters = endpoint.snapshot().counters;
        let counted = |name: &str| {
            counters.iter().find(|counter| counter.name == name).map_or(0, |counter| counter.value)
        };
        Report {
            found: self.peers.len() as u64,
            sent: self.sent,
            delivered: self.delivered,
            missed: self.missed,
            duplicates: self.duplicates,
            disorder: self.disorder,
            naks_sent: counted("naks_sent"),
            repairs_sent: counted("repairs_sent"),
            packets: counted("datagrams_sent"),
        }
    }
}

/// Bytes that do not repeat within a message.
fn filling(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = move || {
        // Xorshift (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// FNV-1a, 64 bits: tells whether two ends hold the same bytes.
fn hash(bytes: &[u8]) -> String {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// How long a publisher waits for its readers.
const PATIENCE: Duration = Duration::from_secs(8);
