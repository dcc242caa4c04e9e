//! What every peer's process shares: arguments, the handshake with `motet-bench`, the counting in
//! windows of time, the readings of CPU and memory.
//!
//! A process is started as `bench-PEER ROLE key=value…`. It writes one JSON [`Event`] per line to
//! its standard output and takes [`Command`]s, one per line, from its standard input. All processes
//! of a measurement count in the same window, two readings of the one monotonic clock of the host;
//! a thread of its own takes them, so that no counting loop reads a clock.
#![forbid(unsafe_code)]

mod args;
mod calls;
mod control;
mod idle;
mod latency;
mod line;
mod meter;
mod usage;

pub use args::{Args, Role};
pub use calls::Calls;
pub use idle::{First, Idle, Subscriptions};
pub use latency::{Echo, Trips};
pub use line::{Command, Counted, Event, Lag};
pub use meter::{Reader, Writer};
pub use usage::{Usage, now_ns, resident_kib};

/// Any error of a peer: it is shown in the row of that peer.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Length of a probe: a message that only says that the way is open, and is not counted.
pub const PROBE: &[u8] = &[0x50];

/// The error of a peer that has no such role.
///
/// # Errors
/// Always.
pub fn no_such_role(role: Role) -> Outcome {
    Err(format!("no {} here", role.name()).into())
}

/// Runs the role that the arguments name, and reports an error as an [`Event::Failed`].
pub fn run(role: impl FnOnce(Args) -> Outcome) -> std::process::ExitCode {
    usage::die_with_parent();
    let result = Args::parse(std::env::args().skip(1)).map_err(Into::into).and_then(role);
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            line::say(&Event::Failed { why: error.to_string() });
            std::process::ExitCode::FAILURE
        }
    }
}
