//! The peers' programs, built when they are first needed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::process::{Failure, one_line};
use crate::row::Peer;

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// Programs built so far, and why others were not.
#[derive(Debug, Default)]
pub(crate) struct Binaries {
    built: BTreeMap<Peer, Result<PathBuf, Failure>>,
}

impl Binaries {
    /// The program of a peer.
    pub(crate) fn of(&mut self, peer: Peer) -> Result<PathBuf, Failure> {
        self.built.entry(peer).or_insert_with(|| build(peer)).clone()
    }
}

fn build(peer: Peer) -> Result<PathBuf, Failure> {
    let name = format!("bench-{}", peer.name());
    let target = target_directory()?;
    eprintln!("building {name} …");
    let binary = target.join("release").join(&name);
    let output = if peer == Peer::Cyclone {
        let script = Path::new(HERE).join("peers/cyclone/build.sh");
        Command::new("sh").arg(script).arg(&binary).stdout(Stdio::null()).output()
    } else {
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--release", "--quiet", "--package", &name])
            .arg("--manifest-path")
            .arg(Path::new(HERE).join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .output()
    };
    let output = output.map_err(|error| format!("not built: {error}"))?;
    if output.status.success() {
        return Ok(binary);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| line.contains("error")).unwrap_or_default();
    eprintln!("{said}");
    Err(format!("not built: {}", one_line(line)))
}

/// That of the running program: `target/release/motet-bench`.
fn target_directory() -> Result<PathBuf, Failure> {
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    me.ancestors().nth(2).map(Path::to_owned).ok_or_else(|| "no target directory".to_owned())
}
