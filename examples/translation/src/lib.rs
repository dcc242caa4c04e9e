//! Translation: servers that know a few words, clients that ask for them, brokers in between. All
//! of them are told no address: a service has a name.
#![forbid(unsafe_code)]

pub mod broker;

use motet::service::CallError;
pub use motet_example_words::{Language, Network, WORDS, asked_to_end, pause, run};

/// The service.
pub const TRANSLATE: &str = "translate";

/// A request: a word and two languages, as `hello eng fra`.
#[must_use]
pub fn question(word: &str, from: &str, to: &str) -> String {
    format!("{word}\n{from}\n{to}")
}

/// Why a word is not translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The request is not a word and two languages.
    Question,
    /// The dictionary has no such pair of languages.
    Languages,
    /// The dictionary has no such word.
    Word,
}

impl Unknown {
    /// The code of the failure, and what is said.
    #[must_use]
    pub fn in_words(self) -> (u64, &'static str) {
        match self {
            Self::Question => (400, "a question is a word and two languages, a line each"),
            Self::Languages => (404, "languages are eng, fra and esp, and two different ones"),
            Self::Word => (404, "the word is not in the dictionary"),
        }
    }
}

/// The translations of a word.
///
/// # Errors
/// [`Unknown`].
pub fn translate(question: &str) -> Result<Vec<&'static str>, Unknown> {
    let mut lines = question.split('\n');
    let (Some(word), Some(from), Some(to), None) =
        (lines.next(), lines.next(), lines.next(), lines.next())
    else {
        return Err(Unknown::Question);
    };
    let code = |code: &str| Language::ALL.iter().position(|language| language.code() == code);
    let (Some(from), Some(to)) = (code(from), code(to)) else { return Err(Unknown::Languages) };
    if from == to {
        return Err(Unknown::Languages);
    }
    // The second French word for hello.
    let more = [["hello", "salut", "hola"]];
    let all = WORDS.iter().chain(&more).filter(|row| row[from] == word);
    let mut found: Vec<&str> = all.map(|row| row[to]).collect();
    found.dedup();
    if found.is_empty() { Err(Unknown::Word) } else { Ok(found) }
}

/// Says why a call failed; the exit status.
pub fn gave_up(error: &CallError) -> std::process::ExitCode {
    eprintln!("error: {error}");
    std::process::ExitCode::from(match error {
        CallError::Status { .. } => 1,
        _ => 3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_may_have_two_translations() {
        assert_eq!(translate(&question("hello", "eng", "fra")), Ok(vec!["bonjour", "salut"]));
        assert_eq!(translate(&question("goodbye", "eng", "esp")), Ok(vec!["adiós"]));
        assert_eq!(translate(&question("salut", "fra", "eng")), Ok(vec!["hello"]));
        assert_eq!(translate(&question("hello", "eng", "esp")), Ok(vec!["hola"]));
    }

    #[test]
    fn what_is_not_known_is_said() {
        assert_eq!(translate(&question("cheese", "eng", "fra")), Err(Unknown::Word));
        assert_eq!(translate(&question("hello", "eng", "deu")), Err(Unknown::Languages));
        assert_eq!(translate(&question("hello", "eng", "eng")), Err(Unknown::Languages));
        assert_eq!(translate("hello"), Err(Unknown::Question));
    }
}
