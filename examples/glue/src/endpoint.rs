//! `endpoint`: as `topics`, and tells who comes and goes.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use motet_example_glue::{Flags, run, share};

/// Publishes on a topic, or prints what others publish there; tells who comes and goes.
#[derive(Parser)]
#[command(version)]
struct Whole {
    /// The topic
    #[arg(long, alias = "topicName", default_value = "some_topic")]
    topic_name: String,
    #[command(flatten)]
    flags: Flags,
}

fn main() -> ExitCode {
    let Whole { topic_name, flags } = Whole::parse();
    run(async move { share(flags, &topic_name, true).await })
}
