//! How long a message of 64 bytes and its answer take between two processes of this machine.
//!
//! `cargo run --release -p motet --example roundtrip -- [--seconds S] [--spin MICROS] [--only ROW]`
//!
//! Beside motet (encrypted as by default, and spinning) the bare kernel in the same run: UDP
//! blocking, on a tokio current-thread runtime, and spinning. Per row a process that asks and one
//! that answers, each with one thread; rows take turns, so that the machine's mood meets all.
#![expect(clippy::disallowed_methods, reason = "it measures")]

use std::error::Error;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use motet::{Delivery, Endpoint, PubQos, Scope, Subscriber};
use tokio::process::{Child, Command};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const SIZE: usize = 64;
/// Longest wait for the other side.
const LIMIT: Duration = Duration::from_secs(20);
/// How long a spinning socket spins in vain.
const PATIENCE: Duration = Duration::from_millis(1);
/// Turns of every row.
const TURNS: u32 = 5;
const ROWS: [&str; 5] = ["udp blocking", "udp tokio", "udp spinning", "motet", "motet spinning"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    // A task of its own: the runtime looks at the kernel once more before it resumes `main`.
    tokio::spawn(run(std::env::args().skip(1).collect())).await?
}

async fn run(args: Vec<String>) -> Outcome {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    if let ["answer", row, at, spin] = words[..] {
        return answer(row, at, Duration::from_micros(spin.parse()?)).await;
    }
    let (mut seconds, mut spin, mut only) = (2.0, 1_000, "");
    for pair in words.chunks(2) {
        match pair {
            ["--seconds", value] => seconds = value.parse()?,
            ["--spin", value] => spin = value.parse()?,
            ["--only", value] => only = value,
            _ => return Err("[--seconds S] [--spin MICROS] [--only ROW]".into()),
        }
    }
    let spin = Duration::from_micros(spin);
    let state = std::env::temp_dir().join(format!("motet-roundtrip-{}", std::process::id()));
    let result = ask(&state, Duration::from_secs_f64(seconds), spin, only).await;
    let _ = std::fs::remove_dir_all(&state); // it is made by motet's rows only
    result
}

async fn ask(state: &Path, time: Duration, spin: Duration, only: &str) -> Outcome {
    let rows: Vec<&str> = ROWS.into_iter().filter(|row| only.is_empty() || *row == only).collect();
    let mut sides = Vec::new();
    for row in &rows {
        sides.push((Side::start(row, state, spin).await?, Vec::new(), Duration::ZERO));
    }
    for _ in 0..TURNS {
        for (side, times, used) in &mut sides {
            let before = cpu_time()?;
            side.ask(time / TURNS, times).await?;
            *used += cpu_time()? - before;
        }
    }
    println!("µs, {SIZE} bytes {:>14} {:>8} {:>8} {:>8} {:>9}", "p50", "p99", "p99.9", "cpu", "n");
    for (row, (side, mut times, used)) in rows.iter().zip(sides) {
        drop(side);
        times.sort_unstable();
        let at = |part: f64| {
            let index = (times.len() as f64 * part) as usize;
            times[index.min(times.len() - 1)].as_secs_f64() * 1e6
        };
        let cpu = used.as_secs_f64() * 1e6 / times.len() as f64;
        println!(
            "{row:18} {:10.1} {:8.1} {:8.1} {cpu:8.1} {:9}",
            at(0.5),
            at(0.99),
            at(0.999),
            times.len()
        );
    }
    Ok(())
}

/// The side that asks; the process that answers ends with it.
struct Side {
    way: Way,
    _answerer: Child,
}

enum Way {
    Blocking(UdpSocket),
    Tokio(tokio::net::UdpSocket),
    Spinning(UdpSocket),
    Motet { to: motet::Publisher, from: Subscriber, _endpoint: Endpoint },
}

impl Side {
    async fn start(row: &str, state: &Path, spin: Duration) -> Outcome<Self> {
        let spawn = |at: &str| {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["answer", row, at, &spin.as_micros().to_string()]);
            command.kill_on_drop(true).spawn()
        };
        if row.starts_with("motet") {
            // One realm per row: they do not meet.
            let state = state.join(row.replace(' ', "-"));
            std::fs::create_dir_all(&state)?;
            let endpoint = open(row, "asks", &state, spin).await?;
            let from = endpoint.subscriber("pong").await?;
            let to = endpoint.publisher_with("ping", qos()).await?;
            let answerer = spawn(&state.to_string_lossy())?;
            to.wait_readers(1, LIMIT).await?;
            let way = Way::Motet { to, from, _endpoint: endpoint };
            return Ok(Self { way, _answerer: answerer });
        }
        let mine = UdpSocket::bind("127.0.0.1:0")?;
        let answerer = spawn(&mine.local_addr()?.to_string())?;
        let mut hello = [0; SIZE];
        mine.set_read_timeout(Some(LIMIT))?;
        let (_, theirs) = mine.recv_from(&mut hello)?;
        mine.connect(theirs)?;
        Ok(Self { way: Way::of(row, mine)?, _answerer: answerer })
    }

    async fn ask(&mut self, time: Duration, times: &mut Vec<Duration>) -> Outcome {
        let (begun, warm) = (Instant::now(), time / 10);
        while begun.elapsed() < time {
            let asked = Instant::now();
            self.way.send().await?;
            self.way.recv().await?;
            if begun.elapsed() > warm {
                times.push(asked.elapsed());
            }
        }
        Ok(())
    }
}

impl Way {
    fn of(row: &str, socket: UdpSocket) -> Outcome<Self> {
        Ok(match row {
            "udp blocking" => Self::Blocking(socket),
            "udp tokio" => {
                socket.set_nonblocking(true)?;
                Self::Tokio(tokio::net::UdpSocket::from_std(socket)?)
            }
            _ => {
                socket.set_nonblocking(true)?;
                Self::Spinning(socket)
            }
        })
    }

    async fn send(&self) -> Outcome {
        let payload = [0x5a; SIZE];
        match self {
            Self::Blocking(socket) | Self::Spinning(socket) => {
                socket.send(&payload)?;
            }
            Self::Tokio(socket) => {
                socket.send(&payload).await?;
            }
            Self::Motet { to, .. } => {
                to.publish(payload).await?;
            }
        }
        Ok(())
    }

    async fn recv(&mut self) -> Outcome {
        let mut payload = [0; SIZE];
        match self {
            Self::Blocking(socket) => {
                socket.recv(&mut payload)?;
            }
            Self::Tokio(socket) => {
                socket.recv(&mut payload).await?;
            }
            Self::Spinning(socket) => {
                let begun = Instant::now();
                while socket.recv(&mut payload).is_err() {
                    // While other rows have their turn it sleeps.
                    if begun.elapsed() > PATIENCE {
                        socket.set_nonblocking(false)?;
                        socket.recv(&mut payload)?;
                        socket.set_nonblocking(true)?;
                        break;
                    }
                }
            }
            Self::Motet { from, .. } => match from.next().await {
                Some(Delivery::Message(_)) => {}
                other => return Err(format!("{other:?}").into()),
            },
        }
        Ok(())
    }
}

async fn answer(row: &str, at: &str, spin: Duration) -> Outcome {
    let mut way = if row.starts_with("motet") {
        let endpoint = open(row, "answers", &PathBuf::from(at), spin).await?;
        let to = endpoint.publisher_with("pong", qos()).await?;
        to.wait_readers(1, LIMIT).await?;
        let from = endpoint.subscriber("ping").await?;
        Way::Motet { to, from, _endpoint: endpoint }
    } else {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(at)?;
        socket.send(&[0; SIZE])?;
        Way::of(row, socket)?
    };
    loop {
        way.recv().await?;
        way.send().await?;
    }
}

async fn open(row: &str, name: &str, state: &Path, spin: Duration) -> Outcome<Endpoint> {
    let spin = if row == "motet spinning" { spin } else { Duration::ZERO };
    let builder = Endpoint::builder().name(name).state_dir(state).scope(Scope::Host).spin(spin);
    Ok(builder.realm(row.replace(' ', "-")).open().await?)
}

fn qos() -> PubQos {
    PubQos { local: false, ..PubQos::default() }
}

/// CPU time of this process, from its scheduler statistics: field 1 of /proc/PID/schedstat, in ns.
fn cpu_time() -> Outcome<Duration> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let ns = text.split_whitespace().next().ok_or("no schedstat")?;
    Ok(Duration::from_nanos(ns.parse()?))
}
