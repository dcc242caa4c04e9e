//! Watching a topic second by second, over a window of its last messages.

use std::collections::VecDeque;
use std::time::Duration;

use clap::Args;
use motet::{Delivery, History, Message, SubQos};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior};

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What `motet topic hz`, `bw` and `delay` are told.
#[derive(Args, Debug)]
pub(crate) struct WindowArgs {
    /// The topic, or a filter
    filter: String,
    /// Messages that are looked at
    #[arg(short, long, default_value_t = 100, value_name = "N")]
    window: usize,
    /// End after this many lines
    #[arg(short = 'C', long, value_name = "N")]
    count: Option<u64>,
    /// End after this many seconds without a message
    #[arg(short = 'W', value_name = "SECS", value_parser = crate::quantity::duration)]
    wait: Option<Duration>,
}

/// Smallest, largest, mean and standard deviation.
#[derive(Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) mean: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) std_dev: f64,
    pub(crate) window: usize,
}

impl Spread {
    /// Of these samples; `None` without any.
    pub(crate) fn of(samples: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        let window = samples.clone().count();
        if window == 0 {
            return None;
        }
        let mean = samples.clone().sum::<f64>() / window as f64;
        let variance = samples.clone().map(|x| (x - mean).powi(2)).sum::<f64>() / window as f64;
        Some(Self {
            mean,
            min: samples.clone().fold(f64::INFINITY, f64::min),
            max: samples.fold(f64::NEG_INFINITY, f64::max),
            std_dev: variance.sqrt(),
            window,
        })
    }
}

/// One message: when it came, and what is measured of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) value: f64,
}

/// Reads until it is told to end; each second it calls `tell` with the samples in the window.
pub(crate) async fn watch(
    args: WindowArgs,
    context: &Context,
    measure: impl Fn(&Message) -> f64,
    tell: impl Fn(&VecDeque<Sample>) -> Result<bool, Failure>,
) -> Result<Exit, Failure> {
    let endpoint = context.observe().await?;
    let qos = SubQos { history: History::None, ..SubQos::default() };
    let mut messages = endpoint.subscriber_with(&[&args.filter], qos).await?;
    let mut samples: VecDeque<Sample> = VecDeque::new();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    second.tick().await; // the first one is at once
    let (mut told, mut heard) = (0, Instant::now());
    loop {
        tokio::select! {
            delivery = messages.next() => match delivery {
                Some(Delivery::Message(message)) => {
                    heard = Instant::now();
                    samples.push_back(Sample { at: heard, value: measure(&message) });
                    if samples.len() > args.window.max(2) {
                        samples.pop_front();
                    }
                }
                Some(_) => {}
                None => return Ok(Exit::Done),
            },
            _ = second.tick() => {
                told += u64::from(tell(&samples)?);
                if args.count.is_some_and(|count| told >= count) {
                    return Ok(Exit::Done);
                }
                if args.wait.is_some_and(|wait| heard.elapsed() >= wait) {
                    let what = format!(
                        "no message on {:?} for {:?}; see: motet topic info {0}",
                        args.filter, args.wait.unwrap_or_default()
                    );
                    return Err(Failure::timed_out(what));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_that_of_its_samples() {
        let spread = Spread::of([1.0, 2.0, 3.0].into_iter()).unwrap();
        assert_eq!((spread.mean, spread.min, spread.max, spread.window), (2.0, 1.0, 3.0, 3));
        assert!((spread.std_dev - 0.816_496).abs() < 1e-5);
        assert!(Spread::of(std::iter::empty()).is_none());
    }
}
