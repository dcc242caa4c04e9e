//! Two or three endpoints in the simulator: a script says what their applications do, what becomes
//! of each datagram and when somebody is stopped. The simulator's oracle watches, and once all is
//! healed everything that was promised must have arrived.

use motet_proto::config::{History, QueuePolicy};
use motet_proto::{PubQos, SlowPolicy, SubQos};
use motet_sim::net::config;
use motet_sim::{Ep, LinkModel, Net, Pub, Sub, Verdict, ms};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::tape::Tape;

/// Steps of a script.
const STEPS: usize = 120;
/// Time a script may let pass, ms.
const TIME_MS: u64 = 20_000;
/// After all is healed, ms: twice a death of silence and a dial that fails, since whoever dials an
/// address that is gone does not answer a smaller id meanwhile (S-6).
const QUIET_MS: u64 = 25_000;
/// Bytes that are published in all.
const BYTES_MAX: usize = 400_000;

struct Story {
    net: Net,
    eps: Vec<Ep>,
    pubs: Vec<(Ep, Pub)>,
    subs: Vec<(Ep, Sub)>,
    fates: Arc<Mutex<VecDeque<u8>>>,
    paused: Vec<bool>,
    qos: u8,
    bytes: usize,
    time: u64,
}

/// First byte: b0 three endpoints, b1 datagrams overtake; second byte: settings. Then steps.
pub fn script(data: &[u8]) {
    let mut tape = Tape(data);
    let (flags, qos) = (tape.u8(), tape.u8());
    let reorder = if flags & 2 == 0 { 0.0 } else { 0.3 };
    let model = LinkModel { latency: ms(1), reorder, ..LinkModel::default() };
    let mut net = Net::seeded(u64::from(flags >> 2)).links(model);
    (net.keep, net.check_every) = (false, 4);
    net.world.trace.keep = std::env::var_os("FUZZ_TRACE").is_some();
    let names = ["a", "b", "c"].into_iter().take(2 + usize::from(flags & 1));
    let eps: Vec<Ep> = names
        .map(|name| {
            let mut cfg = config(name);
            cfg.mtu_discovery = false; // it fills a run with probes
            net.endpoint_with(cfg)
        })
        .collect();
    let fates = Arc::<Mutex<VecDeque<u8>>>::default();
    let paused = vec![false; eps.len()];
    let mut story = Story {
        net,
        eps,
        pubs: Vec::new(),
        subs: Vec::new(),
        fates,
        paused,
        qos,
        bytes: 0,
        time: 0,
    };
    story.applications(story.eps[0]);
    story.subscribe(story.eps[1], qos);
    story.net.run_for(ms(1_500));
    story.rule();
    for _ in 0..STEPS {
        if tape.is_empty() {
            break;
        }
        story.step(&mut tape);
    }
    story.end();
}

impl Story {
    /// Each datagram to one receiver has a fate, as long as the script has told one.
    fn rule(&mut self) {
        let fates = Arc::clone(&self.fates);
        self.net.rule(move |flight| {
            if flight.multicast {
                return Verdict::Pass;
            }
            let fate = fates.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match fate.unwrap_or(0) {
                0..0x60 => Verdict::Pass,
                0x60..0xa0 => Verdict::Drop,
                fate @ 0xa0..0xd0 => Verdict::Late(ms(u64::from(fate & 0x3f))),
                fate => Verdict::Twice(ms(u64::from(fate & 0x1f) * 8)),
            }
        });
    }

    fn applications(&mut self, ep: Ep) {
        let slow = match self.qos & 3 {
            0 | 1 => SlowPolicy::Block,
            2 => SlowPolicy::DropOldest,
            _ => SlowPolicy::DropNewest,
        };
        let qos = PubQos {
            slow,
            reliable: self.qos & 4 == 0,
            history: u32::from(self.qos >> 3 & 3),
            log_bytes: if self.qos & 0x20 == 0 { 8 << 20 } else { 20_000 },
            conflate: self.qos & 0xc0 == 0xc0,
            ..PubQos::default()
        };
        let to = self.net.advertise_with(ep, "t/0", qos);
        self.pubs.push((ep, to));
    }

    fn subscribe(&mut self, ep: Ep, how: u8) {
        let qos = SubQos {
            history: [History::All, History::None, History::Last(2)][usize::from(how % 3)],
            queue_bytes: if how & 0x40 == 0 { 8 << 20 } else { 10_000 },
            full: [QueuePolicy::Block, QueuePolicy::Block, QueuePolicy::DropOldest]
                [usize::from(how >> 3) % 3],
            ..SubQos::default()
        };
        let filter = if how & 0x80 == 0 { "t/0" } else { "t/*" };
        let now = self.net.world.now;
        self.net.world.trace.line(now, |text| *text += &format!("{ep:?} subscribes, {qos:?}"));
        let sub = self.net.subscribe_with(ep, &[filter], qos);
        self.subs.push((ep, sub));
    }

    fn publish(&mut self, size: usize) {
        let Some((_, to)) = self.pubs.last().copied() else { return };
        if self.bytes + size <= BYTES_MAX && self.net.try_publish(to, &vec![1; size]).is_ok() {
            self.bytes += size;
        }
    }

    fn runs(&mut self, ep: Ep) -> bool {
        !self.paused[ep.0] && self.net.node(ep).is_some()
    }

    fn step(&mut self, tape: &mut Tape<'_>) {
        let op = tape.below(16);
        let ep = self.eps[usize::from(tape.u8()) % self.eps.len()];
        let now = self.net.world.now;
        self.net.world.trace.line(now, |text| *text += &format!("step {op} at {ep:?}"));
        match op {
            0..=3 => self.publish(tape.number(&[1_200, 30_000]).min(60_000) as usize),
            4 => (0..tape.below(32)).for_each(|_| self.publish(100)),
            5..=7 => {
                let wait = tape.ms().min(TIME_MS - self.time);
                self.time += wait;
                self.net.run_for(ms(wait));
            }
            8 => {
                let told = tape.short().iter().copied();
                self.fates.lock().unwrap_or_else(PoisonError::into_inner).extend(told);
            }
            9 if self.runs(ep) => {
                self.paused[ep.0] = true;
                self.net.world.pause(ep.0);
            }
            9 => self.wake(ep),
            10 if self.runs(ep) => {
                self.pubs.retain(|(of, _)| *of != ep);
                self.subs.retain(|(of, _)| *of != ep);
                self.net.restart(ep, tape.flag());
                if ep == self.eps[0] { self.applications(ep) } else { self.subscribe(ep, self.qos) }
            }
            11 if self.subs.len() < 6 && self.runs(ep) => self.subscribe(ep, tape.u8()),
            12 if !self.subs.is_empty() => {
                let at = tape.below(self.subs.len() as u8);
                let (ep, sub) = self.subs[at];
                if self.runs(ep) {
                    self.subs.remove(at);
                    self.net.unsubscribe(sub);
                }
            }
            13 if !self.subs.is_empty() => {
                let (ep, sub) = self.subs[tape.below(self.subs.len() as u8)];
                if !self.runs(ep) {
                } else if tape.flag() {
                    self.net.hold(sub);
                } else {
                    self.net.release(sub);
                }
            }
            14 => {
                let other = self.eps[tape.below(self.eps.len() as u8)];
                if tape.flag() {
                    self.net.world.block(ep.0, other.0);
                } else {
                    self.net.world.unblock(ep.0, other.0);
                }
            }
            15 if self.runs(ep) => self.net.world.move_host(ep.0),
            _ => {}
        }
    }

    fn wake(&mut self, ep: Ep) {
        if std::mem::take(&mut self.paused[ep.0]) {
            self.net.world.resume(ep.0);
        }
    }

    fn end(&mut self) {
        let now = self.net.world.now;
        self.net.world.trace.line(now, |text| *text += "healed");
        self.net.heal();
        self.eps.clone().into_iter().for_each(|ep| self.wake(ep));
        for (_, sub) in self.subs.clone() {
            self.net.release(sub);
        }
        self.net.run_for(ms(QUIET_MS));
        self.net.demand();
        self.bytes = 0;
        self.publish(100);
        self.net.run_for(ms(3_000));
        if let Some((_, to)) = self.pubs.last().copied() {
            let sent = self.net.try_publish(to, b"and now?");
            if let Err(error) = sent {
                let node = self.net.node(self.eps[0]).map(|node| node.publications());
                panic!("stuck after quiet: {error:?}, {node:#?}\n{}", self.net.trace());
            }
        }
        self.net.run_for(ms(3_000));
        self.net.demand();
    }
}
