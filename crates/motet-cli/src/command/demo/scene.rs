//! The phases of the demonstration.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::cast::Line;
use super::endpoint::{Order, Report, Told};
use super::stage::Stage;
use crate::exit::Failure;
use crate::output::align;
use crate::quantity::shown;

/// Plays all phases; the error names the one that did not hold.
pub(crate) async fn play(stage: &mut Stage<'_>) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut summary = Summary::default();
    stage.write(format!(
        "motet demo: every endpoint is a process of its own; realm {}, made for this run",
        stage.realm()
    ))?;
    find(stage, &mut summary).await?;
    share(stage).await?;
    repair(stage).await?;
    carry(stage).await?;
    join_late(stage).await?;
    let last = stage.reports().await?;
    lose(stage, &mut summary, last.get(KILLED).cloned().unwrap_or_default()).await?;
    welcome(stage, &mut summary).await?;
    summary.end(stage, begun).await
}

async fn find(stage: &mut Stage<'_>, summary: &mut Summary) -> Result<(), Failure> {
    stage.phase("1  Four endpoints find each other: no address, no broker, no configuration")?;
    for name in CAST {
        stage.enter(name, None)?;
    }
    let pids = CAST.map(|name| {
        let pid = stage.actors.get(name).map_or(0, |actor| actor.pid);
        format!("{name} (pid {pid})")
    });
    stage.say(format!("started {}", pids.join(", ")))?;
    let pairs = stage
        .until(0, "full view of all four", |lines| {
            let pairs = pairs(lines, 1);
            let wanted = CAST.len() * (CAST.len() - 1);
            (pairs.len() == wanted).then_some(pairs)
        })
        .await?;
    let secured = stage.lines.iter().all(|(_, (_, _, told))| match told {
        Told::Open { secured, .. } => *secured,
        _ => true,
    });
    if !secured {
        return Err(stage.failed("an endpoint is not in a realm with a secret"));
    }
    for name in CAST {
        let seen: Vec<String> = CAST
            .iter()
            .filter_map(|other| {
                let seconds = pairs.get(&(name.to_owned(), (*other).to_owned()))?;
                Some(format!("{other} after {}", shown(*seconds)))
            })
            .collect();
        stage.say(format!("{name:<5} found {}", seen.join(", ")))?;
    }
    summary.discover = pairs.values().copied().fold(0.0, f64::max);
    Ok(())
}

async fn share(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage.phase("2  They share a topic by its name, encrypted")?;
    let since = stage.lines.len();
    for name in &CAST[1..] {
        subscribe(stage, name, "demo/temperature", 300).await;
    }
    publish(stage, "demo/temperature", (300, 400, 64), 3).await;
    let hash = published(stage, since, "demo/temperature").await?;
    complete(stage, since, "demo/temperature", &CAST[1..], &hash).await?;
    let reports = stage.reports().await?;
    whole(stage, &reports)?;
    stage.say("north published 300 messages at 400/s on demo/temperature")?;
    stage.say("east, south and west each have all 300, in order, none twice")
}

async fn repair(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage.phase("3  A fifth endpoint loses every tenth packet, and misses nothing")?;
    stage.enter("rainy", Some("loss=10%,seed=7"))?;
    let since = stage.lines.len();
    subscribe(stage, "rainy", "demo/rain", 600).await;
    publish(stage, "demo/rain", (600, 400, 512), 1).await;
    let hash = published(stage, since, "demo/rain").await?;
    complete(stage, since, "demo/rain", &["rainy"], &hash).await?;
    let reports = stage.reports().await?;
    whole(stage, &reports)?;
    let (rainy, north) = (&reports["rainy"], &reports["north"]);
    if rainy.naks_sent == 0 && north.repairs_sent == 0 {
        return Err(stage.failed("nothing was lost, so nothing was repaired"));
    }
    stage.say("rainy runs with --impair loss=10%: packets vanish on their way in and out")?;
    stage.say(format!(
        "of 600 messages it missed {}: it asked {} times, north sent {} repairs",
        rainy.missed, rainy.naks_sent, north.repairs_sent
    ))
}

async fn carry(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage.phase("4  A message of 1 MiB arrives whole")?;
    let since = stage.lines.len();
    let readers = ["east", "south", "west", "rainy"];
    for name in readers {
        subscribe(stage, name, "demo/picture", 1).await;
    }
    publish(stage, "demo/picture", (1, 1, 1 << 20), readers.len()).await;
    let hash = published(stage, since, "demo/picture").await?;
    complete(stage, since, "demo/picture", &readers, &hash).await?;
    stage.say(format!("sent with hash {hash}; the same at {}", readers.join(", ")))
}

async fn join_late(stage: &mut Stage<'_>) -> Result<(), Failure> {
    stage.phase("5  A late joiner has the last values at once")?;
    stage.enter("late", None)?;
    let since = stage.lines.len();
    subscribe(stage, "late", "demo/*", 1).await;
    let topics = ["demo/temperature", "demo/rain", "demo/picture"];
    let values = stage
        .until(since, "last value of every topic", |lines| {
            let values: BTreeMap<String, f64> = lines
                .iter()
                .filter_map(|(_, (who, _, told))| match told {
                    Told::Complete { topic, seconds, .. } if who == "late" => {
                        Some((topic.clone(), *seconds))
                    }
                    _ => None,
                })
                .collect();
            (values.len() == topics.len()).then_some(values)
        })
        .await?;
    let slowest = values.values().copied().fold(0.0, f64::max);
    stage.say(format!(
        "late subscribed to demo/* and had {} last values {} after its start",
        values.len(),
        shown(slowest)
    ))
}

async fn lose(stage: &mut Stage<'_>, summary: &mut Summary, report: Report) -> Result<(), Failure> {
    stage.phase("6  kill -9: the others notice")?;
    let since = stage.lines.len();
    let Some(actor) = stage.actors.remove(KILLED) else {
        return Err(stage.failed("east is not there"));
    };
    let pid = actor.pid;
    summary.gone = Some(report);
    let others: Vec<String> = stage.actors.keys().cloned().collect();
    // Who has not met it yet could not miss it.
    stage
        .until(0, "meeting of east with every other endpoint", |lines| {
            let knows = |(_, (who, _, told)): &(Instant, Line)| match told {
                Told::Up { name, .. } if name == KILLED => Some(who.clone()),
                _ => None,
            };
            let known: BTreeSet<String> = lines.iter().filter_map(knows).collect();
            others.iter().all(|other| known.contains(other)).then_some(())
        })
        .await?;
    let killed = Instant::now();
    actor.kill().await;
    let noticed = stage
        .until(since, "word that east is gone from every other endpoint", |lines| {
            let down: BTreeMap<String, (f64, f64)> = lines
                .iter()
                .filter_map(|(at, (who, _, told))| match told {
                    Told::Down { name, died: true, silent_seconds } if name == KILLED => {
                        let after = at.saturating_duration_since(killed).as_secs_f64();
                        Some((who.clone(), (after, *silent_seconds)))
                    }
                    _ => None,
                })
                .collect();
            (down.len() == others.len()).then_some(down)
        })
        .await?;
    summary.notice = noticed.values().map(|(after, _)| *after).fold(0.0, f64::max);
    let silent = noticed.values().map(|(_, silent)| *silent).fold(0.0, f64::max);
    stage.say(format!(
        "killed east (pid {pid}); {} noticed, the last one {} later, after {} of silence",
        others.join(", "),
        shown(summary.notice),
        shown(silent)
    ))
}

async fn welcome(stage: &mut Stage<'_>, summary: &mut Summary) -> Result<(), Failure> {
    stage.phase("7  Restarted under its name, it is welcomed")?;
    let since = stage.lines.len();
    stage.enter(KILLED, None)?;
    let others: BTreeSet<String> =
        stage.actors.keys().filter(|name| *name != KILLED).cloned().collect();
    stage
        .until(since, "welcome from every other endpoint", |lines| {
            let seen: BTreeSet<&String> = lines
                .iter()
                .filter_map(|(_, (who, _, told))| match told {
                    Told::Up { name, .. } if name == KILLED => Some(who),
                    _ => None,
                })
                .collect();
            (seen.len() == others.len()).then_some(())
        })
        .await?;
    let clashes =
        stage.lines[since..].iter().any(|(_, (_, _, told))| matches!(told, Told::Clash { .. }));
    if clashes {
        return Err(stage.failed("its old self still holds the name"));
    }
    subscribe(stage, KILLED, "demo/again", 50).await;
    // Two: the late joiner reads demo/*, too.
    publish(stage, "demo/again", (50, 400, 64), 2).await;
    let hash = published(stage, since, "demo/again").await?;
    complete(stage, since, "demo/again", &[KILLED], &hash).await?;
    summary.back = true;
    stage.say(format!("{} see east again; it has 50 of 50 new messages", others.len()))
}

async fn subscribe(stage: &mut Stage<'_>, name: &str, filter: &str, count: u64) {
    stage.order(name, Order::Subscribe { filter: filter.to_owned(), count }).await;
}

async fn publish(
    stage: &mut Stage<'_>,
    topic: &str,
    (count, rate, bytes): (u64, u64, usize),
    readers: usize,
) {
    let topic = topic.to_owned();
    stage.order(PUBLISHER, Order::Publish { topic, count, rate, bytes, readers }).await;
}

/// The hash of the last message published on a topic, once every reader has acknowledged it.
async fn published(stage: &mut Stage<'_>, since: usize, wanted: &str) -> Result<String, Failure> {
    let what = format!("acknowledgement of every message on {wanted}");
    stage
        .until(since, &what, |lines| {
            lines.iter().find_map(|(_, (_, _, told))| match told {
                Told::Published { topic, hash, .. } if topic == wanted => Some(hash.clone()),
                _ => None,
            })
        })
        .await
}

/// Every reader has every message, and the last one is the one that was sent.
async fn complete(
    stage: &mut Stage<'_>,
    since: usize,
    wanted: &str,
    readers: &[&str],
    hash: &str,
) -> Result<(), Failure> {
    let hashes = stage
        .until(since, &format!("every message on {wanted} at every reader"), |lines| {
            let hashes: BTreeMap<String, String> = lines
                .iter()
                .filter_map(|(_, (who, _, told))| match told {
                    Told::Complete { topic, hash, .. } if topic == wanted => {
                        Some((who.clone(), hash.clone()))
                    }
                    _ => None,
                })
                .collect();
            readers.iter().all(|reader| hashes.contains_key(*reader)).then_some(hashes)
        })
        .await?;
    match readers.iter().find(|reader| hashes[**reader] != hash) {
        None => Ok(()),
        Some(reader) => Err(stage.failed(&format!("{reader} has other bytes than were sent"))),
    }
}

/// Nothing is missing, nothing came twice, nothing out of order.
fn whole(stage: &Stage<'_>, reports: &BTreeMap<String, Report>) -> Result<(), Failure> {
    for (name, report) in reports {
        let Report { missed, duplicates, disorder, .. } = report;
        if missed + duplicates + disorder > 0 {
            return Err(stage.failed(&format!(
                "{name}: {missed} missed, {duplicates} twice, {disorder} out of order"
            )));
        }
    }
    Ok(())
}

/// Who found whom, and how long after its own start.
fn pairs(lines: &[(Instant, Line)], life: u32) -> BTreeMap<(String, String), f64> {
    let mut pairs = BTreeMap::new();
    for (_, (who, lived, told)) in lines {
        if let Told::Up { name, seconds } = told
            && *lived == life
        {
            pairs.insert((who.clone(), name.clone()), *seconds);
        }
    }
    pairs
}

/// What stays in mind.
#[derive(Default)]
struct Summary {
    discover: f64,
    notice: f64,
    gone: Option<Report>,
    back: bool,
}

impl Summary {
    /// The table, made of the endpoints' own reports.
    async fn end(&self, stage: &mut Stage<'_>, begun: Instant) -> Result<(), Failure> {
        let reports = stage.reports().await?;
        whole(stage, &reports)?;
        stage.heading("Summary, from the endpoints' own reports")?;
        let gone = self.gone.iter().map(|report| ("east (killed)".to_owned(), report));
        let again = |name: &String| name == KILLED && self.back;
        let now = reports.iter().map(|(name, report)| {
            let name = if again(name) { "east (again)".to_owned() } else { name.clone() };
            (name, report)
        });
        let rows: Vec<[String; 8]> = gone
            .chain(now)
            .map(|(name, report)| {
                let numbers = [
                    report.found,
                    report.sent,
                    report.delivered,
                    report.missed,
                    report.duplicates,
                    report.naks_sent,
                    report.repairs_sent,
                ];
                let [found, sent, delivered, missed, duplicates, naks, repairs] =
                    numbers.map(|number| number.to_string());
                [name, found, sent, delivered, missed, duplicates, naks, repairs]
            })
            .collect();
        let heads =
            ["endpoint", "found", "sent", "delivered", "missed", "duplicates", "asked", "repaired"];
        for line in align(heads, &rows).lines() {
            stage.say(line)?;
        }
        stage.say(format!("time to discover  {}  (slowest of 12 pairs)", shown(self.discover)))?;
        stage.say(format!(
            "time to notice    {}  (kill -9, slowest endpoint)",
            shown(self.notice)
        ))?;
        stage.write(format!("all phases held, {:.1} s", begun.elapsed().as_secs_f64()))
    }
}

/// The first phase's endpoints.
const CAST: [&str; 4] = ["north", "east", "south", "west"];
const PUBLISHER: &str = "north";
const KILLED: &str = "east";
