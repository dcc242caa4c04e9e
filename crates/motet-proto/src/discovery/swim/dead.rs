//! Which of the dead are asked whether they live after all, and when (M-10).
//!
//! After a split some have come back and told everybody, but news travels by chance and can miss one of
//! us. Nobody would tell it again, so it asks: first those who died last.

use super::table::{Handle, Table};
use crate::Time;
use core::time::Duration;

/// Two of the dead are asked in this time, while there is something to mend.
pub(super) const SOON: Duration = Duration::from_secs(5);
/// And in this time when nobody died or came back for long.
pub(super) const SELDOM: Duration = Duration::from_secs(30);
/// For so long after a death or a return.
const STIR: Duration = Duration::from_secs(600);

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Round {
    at: Time,
    /// The last change of which this round knows.
    stirred: Time,
    /// Who was asked last of those who died last, and of all in turn.
    latest: Option<(Time, u32)>,
    turn: Option<(Time, u32)>,
}

impl Default for Round {
    fn default() -> Self {
        Self { at: Time::NEVER, stirred: Time::ZERO, latest: None, turn: None }
    }
}

impl Round {
    /// When the next two are asked.
    pub(super) fn at(&self) -> Time {
        self.at
    }

    /// After each input; `asks`: we take part.
    pub(super) fn plan<N>(&mut self, now: Time, table: &Table<N>, asks: bool) {
        if table.dead() == 0 || !asks {
            self.at = Time::NEVER;
            return;
        }
        let stirred = table.stirred();
        if stirred != self.stirred {
            (self.stirred, self.latest) = (stirred, None);
        }
        let soon = now.since(stirred) < STIR && !crate::planted::on("dead_are_asked_seldom");
        self.at = self.at.min(now + if soon { SOON } else { SELDOM });
    }

    /// The round is due: whom to ask.
    pub(super) fn take<N>(&mut self, table: &Table<N>) -> impl Iterator<Item = Handle> + use<N> {
        self.at = Time::NEVER;
        self.latest = table.died_before(self.latest);
        self.turn = table.died_after(self.turn);
        let second = self.turn.filter(|turn| Some(*turn) != self.latest);
        let handle =
            |it: Option<(Time, u32)>| it.and_then(|(_, slot)| Some(table.get(slot)?.handle(slot)));
        [handle(self.latest), handle(second)].into_iter().flatten()
    }
}
