//! `motet endpoint info NAME`.

use clap::Args;
use motet::report::{CounterReport, EndpointReport, SubscriptionReport, TopicReport};
use motet::{Answer, What};
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::quantity::shown;

/// What `motet endpoint info` is told.
#[derive(Args, Debug)]
pub(crate) struct InfoArgs {
    /// Its name or id
    endpoint: String,
    /// Counters too
    #[arg(short, long)]
    verbose: bool,
}

#[derive(Debug, Default, Serialize)]
struct Info {
    endpoint: EndpointReport,
    topics: Vec<TopicReport>,
    subscriptions: Vec<SubscriptionReport>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    counters: Vec<CounterReport>,
}

pub(crate) async fn run(args: InfoArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.observe().await?;
    let limit = context.global.timeout;
    let mut info = Info::default();
    let mut parts = vec![What::Endpoint, What::Topics];
    parts.extend(args.verbose.then_some(What::Counters));
    for part in parts {
        match endpoint.ask(&args.endpoint, part, limit).await? {
            Answer::Endpoint(report) => info.endpoint = report,
            Answer::Topics(report) => {
                info.topics = report.topics;
                info.subscriptions = report.subscriptions;
            }
            Answer::Counters(report) => info.counters = report,
            _ => {}
        }
    }
    context.out.document(&info, text)?;
    Ok(Exit::Done)
}

fn text(info: &Info) -> String {
    let Info { endpoint, topics, subscriptions, counters } = info;
    let mut lines = vec![
        format!("name         {}", endpoint.name),
        format!("id           {}", endpoint.id),
        format!("realm        {}{}", endpoint.realm, if endpoint.secured { "" } else { " (open)" }),
        format!("up for       {}", shown(endpoint.uptime_seconds)),
        format!("listens on   {}", endpoint.listen),
        format!("process      {}", endpoint.pid),
        format!("version      {}", endpoint.version),
        format!("peers        {}", endpoint.peers),
    ];
    lines.extend(topics.iter().map(|topic| {
        format!(
            "publishes    {} ({} readers, next {})",
            topic.topic, topic.readers_total, topic.next
        )
    }));
    lines.extend(subscriptions.iter().map(|subscription| {
        let filters = subscription.filters.join(" ");
        let filters = if filters.is_empty() { "its inbox".to_owned() } else { filters };
        format!("reads        {filters} ({} writers)", subscription.writers_total)
    }));
    lines.extend(endpoint.offenders.iter().map(|offender| {
        let who = if offender.name.is_empty() { &offender.id } else { &offender.name };
        let broke: Vec<String> =
            offender.offences.iter().map(|it| format!("{} {}", it.count, it.code)).collect();
        format!(
            "limits broken by  {who}: {}, last {} ago",
            broke.join(", "),
            shown(offender.seconds)
        )
    }));
    let counted = counters.iter().filter(|counter| counter.value > 0);
    lines.extend(counted.map(|counter| format!("{:<20} {}", counter.name, counter.value)));
    lines.push(String::new());
    lines.join("\n")
}
