//! What a broker says: its offer to everybody, claims to other brokers, refusals to callers.

use motet_proto::roles::broker::{Claim, Refusal};
use motet_proto::wanted::{Kind, Wanted};
use motet_proto::{EndpointId, EndpointKey};

use crate::service::ServiceStatus;

/// The metadata of a broker: its room as free/capacity/waiting, and the kinds of its workers, each a
/// `kind` with the version, followed by one `in` for each group. Too many kinds are not told.
pub(super) fn told(
    free: u64,
    capacity: u64,
    waiting: u64,
    kinds: &[Kind],
) -> Vec<(String, String)> {
    let mut told = vec![("room".to_owned(), format!("{free}/{capacity}/{waiting}"))];
    let entries: usize = kinds.iter().map(|kind| 1 + kind.groups.len()).sum();
    if entries <= KIND_ENTRIES_MAX {
        for kind in kinds {
            told.push((KIND.to_owned(), kind.version.clone()));
            told.extend(kind.groups.iter().map(|group| (GROUP.to_owned(), group.clone())));
        }
    }
    told
}

/// What [`told`] says of kinds; `None` if there are none, or too many.
pub(super) fn told_kinds(metadata: &[(String, String)]) -> Option<Vec<Kind>> {
    let mut kinds: Vec<Kind> = Vec::new();
    for (name, value) in metadata {
        match (name.as_str(), kinds.last_mut()) {
            (KIND, _) => kinds.push(Kind { version: value.clone(), groups: Vec::new() }),
            (GROUP, Some(kind)) => kind.groups.push(value.clone()),
            _ => {}
        }
    }
    (!kinds.is_empty()).then_some(kinds)
}

pub(super) fn kind_in_words(kind: &Kind) -> String {
    let version = if kind.version.is_empty() { "none" } else { &kind.version };
    let groups = match kind.groups.len() {
        0 => String::new(),
        _ => format!(" in group {}", kind.groups.join(", ")),
    };
    format!("version {version}{groups}")
}

pub(super) fn wanted_in_words(wanted: &Wanted) -> String {
    let version = (!wanted.version.is_empty()).then(|| format!("of version {}", wanted.version));
    let group = wanted.group.as_ref().map(|group| format!("in group {group}"));
    let only = wanted.only.map(|id| format!("at endpoint {id}"));
    [version, group, only].into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

pub(super) fn told_room(text: &str) -> (u64, u64) {
    let mut numbers = text.split('/').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

pub(super) fn in_words(why: Refusal) -> (ServiceStatus, &'static str) {
    match why {
        Refusal::NoWorkers => (ServiceStatus::NoWorkers, "the broker has no worker for it"),
        Refusal::Overload => (ServiceStatus::Overload, "too many requests wait at the broker"),
        Refusal::TurnedDown => (ServiceStatus::Overload, "its workers turn it down"),
        Refusal::DeadlinePassed => {
            (ServiceStatus::DeadlinePassed, "its time was over before a worker could begin")
        }
        Refusal::Loop => (ServiceStatus::NoWorkers, "it came back to a broker that had it"),
        Refusal::Unknown => {
            (ServiceStatus::Unknown, "the worker that had it is gone; it may have run or not")
        }
        Refusal::Draining => (ServiceStatus::Unavailable, "the broker ends"),
    }
}

/// A claim as bytes: the worker's id and incarnation, then the key.
pub(super) fn encode(claim: &Claim) -> Vec<u8> {
    let incarnation = claim.worker.incarnation.to_be_bytes();
    [&claim.worker.id.0[..], &incarnation, &claim.key].concat()
}

pub(super) fn decode(bytes: &[u8]) -> Option<Claim> {
    let (id, rest) = bytes.split_first_chunk::<16>()?;
    let (incarnation, key) = rest.split_first_chunk::<8>()?;
    let incarnation = u64::from_be_bytes(*incarnation);
    let worker = EndpointKey { id: EndpointId(*id), incarnation };
    Some(Claim { key: key.to_vec(), worker })
}

/// What an offer of a broker calls the version of one kind of worker, and a group of it.
const KIND: &str = "kind";
const GROUP: &str = "in";
/// Metadata for kinds; an offer has 64 in all.
const KIND_ENTRIES_MAX: usize = 60;
