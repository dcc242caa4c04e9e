//! stub
use super::{RttView, StreamCounts, log::Log};
use crate::Time;
use motet_wire::frame::{GapReason, NakItem};

/// What a writer sends to one reader next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Whole messages of consecutive numbers: one is a MSG, two to 255 are a MSGS.
    Whole {
        /// The first.
        seq: u64,
        /// How many, at least 1.
        count: u64,
        /// Sent again.
        repair: bool,
    },
    /// A piece of a message.
    Fragment {
        /// Its number.
        seq: u64,
        /// Where the piece begins.
        off: u64,
        /// Bytes of the piece.
        len: u64,
        /// Bytes of the message.
        total: u64,
        /// Sent again.
        repair: bool,
    },
    /// Messages that this reader will never get.
    Gap {
        /// The first.
        from: u64,
        /// How many.
        count: u64,
        /// Why.
        reason: GapReason,
    },
}

/// Room in the packet being filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Space {
    /// Bytes left, frame overhead included.
    pub room: usize,
    /// No frame is in it yet.
    pub empty: bool,
    /// At least another full packet waits, so a message may be split to fill this one.
    pub backlog: bool,
}

/// A HEARTBEAT to send; always asks for an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Beat {
    /// The first number that the log holds.
    pub first_avail: u64,
    /// One above the last number sent to this reader.
    pub next_seq: u64,
    /// Data waits and the window is closed.
    pub blocked: bool,
}

/// What a STATUS changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Something new was acknowledged.
    pub advanced: bool,
    /// The window's edge moved.
    pub opened: bool,
    /// It was overtaken by a newer one; nothing changed.
    pub stale: bool,
}

/// A STATUS that broke a bound; nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rejected;

/// What a NAK changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NakOutcome {
    /// Items that (in part) will be repaired or answered with GAP.
    pub queued: u64,
    /// Items for what was never sent, was repaired a moment ago, or is beyond a bound.
    pub ignored: u64,
}

/// One reader of a log, at the writer.
pub struct Cursor {
    /// Since last taken.
    pub counts: StreamCounts,
}

impl Cursor {
    /// A reader that begins at `start_seq` and granted `window` bytes.
    pub fn new(_log: &Log, _stream: u32, _start_seq: u64, _window: u64, _reliable: bool) -> Self { todo!() }
    /// A new session: begins anew at `start_seq`.
    pub fn restart(&mut self, _log: &Log, _start_seq: u64, _window: u64) { todo!() }
    /// The first number not sent whole.
    pub fn next(&self) -> u64 { todo!() }
    /// The first number not acknowledged; best effort: not sent.
    pub fn acked(&self) -> u64 { todo!() }
    /// Something can be sent now.
    pub fn has_work(&self, _log: &Log) -> bool { todo!() }
    /// Data waits and the window is closed.
    pub fn blocked(&self, _log: &Log) -> bool { todo!() }
    /// Bytes that wait to be sent for the first time, within the window.
    pub fn unsent(&self, _log: &Log) -> u64 { todo!() }
    /// Bytes sent and not acknowledged.
    pub fn unacked(&self, _log: &Log) -> u64 { todo!() }
    /// What goes into this packet next; moves on. `None`: nothing, or it does not fit.
    pub fn next_piece(&mut self, _log: &Log, _now: Time, _rtt: &RttView, _space: Space) -> Option<Piece> { todo!() }
    /// Call after a publish if there is no work: a closed window is then asked about.
    pub fn arm(&mut self, _log: &Log, _now: Time) { todo!() }
    /// A STATUS came.
    pub fn on_status(&mut self, _log: &Log, _now: Time, _rtt: &RttView, _next_seq: u64, _next_off: u64, _window: u64) -> Result<Progress, Rejected> { todo!() }
    /// A NAK came.
    pub fn on_nak(&mut self, _log: &Log, _now: Time, _rtt: &RttView, _items: impl Iterator<Item = NakItem>) -> NakOutcome { todo!() }
    /// A REJECT_MSG came: this reader gets GAP(refused) for it.
    pub fn refuse(&mut self, _seq: u64) { todo!() }
    /// When [`Cursor::heartbeat`] returns something.
    pub fn deadline(&self) -> Option<Time> { todo!() }
    /// The heartbeat, if one is due.
    pub fn heartbeat(&mut self, _log: &Log, _now: Time) -> Option<Beat> { todo!() }
}
