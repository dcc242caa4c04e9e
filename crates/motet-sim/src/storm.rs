//! Very many whole endpoints in a storm: loss, delay, a split, crashes and returns; all of it from one
//! seed, so that two runs can be compared to the byte.

use crate::links::LinkModel;
use crate::net::{Ep, Net, config, ms};

/// What a storm left behind. Two runs of one seed are equal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Storm {
    /// Of everything that happened, in order.
    pub trace: u64,
    /// Datagrams, each receiver of a multicast counting.
    pub packets: u64,
    /// Of these, lost.
    pub lost: u64,
    /// Messages that readers got.
    pub delivered: u64,
    /// Endpoints that crashed; every second one came back.
    pub crashes: usize,
}

/// `nodes` endpoints start within a second; every tenth reads what the first three publish. For
/// 300 ms a third of them is cut off, while some crash.
pub fn storm(nodes: usize, loss: f64, seed: u64) -> Storm {
    let link = LinkModel { loss, latency: ms(2), jitter: ms(1), ..LinkModel::default() };
    let mut net = Net::seeded(seed).links(link);
    (net.strict, net.keep, net.check_every) = (false, false, 0);
    let mut eps = Vec::new();
    for n in 0..nodes {
        let host = net.world.add_host(&[0]);
        let ep = net.place(host, config(&format!("e{n}")));
        net.start(ep, false);
        eps.push(ep);
        if n % 10 == 9 {
            net.subscribe(ep, "words");
            net.run_for(ms(1_000) / (nodes / 10).max(1) as u32);
        }
    }
    let topics: Vec<_> = eps.iter().take(3).map(|ep| net.advertise(*ep, "words")).collect();
    let say = |net: &mut Net| {
        for topic in &topics {
            net.publish(*topic, "hello");
        }
    };
    net.run_for(ms(500));
    say(&mut net);
    let cut = nodes / 3;
    let crashing: Vec<Ep> = eps.iter().skip(5).step_by(nodes.div_ceil(20)).copied().collect();
    let (apart, rest) = eps.split_at(cut);
    for (a, b) in apart.iter().flat_map(|a| rest.iter().map(move |b| (*a, *b))) {
        net.world.block(a.0, b.0);
        net.world.block(b.0, a.0);
    }
    for ep in &crashing {
        net.kill(*ep);
        net.run_for(ms(300) / crashing.len() as u32);
    }
    net.heal();
    for ep in crashing.iter().step_by(2) {
        net.restart(*ep, true);
    }
    say(&mut net);
    net.run_for(ms(700));
    Storm {
        trace: net.world.trace.hash(),
        packets: net.world.traffic.packets,
        lost: net.world.traffic.lost,
        delivered: net.oracle.delivered,
        crashes: crashing.len(),
    }
}
