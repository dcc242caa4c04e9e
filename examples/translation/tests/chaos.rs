//! Servers and brokers are killed, one each second, under a steady load of calls.
#![allow(clippy::unwrap_used, reason = "it is a test")]

#[path = "../../../crates/motet-cli/tests/process/mod.rs"]
mod process;
mod programs;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use motet_example_words::Chance;
use process::{Process, World};
use programs::{BROKER, SERVER, start};

const LOAD: &str = env!("CARGO_BIN_EXE_load-client");

/// One that is killed and started again, each time under a new name.
struct Victim {
    process: Process,
    name: String,
}

fn victim(world: &World, server: bool, n: usize) -> Victim {
    let name = format!("{}{n}", if server { "s" } else { "b" });
    let process = if server {
        let record = world.path(format!("record-{name}"));
        let record = record.to_str().unwrap();
        let args = ["--name", &name, "--worker", "--concurrency", "32", "--record", record];
        start(world, SERVER, &args)
    } else {
        start(world, BROKER, &["--name", &name, "--heartbeat", "200", "--no-workers", "wait"])
    };
    Victim { process, name }
}

/// `MOTET_CHAOS_SECONDS=120` for the long run.
fn seconds() -> u32 {
    std::env::var("MOTET_CHAOS_SECONDS").ok().and_then(|n| n.parse().ok()).unwrap_or(10)
}

#[test]
// CB-1 BK-3 BK-16
fn under_kills_of_servers_and_brokers_no_call_is_lost_and_none_runs_twice_at_living_servers() {
    let world = World::new();
    // Servers 0 to 3, brokers 4 and 5.
    let mut started = 6;
    let mut victims: Vec<Victim> = (0..6).map(|n| victim(&world, n < 4, n)).collect();
    victims[4].process.expect("sees 1 peers, translate 4 workers");
    victims[5].process.expect("sees 1 peers, translate 4 workers");
    let seconds = seconds().to_string();
    let mut client = start(&world, LOAD, &["--rate", "1000", "--seconds", &seconds]);
    client.expect("calling");

    let mut chance = Chance::new();
    let mut killed = BTreeSet::new();
    let mut kills = [0, 0];
    // The load itself is the clock: a kill a second, until the calls are over.
    while !client.says("answered", Duration::from_secs(1)) {
        let at = chance.below(victims.len());
        victims[at].process.kill();
        killed.insert(victims[at].name.clone());
        kills[usize::from(at >= 4)] += 1;
        victims[at] = victim(&world, at < 4, started);
        started += 1;
    }
    let told = client.told.join("\n");
    let (status, _) = client.end();
    assert!(status.success(), "{told} {:?}", client.remarks());

    let mut runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for n in 0..started {
        let name = format!("s{n}");
        let text = std::fs::read_to_string(world.path(format!("record-{name}")));
        for key in text.unwrap_or_default().lines() {
            runs.entry(key.to_owned()).or_default().push(name.clone());
        }
    }
    let twice: Vec<_> = runs.iter().filter(|(_, at)| at.len() > 1).collect();
    println!("{told}; killed {kills:?} (servers, brokers); ran twice {}", twice.len());
    for (key, at) in twice {
        // The first one died between the deed and its answer: nobody can know.
        assert!(at.iter().any(|name| killed.contains(name)), "{key} ran at {at:?}");
    }
}
