//! `motet endpoint list`.

use std::time::Duration;

use clap::Args;
use motet::Endpoint;
use motet::report::PeerReport;

use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::quantity::{duration, shown};

/// What `motet endpoint list` is told.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// More: observers too, all addresses, roles
    #[arg(short, long)]
    verbose: bool,
    /// Listen for this long; else until discovery has settled
    #[arg(long, value_name = "DUR", value_parser = duration)]
    wait: Option<Duration>,
}

pub(crate) async fn run(args: ListArgs, context: &Context) -> Result<Exit, Failure> {
    let endpoint = context.observe().await?;
    let peers = listen(&endpoint, args.wait, args.verbose, context).await;
    if args.verbose {
        let heads = ["NAME", "ID", "STATE", "RTT", "HEARD", "MTU", "ROLES", "ADDRESSES"];
        context.out.table(&peers, heads, |peer| {
            let [name, id, state, rtt, heard, _] = cells(peer);
            let (mtu, roles) = (peer.mtu.to_string(), peer.roles.join(","));
            [name, id, state, rtt, heard, mtu, roles, peer.addresses.join(" ")]
        })?;
    } else {
        context.out.table(&peers, ["NAME", "ID", "STATE", "RTT", "HEARD", "ADDRESS"], cells)?;
    }
    Ok(Exit::Done)
}

/// Who is here, after `wait` or once discovery has settled; says so on stderr.
pub(crate) async fn listen(
    endpoint: &Endpoint,
    wait: Option<Duration>,
    observers: bool,
    context: &Context,
) -> Vec<PeerReport> {
    let begun = tokio::time::Instant::now();
    match wait {
        None => drop(endpoint.settled().await),
        // An event stream that nobody feeds: only the clock ends it.
        Some(wait) => drop(tokio::time::timeout(wait, std::future::pending::<()>()).await),
    }
    let mut peers = endpoint.snapshot().peers;
    let watching = |peer: &PeerReport| peer.roles.iter().any(|role| role == "observer");
    peers.retain(|peer| peer.state != "dead" && (observers || !watching(peer)));
    peers.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    context.out.remark(format!(
        "listened {:.1} s, {} endpoints in realm {}",
        begun.elapsed().as_secs_f64(),
        peers.len(),
        context.global.realm
    ));
    peers
}

fn cells(peer: &PeerReport) -> [String; 6] {
    [
        peer.name.clone(),
        peer.id.clone(),
        peer.state.clone(),
        peer.rtt_seconds.map_or_else(|| "-".to_owned(), shown),
        shown(peer.heard_seconds),
        peer.address.clone(),
    ]
}
