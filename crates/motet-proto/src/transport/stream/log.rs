//! # The log: what a publication's readers may still need
//!
//! **Promise.** A message stays until every reader that counts has it and it is outside of the
//! history, or until the node evicts it; a number is never given twice, and never asked in vain:
//! what is gone says why, what is below [`Log::first`] was evicted.
//!
//! | input | effect |
//! |---|---|
//! | push, pack | the next number; one copy for all readers (T-4) |
//! | seal | what was packed can be read |
//! | trim | acknowledged messages outside of the history go; old ones expire (T-14) |
//! | conflate | unsent older messages of a key are gone |
//! | evict | the oldest goes, needed or not |
//!
//! **Bounds.** [`Log::bytes`] is kept below the publication's limit by the node (trim, then policy).
//! A message that is gone in the middle still counts 64 bytes until the front reaches it.
//!
//! **Chunks.** Small messages that are published one after the other lie one behind the other in
//! shared memory, each after its length, as a MSGS has them: nothing is counted per message, and a
//! packet takes them with one copy.

use super::blocks::{BLOCK_MESSAGE_MAX, Blocks, PLAIN};
use super::body::Body;
use super::cost;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;
use motet_wire::codec::{put_vi, vi_len};
use motet_wire::frame::GapReason;

/// A message in the log; [`Log::body`] has its bytes.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When it was published, µs of the stream's clock.
    pub t_us: u64,
    /// Hash of its key; 0 if it has none.
    pub key: u64,
    /// Why it is no longer held.
    pub gone: Option<GapReason>,
    /// Its bytes, and where they are in which chunk.
    len: u32,
    at: u32,
    chunk: u64,
    /// What everything before it counts.
    pos: u64,
}

impl Entry {
    /// Bytes of the whole message; 0 if it is gone.
    #[inline]
    pub fn size(&self) -> usize {
        self.len as usize
    }

    /// What everything before it counts; see [`Log::pos`].
    #[inline]
    pub fn pos(&self) -> u64 {
        self.pos
    }
}

/// Memory of messages that follow one another.
#[derive(Clone, Debug, Default)]
struct Chunk {
    /// Empty until it is sealed, and when none of its messages is held.
    bytes: Bytes,
    /// How many of its messages are held.
    held: u32,
    /// Each message comes after its length.
    packed: bool,
    /// A payload of whoever published it; what comes before it is among the heads.
    shared: bool,
}

/// The messages of a publication that its readers may still need.
#[derive(Clone, Debug)]
pub struct Log {
    first: u64,
    entries: VecDeque<Entry>,
    /// In order; the first has this number.
    chunks: VecDeque<Chunk>,
    first_chunk: u64,
    /// By chunk, in order: what comes before payloads that are shared.
    heads: VecDeque<(u64, Bytes)>,
    /// The last chunk still grows, in [`Blocks`].
    open: bool,
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
            chunks: VecDeque::new(),
            first_chunk: 0,
            heads: VecDeque::new(),
            open: false,
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

    /// Appends a message of less than 4 GiB, after what was packed is [sealed](Self::seal); its
    /// number.
    pub fn push(&mut self, body: Bytes, t_us: u64, key: u64) -> u64 {
        debug_assert!(!self.open, "sealed first");
        let len = body.len();
        self.chunks.push_back(Chunk { bytes: body, ..Chunk::default() });
        self.append(t_us, key, (0, len as u32))
    }

    /// As [`push`](Self::push), of a payload that is not copied, and what comes before it.
    pub fn push_shared(&mut self, head: Bytes, payload: Bytes, t_us: u64, key: u64) -> u64 {
        debug_assert!(!self.open, "sealed first");
        let len = head.len() + payload.len();
        self.heads.push_back((self.first_chunk + self.chunks.len() as u64, head));
        self.chunks.push_back(Chunk { bytes: payload, shared: true, ..Chunk::default() });
        self.append(t_us, key, (0, len as u32))
    }

    /// Appends a message without key and headers, of less than 4 GiB, behind what `blocks` has of
    /// this log; its number. Its bytes can be read once they are [sealed](Self::seal), which must
    /// come before anybody else uses `blocks`.
    #[inline]
    pub fn pack(&mut self, blocks: &mut Blocks, payload: &[u8], t_us: u64) -> u64 {
        if payload.len() >= BLOCK_MESSAGE_MAX {
            self.seal(blocks);
            return self.push(blocks.copy(&[&PLAIN, payload]), t_us, 0);
        }
        if !blocks.has_room(payload.len()) {
            self.seal(blocks);
            blocks.turn();
        }
        if !self.open {
            self.open = true;
            self.chunks.push_back(Chunk { packed: true, ..Chunk::default() });
        }
        let place = blocks.put(payload);
        self.append(t_us, 0, place)
    }

    /// Takes from `blocks` what was packed.
    pub fn seal(&mut self, blocks: &mut Blocks) {
        if !core::mem::take(&mut self.open) {
            return;
        }
        let bytes = blocks.split();
        if let Some(chunk) = self.chunks.back_mut()
            && chunk.held > 0
        {
            chunk.bytes = bytes;
        }
        self.shed();
    }

    #[inline]
    fn append(&mut self, t_us: u64, key: u64, (at, len): (u32, u32)) -> u64 {
        let (seq, cost) = (self.next(), cost(len as usize));
        let chunk = self.first_chunk + self.chunks.len() as u64 - 1;
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.held += 1;
        }
        self.entries.push_back(Entry { t_us, key, gone: None, len, at, chunk, pos: self.end });
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

    /// The bytes of one of its entries; none if it is gone.
    #[inline]
    pub fn body(&self, entry: &Entry) -> Body<'_> {
        let body = self.chunk(entry).and_then(|chunk| {
            if chunk.shared {
                return self.head(entry.chunk).map(|head| Body { head, rest: &chunk.bytes });
            }
            Some(Body { head: &[], rest: chunk.bytes.get(place(entry))? })
        });
        debug_assert!(body.is_some() || entry.gone.is_some(), "sealed before it is read");
        body.unwrap_or_default()
    }

    fn head(&self, chunk: u64) -> Option<&[u8]> {
        let at = self.heads.binary_search_by_key(&chunk, |(of, _)| *of).ok()?;
        self.heads.get(at).map(|(_, head)| &head[..])
    }

    #[cold]
    fn forget_head(&mut self, chunk: u64) {
        if let Ok(at) = self.heads.binary_search_by_key(&chunk, |(of, _)| *of) {
            self.heads.remove(at);
        }
    }

    /// As [`body`](Self::body), to be kept: in one, so that a payload that belongs to whoever
    /// published it is copied.
    pub fn kept(&self, entry: &Entry) -> Bytes {
        match self.chunk(entry) {
            Some(chunk) if chunk.shared => {
                let mut out = Vec::with_capacity(entry.size());
                self.body(entry).put(&mut out);
                out.into()
            }
            Some(chunk) if chunk.bytes.len() >= place(entry).end => chunk.bytes.slice(place(entry)),
            _ => Bytes::new(),
        }
    }

    /// Appends `n` messages from `seq` on as a MSGS has them: each after its length.
    pub fn put_run(&self, seq: u64, n: u64, out: &mut Vec<u8>) {
        let Some(mut from) = self.index(seq) else { return };
        let end = (from + n as usize).min(self.entries.len());
        while from < end
            && let Some(first) = self.entries.get(from)
            && let Some(chunk) = self.chunk(first)
        {
            if !chunk.packed {
                put_vi(out, u64::from(first.len));
                self.body(first).put(out);
                from += 1;
                continue;
            }
            // The first entry behind those of this chunk.
            let (mut lo, mut hi) = (from + 1, end);
            while lo < hi {
                let mid = lo.midpoint(hi);
                let same = self.entries.get(mid).is_some_and(|it| it.chunk == first.chunk);
                (lo, hi) = if same { (mid + 1, hi) } else { (lo, mid) };
            }
            let start = first.at as usize - vi_len(u64::from(first.len));
            let stop = self.entries.get(lo - 1).map_or(0, |last| place(last).end);
            out.extend_from_slice(chunk.bytes.get(start..stop).unwrap_or(&[]));
            from = lo;
        }
    }

    #[inline]
    fn chunk(&self, entry: &Entry) -> Option<&Chunk> {
        self.chunks.get((entry.chunk - self.first_chunk) as usize)
    }

    /// One message of a chunk is held no more.
    #[inline]
    fn unhold(&mut self, chunk: u64) {
        let at = (chunk - self.first_chunk) as usize;
        let grows = self.open && at + 1 == self.chunks.len();
        if let Some(chunk) = self.chunks.get_mut(at) {
            chunk.held = chunk.held.saturating_sub(1);
            if chunk.held == 0 && !grows {
                chunk.bytes = Bytes::new();
                if chunk.shared {
                    self.forget_head(self.first_chunk + at as u64);
                }
            }
        }
    }

    /// Drops chunks before that of the first entry.
    #[inline]
    fn shed(&mut self) {
        let end = self.first_chunk + self.chunks.len() as u64 - u64::from(self.open);
        let first = self.entries.front().map_or(end, |entry| entry.chunk);
        while self.first_chunk < first {
            self.chunks.pop_front();
            self.first_chunk += 1;
        }
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
        self.bytes -= cost(entry.size());
        if entry.gone.is_none() {
            self.unhold(entry.chunk);
        }
        self.shed();
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
        self.bytes -= cost(entry.size()) - cost(0);
        entry.len = 0;
        let (key, chunk) = (entry.key, entry.chunk);
        self.unhold(chunk);
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

/// Where an entry lies in its chunk.
#[inline]
fn place(entry: &Entry) -> core::ops::Range<usize> {
    entry.at as usize..entry.at as usize + entry.len as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use motet_wire::codec::put_vi_bytes;

    fn packed(log: &Log, seq: u64, n: u64) -> Vec<u8> {
        let mut out = Vec::new();
        log.put_run(seq, n, &mut out);
        out
    }

    /// As a MSGS has them.
    fn expected(bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        bodies.iter().for_each(|body| put_vi_bytes(&mut out, body));
        out
    }

    fn bytes(log: &Log, entry: &Entry) -> Vec<u8> {
        let mut out = Vec::new();
        log.body(entry).put(&mut out);
        out
    }

    fn body(payload: &[u8]) -> Vec<u8> {
        [&PLAIN, payload].concat()
    }

    #[test]
    fn what_was_packed_in_whatever_chunks_comes_out_as_it_went_in() {
        let (mut log, mut blocks) = (Log::new(1), Blocks::default());
        let sizes = [0, 1, 62, 63, 64, 200, 0x3ffe, 0x3fff, 20_000, BLOCK_MESSAGE_MAX, 100_000, 7];
        let mut bodies = Vec::new();
        for (n, size) in sizes.into_iter().cycle().take(60).enumerate() {
            let payload = alloc::vec![n as u8; size];
            assert_eq!(log.pack(&mut blocks, &payload, 0), n as u64 + 1);
            bodies.push(body(&payload));
            if n % 7 == 3 {
                log.seal(&mut blocks);
                log.push(Bytes::from_static(b"another"), 0, 9);
                log.evict_front();
                bodies.push(b"another".to_vec());
                break;
            }
        }
        for (n, size) in sizes.into_iter().cycle().take(60).enumerate() {
            let payload = alloc::vec![n as u8; size];
            log.pack(&mut blocks, &payload, 0);
            bodies.push(body(&payload));
        }
        log.seal(&mut blocks);
        assert_eq!(log.first(), 2);
        for (entry, body) in log.from(2).zip(&bodies[1..]) {
            assert_eq!((&bytes(&log, entry), &log.kept(entry)[..]), (body, &body[..]));
            assert_eq!(entry.size(), body.len());
        }
        for from in 1..bodies.len() {
            for to in [from + 1, from + 5, bodies.len()] {
                let to = to.min(bodies.len());
                let run = packed(&log, from as u64 + 1, (to - from) as u64);
                assert_eq!(run, expected(&bodies[from..to]), "{from}..{to}");
            }
        }
    }

    #[test]
    fn a_payload_that_is_shared_is_read_with_what_comes_before_it_and_let_go_in_the_end() {
        let (mut log, mut blocks) = (Log::new(1), Blocks::default());
        let payload = Bytes::from(alloc::vec![7; 40_000]);
        log.pack(&mut blocks, b"small", 0);
        log.seal(&mut blocks);
        assert_eq!(log.push_shared(Bytes::from_static(&PLAIN), payload.clone(), 0, 0), 2);
        log.pack(&mut blocks, b"small", 0);
        log.seal(&mut blocks);

        let entry = log.get(2).unwrap();
        let whole = body(&payload);
        assert_eq!((bytes(&log, entry), &log.kept(entry)[..]), (whole.clone(), &whole[..]));
        assert_eq!(packed(&log, 1, 3), expected(&[body(b"small"), whole, body(b"small")]));
        assert_eq!(log.body(entry).rest.as_ptr(), payload.as_ptr(), "it is not copied");
        assert!(!payload.is_unique());
        log.mark(2, GapReason::Expired);
        assert!(payload.is_unique() && log.heads.is_empty());
        assert!(log.get(2).is_some_and(|entry| log.body(entry).is_empty()));
    }

    #[test]
    fn memory_is_given_up_with_the_last_message_in_it() {
        let (mut log, mut blocks) = (Log::new(1), Blocks::default());
        for _ in 0..3 {
            log.pack(&mut blocks, b"first", 0);
        }
        log.seal(&mut blocks);
        for _ in 0..2 {
            log.pack(&mut blocks, b"second", 0);
        }
        log.mark(2, GapReason::Expired);
        log.evict_front();
        assert_eq!((log.chunks.len(), log.chunks[0].held), (2, 1));
        log.mark(3, GapReason::Expired);
        assert!(log.chunks[0].bytes.is_empty(), "nothing in it is held");
        log.evict_front();
        log.evict_front();
        assert_eq!((log.chunks.len(), log.first_chunk), (1, 1));
        log.evict_front();
        log.evict_front();
        assert_eq!((log.chunks.len(), log.open), (1, true), "it still grows");
        log.seal(&mut blocks);
        assert_eq!((log.chunks.len(), log.first_chunk), (0, 2));
        log.pack(&mut blocks, b"third", 0);
        log.seal(&mut blocks);
        assert_eq!(log.get(6).map(|entry| bytes(&log, entry)), Some(b"\0third".to_vec()));
    }

    #[test]
    fn what_is_gone_before_it_was_sealed_leaves_nothing_behind() {
        let (mut log, mut blocks) = (Log::new(1), Blocks::default());
        log.pack(&mut blocks, b"first", 0);
        log.mark(1, GapReason::Expired);
        log.pack(&mut blocks, b"second", 0);
        log.mark(2, GapReason::Expired);
        log.seal(&mut blocks);
        assert_eq!((log.chunks.len(), log.chunks[0].bytes.len()), (1, 0));
        assert!(log.from(1).all(|entry| log.body(entry).is_empty() && entry.gone.is_some()));
    }
}
