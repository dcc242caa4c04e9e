//! motet over the cell's path: writers on one host, their readers on another.

use crate::cell::{Cell, Controller, Run};
use motet_proto::node::{Message, PublishError};
use motet_proto::{Congestion, Delivery, Event, PubId, PubQos, SlowPolicy, SubId, SubQos};
use motet_sim::World;
use motet_sim::net::config;
use motet_sim::world::Step;
use std::time::Duration;

struct Flow {
    writer: usize,
    reader: usize,
    publication: PubId,
    subscription: SubId,
    sent: u64,
    next: u64,
    delivered: u64,
}

/// Sends messages of `size` bytes as fast as they are taken, for `time`, over `flows` sessions.
pub fn run(
    cell: &Cell,
    with: Controller,
    flows: usize,
    size: usize,
    time: Duration,
    seed: u64,
) -> Run {
    let mut world = World::new(seed);
    world.set_links(&cell.link().losing(0.0));
    let hosts = [world.add_host(&[0]), world.add_host(&[0])];
    let mut all: Vec<Flow> = (0..flows).map(|n| begin(&mut world, cell, with, hosts, n)).collect();
    let met = |world: &mut World, flow: &Flow| {
        world.node(flow.writer).is_some_and(|node| node.readers(flow.publication) > 0)
    };
    let limit = world.now + Duration::from_secs(60);
    while !all.iter().all(|flow| met(&mut world, flow)) {
        assert!(world.step(limit) != Step::Idle, "the endpoints meet");
        (0..world.slots.len()).for_each(|slot| {
            while world.node(slot).and_then(|node| node.poll_event()).is_some() {}
        });
    }
    world.set_links(&cell.link());
    world.traffic = Default::default();
    let (start, until) = (world.now, world.now + time);
    let mut payload = vec![0; size];
    for flow in &mut all {
        publish(&mut world, flow, &mut payload);
        world.flush(flow.writer);
    }
    while let Step::Happened(touched) = world.step(until) {
        let Some(slot) = touched else { continue };
        let Some(flow) = all.iter_mut().find(|flow| flow.writer == slot || flow.reader == slot)
        else {
            continue;
        };
        while let Some(event) = world.node(slot).and_then(|node| node.poll_event()) {
            match event {
                Event::Readable(_) => read(&mut world, flow),
                Event::Writable(_) => publish(&mut world, flow, &mut payload),
                _ => {}
            }
        }
        world.flush(slot);
    }
    Run {
        delivered: all.iter().map(|flow| flow.delivered).collect(),
        seconds: world.now.since(start).as_secs_f64(),
        datagrams: (world.traffic.packets, world.traffic.lost),
    }
}

fn begin(world: &mut World, cell: &Cell, with: Controller, hosts: [usize; 2], n: usize) -> Flow {
    let window = cell.window() as usize;
    let [writer, reader] = [0, 1].map(|side| {
        let mut cfg = config(&format!("{}{n}", ["writer", "reader"][side]));
        cfg.host_id[0] = side as u8 + 1;
        cfg.session_credit = cell.credit();
        cfg.greet_loopback = false;
        cfg.congestion = match with {
            Controller::Cubic => Congestion::Cubic,
            Controller::Model => Congestion::Model,
        };
        cfg.reassembly_bytes = 4 * window;
        let slot = world.add_slot(hosts[side], cfg);
        world.start(slot, false);
        slot
    });
    let now = world.now;
    let topic = format!("flow/{n}");
    let qos =
        PubQos { slow: SlowPolicy::Block, log_bytes: window, history: 0, ..PubQos::default() };
    let publication =
        world.node(writer).expect("it runs").advertise(now, &topic, qos).expect("a good name");
    let qos = SubQos { queue_bytes: window, ..SubQos::default() };
    let subscription =
        world.node(reader).expect("it runs").subscribe(now, &[&topic], qos).expect("a good filter");
    [writer, reader].into_iter().for_each(|slot| world.flush(slot));
    Flow { writer, reader, publication, subscription, sent: 0, next: 0, delivered: 0 }
}

fn publish(world: &mut World, flow: &mut Flow, payload: &mut [u8]) {
    let now = world.now;
    let Some(node) = world.node(flow.writer) else { return };
    loop {
        payload[..8].copy_from_slice(&flow.sent.to_le_bytes());
        match node.publish(now, flow.publication, Message { payload, ..Message::default() }) {
            Ok(_) => flow.sent += 1,
            Err(PublishError::Full) => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn read(world: &mut World, flow: &mut Flow) {
    let now = world.now;
    let Some(node) = world.node(flow.reader) else { return };
    while let Some(delivery) = node.read(now, flow.subscription) {
        let Delivery::Message(message) = delivery else {
            panic!("nothing may be missed: {delivery:?}")
        };
        let number = message.payload().first_chunk().map(|number| u64::from_le_bytes(*number));
        assert_eq!(number, Some(flow.next), "in order, each once");
        flow.next += 1;
        flow.delivered += message.payload().len() as u64;
    }
}
