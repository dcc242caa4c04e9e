//! Many endpoints in one process: how many there can be on a machine, and what they cost.
//!
//! Says `open`; answers `report` by how many members the endpoint knows that knows fewest, and the
//! one that knows most.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use motet::Endpoint;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{Outcome, say};

#[derive(Args)]
pub(crate) struct Crowd {
    /// Names of the endpoints begin so.
    #[arg(long)]
    name: String,
    /// Directory of the realm's secret.
    #[arg(long)]
    state: PathBuf,
    /// How many.
    #[arg(long)]
    count: u16,
    /// Their first port; the others follow.
    #[arg(long, default_value_t = 37_321)]
    port: u16,
}

impl Crowd {
    pub(crate) fn run(self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.live())
    }

    async fn live(self) -> Outcome {
        let mut endpoints = Vec::new();
        for n in 0..self.count {
            let listen = SocketAddr::from(([0, 0, 0, 0], self.port + n));
            let builder = Endpoint::builder().realm("lab").name(format!("{}-{n}", self.name));
            let builder = builder.state_dir(&self.state).listen(listen).remember_peers(false);
            endpoints.push(builder.open().await?);
        }
        say(&format!("open endpoints={}", endpoints.len()));
        let mut commands = BufReader::new(tokio::io::stdin()).lines();
        while let Some(command) = commands.next_line().await? {
            if command != "report" {
                return Err(format!("unknown command: {command}").into());
            }
            let here = |endpoint: &Endpoint| {
                let members = endpoint.members();
                members.iter().filter(|it| matches!(&*it.state, "alive" | "quiet")).count()
            };
            let known: Vec<usize> = endpoints.iter().map(here).collect();
            let sessions: usize = endpoints.iter().map(|endpoint| endpoint.peers().len()).sum();
            let (least, most) = (known.iter().min(), known.iter().max());
            say(&format!(
                "report least={} most={} sessions={sessions}",
                least.copied().unwrap_or(0),
                most.copied().unwrap_or(0)
            ));
        }
        for endpoint in endpoints {
            let left = endpoint.close(Duration::from_secs(1)).await;
            if !left.is_empty() {
                return Err("messages that nobody published are missing".into());
            }
        }
        Ok(())
    }
}
