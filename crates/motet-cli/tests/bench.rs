//! Measuring, with real processes on one host.

mod process;

use process::World;
use serde_json::Value;

const MOTET: &str = env!("CARGO_BIN_EXE_motet");

/// `motet bench ARGS --scope host -o json --timeout 30s`.
fn bench<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["bench"], args, &["--scope", "host", "-o", "json", "--timeout", "30s"]].concat()
}

#[track_caller]
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

#[test]
fn a_reader_counts_what_the_publisher_sent_and_both_tell_how_fast() {
    let world = World::new();
    let mut reader = world.start(MOTET, &bench(&["sub", "load", "--wait", "30"]));
    let sending = bench(&["pub", "load", "--size", "100", "--count", "5000"]);
    let sent = json(&world.run(MOTET, &sending).expect(0).stdout);
    let (status, lines) = reader.end();
    assert!(status.success());
    let read = json(&lines.join("\n"));
    for side in [&sent, &read] {
        assert_eq!(side["messages"], 5_000, "{side:#}");
        assert_eq!((&side["missed"], &side["bytes"]), (&0.into(), &500_000.into()), "{side:#}");
        assert!(side["messages_per_second"].as_f64().unwrap() > 0.0, "{side:#}");
        assert!(side["cpu_ns_per_message"].as_f64().unwrap() > 0.0, "{side:#}");
    }
}

#[test]
fn round_trips_are_told_as_percentiles_with_and_without_spinning() {
    let world = World::new();
    for spin in ["0", "500"] {
        let mut answerer = world.start(MOTET, &bench(&["latency", "--answer", "--spin", spin]));
        let asking = bench(&["latency", "--count", "200", "--spin", spin]);
        let told = json(&world.run(MOTET, &asking).expect(0).stdout);
        assert_eq!((&told["round_trips"], &told["missed"]), (&200.into(), &0.into()), "{told:#}");
        let at = |name: &str| told[name].as_f64().unwrap();
        let rising = [at("min_us"), at("p50_us"), at("p90_us"), at("p99_us"), at("max_us")];
        assert!(rising.is_sorted() && rising[0] > 0.0, "{told:#}");
        assert!(answerer.end().0.success(), "it ends with the side that asks");
    }
}

#[test]
fn who_measures_alone_is_told_what_to_start() {
    let world = World::new();
    let alone = ["bench", "pub", "--scope", "host", "--timeout", "200ms"];
    world.run(MOTET, &alone).expect_error(27, &["0 of 1 readers", "start the other side"]);
    let alone = ["bench", "sub", "--scope", "host", "--wait", "200ms"];
    world.run(MOTET, &alone).expect_error(27, &["motet bench pub bench"]);
    let both = ["bench", "pub", "--count", "1", "--seconds", "1"];
    world.run(MOTET, &both).expect_error(2, &["--seconds"]);
    let answer = ["bench", "latency", "--answer", "--size", "100"];
    world.run(MOTET, &answer).expect_error(2, &["--answer"]);
}
