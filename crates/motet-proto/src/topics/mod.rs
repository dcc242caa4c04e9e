//! # Topics: who gets what, and what is missing
//!
//! **Promise.** A message reaches exactly the subscriptions whose filter matches its topic name,
//! level by level; and what a full queue drops leaves a mark in its place.
//!
//! **How.** Text becomes a [`TopicName`] or a [`TopicFilter`] once, at the edge; the two types
//! cannot be swapped. An [`Index`](matching::Index) finds the filters that match a name. Each
//! endpoint owns one versioned interest set ([`interest`]), which writers match against. Each
//! subscription owns one bounded [`Queue`](queue::Queue). Age is judged against the smallest delay
//! seen ([`lag`]), never by comparing wall clocks.
//!
//! | input                                | effect                                            |
//! |--------------------------------------|---------------------------------------------------|
//! | text of a name or filter             | a valid type, or one line that says what to do    |
//! | a filter subscribed or dropped       | the interest version moves if the set changed     |
//! | an interest delta on our version     | applied                                           |
//! | an interest delta on another version | refused as stale; a snapshot is needed            |
//! | an old interest version              | ignored                                           |
//! | a message, queue with room           | queued                                            |
//! | a message, queue full                | refused, or dropped with a mark: by its policy    |
//! | numbers that never come              | a mark in their place, merged with its neighbours |
//! | a message's time stamp               | how far it is behind                              |
//!
//! **Bounds.** [`LEVELS_MAX`](name::LEVELS_MAX) levels, [`NAME_BYTES_MAX`](name::NAME_BYTES_MAX)
//! bytes, [`ANY_DEPTH_MAX`](filter::ANY_DEPTH_MAX) times `**`;
//! [`REMOTE_FILTERS_MAX`](interest::REMOTE_FILTERS_MAX) filters a peer;
//! [`DELTAS_KEPT`](interest::DELTAS_KEPT) deltas; `SubQos::queue_bytes` and
//! [`MARKS_MAX`](queue::MARKS_MAX) marks a queue. No recursion.
//!
//! **Not here.** How messages travel (transport), how they are put together (fragmentation), who is
//! alive (discovery).

pub mod filter;
pub mod interest;
pub mod lag;
pub mod matching;
pub mod name;
pub mod queue;
pub mod sieve;

pub use filter::{FilterError, TopicFilter};
pub use name::{NameError, TopicName};
