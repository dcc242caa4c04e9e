//! One check of a registered instance: when it is due, and what its results add up to.
//!
//! How it stands changes after [`rise`](CheckSpec::rise) results in a row that are better, or
//! [`fall`](CheckSpec::fall) that are worse (B-35): one that flaps stays where it is.

use alloc::string::String;
use core::time::Duration;

use super::registrations::clipped;
use crate::time::Time;

/// How an instance stands; worse is less.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Health {
    /// It takes no work.
    #[default]
    Critical,
    /// It takes work, and somebody should look.
    Warning,
    /// All is well.
    Passing,
}

impl Health {
    /// As one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Passing => "passing",
        }
    }

    /// From that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Critical, Self::Warning, Self::Passing].into_iter().find(|it| it.as_str() == word)
    }
}

/// What a check does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Probe {
    /// Nothing: the owner reports, at least once an interval.
    Ttl,
    /// Connects to HOST:PORT.
    Tcp(String),
    /// Asks for a page: 2xx passes, 429 warns.
    Http(String),
    /// Runs a program that the registry knows by this name: 0 passes, 1 warns.
    Command(String),
}

impl Probe {
    /// What it looks at.
    pub fn target(&self) -> &str {
        match self {
            Self::Ttl => "",
            Self::Tcp(target) | Self::Http(target) | Self::Command(target) => target,
        }
    }
}

/// How an instance is looked after.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckSpec {
    /// What is done.
    pub probe: Probe,
    /// How often, from start to start.
    pub interval: Duration,
    /// After this long it has failed.
    pub timeout: Duration,
    /// So many better results in a row are believed; 0 counts as 1.
    pub rise: u8,
    /// So many worse results in a row are believed; 0 counts as 1.
    pub fall: u8,
}

#[derive(Debug)]
pub(super) struct Check {
    pub(super) spec: CheckSpec,
    pub(super) health: Health,
    pub(super) reason: String,
    /// When it is made next; of one that is reported, when the report is overdue.
    next: Time,
    running: Option<u64>,
    better: u8,
    worse: u8,
}

impl Check {
    pub(super) fn new(now: Time, spec: &CheckSpec) -> Self {
        let reported = spec.probe == Probe::Ttl;
        Self {
            spec: spec.clone(),
            health: Health::Critical,
            reason: "not checked yet".into(),
            next: if reported { now + spec.interval } else { now },
            running: None,
            better: 0,
            worse: 0,
        }
    }

    /// When it is to be made; `None` while it runs, and if it is reported.
    pub(super) fn due(&self) -> Option<Time> {
        (self.spec.probe != Probe::Ttl && self.running.is_none()).then_some(self.next)
    }

    /// When a report is overdue.
    pub(super) fn overdue_at(&self) -> Option<Time> {
        (self.spec.probe == Probe::Ttl).then_some(self.next)
    }

    pub(super) fn begin(&mut self, now: Time, ticket: u64) {
        self.running = Some(ticket);
        self.next = now + self.spec.interval;
    }

    /// True if this was the run that it waited for.
    pub(super) fn end(&mut self, now: Time, ticket: u64, health: Health, text: &str) -> bool {
        if self.running != Some(ticket) {
            return false;
        }
        self.running = None;
        self.next = self.next.max(now);
        self.result(health, text);
        true
    }

    pub(super) fn reported(&mut self, now: Time, health: Health, text: &str) {
        self.next = now + self.spec.interval;
        self.result(health, text);
    }

    /// Counts a report that did not come as a critical one.
    pub(super) fn is_overdue(&mut self, now: Time) -> bool {
        let overdue = self.overdue_at().is_some_and(|at| at <= now);
        if overdue {
            self.next = now + self.spec.interval;
            self.result(Health::Critical, "no report came in time");
        }
        overdue
    }

    fn result(&mut self, health: Health, text: &str) {
        self.better = if health > self.health { self.better.saturating_add(1) } else { 0 };
        self.worse = if health < self.health { self.worse.saturating_add(1) } else { 0 };
        let undamped = crate::planted::on("registry_undamped");
        let believed =
            self.better >= self.spec.rise.max(1) || self.worse >= self.spec.fall.max(1) || undamped;
        if believed {
            (self.health, self.better, self.worse) = (health, 0, 0);
        }
        if believed || health == self.health {
            let text = if health == Health::Passing { "" } else { clipped(text) };
            self.reason = text.into();
        }
    }
}
