//! Control records → interest, offers, answers.

use super::Node;
use super::deliver::{budget, stream_end};
use super::peer::{CONTROL_MAX, CONTROL_WINDOW, OutState};
use crate::crypto::Crypto;
use crate::events::{DownReason, Event};
use crate::explain::Offence;
use crate::ids::{EndpointId, PubId, QueryId, QueryKey, StreamId};
use crate::time::Time;
use crate::transport::stream::Item;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use motet_wire::control::{Control as Record, MAX_MEMBERS, RejectReason};
use motet_wire::record::{Member, Roles, roles};

/// Questions per second that a peer may ask.
const QUERIES_PER_SECOND: u32 = 10;

/// How many of the members tell an observer of a newcomer, on average.
const TELLERS: u64 = 8;

impl<C: Crypto> Node<C> {
    /// Says something on a peer's control stream.
    ///
    /// Past 1 MiB that it has not read, what can be said later is left out (false) and said anew
    /// when there is room; past 4 MiB the peer asks without reading the answers and is closed.
    pub(super) fn say(&mut self, now: Time, at: usize, record: &Record<'_>) -> bool {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        let Some(peer) = self.peer(at) else { return false };
        let control = &mut peer.control;
        let waiting = control.log.bytes() + bytes.len() as u64;
        let later = matches!(
            record,
            Record::Open(_) | Record::Interest(_) | Record::Members(_) | Record::Resume { .. }
        );
        if later && waiting > CONTROL_WINDOW {
            control.resync = true;
            return false;
        }
        if waiting > CONTROL_MAX {
            self.close_peer(now, at, super::receive::close::FRAME_ERROR, DownReason::Protocol);
            return false;
        }
        control.log.push(Bytes::from(bytes), now.micros(), 0);
        control.ready = true;
        control.cursor.arm(&control.log, now);
        self.wake(at);
        true
    }

    /// The control stream has room again: says what was left out.
    pub(super) fn resync(&mut self, now: Time, at: usize) {
        let Some(peer) = self.peer(at) else { return };
        if peer.control.resync && peer.control.log.bytes() * 2 <= CONTROL_WINDOW {
            peer.control.resync = false;
            self.tell_interest(now, at);
            self.ask_what_is_offered(now, at);
            self.ask_to_resume(now, at);
            self.on_interest_of(now, at);
        }
    }

    /// The first words on a new session: our interest, what we know of others, our offers.
    pub(super) fn greet(&mut self, now: Time, at: usize) {
        self.tell_interest(now, at);
        self.ask_what_is_offered(now, at);
        self.tell_members(now, at);
        let streams: Vec<StreamId> = self.publications.keys().copied().collect();
        for stream in streams {
            let resumes = self
                .peer(at)
                .is_some_and(|peer| matches!(peer.outs.get(&stream), Some(out) if out.state == OutState::Suspended));
            if resumes {
                self.offer(now, at, stream);
            }
        }
        self.ask_to_resume(now, at);
        self.rearm(at);
    }

    /// Names the streams that an earlier session left: the writer offers them anew, or says that
    /// they ended, should that word have been lost with the session.
    fn ask_to_resume(&mut self, now: Time, at: usize) {
        let Some(peer) = self.peer(at) else { return };
        let left = peer.ins.iter().filter(|(_, incoming)| incoming.suspended);
        let left: Vec<_> = left.map(|(id, incoming)| (*id, incoming.reader.next())).collect();
        for (stream, next_seq) in left {
            if !self.say(now, at, &Record::Resume { stream, next_seq, next_off: 0 }) {
                return;
            }
        }
    }

    fn on_resume(&mut self, now: Time, at: usize, stream: StreamId) {
        let Some(peer) = self.peer(at) else { return };
        let code = match peer.outs.get(&stream).map(|out| out.state) {
            Some(OutState::Offered | OutState::Active | OutState::Suspended) => return,
            Some(OutState::Rejected { reason: RejectReason::Policy, .. }) => stream_end::EVICTED,
            Some(OutState::Rejected { .. }) | None => stream_end::ENDED,
        };
        self.say(now, at, &Record::CloseStream { stream, code });
    }

    /// Tells a peer what changed in our interest since it was last told.
    pub(super) fn tell_interest(&mut self, now: Time, at: usize) {
        let version = self.interest.version();
        let Some(peer) = self.peer(at) else { return };
        if Roles(peer.roles).has(roles::NO_WRITER) {
            return; // it writes nothing, so nobody's interest is of use to it (M-18)
        }
        let told = peer.interest_told;
        if told == version && version > 0 {
            return;
        }
        let delta = (told > 0).then(|| self.interest.delta_since(told)).flatten();
        let interest = delta.unwrap_or_else(|| self.interest.snapshot());
        let told = self.say(now, at, &Record::Interest(interest));
        if let Some(peer) = self.peer(at) {
            peer.interest_told = if told { version } else { 0 };
        }
    }

    fn tell_members(&mut self, now: Time, at: usize) {
        let Some(own) = self.peer(at).map(|peer| peer.key.id) else { return };
        let list: Vec<Member> = self.discovery.relay(own).take(4 * MAX_MEMBERS).collect();
        for page in list.chunks(MAX_MEMBERS) {
            self.say(now, at, &Record::Members(page.to_vec()));
        }
    }

    /// A newcomer is told of members and dials them; of those who look on nobody tells it, so they
    /// are told of it (D-82).
    pub(super) fn tell_observers(&mut self, now: Time, newcomer: EndpointId) {
        let observes = |peer: &super::peer::Peer<C::Aead>| Roles(peer.roles).has(roles::OBSERVER);
        let all = self.peers.iter().enumerate();
        let watching = all.filter(|(_, peer)| peer.as_ref().is_some_and(observes));
        let watching: Vec<usize> = watching.map(|(at, _)| at).collect();
        for at in watching {
            // All of us hear of the newcomer; eight are enough to tell of it.
            let told = self.rng.below(self.discovery.live_count() as u64) < TELLERS;
            let Some(observer) = self.peer(at).map(|peer| peer.key.id).filter(|_| told) else {
                continue;
            };
            let member = self.discovery.relay(observer).find(|member| member.key.id == newcomer);
            if let Some(member) = member {
                self.say(now, at, &Record::Members(alloc::vec![member]));
            }
        }
    }

    pub(super) fn drain_control(&mut self, now: Time, at: usize) {
        loop {
            let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
            let mut budget = budget(&mut self.pool, &mut peer.share);
            match peer.control.reader.take(now, &mut budget) {
                Some(item) => self.on_control_item(now, at, item),
                None => return,
            }
        }
    }

    pub(super) fn on_control_item(&mut self, now: Time, at: usize, item: Item) {
        let Item::Message { body, .. } = item else { return };
        match Record::decode(&body) {
            Ok(record) => self.on_control(now, at, record),
            Err(_) => {
                self.counters.malformed_records += 1;
                self.offence_at(now, at, Offence::Malformed, 1);
            }
        }
    }

    fn on_control(&mut self, now: Time, at: usize, record: Record<'_>) {
        match record {
            Record::Open(open) => self.on_open(now, at, open),
            Record::Accept { stream, start_seq, window, .. } => {
                self.on_accept(now, at, stream, start_seq, window);
            }
            Record::Reject { stream, reason, interest_version, detail } => {
                let Ok(stream) = StreamId::try_from(stream) else { return };
                self.on_reject(now, at, stream, reason, interest_version, &detail);
            }
            Record::CloseStream { stream, code } => self.on_close_stream(now, at, stream, code),
            Record::RejectMsg { stream, seq, limit } => {
                let Some(peer) = self.peer(at) else { return };
                let reader = peer.key;
                if let Some(out) = peer.outs.get_mut(&stream) {
                    out.cursor.refuse(seq);
                    peer.make_ready(stream);
                    self.counters.messages_refused += 1;
                    let publication = PubId(stream);
                    self.events.push_back(Event::Refused { publication, reader, limit });
                    self.note_refusal(now, at, stream, seq, limit);
                }
            }
            Record::Interest(interest) => {
                let Some(peer) = self.peer(at) else { return };
                let (before, had) = (peer.interest.version(), peer.interest.refused());
                let fits = peer.interest.apply(&interest).is_ok();
                let newer = peer.interest.version() > before;
                let (key, refused) = (peer.key, peer.interest.refused());
                self.offence(now, key, Offence::InterestFlood, 1);
                self.offence(now, key, Offence::FilterFlood, refused.saturating_sub(had));
                if !fits {
                    // On a stream without holes a delta always fits: this peer makes things up.
                    let code = super::receive::close::FRAME_ERROR;
                    self.close_peer(now, at, code, DownReason::Protocol);
                } else if newer {
                    // A new version of the same set asks anew for what it was dropped from.
                    self.on_interest_of(now, at);
                }
            }
            Record::Members(members) => {
                let Some(from) = self.peer(at).map(|peer| peer.key.id) else { return };
                for member in &members {
                    self.discovery.on_member_hint(now, member, from);
                }
                self.run_discovery(now);
            }
            Record::Query { id, what, cursor } => self.on_query(now, at, id, what, cursor, &[]),
            Record::Ask { id, what, cursor, argument } => {
                self.on_query(now, at, id, what, cursor, argument);
            }
            Record::Answer { id, more, cursor, body } => {
                let Some(peer) = self.peer(at) else { return };
                if let Some(place) = peer.asked.iter().position(|asked| *asked == id) {
                    peer.asked.swap_remove(place);
                    self.events.push_back(Event::Answer {
                        id: QueryId(id),
                        body: Some(body.to_vec()),
                        next: more.then_some(cursor),
                    });
                }
            }
            Record::ProbeReq(key) => {
                self.say(now, at, &Record::ProbeResult { key, result: 2, rtt_us: 0 });
            }
            Record::HistoryPull { id, .. } => {
                let reason = RejectReason::NotHeld;
                let interest_version = self.interest.version();
                let detail = String::new();
                let reject = Record::Reject { stream: id, reason, interest_version, detail };
                self.say(now, at, &reject);
            }
            Record::Resume { stream, .. } => self.on_resume(now, at, stream),
            Record::LaneOffer(offer) => self.on_lane_offer(now, at, offer),
            Record::LaneKey(key) => self.on_lane_key(at, key),
            Record::Sync { n } => {
                // P-18: what was left out is not offered yet.
                if self.peer(at).is_some_and(|peer| !peer.control.resync) {
                    self.say(now, at, &Record::Synced { n });
                }
            }
            Record::Synced { n } => self.on_synced(at, n),
            Record::ProbeResult { .. } | Record::ShmOffer { .. } | Record::Unknown(_) => {}
        }
    }

    /// A peer wants other things now: offer what it wants, end what it does not.
    pub(super) fn on_interest_of(&mut self, now: Time, at: usize) {
        let streams: Vec<StreamId> = self.publications.keys().copied().collect();
        for stream in streams {
            self.match_up(now, at, stream);
        }
        self.discovery.on_news(now);
        self.rearm(at);
    }

    fn on_query(&mut self, now: Time, at: usize, id: u64, what: u8, cursor: u64, argument: &[u8]) {
        let Some(peer) = self.peer(at) else { return };
        let second = now.0 / 1_000_000_000;
        if peer.queries.0 != second {
            peer.queries = (second, 0);
        }
        peer.queries.1 += 1; // E-4
        if peer.queries.1 > QUERIES_PER_SECOND {
            self.counters.queries_limited += 1;
            return self.offence_at(now, at, Offence::QueryFlood, 1);
        }
        let key = QueryKey { from: peer.key.id, id };
        let argument = argument.to_vec();
        self.events.push_back(Event::Query { key, what, cursor, argument });
    }
}
