//! Roles over real sockets: what passes a broker unchanged, and what it says no to.
#![allow(clippy::unwrap_used, reason = "it is a test")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use motet::role::{Broker, BrokerHandle, NameServer, Names, NoWorkers};
use motet::service::{
    Address, Answer, Ask, CallError, CallOptions, Caller, Found, InstanceState, Order, Role,
    ServeError, ServeOptions, Server, ServiceStatus, WaitFor,
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
    // The broker stands before it once it has seen it, and says how much room there is.
    let mut watch = client.service("s").unwrap();
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

/// Waits until a broker before `s` says that it has room; `room` is part of what it says.
async fn await_room(client: &Endpoint, room: &str) {
    let mut watch = client.service("s").unwrap();
    within(async {
        while let Some(change) = watch.next().await {
            let told = change.instance.metadata("room");
            if change.instance.role() == Role::Broker && told.is_some_and(|it| it.contains(room)) {
                break;
            }
        }
    })
    .await;
}

fn status(result: Result<motet::service::Reply, CallError>) -> Option<ServiceStatus> {
    result.expect_err("it fails").status()
}

#[tokio::test] // B-18 B-19
async fn bk_8_requests_and_replies_pass_a_broker_with_all_their_fields_unchanged() {
    let options = ServeOptions::new().version("2.1").metadata("group", "north");
    let mut scene = scene(Broker::new(), options).await;
    let origin = scene.client.id();
    let wants = CallOptions::new().timeout(LIMIT).version("2").group("north");
    let caller = scene.client.caller("s", wants).unwrap();
    let ask = Ask::new("one")
        .frame("two")
        .property("colour", "blau")
        .property("x-nobody-knows", "ü")
        .property("x-nobody-knows", "again")
        .idempotency_key("deed-1");
    let mut replies = caller.start(ask).unwrap();
    let request = within(scene.server.next()).await.unwrap();
    assert_eq!(request.frames(), ["one", "two"]);
    let properties: Vec<_> = request.properties().collect();
    let unknown = ("x-nobody-knows", "ü");
    assert_eq!(properties, [("colour", "blau"), unknown, ("x-nobody-knows", "again")]);
    assert_eq!(request.idempotency_key(), Some(&b"deed-1"[..]));
    assert_eq!((request.origin(), request.service()), (origin, "s"));
    assert_eq!(request.hops().len(), 2, "the caller and the broker");
    assert_eq!(request.version(), "2", "the version wanted");
    assert_eq!(request.address(), &Address::Group("north".into()), "whom it is meant for");
    // The correlation id is that of who sent it: here of the broker, there of the caller.
    assert_eq!(request.correlation().0, request.client().incarnation);
    assert_ne!(request.client().id, origin);
    let answer = Answer::new("three").frame("four").property("y-nobody-knows", "ß");
    request.answer(answer).unwrap();
    let reply = within(replies.next()).await.unwrap().unwrap();
    assert_eq!(reply.frames(), ["three", "four"]);
    let properties: Vec<_> = reply.properties().collect();
    assert_eq!(properties, [("y-nobody-knows", "ß")]);
    // Many calls at once: each gets the answer to its own correlation id.
    let open: Vec<_> = (0..20).map(|n| caller.start(format!("{n}")).unwrap()).collect();
    let mut requests = Vec::new();
    for _ in 0..open.len() {
        requests.push(within(scene.server.next()).await.unwrap());
    }
    while let Some(request) = requests.pop() {
        let body = request.body().to_vec();
        request.reply(body).unwrap();
    }
    for (n, replies) in open.into_iter().enumerate() {
        assert_eq!(within(replies.last()).await.unwrap().body(), n.to_string().as_bytes());
    }
}

#[tokio::test] // B-18
async fn a_broker_gives_work_only_to_the_version_and_group_wanted_and_says_which_there_are() {
    let state = State::new();
    let desk = state.open("desk").await;
    let _broker = Broker::new().start(&desk).await.unwrap();
    let (old, new) = (state.open("old").await, state.open("new").await);
    let worker = |version: &str| ServeOptions::new().role(Role::Worker).version(version);
    let mut old_server = old.serve("s", worker("1.4")).await.unwrap();
    let options = worker("2.0").metadata("group", "north");
    let mut new_server = new.serve("s", options).await.unwrap();
    let client = state.open("client").await;
    await_room(&client, "/128/").await;
    let calls = |version: &str| {
        let options = CallOptions::new().timeout(LIMIT).version(version);
        client.caller("s", options).unwrap()
    };
    tokio::spawn(async move {
        while let Some(request) = old_server.next().await {
            request.reply("old").unwrap();
        }
    });
    tokio::spawn(async move {
        while let Some(request) = new_server.next().await {
            request.reply("new").unwrap();
        }
    });
    for (version, is) in [("1", "old"), ("1.4", "old"), ("2", "new")] {
        let caller = calls(version);
        for _ in 0..5 {
            assert_eq!(within(caller.call("x")).await.unwrap().body(), is.as_bytes());
        }
    }
    let in_group =
        |group: &str| client.caller("s", CallOptions::new().timeout(LIMIT).group(group)).unwrap();
    for _ in 0..5 {
        assert_eq!(within(in_group("north").call("x")).await.unwrap().body(), b"new");
    }
    for (caller, asked) in [(calls("3"), "of version 3"), (in_group("south"), "in group south")] {
        match within(caller.call("x")).await {
            Err(CallError::Status { status: ServiceStatus::NoWorkers, text, .. }) => {
                let there = "there are: version 1.4; version 2.0 in group north";
                assert_eq!(text, format!("no worker is {asked}; {there}"));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// What a call came to, by code.
fn code(result: Result<motet::service::Reply, CallError>) -> (ServiceStatus, u64, String) {
    match result.expect_err("it fails") {
        CallError::Status { status, code, text, .. } => (status, code, text),
        CallError::NoResponders { .. } => (ServiceStatus::NoWorkers, 0, String::new()),
        other => panic!("{other:?}"),
    }
}

/// Ends of calls that a program says no to, by code and text.
async fn refusals(caller: &Caller, server: &mut Server) -> Vec<(ServiceStatus, u64, String)> {
    let statuses = [
        ServiceStatus::UnknownService,
        ServiceStatus::NoWorkers,
        ServiceStatus::Overload,
        ServiceStatus::DeadlinePassed,
        ServiceStatus::BadRequest,
        ServiceStatus::Refused,
    ];
    let mut seen = Vec::new();
    for status in statuses {
        let text = format!("no: {}", status.as_str());
        // A broker may ask once more what was not begun.
        let result = {
            let mut call = std::pin::pin!(caller.call("x"));
            loop {
                tokio::select! {
                    result = &mut call => break result,
                    request = server.next() => {
                        request.unwrap().refuse(status, text.clone()).unwrap();
                    }
                }
            }
        };
        let said = code(result);
        assert_eq!(said, (status, 0, text));
        seen.push(said);
    }
    let (result, ()) = within(async {
        tokio::join!(caller.call("x"), async {
            server.next().await.unwrap().fail(42, "sorry").unwrap();
        })
    })
    .await;
    seen.push(code(result));
    seen
}

#[tokio::test]
async fn bk_13_each_way_to_fail_has_its_code_and_text_the_same_with_a_broker_and_without() {
    let once = || CallOptions::new().timeout(LIMIT).tries(1);
    let mut scene = scene(Broker::new(), ServeOptions::new()).await;
    let brokered = scene.client.caller("s", once()).unwrap();
    let with = within(refusals(&brokered, &mut scene.server)).await;
    let state = State::new();
    let (server, client) = (state.open("server").await, state.open("client").await);
    let mut server = server.serve("s", ServeOptions::new()).await.unwrap();
    let direct = client.caller("s", once()).unwrap();
    let without = within(refusals(&direct, &mut server)).await;
    assert_eq!(with, without);
    let codes: std::collections::BTreeSet<_> = with.iter().map(|(it, ..)| it.as_str()).collect();
    assert_eq!(codes.len(), 7, "a code of its own for each");
    assert_eq!(with.last().unwrap(), &(ServiceStatus::Failed, 42, "sorry".into()));
}

#[tokio::test]
async fn bk_13_overload_comes_about_the_same_with_a_broker_and_without() {
    let tiny = || ServeOptions::new().concurrency(1).queue(0);
    let once = || CallOptions::new().timeout(LIMIT).tries(1);
    let mut scene = scene(Broker::new().high_water(1), tiny()).await;
    let brokered = scene.client.caller("s", once()).unwrap();
    let state = State::new();
    let (server, client) = (state.open("server").await, state.open("client").await);
    let mut server = server.serve("s", tiny()).await.unwrap();
    let direct = client.caller("s", once()).unwrap();
    // At the broker one waits beside the one that runs.
    for (caller, server, waits) in
        [(brokered, &mut scene.server, true), (direct, &mut server, false)]
    {
        let first = caller.start("1").unwrap();
        let held = within(server.next()).await.unwrap();
        let second = waits.then(|| caller.start("waits").unwrap());
        let (said, _, text) = code(within(caller.call("2")).await);
        assert_eq!(said, ServiceStatus::Overload);
        assert!(!text.is_empty());
        held.reply("done").unwrap();
        within(first.last()).await.unwrap();
        if let Some(second) = second {
            within(server.next()).await.unwrap().reply("done").unwrap();
            within(second.last()).await.unwrap();
        }
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
    let caller = scene.client.caller("s", CallOptions::new().timeout(LIMIT).tries(1)).unwrap();
    let open: Vec<_> = (0..10).map(|n| caller.start(format!("{n}")).unwrap()).collect();
    // One is with the worker, three wait, six are refused: at once, not retried for ever.
    let first = within(scene.server.next()).await.unwrap();
    within(async {
        while scene.broker.report().await.unwrap().counters.overload < 6 {
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
    // Which six were too many is for the broker to say; the four that were taken are all answered.
    let mut ends = Vec::new();
    for replies in open {
        ends.push(within(replies.last()).await);
    }
    let answered = ends.iter().filter(|end| end.is_ok()).count();
    assert_eq!(answered, 4, "{ends:?}");
    for end in ends.into_iter().filter(Result::is_err) {
        let (said, _, text) = code(end);
        assert_eq!(said, ServiceStatus::Overload);
        assert!(text.contains("too many requests wait"), "{text}");
    }
    let counters = scene.broker.report().await.unwrap().counters;
    assert_eq!((counters.answered, counters.overload), (4, 6));
}

#[tokio::test]
async fn bk_15_a_request_that_waits_past_its_deadline_is_not_begun_and_the_client_knows() {
    let mut scene = scene(Broker::new(), ServeOptions::new().concurrency(1)).await;
    let blocking = scene.caller.start("long").unwrap();
    let held = within(scene.server.next()).await.unwrap();
    let late = scene.caller.start(Ask::new("late").timeout(Duration::from_millis(300))).unwrap();
    match within(late.last()).await {
        Err(CallError::TimedOut { .. }) => {}
        Err(CallError::Status { status: ServiceStatus::DeadlinePassed, .. }) => {}
        other => panic!("its time is over: {other:?}"),
    }
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

#[tokio::test] // B-4
async fn bk_16_when_nobody_can_know_whether_it_ran_the_client_and_the_broker_are_told() {
    let state = State::new();
    let (desk, client) = (state.open("desk").await, state.open("client").await);
    let broker = Broker::new().start(&desk).await.unwrap();
    let worker = state.open("worker").await;
    let options = ServeOptions::new().role(Role::Worker);
    let mut server = worker.serve("s", options.clone()).await.unwrap();
    await_room(&client, "/64/").await;
    let caller = client.caller("s", CallOptions::new().timeout(LIMIT)).unwrap();
    let replies = caller.start(Ask::new("pay").idempotency_key("deed")).unwrap();
    let begun = within(server.next()).await.unwrap();
    // Its worker leaves in the middle of it, and takes what it knew along.
    let second = state.open("second").await;
    let mut other = second.serve("s", options).await.unwrap();
    await_room(&client, "/128/").await;
    drop(server);
    let _unsent = worker.close(Duration::ZERO).await;
    match within(replies.last()).await {
        Err(CallError::Status { status: ServiceStatus::Unknown, text, .. }) => {
            assert!(text.contains("may have run or not"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(broker.report().await.unwrap().counters.unknown, 1);
    drop(begun);
    // Nobody else has begun it: the next that comes there is another deed.
    let next = caller.start(Ask::new("next").idempotency_key("deed-2")).unwrap();
    let request = within(other.next()).await.unwrap();
    assert_eq!(request.body(), b"next");
    request.reply("done").unwrap();
    within(next.last()).await.unwrap();
}

#[tokio::test]
async fn bk_17_a_hundred_thousand_calls_in_flight_all_complete_through_a_broker() {
    const CALLS: usize = 100_000;
    let broker = Broker::new().high_water(CALLS);
    let mut scene = scene(broker, ServeOptions::new().concurrency(256)).await;
    let caller = scene.client.caller("s", CallOptions::new().timeout(LIMIT * 20)).unwrap();
    // The worker holds back until the broker has all: they are in flight at once.
    let mut held = Vec::new();
    let open: Vec<_> = (0..CALLS).map(|n| caller.start(format!("{n}")).unwrap()).collect();
    for _ in 0..256 {
        held.push(within(scene.server.next()).await.unwrap());
    }
    tokio::time::timeout(LIMIT * 10, async {
        loop {
            let report = scene.broker.report().await.unwrap();
            if report.services[0].waiting + report.services[0].running == CALLS as u64 {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the broker has all of them");
    let mut taking = scene.server.clone();
    tokio::spawn(async move {
        for request in held {
            let body = request.body().to_vec();
            request.reply(body).unwrap();
        }
        while let Some(request) = taking.next().await {
            let body = request.body().to_vec();
            request.reply(body).unwrap();
        }
    });
    for (n, replies) in open.into_iter().enumerate() {
        let reply = tokio::time::timeout(LIMIT * 20, replies.last()).await.unwrap().unwrap();
        assert_eq!(reply.body(), n.to_string().as_bytes(), "the answer to another's question");
    }
}

#[tokio::test]
async fn bk_19_a_broker_of_another_realm_is_neither_seen_nor_used() {
    let state = State::new();
    let mut brokers = Vec::new();
    let mut ends = Vec::new();
    // The same names in each of the three, on one network.
    for realm in ["dev", "test", "prod"] {
        let open = |name: &'static str| state.builder(name).realm(realm).open();
        let (desk, worker) = (open("desk").await.unwrap(), open("worker").await.unwrap());
        let broker = Broker::new().service("s").no_workers(NoWorkers::Wait);
        brokers.push(broker.start(&desk).await.unwrap());
        let mut server = worker.serve("s", ServeOptions::new().role(Role::Worker)).await.unwrap();
        tokio::spawn(async move {
            while let Some(request) = server.next().await {
                request.reply(realm).unwrap();
            }
        });
        ends.extend([desk, worker]);
    }
    for (at, realm) in ["dev", "test", "prod"].into_iter().enumerate() {
        let client = state.builder("client").realm(realm).open().await.unwrap();
        let caller = client.caller("s", CallOptions::new().timeout(LIMIT)).unwrap();
        for _ in 0..5 {
            assert_eq!(within(caller.call("x")).await.unwrap().body(), realm.as_bytes());
        }
        let watch = client.service("s").unwrap();
        assert!(watch.instances().len() <= 2, "one worker, one broker: {:?}", watch.instances());
        let report = brokers[at].report().await.unwrap();
        assert_eq!((report.services[0].workers.len(), report.peers.len()), (1, 0));
        assert_eq!(report.counters.answered, 5, "those of its realm alone");
    }
    let other = state.builder("client").realm("staging").open().await.unwrap();
    let caller = other.caller("s", CallOptions::new().timeout(LIMIT)).unwrap();
    let result = within(caller.call("x")).await;
    assert!(matches!(result, Err(CallError::NoResponders { .. })), "{result:?}");
}

#[tokio::test] // V-10
async fn that_nobody_offers_a_service_is_said_as_soon_as_all_have_answered() {
    let state = State::new();
    let (server, client) = (state.open("server").await, state.open("client").await);
    let _other = server.serve("other", ServeOptions::new()).await.unwrap();
    let watch = client.service("other").unwrap();
    assert!(within(watch.complete(LIMIT)).await, "the other has said what it offers");
    assert_eq!(watch.instances().len(), 1);
    // Without an answer it takes 300 ms; a machine with much to do may need several tries.
    let mut quick = false;
    for n in 0..50 {
        let caller = client.caller(&format!("nothing/{n}"), CallOptions::new()).unwrap();
        match within(caller.call("x")).await {
            Err(CallError::NoResponders { after, .. }) if after < Duration::from_millis(250) => {
                quick = true;
                break;
            }
            Err(CallError::NoResponders { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(quick, "time was waited for in each of 50 calls");
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

/// A caller of `who` by the name servers of `dev`, and a server there that answers with its name.
fn by_names(client: &Endpoint) -> Caller {
    let options = CallOptions::new().timeout(LIMIT).by_name_server("dev");
    client.caller("who", options).unwrap()
}

async fn who(end: &Endpoint) -> Server {
    let options = ServeOptions::new().safe().register_in("dev").lease(Duration::from_secs(60));
    let server = end.serve("who", options).await.unwrap();
    let (mut working, name) = (server.clone(), end.name().to_owned());
    tokio::spawn(async move {
        while let Some(request) = working.next().await {
            let _ = request.reply(name.clone());
        }
    });
    server
}

#[tokio::test] // B-24 B-25
async fn a_caller_by_name_server_goes_on_while_the_only_name_server_is_away_or_has_just_begun() {
    let state = State::new();
    let (desk, one, client) =
        (state.open("desk").await, state.open("one").await, state.open("client").await);
    let handle = NameServer::new().start(&desk).await.unwrap();
    let server = who(&one).await;
    within(server.registered()).await;
    let caller = by_names(&client);
    assert_eq!(within(caller.call("x")).await.unwrap().body(), b"one");
    // Away: the lease is believed to its end.
    drop(handle);
    let _ = desk.close(LIMIT).await;
    for _ in 0..20 {
        assert_eq!(within(caller.call("x")).await.unwrap().body(), b"one");
    }
    // A new one knows nothing and says so; it is told at once by who is registered.
    let again = state.open("again").await;
    let handle = NameServer::new().start(&again).await.unwrap();
    let newcomer = by_names(&client);
    assert_eq!(within(newcomer.call("x")).await.unwrap().body(), b"one");
    for _ in 0..20 {
        assert_eq!(within(caller.call("x")).await.unwrap().body(), b"one");
    }
    assert_eq!(handle.report().await.unwrap().held, 1);
}

#[tokio::test] // B-26
async fn a_server_that_registers_is_found_by_the_next_call_and_one_that_rests_is_not_called() {
    let state = State::new();
    let (desk, client) = (state.open("desk").await, state.open("client").await);
    let names = NameServer::new().start(&desk).await.unwrap();
    let caller = by_names(&client);
    let error = within(caller.call("x")).await.unwrap_err();
    assert!(matches!(&error, CallError::Unlisted { found: Found::Nobody, .. }), "{error}");
    assert_eq!(error.status(), Some(ServiceStatus::NoWorkers));
    let (one, two) = (state.open("one").await, state.open("two").await);
    let first = who(&one).await;
    within(first.registered()).await;
    assert_eq!(within(caller.call("x")).await.unwrap().body(), b"one");
    let second = who(&two).await;
    within(second.registered()).await;
    // Under maintenance it is taken from the name servers, and comes back afterwards.
    first.maintenance(true, "upgrade");
    within(async {
        while names.report().await.unwrap().held != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(within(caller.call("x")).await.unwrap().body(), b"two");
    first.maintenance(false, "");
    within(first.registered()).await;
    assert!(within(second.drain(LIMIT)).await);
    assert_eq!(names.report().await.unwrap().held, 1);
    drop(second);
    assert_eq!(within(caller.call("x")).await.unwrap().body(), b"one");
    // Bounds are said at once.
    let options = ServeOptions::new().register_in("dev").lease(Duration::from_millis(1));
    assert!(matches!(one.serve("y", options).await, Err(ServeError::Invalid(_))));
    let options = CallOptions::new().by_name_server("");
    assert!(matches!(client.caller("y", options), Err(CallError::Invalid(_))));
}

#[tokio::test]
async fn an_instance_that_takes_orders_rests_and_returns_and_its_program_runs_on() {
    let state = State::new();
    let (one, client) = (state.open("one").await, state.open("client").await);
    let mut server = one.serve("web", ServeOptions::new().takes_orders()).await.unwrap();
    let mut deaf = one.serve("deaf", ServeOptions::new()).await.unwrap();
    let caller = client.caller("web", CallOptions::new().timeout(LIMIT)).unwrap();
    let mut watch = client.service("web").unwrap();
    let open = caller.start("open").unwrap();
    let accepted = within(server.next()).await.unwrap();
    let to = one.id().to_string();
    let tell = async |order: Order| {
        within(client.send(&to, order.encode("web"), LIMIT)).await.unwrap();
    };
    let mut stands = async |state: InstanceState| {
        within(async {
            while !watch.instances().iter().any(|it| it.state() == state) {
                watch.next().await.unwrap();
            }
        })
        .await;
    };
    tell(Order::Rest("new disk".into())).await;
    stands(InstanceState::Maintenance).await;
    let hasty = CallOptions::new().wait(WaitFor::Nothing);
    let refused = within(client.caller("web", hasty).unwrap().call("x")).await;
    assert_eq!(status(refused), Some(ServiceStatus::NoWorkers));
    // What it had is answered, and it takes more once it is back.
    accepted.reply("done").unwrap();
    assert_eq!(within(open.last()).await.unwrap().body(), b"done");
    tell(Order::Return).await;
    stands(InstanceState::Up).await;
    let more = caller.start("more").unwrap();
    within(server.next()).await.unwrap().reply("more").unwrap();
    assert_eq!(within(more.last()).await.unwrap().body(), b"more");
    // The other service of this endpoint takes no orders.
    within(client.send(&to, Order::Rest(String::new()).encode("deaf"), LIMIT)).await.unwrap();
    tell(Order::Drain("end".into())).await;
    stands(InstanceState::Draining).await;
    let deaf_caller = client.caller("deaf", CallOptions::new().timeout(LIMIT)).unwrap();
    let heard = deaf_caller.start("x").unwrap();
    within(deaf.next()).await.unwrap().reply("here").unwrap();
    assert_eq!(within(heard.last()).await.unwrap().body(), b"here");
}
