//! `motet topic info TOPIC`.

use clap::Args;

use super::survey::{TopicView, survey};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::nearest::nearest;

/// What `motet topic info` is told.
#[derive(Args, Debug)]
pub(crate) struct InfoArgs {
    /// The topic
    topic: String,
}

pub(crate) async fn run(args: InfoArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.observe().await?;
    let mut survey = survey(&endpoint, None, context).await;
    let Some(view) = survey.topics.remove(&args.topic) else {
        let near = nearest(&args.topic, survey.topics.keys().map(String::as_str));
        let near = near.map_or_else(
            || "see: motet topic list".to_owned(),
            |near| format!("did you mean {near:?}?"),
        );
        let reading = survey.subscriptions.iter();
        let reading = reading.filter(|each| each.report.filters.contains(&args.topic)).count();
        let what = format!(
            "nobody publishes {:?}; {reading} endpoints subscribe to it; {near}",
            args.topic
        );
        return Err(Failure::new(Exit::NotFound, "M0308", what));
    };
    context.out.document(&view, text)?;
    Ok(Exit::Done)
}

fn text(view: &TopicView) -> String {
    let types: Vec<&str> =
        view.types.iter().map(|tag| if tag.is_empty() { "any" } else { tag.as_str() }).collect();
    let mut lines =
        vec![format!("topic   {}", view.topic), format!("type    {}", types.join(" and "))];
    for writer in &view.writers {
        let report = &writer.report;
        let quality = if report.reliable { "reliable" } else { "best effort" };
        lines.push(format!(
            "writer  {} ({}): {quality}, history {}, {}, next {}",
            writer.name, writer.id, report.history, report.slow, report.next
        ));
    }
    for reader in &view.readers {
        lines.push(format!(
            "reader  {} ({}): {} from {}, {} unacknowledged",
            reader.name, reader.id, reader.state, reader.writer, reader.unacked
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}
