//! Calls, while those who answer them are killed.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::figures::Figures;
use super::net::Host;
use super::process::Process;
use super::{Lab, demand};
use crate::Outcome;

const LIMIT: Duration = Duration::from_secs(60);
/// Servers of each of the two services, and what stands before them.
const SERVERS: usize = 3;
const BROKERS: usize = 2;
const NAME_SERVERS: usize = 3;
/// Calls a second of each of the two clients.
const RATE: u64 = 500;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A server behind the brokers.
    Worker,
    /// A server that is registered with the name servers.
    Named,
    Broker,
    Names,
}

/// One that is killed and started again, under the same name.
struct Victim {
    part: Part,
    name: String,
    life: u32,
    process: Process,
}

/// When a server did a call, and in which life.
struct Deed {
    at: u128,
    by: String,
}

/// `kill -9` of a server, a broker or a name server every second under 1,000 calls a second: half
/// of them go to brokers, half to servers whose ids come from name servers. A call without an answer
/// is lost; a call that ran at two servers ran twice unless the first was dead by then.
pub(super) fn services(lab: &Lab, figures: &mut Figures) -> Outcome {
    let seconds = if lab.quick { 15 } else { 120 };
    let host = lab.net.lonely_host("services")?;
    let mut victims = Vec::new();
    for (part, name, count) in [
        (Part::Names, "names", NAME_SERVERS),
        (Part::Broker, "broker", BROKERS),
        (Part::Worker, "worker", SERVERS),
        (Part::Named, "named", SERVERS),
    ] {
        for n in 0..count {
            let name = format!("{name}-{n}");
            let process = start(lab, &host, part, &name, 0)?;
            victims.push(Victim { part, name, life: 0, process });
        }
    }
    for victim in &mut victims {
        let ready = match victim.part {
            Part::Names => format!("names held={SERVERS} peers={}", NAME_SERVERS - 1),
            Part::Broker => format!("broker peers={} workers={SERVERS}", BROKERS - 1),
            Part::Worker | Part::Named => "serving".into(),
        };
        victim.process.wait(&ready, LIMIT)?;
    }
    let calls = RATE * seconds;
    let client = |name: &str, rest: &str| {
        let load = format!("client --rate {RATE} --seconds {seconds} {rest}");
        lab.start(&host.namespace, name, &arguments(lab, name, &load))
    };
    let mut clients = [
        ("by_broker", client("by-broker", "--service brokered")?),
        ("by_name", client("by-name", "--service named --group lab")?),
    ];
    for (_, client) in &mut clients {
        client.wait("calling", LIMIT)?;
    }

    let mut killed = BTreeMap::new();
    let mut kills = [0_u64; 3];
    let chance = RandomState::new();
    let begun = Instant::now();
    for second in 1..=seconds {
        let next = begun + Duration::from_secs(second);
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let at = chance.hash_one(second) as usize % victims.len();
        let Some(victim) = victims.get_mut(at) else { break };
        let moment = micros()?; // it may have died then
        victim.process.kill();
        killed.insert(life(&victim.name, victim.life), moment);
        let kind = match victim.part {
            Part::Worker | Part::Named => 0,
            Part::Broker => 1,
            Part::Names => 2,
        };
        kills[kind] += 1;
        victim.life += 1;
        victim.process = start(lab, &host, victim.part, &victim.name, victim.life)?;
    }
    figures.count("calls", calls * clients.len() as u64);
    for (name, count) in ["server_kills", "broker_kills", "name_server_kills"].iter().zip(kills) {
        figures.count(name, count);
    }

    let mut lost = 0;
    for (name, client) in &mut clients {
        let done = client.wait("done", LIMIT)?;
        lost += calls - done.count("answered")?;
        figures.value(&format!("{name}_p50_ms"), done.number("p50_ms"));
        figures.value(&format!("{name}_p99_ms"), done.number("p99_ms"));
        figures.value(&format!("{name}_longest_ms"), done.number("longest_ms"));
    }
    figures.count("lost", lost);
    let deeds = deeds(lab, &victims)?;
    let done = u64::try_from(deeds.len()).unwrap_or(u64::MAX);
    let mut twice = Twice::default();
    for (key, deeds) in &deeds {
        twice.judge(key, deeds, &killed);
    }
    figures.count("twice_at_living", twice.living);
    figures.count("again_after_a_death", twice.after_death);
    demand(lost == 0, || format!("{lost} calls were not answered"))?;
    let all = calls * clients.len() as u64;
    demand(done == all, || format!("{done} of {all} answered calls were done"))?;
    demand(twice.living == 0, || format!("ran twice at living servers: {}", twice.shown))
}

/// Calls that ran more than once.
#[derive(Default)]
struct Twice {
    /// The first server was alive when the second did it.
    living: u64,
    /// The first had died: nobody could know whether it had done it.
    after_death: u64,
    /// One of those that should not be.
    shown: String,
}

impl Twice {
    /// Takes the deeds of one call, in the order in which they were done.
    fn judge(&mut self, key: &str, deeds: &[Deed], killed: &BTreeMap<String, u128>) {
        for (before, after) in deeds.iter().zip(deeds.iter().skip(1)) {
            if killed.get(&before.by).is_some_and(|death| *death <= after.at) {
                self.after_death += 1;
            } else {
                self.living += 1;
                self.shown = format!("{key} at {} and {}", before.by, after.by);
            }
        }
    }
}

fn start(lab: &Lab, host: &Host, part: Part, name: &str, n: u32) -> Result<Process, String> {
    let record = record(lab, &life(name, n));
    let record = record.display();
    let what = match part {
        Part::Worker => format!("server --service brokered --record {record}"),
        Part::Named => format!("server --service named --group lab --record {record}"),
        Part::Broker => "broker --service brokered".into(),
        Part::Names => "names".into(),
    };
    lab.start(&host.namespace, name, &arguments(lab, name, &what))
}

fn arguments(lab: &Lab, name: &str, what: &str) -> String {
    format!("services --name {name} --state {} {what}", lab.directory.join("state").display())
}

fn life(name: &str, n: u32) -> String {
    format!("{name}.{n}")
}

fn record(lab: &Lab, life: &str) -> PathBuf {
    lab.directory.join(format!("record-{life}"))
}

/// What each call's servers have written down, by its key, the earliest first.
fn deeds(lab: &Lab, victims: &[Victim]) -> Result<BTreeMap<String, Vec<Deed>>, String> {
    let mut deeds: BTreeMap<String, Vec<Deed>> = BTreeMap::new();
    let servers = victims.iter().filter(|it| matches!(it.part, Part::Worker | Part::Named));
    for life in servers.flat_map(|it| (0..=it.life).map(|n| life(&it.name, n))) {
        // One that was killed at its start has written nothing.
        let text = std::fs::read_to_string(record(lab, &life)).unwrap_or_default();
        for line in text.lines() {
            let (key, at) = line.split_once(' ').ok_or_else(|| format!("no deed: {line}"))?;
            let at = at.parse().map_err(|_| format!("no time: {line}"))?;
            deeds.entry(key.into()).or_default().push(Deed { at, by: life.clone() });
        }
    }
    deeds.values_mut().for_each(|deeds| deeds.sort_by_key(|deed| deed.at));
    Ok(deeds)
}

fn micros() -> Result<u128, String> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map(|since| since.as_micros()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_again_while_the_first_server_lived_is_told_apart_from_what_ran_after_its_death() {
        let killed = BTreeMap::from([("a.0".to_owned(), 100)]);
        let deed = |at, by: &str| Deed { at, by: by.into() };
        let judged = |deeds: &[Deed]| {
            let mut twice = Twice::default();
            twice.judge("k", deeds, &killed);
            (twice.living, twice.after_death)
        };
        assert_eq!(judged(&[deed(50, "a.0")]), (0, 0));
        assert_eq!(judged(&[deed(50, "a.0"), deed(150, "b.0")]), (0, 1));
        assert_eq!(judged(&[deed(50, "a.0"), deed(99, "b.0")]), (1, 0), "a dies later");
        assert_eq!(judged(&[deed(50, "b.0"), deed(150, "a.0")]), (1, 0), "b lives");
        assert_eq!(judged(&[deed(50, "b.0"), deed(51, "b.0")]), (1, 0), "twice at one");
    }
}
