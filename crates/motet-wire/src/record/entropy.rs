//! Anti-entropy: what two members compare so that both know the same of all (M-2).
//!
//! | record | fields |
//! |---|---|
//! | AE_VECTOR | 64 × u64: a hash of all entries whose id begins with these six bits |
//! | AE_BUCKET | u8 bucket ≤ 63, u8 n ≤ 48, n × entry |
//! | entry | first 8 B of the id, vi incarnation, vi addr_version, vi interest version |
//! | AE_PULL | u8 n ≤ 64, n × (first 8 B of the id, vi known addr_version, vi known interest version) |
//! | AE_INTEREST | 16 B id, u64 incarnation, INTEREST |
//! | PROFILE | member as SWIM, vi addr_version, u8 n ≤ 8, n × address, u8 len ≤ 63, name, u16 roles, 16 B host id, vi interest version, u8 n ≤ 16, n × (u8 len ≤ 32, key, u8 len ≤ 64, value) |

use alloc::{string::String, vec::Vec};
use core::net::IpAddr;

use super::swim::SwimMember;
use super::{MAX_ADDRESSES, MAX_NAME, Roles};
use crate::codec::{self, Reader};
use crate::{EndpointKey, Malformed};

/// Buckets of an AE_VECTOR.
pub const BUCKETS: usize = 64;
/// Entries that one AE_BUCKET names: they fit a packet of 1,200 bytes.
pub const MAX_ENTRIES: usize = 48;
/// Entries that one AE_PULL names.
pub const MAX_PULLS: usize = 64;
/// Tags of an endpoint.
pub const MAX_TAGS: usize = 16;
/// Bytes of a tag's key.
pub const MAX_TAG_KEY: usize = 32;
/// Bytes of a tag's value.
pub const MAX_TAG_VALUE: usize = 64;

/// Tags: keys and values.
pub type Tags = Vec<(String, String)>;

/// What is compared of a member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AeEntry {
    /// First 8 bytes of its id.
    pub id: [u8; 8],
    /// Its incarnation.
    pub incarnation: u64,
    /// Version of its profile.
    pub addr_version: u64,
    /// Version of its interest set.
    pub interest_version: u64,
}

/// What is asked for, and what is known already.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AePull {
    /// First 8 bytes of its id.
    pub id: [u8; 8],
    /// The version of its profile that is known; 0 is none.
    pub addr_version: u64,
    /// The version of its interest set that is known; 0 is none.
    pub interest_version: u64,
}

/// All that members tell each other of a member beside its interest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// Who, where, and how it stands.
    pub member: SwimMember,
    /// Rises with every change of what stands below.
    pub addr_version: u64,
    /// All its addresses; the port is that of `member`.
    pub addresses: Vec<IpAddr>,
    /// Its name.
    pub name: String,
    /// What it does.
    pub roles: Roles,
    /// Equal on two endpoints of one host.
    pub host_id: [u8; 16],
    /// Version of its interest set that the teller knows of.
    pub interest_version: u64,
    /// What its owner says of it.
    pub tags: Tags,
}

/// Takes the hashes of an AE_VECTOR that fills `bytes`.
///
/// # Errors
/// The rule that it breaks (M-2).
pub fn decode_vector(bytes: &[u8]) -> Result<[u64; BUCKETS], Malformed> {
    let mut r = Reader::new(bytes);
    let mut hashes = [0; BUCKETS];
    for hash in &mut hashes {
        *hash = r.get_u64()?;
    }
    r.finish().map(|()| hashes)
}

/// The bytes of an AE_VECTOR.
pub fn encode_vector(hashes: &[u64; BUCKETS]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 * BUCKETS);
    hashes.iter().for_each(|hash| codec::put_u64(&mut out, *hash));
    out
}

/// Takes an AE_BUCKET that fills `bytes`.
///
/// # Errors
/// The rule that it breaks (M-2).
pub fn decode_bucket(bytes: &[u8]) -> Result<(u8, Vec<AeEntry>), Malformed> {
    let mut r = Reader::new(bytes);
    let bucket = r.get_u8()?;
    if usize::from(bucket) >= BUCKETS {
        return Err(Malformed::Range);
    }
    let n = count(&mut r, MAX_ENTRIES)?;
    let mut entries = Vec::new();
    for _ in 0..n {
        entries.push(AeEntry {
            id: *r.get_array()?,
            incarnation: r.get_vi()?,
            addr_version: r.get_vi()?,
            interest_version: r.get_vi()?,
        });
    }
    r.finish().map(|()| (bucket, entries))
}

/// The bytes of an AE_BUCKET. Entries above [`MAX_ENTRIES`] are left out.
pub fn encode_bucket(bucket: u8, entries: &[AeEntry]) -> Vec<u8> {
    let n = entries.len().min(MAX_ENTRIES);
    let mut out = alloc::vec![bucket, n as u8];
    for entry in entries.iter().take(n) {
        out.extend_from_slice(&entry.id);
        codec::put_vi(&mut out, entry.incarnation);
        codec::put_vi(&mut out, entry.addr_version);
        codec::put_vi(&mut out, entry.interest_version);
    }
    out
}

/// Takes an AE_PULL that fills `bytes`.
///
/// # Errors
/// The rule that it breaks (M-2).
pub fn decode_pull(bytes: &[u8]) -> Result<Vec<AePull>, Malformed> {
    let mut r = Reader::new(bytes);
    let n = count(&mut r, MAX_PULLS)?;
    let mut pulls = Vec::new();
    for _ in 0..n {
        pulls.push(AePull {
            id: *r.get_array()?,
            addr_version: r.get_vi()?,
            interest_version: r.get_vi()?,
        });
    }
    r.finish().map(|()| pulls)
}

/// The bytes of an AE_PULL. What is above [`MAX_PULLS`] is left out.
pub fn encode_pull(pulls: &[AePull]) -> Vec<u8> {
    let n = pulls.len().min(MAX_PULLS);
    let mut out = alloc::vec![n as u8];
    for pull in pulls.iter().take(n) {
        out.extend_from_slice(&pull.id);
        codec::put_vi(&mut out, pull.addr_version);
        codec::put_vi(&mut out, pull.interest_version);
    }
    out
}

/// Takes an AE_INTEREST that fills `bytes`.
///
/// # Errors
/// The rule that it breaks (M-2).
pub fn decode_interest(bytes: &[u8]) -> Result<(EndpointKey, super::Interest), Malformed> {
    let mut r = Reader::new(bytes);
    let relayed = (r.get_key()?, super::Interest::decode(&mut r)?);
    r.finish().map(|()| relayed)
}

/// The bytes of an AE_INTEREST.
pub fn encode_interest(key: &EndpointKey, interest: &super::Interest) -> Vec<u8> {
    let mut out = Vec::new();
    codec::put_key(&mut out, key);
    interest.encode(&mut out);
    out
}

impl Profile {
    /// Appends the fields, without the record's type and length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.member.encode(out);
        codec::put_vi(out, self.addr_version);
        codec::put_addresses(out, &self.addresses, MAX_ADDRESSES);
        put_text(out, &self.name, MAX_NAME);
        codec::put_u16(out, self.roles.0);
        out.extend_from_slice(&self.host_id);
        codec::put_vi(out, self.interest_version);
        put_tags(out, &self.tags);
    }

    /// Takes the fields.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            member: SwimMember::decode(r)?,
            addr_version: r.get_vi()?,
            addresses: r.get_addresses(MAX_ADDRESSES)?,
            name: get_text(r, MAX_NAME)?,
            roles: Roles(r.get_u16()?),
            host_id: *r.get_array()?,
            interest_version: r.get_vi()?,
            tags: get_tags(r)?,
        })
    }
}

/// Appends tags. Those above [`MAX_TAGS`] are left out, texts are cut.
pub fn put_tags(out: &mut Vec<u8>, tags: &Tags) {
    let n = tags.len().min(MAX_TAGS);
    out.push(n as u8);
    for (key, value) in tags.iter().take(n) {
        put_text(out, key, MAX_TAG_KEY);
        put_text(out, value, MAX_TAG_VALUE);
    }
}

/// Takes tags.
///
/// # Errors
/// The rule that they break (M-2).
pub fn get_tags(r: &mut Reader<'_>) -> Result<Tags, Malformed> {
    let n = count(r, MAX_TAGS)?;
    let mut tags = Tags::new();
    for _ in 0..n {
        tags.push((get_text(r, MAX_TAG_KEY)?, get_text(r, MAX_TAG_VALUE)?));
    }
    Ok(tags)
}

fn count(r: &mut Reader<'_>, max: usize) -> Result<usize, Malformed> {
    let n = usize::from(r.get_u8()?);
    if n <= max { Ok(n) } else { Err(Malformed::Count) }
}

fn get_text(r: &mut Reader<'_>, max: usize) -> Result<String, Malformed> {
    let len = usize::from(r.get_u8()?);
    if len > max {
        return Err(Malformed::Name);
    }
    codec::owned(r.get_bytes(len)?)
}

fn put_text(out: &mut Vec<u8>, text: &str, max: usize) {
    let end = (0..=max.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let text = text.get(..end).unwrap_or("");
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}
