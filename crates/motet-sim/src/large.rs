//! What very many endpoints cost and how fast they are, as lines for reading.

use crate::wall;
use motet_proto::wire::record::swim::SwimState;
use motet_sim::flock::{Flock, FlockSpec};
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
    let FlockSpec { nodes, loss, starved, health, seed } = spec;
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
