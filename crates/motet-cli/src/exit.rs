//! Exit codes, and the one line in which an error is told.

use std::fmt;
use std::io;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use motet::{
    AdvertiseError, AskError, OpenError, PublishError, RealmError, SendError, SubscribeError,
    WaitError,
};

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// Not found.
    NotFound = 3,
    /// Refused: realm, key, name held by another.
    Refused = 4,
    /// Timed out, as mosquitto's clients say it.
    TimedOut = 27,
    /// Interrupted, after flushing.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ends before it is done: one line, unless nothing is to be said.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    code: &'static str,
    what: String,
}

impl Failure {
    /// `what` reads: what happened; why; what to do.
    pub(crate) fn new(exit: Exit, code: &'static str, what: impl fmt::Display) -> Self {
        Self { exit, code, what: what.to_string() }
    }

    pub(crate) fn usage(what: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, "M0002", what)
    }

    pub(crate) fn timed_out(what: impl fmt::Display) -> Self {
        Self::new(Exit::TimedOut, "M0301", what)
    }

    /// Ends with this code and says nothing.
    pub(crate) fn quiet(exit: Exit) -> Self {
        Self { exit, code: "", what: String::new() }
    }

    /// How it ends, and what it tells.
    #[cfg(test)]
    pub(crate) fn said(&self) -> (Exit, &str) {
        (self.exit, &self.what)
    }

    /// Tells what there is to tell.
    pub(crate) fn report(self) -> ExitCode {
        if !self.what.is_empty() {
            // One line, whatever a system's message holds.
            let what: Vec<&str> = self.what.split_whitespace().collect();
            eprintln!("error[{}]: {}", self.code, what.join(" "));
        }
        self.exit.into()
    }
}

/// Help and version are no errors; everything else is said in one line.
pub(crate) fn of_arguments(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A closed pipe is no reason to fail.
        drop(error.print());
        return Exit::Done.into();
    }
    let rendered = error.to_string();
    let mut what = Vec::new();
    for line in rendered.lines().map(str::trim).skip_while(|line| line.is_empty()) {
        if line.is_empty() || line.starts_with("Usage:") {
            break;
        }
        what.push(line.trim_start_matches("error: "));
    }
    let mut what = what.join(" ");
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        what = "a verb is missing".to_owned();
    }
    for kind in
        [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
    {
        match error.get(kind) {
            Some(ContextValue::String(near)) => what.push_str(&format!("; did you mean {near}?")),
            Some(ContextValue::Strings(near)) if !near.is_empty() => {
                what.push_str(&format!("; did you mean {}?", near.join(" or ")));
            }
            _ => {}
        }
    }
    Failure::new(Exit::Usage, "M0002", format!("{what}; see: {} --help", verb_of(&rendered)))
        .report()
}

/// `motet topic` out of clap's `Usage: motet topic [OPTIONS] …`.
fn verb_of(rendered: &str) -> String {
    let usage = rendered.lines().find_map(|line| line.trim().strip_prefix("Usage: "));
    let words = usage.unwrap_or("motet").split(' ');
    let verb = |word: &&str| {
        word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
    };
    words.take_while(verb).collect::<Vec<_>>().join(" ")
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Realm(realm) => realm.into(),
            OpenError::PortInUse { .. } => Self::new(Exit::Failed, "M0101", error),
            OpenError::InterfacePattern { .. } => Self::new(Exit::Usage, "M0104", error),
            OpenError::PeerSyntax { .. } => Self::new(Exit::Usage, "M0105", error),
            OpenError::PeersFile { .. } => Self::new(Exit::Usage, "M0108", error),
            OpenError::Tag { .. } => Self::new(Exit::Usage, "M0109", error),
            OpenError::NotMulticast(_) => Self::new(
                Exit::Usage,
                "M0106",
                format!("{error}; give one of 224.0.0.0/4, or --multicast off"),
            ),
            OpenError::Config(_) => {
                Self::new(Exit::Usage, "M0107", format!("{error}; see: motet --help"))
            }
            OpenError::KeyFile { .. } => Self::new(
                Exit::Refused,
                "M0207",
                format!("{error}; a missing --key FILE is made anew"),
            ),
            OpenError::KeyInUse { .. } => Self::new(Exit::Refused, "M0208", error),
            other => Self::new(Exit::Failed, "M0102", format!("{other}; see: motet doctor")),
        }
    }
}

impl From<RealmError> for Failure {
    fn from(error: RealmError) -> Self {
        match error {
            RealmError::NoStateDirectory
            | RealmError::StateDirectory { .. }
            | RealmError::Io { .. } => Self::new(Exit::Failed, "M0201", error),
            RealmError::NotFound { .. } => Self::new(Exit::NotFound, "M0202", error),
            RealmError::Damaged { .. } | RealmError::OtherRealm { .. } => {
                Self::new(Exit::Usage, "M0203", error)
            }
            RealmError::Exists { .. } => Self::new(Exit::Refused, "M0204", error),
            RealmError::Invitation(_) => Self::new(
                Exit::Usage,
                "M0205",
                format!("{error}; copy the whole line that motet realm invite printed"),
            ),
            RealmError::TooOpen { .. } | RealmError::DirectoryTooOpen { .. } => {
                Self::new(Exit::Refused, "M0206", error)
            }
            RealmError::Name(_) => Self::new(Exit::Usage, "M0209", error),
            other => Self::new(Exit::Failed, "M0201", other),
        }
    }
}

impl From<AdvertiseError> for Failure {
    fn from(error: AdvertiseError) -> Self {
        match error {
            AdvertiseError::Name { .. } => Self::new(
                Exit::Usage,
                "M0003",
                format!("{error}; a topic is levels joined by a slash, as in line1/temp"),
            ),
            AdvertiseError::Closed => closed(),
            other => Self::new(Exit::Usage, "M0107", other),
        }
    }
}

impl From<SubscribeError> for Failure {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::Filter { .. } => Self::new(
                Exit::Usage,
                "M0004",
                format!("{error}; * stands for one whole level, ** for any number"),
            ),
            SubscribeError::Closed => closed(),
            other => Self::new(Exit::Usage, "M0107", other),
        }
    }
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Timeout { .. } => {
                Self::timed_out(format!("{error}; try --slow drop-oldest, or a longer --timeout"))
            }
            PublishError::Closed => closed(),
            other => Self::new(Exit::Failed, "M0306", other),
        }
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::NotFound { .. } => not_found(&error),
            SendError::Ambiguous { .. } => Self::new(Exit::Usage, "M0303", ambiguous(&error)),
            SendError::Unacknowledged { .. } => Self::new(
                Exit::TimedOut,
                "M0304",
                format!("{error}; its program may not read its inbox; try a longer --timeout"),
            ),
            SendError::Publish(error) => error.into(),
            SendError::Advertise(error) => error.into(),
            other => Self::new(Exit::Failed, "M0306", other),
        }
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        match error {
            AskError::NotFound { .. } => not_found(&error),
            AskError::Ambiguous { .. } => Self::new(Exit::Usage, "M0303", ambiguous(&error)),
            AskError::NoWay { .. } => Self::new(Exit::Failed, "M0310", error),
            AskError::Gone { .. } => Self::new(Exit::NotFound, "M0302", error),
            AskError::Timeout { .. } => Self::timed_out(format!("{error}; try a longer --timeout")),
            AskError::Closed => closed(),
            other => Self::new(Exit::Failed, "M0307", other),
        }
    }
}

impl From<WaitError> for Failure {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Timeout { .. } => Self::timed_out(error),
            _ => closed(),
        }
    }
}

impl From<io::Error> for Failure {
    /// Output that cannot be written. Somebody who closed the pipe has seen enough.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::quiet(Exit::Done),
            _ => Self::new(Exit::Failed, "M0005", format!("the output cannot be written; {error}")),
        }
    }
}

fn not_found(error: &impl fmt::Display) -> Failure {
    let what = format!("{error}; it is not up, or in another realm; see: motet endpoint list");
    Failure::new(Exit::NotFound, "M0302", what)
}

fn ambiguous(error: &impl fmt::Display) -> String {
    format!("{error}; see: motet endpoint list")
}

fn closed() -> Failure {
    Failure::new(
        Exit::Failed,
        "M0309",
        "the endpoint has closed; its sockets are gone; start again",
    )
}
