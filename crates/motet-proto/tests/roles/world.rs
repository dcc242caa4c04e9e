//! The world: an ordered list of what happens next.

use std::collections::{BTreeMap, BTreeSet};

use motet_proto::rng::Rng;
use motet_proto::roles::broker::{
    Action, Asked, Broker, BrokerConfig, Claim, NoWorkers, Outcome, PeerOffer, Refusal, TaskId,
    WorkerOffer,
};
use motet_proto::wanted::{Kind, Wanted};
use motet_proto::wire::service::{Finding, Found};
use motet_proto::{EndpointId, EndpointKey, Time};

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Workers and brokers die and return.
    pub(crate) deaths: bool,
    /// Brokers do, workers do not.
    pub(crate) broker_deaths: bool,
    /// Brokers do not hear each other for a while.
    pub(crate) split: bool,
    /// Calls must not run twice.
    pub(crate) once: bool,
    /// Claims are slow, those of a broker that dies are lost, and clients send again after a while
    /// although nobody died.
    pub(crate) busy: bool,
    /// Workers stand still for longer than the beats allow.
    pub(crate) stalls: bool,
}

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    pub(crate) calls: usize,
    pub(crate) answered: usize,
    /// How often each call ended for its client.
    pub(crate) ends: BTreeMap<u64, u32>,
    /// How often the same call was begun, at most.
    pub(crate) most_runs: usize,
    pub(crate) most_at_once: usize,
    pub(crate) late_starts: usize,
    /// Calls that two living brokers had with workers long after the split had healed.
    pub(crate) both_active: usize,
}

#[derive(Debug)]
enum Happening {
    Call(u64),
    /// A client's attempt arrives at a broker.
    Arrive {
        broker: usize,
        call: u64,
        hops: Vec<EndpointId>,
        asker: Asker,
        again: bool,
    },
    /// A worker gets a task from a broker.
    Work {
        worker: usize,
        life: u64,
        call: u64,
        asker: Asker,
        number: u64,
    },
    /// A broker asks a worker where a key is.
    Inquire {
        worker: usize,
        life: u64,
        call: u64,
        number: u64,
        at: usize,
    },
    Found {
        broker: usize,
        life: u64,
        from: EndpointKey,
        finding: Finding,
    },
    Stall(usize, bool),
    Finish {
        worker: usize,
        life: u64,
        call: u64,
    },
    /// An answer, or the lack of one, arrives at who asked.
    Answer {
        asker: Asker,
        from: EndpointKey,
        outcome: Outcome,
    },
    Claimed {
        broker: usize,
        from: EndpointKey,
        claim: Claim,
    },
    Told {
        broker: usize,
        from: EndpointKey,
        room: (u64, u64),
    },
    Heard {
        broker: usize,
        from: EndpointKey,
    },
    Withdrawn {
        to: EndpointKey,
        asker: Asker,
    },
    Tick(usize),
    Die(Who),
    Return(Who),
    Noticed {
        broker: usize,
        gone: EndpointKey,
    },
    /// The client whose broker died resends.
    Resend {
        call: u64,
        dead: usize,
    },
    Split(bool),
    Look,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Broker(usize),
    Worker(usize),
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asker {
    Client(u64),
    Broker { at: usize, life: u64, task: TaskId },
}

struct Desk {
    machine: Broker,
    life: u64,
    alive: bool,
    next: TaskId,
    tasks: BTreeMap<TaskId, (u64, Vec<EndpointId>, Asker)>,
}

struct Hand {
    life: u64,
    alive: bool,
    running: BTreeMap<u64, BTreeSet<Asker>>,
    cache: BTreeSet<u64>,
    withdrawn: BTreeSet<Asker>,
    /// The last question about a call: its number, and who asked.
    promises: BTreeMap<u64, (u64, EndpointKey)>,
    /// It stands still; what comes meanwhile waits.
    stalled: bool,
    waiting: Vec<Happening>,
}

pub(crate) struct World {
    now: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    order: u64,
    rng: Rng,
    faults: Faults,
    desks: Vec<Desk>,
    hands: Vec<Hand>,
    split: bool,
    open: BTreeSet<u64>,
    deadlines: BTreeMap<u64, u64>,
    runs: BTreeMap<u64, usize>,
    at_broker: BTreeMap<u64, usize>,
    /// When the last message of a broker comes to a worker.
    ways: BTreeMap<(usize, usize), u64>,
    ran: Ran,
}

const MS: u64 = 1_000_000;
const BROKERS: usize = 2;
const WORKERS: usize = 4;
const CREDIT: u64 = 2;

fn offer((free, capacity): (u64, u64)) -> PeerOffer {
    PeerOffer { free, capacity, takes: true, kinds: None }
}

fn broker_id(at: usize) -> EndpointId {
    EndpointId([200 + u8::try_from(at).unwrap(); 16])
}

fn worker_id(at: usize) -> EndpointId {
    EndpointId([1 + u8::try_from(at).unwrap(); 16])
}

impl World {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut world = Self {
            now: 0,
            queue: BTreeMap::new(),
            order: 0,
            rng: Rng::new(bytes),
            faults,
            desks: Vec::new(),
            hands: Vec::new(),
            split: false,
            open: BTreeSet::new(),
            deadlines: BTreeMap::new(),
            runs: BTreeMap::new(),
            at_broker: BTreeMap::new(),
            ways: BTreeMap::new(),
            ran: Ran::default(),
        };
        for _ in 0..WORKERS {
            world.hands.push(Hand {
                life: 1,
                alive: true,
                running: BTreeMap::new(),
                cache: BTreeSet::new(),
                withdrawn: BTreeSet::new(),
                promises: BTreeMap::new(),
                stalled: false,
                waiting: Vec::new(),
            });
        }
        for at in 0..BROKERS {
            let machine = world.machine(at, 1);
            world.desks.push(Desk {
                machine,
                life: 1,
                alive: true,
                next: 0,
                tasks: BTreeMap::new(),
            });
        }
        for at in 0..BROKERS {
            world.introduce(at);
        }
        world.plan();
        world
    }

    fn machine(&mut self, at: usize, life: u64) -> Broker {
        let config = BrokerConfig { no_workers: NoWorkers::Wait, ..BrokerConfig::default() };
        let key = EndpointKey { id: broker_id(at), incarnation: life };
        let mut broker = Broker::new(key, config, self.rng.bytes());
        broker.settled(Time(self.now));
        broker
    }

    fn broker_key(&self, at: usize) -> EndpointKey {
        EndpointKey { id: broker_id(at), incarnation: self.desks[at].life }
    }

    fn worker_key(&self, at: usize) -> EndpointKey {
        EndpointKey { id: worker_id(at), incarnation: self.hands[at].life }
    }

    fn plan(&mut self) {
        for call in 0..60 {
            let at = self.rng.below(4_000) * MS;
            self.put(at, Happening::Call(call));
        }
        for at in 0..BROKERS {
            self.put(0, Happening::Tick(at));
        }
        let mut deaths = Vec::new();
        if self.faults.deaths {
            deaths.extend((0..WORKERS).map(Who::Worker));
        }
        if self.faults.deaths || self.faults.broker_deaths {
            // One broker at a time: with none there is nobody to answer.
            deaths.push(Who::Broker(usize::try_from(self.rng.below(2)).unwrap()));
        }
        for who in deaths {
            let at = (200 + self.rng.below(3_000)) * MS;
            self.put(at, Happening::Die(who));
            let back = at + (500 + self.rng.below(3_000)) * MS;
            self.put(back, Happening::Return(who));
        }
        if self.faults.stalls {
            for worker in 0..WORKERS {
                let at = (200 + self.rng.below(2_000)) * MS;
                self.put(at, Happening::Stall(worker, true));
                let back = at + (2_000 + self.rng.below(4_000)) * MS;
                self.put(back, Happening::Stall(worker, false));
            }
        }
        if self.faults.split {
            let at = (500 + self.rng.below(1_500)) * MS;
            self.put(at, Happening::Split(true));
            let healed = at + (500 + self.rng.below(1_500)) * MS;
            self.put(healed, Happening::Split(false));
            self.put(healed + 2_000 * MS, Happening::Look);
        }
    }

    fn put(&mut self, at: u64, what: Happening) {
        self.order += 1;
        self.queue.insert((at.max(self.now), self.order), what);
    }

    fn soon(&mut self, what: Happening) {
        let delay = MS / 10 + self.rng.below(2 * MS);
        self.put(self.now + delay, what);
    }

    /// Messages of one broker to one worker keep their order; when it is busy they take long.
    fn fifo(&mut self, way: (usize, usize), what: Happening) {
        let longest = if self.faults.busy { 150 } else { 2 };
        let at = self.now + MS / 10 + self.rng.below(longest * MS);
        let at = at.max(self.ways.get(&way).copied().unwrap_or(0));
        self.ways.insert(way, at);
        self.put(at, what);
    }

    pub(crate) fn run(mut self) -> Ran {
        while let Some(((at, _), what)) = self.queue.pop_first() {
            let over = self.open.is_empty() && at > 8_000 * MS;
            if over || at > 60_000 * MS {
                break;
            }
            self.now = at;
            self.happen(what);
            for at in 0..BROKERS {
                self.act(at);
            }
        }
        self.ran.most_runs = self.runs.values().copied().max().unwrap_or(0);
        for call in self.open.iter().copied().collect::<Vec<_>>() {
            self.ran.ends.entry(call).or_insert(0);
        }
        self.ran
    }

    /// The worker that something is for, if that stands still.
    fn stalled_for(&self, what: &Happening) -> Option<usize> {
        let worker = match what {
            Happening::Work { worker, .. }
            | Happening::Inquire { worker, .. }
            | Happening::Finish { worker, .. } => *worker,
            Happening::Withdrawn { to, .. } => {
                (0..WORKERS).find(|at| self.worker_key(*at) == *to)?
            }
            _ => return None,
        };
        self.hands[worker].stalled.then_some(worker)
    }

    fn happen(&mut self, what: Happening) {
        let now = Time(self.now);
        if let Some(worker) = self.stalled_for(&what) {
            return self.hands[worker].waiting.push(what);
        }
        match what {
            Happening::Stall(worker, stalled) => {
                self.hands[worker].stalled = stalled;
                for what in std::mem::take(&mut self.hands[worker].waiting) {
                    self.put(self.now, what);
                }
            }
            Happening::Inquire { worker, life, call, number, at } => {
                self.inquired(worker, life, call, number, at);
            }
            Happening::Found { broker, life, from, finding } => {
                if self.desks[broker].alive && self.desks[broker].life == life {
                    self.desks[broker].machine.found(now, from, finding);
                }
            }
            Happening::Call(call) => self.call(call),
            Happening::Resend { call, dead } => {
                if self.open.contains(&call) && self.at_broker.get(&call) == Some(&dead) {
                    let at = if self.desks[1 - dead].alive { 1 - dead } else { dead };
                    self.send(call, at, true);
                }
            }
            Happening::Arrive { broker, call, hops, asker, again } => {
                self.arrive(broker, call, hops, asker, again);
            }
            Happening::Work { worker, life, call, asker, number } => {
                self.work(worker, life, call, asker, number);
            }
            Happening::Finish { worker, life, call } => self.finish(worker, life, call),
            Happening::Answer { asker, from, outcome } => self.answer(asker, from, outcome),
            Happening::Claimed { broker, from, claim } => {
                if self.desks[broker].alive {
                    self.desks[broker].machine.claim(now, from, claim);
                }
            }
            Happening::Told { broker, from, room } => {
                let other = 1 - broker;
                if self.desks[broker].alive && !self.split && self.broker_key(other) == from {
                    self.desks[broker].machine.peer(now, from, "s", offer(room));
                }
            }
            Happening::Heard { broker, from } => self.desks[broker].machine.heard(now, from),
            Happening::Withdrawn { to, asker } => self.withdrawn(to, asker),
            Happening::Tick(at) => {
                if self.desks[at].alive {
                    self.desks[at].machine.tick(now);
                }
                self.put(self.now + 20 * MS, Happening::Tick(at));
            }
            Happening::Die(who) => self.die(who),
            Happening::Return(who) => self.back(who),
            Happening::Noticed { broker, gone } => {
                if self.desks[broker].alive {
                    self.desks[broker].machine.gone(now, gone, None);
                    self.desks[broker].machine.peer_gone(now, gone, None);
                    self.lost_at(broker, gone);
                }
            }
            Happening::Split(split) => {
                self.split = split;
                for at in 0..BROKERS {
                    let other = self.broker_key(1 - at);
                    if split {
                        self.desks[at].machine.peer_gone(now, other, None);
                    } else {
                        self.desks[at].machine.peer(now, other, "s", offer((0, 4)));
                    }
                }
            }
            Happening::Look => self.look(),
        }
    }

    fn call(&mut self, call: u64) {
        self.ran.calls += 1;
        self.open.insert(call);
        self.deadlines.insert(call, self.now + 30_000 * MS);
        let at = usize::try_from(self.rng.below(2)).unwrap();
        let at = if self.desks[at].alive { at } else { 1 - at };
        self.send(call, at, false);
        if self.faults.busy {
            let later = self.now + (20 + self.rng.below(200)) * MS;
            self.put(later, Happening::Resend { call, dead: at });
        }
        // In a split the client of a slow call asks the other broker, too.
        if self.faults.split {
            let later = self.now + (300 + self.rng.below(300)) * MS;
            self.put(later, Happening::Resend { call, dead: at });
        }
    }

    fn send(&mut self, call: u64, broker: usize, again: bool) {
        self.at_broker.insert(call, broker);
        let (hops, asker) = (Vec::new(), Asker::Client(call));
        self.soon(Happening::Arrive { broker, call, hops, asker, again });
    }

    fn arrive(
        &mut self,
        broker: usize,
        call: u64,
        hops: Vec<EndpointId>,
        asker: Asker,
        again: bool,
    ) {
        let (now, deadline) = (Time(self.now), Time(self.deadlines[&call]));
        let repeatable = !self.faults.once;
        let desk = &mut self.desks[broker];
        if !desk.alive {
            return;
        }
        let task = desk.next;
        desk.next += 1;
        desk.tasks.insert(task, (call, hops.clone(), asker));
        let key = Some(call.to_be_bytes().to_vec());
        let wanted = Wanted::default();
        let service = "s".into();
        let asked = Asked { service, deadline, key, repeatable, hops, again, wanted };
        desk.machine.request(now, task, asked);
    }

    fn work(&mut self, worker: usize, life: u64, call: u64, asker: Asker, number: u64) {
        let from = self.worker_key(worker);
        let Asker::Broker { at, life: asking, .. } = asker else { return };
        let broker = EndpointKey { id: broker_id(at), incarnation: asking };
        let hand = &mut self.hands[worker];
        if !hand.alive || hand.life != life || hand.withdrawn.remove(&asker) {
            return;
        }
        if hand.cache.contains(&call) {
            return self.soon(Happening::Answer { asker, from, outcome: Outcome::Answered });
        }
        let attached = hand.running.contains_key(&call);
        let promise = hand.promises.get(&call).filter(|_| !attached);
        if promise.is_some_and(|(promised, to)| *to != broker || number < *promised) {
            return self.soon(Happening::Answer { asker, from, outcome: Outcome::NotBegun });
        }
        hand.running.entry(call).or_default().insert(asker);
        if attached {
            return;
        }
        let at_once = hand.running.len();
        self.ran.most_at_once = self.ran.most_at_once.max(at_once);
        *self.runs.entry(call).or_default() += 1;
        self.ran.late_starts += usize::from(self.now > self.deadlines[&call] + 50 * MS);
        let took = (1 + self.rng.below(100)) * MS;
        let took = if self.faults.split { took * 10 } else { took };
        self.put(self.now + took, Happening::Finish { worker, life, call });
    }

    /// As a server answers an inquiry.
    fn inquired(&mut self, worker: usize, life: u64, call: u64, number: u64, at: usize) {
        let (from, to) = (self.worker_key(worker), self.broker_key(at));
        let hand = &mut self.hands[worker];
        if !hand.alive || hand.life != life {
            return;
        }
        let promised = hand.promises.get(&call).copied();
        let (found, promised) = if hand.cache.contains(&call) || hand.running.contains_key(&call) {
            (Found::Here, 0)
        } else if let Some(later) = promised.filter(|later| *later > (number, to)) {
            (Found::Elsewhere, later.0)
        } else {
            hand.promises.insert(call, (number, to));
            (Found::Promised, number)
        };
        let (life, finding) = (to.incarnation, Finding { number, found, promised });
        self.soon(Happening::Found { broker: at, life, from, finding });
    }

    fn finish(&mut self, worker: usize, life: u64, call: u64) {
        let from = self.worker_key(worker);
        let hand = &mut self.hands[worker];
        if !hand.alive || hand.life != life {
            return;
        }
        let Some(askers) = hand.running.remove(&call) else { return };
        hand.cache.insert(call);
        for asker in askers {
            self.soon(Happening::Answer { asker, from, outcome: Outcome::Answered });
        }
    }

    fn answer(&mut self, asker: Asker, from: EndpointKey, outcome: Outcome) {
        match asker {
            Asker::Client(call) => {
                if self.open.remove(&call) {
                    *self.ran.ends.entry(call).or_default() += 1;
                    self.ran.answered += usize::from(outcome == Outcome::Answered);
                }
            }
            Asker::Broker { at, life, task } => {
                let now = Time(self.now);
                let desk = &mut self.desks[at];
                if !desk.alive || desk.life != life {
                    return;
                }
                if outcome == Outcome::Answered
                    && let Some((_, _, waiting)) = desk.tasks.remove(&task)
                {
                    desk.machine.done(now, task, from, outcome);
                    let from = self.broker_key(at);
                    self.soon(Happening::Answer { asker: waiting, from, outcome });
                    return;
                }
                desk.machine.done(now, task, from, outcome);
            }
        }
    }

    fn withdrawn(&mut self, to: EndpointKey, asker: Asker) {
        for at in 0..WORKERS {
            if self.worker_key(at) == to {
                let hand = &mut self.hands[at];
                for askers in hand.running.values_mut() {
                    askers.remove(&asker);
                }
            }
        }
    }

    fn act(&mut self, at: usize) {
        while let Some(action) = self.desks[at].machine.poll() {
            if !self.desks[at].alive {
                continue;
            }
            self.do_action(at, action);
        }
    }

    fn do_action(&mut self, at: usize, action: Action) {
        let (life, me) = (self.desks[at].life, self.broker_key(at));
        match action {
            Action::Give { task, to, forward, sent_before } => {
                let Some((call, hops, _)) = self.desks[at].tasks.get(&task).cloned() else {
                    return;
                };
                let asker = Asker::Broker { at, life, task };
                if forward {
                    if !self.split {
                        let hops = [&hops[..], &[me.id]].concat();
                        let (broker, again) = (1 - at, sent_before > 0);
                        self.soon(Happening::Arrive { broker, call, hops, asker, again });
                    }
                    return;
                }
                let worker = usize::from(to.id.0[0] - 1);
                let (life, number) = (to.incarnation, sent_before + 1);
                self.fifo((at, worker), Happening::Work { worker, life, call, asker, number });
            }
            Action::Inquire { to, number, key, .. } => {
                let (worker, life) = (usize::from(to.id.0[0] - 1), to.incarnation);
                let call = u64::from_be_bytes(key.try_into().unwrap());
                let asked = Happening::Inquire { worker, life, call, number, at };
                self.fifo((at, worker), asked);
            }
            Action::Refuse { task, why } => {
                let Some((_, _, asker)) = self.desks[at].tasks.remove(&task) else { return };
                let outcome = match why {
                    Refusal::Unknown => Outcome::Lost,
                    _ => Outcome::NotBegun,
                };
                self.soon(Happening::Answer { asker, from: me, outcome });
            }
            Action::Drop { task } => drop(self.desks[at].tasks.remove(&task)),
            Action::Withdraw { task, from } => {
                let asker = Asker::Broker { at, life, task };
                let worker = usize::from(from.id.0[0] - 1);
                self.fifo((at, worker), Happening::Withdrawn { to: from, asker });
            }
            Action::Tell { free, capacity, .. } => {
                let (broker, room) = (1 - at, (free, capacity));
                self.soon(Happening::Told { broker, from: me, room });
            }
            Action::Beat { to } => {
                let lives = |hand: &Hand| hand.alive && !hand.stalled;
                let there = (0..WORKERS).any(|n| lives(&self.hands[n]) && self.worker_key(n) == to);
                if there {
                    self.soon(Happening::Heard { broker: at, from: to });
                }
            }
            Action::Share { claim, .. } => {
                if !self.split {
                    let broker = 1 - at;
                    // In order, and before what the other notices of our death; unless it is busy.
                    let late = if self.faults.busy { 500 * MS } else { MS / 20 };
                    if !self.faults.busy || self.rng.below(2) == 0 {
                        self.put(self.now + late, Happening::Claimed { broker, from: me, claim });
                    }
                }
            }
        }
    }

    fn die(&mut self, who: Who) {
        let gone = match who {
            Who::Broker(at) => {
                let gone = self.broker_key(at);
                self.desks[at].alive = false;
                self.desks[at].tasks.clear();
                for call in self.open.iter().copied().collect::<Vec<_>>() {
                    let later = self.now + (1_000 + self.rng.below(500)) * MS;
                    self.put(later, Happening::Resend { call, dead: at });
                }
                gone
            }
            Who::Worker(at) => {
                let gone = self.worker_key(at);
                let hand = &mut self.hands[at];
                hand.alive = false;
                hand.running.clear();
                hand.cache.clear();
                hand.promises.clear();
                gone
            }
        };
        for broker in 0..BROKERS {
            let later = self.now + (200 + self.rng.below(600)) * MS;
            self.put(later, Happening::Noticed { broker, gone });
        }
    }

    fn back(&mut self, who: Who) {
        match who {
            Who::Broker(at) => {
                let life = self.desks[at].life + 1;
                let machine = self.machine(at, life);
                let tasks = BTreeMap::new();
                self.desks[at] = Desk { machine, life, alive: true, next: 0, tasks };
                self.introduce(at);
            }
            Who::Worker(at) => {
                self.hands[at].life += 1;
                self.hands[at].alive = true;
                for broker in 0..BROKERS {
                    self.offer(broker, at);
                }
            }
        }
    }

    fn offer(&mut self, broker: usize, worker: usize) {
        let (now, key) = (Time(self.now), self.worker_key(worker));
        if self.desks[broker].alive && self.hands[worker].alive {
            let offer = WorkerOffer { takes: true, credit: CREDIT, kind: Kind::default() };
            self.desks[broker].machine.worker(now, key, "s", offer);
        }
    }

    fn introduce(&mut self, at: usize) {
        for worker in 0..WORKERS {
            self.offer(at, worker);
        }
        let now = Time(self.now);
        for (a, b) in [(at, 1 - at), (1 - at, at)] {
            if a < self.desks.len()
                && b < self.desks.len()
                && self.desks[a].alive
                && self.desks[b].alive
            {
                let key = self.broker_key(b);
                self.desks[a].machine.peer(now, key, "s", offer((0, 4)));
            }
        }
    }

    /// A broker's call to one that is gone ends without an answer.
    fn lost_at(&mut self, broker: usize, gone: EndpointKey) {
        let tasks: Vec<TaskId> = self.desks[broker].tasks.keys().copied().collect();
        let now = Time(self.now);
        for task in tasks {
            self.desks[broker].machine.done(now, task, gone, Outcome::Lost);
        }
    }

    /// Long after a split: no call runs for two brokers at two workers.
    fn look(&mut self) {
        let mut at: BTreeMap<u64, BTreeSet<usize>> = BTreeMap::new();
        for (worker, hand) in self.hands.iter().enumerate() {
            for (call, askers) in &hand.running {
                if !askers.is_empty() {
                    at.entry(*call).or_default().insert(worker);
                }
            }
        }
        self.ran.both_active += at.values().filter(|workers| workers.len() > 1).count();
    }
}
