//! Timer, locks, secrets, host: the parts that need no network.
#![allow(clippy::unwrap_used)] // in the functions that the tests share, too

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use motet_net::{
    FileLock, SecretError, Timer, create_secret, host_id_source, monotonic_now, read_secret,
    wait_readable, wall_ms,
};

const PATIENCE: Duration = Duration::from_secs(5);

/// A directory of its own for each test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("motet-net-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_timer_fires_at_its_deadline_and_not_when_disarmed() {
    let timer = Timer::new().unwrap();
    assert!(!timer.drain());
    let start = monotonic_now();
    timer.arm(Duration::from_millis(2)).unwrap();
    assert!(wait_readable(&timer, PATIENCE).unwrap());
    assert!(monotonic_now() - start >= Duration::from_millis(2));
    assert!(timer.drain() && !timer.drain());

    timer.arm(Duration::ZERO).unwrap();
    assert!(wait_readable(&timer, PATIENCE).unwrap() && timer.drain());
    timer.arm_at(Duration::ZERO).unwrap();
    assert!(wait_readable(&timer, PATIENCE).unwrap() && timer.drain());

    timer.arm_at(monotonic_now() + Duration::from_millis(2)).unwrap();
    timer.disarm().unwrap();
    assert!(!wait_readable(&timer, Duration::from_millis(10)).unwrap());
    timer.arm(Duration::MAX).unwrap();
    assert!(!timer.drain());
}

#[test]
fn the_wall_clock_is_in_this_century() {
    assert!((1_600_000_000_000..4_102_444_800_000).contains(&wall_ms()));
}

#[test]
fn the_host_is_the_same_each_time() {
    assert_eq!(host_id_source(), host_id_source());
    assert!(!host_id_source().is_empty());
    assert!(!host_id_source().contains(&b'\n'));
}

#[test]
fn a_lock_is_held_by_one_until_it_is_dropped() {
    let scratch = Scratch::new("lock");
    let path = scratch.0.join("lock");
    let held = FileLock::acquire(&path).unwrap();
    assert!(held.is_some());
    assert!(FileLock::acquire(&path).unwrap().is_none());
    drop(held);
    assert!(FileLock::acquire(&path).unwrap().is_some());
    assert!(FileLock::acquire(&scratch.0.join("no/such")).is_err());
}

#[test]
fn of_eight_that_create_a_secret_one_makes_it_and_all_read_the_same() {
    let scratch = Scratch::new("race");
    let path = scratch.0.join("key");
    let start = Barrier::new(8);
    let results: Vec<(bool, Vec<u8>)> = thread::scope(|scope| {
        let one = |number: u8| {
            let (path, start) = (&path, &start);
            scope.spawn(move || {
                start.wait();
                let made = create_secret(path, &[number; 32]).unwrap();
                (made, read_secret(path).unwrap())
            })
        };
        let threads: Vec<_> = (0..8).map(one).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|(made, _)| *made).count(), 1);
    assert!(results.iter().all(|(_, secret)| secret.len() == 32 && *secret == results[0].1));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1, "a draft was left behind");
}

#[test]
fn a_secret_that_others_may_read_is_refused() {
    let scratch = Scratch::new("open");
    let path = scratch.0.join("key");
    assert!(matches!(read_secret(&path), Err(SecretError::NotFound)));
    assert!(create_secret(&path, b"secret").unwrap());
    assert!(!create_secret(&path, b"other").unwrap());
    assert_eq!(read_secret(&path).unwrap(), b"secret");
    for mode in [0o640, 0o604, 0o660, 0o602] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(
            matches!(read_secret(&path), Err(SecretError::TooOpen { mode: told }) if told == mode)
        );
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(read_secret(&path).unwrap(), b"secret");
}

#[test]
fn a_secret_that_is_no_file_or_too_long_is_refused() {
    let scratch = Scratch::new("kind");
    let path = scratch.0.join("key");
    assert!(create_secret(&path, &[0; 65_537]).unwrap());
    assert!(matches!(read_secret(&path), Err(SecretError::TooLong { max: 65_536 })));
    let link = scratch.0.join("link");
    symlink(&path, &link).unwrap();
    assert!(matches!(read_secret(&link), Err(SecretError::NotAFile)));
    assert!(!create_secret(&link, b"x").unwrap());
    assert!(matches!(read_secret(&scratch.0), Err(SecretError::NotAFile)));
    assert!(create_secret(&scratch.0.join("no/such"), b"x").is_err());
}
