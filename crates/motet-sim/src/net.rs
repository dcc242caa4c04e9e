//! # Net: a world with applications in it
//!
//! What scenario tests are written with: endpoints by name, publish, subscribe, run, look. Every
//! delivery passes the [`Oracle`]; unless told otherwise a violation ends the test at once, and so
//! does an endpoint that counts a malformed packet.

use crate::flight::{Flight, Rule, Verdict};
use crate::host::Slot;
use crate::links::LinkModel;
use crate::null::NullCrypto;
use crate::oracle::Oracle;
use crate::world::{Step, World};
use bytes::Bytes;
use motet_proto::events::DownReason;
use motet_proto::node::{Message, Payload, PublishError};
use motet_proto::{
    Config, Counters, Delivery, EndpointKey, Event, Node, PubId, PubQos, Realm, SubId, SubQos, Time,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// An endpoint of a [`Net`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ep(pub usize);

/// A subscription of a [`Net`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Sub(pub usize);

/// A publication of a [`Net`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pub(pub usize);

struct Reader {
    ep: Ep,
    life: u64,
    id: SubId,
    held: bool,
    waiting: bool,
    any: bool,
    got: Vec<Delivery>,
}

struct Writer {
    ep: Ep,
    life: u64,
    id: PubId,
    stream: (EndpointKey, Arc<str>),
}

/// A simulated network with endpoints that publish and read.
pub struct Net {
    /// The network.
    pub world: World,
    /// The checkers.
    pub oracle: Oracle,
    /// Panic at the first violation. Default true.
    pub strict: bool,
    /// Malformed packets are expected. Default false.
    pub malformed: bool,
    /// Keep what was delivered. Default true.
    pub keep: bool,
    /// Call `check_invariants` after so many steps. Default 16; 0 never.
    pub check_every: u64,
    seed: u64,
    steps: u64,
    readers: Vec<Reader>,
    writers: Vec<Writer>,
    events: Vec<Vec<(Time, Event)>>,
    reused: u64,
}

/// Milliseconds.
pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The realm of simulated endpoints.
pub fn realm() -> Realm {
    Realm { name: "simulated".into(), secret: Some([42; 32]) }
}

/// What simulated endpoints are started with unless told otherwise.
pub fn config(name: &str) -> Config {
    let mut cfg = Config::lan(realm(), name);
    cfg.host_id = [0; 16];
    cfg
}

impl Net {
    /// An empty network.
    pub fn seeded(seed: u64) -> Self {
        Self {
            world: World::new(seed),
            oracle: Oracle::default(),
            strict: true,
            malformed: false,
            keep: true,
            check_every: 16,
            seed,
            steps: 0,
            readers: Vec::new(),
            writers: Vec::new(),
            events: Vec::new(),
            reused: 0,
        }
    }

    /// Sets how all links behave.
    pub fn links(mut self, model: LinkModel) -> Self {
        self.world.set_links(&model);
        self
    }

    /// A new endpoint on a host of its own, started.
    pub fn endpoint(&mut self, name: &str) -> Ep {
        self.endpoint_with(config(name))
    }

    /// A new endpoint with this configuration on a host of its own, started.
    pub fn endpoint_with(&mut self, cfg: Config) -> Ep {
        let host = self.world.add_host(&[0]);
        let ep = self.place(host, cfg);
        self.start(ep, false);
        ep
    }

    /// A place for an endpoint on a host; start it with [`start`](Self::start).
    pub fn place(&mut self, host: usize, mut cfg: Config) -> Ep {
        cfg.host_id[..4].copy_from_slice(&(host as u32 + 1).to_le_bytes());
        self.events.push(Vec::new());
        Ep(self.world.add_slot(host, cfg))
    }

    /// Starts, or starts again, an endpoint that is not running.
    pub fn start(&mut self, ep: Ep, stored: bool) {
        self.world.start(ep.0, stored);
        self.drain(ep.0);
    }

    /// Kills an endpoint: no goodbye.
    pub fn kill(&mut self, ep: Ep) {
        self.forget_applications(ep);
        self.world.kill(ep.0);
    }

    /// Kills and starts again; with `keep_key` the same identity.
    pub fn restart(&mut self, ep: Ep, keep_key: bool) {
        self.kill(ep);
        if !keep_key {
            self.world.slots[ep.0].secret = self.world.rng.bytes();
        }
        self.start(ep, keep_key);
    }

    /// Says goodbye and ends once everything is said, or after a second.
    pub fn close(&mut self, ep: Ep) {
        let now = self.world.now;
        self.forget_applications(ep);
        if let Some(node) = self.world.node(ep.0) {
            node.close(now);
        }
        self.drain(ep.0);
        let over = |net: &mut Self| net.node(ep).is_none_or(|node| node.is_drained());
        self.run_until(over, ms(1_000));
        self.world.kill(ep.0);
    }

    fn forget_applications(&mut self, ep: Ep) {
        if let Some(key) = self.key(ep) {
            self.oracle.on_writer_gone(key, None);
        }
        let life = self.world.slots[ep.0].life;
        for (at, reader) in self.readers.iter().enumerate() {
            if reader.ep == ep && reader.life == life {
                self.oracle.on_reader_gone(at);
            }
        }
    }

    /// A running node.
    pub fn node(&mut self, ep: Ep) -> Option<&mut Node<NullCrypto>> {
        self.world.node(ep.0)
    }

    /// The place of an endpoint.
    pub fn slot(&mut self, ep: Ep) -> &mut Slot {
        &mut self.world.slots[ep.0]
    }

    /// The key of a running endpoint.
    pub fn key(&self, ep: Ep) -> Option<EndpointKey> {
        self.world.slots.get(ep.0)?.node.as_ref().map(Node::key)
    }

    /// Begins to publish, with default settings but `Block`, so that nothing may be lost.
    pub fn advertise(&mut self, ep: Ep, topic: &str) -> Pub {
        let slow = motet_proto::SlowPolicy::Block;
        self.advertise_with(ep, topic, PubQos { slow, ..PubQos::default() })
    }

    /// Begins to publish.
    ///
    /// # Panics
    /// If the node refuses, or does not run.
    pub fn advertise_with(&mut self, ep: Ep, topic: &str, qos: PubQos) -> Pub {
        let now = self.world.now;
        let key = self.key(ep).expect("the endpoint runs");
        self.oracle.on_advertise(key, topic, &qos);
        let node = self.world.node(ep.0).expect("the endpoint runs");
        let id = node.advertise(now, topic, qos).expect("the publication is allowed");
        let life = self.world.slots[ep.0].life;
        self.writers.push(Writer { ep, life, id, stream: (key, topic.into()) });
        self.drain(ep.0);
        Pub(self.writers.len() - 1)
    }

    /// Publishes.
    ///
    /// # Panics
    /// If the node refuses.
    pub fn publish(&mut self, to: Pub, payload: impl AsRef<[u8]>) -> u64 {
        match self.try_publish(to, payload.as_ref()) {
            Ok(seq) => seq,
            Err(error) => panic!("not published: {error:?}"),
        }
    }

    /// Publishes, if the node lets it.
    ///
    /// # Errors
    /// What the node says; `Closed` if it does not run.
    pub fn try_publish(&mut self, to: Pub, payload: &[u8]) -> Result<u64, PublishError> {
        let now = self.world.now;
        let writer = self.writers.get(to.0).ok_or(PublishError::Closed)?;
        let (ep, id, stream) = (writer.ep, writer.id, writer.stream.clone());
        if self.world.slots[ep.0].life != writer.life || self.world.slots[ep.0].paused {
            return Err(PublishError::Closed);
        }
        let node = self.world.node(ep.0).ok_or(PublishError::Closed)?;
        // Either way into the log, by a rule that needs no chance.
        let shared = payload.len().is_multiple_of(2).then(|| Bytes::copy_from_slice(payload));
        let message = Message {
            payload: shared.as_ref().map_or(Payload::Copied(payload), Payload::Shared),
            ..Message::default()
        };
        let result = node.publish(now, id, message);
        if let Ok(seq) = result {
            self.oracle.on_publish(now, &stream, seq, payload);
        }
        self.drain(ep.0);
        result
    }

    /// Ends a publication.
    pub fn unadvertise(&mut self, to: Pub) {
        let now = self.world.now;
        let Some(writer) = self.writers.get(to.0) else { return };
        let (ep, id, stream) = (writer.ep, writer.id, writer.stream.clone());
        self.oracle.on_writer_gone(stream.0, Some(&stream.1));
        if let Some(node) = self.world.node(ep.0) {
            node.unadvertise(now, id);
        }
        self.drain(ep.0);
    }

    /// Begins to read, with default settings.
    pub fn subscribe(&mut self, ep: Ep, filter: &str) -> Sub {
        self.subscribe_with(ep, &[filter], SubQos::default())
    }

    /// Begins to read.
    ///
    /// # Panics
    /// If the node refuses, or does not run.
    pub fn subscribe_with(&mut self, ep: Ep, filters: &[&str], qos: SubQos) -> Sub {
        let now = self.world.now;
        let key = self.key(ep).expect("the endpoint runs");
        self.oracle.on_subscribe(key, filters, &qos);
        let node = self.world.node(ep.0).expect("the endpoint runs");
        let id = node.subscribe(now, filters, qos).expect("the subscription is allowed");
        let life = self.world.slots[ep.0].life;
        let reader =
            Reader { ep, life, id, held: false, waiting: false, any: false, got: Vec::new() };
        self.readers.push(reader);
        self.drain(ep.0);
        Sub(self.readers.len() - 1)
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, sub: Sub) {
        let now = self.world.now;
        let (ep, id) = (self.readers[sub.0].ep, self.readers[sub.0].id);
        self.oracle.on_reader_gone(sub.0);
        if let Some(node) = self.world.node(ep.0) {
            node.unsubscribe(now, id);
        }
        self.drain(ep.0);
    }

    /// Stops reading what arrives: a slow application.
    pub fn hold(&mut self, sub: Sub) {
        self.readers[sub.0].held = true;
    }

    /// Reads on.
    pub fn release(&mut self, sub: Sub) {
        let reader = &mut self.readers[sub.0];
        (reader.held, reader.waiting) = (false, true);
        let ep = reader.ep;
        self.drain(ep.0);
    }

    /// Asks a rule about every datagram from now on.
    pub fn rule(&mut self, rule: impl FnMut(&Flight<'_>) -> Verdict + Send + 'static) {
        self.world.rules.push(Box::new(rule) as Rule);
    }

    /// Lets an endpoint send, and takes its events, after a verb was called on its node.
    pub fn touch(&mut self, ep: Ep) {
        self.drain(ep.0);
    }

    /// What an endpoint has told since its event number `from`.
    pub fn events_from(&self, ep: Ep, from: usize) -> &[(Time, Event)] {
        self.events[ep.0].get(from..).unwrap_or(&[])
    }

    /// Ends all faults of the network.
    pub fn heal(&mut self) {
        self.world.heal();
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.world.now + time;
        while let Step::Happened(touched) = self.world.step(until) {
            self.after(touched);
        }
        self.judge();
    }

    /// Lets time pass until `done`, at most so much. True if it was.
    pub fn run_until(&mut self, mut done: impl FnMut(&mut Self) -> bool, limit: Duration) -> bool {
        let until = self.world.now + limit;
        loop {
            if done(self) {
                self.judge();
                return true;
            }
            match self.world.step(until) {
                Step::Happened(touched) => self.after(touched),
                Step::Idle => break,
            }
        }
        self.judge();
        done(self)
    }

    fn after(&mut self, touched: Option<usize>) {
        let Some(slot) = touched else { return };
        self.drain(slot);
        self.steps += 1;
        if self.check_every > 0 && self.steps.is_multiple_of(self.check_every) {
            self.check_invariants(slot);
        }
    }

    fn check_invariants(&mut self, slot: usize) {
        let broken = self.world.node(slot).map(|node| node.check_invariants());
        if let Some(Err(why)) = broken {
            self.oracle.violate("O6 invariant", self.world.now, format!("endpoint {slot}: {why}"));
        }
    }

    /// Takes events and data until there is nothing more to do.
    fn drain(&mut self, slot: usize) {
        loop {
            self.world.flush(slot);
            if self.world.slots[slot].paused {
                break;
            }
            let mut busy = false;
            while let Some(event) = self.world.node(slot).and_then(Node::poll_event) {
                self.on_event(slot, event);
                busy = true;
            }
            busy |= self.read(slot);
            if !busy {
                break;
            }
        }
        let reused = self.world.ledger.reused();
        if reused > self.reused {
            self.reused = reused;
            let detail = format!("endpoint {slot} or its peers");
            self.oracle.violate("O8 packet number reused", self.world.now, detail);
        }
        if let Some(slot) = self.world.spinning.pop_first() {
            let node = self.world.node(slot);
            let cause = node.and_then(|node| node.poll_timeout()).map(|deadline| deadline.cause);
            let detail = format!("endpoint {slot} wakes without end for {cause:?}");
            self.oracle.violate("O5 spinning", self.world.now, detail);
        }
        self.judge_oracle();
    }

    fn read(&mut self, slot: usize) -> bool {
        let (now, life) = (self.world.now, self.world.slots[slot].life);
        let mut busy = false;
        for at in 0..self.readers.len() {
            let reader = &self.readers[at];
            if reader.ep.0 != slot || reader.life != life || reader.held || !reader.waiting {
                continue;
            }
            let id = reader.id;
            while let Some(delivery) = self.world.node(slot).and_then(|node| node.read(now, id)) {
                self.oracle.on_delivery(now, at, &delivery);
                self.readers[at].any = true;
                if self.keep {
                    self.readers[at].got.push(delivery);
                }
                busy = true;
            }
            self.readers[at].waiting = false;
        }
        busy
    }

    fn on_event(&mut self, slot: usize, event: Event) {
        let now = self.world.now;
        self.world.trace.line(now, |text| text.push_str(&format!("{slot} says {event:?}")));
        let me = self.key(Ep(slot));
        let life = self.world.slots[slot].life;
        match (&event, me) {
            (Event::Readable(id), _) => {
                let ours = |it: &&mut Reader| it.ep.0 == slot && it.life == life && it.id == *id;
                if let Some(reader) = self.readers.iter_mut().find(ours) {
                    reader.waiting = true;
                }
            }
            (Event::PeerDown { key, reason, .. }, Some(me)) if *reason != DownReason::Left => {
                self.oracle.on_disrupted(me.id, key.id);
            }
            (Event::ReaderLeft { reader, reason, .. }, Some(me))
                if *reason != DownReason::Unsubscribed =>
            {
                self.oracle.on_disrupted(me.id, reader.id);
            }
            (Event::ReaderJoined { publication, reader, .. }, Some(me)) => {
                let ours = |it: &&Writer| it.stream.0 == me && it.id == *publication;
                if let Some(writer) = self.writers.iter().find(ours) {
                    self.oracle.on_joined(&writer.stream, *reader);
                }
            }
            (Event::ReaderLeft { publication, reader, reason, .. }, Some(me))
                if *reason == DownReason::Unsubscribed =>
            {
                let ours = |it: &&Writer| it.stream.0 == me && it.id == *publication;
                if let Some(writer) = self.writers.iter().find(ours) {
                    self.oracle.on_left(&writer.stream, *reader);
                }
            }
            (Event::Writer { subscription, writer, topic, state }, _) => {
                let ours =
                    |it: &Reader| it.ep.0 == slot && it.life == life && it.id == *subscription;
                if let Some(at) = self.readers.iter().position(ours) {
                    self.oracle.on_writer_state(at, &(*writer, topic.clone()), *state);
                }
            }
            _ => {}
        }
        self.events[slot].push((now, event));
    }

    /// What a subscription was handed.
    pub fn deliveries(&self, sub: Sub) -> &[Delivery] {
        &self.readers[sub.0].got
    }

    /// The payloads that a subscription was handed, as text.
    pub fn received(&self, sub: Sub) -> Vec<String> {
        let text = |delivery: &Delivery| match delivery {
            Delivery::Message(message) => {
                Some(String::from_utf8_lossy(message.payload()).into_owned())
            }
            Delivery::Missed { .. } => None,
        };
        self.readers[sub.0].got.iter().filter_map(text).collect()
    }

    /// Whether anything was delivered to a subscription, kept or not.
    pub fn heard(&self, sub: Sub) -> bool {
        self.readers[sub.0].any
    }

    /// What an endpoint has counted; zeros if it does not run.
    pub fn counters(&mut self, ep: Ep) -> Counters {
        self.node(ep).map(|node| node.counters().clone()).unwrap_or_default()
    }

    /// What an endpoint has told its application.
    pub fn events(&self, ep: Ep) -> impl Iterator<Item = &Event> {
        self.events[ep.0].iter().map(|(_, event)| event)
    }

    /// When an endpoint first said something like this.
    pub fn said(&self, ep: Ep, what: impl Fn(&Event) -> bool) -> Option<Time> {
        self.events[ep.0].iter().find(|(_, event)| what(event)).map(|(at, _)| *at)
    }

    /// Two endpoints have a session with each other.
    pub fn connected(&mut self, a: Ep, b: Ep) -> bool {
        let knows = |net: &mut Self, a, b| {
            let key = net.key(b);
            net.node(a).is_some_and(|node| node.peers().iter().any(|peer| Some(peer.key) == key))
        };
        knows(self, a, b) && knows(self, b, a)
    }

    /// The lines of the trace, if it keeps them.
    pub fn trace(&self) -> String {
        self.world.trace.lines().collect::<Vec<_>>().join("\n")
    }

    /// Writes into the trace what every endpoint publishes and reads.
    pub fn note_views(&mut self) {
        let now = self.world.now;
        for slot in self.world.slots.iter().filter(|slot| slot.node.is_some()) {
            let Some(node) = &slot.node else { continue };
            self.world
                .trace
                .line(now, |text| text.push_str(&format!("{} {:?}", node.name(), node.counters())));
            for view in node.peers() {
                self.world
                    .trace
                    .line(now, |text| text.push_str(&format!("{} {view:?}", node.name())));
            }
            for view in node.publications() {
                self.world
                    .trace
                    .line(now, |text| text.push_str(&format!("{} {view:?}", node.name())));
            }
            for view in node.subscriptions() {
                self.world
                    .trace
                    .line(now, |text| text.push_str(&format!("{} {view:?}", node.name())));
            }
        }
    }

    /// O5, and everything else that is looked at when all is quiet.
    pub fn demand(&mut self) {
        let live: BTreeSet<EndpointKey> =
            (0..self.world.slots.len()).filter_map(|at| self.key(Ep(at))).collect();
        let both = |a, b| live.contains(&a) && live.contains(&b);
        self.oracle.demand(self.world.now, both);
        (0..self.world.slots.len()).for_each(|slot| self.check_invariants(slot));
        self.judge();
    }

    fn judge_oracle(&self) {
        if self.strict
            && let Some(violation) = self.oracle.violations.first()
        {
            panic!("{violation} (network seed {})\n{}", self.seed, self.trace());
        }
    }

    /// Ends the test if something was violated and it is strict.
    fn judge(&self) {
        self.judge_oracle();
        if self.strict && !self.malformed {
            for node in self.world.slots.iter().filter_map(|slot| slot.node.as_ref()) {
                let Counters { malformed_packets, malformed_frames, malformed_records, .. } =
                    node.counters();
                let counts = [malformed_packets, malformed_frames, malformed_records];
                assert_eq!(counts, [&0; 3], "{} counts malformed packets", node.name());
            }
        }
    }
}
