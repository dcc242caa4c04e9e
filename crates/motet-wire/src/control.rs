//! Records on stream 0 of a session, the control stream: `u8 type, vi len, fields`, no envelope.
//!
//! | type | record | fields |
//! |---|---|---|
//! | 01 | OPEN | vi stream, u64 topic hash, vi len, topic, u8 class, u8 order, u8 priority, vi history, vi lifespan_ms, vi max_message, vi len, type tag, vi first_avail, vi next_seq, vi t_us, u64 wall_us |
//! | 02 | ACCEPT | vi stream, vi start_seq, vi window, u8 f (b0 required) |
//! | 03 | REJECT | vi stream or id, u8 reason, vi interest version, vi len, the reader's type tag where types differ |
//! | 04 | CLOSE_STREAM | vi stream, vi code |
//! | 05 | RESUME | vi stream, vi next_seq, vi next_off |
//! | 06 | REJECT_MSG | vi stream, vi seq, vi limit |
//! | 07 | INTEREST | [`Interest`] |
//! | 08 | MEMBERS | vi n ≤ 64, n × [`Member`] |
//! | 09 | PROBE_REQ | 16 B id, u64 incarnation |
//! | 0A | PROBE_RESULT | 16 B id, u64 incarnation, u8 (0 reached, 1 silent, 2 unknown), vi rtt_us |
//! | 0B | LANE_OFFER | u64 source tag, u16 lane, u8 family 4/6, group address, u16 port, u16 mtu, vi epoch, u8 suite, 32 B key, vi start pn, vi n ≤ 128, n × vi stream |
//! | 0C | LANE_KEY | u64 source tag, vi epoch, 32 B key, vi start pn |
//! | 0D | HISTORY_PULL | vi id, topic or pattern, vi depth, vi n ≤ 64 × (writer, vi stream, vi seq known) |
//! | 0E | SHM_OFFER | u64 source tag, vi stream set, layout version |
//! | 0F | QUERY | vi id, u8 what, vi cursor |
//! | 10 | ANSWER | vi id, u8 more (0, 1), vi cursor, body ≤ 32,768 B to the end |
//! | 11 | ASK | vi id, u8 what, vi cursor, vi len ≤ 4,096, argument; what follows is skipped |
//! | 12 | SYNC | vi n |
//! | 13 | SYNCED | vi n |
//!
//! - **W-42** A message of the control stream is exactly one record, and its fields fill it.
//! - **W-43** A receiver ignores records of unknown type.
//! - **W-44** A topic has 1 to 1,024 bytes of UTF-8, a type tag at most 255.
//! - **W-45** Class, order, priority and `more` hold no other value than the listed ones; reasons of
//!   REJECT may grow, and a receiver takes an unknown one as a refusal.
//! - **W-46** MEMBERS holds at most 64 members; the body of ANSWER has at most 32,768 bytes.
//! - **W-47** The argument of ASK has at most 4,096 bytes; a receiver skips what follows it.
//! - **W-48** LANE_OFFER names at most 128 streams.

mod lane;
mod open;

use alloc::{string::String, vec::Vec};

pub use lane::{LaneKey, LaneOffer, MAX_LANE_STREAMS, Secret};
pub use open::{Class, MAX_TOPIC, MAX_TYPE_TAG, Open, Order};

use crate::codec::{self, Reader, put_u64, put_vi, put_vi_bytes};
use crate::record::put_record;
pub use crate::record::{Interest, Member};
use crate::{EndpointKey, Malformed};

/// Members that a MEMBERS can list.
pub const MAX_MEMBERS: usize = 64;
/// Bytes that the body of an ANSWER can have.
pub const MAX_ANSWER: usize = 32 * 1_024;
/// Bytes that the argument of an ASK can have.
pub const MAX_ARGUMENT: usize = 4_096;

/// Numbers of control records.
pub mod ty {
    /// [`Control::Open`](super::Control::Open)
    pub const OPEN: u8 = 0x01;
    /// [`Control::Accept`](super::Control::Accept)
    pub const ACCEPT: u8 = 0x02;
    /// [`Control::Reject`](super::Control::Reject)
    pub const REJECT: u8 = 0x03;
    /// [`Control::CloseStream`](super::Control::CloseStream)
    pub const CLOSE_STREAM: u8 = 0x04;
    /// [`Control::Resume`](super::Control::Resume)
    pub const RESUME: u8 = 0x05;
    /// [`Control::RejectMsg`](super::Control::RejectMsg)
    pub const REJECT_MSG: u8 = 0x06;
    /// [`Control::Interest`](super::Control::Interest)
    pub const INTEREST: u8 = 0x07;
    /// [`Control::Members`](super::Control::Members)
    pub const MEMBERS: u8 = 0x08;
    /// [`Control::ProbeReq`](super::Control::ProbeReq)
    pub const PROBE_REQ: u8 = 0x09;
    /// [`Control::ProbeResult`](super::Control::ProbeResult)
    pub const PROBE_RESULT: u8 = 0x0a;
    /// [`Control::LaneOffer`](super::Control::LaneOffer)
    pub const LANE_OFFER: u8 = 0x0b;
    /// [`Control::LaneKey`](super::Control::LaneKey)
    pub const LANE_KEY: u8 = 0x0c;
    /// [`Control::HistoryPull`](super::Control::HistoryPull)
    pub const HISTORY_PULL: u8 = 0x0d;
    /// [`Control::ShmOffer`](super::Control::ShmOffer)
    pub const SHM_OFFER: u8 = 0x0e;
    /// [`Control::Query`](super::Control::Query)
    pub const QUERY: u8 = 0x0f;
    /// [`Control::Answer`](super::Control::Answer)
    pub const ANSWER: u8 = 0x10;
    /// [`Control::Ask`](super::Control::Ask)
    pub const ASK: u8 = 0x11;
    /// [`Control::Sync`](super::Control::Sync)
    pub const SYNC: u8 = 0x12;
    /// [`Control::Synced`](super::Control::Synced)
    pub const SYNCED: u8 = 0x13;
}

/// Why a stream, or a pull of history, was refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RejectReason {
    /// Nobody here wants the topic.
    NoInterest,
    /// The rules of the realm forbid it.
    NotAuthorised,
    /// The types of writer and reader differ.
    TypeDiffers,
    /// A limit of the reader is reached.
    Limit,
    /// What was asked for is not held.
    NotHeld,
    /// The reader's settings forbid it.
    Policy,
    /// A reason that is not known here.
    Unknown(u8),
}

impl RejectReason {
    /// The reason's number.
    pub fn code(self) -> u8 {
        match self {
            Self::NoInterest => 1,
            Self::NotAuthorised => 2,
            Self::TypeDiffers => 3,
            Self::Limit => 4,
            Self::NotHeld => 5,
            Self::Policy => 6,
            Self::Unknown(code) => code,
        }
    }

    /// The reason of a number.
    pub fn from_code(code: u8) -> Self {
        match code {
            1 => Self::NoInterest,
            2 => Self::NotAuthorised,
            3 => Self::TypeDiffers,
            4 => Self::Limit,
            5 => Self::NotHeld,
            6 => Self::Policy,
            _ => Self::Unknown(code),
        }
    }
}

/// One record of the control stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Control<'a> {
    /// A writer offers a stream.
    Open(Open),
    /// A reader takes it.
    Accept {
        /// Stream id.
        stream: u32,
        /// The first number wanted.
        start_seq: u64,
        /// Bytes that the reader has room for.
        window: u64,
        /// The writer must wait for this reader.
        required: bool,
    },
    /// A reader does not take it.
    Reject {
        /// Stream id, or the id of a HISTORY_PULL.
        stream: u64,
        /// Why.
        reason: RejectReason,
        /// The reader's interest version: the answer may change when it does.
        interest_version: u64,
        /// The reader's type tag where types differ, at most 255 bytes; else empty.
        detail: String,
    },
    /// The stream ends for this reader.
    CloseStream {
        /// Stream id.
        stream: u32,
        /// Why, as a number.
        code: u64,
    },
    /// A reader comes back to a stream.
    Resume {
        /// Stream id.
        stream: u32,
        /// The next number wanted.
        next_seq: u64,
        /// Bytes held of that message, from its start.
        next_off: u64,
    },
    /// A message is above the reader's limit.
    RejectMsg {
        /// Stream id.
        stream: u32,
        /// The message's number.
        seq: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// What the sender wants.
    Interest(Interest),
    /// Whom the sender knows: at most [`MAX_MEMBERS`].
    Members(Vec<Member>),
    /// "Do you reach this one?"
    ProbeReq(EndpointKey),
    /// The answer to it.
    ProbeResult {
        /// Who was asked about.
        key: EndpointKey,
        /// 0 reached, 1 silent, 2 unknown.
        result: u8,
        /// Round-trip time, µs, if reached.
        rtt_us: u64,
    },
    /// A lane that carries streams; without streams: it carries none any more.
    LaneOffer(LaneOffer),
    /// The next key of a lane.
    LaneKey(LaneKey),
    /// "Give me what you keep."
    HistoryPull {
        /// Names the pull in answers.
        id: u64,
        /// The other fields.
        rest: &'a [u8],
    },
    /// Shared memory that carries streams.
    ShmOffer {
        /// The source.
        source_tag: u64,
        /// The other fields.
        rest: &'a [u8],
    },
    /// A question about what is not gossiped.
    Query {
        /// Names the question in answers.
        id: u64,
        /// Topics, endpoint or counters.
        what: u8,
        /// Where to go on; 0 = from the start.
        cursor: u64,
    },
    /// A question that needs an argument; answered like a QUERY, in the same numbers.
    Ask {
        /// Names the question in answers.
        id: u64,
        /// What is asked.
        what: u8,
        /// Where to go on; 0 = from the start.
        cursor: u64,
        /// At most [`MAX_ARGUMENT`] bytes, opaque here.
        argument: &'a [u8],
    },
    /// A page of the answer.
    Answer {
        /// The question's.
        id: u64,
        /// There is another page.
        more: bool,
        /// Where the next page begins.
        cursor: u64,
        /// At most [`MAX_ANSWER`] bytes, opaque here.
        body: &'a [u8],
    },
    /// "Say when you have offered all that I want by now."
    Sync {
        /// Comes back with the answer.
        n: u64,
    },
    /// The answer to it.
    Synced {
        /// The question's.
        n: u64,
    },
    /// A type that is not known here; encoded as an empty record.
    Unknown(u8),
}

impl<'a> Control<'a> {
    /// Appends the record. The caller keeps the limits.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_record(out, self.ty(), |out| self.put_fields(out));
    }

    fn ty(&self) -> u8 {
        match self {
            Self::Open(_) => ty::OPEN,
            Self::Accept { .. } => ty::ACCEPT,
            Self::Reject { .. } => ty::REJECT,
            Self::CloseStream { .. } => ty::CLOSE_STREAM,
            Self::Resume { .. } => ty::RESUME,
            Self::RejectMsg { .. } => ty::REJECT_MSG,
            Self::Interest(_) => ty::INTEREST,
            Self::Members(_) => ty::MEMBERS,
            Self::ProbeReq(_) => ty::PROBE_REQ,
            Self::ProbeResult { .. } => ty::PROBE_RESULT,
            Self::LaneOffer(_) => ty::LANE_OFFER,
            Self::LaneKey(_) => ty::LANE_KEY,
            Self::HistoryPull { .. } => ty::HISTORY_PULL,
            Self::ShmOffer { .. } => ty::SHM_OFFER,
            Self::Query { .. } => ty::QUERY,
            Self::Answer { .. } => ty::ANSWER,
            Self::Ask { .. } => ty::ASK,
            Self::Sync { .. } => ty::SYNC,
            Self::Synced { .. } => ty::SYNCED,
            Self::Unknown(ty) => *ty,
        }
    }

    fn put_fields(&self, out: &mut Vec<u8>) {
        match self {
            Self::Open(open) => open.encode(out),
            Self::Accept { stream, start_seq, window, required } => {
                put_all(out, &[u64::from(*stream), *start_seq, *window]);
                out.push(u8::from(*required));
            }
            Self::Reject { stream, reason, interest_version, detail } => {
                put_vi(out, *stream);
                out.push(reason.code());
                put_vi(out, *interest_version);
                put_vi_bytes(out, detail.as_bytes());
            }
            Self::CloseStream { stream, code } => put_all(out, &[u64::from(*stream), *code]),
            Self::Resume { stream, next_seq, next_off } => {
                put_all(out, &[u64::from(*stream), *next_seq, *next_off]);
            }
            Self::RejectMsg { stream, seq, limit } => {
                put_all(out, &[u64::from(*stream), *seq, *limit]);
            }
            Self::Interest(interest) => interest.encode(out),
            Self::Members(members) => {
                put_vi(out, members.len() as u64);
                members.iter().for_each(|member| member.encode(out));
            }
            Self::ProbeReq(key) => codec::put_key(out, key),
            Self::ProbeResult { key, result, rtt_us } => {
                codec::put_key(out, key);
                out.push(*result);
                put_vi(out, *rtt_us);
            }
            Self::LaneOffer(offer) => offer.encode(out),
            Self::LaneKey(key) => key.encode(out),
            Self::ShmOffer { source_tag, rest } => {
                put_u64(out, *source_tag);
                out.extend_from_slice(rest);
            }
            Self::HistoryPull { id, rest } => {
                put_vi(out, *id);
                out.extend_from_slice(rest);
            }
            Self::Query { id, what, cursor } => {
                put_vi(out, *id);
                out.push(*what);
                put_vi(out, *cursor);
            }
            Self::Ask { id, what, cursor, argument } => {
                put_vi(out, *id);
                out.push(*what);
                put_vi(out, *cursor);
                put_vi_bytes(out, argument);
            }
            Self::Answer { id, more, cursor, body } => {
                put_vi(out, *id);
                out.push(u8::from(*more));
                put_vi(out, *cursor);
                out.extend_from_slice(body);
            }
            Self::Sync { n } | Self::Synced { n } => put_vi(out, *n),
            Self::Unknown(_) => {}
        }
    }

    /// Reads a message of the control stream (W-42).
    pub fn decode(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(message);
        let ty = r.get_u8()?;
        let mut fields = Reader::new(r.get_vi_bytes(usize::MAX)?);
        r.finish()?;
        let record = Self::fields(ty, &mut fields)?;
        fields.finish().map(|()| record)
    }

    fn fields(ty: u8, r: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(match ty {
            ty::OPEN => Self::Open(Open::decode(r)?),
            ty::ACCEPT => Self::Accept {
                stream: r.get_vi_u32()?,
                start_seq: r.get_vi()?,
                window: r.get_vi()?,
                required: r.get_flags(1)? != 0,
            },
            ty::REJECT => Self::Reject {
                stream: r.get_vi()?,
                reason: RejectReason::from_code(r.get_u8()?),
                interest_version: r.get_vi()?,
                detail: codec::owned(r.get_vi_bytes(MAX_TYPE_TAG)?)?,
            },
            ty::CLOSE_STREAM => Self::CloseStream { stream: r.get_vi_u32()?, code: r.get_vi()? },
            ty::RESUME => Self::Resume {
                stream: r.get_vi_u32()?,
                next_seq: r.get_vi()?,
                next_off: r.get_vi()?,
            },
            ty::REJECT_MSG => {
                Self::RejectMsg { stream: r.get_vi_u32()?, seq: r.get_vi()?, limit: r.get_vi()? }
            }
            ty::INTEREST => Self::Interest(Interest::decode(r)?),
            ty::MEMBERS => {
                let n = r.get_count(MAX_MEMBERS)?;
                Self::Members((0..n).map(|_| Member::decode(r)).collect::<Result<_, _>>()?)
            }
            ty::PROBE_REQ => Self::ProbeReq(r.get_key()?),
            ty::PROBE_RESULT => {
                Self::ProbeResult { key: r.get_key()?, result: r.get_u8()?, rtt_us: r.get_vi()? }
            }
            ty::LANE_OFFER => Self::LaneOffer(LaneOffer::decode(r)?),
            ty::LANE_KEY => Self::LaneKey(LaneKey::decode(r)?),
            ty::HISTORY_PULL => Self::HistoryPull { id: r.get_vi()?, rest: r.rest() },
            ty::SHM_OFFER => Self::ShmOffer { source_tag: r.get_u64()?, rest: r.rest() },
            ty::QUERY => Self::Query { id: r.get_vi()?, what: r.get_u8()?, cursor: r.get_vi()? },
            ty::ASK => {
                let (id, what, cursor) = (r.get_vi()?, r.get_u8()?, r.get_vi()?);
                let argument = r.get_vi_bytes(MAX_ARGUMENT)?;
                r.rest(); // W-47
                Self::Ask { id, what, cursor, argument }
            }
            ty::ANSWER => {
                let (id, more, cursor) = (r.get_vi()?, r.get_u8()?, r.get_vi()?);
                if more > 1 {
                    return Err(Malformed::Value);
                }
                let body = r.rest();
                if body.len() > MAX_ANSWER {
                    return Err(Malformed::Length);
                }
                Self::Answer { id, more: more == 1, cursor, body }
            }
            ty::SYNC => Self::Sync { n: r.get_vi()? },
            ty::SYNCED => Self::Synced { n: r.get_vi()? },
            _ => {
                r.rest();
                Self::Unknown(ty)
            }
        })
    }
}

fn put_all(out: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|v| put_vi(out, *v));
}
