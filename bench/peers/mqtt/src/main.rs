//! MQTT: rumqttc against a mosquitto of its own.
//!
//! Settings: QoS as the variant says, `TCP_NODELAY` on both sides, 1,000 messages in flight, clean
//! session. At the end the publisher waits until everything is written (QoS 0) or acknowledged
//! (QoS 1).
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bench_harness::{Args, Echo, Idle, Outcome, PROBE, Reader, Role, Trips, Writer};
use rumqttc::{AsyncClient, Event, EventLoop, Incoming, MqttOptions, Outgoing, Publish, QoS};

/// Requests between client and event loop.
const CHANNEL: usize = 1024;
/// Longest wait for what is in flight.
const LIMIT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    bench_harness::run(|args| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            match args.role {
                Role::Publish => publish(&args).await,
                Role::Subscribe => subscribe(&args).await,
                Role::Ping => ping(&args).await,
                Role::Pong => pong(&args).await,
                Role::Idle => idle(&args).await,
                role => bench_harness::no_such_role(role),
            }
        })
    })
}

fn qos(args: &Args) -> QoS {
    if args.text("variant") == "1" { QoS::AtLeastOnce } else { QoS::AtMostOnce }
}

fn connect(args: &Args) -> Outcome<(AsyncClient, EventLoop)> {
    let id = format!("bench-{}", std::process::id());
    let mut options = MqttOptions::new(id, args.host(), args.port()?);
    options.set_max_packet_size(8 << 20, 8 << 20).set_inflight(1000).set_clean_session(true);
    let (client, mut events) = AsyncClient::new(options, CHANNEL);
    let mut network = events.network_options();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    Ok((client, events))
}

/// The next message; `None` for anything else that happens.
async fn next(events: &mut EventLoop) -> Outcome<Option<Publish>> {
    Ok(match events.poll().await? {
        Event::Incoming(Incoming::Publish(message)) => Some(message),
        _ => None,
    })
}

/// Polls until the subscription stands.
async fn subscribed(
    client: &AsyncClient,
    events: &mut EventLoop,
    topic: &str,
    qos: QoS,
) -> Outcome {
    client.subscribe(topic, qos).await?;
    while !matches!(events.poll().await?, Event::Incoming(Incoming::SubAck(_))) {}
    Ok(())
}

async fn publish(args: &Args) -> Outcome {
    let (client, mut events) = connect(args)?;
    let qos = qos(args);
    let gone = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&gone);
    tokio::spawn(async move {
        loop {
            let last = match events.poll().await {
                Ok(Event::Outgoing(Outgoing::Publish(_))) => qos == QoS::AtMostOnce,
                Ok(Event::Incoming(Incoming::PubAck(_))) => qos == QoS::AtLeastOnce,
                Ok(_) => false,
                Err(_) => return,
            };
            counting.fetch_add(u64::from(last), Ordering::Relaxed);
        }
    });
    let mut writer = Writer::new(args)?;
    let mut given = 0;
    while !writer.started() {
        client.publish("bench", qos, false, PROBE).await?;
        given += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let payload = writer.payload().to_vec();
    while !writer.stopped() {
        client.publish("bench", qos, false, payload.clone()).await?;
        writer.sent();
        given += 1;
    }
    let begun = Instant::now();
    while gone.load(Ordering::Relaxed) < given && begun.elapsed() < LIMIT {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    writer.done();
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(())
}

async fn subscribe(args: &Args) -> Outcome {
    let (client, mut events) = connect(args)?;
    let reader = Reader::new(args)?;
    subscribed(&client, &mut events, "bench", qos(args)).await?;
    loop {
        if let Some(message) = next(&mut events).await? {
            reader.received(message.payload.len());
        }
    }
}

async fn ping(args: &Args) -> Outcome {
    let (client, mut events) = connect(args)?;
    subscribed(&client, &mut events, "bench/pong", qos(args)).await?;
    let mut trips = Trips::new(args)?;
    while !trips.over() {
        client.publish("bench/ping", qos(args), false, trips.begin()).await?;
        loop {
            if let Some(echo) = next(&mut events).await?
                && trips.end(&echo.payload)
            {
                break;
            }
        }
    }
    trips.done();
    Ok(())
}

async fn pong(args: &Args) -> Outcome {
    let (client, mut events) = connect(args)?;
    subscribed(&client, &mut events, "bench/ping", qos(args)).await?;
    let _echo = Echo::ready();
    loop {
        if let Some(message) = next(&mut events).await? {
            client.publish("bench/pong", qos(args), false, message.payload.to_vec()).await?;
        }
    }
}

async fn idle(args: &Args) -> Outcome {
    let (client, mut events) = connect(args)?;
    subscribed(&client, &mut events, "bench", qos(args)).await?;
    let _idle = Idle::ready();
    loop {
        next(&mut events).await?;
    }
}
