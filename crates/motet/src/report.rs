//! What an endpoint can tell about itself and others: plain structs, the same for the library, the
//! command line (JSON) and questions between endpoints (CBOR).
//!
//! Times are in seconds, sizes in bytes. Fields are only ever added. With the feature `serde` every
//! struct can be serialised.

use minicbor::{Decode, Encode};

macro_rules! reports {
    ($($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $n:literal $field:ident: $ty:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cbor(map)]
        #[non_exhaustive]
        pub struct $name { $($(#[$doc])* #[n($n)] #[cbor(default)] pub $field: $ty,)* }
    )*};
}

reports! {
    /// One endpoint, as it sees itself.
    EndpointReport {
        /// Its id, 32 hexadecimal digits.
        0 id: String,
        /// Which life: rises with every start.
        1 incarnation: u64,
        /// Its name; need not be unique.
        2 name: String,
        /// Its realm.
        3 realm: String,
        /// Whether the realm has a secret. An open realm is encrypted, not authenticated.
        4 secured: bool,
        /// Version of the `motet` crate.
        5 version: String,
        /// Seconds since it was opened.
        6 uptime_seconds: f64,
        /// The unicast address it is bound to.
        7 listen: String,
        /// Interfaces in use, by name.
        8 interfaces: Vec<String>,
        /// Roles, by name.
        9 roles: Vec<String>,
        /// Whether discovery has settled.
        10 settled: bool,
        /// Peers with a live session.
        11 peers: u64,
        /// Topics it publishes.
        12 publications: u64,
        /// Subscriptions.
        13 subscriptions: u64,
        /// Process id.
        14 pid: u32,
        /// Members of the realm that broke limits here, the latest first; at most 16.
        15 offenders: Vec<OffenderReport>,
        /// Tags by key.
        16 tags: std::collections::BTreeMap<String, String>,
        /// Its addresses, as it tells others of them.
        17 addresses: Vec<String>,
    }

    /// A member of the realm that broke limits. What it does is counted and harms nobody else.
    OffenderReport {
        /// Its id, 32 hexadecimal digits.
        0 id: String,
        /// Its name, if it is here.
        1 name: String,
        /// What it did.
        2 offences: Vec<OffenceReport>,
        /// Seconds since the last time.
        3 seconds: f64,
    }

    /// A rule that somebody broke.
    OffenceReport {
        /// Which, by its code.
        0 code: String,
        /// How often.
        1 count: u64,
    }

    /// A peer, as this endpoint sees it.
    PeerReport {
        /// Its id, 32 hexadecimal digits.
        0 id: String,
        /// Which life.
        1 incarnation: u64,
        /// Its name.
        2 name: String,
        /// The address in use.
        3 address: String,
        /// Every address known.
        4 addresses: Vec<String>,
        /// `alive`, `quiet` (not heard for a while, which is nothing yet), `suspect` (does not answer),
        /// or `dead`.
        5 state: String,
        /// Smoothed round-trip time in seconds, once measured.
        6 rtt_seconds: Option<f64>,
        /// Seconds since it was last heard.
        7 heard_seconds: f64,
        /// Roles, by name.
        8 roles: Vec<String>,
        /// Whether it runs on this host.
        9 same_host: bool,
        /// Datagram size that its path is known to take, in bytes of UDP payload.
        10 mtu: u16,
        /// Version of its interests, as far as they are known here.
        11 interest_version: u64,
    }

    /// A member of the realm, as this endpoint sees it, whether there is a session with it or not.
    MemberReport {
        /// Its id, 32 hexadecimal digits.
        0 id: String,
        /// Which life.
        1 incarnation: u64,
        /// Its name; empty until it is known.
        2 name: String,
        /// `alive`, `quiet` (pinged because it was silent, which is nothing yet), `suspect` (does
        /// not answer), `dead` or `left`.
        3 state: String,
        /// Seconds since it stands there, as far as is known here.
        4 since_seconds: f64,
        /// Round-trip time in seconds, once measured.
        5 rtt_seconds: Option<f64>,
        /// Its best address.
        6 address: String,
        /// Roles, by name.
        7 roles: Vec<String>,
        /// Tags by key.
        8 tags: std::collections::BTreeMap<String, String>,
        /// Whether there is a session with it.
        9 session: bool,
    }

    /// A topic that an endpoint publishes.
    TopicReport {
        /// The topic.
        0 topic: String,
        /// Names the schema; empty is any.
        1 type_tag: String,
        /// Repaired until delivered, or sent once.
        2 reliable: bool,
        /// 0 (first) to 7 (last).
        3 priority: u8,
        /// Messages kept for late joiners.
        4 history: u32,
        /// On a full log: `drop-oldest`, `drop-newest`, `block` or `disconnect`.
        5 slow: String,
        /// Size of the log in bytes, at most.
        6 log_bytes: u64,
        /// Bytes in the log now.
        7 bytes: u64,
        /// Oldest message still held.
        8 first: u64,
        /// Number that the next message gets.
        9 next: u64,
        /// Its readers; at most 64 are listed.
        10 readers: Vec<ReaderReport>,
        /// How many there are.
        11 readers_total: u64,
        /// Whether it may leave as multicast: `auto`, `never` or `always`.
        12 lane: String,
    }

    /// A reader of a topic, as its writer sees it.
    ReaderReport {
        /// Its id, 32 hexadecimal digits.
        0 id: String,
        /// Its name.
        1 name: String,
        /// State of the stream to it.
        2 state: String,
        /// Everything before this number is acknowledged.
        3 acked: u64,
        /// Messages not acknowledged.
        4 unacked: u64,
        /// It is in the writer's own endpoint.
        5 local: bool,
        /// What brings the messages to it: `unicast`, `lane`, or `local`.
        6 carrier: String,
        /// Where its packets go: the reader's address, or the interface that the lane leaves by.
        7 by: String,
        /// Why not a lane; empty if it is one.
        8 why: String,
        /// Number of the lane.
        9 lane: Option<u16>,
        /// Readers that share the lane.
        10 lane_readers: Option<u64>,
        /// Seconds since it came to this lane.
        11 lane_seconds: Option<f64>,
    }

    /// A subscription of an endpoint.
    SubscriptionReport {
        /// Its filters.
        0 filters: Vec<String>,
        /// Names the schema; empty is any.
        1 type_tag: String,
        /// Messages waiting to be read.
        2 queued: u64,
        /// Bytes waiting to be read.
        3 bytes: u64,
        /// The writers it reads; at most 64 are listed.
        4 writers: Vec<WriterReport>,
        /// How many there are.
        5 writers_total: u64,
    }

    /// A writer, as its reader sees it.
    WriterReport {
        /// Its id, 32 hexadecimal digits.
        0 id: String,
        /// Its name.
        1 name: String,
        /// The topic.
        2 topic: String,
        /// State of the stream from it.
        3 state: String,
        /// Number of the next message expected.
        4 next: u64,
        /// Messages reported missing.
        5 missed: u64,
    }

    /// A counter since the start of the endpoint.
    CounterReport {
        /// Its name.
        0 name: String,
        /// What it counts.
        1 description: String,
        /// The count.
        2 value: u64,
    }

    /// Somebody on this network who speaks motet and is not of this realm.
    NeighbourReport {
        /// Its IP address.
        0 address: String,
        /// `foreign-realm` or `wrong-key`.
        1 kind: String,
        /// Packets heard.
        2 count: u64,
        /// Seconds since the last one.
        3 heard_seconds: f64,
    }

    /// Round trips from one endpoint to another.
    RoundTripReport {
        /// Pings that were answered.
        0 samples: u64,
        /// Pings that were not.
        1 lost: u64,
        /// The shortest, in seconds.
        2 min_seconds: f64,
        /// The median, in seconds.
        3 median_seconds: f64,
        /// The longest, in seconds.
        4 max_seconds: f64,
        /// Why there are none, and what to do; empty if there are.
        5 trouble: String,
    }

    /// One thing that `doctor` looked at.
    DoctorFinding {
        /// What was looked at: `interfaces`, `multicast`, `lanes`, `buffers`, `files`, `clock`,
        /// `realm`, `neighbours`.
        0 check: String,
        /// Whether it is as it should be.
        1 ok: bool,
        /// What was found, in a sentence.
        2 what: String,
        /// What to do about it: a command, or a sentence. Always there when not `ok`.
        3 remedy: Option<String>,
    }

    /// Everything an endpoint knows, at one moment.
    Snapshot {
        /// Itself.
        0 endpoint: EndpointReport,
        /// The others.
        1 peers: Vec<PeerReport>,
        /// What it publishes.
        2 topics: Vec<TopicReport>,
        /// What it subscribes to.
        3 subscriptions: Vec<SubscriptionReport>,
        /// What it has counted.
        4 counters: Vec<CounterReport>,
        /// Who else is on the network.
        5 neighbours: Vec<NeighbourReport>,
    }

    /// What an endpoint publishes and subscribes to: the answer to
    /// [`What::Topics`](crate::What::Topics).
    TopicsReport {
        /// What it publishes.
        0 topics: Vec<TopicReport>,
        /// What it subscribes to.
        1 subscriptions: Vec<SubscriptionReport>,
    }
}
