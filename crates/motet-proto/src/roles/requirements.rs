//! Requirements: who cannot do without which service, and what they are told of it.
//!
//! | goes in | effect |
//! |---|---|
//! | [`Requirements::need`] | a dependant says what it requires |
//! | [`Requirements::instance`], [`Requirements::gone`] | a service is up, degraded, down |
//! | [`Requirements::since`] | the notices that a dependant has not taken yet, in order |
//!
//! A notice is written once for each change of a service, when it has been so for
//! [`SETTLE`]: one that flaps is not announced each time. It is kept, numbered, for a dependant that is
//! away, up to [`NOTICES_MAX`]; of older ones only their number remains. Not in it: who the
//! instances are, sockets.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::checks::Health;
use crate::ids::EndpointKey;
use crate::time::Time;

/// How long a service has to be so before it is said. Going up is said at once the first time.
pub const SETTLE: Duration = Duration::from_millis(500);
/// Notices kept for one dependant.
pub const NOTICES_MAX: usize = 1_024;
/// Dependants, by name.
pub const DEPENDANTS_MAX: usize = 10_000;
/// Services that are followed.
pub const SERVICES_MAX: usize = 10_000;

/// How a service stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Standing {
    /// Nobody has ever offered it.
    #[default]
    Missing,
    /// Nobody offers it any more, or nobody who does takes work.
    Down,
    /// Some of its instances take work, others do not.
    Degraded,
    /// All of its instances take work.
    Up,
}

/// What a dependant is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// Its number for this dependant, from 1, without holes.
    pub seq: u64,
    /// Which service.
    pub service: Arc<str>,
    /// How it stands.
    pub standing: Standing,
    /// The dependant can do without it.
    pub optional: bool,
}

/// Who an instance is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Who {
    /// An endpoint that offers the service itself.
    Endpoint(EndpointKey),
    /// One that somebody registered, by its name.
    Registered(Arc<str>),
}

impl From<EndpointKey> for Who {
    fn from(key: EndpointKey) -> Self {
        Self::Endpoint(key)
    }
}

impl From<&str> for Who {
    fn from(instance: &str) -> Self {
        Self::Registered(instance.into())
    }
}

#[derive(Debug, Default)]
struct Followed {
    instances: BTreeMap<Who, Health>,
    /// As last said.
    said: Standing,
    /// As it is, and since when.
    now: Standing,
    since: Time,
}

#[derive(Debug, Default)]
struct Dependant {
    needs: BTreeMap<Arc<str>, bool>,
    notices: VecDeque<Notice>,
    seq: u64,
}

/// Who needs what, and how it stands.
#[derive(Debug, Default)]
pub struct Requirements {
    services: BTreeMap<Arc<str>, Followed>,
    dependants: BTreeMap<String, Dependant>,
    refused: u64,
}

impl Requirements {
    /// Nobody needs anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a dependant requires, from now on; `true` is optional. What is new is told at once as
    /// it stands; what it said before stays said.
    pub fn need<'a>(&mut self, dependant: &str, needs: impl Iterator<Item = (&'a str, bool)>) {
        let full = self.dependants.len() >= DEPENDANTS_MAX;
        if full && !self.dependants.contains_key(dependant) {
            self.refused += 1;
            return;
        }
        let entry = self.dependants.entry(dependant.into()).or_default();
        let needs: BTreeMap<Arc<str>, bool> =
            needs.map(|(service, optional)| (service.into(), optional)).collect();
        for (service, optional) in &needs {
            if entry.needs.get(service) != Some(optional) {
                let standing = self.services.get(service).map(|it| it.said).unwrap_or_default();
                entry.tell(service, standing, *optional);
            }
        }
        entry.needs = needs;
    }

    /// An instance says whether it takes work.
    pub fn instance(&mut self, now: Time, service: &str, key: impl Into<Who>, takes: bool) {
        self.stands(now, service, key, if takes { Health::Passing } else { Health::Critical });
    }

    /// How an instance stands: critical takes no work, a warning makes its service degraded.
    pub fn stands(&mut self, now: Time, service: &str, who: impl Into<Who>, health: Health) {
        let full = self.services.len() >= SERVICES_MAX;
        if full && !self.services.contains_key(service) {
            self.refused += 1;
            return;
        }
        let entry = self.services.entry(service.into()).or_default();
        entry.instances.insert(who.into(), health);
        entry.judge(now);
        self.tick(now);
    }

    /// An instance is gone.
    pub fn gone(&mut self, now: Time, service: &str, key: impl Into<Who>) {
        if let Some(entry) = self.services.get_mut(service) {
            entry.instances.remove(&key.into());
            entry.judge(now);
        }
        self.tick(now);
    }

    /// Says what has been so for long enough (B-30).
    pub fn tick(&mut self, now: Time) {
        for (service, entry) in &mut self.services {
            let first = entry.said == Standing::Missing;
            let settled = first || now.since(entry.since) >= SETTLE;
            if entry.now == entry.said || !settled {
                continue;
            }
            entry.said = entry.now;
            for dependant in self.dependants.values_mut() {
                if let Some(optional) = dependant.needs.get(service).copied() {
                    dependant.tell(service, entry.now, optional);
                }
            }
        }
    }

    /// When [`tick`](Requirements::tick) is due.
    pub fn next_tick(&self) -> Time {
        let unsaid = self.services.values().filter(|entry| entry.now != entry.said);
        unsaid.map(|entry| entry.since + SETTLE).min().unwrap_or(Time::NEVER)
    }

    /// The notices of a dependant after number `seq`, and how many of them are no longer kept
    /// (B-31).
    pub fn since(&self, dependant: &str, seq: u64) -> (u64, Vec<Notice>) {
        let Some(entry) = self.dependants.get(dependant) else { return (0, Vec::new()) };
        let oldest = entry.seq - entry.notices.len() as u64;
        let lost = oldest.saturating_sub(seq);
        (lost, entry.notices.iter().filter(|notice| notice.seq > seq).cloned().collect())
    }

    /// How a service stands, as last said.
    pub fn standing(&self, service: &str) -> Standing {
        self.services.get(service).map(|entry| entry.said).unwrap_or_default()
    }

    /// Whether everything that a dependant cannot do without is up or degraded (B-32).
    pub fn is_ready(&self, dependant: &str) -> bool {
        self.missing(dependant).is_empty()
    }

    /// What a dependant lacks and cannot do without.
    pub fn missing(&self, dependant: &str) -> Vec<Arc<str>> {
        let Some(entry) = self.dependants.get(dependant) else { return Vec::new() };
        let lacks = |service: &str| self.standing(service) < Standing::Degraded;
        let each = entry.needs.iter().filter(|(service, optional)| !**optional && lacks(service));
        each.map(|(service, _)| Arc::clone(service)).collect()
    }

    /// Names of the dependants.
    pub fn dependants(&self) -> impl Iterator<Item = &str> {
        self.dependants.keys().map(String::as_str)
    }

    /// Each service: how it stands, and how many instances take work of how many.
    pub fn services(&self) -> impl Iterator<Item = (&Arc<str>, Standing, usize, usize)> {
        self.services.iter().map(|(service, entry)| {
            let takes = entry.instances.values().filter(|it| **it > Health::Critical).count();
            (service, entry.said, takes, entry.instances.len())
        })
    }

    /// All services that somebody needs and nobody has ever offered.
    pub fn never_offered(&self) -> BTreeSet<Arc<str>> {
        let needs = self.dependants.values().flat_map(|dependant| dependant.needs.keys());
        let missing = needs.filter(|service| self.standing(service) == Standing::Missing);
        missing.cloned().collect()
    }

    /// What was beyond a limit.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

impl Followed {
    fn judge(&mut self, now: Time) {
        let at_least = |health| self.instances.values().filter(|it| **it >= health).count();
        let standing = match (at_least(Health::Warning), at_least(Health::Passing)) {
            (0, _) => Standing::Down,
            (_, n) if n == self.instances.len() => Standing::Up,
            _ => Standing::Degraded,
        };
        if standing != self.now {
            (self.now, self.since) = (standing, now);
        }
    }
}

impl Dependant {
    fn tell(&mut self, service: &Arc<str>, standing: Standing, optional: bool) {
        self.seq += 1;
        if self.notices.len() >= NOTICES_MAX {
            self.notices.pop_front();
        }
        let service = Arc::clone(service);
        self.notices.push_back(Notice { seq: self.seq, service, standing, optional });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::EndpointId;

    fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    fn key(n: u8) -> EndpointKey {
        EndpointKey { id: EndpointId([n; 16]), incarnation: 1 }
    }

    fn told(requirements: &Requirements, after: u64) -> Vec<(u64, Standing)> {
        let (_, notices) = requirements.since("portal", after);
        notices.iter().map(|notice| (notice.seq, notice.standing)).collect()
    }

    fn needs(requirements: &mut Requirements) {
        requirements.need("portal", [("log", true), ("grading", false)].into_iter());
    }

    #[test] // B-30 DG-12
    fn up_degraded_and_down_are_told_once_and_in_order() {
        let mut it = Requirements::new();
        needs(&mut it);
        assert_eq!(told(&it, 0), [(1, Standing::Missing), (2, Standing::Missing)]);
        it.instance(at(0), "grading", key(1), true);
        it.instance(at(1), "grading", key(2), true);
        it.instance(at(1_000), "grading", key(2), false);
        it.tick(at(1_500));
        it.gone(at(2_000), "grading", key(1));
        it.tick(at(2_500));
        it.tick(at(9_000));
        let expected = [(3, Standing::Up), (4, Standing::Degraded), (5, Standing::Down)];
        assert_eq!(told(&it, 2), expected);
    }

    #[test] // B-30 DG-11
    fn a_service_that_flaps_is_not_announced_each_time() {
        let mut it = Requirements::new();
        needs(&mut it);
        it.instance(at(0), "grading", key(1), true);
        for n in 1..=20 {
            it.instance(at(n * 100), "grading", key(1), n % 2 == 0);
        }
        assert_eq!(told(&it, 2), [(3, Standing::Up)]);
        it.instance(at(2_100), "grading", key(1), false);
        assert!(it.next_tick() <= at(2_600));
        it.tick(at(2_600));
        assert_eq!(told(&it, 3), [(4, Standing::Down)]);
    }

    #[test] // B-31 DG-12
    fn one_who_was_away_gets_what_it_missed_and_hears_of_what_is_no_longer_kept() {
        let mut it = Requirements::new();
        needs(&mut it);
        // Away: nothing is asked for meanwhile, and it comes back under its name.
        for n in 0..2_000 {
            it.instance(at(n * 1_000), "grading", key(1), n % 2 == 0);
            it.tick(at(n * 1_000 + 500));
        }
        needs(&mut it);
        let (lost, notices) = it.since("portal", 2);
        assert_eq!((lost, notices.len()), (2_000 - 1_024, 1_024));
        assert!(notices.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1));
        assert_eq!(it.since("portal", 2_002), (0, vec![]));
    }

    #[test] // B-30 DG-12
    fn what_checks_find_counts_like_what_endpoints_say() {
        let mut it = Requirements::new();
        needs(&mut it);
        it.stands(at(0), "grading", "old-box", Health::Passing);
        it.stands(at(1_000), "grading", "old-box", Health::Warning);
        it.tick(at(1_500));
        it.instance(at(2_000), "grading", key(1), true);
        it.stands(at(3_000), "grading", "old-box", Health::Critical);
        it.gone(at(4_000), "grading", "old-box");
        it.tick(at(4_500));
        it.gone(at(5_000), "grading", key(1));
        it.tick(at(5_500));
        let expected =
            [(3, Standing::Up), (4, Standing::Degraded), (5, Standing::Up), (6, Standing::Down)];
        assert_eq!(told(&it, 2), expected);
    }

    #[test] // B-32 DG-2
    fn in_whatever_order_they_start_all_end_ready() {
        let mut it = Requirements::new();
        it.instance(at(0), "log", key(1), true);
        needs(&mut it);
        assert_eq!(it.missing("portal"), ["grading".into()]);
        assert_eq!(it.never_offered(), BTreeSet::from(["grading".into()]));
        it.instance(at(1), "grading", key(2), true);
        assert!(it.is_ready("portal"));
        // What is optional holds nobody up.
        it.gone(at(2), "log", key(1));
        it.tick(at(600));
        assert_eq!(it.standing("log"), Standing::Down);
        assert!(it.is_ready("portal"));
    }
}
