//! The crowd's wishes → realm packets, dials, events; members without a session → sessions on demand.

use super::{Node, Packet};
use crate::crypto::Crypto;
use crate::discovery::crowd::CrowdAction;
use crate::events::{DownReason, Event};
use crate::explain::Offence;
use crate::host::{RecvMeta, Via};
use crate::ids::{EndpointId, EndpointKey, QueryId, StreamId};
use crate::time::Time;
use crate::topics::interest::{LocalInterest, RemoteInterest};
use crate::topics::sieve::Sieve;
use crate::transport::liveness::State;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use motet_wire::control::Control;
use motet_wire::packet::RealmHeader;
use motet_wire::record::swim::SwimState;
use motet_wire::record::{Interest, Record as Realm, entropy};

/// A session that carries nothing is closed after this long, where not everybody has one (M-13).
const IDLE: Duration = Duration::from_secs(60);
/// How often sessions are looked at for that.
const IDLE_EVERY: Duration = Duration::from_secs(5);
/// A question waits so long for the session that it needs.
const ASK_WITHIN: Duration = Duration::from_secs(10);
/// Questions that wait for sessions.
const ASKING_MAX: usize = 1_024;
/// Bytes of an interest set that a realm packet has room for; a larger one is only hinted at.
const INTEREST_ROOM: usize = 1_000;
/// Bytes of all interest sets held of members without a session.
const INTERESTS_MAX: usize = 64 << 20;

/// What is known of members that need not have a session.
#[derive(Default)]
pub(super) struct Strangers {
    interests: BTreeMap<EndpointId, Held>,
    bytes: usize,
    asking: Vec<Asking>,
    look_at: Time,
    /// Our own set as it was last told: to sieve thousands of topics for each asker is too slow.
    own: Interest,
}

struct Held {
    key: EndpointKey,
    set: Interest,
    wants: RemoteInterest,
    bytes: usize,
}

struct Asking {
    to: EndpointId,
    id: u64,
    what: u8,
    cursor: u64,
    /// That of an ASK; without one it is a QUERY.
    argument: Option<Vec<u8>>,
    until: Time,
}

impl Strangers {
    /// Our own set as a realm packet can carry it.
    fn own(&mut self, interest: &LocalInterest) -> Interest {
        if self.own.version != interest.version() {
            self.own = hinted(interest.snapshot());
        }
        self.own.clone()
    }

    pub(super) fn deadline(&self) -> Time {
        let asking = self.asking.iter().map(|each| each.until).min().unwrap_or(Time::NEVER);
        asking.min(self.look_at)
    }
}

impl<C: Crypto> Node<C> {
    /// Does what membership and anti-entropy want done.
    pub(super) fn run_crowd(&mut self, now: Time) {
        while let Some(action) = self.crowd.poll() {
            match action {
                CrowdAction::Send { dst, records } => self.send_records(dst, &records),
                CrowdAction::State { key, state } => self.on_member_state(now, key, state),
                CrowdAction::Hint { key } => {
                    if !self.by_id.contains_key(&key.id) && self.discovery.is_eager() {
                        let addrs = self.ways_to(key.id);
                        self.discovery.on_crowd_hint(now, key, addrs);
                        self.run_discovery(now);
                    }
                }
                CrowdAction::Interest { dst, of, known } => self.tell_interest_of(dst, of, known),
                CrowdAction::Slander { by } => self.offence(now, by, Offence::FalseDeath, 1),
                CrowdAction::Flood { by, n } => self.offence(now, by, Offence::MemberFlood, n),
                CrowdAction::Duplicate => {
                    self.events.push_back(Event::DuplicateIdentity { key: self.key });
                }
            }
        }
    }

    fn send_records(&mut self, dst: SocketAddr, records: &[u8]) {
        let header = RealmHeader {
            multicast: false,
            solicit: false,
            leaving: false,
            epoch: 0,
            realm_tag: self.realm.tag,
            id: self.key.id,
            incarnation: self.key.incarnation,
            counter: 0,
        };
        let bytes = self.realm.seal(header, records);
        self.counters.gossip_sent += 1;
        self.push(Packet { via: Via::Unicast, dst, src: None, bytes });
    }

    fn on_member_state(&mut self, now: Time, key: EndpointKey, state: SwimState) {
        self.discovery.set_crowd(self.crowd.alive());
        self.crowd.want_interest(!self.discovery.is_eager());
        let name = self.crowd.member(key.id).map(|member| member.name.as_str().into());
        let name = name.unwrap_or_else(|| "".into());
        self.events.push_back(Event::Member { key, name, state });
        if state != SwimState::Alive
            && let Some((at, peer)) = self.peer_by_id(key.id)
        {
            peer.session.watch.doubt(now); // a hint: its session knows better
            self.rearm(at);
        }
        if state == SwimState::Down {
            self.forget_interest(key.id);
        }
    }

    /// Our addresses are others.
    pub(super) fn crowd_addresses(&mut self, now: Time) {
        let (addresses, port, version) = self.discovery.own_addresses();
        self.crowd.set_addresses(now, &addresses, port, version);
        self.run_crowd(now);
    }

    /// A record of the crowd's in an authentic realm packet.
    pub(super) fn on_crowd_record(
        &mut self,
        now: Time,
        from: EndpointKey,
        meta: &RecvMeta,
        record: &Realm<'_>,
    ) {
        let taken = match record {
            Realm::Interest(interest) => {
                self.on_interest_heard(now, from, interest);
                Ok(true)
            }
            Realm::AeInterest(bytes) => match entropy::decode_interest(bytes) {
                Ok((key, interest)) => {
                    self.on_interest_heard(now, key, &interest);
                    Ok(true)
                }
                Err(rule) => Err(rule),
            },
            record => self.crowd.on_record(now, from, meta.src, record),
        };
        match taken {
            Ok(true) => self.counters.gossip_received += 1,
            Ok(false) => {}
            Err(_) => self.counters.malformed_records += 1,
        }
    }

    /// The interest of a member, from itself or relayed: a hint (M-18). Who writes what it wants dials
    /// it; the offer and its answer are the truth.
    fn on_interest_heard(&mut self, now: Time, of: EndpointKey, update: &Interest) {
        if of.id == self.key.id || !self.crowd.wants_interest() {
            return;
        }
        if self.crowd.member(of.id).is_none_or(|member| member.swim.key != of) {
            return;
        }
        let mut held = match self.strangers.interests.remove(&of.id) {
            Some(held) if held.key == of => held,
            _ => Held {
                key: of,
                set: Interest::default(),
                wants: RemoteInterest::default(),
                bytes: 0,
            },
        };
        self.strangers.bytes -= held.bytes;
        let fits = held.wants.apply(update);
        if fits.is_ok() {
            merge(&mut held.set, update);
        }
        held.bytes = size(&held.set);
        if self.strangers.bytes + held.bytes > INTERESTS_MAX {
            self.counters.interests_dropped += 1;
            return;
        }
        self.strangers.bytes += held.bytes;
        let version = held.wants.version();
        self.strangers.interests.insert(of.id, held);
        self.crowd.on_interest_held(of.id, version);
        if fits == Ok(true) && !self.by_id.contains_key(&of.id) && self.writes_for(of.id) {
            self.want(now, of.id);
        }
    }

    fn forget_interest(&mut self, id: EndpointId) {
        if let Some(held) = self.strangers.interests.remove(&id) {
            self.strangers.bytes -= held.bytes;
        }
    }

    /// Whether we publish something that this member without a session wants.
    fn writes_for(&self, id: EndpointId) -> bool {
        let Some(held) = self.strangers.interests.get(&id) else { return false };
        self.publications.values().any(|publication| {
            publication.closing.is_none()
                && publication.only.is_none_or(|only| only == id)
                && held.wants.wants(&publication.topic, publication.hash)
        })
    }

    /// A publication is new: who is known to want it is dialled.
    pub(super) fn want_readers(&mut self, now: Time, stream: StreamId) {
        let Some(publication) = self.publications.get(&stream) else { return };
        if let Some(only) = publication.only {
            self.want(now, only);
            return;
        }
        let wants = |held: &Held| held.wants.wants(&publication.topic, publication.hash);
        let readers = self.strangers.interests.iter().filter(|(_, held)| wants(held));
        let readers: Vec<EndpointId> = readers.map(|(id, _)| *id).collect();
        for id in readers {
            self.want(now, id);
        }
    }

    /// Opens a session with a member if there is none (M-12). False if it is nobody that we know.
    pub(super) fn want(&mut self, now: Time, id: EndpointId) -> bool {
        if let Some((_, peer)) = self.peer_by_id(id) {
            peer.used = now;
            return true;
        }
        let addrs = self.ways_to(id);
        let known = !addrs.is_empty();
        self.dial(now, Some(id), &addrs);
        known
    }

    /// Where to try a member, best first.
    fn ways_to(&self, id: EndpointId) -> Vec<SocketAddr> {
        let known = self.discovery.candidates(id);
        if !known.is_empty() {
            return known;
        }
        let Some(member) = self.crowd.member(id) else { return Vec::new() };
        self.discovery.ways(member.swim.addr, &member.addresses, member.host_id)
    }

    fn tell_interest_of(&mut self, dst: SocketAddr, of: EndpointId, known: u64) {
        let (key, set) = if of == self.key.id {
            let delta = self.interest.delta_since(known).filter(|it| size(it) <= INTEREST_ROOM);
            let set = delta.unwrap_or_else(|| self.strangers.own(&self.interest));
            (self.key, set)
        } else {
            let Some(held) = self.strangers.interests.get(&of) else { return };
            (held.key, held.set.clone())
        };
        let bytes = entropy::encode_interest(&key, &hinted(set));
        let mut records = Vec::new();
        Realm::AeInterest(&bytes).encode(&mut records);
        self.send_records(dst, &records);
    }

    /// Our interest beside a beacon, if it fits.
    pub(super) fn put_interest(&self, records: &mut Vec<u8>) {
        let set = self.interest.snapshot();
        if self.interest.version() > 0 && size(&set) <= INTEREST_ROOM / 2 {
            Realm::Interest(set).encode(records);
        }
    }

    /// Asks a member without a session once it has one.
    pub(super) fn ask_later(
        &mut self,
        now: Time,
        to: EndpointId,
        (what, cursor): (u8, u64),
        argument: Option<&[u8]>,
    ) -> Option<QueryId> {
        if self.strangers.asking.len() >= ASKING_MAX || !self.want(now, to) {
            return None;
        }
        let id = self.next_query;
        self.next_query += 1;
        let until = now + ASK_WITHIN;
        let argument = argument.map(<[u8]>::to_vec);
        self.strangers.asking.push(Asking { to, id, what, cursor, argument, until });
        Some(QueryId(id))
    }

    /// A session stands: what waited for it goes out.
    pub(super) fn ask_now(&mut self, now: Time, at: usize) {
        let Some(to) = self.peer(at).map(|peer| peer.key.id) else { return };
        let (ready, waiting): (Vec<Asking>, Vec<Asking>) =
            core::mem::take(&mut self.strangers.asking).into_iter().partition(|it| it.to == to);
        self.strangers.asking = waiting;
        for Asking { id, what, cursor, argument, .. } in ready {
            if let Some(peer) = self.peer(at) {
                peer.asked.push(id);
            }
            let question = match &argument {
                Some(argument) => Control::Ask { id, what, cursor, argument },
                None => Control::Query { id, what, cursor },
            };
            self.say(now, at, &question);
        }
    }

    /// Lets what is due of all this happen.
    pub(super) fn crowd_timeout(&mut self, now: Time) {
        if self.crowd.deadline() <= now {
            self.crowd.on_timeout(now);
            self.run_crowd(now);
        }
        if self.strangers.deadline() > now {
            return;
        }
        let (late, waiting): (Vec<Asking>, Vec<Asking>) =
            core::mem::take(&mut self.strangers.asking).into_iter().partition(|it| it.until <= now);
        self.strangers.asking = waiting;
        for asking in late {
            let id = QueryId(asking.id);
            self.events.push_back(Event::Answer { id, body: None, next: None });
        }
        if self.strangers.look_at <= now {
            self.strangers.look_at = now + IDLE_EVERY;
            self.close_idle(now);
        }
    }

    /// Sessions that carry nothing are closed, where not everybody has one (M-13).
    fn close_idle(&mut self, now: Time) {
        let crowded = !self.discovery.is_eager();
        let mut idle = Vec::new();
        for (at, peer) in self.peers.iter_mut().enumerate() {
            let Some(peer) = peer else { continue };
            let carries = !peer.ins.is_empty()
                || !peer.asked.is_empty()
                || peer
                    .outs
                    .values()
                    .any(|out| !matches!(out.state, super::peer::OutState::Rejected { .. }))
                || matches!(peer.session.watch.state(), State::Dead(_));
            if carries || !crowded {
                peer.used = now;
            } else if now.since(peer.used) >= IDLE {
                idle.push(at);
            }
        }
        for at in idle {
            self.counters.sessions_idle += 1;
            self.close_peer(now, at, super::receive::close::IDLE, DownReason::Idle);
        }
    }
}

/// The whole set as a realm packet can carry it (M-20): its exact topics as a sieve if they are too many
/// to be told; if that does not help, the hint that it is large.
fn hinted(set: Interest) -> Interest {
    if size(&set) <= INTEREST_ROOM {
        return set;
    }
    let (version, flags) = (set.version, set.flags);
    if set.filter.is_none() {
        let rest = Interest { added: Vec::new(), ..set };
        let room = INTEREST_ROOM.saturating_sub(size(&rest) + 4);
        if let Some(sieve) = Sieve::of(&set.added, room) {
            return Interest { filter: Some(sieve.encode()), ..rest };
        }
    }
    Interest { version, flags, filter: Some(Vec::new()), ..Interest::default() }
}

fn size(set: &Interest) -> usize {
    let patterns = set.patterns_added.iter().chain(&set.patterns_removed).map(|it| it.len() + 2);
    32 + 8 * (set.added.len() + set.removed.len())
        + patterns.sum::<usize>()
        + set.filter.as_ref().map_or(0, |it| it.len() + 4)
}

/// Keeps a whole set up to date by a snapshot or a delta that fits.
fn merge(set: &mut Interest, update: &Interest) {
    if update.version <= set.version {
        return;
    }
    if update.base == 0 {
        *set = update.clone();
        return;
    }
    set.added.retain(|hash| !update.removed.contains(hash));
    set.added.extend(&update.added);
    set.added.sort_unstable();
    set.added.dedup();
    set.patterns_added.retain(|text| !update.patterns_removed.contains(text));
    for text in &update.patterns_added {
        if !set.patterns_added.contains(text) {
            set.patterns_added.push(text.clone());
        }
    }
    (set.version, set.flags) = (update.version, update.flags);
    if update.filter.is_some() {
        set.filter.clone_from(&update.filter);
    }
}
