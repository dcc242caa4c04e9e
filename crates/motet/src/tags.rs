//! Tags of an endpoint: short pairs of words by which tools choose among many.

use std::collections::BTreeMap;

use crate::error::OpenError;

/// Checks pairs as they were given; a key given twice has its last value.
pub(crate) fn checked(given: Vec<(String, String)>) -> Result<BTreeMap<String, String>, OpenError> {
    let mut tags = BTreeMap::new();
    for (key, value) in given {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let wrong = |reason: &str| OpenError::Tag {
            tag: format!("{key}={value}"),
            reason: reason.to_owned(),
        };
        if key.is_empty() || key.len() > KEY_MAX || !key.chars().all(fits) {
            return Err(wrong("a key has 1 to 32 letters, digits, dots, dashes and underscores"));
        }
        if value.len() > VALUE_MAX || value.chars().any(char::is_control) {
            return Err(wrong("a value has at most 64 bytes and no control characters"));
        }
        tags.insert(key, value);
    }
    if tags.len() > TAGS_MAX {
        let tag = format!("{} tags", tags.len());
        return Err(OpenError::Tag { tag, reason: format!("there are at most {TAGS_MAX}") });
    }
    let bytes: usize = tags.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > BYTES_MAX {
        let tag = format!("{bytes} bytes of tags");
        return Err(OpenError::Tag { tag, reason: format!("there are at most {BYTES_MAX}") });
    }
    Ok(tags)
}

/// Tags of one endpoint: they travel whole, in one packet.
const TAGS_MAX: usize = 16;
const KEY_MAX: usize = 32;
const VALUE_MAX: usize = 64;
/// Bytes of all keys and values.
const BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<BTreeMap<String, String>, OpenError> {
        checked(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn tags_are_bounded_and_the_last_value_counts() {
        let tags = of(&[("role", "press"), ("site", ""), ("role", "oven")]).unwrap();
        assert_eq!((tags.len(), tags["role"].as_str()), (2, "oven"));
        for wrong in [("", "x"), ("two words", "x"), ("a", "line\nfeed")] {
            assert!(of(&[wrong]).is_err(), "{wrong:?}");
        }
        let long = "v".repeat(65);
        assert!(of(&[("a", &long)]).is_err());
        let many: Vec<(String, String)> =
            (0..17).map(|n| (format!("k{n}"), String::new())).collect();
        assert!(checked(many).unwrap_err().to_string().contains("at most 16"));
    }
}
