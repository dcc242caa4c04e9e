//! # Crypto: the keys of an endpoint and of a realm, and what is done with them
//!
//! - [`identity`]: the static X25519 key of an endpoint, its id, its key file.
//! - [`provider`]: [`AwsLc`], the core's [`Crypto`](motet_proto::crypto::Crypto) over aws-lc.
//! - [`handshake`]: Noise_XXpsk3, by snow over the same primitives.
//! - [`seal`]: packets sealed in place, the header as associated data.
//! - [`realm`]: the realm secret, its file, and the line that invites somebody.
//!
//! **Promise.** No secret is in any `Debug` output or error, and memory that held a secret of ours
//! is overwritten when it is dropped (copies inside snow and aws-lc are theirs to clear).
//!
//! **Not here.** Files, permissions and locks (the caller reads and writes the text), replay
//! windows and key phases (the core), who may join (the core).
#![forbid(unsafe_code)]

mod armor;
pub mod handshake;
pub mod identity;
pub mod provider;
pub mod realm;
pub mod seal;

pub use handshake::NoiseHandshake;
pub use identity::{Identity, KeyFileError, endpoint_id};
pub use provider::AwsLc;
pub use realm::{Invitation, InvitationError, RealmFileError, RealmNameError, RealmSecret};
pub use seal::Sealer;

/// SHA-256 of the parts, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    use aws_lc_rs::digest::{Context, SHA256};
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

/// HMAC-SHA-256 of the parts, one after the other.
pub(crate) fn hmac_sha256(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
    let mut context = Context::with_key(&Key::new(HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

/// HKDF-SHA-256 (RFC 5869) without salt: extract, then expand to 32 bytes.
pub(crate) fn hkdf_sha256(key: &[u8], info: &[&[u8]]) -> [u8; 32] {
    use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
    let mut out = [0; 32];
    Salt::new(HKDF_SHA256, &[])
        .extract(key)
        .expand(info, HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut out))
        .expect("one block of output is always allowed");
    out
}

/// Fills `out` from the operating system's generator. Not by aws-lc: its generator first gathers
/// jitter of the CPU, 21 ms of every start.
pub(crate) fn random(out: &mut [u8]) {
    getrandom::fill(out).expect("the operating system gives random bytes");
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    #[test]
    fn hkdf_agrees_with_rfc_5869_case_3() {
        let okm = super::hkdf_sha256(&[0x0b; 22], &[]);
        let expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d";
        assert_eq!(HEXLOWER.encode(&okm), expected);
    }

    #[test]
    fn sha_256_agrees_with_fips_180_4() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(HEXLOWER.encode(&super::sha256(&[b"a", b"", b"bc"])), expected);
    }
}
