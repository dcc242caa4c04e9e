//! What is measured.

use clap::ValueEnum;

/// One line of the table's left edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Case {
    /// Throughput, one publisher, one subscriber, 8 B
    #[value(name = "8b")]
    Bytes8,
    /// … 64 B
    #[value(name = "64b")]
    Bytes64,
    /// … 1 KiB
    #[value(name = "1kib")]
    Kib1,
    /// … 16 KiB
    #[value(name = "16kib")]
    Kib16,
    /// … 64 KiB
    #[value(name = "64kib")]
    Kib64,
    /// … 1 MiB
    #[value(name = "1mib")]
    Mib1,
    /// Round trip of 64 B
    Rtt,
    /// Round trip of 64 B, both sides spinning
    Spin,
    /// One publisher, eight subscribers, 64 B
    Fan64,
    /// One publisher, eight subscribers, 1 KiB
    Fan1k,
    /// Two namespaces, MTU 1500, 1 KiB, no drop
    Net0,
    /// … 1 % of the packets dropped each way
    Net1,
    /// … 5 % of the packets dropped each way
    Net5,
    /// Start of a process to its first message from a running publisher, by multicast
    First,
    /// Memory and CPU time of a connected process that does nothing
    Idle,
    /// Throughput of 64 B over 10,000 topics in turn
    Topics,
    /// Memory per subscription
    Memory,
    /// A call of 64 B at a time, one server, directly
    Call1,
    /// … four servers
    Call4,
    /// … one server behind a broker
    Call1b,
    /// … four servers behind a broker
    Call4b,
    /// Calls per second, 64 open at once, one server, directly
    Calls1,
    /// … four servers
    Calls4,
    /// … one server behind a broker
    Calls1b,
    /// … four servers behind a broker
    Calls4b,
}

/// Calls that are open at once where calls per second are measured.
const OPEN: usize = 64;

/// How a case is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Flow { size: usize, readers: usize, topics: usize, drop_percent: Option<u32> },
    Trips { spin: bool },
    First,
    Idle,
    Hoard,
    Calls { servers: usize, brokered: bool, open: usize },
}

impl Case {
    /// All, in the order of the table.
    pub(crate) fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// One of each kind, for `--quick`.
    pub(crate) fn quick() -> Vec<Self> {
        use Case::{
            Bytes64, Call1, Calls4b, Fan64, First, Idle, Kib1, Kib64, Mib1, Net0, Net5, Rtt, Spin,
        };
        vec![Bytes64, Kib1, Kib64, Mib1, Rtt, Spin, Fan64, Net0, Net5, First, Idle, Call1, Calls4b]
    }

    /// Its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The case of a name.
    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::all().iter().copied().find(|case| case.name() == name)
    }

    /// How it is measured.
    pub(crate) fn kind(self) -> Kind {
        let flow = |size| Kind::Flow { size, readers: 1, topics: 1, drop_percent: None };
        let fan = |size| Kind::Flow { size, readers: 8, topics: 1, drop_percent: None };
        let net = |drop| Kind::Flow { size: 1024, readers: 1, topics: 1, drop_percent: Some(drop) };
        let call = |servers, brokered| Kind::Calls { servers, brokered, open: 1 };
        let calls = |servers, brokered| Kind::Calls { servers, brokered, open: OPEN };
        match self {
            Self::Bytes8 => flow(8),
            Self::Bytes64 => flow(64),
            Self::Kib1 => flow(1 << 10),
            Self::Kib16 => flow(16 << 10),
            Self::Kib64 => flow(64 << 10),
            Self::Mib1 => flow(1 << 20),
            Self::Fan64 => fan(64),
            Self::Fan1k => fan(1 << 10),
            Self::Net0 => net(0),
            Self::Net1 => net(1),
            Self::Net5 => net(5),
            Self::Topics => Kind::Flow { size: 64, readers: 1, topics: 10_000, drop_percent: None },
            Self::Rtt => Kind::Trips { spin: false },
            Self::Spin => Kind::Trips { spin: true },
            Self::First => Kind::First,
            Self::Idle => Kind::Idle,
            Self::Memory => Kind::Hoard,
            Self::Call1 => call(1, false),
            Self::Call4 => call(4, false),
            Self::Call1b => call(1, true),
            Self::Call4b => call(4, true),
            Self::Calls1 => calls(1, false),
            Self::Calls4 => calls(4, false),
            Self::Calls1b => calls(1, true),
            Self::Calls4b => calls(4, true),
        }
    }

    /// Its name in tables and plots.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Bytes8 => "8 B, 1 → 1",
            Self::Bytes64 => "64 B, 1 → 1",
            Self::Kib1 => "1 KiB, 1 → 1",
            Self::Kib16 => "16 KiB, 1 → 1",
            Self::Kib64 => "64 KiB, 1 → 1",
            Self::Mib1 => "1 MiB, 1 → 1",
            Self::Rtt => "round trip 64 B",
            Self::Spin => "round trip 64 B, spinning",
            Self::Fan64 => "64 B, 1 → 8",
            Self::Fan1k => "1 KiB, 1 → 8",
            Self::Net0 => "1 KiB, MTU 1500, 0 % drop",
            Self::Net1 => "1 KiB, MTU 1500, 1 % drop",
            Self::Net5 => "1 KiB, MTU 1500, 5 % drop",
            Self::First => "start → first message",
            Self::Idle => "idle process",
            Self::Topics => "64 B, 10,000 topics",
            Self::Memory => "memory per subscription",
            Self::Call1 => "a call, 1 server",
            Self::Call4 => "a call, 4 servers",
            Self::Call1b => "a call, broker, 1 server",
            Self::Call4b => "a call, broker, 4 servers",
            Self::Calls1 => "64 calls open, 1 server",
            Self::Calls4 => "64 calls open, 4 servers",
            Self::Calls1b => "64 calls open, broker, 1 server",
            Self::Calls4b => "64 calls open, broker, 4 servers",
        }
    }

    /// The metric that says most about it.
    pub(crate) fn metric(self) -> Metric {
        match self.kind() {
            Kind::Flow { .. } | Kind::Calls { open: 2.., .. } => Metric::Rate,
            Kind::Trips { .. } | Kind::Calls { .. } => Metric::P50,
            Kind::First => Metric::P50,
            Kind::Idle => Metric::Resident,
            Kind::Hoard => Metric::PerSubscription,
        }
    }
}

/// One figure of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    /// Messages received per second, over all subscribers; calls answered per second.
    Rate,
    /// Messages published per second.
    Sent,
    /// Published and never received, in percent.
    Loss,
    /// CPU nanoseconds per message published, or per call at the client.
    PublisherCpu,
    /// CPU nanoseconds per message received, or per call at the servers.
    ReaderCpu,
    /// CPU nanoseconds of server, driver or broker per message published or call.
    ServerCpu,
    /// Median, in microseconds.
    P50,
    /// 95th percentile, in microseconds.
    P95,
    /// 99th percentile, in microseconds.
    P99,
    /// 99.9th percentile, in microseconds.
    P999,
    /// Shortest, in microseconds.
    Min,
    /// Median with the start of the process, in microseconds.
    Wall,
    /// Resident memory, in MiB.
    Resident,
    /// CPU in percent of a core.
    IdleCpu,
    /// Bytes per subscription.
    PerSubscription,
    /// Calls that ended without a reply, those before and after the window included.
    Failed,
}

impl Metric {
    /// Its key in results.json.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Rate => "messages_per_s",
            Self::Sent => "published_per_s",
            Self::Loss => "loss_percent",
            Self::PublisherCpu => "publisher_cpu_ns",
            Self::ReaderCpu => "reader_cpu_ns",
            Self::ServerCpu => "server_cpu_ns",
            Self::P50 => "p50_us",
            Self::P95 => "p95_us",
            Self::P99 => "p99_us",
            Self::P999 => "p999_us",
            Self::Min => "min_us",
            Self::Wall => "with_process_start_us",
            Self::Resident => "resident_mib",
            Self::IdleCpu => "cpu_percent",
            Self::PerSubscription => "bytes_per_subscription",
            Self::Failed => "failed_calls",
        }
    }

    /// More is better.
    pub(crate) fn more_is_better(self) -> bool {
        matches!(self, Self::Rate | Self::Sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_found_by_its_name() {
        for case in Case::all() {
            assert_eq!(Case::named(&case.name()), Some(*case));
        }
    }
}
