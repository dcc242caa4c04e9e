//! A reader whose new messages a lane brings, and the cursor of the lane itself.
//!
//! The reader keeps its own cursor: what it acknowledged, how far it takes more, what it asked for
//! again. Only what is sent for the first time is sent once for all, by a cursor of the lane.

use super::*;

impl Cursor {
    /// From message `until` on a lane brings what is new; what lies below still comes from here
    /// (L-12).
    pub fn yield_from(&mut self, until: u64) {
        self.limit = until;
    }

    /// True while a lane brings what is new, or will once what lies below is sent.
    #[inline]
    pub fn is_yielding(&self) -> bool {
        self.limit != u64::MAX
    }

    /// True once a lane brings everything new.
    #[inline]
    pub fn is_carried(&self) -> bool {
        self.next >= self.limit
    }

    /// The lane has sent everything below `next`, and `off` bytes of that: it counts as sent to
    /// this reader, which may ask for it again, and acknowledge it.
    pub fn follow(&mut self, now: Time, next: u64, off: u64) {
        self.may_have(next, off);
        if self.is_carried() && (next, off) > (self.next, self.off) {
            self.move_to(next, off);
            if self.reliable && self.beat.is_none() {
                self.beat_wait = BEAT_MAX;
                self.beat = Some(now + BEAT_MAX);
                self.beat_cap = now + BEAT_MAX;
            }
        }
    }

    /// A lane has sent so far: the reader may have it, also if it left the lane a moment ago or has
    /// not come to it yet, and may acknowledge it (L-15).
    pub fn may_have(&mut self, next: u64, off: u64) {
        self.ever = self.ever.max((next, off));
    }

    /// The lane brings nothing more: all comes from here again, from the first message that is not
    /// acknowledged (L-13).
    pub fn take_back(&mut self) {
        if self.limit == u64::MAX {
            return;
        }
        self.limit = u64::MAX;
        if self.reliable && !crate::planted::on("lane_fallback_skips") {
            (self.next, self.off) = (self.acked, self.acked_off);
            self.repairs = Repairs::default();
        }
        (self.beat, self.persist) = (None, None);
        self.persist_wait = PERSIST_MIN;
    }

    /// The first number not sent whole, and how much of it was.
    #[inline]
    pub fn position(&self) -> (u64, u64) {
        (self.next, self.off)
    }

    /// The furthest that it was ever sent, in any way.
    pub fn furthest(&self) -> (u64, u64) {
        self.ever.max((self.next, self.off))
    }

    /// How far the reader takes bytes, as a position in the log.
    #[inline]
    pub fn edge_pos(&self) -> u64 {
        self.edge()
    }

    /// For the cursor of a lane: what all its readers have, and how far all of them take more. Both
    /// may fall when a reader joins (L-20).
    pub fn set_bounds(&mut self, log: &Log, acked: u64, edge: u64) {
        self.acked = acked.min(self.next);
        self.acked_off = 0;
        self.acked_pos = log.pos(self.acked);
        self.edge = edge;
        self.window = edge.saturating_sub(self.acked_pos).min(WINDOW_MAX);
        self.repairs.acked(self.acked, 0);
    }

    /// For the cursor of a lane that begins.
    pub fn jump(&mut self, to: u64) {
        self.repairs = Repairs::default();
        self.move_to(to, 0);
    }

    /// For the cursor of a lane: nobody waits for a repair by it any more.
    pub fn drop_repairs(&mut self) {
        self.repairs = Repairs::default();
    }

    /// These messages are gone: the lane passed over them, and this reader is told by its session
    /// (L-25).
    pub fn owe_gap(&mut self, from: u64, to: u64) {
        let (from, to) = (from.max(self.acked), to.min(self.next));
        if self.is_carried() && from < to && !self.repairs.is_full() {
            self.repairs.add_whole(from, to, Time::NEVER, |_| 0);
        }
    }
}
