//! Do these two get on? Looked at from both ends: reachability, path, clocks, versions, realm,
//! multicast, buffers, limits.

use std::time::Duration;

use motet_proto::explain::{Reason, Verdict, shown, tell};

use crate::ask::{Answer, What};
use crate::endpoint::Endpoint;
use crate::error::AskError;
use crate::explain::{Found, find_both, link};
use crate::report::{CounterReport, DoctorFinding, EndpointReport};

impl Endpoint {
    /// Looks at what is between two endpoints, each a name, an id or an address; `.` is this one.
    /// Both are asked about the other.
    ///
    /// # Errors
    /// [`AskError`]: nobody of that name, several, or this endpoint has closed. That one does not
    /// answer is a finding.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn doctor_pair(
        &self,
        a: &str,
        b: &str,
        limit: Duration,
    ) -> Result<Vec<DoctorFinding>, AskError> {
        let core = self.core();
        let (a, b) = find_both(core, a, b, limit).await?;
        for found in [&a, &b] {
            if found.id.is_none() {
                return Err(AskError::NotFound { to: found.label(), after: limit });
            }
        }
        let (a_of_b, b_of_a) = tokio::join!(link(core, &a, &b, limit), link(core, &b, &a, limit));
        let (about_a, about_b) = tokio::join!(self.about(&a, limit), self.about(&b, limit));
        let ends = [
            End { here: &a, there: &b, view: a_of_b, about: about_a },
            End { here: &b, there: &a, view: b_of_a, about: about_b },
        ];
        let mut findings: Vec<DoctorFinding> = ends.iter().map(reach).collect();
        for end in &ends {
            findings.extend(end.view().iter().flat_map(|view| end.link(view)));
        }
        findings.extend(versions(&ends));
        findings.extend(ends.iter().filter_map(End::buffers));
        Ok(findings)
    }

    async fn about(&self, of: &Found, limit: Duration) -> Option<(EndpointReport, u64)> {
        let id = of.id?.to_string();
        let Ok(Answer::Endpoint(report)) = self.ask(&id, What::Endpoint, limit).await else {
            return None;
        };
        let counters = self.ask(&id, What::Counters, limit).await;
        let Ok(Answer::Counters(counters)) = counters else { return Some((report, 0)) };
        let drops = |it: &&CounterReport| it.name == "kernel_drops";
        Some((report, counters.iter().find(drops).map_or(0, |it| it.value)))
    }
}

struct End<'a> {
    here: &'a Found,
    there: &'a Found,
    view: Option<Result<Verdict, AskError>>,
    about: Option<(EndpointReport, u64)>,
}

/// Whether `here` reaches `there`, and if not, why.
fn reach(end: &End<'_>) -> DoctorFinding {
    let (here, there) = (shown(&end.here.label()), shown(&end.there.label()));
    match &end.view {
        Some(Ok(view)) if view.reason() == Reason::Receiving => {
            let addr = view.link.addr.map_or(String::new(), |addr| format!(" at {addr}"));
            good("reach", format!("{here} reaches {there}{addr}"))
        }
        Some(Ok(view)) => {
            let told = tell(view, &end.there.label(), &end.here.label(), "data");
            let remedy = told.remedy.unwrap_or_default();
            bad("reach", format!("{here} does not reach {there}: {}", told.why), remedy)
        }
        Some(Err(error)) => bad(
            "reach",
            format!("{here} was asked and gave no answer: {error}"),
            format!("is {here} stopped or very busy? motet endpoint ping {here}"),
        ),
        None => bad("reach", format!("{here} was not found"), "motet endpoint list".to_owned()),
    }
}

impl End<'_> {
    fn view(&self) -> Option<&Verdict> {
        self.view.as_ref().and_then(|view| view.as_ref().ok())
    }

    /// The path, the clock, multicast, and limits that the other broke.
    fn link(&self, view: &Verdict) -> Vec<DoctorFinding> {
        let (here, there) = (shown(&self.here.label()), shown(&self.there.label()));
        if self.here.id == self.there.id {
            return Vec::new();
        }
        let link = &view.link;
        let mut found = Vec::new();
        if link.mtu > 0 {
            let what = format!("{here} sends datagrams of {} B to {there}", link.mtu);
            found.push(if link.mtu >= MTU_LEAST {
                good("mtu", what)
            } else {
                bad("mtu", what, "raise the MTU of the tunnel or VPN between the two".to_owned())
            });
        }
        if let Some(rtt) = link.rtt {
            let what = format!("{there} answers {here} after {:.1} ms", rtt.as_secs_f64() * 1e3);
            found.push(if rtt < FAR {
                good("rtt", what)
            } else {
                bad(
                    "rtt",
                    what,
                    "look for a full queue on the way: stop large transfers, or a better link"
                        .to_owned(),
                )
            });
        }
        if let Some(skew) = link.skew_ms {
            let what = format!("the clock of {there} is {:+.3} s from {here}'s", skew as f64 / 1e3);
            found.push(if skew.unsigned_abs() < SKEW_MS {
                good("clock", what)
            } else {
                bad("clock", what, "on both: timedatectl set-ntp true".to_owned())
            });
        }
        found.push(self.multicast(view, &here, &there));
        let broke = view.offences.iter().map(|(what, n)| {
            let remedy = format!("update or stop {there}; see: motet endpoint info {here}");
            bad("limits", format!("{here} counts {n} {} of {there}", what.text()), remedy)
        });
        found.extend(broke);
        found
    }

    fn multicast(&self, view: &Verdict, here: &str, there: &str) -> DoctorFinding {
        let members = self.about.as_ref().map_or(1, |(report, _)| report.peers + 1);
        // Beacons come every max(2 s, N/10 s), give or take a quarter (D-2); three may be lost.
        let patience = Duration::from_secs(10).max(Duration::from_millis(500 * members));
        match view.link.multicast {
            Some(ago) if ago <= patience => {
                let ago = ago.as_secs_f64();
                good("multicast", format!("{here} heard {there} by multicast {ago:.1} s ago"))
            }
            Some(ago) => bad(
                "multicast",
                format!("{here} heard {there} by multicast last {:.0} s ago", ago.as_secs_f64()),
                "a switch forgets groups without a querier: switch on IGMP querying, or use --peer"
                    .to_owned(),
            ),
            None if view.link.same_host => {
                good("multicast", format!("{here} and {there} share a host and need no multicast"))
            }
            None => bad(
                "multicast",
                format!("{here} has heard nothing of {there} by multicast"),
                "allow 37320/udp and multicast in firewall and access point; until then: --peer"
                    .to_owned(),
            ),
        }
    }

    fn buffers(&self) -> Option<DoctorFinding> {
        let here = shown(&self.here.label());
        let (_, drops) = self.about.as_ref()?;
        Some(if *drops == 0 {
            good("buffers", format!("the kernel dropped nothing at {here}"))
        } else {
            let remedy = format!("on the machine of {here}: sysctl -w net.core.rmem_max=4194304");
            bad("buffers", format!("the kernel dropped {drops} datagrams at {here}"), remedy)
        })
    }
}

/// Versions and realms of the two.
fn versions(ends: &[End<'_>; 2]) -> Vec<DoctorFinding> {
    let [Some((a, _)), Some((b, _))] = [&ends[0].about, &ends[1].about] else {
        return Vec::new();
    };
    let (av, bv) = (shown(&a.version), shown(&b.version));
    let version = if av == bv {
        good("version", format!("both run {av}"))
    } else {
        let (an, bn) = (shown(&a.name), shown(&b.name));
        let what = format!("{an} runs {av}, {bn} runs {bv}");
        bad("version", what, "install the same version on both".to_owned())
    };
    let open = !a.secured || !b.secured;
    let realm = shown(&a.realm);
    let realm = if open {
        let what = format!("the realm {realm} is open: anybody on the network is a member");
        bad("realm", what, "leave out --insecure".to_owned())
    } else {
        good("realm", format!("both are in realm {realm}"))
    };
    vec![version, realm]
}

fn good(check: &str, what: String) -> DoctorFinding {
    DoctorFinding { check: check.to_owned(), ok: true, what, remedy: None }
}

fn bad(check: &str, what: String, remedy: String) -> DoctorFinding {
    DoctorFinding { check: check.to_owned(), ok: false, what, remedy: Some(remedy) }
}

/// Every path takes it (RFC 9000 §14); less costs throughput.
const MTU_LEAST: u16 = 1_200;
/// Longer round trips within a realm are full queues: the far side of the earth is 0.3 s away.
const FAR: Duration = Duration::from_millis(500);
/// Clocks kept by NTP differ by far less.
const SKEW_MS: u64 = 1_000;
