//! The loop of a name server.

use std::collections::BTreeMap;
use std::time::Duration;

use motet_proto::roles::leases::{
    Change, Denied, LeaseCounters, Leases, Named, Record, Registered,
};
use motet_proto::{EndpointId, Time};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::messages::{Ask, Differing, Done, Entry, decode};
use super::{NAMES, SYNC, YOUNG};
use crate::ask::encode;
use crate::endpoint::Endpoint;
use crate::role::pause;
use crate::service::{
    Answer, Ask as Call, CallOptions, Caller, Change as Turn, Request, ServeError, ServeOptions,
    Server, ServiceStatus, ServiceWatch, WaitFor,
};

/// A name server to be started.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct NameServer {}

impl NameServer {
    /// With nothing registered: it learns from the others.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts it on an endpoint; it runs until the handle is dropped.
    ///
    /// # Errors
    /// [`ServeError`]: this endpoint is a name server already, or has closed.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn start(self, endpoint: &Endpoint) -> Result<NameServerHandle, ServeError> {
        let server =
            endpoint.serve(NAMES, ServeOptions::new().concurrency(OPEN).queue(OPEN)).await?;
        let options = CallOptions::new().tries(1).timeout(SYNC).wait(WaitFor::Nothing);
        let others = endpoint
            .caller(NAMES, options)
            .map_err(|error| ServeError::Invalid(error.to_string()))?;
        let watch =
            endpoint.service(NAMES).map_err(|error| ServeError::Invalid(error.to_string()))?;
        let (orders, taken) = mpsc::channel(16);
        let (back, merged) = mpsc::channel(256);
        let desk = Desk {
            endpoint: endpoint.clone(),
            leases: Leases::new(),
            server,
            others,
            watch,
            peers: BTreeMap::new(),
            watchers: Vec::new(),
            back,
            foreign: 0,
            grown_at: Some(endpoint.hold.core.clock.now() + ALONE_FOR),
        };
        tokio::spawn(desk.run(taken, merged));
        Ok(NameServerHandle { orders })
    }
}

/// A name server that runs. Dropping the last clone ends it.
#[derive(Clone, Debug)]
pub struct NameServerHandle {
    orders: mpsc::Sender<oneshot::Sender<NameReport>>,
}

/// How a name server stands.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NameReport {
    /// Leases that stand.
    pub held: usize,
    /// Ends that are remembered.
    pub ended: usize,
    /// Other name servers.
    pub peers: usize,
    /// What it has counted.
    pub counters: LeaseCounters,
    /// Messages that it could not read.
    pub unread: u64,
}

impl NameServerHandle {
    /// How it stands; `None` after its endpoint has closed.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn report(&self) -> Option<NameReport> {
        let (tell, told) = oneshot::channel();
        self.orders.send(tell).await.ok()?;
        told.await.ok()
    }
}

struct Watcher {
    group: String,
    name: Option<String>,
    request: Request,
}

struct Desk {
    endpoint: Endpoint,
    leases: Leases,
    server: Server,
    others: Caller,
    watch: ServiceWatch,
    peers: BTreeMap<EndpointId, String>,
    watchers: Vec<Watcher>,
    back: mpsc::Sender<(EndpointId, Differing, bool)>,
    /// Messages that make no sense.
    foreign: u64,
    /// When it knows all that it can know, if nobody tells it before; `None` from then on.
    grown_at: Option<Time>,
}

impl Desk {
    async fn run(
        mut self,
        mut orders: mpsc::Receiver<oneshot::Sender<NameReport>>,
        mut merged: mpsc::Receiver<(EndpointId, Differing, bool)>,
    ) {
        let mut ticks = tokio::time::interval(SYNC);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = self.now();
            let expiry = self.leases.next_expiry().since(now).clamp(SOON, Duration::from_secs(60));
            tokio::select! {
                order = orders.recv() => match order {
                    // Whoever no longer waits does not mind.
                    Some(tell) => drop(tell.send(self.report())),
                    None => return,
                },
                request = self.server.next() => match request {
                    Some(request) => self.answer(request),
                    None => return,
                },
                Some((from, theirs, whole)) = merged.recv() => {
                    self.reconcile(from, &theirs);
                    if whole {
                        self.grown_at = None;
                    }
                }
                change = self.watch.next() => match change {
                    Some(change) => {
                        let key = change.instance.key();
                        if key != self.endpoint.key() {
                            if change.change == Turn::Gone {
                                self.peers.remove(&key.id);
                            } else if self.peers.insert(key.id, change.instance.name().into()).is_none() {
                                self.compare(key.id);
                            }
                        }
                    }
                    None => return,
                },
                _ = ticks.tick() => {
                    for peer in self.peers.keys().copied().collect::<Vec<_>>() {
                        self.compare(peer);
                    }
                    self.watchers.retain(|watcher| !watcher.request.is_cancelled());
                }
                () = pause(expiry) => {}
            }
            let now = self.now();
            self.leases.expire(now);
            self.tell();
        }
    }

    fn now(&self) -> Time {
        self.endpoint.hold.core.clock.now()
    }

    fn report(&self) -> NameReport {
        let (held, ended) = self.leases.len();
        let (peers, counters) = (self.peers.len(), self.leases.counters());
        NameReport { held, ended, peers, counters, unread: self.foreign }
    }

    fn answer(&mut self, request: Request) {
        let (now, from) = (self.now(), request.origin());
        let answer = match decode::<Ask>(request.body()) {
            Some(Ask::Register { entry }) => self.register(now, from, &entry),
            Some(Ask::Remove { entry }) => self.remove(now, from, &entry),
            Some(Ask::Find { group, name }) => {
                self.signed(now, self.find(now, &group, name.as_deref()))
            }
            Some(Ask::Watch { group, name }) => {
                if self.watchers.len() >= WATCHERS_MAX {
                    Answer::status(ServiceStatus::Overload, "too many watch names here")
                } else {
                    let mut request = request;
                    let found = self.find(now, &group, name.as_deref());
                    if request.part(found).is_ok() {
                        self.watchers.push(Watcher { group, name, request });
                    }
                    return;
                }
            }
            Some(Ask::Compare { sums }) => {
                let entries = self.leases.differing(now, &sums);
                let entries = entries.into_iter().map(Entry::from).collect();
                let sums = self.leases.digest().to_vec();
                self.signed(now, encode(&Differing { sums, entries }))
            }
            Some(Ask::Merge { entries }) => {
                self.merge(&entries);
                Answer::new(Vec::new())
            }
            None => {
                self.foreign += 1;
                Answer::status(ServiceStatus::BadRequest, "this is no question to a name server")
            }
        };
        // Nobody waiting for it is fine.
        let _ = request.answer(answer);
    }

    fn register(&mut self, now: Time, from: EndpointId, entry: &Entry) -> Answer {
        let Some(named) = entry.named() else { return malformed() };
        let version = (entry.life, entry.count);
        match self.leases.register(now, from, &named, version, &entry.held()) {
            Ok(registered) => {
                self.pass_on(now, &named);
                Answer::new(encode(&match registered {
                    Registered::New => Done::Yes,
                    Registered::Already => Done::Already,
                    Registered::Ended => Done::Ended,
                }))
            }
            Err(denied) => refused(denied),
        }
    }

    fn remove(&mut self, now: Time, from: EndpointId, entry: &Entry) -> Answer {
        let Some(named) = entry.named() else { return malformed() };
        let ttl = Duration::from_millis(entry.ttl_ms);
        match self.leases.remove(now, from, &named, (entry.life, entry.count), ttl) {
            Ok(stood) => {
                self.pass_on(now, &named);
                Answer::new(encode(&if stood { Done::Yes } else { Done::Already }))
            }
            Err(denied) => refused(denied),
        }
    }

    fn find(&self, now: Time, group: &str, name: Option<&str>) -> Vec<u8> {
        let found = self.leases.find(group, name);
        let records = found.iter().filter_map(|(named, _)| self.leases.record(now, named));
        encode(&records.map(Entry::from).collect::<Vec<_>>())
    }

    /// An answer that says so if there may be more than is known here (B-24).
    fn signed(&self, now: Time, body: Vec<u8>) -> Answer {
        let young = self.grown_at.is_some_and(|at| now < at);
        let answer = Answer::new(body);
        if young { answer.property(YOUNG, "yes") } else { answer }
    }

    /// Tells all other name servers at once how an entry stands (B-23).
    fn pass_on(&self, now: Time, named: &Named) {
        let Some(record) = self.leases.record(now, named) else { return };
        let ask = encode(&Ask::Merge { entries: vec![record.into()] });
        for peer in self.peers.keys() {
            self.send(*peer, ask.clone());
        }
    }

    /// Sends what a peer lacks. What is lost is found by the next comparison.
    fn send(&self, peer: EndpointId, ask: Vec<u8>) {
        let others = self.others.clone();
        tokio::spawn(async move {
            let _ = others.call(Call::new(ask).to(peer)).await;
        });
    }

    /// Asks a peer for what differs.
    fn compare(&self, peer: EndpointId) {
        let sums = self.leases.digest().to_vec();
        let (others, back) = (self.others.clone(), self.back.clone());
        tokio::spawn(async move {
            let ask = Call::new(encode(&Ask::Compare { sums })).to(peer);
            if let Ok(reply) = others.call(ask).await
                && let Some(differing) = decode::<Differing>(reply.body())
            {
                // The name server has ended.
                let _ = back.send((peer, differing, reply.property(YOUNG).is_none())).await;
            }
        });
    }

    /// Takes what a peer has, and sends back what it lacks of the same parts.
    fn reconcile(&mut self, from: EndpointId, theirs: &Differing) {
        self.merge(&theirs.entries);
        let version = |record: &Record| {
            let same = |entry: &&Entry| entry.named().as_ref() == Some(&record.named);
            theirs.entries.iter().find(same).map(|entry| (entry.life, entry.count))
        };
        let mut lacks = self.leases.differing(self.now(), &theirs.sums);
        lacks.retain(|record| version(record).is_none_or(|theirs| theirs < record.version));
        if !lacks.is_empty() {
            let entries = lacks.into_iter().map(Entry::from).collect();
            self.send(from, encode(&Ask::Merge { entries }));
        }
    }

    fn merge(&mut self, entries: &[Entry]) {
        let now = self.now();
        for entry in entries {
            match entry.record() {
                Some(record) => drop(self.leases.merge(now, &record)),
                None => self.foreign += 1,
            }
        }
    }

    /// Tells those who watch what has changed.
    fn tell(&mut self) {
        let now = self.now();
        let mut changed: Vec<Change> = Vec::new();
        while let Some(change) = self.leases.next_change() {
            changed.push(change);
        }
        for change in changed {
            let Some(record) = self.leases.record(now, &change.named) else { continue };
            let part = encode(&vec![Entry::from(record)]);
            for watcher in &mut self.watchers {
                let named = &change.named;
                let wanted = watcher.name.as_ref().is_none_or(|name| *name == named.name);
                if watcher.group == named.group && wanted {
                    // One who is slow asks again when the stream ends.
                    let _ = watcher.request.part(part.clone());
                }
            }
        }
    }
}

fn malformed() -> Answer {
    Answer::status(ServiceStatus::BadRequest, "the id of an instance has 16 bytes")
}

fn refused(denied: Denied) -> Answer {
    let (status, text) = match denied {
        Denied::NotYours => (
            ServiceStatus::Refused,
            "an endpoint registers and removes itself only: the id is that of another",
        ),
        Denied::BadName => (
            ServiceStatus::BadRequest,
            "names and groups have 1 to 256 bytes without control characters",
        ),
        Denied::BadTtl => (ServiceStatus::BadRequest, "a lease lasts from 500 ms to one hour"),
        Denied::Full => (ServiceStatus::Overload, "this endpoint, or all together, hold too many"),
    };
    Answer::status(status, text)
}

/// Requests open at once, watches among them.
const OPEN: u32 = 10_000;
/// Clients that watch.
const WATCHERS_MAX: usize = 4_096;
/// One that has begun, and has compared with no other that knows all, knows all that can be known
/// after so long: who is registered tells it at once, where it is the only one.
const ALONE_FOR: Duration = Duration::from_secs(1);
/// The shortest pause between two looks for leases that ran out.
const SOON: Duration = Duration::from_millis(10);
