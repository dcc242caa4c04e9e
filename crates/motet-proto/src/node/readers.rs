//! What readers have and lack: how long the log keeps it, and who holds it up.

use super::Node;
use super::deliver::stream_end;
use super::lanes::{Leaves, Tie};
use super::peer::{OutState, Outgoing};
use crate::config::SlowPolicy;
use crate::crypto::Crypto;
use crate::events::{DownReason, Event, WriterState};
use crate::ids::{EndpointKey, PubId, StreamId};
use crate::time::Time;
use crate::transport::liveness::State;
use crate::transport::stream::cursor::Cursor;
use motet_wire::control::{Control as Record, RejectReason};

impl<C: Crypto> Node<C> {
    /// Ends a reader of a publication.
    pub(super) fn drop_outgoing(
        &mut self,
        now: Time,
        at: usize,
        stream: StreamId,
        reason: DownReason,
    ) {
        self.lane_release(now, at, stream, Leaves::Ended);
        let Some(peer) = self.peer(at) else { return };
        let Some(out) = peer.outs.remove(&stream) else { return };
        let reader = peer.key;
        if let Some(publication) = self.publications.get_mut(&stream) {
            publication.readers.retain(|other| *other != at);
            publication.confirm(&out);
        }
        if out.state == OutState::Active {
            let readers = self.readers(PubId(stream));
            let publication = PubId(stream);
            self.events.push_back(Event::ReaderLeft { publication, reader, readers, reason });
        }
        self.on_acked(now, stream);
    }

    pub(super) fn tell_joined(&mut self, stream: StreamId, reader: EndpointKey) {
        let active =
            self.by_id.get(&reader.id).and_then(|at| self.peers.get(*at)).and_then(Option::as_ref);
        let active = active.and_then(|peer| peer.outs.get(&stream));
        if active.is_some_and(|out| out.state == OutState::Active) {
            let publication = PubId(stream);
            let readers = self.readers(publication);
            self.events.push_back(Event::ReaderJoined { publication, reader, readers });
        }
    }

    /// Some reader acknowledged, came or went: free what nobody needs, let publishers go on.
    pub(super) fn on_acked(&mut self, now: Time, stream: StreamId) {
        let acked = self.needed_from(stream, true);
        let blocking = self.needed_from(stream, false);
        let unacked = self.unacked(PubId(stream));
        let Some(publication) = self.publications.get_mut(&stream) else { return };
        let lifespan =
            publication.qos.lifespan.map(|d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX));
        let history = publication.qos.history;
        if publication.log.trim(acked, history, now.micros(), lifespan) > 0 {
            self.wake_readers(stream);
        }
        let Some(publication) = self.publications.get_mut(&stream) else { return };
        // History, and what the absent would like, make room at the next publish.
        let log = &publication.log;
        let held = log.pos(log.next()) - log.pos(blocking);
        if publication.blocked.is_some() && held * 2 <= publication.qos.log_bytes as u64 {
            publication.blocked = None;
            self.events.push_back(Event::Writable(publication.id));
        }
        if unacked == 0 && !publication.flushed {
            publication.flushed = true;
            self.events.push_back(Event::Flushed(publication.id));
        }
        if publication.closing.is_some() && acked >= publication.log.next() {
            self.free_publication(now, stream);
        }
    }

    /// Puts readers that a publication has something for on the lists of those to be served.
    pub(super) fn wake_readers(&mut self, stream: StreamId) {
        let Some(publication) = self.publications.get(&stream) else { return };
        for at in &publication.readers {
            let Some(peer) = self.peers.get_mut(*at).and_then(Option::as_mut) else { continue };
            let Some(out) = peer.outs.get(&stream) else { continue };
            if out.state == OutState::Active && out.cursor.has_work(&publication.log) {
                peer.make_ready(stream);
                if !peer.queued {
                    peer.queued = true;
                    self.ready.push_back(*at);
                }
            }
        }
        self.wake_lanes(stream);
    }

    /// The first message that some reader still needs; with `absent` also for readers whose
    /// session is dead: they are kept for as long as the log has room, but never block anybody.
    pub(super) fn needed_from(&self, stream: StreamId, absent: bool) -> u64 {
        let Some(publication) = self.publications.get(&stream) else { return 0 };
        let of_peer = |at: &usize| {
            let peer = self.peers.get(*at)?.as_ref()?;
            let out = peer.outs.get(&stream)?;
            let dead = matches!(peer.session.watch.state(), State::Dead(_));
            match out.state {
                OutState::Active => Some(out.cursor.acked()),
                OutState::Offered => (absent || !dead).then_some(out.offered),
                OutState::Suspended => (absent
                    || crate::planted::on("dead_reader_blocks_publisher"))
                .then(|| out.cursor.acked()),
                OutState::Rejected { .. } => None,
            }
        };
        let peers = publication.readers.iter().filter_map(of_peer);
        let locals = publication.local.iter().map(|local| local.next);
        let next = publication.log.next();
        peers.chain(locals).min().map_or(next, |acked| acked.min(next))
    }

    /// Policy disconnect: the reader that has held the log full for too long goes (T-6).
    pub(super) fn evict_slowest(&mut self, now: Time, stream: StreamId) {
        let Some(publication) = self.publications.get_mut(&stream) else { return };
        let (SlowPolicy::Disconnect(after), Some(since)) =
            (publication.qos.slow, publication.blocked)
        else {
            return;
        };
        if now.since(since) < after {
            return;
        }
        publication.blocked = Some(now);
        let slowest = self.needed_from(stream, false);
        let Some(publication) = self.publications.get(&stream) else { return };
        if slowest >= publication.log.next() {
            return self.on_acked(now, stream); // nobody lacks anything
        }
        let holds = |at: &&usize| {
            self.peers
                .get(**at)
                .and_then(Option::as_ref)
                .and_then(|p| p.outs.get(&stream))
                .is_some_and(|out| match out.state {
                    OutState::Active => out.cursor.acked() == slowest,
                    OutState::Offered => out.offered == slowest,
                    OutState::Suspended | OutState::Rejected { .. } => false,
                })
        };
        if let Some(at) = publication.readers.iter().find(holds).copied() {
            self.say(now, at, &Record::CloseStream { stream, code: stream_end::EVICTED });
            self.drop_outgoing(now, at, stream, DownReason::Evicted);
            self.note_eviction(now, at, stream);
            if let Some(peer) = self.peer(at) {
                // Not offered again before its interest changes.
                let version = peer.interest.version();
                let reason = RejectReason::Policy;
                if let Some(publication) = self.publications.get(&stream) {
                    let log = &publication.log;
                    let cursor = Cursor::new(log, stream, log.next(), 0, true);
                    let state = OutState::Rejected { reason, version };
                    let out = Outgoing {
                        cursor,
                        state,
                        priority: 7,
                        ready: false,
                        offered_at: now,
                        hot: false,
                        offered: log.next(),
                        behind: false,
                        status_from: 0,
                        tie: Tie::NONE,
                    };
                    if let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) {
                        peer.outs.insert(stream, out);
                    }
                }
            }
        } else if let Some(publication) = self.publications.get_mut(&stream)
            && let Some(local) = publication.local.iter().position(|local| local.next == slowest)
        {
            let gone = publication.local.swap_remove(local);
            let (topic, state) = (publication.topic.arc(), WriterState::Evicted);
            let (subscription, writer) = (gone.sub, self.key);
            self.events.push_back(Event::Writer { subscription, writer, topic, state });
            self.on_acked(now, stream);
        }
    }
}
