//! Which of many filters match a name.

use super::filter::{Levels, TopicFilter};
use super::name::TopicName;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Many filters, each with whom it belongs to.
///
/// A name is looked up once among the exact filters and once per level among the patterns, which
/// are kept under the levels before their first wildcard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Index<T> {
    exact: BTreeMap<Arc<str>, Vec<T>>,
    patterns: BTreeMap<Arc<str>, Vec<(TopicFilter, T)>>,
    len: usize,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self { exact: BTreeMap::new(), patterns: BTreeMap::new(), len: 0 }
    }
}

impl<T: Copy + Ord> Index<T> {
    /// Adds a filter of `owner`; false if it was there.
    pub fn add(&mut self, filter: &TopicFilter, owner: T) -> bool {
        let new = match filter.exact_name() {
            Some(_) => insert(self.exact.entry(filter.arc()).or_default(), owner),
            None => {
                let prefix = filter.literal_prefix();
                if !self.patterns.contains_key(prefix) {
                    self.patterns.insert(prefix.into(), Vec::new());
                }
                self.patterns
                    .get_mut(prefix)
                    .is_some_and(|list| insert(list, (filter.clone(), owner)))
            }
        };
        self.len += usize::from(new);
        new
    }

    /// Removes a filter of `owner`; false if it was not there.
    pub fn remove(&mut self, filter: &TopicFilter, owner: T) -> bool {
        let there = match filter.exact_name() {
            Some(name) => take(&mut self.exact, name, &owner),
            None => take(&mut self.patterns, filter.literal_prefix(), &(filter.clone(), owner)),
        };
        self.len -= usize::from(there);
        there
    }

    /// Calls `found` once for each pair of filter and owner that matches, in a fixed order: exact
    /// filters first. An owner of two matching filters is found twice. Allocates nothing. P-17
    pub fn for_each_match(&self, name: &TopicName, mut found: impl FnMut(T)) {
        if let Some(owners) = self.exact.get(name.as_str()) {
            owners.iter().copied().for_each(&mut found);
        }
        if self.patterns.is_empty() {
            return;
        }
        let levels = Levels::of(name);
        for prefix in prefixes(name.as_str()) {
            for (filter, owner) in self.patterns.get(prefix).into_iter().flatten() {
                if filter.matches_levels(&levels) {
                    found(*owner);
                }
            }
        }
    }

    /// Whether any filter matches.
    pub fn any_match(&self, name: &TopicName) -> bool {
        if self.exact.contains_key(name.as_str()) {
            return true;
        }
        let levels = Levels::of(name);
        prefixes(name.as_str()).any(|prefix| {
            let mut list = self.patterns.get(prefix).into_iter().flatten();
            list.any(|(filter, _)| filter.matches_levels(&levels))
        })
    }

    /// Pairs of filter and owner.
    pub fn len(&self) -> usize {
        self.len
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Keeps a list sorted and free of repeats; false if the item was there.
fn insert<I: Ord>(list: &mut Vec<I>, item: I) -> bool {
    list.binary_search(&item).map_err(|at| list.insert(at, item)).is_err()
}

/// Removes from the list under `key`, and the list with its last item; false if it was not there.
fn take<I: Ord>(map: &mut BTreeMap<Arc<str>, Vec<I>>, key: &str, item: &I) -> bool {
    let Some(list) = map.get_mut(key) else { return false };
    let Ok(at) = list.binary_search(item) else { return false };
    list.remove(at);
    if list.is_empty() {
        map.remove(key);
    }
    true
}

/// `a/b/c` → the empty prefix, `a`, `a/b`, `a/b/c`.
fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    let ends = name.match_indices('/').map(|(at, _)| at).chain([name.len()]);
    [""].into_iter().chain(ends.filter_map(|end| name.get(..end)))
}

/// The most edits that still count as a slip of the pen.
const EDITS_MAX: usize = 3;

/// "Did you mean": the candidate that differs from `name` by the fewest edits (a character put in,
/// taken out or changed), if those are few for its length: 1 + length / 4, 3 at most. The first of
/// equals. Never `name` itself.
pub fn nearest<'a>(
    name: &TopicName,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted: Vec<char> = name.as_str().chars().collect();
    let mut bound = (1 + wanted.len() / 4).min(EDITS_MAX).min(wanted.len() - 1);
    let mut best = None;
    for candidate in candidates {
        match edits(&wanted, candidate, bound) {
            Some(0) | None => {}
            Some(1) => return Some(candidate),
            Some(n) => {
                best = Some(candidate);
                bound = n - 1;
            }
        }
    }
    best
}

/// Edits between two texts, if at most `bound` ≤ [`EDITS_MAX`]: Levenshtein's table, of which only
/// the band of width 2 × bound + 1 around the diagonal can matter.
fn edits(a: &[char], b: &str, bound: usize) -> Option<usize> {
    const FAR: usize = EDITS_MAX + 1;
    // row[k]: edits between the first i of b and the first j = i + k - EDITS_MAX of a.
    let mut row = [FAR; 2 * EDITS_MAX + 1];
    for (k, cell) in row.iter_mut().enumerate().skip(EDITS_MAX) {
        *cell = k - EDITS_MAX;
    }
    let mut length = 0;
    for char in b.chars() {
        length += 1;
        let mut next = [FAR; 2 * EDITS_MAX + 1];
        for k in 0..row.len() {
            let Some(j) = (length + k).checked_sub(EDITS_MAX) else { continue };
            if j > a.len() {
                break;
            }
            let mut least = FAR;
            if j > 0 {
                least = row[k] + usize::from(a[j - 1] != char);
            }
            if k + 1 < row.len() {
                least = least.min(row[k + 1] + 1);
            }
            if j > 0 && k > 0 {
                least = least.min(next[k - 1] + 1);
            }
            next[k] = least.min(FAR);
        }
        row = next;
        if row.iter().all(|edits| *edits > bound) {
            return None;
        }
    }
    let k = (a.len() + EDITS_MAX).checked_sub(length)?;
    row.get(k).copied().filter(|edits| *edits <= bound)
}
