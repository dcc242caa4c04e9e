//! Words: a publisher says random words in three languages, subscribers take the languages they
//! want. Topics are `words/eng`, `words/fra`, `words/esp`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use motet::{Endpoint, Event, Impairment, Liveness, OpenError, Scope};
use tokio::signal::unix::{SignalKind, signal};

/// A word in English, French and Spanish.
pub const WORDS: [[&str; 3]; 5] = [
    ["hello", "bonjour", "hola"],
    ["goodbye", "au revoir", "adiós"],
    ["please", "s'il vous plaît", "por favor"],
    ["thanks", "merci", "gracias"],
    ["go", "aller", "ir"],
];

/// A language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Language {
    /// English.
    Eng,
    /// French.
    Fra,
    /// Spanish.
    Esp,
}

impl Language {
    /// All of them, in the order of [`WORDS`].
    pub const ALL: [Self; 3] = [Self::Eng, Self::Fra, Self::Esp];

    /// Its code, three letters.
    #[must_use]
    pub fn code(self) -> &'static str {
        ["eng", "fra", "esp"][self as usize]
    }

    /// The topic of its words.
    #[must_use]
    pub fn topic(self) -> String {
        format!("words/{}", self.code())
    }
}

/// Which network to be on. Nothing is mandatory, and there is no address to give.
#[derive(Args, Clone, Debug)]
pub struct Network {
    /// Realm to be in
    #[arg(long, env = "MOTET_REALM", default_value = "default")]
    pub realm: String,
    /// Name of this endpoint; ends with 4 if another live endpoint has it
    #[arg(long, alias = "id", env = "MOTET_NAME")]
    pub name: Option<String>,
    /// Stay on this host
    #[arg(long)]
    pub host_only: bool,
    /// Faults to try things out: loss=5%,dup=1%,reorder=2%
    #[arg(long, env = "MOTET_IMPAIR")]
    pub impair: Option<String>,
    /// Milliseconds of silence after which another endpoint is dead
    #[arg(long, value_name = "MS", default_value_t = 3_000)]
    pub timeout: u64,
    /// Bytes to hold for a reader that is slow
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20)]
    pub queue: usize,
}

impl Network {
    /// Opens the endpoint.
    ///
    /// # Errors
    /// [`OpenError`], or what is wrong with `--impair`.
    pub async fn open(&self, program: &str) -> Result<Endpoint, Box<dyn Error>> {
        let rate = Duration::from_millis((self.timeout / 5).max(50));
        let mut builder =
            Endpoint::builder().realm(&self.realm).liveness(Liveness { rate, multiplier: 5 });
        builder = match &self.name {
            Some(name) => builder.name(name),
            None => builder.name(format!("{program}-{}", std::process::id())),
        };
        if self.host_only {
            builder = builder.scope(Scope::Host);
        }
        if let Some(faults) = &self.impair {
            builder = builder.impair(Impairment::parse(faults)?);
        }
        Ok(builder.open().await?)
    }

    /// Why this endpoint has to end: its name was given by a flag, and an older holder still
    /// answers.
    #[must_use]
    pub fn refused(&self, event: &Event) -> Option<ExitCode> {
        match (event, &self.name) {
            (Event::NameConflict { newcomer: true, name, .. }, Some(_)) => {
                eprintln!("the name {name} is held by another endpoint; choose another --name");
                Some(ExitCode::from(4))
            }
            _ => None,
        }
    }
}

/// Waits for SIGINT or SIGTERM.
pub async fn asked_to_end() {
    let (int, term) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    match (int, term) {
        (Ok(mut int), Ok(mut term)) => {
            tokio::select! { _ = int.recv() => {}, _ = term.recv() => {} }
        }
        _ => std::future::pending().await,
    }
}

/// Lets time pass: what a program is told to do at intervals, or pretends to work on.
#[expect(clippy::disallowed_methods, reason = "these programs live in real time")]
pub async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Runs `program` on a runtime whose worker drives the endpoint, so that output that blocks does
/// not make the endpoint deaf.
pub fn run(program: impl Future<Output = Result<ExitCode, Box<dyn Error>>>) -> ExitCode {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(program),
        Err(error) => Err(error.into()),
    };
    done.unwrap_or_else(|error| {
        // Who closes the pipe has seen enough.
        let closed = error.downcast_ref::<std::io::Error>();
        if closed.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe) {
            return ExitCode::SUCCESS;
        }
        eprintln!("error: {error}");
        ExitCode::from(if error.is::<OpenError>() { 2 } else { 1 })
    })
}

/// Numbers without a pattern: which word, which language.
#[derive(Debug)]
pub struct Chance {
    state: RandomState,
    drawn: u64,
}

impl Chance {
    /// Starts somewhere.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "two of them differ")]
    pub fn new() -> Self {
        Self { state: RandomState::new(), drawn: 0 }
    }

    /// A number below `n`; `n` is at least 1.
    pub fn below(&mut self, n: usize) -> usize {
        self.drawn += 1;
        (self.state.hash_one(self.drawn) % n as u64) as usize
    }
}
