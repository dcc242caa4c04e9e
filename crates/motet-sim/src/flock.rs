//! # Flock: membership alone, for very many endpoints
//!
//! Only what finds out who lives: no sessions, no topics, no sealing. So a thousand endpoints live
//! through a day in minutes. Datagrams are lost and delayed by chance; some endpoints may be starved:
//! they run in slices, take few datagrams in each, and stand still between them.

use crate::agenda::Agenda;
use crate::trace::fold;
use motet_proto::discovery::swim::{Swim, SwimAction, SwimSettings};
use motet_proto::rng::Rng;
use motet_proto::wire::record::swim::{SwimIdentity, SwimState};
use motet_proto::{EndpointId, EndpointKey, Time};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A starved endpoint stands still for up to so long between slices.
const STOPPED: Duration = Duration::from_secs(5);
/// Datagrams that wait at an endpoint; what comes then is lost (208 KiB of receive buffer).
const BUFFER: usize = 200;
/// A realm packet around a SWIM record: header, tag, record head.
const AROUND: usize = 56 + 3;

/// What kind of flock.
#[derive(Clone, Copy, Debug)]
pub struct FlockSpec {
    /// Endpoints.
    pub nodes: usize,
    /// Part of datagrams lost, 0 to 1.
    pub loss: f64,
    /// Part of endpoints starved, 0 to 1.
    pub starved: f64,
    /// Datagrams that a starved endpoint takes in one slice: 10 are too few to keep up.
    pub slice: usize,
    /// Waits grow with our own ill health.
    pub health: bool,
    /// All chance.
    pub seed: u64,
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Datagrams sent.
    pub packets: u64,
    /// Their bytes, with what realm packets put around a record.
    pub bytes: u64,
    /// Suspicions begun, of endpoints that lived.
    pub suspicions: u64,
    /// Lives of endpoints that were well and were declared dead by somebody.
    pub false_deaths: u64,
    /// The same of starved ones.
    pub starved_deaths: u64,
    /// The first few of them: when, who, and the lives declared.
    pub first: Vec<(Time, usize, u32)>,
}

enum Ev {
    Arrive { to: u32, from: u32, bytes: Box<[u8]> },
    Timer { node: u32 },
    Slice { node: u32 },
}

struct Bird {
    key: EndpointKey,
    swim: Option<Swim>,
    wake: Time,
    starved: bool,
    buffer: VecDeque<(u32, Box<[u8]>)>,
}

/// Endpoints that know of each other.
pub struct Flock {
    /// Virtual time.
    pub now: Time,
    /// What happened so far.
    pub tally: Tally,
    spec: FlockSpec,
    birds: Vec<Bird>,
    ids: BTreeMap<EndpointId, usize>,
    agenda: Agenda<Ev>,
    rng: Rng,
    declared: BTreeSet<(usize, u32)>,
    side: Option<usize>,
    hash: u64,
    /// Of whom every change of state is noted: who saw it, when, what.
    watched: Option<usize>,
    seen: Vec<(usize, Time, SwimState)>,
    recorded: Option<Vec<(usize, usize, Vec<u8>)>>,
}

/// The address of the endpoint with this number.
pub fn address(node: usize) -> SocketAddr {
    let [a, b, c, d] = (0x0a00_0001 + node as u32).to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), 37_321)
}

/// The number of the endpoint with this address.
pub(crate) fn index(addr: SocketAddr) -> Option<usize> {
    let IpAddr::V4(ip) = addr.ip() else { return None };
    (ip.to_bits().checked_sub(0x0a00_0001)).map(|node| node as usize)
}

impl Flock {
    /// Endpoints that have just started and know nobody.
    pub fn new(spec: FlockSpec) -> Self {
        let mut seed = [3; 32];
        seed[..8].copy_from_slice(&spec.seed.to_le_bytes());
        let mut rng = Rng::new(seed);
        let now = Time(1_000_000_000);
        let mut birds = Vec::with_capacity(spec.nodes);
        let starved = (spec.nodes as f64 * spec.starved).round() as usize;
        for node in 0..spec.nodes {
            let key = EndpointKey { id: EndpointId(rng.bytes()), incarnation: 1 };
            let settings = SwimSettings { health: spec.health };
            let swim = Some(Swim::new(now, key, address(node), settings, &mut rng));
            let starved = node < starved;
            let buffer = VecDeque::new();
            birds.push(Bird { key, swim, wake: Time::NEVER, starved, buffer });
        }
        let ids = birds.iter().enumerate().map(|(node, bird)| (bird.key.id, node)).collect();
        let mut flock = Self {
            now,
            tally: Tally::default(),
            spec,
            birds,
            ids,
            agenda: Agenda::new(),
            rng,
            declared: BTreeSet::new(),
            side: None,
            hash: 0,
            watched: None,
            seen: Vec::new(),
            recorded: None,
        };
        for node in 0..starved {
            let at = flock.now + flock.pause();
            flock.push(at, Ev::Slice { node: node as u32 });
        }
        flock
    }

    /// All know of all, as if their beacons had just been heard within a second.
    pub fn introduce_all(&mut self) {
        let keys: Vec<EndpointKey> = self.birds.iter().map(|bird| bird.key).collect();
        for node in 0..self.birds.len() {
            let at = self.now + Duration::from_nanos(self.rng.below(1_000_000_000));
            if let Some(swim) = &mut self.birds[node].swim {
                let all = keys.iter().enumerate();
                swim.adopt(
                    at,
                    all.map(|(n, key)| SwimIdentity { key: *key, generation: 0, addr: address(n) }),
                );
            }
            self.arm(node);
        }
    }

    /// One endpoint hears of another by a completed handshake.
    pub fn introduce(&mut self, node: usize, other: usize) {
        let (key, now) = (self.birds[other].key, self.now);
        if let Some(swim) = &mut self.birds[node].swim {
            swim.confirmed(now, key, address(other));
        }
        self.flush(node);
    }

    /// Ends an endpoint: no goodbye.
    pub fn kill(&mut self, node: usize) {
        self.birds[node].swim = None;
    }

    /// Cuts the network in two: those below `first` and the others; `None` heals it.
    pub fn split(&mut self, first: Option<usize>) {
        self.side = first;
    }

    /// Notes from now on what all see of one endpoint.
    pub fn watch(&mut self, node: usize) {
        self.watched = Some(node);
        self.seen.clear();
    }

    /// Who saw the watched one change, when, to what.
    pub fn seen(&self) -> &[(usize, Time, SwimState)] {
        &self.seen
    }

    /// Membership at an endpoint that runs.
    pub fn swim(&self, node: usize) -> Option<&Swim> {
        self.birds[node].swim.as_ref()
    }

    /// The key of an endpoint.
    pub fn key(&self, node: usize) -> EndpointKey {
        self.birds[node].key
    }

    /// Hands an endpoint a SWIM record that the sender `from` sealed.
    pub fn inject(&mut self, node: usize, from: EndpointKey, bytes: &[u8]) {
        let (now, src) = (self.now, address(0));
        if let Some(swim) = &mut self.birds[node].swim {
            swim.on_packet(now, from, src, bytes);
        }
        self.flush(node);
    }

    /// Keeps from now on a copy of all that is sent: from whom, to whom, what.
    pub fn record(&mut self) {
        self.recorded = Some(Vec::new());
    }

    /// What was kept since; nothing is kept any more.
    pub fn recorded(&mut self) -> Vec<(usize, usize, Vec<u8>)> {
        self.recorded.take().unwrap_or_default()
    }

    /// Equal for equal runs.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Pairs of living endpoints of which the first does not hold the second for alive.
    pub fn unknown(&self) -> usize {
        let living: Vec<_> = self.birds.iter().filter(|bird| bird.swim.is_some()).collect();
        let knows = |swim: &Swim, other: &Bird| {
            other.key.id != swim.own().key.id && !swim.is_alive(other.key)
        };
        let of = |swim: &Swim| living.iter().filter(|other| knows(swim, other)).count();
        living.iter().filter_map(|bird| bird.swim.as_ref()).map(of).sum()
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((at, ev)) = self.agenda.advance(&mut self.now, until) {
            self.step(at, ev);
        }
    }

    fn step(&mut self, at: Time, ev: Ev) {
        let now = self.now;
        match ev {
            Ev::Arrive { to, from, bytes } => {
                let bird = &mut self.birds[to as usize];
                if bird.starved {
                    if bird.buffer.len() < BUFFER {
                        bird.buffer.push_back((from, bytes));
                    }
                    return;
                }
                self.take(to as usize, from as usize, &bytes);
            }
            Ev::Timer { node } => {
                let bird = &mut self.birds[node as usize];
                if bird.wake != at || bird.starved {
                    return;
                }
                bird.wake = Time::NEVER;
                if let Some(swim) = &mut bird.swim {
                    swim.on_timeout(now);
                }
                self.flush(node as usize);
            }
            Ev::Slice { node } => self.slice(node as usize),
        }
    }

    /// A starved endpoint runs: some datagrams, then what is due, then it stands still.
    fn slice(&mut self, node: usize) {
        for _ in 0..self.spec.slice {
            let Some((from, bytes)) = self.birds[node].buffer.pop_front() else { break };
            self.take(node, from as usize, &bytes);
        }
        let now = self.now;
        if let Some(swim) = &mut self.birds[node].swim {
            if swim.deadline() <= now {
                swim.on_timeout(now);
            }
            self.flush(node);
            let at = self.now + self.pause();
            self.push(at, Ev::Slice { node: node as u32 });
        }
    }

    fn pause(&mut self) -> Duration {
        Duration::from_nanos(self.rng.below(STOPPED.as_nanos() as u64))
    }

    fn take(&mut self, node: usize, from: usize, bytes: &[u8]) {
        let (now, key, src) = (self.now, self.birds[from].key, address(from));
        if let Some(swim) = &mut self.birds[node].swim {
            swim.on_packet(now, key, src, bytes);
        }
        self.flush(node);
    }

    fn flush(&mut self, node: usize) {
        while let Some(action) = self.birds[node].swim.as_mut().and_then(Swim::poll) {
            match action {
                SwimAction::Send { dst, bytes, .. } => self.send(node, dst, bytes),
                SwimAction::State { key, state, .. } => self.note(node, key, state),
                SwimAction::Check { .. }
                | SwimAction::Duplicate
                | SwimAction::Slander { .. }
                | SwimAction::Flood { .. } => {}
            }
        }
        self.arm(node);
    }

    fn note(&mut self, by: usize, key: EndpointKey, state: SwimState) {
        let Some(node) = self.ids.get(&key.id).copied() else { return };
        if self.watched == Some(node) {
            self.seen.push((by, self.now, state));
        }
        let lives = self.birds[node].swim.is_some();
        if !lives || self.side.is_some() {
            return;
        }
        match state {
            SwimState::Suspect => self.tally.suspicions += 1,
            SwimState::Down => {
                let known = self.birds[by].swim.as_ref().and_then(|swim| swim.member(key.id));
                let generation = known.map_or(0, |view| view.generation);
                if self.declared.insert((node, generation)) {
                    if self.birds[node].starved {
                        self.tally.starved_deaths += 1;
                    } else {
                        self.tally.false_deaths += 1;
                    }
                    if self.tally.first.len() < 16 {
                        self.tally.first.push((self.now, node, generation));
                    }
                }
            }
            SwimState::Alive => {}
        }
    }

    fn send(&mut self, from: usize, dst: SocketAddr, bytes: Vec<u8>) {
        if let (Some(recorded), Some(to)) = (&mut self.recorded, index(dst)) {
            recorded.push((from, to, bytes.clone()));
        }
        self.tally.packets += 1;
        self.tally.bytes += (bytes.len() + AROUND) as u64;
        self.hash = fold(self.hash, self.now.0 ^ (from as u64) << 40 ^ bytes.len() as u64);
        let Some(to) = index(dst).filter(|to| *to < self.birds.len()) else { return };
        if self.side.is_some_and(|first| (from < first) != (to < first)) {
            return;
        }
        if self.spec.loss > 0.0 && self.rng.unit() < self.spec.loss {
            return;
        }
        let late = Duration::from_nanos(100_000 + self.rng.below(900_000));
        let (to, from, bytes) = (to as u32, from as u32, bytes.into_boxed_slice());
        self.push(self.now + late, Ev::Arrive { to, from, bytes });
    }

    fn arm(&mut self, node: usize) {
        let bird = &mut self.birds[node];
        if bird.starved {
            return;
        }
        let at = bird.swim.as_ref().map_or(Time::NEVER, Swim::deadline).max(self.now);
        if at != bird.wake {
            bird.wake = at;
            if at != Time::NEVER {
                self.push(at, Ev::Timer { node: node as u32 });
            }
        }
    }

    fn push(&mut self, at: Time, ev: Ev) {
        self.agenda.push(at, ev);
    }
}
