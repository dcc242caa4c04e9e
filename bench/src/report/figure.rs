//! Figures as people read them.

use crate::case::Metric;

/// A figure with its unit.
pub(crate) fn of(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Rate | Metric::Sent => format!("{}/s", short(value)),
        Metric::Loss | Metric::IdleCpu => format!("{value:.2} %"),
        Metric::PublisherCpu | Metric::ReaderCpu | Metric::ServerCpu => {
            format!("{} ns", digits(value))
        }
        Metric::P50 | Metric::P95 | Metric::P99 | Metric::P999 | Metric::Min | Metric::Wall => {
            if value >= 1000.0 {
                format!("{} ms", digits(value / 1e3))
            } else {
                format!("{} µs", digits(value))
            }
        }
        Metric::Resident => format!("{value:.1} MiB"),
        Metric::PerSubscription => format!("{value:.0} B"),
        Metric::Failed => format!("{value:.0}"),
    }
}

/// 3.13 M, 537 k, 24.
pub(crate) fn short(value: f64) -> String {
    match value {
        1e6.. => format!("{} M", digits(value / 1e6)),
        1e3.. => format!("{} k", digits(value / 1e3)),
        _ => digits(value),
    }
}

/// Three digits.
fn digits(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(of(Metric::Rate, 3_131_000.0), "3.13 M/s");
        assert_eq!(of(Metric::Rate, 537_400.0), "537 k/s");
        assert_eq!(of(Metric::P50, 93.14), "93.1 µs");
        assert_eq!(of(Metric::P95, 12_345.0), "12.3 ms");
        assert_eq!(of(Metric::IdleCpu, 0.123), "0.12 %");
    }
}
