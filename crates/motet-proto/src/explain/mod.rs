//! # Explain: why does B not get A's data?
//!
//! **Promise.** For a writer, a reader and a topic there is one answer: a state if data flows or is
//! about to, else one reason, with what can be done about it.
//!
//! **How.** Both ends look at what they know at that moment and answer with a [`Verdict`] each; who
//! asked takes the one that stands earlier in the decision list, which is the order of [`Reason`]
//! (E-2, E-3). [`tell`] puts it into words.
//!
//! | input | effect |
//! |---|---|
//! | two verdicts | one: the earlier reason, with the facts of the other where it has none |
//! | a verdict | what, why and remedy, in plain words |
//! | a name that nobody has | the ones that differ least |
//!
//! **Bounds.** Three near names, 16 tried addresses, 16 offences in a verdict.
//!
//! **Not here.** Looking (`node::explain`), remembering what failed (`node::failures`), asking over
//! the network (the crate `motet`).

mod join;
mod near;
mod offence;
mod text;

pub use join::join;
pub use near::{NEAR_MAX, nearest, nearest_patterns};
pub use offence::{Offence, Offender};
pub use text::{Told, shown, tell};

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// Addresses that a verdict names.
pub const TRIED_MAX: usize = 16;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $state:literal;)*) => {
        /// What keeps a reader from a writer's data on a topic, or how it gets it. The order is the
        /// decision list: of two true reasons the earlier one is told. E-3
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Reason { $($(#[doc = $doc])* $name,)* }

        impl Reason {
            /// All of them, in the order of the decision list.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in JSON and on the network. Never changes.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// True for a state of a stream that is agreed upon, false for what is in its way.
            pub fn is_state(self) -> bool {
                match self { $(Self::$name => $state,)* }
            }
        }
    };
}

reasons! {
    /// Nobody of that name or id is in the realm, as far as the asker has heard.
    NotFound = "not_found", false;
    /// Packets of our realm's name, sealed with another secret, come from there.
    WrongKey = "wrong_key", false;
    /// Packets of another realm come from there.
    WrongRealm = "wrong_realm", false;
    /// The session was refused: its key is not, or no more, authorised.
    Revoked = "revoked", false;
    /// No protocol version or cipher suite is common to both.
    Version = "version", false;
    /// A clock went back: the stamps of its handshakes do not rise.
    Clock = "clock", false;
    /// A limit of one of the two is reached: sessions, streams, filters, memory, or the writer's
    /// patience with a slow reader.
    Limit = "blocked_by_limit", false;
    /// It said goodbye.
    Gone = "gone", false;
    /// Its session died of silence; what it reads and writes waits for its return.
    Suspended = "suspended", true;
    /// Its addresses were tried, and none answered.
    Unreachable = "unreachable", false;
    /// The two have not heard of each other.
    NotMet = "not_met", false;
    /// A rule of the realm forbids the topic.
    NotAuthorised = "not_authorised", false;
    /// The writer does not publish the topic.
    NotPublished = "not_published", false;
    /// No filter of the reader matches.
    NoFilter = "no_matching_filter", false;
    /// Both name a type, and not the same.
    TypeDiffers = "type_differs", false;
    /// The settings of the two do not fit.
    Policy = "policy_incompatible", false;
    /// It has a session with the other, but does not answer who asks: stopped, or starved.
    NotAnswering = "not_answering", false;
    /// The writer has not offered the topic, though the reader wants it.
    NotOffered = "not_offered", false;
    /// Offered, and not answered yet.
    Offered = "offered", true;
    /// The reader's program does not read: its window is closed.
    Paused = "paused", true;
    /// The multicast lane failed for this reader; data flows by unicast.
    LaneLost = "lane_lost", true;
    /// Data flows, but the reader is behind.
    Lagging = "lagging", true;
    /// Data flows.
    Receiving = "receiving", true;
    /// The answer came from a later version, which knows more reasons.
    Unknown = "unknown", false;
}

impl Reason {
    /// The reason of a name; [`Reason::Unknown`] for one that is not known here. E-5
    pub fn from_code(code: &str) -> Self {
        let found = Self::ALL.iter().copied().find(|reason| reason.code() == code);
        found.unwrap_or(Self::Unknown)
    }

    /// Whether data flows.
    pub fn flows(self) -> bool {
        matches!(self, Self::Receiving | Self::Lagging | Self::LaneLost)
    }
}

/// Whose view it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Side {
    /// The writer's, of its reader.
    #[default]
    Writer,
    /// The reader's, of its writer.
    Reader,
    /// The asker's, who is neither.
    Asker,
}

macro_rules! outcomes {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $text:literal;)*) => {
        /// What came back from an address that was tried, or was heard from it.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Outcome { $($(#[doc = $doc])* $name,)* }

        impl Outcome {
            /// Its name in JSON and on the network. Never changes.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// In words.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The outcome of a name.
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

outcomes! {
    /// Nothing, for the whole series of handshakes.
    Silent = "timeout", "no answer";
    /// The kernel knows no way there (EHOSTUNREACH, ENETUNREACH).
    NoRoute = "no_route", "no way there";
    /// ICMP says that no program has that port.
    Refused = "refused", "refused, no program listens there";
    /// Another endpoint answered.
    SomebodyElse = "somebody_else", "another endpoint answered";
    /// An answer that proved nothing.
    Unproven = "unproven", "an answer that proves nothing";
    /// No common version or suite.
    Version = "version", "no common version";
    /// It refused the session as not authorised.
    NotAuthorised = "not_authorised", "refused as not authorised";
    /// It has, or we have, no room for a session.
    Full = "full", "no room for another session";
    /// Its handshake's stamp did not rise.
    Stale = "stale", "its clock went back";
    /// Packets of another realm come from there.
    WrongRealm = "wrong_realm", "another realm speaks there";
    /// Packets of this realm's name and another secret come from there.
    WrongKey = "wrong_key", "same realm name, other secret";
}

/// An address, and what came of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tried {
    /// The address; its port is 0 if packets were only heard from there.
    pub addr: SocketAddr,
    /// What came back.
    pub outcome: Outcome,
    /// How long ago the last time was.
    pub ago: Duration,
    /// How often.
    pub times: u64,
}

/// What one endpoint knows of its session with another.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Link {
    /// Its id, if it is known.
    pub id: String,
    /// Its name, if it is known.
    pub name: String,
    /// `alive`, `suspect`, `dead`, `left`, or empty if it was never met.
    pub state: String,
    /// The address in use.
    pub addr: Option<SocketAddr>,
    /// Datagram size that is known to pass, in bytes of UDP payload.
    pub mtu: u16,
    /// Smoothed round trip, once measured.
    pub rtt: Option<Duration>,
    /// How long ago it was heard.
    pub heard: Option<Duration>,
    /// How long ago a multicast packet of it was heard.
    pub multicast: Option<Duration>,
    /// Its wall clock less ours when the session was made, in ms.
    pub skew_ms: Option<i64>,
    /// The protocol versions that it speaks, as a bitmap.
    pub versions: u16,
    /// It runs on the same host.
    pub same_host: bool,
}

/// What one endpoint says of a writer, a reader and a topic. Empty and `None` is "not known".
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// Whose view it is.
    pub side: Side,
    /// The state or reason; `None` is [`Reason::Unknown`].
    pub reason: Option<Reason>,
    /// Names of endpoints, topics or filters that may have been meant.
    pub near: Vec<String>,
    /// What the writer has: a type tag, or a limit in words.
    pub at_writer: String,
    /// What the reader has.
    pub at_reader: String,
    /// How long it has been so.
    pub since: Option<Duration>,
    /// How long its streams are still kept.
    pub left: Option<Duration>,
    /// Messages published and not acknowledged, or waiting to be read.
    pub behind: u64,
    /// Age of the oldest of them.
    pub lag: Option<Duration>,
    /// The number of the next message.
    pub next: u64,
    /// Messages that were reported missing.
    pub missed: u64,
    /// Messages per 1,000 s, if two looks were taken.
    pub rate_milli: Option<u64>,
    /// How long ago the last message was published or came.
    pub last: Option<Duration>,
    /// What brings the messages, as the writer sees it: `unicast`, `lane 3`, `local`.
    pub carrier: String,
    /// Which limit.
    pub limit: String,
    /// Its value.
    pub limit_value: u64,
    /// What the other's clock is off by, in ms.
    pub skew_ms: Option<i64>,
    /// Addresses that were tried or heard from.
    pub tried: Vec<Tried>,
    /// The session.
    pub link: Link,
    /// Rules that the other has broken, and how often.
    pub offences: Vec<(Offence, u64)>,
}

impl Verdict {
    /// A view with nothing in it but the reason.
    pub fn new(side: Side, reason: Reason) -> Self {
        Self { side, reason: Some(reason), ..Self::default() }
    }

    /// The state or reason.
    pub fn reason(&self) -> Reason {
        self.reason.unwrap_or(Reason::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // E-5
    fn every_reason_has_a_stable_name_of_its_own_and_a_strange_name_is_unknown() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), *reason);
            let snake = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(reason.code().chars().all(snake), "{}", reason.code());
        }
        assert_eq!(Reason::from_code("phase_of_the_moon"), Reason::Unknown);
    }
}
