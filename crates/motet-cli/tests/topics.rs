//! Publishing, reading and looking at topics, with real processes on one host.

mod process;

use std::process::Stdio;
use std::time::Duration;

use process::World;
use serde_json::Value;

const MOTET: &str = env!("CARGO_BIN_EXE_motet");

/// `motet --scope host ARGS`.
fn host<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &["--scope", "host"]].concat()
}

#[track_caller]
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

#[test]
fn ps_1_a_publisher_told_to_wait_for_its_readers_sends_nothing_before_and_each_gets_all() {
    let world = World::new();
    let mut first = world.start(MOTET, &host(&["sub", "line1/temp", "-R", "-C", "3"]));
    let publisher =
        ["pub", "line1/temp", "-m", "21.5", "--count", "3", "-w", "2", "--timeout", "30s"];
    let mut publisher = world.start(MOTET, &host(&publisher));
    let mut second = world.start(MOTET, &host(&["sub", "line1/temp", "-R", "-C", "3"]));

    for reader in [&mut first, &mut second] {
        let (status, lines) = reader.end();
        assert!(status.success());
        assert_eq!(lines, ["21.5", "21.5", "21.5"]);
    }
    assert!(publisher.end().0.success());
}

#[test]
fn ps_2_a_body_that_looks_like_a_topic_never_matches() {
    let world = World::new();
    let mut reader = world.start(MOTET, &host(&["sub", "a/b", "-C", "1"]));
    world.run(MOTET, &host(&["pub", "c/d", "a/b", "--quiet"])).expect(0);
    world.run(MOTET, &host(&["pub", "a/b", "c/d", "-w", "1", "--timeout", "30s"])).expect(0);
    assert_eq!(reader.end().1, ["c/d"]);
}

#[test]
fn all_1_start_order_is_free_and_a_late_reader_has_the_last_value() {
    let world = World::new();
    let talk = ["pub", "line1/temp", "-m", "20", "--interval", "1h", "--name", "sensor"];
    let mut publisher = world.start(MOTET, &host(&talk));
    let reader = ["sub", "line1/*", "-C", "1", "-o", "json", "-W", "30"];
    let read = world.run(MOTET, &host(&reader)).expect(0);
    let message = json(&read.stdout);
    assert_eq!(message["payload"], "20");
    assert_eq!(
        (&message["topic"], &message["writer_name"]),
        (&"line1/temp".into(), &"sensor".into())
    );
    publisher.signal("INT");
    assert_eq!(publisher.end().0.code(), Some(130));
}

#[test]
fn all_8_what_is_up_can_be_seen_and_every_list_is_valid_json() {
    let world = World::new();
    let talk =
        ["pub", "line1/temp", "-m", "20", "--rate", "50", "--name", "sensor", "--type", "celsius"];
    let _publisher = world.start(MOTET, &host(&talk));
    let mut reader = world.start(MOTET, &host(&["sub", "line1/**", "--name", "display"]));
    reader.expect("20");

    let run = |args: &[&str]| json(&world.run(MOTET, &host(args)).expect(0).stdout);
    let endpoints = run(&["endpoint", "list", "-o", "json"]);
    let names: Vec<&str> =
        endpoints.as_array().unwrap().iter().map(|each| each["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["display", "sensor"], "{endpoints:#}");
    assert_eq!(run(&["members", "-o", "json"]).as_array().unwrap().len(), 2);
    let topics = run(&["topic", "ls", "-o", "json"]);
    assert_eq!(
        (&topics[0]["topic"], &topics[0]["types"][0]),
        (&"line1/temp".into(), &"celsius".into())
    );
    assert_eq!(run(&["topic", "list", "-v", "-o", "json"])[0]["writers"][0]["name"], "sensor");
    assert_eq!(run(&["topic", "list", "-c", "-o", "json"])["topics"], 1);
    assert_eq!(
        run(&["topic", "info", "line1/temp", "-o", "json"])["readers"][0]["name"],
        "display"
    );
    assert_eq!(run(&["node", "info", "sensor", "-o", "json"])["endpoint"]["name"], "sensor");
    assert_eq!(run(&["endpoint", "ping", "sensor", "-c", "1", "-o", "json"])["n"], 1);
    for verb in ["hz", "bw", "delay"] {
        run(&["topic", verb, "line1/temp", "-C", "1", "-o", "json"]);
    }
    assert!(run(&["realm", "show", "-o", "json"]).is_array());
    let doctor = world.run(MOTET, &host(&["doctor", "-o", "json"]));
    assert!(json(&doctor.stdout).is_array(), "{doctor:#?}");

    let near = world.run(MOTET, &host(&["topic", "info", "line1/tmp", "--quiet"]));
    near.expect_error(3, &["M0308", "line1/temp"]);
}

#[test]
fn all_10_a_client_that_gives_up_says_what_it_tried_and_for_how_long() {
    let world = World::new();
    let late = world.run(MOTET, &host(&["pub", "a", "x", "-w", "1", "--timeout", "300ms"]));
    late.expect_error(27, &["M0301", "0 of 1 readers", "300ms"]);
    let late = world.run(MOTET, &host(&["sub", "a", "-C", "1", "-W", "0.3"]));
    late.expect_error(27, &["M0301", "300ms"]);
    let late = world.run(MOTET, &host(&["endpoint", "ping", "nobody", "--timeout", "300ms"]));
    late.expect_error(3, &["M0302", "nobody", "300ms"]);
    let late = world.run(MOTET, &host(&["endpoint", "send", "nobody", "x", "--timeout", "300ms"]));
    late.expect_error(3, &["M0302", "nobody", "300ms"]);
}

#[test]
fn all_6_sigint_ends_a_reader_after_its_goodbye_and_stdin_that_ends_stops_nobody() {
    let world = World::new();
    let talk = ["pub", "a", "-m", "x", "--rate", "20", "--log", "info", "--liveness", "lazy"];
    let publisher = world.start(MOTET, &host(&talk));
    let mut reader = world.start(MOTET, &host(&["sub", "a", "--name", "guest"]));
    reader.expect("x");
    reader.signal("TERM");
    assert_eq!(reader.end().0.code(), Some(130));
    assert!(publisher.expect_remark("guest is gone").contains("Left"));
}

#[test]
fn all_9_a_newcomer_whose_name_is_held_ends_with_4() {
    let world = World::new();
    let mut older = world.start(MOTET, &host(&["sub", "a", "--name", "press"]));
    world.run(MOTET, &host(&["pub", "a", "x", "-w", "1", "--timeout", "30s"])).expect(0);
    older.expect("x");
    let newer = world.run(MOTET, &host(&["sub", "a", "--name", "press", "-W", "30"]));
    newer.expect_error(4, &["M0305", "press"]);
    world.run(MOTET, &host(&["pub", "a", "y", "-w", "1", "--timeout", "30s"])).expect(0);
    older.expect("y");
}

#[test]
fn sv_6_programs_on_one_host_find_each_other_without_multicast_and_without_settings() {
    let world = World::new();
    let off = ["--multicast", "off"];
    let mut reader = world.start(MOTET, &host(&[&["sub", "a", "-C", "1"][..], &off].concat()));
    let publisher = ["pub", "a", "x", "-w", "1", "--timeout", "30s"];
    world.run(MOTET, &host(&[&publisher[..], &off].concat())).expect(0);
    assert_eq!(reader.end().1, ["x"]);
}

#[test]
fn all_7_an_idle_endpoint_without_peers_uses_about_no_cpu() {
    let world = World::new();
    let args = ["sub", "a", "--log", "debug"];
    let mut idle = world.start(MOTET, &host(&args));
    idle.expect_remark("Settled");
    let ticks = |idle: &process::Process| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", idle.pid())).unwrap();
        let fields = stat.rsplit(')').next().unwrap().split_whitespace();
        fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>()
    };
    let before = ticks(&idle);
    assert!(!idle.says("", Duration::from_secs(2)));
    // A tick is 10 ms: 2.5 % of the 2 s.
    assert!(ticks(&idle) - before <= 5, "{} ticks", ticks(&idle) - before);
}

#[test]
fn a_closed_pipe_ends_a_reader_quietly() {
    let world = World::new();
    let _publisher = world.start(MOTET, &host(&["pub", "a", "-m", "x", "--rate", "100"]));
    let mut command = world.command(MOTET, &host(&["sub", "a"]));
    let mut reader =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(reader.stdout.take());
    let ended = reader.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr)), (Some(0), "".into()));
}

#[test]
fn messages_come_from_arguments_files_lines_and_stdin_and_go_in_any_form() {
    let world = World::new();
    let form = ["sub", "a", "-F", "%t %p %l %k", "-C", "5", "-R"];
    let mut reader = world.start(MOTET, &host(&form));
    let file = std::env::temp_dir().join(world.state.file_name().unwrap()).with_extension("txt");
    std::fs::write(&file, "of a file").unwrap();
    let from = format!("@{}", file.display());
    let wait = ["-w", "1", "--timeout", "30s"];
    let publish = |args: &[&str], input: &[u8]| {
        world.run_with(MOTET, &host(&[&["pub", "a"][..], args, &wait].concat()), input).expect(0);
    };
    publish(&[&from], b"");
    publish(&["-l"], b"one\ntwo\n");
    publish(&["-s"], b"whole");
    publish(&["-n", "--msg-key", "k7"], b"");
    std::fs::remove_file(file).unwrap();
    let (_, lines) = reader.end();
    assert_eq!(lines, ["a of a file 9 ", "a one 3 ", "a two 3 ", "a whole 5 ", "a  0 k7"]);
}

#[test]
fn topic_info_names_the_carrier_of_each_reader_and_why() {
    let world = World::new();
    let _readers = ["one", "two", "three"]
        .map(|name| world.start(MOTET, &host(&["sub", "t/*", "--name", name])));
    let mut writers = Vec::new();
    for (topic, lane) in [("t/by-lane", "always"), ("t/by-each", "never")] {
        let talk = ["pub", topic, "-m", "x", "--rate", "50", "-w", "3", "--lane", lane];
        writers.push(world.start(MOTET, &host(&[&talk[..], &["--timeout", "30s"]].concat())));
    }
    let info = |topic: &str| {
        json(&world.run(MOTET, &host(&["topic", "info", topic, "-o", "json"])).stdout)
    };
    let carriers = |topic: &str| -> Vec<Value> {
        let told = info(topic);
        let readers = told["readers"].as_array().cloned().unwrap_or_default();
        readers.into_iter().map(|reader| reader["carrier"].clone()).collect()
    };
    // Both publishers wait for their readers, and a lane for its proof: asked until it is so.
    for (topic, carrier) in [("t/by-lane", "lane"), ("t/by-each", "unicast")] {
        let mut told = Vec::new();
        let settled = (0..ASKED_MAX).any(|_| {
            told = carriers(topic);
            told == [carrier; 3]
        });
        assert!(settled, "{topic}: {told:?}");
    }
    for reader in info("t/by-each")["readers"].as_array().unwrap() {
        assert_eq!(
            (&reader["carrier"], &reader["why"]),
            (&"unicast".into(), &"policy never".into())
        );
        assert!(reader["by"].as_str().unwrap().starts_with("127.0.0.1:"), "{reader}");
    }
    for reader in info("t/by-lane")["readers"].as_array().unwrap() {
        assert_eq!((&reader["by"], &reader["lane_readers"]), (&"lo".into(), &3.into()), "{reader}");
    }
    let text = world.run(MOTET, &host(&["topic", "info", "t/by-lane"])).expect(0).stdout;
    assert!(text.contains("lane always") && text.contains("on lo for"), "{text}");
}

/// Each question takes a third of a second.
const ASKED_MAX: usize = 100;
