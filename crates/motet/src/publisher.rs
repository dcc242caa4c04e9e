//! Publishing on a topic.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use motet_proto::node;
use motet_proto::{PubId, PubQos, SlowPolicy};

use crate::driver::{Core, Hold, Inner, PubState};
use crate::error::{AdvertiseError, PublishError, WaitError};
use crate::message::Outgoing;

/// Publishes on one topic. Cloning shares the publication; two publishers of one topic in one
/// endpoint share it too. Dropping the last one ends it: readers get what was published and then
/// the end of the stream.
#[derive(Clone)]
pub struct Publisher {
    share: Arc<Share>,
    blocking: Duration,
    blocks: bool,
}

impl Publisher {
    pub(crate) fn advertise(
        hold: &Arc<Hold>,
        topic: &str,
        qos: PubQos,
        only: Option<motet_proto::EndpointId>,
    ) -> Result<Self, AdvertiseError> {
        let blocks = matches!(qos.slow, SlowPolicy::Block | SlowPolicy::Disconnect(_));
        let core = &hold.core;
        if core.is_leaving() {
            return Err(AdvertiseError::Closed);
        }
        let made = core.act(|inner, now| {
            let id = match only {
                None => inner.node.advertise(now, topic, qos),
                Some(id) => inner.node.advertise_to(now, topic, qos, id),
            }?;
            let state =
                inner.publications.entry(id).or_insert_with(|| Arc::new(PubState::new(id, topic)));
            state.shares.fetch_add(1, Ordering::Relaxed);
            Ok(Arc::clone(state))
        });
        let state = made.map_err(|error| refused(topic, error))?;
        let share = Arc::new(Share { state, hold: Arc::clone(hold) });
        Ok(Self { share, blocking: BLOCKING, blocks })
    }

    /// How long [`Publisher::publish`] waits while the log is full and the policy is
    /// [`SlowPolicy::Block`] or [`SlowPolicy::Disconnect`]. Default 5 s. Only for this handle.
    #[must_use]
    pub fn blocking_deadline(mut self, deadline: Duration) -> Self {
        self.blocking = deadline;
        self
    }

    /// Publishes one message; its number in the stream.
    ///
    /// The payload is copied; [`Outgoing::shared`] publishes large ones as they are.
    ///
    /// Returns as soon as the message is in the log, which is usually at once. When the log is full
    /// because a reader is slow, the policy of [`PubQos::slow`] decides.
    ///
    /// # Errors
    /// [`PublishError`]; `Timeout` only under a policy that blocks. Nothing was published then.
    ///
    /// # Cancel safety
    /// Cancel safe: the message is published by the poll that returns, or not at all.
    pub async fn publish(&self, payload: impl AsRef<[u8]>) -> Result<u64, PublishError> {
        self.publish_with(&Outgoing::new(payload.as_ref())).await
    }

    /// As [`Publisher::publish`], with key and headers.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    ///
    /// # Cancel safety
    /// As [`Publisher::publish`].
    pub async fn publish_with(&self, message: &Outgoing<'_>) -> Result<u64, PublishError> {
        match self.try_publish_with(message) {
            Err(PublishError::Full) if self.blocks => {}
            other => return other,
        }
        let state = &self.share.state;
        let retry = async {
            loop {
                let writable = state.writable.notified();
                tokio::pin!(writable);
                writable.as_mut().enable(); // before trying: nothing is missed
                match self.try_publish_with(message) {
                    Err(PublishError::Full) => writable.await,
                    other => return other,
                }
            }
        };
        let limit = self.blocking;
        let timeout = PublishError::Timeout { after: limit };
        tokio::time::timeout(limit, retry).await.unwrap_or(Err(timeout))
    }

    /// Publishes one message if that is possible now; its number in the stream. Never waits.
    ///
    /// # Errors
    /// [`PublishError`]; `Full` under a policy that blocks.
    pub fn try_publish(&self, payload: impl AsRef<[u8]>) -> Result<u64, PublishError> {
        self.try_publish_with(&Outgoing::new(payload.as_ref()))
    }

    /// As [`Publisher::try_publish`], with key and headers.
    ///
    /// # Errors
    /// As [`Publisher::try_publish`].
    pub fn try_publish_with(&self, message: &Outgoing<'_>) -> Result<u64, PublishError> {
        let core = self.core();
        if core.is_closed() {
            return Err(PublishError::Closed);
        }
        let published = core.act_soon(|inner, now| {
            let Outgoing { key, headers, .. } = message;
            let message = node::Message { key: *key, headers, payload: message.payload() };
            inner.node.publish(now, self.share.state.id, message)
        });
        published.map_err(|error| match error {
            node::PublishError::Full => PublishError::Full,
            node::PublishError::Dropped => PublishError::Dropped,
            node::PublishError::TooLarge { size, max } => PublishError::TooLarge { size, max },
            node::PublishError::Envelope => PublishError::Envelope,
            _ => PublishError::Closed,
        })
    }

    /// Waits until at least `n` readers are ready: they get everything from now on.
    ///
    /// # Errors
    /// [`WaitError`]: the time is over, or the endpoint has closed.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn wait_readers(&self, n: usize, limit: Duration) -> Result<usize, WaitError> {
        let id = self.share.state.id;
        let readers = self.core().wait(limit, |inner, _| {
            let readers = readers(inner, id);
            (readers >= n).then_some(readers)
        });
        readers.await.ok_or_else(|| self.late(limit))
    }

    /// Readers that are ready now, those of this endpoint included.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.core().with(|inner, _| readers(inner, self.share.state.id))
    }

    /// Whether some reader has acknowledged a message, be it one that has left since.
    pub(crate) fn is_confirmed(&self, seq: u64) -> bool {
        let id = self.share.state.id;
        self.core().with(|inner, _| inner.node.is_confirmed(id, seq))
    }

    /// Waits until all active readers have acknowledged everything published so far.
    ///
    /// # Errors
    /// [`WaitError`]: the time is over, or the endpoint has closed.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn flushed(&self, limit: Duration) -> Result<(), WaitError> {
        let id = self.share.state.id;
        self.core().flush();
        let done = self.core().wait(limit, |inner, _| (inner.node.unacked(id) == 0).then_some(()));
        done.await.ok_or_else(|| self.late(limit))
    }

    /// Messages that some reader has not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> u64 {
        self.core().with(|inner, _| inner.node.unacked(self.share.state.id))
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.share.state.topic
    }

    fn core(&self) -> &Core {
        &self.share.hold.core
    }

    fn late(&self, after: Duration) -> WaitError {
        if self.core().is_closed() { WaitError::Closed } else { WaitError::Timeout { after } }
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Publisher({:?})", self.topic())
    }
}

/// One use of a publication; the last one ends it.
struct Share {
    state: Arc<PubState>,
    hold: Arc<Hold>,
}

impl Drop for Share {
    fn drop(&mut self) {
        let id = self.state.id;
        self.hold.core.act(|inner, now| {
            // The node counts its advertisers, too.
            inner.node.unadvertise(now, id);
            if self.state.shares.fetch_sub(1, Ordering::Relaxed) == 1 {
                inner.publications.remove(&id);
            }
        });
    }
}

fn refused(topic: &str, error: node::AdvertiseError) -> AdvertiseError {
    let topic = topic.to_owned();
    match error {
        node::AdvertiseError::QosDiffers => AdvertiseError::QosDiffers { topic },
        node::AdvertiseError::Name(name) => {
            AdvertiseError::Name { topic, reason: name.to_string() }
        }
        other => AdvertiseError::Limit { topic, reason: other.to_string() },
    }
}

/// Active readers, here and elsewhere.
fn readers(inner: &Inner, id: PubId) -> usize {
    let all = inner.node.publications();
    let here = all.iter().filter(|each| each.id == id).flat_map(|each| &each.readers);
    inner.node.readers(id) + here.filter(|reader| reader.local).count()
}

/// How long `publish` waits for room.
const BLOCKING: Duration = Duration::from_secs(5);
