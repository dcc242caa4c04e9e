//! What a reader asked for again, and what it was sent again a moment ago.

use super::REPAIRS_MAX;
use crate::Time;
use crate::ranges::RangeSet;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// The next thing to repair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Repair {
    /// Whole messages `from..to`.
    Whole(u64, u64),
    /// Bytes `off..end` of message `seq`.
    Bytes(u64, u64, u64),
}

/// Repairs queued for one reader.
#[derive(Clone, Debug, Default)]
pub(super) struct Repairs {
    whole: RangeSet,
    bytes: BTreeMap<u64, RangeSet>,
    /// Ranges in `bytes`.
    ranges: usize,
    /// (message, start) → (end, when it was sent again). Ranges, so that what was repaired never
    /// hides a new hole beside it.
    sent: BTreeMap<(u64, u64), (u64, Time)>,
    sent_order: VecDeque<(Time, (u64, u64))>,
}

impl Repairs {
    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.bytes.is_empty()
    }

    /// No further range fits.
    pub(super) fn is_full(&self) -> bool {
        self.whole.len() + self.ranges >= REPAIRS_MAX
    }

    pub(super) fn first(&self) -> Option<Repair> {
        let bytes = self
            .bytes
            .iter()
            .next()
            .and_then(|(seq, set)| set.first().map(|(off, end)| Repair::Bytes(*seq, off, end)));
        match (self.whole.first(), bytes) {
            (Some((from, to)), Some(Repair::Bytes(seq, ..))) if from < seq => {
                Some(Repair::Whole(from, to.min(seq)))
            }
            (Some((from, to)), None) => Some(Repair::Whole(from, to)),
            (_, bytes) => bytes,
        }
    }

    /// Queues whole messages but for what was sent again since `fresh`; `len` tells a message's
    /// length. True if anything is queued.
    pub(super) fn add_whole(
        &mut self,
        from: u64,
        to: u64,
        fresh: Time,
        len: impl Fn(u64) -> u64,
    ) -> bool {
        let recent = self.sent.range((from, 0)..(to, 0)).filter(|(_, (_, at))| *at > fresh);
        let recent: Vec<u64> = recent.map(|((seq, _), _)| *seq).collect();
        let queued: Vec<u64> = self.bytes.range(from..to).map(|(seq, _)| *seq).collect();
        queued.iter().for_each(|seq| self.drop_bytes(*seq));
        self.whole.insert(from, to);
        for seq in recent {
            if self.whole.remove(seq, seq + 1) > 0 {
                self.add_bytes(seq, 0, len(seq).max(1), fresh);
            }
        }
        self.whole.intersect(from, to).next().is_some()
            || self.bytes.range(from..to).next().is_some()
    }

    /// Queues bytes of a message but for those that were sent again since `fresh`. True if
    /// anything is queued.
    pub(super) fn add_bytes(&mut self, seq: u64, off: u64, end: u64, fresh: Time) -> bool {
        if self.whole.contains(seq) {
            return true;
        }
        let mut wanted = RangeSet::new();
        wanted.insert(off, end);
        for ((_, from), (to, at)) in self.sent.range((seq, 0)..=(seq, end)) {
            if *at > fresh {
                wanted.remove(*from, *to);
            }
        }
        if wanted.is_empty() {
            return false;
        }
        let set = self.bytes.entry(seq).or_default();
        let before = set.len();
        for (from, to) in wanted.iter() {
            set.insert(from, to);
        }
        self.ranges = self.ranges + set.len() - before;
        true
    }

    /// Whole messages leave the queue without being sent (they are gone).
    pub(super) fn drop_whole(&mut self, from: u64, to: u64) {
        self.whole.remove(from, to);
        while let Some((&seq, _)) = self.bytes.range(from..to).next() {
            self.drop_bytes(seq);
        }
    }

    /// A whole message does not fit into a packet: its bytes are repaired.
    pub(super) fn split(&mut self, seq: u64, len: u64) {
        self.whole.remove(seq, seq + 1);
        let set = self.bytes.entry(seq).or_default();
        let before = set.len();
        set.insert(0, len);
        self.ranges = self.ranges + set.len() - before;
    }

    /// These bytes are sent again now.
    pub(super) fn sent(&mut self, now: Time, seq: u64, off: u64, end: u64) {
        self.whole.remove(seq, seq + 1);
        if let Some(set) = self.bytes.get_mut(&seq) {
            let before = set.len();
            set.remove(off, end);
            self.ranges = self.ranges + set.len() - before;
            if set.is_empty() {
                self.bytes.remove(&seq);
            }
        }
        if self.sent_order.len() >= REPAIRS_MAX
            && let Some((at, key)) = self.sent_order.pop_front()
        {
            self.forget(at, key);
        }
        self.sent.insert((seq, off), (end.max(off + 1), now));
        self.sent_order.push_back((now, (seq, off)));
    }

    /// Forgets what was sent again before `fresh`.
    pub(super) fn prune(&mut self, fresh: Time) {
        while let Some((at, key)) = self.sent_order.front().copied() {
            if at > fresh {
                break;
            }
            self.sent_order.pop_front();
            self.forget(at, key);
        }
    }

    /// The reader has everything below `acked`.
    pub(super) fn acked(&mut self, acked: u64, acked_off: u64) {
        if self.is_empty() {
            return;
        }
        self.drop_whole(0, acked);
        if acked_off > 0 {
            let left = self.bytes.get_mut(&acked).map(|set| {
                let before = set.len();
                set.remove(0, acked_off);
                (before - set.len(), set.is_empty())
            });
            if let Some((gone, empty)) = left {
                self.ranges -= gone;
                if empty {
                    self.bytes.remove(&acked);
                }
            }
        }
    }

    fn forget(&mut self, at: Time, key: (u64, u64)) {
        if self.sent.get(&key).is_some_and(|(_, latest)| *latest == at) {
            self.sent.remove(&key);
        }
    }

    fn drop_bytes(&mut self, seq: u64) {
        if let Some(set) = self.bytes.remove(&seq) {
            self.ranges -= set.len();
        }
    }
}
