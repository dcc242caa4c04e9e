//! # The log: what a publication's readers may still need
//!
//! **Promise.** A message stays until every reader that counts has it and it is outside of the
//! history, or until the node evicts it; a number is never given twice, and never asked in vain:
//! what is gone says why, what is below [`Log::first`] was evicted.
//!
//! | input | effect |
//! |---|---|
//! | push | the next number; one copy for all readers (T-4) |
//! | trim | acknowledged messages outside of the history go; old ones expire (T-14) |
//! | conflate | unsent older messages of a key are gone |
//! | evict | the oldest goes, needed or not |
//!
//! **Bounds.** [`Log::bytes`] is kept below the publication's limit by the node (trim, then policy).
//! A message that is gone in the middle still counts 64 bytes until the front reaches it.

use super::cost;
use super::spares::Spares;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use bytes::{Bytes, BytesMut};
use motet_wire::frame::GapReason;

/// A message in the log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The whole message; empty if it is gone.
    pub body: Bytes,
    /// When it was published, µs of the stream's clock.
    pub t_us: u64,
    /// Hash of its key; 0 if it has none.
    pub key: u64,
    /// Why it is no longer held.
    pub gone: Option<GapReason>,
    /// What everything before it counts.
    pos: u64,
}

/// The messages of a publication that its readers may still need.
#[derive(Clone, Debug)]
pub struct Log {
    first: u64,
    entries: VecDeque<Entry>,
    bytes: u64,
    /// What everything ever pushed counts.
    end: u64,
    /// Nothing below is to expire.
    expired: u64,
    /// Per key, the numbers that are held; only for messages with keys.
    keys: BTreeMap<u64, VecDeque<u64>>,
    /// Keys that may hold more than the history since the last trim.
    fat: BTreeSet<u64>,
}

impl Log {
    /// The first publish gets `start` (1, but for tests near the largest number).
    pub fn new(start: u64) -> Self {
        Self {
            first: start,
            entries: VecDeque::new(),
            bytes: 0,
            end: 0,
            expired: start,
            keys: BTreeMap::new(),
            fat: BTreeSet::new(),
        }
    }

    /// The first number held.
    #[inline]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The number that the next publish gets.
    #[inline]
    pub fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// True if nothing is held.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends; its number.
    #[inline]
    pub fn push(&mut self, body: Bytes, t_us: u64, key: u64) -> u64 {
        let (seq, cost) = (self.next(), cost(body.len()));
        self.entries.push_back(Entry { body, t_us, key, gone: None, pos: self.end });
        self.end += cost;
        self.bytes += cost;
        if key != 0 {
            let seqs = self.keys.entry(key).or_default();
            seqs.push_back(seq);
            if seqs.len() > 1 {
                self.fat.insert(key);
            }
        }
        seq
    }

    /// The entry, gone or not; `None` if it is not in the log.
    #[inline]
    pub fn get(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(self.index(seq)?)
    }

    /// The entries from `seq` on, in order.
    pub fn from(&self, seq: u64) -> impl Iterator<Item = &Entry> {
        let skip = seq.saturating_sub(self.first).min(self.entries.len() as u64) as usize;
        self.entries.range(skip..)
    }

    /// What all entries count.
    #[inline]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What everything before `seq` counted since the beginning; rises with `seq`. Below
    /// [`Log::first`] as there, above [`Log::next`] likewise.
    #[inline]
    pub fn pos(&self, seq: u64) -> u64 {
        let index = seq.saturating_sub(self.first);
        let entry = usize::try_from(index).ok().and_then(|index| self.entries.get(index));
        entry.map_or(self.end, |entry| entry.pos)
    }

    /// Drops the oldest entry, whether or not somebody needs it.
    #[inline]
    pub fn evict_front(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.bytes -= cost(entry.body.len());
        if entry.key != 0 {
            self.forget_key(entry.key, self.first);
        }
        self.first += 1;
        Some(entry)
    }

    /// Frees entries below `acked_by_all` outside of the last `history` (of the stream; of their
    /// key where they have one), and the bodies of those older than `lifespan_us`. How many were
    /// marked expired.
    pub fn trim(
        &mut self,
        acked_by_all: u64,
        history: u32,
        now_t_us: u64,
        lifespan_us: Option<u64>,
    ) -> u64 {
        let expired = lifespan_us.map_or(0, |lifespan| self.expire(now_t_us, lifespan));
        let all = crate::planted::on("log_freed_before_all_acked");
        let acked = if all { self.next() } else { acked_by_all };
        self.thin_keys(acked, history);
        let keep_from = self.next().saturating_sub(u64::from(history));
        while let Some(entry) = self.entries.front() {
            let kept = entry.gone.is_none() && (entry.key != 0 || self.first >= keep_from);
            if self.first >= acked || kept {
                break;
            }
            self.evict_front();
        }
        expired
    }

    /// Marks entries of `key` in `from..below`, which nobody was sent, as conflated; how many.
    pub fn conflate(&mut self, key: u64, from: u64, below: u64) -> u64 {
        let mut done = 0;
        let older = |seqs: &VecDeque<u64>| {
            let at = seqs.partition_point(|seq| *seq < from);
            seqs.get(at).copied().filter(|seq| *seq < below)
        };
        while let Some(seq) = self.keys.get(&key).and_then(older) {
            self.mark(seq, GapReason::Conflated);
            done += 1;
        }
        done
    }

    /// Marks one entry as gone and frees its body.
    pub fn mark(&mut self, seq: u64, reason: GapReason) {
        let index = self.index(seq);
        let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) else { return };
        if entry.gone.is_some() {
            return;
        }
        entry.gone = Some(reason);
        self.bytes -= cost(entry.body.len()) - cost(0);
        entry.body = Bytes::new();
        let key = entry.key;
        if key != 0 {
            self.forget_key(key, seq);
        }
    }

    #[inline]
    fn index(&self, seq: u64) -> Option<usize> {
        usize::try_from(seq.checked_sub(self.first)?).ok()
    }

    fn expire(&mut self, now_t_us: u64, lifespan_us: u64) -> u64 {
        let mut done = 0;
        self.expired = self.expired.max(self.first);
        while let Some(entry) = self.get(self.expired) {
            if now_t_us.saturating_sub(entry.t_us) <= lifespan_us {
                break;
            }
            done += u64::from(entry.gone.is_none());
            self.mark(self.expired, GapReason::Expired);
            self.expired += 1;
        }
        done
    }

    /// Marks what newer messages of the same key pushed out of the history.
    fn thin_keys(&mut self, acked: u64, history: u32) {
        let mut fat = core::mem::take(&mut self.fat);
        fat.retain(|key| {
            while let Some(seqs) = self.keys.get(key).filter(|s| s.len() > history as usize) {
                match seqs.front() {
                    Some(seq) if *seq < acked => self.mark(*seq, GapReason::Conflated),
                    _ => return true,
                }
            }
            false
        });
        self.fat = fat;
    }

    fn forget_key(&mut self, key: u64, seq: u64) {
        let Some(seqs) = self.keys.get_mut(&key) else { return };
        if let Ok(at) = seqs.binary_search(&seq) {
            seqs.remove(at);
        }
        if seqs.is_empty() {
            self.keys.remove(&key);
        }
    }
}

/// Bytes of a payload block.
const BLOCK: usize = 64 << 10;
/// Larger messages get memory of their own, or that of one that is gone.
const BLOCK_MESSAGE_MAX: usize = 32 << 10;
/// Full blocks kept for reuse.
const POOL_MAX: usize = 160;

/// Copies bodies into shared blocks that are reused, so that a steady publisher does not allocate.
/// One for all publications of a node: a message that is kept keeps its block.
#[derive(Debug, Default)]
pub struct Blocks {
    current: BytesMut,
    full: VecDeque<BytesMut>,
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

    /// Gives back memory that is kept for messages to come, if none came since the last call.
    pub fn tidy(&mut self) {
        self.spares.tidy();
    }

    /// Puts the current block aside and takes one that nobody uses any more, or a new one.
    fn turn(&mut self) {
        let used = core::mem::take(&mut self.current);
        self.full.push_back(used);
        // The oldest are free first: look at a few, so that one long-lived message costs nothing.
        for _ in 0..self.full.len().min(4) {
            let Some(mut block) = self.full.pop_front() else { break };
            if block.try_reclaim(BLOCK) {
                self.current = block;
                return;
            }
            self.full.push_back(block);
        }
        if self.full.len() > POOL_MAX {
            self.full.pop_front();
        }
        self.current = BytesMut::with_capacity(BLOCK);
    }
}
