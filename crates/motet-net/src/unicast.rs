//! The socket for datagrams between two endpoints.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use quinn_udp::{EcnCodepoint, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::gso::{SendError, send_batch};
use crate::ports::by_chance;
use crate::recv::{Meta, RecvBatch, receive};
use crate::sys;

/// A non-blocking UDP socket with batches in both directions (GSO; GRO and `recvmmsg`), path-MTU
/// probing (never IP fragments) and congestion marks.
///
/// IPv4 and IPv6 together where the machine has IPv6, else IPv4. Without `SO_REUSEADDR` or
/// `SO_REUSEPORT`: two endpoints never share a port unawares.
#[derive(Debug)]
pub struct UnicastSocket {
    socket: UdpSocket,
    /// Behind a lock only to be renewed: see [`UnicastSocket::send_once`].
    state: RwLock<UdpSocketState>,
    local: SocketAddr,
    dual_stack: bool,
    gso: AtomicBool,
    gso_segments: usize,
}

/// Where to bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// All addresses, on the first free port of [`UnicastSocket::PORTS`]; if all are taken, on any
    /// port.
    FirstFree,
    /// Exactly there. `[::]` means IPv4 too, port 0 any port.
    Addr(SocketAddr),
}

/// Why a bind failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// Somebody else has that port.
    InUse {
        /// The port.
        port: u16,
    },
    /// Anything else: not an address of this machine, not allowed, out of descriptors.
    Io(io::Error),
}

/// Congestion mark of an IP packet (RFC 3168).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ecn {
    /// The sender understands marks: ECT(0).
    Ect0,
    /// The sender understands marks: ECT(1).
    Ect1,
    /// A router is congested: CE.
    Ce,
}

/// What to send: one datagram, or a run of equal ones to one destination.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// To whom.
    pub dst: SocketAddr,
    /// From which address of ours; `None` leaves it to the routes. What cannot be a source (a
    /// multicast, broadcast or unspecified address, one of the other family) counts as `None`.
    pub src: Option<IpAddr>,
    /// Congestion mark.
    pub ecn: Option<Ecn>,
    /// The bytes.
    pub contents: &'a [u8],
    /// Cut `contents` into datagrams of this size, the last perhaps shorter; `None` sends a single
    /// one.
    pub segment: Option<usize>,
}

/// Sizes of the socket's buffers, in the bytes that were asked for (Linux books double, for its own
/// overhead).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Buffers {
    /// What the kernel granted of [`UnicastSocket::RECV_BUFFER`].
    pub recv: usize,
    /// What the kernel granted of [`UnicastSocket::SEND_BUFFER`].
    pub send: usize,
    /// The most it grants now (`net.core.rmem_max`), where it can be read.
    pub recv_max: Option<usize>,
    /// The most it grants now (`net.core.wmem_max`), where it can be read.
    pub send_max: Option<usize>,
}

impl UnicastSocket {
    /// Ports that endpoints take by themselves, and where others look for them.
    pub const PORTS: RangeInclusive<u16> = 37_321..=37_384;
    /// Receive buffer that is asked for, in bytes: 30 ms at 1 Gbit/s.
    pub const RECV_BUFFER: usize = 4 << 20;
    /// Send buffer that is asked for, in bytes.
    pub const SEND_BUFFER: usize = 2 << 20;

    /// Opens the socket.
    ///
    /// # Errors
    /// See [`BindError`]; with [`Bind::FirstFree`] a taken port is none.
    pub fn bind(how: Bind) -> Result<Self, BindError> {
        match how {
            Bind::Addr(address) => Self::bind_to(address),
            Bind::FirstFree => {
                for port in Self::PORTS {
                    match Self::bind_all(port) {
                        Err(BindError::InUse { .. }) => {}
                        other => return other,
                    }
                }
                Self::bind_all(0)
            }
        }
    }

    /// The port that peers can write to.
    #[must_use]
    pub fn local_port(&self) -> u16 {
        self.local.port()
    }

    /// The address it is bound to; unspecified for "all".
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Whether it reaches IPv4 and IPv6.
    #[must_use]
    pub fn is_dual_stack(&self) -> bool {
        self.dual_stack
    }

    /// Sends at once, never waits. An IPv4 destination works on either kind of socket.
    ///
    /// If the kernel or the network card refuses segmentation offload, the same batch goes out
    /// datagram by datagram, and so does every later one.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn try_send(&self, datagram: &Datagram<'_>) -> Result<(), SendError> {
        let dst = self.native(datagram.dst)?;
        let ecn = datagram.ecn.map(EcnCodepoint::from);
        let src_ip = datagram.src.and_then(|src| usable_source(src.to_canonical(), datagram.dst));
        send_batch(
            datagram.contents,
            datagram.segment,
            &self.gso,
            self.gso_segments,
            |contents, segment_size| {
                self.send_once(&Transmit { destination: dst, ecn, contents, segment_size, src_ip })
            },
        )
    }

    /// Receives at once what has arrived, never waits; the number of buffers filled.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has arrived. Others mean that the socket is broken.
    pub fn recv(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        batch.fill(|buffers, metas| self.recv_into(buffers, metas))
    }

    /// As [`UnicastSocket::recv`], into the caller's own buffers (see [`RecvBatch`] for their
    /// size), of which it uses at most [`RecvBatch::COUNT_MAX`] and at most as many as there are
    /// `metas`.
    ///
    /// # Errors
    /// As [`UnicastSocket::recv`].
    pub fn recv_into(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [Meta],
    ) -> io::Result<usize> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        receive(&state, &self.socket, buffers, metas)
    }

    /// Datagrams lost since the socket was opened because its receive buffer was full; 0 where the
    /// kernel does not tell.
    #[must_use]
    pub fn kernel_drops(&self) -> u64 {
        sys::socket_drops(&self.socket).map_or(0, u64::from)
    }

    /// How large its buffers are, read back from the kernel.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn buffers(&self) -> io::Result<Buffers> {
        let socket = SockRef::from(&self.socket);
        let limit = |path| std::fs::read_to_string(path).ok()?.trim().parse().ok();
        Ok(Buffers {
            recv: socket.recv_buffer_size()? / BOOKED,
            send: socket.send_buffer_size()? / BOOKED,
            recv_max: limit("/proc/sys/net/core/rmem_max"),
            send_max: limit("/proc/sys/net/core/wmem_max"),
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

    fn bind_all(port: u16) -> Result<Self, BindError> {
        match Self::bind_to((Ipv6Addr::UNSPECIFIED, port).into()) {
            // No IPv6 on this machine.
            Err(BindError::Io(error))
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
                ) =>
            {
                Self::bind_to((Ipv4Addr::UNSPECIFIED, port).into())
            }
            other => other,
        }
    }

    fn bind_to(address: SocketAddr) -> Result<Self, BindError> {
        if address.port() == 0 {
            return by_chance(|| Self::bind_at(address).map(|it| (it.local_port(), it)));
        }
        Self::bind_at(address)
    }

    fn bind_at(address: SocketAddr) -> Result<Self, BindError> {
        let sort = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { port: address.port() },
            _ => BindError::Io(error),
        };
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))
            .map_err(sort)?;
        let dual_stack = address.is_ipv6() && address.ip().is_unspecified();
        if address.is_ipv6() {
            socket.set_only_v6(!dual_stack).map_err(sort)?;
        }
        // A smaller grant is reported by `buffers`, not an error.
        let _ = socket.set_recv_buffer_size(Self::RECV_BUFFER);
        let _ = socket.set_send_buffer_size(Self::SEND_BUFFER);
        socket.bind(&address.into()).map_err(sort)?;
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new((&socket).into()).map_err(BindError::Io)?;
        let local = socket.local_addr().map_err(BindError::Io)?;
        let gso_segments = state.max_gso_segments();
        let gso = AtomicBool::new(gso_segments > 1);
        Ok(Self { socket, state: RwLock::new(state), local, dual_stack, gso, gso_segments })
    }

    /// One system call (two, where the first is refused).
    fn send_once(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let result = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            state.try_send((&self.socket).into(), transmit)
        };
        if let Err(error) = &result
            && matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL))
            && let Ok(fresh) = UdpSocketState::new((&self.socket).into())
        {
            // After one such error the state never sets a congestion mark on IPv4 again, whatever
            // the cause was.
            *self.state.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
        result
    }

    /// `dst` in the family of this socket.
    fn native(&self, dst: SocketAddr) -> Result<SocketAddr, SendError> {
        if dst.port() == 0 {
            return Err(SendError::Unreachable(io::Error::from_raw_os_error(libc::EINVAL)));
        }
        match (unmapped_socket(dst), self.local.is_ipv4()) {
            (SocketAddr::V4(v4), false) => {
                Ok(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into())
            }
            (SocketAddr::V6(_), true) => {
                Err(SendError::Unreachable(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)))
            }
            (same, _) => Ok(same),
        }
    }
}

impl AsFd for UnicastSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for UnicastSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { port } => write!(f, "port {port} is in use"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::InUse { .. } => None,
        }
    }
}

impl From<EcnCodepoint> for Ecn {
    fn from(mark: EcnCodepoint) -> Self {
        match mark {
            EcnCodepoint::Ect0 => Self::Ect0,
            EcnCodepoint::Ect1 => Self::Ect1,
            EcnCodepoint::Ce => Self::Ce,
        }
    }
}

impl From<Ecn> for EcnCodepoint {
    fn from(mark: Ecn) -> Self {
        match mark {
            Ecn::Ect0 => Self::Ect0,
            Ecn::Ect1 => Self::Ect1,
            Ecn::Ce => Self::Ce,
        }
    }
}

/// `src` if a datagram to `dst` can have it at all.
fn usable_source(src: IpAddr, dst: SocketAddr) -> Option<IpAddr> {
    let same_family = src.is_ipv4() == dst.ip().to_canonical().is_ipv4();
    let broadcast = src == IpAddr::V4(Ipv4Addr::BROADCAST);
    (same_family && !broadcast && !src.is_multicast() && !src.is_unspecified()).then_some(src)
}

/// IPv4 where the address is IPv4 inside IPv6; otherwise unchanged, scope id included.
pub(crate) fn unmapped_socket(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::from((v4, v6.port())),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

/// Linux reports twice what was asked for (socket(7), SO_RCVBUF).
pub(crate) const BOOKED: usize = if cfg!(target_os = "linux") { 2 } else { 1 };
