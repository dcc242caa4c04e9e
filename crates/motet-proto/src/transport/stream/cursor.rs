//! # Cursors: one reader of a log, at its writer
//!
//! **Promise.** The reader is sent every message of the log from its start on, within the window it
//! granted, and again what it asks for; the writer speaks last until all is acknowledged.
//!
//! | input | effect |
//! |---|---|
//! | room in a packet | repairs first, then new messages; what is gone becomes a GAP (T-10, T-27) |
//! | STATUS | frees, opens the window; checked first (T-33, T-34) |
//! | NAK | queues what was sent, but for what was repaired a moment ago (T-25) |
//! | NAK for what was never sent | HEARTBEAT, which puts the reader right (T-26) |
//! | silence with something unacknowledged | HEARTBEAT, doubling up to 1 s, never more seldom (T-40, T-42) |
//! | data waits, window closed | HEARTBEAT(blocked), 100 ms to 1 s (T-41) |
//!
//! **Bounds.** [`REPAIRS_MAX`] ranges queued; a NAK queues at most twice the window.
//!
//! **Not here.** When a packet may leave (session), which stream is next (node).

mod filling;
mod laned;

use super::log::{Entry, Log};
use super::repairs::{Repair, Repairs};
use super::{REPAIRS_MAX, RttView, StreamCounts, WINDOW_INITIAL, WINDOW_MAX, WINDOW_MSGS};
use crate::Time;
use crate::ranges::RangeSet;
use core::time::Duration;
use motet_wire::codec::vi_len;
use motet_wire::frame::{GapReason, NakItem, frag_overhead, msg_overhead, msgs_header_len};

/// A message is split to fill a packet only if this much of it fits (T-12).
const SPLIT_MIN: usize = 256;
/// Most messages of a MSGS frame.
const RUN_MAX: u64 = 255;
/// Messages more than this younger than the first of a MSGS start a new frame (T-11), µs.
const RUN_US: u64 = 1_000;
/// A reader's delay of its STATUS, which the first heartbeat waits for.
const STATUS_DELAY: Duration = Duration::from_millis(5);
/// Heartbeats are never further apart while something is unacknowledged.
const BEAT_MAX: Duration = Duration::from_secs(1);
/// First heartbeat to a closed window.
const PERSIST_MIN: Duration = Duration::from_millis(100);

/// What a writer sends to one reader next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Whole messages of consecutive numbers: one is a MSG, two to 255 are a MSGS.
    Whole {
        /// The first.
        seq: u64,
        /// How many, at least 1.
        count: u64,
        /// Sent again.
        repair: bool,
    },
    /// A piece of a message.
    Fragment {
        /// Its number.
        seq: u64,
        /// Where the piece begins.
        off: u64,
        /// Bytes of the piece.
        len: u64,
        /// Bytes of the message.
        total: u64,
        /// Sent again.
        repair: bool,
    },
    /// Messages that this reader will never get.
    Gap {
        /// The first.
        from: u64,
        /// How many.
        count: u64,
        /// Why.
        reason: GapReason,
    },
}

/// Room in the packet being filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// Bytes left, frame overhead included.
    pub room: usize,
    /// No frame is in it yet.
    pub empty: bool,
    /// At least another full packet waits, so a message may be split to fill this one.
    pub backlog: bool,
}

/// A HEARTBEAT to send; always asks for an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Beat {
    /// The first number that the log holds.
    pub first_avail: u64,
    /// One above the last number sent to this reader.
    pub next_seq: u64,
    /// Data waits and the window is closed.
    pub blocked: bool,
}

/// What a STATUS changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Something new was acknowledged.
    pub advanced: bool,
    /// The window's edge moved.
    pub opened: bool,
    /// It was overtaken by a newer one; nothing changed.
    pub stale: bool,
}

/// A STATUS that broke a bound; nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rejected;

/// What a NAK changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NakOutcome {
    /// Items that (in part) will be repaired or answered with GAP.
    pub queued: u64,
    /// Items for what was never sent, was repaired a moment ago, or is beyond a bound.
    pub ignored: u64,
}

/// One reader of a log, at the writer.
#[derive(Clone, Debug)]
pub struct Cursor {
    /// Since last taken.
    pub counts: StreamCounts,
    stream: u32,
    reliable: bool,
    /// The first message not sent whole, and how much of it was sent.
    next: u64,
    off: u64,
    /// The furthest of that in any session.
    ever: (u64, u64),
    acked: u64,
    acked_off: u64,
    /// Log position of `acked`, also once the log has dropped it.
    acked_pos: u64,
    /// Log position up to which the reader takes bytes.
    edge: u64,
    window: u64,
    repairs: Repairs,
    refused: RangeSet,
    /// What a GAP was sent for and is not acknowledged.
    told: RangeSet,
    /// When the next heartbeat for unacknowledged data is due, the wait that led there, and the
    /// latest moment for it.
    beat: Option<Time>,
    beat_wait: Duration,
    beat_cap: Time,
    /// The same for a closed window.
    persist: Option<Time>,
    persist_wait: Duration,
    /// An answer to a NAK for what was never sent.
    owed: Option<Time>,
    /// New messages from here on come to the reader by a lane; `u64::MAX`: none do.
    limit: u64,
}

impl Cursor {
    /// A reader of stream `stream` that begins at `start_seq` and granted `window` bytes.
    pub fn new(log: &Log, stream: u32, start_seq: u64, window: u64, reliable: bool) -> Self {
        let mut cursor = Self {
            counts: StreamCounts::default(),
            stream,
            reliable,
            next: start_seq,
            off: 0,
            ever: (start_seq, 0),
            acked: start_seq,
            acked_off: 0,
            acked_pos: 0,
            edge: 0,
            window: 0,
            repairs: Repairs::default(),
            refused: RangeSet::new(),
            told: RangeSet::new(),
            beat: None,
            beat_wait: BEAT_MAX,
            beat_cap: Time::NEVER,
            persist: None,
            persist_wait: PERSIST_MIN,
            owed: None,
            limit: u64::MAX,
        };
        cursor.restart(log, start_seq, window);
        cursor
    }

    /// A new session with the same reader: begins anew at `start_seq`. What it was ever sent is
    /// remembered, since its STATUS may speak of that.
    pub fn restart(&mut self, log: &Log, start_seq: u64, window: u64) {
        let start_seq = start_seq.min(log.next());
        (self.next, self.off, self.acked, self.acked_off) = (start_seq, 0, start_seq, 0);
        self.ever = self.ever.max((start_seq, 0)).min((log.next(), 0));
        self.window = window.min(WINDOW_MAX);
        self.acked_pos = log.pos(start_seq);
        self.edge = self.acked_pos + self.window;
        self.repairs = Repairs::default();
        (self.beat, self.persist, self.owed) = (None, None, None);
        self.persist_wait = PERSIST_MIN;
        self.limit = u64::MAX;
    }

    /// The first number not sent whole.
    #[inline]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The first number not acknowledged; best effort: not sent.
    #[inline]
    pub fn acked(&self) -> u64 {
        if self.reliable { self.acked } else { self.next }
    }

    /// Something can be sent now.
    #[inline]
    pub fn has_work(&self, log: &Log) -> bool {
        !self.repairs.is_empty()
            || (self.next < log.next().min(self.limit)
                && (self.gone(log, self.next).is_some() || self.open(log)))
    }

    /// Data waits and the window is closed.
    #[inline]
    pub fn blocked(&self, log: &Log) -> bool {
        self.next < log.next() && self.gone(log, self.next).is_none() && !self.open(log)
    }

    /// Bytes that wait to be sent for the first time, within the window.
    #[inline]
    pub fn unsent(&self, log: &Log) -> u64 {
        let end = log.pos(log.next().min(self.limit)).min(self.edge());
        end.saturating_sub(log.pos(self.next) + self.off)
    }

    /// Bytes sent and not acknowledged.
    pub fn unacked(&self, log: &Log) -> u64 {
        if !self.reliable {
            return 0;
        }
        (log.pos(self.next) + self.off).saturating_sub(log.pos(self.acked) + self.acked_off)
    }

    /// What goes into this packet next; moves on. `None`: nothing, or it does not fit.
    #[inline]
    pub fn next_piece(
        &mut self,
        log: &Log,
        now: Time,
        rtt: &RttView,
        space: Space,
    ) -> Option<Piece> {
        let piece = match self.repairs.first() {
            Some(repair) => self.repair_piece(log, now, space, repair),
            None => self.new_piece(log, space),
        };
        if piece.is_some() {
            self.touch(now, rtt);
        } else {
            self.arm(log, now);
        }
        piece
    }

    /// Call after a publish if there is no work: a closed window is then asked about.
    #[inline]
    pub fn arm(&mut self, log: &Log, now: Time) {
        if !self.reliable || !self.blocked(log) {
            self.persist = None;
            self.persist_wait = PERSIST_MIN;
        } else if self.persist.is_none() {
            self.persist = Some(now + self.persist_wait);
        }
    }

    /// A STATUS came: everything below `next_seq`, and `next_off` bytes of it, are with the reader,
    /// which takes `window` bytes more. Refused, with nothing changed, if it speaks of what was
    /// never sent, or grants more than [`WINDOW_MAX`].
    pub fn on_status(
        &mut self,
        log: &Log,
        now: Time,
        rtt: &RttView,
        next_seq: u64,
        next_off: u64,
        window: u64,
    ) -> Result<Progress, Rejected> {
        if !self.reliable {
            return Ok(Progress::default());
        }
        let len = log.get(next_seq).map_or(u64::MAX, |entry| entry.size() as u64);
        let known = (next_seq, next_off) <= self.ever.max((self.next, self.off));
        let inside =
            next_off == 0 || next_off < len || log.get(next_seq).is_some_and(|e| e.gone.is_some());
        let checked = !crate::planted::on("status_unchecked");
        if checked && (!known || !inside || window > WINDOW_MAX) {
            self.counts.status_rejected += 1;
            return Err(Rejected);
        }
        if (next_seq, next_off) < (self.acked, self.acked_off) {
            self.counts.status_stale += 1;
            return Ok(Progress { stale: true, ..Progress::default() });
        }
        let advanced = (next_seq, next_off) > (self.acked, self.acked_off);
        self.acked_pos = self.place(log, next_seq);
        (self.acked, self.acked_off) = (next_seq, next_off);
        if (next_seq, next_off) > (self.next, self.off) {
            (self.next, self.off) = (next_seq, next_off); // held from an earlier session
        }
        let edge = (self.acked_pos + next_off).saturating_add(window);
        let opened = edge > self.edge;
        self.edge = self.edge.max(edge);
        self.window = window;
        if advanced {
            self.repairs.acked(next_seq, next_off);
            self.refused.remove(0, next_seq);
            self.told.remove(0, next_seq);
            self.beat_wait = self.first_beat(rtt);
            self.beat = self.pending().then(|| now + self.beat_wait);
            self.beat_cap = now + BEAT_MAX;
        }
        if opened {
            self.persist = None;
            self.persist_wait = PERSIST_MIN;
        }
        self.arm(log, now);
        Ok(Progress { advanced, opened, stale: false })
    }

    /// A NAK came.
    pub fn on_nak(
        &mut self,
        log: &Log,
        now: Time,
        rtt: &RttView,
        items: impl Iterator<Item = NakItem>,
    ) -> NakOutcome {
        let mut out = NakOutcome::default();
        if !self.reliable {
            return out;
        }
        let fresh = now - rtt.srtt.max(Duration::from_millis(1));
        self.repairs.prune(fresh);
        let mut budget = 2 * self.window.max(WINDOW_INITIAL);
        for item in items {
            let queued = match item {
                NakItem::Range { seq, count } => {
                    self.nak_range(log, now, fresh, seq, count, &mut budget)
                }
                NakItem::Bytes { seq, off, len } => {
                    self.nak_bytes(log, now, fresh, (seq, off, len), &mut budget)
                }
            };
            out.queued += u64::from(queued);
            out.ignored += u64::from(!queued);
        }
        self.counts.naks_ignored += out.ignored;
        if out.queued > 0 {
            self.touch(now, rtt);
        }
        out
    }

    /// A GAP for `count` messages from `from` on leaves. How many of them it is the first for: a
    /// GAP that was lost is sent again, but its messages are lost once.
    pub fn told_gone(&mut self, from: u64, count: u64) -> u64 {
        let to = from.saturating_add(count);
        if !self.reliable || self.told.len_after_insert(from, to) > REPAIRS_MAX {
            return count;
        }
        self.told.insert(from, to)
    }

    /// A REJECT_MSG came: this reader gets GAP(refused) instead of the message.
    pub fn refuse(&mut self, seq: u64) {
        let sent = seq < self.next;
        if seq < self.acked || seq > self.next || self.refused.len() >= REPAIRS_MAX {
            return;
        }
        self.refused.insert(seq, seq + 1);
        if sent {
            self.repairs.drop_whole(seq, seq + 1);
            self.repairs.add_whole(seq, seq + 1, Time::NEVER, |_| 0);
        }
    }

    /// When [`Cursor::heartbeat`] returns something.
    #[inline]
    pub fn deadline(&self) -> Option<Time> {
        [self.beat, self.persist, self.owed].into_iter().flatten().min()
    }

    /// The heartbeat, if one is due.
    pub fn heartbeat(&mut self, log: &Log, now: Time) -> Option<Beat> {
        if self.deadline().is_none_or(|at| at > now) {
            return None;
        }
        let (pending, blocked) = (self.pending(), self.blocked(log));
        let owed = self.owed.take().is_some();
        self.beat_wait = (self.beat_wait * 2).min(BEAT_MAX);
        self.beat = pending.then(|| now + self.beat_wait);
        self.beat_cap = now + BEAT_MAX;
        if blocked {
            self.persist_wait = (self.persist_wait * 2).min(BEAT_MAX);
            self.persist = Some(now + self.persist_wait);
        } else {
            self.persist = None;
        }
        if !(owed || pending || blocked) || crate::planted::on("no_tail_heartbeat") {
            return None;
        }
        self.counts.heartbeats += 1;
        let next_seq = self.next + u64::from(self.off > 0);
        Some(Beat { first_avail: log.first(), next_seq, blocked })
    }

    /// The wait of the first heartbeat. A lane has its own: only where that does not help either
    /// is a reader asked by its session (L-31).
    fn first_beat(&self, rtt: &RttView) -> Duration {
        if self.is_carried() { BEAT_MAX } else { beat_base(rtt) }
    }

    /// Something sent is not acknowledged.
    #[inline]
    fn pending(&self) -> bool {
        self.reliable && (self.acked, self.acked_off) < (self.next, self.off)
    }

    /// Log position of `seq`, from `acked` on. What the log dropped in between counts in equal
    /// shares: counted as nothing, a log that moves on would carry a closed window's edge with it.
    fn place(&self, log: &Log, seq: u64) -> u64 {
        let (first, base) = (log.first(), log.pos(log.first()));
        if seq >= first || self.acked_pos >= base {
            return log.pos(seq);
        }
        let (part, whole) = (u128::from(seq - self.acked), u128::from(first - self.acked));
        self.acked_pos + (u128::from(base - self.acked_pos) * part / whole) as u64
    }

    #[inline]
    fn edge(&self) -> u64 {
        if self.reliable { self.edge } else { u64::MAX }
    }

    /// New data may be sent: a window above 0 always permits one piece.
    #[inline]
    fn open(&self, log: &Log) -> bool {
        self.may_start(log, self.next, self.off)
    }

    #[inline]
    fn may_start(&self, log: &Log, seq: u64, off: u64) -> bool {
        !self.reliable || (log.pos(seq) + off < self.edge && seq - self.acked < WINDOW_MSGS)
    }

    /// True if (part of) the range is queued.
    fn nak_range(
        &mut self,
        log: &Log,
        now: Time,
        fresh: Time,
        seq: u64,
        count: u64,
        budget: &mut u64,
    ) -> bool {
        let sent_end = self.next + u64::from(self.off > 0);
        if seq >= sent_end {
            self.owed = Some(now);
            return false;
        }
        let from = seq.max(self.acked);
        let to = seq.saturating_add(count).min(sent_end);
        let mut whole_to = to.min(self.next);
        let mut queued = false;
        if from < whole_to && !self.repairs.is_full() {
            whole_to = affordable(log, from, whole_to, *budget);
            *budget = budget.saturating_sub(log.pos(whole_to) - log.pos(from));
            let len = |seq| log.get(seq).map_or(0, |entry: &Entry| entry.size() as u64);
            queued = from < whole_to && self.repairs.add_whole(from, whole_to, fresh, len);
        }
        if to > self.next && from <= self.next {
            queued |= self.nak_bytes(log, now, fresh, (self.next, 0, 0), budget);
        }
        queued
    }

    fn nak_bytes(
        &mut self,
        log: &Log,
        now: Time,
        fresh: Time,
        (seq, off, len): (u64, u64, u64),
        budget: &mut u64,
    ) -> bool {
        let sent_end = self.next + u64::from(self.off > 0);
        if seq >= sent_end {
            self.owed = Some(now);
            return false;
        }
        if seq < self.acked || self.repairs.is_full() {
            return false;
        }
        if self.gone(log, seq).is_some() {
            return seq < self.next && self.repairs.add_whole(seq, seq + 1, fresh, |_| 0);
        }
        let total = log.get(seq).map_or(0, |entry| entry.size() as u64);
        let limit = if seq == self.next { self.off } else { total };
        let off = if seq == self.acked { off.max(self.acked_off) } else { off };
        let end = if len == 0 { limit } else { off.saturating_add(len).min(limit) };
        let end = end.min(off.saturating_add(*budget));
        if off >= end {
            return false;
        }
        *budget -= end - off;
        if crate::planted::on("repair_whole_instead_of_range") {
            return self.repairs.add_bytes(seq, 0, limit, fresh);
        }
        self.repairs.add_bytes(seq, off, end, fresh)
    }

    /// Something was sent, or will be: the heartbeat waits for the answer to it, but never past
    /// its latest moment.
    #[inline]
    fn touch(&mut self, now: Time, rtt: &RttView) {
        if !self.reliable {
            return;
        }
        if self.beat.is_none() {
            self.beat_cap = now + BEAT_MAX;
        }
        self.beat_wait = self.first_beat(rtt);
        self.beat = Some((now + self.beat_wait).min(self.beat_cap));
    }
}

/// After the last sending: a round trip, its deviation, and the reader's delay (T-40).
fn beat_base(rtt: &RttView) -> Duration {
    (rtt.srtt + (rtt.var * 4).max(Duration::from_millis(1)) + STATUS_DELAY).min(BEAT_MAX)
}

/// The end of the longest run from `from` that counts at most `budget`; at least one message while
/// anything is left.
fn affordable(log: &Log, from: u64, to: u64, budget: u64) -> u64 {
    if budget == 0 {
        return from;
    }
    let base = log.pos(from);
    if log.pos(to) - base <= budget {
        return to;
    }
    let (mut lo, mut hi) = (from + 1, to);
    while lo < hi {
        let mid = lo + (hi - lo).div_ceil(2);
        if log.pos(mid) - base <= budget { lo = mid } else { hi = mid - 1 }
    }
    lo
}
