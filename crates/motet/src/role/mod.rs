//! Roles: ordinary endpoints with a task of their own, built from services and topics. The client's
//! side does not change when one is present or absent.
//!
//! | role | what it does | command |
//! |---|---|---|
//! | [`Broker`] | stands before the instances of services, queues, requeues, spills to peers | `motet broker` |
//! | `Registry` (feature `registry`) | who requires what, leases and checks of what is no endpoint | `motet registry` |
//! | [`NameServer`] | keeps registrations as leases, in sync with all others | `motet nameserver` |

mod broker;
mod names;
mod registered;
#[cfg(feature = "registry")]
mod registry;

pub use broker::{Broker, BrokerError, BrokerHandle, Report, ask_broker};
pub use motet_proto::roles::broker::{BrokerCounters, NoWorkers, ServiceReport};
pub use motet_proto::roles::checks::{CheckSpec, Health, Probe};
pub use motet_proto::roles::registrations::RegistrationCounters;
pub use motet_proto::roles::requirements::Standing;
pub use names::{
    Holder, LeaseCounters, NameError, NameReport, NameServer, NameServerHandle, NameWatch, Names,
    Registration,
};
pub(crate) use names::{Keeping, Look};
pub use registered::{Held, Outside, OutsideView, Registries, parse_probe};
#[cfg(feature = "registry")]
pub use registry::{Registry, RegistryHandle, ServiceLine};

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// 32 bytes that nobody can guess.
fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    for (n, part) in seed.chunks_mut(8).enumerate() {
        part.copy_from_slice(&RandomState::new().hash_one(n).to_le_bytes());
    }
    seed
}

/// A time as messages carry it.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Lets time pass: heartbeats and leases are times.
#[expect(clippy::disallowed_methods, reason = "a role is a host: its clock is the real one")]
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
