//! Why an operation on services was refused or failed.

use std::time::Duration;

use motet_proto::EndpointKey;
use motet_proto::node;
use motet_proto::services::{CallFailure, FailureKind, ServiceStatus};
use thiserror::Error;

/// Why a call failed. Each text is one line and says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The name, or a setting of the call, breaks a bound. Nothing was sent.
    #[error("{0}")]
    Invalid(String),
    /// Nobody offers the service.
    #[error(
        "nobody offers {service:?} (looked for {after:?}); start a server with: motet serve {service}, \
         or see: motet service list"
    )]
    NoResponders {
        /// The service.
        service: String,
        /// How long it was looked for.
        after: Duration,
    },
    /// The name servers of an environment lead to nobody.
    #[error("{}", unlisted(service, environment, *found))]
    Unlisted {
        /// The service.
        service: String,
        /// Where it was looked for.
        environment: String,
        /// What was found instead.
        found: Found,
    },
    /// No answer within the time. It may have run.
    #[error(
        "no answer from {service:?} in {after:?} after {attempts} attempts at {tried} instances; \
         give it more time, or see: motet service ping {service}"
    )]
    TimedOut {
        /// The service.
        service: String,
        /// How long was waited.
        after: Duration,
        /// How often it was sent.
        attempts: u64,
        /// To how many instances.
        tried: usize,
    },
    /// An instance, or a broker, said no.
    #[error("{service:?} said {}: {text}{}", status.as_str(), remedy(*status))]
    Status {
        /// The service.
        service: String,
        /// Who.
        from: EndpointKey,
        /// How.
        status: ServiceStatus,
        /// The program's own code, with [`ServiceStatus::Failed`].
        code: u64,
        /// In words.
        text: String,
        /// How often the call was sent.
        attempts: u64,
    },
    /// The instance is gone, and the call may have run there: nobody can know.
    #[error(
        "the instance of {service:?} at {} is gone; the call may have run or not; ask the service \
         what it did, or declare the call safe to repeat", at.id
    )]
    Unknown {
        /// The service.
        service: String,
        /// Which instance.
        at: EndpointKey,
    },
    /// The caller cancelled it.
    #[error("the call to {service:?} was cancelled")]
    Cancelled {
        /// The service.
        service: String,
    },
    /// Replies came faster than they were taken.
    #[error(
        "the replies of {service:?} are more than reply_bytes; take them faster, or allow more"
    )]
    TooLarge {
        /// The service.
        service: String,
    },
    /// The endpoint has closed.
    #[error("the endpoint has closed")]
    Closed,
}

/// What a question to name servers has led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Found {
    /// There is no name server, or none that answers.
    NoNameServer,
    /// None of them knows the service in this environment.
    Nobody,
    /// So many are registered, but none of them takes calls now.
    NotThere(usize),
}

fn unlisted(service: &str, environment: &str, found: Found) -> String {
    match found {
        Found::NoNameServer => format!(
            "no name server answers who offers {service:?} in {environment:?}; start one with: motet \
             nameserver, or call without name servers"
        ),
        Found::Nobody => format!(
            "the name servers know nobody who offers {service:?} in {environment:?}; start a server \
             with: motet serve {service} --register-in {environment}"
        ),
        Found::NotThere(n) => format!(
            "{n} registered for {service:?} in {environment:?}, and none takes calls now; see: motet \
             service info {service}"
        ),
    }
}

/// What to do about a status.
fn remedy(status: ServiceStatus) -> &'static str {
    match status {
        ServiceStatus::UnknownService => "; see: motet service list",
        ServiceStatus::NoWorkers => "; start a server, or wait for one with: motet service wait",
        ServiceStatus::Overload => "; try again later, or start another instance",
        ServiceStatus::DeadlinePassed => "; give the call more time",
        ServiceStatus::Unavailable => "; see: motet service info",
        ServiceStatus::TooLarge => "; send less at once",
        _ => "",
    }
}

impl CallError {
    /// The code by which it failed, as the same call through a broker would give it.
    #[must_use]
    pub fn status(&self) -> Option<ServiceStatus> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::NoResponders { .. } | Self::Unlisted { .. } => Some(ServiceStatus::NoWorkers),
            Self::Unknown { .. } => Some(ServiceStatus::Unknown),
            Self::Cancelled { .. } => Some(ServiceStatus::Cancelled),
            Self::TooLarge { .. } => Some(ServiceStatus::TooLarge),
            _ => None,
        }
    }

    /// Whether the call was provably not begun anywhere.
    #[must_use]
    pub fn not_begun(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::NoResponders { .. } | Self::Unlisted { .. } => true,
            Self::Status { status, .. } => status.not_begun(),
            _ => false,
        }
    }

    pub(crate) fn from_failure(service: &str, failure: CallFailure) -> Self {
        let service = service.to_owned();
        let CallFailure { kind, attempts, tried, after } = failure;
        match kind {
            FailureKind::NoResponders => Self::NoResponders { service, after },
            FailureKind::Status { from, status, code, text } => {
                Self::Status { service, from, status, code, text, attempts }
            }
            FailureKind::Unknown { at } => Self::Unknown { service, at },
            FailureKind::Cancelled => Self::Cancelled { service },
            FailureKind::TooLarge => Self::TooLarge { service },
            FailureKind::Closed => Self::Closed,
            _ => Self::TimedOut { service, after, attempts, tried },
        }
    }
}

impl From<node::CallRefused> for CallError {
    fn from(refused: node::CallRefused) -> Self {
        Self::Invalid(refused.to_string())
    }
}

/// Why a service cannot be offered. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The name or a setting breaks a bound, or this endpoint offers the service already.
    #[error("{0}")]
    Invalid(String),
    /// The endpoint has closed.
    #[error("the endpoint has closed")]
    Closed,
}

/// Why an answer was not taken. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RespondError {
    /// Nobody waits for it: the caller cancelled, is gone, or has the last part already.
    #[error("nobody waits for this answer any more")]
    Gone,
    /// The caller is slow: too much waits for it. Parts only; try again later.
    #[error("the caller has not taken the parts before this one; wait and send it again")]
    Full,
    /// The answer breaks a bound.
    #[error("{0}")]
    Invalid(String),
}

impl From<node::RespondError> for RespondError {
    fn from(error: node::RespondError) -> Self {
        match error {
            node::RespondError::Gone => Self::Gone,
            node::RespondError::Full => Self::Full,
            other => Self::Invalid(other.to_string()),
        }
    }
}
