//! A verdict in words: what, why, and what to do. One place for the command, the library and tests.

use super::{Outcome, Reason, Side, Tried, Verdict};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

/// Letters of a name or type that others chose which are shown.
const SHOWN_MAX: usize = 200;

/// A verdict in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// What is, in one clause: "bob does not get line1/temp from alice".
    pub what: String,
    /// Why it is so, in one clause.
    pub why: String,
    /// What to do about it; nothing where nothing is wrong.
    pub remedy: Option<String>,
}

impl fmt::Display for Told {
    /// All of it in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, why, remedy } = self;
        write!(f, "{what}: {why}")?;
        remedy.as_ref().map_or(Ok(()), |remedy| write!(f, "; do: {remedy}"))
    }
}

/// What others chose, fit for a terminal: no control characters, not longer than a few lines. E-7
pub fn shown(text: &str) -> String {
    let mut out: String =
        text.chars().take(SHOWN_MAX).map(|c| if is_unfit(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        out.push('…');
    }
    out
}

/// Controls, and marks that turn the direction of writing.
fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Puts a verdict about `writer`, `reader` and `topic` into words. E-6
pub fn tell(verdict: &Verdict, writer: &str, reader: &str, topic: &str) -> Told {
    let names = Names::new(verdict, writer, reader, topic);
    let (why, remedy) = names.clauses(verdict);
    let Names { w, r, t, .. } = &names;
    let gets = if verdict.reason().flows() { "gets" } else { "does not get" };
    Told { what: format!("{r} {gets} {t} from {w}"), why, remedy }
}

struct Names {
    w: String,
    r: String,
    t: String,
    /// Whose view it is, and the one it is about.
    here: String,
    there: String,
}

impl Names {
    fn new(verdict: &Verdict, writer: &str, reader: &str, topic: &str) -> Self {
        let (w, r, t) = (shown(writer), shown(reader), shown(topic));
        let (here, there) = match verdict.side {
            Side::Writer => (w.clone(), r.clone()),
            Side::Reader => (r.clone(), w.clone()),
            Side::Asker if verdict.link.name == reader => ("this endpoint".into(), r.clone()),
            Side::Asker => ("this endpoint".into(), w.clone()),
        };
        Self { w, r, t, here, there }
    }

    fn clauses(&self, v: &Verdict) -> (String, Option<String>) {
        let (why, remedy) = match v.reason() {
            Reason::NotFound
            | Reason::WrongKey
            | Reason::WrongRealm
            | Reason::Revoked
            | Reason::Version
            | Reason::Clock
            | Reason::Gone
            | Reason::Unreachable
            | Reason::NotMet => self.apart(v),
            Reason::NotAuthorised
            | Reason::NotPublished
            | Reason::NoFilter
            | Reason::TypeDiffers
            | Reason::Policy
            | Reason::Limit => self.misfit(v),
            Reason::Suspended
            | Reason::NotAnswering
            | Reason::NotOffered
            | Reason::Offered
            | Reason::Paused
            | Reason::LaneLost
            | Reason::Lagging => self.waiting(v),
            Reason::Receiving => (receiving(v), String::new()),
            Reason::Unknown => (
                "neither of the two gave an answer that this version understands".into(),
                format!("compare versions: motet endpoint info {}; motet version", self.r),
            ),
        };
        (why, Some(remedy).filter(|remedy| !remedy.is_empty()))
    }

    /// No session, and why.
    fn apart(&self, v: &Verdict) -> (String, String) {
        let Self { w, r, here, there, .. } = self;
        match v.reason() {
            Reason::NotFound => {
                let heard = v.since.map_or(String::new(), |time| {
                    format!(" (listened {}, {} endpoints heard)", span(time), v.behind)
                });
                let why = format!("no endpoint {there} is in this realm{heard}");
                let remedy = match v.near.as_slice() {
                    [] => format!(
                        "start {there}, or see who is here: motet endpoint list; \
                         is it in another realm, or out of multicast's reach: --realm, --peer"
                    ),
                    near => format!("did you mean {}?", listed(near)),
                };
                (why, remedy)
            }
            Reason::WrongKey => (
                format!(
                    "{} uses this realm's name with another secret{}",
                    place(v, Outcome::WrongKey, there),
                    heard_by(v, Outcome::WrongKey, here),
                ),
                "share one secret: motet realm invite on one machine, motet realm join on the other"
                    .into(),
            ),
            Reason::WrongRealm => (
                format!(
                    "{} is in another realm{}",
                    place(v, Outcome::WrongRealm, there),
                    heard_by(v, Outcome::WrongRealm, here),
                ),
                "start both with the same --realm, and join it on both: motet realm join".into(),
            ),
            Reason::Revoked => (
                format!("the session of {w} and {r} was refused: a key is not authorised any more"),
                format!("invite {there} anew: motet realm invite"),
            ),
            Reason::Version => (
                format!("{there} speaks no protocol version or cipher suite of {here}"),
                "install the same version on both: motet version".into(),
            ),
            Reason::Clock => {
                let skew = v.skew_ms.map_or(String::new(), |ms| {
                    format!(" (it is {} {} of {here}'s)", millis(ms), side_of(ms))
                });
                (
                    format!("the clock of {there} went back{skew}: {here} takes its handshake for a repeated one"),
                    format!("set the clock of {there}: timedatectl set-ntp true"),
                )
            }
            Reason::Gone => (
                format!("{there} said goodbye{}", ago(v.since)),
                format!("start {there} again"),
            ),
            Reason::Unreachable => {
                let tried = match tried(&v.tried) {
                    none if none.is_empty() => String::new(),
                    tried => format!(": {tried}"),
                };
                (format!("{here} cannot reach {there}{tried}"), self.route(v))
            }
            _ if v.link.state == "member" => (
                format!("{here} knows that {there} lives, and has needed no session with it"),
                format!("nothing, if they share no topic; else: motet explain {w} {r} TOPIC"),
            ),
            _ => (
                format!("{here} has not heard of {there}: multicast does not pass between the two"),
                format!(
                    "start one of the two with --peer and the other's address; see: motet doctor {w} {r}"
                ),
            ),
        }
    }

    /// What to do where an address does not answer depends on what came back.
    fn route(&self, v: &Verdict) -> String {
        let there = &self.there;
        let all = |outcome| v.tried.iter().all(|tried| tried.outcome == outcome);
        if v.tried.is_empty() || all(Outcome::Silent) {
            return format!(
                "allow 37321-37384/udp in the firewall of {there}; behind NAT: start it with --advertise"
            );
        }
        if all(Outcome::NoRoute) {
            return format!(
                "connect the network, or choose with --interface; the routes: ip route get ADDRESS of {there}"
            );
        }
        if all(Outcome::Refused) {
            return format!("start {there} again: nothing listens where it was");
        }
        format!("see motet doctor on both; name a working address with --advertise at {there}")
    }

    /// A session, but the two ends do not fit.
    fn misfit(&self, v: &Verdict) -> (String, String) {
        let Self { w, r, t, here, .. } = self;
        match v.reason() {
            Reason::NotAuthorised => (
                format!("a rule of the realm forbids {t} to {r}"),
                format!("grant it: motet realm show, motet realm invite {r} --sub {t}"),
            ),
            Reason::NotPublished => match v.near.as_slice() {
                [] => (
                    format!("{w} does not publish {t}"),
                    format!("see what it publishes: motet endpoint info {w}"),
                ),
                near => (
                    format!("{w} does not publish {t}; it publishes {}", listed(near)),
                    format!("read {} at {r}, or publish {t} at {w}", first(near)),
                ),
            },
            Reason::NoFilter => match v.near.as_slice() {
                [] => (
                    format!("no filter of {r} matches {t}"),
                    format!("subscribe to {t} at {r}; what it reads: motet endpoint info {r}"),
                ),
                near => (
                    format!("no filter of {r} matches {t}; the nearest is {}", listed(near)),
                    format!("subscribe to {t} at {r}, or publish {} at {w}", first(near)),
                ),
            },
            Reason::TypeDiffers => (
                format!(
                    "the type of {t} is {:?} at {w} and {:?} at {r}",
                    shown(&v.at_writer),
                    shown(&v.at_reader)
                ),
                "give both the same --type, or leave it out at one of the two".into(),
            ),
            Reason::Policy => (
                format!(
                    "the settings do not fit: {w} has {}, {r} has {}",
                    shown(&v.at_writer),
                    shown(&v.at_reader)
                ),
                policy_remedy(v, w, r),
            ),
            _ => {
                let limit = shown(&v.limit);
                let value =
                    if v.limit_value > 0 { format!(" ({})", v.limit_value) } else { String::new() };
                let why = match v.limit.as_str() {
                    "slowness" => format!("{w} dropped {r} for its slowness{}", ago(v.since)),
                    "lag" => format!("{r} left the stream, too far behind{}", ago(v.since)),
                    _ => format!("{here} stops at a limit: {limit}{value}{}", ago(v.since)),
                };
                (why, self.limit_remedy(&v.limit))
            }
        }
    }

    fn limit_remedy(&self, limit: &str) -> String {
        let Self { w, r, here, there, .. } = self;
        match limit {
            "sessions" => {
                format!("raise sessions_max at {here}, or end endpoints that are not needed")
            }
            "filters" => format!("read fewer topics at {r}: use * and ** instead of many filters"),
            "streams" => {
                format!("publish or read fewer topics at {there}; {here} has no more room")
            }
            "memory" => format!("raise reassembly_bytes at {here}, or send smaller messages"),
            "slowness" => format!(
                "read faster at {r}, or give {w} another --slow than disconnect; \
                 a new subscription at {r} is offered the topic again"
            ),
            "lag" => format!("read faster at {r}, or raise abort_after; then subscribe again"),
            _ => format!("see: motet endpoint info --verbose {here}"),
        }
    }

    /// A stream that is on its way, or stands.
    fn waiting(&self, v: &Verdict) -> (String, String) {
        let Self { w, r, here, there, .. } = self;
        let waits = |v: &Verdict| match v.behind {
            0 => String::new(),
            n => format!(", {n} messages wait"),
        };
        match v.reason() {
            Reason::Suspended => {
                let left = v.left.map_or(String::new(), |left| {
                    format!("; what it missed is kept for {} more", span(left))
                });
                let tried = match tried(&v.tried) {
                    none if none.is_empty() => String::new(),
                    tried => format!("; tried {tried}"),
                };
                (
                    format!("{there} has been silent for {} at {here}{left}{tried}", since(v)),
                    format!("is {there} running, and its network up? see: motet doctor {w} {r}"),
                )
            }
            Reason::NotAnswering => (
                format!("{there} does not answer{}", waits(v)),
                format!(
                    "is {there} stopped (a debugger, SIGSTOP), starved of CPU, or older than this \
                     version? see: motet endpoint ping {there}"
                ),
            ),
            Reason::NotOffered => (
                format!("{r} wants it, and {w} has not offered it yet{}", ago(v.since)),
                format!("ask again in a second; if it stays so: motet doctor {w} {r}"),
            ),
            Reason::Offered => (
                format!("{w} offered it {} ago and {r} has not answered", since(v)),
                format!("is {r} stopped or very busy? see: motet endpoint ping {r}"),
            ),
            Reason::Paused => (
                format!("the program of {r} has not read for {}{}", since(v), waits(v)),
                format!("let the program of {r} read on, or give it --slow drop-oldest"),
            ),
            Reason::LaneLost => (
                format!("its multicast lane failed{}; it goes on by unicast", ago(v.since)),
                "switch on an IGMP querier, allow multicast in switch and firewall; or publish \
                 with --lane never"
                    .into(),
            ),
            _ => {
                let lag = v.lag.map_or(String::new(), |lag| format!(" or {}", span(lag)));
                (
                    format!("{r} is behind by {} messages{lag}{}", v.behind, missed(v)),
                    format!(
                        "a faster reader or path; see motet topic delay TOPIC and packets_lost in \
                         motet endpoint info --verbose {w}"
                    ),
                )
            }
        }
    }
}

fn receiving(v: &Verdict) -> String {
    let carrier = match v.carrier.as_str() {
        "" => String::new(),
        carrier => format!("by {}, ", shown(carrier)),
    };
    let last = match v.last {
        Some(last) => format!("last message {} ago", span(last)),
        None => "nothing published so far".into(),
    };
    let rate = v
        .rate_milli
        .map_or(String::new(), |rate| format!("{}.{}/s, ", rate / 1_000, rate % 1_000 / 100));
    format!("{carrier}{rate}{last}, {} behind{}", v.behind, missed(v))
}

fn missed(v: &Verdict) -> String {
    if v.missed == 0 { String::new() } else { format!(", {} missed", v.missed) }
}

fn policy_remedy(v: &Verdict, w: &str, r: &str) -> String {
    if v.limit == "max_message" {
        return format!(
            "raise max_message at {r} above the size of what {w} sends, or send smaller messages"
        );
    }
    format!("change one of the two settings at {w} or {r}")
}

/// The address that something was heard from, else the name.
fn place(v: &Verdict, outcome: Outcome, there: &str) -> String {
    let from = v.tried.iter().find(|tried| tried.outcome == outcome);
    match from {
        Some(tried) if tried.addr.ip().to_string() == there => there.into(),
        Some(tried) => format!("{there} at {}", tried.addr.ip()),
        None => there.into(),
    }
}

fn heard_by(v: &Verdict, outcome: Outcome, here: &str) -> String {
    let from = v.tried.iter().find(|tried| tried.outcome == outcome);
    from.map_or(String::new(), |tried| {
        format!(" ({here} heard {} packets, the last {} ago)", tried.times, span(tried.ago))
    })
}

/// "10.0.0.7:37321 no answer, 10.0.1.7:37321 no way there".
fn tried(tried: &[Tried]) -> String {
    let one = |tried: &Tried| {
        let Tried { addr, outcome, ago, times } = tried;
        let times = if *times > 1 { format!(" {times} times") } else { String::new() };
        format!("{} {}{times}, {} ago", spot(addr), outcome.text(), span(*ago))
    };
    let each: Vec<String> = tried.iter().take(SOME).map(one).collect();
    let more = tried.len().saturating_sub(SOME);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    if each.is_empty() { String::new() } else { format!("{}{more}", each.join("; ")) }
}

/// Addresses in the one line.
const SOME: usize = 3;

/// The address; without a port where packets were only heard from there.
fn spot(addr: &SocketAddr) -> String {
    if addr.port() == 0 { addr.ip().to_string() } else { addr.to_string() }
}

fn listed(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{}\"", shown(name))).collect();
    names.join(" or ")
}

fn first(names: &[String]) -> String {
    names.first().map_or_else(String::new, |name| shown(name))
}

fn ago(since: Option<Duration>) -> String {
    since.map_or(String::new(), |since| format!(" {} ago", span(since)))
}

fn since(v: &Verdict) -> String {
    v.since.map_or_else(|| "some time".into(), span)
}

fn side_of(ms: i64) -> &'static str {
    if ms < 0 { "behind" } else { "ahead" }
}

fn millis(ms: i64) -> String {
    span(Duration::from_millis(ms.unsigned_abs()))
}

/// A span of time, short: `3 ms`, `2.5 s`, `4 min`, `3 h`.
fn span(time: Duration) -> String {
    let ms = time.as_millis();
    match ms {
        0 => format!("{} µs", time.as_micros()),
        1..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(verdict: &Verdict) -> String {
        tell(verdict, "alice", "bob", "line1/temp").to_string()
    }

    #[test] // E-6
    fn every_reason_that_stops_data_has_a_remedy_in_one_line_and_names_all_three() {
        for reason in Reason::ALL {
            for side in [Side::Writer, Side::Reader, Side::Asker] {
                let told = tell(&Verdict::new(side, *reason), "alice", "bob", "line1/temp");
                let line = told.to_string();
                assert!(!line.contains('\n') && !line.contains("  "), "{line}");
                assert!(told.what.contains("bob") && told.what.contains("alice"), "{line}");
                assert!(told.what.contains("line1/temp") && !told.why.is_empty(), "{line}");
                assert_eq!(told.remedy.is_none(), *reason == Reason::Receiving, "{line}");
                assert!(line.len() < 600, "{line}");
            }
        }
    }

    #[test] // E-6
    fn every_limit_has_a_remedy_of_its_own() {
        let mut seen = alloc::collections::BTreeSet::new();
        for limit in ["sessions", "filters", "streams", "memory", "slowness", "lag", "else"] {
            let mut verdict = Verdict::new(Side::Writer, Reason::Limit);
            verdict.limit = limit.into();
            seen.insert(tell(&verdict, "alice", "bob", "temp").remedy);
        }
        assert_eq!(seen.len(), 7);
    }

    #[test] // E-7
    fn what_others_chose_cannot_move_the_cursor_nor_fill_the_screen() {
        let mut verdict = Verdict::new(Side::Reader, Reason::TypeDiffers);
        verdict.at_writer = "\u{1b}[2J\u{202e}".repeat(1_000);
        let told = tell(&verdict, "ali\u{7}ce", "bob\n", "t\rt").to_string();
        assert!(!told.chars().any(is_unfit), "{told:?}");
        assert!(told.chars().count() < 2_000);
    }

    #[test]
    fn tried_addresses_are_told_with_what_came_back() {
        let mut verdict = Verdict::new(Side::Reader, Reason::Unreachable);
        let tried = |last: u8, outcome| Tried {
            addr: ([10, 0, 0, last], 37_321).into(),
            outcome,
            ago: Duration::from_millis(1_500),
            times: 2,
        };
        verdict.tried = [1, 2, 3, 4].map(|last| tried(last, Outcome::Silent)).to_vec();
        let told = line(&verdict);
        assert!(told.contains("10.0.0.1:37321 no answer 2 times, 1.5 s ago"), "{told}");
        assert!(told.contains("and 1 more") && told.contains("firewall of alice"), "{told}");
        verdict.tried = vec![tried(1, Outcome::NoRoute)];
        assert!(line(&verdict).contains("ip route get"), "{}", line(&verdict));
        verdict.tried = vec![tried(1, Outcome::Refused)];
        assert!(line(&verdict).contains("start alice again"), "{}", line(&verdict));
    }
}
