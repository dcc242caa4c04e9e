//! motet as by default: encrypted, authenticated, reliable, in order. One thread per process.
//!
//! Settings: the publisher blocks when a reader is slow (nothing is lost); log and queue of the
//! default 8 MiB, for 1 MiB messages 32 MiB; the reader takes batches; payloads of 32 KiB and more are
//! shared with the log, but for the variant `copied`. The variant `lane` sends to all readers by
//! multicast, the others to each by unicast. Endpoints of one host only,
//! but for the cases with two namespaces, which find each other by multicast.
#![forbid(unsafe_code)]

mod calls;

use std::process::ExitCode;
use std::time::Duration;

use bench_harness::{
    Args, Echo, First, Idle, Outcome, PROBE, Reader, Role, Subscriptions, Trips, Writer,
};
use motet::{
    Delivery, Endpoint, LanePolicy, Outgoing, PubQos, Publisher, Scope, SlowPolicy, SubQos,
    Subscriber,
};

/// Longest wait for what must happen.
const LIMIT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    bench_harness::run(|args| {
        let first = First::start();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            match args.role {
                Role::Publish => publish(&args).await,
                Role::Subscribe => subscribe(&args).await,
                Role::Ping => ping(&args).await,
                Role::Pong => pong(&args).await,
                Role::Tick => tick(&args).await,
                Role::First => receive_first(&args, first).await,
                Role::Idle => idle(&args).await,
                Role::Hoard => hoard(&args).await,
                Role::Call | Role::Answer | Role::Broker => calls::run(args).await,
                role => bench_harness::no_such_role(role),
            }
        })
    })
}

async fn open(args: &Args) -> Outcome<Endpoint> {
    let lan = args.text("reach") == "lan";
    let scope = if lan { Scope::Lan } else { Scope::Host };
    let name = format!("{}-{}", args.role.name(), std::process::id());
    let builder = Endpoint::builder().name(name).state_dir(args.directory()).scope(scope);
    let spin = args.spin()?;
    let builder = if spin.is_zero() { builder } else { builder.spin(spin) };
    Ok(builder.open().await?)
}

/// 8 MiB, or 32 messages of the largest sizes.
fn buffer(args: &Args) -> Outcome<usize> {
    Ok((args.size()? * 32).max(8 << 20))
}

async fn advertise(endpoint: &Endpoint, args: &Args, topic: &str) -> Outcome<Publisher> {
    let (slow, log_bytes) = (SlowPolicy::Block, buffer(args)?);
    // A row each, so that neither switches within the window.
    let lane = if by_lane(args) { LanePolicy::Always } else { LanePolicy::Never };
    let qos = PubQos { slow, log_bytes, lane, local: false, ..PubQos::default() };
    Ok(endpoint.publisher_with(topic, qos).await?)
}

fn by_lane(args: &Args) -> bool {
    args.text("variant") == "lane"
}

/// How many readers are on a lane.
fn on_lane(endpoint: &Endpoint) -> usize {
    let readers = endpoint.snapshot().topics.into_iter().flat_map(|topic| topic.readers);
    readers.filter(|reader| reader.carrier == "lane").count()
}

async fn listen(endpoint: &Endpoint, args: &Args, filter: &str) -> Outcome<Subscriber> {
    let qos = SubQos { queue_bytes: buffer(args)?, ..SubQos::default() };
    Ok(endpoint.subscriber_with(&[filter], qos).await?)
}

async fn publish(args: &Args) -> Outcome {
    let endpoint = open(args).await?;
    let mut publishers = Vec::new();
    for number in 0..args.topics()? {
        publishers.push(advertise(&endpoint, args, &format!("bench/{number}")).await?);
    }
    let mut writer = Writer::new(args)?;
    // The switch is not part of the window. Should it fail, no reader is ever ready.
    while by_lane(args) && on_lane(&endpoint) < args.readers()? {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    while !writer.started() {
        publishers[0].publish(PROBE).await?;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let payload = writer.payload().to_vec();
    let message = if args.text("variant") == "copied" {
        Outgoing::new(&payload)
    } else {
        Outgoing::shared(payload.clone())
    };
    if let [publisher] = &publishers[..] {
        while !writer.stopped() {
            publisher.publish_with(&message).await?;
            writer.sent();
        }
    }
    for publisher in publishers.iter().cycle() {
        if writer.stopped() {
            break;
        }
        publisher.publish_with(&message).await?;
        writer.sent();
    }
    for publisher in &publishers {
        publisher.flushed(LIMIT).await?;
    }
    writer.done();
    let _ = endpoint.close(LIMIT).await;
    Ok(())
}

async fn subscribe(args: &Args) -> Outcome {
    let endpoint = open(args).await?;
    let mut subscriber = listen(&endpoint, args, "bench/*").await?;
    let reader = Reader::new(args)?;
    let mut batch = Vec::new();
    while subscriber.next_batch(&mut batch).await != 0 {
        for delivery in batch.drain(..) {
            match delivery {
                Delivery::Message(message) => reader.received(message.payload().len()),
                Delivery::Missed { n, .. } => return Err(format!("{n} messages missed").into()),
                _ => {}
            }
        }
    }
    Ok(())
}

async fn ping(args: &Args) -> Outcome {
    let endpoint = open(args).await?;
    let mut echoes = listen(&endpoint, args, "bench/pong").await?;
    let publisher = advertise(&endpoint, args, "bench/ping").await?;
    publisher.wait_readers(1, LIMIT).await?;
    let mut trips = Trips::new(args)?;
    while !trips.over() {
        publisher.publish(trips.begin()).await?;
        if trips.established() {
            while !trips.end(message(&mut echoes).await?.payload()) {}
        } else {
            let echo = tokio::time::timeout(Duration::from_millis(100), message(&mut echoes));
            if let Ok(echo) = echo.await {
                trips.end(echo?.payload());
            }
        }
    }
    trips.done();
    let _ = endpoint.close(LIMIT).await;
    Ok(())
}

async fn pong(args: &Args) -> Outcome {
    let endpoint = open(args).await?;
    let mut pings = listen(&endpoint, args, "bench/ping").await?;
    let publisher = advertise(&endpoint, args, "bench/pong").await?;
    let _echo = Echo::ready();
    loop {
        publisher.publish(message(&mut pings).await?.payload()).await?;
    }
}

async fn message(subscriber: &mut Subscriber) -> Outcome<motet::Message> {
    loop {
        match subscriber.next().await {
            Some(Delivery::Message(message)) => return Ok(message),
            Some(_) => {}
            None => return Err("the endpoint has closed".into()),
        }
    }
}

async fn tick(args: &Args) -> Outcome {
    let endpoint = open(args).await?;
    let publisher = endpoint.publisher("bench/tick").await?;
    let _echo = Echo::ready();
    let mut beat = tokio::time::interval(Duration::from_millis(1));
    loop {
        beat.tick().await;
        publisher.publish([0x5a; 64]).await?;
    }
}

async fn receive_first(args: &Args, first: First) -> Outcome {
    let endpoint = open(args).await?;
    let mut subscriber = endpoint.subscriber("bench/tick").await?;
    message(&mut subscriber).await?;
    first.arrived();
    drop(subscriber);
    let _ = endpoint.close(Duration::from_millis(200)).await;
    Ok(())
}

async fn idle(args: &Args) -> Outcome {
    let endpoint = open(args).await?;
    let publisher = endpoint.publisher(&format!("bench/{}", args.text("side"))).await?;
    let mut subscriber = endpoint.subscriber("bench/*").await?;
    publisher.wait_readers(2, LIMIT).await?;
    let _idle = Idle::ready();
    loop {
        message(&mut subscriber).await?;
    }
}

async fn hoard(args: &Args) -> Outcome {
    let endpoint = open(args).await?;
    let mut held = vec![endpoint.subscriber("bench/first").await?];
    let subscriptions = Subscriptions::begin(args)?;
    for number in 0..subscriptions.count {
        held.push(endpoint.subscriber(&format!("bench/hoard/{number}")).await?);
    }
    subscriptions.made();
    message(&mut held[0]).await?;
    Ok(())
}
