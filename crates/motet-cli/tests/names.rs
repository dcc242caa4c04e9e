//! Calls that resolve through name servers, with real processes on one host.

mod process;

use process::{Process, Ran, World};

const MOTET: &str = env!("CARGO_BIN_EXE_motet");

/// `motet --scope host ARGS`; a death is noticed after a second.
fn host<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["--scope", "host"], args].concat()
}

fn name_server(world: &World, name: &str) -> Process {
    let mut server = world.start(MOTET, &host(&["nameserver", "--name", name]));
    server.expect("name server ");
    server
}

/// A server of `who` that answers with its name, registered in an environment.
fn serve(world: &World, name: &str, environment: &str, more: &[&str]) -> Process {
    let base = ["serve", "who", name, "--name", name, "--register-in", environment, "--safe"];
    let server = world.start(MOTET, &host(&[&base[..], more].concat()));
    server.expect_remark(&format!("registered in {environment}"));
    server
}

fn call(world: &World, environment: &str) -> Ran {
    let args = ["call", "who", "x", "--by-name-server", environment, "--timeout", "30s"];
    world.run(MOTET, &host(&args))
}

#[test] // NS-6 B-24 B-25
fn a_call_by_name_server_reaches_who_is_registered_in_its_environment_and_nobody_else() {
    let world = World::new();
    let mut a = name_server(&world, "a");
    let _dev = serve(&world, "in-dev", "dev", &[]);
    let _prod = serve(&world, "in-prod", "prod", &[]);
    let plain = world.start(MOTET, &host(&["serve", "who", "plain", "--name", "plain"]));
    plain.expect_remark("serving");
    a.expect("holds 2 names");
    for _ in 0..3 {
        assert_eq!(call(&world, "dev").expect(0).stdout, "in-dev\n");
        assert_eq!(call(&world, "prod").expect(0).stdout, "in-prod\n");
    }
    // Where nobody is registered that is said at once, with what to do, though somebody offers it.
    let begun = tokio::time::Instant::now();
    call(&world, "test")
        .expect_error(3, &["M0402", "\"who\"", "\"test\"", "motet serve who --register-in test"]);
    assert!(begun.elapsed().as_secs() < 15, "it waited for its timeout");
}

#[test] // B-26
fn without_a_name_server_a_call_by_one_says_so_at_once() {
    let world = World::new();
    let serving = ["serve", "who", "me", "--register-in", "dev"];
    let server = world.start(MOTET, &host(&serving));
    server.expect_remark("serving");
    let begun = tokio::time::Instant::now();
    call(&world, "dev").expect_error(3, &["M0402", "no name server", "motet nameserver"]);
    assert!(begun.elapsed().as_secs() < 15, "it waited for its timeout");
    // One that comes hears of the server at once.
    let mut late = name_server(&world, "late");
    late.expect("holds 1 names");
    server.expect_remark("registered in dev");
    assert_eq!(call(&world, "dev").expect(0).stdout, "me\n");
}

#[test] // NS-2 NS-4
fn calls_by_name_server_survive_the_death_of_a_name_server_and_of_a_server() {
    let world = World::new();
    let mut names = ["a", "b"].map(|name| name_server(&world, name));
    names[0].expect("holds 0 names, sees 1 peers");
    // A lease of a minute: the dead stay registered, and are passed over.
    let lease = ["--lease", "60s"];
    let mut servers = ["one", "two"].map(|name| serve(&world, name, "dev", &lease));
    for server in &mut names {
        server.expect("holds 2 names, sees 1 peers");
    }
    // A mute name server is passed over, too.
    names[0].signal("STOP");
    let both = ["one\n", "two\n"];
    assert!(both.contains(&&*call(&world, "dev").expect(0).stdout));
    names[0].kill();
    names[1].expect("holds 2 names, sees 0 peers");
    servers[0].kill();
    for _ in 0..3 {
        assert_eq!(call(&world, "dev").expect(0).stdout, "two\n");
    }
    // A drain removes the name from the name server at once, whatever the lease.
    servers[1].signal("INT");
    assert!(servers[1].end().0.success());
    names[1].expect("holds 1 names");
}
