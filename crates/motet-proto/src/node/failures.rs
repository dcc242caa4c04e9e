//! What went wrong lately, kept so that somebody can ask: dials, refused sessions, refused streams,
//! and members that break limits.
//!
//! | input | effect |
//! |---|---|
//! | a dial ended, an address is unreachable | a note per address |
//! | a session was refused, by us or by the other | a note per endpoint |
//! | a stream was refused or ended by one side | a note per endpoint and topic |
//! | a session stands | its notes go; what was learnt about the peer is kept |
//! | a member broke a limit | counted per member; told of once a minute |
//!
//! **Bounds.** [`NOTES_MAX`] of each kind; the oldest goes (E-8). What unauthenticated packets said
//! is in discovery's neighbours, so that no stranger can push anything out of here (E-9).

use crate::explain::{Offence, Offender, Outcome, Reason};
use crate::ids::{EndpointId, EndpointKey};
use crate::time::Time;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// Notes of each kind.
pub(super) const NOTES_MAX: usize = 256;
/// Peers of which skew, versions and multicast are remembered.
const MET_MAX: usize = 1_024;
/// The window in which offences are counted, and the time between two notices of one.
const MINUTE: Duration = Duration::from_secs(60);

/// A table whose oldest entry makes room.
#[derive(Debug)]
pub(super) struct Notes<K, V> {
    table: BTreeMap<K, (Time, V)>,
    max: usize,
}

impl<K: Ord + Clone, V: Default> Notes<K, V> {
    fn new(max: usize) -> Self {
        Self { table: BTreeMap::new(), max }
    }

    /// The entry, made now if it was not there; it is the youngest then.
    fn entry(&mut self, now: Time, key: &K) -> &mut V {
        if !self.table.contains_key(key) && self.table.len() >= self.max {
            let oldest = self.table.iter().min_by_key(|(_, (at, _))| *at).map(|(key, _)| key);
            if let Some(oldest) = oldest.cloned() {
                self.table.remove(&oldest); // E-8
            }
        }
        let (at, value) = self.table.entry(key.clone()).or_insert_with(|| (now, V::default()));
        *at = now;
        value
    }

    pub(super) fn get(&self, key: &K) -> Option<(Time, &V)> {
        self.table.get(key).map(|(at, value)| (*at, value))
    }

    fn remove(&mut self, key: &K) {
        self.table.remove(key);
    }
}

/// How often an address was tried, and for whom.
#[derive(Debug, Default)]
pub(super) struct Dialled {
    pub(super) outcome: Option<Outcome>,
    pub(super) times: u64,
    pub(super) id: Option<EndpointId>,
}

/// Why there is no session.
#[derive(Debug, Default)]
pub(super) struct Refused {
    pub(super) reason: Option<Reason>,
    pub(super) addr: Option<SocketAddr>,
    pub(super) times: u64,
    /// The other's wall clock less ours.
    pub(super) skew_ms: Option<i64>,
}

/// Why a stream does not go on.
#[derive(Debug, Default, Clone)]
pub(super) struct StreamNote {
    pub(super) reason: Option<Reason>,
    pub(super) limit: &'static str,
    pub(super) limit_value: u64,
    pub(super) at_writer: String,
    pub(super) at_reader: String,
    /// The last message that it was about.
    pub(super) seq: u64,
}

impl StreamNote {
    /// It stopped at this limit.
    pub(super) fn of_limit(limit: &'static str, limit_value: u64) -> Self {
        Self { reason: Some(Reason::Limit), limit, limit_value, ..Self::default() }
    }

    /// Both sides' type tags, or other settings.
    pub(super) fn of_types(reason: Reason, at_writer: &str, at_reader: &str) -> Self {
        let limit = if reason == Reason::Limit { "streams" } else { "" };
        let (at_writer, at_reader) = (at_writer.into(), at_reader.into());
        Self { reason: Some(reason), limit, at_writer, at_reader, ..Self::default() }
    }
}

/// What a completed handshake and beacons told of a peer.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Met {
    pub(super) skew_ms: Option<i64>,
    pub(super) versions: u16,
    pub(super) multicast: Option<Time>,
}

#[derive(Debug, Default)]
struct Record {
    incarnation: u64,
    counts: [u64; OFFENCES],
    /// The present minute: since when, how many of each, and which were told of.
    since: Time,
    recent: [u64; OFFENCES],
    told: [bool; OFFENCES],
    /// It has been too much at least once.
    broke: bool,
}

const OFFENCES: usize = Offence::ALL.len();

pub(super) struct Failures {
    pub(super) dials: Notes<SocketAddr, Dialled>,
    pub(super) refused: Notes<EndpointId, Refused>,
    pub(super) streams: Notes<(EndpointId, Arc<str>), StreamNote>,
    pub(super) met: Notes<EndpointId, Met>,
    offences: Notes<EndpointId, Record>,
}

impl Failures {
    pub(super) fn new() -> Self {
        Self {
            dials: Notes::new(NOTES_MAX),
            refused: Notes::new(NOTES_MAX),
            streams: Notes::new(NOTES_MAX),
            met: Notes::new(MET_MAX),
            offences: Notes::new(NOTES_MAX),
        }
    }

    /// Every dial that is remembered, by address.
    pub(super) fn each_dial(&self) -> impl Iterator<Item = (SocketAddr, Time, &Dialled)> {
        self.dials.table.iter().map(|(addr, (at, note))| (*addr, *at, note))
    }

    /// The addresses at which this endpoint was dialled.
    pub(super) fn dialled_for(&self, id: Option<EndpointId>) -> impl Iterator<Item = SocketAddr> {
        let of_id =
            move |(_, _, note): &(SocketAddr, Time, &Dialled)| id.is_some() && note.id == id;
        self.each_dial().filter(of_id).map(|(addr, ..)| addr)
    }

    /// An address was tried for `id`; with what result.
    pub(super) fn dialled(
        &mut self,
        now: Time,
        id: Option<EndpointId>,
        addr: SocketAddr,
        outcome: Outcome,
    ) {
        let fresh = self.dials.get(&addr).filter(|(at, _)| now.since(*at) < SAME_DIAL);
        let said = fresh.and_then(|(_, note)| note.outcome);
        // That nothing more came is no news where something did during this dial.
        if outcome == Outcome::Silent && said.is_some_and(|said| said != Outcome::Silent) {
            return;
        }
        let note = self.dials.entry(now, &addr);
        note.outcome = Some(outcome);
        note.times += 1;
        note.id = id.or(note.id);
    }

    /// A session with `id` was refused.
    pub(super) fn refused(
        &mut self,
        now: Time,
        id: EndpointId,
        addr: Option<SocketAddr>,
        reason: Reason,
    ) -> &mut Refused {
        let note = self.refused.entry(now, &id);
        note.reason = Some(reason);
        note.addr = addr.or(note.addr);
        note.times += 1;
        note
    }

    /// A stream of or to `id` was refused, or ended.
    pub(super) fn stream(&mut self, now: Time, id: EndpointId, topic: &Arc<str>, note: StreamNote) {
        *self.streams.entry(now, &(id, topic.clone())) = note;
    }

    /// A stream of or to `id` stands.
    pub(super) fn streaming(&mut self, id: EndpointId, topic: &Arc<str>) {
        self.streams.remove(&(id, topic.clone()));
    }

    /// A session with `key` at `addr` stands: why there was none is past.
    pub(super) fn met(
        &mut self,
        now: Time,
        id: EndpointId,
        addr: SocketAddr,
        skew_ms: Option<i64>,
        versions: u16,
    ) {
        self.dials.remove(&addr);
        self.refused.remove(&id);
        let met = self.met.entry(now, &id);
        (met.skew_ms, met.versions) = (skew_ms, versions);
    }

    /// A multicast packet of `id` was heard.
    pub(super) fn heard_multicast(&mut self, now: Time, id: EndpointId) {
        self.met.entry(now, &id).multicast = Some(now);
    }

    /// A member did what is counted here. True if it is too much, and the application is to be told.
    pub(super) fn offence(&mut self, now: Time, key: EndpointKey, what: Offence, n: u64) -> bool {
        if n == 0 {
            return false;
        }
        let record = self.offences.entry(now, &key.id);
        record.incarnation = key.incarnation;
        if now.since(record.since) >= MINUTE {
            (record.since, record.recent, record.told) = (now, [0; OFFENCES], [false; OFFENCES]);
        }
        let at = what as usize;
        let (Some(count), Some(recent), Some(told)) =
            (record.counts.get_mut(at), record.recent.get_mut(at), record.told.get_mut(at))
        else {
            return false;
        };
        *count = count.saturating_add(n);
        *recent = recent.saturating_add(n);
        let much = *recent > what.per_minute();
        record.broke |= much;
        let news = much && !*told;
        *told |= much;
        news // E-10
    }

    /// What a member has done so far, if it was ever too much.
    pub(super) fn offences_of(&self, id: EndpointId) -> Vec<(Offence, u64)> {
        let record = self.offences.get(&id).filter(|(_, record)| record.broke);
        record.map_or_else(Vec::new, |(_, record)| counts(record))
    }

    /// All members that have done too much, the latest first.
    pub(super) fn offenders(&self, now: Time) -> Vec<Offender> {
        let broke = self.offences.table.iter().filter(|(_, (_, record))| record.broke);
        let offender = |(id, (at, record)): (&EndpointId, &(Time, Record))| Offender {
            key: EndpointKey { id: *id, incarnation: record.incarnation },
            offences: counts(record),
            ago: now.since(*at),
        };
        let mut all: Vec<Offender> = broke.map(offender).collect();
        all.sort_by_key(|offender| (offender.ago, offender.key));
        all
    }
}

fn counts(record: &Record) -> Vec<(Offence, u64)> {
    let each = Offence::ALL.iter().zip(record.counts);
    each.filter(|(_, count)| *count > 0).map(|(what, count)| (*what, count)).collect()
}

/// A dial sends for 5.75 s and waits 2 s: what was heard within that belongs to it.
const SAME_DIAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> EndpointKey {
        EndpointKey { id: EndpointId([n; 16]), incarnation: 1 }
    }

    fn addr(n: u16) -> SocketAddr {
        ([10, 0, 0, 1], n).into()
    }

    const SECOND: u64 = 1_000_000_000;

    #[test] // E-8
    fn every_table_is_bounded_and_the_oldest_note_makes_room() {
        let mut failures = Failures::new();
        for n in 0..1_000_u16 {
            failures.dialled(Time(u64::from(n)), None, addr(n), Outcome::Silent);
        }
        assert_eq!(failures.dials.table.len(), NOTES_MAX);
        assert!(failures.dials.get(&addr(0)).is_none() && failures.dials.get(&addr(999)).is_some());
    }

    #[test]
    fn what_came_back_during_a_dial_is_not_covered_by_its_silent_end() {
        let mut failures = Failures::new();
        failures.dialled(Time(0), None, addr(1), Outcome::NoRoute);
        failures.dialled(Time(6 * SECOND), None, addr(1), Outcome::Silent);
        let (_, note) = failures.dials.get(&addr(1)).unwrap();
        assert_eq!((note.outcome, note.times), (Some(Outcome::NoRoute), 1));
        failures.dialled(Time(60 * SECOND), None, addr(1), Outcome::Silent);
        let (_, note) = failures.dials.get(&addr(1)).unwrap();
        assert_eq!((note.outcome, note.times), (Some(Outcome::Silent), 2));
    }

    #[test]
    fn a_session_ends_what_kept_it_from_being() {
        let mut failures = Failures::new();
        failures.refused(Time(0), key(1).id, Some(addr(1)), Reason::Clock);
        failures.dialled(Time(0), None, addr(1), Outcome::Silent);
        failures.met(Time(1), key(1).id, addr(1), Some(5), 2);
        assert!(failures.refused.get(&key(1).id).is_none());
        assert!(failures.dials.get(&addr(1)).is_none());
        let (_, met) = failures.met.get(&key(1).id).unwrap();
        assert_eq!((met.skew_ms, met.versions), (Some(5), 2));
    }

    #[test] // E-10
    fn a_flood_is_told_of_once_a_minute_and_a_few_are_nothing() {
        let mut failures = Failures::new();
        let mut told = 0;
        for n in 0..100_000_u64 {
            let now = Time(n * SECOND / 1_000); // 1,000 a second for 100 s
            told += u32::from(failures.offence(now, key(1), Offence::NakFlood, 1));
            if n % 10_000 == 0 {
                failures.offence(now, key(2), Offence::NakFlood, 1);
            }
        }
        assert_eq!(told, 2);
        assert_eq!(failures.offences_of(key(1).id), [(Offence::NakFlood, 100_000)]);
        assert_eq!(failures.offences_of(key(2).id), []);
        assert_eq!(failures.offenders(Time(100 * SECOND)).len(), 1);
        assert!(failures.offence(Time(0), key(3), Offence::Malformed, 1), "one is too many");
    }
}
