//! What a member of the realm does that none does by accident.

use crate::ids::EndpointKey;
use alloc::vec::Vec;
use core::time::Duration;

macro_rules! offences {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $per_minute:literal, $text:literal;)*) => {
        /// A rule that a member of the realm can break. Ordinary endpoints do some of it, too, now
        /// and then; [`Offence::per_minute`] says how much is too much.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Offence { $($(#[doc = $doc])* $name,)* }

        impl Offence {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in JSON and on the network. Never changes.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// More than this within a minute is told of.
            pub fn per_minute(self) -> u64 {
                match self { $(Self::$name => $per_minute,)* }
            }

            /// In words.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The offence of a name.
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

offences! {
    /// Authentic packets or records that break a rule of the protocol.
    Malformed = "malformed", 0, "malformed packets or records";
    /// NAKs for what was never sent, or repaired a moment ago. A reader of a fast stream over a bad
    /// link repeats some.
    NakFlood = "nak_flood", 6_000, "NAKs without a cause";
    /// Changes of interest. One endpoint makes 5 a second at most (D-21).
    InterestFlood = "interest_flood", 600, "changes of interest";
    /// Questions beyond ten a second.
    QueryFlood = "query_flood", 0, "questions beyond 10 a second";
    /// Offers of streams that nobody here wants.
    OfferFlood = "offer_flood", 6_000, "offers that nobody wants";
    /// Filters beyond those that are kept of one peer.
    FilterFlood = "filter_flood", 0, "filters beyond the limit";
    /// STATUS for what was never sent.
    FalseStatus = "false_status", 0, "acknowledgements of what was never sent";
    /// Sessions made anew.
    Flapping = "flapping", 30, "sessions made anew";
    /// Deaths told of members that live. One who hears badly may be wrong about some.
    FalseDeath = "false_death", 30, "deaths told of members that live";
    /// New members told of beyond those that are taken in the time. Others pass some of a flood on.
    MemberFlood = "member_flood", 2_000, "new members beyond the limit";
}

/// A member that broke limits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offender {
    /// Who.
    pub key: EndpointKey,
    /// What, and how often since it was first noticed.
    pub offences: Vec<(Offence, u64)>,
    /// How long ago the last time was.
    pub ago: Duration,
}
