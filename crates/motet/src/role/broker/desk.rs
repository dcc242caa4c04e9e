//! The loop of a broker: requests, offers, claims and orders go into the machine; what it decides
//! is done.

mod words;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use motet_proto::roles::broker::{
    Action, Asked, Broker as Machine, BrokerConfig, Outcome, PeerOffer, Refusal, TaskId,
    WorkerOffer,
};
use motet_proto::services::Address;
use motet_proto::wanted::{Kind, Wanted, groups};
use motet_proto::wire::service::Inquiry;
use motet_proto::{EndpointId, EndpointKey, PubQos, Time};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::attempt::{Attempt, Held, taken_back};
use super::questions::{self, QUESTIONS};
use super::{BrokerError, Report};
use crate::endpoint::Endpoint;
use crate::message::Delivery;
use crate::publisher::Publisher;
use crate::role::seed;
use crate::service::{
    Answer, CallOptions, Caller, Change, Instance, InstanceState, Reach, Request, Role,
    ServeOptions, Server, ServiceWatch, WaitFor,
};
use crate::subscriber::Subscriber;
use words::{
    decode, encode, in_words, kind_in_words, told, told_kinds, told_room, wanted_in_words,
};

/// What comes in from the tasks of the broker.
pub(super) enum Input {
    /// A request.
    Request(Request),
    /// What came of an attempt; the request, unless it was answered.
    Back { task: TaskId, from: EndpointKey, outcome: Outcome, held: Option<Held>, broken: bool },
    /// A worker gave a sign of life.
    Heard(EndpointKey),
}

/// What the handle wants.
#[derive(Debug)]
pub(super) enum Order {
    Report(oneshot::Sender<Report>),
    Drain(oneshot::Sender<()>),
}

/// Where a request is.
#[expect(clippy::large_enum_variant, reason = "most requests are here, or have just been")]
enum Place {
    Here(Held),
    /// With an attempt; what is to come of it then.
    Out {
        withdraw: Option<oneshot::Sender<()>>,
        next: Option<Next>,
    },
}

enum Next {
    Give { to: EndpointKey, forward: bool, sent_before: u64 },
    Refuse(Refusal),
    Drop,
}

/// One service that the broker stands before.
struct Front {
    server: Server,
    workers: Caller,
    /// The same for requests with a key: they are sent again, for who has it attaches them.
    keyed: Caller,
    brokers: Caller,
    /// Its instances say that a request may run twice.
    safe: bool,
}

pub(super) struct Desk {
    endpoint: Endpoint,
    machine: Machine,
    /// The services it stands before; empty: all.
    services: Vec<String>,
    fronts: BTreeMap<Arc<str>, Front>,
    watch: ServiceWatch,
    questions: Server,
    claims_out: Publisher,
    claims_in: Subscriber,
    places: HashMap<TaskId, Place>,
    names: BTreeMap<EndpointKey, Arc<str>>,
    /// Services of workers, to know whom to ask for a sign of life.
    served: BTreeMap<EndpointKey, Arc<str>>,
    beat: Duration,
    born: Time,
    settled: bool,
    next_task: TaskId,
    inputs: mpsc::UnboundedReceiver<Input>,
    back: mpsc::UnboundedSender<Input>,
    drained: Vec<oneshot::Sender<()>>,
    /// Attempts whose own work broke.
    broken: u64,
}

impl Desk {
    pub(super) async fn open(
        endpoint: Endpoint,
        config: BrokerConfig,
        services: Vec<String>,
    ) -> Result<Self, BrokerError> {
        let qos = PubQos { history: 0, ..PubQos::default() };
        let claims_out = endpoint.publisher_with(CLAIMS, qos).await?;
        let claims_in = endpoint.subscriber(CLAIMS).await?;
        let questions = endpoint.serve(QUESTIONS, ServeOptions::new()).await?;
        let (back, inputs) = mpsc::unbounded_channel();
        let mut desk = Self {
            machine: Machine::new(endpoint.key(), config, seed()),
            watch: endpoint.services(),
            services: services.clone(),
            fronts: BTreeMap::new(),
            questions,
            claims_out,
            claims_in,
            places: HashMap::new(),
            names: BTreeMap::new(),
            served: BTreeMap::new(),
            beat: config.beat,
            born: endpoint.hold.core.clock.now(),
            settled: false,
            next_task: 0,
            inputs,
            back,
            drained: Vec::new(),
            broken: 0,
            endpoint,
        };
        for service in services {
            desk.front(&service).await?;
        }
        Ok(desk)
    }

    /// Runs until nobody holds the handle, or the endpoint has closed.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        // Kept from turn to turn: under load something comes in before any pause is over.
        let mut look_at = Instant::now();
        loop {
            look_at = look_at.min(Instant::now() + self.idle());
            let core = Arc::clone(&self.endpoint.hold.core);
            tokio::select! {
                () = core.findings.notified() => self.findings(),
                order = orders.recv() => match order {
                    Some(order) => self.order(order),
                    None => return,
                },
                Some(input) = self.inputs.recv() => {
                    self.input(input);
                    // What is at hand goes in before anything is said.
                    for _ in 0..BATCH {
                        match self.inputs.try_recv() {
                            Ok(input) => self.input(input),
                            Err(_) => break,
                        }
                    }
                }
                change = self.watch.next() => match change {
                    Some(change) => self.offered(change.change, &change.instance).await,
                    None => return,
                },
                claim = self.claims_in.next() => match claim {
                    Some(delivery) => self.claimed(&delivery),
                    None => return,
                },
                question = self.questions.next() => match question {
                    Some(request) => self.question(request),
                    None => return,
                },
                () = sleep_until(look_at) => {
                    self.sweep();
                    self.settle();
                    let now = self.now();
                    self.machine.tick(now);
                    look_at = Instant::now() + self.idle();
                }
            }
            self.act();
            if self.machine.is_idle() {
                for waiting in self.drained.drain(..) {
                    // Whoever no longer waits does not mind.
                    let _ = waiting.send(());
                }
            }
        }
    }

    fn now(&self) -> Time {
        self.endpoint.hold.core.clock.now()
    }

    /// How long nothing is due. With work at hand, deadlines are looked at this often.
    fn idle(&self) -> Duration {
        if self.machine.is_idle() {
            let now = self.now();
            self.machine.next_tick(now).since(now).clamp(TICK, IDLE)
        } else {
            TICK
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            // Whoever no longer waits does not mind.
            Order::Report(tell) => drop(tell.send(self.report())),
            Order::Drain(tell) => {
                for front in self.fronts.values() {
                    front.server.set_state(InstanceState::Draining, "the broker ends");
                }
                let now = self.now();
                self.machine.drain(now);
                self.drained.push(tell);
            }
        }
    }

    fn input(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Request(request) => self.request(now, request),
            Input::Heard(key) => self.machine.heard(now, key),
            Input::Back { task, from, outcome, held, broken } => {
                self.broken += u64::from(broken);
                self.back(now, task, from, outcome, held);
            }
        }
        self.act();
    }

    fn request(&mut self, now: Time, request: Request) {
        let task = self.next_task;
        self.next_task += 1;
        let origin = request.origin();
        let key = request.idempotency_key().map(|key| [&origin.0, key].concat());
        let safe = self.is_safe(request.service());
        let asked = Asked {
            service: request.service().into(),
            deadline: now + request.remaining(),
            key,
            repeatable: safe,
            hops: request.hops().to_vec(),
            again: request.attempt() > 1,
            wanted: self.wanted(&request),
        };
        self.places.insert(task, Place::Here(Held { request, said: None }));
        self.machine.request(now, task, asked);
    }

    /// Which workers will do for a request (B-18).
    fn wanted(&self, request: &Request) -> Wanted {
        let (group, only) = match request.address() {
            Address::Group(group) => (Some(group.clone()), None),
            Address::Endpoint(id) if *id != self.endpoint.id() => (None, Some(*id)),
            _ => (None, None),
        };
        Wanted { version: request.version().to_owned(), group, only }
    }

    /// Whether the instances of a service say that a request may run twice.
    fn is_safe(&self, service: &str) -> bool {
        self.fronts.get(service).is_some_and(|front| front.safe)
    }

    fn back(
        &mut self,
        now: Time,
        task: TaskId,
        from: EndpointKey,
        outcome: Outcome,
        held: Option<Held>,
    ) {
        let Some(Place::Out { next, .. }) = self.places.remove(&task) else { return };
        let Some(held) = held else {
            // Answered, be it after it was taken back.
            match next {
                None => self.machine.done(now, task, from, outcome),
                Some(_) => self.machine.cancel(now, task),
            }
            return;
        };
        self.places.insert(task, Place::Here(held));
        match next {
            None => self.machine.done(now, task, from, outcome),
            Some(Next::Give { to, forward, sent_before }) => {
                self.give(task, to, forward, sent_before);
            }
            Some(Next::Refuse(why)) => self.refuse(task, why),
            Some(Next::Drop) => self.discard(task),
        }
    }

    /// Does what the machine has decided.
    fn act(&mut self) {
        while let Some(action) = self.machine.poll() {
            match action {
                Action::Give { task, to, forward, sent_before } => {
                    self.give(task, to, forward, sent_before);
                }
                Action::Inquire { to, number, service, key, until } => {
                    self.inquire(to, number, &service, &key, until);
                }
                Action::Refuse { task, why } => self.refuse(task, why),
                Action::Drop { task } => self.discard(task),
                Action::Withdraw { task, .. } => {
                    if let Some(Place::Out { withdraw, .. }) = self.places.get_mut(&task)
                        && let Some(withdraw) = withdraw.take()
                    {
                        // It has just ended by itself.
                        let _ = withdraw.send(());
                    }
                }
                Action::Tell { service, free, capacity, waiting, kinds } => {
                    if let Some(front) = self.fronts.get(&service) {
                        front.server.set_metadata(told(free, capacity, waiting, &kinds));
                    }
                }
                Action::Beat { to } => self.ask_for_life(to),
                Action::Share { claim, .. } => {
                    // A queue that is full drops the oldest, and counts.
                    let _ = self.claims_out.try_publish(encode(&claim));
                }
            }
        }
    }

    fn give(&mut self, task: TaskId, to: EndpointKey, forward: bool, sent_before: u64) {
        let held = match self.places.remove(&task) {
            Some(Place::Here(held)) => held,
            Some(Place::Out { withdraw, .. }) => {
                let next = Some(Next::Give { to, forward, sent_before });
                self.places.insert(task, Place::Out { withdraw, next });
                return;
            }
            None => return,
        };
        let request = &held.request;
        let Some(front) = self.fronts.get(request.service()) else {
            self.places.insert(task, Place::Here(held));
            return self.refuse(task, Refusal::NoWorkers);
        };
        let caller = match (forward, request.idempotency_key()) {
            (true, _) => &front.brokers,
            (false, Some(_)) => &front.keyed,
            (false, None) => &front.workers,
        };
        let (withdraw, withdrawn) = oneshot::channel();
        let mut hops: Vec<EndpointId> = request.hops().to_vec();
        if hops.is_empty() {
            hops.push(request.client().id);
        }
        hops.push(self.endpoint.id());
        let (caller, me) = (caller.clone(), self.endpoint.id());
        let request = held.request;
        let attempt = Attempt { task, to, me, request, caller, hops, sent_before, withdrawn };
        self.places.insert(task, Place::Out { withdraw: Some(withdraw), next: None });
        tokio::spawn(attempt.run(self.back.clone()));
    }

    /// Asks a worker where a key is. The key begins with whose it is.
    fn inquire(&self, to: EndpointKey, number: u64, service: &str, key: &[u8], until: Time) {
        let Some((origin, key)) = key.split_first_chunk::<16>() else { return };
        let origin = *origin;
        self.endpoint.hold.core.act_soon(|inner, now| {
            let left = until.since(now).as_micros();
            let remaining_us = u64::try_from(left).unwrap_or(u64::MAX >> 8);
            let inquiry = Inquiry { number, remaining_us, origin, service, key };
            inner.node.inquire(now, to, &inquiry);
        });
    }

    fn findings(&mut self) {
        let core = &self.endpoint.hold.core;
        let found = core
            .with(|inner, _| std::iter::from_fn(|| inner.node.take_finding()).collect::<Vec<_>>());
        let now = self.now();
        for (from, finding) in found {
            self.machine.found(now, from, finding);
        }
    }

    /// All servers that can be known are known, once discovery has settled.
    fn settle(&mut self) {
        if !self.settled && self.now().since(self.born) >= SETTLE {
            self.settled = true;
            let now = self.now();
            self.machine.settled(now);
        }
    }

    fn refuse(&mut self, task: TaskId, why: Refusal) {
        match self.places.remove(&task) {
            Some(Place::Here(Held { request, said })) => {
                let (status, text) = in_words(why);
                let none_fits = (why == Refusal::NoWorkers).then(|| self.none_fits(&request));
                let (status, text) = match (said, none_fits.flatten()) {
                    (Some(said), _) if why == Refusal::TurnedDown => said,
                    (_, Some(text)) => (status, text),
                    _ => (status, text.to_owned()),
                };
                // Nobody waiting for it is fine.
                let _ = request.answer(Answer::status(status, text));
            }
            Some(Place::Out { withdraw, .. }) => {
                let next = Some(Next::Refuse(why));
                self.places.insert(task, Place::Out { withdraw, next });
            }
            None => {}
        }
    }

    /// Workers are there, but none that will do: which there are.
    fn none_fits(&self, request: &Request) -> Option<String> {
        let wanted = self.wanted(request);
        let kinds = self.machine.kinds(request.service());
        (!wanted.is_any() && !kinds.is_empty()).then(|| {
            let there: Vec<String> = kinds.iter().map(kind_in_words).collect();
            format!("no worker is {}; there are: {}", wanted_in_words(&wanted), there.join("; "))
        })
    }

    /// Lets a request go without an answer: it is held until its caller has given up.
    fn discard(&mut self, task: TaskId) {
        match self.places.remove(&task) {
            Some(Place::Here(Held { request, .. })) => {
                tokio::spawn(async move {
                    let limit = request.remaining();
                    // Either way nobody waits for it any more.
                    let _ = tokio::time::timeout(limit, request.cancelled()).await;
                    let _ = request.answer(taken_back());
                });
            }
            Some(Place::Out { withdraw, .. }) => {
                self.places.insert(task, Place::Out { withdraw, next: Some(Next::Drop) });
            }
            None => {}
        }
    }

    /// Requests that wait here and that nobody wants any more.
    fn sweep(&mut self) {
        let unwanted = self.places.iter().filter_map(|(task, place)| match place {
            Place::Here(held) if held.request.is_cancelled() => Some(*task),
            _ => None,
        });
        let now = self.now();
        for task in unwanted.collect::<Vec<_>>() {
            if let Some(Place::Here(Held { request, .. })) = self.places.remove(&task) {
                // Mostly nobody waits for it.
                let _ = request.answer(taken_back());
            }
            self.machine.cancel(now, task);
        }
    }

    fn ask_for_life(&self, to: EndpointKey) {
        let Some(service) = self.served.get(&to).cloned() else { return };
        let (endpoint, back, limit) = (self.endpoint.clone(), self.back.clone(), self.beat * 3);
        tokio::spawn(async move {
            if endpoint.ping_service(&service, to.id, limit).await.is_ok() {
                // The broker has ended.
                let _ = back.send(Input::Heard(to));
            }
        });
    }

    async fn offered(&mut self, change: Change, instance: &Instance) {
        let (key, service, now) = (instance.key(), instance.service(), self.now());
        if key == self.endpoint.key() {
            return;
        }
        if service == QUESTIONS {
            match change {
                Change::Gone => drop(self.names.remove(&key)),
                _ => drop(self.names.insert(key, instance.name().into())),
            }
            return;
        }
        if service.starts_with(ROLES) {
            return;
        }
        let there = matches!(change, Change::Up | Change::Changed | Change::Back);
        if instance.role() == Role::Broker {
            if there {
                let takes = instance.state() == InstanceState::Up;
                let (free, capacity) = instance.metadata("room").map_or((0, 0), told_room);
                let kinds = told_kinds(&instance.offer().metadata);
                self.machine.peer(now, key, service, PeerOffer { free, capacity, takes, kinds });
            } else {
                self.machine.peer_gone(now, key, Some(service));
            }
            return;
        }
        if change == Change::Silent {
            self.machine.stalled(now, key);
            return;
        }
        if there {
            if self.front(service).await.is_err() {
                return;
            }
            // One that it does not stand before is no worker of its.
            let Some(front) = self.fronts.get_mut(service) else { return };
            front.safe = instance.offer().safe;
            let takes = instance.state() == InstanceState::Up;
            let credit = instance.offer().concurrency.min(instance.offer().credit);
            self.served.insert(key, service.into());
            let groups = groups(&instance.offer().metadata).map(str::to_owned).collect();
            let kind = Kind { version: instance.offer().version.clone(), groups };
            self.machine.worker(now, key, service, WorkerOffer { takes, credit, kind });
        } else {
            self.machine.gone(now, key, Some(service));
            if change == Change::Gone {
                self.served.remove(&key);
            }
        }
    }

    /// Stands before a service, if it does not yet.
    async fn front(&mut self, service: &str) -> Result<(), BrokerError> {
        if self.fronts.contains_key(service)
            || (!self.services.is_empty() && !self.services.iter().any(|it| it == service))
        {
            return Ok(());
        }
        let options = ServeOptions::new()
            .role(Role::Broker)
            .concurrency(OPEN)
            .queue(OPEN)
            .credit(OPEN)
            .metadata("room", "0/0/0");
        let server = self.endpoint.serve(service, options).await?;
        let attempt = CallOptions::new().tries(1).wait(WaitFor::Nothing);
        let caller = |reach| self.endpoint.caller(service, attempt.clone().reach(reach));
        let (Ok(workers), Ok(brokers)) = (caller(Reach::Workers), caller(Reach::Brokers)) else {
            return Ok(());
        };
        let again = attempt.clone().reach(Reach::Workers).tries(u32::MAX).per_try(RESEND);
        let Ok(keyed) = self.endpoint.caller(service, again) else { return Ok(()) };
        let (mut taking, back) = (server.clone(), self.back.clone());
        tokio::spawn(async move {
            while let Some(request) = taking.next().await {
                if back.send(Input::Request(request)).is_err() {
                    return;
                }
            }
        });
        self.fronts.insert(service.into(), Front { server, workers, keyed, brokers, safe: false });
        Ok(())
    }

    fn claimed(&mut self, delivery: &Delivery) {
        let Delivery::Message(message) = delivery else { return };
        if message.writer() == self.endpoint.key() {
            return;
        }
        if let Some(claim) = decode(message.payload()) {
            let now = self.now();
            self.machine.claim(now, message.writer(), claim);
        }
    }

    fn question(&mut self, request: Request) {
        let report = self.report();
        let answer = questions::answer(request.body(), &self.machine, &report);
        // Nobody waiting for it is fine.
        let _ = request.answer(answer);
    }

    fn report(&mut self) -> Report {
        let now = self.now();
        Report {
            services: self.machine.report(),
            counters: self.machine.counters(),
            rate: self.machine.rate(now),
            peers: self.names.values().cloned().collect(),
            broken: self.broken,
        }
    }
}

/// Services of roles: nobody stands before them.
const ROLES: &str = "motet.";
/// Where brokers tell each other which key they act on.
const CLAIMS: &str = "motet/broker/claims";
/// Requests that a broker has open, of all services: the machine refuses earlier.
const OPEN: u32 = 200_000;
/// Inputs taken before anything else is looked at.
const BATCH: usize = 256;
/// How often deadlines are looked at while there is work.
const TICK: Duration = Duration::from_millis(20);
/// An answer may be lost with a session that comes back: a request with a key is sent again then.
const RESEND: Duration = Duration::from_secs(2);
/// After its start a broker waits so long before it asks for keys: it knows all servers then.
const SETTLE: Duration = Duration::from_secs(1);
/// The longest time without a look.
const IDLE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
