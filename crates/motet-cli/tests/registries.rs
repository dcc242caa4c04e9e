//! Registries among services that need each other, with real processes.

mod process;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Duration;

use process::{Process, World};
use serde_json::Value;

const MOTET: &str = env!("CARGO_BIN_EXE_motet");

/// `motet --scope host ARGS`; deaths are noticed after a second.
fn host<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["--scope", "host", "--liveness", "200msx5"], args].concat()
}

fn registry(world: &World) -> Process {
    let mut registry = world.start(MOTET, &host(&["registry"]));
    registry.expect("registry ");
    registry
}

fn serve(world: &World, args: &[&str]) -> Process {
    let server = world.start(MOTET, &host(&[&["serve"], args].concat()));
    server.expect_remark("serving");
    server
}

/// Waits until the last that a registry has said of a service is this.
fn stands(registry: &mut Process, line: &str) {
    let of = line.split(": ").next().unwrap_or_default();
    let beginning = format!("{of}: ");
    loop {
        let last = registry.told.iter().rev().find(|told| told.starts_with(&beginning));
        if last.is_some_and(|last| last == line) {
            return;
        }
        registry.expect(&beginning);
    }
}

/// What one question to the registries says of everything, a line each, in order.
fn listed(world: &World) -> BTreeSet<String> {
    let call = ["call", "motet.registry", "list", "--timeout", "30s"];
    let ran = world.run(MOTET, &host(&call)).expect(0);
    ran.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn dg_2_any_start_order_ends_in_the_same_state() {
    let mut ends = BTreeSet::new();
    // The portal needs grading, grading needs the log; the registry is among them.
    for order in ["rlgp", "pglr", "gprl"] {
        let world = World::new();
        let (mut registries, mut services) = (Vec::new(), Vec::new());
        for which in order.chars() {
            match which {
                'r' => registries.push(registry(&world)),
                'l' => services.push(serve(&world, &["log", "kept"])),
                'g' => services.push(serve(&world, &["grading", "--requires", "log", "A"])),
                _ => services.push(serve(&world, &["portal", "--requires", "grading", "page"])),
            }
        }
        for line in ["log: up, 1 of 1", "grading: up, 1 of 1", "portal: up, 1 of 1"] {
            stands(&mut registries[0], line);
        }
        for name in ["portal", "grading"] {
            let ready = format!("ready {name}");
            let call = ["call", "motet.registry", &ready, "--timeout", "30s"];
            assert_eq!(world.run(MOTET, &host(&call)).expect(0).stdout, "ready\n", "{order}");
        }
        let deps = host(&["service", "deps", "portal", "-o", "json"]);
        let deps = world.run(MOTET, &deps).expect(0).stdout;
        ends.insert((listed(&world), deps));
    }
    assert_eq!(ends.len(), 1, "{ends:#?}");
}

#[test]
fn dg_6_two_instances_share_the_requests_and_the_death_of_one_loses_none() {
    let world = World::new();
    let mut registry = registry(&world);
    let mut servers =
        ["g1", "g2"].map(|name| serve(&world, &["grading", "--safe", "--echo", "--name", name]));
    stands(&mut registry, "grading: up, 2 of 2");
    let load = ["bench", "service", "grading", "--open", "8", "--rate", "400", "--seconds", "10s"];
    let mut load =
        world.start(MOTET, &host(&[&load[..], &["-o", "json", "--timeout", "30s"]].concat()));
    // Both have work before one is killed.
    let shared = || {
        let stats = ["service", "stats", "grading", "-o", "json", "--timeout", "10s"];
        let ran = world.run(MOTET, &host(&stats));
        let rows: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        let rows = rows.as_array().cloned().unwrap_or_default();
        rows.len() == 2 && rows.iter().all(|row| row["accepted"].as_u64() > Some(10))
    };
    let deadline = tokio::time::Instant::now() + process::PATIENCE;
    while !shared() {
        assert!(tokio::time::Instant::now() < deadline, "the requests are not shared");
    }
    servers[0].kill();
    stands(&mut registry, "grading: up, 1 of 1");
    let (status, lines) = load.end();
    let told: Value = serde_json::from_str(&lines.join("\n")).expect("JSON");
    assert!(status.success(), "{told} {:?}", load.remarks());
    assert_eq!((&told["failed"], &told["instances"]), (&0.into(), &2.into()));
}

/// Ticks of 10 ms that a process has had of a core.
fn ticks(of: &Process) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", of.pid())).expect("it runs");
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

#[test]
fn dg_8_an_idle_registry_uses_about_no_cpu_and_holds_nothing_twice() {
    let world = World::new();
    let mut registry = registry(&world);
    let _servers = [serve(&world, &["log", "kept"]), serve(&world, &["grading", "A"])];
    let key = world.path("owner.key");
    let own = ["--key", key.to_str().expect("UTF-8"), "service", "register", "db", "--id", "a"];
    let once = host(&[&own[..], &["--ttl", "1h", "--once"]].concat());
    // Again and again by its owner, and once by another.
    for _ in 0..3 {
        world.run(MOTET, &once).expect(0);
    }
    let theirs = ["service", "register", "db", "--id", "a", "--once"];
    assert!(!world.run(MOTET, &host(&theirs)).status.success());
    for line in ["log: up, 1 of 1", "grading: up, 1 of 1", "db: up, 1 of 1"] {
        stands(&mut registry, line);
    }
    let lines = listed(&world);
    assert_eq!(lines.iter().filter(|line| line.starts_with("db ")).count(), 1, "{lines:?}");
    // Nothing but its timers, for two seconds: 5 % of a core at most.
    let before = ticks(&registry);
    assert!(!registry.says("nothing is said", Duration::from_secs(2)));
    let used = ticks(&registry) - before;
    assert!(used <= 10, "{used} ticks of 200");
}

#[test]
fn dg_9_one_question_shows_all_that_is_registered() {
    let world = World::new();
    let mut registry = registry(&world);
    let _servers =
        [serve(&world, &["log", "kept"]), serve(&world, &["grading", "--requires", "log", "A"])];
    let register = ["service", "register", "db", "--id", "a", "--address", "10.0.0.1:5432"];
    let _db = world.start(MOTET, &host(&register));
    for line in ["log: up, 1 of 1", "grading: up, 1 of 1", "db: up, 1 of 1"] {
        stands(&mut registry, line);
    }
    let lines = listed(&world);
    for line in ["log up 1/1", "grading up 1/1", "db up 1/1"] {
        assert!(lines.contains(line), "{lines:?}");
    }
    let list = host(&["service", "list", "-o", "json"]);
    let rows: Value =
        serde_json::from_str(&world.run(MOTET, &list).expect(0).stdout).expect("JSON");
    let shown = |service: &str, role: &str| {
        let rows = rows.as_array().into_iter().flatten();
        rows.filter(|row| row["service"] == service && row["role"] == role).count()
    };
    assert_eq!((shown("log", "direct"), shown("grading", "direct")), (1, 1), "{rows}");
    assert_eq!(shown("db", "registered"), 1, "{rows}");
}

#[test]
fn dg_10_registries_agree_and_when_all_are_gone_services_find_and_call_each_other() {
    let world = World::new();
    let mut registries = [registry(&world), registry(&world)];
    let _log = serve(&world, &["log", "kept"]);
    let register = ["service", "register", "db", "--id", "a", "--address", "10.0.0.1:5432"];
    let _db = world.start(MOTET, &host(&register));
    for registry in &mut registries {
        stands(registry, "log: up, 1 of 1");
        stands(registry, "db: up, 1 of 1");
    }
    let all = ["call", "motet.registry", "list", "--all", "--deadline", "5s", "-o", "json"];
    let ran = world.run(MOTET, &host(&all)).expect(0);
    let answers: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), 2, "{ran:?}");
    assert_eq!(answers[0]["body"], answers[1]["body"]);
    assert_ne!(answers[0]["endpoint"], answers[1]["endpoint"]);
    for registry in &mut registries {
        registry.kill();
    }
    // Those that knew each other, and one that comes now.
    let call = |service| {
        let args = ["call", service, "x", "--timeout", "30s"];
        world.run(MOTET, &host(&args)).expect(0).stdout
    };
    assert_eq!(call("log"), "kept\n");
    let _late = serve(&world, &["grading", "--requires", "log", "A"]);
    assert_eq!(call("grading"), "A\n");
    let deps = ["service", "deps", "grading", "--timeout", "30s"];
    world.run(MOTET, &host(&deps)).expect(0);
}

#[test]
fn each_change_of_services_and_registrations_is_one_line() {
    let world = World::new();
    let mut registry = registry(&world);
    let mut watch = world.start(MOTET, &host(&["service", "watch"]));
    let mut objects =
        world.start(MOTET, &host(&["service", "watch", "db", "-n", "2", "-o", "json"]));
    let mut server = serve(&world, &["log", "--name", "l1", "kept"]);
    watch.expect("up log l1 ");
    let register = ["service", "register", "db", "--id", "a", "--address", "10.0.0.1:5432"];
    let db = world.start(MOTET, &host(&register));
    watch.expect("up db a 10.0.0.1:5432 registered passing");
    stands(&mut registry, "db: up, 1 of 1");
    server.signal("TERM");
    assert!(server.end().0.success());
    watch.expect("gone log l1 ");
    db.signal("INT");
    watch.expect("gone db a ");
    let (status, lines) = objects.end();
    assert!(status.success());
    let changes: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told: Vec<_> = changes.iter().map(|it| (&it["change"], &it["name"])).collect();
    assert_eq!(told, [(&"up".into(), &"a".into()), (&"gone".into(), &Value::from("a"))]);
}

#[test] // B-39
fn registries_hold_the_same_and_one_that_comes_later_takes_over_before_the_first_dies() {
    let world = World::new();
    let mut first = registry(&world);
    let register = ["service", "register", "db", "--id", "a", "--address", "10.0.0.1:5432"];
    let _db = world.start(MOTET, &host(&register));
    stands(&mut first, "db: up, 1 of 1");
    // Its owner is gone again, and renews nothing.
    let key = world.path("printer.key").to_str().expect("a plain path").to_owned();
    let once = |verb: &[&str]| {
        let args = [&["--key", &*key, "--timeout", "20s", "service"][..], verb].concat();
        world.run(MOTET, &host(&args))
    };
    let lease = ["register", "printer", "--id", "p", "--ttl", "10m", "--once", "--requires", "db"];
    once(&lease).expect(0);
    stands(&mut first, "printer: up, 1 of 1");
    let maint =
        ["service", "maint", "on", "db", "--id", "a", "--reason", "disk", "--timeout", "20s"];
    world.run(MOTET, &host(&maint)).expect(0);
    stands(&mut first, "db: down, 0 of 1");
    let mut second = registry(&world);
    stands(&mut second, "printer: up, 1 of 1");
    stands(&mut second, "db: down, 0 of 1");
    // What is said from now on reaches both.
    let late = ["service", "register", "log", "--id", "l", "--address", "10.0.0.2:514"];
    let _log = world.start(MOTET, &host(&late));
    for registry in [&mut first, &mut second] {
        stands(registry, "log: up, 1 of 1");
    }
    first.kill();
    let list = ["service", "list", "-o", "json", "--timeout", "30s"];
    let ran = world.run(MOTET, &host(&list)).expect(0);
    let rows: Vec<Value> = serde_json::from_str(&ran.stdout).expect("JSON");
    let state = |service: &str| {
        let of = |row: &&Value| row["service"] == service && row["role"] == "registered";
        let row = rows.iter().find(of).unwrap_or_else(|| panic!("no {service}: {rows:#?}"));
        row["state"].as_str().map(str::to_owned)
    };
    assert_eq!(state("db").as_deref(), Some("maintenance"));
    assert_eq!(state("printer").as_deref(), Some("passing"));
    assert_eq!(state("log").as_deref(), Some("passing"));
    // It belongs to whom it belonged to.
    let theirs = ["service", "renew", "printer", "--id", "p", "--timeout", "20s"];
    world.run(MOTET, &host(&theirs)).expect_error(4, &["another endpoint"]);
    let ran = once(&["renew", "printer", "--id", "p"]).expect(0);
    assert!(ran.stderr.contains("renewed at 1 registries"), "{ran:?}");
    once(&["renew", "nothing", "--id", "p"]).expect_error(1, &["nothing is registered so"]);
    once(&["unregister", "printer", "--id", "p"]).expect(0);
    stands(&mut second, "printer: down, 0 of 0");
}

#[test] // B-37
fn a_program_that_serves_is_checked_taken_out_and_unregistered_when_it_ends() {
    let world = World::new();
    let mut registry = registry(&world);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let check = format!("tcp://{address}");
    let quick = ["--interval", "100ms", "--rise", "1", "--fall", "1", "--requires", "log"];
    let args = [&["web", "hello", "--name", "w1", "--check", &check][..], &quick].concat();
    let mut server = serve(&world, &args);
    server.expect_remark("registered with its checks");
    // Once: as what it offers, not as what is registered as well.
    stands(&mut registry, "web: up, 1 of 1");
    stands(&mut registry, "log: missing, 0 of 0");
    let call = || world.run(MOTET, &host(&["call", "web", "x", "--timeout", "2s"]));
    assert_eq!(call().expect(0).stdout, "hello\n");
    drop(listener);
    stands(&mut registry, "web: down, 0 of 1");
    assert!(!call().status.success());
    let again = TcpListener::bind(&*address).expect("the same port");
    stands(&mut registry, "web: up, 1 of 1");
    let maint = |switch| {
        let args = ["service", "maint", switch, "web", "--id", "w1", "--timeout", "20s"];
        world.run(MOTET, &host(&args)).expect(0)
    };
    maint("on");
    stands(&mut registry, "web: down, 0 of 1");
    maint("off");
    stands(&mut registry, "web: up, 1 of 1");
    assert_eq!(call().expect(0).stdout, "hello\n");
    server.signal("INT");
    stands(&mut registry, "web/w1: gone: removed");
    assert!(server.end().0.success());
    drop(again);
}
