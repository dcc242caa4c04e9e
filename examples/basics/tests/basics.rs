//! The exercises, with real processes on one host.

#[path = "../../../crates/motet-cli/tests/process/mod.rs"]
mod process;

use process::{Process, Ran, World};

const SERVER: &str = env!("CARGO_BIN_EXE_basics-server");
const CLIENT: &str = env!("CARGO_BIN_EXE_basics-client");

fn server(world: &World, args: &[&str]) -> Process {
    let mut server = world.start(SERVER, &[args, &["--host-only"]].concat());
    server.expect("serving");
    server
}

fn client(world: &World, args: &[&str], input: &str) -> Ran {
    world.run_with(CLIENT, &[args, &["--host-only"]].concat(), input.as_bytes())
}

#[test]
fn ex_1_any_text_returns_unchanged_and_the_client_ends_with_statistics() {
    let world = World::new();
    let _server = server(&world, &["echo"]);
    let ran = client(&world, &["echo"], "adiós\n\n  two  spaces\nquit\nnot sent\n").expect(0);
    let prompt = "echocli: ";
    let said =
        format!("{prompt}adiós\n{prompt}\n{prompt}  two  spaces\n{prompt}\n3 lines, 19 bytes in ");
    assert!(ran.stdout.starts_with(&said), "{ran:?}");
}

#[test]
fn ex_2_hello_is_answered_with_world_and_everything_else_with_a_reason() {
    let world = World::new();
    let mut patient = server(&world, &["hello"]);
    let ran = client(&world, &["hello", "--invalid"], "hello\nHello\nhello\n").expect(1);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[0].contains("bad request"), "{lines:?}");
    assert_eq!((lines[1], lines[3]), ("echocli: world", "echocli: world"), "{lines:?}");
    assert!(lines[2].contains("say hello, not \"Hello\""), "{lines:?}");
    patient.signal("INT");
    assert_eq!(patient.end().1.last().unwrap(), "done: 1 clients, 1 invalid messages");

    let _strict = server(&world, &["hello", "--closeBadClients"]);
    let ran = client(&world, &["hello", "--invalid"], "hello\n").expect(1);
    assert!(ran.stdout.contains("refused: an earlier message was invalid"), "{ran:?}");
}

#[test]
fn ex_3_a_hundred_calculations_are_right_and_clients_share_no_state() {
    let world = World::new();
    let _server = server(&world, &["arith"]);
    // Two at once, each with a calculation that the other must not see.
    let mut one = world.start(CLIENT, &["arith", "--calc-count", "100", "--host-only"]);
    let two = client(&world, &["arith"], "6\n/\n0\n8\n*\n5\n").expect(1);
    assert!(two.stdout.contains("division by zero"), "{two:?}");
    assert!(two.stdout.contains("echocli: 40\n"), "{two:?}");
    assert_eq!(one.end().1, ["100 calculations"]);
}

#[test]
fn ex_4_state_belongs_to_a_client_and_never_leaks_into_anothers() {
    let world = World::new();
    let _server = server(&world, &["state"]);
    let first = client(&world, &["state"], "5\n7\n").expect(0);
    assert!(first.stdout.contains("echocli: 5\nechocli: 12\n"), "{first:?}");
    let second = client(&world, &["state"], "1\n").expect(0);
    assert!(second.stdout.contains("echocli: 1\n"), "{second:?}");
}

#[test]
fn ex_5_a_server_is_replaced_by_a_newer_one_without_a_failed_call() {
    let world = World::new();
    let mut old = server(&world, &["upgrade", "--serves", "1"]);
    let args = ["upgrade", "--count", "1000000", "--host-only"];
    let mut calls = world.start(CLIENT, &args);
    calls.expect("version 1");
    // The old one drains as soon as the new one is there; both serve for a moment.
    old.signal("INT");
    let _new = server(&world, &["upgrade", "--serves", "2"]);
    calls.expect("version 2");
    assert!(old.end().0.success());
    assert_eq!(calls.remarks(), Vec::<String>::new());
    assert_eq!(calls.told, ["version 1", "version 2"]);
}

fn timeouts(server_flags: &[&str], client_flags: &[&str]) -> String {
    let world = World::new();
    let _server = server(&world, &[&["timeouts"][..], server_flags].concat());
    client(&world, &[&["timeouts"][..], client_flags].concat(), "").stdout
}

#[test]
fn ex_6_each_mode_has_the_replies_that_it_is_said_to_have() {
    // Sleep is longer than an attempt.
    let quick = ["--attempt", "150"];
    let with = |mode: &[&'static str]| [mode, &quick].concat();
    let abort = timeouts(&["--sleep", "400"], &with(&["--mode", "abort"]));
    assert_eq!(abort, "1: gave up, 0 replies\n");
    let retry = timeouts(&["--sleep", "400"], &with(&["--mode", "retry"]));
    assert!(retry.starts_with("1: 1 replies of "), "{retry}");
    let resend = timeouts(&["--sleep", "250"], &with(&["--mode", "resend", "--attempts", "3"]));
    let n = resend.matches("1 0 RDY").count();
    assert!(n >= 2 && resend.contains(&format!("{n} replies of {n} attempts")), "{resend}");
    let blocked =
        timeouts(&["--sleep", "250", "--blocked"], &with(&["--mode", "resend", "--attempts", "3"]));
    let n = blocked.matches("1 0 RDY").count();
    assert!(n >= 2 && blocked.contains(&format!("{n} replies of {n} attempts")), "{blocked}");
    let backoff = timeouts(&["--sleep", "400", "--blocked"], &with(&["--mode", "backoff"]));
    assert!(backoff.ends_with("1 0 RDY\n") && backoff.starts_with("1: 1 replies"), "{backoff}");
}
