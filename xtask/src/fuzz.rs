//! `cargo xtask fuzz`: the corpora replayed by any toolchain, and libfuzzer on the stable one.

use crate::Outcome;
use crate::repo::{Repo, succeed};

const VERSION: &str = "0.13.2";
const USAGE: &str = "usage: cargo xtask fuzz replay | run TARGET [--minutes N]";

pub(crate) fn run(repo: &Repo, arguments: &[&str]) -> Outcome {
    match arguments {
        ["replay"] => replay(repo),
        ["run", target] => search(repo, target, 1),
        ["run", target, "--minutes", minutes] => {
            let minutes = minutes.parse().map_err(|_| format!("--minutes {minutes}: no number"))?;
            search(repo, target, minutes)
        }
        _ => Err(USAGE.into()),
    }
}

/// Hands every file of `fuzz/corpus/TARGET/` to its target.
pub(crate) fn replay(repo: &Repo) -> Outcome {
    repo.cargo(&["run", "--quiet", "--manifest-path", "fuzz/Cargo.toml", "--bin", "replay"])
}

/// Searches for new inputs. Crashes are left in `fuzz/artifacts/TARGET/`.
fn search(repo: &Repo, target: &str, minutes: u32) -> Outcome {
    repo.require_cargo_tool("fuzz", VERSION)?;
    let seconds = format!("-max_total_time={}", u64::from(minutes) * 60);
    // libfuzzer needs compiler flags that are unstable; the code itself is stable Rust.
    succeed(
        repo.command("cargo", &["fuzz", "run", "--features", "libfuzzer", target, "--", &seconds])
            .env("RUSTC_BOOTSTRAP", "1"),
    )
}
