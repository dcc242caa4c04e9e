//! What somebody may have meant.

/// The candidate that differs least from `typed`, if it differs by at most a third of its letters.
pub(crate) fn nearest<'a>(
    typed: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let ranked = candidates.map(|candidate| (distance(typed, candidate), candidate));
    let (edits, candidate) = ranked.min()?;
    (edits * 3 <= candidate.len().max(3)).then_some(candidate)
}

/// Levenshtein: insertions, deletions and replacements that make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word_and_nonsense_finds_none() {
        let verbs = || ["topic", "endpoint", "realm"].into_iter();
        assert_eq!(nearest("topci", verbs()), None); // a swap is two edits of five letters
        assert_eq!(nearest("topix", verbs()), Some("topic"));
        assert_eq!(nearest("endpiont", verbs()), Some("endpoint"));
        assert_eq!(nearest("xyzzy", verbs()), None);
    }
}
