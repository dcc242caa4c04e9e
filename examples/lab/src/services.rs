//! Servers, brokers and name servers that are killed, and clients that call all the while.
//!
//! A server says `serving`, a broker `broker peers=N workers=N` and a name server `names held=N
//! peers=N`, each time this changes. A client says `calling` when it has found whom to call, and `done` with what came of its
//! calls. All take no commands.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use motet::role::{Broker, NameServer, Names, NoWorkers};
use motet::service::{Ask, CallError, CallOptions, Caller, Reply, Role, ServeOptions, WaitFor};
use motet::{Endpoint, EndpointId, Liveness};
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
    /// Asks the name servers of this group for servers, and calls these by their ids.
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
/// How often a client asks the name servers.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How often a role looks at itself, and a client that knows no server looks for one.
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
        let options = ServeOptions::new().role(role).safe();
        let mut server = endpoint.serve(&self.service, options).await?;
        let record = OpenOptions::new().create(true).append(true).open(&self.record)?;
        if let Some(group) = &self.group {
            let (names, service) = (Names::new(endpoint, group)?, self.service.clone());
            tokio::spawn(async move {
                loop {
                    match names.register(&service, LEASE).await {
                        // It is renewed for as long as it is held.
                        Ok(_held) => std::future::pending().await,
                        Err(_) => tokio::time::sleep(LOOK).await, // no name server yet
                    }
                }
            });
        }
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
        let wait = if self.group.is_some() { WaitFor::Settled } else { WaitFor::Deadline };
        let caller = endpoint.caller(&self.service, options.wait(wait))?;
        let book = match &self.group {
            Some(group) => Some(Book::open(Names::new(endpoint, group)?, &self.service).await),
            None => None,
        };
        let calls = self.rate * self.seconds;
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / self.rate.max(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (tell, mut told) = mpsc::unbounded_channel();
        say("calling");
        for n in 0..calls {
            ticks.tick().await;
            let call = Call { caller: caller.clone(), key: format!("{name}/{n}") };
            let (book, tell, begun) = (book.clone(), tell.clone(), Instant::now());
            tokio::spawn(async move {
                let answer = match &book {
                    Some(book) => call.by_name(book).await,
                    None => call.once(None, LIMIT).await,
                };
                let right = answer.is_ok_and(|reply| reply.body() == call.key.as_bytes());
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
        let moved = book.map_or(0, |book| book.lock().moved);
        say(&format!(
            "done answered={answered} lost={lost} moved={moved} p50_ms={:.3} p99_ms={:.3} \
             longest_ms={:.3}",
            ms(0.5),
            ms(0.99),
            ms(1.0)
        ));
        std::future::pending().await
    }
}

/// One call. Its body is its key.
struct Call {
    caller: Caller,
    key: String,
}

impl Call {
    async fn once(&self, to: Option<EndpointId>, left: Duration) -> Result<Reply, CallError> {
        let ask = Ask::new(self.key.clone()).idempotency_key(self.key.clone()).timeout(left);
        self.caller.call(if let Some(to) = to { ask.to(to) } else { ask }).await
    }

    /// At one server after the other: the next only when the last is gone, or has not begun.
    async fn by_name(&self, book: &Book) -> Result<Reply, CallError> {
        let begun = Instant::now();
        loop {
            let left = LIMIT.saturating_sub(begun.elapsed());
            let Some(to) = book.next() else {
                if left.is_zero() {
                    return self.once(None, left).await; // its error says what is wrong
                }
                tokio::time::sleep(LOOK).await;
                continue;
            };
            match self.once(Some(to), left).await {
                Err(_) if begun.elapsed() < LIMIT => book.failed(to),
                answer => return answer,
            }
        }
    }
}

/// Who has the name, as the name servers last said.
#[derive(Clone)]
struct Book(Arc<Mutex<Page>>);

#[derive(Default)]
struct Page {
    holders: Vec<EndpointId>,
    next: usize,
    /// Calls that had to go to another server.
    moved: u64,
}

impl Book {
    /// Asks until somebody has the name, and goes on asking.
    async fn open(names: Names, service: &str) -> Self {
        let book = Self(Arc::default());
        let (theirs, service) = (book.clone(), service.to_owned());
        tokio::spawn(async move {
            loop {
                // Without an answer, or from a name server that has just begun, the last one holds.
                let found = names.find(Some(&service)).await.unwrap_or_default();
                if !found.is_empty() {
                    theirs.lock().holders = found.iter().map(|holder| holder.instance).collect();
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        });
        while book.next().is_none() {
            tokio::time::sleep(LOOK).await;
        }
        book
    }

    /// Each in turn.
    fn next(&self) -> Option<EndpointId> {
        let mut page = self.lock();
        page.next = page.next.wrapping_add(1);
        let at = page.next.checked_rem(page.holders.len())?;
        page.holders.get(at).copied()
    }

    fn failed(&self, holder: EndpointId) {
        let mut page = self.lock();
        page.holders.retain(|known| *known != holder);
        page.moved += 1;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Page> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
