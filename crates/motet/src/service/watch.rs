//! Who offers what.

use std::sync::Arc;
use std::time::Duration;

use motet_proto::services::{InstanceView, Offer, check_service};
use motet_proto::{EndpointId, EndpointKey, WatchId};
use tokio::sync::Notify;

pub use motet_proto::services::Change;

use super::error::CallError;
use super::{InstanceState, Role, Stats};
use crate::driver::Hold;
use crate::endpoint::Endpoint;

/// An instance of a service as this endpoint knows it.
#[derive(Clone, Debug)]
pub struct Instance {
    view: InstanceView,
    age: Duration,
}

impl Instance {
    /// The service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.view.service
    }

    /// Who.
    #[must_use]
    pub fn key(&self) -> EndpointKey {
        self.view.key
    }

    /// Its endpoint's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.view.name
    }

    /// What it says of itself.
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.view.offer
    }

    /// Whether it takes work.
    #[must_use]
    pub fn state(&self) -> InstanceState {
        self.view.offer.state
    }

    /// What it is to those who call.
    #[must_use]
    pub fn role(&self) -> Role {
        self.view.offer.role
    }

    /// One of its metadata.
    #[must_use]
    pub fn metadata(&self, name: &str) -> Option<&str> {
        let each = &self.view.offer.metadata;
        each.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Calls of this endpoint that are open there.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.view.outstanding
    }

    /// How long it works on a request, as far as this endpoint has seen; zero until it has.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.view.took
    }

    /// How long ago it was last heard of.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.age
    }

    /// It does not answer at the moment, and is not chosen.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.view.silent
    }
}

/// Something changed about an instance.
#[derive(Clone, Debug)]
pub struct ServiceChange {
    /// What.
    pub change: Change,
    /// The instance, as it stands now; of one that is gone, as it last stood.
    pub instance: Instance,
}

/// Tells who offers a service, from now on: first those that are known, then every change. Changes
/// of one instance that are not taken in time are merged. Dropping it ends the watch.
#[derive(Debug)]
pub struct ServiceWatch {
    hold: Arc<Hold>,
    id: WatchId,
    slot: Arc<WatchSlot>,
}

impl Endpoint {
    /// Watches the instances of all services.
    #[must_use]
    pub fn services(&self) -> ServiceWatch {
        self.watch_by(None)
    }

    /// Watches the instances of one service.
    ///
    /// # Errors
    /// [`CallError::Invalid`]: the name.
    pub fn service(&self, service: &str) -> Result<ServiceWatch, CallError> {
        check_service(service).map_err(|error| CallError::Invalid(error.to_string()))?;
        Ok(self.watch_by(Some(service)))
    }

    fn watch_by(&self, service: Option<&str>) -> ServiceWatch {
        let (id, slot) = self.hold.core.act(|inner, now| {
            let id = inner.node.watch_services(now, service);
            let slot = Arc::new(WatchSlot::default());
            inner.watches.insert(id, Arc::clone(&slot));
            (id, slot)
        });
        ServiceWatch { hold: Arc::clone(&self.hold), id, slot }
    }

    /// Asks the instance at an endpoint how it stands: its offer, its counters, the round trip.
    ///
    /// # Errors
    /// [`CallError`]: it does not offer the service, or does not answer within `limit`.
    ///
    /// # Cancel safety
    /// Cancel safe: an abandoned question costs its answer.
    pub async fn ping_service(
        &self,
        service: &str,
        at: EndpointId,
        limit: Duration,
    ) -> Result<(Offer, Stats, Duration), CallError> {
        let core = &self.hold.core;
        let begun = core.clock.now();
        let token = core.act(|inner, now| inner.node.ping_service(now, at, service))?;
        let answer = core.wait(limit, |inner, _| inner.node.take_standing(token)).await;
        let after = core.clock.now().since(begun);
        let service = service.to_owned();
        match answer {
            Some(Some((offer, stats))) => Ok((offer, stats, after)),
            Some(None) => Err(CallError::NoResponders { service, after }),
            None => Err(CallError::TimedOut { service, after, attempts: 1, tried: 1 }),
        }
    }
}

impl ServiceWatch {
    /// Waits until all members that are known have said what they offer, `limit` at most: from then
    /// on [`ServiceWatch::instances`] is complete. False if somebody has not.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn complete(&self, limit: Duration) -> bool {
        let core = &self.hold.core;
        let begun = core.clock.now();
        loop {
            let left = limit.saturating_sub(core.clock.now().since(begun));
            let known =
                |inner: &mut crate::driver::Inner, _| inner.node.offers_are_known().then_some(());
            if core.wait(left.min(LOOK_AGAIN), known).await.is_some() {
                return true;
            }
            if left.is_zero() || core.is_closed() {
                return false;
            }
        }
    }

    /// The next change; `None` after the endpoint has closed.
    ///
    /// # Cancel safety
    /// Cancel safe: a change is taken only by the poll that returns it.
    pub async fn next(&mut self) -> Option<ServiceChange> {
        loop {
            if let Some(change) = self.try_next() {
                return Some(change);
            }
            if self.hold.core.is_closed() {
                return None;
            }
            self.slot.wake.notified().await;
        }
    }

    /// The next change, if there is one. Never waits.
    pub fn try_next(&mut self) -> Option<ServiceChange> {
        let id = self.id;
        self.hold.core.with(|inner, now| {
            let (change, view) = inner.node.take_change(id)?;
            let age = now.since(view.heard);
            Some(ServiceChange { change, instance: Instance { view, age } })
        })
    }

    /// All instances that are known now.
    #[must_use]
    pub fn instances(&self) -> Vec<Instance> {
        let id = self.id;
        self.hold.core.with(|inner, now| {
            let views = inner.node.instances(id);
            let each = views.into_iter().map(|view| {
                let age = now.since(view.heard);
                Instance { view, age }
            });
            each.collect()
        })
    }
}

impl Drop for ServiceWatch {
    fn drop(&mut self) {
        let id = self.id;
        self.hold.core.act(|inner, now| {
            inner.watches.remove(&id);
            inner.node.unwatch_services(now, id);
        });
    }
}

/// Whom to wake when something has changed.
#[derive(Debug, Default)]
pub(crate) struct WatchSlot {
    pub(crate) wake: Notify,
}

/// An answer of a member is no event of its own: it is looked for so often.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
