//! The node behind its lock, and what handles and driver share.
//!
//! Lock order: `rx`, then `tx`, then `node`. Neither is held across an await, and a hold of `node` is short:
//! one verb, or the datagrams of one run. Whoever holds `tx` pulls from the node *and* sends, so
//! packets leave in order and no side queue can be overtaken.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use motet_crypto::AwsLc;
use motet_net::Timer;
use motet_proto::{
    BookId, CallId, EndpointId, EndpointKey, HostAction, Node, PubId, QueryId, RequestId, ServeId,
    SubId, Time, Via, WatchId,
};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;

use super::clock::Clock;
use super::receive::Receiver;
use super::sockets::{Pumped, Sockets, Tx};
use crate::event::{Event, EventQueue, EventStream};
use crate::explain::Probes;
use crate::impair::Impairment;
use crate::service::{CallSlot, Page, RequestSlot, ServeSlot, WatchSlot};

/// What [`Core::with`] hands out: the node, and the moment.
pub(crate) struct Inner {
    pub(crate) node: Node<AwsLc>,
    pub(crate) publications: BTreeMap<PubId, Arc<PubState>>,
    pub(crate) subscriptions: BTreeMap<SubId, Arc<SubState>>,
    pub(crate) questions: BTreeMap<QueryId, oneshot::Sender<Answered>>,
    pub(crate) probes: Probes,
    /// What the node wants of its host, for the driver.
    actions: Vec<HostAction>,
    pub(crate) serving: BTreeMap<ServeId, Arc<ServeSlot>>,
    pub(crate) requests: BTreeMap<RequestId, Arc<RequestSlot>>,
    pub(crate) calls: BTreeMap<CallId, Arc<CallSlot>>,
    pub(crate) watches: BTreeMap<WatchId, Arc<WatchSlot>>,
    pub(crate) books: BTreeMap<BookId, Arc<Page>>,
    /// What the timer is set to.
    armed: Time,
    /// The driver is in its turn, at whose end it sets the timer.
    turning: bool,
}

/// The body of an answer and where to go on; `None` if the peer is gone.
pub(crate) type Answered = Option<(Vec<u8>, Option<u64>)>;

/// One publication, shared by all its publishers.
#[derive(Debug)]
pub(crate) struct PubState {
    pub(crate) id: PubId,
    pub(crate) topic: Arc<str>,
    /// Its log takes messages again.
    pub(crate) writable: Notify,
    /// How many publishers share it; changed under the core's lock.
    pub(crate) shares: AtomicU64,
}

/// One subscription.
#[derive(Debug)]
pub(crate) struct SubState {
    pub(crate) id: SubId,
    pub(crate) wake: Notify,
    /// Something may be there to be read.
    pub(crate) readable: AtomicBool,
}

pub(crate) struct Core {
    inner: Mutex<Inner>,
    tx: Mutex<Tx>,
    rx: Mutex<Receiver>,
    pub(crate) sockets: Sockets,
    pub(crate) clock: Clock,
    pub(crate) timer: Arc<Timer>,
    pub(crate) key: EndpointKey,
    pub(crate) name: Arc<str>,
    pub(crate) about: About,
    /// Something is to be sent.
    dirty: AtomicBool,
    /// When the last flush began.
    flushed: AtomicU64,
    /// When somebody last published.
    acted: AtomicU64,
    /// A socket takes nothing now.
    blocked: AtomicBool,
    /// Which.
    blocked_by: Mutex<Option<Via>>,
    /// The driver would spin, but sleeps: whoever sends wakes it, for an answer may be near.
    asleep: AtomicBool,
    /// The driver shall look again.
    pub(crate) changed: Notify,
    /// Something has moved on: those who wait for a condition look again.
    pub(crate) progress: Notify,
    /// Servers have said where keys are.
    pub(crate) findings: Notify,
    /// The last handle is gone, or `close` has been called.
    leaving: AtomicBool,
    closed: AtomicBool,
    listeners: Mutex<Vec<Weak<EventQueue>>>,
    /// What every event stream is told first.
    notices: Mutex<Vec<Event>>,
    /// Ends with the endpoint.
    companion: Mutex<Option<AbortHandle>>,
    pub(crate) calls: Calls,
}

/// System calls on the unicast socket that moved something, to be held against the datagrams that
/// the node counts.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) sends: AtomicU64,
    pub(crate) receives: AtomicU64,
}

/// What an endpoint knows of itself beside its node.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) realm: String,
    pub(crate) secured: bool,
    pub(crate) roles: u16,
    pub(crate) listen: std::net::SocketAddr,
    pub(crate) realm_file: Option<std::path::PathBuf>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) liveness: motet_proto::Liveness,
    /// Where peers are written down for the next start.
    pub(crate) memory: Option<Arc<crate::entry::Memory>>,
    /// The one that opened the endpoint.
    pub(crate) runtime: tokio::runtime::Handle,
    /// Takes what peers want measured.
    pub(crate) jobs: mpsc::Sender<crate::round_trip::Job>,
}

impl PubState {
    pub(crate) fn new(id: PubId, topic: &str) -> Self {
        let (topic, writable) = (Arc::from(topic), Notify::new());
        Self { id, topic, writable, shares: AtomicU64::new(0) }
    }
}

impl SubState {
    pub(crate) fn new(id: SubId) -> Self {
        // The past may be there at once.
        Self { id, wake: Notify::new(), readable: AtomicBool::new(true) }
    }
}

impl Core {
    pub(crate) fn new(
        node: Node<AwsLc>,
        sockets: Sockets,
        tx: Tx,
        clock: Clock,
        timer: Timer,
        about: About,
        impairment: Impairment,
    ) -> Self {
        let (key, name) = (node.key(), Arc::clone(node.name()));
        let inner = Inner {
            node,
            publications: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            questions: BTreeMap::new(),
            probes: Probes::default(),
            actions: Vec::new(),
            serving: BTreeMap::new(),
            requests: BTreeMap::new(),
            calls: BTreeMap::new(),
            watches: BTreeMap::new(),
            books: BTreeMap::new(),
            armed: Time::NEVER,
            turning: false,
        };
        Self {
            inner: Mutex::new(inner),
            tx: Mutex::new(tx),
            rx: Mutex::new(Receiver::new(impairment)),
            sockets,
            clock,
            timer: Arc::new(timer),
            key,
            name,
            about,
            dirty: AtomicBool::new(false),
            flushed: AtomicU64::new(0),
            acted: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            blocked_by: Mutex::default(),
            asleep: AtomicBool::new(false),
            changed: Notify::new(),
            progress: Notify::new(),
            findings: Notify::new(),
            leaving: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            listeners: Mutex::default(),
            notices: Mutex::default(),
            companion: Mutex::default(),
            calls: Calls::default(),
        }
    }

    /// One short hold of the lock: `what`, then whoever it concerns is woken and the timer is set.
    pub(crate) fn with<R>(&self, what: impl FnOnce(&mut Inner, Time) -> R) -> R {
        let (result, _, mut inner) = self.hold(what);
        self.arm(&mut inner);
        result
    }

    /// As [`Core::with`], but the timer is left as it is; and the moment.
    fn hold<R>(
        &self,
        what: impl FnOnce(&mut Inner, Time) -> R,
    ) -> (R, Time, MutexGuard<'_, Inner>) {
        let mut inner = self.inner();
        let now = self.clock.now();
        let result = what(&mut inner, now);
        self.dispatch(&mut inner);
        (result, now, inner)
    }

    /// As [`Core::with`], then sends what there is to send.
    pub(crate) fn act<R>(&self, what: impl FnOnce(&mut Inner, Time) -> R) -> R {
        let result = self.with(what);
        self.flush();
        result
    }

    /// Sends all that the node has to send, unless somebody else is at it and sees that there is
    /// more.
    pub(crate) fn flush(&self) {
        self.dirty.store(true, Ordering::SeqCst);
        while self.dirty.load(Ordering::SeqCst) {
            let mut tx = match self.tx.try_lock() {
                Ok(tx) => tx,
                Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // Its holder looks at `dirty` again after the unlock.
                Err(std::sync::TryLockError::WouldBlock) => return,
            };
            while self.dirty.swap(false, Ordering::SeqCst) {
                self.flushed.store(self.clock.now().0, Ordering::Relaxed);
                let pumped = tx.pump(self);
                self.set_blocked(match pumped {
                    Pumped::Blocked(via) => Some(via),
                    Pumped::All | Pumped::More => None,
                });
                if pumped == Pumped::More {
                    // Said in any case: who could not get `tx` relies on us.
                    self.dirty.store(true, Ordering::SeqCst);
                    return self.changed.notify_one();
                }
            }
        }
    }

    /// As [`Core::act`], but whoever acts without a pause lets packets fill for a while: the driver
    /// sends them in its next turn, or whoever acts when the while is over.
    pub(crate) fn act_soon<R>(&self, what: impl FnOnce(&mut Inner, Time) -> R) -> R {
        let (result, now, inner) = self.hold(what);
        drop(inner); // the timer is set by the sending that follows in any case
        let since = |moment: &AtomicU64| now.since(Time(moment.load(Ordering::Relaxed)));
        let busy = since(&self.acted) < BUSY;
        if busy && since(&self.flushed) < FLUSH_PAUSE {
            self.acted.store(now.0, Ordering::Relaxed);
            self.flush_later();
            return result;
        }
        self.flush();
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.changed.notify_one();
        }
        if busy {
            self.hear();
        }
        self.acted.store(self.clock.now().0, Ordering::Relaxed);
        result
    }

    /// Takes a batch of what has arrived, unless somebody else is at it. Whoever publishes without
    /// a pause keeps the driver from its turn, and would fill its log while acknowledgements wait.
    fn hear(&self) {
        let Ok(mut rx) = self.rx.try_lock() else { return };
        if rx.batch(self) > 0 {
            self.progress.notify_waiters();
        }
    }

    /// The receiving side; held by the driver for one turn.
    pub(crate) fn receiver(&self) -> MutexGuard<'_, Receiver> {
        self.rx.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves sending to the driver.
    fn flush_later(&self) {
        if !self.dirty.load(Ordering::SeqCst) && !self.dirty.swap(true, Ordering::SeqCst) {
            self.changed.notify_one();
        }
    }

    /// When the last turn of sending began.
    pub(crate) fn flushed(&self) -> Time {
        Time(self.flushed.load(Ordering::Relaxed))
    }

    /// Says whether a driver that spins has gone to sleep.
    pub(crate) fn set_asleep(&self, asleep: bool) {
        // Written when it changes only: who publishes reads it.
        if self.asleep.load(Ordering::Relaxed) != asleep {
            self.asleep.store(asleep, Ordering::Relaxed);
        }
    }

    /// The socket that took nothing when somebody last sent.
    pub(crate) fn blocked(&self) -> Option<Via> {
        *self.blocked_by.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_blocked(&self, by: Option<Via>) {
        if by.is_none() && !self.blocked.load(Ordering::SeqCst) {
            return; // as nearly always
        }
        let mut blocked = self.blocked_by.lock().unwrap_or_else(PoisonError::into_inner);
        self.blocked.store(by.is_some(), Ordering::SeqCst);
        if std::mem::replace(&mut *blocked, by) != by && by.is_some() {
            self.changed.notify_one();
        }
    }

    /// What the node wants of its host. Whoever finds something tells the driver, which does it.
    pub(crate) fn take_actions(&self) -> Vec<HostAction> {
        std::mem::take(&mut self.inner().actions)
    }

    /// Waits until `look` returns something, the time is over (`None`) or the endpoint has closed
    /// (`None` as well).
    pub(crate) async fn wait<R>(
        &self,
        limit: Duration,
        mut look: impl FnMut(&mut Inner, Time) -> Option<R>,
    ) -> Option<R> {
        let wait = async {
            loop {
                let progress = self.progress.notified();
                tokio::pin!(progress);
                progress.as_mut().enable(); // before looking: nothing is missed
                let closed = self.is_closed();
                if let Some(found) = self.with(&mut look) {
                    return Some(found);
                }
                if closed {
                    return None;
                }
                progress.await;
            }
        };
        tokio::time::timeout(limit, wait).await.ok().flatten()
    }

    pub(crate) fn events(&self) -> EventStream {
        let queue = Arc::new(EventQueue::default());
        if self.is_closed() {
            queue.close();
        }
        // Who is there already comes first: nobody can listen before the endpoint is open.
        let inner = self.inner();
        for event in self.standing(&inner.node).iter().chain(self.notices().iter()) {
            queue.push(event);
        }
        self.listeners().push(Arc::downgrade(&queue));
        drop(inner);
        queue.stream()
    }

    /// What an event stream begins with: the live peers, and who else holds our name.
    fn standing(&self, node: &Node<AwsLc>) -> Vec<Event> {
        let mut events = Vec::new();
        for peer in node.peers() {
            if matches!(peer.state, motet_proto::transport::liveness::State::Dead(_)) {
                continue;
            }
            if peer.name == self.name && peer.key.incarnation < self.key.incarnation {
                let (name, other) = (peer.name.clone(), peer.key);
                events.push(Event::NameConflict { name, other, newcomer: true });
            }
            events.push(Event::PeerUp { key: peer.key, name: peer.name });
        }
        events
    }

    /// Ends this task when the endpoint ends.
    pub(crate) fn end_with(&self, task: AbortHandle) {
        let mut companion = self.companion.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed() {
            task.abort();
        } else {
            *companion = Some(task);
        }
    }

    /// Tells those who listen now, and those who will.
    pub(crate) fn notice(&self, event: Event) {
        let inner = self.inner(); // so that an event stream that begins now has it once
        self.tell(&event);
        let mut notices = self.notices();
        if !notices.contains(&event) && notices.len() < NOTICES_MAX {
            notices.push(event);
        }
        drop(inner);
    }

    fn tell(&self, event: &Event) {
        self.listeners().retain(|listener| match listener.upgrade() {
            Some(queue) => {
                queue.push(event);
                true
            }
            None => false,
        });
    }

    /// Says goodbye without waiting.
    pub(crate) fn leave(&self) {
        if !self.leaving.swap(true, Ordering::SeqCst) && !self.is_closed() {
            self.act(|inner, now| inner.node.close(now));
            self.changed.notify_one();
        }
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// The driver has ended: everybody who waits is told.
    pub(crate) fn shut(&self) {
        self.leaving.store(true, Ordering::SeqCst);
        self.closed.store(true, Ordering::SeqCst);
        let companion = self.companion.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(companion) = companion {
            companion.abort();
        }
        let mut inner = self.inner();
        inner.publications.values().for_each(|publication| publication.writable.notify_waiters());
        for subscription in inner.subscriptions.values() {
            subscription.readable.store(true, Ordering::SeqCst);
            subscription.wake.notify_one();
        }
        inner.questions.clear();
        inner.serving.values().for_each(|serving| serving.wake.notify_one());
        inner.requests.values().for_each(|request| request.cancel());
        inner.calls.values().for_each(|call| call.close());
        inner.watches.values().for_each(|watch| watch.wake.notify_one());
        drop(inner);
        for listener in self.listeners().drain(..) {
            if let Some(queue) = listener.upgrade() {
                queue.close();
            }
        }
        self.progress.notify_waiters();
    }

    /// Pulls the next thing to send; wakes and arms when there is none.
    pub(crate) fn pull(&self, batch: &mut motet_proto::TxBatch) -> Option<motet_proto::Transmit> {
        let mut inner = self.inner();
        let transmit = inner.node.poll_transmit(self.clock.now(), batch);
        if transmit.is_none() {
            self.dispatch(&mut inner);
            self.arm(&mut inner);
        }
        transmit
    }

    /// Does what is due. `fired`: the timer has to be set anew.
    pub(crate) fn expire(&self, fired: bool) {
        self.with(|inner, now| {
            if fired {
                inner.armed = Time::NEVER;
            }
            if inner.node.poll_timeout().is_some_and(|deadline| deadline.at <= now) {
                inner.node.handle_timeout(now);
            }
        });
    }

    /// The driver begins a turn: until [`Core::arm_for`] deadlines come and go without system calls.
    pub(crate) fn begin_turn(&self) {
        self.inner().turning = true;
    }

    /// Ends the driver's turn: sets the timer, also for a deadline of the driver's own.
    pub(crate) fn arm_for(&self, due: Time) {
        let mut inner = self.inner();
        inner.turning = false;
        self.arm(&mut inner);
        self.arm_at(&mut inner, due);
    }

    fn arm(&self, inner: &mut Inner) {
        if inner.turning {
            return;
        }
        let due = inner.node.poll_timeout().map_or(Time::NEVER, |deadline| deadline.at);
        self.arm_at(inner, due);
    }

    fn arm_at(&self, inner: &mut Inner, due: Time) {
        // A later deadline waits for the timer: one needless wake-up, instead of a system call for
        // each time that a deadline moves away.
        if due < inner.armed {
            inner.armed = due;
            let _ = self.timer.arm_at(self.clock.kernel(due)); // it has no error but a bad descriptor
        }
    }

    fn dispatch(&self, inner: &mut Inner) {
        use motet_proto::Event as Core;
        while let Some(action) = inner.node.poll_host() {
            inner.actions.push(action);
            self.changed.notify_one();
        }
        while let Some(event) = inner.node.poll_event() {
            let topic = |publication| {
                let state: Option<&Arc<PubState>> = inner.publications.get(&publication);
                state.map_or_else(|| Arc::from(""), |state| Arc::clone(&state.topic))
            };
            let told = match event {
                Core::Readable(id) => {
                    if let Some(subscription) = inner.subscriptions.get(&id)
                        && !subscription.readable.swap(true, Ordering::SeqCst)
                    {
                        subscription.wake.notify_one();
                    }
                    continue;
                }
                Core::Writable(id) => {
                    if let Some(publication) = inner.publications.get(&id) {
                        publication.writable.notify_waiters();
                    }
                    continue;
                }
                Core::Query { key, what: crate::ask::ROUND_TRIP, argument, .. } => {
                    let to = argument.as_slice().try_into().map(EndpointId);
                    // No id, or full: the asker hears nothing, and asks again.
                    let _ = to.map(|to| self.about.jobs.try_send((key, to)));
                    continue;
                }
                Core::Query { key, what, cursor, argument } => {
                    let asked = (what, cursor, argument.as_slice());
                    let (body, next) = crate::ask::answer(self, inner, asked);
                    inner.node.answer(self.clock.now(), key, &body, next);
                    continue;
                }
                Core::Answer { id, body, next } => {
                    if let Some(asker) = inner.questions.remove(&id) {
                        let _ = asker.send(body.map(|body| (body, next))); // it may have gone away
                    }
                    continue;
                }
                Core::Request(id) => {
                    if let Some(serving) = inner.serving.get(&id) {
                        serving.wake.notify_one();
                    }
                    continue;
                }
                Core::RequestCancelled(id) => {
                    if let Some(request) = inner.requests.get(&id) {
                        request.cancel();
                    }
                    continue;
                }
                Core::CallOutput(id) => {
                    let node = &mut inner.node;
                    if let Some(call) = inner.calls.get(&id)
                        && call.fill(|| node.take_output(id))
                    {
                        inner.calls.remove(&id);
                    }
                    continue;
                }
                Core::ServiceChange(id) => {
                    if let Some(watch) = inner.watches.get(&id) {
                        watch.wake.notify_one();
                    }
                    continue;
                }
                Core::BookLacks(id) => {
                    if let Some(page) = inner.books.get(&id) {
                        page.lacks();
                    }
                    continue;
                }
                Core::Findings => {
                    self.findings.notify_one();
                    continue;
                }
                Core::Standing(_) => {
                    self.progress.notify_waiters();
                    continue;
                }
                Core::PeerUp { key, name } => Event::PeerUp { key, name },
                Core::PeerDown { key, name, reason, silent } => {
                    Event::PeerDown { key, name, reason, silent }
                }
                Core::PeerSuspect { key } => Event::PeerSuspect { key },
                Core::NameConflict { name, other, newcomer } => {
                    Event::NameConflict { name, other, newcomer }
                }
                Core::DuplicateIdentity { key } => Event::DuplicateIdentity { key },
                Core::ReaderJoined { publication, reader, readers } => {
                    Event::ReaderJoined { topic: topic(publication), reader, readers }
                }
                Core::ReaderLeft { publication, reader, readers, reason } => {
                    Event::ReaderLeft { topic: topic(publication), reader, readers, reason }
                }
                Core::ReaderLagging { publication, reader, missed } => {
                    Event::ReaderLagging { topic: topic(publication), reader, missed }
                }
                Core::TypeMismatch { topic, ours, theirs, peer } => {
                    Event::TypeMismatch { topic, ours, theirs, peer }
                }
                Core::Writer { writer, topic, state, .. } => Event::Writer { writer, topic, state },
                Core::Refused { publication, reader, limit } => {
                    Event::Refused { topic: topic(publication), reader, limit }
                }
                Core::Offender { key, what } => Event::Offender { key, what: what.text() },
                Core::Settled => Event::Settled,
                Core::NoMulticast { iface } => Event::NoMulticast { interface: iface },
                Core::Drained => {
                    self.changed.notify_one();
                    continue;
                }
                _ => continue,
            };
            self.progress.notify_waiters();
            self.tell(&told);
        }
    }

    /// A panic in the node is a bug report, and the driver ends with it; until then the state is
    /// whole enough to say so.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notices(&self) -> MutexGuard<'_, Vec<Event>> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Weak<EventQueue>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hold of every public handle. When the last one goes, the endpoint says goodbye.
pub(crate) struct Hold {
    pub(crate) core: Arc<Core>,
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hold({:?})", self.core.name)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.core.leave();
    }
}

/// Things that are told to every new listener; more are told only once.
const NOTICES_MAX: usize = 64;
/// Who acts again within this time is busy: about the cost of a system call.
const BUSY: Duration = Duration::from_micros(5);
/// Then packets fill for so long: about what one carries on loopback. Nothing waits when idle.
const FLUSH_PAUSE: Duration = Duration::from_micros(80);
