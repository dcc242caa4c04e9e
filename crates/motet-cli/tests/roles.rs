//! The roles as commands, with real processes.

mod process;

use std::path::PathBuf;

use process::{Process, World};

const MOTET: &str = env!("CARGO_BIN_EXE_motet");

fn role(world: &World, args: &[&str]) -> Process {
    world.start(MOTET, &[&["--scope", "host", "--liveness", "200msx5"][..], args].concat())
}

#[test]
fn roles_start_with_one_command_and_end_politely() {
    let world = World::new();
    for (verb, up) in
        [("broker", "broker "), ("nameserver", "name server "), ("registry", "registry ")]
    {
        let mut role = role(&world, &[verb]);
        role.expect(up);
        role.signal("INT");
        let (status, _) = role.end();
        assert!(status.success(), "{verb}: {status:?}");
    }
}

#[test]
fn two_brokers_and_two_name_servers_find_each_other() {
    let world = World::new();
    let mut names = [role(&world, &["nameserver"]), role(&world, &["nameserver"])];
    let mut brokers = [role(&world, &["broker"]), role(&world, &["broker"])];
    for server in &mut names {
        server.expect("holds 0 names, sees 1 peers");
    }
    for broker in &mut brokers {
        broker.expect("sees 1 peers");
    }
}

/// A server of the examples, if it has been built.
fn example(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(MOTET).with_file_name(name);
    path.exists().then_some(path)
}

#[test] // DG-4 DG-5 DG-9 DG-10
fn registries_show_what_is_up_learn_it_again_after_a_restart_and_agree() {
    let world = World::new();
    let Some(server) = example("trans-server") else {
        eprintln!("skipped: trans-server is not built; cargo build -p motet-example-translation");
        return;
    };
    let server = server.to_str().unwrap();
    let quick = ["--host-only", "--timeout", "1000"];
    let mut first = role(&world, &["registry"]);
    let mut servers = [world.start(server, &quick), world.start(server, &quick)];
    first.expect("translate: up, 2 of 2");
    let mut second = role(&world, &["registry"]);
    second.expect("translate: up, 2 of 2");
    first.kill();
    let mut again = role(&world, &["registry"]);
    again.expect("translate: up, 2 of 2");
    servers[0].kill();
    for registry in [&mut again, &mut second] {
        registry.expect("translate: up, 1 of 1");
    }
    servers[1].signal("STOP");
    again.expect("translate: down");
    servers[1].signal("CONT");
    again.expect("translate: up, 1 of 1");
}
