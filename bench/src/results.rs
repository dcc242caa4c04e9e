//! What was measured, as it stands in results.json.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::case::{Case, Metric};
use crate::machine::Machine;
use crate::stats::{Spread, spread};

/// The figures of one measurement, by [`Metric::key`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Sample(BTreeMap<String, f64>);

impl Sample {
    pub(crate) fn put(&mut self, metric: Metric, value: f64) {
        self.0.insert(metric.key().to_owned(), value);
    }

    pub(crate) fn get(&self, metric: Metric) -> Option<f64> {
        self.0.get(metric.key()).copied()
    }
}

/// All rounds of one row in one case. A round that failed has no sample.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) rounds: Vec<Option<Sample>>,
    /// The last failure, in one line.
    pub(crate) failure: Option<String>,
}

/// A whole run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    /// What was called.
    pub(crate) command: String,
    /// By name of the case, then of the row.
    pub(crate) cases: BTreeMap<String, BTreeMap<String, Cell>>,
}

impl Results {
    /// Adds what a round gave.
    pub(crate) fn add(&mut self, case: Case, row: &str, outcome: Result<Sample, String>) {
        let rows = self.cases.entry(case.name()).or_default();
        let cell = rows.entry(row.to_owned()).or_default();
        cell.rounds.push(outcome.as_ref().ok().cloned());
        if let Err(failure) = outcome {
            cell.failure = Some(failure);
        }
    }

    /// A row in a case, if it took part.
    pub(crate) fn cell(&self, case: Case, row: &str) -> Option<&Cell> {
        self.cases.get(&case.name())?.get(row)
    }

    /// Median and extremes over the rounds.
    pub(crate) fn spread(&self, case: Case, row: &str, metric: Metric) -> Option<Spread> {
        let rounds = &self.cell(case, row)?.rounds;
        let values = rounds.iter().flatten().filter_map(|sample| sample.get(metric));
        spread(&values.collect::<Vec<_>>())
    }

    /// The ratio of two rows in every round in which both succeeded: they ran one after the other.
    pub(crate) fn ratios(&self, case: Case, row: &str, to: &str, metric: Metric) -> Vec<f64> {
        let (Some(row), Some(to)) = (self.cell(case, row), self.cell(case, to)) else {
            return Vec::new();
        };
        let pairs = row.rounds.iter().zip(&to.rounds);
        let ratio = |(a, b): (&Option<Sample>, &Option<Sample>)| {
            let (a, b) = (a.as_ref()?.get(metric)?, b.as_ref()?.get(metric)?);
            (b != 0.0).then_some(a / b)
        };
        pairs.filter_map(ratio).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(value: f64) -> Result<Sample, String> {
        let mut sample = Sample::default();
        sample.put(Metric::Rate, value);
        Ok(sample)
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let mut results = Results::default();
        for (a, b) in
            [(rate(4.0), rate(2.0)), (rate(9.0), Err("died".into())), (rate(3.0), rate(1.0))]
        {
            results.add(Case::Rtt, "a", a);
            results.add(Case::Rtt, "b", b);
        }
        assert_eq!(results.ratios(Case::Rtt, "a", "b", Metric::Rate), [2.0, 3.0]);
        assert_eq!(results.spread(Case::Rtt, "a", Metric::Rate).unwrap().median, 4.0);
        assert_eq!(results.cell(Case::Rtt, "b").unwrap().failure.as_deref(), Some("died"));
    }

    #[test]
    fn results_survive_json() {
        let mut results = Results::default();
        results.add(Case::Kib1, "motet", rate(1.5));
        let text = serde_json::to_string(&results).unwrap();
        let back: Results = serde_json::from_str(&text).unwrap();
        assert_eq!(back.spread(Case::Kib1, "motet", Metric::Rate).unwrap().median, 1.5);
    }
}
