//! Two brokers on a real network that is cut between them while both live.
#![allow(clippy::unwrap_used, reason = "it is a test")]

#[path = "../../../crates/motet-cli/tests/process/hosts.rs"]
mod hosts;
#[path = "../../../crates/motet-cli/tests/process/mod.rs"]
mod process;

use std::collections::BTreeMap;

use hosts::Hosts;
use process::World;

const SERVER: &str = env!("CARGO_BIN_EXE_trans-server");
const BROKER: &str = env!("CARGO_BIN_EXE_svc-broker");
const CLIENT: &str = env!("CARGO_BIN_EXE_trans-client");
const LOAD: &str = env!("CARGO_BIN_EXE_load-client");
/// Deaths are noticed after a second.
const QUICK: [&str; 2] = ["--timeout", "1000"];

#[test]
fn cb_4_brokers_cut_off_from_each_other_lose_no_answer_and_nothing_runs_twice() {
    let Some(hosts) = Hosts::new(&["b1", "b2", "w1", "c1", "c2"]) else { return };
    let world = World::new();
    let mut brokers = ["b1", "b2"].map(|name| {
        let args = ["--name", name, "--heartbeat", "200", "--no-workers", "wait"];
        let mut broker = hosts.start(&world, name, BROKER, &[&QUICK[..], &args].concat());
        broker.expect("broker ");
        broker
    });
    // One worker: it is at home with one of the two, and the other passes on what it gets.
    let record = world.path("record");
    let args = ["--name", "w1", "--worker", "--concurrency", "32", "--work", "0.02"];
    let args = [&QUICK[..], &args, &["--record", record.to_str().unwrap()]].concat();
    let mut server = hosts.start(&world, "w1", SERVER, &args);
    server.expect("serving translate");
    for broker in &mut brokers {
        broker.expect("sees 1 peers, translate 1 workers");
    }
    let mut clients = ["c1", "c2"].map(|name| {
        let args = ["--rate", "100", "--seconds", "12"];
        let mut client = hosts.start(&world, name, LOAD, &[&QUICK[..], &args].concat());
        client.expect("calling 1200");
        client
    });
    // Both live, both go on with the worker, and neither sees the other.
    hosts.cut("b1", "b2");
    for broker in &mut brokers {
        broker.expect("sees 0 peers, translate 1 workers");
    }
    // Each serves while they are cut off: no call waits for the other, or for another try.
    let once = ["hello", "eng", "fra", "--repeat", "20", "--tries", "1", "--try-timeout", "10000"];
    let ran = hosts.run(&world, "c1", CLIENT, &[&once[..], &QUICK].concat()).expect(0);
    assert_eq!(ran.stdout.lines().filter(|line| *line == "bonjour").count(), 20, "{ran:?}");
    hosts.heal("b1", "b2");
    for broker in &mut brokers {
        broker.expect("sees 1 peers, translate 1 workers");
    }
    for client in &mut clients {
        // Each call has ended once: with its answer.
        client.expect("answered 1200, lost 0");
        assert!(client.end().0.success());
    }
    let mut runs: BTreeMap<String, u32> = BTreeMap::new();
    for key in std::fs::read_to_string(record).unwrap().lines() {
        *runs.entry(key.to_owned()).or_default() += 1;
    }
    assert!(runs.len() >= 2_400, "{}", runs.len());
    assert!(runs.values().all(|times| *times == 1), "some ran twice");
    // The cut fell into the load: both brokers have worked on it.
    for broker in &mut brokers {
        broker.signal("INT");
        let (_, lines) = broker.end();
        assert!(!lines.last().unwrap().starts_with("done: 0 requests"), "{lines:?}");
    }
}
