//! Services: call them, offer them, see who does.

pub(crate) mod call;
mod child;
mod control;
mod instances;
mod outside;
pub(crate) mod serve;
mod watch;

use clap::Subcommand;

use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What can be done with services.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Call a service
    Call(call::CallArgs),
    /// Offer a service
    Serve(serve::ServeArgs),
    /// Who offers what
    #[command(visible_alias = "ls")]
    List(instances::ListArgs),
    /// Who offers a service, and all that they say of themselves
    Info(instances::InfoArgs),
    /// What the instances of a service have counted
    Stats(instances::InfoArgs),
    /// How long the instances of a service take to answer
    Ping(instances::InfoArgs),
    /// Wait until a service is offered
    Wait(instances::WaitArgs),
    /// Tell each change of services and registrations, a line each
    Watch(watch::WatchArgs),
    /// What a service requires, and whether that is there
    Deps(instances::InfoArgs),
    /// Register a service that is no endpoint, with checks, as long as this runs
    Register(outside::RegisterArgs),
    /// Renew a registration of this endpoint as it stands: needs the --key that it was made with
    Renew(outside::OutsideArgs),
    /// End a registration of this endpoint: needs the --key that it was made with
    Unregister(outside::OutsideArgs),
    /// Say how a registered instance is, for its check of kind ttl
    Report(outside::ReportArgs),
    /// Take instances out, or back in: those of `motet serve`, of programs that take orders, registered ones
    Maint(control::MaintArgs),
    /// Let instances of `motet serve` finish what they have, and end
    Drain(control::DrainArgs),
}

pub(crate) async fn run(verb: Verb, context: &Context) -> Result<Exit, Failure> {
    match verb {
        Verb::Call(args) => call::run(args, context).await,
        Verb::Serve(args) => serve::run(args, context).await,
        Verb::List(args) => instances::list(args, context).await,
        Verb::Info(args) => instances::info(args, context).await,
        Verb::Stats(args) => instances::stats(args, context).await,
        Verb::Ping(args) => instances::ping(args, context).await,
        Verb::Wait(args) => instances::wait(args, context).await,
        Verb::Watch(args) => watch::run(args, context).await,
        Verb::Deps(args) => instances::deps(args, context).await,
        Verb::Register(args) => outside::register(args, context).await,
        Verb::Renew(args) => outside::renew(args, context).await,
        Verb::Unregister(args) => outside::unregister(args, context).await,
        Verb::Report(args) => outside::report(args, context).await,
        Verb::Maint(args) => control::maint(args, context).await,
        Verb::Drain(args) => control::drain(args, context).await,
    }
}
