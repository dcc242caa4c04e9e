//! Where the repository is, its files, and how a command is run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;

/// The checkout that this binary was built from.
pub(crate) struct Repo {
    root: PathBuf,
}

impl Repo {
    pub(crate) fn of_this_build() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ has a parent");
        Self { root: root.into() }
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    pub(crate) fn read(&self, relative: &str) -> Result<String, String> {
        fs::read_to_string(self.path(relative)).map_err(|error| format!("{relative}: {error}"))
    }

    /// Files below a folder with this extension, as paths from the root with `/`, sorted.
    ///
    /// A folder that does not exist has no files.
    pub(crate) fn files(&self, folder: &str, extension: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.path(folder)];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for path in entries.flatten().map(|entry| entry.path()) {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if path.is_dir() && name != "target" && !name.starts_with('.') {
                    folders.push(path);
                } else if path.extension().is_some_and(|it| it == extension) {
                    let relative = path.strip_prefix(&self.root).unwrap_or(&path);
                    found.push(relative.to_string_lossy().replace('\\', "/"));
                }
            }
        }
        found.sort();
        found
    }

    /// Folders that hold a `Cargo.toml`, one level below `parent`, sorted.
    pub(crate) fn packages(&self, parent: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(parent)).into_iter().flatten().flatten();
        let mut found: Vec<String> = entries
            .filter(|entry| entry.path().join("Cargo.toml").is_file())
            .map(|entry| format!("{parent}/{}", entry.file_name().to_string_lossy()))
            .collect();
        found.sort();
        found
    }

    /// A command that will run in the root of the repository.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).args(arguments);
        command
    }

    /// Runs `cargo` with these arguments; its output goes where ours goes.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Outcome {
        succeed(&mut self.command("cargo", arguments))
    }

    /// Makes sure that `cargo NAME` exists, by `cargo install` of this version if need be.
    pub(crate) fn require_cargo_tool(&self, name: &str, version: &str) -> Outcome {
        let tool = format!("cargo-{name}");
        let there = self
            .command(&tool, &["--version"])
            .output()
            .is_ok_and(|output| output.status.success());
        if there {
            return Ok(());
        }
        println!("{tool} is missing: installing version {version}, which takes minutes");
        self.cargo(&["install", &tool, "--locked", "--quiet", "--version", version])
    }
}

/// Runs a command to its end and demands that it succeeds.
pub(crate) fn succeed(command: &mut Command) -> Outcome {
    let shown = shown(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{shown}` failed ({status})")),
        Err(error) => Err(format!("`{shown}` did not start: {error}")),
    }
}

/// A command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
