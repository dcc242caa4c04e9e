//! Deaths that others tell of, and what is made of them (M-22).
//!
//! Any holder of the realm key can say that anybody is dead. Whom we have asked ourselves, and who was
//! silent, is dead then; anybody else becomes a suspect, is asked, and is given up when it does not answer.
//! Nobody passes a rumour on as a fact.

use super::doubt::ASK_EVERY;
use super::io::{Due, Io};
use super::table::Handle;
use crate::Time;
use crate::discovery::bucket::Bucket;
use crate::ids::EndpointKey;
use core::time::Duration;
use foca::State;
use motet_wire::record::swim::{SwimMember, SwimState};

use super::{SwimAction, state_of};

/// So long somebody can answer whose death is a rumour: we ask it three times.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// And who was a suspect before: twice.
const SUSPECT_WITHIN: Duration = Duration::from_millis(1_500);
/// Members asked for a rumour: so many at once, then one each 50 ms. Rumours wait for their turn.
const ASKS: u32 = 32;
const ASK_GAP: Duration = Duration::from_millis(50);

/// How fast rumours make us ask.
#[derive(Debug)]
pub(super) struct Rumours {
    asks: Bucket,
}

impl Rumours {
    pub(super) fn new() -> Self {
        Self { asks: Bucket::new(ASKS, ASK_GAP) }
    }
}

/// A death that was told of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rumour {
    pub(super) about: Handle,
    /// The count with which it was made a suspect.
    pub(super) count: u16,
    /// Who told.
    pub(super) by: Option<EndpointKey>,
}

impl<N: Default> Io<N> {
    /// As what foca shall hear this news of the member with this handle; `None` if not at all.
    pub(super) fn believed(
        &mut self,
        handle: &Handle,
        member: &SwimMember,
        by: Option<EndpointKey>,
    ) -> Option<(State, u16)> {
        let told = Some((state_of(member.state), member.count));
        if member.state != SwimState::Down || crate::planted::on("rumours_of_death_believed") {
            return told;
        }
        let now = self.now;
        let [long, short] =
            [ANSWER_WITHIN, SUSPECT_WITHIN].map(|wait| self.health.stretched_little(wait));
        if self.table.of(handle).is_none() {
            return told;
        }
        let entry = self.table.get_mut(handle.slot)?;
        let (state, count, held) = (entry.state, entry.count, entry.held);
        let (wait, heard) = match state {
            SwimState::Down => return told,
            SwimState::Suspect if !held && entry.asked().is_some_and(|at| at + short <= now) => {
                return told;
            }
            SwimState::Suspect => (short, None),
            SwimState::Alive => (long, Some((State::Suspect, count))),
        };
        if entry.rumour() {
            self.counts.rumours += 1;
            let at = self.rumours.asks.reserve(now);
            self.put_due(at, Due::Ask(*handle, count));
            self.put_due(at + wait, Due::Rumour(Rumour { about: *handle, count, by }));
        }
        heard
    }

    /// Its session stands still: that knows better, and the rumour is looked at again later.
    pub(super) fn later(&mut self, rumour: Rumour) {
        let at = self.now + ANSWER_WITHIN;
        self.put_due(at, Due::Rumour(rumour));
    }

    /// It answered after all.
    pub(super) fn slandered(&mut self, by: Option<EndpointKey>) {
        self.counts.slanders += 1;
        self.out.extend(by.map(|by| SwimAction::Slander { by }));
    }

    fn put_due(&mut self, at: Time, due: Due) {
        self.tie += 1;
        self.timers.insert((at, self.tie), due);
    }
}

/// Asked at 0, 1 and 2 s: the last answer has a second.
const _: () = assert!(ANSWER_WITHIN.as_secs() == 3 * ASK_EVERY.as_secs());
