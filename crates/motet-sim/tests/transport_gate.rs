//! What the transport reaches over paths of 1 Gbit/s with chance losses, as absolute figures. The
//! comparison with another transport over the same links is in `bench/gate`.

use motet_proto::node::{Message, PublishError};
use motet_proto::{Congestion, Delivery, Event, Node, PubId, PubQos, SlowPolicy, SubId, SubQos};
use motet_sim::net::config;
use motet_sim::null::NullCrypto;
use motet_sim::world::Step;
use motet_sim::{LinkModel, World};
use std::time::Duration;

/// Bytes of a message.
const SIZE: usize = 1_024;
/// Bytes per second of the path: 1 Gbit/s.
const RATE: u64 = 125_000_000;

struct Flow {
    writer: usize,
    reader: usize,
    publication: PubId,
    subscription: SubId,
    sent: u64,
    read: u64,
}

fn node(world: &mut World, slot: usize) -> &mut Node<NullCrypto> {
    world.node(slot).expect("it runs")
}

impl Flow {
    fn begin(world: &mut World, hosts: [usize; 2], n: usize, with: Congestion) -> Self {
        let [writer, reader] = [0, 1].map(|side| {
            let mut cfg = config(&format!("{}{n}", ["writer", "reader"][side]));
            cfg.host_id[0] = side as u8 + 1;
            cfg.session_credit = (16 << 20, 16_384);
            cfg.congestion = with;
            let slot = world.add_slot(hosts[side], cfg);
            world.start(slot, false);
            slot
        });
        let (now, topic, bytes) = (world.now, format!("flow/{n}"), 64 << 20);
        let qos =
            PubQos { slow: SlowPolicy::Block, log_bytes: bytes, history: 0, ..PubQos::default() };
        let publication = node(world, writer).advertise(now, &topic, qos).expect("a good name");
        let qos = SubQos { queue_bytes: bytes, ..SubQos::default() };
        let subscription =
            node(world, reader).subscribe(now, &[&topic], qos).expect("a good filter");
        [writer, reader].into_iter().for_each(|slot| world.flush(slot));
        Self { writer, reader, publication, subscription, sent: 0, read: 0 }
    }

    fn publish(&mut self, world: &mut World) {
        let now = world.now;
        let mut payload = [0; SIZE];
        loop {
            payload[..8].copy_from_slice(&self.sent.to_le_bytes());
            let message = Message::from(&payload[..]);
            match node(world, self.writer).publish(now, self.publication, message) {
                Ok(_) => self.sent += 1,
                Err(PublishError::Full) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn take(&mut self, world: &mut World) {
        let now = world.now;
        while let Some(delivery) = node(world, self.reader).read(now, self.subscription) {
            let Delivery::Message(message) = delivery else { panic!("{delivery:?}") };
            let number = message.payload().first_chunk().map(|it| u64::from_le_bytes(*it));
            assert_eq!(number, Some(self.read), "in order, each once");
            self.read += 1;
        }
    }
}

/// Bytes per second that each of `flows` brings over in `ms` of virtual time, after as much again.
fn goodput(with: Congestion, percent: f64, rtt: Duration, flows: usize, ms: u64) -> Vec<u64> {
    let bdp = (RATE as f64 * rtt.as_secs_f64()) as u64;
    let clean = LinkModel {
        latency: rtt / 2,
        jitter: Duration::ZERO,
        rate: Some(RATE),
        queue: bdp.max(1 << 20),
        ..LinkModel::default()
    };
    let mut world = World::new(1);
    world.set_links(&clean);
    let hosts = [world.add_host(&[0]), world.add_host(&[0])];
    let mut all: Vec<Flow> = (0..flows).map(|n| Flow::begin(&mut world, hosts, n, with)).collect();
    let met = |world: &mut World, flow: &Flow| {
        world.node(flow.writer).is_some_and(|node| node.readers(flow.publication) > 0)
    };
    let limit = world.now + Duration::from_secs(30);
    while !all.iter().all(|flow| met(&mut world, flow)) {
        assert_ne!(world.step(limit), Step::Idle, "they meet");
    }
    world.set_links(&clean.losing(percent / 100.0));
    for flow in &mut all {
        flow.publish(&mut world);
        world.flush(flow.writer);
    }
    let half = Duration::from_millis(ms);
    let mut before = Vec::new();
    for _ in 0..2 {
        before = all.iter().map(|flow| flow.read).collect();
        let until = world.now + half;
        while let Step::Happened(touched) = world.step(until) {
            let ours = |flow: &&mut Flow| [flow.writer, flow.reader].map(Some).contains(&touched);
            let (Some(flow), Some(slot)) = (all.iter_mut().find(ours), touched) else { continue };
            while let Some(event) = world.node(slot).and_then(|node| node.poll_event()) {
                match event {
                    Event::Readable(_) => flow.take(&mut world),
                    Event::Writable(_) => flow.publish(&mut world),
                    _ => {}
                }
            }
            world.flush(slot);
        }
    }
    let bytes = |(flow, before): (&Flow, u64)| (flow.read - before) * SIZE as u64 * 1_000 / ms;
    all.iter().zip(before).map(bytes).collect()
}

const NEAR: Duration = Duration::from_micros(200);
const FAR: Duration = Duration::from_millis(20);

#[test] // S-23
fn a_near_path_is_full_whatever_is_lost_and_whoever_decides() {
    for with in [Congestion::Cubic, Congestion::Model] {
        for (percent, least) in [(0.0, 105_000_000), (5.0, 95_000_000)] {
            let got = goodput(with, percent, NEAR, 1, 150)[0];
            assert!(got >= least, "{with:?}, {percent} %: {got} of {RATE} B/s");
        }
    }
}

#[test] // S-25
fn the_model_keeps_a_far_path_full_at_5_percent_of_loss() {
    let got = goodput(Congestion::Model, 5.0, FAR, 1, 1_000)[0];
    assert!(got >= 95_000_000, "{got} of {RATE} B/s");
}

#[test] // S-19, T-31
fn cubic_fills_a_far_path_without_loss_and_starves_with_it() {
    let got = goodput(Congestion::Cubic, 0.0, FAR, 1, 1_000)[0];
    assert!(got >= 95_000_000, "{got} of {RATE} B/s");
    let got = goodput(Congestion::Cubic, 1.0, FAR, 1, 5_000)[0];
    assert!((600_000..3_000_000).contains(&got), "{got} B/s, about 1.22/√p packets a round trip");
}

#[test] // S-25
fn two_flows_of_one_controller_share_a_path() {
    for with in [Congestion::Cubic, Congestion::Model] {
        for (percent, rtt, ms) in [(0.0, FAR, 2_000), (1.0, NEAR, 1_000)] {
            let got = goodput(with, percent, rtt, 2, ms);
            let (less, more) = (got[0].min(got[1]), got[0].max(got[1]));
            assert!(more <= less * 2, "{with:?}, {percent} %, {rtt:?}: {got:?} B/s");
            assert!(less + more >= 95_000_000, "{with:?}, {percent} %, {rtt:?}: {got:?} B/s");
        }
    }
}
