//! Ways in without multicast, and many endpoints on one machine.

use std::time::{Duration, Instant};

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

/// Many real endpoints in ten namespaces, one process each: until each knows each, and what they
/// cost when nothing happens.
pub(super) fn many(lab: &Lab, figures: &mut Figures) -> Outcome {
    let each = if lab.quick { 4 } else { 20 };
    let all = each * HOSTS;
    let mut crowds = Vec::new();
    let begun = Instant::now();
    for n in 1..=HOSTS {
        let name = format!("c{n}");
        let host = lab.net.host(&name, n as u8, 1_500)?;
        let state = lab.directory.join("state");
        let rest = format!("crowd --name {name} --state {} --count {each}", state.display());
        crowds.push(lab.start(&host.namespace, &name, &rest)?);
    }
    for crowd in &mut crowds {
        crowd.wait("open", LIMIT)?;
    }
    let open = Instant::now();
    figures.count("endpoints", all);
    figures.count("processes", HOSTS);
    figures.value("open_ms", ms(begun, open));
    let sessions = loop {
        let (mut least, mut sessions) = (u64::MAX, 0);
        for crowd in &mut crowds {
            let told = crowd.report()?;
            least = least.min(told.count("least")?);
            sessions += told.count("sessions")?;
        }
        if least == all - 1 {
            break sessions;
        }
        demand(open.elapsed() < ALL_KNOWN, || {
            format!("after {ALL_KNOWN:?} somebody knows {least} of {}", all - 1)
        })?;
        // The pace of asking, nothing else.
        std::thread::sleep(Duration::from_millis(200));
    };
    figures.value("all_pairs_known_ms", ms(open, Instant::now()));
    figures.count("sessions_per_endpoint", sessions / all);
    // What began with the start is to be over: timers of the first minute are not idling.
    std::thread::sleep(if lab.quick { Duration::from_secs(2) } else { Duration::from_secs(60) });
    let ticks = |crowds: &[Process]| crowds.iter().map(Process::cpu_ticks).sum::<Result<u64, _>>();
    let (before, since) = (ticks(&crowds)?, Instant::now());
    std::thread::sleep(if lab.quick { Duration::from_secs(2) } else { Duration::from_secs(20) });
    let used = ticks(&crowds)? - before;
    // 100 ticks a second (USER_HZ), in percent of one core.
    figures.value("idle_cpu_percent_of_a_core", used as f64 / since.elapsed().as_secs_f64());
    let memory = crowds.iter().map(Process::memory).sum::<Result<u64, _>>()?;
    figures.count("memory_kib_per_endpoint", memory / all);
    for crowd in &mut crowds {
        demand(crowd.report()?.count("least")? == all - 1, || "somebody was lost".into())?;
    }
    crowds.iter_mut().try_for_each(Process::close)
}

/// Namespaces, and processes.
const HOSTS: u64 = 10;
/// How long it may take until each knows each.
const ALL_KNOWN: Duration = Duration::from_secs(120);
