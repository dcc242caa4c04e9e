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
//! **Bounds.** As many profiles as [`Swim`] has members, which drops them with the member; 400 answers at once, 200 a second.
//!
//! **Not here.** What is in an interest set (node), sealing, dialling.

use super::bucket::Bucket;
use super::swim::{Swim, SwimAction, SwimCounts, SwimSettings, SwimView};
use crate::Time;
use crate::ids::{EndpointId, EndpointKey};
use crate::rng::Rng;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use motet_wire::record::entropy::{
    self, AeEntry, AePull, BUCKETS, MAX_ENTRIES, MAX_PULLS, Profile, Tags,
};
use motet_wire::record::swim::{SwimIdentity, SwimMember, SwimState};
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

/// What a member says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// Its name.
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

/// What is noted of a life of a member beside membership: 32 bytes, and what it said.
#[derive(Clone, Default, Debug)]
struct Known {
    addr_version: u64,
    interest_version: u64,
    /// The newest version of its interest that anybody told of.
    told: u64,
    /// Nothing yet, if only others told of it.
    said: Option<Arc<Said>>,
}

/// A member as one crowd shows it to another of the same process: what it said is there once.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// Who and where.
    pub identity: SwimIdentity,
    known: Known,
}

/// See the module.
pub struct Crowd {
    swim: Swim<Known>,
    own: Profile,
    /// The interest of others is of no use here.
    no_writer: bool,
    /// Few enough members that sessions tell each other's interest.
    unwanted: bool,
    observer: bool,
    /// The answer to the next AE_VECTOR, until something changes here or in membership.
    hashes: Option<(u64, [u64; BUCKETS])>,
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
        let swim = Swim::noting(now, own.key, addr, settings, rng);
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
        if self.swim.note(from).is_none_or(|known| known.said.is_none()) {
            self.swim.join(now, from, source);
            // Tags and the rest are still to be asked for: its version stays 0.
            let said = Said {
                addresses: beacon.addresses.clone(),
                name: beacon.name.clone(),
                roles: beacon.roles,
                host_id: beacon.host_id,
                tags: Tags::new(),
            };
            if !self.met(from, said, source) {
                self.pump();
                return;
            }
        } else if self.swim.member(from.id).is_some_and(|view| view.state == SwimState::Down) {
            self.swim.join(now, from, source); // it speaks: it shall hear that it is held for dead
        }
        if let Some(known) = self.swim.note_mut(from) {
            known.told = known.told.max(beacon.interest_version);
        }
        self.pump();
    }

    /// It spoke itself. False if membership did not take it.
    fn met(&mut self, key: EndpointKey, said: Said, source: SocketAddr) -> bool {
        let Some(known) = self.swim.note_mut(key) else { return false };
        known.said = Some(Arc::new(said));
        self.hashes = None;
        if self.firsts < FIRST {
            self.firsts += 1;
            self.compare(source);
        }
        true
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
        if self.swim.note(key).is_some_and(|known| known.said.is_none()) {
            let said = Said {
                addresses: alloc::vec![addr.ip()],
                name: name.into(),
                roles,
                host_id,
                tags: Tags::new(),
            };
            self.met(key, said, addr);
        }
        self.pump();
    }

    /// How another of this process is told of us, see [`adopt`](Self::adopt).
    pub fn introduction(&self) -> Introduction {
        let Profile {
            addr_version, addresses, name, roles, host_id, interest_version, tags, ..
        } = self.own.clone();
        let said = Some(Arc::new(Said { name, roles, addresses, tags, host_id }));
        let known = Known { addr_version, interest_version, told: interest_version, said };
        Introduction { identity: self.swim.own(), known }
    }

    /// Takes all these over as members that live, without a packet. For simulations that begin when all
    /// know all.
    pub fn adopt<'a>(&mut self, now: Time, all: impl Iterator<Item = &'a Introduction> + Clone) {
        self.swim.adopt(now, all.clone().map(|it| it.identity));
        for it in all {
            if let Some(known) = self.swim.note_mut(it.identity.key) {
                *known = it.known.clone();
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
        if let Some(key) = self.swim.member(of).map(|view| view.key)
            && let Some(known) = self.swim.note_mut(key)
            && version > known.interest_version
        {
            known.interest_version = version;
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
        let compare = if self.swim.known() == 0 { Time::NEVER } else { self.compare_at };
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

    /// Whether this life of it is held for alive.
    pub fn is_alive(&self, key: EndpointKey) -> bool {
        self.swim.is_alive(key)
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
        let named = |known: &Known| known.said.as_ref().is_some_and(|said| said.name == name);
        self.swim.notes().filter(|(_, known)| named(known)).map(|(key, _)| key).collect()
    }

    fn describe(&self, swim: SwimView) -> CrowdMember {
        let Said { name, roles, addresses, tags, host_id } = self.said(&swim);
        CrowdMember { swim, name, roles, addresses, tags, host_id }
    }

    /// What a member said of itself, as far as we know.
    fn said(&self, view: &SwimView) -> Said {
        let known = self.swim.note(view.key).and_then(|known| known.said.as_deref());
        known.cloned().unwrap_or_else(|| Said {
            name: String::new(),
            roles: Roles::default(),
            addresses: alloc::vec![view.addr.ip()],
            tags: Tags::new(),
            host_id: [0; 16],
        })
    }

    /// Somebody who lives, at random.
    fn anybody(&mut self) -> Option<SocketAddr> {
        let n = self.swim.known() as u64;
        for _ in 0..4 {
            let view = self.swim.nth(self.rng.below(n) as usize);
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
        let own = self.own.member.identity.key;
        let own =
            (!self.observer).then(|| entry(own, self.own.addr_version, self.own.interest_version));
        let wants = self.wants_interest();
        let others = self.swim.notes().map(move |(key, known)| {
            let version = if wants { known.interest_version } else { known.told };
            entry(key, known.addr_version, version)
        });
        own.into_iter().chain(others)
    }

    fn vector(&mut self) -> [u64; BUCKETS] {
        let changes = self.swim.changes();
        if let Some((as_of, hashes)) = self.hashes
            && as_of == changes
        {
            return hashes;
        }
        let mut hashes = [0; BUCKETS];
        for entry in self.entries() {
            if let Some(hash) = hashes.get_mut(bucket_of(&entry)) {
                *hash ^= hash_of(&entry);
            }
        }
        self.hashes = Some((changes, hashes));
        hashes
    }

    /// Where our hashes differ, the asker is told what we have.
    fn on_vector(&mut self, now: Time, dst: SocketAddr, theirs: &[u64; BUCKETS]) {
        let ours = self.vector();
        if ours == *theirs {
            return;
        }
        let mut differ: BTreeMap<usize, Vec<AeEntry>> = BTreeMap::new();
        for entry in self.entries() {
            let bucket = bucket_of(&entry);
            if ours.get(bucket) != theirs.get(bucket) {
                differ.entry(bucket).or_default().push(entry);
            }
        }
        differ.values_mut().for_each(|entries| entries.sort_unstable_by_key(|entry| entry.id));
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
            let key = known.map(|(view, _)| view.key);
            let dead = known.is_some_and(|(view, _)| view.state == SwimState::Down);
            let incarnation = key.map_or(0, |key| key.incarnation);
            let (addr_version, interest) =
                known.map_or((0, 0), |(_, known)| (known.addr_version, known.interest_version));
            if theirs.incarnation < incarnation {
                continue;
            }
            let later = theirs.incarnation > incarnation;
            // It lives there and not here: a new life of it has passed us by (M-15).
            let missed = dead && !crate::planted::on("returns_pass_by");
            let interest_version = match (!self.wants_interest(), later) {
                (true, _) => u64::MAX >> 2,
                (false, true) => 0,
                (false, false) => interest,
            };
            let addr_version = if later || missed { 0 } else { addr_version };
            if theirs.addr_version > addr_version || theirs.interest_version > interest_version {
                pulls.push(AePull { id: theirs.id, addr_version, interest_version });
            }
            if let Some(known) = key.and_then(|key| self.swim.note_mut(key))
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
            let held = if own {
                let mut profile = self.own.clone();
                profile.member.identity = self.swim.own();
                Some(profile)
            } else {
                self.by_short(pull.id).map(|(view, known)| self.profile(&view, known))
            };
            let Some(profile) = held else { continue };
            let key = profile.member.identity.key;
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
        let Some(known) = self.swim.note_mut(key) else { return };
        if profile.addr_version <= known.addr_version {
            return;
        }
        known.addr_version = profile.addr_version;
        known.told = known.told.max(profile.interest_version);
        let Profile { name, roles, addresses, tags, host_id, .. } = profile.clone();
        known.said = Some(Arc::new(Said { name, roles, addresses, tags, host_id }));
        self.hashes = None;
        self.out.push_back(CrowdAction::Hint { key });
    }

    /// What we know of a member, as others are told.
    fn profile(&self, view: &SwimView, known: &Known) -> Profile {
        let SwimView { key, generation, addr, state, count, .. } = *view;
        let Said { name, roles, addresses, tags, host_id } = self.said(view);
        Profile {
            member: SwimMember { identity: SwimIdentity { key, generation, addr }, count, state },
            addr_version: known.addr_version,
            addresses,
            name,
            roles,
            host_id,
            interest_version: known.interest_version,
            tags,
        }
    }

    fn answer(&mut self, now: Time, dst: SocketAddr, records: Vec<u8>) {
        if self.answers.take(now) {
            self.out.push_back(CrowdAction::Send { dst, records });
        } else {
            self.limited += 1; // M-17: the asker asks again, another
        }
    }

    fn by_short(&self, id: [u8; 8]) -> Option<(SwimView, &Known)> {
        let next = self.swim.from(EndpointId(first_of(id)));
        next.filter(|(view, _)| short(view.key.id) == id)
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
                SwimAction::State { key, state, .. } => self.on_state(key, state),
                SwimAction::Check { key, .. } => self.out.push_back(CrowdAction::Hint { key }),
                SwimAction::Duplicate => self.out.push_back(CrowdAction::Duplicate),
            }
        }
    }

    fn on_state(&mut self, key: EndpointKey, state: SwimState) {
        let silent = self.swim.note(key).is_some_and(|known| known.said.is_none());
        if state == SwimState::Alive && silent {
            self.out.push_back(CrowdAction::Hint { key });
        }
        self.out.push_back(CrowdAction::State { key, state });
    }
}

fn entry(key: EndpointKey, addr_version: u64, interest_version: u64) -> AeEntry {
    let EndpointKey { id, incarnation } = key;
    AeEntry { id: short(id), incarnation, addr_version, interest_version }
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
