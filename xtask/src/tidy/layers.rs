//! Layers of `motet-proto` do not know one another; `node` alone knows them all.

use std::collections::BTreeMap;

use crate::source::Source;

const LAYERS: [&str; 10] = [
    "discovery",
    "transport",
    "fragmentation",
    "topics",
    "services",
    "roles",
    "groups",
    "model",
    "queues",
    "files",
];
const WIRING: &str = "node";
const SRC: &str = "crates/motet-proto/src/";

pub(super) fn faults(sources: &[Source]) -> Vec<String> {
    let reexported = reexports(sources);
    let mut faults = Vec::new();
    for source in sources {
        let Some((here, depth)) = module(&source.path) else { continue };
        if here == "lib" || here == WIRING {
            continue;
        }
        for import in imports(source, depth) {
            let target = reexported.get(import.name.as_str()).unwrap_or(&import.name);
            let foreign = LAYERS.contains(&target.as_str()) || target == WIRING;
            if foreign && *target != here {
                faults.push(format!(
                    "{}: `{here}` must not know `{target}` (through `{}`); wire them in node",
                    source.place(import.line),
                    import.name
                ));
            }
        }
    }
    faults
}

/// The top-level module a file belongs to, and how many modules deep it stands.
fn module(path: &str) -> Option<(String, usize)> {
    let inside = path.strip_prefix(SRC)?.strip_suffix(".rs")?;
    let parts: Vec<&str> = inside.split('/').filter(|part| *part != "mod").collect();
    Some(((*parts.first()?).into(), parts.len()))
}

/// A name taken from the root of the crate.
struct Import {
    name: String,
    line: usize,
}

/// Names behind `crate::`, and behind as many `super::` as lead to the root.
fn imports(source: &Source, depth: usize) -> Vec<Import> {
    let mut found = Vec::new();
    let mut code = String::new();
    let mut starts = Vec::new();
    for line in &source.lines {
        starts.push(code.len());
        if !line.test {
            code.push_str(&line.code);
        }
        code.push('\n');
    }
    for root in ["crate::".to_owned(), "super::".repeat(depth)] {
        for (at, _) in code.match_indices(&root) {
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let line = starts.partition_point(|start| *start <= at) - 1;
            let names = first_segments(&code[at + root.len()..]);
            found.extend(names.into_iter().map(|name| Import { name, line }));
        }
    }
    found
}

/// What a root path goes on with: one name, or the names at the top of a `{…}` group.
fn first_segments(rest: &str) -> Vec<String> {
    let ident = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = rest.strip_prefix('{') else { return vec![ident(rest)] };
    let (mut depth, mut start, mut names) = (0_u32, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(ident(&group[start..at]));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Names that `lib.rs` re-exports out of a layer, so that `crate::Name` is no way round.
fn reexports(sources: &[Source]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Some(root) = sources.iter().find(|it| it.path == format!("{SRC}lib.rs")) else {
        return found;
    };
    let code: String = root.shipped().map(|(_, line)| line.code.as_str()).collect();
    for statement in code.split(';') {
        let Some((_, path)) = statement.split_once("use ") else { continue };
        let path = path.trim().trim_start_matches("self::").trim_start_matches("crate::");
        let Some((first, rest)) = path.split_once("::") else { continue };
        if LAYERS.contains(&first) || first == WIRING {
            for name in rest.split(|c: char| !c.is_alphanumeric() && c != '_') {
                let is_type = name.starts_with(|c: char| c.is_uppercase());
                if is_type {
                    found.insert(name.to_owned(), first.to_owned());
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file(file: &str, text: &str) -> Vec<String> {
        let lib =
            "pub use node::{Node, NodeError};\npub use discovery::Peers;\npub use time::Time;";
        faults(&[
            Source::parse(&format!("{SRC}lib.rs"), lib),
            Source::parse(&format!("{SRC}{file}"), text),
        ])
    }

    #[test]
    fn a_layer_that_imports_a_sibling_turns_red() {
        let found = in_file("transport/sender.rs", "fn a() {}\nuse crate::discovery::Peer;");

        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("crates/motet-proto/src/transport/sender.rs:2: `transport`"));
        assert_eq!(in_file("topics.rs", "let x: crate::transport::Seq = y;").len(), 1);
        assert_eq!(in_file("topics/mod.rs", "use super::transport::Seq;").len(), 1);
        assert_eq!(in_file("topics/filter.rs", "use super::super::node::Node;").len(), 1);
    }

    #[test]
    fn a_group_and_a_reexport_are_no_way_round() {
        let group = "use crate::{\n    time::{Time, Timer},\n    topics::Filter,\n};";

        assert_eq!(in_file("fragmentation.rs", group).len(), 1);
        assert_eq!(in_file("fragmentation.rs", "use crate::{Peers, Time};").len(), 1);
    }

    #[test]
    fn own_modules_and_shared_ones_are_free() {
        assert!(in_file("transport/mod.rs", "use crate::transport::window::Window;").is_empty());
        assert!(in_file("transport/mod.rs", "use crate::{time::Time, Time, ids};").is_empty());
        assert!(in_file("transport/sender.rs", "use super::window::files;").is_empty());
        assert!(in_file("node.rs", "use crate::{discovery, transport};").is_empty());
        assert!(in_file("node/verbs.rs", "use crate::topics::Filter;").is_empty());
    }

    #[test]
    fn what_every_layer_uses_knows_none_of_them() {
        assert_eq!(in_file("events.rs", "use crate::transport::Missed;").len(), 1);
    }

    #[test]
    fn tests_of_a_layer_may_drive_a_whole_node() {
        let text = "#[cfg(test)]\nmod tests {\n    use crate::Node;\n}";

        assert!(in_file("transport/mod.rs", text).is_empty());
        assert!(in_file("transport/tests.rs", "use crate::Node;").is_empty());
    }
}
