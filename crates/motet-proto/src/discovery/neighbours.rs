//! Those on the network whom we cannot talk to: other realms, and ours with another key.

use crate::Time;
use alloc::collections::BTreeMap;
use core::net::IpAddr;

/// Entries kept; beyond it the one heard longest ago goes.
const NEIGHBOURS_MAX: usize = 64;

/// Why we cannot talk to a neighbour.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum NeighbourKind {
    /// Another realm.
    ForeignRealm {
        /// Its tag.
        tag: [u8; 4],
    },
    /// Our realm's tag, sealed with another key.
    WrongKey,
}

/// What is known of a neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// Its address.
    pub ip: IpAddr,
    /// Why we cannot talk to it.
    pub kind: NeighbourKind,
    /// Packets heard.
    pub count: u64,
    /// When it was heard first.
    pub first: Time,
    /// When it was heard last.
    pub last: Time,
}

/// A bounded table of them, by address and kind. Nothing in it is authenticated.
#[derive(Default, Debug)]
pub struct Neighbours {
    table: BTreeMap<(IpAddr, NeighbourKind), Neighbour>,
}

impl Neighbours {
    /// All of them, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Neighbour> {
        self.table.values()
    }

    pub(super) fn note(&mut self, now: Time, ip: IpAddr, kind: NeighbourKind) {
        if let Some(known) = self.table.get_mut(&(ip, kind)) {
            known.count += 1;
            known.last = now;
            return;
        }
        if self.table.len() >= NEIGHBOURS_MAX {
            let oldest = self.table.iter().min_by_key(|(_, n)| n.last).map(|(key, _)| *key);
            oldest.and_then(|key| self.table.remove(&key)); // D-27
        }
        self.table.insert((ip, kind), Neighbour { ip, kind, count: 1, first: now, last: now });
    }
}
