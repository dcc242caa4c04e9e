//! Registering services that are no endpoints with the registries that are there.

mod messages;

use std::time::Duration;

use motet_proto::roles::checks::{CheckSpec, Health, Probe};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use messages::{Ask, Name, Registrant, Row};

use super::{millis, pause};
use crate::ask::encode;
use crate::endpoint::Endpoint;
use crate::service::{CallError, CallOptions, Caller, ServiceStatus, WaitFor};

/// A service that is no endpoint, to be registered.
#[derive(Clone, Debug)]
#[must_use]
pub struct Outside {
    of: Name,
    what: Registrant,
}

impl Outside {
    /// An instance of a service, under a name of its own, with a lease of 10 s and no checks.
    pub fn new(service: &str, instance: &str, address: &str) -> Self {
        let of = name(service, instance);
        let address = address.to_owned();
        let (checks, requires) = (vec![], vec![]);
        let what = Registrant { address, ttl_ms: 10_000, checks, requires, offered: None };
        Self { of, what }
    }

    /// How long it stands without renewal: 500 ms to a day.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.what.ttl_ms = millis(ttl);
        self
    }

    /// One more check, 8 at most; the worst of them counts.
    pub fn check(mut self, check: &CheckSpec) -> Self {
        self.what.checks.push(check.into());
        self
    }

    /// The endpoint that registers it offers it itself: it is not one more instance.
    pub(crate) fn offered(mut self) -> Self {
        self.what.offered = Some(true);
        self
    }

    /// A service that it cannot do without; with `?` at the end, one that it can.
    pub fn requires(mut self, service: &str) -> Self {
        self.what.requires.push(service.to_owned());
        self
    }
}

/// A registered instance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutsideView {
    /// The service.
    pub service: String,
    /// The instance.
    pub instance: String,
    /// Where it can be reached, in words of its own.
    pub address: String,
    /// `passing`, `warning`, `critical`, or `maintenance`.
    pub state: String,
    /// Why.
    pub reason: String,
    /// What is left of its lease.
    pub left: Duration,
}

/// The registries, whichever are there.
#[derive(Clone, Debug)]
pub struct Registries {
    caller: Caller,
}

impl Registries {
    /// Speaks to all registries of the realm.
    ///
    /// # Errors
    /// [`CallError`]: the endpoint has closed.
    pub fn new(endpoint: &Endpoint) -> Result<Self, CallError> {
        let options = CallOptions::new().timeout(GIVE_UP).tries(2).wait(WaitFor::Settled).safe();
        Ok(Self { caller: endpoint.caller(REGISTRY, options)? })
    }

    /// Begins a lease at every registry that is there, or renews it. The lease belongs to this
    /// endpoint. The number of registries that took it: at least one.
    ///
    /// # Errors
    /// [`CallError`]: there is no registry, or one refused.
    ///
    /// # Cancel safety
    /// Abandoned, the lease may stand until its time is over.
    pub async fn register(&self, what: &Outside) -> Result<usize, CallError> {
        self.all(&Ask::Register { of: what.of.clone(), what: what.what.clone() }).await
    }

    /// Renews a lease of this endpoint as it stands, wherever it stands. The number of registries that
    /// did: at least one.
    ///
    /// # Errors
    /// [`CallError`]: there is no registry, or none holds such a lease of this endpoint.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn renew(&self, service: &str, instance: &str) -> Result<usize, CallError> {
        self.all(&Ask::Renew { of: name(service, instance) }).await
    }

    /// Registers, and goes on renewing every third of the lease until the result is dropped: also
    /// at registries that come later. Its lease then runs out.
    ///
    /// # Errors
    /// As [`Registries::register`].
    ///
    /// # Cancel safety
    /// As [`Registries::register`].
    pub async fn hold(&self, what: Outside) -> Result<Held, CallError> {
        self.register(&what).await?;
        let (stop, mut stopped) = watch::channel(());
        let registries = self.clone();
        let of = what.of.clone();
        let renewing = tokio::spawn(async move {
            let every = Duration::from_millis(what.what.ttl_ms) / 3;
            loop {
                tokio::select! {
                    _ = stopped.changed() => return,
                    () = pause(every) => {}
                }
                // No registry now: the next one that comes gets all of it.
                let _ = registries.register(&what).await;
            }
        });
        Ok(Held { registries: self.clone(), of, stop, renewing })
    }

    /// Ends a lease of this endpoint.
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// # Cancel safety
    /// Abandoned, the lease may stand until its time is over.
    pub async fn remove(&self, service: &str, instance: &str) -> Result<usize, CallError> {
        self.all(&Ask::Remove { of: name(service, instance) }).await
    }

    /// Says how an instance of this endpoint is, for its checks of kind `ttl`.
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn report(
        &self,
        service: &str,
        instance: &str,
        health: Health,
        text: &str,
    ) -> Result<usize, CallError> {
        let (health, text) = (health.as_str().to_owned(), text.to_owned());
        self.all(&Ask::Report { of: name(service, instance), health, text }).await
    }

    /// Takes any registered instance out, with a reason, or back in.
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn maintain(
        &self,
        service: &str,
        instance: &str,
        why: Option<&str>,
    ) -> Result<usize, CallError> {
        let why = why.map(str::to_owned);
        self.all(&Ask::Maintain { of: name(service, instance), why }).await
    }

    /// What is registered at one of the registries, of one service or of all.
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn find(&self, service: Option<&str>) -> Result<Vec<OutsideView>, CallError> {
        let ask = Ask::Find { service: service.map(str::to_owned) };
        let reply = self.caller.call(encode(&ask)).await?;
        let rows: Vec<Row> = minicbor::decode(reply.body()).map_err(|_| {
            CallError::Invalid(
                "the registry answers something else; are all of one version?".into(),
            )
        })?;
        Ok(rows.into_iter().map(view).collect())
    }

    async fn all(&self, ask: &Ask) -> Result<usize, CallError> {
        let begun = tokio::time::Instant::now();
        let survey = self.caller.survey(encode(ask), GIVE_UP).await?;
        let (service, after) = (REGISTRY.to_owned(), begun.elapsed());
        let done = survey.replies.iter().filter(|it| it.status() == ServiceStatus::Ok).count();
        let mut said = survey.replies.iter().filter(|it| it.status() != ServiceStatus::Ok);
        // One that came later may not know what the others hold.
        let partly = done > 0 && !matches!(ask, Ask::Register { .. });
        if let Some(no) = said.next().filter(|_| !partly) {
            let (from, status, code) = (no.from(), no.status(), no.code());
            return Err(CallError::Status {
                service,
                from,
                status,
                code,
                text: no.text().into(),
                attempts: 1,
            });
        }
        match survey.replies.len() {
            0 if survey.asked == 0 => Err(CallError::NoResponders { service, after }),
            0 => Err(CallError::TimedOut { service, after, attempts: 1, tried: survey.asked }),
            _ => Ok(done),
        }
    }
}

/// A lease that is renewed as long as this is kept. Dropped, it runs out; [`end`](Self::end) ends it.
#[derive(Debug)]
pub struct Held {
    registries: Registries,
    of: Name,
    stop: watch::Sender<()>,
    renewing: JoinHandle<()>,
}

impl Held {
    /// Ends the lease at all registries, once a renewal that is under way has ended.
    ///
    /// # Errors
    /// [`CallError`]: where it could not be ended it runs out.
    ///
    /// # Cancel safety
    /// Abandoned, the lease runs out.
    pub async fn end(self) -> Result<(), CallError> {
        drop(self.stop);
        // It ends by itself; one that panicked renews nothing either.
        let _ = self.renewing.await;
        self.registries.all(&Ask::Remove { of: self.of }).await.map(drop)
    }
}

/// Reads a check: `ttl`, `tcp://HOST:PORT`, `http://HOST:PORT/PATH`, `command:NAME`.
///
/// # Errors
/// What can be given.
pub fn parse_probe(text: &str) -> Result<Probe, String> {
    let rest = |start: &str| text.strip_prefix(start).filter(|rest| !rest.is_empty());
    if text == "ttl" {
        Ok(Probe::Ttl)
    } else if let Some(target) = rest("tcp://").filter(|it| it.contains(':')) {
        Ok(Probe::Tcp(target.to_owned()))
    } else if rest("http://").is_some() {
        Ok(Probe::Http(text.to_owned()))
    } else if let Some(name) = rest("command:") {
        Ok(Probe::Command(name.to_owned()))
    } else {
        Err("a check is ttl, tcp://HOST:PORT, http://HOST:PORT/PATH or command:NAME".to_owned())
    }
}

fn name(service: &str, instance: &str) -> Name {
    Name { service: service.to_owned(), instance: instance.to_owned() }
}

fn view(row: Row) -> OutsideView {
    let (state, reason) = match row.maintenance {
        Some(why) => ("maintenance".to_owned(), why),
        None => (row.health, row.reason),
    };
    let Name { service, instance } = row.of;
    let left = Duration::from_millis(row.left_ms);
    OutsideView { service, instance, address: row.address, state, reason, left }
}

/// The service of registries.
pub(crate) const REGISTRY: &str = "motet.registry";
/// After this long a registry that is silent is given up.
const GIVE_UP: Duration = Duration::from_secs(2);
