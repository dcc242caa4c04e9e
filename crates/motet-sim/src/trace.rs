//! What happened, as a hash for comparing and as lines for reading.

use crate::null::sum64;
use motet_proto::Time;
use std::collections::VecDeque;
use std::fmt::Write as _;

/// Lines kept at most.
const LINES: usize = 20_000;

/// A step of FNV-1a by words.
pub(crate) fn fold(hash: u64, word: u64) -> u64 {
    (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29)
}

/// The record of a world.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    hash: u64,
    lines: VecDeque<String>,
    /// Keep lines too.
    pub keep: bool,
}

impl Trace {
    /// Mixes one datagram into the hash (FNV-1a over its fields and a sum of its bytes).
    pub fn datagram(&mut self, now: Time, from: usize, to: usize, bytes: &[u8]) {
        for word in [now.0, from as u64, to as u64, bytes.len() as u64, sum64(0, bytes)] {
            self.hash = fold(self.hash, word);
        }
    }

    /// Adds a line, if lines are kept.
    pub fn line(&mut self, now: Time, line: impl FnOnce(&mut String)) {
        if self.keep {
            if self.lines.len() >= LINES {
                self.lines.pop_front();
            }
            let mut text = String::new();
            let _ = write!(text, "{now:?} ");
            line(&mut text);
            self.lines.push_back(text);
        }
    }

    /// Equal for equal runs.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The lines kept.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}
