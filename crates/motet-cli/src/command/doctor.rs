//! `motet doctor`: what keeps endpoints apart here, and what to do about it.

use clap::Args;

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What `motet doctor` is told.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {}

pub(crate) async fn run(_: DoctorArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.observe().await?;
    // Neighbours are heard meanwhile.
    endpoint.settled().await;
    let findings = endpoint.doctor().await;
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
