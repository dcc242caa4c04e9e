//! Who is known to the membership protocol: one slot each. foca sees slots, the network identities.

use crate::Time;
use crate::ids::{EndpointId, EndpointKey};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::ops::Bound;
use core::time::Duration;
use motet_wire::record::swim::{SwimIdentity, SwimState};

/// What foca calls an identity: which slot, and which life of who is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Handle {
    pub(super) incarnation: u64,
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl Handle {
    /// Which of two lives of one endpoint is the later.
    pub(super) fn rank(&self) -> (u64, u32) {
        (self.incarnation, self.generation)
    }
}

impl foca::Identity for Handle {
    type Addr = u32;

    /// Never by itself: [`Swim`](super::Swim) decides how often (M-11).
    fn renew(&self) -> Option<Self> {
        None
    }

    fn addr(&self) -> u32 {
        self.slot
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        if crate::planted::on("old_incarnation_revives") {
            return false;
        }
        self.rank() > adversary.rank() // M-5
    }
}

/// One slot.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) identity: SwimIdentity,
    pub(super) count: u16,
    pub(super) state: SwimState,
    /// Since when it is in this state.
    pub(super) since: Time,
    /// Its identity may change again from here on (M-9).
    pub(super) damped: Time,
    pub(super) rtt: Option<Duration>,
    /// A session with it stands: only a handshake may put another life in its place.
    pub(super) held: bool,
}

impl Entry {
    pub(super) fn handle(&self, slot: u32) -> Handle {
        let incarnation = self.identity.key.incarnation;
        Handle { incarnation, slot, generation: self.identity.generation }
    }
}

#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    ids: BTreeMap<EndpointId, u32>,
    /// The dead, oldest first.
    gone: BTreeSet<(Time, u32)>,
    /// The suspects, oldest first.
    doubted: BTreeSet<(Time, u32)>,
    /// When somebody died or came back last.
    stirred: Time,
}

impl Table {
    pub(super) fn slot(&self, id: EndpointId) -> Option<u32> {
        self.ids.get(&id).copied()
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Entry> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(super) fn by_id(&self, id: EndpointId) -> Option<&Entry> {
        self.get(self.slot(id)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.ids.values().filter_map(|slot| Some((*slot, self.get(*slot)?)))
    }

    /// The entry that this handle still means.
    pub(super) fn of(&self, handle: &Handle) -> Option<&Entry> {
        self.get(handle.slot).filter(|entry| entry.handle(handle.slot) == *handle)
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn dead(&self) -> usize {
        self.gone.len()
    }

    pub(super) fn insert(&mut self, entry: Entry) -> u32 {
        let id = entry.identity.key.id;
        let (state, since) = (entry.state, entry.since);
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(entry);
        }
        self.ids.insert(id, slot);
        self.note(since, slot, state);
        slot
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Entry> {
        let entry = self.slots.get_mut(slot as usize)?.take()?;
        self.ids.remove(&entry.identity.key.id);
        self.gone.remove(&(entry.since, slot));
        self.doubted.remove(&(entry.since, slot));
        self.free.push(slot);
        Some(entry)
    }

    /// Moves an entry to another state.
    pub(super) fn put(&mut self, now: Time, slot: u32, state: SwimState) {
        let Some(entry) = self.slots.get_mut(slot as usize).and_then(Option::as_mut) else {
            return;
        };
        if entry.state == state {
            return;
        }
        self.gone.remove(&(entry.since, slot));
        self.doubted.remove(&(entry.since, slot));
        if entry.state == SwimState::Down || state == SwimState::Down {
            self.stirred = now;
        }
        (entry.state, entry.since) = (state, now);
        self.note(now, slot, state);
    }

    fn note(&mut self, since: Time, slot: u32, state: SwimState) {
        match state {
            SwimState::Alive => {}
            SwimState::Suspect => {
                self.doubted.insert((since, slot));
            }
            SwimState::Down => {
                self.gone.insert((since, slot));
            }
        }
    }

    /// When somebody died or came back last.
    pub(super) fn stirred(&self) -> Time {
        self.stirred
    }

    /// Who died before this one; else who died last.
    pub(super) fn died_before(&self, this: Option<(Time, u32)>) -> Option<(Time, u32)> {
        let before = this.and_then(|this| self.gone.range(..this).next_back());
        before.or_else(|| self.gone.last()).copied()
    }

    /// Who died after this one; else who is dead for longest.
    pub(super) fn died_after(&self, this: Option<(Time, u32)>) -> Option<(Time, u32)> {
        let after = |this| self.gone.range((Bound::Excluded(this), Bound::Unbounded)).next();
        this.and_then(after).or_else(|| self.gone.first()).copied()
    }

    /// The next suspect after this one; without one, who is suspected for longest.
    pub(super) fn suspected_after(&self, this: Option<(Time, u32)>) -> Option<(Time, u32)> {
        let Some(this) = this else { return self.doubted.first().copied() };
        self.doubted.range((Bound::Excluded(this), Bound::Unbounded)).next().copied()
    }

    /// The one that is dead for longest.
    pub(super) fn oldest_dead(&self) -> Option<(Time, u32)> {
        self.gone.first().copied()
    }
}

/// The name of an identity in a packet.
pub(super) fn name(identity: &SwimIdentity) -> (EndpointKey, u32) {
    (identity.key, identity.generation)
}
