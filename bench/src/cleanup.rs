//! Nothing is left behind: process groups and directories in use, removed on a signal.
//!
//! What a signal cannot reach is covered twice: every child dies with its parent
//! (`PR_SET_PDEATHSIG`), and a network namespace has no name and ends with its last process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::Outcome;

#[derive(Debug)]
struct Held {
    groups: BTreeSet<i32>,
    directories: BTreeSet<PathBuf>,
}

static HELD: Mutex<Held> =
    Mutex::new(Held { groups: BTreeSet::new(), directories: BTreeSet::new() });

fn held() -> MutexGuard<'static, Held> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on an interrupt ends the program and all that it has started.
pub(crate) fn on_signals() -> Outcome {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            let held = held(); // kept: no child is registered any more
            for group in &held.groups {
                let _ = killpg(Pid::from_raw(*group), Signal::SIGKILL);
            }
            for directory in &held.directories {
                let _ = std::fs::remove_dir_all(directory);
            }
            eprintln!("\nmotet-bench: interrupted; all processes are stopped");
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// A process group that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Group(i32);

impl Group {
    /// Registers the group that the process leads.
    pub(crate) fn of(pid: u32) -> Self {
        held().groups.insert(pid as i32);
        Self(pid as i32)
    }

    /// Kills all of it.
    pub(crate) fn kill(&self) {
        let _ = killpg(Pid::from_raw(self.0), Signal::SIGKILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        held().groups.remove(&self.0);
    }
}

/// A directory that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Directory(tempfile::TempDir);

impl Directory {
    /// Makes one.
    pub(crate) fn new() -> std::io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("motet-bench-").tempdir()?;
        held().directories.insert(directory.path().to_owned());
        Ok(Self(directory))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        held().directories.remove(self.0.path());
    }
}
