//! Keys of a lane: random, one per source tag and epoch, never derived from one another, so that
//! who was given one can open what it covers and nothing later.

use crate::Time;
use crate::crypto::{Aead, Cipher, Crypto};
use core::time::Duration;

/// A key is used for so long (L-4).
pub const ROTATE: Duration = Duration::from_secs(600);
/// The next key is given to the readers this long before it is used.
pub const AHEAD: Duration = Duration::from_secs(2);
/// Readers that go against their will are gathered for this long before the key changes (L-5).
pub const GATHER: Duration = Duration::from_secs(1);

/// A key with its epoch, as it is told to readers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Rises by one with each key.
    pub epoch: u64,
    /// The key.
    pub key: [u8; 32],
}

/// The writer's.
pub struct WriterKeys<A> {
    suite: u8,
    cipher: Cipher,
    now: Told,
    aead: A,
    next: Option<(Told, Time)>,
    rotate_at: Time,
    pn: u64,
}

impl<A: Aead> WriterKeys<A> {
    /// The first key. `suite` as in a handshake; `None` if it is unknown.
    pub fn new<C: Crypto<Aead = A>>(
        crypto: &C,
        now: Time,
        suite: u8,
        key: [u8; 32],
    ) -> Option<Self> {
        let cipher = Cipher::of_suite(suite)?;
        let aead = crypto.aead(cipher, &key);
        let told = Told { epoch: 0, key };
        Some(Self { suite, cipher, now: told, aead, next: None, rotate_at: now + ROTATE, pn: 0 })
    }

    /// What a reader that joins is told: the key that its first packets will have.
    pub fn told(&self) -> (u8, Told, u64) {
        (self.suite, self.now, self.pn)
    }

    /// A key that is about to be used.
    pub fn coming(&self) -> Option<Told> {
        self.next.map(|(told, _)| told)
    }

    /// The number of the next packet.
    pub fn next_pn(&self) -> u64 {
        self.pn
    }

    /// Someone went who should not hear what follows: a new key soon.
    pub fn renew_soon(&mut self, now: Time) {
        self.rotate_at = self.rotate_at.min(now + GATHER);
    }

    /// True if a new key is to be drawn now, by [`announce`](Self::announce).
    pub fn is_due(&self, now: Time) -> bool {
        self.next.is_none() && now >= self.rotate_at
    }

    /// Sets the next key, which is used after [`AHEAD`].
    pub fn announce(&mut self, now: Time, key: [u8; 32]) -> Told {
        let told = Told { epoch: self.now.epoch + 1, key };
        self.next = Some((told, now + AHEAD));
        self.rotate_at = now + ROTATE;
        told
    }

    /// Moves on to the announced key if it is time.
    pub fn turn<C: Crypto<Aead = A>>(&mut self, crypto: &C, now: Time) {
        if let Some((told, at)) = self.next
            && at <= now
        {
            self.now = told;
            self.aead = crypto.aead(self.cipher, &told.key);
            self.next = None;
        }
    }

    /// When [`turn`](Self::turn) or [`is_due`](Self::is_due) has something.
    pub fn deadline(&self) -> Time {
        self.next.map_or(self.rotate_at, |(_, at)| at)
    }

    /// Low bits of the epoch in use.
    pub fn epoch(&self) -> u8 {
        (self.now.epoch & 0xff) as u8
    }

    /// Takes the next packet number; none is ever taken twice (L-3).
    pub fn take_pn(&mut self) -> u64 {
        self.pn += 1;
        self.pn - 1
    }

    /// Seals packet `pn`, with room for `end` and the tag; see [`Aead::seal_onto`].
    pub fn seal(&self, pn: u64, aad: &[u8], packet: &mut [u8], end: &[u8]) {
        self.aead.seal_onto(pn, aad, packet, end);
    }
}

/// What opening a packet of a lane came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
    /// Under a key that we hold.
    Authentic,
    /// Under none that we hold: too old, or too new.
    Stale,
    /// Not by a member of the lane.
    Forged,
}

/// A reader's: the key in use and the one before or after it.
pub struct ReaderKeys<A> {
    cipher: Cipher,
    held: [Option<(u64, A)>; 2],
}

impl<A: Aead> ReaderKeys<A> {
    /// The key of an offer; `None` if we do not have its cipher.
    pub fn new<C: Crypto<Aead = A>>(crypto: &C, suite: u8, told: Told) -> Option<Self> {
        let cipher = Cipher::of_suite(suite)?;
        let first = crypto.aead(cipher, &told.key);
        Some(Self { cipher, held: [Some((told.epoch, first)), None] })
    }

    /// Another key; the older of two makes place. One that is not newer is ignored.
    pub fn add<C: Crypto<Aead = A>>(&mut self, crypto: &C, told: Told) {
        let newest = self.held.iter().flatten().map(|(epoch, _)| *epoch).max();
        if newest.is_none_or(|newest| told.epoch > newest) {
            let aead = crypto.aead(self.cipher, &told.key);
            self.held.rotate_right(1);
            if let Some(place) = self.held.first_mut() {
                *place = Some((told.epoch, aead));
            }
        }
    }

    /// Opens a packet in place.
    pub fn open(&self, epoch: u8, pn: u64, aad: &[u8], body: &mut [u8], tag: &[u8; 16]) -> Opened {
        let held = self.held.iter().flatten().find(|(held, _)| (held & 0xff) as u8 == epoch);
        match held {
            None => Opened::Stale,
            Some((_, aead)) if aead.open(pn, aad, body, tag) => Opened::Authentic,
            Some(_) => Opened::Forged,
        }
    }
}
