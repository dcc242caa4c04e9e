//! `motet bench latency [TOPIC]`, and the side that answers.

use std::time::Duration;

use clap::Args;
use hdrhistogram::Histogram;
use motet::{Delivery, Endpoint, History, Publisher, SubQos, Subscriber};
use serde::Serialize;
use tokio::time::Instant;

use super::{BEGIN, END, Load, Mark, TOPIC, mark, marked, publisher};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::align;

/// What `motet bench latency` is told.
#[derive(Args, Debug)]
pub(crate) struct LatencyArgs {
    /// Messages go by TOPIC/ask, answers by TOPIC/answer
    #[arg(default_value = TOPIC)]
    topic: String,
    /// Answer, for as long as nobody interrupts, instead of asking
    #[arg(long, conflicts_with_all = ["size", "count", "seconds", "rate"])]
    answer: bool,
    #[command(flatten)]
    load: Load,
}

/// How long messages and their answers took.
#[derive(Debug, Serialize)]
struct Latency<'a> {
    topic: &'a str,
    size: u32,
    round_trips: u64,
    missed: u64,
    seconds: f64,
    min_us: f64,
    mean_us: f64,
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    cpu_ns_per_message: f64,
}

pub(crate) async fn run(args: LatencyArgs, context: &Context) -> Result<Exit, Failure> {
    let (asked, answered) = (format!("{}/ask", args.topic), format!("{}/answer", args.topic));
    let endpoint = context.join().await?;
    if args.answer {
        let mut from = subscriber(&endpoint, &asked).await?;
        // Whoever asks may come at any time, and again.
        let to = publisher(&endpoint, &answered, 0, context).await?;
        return answer(&to, &mut from).await;
    }
    let mut from = subscriber(&endpoint, &answered).await?;
    let to = publisher(&endpoint, &asked, 1, context).await?;
    ask(&args, &to, &mut from, context).await
}

async fn subscriber(endpoint: &Endpoint, topic: &str) -> Result<Subscriber, Failure> {
    let qos = SubQos { history: History::None, ..SubQos::default() };
    Ok(endpoint.subscriber_with(&[topic], qos).await?)
}

async fn answer(to: &Publisher, from: &mut Subscriber) -> Result<Exit, Failure> {
    while let Some(delivery) = from.next().await {
        if let Delivery::Message(message) = delivery {
            match marked(&message) {
                Some(END) => return Ok(Exit::Done),
                Some(which) => mark(to, which).await?,
                None => {
                    to.publish(message.payload()).await?;
                }
            }
        }
    }
    Ok(Exit::Done)
}

async fn ask(
    args: &LatencyArgs,
    to: &Publisher,
    from: &mut Subscriber,
    context: &Context,
) -> Result<Exit, Failure> {
    meet(to, from, context).await?;
    let load = &args.load;
    // From 1 ns to an hour, three digits.
    let mut times = Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 3)
        .expect("the bounds are in order");
    let (payload, mut pace, mut missed) = (load.payload(), load.pace(), 0);
    let (begun, mut asked) = (Mark::now(), 0_u64);
    while load.count.map_or_else(|| begun.at.elapsed() < load.seconds, |count| asked < count) {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        asked += 1;
        let at = Instant::now();
        to.publish(&payload).await?;
        match tokio::time::timeout(context.global.timeout, next(from)).await {
            Ok(Some(Delivery::Message(_))) => {
                times.saturating_record(u64::try_from(at.elapsed().as_nanos()).unwrap_or(u64::MAX));
            }
            Ok(Some(Delivery::Missed { n, .. })) => missed += n,
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(_) => return Err(unanswered(&args.topic, context.global.timeout)),
        }
    }
    let used = begun.used();
    mark(to, END).await?;
    let us = |ns: u64| ns as f64 / 1e3;
    let at = |part: f64| us(times.value_at_quantile(part));
    let latency = Latency {
        topic: &args.topic,
        size: load.size,
        round_trips: times.len(),
        missed,
        seconds: used.time.as_secs_f64(),
        min_us: us(times.min()),
        mean_us: times.mean() / 1e3,
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p999_us: at(0.999),
        max_us: us(times.max()),
        cpu_ns_per_message: used.per_message(asked),
    };
    context.out.document(&latency, text)?;
    Ok(Exit::Done)
}

/// Asks until the other side answers: its publisher may not know us yet.
async fn meet(to: &Publisher, from: &mut Subscriber, context: &Context) -> Result<(), Failure> {
    let limit = context.global.timeout;
    let meeting = async {
        loop {
            mark(to, BEGIN).await?;
            let answer = tokio::time::timeout(AGAIN, from.next()).await;
            if let Ok(Some(Delivery::Message(_)) | None) = answer {
                // Answers to the other marks, if they were late.
                while tokio::time::timeout(QUIET, from.next()).await.is_ok_and(|it| it.is_some()) {}
                return Ok(());
            }
        }
    };
    let topic = to.topic().trim_end_matches("/ask").to_owned();
    tokio::time::timeout(limit, meeting).await.unwrap_or_else(|_| Err(unanswered(&topic, limit)))
}

/// The next answer that is no mark.
async fn next(from: &mut Subscriber) -> Option<Delivery> {
    loop {
        match from.next().await {
            Some(Delivery::Message(message)) if marked(&message).is_some() => {}
            other => return other,
        }
    }
}

fn unanswered(topic: &str, limit: Duration) -> Failure {
    Failure::timed_out(format!(
        "no answer within {limit:?}; on the other side: motet bench latency {topic} --answer"
    ))
}

fn text(it: &Latency<'_>) -> String {
    let us = |value: f64| format!("{value:.1}");
    align(
        ["ROUND TRIPS", "MIN µS", "P50", "P90", "P99", "P99.9", "MAX", "CPU NS/MESSAGE"],
        &[[
            it.round_trips.to_string(),
            us(it.min_us),
            us(it.p50_us),
            us(it.p90_us),
            us(it.p99_us),
            us(it.p999_us),
            us(it.max_us),
            format!("{:.0}", it.cpu_ns_per_message),
        ]],
    )
}

/// After this time without an answer the first mark is sent once more.
const AGAIN: Duration = Duration::from_millis(100);
/// After this time no answer to a mark is on its way any more.
const QUIET: Duration = Duration::from_millis(20);
