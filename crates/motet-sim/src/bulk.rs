//! Very many messages from one writer to one reader through a bad link, counted to the last one.

use crate::links::LinkModel;
use crate::net::{Net, ms};
use motet_proto::node::PublishError;
use motet_proto::{PubQos, SlowPolicy, SubQos, Time};
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
    let [writer, reader] = [net.endpoint("writer"), net.endpoint("reader")];
    net.subscribe_with(reader, &["bulk"], SubQos::default());
    let qos = PubQos {
        slow: SlowPolicy::Block,
        log_bytes: bulk.log_bytes,
        history: 0,
        ..PubQos::default()
    };
    let to = net.advertise_with(writer, "bulk", qos);
    net.run_until(|net| net.said(writer, is_joined).is_some(), Duration::from_secs(30));

    let mut payload = vec![0; bulk.size.max(8)];
    let (mut sent, mut full) = (0, 0);
    let mut last = (0, net.world.now);
    while net.oracle.delivered + net.oracle.missed < bulk.messages {
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
    let (sending, reading) = (net.counters(writer), net.counters(reader));
    Report {
        published: net.oracle.published,
        delivered: net.oracle.delivered,
        missed: net.oracle.missed,
        violations: net.oracle.violations.iter().map(ToString::to_string).collect(),
        full,
        datagrams: (net.world.traffic.packets, net.world.traffic.lost),
        bytes: net.world.traffic.bytes,
        repairs: sending.repairs_sent,
        naks: reading.naks_sent,
        time: net.world.now,
    }
}

fn is_joined(event: &motet_proto::Event) -> bool {
    matches!(event, motet_proto::Event::ReaderJoined { .. })
}
