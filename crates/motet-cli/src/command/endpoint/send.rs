//! `motet endpoint send NAME BODY`.

use clap::Args;
use serde::Serialize;

use crate::command::topic::publish;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::quantity::shown;

/// What `motet endpoint send` is told.
#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    /// Its name or id
    endpoint: String,
    /// The message; @FILE for a file, - for stdin
    body: String,
}

#[derive(Serialize)]
struct Delivered {
    to: String,
    seq: u64,
    took_seconds: f64,
}

pub(crate) async fn run(args: SendArgs, context: &Context) -> Result<Exit, Failure> {
    let body = publish::body(&args.body)?;
    let endpoint = context.join().await?;
    let receipt = endpoint.send(&args.endpoint, body, context.global.timeout).await?;
    let took_seconds = receipt.took.as_secs_f64();
    let delivered = Delivered { to: receipt.to.id.to_string(), seq: receipt.seq, took_seconds };
    context.out.document(&delivered, |delivered| {
        format!("delivered to {} in {}\n", delivered.to, shown(delivered.took_seconds))
    })?;
    Ok(Exit::Done)
}
