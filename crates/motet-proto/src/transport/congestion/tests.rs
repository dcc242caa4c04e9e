//! Controllers, Pacer, Sent and Acks over one simulated bottleneck with a tail-drop queue.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::{Acked, Controller, Cubic, Lost, Model};
use crate::rng::Rng;
use crate::time::Time;
use crate::transport::acks::{Acks, Asks};
use crate::transport::pacer::Pacer;
use crate::transport::rtt::{MAX_ACK_DELAY, Rtt};
use crate::transport::sent::{Outcome, Sent};

const MTU: u16 = 1_200;

#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    Arrives { flow: usize, pn: u64 },
    AckArrives { flow: usize, largest: u64, ranges: Vec<(u64, u64)>, delay: Duration },
    AckTimer { flow: usize },
    Wake { flow: usize },
}

struct Flow {
    rtt: Rtt,
    sent: Sent,
    controller: Box<dyn Controller>,
    pacer: Pacer,
    acks: Acks,
    largest_at: Time,
    next_pn: u64,
    wakes_at: Time,
    arrived: u64,
    lost: u64,
}

impl Flow {
    fn new(controller: Box<dyn Controller>) -> Self {
        Self {
            rtt: Rtt::new(),
            sent: Sent::new(),
            controller,
            pacer: Pacer::new(Time::ZERO),
            acks: Acks::new(),
            largest_at: Time::ZERO,
            next_pn: 0,
            wakes_at: Time::NEVER,
            arrived: 0,
            lost: 0,
        }
    }
}

struct Link {
    bytes_per_s: u64,
    one_way: Duration,
    queue: u64,
    loss: f64,
    rng: Rng,
    busy_until: Time,
    flows: Vec<Flow>,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    scheduled: u64,
    now: Time,
}

impl Link {
    /// A link that flows of CUBIC share.
    fn new(mbit: u64, rtt: Duration, starts: &[Time]) -> Self {
        Self::with(mbit, rtt, starts, |_| Box::new(Cubic::new(MTU, 0)))
    }

    /// The same for the model-based controller.
    fn modelled(mbit: u64, rtt: Duration, starts: &[Time]) -> Self {
        Self::with(mbit, rtt, starts, |seed| Box::new(Model::new(MTU, 0, seed)))
    }

    fn with(
        mbit: u64,
        rtt: Duration,
        starts: &[Time],
        controller: fn(u32) -> Box<dyn Controller>,
    ) -> Self {
        let bytes_per_s = mbit * 125_000;
        let bdp = bytes_per_s * rtt.as_micros() as u64 / 1_000_000;
        let mut link = Self {
            bytes_per_s,
            one_way: rtt / 2,
            queue: bdp.max(u64::from(MTU) * 10),
            loss: 0.0,
            rng: Rng::new([1; 32]),
            busy_until: Time::ZERO,
            flows: (1..).zip(starts).map(|(seed, _)| Flow::new(controller(seed))).collect(),
            events: BinaryHeap::new(),
            scheduled: 0,
            now: Time::ZERO,
        };
        for (flow, &at) in starts.iter().enumerate() {
            link.wake(flow, at);
        }
        link
    }

    fn at(&mut self, when: Time, what: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((when, self.scheduled, what)));
    }

    fn run_until(&mut self, end: Time) {
        while self.events.peek().is_some_and(|Reverse((when, ..))| *when <= end) {
            let Some(Reverse((when, _, what))) = self.events.pop() else { return };
            self.now = when;
            self.handle(what);
        }
        self.now = end;
    }

    fn handle(&mut self, what: Event) {
        let now = self.now;
        match what {
            Event::Arrives { flow, pn } => {
                let f = &mut self.flows[flow];
                f.arrived += u64::from(MTU);
                if f.acks.largest().is_none_or(|l| pn > l) {
                    f.largest_at = now;
                }
                let asks = Asks { eliciting: true, ..Asks::default() };
                f.acks.on_packet(now, pn, asks, f.rtt.srtt());
                if let Some(at) = f.acks.deadline() {
                    self.at(at.max(now), Event::AckTimer { flow });
                }
            }
            Event::AckTimer { flow } => self.acknowledge(flow),
            Event::AckArrives { flow, largest, ranges, delay } => {
                let f = &mut self.flows[flow];
                let ranges = ranges.into_iter().map(|(lo, hi)| lo..=hi);
                let out = f.sent.on_ranges(now, largest, ranges, None, delay, &mut f.rtt);
                assert!(!out.invalid);
                self.settle(flow, &out);
            }
            Event::Wake { flow } => {
                let f = &mut self.flows[flow];
                if f.wakes_at != now {
                    return; // an earlier one took its place
                }
                f.wakes_at = Time::NEVER;
                if f.sent.loss_deadline().is_some_and(|at| at <= now) {
                    let out = f.sent.detect_lost(now, &f.rtt);
                    self.settle(flow, &out);
                    return;
                }
                let pto = f.rtt.pto(MAX_ACK_DELAY);
                if f.sent.pto_base().is_some_and(|at| at + pto <= now) {
                    self.send(flow);
                }
                self.fill(flow);
            }
        }
    }

    fn acknowledge(&mut self, flow: usize) {
        let (now, one_way) = (self.now, self.one_way);
        let f = &mut self.flows[flow];
        if f.acks.due(now) {
            let largest = f.acks.largest().unwrap();
            let ranges = f.acks.ranges().collect();
            let delay = now.since(f.largest_at);
            f.acks.write(now, &mut Vec::new());
            self.at(now + one_way, Event::AckArrives { flow, largest, ranges, delay });
        }
    }

    fn settle(&mut self, flow: usize, out: &Outcome) {
        let f = &mut self.flows[flow];
        if let Some(sent_at) = out.largest_acked_sent_at {
            f.controller.on_ack(&Acked {
                now: self.now,
                bytes: out.acked_bytes,
                sent_at,
                app_limited: false,
                in_flight: f.sent.in_flight().0,
                rate: out.rate,
                rtt: &f.rtt,
            });
        }
        if let Some(sent_at) = out.largest_lost_sent_at {
            f.lost += out.lost_bytes;
            f.controller.on_congestion(&Lost {
                now: self.now,
                bytes: out.lost_bytes,
                sent_at,
                in_flight: out.largest_lost_in_flight,
                marked: false,
                persistent: out.persistent,
            });
        }
        self.fill(flow);
    }

    fn fill(&mut self, flow: usize) {
        loop {
            let f = &mut self.flows[flow];
            if f.sent.in_flight().0 + u64::from(MTU) > f.controller.window() {
                break;
            }
            let (srtt, window) = (f.rtt.srtt(), f.controller.window());
            let size = u64::from(MTU);
            let wait = match f.controller.pacing_rate() {
                Some(rate) => f.pacer.delay_at(self.now, srtt, rate, MTU, size),
                None => f.pacer.delay(self.now, srtt, window, MTU, size),
            };
            if let Some(at) = wait {
                self.wake(flow, at);
                break;
            }
            self.send(flow);
        }
        let f = &self.flows[flow];
        let pto = f.sent.pto_base().map(|at| at + f.rtt.pto(MAX_ACK_DELAY));
        if let Some(at) = f.sent.loss_deadline().or(pto) {
            self.wake(flow, at.max(self.now));
        }
    }

    fn wake(&mut self, flow: usize, at: Time) {
        if at < self.flows[flow].wakes_at {
            self.flows[flow].wakes_at = at;
            self.at(at, Event::Wake { flow });
        }
    }

    fn send(&mut self, flow: usize) {
        let (now, size) = (self.now, u64::from(MTU));
        let f = &mut self.flows[flow];
        let pn = f.next_pn;
        f.next_pn += 1;
        f.sent.on_sent(now, pn, u32::from(MTU), true);
        f.pacer.on_sent(size);
        if self.rng.unit() < self.loss {
            return;
        }
        let start = self.busy_until.max(now);
        let backlog = start.since(now).as_nanos() as u64 * self.bytes_per_s / 1_000_000_000;
        if backlog + size > self.queue {
            return;
        }
        self.busy_until = start + Duration::from_nanos(size * 1_000_000_000 / self.bytes_per_s);
        self.at(self.busy_until + self.one_way, Event::Arrives { flow, pn });
    }

    /// Bytes that each flow brought over between `from` and `to` seconds.
    fn measure(&mut self, from: u64, to: u64) -> Vec<u64> {
        self.run_until(Time(from * 1_000_000_000));
        let before: Vec<u64> = self.flows.iter().map(|f| f.arrived).collect();
        self.run_until(Time(to * 1_000_000_000));
        self.flows.iter().zip(before).map(|(f, b)| f.arrived - b).collect()
    }
}

#[test]
fn one_flow_fills_a_link_of_100_mbit_and_20_ms() {
    let mut link = Link::new(100, Duration::from_millis(20), &[Time::ZERO]);
    let got = link.measure(0, 10)[0];
    assert!(got >= 100_000_000, "{got} of 125,000,000 bytes");
    let lost = link.flows[0].lost;
    assert!(lost * 20 < got, "{lost} bytes lost for {got} that arrived");
}

#[test]
fn one_flow_fills_links_of_other_lengths() {
    for (ms, seconds) in [(1, 5), (5, 5), (100, 30), (600, 60)] {
        let mut link = Link::new(20, Duration::from_millis(ms), &[Time::ZERO]);
        let got = link.measure(0, seconds)[0];
        let most = 2_500_000 * seconds;
        assert!(got * 10 >= most * 7, "{ms} ms: {got} of {most} bytes");
    }
}

#[test]
fn two_flows_share_a_link() {
    let starts = [Time::ZERO, Time(1_000_000_000)];
    let mut link = Link::new(100, Duration::from_millis(20), &starts);
    let got = link.measure(10, 30);
    let (less, more) = (got[0].min(got[1]), got[0].max(got[1]));
    assert!(more <= less * 2, "{got:?}");
    assert!(less + more >= 200_000_000, "{got:?} of 250,000,000 bytes");
}

#[test] // S-25
fn the_model_fills_links_of_any_length() {
    for (mbit, ms, seconds) in [(100, 20, 10), (20, 1, 5), (20, 5, 5), (20, 100, 20), (20, 600, 60)]
    {
        let mut link = Link::modelled(mbit, Duration::from_millis(ms), &[Time::ZERO]);
        let got = link.measure(0, seconds)[0];
        let most = mbit * 125_000 * seconds;
        assert!(got * 10 >= most * 8, "{mbit} Mbit/s, {ms} ms: {got} of {most} bytes");
        let lost = link.flows[0].lost;
        assert!(
            lost * 20 < got,
            "{mbit} Mbit/s, {ms} ms: {lost} bytes lost for {got} that arrived"
        );
    }
}

#[test] // S-25
fn chance_losses_starve_cubic_and_not_the_model() {
    for (percent, least) in [(1, 90), (5, 80)] {
        for ms in [20, 100] {
            let rtt = Duration::from_millis(ms);
            let mut link = Link::modelled(100, rtt, &[Time::ZERO]);
            link.loss = percent as f64 / 100.0;
            let got = link.measure(5, 15)[0];
            assert!(got >= least * 1_250_000, "{percent} %, {ms} ms: {got} of 125,000,000 bytes");
        }
    }
    let mut link = Link::new(100, Duration::from_millis(20), &[Time::ZERO]);
    link.loss = 0.05;
    let got = link.measure(5, 15)[0];
    assert!(got < 12_500_000, "the loss is there: CUBIC brings over {got} of 125,000,000 bytes");
}

#[test] // S-25
fn two_modelled_flows_share_a_link() {
    for second in [0, 1_000_000_000] {
        let mut link = Link::modelled(100, Duration::from_millis(20), &[Time::ZERO, Time(second)]);
        let got = link.measure(10, 30);
        let (less, more) = (got[0].min(got[1]), got[0].max(got[1]));
        assert!(more <= less * 2, "{got:?}");
        assert!(less + more >= 200_000_000, "{got:?} of 250,000,000 bytes");
    }
}

#[test] // S-25
fn a_small_buffer_is_not_overrun_by_the_model() {
    let rtt = Duration::from_millis(20);
    let mut link = Link::modelled(100, rtt, &[Time::ZERO, Time::ZERO]);
    link.queue = 25_000; // a tenth of the path
    let got: u64 = link.measure(5, 15).iter().sum();
    assert!(got >= 100_000_000, "{got} of 125,000,000 bytes");
    let lost: u64 = link.flows.iter().map(|flow| flow.lost).sum();
    assert!(lost * 10 < got, "{lost} bytes lost for {got} that arrived");
}
