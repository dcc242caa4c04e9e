//! `motet explain A B TOPIC`: why B gets A's data on TOPIC, or why not.

use clap::Args;
use motet::explain::{Explanation, Reason};

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What `motet explain` is told.
#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// Who publishes: a name, an id, an address
    #[arg(value_name = "A")]
    writer: String,
    /// Who reads
    #[arg(value_name = "B")]
    reader: String,
    /// The topic
    topic: String,
    /// More: what each of the two said
    #[arg(short, long)]
    verbose: bool,
}

pub(crate) async fn run(args: ExplainArgs, context: &Context) -> Result<Exit, Failure> {
    if args.topic.split('/').any(|level| level == "*" || level == "**") {
        return Err(Failure::usage(format!(
            "{:?} is a filter; explain takes one topic, as in line1/temp",
            args.topic
        )));
    }
    let endpoint = context.observe().await?;
    let limit = context.global.timeout;
    let explained = endpoint.explain(&args.writer, &args.reader, &args.topic, limit).await?;
    let verbose = args.verbose;
    context.out.document(&explained, |explained| text(explained, verbose))?;
    Ok(code(&explained))
}

/// 0: data flows. 3: somebody is not there. 4: refused. Else 1.
fn code(explained: &Explanation) -> Exit {
    match explained.reason() {
        reason if reason.flows() => Exit::Done,
        Reason::NotFound | Reason::Gone => Exit::NotFound,
        Reason::WrongKey | Reason::WrongRealm | Reason::Revoked | Reason::NotAuthorised => {
            Exit::Refused
        }
        _ => Exit::Failed,
    }
}

fn text(explained: &Explanation, verbose: bool) -> String {
    let mut text = format!("{explained}\n");
    if verbose {
        explained.evidence.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    text
}
