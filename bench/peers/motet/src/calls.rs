//! Calls: services with default options, and the role broker with its default settings.

use std::time::Duration;

use bench_harness::{Args, Calls, Echo, Outcome, Role};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use motet::role::Broker;
use motet::service::{CallOptions, Role as Part, ServeOptions};

use crate::{LIMIT, open};

const SERVICE: &str = "bench";
/// After this a call has failed.
const CALL_LIMIT: Duration = Duration::from_secs(2);
/// Between two looks whether the others are known.
const LOOK: Duration = Duration::from_millis(5);

/// Runs a role as a task: tokio asks the kernel once more each time it wakes what it blocks on.
pub(crate) async fn run(args: Args) -> Outcome {
    tokio::spawn(async move {
        match args.role {
            Role::Answer => answer(&args).await,
            Role::Broker => broker(&args).await,
            _ => call(&args).await,
        }
    })
    .await?
}

async fn call(args: &Args) -> Outcome {
    let endpoint = open(args).await?;
    let caller = endpoint.caller(SERVICE, CallOptions::new().timeout(CALL_LIMIT))?;
    let watch = endpoint.service(SERVICE)?;
    let (role, wanted) =
        if args.brokered() { (Part::Broker, 1) } else { (Part::Direct, args.servers()?) };
    while watch.instances().iter().filter(|it| it.role() == role).count() < wanted {
        tokio::time::sleep(LOOK).await;
    }
    let mut calls = Calls::new(args)?;
    calls.ready();
    let mut open = FuturesUnordered::new();
    loop {
        while calls.room() {
            open.push(caller.start(calls.begin().to_vec())?.last());
        }
        match open.next().await {
            Some(Ok(reply)) if calls.end(reply.body()) => {}
            Some(_) => calls.failed(1),
            None => break,
        }
    }
    calls.done();
    let _ = endpoint.close(LIMIT).await;
    Ok(())
}

async fn answer(args: &Args) -> Outcome {
    let endpoint = open(args).await?;
    let mut server = endpoint.serve(SERVICE, ServeOptions::new()).await?;
    let _echo = Echo::ready();
    while let Some(request) = server.next().await {
        let body = request.frames().first().cloned().unwrap_or_default();
        request.reply(body)?;
    }
    Ok(())
}

/// As `motet broker`, in a process of its own.
async fn broker(args: &Args) -> Outcome {
    let endpoint = open(args).await?;
    let broker = Broker::new().start(&endpoint).await?;
    let workers = async || {
        let report = broker.report().await.unwrap_or_default();
        report.services.iter().map(|service| service.workers.len()).sum::<usize>()
    };
    while workers().await < args.servers()? {
        tokio::time::sleep(LOOK).await;
    }
    let _echo = Echo::ready();
    std::future::pending().await
}
