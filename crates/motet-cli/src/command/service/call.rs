//! `motet call SERVICE [BODY]`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use motet::service::{Ask, CallError, CallOptions, Reply, WaitFor};
use serde::Serialize;

use crate::base64;
use crate::command::topic::publish::body;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::quantity::{duration, header};

/// What `motet call` is told.
#[derive(Args, Debug)]
pub(crate) struct CallArgs {
    /// The service
    service: String,
    /// The request: text, @FILE, or - for stdin
    body: Option<String>,
    /// End after so many parts of the answer; 0: all of them
    #[arg(long, value_name = "N", default_value_t = 0)]
    replies: u64,
    /// How often to send it at most, if it may be repeated
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    retries: u32,
    /// Names the deed: however often it is sent, it is done once
    #[arg(long, value_name = "K")]
    idempotency_key: Option<String>,
    /// To run it twice does no harm: it may be repeated anywhere
    #[arg(long)]
    safe: bool,
    /// When the answer must be there; else --timeout
    #[arg(long, value_name = "DUR", value_parser = duration)]
    deadline: Option<Duration>,
    /// Do not wait for an instance where there is none
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
    /// Wait for an instance until the deadline
    #[arg(long)]
    wait: bool,
    /// The answer as it is, without a newline after it
    #[arg(long)]
    raw: bool,
    /// A property, K:V
    #[arg(short = 'H', long = "header", value_name = "K:V", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Ask all instances, and tell every answer
    #[arg(long, conflicts_with_all = ["ordered", "first"])]
    all: bool,
    /// One instance after the other, each for so long
    #[arg(long, value_name = "DUR", value_parser = duration, num_args = 0..=1, default_missing_value = "1s")]
    ordered: Option<Duration>,
    /// Ask so many instances at once; the first answer counts
    #[arg(long, value_name = "N", conflicts_with = "ordered")]
    first: Option<u32>,
    /// Only instances of this version; 2 is also 2.1
    #[arg(long, value_name = "V")]
    service_version: Option<String>,
    /// Only instances of this group
    #[arg(long, value_name = "G")]
    group: Option<String>,
    /// Only instances that are registered with the name servers in this environment
    #[arg(long, value_name = "ENV")]
    by_name_server: Option<String>,
    /// Only the instance at this endpoint: its id
    #[arg(long, value_name = "ID")]
    to: Option<String>,
}

#[derive(Serialize)]
struct ReplyObject {
    service: String,
    endpoint: String,
    part: u64,
    status: &'static str,
    code: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    cached: bool,
    took_seconds: f64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    properties: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    frames: usize,
}

impl ReplyObject {
    fn new(service: &str, reply: &Reply) -> Self {
        let text = str::from_utf8(reply.body()).ok();
        Self {
            service: service.to_owned(),
            endpoint: reply.from().id.to_string(),
            part: reply.part(),
            status: reply.status().as_str(),
            code: reply.code(),
            text: reply.text().to_owned(),
            cached: reply.is_cached(),
            took_seconds: reply.took().as_secs_f64(),
            properties: reply.properties().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            body: text.map(str::to_owned),
            body_base64: text.is_none().then(|| base64::encode(reply.body())),
            frames: reply.frames().len(),
        }
    }
}

fn options(args: &CallArgs, context: &Context) -> Result<CallOptions, Failure> {
    let timeout = args.deadline.unwrap_or(context.global.timeout);
    let mut options = CallOptions::new().timeout(timeout).tries(args.retries);
    if args.safe {
        options = options.safe();
    }
    if args.no_wait {
        options = options.wait(WaitFor::Nothing);
    }
    if args.wait {
        options = options.wait(WaitFor::Deadline);
    }
    if let Some(each) = args.ordered {
        options = options.ordered(each);
    }
    if let Some(n) = args.first {
        options = options.first_of(n);
    }
    if let Some(version) = &args.service_version {
        options = options.version(version);
    }
    if let Some(group) = &args.group {
        options = options.group(group);
    }
    if let Some(environment) = &args.by_name_server {
        options = options.by_name_server(environment);
    }
    if let Some(to) = &args.to {
        let id = motet::parse_id(to).ok_or_else(|| {
            Failure::usage(format!("--to {to:?} is no id; see: motet service list"))
        })?;
        options = options.to(id);
    }
    Ok(options)
}

pub(crate) async fn run(args: CallArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.join().await?;
    let caller = endpoint.caller(&args.service, options(&args, context)?)?;
    if args.no_wait {
        // Only who has had no time to be found is waited for.
        endpoint.settled().await;
    }
    let mut ask = Ask::new(body(args.body.as_deref().unwrap_or_default())?);
    if let Some(key) = &args.idempotency_key {
        ask = ask.idempotency_key(key.clone());
    }
    for (name, value) in &args.headers {
        ask = ask.property(name, value);
    }
    if args.all {
        let within = args.deadline.unwrap_or(SURVEY);
        let survey = caller.survey(ask, within).await?;
        for reply in &survey.replies {
            tell(&args, reply, context)?;
        }
        context.out.remark(format!(
            "{} of {} instances of {:?} answered",
            survey.replies.len(),
            survey.asked,
            args.service
        ));
        return Ok(if survey.replies.is_empty() { Exit::NotFound } else { Exit::Done });
    }
    let mut replies = caller.start(ask)?;
    let mut told = 0;
    while let Some(reply) = replies.next().await {
        let reply = reply?;
        // The end of an answer in parts is often empty.
        if !(reply.part() > 0 && reply.is_last() && reply.frames().is_empty()) {
            tell(&args, &reply, context)?;
            told += 1;
        }
        if args.replies > 0 && told >= args.replies {
            break;
        }
    }
    Ok(Exit::Done)
}

fn tell(args: &CallArgs, reply: &Reply, context: &Context) -> Result<(), Failure> {
    if !context.out.is_text() {
        return context.out.object(&ReplyObject::new(&args.service, reply));
    }
    if reply.status() != motet::service::ServiceStatus::Ok {
        let what = format!("{}: {}", reply.status().as_str(), reply.text());
        context.out.remark(format!("endpoint {}: {what}", reply.from().id));
        return Ok(());
    }
    let mut line = reply.frames().concat();
    if !args.raw && line.last() != Some(&b'\n') {
        line.push(b'\n');
    }
    context.out.raw(&line)
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        use motet::service::ServiceStatus;
        let (exit, code) = match &error {
            CallError::Invalid(_) => (Exit::Usage, "M0401"),
            CallError::NoResponders { .. } | CallError::Unlisted { .. } => {
                (Exit::NotFound, "M0402")
            }
            CallError::TimedOut { .. } => (Exit::TimedOut, "M0403"),
            CallError::Unknown { .. } => (Exit::Failed, "M0404"),
            CallError::Status { status, .. } => match status {
                ServiceStatus::NoWorkers | ServiceStatus::UnknownService => {
                    (Exit::NotFound, "M0402")
                }
                ServiceStatus::DeadlinePassed => (Exit::TimedOut, "M0405"),
                ServiceStatus::Refused => (Exit::Refused, "M0406"),
                ServiceStatus::Overload => (Exit::Failed, "M0407"),
                ServiceStatus::BadRequest => (Exit::Failed, "M0408"),
                _ => (Exit::Failed, "M0409"),
            },
            _ => (Exit::Failed, "M0410"),
        };
        Self::new(exit, code, error)
    }
}

/// How long answers of all instances are collected.
const SURVEY: Duration = Duration::from_secs(1);
