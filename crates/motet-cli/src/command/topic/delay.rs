//! `motet topic delay TOPIC`.

use std::collections::VecDeque;

use serde::Serialize;

use super::window::{Sample, Spread, WindowArgs, watch};
use crate::context::Context;
use crate::exit::{Exit, Failure};

#[derive(Serialize)]
struct Delay {
    mean_seconds: f64,
    min_seconds: f64,
    max_seconds: f64,
    std_dev_seconds: f64,
    window: usize,
}

pub(crate) async fn run(args: WindowArgs, context: &Context) -> Result<Exit, Failure> {
    let tell = |samples: &VecDeque<Sample>| {
        let Some(spread) = Spread::of(samples.iter().map(|sample| sample.value)) else {
            return Ok(false);
        };
        let Spread { mean, min, max, std_dev, window } = spread;
        if context.out.is_text() {
            context.out.line(format!(
                "average delay: {mean:.6}\n\tmin: {min:.6}s max: {max:.6}s std dev: {std_dev:.6}s window: {window}"
            ))?;
        } else {
            context.out.object(&Delay {
                mean_seconds: mean,
                min_seconds: min,
                max_seconds: max,
                std_dev_seconds: std_dev,
                window,
            })?;
        }
        Ok(true)
    };
    watch(args, context, |message| message.age().as_secs_f64(), tell).await
}
