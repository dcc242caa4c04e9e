//! What passes between endpoints that ask each other why: one map each way, in CBOR (RFC 8949).
//! Numbers are those of docs/spec/12-explain.md.

use std::net::SocketAddr;
use std::time::Duration;

use minicbor::{Decode, Encode};
use motet_proto::HostEvent;
use motet_proto::explain::{
    Link, NEAR_MAX, Offence, Outcome, Reason, Side, TRIED_MAX, Tried, Verdict, shown,
};
use motet_proto::node::Other;

use super::Found;
use crate::ask;
use crate::driver::{Core, Inner};
use crate::endpoint::parse_id;
use crate::report::OffenceReport;

macro_rules! maps {
    ($($name:ident { $($n:literal $field:ident: $ty:ty,)* })*) => {$(
        #[derive(Debug, Default, Encode, Decode)]
        #[cbor(map)]
        struct $name { $(#[n($n)] #[cbor(default)] $field: $ty,)* }
    )*};
}

maps! {
    Question {
        0 side: String,
        1 id: String,
        2 name: String,
        3 addrs: Vec<String>,
        4 topic: String,
    }
    View {
        0 reason: String,
        1 near: Vec<String>,
        2 at_writer: String,
        3 at_reader: String,
        4 since: Option<f64>,
        5 left: Option<f64>,
        6 behind: u64,
        7 lag: Option<f64>,
        8 next: u64,
        9 missed: u64,
        10 last: Option<f64>,
        11 carrier: String,
        12 limit: String,
        13 limit_value: u64,
        14 skew: Option<f64>,
        15 tried: Vec<TriedView>,
        16 link: LinkView,
        17 offences: Vec<OffenceReport>,
    }
    TriedView {
        0 addr: String,
        1 outcome: String,
        2 ago: f64,
        3 times: u64,
    }
    LinkView {
        0 id: String,
        1 name: String,
        2 state: String,
        3 addr: String,
        4 mtu: u16,
        5 rtt: Option<f64>,
        6 heard: Option<f64>,
        7 multicast: Option<f64>,
        8 skew: Option<f64>,
        9 versions: u16,
        10 same_host: bool,
    }
}
const READER: &str = "reader";
const WRITER: &str = "writer";
const LINK: &str = "link";

/// `side` is that of the one who is asked.
pub(super) fn question(core: &Core, side: Side, about: &Found, topic: &str) -> Vec<u8> {
    let other = about.other();
    let own = [SocketAddr::new(core.about.listen.ip(), core.about.listen.port())];
    let addrs = if about.id == Some(core.key.id) { &own[..] } else { &other.addrs[..] };
    ask::encode(&Question {
        side: match side {
            Side::Reader => READER,
            Side::Writer => WRITER,
            Side::Asker => LINK,
        }
        .to_owned(),
        id: other.id.map(|id| id.to_string()).unwrap_or_default(),
        name: other.name.chars().take(NAME_MAX).collect(),
        addrs: addrs.iter().take(TRIED_MAX).map(ToString::to_string).collect(),
        topic: topic.chars().take(TOPIC_MAX).collect(),
    })
}

/// Answers somebody who asks why; an empty page to a question that cannot be read.
///
/// Addresses that were dialled without an answer are probed meanwhile, so that who asks again soon
/// learns whether a program listens there.
pub(crate) fn answer(core: &Core, inner: &mut Inner, argument: &[u8]) -> Vec<u8> {
    let Ok(question) = minicbor::decode::<Question>(argument) else { return Vec::new() };
    let addrs = question.addrs.iter().take(TRIED_MAX).filter_map(|addr| addr.parse().ok());
    let other =
        Other { id: parse_id(&question.id), name: question.name.clone(), addrs: addrs.collect() };
    let now = core.clock.now();
    for addr in inner.probes.refused() {
        inner.node.handle_host(now, HostEvent::Refused(addr));
    }
    let verdict = match question.side.as_str() {
        READER => inner.node.explain_reader(now, &other, &question.topic),
        WRITER => inner.node.explain_writer(now, &other, &question.topic),
        _ => inner.node.explain_link(now, &other),
    };
    let silent = verdict.tried.iter().filter(|tried| tried.outcome == Outcome::Silent);
    inner.probes.start(silent.map(|tried| tried.addr));
    ask::encode(&View::of(&verdict))
}

/// An answer, or nothing if it is none. What others wrote is cut to what is looked at. E-5
pub(super) fn read(body: &[u8]) -> Option<Verdict> {
    let view: View = minicbor::decode(body).ok()?;
    (!view.reason.is_empty()).then(|| view.verdict())
}

impl View {
    fn of(verdict: &Verdict) -> Self {
        let secs = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        let skew = |ms: Option<i64>| ms.map(|ms| ms as f64 / 1e3);
        let link = &verdict.link;
        Self {
            reason: verdict.reason().code().to_owned(),
            near: verdict.near.clone(),
            at_writer: verdict.at_writer.clone(),
            at_reader: verdict.at_reader.clone(),
            since: secs(verdict.since),
            left: secs(verdict.left),
            behind: verdict.behind,
            lag: secs(verdict.lag),
            next: verdict.next,
            missed: verdict.missed,
            last: secs(verdict.last),
            carrier: verdict.carrier.clone(),
            limit: verdict.limit.clone(),
            limit_value: verdict.limit_value,
            skew: skew(verdict.skew_ms),
            tried: verdict.tried.iter().map(TriedView::of).collect(),
            link: LinkView {
                id: link.id.clone(),
                name: link.name.clone(),
                state: link.state.clone(),
                addr: link.addr.map(|addr| addr.to_string()).unwrap_or_default(),
                mtu: link.mtu,
                rtt: secs(link.rtt),
                heard: secs(link.heard),
                multicast: secs(link.multicast),
                skew: skew(link.skew_ms),
                versions: link.versions,
                same_host: link.same_host,
            },
            offences: offences(&verdict.offences),
        }
    }

    fn verdict(self) -> Verdict {
        let tried = self.tried.iter().take(TRIED_MAX).filter_map(TriedView::tried);
        let count = |it: &OffenceReport| Some((Offence::from_code(&it.code)?, it.count));
        let link = self.link;
        Verdict {
            side: Side::Asker,
            reason: Some(Reason::from_code(&self.reason)),
            near: self.near.iter().take(NEAR_MAX).map(|near| shown(near)).collect(),
            at_writer: shown(&self.at_writer),
            at_reader: shown(&self.at_reader),
            since: seconds(self.since),
            left: seconds(self.left),
            behind: self.behind,
            lag: seconds(self.lag),
            next: self.next,
            missed: self.missed,
            rate_milli: None,
            last: seconds(self.last),
            carrier: shown(&self.carrier),
            limit: shown(&self.limit),
            limit_value: self.limit_value,
            skew_ms: millis(self.skew),
            tried: tried.collect(),
            offences: self.offences.iter().take(Offence::ALL.len()).filter_map(count).collect(),
            link: Link {
                id: shown(&link.id),
                name: shown(&link.name),
                state: shown(&link.state),
                addr: link.addr.parse().ok(),
                mtu: link.mtu,
                rtt: seconds(link.rtt),
                heard: seconds(link.heard),
                multicast: seconds(link.multicast),
                skew_ms: millis(link.skew),
                versions: link.versions,
                same_host: link.same_host,
            },
        }
    }
}

impl TriedView {
    fn of(tried: &Tried) -> Self {
        Self {
            addr: tried.addr.to_string(),
            outcome: tried.outcome.code().to_owned(),
            ago: tried.ago.as_secs_f64(),
            times: tried.times,
        }
    }

    fn tried(&self) -> Option<Tried> {
        Some(Tried {
            addr: self.addr.parse().ok()?,
            outcome: Outcome::from_code(&self.outcome)?,
            ago: seconds(Some(self.ago))?,
            times: self.times,
        })
    }
}

pub(crate) fn offences(all: &[(Offence, u64)]) -> Vec<OffenceReport> {
    let each = all.iter();
    each.map(|(what, count)| OffenceReport { code: what.code().to_owned(), count: *count })
        .collect()
}

/// A span of time that somebody else wrote: not negative, no longer than a century.
pub(super) fn seconds(secs: Option<f64>) -> Option<Duration> {
    secs.and_then(|secs| Duration::try_from_secs_f64(secs.clamp(-1.0, 3.2e9)).ok())
}

#[expect(clippy::cast_possible_truncation, reason = "it is clamped, and no number is zero")]
fn millis(secs: Option<f64>) -> Option<i64> {
    secs.map(|secs| (secs * 1e3).clamp(-3.2e12, 3.2e12) as i64)
}

/// A name has 63 bytes at most (W-29), a topic 1,024: a question fits into 4,096.
const NAME_MAX: usize = 63;
const TOPIC_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use motet_proto::explain::tell;

    use super::*;

    #[test]
    fn a_view_comes_back_as_it_was_said() {
        let mut verdict = Verdict::new(Side::Asker, Reason::Unreachable);
        verdict.near = vec!["line1/temp".into()];
        (verdict.since, verdict.skew_ms) = (Some(Duration::from_millis(2_500)), Some(-1_500));
        (verdict.behind, verdict.next, verdict.missed, verdict.limit_value) = (1, 2, 3, 4);
        verdict.limit = "streams".into();
        verdict.tried = vec![Tried {
            addr: "10.0.0.7:37321".parse().unwrap(),
            outcome: Outcome::NoRoute,
            ago: Duration::from_secs(3),
            times: 9,
        }];
        verdict.link = Link {
            name: "bob".into(),
            state: "dead".into(),
            addr: "[::1]:37321".parse().ok(),
            mtu: 1_472,
            skew_ms: Some(20),
            same_host: true,
            ..Link::default()
        };
        verdict.offences = vec![(Offence::NakFlood, 7)];
        assert_eq!(read(&ask::encode(&View::of(&verdict))), Some(verdict));
    }

    #[test] // E-5
    fn a_hostile_answer_is_no_answer_or_a_harmless_one() {
        for body in [
            &b""[..],
            b"\xff\xff\xff",
            b"\xa1\x00\x01",
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
            &[0xa1; 300],
        ] {
            assert_eq!(read(body), None, "{body:?}");
        }
        let nasty = View {
            reason: "because".into(),
            near: vec!["\u{1b}[2J".repeat(900); 500],
            since: Some(f64::NAN),
            left: Some(-1.0),
            lag: Some(f64::INFINITY),
            skew: Some(f64::NAN),
            tried: (0..1_000)
                .map(|_| TriedView { addr: "nowhere".into(), ..TriedView::default() })
                .collect(),
            ..View::default()
        };
        let verdict = read(&ask::encode(&nasty)).unwrap();
        assert_eq!((verdict.reason(), verdict.near.len()), (Reason::Unknown, NEAR_MAX));
        assert_eq!((verdict.since, verdict.left, verdict.tried.len()), (None, None, 0));
        let line = tell(&verdict, "a", "b", "t").to_string();
        assert!(line.len() < 2_000 && !line.contains('\u{1b}'), "{line}");
    }

    #[test] // W-47
    fn the_largest_question_fits_and_one_that_cannot_be_read_is_empty() {
        let question = Question {
            side: WRITER.into(),
            id: "f".repeat(32),
            name: "ä".repeat(NAME_MAX),
            addrs: vec![
                "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:65535".into();
                TRIED_MAX
            ],
            topic: "ä".repeat(TOPIC_MAX),
        };
        assert!(ask::encode(&question).len() <= motet_proto::wire::control::MAX_ARGUMENT);
        assert!(minicbor::decode::<Question>(b"\xff").is_err());
    }
}
