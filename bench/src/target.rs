//! What motet is to reach, as ratios within one run.

use crate::case::{Case, Metric};

/// What motet's figure is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Against {
    /// The best of these rows.
    Best(&'static [&'static str]),
    /// A figure, in the metric's unit.
    Figure(f64),
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) case: Case,
    pub(crate) metric: Metric,
    pub(crate) against: Against,
    /// motet ÷ reference: at least (or, where less is better, at most) this. None: only shown.
    pub(crate) factor: Option<f64>,
    /// Hoped for.
    pub(crate) aim: Option<f64>,
}

const NETWORK: Against = Against::Best(&["zenoh", "zmq-tcp", "nats"]);
const NATS: Against = Against::Best(&["nats"]);
const ZMQ: Against = Against::Best(&["zmq-tcp"]);
const FAN: Against = Against::Best(&["zenoh", "zmq-tcp", "zmq-ipc", "nats"]);

const fn best(row: &'static [&'static str]) -> Against {
    Against::Best(row)
}

const fn target(
    case: Case,
    metric: Metric,
    against: Against,
    factor: Option<f64>,
    aim: Option<f64>,
) -> Target {
    Target { case, metric, against, factor, aim }
}

/// All, in the order of the table.
pub(crate) const TARGETS: &[Target] = &[
    target(Case::Bytes8, Metric::Rate, NETWORK, None, None),
    target(Case::Bytes64, Metric::Rate, NETWORK, Some(1.5), None),
    target(Case::Bytes64, Metric::Rate, best(&["aeron-udp"]), None, Some(1.3)),
    target(Case::Bytes64, Metric::Rate, best(&["encrypted"]), None, None),
    target(Case::Bytes64, Metric::Rate, best(&["udp-gso"]), None, None),
    target(Case::Bytes64, Metric::PublisherCpu, Against::Figure(200.0), Some(1.0), None),
    target(Case::Bytes64, Metric::ReaderCpu, Against::Figure(200.0), Some(1.0), None),
    target(Case::Kib1, Metric::Rate, NETWORK, Some(1.5), Some(2.0)),
    target(Case::Kib1, Metric::Rate, best(&["encrypted"]), Some(0.7), None),
    target(Case::Kib16, Metric::Rate, NETWORK, None, None),
    target(Case::Kib64, Metric::Rate, NETWORK, Some(1.2), Some(2.0)),
    target(Case::Kib64, Metric::Rate, best(&["encrypted"]), Some(0.7), None),
    target(Case::Mib1, Metric::Rate, NETWORK, Some(1.0), Some(1.3)),
    target(Case::Mib1, Metric::Rate, best(&["encrypted"]), Some(0.7), None),
    target(Case::Rtt, Metric::P50, best(&["tokio-udp"]), Some(1.1), None),
    target(Case::Rtt, Metric::P50, best(&["zmq-tcp"]), Some(1.0), None),
    target(Case::Rtt, Metric::P99, best(&["zmq-tcp"]), Some(1.0), None),
    target(Case::Rtt, Metric::P50, best(&["nats"]), None, Some(1.0)),
    target(Case::Spin, Metric::P50, best(&["udp-spin"]), Some(2.5), None),
    target(Case::Spin, Metric::P50, best(&["aeron-udp"]), None, Some(1.0)),
    target(Case::Fan64, Metric::Rate, FAN, Some(1.5), None),
    target(Case::Fan1k, Metric::Rate, FAN, Some(1.5), None),
    target(Case::Net0, Metric::Rate, best(&["zenoh"]), Some(1.0), Some(1.5)),
    target(Case::Net1, Metric::Rate, best(&["zenoh"]), Some(2.0), Some(3.0)),
    target(Case::Net5, Metric::Rate, best(&["zenoh"]), Some(2.0), Some(3.0)),
    target(Case::First, Metric::P50, best(&["zenoh"]), Some(1.0), None),
    target(Case::First, Metric::P50, best(&["cyclone"]), None, Some(1.0)),
    target(Case::First, Metric::P95, Against::Figure(50_000.0), Some(1.0), None),
    target(Case::Idle, Metric::Resident, Against::Figure(6.0), Some(1.0), None),
    target(Case::Idle, Metric::IdleCpu, Against::Figure(0.3), Some(1.0), None),
    target(Case::Topics, Metric::Rate, best(&["zenoh"]), None, None),
    target(Case::Memory, Metric::PerSubscription, best(&["zenoh"]), None, None),
    target(Case::Call1, Metric::P50, NATS, None, None),
    target(Case::Call1, Metric::P99, NATS, None, None),
    target(Case::Call1, Metric::P50, ZMQ, None, None),
    target(Case::Call1, Metric::P99, ZMQ, None, None),
    target(Case::Call4, Metric::P50, NATS, None, None),
    target(Case::Call4, Metric::P99, NATS, None, None),
    target(Case::Call4, Metric::P50, ZMQ, None, None),
    target(Case::Call4, Metric::P99, ZMQ, None, None),
    target(Case::Call1b, Metric::P50, NATS, None, None),
    target(Case::Call1b, Metric::P99, NATS, None, None),
    target(Case::Call1b, Metric::P50, ZMQ, None, None),
    target(Case::Call1b, Metric::P99, ZMQ, None, None),
    target(Case::Call4b, Metric::P50, NATS, None, None),
    target(Case::Call4b, Metric::P99, NATS, None, None),
    target(Case::Call4b, Metric::P50, ZMQ, None, None),
    target(Case::Call4b, Metric::P99, ZMQ, None, None),
    target(Case::Calls1, Metric::Rate, NATS, None, None),
    target(Case::Calls1, Metric::Rate, ZMQ, None, None),
    target(Case::Calls4, Metric::Rate, NATS, None, None),
    target(Case::Calls4, Metric::Rate, ZMQ, None, None),
    target(Case::Calls1b, Metric::Rate, NATS, None, None),
    target(Case::Calls1b, Metric::Rate, ZMQ, None, None),
    target(Case::Calls4b, Metric::Rate, NATS, None, None),
    target(Case::Calls4b, Metric::Rate, ZMQ, None, None),
];

impl Target {
    /// Reached, so far as it is wanted.
    pub(crate) fn met(&self, ratio: f64, wanted: Option<f64>) -> Option<bool> {
        let wanted = wanted?;
        Some(if self.metric.more_is_better() { ratio >= wanted } else { ratio <= wanted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Row;

    #[test]
    fn every_reference_is_a_row_that_does_the_case() {
        for target in TARGETS {
            if let Against::Best(rows) = target.against {
                for row in rows {
                    assert!(Row::named(row).unwrap().does(target.case), "{target:?}");
                }
            }
        }
    }

    #[test]
    fn where_less_is_better_the_factor_is_an_upper_bound() {
        let of = |metric| TARGETS.iter().find(|target| target.metric == metric).unwrap();
        assert_eq!(of(Metric::P50).met(1.05, Some(1.1)), Some(true));
        assert_eq!(of(Metric::P50).met(1.2, Some(1.1)), Some(false));
        assert_eq!(of(Metric::Rate).met(1.2, Some(1.5)), Some(false));
        assert_eq!(of(Metric::Rate).met(1.2, None), None);
    }
}
