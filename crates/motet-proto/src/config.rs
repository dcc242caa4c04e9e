//! What a node may spend, and how topics behave. Every field has its unit, default, bound and the
//! price of moving it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use motet_wire::record::entropy::{MAX_TAG_KEY, MAX_TAG_VALUE, MAX_TAGS};

/// An isolated deployment and its key.
#[derive(Clone)]
pub struct Realm {
    /// Its name: 1–63 bytes of UTF-8.
    pub name: String,
    /// The 256-bit secret that every member holds; `None` is an open realm (`--insecure`):
    /// encrypted, not authenticated.
    pub secret: Option<[u8; 32]>,
}

impl fmt::Debug for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Realm({}, {})", self.name, if self.secret.is_some() { "secret" } else { "open" })
    }
}

/// When a silent peer is suspected and given up: dead after `rate × multiplier`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Liveness {
    /// Silence after which the peer is pinged. Default 1 s. At least 50 ms.
    pub rate: Duration,
    /// Dead after this many rates of silence. Default 5. At least 2; fewer means false alarms.
    pub multiplier: u32,
}

impl Liveness {
    /// 0.2 s × 5.
    pub const FAST: Self = Self { rate: Duration::from_millis(200), multiplier: 5 };
    /// 1 s × 5.
    pub const NORMAL: Self = Self { rate: Duration::from_secs(1), multiplier: 5 };
    /// 6 s × 5.
    pub const LAZY: Self = Self { rate: Duration::from_secs(6), multiplier: 5 };

    /// Silence after which a peer is dead.
    pub fn dead_after(&self) -> Duration {
        self.rate * self.multiplier
    }
}

/// Who decides how much a session has in flight (docs/spec/3-session.md, S-19 and S-25).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Congestion {
    /// CUBIC (RFC 9438): loss is congestion. It shares with TCP as TCP does, and starves where
    /// packets are lost by chance over a long way. Default.
    #[default]
    Cubic,
    /// BBR (draft-ietf-ccwg-bbr): what the path delivers decides, loss is a guard. For Wi-Fi, radio
    /// and long ways.
    Model,
}

/// How membership is run.
#[derive(Clone, Copy, Debug)]
pub struct SwimSettings {
    /// Waits grow with our own ill health (M-7). Default true; false is for measuring what it is
    /// worth.
    pub health: bool,
}

impl Default for SwimSettings {
    fn default() -> Self {
        Self { health: true }
    }
}

/// What a node may spend. Start from a preset, change a field; [`Node::new`](crate::Node::new)
/// checks the whole.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Deployment.
    pub realm: Realm,
    /// This endpoint's name: 1–63 bytes of UTF-8, need not be unique.
    pub name: String,
    /// The name was given on purpose: a clash is then worth ending for.
    pub name_given: bool,
    /// Role bits of `motet_wire::record::roles`.
    pub roles: u16,
    /// Hash of machine and boot, so that endpoints of one host know each other.
    pub host_id: [u8; 16],
    /// The unicast port.
    pub port: u16,
    /// When peers are given up.
    pub liveness: Liveness,
    /// Peers to try by address, for ever (1 s → 60 s).
    pub seeds: Vec<SocketAddr>,
    /// Where members were in an earlier run: tried at the start, best first. Default none; 64 are
    /// tried. Each costs five small datagrams if nobody is there any more.
    pub remembered: Vec<SocketAddr>,
    /// Addresses to advertise instead of those of the interfaces.
    pub advertise: Vec<core::net::IpAddr>,
    /// Discovery group, IPv4. `None`: no multicast.
    pub group_v4: Option<SocketAddr>,
    /// Discovery group, IPv6 link-local.
    pub group_v6: Option<SocketAddr>,
    /// Port of the lanes' groups, 239.192.138.0/26 and ff12::6d6f:7465:0 to 63. Default 37320; one
    /// realm has one.
    pub lane_port: u16,
    /// Bytes per second from which on a publication of policy `Auto` is worth a lane. Default 20,000.
    pub lane_rate: u64,
    /// Lanes that this endpoint sends to, and those it receives, at once. Default 256; 0: none, so
    /// that everything is unicast. 4,096 at most. About 20 KB each while busy.
    pub lanes_max: usize,
    /// Also greet 127.0.0.1 and ::1, ports 37321..=37336, at start. Default true.
    pub greet_loopback: bool,
    /// Up to this many members, everybody has a session with everybody; beyond, sessions are opened
    /// when they are needed and closed after 60 s without use. Default 128; 16,384 at most.
    pub sessions_eager: usize,
    /// Sessions held at once. Default 1,024; 16,384 at most. About 8 KB each.
    pub sessions_max: usize,
    /// Largest message in bytes, sent and received. Default 64 MiB, 1 GiB at most.
    pub max_message: u64,
    /// Bytes for reordering and reassembly in all. Default 256 MiB; a quarter of it per peer.
    pub reassembly_bytes: usize,
    /// Bytes and packets in flight that we grant each peer: half of the receive buffer.
    /// Default 2 MiB and 1,024 packets.
    pub session_credit: (u64, u64),
    /// Congestion control of what we send. Default [`Congestion::Cubic`].
    pub congestion: Congestion,
    /// How long streams of a dead session are kept for its return. Default 60 s.
    pub resume_window: Duration,
    /// Datagram size to start from, in bytes of UDP payload. Default 1,200. 512–1,472.
    pub mtu_base: u16,
    /// Largest datagram probed for. Default 65,000 (reached on loopback).
    pub mtu_max: u16,
    /// Path-MTU discovery is on. Default true.
    pub mtu_discovery: bool,
    /// What its owner says of this endpoint: at most 16 keys (1–32 bytes) and values (≤ 64 bytes),
    /// 512 bytes in all.
    pub tags: Vec<(String, String)>,
    /// How membership is run.
    pub membership: SwimSettings,
}

impl Config {
    /// One LAN: the default.
    pub fn lan(realm: Realm, name: &str) -> Self {
        Self {
            realm,
            name: name.into(),
            name_given: false,
            roles: 0,
            host_id: [0; 16],
            port: 37_321,
            liveness: Liveness::NORMAL,
            seeds: Vec::new(),
            remembered: Vec::new(),
            advertise: Vec::new(),
            group_v4: Some(GROUP_V4),
            group_v6: Some(GROUP_V6),
            lane_port: 37_320,
            lane_rate: 20_000,
            lanes_max: 256,
            greet_loopback: true,
            sessions_eager: 128,
            sessions_max: 1_024,
            max_message: 64 << 20,
            reassembly_bytes: 256 << 20,
            session_credit: (2 << 20, 1024),
            congestion: Congestion::Cubic,
            resume_window: Duration::from_secs(60),
            mtu_base: 1_200,
            mtu_max: 65_000,
            mtu_discovery: true,
            tags: Vec::new(),
            membership: SwimSettings::default(),
        }
    }

    /// Checks every bound; the error names the field.
    pub fn check(&self) -> Result<(), ConfigError> {
        let rule = |ok: bool, field: &'static str, rule: &'static str| {
            if ok { Ok(()) } else { Err(ConfigError { field, rule }) }
        };
        rule((1..=63).contains(&self.name.len()), "name", "1 to 63 bytes")?;
        rule(!self.name.chars().any(char::is_control), "name", "no control characters")?;
        rule((1..=63).contains(&self.realm.name.len()), "realm", "1 to 63 bytes")?;
        rule(self.liveness.rate >= Duration::from_millis(50), "liveness.rate", "at least 50 ms")?;
        rule(self.liveness.multiplier >= 2, "liveness.multiplier", "at least 2")?;
        rule((1..=16_384).contains(&self.sessions_max), "sessions_max", "1 to 16,384")?;
        rule((1..=16_384).contains(&self.sessions_eager), "sessions_eager", "1 to 16,384")?;
        let tag = |(key, value): &(String, String)| {
            (1..=MAX_TAG_KEY).contains(&key.len()) && value.len() <= MAX_TAG_VALUE
        };
        let bytes: usize = self.tags.iter().map(|(key, value)| key.len() + value.len()).sum();
        let tags = self.tags.len() <= MAX_TAGS && self.tags.iter().all(tag) && bytes <= 512;
        rule(tags, "tags", "at most 16, keys of 1 to 32 and values of up to 64 bytes, 512 in all")?;
        rule((1..=1 << 30).contains(&self.max_message), "max_message", "1 byte to 1 GiB")?;
        rule(self.lane_port > 0, "lane_port", "at least 1")?;
        rule(self.lanes_max <= 4_096, "lanes_max", "at most 4,096")?;
        rule((512..=1_472).contains(&self.mtu_base), "mtu_base", "512 to 1,472")?;
        rule(self.mtu_max >= self.mtu_base, "mtu_max", "at least mtu_base")
    }
}

/// The IPv4 discovery group.
pub const GROUP_V4: SocketAddr = SocketAddr::V4(core::net::SocketAddrV4::new(
    core::net::Ipv4Addr::new(239, 192, 137, 1),
    37_320,
));
/// Its IPv6 link-local twin.
pub const GROUP_V6: SocketAddr = SocketAddr::V6(core::net::SocketAddrV6::new(
    core::net::Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0x6d6f, 0x7465, 0xffff),
    37_320,
    0,
    0,
));

/// A field of [`Config`] that breaks its bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// Which.
    pub field: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be {}", self.field, self.rule)
    }
}

impl core::error::Error for ConfigError {}

/// What happens when a publication's log is full because a reader is slow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlowPolicy {
    /// The oldest messages go; readers who lack them get `Missed`. Default for topics.
    DropOldest,
    /// The new message is refused with `Dropped`.
    DropNewest,
    /// The new message is refused with `Full` until there is room.
    Block,
    /// As `Block`, and a reader that keeps the log full for this long is removed.
    Disconnect(Duration),
}

/// Whether a publication may leave as multicast, once for all its readers on a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LanePolicy {
    /// With three readers and more on one network and at least 20 kB/s, where that is cheaper.
    /// Default.
    #[default]
    Auto,
    /// Each reader gets its own packets.
    Never,
    /// From the first reader on, at any rate.
    Always,
}

/// How a publication behaves. Two publishers of one topic in one endpoint share it; settings that
/// differ are refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PubQos {
    /// Repaired until delivered (true) or sent once. Default true.
    pub reliable: bool,
    /// 0 (first) to 7 (last). Default 3. A lower class still gets one packet in 16.
    pub priority: u8,
    /// Messages kept for late joiners, per key if messages have keys. Default 1.
    pub history: u32,
    /// Messages older than this are not delivered. Default none.
    pub lifespan: Option<Duration>,
    /// On a full log. Default [`SlowPolicy::DropOldest`].
    pub slow: SlowPolicy,
    /// Log size in bytes, a message counting at least 64. Default 8 MiB; 1 KiB at least.
    pub log_bytes: usize,
    /// A newer message replaces unsent ones of its key. Default false.
    pub conflate: bool,
    /// Names the schema; readers with another one are told. Default empty: any.
    pub type_tag: String,
    /// Readers in this same endpoint get the messages too. Default true.
    pub local: bool,
    /// Multicast. Default [`LanePolicy::Auto`].
    pub lane: LanePolicy,
}

impl Default for PubQos {
    fn default() -> Self {
        Self {
            reliable: true,
            priority: 3,
            history: 1,
            lifespan: None,
            slow: SlowPolicy::DropOldest,
            log_bytes: 8 << 20,
            conflate: false,
            type_tag: String::new(),
            local: true,
            lane: LanePolicy::Auto,
        }
    }
}

/// What happens when a subscription's own queue is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueuePolicy {
    /// The window closes; then the writer's policy acts. Default.
    Block,
    /// The oldest queued message goes, counted by `Missed`.
    DropOldest,
    /// The arriving message goes, counted by `Missed`.
    DropNewest,
}

/// How much of the past a subscription wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum History {
    /// Only what is published from now on.
    None,
    /// Up to the last n messages that the writer still holds.
    Last(u32),
    /// All that the writer still holds. Default.
    All,
}

/// How a subscription behaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubQos {
    /// The past it wants. Default all that writers hold (topics hold 1 by default).
    pub history: History,
    /// Queue size in bytes, a message counting at least 64. Default 8 MiB; 1 KiB at least.
    pub queue_bytes: usize,
    /// On a full queue. Default [`QueuePolicy::Block`].
    pub full: QueuePolicy,
    /// More than this behind (judged against the smallest delay seen): the writer's stream is left
    /// with `Missed(Lagging)`. Default none.
    pub abort_after: Option<Duration>,
    /// Writers with another non-empty type tag are told and not read. Default empty: any.
    pub type_tag: String,
    /// This endpoint's own messages too. Default true.
    pub local: bool,
}

impl Default for SubQos {
    fn default() -> Self {
        Self {
            history: History::All,
            queue_bytes: 8 << 20,
            full: QueuePolicy::Block,
            abort_after: None,
            type_tag: String::new(),
            local: true,
        }
    }
}
