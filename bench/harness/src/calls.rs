//! Requests and replies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Outcome;
use crate::args::Args;
use crate::control;
use crate::latency::lag;
use crate::line::{Event, say};
use crate::usage::{Usage, now_ns};

/// Times kept at most; beyond them only the count goes on.
const MOST: usize = 4_000_000;
/// Calls that may be told apart at once. A power of two, far above all that are open.
const SLOTS: usize = 1 << 16;

/// The calling end. It calls from [`Calls::ready`] on, with so many calls open as
/// [`Calls::room`] allows; only what is answered within the window that `motet-bench` tells is
/// counted. After it the open calls are awaited, then it is [`Calls::done`].
#[derive(Debug)]
pub struct Calls {
    window: Arc<Window>,
    most_open: usize,
    open: usize,
    message: Vec<u8>,
    number: u64,
    /// Number and time of each open call; number 0 is none.
    begun: Vec<(u64, u64)>,
    times: Vec<u32>,
    answered: u64,
    failed: u64,
    before: Option<Usage>,
    used: Option<Usage>,
}

/// Two readings of the monotonic clock, in nanoseconds; both far away until they are told.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) from: AtomicU64,
    pub(crate) until: AtomicU64,
}

impl Calls {
    /// Begins to listen to `motet-bench`; `open` is how many calls may be open at once.
    ///
    /// # Errors
    /// An argument is not understood.
    pub fn new(args: &Args) -> Outcome<Self> {
        let far = || AtomicU64::new(u64::MAX);
        let window = Arc::new(Window { from: far(), until: far() });
        let theirs = Arc::clone(&window);
        std::thread::spawn(move || control::call_window(&theirs));
        Ok(Self {
            window,
            most_open: args.number("open", 1)?.max(1) as usize,
            open: 0,
            message: vec![0x5a; args.size()?.max(8)],
            number: 0,
            begun: vec![(0, 0); SLOTS],
            times: Vec::with_capacity(MOST),
            answered: 0,
            failed: 0,
            before: None,
            used: None,
        })
    }

    /// Says that all servers are known, so that the window may come.
    pub fn ready(&self) {
        say(&Event::Ready);
    }

    /// One call more may be begun.
    #[must_use]
    pub fn room(&self) -> bool {
        self.used.is_none() && self.open < self.most_open
    }

    /// Calls are open.
    #[must_use]
    pub fn waiting(&self) -> bool {
        self.open > 0
    }

    /// How many calls may be open at once.
    #[must_use]
    pub fn most_open(&self) -> usize {
        self.most_open
    }

    /// The next request; it carries a number.
    pub fn begin(&mut self) -> &[u8] {
        self.number += 1;
        self.open += 1;
        self.message[..8].copy_from_slice(&self.number.to_le_bytes());
        self.begun[self.number as usize % SLOTS] = (self.number, now_ns());
        &self.message
    }

    /// Takes a reply. False if it is that of no open call.
    pub fn end(&mut self, reply: &[u8]) -> bool {
        let now = now_ns();
        let number = reply.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let slot = &mut self.begun[number as usize % SLOTS];
        if number == 0 || reply.len() != self.message.len() || slot.0 != number {
            return false;
        }
        let took = now - slot.1;
        *slot = (0, 0);
        self.open -= 1;
        self.clock(now);
        if self.before.is_some() && self.used.is_none() {
            self.answered += 1;
            if self.times.len() < MOST {
                self.times.push(took.try_into().unwrap_or(u32::MAX));
            }
        }
        true
    }

    /// So many calls have failed, or nobody waits for their replies any more.
    pub fn failed(&mut self, calls: usize) {
        let calls = calls.min(self.open);
        self.open -= calls;
        self.failed += calls as u64;
        self.clock(now_ns());
    }

    /// Gives up all that are open.
    pub fn give_up(&mut self) {
        self.begun.fill((0, 0));
        self.failed(self.open);
    }

    /// Reports.
    pub fn done(mut self) {
        let cpu_ns = self.used.unwrap_or_default().cpu_ns;
        let load = |at: &AtomicU64| at.load(Ordering::Acquire);
        say(&Event::Called {
            lag: lag(&mut self.times, cpu_ns),
            answered: self.answered,
            failed: self.failed + self.open as u64,
            window_ns: load(&self.window.until) - load(&self.window.from),
        });
    }

    /// Takes the readings at both ends of the window.
    fn clock(&mut self, now: u64) {
        if self.before.is_none() {
            if now >= self.window.from.load(Ordering::Acquire) {
                self.before = Some(Usage::now());
            }
        } else if self.used.is_none() && now >= self.window.until.load(Ordering::Acquire) {
            self.used = self.before.map(|before| Usage::now().since(before));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(open: u64) -> Calls {
        let args = Args::parse(["call".to_owned(), format!("open={open}")]).unwrap();
        Calls::new(&args).unwrap()
    }

    fn window(calls: &Calls, from: u64, until: u64) {
        calls.window.from.store(from, Ordering::Release);
        calls.window.until.store(until, Ordering::Release);
    }

    #[test]
    fn replies_are_told_apart_by_their_number_whatever_their_order() {
        let mut calls = calls(2);
        let first = calls.begin().to_vec();
        let second = calls.begin().to_vec();
        assert!(!calls.room());
        assert!(calls.end(&second) && calls.end(&first));
        assert!(!calls.end(&first), "a reply that comes twice is none");
        assert!(!calls.end(b"short") && !calls.waiting() && calls.room());
    }

    #[test]
    fn only_what_is_answered_within_the_window_counts() {
        let mut calls = calls(1);
        let early = calls.begin().to_vec();
        assert!(calls.end(&early));
        assert_eq!(calls.answered, 0, "before the window");
        window(&calls, 0, u64::MAX);
        let inside = calls.begin().to_vec();
        assert!(calls.end(&inside));
        assert_eq!((calls.answered, calls.times.len()), (1, 1));
        window(&calls, 0, 1);
        let late = calls.begin().to_vec();
        assert!(calls.end(&late));
        assert_eq!(calls.answered, 1, "after the window");
        assert!(!calls.room(), "after the window no call begins");
    }

    #[test]
    fn what_fails_is_counted_and_makes_room() {
        let mut calls = calls(2);
        calls.begin();
        calls.begin();
        calls.failed(1);
        assert!(calls.room());
        calls.give_up();
        assert_eq!((calls.failed, calls.waiting()), (2, false));
    }
}
