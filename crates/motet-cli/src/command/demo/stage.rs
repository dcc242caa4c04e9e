//! The processes of the demonstration, and what they have told so far.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::time::Duration;

use motet::Realms;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::cast::{Actor, Line};
use super::endpoint::{Order, Report, Told};
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// Who plays, and what was told.
pub(crate) struct Stage<'a> {
    context: &'a Context,
    realm: String,
    state: PathBuf,
    pub(crate) actors: BTreeMap<String, Actor>,
    /// How often each name was given.
    pub(crate) lives: BTreeMap<String, u32>,
    pub(crate) lines: Vec<(Instant, Line)>,
    sender: mpsc::UnboundedSender<Line>,
    receiver: mpsc::UnboundedReceiver<Line>,
    phase: String,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(context: &'a Context, state: PathBuf) -> Result<Self, Failure> {
        let realm = format!("demo-{:08x}", chance() as u32);
        Realms::at(&state)?.init(&realm)?;
        let (sender, receiver) = mpsc::unbounded_channel();
        Ok(Self {
            context,
            realm,
            state,
            actors: BTreeMap::new(),
            lives: BTreeMap::new(),
            lines: Vec::new(),
            sender,
            receiver,
            phase: String::new(),
        })
    }

    pub(crate) fn realm(&self) -> &str {
        &self.realm
    }

    /// Begins a phase.
    pub(crate) fn phase(&mut self, title: &str) -> Result<(), Failure> {
        self.phase = title.to_owned();
        self.context.out.line(self.context.out.accent(title))
    }

    /// Says one line about the phase.
    pub(crate) fn say(&self, line: impl AsRef<str>) -> Result<(), Failure> {
        self.context.out.line(format!("   {}", line.as_ref()))
    }

    /// A line that is not about a phase.
    pub(crate) fn write(&self, line: impl AsRef<str>) -> Result<(), Failure> {
        self.context.out.line(line)
    }

    /// A heading that is no phase.
    pub(crate) fn heading(&self, line: &str) -> Result<(), Failure> {
        self.context.out.line(self.context.out.accent(line))
    }

    /// Starts an endpoint.
    pub(crate) fn enter(&mut self, name: &str, impair: Option<&str>) -> Result<(), Failure> {
        let life = self.lives.entry(name.to_owned()).or_default();
        *life += 1;
        let actor =
            Actor::enter(name, *life, &self.realm, &self.state, impair, self.sender.clone())?;
        self.actors.insert(name.to_owned(), actor);
        Ok(())
    }

    pub(crate) async fn order(&mut self, name: &str, order: Order) {
        if let Some(actor) = self.actors.get_mut(name) {
            actor.order(&order).await;
        }
    }

    /// Waits until `found` finds what it looks for in the lines from `since` on.
    ///
    /// Fails, naming the phase, when that takes too long.
    pub(crate) async fn until<T>(
        &mut self,
        since: usize,
        what: &str,
        mut found: impl FnMut(&[(Instant, Line)]) -> Option<T>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + PHASE;
        loop {
            if let Some(found) = found(&self.lines[since..]) {
                return Ok(found);
            }
            match timeout_at(deadline, self.receiver.recv()).await {
                Ok(Some(line)) => {
                    if let (who, _, Told::Trouble { topic, what }) = &line {
                        return Err(self.failed(&format!("{who} on {topic}: {what}")));
                    }
                    self.lines.push((Instant::now(), line));
                }
                _ => return Err(self.failed(&format!("no {what} within {PHASE:?}"))),
            }
        }
    }

    /// The report of every endpoint that is on.
    pub(crate) async fn reports(&mut self) -> Result<BTreeMap<String, Report>, Failure> {
        let since = self.lines.len();
        let names: Vec<String> = self.actors.keys().cloned().collect();
        for name in &names {
            self.order(name, Order::Report).await;
        }
        self.until(since, "report of every endpoint", |lines| {
            let mut reports = BTreeMap::new();
            for (_, (who, _, told)) in lines {
                if let Told::Report(report) = told {
                    reports.insert(who.clone(), report.clone());
                }
            }
            (reports.len() == names.len()).then_some(reports)
        })
        .await
    }

    /// The phase did not hold.
    pub(crate) fn failed(&self, what: &str) -> Failure {
        let what = format!("phase {:?} failed; {what}; see: motet doctor", self.phase);
        Failure::new(Exit::Failed, "M0403", what)
    }

    /// Lets all endpoints say goodbye, at the same time.
    pub(crate) async fn close(&mut self) {
        let mut leaving = tokio::task::JoinSet::new();
        for (_, actor) in std::mem::take(&mut self.actors) {
            leaving.spawn(actor.leave());
        }
        while leaving.join_next().await.is_some() {}
    }
}

/// A number that another run does not have.
pub(crate) fn chance() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// What does not happen within this time does not happen.
const PHASE: Duration = Duration::from_secs(12);
/// An endpoint that says goodbye has ended after this.
pub(crate) const LEAVE: Duration = Duration::from_secs(3);
