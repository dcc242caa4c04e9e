//! What a subscriber gets and a publisher gives.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use motet_proto::events::MissedReason;
use motet_proto::node::Payload;
use motet_proto::{EndpointKey, Received};

/// A message, or the place where messages are missing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Delivery {
    /// A message.
    Message(Message),
    /// In this place of the stream of one writer messages are missing. Never silent: what is not
    /// delivered on a reliable topic is reported here.
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

impl Delivery {
    /// The message, if it is one.
    #[must_use]
    pub fn message(self) -> Option<Message> {
        match self {
            Self::Message(message) => Some(message),
            Self::Missed { .. } => None,
        }
    }

    /// Bytes it holds.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Message(message) => message.received.body().len(),
            Self::Missed { .. } => 0,
        }
    }
}

impl From<motet_proto::Delivery> for Delivery {
    fn from(delivery: motet_proto::Delivery) -> Self {
        match delivery {
            motet_proto::Delivery::Message(received) => Self::Message(Message { received }),
            motet_proto::Delivery::Missed { writer, topic, n, reason } => {
                Self::Missed { writer, topic, n, reason }
            }
        }
    }
}

/// A message as it was received. Cloning shares the bytes.
///
/// The payload is a slice of a counted block of memory: a message that is kept may keep its block;
/// copy what is kept for long.
#[derive(Clone, Debug)]
pub struct Message {
    received: Received,
}

impl Message {
    /// The topic it was published on.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.received.topic()
    }

    /// The topic, to be kept without a copy.
    #[must_use]
    pub fn topic_shared(&self) -> Arc<str> {
        Arc::clone(self.received.topic())
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.received.payload()
    }

    /// The payload, to be kept without a copy.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.received.payload_bytes()
    }

    /// Its key, if it has one.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.envelope().and_then(|envelope| envelope.key)
    }

    /// Its headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.envelope().into_iter().flat_map(|envelope| envelope.headers)
    }

    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Who published it.
    #[must_use]
    pub fn writer(&self) -> EndpointKey {
        self.received.writer()
    }

    /// The publisher's name.
    #[must_use]
    pub fn writer_name(&self) -> &str {
        self.received.writer_name()
    }

    /// Its number in the stream of this writer and topic.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.received.seq
    }

    /// How long ago it was published when it was read, corrected for the difference of the two
    /// clocks as far as it is known.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.received.age()
    }

    /// When it was published, by the writer's clock; µs resolution.
    #[must_use]
    pub fn published(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.received.published_us())
    }

    fn envelope(&self) -> Option<motet_proto::wire::Envelope<'_>> {
        motet_proto::wire::Envelope::decode(self.received.body()).ok()
    }
}

/// A message to be published: a payload, and what travels with it.
///
/// ```
/// use motet::Outgoing;
/// let message = Outgoing::new(b"21.5").key(b"sensor-7").header("unit", "C");
/// # let _ = message;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Outgoing<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) headers: Vec<(&'a str, &'a str)>,
    payload: &'a [u8],
    shared: Option<Bytes>,
}

impl<'a> Outgoing<'a> {
    /// Only a payload.
    #[must_use]
    pub fn new(payload: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self { payload: payload.as_ref(), ..Self::default() }
    }

    /// A payload that is not copied: this process's log and what is sent read it where it is. It is
    /// held, with all of the memory that it is a part of, until no reader needs it; small payloads,
    /// of less than 32 KiB, are copied all the same, which is faster.
    ///
    /// ```
    /// use motet::Outgoing;
    /// let picture = vec![0; 1 << 20];
    /// let message = Outgoing::shared(picture).key(b"camera-1");
    /// # let _ = message;
    /// ```
    #[must_use]
    pub fn shared(payload: impl Into<Bytes>) -> Self {
        Self { shared: Some(payload.into()), ..Self::default() }
    }

    pub(crate) fn payload(&self) -> Payload<'_> {
        self.shared.as_ref().map_or(Payload::Copied(self.payload), Payload::Shared)
    }

    /// With a key of at most 1,024 bytes: history and conflation are per key.
    #[must_use]
    pub fn key(mut self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        self.key = Some(key.as_ref());
        self
    }

    /// With one more header; 64 at most.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }
}
