//! Why an operation was refused. One small enum per operation; nothing has changed when one is
//! returned, unless it says so.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use motet_proto::ConfigError;
use thiserror::Error;

/// Why [`Builder::open`](crate::Builder::open) failed. Each text says what happened, why, and what
/// to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The port is taken, by another endpoint or another program.
    #[error("port {port} is in use; name another one, or none to get a free one")]
    PortInUse {
        /// Which.
        port: u16,
    },
    /// The socket cannot be opened.
    #[error("the socket cannot be opened: {0}")]
    Socket(#[source] io::Error),
    /// The interfaces of this machine cannot be listed.
    #[error("the network interfaces cannot be listed: {0}")]
    Interfaces(#[source] io::Error),
    /// A list of interface globs is malformed.
    #[error("the interface list {list:?} is wrong: {reason}")]
    InterfacePattern {
        /// What was given.
        list: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A peer's address is malformed.
    #[error("the peer {peer:?} is wrong: give HOST, HOST:PORT, udp/HOST:PORT or @FILE")]
    PeerSyntax {
        /// What was given.
        peer: String,
    },
    /// A peers file cannot be read, or a line of it is wrong.
    #[error("{place}: {reason}")]
    PeersFile {
        /// The file and the line.
        place: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A tag is malformed, or there are too many.
    #[error("the tag {tag:?} is wrong: {reason}")]
    Tag {
        /// What was given.
        tag: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The address to multicast to is not a multicast address.
    #[error("{0} is no multicast address")]
    NotMulticast(std::net::SocketAddr),
    /// The realm's secret cannot be used.
    #[error(transparent)]
    Realm(#[from] RealmError),
    /// The key file cannot be used.
    #[error("the key file {}: {reason}", path.display())]
    KeyFile {
        /// Which.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Another process uses this key file.
    #[error("the key file {} is in use by another process; give each endpoint its own", path.display())]
    KeyInUse {
        /// Which.
        path: PathBuf,
    },
    /// A setting breaks its bound.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// There is no runtime, or it has no I/O driver.
    #[error("an endpoint must be opened inside a tokio runtime, or with dedicated_thread(true)")]
    NoRuntime,
}

/// Why a realm's file could not be made, read or replaced.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RealmError {
    /// No state directory: neither `MOTET_STATE`, `XDG_STATE_HOME` nor `HOME` is set.
    #[error("there is no place for the realm's secret: set MOTET_STATE to a directory")]
    NoStateDirectory,
    /// The state directory cannot be made or used.
    #[error("the state directory {}: {source}", path.display())]
    StateDirectory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner may use the state directory.
    #[error("others may write to {} (mode {mode:04o}): chmod 700 {}", path.display(), path.display())]
    DirectoryTooOpen {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others than its owner may read or write the secret.
    #[error("others may read {} (mode {mode:04o}): chmod 600 {}, and rotate the secret if they may have read it", path.display(), path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is damaged, or something else.
    #[error("the realm file {}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// The file belongs to another realm.
    #[error("the realm file {} is that of realm {found:?}; move it away", path.display())]
    OtherRealm {
        /// The file.
        path: PathBuf,
        /// The realm in it.
        found: String,
    },
    /// There is no such realm here.
    #[error(
        "there is no realm {name:?} here; make it with: motet realm init {name}, or join it with a line from: motet realm invite {name}"
    )]
    NotFound {
        /// Its name.
        name: String,
    },
    /// There is such a realm already, with another secret.
    #[error("realm {name:?} has another secret here; to replace it, remove {} first", path.display())]
    Exists {
        /// Its name.
        name: String,
        /// Its file.
        path: PathBuf,
    },
    /// The name cannot be one of a realm.
    #[error(
        "{0:?} is no realm name: 1 to 63 bytes, no white space, no slash, no dot or dash first"
    )]
    Name(String),
    /// The line is not a valid invitation.
    #[error("{0}")]
    Invitation(String),
    /// The file cannot be read or written.
    #[error("the realm file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Why a publisher was not made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AdvertiseError {
    /// This endpoint publishes the topic already, with other settings.
    #[error(
        "this endpoint publishes {topic:?} with other settings; use the same, or share the publisher"
    )]
    QosDiffers {
        /// The topic.
        topic: String,
    },
    /// The topic is no topic.
    #[error("{topic:?} is no topic: {reason}")]
    Name {
        /// What was given.
        topic: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting breaks its bound, or there are too many publications.
    #[error("the topic {topic:?} cannot be published: {reason}")]
    Limit {
        /// The topic.
        topic: String,
        /// Which limit.
        reason: String,
    },
    /// The endpoint has closed.
    #[error("the endpoint has closed")]
    Closed,
}

/// Why a message was not published.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The log is full because a reader is slow, and the policy is to block: try again later.
    #[error("the log is full: a reader is slow")]
    Full,
    /// The log stayed full for the publisher's blocking deadline.
    #[error("the log stayed full for {after:?}: a reader is slow")]
    Timeout {
        /// The deadline.
        after: Duration,
    },
    /// The log is full and the policy is to drop the newest message: this one.
    #[error("the message was dropped: a reader is slow")]
    Dropped,
    /// The message is larger than allowed.
    #[error("the message has {size} bytes; at most {max} are allowed")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The bound in bytes.
        max: u64,
    },
    /// The key has more than 1,024 bytes, or there are more than 64 headers.
    #[error("a key has at most 1,024 bytes, a message at most 64 headers")]
    Envelope,
    /// The endpoint has closed.
    #[error("the endpoint has closed")]
    Closed,
}

/// Why a subscriber was not made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// A filter is no filter.
    #[error("{filter:?} is no filter: {reason}")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A setting breaks its bound, or there are too many subscriptions.
    #[error("the subscription was refused: {0}")]
    Limit(String),
    /// The endpoint has closed.
    #[error("the endpoint has closed")]
    Closed,
}

/// Why a message to one endpoint's inbox was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// Nobody of this name or id was found in time.
    #[error("no endpoint {to:?} was found within {after:?}")]
    NotFound {
        /// The name or id.
        to: String,
        /// How long it was looked for.
        after: Duration,
    },
    /// Several endpoints have this name: use the id of one.
    #[error("{n} endpoints are called {to:?}: use an id")]
    Ambiguous {
        /// The name.
        to: String,
        /// How many.
        n: usize,
    },
    /// The endpoint is there, but its inbox was not read from within the time: it may have been
    /// delivered, or not.
    #[error("the message to {to:?} was not acknowledged within {after:?}")]
    Unacknowledged {
        /// The name or id.
        to: String,
        /// How long was waited.
        after: Duration,
    },
    /// The message cannot be sent as it is.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The endpoint has closed, or has too many publications.
    #[error(transparent)]
    Advertise(#[from] AdvertiseError),
}

/// Why waiting ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The time is over.
    #[error("timed out after {after:?}")]
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// The endpoint has closed.
    #[error("the endpoint has closed")]
    Closed,
}

/// Why another endpoint's report was not received.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AskError {
    /// The endpoint that was asked cannot measure its way to the other one.
    #[error("{from:?} cannot measure its way to {to:?}: {reason}")]
    NoWay {
        /// Who was asked to measure.
        from: String,
        /// To whom.
        to: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// Nobody of this name or id was found in time.
    #[error("no endpoint {to:?} was found within {after:?}")]
    NotFound {
        /// The name or id.
        to: String,
        /// How long it was looked for.
        after: Duration,
    },
    /// Several endpoints have this name: use the id of one.
    #[error("{n} endpoints are called {to:?}: use an id")]
    Ambiguous {
        /// The name.
        to: String,
        /// How many.
        n: usize,
    },
    /// The endpoint left while it was asked.
    #[error("the endpoint {to:?} is gone")]
    Gone {
        /// The name or id.
        to: String,
    },
    /// No answer came in time.
    #[error("{to:?} did not answer within {after:?}")]
    Timeout {
        /// The name or id.
        to: String,
        /// The limit.
        after: Duration,
    },
    /// Too many questions to this endpoint are open.
    #[error("too many questions to {to:?} are open")]
    Limit {
        /// The name or id.
        to: String,
    },
    /// The answer is not one that this version understands.
    #[error("the answer of {to:?} is not understood; its version may be another")]
    Malformed {
        /// The name or id.
        to: String,
    },
    /// This endpoint has closed.
    #[error("the endpoint has closed")]
    Closed,
}

/// Why an impairment was not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{part:?} is no impairment: give loss=5%,dup=1%,reorder=2%,corrupt=0.1%,seed=7")]
pub struct ImpairmentError {
    /// The part that is wrong.
    pub part: String,
}
