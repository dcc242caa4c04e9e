//! Round trips between any two members: one asks the other's peer to measure.
//!
//! Each sample is one PING on the session that stands, acknowledged at once, so it is what data
//! between the two would see. Nothing is opened for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use motet_proto::{EndpointId, QueryKey};
use tokio::sync::mpsc;

use crate::driver::Core;
use crate::report::RoundTripReport;

/// What a peer wants measured: where the answer goes, and whom to ping.
pub(crate) type Job = (QueryKey, EndpointId);

/// Measures what peers ask for, until the endpoint is gone.
pub(crate) async fn serve(core: Weak<Core>, mut jobs: mpsc::Receiver<Job>) {
    let running = Arc::new(AtomicUsize::new(0));
    while let Some((asker, to)) = jobs.recv().await {
        let (core, running) = (core.clone(), Arc::clone(&running));
        // It may not grow without end: who comes then is told to come again.
        let busy = running.fetch_add(1, Ordering::Relaxed) >= RUNNING_MAX;
        tokio::spawn(async move {
            if let Some(core) = core.upgrade() {
                let report = match busy {
                    true => refused("it measures for others already; try again"),
                    false => measure(&core, to).await,
                };
                let body = minicbor::to_vec(&report);
                let body = body.expect("writing into a vector does not fail");
                core.act(|inner, now| inner.node.answer(now, asker, &body, None));
            }
            running.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "samples are spread over real time")]
async fn pause() {
    tokio::time::sleep(PAUSE).await;
}

/// Pings `to` a few times.
pub(crate) async fn measure(core: &Core, to: EndpointId) -> RoundTripReport {
    let mut samples = Vec::new();
    let mut lost = 0;
    for nth in 0..PINGS {
        if nth > 0 {
            pause().await;
        }
        let asked = core.act(|inner, now| {
            let (before, _) = inner.node.round_trip(to)?;
            inner.node.ping(now, to).then_some(before)
        });
        let Some(before) = asked else { break };
        let answered = core.wait(PATIENCE, |inner, _| {
            inner.node.round_trip(to).filter(|(samples, _)| *samples > before)
        });
        match answered.await {
            Some((_, rtt)) => samples.push(rtt),
            None => lost += 1,
        }
    }
    if samples.is_empty() {
        return if lost > 0 { refused(NO_ANSWER) } else { refused(NO_SESSION) };
    }
    samples.sort();
    let seconds = |at: usize| samples.get(at).map_or(0.0, Duration::as_secs_f64);
    RoundTripReport {
        samples: samples.len() as u64,
        lost,
        min_seconds: seconds(0),
        median_seconds: seconds(samples.len() / 2),
        max_seconds: seconds(samples.len() - 1),
        trouble: String::new(),
    }
}

fn refused(trouble: &str) -> RoundTripReport {
    RoundTripReport { trouble: trouble.to_owned(), ..RoundTripReport::default() }
}

/// Samples of one measurement.
const PINGS: u64 = 5;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(20);
/// How long one is waited for: far beyond any round trip that streams could work with.
const PATIENCE: Duration = Duration::from_millis(500);
/// Measurements for others at once.
const RUNNING_MAX: usize = 8;
/// Jobs that wait for a turn of the task.
pub(crate) const JOBS_MAX: usize = 16;
const NO_SESSION: &str = "it has no session with that endpoint: a firewall between the two, or one \
                          of them has just come; see: motet doctor, on both hosts";
const NO_ANSWER: &str = "that endpoint does not answer it: it is stopped, or the network between \
                         the two is gone; see: motet endpoint list -v";
