//! Whom a caller may call, asked of name servers: `motet_proto::roles::resolver` and its I/O.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use motet_proto::roles::resolver::{Resolver, Said};
use motet_proto::{BookId, Time};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::error::{CallError, Found};
use crate::endpoint::Endpoint;
use crate::role::{Look, NameError, Names, pause};

/// A book of the node, written for as long as somebody holds this.
pub(super) struct Book {
    pub(super) id: BookId,
    environment: Arc<str>,
    page: Arc<Page>,
    /// Dropped, it ends the writing.
    _held: oneshot::Sender<()>,
}

/// What is known, and whom to wake when more is wanted.
pub(crate) struct Page {
    resolver: Mutex<Resolver>,
    lacking: AtomicBool,
    wake: Notify,
}

impl Page {
    /// A call finds nobody.
    pub(crate) fn lacks(&self) {
        self.lacking.store(true, Ordering::SeqCst);
        self.wake.notify_one();
    }

    fn resolver(&self) -> MutexGuard<'_, Resolver> {
        self.resolver.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    pub(super) fn open(
        endpoint: &Endpoint,
        service: &str,
        environment: &str,
    ) -> Result<Self, CallError> {
        let names = Names::checked(endpoint, environment)?;
        let page = Arc::new(Page {
            resolver: Mutex::new(Resolver::new()),
            lacking: AtomicBool::new(false),
            wake: Notify::new(),
        });
        let core = &endpoint.hold.core;
        let id = core.act(|inner, now| {
            let id = inner.node.open_book(now, service)?;
            inner.books.insert(id, Arc::clone(&page));
            Ok::<_, CallError>(id)
        })?;
        let (held, dropped) = oneshot::channel();
        let writer = Writer { endpoint: endpoint.clone(), names, service: service.into(), id };
        core.about.runtime.spawn(writer.run(Arc::clone(&page), dropped));
        Ok(Self { id, environment: environment.into(), page, _held: held })
    }

    /// A call begins.
    pub(super) fn used(&self, now: Time) {
        let mut resolver = self.page.resolver();
        resolver.used(now);
        if resolver.deadline() <= now {
            self.page.wake.notify_one();
        }
    }

    /// Why a call found nobody.
    pub(super) fn unlisted(&self, service: &str) -> CallError {
        let found = match self.page.resolver().said() {
            (Said::Holders, 0) => Found::Nobody,
            (_, 0) => Found::NoNameServer,
            (_, n) => Found::NotThere(n),
        };
        let environment = self.environment.to_string();
        CallError::Unlisted { service: service.to_owned(), environment, found }
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Book({:?})", self.environment)
    }
}

/// Asks, and writes what it hears.
struct Writer {
    endpoint: Endpoint,
    names: Names,
    service: Arc<str>,
    id: BookId,
}

type Question = JoinHandle<Result<Look, NameError>>;

impl Writer {
    async fn run(self, page: Arc<Page>, mut dropped: oneshot::Receiver<()>) {
        let core = &self.endpoint.hold.core;
        let mut question: Option<Question> = None;
        loop {
            let now = core.clock.now();
            let wait = page.resolver().deadline().since(now);
            let known = page.resolver().deadline() < Time::NEVER;
            tokio::select! {
                // It is held by nobody: nothing is ever sent.
                _ = &mut dropped => break,
                () = page.wake.notified() => {}
                () = pause(wait), if known => {}
                answer = answered(&mut question) => {
                    question = None;
                    self.learn(&page, answer);
                }
            }
            let now = core.clock.now();
            let mut resolver = page.resolver();
            if page.lacking.swap(false, Ordering::SeqCst) {
                resolver.lacks(now);
            }
            resolver.expire(now);
            if resolver.ask(now) {
                let (names, service) = (self.names.clone(), Arc::clone(&self.service));
                question = Some(tokio::spawn(async move { names.look(Some(&service)).await }));
            }
            let change = resolver.take_change();
            drop(resolver);
            if let Some((asked, listed)) = change {
                core.act(|inner, now| inner.node.write_book(now, self.id, asked, listed));
            }
        }
        if let Some(question) = question {
            question.abort();
        }
        core.act(|inner, now| {
            inner.books.remove(&self.id);
            inner.node.close_book(now, self.id);
        });
    }

    fn learn(&self, page: &Page, answer: Option<Result<Look, NameError>>) {
        let now = self.endpoint.hold.core.clock.now();
        let mut resolver = page.resolver();
        match answer {
            Some(Ok(look)) => {
                let found = look.holders.iter().map(|holder| (holder.instance, holder.left));
                resolver.answered(now, look.whole, found);
            }
            // What is believed stays so; without any the error of the call says what is missing.
            Some(Err(_)) | None => resolver.unanswered(now),
        }
    }
}

/// The answer to a question that is on its way; `None` if it broke.
async fn answered(question: &mut Option<Question>) -> Option<Result<Look, NameError>> {
    match question {
        Some(question) => question.await.ok(),
        None => std::future::pending().await,
    }
}
