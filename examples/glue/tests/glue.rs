//! Glue, with real processes on one host.

#[path = "../../../crates/motet-cli/tests/process/mod.rs"]
mod process;

use std::collections::BTreeSet;
use std::time::Duration;

use process::{Process, World};
use tokio::time::Instant;

const TRANSPORT: &str = env!("CARGO_BIN_EXE_transport");
const TOPICS: &str = env!("CARGO_BIN_EXE_topics");
const ENDPOINT: &str = env!("CARGO_BIN_EXE_endpoint");

fn start(world: &World, program: &str, name: &str, args: &[&str]) -> Process {
    world.start(program, &[&["--host-only", "--endpointName", name][..], args].concat())
}

#[test]
fn gl_1_four_senders_find_each_other_and_each_receives_five_messages_a_second_from_each() {
    let world = World::new();
    let names = ["A", "B", "C", "D"];
    let begun = Instant::now();
    let mut all = names.map(|name| start(&world, TRANSPORT, name, &["--sendMessages"]));
    for own in &mut all {
        for _ in 0..3 {
            own.expect("added: endpointID=");
        }
    }
    // 2 × rate, and something for a machine with much else to do.
    assert!(begun.elapsed() < Duration::from_secs(10));
    for (own, name) in all.iter_mut().zip(names) {
        for other in names.iter().filter(|other| **other != name) {
            let line =
                own.told.iter().find(|line| line.ends_with(&format!("endpointName={other}")));
            assert!(line.is_some(), "{name} has not found {other}: {:#?}", own.told);
        }
        let begun = Instant::now();
        own.told.clear();
        for _ in 0..3 * 5 * 2 {
            own.expect("received: ");
        }
        // Two seconds of three senders; what waited in the pipe comes at once.
        assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
        let sent: BTreeSet<&str> =
            own.told.iter().filter_map(|line| line.strip_prefix("received: ")).collect();
        assert_eq!(sent.len(), 30, "a message came twice: {:#?}", own.told);
        assert!(sent.iter().all(|line| line.contains(" sent This is a payload as at ")));
    }
}

#[test]
fn gl_2_a_kill_is_noticed_a_goodbye_at_once_and_a_restart_under_the_name_is_accepted() {
    let world = World::new();
    let mut stays = start(&world, ENDPOINT, "A", &[]);
    let mut dies = start(&world, ENDPOINT, "D", &["--send-messages"]);
    stays.expect("added: ");
    stays.expect("received: D sent ");
    dies.kill();
    let killed = Instant::now();
    stays.expect("removed: ");
    let after = killed.elapsed();
    assert!(after > Duration::from_millis(1_900) && after < Duration::from_secs(8), "{after:?}");

    let mut again = start(&world, ENDPOINT, "D", &["--send-messages"]);
    stays.expect("added: ");
    stays.expect("received: D sent ");
    again.signal("INT");
    let gone = Instant::now();
    stays.expect("removed: ");
    assert!(gone.elapsed() < Duration::from_millis(1_900), "{:?}", gone.elapsed());
    assert!(again.end().0.success());
}

#[test]
fn gl_3_two_networks_on_one_group_never_see_each_other() {
    let world = World::new();
    let mut one = start(&world, ENDPOINT, "A", &["--networkID", "1", "--send-messages"]);
    let mut other = start(&world, ENDPOINT, "B", &["--network-id", "2"]);
    let mut reader = start(&world, ENDPOINT, "C", &["--network-id", "1"]);
    for _ in 0..10 {
        reader.expect("received: A sent ");
    }
    assert!(!other.says("", Duration::from_millis(100)), "{:?}", other.told);
    assert!(!one.says("added: endpointID=B", Duration::from_millis(100)));
    assert!(!one.told.iter().any(|line| line.ends_with("endpointName=B")), "{:?}", one.told);
}

#[test]
fn gl_4_three_subscribers_print_each_message_once_in_order_under_loss_duplication_and_reordering() {
    let world = World::new();
    // What leaves and enters the publisher is lost and doubled, what enters a reader comes late.
    let late = ["--impair", "reorder=10%,dup=5%,seed=3"];
    let mut readers = ["B", "C", "D"].map(|name| start(&world, TOPICS, name, &late));
    let lossy = ["--send-messages", "--impair", "loss=20%,dup=5%,seed=5"];
    let _publisher = start(&world, TOPICS, "A", &lossy);
    let message = "received: A sent This is a payload as at ";
    // From the latest joiner's first message on, all three have the same.
    let first = readers.each_mut().map(|reader| reader.expect(message)).into_iter().max().unwrap();
    let common = readers.map(|mut reader| {
        while reader.told.iter().filter(|line| **line >= first).count() < 30 {
            reader.expect(message);
        }
        let mut ordered = reader.told.clone();
        ordered.sort();
        ordered.dedup();
        assert_eq!(ordered, reader.told, "twice, or out of order");
        // What was too old when a reader joined late is told, and lies before the first common one.
        let mut missed = reader.remarks();
        missed.retain(|line| !line.ends_with("(Expired)"));
        assert_eq!(missed, Vec::<String>::new(), "missed");
        ordered.retain(|line| *line >= first);
        ordered
    });
    assert_eq!(common[0], common[1]);
    assert_eq!(common[0], common[2]);
}

#[test]
fn gl_8_noise_crashes_nobody_and_a_held_name_is_an_error_for_the_newcomer() {
    let world = World::new();
    let mut older = start(&world, ENDPOINT, "A", &[]);
    let mut witness = start(&world, ENDPOINT, "W", &["--send-messages"]);
    older.expect("received: W sent ");
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for port in 37_320..37_337 {
        for noise in [&b""[..], b"{}", &[0x4d; 1_200], &[0; 64], &[0xff; 300]] {
            // A port that nobody has refuses: that is not looked at here.
            let _ = socket.send_to(noise, ("127.0.0.1", port));
        }
    }
    let mut newer = start(&world, ENDPOINT, "A", &[]);
    assert_eq!(newer.end().0.code(), Some(4));
    assert!(newer.remarks().iter().any(|line| line.contains("the name A is held")));
    older.expect_remark("uses the name A too");
    for _ in 0..5 {
        older.expect("received: W sent ");
    }
    assert!(!witness.says("removed: endpointID=W", Duration::from_millis(10)));
}

#[test]
fn gl_13_what_cannot_be_delivered_is_reported_to_its_sender() {
    let world = World::new();
    let sender = start(&world, TRANSPORT, "A", &["--send-messages"]);
    let mut receiver = start(&world, TRANSPORT, "B", &[]);
    receiver.expect("received: A sent ");
    // It is there, but it does nothing: neither acknowledged nor gone.
    receiver.signal("STOP");
    sender.expect_remark("undelivered: ");
    receiver.signal("CONT");
    receiver.expect("received: A sent ");
}
