//! Very many messages from one writer to its readers through a bad link, counted to the last one.

use crate::links::LinkModel;
use crate::net::{Net, ms};
use crate::scenarios::lanes::on_lane;
use motet_proto::node::PublishError;
use motet_proto::{LanePolicy, PubQos, SlowPolicy, SubQos, Time};
use std::time::Duration;

/// What to send through what.
#[derive(Clone, Copy, Debug)]
pub struct Bulk {
    /// Messages.
    pub messages: u64,
    /// Their size in bytes; at least 8.
    pub size: usize,
    /// Bytes of the writer's log; full, it refuses (policy block).
    pub log_bytes: usize,
    /// Parts of datagrams lost, late, doubled and damaged, 0 to 1.
    pub loss: f64,
    /// See `loss`.
    pub reorder: f64,
    /// See `loss`.
    pub duplicate: f64,
    /// See `loss`.
    pub corrupt: f64,
    /// The seed of the network.
    pub seed: u64,
    /// Readers; each loses on its own.
    pub readers: usize,
    /// They are on a lane.
    pub lane: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Messages accepted.
    pub published: u64,
    /// Messages delivered, each once, in order, as published.
    pub delivered: u64,
    /// Messages reported missing.
    pub missed: u64,
    /// What did not hold.
    pub violations: Vec<String>,
    /// Times that the log was full.
    pub full: u64,
    /// Datagrams sent, and lost on the way.
    pub datagrams: (u64, u64),
    /// Bytes sent.
    pub bytes: u64,
    /// Repairs sent.
    pub repairs: u64,
    /// NAK frames sent.
    pub naks: u64,
    /// Datagrams sent by the lane, and messages or pieces sent again by it.
    pub lane_packets: u64,
    /// See `lane_packets`.
    pub lane_repairs: u64,
    /// Readers on the lane at the end.
    pub laned: usize,
    /// Virtual time.
    pub time: Time,
}

/// Gives up when nothing was delivered for so long.
const STALLED: Duration = Duration::from_secs(60);

/// Sends them all, or stops where nothing moves any more.
pub fn run(bulk: Bulk) -> Report {
    let Bulk { loss, reorder, duplicate, corrupt, .. } = bulk;
    let link = LinkModel { loss, reorder, duplicate, corrupt, ..LinkModel::default() };
    let mut net = Net::seeded(bulk.seed).links(link);
    (net.strict, net.keep, net.check_every) = (false, false, 4_096);
    let writer = net.endpoint("writer");
    let names = (0..bulk.readers.max(1)).map(|n| format!("reader{n}"));
    let readers: Vec<_> = names.map(|name| net.endpoint(&name)).collect();
    for reader in &readers {
        net.subscribe_with(*reader, &["bulk"], SubQos::default());
    }
    let qos = PubQos {
        slow: SlowPolicy::Block,
        log_bytes: bulk.log_bytes,
        history: 0,
        lane: if bulk.lane { LanePolicy::Always } else { LanePolicy::Never },
        ..PubQos::default()
    };
    let to = net.advertise_with(writer, "bulk", qos);
    let all = readers.len();
    let joined = |net: &mut Net| net.events(writer).filter(|event| is_joined(event)).count();
    net.run_until(|net| joined(net) >= all, Duration::from_secs(30));
    if bulk.lane {
        net.run_until(|net| on_lane(net, writer) >= all, Duration::from_secs(30));
    }
    let wanted = bulk.messages * all as u64;

    let mut payload = vec![0; bulk.size.max(8)];
    let (mut sent, mut full) = (0, 0);
    let mut last = (0, net.world.now);
    while net.oracle.delivered + net.oracle.missed < wanted {
        while sent < bulk.messages {
            payload[..8].copy_from_slice(&sent.to_le_bytes());
            match net.try_publish(to, &payload) {
                Ok(_) => sent += 1,
                Err(PublishError::Full) => {
                    full += 1;
                    break;
                }
                Err(_) => break,
            }
        }
        net.run_for(if sent == bulk.messages { ms(10) } else { ms(1) });
        if net.oracle.delivered > last.0 {
            last = (net.oracle.delivered, net.world.now);
        } else if net.world.now.since(last.1) > STALLED || !net.oracle.violations.is_empty() {
            break;
        }
    }
    net.run_for(ms(1_000));
    net.demand();
    let laned = on_lane(&mut net, writer);
    let sending = net.counters(writer);
    let naks = readers.iter().map(|ep| net.counters(*ep).naks_sent).sum();
    Report {
        published: net.oracle.published,
        delivered: net.oracle.delivered,
        missed: net.oracle.missed,
        violations: net.oracle.violations.iter().map(ToString::to_string).collect(),
        full,
        datagrams: (net.world.traffic.packets, net.world.traffic.lost),
        bytes: net.world.traffic.bytes,
        repairs: sending.repairs_sent,
        naks,
        lane_packets: net.world.traffic.lane_packets,
        lane_repairs: sending.lane_repairs_sent,
        laned,
        time: net.world.now,
    }
}

fn is_joined(event: &motet_proto::Event) -> bool {
    matches!(event, motet_proto::Event::ReaderJoined { .. })
}
