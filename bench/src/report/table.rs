//! Tables: the ratios, and every figure.

use std::fmt::Write;

use super::figure;
use crate::case::{Case, Kind, Metric};
use crate::results::Results;
use crate::row::{Protection, ROWS, Row};
use crate::stats::spread;
use crate::target::{Against, TARGETS, Target};

/// The row that is held against the others.
const OURS: &str = "motet";

/// The one table of ratios.
pub(crate) fn ratios(results: &Results) -> String {
    let mut lines = vec![
        ["case", "motet (encrypted)", "reference", "its figure", "ratio (min–max)", "wanted", ""]
            .map(str::to_owned),
    ];
    for target in TARGETS.iter().filter(|target| results.cases.contains_key(&target.case.name())) {
        lines.extend(line(results, target));
    }
    let mut text = String::new();
    columns(&mut text, &lines);
    for (case, row, failure) in failures(results) {
        let _ = writeln!(text, "{case} · {row}: {failure}");
    }
    text
}

/// Everything, in Markdown.
pub(crate) fn document(results: &Results) -> String {
    let machine = &results.machine;
    let mut text = format!(
        "# Results\n\n{}.\nKernel: {}.\nVersions: {}.\nCommand: `motet-bench {}`.\n\n## motet against the reference of each case\n\n```\n{}```\n",
        machine.line(),
        machine.sysctl.join(", "),
        machine.versions.join(", "),
        results.command,
        ratios(results),
    );
    for case in Case::all().iter().filter(|case| results.cases.contains_key(&case.name())) {
        let _ = write!(text, "\n## {}\n\n", case.title());
        let metrics = metrics(*case);
        let heads: Vec<_> = metrics.iter().map(|(head, _)| *head).collect();
        let _ = writeln!(text, "| row | | {} |", heads.join(" | "));
        let _ = writeln!(text, "|---|---|{}", "---|".repeat(metrics.len()));
        for row in ROWS {
            let Some(cell) = results.cell(*case, row.name) else { continue };
            let _ = write!(text, "| {} | {} |", row.name, row.protection.word());
            for (_, metric) in metrics {
                let shown = results.spread(*case, row.name, *metric).map_or_else(
                    || "–".to_owned(),
                    |spread| {
                        let [median, min, max] = [spread.median, spread.min, spread.max]
                            .map(|value| figure::of(*metric, value));
                        if cell.rounds.len() > 1 {
                            format!("{median} ({min}–{max})")
                        } else {
                            median
                        }
                    },
                );
                let _ = write!(text, " {shown} |");
            }
            text.push('\n');
        }
    }
    text.push_str("\n## Settings\n\n| row | | settings |\n|---|---|---|\n");
    for row in ROWS {
        let _ = writeln!(text, "| {} | {} | {} |", row.name, row.protection.word(), row.settings);
    }
    text
}

fn metrics(case: Case) -> &'static [(&'static str, Metric)] {
    match case.kind() {
        Kind::Flow { .. } => &[
            ("received", Metric::Rate),
            ("published", Metric::Sent),
            ("loss", Metric::Loss),
            ("CPU per message, publisher", Metric::PublisherCpu),
            ("reader", Metric::ReaderCpu),
            ("server", Metric::ServerCpu),
        ],
        Kind::Trips { .. } => &[
            ("p50", Metric::P50),
            ("p99", Metric::P99),
            ("p99.9", Metric::P999),
            ("shortest", Metric::Min),
            ("CPU per trip, one side", Metric::PublisherCpu),
        ],
        Kind::Calls { .. } => &[
            ("calls answered", Metric::Rate),
            ("p50", Metric::P50),
            ("p99", Metric::P99),
            ("p99.9", Metric::P999),
            ("failed", Metric::Failed),
            ("CPU per call, client", Metric::PublisherCpu),
            ("servers", Metric::ReaderCpu),
            ("broker", Metric::ServerCpu),
        ],
        Kind::First => &[
            ("p50", Metric::P50),
            ("p95", Metric::P95),
            ("shortest", Metric::Min),
            ("p50 with the start of the process", Metric::Wall),
        ],
        Kind::Idle => &[("resident", Metric::Resident), ("CPU", Metric::IdleCpu)],
        Kind::Hoard => &[("per subscription", Metric::PerSubscription)],
    }
}

fn line(results: &Results, target: &Target) -> Option<[String; 7]> {
    let Target { case, metric, against, factor, aim } = *target;
    let ours = results.spread(case, OURS, metric);
    let (name, theirs, rounds) = match against {
        Against::Figure(figure) => (String::new(), Some(figure), Vec::new()),
        Against::Best(rows) => match best(results, target, rows) {
            Some((row, figure)) => {
                let name = format!("{} {}", row.name, mark(row));
                (name, Some(figure), results.ratios(case, OURS, row.name, metric))
            }
            None if rows.iter().any(|row| results.cell(case, row).is_some()) => {
                (rows.join(", "), None, Vec::new())
            }
            None => return None, // not asked for
        },
    };
    let shown = |value: Option<f64>| {
        value.map_or_else(|| "–".to_owned(), |value| figure::of(metric, value))
    };
    let ratio = ours.zip(theirs).map(|(ours, theirs)| ours.median / theirs);
    let mut ratio_shown = ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
    if let Some(spread) = spread(&rounds).filter(|_| rounds.len() > 1) {
        let _ = write!(ratio_shown, " ({:.2}–{:.2})", spread.min, spread.max);
    }
    let sense = if metric.more_is_better() { "≥" } else { "≤" };
    let wanted = [("", factor), ("aim ", aim)]
        .iter()
        .filter_map(|(word, value)| value.map(|value| format!("{word}{sense} {value}")))
        .collect::<Vec<_>>();
    let verdict = ratio.map_or(String::new(), |ratio| verdict(target, ratio));
    Some([
        title(target),
        shown(ours.map(|ours| ours.median)),
        name,
        shown(theirs),
        ratio_shown,
        wanted.join(", "),
        verdict,
    ])
}

fn verdict(target: &Target, ratio: f64) -> String {
    let required = target.met(ratio, target.factor).map(|met| if met { "met" } else { "NOT MET" });
    let hoped =
        target.met(ratio, target.aim).map(|met| if met { "aim met" } else { "aim not met" });
    required.into_iter().chain(hoped).collect::<Vec<_>>().join(", ")
}

fn title(target: &Target) -> String {
    let what = match target.metric {
        Metric::PublisherCpu => ", publisher CPU",
        Metric::ReaderCpu => ", reader CPU",
        Metric::P50 if target.case != Case::First => ", p50",
        Metric::P50 => ", median",
        Metric::P95 => ", p95",
        Metric::P99 => ", p99",
        Metric::Resident => ", memory",
        Metric::IdleCpu => ", CPU",
        _ => "",
    };
    format!("{}{what}", target.case.title())
}

fn mark(row: &Row) -> &'static str {
    match row.protection {
        Protection::Encrypted => "(encrypted)",
        Protection::Plaintext => "(plaintext)",
        Protection::Limit => "(limit)",
    }
}

/// The row with the best median.
fn best(results: &Results, target: &Target, rows: &[&str]) -> Option<(&'static Row, f64)> {
    let medians = rows.iter().filter_map(|row| {
        let median = results.spread(target.case, row, target.metric)?.median;
        Some((Row::named(row)?, median))
    });
    if target.metric.more_is_better() {
        medians.max_by(|a, b| a.1.total_cmp(&b.1))
    } else {
        medians.min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

fn failures(results: &Results) -> Vec<(String, &str, &str)> {
    let mut all = Vec::new();
    for case in Case::all() {
        let rows = results.cases.get(&case.name()).into_iter().flatten();
        for (row, cell) in rows {
            if let Some(failure) = &cell.failure {
                all.push((case.name(), row.as_str(), failure.as_str()));
            }
        }
    }
    all
}

fn columns<const N: usize>(text: &mut String, lines: &[[String; N]]) {
    let mut widths = [0; N];
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for line in lines {
        let padded = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let padded = padded.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{}", padded.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Sample;

    fn results(rows: &[(&str, f64)]) -> Results {
        let mut results = Results::default();
        for (row, rate) in rows {
            let mut sample = Sample::default();
            sample.put(Metric::Rate, *rate);
            results.add(Case::Kib1, row, Ok(sample));
        }
        results
    }

    #[test]
    fn motet_is_held_against_the_best_of_the_reference_set() {
        let text = ratios(&results(&[("motet", 3e6), ("zenoh", 1e6), ("zmq-tcp", 1.5e6)]));
        let line = text.lines().find(|line| line.contains("zmq-tcp")).unwrap();
        assert!(line.contains("2.00") && line.contains("met, aim met"), "{text}");
        assert!(!text.contains("encrypted (limit)"), "a row that was not asked for: {text}");
    }

    #[test]
    fn a_target_that_is_missed_says_so() {
        let text = ratios(&results(&[("motet", 1e6), ("zenoh", 1e6)]));
        assert!(text.contains("NOT MET, aim not met"), "{text}");
    }

    #[test]
    fn a_peer_that_does_not_run_is_named_with_the_reason() {
        let mut results = results(&[("motet", 1e6)]);
        results.add(Case::Kib1, "zenoh", Err("not built: no network".to_owned()));
        let text = ratios(&results);
        assert!(text.contains("1kib · zenoh: not built: no network"), "{text}");
        assert!(document(&results).contains("| zenoh | plaintext | – |"));
    }
}
