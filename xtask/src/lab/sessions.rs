//! Sessions: noticing deaths, and outliving changes of address and link.

use std::time::{Duration, Instant};

use super::figures::Figures;
use super::process::{Process, ms};
use super::streams::all_arrived;
use super::{Lab, demand};
use crate::Outcome;

const LIMIT: Duration = Duration::from_secs(20);

/// `kill -9`: how soon others know, and a restart under the same name.
pub(super) fn death(lab: &Lab, figures: &mut Figures) -> Outcome {
    let hosts = [lab.net.host("a", 1, 1_500)?, lab.net.host("b", 2, 1_500)?];
    // Dead after five rates of silence; our bound allows for a busy machine.
    for (profile, dead_after) in [("fast", 1_000.0), ("normal", 5_000.0)] {
        let liveness = format!("--liveness {profile}");
        let mut others = Vec::new();
        for (n, host) in hosts.iter().enumerate() {
            others.push(lab.member(host, &format!("watcher-{profile}-{n}"), &liveness)?);
        }
        let name = format!("victim-{profile}");
        let mut victim = lab.member(&hosts[0], &name, &liveness)?;
        let (up, down) = (format!("up name={name}"), format!("down name={name}"));
        wait_all(&mut others, &up)?;
        victim.kill();
        let killed = Instant::now();
        let mut worst = 0.0f64;
        for other in &mut others {
            let down = other.wait(&down, LIMIT)?;
            worst = worst.max(ms(killed, down.at));
        }
        figures.value(&format!("{profile}_down_ms"), worst);
        demand(worst <= dead_after * 2.0, || {
            format!("{profile}: known dead after {worst:.0} ms, not {dead_after:.0}")
        })?;
        // Once more, and this time it is back before anybody knows.
        let mut victim = lab.member(&hosts[0], &name, &liveness)?;
        wait_all(&mut others, &up)?;
        victim.kill();
        let mut again = lab.member(&hosts[0], &name, &liveness)?;
        let mut back = 0.0f64;
        for other in &mut others {
            let up = other.wait(&up, LIMIT)?;
            back = back.max(ms(again.started, up.at));
        }
        figures.value(&format!("{profile}_restart_ms"), back);
        let mut released = 0.0f64;
        for other in &mut others {
            released = released.max(ms(again.started, other.wait(&down, LIMIT)?.at));
        }
        figures.value(&format!("{profile}_old_one_down_ms"), released);
        let clash = others
            .iter_mut()
            .chain([&mut again])
            .any(|it| it.wait(&format!("clash name={name}"), Duration::ZERO).is_ok());
        demand(!clash, || format!("{profile}: the dead holder of the name made a clash"))?;
    }
    Ok(())
}

fn wait_all(members: &mut [Process], words: &str) -> Outcome {
    members.iter_mut().try_for_each(|member| member.wait(words, LIMIT).map(drop))
}

/// The address changes, and the link goes down and up, while data flows.
pub(super) fn address(lab: &Lab, figures: &mut Figures) -> Outcome {
    let (a, b) = (lab.net.host("a", 1, 1_500)?, lab.net.host("b", 2, 1_500)?);
    // IPv6 would carry the data on, and the change would not be noticed.
    for host in [&a, &b] {
        host.run("sh", &["-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6"])?;
    }
    let mut reader = lab.member(&b, "reader", "--subscribe lab/flow")?;
    let writing = "--publish lab/flow --size 200 --rate 500 --readers 1";
    let mut writer = lab.member(&a, "writer", writing)?;
    reader.wait("first", LIMIT)?;
    for (what, changed, new) in
        [("writer_address", &a, "10.77.0.101"), ("reader_address", &b, "10.77.0.102")]
    {
        reader.forget();
        changed.ip(&["addr", "del", &format!("{}/24", changed.address), "dev", "eth0"])?;
        changed.ip(&["addr", "add", &format!("{new}/24"), "dev", "eth0"])?;
        let done = Instant::now();
        flows(&mut reader, what)?;
        let silent = reader.wait("resumed", Duration::ZERO);
        let at = silent.map_or(done, |resumed| resumed.at); // else nobody noticed
        figures.value(&format!("{what}_ms"), ms(done, at));
        demand(ms(done, at) <= RESUMED_MS, || format!("{what}: resumed late"))?;
    }
    for (what, host) in [("writer_link", &a), ("reader_link", &b)] {
        reader.forget();
        host.ip(&["link", "set", "eth0", "down"])?;
        // How long the cable is out: longer than a pause, shorter than death.
        std::thread::sleep(Duration::from_secs(2));
        host.ip(&["link", "set", "eth0", "up"])?;
        let done = Instant::now();
        let resumed =
            reader.wait("resumed", LIMIT).map_err(|reason| format!("{what}: {reason}"))?;
        figures.value(&format!("{what}_ms"), ms(done, resumed.at));
        demand(ms(done, resumed.at) <= RESUMED_MS, || format!("{what}: resumed late"))?;
    }
    // And for longer than a peer lives.
    reader.forget();
    a.ip(&["link", "set", "eth0", "down"])?;
    reader.wait("down name=writer", LIMIT * 3)?;
    a.ip(&["link", "set", "eth0", "up"])?;
    let done = Instant::now();
    let resumed = reader.wait("resumed", LIMIT).map_err(|reason| format!("revived: {reason}"))?;
    figures.value("after_death_ms", ms(done, resumed.at));
    writer.tell("stop")?;
    let sent = writer.wait("finished", LIMIT)?.count("messages")?;
    reader.tell(&format!("expect {sent}"))?;
    all_arrived(&mut reader, sent)?;
    figures.count("messages", sent);
    figures.count("lost", 0);
    Ok(())
}

/// Data flows again within this, a busy machine allowed for.
const RESUMED_MS: f64 = 3_000.0;

/// Demands that messages arrive now.
fn flows(reader: &mut Process, what: &str) -> Outcome {
    let before = reader.report()?.count("messages_delivered")?;
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        if reader.report()?.count("messages_delivered")? > before {
            return Ok(());
        }
    }
    Err(format!("{what}: nothing arrives any more"))
}
