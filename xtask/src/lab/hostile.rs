//! Strangers on the network: what they may do, and what they may see.

use std::time::Duration;

use super::figures::Figures;
use super::net::path;
use super::streams::all_arrived;
use super::{Lab, demand};
use crate::Outcome;

const LIMIT: Duration = Duration::from_secs(30);

/// Hostile datagrams from a stranger while members talk.
pub(super) fn stranger(lab: &Lab, figures: &mut Figures) -> Outcome {
    let (a, b) = (lab.net.host("a", 1, 1_500)?, lab.net.host("b", 2, 1_500)?);
    let s = lab.net.host("s", 66, 1_500)?;
    s.ip(&["route", "add", "224.0.0.0/4", "dev", "eth0"])?;
    let (_, kept) = path(&lab.directory, "kept");
    let mut witness = lab.start(&lab.net.switch(), "witness", &format!("witness --keep {kept}"))?;
    witness.wait("ready", LIMIT)?;
    let key = path(&lab.directory, "reader.key").1;
    let reading = format!("--subscribe lab/flow --key {key}");
    let mut reader = lab.member(&b, "reader", &reading)?;
    let writing = "--publish lab/flow --size 200 --rate 1000 --readers 1";
    let mut writer = lab.member(&a, "writer", writing)?;
    reader.wait("first", LIMIT)?;
    // The replay of a handshake is made from what was seen so far.
    witness.report()?;
    witness.close()?;
    for host in [&a, &b] {
        host.filter_v4(&format!("-A OUTPUT -p udp -d {} -m length --length 1:65535", s.address))?;
    }
    s.filter_v4("-A INPUT -p udp ! -d 224.0.0.0/4 -m length --length 1:65535")?;
    let count = if lab.quick { 5_000 } else { 100_000 };
    let before = [writer.memory()?, reader.memory()?];
    let to = [&a, &b].map(|host| format!("--to {0}:37321 --to {0}:37320", host.address)).join(" ");
    let attack = format!("stranger {to} --to 239.192.137.1:37320 --kept {kept} --count {count}");
    let mut stranger = lab.start(&s.namespace, "stranger", &attack)?;
    let recorded = stranger.wait("ready", LIMIT)?;
    for kind in ["beacons", "handshakes", "data"] {
        demand(recorded.count(kind)? > 0, || format!("no {kind} were recorded to be replayed"))?;
    }
    figures.count("hostile_datagrams", stranger.wait("sent", LIMIT * 3)?.count("datagrams")?);
    let after = [writer.memory()?, reader.memory()?];
    writer.tell("stop")?;
    let sent = writer.wait("finished", LIMIT)?.count("messages")?;
    reader.tell(&format!("expect {sent}"))?;
    all_arrived(&mut reader, sent)?;
    figures.count("messages", sent);
    figures.count("lost", 0);
    stranger.tell("report")?;
    let answers = stranger.wait("answers", LIMIT)?;
    let counted = a.matched("OUTPUT")? + b.matched("OUTPUT")? + s.matched("INPUT")?;
    figures.count("answer_bytes", answers.count("bytes")?);
    figures.count("packets_towards_stranger", counted);
    let grown = after.iter().zip(before).map(|(after, before)| after.saturating_sub(before)).max();
    figures.count("memory_grown_kib", grown.unwrap_or(0));
    for (name, member) in [("writer", &mut writer), ("reader", &mut reader)] {
        let report = member.report()?;
        for counter in ["malformed_packets", "wrong_key", "forged_packets", "stale_handshakes"] {
            figures.count(&format!("{name}_{counter}"), report.count(counter)?);
        }
        demand(report.count("malformed_frames")? == 0, || "a session was closed".into())?;
    }
    demand(answers.count("datagrams")? == 0 && counted == 0, || {
        format!("the stranger was answered: {counted} packets")
    })?;
    demand(grown.unwrap_or(0) <= MEMORY_KIB, || "memory grew".into())?;
    writer.close()?;
    reader.close()?;
    stranger.close()?;
    // The one stated exception: a member's recorded first handshake packet, to somebody who has not
    // heard of that member, gets one answer, and not more bytes than it brought.
    let mut newcomer = lab.member(&b, "newcomer", &format!("--key {key}"))?;
    newcomer.wait("open", LIMIT)?;
    let replay = format!(
        "stranger --to {}:37321 --kept {kept} --count 200 --rate 1000 --only-handshakes",
        b.address
    );
    let mut stranger = lab.start(&s.namespace, "replayer", &replay)?;
    let handshakes = stranger.wait("ready", LIMIT)?.count("handshakes")?;
    figures.count("recorded_handshakes", handshakes);
    let sent = stranger.wait("sent", LIMIT)?.count("bytes")?;
    // Whatever it answers is sent before this is answered, by the same thread.
    newcomer.report()?;
    stranger.tell("report")?;
    let answered = stranger.wait("answers", LIMIT)?;
    figures.count("replayed_handshake_bytes", sent);
    figures.count("replayed_handshake_answers", answered.count("datagrams")?);
    figures.count("replayed_handshake_answer_bytes", answered.count("bytes")?);
    demand(answered.count("bytes")? <= sent, || "replays were amplified".into())
}

/// How much a member's memory may grow under attack: buffers that were not touched before.
const MEMORY_KIB: u64 = 4_096;

/// Names, topics and bodies are never seen on the wire.
pub(super) fn capture(lab: &Lab, figures: &mut Figures) -> Outcome {
    let (a, b) = (lab.net.host("a", 1, 1_500)?, lab.net.host("b", 2, 1_500)?);
    let secrets = ["secret-writer", "secret-reader", "secret-topic", "secret-body", "secret-realm"];
    let words = secrets.map(|word| format!("--word {word}")).join(" ");
    let words = format!("{words} --word in-the-clear");
    let mut witness = lab.start(&lab.net.switch(), "witness", &format!("witness {words}"))?;
    witness.wait("ready", LIMIT)?;
    let mut reader = lab.member(
        &b,
        "secret-reader",
        &format!("--realm secret-realm --subscribe secret-topic --expect {COUNT}"),
    )?;
    let writing = format!(
        "--realm secret-realm --publish secret-topic --count {COUNT} --size 200 --rate 1000 \
         --readers 1 --body secret-body"
    );
    let mut writer = lab.member(&a, "secret-writer", &writing)?;
    all_arrived(&mut reader, COUNT)?;
    writer.close()?;
    reader.close()?;
    let seen = witness.report()?;
    figures.count("frames", seen.count("frames")?);
    demand(seen.count("frames")? > COUNT / 10, || "the witness saw nothing".into())?;
    let found = seen.text("found").to_owned();
    figures.count("words_found", found.split(',').filter(|word| !word.is_empty()).count() as u64);
    demand(found.is_empty(), || format!("seen in clear: {found}"))?;
    // The witness would have seen it.
    let shout = format!("stranger --to {}:9 --count 1 --text in-the-clear", b.address);
    lab.start(&a.namespace, "shouter", &shout)?.wait("sent", LIMIT)?;
    let control = witness.report()?.text("found").to_owned();
    demand(control == "in-the-clear", || "the witness does not see what is in clear".into())
}

const COUNT: u64 = 1_000;
