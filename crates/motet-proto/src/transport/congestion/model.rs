//! A model-based controller: BBR, third version, after draft-ietf-ccwg-bbr ("the draft"; its names of
//! parameters stand beside their values).
//!
//! What the path delivers (a maximum over the last two probing cycles) and how long it takes (a
//! minimum over 10 s) say how much it holds; that much is kept in flight, and from time to time a
//! little more, to see whether there is more. Loss is a guard and not the signal (S-25).
//!
//! | state | pacing × | until |
//! |---|---|---|
//! | startup | 2.77 | three rounds brought no quarter more, or the path is full |
//! | drain | 0.5 | the queue made at startup is gone |
//! | down | 0.9 | what is in flight is what the path holds |
//! | cruise | 1 | 2 to 3 s passed, or 62 rounds |
//! | refill | 1 | one round |
//! | up | 1.25 | three rounds brought no quarter more, or the path is full |
//! | probe RTT | 1, half the window | 200 ms and a round; every 5 s without a new minimum |
//!
//! **Where it differs from the draft.** There a round that loses more than 2 % is a full path,
//! whatever else is seen; a flow that loses 5 % by chance would end every probe at once. Here it must
//! also show a queue, a smallest round trip of 9/8 of the minimum; 1/8 lost is enough by itself, for
//! paths without a buffer. What is in flight is never held below what the path holds by the
//! estimate. ACK aggregation is bounded by S-15 and gets an allowance instead of an estimate. And the
//! window of a path in steady use is a quarter more than the path and that allowance, not twice the
//! path: with two paths each, two flows stand in a queue in the shares that they came with, and what
//! is the same for both, the allowance, is what moves them towards halves.

#[cfg(test)]
mod tests;

use core::time::Duration;

use super::{Acked, Controller, Lost, Near};
use crate::time::Time;

/// Gains of the rate: StartupPacingGain, DrainPacingGain, and those of ProbeBW_DOWN and _UP.
const STARTUP_PACING: f64 = 2.77;
const DRAIN_PACING: f64 = 0.5;
const DOWN_PACING: f64 = 0.9;
const UP_PACING: f64 = 1.25;
/// Gains of the window: DefaultCwndGain, then ours (see above), then ProbeRTTCwndGain.
const STARTUP_WINDOW: f64 = 2.0;
const CRUISE_WINDOW: f64 = 1.25;
const UP_WINDOW: f64 = 1.5;
const PROBE_RTT_WINDOW: f64 = 0.5;
/// Pacing stays so much below the estimate (PacingMarginPercent).
const MARGIN: f64 = 0.99;
/// Of a round more than this lost is too much (LossThresh), if a queue is seen.
const LOSS: f64 = 0.02;
/// This much is too much without one.
const LOSS_SURELY: f64 = 0.125;
/// A round's smallest round trip beyond so many minima is a queue.
const QUEUE: f64 = 1.125;
/// Packets lost in a round of startup before that means anything (StartupFullLossCnt).
const STARTUP_LOST: u64 = 6;
/// Multiplicative decrease (Beta), and what is left free for others while cruising (Headroom).
const BETA: f64 = 0.7;
const HEADROOM: f64 = 0.85;
/// No quarter more in three rounds (exit from Startup on a plateau).
const FULL_GROWTH: f64 = 1.25;
const FULL_ROUNDS: u32 = 3;
/// Time scale of probing, set for coexistence with Reno and CUBIC: again after this long, and up to 1 s more by chance, or so many rounds.
const PROBE_AFTER: Duration = Duration::from_secs(2);
const PROBE_ROUNDS: u64 = 62;
/// MinRTTFilterLen, ProbeRTTInterval, ProbeRTTDuration.
const MIN_RTT_FOR: Duration = Duration::from_secs(10);
const PROBE_RTT_EVERY: Duration = Duration::from_secs(5);
const PROBE_RTT_FOR: Duration = Duration::from_millis(200);
/// MinPipeCwnd: packets in the smallest window; RFC 9002 §7.2: in the first one.
const MIN_PACKETS: u64 = 4;
const INITIAL_PACKETS: u64 = 10;
/// Packets that one ACK may be late for (S-15).
const ACK_PACKETS: u64 = 10;
/// Send quantum: what leaves at once is 1 ms of rate, 64 KiB at most; three such are allowed for.
const QUANTUM_MAX: u64 = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

/// The controller of the draft.
#[derive(Clone, Debug)]
pub struct Model {
    mtu: u16,
    near: Near,
    state: State,
    cwnd: u64,
    pacing: u64,
    /// Highest delivery rates of the probing cycle before and of this one, bytes/s.
    rates: [u64; 2],
    /// Short-term bounds after a full round outside of probing; lifted by the next refill.
    rate_lo: u64,
    inflight_lo: u64,
    /// More than this in flight was too much.
    inflight_hi: u64,
    min_rtt: Duration,
    min_rtt_at: Time,
    probe_min: Duration,
    probe_min_at: Time,
    round: Round,
    /// The best rate of startup, and for how many rounds it has been.
    full: (u64, u32),
    filled: bool,
    /// When this state began, and how many rounds it has lasted.
    since: Time,
    rounds: u64,
    /// Rounds since the last probe, when it was, and how long to wait for the next.
    cycle_rounds: u64,
    cycle_at: Time,
    wait: Duration,
    chance: u32,
    /// What is in flight has fallen far enough for a new minimum: since then.
    low_since: Option<Time>,
    cwnd_before: u64,
}

/// What one round trip brought.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// It ends when a packet that left after so much was delivered is acknowledged.
    ends_at: u64,
    acked: u64,
    lost: u64,
    marked: bool,
    rtt: Duration,
    /// Highest rate seen.
    rate: u64,
}

impl Round {
    fn from(delivered: u64) -> Self {
        let rtt = Duration::MAX;
        Self { ends_at: delivered, acked: 0, lost: 0, marked: false, rtt, rate: 0 }
    }
}

impl Model {
    /// Ten packets of `mtu` bytes; `floor` as in [`set_floor`](Controller::set_floor). `seed`:
    /// two controllers that share a path should not probe at one time.
    pub fn new(mtu: u16, floor: u64, seed: u32) -> Self {
        Self {
            mtu,
            near: Near::new(floor),
            state: State::Startup,
            cwnd: INITIAL_PACKETS * u64::from(mtu),
            pacing: 0,
            rates: [0; 2],
            rate_lo: u64::MAX,
            inflight_lo: u64::MAX,
            inflight_hi: u64::MAX,
            min_rtt: Duration::MAX,
            min_rtt_at: Time::ZERO,
            probe_min: Duration::MAX,
            probe_min_at: Time::ZERO,
            round: Round::from(0),
            full: (0, 0),
            filled: false,
            since: Time::ZERO,
            rounds: 0,
            cycle_rounds: 0,
            cycle_at: Time::ZERO,
            wait: PROBE_AFTER,
            chance: seed | 1,
            low_since: None,
            cwnd_before: 0,
        }
    }

    fn packets(&self, n: u64) -> u64 {
        n * u64::from(self.mtu)
    }

    /// The path's rate by the filter, bytes/s.
    fn max_rate(&self) -> u64 {
        self.rates[0].max(self.rates[1])
    }

    fn rate(&self) -> u64 {
        self.max_rate().min(self.rate_lo)
    }

    /// What `gain` times a path of this rate holds.
    fn holds(&self, rate: u64, gain: f64) -> u64 {
        if self.min_rtt == Duration::MAX {
            return self.packets(INITIAL_PACKETS);
        }
        (rate as f64 * self.min_rtt.as_secs_f64() * gain) as u64
    }

    fn bdp(&self) -> u64 {
        self.holds(self.rate(), 1.0)
    }

    /// Room for what is sent at once and acknowledged late.
    fn allowance(&self) -> u64 {
        let quantum = (self.pacing / 1_000).min(QUANTUM_MAX).max(self.packets(2));
        3 * quantum + self.packets(ACK_PACKETS)
    }

    fn with_headroom(&self) -> u64 {
        let hi = (self.inflight_hi as f64 * HEADROOM) as u64;
        hi.max(self.bdp()).max(self.packets(MIN_PACKETS))
    }

    fn pacing_gain(&self) -> f64 {
        match self.state {
            State::Startup => STARTUP_PACING,
            State::Drain => DRAIN_PACING,
            State::Down => DOWN_PACING,
            State::Up => UP_PACING,
            State::Cruise | State::Refill | State::ProbeRtt => 1.0,
        }
    }

    fn enter(&mut self, now: Time, state: State) {
        (self.state, self.since, self.rounds) = (state, now, 0);
        match state {
            State::Down => {
                self.chance ^= self.chance << 13;
                self.chance ^= self.chance >> 17;
                self.chance ^= self.chance << 5;
                self.wait = PROBE_AFTER + Duration::from_millis(u64::from(self.chance % 1_000));
                (self.cycle_at, self.cycle_rounds) = (now, 0);
            }
            State::Refill => {
                self.rates = [self.rates[1], 0];
                (self.rate_lo, self.inflight_lo) = (u64::MAX, u64::MAX);
            }
            State::Up => self.full = (self.max_rate(), 0),
            State::ProbeRtt => (self.low_since, self.cwnd_before) = (None, self.cwnd),
            State::Startup | State::Drain | State::Cruise => {}
        }
    }

    /// The round that is under way lost too much of what was sent in it.
    fn too_much(&self) -> bool {
        let Round { acked, lost, marked, rtt, .. } = self.round;
        let part = lost as f64 / (acked + lost).max(1) as f64;
        let queue = rtt != Duration::MAX && rtt.as_secs_f64() > self.min_rtt.as_secs_f64() * QUEUE;
        marked || (part > LOSS && queue) || part > LOSS_SURELY
    }

    fn measure(&mut self, ack: &Acked<'_>) -> bool {
        self.round.acked += ack.bytes;
        let Some(rate) = ack.rate else { return false };
        let per_second = rate.per_second();
        self.round.rtt = self.round.rtt.min(rate.rtt);
        self.round.rate = self.round.rate.max(per_second);
        if !rate.app_limited || per_second >= self.max_rate() {
            self.rates[1] = self.rates[1].max(per_second);
        }
        let now = ack.now;
        if rate.rtt <= self.probe_min || now.since(self.probe_min_at) > PROBE_RTT_EVERY {
            if rate.rtt > self.probe_min && self.state != State::ProbeRtt && !rate.app_limited {
                self.enter(now, State::ProbeRtt);
            }
            (self.probe_min, self.probe_min_at) = (rate.rtt, now);
        }
        if self.probe_min <= self.min_rtt || now.since(self.min_rtt_at) > MIN_RTT_FOR {
            (self.min_rtt, self.min_rtt_at) = (self.probe_min, self.probe_min_at);
        }
        rate.prior >= self.round.ends_at
    }

    /// The rate has been the same for three rounds, but for a quarter.
    fn no_growth(&mut self) -> bool {
        if self.max_rate() as f64 >= self.full.0 as f64 * FULL_GROWTH {
            self.full = (self.max_rate(), 0);
        } else {
            self.full.1 += 1;
        }
        self.full.1 >= FULL_ROUNDS
    }

    /// A round is over; `rate` is that of the last ACK.
    fn end_round(&mut self, now: Time, app_limited: bool) {
        self.rounds += 1;
        self.cycle_rounds += 1;
        let full = self.too_much();
        match self.state {
            State::Startup => {
                if full && self.round.lost >= self.packets(STARTUP_LOST) {
                    self.inflight_hi = self.bdp().max(self.round.acked);
                    self.filled = true;
                } else if !app_limited {
                    self.filled = self.no_growth();
                }
                if self.filled {
                    self.enter(now, State::Drain);
                }
            }
            State::Up => {
                let over = self.no_growth() || app_limited;
                if over {
                    self.enter(now, State::Down);
                }
            }
            State::Down | State::Cruise if full => {
                let rate = (self.rate() as f64 * BETA) as u64;
                self.rate_lo = self.round.rate.max(rate);
                let lo = (self.inflight_lo.min(self.cwnd) as f64 * BETA) as u64;
                self.inflight_lo = self.round.acked.max(lo);
            }
            _ => {}
        }
    }

    /// The states of probing.
    fn step(&mut self, ack: &Acked<'_>, round_over: bool) {
        let now = ack.now;
        match self.state {
            State::Startup | State::Up => {}
            State::Drain => {
                if ack.in_flight <= self.bdp() {
                    self.enter(now, State::Down);
                }
            }
            State::Down | State::Cruise => {
                let enough = self.bdp() / u64::from(self.mtu.max(1));
                if now.since(self.cycle_at) >= self.wait
                    || self.cycle_rounds >= PROBE_ROUNDS.min(enough).max(8)
                {
                    self.enter(now, State::Refill);
                } else if self.state == State::Down
                    && ack.in_flight <= self.with_headroom().min(self.bdp())
                {
                    self.enter_cruise(now);
                }
            }
            State::Refill => {
                if self.rounds > 0 && round_over {
                    self.enter(now, State::Up);
                }
            }
            State::ProbeRtt => self.step_probe_rtt(ack, round_over),
        }
        if self.state == State::Up
            && self.inflight_hi != u64::MAX
            && ack.in_flight + self.packets(2) >= self.inflight_hi
        {
            self.inflight_hi += ack.bytes;
        }
    }

    fn enter_cruise(&mut self, now: Time) {
        (self.state, self.since, self.rounds) = (State::Cruise, now, 0);
    }

    fn step_probe_rtt(&mut self, ack: &Acked<'_>, round_over: bool) {
        let low = self.probe_rtt_window();
        if self.low_since.is_none() && ack.in_flight <= low {
            (self.low_since, self.rounds) = (Some(ack.now), 0);
        } else if let Some(since) = self.low_since
            && ack.now.since(since) >= PROBE_RTT_FOR
            && (round_over || self.rounds > 0)
        {
            (self.min_rtt, self.min_rtt_at) = (self.probe_min, ack.now);
            self.probe_min_at = ack.now;
            self.cwnd = self.cwnd.max(self.cwnd_before);
            self.enter(ack.now, if self.filled { State::Down } else { State::Startup });
        }
    }

    fn probe_rtt_window(&self) -> u64 {
        self.holds(self.rate(), PROBE_RTT_WINDOW).max(self.packets(MIN_PACKETS))
    }

    /// The rate and the window that follow.
    fn control(&mut self, ack: &Acked<'_>) {
        let known = self.rate();
        let rate = if known > 0 {
            known as f64 * self.pacing_gain() * MARGIN
        } else {
            let srtt = ack.rtt.srtt().max(Duration::from_millis(1));
            self.packets(INITIAL_PACKETS) as f64 / srtt.as_secs_f64() * STARTUP_PACING
        } as u64;
        if self.filled || rate > self.pacing {
            self.pacing = rate;
        }
        let gain = match self.state {
            State::Startup | State::Drain => STARTUP_WINDOW,
            State::Up => UP_WINDOW,
            State::Down | State::Cruise | State::Refill | State::ProbeRtt => CRUISE_WINDOW,
        };
        let most = self.holds(known, gain) + self.allowance();
        if self.filled {
            self.cwnd = (self.cwnd + ack.bytes).min(most);
        } else if self.cwnd < most || known == 0 {
            self.cwnd += ack.bytes;
        }
        self.cwnd = self.cwnd.max(self.packets(MIN_PACKETS));
    }
}

impl Controller for Model {
    fn on_ack(&mut self, ack: &Acked<'_>) {
        self.near.on_ack(ack, self.mtu);
        let round_over = self.measure(ack);
        if round_over {
            self.end_round(ack.now, ack.rate.is_some_and(|rate| rate.app_limited));
        }
        self.step(ack, round_over);
        if round_over {
            self.round = Round::from(ack.rate.map_or(0, |rate| rate.total));
        }
        self.control(ack);
    }

    fn on_congestion(&mut self, lost: &Lost) {
        self.near.on_lost(lost);
        self.round.lost += lost.bytes;
        self.round.marked |= lost.marked;
        if self.state == State::Up && self.too_much() && self.rounds > 0 {
            let target = (self.bdp().min(self.cwnd) as f64 * BETA) as u64;
            self.inflight_hi = lost.in_flight.max(target);
            self.enter(lost.now, State::Down);
        }
        if lost.persistent {
            self.cwnd = self.packets(MIN_PACKETS);
        }
    }

    fn set_floor(&mut self, bytes: u64) {
        self.near.set(bytes);
    }

    fn on_mtu(&mut self, mtu: u16) {
        self.mtu = mtu;
        if !self.filled {
            self.cwnd = self.cwnd.max(self.packets(INITIAL_PACKETS));
        }
    }

    fn window(&self) -> u64 {
        let allowance = self.allowance();
        let cap = match self.state {
            State::Startup | State::Drain => u64::MAX,
            State::Cruise => self.with_headroom().saturating_add(allowance),
            State::Down | State::Refill | State::Up => {
                self.inflight_hi.max(self.bdp()).saturating_add(allowance)
            }
            State::ProbeRtt => self.probe_rtt_window(),
        };
        let lo = self.inflight_lo.max(self.bdp());
        let window = self.cwnd.min(cap).min(lo).max(self.packets(MIN_PACKETS));
        window.max(self.near.floor())
    }

    fn pacing_rate(&self) -> Option<u64> {
        (self.pacing > 0 && self.near.floor() == 0).then_some(self.pacing)
    }

    fn name(&self) -> &'static str {
        "model"
    }
}
