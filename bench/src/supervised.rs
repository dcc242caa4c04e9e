//! The program as the first link of a chain of `exec`: what it starts dies with its parent.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::Outcome;

/// Becomes `command`, which is killed when the process that started this one ends.
pub(crate) fn run(command: &[String]) -> Outcome {
    let parent = nix::unistd::getppid();
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    if nix::unistd::getppid() != parent {
        return Err("the parent has ended".into());
    }
    let (program, args) = command.split_first().ok_or("no command")?;
    let error = Command::new(program).args(args).exec();
    Err(format!("{program}: {error}").into())
}

/// Keeps its network namespace alive until standard input ends.
pub(crate) fn hold() -> Outcome {
    println!(r#"{{"event":"ready"}}"#);
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    Ok(())
}
