//! One writer, eight readers, each on a host of its own on one bridge: what multicast costs and
//! saves, and what happens when it or one of them fails.

use std::time::{Duration, Instant};

use super::figures::Figures;
use super::net::Host;
use super::process::{Process, ms};
use super::streams::all_arrived;
use super::{Lab, demand};
use crate::Outcome;

const READERS: usize = 8;
const LIMIT: Duration = Duration::from_secs(30);
/// Longer than a transfer on a slow machine; the watchdog is nearer.
const LONG: Duration = Duration::from_secs(500);

/// The hosts of readers.
fn hosts(lab: &Lab, offload: bool) -> Result<Vec<Host>, String> {
    let host = |n: usize| {
        let (name, address) = (format!("r{n}"), 10 + n as u8);
        if offload {
            lab.net.host_with_offload(&name, address)
        } else {
            lab.net.host(&name, address, 1_500)
        }
    };
    (0..READERS).map(host).collect()
}

/// One reader on each of these.
fn readers(lab: &Lab, hosts: &[Host], topic: &str, rest: &str) -> Result<Vec<Process>, String> {
    let start = |host: &Host| lab.member(host, &host.name, &format!("--subscribe {topic} {rest}"));
    hosts.iter().map(start).collect()
}

/// Stops the writer, and demands that each of these has got everything, once and in order.
fn settle(writer: &mut Process, readers: &mut [Process]) -> Result<u64, String> {
    writer.tell("stop")?;
    let sent = writer.wait("finished", LONG)?.count("messages")?;
    for reader in readers.iter_mut() {
        reader.tell(&format!("expect {sent}"))?;
    }
    for (n, reader) in readers.iter_mut().enumerate() {
        all_arrived(reader, sent).map_err(|reason| format!("r{n}: {reason}"))?;
    }
    Ok(sent)
}

/// Waits until the writer says that its readers are on this carrier: milliseconds.
fn carried(writer: &mut Process, names: &[String], carrier: &str) -> Result<f64, String> {
    let begun = Instant::now();
    for name in names {
        loop {
            let told = writer.reader(name)?;
            if told.text("carrier") == carrier {
                break;
            }
            if begun.elapsed() > LIMIT {
                let why = told.text("why");
                return Err(format!("{name} is not on {carrier} after {LIMIT:?}: {why}"));
            }
            // The pace of asking, nothing else.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(ms(begun, Instant::now()))
}

fn names(hosts: &[Host]) -> Vec<String> {
    hosts.iter().map(|host| host.name.clone()).collect()
}

/// CPU of the writer per message of 1 KiB, and datagrams, for 1, 2 and 8 readers.
///
/// What readers lost and asked for again is told apart: how much that is depends on how busy the
/// machine is, and the quick form keeps a pace that small machines can follow.
pub(super) fn cost(lab: &Lab, figures: &mut Figures) -> Outcome {
    let a = lab.net.host_with_offload("a", 1)?;
    let hosts = hosts(lab, true)?;
    let (count, pace): (u64, &str) =
        if lab.quick { (10_000, " --rate 4000") } else { (400_000, "") };
    figures.count("messages", count);
    figures.count("bytes", 1_024);
    let (mut alone, mut flat) = (0.0, f64::NAN);
    for (way, policy) in [("unicast", "never"), ("lane", "always")] {
        for number in [1, 2, READERS] {
            let topic = format!("lab/{way}-{number}");
            let expect = format!("--expect {count}");
            let mut readers = readers(lab, &hosts[..number], &topic, &expect)?;
            let on_lane = if way == "lane" { number } else { 0 };
            let writing = format!(
                "--publish {topic} --count {count} --size 1024 --lane {policy} --readers {number} \
                 --on-lane {on_lane}{pace}"
            );
            let mut writer = lab.member(&a, "writer", &writing)?;
            let at = |reason| format!("{number} by {way}: {reason}");
            let before = packets(&mut writer, "begun").map_err(at)?;
            let finished = writer.wait("finished", LONG).map_err(at)?;
            for reader in &mut readers {
                all_arrived(reader, count).map_err(at)?;
            }
            let told = writer.report()?;
            let sent = told.count("datagrams_sent")?;
            let repairs = told.count("repairs_sent")? + told.count("lane_repairs_sent")?;
            let ns = finished.number("cpu_ms") * 1e6 / count as f64;
            figures.value(&format!("{way}_{number}_cpu_ns"), ns);
            figures.count(&format!("{way}_{number}_repairs"), repairs);
            // A repair of 1 KiB fills a datagram.
            let first = (sent - before).saturating_sub(repairs);
            let per_message = first as f64 / count as f64;
            figures.value(&format!("{way}_{number}_datagrams_per_100"), per_message * 100.0);
            if way == "lane" {
                match number {
                    1 => alone = per_message,
                    _ => flat = per_message / alone,
                }
            }
            writer.close()?;
            for reader in &mut readers {
                reader.close()?;
            }
        }
    }
    // Counts, since the CPU of a busy machine is not to be relied on.
    demand(flat < 1.5, || format!("eight readers cost {flat:.1} times the datagrams of one"))
}

/// Packets sent when it said that.
fn packets(writer: &mut Process, words: &str) -> Result<u64, String> {
    writer.wait(words, LIMIT)?;
    writer.report()?.count("datagrams_sent")
}

/// A million messages to eight readers, each of which loses 5 % of what arrives, independently.
pub(super) fn loss(lab: &Lab, figures: &mut Figures) -> Outcome {
    let a = lab.net.host("a", 1, 1_500)?;
    let hosts = hosts(lab, false)?;
    let count: u64 = if lab.quick { 20_000 } else { 1_000_000 };
    for host in &hosts {
        host.lose(0.05)?;
    }
    let mut readers = readers(lab, &hosts, "lab/loss", &format!("--expect {count}"))?;
    let writing = format!(
        "--publish lab/loss --count {count} --size 64 --lane always --readers {READERS} \
         --on-lane {READERS}"
    );
    let mut writer = lab.member(&a, "writer", &writing)?;
    let finished = writer.wait("finished", LONG)?;
    for reader in &mut readers {
        all_arrived(reader, count)?;
    }
    figures.count("messages", count);
    figures.value("messages_per_s", count as f64 / finished.number("seconds"));
    let sent = writer.report()?;
    for name in ["datagrams_sent", "repairs_sent", "lane_repairs_sent", "packets_lost"] {
        if let Ok(value) = sent.count(name) {
            figures.count(name, value);
        }
    }
    let on_lane = hosts.iter().map(|host| writer.reader(&host.name)).collect::<Vec<_>>();
    let still = on_lane.iter().flatten().filter(|told| told.text("carrier") == "lane").count();
    figures.count("readers_on_lane_at_end", still as u64);
    let naks = readers.iter_mut().map(|reader| reader.report()?.count("naks_sent"));
    figures.count("naks", naks.sum::<Result<u64, String>>()?);
    figures.count("lost", 0);
    Ok(())
}

/// One reader is stopped and one reads at a hundredth of the rate; the six others keep theirs, and
/// what the two missed they are told.
pub(super) fn laggards(lab: &Lab, figures: &mut Figures) -> Outcome {
    const RATE: u64 = 5_000;
    let a = lab.net.host("a", 1, 1_500)?;
    let hosts = hosts(lab, false)?;
    let (slow, well) = hosts.split_first().ok_or("no hosts")?;
    let mut well_readers = readers(lab, well, "lab/pace", "")?;
    let writing = format!(
        "--publish lab/pace --size 1024 --rate {RATE} --lane always --slow drop-oldest \
         --log-bytes 16777216 --readers {} --on-lane {}",
        READERS - 1,
        READERS - 1
    );
    let mut writer = lab.member(&a, "writer", &writing)?;
    writer.wait("begun", LIMIT)?;
    let window = Duration::from_secs(if lab.quick { 3 } else { 10 });
    let calm = rate(&mut well_readers[1..], window)?;
    let reading = format!("--subscribe lab/pace --queue-bytes 65536 --read-rate {}", RATE / 100);
    let mut slow = lab.member(slow, &slow.name, &reading)?;
    slow.wait("first", LIMIT)?;
    well_readers[0].signal("STOP")?;
    let stopped = Instant::now();
    let burdened = rate(&mut well_readers[1..], window)?;
    well_readers[0].signal("CONT")?;
    figures.value("calm_messages_per_s", calm);
    figures.value("burdened_messages_per_s", burdened);
    figures.value("ratio_percent", 100.0 * burdened / calm);
    figures.value("stopped_ms", ms(stopped, Instant::now()));
    figures.count("slow_at_messages_per_s", RATE / 100);
    // The writer is done when the last one is.
    slow.tell("hurry")?;
    let sent = settle(&mut writer, &mut well_readers[1..])?;
    figures.count("messages", sent);
    for (who, reader) in [("slow", &mut slow), ("stopped", &mut well_readers[0])] {
        reader.tell(&format!("expect {sent}"))?;
        let done = reader.wait("complete", LONG)?;
        let (lost, missed) = (done.count("lost")?, done.count("missed")?);
        figures.count(&format!("{who}_got"), done.count("messages")?);
        figures.count(&format!("{who}_told_missed"), missed);
        demand(lost == missed && done.count("repeated")? == 0, || {
            format!("{who}: {lost} are missing, {missed} told")
        })?;
    }
    demand(burdened >= 0.95 * calm, || format!("{burdened:.0} instead of {calm:.0} messages/s"))
}

/// Messages a second that the slowest of these gets, over a window.
fn rate(readers: &mut [Process], window: Duration) -> Result<f64, String> {
    let delivered = |readers: &mut [Process]| {
        let count = |reader: &mut Process| {
            let told = reader.report()?;
            Ok((told.at, told.count("messages_delivered")?))
        };
        readers.iter_mut().map(count).collect::<Result<Vec<_>, String>>()
    };
    let before = delivered(readers)?;
    std::thread::sleep(window);
    let after = delivered(readers)?;
    let rates = before.iter().zip(&after).map(|((from, first), (to, last))| {
        (last - first) as f64 / to.duration_since(*from).as_secs_f64()
    });
    Ok(rates.fold(f64::INFINITY, f64::min))
}

/// Multicast is cut while messages flow, for one reader, then for all; later it is back.
pub(super) fn cut(lab: &Lab, figures: &mut Figures) -> Outcome {
    let a = lab.net.host("a", 1, 1_500)?;
    let hosts = hosts(lab, false)?;
    let all = names(&hosts);
    let mut readers = readers(lab, &hosts, "lab/cut", "")?;
    let writing = format!(
        "--publish lab/cut --size 1024 --rate 1000 --lane always --readers {READERS} \
         --on-lane {READERS}"
    );
    let mut writer = lab.member(&a, "writer", &writing)?;
    writer.wait("begun", LIMIT)?;
    cut_lanes(&hosts[0])?;
    figures.value("one_cut_fallback_ms", carried(&mut writer, &all[..1], "unicast")?);
    let others = carried(&mut writer, &all[1..], "lane")?;
    demand(others < 1_000.0, || "the others left the lane as well".into())?;
    for host in &hosts[1..] {
        cut_lanes(host)?;
    }
    figures.value("all_cut_fallback_ms", carried(&mut writer, &all, "unicast")?);
    let silent = longest_silence(&mut readers);
    figures.count("messages", settle(&mut writer, &mut readers)?);
    figures.value("longest_silence_ms", silent);
    figures.count("lost", 0);
    Ok(())
}

/// The longest pause that a reader noticed, of those above a quarter of a second.
fn longest_silence(readers: &mut [Process]) -> f64 {
    let mut longest = 0.0f64;
    for reader in readers {
        while let Ok(resumed) = reader.wait("resumed", Duration::ZERO) {
            longest = longest.max(resumed.number("silent_ms"));
        }
    }
    longest
}

/// A switch that snoops, and whose querier dies: after a while it forgets who wants what, and
/// silently stops forwarding. (By default after 260 s; here after 5.)
pub(super) fn snooping(lab: &Lab, figures: &mut Figures) -> Outcome {
    // Centiseconds. The bridge believes in the querier for long, and in members for a short time.
    lab.net
        .bridge("mcast_snooping 1 mcast_membership_interval 500 mcast_querier_interval 25500")?;
    let q = lab.net.host("q", 99, 1_500)?;
    q.ip(&["addr", "flush", "dev", "eth0"])?;
    q.ip(&["link", "add", "brq", "type", "bridge", "mcast_query_use_ifaddr", "1"])?;
    q.ip(&["addr", "add", "10.77.0.99/24", "dev", "brq"])?;
    q.ip(&["link", "set", "eth0", "master", "brq"])?;
    q.ip(&["link", "set", "brq", "up"])?;
    let intervals = ["mcast_query_interval", "200", "mcast_startup_query_interval", "100"];
    let querier = ["mcast_query_response_interval", "50", "mcast_querier", "1"];
    q.ip(&[&["link", "set", "brq", "type", "bridge"], &intervals[..], &querier[..]].concat())?;
    let a = lab.net.host("a", 1, 1_500)?;
    let hosts = hosts(lab, false)?;
    let all = names(&hosts);
    let mut readers = readers(lab, &hosts, "lab/snoop", "")?;
    let writing = format!(
        "--publish lab/snoop --size 1024 --rate 1000 --lane always --readers {READERS} \
         --on-lane {READERS}"
    );
    let mut writer = lab.member(&a, "writer", &writing)?;
    writer.wait("begun", LIMIT)?;
    let learnt = lab.net.groups()?;
    // A reader whose session goes over IPv6 is on the lane's twin; ffff is the discovery group.
    let twin = |line: &str| line.contains("6d6f:7465:") && !line.contains("6d6f:7465:ffff");
    let joined = learnt.lines().filter(|line| line.contains("239.192.138.") || twin(line)).count();
    demand(joined >= READERS, || format!("the bridge knows {joined} members of lanes:\n{learnt}"))?;
    q.ip(&["link", "set", "eth0", "down"])?;
    let died = Instant::now();
    carried(&mut writer, &all, "unicast")?;
    figures.value("fallback_after_querier_died_ms", ms(died, Instant::now()));
    figures.value("longest_silence_ms", longest_silence(&mut readers));
    figures.count("messages", settle(&mut writer, &mut readers)?);
    figures.count("lost", 0);
    Ok(())
}

/// No lane reaches this host any more, whichever family its session has.
fn cut_lanes(host: &Host) -> Outcome {
    host.filter_v4(&format!("-A INPUT -d {LANES_V4} -j DROP"))?;
    host.filter_v6(&format!("-A INPUT -d {LANES_V6} -j DROP"))
}

/// All lanes of each family, without the groups of discovery.
const LANES_V4: &str = "239.192.138.0/26";
const LANES_V6: &str = "ff12::6d6f:7465:0/122";
