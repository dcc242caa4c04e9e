//! Questions that a broker answers itself, as service `motet.broker`: no worker sees them.
//!
//! | question | answer |
//! |---|---|
//! | `service NAME` | `200` if somebody works on it, `404` if not |
//! | `services` | one name a line |
//! | `workers NAME` | one endpoint id a line |
//! | `peers` | one name a line |
//! | `stats` | `name=value` lines, then one line for each service |
//! | anything else | failure 501 |

use std::fmt::Write as _;
use std::time::Duration;

use motet_proto::roles::broker::Broker as Machine;

use super::Report;
use crate::endpoint::Endpoint;
use crate::service::{Answer, CallError, CallOptions, Instance, InstanceState, Role};

/// The service of questions to brokers.
pub(super) const QUESTIONS: &str = "motet.broker";

/// Answers a question (B-16).
pub(super) fn answer(body: &[u8], machine: &Machine, report: &Report) -> Answer {
    let text = String::from_utf8_lossy(body);
    let mut words = text.split_whitespace();
    let lines = match (words.next(), words.next(), words.next()) {
        (Some("service"), Some(name), None) => {
            return Answer::new(if machine.knows(name) { "200" } else { "404" });
        }
        (Some("services"), None, _) => join(machine.services_known().iter()),
        (Some("workers"), Some(name), None) => {
            let workers = report.services.iter().filter(|service| *service.service == *name);
            join(workers.flat_map(|service| &service.workers).map(|worker| worker.id))
        }
        (Some("peers"), None, _) => join(report.peers.iter()),
        (Some("stats"), None, _) => stats(report),
        _ => {
            let known = "service NAME, services, workers NAME, peers, stats";
            return Answer::failed(501, format!("unknown question {text:?}; known are: {known}"));
        }
    };
    Answer::new(lines)
}

fn join(lines: impl Iterator<Item = impl std::fmt::Display>) -> String {
    lines.fold(String::new(), |mut all, line| {
        // Writing to a String does not fail.
        let _ = writeln!(all, "{line}");
        all
    })
}

fn stats(report: &Report) -> String {
    let c = &report.counters;
    let pairs = [
        ("requests", c.requests),
        ("given", c.given),
        ("forwarded", c.forwarded),
        ("answered", c.answered),
        ("requeued", c.requeued),
        ("cancelled", c.cancelled),
        ("ignored", c.ignored),
        ("no_workers", c.no_workers),
        ("overload", c.overload),
        ("late", c.late),
        ("loops", c.loops),
        ("unknown", c.unknown),
        ("yielded", c.yielded),
        ("silenced", c.silenced),
        ("inquiries", c.inquiries),
        ("returned", c.returned),
        ("turned_down", c.turned_down),
        ("absurd", c.absurd),
        ("broken", report.broken),
        ("rate", report.rate),
        ("peers", report.peers.len() as u64),
    ];
    let mut text = join(pairs.iter().map(|(name, value)| format!("{name}={value}")));
    text += &join(report.services.iter().map(|service| {
        format!(
            "service {} workers={} free={} waiting={} running={} accepted={} answered={}",
            service.service,
            service.workers.len(),
            service.free,
            service.waiting,
            service.running,
            service.accepted,
            service.answered
        )
    }));
    text
}

/// Asks whether a service exists: a broker if there is one, else everybody. The answer is the same.
///
/// # Errors
/// [`CallError`]: a broker is there and does not answer.
///
/// # Cancel safety
/// Cancel safe.
pub async fn ask_broker(
    endpoint: &Endpoint,
    question: &str,
    limit: Duration,
) -> Result<String, CallError> {
    let options = CallOptions::new().timeout(limit).safe();
    let asked = endpoint.caller(QUESTIONS, options)?.call(question.to_owned()).await;
    match asked {
        Ok(reply) => Ok(String::from_utf8_lossy(reply.body()).into_owned()),
        Err(error @ CallError::NoResponders { .. }) => match question.split_once(' ') {
            Some(("service", name)) => {
                let there = is_offered(endpoint, name.trim()).await?;
                Ok(if there { "200" } else { "404" }.to_owned())
            }
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Whether somebody says that it works on a service, as far as is heard within the time in which
/// discovery settles.
async fn is_offered(endpoint: &Endpoint, service: &str) -> Result<bool, CallError> {
    let mut watch = endpoint.service(service)?;
    let works = |instance: &Instance| {
        let up = instance.state() == InstanceState::Up && !instance.is_silent();
        instance.role() != Role::Broker && up
    };
    let heard = async {
        while let Some(change) = watch.next().await {
            if works(&change.instance) {
                return true;
            }
        }
        false
    };
    Ok(tokio::time::timeout(SETTLING, heard).await.unwrap_or(false))
}

/// How long offers are waited for where nobody can be asked.
const SETTLING: Duration = Duration::from_millis(500);
