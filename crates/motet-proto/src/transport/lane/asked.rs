//! Who asked for what a moment ago: the first one is answered by its session, a second one shows
//! that others miss it too, and is answered by the lane (L-43).

use crate::Time;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use motet_wire::frame::NakItem;

/// Ranges remembered per lane; beyond them every question counts as a first one.
pub const ASKED_MAX: usize = 4_096;

/// A place in a stream: message and byte.
type At = (u64, u64);

#[derive(Clone, Copy, Debug)]
struct Entry {
    to: At,
    asker: usize,
    at: Time,
    shared: bool,
}

/// Ranges asked for, disjoint.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    map: BTreeMap<At, Entry>,
}

/// How to answer a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// By the session of who asked.
    pub alone: Vec<NakItem>,
    /// By the lane.
    pub shared: Vec<NakItem>,
}

impl Asked {
    /// `asker` names `item`. What was asked for before `since` is forgotten.
    pub fn ask(&mut self, now: Time, since: Time, asker: usize, item: NakItem, out: &mut Answer) {
        let (from, to) = span(item);
        if from >= to {
            return;
        }
        if self.map.len() >= ASKED_MAX {
            self.map.retain(|_, entry| entry.at >= since);
        }
        let before = self.map.range(..from).next_back().map(|(start, _)| *start);
        let first = before.unwrap_or(from);
        let near: Vec<At> = self.map.range(first..to).map(|(start, _)| *start).collect();
        let (mut pos, mut fresh) = (from, Vec::new());
        for start in near {
            let Some(entry) = self.map.get_mut(&start) else { continue };
            if entry.to <= pos {
                continue;
            }
            if entry.at < since {
                // Forgotten: what of it lies outside of the question is asked anew when it is.
                self.map.remove(&start);
                continue;
            }
            let (a, b) = (start.max(pos), entry.to.min(to));
            if pos < a {
                fresh.push((pos, a));
            }
            if entry.asker == asker && !entry.shared {
                entry.at = now;
                push(&mut out.alone, a, b);
            } else {
                entry.shared = true;
                push(&mut out.shared, a, b);
            }
            pos = b;
        }
        if pos < to {
            fresh.push((pos, to));
        }
        for (a, b) in fresh {
            push(&mut out.alone, a, b);
            if self.map.len() < ASKED_MAX {
                self.map.insert(a, Entry { to: b, asker, at: now, shared: false });
            }
        }
    }

    /// Nobody waits for anything any more.
    pub fn clear(&mut self) {
        self.map.clear();
    }

    /// Ranges remembered.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// True if none is.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

fn span(item: NakItem) -> (At, At) {
    match item {
        NakItem::Range { seq, count } => ((seq, 0), (seq.saturating_add(count), 0)),
        NakItem::Bytes { seq, off, len: 0 } => ((seq, off), (seq.saturating_add(1), 0)),
        NakItem::Bytes { seq, off, len } => ((seq, off), (seq, off.saturating_add(len))),
    }
}

/// As at most three items: the rest of a message, whole ones, the start of one.
fn push(to: &mut Vec<NakItem>, mut a: At, b: At) {
    if a.1 > 0 && a.0 < b.0 {
        to.push(NakItem::Bytes { seq: a.0, off: a.1, len: 0 });
        a = (a.0 + 1, 0);
    }
    if a.0 < b.0 {
        to.push(NakItem::Range { seq: a.0, count: b.0 - a.0 });
        a = (b.0, 0);
    }
    if a < b {
        to.push(NakItem::Bytes { seq: a.0, off: a.1, len: b.1 - a.1 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn ask(asked: &mut Asked, ms: u64, asker: usize, item: NakItem) -> Answer {
        let now = Time(ms * 1_000_000);
        let mut answer = Answer::default();
        asked.ask(now, now - Duration::from_millis(10), asker, item, &mut answer);
        answer
    }

    fn range(seq: u64, count: u64) -> NakItem {
        NakItem::Range { seq, count }
    }

    #[test] // L-43
    fn the_first_who_asks_is_answered_alone_and_the_second_with_all() {
        let mut asked = Asked::default();
        let first = ask(&mut asked, 100, 1, range(5, 2));
        assert_eq!((first.alone, first.shared), (vec![range(5, 2)], vec![]));
        let again = ask(&mut asked, 101, 1, range(5, 2));
        assert_eq!((again.alone, again.shared), (vec![range(5, 2)], vec![]));
        let second = ask(&mut asked, 102, 2, range(4, 3));
        assert_eq!((second.alone, second.shared), (vec![range(4, 1)], vec![range(5, 2)]));
        let late = ask(&mut asked, 200, 3, range(5, 2));
        assert_eq!((late.alone, late.shared), (vec![range(5, 2)], vec![]));
    }

    #[test] // L-43
    fn bytes_and_whole_messages_meet() {
        let mut asked = Asked::default();
        ask(&mut asked, 1, 1, NakItem::Bytes { seq: 7, off: 100, len: 50 });
        let answer = ask(&mut asked, 2, 2, range(7, 2));
        let alone = [
            NakItem::Bytes { seq: 7, off: 0, len: 100 },
            NakItem::Bytes { seq: 7, off: 150, len: 0 },
            range(8, 1),
        ];
        assert_eq!(answer.alone, alone);
        assert_eq!(answer.shared, [NakItem::Bytes { seq: 7, off: 100, len: 50 }]);
    }

    #[test]
    fn memory_is_bounded_whatever_is_asked() {
        let mut asked = Asked::default();
        for n in 0..20_000 {
            ask(&mut asked, 1, 1, range(n * 2, 1));
        }
        assert_eq!(asked.len(), ASKED_MAX);
    }
}
