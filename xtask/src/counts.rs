//! `cargo xtask counts`: instructions on the hot paths, counted by callgrind.
//!
//! Times need a quiet machine; instructions do not. Valgrind shows every program the same processor
//! (that of 2013, with AES and AVX2), so neither the host's nor its load changes a count.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use toml::Table;

use crate::repo::{Repo, succeed};
use crate::{Outcome, judge};

const FILE: &str = "crates/motet-sim/counts.toml";
const BINARY: &str = "target/release/examples/counts";

/// Name of a case, and instructions per message or packet.
type Counts = BTreeMap<String, u64>;

pub(crate) fn run(repo: &Repo, arguments: &[&str]) -> Outcome {
    let write = match arguments {
        [] => false,
        ["--write"] => true,
        _ => return Err("usage: cargo xtask counts [--write]".into()),
    };
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        println!("skipped: {FILE} holds the counts of x86_64 Linux");
        return Ok(());
    }
    let valgrind = repo.command("valgrind", &["--version"]).output();
    if !valgrind.is_ok_and(|output| output.status.success()) {
        return Err("valgrind is missing: apt-get install valgrind".into());
    }
    repo.cargo(&["build", "--release", "-p", "motet-sim", "--example", "counts"])?;
    let found = count(repo)?;
    let compiler = said(repo, "rustc", &["--version"])?;
    if write {
        fs::write(repo.path(FILE), render(&found, compiler.trim()))
            .map_err(|error| format!("{FILE}: {error}"))?;
        println!("{FILE}: {} counts written", found.len());
        return Ok(());
    }
    let expected = Expected::parse(&repo.read(FILE)?)?;
    let verdict = compare(&expected, &found);
    verdict.lines.iter().for_each(|line| println!("{line}"));
    if expected.compiler != compiler.trim() && !verdict.faults.is_empty() {
        println!("counted before with {}, now with {}", expected.compiler, compiler.trim());
    }
    judge("counts", &verdict.faults)
}

/// Counts every case that the benchmark names.
fn count(repo: &Repo) -> Result<Counts, String> {
    let names = said(repo, BINARY, &[])?;
    let out = repo.path("target/callgrind.counts");
    names
        .lines()
        .map(|name| {
            let file = format!("--callgrind-out-file={}", out.display());
            let collect = "--toggle-collect=counts::counted*";
            let arguments = ["--quiet", "--tool=callgrind", &file, collect, BINARY, name];
            let times = said(repo, "valgrind", &arguments)?;
            let times: u64 = times.trim().parse().map_err(|_| format!("{name}: no number came"))?;
            Ok((name.to_owned(), total(&out)?.div_ceil(times.max(1))))
        })
        .collect()
}

/// What a command writes to stdout; it must succeed.
fn said(repo: &Repo, program: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = repo.command(program, arguments);
    let output = command.output().map_err(|error| format!("{program} did not start: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    // Once more, for its words to be seen.
    succeed(&mut command)?;
    Err(format!("{program} failed once, and not again"))
}

/// The instructions of one profile.
fn total(profile: &Path) -> Result<u64, String> {
    let text = fs::read_to_string(profile).map_err(|error| error.to_string())?;
    let _ = fs::remove_file(profile); // the next run replaces it
    let summary = text.lines().find_map(|line| line.strip_prefix("summary:"));
    let total = summary.and_then(|summary| summary.trim().parse().ok());
    total.filter(|total| *total > 0).ok_or_else(|| "callgrind counted nothing".to_owned())
}

/// What the file says.
struct Expected {
    compiler: String,
    /// How much more is no fault, in percent.
    tolerance: u64,
    counts: Counts,
}

impl Expected {
    fn parse(text: &str) -> Result<Self, String> {
        let broken = || format!("{FILE}: renew it with `cargo xtask counts --write`");
        let table: Table = text.parse().map_err(|error| format!("{FILE}: {error}"))?;
        let counts = table.get("instructions").and_then(|it| it.as_table()).ok_or_else(broken)?;
        let counts = counts.iter().map(|(name, count)| {
            let count = count.as_integer().and_then(|count| u64::try_from(count).ok());
            count.map(|count| (name.clone(), count)).ok_or_else(broken)
        });
        let tolerance = table.get("tolerance_percent").and_then(|it| it.as_integer());
        Ok(Self {
            compiler: table.get("compiler").and_then(|it| it.as_str()).unwrap_or("?").to_owned(),
            tolerance: tolerance.and_then(|it| u64::try_from(it).ok()).ok_or_else(broken)?,
            counts: counts.collect::<Result<_, _>>()?,
        })
    }
}

fn render(counts: &Counts, compiler: &str) -> String {
    let mut text = format!(
        "# Instructions per message or packet, by crates/motet-sim/examples/counts.rs under callgrind.\n\
         # `cargo xtask counts` compares, `cargo xtask counts --write` renews. A number after a name is\n\
         # a payload in bytes; a byte of a large copy counts as one instruction (rep movsb).\n\
         compiler = \"{compiler}\"\n\
         tolerance_percent = {TOLERANCE}\n\
         \n\
         [instructions]\n"
    );
    for (name, count) in counts {
        text.push_str(&format!("\"{name}\" = {count}\n"));
    }
    text
}

/// For another compiler or C library, in percent; counts of one build differ by less than 0.1 %.
const TOLERANCE: u64 = 5;

struct Verdict {
    /// One line per case.
    lines: Vec<String>,
    faults: Vec<String>,
}

fn compare(expected: &Expected, found: &Counts) -> Verdict {
    let (mut lines, mut faults) = (Vec::new(), Vec::new());
    for (name, &found) in found {
        let Some(&before) = expected.counts.get(name) else {
            faults.push(format!("{name}: {found} instructions, and none in {FILE}"));
            continue;
        };
        let percent = (found as f64 / before as f64 - 1.0) * 100.0;
        let mut line =
            format!("{name:24} {found:8} instructions, {before:8} before {percent:+6.1} %");
        if found > before + before * expected.tolerance / 100 {
            let limit = expected.tolerance;
            faults.push(format!(
                "{name}: expected {before} instructions, found {found} ({percent:+.1} %, tolerance {limit} %)"
            ));
        } else if found < before - before * expected.tolerance / 100 {
            line.push_str(": better; renew with `cargo xtask counts --write`");
        }
        lines.push(line);
    }
    let gone = expected.counts.keys().filter(|name| !found.contains_key(*name));
    faults.extend(gone.map(|name| format!("{name}: in {FILE}, and no case of that name")));
    Verdict { lines, faults }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(list: &[(&str, u64)]) -> Counts {
        list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    fn expected(list: &[(&str, u64)]) -> Expected {
        Expected::parse(&render(&counts(list), "rustc 1")).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let expected = expected(&[("a/64", 1_000), ("b", 7)]);

        assert_eq!(expected.counts, counts(&[("a/64", 1_000), ("b", 7)]));
        assert_eq!((expected.compiler.as_str(), expected.tolerance), ("rustc 1", TOLERANCE));
    }

    #[test]
    fn only_growth_past_the_tolerance_is_a_fault() {
        let expected = expected(&[("a", 1_000), ("b", 1_000), ("c", 1_000)]);
        let verdict = compare(&expected, &counts(&[("a", 1_050), ("b", 1_051), ("c", 940)]));

        assert_eq!(
            verdict.faults,
            ["b: expected 1000 instructions, found 1051 (+5.1 %, tolerance 5 %)"]
        );
        assert!(verdict.lines[2].contains("renew"), "{}", verdict.lines[2]);
    }

    #[test]
    fn a_case_that_is_new_or_gone_is_a_fault() {
        let verdict = compare(&expected(&[("gone", 1)]), &counts(&[("new", 1)]));

        assert_eq!(verdict.faults.len(), 2);
    }
}
