//! Two nodes that look for each other while a script plays with every datagram between them.
//!
//! Once it ends and datagrams pass again, the two must find each other and be heard.

use std::net::SocketAddr;
use std::time::Duration;

use motet_crypto::{AwsLc, Identity};
use motet_proto::crypto::Crypto;
use motet_proto::node::{Message, Payload};
use motet_proto::transport::liveness::State;
use motet_proto::{PubQos, SubQos, Via};
use motet_sim::null::{Ledger, NullCrypto};
use motet_wire::PacketType;

use crate::host::{Host, WALL_MS, config};
use crate::rogue::Rogue;
use crate::tape::Tape;

/// Datagrams that can be under way; the oldest is lost.
const UNDER_WAY: usize = 64;
/// Steps of a script.
const STEPS: usize = 250;
/// Time a script may let pass, ms.
const TIME_MS: u64 = 20_000;
/// Time in which the two must find each other, ms: the longest wait between two dials, and the
/// handshake.
const FOUND_MS: u64 = 120_000;

/// First byte: b0 real cryptography, b1 both dial. Then steps.
pub fn handshake(data: &[u8]) {
    let mut tape = Tape(data);
    let flags = tape.u8();
    if flags & 1 == 0 {
        let ledger = Ledger::default();
        run([1, 2, 3].map(|n| NullCrypto::new([n; 32], &ledger)), flags, &mut tape);
        assert_eq!(ledger.reused(), 0, "a packet number was sealed twice");
    } else {
        run([1, 2, 3].map(|n| AwsLc::new(Identity::from_bytes([n; 32]))), flags, &mut tape);
    }
}

struct Flight {
    to: usize,
    bytes: Vec<u8>,
}

struct Pair<C: Crypto> {
    hosts: [Host<C>; 2],
    flights: Vec<Flight>,
}

fn addr(n: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n as u8 + 1], 37_321))
}

fn run<C: Crypto>([one, two, third]: [C; 3], flags: u8, tape: &mut Tape<'_>) {
    let host = |crypto, n| Host::new(config("node"), crypto, n, WALL_MS << 8);
    let mut pair = Pair { hosts: [host(one, 1), host(two, 2)], flights: Vec::new() };
    let rogue = Rogue::new(third, addr(2), WALL_MS << 8);
    let publication =
        pair.hosts[0].call(|node, now| node.advertise(now, "said", PubQos::default()));
    let publication = publication.expect("a valid topic");
    let heard = pair.hosts[1].call(|node, now| node.subscribe(now, &["*"], SubQos::default()));
    pair.hosts[1].reading.push(heard.expect("a valid filter"));
    pair.hosts[0].call(|node, now| node.add_seed(now, addr(1)));
    if flags & 2 != 0 {
        pair.hosts[1].call(|node, now| node.add_seed(now, addr(0)));
    }
    pair.collect();
    let mut time = 0;
    for _ in 0..STEPS {
        if tape.is_empty() {
            break;
        }
        pair.step(tape, &rogue, &mut time);
        pair.collect();
    }
    pair.heal();
    let message = Message { payload: Payload::Copied(&[1; 100]), ..Message::default() };
    let sent = pair.hosts[0].call(|node, now| node.publish(now, publication, message));
    assert_eq!(sent, Ok(1));
    for _ in 0..500 {
        pair.pass(10);
    }
    assert_eq!(pair.hosts[1].read, 100, "the message was not read once");
}

impl<C: Crypto> Pair<C> {
    fn collect(&mut self) {
        for (from, host) in self.hosts.iter_mut().enumerate() {
            host.events.clear();
            for sent in host.sent.drain(..) {
                let to = (0..2).find(|n| addr(*n) == sent.dst).unwrap_or(1 - from);
                self.flights.push(Flight { to, bytes: sent.bytes });
            }
        }
        let over = self.flights.len().saturating_sub(UNDER_WAY);
        self.flights.drain(..over);
    }

    fn step(&mut self, tape: &mut Tape<'_>, rogue: &Rogue<C>, time: &mut u64) {
        let op = tape.below(14);
        if op == 0 {
            let ms = tape.ms().min(TIME_MS - *time);
            *time += ms;
            self.hosts.iter_mut().for_each(|host| host.pass(Duration::from_millis(ms)));
            return;
        }
        if op == 1 {
            let (to, bytes) = (tape.below(2), tape.short());
            self.hosts[to].datagram(addr(1 - to), Via::Unicast, bytes);
            return;
        }
        if self.flights.is_empty() {
            return;
        }
        let at = usize::from(tape.u8()) % self.flights.len();
        let other = (at + 1) % self.flights.len();
        let source = self.flights[other].bytes.clone();
        let Flight { to, bytes } = &mut self.flights[at];
        let offset = |tape: &mut Tape<'_>, len: usize| match tape.u8() {
            n @ 0..0xc0 => usize::from(n).min(len),
            n => len.saturating_sub(usize::from(n - 0xc0)),
        };
        match op {
            2 => drop(self.flights.remove(at)),
            3 => {
                let (to, bytes) = (*to, bytes.clone());
                self.hosts[to].datagram(addr(1 - to), Via::Unicast, &bytes);
            }
            4 => {
                let (at, mask) = (offset(tape, bytes.len()), tape.u8());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= mask;
                }
            }
            5 => bytes.truncate(offset(tape, bytes.len())),
            6 => bytes.extend_from_slice(tape.short()),
            7 => {
                let (from, n) = (offset(tape, source.len()), tape.u8());
                let piece = source[from..].iter().take(n.into());
                bytes.iter_mut().skip(from).zip(piece).for_each(|(b, p)| *b = *p);
            }
            8 => {
                let from = offset(tape, bytes.len());
                let piece = tape.short();
                bytes[from..].iter_mut().zip(piece).for_each(|(b, p)| *b = *p);
            }
            9 => {
                if bytes.first() == Some(&PacketType::Hs1.first_byte()) {
                    rogue.remac(bytes, false);
                }
            }
            10 => {
                let Flight { to, bytes } = self.flights.remove(at);
                self.hosts[to].datagram(addr(3), Via::Unicast, &bytes);
            }
            11 => *to = 1 - *to,
            _ => {
                let Flight { to, bytes } = self.flights.remove(at);
                self.hosts[to].datagram(addr(1 - to), Via::Unicast, &bytes);
            }
        }
    }

    /// Delivers all that is under way, then lets time pass.
    fn pass(&mut self, ms: u64) {
        for Flight { to, bytes } in std::mem::take(&mut self.flights) {
            self.hosts[to].datagram(addr(1 - to), Via::Unicast, &bytes);
        }
        self.collect();
        self.hosts.iter_mut().for_each(|host| host.pass(Duration::from_millis(ms)));
        self.collect();
    }

    fn heal(&mut self) {
        let mut waited = 0;
        while !self.connected() {
            assert!(waited < FOUND_MS, "the two do not find each other");
            self.pass(50);
            waited += 50;
        }
    }

    /// Each has a live session with the other, and the one knows what the other wants.
    fn connected(&self) -> bool {
        let [a, b] = &self.hosts;
        let knows = |host: &Host<C>, other: &Host<C>| {
            host.node
                .peers()
                .iter()
                .any(|peer| peer.key == other.node.key() && !matches!(peer.state, State::Dead(_)))
        };
        let read = a.node.publications().first().is_some_and(|it| !it.readers.is_empty());
        knows(a, b) && knows(b, a) && read
    }
}
