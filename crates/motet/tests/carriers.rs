//! One core over four carriers: UDP of IPv4 and of IPv6, memory that is shared, and the simulator. The
//! story is one function; what carries its datagrams is swapped below it.
#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::BytesMut;
use motet_net::{Bind, Datagram, RecvBatch, UnicastSocket};
use motet_proto::node::Message;
use motet_proto::{
    Config, Delivery, HostEvent, InterfaceInfo, Node, PubQos, RecvMeta, SlowPolicy, SubQos, Time,
    Transmit, TxBatch, Via,
};
use motet_sim::net::{config, ms};
use motet_sim::null::{Ledger, NullCrypto};
use motet_sim::{LinkModel, Net};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// Two endpoints, 0 and 1, and something between them.
trait Ground {
    fn now(&self) -> Time;
    fn node(&mut self, n: usize) -> &mut Node<NullCrypto>;
    /// Lets a millisecond pass.
    fn step(&mut self);
}

/// They meet, one writes small messages and a large one, the other reads them all, in order.
fn story(ground: &mut dyn Ground) {
    let qos = PubQos { slow: SlowPolicy::Block, history: 0, ..PubQos::default() };
    let now = ground.now();
    let heard = ground.node(1).subscribe(now, &["words/*"], SubQos::default()).unwrap();
    let words = ground.node(0).advertise(now, "words/eng", qos).unwrap();
    until(ground, "they meet", |ground| {
        ground.node(0).publications().iter().any(|it| it.readers.len() == 1)
    });
    let sent: Vec<Vec<u8>> = (0..200_u32)
        .map(|n| if n == 120 { vec![7; 200_000] } else { n.to_be_bytes().to_vec() })
        .collect();
    for payload in &sent {
        let now = ground.now();
        ground.node(0).publish(now, words, Message::from(&payload[..])).unwrap();
        ground.step();
    }
    let mut got = Vec::new();
    until(ground, "all of it arrives", |ground| {
        let now = ground.now();
        while let Some(delivery) = ground.node(1).read(now, heard) {
            match delivery {
                Delivery::Message(message) => got.push(message.payload().to_vec()),
                Delivery::Missed { n, .. } => panic!("{n} are missing"),
            }
        }
        got.len() >= sent.len()
    });
    assert_eq!(got, sent);
}

fn until(ground: &mut dyn Ground, what: &str, mut done: impl FnMut(&mut dyn Ground) -> bool) {
    for _ in 0..30_000 {
        if done(ground) {
            return;
        }
        ground.step();
    }
    panic!("within 30 s: {what}");
}

/// What carries a datagram from one to the other.
trait Carrier {
    fn addr(&self, of: usize) -> SocketAddr;
    fn send(&mut self, from: usize, dst: SocketAddr, datagram: &[u8]);
    /// What has arrived, and from where.
    fn arrived(&mut self, at: usize) -> Vec<(SocketAddr, Vec<u8>)>;
}

/// Two nodes on a carrier. Time is what the story says it is.
struct Hosts<C> {
    nodes: [Node<NullCrypto>; 2],
    carrier: C,
    now: Time,
    batch: TxBatch,
}

impl<C: Carrier> Hosts<C> {
    fn new(carrier: C) -> Self {
        let (now, ledger) = (Time(1_000_000), Ledger::default());
        let node = |n: usize| {
            let other = carrier.addr(1 - n);
            let mut cfg: Config = config(["writer", "reader"][n]);
            (cfg.group_v4, cfg.group_v6, cfg.greet_loopback) = (None, None, false);
            (cfg.port, cfg.seeds) = (carrier.addr(n).port(), vec![other]);
            let crypto = NullCrypto::new([n as u8 + 1; 32], &ledger);
            let mut node = Node::new(cfg, crypto, [n as u8 + 9; 32], 1, 0, now).unwrap();
            let interface = InterfaceInfo {
                index: 1,
                name: "lo".into(),
                addresses: vec![(carrier.addr(n).ip(), 8)],
                mtu: 65_536,
                loopback: true,
                multicast: (false, false),
                class: 3,
            };
            node.handle_host(now, HostEvent::Interfaces(vec![interface]));
            node
        };
        let nodes = [node(0), node(1)];
        Self { nodes, carrier, now, batch: TxBatch::new() }
    }

    fn flush(&mut self, n: usize) {
        while let Some(transmit) = self.nodes[n].poll_transmit(self.now, &mut self.batch) {
            let Transmit { via, dst, len, segment, .. } = transmit;
            assert_eq!(via, Via::Unicast);
            for datagram in self.batch.bytes[..len].chunks(segment.max(1)) {
                self.carrier.send(n, dst, datagram);
            }
        }
        while self.nodes[n].poll_event().is_some() {}
    }
}

impl<C: Carrier> Ground for Hosts<C> {
    fn now(&self) -> Time {
        self.now
    }

    fn node(&mut self, n: usize) -> &mut Node<NullCrypto> {
        &mut self.nodes[n]
    }

    fn step(&mut self) {
        for n in [0, 1, 0] {
            self.flush(n);
            for (src, bytes) in self.carrier.arrived(n) {
                let meta = RecvMeta { src, dst: None, iface: 1, ce: false, via: Via::Unicast };
                self.nodes[n].handle_datagram(self.now, meta, BytesMut::from(&bytes[..]));
            }
        }
        self.now = self.now + ms(1);
        for n in 0..2 {
            if self.nodes[n].poll_timeout().is_some_and(|it| it.at <= self.now) {
                self.nodes[n].handle_timeout(self.now);
            }
            self.flush(n);
        }
    }
}

/// Sockets on loopback.
struct Udp([UnicastSocket; 2]);

impl Udp {
    fn on(ip: IpAddr) -> Self {
        Self([0, 1].map(|_| UnicastSocket::bind(Bind::Addr((ip, 0).into())).unwrap()))
    }
}

impl Carrier for Udp {
    fn addr(&self, of: usize) -> SocketAddr {
        self.0[of].local_addr()
    }

    fn send(&mut self, from: usize, dst: SocketAddr, contents: &[u8]) {
        // What a full buffer refuses is lost, as on the wire.
        let _ =
            self.0[from].try_send(&Datagram { dst, src: None, ecn: None, contents, segment: None });
    }

    fn arrived(&mut self, at: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut batch = RecvBatch::default();
        let mut all = Vec::new();
        while self.0[at].recv(&mut batch).is_ok_and(|runs| runs > 0) {
            all.extend(batch.datagrams().map(|(meta, bytes)| (meta.src, bytes.to_vec())));
        }
        all
    }
}

/// One ring of slots in each direction, in memory that any process could open: a file of /dev/shm.
struct Ring {
    file: File,
    /// Slots written and read, by who writes.
    written: [u64; 2],
    read: [u64; 2],
}

const SLOTS: u64 = 256;
const SLOT: u64 = 66_000;

impl Ring {
    fn new() -> Self {
        let path = format!("/dev/shm/motet-carriers-{}", std::process::id());
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap(); // it lives as long as it is open
        file.set_len(2 * SLOTS * SLOT).unwrap();
        Self { file, written: [0; 2], read: [0; 2] }
    }

    fn place(from: usize, nth: u64) -> u64 {
        (from as u64 * SLOTS + nth % SLOTS) * SLOT
    }
}

impl Carrier for Ring {
    fn addr(&self, of: usize) -> SocketAddr {
        // Memory has no addresses: any two that differ will do.
        (Ipv4Addr::new(127, 0, 0, 1), 1 + of as u16).into()
    }

    fn send(&mut self, from: usize, dst: SocketAddr, datagram: &[u8]) {
        let full = self.written[from] - self.read[from] >= SLOTS;
        if dst != self.addr(1 - from) || full {
            return;
        }
        let place = Self::place(from, self.written[from]);
        let length = (datagram.len() as u32).to_le_bytes();
        self.file.write_all_at(&[&length, datagram].concat(), place).unwrap();
        self.written[from] += 1;
    }

    fn arrived(&mut self, at: usize) -> Vec<(SocketAddr, Vec<u8>)> {
        let from = 1 - at;
        let mut all = Vec::new();
        while self.read[from] < self.written[from] {
            let place = Self::place(from, self.read[from]);
            let mut length = [0; 4];
            self.file.read_exact_at(&mut length, place).unwrap();
            let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
            self.file.read_exact_at(&mut bytes, place + 4).unwrap();
            self.read[from] += 1;
            all.push((self.addr(from), bytes));
        }
        all
    }
}

/// The simulator, with loss and delay.
struct Simulated(Net, [motet_sim::Ep; 2]);

impl Ground for Simulated {
    fn now(&self) -> Time {
        self.0.world.now
    }

    fn node(&mut self, n: usize) -> &mut Node<NullCrypto> {
        self.0.node(self.1[n]).unwrap()
    }

    fn step(&mut self) {
        for ep in self.1 {
            self.0.world.flush(ep.0);
        }
        self.0.run_for(Duration::from_millis(1));
    }
}

fn simulated() -> Simulated {
    let link = LinkModel { loss: 0.05, latency: ms(3), jitter: ms(1), ..LinkModel::default() };
    let mut net = Net::seeded(4).links(link);
    let eps = ["writer", "reader"].map(|name| net.endpoint(name));
    Simulated(net, eps)
}

// GL-11
#[test]
fn gl_11_one_core_runs_over_ipv4_ipv6_shared_memory_and_the_simulator() {
    story(&mut Hosts::new(Udp::on(Ipv4Addr::LOCALHOST.into())));
    if UnicastSocket::bind(Bind::Addr((Ipv6Addr::LOCALHOST, 0).into())).is_ok() {
        story(&mut Hosts::new(Udp::on(Ipv6Addr::LOCALHOST.into())));
    } else {
        eprintln!("skipped over IPv6: this machine has none");
    }
    story(&mut Hosts::new(Ring::new()));
    story(&mut simulated());
}
