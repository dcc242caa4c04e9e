//! The encrypted parameters of HS2 and HS3: TLVs of `u8 type, vi len, value`.
//!
//! | type | value | type | value |
//! |---|---|---|---|
//! | 01 | name, UTF-8 ≤ 63 B | 0A | 4 × u8 own suites |
//! | 02 | 16 B host id | 0B | repeated header ≤ 16 B |
//! | 03 | path of the shared-memory socket ≤ 255 B | 0C | 16 B reset token |
//! | 04 | u16 max datagram | 0D | u64 wall clock, ms |
//! | 05 | vi credit bytes | 0E | u8 interface class |
//! | 06 | vi credit packets | 0F | u16 roles |
//! | 07 | vi idle timeout, ms | 10 | Ed25519 key and signature |
//! | 08 | u64 feature bitmap | 11 | ACL certificate |
//! | 09 | u16 own version bitmap | 12 | u64 incarnation |
//!
//! - **W-17** A receiver skips parameters of unknown type.
//! - **W-18** A receiver refuses parameters in which a known type comes twice.
//! - **W-19** A parameter that is left out has the value zero, or is absent.
//! - **W-20** The value of a parameter is at most 4,096 bytes, and its fields fill it.

use alloc::{string::String, vec::Vec};

use crate::Malformed;
use crate::codec::{self, Reader};
use crate::record::MAX_NAME;

/// Bytes that the value of one parameter can have.
pub const MAX_VALUE: usize = 4_096;
/// Bytes of a socket's path.
const MAX_PATH: usize = 255;
/// Bytes of a repeated header: those of HS2.
const MAX_HEADER: usize = 16;

/// What each side tells the other under encryption.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Params {
    /// The endpoint's name, at most 63 bytes.
    pub name: String,
    /// Equal on two endpoints of one host.
    pub host_id: [u8; 16],
    /// Where shared memory is offered, at most 255 bytes.
    pub shm_path: Option<String>,
    /// Largest datagram that this side takes, in bytes.
    pub max_datagram: u16,
    /// Session credit in bytes.
    pub credit_bytes: u64,
    /// Session credit in packets.
    pub credit_packets: u64,
    /// Silence after which this side gives up, in ms.
    pub idle_timeout_ms: u64,
    /// Bitmap of optional features.
    pub features: u64,
    /// This side's own versions (W-10), against a downgrade.
    pub versions: u16,
    /// This side's own suites, against a downgrade.
    pub suites: [u8; 4],
    /// HS2's bytes 0..16 again, at most 16 bytes.
    pub header: Vec<u8>,
    /// The token by which a RESET of this side is believed.
    pub reset_token: [u8; 16],
    /// Wall clock, ms since 1970.
    pub wall_ms: u64,
    /// Kind of interface: wired, wifi or loopback.
    pub interface_class: u8,
    /// Bits of [`roles`](crate::record::roles).
    pub roles: u16,
    /// Ed25519 public key and its signature.
    pub signing: Option<Vec<u8>>,
    /// ACL certificate.
    pub certificate: Option<Vec<u8>>,
    /// This side's incarnation: HS2 has no other place for the responder's.
    pub incarnation: u64,
}

impl Params {
    /// The parameters' bytes. What is zero or absent is left out.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, 0x01, self.name.as_bytes());
        put_nonzero(&mut out, 0x02, &self.host_id);
        put_some(&mut out, 0x03, self.shm_path.as_ref().map(|path| path.as_bytes()));
        put_nonzero(&mut out, 0x04, &self.max_datagram.to_le_bytes());
        put_number(&mut out, 0x05, self.credit_bytes);
        put_number(&mut out, 0x06, self.credit_packets);
        put_number(&mut out, 0x07, self.idle_timeout_ms);
        put_nonzero(&mut out, 0x08, &self.features.to_le_bytes());
        put_nonzero(&mut out, 0x09, &self.versions.to_le_bytes());
        put_nonzero(&mut out, 0x0a, &self.suites);
        put(&mut out, 0x0b, &self.header);
        put_nonzero(&mut out, 0x0c, &self.reset_token);
        put_nonzero(&mut out, 0x0d, &self.wall_ms.to_le_bytes());
        put_nonzero(&mut out, 0x0e, &[self.interface_class]);
        put_nonzero(&mut out, 0x0f, &self.roles.to_le_bytes());
        put_some(&mut out, 0x10, self.signing.as_deref());
        put_some(&mut out, 0x11, self.certificate.as_deref());
        put_nonzero(&mut out, 0x12, &self.incarnation.to_le_bytes());
        out
    }

    /// Reads parameters that fill `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let mut params = Self::default();
        let mut seen = 0_u32;
        while !r.is_empty() {
            let ty = r.get_u8()?;
            let mut value = Reader::new(r.get_vi_bytes(MAX_VALUE)?);
            if !params.set(ty, &mut value)? {
                continue;
            }
            value.finish()?;
            if seen & 1 << ty != 0 {
                return Err(Malformed::Duplicate);
            }
            seen |= 1 << ty;
        }
        Ok(params)
    }

    /// Reads one value; false if the type is unknown. Known types are below 32.
    fn set(&mut self, ty: u8, v: &mut Reader<'_>) -> Result<bool, Malformed> {
        match ty {
            0x01 => self.name = codec::owned(bounded(v, MAX_NAME, Malformed::Name)?)?,
            0x02 => self.host_id = *v.get_array()?,
            0x03 => {
                self.shm_path = Some(codec::owned(bounded(v, MAX_PATH, Malformed::Length)?)?);
            }
            0x04 => self.max_datagram = v.get_u16()?,
            0x05 => self.credit_bytes = v.get_vi()?,
            0x06 => self.credit_packets = v.get_vi()?,
            0x07 => self.idle_timeout_ms = v.get_vi()?,
            0x08 => self.features = v.get_u64()?,
            0x09 => self.versions = v.get_u16()?,
            0x0a => self.suites = *v.get_array()?,
            0x0b => self.header = bounded(v, MAX_HEADER, Malformed::Length)?.to_vec(),
            0x0c => self.reset_token = *v.get_array()?,
            0x0d => self.wall_ms = v.get_u64()?,
            0x0e => self.interface_class = v.get_u8()?,
            0x0f => self.roles = v.get_u16()?,
            0x10 => self.signing = Some(v.rest().to_vec()),
            0x11 => self.certificate = Some(v.rest().to_vec()),
            0x12 => self.incarnation = v.get_u64()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Takes all of a value, or says which limit it breaks.
fn bounded<'a>(v: &mut Reader<'a>, max: usize, rule: Malformed) -> Result<&'a [u8], Malformed> {
    let bytes = v.rest();
    if bytes.len() <= max { Ok(bytes) } else { Err(rule) }
}

fn put_some(out: &mut Vec<u8>, ty: u8, value: Option<&[u8]>) {
    if let Some(value) = value {
        out.push(ty);
        codec::put_vi_bytes(out, value);
    }
}

fn put(out: &mut Vec<u8>, ty: u8, value: &[u8]) {
    put_some(out, ty, Some(value).filter(|value| !value.is_empty()));
}

fn put_nonzero(out: &mut Vec<u8>, ty: u8, value: &[u8]) {
    put_some(out, ty, Some(value).filter(|value| value.iter().any(|byte| *byte != 0)));
}

fn put_number(out: &mut Vec<u8>, ty: u8, v: u64) {
    if v != 0 {
        out.push(ty);
        codec::put_vi(out, codec::vi_len(v) as u64);
        codec::put_vi(out, v);
    }
}
