//! Agreed keys → sessions → peers.

use super::Node;
use super::peer::{Control, OutState, Peer, Soonest};
use crate::crypto::Crypto;
use crate::events::{DownReason, Event};
use crate::explain::Reason;
use crate::ids::{EndpointId, EndpointKey};
use crate::time::Time;
use crate::topics::interest::RemoteInterest;
use crate::transport::liveness::State;
use crate::transport::session::{Agreed, Session};
use crate::transport::stream::Share;
use alloc::vec::Vec;
use core::time::Duration;
use motet_wire::handshake::Params;

/// Handshakes completed within this time of each other were begun without knowing of each other.
const SIMULTANEOUS: Duration = Duration::from_secs(3);
/// A session that lost to another is known this long, so that its packets draw no RESET.
const REJECTED_FOR: Duration = Duration::from_secs(10);
/// A life of a peer that comes back within this time after it was replaced lives beside the other.
const FLIP: Duration = Duration::from_secs(10);
/// Replaced lives remembered.
const REPLACED_MAX: usize = 64;

impl<C: Crypto> Node<C> {
    pub(super) fn path_mtu(&self, theirs: u16) -> (u16, u16) {
        let cap = if theirs == 0 { self.cfg.mtu_max } else { theirs.min(self.cfg.mtu_max) };
        let base = self.cfg.mtu_base.min(cap).min(self.mtu_cap).max(512);
        (base, if self.cfg.mtu_discovery { cap.max(base) } else { base })
    }

    pub(super) fn peers_held(&self) -> usize {
        self.by_id.len()
    }

    /// A handshake is complete: the peer has a (new) session.
    pub(super) fn establish(
        &mut self,
        now: Time,
        key: EndpointKey,
        params: &Params,
        agreed: Agreed<C::Aead>,
    ) -> Option<usize> {
        if let Some((at, peer)) = self.peer_by_id(key.id) {
            let old = peer.key;
            let dead = matches!(peer.session.watch.state(), State::Dead(_));
            if key.incarnation < old.incarnation
                && !dead
                && !crate::planted::on("old_incarnation_accepted")
            {
                self.note_refused(now, key.id, agreed.addr, Reason::Clock);
                self.rejected(now, agreed.local);
                return None;
            }
            if old.incarnation != key.incarnation {
                // Only a completed handshake replaces an incarnation (K-8).
                self.free_peer(now, at, DownReason::Restarted);
                self.note_replaced(now, old, key);
            }
        } else if self.peers_held() >= self.cfg.sessions_max {
            self.note_refused(now, key.id, agreed.addr, Reason::Limit);
            self.counters.handshakes_limited += 1;
            return None;
        }
        let by = if agreed.hs3.is_some() { self.key.id } else { key.id };
        if self.superseded(now, key.id, by) {
            self.rejected(now, agreed.local);
            return None;
        }
        self.counters.sessions_opened += 1;
        self.dials.retain(|_, dial| dial.id != Some(key.id));
        let (addr, index) = (agreed.addr, agreed.local);
        let session = Session::new(now, agreed);
        let at = match self.by_id.get(&key.id).copied() {
            Some(at) => {
                self.replace_session(now, at, session);
                at
            }
            None => self.add_peer(now, key, params, session),
        };
        self.by_index.insert(index, at);
        self.note_met(now, key, addr, params);
        self.discovery.on_session_up(now, key, &params.name, addr, params.roles, params.host_id);
        self.crowd.on_session_up(now, key, &params.name, addr, params.roles, params.host_id);
        self.greet(now, at);
        self.tell_observers(now, key.id);
        self.ask_now(now, at);
        self.run_crowd(now);
        self.run_discovery(now);
        Some(at)
    }

    pub(super) fn rejected(&mut self, now: Time, local: u32) {
        self.rejected.retain(|(_, at)| now.since(*at) < REJECTED_FOR);
        self.rejected.push((local, now));
    }

    /// Both sides completed a handshake at the same time: the one that the larger id began stays,
    /// at both sides (S-6).
    pub(super) fn superseded(&self, now: Time, id: EndpointId, by: EndpointId) -> bool {
        let held = self.by_id.get(&id).and_then(|at| self.peers.get(*at)).and_then(Option::as_ref);
        held.is_some_and(|peer| {
            let session = &peer.session;
            let held_by = if session.initiator { self.key.id } else { id };
            let fresh = now.since(session.established()) < SIMULTANEOUS;
            fresh && held_by > by && !matches!(session.watch.state(), State::Dead(_))
        })
    }

    pub(super) fn add_peer(
        &mut self,
        now: Time,
        key: EndpointKey,
        params: &Params,
        session: Session<C::Aead>,
    ) -> usize {
        let peer = Peer {
            key,
            name: params.name.as_str().into(),
            roles: params.roles,
            host_id: params.host_id,
            session,
            pn: (0, 0),
            control: Control::new(),
            interest: RemoteInterest::default(),
            interest_told: 0,
            sync: (0, 0),
            outs: Default::default(),
            ins: Default::default(),
            ready: Default::default(),
            hot_outs: Vec::new(),
            hot_ins: Vec::new(),
            hot: Soonest::NEVER,
            share: Share::new(super::reassembly(&self.cfg) / 4),
            naks: Default::default(),
            lane_says: Vec::new(),
            lane_acks: Vec::new(),
            queued: false,
            send_at: Time::NEVER,
            deadline: now,
            probe: None,
            queries: (0, 0),
            asked: Vec::new(),
            turn: 0,
            mismatches: Vec::new(),
            used: now,
        };
        self.events.push_back(Event::PeerUp { key, name: peer.name.clone() });
        let at = self.peers.iter().position(Option::is_none).unwrap_or(self.peers.len());
        if at == self.peers.len() {
            self.peers.push(Some(peer));
        } else if let Some(place) = self.peers.get_mut(at) {
            *place = Some(peer);
        }
        self.by_id.insert(key.id, at);
        self.peers_due = Time::ZERO;
        at
    }

    /// The same life of the peer on a new session: streams go on where they were, control starts
    /// anew and says everything again.
    pub(super) fn replace_session(&mut self, now: Time, at: usize, session: Session<C::Aead>) {
        self.lanes_forget(now, at, false);
        let Some(peer) = self.peer(at) else { return };
        let old = core::mem::replace(&mut peer.session, session);
        let was_dead = matches!(old.watch.state(), State::Dead(_));
        peer.pn = (0, 0);
        peer.control = Control::new();
        peer.lane_says.clear();
        peer.lane_acks.clear();
        peer.interest = RemoteInterest::default();
        peer.interest_told = 0;
        peer.sync = (0, 0);
        peer.ins.values_mut().for_each(|incoming| incoming.suspended = true);
        for out in peer.outs.values_mut() {
            if !matches!(out.state, OutState::Rejected { .. }) {
                out.state = OutState::Suspended;
            }
        }
        let (key, name) = (peer.key, peer.name.clone());
        self.by_index.remove(&old.local);
        if was_dead {
            self.events.push_back(Event::PeerUp { key, name });
        }
    }

    /// Another life of a peer takes the place of the one we knew. That comes back soon only if both
    /// live.
    pub(super) fn note_replaced(&mut self, now: Time, old: EndpointKey, new: EndpointKey) {
        self.replaced.retain(|(_, at)| now.since(*at) < FLIP);
        if self.replaced.iter().any(|(key, _)| *key == new) {
            self.events.push_back(Event::DuplicateIdentity { key: new });
            self.replaced.retain(|(key, _)| key.id != new.id);
        }
        if self.replaced.len() >= REPLACED_MAX {
            self.replaced.pop_front();
        }
        self.replaced.push_back((old, now));
    }
}
