//! `cargo xtask planted`: bugs that are put in on purpose, and what finds them: stories and seeds of the
//! simulator, or tests of `motet-proto`.

use std::collections::BTreeMap;

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
    if bugs.iter().any(|bug| bug.tests.is_none()) {
        let simulator = ["build", "--release", "-p", "motet-sim", "--features", "planted"];
        repo.cargo(&[&simulator[..], &["--target-dir", TARGET]].concat())?;
    }
    let mut sound = BTreeMap::new();
    let mut faults = Vec::new();
    println!("{:36} {:60} tried", "bug", "caught by");
    for bug in &bugs {
        let sought = match &bug.tests {
            None => in_simulator(repo, bug, max_seeds)?,
            Some(tests) => {
                // What fails without the bug, too, has not found it.
                if !sound.contains_key(tests) {
                    let failing = failing(repo, tests, None)?;
                    sound.insert(tests.clone(), failing.0.is_empty() && failing.1 > 0);
                }
                in_tests(repo, bug, tests, sound.get(tests) == Some(&true))?
            }
        };
        match sought {
            Sought::Caught { by, tried } => println!("{:36} {by:60} {tried}", bug.name),
            Sought::Missed { why } => {
                println!("{:36} NOT CAUGHT", bug.name);
                faults.push(format!("{} ({}, {}): {why}", bug.name, bug.what, bug.place));
            }
        }
    }
    println!("{} of {} planted bugs caught", bugs.len() - faults.len(), bugs.len());
    judge("planted", &faults)
}

/// What came of the search for a bug.
enum Sought {
    Caught {
        /// A story, what a seed violated, or a test.
        by: String,
        /// How many stories, seeds or tests it took.
        tried: String,
    },
    Missed {
        why: String,
    },
}

fn in_simulator(repo: &Repo, bug: &Bug, max_seeds: &str) -> Result<Sought, String> {
    let simulator = repo.path(TARGET).join("release/motet-sim");
    let output = repo
        .command(&simulator.to_string_lossy(), &["planted", &bug.name, "--max-seeds", max_seeds])
        .output()
        .map_err(|error| format!("motet-sim did not start: {error}"))?;
    let found = String::from_utf8_lossy(&output.stdout);
    let answer = found.lines().rev().find(|line| line.starts_with('{')).unwrap_or_default();
    if output.status.success() && field(answer, "caught") == Some("true") {
        let kind = if field(answer, "seed") == Some("null") { "stories" } else { "seeds" };
        let by: String = field(answer, "violation").unwrap_or("?").chars().take(60).collect();
        let tried = format!("{} {kind}", field(answer, "seeds").unwrap_or("?"));
        return Ok(Sought::Caught { by, tried });
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().last().unwrap_or("motet-sim said nothing").to_owned();
    Ok(Sought::Missed { why: format!("all stories and {max_seeds} seeds passed; {said}") })
}

fn in_tests(repo: &Repo, bug: &Bug, tests: &str, sound: bool) -> Result<Sought, String> {
    if !sound {
        return Ok(Sought::Missed {
            why: format!("the tests {tests} fail without it, or are none"),
        });
    }
    let (failing, all) = failing(repo, tests, Some(&bug.name))?;
    Ok(match failing.first() {
        Some(first) => {
            let by = first.rsplit("::").next().unwrap_or(first).to_owned();
            Sought::Caught { by, tried: format!("{} of {all} tests fail", failing.len()) }
        }
        None => Sought::Missed { why: format!("the {all} tests {tests} passed") },
    })
}

/// The tests of `motet-proto` whose names hold `tests` that fail with this bug, and how many there are.
fn failing(repo: &Repo, tests: &str, bug: Option<&str>) -> Result<(Vec<String>, usize), String> {
    let arguments = [
        "test",
        "-p",
        "motet-proto",
        "--features",
        "planted",
        "--target-dir",
        TARGET,
        "--no-fail-fast",
    ];
    let mut command =
        repo.command("cargo", &[&arguments[..], &["--lib", "--tests", tests]].concat());
    // A counterexample to a bug on purpose is not one to keep.
    command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
    if let Some(bug) = bug {
        command.env("MOTET_PLANTED", bug);
    }
    let output = command.output().map_err(|error| format!("cargo did not start: {error}"))?;
    let told = String::from_utf8_lossy(&output.stdout);
    let results: Vec<(&str, &str)> = told.lines().filter_map(result).collect();
    if results.is_empty() && !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.lines().last().unwrap_or("cargo test said nothing").to_owned());
    }
    let failing = results.iter().filter(|(_, result)| *result == "FAILED");
    let all = results.iter().filter(|(_, result)| matches!(*result, "ok" | "FAILED")).count();
    Ok((failing.map(|(name, _)| (*name).to_owned()).collect(), all))
}

/// `test a::b ... ok`
fn result(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("test ")?.split_once(" ... ")
}

/// One entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bug {
    name: String,
    what: String,
    place: String,
    /// Part of the names of the tests of `motet-proto` that find it; `None`: the simulator does.
    tests: Option<String>,
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
            let tests = entry.get("tests").and_then(|value| value.as_str()).map(str::to_owned);
            Ok(Bug { name: text("name")?, what: text("what")?, place: text("where")?, tests })
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

        let mut bug = Bug { name: "a".into(), what: "b".into(), place: "c".into(), tests: None };
        assert_eq!(listed(text), Ok(vec![bug.clone()]));
        bug.tests = Some("d".into());
        assert_eq!(listed(&format!("{text}tests = \"d\"\n")), Ok(vec![bug]));
        assert!(listed("[[bug]]\nname = \"a\"").is_err_and(|it| it.contains("`what`")));
    }

    #[test]
    fn a_bug_in_the_code_is_on_both_lists_and_its_place_is_right() {
        let repo = Repo::of_this_build();
        let bugs = listed(&repo.read(LIST).expect("there is a list")).expect("it can be read");
        let mut listed: Vec<(String, String)> =
            bugs.iter().map(|bug| (bug.place.clone(), bug.name.clone())).collect();
        let mut planted = Vec::new();
        for path in repo.files("crates/motet-proto/src", "rs") {
            let text = repo.read(&path).expect("it is there");
            for (_, rest) in
                text.match_indices("planted::on(\"").map(|(at, it)| text.split_at(at + it.len()))
            {
                let name = rest.split('"').next().unwrap_or_default();
                planted.push((path.clone(), name.to_owned()));
            }
        }
        let known = repo.read("crates/motet-proto/src/planted.rs").expect("it is there");
        for (place, name) in &planted {
            assert!(known.contains(&format!("\"{name}\",\n")), "{name} is not in NAMES");
            assert!(listed.iter().any(|(_, it)| it == name), "{name} ({place}) is not in {LIST}");
        }
        listed.retain(|entry| !planted.contains(entry));
        assert_eq!(listed, [], "not where the list says");
    }

    #[test]
    fn results_of_tests_are_read() {
        assert_eq!(result("test a::b ... ok"), Some(("a::b", "ok")));
        assert_eq!(
            result("test a - should panic ... FAILED"),
            Some(("a - should panic", "FAILED"))
        );
        assert_eq!(result("running 3 tests"), None);
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
