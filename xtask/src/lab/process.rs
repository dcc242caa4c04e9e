//! Child processes that tell facts, one line each, and are waited for by them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::Lab;
use super::net::{Host, within};
use crate::Outcome;

/// A running `motet-lab`. Dropped, it is killed.
pub(super) struct Process {
    name: String,
    child: Child,
    commands: Option<ChildStdin>,
    facts: mpsc::Receiver<Fact>,
    /// Told, and not yet asked for.
    told: Vec<Fact>,
    /// When it was started.
    pub(super) started: Instant,
}

/// One line: a word, and values by name.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    /// When it was told.
    pub(super) at: Instant,
    line: String,
}

impl Lab {
    /// Starts a member in `host`. Arguments are separated by spaces.
    pub(super) fn member(&self, host: &Host, name: &str, rest: &str) -> Result<Process, String> {
        let state = self.directory.join("state");
        let arguments = format!("member --name {name} --state {} {rest}", state.display());
        self.start(&host.namespace, name, &arguments)
    }

    /// Starts the program in a namespace.
    pub(super) fn start(
        &self,
        namespace: &str,
        name: &str,
        arguments: &str,
    ) -> Result<Process, String> {
        let program = self.program.to_string_lossy().into_owned();
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        Process::start(name, within(namespace, &program, &arguments))
    }
}

impl Process {
    fn start(name: &str, mut command: Command) -> Result<Self, String> {
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{name} did not start: {error}"))?;
        let commands = child.stdin.take();
        let output = child.stdout.take().ok_or("no pipe")?;
        let (teller, facts) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if teller.send(Fact { at: Instant::now(), line }).is_err() {
                    return;
                }
            }
        });
        Ok(Self { name: name.into(), child, commands, facts, told: Vec::new(), started })
    }

    /// The next fact that begins with these words, waiting for it if need be; earlier facts of
    /// other kinds are kept.
    pub(super) fn wait(&mut self, words: &str, limit: Duration) -> Result<Fact, String> {
        let wanted = |fact: &Fact| {
            let rest = fact.line.strip_prefix(words);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        if let Some(at) = self.told.iter().position(wanted) {
            return Ok(self.told.remove(at));
        }
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.facts.recv_timeout(left) {
                Ok(fact) if wanted(&fact) => return Ok(fact),
                Ok(fact) => self.told.push(fact),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let name = &self.name;
                    return Err(format!("{name} did not say `{words}` within {limit:?}"));
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(format!("{} ended before it said `{words}`", self.name));
                }
            }
        }
    }

    /// Forgets what was told and not asked for.
    pub(super) fn forget(&mut self) {
        self.told.clear();
        while self.facts.try_recv().is_ok() {}
    }

    /// Sends one command.
    pub(super) fn tell(&mut self, command: &str) -> Outcome {
        let commands = self.commands.as_mut().ok_or("it was told to end")?;
        writeln!(commands, "{command}").map_err(|error| format!("{}: {error}", self.name))
    }

    /// Asks a member or witness for its report.
    pub(super) fn report(&mut self) -> Result<Fact, String> {
        self.tell("report")?;
        self.wait("report", Duration::from_secs(20))
    }

    /// What a member's last report told of a peer.
    pub(super) fn peer(&mut self, name: &str) -> Result<Fact, String> {
        self.told.retain(|fact| !fact.line.starts_with("peer "));
        self.report()?;
        self.wait(&format!("peer name={name}"), Duration::ZERO)
    }

    /// How a member's last report told of a reader that it writes to.
    pub(super) fn reader(&mut self, name: &str) -> Result<Fact, String> {
        self.told.retain(|fact| !fact.line.starts_with("reader "));
        self.report()?;
        self.wait(&format!("reader name={name}"), Duration::ZERO)
    }

    /// `kill -STOP` and `kill -CONT`.
    pub(super) fn signal(&self, name: &str) -> Outcome {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("kill -{name} {pid}: {other:?}")),
        }
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }

    /// Ends its input, and waits for its end.
    pub(super) fn close(&mut self) -> Outcome {
        self.commands = None;
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("{} failed ({status})", self.name)) }
    }

    /// Processor time used so far, in ticks of `USER_HZ`.
    pub(super) fn cpu_ticks(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        // The name, in parentheses, may have spaces in it; user and system time are fields 14 and 15.
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
        let ticks: Option<u64> = fields.map(|field| field.parse::<u64>().ok()).sum();
        ticks.ok_or_else(|| "no times in stat".into())
    }

    /// Resident memory in KiB (`VmRSS`).
    pub(super) fn memory(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        kib.and_then(|kib| kib.parse().ok()).ok_or_else(|| "no VmRSS".into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Fact {
    /// A value as text; empty if it was not told.
    pub(super) fn text(&self, name: &str) -> &str {
        let values = self.line.split(' ').filter_map(|word| word.split_once('='));
        values.into_iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// A value as a number; `NaN` if it is none.
    pub(super) fn number(&self, name: &str) -> f64 {
        self.text(name).parse().unwrap_or(f64::NAN)
    }

    /// A value as a whole number.
    pub(super) fn count(&self, name: &str) -> Result<u64, String> {
        self.text(name).parse().map_err(|_| format!("no {name} in `{}`", self.line))
    }
}

/// Milliseconds from one moment to another.
pub(super) fn ms(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1e3
}

/// Ends the whole run when a scenario takes too long; the janitor then cleans up.
pub(super) struct Watchdog {
    _done: mpsc::Sender<()>,
}

impl Watchdog {
    pub(super) fn start(scenario: &str, limit: Duration) -> Self {
        let (done, over) = mpsc::channel::<()>();
        let scenario = scenario.to_owned();
        thread::spawn(move || {
            if over.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
                println!("{scenario}: BROKEN (not over after {limit:?})");
                std::process::exit(1);
            }
        });
        Self { _done: done }
    }
}
