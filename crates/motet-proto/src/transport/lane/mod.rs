//! # Lanes: one packet for all readers of a network
//!
//! **Promise.** A lane brings new messages of one stream to many readers at once; what a reader
//! makes of them is the same as by its session: each once, in order. Whatever happens to the lane,
//! the session still has everything.
//!
//! **How.** Numbers, repair and credit are those of [streams](super::stream). The lane has one
//! [`Cursor`](super::stream::cursor::Cursor) that sends what is new; each reader keeps its own for
//! what it acknowledged and asks for again. A first question is answered by the session, a second
//! one for the same by the lane.
//!
//! | file | holds |
//! |---|---|
//! | [`writer`] | a lane at its writer: readers, packet numbers, heartbeats |
//! | [`source`] | a lane at a reader: is it heard, what is lost, what to say |
//! | [`keys`] | sealing under a key of its own, which moves on |
//! | [`meter`] | how fast: one reader acknowledges packets, the window is that of sessions |
//! | [`backoff`] | when a reader asks, so that a thousand do not |
//! | [`asked`] | who asked for what a moment ago |
//! | [`decide`] | is a lane cheaper |
//!
//! **Bounds.** `Config::lanes_max` lanes sent and received; [`OFFERS_MAX`] lanes of one peer;
//! [`ASKED_MAX`](asked::ASKED_MAX) ranges remembered per lane.
//!
//! **Not here.** Who reads what, sockets, the choice of interface (node).

pub mod asked;
pub mod backoff;
pub mod decide;
pub mod keys;
pub mod meter;
pub mod source;
pub mod writer;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

/// Groups that lanes share: few, since switches and kernels remember few.
pub const LANES: u16 = 64;
/// Lanes that one peer may offer us at once.
pub const OFFERS_MAX: usize = 64;
/// A lane that carries something speaks at least so often (L-30).
pub const BEAT_ACTIVE: Duration = Duration::from_millis(100);
/// And one that does not.
pub const BEAT_IDLE: Duration = Duration::from_secs(1);
/// It carries something until this long after it last did.
pub const ACTIVE_FOR: Duration = Duration::from_secs(1);
/// A reader that does not hear the lane within this time keeps its session (L-11).
pub const PROOF_WITHIN: Duration = Duration::from_secs(3);
/// First pause before a reader is offered a lane again; it doubles (L-14).
pub const COOL: Duration = Duration::from_secs(30);
/// And the longest.
pub const COOL_MAX: Duration = Duration::from_secs(600);
/// Silence of a reader that has something to say, after which it leaves the lane (L-22).
pub const SILENT_MAX: Duration = Duration::from_secs(5);
/// A reader that holds up the others for so long leaves the lane (L-22).
pub const LAG_TIMEOUT: Duration = Duration::from_millis(250);

/// The lane of a topic, by its keyed hash (L-1).
pub fn lane_of(topic_hash: u64) -> u16 {
    (topic_hash % u64::from(LANES)) as u16
}

/// The group of a lane (L-1).
pub fn group_of(lane: u16, v6: bool) -> IpAddr {
    let n = lane % LANES;
    if v6 {
        Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0x6d6f, 0x7465, n).into()
    } else {
        Ipv4Addr::new(239, 192, 138, n as u8).into()
    }
}
