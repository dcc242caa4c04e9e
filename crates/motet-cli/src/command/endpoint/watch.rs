//! `motet endpoint list --watch`: a line per change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use motet::report::PeerReport;
use motet::{DownReason, Endpoint, EndpointKey, Event};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::choice::{Choice, tags_of};
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
    let mut watch = Watch {
        choice,
        context,
        asks: choice.needs_tags() || choice.observers || !context.out.is_text(),
        known: BTreeMap::new(),
        suspects: BTreeSet::new(),
    };
    let mut events = endpoint.events();
    let (asked, mut answers) = mpsc::channel::<(EndpointKey, Known)>(ANSWERS_MAX);
    let mut ticks = tokio::time::interval(LOOK_AGAIN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = events.next() => match event {
                None => return Ok(()),
                Some(Event::PeerUp { key, name }) => {
                    // Gone already: then it is told of as gone, or never was.
                    let Some(known) = watch.meet(endpoint, key, &name) else { continue };
                    if watch.asks {
                        let (endpoint, asked) = (endpoint.clone(), asked.clone());
                        tokio::spawn(async move {
                            let tags = tags_of(&endpoint, &key.id.to_string()).await;
                            let _ = asked.send((key, Known { tags, ..known })).await;
                        });
                    } else {
                        watch.joined(key, known)?;
                    }
                }
                Some(Event::PeerSuspect { key }) => watch.suspect(key)?,
                Some(Event::PeerDown { key, reason, silent, .. }) => {
                    watch.down(key, reason, silent)?;
                }
                Some(Event::Overrun { n }) => {
                    context.out.remark(format!("{n} changes came too fast to be told"));
                }
                Some(_) => {}
            },
            Some((key, known)) = answers.recv() => {
                // It may be gone by now.
                if endpoint.peers().iter().any(|peer| is(peer, key)) {
                    watch.joined(key, known)?;
                }
            }
            _ = ticks.tick(), if !watch.suspects.is_empty() => watch.look(endpoint)?,
        }
    }
}

struct Watch<'a> {
    choice: &'a Choice,
    context: &'a Context,
    asks: bool,
    known: BTreeMap<EndpointKey, Known>,
    /// Of them, those that do not answer.
    suspects: BTreeSet<EndpointKey>,
}

impl Watch<'_> {
    fn meet(&self, endpoint: &Endpoint, key: EndpointKey, name: &str) -> Option<Known> {
        let peers = endpoint.peers();
        let peer = peers.iter().find(|peer| is(peer, key))?;
        self.choice.role(peer).then(|| Known {
            name: name.to_owned(),
            address: peer.address.clone(),
            tags: BTreeMap::new(),
        })
    }

    fn joined(&mut self, key: EndpointKey, known: Known) -> Result<(), Failure> {
        if self.choice.tags(&known.tags) && !self.known.contains_key(&key) {
            self.tell("joined", key, &known, None)?;
            self.known.insert(key, known);
        }
        Ok(())
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
        silent: Duration,
    ) -> Result<(), Failure> {
        self.suspects.remove(&key);
        let Some(known) = self.known.remove(&key) else { return Ok(()) };
        match reason {
            DownReason::Silent | DownReason::Protocol => {
                self.tell("dead", key, &known, Some(silent.as_secs_f64()))
            }
            _ => self.tell("left", key, &known, None),
        }
    }

    /// Suspects that answer again: there is no event for it.
    fn look(&mut self, endpoint: &Endpoint) -> Result<(), Failure> {
        let peers = endpoint.peers();
        let back = |key: &&EndpointKey| {
            peers.iter().any(|peer| is(peer, **key) && matches!(&*peer.state, "alive" | "quiet"))
        };
        let back: Vec<EndpointKey> = self.suspects.iter().filter(back).copied().collect();
        for key in back {
            self.suspects.remove(&key);
            if let Some(known) = self.known.get(&key) {
                self.tell("alive", key, known, None)?;
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

fn is(peer: &PeerReport, key: EndpointKey) -> bool {
    peer.incarnation == key.incarnation && peer.id == key.id.to_string()
}

/// How often it is looked whether a suspect answers again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Answers that wait; more askers wait with them.
const ANSWERS_MAX: usize = 64;
