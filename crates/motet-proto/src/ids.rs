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
