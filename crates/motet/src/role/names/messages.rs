//! What is said to and by name servers, as CBOR with numbered fields.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use motet_proto::EndpointId;
use motet_proto::roles::leases::{Held, Named, Record};
use std::time::Duration;

use crate::role::millis;

/// A question to a name server.
#[derive(Debug, Encode, Decode)]
pub(super) enum Ask {
    /// Begin or renew a lease.
    #[n(0)]
    Register {
        #[n(0)]
        entry: Entry,
    },
    /// End it.
    #[n(1)]
    Remove {
        #[n(0)]
        entry: Entry,
    },
    /// Who has this name.
    #[n(2)]
    Find {
        #[n(0)]
        group: String,
        #[n(1)]
        name: Option<String>,
    },
    /// The same, and every change from then on, as parts.
    #[n(3)]
    Watch {
        #[n(0)]
        group: String,
        #[n(1)]
        name: Option<String>,
    },
    /// From another name server: the sums of its table. The answer is what differs.
    #[n(4)]
    Compare {
        #[n(0)]
        sums: Vec<u64>,
    },
    /// From another name server: entries of its table.
    #[n(5)]
    Merge {
        #[n(0)]
        entries: Vec<Entry>,
    },
}

/// What differs between two tables.
#[derive(Debug, Encode, Decode)]
pub(super) struct Differing {
    /// The sums of the one who answers.
    #[n(0)]
    pub(super) sums: Vec<u64>,
    /// Its entries where they differ.
    #[n(1)]
    pub(super) entries: Vec<Entry>,
}

/// An entry of a table.
#[derive(Clone, Debug, Encode, Decode)]
pub(super) struct Entry {
    #[n(0)]
    pub(super) group: String,
    #[n(1)]
    pub(super) name: String,
    #[n(2)]
    pub(super) instance: ByteVec,
    #[n(3)]
    pub(super) life: u64,
    #[n(4)]
    pub(super) count: u64,
    #[n(5)]
    pub(super) ttl_ms: u64,
    /// What is left of it; absent if it has ended.
    #[n(6)]
    pub(super) left_ms: Option<u64>,
    #[n(7)]
    pub(super) address: String,
}

/// The answer to a registration, and to a removal.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
pub(super) enum Done {
    /// It is new, or it stood.
    #[n(0)]
    Yes,
    /// The instance was registered already, or was not.
    #[n(1)]
    Already,
    /// It was ended meanwhile.
    #[n(2)]
    Ended,
}

impl Entry {
    pub(super) fn named(&self) -> Option<Named> {
        let id: [u8; 16] = self.instance.as_slice().try_into().ok()?;
        let (group, name) = (self.group.clone(), self.name.clone());
        Some(Named { group, name, instance: EndpointId(id) })
    }

    pub(super) fn held(&self) -> Held {
        Held { address: self.address.clone(), ttl: Duration::from_millis(self.ttl_ms) }
    }

    pub(super) fn record(&self) -> Option<Record> {
        let held = self.left_ms.map(|left| (self.held(), Duration::from_millis(left)));
        let (version, ttl) = ((self.life, self.count), Duration::from_millis(self.ttl_ms));
        Some(Record { named: self.named()?, version, held, ttl })
    }
}

impl From<Record> for Entry {
    fn from(record: Record) -> Self {
        let Named { group, name, instance } = record.named;
        let left_ms = record.held.as_ref().map(|(_, left)| millis(*left));
        let address = record.held.map(|(held, _)| held.address).unwrap_or_default();
        let (life, count) = record.version;
        let (instance, ttl_ms) = (instance.0.to_vec().into(), millis(record.ttl));
        Self { group, name, instance, life, count, ttl_ms, left_ms, address }
    }
}

/// From bytes; `None` if they are something else.
pub(super) fn decode<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Option<T> {
    minicbor::decode(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::encode;

    #[test]
    fn an_entry_survives_the_way() {
        let named = Named { group: "dev".into(), name: "x".into(), instance: EndpointId([4; 16]) };
        let held = Held { address: "here".into(), ttl: Duration::from_secs(6) };
        for held in [Some((held, Duration::from_secs(2))), None] {
            let ttl = Duration::from_secs(6);
            let record = Record { named: named.clone(), version: (7, 3), held, ttl };
            let bytes = encode(&Ask::Merge { entries: vec![record.clone().into()] });
            let Some(Ask::Merge { entries }) = decode(&bytes) else { panic!("{bytes:?}") };
            assert_eq!(entries[0].record(), Some(record));
        }
        assert!(decode::<Ask>(b"noise").is_none());
    }
}
