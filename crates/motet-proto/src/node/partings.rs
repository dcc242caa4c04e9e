//! Peers that fall silent, and peers that are gone.

use super::Node;
use super::deliver::budget;
use super::peer::OutState;
use crate::crypto::Crypto;
use crate::events::{DownReason, Event, WriterState};
use crate::ids::{EndpointId, PubId, QueryId, SubId};
use crate::time::Time;
use crate::transport::liveness::State;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

impl<C: Crypto> Node<C> {
    /// A peer's session died of silence: its streams wait for its return (T-5).
    pub(super) fn on_dead(&mut self, now: Time, at: usize) {
        self.lanes_give_up(now, at);
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let (key, name) = (peer.key, peer.name.clone());
        let silent = now.since(peer.session.watch.heard());
        let (mut left, mut offered) = (Vec::new(), Vec::new());
        for (stream, out) in &mut peer.outs {
            if out.state == OutState::Offered {
                offered.push(*stream);
            }
            if out.state == OutState::Active {
                left.push(*stream);
                out.state = OutState::Suspended;
            }
        }
        let mut dead: Vec<(Arc<str>, SubId)> = Vec::new();
        for incoming in peer.ins.values_mut() {
            incoming.suspended = true;
            dead.extend(incoming.subs.iter().map(|id| (incoming.topic.arc(), *id)));
        }
        let asked = core::mem::take(&mut peer.asked);
        self.counters.sessions_died += 1;
        for id in asked {
            self.events.push_back(Event::Answer { id: QueryId(id), body: None, next: None });
        }
        let reason = DownReason::Silent;
        self.events.push_back(Event::PeerDown { key, name, reason, silent });
        for (topic, subscription) in dead {
            let state = WriterState::Dead;
            self.events.push_back(Event::Writer { subscription, writer: key, topic, state });
        }
        for stream in left {
            let publication = PubId(stream);
            let readers = self.readers(publication);
            let event = Event::ReaderLeft { publication, reader: key, readers, reason };
            self.events.push_back(event);
            self.on_acked(now, stream);
        }
        offered.into_iter().for_each(|stream| self.on_acked(now, stream));
        self.discovery.on_session_down(now, key, reason);
        self.crowd.on_session_down(now, key, false);
        self.run_crowd(now);
        self.run_discovery(now);
    }

    /// Forgets a peer and all its streams.
    pub(super) fn free_peer(&mut self, now: Time, at: usize, reason: DownReason) {
        let willing = matches!(reason, DownReason::Left | DownReason::Closed);
        self.lanes_forget(now, at, !willing);
        let Some(peer) = self.peers.get_mut(at).and_then(Option::take) else { return };
        let was_dead = matches!(peer.session.watch.state(), State::Dead(_));
        let (key, name) = (peer.key, peer.name.clone());
        self.by_id.remove(&key.id);
        self.by_index.remove(&peer.session.local);
        self.realm.forget(key.id);
        let silent = now.since(peer.session.watch.heard());
        let mut share = peer.share;
        for (stream, mut incoming) in peer.ins {
            incoming.reader.release(&mut budget(&mut self.pool, &mut share));
            for sub in self.subscriptions.values_mut() {
                sub.feeds.retain(|feed| *feed != (at, stream));
            }
            let state = match reason {
                DownReason::Restarted => WriterState::Restarted,
                DownReason::Left | DownReason::Closed => WriterState::Left,
                _ => WriterState::Dead,
            };
            if !incoming.suspended || reason == DownReason::Restarted {
                for subscription in incoming.subs {
                    let topic = incoming.topic.arc();
                    self.events.push_back(Event::Writer {
                        subscription,
                        writer: key,
                        topic,
                        state,
                    });
                }
            }
        }
        if !was_dead {
            self.events.push_back(Event::PeerDown { key, name, reason, silent });
        }
        for id in peer.asked {
            self.events.push_back(Event::Answer { id: QueryId(id), body: None, next: None });
        }
        for (stream, out) in peer.outs {
            if let Some(publication) = self.publications.get_mut(&stream) {
                publication.readers.retain(|reader| *reader != at);
                publication.confirm(&out);
            }
            if out.state == OutState::Active {
                let publication = PubId(stream);
                let readers = self.readers(publication);
                let event = Event::ReaderLeft { publication, reader: key, readers, reason };
                self.events.push_back(event);
            }
            self.on_acked(now, stream);
        }
        self.discovery.on_session_down(now, key, reason);
        let gone = matches!(reason, DownReason::Left | DownReason::Restarted);
        self.crowd.on_session_down(now, key, gone);
        self.run_crowd(now);
    }

    /// Pings a peer now; its round trip and last sign of life show the answer. A member without a
    /// session gets one. False if it is nobody that we know.
    pub fn ping(&mut self, now: Time, to: EndpointId) -> bool {
        if !self.by_id.contains_key(&to) {
            return self.want(now, to);
        }
        let Some((at, peer)) = self.peer_by_id(to) else { return false };
        peer.used = now;
        peer.session.ping = true;
        self.finish_input(now, at);
        true
    }

    /// How many round trips to this peer were measured, and the last one.
    pub fn round_trip(&self, of: EndpointId) -> Option<(u64, Duration)> {
        let at = *self.by_id.get(&of)?;
        let rtt = &self.peers.get(at)?.as_ref()?.session.rtt;
        Some((rtt.samples(), rtt.latest()))
    }
}
