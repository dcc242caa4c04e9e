//! How often we come back from the dead (M-11), and what is said of us that we do not act upon at once.
//!
//! Any holder of the realm key can say that we are dead. While we wait we go on as we are: who is silent
//! because of a rumour makes it true.

use super::{RENEW_EVERY, RENEW_SLOW, RENEW_WINDOW};
use crate::Time;
use crate::discovery::bucket::Bucket;
use alloc::collections::VecDeque;
use core::time::Duration;

/// Suspicions of us that we answer at once, and one more each 100 ms: an answer is three packets.
const ANSWERS: u32 = 8;
const ANSWER_EVERY: Duration = Duration::from_millis(100);

/// Packets for an earlier life of ours that are answered at once, and one more each 20 ms (M-23).
const CORRECTIONS: u32 = 64;
const CORRECT_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Lives {
    /// When we began the latest generations.
    renewed: VecDeque<Time>,
    /// When we begin the next.
    pub(super) at: Time,
    answers: Bucket,
    corrections: Bucket,
    /// We have told of the third time within a minute.
    told: bool,
}

impl Lives {
    pub(super) fn new() -> Self {
        Self {
            renewed: VecDeque::new(),
            at: Time::NEVER,
            answers: Bucket::new(ANSWERS, ANSWER_EVERY),
            corrections: Bucket::new(CORRECTIONS, CORRECT_EVERY),
            told: false,
        }
    }

    /// Somebody holds this generation for dead, or says so: whether to begin the next at once. If not, it
    /// begins when it may.
    pub(super) fn dead(&mut self, now: Time) -> bool {
        let from = self.may_renew(now);
        if from > now && !crate::planted::on("rumour_of_own_death_believed") {
            self.at = self.at.min(from);
            return false;
        }
        true
    }

    /// From when on we may come back.
    fn may_renew(&mut self, now: Time) -> Time {
        self.renewed.retain(|at| now.since(*at) < RENEW_WINDOW);
        self.told &= self.renewed.len() >= 2;
        let wait = if self.renewed.len() >= 2 { RENEW_SLOW } else { RENEW_EVERY };
        self.renewed.back().map_or(now, |last| *last + wait)
    }

    /// The third time within a minute: true once.
    pub(super) fn suspicious(&mut self) -> bool {
        let news = self.renewed.len() >= 2 && !self.told;
        self.told |= news;
        news
    }

    /// A suspicion of us: whether we answer it.
    pub(super) fn answers(&mut self, now: Time) -> bool {
        self.answers.take(now)
    }

    /// A packet for an earlier life of ours: whether we say so.
    pub(super) fn corrects(&mut self, now: Time) -> bool {
        self.corrections.take(now)
    }

    /// The next generation begins.
    pub(super) fn renew(&mut self, now: Time) {
        self.at = Time::NEVER;
        self.renewed.push_back(now);
        if self.renewed.len() > 8 {
            self.renewed.pop_front();
        }
    }
}
