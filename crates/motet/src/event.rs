//! What happens around an endpoint, for those who want to know.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use motet_proto::EndpointKey;
use motet_proto::events::{DownReason, WriterState};
use tokio::sync::Notify;

/// Something happened around an endpoint. Delivery does not depend on anybody listening.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
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
        /// The other holder.
        other: EndpointKey,
        /// True at the endpoint that came later.
        newcomer: bool,
    },
    /// One key is alive twice: a key file was copied.
    DuplicateIdentity {
        /// Whose.
        key: EndpointKey,
    },
    /// A reader of one of our topics is ready.
    ReaderJoined {
        /// The topic.
        topic: Arc<str>,
        /// Who.
        reader: EndpointKey,
        /// Active readers now.
        readers: usize,
    },
    /// A reader of one of our topics left.
    ReaderLeft {
        /// The topic.
        topic: Arc<str>,
        /// Who.
        reader: EndpointKey,
        /// Active readers now.
        readers: usize,
        /// Why.
        reason: DownReason,
    },
    /// A reader was too slow for our log and was told so by `Missed`.
    ReaderLagging {
        /// The topic.
        topic: Arc<str>,
        /// Who.
        reader: EndpointKey,
        /// Messages it misses.
        missed: u64,
    },
    /// A reader and a writer use one topic with different type tags.
    TypeMismatch {
        /// The topic.
        topic: Arc<str>,
        /// Our tag.
        ours: Arc<str>,
        /// Their tag.
        theirs: Arc<str>,
        /// Who.
        peer: EndpointKey,
    },
    /// A writer that we read has come or gone.
    Writer {
        /// Who.
        writer: EndpointKey,
        /// The topic.
        topic: Arc<str>,
        /// What happened to it.
        state: WriterState,
    },
    /// A message of ours was larger than this reader takes.
    Refused {
        /// The topic.
        topic: Arc<str>,
        /// Who.
        reader: EndpointKey,
        /// Its limit in bytes.
        limit: u64,
    },
    /// A member of the realm breaks a limit. Told once a minute per member and limit; it harms
    /// nobody else, and [`EndpointReport`](crate::report::EndpointReport) has the counts.
    Offender {
        /// Who.
        key: EndpointKey,
        /// What it does too much of, in words.
        what: &'static str,
    },
    /// A contact is of no use now: a name without an address, a peers file with a bad line, damaged
    /// memory of an earlier run. The endpoint goes on without it and tries again.
    ContactFailed {
        /// Which.
        contact: Arc<str>,
        /// Why, and what to do.
        reason: Arc<str>,
    },
    /// Discovery has been quiet for 300 ms, or 1 s has passed since the start.
    Settled,
    /// Multicast does not come back on this interface: a firewall, or a switch that drops it.
    NoMulticast {
        /// Kernel index of the interface.
        interface: u32,
    },
    /// So many events were dropped here because nobody read this stream in time.
    Overrun {
        /// How many.
        n: u64,
    },
}

/// The events of one endpoint from the moment [`Endpoint::events`](crate::Endpoint::events) was
/// called. It begins with a [`Event::PeerUp`] for each peer that is there already, and with each
/// [`Event::ContactFailed`] so far. At most 1,024 wait; of older ones only their number remains
/// ([`Event::Overrun`]), and an event equal to the last one waiting is not repeated. Dropping it ends the listening.
#[derive(Debug)]
pub struct EventStream {
    queue: Arc<EventQueue>,
}

impl EventStream {
    /// The next event; `None` after the endpoint has closed and all events were taken.
    ///
    /// # Cancel safety
    /// Cancel safe: an event is taken only by the poll that returns it.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.try_next() {
                return Some(event);
            }
            if self.queue.state().closed {
                return None;
            }
            self.queue.wake.notified().await;
        }
    }

    /// The next event, if one is waiting.
    pub fn try_next(&mut self) -> Option<Event> {
        let mut state = self.queue.state();
        if state.overrun > 0 {
            return Some(Event::Overrun { n: std::mem::take(&mut state.overrun) });
        }
        state.events.pop_front()
    }
}

#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    state: Mutex<EventState>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct EventState {
    events: VecDeque<Event>,
    overrun: u64,
    closed: bool,
    /// Peers told of and not yet gone.
    up: BTreeSet<EndpointKey>,
}

impl EventQueue {
    pub(crate) fn stream(self: &Arc<Self>) -> EventStream {
        EventStream { queue: Arc::clone(self) }
    }

    pub(crate) fn push(&self, event: &Event) {
        let mut state = self.state();
        match event {
            Event::PeerUp { key, .. } if !state.up.insert(*key) => return,
            Event::PeerDown { key, .. } => drop(state.up.remove(key)),
            _ => {}
        }
        if state.events.back() == Some(event) {
            return;
        }
        if state.events.len() >= EVENTS_MAX {
            state.events.pop_front();
            state.overrun += 1;
        }
        state.events.push_back(event.clone());
        drop(state);
        self.wake.notify_one();
    }

    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.wake.notify_one();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, EventState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events that wait in one stream.
const EVENTS_MAX: usize = 1_024;
