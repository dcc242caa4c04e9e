//! `motet service watch [SERVICE]`: each change of services and registrations, a line each.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use motet::role::{OutsideView, Registries};
use motet::service::{Change, ServiceChange};
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;

/// What `motet service watch` is told.
#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    /// The service; without it all of them
    service: Option<String>,
    /// End after so many changes; 0: never
    #[arg(short = 'n', long, default_value_t = 0, value_name = "N")]
    changes: u64,
}

/// One change.
#[derive(Debug, Serialize)]
struct ChangeObject {
    change: &'static str,
    service: String,
    name: String,
    /// An endpoint's id, or where a registered one can be reached.
    at: String,
    state: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    role: &'static str,
}

impl ChangeObject {
    fn of(change: &ServiceChange) -> Self {
        let instance = &change.instance;
        let offer = instance.offer();
        Self {
            change: match change.change {
                Change::Up => "up",
                Change::Silent => "silent",
                Change::Back => "back",
                Change::Gone => "gone",
                _ => "changed",
            },
            service: instance.service().to_owned(),
            name: instance.name().to_owned(),
            at: instance.key().id.to_string(),
            state: offer.state.as_str().to_owned(),
            reason: offer.reason.clone(),
            version: offer.version.clone(),
            role: offer.role.as_str(),
        }
    }

    fn outside(change: &'static str, view: &OutsideView) -> Self {
        Self {
            change,
            service: view.service.clone(),
            name: view.instance.clone(),
            at: view.address.clone(),
            state: view.state.clone(),
            reason: view.reason.clone(),
            version: String::new(),
            role: "registered",
        }
    }

    fn line(&self) -> String {
        let Self { change, service, name, at, state, reason, version, role } = self;
        let mut line = format!("{change} {service} {name}");
        for word in [at.as_str(), role, state, version] {
            if !word.is_empty() {
                line.push(' ');
                line.push_str(word);
            }
        }
        if !reason.is_empty() {
            line.push_str(": ");
            line.push_str(reason);
        }
        line
    }
}

/// What registries have, by service and instance.
type Registered = BTreeMap<(String, String), OutsideView>;

/// What has changed between two answers of the registries.
fn changes(was: &Registered, is: &Registered) -> Vec<ChangeObject> {
    let gone = was.iter().filter(|(key, _)| !is.contains_key(*key));
    let gone = gone.map(|(_, view)| ChangeObject::outside("gone", view));
    let news = is.iter().filter_map(|(key, view)| match was.get(key) {
        None => Some(ChangeObject::outside("up", view)),
        Some(old) => {
            let same = (&old.state, &old.reason, &old.address)
                == (&view.state, &view.reason, &view.address);
            (!same).then(|| ChangeObject::outside("changed", view))
        }
    });
    gone.chain(news).collect()
}

pub(crate) async fn run(args: WatchArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.observe().await?;
    let mut watch = match &args.service {
        Some(service) => endpoint.service(service)?,
        None => endpoint.services(),
    };
    let registries = Registries::new(&endpoint)?;
    let mut registered = Registered::new();
    let mut interrupt = Interrupt::listen();
    let mut ticks = tokio::time::interval(ASK_AGAIN);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut told = 0;
    loop {
        let news = tokio::select! {
            () = interrupt.caught() => return Ok(Exit::Done),
            change = watch.next() => match change {
                Some(change) => vec![ChangeObject::of(&change)],
                None => return Ok(Exit::Done),
            },
            _ = ticks.tick() => {
                // Without a registry nothing is known of them, which is no end.
                let Ok(found) = registries.find(args.service.as_deref()).await else { continue };
                let key = |view: &OutsideView| (view.service.clone(), view.instance.clone());
                let found: Registered = found.into_iter().map(|it| (key(&it), it)).collect();
                let news = changes(&registered, &found);
                registered = found;
                news
            }
        };
        for change in news {
            if context.out.is_text() {
                context.out.line(change.line())?;
            } else {
                context.out.object(&change)?;
            }
            told += 1;
            if args.changes > 0 && told >= args.changes {
                return Ok(Exit::Done);
            }
        }
    }
}

/// How often registries are asked.
const ASK_AGAIN: Duration = Duration::from_millis(250);
