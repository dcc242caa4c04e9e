//! The role broker: `motet_proto::roles::broker` in front of services.

mod attempt;
mod desk;
mod questions;

use std::sync::Arc;
use std::time::Duration;

use motet_proto::roles::broker::{BrokerConfig, BrokerCounters, NoWorkers, ServiceReport};
use tokio::sync::{mpsc, oneshot};

use crate::endpoint::Endpoint;
use crate::error::{AdvertiseError, SubscribeError};
use crate::service::ServeError;
use desk::{Desk, Order};
pub use questions::ask_broker;

/// A broker to be started. Nothing is mandatory: it stands before every service that it sees.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use motet::role::{Broker, NoWorkers};
/// let endpoint = motet::Endpoint::builder().name("desk").open().await?;
/// let broker = Broker::new().no_workers(NoWorkers::Wait).start(&endpoint).await?;
/// # broker.drain(std::time::Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Broker {
    services: Vec<String>,
    config: BrokerConfig,
}

impl Broker {
    /// Before every service, with the default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Before this service from the start, and before no others but those that are named.
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.services.push(service.into());
        self
    }

    /// What becomes of a request for which no worker is there. Default: the caller is told.
    pub fn no_workers(mut self, policy: NoWorkers) -> Self {
        self.config.no_workers = policy;
        self
    }

    /// Requests of one service that may wait. Default 10,000.
    pub fn high_water(mut self, n: usize) -> Self {
        self.config.high_water = n;
        self
    }

    /// Time between two heartbeats to a worker, and how many may be missed. Default 1 s × 3.
    pub fn heartbeat(mut self, every: Duration, liveness: u32) -> Self {
        (self.config.beat, self.config.liveness) = (every, liveness.max(1));
        self
    }

    /// The pace at which a silent worker is looked for. Default 1 s, doubled up to 32 s.
    pub fn back_off(mut self, first: Duration, longest: Duration) -> Self {
        self.config.back_off = (first, longest);
        self
    }

    /// Time for which a service that has just lost its last worker counts as having one. Default
    /// 3 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.config.grace = grace;
        self
    }

    /// Starts it on an endpoint; it runs until the handle is dropped.
    ///
    /// # Errors
    /// [`BrokerError`].
    ///
    /// # Cancel safety
    /// Cancel safe: an abandoned start leaves nothing behind.
    pub async fn start(self, endpoint: &Endpoint) -> Result<BrokerHandle, BrokerError> {
        let (orders, taken) = mpsc::channel(ORDERS);
        let desk = Desk::open(endpoint.clone(), self.config, self.services).await?;
        tokio::spawn(desk.run(taken));
        Ok(BrokerHandle { orders })
    }
}

/// Why a broker does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// A service cannot be offered.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The topic of claims cannot be written.
    #[error(transparent)]
    Claims(#[from] AdvertiseError),
    /// The topic of claims cannot be read.
    #[error(transparent)]
    Listen(#[from] SubscribeError),
}

/// A broker that runs. Dropping the last clone ends it: what waits is refused, so that callers go
/// elsewhere.
#[derive(Clone, Debug)]
pub struct BrokerHandle {
    orders: mpsc::Sender<Order>,
}

impl BrokerHandle {
    /// How it stands; `None` after its endpoint has closed.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn report(&self) -> Option<Report> {
        let (tell, told) = oneshot::channel();
        self.orders.send(Order::Report(tell)).await.ok()?;
        told.await.ok()
    }

    /// Takes nothing new, ends what it has; false if `limit` passed before that.
    ///
    /// # Cancel safety
    /// Cancel safe: it stays draining.
    pub async fn drain(&self, limit: Duration) -> bool {
        let (tell, told) = oneshot::channel();
        if self.orders.send(Order::Drain(tell)).await.is_err() {
            return true;
        }
        tokio::time::timeout(limit, told).await.is_ok()
    }
}

/// How a broker stands.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Each service.
    pub services: Vec<ServiceReport>,
    /// What it has counted.
    pub counters: BrokerCounters,
    /// Answers of the last full second.
    pub rate: u64,
    /// Names of the other brokers it knows.
    pub peers: Vec<Arc<str>>,
    /// Attempts that ended because the broker's own work on them broke.
    pub broken: u64,
}

/// Orders that wait for the broker.
const ORDERS: usize = 64;
