//! `motet pub TOPIC [BODY]`.

use std::io::Read;
use std::time::Duration;

use clap::Args;
use motet::{Event, LanePolicy, Outgoing, PubQos, Publisher, SlowPolicy};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader, Stdin};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::quantity::{duration, header, rate};

/// What `motet pub` is told.
#[derive(Args, Debug)]
pub(crate) struct PubArgs {
    /// The topic, then the message: text, @FILE, or - for stdin
    #[arg(value_names = ["TOPIC", "BODY"], num_args = 0..=2)]
    words: Vec<String>,
    /// The topic
    #[arg(short = 't', long = "topic", value_name = "TOPIC")]
    topic: Option<String>,
    /// The message
    #[arg(short, long, value_name = "MSG", group = "source")]
    message: Option<String>,
    /// A file is the message
    #[arg(short, long, value_name = "FILE", group = "source")]
    file: Option<String>,
    /// Each line of stdin is a message
    #[arg(short = 'l', long, group = "source")]
    lines: bool,
    /// The whole of stdin is the message
    #[arg(short = 's', long, group = "source")]
    stdin: bool,
    /// An empty message
    #[arg(short = 'n', long, group = "source")]
    empty: bool,
    /// How often; without end if only --rate or --interval is given
    #[arg(long, visible_alias = "repeat", value_name = "N")]
    count: Option<u64>,
    /// Messages in a second
    #[arg(long, value_name = "HZ", value_parser = rate, conflicts_with = "interval")]
    rate: Option<f64>,
    /// Time between two messages
    #[arg(long, visible_alias = "repeat-delay", value_name = "DUR", value_parser = duration)]
    interval: Option<Duration>,
    /// A header, K:V
    #[arg(short = 'H', long = "header", value_name = "K:V", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Keep the last message for those who come later; that is the default
    #[arg(short, long, conflicts_with = "history")]
    retain: bool,
    /// How many messages to keep for those who come later
    #[arg(long, value_name = "N", default_value_t = 1)]
    history: u32,
    /// best (sent once) or reliable (repaired until delivered); or 0, 1, 2
    #[arg(short, long, value_parser = ["best", "reliable", "0", "1", "2"], default_value = "reliable")]
    quality: String,
    /// Do not deliver it when it is older than this
    #[arg(long, value_name = "DUR", value_parser = duration)]
    ttl: Option<Duration>,
    /// Its key: history is kept per key
    #[arg(long, value_name = "K")]
    msg_key: Option<String>,
    /// Wait for this many readers first
    #[arg(short, long, value_name = "N")]
    wait_readers: Option<usize>,
    /// What happens when a reader is too slow
    #[arg(long, value_parser = ["block", "drop-oldest", "drop-newest", "disconnect"], default_value = "drop-oldest")]
    slow: String,
    /// Whether it may leave as multicast, once for all readers: where that is cheaper, never, always
    #[arg(long, value_parser = ["auto", "never", "always"], default_value = "auto")]
    lane: String,
    /// Names the schema; readers with another one get nothing and are told
    #[arg(long = "type", value_name = "TAG", default_value = "")]
    type_tag: String,
}

#[derive(Serialize)]
struct Published<'a> {
    topic: &'a str,
    messages: u64,
    readers: usize,
}

pub(crate) async fn run(args: PubArgs, context: &Context) -> Result<Exit, Failure> {
    let (topic, mut source) = parse(&args)?;
    let limit = context.global.timeout;
    let endpoint = context.join().await?;
    let mut events = endpoint.events();
    let publisher =
        endpoint.publisher_with(&topic, qos(&args, limit)).await?.blocking_deadline(limit);
    if let Some(n) = args.wait_readers {
        publisher.wait_readers(n, limit).await.map_err(|_| {
            Failure::timed_out(format!(
                "{topic:?} has {} of {n} readers after {limit:?}; the others are not up, or in \
                 another realm; see: motet endpoint list",
                publisher.readers()
            ))
        })?;
    } else if !matches!(source, Source::Body(_, Some(1))) {
        // Only the last of several messages is kept for those who are found later.
        endpoint.settled().await;
    }
    let messages = publish(&args, &publisher, &mut source).await?;
    endpoint.settled().await;
    // A reader may have had what it wanted, and left.
    let mut readers = publisher.readers();
    while let Some(event) = events.try_next() {
        if let Event::ReaderJoined { readers: then, .. } = event {
            readers = readers.max(then);
        }
    }
    if readers == 0 {
        // One that was found at the last moment is still being dialled.
        readers = publisher.wait_readers(1, DIAL).await.unwrap_or(0);
    }
    publisher.flushed(limit).await.map_err(|_| {
        Failure::timed_out(format!(
            "{} messages of {topic:?} were not acknowledged within {limit:?}; a reader is slow or \
             gone; see: motet topic info {topic}",
            publisher.unacknowledged()
        ))
    })?;
    if readers == 0 {
        context.out.remark(format!("no reader of {topic:?} in realm {}", context.global.realm));
    }
    if !context.out.is_text() {
        context.out.document(&Published { topic: &topic, messages, readers }, |_| String::new())?;
    }
    Ok(Exit::Done)
}

/// Where messages come from.
enum Source {
    /// This one, so often; `None` is without end.
    Body(Vec<u8>, Option<u64>),
    /// Lines, at most so many.
    Lines(BufReader<Stdin>, Option<u64>),
}

impl Source {
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let (Self::Body(_, left) | Self::Lines(_, left)) = self;
        match left {
            Some(0) => return Ok(None),
            Some(left) => *left -= 1,
            None => {}
        }
        match self {
            Self::Body(body, _) => Ok(Some(body.clone())),
            Self::Lines(stdin, _) => {
                let mut line = Vec::new();
                let read = stdin.read_until(b'\n', &mut line).await;
                let read = read.map_err(|error| unreadable("stdin", &error))?;
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                Ok((read > 0).then_some(line))
            }
        }
    }
}

async fn publish(
    args: &PubArgs,
    publisher: &Publisher,
    source: &mut Source,
) -> Result<u64, Failure> {
    let mut pace = pace(args);
    let mut messages = 0;
    loop {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let Some(body) = source.next().await? else { return Ok(messages) };
        let mut message = Outgoing::new(&body);
        if let Some(key) = &args.msg_key {
            message = message.key(key);
        }
        for (name, value) in &args.headers {
            message = message.header(name, value);
        }
        publisher.publish_with(&message).await?;
        messages += 1;
        if messages % 64 == 0 {
            // The endpoint runs on another thread; a signal is to be seen here too.
            tokio::task::yield_now().await;
        }
    }
}

fn pace(args: &PubArgs) -> Option<Interval> {
    let period = args.interval.or_else(|| args.rate.map(|hz| Duration::from_secs_f64(1.0 / hz)))?;
    let mut pace = interval(period.max(Duration::from_micros(1)));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    Some(pace)
}

fn parse(args: &PubArgs) -> Result<(String, Source), Failure> {
    let mut words = args.words.iter();
    let topic = args.topic.as_ref().or_else(|| words.next());
    let topic = topic
        .ok_or_else(|| Failure::usage("a topic is missing; as in: motet pub line1/temp 21.5"))?;
    let word = words.next();
    if words.next().is_some() {
        return Err(Failure::usage("two messages were given; quote a message with spaces"));
    }
    let paced = args.rate.is_some() || args.interval.is_some();
    let often = args.count.or(if paced { None } else { Some(1) });
    let bytes = match (word, &args.message, &args.file) {
        (Some(_), ..)
            if args.message.is_some()
                || args.file.is_some()
                || args.lines
                || args.stdin
                || args.empty =>
        {
            return Err(Failure::usage(
                "two messages were given; give one of BODY, -m, -f, -l, -s, -n",
            ));
        }
        (Some(word), ..) => body(word)?,
        (None, Some(message), _) => message.clone().into_bytes(),
        (None, None, Some(file)) => body(&format!("@{file}"))?,
        _ if args.lines => {
            let stdin = BufReader::new(tokio::io::stdin());
            return Ok((topic.clone(), Source::Lines(stdin, args.count)));
        }
        _ if args.stdin => body("-")?,
        _ if args.empty => Vec::new(),
        _ => {
            let what = "a message is missing; give BODY, @FILE or -, or one of -m, -f, -l, -s, -n";
            return Err(Failure::usage(what));
        }
    };
    Ok((topic.clone(), Source::Body(bytes, often)))
}

/// A message as it is typed: text, `@FILE`, or `-` for stdin.
pub(crate) fn body(word: &str) -> Result<Vec<u8>, Failure> {
    if word == "-" {
        let mut body = Vec::new();
        let read = std::io::stdin().read_to_end(&mut body);
        return read.map(|_| body).map_err(|error| unreadable("stdin", &error));
    }
    match word.strip_prefix('@') {
        Some(file) => std::fs::read(file).map_err(|error| unreadable(file, &error)),
        None => Ok(word.as_bytes().to_vec()),
    }
}

fn unreadable(file: &str, error: &std::io::Error) -> Failure {
    Failure::usage(format!("{file} cannot be read; {error}; name a file that is there"))
}

fn qos(args: &PubArgs, limit: Duration) -> PubQos {
    PubQos {
        reliable: !matches!(args.quality.as_str(), "best" | "0"),
        history: args.history,
        lifespan: args.ttl,
        slow: match args.slow.as_str() {
            "block" => SlowPolicy::Block,
            "drop-newest" => SlowPolicy::DropNewest,
            "disconnect" => SlowPolicy::Disconnect(limit),
            _ => SlowPolicy::DropOldest,
        },
        type_tag: args.type_tag.clone(),
        lane: match args.lane.as_str() {
            "never" => LanePolicy::Never,
            "always" => LanePolicy::Always,
            _ => LanePolicy::Auto,
        },
        ..PubQos::default()
    }
}

/// A session with a reader that is known stands after two round trips.
const DIAL: Duration = Duration::from_millis(300);
