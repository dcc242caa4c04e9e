//! Zenoh: two peers over TCP.
//!
//! Settings: peer mode, one TCP link, scouting off but for the first message; a declared publisher,
//! reliable, `CongestionControl::Block`; a subscriber with a callback; the publisher of round trips
//! is `express` (not batched); shared memory is not compiled in. The session is closed at the end,
//! so that what is queued is sent.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use bench_harness::{
    Args, Echo, First, Idle, Outcome, PROBE, Reader, Role, Subscriptions, Trips, Writer,
};
use zenoh::bytes::ZBytes;
use zenoh::pubsub::Publisher;
use zenoh::qos::CongestionControl;
use zenoh::{Config, Session, Wait};

fn main() -> ExitCode {
    bench_harness::run(|args| {
        let first = First::start();
        match args.role {
            Role::Publish => publish(&args),
            Role::Subscribe => subscribe(&args),
            Role::Ping => ping(&args),
            Role::Pong => pong(&args),
            Role::Tick => tick(&args),
            Role::First => receive_first(&args, first),
            Role::Idle => idle(&args),
            Role::Hoard => hoard(&args),
            role => bench_harness::no_such_role(role),
        }
    })
}

/// How two sessions find each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Listen,
    Connect,
    Scout,
}

fn open(args: &Args, way: Way) -> Outcome<Session> {
    let mut config = Config::default();
    let mut set = |key: &str, value: &str| config.insert_json5(key, value);
    let there = format!(r#"["tcp/{}:{}"]"#, args.host(), args.port()?);
    set("mode", r#""peer""#)?;
    set("scouting/gossip/enabled", if way == Way::Scout { "true" } else { "false" })?;
    set("scouting/multicast/enabled", if way == Way::Scout { "true" } else { "false" })?;
    match way {
        Way::Listen => set("listen/endpoints", &there)?,
        Way::Connect => {
            set("listen/endpoints", "[]")?;
            set("connect/endpoints", &there)?;
        }
        Way::Scout => {
            set("listen/endpoints", &format!(r#"["tcp/{}:0"]"#, args.text("own")))?;
        }
    }
    zenoh::open(config).wait()
}

fn advertise<'a>(session: &'a Session, topic: &'a str, express: bool) -> Outcome<Publisher<'a>> {
    let publisher = session.declare_publisher(topic);
    publisher.congestion_control(CongestionControl::Block).express(express).wait()
}

fn publish(args: &Args) -> Outcome {
    let session = open(args, Way::Listen)?;
    let topics: Vec<_> = (0..args.topics()?).map(|number| format!("bench/{number}")).collect();
    let publishers = topics
        .iter()
        .map(|topic| advertise(&session, topic, false))
        .collect::<Outcome<Vec<_>>>()?;
    let mut writer = Writer::new(args)?;
    while !writer.started() {
        publishers[0].put(PROBE).wait()?;
        std::thread::sleep(Duration::from_millis(1));
    }
    let payload = ZBytes::from(writer.payload().to_vec());
    if let [publisher] = &publishers[..] {
        while !writer.stopped() {
            publisher.put(payload.clone()).wait()?;
            writer.sent();
        }
    }
    for publisher in publishers.iter().cycle() {
        if writer.stopped() {
            break;
        }
        publisher.put(payload.clone()).wait()?;
        writer.sent();
    }
    drop(publishers);
    writer.done();
    // What is still queued goes out before the reader has drained.
    std::thread::sleep(Duration::from_millis(300));
    session.close().wait()
}

fn subscribe(args: &Args) -> Outcome {
    let session = open(args, Way::Connect)?;
    let reader = Reader::new(args)?;
    let counting = std::sync::Arc::clone(&reader);
    let _subscriber = session
        .declare_subscriber("bench/*")
        .callback(move |sample| counting.received(sample.payload().len()))
        .wait()?;
    reader.wait()
}

fn ping(args: &Args) -> Outcome {
    let session = open(args, Way::Connect)?;
    let echoes = session.declare_subscriber("bench/pong").wait()?;
    let publisher = advertise(&session, "bench/ping", true)?;
    let mut trips = Trips::new(args)?;
    while !trips.over() {
        publisher.put(trips.begin()).wait()?;
        if trips.established() {
            while !trips.end(&echoes.recv()?.payload().to_bytes()) {}
        } else if let Ok(Some(echo)) = echoes.recv_timeout(Duration::from_millis(100)) {
            trips.end(&echo.payload().to_bytes());
        }
    }
    trips.done();
    session.close().wait()
}

fn pong(args: &Args) -> Outcome {
    let session = open(args, Way::Listen)?;
    let publisher = session.declare_publisher("bench/pong");
    let publisher = publisher.congestion_control(CongestionControl::Block).express(true).wait()?;
    let _subscriber = session
        .declare_subscriber("bench/ping")
        .callback(move |sample| {
            let _ = publisher.put(sample.payload().clone()).wait();
        })
        .wait()?;
    let _echo = Echo::ready();
    loop {
        std::thread::park();
    }
}

fn tick(args: &Args) -> Outcome {
    let session = open(args, Way::Scout)?;
    let publisher = advertise(&session, "bench/tick", false)?;
    let _echo = Echo::ready();
    loop {
        std::thread::sleep(Duration::from_millis(1));
        publisher.put([0x5a; 64]).wait()?;
    }
}

fn receive_first(args: &Args, first: First) -> Outcome {
    let session = open(args, Way::Scout)?;
    let subscriber = session.declare_subscriber("bench/tick").wait()?;
    subscriber.recv()?;
    first.arrived();
    session.close().wait()
}

fn idle(args: &Args) -> Outcome {
    let listens = args.text("side") == "0";
    let session = open(args, if listens { Way::Listen } else { Way::Connect })?;
    let topic = format!("bench/{}", args.text("side"));
    let publisher = advertise(&session, &topic, false)?;
    let _subscriber = session.declare_subscriber("bench/*").callback(|_| {}).wait()?;
    while !publisher.matching_status().wait()?.matching() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let idle = Idle::ready();
    idle.wait()
}

fn hoard(args: &Args) -> Outcome {
    let session = open(args, Way::Listen)?;
    let subscribe =
        |topic: &str| session.declare_subscriber(topic.to_owned()).callback(|_| {}).wait();
    let mut held = vec![subscribe("bench/first")?];
    let subscriptions = Subscriptions::begin(args)?;
    for number in 0..subscriptions.count {
        held.push(subscribe(&format!("bench/hoard/{number}"))?);
    }
    subscriptions.made();
    loop {
        std::thread::park();
    }
}
