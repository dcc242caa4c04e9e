//! The messages of services: payloads of messages on the topics `$svc/…`.
//!
//! | topic | written by | read by | messages |
//! |---|---|---|---|
//! | `$svc/offer/<service>/<endpoint id>` | an instance | everybody who asks for the service | [`Offer`] |
//! | `$svc/req/<endpoint id>` | a caller | the one endpoint with that id | [`ToServer`] |
//! | `$svc/rep/<endpoint id>` | an instance | the one endpoint with that id | [`ToCaller`] |
//!
//! An endpoint id is written as 32 hexadecimal digits. The first byte of each message is its kind,
//! the second the version of this table: 1.
//!
//! | kind | name | fields after `u8 kind, u8 version` |
//! |---|---|---|
//! | 01 | OFFER | u8 state, u8 role, u8 flags: b0 safe, vi concurrency, vi credit, vi queued, vi running, vi queue_max, vi load (‰), vi len ≤ 64, version, vi len ≤ 256, reason, vi n ≤ 64, n × (name, value), vi n ≤ 32, n × (vi len, service) |
//! | 02 | REQUEST | u8 flags: b0 key, b1 version wanted, u64 server incarnation, u64 caller incarnation, vi call, vi attempt, vi deadline (µs of the server's clock), u8 address kind, [16 B id ∣ vi len, group], vi len, service, [vi len ≤ 64, version wanted], [vi len ≤ 512, key], vi n ≤ 16, n × 16 B hop, vi n ≤ 64, n × (name, value), frames |
//! | 03 | CANCEL | u64 caller incarnation, vi call |
//! | 04 | PING | vi token, vi len, service |
//! | 05 | INQUIRY | vi number, vi remaining (µs), 16 B origin, vi len, service, vi len ≤ 512, key |
//! | 11 | REPLY | u8 flags: b0 last, b1 from the reply cache, u64 caller incarnation, vi call, vi attempt, vi part, u8 status, vi code, vi took (µs), vi backlog, vi len ≤ 1,024, text, vi n ≤ 64, n × (name, value), frames |
//! | 14 | PONG | vi token, u8 known, vi len, service, then if known the fields of OFFER and of [`Stats`] |
//! | 15 | FINDING | vi number, u8 found: 0 promised, 1 here, 2 promised to another, vi promised |
//!
//! `frames` is `vi n ≤ 256, n × vi len`, then the bytes of all of them to the end of the message.
//!
//! Numbers of rules: docs/spec/10-services.md.

mod inquiry;
mod offer;
mod reply;
mod request;

use alloc::vec::Vec;

pub use inquiry::{Finding, Found, Inquiry};
pub use offer::{InstanceState, Offer, Role, Stats};
pub use reply::{Pong, Reply, ServiceStatus, ToCaller};
pub use request::{Address, Cancel, Ping, Request, ToServer};

use crate::Malformed;
use crate::codec::{self, Reader};

/// Version of the messages of this table.
pub const SERVICE_VERSION: u8 = 1;
/// Bytes of a service's name.
pub const MAX_SERVICE: usize = 256;
/// Bytes of a service's version.
pub const MAX_SERVICE_VERSION: usize = 64;
/// Bytes of the reason of a state.
pub const MAX_REASON: usize = 256;
/// Properties of a message, and metadata of an instance.
pub const MAX_PROPERTIES: usize = 64;
/// Services that an instance says it requires.
pub const MAX_REQUIRES: usize = 32;
/// Bytes of an idempotency key.
pub const MAX_IDEMPOTENCY_KEY: usize = 512;
/// Endpoints that passed a request on.
pub const MAX_HOPS: usize = 16;
/// Parts of a body.
pub const MAX_PARTS: usize = 256;
/// Bytes of the text of a status.
pub const MAX_STATUS_TEXT: usize = 1_024;

/// Kinds of messages.
pub mod kind {
    /// [`Offer`](super::Offer)
    pub const OFFER: u8 = 0x01;
    /// [`Request`](super::Request)
    pub const REQUEST: u8 = 0x02;
    /// [`Cancel`](super::Cancel)
    pub const CANCEL: u8 = 0x03;
    /// [`Ping`](super::Ping)
    pub const PING: u8 = 0x04;
    /// [`Inquiry`](super::Inquiry)
    pub const INQUIRY: u8 = 0x05;
    /// [`Reply`](super::Reply)
    pub const REPLY: u8 = 0x11;
    /// [`Pong`](super::Pong)
    pub const PONG: u8 = 0x14;
    /// [`Finding`](super::Finding)
    pub const FINDING: u8 = 0x15;
}

/// Names and values, in the order they were given.
pub type Properties<'a> = Vec<(&'a str, &'a str)>;

fn start(out: &mut Vec<u8>, kind: u8) {
    out.extend_from_slice(&[kind, SERVICE_VERSION]);
}

/// Takes kind and version; any other version is refused (V-2).
fn head(r: &mut Reader<'_>) -> Result<u8, Malformed> {
    let kind = r.get_u8()?;
    if r.get_u8()? == SERVICE_VERSION { Ok(kind) } else { Err(Malformed::Version) }
}

fn get_text<'a>(r: &mut Reader<'a>, max: usize) -> Result<&'a str, Malformed> {
    codec::text(r.get_vi_bytes(max)?)
}

/// Appends at most `max` bytes of a text, cut at a character.
fn put_text(out: &mut Vec<u8>, text: &str, max: usize) {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    codec::put_vi_bytes(out, text.get(..end).unwrap_or_default().as_bytes());
}

fn get_properties<'a>(r: &mut Reader<'a>) -> Result<Properties<'a>, Malformed> {
    let n = r.get_count(MAX_PROPERTIES)?;
    let text = |r: &mut Reader<'a>| codec::text(r.get_vi_bytes(usize::MAX)?);
    (0..n).map(|_| Ok((text(r)?, text(r)?))).collect()
}

fn put_properties<'a>(out: &mut Vec<u8>, each: impl ExactSizeIterator<Item = (&'a str, &'a str)>) {
    codec::put_vi(out, each.len().min(MAX_PROPERTIES) as u64);
    for (name, value) in each.take(MAX_PROPERTIES) {
        codec::put_vi_bytes(out, name.as_bytes());
        codec::put_vi_bytes(out, value.as_bytes());
    }
}

fn get_frames<'a>(r: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, Malformed> {
    let n = r.get_count(MAX_PARTS)?;
    let mut lengths = Vec::new();
    for _ in 0..n {
        lengths.push(usize::try_from(r.get_vi()?).map_err(|_| Malformed::Length)?);
    }
    let frames: Result<_, _> = lengths.into_iter().map(|len| r.get_bytes(len)).collect();
    r.finish()?;
    frames
}

fn put_frames<'a>(out: &mut Vec<u8>, frames: impl ExactSizeIterator<Item = &'a [u8]> + Clone) {
    codec::put_vi(out, frames.len().min(MAX_PARTS) as u64);
    for frame in frames.clone().take(MAX_PARTS) {
        codec::put_vi(out, frame.len() as u64);
    }
    for frame in frames.take(MAX_PARTS) {
        out.extend_from_slice(frame);
    }
}
