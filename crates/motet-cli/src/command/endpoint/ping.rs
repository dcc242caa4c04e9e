//! `motet endpoint ping NAME`.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::MissedTickBehavior;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::quantity::{duration, shown};

/// What `motet endpoint ping` is told.
#[derive(Args, Debug)]
pub(crate) struct PingArgs {
    /// Its name or id
    endpoint: String,
    /// How often
    #[arg(short, long, visible_short_alias = 'C', default_value_t = 4, value_name = "N")]
    count: u64,
    /// Time between two
    #[arg(long, default_value = "1s", value_name = "DUR", value_parser = duration)]
    interval: Duration,
}

#[derive(Serialize)]
struct Reply<'a> {
    endpoint: &'a str,
    n: u64,
    rtt_seconds: f64,
}

pub(crate) async fn run(args: PingArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.observe().await?;
    let mut ticks = tokio::time::interval(args.interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 1..=args.count {
        ticks.tick().await;
        let rtt = endpoint.ping(&args.endpoint, context.global.timeout).await?.as_secs_f64();
        if context.out.is_text() {
            context.out.line(format!(
                "{}: {n} of {}, {}",
                args.endpoint,
                args.count,
                shown(rtt)
            ))?;
        } else {
            context.out.object(&Reply { endpoint: &args.endpoint, n, rtt_seconds: rtt })?;
        }
    }
    Ok(Exit::Done)
}
