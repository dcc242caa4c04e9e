//! `motet service register | renew | unregister | report`: services that are no endpoints, at registries.

use std::time::Duration;

use clap::{Args, ValueEnum};
use motet::role::{CheckSpec, Health, Outside, Probe, Registries, parse_probe};

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::quantity::duration;

/// What `motet service register` is told.
#[derive(Args, Debug)]
pub(crate) struct RegisterArgs {
    /// The service
    service: String,
    /// Which instance of it; else the name of this endpoint
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    /// Where it can be reached, in words of its own
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    address: String,
    /// How long it stands without renewal
    #[arg(long, value_name = "DUR", default_value = "10s", value_parser = duration)]
    ttl: Duration,
    #[command(flatten)]
    checks: CheckArgs,
    /// A service that it cannot do without; SERVICE? is one that it can
    #[arg(long, value_name = "SERVICE")]
    requires: Vec<String>,
    /// Register or renew and end; with --key, so that the next one is the same owner
    #[arg(long)]
    once: bool,
}

/// What registries check.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// ttl, tcp://HOST:PORT, http://HOST:PORT/PATH or command:NAME; may be given again
    #[arg(long, value_name = "CHECK", value_parser = parse_probe)]
    check: Vec<Probe>,
    /// How often the checks are made
    #[arg(long, value_name = "DUR", default_value = "5s", value_parser = duration)]
    interval: Duration,
    /// After this long a check has failed
    #[arg(long, value_name = "DUR", default_value = "2s", value_parser = duration)]
    check_timeout: Duration,
    /// So many better results in a row are believed
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    rise: u8,
    /// So many worse results in a row are believed
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    fall: u8,
}

impl CheckArgs {
    pub(crate) fn specs(self) -> impl Iterator<Item = CheckSpec> {
        let Self { check, interval, check_timeout: timeout, rise, fall } = self;
        check.into_iter().map(move |probe| CheckSpec { probe, interval, timeout, rise, fall })
    }
}

/// What verbs about one registered instance are told.
#[derive(Args, Debug)]
pub(crate) struct OutsideArgs {
    /// The service
    service: String,
    /// Which instance of it; else the name of this endpoint
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
}

/// What `motet service report` is told.
#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// The service
    service: String,
    /// How it is
    health: Word,
    /// Why
    #[arg(default_value = "")]
    text: String,
    /// Which instance of it; else the name of this endpoint
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Word {
    Passing,
    Warning,
    Critical,
}

pub(crate) async fn register(args: RegisterArgs, context: &Context) -> Result<Exit, Failure> {
    let mut interrupt = Interrupt::listen();
    let endpoint = context.join().await?;
    let id = args.id.unwrap_or_else(|| endpoint.name().to_owned());
    let mut what = Outside::new(&args.service, &id, &args.address).ttl(args.ttl);
    for check in args.checks.specs() {
        what = what.check(&check);
    }
    for service in &args.requires {
        what = what.requires(service);
    }
    let registries = Registries::new(&endpoint)?;
    if args.once {
        let n = registries.register(&what).await?;
        context
            .out
            .line(format!("{}/{id} stands for {:?} at {n} registries", args.service, args.ttl))?;
        return Ok(Exit::Done);
    }
    let held = registries.hold(what).await?;
    context.out.line(format!("{}/{id} is registered", args.service))?;
    interrupt.caught().await;
    held.end().await?;
    Ok(Exit::Done)
}

pub(crate) async fn renew(args: OutsideArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.join().await?;
    let id = args.id.unwrap_or_else(|| endpoint.name().to_owned());
    let n = Registries::new(&endpoint)?.renew(&args.service, &id).await?;
    context.out.remark(format!("{}/{id} is renewed at {n} registries", args.service));
    Ok(Exit::Done)
}

pub(crate) async fn unregister(args: OutsideArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.join().await?;
    let id = args.id.unwrap_or_else(|| endpoint.name().to_owned());
    Registries::new(&endpoint)?.remove(&args.service, &id).await?;
    Ok(Exit::Done)
}

pub(crate) async fn report(args: ReportArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.join().await?;
    let id = args.id.unwrap_or_else(|| endpoint.name().to_owned());
    let health = match args.health {
        Word::Passing => Health::Passing,
        Word::Warning => Health::Warning,
        Word::Critical => Health::Critical,
    };
    Registries::new(&endpoint)?.report(&args.service, &id, health, &args.text).await?;
    Ok(Exit::Done)
}
