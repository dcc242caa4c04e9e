//! Ranges of packet numbers, newest first, in the shape of RFC 9000 §19.3.1.
//!
//! `first_len` is how many packets below `largest` arrived without a hole; `gap` is one less than
//! the numbers missing below the range before; `len` is one less than the numbers of the range.
//!
//! - **W-29** The ranges of an ACK stay at or above 0; a receiver refuses others.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::ty;
use crate::Malformed;
use crate::codec::{self, Reader};

/// Ranges that an ACK can name: the first and 32 more.
pub const MAX_ACK_RANGES: usize = 33;

/// Which packets arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ack<'a> {
    /// The largest number that arrived.
    pub largest: u64,
    /// How long the acknowledgement of it waited, µs.
    pub delay_us: u64,
    /// Packets that arrived with a congestion mark, if that is counted.
    pub ce: Option<u64>,
    first_len: u64,
    more: u8,
    pairs: &'a [u8],
}

impl<'a> Ack<'a> {
    /// The ranges, newest first: ascending inside, descending from one to the next.
    pub fn ranges(&self) -> AckRanges<'a> {
        let left = self.more;
        let reader = Reader::new(self.pairs);
        AckRanges { first: Some((self.largest, self.first_len)), low: 0, left, reader }
    }

    pub(super) fn decode(r: &mut Reader<'a>, ecn: bool) -> Result<Self, Malformed> {
        let (largest, delay_us, more) = (r.get_vi()?, r.get_vi()?, r.get_u8()?);
        if usize::from(more) >= MAX_ACK_RANGES {
            return Err(Malformed::Count);
        }
        let first_len = r.get_vi()?;
        let before = r.peek();
        let left = more;
        let mut ranges =
            AckRanges { first: Some((largest, first_len)), low: 0, left, reader: r.clone() };
        while ranges.step()?.is_some() {}
        *r = ranges.reader;
        let pairs = before.get(..before.len() - r.len()).unwrap_or_default();
        let ce = if ecn { Some(r.get_vi()?) } else { None };
        Ok(Self { largest, delay_us, ce, first_len, more, pairs })
    }

    pub(super) fn put_body(&self, out: &mut Vec<u8>) {
        codec::put_vi(out, self.largest);
        codec::put_vi(out, self.delay_us);
        out.push(self.more);
        codec::put_vi(out, self.first_len);
        out.extend_from_slice(self.pairs);
    }
}

/// The ranges of an [`Ack`].
#[derive(Clone, Debug)]
pub struct AckRanges<'a> {
    first: Option<(u64, u64)>,
    low: u64,
    left: u8,
    reader: Reader<'a>,
}

impl AckRanges<'_> {
    fn step(&mut self) -> Result<Option<RangeInclusive<u64>>, Malformed> {
        let (high, len) = match self.first.take() {
            Some(first) => first,
            None if self.left == 0 => return Ok(None),
            None => {
                self.left -= 1;
                let gap = self.reader.get_vi()?;
                let below = self.low.checked_sub(gap).and_then(|low| low.checked_sub(2));
                (below.ok_or(Malformed::Range)?, self.reader.get_vi()?)
            }
        };
        self.low = high.checked_sub(len).ok_or(Malformed::Range)?;
        Ok(Some(self.low..=high))
    }
}

impl Iterator for AckRanges<'_> {
    type Item = RangeInclusive<u64>;

    fn next(&mut self) -> Option<RangeInclusive<u64>> {
        self.step().ok().flatten()
    }
}

/// Appends an ACK (with `ce`, an ACK_ECN). `ranges` are inclusive, newest first, and the first one
/// ends at `largest`; ranges beyond the 33rd, and ranges that do not lie below the one before with
/// a hole between, are left out.
pub fn put_ack(
    out: &mut Vec<u8>,
    largest: u64,
    delay_us: u64,
    ranges: impl Iterator<Item = (u64, u64)>,
    ce: Option<u64>,
) {
    out.push(if ce.is_some() { ty::ACK_ECN } else { ty::ACK });
    put_fields(out, largest, delay_us, ranges);
    if let Some(ce) = ce {
        codec::put_vi(out, ce);
    }
}

/// Appends a LANE_ACK; the ranges as in [`put_ack`].
pub fn put_lane_ack(
    out: &mut Vec<u8>,
    source_tag: u64,
    largest: u64,
    delay_us: u64,
    ranges: impl Iterator<Item = (u64, u64)>,
) {
    out.push(ty::LANE_ACK);
    codec::put_u64(out, source_tag);
    put_fields(out, largest, delay_us, ranges);
}

fn put_fields(
    out: &mut Vec<u8>,
    largest: u64,
    delay_us: u64,
    mut ranges: impl Iterator<Item = (u64, u64)>,
) {
    let mut low = ranges.next().map_or(largest, |(lo, _)| lo.min(largest));
    codec::put_vi(out, largest);
    codec::put_vi(out, delay_us);
    let count_at = out.len();
    out.push(0);
    codec::put_vi(out, largest - low);
    let mut more = 0;
    for (lo, hi) in ranges {
        let gap = low.checked_sub(hi).and_then(|below| below.checked_sub(2));
        let (Some(gap), Some(len)) = (gap, hi.checked_sub(lo)) else { continue };
        codec::put_vi(out, gap);
        codec::put_vi(out, len);
        low = lo;
        more += 1;
        if usize::from(more) + 1 == MAX_ACK_RANGES {
            break;
        }
    }
    if let Some(count) = out.get_mut(count_at) {
        *count = more;
    }
}
