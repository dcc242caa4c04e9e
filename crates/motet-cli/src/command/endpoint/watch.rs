//! `motet endpoint list --watch`: a line per change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use motet::report::MemberReport;
use motet::{DownReason, Endpoint, EndpointKey, Event};
use serde::Serialize;
use tokio::time::MissedTickBehavior;

use super::choice::Choice;
use crate::context::Context;
use crate::exit::Failure;
use crate::when::rfc3339;

/// What happened to an endpoint.
#[derive(Clone, Debug, Serialize)]
struct Change {
    time: String,
    /// `joined`, `suspect`, `alive` (again), `dead` or `left`.
    change: &'static str,
    name: String,
    id: String,
    address: String,
    tags: BTreeMap<String, String>,
    /// Of a death: how long it had been silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    silent_seconds: Option<f64>,
}

/// An endpoint that was told of.
#[derive(Clone, Debug)]
struct Known {
    name: String,
    address: String,
    tags: BTreeMap<String, String>,
}

/// Tells of each change until the endpoint closes. Begins with those who are there.
pub(crate) async fn run(
    endpoint: &Endpoint,
    choice: &Choice,
    context: &Context,
) -> Result<(), Failure> {
    let (known, suspects) = (BTreeMap::new(), BTreeSet::new());
    let mut watch = Watch { choice, context, known, suspects };
    let mut events = endpoint.events();
    let mut ticks = tokio::time::interval(LOOK_AGAIN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = events.next() => match event {
                None => return Ok(()),
                Some(event) => watch.hear(&event)?,
            },
            // Members without a session come and go without an event.
            _ = ticks.tick() => {
                // Events say more about the same.
                while let Some(event) = events.try_next() {
                    watch.hear(&event)?;
                }
                watch.look(endpoint)?;
            }
        }
    }
}

struct Watch<'a> {
    choice: &'a Choice,
    context: &'a Context,
    known: BTreeMap<EndpointKey, Known>,
    /// Of them, those that do not answer.
    suspects: BTreeSet<EndpointKey>,
}

impl Watch<'_> {
    fn hear(&mut self, event: &Event) -> Result<(), Failure> {
        match event {
            Event::PeerSuspect { key } => self.suspect(*key),
            Event::PeerDown { key, reason, silent, .. } => self.down(*key, *reason, Some(*silent)),
            Event::Overrun { n } => {
                self.context.out.remark(format!("{n} changes came too fast to be told"));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn suspect(&mut self, key: EndpointKey) -> Result<(), Failure> {
        match self.known.get(&key) {
            Some(known) if self.suspects.insert(key) => self.tell("suspect", key, known, None),
            _ => Ok(()),
        }
    }

    fn down(
        &mut self,
        key: EndpointKey,
        reason: DownReason,
        silent: Option<Duration>,
    ) -> Result<(), Failure> {
        self.suspects.remove(&key);
        let Some(known) = self.known.remove(&key) else { return Ok(()) };
        match reason {
            DownReason::Silent | DownReason::Protocol => {
                self.tell("dead", key, &known, silent.map(|silent| silent.as_secs_f64()))
            }
            _ => self.tell("left", key, &known, None),
        }
    }

    /// Who has come, who answers again, and who is gone without a session to end.
    fn look(&mut self, endpoint: &Endpoint) -> Result<(), Failure> {
        for member in endpoint.members() {
            let Some(key) = key_of(&member) else { continue };
            let here = matches!(&*member.state, "alive" | "quiet");
            let wanted = self.choice.role(&member) && self.choice.tags(&member.tags);
            if here && wanted && !member.name.is_empty() && !self.known.contains_key(&key) {
                let MemberReport { name, address, tags, .. } = member;
                let known = Known { name, address, tags };
                self.tell("joined", key, &known, None)?;
                self.known.insert(key, known);
            } else if here && self.suspects.remove(&key) {
                if let Some(known) = self.known.get(&key) {
                    self.tell("alive", key, known, None)?;
                }
            } else if member.state == "suspect" {
                self.suspect(key)?;
            } else if member.state == "left" {
                self.down(key, DownReason::Left, None)?;
            } else if member.state == "dead" {
                self.down(key, DownReason::Silent, None)?;
            }
        }
        Ok(())
    }

    fn tell(
        &self,
        change: &'static str,
        key: EndpointKey,
        known: &Known,
        silent_seconds: Option<f64>,
    ) -> Result<(), Failure> {
        if !self.choice.change(change) {
            return Ok(());
        }
        let Known { name, address, tags } = known.clone();
        let (time, id) = (rfc3339(SystemTime::now()), key.id.to_string());
        let change = Change { time, change, name, id, address, tags, silent_seconds };
        if !self.context.out.is_text() {
            return self.context.out.object(&change);
        }
        let tags: String = change.tags.iter().map(|(k, v)| format!(" {k}={v}")).collect();
        let silent =
            change.silent_seconds.map_or_else(String::new, |s| format!(" silent for {s:.1} s"));
        let Change { time, change, name, id, address, .. } = change;
        self.context.out.line(format!("{time} {change} {name} {id} {address}{tags}{silent}"))
    }
}

fn key_of(member: &MemberReport) -> Option<EndpointKey> {
    let id = motet::parse_id(&member.id)?;
    Some(EndpointKey { id, incarnation: member.incarnation })
}

/// How often it is looked who is there.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
