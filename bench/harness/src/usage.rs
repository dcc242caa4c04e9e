//! Readings: the clock, CPU time, memory.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

/// The monotonic clock, the same for all processes of a host, in nanoseconds.
#[must_use]
pub fn now_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| time.num_nanoseconds() as u64)
}

/// Clock and CPU time of this process, read together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// The monotonic clock, in nanoseconds.
    pub wall_ns: u64,
    /// CPU time since the start, user and system, in nanoseconds.
    pub cpu_ns: u64,
}

impl Usage {
    /// Reads both.
    #[must_use]
    pub fn now() -> Self {
        let cpu_ns = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| {
            usage.user_time().num_nanoseconds() + usage.system_time().num_nanoseconds()
        });
        Self { wall_ns: now_ns(), cpu_ns: cpu_ns as u64 }
    }

    /// What was used since an earlier reading.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            wall_ns: self.wall_ns.saturating_sub(before.wall_ns),
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
        }
    }
}

/// Resident memory of this process, in KiB: `VmRSS` of proc_pid_status(5).
#[must_use]
pub fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// A peer's process never outlives the one that measures, however that one ends.
pub(crate) fn die_with_parent() {
    let parent = nix::unistd::getppid();
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    if parent != nix::unistd::getppid() {
        std::process::exit(1); // it ended in between
    }
}
