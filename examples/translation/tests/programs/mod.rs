//! The programs of this family, as tests start them.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part; it is a test")]

use crate::process::{Process, Ran, World};

pub(crate) const SERVER: &str = env!("CARGO_BIN_EXE_trans-server");
pub(crate) const CLIENT: &str = env!("CARGO_BIN_EXE_trans-client");
pub(crate) const POOL: &str = env!("CARGO_BIN_EXE_pool-client");
pub(crate) const BROKER: &str = env!("CARGO_BIN_EXE_svc-broker");
pub(crate) const CLONE: &str = env!("CARGO_BIN_EXE_clone-broker");
pub(crate) const DISCO: &str = env!("CARGO_BIN_EXE_disco-client");

/// Deaths are noticed after a second: tests wait for them.
const QUICK: [&str; 3] = ["--host-only", "--timeout", "1000"];

pub(crate) fn start(world: &World, program: &str, args: &[&str]) -> Process {
    world.start(program, &[&QUICK[..], args].concat())
}

pub(crate) fn server(world: &World, name: &str, args: &[&str]) -> Process {
    let mut server = start(world, SERVER, &[&["--name", name, "--sign"][..], args].concat());
    server.expect("serving translate");
    server
}

pub(crate) fn broker(world: &World, name: &str, args: &[&str]) -> Process {
    let quick = ["--name", name, "--heartbeat", "200"];
    let mut broker = start(world, BROKER, &[&quick[..], args].concat());
    broker.expect("broker ");
    broker
}

/// Asks once for hello in French.
pub(crate) fn ask(world: &World, args: &[&str]) -> Ran {
    let question = ["hello", "eng", "fra"];
    world.run(CLIENT, &[&question[..], &QUICK, args].concat())
}

/// Asks again and again, until it is dropped.
pub(crate) fn asker(world: &World, args: &[&str]) -> Process {
    let question = ["hello", "eng", "esp", "--repeat", "1000000", "--interval", "10"];
    start(world, CLIENT, &[&question[..], args].concat())
}
