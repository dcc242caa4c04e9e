//! Measuring: how much goes through, and how long it takes, on the user's own network.

mod latency;
#[path = "pub.rs"]
mod publish;
mod service;
mod sub;

use std::time::Duration;

use clap::{Args, Subcommand};
use motet::{Endpoint, Outgoing, PubQos, Publisher, SlowPolicy};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::align;
use crate::quantity::{duration, rate};

/// What can be measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Publish as fast as the readers take it, and tell how fast that was
    Pub(publish::PubArgs),
    /// Read what `motet bench pub` publishes, and tell what came
    Sub(sub::SubArgs),
    /// How long a message and its answer take; the other side runs it with --answer
    Latency(latency::LatencyArgs),
    /// Call a service as often as it answers; the other side runs motet serve SERVICE --echo
    Service(service::ServiceArgs),
}

pub(crate) async fn run(verb: Verb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        Verb::Pub(args) => publish::run(args, context).await,
        Verb::Sub(args) => sub::run(args, context).await,
        Verb::Latency(args) => latency::run(args, context).await,
        Verb::Service(args) => service::run(args, context).await,
    }
}

/// How long, how much, how fast.
#[derive(Args, Debug)]
struct Load {
    /// Bytes of a message
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    size: u32,
    /// End after this many messages
    #[arg(short = 'C', long, value_name = "N", conflicts_with = "seconds")]
    count: Option<u64>,
    /// End after this time
    #[arg(long, value_name = "SECS", default_value = "5s", value_parser = duration)]
    seconds: Duration,
    /// Messages in a second, instead of as many as go
    #[arg(long, value_name = "HZ", value_parser = rate)]
    rate: Option<f64>,
}

impl Load {
    /// Whether there is more to do, `done` messages after `begun`.
    fn goes_on(&self, done: u64, begun: Instant) -> bool {
        match self.count {
            Some(count) => done < count,
            // A look at the clock costs as much as a third of a small message.
            None => !done.is_multiple_of(16) || begun.elapsed() < self.seconds,
        }
    }

    fn pace(&self) -> Option<Interval> {
        let mut pace = interval(Duration::from_secs_f64(1.0 / self.rate?));
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        Some(pace)
    }

    fn payload(&self) -> Vec<u8> {
        vec![0x5a; self.size as usize]
    }
}

/// What went through, on one side.
#[derive(Debug, Serialize)]
struct Throughput<'a> {
    topic: &'a str,
    messages: u64,
    missed: u64,
    bytes: u64,
    seconds: f64,
    messages_per_second: f64,
    megabytes_per_second: f64,
    cpu_ns_per_message: f64,
}

impl<'a> Throughput<'a> {
    fn new(topic: &'a str, (messages, missed, bytes): (u64, u64, u64), used: Used) -> Self {
        let seconds = used.time.as_secs_f64().max(1e-9);
        Self {
            topic,
            messages,
            missed,
            bytes,
            seconds,
            messages_per_second: messages as f64 / seconds,
            megabytes_per_second: bytes as f64 / seconds / 1e6,
            cpu_ns_per_message: used.per_message(messages),
        }
    }

    fn tell(&self, context: &Context) -> Result<(), Failure> {
        context.out.document(self, |it| {
            align(
                ["MESSAGES", "MISSED", "SECONDS", "MESSAGES/S", "MB/S", "CPU NS/MESSAGE"],
                &[[
                    it.messages.to_string(),
                    it.missed.to_string(),
                    format!("{:.2}", it.seconds),
                    format!("{:.0}", it.messages_per_second),
                    format!("{:.1}", it.megabytes_per_second),
                    format!("{:.0}", it.cpu_ns_per_message),
                ]],
            )
        })
    }
}

/// Time, on the clock and on the processor.
#[derive(Clone, Copy, Debug)]
struct Used {
    time: Duration,
    cpu: Duration,
}

impl Used {
    fn per_message(self, messages: u64) -> f64 {
        self.cpu.as_nanos() as f64 / messages.max(1) as f64
    }
}

/// A moment from which on time is measured.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    cpu: Duration,
}

impl Mark {
    fn now() -> Self {
        Self { at: Instant::now(), cpu: cpu_time() }
    }

    fn used(self) -> Used {
        Used { time: self.at.elapsed(), cpu: cpu_time().saturating_sub(self.cpu) }
    }
}

/// CPU time of this process, user and system.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// A publisher that drops nothing and keeps nothing for later, once it has a reader.
async fn publisher(
    endpoint: &Endpoint,
    topic: &str,
    readers: usize,
    context: &Context,
) -> Result<Publisher, Failure> {
    let limit = context.global.timeout;
    let qos = PubQos { slow: SlowPolicy::Block, history: 0, local: false, ..PubQos::default() };
    let publisher = endpoint.publisher_with(topic, qos).await?.blocking_deadline(limit);
    publisher.wait_readers(readers, limit).await.map_err(|_| {
        Failure::timed_out(format!(
            "{topic:?} has {} of {readers} readers after {limit:?}; start the other side first, or \
             give it more --timeout; see: motet endpoint list",
            publisher.readers()
        ))
    })?;
    Ok(publisher)
}

/// Waits until everything is acknowledged.
async fn flush(publisher: &Publisher, context: &Context) -> Result<(), Failure> {
    let limit = context.global.timeout;
    publisher.flushed(limit).await.map_err(|_| {
        Failure::timed_out(format!(
            "{} messages were not acknowledged within {limit:?}; the reader is slow or gone; see: \
             motet topic info {}",
            publisher.unacknowledged(),
            publisher.topic()
        ))
    })
}

/// A message that says where a run begins or ends; it is not counted.
async fn mark(publisher: &Publisher, which: &str) -> Result<(), Failure> {
    publisher.publish_with(&Outgoing::new(b"").header(MARK, which)).await?;
    Ok(())
}

/// What a message marks, if it does.
fn marked(message: &motet::Message) -> Option<&str> {
    // Others have a payload, and are counted without a look at their headers.
    if message.payload().is_empty() { message.header(MARK) } else { None }
}

/// Header of messages that mark a run.
const MARK: &str = "motet-bench";
const BEGIN: &str = "begin";
const END: &str = "end";
/// Where measurements go when no topic is given.
const TOPIC: &str = "bench";
