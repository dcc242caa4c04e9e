//! # Fragmentation: a message larger than a packet, put together again
//!
//! **Promise.** The bytes of a message come out as they went in, whatever order its pieces took.
//!
//! **How.** A set of received byte ranges beside chunks of 64 KiB, allocated as bytes arrive. What
//! came first stays where pieces overlap.
//!
//! | input | effect |
//! |---|---|
//! | piece with new bytes | kept (F-1, F-3) |
//! | piece that was there | duplicate |
//! | piece outside of the message | refused (F-4) |
//! | piece that would make the 4,097th hole | refused; asked for again later (F-5) |
//!
//! **Bounds.** [`HOLES_MAX`](assembly::HOLES_MAX) holes; memory of the bytes that came, rounded up
//! to chunks; never the size that a peer announced (F-2).
//!
//! **Not here.** Which pieces are asked for and when, and whether there is memory (transport).

pub mod assembly;
