//! `motet service list | info | stats | ping | wait | deps`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use motet::Endpoint;
use motet::role::{OutsideView, Registries};
use motet::service::{Instance, InstanceState};
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::quantity::{duration, shown};

/// What `motet service list` is told.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Listen for this long; else until discovery has settled
    #[arg(long, value_name = "DUR", value_parser = duration)]
    wait: Option<Duration>,
}

/// What verbs about one service are told.
#[derive(Args, Debug)]
pub(crate) struct InfoArgs {
    /// The service
    service: String,
    /// Listen for this long; else until discovery has settled
    #[arg(long, value_name = "DUR", value_parser = duration)]
    wait: Option<Duration>,
}

/// What `motet service wait` is told.
#[derive(Args, Debug)]
pub(crate) struct WaitArgs {
    /// The service
    service: String,
    /// So many instances
    #[arg(short = 'n', long, default_value_t = 1, value_name = "N")]
    instances: usize,
}

#[derive(Debug, Serialize)]
struct InstanceObject {
    service: String,
    endpoint: String,
    name: String,
    state: &'static str,
    role: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    version: String,
    safe: bool,
    concurrency: u64,
    credit: u64,
    queued: u64,
    running: u64,
    queue_max: u64,
    load: f64,
    metadata: BTreeMap<String, String>,
    requires: Vec<String>,
    age_seconds: f64,
}

impl InstanceObject {
    fn new(instance: &Instance) -> Self {
        let offer = instance.offer().clone();
        Self {
            service: instance.service().to_owned(),
            endpoint: instance.key().id.to_string(),
            name: instance.name().to_owned(),
            state: offer.state.as_str(),
            role: offer.role.as_str(),
            reason: offer.reason,
            version: offer.version,
            safe: offer.safe,
            concurrency: offer.concurrency,
            credit: offer.credit,
            queued: offer.queued,
            running: offer.running,
            queue_max: offer.queue_max,
            load: offer.load as f64 / 1_000.0,
            metadata: offer.metadata.into_iter().collect(),
            requires: offer.requires,
            age_seconds: instance.age().as_secs_f64(),
        }
    }

    /// One that is no endpoint, as a registry shows it.
    fn outside(view: &OutsideView) -> Self {
        let metadata = [("address".to_owned(), view.address.clone())];
        Self {
            service: view.service.clone(),
            endpoint: view.address.clone(),
            name: view.instance.clone(),
            state: word(&view.state),
            role: "registered",
            reason: view.reason.clone(),
            version: String::new(),
            safe: false,
            concurrency: 0,
            credit: 0,
            queued: 0,
            running: 0,
            queue_max: 0,
            load: 0.0,
            metadata: metadata.into_iter().collect(),
            requires: Vec::new(),
            age_seconds: 0.0,
        }
    }

    fn state(&self) -> String {
        if self.reason.is_empty() {
            self.state.to_owned()
        } else {
            format!("{}: {}", self.state, self.reason)
        }
    }
}

/// Instances that are there once discovery has settled, or after `wait`.
pub(crate) async fn find(
    endpoint: &Endpoint,
    service: Option<&str>,
    wait: Option<Duration>,
) -> Result<Vec<Instance>, Failure> {
    let mut watch = match service {
        Some(service) => endpoint.service(service)?,
        None => endpoint.services(),
    };
    match wait {
        Some(wait) => drop(tokio::time::timeout(wait, std::future::pending::<()>()).await),
        None => {
            endpoint.settled().await;
            // Where somebody does not say what it offers, silence has to do.
            if !watch.complete(ALL_SAY).await {
                while let Ok(Some(_)) = tokio::time::timeout(QUIET, watch.next()).await {}
            }
        }
    }
    let mut found = watch.instances();
    found.sort_by(|a, b| (a.service(), a.name(), a.key()).cmp(&(b.service(), b.name(), b.key())));
    Ok(found)
}

/// What is registered at a registry, if there is one.
async fn registered(endpoint: &Endpoint, service: Option<&str>) -> Vec<OutsideView> {
    match Registries::new(endpoint) {
        Ok(registries) => registries.find(service).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

/// A state as one of the words that are known here.
fn word(state: &str) -> &'static str {
    let known = ["passing", "warning", "critical", "maintenance"];
    known.into_iter().find(|word| *word == state).unwrap_or("unknown")
}

pub(crate) fn nobody(service: &str) -> Failure {
    let what = format!(
        "nobody offers {service:?}; it is not up, or in another realm; start it with: motet serve \
         {service}, or see: motet service list"
    );
    Failure::new(Exit::NotFound, "M0402", what)
}

pub(crate) async fn list(args: ListArgs, context: &Context) -> Result<Exit, Failure> {
    let begun = tokio::time::Instant::now();
    let endpoint = context.observe().await?;
    let found = find(&endpoint, None, args.wait).await?;
    let outside = registered(&endpoint, None).await;
    context.out.remark(format!(
        "listened {:.1} s, {} instances in realm {}",
        begun.elapsed().as_secs_f64(),
        found.len(),
        context.global.realm
    ));
    let mut rows: Vec<InstanceObject> = found.iter().map(InstanceObject::new).collect();
    rows.extend(outside.iter().map(InstanceObject::outside));
    let heads = ["SERVICE", "NAME", "ENDPOINT", "STATE", "ROLE", "VERSION", "QUEUED", "RUNNING"];
    context.out.table(&rows, heads, |it| {
        [
            it.service.clone(),
            it.name.clone(),
            it.endpoint.clone(),
            it.state(),
            it.role.to_owned(),
            it.version.clone(),
            it.queued.to_string(),
            it.running.to_string(),
        ]
    })?;
    Ok(Exit::Done)
}

pub(crate) async fn info(args: InfoArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.observe().await?;
    let found = find(&endpoint, Some(&args.service), args.wait).await?;
    let outside = registered(&endpoint, Some(&args.service)).await;
    if found.is_empty() && outside.is_empty() {
        return Err(nobody(&args.service));
    }
    let mut rows: Vec<InstanceObject> = found.iter().map(InstanceObject::new).collect();
    rows.extend(outside.iter().map(InstanceObject::outside));
    if !context.out.is_text() {
        context.out.table(&rows, [""], |_| [String::new()])?;
        return Ok(Exit::Done);
    }
    for it in rows {
        let meta: Vec<String> = it.metadata.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let lines = [
            ("endpoint", format!("{} {}", it.name, it.endpoint)),
            ("state", it.state()),
            ("role", it.role.to_owned()),
            ("version", it.version.clone()),
            ("repeating is safe", it.safe.to_string()),
            ("at once", format!("{}, per caller {}", it.concurrency, it.credit)),
            ("waiting", format!("{} of {}", it.queued, it.queue_max)),
            ("running", it.running.to_string()),
            ("metadata", meta.join(" ")),
            ("requires", it.requires.join(" ")),
            ("heard", format!("{} ago", shown(it.age_seconds))),
        ];
        context.out.line(&it.service)?;
        for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
            context.out.line(format!("  {name:18} {value}"))?;
        }
    }
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct StatsObject {
    service: String,
    endpoint: String,
    name: String,
    accepted: u64,
    answered: u64,
    failed: u64,
    refused: u64,
    repeated: u64,
    queued: u64,
    running: u64,
    mean_seconds: f64,
    rtt_seconds: f64,
}

/// Asks every instance how it stands; those that do not answer are told of on stderr.
async fn standing(args: &InfoArgs, context: &Context) -> Result<Vec<StatsObject>, Failure> {
    let endpoint = context.observe().await?;
    let found = find(&endpoint, Some(&args.service), args.wait).await?;
    if found.is_empty() {
        return Err(nobody(&args.service));
    }
    let mut rows = Vec::new();
    for instance in &found {
        let key = instance.key();
        let asked = endpoint.ping_service(&args.service, key.id, context.global.timeout).await;
        let (offer, stats, rtt) = match asked {
            Ok(answer) => answer,
            Err(error) => {
                context.out.remark(format!("{} {}: {error}", instance.name(), key.id));
                continue;
            }
        };
        let done = (stats.answered + stats.failed).max(1);
        rows.push(StatsObject {
            service: args.service.clone(),
            endpoint: key.id.to_string(),
            name: instance.name().to_owned(),
            accepted: stats.accepted,
            answered: stats.answered,
            failed: stats.failed,
            refused: stats.refused,
            repeated: stats.repeated,
            queued: offer.queued,
            running: offer.running,
            mean_seconds: stats.busy_us as f64 / 1e6 / done as f64,
            rtt_seconds: rtt.as_secs_f64(),
        });
    }
    Ok(rows)
}

pub(crate) async fn stats(args: InfoArgs, context: &Context) -> Result<Exit, Failure> {
    let rows = standing(&args, context).await?;
    let heads = [
        "NAME", "ACCEPTED", "ANSWERED", "FAILED", "REFUSED", "REPEATED", "QUEUED", "RUNNING",
        "MEAN",
    ];
    context.out.table(&rows, heads, |it| {
        [
            it.name.clone(),
            it.accepted.to_string(),
            it.answered.to_string(),
            it.failed.to_string(),
            it.refused.to_string(),
            it.repeated.to_string(),
            it.queued.to_string(),
            it.running.to_string(),
            shown(it.mean_seconds),
        ]
    })?;
    Ok(if rows.is_empty() { Exit::TimedOut } else { Exit::Done })
}

pub(crate) async fn ping(args: InfoArgs, context: &Context) -> Result<Exit, Failure> {
    let rows = standing(&args, context).await?;
    context.out.table(&rows, ["NAME", "ENDPOINT", "RTT"], |it| {
        [it.name.clone(), it.endpoint.clone(), shown(it.rtt_seconds)]
    })?;
    Ok(if rows.is_empty() { Exit::TimedOut } else { Exit::Done })
}

pub(crate) async fn wait(args: WaitArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.observe().await?;
    let mut watch = endpoint.service(&args.service)?;
    let limit = context.global.timeout;
    let enough = |watch: &motet::service::ServiceWatch| {
        let up = watch.instances().into_iter().filter(|it| it.state() == InstanceState::Up);
        up.count() >= args.instances
    };
    // Of what is no endpoint a registry knows, and is asked again from time to time.
    let counted = async || {
        let outside = registered(&endpoint, Some(&args.service)).await;
        outside.iter().filter(|it| ["passing", "warning"].contains(&it.state.as_str())).count()
    };
    let waited = tokio::time::timeout(limit, async {
        while !enough(&watch) {
            let outside = counted().await;
            if outside >= args.instances {
                return true;
            }
            if let Ok(None) = tokio::time::timeout(ASK_AGAIN, watch.next()).await {
                return false;
            }
        }
        true
    });
    if waited.await.unwrap_or(false) {
        return Ok(Exit::Done);
    }
    Err(Failure::timed_out(format!(
        "{:?} has {} of {} instances after {limit:?}; start more, or give it more --timeout",
        args.service,
        watch.instances().len(),
        args.instances
    )))
}

#[derive(Serialize)]
struct Dependency {
    service: String,
    required_by: String,
    instances: usize,
    state: &'static str,
}

pub(crate) async fn deps(args: InfoArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.observe().await?;
    let found = find(&endpoint, None, args.wait).await?;
    let own: Vec<&Instance> = found.iter().filter(|it| it.service() == args.service).collect();
    if own.is_empty() {
        return Err(nobody(&args.service));
    }
    let mut rows = Vec::new();
    let mut seen = Vec::new();
    let mut open = vec![args.service.clone()];
    while let Some(service) = open.pop() {
        if seen.contains(&service) {
            continue;
        }
        seen.push(service.clone());
        let of = found.iter().filter(|it| it.service() == service);
        let mut required: Vec<String> = of.flat_map(|it| it.offer().requires.clone()).collect();
        required.sort();
        required.dedup();
        for dependency in required {
            let up = found.iter().filter(|it| it.service() == dependency);
            let up = up.filter(|it| it.state() == InstanceState::Up).count();
            let state = if up == 0 { "down" } else { "up" };
            open.push(dependency.clone());
            let required_by = service.clone();
            rows.push(Dependency { service: dependency, required_by, instances: up, state });
        }
    }
    context.out.table(&rows, ["SERVICE", "REQUIRED BY", "INSTANCES", "STATE"], |it| {
        [it.service.clone(), it.required_by.clone(), it.instances.to_string(), it.state.to_owned()]
    })?;
    let down = rows.iter().any(|row| row.state == "down");
    Ok(if down { Exit::Failed } else { Exit::Done })
}

/// How often a registry is asked.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// So long all members are waited for to say what they offer.
const ALL_SAY: Duration = Duration::from_millis(300);
/// Without news for so long, everybody has said what it is.
const QUIET: Duration = Duration::from_millis(150);
