//! Who is measured.

use clap::ValueEnum;

use crate::case::{Case, Kind};
use crate::server::Server;

/// A peer: one program under `bench/peers/`, with one or more rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Peer {
    /// motet, encrypted as by default
    Motet,
    /// Zenoh over TCP, reliable, blocking
    Zenoh,
    /// ZeroMQ over TCP and Unix sockets
    Zmq,
    /// async-nats against nats-server
    Nats,
    /// rumqttc against mosquitto, QoS 0 and 1
    Mqtt,
    /// Cyclone DDS, reliable, write batching
    Cyclone,
    /// Aeron over UDP and shared memory, with its media driver
    Aeron,
    /// iceoryx2, shared memory of one host
    Iceoryx2,
    /// What the kernel and the cipher allow
    Limits,
}

impl Peer {
    /// Its name on the command line, and of its directory.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// What protects the messages of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    Encrypted,
    Plaintext,
    /// No peer: a bound.
    Limit,
}

impl Protection {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Encrypted => "encrypted",
            Self::Plaintext => "plaintext",
            Self::Limit => "limit",
        }
    }
}

/// One row: a peer in one way of using it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) peer: Peer,
    /// Told to the peer's process as `variant=`.
    pub(crate) variant: &'static str,
    pub(crate) protection: Protection,
    pub(crate) server: Server,
    /// Its best documented settings, as used.
    pub(crate) settings: &'static str,
    does: &'static [Does],
}

/// Groups of cases that a row takes part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Flow,
    /// Flows of messages of 64 KiB and more.
    Large,
    Fan,
    Net,
    Topics,
    Rtt,
    Spin,
    First,
    Idle,
    Memory,
    Calls,
}

const LARGE: usize = 64 << 10;

impl Row {
    /// It takes part in this case.
    pub(crate) fn does(&self, case: Case) -> bool {
        let group = match case.kind() {
            Kind::Flow { drop_percent: Some(_), .. } => Does::Net,
            Kind::Flow { topics: 2.., .. } => Does::Topics,
            Kind::Flow { readers: 2.., .. } => Does::Fan,
            Kind::Flow { size: LARGE.., .. } if self.does.contains(&Does::Large) => Does::Large,
            Kind::Flow { .. } => Does::Flow,
            Kind::Trips { spin: false } => Does::Rtt,
            Kind::Trips { spin: true } => Does::Spin,
            Kind::First => Does::First,
            Kind::Idle => Does::Idle,
            Kind::Hoard => Does::Memory,
            Kind::Calls { .. } => Does::Calls,
        };
        self.does.contains(&group)
    }

    /// Its publisher publishes; that of `memcpy` only keeps time.
    pub(crate) fn publishes(&self) -> bool {
        self.variant != "memcpy"
    }

    /// The row of a name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        ROWS.iter().find(|row| row.name == name)
    }
}

/// All rows, in the order of a round.
pub(crate) static ROWS: &[Row] = &[
    Row {
        name: "motet",
        peer: Peer::Motet,
        variant: "",
        protection: Protection::Encrypted,
        server: Server::None,
        settings: "reliable, policy block, log and queue 8 MiB (1 MiB messages: 32 MiB), batches, \
                   unicast; calls: services with default options, broker by default settings",
        does: &[
            Does::Flow,
            Does::Fan,
            Does::Net,
            Does::Topics,
            Does::Rtt,
            Does::Spin,
            Does::First,
            Does::Idle,
            Does::Memory,
            Does::Calls,
        ],
    },
    Row {
        name: "motet-copied",
        peer: Peer::Motet,
        variant: "copied",
        protection: Protection::Encrypted,
        server: Server::None,
        settings: "as motet, but each payload is copied (`Publisher::publish`), not shared \
                   (`Outgoing::shared`)",
        does: &[Does::Large],
    },
    Row {
        name: "motet-lane",
        peer: Peer::Motet,
        variant: "lane",
        protection: Protection::Encrypted,
        server: Server::None,
        settings: "as motet, but by multicast once all readers hear it; before the window",
        does: &[Does::Fan],
    },
    Row {
        name: "zenoh",
        peer: Peer::Zenoh,
        variant: "tcp",
        protection: Protection::Plaintext,
        server: Server::None,
        settings: "peer mode, TCP, reliable, CongestionControl::Block, one declared publisher, \
                   callback subscriber; express for round trips; multicast scouting only for the \
                   first message",
        does: &[
            Does::Flow,
            Does::Fan,
            Does::Net,
            Does::Topics,
            Does::Rtt,
            Does::First,
            Does::Idle,
            Does::Memory,
        ],
    },
    Row {
        name: "zmq-tcp",
        peer: Peer::Zmq,
        variant: "tcp",
        protection: Protection::Plaintext,
        server: Server::None,
        settings: "XPUB/SUB, XPUB_NODROP, high-water marks 1,000 by default and 100,000 up to \
                   1 KiB; PAIR for round trips; calls: REQ, with 64 open DEALER, to ROUTER, or to \
                   zmq_proxy (ROUTER, DEALER) before REP",
        does: &[Does::Flow, Does::Fan, Does::Net, Does::Rtt, Does::Idle, Does::Calls],
    },
    Row {
        name: "zmq-ipc",
        peer: Peer::Zmq,
        variant: "ipc",
        protection: Protection::Plaintext,
        server: Server::None,
        settings: "as zmq-tcp, over a Unix socket",
        does: &[Does::Flow, Does::Fan, Does::Rtt, Does::Calls],
    },
    Row {
        name: "nats",
        peer: Peer::Nats,
        variant: "",
        protection: Protection::Plaintext,
        server: Server::Nats,
        settings: "core NATS, one client per process, subscription capacity 2^20; request/reply \
                   for round trips and calls, servers in a queue group, always through the server",
        does: &[Does::Flow, Does::Fan, Does::Rtt, Does::Idle, Does::Calls],
    },
    Row {
        name: "mqtt-q0",
        peer: Peer::Mqtt,
        variant: "0",
        protection: Protection::Plaintext,
        server: Server::Mosquitto,
        settings: "QoS 0, TCP_NODELAY at client and broker, broker queues without limit",
        does: &[Does::Flow, Does::Fan, Does::Rtt, Does::Idle],
    },
    Row {
        name: "mqtt-q1",
        peer: Peer::Mqtt,
        variant: "1",
        protection: Protection::Plaintext,
        server: Server::Mosquitto,
        settings: "QoS 1, 1,000 in flight, else as mqtt-q0",
        does: &[Does::Flow, Does::Rtt],
    },
    Row {
        name: "cyclone",
        peer: Peer::Cyclone,
        variant: "",
        protection: Protection::Plaintext,
        server: Server::None,
        settings: "reliable, keep all, write batching on for throughput and off for round trips, \
                   multicast on the interface in use",
        does: &[Does::Flow, Does::Fan, Does::Net, Does::Rtt, Does::First, Does::Idle],
    },
    Row {
        name: "aeron-udp",
        peer: Peer::Aeron,
        variant: "udp",
        protection: Protection::Plaintext,
        server: Server::Own,
        settings: "C media driver in a process of its own, shared threads, back-off idle, MTU 8 KiB, \
                   2 MiB windows",
        does: &[Does::Flow, Does::Rtt, Does::Spin],
    },
    Row {
        name: "aeron-ipc",
        peer: Peer::Aeron,
        variant: "ipc",
        protection: Protection::Plaintext,
        server: Server::Own,
        settings: "as aeron-udp, through shared memory; one host only",
        does: &[Does::Flow, Does::Fan, Does::Spin],
    },
    Row {
        name: "iceoryx2",
        peer: Peer::Iceoryx2,
        variant: "",
        protection: Protection::Plaintext,
        server: Server::None,
        settings: "shared memory of one host; queue of 2,048 up to 16 KiB, else 64; payload copied \
                   in and read out; polling, spinning",
        does: &[Does::Flow, Does::Spin, Does::Idle],
    },
    Row {
        name: "encrypted",
        peer: Peer::Limits,
        variant: "encrypted",
        protection: Protection::Limit,
        server: Server::None,
        settings: "messages packed into datagrams of 65,000 B, AES-256-GCM of motet's own crypto \
                   library: seal, send, GRO receive, open; no reliability, no flow control",
        does: &[Does::Flow],
    },
    Row {
        name: "encrypted-1472",
        peer: Peer::Limits,
        variant: "encrypted-1472",
        protection: Protection::Limit,
        server: Server::None,
        settings: "the same in datagrams of 1,472 B, sent by GSO in trains",
        does: &[Does::Flow],
    },
    Row {
        name: "udp",
        peer: Peer::Limits,
        variant: "udp",
        protection: Protection::Limit,
        server: Server::None,
        settings: "one send and one receive call per message",
        does: &[Does::Flow, Does::Rtt],
    },
    Row {
        name: "udp-gso",
        peer: Peer::Limits,
        variant: "udp-gso",
        protection: Protection::Limit,
        server: Server::None,
        settings: "one message per datagram, GSO trains, GRO",
        does: &[Does::Flow],
    },
    Row {
        name: "tcp",
        peer: Peer::Limits,
        variant: "tcp",
        protection: Protection::Limit,
        server: Server::None,
        settings: "one write per message, TCP_NODELAY, reads of 256 KiB",
        does: &[Does::Flow],
    },
    Row {
        name: "udp-spin",
        peer: Peer::Limits,
        variant: "udp-spin",
        protection: Protection::Limit,
        server: Server::None,
        settings: "non-blocking sockets, both sides spin",
        does: &[Does::Spin],
    },
    Row {
        name: "tokio-udp",
        peer: Peer::Limits,
        variant: "tokio-udp",
        protection: Protection::Limit,
        server: Server::None,
        settings: "UDP ping-pong on tokio's current-thread runtime",
        does: &[Does::Rtt],
    },
    Row {
        name: "memcpy",
        peer: Peer::Limits,
        variant: "memcpy",
        protection: Protection::Limit,
        server: Server::None,
        settings: "one copy per message, in one thread, from and to buffers of 64 MiB",
        does: &[Does::Flow],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_names_of_their_own() {
        for row in ROWS {
            assert!(std::ptr::eq(Row::named(row.name).unwrap(), row), "{}", row.name);
        }
    }

    #[test]
    fn motet_takes_part_in_every_case() {
        let motet = Row::named("motet").unwrap();
        assert!(Case::all().iter().all(|case| motet.does(*case)));
    }
}
