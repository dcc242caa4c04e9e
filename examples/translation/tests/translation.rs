//! Translation without a broker, with real processes on one host.

#![allow(clippy::unwrap_used, reason = "it is a test")]

#[path = "../../../crates/motet-cli/tests/process/mod.rs"]
mod process;
mod programs;

use std::time::Duration;

use process::World;
use programs::{CLIENT, POOL, ask, asker, server, start};

#[test]
fn tr_1_known_words_are_translated_and_unknown_ones_are_an_error() {
    let world = World::new();
    let _server = server(&world, "s1", &[]);
    assert_eq!(ask(&world, &[]).expect(0).stdout, "s1\nbonjour\nsalut\n");
    for question in [["cheese", "eng", "fra"], ["hello", "eng", "deu"]] {
        let ran = world.run(CLIENT, &[&question[..], &["--host-only"]].concat()).expect(1);
        assert!(ran.stderr.contains("failed: "), "{ran:?}");
        assert_eq!(ran.stdout, "");
    }
}

#[test] // ALL-1
fn tr_1_a_restart_of_the_server_between_two_requests_is_survived() {
    let world = World::new();
    let mut first = server(&world, "s1", &[]);
    let mut client = asker(&world, &["--wait", "--tries", "10"]);
    client.expect("s1");
    first.kill();
    let _second = server(&world, "s2", &[]);
    client.expect("s2");
    assert_eq!(client.remarks(), Vec::<String>::new());
}

#[test]
fn tr_2_a_word_with_two_translations_yields_both_and_accents_survive() {
    let world = World::new();
    let _server = server(&world, "s1", &[]);
    assert_eq!(ask(&world, &[]).expect(0).stdout, "s1\nbonjour\nsalut\n");
    for (word, to, meant) in [("goodbye", "esp", "adiós"), ("please", "fra", "s'il vous plaît")] {
        let ran = world.run(CLIENT, &[word, "eng", to, "--host-only"]).expect(0);
        assert_eq!(ran.stdout, format!("s1\n{meant}\n"));
    }
}

#[test] // ALL-10
fn tr_3_a_mute_server_is_given_up_after_timeout_times_tries_and_that_is_said() {
    let world = World::new();
    let mut mute = server(&world, "mute", &["--mute", "--concurrency", "9"]);
    let ran = ask(&world, &["--try-timeout", "300", "--tries", "3"]).expect(3);
    assert!(ran.stderr.contains("no answer") && ran.stderr.contains("3 attempts"), "{ran:?}");
    mute.expect("request: hello eng fra");
}

#[test]
fn tr_3_a_late_reply_is_never_taken_for_the_answer_to_a_later_request() {
    let world = World::new();
    // The first answer comes after half a second, when nobody waits for it any more.
    let mut server = server(&world, "s1", &["--delay", "0.5", "--concurrency", "9"]);
    let words = ["hello,goodbye", "eng", "esp", "--repeat", "2", "--interval", "700"];
    let tries = ["--try-timeout", "200", "--tries", "1"];
    let ran = world.run(CLIENT, &[&words[..], &tries, &["--host-only"]].concat()).expect(3);
    assert_eq!(ran.stdout, "s1\nadiós\n");
    server.expect("request: goodbye");
}

/// The times of lines `… (N ms)`.
fn took(line: &str) -> Duration {
    let ms = line.rsplit_once('(').and_then(|(_, ms)| ms.strip_suffix(" ms)"));
    Duration::from_millis(ms.and_then(|ms| ms.parse().ok()).unwrap())
}

#[test]
fn pl_1_with_two_of_three_servers_dead_the_answer_comes_within_two_timeouts() {
    let world = World::new();
    let mut dead = [server(&world, "s1", &[]), server(&world, "s2", &[])];
    let _alive = server(&world, "s3", &[]);
    let args = ["hello", "eng", "esp", "--repeat", "1000000", "--pool", "3"];
    let mut client = start(&world, POOL, &args);
    client.expect("a pool of 3");
    for server in &dead {
        server.signal("STOP");
    }
    let line = client.expect("s3 hola");
    assert!(took(&line) < Duration::from_millis(2_500), "{line}");
    for server in &mut dead {
        server.kill();
    }
    let line = client.expect("s3 hola");
    assert!(took(&line) < Duration::from_millis(2_500), "{line}");
}

#[test]
fn pl_2_with_all_dead_the_call_fails_after_one_timeout_per_server() {
    let world = World::new();
    let _dead = ["s1", "s2"].map(|name| server(&world, name, &["--mute", "--concurrency", "9"]));
    let args = ["hello", "eng", "esp", "--pool", "2", "--per-server", "400", "--host-only"];
    let ran = world.run(POOL, &args).expect(3);
    let took = took(ran.stdout.lines().last().unwrap());
    let bounds = Duration::from_millis(800)..Duration::from_millis(1_600);
    assert!(bounds.contains(&took), "{ran:?}");
}

#[test] // PL-4
fn pl_3_a_server_that_accepts_and_never_answers_is_passed_over_and_not_asked_first_again() {
    let world = World::new();
    let mut mute = server(&world, "mute", &["--mute", "--concurrency", "99"]);
    let _alive = server(&world, "s2", &[]);
    let args = ["hello", "eng", "esp", "--pool", "2", "--per-server", "500", "--repeat", "20"];
    let ran = world.run(POOL, &[&args[..], &["--host-only"]].concat()).expect(0);
    let times: Vec<Duration> =
        ran.stdout.lines().filter(|line| line.starts_with("s2 hola")).map(took).collect();
    assert_eq!(times.len(), 20, "{ran:?}");
    // Only the first may have asked the mute one.
    assert!(times[0] < Duration::from_millis(1_500), "{times:?}");
    assert!(times[1..].iter().all(|it| *it < Duration::from_millis(500)), "{times:?}");
    mute.signal("INT");
    let (_, lines) = mute.end();
    assert!(lines.iter().filter(|line| line.starts_with("request")).count() <= 1, "{lines:?}");
}
