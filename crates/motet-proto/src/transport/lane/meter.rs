//! How fast a lane sends: one of its readers, the acker, acknowledges packets, and the controller
//! of sessions does with that what it always does (after pgmcc, SIGCOMM 2000).
//!
//! The acker is the reader with the largest rtt² · loss: the one that a flow of its own would be
//! slowest to. Two guards stand behind it: when others ask for much again the window is halved, and
//! an acker that says nothing is not waited for.

use crate::Time;
use crate::config::Congestion;
use crate::transport::congestion::{Acked, Controller, Lost};
use crate::transport::pacer::Pacer;
use crate::transport::rtt::Rtt;
use crate::transport::sent::{Outcome, Sent};
use crate::transport::session::controller;
use alloc::boxed::Box;
use core::time::Duration;
use motet_wire::frame::Ack;

/// An acker is not waited for longer than four probe timeouts, and at least this long.
const SILENCE_MIN: Duration = Duration::from_millis(200);
/// A lane's window is never halved below this many packets.
const CAP_MIN: u64 = 10;
/// Loss that counts where none was seen: so the round trip decides (parts per million).
const LOSS_MIN: u64 = 100;

/// How a reader compares with others as an acker: rtt² · loss (L-23).
pub fn score(srtt: Duration, loss_ppm: u64) -> u128 {
    let us = srtt.as_micros().max(1);
    us * us * u128::from(loss_ppm.max(LOSS_MIN))
}

/// The window and the clock of a lane.
#[derive(Debug)]
pub struct Meter {
    sent: Sent,
    rtt: Rtt,
    controller: Box<dyn Controller>,
    pacer: Pacer,
    mtu: u16,
    cap: u64,
    credit: (u64, u64),
    acker: Option<usize>,
    heard: Time,
    /// There was room and nothing to send.
    pub app_limited: bool,
    packets_lost: u64,
}

impl Meter {
    /// A lane of packets of at most `mtu` bytes. `credit`: bytes and packets that each reader takes
    /// in flight; `seed` for controllers that draw.
    pub fn new(now: Time, chosen: Congestion, mtu: u16, credit: (u64, u64), seed: u32) -> Self {
        Self {
            sent: Sent::new(),
            rtt: Rtt::new(),
            controller: controller(chosen, mtu, credit.0, seed),
            pacer: Pacer::new(now),
            mtu,
            cap: u64::MAX,
            credit,
            acker: None,
            heard: now,
            app_limited: true,
            packets_lost: 0,
        }
    }

    /// Who acknowledges.
    pub fn acker(&self) -> Option<usize> {
        self.acker
    }

    /// Another reader acknowledges from now on; `srtt` of its session. What the last one had not
    /// acknowledged is forgotten, not lost.
    pub fn elect(&mut self, now: Time, acker: Option<usize>, srtt: Duration) {
        if self.acker == acker {
            return;
        }
        self.acker = acker;
        self.sent = Sent::new();
        self.rtt = Rtt::new();
        self.rtt.update(srtt, Duration::ZERO);
        self.heard = now;
    }

    /// A reader joins that takes no more than this in flight.
    pub fn limit(&mut self, credit: (u64, u64)) {
        self.credit = (self.credit.0.min(credit.0), self.credit.1.min(credit.1));
    }

    /// The window in bytes.
    pub fn window(&self) -> u64 {
        self.controller.window().min(self.credit.0).min(self.cap)
    }

    /// May a packet leave? If not for the pacer, says when.
    pub fn may_send(&mut self, now: Time) -> Result<(), Option<Time>> {
        let (bytes, packets) = self.sent.in_flight();
        let size = u64::from(self.mtu);
        if packets > 0 && (bytes + size > self.window() || packets + 1 > self.credit.1) {
            return Err(None);
        }
        let srtt = self.rtt.srtt();
        let wait = match self.controller.pacing_rate() {
            Some(rate) => self.pacer.delay_at(now, srtt, rate, self.mtu, size),
            None => self.pacer.delay(now, srtt, self.window(), self.mtu, size),
        };
        wait.map_or(Ok(()), |at| Err(Some(at)))
    }

    /// A packet left. Only what an acker will hear of is in flight.
    pub fn on_sent(&mut self, now: Time, pn: u64, size: u32) {
        if self.acker.is_some() {
            if self.sent.in_flight().1 == 0 {
                self.heard = now;
            }
            self.sent.on_sent(now, pn, size, true);
        }
        self.pacer.on_sent(u64::from(size));
    }

    /// A LANE_ACK of the acker. False if it names what was never sent.
    pub fn on_ack(&mut self, now: Time, ack: &Ack<'_>, next_pn: u64) -> bool {
        if ack.largest >= next_pn {
            return false;
        }
        if ack.largest >= self.sent.next_pn() {
            return true; // it speaks of what its predecessor was asked about
        }
        let delay = Duration::from_micros(ack.delay_us.min(1_000_000));
        let outcome = self.sent.on_ack(now, ack, &mut self.rtt, delay);
        self.heard = now;
        self.settle(now, &outcome);
        true
    }

    fn settle(&mut self, now: Time, outcome: &Outcome) {
        self.packets_lost += outcome.lost_packets;
        if outcome.acked_bytes > 0 {
            self.controller.on_ack(&Acked {
                now,
                bytes: outcome.acked_bytes,
                sent_at: outcome.largest_acked_sent_at.unwrap_or(now),
                app_limited: self.app_limited,
                in_flight: self.sent.in_flight().0,
                rate: outcome.rate,
                rtt: &self.rtt,
            });
        }
        if outcome.lost_bytes > 0 {
            self.controller.on_congestion(&Lost {
                now,
                bytes: outcome.lost_bytes,
                sent_at: outcome.largest_lost_sent_at.unwrap_or(now),
                in_flight: outcome.largest_lost_in_flight,
                marked: false,
                persistent: outcome.persistent,
            });
        }
    }

    /// Packets that the acker did not get, since last taken.
    pub fn take_lost(&mut self) -> u64 {
        core::mem::take(&mut self.packets_lost)
    }

    /// Losses by time.
    pub fn on_time(&mut self, now: Time) {
        if self.sent.loss_deadline().is_some_and(|at| at <= now) {
            let outcome = self.sent.detect_lost(now, &self.rtt);
            self.settle(now, &outcome);
        }
    }

    /// True if the acker is not waited for any longer.
    pub fn is_forsaken(&self, now: Time) -> bool {
        self.acker.is_some() && now >= self.forsaken_at()
    }

    fn forsaken_at(&self) -> Time {
        if self.sent.in_flight().1 == 0 {
            return Time::NEVER;
        }
        self.heard + (self.rtt.pto(Duration::from_millis(5)) * 4).max(SILENCE_MIN)
    }

    /// When [`on_time`](Self::on_time) or [`is_forsaken`](Self::is_forsaken) has something.
    pub fn deadline(&self) -> Time {
        self.sent.loss_deadline().unwrap_or(Time::NEVER).min(self.forsaken_at())
    }

    /// Readers ask for more than a tenth of what is sent: half as much (L-24).
    pub fn halve(&mut self) {
        self.cap = (self.window() / 2).max(CAP_MIN * u64::from(self.mtu));
    }

    /// A second without that: a quarter more, until the cap no longer matters.
    pub fn relax(&mut self) {
        if self.cap != u64::MAX {
            let more = self.cap.saturating_add(self.cap / 4);
            self.cap = if more >= self.controller.window() { u64::MAX } else { more };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn meter() -> Meter {
        Meter::new(Time::ZERO, Congestion::Cubic, 1_400, (64_000, 1_024), 1)
    }

    #[test] // L-23
    fn the_acker_is_the_reader_with_the_largest_round_trip_squared_times_loss() {
        assert!(score(MS * 10, 10_000) > score(MS, 500_000));
        assert!(score(MS * 2, 0) > score(MS, 0), "without loss the round trip decides");
        assert!(score(MS, 20_000) > score(MS, 10_000));
    }

    #[test] // L-23
    fn an_acker_that_says_nothing_is_not_waited_for() {
        let mut meter = meter();
        meter.elect(Time::ZERO, Some(1), MS);
        let mut pn = 0;
        while meter.may_send(Time::ZERO + MS * 50).is_ok() && pn < 1_000 {
            meter.on_sent(Time::ZERO + MS * 50, pn, 1_400);
            pn += 1;
        }
        assert!(pn < 1_000, "nothing holds it back");
        let later = Time::ZERO + MS * 50 + SILENCE_MIN;
        assert!(!meter.is_forsaken(later - MS) && meter.is_forsaken(later));
        meter.elect(later, Some(2), MS);
        assert!(
            meter.may_send(later + MS * 50).is_ok(),
            "the next one begins with nothing in flight"
        );
    }

    #[test] // L-24
    fn halving_holds_until_it_was_calm_for_some_seconds() {
        let mut meter = meter();
        let before = meter.window();
        meter.halve();
        assert_eq!(meter.window(), (before / 2).max(14_000));
        for _ in 0..20 {
            meter.relax();
        }
        assert_eq!(meter.window(), before);
    }
}
