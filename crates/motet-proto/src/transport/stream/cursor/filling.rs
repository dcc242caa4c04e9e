//! What goes into a packet for one reader.

use super::*;

impl Cursor {
    /// Why this reader cannot get a message that was published.
    pub(super) fn gone(&self, log: &Log, seq: u64) -> Option<GapReason> {
        if seq < log.first() {
            return Some(GapReason::Evicted);
        }
        if self.refused.contains(seq) {
            return Some(GapReason::Refused);
        }
        log.get(seq).and_then(|entry| entry.gone)
    }

    /// The GAP from `from` up to `to` at most, if it fits.
    pub(super) fn gap(
        &self,
        log: &Log,
        from: u64,
        to: u64,
        reason: GapReason,
        room: usize,
    ) -> Option<Piece> {
        let mut end = if reason == GapReason::Evicted { log.first().min(to) } else { from };
        end = end.max(from + 1);
        while end < to && self.gone(log, end) == Some(reason) {
            end += 1;
        }
        let count = end - from;
        let len = 2 + vi_len(u64::from(self.stream)) + vi_len(from) + vi_len(count);
        (len <= room).then_some(Piece::Gap { from, count, reason })
    }

    /// How many whole messages from `seq` below `to` fit into `room` as one frame.
    pub(super) fn run(&self, log: &Log, seq: u64, to: u64, room: usize, new: bool) -> u64 {
        let mut entries = log.from(seq);
        let Some(first) = entries.next() else { return 0 };
        let len = first.size();
        if msg_overhead(self.stream, seq, first.t_us, len) + len > room {
            return 0;
        }
        let mut size = msgs_header_len(self.stream, seq, first.t_us) + vi_len(len as u64) + len;
        let mut count = 1;
        let bounded = new && self.reliable;
        let edge = if bounded { self.edge } else { u64::MAX };
        let end = if bounded { to.min(self.acked + WINDOW_MSGS) } else { to };
        let most = end.saturating_sub(seq).clamp(1, RUN_MAX) as usize;
        for entry in entries.take(most - 1) {
            let len = entry.size();
            size += vi_len(len as u64) + len;
            let young = entry.t_us.checked_sub(first.t_us).is_none_or(|later| later > RUN_US);
            // As `gone` and `may_start` say, for what the log holds.
            if size > room
                || young
                || entry.gone.is_some()
                || entry.pos() >= edge
                || (!self.refused.is_empty() && self.refused.contains(seq + count))
            {
                break;
            }
            count += 1;
        }
        count
    }

    /// How many of the bytes `off..end` of a message fit as a FRAG; 0: none, or too few.
    pub(super) fn fragment(
        &self,
        seq: u64,
        entry: &Entry,
        off: u64,
        end: u64,
        space: Space,
    ) -> u64 {
        let total = entry.size() as u64;
        let overhead = frag_overhead(self.stream, seq, entry.t_us, total, off, space.room);
        let fits = space.room.saturating_sub(overhead);
        let wanted = end.saturating_sub(off);
        let whole_later = off == 0 && end == total && !space.backlog;
        if fits as u64 >= wanted {
            wanted
        } else if space.empty || (fits >= SPLIT_MIN && !whole_later) {
            fits as u64
        } else {
            0
        }
    }

    pub(super) fn new_piece(&mut self, log: &Log, space: Space) -> Option<Piece> {
        let (seq, end) = (self.next, log.next().min(self.limit));
        if seq >= end {
            return None;
        }
        if let Some(reason) = self.gone(log, seq) {
            let piece = self.gap(log, seq, end, reason, space.room)?;
            if let Piece::Gap { count, .. } = piece {
                self.move_to(seq + count, 0);
            }
            return Some(piece);
        }
        let entry = log.get(seq).filter(|_| self.open(log))?;
        if self.off == 0 {
            let count = self.run(log, seq, end, space.room, true);
            if count > 0 {
                self.counts.messages_sent += count;
                self.move_to(seq + count, 0);
                return Some(Piece::Whole { seq, count, repair: false });
            }
        }
        let (off, total) = (self.off, entry.size() as u64);
        let len = self.fragment(seq, entry, off, total, space);
        if len == 0 {
            return None;
        }
        if off + len == total {
            self.counts.messages_sent += 1;
            self.move_to(seq + 1, 0);
        } else {
            self.move_to(seq, off + len);
        }
        Some(Piece::Fragment { seq, off, len, total, repair: false })
    }

    pub(super) fn move_to(&mut self, next: u64, off: u64) {
        (self.next, self.off) = (next, off);
        self.ever = self.ever.max((next, off));
    }

    pub(super) fn repair_piece(
        &mut self,
        log: &Log,
        now: Time,
        space: Space,
        repair: Repair,
    ) -> Option<Piece> {
        let (seq, to) = match repair {
            Repair::Whole(from, to) => (from, to),
            Repair::Bytes(seq, ..) => (seq, seq + 1),
        };
        if let Some(reason) = self.gone(log, seq) {
            let piece = self.gap(log, seq, to, reason, space.room)?;
            if let Piece::Gap { from, count, .. } = piece {
                self.repairs.drop_whole(from, from + count);
            }
            return Some(piece);
        }
        let Some(entry) = log.get(seq) else {
            self.repairs.drop_whole(seq, to); // not published: cannot be, NAKs are checked
            return None;
        };
        let total = entry.size() as u64;
        let (off, end) = match repair {
            Repair::Bytes(_, off, end) => (off, end.min(total)),
            Repair::Whole(..) => {
                let count = self.run(log, seq, to, space.room, false);
                if count > 0 {
                    for (n, entry) in log.from(seq).take(count as usize).enumerate() {
                        let len = entry.size() as u64;
                        self.counts.repair_bytes += len;
                        self.repairs.sent(now, seq + n as u64, 0, len);
                    }
                    self.counts.repairs_sent += count;
                    return Some(Piece::Whole { seq, count, repair: true });
                }
                if !space.empty && !space.backlog {
                    return None;
                }
                (0, total)
            }
        };
        let len = self.fragment(seq, entry, off, end, space);
        if len == 0 {
            if off >= end {
                self.repairs.drop_whole(seq, seq + 1);
            }
            return None;
        }
        if matches!(repair, Repair::Whole(..)) {
            self.repairs.split(seq, total);
        }
        self.repairs.sent(now, seq, off, off + len);
        self.counts.repairs_sent += 1;
        self.counts.repair_bytes += len;
        Some(Piece::Fragment { seq, off, len, total, repair: true })
    }
}
