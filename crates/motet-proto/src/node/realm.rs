//! What is shared by a realm: its tag, the keys derived from its secret, and realm packets.
//!
//! K-2 Every shared key is derived from the realm's secret by HKDF, one label each; in an open
//! realm from its name. K-11 The tag is a hash of the realm's name, so that a neighbour of the same
//! name with another secret is seen for what it is: a wrong key. K-3 Each sender of realm packets
//! has a key of its own, so that packet counters are unique without coordination.

use crate::config::Realm;
use crate::crypto::{Aead, Cipher, Crypto};
use crate::ids::{EndpointId, EndpointKey};
use crate::rng::Rng;
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use motet_wire::packet::{RealmHeader, TAG_LEN};

/// Senders whose keys are kept at hand.
const SENDERS_MAX: usize = 4_096;

pub(super) struct RealmKeys<A> {
    pub(super) tag: u32,
    pub(super) mac1: [u8; 32],
    pub(super) psk: [u8; 32],
    packets: [u8; 32],
    topics: [u8; 32],
    own: A,
    counter: u64,
    senders: BTreeMap<EndpointKey, A>,
}

impl<A: Aead> RealmKeys<A> {
    pub(super) fn new<C: Crypto<Aead = A>>(
        crypto: &C,
        realm: &Realm,
        own: EndpointKey,
        rng: &mut Rng,
    ) -> Self {
        let root = realm
            .secret
            .unwrap_or_else(|| crypto.hash(&[b"motet open realm", realm.name.as_bytes()]));
        let name = realm.name.as_bytes();
        let derive = |label: &[u8]| crypto.derive(&root, &[label, name]);
        let [a, b, c, d, ..] = crypto.hash(&[b"motet realm tag", name]);
        let packets = derive(b"realm key");
        Self {
            tag: u32::from_le_bytes([a, b, c, d]),
            mac1: derive(b"mac1"),
            psk: if realm.secret.is_some() { derive(b"psk") } else { [0; 32] },
            topics: derive(b"topics"),
            own: crypto.aead(Cipher::Aes256GcmSiv, &sender_key(crypto, &packets, own)),
            packets,
            counter: u64::from(rng.u32()) << 32, // K-4
            senders: BTreeMap::new(),
        }
    }

    /// The hash that stands for a topic in interests: only members can compute it (K-9).
    pub(super) fn topic_hash<C: Crypto>(&self, crypto: &C, topic: &str) -> u64 {
        self.hash(crypto, topic.as_bytes())
    }

    /// A keyed hash of anything.
    pub(super) fn hash<C: Crypto>(&self, crypto: &C, bytes: &[u8]) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = crypto.mac(&self.topics, &[bytes]);
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Seals `records` into a whole packet. `header.counter` is filled in.
    pub(super) fn seal(&mut self, mut header: RealmHeader, records: &[u8]) -> Vec<u8> {
        header.counter = self.counter;
        self.counter += 1;
        let head = header.encode();
        let mut out = Vec::with_capacity(head.len() + records.len() + TAG_LEN);
        out.extend_from_slice(&head);
        out.extend_from_slice(records);
        let tag = self.own.seal(header.counter, &head, &mut out[head.len()..]);
        out.extend_from_slice(&tag);
        out
    }

    /// Opens a realm packet in place; its records are `datagram[LEN..len - TAG_LEN]` then.
    pub(super) fn open<C: Crypto<Aead = A>>(
        &mut self,
        crypto: &C,
        header: &RealmHeader,
        datagram: &mut [u8],
    ) -> bool {
        let key = EndpointKey { id: header.id, incarnation: header.incarnation };
        let Some((head, rest)) = datagram.split_at_mut_checked(RealmHeader::LEN) else {
            return false;
        };
        let Some((body, tag)) = rest.split_last_chunk_mut::<TAG_LEN>() else { return false };
        if let Some(aead) = self.senders.get(&key) {
            return aead.open(header.counter, head, body, tag);
        }
        let aead = crypto.aead(Cipher::Aes256GcmSiv, &sender_key(crypto, &self.packets, key));
        let good = aead.open(header.counter, head, body, tag);
        if good {
            if self.senders.len() >= SENDERS_MAX {
                self.senders.pop_first();
            }
            self.senders.insert(key, aead);
        }
        good
    }

    pub(super) fn forget(&mut self, id: EndpointId) {
        self.senders.retain(|key, _| key.id != id);
    }
}

fn sender_key<C: Crypto>(crypto: &C, packets: &[u8; 32], sender: EndpointKey) -> [u8; 32] {
    crypto.derive(packets, &[&sender.id.0, &sender.incarnation.to_le_bytes()])
}

/// The wall clock as the host last told it.
pub(super) struct Wall {
    ms: u64,
    at: Time,
    stamp: u64,
}

impl Wall {
    pub(super) fn new(ms: u64, at: Time) -> Self {
        Self { ms, at, stamp: 0 }
    }

    pub(super) fn set(&mut self, ms: u64, at: Time) {
        (self.ms, self.at) = (ms, at);
    }

    /// Microseconds since 1970.
    pub(super) fn micros(&self, now: Time) -> u64 {
        let since = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        self.ms.saturating_mul(1_000).saturating_add(since)
    }

    /// A stamp for HS1: the wall clock in ns, but always rising (S-4).
    pub(super) fn stamp(&mut self, now: Time) -> u64 {
        self.stamp = self.stamp.saturating_add(1).max(self.micros(now).saturating_mul(1_000));
        self.stamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // S-4
    fn a_wall_clock_far_in_the_future_does_no_harm() {
        let mut wall = Wall::new(u64::MAX, Time::ZERO);
        assert_eq!(wall.stamp(Time(1)), u64::MAX);
        assert_eq!(wall.stamp(Time(2)), u64::MAX);
    }
}
