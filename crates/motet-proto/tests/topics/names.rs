//! Text becomes names and filters, and filters match names.

use super::{filter, name};
use motet_proto::topics::{FilterError, NameError, TopicFilter, TopicName};
use proptest::prelude::*;

#[test] // P-1
fn a_name_has_1_to_32_levels_and_1_to_1024_bytes() {
    let deep = |levels: usize| vec!["a"; levels].join("/");

    assert!(TopicName::parse("words").is_ok());
    assert!(TopicName::parse(&deep(32)).is_ok());
    assert!(TopicName::parse(&"x".repeat(1_024)).is_ok());
    assert_eq!(TopicName::parse(""), Err(NameError::Empty));
    assert_eq!(TopicName::parse(&deep(33)), Err(NameError::TooDeep { levels: 33 }));
    assert_eq!(TopicName::parse(&"x".repeat(1_025)), Err(NameError::TooLong { bytes: 1_025 }));
    assert_eq!(
        TopicFilter::parse(&deep(65_535)),
        Err(FilterError::Levels(NameError::TooLong { bytes: 131_069 }))
    );
}

#[test] // P-1
fn an_empty_level_is_refused_wherever_it_is() {
    for (text, level) in [("/a", 1), ("a/", 2), ("a//b", 2), ("/", 1)] {
        let error = NameError::EmptyLevel { name: text.into(), level };
        assert_eq!(TopicName::parse(text), Err(error.clone()));
        assert_eq!(TopicFilter::parse(text), Err(FilterError::Levels(error)));
    }
}

#[test] // P-1
fn control_characters_are_refused() {
    for (text, at, char) in
        [("a\0", 1, '\0'), ("a\r\nb", 1, '\r'), ("ä\u{85}", 2, '\u{85}'), ("\u{7f}", 0, '\u{7f}')]
    {
        let error = NameError::Control { name: text.into(), at, char };
        assert_eq!(TopicName::parse(text), Err(error));
    }
}

#[test] // P-2
fn a_name_has_no_star_and_what_only_looks_special_is_plain_text() {
    for text in ["*", "a/**", "a*b"] {
        assert!(matches!(TopicName::parse(text), Err(NameError::Wildcard { .. })), "{text}");
    }
    for text in ["..", "a/../b", "%2f", "a/%00", "+", "#", "wörter", "а/b", "a/$b", " "] {
        assert_eq!(TopicName::parse(text).unwrap().as_str(), text);
    }
}

#[test] // P-3
fn names_that_start_with_a_dollar_are_for_the_node_itself() {
    assert_eq!(TopicName::parse("$inbox/1"), Err(NameError::Reserved { name: "$inbox/1".into() }));
    assert!(TopicName::system("$inbox/1").unwrap().is_reserved());
    assert!(!name("a/$b").is_reserved());
}

#[test] // P-4
fn a_star_that_is_not_a_whole_level_is_refused_with_what_to_write() {
    let error = TopicFilter::parse("words/e*").unwrap_err();

    assert_eq!(error, FilterError::PartOfLevel { filter: "words/e*".into(), level: 2 });
    assert_eq!(error.to_string(), "`words/e*`: `*` stands for one whole level; write `words/*`");
    for text in ["***", "a/b**", "*a/b", "a*b"] {
        assert!(matches!(TopicFilter::parse(text), Err(FilterError::PartOfLevel { .. })), "{text}");
    }
}

#[test] // P-5
fn a_filter_has_at_most_four_double_stars() {
    assert!(TopicFilter::parse("**/a/**/a/**/a/**").is_ok());
    let text = "**/a/**/a/**/a/**/**";
    assert_eq!(
        TopicFilter::parse(text),
        Err(FilterError::TooManyAnyDepth { filter: text.into(), count: 5 })
    );
}

#[test] // P-6, P-9
fn names_match_by_whole_levels() {
    let rows = [
        ("words/eng", "words/eng", true),
        ("words/eng", "words/english", false),
        ("words/eng", "words", false),
        ("words/*", "words/eng", true),
        ("words/*", "words", false),
        ("words/*", "words/eng/x", false),
        ("words/**", "words", true),
        ("words/**", "words/eng", true),
        ("words/**", "words/eng/x", true),
        ("words/**", "wordsmith", false),
        ("**", "a", true),
        ("**/b", "b", true),
        ("**/b", "a/b/c/b", true),
        ("**/b", "a/b/c", false),
        ("a/**/*/c", "a/c", false),
        ("a/**/*/c", "a/b/c", true),
        ("*/*", "a", false),
        ("*/**", "a", true),
    ];
    for (pattern, text, expected) in rows {
        assert_eq!(filter(pattern).matches(&name(text)), expected, "{pattern} {text}");
    }
}

#[test] // P-7
fn filters_that_begin_with_a_wildcard_never_match_reserved_names() {
    for pattern in ["**", "*/1", "**/1", "*/**"] {
        assert!(!filter(pattern).matches(&name("$inbox/1")), "{pattern}");
    }
    assert!(filter("$inbox/*").matches(&name("$inbox/1")));
    assert!(filter("$inbox/1").matches(&name("$inbox/1")));
    assert!(filter("**").matches(&name("a/$b")));
}

#[test] // P-8
fn a_run_of_double_stars_is_one() {
    assert_eq!(filter("**/**").as_str(), "**");
    assert_eq!(filter("a/**/**/**/b").as_str(), "a/**/b");
    assert_eq!(filter("a/**/**"), filter("a/**"));
    assert_eq!(filter("a/**/*/**").as_str(), "a/**/*/**");
}

#[test]
fn a_filter_without_wildcards_knows_its_name() {
    assert_eq!(filter("a/b").exact_name(), Some("a/b"));
    assert!(filter("a/b").is_exact());
    assert_eq!(filter("a/*").exact_name(), None);
    assert_eq!(filter("a/*/c").literal_prefix(), "a");
    assert_eq!(filter("**/c").literal_prefix(), "");
    assert_eq!(TopicFilter::from(&name("a/b")), filter("a/b"));
}

#[test]
fn the_worst_filter_for_backtracking_is_cheap() {
    let pattern = filter(&format!("**/a/**/a/**/a/**/{}", ["a"; 24].join("/")));
    let text = name(&["a"; 31].iter().chain(&["b"]).copied().collect::<Vec<_>>().join("/"));

    for _ in 0..100_000 {
        assert!(!pattern.matches(&text));
    }
}

#[test]
fn every_error_is_one_line_whatever_the_text_holds() {
    for text in ["", "/", "a//b\n", "a\r\nb", "\u{2028}*", "a*\u{2029}", "$x", "**/**/**/**/**"] {
        let errors = [
            TopicName::parse(text).err().map(|error| error.to_string()),
            TopicFilter::parse(text).err().map(|error| error.to_string()),
        ];
        for line in errors.into_iter().flatten() {
            assert!(!line.chars().any(|c| c.is_control() || c == '\u{2028}'), "{line:?}");
            assert!(line.contains(": ") || line.contains("; "), "{line}");
        }
    }
    assert_eq!(
        TopicName::parse("/words//eng").unwrap_err().to_string(),
        "`/words//eng`: level 1 is empty; write `words/eng`"
    );
}

/// What P-6 says, word for word.
fn model(filter: &[&str], name: &[&str]) -> bool {
    match (filter, name) {
        ([], []) => true,
        (["**", rest @ ..], _) => (0..=name.len()).any(|n| model(rest, &name[n..])),
        (["*", rest @ ..], [_, name @ ..]) => model(rest, name),
        ([level, rest @ ..], [first, name @ ..]) => level == first && model(rest, name),
        _ => false,
    }
}

fn levels(of: &'static [&'static str], max: usize) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::collection::vec(proptest::sample::select(of), 1..=max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60_000))]

    #[test] // P-6, P-8
    fn matching_equals_a_naive_model(
        pattern in levels(&["a", "b", "a", "b", "*", "**"], 9),
        text in levels(&["a", "b"], 9),
    ) {
        prop_assume!(pattern.iter().filter(|level| **level == "**").count() <= 4);
        let (name, filter) = (name(&text.join("/")), filter(&pattern.join("/")));
        prop_assert_eq!(filter.matches(&name), model(&pattern, &text));
        prop_assert_eq!(TopicFilter::parse(filter.as_str()).unwrap(), filter);
    }

    #[test] // P-1, P-2, P-3
    fn any_text_is_a_sound_name_or_an_error(text in "[a/*$\u{0}\u{9}\u{85}é.% ]{0,40}|\\PC{0,60}") {
        if let Ok(name) = TopicName::parse(&text) {
            prop_assert_eq!(name.as_str(), &text);
            prop_assert!(name.levels().all(|level| !level.is_empty()));
            prop_assert!(!text.contains('*') && !text.starts_with('$'));
            prop_assert!(!text.chars().any(char::is_control));
            prop_assert!(TopicFilter::parse(&text).unwrap().matches(&name));
        }
        if let Ok(filter) = TopicFilter::parse(&text) {
            prop_assert!(filter.levels().all(|level| matches!(level, "*" | "**") || !level.contains('*')));
        }
    }
}
