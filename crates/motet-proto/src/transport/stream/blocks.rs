//! Memory of a node's small messages: blocks that are used again, so that a steady publisher does
//! not allocate.

use super::spares::Spares;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{Bytes, BytesMut};

/// The envelope of a message without key and headers.
pub const PLAIN: [u8; 1] = [0];
/// A length takes no more.
const LENGTH_MAX: usize = 8;
/// Bytes of a payload block.
const BLOCK: usize = 64 << 10;
/// Messages of so many bytes get memory of their own, or that of one that is gone.
pub const BLOCK_MESSAGE_MAX: usize = 32 << 10;
/// Full blocks kept for reuse.
const POOL_MAX: usize = 160;
/// When the oldest block was found in use so often, it goes to the end: somebody keeps it.
const PATIENCE: u32 = 4;

/// Copies bodies into shared blocks that are reused, so that a steady publisher does not allocate.
/// One for all publications of a node: a message that is kept keeps its block.
#[derive(Debug, Default)]
pub struct Blocks {
    current: BytesMut,
    /// Full ones that somebody may hold, about the oldest first; those that nobody does.
    full: VecDeque<BytesMut>,
    free: Vec<BytesMut>,
    /// How often the oldest was found in use.
    refused: u32,
    /// A block was taken since the last call of [`tidy`](Self::tidy).
    turned: bool,
    spares: Spares,
}

impl Blocks {
    /// A copy of the concatenated `parts`.
    #[inline]
    pub fn copy(&mut self, parts: &[&[u8]]) -> Bytes {
        let len = parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        if len == 0 {
            return Bytes::new();
        }
        if len > BLOCK_MESSAGE_MAX {
            let mut own = self.spares.take(len as u64).unwrap_or_default();
            own.reserve_exact(len);
            parts.iter().for_each(|part| own.extend_from_slice(part));
            let own = own.into();
            self.spares.keep(&own);
            return own;
        }
        if self.current.capacity() < len {
            self.turn();
        }
        parts.iter().for_each(|part| self.current.extend_from_slice(part));
        self.current.split().freeze()
    }

    /// A message of `payload` bytes fits behind the others.
    #[inline]
    pub(super) fn has_room(&self, payload: usize) -> bool {
        self.current.capacity() - self.current.len() >= payload + PLAIN.len() + LENGTH_MAX
    }

    /// Puts a message behind the others, after its length: where it begins, and its length.
    #[inline]
    pub(super) fn put(&mut self, payload: &[u8]) -> (u32, u32) {
        let len = payload.len() + PLAIN.len();
        match u8::try_from(len) {
            Ok(len @ 0..0x40) => self.current.extend_from_slice(&[len, PLAIN[0]]),
            Ok(_) | Err(_) if len < 0x4000 => {
                let [high, low] = (len as u16 | 1 << 14).to_be_bytes();
                self.current.extend_from_slice(&[high, low, PLAIN[0]]);
            }
            Ok(_) | Err(_) => {
                self.current.extend_from_slice(&(len as u32 | 2 << 30).to_be_bytes());
                self.current.extend_from_slice(&PLAIN);
            }
        }
        let at = self.current.len() - PLAIN.len();
        self.current.extend_from_slice(payload);
        (at as u32, len as u32) // both within a block
    }

    /// What was put since the last time.
    pub(super) fn split(&mut self) -> Bytes {
        self.current.split().freeze()
    }

    /// Gives back memory that is kept for messages to come, if none came since the last call.
    pub fn tidy(&mut self) {
        self.spares.tidy();
        if !core::mem::take(&mut self.turned) {
            self.free.clear();
        }
    }

    /// Puts the current block aside and takes one that nobody uses any more, or a new one. Of those
    /// the last to become free: it is the likeliest to be near the processor.
    pub(super) fn turn(&mut self) {
        self.turned = true;
        let used = core::mem::take(&mut self.current);
        if used.capacity() > 0 {
            self.full.push_back(used);
        }
        while let Some(oldest) = self.full.front_mut() {
            if !oldest.try_reclaim(BLOCK) {
                self.refused += 1;
                if self.refused >= PATIENCE {
                    self.refused = 0;
                    self.full.rotate_left(1);
                }
                break;
            }
            self.refused = 0;
            self.free.extend(self.full.pop_front());
        }
        if self.full.len() + self.free.len() > POOL_MAX && self.free.pop().is_none() {
            self.full.pop_front();
        }
        self.current = self.free.pop().unwrap_or_else(|| BytesMut::with_capacity(BLOCK));
    }
}
