//! What somebody may have meant.

use alloc::string::String;
use alloc::vec::Vec;

/// Names that are suggested at most.
pub const NEAR_MAX: usize = 3;
/// Candidates that are compared; of more the first ones are.
const CANDIDATES_MAX: usize = 4_096;
/// Longer names are not compared: the work grows with the square.
const LETTERS_MAX: usize = 256;

/// The candidates that differ least from `typed`, each by at most a third of its letters; the
/// nearest first, none that is equal.
pub fn nearest<'a>(typed: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<String> {
    ranked(typed, candidates, |candidate| distance(typed, candidate))
}

/// As [`nearest`], between a topic and filters, whichever was typed: a `*` stands for whatever the
/// other has in its place.
pub fn nearest_patterns<'a>(typed: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<String> {
    ranked(typed, candidates, |candidate| {
        let (a, b) = (typed.split('/'), candidate.split('/'));
        if a.clone().count() != b.clone().count() {
            return distance(typed, candidate);
        }
        a.zip(b).map(|(a, b)| if a == "*" || b == "*" { 0 } else { distance(a, b) }).sum()
    })
}

fn ranked<'a>(
    typed: &str,
    candidates: impl Iterator<Item = &'a str>,
    edits: impl Fn(&str) -> usize,
) -> Vec<String> {
    let fit = |candidate: &&str| candidate.len() <= LETTERS_MAX && *candidate != typed;
    let mut found: Vec<(usize, &str)> = Vec::new();
    if typed.len() <= LETTERS_MAX {
        let ranked = candidates.take(CANDIDATES_MAX).filter(fit).map(|name| (edits(name), name));
        found.extend(ranked.filter(|(edits, name)| edits * 3 <= name.chars().count().max(3)));
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(NEAR_MAX);
    found.into_iter().map(|(_, name)| name.into()).collect()
}

/// Levenshtein: insertions, deletions and replacements that make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = replaced.min(*cell + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word_and_nonsense_finds_none() {
        let verbs = || ["topic", "endpoint", "realm"].into_iter();
        assert!(nearest("topci", verbs()).is_empty()); // a swap is two edits of five letters
        assert_eq!(nearest("topix", verbs()), ["topic"]);
        assert_eq!(nearest("endpiont", verbs()), ["endpoint"]);
        assert!(nearest("xyzzy", verbs()).is_empty());
    }

    #[test]
    fn the_nearest_come_first_and_no_more_than_three() {
        let names = ["line1/tomp", "line1/temp2", "line1/temps", "line1/ramp", "line1/temp"];
        let near = nearest("line1/temp", names.into_iter());
        assert_eq!(near, ["line1/temp2", "line1/temps", "line1/tomp"]);
    }

    #[test]
    fn a_star_stands_for_any_level_in_between() {
        let filters = ["line1/*/pressure", "*/press4/tmp", "line9/x/temp"];
        let near = nearest_patterns("line1/press4/temp", filters.into_iter());
        assert_eq!(near, ["*/press4/tmp"]);
    }

    #[test]
    fn very_many_and_very_long_candidates_cost_a_bounded_amount() {
        let long = "x".repeat(100_000);
        assert!(nearest(&long, [long.as_str()].into_iter()).is_empty());
        let many = core::iter::repeat_n("temp", 10_000_000);
        assert!(nearest("temperature", many).is_empty());
    }
}
