//! `word-pub`: publishes random words in three languages.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use motet::{Event, PubQos};
use motet_example_words::{Chance, Language, Network, WORDS, asked_to_end, run};
use tokio::time::interval;

/// Publishes random words in three languages.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Milliseconds between two words
    #[arg(long, default_value_t = 200.0)]
    interval: f64,
    #[command(flatten)]
    network: Network,
}

fn main() -> ExitCode {
    run(publish(Flags::parse()))
}

async fn publish(flags: Flags) -> Result<ExitCode, Box<dyn Error>> {
    let Flags { interval: millis, network } = flags;
    let endpoint = network.open("word-pub").await?;
    let mut events = endpoint.events();
    writeln!(stdout(), "starting publisher {} (realm {})...", endpoint.name(), network.realm)?;
    let qos = PubQos { log_bytes: network.queue, ..PubQos::default() };
    let mut publishers = Vec::new();
    for language in Language::ALL {
        publishers.push(endpoint.publisher_with(&language.topic(), qos.clone()).await?);
    }
    let mut names = BTreeMap::new();
    let mut chance = Chance::new();
    let mut ticks = interval(Duration::from_secs_f64(millis.clamp(0.01, 1e9) / 1e3));
    let mut end = std::pin::pin!(asked_to_end());
    loop {
        tokio::select! {
            () = &mut end => break,
            _ = ticks.tick() => {
                let (word, language) = (chance.below(WORDS.len()), chance.below(3));
                let word = WORDS[word][language];
                publishers[language].publish(word).await?;
                writeln!(stdout(), "{}: {word}", Language::ALL[language].code())?;
            }
            Some(event) = events.next() => {
                if let Some(exit) = network.refused(&event) {
                    return Ok(exit);
                }
                match event {
                    Event::PeerUp { key, name } => drop(names.insert(key.id, name)),
                    Event::ReaderJoined { topic, reader, .. } => {
                        let name = names.get(&reader.id).map_or("?", |name| name);
                        writeln!(stdout(), "added: {name} reads {topic}")?;
                    }
                    Event::ReaderLeft { topic, reader, reason, .. } => {
                        let name = names.get(&reader.id).map_or("?", |name| name);
                        writeln!(stdout(), "removed: {name} no longer reads {topic} ({reason:?})")?;
                    }
                    Event::ReaderLagging { topic, reader, missed } => {
                        let name = names.get(&reader.id).map_or("?", |name| name);
                        writeln!(stdout(), "dropped: {missed} words of {topic} for {name}")?;
                    }
                    _ => {}
                }
            }
        }
    }
    drop(publishers);
    let _ = endpoint.close(Duration::from_secs(1)).await;
    writeln!(stdout(), "done.")?;
    Ok(ExitCode::SUCCESS)
}
