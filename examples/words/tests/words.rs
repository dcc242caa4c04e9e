//! Words, with real processes on one host.

#[path = "../../../crates/motet-cli/tests/process/mod.rs"]
mod process;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use motet_example_words::WORDS;
use process::{Process, World};

const PUB: &str = env!("CARGO_BIN_EXE_word-pub");
const SUB: &str = env!("CARGO_BIN_EXE_word-sub");

fn publisher(world: &World, args: &[&str]) -> Process {
    let mut publisher = world.start(PUB, &process::with("--host-only", args));
    publisher.expect("starting publisher");
    publisher
}

fn subscriber(world: &World, args: &[&str]) -> Process {
    let mut subscriber = world.start(SUB, &process::with("--host-only", args));
    subscriber.expect("subscribing to");
    subscriber
}

/// Lines `code: word` of a process that has ended.
fn words(lines: &[String]) -> Vec<(&str, &str)> {
    lines.iter().filter_map(|line| line.split_once(": ")).collect()
}

fn french(word: &str) -> bool {
    WORDS.iter().any(|[_, fra, _]| *fra == word)
}

#[test]
fn wp_1_a_subscriber_to_fra_prints_exactly_n_french_words() {
    let world = World::new();
    let _publisher = publisher(&world, &["--interval", "5"]);

    let (status, lines) = subscriber(&world, &["--lang", "fra", "--wordcount", "20"]).end();

    assert!(status.success());
    assert_eq!(lines[0], "subscribing to 20 'fra' words...");
    assert_eq!(lines[lines.len() - 2..], ["finishing...", "done."]);
    let words = words(&lines);
    assert_eq!((words.len(), lines.len()), (20, 23), "{lines:#?}");
    assert!(words.iter().all(|(code, word)| *code == "fra" && french(word)), "{words:?}");
}

#[test]
fn wp_2_three_subscribers_together_receive_every_word_once_and_none_of_another_language() {
    let world = World::new();
    let mut readers: Vec<Process> = ["eng", "fra", "esp"]
        .iter()
        .map(|lang| subscriber(&world, &["--lang", lang, "--wordcount", "1000000"]))
        .collect();
    let mut publisher = publisher(&world, &["--interval", "5"]);
    // Only what is said once all three read is expected of them.
    for _ in 0..3 {
        publisher.expect("added: ");
    }
    for _ in 0..100 {
        publisher.expect("");
    }
    publisher.signal("INT");
    let (status, said) = publisher.end();
    assert!(status.success());

    let joined = said.iter().rposition(|line| line.starts_with("added: ")).unwrap();
    let mut said_of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (code, word) in words(&said[joined..]).into_iter().filter(|(code, _)| code.len() == 3) {
        said_of.entry(code).or_default().push(word);
    }
    for (reader, lang) in readers.iter_mut().zip(["eng", "fra", "esp"]) {
        reader.expect_remark("left");
        reader.signal("INT");
        let (_, lines) = reader.end();
        let heard = words(&lines);
        assert!(heard.iter().all(|(code, _)| *code == lang), "{heard:?}");
        let heard: Vec<&str> = heard.into_iter().map(|(_, word)| word).collect();
        assert!(heard.ends_with(&said_of[lang]), "said {:?}, heard {heard:?}", said_of[lang]);
    }
}

#[test]
fn wp_3_a_killed_subscriber_stops_nobody_and_the_publisher_logs_its_removal() {
    let world = World::new();
    let mut publisher = publisher(&world, &["--interval", "5", "--timeout", "1000"]);
    let mut stays = subscriber(&world, &["--lang", "eng", "--wordcount", "1000000"]);
    let mut dies = subscriber(&world, &["--lang", "eng", "--name", "short-lived"]);
    dies.expect("eng: ");
    stays.expect("eng: ");
    dies.kill();
    publisher.expect("removed: short-lived no longer reads words/eng");
    // What is read from here on was said after the removal, but for what waits in the pipe.
    for _ in 0..200 {
        stays.expect("eng: ");
    }
}

#[test]
fn wp_4_subscribers_continue_by_themselves_after_the_publisher_was_killed_and_restarted() {
    let world = World::new();
    let mut first = publisher(&world, &["--interval", "20", "--name", "speaker"]);
    let mut reader =
        subscriber(&world, &["--lang", "eng", "--wordcount", "1000000", "--timeout", "1000"]);
    reader.expect("eng: ");
    first.kill();
    reader.expect_remark("died");

    let _second = publisher(&world, &["--interval", "20", "--name", "speaker"]);

    reader.expect_remark("there");
    for _ in 0..20 {
        reader.expect("eng: ");
    }
}

#[test]
fn wp_5_a_subscriber_that_names_two_languages_gets_both_and_no_third() {
    let world = World::new();
    let _publisher = publisher(&world, &["--interval", "5"]);
    let (status, lines) =
        subscriber(&world, &["--lang", "esp", "--lang", "eng", "--wordCount", "60"]).end();
    assert!(status.success());
    let codes: BTreeSet<&str> = words(&lines).into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, BTreeSet::from(["eng", "esp"]));
}

#[test] // PS-3
fn wp_8_a_subscriber_that_stops_reading_blocks_nobody_and_drops_are_visible() {
    let world = World::new();
    let small = ["--queue", "6400"]; // 100 messages, as the original had it
    let mut publisher = publisher(&world, &[&["--interval", "0.1"][..], &small].concat());
    let mut reads = subscriber(&world, &["--lang", "eng", "--wordcount", "1000000"]);
    // Nobody reads its output: once the pipe is full, it stops.
    let mut deaf = world.command(SUB, &["--host-only", "--name", "deaf", "--wordcount", "1000000"]);
    let deaf = deaf.args(["--lang", "eng", "--lang", "fra", "--lang", "esp"]).args(small);
    let mut deaf =
        deaf.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();

    let dropped = publisher.expect("dropped: ");
    assert!(dropped.ends_with("for deaf"), "{dropped}");
    reads.told.clear();
    for _ in 0..1_000 {
        reads.expect("eng: ");
    }
    deaf.kill().unwrap();
    deaf.wait().unwrap();
}

#[test]
fn wp_9_two_subscribers_with_one_name_do_not_overwrite_one_another() {
    let world = World::new();
    let mut publisher = publisher(&world, &["--interval", "20"]);
    let mut older = subscriber(&world, &["--name", "twin", "--wordcount", "1000000"]);
    older.expect("eng: ");
    // A newcomer that was given the name by a flag is told, and ends.
    let mut newer = world.start(SUB, &["--host-only", "--name", "twin", "--wordcount", "1000000"]);
    let (status, _) = newer.end();
    assert_eq!(status.code(), Some(4));
    for _ in 0..10 {
        older.expect("eng: ");
    }
    assert!(
        !publisher
            .says("removed: twin no longer reads words/eng (Silent)", Duration::from_millis(200))
    );
}

#[test]
fn wp_10_noise_on_the_publishers_port_is_refused_and_crashes_nobody() {
    let world = World::new();
    let mut publisher = publisher(&world, &["--interval", "20"]);
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for port in 37_321..37_337 {
        for noise in [&b""[..], b"x", &[0xab, 0xc1, 1, 0], &[0xff; 1_200], &[0; 64]] {
            // A port that nobody has refuses: that is not looked at here.
            let _ = socket.send_to(noise, ("127.0.0.1", port));
        }
    }
    let (status, lines) = subscriber(&world, &["--wordcount", "5"]).end();
    assert!(status.success(), "{lines:#?}");
    publisher.expect("removed: ");
}

#[test]
fn wp_12_a_silent_publisher_and_a_dead_one_are_told_apart() {
    let world = World::new();
    // One word in 10 minutes: silent, but alive.
    let mut publisher = publisher(&world, &["--interval", "600000"]);
    let all = ["--lang", "eng", "--lang", "fra", "--lang", "esp"];
    let mut reader = subscriber(&world, &[&all[..], &["--timeout", "1000"]].concat());
    reader.expect_remark("there");
    assert!(!reader.says("finishing", Duration::from_millis(2_500)));
    assert!(!reader.remarks().iter().any(|remark| remark.contains("died")));
    publisher.kill();
    reader.expect_remark("died");
}
