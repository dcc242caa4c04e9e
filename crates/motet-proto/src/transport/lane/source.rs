//! A lane at a reader: is it heard, how much of it is lost, and what to tell its writer.

use super::backoff::Backoff;
use super::keys::ReaderKeys;
use super::{ACTIVE_FOR, BEAT_ACTIVE, BEAT_IDLE};
use crate::Time;
use crate::transport::acks::{Acks, Asks};
use crate::transport::replay::Window;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// LANE_STATE is said so often at first: any of them may be lost.
const SAYS: u8 = 5;
/// So far apart.
const SAY_EVERY: Duration = Duration::from_millis(100);
/// And then so far, as long as there is something to say.
const SAY_SELDOM: Duration = Duration::from_secs(1);
/// Who was asked to acknowledge does so for this long; the writer asks again each second.
const ACKING_FOR: Duration = Duration::from_secs(3);
/// The pause of STATUS: at least this, and more in large groups (L-21).
const STATUS_MIN: Duration = Duration::from_millis(50);
/// Per reader of the group.
const STATUS_EACH: Duration = Duration::from_micros(500);
/// A group is not taken for larger: a false figure must not silence us.
const READERS_MAX: u64 = 16_384;
/// Nor for further away.
const GRTT_MAX: Duration = Duration::from_secs(2);

/// Where a reader stands with a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The host has not joined the group yet.
    Joining,
    /// No packet of full size has come yet.
    Proving,
    /// Messages come this way.
    Ready,
    /// Nothing comes any more.
    Lost,
    /// We cannot join.
    Refused,
}

/// A lane at a reader.
pub struct LaneSource<A> {
    /// Its writer, by place in the node's table of peers.
    pub peer: usize,
    /// Its number.
    pub lane: u16,
    /// The interface it comes in by.
    pub iface: u32,
    /// By IPv6.
    pub v6: bool,
    /// The group.
    pub group: SocketAddr,
    /// Size of a packet that proves that all sizes come through.
    pub mtu: u16,
    /// The streams it carries.
    pub streams: Vec<u32>,
    /// Keys.
    pub keys: ReaderKeys<A>,
    /// Packet numbers seen.
    pub replay: Window,
    /// Where we stand.
    pub state: State,
    /// When it was last heard.
    pub heard: Time,
    /// When it last brought messages.
    pub data_at: Time,
    /// When to say where we stand.
    pub say_at: Time,
    /// Acknowledgements, while we are asked for them.
    pub acks: Acks,
    acking_until: Time,
    /// The writer itself may be silent: not lost before this.
    doubt_until: Time,
    backoff: Backoff,
    readers: u64,
    says: u8,
    loss: Loss,
}

impl<A> LaneSource<A> {
    /// A lane that was just offered.
    pub fn new(
        now: Time,
        peer: usize,
        (lane, iface, group): (u16, u32, SocketAddr),
        mtu: u16,
        streams: Vec<u32>,
        keys: ReaderKeys<A>,
    ) -> Self {
        Self {
            peer,
            lane,
            iface,
            v6: group.is_ipv6(),
            group,
            mtu,
            streams,
            keys,
            replay: Window::new(),
            state: State::Joining,
            heard: now,
            data_at: Time::ZERO,
            say_at: Time::NEVER,
            acks: Acks::new(),
            acking_until: Time::ZERO,
            doubt_until: Time::ZERO,
            backoff: Backoff::new(1, Duration::from_millis(1)),
            readers: 1,
            says: 0,
            loss: Loss::default(),
        }
    }

    /// Moves to another state, which is then said.
    pub fn turn(&mut self, now: Time, state: State) {
        if self.state != state {
            self.state = state;
            let tells = matches!(state, State::Ready | State::Lost | State::Refused);
            (self.says, self.say_at) = if tells { (SAYS, now) } else { (0, Time::NEVER) };
        }
    }

    /// An authentic packet of `size` bytes that was not here before. True if it is the proof that
    /// the lane works (L-11).
    pub fn on_packet(&mut self, now: Time, pn: u64, size: usize, srtt: Duration) -> bool {
        self.heard = now;
        self.loss.on_packet(pn);
        if self.is_acking(now) {
            self.acks.on_packet(now, pn, Asks { eliciting: true, ..Asks::default() }, srtt);
        }
        let proof = size >= usize::from(self.mtu) || crate::planted::on("lane_ready_unproved");
        self.state == State::Proving && proof
    }

    /// A heartbeat told of the group.
    pub fn on_group(&mut self, readers_log2: u8, grtt_us: u64) {
        let readers = (1_u64 << readers_log2.min(40)).min(READERS_MAX);
        let grtt = Duration::from_micros(grtt_us).min(GRTT_MAX);
        self.readers = readers;
        self.backoff = Backoff::new(readers, grtt);
    }

    /// When to ask for what a packet shows to be missing; `u` from 0 to 1.
    pub fn wait(&self, u: f64) -> Duration {
        self.backoff.wait(u)
    }

    /// How far apart STATUS is; `u` from 0 to 1 spreads those of many readers.
    pub fn pace(&self, u: f64) -> Duration {
        let each = STATUS_EACH * u32::try_from(self.readers).unwrap_or(u32::MAX);
        STATUS_MIN.max(each).mul_f64(0.75 + u / 2.0)
    }

    /// We are the ones who acknowledge, for a while.
    pub fn on_asked_to_ack(&mut self, now: Time) {
        if !self.is_acking(now) {
            self.acks = Acks::new();
        }
        self.acking_until = now + ACKING_FOR;
    }

    /// True while we acknowledge.
    pub fn is_acking(&self, now: Time) -> bool {
        now < self.acking_until
    }

    /// When the silence has lasted too long (L-32).
    pub fn silent_at(&self) -> Time {
        if self.state != State::Ready {
            return Time::NEVER;
        }
        let busy = self.heard.since(self.data_at) < ACTIVE_FOR;
        let every = if busy { BEAT_ACTIVE } else { BEAT_IDLE };
        (self.heard + every * 7 / 2).max(self.doubt_until)
    }

    /// It is not known whether the writer itself is silent: looked at again then.
    pub fn doubt(&mut self, until: Time) {
        self.doubt_until = until;
    }

    /// What to say now, if it is time: 0 ready, 1 lost, 2 refused, and the loss in ppm.
    pub fn say(&mut self, now: Time) -> Option<(u8, u64)> {
        if self.say_at > now {
            return None;
        }
        let state = match self.state {
            State::Ready => 0,
            State::Lost => 1,
            State::Refused => 2,
            State::Joining | State::Proving => {
                self.say_at = Time::NEVER;
                return None;
            }
        };
        let loss = self.loss.measure();
        self.says = self.says.saturating_sub(1);
        let often = self.says > 0;
        let seldom = SAY_SELDOM.max(Duration::from_millis(self.readers));
        // A lane without messages needs no reports.
        let idle = self.state == State::Ready && now.since(self.data_at) > ACTIVE_FOR;
        self.say_at = match (often, idle) {
            (true, _) => now + SAY_EVERY,
            (false, true) => Time::NEVER,
            (false, false) => now + seldom,
        };
        Some((state, loss))
    }

    /// Messages came: reports go on if they had ended.
    pub fn on_data(&mut self, now: Time) {
        self.data_at = now;
        if self.state == State::Ready && self.say_at == Time::NEVER {
            self.say_at = now + SAY_SELDOM;
        }
    }

    /// Loss as measured, parts per million.
    pub fn loss_ppm(&self) -> u64 {
        self.loss.ppm
    }

    /// When the source needs attention.
    pub fn deadline(&self, now: Time) -> Time {
        let acks = if self.is_acking(now) { self.acks.deadline() } else { None };
        self.say_at.min(self.silent_at()).min(acks.unwrap_or(Time::NEVER))
    }
}

/// Packets lost, smoothed over reports.
#[derive(Clone, Copy, Debug, Default)]
struct Loss {
    from: Option<u64>,
    largest: u64,
    got: u64,
    ppm: u64,
}

impl Loss {
    fn on_packet(&mut self, pn: u64) {
        self.from.get_or_insert(pn);
        self.largest = self.largest.max(pn);
        self.got += 1;
    }

    /// Since the last call, weighed with what was before.
    fn measure(&mut self) -> u64 {
        let Some(from) = self.from else { return self.ppm };
        let span = (self.largest + 1).saturating_sub(from);
        if span >= 20 {
            let lost = span.saturating_sub(self.got);
            let fresh = u64::try_from(u128::from(lost) * 1_000_000 / u128::from(span));
            self.ppm = (self.ppm + fresh.unwrap_or(1_000_000)) / 2;
            *self = Self { from: Some(self.largest + 1), got: 0, ..*self };
        }
        self.ppm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_of_a_tenth_is_found_and_a_late_packet_is_none() {
        let mut loss = Loss::default();
        for round in 0..8 {
            for pn in round * 100..(round + 1) * 100 {
                if pn % 10 != 3 {
                    loss.on_packet(pn);
                }
            }
            loss.measure();
        }
        assert!((95_000..=101_000).contains(&loss.ppm), "{}", loss.ppm);
        let mut late = Loss::default();
        (0..50).for_each(|n| late.on_packet(n ^ 1));
        assert_eq!(late.measure(), 0);
    }
}
