//! What is fuzzed: one plain function per target, so that libfuzzer, the replay of the corpora and
//! a test can all call it. A target returns quietly or panics.
//!
//! To add one: a function here, a line in [`TARGETS`], three lines in `fuzz_targets/`, a `[[bin]]`
//! in `Cargo.toml`, and inputs worth keeping in `corpus/NAME/`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

use motet_wire::EndpointId;

/// A target's name and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target. The name is also that of its corpus and its binary.
pub const TARGETS: &[Target] = &[("endpoint_id", endpoint_id)];

/// An endpoint's id prints as 32 hexadecimal digits that read back as the same bytes.
pub fn endpoint_id(data: &[u8]) {
    let Some((id, _)) = data.split_first_chunk::<16>() else { return };
    let printed = EndpointId(*id).to_string();
    assert_eq!(printed.len(), 32);
    assert_eq!(u128::from_str_radix(&printed, 16), Ok(u128::from_be_bytes(*id)));
}
