//! What a subscription asks for: a name, or a pattern over names.

use super::name::{self, LEVELS_MAX, NameError, Quoted, TopicName};
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

/// How many `**` a filter may have.
pub const ANY_DEPTH_MAX: usize = 4;

/// A valid filter: levels joined by `/`, where `*` stands for exactly one whole level and `**` for
/// zero or more. Cheap to clone.
///
/// Kept in canonical form: a run of `**` is one `**`. Order and equality are those of the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter {
    text: Arc<str>,
    wild: bool,
}

impl TopicFilter {
    /// A filter from its text. A first level that starts with `$` is allowed: it names reserved
    /// topics on purpose.
    ///
    /// # Errors
    /// Any [`FilterError`].
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        name::check_levels(text).map_err(FilterError::Levels)?;
        let (mut wild, mut any_depth, mut runs) = (false, 0, false);
        let mut before = "";
        for (n, level) in text.split('/').enumerate() {
            match level {
                "*" => wild = true,
                "**" => {
                    wild = true;
                    any_depth += 1;
                    runs |= before == "**";
                }
                // P-4
                _ if level.contains('*') => {
                    return Err(FilterError::PartOfLevel { filter: text.into(), level: n + 1 });
                }
                _ => {}
            }
            before = level;
        }
        // P-5
        if any_depth > ANY_DEPTH_MAX {
            return Err(FilterError::TooManyAnyDepth { filter: text.into(), count: any_depth });
        }
        let text = if runs { canonical(text).into() } else { text.into() };
        Ok(Self { text, wild })
    }

    /// The filter in canonical form.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The filter as shared text; costs a reference count.
    pub fn arc(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// Its levels, first to last.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.text.split('/')
    }

    /// It has no wildcard: it matches one name.
    pub fn is_exact(&self) -> bool {
        !self.wild
    }

    /// The one name it matches, if it has no wildcard.
    pub fn exact_name(&self) -> Option<&str> {
        if self.wild { None } else { Some(&self.text) }
    }

    /// The levels before the first wildcard, as text; empty if there are none. Only names that
    /// start with these levels can match.
    pub fn literal_prefix(&self) -> &str {
        if !self.wild {
            return &self.text;
        }
        let star = self.text.find('*').unwrap_or(self.text.len());
        self.text.get(..star.saturating_sub(1)).unwrap_or("")
    }

    /// Whether `name` is one that this filter asks for: by whole levels, byte for byte. P-9
    /// Work is at most levels × levels comparisons.
    pub fn matches(&self, name: &TopicName) -> bool {
        match self.exact_name() {
            Some(exact) => exact == name.as_str(),
            None => self.matches_levels(&Levels::of(name)),
        }
    }

    /// As [`matches`](Self::matches), for a name that is already split.
    pub(super) fn matches_levels(&self, name: &Levels<'_>) -> bool {
        // P-7
        if name.reserved && self.text.starts_with('*') {
            return false;
        }
        // Bit i of `ends`: the filter so far can match the first i levels. No backtracking.
        let all = (1u64 << (name.count + 1)) - 1;
        let mut ends = 1u64;
        for level in self.levels() {
            ends = match level {
                "*" if crate::planted::on("filter_star_matches_zero_levels") => ends | ends << 1,
                "*" => ends << 1,                                      // P-6
                "**" => !(ends & ends.wrapping_neg()).wrapping_sub(1), // P-6
                _ => name.equal_to(level, ends) << 1,
            } & all;
            if ends == 0 {
                return false;
            }
        }
        ends >> name.count & 1 == 1
    }
}

/// A name split into its levels, on the stack.
pub(super) struct Levels<'a> {
    levels: [&'a str; LEVELS_MAX],
    count: usize,
    reserved: bool,
}

impl<'a> Levels<'a> {
    pub(super) fn of(name: &'a TopicName) -> Self {
        let mut split = Self { levels: [""; LEVELS_MAX], count: 0, reserved: name.is_reserved() };
        for (slot, level) in split.levels.iter_mut().zip(name.levels()) {
            *slot = level;
            split.count += 1;
        }
        split
    }

    /// Bit i: bit i is in `of` and level i is `level`.
    fn equal_to(&self, level: &str, mut of: u64) -> u64 {
        let mut equal = 0;
        while of != 0 {
            let i = of.trailing_zeros();
            of &= of - 1;
            if self.levels[..self.count].get(i as usize) == Some(&level) {
                equal |= 1 << i;
            }
        }
        equal
    }
}

impl From<&TopicName> for TopicFilter {
    /// The filter that matches this name only.
    fn from(name: &TopicName) -> Self {
        Self { text: name.arc(), wild: false }
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicFilter({})", Quoted(&self.text))
    }
}

/// Every run of `**` as one. P-8
fn canonical(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = "";
    for level in text.split('/') {
        if level != "**" || before != "**" {
            if !out.is_empty() {
                out.push('/');
            }
            out.push_str(level);
        }
        before = level;
    }
    out
}

/// Why a text is not a filter. Levels count from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FilterError {
    /// What a name may not be either.
    Levels(NameError),
    /// A `*` that is not a whole level.
    PartOfLevel {
        /// The text.
        filter: String,
        /// Which level.
        level: usize,
    },
    /// More than [`ANY_DEPTH_MAX`] times `**`.
    TooManyAnyDepth {
        /// The text.
        filter: String,
        /// How many it has.
        count: usize,
    },
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Levels(error) => error.fmt(f),
            Self::PartOfLevel { filter, level } => {
                write!(f, "{}: `*` stands for one whole level; write ", Quoted(filter))?;
                let mut levels: String = String::new();
                for (n, text) in filter.split('/').enumerate() {
                    levels.push_str(if n > 0 { "/" } else { "" });
                    levels.push_str(if n + 1 == *level { "*" } else { text });
                }
                write!(f, "{}", Quoted(&levels))
            }
            Self::TooManyAnyDepth { filter, count } => {
                write!(f, "{}: {count} times `**`; {ANY_DEPTH_MAX} is the most: ", Quoted(filter))?;
                f.write_str("name more levels")
            }
        }
    }
}

impl core::error::Error for FilterError {}
