//! `motet-bench`: motet and the systems people would pick instead, side by side on one machine.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml -- compare` prints one table of ratios and
//! writes `bench/results/`. What is measured, how, and with which settings: `bench/README.md`.
#![forbid(unsafe_code)]

mod args;
mod binaries;
mod case;
mod cell;
mod cleanup;
mod install;
mod machine;
mod namespaces;
mod process;
mod report;
mod results;
mod row;
mod run;
mod server;
mod stats;
mod supervised;
mod target;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Action, Args};

/// Any error that ends the program.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let result = match Args::parse().action {
        Action::Compare(compare) => compare_all(&compare),
        Action::Install => install::install(),
        Action::Render { out } => report::render(&out),
        Action::Supervised { command } => supervised::run(&command),
        Action::Hold => supervised::hold(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("motet-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare_all(compare: &args::Compare) -> Outcome {
    cleanup::on_signals()?;
    let results = run::run(compare)?;
    report::write(&results, &compare.out)?;
    print!("{}", report::table::ratios(&results));
    Ok(())
}
