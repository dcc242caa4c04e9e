//! `pool-client WORD FROM TO`: asks the servers of a pool one after the other, until one answers.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use motet::service::CallOptions;
use motet_example_translation::{Network, TRANSLATE, gave_up, question, run};
use tokio::time::Instant;

/// Asks the servers of a pool in order.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// The word
    word: String,
    /// Its language: eng, fra or esp
    from: String,
    /// The language wanted
    to: String,
    /// Milliseconds for each server
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    per_server: u64,
    /// Ask so many times
    #[arg(long, default_value_t = 1)]
    repeat: u32,
    /// Wait until so many servers are known
    #[arg(long, default_value_t = 0)]
    pool: usize,
    #[command(flatten)]
    network: Network,
}

fn main() -> ExitCode {
    run(ask(Flags::parse()))
}

async fn ask(flags: Flags) -> Result<ExitCode, Box<dyn Error>> {
    let endpoint = flags.network.open("pool-client").await?;
    let per_server = Duration::from_millis(flags.per_server);
    let mut watch = endpoint.service(TRANSLATE)?;
    while watch.instances().len() < flags.pool {
        watch.next().await;
    }
    let servers = u32::try_from(watch.instances().len()).unwrap_or(u32::MAX).max(3);
    writeln!(stdout(), "a pool of {} servers", watch.instances().len())?;
    let options = CallOptions::new().ordered(per_server).timeout(per_server * servers * 2).safe();
    let caller = endpoint.caller(TRANSLATE, options)?;
    let mut exit = ExitCode::SUCCESS;
    for _ in 0..flags.repeat {
        let begun = Instant::now();
        let answer = caller.call(question(&flags.word, &flags.from, &flags.to)).await;
        let took = begun.elapsed().as_millis();
        match answer {
            Ok(reply) => {
                let words = String::from_utf8_lossy(reply.body()).replace('\n', " ");
                writeln!(stdout(), "{words} ({took} ms)")?;
            }
            Err(error) => {
                writeln!(stdout(), "none ({took} ms)")?;
                exit = gave_up(&error);
            }
        }
    }
    let _ = endpoint.close(Duration::from_millis(200)).await;
    Ok(exit)
}
