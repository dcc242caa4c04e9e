//! `motet endpoint list`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use motet::Endpoint;
use motet::report::PeerReport;
use serde::Serialize;

use super::choice::{Choice, tags_of};
use super::watch;
use crate::context::Context;
use crate::exit::{Exit, Failure};
use crate::quantity::{duration, shown};

/// What `motet endpoint list` is told.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// More: observers too, all addresses, roles, tags
    #[arg(short, long)]
    verbose: bool,
    /// Go on, and tell a line per change: joined, suspect, alive again, dead, left
    #[arg(long)]
    watch: bool,
    /// Only those whose state (with --watch: change) is this regular expression
    #[arg(long, value_name = "RE")]
    status: Option<String>,
    /// Listen for this long; else until discovery has settled, or with --watch for ever
    #[arg(long, value_name = "DUR", value_parser = duration)]
    wait: Option<Duration>,
}

/// A peer, and what it tells about itself.
#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    peer: PeerReport,
    tags: BTreeMap<String, String>,
}

pub(crate) async fn run(args: ListArgs, context: &Context) -> Result<Exit, Failure> {
    let choice = Choice::new(args.status.as_deref(), &context.global.tag, args.verbose)?;
    let endpoint = context.observe().await?;
    if args.watch {
        let watch = watch::run(&endpoint, &choice, context);
        return match args.wait {
            None => watch.await.map(|()| Exit::Done),
            Some(wait) => {
                tokio::time::timeout(wait, watch).await.unwrap_or(Ok(())).map(|()| Exit::Done)
            }
        };
    }
    let peers = listen(&endpoint, args.wait, &choice, context).await;
    let asks = choice.needs_tags() || args.verbose || !context.out.is_text();
    let mut rows = if asks { with_tags(&endpoint, peers).await } else { plain(peers) };
    rows.retain(|row| choice.tags(&row.tags));
    if args.verbose {
        let heads = ["NAME", "ID", "STATE", "RTT", "HEARD", "MTU", "ROLES", "ADDRESSES", "TAGS"];
        context.out.table(&rows, heads, |row| {
            let [name, id, state, rtt, heard, _] = cells(row);
            let (mtu, roles) = (row.peer.mtu.to_string(), row.peer.roles.join(","));
            let tags: Vec<String> = row.tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
            let addresses = row.peer.addresses.join(" ");
            [name, id, state, rtt, heard, mtu, roles, addresses, tags.join(" ")]
        })?;
    } else {
        context.out.table(&rows, ["NAME", "ID", "STATE", "RTT", "HEARD", "ADDRESS"], cells)?;
    }
    Ok(Exit::Done)
}

/// Who is here, after `wait` or once discovery has settled; says so on stderr.
pub(crate) async fn listen(
    endpoint: &Endpoint,
    wait: Option<Duration>,
    choice: &Choice,
    context: &Context,
) -> Vec<PeerReport> {
    let begun = tokio::time::Instant::now();
    match wait {
        None => drop(endpoint.settled().await),
        // An event stream that nobody feeds: only the clock ends it.
        Some(wait) => drop(tokio::time::timeout(wait, std::future::pending::<()>()).await),
    }
    let mut peers = endpoint.peers();
    peers.retain(|peer| choice.state(&peer.state) && choice.role(peer));
    peers.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    context.out.remark(format!(
        "listened {:.1} s, {} endpoints in realm {}",
        begun.elapsed().as_secs_f64(),
        peers.len(),
        context.global.realm
    ));
    peers
}

fn plain(peers: Vec<PeerReport>) -> Vec<Row> {
    peers.into_iter().map(|peer| Row { peer, tags: BTreeMap::new() }).collect()
}

/// Asks all of them at once: one that is stopped holds nobody up.
async fn with_tags(endpoint: &Endpoint, peers: Vec<PeerReport>) -> Vec<Row> {
    let asked = peers.into_iter().map(|peer| {
        let endpoint = endpoint.clone();
        tokio::spawn(async move {
            let tags = tags_of(&endpoint, &peer.id).await;
            Row { peer, tags }
        })
    });
    let asked: Vec<_> = asked.collect();
    let mut rows = Vec::with_capacity(asked.len());
    for row in asked {
        // It ends without a row only when everything does.
        rows.extend(row.await);
    }
    rows
}

fn cells(row: &Row) -> [String; 6] {
    let peer = &row.peer;
    [
        peer.name.clone(),
        peer.id.clone(),
        peer.state.clone(),
        peer.rtt_seconds.map_or_else(|| "-".to_owned(), shown),
        shown(peer.heard_seconds),
        peer.address.clone(),
    ]
}
