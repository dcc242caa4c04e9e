//! The floor of windows on near paths.
//!
//! Where a round trip takes less than 1 ms, the path holds a few packets and the receiver's buffer
//! is the limit: the window is at least the credit that it grants, whatever is lost. Unless the
//! path drops what it is sent: the buffer of a switch may be smaller than the receiver's (S-23).
//!
//! | a round, of at least 256 packets' worth | the floor |
//! |---|---|
//! | more than 1/8 lost | halved: that is no chance, the path is full |
//! | else | 1/64 of the credit more, up to all of it |

use core::time::Duration;

use super::{Acked, Lost};
use crate::time::Time;

/// Below this minimum round trip the floor holds.
const NEAR: Duration = Duration::from_millis(1);
/// A round of fewer packets says little: of 256 with 5 % lost by chance, 1/8 is five deviations off.
const PACKETS: u64 = 256;
/// One in so many may be lost.
const PART: u64 = 8;
/// A part in so many of the credit is gained back in a round.
const STEP: u64 = 64;

/// The floor and what is counted for it.
#[derive(Clone, Copy, Debug)]
pub struct Near {
    near: bool,
    credit: u64,
    floor: u64,
    acked: u64,
    lost: u64,
    /// When this round began: packets sent before it belong to the one before.
    since: Time,
}

impl Near {
    /// `credit`: what the receiver grants, bytes.
    pub fn new(credit: u64) -> Self {
        Self { near: false, credit, floor: credit, acked: 0, lost: 0, since: Time::ZERO }
    }

    /// The receiver grants this much.
    pub fn set(&mut self, credit: u64) {
        (self.credit, self.floor) = (credit, credit);
    }

    /// The floor now, bytes; 0 on paths that are not near.
    pub fn floor(&self) -> u64 {
        if self.near { self.floor } else { 0 }
    }

    /// Something arrived. `mtu`: bytes of a full packet.
    pub fn on_ack(&mut self, ack: &Acked<'_>, mtu: u16) {
        self.near = ack.rtt.has_sample() && ack.rtt.min() < NEAR;
        self.acked += ack.bytes;
        let all = self.acked + self.lost;
        if ack.sent_at < self.since || all < PACKETS * u64::from(mtu) {
            return;
        }
        let least = PACKETS / 16 * u64::from(mtu);
        self.floor =
            if self.lost * PART > all { self.floor / 2 } else { self.floor + self.credit / STEP };
        self.floor = self.floor.max(least).min(self.credit);
        (self.acked, self.lost, self.since) = (0, 0, ack.now);
    }

    /// Something was lost.
    pub fn on_lost(&mut self, lost: &Lost) {
        self.lost += lost.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::rtt::Rtt;

    const MTU: u16 = 1_000;
    const CREDIT: u64 = 1 << 20;

    /// Rounds of 300 packets of which `lost` are lost; the floor after each.
    fn rounds(near: &mut Near, n: u64, lost: u64) -> Vec<u64> {
        let mut rtt = Rtt::new();
        rtt.update(Duration::from_micros(200), Duration::ZERO);
        let mut floors = Vec::new();
        for _ in 0..n {
            let now = near.since + Duration::from_millis(1);
            let loss = Lost {
                now,
                bytes: lost * 1_000,
                sent_at: now,
                in_flight: 0,
                marked: false,
                persistent: false,
            };
            near.on_lost(&loss);
            let bytes = (300 - lost) * 1_000;
            let (in_flight, rate, app_limited) = (0, None, false);
            let ack = Acked { now, bytes, sent_at: now, app_limited, in_flight, rate, rtt: &rtt };
            near.on_ack(&ack, MTU);
            floors.push(near.floor());
        }
        floors
    }

    #[test] // S-23
    fn chance_losses_leave_the_floor_at_the_credit() {
        assert_eq!(rounds(&mut Near::new(CREDIT), 5, 30), [CREDIT; 5]);
    }

    #[test] // S-23
    fn a_path_that_drops_what_it_is_sent_halves_the_floor_and_gets_it_back_slowly() {
        let mut near = Near::new(CREDIT);
        assert_eq!(rounds(&mut near, 2, 100), [CREDIT / 2, CREDIT / 4]);
        assert_eq!(rounds(&mut near, 1, 0), [CREDIT / 4 + CREDIT / 64]);
        assert_eq!(rounds(&mut near, 100, 0).last(), Some(&CREDIT));
        assert_eq!(rounds(&mut near, 100, 200).last(), Some(&16_000), "never nothing");
    }
}
