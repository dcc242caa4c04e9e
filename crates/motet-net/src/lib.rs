//! # The kernel, tamed
//!
//! **Promise.** Whatever motet asks of the operating system is asked here, through types that
//! cannot be used in an unsafe or blocking way. No other crate of the project contains `unsafe`,
//! and here it is confined to one module of a few lines, each with its proof.
//!
//! **How.** Every descriptor is non-blocking and close-on-exec and implements
//! [`AsFd`](std::os::fd::AsFd): a runtime registers it, or a caller polls it. This crate knows no
//! runtime, no packet format and no endpoint.
//!
//! | what                                   | type                                       |
//! |----------------------------------------|--------------------------------------------|
//! | datagrams to and from one peer         | [`UnicastSocket`], [`RecvBatch`]           |
//! | the group of one interface             | [`MulticastSocket`]                        |
//! | data to many at once, and from there   | [`LaneSender`], [`LaneSocket`]             |
//! | which interfaces there are             | [`interfaces`], [`InterfacePattern`]       |
//! | that they have changed                 | [`InterfaceWatch`]                         |
//! | time                                   | [`monotonic_now`], [`wall_ms`], [`Timer`]  |
//! | waiting without a runtime              | [`wait_readable`]                          |
//! | what tells this host from others       | [`host_id_source`]                         |
//! | one process at a time                  | [`FileLock`]                               |
//! | secrets on disk                        | [`create_secret`], [`read_secret`]         |
//! | is this machine fit for it?            | [`check`]                                  |
//!
//! **Not here.** What is sent and when; keys; the hash over [`host_id_source`]; retries of lost
//! datagrams.

pub mod check;
mod clock;
mod gso;
mod host;
mod interface;
mod lane;
mod lock;
mod multicast;
mod pattern;
mod ports;
mod recv;
mod secret;
mod sys;
mod unicast;
mod watch;

pub use clock::{Timer, monotonic_now, wait_readable, wall_ms};
pub use gso::SendError;
pub use host::host_id_source;
pub use interface::{Class, Interface, interfaces};
pub use lane::{LaneSender, LaneSocket};
pub use lock::FileLock;
pub use multicast::MulticastSocket;
pub use pattern::{InterfacePattern, PatternError};
pub use recv::{Meta, RecvBatch};
pub use secret::{SecretError, create_secret, read_secret, replace_secret};
pub use unicast::{Bind, BindError, Buffers, Datagram, Ecn, UnicastSocket};
pub use watch::InterfaceWatch;
