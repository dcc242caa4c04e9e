//! The name of a topic, validated once.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

/// Levels that a name or filter may have.
pub const LEVELS_MAX: usize = 32;
/// Bytes of UTF-8 that a name or filter may have.
pub const NAME_BYTES_MAX: usize = 1_024;

/// A valid topic name: one to [`LEVELS_MAX`] levels joined by `/`. Cheap to clone.
///
/// Not a [`TopicFilter`](super::TopicFilter): a name has no wildcards and goes where something is
/// published.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// A name that an application may use.
    ///
    /// # Errors
    /// Any [`NameError`]; a first level that starts with `$` is [`NameError::Reserved`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let name = Self::system(text)?;
        // P-3
        if name.is_reserved() {
            return Err(NameError::Reserved { name: text.into() });
        }
        Ok(name)
    }

    /// A name that the node itself may use: also `$inbox/…` and the like.
    ///
    /// # Errors
    /// Any [`NameError`] but [`NameError::Reserved`].
    pub fn system(text: &str) -> Result<Self, NameError> {
        check_levels(text)?;
        // P-2
        if let Some(level) = text.split('/').position(|level| level.contains('*')) {
            return Err(NameError::Wildcard { name: text.into(), level: level + 1 });
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as shared text; costs a reference count.
    pub fn arc(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// Its levels, first to last: 1 to [`LEVELS_MAX`] of them.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The first level starts with `$`.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicName({})", Quoted(&self.0))
    }
}

/// What names and filters have in common: length, levels, characters. P-1
pub(super) fn check_levels(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { bytes: text.len() });
    }
    let levels = text.split('/').count();
    if levels > LEVELS_MAX {
        return Err(NameError::TooDeep { levels });
    }
    if let Some(level) = text.split('/').position(str::is_empty) {
        return Err(NameError::EmptyLevel { name: text.into(), level: level + 1 });
    }
    if let Some((at, char)) = text.char_indices().find(|(_, char)| char.is_control()) {
        return Err(NameError::Control { name: text.into(), at, char });
    }
    Ok(())
}

/// Text between backticks that stays on its line, whatever is in it.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`")?;
        for char in self.0.chars() {
            // The separators are not control characters, yet some terminals break lines at them.
            if char.is_control() || matches!(char, '\u{2028}' | '\u{2029}') {
                write!(f, "{}", char.escape_unicode())?;
            } else {
                write!(f, "{char}")?;
            }
        }
        f.write_str("`")
    }
}

/// Why a text is not a topic name. Levels count from 1.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing at all.
    Empty,
    /// More than [`NAME_BYTES_MAX`] bytes.
    TooLong {
        /// How many it has.
        bytes: usize,
    },
    /// More than [`LEVELS_MAX`] levels.
    TooDeep {
        /// How many it has.
        levels: usize,
    },
    /// Nothing between two `/`, before the first or after the last.
    EmptyLevel {
        /// The text.
        name: String,
        /// Which level.
        level: usize,
    },
    /// A control character.
    Control {
        /// The text.
        name: String,
        /// At which byte.
        at: usize,
        /// Which.
        char: char,
    },
    /// A `*`: only filters may have it.
    Wildcard {
        /// The text.
        name: String,
        /// In which level.
        level: usize,
    },
    /// The first level starts with `$`.
    Reserved {
        /// The text.
        name: String,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the topic is empty; give it a name like `words/eng`"),
            Self::TooLong { bytes } => {
                write!(f, "the topic has {bytes} bytes; {NAME_BYTES_MAX} is the most: shorten it")
            }
            Self::TooDeep { levels } => {
                write!(f, "the topic has {levels} levels; {LEVELS_MAX} is the most: join some")
            }
            Self::EmptyLevel { name, level } => {
                write!(f, "{}: level {level} is empty; ", Quoted(name))?;
                if name.bytes().all(|byte| byte == b'/') {
                    return f.write_str("write a name like `words/eng`");
                }
                f.write_str("write `")?;
                for (n, level) in name.split('/').filter(|level| !level.is_empty()).enumerate() {
                    write!(f, "{}{}", if n > 0 { "/" } else { "" }, level.escape_debug())?;
                }
                f.write_str("`")
            }
            Self::Control { name, at, char } => {
                let char = u32::from(*char);
                write!(f, "{}: byte {at} is control character U+{char:04X}; ", Quoted(name))?;
                f.write_str("take it out")
            }
            Self::Wildcard { name, level } => {
                write!(f, "{}: level {level} has a `*`, which only filters have; ", Quoted(name))?;
                f.write_str("name one topic")
            }
            Self::Reserved { name } => {
                write!(f, "{}: names that start with `$` are reserved; ", Quoted(name))?;
                f.write_str("start with another character")
            }
        }
    }
}

impl core::error::Error for NameError {}
