//! Discovery's wishes → beacons, dials, probes.

use super::Node;
use super::peer::Probe;
use crate::crypto::Crypto;
use crate::discovery::Action;
use crate::host::Via;
use crate::time::Time;
use alloc::vec::Vec;
use motet_wire::packet::RealmHeader;
use motet_wire::record::{Record as Realm, put_padding};

/// Beacons are padded to this.
const BEACON_LEN: usize = 256;

impl<C: Crypto> Node<C> {
    /// Executes what discovery wants done.
    pub(super) fn run_discovery(&mut self, now: Time) {
        while let Some(action) = self.discovery.poll() {
            match action {
                Action::Multicast { solicit, leaving } => {
                    for (via, dst) in self.discovery.groups() {
                        let bytes = self.beacon(true, solicit, leaving);
                        self.push(super::Packet { via, dst, src: None, bytes });
                    }
                }
                Action::Unicast { dst, solicit, leaving } => {
                    let bytes = self.beacon(false, solicit, leaving);
                    self.push(super::Packet { via: Via::Unicast, dst, src: None, bytes });
                }
                Action::Dial { id, addrs } => self.dial(now, id, &addrs),
                Action::Probe { id } => {
                    if let Some((at, peer)) = self.peer_by_id(id) {
                        peer.probe.get_or_insert_with(|| Probe::new(now)).asked = true;
                        self.rearm(at);
                    } else {
                        self.discovery.on_probe(now, id, false);
                    }
                }
                Action::DeclareDead { id, reason } => {
                    if let Some(at) = self.by_id.get(&id).copied() {
                        self.free_peer(now, at, reason);
                    }
                }
                Action::Event(event) => self.events.push_back(event),
            }
        }
    }

    pub(super) fn beacon(&mut self, multicast: bool, solicit: bool, leaving: bool) -> Vec<u8> {
        self.counters.beacons_sent += 1;
        let mut records = Vec::with_capacity(BEACON_LEN);
        let beacon = self.discovery.beacon(0, self.interest.version());
        Realm::Beacon(beacon).encode(&mut records);
        self.put_interest(&mut records);
        let header = RealmHeader {
            multicast,
            solicit,
            leaving,
            epoch: 0,
            realm_tag: self.realm.tag,
            id: self.key.id,
            incarnation: self.key.incarnation,
            counter: 0,
        };
        let room = BEACON_LEN - RealmHeader::LEN - motet_wire::packet::TAG_LEN;
        if let Some(pad) = room.checked_sub(records.len())
            && pad >= 2
        {
            put_padding(&mut records, pad);
        }
        self.realm.seal(header, &records)
    }
}
