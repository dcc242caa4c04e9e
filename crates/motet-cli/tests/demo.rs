//! The demonstration holds.

mod process;

use process::World;

#[test]
fn bc_1_and_all_2_the_demonstration_holds_in_every_phase() {
    let world = World::new();
    std::fs::create_dir_all(&world.state).unwrap();
    let mut command = world.command(env!("CARGO_BIN_EXE_motet"), &["demo"]);
    let ended = command.env("TMPDIR", &world.state).output().unwrap();
    let text = String::from_utf8_lossy(&ended.stdout);
    let trouble = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{text}\n{trouble}");
    assert!(text.contains("all phases held"), "{text}");
    // No colour without a terminal, nothing left behind.
    assert!(!text.contains('\u{1b}'));
    assert_eq!(std::fs::read_dir(&world.state).unwrap().count(), 0);
}
