//! `topics`: publishes on a topic, or prints what others publish there.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use motet_example_glue::{Flags, run, share};

/// Publishes on a topic, or prints what others publish there.
#[derive(Parser)]
#[command(version)]
struct Topics {
    /// The topic
    #[arg(long, alias = "topicName", default_value = "some_topic")]
    topic_name: String,
    #[command(flatten)]
    flags: Flags,
}

fn main() -> ExitCode {
    let Topics { topic_name, flags } = Topics::parse();
    run(async move { share(flags, &topic_name, false).await })
}
