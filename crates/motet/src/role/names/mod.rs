//! The role name server: `motet_proto::roles::leases` behind the service `motet.names`.
//!
//! Several name servers stay in sync: a change is told to all others at once, and each compares its
//! table with the others' every [`SYNC`].

mod client;
mod keeper;
mod messages;
mod server;

use std::time::Duration;

pub(crate) use client::Look;
pub use client::{Holder, NameError, NameWatch, Names, Registration};
pub(crate) use keeper::Keeping;
pub use motet_proto::roles::leases::LeaseCounters;
pub use server::{NameReport, NameServer, NameServerHandle};

/// The service that name servers offer.
const NAMES: &str = "motet.names";
/// The property of an answer that does not know all: its name server has just begun (B-24).
const YOUNG: &str = "young";
/// How often tables are compared.
const SYNC: Duration = Duration::from_secs(1);
