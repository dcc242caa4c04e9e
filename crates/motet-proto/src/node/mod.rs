//! # Node: the wiring diagram and the driver's contract
//!
//! The only module that knows who is above whom: packets go through a session to the streams of a
//! peer, whole messages to the queues of subscriptions; what layers want sent is pulled into
//! packets at the last moment, so that a repair asked for twice leaves once and what is late or
//! superseded does not leave at all.
//!
//! | file | wires |
//! |---|---|
//! | [`receive`](self) | datagrams → realm, handshake, session → frames → streams |
//! | `shake` | HS1, HS2, HS3 → agreed keys |
//! | `shelter` | COOKIE, VNEG, RESET: load, versions, lost state |
//! | `sessions` | agreed keys → sessions → peers |
//! | `control` | control records → interest, offers, answers |
//! | `offers` | publications ⇄ the readers that want them |
//! | `readers` | what readers lack → how long the log keeps it |
//! | `announce` | discovery's wishes → beacons, dials, probes |
//! | `crowd` | membership, anti-entropy → realm packets, sessions on demand |
//! | `partings` | peers that fall silent or leave |
//! | `deliver` | streams → subscriptions |
//! | `lanes` | publications → multicast groups → streams |
//! | `services` | services ⇄ topics `$svc/…` |
//! | `transmit` | streams, feedback → packets |
//! | `clockwork` | deadlines → all of them |
//! | `explain` | all of them → why a peer gets our data or not |
//! | `failures` | what went wrong → what `explain` remembers |
//! | `verbs` | the application → publications, subscriptions |

mod announce;
mod clockwork;
mod control;
mod crowd;
mod deliver;
mod explain;
mod failures;
mod lanes;
mod local;
mod message;
mod notes;
mod offers;
mod partings;
mod peer;
mod pieces;
mod readers;
mod realm;
mod receive;
mod services;
mod sessions;
mod shake;
mod shelter;
mod transmit;
mod verbs;
mod views;

use crate::config::{Config, ConfigError};
use crate::counters::Counters;
use crate::crypto::Crypto;
use crate::discovery::Discovery;
use crate::discovery::crowd::{Crowd, OwnProfile};
use crate::events::Event;
use crate::host::Via;
use crate::ids::{EndpointId, EndpointKey, PubId, StreamId, SubId};
use crate::received::Runs;
use crate::rng::Rng;
use crate::time::Time;
use crate::topics::interest::LocalInterest;
use crate::topics::matching::Index;
use crate::transport::handshake::{Dial, HalfOpen, Load};
use crate::transport::stream::Pool;
use crate::transport::stream::blocks::Blocks;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use failures::Failures;
use lanes::Lanes;
use local::{Publication, Subscription};
use peer::Peer;
use realm::{RealmKeys, Wall};

pub use crate::services::{CallRefused, RespondError, ServeRefused};
pub use explain::{LAGGING_AFTER, Other};
pub use lanes::{Carrier, WhyUnicast};
pub use message::{Message, Payload};
pub use verbs::{AdvertiseError, PublishError, QueryError, SubscribeError};
pub use views::{
    MemberView, MemberWhere, PeerView, PublicationView, ReaderView, SubscriptionView, WriterView,
};

/// An endpoint without sockets, threads or clock.
///
/// # Driving it
///
/// Inputs, which never fail: [`handle_datagram`](Self::handle_datagram),
/// [`handle_timeout`](Self::handle_timeout), [`handle_host`](Self::handle_host). Outputs:
/// [`poll_transmit`](Self::poll_transmit), [`poll_event`](Self::poll_event),
/// [`poll_timeout`](Self::poll_timeout).
///
/// After any call that takes `&mut self`, pull transmits and events until both are `None`, in
/// either order, then sleep until `poll_timeout` or the next datagram. Pulling late is allowed (a
/// full socket, a busy application): what waits is merged, never lost. `now` never goes backwards.
pub struct Node<C: Crypto> {
    cfg: Config,
    crypto: C,
    rng: Rng,
    key: EndpointKey,
    name: Arc<str>,
    realm: RealmKeys<C::Aead>,
    wall: Wall,
    discovery: Discovery,
    crowd: Crowd,
    strangers: crowd::Strangers,
    dials: BTreeMap<u32, Dial<C::Handshake>>,
    half_open: BTreeMap<u32, HalfOpen<C::Handshake>>,
    load: Load,
    cookies: Cookies,
    peers: Vec<Option<Peer<C::Aead>>>,
    by_id: BTreeMap<EndpointId, usize>,
    by_index: BTreeMap<u32, usize>,
    publications: BTreeMap<StreamId, Publication>,
    subscriptions: BTreeMap<SubId, Subscription>,
    by_topic: BTreeMap<Arc<str>, PubId>,
    matching: Index<SubId>,
    interest: LocalInterest,
    blocks: Blocks,
    /// The publication whose newest messages are still in `blocks`.
    packing: Option<StreamId>,
    runs: Runs,
    outbox: VecDeque<Packet>,
    ready: VecDeque<usize>,
    events: VecDeque<Event>,
    counters: Counters,
    next_stream: StreamId,
    next_sub: u32,
    next_query: u64,
    mtu_cap: u16,
    pool: Pool,
    /// No peer has a deadline before this; may be too early.
    peers_due: Time,
    /// Publications that may be closing or blocked.
    timed: BTreeSet<StreamId>,
    resets: (u64, u32),
    rejected: Vec<(u32, Time)>,
    /// Another holder of our key was heard: the application is told once a minute.
    doubled: Doubled,
    failures: Failures,
    /// Lives of peers that another took the place of, and when.
    replaced: VecDeque<(EndpointKey, Time)>,
    leaving: bool,
    /// When the last input came.
    awake: Time,
    /// A writer dropped a stream of ours since we last asked anew.
    evicted: bool,
    lanes: Lanes<C::Aead>,
    /// Services that are offered, called or watched here; nothing until then.
    services: Option<Box<services::Wiring>>,
}

/// A datagram that is ready to leave.
struct Packet {
    via: Via,
    dst: SocketAddr,
    src: Option<IpAddr>,
    bytes: Vec<u8>,
}

/// Datagrams outside of sessions that may wait to leave; more are dropped (they are all retried).
const OUTBOX_MAX: usize = 4_096;

/// When this endpoint began, and when it last told of another holder of its key.
struct Doubled {
    born: Time,
    told: Option<Time>,
}

/// Secrets that cookies are made of: the present one and the one before (S-7).
struct Cookies {
    secrets: [[u8; 32]; 2],
    since: Time,
}

impl<C: Crypto> Node<C> {
    /// An endpoint with this identity. `seed` is all its chance; `incarnation` rises with every
    /// start of this identity; `wall_ms` is the time since 1970.
    ///
    /// # Errors
    /// The first field of `cfg` that breaks its bound.
    pub fn new(
        cfg: Config,
        crypto: C,
        seed: [u8; 32],
        incarnation: u64,
        wall_ms: u64,
        now: Time,
    ) -> Result<Self, ConfigError> {
        cfg.check()?;
        let mut rng = Rng::new(seed);
        let key = EndpointKey { id: endpoint_id(&crypto, &crypto.public_key()), incarnation };
        let realm = RealmKeys::new(&crypto, &cfg.realm, key, &mut rng);
        let discovery = Discovery::new(now, &cfg, key, &mut rng);
        let own = OwnProfile {
            key,
            name: cfg.name.clone(),
            roles: cfg.roles,
            host_id: cfg.host_id,
            tags: cfg.tags.clone(),
            port: cfg.port,
        };
        let crowd = Crowd::new(now, own, cfg.membership, &mut rng);
        Ok(Self {
            name: cfg.name.as_str().into(),
            wall: Wall::new(wall_ms, now),
            cookies: Cookies { secrets: [rng.bytes(), rng.bytes()], since: now },
            pool: Pool::new(reassembly(&cfg)),
            cfg,
            crypto,
            key,
            realm,
            discovery,
            crowd,
            strangers: crowd::Strangers::default(),
            rng,
            dials: BTreeMap::new(),
            half_open: BTreeMap::new(),
            load: Load::default(),
            peers: Vec::new(),
            by_id: BTreeMap::new(),
            by_index: BTreeMap::new(),
            publications: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            by_topic: BTreeMap::new(),
            matching: Index::default(),
            interest: LocalInterest::default(),
            blocks: Blocks::default(),
            packing: None,
            runs: Runs::default(),
            outbox: VecDeque::new(),
            ready: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            next_stream: 1,
            next_sub: 1,
            next_query: 1,
            mtu_cap: u16::MAX,
            peers_due: Time::NEVER,
            timed: BTreeSet::new(),
            resets: (0, 0),
            rejected: Vec::new(),
            failures: Failures::new(),
            doubled: Doubled { born: now, told: None },
            replaced: VecDeque::new(),
            leaving: false,
            awake: now,
            evicted: false,
            lanes: Lanes::new(),
            services: None,
        })
    }

    /// The next event, in order.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        self.event_taken();
        event
    }

    fn push(&mut self, packet: Packet) {
        if self.outbox.len() < OUTBOX_MAX {
            self.outbox.push_back(packet);
        }
    }

    /// Puts a peer on the list of those with something to send.
    fn wake(&mut self, at: usize) {
        if let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut)
            && !peer.queued
        {
            peer.queued = true;
            self.ready.push_back(at);
        }
    }

    /// What was published last becomes readable: before anything is sent or delivered, and before
    /// another publication packs.
    fn seal_packed(&mut self) {
        if let Some(stream) = self.packing.take()
            && let Some(publication) = self.publications.get_mut(&stream)
        {
            publication.log.seal(&mut self.blocks);
        }
    }

    fn peer(&mut self, at: usize) -> Option<&mut Peer<C::Aead>> {
        self.peers.get_mut(at).and_then(Option::as_mut)
    }

    fn peer_by_id(&mut self, id: EndpointId) -> Option<(usize, &mut Peer<C::Aead>)> {
        let at = *self.by_id.get(&id)?;
        Some((at, self.peers.get_mut(at)?.as_mut()?))
    }

    /// An index no live session or handshake of ours has.
    fn free_index(&mut self) -> u32 {
        loop {
            let index = self.rng.u32();
            let taken = index == 0
                || self.by_index.contains_key(&index)
                || self.dials.contains_key(&index)
                || self.half_open.contains_key(&index);
            if !taken {
                return index;
            }
        }
    }
}

/// Bytes for reordering and reassembly: at least so many that one message of the largest size fits
/// into what the head of one stream of one peer may take.
fn reassembly(cfg: &Config) -> u64 {
    (cfg.reassembly_bytes as u64).max(2 * cfg.max_message)
}

/// The id that belongs to a public key (K-1).
pub fn endpoint_id<C: Crypto>(crypto: &C, public_key: &[u8; 32]) -> EndpointId {
    let hash = crypto.hash(&[b"motet-id", public_key]);
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    EndpointId(id)
}
