//! Realms of this user on this host: their secrets, and the lines that invite somebody.
//!
//! A realm's secret is one file, `realms/NAME.realm` in the state directory, 0600. Whoever has its
//! line is a full member.

use std::fmt;
use std::path::{Path, PathBuf};

use motet_crypto::{Invitation, RealmSecret};
use zeroize::Zeroizing;

use crate::error::RealmError;
use crate::state::StateDirectory;

/// The realms in a state directory.
///
/// ```no_run
/// # fn main() -> Result<(), motet::RealmError> {
/// let realms = motet::Realms::open()?;
/// realms.init("plant")?;
/// println!("{}", realms.invite("plant")?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Realms {
    state: StateDirectory,
}

/// One realm in a state directory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RealmInfo {
    /// Its name.
    pub name: String,
    /// The file of its secret.
    pub path: PathBuf,
    /// 16 hexadecimal digits that are equal where the secret is equal, and tell nothing else of it.
    pub fingerprint: String,
}

/// The line `motet1-…` that makes whoever has it a full member. `Debug` does not show it; it is
/// overwritten when dropped.
pub struct InvitationLine(Zeroizing<String>);

impl Realms {
    /// Those of the default state directory: `$MOTET_STATE`, else `$XDG_STATE_HOME/motet`, else
    /// `$HOME/.local/state/motet`. It is made (0700) if need be.
    ///
    /// # Errors
    /// [`RealmError`]: there is no such place, or others may write to it.
    pub fn open() -> Result<Self, RealmError> {
        Ok(Self { state: StateDirectory::open(None)? })
    }

    /// Those of this directory, made if need be.
    ///
    /// # Errors
    /// As [`Realms::open`].
    pub fn at(directory: impl AsRef<Path>) -> Result<Self, RealmError> {
        Ok(Self { state: StateDirectory::open(Some(directory.as_ref()))? })
    }

    pub(crate) fn in_directory(state: StateDirectory) -> Self {
        Self { state }
    }

    /// Makes the realm `name` with a fresh secret; true if this call made it, false if it was there
    /// already, which changes nothing.
    ///
    /// # Errors
    /// [`RealmError`].
    pub fn init(&self, name: &str) -> Result<bool, RealmError> {
        let (_, made) = self.secret_or_make(name)?;
        Ok(made)
    }

    /// The line that invites to the realm `name`.
    ///
    /// # Errors
    /// [`RealmError`]; `NotFound` if there is no such realm here.
    pub fn invite(&self, name: &str) -> Result<InvitationLine, RealmError> {
        Ok(InvitationLine(self.read(name)?.to_line()))
    }

    /// Becomes a member by a line from [`Realms::invite`]; true if this call stored it, false if
    /// the same secret was here already.
    ///
    /// # Errors
    /// [`RealmError`]; `Exists` if the realm has another secret here, which stays. Nothing is
    /// stored on error.
    pub fn join(&self, line: &str) -> Result<(RealmInfo, bool), RealmError> {
        let invitation = Invitation::from_line(line)
            .map_err(|error| RealmError::Invitation(error.to_string()))?;
        let made = self.store(&invitation)?;
        if !made && self.read(invitation.name())? != invitation {
            let name = invitation.name().to_owned();
            let path = self.path(&name);
            return Err(RealmError::Exists { name, path });
        }
        Ok((self.info(&invitation), made))
    }

    /// What is known of the realm `name`, without its secret.
    ///
    /// # Errors
    /// As [`Realms::invite`].
    pub fn show(&self, name: &str) -> Result<RealmInfo, RealmError> {
        Ok(self.info(&self.read(name)?))
    }

    /// The names of the realms here, in order, whether their files are in order or not.
    ///
    /// # Errors
    /// [`RealmError::StateDirectory`].
    pub fn list(&self) -> Result<Vec<String>, RealmError> {
        let directory = self.state.realms();
        let failed = |source| RealmError::StateDirectory { path: directory.clone(), source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            // What begins with a dot is a draft that a crash left behind.
            names.extend(name.filter(|name| !name.starts_with('.')).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// The secret of `name`, made if it is missing; whether this call made it.
    pub(crate) fn secret_or_make(&self, name: &str) -> Result<(RealmSecret, bool), RealmError> {
        match self.read(name) {
            Ok(realm) => return Ok((realm.secret().clone(), false)),
            Err(RealmError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let fresh = Invitation::new(name, RealmSecret::generate())
            .map_err(|_| RealmError::Name(name.to_owned()))?;
        let made = self.store(&fresh)?;
        // The loser of a race takes the winner's.
        Ok((self.read(name)?.secret().clone(), made))
    }

    /// The file of the realm `name`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.state.realms().join(format!("{name}{SUFFIX}"))
    }

    fn store(&self, realm: &Invitation) -> Result<bool, RealmError> {
        let path = self.path(realm.name());
        let text = realm.to_realm_file();
        motet_net::create_secret(&path, text.as_bytes())
            .map_err(|source| RealmError::Io { path, source })
    }

    fn read(&self, name: &str) -> Result<Invitation, RealmError> {
        // The name becomes part of a path.
        if Invitation::new(name, RealmSecret::from_bytes([0; 32])).is_err() {
            return Err(RealmError::Name(name.to_owned()));
        }
        let path = self.path(name);
        let text = match motet_net::read_secret(&path) {
            Ok(text) => text,
            Err(motet_net::SecretError::NotFound) => {
                return Err(RealmError::NotFound { name: name.to_owned() });
            }
            Err(motet_net::SecretError::TooOpen { mode }) => {
                return Err(RealmError::TooOpen { path, mode });
            }
            Err(motet_net::SecretError::Io(source)) => return Err(RealmError::Io { path, source }),
            Err(other) => return Err(RealmError::Damaged { path, reason: other.to_string() }),
        };
        let realm = str::from_utf8(&text)
            .map_err(|_| {
                "it is not text: join again with a line from: motet realm invite".to_owned()
            })
            .and_then(|text| Invitation::from_realm_file(text).map_err(|error| error.to_string()));
        match realm {
            Ok(realm) if realm.name() == name => Ok(realm),
            Ok(realm) => Err(RealmError::OtherRealm { path, found: realm.name().to_owned() }),
            Err(reason) => Err(RealmError::Damaged { path, reason }),
        }
    }

    fn info(&self, realm: &Invitation) -> RealmInfo {
        let parts: [&[u8]; 2] = [b"motet realm fingerprint", realm.secret().as_bytes()];
        let fingerprint = crate::state::hash(&parts);
        RealmInfo {
            name: realm.name().to_owned(),
            path: self.path(realm.name()),
            fingerprint: fingerprint[..8].iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

impl InvitationLine {
    /// The line, without a line feed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InvitationLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for InvitationLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InvitationLine(..)")
    }
}

const SUFFIX: &str = ".realm";
