//! What is published.

use bytes::Bytes;

/// What is published.
#[derive(Clone, Copy, Debug, Default)]
pub struct Message<'a> {
    /// Names the thing the message is about; history and conflation are per key. ≤ 1,024 bytes.
    pub key: Option<&'a [u8]>,
    /// At most 64 names and values.
    pub headers: &'a [(&'a str, &'a str)],
    /// The payload.
    pub payload: Payload<'a>,
}

impl<'a> From<&'a [u8]> for Message<'a> {
    fn from(payload: &'a [u8]) -> Self {
        Self { payload: Payload::Copied(payload), ..Self::default() }
    }
}

/// A payload, and how it gets into the log.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// By a copy.
    Copied(&'a [u8]),
    /// As it is, if it is large: the memory is held as long as the message.
    Shared(&'a Bytes),
}

impl<'a> Payload<'a> {
    /// Its bytes.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Default for Payload<'_> {
    fn default() -> Self {
        Self::Copied(&[])
    }
}
