//! What is fuzzed: one plain function per target, so that libfuzzer, the replay of the corpora and
//! a test can all call it. A target returns quietly or panics.
//!
//! | target | input | must hold |
//! |---|---|---|
//! | [`packets`], [`frames`], [`records`] | bytes | what is accepted reads the same once written |
//! | [`handshake`] | a script on datagrams under way | two nodes find each other once it ends |
//! | [`endpoint`] | a script of a hostile member of the realm | the others are still served |
//! | [`membership`] | what a hostile member tells of members | bounded; who is new is answered |
//! | [`services`] | what a hostile member sends to a layer that serves and calls | its invariants; as above |
//! | [`filter`], [`invitation`] | text | as a plain model says; stable once written |
//! | [`script`] | applications and faults in a simulated network | the simulator's oracle |
//!
//! And always: no panic, no broken invariant of a node, no timer without end, memory within
//! bounds.
//!
//! To add one: a function here, a line in [`TARGETS`], three lines in `fuzz_targets/`, a `[[bin]]`
//! in `Cargo.toml`, and inputs worth keeping in `corpus/NAME/`. `cargo run --bin seeds` writes the
//! first inputs; names `regression-…` are of faults that were found.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod endpoint;
mod filter;
mod frames;
pub mod handshake;
pub mod host;
mod invitation;
mod membership;
mod packets;
mod records;
pub mod rogue;
mod script;
mod services;
pub mod tape;

use std::alloc::System;

use cap::Cap;
pub use endpoint::endpoint;
pub use filter::filter;
pub use frames::frames;
pub use handshake::handshake;
pub use invitation::invitation;
pub use membership::membership;
use motet_wire::EndpointId;
pub use packets::packets;
pub use records::records;
pub use script::script;
pub use services::services;

/// A target's name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. The name is also that of its corpus and its binary.
pub const TARGETS: &[Target] = &[
    ("endpoint", endpoint),
    ("endpoint_id", endpoint_id),
    ("filter", filter),
    ("frames", frames),
    ("handshake", handshake),
    ("invitation", invitation),
    ("membership", membership),
    ("packets", packets),
    ("records", records),
    ("script", script),
    ("services", services),
];

/// Bytes by which a node may grow on one input of a few KiB.
pub const GROWTH_MAX: usize = 64 << 20;

/// Counts what is allocated. A single allocation above the limit ends the process.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, 1 << 30);

/// Bytes allocated now.
pub fn memory() -> usize {
    MEMORY.allocated()
}

/// An endpoint's id prints as 32 hexadecimal digits that read back as the same bytes.
pub fn endpoint_id(data: &[u8]) {
    let Some((id, _)) = data.split_first_chunk::<16>() else { return };
    let printed = EndpointId(*id).to_string();
    assert_eq!(printed.len(), 32);
    assert_eq!(u128::from_str_radix(&printed, 16), Ok(u128::from_be_bytes(*id)));
}
