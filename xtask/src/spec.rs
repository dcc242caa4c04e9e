//! `cargo xtask spec`: every numbered rule, the code that follows it and the tests that hold it.

use std::collections::BTreeMap;

use crate::repo::Repo;
use crate::source::{Source, ids};
use crate::{Outcome, judge, tidy};

/// Wire, sessions, streams, discovery, fragmentation, topics (pub/sub), keys, explain, lanes,
/// members, services, roles.
const PREFIXES: [&str; 12] = ["W", "S", "T", "D", "F", "P", "K", "E", "L", "M", "V", "B"];

/// Files of `docs/spec` that define no rules.
const WITHOUT_RULES: [&str; 2] = ["docs/spec/README.md", "docs/spec/exceptions.md"];

/// The simulator ships in nothing: its scenarios and checkers hold rules, they follow none.
const SIMULATOR: &str = "crates/motet-sim";

/// One numbered rule.
#[derive(Debug, Default)]
struct Rule {
    place: String,
    must: bool,
    code: Vec<String>,
    tests: Vec<String>,
}

/// Rules by prefix and number, so that `T-10` stands after `T-9`.
type Rules = BTreeMap<(String, u32), Rule>;

pub(crate) fn run(repo: &Repo) -> Outcome {
    let mut faults = Vec::new();
    let mut rules = Rules::new();
    for path in repo.files("docs/spec", "md") {
        if !WITHOUT_RULES.contains(&path.as_str()) {
            define(&path, &repo.read(&path)?, &mut rules, &mut faults);
        }
    }
    let exceptions = exceptions(&repo.read(WITHOUT_RULES[1])?, &mut faults);
    for parent in ["crates", "examples"] {
        for package in repo.packages(parent) {
            for source in tidy::sources_of(repo, &package)? {
                cite(&source, package == SIMULATOR, &mut rules, &mut faults);
            }
        }
    }

    for ((prefix, number), rule) in &rules {
        let list = |places: &[String]| match places {
            [] => "-".to_owned(),
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        };
        let must = if rule.must { "MUST" } else { "" };
        let id = format!("{prefix}-{number}");
        println!("{id:6} {must:4}  code {}  test {}", list(&rule.code), list(&rule.tests));
    }
    faults.extend(uncited(&rules, &exceptions));
    let musts = rules.values().filter(|rule| rule.must).count();
    println!("{} rules, {musts} with MUST, {} exceptions", rules.len(), exceptions.len());
    judge("spec", &faults)
}

fn key(id: &str) -> Option<(String, u32)> {
    let (prefix, number) = id.split_once('-')?;
    Some((prefix.into(), number.parse().ok()?))
}

/// Reads the rules of one file: an id after two spaces, its text, and deeper lines that go on.
fn define(path: &str, text: &str, rules: &mut Rules, faults: &mut Vec<String>) {
    let mut current = None;
    for (number, line) in text.lines().enumerate() {
        let place = format!("{path}:{}", number + 1);
        let id = line.strip_prefix("  ").and_then(|rest| {
            let word = rest.split_whitespace().next()?;
            (rest.starts_with(word) && ids(word, &PREFIXES) == [word]).then_some(word)
        });
        if let Some(key) = id.and_then(key) {
            if let Some(first) = rules.get(&key) {
                faults.push(format!("{place}: {}-{} stands at {} too", key.0, key.1, first.place));
                current = None;
                continue;
            }
            rules.insert(key.clone(), Rule { place, ..Rule::default() });
            current = Some(key);
        } else if !line.starts_with("   ") {
            current = None;
        }
        if let Some(rule) = current.as_ref().and_then(|key| rules.get_mut(key)) {
            rule.must |= line.contains("MUST");
        }
    }
}

/// Lines `- T-9 · reason`: rules that are deliberately not met, or not yet.
fn exceptions(text: &str, faults: &mut Vec<String>) -> BTreeMap<(String, u32), String> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("- ") else { continue };
        let (id, reason) = rest.split_once('·').unwrap_or((rest, ""));
        let Some(key) = Some(id.trim()).filter(|id| ids(id, &PREFIXES) == [*id]).and_then(key)
        else {
            continue;
        };
        if reason.trim().is_empty() {
            faults.push(format!("docs/spec/exceptions.md: {} has no reason", id.trim()));
        }
        found.insert(key, reason.trim().into());
    }
    found
}

/// Adds what the comments of one file cite.
fn cite(source: &Source, simulator: bool, rules: &mut Rules, faults: &mut Vec<String>) {
    for (number, line) in source.lines.iter().enumerate() {
        for id in ids(&line.comment, &PREFIXES) {
            let Some(key) = key(id) else { continue };
            let is_specified = rules.keys().any(|(prefix, _)| *prefix == key.0);
            match rules.get_mut(&key) {
                Some(rule) if line.test || simulator => rule.tests.push(source.place(number)),
                Some(rule) => rule.code.push(source.place(number)),
                // Elliptic curves are called P-256 and the like.
                None if is_specified && key.1 < 200 => {
                    faults.push(format!("{}: {id} is no rule", source.place(number)));
                }
                None => {}
            }
        }
    }
}

fn uncited(rules: &Rules, exceptions: &BTreeMap<(String, u32), String>) -> Vec<String> {
    let mut faults = Vec::new();
    for (key, rule) in
        rules.iter().filter(|(key, rule)| rule.must && !exceptions.contains_key(*key))
    {
        let missing = match (rule.code.is_empty(), rule.tests.is_empty()) {
            (true, true) => "no code and no test",
            (true, false) => "no code",
            (false, true) => "no test",
            (false, false) => continue,
        };
        faults.push(format!("{}: {}-{} has {missing}", rule.place, key.0, key.1));
    }
    for key in exceptions.keys().filter(|key| !rules.contains_key(*key)) {
        faults.push(format!("docs/spec/exceptions.md: {}-{} is no rule", key.0, key.1));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = "# Transport\n\n  T-1  A reader MAY wait.\n\n  T-2  A sender\n       MUST answer.\n\n\
                        MUST in prose is no rule, T-3 neither.\n";

    fn rules_of(spec: &str) -> (Rules, Vec<String>) {
        let (mut rules, mut faults) = (Rules::new(), Vec::new());
        define("s.md", spec, &mut rules, &mut faults);
        (rules, faults)
    }

    fn after(code: &str) -> Vec<String> {
        let (mut rules, mut faults) = rules_of(SPEC);
        cite(&Source::parse("a.rs", code), false, &mut rules, &mut faults);
        faults.extend(uncited(&rules, &BTreeMap::new()));
        faults
    }

    #[test]
    fn a_rule_goes_on_in_deeper_lines() {
        let (rules, faults) = rules_of(SPEC);

        let musts: Vec<bool> = rules.values().map(|rule| rule.must).collect();
        assert_eq!(musts, [false, true]);
        assert!(faults.is_empty());
    }

    #[test]
    fn a_must_needs_code_and_a_test() {
        assert_eq!(after(""), ["s.md:5: T-2 has no code and no test"]);
        assert_eq!(after("fn a() {} // T-2"), ["s.md:5: T-2 has no test"]);
        assert_eq!(after("#[test] // T-2\nfn a() {}"), ["s.md:5: T-2 has no code"]);
        assert!(after("/// Does T-2.\nfn a() {}\n#[test] // T-2\nfn b() {}").is_empty());
    }

    #[test]
    fn an_id_in_a_string_cites_nothing() {
        assert_eq!(after("fn a() { b(\"T-2\") }").len(), 1);
    }

    #[test]
    fn a_citation_of_no_rule_is_a_fault() {
        let faults = after("// T-2 T-9\n#[test] // T-2\nfn b() {}");

        assert_eq!(faults, ["a.rs:1: T-9 is no rule"]);
    }

    #[test]
    fn a_number_is_used_once() {
        assert_eq!(rules_of("  T-1  a\n\n  T-1  b\n").1.len(), 1);
    }

    #[test]
    fn an_exception_needs_a_reason_and_a_rule() {
        let (rules, mut faults) = rules_of(SPEC);
        let listed = exceptions("- T-2 · waits for hardware\n- T-8 ·\n", &mut faults);
        faults.extend(uncited(&rules, &listed));

        assert_eq!(
            faults,
            [
                "docs/spec/exceptions.md: T-8 has no reason",
                "docs/spec/exceptions.md: T-8 is no rule"
            ]
        );
    }
}
