//! Two name servers on a real network that is cut between them while both live.
#![allow(clippy::unwrap_used, reason = "it is a test")]

#[path = "../../../crates/motet-cli/tests/process/hosts.rs"]
mod hosts;
#[path = "../../../crates/motet-cli/tests/process/mod.rs"]
mod process;

use std::path::PathBuf;

use hosts::Hosts;
use process::{Process, World};

const SERVER: &str = env!("CARGO_BIN_EXE_name-server");
const CLIENT: &str = env!("CARGO_BIN_EXE_name-client");
/// Deaths are noticed after a second.
const QUICK: [&str; 2] = ["--timeout", "1000"];

#[test]
fn ns_9_name_servers_cut_off_from_each_other_register_on_and_hold_the_union_when_healed() {
    let Some(hosts) = Hosts::new(&["a", "b", "a1", "b1", "a2", "b2"]) else { return };
    let world = World::new();
    // The program of the other example; `cargo test` builds it beside these.
    let beside: PathBuf = PathBuf::from(CLIENT).with_file_name("trans-server");
    let program = beside.to_str().unwrap();
    let registering = |host: &'static str| -> Process {
        // A lease of a minute: what goes is removed, nothing runs out.
        let args = ["--name", host, "--group", "dev", "--ttl", "60000"];
        let mut server = hosts.start(&world, host, program, &[&QUICK[..], &args].concat());
        server.expect("registered in dev");
        server
    };
    let mut names = ["a", "b"].map(|host| {
        let args = [&QUICK[..], &["--name", host]].concat();
        let mut server = hosts.start(&world, host, SERVER, &args);
        server.expect("name server ");
        server
    });
    names[0].expect("holds 0 names, sees 1 peers");
    names[1].expect("holds 0 names, sees 1 peers");
    let mut early = ["a1", "b1"].map(registering);
    for server in &mut names {
        server.expect("holds 2 names, sees 1 peers");
    }
    // Two halves: nothing passes between a, a1, a2 and b, b1, b2.
    let halves = || ["a", "a1", "a2"].into_iter().flat_map(|a| ["b", "b1", "b2"].map(|b| (a, b)));
    halves().for_each(|(one, other)| hosts.cut(one, other));
    for server in &mut names {
        server.expect("holds 2 names, sees 0 peers");
    }
    // Each half removes one, and registers another.
    for server in &mut early {
        server.signal("INT");
        assert!(server.end().0.success());
    }
    for server in &mut names {
        server.expect("holds 1 names, sees 0 peers");
    }
    let _late = ["a2", "b2"].map(registering);
    for server in &mut names {
        server.expect("holds 2 names, sees 0 peers");
    }
    halves().for_each(|(one, other)| hosts.heal(one, other));
    for server in &mut names {
        server.expect("holds 2 names, sees 1 peers");
    }
    // The union without what was removed: each of the two is the newcomer of one half.
    let found = |host: &str| {
        let ran = hosts.run(&world, host, CLIENT, &[&QUICK[..], &["--call", "hello"]].concat());
        let ran = ran.expect(0);
        let there = ran.stdout.lines().filter(|line| line.starts_with("there: ")).count();
        assert_eq!(there, 2, "{ran:?}");
        let answered = ran.stdout.lines().filter(|line| line.ends_with(": bonjour salut")).count();
        assert_eq!(answered, 2, "{ran:?}");
    };
    found("a1");
    found("b1");
}
