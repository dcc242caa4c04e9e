//! Sending one buffer as many datagrams, by segmentation offload (GSO) where that works.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Why a send stopped. What had left before that is counted where it can be resumed.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// The send buffer is full: wait until the socket is writable, then send the rest.
    WouldBlock {
        /// Bytes of the contents that have left, a multiple of the segment size; go on from here.
        sent: usize,
    },
    /// A datagram exceeds the MTU of the interface, or the 65,507 bytes of UDP.
    TooBig,
    /// There is no way to that address now: no route, interface down, source address gone,
    /// forbidden by a firewall. Other destinations are not affected.
    Unreachable(io::Error),
    /// The kernel had no room in a queue on the way; lost as on a full link.
    Dropped,
    /// The socket or the machine is broken.
    Io(io::Error),
}

/// Sends `contents` as datagrams of `segment` bytes, the last one perhaps shorter; as a single one
/// without `segment`.
///
/// `send(bytes, segment)` is the system call. Where it refuses offload (EIO: the device cannot;
/// EINVAL: the kernel cannot, or something else is wrong), the same batch goes out at once,
/// datagram by datagram. Only if *that* works was it offload's fault, and `gso` is cleared: a
/// vanished source address or a segment above the MTU also give EINVAL.
pub(crate) fn send_batch(
    contents: &[u8],
    segment: Option<usize>,
    gso: &AtomicBool,
    segments_max: usize,
    mut send: impl FnMut(&[u8], Option<usize>) -> io::Result<()>,
) -> Result<(), SendError> {
    let segment = match segment {
        Some(size) if size > 0 && size < contents.len() => size,
        _ => return send(contents, None).map_err(|error| SendError::after(0, error)),
    };
    let run = segments_max.min(RUN_BYTES_MAX / segment) * segment;
    let mut sent = 0;
    while sent < contents.len() {
        let rest = &contents[sent..];
        let mut suspected = false;
        if run > segment && rest.len() > segment && gso.load(Ordering::Relaxed) {
            let run = &rest[..run.min(rest.len())];
            match send(run, Some(segment)) {
                Ok(()) => {
                    sent += run.len();
                    continue;
                }
                Err(error) if matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL)) => {
                    suspected = true;
                }
                Err(error) => return Err(SendError::after(sent, error)),
            }
        }
        let one = &rest[..segment.min(rest.len())];
        send(one, None).map_err(|error| SendError::after(sent, error))?;
        sent += one.len();
        if suspected {
            gso.store(false, Ordering::Relaxed);
        }
    }
    Ok(())
}

impl SendError {
    /// Sorts the error of a send before which `sent` bytes had left.
    pub(crate) fn after(sent: usize, error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::WouldBlock {
            return Self::WouldBlock { sent };
        }
        match error.raw_os_error() {
            Some(libc::EMSGSIZE) => Self::TooBig,
            Some(libc::ENOBUFS | libc::ENOMEM) => Self::Dropped,
            Some(
                libc::ENETUNREACH
                | libc::EHOSTUNREACH
                | libc::ENETDOWN
                | libc::EHOSTDOWN
                | libc::ENODEV
                | libc::ENXIO
                | libc::EADDRNOTAVAIL
                | libc::EAFNOSUPPORT
                | libc::ECONNREFUSED
                | libc::EPERM
                | libc::EACCES
                | libc::EINVAL,
            ) => Self::Unreachable(error),
            _ => Self::Io(error),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldBlock { sent } => write!(f, "the send buffer is full after {sent} bytes"),
            Self::TooBig => write!(f, "the datagram exceeds the MTU"),
            Self::Unreachable(error) => write!(f, "no way to that address: {error}"),
            Self::Dropped => write!(f, "the kernel had no room for the datagram"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable(error) | Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// What fits behind an IPv6 and a UDP header in an IP packet of 65,535 bytes; the IPv4 bound is
/// above it.
const RUN_BYTES_MAX: usize = 65_535 - 40 - 8;

#[cfg(test)]
mod tests {
    use super::*;

    type Call = (usize, Option<usize>);

    /// Sends `contents` through a kernel whose n-th call answers `answers[n]` (0 = sent; beyond the
    /// list too).
    fn through(
        contents: &[u8],
        gso: &AtomicBool,
        answers: &[i32],
    ) -> (Result<(), SendError>, Vec<Call>) {
        let mut calls = Vec::new();
        let result = send_batch(contents, Some(100), gso, 64, |bytes, segment| {
            calls.push((bytes.len(), segment));
            match answers.get(calls.len() - 1) {
                None | Some(0) => Ok(()),
                Some(&errno) => Err(io::Error::from_raw_os_error(errno)),
            }
        });
        (result, calls)
    }

    #[test]
    fn a_batch_leaves_in_one_call() {
        let gso = AtomicBool::new(true);
        let (result, calls) = through(&[0; 350], &gso, &[]);
        assert!(result.is_ok() && gso.into_inner());
        assert_eq!(calls, [(350, Some(100))]);
    }

    #[test]
    fn more_than_the_kernel_takes_is_cut_between_segments() {
        let (result, calls) = through(&[0; 6_550], &AtomicBool::new(true), &[]);
        assert!(result.is_ok());
        assert_eq!(calls, [(6_400, Some(100)), (150, Some(100))]);
    }

    #[test]
    fn a_refused_offload_is_sent_unsegmented_at_once_and_not_tried_again() {
        for errno in [libc::EIO, libc::EINVAL] {
            let gso = AtomicBool::new(true);
            let (result, calls) = through(&[0; 6_650], &gso, &[0, errno]);
            assert!(result.is_ok() && !gso.load(Ordering::Relaxed));
            assert_eq!(
                calls,
                [(6_400, Some(100)), (250, Some(100)), (100, None), (100, None), (50, None)]
            );
            let (_, calls) = through(&[0; 200], &gso, &[]);
            assert_eq!(calls, [(100, None), (100, None)]);
        }
    }

    #[test]
    fn an_error_that_is_not_the_offloads_leaves_it_on() {
        let gso = AtomicBool::new(true);
        let (result, calls) = through(&[0; 300], &gso, &[libc::EINVAL, libc::EMSGSIZE]);
        assert!(matches!(result, Err(SendError::TooBig)));
        assert_eq!(calls, [(300, Some(100)), (100, None)]);
        let (result, _) = through(&[0; 300], &gso, &[libc::EINVAL, libc::EINVAL]);
        assert!(matches!(result, Err(SendError::Unreachable(_))));
        let (result, _) = through(&[0; 300], &gso, &[libc::EHOSTUNREACH]);
        assert!(matches!(result, Err(SendError::Unreachable(_))));
        assert!(gso.into_inner());
    }

    #[test]
    fn a_full_buffer_says_how_much_has_left() {
        let (result, _) = through(&[0; 6_550], &AtomicBool::new(true), &[0, libc::EAGAIN]);
        assert!(matches!(result, Err(SendError::WouldBlock { sent: 6_400 })));
        let (result, _) = through(&[0; 350], &AtomicBool::new(false), &[0, 0, libc::EAGAIN]);
        assert!(matches!(result, Err(SendError::WouldBlock { sent: 200 })));
    }

    #[test]
    fn offload_is_not_used_for_what_is_one_datagram() {
        let gso = AtomicBool::new(true);
        assert_eq!(through(&[0; 100], &gso, &[]).1, [(100, None)]);
        assert_eq!(through(&[], &gso, &[]).1, [(0, None)]);
    }
}
