//! Which endpoints are of interest.

use std::collections::BTreeMap;

use motet::report::MemberReport;
use regex_lite::Regex;

use crate::exit::Failure;

/// Endpoints by state and by tags. An expression has to match the whole of what it is about.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    status: Option<Regex>,
    tags: Vec<(String, Regex)>,
    /// Observers too.
    pub(crate) observers: bool,
}

impl Choice {
    pub(crate) fn new(
        status: Option<&str>,
        tags: &[(String, String)],
        observers: bool,
    ) -> Result<Self, Failure> {
        let status = status.map(|text| whole("--status", text)).transpose()?;
        let tags = tags.iter().map(|(key, text)| Ok((key.clone(), whole("--tag", text)?)));
        Ok(Self { status, tags: tags.collect::<Result<_, Failure>>()?, observers })
    }

    /// Whether a state is of interest. Without `--status` those who are gone are not.
    pub(crate) fn state(&self, state: &str) -> bool {
        let here = || !matches!(state, "dead" | "left");
        self.status.as_ref().map_or_else(here, |status| status.is_match(state))
    }

    /// Whether a change is of interest.
    pub(crate) fn change(&self, change: &str) -> bool {
        self.status.as_ref().is_none_or(|status| status.is_match(change))
    }

    /// Whether somebody in this role is.
    pub(crate) fn role(&self, peer: &MemberReport) -> bool {
        self.observers || !peer.roles.iter().any(|role| role == "observer")
    }

    /// Whether somebody with these tags is.
    pub(crate) fn tags(&self, tags: &BTreeMap<String, String>) -> bool {
        let fits =
            |(key, value): &(String, Regex)| tags.get(key).is_some_and(|v| value.is_match(v));
        self.tags.iter().all(fits)
    }
}

fn whole(flag: &str, text: &str) -> Result<Regex, Failure> {
    Regex::new(&format!("^(?:{text})$")).map_err(|error| {
        let example = "give a word as alive, or several as suspect|dead";
        Failure::usage(format!("{flag} {text:?} is no regular expression: {error}; {example}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_matches_the_whole_state_and_every_tag_has_to_fit() {
        let tags = [("site".to_owned(), "north|south".to_owned())];
        let choice = Choice::new(Some("a.*|quiet"), &tags, false).unwrap();
        assert!(choice.state("alive") && choice.state("quiet") && !choice.state("dead"));
        let of = |site: &str| BTreeMap::from([("site".to_owned(), site.to_owned())]);
        assert!(choice.tags(&of("south")) && !choice.tags(&of("southwest")));
        assert!(!choice.tags(&BTreeMap::new()));
        let open = Choice::default();
        assert!(open.state("suspect") && !open.state("dead") && open.change("dead"));
        assert!(Choice::new(Some("("), &[], false).is_err());
    }
}
