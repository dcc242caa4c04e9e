//! The core's cryptography over aws-lc.

use motet_proto::crypto::{Cipher, Crypto, Role};
use motet_wire::EndpointId;

use crate::{Identity, NoiseHandshake, Sealer};

/// One endpoint's keys, and aws-lc's primitives.
#[derive(Clone, Debug)]
pub struct AwsLc {
    identity: Identity,
}

impl AwsLc {
    /// The cryptography of the endpoint that holds `identity`.
    pub fn new(identity: Identity) -> Self {
        Self { identity }
    }

    /// The endpoint's id.
    pub fn endpoint_id(&self) -> EndpointId {
        self.identity.endpoint_id()
    }
}

impl Crypto for AwsLc {
    type Aead = Sealer;
    type Handshake = NoiseHandshake;

    fn public_key(&self) -> [u8; 32] {
        self.identity.public_key()
    }

    fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        crate::sha256(parts)
    }

    fn mac(&self, key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
        crate::hmac_sha256(key, parts)
    }

    fn derive(&self, key: &[u8; 32], info: &[&[u8]]) -> [u8; 32] {
        crate::hkdf_sha256(key, info)
    }

    fn private(&self, info: &[u8]) -> [u8; 32] {
        crate::hkdf_sha256(self.identity.private(), &[info])
    }

    fn aead(&self, cipher: Cipher, key: &[u8; 32]) -> Sealer {
        Sealer::new(cipher, key)
    }

    fn handshake(
        &self,
        role: Role,
        suite: u8,
        psk: &[u8; 32],
        prologue: &[u8],
        seed: [u8; 32],
    ) -> NoiseHandshake {
        NoiseHandshake::new(self.identity.private(), role, suite, psk, prologue, seed)
    }

    fn suites(&self) -> [u8; 4] {
        if has_aes() { [3, 1, 2, 0] } else { [2, 3, 1, 0] }
    }
}

/// Whether AES-GCM runs on instructions made for it: AES and carry-less multiplication.
fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    return std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
    return false;
}
