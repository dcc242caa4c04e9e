//! # Trade: servers and callers on a network
//!
//! What scenarios about services are written with. Servers are programs that work on a request for
//! a time and answer with its body; callers keep what comes of each call. Everything passes an
//! oracle:
//!
//! - A call ends exactly one way, and within its time.
//! - With an idempotency key it is begun at most once, whatever dies.
//! - Nothing is begun after its deadline.
//! - An answer is that to the call it reaches.

use crate::net::{Ep, Net, ms};
use bytes::Bytes;
use motet_proto::services::{
    CallFailure, CallOutput, CallSettings, CallSpec, FailureKind, Mode, ReplySpec, ServeSettings,
    ServiceReply, ServiceRequest, ServiceStatus,
};
use motet_proto::{CallId, Event, RequestId, ServeId, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// A program that serves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Srv(pub usize);

/// A call that was made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Made(pub usize);

/// What a server does with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Answers after so long.
    For(Duration),
    /// Takes it and never answers.
    Mute,
    /// Fails it with this code after so long.
    Fail(Duration, u64),
    /// Answers in so many parts, each after so long.
    Parts(u64, Duration),
}

/// How a call ended.
#[derive(Clone, PartialEq, Debug)]
pub enum Ending {
    /// With this answer, from the server at this endpoint.
    Answered(Ep, String),
    /// With this failure.
    Failed(CallFailure),
    /// A call to all: asked, answered.
    Surveyed(usize, usize),
}

struct Server {
    ep: Ep,
    life: u64,
    service: String,
    settings: ServeSettings,
    id: ServeId,
    work: Work,
    open: BTreeMap<RequestId, ServiceRequest>,
    begun: u64,
}

struct Client {
    call: CallId,
    ep: Ep,
    life: u64,
    body: String,
    key: Option<String>,
    begun: Time,
    deadline: Time,
    spread: bool,
    parts: Vec<(Ep, String)>,
    ended: Vec<(Time, Ending)>,
}

/// Something that a server's program will do.
struct Task {
    server: usize,
    life: u64,
    request: RequestId,
    what: Work,
}

/// A network with servers and callers on it.
pub struct Trade {
    /// The network.
    pub net: Net,
    /// What did not hold.
    pub violations: Vec<String>,
    servers: Vec<Server>,
    calls: Vec<Client>,
    by_call: BTreeMap<(Ep, u64, CallId), usize>,
    /// Begun: by key, how often; by body, when and where.
    keys: BTreeMap<String, u64>,
    begun: BTreeMap<String, Vec<(Time, Srv)>>,
    tasks: BTreeMap<(Time, u64), Task>,
    seen: Vec<usize>,
    tie: u64,
}

impl Trade {
    /// An empty network.
    pub fn seeded(seed: u64) -> Self {
        Self::over(Net::seeded(seed))
    }

    /// On this network.
    pub fn over(net: Net) -> Self {
        Self {
            net,
            violations: Vec::new(),
            servers: Vec::new(),
            calls: Vec::new(),
            by_call: BTreeMap::new(),
            keys: BTreeMap::new(),
            begun: BTreeMap::new(),
            tasks: BTreeMap::new(),
            seen: Vec::new(),
            tie: 0,
        }
    }

    /// Starts to offer a service at an endpoint.
    ///
    /// # Panics
    /// If the node refuses, or does not run.
    pub fn serve(&mut self, ep: Ep, service: &str, settings: ServeSettings, work: Work) -> Srv {
        let id = self.offer(ep, service, &settings);
        let life = self.net.slot(ep).life;
        let service = service.to_owned();
        let open = BTreeMap::new();
        self.servers.push(Server { ep, life, service, settings, id, work, open, begun: 0 });
        self.settle_events();
        Srv(self.servers.len() - 1)
    }

    fn offer(&mut self, ep: Ep, service: &str, settings: &ServeSettings) -> ServeId {
        let now = self.net.world.now;
        let node = self.net.node(ep).expect("the endpoint runs");
        let id = node.serve(now, service, settings.clone()).expect("the service is allowed");
        self.net.touch(ep);
        id
    }

    /// A server with default settings that answers after so long.
    pub fn server(&mut self, name: &str, service: &str, work: Duration) -> (Ep, Srv) {
        let ep = self.net.endpoint(name);
        (ep, self.serve(ep, service, ServeSettings::default(), Work::For(work)))
    }

    /// Starts the program of a server anew, at its endpoint that has been started again.
    pub fn serve_again(&mut self, srv: Srv) {
        let server = &self.servers[srv.0];
        let (ep, service, settings) = (server.ep, server.service.clone(), server.settings.clone());
        let id = self.offer(ep, &service, &settings);
        let life = self.net.slot(ep).life;
        let server = &mut self.servers[srv.0];
        (server.id, server.life) = (id, life);
        server.open.clear();
        self.settle_events();
    }

    /// What a server does with requests from now on.
    pub fn set_work(&mut self, srv: Srv, work: Work) {
        self.servers[srv.0].work = work;
    }

    /// Calls a verb on the node of a server, with the id of its service.
    pub fn at_server(
        &mut self,
        srv: Srv,
        verb: impl FnOnce(&mut motet_proto::Node<crate::null::NullCrypto>, Time, ServeId),
    ) {
        let (ep, id) = (self.servers[srv.0].ep, self.servers[srv.0].id);
        let now = self.net.world.now;
        if let Some(node) = self.net.node(ep) {
            verb(node, now, id);
        }
        self.net.touch(ep);
        self.settle_events();
    }

    /// How many requests a server has begun.
    pub fn begun(&self, srv: Srv) -> u64 {
        self.servers[srv.0].begun
    }

    /// How many requests a server works on.
    pub fn working(&self, srv: Srv) -> usize {
        self.servers[srv.0].open.len()
    }

    /// Which servers began a request with this body, and when.
    pub fn begun_by(&self, body: &str) -> &[(Time, Srv)] {
        self.begun.get(body).map_or(&[], |all| all)
    }

    /// Calls with these settings; the body must be one that no other call has.
    pub fn call(&mut self, ep: Ep, service: &str, body: &str, settings: CallSettings) -> Made {
        self.call_with(ep, service, body, None, settings)
    }

    /// As [`Trade::call`], with an idempotency key.
    ///
    /// # Panics
    /// If the node refuses, or does not run.
    pub fn call_with(
        &mut self,
        ep: Ep,
        service: &str,
        body: &str,
        key: Option<&str>,
        settings: CallSettings,
    ) -> Made {
        let now = self.net.world.now;
        let life = self.net.slot(ep).life;
        let timeout = match settings.mode {
            Mode::All(within) => within,
            _ => settings.timeout,
        };
        let spread = !matches!(settings.mode, Mode::One);
        let spec = CallSpec {
            settings,
            key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
            frames: vec![Bytes::copy_from_slice(body.as_bytes())],
            ..CallSpec::default()
        };
        let node = self.net.node(ep).expect("the endpoint runs");
        let call = node.call(now, service, spec).expect("the call is allowed");
        self.net.world.trace.line(now, |line| {
            line.push_str(&format!("{} calls {body:?} as {call:?}, key {key:?}", ep.0));
        });
        let at = self.calls.len();
        self.by_call.insert((ep, life, call), at);
        self.calls.push(Client {
            call,
            ep,
            life,
            body: body.to_owned(),
            key: key.map(str::to_owned),
            begun: now,
            deadline: now + timeout,
            spread,
            parts: Vec::new(),
            ended: Vec::new(),
        });
        self.net.touch(ep);
        self.settle_events();
        Made(at)
    }

    /// Gives a call up.
    pub fn cancel(&mut self, made: Made) {
        let now = self.net.world.now;
        let (ep, call) = (self.calls[made.0].ep, self.calls[made.0].call);
        if let Some(node) = self.net.node(ep) {
            node.cancel_call(now, call);
        }
        self.net.touch(ep);
        self.settle_events();
    }

    /// How a call ended, if it has.
    pub fn ending(&self, made: Made) -> Option<&Ending> {
        self.calls[made.0].ended.first().map(|(_, ending)| ending)
    }

    /// How long a call took, if it has ended.
    pub fn took(&self, made: Made) -> Option<Duration> {
        let call = &self.calls[made.0];
        call.ended.first().map(|(at, _)| at.since(call.begun))
    }

    /// The parts of an answer so far, or the answers to a survey.
    pub fn parts(&self, made: Made) -> &[(Ep, String)] {
        &self.calls[made.0].parts
    }

    /// What a call was answered with.
    pub fn answer(&self, made: Made) -> Option<&str> {
        match self.ending(made)? {
            Ending::Answered(_, body) => Some(body),
            _ => None,
        }
    }

    /// Why a call failed.
    pub fn failure(&self, made: Made) -> Option<&FailureKind> {
        match self.ending(made)? {
            Ending::Failed(failure) => Some(&failure.kind),
            _ => None,
        }
    }

    /// The status that a call failed with.
    pub fn status(&self, made: Made) -> Option<ServiceStatus> {
        match self.failure(made)? {
            FailureKind::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.net.world.now + time;
        self.run_to(until, |_| false);
    }

    /// Lets time pass until `done`, at most so much. True if it was.
    pub fn run_until(&mut self, done: impl FnMut(&mut Self) -> bool, limit: Duration) -> bool {
        let until = self.net.world.now + limit;
        self.run_to(until, done)
    }

    /// Runs until this call has ended; how.
    ///
    /// # Panics
    /// If it does not within a minute.
    pub fn finish(&mut self, made: Made) -> Ending {
        let ended = |trade: &mut Self| trade.ending(made).is_some();
        assert!(self.run_until(ended, Duration::from_secs(60)), "the call does not end");
        self.ending(made).cloned().expect("it has ended")
    }

    fn run_to(&mut self, until: Time, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        loop {
            self.settle_events();
            if done(self) {
                return true;
            }
            let now = self.net.world.now;
            if now >= until {
                return false;
            }
            let next = self.tasks.keys().next().map_or(until, |(at, _)| (*at).min(until));
            if next <= now {
                self.do_tasks();
                continue;
            }
            let seen = self.seen.clone();
            let news = |net: &mut Net| {
                let each = seen.iter().enumerate();
                each.into_iter().any(|(ep, from)| !net.events_from(Ep(ep), *from).is_empty())
            };
            self.net.run_until(news, next.since(now));
        }
    }

    /// Looks at what the nodes have told, until they have told everything.
    fn settle_events(&mut self) {
        self.seen.resize(self.net.world.slots.len(), 0);
        let mut again = true;
        while again {
            again = false;
            for ep in 0..self.seen.len() {
                let from = self.seen[ep];
                let news: Vec<Event> =
                    self.net.events_from(Ep(ep), from).iter().map(|(_, it)| it.clone()).collect();
                if news.is_empty() {
                    continue;
                }
                self.seen[ep] += news.len();
                again = true;
                for event in news {
                    match event {
                        Event::Request(id) => self.take_requests(Ep(ep), id),
                        Event::CallOutput(id) => self.take_outputs(Ep(ep), id),
                        _ => {}
                    }
                }
                self.net.touch(Ep(ep));
            }
        }
    }

    fn take_requests(&mut self, ep: Ep, id: ServeId) {
        let now = self.net.world.now;
        let life = self.net.slot(ep).life;
        let ours = |it: &Server| it.ep == ep && it.life == life && it.id == id;
        let Some(at) = self.servers.iter().position(ours) else { return };
        while let Some(request) = self.net.node(ep).and_then(|node| node.next_request(now, id)) {
            self.begin(at, request);
        }
        self.net.touch(ep);
    }

    /// The oracle of what is begun.
    fn begin(&mut self, at: usize, request: ServiceRequest) {
        let now = self.net.world.now;
        let body = text(&request.frames);
        let (ep, attempt) = (self.servers[at].ep.0, request.attempt);
        self.net.world.trace.line(now, |line| {
            line.push_str(&format!("{ep} begins {body:?}, attempt {attempt}"));
        });
        self.servers[at].begun += 1;
        self.begun.entry(body.clone()).or_default().push((now, Srv(at)));
        match self.calls.iter().rev().find(|call| call.body == body) {
            Some(call) => {
                if now >= call.deadline {
                    let late = now.since(call.deadline);
                    self.violations.push(format!("{body}: begun {late:?} after its deadline"));
                }
                if let Some(key) = call.key.clone().filter(|_| !call.spread) {
                    let times = self.keys.entry(format!("{}/{key}", call.ep.0)).or_insert(0);
                    *times += 1;
                    if *times > 1 {
                        self.violations.push(format!("{body}: key {key} begun {times} times"));
                    }
                }
            }
            None => self.violations.push(format!("{body}: begun, and nobody called")),
        }
        let server = &mut self.servers[at];
        let (id, life, work) = (request.id, server.life, server.work);
        server.open.insert(id, request);
        let wait = match work {
            Work::Mute => return,
            Work::For(wait) | Work::Fail(wait, _) | Work::Parts(_, wait) => wait,
        };
        self.tie += 1;
        let task = Task { server: at, life, request: id, what: work };
        self.tasks.insert((now + wait, self.tie), task);
    }

    fn do_tasks(&mut self) {
        let now = self.net.world.now;
        while let Some(((at, _), _)) = self.tasks.first_key_value()
            && *at <= now
            && let Some((_, task)) = self.tasks.pop_first()
        {
            let server = &mut self.servers[task.server];
            let (ep, slot_life) = (server.ep, task.life);
            let gone = self.net.slot(ep).life != slot_life || self.net.slot(ep).node.is_none();
            if gone {
                continue;
            }
            if self.net.slot(ep).paused {
                // A program that stands still does nothing.
                self.tie += 1;
                self.tasks.insert((now + ms(50), self.tie), task);
                continue;
            }
            self.respond(task);
        }
        self.settle_events();
    }

    fn respond(&mut self, task: Task) {
        let now = self.net.world.now;
        let server = &mut self.servers[task.server];
        let ep = server.ep;
        let Some(request) = server.open.get(&task.request) else { return };
        let body = request.frames.clone();
        let mut reply = ReplySpec { frames: body, ..ReplySpec::default() };
        match task.what {
            Work::Fail(_, code) => {
                (reply.status, reply.code) = (ServiceStatus::Failed, code);
                reply.text = "as it was told".to_owned();
            }
            Work::Parts(left, wait) if left > 1 => {
                reply.last = false;
                self.tie += 1;
                let what = Work::Parts(left - 1, wait);
                self.tasks.insert((now + wait, self.tie), Task { what, ..task });
            }
            _ => {}
        }
        if reply.last {
            server.open.remove(&task.request);
        }
        if let Some(node) = self.net.node(ep) {
            // Nobody waiting is fine.
            let _ = node.respond(now, task.request, reply);
        }
        self.net.touch(ep);
    }

    fn take_outputs(&mut self, ep: Ep, id: CallId) {
        let life = self.net.slot(ep).life;
        while let Some(output) = self.net.node(ep).and_then(|node| node.take_output(id)) {
            let Some(at) = self.by_call.get(&(ep, life, id)).copied() else {
                self.violations.push(format!("an output of a call that nobody made: {output:?}"));
                continue;
            };
            self.on_output(at, output);
        }
    }

    /// The oracle of what comes back.
    fn on_output(&mut self, at: usize, output: CallOutput) {
        let now = self.net.world.now;
        let from = |trade: &Self, reply: &ServiceReply| {
            let eps = 0..trade.net.world.slots.len();
            let mut each = eps.map(Ep);
            let key = reply.from;
            each.find(|ep| {
                let id = trade.net.world.slots[ep.0].node.as_ref().map(|node| node.key().id);
                id == Some(key.id)
            })
        };
        let body = self.calls[at].body.clone();
        let check = |trade: &mut Self, reply: &ServiceReply| {
            let answer = text(&reply.frames);
            if answer != body && reply.status == ServiceStatus::Ok {
                trade.violations.push(format!("{body}: got the answer {answer:?}"));
            }
            // A server may be gone when its answer arrives.
            (from(trade, reply).unwrap_or(Ep(usize::MAX)), answer)
        };
        let ending = match output {
            CallOutput::Part(reply) => {
                let part = check(self, &reply);
                if !self.calls[at].ended.is_empty() {
                    self.violations.push(format!("{}: a part after its end", self.calls[at].body));
                }
                return self.calls[at].parts.push(part);
            }
            CallOutput::Done(reply) => {
                let (ep, answer) = check(self, &reply);
                Ending::Answered(ep, answer)
            }
            CallOutput::Failed(failure) => Ending::Failed(failure),
            CallOutput::End { asked, answered } => Ending::Surveyed(asked, answered),
        };
        let call = &mut self.calls[at];
        self.net.world.trace.line(now, |line| {
            line.push_str(&format!("{} has {ending:?} of {:?}", call.ep.0, call.body));
        });
        call.ended.push((now, ending));
        if call.ended.len() > 1 {
            self.violations.push(format!("{}: ended twice: {:?}", call.body, call.ended));
        }
    }

    /// When all is quiet: every call whose caller lives has ended, and in time.
    pub fn demand(&mut self) {
        let now = self.net.world.now;
        for call in &self.calls {
            let slot = &self.net.world.slots[call.ep.0];
            let lives = slot.node.is_some() && slot.life == call.life;
            let late = call.ended.is_empty() && lives && now > call.deadline;
            if late {
                let over = now.since(call.deadline);
                self.violations.push(format!("{}: has not ended, {over:?} late", call.body));
            }
        }
    }

    /// Ends the test if anything did not hold.
    ///
    /// # Panics
    /// Then.
    pub fn judge(&mut self) {
        self.demand();
        assert!(self.violations.is_empty(), "{:#?}", self.violations);
    }

    /// Calls that were made, and how each ended.
    pub fn endings(&self) -> impl Iterator<Item = Option<&Ending>> {
        self.calls.iter().map(|call| call.ended.first().map(|(_, ending)| ending))
    }
}

fn text(frames: &[Bytes]) -> String {
    let first = frames.first().map_or(&[][..], |frame| frame);
    String::from_utf8_lossy(first).into_owned()
}
