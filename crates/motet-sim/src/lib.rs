//! # Sim: a network that can be repeated
//!
//! Many endpoints of the real core in one thread of virtual time. One seed names a whole run: the
//! world, its faults and every datagram.
//!
//! | module | what |
//! |---|---|
//! | [`world`] | time, hosts, endpoints, delivery |
//! | [`links`], [`flight`] | what becomes of datagrams: models and rules |
//! | [`null`] | a cipher that refuses as real ones do, and hides nothing |
//! | [`oracle`] | what must hold, always and after quiet |
//! | [`net`] | applications on top; what scenario tests are written with |
//! | [`scenarios`] | one story per pitfall |
//! | [`swarm`] | worlds drawn from seeds: hurt, heal, demand |
//! | [`storm`] | very many whole endpoints, hurt from one seed, twice the same |
//! | [`flock`] | membership alone, for very many endpoints |
//! | [`multitude`] | announcements and membership alone, for ten thousand |
//! | [`trade`] | servers and callers on a network, and what must hold of calls |
//! | [`bazaar`] | the same drawn from seeds |
//! | [`bulk`] | very many messages through a bad link |
#![forbid(unsafe_code)]

mod agenda;
pub mod bazaar;
pub mod bulk;
pub mod fanout;
pub mod flight;
pub mod flock;
pub mod host;
pub mod links;
pub mod multitude;
pub mod net;
pub mod null;
pub mod oracle;
pub mod scenarios;
pub mod storm;
pub mod swarm;
pub mod trace;
pub mod trade;
pub mod world;

pub use flight::{Flight, Verdict};
pub use links::LinkModel;
pub use net::{Ep, Net, Pub, Sub, ms};
pub use oracle::{Oracle, Violation};
pub use trade::Trade;
pub use world::World;
