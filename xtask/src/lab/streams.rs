//! Streams: nothing lost, repeated or damaged under loss and over any size of packet.

use std::time::{Duration, Instant};

use super::figures::Figures;
use super::net::Host;
use super::process::{Process, ms};
use super::{Lab, demand};
use crate::Outcome;

/// What both ends say after a transfer.
struct Transfer {
    seconds: f64,
    bytes: f64,
    messages: u64,
    naks: u64,
    repairs: u64,
    repaired_bytes: u64,
}

struct Load {
    count: u64,
    size: u64,
    log_bytes: u64,
}

/// Longer than a transfer on a slow machine; the watchdog is nearer.
const LONG: Duration = Duration::from_secs(500);

/// A million small messages and a thousand large ones, without loss and with 5 % each way.
pub(super) fn bulk(lab: &Lab, figures: &mut Figures) -> Outcome {
    let (a, b) = (lab.net.host("a", 1, 1_500)?, lab.net.host("b", 2, 1_500)?);
    let (small, large) = if lab.quick { (20_000, 20) } else { (1_000_000, 1_000) };
    let loads = [
        ("small", Load { count: small, size: 64, log_bytes: 8 << 20 }),
        ("large", Load { count: large, size: 1 << 20, log_bytes: 32 << 20 }),
    ];
    figures.count("small_messages", small);
    figures.count("small_bytes", 64);
    figures.count("large_messages", large);
    figures.count("large_bytes", 1 << 20);
    let mut clean = Vec::new();
    for (percent, probability) in [(0, 0.0), (5, 0.05)] {
        if percent > 0 {
            a.lose(probability)?;
            b.lose(probability)?;
        }
        for (index, (name, load)) in loads.iter().enumerate() {
            let done = transfer(lab, &a, &b, load)
                .map_err(|reason| format!("{name} messages at {percent} % loss: {reason}"))?;
            let named = |what: &str| format!("loss{percent}_{name}_{what}");
            figures.count(&named("log_bytes"), load.log_bytes);
            figures.value(&named("messages_per_s"), done.messages as f64 / done.seconds);
            figures.value(&named("mb_per_s"), done.bytes / 1e6 / done.seconds);
            figures.count(&named("naks"), done.naks);
            figures.count(&named("repairs"), done.repairs);
            figures.count(&named("repaired_bytes"), done.repaired_bytes);
            match clean.get(index) {
                None => clean.push(done.seconds),
                Some(seconds) => {
                    figures.value(&named("percent_of_clean"), 100.0 * seconds / done.seconds);
                }
            }
        }
    }
    Ok(())
}

/// One transfer from `a` to `b`; an error unless all of it arrived, once, in order, intact.
fn transfer(lab: &Lab, a: &Host, b: &Host, load: &Load) -> Result<Transfer, String> {
    let Load { count, size, log_bytes } = load;
    let reading = format!("--subscribe lab/bulk --expect {count} --queue-bytes {log_bytes}");
    let mut reader = lab.member(b, "reader", &reading)?;
    let writing = format!(
        "--publish lab/bulk --count {count} --size {size} --log-bytes {log_bytes} --readers 1"
    );
    let mut writer = lab.member(a, "writer", &writing)?;
    let finished = writer.wait("finished", LONG)?;
    all_arrived(&mut reader, *count)?;
    let (sent, taken) = (writer.report()?, reader.report()?);
    let transfer = Transfer {
        seconds: finished.number("seconds"),
        bytes: (count * size) as f64,
        messages: *count,
        naks: taken.count("naks_sent")?,
        repairs: sent.count("repairs_sent")?,
        repaired_bytes: sent.count("repair_bytes")?,
    };
    writer.close()?;
    reader.close()?;
    Ok(transfer)
}

/// Demands of a reader that it has `count` messages, and says what is wrong with them.
pub(super) fn all_arrived(reader: &mut Process, count: u64) -> Outcome {
    let done = reader.wait("complete", Duration::from_secs(60))?;
    let [messages, lost, repeated, damaged, missed] =
        ["messages", "lost", "repeated", "damaged", "missed"].map(|name| done.count(name));
    let (messages, lost, repeated, damaged, missed) =
        (messages?, lost?, repeated?, damaged?, missed?);
    let right = (messages, lost, repeated, damaged, missed) == (count, 0, 0, 0, 0);
    demand(right, || {
        format!(
            "{messages} of {count} messages: {lost} lost, {missed} told missing, {repeated} \
             repeated or out of order, {damaged} damaged"
        )
    })
}

/// Small packets, ordinary ones, large ones, and a path that becomes narrower than its ends know.
pub(super) fn mtu(lab: &Lab, figures: &mut Figures) -> Outcome {
    let load = |count, size| Load { count, size, log_bytes: 8 << 20 };
    for (round, mtu) in [600_u32, 1_500, 9_000].into_iter().enumerate() {
        let n = round as u8 * 2 + 1;
        let (a, b) = (
            lab.net.host(&format!("a{mtu}"), n, mtu)?,
            lab.net.host(&format!("b{mtu}"), n + 1, mtu)?,
        );
        let mut witness = lab.start(&lab.net.switch(), "witness", "witness")?;
        witness.wait("ready", START)?;
        let at = |reason: String| format!("MTU {mtu}: {reason}");
        transfer(lab, &a, &b, &load(2_000, 64)).map_err(at)?;
        transfer(lab, &a, &b, &load(50, 20_000)).map_err(at)?;
        let discovered = settled_size(lab, &a, &b, mtu, figures).map_err(at)?;
        figures.count(&format!("mtu{mtu}_datagram"), discovered);
        let seen = witness.report()?;
        figures.count(&format!("mtu{mtu}_longest_packet"), seen.count("longest")?);
        let (longest, fragments) = (seen.count("longest")?, seen.count("fragments")?);
        demand(longest <= u64::from(mtu), || at(format!("a packet of {longest} bytes")))?;
        demand(fragments == 0, || at(format!("{fragments} IP fragments")))?;
        demand(seen.count("frames")? > 100, || at("the witness saw nothing".into()))?;
    }
    Ok(())
}

/// The size of datagrams that a path has come to while data flows; then the path narrows.
fn settled_size(
    lab: &Lab,
    a: &Host,
    b: &Host,
    mtu: u32,
    figures: &mut Figures,
) -> Result<u64, String> {
    let mut reader = lab.member(b, "reader", "--subscribe lab/flow")?;
    let writing = "--publish lab/flow --size 4000 --rate 200 --readers 1";
    let mut writer = lab.member(a, "writer", writing)?;
    reader.wait("first", START)?;
    // What the headers of IPv6, the larger ones, and of UDP leave.
    let whole = u64::from(mtu) - 48;
    let size = settle(&mut writer, |size| size >= whole)?;
    demand(size >= whole, || format!("datagrams of {size} bytes after 10 s"))?;
    if mtu == 1_500 {
        // The cards still say 1,500: nobody tells the endpoints, larger packets just vanish.
        let (switch, port) = (lab.net.switch(), format!("to-{}", b.name));
        let narrow = ["ip", "-n", &switch, "link", "set", &port, "mtu", "1300"];
        a.run(narrow[0], &narrow[1..])?;
        let begun = Instant::now();
        let narrowed = settle(&mut writer, |size| size <= 1_300 - 28)?;
        figures.value("narrowed_path_ms", ms(begun, Instant::now()));
        figures.count("narrowed_path_datagram", narrowed);
        demand(narrowed <= 1_300 - 28, || format!("still {narrowed} bytes on a narrower path"))?;
    }
    writer.tell("stop")?;
    let sent = writer.wait("finished", Duration::from_secs(30))?.count("messages")?;
    reader.tell(&format!("expect {sent}"))?;
    all_arrived(&mut reader, sent)?;
    writer.close()?;
    reader.close()?;
    Ok(size)
}

/// Asks how large datagrams to the reader are until that is as wanted, for 10 s at most.
fn settle(writer: &mut Process, wanted: impl Fn(u64) -> bool) -> Result<u64, String> {
    let begun = Instant::now();
    loop {
        let size = writer.peer("reader")?.count("datagram")?;
        if wanted(size) || begun.elapsed() > Duration::from_secs(10) {
            return Ok(size);
        }
        // The pace of asking, nothing else.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Time for a start.
const START: Duration = Duration::from_secs(20);
