//! INQUIRY and FINDING: whether a server has what a key stands for, and its promise not to begin it
//! for anybody who asked earlier (V-40 … V-42).

use alloc::vec::Vec;

use super::{MAX_IDEMPOTENCY_KEY, MAX_SERVICE, get_text, kind, put_text, start};
use crate::Malformed;
use crate::codec::{self, Reader};

/// "Have you got this key? If not, begin it for nobody who asked before."
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inquiry<'a> {
    /// Orders the questions of one endpoint about one key; higher is later. It comes back.
    pub number: u64,
    /// For how long the promise is needed, in µs.
    pub remaining_us: u64,
    /// The endpoint whose key it is.
    pub origin: [u8; 16],
    /// Which service.
    pub service: &'a str,
    /// The idempotency key.
    pub key: &'a [u8],
}

impl<'a> Inquiry<'a> {
    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        start(out, kind::INQUIRY);
        codec::put_vi(out, self.number);
        codec::put_vi(out, self.remaining_us);
        out.extend_from_slice(&self.origin);
        put_text(out, self.service, MAX_SERVICE);
        codec::put_vi_bytes(out, self.key);
    }

    pub(super) fn decode(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            number: r.get_vi()?,
            remaining_us: r.get_vi()?,
            origin: *r.get_array()?,
            service: get_text(r, MAX_SERVICE)?,
            key: r.get_vi_bytes(MAX_IDEMPOTENCY_KEY)?,
        })
    }
}

/// What a server found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// It has not begun it, and begins it only for who asked, or for who asks later.
    Promised,
    /// It waits, runs, or was done here.
    Here,
    /// It has not begun it, and has promised it to another, or by a later question.
    Elsewhere,
}

/// The answer to an INQUIRY.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finding {
    /// That of the question.
    pub number: u64,
    /// What was found.
    pub found: Found,
    /// The highest number that was promised.
    pub promised: u64,
}

impl Finding {
    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        start(out, kind::FINDING);
        codec::put_vi(out, self.number);
        out.push(match self.found {
            Found::Promised => 0,
            Found::Here => 1,
            Found::Elsewhere => 2,
        });
        codec::put_vi(out, self.promised);
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let number = r.get_vi()?;
        let found = match r.get_u8()? {
            0 => Found::Promised,
            1 => Found::Here,
            2 => Found::Elsewhere,
            _ => return Err(Malformed::Range),
        };
        Ok(Self { number, found, promised: r.get_vi()? })
    }
}
