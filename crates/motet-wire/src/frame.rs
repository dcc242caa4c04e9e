//! Frames: the plaintext of DATA and MDATA. Type `u8`, then fields; M = allowed in MDATA.
//!
//! | type | name | fields | M |
//! |---|---|---|---|
//! | 00 | PADDING | none | y |
//! | 01 | PING | none | |
//! | 02/03 | ACK / ACK_ECN | [`Ack`]: vi largest, vi delay_us, u8 n ≤ 32, vi first_len, n × (vi gap, vi len) \[, vi ce\] | |
//! | 04 | CLOSE | vi code, vi len ≤ 200, reason | |
//! | 05/06 | PATH_CHALLENGE / RESPONSE | u64 | |
//! | 07 | SESSION_CREDIT | vi bytes, vi packets | |
//! | 08 | LANE_ACK | u64 source tag, ACK fields without ce | |
//! | 09 | RECORDS | vi len, [records](crate::record) | |
//! | 10/14 | MSG, repaired | vi stream, vi seq, vi t_us, vi len, bytes | y |
//! | 11/15 | MSGS, repaired | vi stream, vi first_seq, vi t_us, u8 n ≥ 2, n × (vi len, bytes) | y |
//! | 12/16 | FRAG, repaired | vi stream, vi seq, vi t_us, vi total, vi off, vi len, bytes | y |
//! | 18 | HEARTBEAT | vi stream, vi first_avail, vi next_seq, u8 f (b0 answer, b1 end, b2 blocked) | y |
//! | 19 | GAP | vi stream, vi from, vi count, u8 reason | y |
//! | 1A | STATUS | vi stream, vi next_seq, vi next_off, vi window, u8 f (b0 required, b1 end) | |
//! | 1B | NAK | vi stream, u8 n ≤ 64, n × item ([`NakItems`]) | |
//! | 1C | NCF | as NAK | y |
//! | 1D | PARITY | reserved | y |
//! | 20 | LANE_HB | vi readers_log2, vi grtt_us, vi n ≤ 128, n × (vi stream, vi first_avail, vi next_seq) | y |
//! | 21 | LANE_STATE | u64 source tag, u8 (0 ready, 1 lost, 2 refused; from the writer 3 acknowledge), vi loss_ppm | |
//! | 40–7F | extension | vi len, bytes | y |
//!
//! - **W-21** A receiver that meets a frame it must understand (00–3F) and does not, or a type from
//!   80 on, or a malformed frame, closes the session with `frame_error`.
//! - **W-22** A receiver skips unknown frames of types 40–7F.
//! - **W-23** A frame never spans packets.
//! - **W-24** A stream id fits in 32 bits; first number + count − 1 of a frame is below 2^62.
//! - **W-25** A frame not marked M in an MDATA packet is refused.
//! - **W-26** The bytes of a FRAG lie inside its message: `len <= total - off`.
//! - **W-27** MSGS holds 2 to 255 messages of consecutive numbers.
//! - **W-28** Bits of a flag byte that have no meaning are zero; a receiver refuses others.

mod ack;
mod decode;
mod encode;
mod lists;
mod nak;

pub use ack::{Ack, AckRanges, MAX_ACK_RANGES, put_ack, put_lane_ack};
pub use decode::Frames;
pub use encode::{frag_overhead, msg_overhead, msgs_header_len, put_msgs_header};
pub use lists::{Bodies, LaneHbItem, LaneHbItems, MAX_LANE_HB, put_lane_hb};
pub use nak::{MAX_NAK_ITEMS, MAX_NAK_RANGES, NakBuilder, NakItem, NakItems};

/// Bytes that the reason of a CLOSE can have.
pub const MAX_REASON: usize = 200;

/// Numbers of frame types.
pub mod ty {
    /// [`Frame::Padding`](super::Frame::Padding)
    pub const PADDING: u8 = 0x00;
    /// [`Frame::Ping`](super::Frame::Ping)
    pub const PING: u8 = 0x01;
    /// [`Frame::Ack`](super::Frame::Ack)
    pub const ACK: u8 = 0x02;
    /// [`Frame::Ack`](super::Frame::Ack) with a count of congestion marks
    pub const ACK_ECN: u8 = 0x03;
    /// [`Frame::Close`](super::Frame::Close)
    pub const CLOSE: u8 = 0x04;
    /// [`Frame::PathChallenge`](super::Frame::PathChallenge)
    pub const PATH_CHALLENGE: u8 = 0x05;
    /// [`Frame::PathResponse`](super::Frame::PathResponse)
    pub const PATH_RESPONSE: u8 = 0x06;
    /// [`Frame::SessionCredit`](super::Frame::SessionCredit)
    pub const SESSION_CREDIT: u8 = 0x07;
    /// [`Frame::LaneAck`](super::Frame::LaneAck)
    pub const LANE_ACK: u8 = 0x08;
    /// [`Frame::Records`](super::Frame::Records)
    pub const RECORDS: u8 = 0x09;
    /// [`Frame::Msg`](super::Frame::Msg)
    pub const MSG: u8 = 0x10;
    /// [`Frame::Msgs`](super::Frame::Msgs)
    pub const MSGS: u8 = 0x11;
    /// [`Frame::Frag`](super::Frame::Frag)
    pub const FRAG: u8 = 0x12;
    /// This bit makes a repair of MSG, MSGS or FRAG.
    pub const REPAIR_BIT: u8 = 0x04;
    /// [`Frame::Heartbeat`](super::Frame::Heartbeat)
    pub const HEARTBEAT: u8 = 0x18;
    /// [`Frame::Gap`](super::Frame::Gap)
    pub const GAP: u8 = 0x19;
    /// [`Frame::Status`](super::Frame::Status)
    pub const STATUS: u8 = 0x1a;
    /// [`Frame::Nak`](super::Frame::Nak)
    pub const NAK: u8 = 0x1b;
    /// [`Frame::Ncf`](super::Frame::Ncf)
    pub const NCF: u8 = 0x1c;
    /// Reserved for forward error correction.
    pub const PARITY: u8 = 0x1d;
    /// [`Frame::LaneHb`](super::Frame::LaneHb)
    pub const LANE_HB: u8 = 0x20;
    /// [`Frame::LaneState`](super::Frame::LaneState)
    pub const LANE_STATE: u8 = 0x21;
    /// The first type that may be skipped.
    pub const EXTENSION_FIRST: u8 = 0x40;
    /// The last type that may be skipped.
    pub const EXTENSION_LAST: u8 = 0x7f;
}

/// Why a writer has no message to give for a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum GapReason {
    /// Pushed out of the history.
    Evicted = 0,
    /// Older than its lifespan.
    Expired = 1,
    /// Not for this reader.
    Filtered = 2,
    /// Given up while being sent.
    Cancelled = 3,
    /// A newer message of the same key took its place.
    Conflated = 4,
    /// Above the reader's limit.
    Refused = 5,
}

/// One frame. Bodies and lists borrow from the plaintext; lists were checked when it was decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame<'a> {
    /// A run of zero bytes of this length.
    Padding(usize),
    /// "Acknowledge now."
    Ping,
    /// Packet numbers that arrived.
    Ack(Ack<'a>),
    /// The session ends.
    Close {
        /// Why, as a number.
        code: u64,
        /// Why, for people: at most [`MAX_REASON`] bytes.
        reason: &'a [u8],
    },
    /// "Are you at this address?"
    PathChallenge(u64),
    /// "I am": the challenge's number.
    PathResponse(u64),
    /// What the sender of this frame lets the other side have in flight.
    SessionCredit {
        /// Bytes in flight.
        bytes: u64,
        /// Packets in flight.
        packets: u64,
    },
    /// Packet numbers of a lane that arrived.
    LaneAck {
        /// The lane's source.
        source_tag: u64,
        /// Its packet numbers; `ce` is always absent.
        ack: Ack<'a>,
    },
    /// Records of the realm, best effort.
    Records(&'a [u8]),
    /// One message.
    Msg {
        /// Stream id.
        stream: u32,
        /// Sequence number.
        seq: u64,
        /// Moment of publishing, µs of the stream's clock.
        t_us: u64,
        /// Sent again on demand.
        repair: bool,
        /// [Envelope](crate::envelope) and payload.
        body: &'a [u8],
    },
    /// Messages of consecutive numbers.
    Msgs {
        /// Stream id.
        stream: u32,
        /// Sequence number of the first.
        first_seq: u64,
        /// Moment at which the first was published, µs of the stream's clock.
        t_us: u64,
        /// Sent again on demand.
        repair: bool,
        /// The messages.
        bodies: Bodies<'a>,
    },
    /// A piece of a message.
    Frag {
        /// Stream id.
        stream: u32,
        /// Sequence number.
        seq: u64,
        /// Moment of publishing, µs of the stream's clock.
        t_us: u64,
        /// Bytes of the whole message.
        total: u64,
        /// Where this piece begins.
        off: u64,
        /// Sent again on demand.
        repair: bool,
        /// The piece.
        body: &'a [u8],
    },
    /// How far a stream has got.
    Heartbeat {
        /// Stream id.
        stream: u32,
        /// The oldest number still held.
        first_avail: u64,
        /// The number that the next message will get.
        next_seq: u64,
        /// A STATUS is wanted now.
        answer: bool,
        /// No message will follow.
        end: bool,
        /// The writer waits for window.
        blocked: bool,
    },
    /// Numbers that will not come.
    Gap {
        /// Stream id.
        stream: u32,
        /// The first number.
        from: u64,
        /// How many, at least 1.
        count: u64,
        /// Why.
        reason: GapReason,
    },
    /// How far a reader has got.
    Status {
        /// Stream id.
        stream: u32,
        /// The next number wanted.
        next_seq: u64,
        /// Bytes held of that message, from its start.
        next_off: u64,
        /// Bytes that the reader has room for.
        window: u64,
        /// The writer must wait for this reader.
        required: bool,
        /// The reader has all there is.
        end: bool,
    },
    /// "Send these again."
    Nak {
        /// Stream id.
        stream: u32,
        /// What is missing.
        items: NakItems<'a>,
    },
    /// "Heard, coming."
    Ncf {
        /// Stream id.
        stream: u32,
        /// What will come.
        items: NakItems<'a>,
    },
    /// Heartbeats of several streams of a lane.
    LaneHb {
        /// log2 of the number of readers, at most 63.
        readers_log2: u8,
        /// Round-trip time of the group, µs.
        grtt_us: u64,
        /// The streams.
        items: LaneHbItems<'a>,
    },
    /// What a reader says about a lane, or its writer asks.
    LaneState {
        /// The lane's source.
        source_tag: u64,
        /// A reader's 0 ready, 1 lost, 2 refused; a writer's 3: send LANE_ACKs.
        state: u8,
        /// Loss, parts per million.
        loss_ppm: u64,
    },
    /// A frame that may be skipped.
    Extension {
        /// 0x40..=0x7F.
        ty: u8,
        /// Its content.
        body: &'a [u8],
    },
}

impl Frame<'_> {
    /// False for frames that ask for no ACK: ACK, LANE_ACK, PADDING and CLOSE.
    pub fn is_ack_eliciting(&self) -> bool {
        !matches!(self, Self::Ack(_) | Self::Padding(_) | Self::Close { .. } | Self::LaneAck { .. })
    }

    /// True for frames that MDATA may carry (W-25).
    pub fn allowed_on_lane(&self) -> bool {
        matches!(
            self,
            Self::Padding(_)
                | Self::Msg { .. }
                | Self::Msgs { .. }
                | Self::Frag { .. }
                | Self::Heartbeat { .. }
                | Self::Gap { .. }
                | Self::Ncf { .. }
                | Self::LaneHb { .. }
                | Self::Extension { .. }
        )
    }
}
