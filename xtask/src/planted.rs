//! `cargo xtask planted`: bugs that are put in on purpose, and the seeds that find them.

use toml::Table;

use crate::repo::Repo;
use crate::{Outcome, judge};

const LIST: &str = "crates/motet-proto/planted.toml";

/// Seeds to try before a bug counts as missed.
const MAX_SEEDS: &str = "300";

/// Its own target directory, so that the feature leaks into no other build.
const TARGET: &str = "target/planted";

pub(crate) fn run(repo: &Repo, arguments: &[&str]) -> Outcome {
    let (only, max_seeds) = match arguments {
        [] => (None, MAX_SEEDS),
        ["--max-seeds", seeds] => (None, *seeds),
        [name] => (Some(*name), MAX_SEEDS),
        [name, "--max-seeds", seeds] => (Some(*name), *seeds),
        _ => return Err("usage: cargo xtask planted [NAME] [--max-seeds N]".into()),
    };
    let mut bugs = listed(&repo.read(LIST)?)?;
    bugs.retain(|bug| only.is_none_or(|name| name == bug.name));
    if bugs.is_empty() {
        return Err(format!("{LIST} lists no such bug"));
    }
    repo.cargo(&[
        "build",
        "--release",
        "-p",
        "motet-sim",
        "--features",
        "planted",
        "--target-dir",
        TARGET,
    ])?;

    let simulator = repo.path(TARGET).join("release/motet-sim");
    let mut faults = Vec::new();
    println!("{:28} {:40} seeds", "bug", "caught by");
    for bug in &bugs {
        let output = repo
            .command(
                &simulator.to_string_lossy(),
                &["planted", &bug.name, "--max-seeds", max_seeds],
            )
            .output()
            .map_err(|error| format!("motet-sim did not start: {error}"))?;
        let found = String::from_utf8_lossy(&output.stdout);
        let answer = found.lines().rev().find(|line| line.starts_with('{')).unwrap_or_default();
        if output.status.success() && field(answer, "caught") == Some("true") {
            let by = field(answer, "violation").unwrap_or("?");
            println!("{:28} {by:40} {}", bug.name, field(answer, "seeds").unwrap_or("?"));
        } else {
            println!("{:28} {:40} {max_seeds} tried", bug.name, "NOT CAUGHT");
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().last().unwrap_or("motet-sim said nothing");
            faults.push(format!("{} ({}, {}): not caught; {said}", bug.name, bug.what, bug.place));
        }
    }
    println!("{} of {} planted bugs caught", bugs.len() - faults.len(), bugs.len());
    judge("planted", &faults)
}

/// One entry of the list.
#[derive(Debug, PartialEq, Eq)]
struct Bug {
    name: String,
    what: String,
    place: String,
}

/// Reads the one array of tables in the list, whatever it is called.
fn listed(text: &str) -> Result<Vec<Bug>, String> {
    let table: Table = text.parse().map_err(|error| format!("{LIST}: {error}"))?;
    let entries = table.values().filter_map(|value| value.as_array()).flatten();
    entries
        .map(|entry| {
            let text = |key: &str| {
                let value = entry.get(key).and_then(|value| value.as_str());
                value.map(str::to_owned).ok_or_else(|| format!("{LIST}: an entry has no `{key}`"))
            };
            Ok(Bug { name: text("name")?, what: text("what")?, place: text("where")? })
        })
        .collect()
}

/// A number, a word or a string out of one flat JSON object; escapes stay as they are.
fn field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!("\"{name}\":"))?;
    let rest = rest.trim_start();
    match rest.strip_prefix('"') {
        Some(text) => {
            let mut escaped = false;
            let end = text.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            })?;
            Some(&text[..end])
        }
        None => Some(rest[..rest.find([',', '}'])?].trim()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_and_its_holes_are_named() {
        let text = "[[bug]]\nname = \"a\"\nwhat = \"b\"\nwhere = \"c\"\n";

        let bug = Bug { name: "a".into(), what: "b".into(), place: "c".into() };
        assert_eq!(listed(text), Ok(vec![bug]));
        assert!(listed("[[bug]]\nname = \"a\"").is_err_and(|it| it.contains("`what`")));
    }

    #[test]
    fn fields_come_out_of_the_simulators_answer() {
        let json =
            r#"{"bug":"x","caught":true,"seed": 17,"seeds":18,"violation":"said \"no\", late"}"#;

        assert_eq!(field(json, "caught"), Some("true"));
        assert_eq!(field(json, "seed"), Some("17"));
        assert_eq!(field(json, "seeds"), Some("18"));
        assert_eq!(field(json, "violation"), Some("said \\\"no\\\", late"));
        assert_eq!(field(json, "other"), None);
    }
}
