//! `cargo xtask ci`: what CI does, in its order.

use std::time::Instant;

use crate::repo::{Repo, succeed};
use crate::{Outcome, counts, deny, fuzz, lines, no_std, spec, tidy};

/// One step: its name on the command line, and what it does.
type Step = (&'static str, fn(&Repo) -> Outcome);

/// Cheap steps first: what fails most often fails soonest.
const STEPS: [Step; 12] = [
    ("format", |repo| {
        repo.cargo(&["fmt", "--all", "--check"])?;
        repo.cargo(&["fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"])
    }),
    ("clippy", |repo| {
        repo.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
    }),
    ("tidy", tidy::run),
    ("spec", spec::run),
    ("lines", |repo| lines::run(repo, &[])),
    ("tests", |repo| repo.cargo(&["test", "--workspace"])),
    ("no_std", no_std::run),
    ("docs", |repo| {
        succeed(
            repo.command("cargo", &["doc", "--workspace", "--no-deps"])
                .env("RUSTDOCFLAGS", "-D warnings"),
        )
    }),
    ("deny", deny::run),
    ("seeds", |repo| {
        repo.cargo(&["run", "--release", "-p", "motet-sim", "--", "--seeds", "0..200"])
    }),
    ("counts", |repo| counts::run(repo, &[])),
    ("fuzz", fuzz::replay),
];

pub(crate) fn run(repo: &Repo, arguments: &[&str]) -> Outcome {
    let names: Vec<&str> = STEPS.iter().map(|(name, _)| *name).collect();
    let usage = || format!("usage: cargo xtask ci [STEP]\nsteps: {}", names.join(" "));
    let only = match arguments {
        [] => None,
        [step] if names.contains(step) => Some(*step),
        _ => return Err(usage()),
    };
    let mut times = Vec::new();
    for (name, step) in STEPS.iter().filter(|(name, _)| only.is_none_or(|it| it == *name)) {
        println!("\n=== {name} ===");
        let started = now();
        let outcome = step(repo);
        let seconds = started.elapsed().as_secs_f64();
        if let Err(reason) = outcome {
            return Err(format!(
                "{reason}\n=== {name} FAILED after {seconds:.1} s; again: cargo xtask ci {name} ==="
            ));
        }
        println!("=== {name} passed in {seconds:.1} s ===");
        times.push(format!("{name} {seconds:.1} s"));
    }
    println!("\nall passed: {}", times.join(" · "));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a step's time is measured on the real clock")]
fn now() -> Instant {
    Instant::now()
}
