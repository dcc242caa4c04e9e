//! # Discovery
mod members;
mod neighbours;
mod outbox;
pub mod wire_standin; // becomes motet_wire::record

pub use members::{MemberEntry, MemberState};
pub use neighbours::Neighbours;
pub use outbox::Action;

use crate::events::DownReason;
use crate::host::{InterfaceInfo, RecvMeta};
use crate::ids::{EndpointId, EndpointKey};
use crate::rng::Rng;
use crate::{Config, Counters, Time};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use outbox::Outbox;
use wire_standin::{Beacon, Member};

/// Decides when to send beacons, whom to dial, who is a member and who clashes by name.
///
/// Inputs are `on_*` and never fail. After each, pull [`poll`](Self::poll) until `None`; sleep until
/// [`deadline`](Self::deadline), then call [`on_timeout`](Self::on_timeout).
pub struct Discovery {
    out: Outbox,
}

#[allow(unused_variables, clippy::needless_pass_by_ref_mut)]
impl Discovery {
    /// Starts the beacon series. Draws its own generator from `rng`; call
    /// [`on_interfaces`](Self::on_interfaces) right after.
    pub fn new(now: Time, cfg: &Config, key: EndpointKey, rng: &mut Rng) -> Self {
        Self { out: Outbox::default() }
    }
    /// The usable interfaces, all of them.
    pub fn on_interfaces(&mut self, now: Time, interfaces: &[InterfaceInfo]) {}
    /// An authentic, fresh beacon (our own, looped back, too).
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
    }
    /// A realm packet with the leaving flag: a hint.
    pub fn on_leaving(&mut self, now: Time, from: EndpointKey) {}
    /// A member record from the peer `from`: a hint.
    pub fn on_member_hint(&mut self, now: Time, member: &Member, from: EndpointId) {}
    /// Whether this realm packet counter is new from this sender (64-entry window).
    pub fn fresh(&mut self, key: EndpointKey, counter: u64) -> bool {
        true
    }
    /// A packet of another realm.
    pub fn on_foreign_realm(&mut self, now: Time, src: IpAddr, tag: [u8; 4]) {}
    /// A packet of our realm's tag that failed authentication.
    pub fn on_wrong_key(&mut self, now: Time, src: IpAddr) {}
    /// A handshake completed: this is a member now.
    pub fn on_session_up(
        &mut self,
        now: Time,
        key: EndpointKey,
        name: &str,
        addr: SocketAddr,
        roles: u16,
        host_id: [u8; 16],
    ) {
    }
    /// A session ended. Ignored if another incarnation of that id has taken its place.
    pub fn on_session_down(&mut self, now: Time, key: EndpointKey, reason: DownReason) {}
    /// A dial ended without a session: of `id`, or of the seed at `addrs[0]`.
    pub fn on_dial_failed(
        &mut self,
        now: Time,
        id: Option<EndpointId>,
        addrs: &[SocketAddr],
        counters: &mut Counters,
    ) {
    }
    /// The result of an [`Action::Probe`].
    pub fn on_probe(&mut self, now: Time, id: EndpointId, answered: bool) {}
    /// Our interest set has a new version.
    pub fn on_interest_changed(&mut self, now: Time) {}
    /// A peer's interest changed: not settled yet.
    pub fn on_news(&mut self, now: Time) {}
    /// Tries this address for ever.
    pub fn add_seed(&mut self, now: Time, seed: SocketAddr) {}
    /// Lets everything that is due happen.
    pub fn on_timeout(&mut self, now: Time, counters: &mut Counters) {}
    /// When to call [`on_timeout`](Self::on_timeout).
    pub fn deadline(&self) -> Option<Time> {
        None
    }
    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.out.pop()
    }
    /// Says goodbye three times within 60 ms; nothing else is done any more.
    pub fn close(&mut self, now: Time) {}
    /// True once the last goodbye has been handed out.
    pub fn is_closed(&self) -> bool {
        false
    }
    /// Our beacon as it stands.
    pub fn beacon(&self, membership_hash: u64, interest_version: u64) -> Beacon {
        todo!()
    }
    /// Version of our own addresses: rises whenever they change.
    pub fn addr_version(&self) -> u64 {
        0
    }
    /// All members that are remembered, dead and left ones too, by id.
    pub fn members(&self) -> impl Iterator<Item = &MemberEntry> {
        [].into_iter()
    }
    /// One member.
    pub fn member(&self, id: EndpointId) -> Option<&MemberEntry> {
        None
    }
    /// N: live members and ourselves; observers are not counted.
    pub fn live_count(&self) -> usize {
        1
    }
    /// Live members of this name; ourselves not included.
    pub fn name_holders<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a MemberEntry> {
        [].into_iter()
    }
    /// Where to try this member, best first, at most eight.
    pub fn candidates(&self, id: EndpointId) -> Vec<SocketAddr> {
        Vec::new()
    }
    /// Other realms and wrong keys heard nearby.
    pub fn neighbours(&self) -> &Neighbours {
        todo!()
    }
    /// 300 ms have passed without a new peer or interest, or 1 s since the start.
    pub fn settled(&self) -> bool {
        false
    }
}
