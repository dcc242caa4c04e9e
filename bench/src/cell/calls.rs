//! Calls: a client, servers, and what stands between them.

use bench_harness::{Command, Event, Lag, Role, now_ns};

use super::{CLOSE, Cell, LIMIT, sleep_until, trips_sample, unexpected};
use crate::case::Metric;
use crate::process::{Failure, Process, cpu_ns_of};
use crate::results::Sample;
use crate::server::{Running, Server, free_port};

impl Cell<'_> {
    /// One client calls `servers` servers, with `open` calls at once. A row with a server of its own
    /// always goes through that; the others are `brokered` by a process of the peer.
    pub(super) fn calls(
        &self,
        servers: usize,
        brokered: bool,
        open: usize,
        server: Option<&Running>,
    ) -> Result<Sample, Failure> {
        let brokered = brokered && self.row.server == Server::None;
        let ports: Vec<_> = (0..servers)
            .map(|n| Ok((format!("port{n}"), free_port()?)))
            .collect::<Result<_, Failure>>()?;
        let mut more: Vec<(&str, u64)> = vec![
            ("servers", servers as u64),
            ("brokered", brokered.into()),
            ("open", open as u64),
            ("back", free_port()?.into()),
        ];
        more.extend(ports.iter().map(|(name, port)| (name.as_str(), u64::from(*port))));
        let mut answering = Vec::new();
        for n in 0..servers as u64 {
            let own = [&more[..], &[("server", n)]].concat();
            let process = self.start(Role::Answer, 1, &own)?;
            process.ready(LIMIT)?;
            answering.push(process);
        }
        let broker = brokered.then(|| self.start(Role::Broker, 0, &more)).transpose()?;
        if let Some(broker) = &broker {
            broker.ready(LIMIT)?;
        }
        let mut client = self.start(Role::Call, 0, &more)?;
        client.ready(LIMIT)?;
        let from = now_ns() + self.pace.warm.as_nanos() as u64;
        let until = from + self.pace.window.as_nanos() as u64;
        client.tell(Command::Go { from, until });
        let used = || Used {
            servers: answering.iter().map(|process| cpu_ns_of(process.id())).sum(),
            between: server.map(Running::cpu_ns).or(broker.as_ref().map(|it| cpu_ns_of(it.id()))),
        };
        sleep_until(from);
        let before = used();
        sleep_until(until);
        let used = used().since(before);
        let sample = match client.hear(LIMIT * 2)? {
            Event::Called { lag, answered, failed, window_ns } => {
                calls_sample(lag, answered, failed, window_ns, used)?
            }
            other => return Err(unexpected(Ok(other))),
        };
        let all = std::iter::once(client).chain(broker).chain(answering);
        all.for_each(|process: Process| process.end(CLOSE));
        Ok(sample)
    }
}

/// CPU time so far, in nanoseconds.
#[derive(Clone, Copy)]
struct Used {
    servers: u64,
    /// Of a broker, if there is one.
    between: Option<u64>,
}

impl Used {
    fn since(self, before: Self) -> Self {
        let between = self.between.zip(before.between).map(|(now, then)| now - then);
        Self { servers: self.servers - before.servers, between }
    }
}

fn calls_sample(
    lag: Lag,
    answered: u64,
    failed: u64,
    window_ns: u64,
    used: Used,
) -> Result<Sample, Failure> {
    if answered == 0 {
        return Err(format!("no call was answered in the window, {failed} failed"));
    }
    let mut sample = trips_sample(lag)?;
    sample.put(Metric::Rate, answered as f64 / (window_ns.max(1) as f64 / 1e9));
    sample.put(Metric::Failed, failed as f64);
    let calls = answered as f64;
    sample.put(Metric::PublisherCpu, lag.cpu_ns as f64 / calls);
    sample.put(Metric::ReaderCpu, used.servers as f64 / calls);
    if let Some(between) = used.between {
        sample.put(Metric::ServerCpu, between as f64 / calls);
    }
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_per_second_and_failed_ones_stand_beside_them() {
        let lag = Lag { count: 4, min_ns: 1_000, p50_ns: 2_000, cpu_ns: 400, ..Lag::default() };
        let used = Used { servers: 800, between: Some(1_200) };
        let sample = calls_sample(lag, 4, 3, 500_000_000, used).unwrap();
        assert_eq!(sample.get(Metric::Rate), Some(8.0));
        assert_eq!(sample.get(Metric::Failed), Some(3.0));
        assert_eq!(sample.get(Metric::P50), Some(2.0));
        assert_eq!(sample.get(Metric::PublisherCpu), Some(100.0));
        assert_eq!(sample.get(Metric::ReaderCpu), Some(200.0));
        assert_eq!(sample.get(Metric::ServerCpu), Some(300.0));
    }

    #[test]
    fn a_window_without_an_answer_is_a_failure_that_tells_how_many_calls_failed() {
        let used = Used { servers: 0, between: None };
        let failure = calls_sample(Lag::default(), 0, 7, 1, used).unwrap_err();
        assert!(failure.contains("7 failed"), "{failure}");
    }
}
