//! NATS: async-nats against a nats-server of its own.
//!
//! Settings: core NATS, one client per process, tokio's multi-threaded runtime, a subscription
//! capacity of 2^20 messages (beyond the default of 65,536 the client drops); `flush` at the end.
//! Round trips are requests and replies, the fastest way.
#![forbid(unsafe_code)]

mod calls;

use std::process::ExitCode;
use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use bench_harness::{Args, Echo, Idle, Outcome, PROBE, Reader, Role, Trips, Writer};
use bytes::Bytes;
use futures_util::StreamExt;

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
                Role::Call => calls::call(&args).await,
                Role::Answer => calls::answer(&args).await,
                role => bench_harness::no_such_role(role),
            }
        })
    })
}

/// After this a request has failed.
const CALL_LIMIT: Duration = Duration::from_secs(2);

async fn connect(args: &Args) -> Outcome<Client> {
    let options =
        ConnectOptions::new().subscription_capacity(1 << 20).request_timeout(Some(CALL_LIMIT));
    Ok(options.connect(format!("nats://{}:{}", args.host(), args.port()?)).await?)
}

async fn publish(args: &Args) -> Outcome {
    let client = connect(args).await?;
    let mut writer = Writer::new(args)?;
    while !writer.started() {
        client.publish("bench", Bytes::from_static(PROBE)).await?;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let payload = Bytes::from(writer.payload().to_vec());
    while !writer.stopped() {
        client.publish("bench", payload.clone()).await?;
        writer.sent();
    }
    client.flush().await?;
    writer.done();
    Ok(())
}

async fn subscribe(args: &Args) -> Outcome {
    let client = connect(args).await?;
    let mut messages = client.subscribe("bench").await?;
    let reader = Reader::new(args)?;
    while let Some(message) = messages.next().await {
        reader.received(message.payload.len());
    }
    Err("the server has closed the connection".into())
}

async fn ping(args: &Args) -> Outcome {
    let client = connect(args).await?;
    let mut trips = Trips::new(args)?;
    while !trips.over() {
        let request = Bytes::copy_from_slice(trips.begin());
        match client.request("bench", request).await {
            Ok(reply) => {
                trips.end(&reply.payload);
            }
            Err(_) if !trips.established() => {} // nobody answers yet
            Err(error) => return Err(error.into()),
        }
    }
    trips.done();
    Ok(())
}

async fn pong(args: &Args) -> Outcome {
    let client = connect(args).await?;
    let requests = client.subscribe("bench").await?;
    echo(&client, requests).await
}

/// Sends each request back to whoever asked.
async fn echo(client: &async_nats::Client, mut requests: async_nats::Subscriber) -> Outcome {
    client.flush().await?;
    let _echo = Echo::ready();
    while let Some(request) = requests.next().await {
        let to = request.reply.ok_or("a request without reply")?;
        client.publish(to, request.payload).await?;
    }
    Ok(())
}

async fn idle(args: &Args) -> Outcome {
    let client = connect(args).await?;
    let mut messages = client.subscribe("bench").await?;
    client.flush().await?;
    let _idle = Idle::ready();
    while messages.next().await.is_some() {}
    Ok(())
}
