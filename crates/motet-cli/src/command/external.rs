//! `motet NAME` for a NAME that is no verb: the program `motet-NAME`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use clap::CommandFactory;

use crate::args::Cli;
use crate::exit::{Exit, Failure};
use crate::nearest::nearest;

/// Becomes `motet-NAME`; returns only if that is not possible.
pub(crate) fn run(words: &[OsString]) -> Result<Exit, Failure> {
    let Some((name, rest)) = words.split_first() else {
        return Err(Failure::usage("a verb is missing; see: motet --help"));
    };
    let name = name.to_string_lossy();
    let program = format!("motet-{name}");
    let Some(path) = find(&program) else {
        return Err(Failure::usage(missing(&name, &program)));
    };
    let error = std::process::Command::new(&path).args(rest).exec();
    let what = format!("{} does not start; {error}; check the file", path.display());
    Err(Failure::new(Exit::Failed, "M0008", what))
}

/// Beside this program, else on the path.
fn find(program: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok();
    let beside = own.as_ref().and_then(|own| own.parent()).map(|folder| folder.join(program));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(program));
    beside.into_iter().chain(on_path).find(|candidate| candidate.is_file())
}

fn missing(name: &str, program: &str) -> String {
    let command = Cli::command();
    let verbs: Vec<&str> = command
        .get_subcommands()
        .flat_map(|verb| std::iter::once(verb.get_name()).chain(verb.get_visible_aliases()))
        .collect();
    let near = nearest(name, verbs.iter().copied());
    let near = near.map(|near| format!("did you mean motet {near}? Else "));
    let near = near.unwrap_or_default();
    format!(
        "there is no verb {name:?}, and no program {program} beside motet or on the path; \
         {near}install {program}, or see: motet --help"
    )
}
