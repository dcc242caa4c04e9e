//! `motet-sim`: seeds, planted bugs and bulk, from the command line.
#![forbid(unsafe_code)]

mod large;

use clap::{Parser, Subcommand};
use motet_sim::bazaar;
use motet_sim::bulk::{self, Bulk};
use motet_sim::fanout;
use motet_sim::flock::FlockSpec;
use motet_sim::multitude;
use motet_sim::swarm::{self, Outcome};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// Runs worlds drawn from seeds, and checks what must hold in each.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Args {
    /// Seeds to run: from..to
    #[arg(long, default_value = "0..200", value_parser = range)]
    seeds: Range<u64>,
    /// Threads
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Print what happened, datagram by datagram
    #[arg(long)]
    trace: bool,
    /// Form of the summary
    #[arg(short, long, default_value = "text")]
    output: Form,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Puts a bug in and runs seeds and scenarios until one of them finds it
    Planted {
        /// Which bug
        name: String,
        /// Seeds to try
        #[arg(long, default_value_t = 300)]
        max_seeds: u64,
    },
    /// Runs worlds of servers and callers drawn from seeds
    Services {
        /// Seeds to run: from..to
        #[arg(long, default_value = "0..200", value_parser = range)]
        seeds: Range<u64>,
        /// Threads
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Print what happened, datagram by datagram
        #[arg(long)]
        trace: bool,
        /// Form of the summary
        #[arg(short, long, default_value = "text")]
        output: Form,
    },
    /// Sends very many messages through a bad link and counts them
    Bulk {
        /// Messages
        #[arg(long, default_value_t = 1_000_000)]
        messages: u64,
        /// Bytes of a message
        #[arg(long, default_value_t = 64)]
        size: usize,
        /// Bytes of the writer's log
        #[arg(long, default_value_t = 8 << 20)]
        log_bytes: usize,
        /// Datagrams lost, in percent
        #[arg(long, default_value_t = 5.0)]
        loss: f64,
        /// Datagrams that come late, in percent
        #[arg(long, default_value_t = 2.0)]
        reorder: f64,
        /// Datagrams that come twice, in percent
        #[arg(long, default_value_t = 1.0)]
        dup: f64,
        /// Datagrams damaged, in percent
        #[arg(long, default_value_t = 0.1)]
        corrupt: f64,
        /// Seed of the network
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Readers, each with losses of its own
        #[arg(long, default_value_t = 1)]
        readers: usize,
        /// By a lane
        #[arg(long)]
        lane: bool,
    },
    /// Datagrams that a writer sends per message of 1 KiB, by sessions and by a lane
    Lanes {
        /// How many readers
        #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 8, 32, 128])]
        readers: Vec<usize>,
    },
    /// Lets very many endpoints watch each other, and counts the living who are declared dead
    Members {
        /// Endpoints
        #[arg(long, default_value_t = 1_000)]
        nodes: usize,
        /// Virtual hours
        #[arg(long, default_value_t = 24.0)]
        hours: f64,
        /// Datagrams lost, in percent
        #[arg(long, default_value_t = 5.0)]
        loss: f64,
        /// Endpoints that are starved of CPU, in percent
        #[arg(long, default_value_t = 0.0)]
        starved: f64,
        /// Datagrams that a starved endpoint takes before it stands still for up to 5 s
        #[arg(long, default_value_t = 10)]
        slice: usize,
        /// Waits do not grow with an endpoint's own ill health
        #[arg(long)]
        no_health: bool,
        /// All chance
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Cuts the network in two for a while and measures when both sides know all again
    Split {
        /// Endpoints
        #[arg(long, default_value_t = 1_000)]
        nodes: usize,
        /// How long, in seconds
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// Datagrams lost, in percent
        #[arg(long, default_value_t = 0.0)]
        loss: f64,
        /// All chance
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Starts whole endpoints all at once, then one more that reads what one of them publishes
    Coldstart {
        /// Endpoints
        #[arg(long, default_value_t = 1_000)]
        nodes: usize,
        /// Datagrams lost, in percent
        #[arg(long, default_value_t = 0.0)]
        loss: f64,
        /// All chance
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Runs very many whole endpoints with loss, delay, a split and crashes from one seed, twice,
    /// and compares the two runs
    Repeat {
        /// Endpoints
        #[arg(long, default_value_t = 1_000)]
        nodes: usize,
        /// Datagrams lost, in percent
        #[arg(long, default_value_t = 2.0)]
        loss: f64,
        /// All chance
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// What it costs that very many endpoints know of each other
    Discovery {
        /// Endpoints
        #[arg(long, default_value_t = 1_000)]
        nodes: usize,
        /// All chance
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// What it costs that ten thousand endpoints know of each other, by announcements and membership alone, and
    /// when all know of crashes
    Multitude {
        /// Endpoints
        #[arg(long, default_value_t = 10_000)]
        nodes: usize,
        /// How long to count, in seconds, after ten that are not counted
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// Crashes after that, all within a second
        #[arg(long, default_value_t = 0)]
        crashes: usize,
        /// Datagrams lost, in percent
        #[arg(long, default_value_t = 0.0)]
        loss: f64,
        /// All chance
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Kills endpoints one after the other and measures when all others know
    Crash {
        /// Endpoints
        #[arg(long, default_value_t = 1_000)]
        nodes: usize,
        /// Crashes
        #[arg(long, default_value_t = 20)]
        crashes: usize,
        /// Datagrams lost, in percent
        #[arg(long, default_value_t = 0.0)]
        loss: f64,
        /// All chance
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let parsed =
        text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    parsed.filter(|range| range.start < range.end).ok_or_else(|| "expected from..to".into())
}

fn main() -> ExitCode {
    let args = Args::parse();
    match args.command {
        Some(Command::Planted { name, max_seeds }) => planted(&name, max_seeds),
        Some(Command::Bulk {
            messages,
            size,
            log_bytes,
            loss,
            reorder,
            dup,
            corrupt,
            seed,
            readers,
            lane,
        }) => {
            let [loss, reorder, duplicate, corrupt] =
                [loss, reorder, dup, corrupt].map(|percent| percent / 100.0);
            bulk_run(Bulk {
                messages,
                size,
                log_bytes,
                loss,
                reorder,
                duplicate,
                corrupt,
                seed,
                readers,
                lane,
            })
        }
        Some(Command::Members { nodes, hours, loss, starved, slice, no_health, seed }) => {
            let [loss, starved] = [loss, starved].map(|percent| percent / 100.0);
            let spec = FlockSpec { nodes, loss, starved, slice, health: !no_health, seed };
            large::members(spec, hours)
        }
        Some(Command::Crash { nodes, crashes, loss, seed }) => {
            let loss = loss / 100.0;
            large::crash(
                FlockSpec { nodes, loss, starved: 0.0, slice: 0, health: true, seed },
                crashes,
            )
        }
        Some(Command::Multitude { nodes, seconds, crashes, loss, seed }) => {
            let loss = loss / 100.0;
            large::multitude(multitude::Spec { nodes, loss, seed }, seconds, crashes)
        }
        Some(Command::Lanes { readers }) => lanes(&readers),
        Some(Command::Split { nodes, seconds, loss, seed }) => {
            let loss = loss / 100.0;
            let spec = FlockSpec { nodes, loss, starved: 0.0, slice: 0, health: true, seed };
            large::split(spec, seconds)
        }
        Some(Command::Coldstart { nodes, loss, seed }) => {
            large::coldstart(nodes, loss / 100.0, seed)
        }
        Some(Command::Repeat { nodes, loss, seed }) => large::repeat(nodes, loss / 100.0, seed),
        Some(Command::Discovery { nodes, seed }) => large::discovery(nodes, seed),
        Some(Command::Services { seeds: range, jobs, trace, output }) => {
            let plan = Plan { seeds: range, jobs, trace, output };
            seeds(&plan, "services --seeds", bazaar::run)
        }
        None => {
            let Args { seeds: range, jobs, trace, output, .. } = args;
            seeds(&Plan { seeds: range, jobs, trace, output }, "--seeds", swarm::run)
        }
    }
}

/// Which seeds to run, and what to print.
struct Plan {
    seeds: Range<u64>,
    jobs: usize,
    trace: bool,
    output: Form,
}

/// Runs one world.
type Run = fn(u64, bool) -> Outcome;

fn wall() -> impl Fn() -> Duration {
    #[allow(clippy::disallowed_methods, reason = "wall time is only printed")]
    let start = std::time::Instant::now();
    move || start.elapsed()
}

fn seeds(args: &Plan, verb: &str, run: Run) -> ExitCode {
    let wall = wall();
    let next = AtomicU64::new(args.seeds.start);
    let (sender, outcomes) = mpsc::channel::<Outcome>();
    let (mut done, mut failed, mut twice) = (0_u64, 0_u64, 0_u64);
    let (mut time, mut packets, mut messages) = (Duration::ZERO, 0_u64, 0_u64);
    let of = args.seeds.end - args.seeds.start;
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= args.seeds.end
                        || sender.send(run_checked(run, seed, args.trace)).is_err()
                    {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for outcome in outcomes {
            done += 1;
            twice += u64::from(outcome.seed.is_multiple_of(100));
            time += Duration::from_nanos(outcome.time.0);
            packets += outcome.packets;
            messages += outcome.messages;
            if args.trace {
                println!("seed {}: {}\n{}", outcome.seed, outcome.world, outcome.trace);
            }
            if let Some(violation) = outcome.violations.first() {
                failed += 1;
                let seed = outcome.seed;
                eprintln!(
                    "seed {seed}: {violation}; replay: motet-sim {verb} {seed}..{} --trace",
                    seed + 1
                );
            }
            if done.is_multiple_of(50) && done < of {
                eprintln!("{done} of {of} seeds, {failed} failed, {:.1} s", wall().as_secs_f64());
            }
        }
    });
    let (virtual_s, wall_s) = (time.as_secs_f64(), wall().as_secs_f64());
    if args.output == Form::Json {
        println!(
            "{{\"seeds\":{done},\"failed\":{failed},\"run_twice\":{twice},\"virtual_seconds\":{virtual_s:.1},\
             \"packets\":{packets},\"messages\":{messages},\"wall_seconds\":{wall_s:.1}}}"
        );
    } else {
        println!(
            "{done} seeds ({twice} run twice), {virtual_s:.0} s of virtual time, {packets} datagrams, \
             {messages} messages delivered, {failed} seeds failed, {wall_s:.1} s"
        );
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a seed; a panic is a violation too, and one seed in a hundred is run twice (O10).
fn run_checked(run: Run, seed: u64, trace: bool) -> Outcome {
    let outcome = caught(run, seed, trace);
    if !seed.is_multiple_of(100) || !outcome.violations.is_empty() {
        return outcome;
    }
    let again = caught(run, seed, false);
    if again.hash == outcome.hash {
        return outcome;
    }
    let detail = format!("trace hashes {:016x} and {:016x}", outcome.hash, again.hash);
    let violation = motet_sim::Violation { name: "O10 not repeatable", at: outcome.time, detail };
    Outcome { violations: vec![violation], ..outcome }
}

fn caught(run: Run, seed: u64, trace: bool) -> Outcome {
    std::panic::catch_unwind(|| run(seed, trace)).unwrap_or_else(|panic| Outcome {
        seed,
        violations: vec![motet_sim::Violation {
            name: "panic",
            at: motet_proto::Time::ZERO,
            detail: said(&*panic),
        }],
        time: motet_proto::Time::ZERO,
        packets: 0,
        messages: 0,
        hash: 0,
        trace: String::new(),
        world: String::new(),
    })
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("panicked").lines().next().unwrap_or_default().to_owned()
}

#[cfg(not(feature = "planted"))]
fn planted(name: &str, _max_seeds: u64) -> ExitCode {
    eprintln!("`{name}` cannot be planted: this build has no bugs on purpose (--features planted)");
    ExitCode::FAILURE
}

#[cfg(feature = "planted")]
fn planted(name: &str, max_seeds: u64) -> ExitCode {
    if !motet_proto::planted::arm(name) {
        eprintln!("no such bug; there are: {}", motet_proto::planted::NAMES.join(", "));
        return ExitCode::FAILURE;
    }
    std::panic::set_hook(Box::new(|_| {})); // scenarios find bugs by panicking
    // What fails without the bug too has not found it.
    let fails_anyway = |again: &dyn Fn() -> bool| {
        motet_proto::planted::disarm();
        let fails = again();
        motet_proto::planted::arm(name);
        fails
    };
    for (at, (scenario, run)) in motet_sim::scenarios::ALL.iter().enumerate() {
        if let Err(panic) = std::panic::catch_unwind(run)
            && !fails_anyway(&|| std::panic::catch_unwind(run).is_err())
        {
            let why = format!("{scenario}: {}", said(&*panic));
            return found(name, None, at as u64 + 1, &why);
        }
    }
    for seed in 0..max_seeds {
        if let Some(violation) = caught(swarm::run, seed, false).violations.first()
            && !fails_anyway(&|| !caught(swarm::run, seed, false).violations.is_empty())
        {
            return found(name, Some(seed), seed + 1, &violation.to_string());
        }
    }
    println!(
        "{{\"bug\":{name:?},\"caught\":false,\"seed\":null,\"seeds\":{max_seeds},\"violation\":null}}"
    );
    ExitCode::FAILURE
}

#[cfg(feature = "planted")]
fn found(name: &str, seed: Option<u64>, tried: u64, why: &str) -> ExitCode {
    let seed = seed.map_or_else(|| "null".to_owned(), |seed| seed.to_string());
    let why = why.replace(['"', '\\'], "'");
    println!(
        "{{\"bug\":{name:?},\"caught\":true,\"seed\":{seed},\"seeds\":{tried},\"violation\":\"{why}\"}}"
    );
    ExitCode::SUCCESS
}

/// What fan-out costs, as a table.
fn lanes(readers: &[usize]) -> ExitCode {
    println!("datagrams and bytes per message of 1 KiB, 10,000 a second");
    println!("           by sessions                       by a lane");
    println!(
        "readers      sent  bytes sent  received        sent  of these by it  bytes sent  received"
    );
    for n in readers {
        let [unicast, lane] = [false, true].map(|lane| fanout::cost(*n, lane));
        println!(
            "{n:7}  {:8.2}  {:10.0}  {:8.2}    {:8.2}  {:14.3}  {:10.0}  {:8.2}",
            unicast.sent,
            unicast.bytes,
            unicast.received,
            lane.sent,
            lane.laned,
            lane.bytes,
            lane.received,
        );
    }
    ExitCode::SUCCESS
}

fn bulk_run(bulk: Bulk) -> ExitCode {
    let wall = wall();
    let report = bulk::run(bulk);
    let wanted = report.published * bulk.readers.max(1) as u64;
    let lost = wanted - report.delivered.min(wanted);
    println!(
        "published {}, readers {}, on a lane {}, delivered {} in order, {lost} not delivered, {} reported missing\n\
         log of {} B (policy block), full {} times\n\
         {} datagrams of which {} lost, {} bytes, {} repairs, {} NAKs\n\
         {} datagrams and {} repairs by the lane\n\
         {:.1} s of virtual time, {:.1} s",
        report.published,
        bulk.readers.max(1),
        report.laned,
        report.delivered,
        report.missed,
        bulk.log_bytes,
        report.full,
        report.datagrams.0,
        report.datagrams.1,
        report.bytes,
        report.repairs,
        report.naks,
        report.lane_packets,
        report.lane_repairs,
        report.time.0 as f64 / 1e9,
        wall().as_secs_f64(),
    );
    for violation in &report.violations {
        eprintln!("{violation}");
    }
    let whole = report.published == bulk.messages
        && report.delivered == wanted
        && lost == 0
        && report.missed == 0;
    if whole && report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
