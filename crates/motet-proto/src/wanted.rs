//! What a request wants of the instance that works on it. Callers, servers and brokers judge alike.

use crate::ids::EndpointId;
use alloc::string::String;
use alloc::vec::Vec;

/// Whether an instance of `version` is one of the version wanted: `2` wants 2, 2.1 and 2.1.7, but
/// not 20; an empty one wants any.
pub fn version_fits(version: &str, wanted: &str) -> bool {
    wanted.is_empty()
        || version
            .strip_prefix(wanted)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '+']))
}

/// The groups that an instance says it is in: its metadata of that name.
pub fn groups(metadata: &[(String, String)]) -> impl Iterator<Item = &str> {
    metadata.iter().filter(|(name, _)| name == "group").map(|(_, value)| value.as_str())
}

/// What kind of instance one is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Kind {
    /// Its version; may be empty.
    pub version: String,
    /// The groups it is in.
    pub groups: Vec<String>,
}

/// What a request wants. The default wants nothing in particular.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Wanted {
    /// A version, as [`version_fits`] reads it; empty: any.
    pub version: String,
    /// An instance of this group.
    pub group: Option<String>,
    /// The instance at this endpoint.
    pub only: Option<EndpointId>,
}

impl Wanted {
    /// Whether any instance will do.
    pub fn is_any(&self) -> bool {
        self.version.is_empty() && self.group.is_none() && self.only.is_none()
    }

    /// Whether an instance of this kind will do, wherever it is.
    pub fn takes(&self, kind: &Kind) -> bool {
        version_fits(&kind.version, &self.version)
            && self.group.as_ref().is_none_or(|group| kind.groups.contains(group))
    }

    /// Whether this very instance will do.
    pub fn fits(&self, id: EndpointId, kind: &Kind) -> bool {
        self.only.is_none_or(|only| only == id) && self.takes(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_wants_what_begins_with_it_up_to_a_point() {
        for (version, wanted) in [("2", "2"), ("2.1.7", "2"), ("2.1", "2.1"), ("", ""), ("3", "")] {
            assert!(version_fits(version, wanted), "{version} for {wanted}");
        }
        for (version, wanted) in [("20", "2"), ("2", "2.1"), ("", "2"), ("1.2", "2")] {
            assert!(!version_fits(version, wanted), "{version} for {wanted}");
        }
    }
}
