//! `cargo xtask fuzz`: the corpora replayed by any toolchain, and libfuzzer on the stable one.

use std::num::NonZeroU32;

use crate::Outcome;
use crate::repo::{Repo, succeed};

const VERSION: &str = "0.13.2";
const USAGE: &str = "usage: cargo xtask fuzz replay | run TARGET [--minutes N]";

pub(crate) fn run(repo: &Repo, arguments: &[&str]) -> Outcome {
    match arguments {
        ["replay"] => replay(repo),
        ["run", target] => search(repo, target, NonZeroU32::MIN),
        ["run", target, "--minutes", minutes] => {
            let parsed: Option<NonZeroU32> = minutes.parse().ok();
            let minutes = parsed.ok_or_else(|| format!("--minutes {minutes}: not 1 or more"))?;
            search(repo, target, minutes)
        }
        _ => Err(USAGE.into()),
    }
}

/// Hands every file of `fuzz/corpus/TARGET/` to its target.
pub(crate) fn replay(repo: &Repo) -> Outcome {
    repo.cargo(&["run", "--quiet", "--manifest-path", "fuzz/Cargo.toml", "--bin", "replay"])
}

/// Searches for new inputs: they join `fuzz/corpus/TARGET/`, crashes go to `fuzz/artifacts/TARGET/`.
fn search(repo: &Repo, target: &str, minutes: NonZeroU32) -> Outcome {
    repo.require_cargo_tool("fuzz", VERSION)?;
    let seconds = format!("-max_total_time={}", u64::from(minutes.get()) * 60);
    // libfuzzer needs compiler flags that are unstable; the code itself is stable Rust.
    succeed(
        repo.command("cargo", &["fuzz", "run", "--features", "libfuzzer", target, "--", &seconds])
            .env("RUSTC_BOOTSTRAP", "1"),
    )
}
