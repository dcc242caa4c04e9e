//! `motet doctor`: what keeps endpoints apart here, and what to do about it.

use clap::Args;

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What `motet doctor` is told.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Look at what is between this endpoint, or B, and A: a name, an id, an address
    #[arg(value_name = "A")]
    a: Option<String>,
    /// The other end; without it the command's own endpoint
    #[arg(value_name = "B")]
    b: Option<String>,
}

pub(crate) async fn run(args: DoctorArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.observe().await?;
    // Neighbours are heard meanwhile.
    endpoint.settled().await;
    let findings = match &args.a {
        None => endpoint.doctor().await,
        Some(a) => {
            let b = args.b.as_deref().unwrap_or(".");
            endpoint.doctor_pair(a, b, context.global.timeout).await?
        }
    };
    if context.out.is_text() {
        for finding in &findings {
            let mark = if finding.ok { "ok   " } else { "WRONG" };
            context.out.line(format!("{mark}  {:<11}  {}", finding.check, finding.what))?;
            if let Some(remedy) = finding.remedy.as_ref().filter(|_| !finding.ok) {
                context.out.line(format!("       {:<11}  do: {remedy}", ""))?;
            }
        }
    } else {
        context.out.table(&findings, [], |_| [])?;
    }
    let fit = findings.iter().all(|finding| finding.ok);
    Ok(if fit { Exit::Done } else { Exit::Failed })
}
