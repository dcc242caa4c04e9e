//! Other brokers: how much room they have, and whose home is where.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::PEERS_MAX;
use super::task::{Asked, TaskId};
use crate::ids::{EndpointId, EndpointKey};
use crate::wanted::Kind;

/// What a peer says of one service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PeerOffer {
    /// Requests that can begin at once there.
    pub free: u64,
    /// Requests that are worked on at once there, at most.
    pub capacity: u64,
    /// It takes what is new.
    pub takes: bool,
    /// The kinds of its workers; `None` if it does not say, which counts as any.
    pub kinds: Option<Vec<Kind>>,
}

#[derive(Debug, Default)]
struct Peer {
    /// As it told; free is less what it was given since.
    rooms: BTreeMap<Arc<str>, PeerOffer>,
    tasks: BTreeSet<TaskId>,
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: BTreeMap<EndpointKey, Peer>,
}

impl Peers {
    /// What a peer says. True if it is new for this service, so that homes change.
    pub(super) fn told(
        &mut self,
        key: EndpointKey,
        service: &Arc<str>,
        offer: PeerOffer,
    ) -> Option<bool> {
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&key) {
            return None;
        }
        let peer = self.peers.entry(key).or_default();
        let new = !peer.rooms.contains_key(service);
        let room = peer.rooms.entry(Arc::clone(service)).or_default();
        let moved = new || room.takes != offer.takes;
        *room = offer;
        Some(moved)
    }

    /// Takes a peer out of one service, or of all; what it had been given if nothing is left of it.
    pub(super) fn remove(&mut self, key: EndpointKey, service: Option<&str>) -> BTreeSet<TaskId> {
        let Some(peer) = self.peers.get_mut(&key) else { return BTreeSet::new() };
        peer.rooms.retain(|of, _| service.is_some_and(|service| **of != *service));
        if !peer.rooms.is_empty() {
            return BTreeSet::new();
        }
        self.peers.remove(&key).map(|peer| peer.tasks).unwrap_or_default()
    }

    pub(super) fn is_up(&self, key: EndpointKey) -> bool {
        self.peers.contains_key(&key)
    }

    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    /// The peer with the most room that has not had the task (B-11). With `busy`, one that has
    /// workers at all.
    pub(super) fn choose(&self, asked: &Asked, busy: bool) -> Option<EndpointKey> {
        let fits = self.peers.iter().filter_map(|(key, peer)| {
            let room = peer.rooms.get(&asked.service).filter(|room| room.takes)?;
            let kinds = room.kinds.as_ref();
            if kinds.is_some_and(|all| !all.iter().any(|kind| asked.wanted.takes(kind))) {
                return None;
            }
            let has = room.free > 0 || (busy && room.capacity > 0);
            let passed = asked.hops.contains(&key.id);
            let passed = passed && !crate::planted::on("broker_bounces_a_request");
            (has && !passed).then_some((room.free, *key))
        });
        fits.max_by_key(|(free, key)| (*free, core::cmp::Reverse(*key))).map(|(_, key)| key)
    }

    pub(super) fn give(&mut self, service: &str, key: EndpointKey, task: TaskId) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.tasks.insert(task);
        if let Some(room) = peer.rooms.get_mut(service) {
            room.free = room.free.saturating_sub(1);
        }
    }

    /// A peer turned a task down: it has no room until it says so.
    pub(super) fn full(&mut self, service: &str, key: EndpointKey) {
        let room = self.peers.get_mut(&key).and_then(|peer| peer.rooms.get_mut(service));
        if let Some(room) = room {
            (room.free, room.capacity) = (0, 0);
        }
    }

    pub(super) fn release(&mut self, key: EndpointKey, task: TaskId) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.tasks.remove(&task);
        }
    }

    /// Whether `worker` is at home at `me` (B-9): of the brokers that take work for the service, the
    /// one with the highest draw for this worker. All brokers draw alike.
    pub(super) fn at_home(&self, me: EndpointId, service: &str, worker: EndpointId) -> bool {
        let mine = draw(me, worker);
        let others = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.rooms.get(service).is_some_and(|room| room.takes));
        others.map(|(key, _)| draw(key.id, worker)).all(|theirs| theirs < mine)
    }
}

/// Even, and the same everywhere; ties are broken by the broker's id.
fn draw(broker: EndpointId, worker: EndpointId) -> (u64, EndpointId) {
    let bytes = broker.0.iter().chain(&worker.0);
    let sum = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // FNV's last byte hardly reaches the high bits.
    let mixed = (sum ^ (sum >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed ^ (mixed >> 33), broker)
}
