//! # Wire: every byte on the network is described here and nowhere else
//!
//! Packets ([`packet`]), the frames inside session packets ([`frame`]), the records inside realm
//! packets ([`record`]) and on control streams ([`control`]), the bytes of a message
//! ([`envelope`]), the payloads of services ([`service`]), and the handshake packets
//! ([`handshake`]).
//! No clock, no chance, no allocation driven by a number that a peer wrote.
//!
//! Decoding is total: any bytes give a value or one [`Malformed`] rule, never a panic. Encoding is
//! total as well: it writes what it is given; limits are the caller's to keep and are named consts.
//! Each module's table carries its rules, numbered `W-1`, `W-2`, …
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod codec;
pub mod control;
pub mod envelope;
pub mod frame;
pub mod handshake;
pub mod ids;
pub mod malformed;
pub mod packet;
pub mod record;
pub mod service;

pub use control::Control;
pub use envelope::Envelope;
pub use frame::{Frame, Frames};
pub use handshake::Params;
pub use ids::{EndpointId, EndpointKey};
pub use malformed::Malformed;
pub use packet::{MAX_DATAGRAM, PacketType, TAG_LEN, VERSION, packet_type};
pub use record::{Record, Records};
