//! What comes by a lane: other times to ask, and less trust. Whoever holds the lane's key can write
//! there, so nothing that comes this way may keep what comes by the session from being right.

use super::*;

impl<P: Pieces> Reader<P> {
    /// When a hole that `at` showed is due, and the packet count that makes it due sooner.
    pub(super) fn hole_due(&mut self, at: Arrival) -> (Time, u64) {
        match at.lane {
            Some(wait) => (at.now + wait, u64::MAX),
            None => (at.now + self.reorder_delay(at.pkt), at.pkt),
        }
    }

    /// STATUS comes this far apart, because a lane has many readers; `None`: as by a session.
    pub fn set_pace(&mut self, pace: Option<Duration>) {
        self.flow.set_pace(pace);
    }

    /// STATUS leaves now.
    pub fn urge_status(&mut self, now: Time) {
        if self.qos.reliable {
            self.flow.urge(now);
        }
    }

    /// A lane's heartbeat: where the stream ends. It only raises what is known, and by a window at
    /// most; HEARTBEAT on the session lowers it again should it be wrong (L-50).
    pub fn on_lane_beat(&mut self, at: Arrival, next_seq: u64) {
        if !self.qos.reliable {
            return;
        }
        let to = next_seq.min(self.next.saturating_add(WINDOW_MSGS));
        if to > self.high && self.gaps.len() < GAPS_MAX {
            let (due, pkt) = self.hole_due(at);
            self.close_tail(at);
            self.gaps.push(self.high, to, due, pkt);
            self.high = to;
        } else if to >= self.high {
            self.close_tail(at);
        }
    }

    /// "Heard, coming": what is named is not asked for before it had the time to come (L-42).
    pub fn on_ncf(&mut self, now: Time, items: impl Iterator<Item = NakItem>) {
        let until = now + (self.rtt.srtt + self.rtt.var * 4).max(RETRY.0) * 2;
        for item in items {
            match item {
                NakItem::Range { seq, count } => {
                    let to = seq.saturating_add(count);
                    self.gaps.put_off(seq, to, until);
                    for (_, partial) in self.partials.range_mut(seq..to) {
                        partial.holes.put_off(0, u64::MAX, until);
                    }
                }
                NakItem::Bytes { seq, off, len } => {
                    if let Some(partial) = self.partials.get_mut(&seq) {
                        let to = if len == 0 { u64::MAX } else { off.saturating_add(len) };
                        partial.holes.put_off(off, to, until);
                    }
                }
            }
        }
    }

    /// Pieces that a lane brought and the session contradicts: the message is missing anew.
    pub(super) fn drop_partial_again(&mut self, at: Arrival, seq: u64, budget: &mut Budget<'_>) {
        self.drop_partial(seq, budget);
        if self.qos.reliable && seq >= self.next && seq < self.high {
            self.gaps.reopen(seq, at.now);
        }
    }
}
