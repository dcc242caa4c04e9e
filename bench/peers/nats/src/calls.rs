//! Calls: requests and replies through the server, servers in one queue group.

use bench_harness::{Args, Calls, Outcome};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::connect;

const SUBJECT: &str = "calls";

pub(crate) async fn call(args: &Args) -> Outcome {
    let client = connect(args).await?;
    let mut calls = Calls::new(args)?;
    calls.ready();
    let mut open = FuturesUnordered::new();
    loop {
        while calls.room() {
            open.push(client.request(SUBJECT, Bytes::copy_from_slice(calls.begin())));
        }
        match open.next().await {
            Some(Ok(reply)) if calls.end(&reply.payload) => {}
            Some(_) => calls.failed(1),
            None => break,
        }
    }
    calls.done();
    Ok(())
}

pub(crate) async fn answer(args: &Args) -> Outcome {
    let client = connect(args).await?;
    let requests = client.queue_subscribe(SUBJECT, "servers".to_owned()).await?;
    crate::echo(&client, requests).await
}
