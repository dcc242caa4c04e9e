//! Small exercises: echo, hello, arith, state, upgrade, timeouts. Each is a service; one program
//! serves them, one calls them.
#![forbid(unsafe_code)]

pub mod arith;

pub use motet_example_words::{Network, asked_to_end, pause, run};

/// What can be served and called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Exercise {
    /// Any text returns unchanged
    Echo,
    /// "hello" is answered with "world"
    Hello,
    /// Two numbers and an operator
    Arith,
    /// Requests that depend on earlier ones of the same client
    State,
    /// Says its version
    Upgrade,
    /// Takes its time
    Timeouts,
}

impl Exercise {
    /// The service.
    #[must_use]
    pub fn service(self) -> &'static str {
        match self {
            Self::Echo => "basics/echo",
            Self::Hello => "basics/hello",
            Self::Arith => "basics/arith",
            Self::State => "basics/state",
            Self::Upgrade => "basics/upgrade",
            Self::Timeouts => "basics/timeouts",
        }
    }
}
