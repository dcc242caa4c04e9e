//! Brokers in front of the servers, with real processes on one host.

#[path = "../../../crates/motet-cli/tests/process/mod.rs"]
mod process;
mod programs;

use std::time::Duration;

use process::World;
use programs::{CLIENT, DISCO, ask, asker, broker, server, start};
use tokio::time::Instant;

#[test] // TR-1
fn bk_1_the_same_client_works_with_and_without_a_broker() {
    let world = World::new();
    let mut open_to_all = server(&world, "s1", &[]);
    let direct = ask(&world, &[]).expect(0).stdout;
    open_to_all.kill();
    let _server = server(&world, "s1", &["--worker"]);
    let mut broker = broker(&world, "b1", &[]);
    broker.expect("sees 0 peers, translate 1 workers");
    let through = ask(&world, &[]).expect(0).stdout;
    assert_eq!((direct.as_str(), through), ("s1\nbonjour\nsalut\n", direct.clone()));
    broker.signal("INT");
    let (status, lines) = broker.end();
    assert!(status.success());
    assert!(lines.last().unwrap().starts_with("done: 1 requests, 1 answered"), "{lines:?}");
}

#[test]
fn bk_2_four_servers_that_work_a_second_serve_four_requests_in_about_one() {
    let world = World::new();
    let names = ["s1", "s2", "s3", "s4"];
    let mut servers = names.map(|name| server(&world, name, &["--worker", "--work", "1"]));
    let mut broker = broker(&world, "b1", &[]);
    broker.expect("sees 0 peers, translate 4 workers");
    let begun = Instant::now();
    let ran = ask(&world, &["--parallel", "4", "--try-timeout", "10000"]).expect(0);
    // One after the other they take four.
    assert!(begun.elapsed() < Duration::from_millis(2_500), "{:?}", begun.elapsed());
    let ran_again = ask(&world, &["--parallel", "4", "--try-timeout", "10000"]).expect(0);
    for (name, server) in names.iter().zip(&mut servers) {
        for ran in [&ran, &ran_again] {
            assert_eq!(ran.stdout.lines().filter(|line| line == name).count(), 1, "{ran:?}");
        }
        server.signal("INT");
    }
}

#[test] // BK-21 BK-10
fn bk_3_a_request_of_a_killed_or_stopped_server_is_given_to_another() {
    for signal in ["KILL", "STOP"] {
        let world = World::new();
        let mut broker = broker(&world, "b1", &[]);
        let mut first = server(&world, "s1", &["--worker", "--work", "60"]);
        broker.expect("sees 0 peers, translate 1 workers");
        let args = ["hello", "eng", "esp", "--try-timeout", "30000"];
        let mut client = start(&world, CLIENT, &args);
        first.expect("request: hello");
        let _second = server(&world, "s2", &["--worker"]);
        broker.expect("sees 0 peers, translate 2 workers");
        first.signal(signal);
        let (status, lines) = client.end();
        assert!(status.success());
        assert_eq!(lines, ["s2", "hola"]);
        broker.signal("INT");
        let (_, lines) = broker.end();
        assert!(lines.last().unwrap().ends_with("1 requeued"), "{lines:?}");
    }
}

#[test] // BK-9
fn bk_4_without_workers_the_policy_decides() {
    let world = World::new();
    let quick = ["--try-timeout", "400", "--tries", "1"];
    let mut ignores = broker(&world, "b1", &["--service", "translate", "--no-workers", "ignore"]);
    let ran = ask(&world, &quick).expect(3);
    assert!(ran.stderr.contains("no answer"), "{ran:?}");
    ignores.kill();

    let world = World::new();
    let _notifies = broker(&world, "b1", &["--service", "translate"]);
    let ran = ask(&world, &["--try-timeout", "20000", "--tries", "1"]).expect(1);
    assert!(ran.stderr.contains("no workers"), "{ran:?}");

    let world = World::new();
    let _waits = broker(&world, "b1", &["--service", "translate", "--no-workers", "wait"]);
    let args = ["hello", "eng", "esp", "--try-timeout", "30000", "--tries", "1"];
    let mut client = start(&world, CLIENT, &args);
    let _server = server(&world, "s1", &["--worker"]);
    assert_eq!(client.end().1, ["s1", "hola"]);
}

#[test] // BK-23 CB-3
fn bk_9_a_broker_without_workers_forwards_to_one_that_has_them() {
    let world = World::new();
    let mut brokers = ["b1", "b2"].map(|name| broker(&world, name, &["--no-workers", "forward"]));
    // It is at home at one of the two; the other one passes on what it gets.
    let _server = server(&world, "s1", &["--worker"]);
    for broker in &mut brokers {
        broker.expect("sees 1 peers, translate 1 workers");
    }
    let ran = ask(&world, &["--repeat", "40"]).expect(0);
    assert_eq!(ran.stdout.lines().filter(|line| *line == "s1").count(), 40, "{ran:?}");
    let mut requests = 0;
    let mut forwarded = 0;
    for broker in &mut brokers {
        broker.signal("INT");
        let (_, lines) = broker.end();
        let done = lines.last().unwrap().clone();
        let numbers: Vec<u64> =
            done.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
        (requests, forwarded) = (requests + numbers[0], forwarded + numbers[2]);
    }
    // Each is one request at the first broker, and one more at the second if it was passed on.
    assert_eq!(requests, 40 + forwarded);
}

#[test]
fn bk_5_after_a_restart_of_the_broker_servers_are_there_again_and_clients_retry() {
    let world = World::new();
    let mut server = server(&world, "s1", &["--worker"]);
    let mut first = broker(&world, "b1", &[]);
    first.expect("sees 0 peers, translate 1 workers");
    let mut client = asker(&world, &["--wait", "--tries", "10"]);
    client.expect("hola");
    first.kill();
    let mut second = broker(&world, "b2", &[]);
    second.expect("sees 0 peers, translate 1 workers");
    server.told.clear();
    server.expect("request");
    client.told.clear();
    client.expect("hola");
    client.expect("hola");
    assert_eq!(client.remarks(), Vec::<String>::new());
}

#[test]
fn bk_6_servers_that_join_later_are_given_work() {
    let world = World::new();
    let mut broker = broker(&world, "b1", &[]);
    let _first = server(&world, "s1", &["--worker"]);
    broker.expect("sees 0 peers, translate 1 workers");
    let mut client = asker(&world, &[]);
    client.expect("s1");
    let _second = server(&world, "s2", &["--worker"]);
    client.expect("s2");
}

#[test]
fn bk_7_a_slow_client_holds_up_nobody_else() {
    let world = World::new();
    let mut broker = broker(&world, "b1", &[]);
    let _server = server(&world, "s1", &["--worker"]);
    broker.expect("sees 0 peers, translate 1 workers");
    let args = ["hello", "eng", "esp", "--repeat", "1000000", "--parallel", "200"];
    let mut slow = start(&world, CLIENT, &args);
    slow.expect("hola");
    slow.signal("STOP");
    let ran = ask(&world, &["--repeat", "50"]).expect(0);
    assert_eq!(ran.stdout.lines().filter(|line| *line == "s1").count(), 50);
}

#[test]
fn bk_18_servers_and_then_the_broker_are_replaced_under_load_without_a_failed_request() {
    let world = World::new();
    let mut old = server(&world, "s1", &["--worker", "--work", "0.02"]);
    let mut first = broker(&world, "b1", &[]);
    first.expect("sees 0 peers, translate 1 workers");
    let mut client = asker(&world, &["--parallel", "4"]);
    client.expect("s1");
    let _new = server(&world, "s2", &["--worker", "--work", "0.02"]);
    client.expect("s2");
    old.signal("INT");
    assert!(old.end().0.success());
    let mut second = broker(&world, "b2", &[]);
    second.expect("sees 1 peers, translate 1 workers");
    first.signal("INT");
    assert!(first.end().0.success());
    client.told.clear();
    for _ in 0..20 {
        client.expect("s2");
    }
    assert_eq!(client.remarks(), Vec::<String>::new());
}

#[test] // DB-2 DB-3
fn db_1_whether_a_service_exists_is_answered_alike_with_a_broker_and_without() {
    let quick = ["--host-only", "--timeout", "1000"];
    for with_broker in [true, false] {
        let world = World::new();
        let asks = |code| world.run(DISCO, &quick).expect(code).stdout;
        let mut broker = with_broker.then(|| broker(&world, "b1", &[]));
        assert_eq!(asks(1), "no\n");
        let mut server = server(&world, "s1", &[]);
        if let Some(broker) = &mut broker {
            broker.expect("sees 0 peers, translate 1 workers");
        }
        assert_eq!(asks(0), "yes\n");
        server.kill();
        match &mut broker {
            Some(broker) => drop(broker.expect("sees 0 peers, translate 0 workers")),
            None => {
                // Whoever comes later has never heard of it.
            }
        }
        assert_eq!(asks(1), "no\n");
    }
}

#[test] // BK-20 B-16
fn db_2_the_broker_answers_itself_and_an_unknown_question_has_a_code() {
    let world = World::new();
    let mut broker = broker(&world, "b1", &[]);
    let mut server = server(&world, "s1", &[]);
    broker.expect("sees 0 peers, translate 1 workers");
    let asks = |question: &str| world.run(DISCO, &["--host-only", "--question", question]);
    let stats = asks("stats").expect(0).stdout;
    for part in ["requests=0", "peers=0", "rate=0", "service translate workers=1 free=1 waiting=0"]
    {
        assert!(stats.contains(part), "{part}: {stats}");
    }
    assert_eq!(asks("services").expect(0).stdout, "translate\n");
    let ran = asks("weather").expect(1);
    assert!(ran.stderr.contains("unknown question"), "{ran:?}");
    server.signal("INT");
    let (_, lines) = server.end();
    assert!(!lines.iter().any(|line| line.starts_with("request")), "{lines:?}");
}
