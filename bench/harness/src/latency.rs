//! Round trips.

use crate::Outcome;
use crate::args::Args;
use crate::control;
use crate::line::{Event, Lag, say};
use crate::usage::{Usage, now_ns};

/// Times kept at most; the run ends before that.
const MOST: usize = 4_000_000;

/// The pinging end: [`Trips::begin`], send, await the echo, [`Trips::end`], until [`Trips::over`].
#[derive(Debug)]
pub struct Trips {
    times: Vec<u32>,
    message: Vec<u8>,
    id: u64,
    sent_at: u64,
    warm_ns: u64,
    window_ns: u64,
    warm_until: Option<u64>,
    over_at: u64,
    before: Usage,
    over: bool,
}

impl Trips {
    /// Prepares; `ms` and `warm_ms` are the length of the window and what goes before it.
    ///
    /// # Errors
    /// An argument is not understood.
    pub fn new(args: &Args) -> Outcome<Self> {
        Ok(Self {
            times: Vec::with_capacity(MOST),
            message: vec![0x5a; args.size()?.max(8)],
            id: 0,
            sent_at: 0,
            warm_ns: args.number("warm_ms", 300)? * 1_000_000,
            window_ns: args.number("ms", 1000)? * 1_000_000,
            warm_until: None,
            over_at: 0,
            before: Usage::default(),
            over: false,
        })
    }

    /// The next message to send; it carries a number.
    pub fn begin(&mut self) -> &[u8] {
        self.id += 1;
        self.message[..8].copy_from_slice(&self.id.to_le_bytes());
        self.sent_at = now_ns();
        &self.message
    }

    /// Takes an echo. False if it is not that of the last message.
    pub fn end(&mut self, echo: &[u8]) -> bool {
        let now = now_ns();
        if echo.len() != self.message.len() || echo[..8] != self.id.to_le_bytes() {
            return false;
        }
        match self.warm_until {
            None => {
                self.warm_until = Some(now + self.warm_ns);
                self.over_at = now + self.warm_ns + self.window_ns;
            }
            Some(until) if now < until => {}
            Some(_) => {
                if self.times.is_empty() {
                    self.before = Usage::now();
                }
                self.times.push((now - self.sent_at).try_into().unwrap_or(u32::MAX));
                self.over = now >= self.over_at || self.times.len() == MOST;
            }
        }
        true
    }

    /// An echo has come: the way is open, and no message needs to be sent twice.
    #[must_use]
    pub fn established(&self) -> bool {
        self.warm_until.is_some()
    }

    /// Enough.
    #[must_use]
    pub fn over(&self) -> bool {
        self.over
    }

    /// Reports.
    pub fn done(mut self) {
        let cpu_ns = Usage::now().since(self.before).cpu_ns;
        say(&Event::Trips(lag(&mut self.times, cpu_ns)));
    }
}

pub(crate) fn lag(times: &mut [u32], cpu_ns: u64) -> Lag {
    times.sort_unstable();
    let at = |share: f64| {
        let index = (times.len() as f64 * share) as usize;
        times.get(index.min(times.len().saturating_sub(1))).map_or(0, |ns| u64::from(*ns))
    };
    Lag {
        count: times.len() as u64,
        min_ns: at(0.0),
        p50_ns: at(0.5),
        p99_ns: at(0.99),
        p999_ns: at(0.999),
        cpu_ns,
    }
}

/// The echoing end: ends when told to.
#[derive(Debug)]
pub struct Echo;

impl Echo {
    /// Says that it is ready, and begins to listen to `motet-bench`.
    #[must_use]
    pub fn ready() -> Self {
        control::end_on_command();
        say(&Event::Ready);
        Self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trips() -> Trips {
        let args = ["ping", "warm_ms=0", "ms=0"].map(str::to_owned);
        Trips::new(&Args::parse(args).unwrap()).unwrap()
    }

    #[test]
    fn only_the_echo_of_the_last_message_counts() {
        let mut trips = trips();
        let first = trips.begin().to_vec();
        let second = trips.begin().to_vec();
        assert!(!trips.end(&first) && !trips.end(b"short") && !trips.established());
        assert!(trips.end(&second) && trips.established());
    }

    #[test]
    fn the_first_echo_opens_the_window_and_is_not_in_it() {
        let mut trips = trips();
        let first = trips.begin().to_vec();
        assert!(trips.end(&first) && !trips.over());
        let second = trips.begin().to_vec();
        assert!(trips.end(&second) && trips.over());
        assert_eq!(trips.times.len(), 1);
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_times() {
        let mut times: Vec<u32> = (1..=1000).rev().collect();
        let lag = lag(&mut times, 5);
        assert_eq!((lag.min_ns, lag.p50_ns, lag.p99_ns, lag.p999_ns), (1, 501, 991, 1000));
        assert_eq!(super::lag(&mut [], 0), Lag::default());
    }
}
