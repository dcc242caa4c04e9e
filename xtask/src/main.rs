//! Our own tools, run as `cargo xtask COMMAND`: what CI runs, and the checks that no compiler makes.
#![forbid(unsafe_code)]

mod ci;
mod counts;
mod deny;
mod fuzz;
mod lab;
mod lines;
mod no_std;
mod planted;
mod repo;
mod source;
mod spec;
mod tidy;

use std::process::ExitCode;

use repo::Repo;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let repo = Repo::of_this_build();
    let outcome = match arguments.as_slice() {
        ["ci", rest @ ..] => ci::run(&repo, rest),
        ["tidy"] => tidy::run(&repo),
        ["spec"] => spec::run(&repo),
        ["lines", rest @ ..] => lines::run(&repo, rest),
        ["counts", rest @ ..] => counts::run(&repo, rest),
        ["planted", rest @ ..] => planted::run(&repo, rest),
        ["fuzz", rest @ ..] => fuzz::run(&repo, rest),
        ["lab", rest @ ..] => lab::run(&repo, rest),
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// What a command returns: nothing, or the line that says what to mend.
type Outcome = Result<(), String>;

/// Prints faults and sums them up; none is a success.
fn judge(what: &str, faults: &[String]) -> Outcome {
    for fault in faults {
        eprintln!("error: {fault}");
    }
    match faults.len() {
        0 => Ok(()),
        1 => Err(format!("{what}: 1 fault")),
        many => Err(format!("{what}: {many} faults")),
    }
}

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci [STEP]                          all that CI does, in its order, or one step of it
  tidy                               imports, manifests, forbidden words, dead files, names
  spec                               rule -> code -> test, for every rule of docs/spec
  lines [--require ID,ID]            acceptance line -> test, for docs/acceptance.md
  counts [--write]                   instructions on the hot paths, against those on file
  planted [NAME] [--max-seeds N]     is every planted bug found?
  fuzz replay                        run every file of the fuzz corpora once
  fuzz run TARGET [--minutes N]      search for new inputs with libfuzzer
  lab [SCENARIO..] [--quick] [-o json]
                                     real packets between network namespaces (root)";
