//! # Proto: what endpoints do
//!
//! An endpoint of motet without sockets, threads or clock: [`Node`]. Two inputs (a datagram, a
//! timeout) and a few verbs go in; datagrams, events and a deadline come out. The same code runs
//! under the real driver, in the simulator and in fuzzers.
//!
//! Layers are sibling modules that never import each other; only [`node`] knows who is above whom.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod config;
pub mod counters;
pub mod crypto;
pub mod discovery;
pub mod events;
pub mod explain;
pub mod fragmentation;
pub mod host;
pub mod ids;
pub mod node;
pub mod planted;
pub mod ranges;
pub mod received;
pub mod rng;
pub mod roles;
pub mod services;
pub mod time;
pub mod topics;
pub mod transport;
pub mod wanted;

pub use config::{
    Config, ConfigError, Congestion, LanePolicy, Liveness, PubQos, Realm, SlowPolicy, SubQos,
};
pub use counters::Counters;
pub use events::{Delivery, Event};
pub use host::{Deadline, HostAction, HostEvent, InterfaceInfo, RecvMeta, Transmit, TxBatch, Via};
pub use ids::{
    BookId, CallId, EndpointId, EndpointKey, PubId, QueryId, QueryKey, RequestId, ServeId, SubId,
    WatchId,
};
pub use node::Node;
pub use received::Received;
pub use time::Time;

/// The bytes on the network, for those who print or check them.
pub use motet_wire as wire;
