//! Wire and core without `std`: a build for a target that has none, and what can be checked without.

use crate::repo::{Repo, succeed};
use crate::source::has_word;
use crate::{Outcome, judge, tidy};

const CRATES: [&str; 2] = ["motet-wire", "motet-proto"];

/// Targets without `std`, the likeliest first.
const TARGETS: [&str; 3] =
    ["x86_64-unknown-none", "thumbv7em-none-eabi", "riscv32imac-unknown-none-elf"];

pub(crate) fn run(repo: &Repo) -> Outcome {
    let mut faults = Vec::new();
    for name in CRATES {
        let package = format!("crates/{name}");
        for source in tidy::sources_of(repo, &package)? {
            let is_root = source.path == format!("{package}/src/lib.rs");
            if is_root && !source.lines.iter().any(|line| ships_without_std(&line.code)) {
                faults.push(format!("{}: #![no_std] is missing", source.path));
            }
            faults.extend(tidy::mentions_std(&source));
        }
        faults.extend(std_features(repo, name)?);
    }
    judge("no_std", &faults)?;

    let listed = repo.command("rustup", &["target", "list", "--installed"]).output();
    let listed = listed.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
    let installed = listed.unwrap_or_default();
    let Some(target) = TARGETS.iter().find(|target| installed.lines().any(|it| it == **target))
    else {
        println!("build skipped: no target without std installed");
        return Ok(());
    };
    let mut arguments = vec!["build", "--target", target];
    arguments.extend(CRATES.iter().flat_map(|name| ["-p", name]));
    succeed(&mut repo.command("cargo", &arguments))
}

/// Tests of the crate may have `std`.
fn ships_without_std(code: &str) -> bool {
    matches!(code.trim(), "#![no_std]" | "#![cfg_attr(not(test), no_std)]")
}

/// Dependencies of one crate, alone, that are built with their feature `std`.
fn std_features(repo: &Repo, name: &str) -> Result<Vec<String>, String> {
    let output = repo
        .command(
            "cargo",
            &["tree", "-p", name, "-e", "normal", "--prefix", "none", "-f", "{p} [{f}]"],
        )
        .output()
        .map_err(|error| format!("cargo tree: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo tree: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(with_std(name, &String::from_utf8_lossy(&output.stdout)))
}

fn with_std(name: &str, tree: &str) -> Vec<String> {
    let mut found: Vec<String> = tree
        .lines()
        .filter(|line| line.split_once('[').is_some_and(|(_, features)| has_word(features, "std")))
        .map(|line| format!("{name} builds a dependency with std: {line}"))
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tests_may_have_std() {
        assert!(ships_without_std("#![no_std]"));
        assert!(ships_without_std("#![cfg_attr(not(test), no_std)]"));
        assert!(!ships_without_std("#![cfg_attr(not(feature = \"\"), no_std)]"));
    }

    #[test]
    fn a_dependency_with_the_feature_std_is_found() {
        let tree = "motet-proto v0.1.0 (/a) []\nbytes v1.12.0 [default,std]\nlibm v0.2 [arch]";

        assert_eq!(with_std("motet-proto", tree).len(), 1);
    }
}
