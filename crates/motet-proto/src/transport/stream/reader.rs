//! stub
use super::{Budget, Item, Order, Pieces, RttView, StreamCounts};
use crate::Time;
use bytes::Bytes;
use motet_wire::frame::{GapReason, NakItem};

/// How a stream is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadQos {
    /// Repaired until complete.
    pub reliable: bool,
    /// In which order.
    pub order: Order,
    /// Larger messages are refused, bytes.
    pub max_message: u64,
}

/// Why a message is not taken for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refuse {
    /// Larger than this reader takes: answer REJECT_MSG.
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The pieces contradict each other: close the stream.
    Broken,
}

/// Where something came from: its arrival, shared by all frames of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// When.
    pub now: Time,
    /// How many packets the session had received then.
    pub pkt: u64,
    /// It was sent again on demand.
    pub repair: bool,
}

/// What a STATUS says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// Everything below is delivered or skipped.
    pub next_seq: u64,
    /// Bytes of message `next_seq` from its start without a hole.
    pub next_off: u64,
    /// Bytes beyond that which may be sent.
    pub window: u64,
}

/// One stream, at its reader.
pub struct Reader<P> {
    /// Since last taken.
    pub counts: StreamCounts,
    p: core::marker::PhantomData<P>,
}

impl<P: Pieces> Reader<P> {
    /// Waits for `start_seq`.
    pub fn new(_start_seq: u64, _qos: ReadQos) -> Self { todo!() }
    /// The number waited for.
    pub fn next(&self) -> u64 { todo!() }
    /// The session's round trip, whenever it changed.
    pub fn set_rtt(&mut self, _rtt: RttView) { todo!() }
    /// A whole message. `open`: the subscriber takes one now. Then call [`Reader::take`] until `None`.
    pub fn on_message(&mut self, _at: Arrival, _seq: u64, _t_us: u64, _body: Bytes, _open: bool, _budget: &mut Budget<'_>) -> Result<Option<Item>, Refuse> { todo!() }
    /// A piece. Then call [`Reader::take`] until `None`.
    pub fn on_fragment(&mut self, _at: Arrival, _seq: u64, _t_us: u64, _total: u64, _off: u64, _body: &[u8], _budget: &mut Budget<'_>) -> Result<(), Refuse> { todo!() }
    /// A HEARTBEAT on the session.
    pub fn on_heartbeat(&mut self, _at: Arrival, _first_avail: u64, _next_seq: u64, _answer: bool, _end: bool, _blocked: bool) { todo!() }
    /// A GAP.
    pub fn on_gap(&mut self, _at: Arrival, _from: u64, _count: u64, _reason: GapReason, _budget: &mut Budget<'_>) { todo!() }
    /// The next item in order. Call while the subscriber has room.
    pub fn take(&mut self, _now: Time, _budget: &mut Budget<'_>) -> Option<Item> { todo!() }
    /// When [`Reader::naks`] has something, given how many packets the session has received.
    pub fn nak_deadline(&self, _pkt: u64) -> Option<Time> { todo!() }
    /// All that is due, ascending; puts each off until its next try.
    pub fn naks(&mut self, _now: Time, _pkt: u64, _sink: impl FnMut(NakItem)) { todo!() }
    /// The subscriber's queue has `free` bytes again.
    pub fn on_room(&mut self, _now: Time, _free: u64) { todo!() }
    /// When a STATUS must leave.
    pub fn status_deadline(&self) -> Option<Time> { todo!() }
    /// Something new would be said by a STATUS: it may ride along.
    pub fn status_dirty(&self) -> bool { todo!() }
    /// The STATUS to send now; `free` bytes are left in the subscriber's queue.
    pub fn status(&mut self, _now: Time, _free: u64) -> Status { todo!() }
    /// The writer ended the stream and everything was taken.
    pub fn finished(&self) -> bool { todo!() }
    /// Frees all that is held. The only other place where partial messages end.
    pub fn release(&mut self, _budget: &mut Budget<'_>) { todo!() }
    /// The invariants, for tests and the simulator: the broken one.
    pub fn check(&self) -> Result<(), &'static str> { todo!() }
}
