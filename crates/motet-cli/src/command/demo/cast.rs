//! One process of the demonstration, seen from outside.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use super::endpoint::{Order, Told};
use crate::exit::{Exit, Failure};

/// Who told it, which of its lives, and what.
pub(crate) type Line = (String, u32, Told);

/// An endpoint in a process of its own.
pub(crate) struct Actor {
    pub(crate) pid: u32,
    stdin: ChildStdin,
    child: Child,
}

impl Actor {
    /// Starts one. It ends with this one's standard input, or when it is dropped.
    pub(crate) fn enter(
        name: &str,
        life: u32,
        realm: &str,
        state: &Path,
        impair: Option<&str>,
        lines: mpsc::UnboundedSender<Line>,
    ) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            let what =
                format!("endpoint {name} does not start; {error}; check the limits of processes");
            Failure::new(Exit::Failed, "M0402", what)
        };
        let program = std::env::current_exe().map_err(|error| failed(&error))?;
        let mut command = Command::new(program);
        // Settings of the user do not reach into the demonstration.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("MOTET_") {
                command.env_remove(variable);
            }
        }
        command.env("MOTET_STATE", state).args(["demo-endpoint", "--name", name, "--realm", realm]);
        command.args(["--liveness", "fast", "--log", "off"]);
        if let Some(faults) = impair {
            command.args(["--impair", faults]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // Ctrl-C is for the demonstration, which ends its own.
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| failed(&error))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(&"it has no standard input and output"));
        };
        let own = name.to_owned();
        tokio::spawn(async move {
            let mut told = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = told.next_line().await {
                let Ok(told) = serde_json::from_str(&line) else { continue };
                if lines.send((own.clone(), life, told)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { pid: child.id().unwrap_or_default(), stdin, child })
    }

    /// Tells it what to do. One that is gone is found out by what it does not tell.
    pub(crate) async fn order(&mut self, order: &Order) {
        let Ok(mut line) = serde_json::to_string(order) else { return };
        line.push('\n');
        let _ = self.stdin.write_all(line.as_bytes()).await;
    }

    /// Kills it: no goodbye (SIGKILL).
    pub(crate) async fn kill(mut self) {
        let _ = self.child.kill().await;
    }

    /// Lets it say goodbye.
    pub(crate) async fn leave(self) {
        let Self { stdin, mut child, .. } = self;
        drop(stdin);
        if tokio::time::timeout(super::stage::LEAVE, child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
    }
}
