//! What is missing: whole messages by number, and byte ranges of messages that came in part.
//!
//! An item is `vi d_seq, vi k`. k = 2·count names `count` messages; k = 2·nfrag + 1 is followed by
//! nfrag × (`vi off`, `vi len`) and names byte ranges of one message, len 0 = to its end.
//!
//! - **W-30** The first d_seq counts from 0, each next one from the end of the item before; after
//!   byte ranges it counts from that message itself, so that 0 goes on with the same message.
//! - **W-31** Items, and the byte ranges of a message, are ascending and disjoint; counts are at
//!   least 1; a range to the end is the last one of its message. A receiver refuses others.
//! - **W-32** NAK and NCF have at most 64 items, an item at most 64 byte ranges.

use alloc::vec::Vec;

use super::ty;
use crate::Malformed;
use crate::codec::{self, MAX_VI, Reader};

/// Items that a NAK or NCF can have.
pub const MAX_NAK_ITEMS: usize = 64;
/// Byte ranges that an item can have.
pub const MAX_NAK_RANGES: usize = 64;

/// Something that is missing, by absolute number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NakItem {
    /// Whole messages.
    Range {
        /// The first number.
        seq: u64,
        /// How many, at least 1.
        count: u64,
    },
    /// Bytes of one message.
    Bytes {
        /// Its number.
        seq: u64,
        /// Where they begin.
        off: u64,
        /// How many; 0 = to the message's end.
        len: u64,
    },
}

/// Where the next item or byte range may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Cursor {
    /// d_seq counts from here.
    base: u64,
    /// After byte ranges of message `base`: where its next range may begin at the earliest, or
    /// `None` once a range went to the message's end.
    partial: Option<Option<u64>>,
}

impl Cursor {
    /// Moves past `count` messages from `seq`.
    fn range(&mut self, seq: u64, count: u64) -> Result<(), Malformed> {
        let last = count.checked_sub(1).ok_or(Malformed::Count)?;
        if seq < self.base || (seq == self.base && self.partial.is_some()) {
            return Err(Malformed::Order);
        }
        if seq > MAX_VI || last > MAX_VI - seq {
            return Err(Malformed::Range);
        }
        *self = Self { base: seq + count, partial: None };
        Ok(())
    }

    /// Moves past the bytes of message `seq`.
    fn bytes(&mut self, seq: u64, off: u64, len: u64) -> Result<(), Malformed> {
        let from = match self.partial {
            _ if seq < self.base => return Err(Malformed::Order),
            Some(partial) if seq == self.base => partial.ok_or(Malformed::Order)?,
            _ => 0,
        };
        if off < from {
            return Err(Malformed::Order);
        }
        if seq > MAX_VI || off > MAX_VI || len > MAX_VI - off {
            return Err(Malformed::Range);
        }
        let end = if len == 0 { None } else { Some(off + len) };
        *self = Self { base: seq, partial: Some(end) };
        Ok(())
    }
}

/// The items of a NAK or NCF, one [`NakItem::Bytes`] per byte range. Checked when decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NakItems<'a> {
    reader: Reader<'a>,
    items: u8,
    /// Byte ranges left of the message `cursor.base`.
    ranges: u64,
    cursor: Cursor,
}

impl<'a> NakItems<'a> {
    pub(super) fn decode(r: &mut Reader<'a>) -> Result<Self, Malformed> {
        let items = r.get_u8()?;
        if usize::from(items) > MAX_NAK_ITEMS {
            return Err(Malformed::Count);
        }
        let before = r.peek();
        let mut check = Self { reader: r.clone(), items, ranges: 0, cursor: Cursor::default() };
        while check.step()?.is_some() {}
        *r = check.reader;
        let taken = before.get(..before.len() - r.len()).unwrap_or_default();
        Ok(Self { reader: Reader::new(taken), items, ranges: 0, cursor: Cursor::default() })
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(self.items);
        out.extend_from_slice(self.reader.peek());
    }

    fn step(&mut self) -> Result<Option<NakItem>, Malformed> {
        if self.ranges > 0 {
            self.ranges -= 1;
            return self.byte_range(self.cursor.base).map(Some);
        }
        let Some(items) = self.items.checked_sub(1) else { return Ok(None) };
        self.items = items;
        let (d_seq, k) = (self.reader.get_vi()?, self.reader.get_vi()?);
        let seq = self.cursor.base + d_seq; // both are at most 2^62
        if k & 1 == 0 {
            self.cursor.range(seq, k / 2)?;
            return Ok(Some(NakItem::Range { seq, count: k / 2 }));
        }
        let ranges = k / 2;
        if ranges == 0 || ranges > MAX_NAK_RANGES as u64 {
            return Err(Malformed::Count);
        }
        self.ranges = ranges - 1;
        self.byte_range(seq).map(Some)
    }

    fn byte_range(&mut self, seq: u64) -> Result<NakItem, Malformed> {
        let (off, len) = (self.reader.get_vi()?, self.reader.get_vi()?);
        self.cursor.bytes(seq, off, len)?;
        Ok(NakItem::Bytes { seq, off, len })
    }
}

impl Iterator for NakItems<'_> {
    type Item = NakItem;

    fn next(&mut self) -> Option<NakItem> {
        self.step().ok().flatten()
    }
}

/// Collects items, in ascending order, into a NAK or NCF.
#[derive(Clone, Debug, Default)]
pub struct NakBuilder {
    /// Items that are complete.
    bytes: Vec<u8>,
    items: usize,
    /// The byte ranges of the last item, if it has some: (d_seq, ranges, their bytes).
    open: Option<(u64, u64, Vec<u8>)>,
    cursor: Cursor,
}

impl NakBuilder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// True if nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// Items so far; the byte ranges of one message are one item.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Adds `count` whole messages from `seq`. False, with nothing changed, if all items are in use
    /// or this one is empty or not above the last one: the caller then starts another frame.
    pub fn push_range(&mut self, seq: u64, count: u64) -> bool {
        let base = self.cursor.base;
        if self.items == MAX_NAK_ITEMS
            || count > MAX_VI / 2
            || self.cursor.range(seq, count).is_err()
        {
            return false;
        }
        self.flush();
        self.items += 1;
        codec::put_vi(&mut self.bytes, seq - base);
        codec::put_vi(&mut self.bytes, count * 2);
        true
    }

    /// Adds bytes of message `seq`; `len` 0 = to its end. False, with nothing changed, if all items
    /// or all ranges of the message are in use, or this one is not above the last one.
    pub fn push_bytes(&mut self, seq: u64, off: u64, len: u64) -> bool {
        let base = self.cursor.base;
        let same = seq == base && self.open.is_some();
        let full = match &self.open {
            Some((_, ranges, _)) if same => *ranges == MAX_NAK_RANGES as u64,
            _ => self.items == MAX_NAK_ITEMS,
        };
        if full || self.cursor.bytes(seq, off, len).is_err() {
            return false;
        }
        if !same {
            self.flush();
            self.items += 1;
        }
        let (_, ranges, bytes) = self.open.get_or_insert_with(|| (seq - base, 0, Vec::new()));
        *ranges += 1;
        codec::put_vi(bytes, off);
        codec::put_vi(bytes, len);
        true
    }

    /// Bytes that [`NakBuilder::encode`] appends now.
    pub fn encoded_len(&self, stream: u32) -> usize {
        let open = self.open.as_ref().map_or(0, |(d_seq, ranges, bytes)| {
            codec::vi_len(*d_seq) + codec::vi_len(ranges * 2 + 1) + bytes.len()
        });
        2 + codec::vi_len(u64::from(stream)) + self.bytes.len() + open
    }

    /// Appends a NAK, or an NCF, of what was pushed.
    pub fn encode(&self, stream: u32, ncf: bool, out: &mut Vec<u8>) {
        out.push(if ncf { ty::NCF } else { ty::NAK });
        codec::put_vi(out, u64::from(stream));
        out.push(self.items as u8);
        out.extend_from_slice(&self.bytes);
        if let Some(open) = &self.open {
            put_open(out, open);
        }
    }

    fn flush(&mut self) {
        if let Some(open) = self.open.take() {
            put_open(&mut self.bytes, &open);
        }
    }
}

fn put_open(out: &mut Vec<u8>, (d_seq, ranges, bytes): &(u64, u64, Vec<u8>)) {
    codec::put_vi(out, *d_seq);
    codec::put_vi(out, ranges * 2 + 1);
    out.extend_from_slice(bytes);
}
