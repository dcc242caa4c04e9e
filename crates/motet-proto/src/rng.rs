//! Chance as an input: one seeded generator per node.

use chacha20::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng};

/// The node's only source of randomness. Ids and tags drawn from it cannot be guessed.
pub struct Rng(ChaCha12Rng);

impl Rng {
    /// Same seed, same draws.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// Any u64.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Any u32.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Even in `0..bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Even in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.0.fill_bytes(&mut out);
        out
    }
}
