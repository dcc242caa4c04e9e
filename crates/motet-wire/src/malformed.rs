//! Why bytes were refused: one name per rule, so that a counter can say which.

use core::fmt;

/// The rule that received bytes broke. `rule as usize` indexes a table of [`Malformed::COUNT`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Malformed {
    /// The bytes end before a field does.
    Short,
    /// The version nibble is not ours.
    Version,
    /// A packet or a frame that must be understood has an unknown type.
    Type,
    /// A reserved bit or byte is not zero.
    Flags,
    /// A length is above its maximum.
    Length,
    /// A number leaves its range, or a sum of two leaves 2^62.
    Range,
    /// A list is longer than its maximum, or empty where it must not be.
    Count,
    /// Items are not ascending and disjoint.
    Order,
    /// Text is not UTF-8.
    Text,
    /// A name is empty where it must not be, or too long.
    Name,
    /// A topic pattern is empty or too long.
    Pattern,
    /// An address has an unknown family.
    Address,
    /// No room for the authentication tag.
    Mac,
    /// Bytes are left where none may be.
    Trailing,
    /// A parameter comes twice.
    Duplicate,
    /// A byte that stands for one of a few choices is none of them.
    Value,
}

impl Malformed {
    /// Every rule, in the order of its number.
    pub const ALL: &[Self] = &[
        Self::Short,
        Self::Version,
        Self::Type,
        Self::Flags,
        Self::Length,
        Self::Range,
        Self::Count,
        Self::Order,
        Self::Text,
        Self::Name,
        Self::Pattern,
        Self::Address,
        Self::Mac,
        Self::Trailing,
        Self::Duplicate,
        Self::Value,
    ];

    /// How many rules there are: the size of a table of counters.
    pub const COUNT: usize = Self::ALL.len();

    /// The rule's name in logs and counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Version => "version",
            Self::Type => "type",
            Self::Flags => "flags",
            Self::Length => "length",
            Self::Range => "range",
            Self::Count => "count",
            Self::Order => "order",
            Self::Text => "text",
            Self::Name => "name",
            Self::Pattern => "pattern",
            Self::Address => "address",
            Self::Mac => "mac",
            Self::Trailing => "trailing",
            Self::Duplicate => "duplicate",
            Self::Value => "value",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl core::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_stands_at_its_own_number() {
        for (at, rule) in Malformed::ALL.iter().enumerate() {
            assert_eq!(*rule as usize, at);
        }
    }
}
