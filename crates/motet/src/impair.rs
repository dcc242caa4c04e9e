//! A seeded maker of faults between socket and core: for demonstrations and tests without root.

use crate::error::ImpairmentError;

/// What befalls each datagram that an endpoint sends (loss, duplication, corruption) and receives
/// (these and reordering). Off by default; the same seed and the same datagrams give the same
/// faults.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Impairment {
    /// Probability that it vanishes, 0 to 1.
    pub loss: f64,
    /// Probability that it comes twice.
    pub dup: f64,
    /// Probability that it comes after its successor, or 10 ms later if there is none.
    pub reorder: f64,
    /// Probability that one of its bits is flipped.
    pub corrupt: f64,
    /// Chooses the run.
    pub seed: u64,
}

impl Impairment {
    /// Reads `loss=5%,dup=1%,reorder=2%,corrupt=0.1%,seed=7`: any of these, as percentages or as
    /// numbers from 0 to 1.
    ///
    /// ```
    /// let impairment = motet::Impairment::parse("loss=5%,dup=0.01").unwrap();
    /// assert_eq!((impairment.loss, impairment.dup), (0.05, 0.01));
    /// ```
    ///
    /// # Errors
    /// [`ImpairmentError`] with the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, ImpairmentError> {
        let mut impairment = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || ImpairmentError { part: part.to_owned() };
            let (name, value) = part.split_once('=').ok_or_else(wrong)?;
            if name == "seed" {
                impairment.seed = value.parse().map_err(|_| wrong())?;
                continue;
            }
            let probability = match value.strip_suffix('%') {
                Some(percent) => percent.parse::<f64>().map_err(|_| wrong())? / 100.0,
                None => value.parse::<f64>().map_err(|_| wrong())?,
            };
            if !(0.0..=1.0).contains(&probability) {
                return Err(wrong());
            }
            match name {
                "loss" => impairment.loss = probability,
                "dup" => impairment.dup = probability,
                "reorder" => impairment.reorder = probability,
                "corrupt" => impairment.corrupt = probability,
                _ => return Err(wrong()),
            }
        }
        Ok(impairment)
    }

    /// Whether it does anything.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.loss > 0.0 || self.dup > 0.0 || self.reorder > 0.0 || self.corrupt > 0.0
    }
}

/// The fate of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    /// How often it arrives: 0, 1 or 2 times.
    pub(crate) copies: u8,
    /// After its successor.
    pub(crate) late: bool,
    /// Chooses the bit that is flipped.
    pub(crate) flip: Option<u64>,
}

/// Draws fates.
#[derive(Debug)]
pub(crate) struct Dice {
    impairment: Impairment,
    state: u64,
}

impl Dice {
    /// `side` keeps the two directions apart.
    pub(crate) fn new(impairment: Impairment, side: u64) -> Self {
        Self { impairment, state: impairment.seed.wrapping_mul(2).wrapping_add(side) }
    }

    pub(crate) fn fate(&mut self) -> Fate {
        let Impairment { loss, dup, reorder, corrupt, .. } = self.impairment;
        let (lost, twice, late, bent) =
            (self.chance(loss), self.chance(dup), self.chance(reorder), self.chance(corrupt));
        let copies = if lost { 0 } else { 1 + u8::from(twice) };
        Fate { copies, late, flip: bent.then(|| self.next()) }
    }

    fn chance(&mut self, probability: f64) -> bool {
        // 53 bits: as many as a float holds.
        ((self.next() >> 11) as f64) < probability * (1u64 << 53) as f64
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Fate {
    /// Flips the bit that fate chose, if it did.
    pub(crate) fn bend(self, datagram: &mut [u8]) {
        let bits = datagram.len() as u64 * 8;
        if let Some(flip) = self.flip
            && bits > 0
        {
            let bit = flip % bits;
            datagram[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impairment_is_read_and_nonsense_is_named() {
        let all = Impairment::parse("loss=5%, dup=1%,reorder=2%,corrupt=0.1%,seed=7").unwrap();
        assert_eq!((all.loss, all.dup, all.reorder, all.seed), (0.05, 0.01, 0.02, 7));
        assert!((all.corrupt - 0.001).abs() < 1e-12 && all.is_active());
        for (text, part) in [("loss=120%", "loss=120%"), ("dup=1%,rain=2", "rain=2"), ("x", "x")] {
            assert_eq!(Impairment::parse(text), Err(ImpairmentError { part: part.to_owned() }));
        }
    }

    #[test]
    fn fates_follow_the_seed_and_the_probabilities() {
        let draw = |seed| {
            let mut dice = Dice::new(Impairment { loss: 0.25, seed, ..Impairment::default() }, 0);
            (0..4_000).map(|_| dice.fate().copies).collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        let lost = draw(3).iter().filter(|copies| **copies == 0).count();
        assert!((900..1_100).contains(&lost), "{lost} of 4000 lost");
    }
}
