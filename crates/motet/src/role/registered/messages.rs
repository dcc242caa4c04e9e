//! What is said to registries about registrations, as CBOR with numbered fields. The first byte of
//! it is above 0x7F: it is no question in words.

use std::time::Duration;

use minicbor::{Decode, Encode};
use motet_proto::roles::checks::{CheckSpec, Probe};
use motet_proto::roles::registrations::{Registered, Spec};

use crate::role::millis;

/// What a registry is asked.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) enum Ask {
    /// Begin a lease, or renew it.
    #[n(0)]
    Register {
        #[n(0)]
        of: Name,
        #[n(1)]
        what: Registrant,
    },
    /// End it.
    #[n(1)]
    Remove {
        #[n(0)]
        of: Name,
    },
    /// How the owner is.
    #[n(2)]
    Report {
        #[n(0)]
        of: Name,
        #[n(1)]
        health: String,
        #[n(2)]
        text: String,
    },
    /// Out, with a reason, or back in.
    #[n(3)]
    Maintain {
        #[n(0)]
        of: Name,
        #[n(1)]
        why: Option<String>,
    },
    /// What is registered.
    #[n(4)]
    Find {
        #[n(0)]
        service: Option<String>,
    },
    /// Renew a lease as it is.
    #[n(5)]
    Renew {
        #[n(0)]
        of: Name,
    },
    /// From another registry that has begun: what is registered after this one.
    #[n(6)]
    HandOver {
        #[n(0)]
        after: Option<Name>,
    },
}

/// An instance of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub(crate) struct Name {
    #[n(0)]
    pub(crate) service: String,
    #[n(1)]
    pub(crate) instance: String,
}

/// What is registered.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct Registrant {
    #[n(0)]
    pub(crate) address: String,
    #[n(1)]
    pub(crate) ttl_ms: u64,
    #[n(2)]
    pub(crate) checks: Vec<CheckLine>,
    #[n(3)]
    pub(crate) requires: Vec<String>,
    /// The owner offers the instance itself, and its offer says how it stands.
    #[n(4)]
    pub(crate) offered: Option<bool>,
}

/// A check.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct CheckLine {
    /// `ttl`, `tcp`, `http`, `command`.
    #[n(0)]
    pub(crate) kind: String,
    #[n(1)]
    pub(crate) target: String,
    #[n(2)]
    pub(crate) interval_ms: u64,
    #[n(3)]
    pub(crate) timeout_ms: u64,
    #[n(4)]
    pub(crate) rise: u8,
    #[n(5)]
    pub(crate) fall: u8,
}

/// A registered instance as it stands.
#[derive(Clone, Debug, Encode, Decode)]
pub(crate) struct Row {
    #[n(0)]
    pub(crate) of: Name,
    #[n(1)]
    pub(crate) address: String,
    #[n(2)]
    pub(crate) health: String,
    #[n(3)]
    pub(crate) reason: String,
    #[n(4)]
    pub(crate) maintenance: Option<String>,
    #[n(5)]
    pub(crate) left_ms: u64,
}

impl From<&Registered> for Name {
    fn from(of: &Registered) -> Self {
        Self { service: of.service.clone(), instance: of.instance.clone() }
    }
}

#[cfg(feature = "registry")]
impl From<&Name> for Registered {
    fn from(of: &Name) -> Self {
        Self { service: of.service.clone(), instance: of.instance.clone() }
    }
}

impl Registrant {
    /// `None`: a kind of check that is not known here.
    #[cfg_attr(not(feature = "registry"), expect(dead_code, reason = "a registry reads it"))]
    pub(crate) fn spec(&self) -> Option<Spec> {
        let checks = self.checks.iter().map(|it| {
            let target = it.target.clone();
            let probe = match it.kind.as_str() {
                "ttl" => Probe::Ttl,
                "tcp" => Probe::Tcp(target),
                "http" => Probe::Http(target),
                "command" => Probe::Command(target),
                _ => return None,
            };
            let interval = Duration::from_millis(it.interval_ms);
            let timeout = Duration::from_millis(it.timeout_ms);
            Some(CheckSpec { probe, interval, timeout, rise: it.rise, fall: it.fall })
        });
        let ttl = Duration::from_millis(self.ttl_ms);
        Some(Spec { address: self.address.clone(), ttl, checks: checks.collect::<Option<_>>()? })
    }
}

impl From<&CheckSpec> for CheckLine {
    fn from(spec: &CheckSpec) -> Self {
        let kind = match spec.probe {
            Probe::Ttl => "ttl",
            Probe::Tcp(_) => "tcp",
            Probe::Http(_) => "http",
            Probe::Command(_) => "command",
        };
        Self {
            kind: kind.to_owned(),
            target: spec.probe.target().to_owned(),
            interval_ms: millis(spec.interval),
            timeout_ms: millis(spec.timeout),
            rise: spec.rise,
            fall: spec.fall,
        }
    }
}
