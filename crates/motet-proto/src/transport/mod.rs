//! # Transport: sessions meter, streams repair
//!
//! **Promise.** A reader sees the messages of a stream in order, each exactly once, or else one
//! `Missed` in their place that says how many and why. Packets are authentic or dropped.
//!
//! **How.** A *session* is a keyed unicast association: packet numbers, acknowledgements, round
//! trip, congestion control, pacing, path MTU, liveness. A *stream* is the numbered messages of one
//! writer on one topic: gaps are asked for by NAK, the writer speaks last. The two never lean on
//! each other: reliability never depends on packet acknowledgements, congestion control never on
//! NAKs, so neither can deadlock the other.
//!
//! **Not here.** Who is there (discovery), what is in a message (fragmentation, topics).

pub mod acks;
pub mod congestion;
pub mod delivery;
pub mod handshake;
pub mod keys;
pub mod lane;
pub mod liveness;
pub mod mtu;
pub mod pacer;
pub mod path;
pub mod replay;
pub mod rtt;
pub mod sent;
pub mod session;
pub mod stream;
