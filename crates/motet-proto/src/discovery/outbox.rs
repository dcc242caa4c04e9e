//! What discovery wants done. The node does it.

use crate::ids::EndpointId;
use crate::{Event, events::DownReason};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// One thing to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send our beacon, with our interest beside it, to the group on every interface.
    Multicast {
        /// Hearers shall answer.
        solicit: bool,
        /// We leave.
        leaving: bool,
    },
    /// Send our beacon, with our interest beside it, to one address.
    Unicast {
        /// Where to.
        dst: SocketAddr,
        /// The hearer shall answer.
        solicit: bool,
        /// We leave.
        leaving: bool,
    },
    /// Open a session. A second `Dial` of an id whose dial is under way may be ignored.
    Dial {
        /// With whom, where that is known; a seed is known by its address alone.
        id: Option<EndpointId>,
        /// Where to try, best first; at least one and at most eight.
        addrs: Vec<SocketAddr>,
    },
    /// Ping this peer three times over 1 s on its session, then call
    /// [`Discovery::on_probe`](super::Discovery::on_probe).
    Probe {
        /// Whom.
        id: EndpointId,
    },
    /// End this peer's session: it is gone. The node calls
    /// [`Discovery::on_session_down`](super::Discovery::on_session_down) as it does so.
    DeclareDead {
        /// Whose.
        id: EndpointId,
        /// What to tell the application.
        reason: DownReason,
    },
    /// Tell the application.
    Event(Event),
}

/// Actions in the order in which they were decided. Pulled empty after each input; one input adds at
/// most a few dozen.
#[derive(Default, Debug)]
pub(super) struct Outbox(VecDeque<Action>);

impl Outbox {
    pub(super) fn push(&mut self, action: Action) {
        self.0.push_back(action);
    }

    pub(super) fn pop(&mut self) -> Option<Action> {
        self.0.pop_front()
    }
}
