//! What brings a publication to a reader, and why not a lane: for reports.

use crate::time::Time;
use alloc::format;
use alloc::string::String;
use core::time::Duration;

/// What brings a publication's messages to a reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carrier {
    /// Packets of its own.
    Unicast {
        /// Why not a lane.
        why: WhyUnicast,
    },
    /// Packets for all readers of the lane.
    Lane {
        /// Its number, below 64.
        lane: u16,
        /// The interface it leaves by.
        iface: u32,
        /// Since when.
        since: Time,
        /// Readers of it.
        readers: usize,
    },
}

/// Why a reader gets packets of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WhyUnicast {
    /// The publication's policy is [`Never`](crate::LanePolicy::Never), or the endpoint's
    /// `lanes_max` is 0.
    Policy,
    /// Fewer than three readers on its network.
    TooFewReaders,
    /// Less than 20 kB/s.
    RateTooLow,
    /// The network is Wi-Fi, where multicast is slow, and there are too few readers to pay for it.
    Wifi,
    /// No interface that can multicast leads to it directly.
    NotReachable,
    /// The decision holds for some seconds before it acts.
    Waiting,
    /// It has been offered the lane and has not yet proved that it hears it.
    Joining,
    /// It has not caught up with what is being published.
    CatchingUp,
    /// It could not join the group.
    JoinFailed {
        /// Not offered again before this time.
        until: Time,
    },
    /// It no longer heard the lane.
    LaneLost {
        /// When it said so.
        at: Time,
        /// Not offered again before this time.
        until: Time,
    },
    /// It held up the group.
    Laggard {
        /// Not offered again before this time.
        until: Time,
    },
    /// It lost far more than the others.
    CryingBaby {
        /// Not offered again before this time.
        until: Time,
    },
    /// It was offered the lane and did not hear it in time.
    NotHeard {
        /// Not offered again before this time.
        until: Time,
    },
    /// `lanes_max` is reached.
    Limit,
}

impl WhyUnicast {
    /// The reason in a few words; `now` for those that last.
    pub fn text(self, now: Time) -> String {
        let cooling = |what: &str, until: Time| {
            let left = (until.since(now) + Duration::from_millis(999)).as_secs();
            format!("{what}, cooling down for {left} s")
        };
        match self {
            Self::Policy => "policy never".into(),
            Self::TooFewReaders => "too few readers".into(),
            Self::RateTooLow => "rate too low".into(),
            Self::Wifi => "wifi".into(),
            Self::NotReachable => "not reachable on this interface".into(),
            Self::Waiting => "waiting for a steady rate".into(),
            Self::Joining => "joining".into(),
            Self::CatchingUp => "catching up".into(),
            Self::JoinFailed { until } => cooling("join failed", until),
            Self::LaneLost { at, until } => {
                cooling(&format!("lane lost {} s ago", now.since(at).as_secs()), until)
            }
            Self::Laggard { until } => cooling("laggard", until),
            Self::CryingBaby { until } => cooling("crying baby", until),
            Self::NotHeard { until } => cooling("lane not heard", until),
            Self::Limit => "limit of lanes".into(),
        }
    }
}
