//! A cell of the table: one path, and what both sides get to fill it with.

use motet_sim::LinkModel;
use std::time::Duration;

/// Bytes per second of the bottleneck: 1 Gbit/s.
pub const RATE: u64 = 125_000_000;
/// Largest IP packet.
const MTU: usize = 1_500;
/// The queue in front of the bottleneck is at least so large.
const QUEUE_MIN: u64 = 1 << 20;
/// A reader's buffers are at least so large: the default credit of an endpoint.
const CREDIT_MIN: (u64, u64) = (2 << 20, 1_024);
/// Round trips that the windows of streams cover beside the one under way: at 5 % loss one packet in
/// 160,000 is lost four times over.
const ROUNDS: u64 = 16;

/// What is the same for both.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Part of datagrams lost, each way.
    pub loss: f64,
    /// Round trip without queues.
    pub rtt: Duration,
}

impl Cell {
    /// Loss in percent and round trip in ms.
    pub fn new(percent: f64, ms: f64) -> Self {
        Self { loss: percent / 100.0, rtt: Duration::from_secs_f64(ms / 1_000.0) }
    }

    /// Bytes that fill the path.
    pub fn bdp(&self) -> u64 {
        (RATE as f64 * self.rtt.as_secs_f64()) as u64
    }

    /// Bytes that wait in front of the bottleneck at most: one bandwidth-delay product, 1 MiB at
    /// least.
    pub fn queue(&self) -> u64 {
        self.bdp().max(QUEUE_MIN)
    }

    /// Bytes and packets that a receiver takes in flight: four times the path.
    pub fn credit(&self) -> (u64, u64) {
        let bytes = (4 * self.bdp()).max(CREDIT_MIN.0);
        (bytes, (bytes / 1_200).max(CREDIT_MIN.1))
    }

    /// Bytes of stream windows, logs, queues and reassembly.
    pub fn window(&self) -> u64 {
        (ROUNDS * self.bdp()).max(8 << 20)
    }

    /// One way. The same both ways: acknowledgements are lost as well.
    pub fn link(&self) -> LinkModel {
        LinkModel {
            latency: self.rtt / 2,
            jitter: Duration::ZERO,
            rate: Some(RATE),
            queue: self.queue(),
            mtu: MTU,
            loss: self.loss,
            ..LinkModel::default()
        }
    }
}

/// Which congestion controller; each side has its own filling.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Controller {
    /// CUBIC on both sides.
    Cubic,
    /// Model-based: motet's `model`, quinn-proto's BBR.
    Model,
}

/// What one run came to.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Payload bytes that reached the application, by flow.
    pub delivered: Vec<u64>,
    /// Virtual seconds.
    pub seconds: f64,
    /// Datagrams sent by all, and lost on the way (queue and chance).
    pub datagrams: (u64, u64),
}

impl Run {
    /// Bytes per second of all flows together.
    pub fn goodput(&self) -> f64 {
        self.delivered.iter().sum::<u64>() as f64 / self.seconds
    }
}
