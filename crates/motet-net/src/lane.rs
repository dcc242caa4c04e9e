//! The sockets for data that goes to many at once.
//!
//! Receiving is per group, so that the kernel's bound on memberships of one socket
//! (`igmp_max_memberships`, 20) is never near, and that what arrives is known by its socket.
//! Sending needs no membership, but an outgoing interface, which is a property of a socket: one
//! sender per interface and family serves all groups.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use quinn_udp::{Transmit, UdpSocketState};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};

use crate::gso::{SendError, send_batch};
use crate::interface::Interface;
use crate::multicast::{prepare_v4, prepare_v6};
use crate::ports::by_chance;
use crate::recv::{Meta, RecvBatch, receive};
use crate::sys;
use crate::unicast::BOOKED;

/// A non-blocking socket that hears one group on one interface, in batches (GRO, `recvmmsg`).
///
/// All endpoints of a host share the port (`SO_REUSEADDR`). It never sends; who does, is a
/// [`LaneSender`]. Dropped, it leaves the group.
#[derive(Debug)]
pub struct LaneSocket {
    socket: UdpSocket,
    state: UdpSocketState,
    group: SocketAddr,
    iface: u32,
    source: Option<Ipv4Addr>,
}

impl LaneSocket {
    /// Receive buffer that is asked for, in bytes: 30 ms at 1 Gbit/s.
    pub const RECV_BUFFER: usize = 4 << 20;

    /// Joins `group` on `iface`.
    ///
    /// # Errors
    /// `InvalidInput` if `group` is no multicast address; `AddrNotAvailable` if the interface has
    /// no address of its family; otherwise the kernel's refusal: the interface is gone, no
    /// descriptor or memory is left (`net.core.optmem_max`).
    pub fn open(iface: &Interface, group: SocketAddr) -> io::Result<Self> {
        let group = on_interface(iface, group)?;
        let socket = datagram_socket(group)?;
        socket.set_reuse_address(true)?;
        // A smaller grant is told by `recv_buffer`, not an error.
        let _ = socket.set_recv_buffer_size(Self::RECV_BUFFER);
        let source = prepare(&socket, iface, group)?;
        // To the group, not to any address: unicast to this port is not for us.
        socket.bind(&group.into())?;
        match group.ip() {
            IpAddr::V4(ip) => {
                socket.join_multicast_v4_n(&ip, &InterfaceIndexOrAddress::Index(iface.index))?;
            }
            IpAddr::V6(ip) => socket.join_multicast_v6(&ip, iface.index)?,
        }
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { socket, state, group, iface: iface.index, source })
    }

    /// Receives at once what has arrived, never waits; the number of buffers filled.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has arrived. `NetworkDown` is passing; others mean that the socket
    /// is broken.
    pub fn recv(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        batch.fill(|buffers: &mut [IoSliceMut<'_>], metas: &mut [Meta]| {
            receive(&self.state, &self.socket, buffers, metas)
        })
    }

    /// Datagrams lost since the socket was opened because its receive buffer was full; 0 where the
    /// kernel does not tell.
    #[must_use]
    pub fn kernel_drops(&self) -> u64 {
        sys::socket_drops(&self.socket).map_or(0, u64::from)
    }

    /// What the kernel granted of [`LaneSocket::RECV_BUFFER`], read back.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn recv_buffer(&self) -> io::Result<usize> {
        Ok(SockRef::from(&self.socket).recv_buffer_size()? / BOOKED)
    }

    /// Index of its interface.
    #[must_use]
    pub fn iface(&self) -> u32 {
        self.iface
    }

    /// The group and port; for IPv6 with the interface as scope id.
    #[must_use]
    pub fn group(&self) -> SocketAddr {
        self.group
    }

    /// The primary IPv4 address of the interface when it joined; `None` for IPv6. When that
    /// changes, the membership may have gone with it: open the socket anew.
    #[must_use]
    pub fn source(&self) -> Option<Ipv4Addr> {
        self.source
    }
}

/// A non-blocking socket that sends to groups out of one interface, whole runs at a time (GSO).
///
/// It has joined nothing and hears nothing. Hop limit 1: never beyond the LAN. Members on this host
/// hear it, too. Neither a default route nor the interface's multicast flag is needed.
#[derive(Debug)]
pub struct LaneSender {
    socket: UdpSocket,
    state: UdpSocketState,
    iface: u32,
    source: Option<Ipv4Addr>,
    gso: AtomicBool,
    gso_segments: usize,
}

impl LaneSender {
    /// Send buffer that is asked for, in bytes.
    pub const SEND_BUFFER: usize = 2 << 20;

    /// Opens the sender of `iface` for groups of IPv6 (`v6`) or IPv4.
    ///
    /// # Errors
    /// `AddrNotAvailable` if the interface has no address of that family; otherwise the kernel's
    /// refusal.
    pub fn open(iface: &Interface, v6: bool) -> io::Result<Self> {
        // Prepared for a group of that family; it serves all.
        let group = if v6 { EVERY_NODE_V6 } else { EVERY_NODE_V4 };
        let any: IpAddr =
            if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let (socket, source) = by_chance(|| {
            let socket = datagram_socket(group)?;
            let source = prepare(&socket, iface, group)?;
            socket.bind(&SocketAddr::new(any, 0).into())?;
            let socket = UdpSocket::from(socket);
            Ok::<_, io::Error>((socket.local_addr()?.port(), (socket, source)))
        })?;
        let _ = SockRef::from(&socket).set_send_buffer_size(Self::SEND_BUFFER);
        let state = UdpSocketState::new((&socket).into())?;
        let gso_segments = state.max_gso_segments();
        let gso = AtomicBool::new(gso_segments > 1);
        Ok(Self { socket, state, iface: iface.index, source, gso, gso_segments })
    }

    /// Sends `contents` to `group` as datagrams of `segment` bytes, the last perhaps shorter;
    /// without `segment` as a single one. Never waits.
    ///
    /// If the kernel or the network card refuses segmentation offload, the same run goes out
    /// datagram by datagram, and so does every later one of this interface.
    ///
    /// # Errors
    /// See [`SendError`]; `InvalidInput` inside `Unreachable` if `group` is no multicast address.
    pub fn try_send(
        &self,
        group: SocketAddr,
        contents: &[u8],
        segment: Option<usize>,
    ) -> Result<(), SendError> {
        if !group.ip().is_multicast() {
            return Err(SendError::Unreachable(io::ErrorKind::InvalidInput.into()));
        }
        let destination = match group {
            SocketAddr::V4(_) => group,
            SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), v6.port(), 0, self.iface).into(),
        };
        send_batch(contents, segment, &self.gso, self.gso_segments, |contents, segment_size| {
            // No congestion marks: one receiver's mark would speak for all.
            let transmit =
                Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
            self.state.try_send((&self.socket).into(), &transmit)
        })
    }

    /// Whether runs leave by segmentation offload.
    #[must_use]
    pub fn gso(&self) -> bool {
        self.gso.load(Ordering::Relaxed)
    }

    /// Switches segmentation offload; on has no effect where the kernel has none.
    pub fn set_gso(&self, on: bool) {
        self.gso.store(on && self.gso_segments > 1, Ordering::Relaxed);
    }

    /// Index of its interface.
    #[must_use]
    pub fn iface(&self) -> u32 {
        self.iface
    }

    /// Whether it sends to groups of IPv6.
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.source.is_none()
    }

    /// The IPv4 address it sends from; `None` for IPv6, where the kernel chooses. When the
    /// interface no longer has it, open the sender anew.
    #[must_use]
    pub fn source(&self) -> Option<Ipv4Addr> {
        self.source
    }
}

/// `group`, if it is one; for IPv6 with the interface as scope id.
fn on_interface(iface: &Interface, group: SocketAddr) -> io::Result<SocketAddr> {
    if !group.ip().is_multicast() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    Ok(match group {
        SocketAddr::V4(_) => group,
        SocketAddr::V6(v6) => SocketAddrV6::new(*v6.ip(), v6.port(), 0, iface.index).into(),
    })
}

fn datagram_socket(group: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn prepare(socket: &Socket, iface: &Interface, group: SocketAddr) -> io::Result<Option<Ipv4Addr>> {
    match group {
        SocketAddr::V4(v4) => prepare_v4(socket, iface, *v4.ip()).map(Some),
        SocketAddr::V6(_) => prepare_v6(socket, iface).map(|()| None),
    }
}

macro_rules! descriptor {
    ($($name:ty),*) => {$(
        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.socket.as_fd()
            }
        }

        impl AsRawFd for $name {
            fn as_raw_fd(&self) -> RawFd {
                self.socket.as_raw_fd()
            }
        }
    )*};
}

descriptor!(LaneSocket, LaneSender);

/// All hosts of a network (RFC 1112, RFC 4291): groups that always exist.
const EVERY_NODE_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1)), 0);
const EVERY_NODE_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)), 0);
