//! Numbers and bytes: the alphabet that all other modules write in.
//!
//! | form | bytes |
//! |---|---|
//! | `u8`, `u16`, `u32`, `u64` | fixed, little-endian |
//! | `vi` | 1, 2, 4 or 8 bytes, big-endian, the top two bits name the length (RFC 9000 §16) |
//!
//! - **W-1** A fixed integer is little-endian.
//! - **W-2** A `vi` is at most 2^62 − 1; a receiver accepts one that is longer than it need be.
//! - **W-3** A receiver refuses a length above the bytes that remain, and compares
//!   `len <= total - offset`, never `offset + len <= total`.
//! - **W-4** A receiver refuses a list above its maximum, and allocates only as bytes arrive.

use alloc::{string::String, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{EndpointId, EndpointKey, Malformed};

/// The largest number a `vi` can hold: 2^62 − 1 (RFC 9000 §16).
pub const MAX_VI: u64 = (1 << 62) - 1;

/// Reads received bytes from the front. Every `get_*` either takes its bytes or leaves an error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// True if no byte is left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes left.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes left, without taking them.
    #[inline]
    pub fn peek(&self) -> &'a [u8] {
        self.bytes
    }

    /// Takes all bytes that are left.
    #[inline]
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.bytes)
    }

    /// Ends the reading: [`Malformed::Trailing`] if a byte is left.
    pub fn finish(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
    }

    /// Takes `n` bytes; [`Malformed::Short`] if fewer are left.
    #[inline]
    pub fn get_bytes(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.bytes.split_at_checked(n).ok_or(Malformed::Short)?;
        self.bytes = tail;
        Ok(head)
    }

    /// Takes `N` bytes as an array; [`Malformed::Short`] if fewer are left.
    #[inline]
    pub fn get_array<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        let (head, tail) = self.bytes.split_first_chunk().ok_or(Malformed::Short)?;
        self.bytes = tail;
        Ok(head)
    }

    /// Takes one byte.
    #[inline]
    pub fn get_u8(&mut self) -> Result<u8, Malformed> {
        self.get_array::<1>().map(|[byte]| *byte)
    }

    /// Takes two bytes.
    pub fn get_u16(&mut self) -> Result<u16, Malformed> {
        self.get_array().map(|bytes| u16::from_le_bytes(*bytes))
    }

    /// Takes four bytes.
    pub fn get_u32(&mut self) -> Result<u32, Malformed> {
        self.get_array().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// Takes eight bytes.
    pub fn get_u64(&mut self) -> Result<u64, Malformed> {
        self.get_array().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// Takes a `vi` of 1 to 8 bytes (W-2).
    #[inline]
    pub fn get_vi(&mut self) -> Result<u64, Malformed> {
        let first = self.get_u8()?;
        let more = (1_usize << (first >> 6)) - 1;
        let head = u64::from(first & 0x3f);
        Ok(self.get_bytes(more)?.iter().fold(head, |v, byte| v << 8 | u64::from(*byte)))
    }

    /// Takes a `vi` that must fit a stream id; [`Malformed::Range`] otherwise.
    pub fn get_vi_u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.get_vi()?).map_err(|_| Malformed::Range)
    }

    /// Takes a `vi` that counts items; [`Malformed::Count`] above `max`.
    pub fn get_count(&mut self, max: usize) -> Result<usize, Malformed> {
        usize::try_from(self.get_vi()?).ok().filter(|n| *n <= max).ok_or(Malformed::Count)
    }

    /// Takes a `vi` length and that many bytes; [`Malformed::Length`] above `max`.
    #[inline]
    pub fn get_vi_bytes(&mut self, max: usize) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.get_vi()?).map_err(|_| Malformed::Length)?;
        if len > max {
            return Err(Malformed::Length);
        }
        self.get_bytes(len)
    }

    /// Takes a byte of which only the bits of `mask` may be set; [`Malformed::Flags`] otherwise.
    pub fn get_flags(&mut self, mask: u8) -> Result<u8, Malformed> {
        let flags = self.get_u8()?;
        if flags & !mask == 0 { Ok(flags) } else { Err(Malformed::Flags) }
    }

    /// Takes `n` reserved bytes; [`Malformed::Flags`] unless all are zero.
    pub fn get_zero(&mut self, n: usize) -> Result<(), Malformed> {
        if self.get_bytes(n)?.iter().all(|byte| *byte == 0) {
            Ok(())
        } else {
            Err(Malformed::Flags)
        }
    }

    /// Takes the 16 bytes of an identity.
    pub fn get_id(&mut self) -> Result<EndpointId, Malformed> {
        self.get_array().map(|id| EndpointId(*id))
    }

    /// Takes the 24 bytes of an identity and its incarnation.
    pub fn get_key(&mut self) -> Result<EndpointKey, Malformed> {
        Ok(EndpointKey { id: self.get_id()?, incarnation: self.get_u64()? })
    }

    /// Takes `u8 n`, then n × (`u8` family 4 or 6, 4 or 16 bytes); [`Malformed::Count`] above `max`.
    pub fn get_addresses(&mut self, max: u8) -> Result<Vec<IpAddr>, Malformed> {
        let n = self.get_u8()?;
        if n > max {
            return Err(Malformed::Count);
        }
        (0..n).map(|_| self.get_address()).collect()
    }

    /// Takes `u8` family 4 or 6 and an address.
    pub fn get_address(&mut self) -> Result<IpAddr, Malformed> {
        match self.get_u8()? {
            4 => self.get_array::<4>().map(|v4| IpAddr::V4(Ipv4Addr::from(*v4))),
            6 => self.get_array::<16>().map(|v6| IpAddr::V6(Ipv6Addr::from(*v6))),
            _ => Err(Malformed::Address),
        }
    }
}

/// Bytes as text; [`Malformed::Text`] if they are not UTF-8.
pub fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    core::str::from_utf8(bytes).map_err(|_| Malformed::Text)
}

/// As [`text`], owned.
pub(crate) fn owned(bytes: &[u8]) -> Result<String, Malformed> {
    text(bytes).map(String::from)
}

/// Appends two bytes.
pub fn put_u16(out: &mut Vec<u8>, v: u16) {
    out.extend_from_slice(&v.to_le_bytes());
}

/// Appends four bytes.
pub fn put_u32(out: &mut Vec<u8>, v: u32) {
    out.extend_from_slice(&v.to_le_bytes());
}

/// Appends eight bytes.
pub fn put_u64(out: &mut Vec<u8>, v: u64) {
    out.extend_from_slice(&v.to_le_bytes());
}

/// Appends the shortest `vi` of `v`; a number above [`MAX_VI`] is written as [`MAX_VI`].
#[inline]
pub fn put_vi(out: &mut Vec<u8>, v: u64) {
    put_vi_wide(out, v, vi_len(v));
}

/// Appends `v` as a `vi` of `width` bytes (1, 2, 4 or 8), which must hold it.
#[inline]
pub(crate) fn put_vi_wide(out: &mut Vec<u8>, v: u64, width: usize) {
    let v = v.min(MAX_VI);
    match width {
        1 => out.push(v as u8),
        2 => out.extend_from_slice(&(v as u16 | 1 << 14).to_be_bytes()),
        4 => out.extend_from_slice(&(v as u32 | 2 << 30).to_be_bytes()),
        _ => out.extend_from_slice(&(v | 3 << 62).to_be_bytes()),
    }
}

/// Bytes that [`put_vi`] appends: 1, 2, 4 or 8.
#[inline]
pub fn vi_len(v: u64) -> usize {
    match v {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

/// Appends a `vi` length and the bytes.
#[inline]
pub fn put_vi_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_vi(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends the 24 bytes of an identity and its incarnation.
pub fn put_key(out: &mut Vec<u8>, key: &EndpointKey) {
    out.extend_from_slice(&key.id.0);
    put_u64(out, key.incarnation);
}

/// Appends `u8 n` and the first `max` addresses.
pub fn put_addresses(out: &mut Vec<u8>, addresses: &[IpAddr], max: u8) {
    out.push(addresses.len().min(usize::from(max)) as u8);
    addresses.iter().take(usize::from(max)).for_each(|address| put_address(out, address));
}

/// Appends `u8` family and the address.
pub fn put_address(out: &mut Vec<u8>, address: &IpAddr) {
    match address {
        IpAddr::V4(v4) => {
            out.push(4);
            out.extend_from_slice(&v4.octets());
        }
        IpAddr::V6(v6) => {
            out.push(6);
            out.extend_from_slice(&v6.octets());
        }
    }
}
