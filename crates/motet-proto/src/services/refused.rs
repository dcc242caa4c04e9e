//! Why a verb was refused, at once and with nothing changed.

use super::name::ServiceNameError;
use core::fmt;

/// Why a service is not offered.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ServeRefused {
    /// The name breaks a rule.
    Name(ServiceNameError),
    /// This endpoint offers it already.
    Twice,
    /// A setting breaks its bound.
    Setting(&'static str),
    /// 4,096 services are offered.
    Limit,
}

impl fmt::Display for ServeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Twice => f.write_str(
                "this endpoint offers the service already; share its server, or open another endpoint",
            ),
            Self::Setting(rule) => f.write_str(rule),
            Self::Limit => f.write_str("4,096 services are offered here; end some"),
        }
    }
}

impl core::error::Error for ServeRefused {}

/// Why a call is not made.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CallRefused {
    /// The service's name breaks a rule.
    Name(ServiceNameError),
    /// A setting or a part of the request breaks its bound.
    Setting(&'static str),
    /// 131,072 calls are open.
    Limit,
    /// 4,096 books are open.
    Books,
}

impl fmt::Display for CallRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Setting(rule) => f.write_str(rule),
            Self::Limit => f.write_str("131,072 calls are open; wait for some to end"),
            Self::Books => {
                f.write_str("4,096 callers by name servers are open; share or drop some")
            }
        }
    }
}

impl core::error::Error for CallRefused {}

/// Why an answer is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RespondError {
    /// Nobody waits for it: the caller cancelled or is gone, or it was answered.
    Gone,
    /// Too much waits for this caller; parts only.
    Full,
    /// The answer breaks a bound.
    Invalid(&'static str),
}

impl fmt::Display for RespondError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "nobody waits for this answer any more",
            Self::Full => "the caller has not taken the parts before this one",
            Self::Invalid(rule) => rule,
        })
    }
}

impl core::error::Error for RespondError {}
