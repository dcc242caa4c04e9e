//! Who is a member: every endpoint with which a handshake has completed, until it is forgotten.

use super::addresses::{Known, Own};
use super::jittered;
use super::outbox::{Action, Outbox};
use crate::Time;
use crate::events::DownReason;
use crate::ids::{EndpointId, EndpointKey};
use crate::rng::Rng;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use motet_wire::record::{Beacon, Member, Roles, roles};

/// Members remembered, dead ones included. About 500 B each.
const MEMBERS_MAX: usize = 16_384;
/// Dead members remembered for each live one (§2.14).
const GONE_PER_LIVE: usize = 4;
/// Dead members that are remembered however few live: a switch that fails takes all with it.
const GONE_MIN: usize = 32;
/// A dead member is forgotten after this long (§2.14).
const DEAD_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Late beacons of a member that left are told apart from new ones for this long.
const LEFT_KEPT: Duration = Duration::from_secs(60);
/// The wait before the first redial, doubled after each (§2.13).
const REDIAL_MIN: Duration = Duration::from_millis(100);
/// The longest wait.
const REDIAL_MAX: Duration = Duration::from_secs(32);
/// Beacons and hints cause at most one dial of a known member in this time (§2.13).
const HINT_EVERY: Duration = Duration::from_secs(1);

/// What the `state` of a member record says.
pub mod hint_state {
    /// Alive.
    pub const ALIVE: u8 = 0;
    /// Not answering its prober.
    pub const SUSPECT: u8 = 1;
    /// Gone.
    pub const DOWN: u8 = 2;
}

/// Where a member stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberState {
    /// Its session stands.
    Live,
    /// Its session died; it is redialled.
    Dead,
    /// It said goodbye; remembered for 60 s so that its late beacons are known for what they are.
    Left,
}

/// An endpoint with which a handshake has completed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberEntry {
    /// Who.
    pub key: EndpointKey,
    /// Its name.
    pub name: Arc<str>,
    /// Role bits of `motet_wire::record::roles`.
    pub roles: u16,
    /// Hash of its machine and boot.
    pub host_id: [u8; 16],
    /// Where it stands.
    pub state: MemberState,
    /// Since when it stands there.
    pub since: Time,
    /// The address that worked last.
    pub addr: SocketAddr,
    /// Where its last beacon came from, with the port that it advertised.
    pub source: Option<SocketAddr>,
    /// The interface that beacon came in by; 0 if unknown.
    pub iface: u32,
    /// The addresses that it advertises.
    pub addresses: Vec<IpAddr>,
    /// The port that it advertises.
    pub port: u16,
    /// Version of its addresses: rises as they change.
    pub addr_version: u64,
    /// Version of its interest set, as its last beacon told.
    pub interest_version: u64,
}

impl MemberEntry {
    /// True unless it only looks on.
    pub fn counts(&self) -> bool {
        !Roles(self.roles).has(roles::OBSERVER)
    }

    /// The member record by which others are told of it: its loopback addresses only on its own
    /// host (D-14).
    pub fn record(&self, same_host: bool) -> Member {
        let mut addresses = self.addresses.clone();
        addresses.retain(|ip| same_host || !ip.is_loopback());
        let worked = self.addr.ip();
        if (same_host || !worked.is_loopback())
            && self.addr.port() == self.port
            && !addresses.contains(&worked)
        {
            addresses.insert(0, worked);
            addresses.truncate(super::addresses::ADDRESSES_MAX);
        }
        let (key, addr_version) = (self.key, self.addr_version);
        let (port, interest_version) = (self.port, self.interest_version);
        Member { state: hint_state::ALIVE, key, addr_version, port, addresses, interest_version }
    }

    pub(super) fn known(&self) -> Known<'_> {
        Known {
            worked: Some(self.addr),
            source: self.source,
            addresses: &self.addresses,
            port: self.port,
            host_id: Some(self.host_id),
            iface: self.iface,
        }
    }
}

#[derive(Debug)]
struct Record {
    entry: MemberEntry,
    backoff: Duration,
    dialing: bool,
    /// Of a member that is gone: when to redial it, give a dial up or forget it.
    at: Time,
    /// Hints cause no dial before.
    hints_from: Time,
}

#[derive(Default, Debug)]
pub(super) struct Members {
    table: BTreeMap<EndpointId, Record>,
    timers: BTreeSet<(Time, EndpointId)>,
    /// Dead and left members, in the order in which they went.
    gone: BTreeSet<(Time, EndpointId)>,
    /// Live members by name.
    names: BTreeMap<Arc<str>, BTreeSet<EndpointId>>,
    /// Live members that count.
    counted: usize,
}

impl Members {
    pub(super) fn get(&self, id: EndpointId) -> Option<&MemberEntry> {
        self.table.get(&id).map(|record| &record.entry)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &MemberEntry> {
        self.table.values().map(|record| &record.entry)
    }

    pub(super) fn holders<'a>(
        &'a self,
        name: &str,
    ) -> impl Iterator<Item = &'a MemberEntry> + use<'a> {
        self.names.get(name).into_iter().flatten().filter_map(|id| self.get(*id))
    }

    pub(super) fn is_live(&self, id: EndpointId) -> bool {
        self.get(id).is_some_and(|entry| entry.state == MemberState::Live)
    }

    pub(super) fn live_counted(&self) -> usize {
        self.counted
    }

    /// The live member that this address is known to be.
    pub(super) fn live_at(&self, addr: SocketAddr) -> Option<EndpointId> {
        let there = |entry: &&MemberEntry| {
            entry.state == MemberState::Live
                && (entry.addr == addr
                    || entry.source == Some(addr)
                    || (entry.port == addr.port()
                        && !addr.ip().is_loopback()
                        && entry.addresses.contains(&addr.ip())))
        };
        self.iter().find(there).map(|entry| entry.key.id)
    }

    /// A session stands (D-8). Returns whether that is news.
    pub(super) fn up(&mut self, new: MemberEntry) -> bool {
        let id = new.key.id;
        let mut entry = new;
        let mut news = true;
        if let Some(old) = self.remove(id)
            && old.key == entry.key
        {
            news = old.state != MemberState::Live;
            (entry.source, entry.iface) = (old.source, old.iface);
            (entry.addresses, entry.port) = (old.addresses, old.port);
            entry.addr_version = old.addr_version;
            entry.interest_version = old.interest_version;
        }
        if self.table.len() >= MEMBERS_MAX {
            self.forget_oldest();
        }
        if self.table.len() >= MEMBERS_MAX {
            return false; // a node holds no more sessions than this; only a wrong host gets here
        }
        self.counted += usize::from(entry.counts());
        self.names.entry(entry.name.clone()).or_default().insert(id);
        let record = Record {
            entry,
            backoff: REDIAL_MIN,
            dialing: false,
            at: Time::NEVER,
            hints_from: Time::ZERO,
        };
        self.table.insert(id, record);
        news
    }

    /// A session ended. Returns whether it was the one that we knew.
    pub(super) fn down(
        &mut self,
        now: Time,
        key: EndpointKey,
        reason: DownReason,
        rng: &mut Rng,
    ) -> bool {
        let dead = matches!(reason, DownReason::Silent | DownReason::Protocol);
        let ends = |entry: &MemberEntry| match entry.state {
            MemberState::Live => entry.key == key,
            MemberState::Dead => entry.key == key && !dead, // it left after all
            MemberState::Left => false,
        };
        if !self.get(key.id).is_some_and(ends) {
            return false; // D-8
        }
        let Some(mut entry) = self.remove(key.id) else { return false };
        if matches!(reason, DownReason::Restarted | DownReason::Idle) {
            return true; // another has its place, or it lives on without a session
        }
        let backoff = if reason == DownReason::Silent { REDIAL_MIN } else { REDIAL_MAX };
        entry.state = if dead { MemberState::Dead } else { MemberState::Left };
        entry.since = now;
        let wait = if dead { jittered(backoff, 20, rng) } else { LEFT_KEPT };
        let hints_from = if reason == DownReason::Protocol { now + wait } else { now };
        let record = Record { entry, backoff, dialing: false, at: now + wait, hints_from };
        self.timers.insert((record.at, key.id));
        self.gone.insert((now, key.id));
        self.table.insert(key.id, record);
        while self.gone.len() > (self.counted.saturating_add(1) * GONE_PER_LIVE).max(GONE_MIN) {
            self.forget_oldest(); // D-10
        }
        true
    }

    /// Forgets a member that is gone.
    pub(super) fn forget(&mut self, id: EndpointId) {
        if !self.is_live(id) {
            self.remove(id);
        }
    }

    /// A beacon of this member: only its addresses count (D-9).
    pub(super) fn heard(&mut self, id: EndpointId, beacon: &Beacon, from: SocketAddr, iface: u32) {
        let Some(record) = self.table.get_mut(&id) else { return };
        let entry = &mut record.entry;
        if entry.addresses != beacon.addresses || entry.port != beacon.port {
            entry.addr_version += 1;
            entry.addresses.clone_from(&beacon.addresses);
            entry.port = beacon.port;
        }
        entry.source = Some(from);
        entry.iface = iface;
        entry.host_id = beacon.host_id;
        entry.interest_version = beacon.interest_version;
    }

    /// A member record of this very life: newer addresses count.
    pub(super) fn told(&mut self, member: &Member) {
        let Some(record) = self.table.get_mut(&member.key.id) else { return };
        let entry = &mut record.entry;
        if member.addr_version > entry.addr_version {
            entry.addr_version = member.addr_version;
            entry.addresses.clone_from(&member.addresses);
            entry.port = member.port;
        }
    }

    /// Whether a hint may cause a dial of this member now; if so, the next may in 1 s (D-13).
    pub(super) fn may_dial(&mut self, now: Time, id: EndpointId) -> bool {
        let Some(record) = self.table.get_mut(&id) else { return false };
        let may = !record.dialing && record.hints_from <= now;
        if may {
            record.hints_from = now + HINT_EVERY;
        }
        may
    }

    /// A dial of a dead member begins.
    pub(super) fn dial(&mut self, now: Time, id: EndpointId, own: &Own, out: &mut Outbox) {
        let Some(record) = self.table.get_mut(&id) else { return };
        if record.entry.state != MemberState::Dead {
            return;
        }
        self.timers.remove(&(record.at, id));
        let addrs = own.candidates(&record.entry.known());
        record.dialing = true;
        record.at = now + super::DIAL_LOST;
        self.timers.insert((record.at, id));
        if !addrs.is_empty() {
            out.push(Action::Dial { id: Some(id), addrs });
        }
    }

    pub(super) fn dial_failed(&mut self, now: Time, id: EndpointId, rng: &mut Rng) {
        let Some(record) = self.table.get_mut(&id) else { return };
        if record.entry.state != MemberState::Dead || !record.dialing {
            return;
        }
        self.timers.remove(&(record.at, id));
        record.dialing = false;
        record.backoff = (record.backoff * 2).min(REDIAL_MAX); // D-11
        record.at = now + jittered(record.backoff, 20, rng);
        self.timers.insert((record.at, id));
    }

    /// Redials and forgets.
    pub(super) fn on_timeout(&mut self, now: Time, own: &Own, rng: &mut Rng, out: &mut Outbox) {
        while let Some((_, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            let Some(record) = self.table.get(&id) else {
                self.timers.pop_first();
                continue;
            };
            let old = record.entry.since + DEAD_KEPT <= now;
            if record.entry.state != MemberState::Dead || old {
                self.forget(id); // D-10
            } else if record.dialing {
                self.dial_failed(now, id, rng);
            } else {
                self.dial(now, id, own, out);
            }
        }
    }

    pub(super) fn deadline(&self) -> Time {
        self.timers.first().map_or(Time::NEVER, |(at, _)| *at)
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.gone.first().copied() {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: EndpointId) -> Option<MemberEntry> {
        let record = self.table.remove(&id)?;
        let entry = record.entry;
        if entry.state == MemberState::Live {
            self.counted -= usize::from(entry.counts());
            if let Some(holders) = self.names.get_mut(&entry.name) {
                holders.remove(&id);
                if holders.is_empty() {
                    self.names.remove(&entry.name);
                }
            }
        } else {
            self.timers.remove(&(record.at, id));
            self.gone.remove(&(entry.since, id));
        }
        Some(entry)
    }
}

#[cfg(test)]
impl Members {
    /// Every member that is gone stands once in each index, and no other does.
    pub(super) fn timers_match(&self) -> bool {
        let gone = self.table.values().filter(|record| record.entry.state != MemberState::Live);
        let (mut timers, mut order) = (BTreeSet::new(), BTreeSet::new());
        for record in gone {
            timers.insert((record.at, record.entry.key.id));
            order.insert((record.entry.since, record.entry.key.id));
        }
        timers == self.timers && order == self.gone
    }
}
