//! The messages of a MSGS and the streams of a LANE_HB.

use alloc::vec::Vec;

use crate::Malformed;
use crate::codec::Reader;

/// Streams that a LANE_HB can name.
pub const MAX_LANE_HB: usize = 128;

/// The messages of a MSGS, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bodies<'a> {
    reader: Reader<'a>,
    left: u8,
}

impl<'a> Bodies<'a> {
    pub(super) fn decode(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let left = r.get_u8()?;
        if left < 2 {
            return Err(Malformed::Count);
        }
        let before = r.peek();
        for _ in 0..left {
            r.get_vi_bytes(usize::MAX)?;
        }
        let taken = before.get(..before.len() - r.len()).unwrap_or_default();
        Ok(Self { reader: Reader::new(taken), left })
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(self.left);
        out.extend_from_slice(self.reader.peek());
    }

    /// The bytes of those that are left: each a `vi` length and the message.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.reader.peek()
    }
}

impl<'a> Iterator for Bodies<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        self.reader.get_vi_bytes(usize::MAX).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for Bodies<'_> {}

/// One stream of a LANE_HB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LaneHbItem {
    /// Stream id.
    pub stream: u32,
    /// The oldest number still held.
    pub first_avail: u64,
    /// The number that the next message will get.
    pub next_seq: u64,
}

/// The streams of a LANE_HB.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LaneHbItems<'a> {
    reader: Reader<'a>,
    left: usize,
}

impl<'a> LaneHbItems<'a> {
    pub(super) fn decode(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let left = r.get_count(MAX_LANE_HB)?;
        let before = r.peek();
        for _ in 0..left {
            item(r)?;
        }
        let taken = before.get(..before.len() - r.len()).unwrap_or_default();
        Ok(Self { reader: Reader::new(taken), left })
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        crate::codec::put_vi(out, self.left as u64);
        out.extend_from_slice(self.reader.peek());
    }
}

/// Appends the body of a LANE_HB with at most [`MAX_LANE_HB`] streams, its type byte included.
pub fn put_lane_hb(out: &mut Vec<u8>, readers_log2: u8, grtt_us: u64, items: &[LaneHbItem]) {
    let items = items.get(..items.len().min(MAX_LANE_HB)).unwrap_or_default();
    out.push(super::ty::LANE_HB);
    for v in [u64::from(readers_log2.min(63)), grtt_us, items.len() as u64] {
        crate::codec::put_vi(out, v);
    }
    for LaneHbItem { stream, first_avail, next_seq } in items {
        for v in [u64::from(*stream), *first_avail, *next_seq] {
            crate::codec::put_vi(out, v);
        }
    }
}

fn item(r: &mut Reader<'_>) -> Result<LaneHbItem, Malformed> {
    Ok(LaneHbItem { stream: r.get_vi_u32()?, first_avail: r.get_vi()?, next_seq: r.get_vi()? })
}

impl Iterator for LaneHbItems<'_> {
    type Item = LaneHbItem;

    #[inline]
    fn next(&mut self) -> Option<LaneHbItem> {
        self.left = self.left.checked_sub(1)?;
        item(&mut self.reader).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for LaneHbItems<'_> {}
