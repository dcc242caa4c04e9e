//! # Bazaar: worlds of servers and callers, drawn from seeds
//!
//! Which servers and callers there are, what is asked and how, and which faults come, is drawn from
//! the seed: loss, cuts, kills, restarts, programs that stand still, servers that drain. A quarter
//! of the seeds are calm. Then all is healed, and every call must have ended.

use crate::links::LinkModel;
use crate::net::{Ep, Net, config, ms};
use crate::oracle::Violation;
use crate::swarm::Outcome;
use crate::trade::{Ending, Srv, Trade, Work};
use motet_proto::rng::Rng;
use motet_proto::services::{CallSettings, InstanceState, Mode, ServeSettings, WaitFor};
use motet_proto::{Liveness, Time};
use std::time::Duration;

/// Time between decisions.
const TICK: Duration = ms(20);
/// No call takes longer than this.
const LONGEST: Duration = Duration::from_secs(8);

struct Place {
    ep: Ep,
    srv: Option<Srv>,
    back_at: Option<Time>,
    awake_at: Option<Time>,
}

struct Bazaar {
    trade: Trade,
    rng: Rng,
    places: Vec<Place>,
    callers: Vec<Ep>,
    calm: bool,
    lossy: bool,
    number: u64,
    drains: Vec<(Srv, Time)>,
}

/// Runs one seed.
pub fn run(seed: u64, trace: bool) -> Outcome {
    let mut bazaar = Bazaar::new(seed);
    bazaar.trade.net.world.trace.keep = trace;
    let world = bazaar.describe();
    bazaar.open();
    bazaar.quiet();
    let Bazaar { trade, .. } = bazaar;
    let net = &trade.net;
    let when = net.world.now;
    let mut violations = net.oracle.violations.clone();
    violations.extend(trade.violations.iter().map(|detail| Violation {
        name: "V calls",
        at: when,
        detail: detail.clone(),
    }));
    Outcome {
        seed,
        time: when,
        packets: net.world.traffic.packets,
        messages: trade.endings().flatten().count() as u64,
        hash: net.world.trace.hash(),
        trace: net.trace(),
        violations,
        world: format!("{world}; {}", tell(&trade)),
    }
}

/// How calls ended, in one line.
fn tell(trade: &Trade) -> String {
    let (mut answered, mut failed, mut none) = (0, 0, 0);
    for ending in trade.endings() {
        match ending {
            Some(Ending::Answered(..) | Ending::Surveyed(..)) => answered += 1,
            Some(Ending::Failed(_)) => failed += 1,
            None => none += 1,
        }
    }
    format!("{answered} answered, {failed} failed, {none} lost with their caller")
}

fn one_in(rng: &mut Rng, n: u64) -> bool {
    rng.below(n) == 0
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.below(from.len() as u64) as usize]
}

impl Bazaar {
    fn new(seed: u64) -> Self {
        let mut bytes = [11; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::new(bytes);
        let calm = one_in(&mut rng, 4);
        let lossy = !calm && one_in(&mut rng, 2);
        let latency = Duration::from_micros(pick(&mut rng, &[50, 500, 5_000, 30_000]));
        let loss = if lossy { rng.unit() * 0.25 } else { 0.0 };
        let (duplicate, reorder) = if lossy { (0.05, 0.1) } else { (0.0, 0.0) };
        let model = LinkModel { latency, loss, duplicate, reorder, ..LinkModel::default() };
        let mut net = Net::seeded(seed).links(model);
        (net.strict, net.keep) = (false, false);
        let mut places = Vec::new();
        let fast = one_in(&mut rng, 2);
        for n in 0..2 + rng.below(4) {
            let host = net.world.add_host(&[0]);
            let mut cfg = config(&format!("p{n}"));
            if fast {
                cfg.liveness = Liveness::FAST;
            }
            let ep = net.place(host, cfg);
            places.push(Place { ep, srv: None, back_at: None, awake_at: None });
        }
        let trade = Trade::over(net);
        let callers = Vec::new();
        Self { trade, rng, places, callers, calm, lossy, number: 0, drains: Vec::new() }
    }

    fn describe(&self) -> String {
        let link = &self.trade.net.world.link;
        format!(
            "{} endpoints, calm {}, loss {:.3}, {:?}",
            self.places.len(),
            self.calm,
            link.loss,
            link.latency
        )
    }

    fn settings(&mut self) -> ServeSettings {
        let rng = &mut self.rng;
        ServeSettings {
            concurrency: pick(rng, &[1, 1, 4, 64]),
            credit: pick(rng, &[1, 4, 64, 256]),
            queue: pick(rng, &[0, 2, 64, 1_024]),
            safe: one_in(rng, 3),
            cache_bytes: pick(rng, &[8 << 20, 8 << 20, 16 << 10]),
            ..ServeSettings::default()
        }
    }

    fn work(&mut self) -> Work {
        let wait = ms(pick(&mut self.rng, &[0, 1, 10, 50, 300]));
        match self.rng.below(12) {
            0 => Work::Mute,
            1 => Work::Fail(wait, 7),
            2 => Work::Parts(1 + self.rng.below(5), wait),
            3 => Work::For(ms(3_000)),
            _ => Work::For(wait),
        }
    }

    fn open(&mut self) {
        for at in 0..self.places.len() {
            let ep = self.places[at].ep;
            self.trade.net.start(ep, false);
            // Some do both.
            if at == 0 || one_in(&mut self.rng, 3) {
                self.callers.push(ep);
            }
            if at > 0 {
                let (settings, work) = (self.settings(), self.work());
                self.places[at].srv = Some(self.trade.serve(ep, "s", settings, work));
            }
            if one_in(&mut self.rng, 2) {
                let wait = ms(self.rng.below(600));
                self.trade.run_for(wait);
            }
        }
        let end = self.trade.net.world.now + ms(3_000 + self.rng.below(7_000));
        while self.trade.net.world.now < end {
            self.inflict();
            self.ask();
            self.trade.run_for(TICK);
        }
    }

    fn ask(&mut self) {
        let often = pick(&mut self.rng, &[1, 2, 4]);
        if !one_in(&mut self.rng, often) {
            return;
        }
        let ep = pick(&mut self.rng, &self.callers);
        let slot = self.trade.net.slot(ep);
        if slot.node.is_none() || slot.paused {
            return;
        }
        self.number += 1;
        let rng = &mut self.rng;
        let mode = match rng.below(10) {
            0 => Mode::First(2),
            1 => Mode::All(ms(1_000)),
            2 => Mode::Ordered(ms(500)),
            _ => Mode::One,
        };
        let settings = CallSettings {
            timeout: ms(pick(rng, &[100, 1_000, 2_500, 5_000])),
            per_try: one_in(rng, 4).then(|| ms(200)),
            tries: pick(rng, &[1, 3, 3, 6]),
            safe: one_in(rng, 4),
            mode,
            wait: pick(rng, &[WaitFor::Settled, WaitFor::Settled, WaitFor::Deadline]),
            ttl: ms(pick(rng, &[600, 6_000])),
            ..CallSettings::default()
        };
        // A key names a deed that is not to be done twice: who says that twice is fine lies.
        let keyed = !settings.safe && one_in(rng, 2);
        let body = format!("ask {}", self.number);
        let key = keyed.then(|| format!("k{}", self.number));
        let made = self.trade.call_with(ep, "s", &body, key.as_deref(), settings);
        if one_in(&mut self.rng, 15) {
            let wait = ms(self.rng.below(100));
            self.trade.run_for(wait);
            let slot = self.trade.net.slot(ep);
            if slot.node.is_some() && !slot.paused {
                self.trade.cancel(made);
            }
        }
    }

    fn inflict(&mut self) {
        let now = self.trade.net.world.now;
        for at in 0..self.places.len() {
            if self.places[at].awake_at.is_some_and(|when| when <= now) {
                self.places[at].awake_at = None;
                self.trade.net.world.resume(self.places[at].ep.0);
                self.trade.net.touch(self.places[at].ep);
            }
            if self.places[at].back_at.is_some_and(|when| when <= now) {
                self.come_back(at);
            }
        }
        let due: Vec<Srv> =
            self.drains.iter().filter(|(_, when)| *when <= now).map(|(srv, _)| *srv).collect();
        self.drains.retain(|(_, when)| *when > now);
        for srv in due {
            self.trade.at_server(srv, |node, now, id| {
                node.set_serving(now, id, InstanceState::Up, "");
            });
        }
        if self.calm {
            return;
        }
        let at = self.rng.below(self.places.len() as u64) as usize;
        let place = &self.places[at];
        let (ep, srv) = (place.ep, place.srv);
        let busy = place.awake_at.is_some() || place.back_at.is_some();
        match self.rng.below(120) {
            0 if !busy => {
                self.trade.net.kill(ep);
                let wait = ms(20 + self.rng.below(4_000));
                self.places[at].back_at = Some(now + wait);
            }
            1 if !busy => {
                self.trade.net.world.pause(ep.0);
                let wait = ms(50 + self.rng.below(7_000));
                self.places[at].awake_at = Some(now + wait);
            }
            2 => {
                let other = pick(&mut self.rng, &(0..self.places.len()).collect::<Vec<_>>());
                let other = self.places[other].ep;
                if other != ep {
                    self.trade.net.world.block(ep.0, other.0);
                    if !one_in(&mut self.rng, 3) {
                        self.trade.net.world.block(other.0, ep.0);
                    }
                }
            }
            3 | 4 => {
                for other in 0..self.places.len() {
                    let other = self.places[other].ep;
                    self.trade.net.world.unblock(ep.0, other.0);
                    self.trade.net.world.unblock(other.0, ep.0);
                }
            }
            5 if !busy => {
                if let Some(srv) = srv {
                    self.trade.at_server(srv, |node, now, id| {
                        node.set_serving(now, id, InstanceState::Draining, "new version");
                    });
                    let wait = ms(100 + self.rng.below(1_500));
                    self.drains.push((srv, now + wait));
                }
            }
            6 if !busy => {
                let work = self.work();
                if let Some(srv) = srv {
                    self.trade.set_work(srv, work);
                }
            }
            _ => {}
        }
    }

    fn come_back(&mut self, at: usize) {
        self.places[at].back_at = None;
        let keep = one_in(&mut self.rng, 2);
        let ep = self.places[at].ep;
        if !keep {
            self.trade.net.slot(ep).secret = self.trade.net.world.rng.bytes();
        }
        self.trade.net.start(ep, keep);
        if let Some(srv) = self.places[at].srv {
            self.drains.retain(|(other, _)| *other != srv);
            self.trade.serve_again(srv);
        }
    }

    /// Heals, waits until every call must be over, and calls once more: somebody answers.
    fn quiet(&mut self) {
        self.trade.net.heal();
        for at in 0..self.places.len() {
            if self.places[at].awake_at.take().is_some() {
                self.trade.net.world.resume(self.places[at].ep.0);
                self.trade.net.touch(self.places[at].ep);
            }
            if self.places[at].back_at.is_some() {
                self.come_back(at);
            }
            if let Some(srv) = self.places[at].srv {
                self.trade.set_work(srv, Work::For(ms(1)));
                self.trade.at_server(srv, |node, now, id| {
                    node.set_serving(now, id, InstanceState::Up, "");
                });
            }
        }
        self.trade.run_for(LONGEST);
        self.trade.demand();
        let _ = self.lossy;
        // A mute server's requests are still open there, and may fill it.
        let ep = self.callers[0];
        let settings = CallSettings {
            timeout: Duration::from_secs(20),
            wait: WaitFor::Deadline,
            safe: true,
            tries: 20,
            ..CallSettings::default()
        };
        let made = self.trade.call(ep, "s", "and now?", settings);
        let ended = self.trade.run_until(|trade| trade.ending(made).is_some(), LONGEST * 4);
        if !ended {
            self.trade.violations.push("the last call does not end".to_owned());
        }
        self.trade.net.demand();
    }
}
