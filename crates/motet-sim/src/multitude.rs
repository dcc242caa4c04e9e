//! # Multitude: announcements and membership alone, for ten thousand endpoints
//!
//! What each endpoint has of the product: [`Discovery`] (when it announces itself, what it makes of the
//! announcements of others) and [`Crowd`] (SWIM and anti-entropy). What it lacks: sealing and the replay
//! window of realm packets, sessions, topics, services. It begins when all know all: each has run its
//! announcements alone for a while, and was handed the members in memory ([`Crowd::adopt`]). An announcement
//! reaches all at one moment; everything else goes one by one, late and lost by chance.

use crate::agenda::Agenda;
use crate::flock::address;
use crate::net::config;
use crate::trace::fold;
use motet_proto::discovery::crowd::{Crowd, CrowdAction, Introduction, OwnProfile};
use motet_proto::discovery::swim::SwimSettings;
use motet_proto::discovery::{Action, Discovery};
use motet_proto::rng::Rng;
use motet_proto::wire::packet::{RealmHeader, TAG_LEN};
use motet_proto::wire::record::swim::SwimState;
use motet_proto::wire::record::{Beacon, Record, Records};
use motet_proto::{Counters, EndpointId, EndpointKey, InterfaceInfo, RecvMeta, Time, Via};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// When the run begins: before it there is room for announcements that nobody counts.
const START: Time = Time(100_000_000_000_000);
/// What a realm packet puts around its records.
const AROUND: usize = RealmHeader::LEN + TAG_LEN;

/// What kind of multitude.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Endpoints.
    pub nodes: usize,
    /// Part of datagrams lost at each receiver, 0 to 1.
    pub loss: f64,
    /// All chance.
    pub seed: u64,
}

/// What was sent, by all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Announcements: to the group, or to one that asked.
    pub announcements: u64,
    /// Packets of membership and anti-entropy.
    pub packets: u64,
    /// Bytes of all of these, without UDP and IP.
    pub bytes: u64,
    /// Suspicions begun, at all endpoints.
    pub suspicions: u64,
    /// Living endpoints held for dead by somebody.
    pub false_deaths: u64,
}

enum Ev {
    /// To all.
    Announced {
        from: u32,
        beacon: Arc<Beacon>,
        solicit: bool,
    },
    Beacon {
        to: u32,
        from: u32,
        beacon: Arc<Beacon>,
        solicit: bool,
    },
    Records {
        to: u32,
        from: u32,
        bytes: Box<[u8]>,
    },
    Timer {
        node: u32,
    },
}

struct One {
    key: EndpointKey,
    discovery: Discovery,
    crowd: Crowd,
    counters: Counters,
    wake: Time,
    lives: bool,
}

/// Endpoints that know of each other.
pub struct Multitude {
    /// Virtual time.
    pub now: Time,
    /// What happened so far.
    pub sent: Sent,
    spec: Spec,
    all: Vec<One>,
    ids: BTreeMap<EndpointId, usize>,
    agenda: Agenda<Ev>,
    rng: Rng,
    /// Who learned of whose death, and when.
    deaths: Vec<(usize, usize, Time)>,
    hash: u64,
}

impl Multitude {
    /// All know all, and none is near the beginning of its announcements.
    pub fn new(spec: Spec) -> Self {
        let mut seed = [4; 32];
        seed[..8].copy_from_slice(&spec.seed.to_le_bytes());
        let mut rng = Rng::new(seed);
        let mut all: Vec<One> = (0..spec.nodes).map(|n| begun(n, spec.nodes, &mut rng)).collect();
        let introductions: Vec<Introduction> =
            all.iter().map(|it| it.crowd.introduction()).collect();
        std::thread::scope(|scope| {
            for part in all.chunks_mut(spec.nodes.div_ceil(2).max(1)) {
                let introductions = &introductions;
                scope.spawn(move || {
                    for one in part {
                        let at = START + Duration::from_nanos(one.wake.0);
                        one.crowd.adopt(at, introductions.iter());
                        one.discovery.set_crowd(one.crowd.alive());
                        one.crowd.want_interest(!one.discovery.is_eager());
                        one.wake = Time::NEVER;
                    }
                });
            }
        });
        let ids = all.iter().enumerate().map(|(n, one)| (one.key.id, n)).collect();
        let mut multitude = Self {
            now: START,
            sent: Sent::default(),
            spec,
            all,
            ids,
            agenda: Agenda::new(),
            rng,
            deaths: Vec::new(),
            hash: 0,
        };
        (0..spec.nodes).for_each(|node| multitude.flush(node));
        multitude
    }

    /// Endpoints that run.
    pub fn living(&self) -> usize {
        self.all.iter().filter(|one| one.lives).count()
    }

    /// Pairs of living endpoints of which the first does not hold the second for alive.
    pub fn unknown(&self) -> usize {
        let living = self.living();
        let of = |one: &One| {
            let others = self.all.iter().filter(|it| it.lives && it.key != one.key);
            let known = others.filter(|it| one.crowd.is_alive(it.key)).count();
            (living - 1).saturating_sub(known)
        };
        self.all.iter().filter(|one| one.lives).map(of).sum()
    }

    /// Ends an endpoint: no goodbye.
    pub fn kill(&mut self, node: usize) {
        self.all[node].lives = false;
    }

    /// Who learned of whose death, and when: the learner, the dead one, the time.
    pub fn deaths(&self) -> &[(usize, usize, Time)] {
        &self.deaths
    }

    /// Equal for equal runs.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((at, ev)) = self.agenda.advance(&mut self.now, until) {
            self.step(at, ev);
        }
    }

    fn step(&mut self, at: Time, ev: Ev) {
        match ev {
            Ev::Announced { from, beacon, solicit } => {
                for to in (0..self.all.len()).filter(|to| *to != from as usize) {
                    if !self.lost() {
                        self.hear(to, from as usize, &beacon, solicit, true);
                    }
                }
            }
            Ev::Beacon { to, from, beacon, solicit } => {
                self.hear(to as usize, from as usize, &beacon, solicit, false);
            }
            Ev::Records { to, from, bytes } => {
                let (now, key, src) =
                    (self.now, self.all[from as usize].key, address(from as usize));
                let one = &mut self.all[to as usize];
                if !one.lives {
                    return;
                }
                for record in Records::new(&bytes) {
                    let record = record.expect("an honest endpoint wrote it");
                    let taken = one.crowd.on_record(now, key, src, &record);
                    assert_eq!(taken, Ok(true), "it is about members");
                }
                self.flush(to as usize);
            }
            Ev::Timer { node } => {
                let now = self.now;
                let one = &mut self.all[node as usize];
                if one.wake != at || !one.lives {
                    return;
                }
                one.wake = Time::NEVER;
                if one.discovery.deadline().is_some_and(|at| at <= now) {
                    one.discovery.on_timeout(now, &mut one.counters);
                }
                if one.crowd.deadline() <= now {
                    one.crowd.on_timeout(now);
                }
                self.flush(node as usize);
            }
        }
    }

    fn hear(&mut self, to: usize, from: usize, beacon: &Beacon, solicit: bool, group: bool) {
        let (now, key, src) = (self.now, self.all[from].key, address(from));
        let one = &mut self.all[to];
        if !one.lives {
            return;
        }
        let via = if group { Via::Group { iface: 2, v6: false } } else { Via::Unicast };
        let meta = RecvMeta { src, dst: None, iface: 2, ce: false, via };
        one.discovery.on_beacon(now, key, beacon, &meta, solicit, group, &mut one.counters);
        one.crowd.on_beacon(now, key, beacon, src);
        self.flush(to);
    }

    fn flush(&mut self, node: usize) {
        while let Some(action) = self.all[node].crowd.poll() {
            match action {
                CrowdAction::Send { dst, records } => self.send(node, dst, records),
                CrowdAction::State { key, state } => self.note(node, key, state),
                CrowdAction::Hint { .. }
                | CrowdAction::Interest { .. }
                | CrowdAction::Duplicate
                | CrowdAction::Slander { .. }
                | CrowdAction::Flood { .. } => {}
            }
        }
        while let Some(action) = self.all[node].discovery.poll() {
            match action {
                Action::Multicast { solicit, .. } => {
                    let beacon = self.announce(node);
                    let at = self.now + self.late();
                    self.agenda.push(at, Ev::Announced { from: node as u32, beacon, solicit });
                }
                Action::Unicast { dst, solicit, .. } => {
                    let beacon = self.announce(node);
                    let at = self.now + self.late();
                    if let Some(to) = self.receiver(dst)
                        && !self.lost()
                    {
                        let from = node as u32;
                        self.agenda.push(at, Ev::Beacon { to, from, beacon, solicit });
                    }
                }
                _ => {}
            }
        }
        let one = &mut self.all[node];
        let discovery = one.discovery.deadline().unwrap_or(Time::NEVER);
        let at = discovery.min(one.crowd.deadline()).max(self.now);
        if at != one.wake {
            one.wake = at;
            if at != Time::NEVER {
                self.agenda.push(at, Ev::Timer { node: node as u32 });
            }
        }
    }

    fn note(&mut self, by: usize, key: EndpointKey, state: SwimState) {
        let one = &mut self.all[by];
        one.discovery.set_crowd(one.crowd.alive());
        let Some(of) = self.ids.get(&key.id).copied() else { return };
        match (state, self.all[of].lives) {
            (SwimState::Down, false) => self.deaths.push((by, of, self.now)),
            (SwimState::Down, true) => self.sent.false_deaths += 1,
            (SwimState::Suspect, _) => self.sent.suspicions += 1,
            (SwimState::Alive, _) => {}
        }
    }

    fn announce(&mut self, node: usize) -> Arc<Beacon> {
        let beacon = self.all[node].discovery.beacon(0, 0);
        let mut bytes = Vec::new();
        Record::Beacon(beacon.clone()).encode(&mut bytes);
        self.sent.announcements += 1;
        self.count(node, bytes.len());
        Arc::new(beacon)
    }

    fn send(&mut self, from: usize, dst: SocketAddr, records: Vec<u8>) {
        self.sent.packets += 1;
        self.count(from, records.len());
        let Some(to) = self.receiver(dst) else { return };
        if self.lost() {
            return;
        }
        let at = self.now + self.late();
        let bytes = records.into_boxed_slice();
        self.agenda.push(at, Ev::Records { to, from: from as u32, bytes });
    }

    fn count(&mut self, from: usize, len: usize) {
        self.sent.bytes += (len + AROUND) as u64;
        self.hash = fold(self.hash, self.now.0 ^ (from as u64) << 40 ^ len as u64);
    }

    fn receiver(&self, dst: SocketAddr) -> Option<u32> {
        crate::flock::index(dst).filter(|to| *to < self.all.len()).map(|to| to as u32)
    }

    fn lost(&mut self) -> bool {
        self.spec.loss > 0.0 && self.rng.unit() < self.spec.loss
    }

    fn late(&mut self) -> Duration {
        Duration::from_nanos(100_000 + self.rng.below(900_000))
    }
}

/// An endpoint whose announcements began long ago, one among `n` as it was told. `wake` holds how long
/// after the start it takes the others over.
fn begun(node: usize, n: usize, rng: &mut Rng) -> One {
    let key = EndpointKey { id: EndpointId(rng.bytes()), incarnation: 1 };
    let mut cfg = config(&format!("e{node}"));
    cfg.port = address(node).port();
    cfg.sessions_eager = 1; // nobody is dialled for being there
    let period = (n as u64 / 10).max(2) * 1_000_000_000;
    let born = Time(START.0 - 1_000_000_000 - 2 * period - rng.below(2 * period));
    let mut counters = Counters::default();
    let mut discovery = Discovery::new(born, &cfg, key, rng);
    discovery.on_interfaces(
        born,
        &[InterfaceInfo {
            index: 2,
            name: "eth0".into(),
            addresses: vec![(address(node).ip(), 8)],
            mtu: 1_500,
            loopback: false,
            multicast: (true, false),
            class: 1,
        }],
    );
    discovery.set_crowd(n - 1);
    while let Some(at) = discovery.deadline().filter(|at| *at <= START) {
        discovery.on_timeout(at, &mut counters);
        while discovery.poll().is_some() {}
    }
    let own = OwnProfile {
        key,
        name: cfg.name.clone(),
        roles: cfg.roles,
        host_id: cfg.host_id,
        tags: Vec::new(),
        port: cfg.port,
    };
    let mut crowd = Crowd::new(START, own, SwimSettings::default(), rng);
    let (addresses, port, version) = discovery.own_addresses();
    crowd.set_addresses(START, &addresses, port, version);
    let wake = Time(rng.below(1_000_000_000));
    One { key, discovery, crowd, counters, wake, lives: true }
}
