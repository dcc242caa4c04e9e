//! What goes wrong is told in one line, with what to do.

mod process;

use process::{World, set_mode};

const MOTET: &str = env!("CARGO_BIN_EXE_motet");

#[test]
fn wrong_usage_ends_with_2_and_one_line_that_says_what_to_do() {
    let world = World::new();
    let table: [(&[&str], &[&str]); 14] = [
        (&[], &["a verb is missing", "motet --help"]),
        (&["topic"], &["a verb is missing", "motet topic --help"]),
        (&["pub", "--cuont", "3", "a", "x"], &["--cuont", "--count"]),
        (&["pub"], &["a topic is missing"]),
        (&["pub", "a"], &["a message is missing"]),
        (&["pub", "a", "x", "-m", "y"], &["two messages"]),
        (&["pub", "a//b", "x", "--scope", "host"], &["M0003", "level 2 is empty"]),
        (&["sub", "words/e*", "--scope", "host"], &["M0004", "whole level"]),
        (&["sub", "a", "-W", "soon"], &["200ms, 5s"]),
        (&["sub", "a", "-o", "yaml"], &["M0006", "json"]),
        (&["sub", "a", "--interface", "nope0"], &["M0104", "nope0", "lo"]),
        (&["sub", "a", "--multicast", "10.0.0.1:5"], &["M0106", "224.0.0.0/4"]),
        (&["sub", "a", "--impair", "rain=5%"], &["rain=5%"]),
        (&["topci", "list"], &["motet-topci", "motet --help"]),
    ];
    for (args, parts) in table {
        world.run(MOTET, args).expect_error(2, parts);
    }
}

#[test]
fn wp_13_a_star_within_a_level_is_refused() {
    let world = World::new();
    world.run(MOTET, &["sub", "words/e*", "--scope", "host"]).expect_error(2, &["words/e*"]);
}

#[test]
fn a_port_that_is_named_and_taken_is_an_error() {
    let world = World::new();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let args = ["sub", "a", "--scope", "host", "--listen", &port];
    world.run(MOTET, &args).expect_error(1, &["M0101", &port]);
}

#[test]
fn a_realm_is_made_shown_and_joined_by_its_line_and_a_damaged_line_is_refused() {
    let (here, there) = (World::new(), World::new());
    here.run(MOTET, &["realm", "init", "plant"]).expect(0);
    let line = here.run(MOTET, &["realm", "invite", "plant"]).expect(0).stdout;
    assert!(line.starts_with("motet1-") && line.lines().count() == 1, "{line:?}");

    there.run(MOTET, &["realm", "invite", "plant"]).expect_error(3, &["M0202", "motet realm init"]);
    let mut damaged = line.trim().to_owned();
    let last = damaged.pop().unwrap();
    damaged.push(if last == '2' { '3' } else { '2' });
    there.run_with(MOTET, &["realm", "join"], damaged.as_bytes()).expect_error(2, &["M0205"]);
    there.run(MOTET, &["realm", "join", line.trim()]).expect_error(2, &["argument", "stdin"]);
    there.run_with(MOTET, &["realm", "join"], line.as_bytes()).expect(0);

    let shown = |world: &World| {
        let text = world.run(MOTET, &["realm", "show", "plant", "-o", "json"]).expect(0).stdout;
        let realms: serde_json::Value = serde_json::from_str(&text).unwrap();
        realms[0]["fingerprint"].clone()
    };
    assert_eq!(shown(&here), shown(&there));
}

#[test]
fn all_5_a_missing_state_directory_is_made_and_an_open_secret_is_refused() {
    let world = World::new();
    assert!(!world.state.exists());
    world.run(MOTET, &["pub", "a", "x", "--scope", "host", "--realm", "r"]).expect(0);
    let secret = world.path("realms/r.realm");
    assert!(secret.exists());
    set_mode(&secret, 0o640);
    let args = ["pub", "a", "x", "--scope", "host", "--realm", "r"];
    world.run(MOTET, &args).expect_error(4, &["M0206", "chmod 600"]);
}

#[test]
fn a_key_file_that_others_may_read_or_that_is_damaged_is_refused() {
    let world = World::new();
    let key = world.path("press.key");
    let key = key.to_str().unwrap();
    let args = ["pub", "a", "x", "--scope", "host", "--key", key];
    world.run(MOTET, &args).expect(0);
    set_mode(key, 0o640);
    world.run(MOTET, &args).expect_error(4, &["M0207", "chmod 600"]);
    std::fs::write(key, "nonsense").unwrap();
    set_mode(key, 0o600);
    world.run(MOTET, &args).expect_error(4, &["M0207"]);
}

#[test]
fn variables_that_nobody_reads_are_told_with_the_nearest_name() {
    let world = World::new();
    let mut command = world.command(MOTET, &["version"]);
    let ended = command.env("MOTET_RELAM", "x").output().unwrap();
    let remark = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success() && remark.contains("MOTET_REALM"), "{remark}");
}

#[test]
fn completion_help_and_version_go_to_stdout() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(world.run(MOTET, &["completion", shell]).expect(0).stdout.contains("motet"));
    }
    assert!(world.run(MOTET, &["topic", "--help"]).expect(0).stdout.contains("list"));
    assert!(world.run(MOTET, &["--version"]).expect(0).stdout.starts_with("motet "));
}
