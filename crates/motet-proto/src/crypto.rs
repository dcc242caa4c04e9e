//! What the core asks of cryptography. Implemented by `motet-crypto`, and by a fast null cipher in
//! the simulator that rejects wrong keys and flipped bytes all the same.

use alloc::vec::Vec;

/// Keys of one endpoint and the primitives of the protocol. SHA-256 is the one hash.
pub trait Crypto: Send + 'static {
    /// Seals and opens packets under one key.
    type Aead: Aead;
    /// One Noise_XXpsk3 handshake in progress.
    type Handshake: Handshake;

    /// The static public key (X25519).
    fn public_key(&self) -> [u8; 32];
    /// SHA-256 of the parts, one after the other.
    fn hash(&self, parts: &[&[u8]]) -> [u8; 32];
    /// HMAC-SHA-256 of the parts under `key`.
    fn mac(&self, key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32];
    /// HKDF-SHA-256 (RFC 5869) of `key`; the parts, one after the other, are the info.
    fn derive(&self, key: &[u8; 32], info: &[&[u8]]) -> [u8; 32];
    /// A key that only the holder of the static private key can derive.
    fn private(&self, info: &[u8]) -> [u8; 32];
    /// Packet protection. AES-128-GCM uses the first 16 bytes of the key.
    fn aead(&self, cipher: Cipher, key: &[u8; 32]) -> Self::Aead;
    /// A new handshake. `suite` is 1..=3 (see [`Cipher::of_suite`]); `seed` is all its randomness.
    fn handshake(
        &self,
        role: Role,
        suite: u8,
        psk: &[u8; 32],
        prologue: &[u8],
        seed: [u8; 32],
    ) -> Self::Handshake;
    /// Suites this machine offers, best first, 0-padded.
    fn suites(&self) -> [u8; 4];
}

/// Which side of a handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Sent HS1.
    Initiator,
    /// Answered it.
    Responder,
}

/// How packets are sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cipher {
    /// Suite 1: AES-256-GCM.
    Aes256Gcm,
    /// Suite 2: ChaCha20-Poly1305.
    ChaCha20Poly1305,
    /// Suite 3: AES-128-GCM under the first 16 bytes of the key.
    Aes128Gcm,
    /// REALM packets: AES-256-GCM-SIV (RFC 8452), harmless when a nonce repeats.
    Aes256GcmSiv,
}

impl Cipher {
    /// The packet cipher of a handshake suite (1 = 25519_AESGCM_SHA256, 2 =
    /// 25519_ChaChaPoly_SHA256, 3 = as 1 with packets under AES-128-GCM); `None` if unknown.
    pub fn of_suite(suite: u8) -> Option<Self> {
        match suite {
            1 => Some(Self::Aes256Gcm),
            2 => Some(Self::ChaCha20Poly1305),
            3 => Some(Self::Aes128Gcm),
            _ => None,
        }
    }
}

/// One handshake, message by message. A message that is not authentic changes nothing: the true
/// one may still come. After a `false` of [`write`](Self::write) it is dead.
pub trait Handshake: Send {
    /// Appends the next message, carrying `payload`, to `out`. False if it is not our turn.
    fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool;
    /// Reads the peer's message and appends its payload to `payload`. False if it is not authentic.
    fn read(&mut self, message: &[u8], payload: &mut Vec<u8>) -> bool;
    /// The peer's static public key, once a message has carried it.
    fn remote_key(&self) -> Option<[u8; 32]>;
    /// After the third message: the keys initiator → responder and responder → initiator.
    fn split(&mut self) -> Option<([u8; 32], [u8; 32])>;
}

/// Authenticated encryption of one packet, in place, with a detached 16-byte tag. The 96-bit nonce
/// is four zero bytes and the number, little-endian.
pub trait Aead: Send {
    /// Encrypts `buf` and returns the tag.
    fn seal(&self, number: u64, aad: &[u8], buf: &mut [u8]) -> [u8; 16];
    /// Seals a packet whose end lies elsewhere: `packet` is its beginning, then room for `end` and
    /// the tag. The result is that of `end` copied there and [sealed](Self::seal).
    fn seal_onto(&self, number: u64, aad: &[u8], packet: &mut [u8], end: &[u8]) {
        let Some((plain, tag)) = packet.split_last_chunk_mut::<16>() else { return };
        let at = plain.len().saturating_sub(end.len());
        if let Some(room) = plain.get_mut(at..).filter(|room| room.len() == end.len()) {
            room.copy_from_slice(end);
            *tag = self.seal(number, aad, plain);
        }
    }
    /// Decrypts `buf` if `tag` is right; false (contents then unspecified) if it is not.
    fn open(&self, number: u64, aad: &[u8], buf: &mut [u8], tag: &[u8; 16]) -> bool;
}
