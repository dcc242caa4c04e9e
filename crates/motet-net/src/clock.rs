//! Time from the kernel: the monotonic clock, the wall clock, a timer to wait on.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};

/// Time since an arbitrary start, usually that of the machine (`CLOCK_MONOTONIC`): never goes back,
/// stands still while the machine sleeps, comparable between processes of one boot.
#[must_use]
pub fn monotonic_now() -> Duration {
    since_epoch(ClockId::Monotonic)
}

/// Milliseconds since 1970-01-01 UTC (`CLOCK_REALTIME`). It can jump in both directions: for
/// showing and for comparing hosts, never for timers.
#[must_use]
pub fn wall_ms() -> u64 {
    u64::try_from(since_epoch(ClockId::Realtime).as_millis()).unwrap_or(u64::MAX)
}

/// A timer that is a descriptor (`timerfd`): readable from its deadline on, until [`Timer::drain`]
/// or a new deadline.
///
/// Its resolution is that of the kernel's high-resolution timers (about 50 µs with the usual
/// slack), not the millisecond of a runtime's wheel.
#[derive(Debug)]
pub struct Timer {
    fd: OwnedFd,
}

impl Timer {
    /// A timer that is not armed.
    ///
    /// # Errors
    /// When the process is out of descriptors or the kernel of memory.
    pub fn new() -> io::Result<Self> {
        let fd = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        Ok(Self { fd })
    }

    /// Fires once, `after` from now; replaces what was armed and forgets an expiry that was not
    /// drained.
    ///
    /// # Errors
    /// None in practice; the kernel's refusal is handed on.
    pub fn arm(&self, after: Duration) -> io::Result<()> {
        // Zero would disarm.
        self.set(TimerfdTimerFlags::empty(), after.max(Duration::from_nanos(1)))
    }

    /// Fires once, at `at` of [`monotonic_now`]; at once if that is past. Otherwise as
    /// [`Timer::arm`].
    ///
    /// # Errors
    /// As [`Timer::arm`].
    pub fn arm_at(&self, at: Duration) -> io::Result<()> {
        self.set(TimerfdTimerFlags::ABSTIME, at.max(Duration::from_nanos(1)))
    }

    /// Never fires, until armed again.
    ///
    /// # Errors
    /// As [`Timer::arm`].
    pub fn disarm(&self) -> io::Result<()> {
        self.set(TimerfdTimerFlags::empty(), Duration::ZERO)
    }

    /// Takes the expiry back; true if there was one. Never blocks.
    pub fn drain(&self) -> bool {
        let mut expiries = [0u8; 8];
        loop {
            match rustix::io::read(&self.fd, &mut expiries) {
                Err(Errno::INTR) => {}
                Err(_) => return false,
                Ok(_) => return true,
            }
        }
    }

    fn set(&self, flags: TimerfdTimerFlags, value: Duration) -> io::Result<()> {
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(
            &self.fd,
            flags,
            &Itimerspec { it_interval: never, it_value: timespec(value) },
        )?;
        Ok(())
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Blocks until `fd` is readable (or in error, which a read will tell) or `timeout` has passed;
/// true if readable.
///
/// For callers without a runtime: start-up checks, tests, small tools.
///
/// # Errors
/// When the kernel is out of memory.
pub fn wait_readable(fd: &impl AsFd, timeout: Duration) -> io::Result<bool> {
    let deadline = monotonic_now().saturating_add(timeout);
    loop {
        let left = timespec(deadline.saturating_sub(monotonic_now()));
        match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn since_epoch(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn timespec(duration: Duration) -> Timespec {
    let seconds = duration.as_secs().min(SECONDS_MAX);
    Timespec { tv_sec: seconds.cast_signed(), tv_nsec: duration.subsec_nanos().into() }
}

/// A hundred years: "for ever", without overflowing the kernel's arithmetic.
const SECONDS_MAX: u64 = 100 * 366 * 86_400;
