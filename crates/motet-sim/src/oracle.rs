//! # Oracle: what must hold whatever the network does
//!
//! | | must hold | checked |
//! |---|---|---|
//! | O1 | reliable + block: exactly once, in order, from the first message on, until writer or session dies | at each delivery |
//! | O2 | otherwise: what is not delivered is counted by `Missed` in its place | at each delivery |
//! | O3 | nothing is delivered that was not published (content sums) | at each delivery |
//! | O5 | after quiet every live reader has everything retained; no node spins | [`Oracle::demand`], each step |
//! | O6 | every buffer is within its limit | `check_invariants`, by [`Net`](crate::Net) |
//! | O8 | no packet number twice under a key | each step, by [`Net`](crate::Net) |
//! | O10 | one seed, one run | trace hashes of two runs |

use crate::null::sum64;
use motet_proto::config::{History, QueuePolicy};
use motet_proto::events::{MissedReason, WriterState};
use motet_proto::{Delivery, EndpointId, EndpointKey, PubQos, SlowPolicy, SubQos, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// Violations kept.
const KEPT: usize = 20;

/// Something that must hold and did not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which rule, and how it was broken: `O1 duplicate`.
    pub name: &'static str,
    /// When.
    pub at: Time,
    /// Who, which topic, which number.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:?}: {}", self.name, self.at, self.detail)
    }
}

/// A topic of a writer.
type StreamKey = (EndpointKey, Arc<str>);

struct Written {
    sums: Vec<u64>,
    qos: PubQos,
    live: bool,
    /// The number of the next message when this endpoint's readers were said to be ready.
    due: BTreeMap<EndpointKey, u64>,
}

struct Reading {
    me: EndpointKey,
    filters: Vec<String>,
    qos: SubQos,
    live: bool,
    places: BTreeMap<StreamKey, Place>,
    /// The number of the next message of each stream when it began.
    began: BTreeMap<StreamKey, u64>,
    /// Streams whose writer dropped it for being slow.
    evicted: BTreeSet<StreamKey>,
}

/// Where a reader stands in a stream.
#[derive(Default)]
struct Place {
    next: Option<u64>,
    first: u64,
    before: u64,
    may_restart: bool,
}

/// What was published and read, and what was wrong about it.
#[derive(Default)]
pub struct Oracle {
    /// What did not hold; the first ones.
    pub violations: Vec<Violation>,
    /// Messages delivered.
    pub delivered: u64,
    /// Messages reported missing.
    pub missed: u64,
    /// Messages accepted for publishing.
    pub published: u64,
    written: BTreeMap<StreamKey, Written>,
    readings: Vec<Reading>,
    disrupted: BTreeSet<(EndpointId, EndpointId)>,
}

impl Oracle {
    /// Notes a violation.
    pub fn violate(&mut self, name: &'static str, at: Time, detail: String) {
        if self.violations.len() < KEPT {
            self.violations.push(Violation { name, at, detail });
        }
    }

    /// A publication begins.
    pub fn on_advertise(&mut self, writer: EndpointKey, topic: &str, qos: &PubQos) {
        let written =
            Written { sums: Vec::new(), qos: qos.clone(), live: true, due: BTreeMap::new() };
        self.written.insert((writer, topic.into()), written);
    }

    /// A message was accepted.
    pub fn on_publish(&mut self, at: Time, stream: &StreamKey, seq: u64, payload: &[u8]) {
        self.published += 1;
        let Some(written) = self.written.get_mut(stream) else { return };
        written.sums.push(sum64(seq, payload));
        let expected = written.sums.len() as u64;
        if seq != expected {
            let detail = format!("{}: message {expected} got number {seq}", stream.1);
            self.violate("O2 numbering", at, detail);
        }
    }

    /// A publication, and all of a dead writer, end.
    pub fn on_writer_gone(&mut self, writer: EndpointKey, topic: Option<&str>) {
        for ((key, of), written) in &mut self.written {
            if *key == writer && topic.is_none_or(|topic| topic == &**of) {
                written.live = false;
            }
        }
    }

    /// A subscription begins. Returns its number here.
    pub fn on_subscribe(&mut self, me: EndpointKey, filters: &[&str], qos: &SubQos) -> usize {
        self.readings.push(Reading {
            me,
            filters: filters.iter().map(ToString::to_string).collect(),
            qos: qos.clone(),
            live: true,
            places: BTreeMap::new(),
            began: self
                .written
                .iter()
                .map(|(key, it)| (key.clone(), it.sums.len() as u64 + 1))
                .collect(),
            evicted: BTreeSet::new(),
        });
        self.readings.len() - 1
    }

    /// A subscription ended.
    pub fn on_reader_gone(&mut self, reading: usize) {
        if let Some(reading) = self.readings.get_mut(reading) {
            reading.live = false;
        }
    }

    /// A writer was told that an endpoint's readers are ready.
    pub fn on_joined(&mut self, stream: &StreamKey, reader: EndpointKey) {
        if let Some(written) = self.written.get_mut(stream) {
            // Anew each time: in between it may have been cut off, left, and come back as another
            // subscription, which starts from here.
            let next = written.sums.len() as u64 + 1;
            written.due.insert(reader, next);
        }
    }

    /// A writer was told that an endpoint reads no more, by its own will.
    pub fn on_left(&mut self, stream: &StreamKey, reader: EndpointKey) {
        if let Some(written) = self.written.get_mut(stream) {
            written.due.remove(&reader);
        }
    }

    /// A session between two endpoints died: what was not read by then may be lost, and said so.
    pub fn on_disrupted(&mut self, one: EndpointId, other: EndpointId) {
        self.disrupted.insert((one.min(other), one.max(other)));
    }

    /// A reader was told something about a writer.
    pub fn on_writer_state(&mut self, reading: usize, stream: &StreamKey, state: WriterState) {
        use WriterState::{Evicted, Joined, Resumed, Suspended};
        if let Some(reading) = self.readings.get_mut(reading) {
            match state {
                Evicted => drop(reading.evicted.insert(stream.clone())),
                Joined | Resumed => drop(reading.evicted.remove(stream)),
                _ => {}
            }
        }
        if !matches!(state, Joined | Resumed | Suspended)
            && let Some(reading) = self.readings.get_mut(reading)
        {
            // What it was handed before may still wait to be read.
            reading.places.entry(stream.clone()).or_default().may_restart = true;
        }
    }

    /// A reader was handed something.
    pub fn on_delivery(&mut self, at: Time, reading: usize, delivery: &Delivery) {
        let found = match delivery {
            Delivery::Message(m) => {
                self.delivered += 1;
                self.message(reading, (m.writer(), m.topic().clone()), m.seq, m.payload())
            }
            Delivery::Missed { writer, topic, n, reason } => {
                self.missed += n;
                self.missing(reading, (*writer, topic.clone()), *n, *reason)
            }
        };
        if let Some((name, detail)) = found {
            self.violate(name, at, format!("reading {reading}: {detail}"));
        }
    }

    fn message(
        &mut self,
        reading: usize,
        stream: StreamKey,
        seq: u64,
        payload: &[u8],
    ) -> Option<(&'static str, String)> {
        let topic = stream.1.clone();
        let Some(written) = self.written.get(&stream) else {
            return Some(("O3 never published", format!("{topic} #{seq} of an unknown writer")));
        };
        let sum = seq.checked_sub(1).and_then(|at| written.sums.get(at as usize));
        if sum != Some(&sum64(seq, payload)) {
            return Some(("O3 never published", format!("{topic} #{seq}, {} B", payload.len())));
        }
        let reading = self.readings.get_mut(reading)?;
        if !reading.live {
            return Some(("O1 after the end", format!("{topic} #{seq}")));
        }
        let place = reading.places.entry(stream).or_default();
        let expected = *place.next.get_or_insert(seq);
        if place.first == 0 {
            place.first = seq;
        }
        place.next = Some(seq + 1);
        if seq < expected && !place.may_restart {
            return Some(("O1 duplicate", format!("{topic} #{seq}, expected #{expected}")));
        }
        if seq < expected {
            place.may_restart = false;
        }
        if seq > expected && !place.may_restart {
            return Some(("O2 unreported gap", format!("{topic} #{seq}, expected #{expected}")));
        }
        None
    }

    fn missing(
        &mut self,
        reading: usize,
        stream: StreamKey,
        n: u64,
        reason: MissedReason,
    ) -> Option<(&'static str, String)> {
        let topic = stream.1.clone();
        let written = self.written.get(&stream)?;
        let reading = self.readings.get_mut(reading)?;
        let (one, other) = (reading.me.id, stream.0.id);
        let disrupted = self.disrupted.contains(&(one.min(other), one.max(other)));
        let excused = !written.live || disrupted || !lossless(&written.qos, &reading.qos);
        let published = written.sums.len() as u64;
        let place = reading.places.entry(stream).or_default();
        let Some(next) = &mut place.next else {
            place.before += n;
            return None;
        };
        *next += n;
        if *next > published + 1 && !place.may_restart {
            let detail = format!("{topic}: {n} ({reason:?}) end at #{next} of {published}");
            return Some(("O2 missed too many", detail));
        }
        (!excused).then(|| ("O1 missed", format!("{topic}: {n} ({reason:?}) before #{next}")))
    }

    /// O5: by now every live reader must have what the live writers retain. `connected` says
    /// which endpoints have had a way to each other for long enough.
    pub fn demand(&mut self, at: Time, connected: impl Fn(EndpointKey, EndpointKey) -> bool) {
        let mut found = Vec::new();
        for (number, reading) in self.readings.iter().enumerate().filter(|(_, it)| it.live) {
            for (stream, written) in self.written.iter().filter(|(_, it)| it.live) {
                let matching = reading.filters.iter().any(|filter| matches(filter, &stream.1));
                let own = stream.0 == reading.me;
                let heard = if own {
                    written.qos.local && reading.qos.local
                } else {
                    connected(stream.0, reading.me)
                };
                if !matching || !heard || !written.qos.reliable || written.sums.is_empty() {
                    continue;
                }
                if let Some(detail) = behind(stream, reading, written) {
                    let due = written.due.get(&reading.me);
                    found.push(format!(
                        "reading {number} of {}: {detail} by {} (due from {due:?}, began at {:?}, {:?}; {:?})",
                        reading.me.id,
                        stream.0.id,
                        reading.began.get(stream),
                        written.qos,
                        reading.qos,
                    ));
                }
            }
        }
        found.into_iter().for_each(|detail| self.violate("O5 no progress", at, detail));
    }
}

/// What a reader lacks of a stream, if anything.
fn behind(stream: &StreamKey, reading: &Reading, written: &Written) -> Option<String> {
    let published = written.sums.len() as u64;
    let topic = &stream.1;
    if reading.evicted.contains(stream) {
        return None; // it was told so, and reads on only after it asks anew
    }
    let began = reading.began.get(stream).copied().unwrap_or(1);
    let joined = written.due.get(&reading.me).is_some_and(|due| *due.max(&began) <= published);
    let retained = reading.qos.history != History::None
        && written.qos.history > 0
        && written.qos.lifespan.is_none();
    let place = reading.places.get(stream).filter(|it| it.next.is_some() || it.before > 0);
    let Some(place) = place else {
        let lacks = joined || retained;
        return lacks.then(|| format!("{topic}: nothing of {published} messages"));
    };
    match place.next {
        Some(next) if next == published + 1 => None,
        // That reading ended; it is on the stream again, and nothing has come since.
        Some(_) if place.may_restart && !joined && !retained => None,
        // The reading that followed began before the end of the one that was cut off, as history
        // may, and has told of losses only: which message comes next will say where it stands.
        Some(next) if place.may_restart && next > published + 1 => None,
        Some(next) => Some(format!("{topic}: at #{next} of {published}")),
        None if place.before > 0 => None, // all of it was reported missing
        None => Some(format!("{topic}: nothing of {published} messages")),
    }
}

/// Neither side may drop anything.
fn lossless(qos: &PubQos, sub: &SubQos) -> bool {
    qos.reliable
        && qos.slow == SlowPolicy::Block
        && qos.lifespan.is_none()
        && !qos.conflate
        && sub.full == QueuePolicy::Block
        && sub.abort_after.is_none()
}

/// Does a filter match a topic? Written apart from the core on purpose.
pub fn matches(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter.split_first(), topic.split_first()) {
            (None, None) => true,
            (Some((&"**", rest)), _) => (0..=topic.len()).any(|n| levels(rest, &topic[n..])),
            (Some((level, rest)), Some((name, more))) => {
                (*level == "*" || level == name) && levels(rest, more)
            }
            _ => false,
        }
    }
    let split = |text| str::split(text, '/').collect::<Vec<&str>>();
    levels(&split(filter), &split(topic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use motet_proto::received::{Origin, Received, Run};
    use std::time::Duration;

    const AT: Time = Time::ZERO;

    fn key(n: u8) -> EndpointKey {
        EndpointKey { id: EndpointId([n; 16]), incarnation: 1 }
    }

    fn message(seq: u64, payload: &'static [u8]) -> Delivery {
        let origin = Origin { topic: "t".into(), writer: key(1), writer_name: "w".into() };
        let (age, bytes) = (Duration::ZERO, Bytes::from_static(payload));
        let run = Run { origin: origin.into(), age, published_us: 0, bytes };
        Delivery::Message(Received::alone(run.into(), seq, 0))
    }

    fn missed(n: u64) -> Delivery {
        Delivery::Missed { writer: key(1), topic: "t".into(), n, reason: MissedReason::Evicted }
    }

    /// A writer of three messages and one reader that was handed `deliveries`.
    fn told(slow: SlowPolicy, deliveries: &[Delivery]) -> Vec<&'static str> {
        let mut oracle = Oracle::default();
        let stream = (key(1), "t".into());
        oracle.on_advertise(key(1), "t", &PubQos { slow, ..PubQos::default() });
        for (seq, payload) in [(1, b"one" as &[u8]), (2, b"two"), (3, b"three")] {
            oracle.on_publish(AT, &stream, seq, payload);
        }
        let reading = oracle.on_subscribe(key(2), &["*"], &SubQos::default());
        deliveries.iter().for_each(|delivery| oracle.on_delivery(AT, reading, delivery));
        oracle.demand(AT, |_, _| true);
        oracle.violations.iter().map(|violation| violation.name).collect()
    }

    #[test]
    fn everything_once_in_order_is_right() {
        let all = [message(1, b"one"), message(2, b"two"), message(3, b"three")];
        assert!(told(SlowPolicy::Block, &all).is_empty());
        assert!(
            told(SlowPolicy::DropOldest, &[message(1, b"one"), missed(1), message(3, b"three")])
                .is_empty()
        );
    }

    #[test]
    fn each_fault_has_its_name() {
        use SlowPolicy::{Block, DropOldest};
        let [one, two, three] = [message(1, b"one"), message(2, b"two"), message(3, b"three")];
        let case = |slow, list: &[&Delivery]| {
            told(slow, &list.iter().map(|it| (*it).clone()).collect::<Vec<_>>())
        };
        assert_eq!(case(Block, &[&one, &one, &two, &three]), ["O1 duplicate"]);
        assert_eq!(case(Block, &[&one, &missed(1), &three]), ["O1 missed"]);
        assert_eq!(case(DropOldest, &[&one, &three]), ["O2 unreported gap"]);
        assert_eq!(case(DropOldest, &[&one, &missed(2), &missed(1)])[0], "O2 missed too many");
        assert_eq!(case(Block, &[&one, &two, &message(3, b"other")])[0], "O3 never published");
        assert_eq!(case(Block, &[&one, &two]), ["O5 no progress"]);
        assert_eq!(case(Block, &[]), ["O5 no progress"]);
    }

    #[test]
    fn filters_match_by_level() {
        assert!(matches("a/*/c", "a/b/c") && matches("**", "a/b") && matches("a/**", "a"));
        assert!(matches("**/c", "a/b/c") && matches("a/**/c", "a/c"));
        assert!(!matches("a/*", "a") && !matches("a/*", "a/b/c") && !matches("a", "ab"));
    }
}
