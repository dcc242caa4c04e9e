//! Endpoints: who is here.

pub(crate) mod choice;
mod info;
pub(crate) mod list;
mod ping;
mod rtt;
mod send;
pub(crate) mod watch;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What can be done with endpoints.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Who is here
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// What an endpoint tells about itself
    Info(info::InfoArgs),
    /// How long a sign of life takes
    Ping(ping::PingArgs),
    /// How long the way between two endpoints is: one of them measures it
    Rtt(rtt::RttArgs),
    /// Put a message into the inbox of an endpoint, wherever it is
    Send(send::SendArgs),
}

pub(crate) async fn run(verb: Verb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        Verb::List(args) => list::run(args, context).await,
        Verb::Info(args) => info::run(args, context).await,
        Verb::Ping(args) => ping::run(args, context).await,
        Verb::Rtt(args) => rtt::run(args, context).await,
        Verb::Send(args) => send::run(args, context).await,
    }
}
