//! Servers that are silent, and requests that come too late.

use super::*;
use crate::services::{CallSettings, WaitFor};

fn with(settings: CallSettings) -> CallSpec {
    CallSpec { settings, ..spec("x") }
}

#[test] // V-32 BK-12
fn a_server_that_is_silent_for_its_ttl_is_chosen_again_with_its_first_sign_of_life() {
    let mut two = Two::new(ServeSettings::default());
    let watch = two.caller.watch(Some("s".into()));
    let ttl = Duration::from_millis(90);
    let timeout = Duration::from_secs(20);
    let open = two.call(at(1), with(CallSettings { ttl, timeout, ..CallSettings::default() }));
    let request = two.server.next_request(at(1), two.serving).expect("it has come");
    for ms in [40, 80, 120] {
        two.caller.on_time(at(ms));
    }
    let silent = |two: &Two| two.caller.instances(watch)[0].silent;
    assert!(silent(&two));
    let wait = WaitFor::Nothing;
    let hasty = two.call(at(121), with(CallSettings { wait, ..CallSettings::default() }));
    let failed = two.caller.take_output(hasty);
    assert!(matches!(
        failed,
        Some(CallOutput::Failed(CallFailure { kind: FailureKind::NoResponders, .. }))
    ));
    assert!(two.server.next_request(at(121), two.serving).is_none());
    // It says nothing new of itself; its late answer is enough.
    two.respond(at(130), request.id, "late");
    assert!(matches!(two.caller.take_output(open), Some(CallOutput::Done(_))));
    assert!(!silent(&two));
    two.call(at(131), spec("y"));
    assert!(two.server.next_request(at(131), two.serving).is_some());
}

#[test] // V-17 BK-15
fn a_request_that_comes_after_its_deadline_is_refused_at_once_and_takes_no_room() {
    let mut two = Two::new(ServeSettings { concurrency: 1, ..ServeSettings::default() });
    two.call(at(1), spec("long"));
    let long = two.server.next_request(at(1), two.serving).expect("it has come");
    let timeout = Duration::from_millis(50);
    let late = with(CallSettings { timeout, ..CallSettings::default() });
    let late = two.caller.call(at(2), "s".into(), late, 1 << 20).expect("it may be made");
    // It was long on its way; the server is busy, and will be for long.
    two.carry(at(100));
    assert_eq!(two.server.backlog(two.serving), (0, 1));
    two.caller.on_time(at(100));
    assert_eq!(status(two.caller.take_output(late)), Some(ServiceStatus::DeadlinePassed));
    two.respond(at(101), long.id, "done");
}
