//! # Swarm: the seed chooses the world
//!
//! Which endpoints, topics, settings and faults there are, and how strong, comes from the seed; a
//! quarter of the seeds are calm. First the world hurts, then it heals, then progress is demanded.

use crate::links::{Burst, LinkModel};
use crate::net::{Ep, Net, Pub, Sub, config, ms};
use crate::oracle::Violation;
use motet_proto::config::{History, LanePolicy, QueuePolicy};
use motet_proto::rng::Rng;
use motet_proto::{PubQos, SlowPolicy, SubQos, Time};
use std::time::Duration;

/// Time between decisions.
const TICK: Duration = ms(20);
/// Quiet time before progress is demanded (O5).
const QUIET: Duration = Duration::from_secs(10);
/// Bytes that one seed publishes at most.
const BYTES_MAX: usize = 4 << 20;

/// What became of a seed.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which.
    pub seed: u64,
    /// What did not hold.
    pub violations: Vec<Violation>,
    /// Virtual time it took.
    pub time: Time,
    /// Datagrams sent.
    pub packets: u64,
    /// Messages delivered.
    pub messages: u64,
    /// Equal for equal runs.
    pub hash: u64,
    /// Lines of the trace, if wanted.
    pub trace: String,
    /// The world in one line.
    pub world: String,
}

/// Which faults a seed has.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    /// Lanes begin, and what may happen to them does.
    lanes: bool,
    partition: bool,
    pause: bool,
    clock: bool,
    restart: bool,
    moving: bool,
    churn: bool,
}

struct Speaker {
    to: Pub,
    ep: Ep,
    size: usize,
    every: Duration,
    next: Time,
    left: u32,
    tag: u64,
}

struct Swarm {
    net: Net,
    rng: Rng,
    eps: Vec<Ep>,
    topics: Vec<String>,
    qos: Vec<PubQos>,
    faults: Faults,
    speakers: Vec<Speaker>,
    subs: Vec<(Ep, Sub)>,
    paused: Vec<(Ep, Time)>,
    bytes: usize,
    payload: Vec<u8>,
}

/// Runs one seed.
pub fn run(seed: u64, trace: bool) -> Outcome {
    let mut swarm = Swarm::new(seed);
    swarm.net.world.trace.keep = trace;
    let world = swarm.describe();
    swarm.hurt();
    swarm.heal();
    swarm.demand();
    if trace {
        swarm.net.note_views();
    }
    let net = swarm.net;
    Outcome {
        seed,
        time: net.world.now,
        packets: net.world.traffic.packets,
        messages: net.oracle.delivered,
        hash: net.world.trace.hash(),
        trace: net.trace(),
        violations: net.oracle.violations,
        world,
    }
}

fn one_in(rng: &mut Rng, n: u64) -> bool {
    rng.below(n) == 0
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.below(from.len() as u64) as usize]
}

fn draw_link(rng: &mut Rng, calm: bool) -> LinkModel {
    let latency = Duration::from_micros(pick(rng, &[50, 100, 500, 2_000, 10_000, 50_000]));
    let rate = pick(rng, &[None, Some(125_000_000), Some(12_500_000)]);
    let model = LinkModel { latency, rate, ..LinkModel::default() };
    if calm {
        return model;
    }
    let some = |rng: &mut Rng, max: f64| if one_in(rng, 2) { rng.unit() * max } else { 0.0 };
    let loss = some(rng, 0.3);
    let burst = one_in(rng, 4).then_some(Burst { enter: 0.01, leave: 0.1, loss: 0.9 });
    let (reorder, duplicate, corrupt) = (some(rng, 0.2), some(rng, 0.1), some(rng, 0.02));
    let reorder_by = Duration::from_micros(100 + rng.below(20_000));
    LinkModel { loss, burst, reorder, reorder_by, duplicate, corrupt, ..model }
}

fn draw_pub(rng: &mut Rng) -> PubQos {
    let slow = match rng.below(8) {
        0 | 1 => SlowPolicy::DropOldest,
        2 => SlowPolicy::DropNewest,
        3 => SlowPolicy::Disconnect(ms(2_000)),
        _ => SlowPolicy::Block,
    };
    PubQos {
        reliable: !one_in(rng, 6),
        priority: rng.below(8) as u8,
        history: pick(rng, &[0, 1, 1, 10, 1_000]),
        lifespan: one_in(rng, 8).then(|| ms(500)),
        slow,
        log_bytes: pick(rng, &[4 << 10, 64 << 10, 1 << 20, 8 << 20]),
        ..PubQos::default()
    }
}

fn draw_sub(rng: &mut Rng) -> SubQos {
    SubQos {
        history: pick(rng, &[History::All, History::All, History::Last(3), History::None]),
        queue_bytes: pick(rng, &[64 << 10, 1 << 20, 8 << 20]),
        full: pick(
            rng,
            &[
                QueuePolicy::Block,
                QueuePolicy::Block,
                QueuePolicy::DropOldest,
                QueuePolicy::DropNewest,
            ],
        ),
        ..SubQos::default()
    }
}

impl Swarm {
    fn new(seed: u64) -> Self {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::new(bytes);
        let rng_ = &mut rng;
        let calm = one_in(rng_, 4);
        let mut net = Net::seeded(seed).links(draw_link(rng_, calm));
        (net.strict, net.keep) = (false, false);
        let mut fault = |n| !calm && one_in(rng_, n);
        // A chance of their own: what a seed was before lanes it still is.
        let mut lanes = Rng::new(
            [bytes[0] ^ 0x5a, bytes[1], bytes[2], 9].repeat(8).try_into().unwrap_or([9; 32]),
        );
        let with_lanes = !one_in(&mut lanes, 3);
        let faults = Faults {
            lanes: with_lanes && !calm,
            partition: fault(2),
            pause: fault(3),
            clock: fault(3),
            restart: fault(3),
            moving: fault(5),
            churn: fault(2),
        };
        let count = 2 + rng.below(4) as usize;
        let mut eps = Vec::new();
        for n in 0..count {
            let shared = n > 0 && one_in(&mut rng, 5);
            let host = if shared { n - 1 } else { usize::MAX };
            let host = match eps.get(host).map(|ep: &Ep| net.world.slots[ep.0].host) {
                Some(host) => host,
                None => net.world.add_host(&[0]),
            };
            eps.push(net.place(host, config(&format!("e{n}"))));
        }
        let topics: Vec<_> = (0..1 + rng.below(4)).map(|n| format!("t/{n}")).collect();
        let mut qos: Vec<PubQos> = topics.iter().map(|_| draw_pub(&mut rng)).collect();
        for qos in &mut qos {
            let drawn = pick(&mut lanes, &[LanePolicy::Always, LanePolicy::Auto]);
            qos.lane = if with_lanes { drawn } else { LanePolicy::Never };
        }
        for ep in &eps {
            net.world.slots[ep.0].cfg.lane_rate = 0;
            if faults.lanes {
                net.world.slots[ep.0].lanes_denied = one_in(&mut lanes, 8);
                let starved = one_in(&mut lanes, 10);
                let by = ms(5 + lanes.below(60));
                net.world.slots[ep.0].starved = if starved { by } else { Duration::ZERO };
            }
        }
        if faults.lanes && one_in(&mut lanes, 3) {
            net.world.air.snooping = Some(ms(1_000 + lanes.below(6_000)));
        }
        Self {
            net,
            rng,
            eps,
            topics,
            qos,
            faults,
            speakers: Vec::new(),
            subs: Vec::new(),
            paused: Vec::new(),
            bytes: 0,
            payload: Vec::new(),
        }
    }

    fn describe(&self) -> String {
        let Self { eps, topics, faults, qos, .. } = self;
        let link = &self.net.world.link;
        let qos: Vec<_> = qos
            .iter()
            .map(|q| {
                format!(
                    "{:?}/{:?}/{}/h{}/{}",
                    q.lane,
                    q.slow,
                    if q.reliable { "rel" } else { "be" },
                    q.history,
                    q.log_bytes
                )
            })
            .collect();
        let (eps, topics) = (eps.len(), topics.len());
        format!("{eps} endpoints, {topics} topics {qos:?}, {faults:?}, {link:?}")
    }

    /// What the application at an endpoint does when it starts.
    fn applications(&mut self, ep: Ep) {
        for at in 0..self.topics.len() {
            let topic = self.topics[at].clone();
            if one_in(&mut self.rng, 2) {
                let to = self.net.advertise_with(ep, &topic, self.qos[at].clone());
                let size = match self.rng.below(10) {
                    0 => 20_000 + self.rng.below(180_000),
                    1 | 2 => 1_000 + self.rng.below(9_000),
                    _ => self.rng.below(300),
                } as usize;
                let every = ms(pick(&mut self.rng, &[20, 20, 100, 500]));
                let next = self.net.world.now + ms(self.rng.below(500));
                let tag = self.rng.u64();
                self.speakers.push(Speaker { to, ep, size, every, next, left: 500, tag });
            }
        }
        for _ in 0..1 + self.rng.below(2) {
            self.subscribe(ep);
        }
    }

    fn subscribe(&mut self, ep: Ep) {
        let topic = self.rng.below(self.topics.len() as u64) as usize;
        let filter = match self.rng.below(3) {
            0 => "t/*".to_owned(),
            1 => "**".to_owned(),
            _ => self.topics[topic].clone(),
        };
        let qos = draw_sub(&mut self.rng);
        let sub = self.net.subscribe_with(ep, &[&filter], qos);
        self.subs.push((ep, sub));
    }

    fn hurt(&mut self) {
        let mut late: Vec<(Ep, Time)> = Vec::new();
        for ep in self.eps.clone() {
            let wait = if one_in(&mut self.rng, 3) { self.rng.below(2_000) } else { 0 };
            late.push((ep, self.net.world.now + ms(wait)));
        }
        let end = self.net.world.now + ms(2_000 + self.rng.below(8_000));
        while self.net.world.now < end {
            let now = self.net.world.now;
            let due: Vec<Ep> =
                late.iter().filter(|(_, at)| *at <= now).map(|(ep, _)| *ep).collect();
            late.retain(|(_, at)| *at > now);
            for ep in due {
                self.net.start(ep, false);
                self.applications(ep);
            }
            self.inflict();
            self.speak(false);
            self.net.run_for(TICK);
        }
        for (ep, _) in late {
            self.net.start(ep, false);
            self.applications(ep);
        }
    }

    fn running(&mut self) -> Option<Ep> {
        let ep = pick(&mut self.rng, &self.eps);
        let slot = self.net.slot(ep);
        (slot.node.is_some() && !slot.paused).then_some(ep)
    }

    fn inflict(&mut self) {
        let now = self.net.world.now;
        let awake: Vec<Ep> =
            self.paused.iter().filter(|(_, at)| *at <= now).map(|(ep, _)| *ep).collect();
        self.paused.retain(|(_, at)| *at > now);
        awake.into_iter().for_each(|ep| self.net.world.resume(ep.0));
        let faults = self.faults;
        let (a, b) = (pick(&mut self.rng, &self.eps), pick(&mut self.rng, &self.eps));
        if faults.partition && one_in(&mut self.rng, 50) && a != b {
            match self.rng.below(3) {
                0 => self.net.world.block(a.0, b.0),
                1 => {
                    self.net.world.block(a.0, b.0);
                    self.net.world.block(b.0, a.0);
                }
                _ => self.eps.clone().iter().for_each(|ep| {
                    self.net.world.unblock(a.0, ep.0);
                    self.net.world.unblock(ep.0, a.0);
                }),
            }
        }
        if faults.pause
            && one_in(&mut self.rng, 100)
            && let Some(ep) = self.running()
        {
            self.net.world.pause(ep.0);
            self.paused.push((ep, now + ms(50 + self.rng.below(3_000))));
        }
        if faults.clock
            && one_in(&mut self.rng, 60)
            && let Some(ep) = self.running()
        {
            let hour = 3_600_000;
            let by = self.rng.below(2 * hour) as i64 - hour as i64;
            self.net.world.jump_clock(ep.0, by);
        }
        if faults.moving
            && one_in(&mut self.rng, 150)
            && let Some(ep) = self.running()
        {
            self.net.world.move_host(ep.0);
        }
        if faults.restart
            && one_in(&mut self.rng, 120)
            && let Some(ep) = self.running()
        {
            self.speakers.retain(|speaker| speaker.ep != ep);
            self.subs.retain(|(of, _)| *of != ep);
            let keep_key = one_in(&mut self.rng, 2);
            self.net.restart(ep, keep_key);
            self.applications(ep);
        }
        if faults.churn
            && one_in(&mut self.rng, 40)
            && let Some(ep) = self.running()
        {
            let own = self.subs.iter().position(|(of, _)| *of == ep);
            match own {
                Some(at) if one_in(&mut self.rng, 2) => {
                    let (_, sub) = self.subs.swap_remove(at);
                    self.net.unsubscribe(sub);
                }
                _ => self.subscribe(ep),
            }
        }
        if !self.subs.is_empty() && one_in(&mut self.rng, 30) {
            let (_, sub) = pick(&mut self.rng, &self.subs);
            if one_in(&mut self.rng, 2) { self.net.hold(sub) } else { self.net.release(sub) }
        }
    }

    /// Publishes what is due; `all` publishes once everywhere.
    fn speak(&mut self, all: bool) {
        let now = self.net.world.now;
        for at in 0..self.speakers.len() {
            let speaker = &mut self.speakers[at];
            let size = if all { speaker.size.min(1_000) } else { speaker.size };
            let over = self.bytes + size > BYTES_MAX || speaker.left == 0;
            if !all && (speaker.next > now || over) {
                continue;
            }
            speaker.next = now + speaker.every;
            speaker.left = speaker.left.saturating_sub(1);
            speaker.tag = speaker.tag.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let (to, tag) = (speaker.to, speaker.tag.to_le_bytes());
            self.payload.clear();
            self.payload.extend(tag.iter().cycle().take(size));
            let payload = std::mem::take(&mut self.payload);
            if self.net.try_publish(to, &payload).is_ok() {
                self.bytes += size;
            }
            self.payload = payload;
        }
    }

    fn heal(&mut self) {
        self.net.heal();
        for (ep, _) in std::mem::take(&mut self.paused) {
            self.net.world.resume(ep.0);
        }
        for (_, sub) in self.subs.clone() {
            self.net.release(sub);
        }
        self.net.run_for(QUIET);
        // Megabytes over a bad link take longer; whoever makes progress is not stuck.
        for _ in 0..30 {
            let before = self.net.oracle.delivered;
            self.net.run_for(ms(2_000));
            if self.net.oracle.delivered == before {
                break;
            }
        }
    }

    fn demand(&mut self) {
        self.net.demand();
        self.speak(true);
        self.net.run_for(ms(3_000));
        for at in 0..self.speakers.len() {
            let to = self.speakers[at].to;
            if let Err(error) = self.net.try_publish(to, b"and now?") {
                let detail = format!("publication {}: {error:?} after quiet", to.0);
                self.net.oracle.violate("O5 writer stuck", self.net.world.now, detail);
            }
        }
        self.net.run_for(ms(3_000));
        self.net.demand();
    }
}
