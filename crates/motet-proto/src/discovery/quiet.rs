//! Two questions about silence: has discovery settled, and does multicast come back to us?

use super::outbox::{Action, Outbox};
use crate::Time;
use crate::events::Event;
use crate::host::InterfaceInfo;
use alloc::collections::BTreeMap;
use core::time::Duration;

/// Discovery has settled after so long without a new peer or interest (§2.15) …
const QUIET: Duration = Duration::from_millis(300);
/// … and so long after the start whatever happens.
const SETTLED_AT_MOST: Duration = Duration::from_secs(1);
/// A copy of our own multicast beacons must come back within this.
const ECHO_WITHIN: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Settling {
    latest: Time,
    /// When it is quiet enough; [`Time::NEVER`] once that was said.
    at: Time,
    pub(super) done: bool,
}

impl Settling {
    pub(super) fn new(now: Time) -> Self {
        Self { latest: now + SETTLED_AT_MOST, at: now + QUIET, done: false }
    }

    pub(super) fn news(&mut self, now: Time) {
        if !self.done {
            self.at = (now + QUIET).min(self.latest); // D-25
        }
    }

    pub(super) fn on_timeout(&mut self, now: Time, out: &mut Outbox) {
        if self.at <= now {
            (self.at, self.done) = (Time::NEVER, true);
            out.push(Action::Event(Event::Settled));
        }
    }

    pub(super) fn deadline(&self) -> Time {
        self.at
    }
}

/// Interfaces with a multicast socket, and when they are found to be deaf: [`Time::NEVER`] once a
/// copy has come back or silence was told of.
#[derive(Default, Debug)]
pub(super) struct Echo(BTreeMap<u32, Time>);

impl Echo {
    pub(super) fn interfaces(&mut self, now: Time, interfaces: &[InterfaceInfo]) {
        let sockets = interfaces.iter().filter(|face| face.multicast != (false, false));
        let judged = sockets.map(|face| {
            (face.index, self.0.get(&face.index).copied().unwrap_or(now + ECHO_WITHIN))
        });
        self.0 = judged.collect();
    }

    pub(super) fn heard(&mut self, iface: u32) {
        if let Some(at) = self.0.get_mut(&iface) {
            *at = Time::NEVER;
        }
    }

    pub(super) fn on_timeout(&mut self, now: Time, out: &mut Outbox) {
        for (iface, at) in self.0.iter_mut().filter(|(_, at)| **at <= now) {
            *at = Time::NEVER;
            out.push(Action::Event(Event::NoMulticast { iface: *iface })); // D-26
        }
    }

    pub(super) fn deadline(&self) -> Time {
        self.0.values().copied().min().unwrap_or(Time::NEVER)
    }
}
