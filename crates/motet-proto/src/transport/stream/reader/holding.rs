//! What a reader holds, and what it knows to be missing.

use super::*;

impl<P: Pieces> Reader<P> {
    pub(super) fn too_large(&mut self) -> Refuse {
        self.counts.refused += 1;
        Refuse::TooLarge { limit: self.qos.max_message }
    }

    /// Neither seen before nor beyond the window.
    pub(super) fn admit(&mut self, at: Arrival, seq: u64) -> bool {
        let blind = crate::planted::on("duplicate_delivered");
        let held = self.slots.contains_key(&seq) || self.done.contains(seq);
        if seq < self.next || (held && !blind) {
            self.duplicate(at);
            return false;
        }
        let window = WINDOW_MSGS + u64::from(crate::planted::on("window_off_by_one"));
        if seq - self.next >= window {
            self.counts.overruns += 1;
            return false;
        }
        true
    }

    pub(super) fn duplicate(&mut self, at: Arrival) {
        self.counts.duplicates += 1;
        if at.repair {
            self.touch(at.now); // asked for in vain: our STATUS was lost
        }
    }

    /// The holes that `from..to` makes can be remembered.
    pub(super) fn room_for(&self, from: u64, to: u64) -> bool {
        let more = from > self.high || self.gaps.would_split(from, to);
        !(more && self.qos.reliable) || self.gaps.len() < GAPS_MAX
    }

    /// `from..to` exist and need not be asked for; what lies between them and what was known does.
    pub(super) fn see(&mut self, at: Arrival, from: u64, to: u64) {
        self.arrived();
        if to > self.high {
            if self.qos.reliable {
                let (due, pkt) = self.hole_due(at);
                self.close_tail(at);
                self.gaps.push(self.high, from, due, pkt);
            }
            self.gaps.fill(from, self.high);
            self.high = to;
        } else if self.gaps.fill(from, to).asked && !at.repair && at.lane.is_none() {
            self.spurious();
        }
    }

    /// The highest message known was sent to its end, since something came after it.
    pub(super) fn close_tail(&mut self, at: Arrival) {
        if self.partials.is_empty() {
            return;
        }
        let (due, pkt) = self.hole_due(at);
        let tail = self.high.checked_sub(1).and_then(|seq| self.partials.get_mut(&seq));
        if let Some(partial) = tail {
            let total = partial.pieces.total();
            partial.push_hole(total, due, pkt, &mut self.holes_bound);
            partial.known = total;
        }
    }

    /// Makes place for the pieces of a message; false if there is none.
    pub(super) fn begin(
        &mut self,
        at: Arrival,
        seq: u64,
        t_us: u64,
        total: u64,
        budget: &mut Budget<'_>,
    ) -> bool {
        if !self.room_for(seq, seq + 1) {
            return false;
        }
        if !self.qos.reliable && self.partials.len() >= BEST_EFFORT_PARTIALS {
            match self.partials.first_key_value().map(|(oldest, _)| *oldest) {
                Some(oldest) if oldest < seq => self.drop_partial(oldest, budget),
                _ => return false,
            }
        }
        let token = total > LARGE && seq != self.next;
        if token && !budget.take_token() {
            return false;
        }
        let known_before = seq < self.high;
        self.see(at, seq, seq + 1);
        if self.partials.is_empty() {
            self.holes_bound = NO_HOLES;
        }
        let mut holes = Gaps::default();
        let mut known = 0;
        if known_before && self.qos.reliable {
            // It was sent before something that came already, or is said to have been.
            let (due, pkt) = self.hole_due(at);
            holes.push(0, total, due, pkt);
            self.holes_bound = sooner(self.holes_bound, holes.bound());
            known = total;
        }
        let room = if seq == self.next { budget.spare(total) } else { Vec::new() };
        let pieces = P::new(total, room);
        let more = PARTIAL_COST + pieces.memory();
        budget.take(more);
        self.held += more;
        self.partials.insert(seq, Partial { pieces, t_us, known, holes, token, lane: false });
        true
    }

    pub(super) fn complete(&mut self, seq: u64, budget: &mut Budget<'_>) {
        let Some(partial) = self.partials.remove(&seq) else { return };
        self.give(partial.pieces.memory() + PARTIAL_COST, budget);
        if partial.token {
            budget.give_token();
        }
        let held = Held { t_us: partial.t_us, body: partial.pieces.finish() };
        budget.pool.spares.keep(&held.body);
        self.hold(seq, held, true, budget);
    }

    pub(super) fn hold(&mut self, seq: u64, held: Held, open: bool, budget: &mut Budget<'_>) {
        let more = cost(held.body.len());
        budget.take(more);
        self.held += more;
        if let Some(old) = self.slots.insert(seq, held) {
            self.give(cost(old.body.len()), budget);
        }
        if !matches!(self.mode, Mode::Newest(_)) {
            return;
        }
        while let Some((&older, _)) = self.partials.range(..seq).next() {
            self.drop_partial(older, budget);
        }
        self.gaps.fill(0, seq); // what is older than this is not wanted any more
        while !open && self.slots.len() > 1 {
            let Some((&older, _)) = self.slots.first_key_value() else { break };
            self.drop_slot(older, budget);
        }
    }

    /// Message `seq` was handed out.
    pub(super) fn delivered(&mut self, now: Time, seq: u64, cost: u64, budget: &mut Budget<'_>) {
        if self.mode == Mode::Unordered {
            self.done.insert(seq, seq + 1);
            self.absorb();
        } else {
            self.pass(seq + 1, budget);
        }
        self.consume(now, cost);
    }

    /// Everything below `to` is over.
    pub(super) fn pass(&mut self, to: u64, budget: &mut Budget<'_>) {
        self.next = to;
        self.high = self.high.max(to);
        while let Some((&from, &(end, reason))) = self.skips.first_key_value() {
            if from >= to {
                break;
            }
            self.skips.remove(&from);
            if end > to {
                self.skips.insert(to, (end, reason));
            }
        }
        self.gaps.fill(0, to);
        while let Some((&seq, _)) = self.partials.range(..to).next() {
            self.drop_partial(seq, budget);
        }
    }

    /// Moves on over what was delivered or skipped out of order.
    pub(super) fn absorb(&mut self) {
        if let Some((from, to)) = self.done.first()
            && from <= self.next
        {
            self.done.remove(from, to);
            self.next = self.next.max(to);
            self.high = self.high.max(self.next);
        }
    }

    pub(super) fn skip_at(&self, seq: u64) -> Option<(u64, GapReason)> {
        let (_, skip) = self.skips.range(..=seq).next_back()?;
        (skip.0 > seq).then_some(*skip)
    }

    /// Notes `from..to` as skipped where it is not yet.
    pub(super) fn skip(&mut self, from: u64, to: u64, reason: GapReason) {
        let mut at = from;
        while at < to {
            if let Some((end, _)) = self.skip_at(at) {
                at = end;
                continue;
            }
            let next = self.skips.range(at..to).next().map_or(to, |(from, _)| *from);
            self.skips.insert(at, (next, reason));
            at = next;
        }
    }

    pub(super) fn skip_unordered(&mut self, from: u64, to: u64, reason: GapReason) {
        let mut have = RangeSet::new();
        for (a, b) in self.done.intersect(from, to) {
            have.insert(a, b);
        }
        for seq in self.slots.range(from..to).map(|(seq, _)| *seq) {
            have.insert(seq, seq + 1);
        }
        for (a, b) in have.missing(from, to) {
            self.out.push_back(Item::Missed { from: a, n: b - a, reason: missed(reason) });
            self.done.insert(a, b);
        }
        self.absorb();
    }

    /// The one place where a partial message ends without being complete.
    pub(super) fn drop_partial(&mut self, seq: u64, budget: &mut Budget<'_>) {
        let Some(partial) = self.partials.remove(&seq) else { return };
        self.give(partial.pieces.memory() + PARTIAL_COST, budget);
        if partial.token {
            budget.give_token();
        }
    }

    pub(super) fn drop_slot(&mut self, seq: u64, budget: &mut Budget<'_>) {
        if let Some(held) = self.slots.remove(&seq) {
            self.give(cost(held.body.len()), budget);
        }
    }

    /// Memory is free again.
    pub(super) fn give(&mut self, bytes: u64, budget: &mut Budget<'_>) {
        self.held = self.held.saturating_sub(bytes);
        budget.give(bytes);
    }

    pub(super) fn head_off(&self) -> u64 {
        if self.partials.is_empty() {
            return 0;
        }
        self.partials.get(&self.next).map_or(0, |partial| partial.pieces.contiguous())
    }

    pub(super) fn arrived(&mut self) {
        self.flow.arrived();
    }

    pub(super) fn consume(&mut self, now: Time, cost: u64) {
        if self.qos.reliable {
            self.flow.consume(now, cost);
        }
    }

    pub(super) fn touch(&mut self, now: Time) {
        if self.qos.reliable {
            self.flow.touch(now);
        }
    }

    pub(super) fn spurious(&mut self) {
        self.counts.spurious += 1;
        let base = reorder_base(&self.rtt);
        self.reorder = (self.reorder.max(base) * 2).min(self.rtt.srtt.max(base));
    }

    /// How long a hole may be mere reordering: stretched by spurious NAKs, shrinking by 1/16 per
    /// 100 packets (after RFC 8985 §6.2).
    pub(super) fn reorder_delay(&mut self, pkt: u64) -> Duration {
        if !self.reorder.is_zero() {
            let steps = pkt.saturating_sub(self.decayed_pkt) / 100;
            for _ in 0..steps.min(64) {
                self.reorder -= self.reorder / 16;
            }
            self.decayed_pkt += steps * 100;
        }
        self.reorder.max(reorder_base(&self.rtt))
    }
}

fn reorder_base(rtt: &RttView) -> Duration {
    (rtt.srtt / 4).clamp(REORDER.0, REORDER.1)
}
