//! A member of a realm: publishes numbered messages, checks those it reads, says who comes and goes.
//!
//! Says `open`, `up`, `down`, `readers`, `first`, `resumed`, `finished`, `complete`; answers `report`
//! by `report` and one `peer` line each. Takes `report`, `stop` (publishing) and `expect N`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use motet::{
    Delivery, Endpoint, EndpointKey, Event, Liveness, PubQos, Publisher, SlowPolicy, SubQos,
    Subscriber,
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
    /// Size of the publisher's log in bytes.
    #[arg(long, default_value_t = 8 << 20)]
    log_bytes: usize,
    /// Filter to read.
    #[arg(long)]
    subscribe: Option<String>,
    /// Size of the subscription's queue in bytes.
    #[arg(long, default_value_t = 8 << 20)]
    queue_bytes: usize,
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
            tokio::spawn(read(subscriber, expected, started));
        }
        let ms = started.elapsed().as_secs_f64() * 1e3;
        say(&format!("open id={} listen={} ms={ms:.3}", endpoint.id(), endpoint.local_addr()));
        if let Some(topic) = &self.publish {
            let qos =
                PubQos { slow: SlowPolicy::Block, log_bytes: self.log_bytes, ..PubQos::default() };
            let publisher = endpoint.publisher_with(topic, qos).await?;
            tokio::spawn(self.write(publisher.blocking_deadline(FOR_EVER), stopped));
        }
        let mut commands = BufReader::new(tokio::io::stdin()).lines();
        while let Some(command) = commands.next_line().await? {
            match command.split_once(' ').unwrap_or((&command, "")) {
                ("report", _) => report(&endpoint),
                ("stop", _) => drop(stop.send(true)),
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
        publisher: Publisher,
        stopped: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + use<> {
        let Self { count, size, rate, readers, .. } = *self;
        let body = self.body.clone();
        async move {
            if publisher.wait_readers(readers, FOR_EVER).await.is_err() {
                return;
            }
            let begun = Instant::now();
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
                say(&format!("finished messages={seq} seconds={seconds:.6}"));
            }
        }
    }
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
) {
    let mut reading = Reading { expected, ..Reading::new(started) };
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            taken = subscriber.next_batch(&mut batch) => {
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
    let counters = snapshot.counters.iter().map(|each| format!(" {}={}", each.name, each.value));
    let neighbours = snapshot.neighbours.len();
    say(&format!("report neighbours={neighbours}{}", counters.collect::<String>()));
}
