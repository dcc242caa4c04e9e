//! `motet bench sub [TOPIC]`.

use std::time::Duration;

use clap::Args;
use motet::{Delivery, History, SubQos, Subscriber};

use super::{BEGIN, END, Mark, TOPIC, Throughput, marked};
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::quantity::duration;

/// What `motet bench sub` is told.
#[derive(Args, Debug)]
pub(crate) struct SubArgs {
    /// The topic
    #[arg(default_value = TOPIC)]
    topic: String,
    /// How many runs of `motet bench pub` to read
    #[arg(long, value_name = "N", default_value_t = 1)]
    runs: u64,
    /// Give up, with 27, when nothing came for so long
    #[arg(short = 'W', long = "wait", value_name = "SECS", value_parser = duration)]
    wait: Option<Duration>,
}

pub(crate) async fn run(args: SubArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.join().await?;
    let qos = SubQos { history: History::None, ..SubQos::default() };
    let mut messages = endpoint.subscriber_with(&[&args.topic], qos).await?;
    for _ in 0..args.runs {
        match read(&args, &mut messages).await? {
            Some(run) => run.tell(context)?,
            None => break,
        }
    }
    Ok(Exit::Done)
}

/// Reads one run; `None` if the endpoint has closed.
async fn read<'a>(
    args: &'a SubArgs,
    from: &mut Subscriber,
) -> Result<Option<Throughput<'a>>, Failure> {
    let (mut begun, mut tally, mut batch) = (None, (0, 0, 0), Vec::new());
    loop {
        let more = from.next_batch(&mut batch);
        let more = match args.wait {
            None => more.await,
            Some(wait) => tokio::time::timeout(wait, more).await.map_err(|_| {
                Failure::timed_out(format!(
                    "no message on {:?} for {wait:?}; on the other side: motet bench pub {0}",
                    args.topic
                ))
            })?,
        };
        if more == 0 {
            return Ok(None);
        }
        for delivery in batch.drain(..) {
            let (messages, missed, bytes) = &mut tally;
            match delivery {
                Delivery::Message(message) => match marked(&message) {
                    Some(BEGIN) => {
                        begun = Some(Mark::now());
                        (*messages, *missed, *bytes) = (0, 0, 0);
                    }
                    Some(END) => {
                        if let Some(begun) = begun {
                            return Ok(Some(Throughput::new(&args.topic, tally, begun.used())));
                        }
                    }
                    _ => {
                        *messages += 1;
                        *bytes += message.payload().len() as u64;
                    }
                },
                Delivery::Missed { n, .. } => *missed += n,
                _ => {}
            }
        }
    }
}
