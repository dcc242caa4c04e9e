//! `motet endpoint rtt A [B]`.

use clap::Args;
use motet::report::RoundTripReport;
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::quantity::shown;

/// What `motet endpoint rtt` is told.
#[derive(Args, Debug)]
pub(crate) struct RttArgs {
    /// Who measures, by name or id
    from: String,
    /// To whom; without it this command measures its own way to the first
    to: Option<String>,
}

#[derive(Serialize)]
struct Measured {
    from: String,
    to: String,
    #[serde(flatten)]
    report: RoundTripReport,
}

pub(crate) async fn run(args: RttArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.observe().await?;
    let (asked, from, to) = match args.to {
        Some(to) => (args.from.clone(), args.from, to),
        None => (endpoint.id().to_string(), "here".to_owned(), args.from),
    };
    let report = endpoint.round_trip(&asked, &to, context.global.timeout).await?;
    context.out.document(&Measured { from, to, report }, |measured| {
        let Measured { from, to, report } = measured;
        format!(
            "{from} -> {to}: median {}, min {}, max {} of {} pings, {} lost\n",
            shown(report.median_seconds),
            shown(report.min_seconds),
            shown(report.max_seconds),
            report.samples,
            report.lost
        )
    })?;
    Ok(Exit::Done)
}
