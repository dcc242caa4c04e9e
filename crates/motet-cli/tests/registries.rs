//! Registries among services that need each other, with real processes.

mod process;

use std::collections::BTreeSet;
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
