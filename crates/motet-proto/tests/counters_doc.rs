//! `docs/counters.md` lists every counter, in order and in the words of the source.

use motet_proto::Counters;

#[test]
fn the_documented_counters_are_those_of_the_source() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/counters.md");
    let text = std::fs::read_to_string(path).unwrap();
    let documented: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with("| counter | what it counts |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();

    let counters = Counters::default();
    let wanted: Vec<String> =
        counters.each().map(|(name, what, _)| format!("| `{name}` | {what} |")).collect();

    assert_eq!(documented, wanted, "write docs/counters.md anew:\n{}", wanted.join("\n"));
}
