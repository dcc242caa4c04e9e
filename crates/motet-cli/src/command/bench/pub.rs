//! `motet bench pub [TOPIC]`.

use clap::Args;

use super::{BEGIN, END, Load, Mark, TOPIC, Throughput, flush, mark, publisher};
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What `motet bench pub` is told.
#[derive(Args, Debug)]
pub(crate) struct PubArgs {
    /// The topic
    #[arg(default_value = TOPIC)]
    topic: String,
    #[command(flatten)]
    load: Load,
    /// Readers to wait for
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    wait_readers: usize,
}

pub(crate) async fn run(args: PubArgs, context: &Context) -> Result<Exit, Failure> {
    let PubArgs { topic, load, wait_readers } = args;
    let endpoint = context.join().await?;
    let publisher = publisher(&endpoint, &topic, wait_readers, context).await?;
    mark(&publisher, BEGIN).await?;
    flush(&publisher, context).await?;

    let (payload, mut pace) = (load.payload(), load.pace());
    let (begun, mut messages) = (Mark::now(), 0);
    while load.goes_on(messages, begun.at) {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        publisher.publish(&payload).await?;
        messages += 1;
        if messages % 64 == 0 {
            // Interrupts are to be seen.
            tokio::task::yield_now().await;
        }
    }
    flush(&publisher, context).await?;
    let used = begun.used();
    mark(&publisher, END).await?;
    flush(&publisher, context).await?;
    let bytes = messages * u64::from(load.size);
    Throughput::new(&topic, (messages, 0, bytes), used).tell(context)?;
    Ok(Exit::Done)
}
