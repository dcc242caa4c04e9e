//! # Crowd: all members, those without a session too
//!
//! **Promise.** Within seconds of quiet all members know the same of all: who lives (by [`Swim`]), names,
//! addresses, tags, and the version of each one's interest. A session is not needed for it.
//!
//! **How.** Once a second each compares hashes with one member at random; where they differ, versions;
//! where those differ, the thing itself is asked for (anti-entropy, M-14 to M-17).
//!
//! | input | effect |
//! |---|---|
//! | realm packet with SWIM or AE records | membership, answers, questions |
//! | beacon, session up | a member, with its profile |
//! | session left | gone |
//! | a second passed | one AE_VECTOR |
//!
//! **Bounds.** As many profiles as [`Swim`] has members; 400 answers at once, 200 a second.
//!
//! **Not here.** What is in an interest set (node), sealing, dialling.

use super::bucket::Bucket;
use super::swim::{Swim, SwimAction, SwimCounts, SwimSettings, SwimView};
use crate::Time;
use crate::ids::{EndpointId, EndpointKey};
use crate::rng::Rng;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use motet_wire::record::entropy::{
    self, AeEntry, AePull, BUCKETS, MAX_ENTRIES, MAX_PULLS, Profile, Tags,
};
use motet_wire::record::swim::{SwimMember, SwimState};
use motet_wire::record::{Beacon, Record, Roles, roles};

/// Each member is compared with one other in this time (M-14).
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// A newcomer compares with so many of the first that it hears, at once (M-14).
const FIRST: u32 = 3;
/// Records that a realm packet of ours carries: bytes.
const ROOM: usize = 1_100;
/// Answers in packets (M-17).
const ANSWERS: u32 = 400;
const ANSWER_EVERY: Duration = Duration::from_millis(5);

/// What the crowd wants done or told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CrowdAction {
    /// Send these records in a realm packet.
    Send {
        /// Where to.
        dst: SocketAddr,
        /// The records.
        records: Vec<u8>,
    },
    /// A member stands elsewhere now.
    State {
        /// Who.
        key: EndpointKey,
        /// Where it stands.
        state: SwimState,
    },
    /// A member without a session is said to live: dial it, if all are to have sessions.
    Hint {
        /// Who.
        key: EndpointKey,
    },
    /// Send the interest of this member, or ours, if it is newer than `known`.
    Interest {
        /// Where to.
        dst: SocketAddr,
        /// Whose.
        of: EndpointId,
        /// The version that the asker knows.
        known: u64,
    },
    /// Another has our key: we stay out of membership for ten minutes.
    Duplicate,
}

/// All that is known of a member, session or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CrowdMember {
    /// Who lives, where, since when.
    pub swim: SwimView,
    /// Its name; empty until its profile is known.
    pub name: String,
    /// What it does.
    pub roles: Roles,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// What its owner says of it.
    pub tags: Tags,
    /// Equal on two endpoints of one host.
    pub host_id: [u8; 16],
}

struct Known {
    profile: Profile,
    /// The newest version of its interest that anybody told of.
    told: u64,
}

/// See the module.
pub struct Crowd {
    swim: Swim,
    own: Profile,
    /// The interest of others is of no use here.
    no_writer: bool,
    /// Few enough members that sessions tell each other's interest.
    unwanted: bool,
    observer: bool,
    known: BTreeMap<EndpointId, Known>,
    /// The answer to the next AE_VECTOR, until something changes.
    hashes: Option<[u64; BUCKETS]>,
    compare_at: Time,
    firsts: u32,
    answers: Bucket,
    rng: Rng,
    out: VecDeque<CrowdAction>,
    /// Answers not given for want of a token.
    pub limited: u64,
}

/// What an endpoint says of itself.
#[derive(Clone, Debug)]
pub struct OwnProfile {
    /// Who.
    pub key: EndpointKey,
    /// Its name.
    pub name: String,
    /// Its roles.
    pub roles: u16,
    /// Hash of machine and boot.
    pub host_id: [u8; 16],
    /// Its tags.
    pub tags: Tags,
    /// The port of all its addresses.
    pub port: u16,
}

impl Crowd {
    /// The crowd as a newcomer knows it: nobody.
    pub fn new(now: Time, own: OwnProfile, settings: SwimSettings, rng: &mut Rng) -> Self {
        let addr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), own.port);
        let swim = Swim::new(now, own.key, addr, settings, rng);
        let identity = swim.own();
        let roles = Roles(own.roles);
        let mut rng = Rng::new(rng.bytes());
        let first = Duration::from_nanos(rng.below(COMPARE_EVERY.as_nanos() as u64));
        Self {
            swim,
            own: Profile {
                member: SwimMember { identity, count: 0, state: SwimState::Alive },
                addr_version: 1,
                addresses: Vec::new(),
                name: own.name,
                roles,
                host_id: own.host_id,
                interest_version: 0,
                tags: own.tags,
            },
            no_writer: roles.has(roles::NO_WRITER),
            unwanted: true,
            observer: roles.has(roles::OBSERVER),
            known: BTreeMap::new(),
            hashes: None,
            compare_at: now + COMPARE_EVERY + first,
            firsts: 0,
            answers: Bucket::new(ANSWERS, ANSWER_EVERY),
            rng,
            out: VecDeque::new(),
            limited: 0,
        }
    }

    /// Our addresses, best first, and their version.
    pub fn set_addresses(&mut self, now: Time, addresses: &[IpAddr], port: u16, version: u64) {
        self.own.addresses = addresses.to_vec();
        self.own.addr_version = version.max(1);
        self.hashes = None;
        if let Some(best) = addresses.first() {
            self.swim.set_address(now, SocketAddr::new(*best, port));
            self.pump();
        }
    }

    /// Whether the interest of members is to be asked for: not where all have sessions (M-18).
    pub fn want_interest(&mut self, wanted: bool) {
        if self.unwanted == wanted {
            (self.unwanted, self.hashes) = (!wanted, None);
        }
    }

    /// Whether it is.
    pub fn wants_interest(&self) -> bool {
        !self.no_writer && !self.unwanted
    }

    /// The version of our own interest set.
    pub fn set_interest(&mut self, version: u64) {
        if self.own.interest_version != version {
            (self.own.interest_version, self.hashes) = (version, None);
        }
    }

    /// A beacon of another, heard from itself: it may come from where it was sent.
    pub fn on_beacon(&mut self, now: Time, from: EndpointKey, beacon: &Beacon, source: SocketAddr) {
        if beacon.roles.has(roles::OBSERVER) || from.id == self.own.member.identity.key.id {
            return;
        }
        let before = self.known.get(&from.id).map(|known| known.profile.member.identity.key);
        if before != Some(from) {
            self.swim.join(now, from, source);
            if self.swim.member(from.id).is_none_or(|view| view.key != from) {
                self.pump();
                return;
            }
            let profile = Profile {
                addr_version: 0, // tags and the rest are still to be asked for
                addresses: beacon.addresses.clone(),
                name: beacon.name.clone(),
                roles: beacon.roles,
                host_id: beacon.host_id,
                interest_version: 0,
                tags: Tags::new(),
                member: self.member_of(from.id).unwrap_or(self.own.member),
            };
            self.known.insert(from.id, Known { profile, told: 0 });
            self.hashes = None;
            if self.firsts < FIRST {
                self.firsts += 1;
                self.compare(source);
            }
        } else if self.swim.member(from.id).is_some_and(|view| view.state == SwimState::Down) {
            self.swim.join(now, from, source); // it speaks: it shall hear that it is held for dead
        }
        if let Some(known) = self.known.get_mut(&from.id) {
            known.told = known.told.max(beacon.interest_version);
        }
        self.pump();
    }

    /// A session with a member stands.
    pub fn on_session_up(
        &mut self,
        now: Time,
        key: EndpointKey,
        name: &str,
        addr: SocketAddr,
        role_bits: u16,
        host_id: [u8; 16],
    ) {
        let roles = Roles(role_bits);
        if roles.has(roles::OBSERVER) {
            return;
        }
        self.swim.confirmed(now, key, addr);
        if self.known.get(&key.id).is_none_or(|it| it.profile.member.identity.key != key)
            && let Some(member) = self.member_of(key.id)
        {
            let profile = Profile {
                member,
                addr_version: 0,
                addresses: alloc::vec![addr.ip()],
                name: name.into(),
                roles,
                host_id,
                interest_version: 0,
                tags: Tags::new(),
            };
            self.known.insert(key.id, Known { profile, told: 0 });
            self.hashes = None;
            if self.firsts < FIRST {
                self.firsts += 1;
                self.compare(addr);
            }
        }
        self.pump();
    }

    /// A session ended; `left`: by a goodbye.
    pub fn on_session_down(&mut self, now: Time, key: EndpointKey, left: bool) {
        self.swim.released(key.id);
        if left {
            self.swim.left(now, key);
        }
        self.pump();
    }

    /// One record of an authentic realm packet. True if it was one of ours.
    pub fn on_record(
        &mut self,
        now: Time,
        from: EndpointKey,
        src: SocketAddr,
        record: &Record<'_>,
    ) -> Result<bool, motet_wire::Malformed> {
        match record {
            Record::Swim(bytes) if !self.observer => self.swim.on_packet(now, from, src, bytes),
            Record::AeVector(bytes) => {
                let theirs = entropy::decode_vector(bytes)?;
                self.on_vector(now, src, &theirs);
            }
            Record::AeBucket(bytes) => {
                let (_, entries) = entropy::decode_bucket(bytes)?;
                self.on_bucket(src, &entries);
            }
            Record::AePull(bytes) => {
                let pulls = entropy::decode_pull(bytes)?;
                self.on_pull(now, src, &pulls);
            }
            Record::Profile(profile) => self.on_profile(now, profile),
            _ => return Ok(false),
        }
        self.pump();
        Ok(true)
    }

    /// The interest of a member is held in this version now.
    pub fn on_interest_held(&mut self, of: EndpointId, version: u64) {
        if let Some(known) = self.known.get_mut(&of)
            && version > known.profile.interest_version
        {
            known.profile.interest_version = version;
            known.told = known.told.max(version);
            self.hashes = None;
        }
    }

    /// Lets everything that is due happen.
    pub fn on_timeout(&mut self, now: Time) {
        if self.compare_at <= now {
            self.compare_at = now + COMPARE_EVERY;
            if let Some(dst) = self.anybody() {
                self.compare(dst);
            }
        }
        if !self.observer && self.swim.deadline() <= now {
            self.swim.on_timeout(now);
        }
        self.pump();
    }

    /// When to call [`on_timeout`](Self::on_timeout).
    pub fn deadline(&self) -> Time {
        let compare = if self.known.is_empty() { Time::NEVER } else { self.compare_at };
        if self.observer { compare } else { compare.min(self.swim.deadline()) }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<CrowdAction> {
        self.out.pop_front()
    }

    /// We leave.
    pub fn leave(&mut self, now: Time) {
        if !self.observer {
            self.swim.leave(now);
        }
        self.compare_at = Time::NEVER;
        self.pump();
    }

    /// Living members, ourselves not.
    pub fn alive(&self) -> usize {
        self.swim.alive()
    }

    /// What membership refused or dropped.
    pub fn counts(&self) -> SwimCounts {
        self.swim.counts()
    }

    /// 0 is well, 8 is as ill as can be.
    pub fn score(&self) -> u32 {
        self.swim.score()
    }

    /// All members, by id, the dead too.
    pub fn members(&self) -> impl Iterator<Item = CrowdMember> {
        self.swim.members().map(|view| self.describe(view))
    }

    /// One member.
    pub fn member(&self, id: EndpointId) -> Option<CrowdMember> {
        self.swim.member(id).map(|view| self.describe(view))
    }

    /// Living members of this name.
    pub fn holders(&self, name: &str) -> Vec<EndpointKey> {
        let named = |(id, known): (&EndpointId, &Known)| {
            let key = known.profile.member.identity.key;
            (known.profile.name == name && self.swim.is_alive(key)).then_some((*id, key))
        };
        self.known.iter().filter_map(named).map(|(_, key)| key).collect()
    }

    fn describe(&self, swim: SwimView) -> CrowdMember {
        let known = self.known.get(&swim.key.id).map(|known| &known.profile);
        CrowdMember {
            swim,
            name: known.map(|it| it.name.clone()).unwrap_or_default(),
            roles: known.map(|it| it.roles).unwrap_or_default(),
            addresses: known.map(|it| it.addresses.clone()).unwrap_or_default(),
            tags: known.map(|it| it.tags.clone()).unwrap_or_default(),
            host_id: known.map(|it| it.host_id).unwrap_or_default(),
        }
    }

    fn member_of(&self, id: EndpointId) -> Option<SwimMember> {
        let view = self.swim.member(id)?;
        let identity = motet_wire::record::swim::SwimIdentity {
            key: view.key,
            generation: view.generation,
            addr: view.addr,
        };
        Some(SwimMember { identity, count: view.count, state: view.state })
    }

    /// Somebody who lives, at random.
    fn anybody(&mut self) -> Option<SocketAddr> {
        let n = self.known.len() as u64;
        for _ in 0..4 {
            let nth = self.rng.below(n) as usize;
            let id = self.known.keys().nth(nth).copied();
            let view = id.and_then(|id| self.swim.member(id));
            if let Some(view) = view.filter(|view| view.state != SwimState::Down) {
                return Some(view.addr);
            }
        }
        None
    }

    fn compare(&mut self, dst: SocketAddr) {
        let vector = entropy::encode_vector(&self.vector());
        let mut records = Vec::new();
        Record::AeVector(&vector).encode(&mut records);
        self.out.push_back(CrowdAction::Send { dst, records });
    }

    fn entries(&self) -> impl Iterator<Item = AeEntry> {
        let own = (!self.observer).then(|| {
            let mut own = self.own.clone();
            own.member.identity.generation = self.swim.own().generation;
            entry(&own, self.own.interest_version)
        });
        let others = self.known.values().filter_map(|known| {
            let key = known.profile.member.identity.key;
            let held = known.profile.interest_version;
            let version = if self.wants_interest() { held } else { known.told };
            self.swim.is_alive(key).then(|| entry(&known.profile, version))
        });
        own.into_iter().chain(others)
    }

    fn vector(&mut self) -> [u64; BUCKETS] {
        if let Some(hashes) = self.hashes {
            return hashes;
        }
        let mut hashes = [0; BUCKETS];
        for entry in self.entries() {
            if let Some(hash) = hashes.get_mut(bucket_of(&entry)) {
                *hash ^= hash_of(&entry);
            }
        }
        self.hashes = Some(hashes);
        hashes
    }

    /// Where our hashes differ, the asker is told what we have.
    fn on_vector(&mut self, now: Time, dst: SocketAddr, theirs: &[u64; BUCKETS]) {
        let ours = self.vector();
        let mut differ: BTreeMap<usize, Vec<AeEntry>> = BTreeMap::new();
        for entry in self.entries() {
            let bucket = bucket_of(&entry);
            if ours.get(bucket) != theirs.get(bucket) {
                differ.entry(bucket).or_default().push(entry);
            }
        }
        let mut records = Vec::new();
        for (bucket, entries) in differ {
            for page in entries.chunks(MAX_ENTRIES) {
                let bytes = entropy::encode_bucket(bucket as u8, page);
                if records.len() + bytes.len() + 3 > ROOM {
                    self.answer(now, dst, core::mem::take(&mut records));
                }
                Record::AeBucket(&bytes).encode(&mut records);
            }
        }
        if !records.is_empty() {
            self.answer(now, dst, records);
        }
    }

    /// What another has newer is asked for (M-15).
    fn on_bucket(&mut self, dst: SocketAddr, entries: &[AeEntry]) {
        if crate::planted::on("anti_entropy_pulls_nothing") {
            return;
        }
        let mut pulls = Vec::new();
        for theirs in entries {
            if theirs.id == short(self.own.member.identity.key.id) {
                continue;
            }
            let known = self.by_short(theirs.id);
            let (incarnation, addr_version, interest) = known.map_or((0, 0, 0), |known| {
                let profile = &known.profile;
                let incarnation = profile.member.identity.key.incarnation;
                (incarnation, profile.addr_version, profile.interest_version)
            });
            if theirs.incarnation < incarnation {
                continue;
            }
            let later = theirs.incarnation > incarnation;
            // It lives there and not here: a new life of it has passed us by (M-15).
            let missed = !crate::planted::on("returns_pass_by")
                && known.is_some_and(|it| !self.swim.is_alive(it.profile.member.identity.key));
            let interest_version = match (!self.wants_interest(), later) {
                (true, _) => u64::MAX >> 2,
                (false, true) => 0,
                (false, false) => interest,
            };
            let addr_version = if later || missed { 0 } else { addr_version };
            if theirs.addr_version > addr_version || theirs.interest_version > interest_version {
                pulls.push(AePull { id: theirs.id, addr_version, interest_version });
            }
            if let Some(known) = self.by_short_mut(theirs.id)
                && !later
            {
                known.told = known.told.max(theirs.interest_version);
            }
        }
        if !self.wants_interest() {
            self.hashes = None;
        }
        for page in pulls.chunks(MAX_PULLS) {
            let bytes = entropy::encode_pull(page);
            let mut records = Vec::new();
            Record::AePull(&bytes).encode(&mut records);
            self.out.push_back(CrowdAction::Send { dst, records });
        }
    }

    fn on_pull(&mut self, now: Time, dst: SocketAddr, pulls: &[AePull]) {
        let mut records = Vec::new();
        for pull in pulls {
            let own = short(self.own.member.identity.key.id) == pull.id;
            let held =
                if own { Some(&self.own) } else { self.by_short(pull.id).map(|it| &it.profile) };
            let Some(mut profile) = held.cloned() else { continue };
            let key = profile.member.identity.key;
            if own {
                profile.member.identity = self.swim.own();
            } else if let Some(member) = self.member_of(key.id) {
                profile.member = member;
            }
            if profile.interest_version > pull.interest_version {
                if !self.answers.take(now) {
                    self.limited += 1;
                    continue;
                }
                let (of, known) = (key.id, pull.interest_version);
                self.out.push_back(CrowdAction::Interest { dst, of, known });
            }
            if profile.addr_version > pull.addr_version {
                let mut bytes = Vec::new();
                Record::Profile(profile).encode(&mut bytes);
                if records.len() + bytes.len() > ROOM {
                    self.answer(now, dst, core::mem::take(&mut records));
                }
                records.append(&mut bytes);
            }
        }
        if !records.is_empty() {
            self.answer(now, dst, records);
        }
    }

    fn on_profile(&mut self, now: Time, profile: &Profile) {
        let key = profile.member.identity.key;
        if key.id == self.own.member.identity.key.id || profile.roles.has(roles::OBSERVER) {
            return;
        }
        if !self.swim.told(now, &profile.member) {
            return; // M-16
        }
        let old = self.known.get(&key.id).filter(|it| it.profile.member.identity.key == key);
        let (version, interest, told) = old.map_or((0, 0, 0), |it| {
            (it.profile.addr_version, it.profile.interest_version, it.told)
        });
        if profile.addr_version <= version {
            return;
        }
        let told = told.max(profile.interest_version);
        let profile = Profile { interest_version: interest, ..profile.clone() };
        self.known.insert(key.id, Known { profile, told });
        self.hashes = None;
        self.out.push_back(CrowdAction::Hint { key });
    }

    fn answer(&mut self, now: Time, dst: SocketAddr, records: Vec<u8>) {
        if self.answers.take(now) {
            self.out.push_back(CrowdAction::Send { dst, records });
        } else {
            self.limited += 1; // M-17: the asker asks again, another
        }
    }

    fn by_short(&self, id: [u8; 8]) -> Option<&Known> {
        self.known
            .range(EndpointId(first_of(id))..)
            .next()
            .filter(|it| short(*it.0) == id)
            .map(|it| it.1)
    }

    fn by_short_mut(&mut self, id: [u8; 8]) -> Option<&mut Known> {
        let next = self.known.range_mut(EndpointId(first_of(id))..).next();
        next.filter(|it| short(*it.0) == id).map(|it| it.1)
    }

    /// What membership wants, in our words.
    fn pump(&mut self) {
        while let Some(action) = self.swim.poll() {
            match action {
                SwimAction::Send { dst, bytes, .. } => {
                    let mut records = Vec::with_capacity(bytes.len() + 3);
                    Record::Swim(&bytes).encode(&mut records);
                    self.out.push_back(CrowdAction::Send { dst, records });
                }
                SwimAction::State { key, state, .. } => {
                    self.hashes = None;
                    self.on_state(key, state);
                }
                SwimAction::Check { key, .. } => self.out.push_back(CrowdAction::Hint { key }),
                SwimAction::Duplicate => self.out.push_back(CrowdAction::Duplicate),
            }
        }
    }

    fn on_state(&mut self, key: EndpointKey, state: SwimState) {
        let other = |it: &Known| it.profile.member.identity.key != key;
        if state == SwimState::Alive && self.known.get(&key.id).is_none_or(other) {
            if let Some(member) = self.member_of(key.id) {
                let profile = Profile {
                    addr_version: 0,
                    addresses: alloc::vec![member.identity.addr.ip()],
                    name: String::new(),
                    roles: Roles::default(),
                    host_id: [0; 16],
                    interest_version: 0,
                    tags: Tags::new(),
                    member,
                };
                self.known.insert(key.id, Known { profile, told: 0 });
            }
            self.out.push_back(CrowdAction::Hint { key });
        }
        if state == SwimState::Down && self.swim.member(key.id).is_none() {
            self.known.remove(&key.id);
        }
        if self.known.len() > 2 * (self.swim.alive() + self.swim.dead() + 16) {
            let swim = &self.swim;
            self.known.retain(|id, _| swim.member(*id).is_some());
        }
        self.out.push_back(CrowdAction::State { key, state });
    }
}

fn entry(profile: &Profile, interest_version: u64) -> AeEntry {
    let key = profile.member.identity.key;
    AeEntry {
        id: short(key.id),
        incarnation: key.incarnation,
        addr_version: profile.addr_version,
        interest_version,
    }
}

fn short(id: EndpointId) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = id.0;
    [a, b, c, d, e, f, g, h]
}

fn first_of(id: [u8; 8]) -> [u8; 16] {
    let mut first = [0; 16];
    first.iter_mut().zip(id).for_each(|(to, from)| *to = from);
    first
}

fn bucket_of(entry: &AeEntry) -> usize {
    usize::from(entry.id.first().copied().unwrap_or(0) >> 2)
}

/// Equal for equal entries; not a secret.
fn hash_of(entry: &AeEntry) -> u64 {
    let fields = [u64::from_le_bytes(entry.id), entry.incarnation, entry.addr_version];
    let mut hash = entry.interest_version ^ 0x9e37_79b9_7f4a_7c15;
    for field in fields {
        hash = (hash ^ field).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash ^= hash >> 29;
    }
    hash
}
