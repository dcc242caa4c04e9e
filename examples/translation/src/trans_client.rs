//! `trans-client WORD FROM TO`: asks for a translation. It does not know whether a server answers, or
//! a broker.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use motet::service::{Ask, CallOptions, WaitFor};
use motet_example_translation::{Network, TRANSLATE, gave_up, pause, question, run};

/// Asks for the translation of a word.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// The word; of several, with commas between, the next one each time
    word: String,
    /// Its language: eng, fra or esp
    from: String,
    /// The language wanted
    to: String,
    /// Milliseconds for each try
    #[arg(long, value_name = "MS", default_value_t = 2_500)]
    try_timeout: u64,
    /// Tries before it gives up
    #[arg(long, default_value_t = 3)]
    tries: u32,
    /// Ask so many times, one after the other
    #[arg(long, default_value_t = 1)]
    repeat: u32,
    /// Milliseconds between two of them
    #[arg(long, value_name = "MS", default_value_t = 0)]
    interval: u64,
    /// Have so many open at once
    #[arg(long, default_value_t = 1)]
    parallel: u32,
    /// Wait for a server as long as the tries last, instead of until it is known that none is there
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    network: Network,
}

fn main() -> ExitCode {
    run(ask(Flags::parse()))
}

async fn ask(flags: Flags) -> Result<ExitCode, Box<dyn Error>> {
    let endpoint = flags.network.open("trans-client").await?;
    let per_try = Duration::from_millis(flags.try_timeout);
    let mut options = CallOptions::new()
        .tries(flags.tries)
        .per_try(per_try)
        .timeout(per_try * flags.tries)
        .safe();
    if flags.wait {
        options = options.wait(WaitFor::Deadline);
    }
    let caller = endpoint.caller(TRANSLATE, options)?;
    let mut exit = ExitCode::SUCCESS;
    for n in 0..flags.repeat {
        let words: Vec<&str> = flags.word.split(',').collect();
        let word = words[n as usize % words.len()];
        let body = question(word, &flags.from, &flags.to);
        let mut open = Vec::new();
        for each in 0..flags.parallel {
            let key = format!("{:x}/{n}/{each}", endpoint.key().incarnation);
            open.push(caller.start(Ask::new(body.clone()).idempotency_key(key))?);
        }
        for replies in open {
            match replies.last().await {
                Ok(reply) => {
                    writeln!(stdout(), "{}", String::from_utf8_lossy(reply.body()))?;
                }
                Err(error) => exit = gave_up(&error),
            }
        }
        pause(Duration::from_millis(flags.interval)).await;
    }
    let _ = endpoint.close(Duration::from_millis(200)).await;
    Ok(exit)
}
