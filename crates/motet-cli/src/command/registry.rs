//! `motet registry`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use motet::role::Registry;

use super::role::stopped;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;

/// What `motet registry` is told.
#[derive(Args, Debug)]
pub(crate) struct RegistryArgs {
    /// File in which it remembers what is registered and what programs require
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// Folder of programs that registrations may name as checks
    #[arg(long, value_name = "DIR")]
    commands: Option<PathBuf>,
}

pub(crate) async fn run(args: RegistryArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.join().await?;
    let mut registry = Registry::new();
    if let Some(file) = args.keep {
        registry = registry.state(file);
    }
    if let Some(folder) = args.commands {
        registry = registry.commands(folder);
    }
    let registry = registry.start(&endpoint).await.map_err(Failure::usage)?;
    let mut interrupt = Interrupt::listen();
    context.out.line(format!("registry {} is up", endpoint.name()))?;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let mut told = BTreeMap::new();
    loop {
        tokio::select! {
            () = interrupt.caught() => return Ok(Exit::Done),
            _ = ticks.tick() => {
                let Some(lines) = registry.list().await else { return Err(stopped("registry")) };
                let Some((news, _)) = registry.news().await else { return Err(stopped("registry")) };
                for line in news {
                    context.out.line(line)?;
                }
                for line in lines {
                    let standing = line.word();
                    let shown = format!("{}: {standing}, {} of {}", line.service, line.takes, line.instances);
                    if told.get(&line.service) != Some(&shown) {
                        context.out.line(&shown)?;
                        told.insert(line.service, shown);
                    }
                }
            }
        }
    }
}
