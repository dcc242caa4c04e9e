//! The hot paths, to be counted by callgrind: `cargo xtask counts` runs every case and compares.
//!
//! Two endpoints with real keys and virtual time, called as a driver calls them. Only what runs in
//! [`counted`] is counted; how many messages or packets that was is printed.

use bytes::BytesMut;
use motet_crypto::{AwsLc, Identity, Sealer};
use motet_proto::crypto::{Aead, Cipher};
use motet_proto::node::PublishError;
use motet_proto::{
    Config, Delivery, Node, PubId, PubQos, Realm, RecvMeta, SlowPolicy, SubId, SubQos, Time,
    TxBatch, Via,
};
use std::collections::VecDeque;
use std::hint::black_box;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// Time between two turns.
const TURN: Duration = Duration::from_micros(100);
/// Datagrams are cut from blocks of this size, as a driver does.
const BLOCK: usize = 128 << 10;
/// Bytes that wait for one turn at most, so that no window is the limit.
const BURST_BYTES: usize = 256 << 10;
/// Payload of the largest packet of an Ethernet.
const LAN_MTU: u16 = 1_452;

/// One thing to count.
#[derive(Clone, Copy)]
enum Case {
    /// A part of the way of messages of `size` bytes, `burst` of them published at a time.
    Message {
        part: Part,
        size: usize,
        burst: usize,
        mtu: u16,
    },
    Seal(usize),
    Open(usize),
}

/// Parts of a message's way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The writer: publish, and pull packets.
    Publish,
    /// The reader: take packets, read, pull acknowledgements.
    Receive,
    /// The writer: take acknowledgements.
    Acknowledge,
}

fn main() -> ExitCode {
    let cases = cases();
    let wanted = std::env::args().nth(1);
    match cases.iter().find(|(name, _)| Some(name) == wanted.as_ref()) {
        Some((_, Case::Message { part, size, burst, mtu })) => {
            println!("{}", messages(*part, *size, *burst, *mtu));
        }
        Some((_, Case::Seal(size))) => println!("{}", seal(*size)),
        Some((_, Case::Open(size))) => println!("{}", open(*size)),
        None if wanted.is_some() => {
            eprintln!("no such case");
            return ExitCode::FAILURE;
        }
        None => cases.iter().for_each(|(name, _)| println!("{name}")),
    }
    ExitCode::SUCCESS
}

fn cases() -> Vec<(String, Case)> {
    let mtu = Config::lan(realm(), "").mtu_max;
    let mut cases = Vec::new();
    for (name, part) in [("publish", Part::Publish), ("receive", Part::Receive)] {
        for size in [64, 1 << 10, 64 << 10] {
            let burst = (BURST_BYTES / size).min(64);
            cases.push((format!("{name}/{size}"), Case::Message { part, size, burst, mtu }));
        }
        let (size, burst) = (1 << 10, 64);
        cases.push((
            format!("{name}/{size}/mtu{LAN_MTU}"),
            Case::Message { part, size, burst, mtu: LAN_MTU },
        ));
        // One message, one packet: the round trip.
        cases.push((format!("{name}/64/alone"), Case::Message { part, size: 64, burst: 1, mtu }));
    }
    let part = Part::Acknowledge;
    cases.push(("acknowledge/64".into(), Case::Message { part, size: 64, burst: 64, mtu }));
    for size in [64, 1_400, 60_000] {
        cases.push((format!("seal/{size}"), Case::Seal(size)));
        cases.push((format!("open/{size}"), Case::Open(size)));
    }
    cases
}

/// Callgrind collects inside of this function only: it goes by the name.
#[inline(never)]
fn counted<R>(what: impl FnOnce() -> R) -> R {
    black_box(what())
}

fn counted_if<R>(on: bool, what: impl FnOnce() -> R) -> R {
    if on { counted(what) } else { what() }
}

fn sealer() -> Sealer {
    Sealer::new(Cipher::Aes128Gcm, &[7; 32])
}

fn seal(size: usize) -> u64 {
    let (sealer, mut packet, times) = (sealer(), vec![0x5a; size], 100);
    for number in 0..times {
        black_box(counted(|| sealer.seal(number, &[1; 16], &mut packet)));
    }
    times
}

fn open(size: usize) -> u64 {
    let (sealer, mut packet, times) = (sealer(), vec![0x5a; size], 100);
    for number in 0..times {
        let tag = sealer.seal(number, &[1; 16], &mut packet);
        assert!(counted(|| sealer.open(number, &[1; 16], &mut packet, &tag)), "it is authentic");
    }
    times
}

fn messages(part: Part, size: usize, burst: usize, mtu: u16) -> u64 {
    let messages = (8 << 20) / size.max(2 << 10) as u64;
    let mut pair = Pair::meet(mtu, size, burst);
    pair.exchange(messages); // windows, path and buffers grow to what they will be
    pair.part = Some(part);
    pair.exchange(messages);
    messages
}

fn realm() -> Realm {
    Realm { name: "lab".into(), secret: Some([7; 32]) }
}

/// An endpoint, and the memory of the driver it would have.
struct Side {
    node: Node<AwsLc>,
    addr: SocketAddr,
    batch: TxBatch,
    block: BytesMut,
    /// Datagrams on their way here.
    inbox: VecDeque<(RecvMeta, BytesMut)>,
}

impl Side {
    fn new(key: u8, mtu: u16, seeds: Vec<SocketAddr>) -> Self {
        let mut cfg = Config::lan(realm(), "side");
        let port = 37_400 + u16::from(key);
        (cfg.port, cfg.seeds, cfg.mtu_max) = (port, seeds, mtu);
        let crypto = AwsLc::new(Identity::from_bytes([key; 32]));
        let node = Node::new(cfg, crypto, [key; 32], 1, 0, Time::ZERO).expect("the config is good");
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let (batch, block, inbox) = (TxBatch::new(), BytesMut::new(), VecDeque::new());
        Self { node, addr, batch, block, inbox }
    }

    /// One hold of the driver's lock: afterwards it asks for events and for the deadline.
    fn with<R>(&mut self, count: bool, what: impl FnOnce(&mut Node<AwsLc>) -> R) -> R {
        counted_if(count, || {
            let result = what(&mut self.node);
            while self.node.poll_event().is_some() {}
            black_box(self.node.poll_timeout());
            result
        })
    }

    /// As there, but the deadline is asked for only by the sending that follows.
    fn publish(
        &mut self,
        count: bool,
        now: Time,
        to: PubId,
        payload: &[u8],
    ) -> Result<u64, PublishError> {
        counted_if(count, || {
            let result = self.node.publish(now, to, payload.into());
            while self.node.poll_event().is_some() {}
            result
        })
    }

    /// Takes what has arrived.
    fn receive(&mut self, count: bool, now: Time) {
        while !self.inbox.is_empty() {
            let run = self.inbox.len().min(64);
            let datagrams: Vec<_> = self.inbox.drain(..run).collect();
            self.with(count, |node| {
                for (meta, datagram) in datagrams {
                    node.handle_datagram(now, meta, datagram);
                }
            });
        }
    }

    /// Puts all that it has to send into the other's inbox; true if there was anything.
    fn send_to(&mut self, count: bool, now: Time, other: &mut Self) -> bool {
        let mut sent = false;
        loop {
            let (node, batch) = (&mut self.node, &mut self.batch);
            let transmit = counted_if(count, || node.poll_transmit(now, batch));
            let Some(transmit) = transmit else { return sent };
            if transmit.via != Via::Unicast || transmit.dst != other.addr {
                continue;
            }
            sent = true;
            for datagram in self.batch.bytes[..transmit.len].chunks(transmit.segment) {
                if other.block.capacity() < datagram.len() && !other.block.try_reclaim(BLOCK) {
                    other.block = BytesMut::with_capacity(BLOCK);
                }
                other.block.extend_from_slice(datagram);
                let (src, dst) = (self.addr, Some(other.addr.ip()));
                let meta = RecvMeta { src, dst, iface: 1, ce: false, via: Via::Unicast };
                other.inbox.push_back((meta, other.block.split()));
            }
        }
    }

    fn on_time(&mut self, count: bool, now: Time) {
        if self.node.poll_timeout().is_some_and(|deadline| deadline.at <= now) {
            self.with(count, |node| node.handle_timeout(now));
        }
    }
}

/// A writer and a reader, wired to each other.
struct Pair {
    now: Time,
    writer: Side,
    reader: Side,
    publication: PubId,
    subscription: SubId,
    payload: Vec<u8>,
    burst: usize,
    /// Messages published, and read.
    done: (u64, u64),
    /// What is counted.
    part: Option<Part>,
}

impl Pair {
    /// Two endpoints that have met.
    fn meet(mtu: u16, size: usize, burst: usize) -> Self {
        let mut writer = Side::new(1, mtu, Vec::new());
        let mut reader = Side::new(2, mtu, vec![writer.addr]);
        let qos = PubQos { slow: SlowPolicy::Block, ..PubQos::default() };
        let publication = writer.node.advertise(Time::ZERO, "a/b", qos).expect("a good name");
        let subscribed = reader.node.subscribe(Time::ZERO, &["a/*"], SubQos::default());
        let subscription = subscribed.expect("a good filter");
        let (now, payload, done, part) = (Time::ZERO, vec![0x5a; size], (0, 0), None);
        let mut pair =
            Self { now, writer, reader, publication, subscription, payload, burst, done, part };
        for _ in 0..100_000 {
            pair.turn();
            if pair.writer.node.readers(publication) > 0 {
                return pair;
            }
        }
        panic!("they do not meet");
    }

    /// Lets what is due happen, and everything cross until nobody says more.
    fn turn(&mut self) {
        let (publish, receive, acknowledge) = (
            self.part == Some(Part::Publish),
            self.part == Some(Part::Receive),
            self.part == Some(Part::Acknowledge),
        );
        self.now = self.now + TURN;
        self.writer.on_time(publish, self.now);
        self.reader.on_time(receive, self.now);
        loop {
            let forth = self.writer.send_to(publish, self.now, &mut self.reader);
            self.reader.receive(receive, self.now);
            self.read(receive);
            let back = self.reader.send_to(receive, self.now, &mut self.writer);
            self.writer.receive(acknowledge, self.now);
            if !forth && !back {
                return;
            }
        }
    }

    fn read(&mut self, count: bool) {
        let (now, subscription) = (self.now, self.subscription);
        let read = self.reader.with(count, |node| {
            let mut read = 0;
            while let Some(delivery) = node.read(now, subscription) {
                assert!(matches!(delivery, Delivery::Message(_)), "{delivery:?}");
                read += 1;
            }
            read
        });
        self.done.1 += read;
    }

    /// Publishes `n` more messages and reads them all.
    fn exchange(&mut self, n: u64) {
        let end = self.done.0 + n;
        let count = self.part == Some(Part::Publish);
        while self.done.1 < end {
            for _ in 0..(self.burst as u64).min(end - self.done.0) {
                let (now, publication, payload) = (self.now, self.publication, &self.payload[..]);
                let published = self.writer.publish(count, now, publication, payload);
                match published {
                    Ok(_) => self.done.0 += 1,
                    Err(PublishError::Full) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            self.turn();
        }
    }
}
