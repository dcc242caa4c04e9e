//! What an endpoint wants, as a change from one version of its set to another.
//!
//! | field | meaning |
//! |---|---|
//! | vi base | the version this changes; 0 = a snapshot |
//! | vi version | the version after it |
//! | u8 flags | b0 history wanted |
//! | vi n ≤ 16,384, n × u64 | topic hashes added |
//! | vi n ≤ 16,384, n × u64 | topic hashes removed |
//! | vi n, n × (vi len, pattern) | patterns added |
//! | vi n, n × (vi len, pattern) | patterns removed |
//! | vi len, filter | optional: present if bytes are left |
//!
//! - **W-40** A list holds at most 16,384 hashes; both pattern lists together at most 10,000
//!   patterns; a filter has at most 262,144 bytes.
//! - **W-41** A pattern has 1 to 1,024 bytes of UTF-8.

use alloc::{string::String, vec::Vec};

use crate::Malformed;
use crate::codec::{self, Reader};

/// Hashes that one list can hold.
pub const MAX_HASHES: usize = 16_384;
/// Patterns that both lists together can hold.
pub const MAX_PATTERNS: usize = 10_000;
/// Bytes that a pattern can have.
pub const MAX_PATTERN: usize = 1_024;
/// Bytes that a filter can have: 100,000 topics at 9 bits take 113 KB.
pub const MAX_FILTER: usize = 256 * 1_024;

/// A change of what an endpoint wants, or all of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Interest {
    /// The version that this changes; 0 = this is all.
    pub base: u64,
    /// The version after it.
    pub version: u64,
    /// b0: history wanted.
    pub flags: u8,
    /// Hashes of exact topics, new.
    pub added: Vec<u64>,
    /// Hashes of exact topics, gone.
    pub removed: Vec<u64>,
    /// Patterns, new.
    pub patterns_added: Vec<String>,
    /// Patterns, gone.
    pub patterns_removed: Vec<String>,
    /// A filter that stands for many exact topics.
    pub filter: Option<Vec<u8>>,
}

impl Interest {
    /// The bit of `flags` by which history is wanted.
    pub const HISTORY: u8 = 1;

    /// Appends the fields, without a record's type and length. The caller keeps the limits.
    pub fn encode(&self, out: &mut Vec<u8>) {
        codec::put_vi(out, self.base);
        codec::put_vi(out, self.version);
        out.push(self.flags);
        for hashes in [&self.added, &self.removed] {
            codec::put_vi(out, hashes.len() as u64);
            hashes.iter().for_each(|hash| codec::put_u64(out, *hash));
        }
        for patterns in [&self.patterns_added, &self.patterns_removed] {
            codec::put_vi(out, patterns.len() as u64);
            patterns.iter().for_each(|pattern| codec::put_vi_bytes(out, pattern.as_bytes()));
        }
        if let Some(filter) = &self.filter {
            codec::put_vi_bytes(out, filter);
        }
    }

    /// Takes the fields, and all that is left as the filter.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (base, version, flags) = (r.get_vi()?, r.get_vi()?, r.get_flags(Self::HISTORY)?);
        let (added, removed) = (hashes(r)?, hashes(r)?);
        let patterns_added = patterns(r, MAX_PATTERNS)?;
        let patterns_removed = patterns(r, MAX_PATTERNS - patterns_added.len())?;
        let filter = if r.is_empty() { None } else { Some(r.get_vi_bytes(MAX_FILTER)?.to_vec()) };
        Ok(Self { base, version, flags, added, removed, patterns_added, patterns_removed, filter })
    }
}

fn hashes(r: &mut Reader<'_>) -> Result<Vec<u64>, Malformed> {
    let n = r.get_count(MAX_HASHES)?;
    let (hashes, _) = r.get_bytes(n * 8)?.as_chunks();
    Ok(hashes.iter().map(|hash| u64::from_le_bytes(*hash)).collect())
}

fn patterns(r: &mut Reader<'_>, max: usize) -> Result<Vec<String>, Malformed> {
    let n = r.get_count(max)?;
    let mut patterns = Vec::new();
    for _ in 0..n {
        let bytes = r.get_vi_bytes(MAX_PATTERN).map_err(|rule| match rule {
            Malformed::Length => Malformed::Pattern,
            other => other,
        })?;
        if bytes.is_empty() {
            return Err(Malformed::Pattern);
        }
        patterns.push(codec::owned(bytes)?);
    }
    Ok(patterns)
}
