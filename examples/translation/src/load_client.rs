//! `load-client`: calls at a steady rate, and counts what came of each.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use motet::service::{Ask, CallOptions, WaitFor};
use motet_example_translation::{Network, TRANSLATE, question, run};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

/// Calls at a steady rate.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Calls a second
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// Seconds
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Milliseconds for each try
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    try_timeout: u64,
    /// Tries of a call
    #[arg(long, default_value_t = 15)]
    tries: u32,
    #[command(flatten)]
    network: Network,
}

/// Lost calls that are shown one by one.
const SHOWN: u32 = 10;

fn main() -> ExitCode {
    run(load(Flags::parse()))
}

async fn load(flags: Flags) -> Result<ExitCode, Box<dyn Error>> {
    let endpoint = flags.network.open("load-client").await?;
    let per_try = Duration::from_millis(flags.try_timeout);
    let options = CallOptions::new()
        .per_try(per_try)
        .tries(flags.tries)
        .timeout(per_try * flags.tries)
        .wait(WaitFor::Deadline)
        .safe();
    let caller = endpoint.caller(TRANSLATE, options)?;
    let life = endpoint.key().incarnation;
    let calls = flags.rate * flags.seconds;
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / flags.rate.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    writeln!(stdout(), "calling {calls} times")?;
    for n in 0..calls {
        ticks.tick().await;
        let ask = Ask::new(question("hello", "eng", "esp"));
        let replies = caller.start(ask.idempotency_key(format!("{life:x}/{n}")))?;
        let (begun, tell) = (Instant::now(), tell.clone());
        tokio::spawn(async move {
            let answer = replies.last().await;
            // Whoever counts has ended.
            let _ = tell.send((begun.elapsed(), answer));
        });
    }
    drop(tell);
    let (mut answered, mut lost, mut longest) = (0_u32, 0_u32, Duration::ZERO);
    while let Some((took, answer)) = told.recv().await {
        longest = longest.max(took);
        match answer {
            Ok(reply) if reply.body() == b"hola" => answered += 1,
            other => {
                lost += 1;
                if lost <= SHOWN {
                    eprintln!("lost: {other:?}");
                }
            }
        }
    }
    writeln!(stdout(), "answered {answered}, lost {lost}, longest {} ms", longest.as_millis())?;
    let _ = endpoint.close(Duration::from_millis(200)).await;
    Ok(if lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
