//! What the broker programs share: their flags, and one plain line per event.

use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use motet::role::{Broker, NoWorkers};

use crate::{Network, asked_to_end};

/// What becomes of a request for which no worker is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// It is dropped
    Ignore,
    /// The client is told at once
    Notify,
    /// Another broker gets it
    Forward,
    /// It waits
    Wait,
}

/// What a broker is told.
#[derive(Args, Clone, Debug)]
pub struct BrokerFlags {
    /// What becomes of a request when no worker is there
    #[arg(long, alias = "noWorkers", value_enum, default_value = "notify")]
    pub no_workers: Policy,
    /// Requests of a service that may wait
    #[arg(long, alias = "highWater", default_value_t = 10_000)]
    pub high_water: usize,
    /// Milliseconds between two heartbeats
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    pub heartbeat: u64,
    /// Heartbeats that may be missed
    #[arg(long, default_value_t = 3)]
    pub liveness: u32,
    /// Stand before this service only; may be given several times
    #[arg(long)]
    pub service: Vec<String>,
    /// Where to be
    #[command(flatten)]
    pub network: Network,
}

/// Runs a broker until it is asked to end.
///
/// # Errors
/// What keeps it from starting.
pub async fn broker(program: &str, flags: BrokerFlags) -> Result<ExitCode, Box<dyn Error>> {
    let endpoint = flags.network.open(program).await?;
    let mut events = endpoint.events();
    let mut builder = Broker::new()
        .no_workers(match flags.no_workers {
            Policy::Ignore => NoWorkers::Ignore,
            Policy::Notify => NoWorkers::Notify,
            Policy::Forward => NoWorkers::Forward,
            Policy::Wait => NoWorkers::Wait,
        })
        .high_water(flags.high_water)
        .heartbeat(Duration::from_millis(flags.heartbeat.max(10)), flags.liveness);
    for service in &flags.service {
        builder = builder.service(service);
    }
    let broker = builder.start(&endpoint).await?;
    writeln!(stdout(), "broker {} is up", endpoint.name())?;
    let mut end = std::pin::pin!(asked_to_end());
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let mut told = String::new();
    loop {
        tokio::select! {
            () = &mut end => break,
            _ = ticks.tick() => {
                let Some(report) = broker.report().await else { break };
                let each = report.services.iter().map(|service| {
                    format!("{} {} workers", service.service, service.workers.len())
                });
                let services = each.collect::<Vec<_>>().join(", ");
                let line = format!("sees {} peers, {services}", report.peers.len());
                if line != told {
                    writeln!(stdout(), "{line}")?;
                    told = line;
                }
            }
            Some(event) = events.next() => {
                if let Some(exit) = flags.network.refused(&event) {
                    return Ok(exit);
                }
            }
        }
    }
    broker.drain(Duration::from_secs(5)).await;
    let done = broker.report().await.unwrap_or_default().counters;
    drop(broker);
    let _ = endpoint.close(Duration::from_secs(1)).await;
    writeln!(
        stdout(),
        "done: {} requests, {} answered, {} forwarded, {} requeued",
        done.requests,
        done.answered,
        done.forwarded,
        done.requeued
    )?;
    Ok(ExitCode::SUCCESS)
}
