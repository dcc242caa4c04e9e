//! stub
use bytes::Bytes;
use motet_wire::frame::GapReason;
/// A message in the log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The whole message; empty if it is gone.
    pub body: Bytes,
    /// When it was published, µs of the stream's clock.
    pub t_us: u64,
    /// Hash of its key; 0 if it has none.
    pub key: u64,
    /// Why it is no longer held.
    pub gone: Option<GapReason>,
    pos: u64,
}
/// The messages of a publication that its readers may still need.
#[derive(Clone, Debug)]
pub struct Log {}
impl Log {
    /// The first publish gets `start` (1, but for tests near the largest number).
    pub fn new(_start: u64) -> Self { todo!() }
    /// The first number held.
    pub fn first(&self) -> u64 { todo!() }
    /// The number that the next publish gets.
    pub fn next(&self) -> u64 { todo!() }
    /// Appends; its number.
    pub fn push(&mut self, _body: Bytes, _t_us: u64, _key: u64) -> u64 { todo!() }
    /// The entry, gone or not.
    pub fn get(&self, _seq: u64) -> Option<&Entry> { todo!() }
    /// What all entries count.
    pub fn bytes(&self) -> u64 { todo!() }
    /// What everything before `seq` counts since the beginning.
    pub fn pos(&self, _seq: u64) -> u64 { todo!() }
    /// Drops the oldest entry.
    pub fn evict_front(&mut self) -> Option<Entry> { todo!() }
    /// Frees what nobody needs; how many were marked expired.
    pub fn trim(&mut self, _acked_by_all: u64, _history: u32, _now_t_us: u64, _lifespan_us: Option<u64>) -> u64 { todo!() }
    /// Marks entries of `key` below `below` and not below `from` as conflated; how many.
    pub fn conflate(&mut self, _key: u64, _from: u64, _below: u64) -> u64 { todo!() }
}
/// Copies bodies into shared blocks that are reused, so that a steady publisher does not allocate.
#[derive(Debug, Default)]
pub struct Blocks {}
impl Blocks {
    /// A copy of the concatenated `parts`.
    pub fn copy(&mut self, _parts: &[&[u8]]) -> Bytes { todo!() }
}
