//! In the steady state messages go from publish to read without an allocation.

use bytes::BytesMut;
use motet_crypto::{AwsLc, Identity};
use motet_proto::crypto::Crypto;
use motet_proto::node::PublishError;
use motet_proto::{
    Config, Delivery, Event, Node, PubId, PubQos, Realm, RecvMeta, SlowPolicy, SubId, SubQos, Time,
    TxBatch, Via,
};
use motet_sim::null::{Ledger, NullCrypto};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::net::SocketAddr;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes of a message.
const SIZE: usize = 64;
/// Messages published before the packets of that turn leave.
const BURST: u64 = 37;
/// Time between two turns.
const TURN: Duration = Duration::from_micros(100);
/// Datagrams are cut from blocks of this size, as a driver does.
const BLOCK: usize = 128 << 10;

/// An endpoint, and the memory of the driver it would have.
struct Side<C: Crypto> {
    node: Node<C>,
    addr: SocketAddr,
    batch: TxBatch,
    block: BytesMut,
}

impl<C: Crypto> Side<C> {
    fn new(crypto: C, port: u16, seeds: Vec<SocketAddr>) -> Self {
        let realm = Realm { name: "lab".into(), secret: Some([7; 32]) };
        let mut cfg = Config::lan(realm, "side");
        (cfg.port, cfg.seeds) = (port, seeds);
        let seed = [port as u8; 32];
        let node = Node::new(cfg, crypto, seed, 1, 0, Time::ZERO).expect("the config is good");
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        Self { node, addr, batch: TxBatch::new(), block: BytesMut::new() }
    }

    /// Hands over all that waits; true if anything did.
    fn send_to(&mut self, now: Time, other: &mut Self) -> bool {
        let mut sent = false;
        while let Some(transmit) = self.node.poll_transmit(now, &mut self.batch) {
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
                other.node.handle_datagram(now, meta, other.block.split());
            }
        }
        sent
    }

    fn on_time(&mut self, now: Time) {
        if self.node.poll_timeout().is_some_and(|deadline| deadline.at <= now) {
            self.node.handle_timeout(now);
        }
    }
}

/// A writer and a reader, wired to each other.
struct Pair<C: Crypto> {
    now: Time,
    writer: Side<C>,
    reader: Side<C>,
    publication: PubId,
    subscription: SubId,
    /// Messages published, and read.
    done: (u64, u64),
}

impl<C: Crypto> Pair<C> {
    /// Two endpoints that have met.
    fn meet(crypto: impl Fn(u8) -> C) -> Self {
        let mut writer = Side::new(crypto(1), 37_401, Vec::new());
        let mut reader = Side::new(crypto(2), 37_402, vec![writer.addr]);
        let qos = PubQos { slow: SlowPolicy::Block, ..PubQos::default() };
        let publication = writer.node.advertise(Time::ZERO, "a/b", qos).expect("a good name");
        let subscribed = reader.node.subscribe(Time::ZERO, &["a/*"], SubQos::default());
        let subscription = subscribed.expect("a good filter");
        let mut pair =
            Self { now: Time::ZERO, writer, reader, publication, subscription, done: (0, 0) };
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
        self.now = self.now + TURN;
        self.writer.on_time(self.now);
        self.reader.on_time(self.now);
        while self.writer.send_to(self.now, &mut self.reader)
            | self.reader.send_to(self.now, &mut self.writer)
        {
            self.read();
        }
        while let Some(Event::Readable(_) | Event::Writable(_)) = self.writer.node.poll_event() {}
    }

    fn read(&mut self) {
        while self.reader.node.poll_event().is_some() {}
        while let Some(delivery) = self.reader.node.read(self.now, self.subscription) {
            let Delivery::Message(message) = delivery else { panic!("{delivery:?}") };
            let number = message.payload().first_chunk().map(|number| u64::from_le_bytes(*number));
            assert_eq!((number, message.payload().len()), (Some(self.done.1), SIZE));
            self.done.1 += 1;
        }
    }

    /// Publishes `n` more messages and reads them all.
    fn exchange(&mut self, n: u64) {
        let end = self.done.0 + n;
        while self.done.1 < end {
            for _ in 0..BURST.min(end - self.done.0) {
                let mut payload = [0; SIZE];
                payload[..8].copy_from_slice(&self.done.0.to_le_bytes());
                match self.writer.node.publish(self.now, self.publication, payload[..].into()) {
                    Ok(_) => self.done.0 += 1,
                    Err(PublishError::Full) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            self.turn();
        }
    }
}

/// Allocations, reallocations included, of 10,000 messages, once the memory of the log goes round:
/// 10,000 messages do not bring that about, 20,000 do.
fn allocations<C: Crypto>(mut pair: Pair<C>) -> usize {
    let warm_up = Region::new(ALLOCATOR);
    pair.exchange(20_000);
    assert!(warm_up.change().allocations > 0, "the counter counts");
    let region = Region::new(ALLOCATOR);
    pair.exchange(10_000);
    let change = region.change();
    change.allocations + change.reallocations
}

// One test: whatever else the process does is counted, too.
#[test]
fn ten_thousand_small_messages_allocate_nothing_from_publish_to_read() {
    let ledger = Ledger::default();
    let plain = allocations(Pair::meet(|key| NullCrypto::new([key; 32], &ledger)));
    let sealed = allocations(Pair::meet(|key| AwsLc::new(Identity::from_bytes([key; 32]))));

    assert_eq!((plain, sealed), (0, 0), "with a null cipher, and with the real one");
}
