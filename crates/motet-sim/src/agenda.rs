//! What will happen, in order of time; at one moment in the order in which it was put in.

use motet_proto::Time;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// A queue of things that will happen.
pub(crate) struct Agenda<E> {
    queue: BinaryHeap<Reverse<Entry<E>>>,
    tie: u64,
}

struct Entry<E> {
    at: Time,
    tie: u64,
    what: E,
}

impl<E> Agenda<E> {
    pub(crate) fn new() -> Self {
        Self { queue: BinaryHeap::new(), tie: 0 }
    }

    pub(crate) fn push(&mut self, at: Time, what: E) {
        self.tie += 1;
        self.queue.push(Reverse(Entry { at, tie: self.tie, what }));
    }

    /// The next thing and its moment, which `now` moves on to; `until` when nothing comes before.
    pub(crate) fn advance(&mut self, now: &mut Time, until: Time) -> Option<(Time, E)> {
        let next = self.pop(until);
        *now = next.as_ref().map_or(until, |(at, _)| *at).max(*now);
        next
    }

    /// The next thing and its moment, if that is not after `until`.
    fn pop(&mut self, until: Time) -> Option<(Time, E)> {
        let Reverse(next) = self.queue.peek()?;
        if next.at > until {
            return None;
        }
        self.queue.pop().map(|Reverse(entry)| (entry.at, entry.what))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.tie) == (other.at, other.tie)
    }
}
impl<E> Eq for Entry<E> {}
impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.tie).cmp(&(other.at, other.tie))
    }
}
