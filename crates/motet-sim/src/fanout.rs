//! What it costs a writer to reach many readers: datagrams per message, by sessions and by a lane.

use crate::links::LinkModel;
use crate::net::ms;
use crate::scenarios::lanes::Group;
use motet_proto::{LanePolicy, PubQos, SlowPolicy};
use std::time::Duration;

/// Messages that are counted.
const MESSAGES: u64 = 5_000;
/// Their size.
const SIZE: usize = 1_024;

/// What one message of 1 KiB costs its writer.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Readers.
    pub readers: usize,
    /// Datagrams that the writer sends.
    pub sent: f64,
    /// Of these, by the lane.
    pub laned: f64,
    /// Datagrams that it receives.
    pub received: f64,
    /// Bytes that it sends.
    pub bytes: f64,
}

/// Publishes to so many readers, ten messages each millisecond.
pub fn cost(readers: usize, lane: bool) -> Cost {
    let policy = if lane { LanePolicy::Always } else { LanePolicy::Never };
    let qos = PubQos { lane: policy, slow: SlowPolicy::Block, history: 0, ..PubQos::default() };
    let mut group = Group::star(1, readers, LinkModel::default(), qos);
    if lane {
        group.await_lane(readers, 20);
    }
    group.net.run_for(Duration::from_secs(2));
    let before = group.net.counters(group.writer);
    let laned = group.net.world.traffic.lane_packets;
    for _ in 0..MESSAGES {
        group.net.publish(group.topic, [7; SIZE]);
        group.net.run_for(Duration::from_micros(100));
    }
    group.net.run_for(ms(200));
    let after = group.net.counters(group.writer);
    assert!(group.got().iter().all(|got| *got == MESSAGES as usize), "{:?}", group.got());
    let each = |before: u64, after: u64| (after - before) as f64 / MESSAGES as f64;
    Cost {
        readers,
        sent: each(before.datagrams_sent, after.datagrams_sent),
        laned: each(laned, group.net.world.traffic.lane_packets),
        received: each(before.datagrams_received, after.datagrams_received),
        bytes: each(before.bytes_sent, after.bytes_sent),
    }
}
