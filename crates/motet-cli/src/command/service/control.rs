//! `motet service maint` and `drain`: orders to endpoints that take them, as `motet serve` does.

use std::time::Duration;

use clap::{Args, ValueEnum};
use motet::Endpoint;
use motet::service::{Instance, Order};

use super::instances;
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What `motet service maint` is told.
#[derive(Args, Debug)]
pub(crate) struct MaintArgs {
    /// Out or back in
    switch: Switch,
    /// The service
    service: String,
    /// Only the instance at this endpoint: its name or id
    #[arg(long, value_name = "ENDPOINT")]
    at: Option<String>,
    /// Only this registered instance, by its name: told to the registries
    #[arg(long, value_name = "NAME", conflicts_with = "at")]
    id: Option<String>,
    /// Why, for everybody to see
    #[arg(long, default_value = "")]
    reason: String,
}

/// What `motet service drain` is told.
#[derive(Args, Debug)]
pub(crate) struct DrainArgs {
    /// The service
    service: String,
    /// Only the instance at this endpoint: its name or id
    #[arg(long, value_name = "ENDPOINT")]
    at: Option<String>,
    /// Why
    #[arg(long, default_value = "")]
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

pub(crate) async fn maint(args: MaintArgs, context: &Context) -> Result<Exit, Failure> {
    if let Some(id) = &args.id {
        let endpoint = context.join().await?;
        let why = (args.switch == Switch::On).then_some(args.reason.as_str());
        motet::role::Registries::new(&endpoint)?.maintain(&args.service, id, why).await?;
        return Ok(Exit::Done);
    }
    let order = match args.switch {
        Switch::On => Order::Rest(args.reason),
        Switch::Off => Order::Return,
    };
    send(&order, &args.service, args.at.as_deref(), context).await
}

pub(crate) async fn drain(args: DrainArgs, context: &Context) -> Result<Exit, Failure> {
    send(&Order::Drain(args.reason), &args.service, args.at.as_deref(), context).await
}

async fn send(
    order: &Order,
    service: &str,
    at: Option<&str>,
    context: &Context,
) -> Result<Exit, Failure> {
    let endpoint: Endpoint = context.join().await?;
    let found = instances::find(&endpoint, Some(service), None).await?;
    let meant =
        |it: &&Instance| at.is_none_or(|at| it.name() == at || it.key().id.to_string() == at);
    let meant: Vec<&Instance> = found.iter().filter(meant).collect();
    if meant.is_empty() {
        return Err(instances::nobody(service));
    }
    let order = order.encode(service);
    for instance in meant {
        let id = instance.key().id.to_string();
        endpoint.send(&id, &order, context.global.timeout.max(Duration::from_millis(100))).await?;
        context.out.remark(format!("{} {id} was told", instance.name()));
    }
    Ok(Exit::Done)
}
