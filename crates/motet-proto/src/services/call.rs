//! One call: where it stands, and whether it may be sent again.

use super::terms::{
    CallFailure, CallOutput, CallSpec, FailureKind, Mode, Offer, Role, ServiceReply, WaitFor,
};
use crate::ids::EndpointKey;
use crate::time::Time;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// An instance that the call was given to.
pub(super) struct Target {
    pub(super) key: EndpointKey,
    /// When the request first left; `None` while it waits to leave.
    pub(super) sent: Option<Time>,
    /// It waits to leave, for the first time or once more.
    pub(super) queued: bool,
    /// The number of the last attempt that left.
    pub(super) attempt: u64,
    /// When this attempt counts as failed.
    pub(super) until: Time,
    /// When the server may begin it no more.
    pub(super) deadline: Time,
    pub(super) next_part: u64,
    /// Nothing more is expected from it.
    pub(super) over: bool,
    /// The service, or the call, may be repeated anywhere.
    pub(super) safe: bool,
    /// A broker finds out itself what it had before.
    pub(super) broker: bool,
    /// It has not answered in time, but still may.
    pub(super) late: bool,
}

/// A call that is open.
pub(super) struct Call {
    pub(super) service: Arc<str>,
    pub(super) spec: CallSpec,
    pub(super) begun: Time,
    pub(super) deadline: Time,
    pub(super) attempts: u64,
    pub(super) targets: Vec<Target>,
    /// Instances that have failed it, or said no.
    pub(super) failed: BTreeSet<EndpointKey>,
    /// All that it was sent to.
    pub(super) tried: BTreeSet<EndpointKey>,
    /// What the last one said that said no.
    pub(super) said: Option<FailureKind>,
    /// It pauses before another try.
    pub(super) pause: Option<Time>,
    pub(super) pauses: u32,
    /// It waits for an instance or for credit.
    pub(super) waits: bool,
    /// There is no instance that may get it.
    pub(super) lonely: bool,
    /// Since when it has found nobody; `None` while there is somebody.
    pub(super) lacks: Option<Time>,
    /// What is in the table of deadlines for it.
    pub(super) due: Time,
    /// Who is answering in parts: nobody else is listened to.
    pub(super) from: Option<EndpointKey>,
    pub(super) out_bytes: usize,
    /// Answers, of a call to all.
    pub(super) answered: usize,
}

/// What the program has not taken yet.
#[derive(Default)]
pub(super) struct Outputs {
    pub(super) queue: VecDeque<CallOutput>,
    pub(super) told: bool,
    pub(super) over: bool,
}

impl Call {
    pub(super) fn new(now: Time, service: Arc<str>, spec: CallSpec) -> Self {
        let settings = &spec.settings;
        let timeout = match settings.mode {
            Mode::All(within) => within,
            _ => settings.timeout,
        };
        Self {
            service,
            begun: now,
            deadline: now + timeout,
            attempts: 0,
            targets: Vec::new(),
            failed: BTreeSet::new(),
            tried: BTreeSet::new(),
            said: None,
            pause: None,
            pauses: 0,
            waits: false,
            lonely: false,
            lacks: Some(now),
            due: Time::NEVER,
            from: None,
            out_bytes: 0,
            answered: 0,
            spec,
        }
    }

    pub(super) fn is_one(&self) -> bool {
        self.spec.settings.mode == Mode::One
    }

    /// Nothing about it differs from the other calls of its service.
    pub(super) fn is_plain(&self) -> bool {
        let settings = &self.spec.settings;
        self.is_one()
            && settings.address == super::terms::Address::Any
            && settings.only.is_none()
            && settings.version.is_empty()
    }

    pub(super) fn target(&mut self, key: EndpointKey) -> Option<&mut Target> {
        self.targets.iter_mut().find(|target| target.key == key)
    }

    /// Something is still expected from somebody.
    pub(super) fn is_asking(&self) -> bool {
        self.targets.iter().any(|target| !target.over)
    }

    /// A survey that somebody has answered, and of which nobody owes an answer.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.spec.settings.mode, Mode::All(_)) && self.answered > 0 && !self.is_asking()
    }

    /// A target of this call. V-14: what may be repeated is tried within a part of the time.
    pub(super) fn aim(&self, now: Time, key: EndpointKey, offer: &Offer) -> Target {
        let settings = &self.spec.settings;
        // A key asks for once; that the service would bear it twice does not change that.
        let keyed = self.spec.key.is_some();
        let safe = settings.safe || offer.safe && !keyed;
        let again = safe || keyed;
        let mut deadline = self.deadline;
        let until = match (settings.mode, settings.per_try) {
            (Mode::Ordered(each), _) => {
                deadline = deadline.min(now + each);
                deadline
            }
            (Mode::One, Some(each)) => self.deadline.min(now + each),
            (Mode::One, None) if again => {
                let each = settings.timeout / settings.tries.max(1);
                self.deadline.min(now + each)
            }
            _ => self.deadline,
        };
        let broker = offer.role == Role::Broker;
        Target {
            key,
            sent: None,
            queued: true,
            attempt: 0,
            until,
            deadline,
            next_part: 0,
            over: false,
            safe,
            broker,
            late: false,
        }
    }

    /// When something is to be done for it next. `empty`: when it is clear that nobody is there.
    pub(super) fn next_due(&self, empty: Option<Time>) -> Time {
        let mut due = self.deadline;
        if let Some(pause) = self.pause {
            due = due.min(pause);
        }
        if self.lonely
            && self.waits
            && !matches!(self.spec.settings.mode, Mode::All(_))
            && self.spec.settings.wait == WaitFor::Settled
            && let Some(empty) = empty
        {
            due = due.min(empty);
        }
        let until = self.targets.iter().filter(|it| !it.over && !it.late).map(|it| it.until);
        until.min().map_or(due, |until| due.min(until))
    }

    pub(super) fn failure(&self, now: Time, kind: FailureKind) -> CallFailure {
        CallFailure {
            kind,
            attempts: self.attempts,
            tried: self.tried.len(),
            after: now.since(self.begun),
        }
    }
}

/// Bytes that a reply takes while it waits.
pub(super) fn size(reply: &ServiceReply) -> usize {
    let properties = reply.properties.iter().map(|(k, v)| k.len() + v.len() + 32).sum::<usize>();
    let frames = reply.frames.iter().map(|frame| frame.len() + 32).sum::<usize>();
    128 + reply.text.len() + properties + frames
}

/// A pause that doubles from `first` to `longest`, ±20 % (V-15). `unit` is chance in `[0, 1)`.
pub fn backoff(first: Duration, longest: Duration, times: u32, unit: f64) -> Duration {
    let doubled = first.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX));
    let pause = doubled.min(longest);
    pause.mul_f64(0.8 + 0.4 * unit)
}
