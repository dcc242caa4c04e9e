//! Words that some crates must not use.

use crate::source::{Source, has_word};

/// Crates whose behaviour may depend on their inputs alone.
const CORE: [&str; 2] = ["crates/motet-wire", "crates/motet-proto"];

/// The core: no clock, no thread, no random order.
const REFUSED_IN_CORE: [&str; 9] = [
    "std::time",
    "Instant::now",
    "SystemTime",
    "HashMap",
    "HashSet",
    "async fn",
    "async move",
    "thread::",
    "thread_local!",
];

/// Where chance and time are inputs although `std` is at hand.
const CLOCKLESS: [&str; 2] = ["crates/motet-crypto", "crates/motet-sim"];
const REFUSED_WITHOUT_CLOCK: [&str; 2] = ["Instant::now", "SystemTime::now"];

/// Only prints how long it took.
const WALL: &str = "crates/motet-sim/src/main.rs";

/// The one crate that may hold `unsafe`.
const UNSAFE: &str = "crates/motet-net";

pub(super) fn faults(package: &str, sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources {
        let refused: &[&str] = match package {
            _ if CORE.contains(&package) => &REFUSED_IN_CORE,
            _ if source.path == WALL => &[],
            _ if CLOCKLESS.contains(&package) => &REFUSED_WITHOUT_CLOCK,
            _ => &[],
        };
        for (number, line) in source.shipped() {
            for word in refused.iter().filter(|word| has_word(&line.code, word)) {
                faults.push(format!("{}: `{word}` in {package}", source.place(number)));
            }
        }
        if package == UNSAFE {
            continue;
        }
        for (number, line) in source.lines.iter().enumerate() {
            if has_word(&line.code, "unsafe") {
                faults.push(format!("{}: `unsafe` outside motet-net", source.place(number)));
            }
        }
        if is_root(package, &source.path) && !source.lines.iter().any(forbids_unsafe) {
            faults.push(format!("{}: #![forbid(unsafe_code)] is missing", source.path));
        }
    }
    faults
}

fn is_root(package: &str, path: &str) -> bool {
    let inside = path.strip_prefix(package).unwrap_or(path);
    matches!(inside, "/src/lib.rs" | "/src/main.rs")
        || inside.strip_prefix("/src/bin/").is_some_and(|file| !file.contains('/'))
}

fn forbids_unsafe(line: &crate::source::Line) -> bool {
    line.code.contains("#![forbid(unsafe_code)]")
}

/// Places outside tests that name `std`.
pub(crate) fn mentions_std(source: &Source) -> Vec<String> {
    source
        .shipped()
        .filter(|(_, line)| {
            has_word(&line.code, "extern crate std")
                || line.code.match_indices("std::").any(|(at, _)| {
                    !line.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
                })
        })
        .map(|(number, line)| format!("{}: {}", source.place(number), line.code.trim()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_proto(text: &str) -> Vec<String> {
        let source = Source::parse("crates/motet-proto/src/a.rs", text);
        faults("crates/motet-proto", &[source])
    }

    #[test]
    fn a_clock_in_the_core_is_refused_and_one_in_a_comment_is_not() {
        assert_eq!(in_proto("use std::time::Instant;").len(), 1);
        assert_eq!(in_proto("let map = HashMap::new();").len(), 1);
        assert!(in_proto("// not a HashMap: its order is random").is_empty());
        assert!(in_proto("#[cfg(test)]\nmod tests {\n    use std::time::Instant;\n}").is_empty());
    }

    #[test]
    fn unsafe_is_refused_even_in_tests_but_not_in_the_net_crate() {
        let text = "#[cfg(test)]\nmod tests {\n    unsafe { x() }\n}";

        assert_eq!(in_proto(text).len(), 1);
        let net = Source::parse("crates/motet-net/src/a.rs", text);
        assert!(faults("crates/motet-net", &[net]).is_empty());
    }

    #[test]
    fn a_root_that_allows_unsafe_code_is_refused() {
        let root = |text| Source::parse("examples/words/src/bin/word-pub.rs", text);

        assert_eq!(faults("examples/words", &[root("fn main() {}")]).len(), 1);
        let good = root("#![forbid(unsafe_code)]\nfn main() {}");
        assert!(faults("examples/words", &[good]).is_empty());
    }

    #[test]
    fn naming_std_is_found_outside_tests_only() {
        let found = |text| mentions_std(&Source::parse("a.rs", text)).len();

        assert_eq!(found("use std::vec::Vec;"), 1);
        assert_eq!(found("let x = ::std::mem::take(y);"), 1);
        assert_eq!(found("extern crate std;"), 1);
        assert_eq!(found("#[cfg(test)]\nextern crate std;"), 0);
        assert_eq!(found("use my_std::vec;"), 0);
    }
}
