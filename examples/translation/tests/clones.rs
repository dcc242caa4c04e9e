//! Two brokers and more: they share work, and take over from one another.

#[path = "../../../crates/motet-cli/tests/process/mod.rs"]
mod process;
mod programs;

use process::{Process, World};
use programs::{ask, asker, broker, server, start};

fn sees(broker: &mut Process, peers: usize, workers: usize) {
    broker.expect(&format!("sees {peers} peers, translate {workers} workers"));
}

#[test] // CB-5
fn cb_1_when_a_broker_dies_its_open_requests_are_answered_once_through_the_other() {
    let world = World::new();
    let _servers = ["s1", "s2"]
        .map(|name| server(&world, name, &["--worker", "--work", "0.3", "--concurrency", "50"]));
    let mut brokers = ["b1", "b2"].map(|name| broker(&world, name, &[]));
    for broker in &mut brokers {
        sees(broker, 1, 2);
    }
    let args = ["hello", "eng", "esp", "--parallel", "40", "--repeat", "10"];
    let tries = ["--try-timeout", "4000", "--tries", "5"];
    let mut client = start(&world, programs::CLIENT, &[&args[..], &tries].concat());
    client.expect("hola");
    brokers[0].kill();
    let (status, lines) = client.end();
    let remarks = client.remarks();
    assert!(status.success(), "{remarks:?}");
    // 400 requests, 400 answers: none is missing, none is there twice.
    assert_eq!(lines.iter().filter(|line| *line == "hola").count(), 400, "{remarks:?}");
    // The survivor has all workers now.
    brokers[1].told.clear();
    let mut third = broker(&world, "b3", &[]);
    sees(&mut third, 1, 2);
}

#[test] // CB-5
fn cb_2_a_broker_that_returns_is_a_peer_again_and_work_is_shared() {
    let world = World::new();
    let mut servers = ["s1", "s2", "s3", "s4"].map(|name| server(&world, name, &["--worker"]));
    let mut first = broker(&world, "b1", &[]);
    let mut second = broker(&world, "b2", &[]);
    sees(&mut second, 1, 4);
    first.kill();
    second.expect("sees 0 peers, translate 4 workers");
    assert_eq!(ask(&world, &["--repeat", "8"]).expect(0).stdout.lines().count(), 24);
    let mut again = broker(&world, "b1", &[]);
    sees(&mut again, 1, 4);
    second.expect("sees 1 peers, translate 4 workers");
    // Whoever is asked, every worker is used: each is at home with one of the two.
    let mut client = asker(&world, &[]);
    for server in &mut servers {
        server.told.clear();
        server.expect("request");
    }
    client.expect("hola");
}

#[test]
fn cb_6_brokers_start_in_any_order_and_a_third_joins_and_clients_use_those_that_are_there() {
    let world = World::new();
    // A client first, then servers, then brokers.
    let mut client = asker(&world, &["--wait", "--try-timeout", "10000", "--tries", "3"]);
    let _servers = ["s1", "s2"].map(|name| server(&world, name, &["--worker"]));
    let mut brokers = ["b1", "b2", "b3"].map(|name| broker(&world, name, &[]));
    for broker in &mut brokers {
        sees(broker, 2, 2);
    }
    client.expect("hola");
    for broker in &mut brokers[..2] {
        broker.kill();
        client.told.clear();
        for _ in 0..5 {
            client.expect("hola");
        }
    }
    assert_eq!(client.remarks(), Vec::<String>::new());
}
