//! Surveys, with real processes on one host.

#[path = "../../../crates/motet-cli/tests/process/mod.rs"]
mod process;

use std::collections::BTreeSet;
use std::net::UdpSocket;

use process::{Process, World};

const SERVER: &str = env!("CARGO_BIN_EXE_survey-server");
const CLIENT: &str = env!("CARGO_BIN_EXE_survey-client");

fn server(world: &World) -> Process {
    let mut server = world.start(SERVER, &["--host-only"]);
    server.expect("offering echo");
    server
}

#[test] // SV-3 SV-5
fn sv_1_a_survey_yields_every_server_and_each_echoes_the_text() {
    let world = World::new();
    let _servers = [(); 5].map(|()| server(&world));
    let ran = world.run(CLIENT, &["--host-only", "--echoText", "adiós"]).expect(0);
    let who: BTreeSet<&str> =
        ran.stdout.lines().filter_map(|line| line.strip_suffix(" says adiós")).collect();
    assert_eq!((who.len(), ran.stdout.lines().count()), (5, 5), "{ran:?}");
}

#[test]
fn sv_2_without_a_server_it_ends_after_its_time_and_says_none() {
    let world = World::new();
    let ran = world.run(CLIENT, &["--host-only", "--within", "500"]).expect(1);
    assert_eq!(ran.stdout, "none\n");
}

#[test]
fn sv_4_stray_foreign_and_outdated_datagrams_change_nothing() {
    let world = World::new();
    let foreign = World::new();
    let _elsewhere = server(&foreign);
    let mut server = world.start(SERVER, &["--host-only"]);
    let line = server.expect("offering echo at ");
    let port: u16 = line.rsplit(':').next().unwrap().parse().unwrap();
    let stray = UdpSocket::bind("127.0.0.1:0").unwrap();
    for noise in [&b""[..], &[0xab, 0xc2, 1], b"127.0.0.1:80", &[0xff; 1_400]] {
        stray.send_to(noise, ("127.0.0.1", port)).unwrap();
    }
    let ran = world.run(CLIENT, &["--host-only"]).expect(0);
    assert_eq!(ran.stdout.lines().count(), 1, "{ran:?}");
}
