//! The only `unsafe` of the project: three system calls that no safe wrapper offers, and buffers
//! that are filled again without being overwritten first.
#![allow(unsafe_code)]

use bytes::BytesMut;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd};

/// `IFF_*` flags of the interface `name`, by `SIOCGIFFLAGS` on any socket.
pub(crate) fn interface_flags(socket: &impl AsFd, name: &str) -> io::Result<u32> {
    let request = interface_ioctl(socket, name, libc::SIOCGIFFLAGS)?;
    // SAFETY: the kernel answered SIOCGIFFLAGS, which fills `ifru_flags`; the union was zeroed
    // before, so every byte of it is initialised, and any bit pattern is a valid `c_short`.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    Ok(u32::from(flags.cast_unsigned()))
}

/// MTU in bytes of the interface `name`, by `SIOCGIFMTU` on any socket.
pub(crate) fn interface_mtu(socket: &impl AsFd, name: &str) -> io::Result<u32> {
    let request = interface_ioctl(socket, name, libc::SIOCGIFMTU)?;
    // SAFETY: as above, for SIOCGIFMTU and `ifru_mtu`, a `c_int`.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    Ok(mtu.max(0).cast_unsigned())
}

/// Datagrams that the kernel dropped because this socket's receive buffer was full, since it was
/// opened (modulo 2³²): `SK_MEMINFO_DROPS` of `SO_MEMINFO` (Linux 4.12).
pub(crate) fn socket_drops(socket: &impl AsFd) -> io::Result<u32> {
    let mut info = [0u32; SK_MEMINFO_VARS];
    let mut length = size_of::<[u32; SK_MEMINFO_VARS]>() as libc::socklen_t;
    // SAFETY: `info` is writable for `length` bytes and `length` says so; the kernel writes at most
    // `length` bytes and stores back how many. The descriptor is borrowed for the call. `u32` has
    // no invalid bit pattern.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(info[libc::SK_MEMINFO_DROPS as usize])
}

fn interface_ioctl(socket: &impl AsFd, name: &str, code: libc::c_ulong) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is plain C data (characters and a union of integers, addresses and a
    // pointer); all zeroes is a valid value of it.
    let mut request: libc::ifreq = unsafe { zeroed() };
    // Room for the closing NUL must remain.
    if name.len() >= request.ifr_name.len() || name.bytes().any(|byte| byte == 0) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed() as libc::c_char;
    }
    // SAFETY: both codes used here read `ifr_name`, which ends in NUL, and write inside this
    // `ifreq`, which outlives the call; the descriptor is borrowed for it. The pointer member of
    // the union is neither set nor followed.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), code as _, &raw mut request) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(request)
}

/// `include/uapi/asm-generic/socket.h`; libc has the offsets but not the option.
const SO_MEMINFO: libc::c_int = 55;
/// `include/uapi/linux/sock_diag.h`, `SK_MEMINFO_VARS`.
const SK_MEMINFO_VARS: usize = 9;

/// Makes an empty buffer `size` bytes long again, with whatever is in it. It began as
/// `BytesMut::zeroed(size)` and is whole: `try_reclaim(size)` said so.
pub(crate) fn refilled(mut buffer: BytesMut, size: usize) -> BytesMut {
    assert!(buffer.capacity() >= size, "it is whole");
    // SAFETY: the capacity holds `size` bytes (just asserted), and all of them are initialised: the
    // memory was zeroed when it was made, `try_reclaim` neither allocates nor frees, and safe code
    // cannot make initialised bytes uninitialised.
    unsafe { buffer.set_len(size) };
    buffer
}
