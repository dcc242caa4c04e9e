//! How far we trust our own clock and ears (after Lifeguard): who is slow itself accuses slowly.

use core::time::Duration;

/// Scores above this are not counted: timeouts grow ninefold at most.
const SCORE_MAX: u32 = 8;

/// 0 is well, 8 is as ill as can be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Health {
    score: u32,
    counts: bool,
}

impl Health {
    pub(super) fn new(counts: bool) -> Self {
        Self { score: 0, counts }
    }

    /// Our own timer fired late, or a probe of ours failed.
    pub(super) fn worse(&mut self) {
        self.score = (self.score + 1).min(SCORE_MAX);
    }

    /// A probe of ours was answered.
    pub(super) fn better(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    pub(super) fn score(&self) -> u32 {
        if self.counts && !crate::planted::on("health_not_scaled") { self.score } else { 0 }
    }

    /// `wait`, stretched by our ill health, threefold at most: it is others who saw the death, and we only ask
    /// (M-22).
    pub(super) fn stretched_little(&self, wait: Duration) -> Duration {
        wait * (1 + self.score().min(2))
    }

    /// `wait`, stretched by our ill health (M-7).
    pub(super) fn stretched(&self, wait: Duration) -> Duration {
        wait * (1 + self.score())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // M-7
    fn waits_grow_ninefold_at_most_and_shrink_with_every_success() {
        let mut health = Health::new(true);
        assert_eq!(health.stretched(Duration::from_secs(1)), Duration::from_secs(1));
        for _ in 0..20 {
            health.worse();
        }
        assert_eq!(health.stretched(Duration::from_secs(1)), Duration::from_secs(9));
        health.better();
        assert_eq!(health.stretched(Duration::from_secs(1)), Duration::from_secs(8));
    }
}
