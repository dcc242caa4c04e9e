//! Reading topics.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use motet_proto::SubId;

use crate::driver::{Hold, Inner, SubState};
use crate::message::Delivery;

/// Reads the topics that its filters match: each message once, in the order of its writer.
///
/// Up to 256 deliveries (256 KiB) are taken from the endpoint at a time and wait here; everything
/// else waits in the subscription's queue ([`SubQos::queue_bytes`](crate::SubQos)). Dropping it
/// unsubscribes.
pub struct Subscriber {
    state: Arc<SubState>,
    filters: Vec<String>,
    taken: VecDeque<Delivery>,
    hold: Arc<Hold>,
}

impl Subscriber {
    /// Registers the subscription that `subscribe` makes.
    pub(crate) fn register<E>(
        hold: &Arc<Hold>,
        filters: Vec<String>,
        subscribe: impl FnOnce(&mut Inner, motet_proto::Time) -> Result<SubId, E>,
    ) -> Result<Self, E> {
        let state = hold.core.act(|inner, now| {
            let id = subscribe(inner, now)?;
            let state = Arc::new(SubState::new(id));
            inner.subscriptions.insert(id, Arc::clone(&state));
            Ok(state)
        })?;
        Ok(Self { state, filters, taken: VecDeque::new(), hold: Arc::clone(hold) })
    }

    /// The next message, or what is missing in its place; `None` after the endpoint has closed.
    ///
    /// # Cancel safety
    /// Cancel safe: a delivery is taken only by the poll that returns it.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Some(delivery) = self.try_next() {
                return Some(delivery);
            }
            if !self.wait().await {
                return None;
            }
        }
    }

    /// The next message, or what is missing in its place, if one is there. Never waits.
    pub fn try_next(&mut self) -> Option<Delivery> {
        if self.taken.is_empty() {
            let mut taken = std::mem::take(&mut self.taken);
            self.take(|delivery| taken.push_back(delivery));
            self.taken = taken;
        }
        self.taken.pop_front()
    }

    /// Waits until something is there, then moves all that is at hand (256 deliveries at most) to
    /// the end of `into`; how many. 0 after the endpoint has closed.
    ///
    /// # Cancel safety
    /// Cancel safe: deliveries are taken only by the poll that returns them.
    pub async fn next_batch(&mut self, into: &mut Vec<Delivery>) -> usize {
        let before = into.len();
        loop {
            into.extend(self.taken.drain(..));
            if into.len() == before {
                self.take(|delivery| into.push(delivery));
            }
            if into.len() > before {
                return into.len() - before;
            }
            if !self.wait().await {
                return 0;
            }
        }
    }

    /// Its filters. Empty for an inbox.
    #[must_use]
    pub fn filters(&self) -> &[String] {
        &self.filters
    }

    /// Waits until something may be there; false once the endpoint has closed.
    async fn wait(&self) -> bool {
        if self.hold.core.is_closed() && !self.state.readable.load(Ordering::SeqCst) {
            return false;
        }
        self.state.wake.notified().await;
        true
    }

    /// Takes from the endpoint what is there, if anything is.
    fn take(&self, mut put: impl FnMut(Delivery)) {
        if !self.state.readable.swap(false, Ordering::SeqCst) {
            return;
        }
        let id = self.state.id;
        // Reading may open the window: that is to be sent.
        let more = self.hold.core.act(|inner, now| {
            let (mut taken, mut bytes) = (0, 0);
            while taken < TAKE_MAX && bytes < TAKE_BYTES_MAX {
                let Some(delivery) = inner.node.read(now, id) else { return false };
                let delivery = Delivery::from(delivery);
                (taken, bytes) = (taken + 1, bytes + delivery.size());
                put(delivery);
            }
            true
        });
        if more {
            self.state.readable.store(true, Ordering::SeqCst);
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let id = self.state.id;
        self.hold.core.act(|inner, now| {
            inner.subscriptions.remove(&id);
            inner.node.unsubscribe(now, id);
        });
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscriber({:?})", self.filters)
    }
}

/// Deliveries taken under one hold of the lock.
const TAKE_MAX: usize = 256;
/// Bytes after which no more are taken.
const TAKE_BYTES_MAX: usize = 256 * 1024;
