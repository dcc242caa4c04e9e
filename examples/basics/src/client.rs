//! `basics-client EXERCISE`: calls one exercise with the lines of its standard input, or by flags.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use motet::service::{Ask, CallOptions, Caller};
use motet_example_basics::{Exercise, Network, pause, run};
use tokio::time::Instant;

/// What a client does when no answer comes in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Give up
    Abort,
    /// Send again, counted
    Retry,
    /// Send again as if it were the first time
    Resend,
    /// Send again, and wait twice as long each time
    Backoff,
}

/// Calls one exercise.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Which
    #[arg(value_enum)]
    exercise: Exercise,
    /// Calculations to make, in the exercise arith
    #[arg(long, alias = "calcCount", default_value_t = 0)]
    calc_count: u32,
    /// Calls to make, in the exercises upgrade and timeouts; at most 10 in timeouts
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// Send bytes that are no text
    #[arg(long)]
    invalid: bool,
    /// What to do when no answer comes in time
    #[arg(long, value_enum, default_value = "abort")]
    mode: Mode,
    /// Milliseconds for one attempt
    #[arg(long, value_name = "MS", default_value_t = 2_500)]
    attempt: u64,
    /// Attempts
    #[arg(long, default_value_t = 5)]
    attempts: u32,
    #[command(flatten)]
    network: Network,
}

fn main() -> ExitCode {
    run(call(Flags::parse()))
}

async fn call(flags: Flags) -> Result<ExitCode, Box<dyn Error>> {
    let endpoint = flags.network.open("basics-client").await?;
    let options = CallOptions::new().timeout(Duration::from_secs(10));
    let caller = endpoint.caller(flags.exercise.service(), options)?;
    let mut exit = ExitCode::SUCCESS;
    match flags.exercise {
        Exercise::Timeouts => return timeouts(&flags, &endpoint).await,
        Exercise::Upgrade => {
            let mut seen = String::new();
            for _ in 0..flags.count {
                let version = text(&caller, "version").await?;
                if version != seen {
                    writeln!(stdout(), "version {version}")?;
                    seen = version;
                }
                pause(Duration::from_millis(2)).await;
            }
        }
        Exercise::Arith if flags.calc_count > 0 => {
            for n in 0..flags.calc_count {
                let (first, second) = (n * 613 % 65_536, n * 419 % 65_535 + 1);
                let (oper, result) = match n % 4 {
                    0 => ("+", i64::from(first) + i64::from(second)),
                    1 => ("-", i64::from(first) - i64::from(second)),
                    2 => ("*", i64::from(first) * i64::from(second)),
                    _ => ("/", i64::from(first) / i64::from(second)),
                };
                for input in [&first.to_string(), oper] {
                    text(&caller, input).await?;
                }
                let said = text(&caller, &second.to_string()).await?;
                if said != result.to_string() {
                    eprintln!("{first} {oper} {second} is {result}, not {said}");
                    exit = ExitCode::FAILURE;
                }
            }
            writeln!(stdout(), "{} calculations", flags.calc_count)?;
        }
        _ => exit = lines(&flags, &caller).await?,
    }
    let _ = endpoint.close(Duration::from_millis(200)).await;
    Ok(exit)
}

async fn text(caller: &Caller, body: &str) -> Result<String, Box<dyn Error>> {
    let reply = caller.call(body.to_owned()).await?;
    Ok(String::from_utf8_lossy(reply.body()).into_owned())
}

/// Sends each line of the input, until `quit`.
async fn lines(flags: &Flags, caller: &Caller) -> Result<ExitCode, Box<dyn Error>> {
    let (mut sent, mut bytes) = (0_u32, 0_usize);
    let begun = Instant::now();
    let mut exit = ExitCode::SUCCESS;
    if flags.invalid {
        match caller.call(vec![0xff, 0xfe]).await {
            Ok(_) => writeln!(stdout(), "taken")?,
            Err(error) => writeln!(stdout(), "{error}")?,
        }
    }
    write!(stdout(), "echocli: ")?;
    stdout().flush()?;
    for line in stdin().lock().lines() {
        let line = line?;
        if line == "quit" {
            break;
        }
        (sent, bytes) = (sent + 1, bytes + line.len());
        match caller.call(line).await {
            Ok(reply) => writeln!(stdout(), "{}", String::from_utf8_lossy(reply.body()))?,
            Err(error) => {
                writeln!(stdout(), "{error}")?;
                exit = ExitCode::FAILURE;
            }
        }
        write!(stdout(), "echocli: ")?;
        stdout().flush()?;
    }
    writeln!(stdout())?;
    writeln!(stdout(), "{sent} lines, {bytes} bytes in {:.1} s", begun.elapsed().as_secs_f64())?;
    Ok(exit)
}

/// Requests 1 to `count`; with each reply its id and the number of the retry that it answers.
async fn timeouts(flags: &Flags, endpoint: &motet::Endpoint) -> Result<ExitCode, Box<dyn Error>> {
    let service = flags.exercise.service();
    for id in 1..=flags.count.min(10) {
        // Each attempt is a call of its own: all of them may be answered.
        let mut attempt = Duration::from_millis(flags.attempt);
        let mut open = Vec::new();
        let mut replies = Vec::new();
        let (answered, mut heard) = tokio::sync::mpsc::unbounded_channel();
        for retry in 0..flags.attempts {
            let counted = if flags.mode == Mode::Resend { 0 } else { retry };
            let options = CallOptions::new().timeout(Duration::from_secs(30)).tries(1);
            let caller = endpoint.caller(service, options)?;
            let answered = answered.clone();
            open.push(tokio::spawn(async move {
                let reply = caller.call(Ask::new(format!("{id} {counted}"))).await;
                let _ =
                    answered.send(reply.map(|it| String::from_utf8_lossy(it.body()).into_owned()));
            }));
            match tokio::time::timeout(attempt, heard.recv()).await {
                Ok(Some(reply)) => {
                    replies.push(reply?);
                    break;
                }
                Ok(None) => break,
                Err(_) if flags.mode == Mode::Abort => {
                    open.iter().for_each(tokio::task::JoinHandle::abort);
                    writeln!(stdout(), "{id}: gave up, {} replies", replies.len())?;
                    return Ok(ExitCode::FAILURE);
                }
                Err(_) if flags.mode == Mode::Backoff => attempt *= 2,
                Err(_) => {}
            }
        }
        if flags.mode == Mode::Resend {
            // Every attempt is answered, in turn.
            while replies.len() < open.len() {
                let Some(reply) = heard.recv().await else { break };
                replies.push(reply?);
            }
        }
        open.iter().for_each(tokio::task::JoinHandle::abort);
        writeln!(
            stdout(),
            "{id}: {} replies of {} attempts: {}",
            replies.len(),
            open.len(),
            replies.join(", ")
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
