//! The roles as commands, with real processes.

mod process;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Registers, and runs on.
fn registering(world: &World, args: &[&str]) -> Process {
    role(world, &[&["service", "register"][..], args].concat())
}

#[test] // DG-11 DG-12 B-35
fn a_service_that_is_no_endpoint_is_checked_shown_and_waited_for() {
    let world = World::new();
    let mut registry = role(&world, &["registry"]);
    registry.expect("registry ");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    // The check that comes after the end is the last one taken.
    let taking = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            drop(listener.accept());
        }
    });
    let check = format!("tcp://{address}");
    let quick = ["--interval", "100ms", "--rise", "2", "--fall", "3", "--requires", "log"];
    let args =
        [&["db", "--id", "a", "--address", &address, "--check", &check][..], &quick].concat();
    let mut owner = registering(&world, &args);
    owner.expect("db/a is registered");
    registry.expect("db/a: passing");
    registry.expect("db: up, 1 of 1");
    // A requirement that nobody offers is shown as missing.
    assert!(registry.told.iter().any(|line| line == "log: missing, 0 of 0"), "{:?}", registry.told);
    let quiet = ["--scope", "host", "--timeout", "20s"];
    world.run(MOTET, &[&quiet[..], &["service", "wait", "db"]].concat()).expect(0);
    let listed = world.run(MOTET, &[&quiet[..], &["service", "list"]].concat()).expect(0);
    assert!(listed.stdout.contains("passing"), "{listed:?}");
    stop.store(true, Ordering::Relaxed);
    taking.join().unwrap();
    registry.expect("db/a: critical");
    registry.expect("db: down, 0 of 1");
    // Another endpoint gets nothing of it.
    let theirs = ["service", "register", "db", "--id", "a", "--once"];
    let refused = world.run(MOTET, &[&quiet[..], &theirs].concat());
    assert!(
        !refused.status.success() && refused.stderr.contains("another endpoint"),
        "{refused:?}"
    );
    registry.expect("db/a: refused to ");
    owner.signal("INT");
    registry.expect("db/a: gone: removed");
}

#[test] // B-34 B-36 DG-4
fn a_lease_never_renewed_ends_and_a_check_that_hangs_is_killed_and_holds_nobody_up() {
    let world = World::new();
    let commands = world.path("checks");
    std::fs::create_dir_all(&commands).unwrap();
    let marker = world.path("hung");
    let hang = format!("#!/bin/sh\nsleep 1000 & echo $! > {}\nwait\n", marker.display());
    std::fs::write(commands.join("hang"), hang).unwrap();
    process::set_mode(commands.join("hang"), 0o700);
    let mut registry = role(&world, &["registry", "--commands", commands.to_str().unwrap()]);
    registry.expect("registry ");
    let quick = ["--interval", "100ms", "--check-timeout", "500ms", "--fall", "1"];
    let hung = [&["slow", "--id", "h", "--check", "command:hang"][..], &quick].concat();
    let _slow = registering(&world, &hung);
    registry.expect("slow/h: critical");
    let mut dead = registering(&world, &["dead", "--id", "d", "--ttl", "1s"]);
    registry.expect("dead/d: passing");
    dead.kill();
    registry.expect("dead/d: gone: the lease was not renewed");
    // What the program had started is gone as well.
    let pid = std::fs::read_to_string(&marker).unwrap();
    let deadline = tokio::time::Instant::now() + process::PATIENCE;
    while std::path::Path::new("/proc").join(pid.trim()).exists() {
        assert!(tokio::time::Instant::now() < deadline, "{pid} still runs");
        std::thread::yield_now();
    }
    let outside = ["--scope", "host", "service", "register", "x", "--once", "--check"];
    let refused = world.run(MOTET, &[&outside[..], &["command:../../bin/sh"]].concat());
    assert!(refused.stderr.contains("runs no such program"), "{refused:?}");
}

#[test] // B-38 DG-5
fn a_registry_survives_its_restart_and_refuses_a_damaged_file() {
    let world = World::new();
    std::fs::create_dir_all(&world.state).unwrap();
    let file = world.path("registry.redb");
    let keep = ["registry", "--keep", file.to_str().unwrap()];
    let mut registry = role(&world, &keep);
    registry.expect("registry ");
    let once =
        ["--scope", "host", "service", "register", "db", "--id", "a", "--ttl", "1h", "--once"];
    world.run(MOTET, &once).expect(0);
    registry.expect("db/a: passing");
    let maint =
        ["--scope", "host", "service", "maint", "on", "db", "--id", "a", "--reason", "disk"];
    world.run(MOTET, &maint).expect(0);
    registry.expect("db/a: critical: maintenance: disk");
    registry.kill();
    let mut again = role(&world, &keep);
    // Its owner is long gone: this is from the disk.
    again.expect("db/a: critical: maintenance: disk");
    again.kill();
    std::fs::write(&file, "db\tlog\n").unwrap();
    let broken = world.run(MOTET, &[&["--scope", "host"][..], &keep].concat());
    broken.expect_error(2, &["registry.redb", "cannot be used", "move the file away"]);
}

#[test] // B-35
fn a_page_is_asked_for_and_an_owner_reports() {
    let world = World::new();
    let mut registry = role(&world, &["registry"]);
    registry.expect("registry ");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 1_024];
            let read = stream.read(&mut asked).unwrap();
            assert!(asked[..read].starts_with(b"GET /health HTTP/1.1"));
            let status = if n < 3 { "204 No Content" } else { "503 Service Unavailable" };
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
        }
    });
    let quick = ["--interval", "100ms", "--rise", "1", "--fall", "1"];
    let _web = registering(&world, &[&["web", "--id", "w", "--check", &url][..], &quick].concat());
    registry.expect("web/w: passing");
    registry.expect("web/w: critical: http://");
    let key = world.path("owner.key");
    let own = ["--scope", "host", "--key", key.to_str().unwrap(), "service"];
    let register =
        ["register", "batch", "--id", "b", "--ttl", "1h", "--check", "ttl", "--rise", "1"];
    let long = ["--interval", "1h", "--once"];
    world.run(MOTET, &[&own[..], &register, &long].concat()).expect(0);
    let report = ["report", "batch", "warning", "half full", "--id", "b"];
    world.run(MOTET, &[&own[..], &report].concat()).expect(0);
    registry.expect("batch/b: warning: half full");
    world.run(MOTET, &[&own[..], &["unregister", "batch", "--id", "b"]].concat()).expect(0);
    registry.expect("batch/b: gone: removed");
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
