//! Secrets on disk: made once, whole or not at all, readable by their owner only.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FileType, Mode, OFlags, fstat, link, open, unlink};
use rustix::io::Errno;

/// Why [`read_secret`] refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum SecretError {
    /// There is no such file.
    NotFound,
    /// Others than the owner may read or write it.
    TooOpen {
        /// Its permission bits (the low twelve).
        mode: u32,
    },
    /// It is a symbolic link, a directory, a device or a pipe.
    NotAFile,
    /// It is longer than any secret.
    TooLong {
        /// The bound, in bytes.
        max: usize,
    },
    /// It cannot be read.
    Io(io::Error),
}

/// Creates `path` with `bytes`, mode 0600; `true` if this call made it, `false` if it was there
/// already (then the winner's content counts: read it). Of any number of simultaneous calls exactly
/// one makes it, and nobody ever sees it empty or half written, not even after a crash.
///
/// # Errors
/// When the directory cannot be written, or its file system has no hard links. Then there is no new
/// file.
pub fn create_secret(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let (mut file, draft) = Draft::create(directory, name)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    // Unlike rename(2), link(2) never replaces what is there.
    let made = match link(&draft.path, path) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(error.into()),
    };
    drop(draft);
    // The loser syncs too: it relies on the winner's entry.
    File::open(directory)?.sync_all()?;
    Ok(made)
}

/// Puts `bytes` in place of `path`, mode 0600: whoever reads it, even after a crash of this process,
/// sees the old content or the new. Of simultaneous calls the last one counts. It is not forced to
/// the disk: after a crash of the machine the file may be empty, so its reader has to notice that.
///
/// # Errors
/// When the directory cannot be written; then the old content stays.
pub fn replace_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let (mut file, draft) = Draft::create(directory, name)?;
    file.write_all(bytes)?;
    std::fs::rename(&draft.path, path)
}

/// Reads a secret, refusing symbolic links and files that group or others may read or write.
///
/// # Errors
/// See [`SecretError`].
pub fn read_secret(path: &Path) -> Result<Vec<u8>, SecretError> {
    // NONBLOCK, or a pipe put there would hold us up for ever.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = open(path, flags, Mode::empty()).map_err(|error| match error {
        Errno::NOENT => SecretError::NotFound,
        Errno::LOOP => SecretError::NotAFile,
        other => SecretError::Io(other.into()),
    })?;
    // Of the descriptor, not of the path: what is checked is what is read.
    let stat = fstat(&fd).map_err(|error| SecretError::Io(error.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(SecretError::NotAFile);
    }
    let mode = stat.st_mode & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretError::TooOpen { mode });
    }
    let mut bytes = Vec::new();
    let limit = SECRET_BYTES_MAX as u64 + 1;
    File::from(fd).take(limit).read_to_end(&mut bytes).map_err(SecretError::Io)?;
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(SecretError::TooLong { max: SECRET_BYTES_MAX });
    }
    Ok(bytes)
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => write!(f, "there is no such file"),
            Self::TooOpen { mode } => {
                write!(f, "others may read or write it (mode {mode:04o}): chmod 600")
            }
            Self::NotAFile => write!(f, "it is not a regular file"),
            Self::TooLong { max } => write!(f, "it is longer than {max} bytes"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for SecretError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// A temporary file beside the final one, gone when dropped.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn create(directory: &Path, name: &OsStr) -> io::Result<(File, Self)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        for _ in 0..DRAFT_TRIES {
            let mut draft = OsString::from(".");
            draft.push(name);
            draft.push(format!(
                ".{}-{}.new",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            ));
            let path = directory.join(draft);
            match open(&path, flags, Mode::RUSR | Mode::WUSR) {
                Ok(fd) => return Ok((File::from(fd), Self { path })),
                // Left behind by a crash of a process with our number.
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // A leftover is ugly, not harmful: it is 0600 and never read.
        let _ = unlink(&self.path);
    }
}

/// Far more than any key file.
const SECRET_BYTES_MAX: usize = 64 * 1024;
/// Leftovers of crashed processes with our number that are stepped over.
const DRAFT_TRIES: usize = 64;
