//! Glue: endpoints on one network segment that find each other and share data by topics, with no
//! addresses to know and no broker. `transport` sends to endpoints by name, `topics` publishes and
//! subscribes, `endpoint` does that and tells who comes and goes.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Args;
use motet::{Delivery, Endpoint, Event, Impairment, Liveness, Message, OpenError, PubQos, Scope};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;

/// What all three programs are told.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// Network to be on: endpoints of other networks are neither seen nor heard
    #[arg(long, alias = "networkID", default_value_t = 1)]
    pub network_id: u64,
    /// Name of this endpoint; ends with 4 if another live endpoint has it
    #[arg(long, alias = "endpointName")]
    pub endpoint_name: Option<String>,
    /// Interface to use, else all of them
    #[arg(long, alias = "interfaceName")]
    pub interface_name: Option<String>,
    /// Milliseconds of silence after which an endpoint is asked for a sign of life
    #[arg(long, alias = "rateMillis", default_value_t = 1_000)]
    pub rate_millis: u64,
    /// An endpoint is gone after this many rates of silence
    #[arg(long, alias = "timeoutMultiplier", default_value_t = 3)]
    pub timeout_multiplier: u32,
    /// Send a message each 200 ms
    #[arg(long, alias = "sendMessages")]
    pub send_messages: bool,
    /// Port to listen on, else the first free one
    #[arg(long, alias = "listenPort")]
    pub listen_port: Option<u16>,
    /// Group that endpoints meet at, else the usual one
    #[arg(long, alias = "multicastAddress")]
    pub multicast_address: Option<SocketAddr>,
    /// Stay on this host
    #[arg(long)]
    pub host_only: bool,
    /// Faults to try things out: loss=20%,dup=5%,reorder=5%
    #[arg(long)]
    pub impair: Option<String>,
}

impl Flags {
    /// Opens the endpoint.
    ///
    /// # Errors
    /// [`OpenError`], or what is wrong with `--impair`.
    pub async fn open(&self) -> Result<Endpoint, Box<dyn Error>> {
        let rate = Duration::from_millis(self.rate_millis);
        let liveness = Liveness { rate, multiplier: self.timeout_multiplier };
        let mut builder =
            Endpoint::builder().realm(format!("glue-{}", self.network_id)).liveness(liveness);
        builder = match &self.endpoint_name {
            Some(name) => builder.name(name),
            None => builder.name(format!("Endpoint_{}", std::process::id())),
        };
        if let Some(interface) = &self.interface_name {
            builder = builder.interface(interface);
        }
        if let Some(port) = self.listen_port {
            builder = builder.listen(([0, 0, 0, 0], port).into());
        }
        if let Some(group) = self.multicast_address {
            builder = builder.multicast(group);
        }
        if self.host_only {
            builder = builder.scope(Scope::Host);
        }
        if let Some(faults) = &self.impair {
            builder = builder.impair(Impairment::parse(faults)?);
        }
        Ok(builder.open().await?)
    }

    /// Why this endpoint has to end: its name was given by a flag, and an older holder still
    /// answers. The older one is told and goes on.
    #[must_use]
    pub fn refused(&self, event: &Event) -> Option<ExitCode> {
        let Event::NameConflict { name, newcomer, other } = event else { return None };
        if *newcomer && self.endpoint_name.is_some() {
            eprintln!("the name {name} is held by endpoint {}; choose another one", other.id);
            return Some(ExitCode::from(4));
        }
        eprintln!("endpoint {} uses the name {name} too", other.id);
        None
    }
}

/// Prints who comes and goes.
///
/// # Errors
/// Standard output cannot be written.
pub fn tell(event: &Event) -> std::io::Result<()> {
    match event {
        Event::PeerUp { key, name } => {
            writeln!(stdout(), "added: endpointID={} endpointName={name}", key.id)
        }
        Event::PeerDown { key, name, .. } => {
            writeln!(stdout(), "removed: endpointID={} endpointName={name}", key.id)
        }
        _ => Ok(()),
    }
}

/// Prints a message.
///
/// # Errors
/// Standard output cannot be written.
pub fn received(message: &Message) -> std::io::Result<()> {
    let payload = String::from_utf8_lossy(message.payload());
    writeln!(stdout(), "received: {} sent {payload}", message.writer_name())
}

/// A payload; no two of one sender are equal.
#[must_use]
pub fn payload() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("This is a payload as at {}.{:09}", now.as_secs(), now.subsec_nanos())
}

/// Publishes and subscribes until it is asked to end; with `members` it tells who comes and goes.
///
/// # Errors
/// What the library refuses, or standard output that cannot be written.
pub async fn share(flags: Flags, topic: &str, members: bool) -> Result<ExitCode, Box<dyn Error>> {
    let endpoint = flags.open().await?;
    let mut events = endpoint.events();
    // A message that nobody got within a second is worth nothing any more.
    let qos = PubQos { lifespan: Some(Duration::from_secs(1)), ..PubQos::default() };
    let (mut publisher, mut subscriber) = (None, None);
    if flags.send_messages {
        publisher = Some(endpoint.publisher_with(topic, qos).await?);
    } else {
        subscriber = Some(endpoint.subscriber(topic).await?);
    }
    let mut ticks = interval(PERIOD);
    let mut end = std::pin::pin!(asked_to_end());
    loop {
        tokio::select! {
            () = &mut end => break,
            _ = ticks.tick() => {
                if let Some(publisher) = &publisher {
                    publisher.publish(payload()).await?;
                }
            }
            Some(delivery) = async { match &mut subscriber {
                Some(subscriber) => subscriber.next().await,
                None => std::future::pending().await,
            } } => match delivery {
                Delivery::Message(message) => received(&message)?,
                Delivery::Missed { topic, n, reason, .. } => {
                    eprintln!("missed: {n} messages of {topic} ({reason:?})");
                }
                _ => {}
            },
            Some(event) = events.next() => {
                if let Some(exit) = flags.refused(&event) {
                    return Ok(exit);
                }
                if members {
                    tell(&event)?;
                }
            }
        }
    }
    drop((publisher, subscriber));
    let _ = endpoint.close(Duration::from_secs(1)).await;
    Ok(ExitCode::SUCCESS)
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

/// Time between two messages.
pub const PERIOD: Duration = Duration::from_millis(200);
