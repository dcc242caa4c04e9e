//! One test per rule, in virtual time: inputs and timeouts by hand, actions written down.

mod beaconing;
mod clashes;
mod dialing;
mod entry;
mod memory;

use super::*;
use crate::config::Realm;
use crate::events::Event;
use crate::host::Via;
use std::net::Ipv4Addr;

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const S: Duration = Duration::from_secs(1);
pub(super) const LEFT: DownReason = DownReason::Left;
pub(super) const SILENT: DownReason = DownReason::Silent;

/// A discovery, the time, and what it has done when.
pub(super) struct Bench {
    pub(super) discovery: Discovery,
    pub(super) now: Time,
    pub(super) counters: Counters,
    pub(super) done: Vec<(Time, Action)>,
}

pub(super) fn config() -> Config {
    let mut cfg = Config::lan(Realm { name: "test".into(), secret: None }, "me");
    cfg.host_id = [9; 16];
    cfg
}

pub(super) fn key(n: u64, incarnation: u64) -> EndpointKey {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    EndpointKey { id: EndpointId(id), incarnation }
}

/// Our own key: incarnation 500.
pub(super) fn me() -> EndpointKey {
    key(0, 500)
}

pub(super) fn ip(n: u64) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n as u32))
}

pub(super) fn addr(n: u64) -> SocketAddr {
    SocketAddr::new(ip(n), 37_321)
}

pub(super) fn beacon_of(n: u64) -> Beacon {
    let name = format!("peer{n}");
    Beacon {
        port: 37_321,
        addresses: vec![ip(n)],
        name,
        host_id: [n as u8; 16],
        ..Beacon::default()
    }
}

pub(super) fn from(src: SocketAddr) -> RecvMeta {
    RecvMeta { src, dst: None, iface: 2, ce: false, via: Via::Unicast }
}

pub(super) fn face(index: u32, name: &str, addresses: &[&str], multicast: bool) -> InterfaceInfo {
    let addresses: Vec<(IpAddr, u8)> =
        addresses.iter().map(|ip| (ip.parse().unwrap(), 24)).collect();
    let loopback = addresses.iter().any(|(ip, _)| ip.is_loopback());
    let (name, multicast) = (name.into(), (multicast, false));
    InterfaceInfo { index, name, addresses, mtu: 1500, loopback, multicast, class: 1 }
}

impl Bench {
    pub(super) fn new(cfg: &Config) -> Self {
        Self::seeded(cfg, 1)
    }

    pub(super) fn seeded(cfg: &Config, seed: u8) -> Self {
        let discovery = Discovery::new(Time::ZERO, cfg, me(), &mut Rng::new([seed; 32]));
        Self { discovery, now: Time::ZERO, counters: Counters::default(), done: Vec::new() }
    }

    /// Like `new`, its start beacons long gone, its record empty.
    pub(super) fn settled() -> Self {
        let mut bench = Self::new(&config());
        bench.run_for(S * 2);
        bench.done.clear();
        bench
    }

    pub(super) fn pull(&mut self) {
        while let Some(action) = self.discovery.poll() {
            self.done.push((self.now, action));
        }
    }

    pub(super) fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        self.pull();
        let mut rounds = 0;
        while let Some(at) = self.discovery.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.discovery.on_timeout(self.now, &mut self.counters);
            self.pull();
            rounds += 1;
            assert!(rounds < 2_000_000, "busy loop at {:?}", self.now);
        }
        self.now = end;
    }

    pub(super) fn hear(&mut self, key: EndpointKey, beacon: &Beacon, solicit: bool) {
        let meta = from(SocketAddr::new(beacon.addresses[0], 50_000));
        let counters = &mut self.counters;
        self.discovery.on_beacon(self.now, key, beacon, &meta, solicit, true, counters);
        self.pull();
    }

    pub(super) fn up(&mut self, n: u64) {
        self.up_as(key(n, 1), &format!("peer{n}"), 0);
    }

    pub(super) fn up_as(&mut self, key: EndpointKey, name: &str, roles: u16) {
        let n = u64::from_be_bytes(key.id.0[..8].try_into().unwrap());
        self.discovery.on_session_up(self.now, key, name, addr(n), roles, [n as u8; 16]);
        self.pull();
    }

    pub(super) fn down(&mut self, n: u64, reason: DownReason) {
        self.discovery.on_session_down(self.now, key(n, 1), reason);
        self.pull();
    }

    pub(super) fn fail(&mut self, n: u64) {
        let id = Some(key(n, 1).id);
        self.discovery.on_dial_failed(self.now, id, &[addr(n)], &mut self.counters);
        self.pull();
    }

    pub(super) fn probed(&mut self, key: EndpointKey, answered: bool) {
        self.discovery.on_probe(self.now, key.id, answered);
        self.pull();
    }

    pub(super) fn times(&self, which: impl Fn(&Action) -> bool) -> Vec<Time> {
        self.done.iter().filter(|(_, action)| which(action)).map(|(at, _)| *at).collect()
    }

    pub(super) fn multicasts(&self) -> Vec<Time> {
        self.times(|action| matches!(action, Action::Multicast { .. }))
    }

    pub(super) fn unicasts(&self) -> Vec<Time> {
        self.times(|action| matches!(action, Action::Unicast { .. }))
    }

    pub(super) fn dials(&self) -> Vec<Time> {
        self.times(|action| matches!(action, Action::Dial { .. }))
    }

    /// What was done since the last call, without beacons and `Settled`.
    pub(super) fn decisions(&mut self) -> Vec<Action> {
        let of_interest = |action: &Action| {
            !matches!(
                action,
                Action::Multicast { .. } | Action::Unicast { .. } | Action::Event(Event::Settled)
            )
        };
        self.done.drain(..).map(|(_, action)| action).filter(of_interest).collect()
    }
}
