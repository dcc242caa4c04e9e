//! Registrations: services that are no endpoints, as leases with checks.
//!
//! | goes in | effect |
//! |---|---|
//! | [`Registrations::register`], [`renew`](Registrations::renew) | a lease begins, goes on |
//! | [`Registrations::remove`], [`tick`](Registrations::tick) | it ends: by its owner, by its time |
//! | [`Registrations::next_job`], [`finished`](Registrations::finished) | a check is due; what came of it |
//! | [`Registrations::report`] | the owner says how it is (checks of kind [`Probe::Ttl`]) |
//! | [`Registrations::maintain`] | an instance is taken out, or back in |
//!
//! An instance belongs to the endpoint that registered it, for as long as its lease stands. Checks
//! run side by side, at most [`CHECKS_AT_ONCE`]; those that wait go by their time. How an instance
//! stands changes only after several results in a row. Not in it: how a check is made, disks.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::checks::{Check, CheckSpec, Health, Probe};
use super::is_plain;
use crate::ids::EndpointId;
use crate::time::Time;

/// Instances of one registry.
pub const REGISTRATIONS_MAX: usize = 10_000;
/// Instances that one endpoint may register.
pub const REGISTRATIONS_OF_ONE: usize = 1_024;
/// Checks of one instance.
pub const CHECKS_MAX: usize = 8;
/// Checks that run at once.
pub const CHECKS_AT_ONCE: usize = 64;
/// Bytes of a name, an address, a reason; of a probe's target.
pub const TEXT_MAX: usize = 256;
/// The shortest and the longest lease.
pub const LEASE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(86_400));
/// The shortest and the longest interval of a check, and its time.
pub const INTERVAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3_600));
/// Changes that wait for the host.
const CHANGES_MAX: usize = 10_000;

/// Which instance of which service.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Registered {
    /// The service.
    pub service: String,
    /// The instance, one of its service.
    pub instance: String,
}

/// What is registered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spec {
    /// Where it can be reached, in words of its own.
    pub address: String,
    /// How long without renewal.
    pub ttl: Duration,
    /// How it is looked after; without any it passes.
    pub checks: Vec<CheckSpec>,
}

/// Why something is refused. Nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Another endpoint holds the name.
    NotYours,
    /// Nothing is registered under the name.
    Unknown,
    /// Names have 1 to 256 bytes without control characters; addresses and targets at most 256.
    BadText,
    /// A lease lasts from 500 ms to a day; intervals and times of checks from 100 ms to an hour.
    BadTime,
    /// The registry, the part of this endpoint, or the number of checks is full.
    Full,
    /// It has no check that its owner reports.
    NoReport,
}

/// A check to be made now. [`Registrations::finished`] is owed for it, after
/// [`timeout`](Job::timeout) at the latest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// Names it to [`Registrations::finished`].
    pub ticket: u64,
    /// What to do.
    pub probe: Probe,
    /// The address of the instance.
    pub address: String,
    /// The instance.
    pub of: Registered,
    /// Then it has failed.
    pub timeout: Duration,
}

/// Something that operators and dependants want to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Which instance.
    pub of: Registered,
    /// How it stands now; `None` if it is no longer registered.
    pub health: Option<Health>,
    /// Why.
    pub reason: String,
}

/// An instance as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// Which.
    pub of: Registered,
    /// Whose.
    pub owner: EndpointId,
    /// What was registered.
    pub spec: Spec,
    /// How it stands.
    pub health: Health,
    /// Why; empty if it passes.
    pub reason: String,
    /// Why it is taken out, if it is.
    pub maintenance: Option<String>,
    /// What is left of its lease.
    pub left: Duration,
}

/// What was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RegistrationCounters {
    /// Registrations and renewals taken.
    pub registered: u64,
    /// Refused because the name is another's.
    pub not_yours: u64,
    /// Refused for another reason.
    pub refused: u64,
    /// Leases ended by their owner.
    pub removed: u64,
    /// Leases that ran out.
    pub expired: u64,
    /// Checks made.
    pub checks: u64,
    /// Of these, those that were critical.
    pub critical: u64,
    /// Times that a check that was due had to wait for others.
    pub waited: u64,
    /// Changes that nobody took in time.
    pub untold: u64,
}

#[derive(Debug)]
struct Entry {
    owner: EndpointId,
    spec: Spec,
    until: Time,
    checks: Vec<Check>,
    maintenance: Option<String>,
    said: (Health, String),
}

/// The table.
#[derive(Debug, Default)]
pub struct Registrations {
    entries: BTreeMap<Registered, Entry>,
    running: BTreeMap<u64, (Registered, usize)>,
    tickets: u64,
    changes: VecDeque<Change>,
    counters: RegistrationCounters,
}

impl Registrations {
    /// Nothing is registered.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a lease, or renews it and takes what is new of it. True if it is new.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn register(
        &mut self,
        now: Time,
        from: EndpointId,
        of: &Registered,
        spec: &Spec,
    ) -> Result<bool, Refused> {
        self.check(from, of, spec).map_err(|refused| self.count(refused))?;
        self.counters.registered += 1;
        let until = now + spec.ttl;
        let checks = || spec.checks.iter().map(|it| Check::new(now, it)).collect::<Vec<_>>();
        if let Some(entry) = self.entries.get_mut(of) {
            entry.until = until;
            if entry.spec.checks != spec.checks {
                entry.checks = checks();
            }
            entry.spec = spec.clone();
            self.judge(of);
            return Ok(false);
        }
        let checks = checks();
        let said = worst(&checks);
        self.tell(of, Some(said.0), &said.1);
        let (spec, maintenance) = (spec.clone(), None);
        let entry = Entry { owner: from, spec, until, checks, maintenance, said };
        self.entries.insert(of.clone(), entry);
        Ok(true)
    }

    fn check(&self, from: EndpointId, of: &Registered, spec: &Spec) -> Result<(), Refused> {
        let good = |text: &str, least: usize| is_plain(text, least..=TEXT_MAX);
        let within =
            |time: Duration, (least, most): (Duration, Duration)| (least..=most).contains(&time);
        let texts = good(&of.service, 1) && good(&of.instance, 1) && good(&spec.address, 0);
        if !texts || !spec.checks.iter().all(|it| good(it.probe.target(), 0)) {
            return Err(Refused::BadText);
        }
        let times = |it: &CheckSpec| within(it.interval, INTERVAL) && within(it.timeout, INTERVAL);
        if !within(spec.ttl, LEASE) || !spec.checks.iter().all(times) {
            return Err(Refused::BadTime);
        }
        if spec.checks.len() > CHECKS_MAX {
            return Err(Refused::Full);
        }
        match self.entries.get(of) {
            Some(entry) if entry.owner != from && !crate::planted::on("registry_for_anybody") => {
                Err(Refused::NotYours) // B-33
            }
            Some(_) => Ok(()),
            None => {
                let own = self.entries.values().filter(|it| it.owner == from).count();
                let full = own >= REGISTRATIONS_OF_ONE || self.entries.len() >= REGISTRATIONS_MAX;
                if full { Err(Refused::Full) } else { Ok(()) }
            }
        }
    }

    fn count(&mut self, refused: Refused) -> Refused {
        match refused {
            Refused::NotYours => self.counters.not_yours += 1,
            _ => self.counters.refused += 1,
        }
        refused
    }

    fn owned(&mut self, from: EndpointId, of: &Registered) -> Result<&mut Entry, Refused> {
        let refused = match self.entries.get(of) {
            None => Refused::Unknown,
            Some(entry) if entry.owner != from => Refused::NotYours,
            Some(_) => return self.entries.get_mut(of).ok_or(Refused::Unknown),
        };
        Err(self.count(refused))
    }

    /// Goes on with a lease as it is.
    ///
    /// # Errors
    /// [`Refused::Unknown`], [`Refused::NotYours`].
    pub fn renew(&mut self, now: Time, from: EndpointId, of: &Registered) -> Result<(), Refused> {
        let entry = self.owned(from, of)?;
        entry.until = now + entry.spec.ttl;
        self.counters.registered += 1;
        Ok(())
    }

    /// Ends a lease.
    ///
    /// # Errors
    /// [`Refused::Unknown`], [`Refused::NotYours`].
    pub fn remove(&mut self, from: EndpointId, of: &Registered) -> Result<(), Refused> {
        self.owned(from, of)?;
        self.entries.remove(of);
        self.counters.removed += 1;
        self.tell(of, None, "removed");
        Ok(())
    }

    /// What the owner says of itself, for its checks of kind [`Probe::Ttl`].
    ///
    /// # Errors
    /// [`Refused`].
    pub fn report(
        &mut self,
        now: Time,
        from: EndpointId,
        of: &Registered,
        health: Health,
        text: &str,
    ) -> Result<(), Refused> {
        let entry = self.owned(from, of)?;
        let mut any = false;
        for check in entry.checks.iter_mut().filter(|it| it.spec.probe == Probe::Ttl) {
            check.reported(now, health, text);
            any = true;
        }
        if !any {
            return Err(self.count(Refused::NoReport));
        }
        self.judge(of);
        Ok(())
    }

    /// Takes an instance out, or back in (B-37). Whoever may speak to the registry may do it.
    ///
    /// # Errors
    /// [`Refused::Unknown`].
    pub fn maintain(&mut self, of: &Registered, why: Option<&str>) -> Result<(), Refused> {
        let Some(entry) = self.entries.get_mut(of) else {
            return Err(self.count(Refused::Unknown));
        };
        entry.maintenance = why.map(|why| clipped(why).into());
        let (health, reason) = match why {
            Some(why) => (Health::Critical, ["maintenance", why].join(": ")),
            None => entry.said.clone(),
        };
        self.tell(of, Some(health), &reason);
        Ok(())
    }

    /// Ends leases that ran out (B-34), and sees which reports are overdue.
    pub fn tick(&mut self, now: Time) {
        let over =
            |entry: &Entry| entry.until <= now && !crate::planted::on("registry_lease_never_ends");
        let ended: Vec<Registered> =
            self.entries.iter().filter(|(_, it)| over(it)).map(|(of, _)| of.clone()).collect();
        for of in ended {
            self.entries.remove(&of);
            self.counters.expired += 1;
            self.tell(&of, None, "the lease was not renewed");
        }
        let mut overdue = Vec::new();
        for (of, entry) in &mut self.entries {
            // Each of them is looked at, also after the first that is overdue.
            let each = entry.checks.iter_mut().map(|it| u32::from(it.is_overdue(now)));
            if each.sum::<u32>() > 0 {
                overdue.push(of.clone());
            }
        }
        for of in overdue {
            self.judge(&of);
        }
    }

    /// A check that is due, if one is and there is room for it. The longest due goes first (B-36).
    pub fn next_job(&mut self, now: Time) -> Option<Job> {
        let due = self.entries.iter().flat_map(|(of, entry)| {
            let each = entry.checks.iter().enumerate();
            each.filter_map(move |(at, it)| Some((it.due()?, of, at)))
        });
        let (_, of, at) = due.filter(|(due, ..)| *due <= now).min()?;
        let of = of.clone();
        if self.running.len() >= CHECKS_AT_ONCE && !crate::planted::on("registry_checks_unbounded")
        {
            self.counters.waited += 1;
            return None;
        }
        let entry = self.entries.get_mut(&of)?;
        let check = entry.checks.get_mut(at)?;
        self.tickets += 1;
        check.begin(now, self.tickets);
        self.running.insert(self.tickets, (of.clone(), at));
        Some(Job {
            ticket: self.tickets,
            probe: check.spec.probe.clone(),
            address: entry.spec.address.clone(),
            of,
            timeout: check.spec.timeout,
        })
    }

    /// What came of a check. Of one whose instance has ended meanwhile: nothing.
    pub fn finished(&mut self, now: Time, ticket: u64, health: Health, text: &str) {
        let Some((of, at)) = self.running.remove(&ticket) else { return };
        self.counters.checks += 1;
        self.counters.critical += u64::from(health == Health::Critical);
        let check = self.entries.get_mut(&of).and_then(|entry| entry.checks.get_mut(at));
        if let Some(check) = check
            && check.end(now, ticket, health, text)
        {
            self.judge(&of);
        }
    }

    /// When [`tick`](Registrations::tick) or [`next_job`](Registrations::next_job) is due.
    pub fn next_due(&self) -> Time {
        let full = self.running.len() >= CHECKS_AT_ONCE;
        let each = self.entries.values().flat_map(|entry| {
            let checks = entry.checks.iter();
            let due =
                checks.filter_map(move |it| it.overdue_at().or_else(|| it.due().filter(|_| !full)));
            due.chain([entry.until])
        });
        each.min().unwrap_or(Time::NEVER)
    }

    /// The next change since the last call.
    pub fn next_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// All instances, of all services or of one.
    pub fn views<'a>(&'a self, now: Time, service: Option<&'a str>) -> impl Iterator<Item = View> {
        let each = self.entries.iter();
        let each = each.filter(move |(of, _)| service.is_none_or(|it| it == of.service));
        each.map(move |(of, entry)| View {
            of: of.clone(),
            owner: entry.owner,
            spec: entry.spec.clone(),
            health: entry.said.0,
            reason: entry.said.1.clone(),
            maintenance: entry.maintenance.clone(),
            left: entry.until.since(now),
        })
    }

    /// What was counted.
    pub fn counters(&self) -> RegistrationCounters {
        self.counters
    }

    fn judge(&mut self, of: &Registered) {
        let Some(entry) = self.entries.get_mut(of) else { return };
        let now = worst(&entry.checks);
        let changed = now.0 != entry.said.0;
        entry.said = now.clone();
        if changed && entry.maintenance.is_none() {
            self.tell(of, Some(now.0), &now.1);
        }
    }

    fn tell(&mut self, of: &Registered, health: Option<Health>, reason: &str) {
        if self.changes.len() >= CHANGES_MAX {
            self.changes.pop_front();
            self.counters.untold += 1;
        }
        let reason = clipped(reason).into();
        self.changes.push_back(Change { of: of.clone(), health, reason });
    }
}

/// An instance stands as its worst check does.
fn worst(checks: &[Check]) -> (Health, String) {
    let worst = checks.iter().min_by_key(|it| it.health);
    worst.map_or((Health::Passing, String::new()), |it| (it.health, it.reason.clone()))
}

/// As much of a text as is kept.
pub(super) fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_MAX)]
}

#[cfg(test)]
mod tests;
