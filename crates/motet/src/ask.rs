//! What an endpoint tells about itself: to its own program and to others that ask.
//!
//! A question is one byte ([`What`]) and a cursor; an answer is one page in CBOR (RFC 8949) and the
//! cursor of the next page. [`What::Endpoint`] is one map; [`What::Topics`] and [`What::Counters`]
//! are arrays over all pages. Every field has a number, unknown ones are skipped.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use minicbor::Encode;
use motet_proto::discovery::NeighbourKind;
use motet_proto::transport::liveness::State;
use motet_proto::wire::record::roles;
use motet_proto::{EndpointId, EndpointKey, LanePolicy, PubQos, SlowPolicy, Time, node};
use tokio::sync::oneshot;

use crate::driver::{Answered, Core, Inner};
use crate::error::AskError;
use crate::report::{
    CounterReport, EndpointReport, MemberReport, NeighbourReport, OffenderReport, PeerReport,
    ReaderReport, RoundTripReport, Snapshot, SubscriptionReport, TopicReport, TopicsReport,
    WriterReport,
};
use crate::round_trip;

/// What another endpoint can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// About itself.
    Endpoint,
    /// What it publishes and subscribes to.
    Topics,
    /// What it has counted.
    Counters,
    /// How long its way to this other endpoint and back is: it pings it a few times.
    RoundTrip(EndpointId),
}

/// What another endpoint answered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "one at a time, and seldom")]
pub enum Answer {
    /// About itself.
    Endpoint(EndpointReport),
    /// What it publishes and subscribes to.
    Topics(TopicsReport),
    /// What it has counted.
    Counters(Vec<CounterReport>),
    /// Round trips to another endpoint.
    RoundTrip(RoundTripReport),
}

impl What {
    fn code(self) -> u8 {
        match self {
            Self::Endpoint => ENDPOINT,
            Self::Topics => TOPICS,
            Self::Counters => COUNTERS,
            Self::RoundTrip(_) => ROUND_TRIP,
        }
    }

    /// What the question is about, where it has such a thing.
    fn argument(&self) -> &[u8] {
        match self {
            Self::RoundTrip(to) => &to.0,
            Self::Endpoint | Self::Topics | Self::Counters => &[],
        }
    }
}

/// Asks `to`, page by page.
pub(crate) async fn ask(
    core: &Core,
    to: &str,
    id: EndpointId,
    what: What,
    limit: Duration,
) -> Result<Answer, AskError> {
    let pages = async {
        let (mut pages, mut cursor) = (Vec::new(), 0);
        loop {
            let (body, next) = page(core, to, id, (what.code(), cursor, what.argument())).await?;
            pages.push(body);
            match next {
                Some(next) if next > cursor && pages.len() < PAGES_MAX => cursor = next,
                _ => return Ok(pages),
            }
        }
    };
    let timeout = AskError::Timeout { to: to.to_owned(), after: limit };
    let pages: Vec<Vec<u8>> = tokio::time::timeout(limit, pages).await.unwrap_or(Err(timeout))?;
    let malformed = |_| AskError::Malformed { to: to.to_owned() };
    match what {
        What::RoundTrip(_) => {
            let page = pages.first().map_or(&[][..], Vec::as_slice);
            minicbor::decode(page).map(Answer::RoundTrip).map_err(malformed)
        }
        What::Endpoint => {
            let page = pages.first().map_or(&[][..], Vec::as_slice);
            minicbor::decode(page).map(Answer::Endpoint).map_err(malformed)
        }
        What::Counters => {
            let mut all = Vec::new();
            for page in &pages {
                all.extend(minicbor::decode::<Vec<CounterReport>>(page).map_err(malformed)?);
            }
            Ok(Answer::Counters(all))
        }
        What::Topics => {
            let mut all = TopicsReport::default();
            for page in &pages {
                let page: TopicsReport = minicbor::decode(page).map_err(malformed)?;
                all.topics.extend(page.topics);
                all.subscriptions.extend(page.subscriptions);
            }
            Ok(Answer::Topics(all))
        }
    }
}

pub(crate) async fn page(
    core: &Core,
    to: &str,
    id: EndpointId,
    (what, cursor, argument): (u8, u64, &[u8]),
) -> Result<(Vec<u8>, Option<u64>), AskError> {
    if id == core.key.id
        && what == ROUND_TRIP
        && let Ok(to) = argument.try_into()
    {
        return Ok((encode(&round_trip::measure(core, EndpointId(to)).await), None));
    }
    if id == core.key.id {
        return Ok(core.with(|inner, _| answer(core, inner, (what, cursor, argument))));
    }
    let (sender, answer) = oneshot::channel::<Answered>();
    let asked = core.act(|inner, now| {
        // Askers that went away leave their question behind until it is answered or swept here.
        inner.questions.retain(|_, asker| !asker.is_closed());
        let question = match argument {
            [] => inner.node.query(now, id, what, cursor)?,
            _ => inner.node.ask(now, id, (what, cursor), argument)?,
        };
        inner.questions.insert(question, sender);
        Ok::<_, node::QueryError>(())
    });
    asked.map_err(|error| match error {
        node::QueryError::NotConnected => AskError::Gone { to: to.to_owned() },
        node::QueryError::Limit => AskError::Limit { to: to.to_owned() },
    })?;
    match answer.await {
        Ok(Some(page)) => Ok(page),
        Ok(None) => Err(AskError::Gone { to: to.to_owned() }),
        Err(_) => Err(AskError::Closed),
    }
}

/// One page for somebody who asks. What is unknown gets an empty page.
pub(crate) fn answer(
    core: &Core,
    inner: &mut Inner,
    (what, cursor, argument): (u8, u64, &[u8]),
) -> (Vec<u8>, Option<u64>) {
    let start = usize::try_from(cursor).unwrap_or(usize::MAX);
    match what {
        EXPLAIN => (crate::explain::answer(core, inner, argument), None),
        ENDPOINT => (encode(&endpoint(core, inner)), None),
        COUNTERS => {
            let all = counters(core, inner);
            let (page, next) = cut(all.into_iter().map(|counter| encode(&counter)), start);
            let mut body = Vec::new();
            array(&mut body, page);
            (body, next)
        }
        TOPICS => {
            let (topics, subscriptions) = (topics(core, inner), subscriptions(inner));
            let split = topics.len();
            let all = topics.iter().map(encode).chain(subscriptions.iter().map(encode));
            let (mut page, next) = cut(all, start);
            let rest = page.split_off(split.saturating_sub(start).min(page.len()));
            // The map of `TopicsReport`, from parts that are encoded already.
            let mut body = vec![MAP_OF_2, 0];
            array(&mut body, page);
            body.push(1);
            array(&mut body, rest);
            (body, next)
        }
        _ => (Vec::new(), None),
    }
}

/// Everything the endpoint knows.
pub(crate) fn snapshot(core: &Core) -> Snapshot {
    let mut snapshot = core.with(|inner, now| Snapshot {
        endpoint: endpoint(core, inner),
        peers: peers(core, inner, now),
        topics: topics(core, inner),
        subscriptions: subscriptions(inner),
        counters: counters(core, inner),
        neighbours: neighbours(inner, now),
    });
    // Asking the kernel takes too long for the lock.
    let interfaces = core.sockets.interfaces().unwrap_or_default();
    snapshot.endpoint.interfaces = interfaces.into_iter().map(|each| each.name).collect();
    snapshot
}

fn endpoint(core: &Core, inner: &Inner) -> EndpointReport {
    let EndpointKey { id, incarnation } = core.key;
    let peers = inner.node.peers();
    EndpointReport {
        id: id.to_string(),
        incarnation,
        name: core.name.to_string(),
        realm: core.about.realm.clone(),
        secured: core.about.secured,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: core.clock.now().since(Time::ZERO).as_secs_f64(),
        listen: core.about.listen.to_string(),
        interfaces: Vec::new(),
        roles: role_names(core.about.roles),
        settled: inner.node.settled(),
        peers: peers.iter().filter(|peer| !matches!(peer.state, State::Dead(_))).count() as u64,
        publications: inner.publications.len() as u64,
        subscriptions: inner.subscriptions.len() as u64,
        pid: std::process::id(),
        offenders: offenders(inner, core.clock.now()),
        tags: core.about.tags.clone(),
        addresses: inner.node.advertised().iter().map(ToString::to_string).collect(),
    }
}

/// Members that broke limits, the latest first.
fn offenders(inner: &Inner, now: Time) -> Vec<OffenderReport> {
    let names = |id| inner.node.peer_name(id).map(|name| name.to_string()).unwrap_or_default();
    let each = inner.node.offenders(now).into_iter().take(OFFENDERS_MAX);
    let report = |offender: motet_proto::explain::Offender| OffenderReport {
        id: offender.key.id.to_string(),
        name: names(offender.key.id),
        offences: crate::explain::offences(&offender.offences),
        seconds: offender.ago.as_secs_f64(),
    };
    each.map(report).collect()
}

/// The others, as this endpoint sees them.
pub(crate) fn peers(core: &Core, inner: &Inner, now: Time) -> Vec<PeerReport> {
    inner.node.peers().iter().map(|peer| describe(core, peer, now)).collect()
}

/// The members of the realm, as this endpoint sees them.
pub(crate) fn members(inner: &Inner, now: Time) -> Vec<MemberReport> {
    let each = inner.node.members().into_iter().map(|member| MemberReport {
        id: member.key.id.to_string(),
        incarnation: member.key.incarnation,
        name: member.name.to_string(),
        state: match member.state {
            node::MemberWhere::Alive => "alive",
            node::MemberWhere::Quiet => "quiet",
            node::MemberWhere::Suspect => "suspect",
            node::MemberWhere::Dead => "dead",
            node::MemberWhere::Left => "left",
            _ => "unknown",
        }
        .to_owned(),
        since_seconds: now.since(member.since).as_secs_f64(),
        rtt_seconds: member.rtt.map(|rtt| rtt.as_secs_f64()),
        address: member.addr.to_string(),
        roles: role_names(member.roles),
        tags: member.tags.into_iter().collect(),
        session: member.session,
    });
    each.collect()
}

fn describe(core: &Core, peer: &node::PeerView, now: Time) -> PeerReport {
    // Pinged after one rate of silence, it has one more to answer in.
    let quiet = now.since(peer.heard) > core.about.liveness.rate * 2;
    PeerReport {
        id: peer.key.id.to_string(),
        incarnation: peer.key.incarnation,
        name: peer.name.to_string(),
        address: peer.addr.to_string(),
        addresses: peer.addresses.iter().map(ToString::to_string).collect(),
        state: match peer.state {
            State::Alive if quiet => "quiet",
            State::Alive => "alive",
            State::Suspect => "suspect",
            State::Dead(_) => "dead",
        }
        .to_owned(),
        rtt_seconds: peer.rtt.map(|rtt| rtt.as_secs_f64()),
        heard_seconds: now.since(peer.heard).as_secs_f64(),
        roles: role_names(peer.roles),
        same_host: peer.same_host,
        mtu: peer.mtu,
        interest_version: peer.interest,
    }
}

fn topics(core: &Core, inner: &Inner) -> Vec<TopicReport> {
    let publications = inner.node.publications();
    let peers = inner.node.peers();
    let each = publications.iter().map(|publication| {
        let PubQos { reliable, priority, history, slow, log_bytes, lane, .. } = publication.qos;
        let listed = publication.readers.iter().take(LISTED_MAX);
        let readers = listed.map(|reader| describe_reader(core, reader, &peers));
        TopicReport {
            topic: publication.topic.to_string(),
            type_tag: publication.qos.type_tag.clone(),
            reliable,
            priority,
            history,
            slow: slow_name(slow).to_owned(),
            log_bytes: log_bytes as u64,
            bytes: publication.bytes,
            first: publication.first,
            next: publication.next,
            readers: readers.collect(),
            readers_total: publication.readers.len() as u64,
            lane: lane_name(lane).to_owned(),
        }
    });
    each.collect()
}

fn describe_reader(
    core: &Core,
    reader: &node::ReaderView,
    peers: &[node::PeerView],
) -> ReaderReport {
    let report = ReaderReport {
        id: reader.key.id.to_string(),
        name: reader.name.to_string(),
        state: reader.state.clone(),
        acked: reader.acked,
        unacked: reader.unacked,
        local: reader.local,
        ..ReaderReport::default()
    };
    let now = core.clock.now();
    match reader.carrier {
        None => ReaderReport { carrier: "local".to_owned(), ..report },
        Some(node::Carrier::Unicast { why }) => {
            let peer = peers.iter().find(|peer| peer.key == reader.key);
            ReaderReport {
                carrier: "unicast".to_owned(),
                by: peer.map(|peer| peer.addr.to_string()).unwrap_or_default(),
                why: if core.sockets.plan.multicast() {
                    why.text(now)
                } else {
                    "multicast is off".to_owned()
                },
                ..report
            }
        }
        Some(node::Carrier::Lane { lane, iface, since, readers, .. }) => ReaderReport {
            carrier: "lane".to_owned(),
            by: core.sockets.lanes.interface_name(iface),
            lane: Some(lane),
            lane_readers: Some(readers as u64),
            lane_seconds: Some(now.since(since).as_secs_f64()),
            ..report
        },
    }
}

fn subscriptions(inner: &Inner) -> Vec<SubscriptionReport> {
    let subscriptions = inner.node.subscriptions();
    let each = subscriptions.iter().map(|subscription| {
        let writers = subscription.writers.iter().take(LISTED_MAX).map(|writer| WriterReport {
            id: writer.key.id.to_string(),
            name: writer.name.to_string(),
            topic: writer.topic.to_string(),
            state: writer.state.to_owned(),
            next: writer.next,
            missed: writer.missed,
        });
        SubscriptionReport {
            filters: subscription.filters.clone(),
            type_tag: subscription.type_tag.to_string(),
            queued: subscription.queued as u64,
            bytes: subscription.bytes as u64,
            writers: writers.collect(),
            writers_total: subscription.writers.len() as u64,
        }
    });
    each.collect()
}

fn counters(core: &Core, inner: &Inner) -> Vec<CounterReport> {
    let (sends, receives) = (&core.calls.sends, &core.calls.receives);
    let own = [
        ("send_calls", "Sends on the unicast socket and to lanes.", sends.load(Relaxed)),
        (
            "receive_calls",
            "Receives on the unicast socket and from lanes that brought some.",
            receives.load(Relaxed),
        ),
    ];
    let each = inner.node.counters().each().chain(own);
    each.map(|(name, description, value)| CounterReport {
        name: name.to_owned(),
        description: description.to_owned(),
        value,
    })
    .collect()
}

pub(crate) fn neighbours(inner: &Inner, now: Time) -> Vec<NeighbourReport> {
    let neighbours = inner.node.neighbours();
    let each = neighbours.iter().map(|neighbour| NeighbourReport {
        address: neighbour.ip.to_string(),
        kind: match neighbour.kind {
            NeighbourKind::WrongKey => "wrong-key",
            NeighbourKind::ForeignRealm { .. } => "foreign-realm",
        }
        .to_owned(),
        count: neighbour.count,
        heard_seconds: now.since(neighbour.last).as_secs_f64(),
    });
    each.collect()
}

fn slow_name(slow: SlowPolicy) -> &'static str {
    match slow {
        SlowPolicy::DropOldest => "drop-oldest",
        SlowPolicy::DropNewest => "drop-newest",
        SlowPolicy::Block => "block",
        SlowPolicy::Disconnect(_) => "disconnect",
    }
}

fn lane_name(lane: LanePolicy) -> &'static str {
    match lane {
        LanePolicy::Auto => "auto",
        LanePolicy::Never => "never",
        LanePolicy::Always => "always",
    }
}

fn role_names(bits: u16) -> Vec<String> {
    let names = [
        (roles::SEED, "seed"),
        (roles::CACHE, "cache"),
        (roles::GATEWAY, "gateway"),
        (roles::NO_WRITER, "no-writer"),
        (roles::OBSERVER, "observer"),
    ];
    names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| (*name).to_owned()).collect()
}

pub(crate) fn encode(value: &impl Encode<()>) -> Vec<u8> {
    minicbor::to_vec(value).expect("writing into a vector does not fail")
}

/// The items from `start` on that fit into a page, and where the next page starts.
fn cut(items: impl Iterator<Item = Vec<u8>>, start: usize) -> (Vec<Vec<u8>>, Option<u64>) {
    let (mut page, mut bytes) = (Vec::new(), 0);
    for (at, item) in items.enumerate().skip(start) {
        bytes += item.len();
        if bytes > PAGE_BYTES_MAX && !page.is_empty() {
            return (page, Some(at as u64));
        }
        page.push(item);
    }
    (page, None)
}

fn array(body: &mut Vec<u8>, items: Vec<Vec<u8>>) {
    let header = minicbor::Encoder::new(&mut *body).array(items.len() as u64).map(drop);
    header.expect("writing into a vector does not fail");
    items.iter().for_each(|item| body.extend_from_slice(item));
}

const ENDPOINT: u8 = 1;
const TOPICS: u8 = 2;
const COUNTERS: u8 = 3;
/// Only with an argument: see the module `explain`.
pub(crate) const EXPLAIN: u8 = 4;
/// Its answer takes a while: see [`round_trip`].
pub(crate) const ROUND_TRIP: u8 = 5;
/// RFC 8949: major type 5, two pairs.
const MAP_OF_2: u8 = 0xa2;
/// A page of an answer has 32 KiB at most; this leaves room for its frame.
const PAGE_BYTES_MAX: usize = 30 * 1024;
/// Readers of one topic and writers of one subscription in a report.
const LISTED_MAX: usize = 64;
/// Offenders in a report.
const OFFENDERS_MAX: usize = 16;
/// An asker's patience: 32 MiB of answer.
const PAGES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_every_item_once() {
        let items: Vec<Vec<u8>> = (0..100u8).map(|n| vec![n; 1_000]).collect();
        let (mut all, mut start) = (Vec::new(), 0);
        loop {
            let (page, next) = cut(items.iter().cloned(), start);
            assert!(page.len() <= PAGE_BYTES_MAX / 1_000);
            all.extend(page);
            match next {
                Some(next) => start = next as usize,
                None => break,
            }
        }
        assert_eq!(all, items);
    }

    #[test]
    fn a_report_comes_back_and_unknown_fields_do_no_harm() {
        let report = CounterReport { name: "a".into(), description: "b".into(), value: 7 };
        assert_eq!(minicbor::decode::<CounterReport>(&encode(&report)).unwrap(), report);
        // {0: "a", 2: 7, 99: [1]}
        let later = [0xa3, 0, 0x61, b'a', 2, 7, 0x18, 99, 0x81, 1];
        let read: CounterReport = minicbor::decode(&later).unwrap();
        assert_eq!((read.name.as_str(), read.value), ("a", 7));
    }
}
