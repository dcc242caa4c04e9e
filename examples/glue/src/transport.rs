//! `transport`: sends to every endpoint it knows, by name and id; each message is acknowledged.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use motet::{Delivery, Event};
use motet_example_glue::{Flags, PERIOD, asked_to_end, payload, received, run, tell};
use tokio::sync::mpsc;
use tokio::time::interval;

/// Sends to every endpoint it knows, and prints what others send to it.
#[derive(Parser)]
#[command(version)]
struct Transport {
    #[command(flatten)]
    flags: Flags,
}

fn main() -> ExitCode {
    run(transport(Transport::parse().flags))
}

async fn transport(flags: Flags) -> Result<ExitCode, Box<dyn Error>> {
    let endpoint = flags.open().await?;
    let mut events = endpoint.events();
    let mut inbox = endpoint.inbox().await?;
    // One task for each endpoint: a slow one does not hold up the others.
    let mut senders: BTreeMap<_, mpsc::Sender<String>> = BTreeMap::new();
    let mut ticks = interval(PERIOD);
    let mut end = std::pin::pin!(asked_to_end());
    loop {
        tokio::select! {
            () = &mut end => break,
            _ = ticks.tick(), if flags.send_messages => {
                for (id, sender) in &senders {
                    if sender.try_send(payload()).is_err() {
                        eprintln!("undelivered: {id} takes no more messages now");
                    }
                }
            }
            Some(delivery) = inbox.next() => match delivery {
                Delivery::Message(message) => received(&message)?,
                Delivery::Missed { n, reason, .. } => eprintln!("missed: {n} messages ({reason:?})"),
                _ => {}
            },
            Some(event) = events.next() => {
                if let Some(exit) = flags.refused(&event) {
                    return Ok(exit);
                }
                tell(&event)?;
                match event {
                    Event::PeerUp { key, .. } => {
                        let (sender, mut waiting) = mpsc::channel::<String>(WAITING);
                        let endpoint = endpoint.clone();
                        tokio::spawn(async move {
                            while let Some(payload) = waiting.recv().await {
                                let to = key.id.to_string();
                                if let Err(error) = endpoint.send(&to, payload, GIVE_UP).await {
                                    eprintln!("undelivered: {error}");
                                }
                            }
                        });
                        senders.insert(key.id, sender);
                    }
                    Event::PeerDown { key, .. } => drop(senders.remove(&key.id)),
                    _ => {}
                }
            }
        }
    }
    let _ = endpoint.close(Duration::from_secs(1)).await;
    Ok(ExitCode::SUCCESS)
}

/// How long one message is tried.
const GIVE_UP: Duration = Duration::from_secs(1);
/// Messages that wait for one endpoint: 5 s.
const WAITING: usize = 25;
