//! `motet sub FILTER…`.

use std::time::Duration;

use clap::Args;
use motet::{Delivery, History, Message, MissedReason, SubQos, Subscriber};
use tokio::time::Instant;

use super::window::Spread;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::message::{MessageObject, MissedObject, formatted};
use crate::quantity::duration;

/// What `motet sub` is told.
#[derive(Args, Debug)]
pub(crate) struct SubArgs {
    /// Topics: * stands for one level, ** for any number
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
    /// A topic or filter
    #[arg(short = 't', long = "topic", value_name = "FILTER")]
    topics: Vec<String>,
    /// End after this many messages
    #[arg(short = 'C', long, value_name = "N")]
    count: Option<u64>,
    /// End after this time, with 27
    #[arg(short = 'W', long = "wait", value_name = "SECS", value_parser = duration)]
    wait: Option<Duration>,
    /// End as soon as it has subscribed
    #[arg(short = 'E', long)]
    exit_subscribed: bool,
    /// Nothing from the past
    #[arg(short = 'R', long, visible_alias = "new", conflicts_with = "last")]
    no_retained: bool,
    /// The last message of each topic, or the last N that its writer holds
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "1")]
    last: Option<u32>,
    /// Show the topic too
    #[arg(short, long)]
    verbose: bool,
    /// No line feed after a message
    #[arg(short = 'N', long)]
    no_newline: bool,
    /// Form of a message: %t topic %p payload %x hex %l length %I time %U seconds %j JSON %w writer %s number %k key %a age
    #[arg(short = 'F', long, value_name = "FMT", conflicts_with_all = ["verbose", "raw"])]
    format: Option<String>,
    /// Payloads only, as they are, nothing between them
    #[arg(long)]
    raw: bool,
    /// Everything but payloads, as JSON
    #[arg(long)]
    headers_only: bool,
    /// Leave out what matches this filter
    #[arg(short = 'T', long, value_name = "FILTER")]
    ignore: Vec<String>,
    /// At the end, tell on stderr what came
    #[arg(long)]
    stats: bool,
    /// Names the schema; writers with another one are not read and are told
    #[arg(long = "type", value_name = "TAG", default_value = "")]
    type_tag: String,
    /// Give up when further behind than this
    #[arg(long, value_name = "DUR", value_parser = duration)]
    abort_after: Option<Duration>,
}

/// What came.
#[derive(Default)]
struct Tally {
    messages: u64,
    bytes: u64,
    missed: u64,
    ages: Vec<f64>,
}

pub(crate) async fn run(args: SubArgs, context: &Context) -> Result<Exit, Failure> {
    let filters: Vec<&str> = args.topics.iter().chain(&args.filters).map(String::as_str).collect();
    if filters.is_empty() {
        return Err(Failure::usage("a topic is missing; as in: motet sub 'line1/**'"));
    }
    let endpoint = context.join().await?;
    let mut messages = endpoint.subscriber_with(&filters, qos(&args)).await?;
    if args.exit_subscribed {
        endpoint.settled().await;
        return Ok(Exit::Done);
    }
    let begun = Instant::now();
    let mut tally = Tally::default();
    let reading = read(&args, &mut messages, context, &mut tally);
    let done = match args.wait {
        None => reading.await,
        Some(wait) => tokio::time::timeout(wait, reading).await.unwrap_or_else(|_| {
            Err(Failure::timed_out(format!(
                "{} did not bring {} within {wait:?}; see: motet topic list",
                filters.join(" "),
                args.count.map_or_else(|| "an end".to_owned(), |n| format!("{n} messages")),
            )))
        }),
    };
    if args.stats {
        context.out.remark(tally.text(begun.elapsed()));
    }
    done
}

async fn read(
    args: &SubArgs,
    messages: &mut Subscriber,
    context: &Context,
    tally: &mut Tally,
) -> Result<Exit, Failure> {
    while args.count.is_none_or(|count| tally.messages < count) {
        match messages.next().await {
            None => break,
            Some(Delivery::Message(message)) => {
                if args.ignore.iter().any(|filter| matches(filter, message.topic())) {
                    continue;
                }
                tally.count(&message);
                show(args, &message, context)?;
            }
            Some(Delivery::Missed { writer, topic, n, reason }) => {
                tally.missed += n;
                let reason_name = kebab(&format!("{reason:?}"));
                if context.out.is_text() {
                    context.out.remark(format!("missed {n} messages of {topic}: {reason_name}"));
                } else {
                    let (topic, writer) = (topic.to_string(), writer.id.to_string());
                    context.out.object(&MissedObject {
                        missed: n,
                        topic,
                        writer,
                        reason: reason_name,
                    })?;
                }
                if let (MissedReason::Lagging, Some(limit)) = (reason, args.abort_after) {
                    let what = format!(
                        "cannot keep up; messages are more than {limit:?} old; \
                         read fewer topics, or allow more with --abort-after"
                    );
                    return Err(Failure::new(Exit::Failed, "M0310", what));
                }
            }
            Some(_) => {}
        }
    }
    Ok(Exit::Done)
}

fn show(args: &SubArgs, message: &Message, context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    if let Some(format) = &args.format {
        let mut line = formatted(format, message);
        line.extend(newline(args));
        return out.raw(&line);
    }
    if args.headers_only || !out.is_text() {
        return out.object(&MessageObject::new(message, args.headers_only));
    }
    if args.raw {
        return out.raw(message.payload());
    }
    let mut line = Vec::with_capacity(message.payload().len() + 1);
    if args.verbose {
        line.extend_from_slice(out.accent(message.topic()).as_bytes());
        line.push(b' ');
    }
    line.extend_from_slice(message.payload());
    line.extend(newline(args));
    out.raw(&line)
}

fn newline(args: &SubArgs) -> Option<u8> {
    (!args.no_newline).then_some(b'\n')
}

fn qos(args: &SubArgs) -> SubQos {
    let history = match args.last {
        _ if args.no_retained => History::None,
        Some(n) => History::Last(n),
        None => History::All,
    };
    let (abort_after, type_tag) = (args.abort_after, args.type_tag.clone());
    SubQos { history, abort_after, type_tag, ..SubQos::default() }
}

impl Tally {
    fn count(&mut self, message: &Message) {
        self.messages += 1;
        self.bytes += message.payload().len() as u64;
        if self.ages.len() < AGES_MAX {
            self.ages.push(message.age().as_secs_f64());
        }
    }

    fn text(&self, took: Duration) -> String {
        let Self { messages, bytes, missed, ages } = self;
        let seconds = took.as_secs_f64();
        let delay = Spread::of(ages.iter().copied());
        let delay =
            delay.map(|delay| format!(", delay mean {:.6} s, max {:.6} s", delay.mean, delay.max));
        format!(
            "{messages} messages, {bytes} bytes, {missed} missed in {seconds:.3} s{}",
            delay.unwrap_or_default()
        )
    }
}

/// `QueueFull` as `queue-full`.
fn kebab(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// Whether `topic` is among those that `filter` names, by whole levels.
fn matches(filter: &str, topic: &str) -> bool {
    let filter: Vec<&str> = filter.split('/').collect();
    let topic: Vec<&str> = topic.split('/').collect();
    // reached[j]: the filter's levels so far take the topic's first j levels.
    let mut reached = vec![false; topic.len() + 1];
    reached[0] = true;
    for level in filter {
        let mut next = vec![false; topic.len() + 1];
        for j in 0..=topic.len() {
            next[j] = match level {
                "**" => reached[j] || (j > 0 && next[j - 1]),
                "*" => j > 0 && reached[j - 1],
                _ => j > 0 && reached[j - 1] && topic[j - 1] == level,
            };
        }
        reached = next;
    }
    reached[topic.len()]
}

/// Ages that `--stats` looks at.
const AGES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_named_by_whole_levels() {
        assert!(matches("words/*", "words/eng") && matches("words/**", "words"));
        assert!(matches("**/eng", "words/old/eng") && matches("a/**/b", "a/b"));
        assert!(!matches("words/*", "words") && !matches("words/eng", "words/english"));
        assert!(!matches("*", "words/eng"));
    }

    #[test]
    fn reasons_are_written_with_dashes() {
        assert_eq!(kebab("QueueFull"), "queue-full");
    }
}
