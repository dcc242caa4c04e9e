//! Publications → multicast groups → streams.
//!
//! | file | wires |
//! |---|---|
//! | `deciding` | readers, rates and losses → lanes begin, end, lose readers |
//! | `writing` | logs → packets of lanes; STATUS and NAK of their readers → cursors |
//! | `leaving` | who holds up others, goes or is gone → back to sessions |
//! | `reading` | offers → groups; packets of lanes → the readers of streams |
//! | `carrier` | what brings a publication to a reader, for reports |
//!
//! A lane is one stream on one interface: its readers are exactly the audience of its key. Lanes of
//! several topics share groups, of which there are 64.

mod carrier;
mod deciding;
mod leaving;
mod reading;
mod writing;

pub use carrier::{Carrier, WhyUnicast};

use super::Node;
use super::local::Publication;
use super::peer::{Outgoing, Peer};
use crate::config::LanePolicy;
use crate::crypto::{Aead, Crypto};
use crate::host::{HostAction, InterfaceInfo};
use crate::ids::StreamId;
use crate::time::Time;
use crate::transport::lane::decide::Decider;
use crate::transport::lane::source::LaneSource;
use crate::transport::lane::writer::LaneWriter;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
pub(super) use leaving::Leaves;
use motet_wire::frame::Frame;

/// Bytes of lane frames that wait for a peer; what does not fit is said again later.
const SAYS_MAX: usize = 600;

/// An interface and a family.
type Place = (u32, bool);

/// Everything about lanes.
pub(super) struct Lanes<A> {
    writers: BTreeMap<u64, LaneWriter<A>>,
    sources: BTreeMap<u64, LaneSource<A>>,
    groups: BTreeMap<(u32, u16, bool), Group>,
    watched: BTreeMap<StreamId, Watched>,
    actions: VecDeque<HostAction>,
    /// Lanes with something to send.
    queue: VecDeque<u64>,
    /// A lane was served; it is the peers' turn.
    peers_turn: bool,
    interfaces: Vec<InterfaceInfo>,
    tick_at: Time,
    /// No lane has a deadline before this; may be too early.
    due: Time,
}

/// A group that we receive or have asked to.
struct Group {
    users: usize,
    joined: bool,
    group: SocketAddr,
}

/// A publication that may be worth a lane.
struct Watched {
    pos: u64,
    at: Time,
    rate: u64,
    deciders: BTreeMap<Place, Decider>,
}

/// A reader of a publication and its lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tie {
    /// The lane that it has been offered or that brings it the messages.
    pub(super) tag: Option<u64>,
    /// The latter.
    pub(super) ready: bool,
    /// It has been on a lane: who writes there may have misled it.
    pub(super) was: bool,
    why: WhyUnicast,
    /// Not offered again before this.
    until: Time,
    /// The last pause.
    wait: Duration,
}

impl Tie {
    pub(super) const NONE: Self = Self {
        tag: None,
        ready: false,
        was: false,
        why: WhyUnicast::TooFewReaders,
        until: Time::ZERO,
        wait: Duration::ZERO,
    };

    /// The lane that brings its messages.
    pub(super) fn carrying(&self) -> Option<u64> {
        self.tag.filter(|_| self.ready)
    }
}

impl<A: Aead> Lanes<A> {
    pub(super) fn new() -> Self {
        Self {
            writers: BTreeMap::new(),
            sources: BTreeMap::new(),
            groups: BTreeMap::new(),
            watched: BTreeMap::new(),
            actions: VecDeque::new(),
            queue: VecDeque::new(),
            peers_turn: false,
            interfaces: Vec::new(),
            tick_at: Time::NEVER,
            due: Time::NEVER,
        }
    }

    /// When [`Node::lanes_timeout`] has something to do.
    pub(super) fn deadline(&self) -> Time {
        self.tick_at.min(self.due)
    }

    /// We slept for so long: the lanes are not to blame for the silence.
    pub(super) fn forgive(&mut self, late: Duration) {
        self.sources.values_mut().for_each(|source| source.heard = source.heard + late);
    }

    /// No lane has anything to send.
    #[inline]
    pub(super) fn is_quiet(&self) -> bool {
        self.queue.is_empty()
    }

    /// The first message that a lane has not sent whole, and how much of it was.
    pub(super) fn position(&self, tag: u64) -> Option<(u64, u64)> {
        self.writers.get(&tag).map(|writer| writer.cursor.position())
    }

    /// Puts a lane on the list of those with something to send.
    pub(super) fn wake(&mut self, tag: u64) {
        if let Some(writer) = self.writers.get_mut(&tag)
            && !writer.queued
        {
            writer.queued = true;
            self.queue.push_back(tag);
        }
    }
}

impl<C: Crypto> Node<C> {
    /// The next thing that the node wants of its host. Pull until `None`, as transmits and events.
    pub fn poll_host(&mut self) -> Option<HostAction> {
        self.lanes.actions.pop_front()
    }

    /// Lanes that this endpoint sends to, and lanes that it receives.
    pub fn lanes(&self) -> (usize, usize) {
        (self.lanes.writers.len(), self.lanes.sources.len())
    }

    /// The interface whose lanes reach a peer, and by which family: that of its session.
    fn place_of(&self, peer: &Peer<C::Aead>) -> Option<Place> {
        let remote = peer.session.path.remote;
        let (ip, scope) = match remote {
            SocketAddr::V4(v4) => (IpAddr::V4(*v4.ip()), 0),
            SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
                Some(v4) => (IpAddr::V4(v4), 0),
                None => (IpAddr::V6(*v6.ip()), v6.scope_id()),
            },
        };
        let v6 = ip.is_ipv6();
        let can = |face: &&InterfaceInfo| {
            face.loopback || if v6 { face.multicast.1 } else { face.multicast.0 }
        };
        let faces = || self.lanes.interfaces.iter();
        let leads = |face: &&InterfaceInfo| {
            if ip.is_loopback() {
                return face.loopback;
            }
            if scope != 0 {
                return face.index == scope;
            }
            !face.loopback && face.addresses.iter().any(|(own, len)| same_net(*own, ip, *len))
        };
        let own = faces().find(|face| face.addresses.iter().any(|(own, _)| *own == ip));
        let face = own.or_else(|| faces().find(leads)).filter(can)?;
        Some((face.index, v6))
    }

    /// A publication may be worth a lane: it is looked at from now on.
    pub(super) fn watch_for_lanes(&mut self, now: Time, stream: StreamId) {
        let Some(publication) = self.publications.get(&stream) else { return };
        let (lane, readers) = (publication.qos.lane, publication.readers.len());
        let enough = match lane {
            LanePolicy::Never => false,
            LanePolicy::Auto => readers >= 3,
            LanePolicy::Always => readers >= 1,
        };
        let watched = self.lanes.watched.contains_key(&stream);
        if !enough || watched || publication.only.is_some() || self.cfg.lanes_max == 0 {
            return;
        }
        let pos = publication.log.pos(publication.log.next());
        let watched = Watched { pos, at: now, rate: 0, deciders: BTreeMap::new() };
        self.lanes.watched.insert(stream, watched);
        let first = if lane == LanePolicy::Always { Duration::ZERO } else { deciding::TICK };
        self.lanes.tick_at = self.lanes.tick_at.min(now + first);
    }

    /// Lets every deadline of lanes that is due happen.
    pub(super) fn lanes_timeout(&mut self, now: Time) {
        if self.lanes.due <= now {
            let tags: Vec<u64> = self.lanes.writers.keys().copied().collect();
            tags.into_iter().for_each(|tag| self.lane_writer_timeout(now, tag));
            let tags: Vec<u64> = self.lanes.sources.keys().copied().collect();
            tags.into_iter().for_each(|tag| self.lane_source_timeout(now, tag));
            let writers = self.lanes.writers.values().map(LaneWriter::deadline);
            let sources = self.lanes.sources.values().map(|source| source.deadline(now));
            self.lanes.due = writers.chain(sources).min().unwrap_or(Time::NEVER);
        }
        if self.lanes.tick_at <= now {
            self.lanes_tick(now);
        }
    }

    /// Says something about a lane in the next packet of a session; it may get lost.
    fn say_of_lane(&mut self, at: usize, frame: &Frame<'_>) {
        if let Some(peer) = self.peer(at)
            && peer.lane_says.len() < SAYS_MAX
        {
            frame.encode(&mut peer.lane_says);
            self.wake(at);
        }
    }

    pub(super) fn carrier_of(
        &self,
        publication: &Publication,
        peer: &Peer<C::Aead>,
        out: &Outgoing,
    ) -> Carrier {
        if let Some(writer) = out.tie.carrying().and_then(|tag| self.lanes.writers.get(&tag))
            && let Some(at) = self.by_id.get(&peer.key.id)
            && let Some(member) = writer.members.get(at)
        {
            let (lane, iface, since) = (writer.lane, writer.iface, member.since);
            return Carrier::Lane { lane, iface, since, readers: writer.ready };
        }
        let never = publication.qos.lane == LanePolicy::Never
            || publication.only.is_some()
            || self.cfg.lanes_max == 0;
        let why = if never {
            WhyUnicast::Policy
        } else if self.place_of(peer).is_none() {
            WhyUnicast::NotReachable
        } else {
            out.tie.why
        };
        Carrier::Unicast { why }
    }

    /// The invariants of lanes, for the simulator and fuzzers.
    pub(super) fn check_lanes(&self) -> Result<(), &'static str> {
        let max = self.cfg.lanes_max;
        if self.lanes.writers.len() > max || self.lanes.sources.len() > max {
            return Err("O6: more lanes than allowed");
        }
        for (tag, writer) in &self.lanes.writers {
            let ready = writer.members.values().filter(|member| member.ready).count();
            if ready != writer.ready {
                return Err("a lane miscounts its readers");
            }
            for at in writer.members.keys() {
                let peer = self.peers.get(*at).and_then(Option::as_ref);
                let tie = peer.and_then(|peer| peer.outs.get(&writer.stream)).map(|out| out.tie);
                if tie.and_then(|tie| tie.tag) != Some(*tag) {
                    return Err("a lane has a reader that does not know of it");
                }
            }
        }
        for peer in self.peers.iter().flatten() {
            for (stream, out) in &peer.outs {
                let carried = out.cursor.is_yielding();
                let writer = out.tie.carrying().and_then(|tag| self.lanes.writers.get(&tag));
                if carried != writer.is_some_and(|writer| writer.stream == *stream) {
                    return Err("a reader waits for a lane that does not serve it");
                }
            }
        }
        let users: usize = self.lanes.groups.values().map(|group| group.users).sum();
        if users > self.lanes.sources.len() {
            return Err("groups are held that nobody needs");
        }
        Ok(())
    }
}

/// Both lie in the network of the first `len` bits.
fn same_net(own: IpAddr, other: IpAddr, len: u8) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let ((a, width), (b, other_width)) = (bits(own), bits(other));
    let shift = 128 - u32::from(len).min(width);
    width == other_width && (len == 0 || a >> shift == b >> shift)
}
