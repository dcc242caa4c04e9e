//! `motet broker [SERVICE…]`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use motet::role::{Broker, NoWorkers, Report};

use super::role::follow;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::quantity::duration;

/// What `motet broker` is told.
#[derive(Args, Debug)]
pub(crate) struct BrokerArgs {
    /// Services to stand before; none: all
    services: Vec<String>,
    /// What becomes of a request when no worker is there
    #[arg(long, value_enum, default_value = "notify")]
    no_workers: Policy,
    /// Requests of a service that may wait; above that they are refused as overload
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    high_water: usize,
    /// Time between two heartbeats to a worker
    #[arg(long, default_value = "1s", value_name = "DUR", value_parser = duration)]
    heartbeat: Duration,
    /// Heartbeats that a worker may miss
    #[arg(long, default_value_t = 3, value_name = "N")]
    missed: u32,
    /// How long it ends what it has, when it is interrupted
    #[arg(long, default_value = "10s", value_name = "DUR", value_parser = duration)]
    drain: Duration,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Policy {
    /// Drop it: the caller's time runs out
    Ignore,
    /// Tell the caller at once
    Notify,
    /// Pass it to another broker
    Forward,
    /// Keep it until its deadline
    Wait,
}

pub(crate) async fn run(args: BrokerArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.join().await?;
    let mut broker = Broker::new()
        .no_workers(match args.no_workers {
            Policy::Ignore => NoWorkers::Ignore,
            Policy::Notify => NoWorkers::Notify,
            Policy::Forward => NoWorkers::Forward,
            Policy::Wait => NoWorkers::Wait,
        })
        .high_water(args.high_water)
        .heartbeat(args.heartbeat.max(Duration::from_millis(10)), args.missed);
    for service in args.services {
        broker = broker.service(service);
    }
    let broker = broker.start(&endpoint).await.map_err(Failure::usage)?;
    let mut interrupt = Interrupt::listen();
    context.out.line(format!("broker {} is up", endpoint.name()))?;
    let standing = async || broker.report().await.map(|report| shown(&report));
    tokio::select! {
        () = interrupt.caught() => {}
        failure = follow("broker", standing, |line| context.out.line(line)) => return Err(failure),
    }
    broker.drain(args.drain).await;
    let done = broker.report().await.unwrap_or_default().counters;
    context.out.line(format!(
        "done: {} requests, {} answered, {} passed on, {} given again",
        done.requests, done.answered, done.forwarded, done.requeued
    ))?;
    Ok(Exit::Done)
}

/// Who is there, on one line.
fn shown(report: &Report) -> String {
    let each = report
        .services
        .iter()
        .map(|service| format!("{} {} workers", service.service, service.workers.len()));
    let services = each.collect::<Vec<_>>().join(", ");
    format!("sees {} peers, {services}", report.peers.len())
}
