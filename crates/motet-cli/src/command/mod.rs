//! The verbs. Nouns have folders, short verbs for daily use are the same files.

mod bench;
mod bootstrap;
mod broker;
mod completion;
pub(crate) mod demo;
mod doctor;
mod endpoint;
mod explain;
mod external;
mod nameserver;
mod realm;
mod registry;
mod role;
mod service;
mod topic;
mod version;

use std::ffi::OsString;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// A verb and what belongs to it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish a message, or many
    Pub(topic::publish::PubArgs),
    /// Read topics
    #[command(visible_alias = "echo")]
    Sub(topic::sub::SubArgs),
    /// Call a service, wherever it is
    #[command(visible_alias = "req")]
    Call(service::call::CallArgs),
    /// Offer a service: a program, a text, or an echo
    #[command(visible_alias = "reply")]
    Serve(service::serve::ServeArgs),
    /// Services: who offers what, how it stands
    #[command(subcommand)]
    Service(service::Verb),
    /// Topics: who publishes, who reads, how much
    #[command(subcommand)]
    Topic(topic::Topic),
    /// Endpoints: who is here
    #[command(subcommand, visible_alias = "node")]
    Endpoint(endpoint::Verb),
    /// Same as: endpoint list
    #[command(hide = true)]
    Members(endpoint::list::ListArgs),
    /// Be a contact for others in the foreground, where multicast does not reach
    Bootstrap(bootstrap::BootstrapArgs),
    /// Stand before the instances of services: queue, spread and requeue their work
    Broker(broker::BrokerArgs),
    /// Keep who has which name, in sync with all other name servers
    Nameserver,
    /// Show which services are up, and tell those who require them
    Registry(registry::RegistryArgs),
    /// Realms of this user: make, invite to, join
    #[command(subcommand)]
    Realm(realm::Verb),
    /// Measure how much goes through and how long it takes, here and on your network
    #[command(subcommand)]
    Bench(bench::Verb),
    /// Say why B gets A's data on TOPIC, or why not, and what to do
    Explain(explain::ExplainArgs),
    /// Look for what keeps endpoints apart, and say what to do
    Doctor(doctor::DoctorArgs),
    /// See discovery, encryption, repair and recovery at work, in 20 seconds
    Demo(demo::DemoArgs),
    /// One endpoint of the demonstration
    #[command(hide = true)]
    DemoEndpoint(demo::endpoint::EndpointArgs),
    /// A script that completes commands in a shell
    Completion(completion::CompletionArgs),
    /// The version
    Version,
    /// motet-NAME, beside this program or on the path
    #[command(external_subcommand)]
    External(Vec<OsString>),
}

impl Command {
    /// Whether the verb and its endpoint share one thread: what is read is not handed to another.
    pub(crate) fn is_measured(&self) -> bool {
        matches!(self, Self::Bench(_))
    }

    /// Whether it is a server that ends by itself when it is interrupted: politely, and with 0.
    pub(crate) fn is_role(&self) -> bool {
        matches!(
            self,
            Self::Serve(_)
                | Self::Broker(_)
                | Self::Nameserver
                | Self::Registry(_)
                | Self::Service(service::Verb::Register(_))
        )
    }
}

pub(crate) async fn run(command: Command, context: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Pub(args) => topic::publish::run(args, context).await,
        Command::Sub(args) => topic::sub::run(args, context).await,
        Command::Call(args) => service::call::run(args, context).await,
        Command::Serve(args) => service::serve::run(args, context).await,
        Command::Service(verb) => service::run(verb, context).await,
        Command::Topic(verb) => topic::run(verb, context).await,
        Command::Endpoint(verb) => endpoint::run(verb, context).await,
        Command::Members(args) => endpoint::list::run(args, context).await,
        Command::Bootstrap(args) => bootstrap::run(args, context).await,
        Command::Broker(args) => broker::run(args, context).await,
        Command::Nameserver => nameserver::run(context).await,
        Command::Registry(args) => registry::run(args, context).await,
        Command::Realm(verb) => realm::run(verb, context),
        Command::Bench(verb) => bench::run(verb, context).await,
        Command::Explain(args) => explain::run(args, context).await,
        Command::Doctor(args) => doctor::run(args, context).await,
        Command::Demo(args) => demo::run(args, context).await,
        Command::DemoEndpoint(args) => demo::endpoint::run(args, context).await,
        Command::Completion(args) => completion::run(&args, context),
        Command::Version => version::run(context),
        Command::External(words) => external::run(&words),
    }
}
