//! The bytes of a message: what travels with the payload.
//!
//! | field | when |
//! |---|---|
//! | u8 flags: b0 key, b1 headers | always |
//! | vi len ≤ 1,024, key | b0 |
//! | vi n ≤ 64, n × (vi len, name; vi len, value) | b1 |
//! | payload | always, to the end |
//!
//! - **W-33** Other bits of the flags are zero; a receiver refuses a message in which one is set.
//! - **W-34** A key has at most 1,024 bytes, a message at most 64 headers; names and values are UTF-8.

use alloc::vec::Vec;

use crate::Malformed;
use crate::codec::{self, Reader, vi_len};

/// Bytes that a key can have.
pub const MAX_KEY: usize = 1_024;
/// Headers that a message can have.
pub const MAX_HEADERS: usize = 64;

const KEY: u8 = 1;
const HEADERS: u8 = 2;

/// A message, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope<'a> {
    /// What keep-last and conflation go by.
    pub key: Option<&'a [u8]>,
    /// Names and values.
    pub headers: Headers<'a>,
    /// What the publisher gave.
    pub payload: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Takes a message apart.
    #[inline]
    pub fn decode(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(message);
        let flags = r.get_flags(KEY | HEADERS)?;
        let key = if flags & KEY != 0 { Some(r.get_vi_bytes(MAX_KEY)?) } else { None };
        let headers = if flags & HEADERS != 0 { Headers::decode(&mut r)? } else { Headers::NONE };
        Ok(Self { key, headers, payload: r.rest() })
    }

    /// Has neither key nor headers: its payload is all but the first byte.
    #[inline]
    pub fn is_plain(message: &[u8]) -> bool {
        message.first() == Some(&0)
    }
}

/// The headers of a message, in order. Checked when decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Headers<'a> {
    reader: &'a [u8],
    left: u8,
}

impl<'a> Headers<'a> {
    const NONE: Headers<'static> = Headers { reader: &[], left: 0 };

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    #[inline]
    fn decode(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let left = r.get_count(MAX_HEADERS)?;
        let before = r.peek();
        for _ in 0..left {
            header(r)?;
        }
        let reader = before.get(..before.len() - r.len()).unwrap_or_default();
        Ok(Self { reader, left: left as u8 })
    }
}

fn header<'a>(r: &mut Reader<'a>) -> Result<(&'a str, &'a str), Malformed> {
    let name = codec::text(r.get_vi_bytes(usize::MAX)?)?;
    Ok((name, codec::text(r.get_vi_bytes(usize::MAX)?)?))
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        self.left = self.left.checked_sub(1)?;
        let mut r = Reader::new(self.reader);
        let header = header(&mut r).ok();
        self.reader = r.rest();
        header
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// Appends a message. The caller keeps [`MAX_KEY`] and [`MAX_HEADERS`], or no reader will take it.
pub fn encode(out: &mut Vec<u8>, key: Option<&[u8]>, headers: &[(&str, &str)], payload: &[u8]) {
    let flags = if key.is_some() { KEY } else { 0 };
    out.push(if headers.is_empty() { flags } else { flags | HEADERS });
    if let Some(key) = key {
        codec::put_vi_bytes(out, key);
    }
    if !headers.is_empty() {
        codec::put_vi(out, headers.len() as u64);
    }
    for (name, value) in headers {
        codec::put_vi_bytes(out, name.as_bytes());
        codec::put_vi_bytes(out, value.as_bytes());
    }
    out.extend_from_slice(payload);
}

/// Bytes that [`encode`] appends for a payload of `payload` bytes.
#[inline]
pub fn encoded_len(key: Option<&[u8]>, headers: &[(&str, &str)], payload: usize) -> usize {
    let text = |bytes: &[u8]| vi_len(bytes.len() as u64) + bytes.len();
    let count = if headers.is_empty() { 0 } else { vi_len(headers.len() as u64) };
    let pairs = headers.iter().map(|(name, value)| text(name.as_bytes()) + text(value.as_bytes()));
    1 + key.map_or(0, text) + count + pairs.sum::<usize>() + payload
}
