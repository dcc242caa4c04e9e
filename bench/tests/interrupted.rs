//! An interrupted run leaves nothing behind: no process, no directory, no network namespace.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The longest wait for what must happen.
const LIMIT: Duration = Duration::from_secs(60);

/// A run of the limits alone, which need nothing but this workspace, up to its first figure.
fn running(directory: &Path) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_motet-bench"))
        .args(["compare", "--peers", "limits", "--cases", "8b,64b,1kib", "--runs", "50"])
        .args(["--out", "/dev/null"])
        .env("TMPDIR", directory)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let figure = lines.map_while(Result::ok).find(|line| line.contains("round 1"));
    assert!(figure.is_some(), "the run ended without a figure");
    child
}

/// All processes with this text in their command line.
fn processes(text: &Path) -> BTreeSet<PathBuf> {
    let text = text.to_str().unwrap();
    let all = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    };
    all.filter(named).collect()
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LIMIT, "{what}");
        std::thread::yield_now();
    }
}

/// Ends a run by `signal` while its processes run; what must hold afterwards.
fn interrupted_by(signal: Signal, tidy: bool) {
    let directory = tempfile::tempdir().unwrap();
    let mut child = running(directory.path());
    wait_for("no process was started", || !processes(directory.path()).is_empty());
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
    child.wait().unwrap();
    wait_for("processes are left", || processes(directory.path()).is_empty());
    if tidy {
        let left = std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(left, 0, "directories are left");
    }
}

#[test]
fn ctrl_c_leaves_no_process_and_no_directory() {
    interrupted_by(Signal::SIGINT, true);
}

#[test]
fn sigterm_leaves_no_process_and_no_directory() {
    interrupted_by(Signal::SIGTERM, true);
}

#[test]
fn even_sigkill_leaves_no_process() {
    interrupted_by(Signal::SIGKILL, false);
}

#[test]
fn an_unknown_peer_is_answered_with_the_known_names() {
    let out = Command::new(env!("CARGO_BIN_EXE_motet-bench"))
        .args(["compare", "--peers", "frob"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success() && said.contains("frob") && said.contains("zenoh"), "{said}");
}
