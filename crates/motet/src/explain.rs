//! Why does a reader get a writer's data, or why not? One answer, in one line, with the remedy.
//!
//! Both ends are asked, over the network and from wherever one is, and answer from their tables;
//! the cause is what stands earlier in the list of [`Reason`]. See docs/spec/12-explain.md.

mod page;
mod probe;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use motet_proto::explain::{Outcome, Reason, nearest};
use motet_proto::explain::{Side, TRIED_MAX, Tried, Verdict, join, shown, tell};
use motet_proto::node::Other;
use motet_proto::transport::liveness::State;
use motet_proto::{EndpointId, Time};

use crate::ask;
use crate::driver::{Core, Inner};
use crate::endpoint::{Endpoint, parse_id, resolve};
use crate::error::AskError;
use crate::report::NeighbourReport;
pub(crate) use page::{answer, offences};
use page::{question, read, seconds};
pub(crate) use probe::Probes;

/// The answer to "why does `reader` (not) get `topic` from `writer`".
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Explanation {
    /// Who publishes.
    pub writer: Party,
    /// Who reads.
    pub reader: Party,
    /// The topic.
    pub topic: String,
    /// Whether data flows.
    pub flows: bool,
    /// The state of the stream by its code, as `receiving` or `paused`; or there is a `reason`.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub state: Option<String>,
    /// What is in the way, by its code, as `no_matching_filter`.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub reason: Option<String>,
    /// What is and why, in a sentence.
    pub detail: String,
    /// What to do about it; nothing where nothing is wrong.
    pub remedy: Option<String>,
    /// What each side said, and what is known of the way between them.
    pub evidence: Vec<String>,
    /// Messages per second, where data flows and two looks were taken.
    pub rate: Option<f64>,
    /// Messages that the reader lacks.
    pub behind: u64,
    /// Messages that were reported missing to the reader.
    pub missed: u64,
    /// Seconds since the last message.
    pub last_seconds: Option<f64>,
}

/// One end of an [`Explanation`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Party {
    /// Its name, or what it was asked for by.
    pub name: String,
    /// Its id, if it was found.
    pub id: Option<String>,
}

impl Explanation {
    /// The state or reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        let code = self.state.as_deref().or(self.reason.as_deref());
        code.map_or(Reason::Unknown, Reason::from_code)
    }
}

impl fmt::Display for Explanation {
    /// One line: what, why, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        self.remedy.as_ref().map_or(Ok(()), |remedy| write!(f, "; do: {remedy}"))
    }
}

impl Endpoint {
    /// Says why `reader` gets `topic` from `writer`, or why not. Each is a name, an id, an address,
    /// or `.` for this endpoint, which may be neither of the two. Takes half a second longer where
    /// data flows, to see how much.
    ///
    /// # Errors
    /// [`AskError::Ambiguous`]: several endpoints have a name. [`AskError::Closed`]. That somebody is
    /// not there, or does not answer, is no error but the answer.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn explain(
        &self,
        writer: &str,
        reader: &str,
        topic: &str,
        limit: Duration,
    ) -> Result<Explanation, AskError> {
        let core = self.core();
        let (writer, reader) = find_both(core, writer, reader, limit).await?;
        let of_writer = question(core, Side::Reader, &writer, topic);
        let of_reader = question(core, Side::Writer, &reader, topic);
        let missing = [&writer, &reader].into_iter().find(|party| party.id.is_none());
        let look = async || {
            let (at_reader, at_writer) = tokio::join!(
                view(core, &reader, &of_writer, limit),
                view(core, &writer, &of_reader, limit)
            );
            let seen = missing.map(|missing| not_found(core, missing));
            conclude([(&writer, at_writer), (&reader, at_reader)], seen, topic)
        };
        let (mut verdict, mut evidence) = look().await;
        if verdict.tried.iter().any(|tried| tried.outcome == Outcome::Silent) {
            // Those addresses are probed meanwhile: does a program listen there at all?
            core.wait(LOOK, |_, _| None::<()>).await;
            (verdict, evidence) = look().await;
        }
        if verdict.reason().flows() {
            verdict.rate_milli = rate(core, &reader, &of_writer, verdict.next, limit).await;
        }
        Ok(put(&verdict, &writer, &reader, topic, evidence))
    }
}

/// What an end said of the other: `None` if it was not found, and so not asked.
type Said = Option<Result<Verdict, AskError>>;

/// The answer, from what writer and reader said, and from what the asker has seen of the one that
/// was not found; with what led to it.
fn conclude(
    [(writer, at_writer), (reader, at_reader)]: [(&Found, Said); 2],
    seen: Option<Verdict>,
    topic: &str,
) -> (Verdict, Vec<String>) {
    let mut evidence = Vec::new();
    let (w, r) = (writer.label(), reader.label());
    let mut take = |side, said: Said, of: &str| match said? {
        Ok(verdict) => {
            let verdict = Verdict { side, ..verdict };
            evidence.extend(testimony(&verdict, &w, &r, topic));
            Some(verdict)
        }
        Err(error) => {
            evidence.push(format!("{}: {error}", shown(of)));
            // `there` is the one that does not answer: it is the other's, or our, view.
            let side = if side == Side::Writer { Side::Reader } else { Side::Writer };
            Some(Verdict::new(side, Reason::NotAnswering))
        }
    };
    let at_writer = take(Side::Writer, at_writer, &w);
    let at_reader = take(Side::Reader, at_reader, &r);
    let Some(seen) = seen else {
        return (join(at_writer, at_reader), evidence);
    };
    // Whoever was found may know more of the missing one than we.
    let told = at_writer.or(at_reader).filter(|told| told.reason() != Reason::NotMet);
    let Some(mut told) = told else { return (seen, evidence) };
    let quiet = told.link.state == "suspect" || told.link.heard > Some(QUIET);
    if told.reason() > Reason::NotAnswering && quiet {
        told.reason = Some(Reason::NotAnswering);
    }
    (told, evidence)
}

/// One end, as far as it was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// What was typed.
    text: String,
    pub(crate) name: String,
    pub(crate) id: Option<EndpointId>,
    pub(crate) addrs: Vec<SocketAddr>,
}

impl Found {
    /// What people call it.
    pub(crate) fn label(&self) -> String {
        if self.name.is_empty() { self.text.clone() } else { self.name.clone() }
    }

    pub(crate) fn other(&self) -> Other {
        let typed = parse_id(&self.text).is_none() && self.addrs.is_empty();
        let name =
            if self.name.is_empty() && typed { self.text.clone() } else { self.name.clone() };
        let id = self.id.or_else(|| parse_id(&self.text));
        Other { id, name, addrs: self.addrs.clone() }
    }
}

/// Looks for both until they are there, or discovery has had its time.
pub(crate) async fn find_both(
    core: &Core,
    writer: &str,
    reader: &str,
    limit: Duration,
) -> Result<(Found, Found), AskError> {
    let both = |inner: &Inner| Ok((find(core, inner, writer)?, find(core, inner, reader)?));
    let left = LISTEN.saturating_sub(core.clock.now().since(Time::ZERO)).min(limit);
    let found = core.wait(left, |inner, _| match both(inner) {
        Ok((writer, reader)) if writer.id.is_none() || reader.id.is_none() => None,
        done => Some(done),
    });
    match found.await {
        Some(found) => found,
        None if core.is_closed() => Err(AskError::Closed),
        None => core.with(|inner, _| both(inner)),
    }
}

fn find(core: &Core, inner: &Inner, text: &str) -> Result<Found, AskError> {
    let mut found = Found { text: text.to_owned(), ..Found::default() };
    if text == "." {
        (found.name, found.id) = (core.name.to_string(), Some(core.key.id));
        return Ok(found);
    }
    let peers = inner.node.peers();
    let live = || peers.iter().filter(|peer| !matches!(peer.state, State::Dead(_)));
    let key = match resolve(&inner.node, text).as_slice() {
        [] => match address(text) {
            Some((ip, port)) => {
                found.addrs = vec![SocketAddr::new(ip, port.unwrap_or(0))];
                let at = |addr: &SocketAddr| {
                    addr.ip() == ip && port.is_none_or(|port| port == addr.port())
                };
                let mut there = live().filter(|peer| at(&peer.addr));
                // With several on that host the port would have to say which.
                there.next().filter(|_| there.next().is_none()).map(|peer| peer.key)
            }
            None => None,
        },
        [key] => Some(*key),
        several => return Err(AskError::Ambiguous { to: text.to_owned(), n: several.len() }),
    };
    if let Some(key) = key {
        found.id = Some(key.id);
        if key == core.key {
            found.name = core.name.to_string();
        } else if let Some(peer) = peers.iter().find(|peer| peer.key == key) {
            found.name = peer.name.to_string();
            found.addrs.push(peer.addr);
            found.addrs.extend(peer.addresses.iter().take(TRIED_MAX));
            found.addrs.dedup();
        }
    }
    Ok(found)
}

/// `IP`, `IP:PORT`, `udp/IP:PORT`.
fn address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let bare = text.strip_prefix("udp/").unwrap_or(text);
    let whole = bare.parse::<SocketAddr>().map(|addr| (addr.ip(), Some(addr.port())));
    whole.ok().or_else(|| bare.parse().ok().map(|ip| (ip, None)))
}

/// What we know of somebody who was not found.
fn not_found(core: &Core, missing: &Found) -> Verdict {
    core.with(|inner, now| {
        let mut verdict = inner.node.explain_link(now, &missing.other());
        verdict.link.name = missing.label();
        if !matches!(verdict.reason(), Reason::NotMet | Reason::Receiving) {
            return verdict;
        }
        verdict.reason = Some(Reason::NotFound);
        let peers = inner.node.peers();
        let names = peers.iter().map(|peer| &*peer.name);
        verdict.near = nearest(&missing.text, names);
        verdict.since = Some(now.since(Time::ZERO));
        verdict.behind = peers.len() as u64;
        let wrong = |it: &NeighbourReport| it.kind == "wrong-key";
        let heard = ask::neighbours(inner, now).into_iter().find(wrong);
        if let (true, Some(heard)) = (verdict.near.is_empty(), heard)
            && let Ok(ip) = heard.address.parse()
        {
            // By far the commonest cause: two machines that each made a realm of this name.
            verdict.reason = Some(Reason::WrongKey);
            verdict.tried = vec![Tried {
                addr: SocketAddr::new(ip, 0),
                outcome: Outcome::WrongKey,
                ago: seconds(Some(heard.heard_seconds)).unwrap_or_default(),
                times: heard.count,
            }];
        }
        verdict
    })
}

/// Asks one end about the other; `None` if it was not found.
async fn view(
    core: &Core,
    at: &Found,
    question: &[u8],
    limit: Duration,
) -> Option<Result<Verdict, AskError>> {
    let id = at.id?;
    let to = at.label();
    let page = ask::page(core, &to, id, (ask::EXPLAIN, 0, question));
    let late = AskError::Timeout { to: to.clone(), after: limit };
    let page = tokio::time::timeout(limit, page).await.unwrap_or(Err(late));
    Some(page.and_then(|(body, _)| read(&body).ok_or(AskError::Malformed { to })))
}

/// As [`view`], of the session with the other only.
pub(crate) async fn link(
    core: &Core,
    at: &Found,
    other: &Found,
    limit: Duration,
) -> Option<Result<Verdict, AskError>> {
    view(core, at, &question(core, Side::Asker, other, ""), limit).await
}

/// Messages per 1,000 s, from a second look.
async fn rate(
    core: &Core,
    reader: &Found,
    question: &[u8],
    next: u64,
    limit: Duration,
) -> Option<u64> {
    let begun = core.clock.now();
    core.wait(LOOK, |_, _| None::<()>).await; // ends early only if we close
    let again = view(core, reader, question, limit).await?.ok()?;
    let took = u64::try_from(core.clock.now().since(begun).as_millis()).ok()?.max(1);
    again.next.checked_sub(next).map(|n| n.saturating_mul(1_000_000) / took)
}

fn put(
    verdict: &Verdict,
    writer: &Found,
    reader: &Found,
    topic: &str,
    evidence: Vec<String>,
) -> Explanation {
    let told = tell(verdict, &writer.label(), &reader.label(), topic);
    let reason = verdict.reason();
    let code = Some(reason.code().to_owned());
    let party =
        |found: &Found| Party { name: found.label(), id: found.id.map(|id| id.to_string()) };
    let is_state = reason.is_state();
    Explanation {
        writer: party(writer),
        reader: party(reader),
        topic: topic.to_owned(),
        flows: reason.flows(),
        state: code.clone().filter(|_| is_state),
        reason: code.filter(|_| !is_state),
        detail: format!("{}: {}", told.what, told.why),
        remedy: told.remedy,
        evidence,
        rate: verdict.rate_milli.map(|milli| milli as f64 / 1_000.0),
        behind: verdict.behind,
        missed: verdict.missed,
        last_seconds: verdict.last.map(|last| last.as_secs_f64()),
    }
}

/// What one end said, in a few lines.
fn testimony(verdict: &Verdict, writer: &str, reader: &str, topic: &str) -> Vec<String> {
    let (here, there) = match verdict.side {
        Side::Reader => (shown(reader), shown(writer)),
        _ => (shown(writer), shown(reader)),
    };
    let told = tell(verdict, writer, reader, topic);
    let mut lines = vec![format!("{here} says {}: {}", verdict.reason().code(), told.why)];
    let link = &verdict.link;
    if !link.state.is_empty() {
        let mut line = format!("{here} holds {there} for {}", shown(&link.state));
        if let Some(addr) = link.addr {
            line.push_str(&format!(" at {addr}"));
        }
        if let Some(rtt) = link.rtt {
            line.push_str(&format!(", round trip {:.1} ms", rtt.as_secs_f64() * 1e3));
        }
        if let Some(skew) = link.skew_ms {
            line.push_str(&format!(", clock {:+.3} s", skew as f64 / 1e3));
        }
        lines.push(line);
    }
    let tried = verdict.tried.iter();
    lines.extend(tried.map(|it| {
        let ago = it.ago.as_secs_f64();
        let spot = if it.addr.port() == 0 { it.addr.ip().to_string() } else { it.addr.to_string() };
        format!("{here}: {spot} {}, {} times, {ago:.1} s ago", it.outcome.text(), it.times)
    }));
    let broken = verdict.offences.iter();
    lines.extend(broken.map(|(what, n)| format!("{here} counts {n} {} of {there}", what.text())));
    lines
}

/// How long an endpoint that has just been opened listens for those who are asked about.
const LISTEN: Duration = Duration::from_secs(2);
/// A peer that lives is heard every second (S-30).
const QUIET: Duration = Duration::from_secs(2);
/// Between two looks at a stream that flows.
const LOOK: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, id: u8) -> Found {
        let id = (id > 0).then_some(EndpointId([id; 16]));
        Found { text: name.into(), name: name.into(), id, ..Found::default() }
    }

    fn said(side: Side, reason: Reason) -> Said {
        Some(Ok(Verdict::new(side, reason)))
    }

    #[test] // E-5
    fn garbage_or_silence_from_one_end_leaves_the_word_of_the_other_and_names_it() {
        let (alice, bob) = (found("alice", 1), found("bob", 2));
        for error in [
            AskError::Malformed { to: "bob".into() },
            AskError::Timeout { to: "bob".into(), after: LOOK },
        ] {
            let writer = said(Side::Writer, Reason::NotPublished);
            let views = [(&alice, writer), (&bob, Some(Err(error.clone())))];
            let (verdict, evidence) = conclude(views, None, "temp");
            assert_eq!(verdict.reason(), Reason::NotPublished);
            assert!(evidence.iter().any(|line| line.starts_with("bob: ")), "{evidence:?}");

            let views = [(&alice, said(Side::Writer, Reason::Lagging)), (&bob, Some(Err(error)))];
            let (verdict, _) = conclude(views, None, "temp");
            let line = tell(&verdict, "alice", "bob", "temp").to_string();
            assert!(line.contains("bob does not answer"), "{line}");
        }
    }

    #[test]
    fn who_was_found_may_know_more_of_the_missing_one_than_who_asks() {
        let (alice, bob) = (found("alice", 1), found("bob", 0));
        let seen = || Some(Verdict::new(Side::Asker, Reason::NotFound));
        let conclude = |reason, state: &str| {
            let mut view = Verdict::new(Side::Writer, reason);
            (view.link.state, view.link.heard) = (state.into(), Some(LOOK));
            conclude([(&alice, Some(Ok(view))), (&bob, None)], seen(), "temp").0.reason()
        };
        assert_eq!(conclude(Reason::NotMet, ""), Reason::NotFound);
        assert_eq!(conclude(Reason::Gone, "left"), Reason::Gone);
        assert_eq!(
            conclude(Reason::Receiving, "alive"),
            Reason::Receiving,
            "only we cannot see it"
        );
        assert_eq!(conclude(Reason::Lagging, "suspect"), Reason::NotAnswering);
    }

    #[test]
    fn an_address_is_an_ip_with_or_without_a_port() {
        assert_eq!(address("10.0.0.7"), Some(([10, 0, 0, 7].into(), None)));
        assert_eq!(address("udp/10.0.0.7:37321"), Some(([10, 0, 0, 7].into(), Some(37_321))));
        assert_eq!(address("press-4"), None);
    }
}
