//! `disco-client SERVICE`: asks whether a service exists, with a broker or without.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use motet::role::ask_broker;
use motet_example_translation::{Network, TRANSLATE, gave_up, run};

/// Asks whether a service exists: prints yes or no.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// The service
    #[arg(default_value = TRANSLATE)]
    service: String,
    /// Another question for the broker
    #[arg(long)]
    question: Option<String>,
    #[command(flatten)]
    network: Network,
}

fn main() -> ExitCode {
    run(ask(Flags::parse()))
}

async fn ask(flags: Flags) -> Result<ExitCode, Box<dyn Error>> {
    let endpoint = flags.network.open("disco-client").await?;
    endpoint.settled().await;
    let limit = Duration::from_secs(3);
    let question = flags.question.unwrap_or_else(|| format!("service {}", flags.service));
    let exit = match ask_broker(&endpoint, &question, limit).await.as_deref() {
        Ok("200") => {
            writeln!(stdout(), "yes")?;
            ExitCode::SUCCESS
        }
        Ok("404") => {
            writeln!(stdout(), "no")?;
            ExitCode::from(1)
        }
        Ok(other) => {
            writeln!(stdout(), "{}", other.trim_end())?;
            ExitCode::SUCCESS
        }
        Err(error) => gave_up(error),
    };
    let _ = endpoint.close(Duration::from_millis(200)).await;
    Ok(exit)
}
