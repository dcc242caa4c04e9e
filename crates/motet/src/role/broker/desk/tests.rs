//! What a broker says of itself, and what becomes of the rest when its own work breaks.

use super::super::Broker;
use super::super::attempt::BREAKS;
use super::*;
use crate::Scope;
use crate::service::{Ask, CallError, ServiceStatus};
use motet_proto::roles::broker::Claim;
use motet_proto::wanted::Kind;

#[test]
fn a_claim_survives_the_way() {
    let worker = EndpointKey { id: EndpointId([3; 16]), incarnation: 7 };
    let claim = Claim { key: b"s\0k".to_vec(), worker };
    assert_eq!(decode(&encode(&claim)), Some(claim));
    assert_eq!(decode(&[0; 23]), None);
}

#[test]
fn room_survives_the_way_and_nonsense_is_no_room() {
    assert_eq!(told_room(&told(3, 8, 2, &[])[0].1), (3, 8));
    assert_eq!(told_room("x/"), (0, 0));
}

#[test] // B-18
fn kinds_survive_the_way_and_too_many_are_not_told() {
    let kind = |version: &str, groups: &[&str]| Kind {
        version: version.into(),
        groups: groups.iter().map(|it| (*it).into()).collect(),
    };
    let kinds = vec![kind("", &[]), kind("1.0", &["a, b", "kind"]), kind("2;1", &[])];
    assert_eq!(told_kinds(&told(1, 2, 3, &kinds)), Some(kinds));
    let many: Vec<Kind> = (0..61).map(|n| kind(&n.to_string(), &[])).collect();
    assert_eq!(told_kinds(&told(1, 2, 3, &many)), None);
    let without: Vec<String> =
        vec![kind_in_words(&kind("", &[])), kind_in_words(&kind("1", &["x"]))];
    assert_eq!(without, ["version none", "version 1 in group x"]);
}

/// Nothing of it takes long, but for a broken machine.
const LIMIT: Duration = Duration::from_secs(30);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it ends in time")
}

#[tokio::test]
async fn bk_22_a_broken_invariant_of_the_broker_ends_one_request_and_harms_no_queue() {
    let state = std::env::temp_dir().join(format!("motet-desk-{}", std::process::id()));
    let open = |name: &'static str| {
        Endpoint::builder().name(name).state_dir(&state).scope(Scope::Host).open()
    };
    let (desk, worker) = (open("desk").await.unwrap(), open("worker").await.unwrap());
    let client = open("client").await.unwrap();
    let broker = Broker::new().start(&desk).await.unwrap();
    let one = ServeOptions::new().role(Role::Worker).concurrency(1);
    let mut server = worker.serve("s", one).await.unwrap();
    let mut watch = client.service("s").unwrap();
    within(async {
        while let Some(change) = watch.next().await {
            if change.instance.metadata("room").is_some_and(|room| room.starts_with("1/")) {
                break;
            }
        }
    })
    .await;
    let caller = client.caller("s", CallOptions::new().timeout(LIMIT)).unwrap();
    let first = caller.start("first").unwrap();
    let held = within(server.next()).await.unwrap();
    // It waits behind the first, and another behind it.
    let breaks = caller.start(Ask::new(BREAKS).idempotency_key("k")).unwrap();
    let behind = caller.start("behind").unwrap();
    held.reply("done").unwrap();
    within(first.last()).await.unwrap();
    match within(breaks.last()).await {
        Err(CallError::Status { status: ServiceStatus::Unknown, text, .. }) => {
            assert!(text.contains("broke"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let request = within(server.next()).await.unwrap();
    assert_eq!(request.body(), b"behind", "its place with the worker is free again");
    request.reply("done").unwrap();
    within(behind.last()).await.unwrap();
    let report = within(broker.report()).await.unwrap();
    assert_eq!((report.broken, report.counters.answered), (1, 3));
    assert_eq!((report.services[0].waiting, report.services[0].running), (0, 0));
    drop(std::fs::remove_dir_all(&state));
}
