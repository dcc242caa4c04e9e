//! Calling and offering services, with real processes on one host.

mod process;

use process::{Process, World};
use serde_json::Value;

const MOTET: &str = env!("CARGO_BIN_EXE_motet");

/// `motet --scope host ARGS`.
fn host<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["--scope", "host"], args].concat()
}

/// A server that runs and says so.
fn serve(world: &World, args: &[&str]) -> Process {
    let server = world.start(MOTET, &host(&[&["serve"], args].concat()));
    server.expect_remark("serving");
    server
}

#[test]
fn ex_1_an_echo_returns_any_text_unchanged() {
    let world = World::new();
    let _server = serve(&world, &["echo", "--echo"]);
    for text in ["hello", "", "žluťoučký kůň", "two\nlines"] {
        let ran = world.run(MOTET, &host(&["call", "echo", text, "--raw", "--timeout", "30s"]));
        assert_eq!(ran.expect(0).stdout, text);
    }
}

#[test]
fn tr_2_a_program_serves_and_accents_arrive_intact() {
    let world = World::new();
    let script = "read w; case $w in hello) printf 'bonjour\\nsalut\\n';; \
                  goodbye) echo 'adiós';; *) echo \"unknown word $w\" >&2; exit 3;; esac";
    let _server = serve(&world, &["translate", "--workers", "2", "--", "sh", "-c", script]);
    let call = |word| world.run(MOTET, &host(&["call", "translate", word, "--timeout", "30s"]));
    assert_eq!(call("hello").expect(0).stdout, "bonjour\nsalut\n");
    assert_eq!(call("goodbye").expect(0).stdout, "adiós\n");
    // TR-1
    call("qwerty").expect_error(1, &["exit status: 3", "unknown word qwerty"]);
}

#[test]
fn bk_13_nobody_there_is_said_at_once_with_what_to_do() {
    let world = World::new();
    let begun = tokio::time::Instant::now();
    let ran = world.run(MOTET, &host(&["call", "nothing", "x", "--timeout", "20s"]));
    ran.expect_error(3, &["M0402", "motet serve nothing"]);
    // Discovery settles after 1 s at most, nobody is waited for after 300 ms more.
    assert!(begun.elapsed().as_secs() < 10, "it waited for its timeout");
    world.run(MOTET, &host(&["call", "a//b", "x"])).expect_error(2, &["empty level"]);
    world.run(MOTET, &host(&["serve", "a"])).expect_error(2, &["--echo"]);
    let wait = host(&["service", "wait", "nothing", "--timeout", "500ms"]);
    world.run(MOTET, &wait).expect_error(27, &["0 of 1 instances"]);
}

#[test]
fn ex_6_a_mute_server_ends_a_call_with_27() {
    let world = World::new();
    let _server = serve(&world, &["mute", "--", "sleep", "30"]);
    let call = host(&["call", "mute", "x", "--deadline", "1500ms"]);
    world.run(MOTET, &call).expect_error(27, &["M0403", "no answer"]);
}

#[test]
fn an_answer_without_end_is_refused_with_its_bound() {
    let world = World::new();
    let _server = serve(&world, &["flood", "--", "cat", "/dev/zero"]);
    let call = host(&["call", "flood", "x", "--timeout", "30s"]);
    world.run(MOTET, &call).expect_error(1, &["M0409", "above 60 MiB"]);
}

#[test]
fn db_3_without_a_broker_the_question_for_a_service_has_an_answer() {
    let world = World::new();
    let info = host(&["service", "info", "translate"]);
    world.run(MOTET, &info).expect_error(3, &["nobody offers"]);
    let args = ["translate", "--service-version", "1.2", "--meta", "zone=north", "hello"];
    let mut server = serve(&world, &args);
    world.run(MOTET, &host(&["service", "wait", "translate", "--timeout", "30s"])).expect(0);
    let ran = world.run(MOTET, &host(&["service", "info", "translate", "-o", "json"])).expect(0);
    let instances: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(instances[0]["version"], "1.2");
    assert_eq!(instances[0]["metadata"]["zone"], "north");
    assert_eq!(instances[0]["state"], "up");
    world.run(MOTET, &host(&["call", "translate", "x", "--timeout", "30s"])).expect(0);
    let ran = world.run(MOTET, &host(&["service", "stats", "translate", "-o", "json"])).expect(0);
    let stats: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((&stats[0]["accepted"], &stats[0]["answered"]), (&1.into(), &1.into()));
    server.signal("TERM");
    assert!(server.end().0.success());
    world.run(MOTET, &info).expect_error(3, &["nobody offers"]);
}

#[test]
fn sv_3_all_servers_of_a_host_answer_a_survey() {
    let world = World::new();
    let _servers: Vec<_> =
        ["one", "two", "three"].map(|text| serve(&world, &["who", text])).into_iter().collect();
    let wait = host(&["service", "wait", "who", "-n", "3", "--timeout", "30s"]);
    world.run(MOTET, &wait).expect(0);
    let ran = world.run(MOTET, &host(&["call", "who", "?", "--all", "--deadline", "5s"])).expect(0);
    let mut lines: Vec<_> = ran.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "three", "two"]);
}

#[test]
fn a_long_running_program_answers_line_by_line_and_is_restarted_when_it_ends() {
    let world = World::new();
    // It ends when it is told to, and says who it is.
    let script = "while read w; do [ \"$w\" = die ] && exit 9; echo \"$$ $w\"; done";
    let _server = serve(&world, &["lines", "--lines", "--", "sh", "-c", script]);
    let call = |word| world.run(MOTET, &host(&["call", "lines", word, "--timeout", "30s"]));
    let [first, second] = [call("a").expect(0).stdout, call("b").expect(0).stdout];
    let pid = |line: &str| line.split(' ').next().map(str::to_owned);
    assert_eq!(pid(&first), pid(&second), "one program answers");
    assert!(second.ends_with(" b\n"));
    call("die").expect_error(1, &["the program ended", "exit status: 9"]);
    let third = call("c").expect(0).stdout;
    assert!(third.ends_with(" c\n") && pid(&third) != pid(&first), "{third}");
    call("two\nlines").expect_error(1, &["newline"]);
}

#[test]
fn a_server_is_taken_out_and_drained_by_order() {
    let world = World::new();
    let mut server = serve(&world, &["job", "done"]);
    let call = || world.run(MOTET, &host(&["call", "job", "x", "--timeout", "30s"]));
    call().expect(0);
    let maint = ["service", "maint", "on", "job", "--reason", "new disk", "--timeout", "30s"];
    world.run(MOTET, &host(&maint)).expect(0);
    server.expect_remark("under maintenance");
    call().expect(3);
    let ran = world.run(MOTET, &host(&["service", "info", "job"])).expect(0);
    assert!(ran.stdout.contains("maintenance: new disk"), "{}", ran.stdout);
    let back = ["service", "maint", "off", "job", "--timeout", "30s"];
    world.run(MOTET, &host(&back)).expect(0);
    server.expect_remark("back");
    call().expect(0);
    world.run(MOTET, &host(&["service", "drain", "job", "--timeout", "30s"])).expect(0);
    assert!(server.end().0.success());
}

#[test]
fn bk_19_services_of_another_realm_are_neither_seen_nor_callable() {
    let world = World::new();
    let _server = serve(&world, &["--realm", "prod", "pay", "paid"]);
    world.run(MOTET, &host(&["call", "pay", "x", "--realm", "dev"])).expect(3);
    let there = ["call", "pay", "x", "--realm", "prod", "--timeout", "30s"];
    world.run(MOTET, &host(&there)).expect(0);
    let list = ["service", "list", "--realm", "dev", "-o", "json"];
    let ran = world.run(MOTET, &host(&list)).expect(0);
    assert_eq!(ran.stdout.trim(), "[]");
}
