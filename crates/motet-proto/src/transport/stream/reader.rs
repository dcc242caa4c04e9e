//! # Readers: one stream, at its reader
//!
//! **Promise.** See [the stream module](super): once, in order, or one `Missed` in that place.
//!
//! | input | effect |
//! |---|---|
//! | message, next in line | delivered at once, and whatever it frees (T-16) |
//! | message ahead | held; the hole before it is due after the reorder delay (T-17) |
//! | message seen before | counted; a repaired one makes a STATUS due: ours was lost (T-18) |
//! | message beyond window, memory or holes | counted; asked for when in range |
//! | piece | put together; missing bytes are asked for as bytes (T-24) |
//! | GAP | one `Missed` in its place; what is held already is delivered all the same (T-28) |
//! | HEARTBEAT | where the stream ends, up or down; answered by STATUS if asked (T-43) |
//!
//! **I1.** While a number below the highest known one is missing, a NAK has a deadline (T-20, T-23).
//!
//! **Best effort** and `latest` deliver what is newest at once and what was passed over as `Missed`
//! (T-19).

mod holding;
mod laned;

use super::budget::LARGE;
use super::flow::Flow;
use super::gaps::Gaps;
use super::{
    Budget, GAPS_MAX, Inserted, Item, Order, Pieces, RttView, StreamCounts, WINDOW_MSGS, cost,
    missed,
};
use crate::Time;
use crate::events::MissedReason;
use crate::ranges::RangeSet;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use motet_wire::frame::{GapReason, NakItem};

/// Bounds of the reorder delay, which is a quarter of the round trip.
const REORDER: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(10));
/// A NAK is not repeated sooner, nor later.
const RETRY: (Duration, Duration) = (Duration::from_millis(2), Duration::from_secs(1));
/// So many NAKs of one hole are a round trip apart: what was repaired is lost as often as what was
/// sent, and a window must last until the last of its holes is filled. After them the gap grows.
const PATIENT_TRIES: u32 = 3;
/// Half-complete messages of a best-effort stream.
const BEST_EFFORT_PARTIALS: usize = 4;
/// A GAP names no more messages than this: nobody has ever written so many.
const GAP_MAX: u64 = 1 << 48;
/// What a partial message counts beside its bytes.
const PARTIAL_COST: u64 = 256;

/// How a stream is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadQos {
    /// Repaired until complete.
    pub reliable: bool,
    /// In which order.
    pub order: Order,
    /// Larger messages are refused, bytes.
    pub max_message: u64,
}

/// Why a message is not taken for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refuse {
    /// Larger than this reader takes: answer REJECT_MSG (T-29).
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The pieces contradict each other: close the stream (T-7).
    Broken,
}

/// Where something came from: its arrival, shared by all frames of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// When.
    pub now: Time,
    /// How many packets the session had received then.
    pub pkt: u64,
    /// It was sent again on demand.
    pub repair: bool,
    /// It came by a lane; what it shows to be missing is asked for after this time (L-40).
    pub lane: Option<Duration>,
}

impl Arrival {
    /// By the session.
    pub fn by_session(now: Time, pkt: u64, repair: bool) -> Self {
        Self { now, pkt, repair, lane: None }
    }
}

/// What a STATUS says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// Everything below is delivered or skipped.
    pub next_seq: u64,
    /// Bytes of message `next_seq` from its start without a hole.
    pub next_off: u64,
    /// Bytes beyond that which may be sent.
    pub window: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// By number, complete.
    Ordered,
    /// As they come, complete.
    Unordered,
    /// The newest at once; what it passed over is missed, for this reason.
    Newest(MissedReason),
}

struct Held {
    t_us: u64,
    body: Bytes,
}

struct Partial<P> {
    pieces: P,
    t_us: u64,
    /// Bytes known to have been sent; those below that did not come are in `holes`.
    known: u64,
    holes: Gaps,
    /// It has a large-message token.
    token: bool,
    /// Part of it came by a lane, where any member may write.
    lane: bool,
}

impl<P> Partial<P> {
    /// What lies between what was known to be sent and `to` is missing.
    fn push_hole(&mut self, to: u64, due: Time, pkt: u64, bound: &mut (Time, u64)) {
        self.holes.push(self.known, to, due, pkt);
        *bound = sooner(*bound, self.holes.bound());
    }
}

/// Nothing is due.
const NO_HOLES: (Time, u64) = (Time::NEVER, u64::MAX);

fn sooner(a: (Time, u64), b: (Time, u64)) -> (Time, u64) {
    (a.0.min(b.0), a.1.min(b.1))
}

/// One stream, at its reader.
pub struct Reader<P> {
    /// Since last taken.
    pub counts: StreamCounts,
    qos: ReadQos,
    mode: Mode,
    /// Everything below is delivered or skipped.
    next: u64,
    /// One above the highest number known to exist.
    high: u64,
    slots: BTreeMap<u64, Held>,
    partials: BTreeMap<u64, Partial<P>>,
    /// As [`Gaps::bound`], for what partial messages miss: may be too early, never too late.
    holes_bound: (Time, u64),
    /// from → (to, why) of what will never come; may cover what is held, which wins.
    skips: BTreeMap<u64, (u64, GapReason)>,
    /// Delivered or skipped above `next` (unordered).
    done: RangeSet,
    /// `Missed` that have no place in an order (unordered).
    out: VecDeque<Item>,
    gaps: Gaps,
    rtt: RttView,
    /// The reorder delay as stretched by spurious NAKs, and when it last decayed.
    reorder: Duration,
    decayed_pkt: u64,
    flow: Flow,
    /// Bytes held, in whole messages and in pieces.
    held: u64,
    end: Option<u64>,
}

impl<P: Pieces> Reader<P> {
    /// Waits for `start_seq`.
    pub fn new(start_seq: u64, qos: ReadQos) -> Self {
        let mode = match (qos.reliable, qos.order) {
            (false, _) => Mode::Newest(MissedReason::Lost),
            (true, Order::Latest) => Mode::Newest(MissedReason::Conflated),
            (true, Order::Fifo) => Mode::Ordered,
            (true, Order::Unordered) => Mode::Unordered,
        };
        Self {
            counts: StreamCounts::default(),
            qos,
            mode,
            next: start_seq,
            high: start_seq,
            slots: BTreeMap::new(),
            partials: BTreeMap::new(),
            holes_bound: NO_HOLES,
            skips: BTreeMap::new(),
            done: RangeSet::new(),
            out: VecDeque::new(),
            gaps: Gaps::default(),
            rtt: RttView::default(),
            reorder: Duration::ZERO,
            decayed_pkt: 0,
            flow: Flow::new(),
            held: 0,
            end: None,
        }
    }

    /// The number waited for.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// One above the highest number known to exist.
    pub fn high(&self) -> u64 {
        self.high
    }

    /// Everything known to exist is handed out.
    pub fn is_caught_up(&self) -> bool {
        self.high == self.next && self.out.is_empty()
    }

    /// The session's round trip, whenever it changed.
    pub fn set_rtt(&mut self, rtt: RttView) {
        self.rtt = rtt;
    }

    /// A whole message. `open`: the subscriber takes one now. Then call [`Reader::take`] until
    /// `None`.
    pub fn on_message(
        &mut self,
        at: Arrival,
        seq: u64,
        t_us: u64,
        body: Bytes,
        open: bool,
        budget: &mut Budget<'_>,
    ) -> Result<Option<Item>, Refuse> {
        if body.len() as u64 > self.qos.max_message {
            return Err(self.too_large());
        }
        if seq == self.next && open && self.is_caught_up() {
            // Nothing is known beyond it, so nothing is held or missing: no map is touched.
            (self.next, self.high) = (seq + 1, seq + 1);
            self.arrived();
            self.consume(at.now, cost(body.len()));
            return Ok(Some(Item::Message { seq, t_us, body }));
        }
        if !self.admit(at, seq) {
            return Ok(None);
        }
        let at_once = open
            && self.out.is_empty()
            && match self.mode {
                Mode::Ordered => seq == self.next,
                Mode::Unordered => true,
                Mode::Newest(_) => seq == self.next && self.slots.is_empty(),
            };
        let cost = cost(body.len());
        if !self.room_for(seq, seq + 1) || !(at_once || budget.may(cost, seq == self.next)) {
            self.counts.overruns += 1;
            return Ok(None);
        }
        self.see(at, seq, seq + 1);
        self.drop_partial(seq, budget);
        if at_once {
            self.delivered(at.now, seq, cost, budget);
            return Ok(Some(Item::Message { seq, t_us, body }));
        }
        self.hold(seq, Held { t_us, body }, open, budget);
        self.flow.crowded(at.now, &self.rtt, self.held);
        Ok(None)
    }

    /// It waits for `seq`, and knows of nothing that is missing or held.
    #[inline]
    pub fn is_next(&self, seq: u64) -> bool {
        seq == self.next && self.is_caught_up()
    }

    /// `n` whole messages came that count `cost`, [the next in line](Self::is_next), and the
    /// subscribers took them.
    #[inline]
    pub fn on_row(&mut self, now: Time, n: u64, cost: u64) {
        (self.next, self.high) = (self.next + n, self.high + n);
        self.arrived();
        self.consume(now, cost);
    }

    /// A piece. Then call [`Reader::take`] until `None`.
    #[expect(clippy::too_many_arguments, reason = "they are the fields of a FRAG")]
    pub fn on_fragment(
        &mut self,
        at: Arrival,
        seq: u64,
        t_us: u64,
        total: u64,
        off: u64,
        body: &[u8],
        budget: &mut Budget<'_>,
    ) -> Result<(), Refuse> {
        if total > self.qos.max_message {
            return Err(self.too_large());
        }
        let len = body.len() as u64;
        if total.checked_sub(off).is_none_or(|room| len > room) {
            return Err(Refuse::Broken);
        }
        if !self.admit(at, seq) {
            return Ok(());
        }
        if self.skip_at(seq).is_some() || (len == 0 && total > 0) {
            self.duplicate(at);
            return Ok(());
        }
        let head = seq == self.next;
        if at.lane.is_none()
            && self.partials.get(&seq).is_some_and(|it| it.lane && it.pieces.total() != total)
        {
            self.drop_partial_again(at, seq, budget); // the session is right (L-51)
        }
        match self.partials.get(&seq) {
            Some(partial) if partial.pieces.total() != total => return Err(Refuse::Broken),
            _ if !budget.may(len + PARTIAL_COST, head) => {
                self.counts.overruns += 1;
                return Ok(());
            }
            Some(_) => {}
            None => {
                if !self.begin(at, seq, t_us, total, budget) {
                    self.counts.overruns += 1;
                    return Ok(());
                }
            }
        }
        self.arrived();
        let (due, pkt) = self.hole_due(at);
        let reliable = self.qos.reliable;
        let Some(partial) = self.partials.get_mut(&seq) else { return Ok(()) };
        partial.lane |= at.lane.is_some();
        let before = partial.pieces.memory();
        match partial.pieces.insert(off, body) {
            Inserted::New => {}
            Inserted::Duplicate if partial.pieces.is_complete() => {} // of no bytes at all
            Inserted::Duplicate => {
                self.duplicate(at);
                return Ok(());
            }
            Inserted::TooManyHoles | Inserted::Outside => {
                self.counts.overruns += 1;
                return Ok(());
            }
        }
        let more = partial.pieces.memory() - before;
        budget.take(more);
        self.held += more;
        let mut asked = false;
        if reliable {
            let slip = u64::from(crate::planted::on("fragment_hole_off_by_one"));
            partial.push_hole(off, due, pkt, &mut self.holes_bound);
            partial.known = partial.known.max(off + len);
            asked = partial.holes.fill(off, off + len + slip).asked;
        }
        if partial.pieces.is_complete() {
            self.complete(seq, budget);
        } else if !head {
            self.flow.crowded(at.now, &self.rtt, self.held);
        }
        if asked && !at.repair {
            self.spurious();
        }
        if head {
            self.touch(at.now);
        }
        Ok(())
    }

    /// A HEARTBEAT on the session: it knows how far the writer got, and may also lower what we
    /// believed.
    pub fn on_heartbeat(
        &mut self,
        at: Arrival,
        _first_avail: u64,
        next_seq: u64,
        answer: bool,
        end: bool,
        blocked: bool,
    ) {
        if !self.qos.reliable {
            self.end = end.then_some(next_seq).or(self.end);
            return;
        }
        let limit = self.next.saturating_add(WINDOW_MSGS);
        if next_seq > self.high && self.gaps.len() < GAPS_MAX {
            let to = next_seq.min(limit);
            if to > self.high {
                let (due, pkt) = self.hole_due(at);
                self.close_tail(at);
                self.gaps.push(self.high, to, due, pkt);
                self.high = to;
            }
        } else if next_seq < self.high {
            let slots = self.slots.last_key_value().map_or(0, |(seq, _)| seq + 1);
            let partials = self.partials.last_key_value().map_or(0, |(seq, _)| seq + 1);
            let skips = self.skips.last_key_value().map_or(0, |(_, (to, _))| *to);
            let done = self.done.last().map_or(0, |(_, to)| to);
            let held = slots.max(partials).max(skips).max(done);
            let to = self.next.max(held).max(next_seq);
            self.gaps.fill(to, self.high.max(to));
            self.high = to;
        }
        if next_seq >= self.high {
            self.close_tail(at);
        }
        self.end = end.then_some(next_seq).or(self.end);
        if blocked {
            self.flow.limited(at.now);
        }
        if answer {
            self.flow.urge(at.now);
        }
    }

    /// A GAP. Then call [`Reader::take`] until `None`.
    pub fn on_gap(
        &mut self,
        at: Arrival,
        from: u64,
        count: u64,
        reason: GapReason,
        budget: &mut Budget<'_>,
    ) {
        let (from, to) = (from.max(self.next), from.saturating_add(count));
        if from >= to {
            return;
        }
        let full = self.skips.len() >= GAPS_MAX || self.out.len() >= GAPS_MAX;
        if from - self.next >= WINDOW_MSGS || count > GAP_MAX || full || !self.room_for(from, to) {
            self.counts.overruns += 1;
            return;
        }
        self.arrived();
        self.see(Arrival { repair: true, ..at }, from, to);
        while let Some((&seq, _)) = self.partials.range(from..to).next() {
            self.drop_partial(seq, budget);
        }
        if crate::planted::on("gap_swallows_held") {
            while let Some((&seq, _)) = self.slots.range(from..to).next() {
                self.drop_slot(seq, budget);
            }
        }
        if self.mode == Mode::Unordered {
            self.skip_unordered(from, to, reason);
        } else {
            self.skip(from, to, reason);
        }
        self.touch(at.now);
    }

    /// The next item in order. Call while the subscriber has room.
    pub fn take(&mut self, now: Time, budget: &mut Budget<'_>) -> Option<Item> {
        if let Some(item) = self.out.pop_front() {
            return Some(item);
        }
        let first = self.slots.first_key_value().map(|(seq, _)| *seq);
        if let Some(seq) = first
            && (seq == self.next || self.mode == Mode::Unordered)
        {
            let Held { t_us, body } = self.slots.remove(&seq)?;
            self.give(cost(body.len()), budget);
            self.delivered(now, seq, cost(body.len()), budget);
            return Some(Item::Message { seq, t_us, body });
        }
        let (from, stop) = (self.next, first.unwrap_or(u64::MAX));
        let reason = match (self.skip_at(from), self.mode, first) {
            (Some((mut to, reason)), ..) => {
                while to < stop
                    && let Some((more, why)) = self.skip_at(to)
                    && why == reason
                {
                    to = more;
                }
                self.pass(to.min(stop), budget);
                missed(reason)
            }
            (None, Mode::Newest(reason), Some(seq)) => {
                self.pass(seq, budget);
                reason
            }
            _ => return None,
        };
        self.touch(now);
        let short = u64::from(crate::planted::on("missed_one_short"));
        Some(Item::Missed { from, n: self.next - from - short, reason })
    }

    /// When [`Reader::naks`] has something, given how many packets the session has received.
    pub fn nak_deadline(&self, pkt: u64) -> Option<Time> {
        let (due, packets) = self.holes_bound;
        let holes = if packets <= pkt { Time::ZERO } else { due };
        let holes = (!self.partials.is_empty() && holes < Time::NEVER).then_some(holes);
        holes.into_iter().chain(self.gaps.deadline(pkt)).min()
    }

    /// Until then, and until the session will have received that many packets,
    /// [`Reader::nak_deadline`] is not due. May be too early, never too late.
    pub fn nak_bound(&self) -> (Time, u64) {
        let holes = if self.partials.is_empty() { NO_HOLES } else { self.holes_bound };
        sooner(self.gaps.bound(), holes)
    }

    /// All that is due, ascending; puts each off until its next try.
    pub fn naks(&mut self, now: Time, pkt: u64, sink: impl FnMut(NakItem)) {
        if self.nak_deadline(pkt).is_none_or(|due| due > now) {
            return;
        }
        let first = (self.rtt.srtt + self.rtt.var * 4).max(RETRY.0);
        let retry = |tries: u32| now + retry_wait(first, tries);
        let mut items: Vec<NakItem> = Vec::new();
        self.gaps.ask(now, pkt, retry, |from, to| {
            items.push(NakItem::Range { seq: from, count: to - from });
        });
        for (&seq, partial) in &mut self.partials {
            let total = partial.pieces.total();
            partial.holes.ask(now, pkt, retry, |off, to| {
                let len = if to == total { 0 } else { to - off };
                items.push(NakItem::Bytes { seq, off, len });
            });
        }
        let holes = self.partials.values().map(|partial| partial.holes.bound());
        self.holes_bound = holes.fold(NO_HOLES, sooner);
        items.sort_by_key(|item| match *item {
            NakItem::Range { seq, .. } => (seq, 0),
            NakItem::Bytes { seq, off, .. } => (seq, off),
        });
        items.into_iter().for_each(sink);
    }

    /// The subscriber's queue has `free` bytes again.
    pub fn on_room(&mut self, now: Time, free: u64) {
        if self.qos.reliable {
            let off = self.head_off();
            self.flow.on_room(now, free, off);
        }
    }

    /// When a STATUS must leave.
    pub fn status_deadline(&self) -> Option<Time> {
        self.flow.deadline()
    }

    /// Something new would be said by a STATUS: it may ride along.
    pub fn status_dirty(&self) -> bool {
        self.flow.dirty()
    }

    /// The STATUS to send now; `free` bytes are left in the subscriber's queue. Also gives the
    /// window of an ACCEPT.
    pub fn status(&mut self, now: Time, free: u64) -> Status {
        let next_off = self.head_off();
        let window = self.flow.grant(now, &self.rtt, free, next_off);
        Status { next_seq: self.next, next_off, window }
    }

    /// The writer ended the stream and everything was taken.
    pub fn finished(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end) && self.out.is_empty()
    }

    /// Frees all that is held: the stream ends, or its session expired.
    pub fn release(&mut self, budget: &mut Budget<'_>) {
        while let Some((&seq, _)) = self.slots.first_key_value() {
            self.drop_slot(seq, budget);
        }
        while let Some((&seq, _)) = self.partials.first_key_value() {
            self.drop_partial(seq, budget);
        }
    }

    /// The invariants, for tests and the simulator: the broken one.
    pub fn check(&self) -> Result<(), &'static str> {
        let mut known = self.done.clone();
        self.slots.keys().chain(self.partials.keys()).for_each(|seq| {
            known.insert(*seq, *seq + 1);
        });
        self.skips.iter().for_each(|(from, (to, _))| {
            known.insert(*from, *to);
        });
        if let (Mode::Newest(_), Some((seq, _))) = (self.mode, self.slots.last_key_value()) {
            known.insert(self.next, *seq); // not wanted any more
        }
        if self.gaps.iter().any(|(from, to)| known.intersect(from, to).next().is_some()) {
            return Err("asks for what it has");
        }
        self.gaps.iter().for_each(|(from, to)| {
            known.insert(from, to);
        });
        if self.qos.reliable && known.missing(self.next, self.high).next().is_some() {
            return Err("I1: something is missing and never asked for");
        }
        if known.first().is_some_and(|(from, _)| from < self.next)
            || known.last().is_some_and(|(_, to)| to > self.high)
        {
            return Err("holds something outside of next..high");
        }
        let bytes = |(seq, partial): (&u64, &Partial<P>)| {
            let sent_further = *seq + 1 < self.high;
            let end = if sent_further { partial.pieces.total() } else { partial.known };
            let missing = partial.pieces.contiguous() < end;
            self.qos.reliable && missing && partial.holes.is_empty()
        };
        if self.partials.iter().any(bytes) {
            return Err("I1: bytes are missing and never asked for");
        }
        if self.gaps.len() > GAPS_MAX + 1 {
            return Err("too many gaps");
        }
        Ok(())
    }
}

/// How long to wait for the answer to the NAK number `tries`, counted from 0 (T-22).
fn retry_wait(first: Duration, tries: u32) -> Duration {
    let doubts = tries.saturating_sub(PATIENT_TRIES).min(32);
    (0..doubts).fold(first, |wait, _| (wait * 3 / 2).min(RETRY.1)).min(RETRY.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // T-22
    fn the_first_naks_of_a_hole_are_a_round_trip_apart_and_later_ones_further() {
        let waits: Vec<u64> =
            (0..7).map(|n| retry_wait(Duration::from_millis(8), n).as_millis() as u64).collect();
        assert_eq!(waits, [8, 8, 8, 8, 12, 18, 27]);
        assert_eq!(retry_wait(Duration::from_millis(8), 99), RETRY.1);
        assert_eq!(retry_wait(Duration::from_secs(9), 0), RETRY.1);
    }
}
