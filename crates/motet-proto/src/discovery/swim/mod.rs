//! # Membership: SWIM, by foca
//!
//! **Promise.** Each member knows of every other whether it lives, at a cost per member that does not
//! grow with their number. Who is slow itself accuses nobody hastily; who is accused may answer; who
//! was given up by mistake comes back. What is known here is a hint: it makes no session and ends none.
//!
//! **How.** foca probes one member a second, by others if need be, and spreads news beside its probes.
//! Around it stands what it leaves to its user: which of its packets are believed at all
//! ([`gate`](self)), how far our own clock is trusted (`health`), how long the dead are remembered, and
//! how often we may come back from the dead. foca sees slots (`table`), the network sees identities.
//!
//! | input | effect |
//! |---|---|
//! | SWIM packet of a member | told to foca, as far as the gate lets it through |
//! | timer | a probe, a suspicion that ran out, news |
//! | timer that fires late | all timers move by as much, health sinks |
//! | [`join`](Swim::join), [`confirmed`](Swim::confirmed) | a member |
//! | [`left`](Swim::left) | gone, and told to others |
//! | a suspect of others of whom nothing more is heard | asked (`doubt`) |
//! | we are held for dead | a new generation, at most one in 10 s |
//!
//! **Bounds.** 16,384 members; four dead for each living one (but 32 always), for 24 h; 500 new
//! members a second (2,048 at once); one new life of a member a second.
//!
//! **Not here.** Sessions, profiles and interest of members; sealing.

mod chance;
mod compact;
mod dead;
mod doubt;
mod entry;
mod gate;
mod health;
mod io;
mod table;
#[cfg(test)]
mod tests;

use crate::Time;
pub use crate::config::SwimSettings;
use crate::ids::{EndpointId, EndpointKey};
use crate::rng::Rng;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use chance::Chance;
use compact::Compact;
use core::net::SocketAddr;
use core::num::{NonZeroU8, NonZeroUsize};
use core::time::Duration;
use entry::Entry;
use foca::{Config, Foca, NoCustomBroadcast, PeriodicParams, Timer};
use health::Health;
use io::{Due, Io};
use motet_wire::record::swim::{SwimIdentity, SwimMember, SwimMessage, SwimPacket, SwimState};
use table::{Handle, Table};

/// Our own slot.
const ME: u32 = u32::MAX;
/// Members known at once, the dead included. About 110 B each with what foca keeps, and what is noted.
pub const MEMBERS_MAX: usize = 16_384;
/// Bytes of a SWIM packet: a realm packet has at most 1,200.
const PACKET_MAX: usize = 1_100;
/// A member is probed once in this time (M-4).
pub const PROBE_PERIOD: Duration = Duration::from_secs(1);
/// After this much silence others are asked to probe it.
const PROBE_RTT: Duration = Duration::from_millis(500);
/// Suspicion lasts this long for each power of ten of members (M-6).
const SUSPICION: Duration = Duration::from_secs(4);
/// Timers that fire later than this say that we slept (§2.13).
const LATE: Duration = Duration::from_millis(100);
/// The dead are remembered for so long (M-10).
const DEAD_KEPT: Duration = Duration::from_secs(24 * 3_600);
/// Dead members remembered for each living one.
const DEAD_PER_LIVE: usize = 4;
/// Dead members remembered however few live.
const DEAD_MIN: usize = 32;
/// We come back from the dead at most once in this time (M-11).
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// The third time within this says that another has our key.
const RENEW_WINDOW: Duration = Duration::from_secs(60);
/// Then we stay away for so long.
const RENEW_STOP: Duration = Duration::from_secs(600);

/// What membership wants done or told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SwimAction {
    /// Send a SWIM record.
    Send {
        /// Where to.
        dst: SocketAddr,
        /// For whom.
        to: EndpointKey,
        /// The record's bytes.
        bytes: Vec<u8>,
    },
    /// A member stands elsewhere now.
    State {
        /// Who.
        key: EndpointKey,
        /// Where it is.
        addr: SocketAddr,
        /// Where it stands.
        state: SwimState,
    },
    /// Another life is said to have taken the place of one that we have a session with: dial it.
    Check {
        /// Who is said to live.
        key: EndpointKey,
        /// Where.
        addr: SocketAddr,
    },
    /// We were declared dead three times within a minute: another has our key. We stay away.
    Duplicate,
}

/// What membership knows of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SwimView {
    /// Who.
    pub key: EndpointKey,
    /// Rises when it comes back from the dead or moves.
    pub generation: u32,
    /// Its best address.
    pub addr: SocketAddr,
    /// Where it stands.
    pub state: SwimState,
    /// Since when.
    pub since: Time,
    /// Round trip of our last probe of it that was answered.
    pub rtt: Option<Duration>,
    /// How often it refuted a suspicion in this generation.
    pub count: u16,
}

/// What was refused or dropped, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SwimCounts {
    /// SWIM packets sent.
    pub sent: u64,
    /// SWIM packets taken.
    pub received: u64,
    /// Packets that name another sender than the one who sealed them.
    pub forged: u64,
    /// Packets that broke a rule of M-1.
    pub malformed: u64,
    /// New members not taken: too many, or too fast.
    pub limited: u64,
    /// New lives of a member not taken: too fast.
    pub damped: u64,
    /// News of the death of somebody not known.
    pub unknown_dead: u64,
    /// Dead members forgotten for want of room or for age.
    pub forgotten: u64,
    /// Probes that were not answered.
    pub probes_failed: u64,
    /// Times that our own timers fired late.
    pub late: u64,
}

/// Membership of one endpoint. Inputs never fail; after each, pull [`poll`](Self::poll) until `None`
/// and sleep until [`deadline`](Self::deadline).
///
/// `N` is what its user keeps of each life of a member: it goes when that life does.
pub struct Swim<N = ()> {
    foca: Foca<Handle, Compact, Chance, NoCustomBroadcast>,
    io: Io<N>,
    buf: Vec<u8>,
    /// N for which foca is set up.
    tuned: usize,
    renewed: VecDeque<Time>,
    renew_at: Time,
    /// Who told us that we are dead: it hears first of the next generation.
    accuser: Option<Handle>,
    round: dead::Round,
    doubt: doubt::Doubt,
    started: bool,
    /// We have said goodbye.
    over: bool,
}

impl Swim {
    /// Membership of `me`, reachable at `addr`. Draws a seed from `rng`.
    pub fn new(
        now: Time,
        me: EndpointKey,
        addr: SocketAddr,
        settings: SwimSettings,
        rng: &mut Rng,
    ) -> Self {
        Self::noting(now, me, addr, settings, rng)
    }
}

impl<N: Default> Swim<N> {
    /// The same, with something noted of each member.
    pub fn noting(
        now: Time,
        me: EndpointKey,
        addr: SocketAddr,
        settings: SwimSettings,
        rng: &mut Rng,
    ) -> Self {
        let me = SwimIdentity { key: me, generation: 0, addr };
        let handle = own_handle(&me);
        Self {
            foca: Foca::new(handle, config(1), Chance::new(rng.u64()), Compact),
            io: Io {
                now,
                me,
                count: 0,
                table: Table::default(),
                timers: BTreeMap::new(),
                tie: 0,
                out: VecDeque::new(),
                health: Health::new(settings.health),
                probe: None,
                defunct: false,
                sender: None,
                limits: gate::Limits::new(),
                counts: SwimCounts::default(),
            },
            buf: Vec::new(),
            tuned: 1,
            renewed: VecDeque::new(),
            renew_at: Time::NEVER,
            accuser: None,
            round: dead::Round::default(),
            doubt: doubt::Doubt::default(),
            started: false,
            over: false,
        }
    }

    /// Our best address changed: others are told by a new generation.
    pub fn set_address(&mut self, now: Time, addr: SocketAddr) {
        if self.io.me.addr == addr {
            return;
        }
        self.io.now = now;
        self.io.me.addr = addr;
        if self.started {
            self.regenerate();
        }
    }

    /// A SWIM record of an authentic realm packet of `from` (M-3).
    pub fn on_packet(&mut self, now: Time, from: EndpointKey, src: SocketAddr, bytes: &[u8]) {
        self.awake(now);
        let Ok(mut packet) = SwimPacket::decode(bytes) else {
            self.io.counts.malformed += 1;
            return;
        };
        if packet.src.key != from {
            self.io.counts.forged += 1;
            return;
        }
        if packet.src.addr.ip().is_unspecified() {
            packet.src.addr = src;
        }
        self.io.counts.received += 1;
        let Some(parts) = self.io.admit(&packet) else { return };
        if let SwimMessage::Ack(number) = packet.message {
            self.io.answered(number, parts.header.src.slot);
        }
        self.io.sender = Some((parts.header.src, packet.src));
        compact::whole(&parts, &mut self.buf);
        // What foca has to say against a packet, a peer has caused: there is nobody to tell.
        let _ = self.foca.handle_data(&self.buf, &mut self.io);
        self.io.mirror(&parts);
        self.settle();
    }

    /// Somebody was heard of by itself (a beacon): a member until probes say otherwise.
    pub fn join(&mut self, now: Time, key: EndpointKey, addr: SocketAddr) {
        self.learn(now, key, addr, false);
    }

    /// A handshake with it completed: it lives, and is told to others. Until
    /// [`released`](Self::released) no hearsay puts another life in its place.
    pub fn confirmed(&mut self, now: Time, key: EndpointKey, addr: SocketAddr) {
        if let Some(slot) = self.io.table.slot(key.id)
            && let Some(entry) = self.io.table.get_mut(slot)
        {
            entry.held = false; // the handshake decides which life it is
            entry.damped = now;
        }
        self.learn(now, key, addr, true);
        if let Some(slot) = self.io.table.slot(key.id)
            && let Some(entry) = self.io.table.get_mut(slot)
        {
            entry.held = entry.key() == key;
        }
    }

    /// The session with it ended.
    pub fn released(&mut self, id: EndpointId) {
        if let Some(slot) = self.io.table.slot(id)
            && let Some(entry) = self.io.table.get_mut(slot)
        {
            entry.held = false;
        }
    }

    /// It said goodbye on its session.
    pub fn left(&mut self, now: Time, key: EndpointKey) {
        self.io.now = now;
        let Some(slot) = self.io.table.slot(key.id) else { return };
        let Some(entry) = self.io.table.get(slot).filter(|entry| entry.key() == key) else {
            return;
        };
        let down = foca::Member::new(entry.handle(slot), entry.count, foca::State::Down);
        let _ = self.foca.apply_many(core::iter::once(down), true, &mut self.io);
        self.settle();
    }

    /// What another member tells of a member (anti-entropy). True if it lives as far as we know.
    pub fn told(&mut self, now: Time, member: &SwimMember) -> bool {
        self.io.now = now;
        let Some(handle) = self.io.admit_member(member, false) else { return false };
        let told = foca::Member::new(handle, member.count, state_of(member.state));
        let _ = self.foca.apply_many(core::iter::once(told), false, &mut self.io);
        self.io.mirror_one(&handle, member.count, state_of(member.state));
        self.settle();
        self.is_alive(member.identity.key)
    }

    /// Takes these living members over from another of the same process, all at once and without a packet:
    /// no rate is kept, as no peer decides. For simulations that begin when all know all.
    pub fn adopt(&mut self, now: Time, members: impl Iterator<Item = SwimIdentity>) {
        self.io.now = now;
        let mut taken = Vec::new();
        self.io.table.reserve(members.size_hint().0.min(MEMBERS_MAX));
        for identity in members {
            let known = self.io.table.slot(identity.key.id).is_some();
            let full = self.io.table.len() >= MEMBERS_MAX;
            if !known && !full && identity.key.id != self.io.me.key.id {
                let slot = self.io.table.insert(Entry::new(now, &identity, 0));
                let handle = self.io.table.get(slot).map(|entry| entry.handle(slot));
                taken.extend(handle.map(foca::Member::alive));
            }
        }
        let _ = self.foca.apply_many(taken.into_iter(), false, &mut self.io);
        self.io.out = VecDeque::new(); // none of this is news
        self.settle();
    }

    fn learn(&mut self, now: Time, key: EndpointKey, addr: SocketAddr, tell: bool) {
        self.io.now = now;
        let known = self.io.table.by_id(key.id).filter(|entry| entry.key() == key);
        let known = known.map(|entry| (entry.rank().1, entry.count, entry.state));
        let (generation, count, state) = known.unwrap_or((0, 0, SwimState::Alive));
        let identity = SwimIdentity { key, generation, addr };
        let member = SwimMember { identity, count, state: SwimState::Alive };
        let Some(handle) = self.io.admit_member(&member, true) else { return };
        if state == SwimState::Down {
            // It cannot be undone in this generation: it shall hear of it and begin another.
            let _ = self.foca.announce(handle, &mut self.io);
        } else if known.is_none() {
            let alive = foca::Member::new(handle, count, foca::State::Alive);
            let _ = self.foca.apply_many(core::iter::once(alive), tell, &mut self.io);
        }
        self.settle();
    }

    /// Lets every timer that is due happen.
    pub fn on_timeout(&mut self, now: Time) {
        self.awake(now);
        if self.renew_at <= now {
            self.renew_at = Time::NEVER;
            self.regenerate();
        }
        while let Some(entry) = self.io.timers.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove() {
                Due::Foca(timer, score) => self.fire(timer, score),
                Due::Ask(suspect, count) => self.io.ask(suspect, count),
            }
        }
        if self.round.at() <= now {
            self.ask_the_dead();
        }
        if self.doubt.at() <= now
            && let Some(suspect) = self.doubt.take(now, &self.io.table, self.patience())
        {
            self.io.ask_once(&suspect); // M-19
        }
        self.settle();
    }

    /// One of those that died last and one in turn are announced to: who lives answers, and each
    /// learns of the other's present life.
    fn ask_the_dead(&mut self) {
        for handle in self.round.take(&self.io.table) {
            let _ = self.foca.announce(handle, &mut self.io);
        }
    }

    fn fire(&mut self, timer: Timer<Handle>, score: u32) {
        match &timer {
            Timer::ChangeSuspectToDown { .. } => {
                let risen = self.io.health.score().saturating_sub(score);
                if risen > 0 {
                    let wait = suspicion(self.tuned) * risen; // M-7
                    self.io.schedule(timer, wait);
                    return;
                }
            }
            Timer::ProbeRandomMember(_) => {
                let failed = self.io.counts.probes_failed;
                let under_way = self.io.probe.take().is_some();
                let _ = self.foca.handle_timer(timer, &mut self.io);
                if under_way && self.io.counts.probes_failed == failed {
                    self.io.health.better();
                }
                return;
            }
            _ => {}
        }
        let _ = self.foca.handle_timer(timer, &mut self.io);
    }

    /// When to call [`on_timeout`](Self::on_timeout).
    pub fn deadline(&self) -> Time {
        let timer = self.io.timers.first_key_value().map_or(Time::NEVER, |((at, _), _)| *at);
        let dead = self.io.table.oldest_dead().map_or(Time::NEVER, |(since, _)| since + DEAD_KEPT);
        timer.min(dead).min(self.renew_at).min(self.round.at()).min(self.doubt.at())
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<SwimAction> {
        self.io.out.pop_front()
    }

    /// Tells a few members that we leave; nothing is done any more.
    pub fn leave(&mut self, now: Time) {
        self.io.now = now;
        let _ = self.foca.leave_cluster(&mut self.io);
        self.io.timers.clear();
        (self.io.defunct, self.renew_at, self.over) = (false, Time::NEVER, true);
        self.round.plan(now, &self.io.table, false);
        self.doubt.plan(&self.io.table, Duration::ZERO, false);
    }

    /// Members that live, suspects included, ourselves not.
    pub fn alive(&self) -> usize {
        self.foca.num_members()
    }

    /// Members remembered as dead.
    pub fn dead(&self) -> usize {
        self.io.table.dead()
    }

    /// Whether this life of it is held for alive.
    pub fn is_alive(&self, key: EndpointKey) -> bool {
        let entry = self.io.table.by_id(key.id);
        entry.is_some_and(|it| it.key() == key && it.state != SwimState::Down)
    }

    /// All members known, by id.
    pub fn members(&self) -> impl Iterator<Item = SwimView> {
        self.io.table.iter().map(|(_, entry)| view(entry))
    }

    /// One member.
    pub fn member(&self, id: EndpointId) -> Option<SwimView> {
        self.io.table.by_id(id).map(view)
    }

    /// Members known, the dead too.
    pub fn known(&self) -> usize {
        self.io.table.len()
    }

    /// The nth of them, by id.
    pub fn nth(&self, n: usize) -> Option<SwimView> {
        self.io.table.nth(n).map(view)
    }

    /// The first of them whose id is not lower than this one, and what is noted of it.
    pub fn from(&self, id: EndpointId) -> Option<(SwimView, &N)> {
        self.io.table.from(&id).map(|(_, entry)| (view(entry), &entry.note))
    }

    /// What is noted of this life of a member.
    pub fn note(&self, key: EndpointKey) -> Option<&N> {
        self.io.table.by_id(key.id).filter(|entry| entry.key() == key).map(|entry| &entry.note)
    }

    /// The same, to be changed.
    pub fn note_mut(&mut self, key: EndpointKey) -> Option<&mut N> {
        let slot = self.io.table.slot(key.id)?;
        let entry = self.io.table.get_mut(slot).filter(|entry| entry.key() == key);
        entry.map(|entry| &mut entry.note)
    }

    /// What is noted of all that live, suspects too, in no order.
    pub fn notes(&self) -> impl Iterator<Item = (EndpointKey, &N)> {
        let living = self.io.table.heap().filter(|entry| entry.state != SwimState::Down);
        living.map(|entry| (entry.key(), &entry.note))
    }

    /// Rises when somebody, or a life of somebody, begins or ends.
    pub fn changes(&self) -> u64 {
        self.io.table.changes()
    }

    /// How we name ourselves.
    pub fn own(&self) -> SwimIdentity {
        self.io.me
    }

    /// 0 is well, 8 is as ill as can be.
    pub fn score(&self) -> u32 {
        self.io.health.score()
    }

    /// What was refused or dropped.
    pub fn counts(&self) -> SwimCounts {
        self.io.counts
    }

    /// Every input begins here. If we slept over a timer, that is nobody's fault but ours: all timers
    /// move by as much, so that what waited is heard first (M-7).
    fn awake(&mut self, now: Time) {
        self.io.now = now;
        let first = self.io.timers.first_key_value().map_or(Time::NEVER, |((at, _), _)| *at);
        let late = now.since(first.min(now));
        if late <= LATE {
            return;
        }
        self.io.counts.late += 1;
        self.io.health.worse();
        if self.io.health.score() == 0 {
            return; // switched off
        }
        let timers = core::mem::take(&mut self.io.timers);
        self.io.timers = timers.into_iter().map(|((at, tie), it)| ((at + late, tie), it)).collect();
    }

    /// After each input: dead ones too many, N changed, we are held for dead.
    fn settle(&mut self) {
        self.started |= self.io.counts.sent > 0;
        let now = self.io.now;
        while let Some((since, slot)) = self.io.table.oldest_dead() {
            let most = (DEAD_PER_LIVE * self.foca.num_members()).max(DEAD_MIN);
            let many = self.io.table.dead() > most && !crate::planted::on("dead_list_unbounded");
            if !many && since + DEAD_KEPT > now {
                break;
            }
            if let Some(entry) = self.io.table.remove(slot) {
                self.io.counts.forgotten += 1;
                let gone = Timer::RemoveDown(entry.handle(slot)); // M-10
                let _ = self.foca.handle_timer(gone, &mut self.io);
            }
        }
        let n = self.foca.num_members() + 1;
        if n.abs_diff(self.tuned) * 8 > self.tuned {
            self.tuned = n;
            let _ = self.foca.set_config(config(n));
        }
        if core::mem::take(&mut self.io.defunct) {
            self.accuser = self.io.sender.map(|(handle, _)| handle);
            self.plan_renewal();
        }
        let asks = !self.over && self.renew_at == Time::NEVER;
        self.round.plan(now, &self.io.table, asks);
        let patience = self.patience();
        self.doubt.plan(&self.io.table, patience, asks);
    }

    /// How long others may take to decide about a suspect of theirs.
    fn patience(&self) -> Duration {
        self.io.health.stretched(suspicion(self.tuned))
    }

    fn plan_renewal(&mut self) {
        let now = self.io.now;
        self.renewed.retain(|at| now.since(*at) < RENEW_WINDOW);
        let last = self.renewed.back().copied();
        self.renew_at = last.map_or(now, |last| (last + RENEW_EVERY).max(now)); // M-11
        if self.renewed.len() >= 2 {
            self.renew_at = now + RENEW_STOP;
            self.io.out.push_back(SwimAction::Duplicate);
        } else if self.renew_at <= now {
            self.renew_at = Time::NEVER;
            self.regenerate();
            return;
        }
        self.io.timers.clear();
    }

    /// A new generation of ourselves.
    fn regenerate(&mut self) {
        self.renewed.push_back(self.io.now);
        if self.renewed.len() > 8 {
            self.renewed.pop_front();
        }
        self.io.me.generation = self.io.me.generation.saturating_add(1);
        let _ = self.foca.change_identity(own_handle(&self.io.me), &mut self.io);
        self.io.probe = None;
        let _ = self.foca.apply_many(core::iter::empty(), false, &mut self.io);
        if let Some(accuser) = self.accuser.take() {
            // It is not among those whom foca tells: we may hold it for dead ourselves (M-11).
            let _ = self.foca.announce(accuser, &mut self.io);
        }
    }
}

fn own_handle(me: &SwimIdentity) -> Handle {
    Handle { incarnation: me.key.incarnation, slot: ME, generation: me.generation }
}

fn view<N>(entry: &Entry<N>) -> SwimView {
    let SwimIdentity { key, generation, addr } = entry.identity();
    SwimView {
        key,
        generation,
        addr,
        state: entry.state,
        since: entry.since,
        rtt: entry.rtt(),
        count: entry.count,
    }
}

fn state_of(state: SwimState) -> foca::State {
    match state {
        SwimState::Alive => foca::State::Alive,
        SwimState::Suspect => foca::State::Suspect,
        SwimState::Down => foca::State::Down,
    }
}

/// How long a suspect among `n` may take to answer (M-6).
pub fn suspicion(n: usize) -> Duration {
    SUSPICION.mul_f64(libm::log10(n as f64).max(1.0))
}

/// foca's settings for `n` members (M-4 to M-6).
fn config(n: usize) -> Config {
    let times = |n: usize| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
    let every =
        |frequency, members| Some(PeriodicParams { frequency, num_members: times(members) });
    let spread = libm::ceil(4.0 * libm::log10(n as f64 + 1.0)) as u8;
    Config {
        probe_period: PROBE_PERIOD,
        probe_rtt: PROBE_RTT,
        num_indirect_probes: times(3),
        max_transmissions: NonZeroU8::new(spread.max(4)).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: suspicion(n),
        remove_down_after: None,
        max_packet_size: times(PACKET_MAX),
        notify_down_members: true,
        periodic_announce: every(Duration::from_secs(30), 1),
        periodic_announce_to_down_members: None, // `dead` decides
        periodic_gossip: every(Duration::from_millis(500), 2),
    }
}
