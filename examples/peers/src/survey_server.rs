//! `survey-server`: an echo that can be found.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use motet::service::ServeOptions;
use motet_example_peers::{Network, asked_to_end, run};

/// Offers a service that echoes.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// The service
    #[arg(long, default_value = "echo")]
    service: String,
    #[command(flatten)]
    network: Network,
}

fn main() -> ExitCode {
    run(serve(Flags::parse()))
}

async fn serve(flags: Flags) -> Result<ExitCode, Box<dyn Error>> {
    let endpoint = flags.network.open("survey-server").await?;
    let mut server = endpoint.serve(&flags.service, ServeOptions::new().safe()).await?;
    writeln!(stdout(), "offering {} at {}", flags.service, endpoint.local_addr())?;
    let mut end = std::pin::pin!(asked_to_end());
    loop {
        tokio::select! {
            () = &mut end => break,
            request = server.next() => {
                let Some(request) = request else { break };
                let text = request.body().to_vec();
                // Nobody waiting for it is fine.
                let _ = request.reply(text);
            }
        }
    }
    drop(server);
    let _ = endpoint.close(Duration::from_secs(1)).await;
    Ok(ExitCode::SUCCESS)
}
