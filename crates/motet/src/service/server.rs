//! Offering a service.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use motet_proto::roles::leases;
use motet_proto::services::{
    Address, InstanceState, ReplySpec, Role, ServeSettings, ServiceRequest, ServiceStatus, Stats,
};
use motet_proto::{EndpointId, EndpointKey, ServeId};
use tokio::sync::Notify;

use super::checked::Checked;
use super::error::{CallError, RespondError, ServeError};
use super::order::Obeying;
use super::reply::Answer;
use crate::driver::{Core, Hold};
use crate::endpoint::Endpoint;
use crate::role::{CheckSpec, Keeping, Names};

/// How a service is offered. Start from [`ServeOptions::new`]; nothing is mandatory.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ServeOptions {
    settings: ServeSettings,
    /// With name servers: in which environment, and for how long without renewal.
    environment: Option<String>,
    lease: Option<Duration>,
    checks: Vec<CheckSpec>,
    orders: bool,
}

impl ServeOptions {
    /// 64 requests at once, 1,024 waiting.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests that [`Server::next`] hands out at once: those that are not answered yet. Default 64.
    pub fn concurrency(mut self, n: u32) -> Self {
        self.settings.concurrency = n;
        self
    }

    /// Requests that one caller may have open here. Default 256.
    pub fn credit(mut self, n: u32) -> Self {
        self.settings.credit = n;
        self
    }

    /// The high-water mark: with so many waiting, new ones are refused as overload. Default 1,024.
    pub fn queue(mut self, n: u32) -> Self {
        self.settings.queue = n;
        self
    }

    /// Bytes of requests that wait here. Default 64 MiB.
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.settings.queue_bytes = bytes;
        self
    }

    /// Replies kept for requests with an idempotency key: bytes and time. Default 8 MiB, 60 s.
    pub fn cache(mut self, bytes: usize, keep: Duration) -> Self {
        (self.settings.cache_bytes, self.settings.cache_for) = (bytes, keep);
        self
    }

    /// To run a request twice does no harm: callers may repeat it at any instance.
    pub fn safe(mut self) -> Self {
        self.settings.safe = true;
        self
    }

    /// What the instance is to those who call. Default [`Role::Direct`].
    pub fn role(mut self, role: Role) -> Self {
        self.settings.role = role;
        self
    }

    /// Version of the service: at most 64 bytes. Several may run side by side.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.settings.version = version.into();
        self
    }

    /// One more thing to show to everybody; 64 at most. `group` is what callers can choose by.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.metadata.push((name.into(), value.into()));
        self
    }

    /// Registers the instance with the name servers in this environment, such as `dev` or `prod`, for
    /// [`CallOptions::by_name_server`](super::CallOptions::by_name_server). The lease is renewed every
    /// third of its time with whichever name server is there, ended while the instance takes no work,
    /// and ended for good by [`Server::drain`] and with the service.
    pub fn register_in(mut self, environment: impl Into<String>) -> Self {
        self.environment = Some(environment.into());
        self
    }

    /// Registers the instance under its endpoint's name with all registries, which make this check; 8
    /// at most, the worst counts. While one is critical, or a registry has the instance under
    /// maintenance, it takes no work, and its offer says why. Without a registry nothing is checked.
    /// [`Server::drain`] and the end of the service end the registration.
    pub fn check(mut self, check: CheckSpec) -> Self {
        self.checks.push(check);
        self
    }

    /// Obeys `motet service maint` and `drain`: takes no new work, or takes work again, as any member of
    /// the realm says (see [`Order`](super::Order)). The program runs on. Default: no.
    pub fn takes_orders(mut self) -> Self {
        self.orders = true;
        self
    }

    /// How long a registration with name servers stands without renewal: 500 ms to an hour. Default
    /// 6 s.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// A service that this one cannot do without; 32 at most.
    pub fn requires(mut self, service: impl Into<String>) -> Self {
        self.settings.requires.push(service.into());
        self
    }
}

/// An instance of a service. Clones take from one queue. Dropping the last one ends the service:
/// what waits is refused, so that its callers go elsewhere.
#[derive(Clone)]
pub struct Server {
    share: Arc<Share>,
}

impl Endpoint {
    /// Offers a service: from now on requests may come.
    ///
    /// # Errors
    /// [`ServeError`]: the name, a bound, or this endpoint offers the service already (clone its
    /// [`Server`] instead).
    ///
    /// # Cancel safety
    /// Cancel safe: it does not wait.
    pub async fn serve(&self, service: &str, options: ServeOptions) -> Result<Server, ServeError> {
        let core = &self.hold.core;
        if core.is_leaving() {
            return Err(ServeError::Closed);
        }
        let lease = options.lease.unwrap_or(LEASE);
        let requires = options.settings.requires.clone();
        // Before the offer: whoever sees it may give orders.
        let inbox = match options.orders {
            true => Some(self.inbox().await.map_err(|_| ServeError::Closed)?),
            false => None,
        };
        let names = match &options.environment {
            Some(environment) => Some(names(self, environment, lease)?),
            None => None,
        };
        let (id, slot) = core
            .act(|inner, now| {
                let id = inner.node.serve(now, service, options.settings)?;
                let slot = Arc::new(ServeSlot::default());
                inner.serving.insert(id, Arc::clone(&slot));
                Ok((id, slot))
            })
            .map_err(|error: motet_proto::node::ServeRefused| {
                ServeError::Invalid(error.to_string())
            })?;
        let hold = Arc::clone(&self.hold);
        let keeping = names.map(|names| names.register_soon(service, lease));
        let service = service.into();
        let standing = Mutex::new(Standing::default());
        let (checked, obeying) = (OnceLock::new(), OnceLock::new());
        let share = Share { hold, id, slot, service, keeping, standing, checked, obeying };
        let share = Arc::new(share);
        if let Some(inbox) = inbox {
            let runtime = &core.about.runtime;
            // It is the first.
            let _ = share.obeying.set(Obeying::begin(runtime, inbox, Arc::downgrade(&share)));
        }
        if !options.checks.is_empty() {
            let weak = Arc::downgrade(&share);
            let checked = Checked::begin(self, &share.service, &options.checks, &requires, weak);
            let checked = checked.map_err(|error| ServeError::Invalid(error.to_string()))?;
            // It is the first.
            let _ = share.checked.set(checked);
        }
        Ok(Server { share })
    }
}

impl Server {
    /// The service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.share.service
    }

    /// The next request, as long as no more than [`ServeOptions::concurrency`] are unanswered;
    /// `None` after the endpoint has closed.
    ///
    /// # Cancel safety
    /// Cancel safe: a request is taken only by the poll that returns it.
    pub async fn next(&mut self) -> Option<Request> {
        loop {
            if let Some(request) = self.try_next() {
                return Some(request);
            }
            if self.core().is_closed() {
                self.share.slot.wake.notify_one(); // for the next of the clones
                return None;
            }
            self.share.slot.wake.notified().await;
        }
    }

    /// The next request, if one is there. Never waits.
    pub fn try_next(&mut self) -> Option<Request> {
        let id = self.share.id;
        let (request, more, slot) = self.core().act_soon(|inner, now| {
            let request = inner.node.next_request(now, id)?;
            let slot = Arc::new(RequestSlot::default());
            inner.requests.insert(request.id, Arc::clone(&slot));
            Some((request, inner.node.has_request(id), slot))
        })?;
        if more {
            self.share.slot.wake.notify_one(); // for a clone
        }
        Some(Request { inner: request, slot, hold: Arc::clone(&self.share.hold), answered: false })
    }

    /// Takes no new requests from now on (callers are told, and go elsewhere), and waits until
    /// those that were accepted are answered; false if `limit` passed before that. Others have to
    /// go on calling [`Server::next`] meanwhile: what was accepted is still handed out.
    ///
    /// # Cancel safety
    /// Cancel safe: the service stays draining.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.set_state(InstanceState::Draining, "");
        let id = self.share.id;
        let idle = self.core().wait(limit, |inner, _| inner.node.is_idle(id).then_some(()));
        let idle = idle.await.is_some();
        if let Some(keeping) = &self.share.keeping {
            // Where no name server hears it, the lease runs out.
            keeping.stands(false).await;
        }
        if let Some(checked) = self.share.checked.get() {
            checked.end().await;
        }
        idle
    }

    /// Waits until the registries that are there have taken the registration of
    /// [`ServeOptions::check`]; at once if there is none to be made.
    ///
    /// # Errors
    /// [`CallError::Status`]: one refused it, and why. Nothing is checked then.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn checked(&self) -> Result<(), CallError> {
        match self.share.checked.get() {
            Some(checked) => checked.taken().await,
            None => Ok(()),
        }
    }

    /// Waits until a name server has taken the registration of [`ServeOptions::register_in`]; at once
    /// if there is none to be made.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn registered(&self) {
        if let Some(keeping) = &self.share.keeping {
            keeping.stands(true).await;
        }
    }

    /// Takes the instance out, or back in, with a reason that everybody can see.
    pub fn maintenance(&self, on: bool, reason: &str) {
        let state = if on { InstanceState::Maintenance } else { InstanceState::Up };
        self.set_state(state, reason);
    }

    /// Says whether this instance takes work, and why not.
    pub fn set_state(&self, state: InstanceState, reason: &str) {
        self.share.say(state, reason);
    }

    /// Changes how many requests are handed out at once, and how many one caller may have open.
    pub fn set_credit(&self, concurrency: u32, credit: u32) {
        let id = self.share.id;
        self.core().act(|inner, now| inner.node.set_credit(now, id, concurrency, credit));
    }

    /// Says how loaded the program is, in thousandths of what it can bear.
    pub fn set_load(&self, permille: u32) {
        let id = self.share.id;
        self.core().act(|inner, now| inner.node.set_load(now, id, permille));
    }

    /// Shows other metadata from now on.
    pub fn set_metadata(&self, metadata: Vec<(String, String)>) {
        let id = self.share.id;
        self.core().act(|inner, now| inner.node.set_metadata(now, id, metadata));
    }

    /// What this instance has counted since it began.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let id = self.share.id;
        self.core().with(|inner, _| inner.node.serving_stats(id)).unwrap_or_default()
    }

    /// Requests that wait, and requests that are handed out and unanswered.
    #[must_use]
    pub fn backlog(&self) -> (usize, usize) {
        let id = self.share.id;
        self.core().with(|inner, _| inner.node.backlog(id))
    }

    fn core(&self) -> &Core {
        &self.share.hold.core
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({:?})", self.share.service)
    }
}

pub(super) struct Share {
    hold: Arc<Hold>,
    id: ServeId,
    slot: Arc<ServeSlot>,
    service: Arc<str>,
    /// Ends with it.
    keeping: Option<Keeping>,
    standing: Mutex<Standing>,
    checked: OnceLock<Checked>,
    obeying: OnceLock<Obeying>,
}

/// Whether an instance takes work.
#[derive(Default)]
struct Standing {
    /// What the program says.
    said: (InstanceState, String),
    /// What registries have found, unless all is well.
    found: Option<(InstanceState, String)>,
}

impl Share {
    pub(super) fn service(&self) -> &str {
        &self.service
    }

    pub(super) fn say(&self, state: InstanceState, reason: &str) {
        self.set(|standing| standing.said = (state, reason.to_owned()));
    }

    pub(super) fn set_found(&self, found: Option<(InstanceState, String)>) {
        self.set(|standing| standing.found = found);
    }

    /// The program has the first word, checks the second.
    fn set(&self, change: impl FnOnce(&mut Standing)) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = standing.now().clone();
        change(&mut standing);
        let now = standing.now().clone();
        if now != before {
            let (state, reason) = now;
            self.hold.core.act(|inner, now| inner.node.set_serving(now, self.id, state, &reason));
            if let Some(keeping) = &self.keeping {
                keeping.stand(state == InstanceState::Up);
            }
        }
    }
}

impl Standing {
    fn now(&self) -> &(InstanceState, String) {
        match &self.found {
            Some(found) if self.said.0 == InstanceState::Up => found,
            _ => &self.said,
        }
    }
}

fn names(endpoint: &Endpoint, environment: &str, lease: Duration) -> Result<Names, ServeError> {
    let names = Names::checked(endpoint, environment)
        .map_err(|error| ServeError::Invalid(error.to_string()))?;
    if lease < leases::TTL.0 || lease > leases::TTL.1 {
        return Err(ServeError::Invalid("a lease lasts from 500 ms to one hour".to_owned()));
    }
    Ok(names)
}

/// The default lease with name servers, as in the guide's third model.
const LEASE: Duration = Duration::from_secs(6);

impl Drop for Share {
    fn drop(&mut self) {
        let id = self.id;
        self.hold.core.act(|inner, now| {
            inner.serving.remove(&id);
            inner.node.stop_serving(now, id);
        });
    }
}

/// A request to be answered. Dropped without an answer, it fails with that as its text.
#[derive(Debug)]
pub struct Request {
    inner: ServiceRequest,
    slot: Arc<RequestSlot>,
    hold: Arc<Hold>,
    answered: bool,
}

impl Request {
    /// The first frame of the body; empty if there is none.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.inner.frames.first().map_or(&[], |frame| frame)
    }

    /// All frames of the body.
    #[must_use]
    pub fn frames(&self) -> &[Bytes] {
        &self.inner.frames
    }

    /// Its properties, in order.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.inner.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The first property of this name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The service that is called.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.inner.service
    }

    /// Who sent it: the caller, or the broker that passed it on.
    #[must_use]
    pub fn client(&self) -> EndpointKey {
        self.inner.client
    }

    /// The name of who sent it.
    #[must_use]
    pub fn client_name(&self) -> &str {
        &self.inner.client_name
    }

    /// Who called first: the sender, unless brokers passed it on.
    #[must_use]
    pub fn origin(&self) -> EndpointId {
        self.inner.hops.first().copied().unwrap_or(self.inner.client.id)
    }

    /// The correlation id: the sender's incarnation and its number for the call.
    #[must_use]
    pub fn correlation(&self) -> (u64, u64) {
        (self.inner.client.incarnation, self.inner.call)
    }

    /// How often the call was sent, this one included.
    #[must_use]
    pub fn attempt(&self) -> u64 {
        self.inner.attempt
    }

    /// Its idempotency key.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&[u8]> {
        self.inner.key.as_deref()
    }

    /// Whom it was meant for.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.inner.address
    }

    /// The version of the service that the caller wants; empty: any.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.inner.version
    }

    /// Endpoints that passed it on, the first caller first; empty if it came directly.
    #[must_use]
    pub fn hops(&self) -> &[EndpointId] {
        &self.inner.hops
    }

    /// How long somebody still waits for the answer.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.inner.deadline.since(self.hold.core.clock.now())
    }

    /// Whether nobody waits for the answer any more: the caller cancelled it, or is gone.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.slot.cancelled.load(Ordering::SeqCst)
    }

    /// Waits until nobody waits for the answer any more. To be used in a `select`.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn cancelled(&self) {
        while !self.is_cancelled() {
            self.slot.wake.notified().await;
        }
    }

    /// Answers with a body of one frame.
    ///
    /// # Errors
    /// [`RespondError`]; nobody gets the answer then.
    pub fn reply(self, body: impl Into<Bytes>) -> Result<(), RespondError> {
        self.answer(Answer::new(body))
    }

    /// Answers.
    ///
    /// # Errors
    /// [`RespondError`]; nobody gets the answer then.
    pub fn answer(mut self, answer: Answer) -> Result<(), RespondError> {
        let result = self.respond(answer.spec);
        // What breaks a bound is still to be answered: by the drop.
        self.answered = !matches!(result, Err(RespondError::Invalid(_)));
        result
    }

    /// Sends one part of an answer of which more follows.
    ///
    /// # Errors
    /// [`RespondError`]; `Full` if the caller is slow: wait, and send the part again.
    pub fn part(&mut self, part: impl Into<Bytes>) -> Result<(), RespondError> {
        self.part_of(Answer::new(part))
    }

    /// As [`Request::part`], with properties and several frames.
    ///
    /// # Errors
    /// As [`Request::part`].
    pub fn part_of(&mut self, answer: Answer) -> Result<(), RespondError> {
        self.respond(ReplySpec { last: false, ..answer.spec })
    }

    /// Ends an answer whose parts have all been sent.
    ///
    /// # Errors
    /// [`RespondError`].
    pub fn finish(self) -> Result<(), RespondError> {
        self.answer(Answer::default())
    }

    /// Says that the program failed, with a code of its own and a text.
    ///
    /// # Errors
    /// [`RespondError`].
    pub fn fail(self, code: u64, text: impl Into<String>) -> Result<(), RespondError> {
        self.answer(Answer::failed(code, text))
    }

    /// Says no: the body makes no sense, or is not allowed, and so on.
    ///
    /// # Errors
    /// [`RespondError`].
    pub fn refuse(
        self,
        status: ServiceStatus,
        text: impl Into<String>,
    ) -> Result<(), RespondError> {
        self.answer(Answer::status(status, text))
    }

    fn respond(&self, spec: ReplySpec) -> Result<(), RespondError> {
        let id = self.inner.id;
        let last = spec.last;
        let result = self.hold.core.act_soon(|inner, now| {
            let result = inner.node.respond(now, id, spec);
            if last && !matches!(result, Err(motet_proto::node::RespondError::Invalid(_))) {
                inner.requests.remove(&id);
            }
            result
        });
        if last {
            self.hold.core.progress.notify_waiters(); // a drain may wait for it
        }
        Ok(result?)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.answered {
            let text = "the program dropped the request without an answer".to_owned();
            let status = ServiceStatus::Failed;
            // Nobody waiting is fine.
            let _ = self.respond(ReplySpec { status, text, ..ReplySpec::default() });
        }
    }
}

/// Whom to wake when a request is there.
#[derive(Debug, Default)]
pub(crate) struct ServeSlot {
    pub(crate) wake: Notify,
}

/// Whether a request is still wanted.
#[derive(Debug, Default)]
pub(crate) struct RequestSlot {
    cancelled: AtomicBool,
    wake: Notify,
}

impl RequestSlot {
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.wake.notify_waiters();
        self.wake.notify_one();
    }
}
