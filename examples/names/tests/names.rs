//! Name servers, with real processes on one host.

#![allow(clippy::unwrap_used, reason = "it is a test")]

#[path = "../../../crates/motet-cli/tests/process/mod.rs"]
mod process;

use std::path::PathBuf;

use process::{Process, Ran, World};

const SERVER: &str = env!("CARGO_BIN_EXE_name-server");
const CLIENT: &str = env!("CARGO_BIN_EXE_name-client");
const QUICK: [&str; 3] = ["--host-only", "--timeout", "1000"];

fn start(world: &World, program: &str, args: &[&str]) -> Process {
    world.start(program, &[&QUICK[..], args].concat())
}

fn name_server(world: &World, name: &str) -> Process {
    let mut server = start(world, SERVER, &["--name", name]);
    server.expect("name server ");
    server
}

/// The program of the other example; `cargo test` builds it beside these.
fn trans_server(world: &World, group: &str, args: &[&str]) -> Process {
    let beside: PathBuf = PathBuf::from(CLIENT).with_file_name("trans-server");
    let program = beside.to_str().unwrap().to_owned();
    let mut server =
        start(world, &program, &[&["--group", group, "--ttl", "1500"][..], args].concat());
    server.expect("serving");
    server
}

fn find(world: &World, args: &[&str]) -> Ran {
    world.run(CLIENT, &[&QUICK[..], args].concat())
}

fn there(ran: &Ran) -> usize {
    ran.stdout.lines().filter(|line| line.starts_with("there: translate at ")).count()
}

#[test] // NS-2 B-23
fn ns_1_what_registers_is_found_at_each_name_server_and_also_after_the_death_of_one() {
    let world = World::new();
    let mut a = name_server(&world, "a");
    let mut b = name_server(&world, "b");
    a.expect("holds 0 names, sees 1 peers");
    let _server = trans_server(&world, "dev", &[]);
    // Both hold it, whichever it asked.
    a.expect("holds 1 names, sees 1 peers");
    b.expect("holds 1 names, sees 1 peers");
    assert_eq!(there(&find(&world, &[]).expect(0)), 1);
    a.kill();
    b.expect("holds 1 names, sees 0 peers");
    assert_eq!(there(&find(&world, &[]).expect(0)), 1);
}

#[test]
fn ns_3_a_name_server_that_restarts_empty_learns_everything_again() {
    let world = World::new();
    let mut a = name_server(&world, "a");
    let mut b = name_server(&world, "b");
    let _servers = [trans_server(&world, "dev", &[]), trans_server(&world, "dev", &[])];
    a.expect("holds 2 names");
    b.expect("holds 2 names");
    a.kill();
    // From the other one,
    let mut again = name_server(&world, "a");
    again.expect("holds 2 names");
    b.kill();
    again.kill();
    // and with nobody to ask, from the registrations.
    let mut alone = name_server(&world, "c");
    alone.expect("holds 2 names, sees 0 peers");
}

#[test]
fn ns_4_a_dead_server_disappears_after_its_time() {
    let world = World::new();
    let mut a = name_server(&world, "a");
    let mut server = trans_server(&world, "dev", &[]);
    a.expect("holds 1 names");
    server.kill();
    a.expect("holds 0 names");
    find(&world, &[]).expect(1);
}

#[test] // NS-7
fn ns_5_a_client_gets_all_instances_and_calls_each_directly() {
    let world = World::new();
    let mut a = name_server(&world, "a");
    let _servers =
        ["s1", "s2", "s3"].map(|name| trans_server(&world, "dev", &["--name", name, "--sign"]));
    a.expect("holds 3 names");
    let ran = find(&world, &["--call", "goodbye"]).expect(0);
    assert_eq!(there(&ran), 3);
    for name in ["s1", "s2", "s3"] {
        let answer = format!(": {name} au revoir");
        assert_eq!(ran.stdout.lines().filter(|line| line.ends_with(&answer)).count(), 1, "{ran:?}");
    }
}

#[test]
fn ns_6_groups_do_not_see_each_other() {
    let world = World::new();
    let mut a = name_server(&world, "a");
    let _servers = [trans_server(&world, "dev", &[]), trans_server(&world, "test", &[])];
    a.expect("holds 2 names");
    for (group, n) in [("dev", 1), ("test", 1), ("prod", 0)] {
        let ran = find(&world, &["--group", group]);
        assert_eq!((there(&ran), ran.status.success()), (n, n > 0), "{ran:?}");
    }
}

#[test]
fn ns_8_a_goodbye_removes_the_entry_at_once_everywhere_and_a_watch_tells_it() {
    let world = World::new();
    let mut a = name_server(&world, "a");
    let mut b = name_server(&world, "b");
    a.expect("holds 0 names, sees 1 peers");
    let mut watch = start(&world, CLIENT, &["--watch"]);
    watch.expect("watching translate");
    // A lease of a minute: only a goodbye ends it.
    let mut server = trans_server(&world, "dev", &["--ttl", "60000"]);
    a.expect("holds 1 names");
    b.expect("holds 1 names");
    watch.expect("there: translate");
    server.signal("INT");
    watch.expect("gone: translate");
    a.expect("holds 0 names");
    b.expect("holds 0 names");
    assert!(server.end().0.success());
}
