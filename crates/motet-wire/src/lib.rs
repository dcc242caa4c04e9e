//! # Wire: every byte on the network is described here and nowhere else
//!
//! Packets ([`packet`]), the frames inside session packets ([`frame`]), the records inside realm
//! packets and on control streams ([`record`]), and the handshake packets ([`handshake`]).
//! No clock, no chance, no allocation driven by a number that a peer wrote.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod ids;

pub use ids::{EndpointId, EndpointKey};
