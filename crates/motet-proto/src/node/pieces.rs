//! Where transport's pieces meet fragmentation's assembly.

use crate::fragmentation::assembly::{Assembly, Insert};
use crate::transport::stream::{Inserted, Pieces};
use alloc::vec::Vec;
use bytes::Bytes;

impl Pieces for Assembly {
    fn new(total: u64, room: Vec<u8>) -> Self {
        Self::within(total, room)
    }

    fn total(&self) -> u64 {
        self.total()
    }

    fn insert(&mut self, off: u64, bytes: &[u8]) -> Inserted {
        match self.insert(off, bytes) {
            Insert::New => Inserted::New,
            Insert::Duplicate => Inserted::Duplicate,
            Insert::TooManyHoles => Inserted::TooManyHoles,
            Insert::Outside => Inserted::Outside,
        }
    }

    fn contiguous(&self) -> u64 {
        self.contiguous()
    }

    fn memory(&self) -> u64 {
        self.memory()
    }

    fn is_complete(&self) -> bool {
        self.is_complete()
    }

    fn finish(self) -> Bytes {
        self.finish()
    }
}
