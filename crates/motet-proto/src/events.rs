//! What a node tells its application.

use crate::explain::Offence;
use crate::ids::{
    BookId, CallId, EndpointKey, PubId, QueryId, QueryKey, RequestId, ServeId, SubId, WatchId,
};
use crate::received::Received;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use motet_wire::record::swim::SwimState;

/// Something happened. Data is not in events: `Readable` says that [`Node::read`](crate::Node::read)
/// has something.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// [`Node::read`](crate::Node::read) of this subscription returns something.
    Readable(SubId),
    /// A publication that refused with `Full` takes messages again.
    Writable(PubId),
    /// A session with this peer stands.
    PeerUp {
        /// Who.
        key: EndpointKey,
        /// Its name.
        name: Arc<str>,
    },
    /// A peer is gone.
    PeerDown {
        /// Who.
        key: EndpointKey,
        /// Its name.
        name: Arc<str>,
        /// Why.
        reason: DownReason,
        /// How long it had been silent.
        silent: Duration,
    },
    /// A peer stopped answering but is not given up yet.
    PeerSuspect {
        /// Who.
        key: EndpointKey,
    },
    /// Two live endpoints hold one name. Told to both.
    NameConflict {
        /// The name.
        name: Arc<str>,
        /// The other holder, or one of two others.
        other: EndpointKey,
        /// True at the endpoint that came later.
        newcomer: bool,
    },
    /// One key is alive twice.
    DuplicateIdentity {
        /// Whose.
        key: EndpointKey,
    },
    /// A reader of a publication is ready: it gets everything from now on.
    ReaderJoined {
        /// Of which publication.
        publication: PubId,
        /// Who.
        reader: EndpointKey,
        /// Active readers now.
        readers: usize,
    },
    /// A reader left.
    ReaderLeft {
        /// Of which publication.
        publication: PubId,
        /// Who.
        reader: EndpointKey,
        /// Active readers now.
        readers: usize,
        /// Why.
        reason: DownReason,
    },
    /// A reader lost messages at this writer's log; it was told by `Missed`.
    ReaderLagging {
        /// Of which publication.
        publication: PubId,
        /// Who.
        reader: EndpointKey,
        /// How many messages.
        missed: u64,
    },
    /// A reader and a writer use one topic with different type tags. Told to both, once per pair.
    TypeMismatch {
        /// The topic.
        topic: Arc<str>,
        /// Ours.
        ours: Arc<str>,
        /// Theirs.
        theirs: Arc<str>,
        /// Who.
        peer: EndpointKey,
    },
    /// A writer of a subscription has come or gone.
    Writer {
        /// Of which subscription.
        subscription: SubId,
        /// Who.
        writer: EndpointKey,
        /// The topic.
        topic: Arc<str>,
        /// What happened to it.
        state: WriterState,
    },
    /// A message was larger than this reader takes.
    Refused {
        /// Of which publication.
        publication: PubId,
        /// Who.
        reader: EndpointKey,
        /// Its limit in bytes.
        limit: u64,
    },
    /// All live readers of a publication have acknowledged everything published so far.
    Flushed(PubId),
    /// A member of the realm, with or without a session, stands elsewhere now. A hint.
    Member {
        /// Who.
        key: EndpointKey,
        /// Its name; empty if it is not known yet.
        name: Arc<str>,
        /// Where it stands.
        state: SwimState,
    },
    /// Discovery has been quiet for 300 ms (or 1 s has passed since the start).
    Settled,
    /// A peer asks something; reply with [`Node::answer`](crate::Node::answer).
    Query {
        /// Who asks, and its number.
        key: QueryKey,
        /// What it asks: see the `motet` crate.
        what: u8,
        /// Where to go on.
        cursor: u64,
        /// About what; empty for most questions.
        argument: Vec<u8>,
    },
    /// A member of the realm breaks a limit. Told once a minute per member and limit; what it does
    /// is counted ([`Node::offenders`](crate::Node::offenders)) and harms nobody else.
    Offender {
        /// Who.
        key: EndpointKey,
        /// Which limit.
        what: Offence,
    },
    /// The answer to a question of ours, or its end.
    Answer {
        /// Which.
        id: QueryId,
        /// The body; `None` if the peer is gone.
        body: Option<Vec<u8>>,
        /// Where to go on, if there is more.
        next: Option<u64>,
    },
    /// No multicast copy of our own beacon came back from this interface.
    NoMulticast {
        /// Interface index.
        iface: u32,
    },
    /// [`Node::next_request`](crate::Node::next_request) of this service returns something.
    Request(ServeId),
    /// Nobody waits for the answer to this request any more: its caller cancelled it, or is gone.
    RequestCancelled(RequestId),
    /// [`Node::take_output`](crate::Node::take_output) of this call returns something.
    CallOutput(CallId),
    /// [`Node::take_change`](crate::Node::take_change) of this watch returns something.
    ServiceChange(WatchId),
    /// A call finds nobody in its book, or no answer in it that is new enough: to be asked for anew
    /// and written by [`Node::write_book`](crate::Node::write_book).
    BookLacks(BookId),
    /// An answer to [`Node::ping_service`](crate::Node::ping_service) has come.
    Standing(u64),
    /// Servers have answered questions about keys: [`Node::take_finding`](crate::Node::take_finding).
    Findings,
    /// Everything was said; the node may be dropped.
    Drained,
}

/// Why a peer or a reader is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DownReason {
    /// It said goodbye.
    Left,
    /// It was silent for too long.
    Silent,
    /// The same identity, or a newcomer with its name, took its place.
    Restarted,
    /// It held the queue full for too long (policy disconnect).
    Evicted,
    /// It unsubscribed.
    Unsubscribed,
    /// It broke the protocol.
    Protocol,
    /// We closed.
    Closed,
    /// The session carried nothing; the member lives on without one.
    Idle,
}

/// What happened to a writer that a subscription reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriterState {
    /// Its stream is open.
    Joined,
    /// Its session is dead; it may still come back.
    Suspended,
    /// It is back where it was.
    Resumed,
    /// It ended the stream or left.
    Left,
    /// It died.
    Dead,
    /// A new incarnation took its place.
    Restarted,
    /// It dropped us because we were too slow (policy disconnect).
    Evicted,
    /// We left it because we were further behind than our abort threshold.
    TooSlow,
}

/// What [`Node::read`](crate::Node::read) returns.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// A message.
    Message(Received),
    /// In this place of the stream messages are missing.
    Missed {
        /// Whose.
        writer: EndpointKey,
        /// On which topic.
        topic: Arc<str>,
        /// How many.
        n: u64,
        /// Why.
        reason: MissedReason,
    },
}

/// Why messages are missing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum MissedReason {
    /// The writer's log was full and dropped them (its policy).
    Evicted,
    /// They outlived their lifespan.
    Expired,
    /// A newer value of the same key took their place.
    Conflated,
    /// The reader's own queue was full (its policy).
    QueueFull,
    /// Larger than this reader takes.
    Refused,
    /// Best effort: lost on the way.
    Lost,
    /// The writer cancelled them.
    Cancelled,
    /// Filtered at the writer.
    Filtered,
    /// The reader fell behind its abort threshold.
    Lagging,
}
