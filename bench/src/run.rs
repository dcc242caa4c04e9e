//! All measurements: per case round after round, in a round one row after the other.

use std::time::{Duration, Instant};

use crate::Outcome;
use crate::args::Compare;
use crate::binaries::Binaries;
use crate::case::Case;
use crate::cell::{self, Pace};
use crate::machine::Machine;
use crate::report::figure;
use crate::results::Results;
use crate::row::{ROWS, Row};

const FULL: Pace = Pace {
    warm: Duration::from_millis(500),
    window: Duration::from_millis(1500),
    idle: Duration::from_secs(10),
    starts: 40,
    spin: None,
};
const QUICK: Pace = Pace {
    warm: Duration::from_millis(200),
    window: Duration::from_millis(400),
    idle: Duration::from_secs(2),
    starts: 20,
    spin: None,
};

/// Measures all that was asked for.
pub(crate) fn run(compare: &Compare) -> Outcome<Results> {
    let pace = Pace { spin: compare.spin, ..if compare.quick { QUICK } else { FULL } };
    let rounds = compare.runs.unwrap_or(if compare.quick { 1 } else { 5 });
    let cases = match &compare.cases[..] {
        [] if compare.quick => Case::quick(),
        [] => Case::all().to_vec(),
        named => named.to_vec(),
    };
    let chosen = |row: &&Row| compare.peers.is_empty() || compare.peers.contains(&row.peer);
    let rows: Vec<&Row> = ROWS.iter().filter(chosen).collect();
    let mut results = Results {
        machine: Machine::read(),
        command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
        ..Results::default()
    };
    let mut binaries = Binaries::default();
    for row in &rows {
        // All before the first measurement; a failure is told in the rows.
        let _ = binaries.of(row.peer);
    }
    let plan = plan(&cases, &rows, rounds);
    let begun = Instant::now();
    for (done, (case, round, row)) in plan.iter().enumerate() {
        let outcome =
            binaries.of(row.peer).and_then(|binary| cell::measure(row, *case, &binary, pace));
        let shown = match &outcome {
            Ok(sample) => sample
                .get(case.metric())
                .map_or_else(String::new, |value| figure::of(case.metric(), value)),
            Err(failure) => failure.clone(),
        };
        eprintln!(
            "[{:4.0} s, {}/{}] {} · {} · round {round} of {rounds}: {shown}",
            begun.elapsed().as_secs_f64(),
            done + 1,
            plan.len(),
            case.name(),
            row.name,
        );
        results.add(*case, row.name, outcome);
    }
    Ok(results)
}

/// A B C A B C … within each case.
fn plan<'a>(cases: &[Case], rows: &[&'a Row], rounds: u32) -> Vec<(Case, u32, &'a Row)> {
    let mut plan = Vec::new();
    for case in cases {
        for round in 1..=rounds {
            plan.extend(rows.iter().filter(|row| row.does(*case)).map(|row| (*case, round, *row)));
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_alternate_within_a_case() {
        let rows = ["motet", "zenoh"].map(|name| Row::named(name).unwrap());
        let names: Vec<_> =
            plan(&[Case::Rtt], &rows, 2).iter().map(|(_, _, row)| row.name).collect();
        assert_eq!(names, ["motet", "zenoh", "motet", "zenoh"]);
    }

    #[test]
    fn rows_that_a_case_does_not_fit_are_left_out() {
        let rows = ["motet", "iceoryx2"].map(|name| Row::named(name).unwrap());
        assert_eq!(plan(&[Case::Net5], &rows, 1).len(), 1);
    }
}
