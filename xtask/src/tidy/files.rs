//! Names of files, and files that no `mod` leads to.

use std::collections::{BTreeMap, BTreeSet};

use toml::Table;

use crate::source::Source;

/// A thing has a name or it has no place.
const REFUSED: [&str; 9] =
    ["util", "utils", "common", "helper", "helpers", "manager", "misc", "type", "types"];

pub(super) fn refused_names<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    paths
        .filter(|path| path.trim_end_matches(".rs").split('/').any(|part| REFUSED.contains(&part)))
        .map(|path| format!("{path}: name the file after the thing it holds"))
        .collect()
}

/// Files below `src` that no root of the package reaches.
pub(super) fn dead(package: &str, manifest: &str, sources: &[(String, String)]) -> Vec<String> {
    let manifest: Table = manifest.parse().unwrap_or_default();
    let texts: BTreeMap<&str, &str> =
        sources.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let src = format!("{package}/src/");

    let mut next = named_roots(package, &manifest);
    next.push(format!("{src}lib.rs"));
    next.push(format!("{src}main.rs"));
    for path in texts.keys() {
        let below_bin = path.strip_prefix(&format!("{src}bin/"));
        if below_bin.is_some_and(|file| !file.contains('/') || file.ends_with("/main.rs")) {
            next.push((*path).into());
        }
    }
    let roots: BTreeSet<String> = next.iter().cloned().collect();
    let mut reached = BTreeSet::new();
    while let Some(path) = next.pop() {
        let Some(text) = texts.get(path.as_str()) else { continue };
        if reached.insert(path.clone()) {
            let is_root = roots.contains(&path);
            next.extend(modules(&path, is_root, text).into_iter().map(|module| module.path));
        }
    }
    texts
        .keys()
        .filter(|path| path.starts_with(&src) && !reached.contains(**path))
        .map(|path| format!("{path}: no `mod` leads here"))
        .collect()
}

/// Roots that the manifest names by `path`.
fn named_roots(package: &str, manifest: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for kind in ["lib", "bin", "test", "example", "bench"] {
        let Some(value) = manifest.get(kind) else { continue };
        let tables = value.as_array().map_or_else(|| vec![value], |list| list.iter().collect());
        for table in tables {
            if let Some(path) = table.get("path").and_then(|path| path.as_str()) {
                found.push(format!("{package}/{path}"));
            }
        }
    }
    found
}

/// A `mod name;` line, and a file it may mean.
struct Module {
    path: String,
    test: bool,
}

/// Both files that each `mod name;` of a file may mean; the one that exists counts.
fn modules(path: &str, is_root: bool, text: &str) -> Vec<Module> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    let below =
        if is_root || stem == "mod" { folder.to_owned() } else { format!("{folder}/{stem}") };
    let source = Source::parse(path, text);
    let raw: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (number, line) in source.lines.iter().enumerate() {
        let Some((before, rest)) = line.code.split_once("mod ") else { continue };
        let Some((name, _)) = rest.split_once(';') else { continue };
        let is_item = before.is_empty()
            || before.ends_with(|c: char| c.is_whitespace() || c == ')' || c == ']');
        let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !is_item || !is_name {
            continue;
        }
        // A string's text is not in `code`: the path is read from the raw attributes just above.
        let attributes = raw[..number].iter().rev().take_while(|it| it.trim().starts_with("#["));
        let elsewhere = attributes
            .chain(raw.get(number))
            .find_map(|line| line.split_once("#[path = \"")?.1.split_once('"'))
            .map(|(it, _)| it);
        let test = line.test;
        match elsewhere {
            Some(at) => found.push(Module { path: format!("{folder}/{at}"), test }),
            None => {
                found.push(Module { path: format!("{below}/{name}.rs"), test });
                found.push(Module { path: format!("{below}/{name}/mod.rs"), test });
            }
        }
    }
    found
}

/// Parses the files of one package; what only `#[cfg(test)] mod name;` leads to is for tests.
pub(super) fn with_test_modules(texts: &[(String, String)]) -> Vec<Source> {
    let mut tests = BTreeSet::new();
    let mut order: Vec<&(String, String)> = texts.iter().collect();
    order.sort_by_key(|(path, _)| path.matches('/').count());
    for _ in 0..3 {
        // Deep enough for a test module of a test module.
        for (path, text) in &order {
            let is_root = path.ends_with("/lib.rs") || path.ends_with("/main.rs");
            let all = tests.contains(path);
            tests.extend(
                modules(path, is_root, text)
                    .into_iter()
                    .filter(|module| module.test || all)
                    .map(|module| module.path),
            );
        }
    }
    texts
        .iter()
        .map(|(path, text)| {
            let mut source = Source::parse(path, text);
            if tests.contains(path) {
                source.all_is_test();
            }
            source
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(path, text)| (format!("c/src/{path}"), (*text).into())).collect()
    }

    #[test]
    fn a_file_without_a_name_of_its_own_is_refused() {
        let paths = ["c/src/util.rs", "c/tests/common/mod.rs", "c/src/typed.rs"];

        assert_eq!(refused_names(paths.into_iter()).len(), 2);
    }

    #[test]
    fn a_file_that_no_module_names_is_dead() {
        let sources = files(&[
            ("lib.rs", "mod a;\npub(crate) mod b;\n// mod dead;"),
            ("b/of.rs", ""),
            ("b/next.rs", ""),
            ("a.rs", "mod inner;"),
            ("a/inner.rs", ""),
            ("b/mod.rs", "#[cfg(test)]\nmod tests;\n#[path = \"of.rs\"]\nmod named;\nmod next;"),
            ("b/tests.rs", ""),
            ("bin/run.rs", ""),
            ("dead.rs", ""),
        ]);

        assert_eq!(dead("c", "", &sources), ["c/src/dead.rs: no `mod` leads here"]);
    }

    #[test]
    fn a_path_in_the_manifest_or_on_the_module_counts() {
        let sources = files(&[("x.rs", "#[path = \"z/y.rs\"]\nmod w;"), ("z/y.rs", "")]);

        assert!(dead("c", "[[bin]]\nname = \"x\"\npath = \"src/x.rs\"", &sources).is_empty());
        assert_eq!(dead("c", "", &sources).len(), 2);
    }

    #[test]
    fn a_file_behind_a_test_module_is_for_tests() {
        let sources =
            with_test_modules(&files(&[("lib.rs", "#[cfg(test)]\nmod net;"), ("net.rs", "x")]));

        assert_eq!(sources[1].shipped().count(), 0);
    }
}
