//! `motet topic list`.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::survey::{TopicView, survey};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::quantity::duration;

/// What `motet topic list` is told.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Show types
    #[arg(short, long)]
    types: bool,
    /// Only how many there are
    #[arg(short, long)]
    count: bool,
    /// More: history, policy, bytes held
    #[arg(short, long)]
    verbose: bool,
    /// Listen for this long; else until discovery has settled
    #[arg(long, value_name = "DUR", value_parser = duration)]
    wait: Option<Duration>,
}

#[derive(Serialize)]
struct Count {
    topics: usize,
}

pub(crate) async fn run(args: ListArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.observe().await?;
    let survey = survey(&endpoint, args.wait, context).await;
    let topics: Vec<TopicView> = survey.topics.into_values().collect();
    if args.count {
        let count = Count { topics: topics.len() };
        context.out.document(&count, |count| format!("{}\n", count.topics))?;
    } else if args.verbose {
        let heads = ["TOPIC", "TYPE", "WRITER", "READERS", "HISTORY", "SLOW", "HELD", "NEXT"];
        let rows: Vec<_> = topics.iter().flat_map(|topic| &topic.writers).collect();
        if context.out.is_text() {
            context.out.table(&rows, heads, |writer| {
                let report = &writer.report;
                [
                    report.topic.clone(),
                    shown_type(&report.type_tag),
                    writer.name.clone(),
                    report.readers_total.to_string(),
                    report.history.to_string(),
                    report.slow.clone(),
                    format!("{} B", report.bytes),
                    report.next.to_string(),
                ]
            })?;
        } else {
            context.out.table(&topics, [], |_| [])?;
        }
    } else if args.types {
        context.out.table(&topics, ["TOPIC", "WRITERS", "READERS", "TYPE"], |topic| {
            let [topic_name, writers, readers] = cells(topic);
            let types: Vec<String> = topic.types.iter().map(|tag| shown_type(tag)).collect();
            [topic_name, writers, readers, types.join(" and ")]
        })?;
    } else {
        context.out.table(&topics, ["TOPIC", "WRITERS", "READERS"], cells)?;
    }
    Ok(Exit::Done)
}

fn cells(topic: &TopicView) -> [String; 3] {
    let readers: BTreeSet<&str> = topic.readers.iter().map(|reader| reader.id.as_str()).collect();
    [topic.topic.clone(), topic.writers.len().to_string(), readers.len().to_string()]
}

fn shown_type(tag: &str) -> String {
    if tag.is_empty() { "any".to_owned() } else { tag.to_owned() }
}
