//! The socket for one group on one interface.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use rustix::net::sockopt::{Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use rustix::net::sockopt::{
    set_ip_mtu_discover, set_ip_multicast_if_with_ifindex, set_ipv6_mtu_discover,
};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

use crate::gso::SendError;
use crate::interface::Interface;
use crate::sys;

/// A non-blocking socket that sends to one multicast group out of one interface and hears that
/// group there only.
///
/// One per interface and address family: the outgoing interface is a property of a socket, and what
/// arrives is thereby known to have come in by it. All endpoints of a host share the port
/// (`SO_REUSEADDR`) and hear each other and themselves. Hop limit 1: never beyond the LAN. Neither
/// a default route nor the interface's multicast flag is needed.
#[derive(Debug)]
pub struct MulticastSocket {
    socket: UdpSocket,
    group: SocketAddr,
    iface: u32,
    source: Option<Ipv4Addr>,
}

impl MulticastSocket {
    /// The discovery group of IPv4 (RFC 2365, organisation-local scope).
    pub const GROUP_V4: SocketAddr =
        SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(239, 192, 137, 1), Self::GROUP_PORT));
    /// The discovery group of IPv6 (RFC 4291: transient, link-local), `motet` in ASCII in its last
    /// words.
    pub const GROUP_V6: SocketAddr = SocketAddr::V6(SocketAddrV6::new(
        Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0x6d6f, 0x7465, 0xffff),
        Self::GROUP_PORT,
        0,
        0,
    ));
    /// Port of the discovery groups.
    pub const GROUP_PORT: u16 = 37_320;

    /// Joins `group` on `iface`.
    ///
    /// # Errors
    /// `InvalidInput` if `group` is no multicast address; `AddrNotAvailable` if the interface has
    /// no address of its family; otherwise the kernel's refusal (the interface is gone,
    /// `igmp_max_memberships` of 20 groups is reached).
    pub fn open(iface: &Interface, group: SocketAddr) -> io::Result<Self> {
        if !group.ip().is_multicast() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        // A smaller grant only costs beacons, which are repeated.
        let _ = socket.set_recv_buffer_size(RECV_BUFFER);
        let (group, source) = match group {
            SocketAddr::V4(v4) => (group, Some(prepare_v4(&socket, iface, *v4.ip())?)),
            SocketAddr::V6(v6) => {
                prepare_v6(&socket, iface)?;
                (SocketAddrV6::new(*v6.ip(), v6.port(), 0, iface.index).into(), None)
            }
        };
        // To the group, not to any address: unicast to this port is not for us.
        socket.bind(&group.into())?;
        match group.ip() {
            IpAddr::V4(ip) => {
                socket.join_multicast_v4_n(&ip, &InterfaceIndexOrAddress::Index(iface.index))?;
            }
            IpAddr::V6(ip) => socket.join_multicast_v6(&ip, iface.index)?,
        }
        Ok(Self { socket: socket.into(), group, iface: iface.index, source })
    }

    /// Sends one datagram to the group, out of this interface, from an address of this interface.
    /// Never waits.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn try_send(&self, bytes: &[u8]) -> Result<(), SendError> {
        loop {
            match self.socket.send_to(bytes, self.group) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(SendError::after(0, error)),
            }
        }
    }

    /// Receives one datagram if one has arrived, and its sender; what exceeds `buf` is cut off.
    /// Never waits.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has arrived. `NetworkDown` is passing; others mean that the socket
    /// is broken.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            match self.socket.recv_from(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Datagrams lost since the socket was opened because its receive buffer was full; 0 where the
    /// kernel does not tell.
    #[must_use]
    pub fn kernel_drops(&self) -> u64 {
        sys::socket_drops(&self.socket).map_or(0, u64::from)
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

    /// The IPv4 address it sends from; `None` for IPv6, where the kernel chooses. When the
    /// interface no longer has it, open the socket anew.
    #[must_use]
    pub fn source(&self) -> Option<Ipv4Addr> {
        self.source
    }
}

impl AsFd for MulticastSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for MulticastSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

pub(crate) fn prepare_v4(
    socket: &Socket,
    iface: &Interface,
    group: Ipv4Addr,
) -> io::Result<Ipv4Addr> {
    let source = iface.ipv4().ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    // Otherwise Linux delivers the groups of every other socket on this port too (ip(7)).
    socket.set_multicast_all_v4(false)?;
    socket.set_multicast_loop_v4(true)?;
    socket.set_multicast_ttl_v4(1)?;
    set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::PROBE)?;
    set_ip_multicast_if_with_ifindex(socket, &group, &source, iface.index)?;
    Ok(source)
}

pub(crate) fn prepare_v6(socket: &Socket, iface: &Interface) -> io::Result<()> {
    if !iface.has_ipv6() {
        return Err(io::Error::from(io::ErrorKind::AddrNotAvailable));
    }
    socket.set_only_v6(true)?;
    // Linux 4.20; before, the bind to the group and the scope id do most of it.
    let _ = socket.set_multicast_all_v6(false);
    socket.set_multicast_loop_v6(true)?;
    socket.set_multicast_hops_v6(1)?;
    set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::PROBE)?;
    socket.set_multicast_if_v6(iface.index)?;
    Ok(())
}

/// Receive buffer in bytes: the start beacons of a thousand endpoints.
const RECV_BUFFER: usize = 1 << 20;
