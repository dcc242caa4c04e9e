//! `disco-broker`: a broker that answers whether a service exists.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use motet_example_translation::broker::{BrokerFlags, broker};
use motet_example_translation::run;

/// A broker; clients and servers need not know that it is there.
#[derive(Parser)]
#[command(version)]
struct Flags {
    #[command(flatten)]
    broker: BrokerFlags,
}

fn main() -> ExitCode {
    run(broker("disco-broker", Flags::parse().broker))
}
