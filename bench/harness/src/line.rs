//! The lines between `motet-bench` and a peer's process.

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a process counted and used between the two readings of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// Messages published or received in the window.
    pub messages: u64,
    /// Length of the window, in nanoseconds.
    pub window_ns: u64,
    /// CPU time used in the window, user and system, in nanoseconds.
    pub cpu_ns: u64,
    /// Messages since the start, those outside the window included.
    pub total: u64,
    /// Resident memory at the end of the window, in KiB.
    pub resident_kib: u64,
}

/// Percentiles of times, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// Times taken.
    pub count: u64,
    /// The shortest.
    pub min_ns: u64,
    /// Half are below.
    pub p50_ns: u64,
    /// 99 % are below.
    pub p99_ns: u64,
    /// 99.9 % are below.
    pub p999_ns: u64,
    /// CPU time of this side, in nanoseconds, over all of them.
    pub cpu_ns: u64,
}

/// What a process says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It is where it has to be for the measurement to begin.
    Ready,
    /// The publisher has published all, and nothing waits in it any more.
    Done(Counted),
    /// What the subscriber received.
    Received(Counted),
    /// What the pinging side saw.
    Trips(Lag),
    /// What the calling side saw.
    Called {
        /// From a call to its reply, those of the window.
        lag: Lag,
        /// Replies of the window.
        answered: u64,
        /// Calls of the whole run that ended without a reply.
        failed: u64,
        /// Length of the window, in nanoseconds.
        window_ns: u64,
    },
    /// The first message came, so long after the start of `main`.
    First {
        /// Nanoseconds.
        ns: u64,
    },
    /// What an idle process used.
    Idle {
        /// Resident memory, in KiB.
        resident_kib: u64,
        /// CPU time, in nanoseconds.
        cpu_ns: u64,
        /// In so much time, in nanoseconds.
        wall_ns: u64,
    },
    /// What many subscriptions cost.
    Hoard {
        /// Subscriptions.
        count: u64,
        /// Resident memory that they added, in KiB.
        resident_kib: u64,
    },
    /// It went wrong.
    Failed {
        /// One line.
        why: String,
    },
}

/// Writes one event. A parent that is gone is no error: the process is about to end as well.
pub(crate) fn say(event: &Event) {
    if let Ok(line) = serde_json::to_string(event) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

/// What a process is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Count between these two readings of the monotonic clock, in nanoseconds.
    Go {
        /// Start of the window.
        from: u64,
        /// End of the window.
        until: u64,
    },
    /// Nothing more is sent; so many messages were sent in all.
    Drain {
        /// Messages that should have come.
        sent: u64,
    },
    /// Read what is used over so many milliseconds.
    Measure {
        /// Milliseconds.
        ms: u64,
    },
    /// End.
    End,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Go { from, until } => write!(f, "go {from} {until}"),
            Self::Drain { sent } => write!(f, "drain {sent}"),
            Self::Measure { ms } => write!(f, "measure {ms}"),
            Self::End => f.write_str("end"),
        }
    }
}

impl FromStr for Command {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let unknown = || format!("{line:?} is no command");
        let number = |text: &str| text.parse::<u64>().map_err(|_| unknown());
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["go", from, until] => Ok(Self::Go { from: number(from)?, until: number(until)? }),
            ["drain", sent] => Ok(Self::Drain { sent: number(sent)? }),
            ["measure", ms] => Ok(Self::Measure { ms: number(ms)? }),
            ["end"] => Ok(Self::End),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_as_they_are_written() {
        let all = [
            Command::Go { from: 7, until: 9 },
            Command::Drain { sent: 12 },
            Command::Measure { ms: 100 },
            Command::End,
        ];
        for command in all {
            assert_eq!(command.to_string().parse(), Ok(command));
        }
        assert!("go 1".parse::<Command>().is_err());
        assert!("drain all".parse::<Command>().is_err());
    }

    #[test]
    fn events_are_one_line_of_json_with_their_name() {
        let counted = Counted { messages: 3, ..Counted::default() };
        let line = serde_json::to_string(&Event::Done(counted)).unwrap();
        assert!(line.contains(r#""event":"done""#) && line.contains(r#""messages":3"#), "{line}");
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), Event::Done(counted));
    }
}
