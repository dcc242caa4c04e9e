//! `motet explain` and `motet doctor A B`, asked by a third endpoint of real ones.
#![allow(clippy::unwrap_used, reason = "it is a test")]

mod process;

use process::{Process, Ran, World};

const MOTET: &str = env!("CARGO_BIN_EXE_motet");

fn ready(world: &World, name: &str, args: &[&str]) -> Process {
    let all = [&["--scope", "host", "--name", name, "--log", "info"], args].concat();
    world.start(MOTET, &all)
}

fn explain(world: &World, args: &[&str]) -> Ran {
    world.run(MOTET, &[&["--scope", "host", "explain"], args].concat())
}

/// A reader and a writer that have each other.
fn pair(world: &World, read: &str, write: &str, reader: &[&str], writer: &[&str]) -> [Process; 2] {
    let bob = ready(world, "bob", &[&["sub", read], reader].concat());
    let words = ["pub", write, "--count", "100000", "--interval", "50ms", "hello {{Count}}"];
    let alice = ready(world, "alice", &[&words[..], writer].concat());
    bob.expect_remark("alice");
    alice.expect_remark("bob");
    [alice, bob]
}

#[test]
fn a_third_endpoint_sees_what_arrives_how_fast_and_by_what() {
    let world = World::new();
    let [_alice, mut bob] = pair(&world, "line1/*", "line1/temp", &[], &[]);
    bob.expect("hello");
    let ran = explain(&world, &["alice", "bob", "line1/temp"]).expect(0);
    let line = ran.stdout.trim_end();
    assert_eq!(line.lines().count(), 1, "{ran:#?}");
    assert!(line.starts_with("bob gets line1/temp from alice: by unicast, "), "{line}");
    assert!(line.contains("/s, last message") && !line.contains("do:"), "{line}");
}

#[test]
fn json_has_the_state_or_the_reason_and_the_remedy_and_the_evidence() {
    let world = World::new();
    let [_alice, mut bob] = pair(&world, "line1/temp", "line1/temp", &[], &[]);
    bob.expect("hello");
    let json = |topic: &str, code| {
        let ran = explain(&world, &["alice", "bob", topic, "-o", "json"]).expect(code);
        serde_json::from_str::<serde_json::Value>(&ran.stdout).unwrap()
    };
    let flows = json("line1/temp", 0);
    assert_eq!(flows["state"], "receiving");
    assert_eq!(
        (&flows["writer"]["name"], &flows["topic"]),
        (&"alice".into(), &"line1/temp".into())
    );
    assert!(flows["reason"].is_null() && flows["remedy"].is_null(), "{flows}");
    assert!(flows["rate"].as_f64().unwrap() > 1.0, "{flows}");
    let typo = json("line1/tmp", 1);
    assert_eq!(typo["reason"], "not_published");
    assert!(typo["state"].is_null(), "{typo}");
    assert!(typo["remedy"].as_str().unwrap().contains("line1/temp"), "{typo}");
    let evidence = typo["evidence"].as_array().unwrap();
    for who in ["alice says", "bob says"] {
        assert!(evidence.iter().any(|line| line.as_str().unwrap().starts_with(who)), "{typo}");
    }
}

#[test]
fn a_name_that_nobody_has_is_not_found_and_the_nearest_is_named() {
    let world = World::new();
    let _both = pair(&world, "line1/temp", "line1/temp", &[], &[]);
    let ran = explain(&world, &["alicd", "bob", "line1/temp"]).expect(3);
    assert!(
        ran.stdout.contains("no endpoint alicd") && ran.stdout.contains("\"alice\""),
        "{ran:#?}"
    );
    assert!(ran.stdout.contains("endpoints heard"), "{ran:#?}");
}

#[test]
fn a_filter_with_a_typo_and_types_that_differ_are_told_from_each_other() {
    let world = World::new();
    let _both =
        pair(&world, "line1/tmp", "line1/temp", &["--type", "float64"], &["--type", "int32"]);
    let ran = explain(&world, &["alice", "bob", "line1/temp"]).expect(1);
    assert!(ran.stdout.contains("the nearest is \"line1/tmp\""), "{ran:#?}");
    let carol = ready(&world, "carol", &["sub", "line1/temp", "--type", "float64"]);
    carol.expect_remark("its type here is");
    let ran = explain(&world, &["alice", "carol", "line1/temp"]).expect(1);
    assert!(ran.stdout.contains("\"int32\" at alice and \"float64\" at carol"), "{ran:#?}");
}

#[test]
fn a_program_that_does_not_read_is_paused_and_a_stopped_one_does_not_answer() {
    let world = World::new();
    std::fs::create_dir_all(&world.state).unwrap();
    process::set_mode(&world.state, 0o700);
    std::fs::write(world.path("large"), vec![b'x'; 200_000]).unwrap();
    // Its output is a pipe that nobody reads: it stands still once that is full.
    let mut sub = world.command(MOTET, &["--scope", "host", "--name", "bob", "sub", "line1/temp"]);
    sub.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut bob = sub.spawn().unwrap();
    let body = format!("@{}", world.path("large").display());
    let words = ["pub", "line1/temp", "--count", "100000", "--interval", "10ms", &body];
    let alice = ready(&world, "alice", &words);
    alice.expect_remark("bob");
    let says = |part: &str| {
        let asked = || explain(&world, &["alice", "bob", "line1/temp", "--timeout", "2s"]);
        let mut last = String::new();
        let found = (0..60).any(|_| {
            last = asked().stdout;
            last.contains(part)
        });
        assert!(found, "{part:?} is never said, but {last}");
        last
    };
    let line = says("the program of bob has not read for");
    assert!(line.contains("let the program of bob read on"), "{line}");
    let mut stop = std::process::Command::new("kill");
    assert!(stop.args(["-STOP", &bob.id().to_string()]).status().unwrap().success());
    says("bob does not answer");
    bob.kill().unwrap();
    bob.wait().unwrap();
}

#[test]
fn a_reader_that_was_killed_is_suspended_and_its_port_refuses() {
    let world = World::new();
    // A port that whoever asks does not take once it is free.
    let own_port = ["--listen", "127.0.0.1:0"];
    let [_alice, mut bob] = pair(&world, "line1/temp", "line1/temp", &own_port, &[]);
    bob.expect("hello");
    bob.kill();
    let mut last = String::new();
    let found = (0..200).any(|_| {
        last = explain(&world, &["alice", "bob", "line1/temp", "--timeout", "2s"]).stdout;
        last.contains("refused, no program listens there")
    });
    assert!(found, "{last}");
    assert!(last.contains("bob has been silent for") && last.contains("kept for"), "{last}");
}

#[test]
fn another_secret_under_the_same_realm_name_is_named_with_the_invitation() {
    let (world, stranger) = (World::new(), World::new());
    let _bob = ready(&world, "bob", &["sub", "line1/temp"]);
    // It speaks all the time: a start beacon alone may be over before we listen.
    let _alice = ready(
        &stranger,
        "alice",
        &["pub", "line1/temp", "--count", "100000", "--interval", "50ms", "x"],
    );
    let ran = explain(&world, &["alice", "bob", "line1/temp"]).expect(4);
    assert!(ran.stdout.contains("this realm's name with another secret"), "{ran:#?}");
    assert!(ran.stdout.contains("motet realm invite"), "{ran:#?}");
}

#[test]
fn doctor_looks_at_both_ends_of_a_pair_and_a_filter_is_no_topic() {
    let world = World::new();
    let _both = pair(&world, "line1/temp", "line1/temp", &[], &[]);
    let ran = world.run(MOTET, &["--scope", "host", "doctor", "alice", "bob"]);
    for part in ["alice reaches bob", "bob reaches alice", "the clock of bob", "both run"] {
        assert!(ran.stdout.contains(part), "{part:?} is missing: {ran:#?}");
    }
    explain(&world, &["alice", "bob", "line1/*"]).expect_error(2, &["one topic"]);
}
