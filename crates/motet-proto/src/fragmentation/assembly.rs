//! One message in pieces.

use crate::ranges::RangeSet;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::Bytes;

/// Holes that a message may have while it comes.
pub const HOLES_MAX: usize = 4_096;
/// Bytes of a chunk.
const CHUNK: u64 = 64 << 10;

/// What a piece did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Insert {
    /// At least one byte was new.
    New,
    /// All of it was there.
    Duplicate,
    /// One hole too many; dropped.
    TooManyHoles,
    /// Not inside of the message; dropped.
    Outside,
}

/// One message in pieces. What comes in order is put where it stays; what comes early waits in
/// chunks. Memory grows with what came: at most twice that, and a chunk.
#[derive(Clone, Debug)]
pub struct Assembly {
    total: u64,
    /// The message from its start, as far as it is without a hole.
    front: Vec<u8>,
    /// What came beyond the front, and does not touch it.
    early: RangeSet,
    chunks: BTreeMap<u64, Vec<u8>>,
    memory: u64,
}

impl Assembly {
    /// Nothing of `total` bytes.
    pub fn new(total: u64) -> Self {
        Self::within(total, Vec::new())
    }

    /// Nothing of `total` bytes, in memory that is there already: `room` is empty.
    pub fn within(total: u64, room: Vec<u8>) -> Self {
        let (early, memory) = (RangeSet::new(), room.capacity() as u64);
        Self { total, front: room, early, chunks: BTreeMap::new(), memory }
    }

    /// Bytes of the whole message.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Takes the bytes at `off`.
    pub fn insert(&mut self, off: u64, bytes: &[u8]) -> Insert {
        let len = bytes.len() as u64;
        if self.total.checked_sub(off).is_none_or(|room| len > room) {
            return Insert::Outside;
        }
        let end = off + len;
        let from = off.max(self.contiguous());
        if from >= end {
            return Insert::Duplicate;
        }
        if from > self.contiguous() && self.early.len_after_insert(from, end) > HOLES_MAX {
            return Insert::TooManyHoles;
        }
        let mut new = false;
        for (from, to) in self.early.missing(from, end) {
            let span = bytes.get((from - off) as usize..(to - off) as usize).unwrap_or_default();
            if from == self.front.len() as u64 {
                self.memory += append(&mut self.front, self.total, span);
            } else {
                self.memory += write(&mut self.chunks, self.total, from, span);
            }
            new = true;
        }
        if from > self.contiguous() || !self.early.is_empty() {
            self.early.insert(from, end);
            self.join();
        }
        if new { Insert::New } else { Insert::Duplicate }
    }

    /// Moves to the front what came early and now follows it.
    fn join(&mut self) {
        while let Some((from, to)) = self.early.first()
            && from <= self.contiguous()
        {
            while self.contiguous() < to {
                let at = self.contiguous();
                let (index, inside) = (at / CHUNK, (at % CHUNK) as usize);
                let upto = (to - index * CHUNK).min(CHUNK) as usize;
                let chunk = self.chunks.get(&index).and_then(|chunk| chunk.get(inside..upto));
                let Some(span) = chunk else { break };
                self.memory += append(&mut self.front, self.total, span);
            }
            self.early.remove(from, to);
        }
    }

    /// Bytes from the start without a hole.
    pub fn contiguous(&self) -> u64 {
        self.front.len() as u64
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// The holes below `upto`, as (offset, length).
    pub fn missing(&self, upto: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let holes = self.early.missing(self.contiguous(), upto.min(self.total));
        holes.map(|(from, to)| (from, to - from))
    }

    /// True if no byte is missing.
    pub fn is_complete(&self) -> bool {
        self.contiguous() == self.total
    }

    /// The message. A byte that is still missing is zero.
    pub fn finish(self) -> Bytes {
        let mut whole = self.front;
        for (index, chunk) in self.chunks {
            let have = (whole.len() as u64).saturating_sub(index * CHUNK) as usize;
            if let Some(rest) = chunk.get(have..) {
                whole.resize((index * CHUNK) as usize + have, 0);
                whole.extend_from_slice(rest);
            }
        }
        whole.into()
    }
}

/// Appends `bytes` to the front of a message of `total` bytes; the memory that took.
fn append(front: &mut Vec<u8>, total: u64, bytes: &[u8]) -> u64 {
    let before = front.capacity();
    let wanted = front.len() + bytes.len();
    if wanted > before {
        let capacity = wanted.max(before * 2).max(CHUNK as usize);
        let capacity = capacity.min(usize::try_from(total).unwrap_or(usize::MAX));
        front.reserve_exact(capacity.max(wanted) - front.len());
    }
    front.extend_from_slice(bytes);
    (front.capacity() - before) as u64
}

/// Writes `bytes` at `at` into the chunks of a message of `total` bytes; the memory that took.
fn write(chunks: &mut BTreeMap<u64, Vec<u8>>, total: u64, mut at: u64, mut bytes: &[u8]) -> u64 {
    let mut grown = 0;
    while !bytes.is_empty() {
        let (index, inside) = (at / CHUNK, (at % CHUNK) as usize);
        let size = (total - index * CHUNK).min(CHUNK) as usize;
        let chunk = chunks.entry(index).or_insert_with(|| {
            grown += size as u64;
            alloc::vec![0; size]
        });
        let (head, tail) = bytes.split_at(bytes.len().min(size - inside));
        if let Some(place) = chunk.get_mut(inside..inside + head.len()) {
            place.copy_from_slice(head);
        }
        at += head.len() as u64;
        bytes = tail;
    }
    grown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(total: usize) -> Vec<u8> {
        (0..total).map(|n| (n * 7 + n / 251) as u8).collect()
    }

    proptest! {
        #[test] // F-1
        fn pieces_in_any_order_with_overlaps_give_the_message(
            total in 1..200_000usize,
            cuts in proptest::collection::vec((0..200_000usize, 1..9_000usize), 0..60),
        ) {
            let whole = body(total);
            let mut assembly = Assembly::new(total as u64);
            for (at, len) in cuts {
                let at = at % total;
                let end = (at + len).min(total);
                assembly.insert(at as u64, &whole[at..end]);
                let missing: u64 = assembly.missing(u64::MAX).map(|(_, len)| len).sum();
                prop_assert_eq!(missing == 0, assembly.is_complete());
            }
            let holes: Vec<_> = assembly.missing(u64::MAX).collect();
            for (off, len) in holes.into_iter().rev() {
                prop_assert!(!assembly.is_complete());
                let piece = &whole[off as usize..(off + len) as usize];
                prop_assert_eq!(assembly.insert(off, piece), Insert::New);
            }
            prop_assert!(assembly.is_complete());
            prop_assert_eq!(assembly.finish(), whole);
        }
    }

    #[test] // F-2
    fn an_announced_size_allocates_nothing() {
        let mut assembly = Assembly::new(1 << 30);
        assembly.insert((1 << 30) - 1, &[1]);
        assert_eq!(assembly.memory(), CHUNK);
    }

    #[test] // F-4
    fn a_piece_outside_of_the_message_is_refused_at_the_edges_of_integers() {
        let mut assembly = Assembly::new(10);
        assert_eq!(assembly.insert(u64::MAX, &[1]), Insert::Outside);
        assert_eq!(assembly.insert(10, &[1]), Insert::Outside);
        assert_eq!(assembly.insert(9, &[1, 2]), Insert::Outside);
        let mut huge = Assembly::new(u64::MAX);
        assert_eq!(huge.insert(u64::MAX - 1, &[1]), Insert::New);
        assert_eq!(assembly.memory(), 0);
    }

    #[test] // F-3
    fn the_bytes_that_came_first_stay() {
        let mut assembly = Assembly::new(4);
        assembly.insert(1, &[1, 1]);
        assert_eq!(assembly.insert(0, &[2; 4]), Insert::New);
        assert_eq!(assembly.insert(0, &[3; 4]), Insert::Duplicate);
        assert_eq!(assembly.finish(), &[2, 1, 1, 2][..]);
    }

    #[test] // F-5
    fn a_piece_that_makes_one_hole_too_many_is_dropped() {
        let mut assembly = Assembly::new(100_000);
        for n in 0..=HOLES_MAX as u64 {
            assert_eq!(assembly.insert(n * 2, &[1]), Insert::New);
        }
        assert_eq!(assembly.insert(50_000, &[1]), Insert::TooManyHoles);
        assert_eq!(assembly.insert(1, &[1]), Insert::New);
        assert_eq!(assembly.insert(50_000, &[1]), Insert::New);
    }
}
