//! The transport gate: over one and the same link model motet must reach 85 % of quinn-proto's
//! goodput in every cell of loss and round trip, and two flows must share within 1 : 2.
#![forbid(unsafe_code)]

mod cell;
mod motet;
mod quic;
mod report;

use cell::{Cell, Controller};
use clap::Parser;
use report::Row;
use std::process::ExitCode;
use std::time::Duration;

/// Goodput of motet and of quinn-proto over the same simulated paths at 1 Gbit/s.
///
/// Queue in front of the bottleneck: one bandwidth-delay product, 1 MiB at least. Receiver's credit:
/// four of them. Stream windows, logs and queues: sixteen of them, 8 MiB at least, on both sides.
/// Goodput counts from the first byte, slow start included.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Cells as loss%:rtt ms, e.g. 1:20,5:100; all twelve by default
    #[arg(long, value_delimiter = ',', value_parser = parse_cell)]
    cells: Vec<(f64, f64)>,
    /// Virtual seconds of each run; by default 20; 3 below 1 ms; 60 for CUBIC with loss above
    #[arg(long)]
    seconds: Option<f64>,
    /// Runs with different seeds; their mean counts. By default 1; 12 for CUBIC with loss above 1 ms
    #[arg(long)]
    runs: Option<u64>,
    /// Only this controller; both by default
    #[arg(long)]
    controller: Option<Controller>,
    /// Bytes of motet's messages
    #[arg(long, default_value_t = 1_024)]
    size: usize,
    /// Flows that share the path: 1 measures goodput, 2 fairness; both by default
    #[arg(long)]
    flows: Option<usize>,
    /// Write the table as JSON, too
    #[arg(long)]
    json: Option<std::path::PathBuf>,
    /// Cells run at once
    #[arg(long, default_value_t = 2)]
    jobs: usize,
}

fn parse_cell(text: &str) -> Result<(f64, f64), String> {
    let parsed =
        text.split_once(':').and_then(|(loss, rtt)| Some((loss.parse().ok()?, rtt.parse().ok()?)));
    parsed.ok_or_else(|| "expected loss%:rtt, as 1:20".into())
}

fn main() -> ExitCode {
    let args = Args::parse();
    let cells = if args.cells.is_empty() {
        [0.2, 20.0, 100.0]
            .iter()
            .flat_map(|rtt| [0.0, 0.1, 1.0, 5.0].map(|loss| (loss, *rtt)))
            .collect()
    } else {
        args.cells.clone()
    };
    let controllers =
        args.controller.map_or(vec![Controller::Cubic, Controller::Model], |one| vec![one]);
    let flows = args.flows.map_or(vec![1, 2], |flows| vec![flows]);
    let mut jobs = Vec::new();
    for flows in &flows {
        for with in &controllers {
            jobs.extend(cells.iter().map(|(loss, rtt)| (*flows, *with, *loss, *rtt)));
        }
    }
    let rows = measure(&args, &jobs);
    print!("{}", report::text(&rows));
    if let Some(path) = &args.json
        && let Err(error) = std::fs::write(path, report::json(&rows))
    {
        eprintln!("{}: {error}", path.display());
        return ExitCode::from(2);
    }
    if rows.iter().all(Row::met) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs all jobs, a few at once; the rows come in the order of the jobs.
fn measure(args: &Args, jobs: &[(usize, Controller, f64, f64)]) -> Vec<Row> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let rows = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(job) = jobs.get(at) else { return };
                    let row = one(args, *job);
                    eprintln!("{}", report::line(&row));
                    rows.lock().expect("nobody panicked").push((at, row));
                }
            });
        }
    });
    let mut rows = rows.into_inner().expect("nobody panicked");
    rows.sort_by_key(|(at, _)| *at);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Virtual seconds, and runs. Where loss decides the window, few packets fly and many seconds are
/// cheap: and needed, since the moment of the first loss decides how far slow start gets.
fn effort(with: Controller, loss: f64, rtt: f64) -> (f64, u64) {
    match with {
        Controller::Cubic if loss > 0.0 && rtt > 1.0 => (60.0, 12),
        _ if rtt < 1.0 => (3.0, 1),
        _ => (20.0, 1),
    }
}

fn one(args: &Args, (flows, with, loss, rtt): (usize, Controller, f64, f64)) -> Row {
    let cell = Cell::new(loss, rtt);
    let (seconds, runs) = effort(with, loss, rtt);
    let time = Duration::from_secs_f64(args.seconds.unwrap_or(seconds));
    let runs = args.runs.unwrap_or(runs).max(1);
    Row {
        loss,
        rtt,
        with,
        flows,
        motet: (1..=runs)
            .map(|seed| motet::run(&cell, with, flows, args.size, time, seed))
            .collect(),
        quinn: (1..=runs).map(|seed| quic::run(&cell, with, flows, time, seed)).collect(),
    }
}
