//! A node under test and the host that it runs on: time, the way out, its application.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use motet_proto::crypto::Crypto;
use motet_proto::{
    Config, Event, HostAction, HostEvent, Node, Realm, RecvMeta, SubId, Time, TxBatch, Via,
};

/// What is sent or woken for in one moment without end is a fault of the node.
const SENDS_MAX: usize = 50_000;
/// Timeouts in one stretch of time.
const WAKES_MAX: usize = 50_000;
/// Timeouts at one moment.
const SPINS_MAX: usize = 1_000;

/// The realm's secret.
pub const SECRET: [u8; 32] = [42; 32];
/// The realm's name.
pub const REALM: &str = "fuzzed";
/// The wall clock when a node starts, ms.
pub const WALL_MS: u64 = 1_735_689_600_000;

/// What a node is started with: no multicast, and budgets that a script can reach.
pub fn config(name: &str) -> Config {
    let realm = Realm { name: REALM.into(), secret: Some(SECRET) };
    let mut cfg = Config::lan(realm, name);
    (cfg.group_v4, cfg.group_v6, cfg.greet_loopback) = (None, None, false);
    (cfg.max_message, cfg.reassembly_bytes) = (1 << 20, 8 << 20);
    cfg
}

/// A datagram that was sent.
pub struct Sent {
    /// Where to.
    pub dst: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// A node and its host.
pub struct Host<C: Crypto> {
    /// The node.
    pub node: Node<C>,
    /// Its clock.
    pub now: Time,
    /// What it sent by unicast and nobody has taken yet.
    pub sent: Vec<Sent>,
    /// Subscriptions that are read as soon as there is something.
    pub reading: Vec<SubId>,
    /// What it said and nobody has taken yet.
    pub events: Vec<Event>,
    /// Payloads that were read, their sum modulo 2^64.
    pub read: u64,
    batch: TxBatch,
    memory: usize,
}

impl<C: Crypto> Host<C> {
    /// Starts a node.
    ///
    /// # Panics
    /// If the node refuses `cfg`.
    pub fn new(cfg: Config, crypto: C, seed: u8, incarnation: u64) -> Self {
        let memory = crate::memory();
        let now = Time(1_000_000);
        let node = Node::new(cfg, crypto, [seed; 32], incarnation, WALL_MS, now);
        let node = node.expect("the configuration is valid");
        Self {
            node,
            now,
            sent: Vec::new(),
            reading: Vec::new(),
            events: Vec::new(),
            read: 0,
            batch: TxBatch::new(),
            memory,
        }
    }

    /// Hands it a datagram.
    pub fn datagram(&mut self, src: SocketAddr, via: Via, bytes: &[u8]) {
        let meta = RecvMeta { src, dst: None, iface: 2, ce: false, via };
        self.node.handle_datagram(self.now, meta, BytesMut::from(bytes));
        self.settle();
    }

    /// Tells it what the host noticed.
    pub fn notice(&mut self, event: HostEvent) {
        self.node.handle_host(self.now, event);
        self.settle();
    }

    /// Lets the application do something with the node.
    pub fn call<T>(&mut self, verb: impl FnOnce(&mut Node<C>, Time) -> T) -> T {
        let result = verb(&mut self.node, self.now);
        self.settle();
        result
    }

    /// Lets time pass; timers fire when they are due.
    ///
    /// # Panics
    /// If the node wakes without end.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        let (mut wakes, mut spins) = (0, 0);
        while let Some(deadline) = self.node.poll_timeout().filter(|next| next.at <= until) {
            spins = if deadline.at > self.now { 0 } else { spins + 1 };
            wakes += 1;
            assert!(spins < SPINS_MAX && wakes < WAKES_MAX, "wakes without end: {deadline:?}");
            self.now = self.now.max(deadline.at);
            self.node.handle_timeout(self.now);
            self.settle();
        }
        self.now = until;
    }

    /// Takes all that the node has to give, then checks it.
    fn settle(&mut self) {
        let mut busy = true;
        while std::mem::take(&mut busy) {
            while let Some(transmit) = self.node.poll_transmit(self.now, &mut self.batch) {
                busy = true;
                if transmit.via != Via::Unicast {
                    continue;
                }
                let bytes = self.batch.bytes.get(..transmit.len).expect("len is within the batch");
                for datagram in bytes.chunks(transmit.segment.max(1)) {
                    self.sent.push(Sent { dst: transmit.dst, bytes: datagram.to_vec() });
                }
                assert!(self.sent.len() < SENDS_MAX, "sends without end");
            }
            while let Some(action) = self.node.poll_host() {
                busy = true;
                if let HostAction::JoinLane { iface, lane, .. } = action {
                    // Every eighth group cannot be joined.
                    let event = HostEvent::LaneJoined { iface, lane, ok: lane % 8 != 7 };
                    self.node.handle_host(self.now, event);
                }
            }
            while let Some(event) = self.node.poll_event() {
                busy = true;
                self.events.push(event);
            }
            for id in &self.reading {
                while let Some(delivery) = self.node.read(self.now, *id) {
                    busy = true;
                    if let motet_proto::Delivery::Message(message) = delivery {
                        let bytes = message.payload().iter();
                        self.read = bytes.fold(self.read, |sum, byte| sum + u64::from(*byte));
                    }
                }
            }
        }
        if let Err(rule) = self.node.check_invariants() {
            panic!("{rule}");
        }
        let grown = crate::memory().saturating_sub(self.memory);
        assert!(grown < crate::GROWTH_MAX, "{grown} bytes more than at the start");
    }
}
