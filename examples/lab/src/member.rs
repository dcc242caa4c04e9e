//! A member of a realm: publishes numbered messages, checks those it reads, says who comes and goes.
//!
//! Says `open`, `up`, `down`, `readers`, `begun`, `first`, `resumed`, `finished`, `complete`; answers
//! `report` by `report` and one `peer` line each, and one `reader` line for each that it writes to.
//! Takes `report`, `stop` (publishing), `hurry` (reading, from now on as fast as they come) and
//! `expect N`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use motet::{
    Delivery, Endpoint, EndpointKey, Event, LanePolicy, Liveness, PubQos, Publisher, SlowPolicy,
    SubQos, Subscriber,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::watch;

use crate::content::{self, Tally};
use crate::{Outcome, say};

#[derive(Args)]
pub(crate) struct Member {
    /// Name of the endpoint.
    #[arg(long)]
    name: String,
    /// Directory of the realm's secret.
    #[arg(long)]
    state: PathBuf,
    /// Name of the realm.
    #[arg(long, default_value = "lab")]
    realm: String,
    /// `fast`, `normal` or `lazy`.
    #[arg(long, default_value = "normal")]
    liveness: String,
    /// A peer to try by address.
    #[arg(long)]
    peer: Vec<String>,
    /// A file that keeps the key.
    #[arg(long)]
    key: Option<PathBuf>,
    /// Topic to publish on.
    #[arg(long)]
    publish: Option<String>,
    /// Messages to publish; without it, until told to stop.
    #[arg(long)]
    count: Option<u64>,
    /// Bytes of a message.
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// Text to fill messages with instead of pseudo-random bytes.
    #[arg(long)]
    body: Option<String>,
    /// Messages a second; 0 is as fast as they are taken.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Readers to wait for before the first message.
    #[arg(long, default_value_t = 0)]
    readers: usize,
    /// Of those, readers to wait for until a lane brings them the messages.
    #[arg(long, default_value_t = 0)]
    on_lane: usize,
    /// `auto`, `never` or `always`: whether messages may leave by multicast.
    #[arg(long, default_value = "auto")]
    lane: String,
    /// `block` or `drop-oldest`: what a full log does.
    #[arg(long, default_value = "block")]
    slow: String,
    /// Size of the publisher's log in bytes.
    #[arg(long, default_value_t = 8 << 20)]
    log_bytes: usize,
    /// Filter to read.
    #[arg(long)]
    subscribe: Option<String>,
    /// Size of the subscription's queue in bytes.
    #[arg(long, default_value_t = 8 << 20)]
    queue_bytes: usize,
    /// Messages a second that are read; 0 is as fast as they come.
    #[arg(long, default_value_t = 0)]
    read_rate: u64,
    /// Says `complete` after this many messages.
    #[arg(long)]
    expect: Option<u64>,
}

/// Longer than any scenario: waiting that long is a failure that the lab sees first.
const FOR_EVER: Duration = Duration::from_secs(3_600);
/// A pause between two messages from which on `resumed` is said.
const PAUSE: Duration = Duration::from_millis(250);

impl Member {
    pub(crate) fn run(self, started: Instant) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.live(started))
    }

    async fn live(self, started: Instant) -> Outcome {
        let liveness = match self.liveness.as_str() {
            "fast" => Liveness::FAST,
            "lazy" => Liveness::LAZY,
            _ => Liveness::NORMAL,
        };
        let mut builder =
            Endpoint::builder().realm(&*self.realm).name(&*self.name).state_dir(&self.state);
        builder = builder.liveness(liveness);
        for peer in &self.peer {
            builder = builder.peer(peer);
        }
        if let Some(key) = &self.key {
            builder = builder.key_file(key);
        }
        let endpoint = builder.open().await?;
        tokio::spawn(tell_events(endpoint.clone()));
        let (stop, stopped) = watch::channel(false);
        let (expect, expected) = watch::channel(self.expect);
        if let Some(filter) = &self.subscribe {
            let qos = SubQos { queue_bytes: self.queue_bytes, ..SubQos::default() };
            let subscriber = endpoint.subscriber_with(&[filter], qos).await?;
            tokio::spawn(read(subscriber, expected, started, self.read_rate));
        }
        let ms = started.elapsed().as_secs_f64() * 1e3;
        say(&format!("open id={} listen={} ms={ms:.3}", endpoint.id(), endpoint.local_addr()));
        if let Some(topic) = &self.publish {
            let lane = match self.lane.as_str() {
                "never" => LanePolicy::Never,
                "always" => LanePolicy::Always,
                _ => LanePolicy::Auto,
            };
            let slow = match self.slow.as_str() {
                "drop-oldest" => SlowPolicy::DropOldest,
                _ => SlowPolicy::Block,
            };
            let qos = PubQos { slow, lane, log_bytes: self.log_bytes, ..PubQos::default() };
            let publisher = endpoint.publisher_with(topic, qos).await?;
            let publisher = publisher.blocking_deadline(FOR_EVER);
            tokio::spawn(self.write(endpoint.clone(), publisher, stopped));
        }
        let mut commands = BufReader::new(tokio::io::stdin()).lines();
        while let Some(command) = commands.next_line().await? {
            match command.split_once(' ').unwrap_or((&command, "")) {
                ("report", _) => report(&endpoint),
                ("stop", _) => drop(stop.send(true)),
                ("hurry", _) => drop(expect.send(None)),
                ("expect", n) => drop(expect.send(Some(n.parse()?))),
                _ => return Err(format!("unknown command: {command}").into()),
            }
        }
        let left = endpoint.close(Duration::from_secs(5)).await;
        say(&format!("closed unacknowledged={}", left.messages()));
        Ok(())
    }

    fn write(
        &self,
        endpoint: Endpoint,
        publisher: Publisher,
        stopped: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + use<> {
        let Self { count, size, rate, readers, on_lane, .. } = *self;
        let body = self.body.clone();
        async move {
            if publisher.wait_readers(readers, FOR_EVER).await.is_err() {
                return;
            }
            let mut looks = tokio::time::interval(Duration::from_millis(10));
            while readers_on_lane(&endpoint) < on_lane {
                looks.tick().await;
            }
            drop(endpoint);
            say("begun");
            let (begun, cpu) = (Instant::now(), cpu_ms());
            let period = (rate > 0).then(|| Duration::from_secs(1) / rate as u32);
            let mut ticks = period.map(tokio::time::interval);
            let (mut seq, mut message) = (0, Vec::new());
            while count.is_none_or(|count| seq < count) && !*stopped.borrow() {
                if let Some(ticks) = &mut ticks {
                    ticks.tick().await;
                }
                content::fill(&mut message, seq, size, body.as_deref());
                if let Err(error) = publisher.publish(&message).await {
                    say(&format!("failed messages={seq} error={:?}", error.to_string()));
                    return;
                }
                seq += 1;
                if seq % 256 == 0 {
                    // One thread: commands and the endpoint want their turn.
                    tokio::task::yield_now().await;
                }
            }
            if publisher.flushed(FOR_EVER).await.is_ok() {
                let seconds = begun.elapsed().as_secs_f64();
                let cpu = cpu_ms() - cpu;
                say(&format!("finished messages={seq} seconds={seconds:.6} cpu_ms={cpu:.3}"));
                // Its readers are to be seen until the end.
                std::future::pending::<()>().await;
            }
        }
    }
}

fn readers_on_lane(endpoint: &Endpoint) -> usize {
    let readers = endpoint.snapshot().topics.into_iter().flat_map(|topic| topic.readers);
    readers.filter(|reader| reader.carrier == "lane").count()
}

/// CPU time of this thread, which is the process's only busy one, in ms (`schedstat`, in ns).
fn cpu_ms() -> f64 {
    let told = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).map_or(f64::NAN, |ns| ns / 1e6)
}

async fn tell_events(endpoint: Endpoint) {
    let mut events = endpoint.events();
    while let Some(event) = events.next().await {
        match event {
            Event::PeerUp { name, .. } => say(&format!("up name={name}")),
            Event::PeerDown { name, reason, silent, .. } => {
                let silent = silent.as_secs_f64() * 1e3;
                say(&format!("down name={name} reason={reason:?} silent_ms={silent:.1}"));
            }
            Event::NameConflict { name, newcomer, .. } => {
                say(&format!("clash name={name} newcomer={newcomer}"));
            }
            Event::ReaderJoined { readers, .. } => say(&format!("readers n={readers}")),
            _ => {}
        }
    }
}

async fn read(
    mut subscriber: Subscriber,
    expected: watch::Receiver<Option<u64>>,
    started: Instant,
    rate: u64,
) {
    let mut reading = Reading { expected, ..Reading::new(started) };
    let mut batch = Vec::new();
    let mut pace = (rate > 0).then(|| {
        let mut pace = tokio::time::interval(Duration::from_secs(1) / rate as u32);
        // Slow means slow: what was missed is not made good.
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        pace
    });
    loop {
        let taking = async {
            match &mut pace {
                None => subscriber.next_batch(&mut batch).await,
                Some(pace) => {
                    pace.tick().await;
                    batch.extend(subscriber.next().await);
                    batch.len()
                }
            }
        };
        tokio::select! {
            taken = taking => {
                if taken == 0 {
                    return;
                }
                let now = Instant::now();
                batch.drain(..).for_each(|delivery| reading.take(&delivery, now));
            }
            changed = reading.expected.changed() => {
                if changed.is_err() {
                    return;
                }
                pace = None;
            }
        }
        reading.tell_if_complete();
    }
}

struct Reading {
    started: Instant,
    expected: watch::Receiver<Option<u64>>,
    tallies: HashMap<EndpointKey, Tally>,
    missed: u64,
    last: Option<Instant>,
    first: Option<Instant>,
    told: bool,
}

impl Reading {
    fn new(started: Instant) -> Self {
        let (_, expected) = watch::channel(None);
        let tallies = HashMap::new();
        Self { started, expected, tallies, missed: 0, last: None, first: None, told: false }
    }

    fn take(&mut self, delivery: &Delivery, now: Instant) {
        match delivery {
            Delivery::Message(message) => {
                if self.first.is_none() {
                    self.first = Some(now);
                    let ms = now.duration_since(self.started).as_secs_f64() * 1e3;
                    say(&format!("first ms={ms:.3}"));
                }
                self.tallies.entry(message.writer()).or_default().take(message.payload());
            }
            Delivery::Missed { n, .. } => self.missed += n,
            _ => {}
        }
        let silent = self.last.map_or(Duration::ZERO, |last| now.duration_since(last));
        if silent > PAUSE {
            say(&format!("resumed silent_ms={:.1}", silent.as_secs_f64() * 1e3));
        }
        self.last = Some(now);
    }

    /// Complete is when all numbers below the expected one have gone by, one way or another.
    fn tell_if_complete(&mut self) {
        let gone = self.tallies.values().filter_map(|tally| tally.next).max().unwrap_or(0);
        let wanted = *self.expected.borrow_and_update();
        if self.told || wanted.is_none_or(|wanted| gone < wanted) {
            return;
        }
        self.told = true;
        let sum = |what: fn(&Tally) -> u64| self.tallies.values().map(what).sum::<u64>();
        let (messages, lost, repeated, damaged) = (
            sum(|tally| tally.messages),
            sum(|tally| tally.lost),
            sum(|tally| tally.repeated),
            sum(|tally| tally.damaged),
        );
        let seconds = match (self.first, self.last) {
            (Some(first), Some(last)) => last.duration_since(first).as_secs_f64(),
            _ => 0.0,
        };
        let missed = self.missed;
        say(&format!(
            "complete messages={messages} lost={lost} repeated={repeated} damaged={damaged} \
             missed={missed} seconds={seconds:.6}"
        ));
    }
}

fn report(endpoint: &Endpoint) {
    let snapshot = endpoint.snapshot();
    for peer in &snapshot.peers {
        say(&format!(
            "peer name={} address={} state={} datagram={} rtt_ms={:?}",
            peer.name,
            peer.address,
            peer.state,
            peer.mtu,
            peer.rtt_seconds.map(|it| it * 1e3)
        ));
    }
    for reader in snapshot.topics.iter().flat_map(|topic| &topic.readers) {
        say(&format!(
            "reader name={} carrier={} by={} why={}",
            reader.name,
            reader.carrier,
            reader.by,
            reader.why.replace(' ', "_")
        ));
    }
    let counters = snapshot.counters.iter().map(|each| format!(" {}={}", each.name, each.value));
    let neighbours = snapshot.neighbours.len();
    say(&format!("report neighbours={neighbours}{}", counters.collect::<String>()));
}
