//! Many endpoints in one process: how many there can be on a machine, and what they cost.
//!
//! Says `open`; takes these commands:
//!
//! - `report`: how many members the endpoint knows that knows fewest, and the one that knows most;
//! - `who`: whom the one that knows fewest knows, each as `NAME:STATE`;
//! - `offer SERVICE`: each endpoint offers it from now on;
//! - `survey SERVICE MS`: the first endpoint asks all who offer it, and tells what came back.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use motet::Endpoint;
use motet::report::MemberReport;
use motet::service::{CallOptions, ServeOptions, Server};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{Outcome, say};

#[derive(Args)]
pub(crate) struct Crowd {
    /// Names of the endpoints begin so.
    #[arg(long)]
    name: String,
    /// Directory of the realm's secret.
    #[arg(long)]
    state: PathBuf,
    /// How many.
    #[arg(long)]
    count: u16,
}

impl Crowd {
    pub(crate) fn run(self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.live())
    }

    async fn live(self) -> Outcome {
        let mut endpoints = Vec::new();
        for n in 0..self.count {
            let builder = Endpoint::builder().realm("lab").name(format!("{}-{n}", self.name));
            endpoints.push(builder.state_dir(&self.state).remember_peers(false).open().await?);
        }
        say(&format!("open endpoints={}", endpoints.len()));
        let mut commands = BufReader::new(tokio::io::stdin()).lines();
        while let Some(command) = commands.next_line().await? {
            let words: Vec<&str> = command.split(' ').collect();
            match words[..] {
                ["report"] => report(&endpoints),
                ["who"] => who(&endpoints),
                ["offer", service] => {
                    for endpoint in &endpoints {
                        let options = ServeOptions::new().safe();
                        tokio::spawn(answer(endpoint.serve(service, options).await?));
                    }
                    say("offered");
                }
                ["survey", service, ms] => survey(&endpoints[0], service, ms.parse()?).await?,
                _ => return Err(format!("unknown command: {command}").into()),
            }
        }
        for endpoint in endpoints {
            let left = endpoint.close(Duration::from_secs(1)).await;
            if !left.is_empty() {
                return Err("messages that nobody published are missing".into());
            }
        }
        Ok(())
    }
}

/// Suspects are known, too: they live until they are declared dead.
fn lives(member: &MemberReport) -> bool {
    matches!(&*member.state, "alive" | "quiet" | "suspect")
}

fn known(endpoint: &Endpoint) -> usize {
    endpoint.members().iter().filter(|it| lives(it)).count()
}

fn report(endpoints: &[Endpoint]) {
    let known: Vec<usize> = endpoints.iter().map(known).collect();
    let sessions: usize = endpoints.iter().map(|endpoint| endpoint.peers().len()).sum();
    let suspects = endpoints.iter().flat_map(Endpoint::members).filter(|it| it.state == "suspect");
    let (least, most, suspects) = (known.iter().min(), known.iter().max(), suspects.count());
    say(&format!(
        "report least={} most={} sessions={sessions} suspects={suspects}",
        least.copied().unwrap_or(0),
        most.copied().unwrap_or(0)
    ));
}

fn who(endpoints: &[Endpoint]) {
    let Some(least) = endpoints.iter().min_by_key(|it| known(it)) else { return };
    let members = least.members();
    let each = members.iter().map(|it| format!("{}:{}", it.name, it.state));
    say(&format!("who name={} knows={}", least.name(), each.collect::<Vec<_>>().join(",")));
}

/// Answers whoever asks, with what was asked, until the endpoint closes.
async fn answer(mut server: Server) {
    while let Some(request) = server.next().await {
        let body = request.body().to_vec();
        // Nobody waiting for it is fine.
        let _ = request.reply(body);
    }
}

async fn survey(endpoint: &Endpoint, service: &str, ms: u64) -> Outcome {
    let drops = || {
        let counters = endpoint.snapshot().counters;
        counters.iter().find(|it| it.name == "kernel_drops").map_or(0, |it| it.value)
    };
    let (before, begun) = (drops(), Instant::now());
    let within = Duration::from_millis(ms);
    let caller = endpoint.caller(service, CallOptions::new().timeout(within))?;
    let survey = caller.survey("who is there?", within).await?;
    let took = begun.elapsed().as_secs_f64() * 1e3;
    let good = survey.replies.iter().filter(|it| it.body() == b"who is there?");
    let from: BTreeSet<_> = good.map(|it| it.from().id).collect();
    say(&format!(
        "survey asked={} answers={} distinct={} ms={took:.1} kernel_drops={}",
        survey.asked,
        survey.replies.len(),
        from.len(),
        drops() - before
    ));
    Ok(())
}
