//! Who is known to the membership protocol: one slot each. foca sees slots, the network identities.

use super::entry::Entry;
use crate::Time;
use crate::ids::{EndpointId, EndpointKey};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Bound;
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

/// Everybody known.
#[derive(Debug)]
pub(super) struct Table<N> {
    slots: Vec<Option<Entry<N>>>,
    free: Vec<u32>,
    /// The slots in the order of ids, each with the first four bytes of its id: most comparisons of a
    /// search need no more.
    order: Vec<(u32, u32)>,
    /// The dead, oldest first.
    gone: BTreeSet<(Time, u32)>,
    /// The suspects, oldest first.
    doubted: BTreeSet<(Time, u32)>,
    /// When somebody died or came back last.
    stirred: Time,
    /// Rises when somebody, or a life of somebody, begins or ends.
    changes: u64,
}

impl<N> Default for Table<N> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            order: Vec::new(),
            gone: BTreeSet::new(),
            doubted: BTreeSet::new(),
            stirred: Time::ZERO,
            changes: 0,
        }
    }
}

impl<N> Table<N> {
    /// Where an id stands in the order, or would.
    fn search(&self, id: &EndpointId) -> Result<usize, usize> {
        let first = first_of(id);
        self.order.binary_search_by(|(theirs, slot)| {
            theirs.cmp(&first).then_with(|| self.get(*slot).map(Entry::id).cmp(&Some(id)))
        })
    }

    pub(super) fn slot(&self, id: EndpointId) -> Option<u32> {
        let at = self.search(&id).ok()?;
        self.order.get(at).map(|(_, slot)| *slot)
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Entry<N>> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Entry<N>> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(super) fn by_id(&self, id: EndpointId) -> Option<&Entry<N>> {
        self.get(self.slot(id)?)
    }

    /// All, by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Entry<N>)> {
        self.order.iter().filter_map(|(_, slot)| Some((*slot, self.get(*slot)?)))
    }

    /// All, as they lie in memory.
    pub(super) fn heap(&self) -> impl Iterator<Item = &Entry<N>> {
        self.slots.iter().flatten()
    }

    /// The nth by id.
    pub(super) fn nth(&self, n: usize) -> Option<&Entry<N>> {
        self.order.get(n).and_then(|(_, slot)| self.get(*slot))
    }

    /// The first whose id is not lower.
    pub(super) fn from(&self, id: &EndpointId) -> Option<(u32, &Entry<N>)> {
        let at = self.search(id).unwrap_or_else(|at| at);
        let (_, slot) = self.order.get(at)?;
        Some((*slot, self.get(*slot)?))
    }

    /// The entry that this handle still means.
    pub(super) fn of(&self, handle: &Handle) -> Option<&Entry<N>> {
        self.get(handle.slot).filter(|entry| entry.handle(handle.slot) == *handle)
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn dead(&self) -> usize {
        self.gone.len()
    }

    pub(super) fn insert(&mut self, entry: Entry<N>) -> u32 {
        let id = *entry.id();
        let (state, since) = (entry.state, entry.since);
        let at = self.search(&id);
        debug_assert!(at.is_err(), "one slot for each");
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                room(&mut self.slots);
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(entry);
        }
        if let Err(at) = at {
            room(&mut self.order);
            self.order.insert(at, (first_of(&id), slot));
        }
        self.changes += 1;
        self.note(since, slot, state);
        slot
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Entry<N>> {
        let id = *self.get(slot)?.id();
        if let Ok(at) = self.search(&id) {
            self.order.remove(at);
        }
        let entry = self.slots.get_mut(slot as usize)?.take()?;
        self.gone.remove(&(entry.since, slot));
        self.doubted.remove(&(entry.since, slot));
        self.changes += 1;
        self.free.push(slot);
        Some(entry)
    }

    /// Makes room for so many more, and no more than that.
    pub(super) fn reserve(&mut self, more: usize) {
        self.slots.reserve_exact(more);
        self.order.reserve_exact(more);
    }

    /// Rises when somebody, or a life of somebody, begins or ends.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// A life of somebody that is known has begun.
    pub(super) fn reborn(&mut self) {
        self.changes += 1;
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
            self.changes += 1;
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

/// The first four bytes of an id.
fn first_of(id: &EndpointId) -> u32 {
    id.0.first_chunk().map_or(0, |first| u32::from_be_bytes(*first))
}

/// Makes room for one more, and for an eighth more, not for twice as many.
fn room<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len() / 8 + 8);
    }
}

/// The name of an identity in a packet.
pub(super) fn name(identity: &SwimIdentity) -> (EndpointKey, u32) {
    (identity.key, identity.generation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use motet_wire::record::swim::SwimIdentity;

    fn entry(id: [u8; 16]) -> Entry<u32> {
        let key = EndpointKey { id: EndpointId(id), incarnation: 1 };
        let addr = "10.0.0.1:1".parse().unwrap();
        Entry::new(Time(1), &SwimIdentity { key, generation: 0, addr }, 0)
    }

    /// Any order of coming and going, with ids that begin alike: a map says what must be found.
    #[test]
    fn ids_that_begin_alike_are_found_and_stand_in_order() {
        let mut table: Table<u32> = Table::default();
        let mut model = alloc::collections::BTreeMap::new();
        let mut rng = crate::rng::Rng::new([9; 32]);
        for _ in 0..2_000 {
            let mut id = [7; 16];
            (id[3], id[15]) = (rng.below(3) as u8, rng.below(40) as u8);
            match table.slot(EndpointId(id)) {
                Some(slot) => {
                    assert_eq!(model.remove(&id), Some(slot));
                    assert_eq!(table.remove(slot).map(|it| *it.id()), Some(EndpointId(id)));
                }
                None => assert_eq!(model.insert(id, table.insert(entry(id))), None),
            }
        }
        let all: Vec<_> = table.iter().map(|(slot, it)| (it.id().0, slot)).collect();
        assert_eq!(all, model.iter().map(|(id, slot)| (*id, *slot)).collect::<Vec<_>>());
        assert!(all.len() > 20 && table.len() == all.len() && table.heap().count() == all.len());
        assert!(table.slots.len() <= 120, "slots are used again");
        let from = |id: [u8; 16]| table.from(&EndpointId(id)).map(|(_, it)| it.id().0);
        for last in 0..=255 {
            let mut id = [7; 16];
            (id[3], id[15]) = (1, last);
            assert_eq!(from(id), model.range(id..).next().map(|(id, _)| *id));
        }
    }
}
