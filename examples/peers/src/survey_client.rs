//! `survey-client`: asks who offers a service, and has each echo a text.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use motet::service::CallOptions;
use motet_example_peers::{Network, run};

/// Asks who offers a service.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// The service
    #[arg(long, default_value = "echo")]
    service: String,
    /// What each has to echo
    #[arg(long, alias = "echoText", default_value = "hello")]
    echo_text: String,
    /// Milliseconds for which answers are collected
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    within: u64,
    #[command(flatten)]
    network: Network,
}

fn main() -> ExitCode {
    run(ask(Flags::parse()))
}

async fn ask(flags: Flags) -> Result<ExitCode, Box<dyn Error>> {
    let endpoint = flags.network.open("survey-client").await?;
    let within = Duration::from_millis(flags.within);
    let caller = endpoint.caller(&flags.service, CallOptions::new().timeout(within))?;
    let survey = caller.survey(flags.echo_text.clone(), within).await?;
    for reply in &survey.replies {
        let text = String::from_utf8_lossy(reply.body());
        writeln!(stdout(), "{} says {text}", reply.from().id)?;
    }
    if survey.replies.is_empty() {
        writeln!(stdout(), "none")?;
    }
    let _ = endpoint.close(Duration::from_millis(200)).await;
    let all = survey.replies.iter().all(|reply| reply.body() == flags.echo_text.as_bytes());
    Ok(if all && !survey.replies.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
