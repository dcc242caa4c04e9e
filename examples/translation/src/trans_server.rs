//! `trans-server`: translates words, for whoever asks.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use motet::service::{Request, Role, ServeOptions};
use motet_example_translation::{Network, TRANSLATE, asked_to_end, pause, run, translate};

/// Translates words between English, French and Spanish.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Seconds before the first request is answered
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    delay: f64,
    /// Seconds that each request takes
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    work: f64,
    /// Requests that are worked on at once
    #[arg(long, default_value_t = 1)]
    concurrency: u32,
    /// Take requests and never answer
    #[arg(long)]
    mute: bool,
    /// Serve brokers only
    #[arg(long)]
    worker: bool,
    /// Append the idempotency key of each request to this file when it is done
    #[arg(long, value_name = "FILE")]
    record: Option<std::path::PathBuf>,
    /// Answer with this before the translation, to see which one answered
    #[arg(long)]
    sign: bool,
    /// The version it says it is
    #[arg(long = "service-version", default_value = "")]
    service_version: String,
    /// Register with the name servers, in this group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Milliseconds for which a registration stands without being renewed
    #[arg(long, value_name = "MS", default_value_t = 6_000, overrides_with = "ttl")]
    ttl: u64,
    #[command(flatten)]
    network: Network,
}

fn main() -> ExitCode {
    run(serve(Flags::parse()))
}

async fn serve(flags: Flags) -> Result<ExitCode, Box<dyn Error>> {
    let endpoint = flags.network.open("trans-server").await?;
    let mut events = endpoint.events();
    let mut options =
        ServeOptions::new().concurrency(flags.concurrency).version(&flags.service_version).safe();
    if flags.worker {
        options = options.role(Role::Worker);
    }
    if let Some(group) = &flags.group {
        options = options.register_in(group).lease(Duration::from_millis(flags.ttl));
    }
    let mut server = endpoint.serve(TRANSLATE, options).await?;
    if let Some(group) = flags.group.clone() {
        // Name servers may start later than we.
        let registering = server.clone();
        tokio::spawn(async move {
            registering.registered().await;
            writeln!(stdout(), "registered in {group}")
        });
    }
    writeln!(stdout(), "serving {TRANSLATE} as {}...", endpoint.name())?;
    let record = match &flags.record {
        Some(path) => Some(Arc::new(OpenOptions::new().create(true).append(true).open(path)?)),
        None => None,
    };
    let sign = flags.sign.then(|| endpoint.name().to_owned());
    let work = Duration::from_secs_f64(flags.work.max(0.0));
    let mut delay = Duration::from_secs_f64(flags.delay.max(0.0));
    let mut end = std::pin::pin!(asked_to_end());
    let mut held = Vec::new();
    loop {
        tokio::select! {
            () = &mut end => break,
            request = server.next() => {
                let Some(request) = request else { break };
                let question = String::from_utf8_lossy(request.body()).replace('\n', " ");
                if record.is_none() {
                    writeln!(stdout(), "request: {question}")?;
                }
                if flags.mute {
                    held.push(request);
                    continue;
                }
                tokio::spawn(answer(request, delay + work, sign.clone(), record.clone()));
                delay = Duration::ZERO;
            }
            Some(event) = events.next() => {
                if let Some(exit) = flags.network.refused(&event) {
                    return Ok(exit);
                }
            }
        }
    }
    writeln!(stdout(), "finishing...")?;
    // What has been accepted is still answered.
    let mut taking = server.clone();
    let rest = tokio::spawn(async move {
        while let Some(request) = taking.next().await {
            answer(request, Duration::ZERO, None, None).await;
        }
    });
    if !flags.mute {
        server.drain(work + Duration::from_secs(2)).await;
    }
    rest.abort();
    drop(held);
    drop(server);
    let _ = endpoint.close(Duration::from_secs(1)).await;
    writeln!(stdout(), "done.")?;
    Ok(ExitCode::SUCCESS)
}

async fn answer(request: Request, work: Duration, sign: Option<String>, record: Option<Arc<File>>) {
    if !work.is_zero() {
        tokio::select! {
            () = pause(work) => {}
            () = request.cancelled() => return,
        }
    }
    let question = String::from_utf8_lossy(request.body()).into_owned();
    if let (Some(record), Some(key)) = (record, request.idempotency_key()) {
        let line = format!("{}\n", String::from_utf8_lossy(key));
        if let Err(error) = (&*record).write_all(line.as_bytes()) {
            eprintln!("not recorded: {error}");
        }
    }
    let done = match translate(&question) {
        Ok(words) => {
            let signed = sign.as_deref().into_iter().chain(words);
            request.reply(signed.collect::<Vec<_>>().join("\n"))
        }
        Err(unknown) => {
            let (code, text) = unknown.in_words();
            request.fail(code, text)
        }
    };
    if let Err(error) = done {
        eprintln!("not answered: {error}");
    }
}
