//! Memory for what came early or in pieces: one [`Pool`] per node, one [`Share`] per peer (T-50).

use super::spares::Spares;
use alloc::vec::Vec;

/// Messages above this need a large-message token unless they are next in line (T-51).
pub(super) const LARGE: u64 = 1 << 20;
/// Large-message tokens of a node (Homa's overcommitment degree, doubled).
pub(super) const LARGE_TOKENS: u32 = 16;

/// The memory of all peers.
#[derive(Clone, Debug)]
pub struct Pool {
    used: u64,
    max: u64,
    tokens: u32,
    pub(super) spares: Spares,
}

impl Pool {
    /// `max` bytes in all.
    pub fn new(max: u64) -> Self {
        Self { used: 0, max, tokens: LARGE_TOKENS, spares: Spares::default() }
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Gives back memory that is kept for messages to come, if none came since the last call.
    pub fn tidy(&mut self) {
        self.spares.tidy();
    }

    /// Large-message tokens left.
    pub fn tokens(&self) -> u32 {
        self.tokens
    }
}

/// The memory of one peer.
#[derive(Clone, Debug)]
pub struct Share {
    used: u64,
    max: u64,
}

impl Share {
    /// `max` bytes for this peer: a quarter of the pool.
    pub fn new(max: u64) -> Self {
        Self { used: 0, max }
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used
    }
}

/// What a reader draws on.
#[derive(Debug)]
pub struct Budget<'a> {
    /// Of the node.
    pub pool: &'a mut Pool,
    /// Of the peer.
    pub share: &'a mut Share,
}

impl Budget<'_> {
    /// True if `bytes` more may be held. The message next in line (`head`) has as much again to
    /// itself: else two half-assembled giants could wait for each other.
    pub fn may(&self, bytes: u64, head: bool) -> bool {
        let times = if head { 2 } else { 1 };
        let fits = |used: u64, max: u64| bytes <= max.saturating_mul(times).saturating_sub(used);
        fits(self.pool.used, self.pool.max) && fits(self.share.used, self.share.max)
    }

    /// Memory for the message next in line, of `total` bytes: what an earlier one was in, if there
    /// is room for all of it.
    pub(super) fn spare(&mut self, total: u64) -> Vec<u8> {
        if !self.may(total.saturating_mul(2), true) {
            return Vec::new();
        }
        self.pool.spares.take(total).unwrap_or_default()
    }

    /// Counts `bytes` as held.
    pub fn take(&mut self, bytes: u64) {
        self.pool.used += bytes;
        self.share.used += bytes;
    }

    /// Counts `bytes` as free again.
    pub fn give(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.share.used && bytes <= self.pool.used, "freed twice");
        self.pool.used = self.pool.used.saturating_sub(bytes);
        self.share.used = self.share.used.saturating_sub(bytes);
    }

    /// Takes a large-message token; false if there is none.
    pub fn take_token(&mut self) -> bool {
        let Some(left) = self.pool.tokens.checked_sub(1) else { return false };
        self.pool.tokens = left;
        true
    }

    /// Gives a token back.
    pub fn give_token(&mut self) {
        self.pool.tokens = (self.pool.tokens + 1).min(LARGE_TOKENS);
    }
}
