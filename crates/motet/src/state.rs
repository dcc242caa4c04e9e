//! Files of an endpoint: the state directory, and the key file with its incarnation.

use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use motet_crypto::{AwsLc, Identity, RealmSecret};
use motet_net::FileLock;
use motet_proto::crypto::Crypto;

use crate::error::{OpenError, RealmError};

/// The directory that all endpoints of a user share, so that two of them meet with nothing set.
#[derive(Clone, Debug)]
pub(crate) struct StateDirectory {
    path: PathBuf,
}

impl StateDirectory {
    /// `given`, else that of the environment; made (0700) if it is missing.
    pub(crate) fn open(given: Option<&Path>) -> Result<Self, RealmError> {
        let path = match given {
            Some(path) => path.to_owned(),
            None => default_path(|name| std::env::var_os(name).map(PathBuf::from))
                .ok_or(RealmError::NoStateDirectory)?,
        };
        let state = Self { path };
        for directory in [state.path.clone(), state.realms()] {
            let failed = |source| RealmError::StateDirectory { path: directory.clone(), source };
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(&directory).map_err(failed)?;
            let mode = std::fs::metadata(&directory).map_err(failed)?.permissions().mode() & 0o7777;
            // Who may write here may put a secret of their own in place. Reading names is no harm.
            if mode & 0o022 != 0 && mode & 0o1000 == 0 {
                return Err(RealmError::DirectoryTooOpen { path: directory, mode });
            }
        }
        Ok(state)
    }

    pub(crate) fn realms(&self) -> PathBuf {
        self.path.join("realms")
    }

    /// Where peers are remembered; made when the first are.
    pub(crate) fn peers(&self) -> PathBuf {
        self.path.join("peers")
    }
}

fn default_path(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // The XDG base directory specification: a relative path is to be ignored.
    let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
    variable("MOTET_STATE")
        .filter(|path| !path.as_os_str().is_empty())
        .or_else(|| absolute("XDG_STATE_HOME").map(|path| path.join("motet")))
        .or_else(|| absolute("HOME").map(|path| path.join(".local/state/motet")))
}

/// The key of an endpoint, its incarnation, and the lock on its file while it is used.
pub(crate) struct KeyRing {
    pub(crate) identity: Identity,
    pub(crate) incarnation: u64,
    pub(crate) lock: Option<FileLock>,
}

impl KeyRing {
    /// A fresh key.
    pub(crate) fn fresh() -> Self {
        let incarnation = incarnation(0);
        Self { identity: Identity::generate(), incarnation, lock: None }
    }

    /// The key in `path`, made (0600) if it is missing.
    pub(crate) fn of_file(path: &Path) -> Result<Self, OpenError> {
        let wrong = |reason: String| OpenError::KeyFile { path: path.to_owned(), reason };
        let broken = |error: io::Error| wrong(error.to_string());
        // Beside the key and not on it: the key appears by link(2), whole or not at all.
        let lock = FileLock::acquire(&beside(path, "lock")).map_err(broken)?;
        let Some(lock) = lock else { return Err(OpenError::KeyInUse { path: path.to_owned() }) };
        let text = match motet_net::read_secret(path) {
            Err(motet_net::SecretError::NotFound) => {
                let fresh = Identity::generate().to_key_file();
                motet_net::create_secret(path, fresh.as_bytes()).map_err(broken)?;
                motet_net::read_secret(path)
            }
            read => read,
        };
        let text = text.map_err(|error| wrong(error.to_string()))?;
        let text = str::from_utf8(&text)
            .map_err(|_| wrong("it is not text: name another file, or remove it".to_owned()))?;
        let identity = Identity::from_key_file(text).map_err(|error| wrong(error.to_string()))?;
        let stored = beside(path, "incarnation");
        let last = match std::fs::read_to_string(&stored) {
            Ok(text) => text
                .trim()
                .parse()
                .map_err(|_| wrong(format!("{} is damaged: remove it", stored.display())))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(broken(error)),
        };
        let incarnation = incarnation(last);
        replace(&stored, &format!("{incarnation}\n")).map_err(broken)?;
        Ok(Self { identity, incarnation, lock: Some(lock) })
    }
}

/// `max(last + 1, unix_ms << 8 | random byte)`.
fn incarnation(last: u64) -> u64 {
    let random = u64::from(random_seed()[0]);
    last.saturating_add(1).max(motet_net::wall_ms() << 8 | random)
}

/// 32 bytes from the operating system's generator.
pub(crate) fn random_seed() -> [u8; 32] {
    *RealmSecret::generate().as_bytes()
}

/// SHA-256 of the parts, one after the other.
pub(crate) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    // A key is not needed for it, but the one hash of the project is a method of the provider.
    AwsLc::new(Identity::from_bytes([0; 32])).hash(parts)
}

/// Equal on two endpoints of one host and boot.
pub(crate) fn host_id() -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&hash(&[&motet_net::host_id_source()])[..16]);
    id
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(what);
    name.into()
}

/// Replaces a small file as a whole: a crash leaves the old one or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let draft = beside(path, "new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_follows_the_environment() {
        let path = |set: &[(&str, &str)]| {
            default_path(|name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
            })
        };
        let all = [("MOTET_STATE", "/a"), ("XDG_STATE_HOME", "/b"), ("HOME", "/c")];
        assert_eq!(path(&all), Some("/a".into()));
        assert_eq!(path(&all[1..]), Some("/b/motet".into()));
        assert_eq!(path(&all[2..]), Some("/c/.local/state/motet".into()));
        assert_eq!(path(&[("XDG_STATE_HOME", "b"), ("HOME", "/c")]), path(&all[2..]));
        assert_eq!(path(&[]), None);
    }

    #[test]
    fn an_incarnation_rises_even_when_the_clock_went_back() {
        let ahead = u64::MAX / 2;
        assert_eq!(incarnation(ahead), ahead + 1);
        assert!(incarnation(0) >> 8 >= 1_700_000_000_000);
    }
}
