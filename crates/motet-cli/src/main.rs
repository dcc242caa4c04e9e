//! The `motet` command: every verb is a thin call of the library.
//!
//! `args` says what can be typed, `command` has one file per verb, `context` opens the endpoint a
//! verb works with, `output` prints, `exit` knows the exit codes. Data goes to stdout, everything
//! else to stderr. The command reads the environment; the library does not.
#![forbid(unsafe_code)]

mod args;
mod base64;
mod command;
mod context;
mod environment;
mod exit;
mod interrupt;
mod message;
mod nearest;
mod output;
mod quantity;
mod when;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return exit::of_arguments(&error),
    };
    environment::report_unknown(cli.global.quiet);
    let mut runtime = if cli.command.is_measured() {
        tokio::runtime::Builder::new_current_thread()
    } else {
        // One worker drives the endpoint; the verb runs on the main thread, so that a terminal or a
        // pipe that blocks its output does not make the endpoint deaf.
        tokio::runtime::Builder::new_multi_thread()
    };
    let runtime = match runtime.worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let what =
                format!("the runtime does not start; {error}; check the limits of processes");
            return Failure::new(Exit::Failed, "M0001", what).report();
        }
    };
    let result = runtime.block_on(run(cli));
    // A thread that still waits for stdin does not hold up the end.
    runtime.shutdown_background();
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}

async fn run(cli: Cli) -> Result<Exit, Failure> {
    let context = Context::new(cli.global)?;
    let mut interrupt = Interrupt::listen();
    let role = cli.command.is_role();
    let verb = command::run(cli.command, &context);
    let done = tokio::select! {
        done = verb => done,
        () = interrupt.caught(), if !role => Err(Failure::quiet(Exit::Interrupted)),
        failure = context.name_held() => Err(failure),
    };
    context.close(done.is_ok()).await;
    done
}
