//! The processes that `cargo xtask lab` runs between network namespaces: a member of a realm that
//! publishes and checks what it reads, a witness that sees every frame, a stranger who means no good,
//! and servers, brokers, name servers and their clients.
//!
//! Each prints one line per fact, `WORD key=value …`, and takes one command per line on standard
//! input; it ends when that ends.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "it measures in real time")]

mod content;
mod crowd;
mod frames;
mod member;
mod services;
mod stranger;
mod witness;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "motet-lab", about = "What `cargo xtask lab` runs in each namespace")]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// An endpoint that publishes, reads and checks.
    Member(Box<member::Member>),
    /// Many endpoints.
    Crowd(crowd::Crowd),
    /// Sees every frame of its namespace (needs CAP_NET_RAW).
    Witness(witness::Witness),
    /// Serves, stands before servers, keeps names or calls.
    Services(Box<services::Services>),
    /// Sends hostile datagrams and counts what comes back.
    Stranger(stranger::Stranger),
}

fn main() -> ExitCode {
    let started = Instant::now();
    let outcome = match Arguments::parse().role {
        Role::Member(member) => member.run(started),
        Role::Crowd(crowd) => crowd.run(),
        Role::Witness(witness) => witness.run(),
        Role::Services(services) => services.run(),
        Role::Stranger(stranger) => stranger.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("motet-lab: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What ends a role early.
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Prints one line at once: the lab waits for it.
fn say(line: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    // Nobody listens any more: standard input ends, too, and with it this process.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
