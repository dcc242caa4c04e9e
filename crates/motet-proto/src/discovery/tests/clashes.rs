use super::*;

fn conflict(other: EndpointKey, newcomer: bool) -> Action {
    Action::Event(Event::NameConflict { name: "me".into(), other, newcomer })
}

fn dead(key: EndpointKey, reason: DownReason) -> Action {
    Action::DeclareDead { id: key.id, reason }
}

#[test] // D-18, D-20
fn the_older_holder_of_a_name_is_told_at_once_and_once() {
    let mut bench = Bench::settled();
    let newcomer = key(1, 501);

    bench.up_as(newcomer, "me", 0);
    assert_eq!(bench.decisions(), [conflict(newcomer, false)]);
    bench.discovery.on_session_down(bench.now, newcomer, SILENT);
    bench.up_as(newcomer, "me", 0);

    assert_eq!(bench.decisions(), []);
}

#[test] // D-18, D-20
fn the_newcomer_is_told_when_the_older_holder_answers_its_probe() {
    let mut bench = Bench::settled();
    let older = key(1, 499);

    bench.up_as(older, "me", 0);
    assert_eq!(bench.decisions(), [Action::Probe { id: older.id }]);
    bench.probed(older, true);
    bench.probed(older, true);

    assert_eq!(bench.decisions(), [conflict(older, true)]);
}

#[test] // D-19
fn a_newcomer_declares_a_silent_older_holder_dead_and_sees_no_clash() {
    let mut bench = Bench::settled();
    let older = key(1, 499);

    bench.up_as(older, "me", 0);
    bench.probed(older, false);

    let wanted = [Action::Probe { id: older.id }, dead(older, DownReason::Restarted)];
    assert_eq!(bench.decisions(), wanted);
}

#[test] // D-19
fn a_third_party_learns_of_a_restart_under_the_same_name_by_one_probe() {
    let mut bench = Bench::settled();
    let (killed, restarted) = (key(1, 10), key(2, 20));
    bench.up_as(killed, "robot", 0);

    bench.up_as(restarted, "robot", 0);
    assert_eq!(bench.decisions(), [Action::Probe { id: killed.id }]);
    bench.probed(killed, false);
    assert_eq!(bench.decisions(), [dead(killed, DownReason::Restarted)]);
    bench.discovery.on_session_down(bench.now, killed, DownReason::Restarted);

    let holders: Vec<_> = bench.discovery.name_holders("robot").map(|m| m.key).collect();
    assert_eq!(holders, [restarted]);
    assert!(bench.discovery.member(killed.id).is_none());
    bench.run_for(S * 100);
    assert!(bench.dials().is_empty(), "it is not redialled");
}

#[test] // D-18, D-19
fn a_third_party_says_nothing_of_two_holders_that_both_live() {
    let mut bench = Bench::settled();
    let (older, newer) = (key(1, 10), key(2, 20));

    bench.up_as(newer, "robot", 0);
    bench.up_as(older, "robot", 0);
    assert_eq!(bench.decisions(), [], "the older one has just shown that it lives");
    bench.up_as(key(3, 30), "robot", 0);
    bench.probed(older, true);
    bench.probed(newer, true);

    let probes = [older, newer].map(|key| Action::Probe { id: key.id });
    assert_eq!(bench.decisions(), probes);
    assert_eq!(bench.discovery.name_holders("robot").count(), 3);
}

#[test] // D-19
fn a_member_that_was_only_paused_is_met_again() {
    let mut bench = Bench::settled();
    let paused = key(1, 1);
    bench.up_as(paused, "robot", 0);
    bench.up_as(key(2, 2), "robot", 0);
    bench.probed(paused, false);
    bench.discovery.on_session_down(bench.now, paused, DownReason::Restarted);
    bench.decisions();

    bench.hear(paused, &beacon_of(1), false);

    assert_eq!(bench.decisions(), [Action::Dial { id: Some(paused.id), addrs: vec![addr(1)] }]);
}

#[test] // D-19
fn a_holder_that_answered_is_probed_again_for_the_next_newcomer() {
    let mut bench = Bench::settled();
    let older = key(1, 10);
    bench.up_as(older, "robot", 0);
    bench.up_as(key(2, 20), "robot", 0);
    bench.probed(older, true);
    bench.discovery.on_session_down(bench.now, key(2, 20), LEFT);
    bench.decisions();

    bench.up_as(key(3, 30), "robot", 0);
    bench.probed(older, false);

    let wanted = [Action::Probe { id: older.id }, dead(older, DownReason::Restarted)];
    assert_eq!(bench.decisions(), wanted);
}

#[test] // D-16
fn a_goodbye_of_a_live_member_is_checked_by_a_probe() {
    let mut bench = Bench::settled();
    bench.up(1);
    bench.up(2);
    let (gone, forged) = (key(1, 1), key(2, 1));

    for key in [gone, gone, gone, forged] {
        bench.discovery.on_leaving(bench.now, key);
        bench.pull();
    }
    bench.probed(gone, false);
    bench.probed(forged, true);

    let probes = [Action::Probe { id: gone.id }, Action::Probe { id: forged.id }];
    assert_eq!(bench.decisions(), [probes.as_slice(), &[dead(gone, LEFT)]].concat());
}

#[test] // D-16
fn a_goodbye_of_anybody_else_ends_the_dialling() {
    let mut bench = Bench::settled();
    bench.up(1);
    bench.down(1, SILENT);

    bench.discovery.on_leaving(bench.now, key(1, 1));
    bench.run_for(S * 100);

    assert!(bench.dials().is_empty() && bench.discovery.member(key(1, 1).id).is_none());
}

#[test] // D-19
fn a_probe_that_ends_after_its_session_means_nothing() {
    let mut bench = Bench::settled();
    bench.up_as(key(1, 1), "me", 0);
    bench.decisions();

    bench.down(1, SILENT);
    bench.probed(key(1, 1), false);
    bench.up_as(key(1, 2), "other", 0);
    bench.probed(key(1, 2), false);

    assert_eq!(bench.decisions(), []);
}
