//! `name-server`: keeps who has which name, in sync with all other name servers.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use motet::role::NameServer;
use motet_example_translation::{Network, asked_to_end, run};

/// Keeps names; start as many as you like.
#[derive(Parser)]
#[command(version)]
struct Flags {
    #[command(flatten)]
    network: Network,
}

fn main() -> ExitCode {
    run(serve(Flags::parse()))
}

async fn serve(flags: Flags) -> Result<ExitCode, Box<dyn Error>> {
    let endpoint = flags.network.open("name-server").await?;
    let mut events = endpoint.events();
    let server = NameServer::new().start(&endpoint).await?;
    writeln!(stdout(), "name server {} is up", endpoint.name())?;
    let mut end = std::pin::pin!(asked_to_end());
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let mut told = String::new();
    loop {
        tokio::select! {
            () = &mut end => break,
            _ = ticks.tick() => {
                let Some(report) = server.report().await else { break };
                let line = format!("holds {} names, sees {} peers", report.held, report.peers);
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
    drop(server);
    let _ = endpoint.close(Duration::from_secs(1)).await;
    writeln!(stdout(), "done.")?;
    Ok(ExitCode::SUCCESS)
}
