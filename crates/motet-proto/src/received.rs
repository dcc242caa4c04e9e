//! # Received: messages as their readers get them
//!
//! **Promise.** A message that is read holds the memory it came in and nothing else of the node.
//!
//! What came together (the messages of one frame) shares one [`Run`]: bytes, origin and times. A
//! message is a place in it. To read one counts one reference and copies nothing, and the memory
//! of runs is used again.
//!
//! **Bounds.** `RUNS_MAX` runs are remembered while somebody holds them; of more than that each
//! is new memory.
//!
//! **Not here.** Which messages those are, and in which order (streams, queues).

use crate::ids::EndpointKey;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use motet_wire::codec::Reader;

/// Runs that are remembered while messages of them are held, to be used again.
const RUNS_MAX: usize = 4_096;
/// Memory of runs kept for those to come.
const FREE_MAX: usize = 256;
/// When the oldest run was found in use so often, it goes to the end: somebody keeps it.
const PATIENCE: u32 = 16;

/// Whose messages a stream has, and on which topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The topic.
    pub topic: Arc<str>,
    /// Who publishes.
    pub writer: EndpointKey,
    /// The publisher's name.
    pub writer_name: Arc<str>,
}

/// What messages that came together share.
#[derive(Clone, Debug)]
pub struct Run {
    /// Whose they are.
    pub origin: Arc<Origin>,
    /// How long ago they were published, judged against the smallest delay seen from this writer
    /// plus the wall-clock estimate of that smallest delay; never negative.
    pub age: Duration,
    /// When they were published, in µs since 1970 by the writer's clock.
    pub published_us: u64,
    /// The bytes that they are in.
    pub bytes: Bytes,
}

/// A message as its reader gets it.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its number in the stream of (writer, topic).
    pub seq: u64,
    run: Arc<Run>,
    /// Where it ends in the run, where it begins, and where its payload begins.
    end: usize,
    at: u32,
    payload_at: u32,
}

impl Received {
    /// The one message of a run; its payload begins at `payload_at`.
    pub fn alone(run: Arc<Run>, seq: u64, payload_at: usize) -> Self {
        let (end, payload_at) = (run.bytes.len(), payload_at.min(run.bytes.len()));
        // Key and headers before it have a bound far below.
        Self { seq, run, end, at: 0, payload_at: u32::try_from(payload_at).unwrap_or(0) }
    }

    /// Whose it is, and on which topic.
    pub fn origin(&self) -> &Origin {
        &self.run.origin
    }

    /// The topic.
    pub fn topic(&self) -> &Arc<str> {
        &self.run.origin.topic
    }

    /// Who published it.
    pub fn writer(&self) -> EndpointKey {
        self.run.origin.writer
    }

    /// The publisher's name.
    pub fn writer_name(&self) -> &Arc<str> {
        &self.run.origin.writer_name
    }

    /// How long ago it was published; see [`Run::age`].
    pub fn age(&self) -> Duration {
        self.run.age
    }

    /// When it was published, in µs since 1970 by the writer's clock.
    pub fn published_us(&self) -> u64 {
        self.run.published_us
    }

    /// The whole message: flags, key, headers, payload (see `motet_wire::envelope`).
    #[inline]
    pub fn body(&self) -> &[u8] {
        self.run.bytes.get(self.at as usize..self.end).unwrap_or(&[])
    }

    /// The payload.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        self.run.bytes.get(self.payload_at as usize..self.end).unwrap_or(&[])
    }

    /// The payload, to be kept: the memory of its run is held with it.
    pub fn payload_bytes(&self) -> Bytes {
        self.run.bytes.slice((self.payload_at as usize).min(self.end)..self.end)
    }
}

/// Messages one behind the other, each after its length, none with key or headers: what is left of
/// a frame that nobody has read.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    run: Arc<Run>,
    seq: u64,
    at: u32,
    left: u32,
}

impl Row {
    /// `left` messages from the beginning of the run, the first of number `seq`.
    pub(crate) fn new(run: Arc<Run>, seq: u64, left: u32) -> Self {
        Self { run, seq, at: 0, left }
    }

    pub(crate) fn len(&self) -> usize {
        self.left as usize
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.run.origin
    }

    /// Bytes of the first message.
    pub(crate) fn first_len(&self) -> usize {
        self.place().map_or(0, |(at, end)| end - at)
    }

    /// Where the first message begins and ends.
    #[inline]
    fn place(&self) -> Option<(usize, usize)> {
        let mut reader = Reader::new(self.run.bytes.get(self.at as usize..)?);
        let len = usize::try_from(reader.get_vi().ok()?).ok()?;
        let at = self.run.bytes.len() - reader.len();
        (len <= reader.len()).then_some((at, at + len))
    }

    /// Passes over the first message.
    pub(crate) fn skip(&mut self) {
        self.at = self.place().map_or(self.at, |(_, end)| end as u32); // within a packet
        self.seq += 1;
        self.left = self.left.saturating_sub(1);
    }

    /// Takes the first message.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Received> {
        let (at, end) = self.place().filter(|_| self.left > 0)?;
        let (seq, run) = (self.seq, Arc::clone(&self.run));
        (self.at, self.seq, self.left) = (end as u32, seq + 1, self.left - 1);
        Some(Received { seq, run, end, at: at as u32, payload_at: (at + 1).min(end) as u32 })
    }

    /// As [`take`](Self::take), for the last one.
    #[inline]
    pub(crate) fn last(self) -> Option<Received> {
        let (at, end) = self.place()?;
        let Self { run, seq, .. } = self;
        Some(Received { seq, run, end, at: at as u32, payload_at: (at + 1).min(end) as u32 })
    }
}

/// Makes runs, in memory that is used again.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// Handed out, about the oldest first.
    lent: VecDeque<Arc<Run>>,
    free: Vec<Arc<Run>>,
    /// How often the oldest was found in use.
    refused: u32,
}

impl Runs {
    /// A run; shared.
    pub(crate) fn make(&mut self, run: Run) -> Arc<Run> {
        self.sweep();
        let run = match self.free.pop() {
            Some(mut place) => match Arc::get_mut(&mut place) {
                Some(free) => {
                    *free = run;
                    place
                }
                None => Arc::new(run),
            },
            None => Arc::new(run),
        };
        if self.lent.len() < RUNS_MAX {
            self.lent.push_back(Arc::clone(&run));
        }
        run
    }

    /// Takes back what nobody holds any more: the bytes are given up at once.
    pub(crate) fn sweep(&mut self) {
        while let Some(oldest) = self.lent.front_mut() {
            let in_use = Arc::strong_count(oldest) > 1;
            match Arc::get_mut(oldest).filter(|_| !in_use) {
                Some(run) => run.bytes = Bytes::new(),
                None => {
                    self.refused += 1;
                    if self.refused >= PATIENCE {
                        self.refused = 0;
                        self.lent.rotate_left(1);
                    }
                    return;
                }
            }
            self.refused = 0;
            if let Some(free) = self.lent.pop_front()
                && self.free.len() < FREE_MAX
            {
                self.free.push(free);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::EndpointId;
    use motet_wire::codec::put_vi_bytes;

    fn run(bytes: Bytes) -> Run {
        let writer = EndpointKey { id: EndpointId([1; 16]), incarnation: 1 };
        let origin = Origin { topic: "words".into(), writer, writer_name: "ada".into() };
        Run { origin: origin.into(), age: Duration::ZERO, published_us: 0, bytes }
    }

    fn row(bodies: &[&[u8]]) -> Row {
        let mut bytes = Vec::new();
        bodies.iter().for_each(|body| put_vi_bytes(&mut bytes, body));
        Row::new(Arc::new(run(bytes.into())), 7, bodies.len() as u32)
    }

    #[test]
    fn the_messages_of_a_run_come_one_by_one_with_their_numbers_and_payloads() {
        let long = [0; 100];
        let mut row = row(&[b"\0one", b"\0", &long, b"\0last"]);
        assert_eq!((row.len(), row.first_len()), (4, 4));
        let one = row.take().unwrap();
        assert_eq!((one.seq, one.body(), one.payload()), (7, &b"\0one"[..], &b"one"[..]));
        assert_eq!(one.payload_bytes(), &b"one"[..]);
        assert_eq!(row.take().unwrap().payload(), b"");
        row.skip();
        let last = row.last().unwrap();
        assert_eq!((last.seq, last.payload()), (10, &b"last"[..]));
    }

    #[test]
    fn a_run_that_nobody_holds_gives_up_its_bytes_and_its_memory_is_used_again() {
        let mut runs = Runs::default();
        let bytes = Bytes::from(alloc::vec![1; 9]);
        let first = runs.make(run(bytes.clone()));
        let place = Arc::as_ptr(&first);
        assert!(!bytes.is_unique());
        drop(first);
        runs.sweep();
        assert!(bytes.is_unique());
        assert_eq!(Arc::as_ptr(&runs.make(run(Bytes::new()))), place);
    }

    #[test]
    fn a_run_that_is_kept_does_not_keep_the_others() {
        let mut runs = Runs::default();
        let kept = runs.make(run(Bytes::new()));
        for _ in 0..10 * PATIENCE {
            drop(runs.make(run(Bytes::new())));
        }
        assert!(runs.lent.len() <= PATIENCE as usize + 2, "{}", runs.lent.len());
        assert_eq!(Arc::strong_count(&kept), 2);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut runs = Runs::default();
        let held: Vec<_> = (0..RUNS_MAX + 10).map(|_| runs.make(run(Bytes::new()))).collect();
        assert_eq!(runs.lent.len(), RUNS_MAX);
        drop(held);
        (0..2).for_each(|_| runs.sweep());
        assert_eq!((runs.lent.len(), runs.free.len()), (0, FREE_MAX));
    }
}
