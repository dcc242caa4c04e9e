//! Names as leases: a table that every name server holds, and that any two of them can join.
//!
//! | goes in | effect |
//! |---|---|
//! | [`Leases::register`] | a lease begins or is renewed |
//! | [`Leases::remove`] | it ends, and stays ended |
//! | [`Leases::merge`] | the newer of both entries stands |
//! | [`Leases::expire`] | leases that ran out end; what nobody can bring back is forgotten |
//!
//! An entry has one writer, its instance, which counts its versions: joining two tables is taking
//! the higher version of each entry, and an ended lease before one that stands in the same version.
//! That is commutative and may be repeated: tables that exchange what they have become equal.
//!
//! An ended lease is kept for twice its time to live. By then each copy that still stood anywhere
//! has run out by itself, as nobody renewed it: forgetting it brings nothing back.
//!
//! Bounds: [`LEASES_MAX`] entries, [`NAME_MAX`] bytes of a name. Not in it: who may see what (that is
//! the realm), sockets.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::is_plain;
use crate::ids::EndpointId;
use crate::time::Time;

/// Entries of one table, ended ones included.
pub const LEASES_MAX: usize = 100_000;
/// Entries that one instance may hold.
pub const LEASES_OF_ONE: usize = 1_024;
/// Bytes of a name, of a group, of an address.
pub const NAME_MAX: usize = 256;
/// The shortest and the longest lease.
pub const TTL: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3_600));
/// Parts of the table that are compared one by one.
pub const BUCKETS: usize = 64;
/// Changes that wait for the host; of older ones it hears nothing, and reads the table.
const CHANGES_MAX: usize = 10_000;

/// What is named: an instance under a name, in a group.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Named {
    /// The environment: groups do not see each other.
    pub group: String,
    /// The name that clients ask for.
    pub name: String,
    /// Which endpoint.
    pub instance: EndpointId,
}

/// How new an entry is: the life of the instance, and its count in that life.
pub type Version = (u64, u64);

/// A lease that stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// Where the instance can be reached, if it says so.
    pub address: String,
    /// How long without renewal.
    pub ttl: Duration,
}

/// One entry, as tables exchange it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// What is named.
    pub named: Named,
    /// How new.
    pub version: Version,
    /// The lease and what is left of it; `None` if it has ended.
    pub held: Option<(Held, Duration)>,
    /// How long the lease was or is without renewal: how long its end is remembered.
    pub ttl: Duration,
}

/// What came of a registration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Registered {
    /// It is new.
    New,
    /// The same instance held it already; it is renewed.
    Already,
    /// It was ended in a version that is as new: nothing changed.
    Ended,
}

/// Why a registration is refused. Nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Denied {
    /// It names another endpoint than the one that asks.
    NotYours,
    /// Names have 1 to 256 bytes without control characters, groups too; addresses at most 256.
    BadName,
    /// A lease lasts from 500 ms to one hour.
    BadTtl,
    /// The table, or the part of this instance, is full.
    Full,
}

/// A change of the table, for those who watch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// What is named.
    pub named: Named,
    /// The lease that stands now; `None` if it ended.
    pub held: Option<Held>,
}

/// What a table has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LeaseCounters {
    /// Registrations and renewals taken.
    pub registered: u64,
    /// Registrations refused.
    pub denied: u64,
    /// Leases ended by their instance.
    pub removed: u64,
    /// Leases that ran out.
    pub expired: u64,
    /// Entries of other tables that were newer.
    pub merged: u64,
    /// Entries of other tables that were refused: too many, or out of bounds.
    pub refused: u64,
    /// Changes that nobody took in time.
    pub untold: u64,
}

#[derive(Debug)]
struct Entry {
    version: Version,
    held: Option<Held>,
    ttl: Duration,
    /// When the lease runs out, or when its end is forgotten.
    until: Time,
}

/// The table.
#[derive(Debug, Default)]
pub struct Leases {
    entries: BTreeMap<Named, Entry>,
    changes: VecDeque<Change>,
    counters: LeaseCounters,
}

impl Leases {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins or renews a lease, in the name of the endpoint that asks.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn register(
        &mut self,
        now: Time,
        from: EndpointId,
        named: &Named,
        version: Version,
        held: &Held,
    ) -> Result<Registered, Denied> {
        let denied = self.check(from, named, held).err();
        if let Some(denied) = denied {
            self.counters.denied += 1;
            return Err(denied);
        }
        let known = self.entries.get(named);
        let result = match known {
            Some(entry) if entry.held.is_some() => Registered::Already,
            Some(entry) if entry.version >= version => return Ok(Registered::Ended),
            _ => Registered::New,
        };
        self.counters.registered += 1;
        let left = held.ttl;
        self.join(now, named, version, Some((held.clone(), left)), held.ttl);
        Ok(result)
    }

    fn check(&self, from: EndpointId, named: &Named, held: &Held) -> Result<(), Denied> {
        if named.instance != from && !crate::planted::on("lease_for_anybody") {
            return Err(Denied::NotYours); // B-22
        }
        if !well_formed(named, held) {
            return Err(Denied::BadName);
        }
        if held.ttl < TTL.0 || held.ttl > TTL.1 {
            return Err(Denied::BadTtl);
        }
        let own = || self.entries.keys().filter(|it| it.instance == from).count();
        let full = self.entries.len() >= LEASES_MAX || own() >= LEASES_OF_ONE;
        if full && !self.entries.contains_key(named) { Err(Denied::Full) } else { Ok(()) }
    }

    /// Ends a lease in the name of the endpoint that asks: at once, and for good in this version,
    /// also where the lease itself has not arrived yet. True if it stood.
    ///
    /// # Errors
    /// [`Denied::NotYours`].
    pub fn remove(
        &mut self,
        now: Time,
        from: EndpointId,
        named: &Named,
        version: Version,
        ttl: Duration,
    ) -> Result<bool, Denied> {
        let held = Held { address: String::new(), ttl };
        if let Err(denied) = self.check(from, named, &held) {
            self.counters.denied += 1;
            return Err(denied);
        }
        let known = self.entries.get(named);
        let stood = known.is_some_and(|entry| entry.held.is_some());
        let version = known.map_or(version, |entry| version.max(entry.version));
        self.join(now, named, version, None, ttl);
        self.counters.removed += u64::from(stood);
        Ok(stood)
    }

    /// Takes in an entry of another table. True if it was newer (B-20).
    pub fn merge(&mut self, now: Time, record: &Record) -> bool {
        let known = self.entries.contains_key(&record.named);
        let probe = Held { address: String::new(), ttl: record.ttl };
        let held = record.held.as_ref().map_or(&probe, |(held, _)| held);
        let full = !known && self.entries.len() >= LEASES_MAX;
        let bounds = record.ttl >= TTL.0 && record.ttl <= TTL.1;
        if full || !bounds || !well_formed(&record.named, held) {
            self.counters.refused += 1;
            return false;
        }
        let held = record.held.clone().map(|(held, left)| (held, left.min(record.ttl)));
        let newer = self.join(now, &record.named, record.version, held, record.ttl);
        self.counters.merged += u64::from(newer);
        newer
    }

    /// The one way an entry changes: the higher version stands, an end before a lease (B-20).
    fn join(
        &mut self,
        now: Time,
        named: &Named,
        version: Version,
        held: Option<(Held, Duration)>,
        ttl: Duration,
    ) -> bool {
        let known = self.entries.get(named);
        if let Some(entry) = known {
            let newer = version > entry.version
                || (version == entry.version && held.is_none() && entry.held.is_some());
            if !newer {
                return false;
            }
        } else if held.is_none() && crate::planted::on("lease_end_of_unknown_forgotten") {
            return false;
        }
        let before = known.and_then(|entry| entry.held.as_ref());
        let after = held.as_ref().map(|(held, _)| held);
        if before != after {
            let change = Change { named: named.clone(), held: after.cloned() };
            if self.changes.len() >= CHANGES_MAX {
                self.changes.pop_front();
                self.counters.untold += 1;
            }
            self.changes.push_back(change);
        }
        let until = now + held.as_ref().map_or_else(|| remembered(ttl), |(_, left)| *left);
        let held = held.map(|(held, _)| held);
        self.entries.insert(named.clone(), Entry { version, held, ttl, until });
        true
    }

    /// Ends the leases that ran out, and forgets ends that nobody can undo any more (B-21).
    pub fn expire(&mut self, now: Time) {
        let mut ended = Vec::new();
        self.entries.retain(|named, entry| {
            if entry.until > now {
                return true;
            }
            if entry.held.is_some() {
                ended.push((named.clone(), entry.version, entry.ttl));
                return true;
            }
            false
        });
        for (named, version, ttl) in ended {
            self.counters.expired += 1;
            self.join(now, &named, version, None, ttl);
        }
    }

    /// When [`expire`](Leases::expire) is due.
    pub fn next_expiry(&self) -> Time {
        self.entries.values().map(|entry| entry.until).min().unwrap_or(Time::NEVER)
    }

    /// The leases of a name in a group that stand; all names if none is given.
    pub fn find(&self, group: &str, name: Option<&str>) -> Vec<(Named, Held)> {
        let all = self.entries.iter().filter(|(named, _)| {
            named.group == group && name.is_none_or(|name| named.name == name)
        });
        all.filter_map(|(named, entry)| Some((named.clone(), entry.held.clone()?))).collect()
    }

    /// The next change since the last call.
    pub fn next_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// What the table has, in short: equal sums, equal tables.
    pub fn digest(&self) -> [u64; BUCKETS] {
        let mut sums = [0; BUCKETS];
        for (named, entry) in &self.entries {
            sums[bucket(named)] ^= sum(named, entry);
        }
        sums
    }

    /// The entries of the buckets whose sums differ from those of another table.
    pub fn differing(&self, now: Time, theirs: &[u64]) -> Vec<Record> {
        let ours = self.digest();
        let differs = |named: &Named| {
            let at = bucket(named);
            theirs.get(at) != ours.get(at)
        };
        let each = self.entries.iter().filter(|(named, _)| differs(named));
        each.map(|(named, entry)| record(now, named, entry)).collect()
    }

    /// One entry as it stands, to be told to others.
    pub fn record(&self, now: Time, named: &Named) -> Option<Record> {
        self.entries.get(named).map(|entry| record(now, named, entry))
    }

    /// Leases that stand, and ends that are remembered.
    pub fn len(&self) -> (usize, usize) {
        let held = self.entries.values().filter(|entry| entry.held.is_some()).count();
        (held, self.entries.len() - held)
    }

    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What it has counted.
    pub fn counters(&self) -> LeaseCounters {
        self.counters
    }
}

fn record(now: Time, named: &Named, entry: &Entry) -> Record {
    let held = entry.held.clone().map(|held| (held, entry.until.since(now)));
    Record { named: named.clone(), version: entry.version, held, ttl: entry.ttl }
}

/// How long an end is remembered.
fn remembered(ttl: Duration) -> Duration {
    if crate::planted::on("lease_end_forgotten_at_once") { Duration::ZERO } else { ttl * 2 }
}

/// Whether this can be a name, or a group: 1 to [`NAME_MAX`] bytes without control characters.
pub fn is_name(text: &str) -> bool {
    is_plain(text, 1..=NAME_MAX)
}

fn well_formed(named: &Named, held: &Held) -> bool {
    is_name(&named.group) && is_name(&named.name) && is_plain(&held.address, 0..=NAME_MAX)
}

fn bucket(named: &Named) -> usize {
    (fnv(&[named.name.as_bytes(), &named.instance.0]) % BUCKETS as u64) as usize
}

fn sum(named: &Named, entry: &Entry) -> u64 {
    let (life, count) = (entry.version.0.to_be_bytes(), entry.version.1.to_be_bytes());
    let held = entry.held.as_ref().map_or(&[0_u8][..], |held| held.address.as_bytes());
    let state = [u8::from(entry.held.is_some())];
    let parts = [
        named.group.as_bytes(),
        named.name.as_bytes(),
        &named.instance.0,
        &life,
        &count,
        &state,
        held,
    ];
    fnv(&parts)
}

/// FNV-1a over parts, each with an end, stirred.
fn fnv(parts: &[&[u8]]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter().map(|b| u16::from(*b)).chain([256]));
    let sum = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (sum ^ (sum >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    fn named(instance: u8) -> Named {
        Named {
            group: "dev".into(),
            name: "translate".into(),
            instance: EndpointId([instance; 16]),
        }
    }

    fn held(ttl: u64) -> Held {
        Held { address: "127.0.0.1:4000".into(), ttl: Duration::from_millis(ttl) }
    }

    fn register(leases: &mut Leases, ms: u64, instance: u8, count: u64) -> Registered {
        let named = named(instance);
        leases.register(at(ms), named.instance, &named, (1, count), &held(1_000)).unwrap()
    }

    fn found(leases: &Leases) -> Vec<u8> {
        leases.find("dev", Some("translate")).iter().map(|(named, _)| named.instance.0[0]).collect()
    }

    /// Both get what the other has.
    fn sync(ms: u64, a: &mut Leases, b: &mut Leases) {
        for record in a.differing(at(ms), &b.digest()) {
            b.merge(at(ms), &record);
        }
        for record in b.differing(at(ms), &a.digest()) {
            a.merge(at(ms), &record);
        }
    }

    #[test] // NS-7
    fn registering_again_renews_and_never_doubles() {
        let mut leases = Leases::new();
        assert_eq!(register(&mut leases, 0, 1, 0), Registered::New);
        assert_eq!(register(&mut leases, 900, 1, 1), Registered::Already);
        assert_eq!(register(&mut leases, 900, 2, 0), Registered::New);
        leases.expire(at(1_500));
        assert_eq!(found(&leases), [1, 2]);
    }

    #[test] // B-22
    fn nobody_registers_or_removes_in_anothers_name() {
        let mut leases = Leases::new();
        register(&mut leases, 0, 1, 0);
        let other = EndpointId([9; 16]);
        let denied = leases.register(at(1), other, &named(1), (1, 5), &held(1_000));
        assert_eq!(denied, Err(Denied::NotYours));
        assert_eq!(leases.remove(at(1), other, &named(1), (1, 5), TTL.0), Err(Denied::NotYours));
        assert_eq!((found(&leases), leases.counters().denied), (vec![1], 2));
    }

    #[test] // B-21
    fn a_lease_that_is_not_renewed_ends_after_its_time() {
        let mut leases = Leases::new();
        register(&mut leases, 0, 1, 0);
        leases.expire(at(999));
        assert_eq!(found(&leases), [1]);
        leases.expire(at(1_000));
        assert_eq!((found(&leases), leases.counters().expired), (vec![], 1));
        assert_eq!(leases.len(), (0, 1));
        leases.expire(at(2_999));
        assert_eq!(leases.len(), (0, 1));
        leases.expire(at(3_000));
        assert!(leases.is_empty());
    }

    #[test] // B-20 NS-9
    fn tables_that_were_cut_off_hold_the_union_and_what_was_removed_stays_removed() {
        let (mut a, mut b) = (Leases::new(), Leases::new());
        for instance in 1..=3 {
            register(&mut a, 0, instance, 0);
        }
        sync(1, &mut a, &mut b);
        assert_eq!(found(&b), [1, 2, 3]);
        // Cut off: each takes a new one, and each removes one; the third is renewed at one side.
        register(&mut a, 10, 4, 0);
        register(&mut b, 10, 5, 0);
        assert_eq!(a.remove(at(20), named(1).instance, &named(1), (1, 1), TTL.0), Ok(true));
        assert_eq!(b.remove(at(20), named(2).instance, &named(2), (1, 1), TTL.0), Ok(true));
        register(&mut b, 30, 3, 1);
        sync(100, &mut a, &mut b);
        assert_eq!((found(&a), found(&b)), (vec![3, 4, 5], vec![3, 4, 5]));
        assert_eq!(a.digest(), b.digest());
    }

    #[test] // B-20
    fn an_end_that_arrives_before_its_lease_wins() {
        let (mut a, mut b) = (Leases::new(), Leases::new());
        register(&mut a, 0, 1, 0);
        let lease = a.record(at(1), &named(1)).unwrap();
        assert_eq!(a.remove(at(2), named(1).instance, &named(1), (1, 1), TTL.0), Ok(true));
        let end = a.record(at(2), &named(1)).unwrap();
        assert!(b.merge(at(3), &end));
        assert!(!b.merge(at(4), &lease));
        assert_eq!(found(&b), Vec::<u8>::new());
    }

    #[test]
    fn changes_are_told_once_and_a_renewal_is_none() {
        let mut leases = Leases::new();
        register(&mut leases, 0, 1, 0);
        register(&mut leases, 1, 1, 1);
        leases.expire(at(5_000));
        let changes: Vec<bool> =
            std::iter::from_fn(|| leases.next_change()).map(|it| it.held.is_some()).collect();
        assert_eq!(changes, [true, false]);
    }

    #[test]
    fn groups_do_not_see_each_other() {
        let mut leases = Leases::new();
        register(&mut leases, 0, 1, 0);
        assert_eq!(leases.find("prod", Some("translate")), []);
        assert_eq!(leases.find("dev", None).len(), 1);
    }

    #[test]
    fn names_and_times_out_of_bounds_are_refused() {
        let mut leases = Leases::new();
        let mut bad = |name: &str, ttl| {
            let named = Named { name: name.into(), ..named(1) };
            leases.register(at(0), named.instance, &named, (1, 0), &held(ttl))
        };
        assert_eq!(bad("", 1_000), Err(Denied::BadName));
        assert_eq!(bad("a\nb", 1_000), Err(Denied::BadName));
        assert_eq!(bad(&"x".repeat(257), 1_000), Err(Denied::BadName));
        assert_eq!(bad("x", 499), Err(Denied::BadTtl));
        assert_eq!(bad("x", 3_600_001), Err(Denied::BadTtl));
    }

    proptest! {
        /// Whatever happens at three servers, and in whatever order they exchange tables: in the
        /// end they are equal, and nothing stands that its instance has removed last.
        #[test] // B-20
        fn servers_converge(steps in proptest::collection::vec((0_u8..5, 0_usize..3, 0_u8..4), 1..60)) {
            let mut servers = [Leases::new(), Leases::new(), Leases::new()];
            let mut counts = [0_u64; 4];
            let mut last = [None; 4];
            let mut ms = 0;
            for (what, server, instance) in steps {
                ms += 1;
                let n = usize::from(instance);
                match what {
                    0 | 1 => {
                        counts[n] += 1;
                        register(&mut servers[server], ms, instance, counts[n]);
                        last[n] = Some(true);
                    }
                    2 => {
                        counts[n] += 1;
                        let version = (1, counts[n]);
                        let named = named(instance);
                        let from = named.instance;
                        servers[server].remove(at(ms), from, &named, version, TTL.0).unwrap();
                        last[n] = Some(false);
                    }
                    _ => {
                        let mut other = std::mem::take(&mut servers[(server + 1) % 3]);
                        sync(ms, &mut servers[server], &mut other);
                        servers[(server + 1) % 3] = other;
                    }
                }
            }
            for _ in 0..2 {
                for n in 0..3 {
                    let mut other = std::mem::take(&mut servers[(n + 1) % 3]);
                    sync(ms, &mut servers[n], &mut other);
                    servers[(n + 1) % 3] = other;
                }
            }
            let stands: Vec<u8> =
                (0..4).filter(|n| last[usize::from(*n)] == Some(true)).collect();
            for server in &servers {
                prop_assert_eq!(server.digest(), servers[0].digest());
                prop_assert_eq!(found(server), stands.clone());
            }
        }
    }
}
