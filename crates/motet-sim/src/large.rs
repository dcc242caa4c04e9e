//! What very many endpoints cost and how fast they are, as lines for reading.

use crate::wall;
use motet_proto::node::MemberWhere;
use motet_proto::wire::record::swim::SwimState;
use motet_sim::flock::{Flock, FlockSpec};
use motet_sim::multitude::{Multitude, Spec};
use motet_sim::storm::storm;
use motet_sim::{Ep, LinkModel, Net, ms};
use std::process::ExitCode;
use std::time::Duration;

pub(crate) fn members(spec: FlockSpec, hours: f64) -> ExitCode {
    let wall = wall();
    let mut flock = Flock::new(spec);
    flock.introduce_all();
    let steps = (hours * 4.0).ceil().max(1.0) as u32;
    for step in 1..=steps {
        flock.run_for(Duration::from_secs_f64(hours * 3_600.0 / f64::from(steps)));
        if step.is_multiple_of(4) && step < steps {
            let tally = &flock.tally;
            eprintln!(
                "{} h: {} suspicions seen, {} false deaths, {} of starved; {:.0} s",
                step / 4,
                tally.suspicions,
                tally.false_deaths,
                tally.starved_deaths,
                wall().as_secs_f64()
            );
        }
    }
    let FlockSpec { nodes, loss, starved, health, seed, .. } = spec;
    let tally = &flock.tally;
    let seconds = hours * 3_600.0;
    println!(
        "{nodes} endpoints, {hours} h, {:.1} % loss, {:.0} % starved, health scaling {}, seed {seed}:\n\
         {} false deaths of endpoints that were well, {} of starved ones\n\
         {} suspicions seen, {:.1} packets and {:.0} bytes per second and endpoint, trace {:016x}, {:.1} s",
        loss * 100.0,
        starved * 100.0,
        if health { "on" } else { "off" },
        tally.false_deaths,
        tally.starved_deaths,
        tally.suspicions,
        tally.packets as f64 / seconds / nodes as f64,
        tally.bytes as f64 / seconds / nodes as f64,
        flock.hash(),
        wall().as_secs_f64(),
    );
    for (at, node, generation) in &tally.first {
        println!("  {:.1} s: endpoint {node}, generation {generation}", at.0 as f64 / 1e9);
    }
    if tally.false_deaths == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

pub(crate) fn crash(spec: FlockSpec, crashes: usize) -> ExitCode {
    let wall = wall();
    let mut flock = Flock::new(spec);
    flock.introduce_all();
    flock.run_for(Duration::from_secs(30));
    let (mut suspected, mut dead, mut all) = (Vec::new(), Vec::new(), Vec::new());
    let mut left = spec.nodes;
    for victim in 0..crashes.min(spec.nodes.saturating_sub(2)) {
        flock.watch(victim);
        flock.kill(victim);
        left -= 1;
        let killed = flock.now;
        flock.run_for(Duration::from_secs(90));
        let after = |at: motet_proto::Time| at.since(killed).as_secs_f64();
        let of = |state| flock.seen().iter().filter(move |(_, _, seen)| *seen == state);
        suspected.extend(of(SwimState::Suspect).map(|(_, at, _)| after(*at)).next());
        let known: Vec<f64> = of(SwimState::Down).map(|(_, at, _)| after(*at)).collect();
        if known.len() >= left {
            all.extend(known.iter().copied().reduce(f64::max));
        }
        dead.extend(known);
    }
    let told = |name: &str, mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        let at = |part: f64| times.get(((times.len() - 1) as f64 * part) as usize).copied();
        if times.is_empty() {
            println!("  {name}: never");
        } else {
            let [median, p99, last] = [0.5, 0.99, 1.0].map(|part| at(part).unwrap_or(f64::NAN));
            println!("  {name}: median {median:.2} s, p99 {p99:.2} s, last {last:.2} s");
        }
    };
    let whole = all.len();
    println!("{} endpoints, {} crashes, {:.1} s", spec.nodes, crashes, wall().as_secs_f64());
    told("first suspicion", suspected);
    told("dead, at each other endpoint", dead);
    told("dead, at all", all);
    if whole == crashes.min(spec.nodes.saturating_sub(2)) {
        ExitCode::SUCCESS
    } else {
        println!("  {whole} crashes were known to all within 90 s");
        ExitCode::FAILURE
    }
}

pub(crate) fn split(spec: FlockSpec, seconds: u64) -> ExitCode {
    let wall = wall();
    let mut flock = Flock::new(spec);
    flock.introduce_all();
    flock.run_for(Duration::from_secs(30));
    flock.split(Some(spec.nodes / 2));
    flock.run_for(Duration::from_secs(seconds));
    let apart = flock.unknown();
    flock.split(None);
    let healed = flock.now;
    let mut left = apart;
    while left > 0 && flock.now.since(healed) < Duration::from_secs(600) {
        flock.run_for(Duration::from_secs(1));
        left = flock.unknown();
    }
    println!(
        "{} endpoints, cut in two for {seconds} s: {apart} pairs did not know each other; \
         {left} after {:.0} s; {:.1} s",
        spec.nodes,
        flock.now.since(healed).as_secs_f64(),
        wall().as_secs_f64()
    );
    if left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Pairs of endpoints of which the first does not know that the second lives.
fn unknown(net: &mut Net, eps: &[Ep]) -> usize {
    let mut missing = 0;
    for ep in eps {
        let Some(node) = net.node(*ep) else { continue };
        let members = node.members();
        let known = members.iter().filter(|it| it.state != MemberWhere::Dead).count();
        missing += (eps.len() - 1).saturating_sub(known);
    }
    missing
}

fn whole(nodes: usize, loss: f64, seed: u64) -> (Net, Vec<Ep>) {
    let mut net = Net::seeded(seed).links(LinkModel { loss, ..LinkModel::default() });
    (net.strict, net.keep, net.check_every) = (false, false, 0);
    let place = |net: &mut Net, n| {
        let host = net.world.add_host(&[0]);
        net.place(host, motet_sim::net::config(&format!("e{n}")))
    };
    let eps: Vec<Ep> = (0..nodes).map(|n| place(&mut net, n)).collect();
    (net, eps)
}

pub(crate) fn coldstart(nodes: usize, loss: f64, seed: u64) -> ExitCode {
    let wall = wall();
    let (mut net, eps) = whole(nodes, loss, seed);
    for ep in &eps {
        net.start(*ep, false);
        net.subscribe(*ep, &format!("topic/{}", ep.0));
    }
    let (start, mut before, mut peak, mut known) = (net.world.now, 0, 0, None);
    let mut seconds = Vec::new();
    for tenth in 1..=600 {
        net.run_for(ms(100));
        let sent = net.world.traffic.sent;
        if tenth % 10 == 0 {
            seconds.push(sent - before);
            peak = peak.max(sent - before);
            before = sent;
            let missing = unknown(&mut net, &eps);
            eprintln!(
                "{} s: {} datagrams, {missing} pairs unknown, {:.0} s",
                tenth / 10,
                seconds.last().copied().unwrap_or(0),
                wall().as_secs_f64()
            );
            if missing == 0 && known.is_none() {
                known = Some(net.world.now.since(start));
            }
            if known.is_some() && tenth >= 150 {
                break;
            }
        }
    }
    let steady = seconds.last().copied().unwrap_or(0);
    let told = known.map_or_else(|| "never".into(), |it| format!("{:.1} s", it.as_secs_f64()));
    println!(
        "{nodes} endpoints start at once, {:.1} % loss: all know all after {told}; at most {peak} \
         datagrams in a second ({:.0} each), at the end {steady} ({:.1} each); trace {:016x}, {:.1} s",
        loss * 100.0,
        peak as f64 / nodes as f64,
        steady as f64 / nodes as f64,
        net.world.trace.hash(),
        wall().as_secs_f64()
    );
    // One more: it reads what an endpoint publishes with which it has no session.
    let words = net.advertise(eps[nodes / 2], "words");
    net.publish(words, "hello");
    net.run_for(ms(3_000));
    let late = net.endpoint("late");
    let begun = net.world.now;
    let heard = net.subscribe(late, "words");
    let got =
        net.run_until(|net| !net.deliveries(heard).is_empty() || net.heard(heard), ms(30_000));
    let after = net.world.now.since(begun).as_secs_f64() * 1e3;
    println!(
        "a newcomer has its first message after {after:.1} ms{}",
        if got { "" } else { ": not" }
    );
    if known.is_some() && got { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

pub(crate) fn repeat(nodes: usize, loss: f64, seed: u64) -> ExitCode {
    let wall = wall();
    let first = storm(nodes, loss, seed);
    let took = wall();
    let second = storm(nodes, loss, seed);
    println!(
        "{nodes} endpoints, {:.1} % loss, a split, {} crashes, seed {seed}: {} datagrams, {} lost, {} messages \
         delivered; trace {:016x}, then {:016x}; {:.1} s each",
        loss * 100.0,
        first.crashes,
        first.packets,
        first.lost,
        first.delivered,
        first.trace,
        second.trace,
        took.as_secs_f64()
    );
    if first == second { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

pub(crate) fn discovery(nodes: usize, seed: u64) -> ExitCode {
    let wall = wall();
    let (mut net, eps) = whole(nodes, 0.0, seed);
    for ep in &eps {
        net.start(*ep, false);
    }
    net.run_for(ms(60_000));
    let count = |net: &mut Net| {
        let mut sum = (0, 0, 0);
        for ep in &eps {
            let counters = net.counters(*ep);
            sum.0 += counters.beacons_sent;
            sum.1 += counters.gossip_sent;
            sum.2 += counters.datagrams_sent;
        }
        sum
    };
    let (before, bytes) = (count(&mut net), net.world.traffic.sent_bytes);
    net.run_for(ms(30_000));
    let (after, more) = (count(&mut net), net.world.traffic.sent_bytes);
    let each = |n: u64| n as f64 / 30.0 / nodes as f64;
    println!(
        "{nodes} endpoints: {:.1} announcements a second in all; per endpoint and second {:.3} \
         announcements, {:.2} packets of membership, {:.2} packets in all, {:.0} bytes; {:.1} s",
        (after.0 - before.0) as f64 / 30.0,
        each(after.0 - before.0),
        each(after.1 - before.1),
        each(after.2 - before.2),
        each(more - bytes),
        wall().as_secs_f64()
    );
    ExitCode::SUCCESS
}

pub(crate) fn multitude(spec: Spec, seconds: u64, crashes: usize) -> ExitCode {
    let wall = wall();
    let Spec { nodes, loss, seed } = spec;
    let mut all = Multitude::new(spec);
    eprintln!("all know all; {} KiB, {:.0} s", resident(), wall().as_secs_f64());
    all.run_for(Duration::from_secs(10));
    let before = all.sent;
    let mut wildest = 0;
    for second in 1..=seconds {
        let announced = all.sent.announcements;
        all.run_for(Duration::from_secs(1));
        wildest = wildest.max(all.sent.announcements - announced);
        if second % 10 == 0 {
            eprintln!("{second} s counted; {:.0} s", wall().as_secs_f64());
        }
    }
    let each = |n: u64| n as f64 / seconds as f64 / nodes as f64;
    let (now, unknown) = (all.sent, all.unknown());
    println!(
        "{nodes} endpoints, announcements and membership alone, {:.1} % loss, seed {seed}, {seconds} s:\n\
         {:.1} announcements a second in all, at most {wildest} in one; per endpoint and second {:.2} packets of \
         membership, {:.0} bytes of all\n\
         {unknown} pairs unknown, {} suspicions, {} false deaths; {} KiB, {:.0} bytes for each pair; trace {:016x}, {:.1} s",
        loss * 100.0,
        (now.announcements - before.announcements) as f64 / seconds as f64,
        each(now.packets - before.packets),
        each(now.bytes - before.bytes),
        now.suspicions,
        now.false_deaths,
        resident(),
        resident() as f64 * 1_024.0 / nodes as f64 / nodes as f64,
        all.hash(),
        wall().as_secs_f64()
    );
    let well = unknown == 0 && now.false_deaths == 0;
    if crashes > 0 && !crashed(&mut all, crashes.min(nodes / 2)) {
        return ExitCode::FAILURE;
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Kills so many, and prints when all others knew. False if some did not within 180 s.
fn crashed(all: &mut Multitude, crashes: usize) -> bool {
    let wall = wall();
    let killed = all.now;
    let (before, pairs) = (all.sent, crashes * (all.living() - crashes));
    for victim in 0..crashes {
        all.kill(victim);
        all.run_for(Duration::from_secs(1) / crashes as u32);
    }
    while all.deaths().len() < pairs && all.now.since(killed) < Duration::from_secs(180) {
        all.run_for(Duration::from_secs(1));
    }
    let mut after: Vec<f64> =
        all.deaths().iter().map(|(_, _, at)| at.since(killed).as_secs_f64()).collect();
    after.sort_by(f64::total_cmp);
    let at = |part: f64| after.get(((pairs - 1) as f64 * part) as usize).copied();
    let [median, p99, last] = [0.5, 0.99, 1.0].map(|part| at(part).unwrap_or(f64::NAN));
    let passed = all.now.since(killed).as_secs_f64();
    println!(
        "{crashes} crashes within a second: {} of {pairs} times known; from the first crash on, dead at each other: \
         median {median:.2} s, p99 {p99:.2} s, last {last:.2} s; {:.2} packets per endpoint and second then, {} false \
         deaths; {:.1} s",
        after.len(),
        (all.sent.packets - before.packets) as f64 / passed / all.living() as f64,
        all.sent.false_deaths,
        wall().as_secs_f64()
    );
    after.len() == pairs
}

/// Memory of this process, KiB; 0 where the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
