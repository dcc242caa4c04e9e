//! One line of figures per scenario, for people or for programs.

/// What a scenario measured, in order.
pub(super) struct Figures {
    scenario: String,
    each: Vec<(String, String)>,
}

impl Figures {
    pub(super) fn of(scenario: &str) -> Self {
        Self { scenario: scenario.into(), each: Vec::new() }
    }

    /// Adds a whole number.
    pub(super) fn count(&mut self, name: &str, value: u64) {
        self.each.push((name.into(), value.to_string()));
    }

    /// Adds a measured value, with one digit after the point.
    pub(super) fn value(&mut self, name: &str, value: f64) {
        self.each.push((name.into(), format!("{value:.1}")));
    }

    /// Adds `NAME_p50` and `NAME_p99` of samples (nearest rank).
    pub(super) fn percentiles(&mut self, name: &str, samples: &mut [f64]) {
        samples.sort_by(f64::total_cmp);
        for percent in [50, 99] {
            let rank = (samples.len() * percent).div_ceil(100).max(1) - 1;
            self.value(
                &format!("{name}_p{percent}"),
                samples.get(rank).copied().unwrap_or(f64::NAN),
            );
        }
    }

    pub(super) fn print(&self, broken: Option<&str>, json: bool) {
        println!("{}", if json { self.json(broken) } else { self.plain(broken) });
    }

    fn plain(&self, broken: Option<&str>) -> String {
        let verdict = broken.map_or_else(|| "ok".into(), |reason| format!("BROKEN ({reason})"));
        let figures = self.each.iter().map(|(name, value)| format!(" {name}={value}"));
        format!("{}: {verdict}{}", self.scenario, figures.collect::<String>())
    }

    fn json(&self, broken: Option<&str>) -> String {
        let mut line = format!("{{\"scenario\":\"{}\",\"ok\":{}", self.scenario, broken.is_none());
        if let Some(reason) = broken {
            line += &format!(",\"reason\":\"{}\"", escaped(reason));
        }
        for (name, value) in &self.each {
            let value = if value == "NaN" { "null" } else { value };
            line += &format!(",\"{name}\":{value}");
        }
        line + "}"
    }
}

fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c {
            '"' | '\\' => vec!['\\', c],
            c if c.is_control() => vec![' '],
            c => vec![c],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_the_same_for_people_and_programs() {
        let mut figures = Figures::of("bulk");
        figures.count("lost", 0);
        figures.percentiles("ms", &mut [3.0, 1.0, 2.0]);
        assert_eq!(figures.plain(None), "bulk: ok lost=0 ms_p50=2.0 ms_p99=3.0");
        let json = r#"{"scenario":"bulk","ok":false,"reason":"a \"b\"","lost":0,"ms_p50":2.0,"ms_p99":3.0}"#;
        assert_eq!(figures.json(Some("a \"b\"")), json);
    }
}
