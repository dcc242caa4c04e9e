//! Whether all members that are known have said what they offer (V-10): each has answered a SYNC that
//! was sent after our interest (P-18), and each offer that was opened has told its message.

use super::super::Node;
use crate::crypto::Crypto;
use crate::ids::EndpointKey;
use crate::time::Time;
use crate::transport::liveness::State;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::time::Duration;
use motet_wire::control::Control as Record;
use motet_wire::record::{Roles, roles};

/// What was asked for, and who has answered.
#[derive(Debug)]
pub(super) struct Known {
    /// Counts services that are asked for; the number of a SYNC.
    pub(super) round: u64,
    /// The one that asked for all services.
    pub(super) round_of_all: u64,
    /// Something has changed since it was last looked at.
    pub(super) look: bool,
    /// Members but ourselves, whether discovery has settled, and whether nobody is dialled, then.
    seen: (usize, bool, bool),
    /// Since when a member has no session though all are to have one; how many members there were.
    lacking: Option<(Time, usize)>,
    /// It is still waited for.
    coming: bool,
    /// Up to which round all have answered; whether somebody is sure to answer, or to be found gone.
    all: u64,
    waits: bool,
    /// Until then somebody who fell silent may come back, and has said nothing.
    doubt_until: Time,
    /// Offers that were opened and have told nothing yet.
    silent: BTreeMap<EndpointKey, BTreeSet<Arc<str>>>,
}

/// A member without a session is waited for so long: the longest pause between two dials (D-11). One
/// that cannot be reached at all does not hold up answers for ever.
const SESSION_FOR: Duration = Duration::from_secs(32);
/// A member that fell silent is waited for so long.
const RETURN_FOR: Duration = Duration::from_secs(3);

impl Known {
    pub(super) fn new() -> Self {
        let (round, round_of_all, all, waits, coming) = (0, 0, 0, false, false);
        let (look, seen, lacking) = (true, (0, false, true), None);
        let (silent, doubt_until) = (BTreeMap::new(), Time::ZERO);
        Self { round, round_of_all, look, seen, lacking, coming, all, waits, doubt_until, silent }
    }

    /// A stream of offers begins.
    pub(super) fn opened(&mut self, writer: EndpointKey, topic: &Arc<str>) {
        self.silent.entry(writer).or_default().insert(topic.clone());
        self.look = true;
    }

    /// It has told something, or is over.
    pub(super) fn heard(&mut self, writer: EndpointKey, topic: &str) {
        let Some(topics) = self.silent.get_mut(&writer) else { return };
        topics.remove(topic);
        if topics.is_empty() {
            self.silent.remove(&writer);
            self.look = true;
        }
    }

    /// When somebody is no longer waited for.
    pub(super) fn deadline(&self) -> Time {
        let doubt = if self.doubt_until > Time::ZERO { self.doubt_until } else { Time::NEVER };
        let coming = self.lacking.filter(|_| self.coming).map(|(since, _)| since + SESSION_FOR);
        coming.map_or(doubt, |coming| doubt.min(coming))
    }

    /// Of so many members one has no session, and is to have one: whether it is waited for.
    fn lacks(&mut self, now: Time, members: Option<usize>) -> bool {
        self.lacking = match (members, self.lacking) {
            (Some(n), Some((since, before))) if n <= before => Some((since, before)),
            (Some(n), _) => Some((now, n)),
            (None, _) => None,
        };
        self.coming = self.lacking.is_some_and(|(since, _)| now < since + SESSION_FOR);
        self.coming
    }

    /// An endpoint is gone; one that fell silent may be back soon.
    pub(super) fn gone(&mut self, now: Time, key: EndpointKey, silent: bool) {
        self.silent.remove(&key);
        self.look = true;
        if silent {
            self.doubt_until = now + RETURN_FOR;
        }
    }
}

impl<C: Crypto> Node<C> {
    /// Whether all members that are known have said what they offer of all that was asked for.
    pub fn offers_are_known(&self) -> bool {
        self.services
            .as_ref()
            .is_some_and(|wiring| wiring.known.round > 0 && wiring.known.all >= wiring.known.round)
    }

    /// Another service is asked for: all are to say when they have offered it.
    pub(super) fn ask_anew(&mut self, now: Time) {
        let Some(wiring) = &mut self.services else { return };
        wiring.known.round += 1;
        wiring.known.look = true;
        for at in 0..self.peers.len() {
            self.ask_what_is_offered(now, at);
        }
    }

    /// Asks a peer to say when it has offered what it was told that we want.
    pub(in crate::node) fn ask_what_is_offered(&mut self, now: Time, at: usize) {
        let round = self.services.as_ref().map_or(0, |wiring| wiring.known.round);
        let version = self.interest.version();
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        if Roles(peer.roles).has(roles::NO_WRITER) {
            peer.sync = (round, round); // it is told no interest, and offers nothing (M-18)
        } else if peer.interest_told == version
            && peer.sync.0 < round
            && self.say(now, at, &Record::Sync { n: round })
            && let Some(peer) = self.peer(at)
        {
            peer.sync.0 = round;
            self.rearm(at);
        }
    }

    pub(in crate::node) fn on_synced(&mut self, at: usize, n: u64) {
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        if n <= peer.sync.0 {
            peer.sync.1 = peer.sync.1.max(n);
            if let Some(wiring) = &mut self.services {
                wiring.known.look = true;
            }
        }
    }

    /// Tells the layer up to which round all have answered, and whether others will.
    pub(super) fn look_who_has_answered(&mut self, now: Time, settled: bool) {
        let eager = self.discovery.is_eager();
        let seen = (self.discovery.others(), settled, self.dials.is_empty());
        let Some(wiring) = &mut self.services else { return };
        let known = &mut wiring.known;
        if known.deadline() <= now {
            known.look = true;
        }
        if known.doubt_until <= now {
            known.doubt_until = Time::ZERO;
        }
        if !core::mem::take(&mut known.look) && known.seen == seen {
            return;
        }
        known.seen = seen;
        let (others, settled, nobody_dialled) = seen;
        let doubt = known.doubt_until > Time::ZERO || !known.silent.is_empty();
        let quiet = settled && nobody_dialled && !doubt;
        let alive = self.peers.iter().flatten();
        let alive = alive.filter(|peer| !matches!(peer.session.watch.state(), State::Dead(_)));
        let (sessions, least) = alive.fold((0, known.round), |(sessions, least), peer| {
            let counts = !Roles(peer.roles).has(roles::OBSERVER);
            (sessions + usize::from(counts), least.min(peer.sync.1))
        });
        // Where not all are to have a session, those without are waited for by time.
        let coming = known.lacks(now, (eager && sessions < others).then_some(others));
        let quiet = quiet || crate::planted::on("offers_not_awaited");
        let least = if crate::planted::on("offers_not_awaited") { known.round } else { least };
        let round = if quiet && sessions >= others { least } else { 0 };
        // V-10: a packet that is lost may delay an answer for as long as its session lives.
        let waits = doubt || coming || least < known.round;
        let waits = waits && !crate::planted::on("nobody_by_time_alone");
        (known.all, known.waits) = (round, waits);
        wiring.layer.on_known(round, waits);
    }
}
