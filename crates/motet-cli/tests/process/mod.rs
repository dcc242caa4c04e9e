//! Programs under test: real processes, waited for line by line.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part; it is a test")]

use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

/// A state directory of its own; programs started from it meet nobody else's.
pub(crate) struct World {
    pub(crate) state: PathBuf,
}

impl World {
    pub(crate) fn new() -> Self {
        let chance = RandomState::new().hash_one(std::process::id());
        let state = std::env::temp_dir().join(format!("motet-test-{chance:016x}"));
        Self { state }
    }

    /// Describes a program; nothing of the tester's own settings reaches it.
    pub(crate) fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("MOTET_") {
                command.env_remove(variable);
            }
        }
        command.env("MOTET_STATE", &self.state).args(args);
        command
    }

    /// Starts a program; its standard input is empty.
    pub(crate) fn start(&self, program: &str, args: &[&str]) -> Process {
        Process::start(self.command(program, args))
    }

    /// Runs a program to its end.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Ran {
        self.run_with(program, args, b"")
    }

    /// Runs a program to its end, with this on its standard input.
    pub(crate) fn run_with(&self, program: &str, args: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(program, args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // A program that does not read its input closes it.
        let feeding = thread::spawn(move || drop(stdin.write_all(&input)));
        let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let reading = thread::spawn(move || {
            let mut text = Vec::new();
            err.read_to_end(&mut text).unwrap();
            text
        });
        let mut stdout = Vec::new();
        out.read_to_end(&mut stdout).unwrap();
        let status = child.wait().unwrap();
        feeding.join().unwrap();
        let stderr = String::from_utf8_lossy(&reading.join().unwrap()).into_owned();
        Ran { status, stdout: String::from_utf8_lossy(&stdout).into_owned(), stderr }
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.state.join(name)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.state);
    }
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{self:#?}");
        self
    }

    /// One line on stderr: what happened, and what to do.
    #[track_caller]
    pub(crate) fn expect_error(self, code: i32, parts: &[&str]) -> Self {
        let ran = self.expect(code);
        let lines: Vec<&str> = ran.stderr.lines().filter(|l| l.starts_with("error[M0")).collect();
        assert_eq!((lines.len(), ran.stderr.lines().count()), (1, 1), "{ran:#?}");
        for part in parts {
            assert!(lines[0].contains(part), "{part:?} is missing: {ran:#?}");
        }
        ran
    }
}

/// A program that runs. It is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    out: Receiver<String>,
    err: Receiver<String>,
    pub(crate) told: Vec<String>,
}

impl Process {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let out = lines(child.stdout.take().unwrap());
        let err = lines(child.stderr.take().unwrap());
        Self { child, out, err, told: Vec::new() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line on stdout that begins so; the line.
    #[track_caller]
    pub(crate) fn expect(&mut self, beginning: &str) -> String {
        let line = find(&self.out, PATIENCE, |line| line.starts_with(beginning), &mut self.told);
        line.unwrap_or_else(|| {
            panic!("no line {beginning:?}; it said {:#?} and {:#?}", self.told, self.remarks())
        })
    }

    /// Waits for a line on stderr that has this in it; the line.
    #[track_caller]
    pub(crate) fn expect_remark(&self, part: &str) -> String {
        let mut told = Vec::new();
        let line = find(&self.err, PATIENCE, |line| line.contains(part), &mut told);
        line.unwrap_or_else(|| panic!("no remark {part:?}; it said {told:#?} and {:#?}", self.told))
    }

    /// Whether a line on stdout begins so within `limit`.
    pub(crate) fn says(&mut self, beginning: &str, limit: Duration) -> bool {
        find(&self.out, limit, |line| line.starts_with(beginning), &mut self.told).is_some()
    }

    /// Everything it says on stdout until it ends, and how it ends.
    #[track_caller]
    pub(crate) fn end(&mut self) -> (ExitStatus, Vec<String>) {
        if find(&self.out, PATIENCE, |_| false, &mut self.told).is_none() {
            let deadline = Instant::now() + PATIENCE;
            while Instant::now() < deadline {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return (status, std::mem::take(&mut self.told));
                }
                thread::yield_now();
            }
        }
        panic!("it does not end; it said {:#?}", self.told);
    }

    /// What it has said on stderr.
    pub(crate) fn remarks(&self) -> Vec<String> {
        self.err.try_iter().collect()
    }

    /// Sends a signal: `INT`, `TERM`, `KILL`, `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let done = kill.args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(done.unwrap().success());
    }

    /// Kills it: no goodbye.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn find(
    lines: &Receiver<String>,
    limit: Duration,
    wanted: impl Fn(&str) -> bool,
    told: &mut Vec<String>,
) -> Option<String> {
    let deadline = Instant::now() + limit;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                told.push(line.clone());
                if wanted(&line) {
                    return Some(line);
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// `a` with an argument in front.
pub(crate) fn with<'a>(first: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    std::iter::once(first).chain(rest.iter().copied()).collect()
}

/// The mode of a file.
pub(crate) fn set_mode(path: impl AsRef<OsStr>, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let path = Path::new(path.as_ref());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// For a machine with much else to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
