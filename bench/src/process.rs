//! Peers' processes: started, told, listened to, ended.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command as Program, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bench_harness::{Command, Event};

use crate::cleanup::Group;

/// Why a measurement has no figure: one line.
pub(crate) type Failure = String;

/// A running process of a peer.
#[derive(Debug)]
pub(crate) struct Process {
    what: String,
    child: Child,
    input: Option<ChildStdin>,
    events: Receiver<Event>,
    complaints: Arc<Mutex<VecDeque<String>>>,
    group: Group,
}

impl Process {
    /// Starts `binary` with `args`, within the namespace that `before` enters, if any.
    pub(crate) fn start(
        binary: &Path,
        before: &[String],
        args: &[String],
        env: &[(String, String)],
    ) -> Result<Self, Failure> {
        let mut words = before.iter().map(String::as_str).chain([binary.to_str().unwrap_or("")]);
        let mut program = Program::new(words.next().unwrap_or_default());
        program.args(words).args(args).envs(env.iter().cloned()).process_group(0);
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let what = args.first().cloned().unwrap_or_default();
        let mut child =
            program.spawn().map_err(|error| format!("{}: {error}", binary.display()))?;
        let group = Group::of(child.id());
        let (sender, events) = channel();
        if let Some(out) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(out).lines().map_while(Result::ok) {
                    let event = serde_json::from_str(&line);
                    if let Ok(event) = event
                        && sender.send(event).is_err()
                    {
                        return;
                    }
                }
            });
        }
        let complaints = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(err) = child.stderr.take() {
            let kept = Arc::clone(&complaints);
            std::thread::spawn(move || keep_last_lines(BufReader::new(err), &kept));
        }
        let input = child.stdin.take();
        Ok(Self { what, child, input, events, complaints, group })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells it something; one that has ended will be noticed by the next wait.
    pub(crate) fn tell(&mut self, command: Command) {
        if let Some(input) = &mut self.input {
            let _ = writeln!(input, "{command}").and_then(|()| input.flush());
        }
    }

    /// The next thing it says.
    pub(crate) fn hear(&self, limit: Duration) -> Result<Event, Failure> {
        match self.events.recv_timeout(limit) {
            Ok(Event::Failed { why }) => Err(format!("{}: {}", self.what, one_line(&why))),
            Ok(event) => Ok(event),
            Err(RecvTimeoutError::Timeout) => {
                Err(format!("{}: silent for {} s{}", self.what, limit.as_secs(), self.complaint()))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(format!("{}: has ended{}", self.what, self.complaint()))
            }
        }
    }

    /// Waits until it is ready.
    pub(crate) fn ready(&self, limit: Duration) -> Result<(), Failure> {
        match self.hear(limit)? {
            Event::Ready => Ok(()),
            other => Err(format!("{}: {other:?} instead of ready", self.what)),
        }
    }

    /// Tells it to end and waits a little; then it is killed.
    pub(crate) fn end(mut self, limit: Duration) {
        self.tell(Command::End);
        self.input = None;
        let begun = Instant::now();
        while begun.elapsed() < limit && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn complaint(&self) -> String {
        let kept = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        kept.back().map_or_else(String::new, |line| format!(" ({})", one_line(line)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.group.kill(); // while its leader is not reaped, the number is its own
        let _ = self.child.wait();
    }
}

/// The first line, shortened.
pub(crate) fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(160).collect()
}

fn keep_last_lines(lines: impl BufRead, kept: &Mutex<VecDeque<String>>) {
    for line in lines.lines().map_while(Result::ok).filter(|line| !line.trim().is_empty()) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(line);
        if kept.len() > 8 {
            kept.pop_front();
        }
    }
}

/// CPU time of any process so far, in nanoseconds: `utime` and `stime` of proc_pid_stat(5), in ticks
/// of 1/100 s.
pub(crate) fn cpu_ns_of(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks =
        fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
    ticks.sum::<u64>() * 10_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let args = ["-c".to_owned(), script.to_owned()];
        Process::start(Path::new("/bin/sh"), &[], &args, &[]).unwrap()
    }

    #[test]
    fn what_a_process_says_is_heard_and_what_is_no_event_is_passed_over() {
        let process = shell(r#"echo noise; echo '{"event":"ready"}'"#);
        process.ready(Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn a_process_that_ends_fails_with_its_last_complaint() {
        let process = shell("echo no such thing >&2");
        let failure = process.hear(Duration::from_secs(10)).unwrap_err();
        assert!(failure.contains("has ended"), "{failure}");
    }

    #[test]
    fn a_failure_is_passed_on_in_one_line() {
        let process = shell(r#"printf %s\\n '{"event":"failed","why":"broken\nbadly"}'"#);
        assert_eq!(process.hear(Duration::from_secs(10)).unwrap_err(), "-c: broken");
    }

    #[test]
    fn a_dropped_process_takes_its_children_with_it() {
        let process = shell(r#"sleep 1000 & echo "{\"event\":\"first\",\"ns\":$!}"; wait"#);
        let Ok(Event::First { ns: pid }) = process.hear(Duration::from_secs(10)) else {
            panic!("no pid");
        };
        drop(process);
        let alive = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z")
        };
        let begun = Instant::now();
        while alive() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{pid} is left");
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_cpu_time_of_a_busy_process_grows() {
        let before = cpu_ns_of(std::process::id());
        while cpu_ns_of(std::process::id()) == before {
            std::hint::spin_loop();
        }
    }
}
