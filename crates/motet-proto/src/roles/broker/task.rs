//! A request on its way through a broker.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::claims::Claim;
use crate::ids::{EndpointId, EndpointKey};
use crate::time::Time;
use crate::wanted::{Kind, Wanted};

/// The host's number for a request.
pub type TaskId = u64;

/// What the broker has to know of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which service.
    pub service: Arc<str>,
    /// When it is too late to begin.
    pub deadline: Time,
    /// The key under which it runs once.
    pub key: Option<Vec<u8>>,
    /// To run it twice does no harm: it is given again when a worker dies.
    pub repeatable: bool,
    /// Brokers it has passed.
    pub hops: Vec<EndpointId>,
    /// It is not its first attempt: somebody may have it already.
    pub again: bool,
    /// Which workers will do (B-18).
    pub wanted: Wanted,
}

/// What became of a task that was given away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// There is an answer, good or bad.
    Answered,
    /// It was turned down before it began.
    NotBegun,
    /// Nobody knows whether it ran.
    Lost,
}

/// Why a task is not done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Refusal {
    /// Nobody is there who would do it.
    NoWorkers,
    /// Too much waits already.
    Overload,
    /// Whoever it was given to said no, time and again: what the last one said is the answer.
    TurnedDown,
    /// Too old to be begun.
    DeadlinePassed,
    /// It came back, or has passed too many brokers.
    Loop,
    /// It may have run or not.
    Unknown,
    /// This broker ends.
    Draining,
}

/// Where a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Given {
    pub(super) to: EndpointKey,
    pub(super) forward: bool,
}

#[derive(Debug)]
pub(super) struct Task {
    pub(super) asked: Asked,
    /// Service and key, if it has one.
    pub(super) name: Option<Vec<u8>>,
    pub(super) given: Option<Given>,
    pub(super) tries: u32,
    /// It has a key, and somebody may have begun it: servers are asked before it is given (B-17).
    pub(super) doubt: bool,
    /// Nobody knows what became of it where it was.
    pub(super) lost: bool,
    /// What is known of its key.
    pub(super) standing: Standing,
}

/// What is known of where a key is.
#[derive(Debug, Default)]
pub(super) enum Standing {
    /// Nothing.
    #[default]
    Unknown,
    /// Servers are being asked: it is in no queue meanwhile.
    Asking(Inquiry),
    /// This one has it.
    Held(EndpointKey),
    /// These have promised to begin it for nobody else, under this number.
    Clear(u64, BTreeSet<EndpointKey>),
}

impl Inquiry {
    pub(super) fn new(now: Time, number: u64) -> Self {
        let (waiting, promised) = (BTreeSet::new(), BTreeSet::new());
        let absurd = BTreeSet::new();
        Self { number, waiting, promised, absurd, again_at: None, asked_at: now }
    }
}

/// A question to all servers.
#[derive(Debug)]
pub(super) struct Inquiry {
    pub(super) number: u64,
    pub(super) waiting: BTreeSet<EndpointKey>,
    pub(super) promised: BTreeSet<EndpointKey>,
    /// Whose answer made no sense: they get nothing.
    pub(super) absurd: BTreeSet<EndpointKey>,
    /// Another asked later: when to ask again.
    pub(super) again_at: Option<Time>,
    /// When those that have not answered were asked: an answer may be lost with a session.
    pub(super) asked_at: Time,
}

impl Task {
    pub(super) fn new(asked: Asked) -> Self {
        let name = asked.key.as_ref().map(|key| Claim::name(&asked.service, key));
        let doubt = asked.again && name.is_some();
        let standing = Standing::Unknown;
        Self { asked, name, given: None, tries: 0, doubt, lost: false, standing }
    }
}

/// The tasks of one service, and what was told of it.
#[derive(Debug, Default)]
pub(super) struct Service {
    pub(super) queue: VecDeque<TaskId>,
    /// Since when no worker has been there, if one ever was.
    pub(super) unstaffed: Option<Time>,
    pub(super) accepted: u64,
    pub(super) answered: u64,
    /// Free, capacity and waiting as told last, and when.
    pub(super) told: Option<(u64, u64, u64, Time)>,
    /// The kinds of workers as told last.
    pub(super) told_kinds: Vec<Kind>,
    /// Kinds of workers that have left lately, and when.
    pub(super) left: VecDeque<(Kind, Time)>,
}
