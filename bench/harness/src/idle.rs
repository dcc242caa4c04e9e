//! Start, idleness, memory.

use std::time::Duration;

use crate::Outcome;
use crate::args::Args;
use crate::control::{end_on_command, next_command};
use crate::line::{Command, Event, say};
use crate::usage::{Usage, now_ns, resident_kib};

/// A process that is connected and does nothing.
#[derive(Debug)]
pub struct Idle;

impl Idle {
    /// Says that it is ready, and answers `motet-bench` in a thread of its own.
    #[must_use]
    pub fn ready() -> Self {
        say(&Event::Ready);
        std::thread::spawn(|| {
            loop {
                match next_command() {
                    Command::Measure { ms } => {
                        let before = Usage::now();
                        std::thread::sleep(Duration::from_millis(ms));
                        let used = Usage::now().since(before);
                        let resident_kib = resident_kib();
                        let Usage { wall_ns, cpu_ns } = used;
                        say(&Event::Idle { resident_kib, cpu_ns, wall_ns });
                    }
                    Command::End => std::process::exit(0),
                    _ => {}
                }
            }
        });
        Self
    }

    /// Keeps the thread.
    pub fn wait(&self) -> ! {
        loop {
            std::thread::park();
        }
    }
}

/// The time from the start of `main` to the first message.
#[derive(Debug)]
pub struct First {
    start: u64,
}

impl First {
    /// To be called first.
    #[must_use]
    pub fn start() -> Self {
        Self { start: now_ns() }
    }

    /// The message is here.
    pub fn arrived(self) {
        say(&Event::First { ns: now_ns() - self.start });
    }
}

/// Many subscriptions in one process.
#[derive(Debug)]
pub struct Subscriptions {
    /// How many.
    pub count: usize,
    before_kib: u64,
}

impl Subscriptions {
    /// Reads the memory before; to be called when all but the subscriptions is there.
    ///
    /// # Errors
    /// An argument is not understood.
    pub fn begin(args: &Args) -> Outcome<Self> {
        Ok(Self { count: args.number("count", 10_000)? as usize, before_kib: resident_kib() })
    }

    /// Reads it after, and reports.
    pub fn made(&self) {
        let resident_kib = resident_kib().saturating_sub(self.before_kib);
        say(&Event::Hoard { count: self.count as u64, resident_kib });
        end_on_command();
    }
}
