//! Many filters, one name.

use super::{filter, name};
use motet_proto::topics::matching::{Index, nearest};
use proptest::prelude::*;

#[test] // P-17
fn each_pair_of_filter_and_owner_is_found_once() {
    let mut index = Index::default();
    for (text, owner) in [("a/b", 1), ("a/*", 2), ("**", 3), ("a/b/**", 4), ("a", 5), ("b/*", 6)] {
        assert!(index.add(&filter(text), owner));
        assert!(!index.add(&filter(text), owner), "twice");
    }

    let mut found = Vec::new();
    index.for_each_match(&name("a/b"), |owner| found.push(owner));

    assert_eq!(found, [1, 3, 2, 4]);
    assert_eq!(index.len(), 6);
}

#[test]
fn what_is_removed_is_not_found() {
    let mut index = Index::default();
    index.add(&filter("a/*"), 1);
    index.add(&filter("a/b"), 2);

    assert!(!index.remove(&filter("a/*"), 2), "another's");
    assert!(index.remove(&filter("a/*"), 1));
    assert!(index.remove(&filter("a/b"), 2));
    assert!(!index.remove(&filter("a/b"), 2), "twice");

    assert!(index.is_empty());
    assert!(!index.any_match(&name("a/b")));
}

#[test]
fn a_slip_of_the_pen_finds_what_was_meant() {
    let known = ["words/english", "words/eng", "weather/berlin", "a"];

    assert_eq!(nearest(&name("words/egn"), known), Some("words/eng"));
    assert_eq!(nearest(&name("word/english"), known), Some("words/english"));
    assert_eq!(nearest(&name("Weather/Berlin"), known), Some("weather/berlin"));
    assert_eq!(nearest(&name("stars"), known), None);
    assert_eq!(nearest(&name("words/eng"), ["words/eng"]), None, "itself");
    assert_eq!(nearest(&name("b"), known), None, "all of it changed");
    assert_eq!(nearest(&name("words"), ["", &"x".repeat(1 << 20)]), None);
}

/// Levenshtein's whole table.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let least = (corner + usize::from(x != y)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], least);
        }
    }
    *row.last().expect("one column at least")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test] // P-17
    fn the_index_finds_what_the_filters_match(
        patterns in proptest::collection::vec("(a|b|\\*|\\*\\*)(/(a|b|\\*|\\*\\*)){0,3}", 0..12),
        text in "[ab](/[ab]){0,4}",
    ) {
        let mut index = Index::default();
        for (owner, pattern) in patterns.iter().enumerate() {
            index.add(&filter(pattern), owner);
        }
        let name = name(&text);
        let mut found = Vec::new();
        index.for_each_match(&name, |owner| found.push(owner));
        found.sort_unstable();
        let expected: Vec<_> =
            (0..patterns.len()).filter(|n| filter(&patterns[*n]).matches(&name)).collect();
        prop_assert_eq!(index.any_match(&name), !expected.is_empty());
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn the_nearest_is_the_first_of_the_fewest_edits(
        text in "[abé]{1,14}",
        candidates in proptest::collection::vec("[abé]{0,16}", 0..6),
    ) {
        let length = text.chars().count();
        let bound = (1 + length / 4).min(3).min(length - 1);
        let expected = candidates
            .iter()
            .filter(|candidate| (1..=bound).contains(&distance(&text, candidate)))
            .min_by_key(|candidate| distance(&text, candidate));
        let found = nearest(&name(&text), candidates.iter().map(String::as_str));
        prop_assert_eq!(found, expected.map(String::as_str));
    }
}
