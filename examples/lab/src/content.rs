//! Messages whose content can be checked: a number, pseudo-random bytes that follow from it, and a
//! checksum over both.

/// Smallest message: number and checksum.
pub(crate) const SIZE_MIN: usize = 16;

/// Message `seq`, `size` bytes long ([`SIZE_MIN`] at least), into `out`; with `text`, if there is
/// one, over and over in place of pseudo-random bytes.
pub(crate) fn fill(out: &mut Vec<u8>, seq: u64, size: usize, text: Option<&str>) {
    out.clear();
    out.extend_from_slice(&seq.to_le_bytes());
    let end = size.max(SIZE_MIN) - 8;
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        let room = end - out.len();
        out.extend(text.bytes().cycle().take(room));
    }
    let mut state = seq;
    while out.len() < end {
        let word = next(&mut state).to_le_bytes();
        let take = word.len().min(end - out.len());
        out.extend_from_slice(&word[..take]);
    }
    let sum = checksum(out);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// The number of a message, if its checksum is right.
pub(crate) fn check(message: &[u8]) -> Option<u64> {
    let (body, sum) = message.split_last_chunk::<8>()?;
    let (seq, _) = body.split_first_chunk::<8>()?;
    (checksum(body) == u64::from_le_bytes(*sum)).then(|| u64::from_le_bytes(*seq))
}

/// 64 bits over all bytes and their number, eight at a time (multiply and rotate). It finds mishaps,
/// not malice.
fn checksum(bytes: &[u8]) -> u64 {
    let mut sum = bytes.len() as u64 ^ PRIME;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        sum = (sum ^ word).wrapping_mul(PRIME).rotate_left(29);
    }
    for byte in chunks.remainder() {
        sum = (sum ^ u64::from(*byte)).wrapping_mul(PRIME).rotate_left(29);
    }
    sum
}

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const PRIME: u64 = 0x9e37_79b1_85eb_ca87;

/// What a reader got from one writer, judged by the numbers of its messages.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// The number expected next; `None` before the first message.
    pub(crate) next: Option<u64>,
    pub(crate) messages: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) damaged: u64,
}

impl Tally {
    /// Counts one message.
    pub(crate) fn take(&mut self, message: &[u8]) {
        let Some(seq) = check(message) else {
            self.damaged += 1;
            return;
        };
        let expected = self.next.unwrap_or(seq);
        if seq < expected {
            self.repeated += 1; // again, or out of order
            return;
        }
        self.lost += seq - expected;
        self.messages += 1;
        self.next = Some(seq + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_bit_a_gap_and_a_repetition_are_found() {
        let mut tally = Tally::default();
        let mut message = Vec::new();
        for seq in [5, 6, 9, 6, 10] {
            fill(&mut message, seq, 64, None);
            assert_eq!(message.len(), 64);
            tally.take(&message);
        }
        message[20] ^= 1;
        tally.take(&message);
        let Tally { messages, lost, repeated, damaged, next } = tally;
        assert_eq!((messages, lost, repeated, damaged, next), (4, 2, 1, 1, Some(11)));
    }
}
