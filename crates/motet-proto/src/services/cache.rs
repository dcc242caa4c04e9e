//! Replies that are kept, so that a deed that is asked for twice is done once (V-21).

use super::terms::ReplySpec;
use crate::ids::EndpointId;
use crate::time::Time;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes that an entry counts beside what it holds.
const ENTRY: usize = 128;

/// Whose deed, and its key.
pub(super) type DeedKey = (EndpointId, Bytes);

/// What became of a deed.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    /// Its answer, in parts.
    Answer(Vec<ReplySpec>),
    /// It was done; its answer is no longer kept.
    Done,
}

struct Entry {
    kept: Kept,
    bytes: usize,
    until: Time,
}

/// Answers by deed: bounded in bytes and in time. What does not fit is remembered as done, without
/// its answer, for as long as that fits.
pub(super) struct Cache {
    entries: BTreeMap<DeedKey, Entry>,
    order: VecDeque<DeedKey>,
    bytes: usize,
    max: usize,
    /// Deeds forgotten before their time for want of room.
    pub(super) forgotten: u64,
}

impl Cache {
    pub(super) fn new(max: usize) -> Self {
        Self { entries: BTreeMap::new(), order: VecDeque::new(), bytes: 0, max, forgotten: 0 }
    }

    pub(super) fn get(&mut self, now: Time, deed: &DeedKey) -> Option<&Kept> {
        self.expire(now);
        self.entries.get(deed).map(|entry| &entry.kept)
    }

    /// Whether a deed is remembered.
    pub(super) fn knows(&self, now: Time, deed: &DeedKey) -> bool {
        self.entries.get(deed).is_some_and(|entry| entry.until > now)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps the answer to a deed until `until`.
    pub(super) fn put(&mut self, now: Time, deed: DeedKey, parts: Vec<ReplySpec>, until: Time) {
        self.expire(now);
        if self.max == 0 || self.entries.contains_key(&deed) {
            return;
        }
        let bytes = cost(&deed) + parts.iter().map(size).sum::<usize>();
        let kept = if bytes <= self.max { Kept::Answer(parts) } else { Kept::Done };
        let bytes = if bytes <= self.max { bytes } else { cost(&deed) };
        self.bytes += bytes;
        self.order.push_back(deed.clone());
        self.entries.insert(deed, Entry { kept, bytes, until });
        self.shrink();
    }

    /// First the oldest answers go, then the oldest deeds.
    fn shrink(&mut self) {
        for deed in &self.order {
            if self.bytes <= self.max {
                return;
            }
            if let Some(entry) = self.entries.get_mut(deed)
                && matches!(entry.kept, Kept::Answer(_))
            {
                let left = cost(deed);
                self.bytes -= entry.bytes - left;
                (entry.kept, entry.bytes) = (Kept::Done, left);
            }
        }
        while self.bytes > self.max {
            let Some(deed) = self.order.pop_front() else { return };
            self.remove(&deed);
            self.forgotten += 1;
        }
    }

    fn expire(&mut self, now: Time) {
        while let Some(deed) = self.order.front()
            && self.entries.get(deed).is_none_or(|entry| entry.until <= now)
            && let Some(deed) = self.order.pop_front()
        {
            self.remove(&deed);
        }
    }

    fn remove(&mut self, deed: &DeedKey) {
        if let Some(entry) = self.entries.remove(deed) {
            self.bytes -= entry.bytes;
        }
    }
}

fn cost(deed: &DeedKey) -> usize {
    ENTRY + 2 * deed.1.len()
}

/// Bytes that an answer holds.
pub(super) fn size(reply: &ReplySpec) -> usize {
    let properties = reply.properties.iter().map(|(k, v)| k.len() + v.len() + 32).sum::<usize>();
    let frames = reply.frames.iter().map(|frame| frame.len() + 32).sum::<usize>();
    64 + reply.text.len() + properties + frames
}
