//! Records of REALM packets and RECORDS frames: hints about who is there and what they want.
//!
//! Each: `u8 type, vi len, bytes`.
//!
//! | type | name | fields |
//! |---|---|---|
//! | 00 | PADDING | zero bytes |
//! | 01 | BEACON | u16 port, u8 n ≤ 8, n × (u8 family 4/6, address), u8 len ≤ 63, name, u16 roles, u8 interface class, u64 membership hash, vi interest version, vi N, 16 B host id |
//! | 02 | MEMBER | u8 state, 16 B id, u64 incarnation, vi addr_version, u16 port, u8 n ≤ 8, n × (u8 family, address), vi interest version |
//! | 03 | INTEREST | [`Interest`], for the sender itself |
//! | 04 | SWIM | one packet of the membership protocol |
//! | 05 | AE_VECTOR | 64 × u64 bucket hashes |
//! | 06 | AE_BUCKET | u8 bucket, u8 n ≤ 48, n × (8 B of id, vi incarnation, vi addr_version, vi interest version) |
//! | 07 | AE_PULL | u8 n ≤ 64, n × (8 B of id, vi addr_version, vi interest version) |
//! | 08 | AE_INTEREST | 16 B id, u64 incarnation, then as INTEREST |
//! | 09 | HOLDINGS | as INTEREST, for topics this endpoint caches |
//! | 0A | PROFILE | [`entropy::Profile`] of a member, relayed |
//!
//! - **W-35** A receiver skips records of unknown type.
//! - **W-36** The fields of a record fill it; a receiver refuses a record with bytes left over.
//! - **W-37** A receiver ignores what follows a malformed record in the same packet or frame.
//! - **W-38** An endpoint's name has at most 63 bytes of UTF-8; it may be empty.
//! - **W-39** A record names at most 8 addresses.

pub mod entropy;
mod interest;
mod member;
pub mod swim;

use alloc::vec::Vec;

pub use interest::{Interest, MAX_FILTER, MAX_HASHES, MAX_PATTERN, MAX_PATTERNS};
pub use member::{Beacon, MAX_ADDRESSES, MAX_NAME, Member, Roles, roles};

use crate::Malformed;
use crate::codec::{self, Reader, vi_len};

/// Numbers of record types.
pub mod ty {
    /// [`Record::Padding`](super::Record::Padding)
    pub const PADDING: u8 = 0x00;
    /// [`Record::Beacon`](super::Record::Beacon)
    pub const BEACON: u8 = 0x01;
    /// [`Record::Member`](super::Record::Member)
    pub const MEMBER: u8 = 0x02;
    /// [`Record::Interest`](super::Record::Interest)
    pub const INTEREST: u8 = 0x03;
    /// [`Record::Swim`](super::Record::Swim)
    pub const SWIM: u8 = 0x04;
    /// [`Record::AeVector`](super::Record::AeVector)
    pub const AE_VECTOR: u8 = 0x05;
    /// [`Record::AeBucket`](super::Record::AeBucket)
    pub const AE_BUCKET: u8 = 0x06;
    /// [`Record::AePull`](super::Record::AePull)
    pub const AE_PULL: u8 = 0x07;
    /// [`Record::AeInterest`](super::Record::AeInterest)
    pub const AE_INTEREST: u8 = 0x08;
    /// [`Record::Holdings`](super::Record::Holdings)
    pub const HOLDINGS: u8 = 0x09;
    /// [`Record::Profile`](super::Record::Profile)
    pub const PROFILE: u8 = 0x0a;
}

/// One record. Those that hold bytes are taken apart by the layer that uses them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    /// Zeros.
    Padding,
    /// "I am here."
    Beacon(Beacon),
    /// "They are there."
    Member(Member),
    /// "I want these."
    Interest(Interest),
    /// One packet of the membership protocol.
    Swim(&'a [u8]),
    /// Hashes of 64 buckets.
    AeVector(&'a [u8]),
    /// What a bucket holds.
    AeBucket(&'a [u8]),
    /// What is asked for.
    AePull(&'a [u8]),
    /// The interest of another, relayed.
    AeInterest(&'a [u8]),
    /// "I keep these."
    Holdings(&'a [u8]),
    /// All that is told of a member beside its interest.
    Profile(entropy::Profile),
    /// A type that is not known here; encoded as an empty record.
    Unknown(u8),
}

impl Record<'_> {
    /// Appends the record. PADDING is written empty: see [`put_padding`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (ty, bytes) = match self {
            Self::Padding => (ty::PADDING, &[][..]),
            Self::Beacon(beacon) => {
                return put_record(out, ty::BEACON, |out| beacon.encode(out));
            }
            Self::Member(member) => {
                return put_record(out, ty::MEMBER, |out| member.encode(out));
            }
            Self::Interest(interest) => {
                return put_record(out, ty::INTEREST, |out| interest.encode(out));
            }
            Self::Swim(bytes) => (ty::SWIM, *bytes),
            Self::AeVector(bytes) => (ty::AE_VECTOR, *bytes),
            Self::AeBucket(bytes) => (ty::AE_BUCKET, *bytes),
            Self::AePull(bytes) => (ty::AE_PULL, *bytes),
            Self::AeInterest(bytes) => (ty::AE_INTEREST, *bytes),
            Self::Holdings(bytes) => (ty::HOLDINGS, *bytes),
            Self::Profile(profile) => {
                return put_record(out, ty::PROFILE, |out| profile.encode(out));
            }
            Self::Unknown(ty) => (*ty, &[][..]),
        };
        out.push(ty);
        codec::put_vi_bytes(out, bytes);
    }
}

/// The records of a REALM packet or a RECORDS frame, in order. Ends after the first error (W-37).
#[derive(Clone, Debug)]
pub struct Records<'a> {
    reader: Reader<'a>,
}

impl<'a> Records<'a> {
    /// Reads the plaintext of a REALM packet or the bytes of a RECORDS frame.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes) }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let record = record(&mut self.reader);
        if record.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(record)
    }
}

fn record<'a>(r: &mut Reader<'a>) -> Result<Record<'a>, Malformed> {
    let ty = r.get_u8()?;
    let mut fields = Reader::new(r.get_vi_bytes(usize::MAX)?);
    let record = match ty {
        ty::BEACON => Record::Beacon(Beacon::decode(&mut fields)?),
        ty::MEMBER => Record::Member(Member::decode(&mut fields)?),
        ty::INTEREST => Record::Interest(Interest::decode(&mut fields)?),
        ty::SWIM => Record::Swim(fields.rest()),
        ty::AE_VECTOR => Record::AeVector(fields.rest()),
        ty::AE_BUCKET => Record::AeBucket(fields.rest()),
        ty::AE_PULL => Record::AePull(fields.rest()),
        ty::AE_INTEREST => Record::AeInterest(fields.rest()),
        ty::HOLDINGS => Record::Holdings(fields.rest()),
        ty::PROFILE => Record::Profile(entropy::Profile::decode(&mut fields)?),
        ty::PADDING => return Ok(Record::Padding),
        _ => return Ok(Record::Unknown(ty)),
    };
    fields.finish().map(|()| record)
}

/// Appends `type, vi len` and the fields that `fields` appends.
pub fn put_record(out: &mut Vec<u8>, ty: u8, fields: impl FnOnce(&mut Vec<u8>)) {
    out.push(ty);
    let start = out.len();
    fields(out);
    let len = out.len().saturating_sub(start);
    codec::put_vi(out, len as u64);
    if let Some(tail) = out.get_mut(start..) {
        tail.rotate_right(vi_len(len as u64));
    }
}

/// Appends a PADDING record of exactly `n` bytes in all; nothing if `n` is below 2, the least that
/// a record takes.
pub fn put_padding(out: &mut Vec<u8>, n: usize) {
    let widths = [1, 2, 4, 8].into_iter();
    let fits = |width: &usize| {
        n.checked_sub(1 + width).is_some_and(|zeros| vi_len(zeros as u64) <= *width)
    };
    let Some(width) = widths.into_iter().find(fits) else { return };
    let end = out.len() + n;
    out.push(ty::PADDING);
    codec::put_vi_wide(out, (n - 1 - width) as u64, width);
    out.resize(end, 0);
}
