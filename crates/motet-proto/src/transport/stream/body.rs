//! The bytes of a message in the log.

use alloc::vec::Vec;

/// What comes before a payload that is shared with whoever published it, and that payload; of any
/// other message nothing, and all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Body<'a> {
    pub(super) head: &'a [u8],
    pub(super) rest: &'a [u8],
}

impl<'a> Body<'a> {
    /// Bytes of both.
    #[inline]
    pub fn len(self) -> usize {
        self.head.len() + self.rest.len()
    }

    /// True if there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// `len` bytes from `off` on; `None` if it has not so many.
    pub fn range(self, off: u64, len: u64) -> Option<Self> {
        let from = usize::try_from(off).ok()?;
        let to = from.checked_add(usize::try_from(len).ok()?)?;
        let at = self.head.len();
        let head = self.head.get(from.min(at)..to.min(at))?;
        let rest = self.rest.get(from.saturating_sub(at)..to.saturating_sub(at))?;
        Some(Self { head, rest })
    }

    /// Appends it.
    #[inline]
    pub fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head);
        out.extend_from_slice(self.rest);
    }

    /// Appends it, unless `out` is then `limit` bytes long: then without its end, which is returned.
    #[inline]
    pub fn put_upto(self, out: &mut Vec<u8>, limit: usize) -> Option<&'a [u8]> {
        if out.len() + self.len() != limit || self.rest.is_empty() {
            self.put(out);
            return None;
        }
        out.extend_from_slice(self.head);
        Some(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_two_parts_is_that_of_both_one_after_the_other() {
        let whole: Vec<u8> = (0..12).collect();
        for at in 0..=whole.len() {
            let (head, rest) = whole.split_at(at);
            let body = Body { head, rest };
            for off in 0..=13_u64 {
                for len in 0..=14_u64 {
                    let expected = whole.get(off as usize..(off + len) as usize);
                    let mut out = Vec::new();
                    let range = body.range(off, len);
                    range.unwrap_or_default().put(&mut out);
                    assert_eq!(range.map(|_| &out[..]), expected, "{at} {off} {len}");
                }
            }
            assert_eq!(body.range(u64::MAX, 2), None);
        }
    }

    #[test]
    fn the_end_of_what_fills_the_room_is_left_to_others() {
        let body = Body { head: b"ab", rest: b"cde" };
        let mut out = alloc::vec![0];
        assert_eq!((body.put_upto(&mut out, 7), &out[..]), (None, &b"\0abcde"[..]));
        out.truncate(1);
        assert_eq!((body.put_upto(&mut out, 6), &out[..]), (Some(&b"cde"[..]), &b"\0ab"[..]));
    }
}
