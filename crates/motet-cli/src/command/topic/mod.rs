//! Topics: publish, read, and look at them.

mod bw;
mod delay;
mod hz;
mod info;
mod list;
#[path = "pub.rs"]
pub(crate) mod publish;
pub(crate) mod sub;
mod survey;
mod window;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What can be done with topics.
#[derive(Debug, Subcommand)]
pub(crate) enum Topic {
    /// Same as: motet pub
    Pub(publish::PubArgs),
    /// Same as: motet sub
    #[command(visible_alias = "echo")]
    Sub(sub::SubArgs),
    /// The topics that are published or read
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// Who publishes and who reads a topic
    Info(info::InfoArgs),
    /// How many messages arrive in a second
    Hz(window::WindowArgs),
    /// How many bytes arrive in a second
    Bw(window::WindowArgs),
    /// How old messages are when they arrive
    Delay(window::WindowArgs),
}

pub(crate) async fn run(verb: Topic, context: &Context) -> Result<Exit, Failure> {
    match verb {
        Topic::Pub(args) => publish::run(args, context).await,
        Topic::Sub(args) => sub::run(args, context).await,
        Topic::List(args) => list::run(args, context).await,
        Topic::Info(args) => info::run(args, context).await,
        Topic::Hz(args) => hz::run(args, context).await,
        Topic::Bw(args) => bw::run(args, context).await,
        Topic::Delay(args) => delay::run(args, context).await,
    }
}
