//! # Streams: every message of a writer, once, in order, to each of its readers
//!
//! **Promise.** A reader sees the messages of a stream in the order of their numbers, without
//! holes or repeats, or else one [`Item::Missed`] in that place, which says how many and why.
//!
//! **How.** The writer keeps one [`Log`](log::Log) for all readers and a [`Cursor`](cursor::Cursor)
//! for each. Numbers reveal holes; the [`Reader`](reader::Reader) names what it lacks (NAK) and how
//! far it has got (STATUS); the writer speaks last (HEARTBEAT), until everything is acknowledged.
//!
//! **Bounds.** [`WINDOW_MSGS`] numbers and a window of bytes ahead of a reader; [`GAPS_MAX`] holes
//! per stream; [`REPAIRS_MAX`] ranges to repair per reader; memory by [`Budget`].
//!
//! **Not here.** Packets, acknowledgement and congestion (session), who reads what (topics), how
//! pieces of a message are kept ([`Pieces`] is filled in by the node), the clock.

pub mod blocks;
pub mod body;
pub mod cursor;
pub mod gaps;
pub mod log;
pub mod reader;

mod budget;
mod flow;
mod repairs;
mod spares;

#[cfg(test)]
mod model;
#[cfg(test)]
mod scenarios;

pub use budget::{Budget, Pool, Share};

use crate::events::MissedReason;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use motet_wire::frame::GapReason;

/// Numbers that a reader takes beyond the one it waits for.
pub const WINDOW_MSGS: u64 = 1 << 18;
/// Window of a new stream, bytes.
pub const WINDOW_INITIAL: u64 = 256 << 10;
/// Up to this the window grows by itself, bytes.
pub const WINDOW_AUTO_MAX: u64 = 64 << 20;
/// No STATUS may grant more, bytes.
pub const WINDOW_MAX: u64 = 1 << 30;
/// Holes that a reader remembers per stream; also skipped ranges.
pub const GAPS_MAX: usize = 4_096;
/// Ranges that a writer has queued for repair per reader.
pub const REPAIRS_MAX: usize = 4_096;
/// What a message counts at least, so that tiny ones do not outgrow a bound kept in bytes.
pub const COST_MIN: u64 = 64;

/// What a message of `len` bytes counts in windows, logs and queues.
#[inline]
pub fn cost(len: usize) -> u64 {
    (len as u64).max(COST_MIN)
}

/// The round trip of a session, as streams need it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RttView {
    /// Smoothed.
    pub srtt: Duration,
    /// Mean deviation.
    pub var: Duration,
}

impl Default for RttView {
    /// Before the first sample: 333 ms ± 166 ms (RFC 9002 §6.2.2).
    fn default() -> Self {
        Self { srtt: Duration::from_millis(333), var: Duration::from_micros(166_500) }
    }
}

/// What a reader hands out, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A message.
    Message {
        /// Its number.
        seq: u64,
        /// When it was published, µs of the writer's stream clock.
        t_us: u64,
        /// The whole of it.
        body: Bytes,
    },
    /// These numbers will never come.
    Missed {
        /// The first.
        from: u64,
        /// How many.
        n: u64,
        /// Why.
        reason: MissedReason,
    },
}

/// How a reader treats a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// By number.
    Fifo,
    /// The newest at once; older ones that come later are dropped.
    Latest,
    /// As they come, each once. Best effort treats it as [`Order::Fifo`].
    Unordered,
}

/// What pieces did to a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inserted {
    /// At least one byte was new.
    New,
    /// All of it was there.
    Duplicate,
    /// It would have made one hole too many; dropped.
    TooManyHoles,
    /// It lies outside of the message; dropped.
    Outside,
}

/// A message that comes in pieces. The node fills this in: transport does not know fragmentation.
pub trait Pieces: Sized {
    /// Nothing of `total` bytes, in the memory of `room`, which is empty. Must not allocate by
    /// `total`.
    fn new(total: u64, room: Vec<u8>) -> Self;
    /// Bytes of the whole message.
    fn total(&self) -> u64;
    /// Takes the bytes at `off`.
    fn insert(&mut self, off: u64, bytes: &[u8]) -> Inserted;
    /// Bytes from the start without a hole.
    fn contiguous(&self) -> u64;
    /// Bytes of memory that it holds.
    fn memory(&self) -> u64;
    /// True if no byte is missing.
    fn is_complete(&self) -> bool;
    /// The message; missing bytes are zero.
    fn finish(self) -> Bytes;
}

/// What streams counted since this was last taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StreamCounts {
    /// Messages or pieces received again.
    pub duplicates: u64,
    /// Messages or pieces beyond the window or the memory budget.
    pub overruns: u64,
    /// Holes asked for whose original came after all.
    pub spurious: u64,
    /// Messages above the reader's limit.
    pub refused: u64,
    /// STATUS frames that broke a bound.
    pub status_rejected: u64,
    /// STATUS frames overtaken by newer ones.
    pub status_stale: u64,
    /// Items of NAKs for what was never sent, or repaired a moment ago, or beyond a bound.
    pub naks_ignored: u64,
    /// Messages sent for the first time.
    pub messages_sent: u64,
    /// Messages or pieces sent again.
    pub repairs_sent: u64,
    /// Bytes of bodies sent again.
    pub repair_bytes: u64,
    /// Heartbeats handed out.
    pub heartbeats: u64,
}

/// What a GAP's reason is to a subscriber.
pub fn missed(reason: GapReason) -> MissedReason {
    match reason {
        GapReason::Evicted => MissedReason::Evicted,
        GapReason::Expired => MissedReason::Expired,
        GapReason::Filtered => MissedReason::Filtered,
        GapReason::Cancelled => MissedReason::Cancelled,
        GapReason::Conflated => MissedReason::Conflated,
        GapReason::Refused => MissedReason::Refused,
    }
}
