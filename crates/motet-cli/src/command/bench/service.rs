//! `motet bench service SERVICE`: calls of a service that others offer, with `motet serve --echo`.

use std::collections::VecDeque;
use std::time::Duration;

use clap::Args;
use hdrhistogram::Histogram;
use motet::service::{Ask, CallOptions};
use serde::Serialize;
use tokio::time::Instant;

use super::{Load, Mark};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::output::align;

/// What `motet bench service` is told.
#[derive(Args, Debug)]
pub(crate) struct ServiceArgs {
    /// The service; run `motet serve SERVICE --echo` on the other side, once or more often
    service: String,
    /// Calls that are open at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    open: u32,
    #[command(flatten)]
    load: Load,
}

/// How many calls were answered, and how long each took.
#[derive(Debug, Serialize)]
struct Calls<'a> {
    service: &'a str,
    size: u32,
    open: u32,
    answered: u64,
    failed: u64,
    instances: usize,
    seconds: f64,
    calls_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    cpu_ns_per_call: f64,
}

pub(crate) async fn run(args: ServiceArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.join().await?;
    let options = CallOptions::new().timeout(context.global.timeout);
    let caller = endpoint.caller(&args.service, options)?;
    let payload = args.load.payload();
    endpoint.settled().await;
    caller.call(payload.clone()).await?; // the streams are opened
    let mut took: Histogram<u64> = Histogram::new(3)
        .map_err(|error| Failure::new(Exit::Failed, "M0312", error.to_string()))?;
    let (mut answered, mut failed, mut begun) = (0_u64, 0_u64, 0_u64);
    let mut pace = args.load.pace();
    let mut open = VecDeque::new();
    let mark = Mark::now();
    let mut instances = Vec::new();
    loop {
        while open.len() < args.open as usize && args.load.goes_on(begun, mark.at) {
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            begun += 1;
            open.push_back((Instant::now(), caller.start(Ask::new(payload.clone()))?));
        }
        let Some((at, replies)) = open.pop_front() else { break };
        match replies.last().await {
            Ok(reply) => {
                answered += 1;
                let us = u64::try_from(at.elapsed().as_nanos()).unwrap_or(u64::MAX);
                took.saturating_record(us);
                if !instances.contains(&reply.from()) {
                    instances.push(reply.from());
                }
            }
            Err(error) => {
                failed += 1;
                if failed == 1 {
                    context.out.remark(error.to_string());
                }
            }
        }
    }
    let used = mark.used();
    let at = |quantile: f64| Duration::from_nanos(took.value_at_quantile(quantile)).as_secs_f64();
    let seconds = used.time.as_secs_f64().max(1e-9);
    let calls = Calls {
        service: &args.service,
        size: args.load.size,
        open: args.open,
        answered,
        failed,
        instances: instances.len(),
        seconds,
        calls_per_second: answered as f64 / seconds,
        p50_us: at(0.5) * 1e6,
        p99_us: at(0.99) * 1e6,
        p999_us: at(0.999) * 1e6,
        max_us: took.max() as f64 / 1e3,
        cpu_ns_per_call: used.per_message(answered),
    };
    context.out.document(&calls, |it| {
        align(
            [
                "ANSWERED",
                "FAILED",
                "INSTANCES",
                "OPEN",
                "CALLS/S",
                "P50 US",
                "P99 US",
                "P99.9 US",
                "MAX US",
            ],
            &[[
                it.answered.to_string(),
                it.failed.to_string(),
                it.instances.to_string(),
                it.open.to_string(),
                format!("{:.0}", it.calls_per_second),
                format!("{:.0}", it.p50_us),
                format!("{:.0}", it.p99_us),
                format!("{:.0}", it.p999_us),
                format!("{:.0}", it.max_us),
            ]],
        )
    })?;
    Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
}
