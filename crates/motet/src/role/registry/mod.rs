//! The role registry: a view over who offers what, and notices to those who require it.
//!
//! It answers as service `motet.registry`, in words:
//!
//! | question | answer |
//! |---|---|
//! | `list` | one service a line: name, how it stands, instances that take work of all |
//! | `ready NAME` | `ready`, or `waits for` and what is missing, a line each |
//! | `notices NAME AFTER` | parts, one notice each, those after number AFTER first, then as they come |
//! | CBOR (first byte above 7F) | registrations of services that are no endpoints: B-33 to B-38 |
//! | anything else | failure 501 |
//!
//! What endpoints offer it learns anew from their offers; what was registered, from owners that
//! renew, if it has a file from its disk, and when it has begun from registries that are there (B-39).
//! Any number may run: owners register with all of them.

mod probe;
mod registering;
mod store;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use motet_proto::roles::checks::Health;
use motet_proto::roles::registrations::{Registered, RegistrationCounters, Registrations};
use motet_proto::roles::requirements::{Requirements, Standing};
use motet_proto::{EndpointKey, Time};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use registering::Page;
use store::{Kept, Store};

use super::pause;
use super::registered::REGISTRY;
use crate::endpoint::Endpoint;
use crate::service::{
    Answer, CallOptions, Caller, Change, Instance, InstanceState, Request, Role, ServeError,
    ServeOptions, Server, ServiceStatus, ServiceWatch, WaitFor,
};

/// A registry to be started.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Registry {
    state: Option<PathBuf>,
    commands: Option<PathBuf>,
}

impl Registry {
    /// One that knows nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers in this file what is registered and what dependants require, so that those who are
    /// away while the registry restarts are still known. Without it they are known again as soon as
    /// they are there. A file that is damaged, or open elsewhere, is refused at the start.
    pub fn state(mut self, file: impl Into<PathBuf>) -> Self {
        self.state = Some(file.into());
        self
    }

    /// Runs programs of this folder as checks, for whoever names one. Without it such checks are
    /// refused: a registration must not start what it likes on this machine.
    pub fn commands(mut self, folder: impl Into<PathBuf>) -> Self {
        self.commands = Some(folder.into());
        self
    }

    /// Starts it on an endpoint; it runs until the handle is dropped.
    ///
    /// # Errors
    /// [`ServeError`]: this endpoint is a registry already, or has closed; the file of its state.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn start(self, endpoint: &Endpoint) -> Result<RegistryHandle, ServeError> {
        let store = self.state.as_deref().map(Store::open).transpose();
        let store = store.map_err(ServeError::Invalid)?;
        let server = endpoint.serve(REGISTRY, ServeOptions::new().concurrency(OPEN)).await?;
        let (orders, taken) = mpsc::channel(16);
        let options = CallOptions::new().tries(1).timeout(GIVE_UP).wait(WaitFor::Nothing);
        let others = endpoint
            .caller(REGISTRY, options)
            .map_err(|error| ServeError::Invalid(error.to_string()))?;
        let (handed_back, handed) = mpsc::channel(16);
        let mut desk = Desk {
            endpoint: endpoint.clone(),
            watch: endpoint.services(),
            server,
            machine: Requirements::new(),
            needs: BTreeMap::new(),
            waiting: Vec::new(),
            store,
            commands: self.commands,
            outside: Registrations::new(),
            kept: BTreeMap::new(),
            jobs: JoinSet::new(),
            news: VecDeque::new(),
            offered: BTreeSet::new(),
            born: endpoint.hold.core.clock.now(),
            others,
            asked: BTreeSet::new(),
            handed_back,
        };
        desk.remember().map_err(ServeError::Invalid)?;
        tokio::spawn(desk.run(taken, handed));
        Ok(RegistryHandle { orders })
    }
}

/// A registry that runs. Dropping the last clone ends it.
#[derive(Clone, Debug)]
pub struct RegistryHandle {
    orders: mpsc::Sender<Order>,
}

/// What a handle asks.
#[derive(Debug)]
enum Order {
    List(oneshot::Sender<Vec<ServiceLine>>),
    News(oneshot::Sender<(Vec<String>, RegistrationCounters)>),
}

/// How one service stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceLine {
    /// Its name.
    pub service: Arc<str>,
    /// How it stands.
    pub standing: Standing,
    /// Instances that take work.
    pub takes: usize,
    /// All of its instances.
    pub instances: usize,
}

impl ServiceLine {
    /// How it stands, as one word: missing, down, degraded, up.
    #[must_use]
    pub fn word(&self) -> &'static str {
        in_words(self.standing)
    }
}

impl RegistryHandle {
    /// How each service stands; `None` after the endpoint has closed.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn list(&self) -> Option<Vec<ServiceLine>> {
        let (tell, told) = oneshot::channel();
        self.orders.send(Order::List(tell)).await.ok()?;
        told.await.ok()
    }

    /// What has happened to registrations since the last call, a line each (1,024 are kept), and
    /// what was counted; `None` after the endpoint has closed.
    ///
    /// # Cancel safety
    /// Abandoned, lines may be lost.
    pub async fn news(&self) -> Option<(Vec<String>, RegistrationCounters)> {
        let (tell, told) = oneshot::channel();
        self.orders.send(Order::News(tell)).await.ok()?;
        told.await.ok()
    }
}

/// One who waits for notices.
struct Waiting {
    dependant: String,
    seq: u64,
    request: Request,
}

struct Desk {
    endpoint: Endpoint,
    watch: ServiceWatch,
    server: Server,
    machine: Requirements,
    /// What each instance requires: by dependant and instance.
    needs: BTreeMap<String, BTreeMap<EndpointKey, Vec<String>>>,
    waiting: Vec<Waiting>,
    store: Option<Store>,
    commands: Option<PathBuf>,
    /// Services that are no endpoints.
    outside: Registrations,
    /// Each of them as it lies on the disk, if there is one: nothing is written twice.
    kept: BTreeMap<Registered, Vec<u8>>,
    jobs: JoinSet<(u64, Health, String)>,
    /// Lines for the operator.
    news: VecDeque<String>,
    /// Registrations of instances that their owners offer themselves: these are counted by their offers.
    offered: BTreeSet<Registered>,
    born: Time,
    others: Caller,
    /// Registries that were asked for what they hold.
    asked: BTreeSet<EndpointKey>,
    handed_back: mpsc::Sender<Page>,
}

impl Desk {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>, mut handed: mpsc::Receiver<Page>) {
        loop {
            let now = self.endpoint.hold.core.clock.now();
            let due = self.machine.next_tick().min(self.outside.next_due());
            let due = due.since(now).clamp(SOON, LONGEST);
            tokio::select! {
                order = orders.recv() => match order {
                    // Whoever no longer waits does not mind.
                    Some(Order::List(tell)) => drop(tell.send(self.lines())),
                    Some(Order::News(tell)) => {
                        let news = self.news.drain(..).collect();
                        drop(tell.send((news, self.outside.counters())));
                    }
                    None => return,
                },
                change = self.watch.next() => match change {
                    Some(change) => self.changed(change.change, &change.instance).await,
                    None => return,
                },
                request = self.server.next() => match request {
                    Some(request) => self.answer(request).await,
                    None => return,
                },
                Some(page) = handed.recv() => self.take_over(page).await,
                Some(done) = self.jobs.join_next() => {
                    if let Ok((ticket, health, text)) = done {
                        let now = self.endpoint.hold.core.clock.now();
                        self.outside.finished(now, ticket, health, &text);
                    }
                }
                () = pause(due) => {}
            }
            let now = self.endpoint.hold.core.clock.now();
            self.look_after(now).await;
            self.machine.tick(now);
            self.tell();
        }
    }

    fn lines(&self) -> Vec<ServiceLine> {
        let each = self.machine.services().map(|(service, standing, takes, instances)| {
            ServiceLine { service: Arc::clone(service), standing, takes, instances }
        });
        let missing = self.machine.never_offered().into_iter().map(|service| {
            let standing = Standing::Missing;
            ServiceLine { service, standing, takes: 0, instances: 0 }
        });
        each.chain(missing).collect()
    }

    async fn changed(&mut self, change: Change, instance: &Instance) {
        if instance.service() == REGISTRY && change == Change::Up {
            let now = self.endpoint.hold.core.clock.now();
            self.ask_for_all(now, instance.key());
        }
        if instance.role() == Role::Broker || instance.service().starts_with(ROLES) {
            return;
        }
        let now = self.endpoint.hold.core.clock.now();
        let (service, key) = (instance.service(), instance.key());
        if change == Change::Gone {
            self.machine.gone(now, service, key);
            return;
        }
        let takes = change != Change::Silent && instance.state() == InstanceState::Up;
        self.machine.instance(now, service, key, takes);
        // A program is known by the service that it offers; its instances require alike.
        let requires = instance.offer().requires.clone();
        if !requires.is_empty() {
            let known = self.needs.entry(service.to_owned()).or_default();
            known.retain(|other, _| *other == key);
            if known.insert(key, requires.clone()).as_ref() != Some(&requires) {
                self.machine.need(service, requires.iter().map(|it| optional(it)));
                self.keep(service, &requires).await;
            }
        }
    }

    async fn answer(&mut self, mut request: Request) {
        if request.body().first().is_some_and(|byte| *byte > 0x7f) {
            return self.registering(request).await;
        }
        let text = String::from_utf8_lossy(request.body()).into_owned();
        let words: Vec<&str> = text.split_whitespace().collect();
        let answer = match *words {
            ["list"] => Answer::new(self.lines().iter().fold(String::new(), |mut all, line| {
                let standing = in_words(line.standing);
                // Writing to a String does not fail.
                let _ =
                    writeln!(all, "{} {standing} {}/{}", line.service, line.takes, line.instances);
                all
            })),
            ["ready", name] => {
                let missing = self.machine.missing(name);
                let lines = missing.iter().map(|service| format!("waits for {service}"));
                let lines = lines.collect::<Vec<_>>().join("\n");
                Answer::new(if lines.is_empty() { "ready".to_owned() } else { lines })
            }
            ["notices", name, after] if after.parse::<u64>().is_ok() => {
                if self.waiting.len() >= WAITING_MAX {
                    Answer::status(ServiceStatus::Overload, "too many wait for notices here")
                } else {
                    let seq = after.parse().unwrap_or(0);
                    // A part, so that the caller knows it is heard.
                    if request.part("following").is_ok() {
                        self.waiting.push(Waiting { dependant: name.to_owned(), seq, request });
                    }
                    return;
                }
            }
            _ => {
                let known = "list, ready NAME, notices NAME AFTER";
                Answer::failed(501, format!("unknown question {text:?}; known are: {known}"))
            }
        };
        // Nobody waiting for it is fine.
        let _ = request.answer(answer);
    }

    /// Gives those who wait what they have not had.
    fn tell(&mut self) {
        self.waiting.retain(|waiting| !waiting.request.is_cancelled());
        for waiting in &mut self.waiting {
            let (lost, notices) = self.machine.since(&waiting.dependant, waiting.seq);
            if lost > 0
                && waiting.request.part(format!("{lost} notices are no longer kept")).is_err()
            {
                continue;
            }
            for notice in notices {
                let need = if notice.optional { "optional" } else { "required" };
                let standing = in_words(notice.standing);
                let line = format!("{} {} {standing} {need}", notice.seq, notice.service);
                // One who is slow gets the rest with the next change.
                if waiting.request.part(line).is_err() {
                    break;
                }
                waiting.seq = notice.seq;
            }
        }
    }

    /// Takes up what stood before a restart (B-38).
    fn remember(&mut self) -> Result<(), String> {
        let Some(store) = self.store.clone() else { return Ok(()) };
        for (name, needs) in store.all(Kept::Needs)? {
            let name = String::from_utf8_lossy(&name).into_owned();
            let needs = String::from_utf8_lossy(&needs).into_owned();
            self.machine.need(&name, needs.split('\t').map(optional));
        }
        for (_, value) in store.all(Kept::Registered)? {
            self.restore(&value)?;
        }
        Ok(())
    }

    /// Writes what a dependant requires.
    async fn keep(&mut self, name: &str, needs: &[String]) {
        let Some(store) = &self.store else { return };
        let (key, value) = (name.as_bytes().to_vec(), needs.join("\t").into_bytes());
        if let Err(error) = store.put(Kept::Needs, key, Some(value)).await {
            self.note(error);
        }
    }

    /// A line for the operator.
    fn note(&mut self, line: String) {
        if self.news.len() >= NEWS_MAX {
            self.news.pop_front();
        }
        self.news.push_back(line);
    }
}

/// A requirement and whether it is optional: `log?`.
fn optional(need: &str) -> (&str, bool) {
    need.strip_suffix('?').map_or((need, false), |need| (need, true))
}

/// As one word.
fn in_words(standing: Standing) -> &'static str {
    match standing {
        Standing::Missing => "missing",
        Standing::Down => "down",
        Standing::Degraded => "degraded",
        Standing::Up => "up",
    }
}

/// Another registry that does not answer within this is given up.
const GIVE_UP: Duration = Duration::from_secs(2);
/// Lines for the operator that are kept.
const NEWS_MAX: usize = 1_024;
/// Services of roles are not listed.
const ROLES: &str = "motet.";
/// Requests open at once, those that wait for notices among them.
const OPEN: u32 = 10_000;
/// Dependants that wait for notices.
const WAITING_MAX: usize = 4_096;
/// The shortest and the longest pause between two looks.
const SOON: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(5);
