//! One process at a time, by `flock(2)`.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno;

/// An exclusive lock on a file. It ends when this value is dropped or the process dies, however it
/// dies; the file stays.
#[derive(Debug)]
#[must_use = "the lock is given up when this value is dropped"]
pub struct FileLock {
    _fd: OwnedFd,
}

impl FileLock {
    /// Takes the lock at `path`, creating the file (mode 0600) if need be; `None` if somebody else
    /// holds it. Never waits.
    ///
    /// # Errors
    /// When the file cannot be created or opened, or its file system has no locks.
    pub fn acquire(path: &Path) -> io::Result<Option<Self>> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = open(path, flags, Mode::RUSR | Mode::WUSR)?;
        loop {
            match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(Self { _fd: fd })),
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
