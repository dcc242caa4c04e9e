//! `motet endpoint list`.

use std::time::Duration;

use clap::Args;
use motet::Endpoint;
use motet::report::{MemberReport, PeerReport};
use serde::Serialize;

use super::choice::Choice;
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

/// A member, and what the session with it tells, if there is one.
#[derive(Serialize)]
pub(crate) struct Row {
    #[serde(flatten)]
    pub(crate) member: MemberReport,
    heard_seconds: Option<f64>,
    mtu: Option<u16>,
    addresses: Vec<String>,
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
    let rows = listen(&endpoint, args.wait, &choice, context).await;
    if args.verbose {
        let heads = ["NAME", "ID", "STATE", "RTT", "HEARD", "MTU", "ROLES", "ADDRESSES", "TAGS"];
        context.out.table(&rows, heads, |row| {
            let [name, id, state, rtt, heard, _] = cells(row);
            let mtu = row.mtu.map_or_else(|| "-".to_owned(), |mtu| mtu.to_string());
            let tags: Vec<String> =
                row.member.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let (roles, addresses) = (row.member.roles.join(","), row.addresses.join(" "));
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
) -> Vec<Row> {
    let begun = tokio::time::Instant::now();
    match wait {
        None => drop(endpoint.settled().await),
        // An event stream that nobody feeds: only the clock ends it.
        Some(wait) => drop(tokio::time::timeout(wait, std::future::pending::<()>()).await),
    }
    let peers = endpoint.peers();
    let members = endpoint.members().into_iter();
    let wanted = members.filter(|member| {
        choice.state(&member.state) && choice.role(member) && choice.tags(&member.tags)
    });
    let mut rows: Vec<Row> = wanted
        .map(|member| {
            let same = |peer: &&PeerReport| peer.id == member.id && member.session;
            let peer = peers.iter().find(same);
            let addresses = match peer {
                Some(peer) => peer.addresses.clone(),
                None => vec![member.address.clone()],
            };
            let (heard_seconds, mtu) =
                (peer.map(|peer| peer.heard_seconds), peer.map(|peer| peer.mtu));
            Row { member, heard_seconds, mtu, addresses }
        })
        .collect();
    rows.sort_by(|a, b| (&a.member.name, &a.member.id).cmp(&(&b.member.name, &b.member.id)));
    context.out.remark(format!(
        "listened {:.1} s, {} endpoints in realm {}",
        begun.elapsed().as_secs_f64(),
        rows.len(),
        context.global.realm
    ));
    rows
}

fn cells(row: &Row) -> [String; 6] {
    let member = &row.member;
    let seconds = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), shown);
    [
        member.name.clone(),
        member.id.clone(),
        member.state.clone(),
        seconds(member.rtt_seconds),
        seconds(row.heard_seconds),
        member.address.clone(),
    ]
}
