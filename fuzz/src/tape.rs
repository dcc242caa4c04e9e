//! What a structured input is read from: one byte or number after the other, as a script.
//!
//! The reading is of this crate's own, so that an input in a corpus means the same for ever.

use motet_wire::codec::MAX_VI;

/// The unread rest of an input.
pub struct Tape<'a>(pub &'a [u8]);

impl<'a> Tape<'a> {
    /// True once all is read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte; 0 at the end.
    pub fn u8(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u8) -> usize {
        usize::from(self.u8() % n.max(1))
    }

    /// True in one of two cases.
    pub fn flag(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    /// The next `N` bytes, zeros beyond the end.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.u8())
    }

    /// At most `n` bytes.
    pub fn bytes(&mut self, n: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        head
    }

    /// At most 255 bytes, the length in front.
    pub fn short(&mut self) -> &'a [u8] {
        let n = self.u8();
        self.bytes(n.into())
    }

    /// A number: small, near one of `known`, near a power of two, or any.
    pub fn number(&mut self, known: &[u64]) -> u64 {
        let tag = self.u8();
        let offset = |tape: &mut Self, v: u64| v.wrapping_add_signed(i64::from(tape.u8() as i8));
        let v = match tag {
            0..0x80 => tag.into(),
            0x80..0xa0 => {
                let at = usize::from(tag & 0x1f) % known.len().max(1);
                offset(self, known.get(at).copied().unwrap_or(0))
            }
            0xa0..0xe0 => offset(self, 1 << (tag - 0xa0)),
            0xe0..0xf0 => u16::from_le_bytes(self.array()).into(),
            _ => u64::from_le_bytes(self.array()),
        };
        v.min(MAX_VI)
    }

    /// A number of which only the low 32 bits count.
    pub fn id(&mut self, known: &[u64]) -> u32 {
        self.number(known) as u32
    }

    /// A time in ms: mostly short, 10 s at most.
    pub fn ms(&mut self) -> u64 {
        match self.u8() {
            n @ 0..0x80 => u64::from(n),
            n @ 0x80..0xe0 => u64::from(n & 0x7f) * 10,
            n => u64::from(n & 0x1f) * 320,
        }
    }
}
