//! `motet topic info TOPIC`.

use clap::Args;

use super::survey::{ReaderView, TopicView, survey};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::nearest::nearest;
use crate::quantity::shown;

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
            "writer  {} ({}): {quality}, history {}, {}, lane {}, next {}",
            writer.name, writer.id, report.history, report.slow, report.lane, report.next
        ));
    }
    for reader in &view.readers {
        lines.push(format!(
            "reader  {} ({}): {} from {}, {} unacknowledged, {}",
            reader.name,
            reader.id,
            reader.state,
            reader.writer,
            reader.unacked,
            carrier(reader)
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// What brings the messages, and why not a lane.
fn carrier(reader: &ReaderView) -> String {
    match (reader.carrier.as_str(), reader.lane) {
        ("lane", Some(lane)) => format!(
            "lane {lane} on {} for {} ({} readers)",
            reader.by,
            shown(reader.lane_seconds.unwrap_or_default()),
            reader.lane_readers.unwrap_or_default()
        ),
        ("unicast", _) => format!("unicast to {} ({})", reader.by, reader.why),
        // Of an older version, which does not say.
        ("", _) => "unicast".to_owned(),
        (other, _) => other.to_owned(),
    }
}
