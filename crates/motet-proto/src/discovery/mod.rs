//! # Discovery: who is there, and where
//!
//! **Promise.** Endpoints of one realm that can reach each other meet, and meet again after any
//! partition; what that costs the network does not grow with their number. Nobody is a member by
//! hearsay: a beacon or a record of another is a hint, which causes at most a dial.
//!
//! **How.** Each tells the group that it is there: often at first, then ever more rarely. Hearers of
//! the first beacons answer and dial at once. A completed handshake makes a member, the end of its
//! session ends it; members that fell silent are redialled, seeds are tried for ever.
//!
//! | input                                | effect                                            |
//! |--------------------------------------|---------------------------------------------------|
//! | start, new interfaces                | a series of four soliciting beacons               |
//! | beacon of a stranger                 | dial, at most 50 a second                         |
//! | beacon of a live member              | its addresses, nothing else                       |
//! | beacon of a dead member, or new life | dial, at most one a second                        |
//! | soliciting beacon                    | our beacon by unicast, at once or by lot          |
//! | session up                           | a member; clash of names? news                    |
//! | session down: silent                 | redial, 100 ms doubled to 32 s                    |
//! | session down: left                   | forgotten, its late beacons ignored for 60 s      |
//! | goodbye of a live member             | probe it                                          |
//! | interest changed                     | multicast at once, at most 5 a second             |
//!
//! # Rules
//!
//! - **D-1** The first beacon leaves 0–2 ms after the start, then three more at 0.1, 0.4 and 1.6 s,
//!   all soliciting, all also by unicast to 127.0.0.1 and ::1 (where we have them), ports
//!   37321..=37336 but our own.
//! - **D-2** After that the period is max(2 s, N/10 s) ± 25 %: ten beacons a second in all.
//! - **D-3** A realm packet is taken once: 64 counters per sender, 4,096 senders.
//! - **D-4** A soliciting beacon is answered at once while N ≤ 32 and the bucket (8, 20/s) has a
//!   token. One of a member whose session stands is not answered: it has us.
//! - **D-5** Else it is answered with probability min(1, 8/N), after 0..min(100 ms, N·2 ms), from the
//!   same bucket; without a token not at all.
//! - **D-6** New or changed interfaces start the series anew, at most once a second, the series of the
//!   start not counted; our address version rises with every change of what we advertise.
//! - **D-7** We advertise the addresses of our interfaces without loopback and container bridges,
//!   those only if there is nothing else; `advertise` replaces them all; at most 8.
//! - **D-8** Only a completed handshake makes a member or replaces an incarnation. The end of a
//!   session that has been replaced ends nothing.
//! - **D-9** A beacon keeps nobody alive: of a live member it changes addresses only.
//! - **D-10** Dead members are kept for 24 h, those that left for 60 s; in all at most four for each
//!   live one (but 32 always), the oldest go first.
//! - **D-11** A silent member is redialled after 100 ms, doubled to 32 s, ± 20 %, until forgotten.
//! - **D-12** Strangers cause at most 50 dials in any second, 16 at once and then one each 3 ms; none
//!   where not everybody has a session with everybody (M-12).
//! - **D-13** Hints about one known member cause at most one dial a second.
//! - **D-14** Dialled are at most 8 addresses, best first: the one that worked, the beacon's source
//!   with the advertised port, our subnets, the rest. Advertised loopback only of our own host,
//!   never an address of our own.
//! - **D-15** A hint of an incarnation lower than the known one, or of one that left, is ignored.
//! - **D-16** A goodbye heard of a live member causes a probe; silence ends the session.
//! - **D-17** Observers are dialled, but neither counted nor told of to others.
//! - **D-18** A clash of names is told only at the two holders: by the older at once (it lives), by
//!   the newcomer when the older has answered a probe.
//! - **D-19** An older holder of a newcomer's name is probed by all; a silent one is declared dead.
//! - **D-20** A clash is told once per pair.
//! - **D-21** A change of interest leaves at once while the bucket (5, 5/s) has a token; else once,
//!   when it has one again, after 0–20 ms more.
//! - **D-22** Closing says goodbye three times within 40 ms, and nothing else any more.
//! - **D-23** Seeds are tried two at a time, for ever, 1 s doubled to 60 s, ± 20 %.
//! - **D-24** A seed that is a live member is not tried until that session ends.
//! - **D-25** Discovery has settled after 300 ms without a new peer or interest, at most after 1 s.
//! - **D-26** An interface with a multicast socket that brings back no copy of our beacons within
//!   3 s is told of.
//! - **D-27** Foreign realms and wrong keys are listed, 64 at most, and never answered.
//! - **D-80** A seed known by host alone is one seed with an address per port, all dialled at once.
//! - **D-81** Addresses remembered from an earlier run are dialled eight at a time; given up after
//!   three tries once anybody is there, till then tried for ever, 1 s doubled to 60 s, ± 20 %.
//! - **D-82** Observers are told of newcomers, by about eight of those who meet them.
//!
//! **Bounds.** 16,384 members, 1,024 strangers, 256 seeds, 64 remembered addresses, 4,096 replay windows, 64 neighbours.
//!
//! **Not here.** Sealing and opening of realm packets (node), handshakes and pings (transport),
//! what is in an interest set (topics).

mod addresses;
mod beacons;
mod bucket;
pub mod crowd;
mod hints;
mod members;
mod names;
mod neighbours;
mod outbox;
mod quiet;
mod remembered;
mod replay;
mod seeds;
pub mod swim;
#[cfg(test)]
mod tests;

pub use members::{MemberEntry, MemberState, hint_state};
pub use neighbours::{Neighbour, NeighbourKind, Neighbours};
pub use outbox::Action;
pub use remembered::REMEMBERED_MAX;

use crate::events::DownReason;
use crate::host::{InterfaceInfo, RecvMeta, Via};
use crate::ids::{EndpointId, EndpointKey};
use crate::rng::Rng;
use crate::{Config, Counters, Time};
use addresses::{Known, Own};
use alloc::vec::Vec;
use beacons::{Beacons, Goodbyes};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use hints::Hints;
use members::Members;
use motet_wire::record::{Beacon, Member, Roles, roles};
use names::Names;
use outbox::Outbox;
use quiet::{Echo, Settling};
use remembered::Remembered;
use replay::Replay;
use seeds::Seeds;

/// A dial whose end nobody reported is given up: HS1 is sent for 5.75 s (§2.4 step 4), to eight
/// addresses 0.1 s apart, and the last is given 2 s.
const DIAL_LOST: Duration = Duration::from_secs(10);

/// Decides when to send beacons, whom to dial, who is a member and who clashes by name.
///
/// Inputs are `on_*` and never fail. After each, pull [`poll`](Self::poll) until `None`; sleep until
/// [`deadline`](Self::deadline), then call [`on_timeout`](Self::on_timeout).
pub struct Discovery {
    me: EndpointKey,
    roles: Roles,
    greets: bool,
    /// Up to this N, everybody has a session with everybody.
    eager: usize,
    /// Living members, those without a session too.
    crowd: usize,
    /// IPv4 and IPv6.
    groups: (Option<SocketAddr>, Option<SocketAddr>),
    rng: Rng,
    own: Own,
    beacons: Beacons,
    members: Members,
    hints: Hints,
    seeds: Seeds,
    remembered: Remembered,
    names: Names,
    replay: Replay,
    neighbours: Neighbours,
    settling: Settling,
    echo: Echo,
    goodbyes: Option<Goodbyes>,
    out: Outbox,
}

impl Discovery {
    /// Starts the beacon series and the search for `cfg.seeds`. Draws a seed for a generator of its
    /// own from `rng`. Call [`on_interfaces`](Self::on_interfaces) right after.
    pub fn new(now: Time, cfg: &Config, key: EndpointKey, rng: &mut Rng) -> Self {
        let mut rng = Rng::new(rng.bytes());
        let mut seeds = Seeds::default();
        for seed in &cfg.seeds {
            seeds.add(now, &[*seed]);
        }
        Self {
            me: key,
            roles: Roles(cfg.roles),
            greets: cfg.greet_loopback,
            eager: cfg.sessions_eager,
            crowd: 0,
            groups: (cfg.group_v4, cfg.group_v6),
            own: Own::new(cfg.advertise.clone(), cfg.port, cfg.host_id),
            beacons: Beacons::new(now, cfg, &mut rng),
            members: Members::default(),
            hints: Hints::new(),
            seeds,
            remembered: Remembered::new(now, &cfg.remembered),
            names: Names::new(key, &cfg.name),
            replay: Replay::default(),
            neighbours: Neighbours::default(),
            settling: Settling::new(now),
            echo: Echo::default(),
            goodbyes: None,
            out: Outbox::default(),
            rng,
        }
    }

    /// The usable interfaces, all of them (D-6).
    pub fn on_interfaces(&mut self, now: Time, interfaces: &[InterfaceInfo]) {
        let change = self.own.update(interfaces);
        if change.any && self.goodbyes.is_none() {
            self.echo.interfaces(now, interfaces);
            self.beacons.restart(now, change.loopback && self.greets, &mut self.rng);
        }
    }

    /// An authentic, fresh beacon; our own, looped back, too.
    #[allow(clippy::too_many_arguments)] // what a realm packet says, each named
    pub fn on_beacon(
        &mut self,
        now: Time,
        from: EndpointKey,
        beacon: &Beacon,
        meta: &RecvMeta,
        solicit: bool,
        multicast: bool,
        counters: &mut Counters,
    ) {
        if from.id == self.me.id {
            if multicast && from == self.me {
                self.echo.heard(meta.iface);
            }
            return;
        }
        if self.goodbyes.is_some() {
            return;
        }
        counters.beacons_received += 1;
        let source = with_port(meta.src, beacon.port);
        let said = Known {
            worked: None,
            source: Some(source),
            addresses: &beacon.addresses,
            port: beacon.port,
            host_id: Some(beacon.host_id),
            iface: meta.iface,
        };
        let same = self.members.get(from.id).filter(|entry| entry.key == from);
        match same.map(|entry| entry.state) {
            Some(MemberState::Live) => {
                self.members.heard(from.id, beacon, source, meta.iface); // D-9
                return;
            }
            Some(MemberState::Dead) => {
                self.members.heard(from.id, beacon, source, meta.iface);
            }
            Some(MemberState::Left) | None => {}
        }
        let addrs = self.own.candidates(&said);
        if self.hint(now, from, addrs) && solicit {
            let n = self.live_count();
            self.beacons.solicited(now, source, n, &mut self.rng, &mut self.out, counters);
        }
    }

    /// A realm packet with the leaving flag: a hint. A live member is probed (D-16), any other is
    /// forgotten.
    pub fn on_leaving(&mut self, _now: Time, from: EndpointKey) {
        if self.goodbyes.is_some() {
            return;
        }
        if self.hints.incarnation(from.id).is_some_and(|known| known <= from.incarnation) {
            self.hints.forget(from.id);
        }
        match self.members.get(from.id).filter(|entry| entry.key == from).map(|entry| entry.state) {
            Some(MemberState::Live) => self.names.leaving(from.id, &mut self.out),
            Some(MemberState::Dead) => self.members.forget(from.id),
            Some(MemberState::Left) | None => {}
        }
    }

    /// A member record from the live member `from`: a hint.
    pub fn on_member_hint(&mut self, now: Time, member: &Member, from: EndpointId) {
        let key = member.key;
        let heard_of = member.state < hint_state::DOWN && key.id != self.me.id;
        if self.goodbyes.is_some() || !heard_of || !self.members.is_live(from) {
            return;
        }
        if self.members.get(key.id).is_some_and(|entry| entry.key == key) {
            self.members.told(member);
            if self.members.is_live(key.id) {
                return;
            }
        }
        let addrs = self.own.candidates(&Known {
            worked: None,
            source: None,
            addresses: &member.addresses,
            port: member.port,
            // Of our host is what is told by our host with an address of loopback.
            host_id: self.members.get(from).map(|entry| entry.host_id),
            iface: 0,
        });
        self.hint(now, key, addrs);
    }

    /// Dials `key`, who is said to be alive there and has no session, if the rates allow. False if
    /// the hint is out of date.
    fn hint(&mut self, now: Time, key: EndpointKey, addrs: Vec<SocketAddr>) -> bool {
        let Some(entry) = self.members.get(key.id) else {
            if !self.is_eager() {
                return true; // M-12: a session when one is needed
            }
            self.hints.offer(now, key, addrs);
            self.hints.pump(now, &mut self.rng, &mut self.out);
            return true;
        };
        let (known, state) = (entry.key.incarnation, entry.state);
        if key.incarnation < known || (key.incarnation == known && state == MemberState::Left) {
            return false; // D-15
        }
        if self.members.may_dial(now, key.id) {
            if key.incarnation == known {
                self.members.dial(now, key.id, &self.own, &mut self.out);
            } else if !addrs.is_empty() {
                self.out.push(Action::Dial { id: Some(key.id), addrs }); // D-8: only a hint so far
            }
        }
        true
    }

    /// Notes a realm packet and tells whether it is new (D-3). To be asked for authentic ones only.
    pub fn fresh(&mut self, key: EndpointKey, counter: u64) -> bool {
        self.replay.fresh(key, counter)
    }

    /// A packet of another realm (D-27).
    pub fn on_foreign_realm(&mut self, now: Time, src: IpAddr, tag: [u8; 4]) {
        self.neighbours.note(now, src, NeighbourKind::ForeignRealm { tag });
    }

    /// A packet of our realm's tag that failed authentication (D-27).
    pub fn on_wrong_key(&mut self, now: Time, src: IpAddr) {
        self.neighbours.note(now, src, NeighbourKind::WrongKey);
    }

    /// A handshake completed, or a suspended session was revived: this is a live member now.
    pub fn on_session_up(
        &mut self,
        now: Time,
        key: EndpointKey,
        name: &str,
        addr: SocketAddr,
        roles: u16,
        host_id: [u8; 16],
    ) {
        self.hints.forget(key.id);
        self.seeds.identified(addr, key.id);
        self.remembered.met(addr);
        let news = self.members.up(MemberEntry {
            key,
            name: name.into(),
            roles,
            host_id,
            state: MemberState::Live,
            since: now,
            addr,
            source: None,
            iface: 0,
            addresses: Vec::new(),
            port: addr.port(),
            addr_version: 0,
            interest_version: 0,
        });
        if news && self.goodbyes.is_none() {
            self.settling.news(now);
            self.names.session_up(key, &self.members, &mut self.out);
        }
    }

    /// A session ended. Ignored if another incarnation of that id has taken its place (D-8).
    pub fn on_session_down(&mut self, now: Time, key: EndpointKey, reason: DownReason) {
        if self.members.down(now, key, reason, &mut self.rng) {
            self.names.session_down(key.id);
            self.seeds.session_down(now, key.id, &mut self.rng);
            let n = self.live_count();
            self.beacons.shrunk(now, n, &mut self.rng);
        }
    }

    /// A dial ended without a session: that of `id`, or with `None` that of the contact at
    /// `addrs`.
    pub fn on_dial_failed(
        &mut self,
        now: Time,
        id: Option<EndpointId>,
        addrs: &[SocketAddr],
        counters: &mut Counters,
    ) {
        counters.dials_failed += 1;
        if let Some(id) = id {
            self.members.dial_failed(now, id, &mut self.rng);
            self.hints.dial_failed(now, id, &mut self.rng);
        } else if let Some(addr) = addrs.first() {
            self.seeds.dial_failed(now, addrs, &mut self.rng);
            self.remembered.dial_failed(now, *addr, &mut self.rng);
        }
    }

    /// A dial of a seed found this live member there; the session that stands is kept (D-24).
    pub fn on_seed_known(&mut self, seed: SocketAddr, id: EndpointId) {
        if self.members.is_live(id) {
            self.seeds.identified(seed, id);
            self.remembered.met(seed);
        }
    }

    /// The result of an [`Action::Probe`].
    pub fn on_probe(&mut self, _now: Time, id: EndpointId, answered: bool) {
        if let Some(entry) = self.members.get(id).filter(|entry| entry.state == MemberState::Live) {
            self.names.probed(entry.key, answered, &mut self.out);
        }
    }

    /// Our own interest set has a new version.
    pub fn on_interest_changed(&mut self, now: Time) {
        if self.goodbyes.is_none() {
            self.beacons.interest_changed(now, &mut self.rng, &mut self.out);
        }
    }

    /// A peer's interest changed: discovery has not settled yet. (New peers are noticed here.)
    pub fn on_news(&mut self, now: Time) {
        self.settling.news(now);
    }

    /// Tries for ever to reach somebody at one of these addresses, eight at most (D-80). False if
    /// there is no room for another seed.
    pub fn add_seed(&mut self, now: Time, addrs: &[SocketAddr]) -> bool {
        self.seeds.add(now, addrs)
    }

    /// Ends what `add_seed` began with the same addresses; whoever was found stays.
    pub fn remove_seed(&mut self, addrs: &[SocketAddr]) {
        self.seeds.remove(addrs);
    }

    /// Lets everything that is due happen.
    pub fn on_timeout(&mut self, now: Time, counters: &mut Counters) {
        if let Some(goodbyes) = &mut self.goodbyes {
            goodbyes.on_timeout(now, &mut self.out);
            return;
        }
        let n = self.live_count();
        let (rng, out) = (&mut self.rng, &mut self.out);
        self.beacons.on_timeout(now, n, &self.own.loopbacks(), rng, out, counters);
        self.hints.pump(now, rng, out);
        self.members.on_timeout(now, &self.own, rng, out);
        let known = |addr| self.members.live_at(addr);
        self.seeds.on_timeout(now, known, |addr| self.own.is_own(addr), rng, out);
        let met = |addr| known(addr).is_some() || self.own.is_own(addr);
        self.remembered.on_timeout(now, met, self.members.live_counted() == 0, rng, out);
        self.settling.on_timeout(now, out);
        self.echo.on_timeout(now, out);
    }

    /// When to call [`on_timeout`](Self::on_timeout).
    pub fn deadline(&self) -> Option<Time> {
        let at = match &self.goodbyes {
            Some(goodbyes) => goodbyes.deadline(),
            None => [
                self.beacons.deadline(),
                self.hints.deadline(),
                self.members.deadline(),
                self.seeds.deadline(),
                self.remembered.deadline(),
                self.settling.deadline(),
                self.echo.deadline(),
            ]
            .into_iter()
            .fold(Time::NEVER, Time::min),
        };
        (at != Time::NEVER).then_some(at)
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.out.pop()
    }

    /// Says goodbye three times within 40 ms; nothing else is done any more (D-22).
    pub fn close(&mut self, now: Time) {
        if self.goodbyes.is_none() {
            let mut goodbyes = Goodbyes::new(now);
            goodbyes.on_timeout(now, &mut self.out);
            self.goodbyes = Some(goodbyes);
        }
    }

    /// True once the last goodbye has been said.
    pub fn is_closed(&self) -> bool {
        self.goodbyes.as_ref().is_some_and(|goodbyes| goodbyes.deadline() == Time::NEVER)
    }

    /// Our beacon as it stands.
    pub fn beacon(&self, membership_hash: u64, interest_version: u64) -> Beacon {
        Beacon {
            port: self.own.port(),
            addresses: self.own.advertised(),
            name: self.names.own().as_ref().into(),
            roles: self.roles,
            interface_class: self.own.class(),
            membership_hash,
            interest_version,
            members: self.live_count() as u64,
            host_id: self.own.host_id,
        }
    }

    /// Version of our own addresses: rises whenever they change.
    pub fn addr_version(&self) -> u64 {
        self.own.version
    }

    /// All members that are remembered, by id: dead ones and those that left too.
    pub fn members(&self) -> impl Iterator<Item = &MemberEntry> {
        self.members.iter()
    }

    /// One member.
    pub fn member(&self, id: EndpointId) -> Option<&MemberEntry> {
        self.members.get(id)
    }

    /// The members that `to` is told of: live ones but itself that are no observers (D-17).
    pub fn relay(&self, to: EndpointId) -> impl Iterator<Item = Member> {
        let told = move |entry: &&MemberEntry| {
            entry.state == MemberState::Live && entry.counts() && entry.key.id != to
        };
        let host = self.members.get(to).map(|entry| entry.host_id).filter(|id| *id != [0; 16]);
        self.members.iter().filter(told).map(move |entry| entry.record(host == Some(entry.host_id)))
    }

    /// N: live members and ourselves; observers are not counted (D-17).
    pub fn live_count(&self) -> usize {
        self.others() + usize::from(!self.roles.has(roles::OBSERVER))
    }

    /// Living members but ourselves, observers not counted.
    pub fn others(&self) -> usize {
        self.members.live_counted().max(self.crowd)
    }

    /// Membership counts so many living members, ourselves not.
    pub fn set_crowd(&mut self, alive: usize) {
        self.crowd = alive;
        if !self.is_eager() {
            self.hints.forget_waiting();
        }
    }

    /// Few enough that everybody has a session with everybody (M-12).
    pub fn is_eager(&self) -> bool {
        self.live_count() <= self.eager
    }

    /// Membership heard of somebody without a session.
    pub fn on_crowd_hint(&mut self, now: Time, key: EndpointKey, addrs: Vec<SocketAddr>) {
        if self.goodbyes.is_none() && key.id != self.me.id {
            self.hint(now, key, addrs);
        }
    }

    /// Where to try somebody known by hearsay, best first (D-14).
    pub fn ways(
        &self,
        addr: SocketAddr,
        addresses: &[IpAddr],
        host_id: [u8; 16],
    ) -> Vec<SocketAddr> {
        let port = addr.port();
        let (source, host_id) = (Some(addr), Some(host_id));
        self.own.candidates(&Known { worked: None, source, addresses, port, host_id, iface: 0 })
    }

    /// What we advertise, best first, and its version.
    pub fn own_addresses(&self) -> (Vec<IpAddr>, u16, u64) {
        (self.own.advertised(), self.own.port(), self.own.version)
    }

    /// Whether this life of a member said goodbye.
    pub fn has_left(&self, key: EndpointKey) -> bool {
        self.members.get(key.id).is_some_and(|it| it.key == key && it.state == MemberState::Left)
    }

    /// Live members of this name; ourselves not included.
    pub fn name_holders<'a>(
        &'a self,
        name: &str,
    ) -> impl Iterator<Item = &'a MemberEntry> + use<'a> {
        self.members.holders(name)
    }

    /// Where to try this member, best first, at most eight (D-14).
    pub fn candidates(&self, id: EndpointId) -> Vec<SocketAddr> {
        self.members.get(id).map_or_else(Vec::new, |entry| self.own.candidates(&entry.known()))
    }

    /// Where [`Action::Multicast`] goes: the groups on every interface with a socket for them.
    pub fn groups(&self) -> Vec<(Via, SocketAddr)> {
        self.own.groups(self.groups)
    }

    /// Whether a member that is remembered is known at this address, whatever the port.
    pub fn knows_address(&self, ip: IpAddr) -> bool {
        self.members.iter().any(|entry| {
            entry.addr.ip() == ip
                || entry.source.is_some_and(|source| source.ip() == ip)
                || entry.addresses.contains(&ip)
        })
    }

    /// Other realms and wrong keys heard nearby.
    pub fn neighbours(&self) -> &Neighbours {
        &self.neighbours
    }

    /// 300 ms have passed without a new peer or interest, or 1 s since the start (D-25).
    pub fn settled(&self) -> bool {
        self.settling.done
    }

    /// Strangers not dialled because 1,024 were waiting.
    pub fn hints_dropped(&self) -> u64 {
        self.hints.dropped
    }
}

/// The address with another port (its scope kept); with its own if that is 0. A mapped IPv4 address
/// becomes one.
pub(crate) fn with_port(addr: SocketAddr, port: u16) -> SocketAddr {
    let mut addr = match addr.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(IpAddr::V4(ip), addr.port()),
        IpAddr::V6(_) => addr,
    };
    if port != 0 {
        addr.set_port(port);
    }
    addr
}

/// `wait` ± `percent` %.
fn jittered(wait: Duration, percent: u32, rng: &mut Rng) -> Duration {
    let most = wait * percent / 100;
    wait - most + Duration::from_nanos(rng.below(2 * most.as_nanos() as u64 + 1))
}
