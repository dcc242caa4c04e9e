//! Rust source, split into what the compiler reads and what people read.
//!
//! Not a parser: it knows comments, strings and braces, which is enough to look for words without
//! being fooled by them. Good enough for code that rustfmt has laid out; not for macros that build
//! items from pieces.

/// One file, line by line.
pub(crate) struct Source {
    /// Path from the root of the repository.
    pub(crate) path: String,
    pub(crate) lines: Vec<Line>,
}

/// One line of a [`Source`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// The line without comments; what stood in strings and character literals is gone.
    pub(crate) code: String,
    /// The text of its comments, doc comments included.
    pub(crate) comment: String,
    /// Compiled for tests only.
    pub(crate) test: bool,
}

impl Source {
    pub(crate) fn parse(path: &str, text: &str) -> Self {
        let mut lines = split(text);
        mark_tests(&mut lines);
        let mut source = Self { path: path.into(), lines };
        if path.contains("/tests/") || path.contains("/benches/") || path.ends_with("/tests.rs") {
            source.all_is_test();
        }
        source
    }

    /// Marks every line as compiled for tests only.
    pub(crate) fn all_is_test(&mut self) {
        for line in &mut self.lines {
            line.test = true;
        }
    }

    /// `path:line`, for a line counted from 0.
    pub(crate) fn place(&self, line: usize) -> String {
        format!("{}:{}", self.path, line + 1)
    }

    /// Lines that reach users, with their number counted from 0.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().filter(|(_, line)| !line.test)
    }
}

/// Does `text` hold `word`, not as a part of a longer identifier?
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let open = word.starts_with(is_part) && text[..at].ends_with(is_part);
        let close = word.ends_with(is_part) && text[at + word.len()..].starts_with(is_part);
        !open && !close
    })
}

/// Ids such as `T-7` in a text: a prefix out of `prefixes`, a hyphen, a number.
pub(crate) fn ids<'a>(text: &'a str, prefixes: &[&str]) -> Vec<&'a str> {
    let mut found = Vec::new();
    for (hyphen, _) in text.match_indices('-') {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let start = text[..hyphen]
            .rfind(|c| !is_part(c))
            .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
        let after = &text[hyphen + 1..];
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let ends = !after[digits..].starts_with(is_part);
        let begins = !text[..start].ends_with('-');
        if digits > 0 && ends && begins && prefixes.contains(&&text[start..hyphen]) {
            found.push(&text[start..hyphen + 1 + digits]);
        }
    }
    found
}

/// Where the scan stands between two characters.
enum Inside {
    Code,
    LineComment,
    BlockComment(u32),
    /// A string that ends with a quote and this many `#`; `None` if a backslash escapes.
    Text(Option<usize>),
}

fn split(text: &str) -> Vec<Line> {
    let characters: Vec<char> = text.chars().collect();
    let follows = |at: usize, what: &str| {
        what.chars().enumerate().all(|(i, c)| characters.get(at + i) == Some(&c))
    };
    let (mut lines, mut line, mut inside) = (Vec::new(), Line::default(), Inside::Code);
    let mut at = 0;
    while let Some(&c) = characters.get(at) {
        if c == '\n' {
            lines.push(std::mem::take(&mut line));
            if matches!(inside, Inside::LineComment) {
                inside = Inside::Code;
            }
            at += 1;
            continue;
        }
        let mut taken = 1;
        match inside {
            Inside::Code if follows(at, "//") => {
                (inside, taken) = (Inside::LineComment, 2);
            }
            Inside::Code if follows(at, "/*") => {
                (inside, taken) = (Inside::BlockComment(1), 2);
            }
            Inside::Code if c == '"' => {
                line.code.push(c);
                inside = Inside::Text(raw_string(&line.code));
            }
            Inside::Code if c == '\'' => {
                line.code.push(c);
                taken = character_literal(&characters[at..]);
            }
            Inside::Code => line.code.push(c),
            Inside::LineComment => line.comment.push(c),
            Inside::BlockComment(depth) if follows(at, "*/") => {
                inside = if depth == 1 { Inside::Code } else { Inside::BlockComment(depth - 1) };
                taken = 2;
            }
            Inside::BlockComment(depth) if follows(at, "/*") => {
                (inside, taken) = (Inside::BlockComment(depth + 1), 2);
            }
            Inside::BlockComment(_) => line.comment.push(c),
            Inside::Text(None) if c == '\\' && characters.get(at + 1) != Some(&'\n') => taken = 2,
            Inside::Text(hashes)
                if c == '"' && follows(at + 1, &"#".repeat(hashes.unwrap_or(0))) =>
            {
                line.code.push(c);
                (inside, taken) = (Inside::Code, 1 + hashes.unwrap_or(0));
            }
            Inside::Text(_) => {}
        }
        at += taken;
    }
    if line != Line::default() {
        lines.push(line);
    }
    lines
}

/// Is the quote that ends `code` the start of a raw string, and with how many `#`?
fn raw_string(code: &str) -> Option<usize> {
    let before = &code[..code.len() - 1];
    let hashes = before.len() - before.trim_end_matches('#').len();
    let prefix = before.trim_end_matches('#');
    let word = prefix.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + 1);
    matches!(prefix.get(word..), Some("r" | "br" | "cr")).then_some(hashes)
}

/// How many characters to skip: a whole character literal, or the quote of a lifetime.
fn character_literal(rest: &[char]) -> usize {
    match rest {
        ['\'', '\\', _, more @ ..] => more.iter().position(|c| *c == '\'').map_or(1, |end| end + 4),
        ['\'', _, '\'', ..] => 3,
        _ => 1,
    }
}

/// Marks the items below `#[cfg(test)]` and `#[test]`.
fn mark_tests(lines: &mut [Line]) {
    let mut at = 0;
    while at < lines.len() {
        let code = lines[at].code.trim_start();
        let is_test = code.starts_with("#[") && is_test_attribute(code);
        if !is_test {
            at += 1;
            continue;
        }
        let end = end_of_item(lines, at);
        for line in &mut lines[at..=end] {
            line.test = true;
        }
        at = end + 1;
    }
}

fn is_test_attribute(code: &str) -> bool {
    code.starts_with("#[cfg(test)]")
        || code.starts_with("#[cfg(all(test")
        || code.starts_with("#[test]")
        || code.starts_with("#[tokio::test")
}

/// The last line of the item whose first attribute stands on line `start`.
fn end_of_item(lines: &[Line], start: usize) -> usize {
    let (mut braces, mut brackets) = (0_u32, 0_u32);
    for (number, line) in lines.iter().enumerate().skip(start) {
        for c in line.code.chars() {
            match c {
                '{' => braces += 1,
                '}' => {
                    braces = braces.saturating_sub(1);
                    if braces == 0 && brackets == 0 {
                        return number;
                    }
                }
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets = brackets.saturating_sub(1),
                ';' if braces == 0 && brackets == 0 => return number,
                _ => {}
            }
        }
    }
    lines.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<String> {
        split(text).into_iter().map(|line| line.code).collect()
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        let text = "let a = \"unsafe // no\"; // unsafe\n/* unsafe\n /* deep */ unsafe */ b";

        assert_eq!(codes(text), ["let a = \"\"; ", "", " b"]);
        assert_eq!(split(text)[0].comment, " unsafe");
    }

    #[test]
    fn raw_strings_end_where_their_hashes_say() {
        assert_eq!(codes("f(r#\"a \" b\"#, c)"), ["f(r#\"\", c)"]);
        assert_eq!(codes("f(\"a \\\" b\", c)"), ["f(\"\", c)"]);
    }

    #[test]
    fn a_lifetime_is_no_character() {
        assert_eq!(
            codes("fn f<'a>(x: &'a str) -> char { '\"' }"),
            ["fn f<'a>(x: &'a str) -> char { ' }"]
        );
        assert_eq!(codes("x('\\'', y)"), ["x(', y)"]);
        assert_eq!(codes("x('\\u{1F}', y)"), ["x(', y)"]);
    }

    #[test]
    fn the_item_below_a_test_attribute_is_for_tests() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n\
                    #[cfg(test)]\nmod more;\nfn d() {}";
        let source = Source::parse("a.rs", text);

        let shipped: Vec<&str> = source.shipped().map(|(_, line)| line.code.as_str()).collect();
        assert_eq!(shipped, ["fn a() {}", "fn c() {}", "fn d() {}"]);
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("a unsafe { }", "unsafe"));
        assert!(!has_word("#![forbid(unsafe_code)]", "unsafe"));
        assert!(has_word("thread::spawn(x)", "thread::"));
        assert!(!has_word("my_thread::spawn(x)", "thread::"));
    }

    #[test]
    fn ids_are_whole_too() {
        assert_eq!(ids("T-7, W-12: (S-3)", &["T", "W", "S"]), ["T-7", "W-12", "S-3"]);
        assert_eq!(ids("§T-7", &["T"]), ["T-7"]);
        assert!(ids("GL-1 PS-2 X-T-3 T-7a T- UTF-8", &["L", "S", "T", "F"]).is_empty());
    }
}
