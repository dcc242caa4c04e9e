//! `basics-server EXERCISE`: serves one exercise.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use motet::EndpointId;
use motet::service::{Request, ServeOptions, ServiceStatus};
use motet_example_basics::arith::{State, Step};
use motet_example_basics::{Exercise, Network, asked_to_end, pause, run};

/// Serves one exercise.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Which
    #[arg(value_enum)]
    exercise: Exercise,
    /// Refuse everything of a client that once sent an invalid message
    #[arg(long, alias = "closeBadClients")]
    close_bad_clients: bool,
    /// The version of the service
    #[arg(long, default_value = "1")]
    serves: String,
    /// Milliseconds before an answer, in the exercise timeouts
    #[arg(long, value_name = "MS", default_value_t = 0)]
    sleep: u64,
    /// One request after the other, in the exercise timeouts
    #[arg(long)]
    blocked: bool,
    #[command(flatten)]
    network: Network,
}

fn main() -> ExitCode {
    run(serve(Flags::parse()))
}

/// What is kept of a client.
#[derive(Default)]
struct Client {
    arith: State,
    sum: i64,
    bad: u64,
}

async fn serve(flags: Flags) -> Result<ExitCode, Box<dyn Error>> {
    let endpoint = flags.network.open("basics-server").await?;
    let concurrency = if flags.blocked { 1 } else { 64 };
    let options = ServeOptions::new().version(&flags.serves).concurrency(concurrency);
    let mut server = endpoint.serve(flags.exercise.service(), options).await?;
    writeln!(stdout(), "serving {} version {}", flags.exercise.service(), flags.serves)?;
    let mut clients: HashMap<EndpointId, Client> = HashMap::new();
    let mut end = std::pin::pin!(asked_to_end());
    loop {
        let request = tokio::select! {
            () = &mut end => break,
            request = server.next() => match request {
                Some(request) => request,
                None => break,
            },
        };
        // In memory for as long as the server lives; a client is its identity, not its connection.
        let client = clients.entry(request.origin()).or_default();
        answer(&flags, client, request)?;
    }
    let mut taking = server.clone();
    tokio::spawn(async move {
        while let Some(request) = taking.next().await {
            let version = flags.serves.clone();
            // Nobody waiting for it is fine.
            let _ = request.reply(version);
        }
    });
    server.drain(Duration::from_secs(2)).await;
    let bad: u64 = clients.values().map(|client| client.bad).sum();
    drop(server);
    let _ = endpoint.close(Duration::from_secs(1)).await;
    writeln!(stdout(), "done: {} clients, {bad} invalid messages", clients.len())?;
    Ok(ExitCode::SUCCESS)
}

fn answer(flags: &Flags, client: &mut Client, request: Request) -> Result<(), Box<dyn Error>> {
    if flags.close_bad_clients && client.bad > 0 {
        let _ = request.refuse(ServiceStatus::Refused, "an earlier message was invalid");
        return Ok(());
    }
    let text = std::str::from_utf8(request.body()).map(str::to_owned);
    let Ok(text) = text else {
        client.bad += 1;
        let _ = request.refuse(ServiceStatus::BadRequest, "this is no text");
        return Ok(());
    };
    let gone = match flags.exercise {
        Exercise::Echo => request.reply(text),
        Exercise::Hello if text == "hello" => request.reply("world"),
        Exercise::Hello => request.fail(3, format!("say hello, not {text:?}")),
        Exercise::Arith => match client.arith.take(&text) {
            Step::More => request.reply(""),
            Step::Result(result) => request.reply(result.to_string()),
            Step::Error(error) => request.fail(3, error),
        },
        Exercise::State => match text.parse::<i64>() {
            Ok(number) => {
                client.sum += number;
                request.reply(client.sum.to_string())
            }
            Err(_) => request.fail(3, "a number is wanted; it is added to yours"),
        },
        Exercise::Upgrade => request.reply(flags.serves.clone()),
        Exercise::Timeouts => {
            writeln!(stdout(), "request {text}")?;
            let sleep = Duration::from_millis(flags.sleep);
            tokio::spawn(async move {
                pause(sleep).await;
                let _ = request.reply(format!("{text} RDY"));
            });
            Ok(())
        }
    };
    if let Err(error) = gone {
        eprintln!("not answered: {error}");
    }
    Ok(())
}
