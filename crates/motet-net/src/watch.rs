//! Notice when links or addresses change, by netlink.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

/// A netlink socket that becomes readable when a link comes, goes or changes, or an address is
/// added or removed.
///
/// It says only *that* something changed; [`interfaces`](crate::interfaces) then says what is there
/// now. A caller should wait a moment between the two (changes come in bursts) and look once a
/// minute anyway: notices can be filtered.
#[derive(Debug)]
pub struct InterfaceWatch {
    fd: OwnedFd,
}

impl InterfaceWatch {
    /// Watches the network namespace of the calling thread from now on.
    ///
    /// # Errors
    /// When the process is out of descriptors, or netlink is forbidden (some sandboxes).
    pub fn new() -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&fd, &SocketAddrNetlink::new(0, GROUPS))?;
        Ok(Self { fd })
    }

    /// Reads all pending notices, at most a thousand (the rest keeps the descriptor readable); true
    /// if there were any.
    pub fn drain(&self) -> bool {
        let mut notice = [0u8; 4096];
        let mut changed = false;
        for _ in 0..DRAIN_MAX {
            match recv(&self.fd, &mut notice, RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
                Ok(_) => changed = true,
                Err(Errno::INTR) => {}
                // Notices were lost for want of room, so something changed.
                Err(Errno::NOBUFS) => changed = true,
                Err(_) => break,
            }
        }
        changed
    }
}

impl AsFd for InterfaceWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for InterfaceWatch {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Groups of rtnetlink(7): links, IPv4 addresses, IPv6 addresses.
const GROUPS: u32 =
    (libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR).cast_unsigned();
/// Notices read in one go: work per call is bounded even when an interface flaps.
const DRAIN_MAX: usize = 1_000;
