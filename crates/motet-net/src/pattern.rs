//! Which interfaces are wanted: `eth*, !docker*`.

use std::fmt;

/// A list of globs over interface names. `*` stands for any run of characters, `?` for one, `!` in
/// front excludes.
///
/// A name is wanted if no exclusion matches it and some other glob does; where there are only
/// exclusions (or nothing), everything else is wanted. Order does not matter.
///
/// ```
/// let pattern = motet_net::InterfacePattern::parse("eth*, wlan?, !eth9").unwrap();
/// assert!(pattern.matches("eth0") && !pattern.matches("eth9") && !pattern.matches("docker0"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfacePattern {
    wanted: Vec<String>,
    unwanted: Vec<String>,
}

/// Why [`InterfacePattern::parse`] refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PatternError {
    /// A `!` without a glob after it.
    Empty,
    /// A character that no interface name can hold, or a second `!`.
    BadCharacter(char),
    /// More globs than the bound.
    TooMany {
        /// The bound.
        max: usize,
    },
    /// A glob longer than the bound.
    TooLong {
        /// The bound, in bytes.
        max: usize,
    },
}

impl InterfacePattern {
    /// Parses globs separated by commas or white space.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(list: &str) -> Result<Self, PatternError> {
        let mut pattern = Self::default();
        for glob in
            list.split(|c: char| c == ',' || c.is_whitespace()).filter(|glob| !glob.is_empty())
        {
            let (side, glob) = match glob.strip_prefix('!') {
                Some(rest) => (&mut pattern.unwanted, rest),
                None => (&mut pattern.wanted, glob),
            };
            if glob.is_empty() {
                return Err(PatternError::Empty);
            }
            if glob.len() > GLOB_BYTES_MAX {
                return Err(PatternError::TooLong { max: GLOB_BYTES_MAX });
            }
            if let Some(bad) = glob
                .chars()
                .find(|c| matches!(c, '!' | '/' | '[' | ']' | '{' | '}') || c.is_control())
            {
                return Err(PatternError::BadCharacter(bad));
            }
            side.push(glob.to_owned());
            if pattern.wanted.len() + pattern.unwanted.len() > GLOBS_MAX {
                return Err(PatternError::TooMany { max: GLOBS_MAX });
            }
        }
        Ok(pattern)
    }

    /// Whether the interface called `name` is wanted.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let any = |globs: &[String]| {
            globs.iter().any(|glob| glob_matches(glob.as_bytes(), name.as_bytes()))
        };
        !any(&self.unwanted) && (self.wanted.is_empty() || any(&self.wanted))
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "`!` without a name after it"),
            Self::BadCharacter(bad) => write!(f, "no interface name holds {bad:?}"),
            Self::TooMany { max } => write!(f, "more than {max} patterns"),
            Self::TooLong { max } => write!(f, "a pattern longer than {max} bytes"),
        }
    }
}

impl std::error::Error for PatternError {}

/// Iterative, with one point to fall back to: at worst `glob × name` steps.
fn glob_matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut at, mut matched) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while matched < name.len() {
        match glob.get(at) {
            Some(b'*') => {
                star = Some((at, matched));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[matched] => {
                at += 1;
                matched += 1;
            }
            _ => {
                let Some((after, from)) = star else { return false };
                star = Some((after, from + 1));
                at = after + 1;
                matched = from + 1;
            }
        }
    }
    glob[at..].iter().all(|&byte| byte == b'*')
}

/// Globs in one list.
const GLOBS_MAX: usize = 64;
/// Bytes of one glob: an interface name has at most 15 (`IFNAMSIZ`), with wildcards between.
const GLOB_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_select_by_this_table() {
        let table = [
            ("", "eth0", true),
            ("eth*", "eth0", true),
            ("eth*", "wlan0", false),
            ("eth?", "eth10", false),
            ("eth??", "eth10", true),
            ("*", "anything", true),
            ("!docker*", "eth0", true),
            ("!docker*", "docker0", false),
            ("!docker*,!veth*", "veth12ab", false),
            ("eth*, !eth1", "eth0", true),
            ("!eth1 eth*", "eth1", false),
            ("en*s?", "enp3s0", true),
            ("en*s?", "enp3s10", false),
            ("*p*s*", "enp3s0", true),
            ("a*b*c", "aXbYbZc", true),
            ("lo", "lo0", false),
            ("**", "", true),
        ];
        for (list, name, wanted) in table {
            assert_eq!(
                InterfacePattern::parse(list).unwrap().matches(name),
                wanted,
                "{list:?} on {name:?}"
            );
        }
    }

    #[test]
    fn a_pattern_that_means_nothing_is_refused() {
        assert_eq!(InterfacePattern::parse("eth0, !"), Err(PatternError::Empty));
        assert_eq!(InterfacePattern::parse("!!eth0"), Err(PatternError::BadCharacter('!')));
        assert_eq!(InterfacePattern::parse("a/b"), Err(PatternError::BadCharacter('/')));
        assert_eq!(
            InterfacePattern::parse(&"x".repeat(33)),
            Err(PatternError::TooLong { max: 32 })
        );
        assert_eq!(
            InterfacePattern::parse(&"x ".repeat(65)),
            Err(PatternError::TooMany { max: 64 })
        );
    }
}
