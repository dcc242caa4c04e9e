//! What an instance says of itself.

use alloc::string::String;
use alloc::vec::Vec;

use super::{
    MAX_REASON, MAX_REQUIRES, MAX_SERVICE, MAX_SERVICE_VERSION, get_properties, get_text, head,
    kind, put_properties, put_text, start,
};
use crate::Malformed;
use crate::codec::{self, Reader};

/// Whether an instance takes work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum InstanceState {
    /// It takes work.
    #[default]
    Up,
    /// It finishes what it has, and takes nothing new.
    Draining,
    /// Taken out on purpose, with a reason.
    Maintenance,
    /// A check of its own says that it cannot work.
    Unhealthy,
}

impl InstanceState {
    /// As one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Maintenance => "maintenance",
            Self::Unhealthy => "unhealthy",
        }
    }

    fn decode(byte: u8) -> Result<Self, Malformed> {
        Ok(match byte {
            0 => Self::Up,
            1 => Self::Draining,
            2 => Self::Maintenance,
            3 => Self::Unhealthy,
            _ => return Err(Malformed::Value),
        })
    }
}

/// What an instance is to those who call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Role {
    /// It does the work, for whoever calls.
    #[default]
    Direct,
    /// It passes requests on.
    Broker,
    /// It does the work, for brokers only.
    Worker,
}

impl Role {
    /// As one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Broker => "broker",
            Self::Worker => "worker",
        }
    }

    fn decode(byte: u8) -> Result<Self, Malformed> {
        Ok(match byte {
            0 => Self::Direct,
            1 => Self::Broker,
            2 => Self::Worker,
            _ => return Err(Malformed::Value),
        })
    }
}

const SAFE: u8 = 1;

/// What an instance says of itself: who may send it what, and how much.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Offer {
    /// Whether it takes work.
    pub state: InstanceState,
    /// What it is to those who call.
    pub role: Role,
    /// To run a request twice does no harm: callers may repeat it anywhere.
    pub safe: bool,
    /// Requests that it works on at once.
    pub concurrency: u64,
    /// Requests that one caller may have open there.
    pub credit: u64,
    /// Requests that wait there now.
    pub queued: u64,
    /// Requests that are worked on now.
    pub running: u64,
    /// Requests that may wait there; above that it refuses.
    pub queue_max: u64,
    /// What the program says of its load, in thousandths; 0 if it says nothing.
    pub load: u64,
    /// Version of the service: at most 64 bytes.
    pub version: String,
    /// Why it is not up: at most 256 bytes.
    pub reason: String,
    /// At most 64 names and values.
    pub metadata: Vec<(String, String)>,
    /// Services that this one cannot do without: at most 32.
    pub requires: Vec<String>,
}

impl Offer {
    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        start(out, kind::OFFER);
        self.put(out);
    }

    /// Takes a message apart.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        if head(&mut r)? != kind::OFFER {
            return Err(Malformed::Type);
        }
        let offer = Self::get(&mut r)?;
        r.finish().map(|()| offer)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let flags = if self.safe { SAFE } else { 0 };
        out.extend_from_slice(&[self.state as u8, self.role as u8, flags]);
        for number in
            [self.concurrency, self.credit, self.queued, self.running, self.queue_max, self.load]
        {
            codec::put_vi(out, number);
        }
        put_text(out, &self.version, MAX_SERVICE_VERSION);
        put_text(out, &self.reason, MAX_REASON);
        put_properties(out, self.metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        codec::put_vi(out, self.requires.len().min(MAX_REQUIRES) as u64);
        for service in self.requires.iter().take(MAX_REQUIRES) {
            put_text(out, service, MAX_SERVICE);
        }
    }

    pub(super) fn get(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let state = InstanceState::decode(r.get_u8()?)?;
        let role = Role::decode(r.get_u8()?)?;
        let safe = r.get_flags(SAFE)? & SAFE != 0;
        let (concurrency, credit) = (r.get_vi()?, r.get_vi()?);
        let (queued, running) = (r.get_vi()?, r.get_vi()?);
        let (queue_max, load) = (r.get_vi()?, r.get_vi()?);
        let version = get_text(r, MAX_SERVICE_VERSION)?.into();
        let reason = get_text(r, MAX_REASON)?.into();
        let pairs = get_properties(r)?;
        let metadata = pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        let n = r.get_count(MAX_REQUIRES)?;
        let requires: Result<_, _> =
            (0..n).map(|_| get_text(r, MAX_SERVICE).map(String::from)).collect();
        let requires = requires?;
        Ok(Self {
            state,
            role,
            safe,
            concurrency,
            credit,
            queued,
            running,
            queue_max,
            load,
            version,
            reason,
            metadata,
            requires,
        })
    }
}

/// What an instance has counted since it began.
///
/// As bytes: `vi` each, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Requests accepted.
    pub accepted: u64,
    /// Requests answered with success.
    pub answered: u64,
    /// Requests that the program failed.
    pub failed: u64,
    /// Requests refused: overload, deadline, state, cancelled before their start.
    pub refused: u64,
    /// Answers from the reply cache, and requests attached to one that runs.
    pub repeated: u64,
    /// Time spent on requests in all, in µs.
    pub busy_us: u64,
}

impl Stats {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let Self { accepted, answered, failed, refused, repeated, busy_us } = *self;
        for number in [accepted, answered, failed, refused, repeated, busy_us] {
            codec::put_vi(out, number);
        }
    }

    pub(super) fn get(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            accepted: r.get_vi()?,
            answered: r.get_vi()?,
            failed: r.get_vi()?,
            refused: r.get_vi()?,
            repeated: r.get_vi()?,
            busy_us: r.get_vi()?,
        })
    }
}
