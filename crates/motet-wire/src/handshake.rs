//! The three packets of a handshake, and the parameters they carry.
//!
//! | packet | bytes |
//! |---|---|
//! | HS1 | `12`, u8 flags (b0 cookie present), u16 version bitmap, u32 realm tag, u32 initiator's index, 16 B id, u64 incarnation, 4 × u8 suites, u64 stamp, 48 B Noise message 1, 16 B cookie or zero, zeros to ≥ 512 in all, 16 B mac1 |
//! | HS2 | `13 00`, u16 version, u32 initiator's index, u32 responder's index, u8 suite, 3 zeros, Noise message 2 |
//! | HS3 | `14 00 00 00`, u32 responder's index, Noise message 3 |
//!
//! - **W-11** HS1 is at least 512 bytes; a receiver drops a shorter one.
//! - **W-12** mac1 is the last 16 bytes of HS1 and covers all bytes before it.
//! - **W-13** The prologue of Noise is bytes 0..48 of HS1 with byte 1 set to zero.
//! - **W-14** HS1 has the same layout in every version, so that any responder can answer VNEG.
//! - **W-15** The padding of HS1 is zero when sent and ignored when received.
//! - **W-16** A cookie is written only with b0 set; without it the field is zero when sent.

mod params;

use alloc::vec::Vec;

pub use params::{MAX_VALUE, Params};

use crate::codec::{self, Reader};
use crate::packet::{self, MAX_DATAGRAM, PacketType, VERSION};
use crate::{EndpointId, Malformed};

/// HS1: the initiator's first packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hs1<'a> {
    /// The cookie field repeats a COOKIE.
    pub cookie_present: bool,
    /// Bitmap of versions offered (W-10).
    pub versions: u16,
    /// First four bytes of the realm's id.
    pub realm_tag: u32,
    /// The initiator's session index.
    pub index: u32,
    /// The initiator.
    pub id: EndpointId,
    /// The initiator's life.
    pub incarnation: u64,
    /// Cipher suites, best first, padded with 0; the message is made with the first.
    pub suites: [u8; 4],
    /// Rises with every dial of this identity.
    pub stamp: u64,
    /// Noise message 1: an ephemeral key and the tag of an empty payload.
    pub message: &'a [u8; 48],
    /// The cookie, or zero.
    pub cookie: [u8; 16],
    /// Over all bytes before it; not written by [`Hs1::encode`].
    pub mac1: [u8; 16],
}

impl<'a> Hs1<'a> {
    /// The least length, mac1 included: a responder's answer is never longer.
    pub const MIN_LEN: usize = 512;
    /// The usual length, mac1 included, on links that carry it.
    pub const PADDED_LEN: usize = 1_200;
    /// Bytes of mac1.
    pub const MAC_LEN: usize = 16;
    /// Bytes of the Noise prologue.
    pub const PROLOGUE_LEN: usize = 48;

    /// All bytes before mac1, which the caller appends to make `padded_len` bytes in all.
    /// A length outside [`Hs1::MIN_LEN`]`..=`[`MAX_DATAGRAM`] is moved to the nearer bound.
    pub fn encode(&self, padded_len: usize) -> Vec<u8> {
        let len = padded_len.clamp(Self::MIN_LEN, MAX_DATAGRAM);
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(&[PacketType::Hs1.first_byte(), u8::from(self.cookie_present)]);
        codec::put_u16(&mut out, self.versions);
        codec::put_u32(&mut out, self.realm_tag);
        codec::put_u32(&mut out, self.index);
        out.extend_from_slice(&self.id.0);
        codec::put_u64(&mut out, self.incarnation);
        out.extend_from_slice(&self.suites);
        codec::put_u64(&mut out, self.stamp);
        out.extend_from_slice(self.message);
        out.extend_from_slice(&self.cookie);
        out.resize(len - Self::MAC_LEN, 0);
        out
    }

    /// Reads a whole packet of any version (W-14). mac1 is not checked.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(datagram);
        if r.get_u8()? & 0x0f != PacketType::Hs1 as u8 {
            return Err(Malformed::Type);
        }
        if datagram.len() > MAX_DATAGRAM {
            return Err(Malformed::Length);
        }
        let (_, mac1) = datagram.split_last_chunk().ok_or(Malformed::Short)?;
        if datagram.len() < Self::MIN_LEN {
            return Err(Malformed::Short);
        }
        Ok(Self {
            cookie_present: r.get_flags(1)? != 0,
            versions: r.get_u16()?,
            realm_tag: r.get_u32()?,
            index: r.get_u32()?,
            id: r.get_id()?,
            incarnation: r.get_u64()?,
            suites: *r.get_array()?,
            stamp: r.get_u64()?,
            message: r.get_array()?,
            cookie: *r.get_array()?,
            mac1: *mac1,
        })
    }

    /// The bytes under mac1 (W-12); none if the datagram is shorter than a mac.
    pub fn macced(datagram: &[u8]) -> &[u8] {
        datagram.split_last_chunk::<16>().map_or(&[], |(before, _)| before)
    }

    /// The prologue of Noise (W-13); zeros stand for bytes that the datagram does not have.
    pub fn prologue(datagram: &[u8]) -> [u8; 48] {
        let mut out = [0; 48];
        out.iter_mut().zip(datagram).for_each(|(to, from)| *to = *from);
        let [_, flags, ..] = &mut out;
        *flags = 0;
        out
    }
}

/// HS2: the responder's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hs2<'a> {
    /// The chosen version.
    pub version: u16,
    /// The initiator's session index.
    pub initiator: u32,
    /// The responder's session index.
    pub responder: u32,
    /// The first suite of HS1.
    pub suite: u8,
    /// Noise message 2.
    pub message: &'a [u8],
}

impl<'a> Hs2<'a> {
    /// Bytes before the Noise message.
    pub const HEADER_LEN: usize = 16;

    /// Bytes 0..16, which the encrypted parameters repeat.
    pub fn header(&self) -> [u8; 16] {
        let [v, w] = self.version.to_le_bytes();
        let [a, b, c, d] = self.initiator.to_le_bytes();
        let [p, q, r, s] = self.responder.to_le_bytes();
        [PacketType::Hs2.first_byte(), 0, v, w, a, b, c, d, p, q, r, s, self.suite, 0, 0, 0]
    }

    /// The packet's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::HEADER_LEN + self.message.len());
        out.extend_from_slice(&self.header());
        out.extend_from_slice(self.message);
        out
    }

    /// Reads a whole packet.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = packet::open(datagram, PacketType::Hs2)?;
        r.get_zero(1)?;
        let (version, initiator, responder) = (r.get_u16()?, r.get_u32()?, r.get_u32()?);
        let suite = r.get_u8()?;
        r.get_zero(3)?;
        Ok(Self { version, initiator, responder, suite, message: r.rest() })
    }
}

/// HS3: the initiator's proof, and room for its first frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hs3<'a> {
    /// The responder's session index.
    pub responder: u32,
    /// Noise message 3.
    pub message: &'a [u8],
}

impl<'a> Hs3<'a> {
    /// Bytes before the Noise message.
    pub const HEADER_LEN: usize = 8;

    /// The packet's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::HEADER_LEN + self.message.len());
        out.extend_from_slice(&[PacketType::Hs3.first_byte(), 0, 0, 0]);
        codec::put_u32(&mut out, self.responder);
        out.extend_from_slice(self.message);
        out
    }

    /// Reads a whole packet.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = packet::open(datagram, PacketType::Hs3)?;
        r.get_zero(3)?;
        Ok(Self { responder: r.get_u32()?, message: r.rest() })
    }
}

/// True if a datagram is an HS1 of a version that this crate does not speak: it may be answered
/// with VNEG once mac1 has verified.
pub fn is_foreign_hs1(datagram: &[u8]) -> bool {
    datagram.len() >= Hs1::MIN_LEN
        && datagram.first().is_some_and(|b| b >> 4 != VERSION && b & 0x0f == PacketType::Hs1 as u8)
}
