//! Roles over real sockets: what passes a broker unchanged, and what it says no to.
#![allow(clippy::unwrap_used, reason = "it is a test")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use motet::role::{Broker, BrokerHandle, NameServer, Names, NoWorkers};
use motet::service::{
    Answer, Ask, CallError, CallOptions, Caller, Role, ServeOptions, Server, ServiceStatus,
};
use motet::{Builder, Endpoint, Scope};

/// A state directory of its own, removed when dropped.
struct State(PathBuf);

impl State {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("motet-roles-{}-{n}", std::process::id()));
        Self(path)
    }

    fn builder(&self, name: &str) -> Builder {
        Endpoint::builder().name(name).state_dir(&self.0).scope(Scope::Host)
    }

    async fn open(&self, name: &str) -> Endpoint {
        self.builder(name).open().await.expect("it opens")
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Generous: only a broken machine or program reaches it.
const LIMIT: Duration = Duration::from_secs(30);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it ends in time")
}

/// A client that knows the broker, a broker that knows the worker, and the worker.
struct Scene {
    caller: Caller,
    client: Endpoint,
    broker: BrokerHandle,
    server: Server,
    _ends: [Endpoint; 2],
    _state: State,
}

async fn scene(broker: Broker, options: ServeOptions) -> Scene {
    let state = State::new();
    let desk = state.open("desk").await;
    let worker = state.open("worker").await;
    let client = state.open("client").await;
    let broker = broker.start(&desk).await.unwrap();
    let server = worker.serve("s", options.role(Role::Worker)).await.unwrap();
    let caller = client.caller("s", CallOptions::new().timeout(LIMIT)).unwrap();
    let mut watch = client.service("s").unwrap();
    // The broker stands before it once it has seen it, and says how much room there is.
    within(async {
        while let Some(change) = watch.next().await {
            let roomy =
                change.instance.metadata("room").is_some_and(|room| !room.starts_with("0/"));
            if change.instance.role() == Role::Broker && roomy {
                break;
            }
        }
    })
    .await;
    Scene { caller, client, broker, server, _ends: [desk, worker], _state: state }
}

fn status(result: Result<motet::service::Reply, CallError>) -> Option<ServiceStatus> {
    result.expect_err("it fails").status()
}

#[tokio::test]
async fn bk_8_requests_and_replies_pass_a_broker_with_all_their_fields_unchanged() {
    let mut scene = scene(Broker::new(), ServeOptions::new()).await;
    let origin = scene.client.id();
    let ask = Ask::new("one")
        .frame("two")
        .property("colour", "blau")
        .property("x-nobody-knows", "ü")
        .idempotency_key("deed-1");
    let (reply, ()) = within(async {
        tokio::join!(scene.caller.call(ask), async {
            let request = scene.server.next().await.unwrap();
            assert_eq!(request.frames(), ["one", "two"]);
            let properties: Vec<_> = request.properties().collect();
            assert_eq!(properties, [("colour", "blau"), ("x-nobody-knows", "ü")]);
            assert_eq!(request.idempotency_key(), Some(&b"deed-1"[..]));
            assert_eq!((request.origin(), request.service()), (origin, "s"));
            assert_eq!(request.hops().len(), 2, "the caller and the broker");
            let answer = Answer::new("three").frame("four").property("y-nobody-knows", "ß");
            request.answer(answer).unwrap();
        })
    })
    .await;
    let reply = reply.unwrap();
    assert_eq!(reply.frames(), ["three", "four"]);
    assert_eq!(reply.property("y-nobody-knows"), Some("ß"));
}

#[tokio::test]
async fn bk_13_what_a_worker_says_has_the_same_code_behind_a_broker() {
    let mut scene = scene(Broker::new(), ServeOptions::new()).await;
    let refusals = [ServiceStatus::BadRequest, ServiceStatus::Refused];
    for refusal in refusals {
        let (result, ()) = within(async {
            tokio::join!(scene.caller.call("x"), async {
                scene.server.next().await.unwrap().refuse(refusal, "no").unwrap();
            })
        })
        .await;
        assert_eq!(status(result), Some(refusal));
    }
    let (result, ()) = within(async {
        tokio::join!(scene.caller.call("x"), async {
            scene.server.next().await.unwrap().fail(42, "sorry").unwrap();
        })
    })
    .await;
    match result {
        Err(CallError::Status { status: ServiceStatus::Failed, code: 42, text, .. }) => {
            assert_eq!(text, "sorry");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn bk_13_without_workers_a_broker_says_so() {
    let state = State::new();
    let (desk, client) = (state.open("desk").await, state.open("client").await);
    let _broker = Broker::new().service("s").start(&desk).await.unwrap();
    let caller = client.caller("s", CallOptions::new().timeout(LIMIT)).unwrap();
    let mut watch = client.service("s").unwrap();
    within(watch.next()).await;
    assert_eq!(status(within(caller.call("x")).await), Some(ServiceStatus::NoWorkers));
}

#[tokio::test]
async fn a_broker_that_was_told_its_services_counts_no_servers_of_others() {
    let state = State::new();
    let (desk, worker) = (state.open("desk").await, state.open("worker").await);
    let _other = worker.serve("t", ServeOptions::new()).await.unwrap();
    let _server = worker.serve("s", ServeOptions::new()).await.unwrap();
    let broker = Broker::new().service("s").start(&desk).await.unwrap();
    let report = within(async {
        loop {
            let report = broker.report().await.unwrap();
            if report.services.iter().any(|it| &*it.service == "s" && it.workers.len() == 1) {
                return report;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let services: Vec<_> = report.services.iter().map(|it| &*it.service).collect();
    assert_eq!(services, ["s"]);
}

#[tokio::test] // BK-20
async fn bk_14_above_the_high_water_mark_a_broker_refuses_and_keeps_what_it_accepted() {
    let mut scene = scene(Broker::new().high_water(3), ServeOptions::new().concurrency(1)).await;
    let mut open: Vec<_> = (0..10).map(|n| scene.caller.start(format!("{n}")).unwrap()).collect();
    // One is with the worker, three wait, six are refused: at once, not retried for ever.
    let first = within(scene.server.next()).await.unwrap();
    within(async {
        while scene.broker.report().await.unwrap().counters.overload == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let report = scene.broker.report().await.unwrap();
    assert_eq!((report.services[0].waiting, report.services[0].running), (3, 1));
    first.reply("done").unwrap();
    for _ in 0..3 {
        within(scene.server.next()).await.unwrap().reply("done").unwrap();
    }
    within(async {
        while scene.broker.report().await.unwrap().counters.answered < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut done = 0;
    for replies in &mut open[..1] {
        done += usize::from(within(replies.next()).await.unwrap().is_ok());
    }
    assert_eq!(done, 1);
}

#[tokio::test]
async fn bk_15_a_request_that_waits_past_its_deadline_is_not_begun_and_the_client_knows() {
    let mut scene = scene(Broker::new(), ServeOptions::new().concurrency(1)).await;
    let blocking = scene.caller.start("long").unwrap();
    let held = within(scene.server.next()).await.unwrap();
    let late = scene.caller.start(Ask::new("late").timeout(Duration::from_millis(300))).unwrap();
    within(late.last()).await.expect_err("its time is over");
    held.reply("done").unwrap();
    within(blocking.last()).await.unwrap();
    let next = scene.caller.start("next").unwrap();
    let request = within(scene.server.next()).await.unwrap();
    assert_eq!(request.body(), b"next", "the late one was never given to the worker");
    request.reply("done").unwrap();
    within(next.last()).await.unwrap();
}

#[tokio::test]
async fn bk_16_a_repeated_key_runs_once_behind_a_broker() {
    let mut scene = scene(Broker::new(), ServeOptions::new()).await;
    for n in 0..3 {
        let ask = Ask::new("x").idempotency_key("deed");
        if n == 0 {
            let (reply, ()) = within(async {
                tokio::join!(scene.caller.call(ask), async {
                    scene.server.next().await.unwrap().reply("done once").unwrap();
                })
            })
            .await;
            assert_eq!(reply.unwrap().body(), b"done once");
        } else {
            // Nobody takes requests now: the answer comes from a cache.
            assert_eq!(within(scene.caller.call(ask)).await.unwrap().body(), b"done once");
        }
    }
}

#[tokio::test]
async fn bk_17_thousands_of_calls_in_flight_all_complete_through_a_broker() {
    let scene = scene(Broker::new(), ServeOptions::new().concurrency(256)).await;
    let mut taking = scene.server.clone();
    tokio::spawn(async move {
        while let Some(request) = taking.next().await {
            let body = request.body().to_vec();
            request.reply(body).unwrap();
        }
    });
    let open: Vec<_> = (0..5_000).map(|n| scene.caller.start(format!("{n}")).unwrap()).collect();
    for (n, replies) in open.into_iter().enumerate() {
        let reply = within(replies.last()).await.unwrap();
        assert_eq!(reply.body(), n.to_string().as_bytes(), "the answer to another's question");
    }
}

#[tokio::test]
async fn bk_19_a_broker_of_another_realm_is_neither_seen_nor_used() {
    let state = State::new();
    let prod = state.builder("desk").realm("prod").open().await.unwrap();
    let _broker =
        Broker::new().service("s").no_workers(NoWorkers::Wait).start(&prod).await.unwrap();
    let client = state.builder("client").realm("dev").open().await.unwrap();
    let caller = client.caller("s", CallOptions::new().timeout(LIMIT)).unwrap();
    let result = within(caller.call("x")).await;
    assert!(matches!(result, Err(CallError::NoResponders { .. })), "{result:?}");
}

#[tokio::test]
async fn ns_7_registering_again_is_said_and_names_of_others_are_refused() {
    let state = State::new();
    let desk = state.open("names").await;
    let server = NameServer::new().start(&desk).await.unwrap();
    let client = state.open("client").await;
    let names = Names::new(&client, "dev").unwrap();
    let ttl = Duration::from_secs(5);
    let first = within(names.register("x", ttl)).await.unwrap();
    let again = within(names.register("x", ttl)).await.unwrap();
    assert_eq!((first.already(), again.already()), (false, true));
    assert_eq!(within(names.find(Some("x"))).await.unwrap().len(), 1);
    // A message that makes no sense is refused with a code, and counted.
    let raw = client.caller("motet.names", CallOptions::new().timeout(LIMIT)).unwrap();
    assert_eq!(status(within(raw.call("noise")).await), Some(ServiceStatus::BadRequest));
    assert_eq!(server.report().await.unwrap().unread, 1);
}
