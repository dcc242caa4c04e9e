//! Our interest set, and a peer's view of it.

use super::{filter, name};
use motet_proto::topics::interest::{
    DELTAS_KEPT, LocalInterest, REMOTE_FILTERS_MAX, RemoteInterest, Stale,
};
use motet_wire::record::Interest;
use proptest::prelude::*;

/// Stands in for the realm's keyed hash.
fn hash(name: &str) -> u64 {
    name.bytes().fold(7, |hash, byte| hash * 31 + u64::from(byte))
}

fn asks_for(filters: &[&str]) -> LocalInterest {
    let mut local = LocalInterest::default();
    for text in filters {
        local.add(&filter(text), hash);
    }
    local
}

fn wants(remote: &RemoteInterest, text: &str) -> bool {
    remote.wants(&name(text), hash(text))
}

#[test] // P-10
fn the_version_moves_when_the_set_changes_and_only_then() {
    let mut local = LocalInterest::default();

    assert!(local.add(&filter("a"), hash));
    assert!(!local.add(&filter("a"), hash), "a second subscription");
    assert!(local.add(&filter("b/*"), hash));
    assert!(!local.remove(&filter("a"), hash), "one is left");
    assert!(!local.remove(&filter("c"), hash), "nobody asked for it");
    assert_eq!(local.version(), 2);
    assert!(local.remove(&filter("a"), hash));
    assert!(local.set_history(true));
    assert!(!local.set_history(true));
    assert_eq!((local.version(), local.len()), (4, 1));
}

#[test]
fn a_snapshot_tells_all() {
    let mut local = asks_for(&["a/b", "words/*"]);
    local.set_history(true);
    let mut remote = RemoteInterest::default();

    assert_eq!(remote.apply(&local.snapshot()), Ok(true));

    assert!(wants(&remote, "a/b") && wants(&remote, "words/eng") && !wants(&remote, "a"));
    assert!(remote.wants_history());
    assert_eq!(remote.version(), local.version());
}

#[test] // P-11
fn a_delta_names_the_net_change_only() {
    let mut local = asks_for(&["a", "b", "c/*"]);
    let base = local.version();

    local.remove(&filter("a"), hash);
    local.add(&filter("x"), hash);
    local.remove(&filter("x"), hash);
    local.remove(&filter("b"), hash);
    local.add(&filter("b"), hash);
    local.add(&filter("d/*"), hash);

    let delta = local.delta_since(base).unwrap();
    assert_eq!((delta.added, delta.removed), (vec![], vec![hash("a")]));
    assert_eq!((delta.patterns_added, delta.patterns_removed), (vec!["d/*".to_owned()], vec![]));
    assert_eq!((delta.base, delta.version), (base, local.version()));
}

#[test] // P-11
fn who_is_more_than_256_changes_behind_gets_a_snapshot() {
    let mut local = asks_for(&["a"]);
    for n in 0..DELTAS_KEPT {
        local.add(&filter(&format!("t/{n}")), hash);
    }

    assert!(local.delta_since(1).is_some());
    local.add(&filter("one more"), hash);
    assert_eq!(local.delta_since(1), None);
    assert_eq!(local.delta_since(0), None, "base 0 means a snapshot");
    assert_eq!(local.delta_since(local.version() + 1), None, "not ours");
    assert!(local.delta_since(local.version()).is_some());
}

#[test] // P-12
fn an_old_version_is_ignored() {
    let mut local = asks_for(&["a"]);
    let old = local.snapshot();
    local.remove(&filter("a"), hash);
    let mut remote = RemoteInterest::default();
    remote.apply(&local.snapshot()).unwrap();

    assert_eq!(remote.apply(&old), Ok(false));

    assert!(!wants(&remote, "a"));
}

#[test] // P-13
fn a_delta_on_another_version_is_stale_and_changes_nothing() {
    let mut local = asks_for(&["a"]);
    let mut remote = RemoteInterest::default();
    remote.apply(&local.snapshot()).unwrap();
    local.add(&filter("b"), hash);
    let base = local.version();
    local.add(&filter("c"), hash);
    let delta = local.delta_since(base).unwrap();

    assert_eq!(remote.apply(&delta), Err(Stale { have: 1, base: 2, version: 3 }));

    assert!(!wants(&remote, "c"));
    assert_eq!(remote.apply(&local.delta_since(1).unwrap()), Ok(true));
    assert!(wants(&remote, "b") && wants(&remote, "c"));
}

#[test] // P-13
fn a_delta_on_an_older_version_than_ours_is_stale_too() {
    let mut local = asks_for(&["a"]);
    let mut remote = RemoteInterest::default();
    local.add(&filter("b"), hash);
    remote.apply(&local.snapshot()).unwrap();
    local.remove(&filter("b"), hash);
    let delta = local.delta_since(1).unwrap();
    assert!(delta.removed.is_empty(), "since version 1 nothing has changed");

    assert_eq!(remote.apply(&delta), Err(Stale { have: 2, base: 1, version: 3 }));

    assert_eq!(remote.apply(&local.snapshot()), Ok(true));
    assert!(!wants(&remote, "b"));
}

#[test] // P-14
fn filters_beyond_10000_are_refused_and_counted() {
    let mut remote = RemoteInterest::default();
    let added = (0..16_000).collect();
    let patterns_added = vec!["a/*".to_owned(), "b/*".to_owned()];

    remote.apply(&Interest { version: 1, added, patterns_added, ..Interest::default() }).unwrap();

    assert_eq!((remote.len(), remote.refused()), (REMOTE_FILTERS_MAX, 6_002));
    let removed = (0..5).collect();
    let patterns_added = vec!["c/*".to_owned()];
    let delta = Interest { base: 1, version: 2, removed, patterns_added, ..Interest::default() };
    assert_eq!(remote.apply(&delta), Ok(true));
    assert!(wants(&remote, "c/x"));
}

#[test] // P-15
fn patterns_that_are_no_filters_are_skipped_and_counted() {
    let mut remote = RemoteInterest::default();
    let patterns_added = ["e*", "a//b", "", "**/**/**/**/**", "ok/*"].map(str::to_owned).into();

    remote.apply(&Interest { version: 1, patterns_added, ..Interest::default() }).unwrap();

    assert_eq!((remote.len(), remote.bad_patterns()), (1, 4));
    assert!(wants(&remote, "ok/x"));
}

#[test] // P-16
fn a_filter_for_many_topics_means_that_all_are_offered() {
    let mut remote = RemoteInterest::default();
    let mut update = Interest { version: 1, filter: Some(vec![1]), ..Interest::default() };

    assert_eq!(remote.apply(&update), Ok(true));
    assert!(wants(&remote, "a/b") && !wants(&remote, "$inbox/1"));

    update = Interest { version: 2, ..Interest::default() };
    assert_eq!(remote.apply(&update), Ok(true));
    assert!(!wants(&remote, "a/b"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test] // P-10, P-11, P-13
    fn deltas_in_any_portions_lead_to_the_same_set(
        steps in proptest::collection::vec((any::<bool>(), 0..8usize, 0..6u8), 1..120),
    ) {
        let filters = ["a", "b", "c/d", "e", "a/*", "**/b", "c/**", "*"];
        let names = ["a", "b", "c/d", "e", "a/x", "x/b", "c", "z"];
        let mut local = LocalInterest::default();
        let mut remote = RemoteInterest::default();
        for (add, which, tell) in steps {
            let filter = filter(filters[which]);
            if add { local.add(&filter, hash) } else { local.remove(&filter, hash) };
            if tell == 0 {
                let update = local.delta_since(remote.version());
                let before = names.map(|name| wants(&remote, name));
                let changed = remote.apply(&update.unwrap_or_else(|| local.snapshot())).unwrap();
                let mut whole = RemoteInterest::default();
                whole.apply(&local.snapshot()).unwrap();
                let after = names.map(|name| wants(&remote, name));
                prop_assert_eq!(after, names.map(|name| wants(&whole, name)));
                prop_assert!(changed || before == after);
                prop_assert_eq!(remote.len(), local.len());
            }
        }
    }
}
