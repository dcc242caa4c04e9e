//! `motet completion SHELL`.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};

use crate::args::Cli;
use crate::context::Context;
use crate::exit::{Exit, Failure};

/// What `motet completion` is told.
#[derive(Args, Debug)]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Supported,
}

/// Shells that scripts are made for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Supported {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(args: &CompletionArgs, context: &Context) -> Result<Exit, Failure> {
    let shell = match args.shell {
        Supported::Bash => Shell::Bash,
        Supported::Zsh => Shell::Zsh,
        Supported::Fish => Shell::Fish,
    };
    // Into memory first: the generator panics when a pipe is closed.
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "motet", &mut script);
    context.out.raw(&script)?;
    Ok(Exit::Done)
}
