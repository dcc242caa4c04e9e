//! `name-client NAME`: asks the name servers who has a name, then calls each directly.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use motet::role::{Holder, Names};
use motet::service::{Ask, CallOptions};
use motet_example_translation::{Network, TRANSLATE, asked_to_end, pause, question, run};

/// Asks who has a name.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// The name
    #[arg(value_name = "NAME", default_value = TRANSLATE)]
    wanted: String,
    /// The environment: dev, test, prod
    #[arg(long, default_value = "dev")]
    group: String,
    /// Go on, and tell every change
    #[arg(long)]
    watch: bool,
    /// Ask each for the translation of this English word into French
    #[arg(long, value_name = "WORD")]
    call: Option<String>,
    #[command(flatten)]
    network: Network,
}

fn main() -> ExitCode {
    run(ask(Flags::parse()))
}

fn tell(holder: &Holder) -> std::io::Result<()> {
    let there = if holder.there { "there" } else { "gone" };
    writeln!(stdout(), "{there}: {} at {} {}", holder.name, holder.instance, holder.address)
}

async fn ask(flags: Flags) -> Result<ExitCode, Box<dyn Error>> {
    let endpoint = flags.network.open("name-client").await?;
    let names = Names::new(&endpoint, &flags.group)?;
    if flags.watch {
        let mut end = std::pin::pin!(asked_to_end());
        loop {
            let mut watch = names.watch(Some(&flags.wanted))?;
            writeln!(stdout(), "watching {}", flags.wanted)?;
            loop {
                tokio::select! {
                    () = &mut end => return Ok(ExitCode::SUCCESS),
                    change = watch.next() => match change {
                        Some(Ok(holders)) => holders.iter().try_for_each(tell)?,
                        Some(Err(error)) => {
                            eprintln!("asking another name server: {error}");
                            pause(Duration::from_millis(200)).await;
                            break;
                        }
                        None => break,
                    }
                }
            }
        }
    }
    let holders = match names.find(Some(&flags.wanted)).await {
        Ok(holders) => holders,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(ExitCode::from(3));
        }
    };
    for holder in &holders {
        tell(holder)?;
        let Some(word) = &flags.call else { continue };
        let caller = endpoint.caller(&flags.wanted, CallOptions::new().to(holder.instance))?;
        let reply = caller.call(Ask::new(question(word, "eng", "fra"))).await?;
        let words = String::from_utf8_lossy(reply.body()).replace('\n', " ");
        writeln!(stdout(), "{}: {words}", reply.from().id)?;
    }
    let _ = endpoint.close(Duration::from_millis(200)).await;
    if holders.is_empty() {
        eprintln!("nobody has the name {:?} in {}", flags.wanted, flags.group);
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
