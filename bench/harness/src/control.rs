//! The thread that listens to `motet-bench` and takes the readings.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::calls::Window;
use crate::line::{Command, Counted, Event, say};
use crate::usage::{Usage, now_ns, resident_kib};

/// What the counting loop and the control thread share. One thread writes `count`, one `phase`.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) count: AtomicU64,
    pub(crate) started: AtomicBool,
    pub(crate) stopped: AtomicBool,
}

/// A publisher stops so long after the window, so that nobody's window ends in silence.
const TAIL: Duration = Duration::from_millis(20);
/// Time that a loop gets to close politely after its report.
const GRACE: Duration = Duration::from_millis(150);

/// The next command; `End` when the parent is gone.
pub(crate) fn next_command() -> Command {
    let mut line = String::new();
    loop {
        line.clear();
        match std::io::stdin().lock().read_line(&mut line) {
            Ok(0) | Err(_) => return Command::End,
            Ok(_) => {}
        }
        match line.parse() {
            Ok(command) => return command,
            Err(why) => say(&Event::Failed { why }),
        }
    }
}

/// Ends the process when told to.
pub(crate) fn end_on_command() {
    std::thread::spawn(|| {
        while next_command() != Command::End {}
        std::process::exit(0);
    });
}

/// Takes a publisher through its window. `window` becomes what [`Event::Done`] tells.
pub(crate) fn write_window(shared: &Shared, window: &std::sync::OnceLock<Counted>) {
    loop {
        match next_command() {
            Command::Go { from, until } => {
                shared.started.store(true, Ordering::Release);
                let counted = count_window(&shared.count, from, until);
                let _ = window.set(counted);
                std::thread::sleep(TAIL);
                shared.stopped.store(true, Ordering::Release);
            }
            Command::End => std::process::exit(0),
            _ => {}
        }
    }
}

/// Takes a subscriber through its window and the drain, and ends the process. After so much silence
/// nothing more is expected.
pub(crate) fn read_window(shared: &Arc<Shared>, quiet: Duration) -> ! {
    let mut counted = Counted::default();
    loop {
        match next_command() {
            Command::Go { from, until } => counted = count_window(&shared.count, from, until),
            Command::Drain { sent } => {
                counted.total = drained(&shared.count, sent, quiet);
                say(&Event::Received(counted));
                shared.stopped.store(true, Ordering::Release);
                std::thread::sleep(GRACE);
                std::process::exit(0);
            }
            Command::End => std::process::exit(0),
            Command::Measure { .. } => {}
        }
    }
}

/// Tells the calling loop its window.
pub(crate) fn call_window(window: &Window) {
    loop {
        match next_command() {
            Command::Go { from, until } => {
                window.until.store(until, Ordering::Release);
                window.from.store(from, Ordering::Release);
            }
            Command::End => std::process::exit(0),
            _ => {}
        }
    }
}

fn count_window(count: &AtomicU64, from: u64, until: u64) -> Counted {
    sleep_until(from);
    let (before, first) = (Usage::now(), count.load(Ordering::Relaxed));
    sleep_until(until);
    let (after, last) = (Usage::now(), count.load(Ordering::Relaxed));
    let used = after.since(before);
    Counted {
        messages: last - first,
        window_ns: used.wall_ns,
        cpu_ns: used.cpu_ns,
        total: last,
        resident_kib: resident_kib(),
    }
}

/// Waits until all have come, or nothing has for a while; what came.
fn drained(count: &AtomicU64, sent: u64, quiet: Duration) -> u64 {
    let (mut last, mut since) = (count.load(Ordering::Relaxed), now_ns());
    while last < sent && now_ns() - since < quiet.as_nanos() as u64 {
        std::thread::sleep(Duration::from_millis(2));
        let now = count.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, now_ns());
        }
    }
    last
}

fn sleep_until(instant: u64) {
    let wait = instant.saturating_sub(now_ns());
    std::thread::sleep(Duration::from_nanos(wait));
}
