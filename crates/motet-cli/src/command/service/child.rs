//! The programs that `motet serve` starts: one per request, or one that answers line by line.

use std::process::Stdio;
use std::time::Duration;

use motet::service::{Answer, Request, ServiceStatus};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The code of the program's own with which a child's failure is told: its exit status, or 128 and
/// the signal that ended it, as shells count.
fn code_of(status: std::process::ExitStatus) -> u64 {
    use std::os::unix::process::ExitStatusExt;
    let signal = status.signal().map(|signal| 128 + signal);
    u64::from(status.code().or(signal).unwrap_or(255).unsigned_abs())
}

fn command(words: &[String]) -> Command {
    let (program, args) = words.split_first().map_or(("", &[][..]), |(p, args)| (p.as_str(), args));
    let mut command = Command::new(program);
    command.args(args).kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Runs a program with the request on its stdin, and what is known of it in its environment; its
/// stdout is the answer.
pub(crate) async fn once(words: &[String], request: &Request) -> Answer {
    let mut command = command(words);
    command
        .stderr(Stdio::piped())
        .env("MOTET_CALL_SERVICE", request.service())
        .env("MOTET_CALL_CLIENT", request.client().id.to_string())
        .env("MOTET_CALL_CLIENT_NAME", request.client_name())
        .env("MOTET_CALL_ATTEMPT", request.attempt().to_string())
        .env("MOTET_CALL_TIMEOUT", format!("{:.3}", request.remaining().as_secs_f64()));
    if let Some(key) = request.idempotency_key() {
        command.env("MOTET_CALL_KEY", String::from_utf8_lossy(key).into_owned());
    }
    for (name, value) in request.properties() {
        let letters =
            |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let name: String = name.chars().map(letters).collect();
        if !value.contains('\0') {
            command.env(format!("MOTET_PROPERTY_{name}"), value);
        }
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Answer::failed(127, format!("{} does not start: {error}", words[0])),
    };
    let input = request.frames().concat();
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(&input).await; // a program need not read its input
        }
    };
    let mut said = Vec::new();
    let read = async {
        let mut out = Vec::new();
        if let Some(stdout) = stdout {
            let mut limited = stdout.take(ANSWER_MAX + 1);
            drop(limited.read_to_end(&mut out).await);
        }
        out
    };
    let complaints = async {
        if let Some(stderr) = stderr {
            drop(stderr.take(4_096).read_to_end(&mut said).await);
        }
    };
    let ((), out, ()) = tokio::join!(feed, read, complaints);
    if out.len() as u64 > ANSWER_MAX {
        return Answer::status(ServiceStatus::TooLarge, "the program's answer is above 60 MiB");
    }
    match child.wait().await {
        Ok(status) if status.success() => Answer::new(out),
        Ok(status) => {
            let said = String::from_utf8_lossy(&said);
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let text =
                if last.is_empty() { status.to_string() } else { format!("{status}: {last}") };
            Answer::failed(code_of(status), text)
        }
        Err(error) => Answer::failed(255, format!("the program is lost: {error}")),
    }
}

/// A program that runs on, takes a line and answers with a line.
pub(crate) struct Lines {
    words: Vec<String>,
    running: Option<Running>,
    /// Ends in a row without an answer between them.
    crashes: u32,
}

struct Running {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Lines {
    pub(crate) fn new(words: Vec<String>) -> Self {
        Self { words, running: None, crashes: 0 }
    }

    /// Asks the program. One that ends is started again, after a pause that doubles.
    pub(crate) async fn ask(&mut self, body: &[u8]) -> Answer {
        if body.contains(&b'\n') {
            let text = "the request holds a newline, and the program answers line by line";
            return Answer::status(ServiceStatus::BadRequest, text);
        }
        if let Err(answer) = self.start().await {
            return answer;
        }
        let Some(running) = &mut self.running else {
            return Answer::failed(255, "the program does not run");
        };
        let mut line = body.to_vec();
        line.push(b'\n');
        let mut out = Vec::new();
        let written = running.stdin.write_all(&line).await.is_ok();
        let read = async {
            let mut limited = (&mut running.stdout).take(LINE_MAX);
            limited.read_until(b'\n', &mut out).await
        };
        let read = if written { read.await.unwrap_or(0) } else { 0 };
        if read > 0 && out.last() == Some(&b'\n') {
            out.pop();
            self.crashes = 0;
            return Answer::new(out);
        }
        let garbage = out.len() as u64 >= LINE_MAX;
        let answer = self.end().await;
        if garbage {
            let text = "the program's answer is a line above 1 MiB; it was started anew";
            return Answer::failed(255, text);
        }
        answer
    }

    async fn start(&mut self) -> Result<(), Answer> {
        if self.running.is_some() {
            return Ok(());
        }
        if self.crashes > 0 {
            let pause = FIRST_PAUSE * 2_u32.pow(self.crashes.min(8) - 1);
            let mut tick = tokio::time::interval(pause.min(LONGEST_PAUSE));
            tick.tick().await;
            tick.tick().await;
        }
        let mut command = command(&self.words);
        let mut child = command.spawn().map_err(|error| {
            self.crashes += 1;
            Answer::failed(127, format!("{} does not start: {error}", self.words[0]))
        })?;
        if let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) {
            self.running = Some(Running { child, stdin, stdout: BufReader::new(stdout) });
        }
        Ok(())
    }

    /// The program has ended, or is made to: how, as an answer.
    async fn end(&mut self) -> Answer {
        self.crashes = self.crashes.saturating_add(1);
        let Some(mut running) = self.running.take() else {
            return Answer::failed(255, "the program does not run");
        };
        drop((running.stdin, running.stdout));
        let ended = tokio::time::timeout(END_FOR, running.child.wait()).await;
        match ended {
            Ok(Ok(status)) => {
                Answer::failed(code_of(status), format!("the program ended: {status}"))
            }
            _ => {
                drop(running.child.kill().await);
                Answer::failed(255, "the program gave no answer, and was ended")
            }
        }
    }
}

/// Bytes of an answer that is read from a program.
const ANSWER_MAX: u64 = 60 << 20;
/// Bytes of a line.
const LINE_MAX: u64 = 1 << 20;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const END_FOR: Duration = Duration::from_secs(1);
