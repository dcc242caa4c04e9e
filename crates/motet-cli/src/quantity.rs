//! Quantities as they are typed.

use std::time::Duration;

/// A duration: `5s`, `200ms`, `1.5m`, `2h`; without a unit seconds, as mosquitto's `-W 5`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(DURATION.to_owned()),
    };
    let number: f64 = number.trim().parse().map_err(|_| DURATION.to_owned())?;
    Duration::try_from_secs_f64(number * scale).map_err(|_| DURATION.to_owned())
}

/// Messages in a second, more than 0.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| *rate > 0.0 && *rate <= 1e6);
    rate.ok_or_else(|| {
        "a rate is a number of messages in a second, above 0 and up to 1000000".to_owned()
    })
}

/// A header `K:V`.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is NAME:VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// A tag `K=V`.
pub(crate) fn tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a tag is KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// A duration for people: three digits and a unit.
pub(crate) fn shown(seconds: f64) -> String {
    match seconds {
        s if s < 0.001 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s => format!("{:.0} min", s / 60.0),
    }
}

const DURATION: &str = "a duration is a number and a unit: 200ms, 5s, 1m, 1h";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_none_means_seconds() {
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        for wrong in ["", "fast", "5 years", "-1s", "1e400s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
