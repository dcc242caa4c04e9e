//! What a subscription has not read yet.
//!
//! Bounded in bytes. A full queue refuses or drops, by its policy; what it drops becomes a mark in
//! its place, so that per stream (writer and topic) messages and the numbers of marks add up to
//! what was put in.

use crate::config::QueuePolicy;
use crate::events::{Delivery, MissedReason};
use crate::ids::EndpointKey;
use crate::received::{Origin, Received, Row};
use alloc::collections::VecDeque;
use alloc::sync::Arc;

/// Bytes that a message counts at least.
pub const MESSAGE_COST_MIN: usize = 64;
/// Marks kept apart. Beyond it a new mark joins the newest of its writer, whose readers then hear
/// of the loss early and under that mark's reason; only a writer without any mark gets one more.
pub const MARKS_MAX: usize = 1_024;

/// A subscription's delivery queue.
#[derive(Clone, Debug)]
pub struct Queue {
    limit: usize,
    policy: QueuePolicy,
    // Marks before the oldest message; here a dropped message joins in O(marks), not O(messages).
    front: VecDeque<Mark>,
    // Starts with a message or is empty.
    slots: VecDeque<Slot>,
    marks_behind: usize,
    // Messages of rows beyond the first of each.
    more: usize,
    bytes: usize,
    dropped: u64,
}

#[derive(Clone, Debug)]
enum Slot {
    Message(Received),
    Row(Row),
    Missed(Mark),
}

#[derive(Clone, Debug)]
struct Mark {
    writer: EndpointKey,
    topic: Arc<str>,
    n: u64,
    reason: MissedReason,
}

impl Mark {
    fn is_of(&self, other: &Self) -> bool {
        self.writer == other.writer && self.topic == other.topic
    }

    fn absorb(&mut self, n: u64) {
        self.n = self.n.saturating_add(n);
    }
}

/// What became of a message.
#[derive(Clone, Debug)]
pub enum Pushed {
    /// It is queued.
    Queued,
    /// It is queued; older ones went, each counted in a mark.
    QueuedAfterDrop,
    /// [`QueuePolicy::Block`]: there is no room. Here it is back; nothing changed.
    Refused(Received),
    /// [`QueuePolicy::DropNewest`]: there is no room, and a mark counts it.
    Dropped,
}

impl Queue {
    /// An empty queue of `limit` bytes.
    pub fn new(limit: usize, policy: QueuePolicy) -> Self {
        let (front, slots) = (VecDeque::new(), VecDeque::new());
        Self { limit, policy, front, slots, marks_behind: 0, more: 0, bytes: 0, dropped: 0 }
    }

    /// Puts a message at the end. One that is larger than the whole queue is taken when no other
    /// message is in it: nothing is stuck for ever. P-30 A queue that blocks takes messages as long
    /// as it is not full, so that the last one may go over its limit.
    #[inline]
    pub fn push(&mut self, message: Received) -> Pushed {
        let cost = cost(&message);
        let mut pushed = Pushed::Queued;
        while self.has_no_room_for(cost) {
            match self.policy {
                QueuePolicy::Block => return Pushed::Refused(message),
                QueuePolicy::DropNewest => {
                    self.dropped += 1;
                    // P-31
                    if !crate::planted::on("queue_drop_without_mark") {
                        let (writer, topic) = (message.writer(), message.topic().clone());
                        self.push_missed(writer, topic, 1, MissedReason::QueueFull);
                    }
                    return Pushed::Dropped;
                }
                QueuePolicy::DropOldest => {
                    self.drop_oldest();
                    pushed = Pushed::QueuedAfterDrop;
                }
            }
        }
        self.bytes += cost;
        self.slots.push_back(Slot::Message(message));
        pushed
    }

    /// Whether messages that count `cost` in all go in as they are, under any policy.
    #[inline]
    pub(crate) fn takes(&self, cost: usize) -> bool {
        self.bytes.saturating_add(cost) <= self.limit
    }

    /// Puts messages at the end that count `cost` in all; [`takes`](Self::takes) said yes.
    #[inline]
    pub(crate) fn push_row(&mut self, row: Row, cost: usize) {
        self.bytes += cost;
        self.more += row.len().saturating_sub(1);
        self.slots.push_back(Slot::Row(row));
    }

    /// Says at the end that `n` messages of this stream are missing here. Never refused; joins an
    /// equal mark if no message is in between. `n` = 0 is nothing. P-33
    pub fn push_missed(
        &mut self,
        writer: EndpointKey,
        topic: Arc<str>,
        n: u64,
        reason: MissedReason,
    ) {
        if n == 0 {
            return;
        }
        let mark = Mark { writer, topic, n, reason };
        if self.slots.is_empty() {
            return self.put_front(mark);
        }
        let run = self.slots.iter_mut().rev().map_while(Slot::as_mark);
        if let Some(equal) = same(run, &mark) {
            return equal.absorb(n);
        }
        if self.marks() >= MARKS_MAX {
            // P-34
            let marks =
                self.front.iter_mut().chain(self.slots.iter_mut().filter_map(Slot::as_mark));
            if let Some(newest) = closest(marks.rev(), &mark) {
                return newest.absorb(n);
            }
        }
        self.marks_behind += 1;
        self.slots.push_back(Slot::Missed(mark));
    }

    /// Takes what is next.
    #[inline]
    pub fn pop(&mut self) -> Option<Delivery> {
        if let Some(Mark { writer, topic, n, reason }) = self.front.pop_front() {
            return Some(Delivery::Missed { writer, topic, n, reason });
        }
        let message = self.take_oldest()?;
        Some(Delivery::Message(message))
    }

    /// Bytes until the mark: the window that may be granted. 0 when full.
    #[inline]
    pub fn free(&self) -> usize {
        self.limit.saturating_sub(self.bytes)
    }

    /// There is no room for even the smallest message.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.bytes > 0 && self.free() < MESSAGE_COST_MIN
    }

    /// A queue that blocks takes a last message over its limit, as its readers stop only after it.
    #[inline]
    fn has_no_room_for(&self, cost: usize) -> bool {
        match self.policy {
            QueuePolicy::Block => self.is_full(),
            QueuePolicy::DropOldest | QueuePolicy::DropNewest => {
                self.bytes > 0 && self.bytes.saturating_add(cost) > self.limit
            }
        }
    }

    /// All but its newest message are within the limit.
    pub fn within_limit(&self) -> bool {
        let newest = self.slots.iter().rev().find_map(|slot| match slot {
            Slot::Message(message) => Some(cost(message)),
            Slot::Row(_) => Some(0), // taken within the limit only
            Slot::Missed(_) => None,
        });
        self.bytes.saturating_sub(newest.unwrap_or(0)) <= self.limit
    }

    /// Messages and marks.
    pub fn len(&self) -> usize {
        self.front.len() + self.slots.len() + self.more
    }

    /// [`pop`](Self::pop) returns nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the messages count: each its length, at least [`MESSAGE_COST_MIN`].
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Marks held.
    pub fn marks(&self) -> usize {
        self.front.len() + self.marks_behind
    }

    /// Messages that this queue has dropped since it was made.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn drop_oldest(&mut self) {
        let (Origin { topic, writer, .. }, len) = match self.slots.front() {
            Some(Slot::Message(oldest)) => (oldest.origin(), oldest.body().len()),
            Some(Slot::Row(row)) => (row.origin(), row.first_len()),
            Some(Slot::Missed(_)) | None => return,
        };
        // P-31, P-32: before the marks that followed the message.
        let (topic, writer, n) = (topic.clone(), *writer, 1);
        self.bytes -= len.max(MESSAGE_COST_MIN);
        self.dropped += 1;
        if let Some(Slot::Row(row)) = self.slots.front_mut()
            && row.len() > 1
        {
            row.skip();
            self.more -= 1;
        } else {
            self.slots.pop_front();
        }
        self.put_front(Mark { writer, topic, n, reason: MissedReason::QueueFull });
        self.settle();
    }

    #[inline]
    fn take_oldest(&mut self) -> Option<Received> {
        if let Some(Slot::Row(row)) = self.slots.front_mut()
            && row.len() > 1
        {
            let oldest = row.take()?;
            self.more -= 1;
            self.bytes -= cost(&oldest);
            return Some(oldest);
        }
        let oldest = match self.slots.pop_front()? {
            Slot::Message(oldest) => oldest,
            Slot::Row(row) => row.last()?,
            Slot::Missed(_) => return None, // it does not start with a mark
        };
        self.bytes -= cost(&oldest);
        self.settle();
        Some(oldest)
    }

    /// Moves the marks that no message precedes any more to the front.
    #[inline]
    fn settle(&mut self) {
        while let Some(Slot::Missed(_)) = self.slots.front() {
            if let Some(Slot::Missed(mark)) = self.slots.pop_front() {
                self.marks_behind -= 1;
                self.put_front(mark);
            }
        }
    }

    fn put_front(&mut self, mark: Mark) {
        if let Some(equal) = same(self.front.iter_mut(), &mark) {
            return equal.absorb(mark.n);
        }
        if self.marks() >= MARKS_MAX
            && let Some(newest) = closest(self.front.iter_mut().rev(), &mark)
        {
            return newest.absorb(mark.n);
        }
        self.front.push_back(mark);
    }
}

impl Slot {
    fn as_mark(&mut self) -> Option<&mut Mark> {
        match self {
            Self::Message(_) | Self::Row(_) => None,
            Self::Missed(mark) => Some(mark),
        }
    }
}

#[inline]
fn cost(message: &Received) -> usize {
    message.body().len().max(MESSAGE_COST_MIN)
}

/// The first mark of the same stream and reason.
fn same<'a>(mut marks: impl Iterator<Item = &'a mut Mark>, like: &Mark) -> Option<&'a mut Mark> {
    marks.find(|mark| mark.is_of(like) && mark.reason == like.reason)
}

/// The first mark of the same stream, else the first of the same writer.
fn closest<'a>(marks: impl Iterator<Item = &'a mut Mark>, like: &Mark) -> Option<&'a mut Mark> {
    let mut of_writer = None;
    for mark in marks.filter(|mark| mark.writer == like.writer) {
        if mark.is_of(like) {
            return Some(mark);
        }
        of_writer.get_or_insert(mark);
    }
    of_writer
}
