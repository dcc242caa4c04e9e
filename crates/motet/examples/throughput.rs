//! How fast messages go from one process to another on this machine, and what they cost.
//!
//! `cargo run --release -p motet --example throughput -- [SECONDS [SIZE …]]`
//!
//! A writer and a reader, each a process with one thread, on a reliable topic that never drops
//! (policy block). Per message size, in bytes: rate, CPU time per message on either side, packets
//! per system call and bytes per packet. Last, what an idle endpoint costs.
#![expect(clippy::disallowed_methods, reason = "it measures, and watches an idle endpoint")]

use std::error::Error;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use motet::{Delivery, Endpoint, PubQos, Scope, SlowPolicy};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const SIZES: [usize; 4] = [64, 1 << 10, 64 << 10, 1 << 20];
/// Longest wait for the other side.
const LIMIT: Duration = Duration::from_secs(30);
/// Clock ticks per second in /proc (the same on all that Linux runs on today).
const TICKS: f64 = 100.0;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [role, state] = &args[..]
        && role == "reader"
    {
        return read(Path::new(state)).await;
    }
    let seconds = args.first().map_or(Ok(2.0), |seconds| seconds.parse())?;
    let sizes = args.iter().skip(1).map(|size| size.parse()).collect::<Result<Vec<usize>, _>>()?;
    let state = std::env::temp_dir().join(format!("motet-throughput-{}", std::process::id()));
    let sizes = if sizes.is_empty() { SIZES.to_vec() } else { sizes };
    let result = write(&state, Duration::from_secs_f64(seconds), &sizes).await;
    std::fs::remove_dir_all(&state)?;
    result
}

/// The reader: one line per report that it is asked for, by the end of a topic.
struct Reader {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Reader {
    fn start(state: &Path) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("reader").arg(state).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn()?;
        let out = process.stdout.take().ok_or("no pipe")?;
        Ok(Self { _process: process, lines: BufReader::new(out).lines() })
    }

    async fn report(&mut self) -> Outcome<Usage> {
        let line = tokio::time::timeout(LIMIT, self.lines.next_line()).await??;
        Usage::parse(&line.ok_or("the reader has ended")?)
    }
}

async fn write(state: &Path, time: Duration, sizes: &[usize]) -> Outcome {
    let endpoint = open("writer", state).await?;
    let mut reader = Reader::start(state)?;
    println!(
        "     bytes   messages/s     MB/s  CPU ns/message  packets/call  bytes/packet  repairs\n\
         {:32}writer  reader     out    in",
        ""
    );
    for size in sizes {
        let qos = PubQos { slow: SlowPolicy::Block, local: false, ..PubQos::default() };
        let publisher = endpoint.publisher_with(&format!("throughput/{size}"), qos).await?;
        publisher.wait_readers(1, LIMIT).await?;
        let payload = vec![0x5a; *size];
        let warm = Instant::now();
        while warm.elapsed() < time / 4 {
            publisher.publish(&payload).await?;
        }
        publisher.flushed(LIMIT).await?;
        publisher.publish(START).await?;
        publisher.flushed(LIMIT).await?;
        let (before, begun) = (Usage::now(&endpoint)?, Instant::now());
        let mut sent = 0_u64;
        while !sent.is_multiple_of(16) || begun.elapsed() < time {
            publisher.publish(&payload).await?;
            sent += 1;
        }
        publisher.flushed(LIMIT).await?;
        let (took, used) = (begun.elapsed().as_secs_f64(), Usage::now(&endpoint)?.since(before));
        publisher.publish(END).await?;
        let read = reader.report().await?;
        if read.messages != sent {
            return Err(format!("{} of {sent} messages came", read.messages).into());
        }
        let messages = sent as f64;
        println!(
            "{size:10} {:12.0} {:8.1} {:8.0} {:7.0} {:7.1} {:5.1} {:13.0} {:8}",
            messages / took,
            messages * *size as f64 / took / 1e6,
            used.cpu_ns / messages,
            read.cpu_ns / messages,
            used.sent / used.sends.max(1.0),
            read.received / read.receives.max(1.0),
            used.bytes / used.sent.max(1.0),
            used.repairs,
        );
    }
    // Nothing happens but beacons and pings.
    let before = Usage::now(&endpoint)?;
    let idle = Duration::from_secs(5);
    tokio::time::sleep(idle).await;
    let used = Usage::now(&endpoint)?.since(before);
    println!("idle: {:.2} ms of CPU per second", used.cpu_ns / 1e6 / idle.as_secs_f64());
    Ok(())
}

async fn read(state: &Path) -> Outcome {
    let endpoint = open("reader", state).await?;
    let mut subscriber = endpoint.subscriber("throughput/*").await?;
    let mut batch = Vec::new();
    let (mut before, mut messages) = (Usage::now(&endpoint)?, 0);
    loop {
        if subscriber.next_batch(&mut batch).await == 0 {
            return Ok(());
        }
        for delivery in batch.drain(..) {
            let Delivery::Message(message) = delivery else {
                return Err(format!("{delivery:?}").into());
            };
            match message.payload() {
                START => (before, messages) = (Usage::now(&endpoint)?, 0),
                END => {
                    let used = Usage { messages, ..Usage::now(&endpoint)?.since(before) };
                    println!("{used}");
                }
                _ => messages += 1,
            }
        }
    }
}

async fn open(name: &str, state: &Path) -> Outcome<Endpoint> {
    Ok(Endpoint::builder().name(name).state_dir(state).scope(Scope::Host).open().await?)
}

const START: &[u8] = b"start";
const END: &[u8] = b"end";

/// What a process has used and counted so far.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    messages: u64,
    cpu_ns: f64,
    sends: f64,
    sent: f64,
    bytes: f64,
    receives: f64,
    received: f64,
    repairs: f64,
}

impl Usage {
    fn now(endpoint: &Endpoint) -> Outcome<Self> {
        let counters = endpoint.snapshot().counters;
        let count = |name: &str| {
            let counter = counters.iter().find(|counter| counter.name == name);
            counter.map_or(0.0, |counter| counter.value as f64)
        };
        Ok(Self {
            messages: 0,
            cpu_ns: cpu_ns()?,
            sends: count("send_calls"),
            sent: count("datagrams_sent"),
            bytes: count("bytes_sent"),
            receives: count("receive_calls"),
            received: count("datagrams_received"),
            repairs: count("repairs_sent"),
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            messages: self.messages,
            cpu_ns: self.cpu_ns - before.cpu_ns,
            sends: self.sends - before.sends,
            sent: self.sent - before.sent,
            bytes: self.bytes - before.bytes,
            receives: self.receives - before.receives,
            received: self.received - before.received,
            repairs: self.repairs - before.repairs,
        }
    }

    fn parse(line: &str) -> Outcome<Self> {
        let fields = line.split(' ').map(str::parse).collect::<Result<Vec<f64>, _>>()?;
        let [messages, cpu_ns, receives, received] = fields[..] else { return Err(line.into()) };
        Ok(Self { messages: messages as u64, cpu_ns, receives, received, ..Self::default() })
    }
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { messages, cpu_ns, receives, received, .. } = self;
        write!(f, "{messages} {cpu_ns} {receives} {received}")
    }
}

/// CPU time of this process, user and system: fields 14 and 15 of proc_pid_stat(5).
fn cpu_ns() -> Outcome<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no /proc")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS * 1e9)
}
