//! Packet keys of one session and their updates.
//!
//! S-20 Both directions start from the two keys of the handshake and move on by themselves:
//! `k' = HKDF(k, "ku")`, the phase (mod 4) in the packet header. S-21 A sender moves on after 2^26
//! packets or one hour, long before AES-GCM's confidentiality limit (RFC 9001, B.1). S-22 A
//! receiver accepts the present phase, the next one, and for a while the one before.

use crate::Time;
use crate::crypto::{Aead, Cipher, Crypto};
use core::time::Duration;

/// Packets sealed under one key before the next one is taken.
const PACKETS_MAX: u64 = 1 << 26;
/// Time one key is used.
const AGE_MAX: Duration = Duration::from_secs(3600);

/// The keys of a session.
pub struct Keys<A> {
    cipher: Cipher,
    sending: Phase<A>,
    sent: u64,
    since: Time,
    receiving: Phase<A>,
    next: Phase<A>,
    previous: Option<(A, Time)>,
}

struct Phase<A> {
    number: u8,
    key: [u8; 32],
    aead: A,
}

impl<A: Aead> Keys<A> {
    /// Keys for sending and receiving, fresh from a handshake.
    pub fn new<C: Crypto<Aead = A>>(
        crypto: &C,
        cipher: Cipher,
        sending: [u8; 32],
        receiving: [u8; 32],
        now: Time,
    ) -> Self {
        let first = |key| Phase { number: 0, key, aead: crypto.aead(cipher, &key) };
        let receiving = first(receiving);
        let next = following(crypto, cipher, &receiving);
        Self {
            cipher,
            sending: first(sending),
            sent: 0,
            since: now,
            receiving,
            next,
            previous: None,
        }
    }

    /// The phase that packets are sealed in now.
    pub fn phase(&self) -> u8 {
        self.sending.number
    }

    /// Seals packet `number`, with room for `end` and the tag; see [`Aead::seal_onto`].
    pub fn seal(&mut self, number: u64, aad: &[u8], packet: &mut [u8], end: &[u8]) {
        self.sent += 1;
        self.sending.aead.seal_onto(number, aad, packet, end);
    }

    /// Moves the sending key on, if it is due or `now_please`.
    pub fn update<C: Crypto<Aead = A>>(&mut self, crypto: &C, now: Time, now_please: bool) {
        if now_please || self.sent >= PACKETS_MAX || now.since(self.since) >= AGE_MAX {
            self.sending = following(crypto, self.cipher, &self.sending);
            (self.sent, self.since) = (0, now);
        }
    }

    /// Opens a packet sealed in `phase`; the previous phase is kept for `grace` after a change.
    pub fn open<C: Crypto<Aead = A>>(
        &mut self,
        crypto: &C,
        now: Time,
        grace: Duration,
        phase: u8,
        packet: Sealed<'_>,
    ) -> bool {
        let Sealed { number, aad, buf, tag } = packet;
        if phase == self.receiving.number {
            return self.receiving.aead.open(number, aad, buf, tag);
        }
        if phase == self.next.number {
            if !self.next.aead.open(number, aad, buf, tag) {
                return false;
            }
            let after = following(crypto, self.cipher, &self.next);
            let current = core::mem::replace(&mut self.next, after);
            let old = core::mem::replace(&mut self.receiving, current);
            self.previous = Some((old.aead, now + grace));
            return true;
        }
        let before = self.receiving.number.wrapping_sub(1) & 3;
        match &self.previous {
            Some((aead, until)) if phase == before && now <= *until => {
                aead.open(number, aad, buf, tag)
            }
            _ => false,
        }
    }
}

/// A packet to open.
pub struct Sealed<'a> {
    /// Packet number.
    pub number: u64,
    /// The clear header.
    pub aad: &'a [u8],
    /// What to decrypt, in place.
    pub buf: &'a mut [u8],
    /// Its tag.
    pub tag: &'a [u8; 16],
}

fn following<C: Crypto>(crypto: &C, cipher: Cipher, phase: &Phase<C::Aead>) -> Phase<C::Aead> {
    let key = crypto.derive(&phase.key, &[b"ku"]);
    Phase { number: (phase.number + 1) & 3, key, aead: crypto.aead(cipher, &key) }
}
