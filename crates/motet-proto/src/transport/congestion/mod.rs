//! How many bytes may be in flight: a seam with several fillings.
//!
//! | filling | for |
//! |---|---|
//! | [`Cubic`] | every path; loss and CE marks are congestion (RFC 9438) |
//! | [`Fixed`] | tests |
//!
//! A model-based one (delivery rate and minimum round trip, loss only as a guard) has its place
//! here. The shape of the trait follows quinn-proto's (MIT/Apache-2.0).
//!
//! **Not here.** The peer's session credit, which caps every window; what counts as lost
//! ([`sent`](super::sent)); spacing ([`pacer`](super::pacer)).

mod cubic;
#[cfg(test)]
mod tests;

pub use cubic::Cubic;

use core::fmt::Debug;

use super::rtt::Rtt;
use crate::time::Time;

/// Decides the window of one path. All sizes are bytes of UDP payload.
pub trait Controller: Debug + Send {
    /// `bytes` of ack-eliciting packets left.
    fn on_sent(&mut self, bytes: u64);

    /// `acked_bytes` arrived; the largest packet number newly acknowledged left at `sent_at`.
    /// `app_limited`: before this ACK there was room in the window and nothing to send, so it need
    /// not grow. Data held back by pacing is something to send (RFC 9002 §7.8).
    fn on_ack(&mut self, now: Time, acked_bytes: u64, sent_at: Time, rtt: &Rtt, app_limited: bool);

    /// Packets were lost or marked; the newest of them left at `sent_at`. `persistent`: nothing at
    /// all arrived for three probe timeouts (RFC 9002 §7.6).
    fn on_congestion(&mut self, now: Time, sent_at: Time, persistent: bool);

    /// The window never falls below `bytes` while the path's minimum round trip is under 1 ms:
    /// there the receiver's buffer is the limit, and `bytes` is the credit it grants.
    fn set_floor(&mut self, bytes: u64);

    /// The largest packet of the path changed.
    fn on_mtu(&mut self, mtu: u16);

    /// Bytes that may be in flight.
    fn window(&self) -> u64;

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
    fn on_sent(&mut self, _: u64) {}
    fn on_ack(&mut self, _: Time, _: u64, _: Time, _: &Rtt, _: bool) {}
    fn on_congestion(&mut self, _: Time, _: Time, _: bool) {}
    fn set_floor(&mut self, _: u64) {}
    fn on_mtu(&mut self, _: u16) {}
    fn window(&self) -> u64 {
        self.0
    }
    fn name(&self) -> &'static str {
        "fixed"
    }
}
