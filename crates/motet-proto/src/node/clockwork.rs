//! Deadlines → everything that waits for one.

use super::{Node, Packet};
use crate::crypto::Crypto;
use crate::events::{DownReason, Event};
use crate::host::{Deadline, Via};
use crate::ids::StreamId;
use crate::time::Time;
use crate::transport::handshake::HALF_OPEN_FOR;
use crate::transport::liveness::{State, Verdict};
use alloc::vec::Vec;
use core::time::Duration;

/// Firing later than this says that we slept, not that others are silent (Lifeguard).
const LATE: Duration = Duration::from_millis(100);

impl<C: Crypto> Node<C> {
    /// When [`handle_timeout`](Self::handle_timeout) must be called next, and why. Cheap, and for
    /// that sometimes too early: nothing happens then.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let mut best = Deadline { at: Time::NEVER, cause: "" };
        let mut earlier = |at: Time, cause| {
            if at < best.at {
                best = Deadline { at, cause };
            }
        };
        if let Some(at) = self.discovery.deadline() {
            earlier(at, "discovery");
        }
        earlier(self.crowd.deadline(), "membership");
        earlier(self.strangers.deadline(), "sessions on demand");
        for dial in self.dials.values() {
            earlier(dial.deadline(), "dial");
        }
        for half in self.half_open.values() {
            earlier(half.since + HALF_OPEN_FOR, "half-open handshake");
        }
        earlier(self.peers_due, "peer");
        earlier(self.lanes.deadline(), "lane");
        for publication in self.timed.iter().filter_map(|stream| self.publications.get(stream)) {
            if let Some(at) = publication.closing {
                earlier(at, "publication closing");
            }
            if let (crate::SlowPolicy::Disconnect(after), Some(since)) =
                (publication.qos.slow, publication.blocked)
            {
                earlier(since + after, "slow reader");
            }
        }
        (best.at < Time::NEVER).then_some(best)
    }

    /// Lets every deadline that is due at `now` happen.
    pub fn handle_timeout(&mut self, now: Time) {
        self.wake_up(now);
        if self.discovery.deadline().is_some_and(|at| at <= now) {
            self.discovery.on_timeout(now, &mut self.counters);
            self.run_discovery(now);
            self.pool.tidy();
            self.blocks.tidy();
        }
        if !self.leaving {
            self.crowd_timeout(now);
        }
        self.poll_dials(now);
        self.peers_timeout(now);
        self.lanes_timeout(now);
        self.publications_timeout(now);
    }

    /// To be called first with every input: if we slept over a deadline, others are not to blame
    /// for the silence. A deadline from before the last input (zero is "at once") was not slept over.
    pub(super) fn wake_up(&mut self, now: Time) {
        let last = core::mem::replace(&mut self.awake, now);
        if now.since(last) <= LATE {
            return;
        }
        let Some(deadline) = self.poll_timeout().filter(|next| next.at > Time::ZERO) else {
            return;
        };
        let late = now.since(deadline.at.max(last));
        if late > LATE {
            self.peers.iter_mut().flatten().for_each(|peer| peer.session.watch.forgive(now, late));
            self.lanes.forgive(late);
        }
    }

    fn peers_timeout(&mut self, now: Time) {
        if self.peers_due > now {
            return;
        }
        let due = |peer: &Option<super::peer::Peer<C::Aead>>| {
            peer.as_ref().is_some_and(|peer| peer.deadline <= now)
        };
        for at in 0..self.peers.len() {
            if self.peers.get(at).is_some_and(due) {
                self.peer_timeout(now, at);
            }
        }
        let deadlines = self.peers.iter().flatten().map(|peer| peer.deadline);
        self.peers_due = deadlines.min().unwrap_or(Time::NEVER);
    }

    fn publications_timeout(&mut self, now: Time) {
        let publications = &self.publications;
        let timed = |stream: &StreamId| {
            let publication = publications.get(stream);
            publication.is_some_and(|each| each.closing.is_some() || each.blocked.is_some())
        };
        self.timed.retain(timed);
        let closing = |stream: &StreamId| {
            let closing = publications.get(stream).and_then(|publication| publication.closing);
            closing.is_some_and(|at| at <= now)
        };
        let (closing, slow): (Vec<StreamId>, _) = self.timed.iter().partition(|each| closing(each));
        for stream in closing {
            self.free_publication(now, stream);
        }
        for stream in slow {
            self.evict_slowest(now, stream);
        }
    }

    fn peer_timeout(&mut self, now: Time, at: usize) {
        let (profile, resume) = (self.cfg.liveness, self.cfg.resume_window);
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let key = peer.key;
        let rto = peer.session.rtt.rto();
        let verdict = peer.session.watch.on_time(now, profile, rto, resume);
        match verdict {
            Verdict::Fine => {}
            Verdict::Ping => peer.session.ping = true,
            Verdict::Suspect => {
                peer.session.ping = true;
                self.events.push_back(Event::PeerSuspect { key });
                self.try_addresses(now, at);
            }
            Verdict::Dead => {
                peer.session.ping = true;
                self.on_dead(now, at);
            }
            Verdict::Forget => {
                self.free_peer(now, at, DownReason::Silent);
                self.run_discovery(now);
                return;
            }
        }
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let (dst, src) = (peer.session.path.remote, peer.session.path.local);
        let (lost, again) = peer.session.on_time(now);
        self.counters.packets_lost += lost;
        if let Some(bytes) = again.map(<[u8]>::to_vec) {
            self.push(Packet { via: Via::Unicast, dst, src, bytes });
        }
        self.probe_timeout(now, at);
        self.wake(at);
        self.rearm(at);
    }

    /// A suspect may have moved: try its other addresses.
    fn try_addresses(&mut self, now: Time, at: usize) {
        let Some(id) = self.peer(at).map(|peer| peer.key.id) else { return };
        for addr in self.discovery.candidates(id) {
            let token = self.rng.u64();
            if let Some(peer) = self.peer(at)
                && addr != peer.session.path.remote
            {
                peer.session.path.try_address(now, addr, None, token);
            }
        }
    }

    /// Discovery asked whether a peer lives: three pings over a second.
    fn probe_timeout(&mut self, now: Time, at: usize) {
        let Some(peer) = self.peer(at) else { return };
        let Some(probe) = &mut peer.probe else { return };
        if probe.at > now {
            return;
        }
        if probe.sent < 3 {
            probe.sent += 1;
            probe.at = now + Duration::from_millis(333);
            peer.session.ping = true;
            return;
        }
        let (id, asked, deadly) = (peer.key.id, probe.asked, probe.deadly);
        peer.probe = None;
        if deadly && !matches!(peer.session.watch.state(), State::Dead(_)) {
            peer.session.watch.declare_dead(now);
            self.on_dead(now, at);
        }
        if asked {
            self.discovery.on_probe(now, id, false);
        }
        self.run_discovery(now);
    }

    /// Computes anew when a peer needs attention.
    pub(super) fn rearm(&mut self, at: usize) {
        let (profile, resume) = (self.cfg.liveness, self.cfg.resume_window);
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let pkt = peer.session.received;
        let rto = peer.session.rtt.rto();
        let control = &peer.control;
        let mut at = peer.session.deadline().min(peer.session.watch.deadline(profile, rto, resume));
        let mut sooner = |deadline: Option<Time>| {
            if let Some(deadline) = deadline {
                at = at.min(deadline);
            }
        };
        sooner(peer.session.acks.deadline());
        sooner(peer.session.mtu.deadline());
        sooner(Some(peer.send_at));
        sooner(peer.probe.as_ref().map(|probe| probe.at));
        sooner(control.reader.status_deadline());
        sooner(control.reader.nak_deadline(pkt));
        sooner(control.cursor.deadline());
        sooner(Some(peer.hot.deadline(pkt)));
        peer.deadline = at;
        self.peers_due = self.peers_due.min(at);
    }
}
