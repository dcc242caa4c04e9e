//! Two holders of one name, and those who are said to have left: who is asked, and what an answer
//! or silence means.

use super::members::Members;
use super::outbox::{Action, Outbox};
use crate::events::{DownReason, Event};
use crate::ids::{EndpointId, EndpointKey};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;

/// Holders remembered as told of; beyond it an old pair could be told of again.
const TOLD_MAX: usize = 256;

/// Why a member is being probed.
#[derive(Clone, Copy, Default, Debug)]
struct Why {
    /// A newcomer has its name.
    rival: bool,
    /// We are that newcomer.
    by_us: bool,
    /// Somebody says that it left.
    leaving: bool,
}

#[derive(Debug)]
pub(super) struct Names {
    me: EndpointKey,
    name: Arc<str>,
    probing: BTreeMap<EndpointId, Why>,
    told: VecDeque<EndpointKey>,
}

impl Names {
    pub(super) fn new(me: EndpointKey, name: &str) -> Self {
        Self { me, name: name.into(), probing: BTreeMap::new(), told: VecDeque::new() }
    }

    pub(super) fn own(&self) -> &Arc<str> {
        &self.name
    }

    /// A session with `key` stands: does somebody else hold its name?
    pub(super) fn session_up(&mut self, key: EndpointKey, members: &Members, out: &mut Outbox) {
        let Some(name) = members.get(key.id).map(|member| member.name.clone()) else { return };
        if name == self.name {
            if older(self.me, key) {
                self.tell(key, false, out); // D-18: we are alive, obviously
            } else {
                self.probe(key.id, Why { rival: true, by_us: true, ..Why::default() }, out);
            }
        }
        for holder in members.holders(&name) {
            if holder.key.id != key.id && older(holder.key, key) {
                self.probe(holder.key.id, Why { rival: true, ..Why::default() }, out); // D-19
            }
        }
    }

    /// Somebody says that this live member left.
    pub(super) fn leaving(&mut self, id: EndpointId, out: &mut Outbox) {
        self.probe(id, Why { leaving: true, ..Why::default() }, out);
    }

    /// Its session ended: no answer is awaited any more.
    pub(super) fn session_down(&mut self, id: EndpointId) {
        self.probing.remove(&id);
    }

    pub(super) fn probed(&mut self, key: EndpointKey, answered: bool, out: &mut Outbox) {
        let Some(why) = self.probing.remove(&key.id) else { return };
        if answered {
            if why.by_us || crate::planted::on("name_clash_by_third_party") {
                self.tell(key, true, out); // D-18
            }
            return;
        }
        let reason = if why.rival { DownReason::Restarted } else { DownReason::Left };
        out.push(Action::DeclareDead { id: key.id, reason }); // D-19
    }

    fn probe(&mut self, id: EndpointId, why: Why, out: &mut Outbox) {
        if !self.probing.contains_key(&id) {
            out.push(Action::Probe { id });
        }
        let known = self.probing.entry(id).or_default();
        known.rival |= why.rival;
        known.by_us |= why.by_us;
        known.leaving |= why.leaving;
    }

    fn tell(&mut self, other: EndpointKey, newcomer: bool, out: &mut Outbox) {
        if self.told.contains(&other) {
            return; // D-20
        }
        if self.told.len() >= TOLD_MAX {
            self.told.pop_front();
        }
        self.told.push_back(other);
        out.push(Action::Event(Event::NameConflict { name: self.name.clone(), other, newcomer }));
    }
}

/// Whether `a` holds the name for longer.
fn older(a: EndpointKey, b: EndpointKey) -> bool {
    (a.incarnation, a.id) < (b.incarnation, b.id)
}
