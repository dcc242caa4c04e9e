//! The driver: the only place that waits. It decides nothing.
//!
//! One future per endpoint, on the runtime that opened it or on a thread of its own. It waits for
//! sockets, interfaces, the timer and the handles; hands datagrams to the node; sends what the node
//! has to send. Handles do the same for their own verbs, without it: see [`Core`].

mod clock;
mod core;
mod lanes;
mod receive;
mod sockets;

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use motet_net::{FileLock, InterfaceWatch, MulticastSocket, Timer, UnicastSocket};
use motet_proto::{HostEvent, Time, Via};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

pub(crate) use self::clock::Clock;
use self::clock::WallWatch;
pub(crate) use self::core::{About, Answered, Core, Hold, Inner, PubState, SubState};
use self::lanes::Lane;
pub(crate) use self::sockets::{Plan, Sockets, Tx};
use crate::error::OpenError;

/// Starts the driver of `core`; returns when it runs. `lock` is held as long as it does.
pub(crate) async fn start(
    core: Arc<Core>,
    lock: Option<FileLock>,
    dedicated: bool,
    spin: Duration,
) -> Result<(), OpenError> {
    let (started, result) = oneshot::channel();
    let run = run(Shut { core, _lock: lock }, spin, started);
    if dedicated {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .map_err(OpenError::Socket)?;
        let thread = std::thread::Builder::new().name("motet".to_owned());
        thread.spawn(move || runtime.block_on(run)).map_err(OpenError::Socket)?;
    } else {
        tokio::spawn(run);
    }
    // Gone without a word: the runtime is shutting down.
    result.await.unwrap_or(Err(OpenError::NoRuntime))
}

async fn run(shut: Shut, spin: Duration, started: oneshot::Sender<Result<(), OpenError>>) {
    let mut driver = match Driver::new(Arc::clone(&shut.core), spin) {
        Ok(driver) => driver,
        Err(error) => {
            let _ = started.send(Err(OpenError::Socket(error))); // opening may have been abandoned
            return;
        }
    };
    let _ = started.send(Ok(()));
    driver.run().await;
}

/// Tells everybody when the driver ends, in whatever way: also by a panic or with its runtime.
struct Shut {
    core: Arc<Core>,
    _lock: Option<FileLock>,
}

impl Drop for Shut {
    fn drop(&mut self) {
        self.core.shut();
    }
}

struct Driver {
    core: Arc<Core>,
    unicast: AsyncFd<Arc<UnicastSocket>>,
    /// A socket that takes nothing now.
    writable: Option<(Via, AsyncFd<OwnedFd>)>,
    groups: Vec<AsyncFd<Arc<MulticastSocket>>>,
    lanes: Vec<AsyncFd<Arc<Lane>>>,
    timer: AsyncFd<Arc<Timer>>,
    watch: Option<AsyncFd<InterfaceWatch>>,
    wall: WallWatch,
    /// When to look at the interfaces again.
    look: Time,
    /// When the kernel was last asked what it dropped, and its answer.
    drops: (Time, u64),
    /// When to end although not everything was said.
    leave_by: Option<Time>,
    /// How long to look again and again after the last turn of sending, before sleeping.
    spin: Duration,
}

/// What has become ready.
#[derive(Clone, Copy, Debug, Default)]
struct Ready {
    unicast: bool,
    writable: bool,
    groups: bool,
    lanes: bool,
    timer: bool,
    watch: bool,
}

impl Driver {
    fn new(core: Arc<Core>, spin: Duration) -> io::Result<Self> {
        let unicast = register(Arc::clone(&core.sockets.unicast), Interest::READABLE)?;
        let timer = register(Arc::clone(&core.timer), Interest::READABLE)?;
        // Where netlink is forbidden, the interfaces are looked at once a minute all the same.
        let watch = InterfaceWatch::new().ok();
        let watch = watch.map(|watch| register(watch, Interest::READABLE)).transpose()?;
        let now = core.clock.now();
        let mut driver = Self {
            core,
            unicast,
            writable: None,
            groups: Vec::new(),
            lanes: Vec::new(),
            timer,
            watch,
            wall: WallWatch::new(now),
            look: now + LOOK_EVERY,
            drops: (now, 0),
            leave_by: None,
            spin,
        };
        driver.register_groups()?;
        Ok(driver)
    }

    async fn run(&mut self) {
        self.act();
        self.core.flush();
        loop {
            if self.is_over() {
                return;
            }
            self.core.arm_for(self.own_deadline());
            self.register_writable();
            let ready = self.wait().await;
            self.handle(ready);
            self.act();
            self.core.flush();
            self.core.progress.notify_waiters();
            if self.core.receiver().is_behind() {
                // More has arrived than one turn takes: others of this runtime have theirs first.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits until something is ready: for a while by looking again and again, then asleep.
    async fn wait(&self) -> Ready {
        let core = &self.core;
        let mut changed = pin!(core.changed.notified());
        loop {
            let found = poll_fn(|cx| {
                // What has arrived is never put off by what is to be sent.
                if let Poll::Ready(ready) = self.poll_ready(cx) {
                    Poll::Ready(Some(ready))
                } else if changed.as_mut().poll(cx).is_ready() {
                    Poll::Ready(Some(Ready::default()))
                } else if self.spins() {
                    Poll::Ready(None)
                } else {
                    Poll::Pending
                }
            });
            match found.await {
                Some(ready) => {
                    core.set_asleep(false);
                    return ready;
                }
                None => {
                    // Whoever was woken has its turn, and the runtime asks the kernel once, without
                    // waiting. Then to look is faster than to be told.
                    tokio::task::yield_now().await;
                    if (0..LOOKS).any(|_| core.receiver().batch(core) > 0) {
                        core.set_asleep(false);
                        return Ready::default();
                    }
                }
            }
        }
    }

    /// Whether the last turn of sending is so recent that sleeping is put off.
    fn spins(&self) -> bool {
        if self.spin.is_zero() {
            return false;
        }
        let spins = self.core.clock.now().since(self.core.flushed()) < self.spin;
        self.core.set_asleep(!spins);
        spins
    }

    /// What is ready is cleared before it is used up, so no wake-up is lost.
    fn handle(&mut self, ready: Ready) {
        let core = &self.core;
        core.begin_turn();
        if ready.timer {
            core.timer.drain();
        }
        let now = core.clock.now();
        let mut receiver = core.receiver();
        let behind = receiver.take_behind();
        if ready.unicast || behind {
            receiver.unicast(core);
        }
        if ready.groups || behind {
            for group in &self.groups {
                receiver.group(core, group.get_ref());
            }
        }
        for lane in &self.lanes {
            if lane.get_ref().take_ready() {
                receiver.lane(core, lane.get_ref());
            }
        }
        receiver.release_late(core, now);
        drop(receiver);
        // After the datagrams: an answer that waited in the socket is heard before its timer rings.
        core.expire(ready.timer);
        if ready.watch && self.watch.as_ref().is_some_and(|watch| watch.get_ref().drain()) {
            // Changes come in bursts.
            self.look = self.look.min(now + DEBOUNCE);
        }
        if now >= self.look {
            self.look = now + LOOK_EVERY;
            self.refresh(now);
        }
        self.look_at_kernel(now);
    }

    /// Interfaces may have changed.
    fn refresh(&mut self, now: Time) {
        // Refused for a moment: the next look finds out.
        let Ok((interfaces, lanes)) = self.core.sockets.refresh() else { return };
        if self.register_groups().and_then(|()| self.register_lanes()).is_err() {
            self.look = now + DEBOUNCE;
        }
        let differ = self.core.receiver().interfaces_differ(&interfaces);
        if differ {
            self.core.with(|inner, now| {
                inner.node.handle_host(now, HostEvent::Interfaces(interfaces));
            });
        }
        self.tell(lanes);
    }

    /// Does what the node wants of its host.
    fn act(&mut self) {
        let actions = self.core.take_actions();
        if actions.is_empty() {
            return;
        }
        let sockets = &self.core.sockets;
        let told = actions.iter().filter_map(|action| sockets.lanes.act(action)).collect();
        if self.register_lanes().is_err() {
            // Out of descriptors or memory: the node hears nothing of that lane and leaves it.
            self.look = self.look.min(self.core.clock.now() + DEBOUNCE);
        }
        self.tell(told);
    }

    fn tell(&self, events: Vec<HostEvent>) {
        if !events.is_empty() {
            self.core.with(|inner, now| {
                events.into_iter().for_each(|event| inner.node.handle_host(now, event));
            });
        }
    }

    fn register_lanes(&mut self) -> io::Result<()> {
        let heard = self.core.sockets.lanes.heard();
        self.lanes.retain(|known| heard.iter().any(|lane| Arc::ptr_eq(lane, known.get_ref())));
        for lane in heard {
            if !self.lanes.iter().any(|known| Arc::ptr_eq(&lane, known.get_ref())) {
                self.lanes.push(register(lane, Interest::READABLE)?);
            }
        }
        Ok(())
    }

    fn register_groups(&mut self) -> io::Result<()> {
        let wanted = self.core.sockets.groups();
        self.groups.retain(|known| wanted.iter().any(|group| Arc::ptr_eq(group, known.get_ref())));
        for group in wanted {
            if !self.groups.iter().any(|known| Arc::ptr_eq(&group, known.get_ref())) {
                self.groups.push(register(group, Interest::READABLE)?);
            }
        }
        Ok(())
    }

    /// Asks when the socket takes something, but only while it takes nothing: otherwise every
    /// datagram that leaves the machine would wake us.
    fn register_writable(&mut self) {
        let blocked = self.core.blocked();
        if blocked == self.writable.as_ref().map(|(via, _)| *via) {
            return;
        }
        self.writable = blocked.and_then(|via| {
            // A descriptor is registered once: this is another one of the same socket.
            let other = match via {
                Via::Lane { iface, v6, .. } => {
                    let sender = self.core.sockets.lanes.sender(iface, v6)?;
                    sender.as_fd().try_clone_to_owned()
                }
                Via::Unicast | Via::Group { .. } => {
                    self.unicast.get_ref().as_fd().try_clone_to_owned()
                }
            };
            // Out of descriptors: whatever wakes us next sends the rest.
            Some((via, other.and_then(|fd| register(fd, Interest::WRITABLE)).ok()?))
        });
    }

    /// Clock and losses, once a second at most and only when awake anyway.
    fn look_at_kernel(&mut self, now: Time) {
        if let Some(wall) = self.wall.jumped(now) {
            self.core.with(|inner, now| inner.node.handle_host(now, HostEvent::WallClock(wall)));
        }
        if now.since(self.drops.0) < Duration::from_secs(1) {
            return;
        }
        let groups = self.groups.iter().map(|group| group.get_ref().kernel_drops());
        let sockets = &self.core.sockets;
        let drops =
            sockets.unicast.kernel_drops() + groups.sum::<u64>() + sockets.lanes.kernel_drops();
        let more = drops.saturating_sub(self.drops.1);
        self.drops = (now, drops);
        if more > 0 {
            self.core.with(|inner, now| inner.node.handle_host(now, HostEvent::RxDropped(more)));
        }
    }

    fn is_over(&mut self) -> bool {
        if !self.core.is_leaving() {
            return false;
        }
        let now = self.core.clock.now();
        let by = *self.leave_by.get_or_insert(now + LEAVE_MAX);
        now >= by || self.core.with(|inner, _| inner.node.is_drained())
    }

    /// The earliest deadline that is not the node's.
    fn own_deadline(&self) -> Time {
        let late = self.core.receiver().late_due().unwrap_or(Time::NEVER);
        let leave = self.leave_by.unwrap_or(Time::NEVER);
        self.look.min(late).min(leave)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Ready> {
        let ready = Ready {
            unicast: is_readable(&self.unicast, cx),
            writable: self.writable.as_ref().is_some_and(|(_, fd)| is_writable(fd, cx)),
            groups: self.groups.iter().fold(false, |any, group| is_readable(group, cx) | any),
            lanes: self.lanes.iter().fold(false, |any, lane| {
                let ready = is_readable(lane, cx);
                if ready {
                    lane.get_ref().set_ready();
                }
                ready | any
            }),
            timer: is_readable(&self.timer, cx),
            watch: self.watch.as_ref().is_some_and(|watch| is_readable(watch, cx)),
        };
        let Ready { unicast, writable, groups, lanes, timer, watch } = ready;
        if unicast
            || writable
            || groups
            || lanes
            || timer
            || watch
            || self.core.receiver().is_behind()
        {
            Poll::Ready(ready)
        } else {
            Poll::Pending
        }
    }
}

/// Every `fd` here owns its descriptor, gives always the same one and is not handed out mutably:
/// what the function's successor demands, and marks as unsafe because it cannot check it.
#[expect(deprecated, reason = "its successor needs `unsafe`, which this crate forbids itself")]
fn register<T: AsRawFd>(fd: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(fd, interest)
}

/// Whether it is readable. Readiness is cleared at once: what is there is used up in this turn, and
/// what comes later raises it again.
fn is_readable<T: AsRawFd>(fd: &AsyncFd<T>, cx: &mut Context<'_>) -> bool {
    match fd.poll_read_ready(cx) {
        Poll::Ready(Ok(mut guard)) => {
            guard.clear_ready();
            true
        }
        Poll::Ready(Err(_)) | Poll::Pending => false,
    }
}

fn is_writable<T: AsRawFd>(fd: &AsyncFd<T>, cx: &mut Context<'_>) -> bool {
    match fd.poll_write_ready(cx) {
        Poll::Ready(Ok(mut guard)) => {
            guard.clear_ready();
            true
        }
        Poll::Ready(Err(_)) | Poll::Pending => false,
    }
}

/// How often a spinning driver looks at its socket before others have a turn.
const LOOKS: usize = 8;
/// Interfaces are looked at this often even when nothing is said to have changed.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long after a notice the interfaces are looked at.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// Goodbyes are said within this time, or not at all.
const LEAVE_MAX: Duration = Duration::from_secs(1);
