//! What a node shows of itself.

use super::Node;
use super::lanes::Carrier;
use super::peer::OutState;
use crate::config::PubQos;
use crate::counters::Counters;
use crate::crypto::Crypto;
use crate::discovery::MemberState;
use crate::ids::{EndpointId, EndpointKey, PubId, SubId};
use crate::time::Time;
use crate::transport::liveness::State;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use motet_wire::record::swim::SwimState;

/// A peer with a session.
#[derive(Clone, Debug)]
pub struct PeerView {
    /// Who.
    pub key: EndpointKey,
    /// Its name.
    pub name: Arc<str>,
    /// The address in use.
    pub addr: SocketAddr,
    /// All addresses known for it.
    pub addresses: Vec<SocketAddr>,
    /// Where it stands.
    pub state: State,
    /// Smoothed round trip, once measured.
    pub rtt: Option<Duration>,
    /// When it was last heard of.
    pub heard: Time,
    /// Role bits.
    pub roles: u16,
    /// It runs on this machine.
    pub same_host: bool,
    /// Datagram size in use.
    pub mtu: u16,
    /// Congestion window in bytes.
    pub window: u64,
    /// Version of its interest that we know.
    pub interest: u64,
    /// When the session was made.
    pub since: Time,
}

/// Where a member stands, as seen from here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MemberWhere {
    /// It answers.
    Alive,
    /// Its session has heard nothing for a while; it is being asked.
    Quiet,
    /// It did not answer when asked.
    Suspect,
    /// It is given up.
    Dead,
    /// It said goodbye.
    Left,
}

/// A member of the realm, with or without a session.
#[derive(Clone, Debug)]
pub struct MemberView {
    /// Who.
    pub key: EndpointKey,
    /// Its name; empty until it is known.
    pub name: Arc<str>,
    /// Where it stands.
    pub state: MemberWhere,
    /// Since when, as far as we know.
    pub since: Time,
    /// Round trip: smoothed by the session, else of the last probe.
    pub rtt: Option<Duration>,
    /// Its best address.
    pub addr: SocketAddr,
    /// What its owner says of it.
    pub tags: Vec<(String, String)>,
    /// Role bits.
    pub roles: u16,
    /// A session with it stands.
    pub session: bool,
    /// How often it came back from the dead in this life.
    pub generation: u32,
}

/// A publication and its readers.
#[derive(Clone, Debug)]
pub struct PublicationView {
    /// Which.
    pub id: PubId,
    /// Its topic.
    pub topic: Arc<str>,
    /// Its settings.
    pub qos: PubQos,
    /// Its readers, local ones included.
    pub readers: Vec<ReaderView>,
    /// The first message held.
    pub first: u64,
    /// The number of the next one.
    pub next: u64,
    /// Bytes held.
    pub bytes: u64,
}

/// A reader of a publication.
#[derive(Clone, Debug)]
pub struct ReaderView {
    /// Who.
    pub key: EndpointKey,
    /// Its name.
    pub name: Arc<str>,
    /// offered, active, suspended, or why it refused.
    pub state: String,
    /// It has everything below this.
    pub acked: u64,
    /// Messages published and not acknowledged by it.
    pub unacked: u64,
    /// It is a subscription of this endpoint.
    pub local: bool,
    /// What brings the messages to it; `None` for a local reader.
    pub carrier: Option<Carrier>,
}

/// A subscription and the writers it reads.
#[derive(Clone, Debug)]
pub struct SubscriptionView {
    /// Which.
    pub id: SubId,
    /// Its filters.
    pub filters: Vec<String>,
    /// Its type tag.
    pub type_tag: String,
    /// Deliveries in its queue.
    pub queued: usize,
    /// Bytes in its queue.
    pub bytes: usize,
    /// Writers.
    pub writers: Vec<WriterView>,
}

/// A writer that a subscription reads.
#[derive(Clone, Debug)]
pub struct WriterView {
    /// Who.
    pub key: EndpointKey,
    /// Its name.
    pub name: Arc<str>,
    /// The topic.
    pub topic: Arc<str>,
    /// The type tag it writes.
    pub type_tag: Arc<str>,
    /// active, waiting (the queue is full), or suspended.
    pub state: &'static str,
    /// The next message wanted.
    pub next: u64,
    /// Messages missed.
    pub missed: u64,
}

impl<C: Crypto> Node<C> {
    /// This endpoint.
    pub fn key(&self) -> EndpointKey {
        self.key
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Discovery has been quiet for 300 ms, or 1 s has passed.
    pub fn settled(&self) -> bool {
        self.discovery.settled()
    }

    /// Foreign realms and wrong keys heard of.
    pub fn neighbours(&self) -> &crate::discovery::Neighbours {
        self.discovery.neighbours()
    }

    /// Live holders of a name, this endpoint included; those without a session are dialled when they
    /// are needed.
    pub fn resolve(&self, name: &str) -> Vec<EndpointKey> {
        let own = (*self.name == *name).then_some(self.key);
        let held = self.peers.iter().flatten().filter(|peer| {
            *peer.name == *name && !matches!(peer.session.watch.state(), State::Dead(_))
        });
        let mut all: Vec<EndpointKey> = own.into_iter().chain(held.map(|peer| peer.key)).collect();
        for key in self.crowd.holders(name) {
            // Where there was a session, what it ended with is known better than by hearsay.
            let session = self.by_id.contains_key(&key.id);
            let over =
                self.discovery.member(key.id).is_some_and(|it| it.state != MemberState::Live);
            if !session && !over && !all.iter().any(|known| known.id == key.id) {
                all.push(key);
            }
        }
        all
    }

    /// Bytes held for messages that are not complete, or not in order yet.
    pub fn reassembling(&self) -> u64 {
        self.pool.used()
    }

    /// Our addresses, as we tell others of them.
    pub fn advertised(&self) -> Vec<core::net::IpAddr> {
        self.discovery.beacon(0, 0).addresses
    }

    /// Peers with a session.
    pub fn peers(&self) -> Vec<PeerView> {
        let view = |peer: &super::peer::Peer<C::Aead>| PeerView {
            key: peer.key,
            name: peer.name.clone(),
            addr: peer.session.path.remote,
            addresses: self.discovery.candidates(peer.key.id),
            state: peer.session.watch.state(),
            rtt: peer.session.rtt.has_sample().then(|| peer.session.rtt.srtt()),
            heard: peer.session.watch.heard(),
            roles: peer.roles,
            same_host: peer.host_id == self.cfg.host_id && peer.host_id != [0; 16],
            mtu: peer.session.mtu.current(),
            window: peer.session.congestion.window(),
            interest: peer.interest.version(),
            since: peer.session.established(),
        };
        self.peers.iter().flatten().map(view).collect()
    }

    /// All members that are known, by id, with or without a session; dead ones for 24 h, those that
    /// left for as long. Observers with a session are among them.
    pub fn members(&self) -> Vec<MemberView> {
        let mut all: BTreeMap<EndpointId, MemberView> = BTreeMap::new();
        for member in self.crowd.members() {
            let swim = member.swim;
            let left = self.discovery.has_left(swim.key);
            let state = match swim.state {
                SwimState::Alive => MemberWhere::Alive,
                SwimState::Suspect => MemberWhere::Suspect,
                SwimState::Down if left => MemberWhere::Left,
                SwimState::Down => MemberWhere::Dead,
            };
            let view = MemberView {
                key: swim.key,
                name: member.name.as_str().into(),
                state,
                since: swim.since,
                rtt: swim.rtt,
                addr: swim.addr,
                tags: member.tags,
                roles: member.roles.0,
                session: false,
                generation: swim.generation,
            };
            all.insert(swim.key.id, view);
        }
        for peer in self.peers.iter().flatten() {
            let watch = &peer.session.watch;
            let (state, since) = match watch.state() {
                State::Alive if watch.asks() => (MemberWhere::Quiet, watch.heard()),
                State::Alive => (MemberWhere::Alive, peer.session.established()),
                State::Suspect => (MemberWhere::Suspect, watch.heard()),
                State::Dead(since) => (MemberWhere::Dead, since),
            };
            let rtt = peer.session.rtt.has_sample().then(|| peer.session.rtt.srtt());
            let known = all.remove(&peer.key.id).filter(|view| view.key == peer.key);
            let known = known.map_or((Vec::new(), 0, None), |it| (it.tags, it.generation, it.rtt));
            let view = MemberView {
                key: peer.key,
                name: peer.name.clone(),
                state,
                since,
                rtt: rtt.or(known.2),
                addr: peer.session.path.remote,
                tags: known.0,
                roles: peer.roles,
                session: true,
                generation: known.1,
            };
            all.insert(peer.key.id, view);
        }
        all.into_values().collect()
    }

    /// How ill we hold ourselves for: 0 is well, 8 is as ill as can be.
    pub fn health_score(&self) -> u32 {
        self.crowd.score()
    }

    /// What membership refused or dropped.
    pub fn membership_counts(&self) -> crate::discovery::swim::SwimCounts {
        self.crowd.counts()
    }

    /// One peer's name, if it has a session.
    pub fn peer_name(&self, id: EndpointId) -> Option<Arc<str>> {
        let at = *self.by_id.get(&id)?;
        Some(self.peers.get(at)?.as_ref()?.name.clone())
    }

    /// Active readers of a publication in other endpoints.
    pub fn readers(&self, id: PubId) -> usize {
        let Some(publication) = self.publications.get(&id.0) else { return 0 };
        let active = |at: &&usize| {
            let out = self.peers.get(**at).and_then(Option::as_ref).and_then(|p| p.outs.get(&id.0));
            out.is_some_and(|out| out.state == OutState::Active)
        };
        publication.readers.iter().filter(active).count()
    }

    /// Messages of a publication that some live reader in another endpoint has not acknowledged.
    pub fn unacked(&self, id: PubId) -> u64 {
        let Some(publication) = self.publications.get(&id.0) else { return 0 };
        let of = |at: &usize| {
            let out = self.peers.get(*at)?.as_ref()?.outs.get(&id.0)?;
            let next = publication.log.next();
            (out.state == OutState::Active).then(|| next.saturating_sub(out.cursor.acked()))
        };
        publication.readers.iter().filter_map(of).max().unwrap_or(0)
    }

    /// Whether some reader has acknowledged a message, be it one that has left since.
    pub fn is_confirmed(&self, id: PubId, seq: u64) -> bool {
        let Some(publication) = self.publications.get(&id.0) else { return false };
        let of = |at: &usize| Some(self.peers.get(*at)?.as_ref()?.outs.get(&id.0)?.cursor.acked());
        let here = publication.local.iter().map(|local| local.next);
        let acked = publication.readers.iter().filter_map(of).chain(here).max();
        publication.confirmed.max(acked.unwrap_or(0)) > seq
    }

    /// All publications.
    pub fn publications(&self) -> Vec<PublicationView> {
        let readers = |publication: &super::local::Publication| {
            let stream = publication.stream();
            let next = publication.log.next();
            let remote = self.peers.iter().flatten().filter_map(move |peer| {
                let out = peer.outs.get(&stream)?;
                let state = match out.state {
                    OutState::Offered => "offered".into(),
                    OutState::Active => "active".into(),
                    OutState::Suspended => "suspended".into(),
                    OutState::Rejected { reason, .. } => format!("refused: {reason:?}"),
                };
                let acked = out.cursor.acked();
                let unacked = next.saturating_sub(acked);
                Some(ReaderView {
                    key: peer.key,
                    name: peer.name.clone(),
                    state,
                    acked,
                    unacked,
                    local: false,
                    carrier: Some(self.carrier_of(publication, peer, out)),
                })
            });
            let local = publication.local.iter().map(move |local| ReaderView {
                key: self.key,
                name: self.name.clone(),
                state: "active".into(),
                acked: local.next,
                unacked: next.saturating_sub(local.next),
                local: true,
                carrier: None,
            });
            remote.chain(local).collect()
        };
        let view = |publication: &super::local::Publication| PublicationView {
            id: publication.id,
            topic: publication.topic.arc(),
            qos: publication.qos.clone(),
            readers: readers(publication),
            first: publication.log.first(),
            next: publication.log.next(),
            bytes: publication.log.bytes(),
        };
        self.publications.values().map(view).collect()
    }

    /// All subscriptions.
    pub fn subscriptions(&self) -> Vec<SubscriptionView> {
        let writers = |id: &SubId| {
            let of_peer = |peer: &super::peer::Peer<C::Aead>| {
                let read = peer.ins.values().filter(|incoming| incoming.subs.contains(id));
                let view = |incoming: &super::peer::Incoming| WriterView {
                    key: peer.key,
                    name: peer.name.clone(),
                    topic: incoming.topic.arc(),
                    type_tag: incoming.type_tag.clone(),
                    state: match (incoming.suspended, incoming.stalled) {
                        (true, _) => "suspended",
                        (false, true) => "waiting",
                        (false, false) => "active",
                    },
                    next: incoming.reader.next(),
                    missed: incoming.missed,
                };
                read.map(view).collect::<Vec<_>>()
            };
            self.peers.iter().flatten().flat_map(of_peer).collect()
        };
        let view = |(id, sub): (&SubId, &super::local::Subscription)| SubscriptionView {
            id: *id,
            filters: sub.filters.iter().map(|filter| filter.as_str().into()).collect(),
            type_tag: sub.qos.type_tag.clone(),
            queued: sub.queue.len(),
            bytes: sub.queue.bytes(),
            writers: writers(id),
        };
        self.subscriptions.iter().map(view).collect()
    }

    /// The invariants that the simulator and fuzzers check after every step.
    ///
    /// # Errors
    /// The one that is broken, in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        let limit = super::reassembly(&self.cfg);
        if self.pool.used() > limit.saturating_mul(2) {
            return Err(format!("O6: {} of {limit} reassembly bytes in use", self.pool.used()));
        }
        for peer in self.peers.iter().flatten() {
            if peer.control.log.bytes() > super::peer::CONTROL_MAX {
                return Err(format!("O6: control backlog of {} bytes", peer.control.log.bytes()));
            }
            peer.control.reader.check().map_err(|rule| format!("control: {rule}"))?;
            for (stream, incoming) in &peer.ins {
                incoming.reader.check().map_err(|rule| format!("stream {stream}: {rule}"))?;
                let waits = incoming.reader.nak_deadline(peer.session.received).is_some();
                if waits && !incoming.hot {
                    return Err(format!("I1: stream {stream} waits for a NAK that nobody sends"));
                }
            }
            for (stream, out) in &peer.outs {
                if out.cursor.deadline().is_some() && !out.hot && out.state == OutState::Active {
                    return Err(format!("I1: stream {stream} waits for a heartbeat nobody sends"));
                }
            }
        }
        self.check_lanes()?;
        for publication in self.publications.values() {
            let (bytes, max) = (publication.log.bytes(), publication.qos.log_bytes as u64);
            if bytes > max && publication.log.next() - publication.log.first() > 1 {
                return Err(format!("O6: a log of {bytes} bytes, at most {max}"));
            }
            let strict = !matches!(publication.qos.slow, crate::SlowPolicy::DropOldest);
            let first = publication.log.first();
            for peer in self.peers.iter().flatten() {
                let Some(out) = peer.outs.get(&publication.stream()) else { continue };
                let acked = out.cursor.acked();
                let lacks = out.state == OutState::Active && !out.behind && acked < first;
                if strict && publication.qos.reliable && lacks {
                    return Err(format!("O4: message {acked} was freed, a live reader lacks it"));
                }
            }
        }
        for sub in self.subscriptions.values() {
            let max = sub.qos.queue_bytes.max(1_024);
            if !sub.queue.within_limit() {
                return Err(format!("O6: a queue of {} bytes, at most {max}", sub.queue.bytes()));
            }
        }
        self.check_services()
    }
}
