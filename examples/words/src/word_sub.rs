//! `word-sub`: prints words of the languages it is told.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use motet::{Delivery, Event, SubQos, WriterState};
use motet_example_words::{Language, Network, asked_to_end, run};

/// Prints words of the languages it is told, then ends.
#[derive(Parser)]
#[command(version)]
struct Flags {
    /// Language to read; may be given several times
    #[arg(long, value_enum, default_value = "eng")]
    lang: Vec<Language>,
    /// Words to read before it ends
    #[arg(long, alias = "wordCount", default_value_t = 50)]
    wordcount: u64,
    /// Words that are older than this many milliseconds behind end it: it cannot keep up
    #[arg(long, value_name = "MS")]
    abort_after: Option<u64>,
    #[command(flatten)]
    network: Network,
}

fn main() -> ExitCode {
    run(subscribe(Flags::parse()))
}

async fn subscribe(flags: Flags) -> Result<ExitCode, Box<dyn Error>> {
    let Flags { mut lang, wordcount, abort_after, network } = flags;
    let endpoint = network.open("word-sub").await?;
    let mut events = endpoint.events();
    lang.sort();
    lang.dedup();
    let topics: Vec<String> = lang.iter().map(|language| language.topic()).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let codes: Vec<&str> = lang.iter().map(|language| language.code()).collect();
    let qos = SubQos {
        queue_bytes: network.queue,
        abort_after: abort_after.map(Duration::from_millis),
        ..SubQos::default()
    };
    let mut words = endpoint.subscriber_with(&topics, qos).await?;
    writeln!(stdout(), "subscribing to {wordcount} '{}' words...", codes.join("|"))?;
    let mut end = std::pin::pin!(asked_to_end());
    let mut read = 0;
    while read < wordcount {
        tokio::select! {
            () = &mut end => break,
            delivery = words.next() => match delivery {
                Some(Delivery::Message(message)) => {
                    read += 1;
                    let code = message.topic().rsplit('/').next().unwrap_or_default();
                    writeln!(stdout(), "{code}: {}", String::from_utf8_lossy(message.payload()))?;
                }
                Some(Delivery::Missed { topic, n, reason, .. }) => {
                    eprintln!("missed: {n} words of {topic} ({reason:?})");
                }
                Some(_) => {}
                None => break,
            },
            Some(event) = events.next() => {
                if let Some(exit) = network.refused(&event) {
                    return Ok(exit);
                }
                if let Event::Writer { topic, state, .. } = event {
                    match state {
                        WriterState::Joined | WriterState::Resumed | WriterState::Restarted => {
                            eprintln!("publisher of {topic}: there");
                        }
                        WriterState::Left => eprintln!("publisher of {topic}: left"),
                        WriterState::Suspended | WriterState::Dead => {
                            eprintln!("publisher of {topic}: died");
                        }
                        WriterState::TooSlow => {
                            eprintln!("cannot keep up");
                            return Ok(ExitCode::FAILURE);
                        }
                        WriterState::Evicted => eprintln!("publisher of {topic}: dropped us"),
                    }
                }
            }
        }
    }
    writeln!(stdout(), "finishing...")?;
    drop(words);
    let _ = endpoint.close(Duration::from_secs(1)).await;
    writeln!(stdout(), "done.")?;
    Ok(ExitCode::SUCCESS)
}
