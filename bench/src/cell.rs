//! One measurement: one row in one case, once.

mod calls;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bench_harness::{Args, Command, Counted, Event, Lag, Role, now_ns};

use crate::case::{Case, Kind, Metric};
use crate::cleanup::Directory;
use crate::namespaces::{CARDS, HOSTS, Namespaces};
use crate::process::{Failure, Process};
use crate::results::Sample;
use crate::row::{Protection, Row};
use crate::server::{Running, free_port};
use crate::stats::percentile;

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Before the window.
    pub(crate) warm: Duration,
    /// The window.
    pub(crate) window: Duration,
    /// Of an idle process.
    pub(crate) idle: Duration,
    /// Starts until the first message, in one round.
    pub(crate) starts: u32,
    /// How long motet may spin in the case `spin`, in microseconds.
    pub(crate) spin: Option<u64>,
}

/// How long a process may take until it is ready, and to end what it began.
const LIMIT: Duration = Duration::from_secs(12);
/// How long a first message may take.
const FIRST_LIMIT: Duration = Duration::from_secs(3);
/// One in so many starts may take longer, or fail; else there is no figure.
const LATE_SHARE: u32 = 5;
/// How long one gets to close politely.
const CLOSE: Duration = Duration::from_secs(2);
/// Subscriptions of the case `memory`.
const HOARD: u64 = 10_000;

/// Measures.
pub(crate) fn measure(row: &Row, case: Case, binary: &Path, pace: Pace) -> Result<Sample, Failure> {
    let cell = Cell::new(row, case, binary, pace)?;
    let server =
        row.server.start(cell.port, cell.directory.path(), || cell.start(Role::Serve, 0, &[]))?;
    let result = match case.kind() {
        Kind::Flow { size, readers, topics, .. } => {
            cell.flow(size, readers, topics, server.as_ref())
        }
        Kind::Trips { spin } => cell.trips(spin),
        Kind::First => cell.first(),
        Kind::Idle => cell.idle(),
        Kind::Hoard => cell.hoard(),
        Kind::Calls { servers, brokered, open } => {
            cell.calls(servers, brokered, open, server.as_ref())
        }
    };
    if let Some(server) = server {
        server.end();
    }
    result
}

struct Cell<'a> {
    row: &'a Row,
    binary: PathBuf,
    pace: Pace,
    port: u16,
    directory: Directory,
    /// Both ends of a pair, or this host.
    namespaces: Option<Namespaces>,
}

impl<'a> Cell<'a> {
    fn new(row: &'a Row, case: Case, binary: &Path, pace: Pace) -> Result<Self, Failure> {
        let namespaces = match case.kind() {
            Kind::Flow { drop_percent: Some(percent), .. } => Some(Namespaces::new(percent)?),
            Kind::First => Some(Namespaces::new(0)?),
            _ => None,
        };
        let directory = Directory::new().map_err(|error| error.to_string())?;
        let binary = binary.to_owned();
        Ok(Self { row, binary, pace, port: free_port()?, directory, namespaces })
    }

    /// Starts a process at one end.
    fn start(&self, role: Role, end: usize, more: &[(&str, u64)]) -> Result<Process, Failure> {
        let mut args = vec![role.name().to_owned()];
        args.push(format!("variant={}", self.row.variant));
        args.push(format!("port={}", self.port));
        args.push(format!("dir={}", self.directory.path().display()));
        args.extend(more.iter().map(|(key, value)| format!("{key}={value}")));
        let mut before = Vec::new();
        if let Some(namespaces) = &self.namespaces {
            before = namespaces.enter(end);
            args.push("reach=lan".to_owned());
            args.push(format!("host={}", HOSTS[0]));
            args.push(format!("own={}", HOSTS[end]));
            args.push(format!("card={}", CARDS[end]));
        }
        debug_assert!(Args::parse(args.iter().cloned()).is_ok());
        Process::start(&self.binary, &before, &args, &[])
    }

    fn flow(
        &self,
        size: usize,
        count: usize,
        topics: usize,
        server: Option<&Running>,
    ) -> Result<Sample, Failure> {
        // A limit repairs nothing: what has not come at once does not come.
        let quiet = if self.row.protection == Protection::Limit { 200 } else { 1000 };
        let more = [
            ("size", size as u64),
            ("topics", topics as u64),
            ("readers", count as u64),
            ("quiet_ms", quiet),
        ];
        let mut publisher = self.start(Role::Publish, 0, &more)?;
        publisher.ready(LIMIT)?;
        let mut readers = (0..count)
            .map(|_| self.start(Role::Subscribe, 1, &more))
            .collect::<Result<Vec<_>, _>>()?;
        for reader in &readers {
            reader.ready(LIMIT)?;
        }
        let from = now_ns() + self.pace.warm.as_nanos() as u64;
        let until = from + self.pace.window.as_nanos() as u64;
        for process in readers.iter_mut().chain([&mut publisher]) {
            process.tell(Command::Go { from, until });
        }
        let server_cpu = || server.map_or(0, Running::cpu_ns);
        sleep_until(from);
        let before = server_cpu();
        sleep_until(until);
        let serving = server_cpu() - before;
        let written = match publisher.hear(LIMIT * 2) {
            Ok(Event::Done(counted)) => counted,
            other => return Err(unexpected(other)),
        };
        for reader in &mut readers {
            reader.tell(Command::Drain { sent: written.total });
        }
        let mut received = Vec::new();
        for reader in &readers {
            match reader.hear(LIMIT * 2)? {
                Event::Received(counted) => received.push(counted),
                other => return Err(unexpected(Ok(other))),
            }
        }
        publisher.end(CLOSE);
        for reader in readers {
            reader.end(CLOSE);
        }
        flow_sample(written, &received, server.map(|_| serving), self.row.publishes())
    }

    fn trips(&self, spin: bool) -> Result<Sample, Failure> {
        let mut more = vec![
            ("warm_ms", self.pace.warm.as_millis() as u64),
            ("ms", self.pace.window.as_millis() as u64),
        ];
        if spin {
            more.push(("spin_us", self.pace.spin.unwrap_or(SPIN_US)));
        }
        let pong = self.start(Role::Pong, 1, &more)?;
        pong.ready(LIMIT)?;
        let ping = self.start(Role::Ping, 0, &more)?;
        let lag = match ping.hear(LIMIT * 2)? {
            Event::Trips(lag) => lag,
            other => return Err(unexpected(Ok(other))),
        };
        ping.end(CLOSE);
        pong.end(CLOSE);
        trips_sample(lag)
    }

    fn first(&self) -> Result<Sample, Failure> {
        let publisher = self.start(Role::Tick, 0, &[])?;
        publisher.ready(LIMIT)?;
        let (mut inside, mut wall) = (Vec::new(), Vec::new());
        let mut late = 0;
        for _ in 0..self.pace.starts {
            let begun = now_ns();
            let process = self.start(Role::First, 1, &[])?;
            let why = match process.hear(FIRST_LIMIT) {
                Ok(Event::First { ns }) => {
                    inside.push(ns as f64 / 1e3);
                    wall.push((now_ns() - begun) as f64 / 1e3);
                    process.end(CLOSE);
                    continue;
                }
                other => unexpected(other),
            };
            // It counts as if it had come then, so that the percentiles are no better than it was.
            inside.push(FIRST_LIMIT.as_micros() as f64);
            wall.push(FIRST_LIMIT.as_micros() as f64);
            late += 1;
            if late * LATE_SHARE > self.pace.starts {
                return Err(format!("{late} of {} starts: {why}", inside.len()));
            }
        }
        publisher.end(CLOSE);
        let mut sample = Sample::default();
        let at = |values: &[f64], share| percentile(values, share).ok_or("no starts");
        sample.put(Metric::P50, at(&inside, 0.5)?);
        sample.put(Metric::P95, at(&inside, 0.95)?);
        sample.put(Metric::Min, at(&inside, 0.0)?);
        sample.put(Metric::Wall, at(&wall, 0.5)?);
        Ok(sample)
    }

    fn idle(&self) -> Result<Sample, Failure> {
        let other = self.start(Role::Idle, 0, &[("side", 0)])?;
        let mut process = self.start(Role::Idle, 1, &[("side", 1)])?;
        other.ready(LIMIT)?;
        process.ready(LIMIT)?;
        std::thread::sleep(self.pace.warm);
        process.tell(Command::Measure { ms: self.pace.idle.as_millis() as u64 });
        match process.hear(self.pace.idle + LIMIT)? {
            Event::Idle { resident_kib, cpu_ns, wall_ns } => {
                let mut sample = Sample::default();
                sample.put(Metric::Resident, resident_kib as f64 / 1024.0);
                sample.put(Metric::IdleCpu, cpu_ns as f64 / wall_ns.max(1) as f64 * 100.0);
                Ok(sample)
            }
            other => Err(unexpected(Ok(other))),
        }
    }

    fn hoard(&self) -> Result<Sample, Failure> {
        let process = self.start(Role::Hoard, 0, &[("count", HOARD)])?;
        match process.hear(LIMIT * 2)? {
            Event::Hoard { count, resident_kib } => {
                let mut sample = Sample::default();
                let bytes = resident_kib as f64 * 1024.0 / count.max(1) as f64;
                sample.put(Metric::PerSubscription, bytes);
                Ok(sample)
            }
            other => Err(unexpected(Ok(other))),
        }
    }
}

/// Long enough that nobody sleeps between two round trips.
const SPIN_US: u64 = 1_000_000;

fn flow_sample(
    written: Counted,
    received: &[Counted],
    server_cpu: Option<u64>,
    publishes: bool,
) -> Result<Sample, Failure> {
    let per_second =
        |counted: &Counted| counted.messages as f64 / (counted.window_ns.max(1) as f64 / 1e9);
    let messages: u64 = received.iter().map(|counted| counted.messages).sum();
    if messages == 0 || written.messages == 0 {
        return Err("nothing was received in the window".to_owned());
    }
    let mut sample = Sample::default();
    sample.put(Metric::Rate, received.iter().map(per_second).sum());
    if publishes {
        sample.put(Metric::Sent, per_second(&written));
        let expected = written.total as f64 * received.len() as f64;
        let total: u64 = received.iter().map(|counted| counted.total).sum();
        sample.put(Metric::Loss, (expected - total as f64) / expected * 100.0);
        sample.put(Metric::PublisherCpu, written.cpu_ns as f64 / written.messages as f64);
    }
    let reader_cpu: u64 = received.iter().map(|counted| counted.cpu_ns).sum();
    sample.put(Metric::ReaderCpu, reader_cpu as f64 / messages as f64);
    if let Some(cpu) = server_cpu {
        sample.put(Metric::ServerCpu, cpu as f64 / written.messages as f64);
    }
    Ok(sample)
}

fn trips_sample(lag: Lag) -> Result<Sample, Failure> {
    if lag.count == 0 {
        return Err("no round trip".to_owned());
    }
    let mut sample = Sample::default();
    let parts = [
        (Metric::Min, lag.min_ns),
        (Metric::P50, lag.p50_ns),
        (Metric::P99, lag.p99_ns),
        (Metric::P999, lag.p999_ns),
    ];
    for (metric, ns) in parts {
        sample.put(metric, ns as f64 / 1e3);
    }
    sample.put(Metric::PublisherCpu, lag.cpu_ns as f64 / lag.count as f64);
    Ok(sample)
}

fn unexpected(heard: Result<Event, Failure>) -> Failure {
    heard.map_or_else(|failure| failure, |event| format!("not expected: {event:?}"))
}

fn sleep_until(instant: u64) {
    std::thread::sleep(Duration::from_nanos(instant.saturating_sub(now_ns())));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(messages: u64, total: u64) -> Counted {
        Counted { messages, total, window_ns: 500_000_000, cpu_ns: 1_000_000, resident_kib: 0 }
    }

    #[test]
    fn rates_add_up_over_readers_and_what_is_missing_is_loss() {
        let sample = flow_sample(
            counted(1000, 2000),
            &[counted(1000, 2000), counted(500, 1000)],
            Some(7000),
            true,
        );
        let sample = sample.unwrap();
        assert_eq!(sample.get(Metric::Rate), Some(3000.0));
        assert_eq!(sample.get(Metric::Sent), Some(2000.0));
        assert_eq!(sample.get(Metric::Loss), Some(25.0));
        assert_eq!(sample.get(Metric::PublisherCpu), Some(1000.0));
        assert_eq!(sample.get(Metric::ServerCpu), Some(7.0));
    }

    #[test]
    fn who_only_keeps_time_loses_nothing() {
        let sample = flow_sample(counted(10, 20), &[counted(1000, 2000)], None, false).unwrap();
        assert_eq!(sample.get(Metric::Rate), Some(2000.0));
        for metric in [Metric::Sent, Metric::Loss, Metric::PublisherCpu] {
            assert_eq!(sample.get(metric), None);
        }
    }

    #[test]
    fn a_window_without_a_message_is_a_failure_and_no_figure() {
        assert!(flow_sample(counted(10, 10), &[counted(0, 0)], None, true).is_err());
        assert!(trips_sample(Lag::default()).is_err());
    }
}
