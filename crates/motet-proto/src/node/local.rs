//! What this endpoint publishes and reads.

use super::peer::{OutState, Outgoing};
use crate::config::{History, PubQos, SubQos};
use crate::ids::{EndpointId, PubId, StreamId, SubId};
use crate::received::Origin;
use crate::time::Time;
use crate::topics::filter::TopicFilter;
use crate::topics::name::TopicName;
use crate::topics::queue::Queue;
use crate::transport::stream::log::Log;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A topic that this endpoint writes.
pub(super) struct Publication {
    pub(super) id: PubId,
    pub(super) topic: TopicName,
    /// What our own subscriptions are told.
    pub(super) origin: Arc<Origin>,
    pub(super) hash: u64,
    pub(super) qos: PubQos,
    pub(super) log: Log,
    /// Publishers that share it.
    pub(super) holders: u32,
    /// Peers with a stream of it, active or not.
    pub(super) readers: Vec<usize>,
    /// Its lanes, by tag.
    pub(super) lanes: Vec<u64>,
    /// Those of `readers` that lanes bring the messages to, ascending.
    pub(super) laned: Vec<usize>,
    /// Subscriptions of this endpoint that read it.
    pub(super) local: Vec<LocalReader>,
    /// Only this endpoint may read it.
    pub(super) only: Option<EndpointId>,
    /// A publish was refused; tell when there is room.
    pub(super) blocked: Option<Time>,
    /// No publisher is left: freed when read to the end, or at this time.
    pub(super) closing: Option<Time>,
    /// Everything was acknowledged when last looked.
    pub(super) flushed: bool,
    /// Readers that have left had all messages below this.
    pub(super) confirmed: u64,
}

/// A reader in the same endpoint.
pub(super) struct LocalReader {
    pub(super) sub: SubId,
    pub(super) next: u64,
}

impl Publication {
    pub(super) fn stream(&self) -> StreamId {
        self.id.0
    }

    /// A reader leaves: what it had acknowledged stays acknowledged.
    pub(super) fn confirm(&mut self, out: &Outgoing) {
        if matches!(out.state, OutState::Active | OutState::Suspended) {
            self.confirmed = self.confirmed.max(out.cursor.acked());
        }
    }

    /// A message that counts `bytes` goes into the log as it is.
    #[inline]
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.log.is_empty() || self.log.bytes() + bytes <= self.qos.log_bytes as u64
    }
}

/// Filters that this endpoint reads.
pub(super) struct Subscription {
    pub(super) filters: Vec<TopicFilter>,
    pub(super) qos: SubQos,
    pub(super) queue: Queue,
    /// `Readable` was said and not yet answered by an empty `read`.
    pub(super) notified: bool,
    /// A stream waits for room.
    pub(super) stalled: bool,
    /// Streams that feed it.
    pub(super) feeds: Vec<(usize, StreamId)>,
}

impl Subscription {
    pub(super) fn matches(&self, topic: &TopicName) -> bool {
        self.filters.iter().any(|filter| filter.matches(topic))
    }

    /// Where it wants to start in a stream that holds `first..next` (T-3).
    pub(super) fn start(&self, first: u64, next: u64) -> u64 {
        match self.qos.history {
            History::None => next,
            History::Last(n) => next.saturating_sub(u64::from(n)).max(first).min(next),
            History::All => first.min(next),
        }
    }
}
