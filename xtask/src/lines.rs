//! `cargo xtask lines`: the acceptance list, and the tests that show each of its lines.

use std::collections::BTreeMap;

use crate::repo::Repo;
use crate::source::{Source, has_word, ids};
use crate::{Outcome, judge, tidy};

const LIST: &str = "docs/acceptance.md";

/// Systems, as they begin the ids of the list.
const SYSTEMS: [&str; 23] = [
    "ALL", "WP", "TR", "PL", "BK", "CB", "DB", "NS", "LG", "PS", "SV", "BC", "DS", "PP", "FT",
    "PE", "WA", "PB", "EX", "RC", "DG", "GL", "GY",
];

/// One test function and the ids it carries.
#[derive(Debug, PartialEq, Eq)]
struct Shows {
    id: String,
    test: String,
    place: String,
    /// `#[ignore]`: CI does not run it, so it shows nothing.
    ignored: bool,
}

pub(crate) fn run(repo: &Repo, arguments: &[&str]) -> Outcome {
    let text = repo.read(LIST)?;
    let (lines, mut faults) = defined(&text);
    let mut claimed = claimed(&text);
    match arguments {
        [] => {}
        ["--require", list] => {
            claimed.extend(list.split(',').map(|id| id.trim().to_owned()));
        }
        _ => return Err("usage: cargo xtask lines [--require ID,ID]".into()),
    }
    let mut shown = Vec::new();
    for parent in ["crates", "examples"] {
        for package in repo.packages(parent) {
            for source in tidy::sources_of(repo, &package)? {
                shown.extend(tests(&source));
            }
        }
    }

    let mut with_test = 0;
    for id in &lines {
        let tests: Vec<String> = shown
            .iter()
            .filter(|it| it.id == *id)
            .map(|it| {
                let ignored = if it.ignored { " (ignored)" } else { "" };
                format!("{}{ignored} ({})", it.test, it.place)
            })
            .collect();
        with_test += usize::from(!tests.is_empty());
        let claim = if claimed.contains(id) { "shown" } else { "" };
        let tests = if tests.is_empty() { "not yet".into() } else { tests.join(", ") };
        println!("{id:7} {claim:5}  {tests}");
    }
    println!("{} lines, {with_test} with a test, {} claimed as shown", lines.len(), claimed.len());
    faults.extend(broken_claims(&lines, &claimed, &shown));
    judge("lines", &faults)
}

/// Ids of the lines `- WP-1 · text`, in the order of the list.
fn defined(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut lines, mut faults) = (Vec::<String>::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let Some((id, wording)) = line.strip_prefix("- ").and_then(|it| it.split_once(" · "))
        else {
            continue;
        };
        let place = format!("{LIST}:{}", number + 1);
        if ids(id, &SYSTEMS) != [id] {
            faults.push(format!("{place}: `{id}` is no id"));
        } else if lines.iter().any(|it| it == id) {
            faults.push(format!("{place}: {id} stands twice"));
        } else if wording.trim().is_empty() {
            faults.push(format!("{place}: {id} says nothing"));
        } else {
            lines.push(id.into());
        }
    }
    (lines, faults)
}

/// Ids in the section `## Shown`, which ends at the next heading.
fn claimed(text: &str) -> Vec<String> {
    text.lines()
        .skip_while(|line| line.trim() != "## Shown")
        .skip(1)
        .take_while(|line| !line.starts_with('#'))
        .flat_map(|line| ids(line, &SYSTEMS))
        .map(str::to_owned)
        .collect()
}

/// Ids that the tests of one file carry, in their names or in the comments right above them.
fn tests(source: &Source) -> Vec<Shows> {
    let mut found = Vec::new();
    for (number, line) in source.lines.iter().enumerate() {
        let Some(name) = function(&line.code) else { continue };
        let head = head(source, number);
        let attribute = |word: &str| head.iter().any(|it| it.code.contains(word));
        if !attribute("#[test]") && !attribute("::test]") && !attribute("::test(") {
            continue;
        }
        let mut carried: Vec<String> = from_name(name).into_iter().collect();
        carried.extend(head.iter().flat_map(|it| ids(&it.comment, &SYSTEMS)).map(str::to_owned));
        carried.sort();
        carried.dedup();
        found.extend(carried.into_iter().map(|id| Shows {
            id,
            test: name.into(),
            place: source.place(number),
            ignored: attribute("#[ignore"),
        }));
    }
    found
}

/// The name of the function that a line begins.
fn function(code: &str) -> Option<&str> {
    if !has_word(code, "fn") {
        return None;
    }
    let rest = code[code.find("fn ")?..].strip_prefix("fn ")?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some(&rest[..end])
}

/// The line of a function, and its attributes and comments above.
fn head(source: &Source, function: usize) -> &[crate::source::Line] {
    let is_head = |line: &crate::source::Line| {
        let code = line.code.trim();
        code.starts_with("#[") || code.is_empty() && !line.comment.is_empty()
    };
    let above = source.lines[..function].iter().rev().take_while(|line| is_head(line)).count();
    &source.lines[function - above..=function]
}

/// `wp_1_a_reader_waits` carries `WP-1`.
fn from_name(name: &str) -> Option<String> {
    let mut parts = name.split('_');
    let system = parts.next()?.to_uppercase();
    let number: u32 = parts.next()?.parse().ok()?;
    SYSTEMS.contains(&system.as_str()).then(|| format!("{system}-{number}"))
}

fn broken_claims(lines: &[String], claimed: &[String], shown: &[Shows]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut ignored_only = BTreeMap::new();
    for it in shown {
        *ignored_only.entry(it.id.as_str()).or_insert(true) &= it.ignored;
        if !lines.contains(&it.id) {
            faults.push(format!("{}: {} is not in {LIST}", it.place, it.id));
        }
    }
    for id in claimed {
        match ignored_only.get(id.as_str()) {
            _ if !lines.contains(id) => faults.push(format!("{id} is claimed, but not in {LIST}")),
            None => faults.push(format!("{id} is claimed as shown, but no test carries it")),
            Some(true) => faults.push(format!("{id} is claimed as shown, but its test is ignored")),
            Some(false) => {}
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(text: &str) -> Vec<String> {
        tests(&Source::parse("a.rs", text)).into_iter().map(|it| it.id).collect()
    }

    #[test]
    fn a_test_carries_ids_in_its_name_and_in_comments() {
        assert_eq!(carried("#[test]\nfn wp_1_a_reader_waits() {}"), ["WP-1"]);
        assert_eq!(carried("#[test] // GL-4\nfn a() {}"), ["GL-4"]);
        assert_eq!(
            carried("/// WP-2, GL-4\n#[tokio::test]\nasync fn wp_10_a() {}"),
            ["GL-4", "WP-10", "WP-2"]
        );
    }

    #[test]
    fn what_is_no_test_shows_nothing() {
        assert!(carried("// WP-1\nfn wp_1_a() {}").is_empty());
        assert!(carried("// WP-1\n\n#[test]\nfn a() {}").is_empty(), "not right above");
    }

    #[test]
    fn a_claim_without_a_running_test_is_a_fault() {
        let text = "- WP-1 · a\n- WP-2 · b\n- WP-3 · c\n\n## Shown\nWP-1, WP-2, WP-9\n## Not\nWP-3";
        let (lines, faults) = defined(text);
        let source = Source::parse(
            "a.rs",
            "#[test]\nfn wp_1_a() {}\n#[test]\n#[ignore]\nfn wp_2_b() {}\n#[test]\nfn wp_7_c() {}",
        );

        assert!(faults.is_empty());
        assert_eq!(
            broken_claims(&lines, &claimed(text), &tests(&source)),
            [
                "a.rs:7: WP-7 is not in docs/acceptance.md",
                "WP-2 is claimed as shown, but its test is ignored",
                "WP-9 is claimed, but not in docs/acceptance.md"
            ]
        );
    }

    #[test]
    fn a_line_stands_once() {
        assert_eq!(defined("- WP-1 · a\n- WP-1 · b\n- XX-1 · c").1.len(), 2);
    }
}
