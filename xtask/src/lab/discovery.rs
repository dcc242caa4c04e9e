//! Finding each other: how soon, and with how little.

use std::time::Duration;

use super::figures::Figures;
use super::net::Host;
use super::process::ms;
use super::streams::all_arrived;
use super::{Lab, demand};
use crate::Outcome;

const LIMIT: Duration = Duration::from_secs(20);

/// From the start of a process to its first message of a publisher that runs.
pub(super) fn first_message(lab: &Lab, figures: &mut Figures) -> Outcome {
    let (a, b) = (lab.net.host("a", 1, 1_500)?, lab.net.host("b", 2, 1_500)?);
    let mut writer = lab.member(&a, "writer", "--publish lab/tick --rate 1000")?;
    writer.wait("open", LIMIT)?;
    let starts = if lab.quick { 5 } else { 50 };
    figures.count("starts", starts);
    for (way, host) in [("loopback", &a), ("veth", &b)] {
        let (mut open, mut up) = (Vec::new(), Vec::new());
        let (mut inside, mut outside) = (Vec::new(), Vec::new());
        for n in 0..starts {
            let name = format!("reader-{way}-{n}");
            let mut reader = lab.member(host, &name, "--subscribe lab/tick")?;
            let first = reader.wait("first", LIMIT)?;
            inside.push(first.number("ms"));
            outside.push(ms(reader.started, first.at));
            open.push(reader.wait("open", LIMIT)?.number("ms"));
            up.push(ms(reader.started, reader.wait("up name=writer", LIMIT)?.at));
            reader.close()?;
        }
        let worst = inside.iter().copied().fold(0.0, f64::max);
        figures.percentiles(&format!("{way}_open_ms"), &mut open);
        figures.percentiles(&format!("{way}_ms"), &mut inside);
        figures.percentiles(&format!("{way}_with_exec_up_ms"), &mut up);
        figures.percentiles(&format!("{way}_with_exec_ms"), &mut outside);
        demand(worst <= 2_000.0, || format!("{way}: first message after {worst:.0} ms"))?;
    }
    Ok(())
}

/// Multicast is filtered: a named peer is found, and so are the endpoints of one host.
pub(super) fn no_multicast(lab: &Lab, figures: &mut Figures) -> Outcome {
    let (a, b) = (lab.net.host("a", 1, 1_500)?, lab.net.host("b", 2, 1_500)?);
    for host in [&a, &b] {
        host.drop_multicast("eth0")?;
        host.drop_multicast("lo")?;
    }
    let address = a.address.clone();
    meet(lab, figures, "named_peer", (&a, ""), (&b, &format!("--peer {address}")))?;
    meet(lab, figures, "one_host", (&a, ""), (&a, ""))
}

/// Nothing but IPv6 link-local addresses on the card.
pub(super) fn ipv6(lab: &Lab, figures: &mut Figures) -> Outcome {
    let (a, b) = (lab.net.host_without_ipv4("a")?, lab.net.host_without_ipv4("b")?);
    meet(lab, figures, "link_local", (&a, ""), (&b, ""))
}

/// No interface but loopback.
pub(super) fn starters(lab: &Lab, figures: &mut Figures) -> Outcome {
    let a = lab.net.lonely_host("a")?;
    meet(lab, figures, "loopback_only", (&a, ""), (&a, ""))
}

/// Two members find each other and exchange messages both ways.
fn meet(
    lab: &Lab,
    figures: &mut Figures,
    what: &str,
    (a, a_rest): (&Host, &str),
    (b, b_rest): (&Host, &str),
) -> Outcome {
    let both = |mine: &str, theirs: &str, rest: &str| {
        format!(
            "--publish {what}/{mine} --count {COUNT} --rate 1000 --readers 1 \
             --subscribe {what}/{theirs} --expect {COUNT} {rest}"
        )
    };
    let at = |reason: String| format!("{what}: {reason}");
    let mut first = lab.member(a, &format!("{what}-1"), &both("a", "b", a_rest))?;
    first.wait("open", LIMIT).map_err(at)?;
    let mut second = lab.member(b, &format!("{what}-2"), &both("b", "a", b_rest))?;
    let up = second.wait(&format!("up name={what}-1"), LIMIT).map_err(at)?;
    figures.value(&format!("{what}_up_ms"), ms(second.started, up.at));
    all_arrived(&mut first, COUNT).map_err(at)?;
    all_arrived(&mut second, COUNT).map_err(at)?;
    let told = second.wait("first", Duration::ZERO).map_err(at)?;
    figures.value(&format!("{what}_first_ms"), told.number("ms"));
    // The one leaves only when the other has told what it got.
    first.close().map_err(at)?;
    second.close().map_err(at)
}

/// Messages each way.
const COUNT: u64 = 200;
