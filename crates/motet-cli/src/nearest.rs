//! What somebody may have meant.

/// The candidate that differs least from `typed`, if it differs by at most a third of its letters.
pub(crate) fn nearest<'a>(
    typed: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<String> {
    motet::explain::nearest(typed, candidates).into_iter().next()
}
