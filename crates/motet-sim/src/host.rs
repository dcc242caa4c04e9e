//! Simulated machines and the endpoints on them.

use crate::null::{Ledger, Liar, NullCrypto};
use bytes::BytesMut;
use motet_proto::{Config, HostEvent, InterfaceInfo, Node, RecvMeta, Time};
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Bytes of kernel buffer that a datagram takes beside its own (a `sk_buff` and its slack).
const TRUESIZE: usize = 768;
/// The wall clock when a world begins: 2025-01-01, in ms.
pub const WALL_START: u64 = 1_735_689_600_000;

/// A machine.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its interfaces.
    pub ifaces: Vec<Iface>,
}

/// An interface of a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Iface {
    /// Kernel index.
    pub index: u32,
    /// Its address.
    pub addr: Ipv4Addr,
    /// Multicast reaches all interfaces of one segment.
    pub segment: u32,
    /// IP packets larger than this are refused.
    pub mtu: u32,
    /// It is Wi-Fi: multicast goes at a basic rate, without repair by the radio.
    pub wifi: bool,
    /// Multicast can leave and come by it.
    pub multicast: bool,
}

impl Host {
    /// The address it uses towards `dst`, and the interface's MTU: one of the same segment if the
    /// other side's segment is known, else the first.
    pub fn source(&self, segment: Option<u32>) -> Option<Iface> {
        let same = self.ifaces.iter().find(|iface| Some(iface.segment) == segment);
        same.or_else(|| self.ifaces.first()).copied()
    }

    /// What it tells its endpoints.
    pub fn interfaces(&self) -> HostEvent {
        let lo = InterfaceInfo {
            index: 1,
            name: "lo".into(),
            addresses: vec![(IpAddr::V4(Ipv4Addr::LOCALHOST), 8)],
            mtu: 65_536,
            loopback: true,
            multicast: (false, false),
            class: 3,
        };
        let eth = |iface: &Iface| InterfaceInfo {
            index: iface.index,
            name: format!("eth{}", iface.index),
            addresses: vec![(IpAddr::V4(iface.addr), 16)],
            mtu: iface.mtu,
            loopback: false,
            multicast: (iface.multicast, false),
            class: if iface.wifi { 2 } else { 1 },
        };
        let others = self.ifaces.iter().map(eth);
        HostEvent::Interfaces(std::iter::once(lo).chain(others).collect())
    }
}

/// The place of an endpoint: its node, if it lives, and what survives its death.
pub struct Slot {
    /// The node.
    pub node: Option<Node<NullCrypto>>,
    /// Index of its host.
    pub host: usize,
    /// Its port.
    pub port: u16,
    /// What it is started with.
    pub cfg: Config,
    /// Its secret key.
    pub secret: [u8; 32],
    /// Lets it send nonsense under its true keys.
    pub liar: Liar,
    /// Starts so far.
    pub life: u64,
    /// What its wall clock is wrong by, in ms.
    pub clock_off: i64,
    /// Its last incarnation.
    pub incarnation: u64,
    /// It stands still; datagrams wait in the receive buffer.
    pub paused: bool,
    /// The receive buffer while it is paused.
    pub buffer: VecDeque<(RecvMeta, BytesMut)>,
    /// Bytes of kernel memory that may wait in it. Default 4 MiB.
    pub buffer_max: usize,
    /// Its processor is busy with others: what arrives, and its timers, wait up to so long.
    pub starved: Duration,
    /// Lanes that it receives: interface, number, IPv6, and since when the switch knows of it.
    pub lanes: BTreeMap<(u32, u16, bool), Time>,
    /// Lanes that it cannot join.
    pub lanes_denied: bool,
    /// When its timer is set for.
    pub wake: Time,
    /// Timeouts in a row at one moment.
    pub spins: u32,
    /// That moment.
    pub fired: Time,
    buffered: usize,
    overflowed: u64,
}

impl Slot {
    /// An endpoint that has not been started.
    pub fn new(host: usize, port: u16, cfg: Config, secret: [u8; 32]) -> Self {
        Self {
            node: None,
            host,
            port,
            cfg,
            secret,
            liar: Liar::default(),
            life: 0,
            clock_off: 0,
            incarnation: 0,
            paused: false,
            buffer: VecDeque::new(),
            buffer_max: 4 << 20,
            starved: Duration::ZERO,
            lanes: BTreeMap::new(),
            lanes_denied: false,
            wake: Time::NEVER,
            spins: 0,
            fired: Time::ZERO,
            buffered: 0,
            overflowed: 0,
        }
    }

    /// Its wall clock, in ms since 1970.
    pub fn wall_ms(&self, now: Time) -> u64 {
        (WALL_START + now.0 / 1_000_000).saturating_add_signed(self.clock_off)
    }

    /// Starts a node here. `stored`: it remembers its last incarnation.
    pub fn start(&mut self, now: Time, seed: [u8; 32], stored: bool, ledger: &Ledger) {
        let wall_ms = self.wall_ms(now);
        let by_clock = wall_ms << 8 | u64::from(seed[0]);
        self.incarnation =
            if stored && self.life > 0 { by_clock.max(self.incarnation + 1) } else { by_clock };
        self.life += 1;
        let crypto = NullCrypto::new(self.secret, ledger).lying(&self.liar);
        self.cfg.port = self.port;
        let node = Node::new(self.cfg.clone(), crypto, seed, self.incarnation, wall_ms, now);
        (self.node, self.wake, self.spins) = (node.ok(), Time::NEVER, 0);
        self.drop_buffer();
        self.lanes.clear();
        self.paused = false;
    }

    /// Keeps a datagram until the endpoint goes on, if there is room.
    pub fn keep(&mut self, meta: RecvMeta, bytes: BytesMut) {
        let size = bytes.len() + TRUESIZE;
        if self.buffered + size > self.buffer_max {
            self.overflowed += 1;
        } else {
            self.buffered += size;
            self.buffer.push_back((meta, bytes));
        }
    }

    /// What waited, and how many datagrams found no room.
    pub fn take_buffer(&mut self) -> (VecDeque<(RecvMeta, BytesMut)>, u64) {
        self.buffered = 0;
        (std::mem::take(&mut self.buffer), std::mem::take(&mut self.overflowed))
    }

    fn drop_buffer(&mut self) {
        let _ = self.take_buffer();
    }
}

/// Where a datagram to `addr` comes from, if it is loopback.
pub fn loopback(addr: SocketAddr) -> bool {
    addr.ip().is_loopback()
}
