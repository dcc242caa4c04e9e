//! # Transport
pub mod acks;
pub mod congestion;
pub mod mtu;
pub mod pacer;
pub mod replay;
pub mod rtt;
pub mod sent;
