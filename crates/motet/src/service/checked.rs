//! A server that is checked by registries: registered there, and out of work while a check is critical.

use std::sync::Weak;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::server::Share;
use super::{CallError, InstanceState};
use crate::endpoint::Endpoint;
use crate::role::{CheckSpec, Held, Outside, Registries, pause};

/// What registries have said to the registration.
pub(super) type Taken = Option<Result<(), CallError>>;

/// Ends with its server.
#[derive(Debug)]
pub(super) struct Checked {
    stop: watch::Sender<bool>,
    taken: watch::Receiver<Taken>,
    ended: watch::Receiver<bool>,
    _task: JoinHandle<()>,
}

impl Checked {
    pub(super) fn begin(
        endpoint: &Endpoint,
        service: &str,
        checks: &[CheckSpec],
        requires: &[String],
        share: Weak<Share>,
    ) -> Result<Self, CallError> {
        let address = endpoint.local_addr().to_string();
        let mut what = Outside::new(service, endpoint.name(), &address).offered();
        for check in checks {
            what = what.check(check);
        }
        for service in requires {
            what = what.requires(service);
        }
        let shortest = checks.iter().map(|check| check.interval).min().unwrap_or(LOOK.1);
        let (stop, stopped) = watch::channel(false);
        let (tell, taken) = watch::channel(None);
        let (over, ended) = watch::channel(false);
        let (service, instance) = (service.to_owned(), endpoint.name().to_owned());
        let registries = Registries::new(endpoint)?;
        let every = shortest.clamp(LOOK.0, LOOK.1);
        let looking = Looking { registries, what, service, instance, every, share, stopped };
        let task = endpoint.hold.core.about.runtime.spawn(async move {
            looking.run(tell).await;
            over.send_replace(true);
        });
        Ok(Self { stop, taken, ended, _task: task })
    }

    /// Waits until registries have taken the registration, or refused it.
    pub(super) async fn taken(&self) -> Result<(), CallError> {
        let mut taken = self.taken.clone();
        let said = taken.wait_for(Option::is_some).await.map_err(|_| CallError::Closed)?;
        said.clone().unwrap_or(Ok(()))
    }

    /// Ends the registration, and waits until the registries that are there know it.
    pub(super) async fn end(&self) {
        self.stop.send_replace(true);
        // A task that broke has nothing to end.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

struct Looking {
    registries: Registries,
    what: Outside,
    service: String,
    instance: String,
    every: Duration,
    share: Weak<Share>,
    stopped: watch::Receiver<bool>,
}

impl Looking {
    async fn run(mut self, tell: watch::Sender<Taken>) {
        let Some(held) = self.register(&tell).await else { return };
        loop {
            tokio::select! {
                _ = self.stopped.wait_for(|stop| *stop) => break,
                () = pause(self.every) => {}
            }
            let Ok(found) = self.registries.find(Some(&self.service)).await else {
                self.set(None); // nobody checks now
                continue;
            };
            let Some(own) = found.iter().find(|it| it.instance == self.instance) else { continue };
            self.set(match own.state.as_str() {
                "critical" => Some((InstanceState::Unhealthy, own.reason.clone())),
                "maintenance" => Some((InstanceState::Maintenance, own.reason.clone())),
                _ => None,
            });
        }
        // Where it could not be ended it runs out.
        let _ = held.end().await;
    }

    /// Registers as soon as there is a registry; `None` if it is refused, or no longer wanted.
    async fn register(&mut self, tell: &watch::Sender<Taken>) -> Option<Held> {
        loop {
            let held = tokio::select! {
                _ = self.stopped.wait_for(|stop| *stop) => return None,
                held = self.registries.hold(self.what.clone()) => held,
            };
            match held {
                Ok(held) => {
                    tell.send_replace(Some(Ok(())));
                    return Some(held);
                }
                Err(CallError::NoResponders { .. } | CallError::TimedOut { .. }) => {}
                Err(error) => {
                    tell.send_replace(Some(Err(error)));
                    return None;
                }
            }
            tokio::select! {
                _ = self.stopped.wait_for(|stop| *stop) => return None,
                () = pause(AGAIN) => {}
            }
        }
    }

    fn set(&self, found: Option<(InstanceState, String)>) {
        if let Some(share) = self.share.upgrade() {
            share.set_found(found);
        }
    }
}

/// How often a registry is asked what its checks have found: as often as it checks, within these.
const LOOK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// Without a registry one is looked for so often.
const AGAIN: Duration = Duration::from_secs(1);
