//! Servers, brokers and name servers that are killed, and clients that call all the while.
//!
//! A server says `serving`, a broker `broker peers=N workers=N` and a name server `names held=N
//! peers=N`, each time this changes. A client says `calling` when it has found whom to call, and `done` with what came of its
//! calls. All take no commands.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use motet::role::{Broker, NameServer, NoWorkers};
use motet::service::{Ask, CallOptions, Role, ServeOptions, WaitFor};
use motet::{Endpoint, Liveness};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use crate::{Outcome, say};

#[derive(Args)]
pub(crate) struct Services {
    /// Name of the endpoint.
    #[arg(long, global = true, default_value = "")]
    name: String,
    /// Directory of the realm's secret.
    #[arg(long, global = true, default_value = ".")]
    state: PathBuf,
    /// Milliseconds of silence after which another is dead.
    #[arg(long, global = true, default_value_t = 1_000)]
    silence: u64,
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Answers calls.
    Server(Server),
    /// Stands before the servers of a service.
    Broker {
        /// The service.
        #[arg(long)]
        service: String,
    },
    /// Knows who has which name.
    Names,
    /// Calls at a steady rate.
    Client(Client),
}

#[derive(Args)]
struct Server {
    /// What it offers.
    #[arg(long)]
    service: String,
    /// Registers with the name servers in this group and serves everybody; else brokers only.
    #[arg(long)]
    group: Option<String>,
    /// Each call that was done is added to this file: its key, and when, in microseconds.
    #[arg(long)]
    record: PathBuf,
}

#[derive(Args, Clone)]
struct Client {
    /// What it calls.
    #[arg(long)]
    service: String,
    /// Calls whom the name servers know in this group.
    #[arg(long)]
    group: Option<String>,
    /// Calls a second.
    #[arg(long)]
    rate: u32,
    /// For so long.
    #[arg(long)]
    seconds: u32,
}

/// An answer that takes longer than this is none.
const LIMIT: Duration = Duration::from_secs(30);
/// After this a call is sent once more.
const TRY: Duration = Duration::from_secs(2);
/// A lease at the name servers.
const LEASE: Duration = Duration::from_secs(2);
/// How often a role looks at itself.
const LOOK: Duration = Duration::from_millis(20);

impl Services {
    pub(crate) fn run(self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let rate = Duration::from_millis((self.silence / 5).max(50));
            let builder = Endpoint::builder().realm("lab").name(&*self.name).remember_peers(false);
            let builder = builder.state_dir(&self.state).liveness(Liveness { rate, multiplier: 5 });
            let endpoint = builder.open().await?;
            let live = async {
                match &self.part {
                    Part::Server(server) => server.live(&endpoint).await,
                    Part::Broker { service } => broker(&endpoint, service).await,
                    Part::Names => names(&endpoint).await,
                    Part::Client(client) => client.live(&endpoint, &self.name).await,
                }
            };
            // The lab is gone when input ends.
            let (mut input, mut rest) = (tokio::io::stdin(), Vec::new());
            tokio::select! {
                outcome = live => outcome,
                _ = input.read_to_end(&mut rest) => Ok(()),
            }
        })
    }
}

impl Server {
    async fn live(&self, endpoint: &Endpoint) -> Outcome {
        let role = if self.group.is_some() { Role::Direct } else { Role::Worker };
        let mut options = ServeOptions::new().role(role).safe();
        if let Some(group) = &self.group {
            options = options.register_in(group).lease(LEASE);
        }
        let mut server = endpoint.serve(&self.service, options).await?;
        let record = OpenOptions::new().create(true).append(true).open(&self.record)?;
        say("serving");
        while let Some(request) = server.next().await {
            done(&record, request.idempotency_key().unwrap_or_default())?;
            let body = request.frames().first().cloned().unwrap_or_default();
            // Whoever called may be gone.
            let _ = request.reply(body);
        }
        Ok(())
    }
}

/// Writes down that a call was done: what is written outlives its process.
fn done(mut record: &File, key: &[u8]) -> Outcome {
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_micros();
    Ok(record.write_all(format!("{} {at}\n", String::from_utf8_lossy(key)).as_bytes())?)
}

async fn broker(endpoint: &Endpoint, service: &str) -> Outcome {
    let broker = Broker::new().service(service).no_workers(NoWorkers::Wait);
    let broker = broker.heartbeat(Duration::from_millis(200), 3).start(endpoint).await?;
    tell_changes(async || {
        let report = broker.report().await?;
        let workers: usize = report.services.iter().map(|service| service.workers.len()).sum();
        Some(format!("broker peers={} workers={workers}", report.peers.len()))
    })
    .await
}

async fn names(endpoint: &Endpoint) -> Outcome {
    let server = NameServer::new().start(endpoint).await?;
    tell_changes(async || {
        let report = server.report().await?;
        Some(format!("names held={} peers={}", report.held, report.peers))
    })
    .await
}

/// Says how a role stands whenever that has changed, until it has ended.
async fn tell_changes(standing: impl AsyncFn() -> Option<String>) -> Outcome {
    let mut told = String::new();
    while let Some(line) = standing().await {
        if line != told {
            say(&line);
            told = line;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

impl Client {
    async fn live(&self, endpoint: &Endpoint, name: &str) -> Outcome {
        let options = CallOptions::new().timeout(LIMIT).per_try(TRY).tries(15).safe();
        let mut options = options.wait(WaitFor::Deadline);
        if let Some(group) = &self.group {
            options = options.by_name_server(group);
        }
        let caller = endpoint.caller(&self.service, options)?;
        let calls = self.rate * self.seconds;
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / self.rate.max(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (tell, mut told) = mpsc::unbounded_channel();
        say("calling");
        for n in 0..calls {
            ticks.tick().await;
            // The body of a call is its key.
            let (caller, key) = (caller.clone(), format!("{name}/{n}"));
            let (tell, begun) = (tell.clone(), Instant::now());
            tokio::spawn(async move {
                let ask = Ask::new(key.clone()).idempotency_key(key.clone());
                let answer = caller.call(ask).await;
                let right = answer.is_ok_and(|reply| reply.body() == key.as_bytes());
                // Whoever counts has ended.
                let _ = tell.send((begun.elapsed(), right));
            });
        }
        drop(tell);
        let (mut answered, mut lost, mut took) = (0_u32, 0_u32, Vec::new());
        while let Some((time, right)) = told.recv().await {
            took.push(time);
            *(if right { &mut answered } else { &mut lost }) += 1;
        }
        took.sort_unstable();
        let ms = |share: f64| {
            let at = ((took.len() as f64 * share) as usize).min(took.len().saturating_sub(1));
            took.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        say(&format!(
            "done answered={answered} lost={lost} p50_ms={:.3} p99_ms={:.3} \
             longest_ms={:.3}",
            ms(0.5),
            ms(0.99),
            ms(1.0)
        ));
        std::future::pending().await
    }
}
