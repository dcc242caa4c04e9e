//! Ways in without multicast, and who is here, with real processes on one host.
//!
//! All listen outside of the ports that a start greets: nobody is found but by a contact.

mod process;

use process::{PATIENCE, Process, World};
use serde_json::Value;

const MOTET: &str = env!("CARGO_BIN_EXE_motet");
const APART: [&str; 6] = ["--scope", "host", "--multicast", "off", "--listen", "127.0.0.1:0"];

fn apart<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &APART].concat()
}

/// A contact, and the address where it is.
fn contact(world: &World, rest: &[&str]) -> (Process, String) {
    let args = [&["bootstrap", "--name", "contact"], rest].concat();
    let process = world.start(MOTET, &apart(&args));
    let remark = process.expect_remark("enter with: motet --peer");
    let at = remark.rsplit(' ').next().expect("an address").to_owned();
    (process, at)
}

#[track_caller]
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

// GL-19, ALL-5: with nothing but --peer.
#[test]
fn gl_19_programs_that_know_one_contact_meet_and_go_on_without_it() {
    let world = World::new();
    let (mut seed, at) = contact(&world, &[]);
    let sub = |name: &'static str| {
        let args = ["sub", "line1/**", "--name", name, "--peer", &at];
        world.start(MOTET, &apart(&args))
    };
    let (mut first, mut second) = (sub("first"), sub("second"));
    while !(told(&seed, "joined first") && told(&seed, "joined second")) {
        seed.expect("");
    }
    let talk = |body: &str| {
        let args = ["pub", "line1/temp", body, "-w", "2", "--timeout", "30s", "--peer", &at];
        world.run(MOTET, &apart(&args)).expect(0);
    };
    talk("20");
    assert_eq!((first.expect("20"), second.expect("20")), ("20".into(), "20".into()));
    seed.kill();
    // The contact is dead: what the first run remembered leads in.
    talk("21");
    assert_eq!((first.expect("21"), second.expect("21")), ("21".into(), "21".into()));
}

// RC-6, RC-13: the part about peers.
#[test]
fn rc_6_a_contact_that_is_killed_comes_back_with_its_list_and_drops_the_dead_from_it() {
    let world = World::new();
    let (mut seed, at) = contact(&world, &["--liveness", "fast"]);
    let port = at.rsplit(':').next().expect("a port").to_owned();
    let stays = ["sub", "a", "--name", "stays", "--peer", &at];
    let stays = world.start(MOTET, &apart(&stays));
    let goes = ["sub", "a", "--name", "goes", "--peer", &at];
    let mut goes = world.start(MOTET, &apart(&goes));
    while !(told(&seed, "joined stays") && told(&seed, "joined goes")) {
        seed.expect("");
    }
    let memory = world.path("peers/default.peers");
    let told_at = |name: &str| {
        let line = seed.told.iter().find(|line| line.contains(name)).expect("it joined");
        line.split(' ').nth(4).expect("an address").to_owned()
    };
    let addresses = [told_at("joined stays"), told_at("joined goes")];
    let listed = || {
        let text = std::fs::read_to_string(&memory).unwrap_or_default();
        addresses.iter().all(|at| text.contains(&format!("\n{at} ")))
    };
    wait_until("both are written down", listed);
    seed.kill();
    goes.kill();

    let listen = format!("127.0.0.1:{port}");
    let again = ["bootstrap", "--name", "contact", "--scope", "host", "--multicast", "off"];
    let again = [&again[..], &["--listen", &listen, "--liveness", "fast"]].concat();
    let mut seed = world.start(MOTET, &again);
    while !told(&seed, "joined stays") {
        seed.expect("");
    }
    let list = ["endpoint", "list", "-o", "json", "--peer", &at, "--wait", "1s"];
    let list = json(&world.run(MOTET, &apart(&list)).expect(0).stdout);
    let names: Vec<&str> =
        list.as_array().unwrap().iter().map(|each| each["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["contact", "stays"]);
    stays.signal("INT");
    while !told(&seed, "left stays") {
        seed.expect("");
    }
}

fn told(process: &Process, part: &str) -> bool {
    process.told.iter().any(|line| line.contains(part))
}

/// Looks again and again, for as long as a busy machine may take.
#[track_caller]
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !done() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

// PE-5
#[test]
fn pe_5_the_watcher_tells_of_joining_suspicion_return_death_and_leaving() {
    let world = World::new();
    let (mut seed, at) = contact(&world, &[]);
    let watch = ["endpoint", "list", "--watch", "-o", "jsonl", "--peer", &at];
    let watch = [&watch[..], &["--liveness", "300msx20"]].concat();
    let mut watch = world.start(MOTET, &apart(&watch));
    let mut next = |change: &str, name: &str| loop {
        let line = json(&watch.expect("{"));
        if line["name"] == name {
            assert_eq!(line["change"], change, "{line}");
            assert_eq!(line["id"].as_str().map(str::len), Some(32));
            return line;
        }
    };
    next("joined", "contact");
    let press = ["sub", "a", "--name", "press", "--tag", "site=north", "--peer", &at];
    let press = world.start(MOTET, &apart(&press));
    assert_eq!(next("joined", "press")["tags"]["site"], "north");
    press.signal("STOP");
    next("suspect", "press");
    press.signal("CONT");
    next("alive", "press");
    press.signal("INT");
    next("left", "press");
    seed.kill();
    next("suspect", "contact");
    assert!(next("dead", "contact")["silent_seconds"].as_f64() >= Some(6.0));
}

#[test]
fn endpoints_are_chosen_by_state_and_tags_and_show_their_round_trips() {
    let world = World::new();
    let (_seed, at) = contact(&world, &["--tag", "site=hall"]);
    let sub = |name: &'static str, tag: &'static str| {
        let args = ["sub", "a", "--name", name, "--tag", tag, "--peer", &at];
        world.start(MOTET, &apart(&args))
    };
    let (_north, south) = (sub("north-1", "site=north"), sub("south-1", "site=south"));
    let list = |rest: &[&str]| -> Vec<Value> {
        let args = [&["endpoint", "list", "-o", "json", "--peer", &at, "--wait", "1s"], rest];
        let text = world.run(MOTET, &apart(&args.concat())).expect(0).stdout;
        json(&text).as_array().unwrap().clone()
    };
    wait_until("all are here", || list(&[]).len() == 3);
    let by_tag = list(&["--tag", "site=n.*|hall"]);
    let names: Vec<&str> = by_tag.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["contact", "north-1"]);
    assert_eq!(by_tag[1]["tags"]["site"], "north");
    assert!(by_tag.iter().all(|row| row["rtt_seconds"].as_f64() > Some(0.0)), "{by_tag:#?}");
    assert_eq!(by_tag[0]["roles"], serde_json::json!(["seed"]));
    assert_eq!(list(&["--status", "dead|suspect"]).len(), 0);
    let table = ["endpoint", "list", "-v", "--peer", &at, "--wait", "1s"];
    let table = world.run(MOTET, &apart(&table)).expect(0).stdout;
    assert!(table.contains("TAGS") && table.contains("site=south"), "{table}");
    let wrong = ["endpoint", "list", "--status", "(", "--peer", &at];
    world.run(MOTET, &apart(&wrong)).expect_error(2, &["--status", "suspect|dead"]);

    let rtt = |rest: &[&str]| {
        world.run(MOTET, &apart(&[&["endpoint", "rtt", "--peer", &at, "--quiet"], rest].concat()))
    };
    let measured = json(&rtt(&["north-1", "south-1", "-o", "json"]).expect(0).stdout);
    assert_eq!((&measured["from"], &measured["to"]), (&"north-1".into(), &"south-1".into()));
    assert!(measured["median_seconds"].as_f64() >= measured["min_seconds"].as_f64());
    assert!(rtt(&["north-1"]).expect(0).stdout.starts_with("here -> north-1: median "));
    rtt(&["north-1", "north-1"]).expect_error(1, &["M0310", "name two"]);
    south.signal("STOP");
    let late = rtt(&["north-1", "south-1", "--timeout", "500ms"]);
    late.expect_error(3, &["M0302", "south-1", "motet endpoint list"]);
    south.signal("CONT");
    rtt(&["nobody", "--timeout", "300ms"]).expect_error(3, &["M0302", "nobody"]);
}

#[test]
fn a_bad_contact_is_refused_or_told_of_with_what_to_do() {
    let world = World::new();
    std::fs::create_dir_all(&world.state).unwrap();
    let file = world.path("list");
    std::fs::write(&file, "# ours\n10.0.0.5\n10.0.0.6, 10.0.0.7\n").unwrap();
    let named = format!("@{}", file.display());
    let args = ["sub", "a", "--peer", &named];
    let parts = ["M0108", "line 3", "10.0.0.6, 10.0.0.7", "one a line"];
    world.run(MOTET, &apart(&args)).expect_error(2, &parts);
    let args = ["sub", "a", "--peer", "@/nowhere/list"];
    world.run(MOTET, &apart(&args)).expect_error(2, &["M0108", "/nowhere/list", "make it"]);
    let args = ["sub", "a", "--peer", "two words"];
    world.run(MOTET, &apart(&args)).expect_error(2, &["M0105", "@FILE"]);
    let args = ["sub", "a", "--tag", "two words=x"];
    world.run(MOTET, &apart(&args)).expect_error(2, &["M0109", "1 to 63"]);

    let args = ["sub", "a", "--peer", "nowhere.invalid"];
    let reader = world.start(MOTET, &apart(&args));
    let told = reader.expect_remark("nowhere.invalid");
    assert!(told.starts_with("warning: ") && told.contains("check the name"), "{told}");
}
