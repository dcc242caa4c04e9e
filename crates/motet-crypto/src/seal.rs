//! Packets sealed in place: no copy and no allocation per packet.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, AES_256_GCM_SIV, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce,
    UnboundKey,
};
use motet_proto::crypto::{Aead, Cipher};
use motet_proto::wire::packet::TAG_LEN;

/// One packet key. The caller never seals twice under one number (AES-256-GCM-SIV forgives it).
#[derive(Debug)]
pub struct Sealer(LessSafeKey);

impl Sealer {
    /// AES-128-GCM takes the first 16 bytes of the key, the other ciphers all 32.
    pub fn new(cipher: Cipher, key: &[u8; 32]) -> Self {
        let (algorithm, key) = match cipher {
            Cipher::Aes256Gcm => (&AES_256_GCM, &key[..]),
            Cipher::ChaCha20Poly1305 => (&CHACHA20_POLY1305, &key[..]),
            Cipher::Aes128Gcm => (&AES_128_GCM, &key[..16]),
            Cipher::Aes256GcmSiv => (&AES_256_GCM_SIV, &key[..]),
        };
        Self(LessSafeKey::new(UnboundKey::new(algorithm, key).expect("the key has its length")))
    }
}

impl Aead for Sealer {
    fn seal(&self, number: u64, aad: &[u8], buf: &mut [u8]) -> [u8; 16] {
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce(number), Aad::from(aad), buf)
            .expect("a packet is far below the cipher's limit of 64 GiB");
        let mut out = [0; 16];
        out.copy_from_slice(tag.as_ref());
        out
    }

    fn seal_onto(&self, number: u64, aad: &[u8], packet: &mut [u8], end: &[u8]) {
        let (begin, rest) = packet.split_at_mut(packet.len() - end.len() - TAG_LEN);
        self.0.seal_in_place_scatter(nonce(number), Aad::from(aad), begin, end, rest).expect(
            "ciphers of sessions and lanes take a second part, and its room has its length",
        );
    }

    fn open(&self, number: u64, aad: &[u8], buf: &mut [u8], tag: &[u8; 16]) -> bool {
        self.0.open_in_place_separate_tag(nonce(number), Aad::from(aad), tag, buf).is_ok()
    }
}

/// Four zero bytes and the number, little-endian.
fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}
