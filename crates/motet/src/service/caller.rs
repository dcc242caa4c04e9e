//! Calling a service.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use motet_proto::services::{
    Address, CallOutput, CallSettings, CallSpec, Mode, Reach, WaitFor, check_service,
};
use motet_proto::{CallId, EndpointId};
use tokio::sync::Notify;

use super::book::Book;
use super::error::CallError;
use super::reply::{Reply, Survey};
use crate::driver::Hold;
use crate::endpoint::Endpoint;

/// How a service is called. Start from [`CallOptions::new`]; nothing is mandatory.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct CallOptions {
    pub(crate) settings: CallSettings,
    environment: Option<String>,
}

impl CallOptions {
    /// 5 s, one instance chosen by load, repeated only where that does no harm.
    pub fn new() -> Self {
        Self::default()
    }

    /// After this a call ends as timed out. Default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// After this an attempt counts as failed. Default: the timeout divided by the tries for calls
    /// that may be repeated, else the timeout.
    pub fn per_try(mut self, limit: Duration) -> Self {
        self.settings.per_try = Some(limit);
        self
    }

    /// How often a call that may be repeated is sent at most. Default 3.
    pub fn tries(mut self, tries: u32) -> Self {
        self.settings.tries = tries;
        self
    }

    /// The first pause before another try and the longest; doubled, ±20 %. Default 100 ms, 5 s.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.backoff = (first, longest);
        self
    }

    /// To run it twice does no harm: it may be repeated at any instance.
    pub fn safe(mut self) -> Self {
        self.settings.safe = true;
        self
    }

    /// Which instances a call goes to. Default [`Mode::One`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.settings.mode = mode;
        self
    }

    /// To so many instances at once (0: all); the first answer counts, the others are cancelled.
    pub fn first_of(self, n: u32) -> Self {
        self.mode(Mode::First(n))
    }

    /// To one instance after the other in the order of their ids, each for so long.
    pub fn ordered(self, per_server: Duration) -> Self {
        self.mode(Mode::Ordered(per_server))
    }

    /// Only to the instance at this endpoint.
    pub fn to(mut self, endpoint: EndpointId) -> Self {
        self.settings.address = Address::Endpoint(endpoint);
        self
    }

    /// Only to instances whose metadata say `group=NAME`.
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.settings.address = Address::Group(name.into());
        self
    }

    /// Only to instances of this version; `2` is also 2.1 and 2.1.7.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.settings.version = version.into();
        self
    }

    /// Which roles a call goes to. Default: brokers if there are any, else instances directly.
    pub fn reach(mut self, reach: Reach) -> Self {
        self.settings.reach = reach;
        self
    }

    /// Only to instances that are registered with the name servers in this environment, such as
    /// `dev` or `prod`: see [`ServeOptions::register_in`](super::ServeOptions::register_in).
    ///
    /// Any name server that lives is asked, and another if it is mute. What it says is believed until
    /// the leases end, and asked for again while there are calls. All else is as without: load,
    /// retries, keys, deadlines. [`CallError::Unlisted`] if that leads to nobody.
    pub fn by_name_server(mut self, environment: impl Into<String>) -> Self {
        self.environment = Some(environment.into());
        self
    }

    /// How long to wait for an instance where there is none. Default: until discovery has settled.
    pub fn wait(mut self, wait: WaitFor) -> Self {
        self.settings.wait = wait;
        self
    }

    /// An instance with open calls that has been silent for so long is not chosen until its next
    /// sign of life. Default 6 s.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.ttl = ttl;
        self
    }

    /// Bytes of replies that may wait to be taken. Default 64 MiB.
    pub fn reply_bytes(mut self, bytes: usize) -> Self {
        self.settings.reply_bytes = bytes;
        self
    }
}

/// What is asked: a body in one or more frames, and what travels with it.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Ask {
    pub(crate) key: Option<Bytes>,
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) hops: Vec<EndpointId>,
    pub(crate) sent_before: u64,
    pub(crate) frames: Vec<Bytes>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) to: Option<EndpointId>,
    /// Whoever passes it on: whom it goes to, whatever it says of whom it is meant for.
    pub(crate) only: Option<EndpointId>,
    /// The address and version that the first caller wanted.
    pub(crate) wanted: Option<(Address, String)>,
}

impl Ask {
    /// A body of one frame.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self::default().frame(body)
    }

    /// With another frame; 256 at most.
    pub fn frame(mut self, frame: impl Into<Bytes>) -> Self {
        self.frames.push(frame.into());
        self
    }

    /// With one more property; 64 at most.
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((name.into(), value.into()));
        self
    }

    /// Names the deed (1 to 512 bytes): however often it is sent, it is done once. What was sent to
    /// an instance that is gone, and may have run there, is not sent to another.
    pub fn idempotency_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Who passed it on so far, the first caller first. For brokers.
    pub fn hops(mut self, hops: impl Into<Vec<EndpointId>>) -> Self {
        self.hops = hops.into();
        self
    }

    /// Another timeout than that of the caller's options, for this call.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Only to the instance at this endpoint, this call.
    pub fn to(mut self, endpoint: EndpointId) -> Self {
        self.to = Some(endpoint);
        self
    }
}

impl<T: Into<Bytes>> From<T> for Ask {
    fn from(body: T) -> Self {
        Self::new(body)
    }
}

/// Calls one service, again and again. Cloning shares nothing but the endpoint.
#[derive(Clone)]
pub struct Caller {
    hold: Arc<Hold>,
    service: Arc<str>,
    options: CallOptions,
    /// With [`CallOptions::by_name_server`].
    book: Option<Arc<Book>>,
}

impl Endpoint {
    /// Calls a service once and waits for its answer, with default options.
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call: the server is told.
    pub async fn call(&self, service: &str, body: impl AsRef<[u8]>) -> Result<Reply, CallError> {
        let body = Bytes::copy_from_slice(body.as_ref());
        self.caller(service, CallOptions::new())?.call(body).await
    }

    /// Prepares calls of a service. From now on its instances are watched, for as long as the
    /// endpoint lives.
    ///
    /// # Errors
    /// [`CallError::Invalid`]: the name, or too many callers by name servers; [`CallError::Closed`].
    pub fn caller(&self, service: &str, mut options: CallOptions) -> Result<Caller, CallError> {
        check_service(service).map_err(|error| CallError::Invalid(error.to_string()))?;
        if self.hold.core.is_leaving() {
            return Err(CallError::Closed);
        }
        self.hold.core.act(|inner, now| inner.node.seek_service(now, service))?;
        let environment = options.environment.as_deref();
        let book = environment.map(|it| Book::open(self, service, it)).transpose()?.map(Arc::new);
        options.settings.book = book.as_ref().map(|book| book.id);
        Ok(Caller { hold: Arc::clone(&self.hold), service: service.into(), options, book })
    }
}

impl Caller {
    /// The service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Calls and waits for the answer. Of an answer in parts the last one is returned.
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call: the server is told.
    pub async fn call(&self, ask: impl Into<Ask>) -> Result<Reply, CallError> {
        self.start(ask)?.last().await
    }

    /// Begins a call; its replies come as they come. Many may be open at once: 131,072 of one
    /// endpoint.
    ///
    /// # Errors
    /// [`CallError::Invalid`] or [`CallError::Closed`]; nothing was sent.
    pub fn start(&self, ask: impl Into<Ask>) -> Result<Replies, CallError> {
        self.begin(ask.into(), None)
    }

    /// Asks all instances and collects their answers until all have answered, or for so long.
    /// Nobody there is no error: then there are no replies.
    ///
    /// # Errors
    /// [`CallError::Invalid`] or [`CallError::Closed`].
    ///
    /// # Cancel safety
    /// As [`Caller::call`].
    pub async fn survey(&self, ask: impl Into<Ask>, within: Duration) -> Result<Survey, CallError> {
        let mut replies = self.begin(ask.into(), Some(Mode::All(within)))?;
        let mut survey = Survey::default();
        while let Some(reply) = replies.next().await {
            match reply {
                Ok(reply) => survey.replies.push(reply),
                Err(
                    CallError::NoResponders { .. }
                    | CallError::TimedOut { .. }
                    | CallError::Unlisted { .. },
                ) => {}
                Err(error) => return Err(error),
            }
        }
        survey.asked = replies.asked;
        Ok(survey)
    }

    fn begin(&self, ask: Ask, mode: Option<Mode>) -> Result<Replies, CallError> {
        let core = &self.hold.core;
        if core.is_leaving() {
            return Err(CallError::Closed);
        }
        let mut settings = self.options.settings.clone();
        if let Some(timeout) = ask.timeout {
            settings.timeout = timeout;
        }
        settings.only = ask.only;
        if let Some((address, version)) = ask.wanted {
            (settings.address, settings.version) = (address, version);
        }
        if let Some(to) = ask.to {
            settings.address = Address::Endpoint(to);
        }
        if let Some(mode) = mode {
            settings.mode = mode;
        }
        let Ask { key, properties, hops, frames, sent_before, .. } = ask;
        let spec = CallSpec { settings, key, properties, hops, sent_before, frames };
        if let Some(book) = &self.book {
            book.used(core.clock.now());
        }
        let slot = Arc::new(CallSlot::default());
        let id = core.act_soon(|inner, now| {
            let id = inner.node.call(now, &self.service, spec)?;
            inner.calls.insert(id, Arc::clone(&slot));
            Ok::<_, CallError>(id)
        })?;
        let (hold, service) = (Arc::clone(&self.hold), Arc::clone(&self.service));
        Ok(Replies { hold, service, id, slot, over: false, asked: 0, book: self.book.clone() })
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller({:?})", self.service)
    }
}

/// The replies of one call, as they come. Dropping it cancels the call if it is not over: the
/// server is told.
#[derive(Debug)]
pub struct Replies {
    hold: Arc<Hold>,
    service: Arc<str>,
    id: CallId,
    slot: Arc<CallSlot>,
    over: bool,
    asked: usize,
    book: Option<Arc<Book>>,
}

impl Replies {
    /// The number of the call: its correlation id, together with this endpoint's incarnation.
    #[must_use]
    pub fn id(&self) -> CallId {
        self.id
    }

    /// The next reply, or the error that ends the call; `None` after the last.
    ///
    /// # Cancel safety
    /// Cancel safe: a reply is taken only by the poll that returns it.
    pub async fn next(&mut self) -> Option<Result<Reply, CallError>> {
        loop {
            if self.over {
                return None;
            }
            if let Some(output) = self.slot.pop() {
                return self.take(output);
            }
            if self.hold.core.is_closed() {
                self.over = true;
                return Some(Err(CallError::Closed));
            }
            self.slot.wake.notified().await;
        }
    }

    /// Waits for the last reply.
    ///
    /// # Errors
    /// [`CallError`].
    ///
    /// # Cancel safety
    /// Not cancel safe: dropping the future cancels the call.
    pub async fn last(mut self) -> Result<Reply, CallError> {
        let mut last = None;
        while let Some(reply) = self.next().await {
            last = Some(reply?);
        }
        last.ok_or(CallError::Closed)
    }

    /// Gives the call up; the server is told. The next reply is [`CallError::Cancelled`].
    pub fn cancel(&self) {
        self.hold.core.act(|inner, now| inner.node.cancel_call(now, self.id));
    }

    fn take(&mut self, output: CallOutput) -> Option<Result<Reply, CallError>> {
        match output {
            CallOutput::Part(reply) => Some(Ok(Reply::new(reply))),
            CallOutput::Done(reply) => {
                self.over = true;
                Some(Ok(Reply::new(reply)))
            }
            CallOutput::End { asked, .. } => {
                (self.over, self.asked) = (true, asked);
                None
            }
            CallOutput::Failed(failure) => {
                self.over = true;
                let error = CallError::from_failure(&self.service, failure);
                Some(Err(match (&error, &self.book) {
                    (CallError::NoResponders { .. }, Some(book)) => book.unlisted(&self.service),
                    _ => error,
                }))
            }
        }
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        if !self.over {
            let id = self.id;
            self.hold.core.act_soon(|inner, now| {
                inner.calls.remove(&id);
                inner.node.cancel_call(now, id);
                while inner.node.take_output(id).is_some() {}
            });
        }
    }
}

/// Where the replies of a call wait.
#[derive(Debug, Default)]
pub(crate) struct CallSlot {
    queue: Mutex<VecDeque<CallOutput>>,
    wake: Notify,
}

impl CallSlot {
    /// Takes what the node has for the call; true if the call is over.
    pub(crate) fn fill(&self, mut next: impl FnMut() -> Option<CallOutput>) -> bool {
        let mut over = false;
        let mut queue = self.queue();
        while let Some(output) = next() {
            over |= !matches!(output, CallOutput::Part(_));
            queue.push_back(output);
        }
        drop(queue);
        self.wake.notify_one();
        over
    }

    pub(crate) fn close(&self) {
        self.wake.notify_one();
    }

    fn pop(&self) -> Option<CallOutput> {
        self.queue().pop_front()
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<CallOutput>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
