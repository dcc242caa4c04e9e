//! Hands every file of `corpus/TARGET/` to its target: what once was found stays found.
//!
//! `replay TARGET FILE…` hands it these files only.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use motet_fuzz::{TARGETS, Target};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((name, files)) = arguments.split_first() {
        return one(name, files);
    }
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in TARGETS {
        match replay(&corpora, target) {
            Ok(inputs) => println!("{:24} {inputs} inputs", target.0),
            Err(error) => {
                eprintln!("{}: {error}", target.0);
                return ExitCode::FAILURE;
            }
        }
    }
    let strays = strays(&corpora);
    for stray in &strays {
        eprintln!("corpus/{stray}: no target has this name");
    }
    if strays.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(name: &str, files: &[String]) -> ExitCode {
    let Some((_, body)) = TARGETS.iter().find(|target| target.0 == name) else {
        eprintln!("{name}: no target has this name");
        return ExitCode::FAILURE;
    };
    for file in files {
        if let Err(error) = run(Path::new(file), *body) {
            eprintln!("{file}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Runs one input.
fn run(path: &Path, body: fn(&[u8])) -> io::Result<()> {
    let data = fs::read(path)?;
    let on_panic = NameOnPanic(path);
    body(&data);
    drop(on_panic);
    Ok(())
}

/// Runs all inputs of one target; an input that panics is named before the panic spreads.
fn replay(corpora: &Path, &(name, body): &Target) -> io::Result<usize> {
    let mut inputs = 0;
    for entry in fs::read_dir(corpora.join(name))? {
        run(&entry?.path(), body)?;
        inputs += 1;
    }
    if inputs == 0 {
        return Err(io::Error::other("the corpus is empty"));
    }
    Ok(inputs)
}

/// Folders in `corpus/` that belong to no target.
fn strays(corpora: &Path) -> Vec<String> {
    let entries = fs::read_dir(corpora).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| TARGETS.iter().all(|target| target.0 != name)).collect()
}

/// Prints the input's path if it is dropped by a panic.
struct NameOnPanic<'a>(&'a Path);

impl Drop for NameOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("while running {}", self.0.display());
        }
    }
}
