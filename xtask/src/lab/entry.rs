//! Ways in without multicast.

use std::time::Duration;

use super::figures::Figures;
use super::process::{Process, ms};
use super::streams::all_arrived;
use super::{Lab, demand};
use crate::Outcome;

const LIMIT: Duration = Duration::from_secs(30);

/// Three subnets behind a router, no multicast, one known contact: all meet, data goes direct, and
/// with the contact killed a newcomer enters by what it remembers.
pub(super) fn cloud(lab: &Lab, figures: &mut Figures) -> Outcome {
    let mut hosts = Vec::new();
    for subnet in 1..=3_u8 {
        for n in 2..=3_u8 {
            let host = lab.net.routed_host(&format!("s{subnet}n{n}"), subnet, n)?;
            host.drop_multicast("eth0")?;
            host.drop_multicast("lo")?;
            hosts.push(host);
        }
    }
    let address = hosts[0].address.clone();
    let mut contact = lab.member(&hosts[0], "contact", "--bootstrap")?;
    contact.wait("open", LIMIT)?;
    let enter = format!("--peer {address}");
    let mut members = Vec::new();
    for (n, host) in hosts.iter().enumerate().skip(1) {
        let rest = match n {
            2 => format!("{enter} --publish cloud/a --count {COUNT} --rate 500 --readers 1"),
            5 => format!("{enter} --subscribe cloud/a --expect {COUNT}"),
            _ => enter.clone(),
        };
        members.push(lab.member(host, &format!("m{n}"), &rest)?);
    }
    let mut met: f64 = 0.0;
    for at in 0..members.len() {
        for other in (1..=members.len()).filter(|other| *other != at + 1) {
            let up = members[at].wait(&format!("up name=m{other}"), LIMIT)?;
            met = met.max(ms(members[at].started, up.at));
        }
    }
    figures.count("hosts", hosts.len() as u64);
    figures.value("all_met_ms", met);
    all_arrived(&mut members[4], COUNT)?;
    let told = contact.report()?;
    let relayed = told.count("messages_sent")? + told.count("messages_delivered")?;
    figures.count("messages_through_the_contact", relayed);
    demand(relayed == 0, || format!("{relayed} messages went through the contact"))?;

    let mut guest = lab.member(&hosts[1], "guest", &format!("{enter} --remember"))?;
    guest.wait("up name=m5", LIMIT)?;
    guest.close()?;
    contact.kill();
    let mut guest = lab.member(&hosts[1], "guest", "--remember")?;
    let mut entered: f64 = 0.0;
    for other in 1..=members.len() {
        let up = guest.wait(&format!("up name=m{other}"), LIMIT)?;
        entered = entered.max(ms(guest.started, up.at));
    }
    figures.value("entered_by_memory_ms", entered);
    guest.close()?;
    members.iter_mut().try_for_each(Process::close)
}

/// Messages from one subnet to another.
const COUNT: u64 = 500;
