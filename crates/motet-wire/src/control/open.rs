//! OPEN: what a writer says of a stream. The table is in [`control`](crate::control).

use alloc::{string::String, vec::Vec};

use crate::Malformed;
use crate::codec::{self, Reader, put_vi};

/// Bytes that a topic name can have.
pub const MAX_TOPIC: usize = 1_024;
/// Bytes that a type tag can have.
pub const MAX_TYPE_TAG: usize = 255;
/// The lowest priority.
const MAX_PRIORITY: u8 = 7;

/// Whether what is lost is sent again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Class {
    /// It is not.
    #[default]
    BestEffort = 0,
    /// It is.
    Reliable = 1,
}

/// In which order messages are delivered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Order {
    /// As they were published.
    #[default]
    Fifo = 0,
    /// Only what is newer than the last one delivered.
    Latest = 1,
    /// As they arrive.
    Unordered = 2,
}

/// A writer's offer of a stream.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Open {
    /// Chosen by the writer, unique in its life.
    pub stream: u32,
    /// Hash of the topic under the realm's key.
    pub topic_hash: u64,
    /// 1 to [`MAX_TOPIC`] bytes.
    pub topic: String,
    /// Is what is lost sent again?
    pub class: Class,
    /// In which order?
    pub order: Order,
    /// 0..=7.
    pub priority: u8,
    /// Messages kept for late joiners.
    pub history: u64,
    /// Age at which a message is worthless, ms; 0 = never.
    pub lifespan_ms: u64,
    /// Largest message, in bytes.
    pub max_message: u64,
    /// Name of the payload's type, at most [`MAX_TYPE_TAG`] bytes; empty = any.
    pub type_tag: String,
    /// The oldest number held.
    pub first_avail: u64,
    /// The number that the next message will get.
    pub next_seq: u64,
    /// The stream's clock now, µs.
    pub t_us: u64,
    /// Wall clock at the same moment, µs since 1970.
    pub wall_us: u64,
}

impl Open {
    /// Appends the fields, without the record's type and length. The caller keeps the limits.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_vi(out, u64::from(self.stream));
        codec::put_u64(out, self.topic_hash);
        codec::put_vi_bytes(out, self.topic.as_bytes());
        out.extend_from_slice(&[self.class as u8, self.order as u8, self.priority]);
        put_vi(out, self.history);
        put_vi(out, self.lifespan_ms);
        put_vi(out, self.max_message);
        codec::put_vi_bytes(out, self.type_tag.as_bytes());
        put_vi(out, self.first_avail);
        put_vi(out, self.next_seq);
        put_vi(out, self.t_us);
        codec::put_u64(out, self.wall_us);
    }

    /// Takes the fields.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            stream: r.get_vi_u32()?,
            topic_hash: r.get_u64()?,
            topic: topic(r)?,
            class: match r.get_u8()? {
                0 => Class::BestEffort,
                1 => Class::Reliable,
                _ => return Err(Malformed::Value),
            },
            order: match r.get_u8()? {
                0 => Order::Fifo,
                1 => Order::Latest,
                2 => Order::Unordered,
                _ => return Err(Malformed::Value),
            },
            priority: match r.get_u8()? {
                priority @ 0..=MAX_PRIORITY => priority,
                _ => return Err(Malformed::Value),
            },
            history: r.get_vi()?,
            lifespan_ms: r.get_vi()?,
            max_message: r.get_vi()?,
            type_tag: codec::owned(r.get_vi_bytes(MAX_TYPE_TAG)?)?,
            first_avail: r.get_vi()?,
            next_seq: r.get_vi()?,
            t_us: r.get_vi()?,
            wall_us: r.get_u64()?,
        })
    }
}

fn topic(r: &mut Reader<'_>) -> Result<String, Malformed> {
    let bytes = r.get_vi_bytes(MAX_TOPIC).map_err(|rule| match rule {
        Malformed::Length => Malformed::Name,
        other => other,
    })?;
    if bytes.is_empty() { Err(Malformed::Name) } else { codec::owned(bytes) }
}
