//! `motet nameserver`.

use motet::role::NameServer;

use super::role::follow;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;

pub(crate) async fn run(context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.join().await?;
    let server = NameServer::new().start(&endpoint).await.map_err(Failure::usage)?;
    let mut interrupt = Interrupt::listen();
    context.out.line(format!("name server {} is up", endpoint.name()))?;
    let standing = async || {
        let report = server.report().await?;
        Some(format!("holds {} names, sees {} peers", report.held, report.peers))
    };
    tokio::select! {
        () = interrupt.caught() => Ok(Exit::Done),
        failure = follow("name server", standing, |line| context.out.line(line)) => Err(failure),
    }
}
