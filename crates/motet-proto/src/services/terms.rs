//! What goes in and out of the layer.

use crate::ids::{BookId, EndpointId, EndpointKey, RequestId};
use crate::time::Time;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

pub use motet_wire::service::{Address, InstanceState, Offer, Role, ServiceStatus, Stats};

/// How a service is offered. Unit, default, bound and price of each field are in docs/defaults.md.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServeSettings {
    /// Requests handed to the program at once. Default 64; at least 1.
    pub concurrency: u32,
    /// Requests that one caller may have open here. Default 256; at least 1.
    pub credit: u32,
    /// Requests that wait here; above this (the high-water mark) they are refused as overload.
    /// Default 1,024.
    pub queue: u32,
    /// Bytes of requests that wait here. Default 64 MiB.
    pub queue_bytes: usize,
    /// Replies kept for requests with an idempotency key, in bytes. Default 8 MiB; 0: none.
    pub cache_bytes: usize,
    /// How long they are kept. Default 60 s.
    pub cache_for: Duration,
    /// To run a request twice does no harm: callers may repeat it anywhere. Default false.
    pub safe: bool,
    /// What the instance is to those who call. Default [`Role::Direct`].
    pub role: Role,
    /// Version of the service: at most 64 bytes. Default empty.
    pub version: String,
    /// At most 64 names and values, shown to everybody. `group` is what
    /// [`Address::Group`] compares.
    pub metadata: Vec<(String, String)>,
    /// Services that this one cannot do without: at most 32.
    pub requires: Vec<String>,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            concurrency: 64,
            credit: 256,
            queue: 1_024,
            queue_bytes: 64 << 20,
            cache_bytes: 8 << 20,
            cache_for: Duration::from_secs(60),
            safe: false,
            role: Role::Direct,
            version: String::new(),
            metadata: Vec::new(),
            requires: Vec::new(),
        }
    }
}

/// Which instances a call goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Mode {
    /// To one, chosen by load.
    #[default]
    One,
    /// To so many at once (0: all); the first answer counts.
    First(u32),
    /// To all; every answer counts, for so long.
    All(Duration),
    /// To one after the other, in the order of their ids, each at most once and for so long; those
    /// that failed last come last. A single one is tried as often as the call may be tried.
    Ordered(Duration),
}

/// How long to wait for an instance where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum WaitFor {
    /// Until discovery has settled; an instance that went less than 3 s ago is waited for so long.
    #[default]
    Settled,
    /// Not at all.
    Nothing,
    /// As long as the call may take.
    Deadline,
}

/// Which roles a call goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Reach {
    /// [`Role::Direct`] and [`Role::Broker`].
    #[default]
    Callers,
    /// [`Role::Direct`] and [`Role::Worker`]: for brokers.
    Workers,
    /// [`Role::Broker`] only: for brokers that forward.
    Brokers,
}

/// A call.
#[derive(Clone, Debug, Default)]
pub struct CallSpec {
    /// How it is made.
    pub settings: CallSettings,
    /// Names the deed: with the same key (1 to 512 bytes) one server does it once.
    pub key: Option<Bytes>,
    /// At most 64 names and values.
    pub properties: Vec<(String, String)>,
    /// Endpoints that passed it on: at most 16.
    pub hops: Vec<EndpointId>,
    /// How often it was sent before, by those who passed it on; for a server, the number of the
    /// inquiry that found the way free (V-41).
    pub sent_before: u64,
    /// The body, in at most 256 parts.
    pub frames: Vec<Bytes>,
}

/// How calls are made. Unit, default, bound and price of each field are in docs/defaults.md.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallSettings {
    /// After this the call ends as timed out. Default 5 s.
    pub timeout: Duration,
    /// After this an attempt counts as failed, and the next begins. Default: `timeout / tries` for
    /// calls that may be repeated, else `timeout`.
    pub per_try: Option<Duration>,
    /// How often it is sent, if it may be repeated: with a key or to a safe service. Default 3.
    pub tries: u32,
    /// The first pause before another try, and the longest; doubled, ±20 %. Default 100 ms, 5 s.
    pub backoff: (Duration, Duration),
    /// To run it twice does no harm. Default false.
    pub safe: bool,
    /// Which instances it goes to. Default [`Mode::One`].
    pub mode: Mode,
    /// Which roles it goes to. Default [`Reach::Callers`].
    pub reach: Reach,
    /// Whom it is meant for. Default [`Address::Any`].
    pub address: Address,
    /// Only the instance at this endpoint gets it; the address travels unchanged. For brokers.
    /// Default: none.
    pub only: Option<EndpointId>,
    /// Only instances that are listed in this book get it. Default: none.
    pub book: Option<BookId>,
    /// Version wanted; `2` is also 2.1 and 2.1.7. Default empty: any.
    pub version: String,
    /// How long to wait for an instance. Default [`WaitFor::Settled`].
    pub wait: WaitFor,
    /// An instance with open requests that has been silent for so long is not chosen until its
    /// next sign of life. Default 6 s.
    pub ttl: Duration,
    /// Bytes of replies that wait for the program. Default 64 MiB.
    pub reply_bytes: usize,
}

impl Default for CallSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            per_try: None,
            tries: 3,
            backoff: (Duration::from_millis(100), Duration::from_secs(5)),
            safe: false,
            mode: Mode::One,
            reach: Reach::Callers,
            address: Address::Any,
            only: None,
            book: None,
            version: String::new(),
            wait: WaitFor::Settled,
            ttl: Duration::from_secs(6),
            reply_bytes: 64 << 20,
        }
    }
}

/// A request that the program is to work on.
#[derive(Clone, Debug)]
pub struct ServiceRequest {
    /// Which.
    pub id: RequestId,
    /// The service.
    pub service: Arc<str>,
    /// Who calls.
    pub client: EndpointKey,
    /// Its name.
    pub client_name: Arc<str>,
    /// The caller's number for the call; with its incarnation the correlation id.
    pub call: u64,
    /// How often the call was sent, this one included.
    pub attempt: u64,
    /// Its idempotency key.
    pub key: Option<Bytes>,
    /// Whom it was meant for.
    pub address: Address,
    /// The version of the service that the caller wants; empty: any.
    pub version: String,
    /// When nobody waits for the answer any more.
    pub deadline: Time,
    /// Endpoints that passed it on.
    pub hops: Vec<EndpointId>,
    /// Names and values.
    pub properties: Vec<(String, String)>,
    /// The body, in parts.
    pub frames: Vec<Bytes>,
}

/// What the program answers.
#[derive(Clone, Debug)]
pub struct ReplySpec {
    /// How it ended.
    pub status: ServiceStatus,
    /// The program's own code, with [`ServiceStatus::Failed`].
    pub code: u64,
    /// What there is to say about the status.
    pub text: String,
    /// Nothing follows.
    pub last: bool,
    /// At most 64 names and values.
    pub properties: Vec<(String, String)>,
    /// The body, in at most 256 parts.
    pub frames: Vec<Bytes>,
}

impl Default for ReplySpec {
    fn default() -> Self {
        Self {
            status: ServiceStatus::Ok,
            code: 0,
            text: String::new(),
            last: true,
            properties: Vec::new(),
            frames: Vec::new(),
        }
    }
}

/// An answer as its caller gets it.
#[derive(Clone, Debug)]
pub struct ServiceReply {
    /// Who answered.
    pub from: EndpointKey,
    /// Which part, from 0.
    pub part: u64,
    /// Nothing follows from this instance.
    pub last: bool,
    /// It was kept from an earlier request with the same key.
    pub cached: bool,
    /// How it ended.
    pub status: ServiceStatus,
    /// The program's own code, with [`ServiceStatus::Failed`].
    pub code: u64,
    /// What there is to say about the status.
    pub text: String,
    /// How long it was worked on.
    pub took: Duration,
    /// Names and values.
    pub properties: Vec<(String, String)>,
    /// The body, in parts.
    pub frames: Vec<Bytes>,
}

/// What comes of a call, in order; after anything but `Part` nothing follows.
#[derive(Clone, Debug)]
pub enum CallOutput {
    /// An answer; others follow.
    Part(ServiceReply),
    /// The answer, or its last part.
    Done(ServiceReply),
    /// All answers have come that can come (of a call to all).
    End {
        /// Instances that were asked.
        asked: usize,
        /// Of these, those that answered.
        answered: usize,
    },
    /// It failed.
    Failed(CallFailure),
}

/// Why a call failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallFailure {
    /// What happened.
    pub kind: FailureKind,
    /// How often it was sent.
    pub attempts: u64,
    /// Instances it was sent to.
    pub tried: usize,
    /// How long it took.
    pub after: Duration,
}

/// The ways in which a call fails.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FailureKind {
    /// Nobody offers the service, or nobody who takes work.
    NoResponders,
    /// No answer within the time.
    TimedOut,
    /// An instance, or a broker, said no.
    Status {
        /// Who.
        from: EndpointKey,
        /// How.
        status: ServiceStatus,
        /// The program's own code.
        code: u64,
        /// In words.
        text: String,
    },
    /// The instance died, or left, and the call may have run there: nobody can know.
    Unknown {
        /// Which.
        at: EndpointKey,
    },
    /// The caller cancelled it.
    Cancelled,
    /// Replies came faster than the program took them.
    TooLarge,
    /// The endpoint closed.
    Closed,
}

/// An instance of a service as this endpoint knows it.
#[derive(Clone, Debug)]
pub struct InstanceView {
    /// The service.
    pub service: Arc<str>,
    /// Who.
    pub key: EndpointKey,
    /// Its name.
    pub name: Arc<str>,
    /// What it says of itself.
    pub offer: Offer,
    /// Requests of ours that are open there.
    pub outstanding: usize,
    /// How long it works on a request, smoothed; zero until known.
    pub took: Duration,
    /// When it was last heard of.
    pub heard: Time,
    /// It does not answer at the moment, and is not chosen.
    pub silent: bool,
}

/// What happened to an instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Change {
    /// It is there.
    Up,
    /// It says something else of itself: state, credit, metadata.
    Changed,
    /// It does not answer at the moment.
    Silent,
    /// It answers again.
    Back,
    /// It is gone.
    Gone,
}
