//! Which news foca hears at all. Any holder of the realm key can write any packet: what that costs the
//! others is bounded here.

use super::compact::Parts;
use super::entry::{Entry, usable};
use super::table::Handle;
use super::{Io, ME, MEMBERS_MAX, SwimAction, state_of};
use crate::discovery::bucket::Bucket;
use alloc::vec::Vec;
use core::time::Duration;
use foca::{Header, Member, Message, State};
use motet_wire::record::swim::{SwimIdentity, SwimMember, SwimMessage, SwimPacket, SwimState};

/// New members at once, and one more each 2 ms (M-9).
const NEW_BURST: u32 = 2_048;
const NEW_EVERY: Duration = Duration::from_millis(2);
/// New lives of one member (M-9).
const LIVES_EVERY: Duration = Duration::from_secs(1);

/// How fast others may make us remember more.
#[derive(Debug)]
pub(super) struct Limits {
    new: Bucket,
}

impl Limits {
    pub(super) fn new() -> Self {
        Self { new: Bucket::new(NEW_BURST, NEW_EVERY) }
    }
}

impl<N: Default> Io<N> {
    /// The packet as foca may hear it; `None` if not at all.
    pub(super) fn admit(&mut self, packet: &SwimPacket) -> Option<Parts> {
        let (key, generation) = packet.dst;
        let ours = key == self.me.key && generation == self.me.generation;
        let asks = packet.message == SwimMessage::Announce && key.id == self.me.key.id;
        if !ours && !asks {
            return None; // foca would not take it: it is for another life of ours
        }
        let dst = Handle { incarnation: key.incarnation, slot: ME, generation };
        let alive = SwimState::Alive;
        let sender = SwimMember { identity: packet.src, count: packet.src_count, state: alive };
        let before = self.table.by_id(packet.src.key.id);
        let before = before.map(|entry| (entry.rank(), entry.state));
        let src = self.admit_member(&sender, true)?;
        // From one that it holds for dead, or for an earlier life, foca takes no news.
        let heard = before.is_none_or(|(rank, state)| {
            src.rank() > rank || (src.rank() == rank && state != SwimState::Down)
        });
        let about = |io: &Self, who: &SwimIdentity| io.handle_of(who);
        let message = match &packet.message {
            SwimMessage::Ping(n) => Message::Ping(*n),
            SwimMessage::Ack(n) => Message::Ack(*n),
            SwimMessage::PingReq(who, n) => {
                Message::PingReq { target: about(self, who)?, probe_number: *n }
            }
            SwimMessage::IndirectPing(who, n) => {
                Message::IndirectPing { origin: about(self, who)?, probe_number: *n }
            }
            SwimMessage::IndirectAck(who, n) => {
                Message::IndirectAck { target: about(self, who)?, probe_number: *n }
            }
            SwimMessage::ForwardedAck(who, n) => {
                Message::ForwardedAck { origin: about(self, who)?, probe_number: *n }
            }
            SwimMessage::Announce => Message::Announce,
            SwimMessage::Feed => Message::Feed,
            SwimMessage::Gossip => Message::Gossip,
            SwimMessage::TurnUndead => Message::TurnUndead,
        };
        let mut updates = Vec::new();
        for update in packet.updates.iter().filter(|_| heard) {
            let accused = update.identity.key.id == self.me.key.id;
            if accused && crate::planted::on("suspicion_not_refuted") {
                continue;
            }
            if !self.is_old(update)
                && let Some(handle) = self.admit_member(update, false)
            {
                updates.push(Member::new(handle, update.count, state_of(update.state)));
            }
        }
        let header = Header { src, src_incarnation: packet.src_count, dst, message };
        Some(Parts { header, updates })
    }

    /// It says nothing that foca does not know: most of what is told, and foca would search for it.
    fn is_old(&self, update: &SwimMember) -> bool {
        let Some(entry) = self.table.by_id(update.identity.key.id) else { return false };
        let told = (update.identity.key.incarnation, update.identity.generation);
        if told != entry.rank() {
            return told < entry.rank() && !crate::planted::on("old_incarnation_revives");
        }
        match (entry.state, update.state) {
            (SwimState::Down, _) => true,
            (_, SwimState::Down) => false,
            (SwimState::Alive, SwimState::Suspect) => update.count < entry.count,
            (_, _) => update.count <= entry.count,
        }
    }

    /// The handle of somebody that is known.
    fn handle_of(&self, who: &SwimIdentity) -> Option<Handle> {
        let slot = if who.key.id == self.me.key.id { ME } else { self.table.slot(who.key.id)? };
        Some(Handle { incarnation: who.key.incarnation, slot, generation: who.generation })
    }

    /// The handle under which foca may hear of a member; `direct` if it speaks of itself.
    pub(super) fn admit_member(&mut self, member: &SwimMember, direct: bool) -> Option<Handle> {
        let (now, identity) = (self.now, member.identity);
        if identity.key.id == self.me.key.id {
            return if direct { None } else { self.handle_of(&identity) };
        }
        let Some(slot) = self.table.slot(identity.key.id) else {
            return self.admit_new(member);
        };
        let entry = self.table.get_mut(slot)?;
        let told =
            Handle { incarnation: identity.key.incarnation, slot, generation: identity.generation };
        let known = entry.handle(slot);
        if told.rank() <= known.rank() {
            return Some(told); // the same, or an earlier life: foca knows which (M-5)
        }
        let other_life = told.incarnation != known.incarnation;
        if other_life && entry.held {
            // Only a handshake may put another life in the place of one that we talk to (D-8).
            if now >= entry.damped {
                entry.damped = now + LIVES_EVERY;
                let (key, addr) = (identity.key, identity.addr);
                self.out.push_back(SwimAction::Check { key, addr });
            }
            return None;
        }
        if now < entry.damped {
            self.counts.damped += 1; // M-9
            return None;
        }
        if !usable(identity.addr) {
            self.counts.malformed += 1;
            return None;
        }
        entry.damped = now + LIVES_EVERY;
        entry.replace(&identity, member.count);
        if entry.state == SwimState::Suspect {
            self.table.put(now, slot, SwimState::Alive);
        }
        if other_life {
            self.table.reborn();
        }
        Some(told)
    }

    fn admit_new(&mut self, member: &SwimMember) -> Option<Handle> {
        if member.state == SwimState::Down {
            self.counts.unknown_dead += 1; // M-8
            return None;
        }
        if !usable(member.identity.addr) {
            self.counts.malformed += 1;
            return None;
        }
        if self.table.len() >= MEMBERS_MAX || !self.limits.new.take(self.now) {
            self.counts.limited += 1; // M-9
            return None;
        }
        let entry = Entry::new(self.now, &member.identity, member.count);
        let slot = self.table.insert(entry);
        self.table.get(slot).map(|entry| entry.handle(slot))
    }

    /// Notes what foca has made of alive and suspect, by its rule: within one life the higher count
    /// wins, and a suspicion of the same count. Of the dead foca tells itself.
    pub(super) fn mirror(&mut self, parts: &Parts) {
        let header = &parts.header;
        self.mirror_one(&header.src, header.src_incarnation, State::Alive);
        for update in &parts.updates {
            self.mirror_one(update.id(), update.incarnation(), update.state());
        }
    }

    pub(super) fn mirror_one(&mut self, handle: &Handle, count: u16, state: State) {
        let now = self.now;
        let Some(entry) = self.table.get_mut(handle.slot) else { return };
        if entry.handle(handle.slot) != *handle {
            return;
        }
        let newer = count > entry.count;
        let after = match (entry.state, state) {
            (SwimState::Down, _) | (_, State::Down) => return,
            (SwimState::Alive, State::Suspect) if count >= entry.count => SwimState::Suspect,
            (before, State::Alive) => {
                if newer {
                    SwimState::Alive
                } else {
                    before
                }
            }
            (before, State::Suspect) => before,
        };
        entry.count = entry.count.max(count);
        if after != entry.state {
            let (key, addr) = (entry.key(), entry.addr());
            self.table.put(now, handle.slot, after);
            self.out.push_back(SwimAction::State { key, addr, state: after });
        }
    }
}
