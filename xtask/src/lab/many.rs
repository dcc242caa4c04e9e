//! Many endpoints on one machine: until each knows each, what they cost when nothing happens, and
//! one who asks all of them at once.

use std::time::{Duration, Instant};

use super::figures::Figures;
use super::process::{Process, ms};
use super::{Lab, demand};
use crate::Outcome;

/// Many real endpoints in ten namespaces, one process each; then a newcomer that surveys them all.
pub(super) fn many(lab: &Lab, figures: &mut Figures) -> Outcome {
    let each = if lab.quick { 4 } else { 20 };
    let all = each * HOSTS;
    let begun = Instant::now();
    let mut crowds = Vec::new();
    for n in 1..=HOSTS {
        crowds.push(crowd(lab, &format!("c{n}"), n as u8, each)?);
    }
    for crowd in &mut crowds {
        crowd.wait("open", LIMIT)?;
    }
    let open = Instant::now();
    figures.count("endpoints", all);
    figures.count("processes", HOSTS);
    figures.value("open_ms", ms(begun, open));
    let sessions = all_known(&mut crowds, all - 1, each)?;
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
    let mut suspects = 0;
    for crowd in &mut crowds {
        let told = crowd.report()?;
        let least = told.count("least")?;
        demand(least == all - 1, || format!("later somebody knew {least} of {}", all - 1))?;
        suspects += told.count("suspects")?;
    }
    figures.count("suspects_of_all_pairs", suspects);
    survey(lab, figures, &mut crowds, all)?;
    crowds.iter_mut().try_for_each(Process::close)
}

fn crowd(lab: &Lab, name: &str, n: u8, count: u64) -> Result<Process, String> {
    let host = lab.net.host(name, n, 1_500)?;
    let state = lab.directory.join("state");
    let rest = format!("crowd --name {name} --state {} --count {count}", state.display());
    lab.start(&host.namespace, name, &rest)
}

/// Waits until everybody knows so many; the sessions that there are then.
fn all_known(crowds: &mut [Process], others: u64, each: u64) -> Result<u64, String> {
    let since = Instant::now();
    loop {
        let (mut least, mut sessions) = (u64::MAX, 0);
        for crowd in crowds.iter_mut() {
            let told = crowd.report()?;
            least = least.min(told.count("least")?);
            sessions += told.count("sessions")?;
        }
        if least == others {
            return Ok(sessions);
        }
        if since.elapsed() > ALL_KNOWN {
            let missing = missing(crowds, others, each)?;
            return Err(format!(
                "after {ALL_KNOWN:?} somebody knows {least} of {others}: {missing}"
            ));
        }
        // The pace of asking, nothing else.
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Who does not know whom, for the first of each crowd that does not know all.
fn missing(crowds: &mut [Process], others: u64, each: u64) -> Result<String, String> {
    let names = (1..=HOSTS).flat_map(|c| (0..each).map(move |n| format!("c{c}-{n}")));
    let names: Vec<String> = names.collect();
    let mut told = Vec::new();
    for crowd in crowds {
        if crowd.report()?.count("least")? == others {
            continue;
        }
        crowd.tell("who")?;
        let fact = crowd.wait("who", LIMIT)?;
        let me = fact.text("name");
        let known: Vec<(&str, &str)> =
            fact.text("knows").split(',').filter_map(|it| it.rsplit_once(':')).collect();
        for name in names.iter().filter(|name| *name != me) {
            match known.iter().find(|(known, _)| known == name) {
                Some((_, "alive" | "quiet" | "suspect")) => {}
                Some((_, state)) => told.push(format!("{me} holds {name} for {state}")),
                None => told.push(format!("{me} has not heard of {name}")),
            }
        }
    }
    told.truncate(20);
    Ok(told.join("; "))
}

/// SV-7: one that has just come asks all for the same thing, and has an answer of each.
fn survey(lab: &Lab, figures: &mut Figures, crowds: &mut [Process], all: u64) -> Outcome {
    for crowd in crowds.iter_mut() {
        crowd.tell("offer lab.candidate")?;
    }
    for crowd in crowds.iter_mut() {
        crowd.wait("offered", LIMIT)?;
    }
    let mut asker = [crowd(lab, "asker", ASKER, 1)?];
    let open = asker[0].wait("open", LIMIT)?.at;
    all_known(&mut asker, all, 0)?;
    figures.value("newcomer_knows_all_ms", ms(open, Instant::now()));
    for (round, name) in ["survey_ms", "second_survey_ms"].into_iter().enumerate() {
        asker[0].tell(&format!("survey lab.candidate {}", SURVEY.as_millis()))?;
        let told = asker[0].wait("survey", SURVEY + LIMIT)?;
        let [asked, answers, distinct] = ["asked", "answers", "distinct"].map(|it| told.count(it));
        let (asked, answers, distinct) = (asked?, answers?, distinct?);
        figures.value(name, told.number("ms"));
        figures.count(["answers", "second_answers"][round], answers);
        figures
            .count(["dropped_by_the_kernel", "second_dropped"][round], told.count("kernel_drops")?);
        demand((asked, answers, distinct) == (all, all, all), || {
            format!("{asked} were asked, {answers} answers came of {distinct} endpoints")
        })?;
    }
    asker[0].close()
}

const LIMIT: Duration = Duration::from_secs(30);
/// Namespaces, and processes.
const HOSTS: u64 = 10;
/// The host of the one that asks.
const ASKER: u8 = 100;
/// How long it may take until each knows each.
const ALL_KNOWN: Duration = Duration::from_secs(240);
/// How long answers are collected; it ends when all are there.
const SURVEY: Duration = Duration::from_secs(10);
