//! A set of hashes in very few bits: what is in it is always found, what is not is mostly told apart.
//!
//! An xor filter (Graf and Lemire, 2020): each hash names one slot in each of three blocks, and the
//! slots together give its fingerprint. A fingerprint of `b` bits costs 1.23 · b bits a hash, and one
//! in 2ᵇ strange hashes is taken for one of the set. Here `b` is what the room allows.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | 1: this layout |
//! | 1 | bits of a fingerprint: 1, 2, 4 or 8 |
//! | 1 | salt |
//! | 2 | slots of a block, little-endian, at least 1 |
//! | rest | fingerprints of the three blocks, the lowest bits first; the last byte filled up with 0 |
//!
//! **Bounds.** 24,576 hashes at most; as many bytes as the caller gives room for.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// First byte of this layout.
const LAYOUT: u8 = 1;
/// Bytes before the fingerprints.
const HEAD: usize = 5;
/// Widths to choose from, the best first. With one bit every second strange hash passes.
const WIDTHS: [u8; 4] = [8, 4, 2, 1];
/// Hashes of one sieve.
pub const HASHES_MAX: usize = 24_576;
/// Arrangements that are tried; each fails with a probability well below one half.
const SALTS: u8 = 64;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sieve {
    bits: u8,
    salt: u8,
    block: u16,
    packed: Vec<u8>,
}

/// Bytes that are no sieve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoSieve;

impl fmt::Display for NoSieve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the filter breaks the layout that it names")
    }
}

impl core::error::Error for NoSieve {}

impl Sieve {
    /// The best sieve of `hashes`, without repetitions, that takes at most `room` bytes; `None` if
    /// there is none. M-20
    pub fn of(hashes: &[u64], room: usize) -> Option<Self> {
        if hashes.is_empty() || hashes.len() > HASHES_MAX {
            return None;
        }
        let block = u16::try_from((hashes.len() * 123 / 100 + 32).div_ceil(3)).ok()?;
        let bits = WIDTHS.into_iter().find(|bits| HEAD + packed_len(block, *bits) <= room)?;
        (0..SALTS).find_map(|salt| Self::arranged(hashes, bits, salt, block))
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![LAYOUT, self.bits, self.salt];
        bytes.extend_from_slice(&self.block.to_le_bytes());
        bytes.extend_from_slice(&self.packed);
        bytes
    }

    /// What `bytes` stand for; `Ok(None)` if they are of a layout that is not known here.
    ///
    /// # Errors
    /// [`NoSieve`]: they name this layout and break it. M-21
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, NoSieve> {
        let [LAYOUT, rest @ ..] = bytes else { return Ok(None) };
        let [bits, salt, low, high, packed @ ..] = rest else { return Err(NoSieve) };
        let block = u16::from_le_bytes([*low, *high]);
        if !WIDTHS.contains(bits) || block == 0 || packed.len() != packed_len(block, *bits) {
            return Err(NoSieve);
        }
        let used = 3 * usize::from(block) * usize::from(*bits) % 8;
        if used != 0 && packed.last().is_some_and(|last| last >> used != 0) {
            return Err(NoSieve);
        }
        Ok(Some(Self { bits: *bits, salt: *salt, block, packed: packed.to_vec() }))
    }

    /// Whether the hash may be in the set; false is certain.
    pub fn may_have(&self, hash: u64) -> bool {
        let (slots, print) = self.places(hash);
        slots.into_iter().fold(print, |left, slot| left ^ self.get(slot)) == 0
    }

    /// Bytes in memory.
    pub fn size(&self) -> usize {
        HEAD + self.packed.len()
    }

    /// Gives every hash a slot of its own, last to first, and fills the slots so that they add up.
    fn arranged(hashes: &[u64], bits: u8, salt: u8, block: u16) -> Option<Self> {
        let slots = 3 * usize::from(block);
        let mut sieve = Self { bits, salt, block, packed: vec![0; packed_len(block, bits)] };
        // How many hashes name a slot, and their sum: with one left, the sum is that hash.
        let mut named = vec![(0_u32, 0_u64); slots];
        for hash in hashes {
            for slot in sieve.places(*hash).0 {
                let (count, sum) = named.get_mut(slot)?;
                (*count, *sum) = (*count + 1, *sum ^ hash);
            }
        }
        let alone = |named: &[(u32, u64)], slot: usize| named.get(slot).is_some_and(|it| it.0 == 1);
        let mut free: Vec<usize> = (0..slots).filter(|slot| alone(&named, *slot)).collect();
        let mut order = Vec::with_capacity(hashes.len());
        while let Some(slot) = free.pop() {
            if !alone(&named, slot) {
                continue;
            }
            let hash = named.get(slot)?.1;
            order.push((hash, slot));
            for slot in sieve.places(hash).0 {
                let (count, sum) = named.get_mut(slot)?;
                (*count, *sum) = (*count - 1, *sum ^ hash);
                if *count == 1 {
                    free.push(slot);
                }
            }
        }
        if order.len() != hashes.len() {
            return None;
        }
        for (hash, own) in order.into_iter().rev() {
            let (slots, print) = sieve.places(hash);
            let others = slots.into_iter().filter(|slot| *slot != own);
            let value = others.fold(print, |left, slot| left ^ sieve.get(slot));
            sieve.set(own, value);
        }
        Some(sieve)
    }

    /// One slot in each block, and the fingerprint.
    fn places(&self, hash: u64) -> ([usize; 3], u8) {
        let mixed = mix(hash ^ mix(u64::from(self.salt) + 1));
        let block = u64::from(self.block);
        let slot = |turn: u32, n: u64| {
            let word = mixed.rotate_left(turn) & 0xffff_ffff;
            (n * block + ((word * block) >> 32)) as usize
        };
        let print = mix(mixed) as u8 & (0xff >> (8 - self.bits));
        ([slot(0, 0), slot(21, 1), slot(42, 2)], print)
    }

    fn get(&self, slot: usize) -> u8 {
        let at = slot * usize::from(self.bits);
        let byte = self.packed.get(at / 8).copied().unwrap_or(0);
        (byte >> (at % 8)) & (0xff >> (8 - self.bits))
    }

    fn set(&mut self, slot: usize, value: u8) {
        let at = slot * usize::from(self.bits);
        if let Some(byte) = self.packed.get_mut(at / 8) {
            *byte |= value << (at % 8); // each slot is set once
        }
    }
}

fn packed_len(block: u16, bits: u8) -> usize {
    (3 * usize::from(block) * usize::from(bits)).div_ceil(8)
}

/// The finaliser of MurmurHash3: every bit of the input moves half of the output's.
fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    word = (word ^ (word >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hashes(count: u64, from: u64) -> Vec<u64> {
        (from..from + count).map(|n| mix(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect()
    }

    /// Strange hashes that pass, in thousandths.
    fn wrong(sieve: &Sieve) -> usize {
        hashes(10_000, 1 << 40).iter().filter(|hash| sieve.may_have(**hash)).count() / 10
    }

    #[test] // M-20
    fn what_is_in_the_set_is_always_found_and_the_rest_as_well_as_the_room_allows() {
        for (count, bits, most) in
            [(150, 8, 10), (700, 8, 10), (1_400, 4, 80), (3_000, 2, 280), (6_000, 1, 520)]
        {
            let set = hashes(count, 7);
            let sieve = Sieve::of(&set, 980).expect("it fits");
            assert!(set.iter().all(|hash| sieve.may_have(*hash)), "{count}");
            assert_eq!(sieve.bits, bits, "{count}");
            assert!(
                sieve.encode().len() <= 980 && wrong(&sieve) <= most,
                "{count}: {}",
                wrong(&sieve)
            );
        }
        assert_eq!(Sieve::of(&hashes(7_000, 7), 980), None, "there is no room");
        assert_eq!(Sieve::of(&[], 980), None);
        let many = Sieve::of(&hashes(20_000, 7), 1 << 20).expect("there is room");
        assert!(hashes(20_000, 7).iter().all(|hash| many.may_have(*hash)));
    }

    #[test] // M-21
    fn bytes_that_break_the_layout_are_refused_and_strange_layouts_are_not_looked_into() {
        let good = Sieve::of(&hashes(200, 1), 980).expect("it fits").encode();
        assert!(Sieve::decode(&good).is_ok_and(|it| it.is_some()));
        assert_eq!(Sieve::decode(&[]), Ok(None));
        assert_eq!(Sieve::decode(&[2, 8, 0, 1, 0, 9]), Ok(None));
        for length in 1..good.len() {
            assert_eq!(Sieve::decode(&good[..length]), Err(NoSieve), "{length}");
        }
        assert_eq!(Sieve::decode(&[&good[..], &[0]].concat()), Err(NoSieve));
        for (at, byte) in [(1, 3), (1, 0), (3, 0), (4, 200)] {
            let mut bad = good.clone();
            bad[at] = byte;
            if at == 3 {
                bad[4] = 0;
            }
            assert_eq!(Sieve::decode(&bad), Err(NoSieve), "{at}");
        }
        assert_eq!(
            Sieve::decode(&[1, 1, 0, 1, 0, 0b1000]),
            Err(NoSieve),
            "a bit beyond the last slot"
        );
    }

    proptest! {
        #[test]
        fn any_set_is_found_again_after_a_journey(set in proptest::collection::btree_set(any::<u64>(), 1..400), room in 40_usize..1_000) {
            let set: Vec<u64> = set.into_iter().collect();
            if let Some(sieve) = Sieve::of(&set, room) {
                let bytes = sieve.encode();
                prop_assert!(bytes.len() <= room && bytes.len() == sieve.size());
                let there = Sieve::decode(&bytes).unwrap().unwrap();
                prop_assert!(set.iter().all(|hash| there.may_have(*hash)));
            }
        }

        #[test]
        fn any_bytes_give_a_sieve_or_a_refusal(bytes in proptest::collection::vec(any::<u8>(), 0..300), hash in any::<u64>()) {
            if let Ok(Some(sieve)) = Sieve::decode(&[&[1][..], &bytes].concat()) {
                sieve.may_have(hash);
                prop_assert_eq!(sieve.encode()[1..].to_vec(), bytes);
            }
        }
    }
}
