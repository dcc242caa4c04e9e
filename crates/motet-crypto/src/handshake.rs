//! Noise_XXpsk3_25519 by snow. Primitives come from aws-lc, and all chance from the caller's seed,
//! so that the same inputs give the same bytes.

use aws_lc_rs::aead::{
    AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::digest::{Context, SHA256};
use motet_proto::crypto::{Handshake, Role};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, Error, HandshakeState};
use zeroize::Zeroizing;

use crate::identity::x25519;

/// What a message adds to its payload at most: e (32), s with its tag (48), the payload's tag (16).
const MAX_OVERHEAD: usize = 96;
const TAG: usize = 16;

/// One handshake. A message that is not authentic changes nothing and names nobody; after a `false`
/// of `write` it is dead.
pub struct NoiseHandshake {
    state: Option<HandshakeState>,
    /// The last message read was authentic.
    proven: bool,
}

impl NoiseHandshake {
    /// A handshake before its first message. Suites 1 and 3 share the pattern with AESGCM, suite 2
    /// has ChaChaPoly; under any other number the handshake is born dead.
    pub fn new(
        private: &[u8; 32],
        role: Role,
        suite: u8,
        psk: &[u8; 32],
        prologue: &[u8],
        seed: [u8; 32],
    ) -> Self {
        let build = || {
            let pattern = match suite {
                1 | 3 => "Noise_XXpsk3_25519_AESGCM_SHA256",
                2 => "Noise_XXpsk3_25519_ChaChaPoly_SHA256",
                _ => return Err(Error::Input),
            };
            let resolver = Resolver { seed: Zeroizing::new(seed) };
            let builder = Builder::with_resolver(pattern.parse()?, Box::new(resolver))
                .local_private_key(private)?
                .psk(3, psk)?
                .prologue(prologue)?;
            match role {
                Role::Initiator => builder.build_initiator(),
                Role::Responder => builder.build_responder(),
            }
        };
        Self { state: build().ok(), proven: false }
    }

    /// Runs one step of snow's, which writes at most `room` bytes, at the end of `out`.
    fn step(
        &mut self,
        out: &mut Vec<u8>,
        room: usize,
        step: impl FnOnce(&mut HandshakeState, &mut [u8]) -> Result<usize, Error>,
    ) -> bool {
        let Some(state) = &mut self.state else { return false };
        let start = out.len();
        out.resize(start + room, 0);
        let written = step(state, &mut out[start..]);
        out.truncate(start + written.as_ref().copied().unwrap_or(0));
        written.is_ok()
    }
}

impl Handshake for NoiseHandshake {
    fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        let room = payload.len() + MAX_OVERHEAD;
        let written = self.step(out, room, |state, room| state.write_message(payload, room));
        if !written {
            self.state = None;
        }
        written
    }

    fn read(&mut self, message: &[u8], payload: &mut Vec<u8>) -> bool {
        // snow puts its symmetric state back when a message fails, but keeps the key it named, and
        // once a third message has named its sender, the packet key that followed from it.
        self.proven =
            self.step(payload, message.len(), |state, room| state.read_message(message, room));
        self.proven
    }

    fn remote_key(&self) -> Option<[u8; 32]> {
        self.state.as_ref().filter(|_| self.proven)?.get_remote_static()?.try_into().ok()
    }

    fn split(&mut self) -> Option<([u8; 32], [u8; 32])> {
        let state = self.state.as_mut().filter(|state| state.is_handshake_finished())?;
        Some(state.dangerously_get_raw_split())
    }
}

/// Gives snow aws-lc's primitives; only those of our two patterns.
struct Resolver {
    seed: Zeroizing<[u8; 32]>,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(SeededRandom { seed: self.seed.clone(), blocks: 0 }))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => Some(Box::<Curve25519>::default()),
            _ => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        match choice {
            HashChoice::SHA256 => Some(Box::new(Sha256(Context::new(&SHA256)))),
            _ => None,
        }
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        match choice {
            CipherChoice::AESGCM => Some(Box::new(NoiseCipher {
                name: "AESGCM",
                algorithm: &AES_256_GCM,
                number: u64::to_be_bytes,
                key: None,
            })),
            CipherChoice::ChaChaPoly => Some(Box::new(NoiseCipher {
                name: "ChaChaPoly",
                algorithm: &CHACHA20_POLY1305,
                number: u64::to_le_bytes,
                key: None,
            })),
            #[allow(unreachable_patterns)] // snow has a third choice under a feature
            _ => None,
        }
    }
}

/// HMAC-SHA-256(seed, 0), HMAC-SHA-256(seed, 1), …: the counter as u64, little-endian.
struct SeededRandom {
    seed: Zeroizing<[u8; 32]>,
    blocks: u64,
}

impl Random for SeededRandom {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        for chunk in dest.chunks_mut(32) {
            let block = crate::hmac_sha256(&self.seed, &[&self.blocks.to_le_bytes()]);
            chunk.copy_from_slice(&Zeroizing::new(block)[..chunk.len()]);
            self.blocks += 1;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Curve25519 {
    key: Option<PrivateKey>,
    private: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl Dh for Curve25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, private: &[u8]) {
        self.private.copy_from_slice(private);
        let (key, public) = x25519(&self.private);
        self.key = Some(key);
        self.public = public;
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        let mut private = Zeroizing::new([0; 32]);
        rng.try_fill_bytes(&mut *private)?;
        self.set(&*private);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &*self.private
    }

    /// Fails on a public key of small order: aws-lc refuses the all-zero secret.
    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let key = self.key.as_ref().ok_or(Error::Dh)?;
        let public = public.get(..32).ok_or(Error::Dh)?; // snow passes a longer, padded buffer
        agree(key, UnparsedPublicKey::new(&X25519, public), Error::Dh, |secret| {
            out.get_mut(..secret.len()).ok_or(Error::Dh)?.copy_from_slice(secret);
            Ok(())
        })
    }
}

struct Sha256(Context);

impl Hash for Sha256 {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Context::new(&SHA256);
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        out[..32].copy_from_slice(self.0.clone().finish().as_ref());
    }
}

/// A cipher as the Noise specification (§12) numbers its nonces: big-endian for AESGCM,
/// little-endian for ChaChaPoly.
struct NoiseCipher {
    name: &'static str,
    algorithm: &'static Algorithm,
    number: fn(u64) -> [u8; 8],
    key: Option<LessSafeKey>,
}

impl NoiseCipher {
    fn nonce(&self, number: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&(self.number)(number));
        Nonce::assume_unique_for_key(nonce)
    }
}

impl Cipher for NoiseCipher {
    fn name(&self) -> &'static str {
        self.name
    }

    fn set(&mut self, key: &[u8; 32]) {
        let key = UnboundKey::new(self.algorithm, key).expect("both ciphers take 32 bytes");
        self.key = Some(LessSafeKey::new(key));
    }

    fn encrypt(&self, number: u64, aad: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let (text, tag) = out[..plaintext.len() + TAG].split_at_mut(plaintext.len());
        self.key
            .as_ref()
            .expect("snow encrypts only after it has set a key")
            .seal_out_of_place_scatter(
                self.nonce(number),
                Aad::from(aad),
                plaintext,
                text,
                &[],
                tag,
            )
            .expect("a message of 64 KiB is below the cipher's limit");
        plaintext.len() + TAG
    }

    fn decrypt(
        &self,
        number: u64,
        aad: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let (text, tag) = ciphertext.split_last_chunk::<TAG>().ok_or(Error::Decrypt)?;
        let out = out.get_mut(..text.len()).ok_or(Error::Decrypt)?;
        let key = self.key.as_ref().ok_or(Error::Decrypt)?;
        key.open_separate_gather(self.nonce(number), Aad::from(aad), text, tag, out)
            .map_err(|_| Error::Decrypt)?;
        Ok(text.len())
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    const INITIATOR: (&str, &str) = (
        "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
        "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
    );
    const RESPONDER: (&str, &str) = (
        "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
        "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
    );
    const PSK: &[u8; 32] = b"This is my Austrian perspective!";
    const PROLOGUE: &[u8] = b"John Galt";
    const PAYLOADS: [&[u8]; 3] = [b"Ludwig von Mises", b"Murray Rothbard", b"F. A. Hayek"];

    /// The official vectors fix the ephemeral keys, so this goes below [`NoiseHandshake::new`].
    fn assert_vector(pattern: &str, messages: [&str; 3], handshake_hash: &str) {
        let end = |(private, ephemeral): (&str, &str)| {
            let private = HEXLOWER.decode(private.as_bytes()).unwrap();
            let ephemeral = HEXLOWER.decode(ephemeral.as_bytes()).unwrap();
            (private, ephemeral)
        };
        let build = |initiator: bool| {
            let (private, ephemeral) = end(if initiator { INITIATOR } else { RESPONDER });
            let resolver = Resolver { seed: Zeroizing::new([0; 32]) };
            let builder = Builder::with_resolver(pattern.parse().unwrap(), Box::new(resolver))
                .local_private_key(&private)
                .and_then(|b| b.psk(3, PSK))
                .and_then(|b| b.prologue(PROLOGUE))
                .unwrap()
                .fixed_ephemeral_key_for_testing_only(&ephemeral);
            let state =
                if initiator { builder.build_initiator() } else { builder.build_responder() };
            NoiseHandshake { state: state.ok(), proven: false }
        };
        let mut writer = build(true);
        let mut reader = build(false);
        for (payload, message) in PAYLOADS.into_iter().zip(messages) {
            let mut written = Vec::new();
            assert!(writer.write(payload, &mut written));
            assert_eq!(HEXLOWER.encode(&written), message);
            let mut read = Vec::new();
            assert!(reader.read(&written, &mut read));
            assert_eq!(read, payload);
            std::mem::swap(&mut writer, &mut reader);
        }
        let hash = writer.state.unwrap().get_handshake_hash().to_vec();
        assert_eq!(HEXLOWER.encode(&hash), handshake_hash);
    }

    #[test]
    fn aesgcm_writes_the_messages_of_the_published_vector() {
        assert_vector(
            "Noise_XXpsk3_25519_AESGCM_SHA256",
            [
                "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944ad6766e442bec99c\
                 94ff573cd5316da008cbcc1ebcf47fbe43991ed633bcbb75",
                "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f14480884336a2439b0bafb5e9\
                 7fee2c19b6f9f741125f810ad98e7e9659c48ca3e19652d316d1121073a281e0402b7bc1acb476ca\
                 a1e7308faad7f75337b30f12435c98303cac63cac1d69ac11f2e1971e138ac",
                "2504a7905dbd6a56820581eb314085df196fda55aa5e77745d61c0b526355733d5ee67b9a4f345be\
                 7dc7c6583d3807626eb0f42c69388955ff0c9f35b03951129db18848a76f6a4d270022",
            ],
            "033c8317037cb66a83308d5ae57ebbbea254e7ef2267f296c40baa4beaae4fcc",
        );
    }

    #[test]
    fn chachapoly_writes_the_messages_of_the_published_vector() {
        assert_vector(
            "Noise_XXpsk3_25519_ChaChaPoly_SHA256",
            [
                "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944c9f5ff0e8079630c\
                 b7e270c20bbf480821b77a384a645c71a2fd9b3db1c16a5f",
                "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843b123def17f71e6ae\
                 8e57e0e1dec5949c5f7415c6f33517398747d821a06dc23ad430aa1fd7381d46195c378a819fd574\
                 425462cbb2d4ca339e738a0b7001dc91423fbf55a99af0c6f1df21012ceb2f",
                "52187316111b118d4c060364f7b975dc0809b2590779aff2d63113c564f11744493384db7bf32d5a\
                 e6686df6ab06d508d2e07caaf1d6afc010b978735fc78900e71ae1d314130d042e729a",
            ],
            "a477edf6a131bbdb54707f6ea30eab6cd935d9b560f0e5fd1f053a95a99669fb",
        );
    }
}
