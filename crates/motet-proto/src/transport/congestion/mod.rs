//! How many bytes may be in flight, and how fast they leave: a seam with several fillings.
//!
//! | filling | for |
//! |---|---|
//! | [`Cubic`] | every path; loss and CE marks are congestion (RFC 9438) |
//! | [`Model`] | paths that lose packets without being full: what the path delivers, and how long it takes, decide (draft-ietf-ccwg-bbr) |
//! | [`Fixed`] | tests |
//!
//! Both keep a floor of the peer's credit on near paths ([`Near`]). The shape of the trait follows
//! quinn-proto's (MIT/Apache-2.0).
//!
//! **Not here.** The peer's session credit, which caps every window; what counts as lost
//! ([`sent`](super::sent)); spacing ([`pacer`](super::pacer)).

mod cubic;
mod model;
mod near;
#[cfg(test)]
mod tests;

pub use cubic::Cubic;
pub use model::Model;
pub use near::Near;

use core::fmt::Debug;

use super::delivery::Rate;
use super::rtt::Rtt;
use crate::time::Time;

/// What an ACK brought.
#[derive(Clone, Copy, Debug)]
pub struct Acked<'a> {
    /// When.
    pub now: Time,
    /// Bytes that it newly acknowledges.
    pub bytes: u64,
    /// When the largest packet number newly acknowledged left.
    pub sent_at: Time,
    /// Before this ACK there was room in the window and nothing to send, so it need not grow. Data
    /// held back by pacing is something to send (RFC 9002 §7.8).
    pub app_limited: bool,
    /// Bytes in flight after it.
    pub in_flight: u64,
    /// What the path delivered since that packet left; `None` if that says nothing.
    pub rate: Option<Rate>,
    /// The round trip, this ACK's sample included.
    pub rtt: &'a Rtt,
}

/// What was lost or marked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lost {
    /// When it was noticed.
    pub now: Time,
    /// Bytes lost.
    pub bytes: u64,
    /// The newest of these packets left then.
    pub sent_at: Time,
    /// Bytes in flight when that one left, itself included.
    pub in_flight: u64,
    /// Packets arrived with the mark Congestion Experienced.
    pub marked: bool,
    /// Nothing at all arrived for three probe timeouts (RFC 9002 §7.6).
    pub persistent: bool,
}

/// Decides the window of one path. All sizes are bytes of UDP payload.
pub trait Controller: Debug + Send {
    /// Something arrived.
    fn on_ack(&mut self, ack: &Acked<'_>);

    /// Packets were lost or marked. Of an ACK that tells of both, this comes second.
    fn on_congestion(&mut self, lost: &Lost);

    /// The window never falls below about `bytes`, the credit that the receiver grants, while the
    /// path's minimum round trip is under 1 ms: there its buffer is the limit ([`Near`]).
    fn set_floor(&mut self, bytes: u64);

    /// The largest packet of the path changed.
    fn on_mtu(&mut self, mtu: u16);

    /// Bytes that may be in flight.
    fn window(&self) -> u64;

    /// Bytes per second at which they leave; `None`: 1.25 windows per round trip.
    fn pacing_rate(&self) -> Option<u64> {
        None
    }

    /// For logs and counters.
    fn name(&self) -> &'static str;
}

/// A window that never moves, for tests.
#[derive(Clone, Copy, Debug)]
pub struct Fixed(
    /// The window, bytes.
    pub u64,
);

impl Controller for Fixed {
    fn on_ack(&mut self, _: &Acked<'_>) {}
    fn on_congestion(&mut self, _: &Lost) {}
    fn set_floor(&mut self, _: u64) {}
    fn on_mtu(&mut self, _: u16) {}
    fn window(&self) -> u64 {
        self.0
    }
    fn name(&self) -> &'static str {
        "fixed"
    }
}
