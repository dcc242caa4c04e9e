//! `motet topic hz TOPIC`.

use std::collections::VecDeque;

use serde::Serialize;

use super::window::{Sample, Spread, WindowArgs, watch};
use crate::context::Context;
use crate::exit::{Exit, Failure};

#[derive(Serialize)]
struct Rate {
    rate_hz: f64,
    min_seconds: f64,
    max_seconds: f64,
    std_dev_seconds: f64,
    window: usize,
}

pub(crate) async fn run(args: WindowArgs, context: &Context) -> Result<Exit, Failure> {
    let tell = |samples: &VecDeque<Sample>| {
        let gaps = samples.iter().zip(samples.iter().skip(1));
        let gaps = gaps.map(|(a, b)| b.at.saturating_duration_since(a.at).as_secs_f64());
        let Some(spread) = Spread::of(gaps) else { return Ok(false) };
        let rate = Rate {
            rate_hz: 1.0 / spread.mean.max(f64::EPSILON),
            min_seconds: spread.min,
            max_seconds: spread.max,
            std_dev_seconds: spread.std_dev,
            window: samples.len(),
        };
        if context.out.is_text() {
            context.out.line(format!(
                "average rate: {:.3}\n\tmin: {:.4}s max: {:.4}s std dev: {:.5}s window: {}",
                rate.rate_hz, rate.min_seconds, rate.max_seconds, rate.std_dev_seconds, rate.window
            ))?;
        } else {
            context.out.object(&rate)?;
        }
        Ok(true)
    };
    watch(args, context, |_| 1.0, tell).await
}
