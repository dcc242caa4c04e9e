//! Names of things that several layers speak of.

pub use motet_wire::{EndpointId, EndpointKey};

/// A publication of this node, given by [`Node::advertise`](crate::Node::advertise).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PubId(pub u32);

/// A subscription of this node, given by [`Node::subscribe`](crate::Node::subscribe).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SubId(pub u32);

/// A question that this node asked, given by [`Node::query`](crate::Node::query).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QueryId(pub u64);

/// A question that a peer asked: who, and the number it gave it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QueryKey {
    /// Who asks.
    pub from: EndpointId,
    /// The asker's number for it.
    pub id: u64,
}

/// The number of a stream: chosen by its writer, unique in its incarnation. 0 is the control stream.
pub type StreamId = u32;

/// A service that this node offers, given by [`Node::serve`](crate::Node::serve).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServeId(pub u32);

/// A request that this node has taken on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// A call that this node makes, given by [`Node::call`](crate::Node::call). The number is that of
/// its correlation id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallId(pub u64);

/// A watch of services, given by [`Node::watch_services`](crate::Node::watch_services).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WatchId(pub u32);

/// A book: who may get calls, as somebody else says; given by
/// [`Node::open_book`](crate::Node::open_book).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BookId(pub u32);
