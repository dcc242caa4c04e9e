//! `svc-broker`: stands before the servers: queues, and gives work to the one unused for longest.
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
    run(broker("svc-broker", Flags::parse().broker))
}
