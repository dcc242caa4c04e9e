//! Registering with name servers, and asking them.

use std::time::Duration;

use motet_proto::roles::leases;
use motet_proto::{EndpointId, EndpointKey};
use thiserror::Error;
use tokio::sync::watch;

use super::keeper::{Keeper, Keeping, Want};
use super::messages::{Ask, Done, Entry, decode};
use super::{NAMES, YOUNG};
use crate::ask::encode;
use crate::endpoint::Endpoint;
use crate::role::millis;
use crate::service::{CallError, CallOptions, Caller, Replies, WaitFor};

/// The name servers, whichever are there.
#[derive(Clone, Debug)]
pub struct Names {
    pub(super) endpoint: Endpoint,
    caller: Caller,
    group: String,
}

/// Why name servers did not help.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// No name server answered, or one said no.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What came back makes no sense.
    #[error("the name server answers something else; are all of one version?")]
    Garbled,
}

/// One who has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The name.
    pub name: String,
    /// Which endpoint.
    pub instance: EndpointId,
    /// Where it says it can be reached; may be empty.
    pub address: String,
    /// Whether its lease stands: false only in a watch, once it has ended.
    pub there: bool,
    /// What is left of its lease.
    pub left: Duration,
}

/// What one name server has said.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) holders: Vec<Holder>,
    /// It knows all; one that has just begun does not.
    pub(crate) whole: bool,
}

impl Names {
    /// Asks the name servers of one group, such as `dev`, `test` or `prod`.
    ///
    /// # Errors
    /// [`CallError`]: the endpoint has closed.
    pub fn new(endpoint: &Endpoint, group: &str) -> Result<Self, CallError> {
        let options = CallOptions::new()
            .timeout(GIVE_UP)
            .per_try(Duration::from_secs(1))
            .tries(3)
            .wait(WaitFor::Settled)
            .safe();
        let caller = endpoint.caller(NAMES, options)?;
        Ok(Self { endpoint: endpoint.clone(), caller, group: group.to_owned() })
    }

    /// As [`new`](Self::new), for an environment that was not looked at before.
    pub(crate) fn checked(endpoint: &Endpoint, environment: &str) -> Result<Self, CallError> {
        if !leases::is_name(environment) {
            return Err(CallError::Invalid(format!(
                "an environment has 1 to 256 bytes without control characters, not {environment:?}"
            )));
        }
        Self::new(endpoint, environment)
    }

    /// All that have this name; everybody if none is given.
    ///
    /// # Errors
    /// [`NameError`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn find(&self, name: Option<&str>) -> Result<Vec<Holder>, NameError> {
        Ok(self.look(name).await?.holders)
    }

    /// As [`find`](Self::find), and whether the name server that answers knows all.
    pub(crate) async fn look(&self, name: Option<&str>) -> Result<Look, NameError> {
        let ask = Ask::Find { group: self.group.clone(), name: name.map(str::to_owned) };
        let reply = self.caller.call(encode(&ask)).await?;
        let holders = holders(reply.body())?;
        Ok(Look { holders, whole: reply.property(YOUNG).is_none() })
    }

    /// First who has the name, then every change. Ends with the name server that answers it: then
    /// watch again.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn watch(&self, name: Option<&str>) -> Result<NameWatch, CallError> {
        let ask = Ask::Watch { group: self.group.clone(), name: name.map(str::to_owned) };
        let options = CallOptions::new().timeout(FOR_EVER).tries(1).wait(WaitFor::Settled);
        let caller = self.endpoint.caller(NAMES, options)?;
        Ok(NameWatch { replies: caller.start(encode(&ask))? })
    }

    /// Registers this endpoint under a name, and goes on renewing the lease until the registration
    /// is removed or dropped.
    ///
    /// # Errors
    /// [`NameError`]; nothing is registered then.
    ///
    /// # Cancel safety
    /// Abandoned, a lease may stand until its time is over.
    pub async fn register(&self, name: &str, ttl: Duration) -> Result<Registration, NameError> {
        let entry = entry_of(self, name, ttl);
        let already = self.put(&entry).await? == Done::Already;
        Ok(Registration { keeping: self.keep(entry, true), already })
    }

    /// Registers as soon as there is a name server, and goes on as [`register`](Self::register) does.
    pub(crate) fn register_soon(&self, name: &str, ttl: Duration) -> Keeping {
        self.keep(entry_of(self, name, ttl), false)
    }

    fn keep(&self, entry: Entry, stands: bool) -> Keeping {
        let (want, wanted) = watch::channel(Want::Stand);
        let (tell, told) = watch::channel(stands);
        let task = Keeper { names: self.clone(), entry, wanted, tell }.run();
        let task = self.endpoint.hold.core.about.runtime.spawn(task);
        Keeping { want, told, task }
    }

    pub(super) async fn put(&self, entry: &Entry) -> Result<Done, NameError> {
        let ask = Ask::Register { entry: entry.clone() };
        let reply = self.caller.call(encode(&ask)).await?;
        decode(reply.body()).ok_or(NameError::Garbled)
    }

    /// Tells every name server that an entry has ended.
    pub(super) async fn end(&self, entry: Entry) {
        let ask = encode(&Ask::Remove { entry });
        // Those that are not reached hear it from the others, or end it by its time.
        let _ = self.caller.survey(ask, Duration::from_secs(1)).await;
    }
}

fn entry_of(names: &Names, name: &str, ttl: Duration) -> Entry {
    let EndpointKey { id, incarnation } = names.endpoint.key();
    Entry {
        group: names.group.clone(),
        name: name.to_owned(),
        instance: id.0.to_vec().into(),
        life: incarnation,
        count: count(),
        ttl_ms: millis(ttl),
        left_ms: None,
        address: names.endpoint.local_addr().to_string(),
    }
}

/// Counts up within one life of an endpoint, also when it registers, removes and registers again.
pub(super) fn count() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(1);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// A name that is held. Dropping it ends the lease without waiting.
#[derive(Debug)]
pub struct Registration {
    keeping: Keeping,
    already: bool,
}

impl Registration {
    /// Whether this endpoint had the name already when it registered.
    #[must_use]
    pub fn already(&self) -> bool {
        self.already
    }

    /// Ends the lease, and waits until the name servers that are there know it.
    ///
    /// # Cancel safety
    /// Abandoned, the lease is ended all the same, if the endpoint stays open for so long.
    pub async fn remove(self) {
        self.keeping.end().await;
    }
}

/// Who has a name, from now on.
#[derive(Debug)]
pub struct NameWatch {
    replies: Replies,
}

impl NameWatch {
    /// First all that have it, then each that comes or goes; `None` once the name server that
    /// answered is gone.
    ///
    /// # Errors
    /// [`NameError`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<Result<Vec<Holder>, NameError>> {
        match self.replies.next().await? {
            Ok(reply) => Some(holders(reply.body())),
            Err(error) => Some(Err(error.into())),
        }
    }
}

fn holders(bytes: &[u8]) -> Result<Vec<Holder>, NameError> {
    let entries: Vec<Entry> = decode(bytes).ok_or(NameError::Garbled)?;
    let each = entries.into_iter().map(|entry| {
        let instance = entry.named()?.instance;
        let there = entry.left_ms.is_some();
        let left = Duration::from_millis(entry.left_ms.unwrap_or_default());
        Some(Holder { name: entry.name, instance, address: entry.address, there, left })
    });
    each.collect::<Option<_>>().ok_or(NameError::Garbled)
}

/// The time after which a question is given up (3 s), as in the guide's third model.
const GIVE_UP: Duration = Duration::from_secs(3);
/// A watch lasts as long as its client.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3_600);
