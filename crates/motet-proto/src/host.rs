//! What passes between a node and its host: the driver, the simulator or a fuzzer.

use crate::Time;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// Where a datagram came from and how.
#[derive(Clone, Copy, Debug)]
pub struct RecvMeta {
    /// The sender's address.
    pub src: SocketAddr,
    /// The address it was sent to, where the kernel tells.
    pub dst: Option<IpAddr>,
    /// The interface it came in by; 0 if unknown.
    pub iface: u32,
    /// Congestion was marked (ECN CE).
    pub ce: bool,
    /// Which socket it came in by.
    pub via: Via,
}

/// Which socket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Via {
    /// The one unicast socket.
    Unicast,
    /// The discovery group on the interface with this index.
    Group {
        /// Interface index.
        iface: u32,
        /// The IPv6 twin of the group.
        v6: bool,
    },
    /// A lane: the group of this number on the interface. A host has one receiving socket per
    /// interface and lane, made by [`HostAction::JoinLane`]; to send, no membership is needed.
    Lane {
        /// Interface index.
        iface: u32,
        /// Lane number, below 64.
        lane: u16,
        /// The IPv6 twin of the group.
        v6: bool,
    },
}

/// Something that the node wants of its host; pulled by
/// [`Node::poll_host`](crate::Node::poll_host).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostAction {
    /// Receive this lane on this interface; answered by [`HostEvent::LaneJoined`].
    JoinLane {
        /// Interface index.
        iface: u32,
        /// Lane number.
        lane: u16,
        /// The group's address and port; its family says which one is meant.
        group: SocketAddr,
    },
    /// Receive it no more; not answered.
    LeaveLane {
        /// Interface index.
        iface: u32,
        /// Lane number.
        lane: u16,
        /// The group's address and port.
        group: SocketAddr,
    },
}

/// One send: `len` bytes at the front of the [`TxBatch`], as datagrams of `segment` bytes each (the
/// last may be shorter), all to one destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// Which socket to use.
    pub via: Via,
    /// Destination; for [`Via::Group`] and [`Via::Lane`] the group's address.
    pub dst: SocketAddr,
    /// Source address to use, where it matters.
    pub src: Option<IpAddr>,
    /// Bytes in all.
    pub len: usize,
    /// Bytes of each datagram.
    pub segment: usize,
}

/// The buffer that [`Node::poll_transmit`](crate::Node::poll_transmit) writes into: up to 64
/// datagrams or 64 KiB, reused from send to send.
pub struct TxBatch {
    /// The bytes of the last [`Transmit`].
    pub bytes: Vec<u8>,
    /// Most datagrams in one transmit: 64, or 1 where the host cannot segment.
    pub segments_max: usize,
}

impl TxBatch {
    /// An empty batch with room for 64 KiB.
    pub fn new() -> Self {
        Self { bytes: Vec::with_capacity(66 * 1024), segments_max: 64 }
    }
}

impl Default for TxBatch {
    fn default() -> Self {
        Self::new()
    }
}

/// When to call [`Node::handle_timeout`](crate::Node::handle_timeout), and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadline {
    /// When.
    pub at: Time,
    /// What is due then, for traces.
    pub cause: &'static str,
}

/// An interface that packets can leave by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceInfo {
    /// Kernel index.
    pub index: u32,
    /// Kernel name.
    pub name: String,
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Link MTU in bytes.
    pub mtu: u32,
    /// Loopback: its addresses are never advertised.
    pub loopback: bool,
    /// A multicast socket of family v4 / v6 stands open on it.
    pub multicast: (bool, bool),
    /// 0 unknown, 1 wired, 2 WiFi, 3 loopback.
    pub class: u8,
}

/// Something the host noticed.
#[derive(Clone, Debug)]
pub enum HostEvent {
    /// The usable interfaces, all of them, whenever they have changed.
    Interfaces(Vec<InterfaceInfo>),
    /// The wall clock now, in ms since 1970: at start, and when it jumped.
    WallClock(u64),
    /// The kernel dropped so many more datagrams for want of buffer.
    RxDropped(u64),
    /// A datagram was larger than the path takes (EMSGSIZE).
    TooBig {
        /// Where it should have gone.
        dst: SocketAddr,
        /// Its size in bytes.
        size: usize,
    },
    /// The kernel says that this address cannot be reached.
    Unreachable(SocketAddr),
    /// ICMP says that no program has this port.
    Refused(SocketAddr),
    /// The machine slept; timers fired late.
    Resumed,
    /// The answer to [`HostAction::JoinLane`].
    LaneJoined {
        /// Interface index.
        iface: u32,
        /// Lane number.
        lane: u16,
        /// What arrives is handed in from now on; false: the host cannot, or may hold no more.
        ok: bool,
    },
}
