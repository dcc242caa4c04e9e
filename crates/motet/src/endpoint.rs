//! The handle of an endpoint.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use motet_proto::{EndpointId, EndpointKey, PubQos, SubQos, Time, node};

use crate::ask::{Answer, What};
use crate::builder::Builder;
use crate::driver::{Core, Hold};
use crate::error::{AdvertiseError, AskError, SendError, SubscribeError, WaitError};
use crate::event::EventStream;
use crate::message::Outgoing;
use crate::publisher::Publisher;
use crate::report;
use crate::subscriber::Subscriber;

/// One participant on the network. Cloning shares it.
///
/// When the last handle is dropped (endpoints, publishers and subscribers all are handles), the
/// endpoint says goodbye without waiting. [`Endpoint::close`] waits.
#[derive(Clone)]
pub struct Endpoint {
    pub(crate) hold: Arc<Hold>,
}

impl Endpoint {
    /// Starts to describe an endpoint. Nothing is mandatory.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Its id: the hash of its key.
    #[must_use]
    pub fn id(&self) -> EndpointId {
        self.core().key.id
    }

    /// Its id and incarnation.
    #[must_use]
    pub fn key(&self) -> EndpointKey {
        self.core().key
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.core().name
    }

    /// The unicast address it listens on. The port is the one that peers can be given.
    #[must_use]
    pub fn local_addr(&self) -> std::net::SocketAddr {
        self.core().about.listen
    }

    /// Publishes on `topic`, with default settings: reliable, the last message kept for late
    /// joiners, the oldest message dropped for readers that are slow.
    ///
    /// # Errors
    /// [`AdvertiseError`].
    ///
    /// # Cancel safety
    /// Cancel safe: it does not wait.
    pub async fn publisher(&self, topic: &str) -> Result<Publisher, AdvertiseError> {
        self.publisher_with(topic, PubQos::default()).await
    }

    /// Publishes on `topic`.
    ///
    /// # Errors
    /// [`AdvertiseError`]; `QosDiffers` if this endpoint publishes the topic with other settings.
    ///
    /// # Cancel safety
    /// Cancel safe: it does not wait.
    pub async fn publisher_with(
        &self,
        topic: &str,
        qos: PubQos,
    ) -> Result<Publisher, AdvertiseError> {
        Publisher::advertise(&self.hold, topic, qos, None)
    }

    /// Reads all topics that `filter` matches, with default settings.
    ///
    /// # Errors
    /// [`SubscribeError`].
    ///
    /// # Cancel safety
    /// Cancel safe: it does not wait.
    pub async fn subscriber(&self, filter: &str) -> Result<Subscriber, SubscribeError> {
        self.subscriber_with(&[filter], SubQos::default()).await
    }

    /// Reads all topics that any of `filters` matches, each message once.
    ///
    /// # Errors
    /// [`SubscribeError`].
    ///
    /// # Cancel safety
    /// Cancel safe: it does not wait.
    pub async fn subscriber_with(
        &self,
        filters: &[&str],
        qos: SubQos,
    ) -> Result<Subscriber, SubscribeError> {
        if self.core().is_leaving() {
            return Err(SubscribeError::Closed);
        }
        let names = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let made = Subscriber::register(&self.hold, names, |inner, now| {
            inner.node.subscribe(now, filters, qos)
        });
        made.map_err(|error| match error {
            node::SubscribeError::Filter(filter) => {
                SubscribeError::Filter { filter: filters.join(" "), reason: filter.to_string() }
            }
            other => SubscribeError::Limit(other.to_string()),
        })
    }

    /// Reads what others [`send`](Endpoint::send) to this endpoint.
    ///
    /// # Errors
    /// [`SubscribeError::Closed`].
    ///
    /// # Cancel safety
    /// Cancel safe: it does not wait.
    pub async fn inbox(&self) -> Result<Subscriber, SubscribeError> {
        if self.core().is_leaving() {
            return Err(SubscribeError::Closed);
        }
        let qos = SubQos::default();
        Subscriber::register(&self.hold, Vec::new(), |inner, now| {
            Ok(inner.node.subscribe_inbox(now, qos))
        })
    }

    /// Sends one message into the inbox of the endpoint that has this name or id, wherever it is,
    /// and waits until it has acknowledged it.
    ///
    /// # Errors
    /// [`SendError`]. What cannot be delivered is an error, never silence.
    ///
    /// # Cancel safety
    /// Not cancel safe: a message whose sending is abandoned may be delivered or not.
    pub async fn send(
        &self,
        to: &str,
        payload: impl AsRef<[u8]>,
        limit: Duration,
    ) -> Result<Receipt, SendError> {
        let begun = self.core().clock.now();
        let left = |core: &Core| limit.saturating_sub(core.clock.now().since(begun));
        let key = self.find(to, limit).await.map_err(|missing| match missing {
            Missing::Nobody => SendError::NotFound { to: to.to_owned(), after: limit },
            Missing::Several(n) => SendError::Ambiguous { to: to.to_owned(), n },
            Missing::Closed => SendError::Publish(crate::PublishError::Closed),
        })?;
        let qos = PubQos { history: 0, ..PubQos::default() };
        let topic = format!("$inbox/{}", key.id);
        let publisher = Publisher::advertise(&self.hold, &topic, qos, Some(key.id))?;
        let late = |_| SendError::Unacknowledged { to: to.to_owned(), after: limit };
        publisher.wait_readers(1, left(self.core())).await.map_err(late)?;
        let seq = publisher.publish_with(&Outgoing::new(payload.as_ref())).await?;
        publisher.flushed(left(self.core())).await.map_err(late)?;
        // A reader may have left while we waited, with or without an acknowledgement.
        if !publisher.is_confirmed(seq) {
            return Err(late(WaitError::Closed));
        }
        Ok(Receipt { to: key, seq, took: self.core().clock.now().since(begun) })
    }

    /// What happens around this endpoint from now on.
    #[must_use]
    pub fn events(&self) -> EventStream {
        self.core().events()
    }

    /// Everything this endpoint knows, now.
    #[must_use]
    pub fn snapshot(&self) -> report::Snapshot {
        crate::ask::snapshot(self.core())
    }

    /// The others, as this endpoint sees them now: the part of [`Endpoint::snapshot`] that costs
    /// little.
    #[must_use]
    pub fn peers(&self) -> Vec<report::PeerReport> {
        let core = self.core();
        core.with(|inner, now| crate::ask::peers(core, inner, now))
    }

    /// The members of the realm, as this endpoint sees them now: also those without a session, and
    /// for a while those that died or left.
    #[must_use]
    pub fn members(&self) -> Vec<report::MemberReport> {
        self.core().with(|inner, now| crate::ask::members(inner, now))
    }

    /// The endpoints that have this name or id, as far as they are known now.
    #[must_use]
    pub fn resolve(&self, name_or_id: &str) -> Vec<EndpointKey> {
        self.core().with(|inner, _| resolve(&inner.node, name_or_id))
    }

    /// Waits until discovery has settled: 300 ms without news since the start, or 1 s in all. True
    /// if it has, false if the endpoint has closed meanwhile.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn settled(&self) -> bool {
        let settled = |inner: &mut crate::driver::Inner, _| inner.node.settled().then_some(());
        self.core().wait(SETTLED_MAX, settled).await.is_some()
    }

    /// Asks the endpoint that has this name or id for a sign of life; the round-trip time.
    ///
    /// # Errors
    /// [`AskError`].
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn ping(&self, to: &str, limit: Duration) -> Result<Duration, AskError> {
        let key = self.find_asked(to, limit).await?;
        let core = self.core();
        if key == core.key {
            return Ok(Duration::ZERO);
        }
        let begun = core.clock.now();
        // A peer that is only known by hearsay gets its session first.
        core.wait(limit, |inner, now| inner.node.ping(now, key.id).then_some(())).await;
        core.flush();
        let left = limit.saturating_sub(core.clock.now().since(begun));
        let answered = core.wait(left, |inner, _| heard(&inner.node, key.id, begun)).await;
        answered.ok_or_else(|| AskError::Timeout { to: to.to_owned(), after: limit })
    }

    /// Asks the endpoint that has this name or id about itself.
    ///
    /// # Errors
    /// [`AskError`].
    ///
    /// # Cancel safety
    /// Cancel safe: an abandoned question costs its answer.
    pub async fn ask(&self, to: &str, what: What, limit: Duration) -> Result<Answer, AskError> {
        let key = self.find_asked(to, limit).await?;
        crate::ask::ask(self.core(), to, key.id, what, limit).await
    }

    /// Has `from` measure its way to `to`, both by name or id: `from` pings `to` a few times on the
    /// session that stands between the two. Either may be this endpoint.
    ///
    /// # Errors
    /// [`AskError`]; `NoWay` if `from` has no session with `to` or gets no answer from it.
    ///
    /// # Cancel safety
    /// Cancel safe: an abandoned measurement costs five pings.
    pub async fn round_trip(
        &self,
        from: &str,
        to: &str,
        limit: Duration,
    ) -> Result<report::RoundTripReport, AskError> {
        let (from_key, to_key) =
            (self.find_asked(from, limit).await?, self.find_asked(to, limit).await?);
        let no_way = |reason| AskError::NoWay { from: from.to_owned(), to: to.to_owned(), reason };
        if from_key == to_key {
            return Err(no_way("they are one endpoint; name two".to_owned()));
        }
        let what = What::RoundTrip(to_key.id);
        match crate::ask::ask(self.core(), from, from_key.id, what, limit).await? {
            Answer::RoundTrip(report) if report.trouble.is_empty() => Ok(report),
            Answer::RoundTrip(report) => Err(no_way(report.trouble)),
            _ => Err(AskError::Malformed { to: from.to_owned() }),
        }
    }

    /// Tries `addr` as a peer from now on, for ever.
    pub fn add_peer(&self, addr: std::net::SocketAddr) {
        self.core().act(|inner, now| inner.node.add_seed(now, addr));
    }

    /// Waits until every reliable message is acknowledged or `limit` has passed, says goodbye and
    /// ends the endpoint for all its handles. Returns what was not acknowledged.
    ///
    /// # Cancel safety
    /// Cancel safe: abandoned, the endpoint stays open until its last handle is dropped.
    pub async fn close(self, limit: Duration) -> Unacknowledged {
        let core = self.core();
        core.flush();
        let unacked = |inner: &crate::driver::Inner| {
            let each = inner.publications.values();
            each.map(|publication| {
                (Arc::clone(&publication.topic), inner.node.unacked(publication.id))
            })
            .filter(|(_, messages)| *messages > 0)
            .collect::<Vec<_>>()
        };
        core.wait(limit, |inner, _| unacked(inner).is_empty().then_some(())).await;
        let left = core.with(|inner, _| unacked(inner));
        crate::entry::remember(core).await;
        core.leave();
        while !core.is_closed() {
            let progress = core.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if !core.is_closed() {
                progress.await;
            }
        }
        Unacknowledged { topics: left }
    }

    async fn find(&self, to: &str, limit: Duration) -> Result<EndpointKey, Missing> {
        let found = self.core().wait(limit, |inner, _| {
            let keys = resolve(&inner.node, to);
            // While discovery has not settled, a second holder may still turn up; the first will do.
            (!keys.is_empty()).then_some(keys)
        });
        match found.await.as_deref() {
            Some([key]) => Ok(*key),
            Some(keys) => Err(Missing::Several(keys.len())),
            None if self.core().is_closed() => Err(Missing::Closed),
            None => Err(Missing::Nobody),
        }
    }

    async fn find_asked(&self, to: &str, limit: Duration) -> Result<EndpointKey, AskError> {
        self.find(to, limit).await.map_err(|missing| match missing {
            Missing::Nobody => AskError::NotFound { to: to.to_owned(), after: limit },
            Missing::Several(n) => AskError::Ambiguous { to: to.to_owned(), n },
            Missing::Closed => AskError::Closed,
        })
    }

    pub(crate) fn core(&self) -> &Core {
        &self.hold.core
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({:?} {:?})", self.name(), self.id())
    }
}

/// Proof that a message is in the inbox of another endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Whose inbox.
    pub to: EndpointKey,
    /// Its number in our stream to it.
    pub seq: u64,
    /// How long it took, discovery included.
    pub took: Duration,
}

/// What was not acknowledged when an endpoint closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "messages may not have been delivered"]
#[non_exhaustive]
pub struct Unacknowledged {
    /// Topics with messages that some reader has not acknowledged, and how many.
    pub topics: Vec<(Arc<str>, u64)>,
}

impl Unacknowledged {
    /// Whether everything was acknowledged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Messages in all.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.topics.iter().map(|(_, messages)| messages).sum()
    }
}

/// Reads an id as it is shown: 32 hexadecimal digits.
///
/// ```
/// assert!(motet::parse_id("00112233445566778899aabbccddeeff").is_some());
/// assert!(motet::parse_id("press-4").is_none());
/// ```
#[must_use]
pub fn parse_id(text: &str) -> Option<EndpointId> {
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16).ok().map(|id| EndpointId(id.to_be_bytes()))
}

enum Missing {
    Nobody,
    Several(usize),
    Closed,
}

pub(crate) fn resolve(node: &motet_proto::Node<motet_crypto::AwsLc>, to: &str) -> Vec<EndpointKey> {
    let by_name = node.resolve(to);
    match parse_id(to) {
        Some(id) if by_name.is_empty() => {
            let peers = node.peers().into_iter().map(|peer| peer.key);
            peers.chain([node.key()]).filter(|key| key.id == id).take(1).collect()
        }
        _ => by_name,
    }
}

fn heard(
    node: &motet_proto::Node<motet_crypto::AwsLc>,
    id: EndpointId,
    since: Time,
) -> Option<Duration> {
    let peers = node.peers();
    let peer = peers.iter().find(|peer| peer.key.id == id && peer.heard > since)?;
    Some(peer.rtt.unwrap_or_else(|| peer.heard.since(since)))
}

/// The core settles after a second at most; this is for a machine that is very busy.
const SETTLED_MAX: Duration = Duration::from_secs(10);
