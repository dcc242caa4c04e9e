//! `motet nameserver`.

use std::time::Duration;

use motet::role::NameServer;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;

pub(crate) async fn run(context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.join().await?;
    let server = NameServer::new().start(&endpoint).await.map_err(Failure::usage)?;
    let mut interrupt = Interrupt::listen();
    context.out.line(format!("name server {} is up", endpoint.name()))?;
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    let mut told = String::new();
    loop {
        tokio::select! {
            () = interrupt.caught() => return Ok(Exit::Done),
            _ = ticks.tick() => {
                let Some(report) = server.report().await else { return Ok(Exit::Done) };
                let line = format!("holds {} names, sees {} peers", report.held, report.peers);
                if line != told {
                    context.out.line(&line)?;
                    told = line;
                }
            }
        }
    }
}
