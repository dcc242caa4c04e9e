//! `motet serve SERVICE`.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use motet::service::{Answer, Order, Request, RespondError, ServeError, ServeOptions, Server};
use motet::{Delivery, Endpoint, EndpointKey, Event, EventStream, Subscriber, WriterState};
use tokio::sync::watch;

use super::child::{self, Lines};
use super::outside::CheckArgs;
use crate::command::topic::publish::body;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::quantity::duration;

/// What `motet serve` is told.
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    /// The service
    service: String,
    /// What to answer: text, @FILE, or - for stdin
    #[arg(conflicts_with = "command")]
    body: Option<String>,
    /// Answer with the request
    #[arg(long, conflicts_with_all = ["body", "command"])]
    echo: bool,
    /// The program runs on, takes each request as a line and answers with a line
    #[arg(long, requires = "command")]
    lines: bool,
    /// Requests that are worked on at once: programs that run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    workers: u32,
    /// Requests that one caller may have open here; else twice the workers, 256 with --echo
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    credit: Option<u32>,
    /// Requests that wait here; above that they are refused as overload
    #[arg(long, value_name = "N", default_value_t = 1_024)]
    queue: u32,
    /// Version of the service
    #[arg(long, value_name = "V", default_value = "")]
    service_version: String,
    /// Something to show to everybody, K=V; group=NAME is what callers can choose by
    #[arg(long, value_name = "K=V", value_parser = pair)]
    meta: Vec<(String, String)>,
    /// A service that this one cannot do without
    #[arg(long, value_name = "SERVICE")]
    requires: Vec<String>,
    /// Register with the name servers in this environment, for: motet call --by-name-server ENV
    #[arg(long, value_name = "ENV")]
    register_in: Option<String>,
    /// How long that stands without renewal
    #[arg(long, value_name = "DUR", default_value = "6s", value_parser = duration, requires = "register_in")]
    lease: Duration,
    #[command(flatten)]
    checks: CheckArgs,
    /// To run a request twice does no harm: callers may repeat it anywhere
    #[arg(long)]
    safe: bool,
    /// A program, after --: the request is its stdin, its stdout is the answer
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("give K=V, as in zone=north")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        Self::new(Exit::Usage, "M0411", error)
    }
}

/// What is done with requests.
enum Work {
    Echo,
    Say(Vec<u8>),
    Run(Vec<String>),
    Lines(Vec<String>),
}

pub(crate) async fn run(args: ServeArgs, context: &Context) -> Result<Exit, Failure> {
    let work = match (&args.body, args.echo, args.command.is_empty()) {
        (None, true, true) => Work::Echo,
        (Some(word), false, true) => Work::Say(body(word)?),
        (None, false, false) if args.lines => Work::Lines(args.command.clone()),
        (None, false, false) => Work::Run(args.command.clone()),
        _ => {
            return Err(Failure::usage(
                "what to answer is missing; give --echo, BODY, or a program after --, as in: \
                 motet serve upper -- tr a-z A-Z",
            ));
        }
    };
    let own = matches!(work, Work::Echo | Work::Say(_));
    let at_once = if own { args.workers.max(64) } else { args.workers };
    let credit = args.credit.unwrap_or(if own { 256 } else { 2 * args.workers });
    let mut options = ServeOptions::new()
        .concurrency(at_once)
        .credit(credit)
        .queue(args.queue)
        .version(&args.service_version);
    if args.safe {
        options = options.safe();
    }
    if let Some(environment) = &args.register_in {
        options = options.register_in(environment).lease(args.lease);
    }
    let mut checked = false;
    for check in args.checks.specs() {
        (options, checked) = (options.check(check), true);
    }
    for (name, value) in &args.meta {
        options = options.metadata(name, value);
    }
    for service in &args.requires {
        options = options.requires(service);
    }
    let mut interrupt = Interrupt::listen();
    let endpoint = context.join().await?;
    // Before the offer: whoever sees it may give orders.
    let inbox = endpoint.inbox().await?;
    let server = endpoint.serve(&args.service, options).await?;
    context.out.remark(format!(
        "serving {:?} at endpoint {} in realm {}",
        args.service,
        endpoint.id(),
        context.global.realm
    ));
    if let Some(environment) = args.register_in {
        let (server, out) = (server.clone(), context.out.clone());
        tokio::spawn(async move {
            server.registered().await;
            out.remark(format!("registered in {environment}"));
        });
    }
    if checked {
        let (server, out) = (server.clone(), context.out.clone());
        tokio::spawn(async move {
            match server.checked().await {
                Ok(()) => out.remark("registered with its checks"),
                Err(error) => out.remark(format!("it is not checked: {error}")),
            }
        });
    }
    let (done, over) = watch::channel(false);
    let workers = if own { 1 } else { args.workers };
    let work = Arc::new(work);
    for _ in 0..workers {
        tokio::spawn(labour(server.clone(), Arc::clone(&work), over.clone()));
    }
    tokio::select! {
        () = obey(&endpoint, inbox, &server, context) => {}
        () = interrupt.caught() => {
            // What was accepted is answered (ALL-6); a second signal ends it at once.
            if !server.drain(context.global.timeout).await {
                context.out.remark("requests were open after --timeout; ending all the same");
            }
        }
    }
    done.send_replace(true);
    Ok(Exit::Done)
}

/// Works on requests, one after the other, until told to end.
async fn labour(mut server: Server, work: Arc<Work>, mut over: watch::Receiver<bool>) {
    let mut lines = match &*work {
        Work::Lines(words) => Some(Lines::new(words.clone())),
        _ => None,
    };
    loop {
        let request = tokio::select! {
            request = server.next() => request,
            _ = over.changed() => return,
        };
        let Some(request) = request else { return };
        let answered = match (&*work, &mut lines) {
            (Work::Echo, _) => echo(request),
            (Work::Say(body), _) => request.reply(body.clone()),
            (Work::Run(words), _) => once(words, request).await,
            (Work::Lines(_), Some(lines)) => {
                let answer = lines.ask(&request.frames().concat()).await;
                request.answer(answer)
            }
            (Work::Lines(_), None) => return,
        };
        if let Err(RespondError::Invalid(why)) = answered {
            eprintln!("an answer was not sent: {why}");
        }
    }
}

/// All frames and properties, unchanged.
fn echo(request: Request) -> Result<(), RespondError> {
    let mut answer = Answer::default();
    for frame in request.frames() {
        answer = answer.frame(frame.clone());
    }
    for (name, value) in request.properties() {
        answer = answer.property(name, value);
    }
    request.answer(answer)
}

/// A program for one request; if nobody waits any more, it is ended.
async fn once(words: &[String], request: Request) -> Result<(), RespondError> {
    let answer = tokio::select! {
        answer = child::once(words, &request) => Some(answer),
        () = request.cancelled() => None,
    };
    match answer {
        Some(answer) => request.answer(answer),
        None => request.fail(130, "cancelled"),
    }
}

/// Does what `motet service maint` and `drain` say, until it is to end.
async fn obey(endpoint: &Endpoint, mut inbox: Subscriber, server: &Server, context: &Context) {
    while let Some(delivery) = inbox.next().await {
        let Delivery::Message(message) = delivery else { continue };
        match Order::parse(message.payload(), server.service()) {
            Some(Order::Rest(reason)) => {
                server.maintenance(true, &reason);
                context.out.remark(format!("under maintenance, says {}", message.writer_name()));
            }
            Some(Order::Return) => {
                server.maintenance(false, "");
                context.out.remark(format!("back, says {}", message.writer_name()));
            }
            Some(Order::Drain(reason)) => {
                let events = endpoint.events();
                context.out.remark(format!("draining, says {}: {reason}", message.writer_name()));
                if !server.drain(DRAIN_FOR).await {
                    context.out.remark("requests were open after a minute; ending all the same");
                }
                let satisfied = satisfied(events, message.writer());
                let _ = tokio::time::timeout(ACKNOWLEDGED_WITHIN, satisfied).await;
                return;
            }
            _ => {}
        }
    }
}

/// Waits until whoever gave an order ends the way to the inbox, as it does once it knows that the
/// order has arrived. A reader that leaves before has acknowledged nothing.
async fn satisfied(mut events: EventStream, by: EndpointKey) {
    while let Some(event) = events.next().await {
        match event {
            Event::PeerDown { key, .. } if key == by => return,
            Event::Writer { writer, ref topic, state: WriterState::Left, .. }
                if writer == by && topic.starts_with("$inbox/") =>
            {
                return;
            }
            _ => {}
        }
    }
}

/// Whoever gave the order to drain has so long to learn that it arrived.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(1);
/// Open requests are waited for so long.
const DRAIN_FOR: Duration = Duration::from_secs(60);
