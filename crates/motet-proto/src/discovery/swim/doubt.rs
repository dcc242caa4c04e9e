//! Suspects of whom nothing more is heard, and when we ask them ourselves (M-19).
//!
//! Who accuses asks its suspect, and tells others how it ended; but news travels by chance and can miss
//! one of us, for whom a member that lives would then stay a suspect until the two meet by chance.

use super::table::{Handle, Table};
use crate::Time;
use core::time::Duration;

/// One of them is asked in this time, however many there are.
pub(super) const ASK_EVERY: Duration = Duration::from_secs(1);

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Doubt {
    at: Time,
    /// Nobody is asked before this.
    next: Time,
    /// Who was asked last.
    turn: Option<(Time, u32)>,
}

impl Default for Doubt {
    fn default() -> Self {
        Self { at: Time::NEVER, next: Time::ZERO, turn: None }
    }
}

impl Doubt {
    /// When the next one is asked.
    pub(super) fn at(&self) -> Time {
        self.at
    }

    /// After each input; `patience` is how long others may take to decide, `asks`: we take part.
    pub(super) fn plan<N>(&mut self, table: &Table<N>, patience: Duration, asks: bool) {
        let first = table.suspected_after(None).filter(|_| asks);
        let first = first.filter(|_| !crate::planted::on("hearsay_is_never_asked_about"));
        self.at = first.map_or(Time::NEVER, |(since, _)| self.next.max(since + patience));
    }

    /// One is due: whom to ask.
    pub(super) fn take<N>(
        &mut self,
        now: Time,
        table: &Table<N>,
        patience: Duration,
    ) -> Option<Handle> {
        self.next = now + ASK_EVERY;
        let long = |it: &(Time, u32)| it.0 + patience <= now;
        let next = table.suspected_after(self.turn).filter(long);
        self.turn = next.or_else(|| table.suspected_after(None).filter(long));
        let (_, slot) = self.turn?;
        table.get(slot).map(|entry| entry.handle(slot))
    }
}
