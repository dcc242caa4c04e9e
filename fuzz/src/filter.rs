//! Names and filters of topics, against a matcher that is plain and slow.

use motet_proto::topics::{TopicFilter, TopicName};

/// Two texts, divided by a line feed: a filter and a name.
pub fn filter(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (filter, name) = text.split_once('\n').unwrap_or((&text, &text));
    let filter = TopicFilter::parse(filter).inspect_err(|error| one_line(&error.to_string()));
    let name = TopicName::system(name).inspect_err(|error| one_line(&error.to_string()));
    if let Ok(filter) = &filter {
        let text = filter.as_str();
        assert_eq!(TopicFilter::parse(text).as_ref(), Ok(filter), "canonical form is stable");
        assert_eq!(filter.is_exact(), filter.exact_name().is_some());
        assert!(text.starts_with(filter.literal_prefix()));
    }
    if let Ok(name) = &name {
        assert_eq!(TopicName::parse(name.as_str()).is_ok(), !name.is_reserved());
        assert!(TopicFilter::from(name).matches(name));
    }
    if let (Ok(filter), Ok(name)) = (filter, name) {
        assert_eq!(filter.matches(&name), naive(&filter, &name), "{filter} {name}");
    }
}

/// What is said of a mistake stays on its line.
fn one_line(message: &str) {
    assert!(!message.contains(|c: char| c.is_control() || c == '\u{2028}' || c == '\u{2029}'));
}

fn naive(filter: &TopicFilter, name: &TopicName) -> bool {
    let filter: Vec<&str> = filter.levels().collect();
    let name: Vec<&str> = name.levels().collect();
    let wild = filter.first().is_some_and(|level| level.starts_with('*'));
    let reserved = name.first().is_some_and(|level| level.starts_with('$'));
    // At most 32 levels each and four `**`: a table of what the rest of each can do.
    let mut rest = vec![vec![false; name.len() + 1]; filter.len() + 1];
    for f in (0..=filter.len()).rev() {
        for n in (0..=name.len()).rev() {
            rest[f][n] = match filter.get(f) {
                None => n == name.len(),
                Some(&"**") => rest[f + 1][n] || (n < name.len() && rest[f][n + 1]),
                Some(level) => {
                    name.get(n).is_some_and(|other| *level == "*" || level == other)
                        && rest[f + 1][n + 1]
                }
            };
        }
    }
    !(wild && reserved) && rest[0][0]
}
