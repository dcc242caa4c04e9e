//! The table, for people and for programs.

use crate::cell::{Cell, Controller, Run};
use std::fmt::Write as _;

/// Part of quinn-proto's goodput that motet must reach.
const AT_LEAST: f64 = 0.85;
/// The larger of two flows gets at most so many times the goodput of the smaller.
const SHARE_MAX: f64 = 2.0;

/// One cell with one controller.
pub struct Row {
    /// Percent.
    pub loss: f64,
    /// Milliseconds.
    pub rtt: f64,
    /// Which controller.
    pub with: Controller,
    /// Flows on the path.
    pub flows: usize,
    /// A run per seed.
    pub motet: Vec<Run>,
    /// A run per seed.
    pub quinn: Vec<Run>,
}

impl Row {
    /// motet's goodput over quinn-proto's.
    pub fn ratio(&self) -> f64 {
        goodput(&self.motet) / goodput(&self.quinn).max(1.0)
    }

    /// The gate's demand holds: goodput with one flow, shares with two.
    pub fn met(&self) -> bool {
        if self.flows == 1 { self.ratio() >= AT_LEAST } else { share(&self.motet) <= SHARE_MAX }
    }
}

/// Mean over the seeds, bytes per second.
fn goodput(runs: &[Run]) -> f64 {
    runs.iter().map(Run::goodput).sum::<f64>() / runs.len().max(1) as f64
}

/// The larger flow over the smaller, over all seeds: the median.
fn share(runs: &[Run]) -> f64 {
    let each = |run: &Run| {
        let most = run.delivered.iter().max().copied().unwrap_or(0) as f64;
        most / run.delivered.iter().min().copied().unwrap_or(0).max(1) as f64
    };
    let mut all: Vec<f64> = runs.iter().map(each).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(1.0)
}

/// Percent of datagrams that did not arrive.
fn lost(runs: &[Run]) -> f64 {
    let sum = |of: fn(&Run) -> u64| runs.iter().map(of).sum::<u64>() as f64;
    100.0 * sum(|run| run.datagrams.1) / sum(|run| run.datagrams.0).max(1.0)
}

fn name(with: Controller) -> &'static str {
    match with {
        Controller::Cubic => "cubic",
        Controller::Model => "model",
    }
}

/// One line of the table.
pub fn line(row: &Row) -> String {
    let Row { loss, rtt, with, flows, motet, quinn } = row;
    let [ours, theirs] = [motet, quinn].map(|runs| goodput(runs) / 1e6);
    let verdict = if row.met() { "met" } else { "NOT MET" };
    let mut out = format!(
        "| {} | {loss} % | {rtt} ms | {ours:.2} | {theirs:.2} | {:.2} |",
        name(*with),
        row.ratio()
    );
    if *flows > 1 {
        let _ = write!(out, " 1 : {:.2} | 1 : {:.2} |", share(motet), share(quinn));
    } else {
        let _ = write!(out, " {:.1} % | {:.1} % |", lost(motet), lost(quinn));
    }
    let _ = write!(out, " {verdict} |");
    out
}

/// The whole.
pub fn text(rows: &[Row]) -> String {
    let mut out = String::new();
    let mut flows: Vec<usize> = rows.iter().map(|row| row.flows).collect();
    flows.dedup();
    for flows in flows {
        let last =
            if flows == 1 { "lost, motet | lost, quinn" } else { "shares, motet | shares, quinn" };
        let _ = writeln!(out, "\n{flows} flow(s), MB/s of payload\n");
        let _ = writeln!(
            out,
            "| controller | loss | round trip | motet | quinn-proto | ratio | {last} | |"
        );
        let _ = writeln!(out, "|---|---|---|---|---|---|---|---|---|");
        rows.iter().filter(|row| row.flows == flows).for_each(|row| {
            let _ = writeln!(out, "{}", line(row));
        });
    }
    out
}

/// The whole, as JSON.
pub fn json(rows: &[Row]) -> String {
    let one = |row: &Row| {
        let cell = Cell::new(row.loss, row.rtt);
        let delivered =
            |runs: &[Run]| runs.iter().map(|run| run.delivered.clone()).collect::<Vec<_>>();
        format!(
            "  {{\"controller\":\"{}\",\"loss_percent\":{},\"rtt_ms\":{},\"flows\":{},\"queue_bytes\":{},\
             \"motet_bytes_per_s\":{:.0},\"quinn_bytes_per_s\":{:.0},\"ratio\":{:.3},\"motet_delivered\":{:?},\
             \"quinn_delivered\":{:?},\"met\":{}}}",
            name(row.with),
            row.loss,
            row.rtt,
            row.flows,
            cell.queue(),
            goodput(&row.motet),
            goodput(&row.quinn),
            row.ratio(),
            delivered(&row.motet),
            delivered(&row.quinn),
            row.met()
        )
    };
    format!("[\n{}\n]\n", rows.iter().map(one).collect::<Vec<_>>().join(",\n"))
}
