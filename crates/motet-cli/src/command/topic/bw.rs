//! `motet topic bw TOPIC`.

use std::collections::VecDeque;

use serde::Serialize;

use super::window::{Sample, Spread, WindowArgs, watch};
use crate::context::Context;
use crate::exit::{Exit, Failure};

#[derive(Serialize)]
struct Bandwidth {
    bytes_per_second: f64,
    mean_bytes: f64,
    min_bytes: f64,
    max_bytes: f64,
    window: usize,
}

pub(crate) async fn run(args: WindowArgs, context: &Context) -> Result<Exit, Failure> {
    let tell = |samples: &VecDeque<Sample>| {
        let Some(spread) = Spread::of(samples.iter().map(|sample| sample.value)) else {
            return Ok(false);
        };
        let first = samples.front().map_or(0.0, |sample| sample.at.elapsed().as_secs_f64());
        let bandwidth = Bandwidth {
            bytes_per_second: spread.mean * spread.window as f64 / first.max(f64::EPSILON),
            mean_bytes: spread.mean,
            min_bytes: spread.min,
            max_bytes: spread.max,
            window: spread.window,
        };
        if context.out.is_text() {
            context.out.line(format!(
                "{:.0} B/s from {} messages\n\tmean: {:.0} B min: {:.0} B max: {:.0} B",
                bandwidth.bytes_per_second, spread.window, spread.mean, spread.min, spread.max
            ))?;
        } else {
            context.out.object(&bandwidth)?;
        }
        Ok(true)
    };
    watch(args, context, |message| message.payload().len() as f64, tell).await
}
