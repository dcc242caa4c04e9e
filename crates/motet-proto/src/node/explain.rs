//! The decision list: why a peer gets our data on a topic or not, and why we get its.
//!
//! Looks at the tables of the node and changes nothing (E-1). The first line that holds is the
//! verdict (E-2).

use super::Node;
use super::failures::StreamNote;
use super::lanes::{Carrier, WhyUnicast};
use super::local::Publication;
use super::peer::{Incoming, OutState, Outgoing, Peer, STREAMS_MAX};
use crate::crypto::Crypto;
use crate::discovery::{MemberState, NeighbourKind};
use crate::explain::{
    Link, Offender, Outcome, Reason, Side, TRIED_MAX, Tried, Verdict, nearest_patterns,
};
use crate::ids::{EndpointId, SubId};
use crate::time::Time;
use crate::topics::interest::REMOTE_FILTERS_MAX;
use crate::topics::name::TopicName;
use crate::transport::liveness::State;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use motet_wire::control::RejectReason;
use motet_wire::record::swim::SwimState;

/// A reader is behind when the oldest message that it lacks is this old.
pub const LAGGING_AFTER: Duration = Duration::from_secs(1);
/// A failure older than this explains nothing any more: the longest pause between two dials is
/// 38 s (D-11), a dial takes 8 s.
const RECENT: Duration = Duration::from_secs(120);

/// The endpoint that is asked about: as much as is known of it.
#[derive(Clone, Debug, Default)]
pub struct Other {
    /// Its id.
    pub id: Option<EndpointId>,
    /// Its name; empty if it is not known.
    pub name: String,
    /// Addresses that it may have; at most 16 are looked at.
    pub addrs: Vec<SocketAddr>,
}

impl<C: Crypto> Node<C> {
    /// Why this endpoint, as the reader, gets `from`'s data on `topic`, or why not.
    pub fn explain_reader(&self, now: Time, from: &Other, topic: &str) -> Verdict {
        self.explain(now, Side::Reader, from, topic)
    }

    /// Why this endpoint's data on `topic` goes to `to`, or why not.
    pub fn explain_writer(&self, now: Time, to: &Other, topic: &str) -> Verdict {
        self.explain(now, Side::Writer, to, topic)
    }

    /// Whether this endpoint has a session with `other`, or why not.
    pub fn explain_link(&self, now: Time, other: &Other) -> Verdict {
        self.explain(now, Side::Asker, other, "")
    }

    /// Members of the realm that broke limits, the latest first; at most 256 are remembered.
    pub fn offenders(&self, now: Time) -> Vec<Offender> {
        self.failures.offenders(now)
    }

    fn explain(&self, now: Time, side: Side, other: &Other, topic: &str) -> Verdict {
        let id = other.id.or_else(|| self.named(&other.name));
        if id == Some(self.key.id) {
            return self.explain_own(now, side, topic);
        }
        let peer = id.and_then(|id| self.by_id.get(&id));
        let peer = peer.and_then(|at| Some((*at, self.peers.get(*at)?.as_ref()?)));
        let mut verdict = match peer {
            None => self.no_session(now, side, id, other, topic),
            Some((_, peer)) if self.was_refused_since(now, peer) => {
                self.no_session(now, side, id, other, topic)
            }
            Some((_, peer)) if matches!(peer.session.watch.state(), State::Dead(_)) => {
                self.suspended(now, side, peer)
            }
            Some((_, peer)) => match side {
                Side::Reader => self.reading(now, peer, topic),
                Side::Writer => self.writing(now, peer, topic),
                Side::Asker => Verdict::new(side, Reason::Receiving),
            },
        };
        verdict.link = self.link(now, id, other);
        if let Some(id) = id {
            verdict.offences = self.failures.offences_of(id);
        }
        verdict
    }

    /// The endpoint of this name: ourselves, a live peer, a dead one, one that is remembered.
    fn named(&self, name: &str) -> Option<EndpointId> {
        if name.is_empty() {
            return None;
        }
        if *self.name == *name {
            return Some(self.key.id);
        }
        let of_name = |peer: &&Peer<C::Aead>| *peer.name == *name;
        let peers = || self.peers.iter().flatten().filter(of_name);
        let live = peers().find(|peer| !matches!(peer.session.watch.state(), State::Dead(_)));
        let peer = live.or_else(|| peers().next()).map(|peer| peer.key.id);
        let members = || self.discovery.members().filter(|entry| *entry.name == *name);
        let peer = peer.or_else(|| self.crowd.holders(name).first().map(|key| key.id));
        peer.or_else(|| members().max_by_key(|entry| entry.since).map(|entry| entry.key.id))
    }

    /// The session is that of a life which has not spoken since a later one was refused.
    fn was_refused_since(&self, now: Time, peer: &Peer<C::Aead>) -> bool {
        let refused = self.failures.refused.get(&peer.key.id);
        refused.is_some_and(|(at, _)| now.since(at) < RECENT && peer.session.watch.heard() < at)
    }

    /// The decision list for two that have no session.
    fn no_session(
        &self,
        now: Time,
        side: Side,
        id: Option<EndpointId>,
        other: &Other,
        topic: &str,
    ) -> Verdict {
        let tried = self.tried(now, id, other);
        let said = |outcome| tried.iter().any(|tried: &Tried| tried.outcome == outcome);
        let refused = id.and_then(|id| self.failures.refused.get(&id));
        let refused = refused.filter(|(at, _)| now.since(*at) < RECENT);
        let member = id.and_then(|id| self.discovery.member(id));
        let mut verdict = Verdict::new(side, Reason::NotMet);
        verdict.skew_ms = refused.and_then(|(_, note)| note.skew_ms);
        verdict.reason = Some(if said(Outcome::WrongKey) {
            Reason::WrongKey
        } else if said(Outcome::WrongRealm) {
            Reason::WrongRealm
        } else if let Some((at, reason)) = refused.and_then(|(at, note)| Some((at, note.reason?))) {
            verdict.since = Some(now.since(at));
            if reason == Reason::Limit {
                verdict.limit = "sessions".into();
                verdict.limit_value = self.cfg.sessions_max as u64;
            }
            reason
        } else if said(Outcome::Version) {
            Reason::Version
        } else if let Some(left) = member.filter(|member| member.state == MemberState::Left) {
            verdict.since = Some(now.since(left.since));
            Reason::Gone
        } else if tried.is_empty() && self.lives_without_session(id) {
            return self.strangers_on(side, topic);
        } else if !tried.is_empty() || member.is_some() {
            verdict.since = member.map(|member| now.since(member.since));
            Reason::Unreachable
        } else {
            Reason::NotMet
        });
        verdict.tried = tried;
        verdict
    }

    /// A member that is known to live; in a large realm few have a session with each other.
    fn lives_without_session(&self, id: Option<EndpointId>) -> bool {
        let member = id.and_then(|id| self.crowd.member(id));
        member.is_some_and(|member| member.swim.state == SwimState::Alive)
    }

    /// The two need no session so far: is it for the topic?
    fn strangers_on(&self, side: Side, topic: &str) -> Verdict {
        let mut verdict = Verdict::new(side, Reason::NotOffered);
        let wanted = || {
            let name = TopicName::system(topic).ok()?;
            self.subscriptions.values().find(|sub| sub.matches(&name))
        };
        match side {
            Side::Writer if !self.publications.values().any(|it| it.topic.as_str() == topic) => {
                verdict.reason = Some(Reason::NotPublished);
                let topics = self.publications.values().filter(|it| it.only.is_none());
                verdict.near = nearest_patterns(topic, topics.map(|it| it.topic.as_str()));
            }
            Side::Reader if wanted().is_none() => {
                verdict.reason = Some(Reason::NoFilter);
                let filters = self.subscriptions.values().flat_map(|sub| &sub.filters);
                verdict.near = nearest_patterns(topic, filters.map(|filter| filter.as_str()));
            }
            Side::Asker => verdict.reason = Some(Reason::NotMet),
            Side::Writer | Side::Reader => {}
        }
        verdict
    }

    fn suspended(&self, now: Time, side: Side, peer: &Peer<C::Aead>) -> Verdict {
        let mut verdict = Verdict::new(side, Reason::Suspended);
        let addrs = vec![peer.session.path.remote];
        let other = Other { id: Some(peer.key.id), addrs, ..Other::default() };
        let heard = peer.session.watch.heard();
        verdict.tried = self.tried(now, Some(peer.key.id), &other);
        // Where it was last heard, it has not answered since; a dial elsewhere does not change that.
        let was = peer.session.path.remote;
        if verdict.tried.iter().all(|tried| tried.addr != was) {
            let (outcome, ago) = (Outcome::Silent, now.since(heard));
            verdict.tried.insert(0, Tried { addr: was, outcome, ago, times: 1 });
            verdict.tried.truncate(TRIED_MAX);
        }
        verdict.since = Some(now.since(heard));
        if let State::Dead(at) = peer.session.watch.state() {
            verdict.left = Some(self.cfg.resume_window.saturating_sub(now.since(at)));
        }
        verdict
    }

    /// We read, and have a session with the writer.
    fn reading(&self, now: Time, peer: &Peer<C::Aead>, topic: &str) -> Verdict {
        let new = |reason| Verdict::new(Side::Reader, reason);
        let open = peer.ins.iter().find(|(_, incoming)| *incoming.topic.arc() == *topic);
        if let Some((_, incoming)) = open {
            return self.read_from(now, peer, incoming);
        }
        let Ok(name) = TopicName::system(topic) else {
            return new(Reason::NoFilter);
        };
        let wanted = self.subscriptions.values().any(|sub| sub.matches(&name));
        let note = self.failures.streams.get(&(peer.key.id, name.arc()));
        if !wanted {
            let mut verdict = new(Reason::NoFilter);
            let filters = self.subscriptions.values().flat_map(|sub| &sub.filters);
            verdict.near = nearest_patterns(topic, filters.map(|filter| filter.as_str()));
            return verdict;
        }
        if let Some((at, note)) = note {
            return told_by(now, Side::Reader, at, note);
        }
        let mut verdict = new(Reason::NotOffered);
        if peer.ins.len() >= STREAMS_MAX {
            (verdict.reason, verdict.limit) = (Some(Reason::Limit), "streams".into());
            verdict.limit_value = STREAMS_MAX as u64;
        }
        verdict.since = Some(now.since(peer.session.established()));
        verdict
    }

    /// A stream is open.
    fn read_from(&self, now: Time, peer: &Peer<C::Aead>, incoming: &Incoming) -> Verdict {
        let mut verdict = Verdict::new(Side::Reader, Reason::Receiving);
        verdict.next = incoming.reader.next();
        verdict.missed = incoming.missed;
        verdict.last = incoming.lag.last().map(|last| now.since(last));
        verdict.behind = incoming.reader.high().saturating_sub(incoming.reader.next());
        if incoming.suspended {
            verdict.reason = Some(Reason::Suspended);
            verdict.since = Some(now.since(peer.session.established()));
        } else if let Some(since) = incoming.stalled.then_some(incoming.stalled_at) {
            verdict.reason = Some(Reason::Paused);
            verdict.since = Some(now.since(since));
            let queued = |id: &SubId| self.subscriptions.get(id).map(|sub| sub.queue.len());
            let waiting = incoming.subs.iter().filter_map(queued).max().unwrap_or(0);
            verdict.behind = verdict.behind.saturating_add(waiting as u64);
        }
        verdict
    }

    /// We write, and have a session with the reader.
    fn writing(&self, now: Time, peer: &Peer<C::Aead>, topic: &str) -> Verdict {
        let new = |reason| Verdict::new(Side::Writer, reason);
        let publication = self.publications.values().find(|it| it.topic.as_str() == topic);
        let Some(publication) = publication.filter(|it| it.closing.is_none()) else {
            let mut verdict = new(Reason::NotPublished);
            let topics = self.publications.values().filter(|it| it.only.is_none());
            verdict.near = nearest_patterns(topic, topics.map(|it| it.topic.as_str()));
            return verdict;
        };
        if publication.only.is_some_and(|only| only != peer.key.id) {
            let mut verdict = new(Reason::Policy);
            verdict.at_writer = "a topic for another endpoint only".into();
            verdict.at_reader = "no part in it".into();
            return verdict;
        }
        let note = self.failures.streams.get(&(peer.key.id, publication.topic.arc()));
        match peer.outs.get(&publication.stream()) {
            Some(out) => self.written(now, peer, publication, out, note),
            None => {
                if let Some((at, note)) = note {
                    return told_by(now, Side::Writer, at, note);
                }
                let wants = peer.interest.wants(&publication.topic, publication.hash);
                let mut verdict = new(Reason::NotOffered);
                if !wants && peer.interest.refused() > 0 {
                    (verdict.reason, verdict.limit) = (Some(Reason::Limit), "filters".into());
                    verdict.limit_value = REMOTE_FILTERS_MAX as u64;
                }
                verdict
            }
        }
    }

    /// The stream was offered.
    fn written(
        &self,
        now: Time,
        peer: &Peer<C::Aead>,
        publication: &Publication,
        out: &Outgoing,
        note: Option<(Time, &StreamNote)>,
    ) -> Verdict {
        let log = &publication.log;
        let mut verdict = Verdict::new(Side::Writer, Reason::Receiving);
        let age = |seq: u64| {
            let entry = log.get(seq)?;
            Some(Duration::from_micros(now.micros().saturating_sub(entry.t_us)))
        };
        let lane = self.carrier_of(publication, peer, out);
        verdict.carrier = carrier(lane);
        verdict.next = log.next();
        verdict.last = log.next().checked_sub(1).and_then(age);
        if out.state != OutState::Offered {
            verdict.behind = log.next().saturating_sub(out.cursor.acked());
            let oldest = out.cursor.acked().max(log.first());
            verdict.lag = (verdict.behind > 0).then(|| age(oldest)).flatten();
        }
        match out.state {
            OutState::Offered => {
                verdict.reason = Some(Reason::Offered);
                verdict.since = Some(now.since(out.offered_at));
            }
            OutState::Suspended => {
                verdict.reason = Some(Reason::Suspended);
                verdict.since = Some(now.since(peer.session.established()));
            }
            OutState::Rejected { reason, .. } => {
                let at = note.map_or(now, |(at, _)| at);
                let mut note = note.map_or_else(StreamNote::default, |(_, note)| note.clone());
                note.reason = note.reason.or_else(|| Some(of_reject(reason)));
                return told_by(now, Side::Writer, at, &note);
            }
            OutState::Active => {
                let slow = verdict.lag.is_some_and(|lag| lag >= LAGGING_AFTER);
                let refused = note.filter(|(_, note)| note.seq + 1 == log.next());
                if let Some((at, note)) = refused {
                    return told_by(now, Side::Writer, at, note);
                }
                if out.cursor.blocked(log) && slow {
                    verdict.reason = Some(Reason::Paused);
                    verdict.since = verdict.lag;
                } else if let Carrier::Unicast { why: WhyUnicast::LaneLost { at, until } } = lane
                    && until > now
                {
                    verdict.reason = Some(Reason::LaneLost);
                    verdict.since = Some(now.since(at));
                } else if slow && publication.qos.reliable {
                    verdict.reason = Some(Reason::Lagging);
                }
            }
        }
        verdict
    }

    /// Writer and reader are this same endpoint.
    fn explain_own(&self, now: Time, side: Side, topic: &str) -> Verdict {
        let new = |reason| Verdict::new(side, reason);
        let publication = self.publications.values().find(|it| it.topic.as_str() == topic);
        let Some(publication) = publication else {
            let mut verdict = new(Reason::NotPublished);
            let topics = self.publications.values().map(|it| it.topic.as_str());
            verdict.near = nearest_patterns(topic, topics);
            return verdict;
        };
        let matching = || self.subscriptions.iter().filter(|(_, s)| s.matches(&publication.topic));
        if matching().next().is_none() {
            let mut verdict = new(Reason::NoFilter);
            let filters = self.subscriptions.values().flat_map(|sub| &sub.filters);
            verdict.near = nearest_patterns(topic, filters.map(|filter| filter.as_str()));
            return verdict;
        }
        let local =
            publication.local.iter().find(|local| matching().any(|(id, _)| *id == local.sub));
        let Some(local) = local else {
            let tag = |sub: &&super::local::Subscription| sub.qos.type_tag.clone();
            let mut verdict = new(Reason::Policy);
            let word = |on: bool| if on { "local on" } else { "local off" };
            verdict.at_writer = word(publication.qos.local).into();
            verdict.at_reader = word(matching().any(|(_, sub)| sub.qos.local)).into();
            if publication.qos.local && matching().any(|(_, sub)| sub.qos.local) {
                verdict.reason = Some(Reason::TypeDiffers);
                verdict.at_writer = publication.qos.type_tag.clone();
                let other = matching().map(|(_, sub)| sub).find(|sub| sub.qos.local);
                verdict.at_reader = other.as_ref().map(tag).unwrap_or_default();
            }
            return verdict;
        };
        let mut verdict = new(Reason::Receiving);
        verdict.carrier = "local".into();
        verdict.next = publication.log.next();
        let last = publication.log.next().checked_sub(1).and_then(|seq| publication.log.get(seq));
        let age = |t_us: u64| Duration::from_micros(now.micros().saturating_sub(t_us));
        verdict.last = last.map(|entry| age(entry.t_us));
        verdict.behind = publication.log.next().saturating_sub(local.next);
        if verdict.behind > 0 {
            verdict.reason = Some(Reason::Paused);
            verdict.since = publication.log.get(local.next).map(|entry| age(entry.t_us));
        }
        verdict
    }

    /// What is remembered of addresses: those given, those known, those dialled for this id.
    fn tried(&self, now: Time, id: Option<EndpointId>, other: &Other) -> Vec<Tried> {
        let mut addrs: Vec<SocketAddr> = other.addrs.iter().take(TRIED_MAX).copied().collect();
        addrs.extend(id.map(|id| self.discovery.candidates(id)).unwrap_or_default());
        let refused = id.and_then(|id| self.failures.refused.get(&id));
        addrs.extend(refused.and_then(|(_, note)| note.addr));
        addrs.extend(self.failures.dialled_for(id));
        addrs.sort_unstable();
        addrs.dedup();
        let mut tried = Vec::new();
        for addr in &addrs {
            let any_port = |known: &SocketAddr| addr.port() == 0 && known.ip() == addr.ip();
            for (known, at, note) in self.failures.each_dial() {
                let fits = known == *addr || any_port(&known);
                if let Some(outcome) = note.outcome.filter(|_| fits && now.since(at) < RECENT) {
                    tried.push(Tried {
                        addr: known,
                        outcome,
                        ago: now.since(at),
                        times: note.times,
                    });
                }
            }
        }
        let ips: Vec<IpAddr> = addrs.iter().map(SocketAddr::ip).collect();
        let heard = self.discovery.neighbours().iter().filter(|it| ips.contains(&it.ip));
        // Several endpoints may share a host: it is this one only if no session is there.
        let lives = |ip: IpAddr| {
            let live = |peer: &&Peer<C::Aead>| peer.session.path.remote.ip() == ip;
            self.peers.iter().flatten().any(|peer| live(&peer))
        };
        for neighbour in heard.filter(|it| now.since(it.last) < RECENT && !lives(it.ip)) {
            let outcome = match neighbour.kind {
                NeighbourKind::WrongKey => Outcome::WrongKey,
                NeighbourKind::ForeignRealm { .. } => Outcome::WrongRealm,
            };
            let (ago, times) = (now.since(neighbour.last), neighbour.count);
            tried.push(Tried { addr: SocketAddr::new(neighbour.ip, 0), outcome, ago, times });
        }
        tried.truncate(TRIED_MAX);
        tried
    }

    fn link(&self, now: Time, id: Option<EndpointId>, other: &Other) -> Link {
        let mut link = Link { name: other.name.clone(), ..Link::default() };
        let Some(id) = id else { return link };
        link.id = id.to_string();
        if let Some((_, met)) = self.failures.met.get(&id) {
            (link.skew_ms, link.versions) = (met.skew_ms, met.versions);
            link.multicast = met.multicast.map(|at| now.since(at));
        }
        if let Some(member) = self.crowd.member(id) {
            link.addr = Some(member.swim.addr);
            if member.swim.state == SwimState::Alive {
                link.state = "member".into();
            }
        }
        if let Some(member) = self.discovery.member(id) {
            (link.name, link.addr) = (member.name.as_ref().into(), Some(member.addr));
            link.state = match member.state {
                MemberState::Live => "alive",
                MemberState::Dead => "dead",
                MemberState::Left => "left",
            }
            .into();
        }
        let peer = self.by_id.get(&id).and_then(|at| self.peers.get(*at)?.as_ref());
        if let Some(peer) = peer {
            let session = &peer.session;
            link.state = match session.watch.state() {
                State::Alive => "alive",
                State::Suspect => "suspect",
                State::Dead(_) => "dead",
            }
            .into();
            (link.name, link.addr) = (peer.name.as_ref().into(), Some(session.path.remote));
            link.mtu = session.mtu.current();
            link.rtt = session.rtt.has_sample().then(|| session.rtt.srtt());
            link.heard = Some(now.since(session.watch.heard()));
            link.same_host = peer.host_id == self.cfg.host_id && peer.host_id != [0; 16];
        }
        link
    }
}

/// What brings the messages; where a lane did not work out, why.
fn carrier(carrier: Carrier) -> String {
    match carrier {
        Carrier::Lane { lane, .. } => format!("lane {lane}"),
        Carrier::Unicast { why: WhyUnicast::JoinFailed { .. } } => "unicast (join failed)".into(),
        Carrier::Unicast { why: WhyUnicast::NotHeard { .. } } => "unicast (lane not heard)".into(),
        Carrier::Unicast { .. } => "unicast".into(),
    }
}

/// A note as a verdict.
fn told_by(now: Time, side: Side, at: Time, note: &StreamNote) -> Verdict {
    let mut verdict = Verdict::new(side, note.reason.unwrap_or(Reason::NotOffered));
    verdict.since = Some(now.since(at));
    verdict.limit = note.limit.into();
    verdict.limit_value = note.limit_value;
    verdict.at_writer.clone_from(&note.at_writer);
    verdict.at_reader.clone_from(&note.at_reader);
    verdict
}

/// What a reader's REJECT means.
pub(super) fn of_reject(reason: RejectReason) -> Reason {
    match reason {
        RejectReason::NotAuthorised => Reason::NotAuthorised,
        RejectReason::TypeDiffers => Reason::TypeDiffers,
        RejectReason::Limit => Reason::Limit,
        RejectReason::Policy => Reason::Policy,
        RejectReason::NoInterest | RejectReason::NotHeld | RejectReason::Unknown(_) => {
            Reason::NoFilter
        }
    }
}
