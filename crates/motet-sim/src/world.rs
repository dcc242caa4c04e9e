//! # World: virtual time, hosts, links
//!
//! A queue of things that will happen, ordered by time and then by when they were put in; one
//! thread; all chance from one seed. So a seed names a run, to the byte.
//!
//! After each input a node is asked for what it wants sent ([`World::flush`]) and when it wants to
//! be woken. Events are left to the layer above ([`Net`](crate::Net)).

mod lanes;

use crate::agenda::Agenda;
use crate::flight::{Flight, Rule, Verdict};
use crate::host::{Host, Iface, Slot, loopback};
use crate::links::{Damage, Link, LinkModel};
use crate::null::{Ledger, NullCrypto};
use crate::trace::Trace;
use bytes::BytesMut;
use motet_proto::rng::Rng;
use motet_proto::{Config, HostEvent, Node, RecvMeta, Time, Transmit, TxBatch, Via};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Timeouts in a row at one moment after which a node is said to spin.
const SPINS_MAX: u32 = 2_000;
/// Between endpoints of one host.
const LOCAL: Duration = Duration::from_micros(10);

/// Something that will happen.
enum Ev {
    Arrive { slot: usize, meta: RecvMeta, bytes: BytesMut },
    Timer { slot: usize },
    Host { slot: usize, event: HostEvent },
}

/// What [`World::step`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Something happened, to this endpoint if it reached one.
    Happened(Option<usize>),
    /// Nothing is due.
    Idle,
}

/// What went over the links.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Datagrams sent, each receiver of a multicast counting.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, lost on the way.
    pub lost: u64,
    /// Bytes of those lost.
    pub lost_bytes: u64,
    /// Datagrams sent, a multicast counting once.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Datagrams that an interface refused as too large.
    pub too_large: u64,
    /// Datagrams sent by lanes, each once however many receive it.
    pub lane_packets: u64,
}

/// What multicast is like.
#[derive(Clone, Copy, Debug)]
pub struct Air {
    /// Switches forget who receives a group this long after it joined, for want of a querier (IGMP
    /// snooping). Default never.
    pub snooping: Option<Duration>,
    /// Bytes per second of multicast on Wi-Fi, shared by all senders of a segment. Default 750,000:
    /// 6 Mbit/s (RFC 9119 §3.1.2).
    pub basic_rate: u64,
    /// Part of multicast lost on Wi-Fi, where the radio does not repair it. Default 0.02.
    pub wifi_loss: f64,
    /// When the datagram in hand has left its sender.
    leaves: Time,
}

impl Default for Air {
    fn default() -> Self {
        Self { snooping: None, basic_rate: 750_000, wifi_loss: 0.02, leaves: Time::ZERO }
    }
}

/// A network and its hosts.
pub struct World {
    /// Virtual time.
    pub now: Time,
    /// The endpoints' places.
    pub slots: Vec<Slot>,
    /// The machines.
    pub hosts: Vec<Host>,
    /// How links behave that were not set on their own.
    pub link: LinkModel,
    /// Rules, asked in order.
    pub rules: Vec<Rule>,
    /// What happened.
    pub trace: Trace,
    /// What went over the links.
    pub traffic: Traffic,
    /// What was sealed under which key.
    pub ledger: Ledger,
    /// All chance of this world.
    pub rng: Rng,
    /// Endpoints that woke too often without time passing.
    pub spinning: BTreeSet<usize>,
    agenda: Agenda<Ev>,
    /// What multicast is like.
    pub air: Air,
    links: BTreeMap<(usize, usize), Link>,
    /// Where a host's multicast waits to leave; one for each segment in the air.
    egress: BTreeMap<(bool, usize), Time>,
    blocked: BTreeSet<(usize, usize)>,
    unreachable: BTreeSet<IpAddr>,
    owners: BTreeMap<IpAddr, usize>,
    /// Places by host and port.
    ports: BTreeMap<(usize, u16), usize>,
    batch: TxBatch,
}

impl World {
    /// An empty world whose chance is `seed`.
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self {
            now: Time(1_000_000),
            slots: Vec::new(),
            hosts: Vec::new(),
            link: LinkModel::default(),
            rules: Vec::new(),
            trace: Trace::default(),
            traffic: Traffic::default(),
            ledger: Ledger::default(),
            rng: Rng::new(bytes),
            spinning: BTreeSet::new(),
            agenda: Agenda::new(),
            air: Air::default(),
            links: BTreeMap::new(),
            egress: BTreeMap::new(),
            blocked: BTreeSet::new(),
            unreachable: BTreeSet::new(),
            owners: BTreeMap::new(),
            ports: BTreeMap::new(),
            batch: TxBatch::new(),
        }
    }

    /// A new machine with one interface in each of `segments`, beside loopback.
    pub fn add_host(&mut self, segments: &[u32]) -> usize {
        let host = self.hosts.len();
        let iface = |(i, segment): (usize, &u32)| Iface {
            index: 2 + i as u32,
            // The second octet is the segment's, which is one network for all of its hosts; above
            // 255 of them the last octet goes on, in steps that leave room for interfaces.
            addr: Ipv4Addr::new(
                10,
                *segment as u8,
                (host + 1) as u8,
                (i + 1 + 16 * ((host + 1) >> 8)) as u8,
            ),
            segment: *segment,
            mtu: 1_500,
            wifi: false,
            multicast: true,
        };
        let ifaces: Vec<_> = segments.iter().enumerate().map(iface).collect();
        self.owners.extend(ifaces.iter().map(|iface| (IpAddr::V4(iface.addr), host)));
        self.hosts.push(Host { ifaces });
        host
    }

    /// A place for an endpoint on `host`; it is not started.
    pub fn add_slot(&mut self, host: usize, cfg: Config) -> usize {
        let on_host = self.slots.iter().filter(|slot| slot.host == host).count();
        let secret = self.rng.bytes();
        let port = 37_321 + on_host as u16;
        self.ports.insert((host, port), self.slots.len());
        self.slots.push(Slot::new(host, port, cfg, secret));
        self.slots.len() - 1
    }

    /// Starts the endpoint at `slot` (see [`Slot::start`]).
    pub fn start(&mut self, slot: usize, stored: bool) {
        let seed = self.rng.bytes();
        let interfaces = self.hosts[self.slots[slot].host].interfaces();
        let place = &mut self.slots[slot];
        place.start(self.now, seed, stored, &self.ledger);
        if let Some(node) = &mut place.node {
            node.handle_host(self.now, interfaces);
        }
        let life = self.slots[slot].life;
        self.trace.line(self.now, |text| text.push_str(&format!("start {slot} life {life}")));
        self.flush(slot);
    }

    /// The node at `slot`, if it lives.
    pub fn node(&mut self, slot: usize) -> Option<&mut Node<NullCrypto>> {
        self.slots.get_mut(slot)?.node.as_mut()
    }

    /// The address of the endpoint at `slot`.
    pub fn addr(&self, slot: usize) -> SocketAddr {
        let place = &self.slots[slot];
        let addr = self.hosts[place.host].ifaces.first().map(|iface| iface.addr);
        SocketAddr::from((addr.unwrap_or(Ipv4Addr::LOCALHOST), place.port))
    }

    /// The way from the host of one endpoint to that of another.
    pub fn link_mut(&mut self, from: usize, to: usize) -> &mut LinkModel {
        let hosts = (self.slots[from].host, self.slots[to].host);
        let model = &self.link;
        &mut self.links.entry(hosts).or_insert_with(|| Link::new(model.clone())).model
    }

    /// Sets how all ways behave.
    pub fn set_links(&mut self, model: &LinkModel) {
        self.link = model.clone();
        self.links.values_mut().for_each(|link| link.model = model.clone());
    }

    /// Cuts the way from one endpoint's host to another's.
    pub fn block(&mut self, from: usize, to: usize) {
        self.blocked.insert((self.slots[from].host, self.slots[to].host));
    }

    /// Opens it again.
    pub fn unblock(&mut self, from: usize, to: usize) {
        self.blocked.remove(&(self.slots[from].host, self.slots[to].host));
    }

    /// Who sends to this address is told that it cannot be reached.
    pub fn set_unreachable(&mut self, addr: IpAddr) {
        self.unreachable.insert(addr);
    }

    /// Ends all faults: links, cuts, rules.
    pub fn heal(&mut self) {
        self.rules.clear();
        self.blocked.clear();
        self.unreachable.clear();
        self.air.snooping = None;
        for slot in &mut self.slots {
            (slot.starved, slot.lanes_denied) = (Duration::ZERO, false);
        }
        let healed = self.link.healed();
        self.set_links(&healed);
    }

    /// Gives the first interface of the endpoint's host another address.
    pub fn move_host(&mut self, slot: usize) {
        let host = self.slots[slot].host;
        let iface = &mut self.hosts[host].ifaces[0];
        self.owners.remove(&IpAddr::V4(iface.addr));
        let [a, b, c, d] = iface.addr.octets();
        iface.addr = Ipv4Addr::new(a, b, c, d.wrapping_add(16));
        self.owners.insert(IpAddr::V4(iface.addr), host);
        let event = self.hosts[host].interfaces();
        for at in 0..self.slots.len() {
            if self.slots[at].host == host {
                self.push(self.now, Ev::Host { slot: at, event: event.clone() });
            }
        }
    }

    /// Moves the wall clock of an endpoint.
    pub fn jump_clock(&mut self, slot: usize, by_ms: i64) {
        self.slots[slot].clock_off += by_ms;
        let wall = self.slots[slot].wall_ms(self.now);
        self.push(self.now, Ev::Host { slot, event: HostEvent::WallClock(wall) });
    }

    /// Stops an endpoint as SIGSTOP does.
    pub fn pause(&mut self, slot: usize) {
        self.slots[slot].paused = true;
    }

    /// Lets it go on: first it reads what waited, then its late timers fire.
    pub fn resume(&mut self, slot: usize) {
        let place = &mut self.slots[slot];
        place.paused = false;
        place.wake = Time::NEVER;
        let (waiting, lost) = place.take_buffer();
        for (meta, bytes) in waiting {
            self.push(self.now, Ev::Arrive { slot, meta, bytes });
        }
        if lost > 0 {
            self.push(self.now, Ev::Host { slot, event: HostEvent::RxDropped(lost) });
        }
        self.flush(slot);
    }

    /// Ends an endpoint at once.
    pub fn kill(&mut self, slot: usize) {
        self.trace.line(self.now, |text| text.push_str(&format!("kill {slot}")));
        let place = &mut self.slots[slot];
        place.node = None;
        place.paused = false;
        let _ = place.take_buffer();
    }

    /// Hands an endpoint a datagram that nobody sent.
    pub fn inject(&mut self, slot: usize, src: SocketAddr, via: Via, bytes: &[u8]) {
        let meta = RecvMeta { src, dst: None, iface: 2, ce: false, via };
        self.push(self.now, Ev::Arrive { slot, meta, bytes: BytesMut::from(bytes) });
    }

    /// Lets the next thing happen, if it is due by `until`. When nothing is, it is `until`.
    pub fn step(&mut self, until: Time) -> Step {
        let Some((at, ev)) = self.agenda.advance(&mut self.now, until) else { return Step::Idle };
        let touched = match ev {
            Ev::Arrive { slot, meta, bytes } => self.arrive(slot, meta, bytes),
            Ev::Timer { slot } => self.fire(slot, at),
            Ev::Host { slot, event } => {
                let now = self.now;
                self.node(slot).map(|node| node.handle_host(now, event)).map(|()| slot)
            }
        };
        if let Some(slot) = touched {
            self.flush(slot);
        }
        Step::Happened(touched)
    }

    fn arrive(&mut self, slot: usize, meta: RecvMeta, bytes: BytesMut) -> Option<usize> {
        let now = self.now;
        let place = self.slots.get_mut(slot)?;
        let node = place.node.as_mut()?;
        if place.paused {
            place.keep(meta, bytes);
            return None;
        }
        node.handle_datagram(now, meta, bytes);
        Some(slot)
    }

    fn fire(&mut self, slot: usize, at: Time) -> Option<usize> {
        let now = self.now;
        let place = self.slots.get_mut(slot)?;
        if place.wake != at || place.paused {
            return None;
        }
        place.wake = Time::NEVER;
        if place.fired != now {
            (place.fired, place.spins) = (now, 0);
        }
        place.spins += 1;
        if place.spins > SPINS_MAX {
            self.spinning.insert(slot);
            return None;
        }
        place.node.as_mut()?.handle_timeout(now);
        Some(slot)
    }

    /// Sends what the node wants sent and sets its timer.
    pub fn flush(&mut self, slot: usize) {
        let now = self.now;
        let mut batch = std::mem::take(&mut self.batch);
        if self.slots[slot].paused {
            self.batch = batch;
            return;
        }
        while let Some(transmit) =
            self.slots[slot].node.as_mut().and_then(|node| node.poll_transmit(now, &mut batch))
        {
            let bytes = batch.bytes.get(..transmit.len).unwrap_or(&[]);
            for datagram in bytes.chunks(transmit.segment.max(1)) {
                self.send(slot, &transmit, datagram);
            }
        }
        self.memberships(slot);
        self.batch = batch;
        let deadline = self.slots[slot].node.as_ref().and_then(Node::poll_timeout);
        let at = deadline.map_or(Time::NEVER, |deadline| deadline.at.max(now));
        let at = self.when_run(slot, at);
        if at != self.slots[slot].wake {
            self.slots[slot].wake = at;
            if at != Time::NEVER {
                self.push(at, Ev::Timer { slot });
            }
        }
    }

    fn push(&mut self, at: Time, ev: Ev) {
        self.agenda.push(at, ev);
    }

    fn send(&mut self, from: usize, transmit: &Transmit, bytes: &[u8]) {
        self.traffic.sent += 1;
        self.traffic.sent_bytes += bytes.len() as u64;
        let host = self.slots[from].host;
        if let Via::Group { iface, v6: false } = transmit.via {
            let Some(out) = self.hosts[host].ifaces.iter().find(|it| it.index == iface).copied()
            else {
                return;
            };
            for to in 0..self.slots.len() {
                let there = self.slots[to].host;
                let find = |it: &&Iface| it.segment == out.segment;
                let Some(into) = self.hosts[there].ifaces.iter().find(find).copied() else {
                    continue;
                };
                let src = SocketAddr::from((out.addr, self.slots[from].port));
                let via = Via::Group { iface: into.index, v6: false };
                let dst = Some(transmit.dst.ip());
                let meta = RecvMeta { src, dst, iface: into.index, ce: false, via };
                self.fly((from, Some(to)), transmit.dst, meta, bytes);
            }
            return;
        }
        if let Via::Lane { iface, lane, v6 } = transmit.via {
            return self.send_lane(from, (iface, lane, v6), transmit.dst, bytes);
        }
        if transmit.via != Via::Unicast {
            return;
        }
        let dst = transmit.dst;
        if self.unreachable.contains(&dst.ip()) {
            self.push(self.now, Ev::Host { slot: from, event: HostEvent::Unreachable(dst) });
            return;
        }
        let there = if loopback(dst) { Some(host) } else { self.owners.get(&dst.ip()).copied() };
        let of_dst = |it: &Iface| IpAddr::V4(it.addr) == dst.ip();
        let to_iface =
            there.and_then(|there| self.hosts[there].ifaces.iter().find(|it| of_dst(it)).copied());
        let out = self.hosts[host].source(to_iface.map(|it| it.segment));
        if out.is_none() && !loopback(dst) {
            return;
        }
        let local = there == Some(host);
        let mtu = out.map_or(usize::MAX, |it| it.mtu as usize);
        if !local && bytes.len() + 28 > mtu {
            self.traffic.too_large += 1;
            self.push(
                self.now,
                Ev::Host { slot: from, event: HostEvent::TooBig { dst, size: bytes.len() } },
            );
            return;
        }
        let outside = out.filter(|_| !loopback(dst)).map(|it| IpAddr::V4(it.addr));
        let own = outside.unwrap_or_else(|| dst.ip());
        let meta = RecvMeta {
            src: SocketAddr::from((own, self.slots[from].port)),
            dst: Some(dst.ip()),
            iface: to_iface.map_or(1, |it| it.index),
            ce: false,
            via: Via::Unicast,
        };
        let to = there.and_then(|there| self.ports.get(&(there, dst.port())).copied());
        self.fly((from, to), dst, meta, bytes);
    }

    /// One datagram to one receiver: rules, cuts and the link decide.
    fn fly(&mut self, way: (usize, Option<usize>), dst: SocketAddr, meta: RecvMeta, bytes: &[u8]) {
        let (from, to) = way;
        let now = self.now;
        let multicast = meta.via != Via::Unicast;
        if !matches!(meta.via, Via::Lane { .. }) {
            self.traffic.packets += 1;
            self.traffic.bytes += bytes.len() as u64;
        }
        self.trace.datagram(now, from, to.unwrap_or(usize::MAX), bytes);
        let flight = Flight { now, from, to, dst, multicast, bytes };
        let mut verdict = Verdict::Pass;
        for rule in &mut self.rules {
            verdict = rule(&flight);
            if verdict != Verdict::Pass {
                break;
            }
        }
        let hosts = (self.slots[from].host, to.map_or(usize::MAX, |to| self.slots[to].host));
        let cut = self.blocked.contains(&hosts) || verdict == Verdict::Drop || to.is_none();
        let copies = if cut {
            Vec::new()
        } else if hosts.0 == hosts.1 {
            vec![(now + LOCAL, Damage::None)]
        } else {
            let model = &self.link;
            let link = self.links.entry(hosts).or_insert_with(|| Link::new(model.clone()));
            if matches!(meta.via, Via::Lane { .. }) {
                link.spread(self.air.leaves, bytes.len(), model.rate, &mut self.rng)
            } else {
                link.pass(now, bytes.len(), &mut self.rng)
            }
        };
        self.trace.line(now, |text| describe(text, &flight, verdict, copies.len()));
        if copies.is_empty() {
            self.traffic.lost += 1;
            self.traffic.lost_bytes += bytes.len() as u64;
        }
        let Some(slot) = to else { return };
        for (at, damage) in copies {
            let mut copy = bytes.to_vec();
            damage.apply(&mut copy);
            let bytes = BytesMut::from(&copy[..]);
            let at = if let Verdict::Late(by) = verdict { at + by } else { at };
            let at = self.when_run(slot, at);
            if let Verdict::Twice(by) = verdict {
                self.push(at + by, Ev::Arrive { slot, meta, bytes: bytes.clone() });
            }
            self.push(at, Ev::Arrive { slot, meta, bytes });
        }
    }
}

fn describe(text: &mut String, flight: &Flight<'_>, verdict: Verdict, copies: usize) {
    use std::fmt::Write as _;
    let Flight { from, to, multicast, bytes, .. } = flight;
    let to = to.map_or_else(|| "nobody".into(), |to| to.to_string());
    let cast = if *multicast { "=>" } else { "->" };
    let _ = write!(text, "{from} {cast} {to} {:?} {} B", flight.packet(), bytes.len());
    if copies != 1 || verdict != Verdict::Pass {
        let _ = write!(text, " [{copies} copies, {verdict:?}]");
    }
    for frame in flight.frames() {
        let mut frame = format!("{frame:?}");
        if frame.len() > 160 {
            let cut = (0..=160).rev().find(|at| frame.is_char_boundary(*at)).unwrap_or(0);
            frame.truncate(cut);
        }
        let _ = write!(text, "\n    {frame}");
    }
}
