//! Who is there: BEACON and MEMBER. The tables are in [`record`](crate::record).

use alloc::{string::String, vec::Vec};
use core::net::IpAddr;

use crate::codec::{self, Reader};
use crate::{EndpointKey, Malformed};

/// Bytes that an endpoint's name can have.
pub const MAX_NAME: usize = 63;
/// Addresses that a record can name.
pub const MAX_ADDRESSES: u8 = 8;

/// The bits of [`Roles`].
pub mod roles {
    /// Answers newcomers with the members it knows.
    pub const SEED: u16 = 1;
    /// Keeps messages for late joiners.
    pub const CACHE: u16 = 2;
    /// Joins two sites.
    pub const GATEWAY: u16 = 4;
    /// Publishes nothing, so interests need not be told to it.
    pub const NO_WRITER: u16 = 8;
    /// Looks on, and is not counted as a member.
    pub const OBSERVER: u16 = 16;
}

/// What an endpoint does beside publishing and subscribing: bits of [`roles`]. Unknown bits are
/// kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Roles(pub u16);

impl Roles {
    /// True if all bits of `role` are set.
    pub fn has(self, role: u16) -> bool {
        self.0 & role == role
    }
}

/// What an endpoint says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Beacon {
    /// UDP port at all addresses.
    pub port: u16,
    /// At most [`MAX_ADDRESSES`].
    pub addresses: Vec<IpAddr>,
    /// At most [`MAX_NAME`] bytes; not unique.
    pub name: String,
    /// What it does.
    pub roles: Roles,
    /// Kind of interface: wired, wifi or loopback.
    pub interface_class: u8,
    /// Hash over the members it knows.
    pub membership_hash: u64,
    /// Version of its interest set.
    pub interest_version: u64,
    /// N: members it knows, itself included.
    pub members: u64,
    /// Equal on two endpoints of one host.
    pub host_id: [u8; 16],
}

impl Beacon {
    /// Appends the fields, without the record's type and length. Addresses above the maximum are
    /// left out, a name is cut at the last character that fits.
    pub fn encode(&self, out: &mut Vec<u8>) {
        codec::put_u16(out, self.port);
        codec::put_addresses(out, &self.addresses, MAX_ADDRESSES);
        let end = (0..=MAX_NAME).rev().find(|at| self.name.get(..*at).is_some());
        let name = end.and_then(|at| self.name.get(..at)).filter(|_| self.name.len() > MAX_NAME);
        let name = name.unwrap_or(&self.name);
        out.push(name.len() as u8);
        out.extend_from_slice(name.as_bytes());
        codec::put_u16(out, self.roles.0);
        out.push(self.interface_class);
        codec::put_u64(out, self.membership_hash);
        codec::put_vi(out, self.interest_version);
        codec::put_vi(out, self.members);
        out.extend_from_slice(&self.host_id);
    }

    /// Takes the fields.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (port, addresses) = (r.get_u16()?, r.get_addresses(MAX_ADDRESSES)?);
        let len = usize::from(r.get_u8()?);
        if len > MAX_NAME {
            return Err(Malformed::Name);
        }
        Ok(Self {
            port,
            addresses,
            name: codec::owned(r.get_bytes(len)?)?,
            roles: Roles(r.get_u16()?),
            interface_class: r.get_u8()?,
            membership_hash: r.get_u64()?,
            interest_version: r.get_vi()?,
            members: r.get_vi()?,
            host_id: *r.get_array()?,
        })
    }
}

/// What an endpoint says of another.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Member {
    /// Alive, suspect or gone, as the membership layer numbers it.
    pub state: u8,
    /// Who.
    pub key: EndpointKey,
    /// Rises when the addresses change.
    pub addr_version: u64,
    /// UDP port at all addresses.
    pub port: u16,
    /// At most [`MAX_ADDRESSES`].
    pub addresses: Vec<IpAddr>,
    /// Version of its interest set.
    pub interest_version: u64,
}

impl Member {
    /// Appends the fields, without the record's type and length. Addresses above the maximum are
    /// left out.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.state);
        codec::put_key(out, &self.key);
        codec::put_vi(out, self.addr_version);
        codec::put_u16(out, self.port);
        codec::put_addresses(out, &self.addresses, MAX_ADDRESSES);
        codec::put_vi(out, self.interest_version);
    }

    /// Takes the fields.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            state: r.get_u8()?,
            key: r.get_key()?,
            addr_version: r.get_vi()?,
            port: r.get_u16()?,
            addresses: r.get_addresses(MAX_ADDRESSES)?,
            interest_version: r.get_vi()?,
        })
    }
}
