//! The secret of a simple realm, the file that keeps it and the line that shares it.
//!
//! | text       | form                                                                | checksum over             |
//! |------------|---------------------------------------------------------------------|---------------------------|
//! | invitation | `motet1-`, base32 of version 1, name length, name, secret, checksum | all before it             |
//! | realm file | `motet-realm1 NAME`, next line base32 of secret, checksum           | name length, name, secret |
//!
//! A checksum is the first four bytes of SHA-256(`"motet invitation"` or `"motet realm"` ‖ body).
//! It finds mistakes of copying, not forgeries: whoever has the line is a full member.

use core::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::armor::{self, Fault};

const INVITATION: &[u8] = b"motet invitation";
const REALM_FILE: &[u8] = b"motet realm";
/// Version of an invitation's body.
const VERSION: u8 = 1;
/// Longest name of a realm, in bytes.
const MAX_NAME: usize = 63;

/// The 256-bit secret that every member of a simple realm holds. `Debug` does not show it, `==`
/// takes the same time wherever the difference is, and dropping it overwrites it.
#[derive(Clone)]
pub struct RealmSecret(Zeroizing<[u8; 32]>);

impl RealmSecret {
    /// A fresh secret from the operating system's generator.
    pub fn generate() -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        crate::random(&mut *secret);
        Self(secret)
    }

    /// The secret of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the core's configuration.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for RealmSecret {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&*self.0, &*other.0).is_ok()
    }
}

impl Eq for RealmSecret {}

impl fmt::Debug for RealmSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RealmSecret(..)")
    }
}

/// What it takes to be a member: the realm's name and its secret. The same pair is what `motet
/// realm invite` prints and what the realm file keeps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invitation {
    name: String,
    secret: RealmSecret,
}

impl Invitation {
    /// An invitation to the realm `name`: 1–63 bytes of UTF-8 without white space, control
    /// characters, `/` and `\`, not beginning with `.` or `-`, so that it can name a file and be
    /// an argument.
    ///
    /// # Errors
    /// [`RealmNameError`].
    pub fn new(name: &str, secret: RealmSecret) -> Result<Self, RealmNameError> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || c == '/' || c == '\\';
        if !(1..=MAX_NAME).contains(&name.len())
            || name.starts_with(['.', '-'])
            || name.contains(bad)
        {
            return Err(RealmNameError);
        }
        Ok(Self { name: name.to_owned(), secret })
    }

    /// The realm's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The realm's secret.
    pub fn secret(&self) -> &RealmSecret {
        &self.secret
    }

    /// The line `motet1-…`, without a line feed.
    pub fn to_line(&self) -> Zeroizing<String> {
        let mut body = self.body(&[VERSION]);
        body.extend_from_slice(self.secret.as_bytes());
        Zeroizing::new(["motet1-", &armor::encode(&[INVITATION], &body)].concat())
    }

    /// Reads a line. White space around it and in it and upper case do no harm.
    ///
    /// # Errors
    /// [`InvitationError`] by kind; the line is never repeated in it.
    pub fn from_line(line: &str) -> Result<Self, InvitationError> {
        let line = armor::normal(line)?;
        let body = armor::decode(&[INVITATION], armor::strip_version(&line, "MOTET", Some('-'))?)?;
        let (&version, body) = body.split_first().ok_or(InvitationError::Damaged)?;
        if version != VERSION {
            return Err(InvitationError::Newer);
        }
        let (&length, body) = body.split_first().ok_or(InvitationError::Damaged)?;
        let (name, secret) =
            body.split_at_checked(length.into()).ok_or(InvitationError::Damaged)?;
        let secret = <[u8; 32]>::try_from(secret).map_err(|_| InvitationError::Damaged)?;
        let secret = RealmSecret::from_bytes(secret);
        let name = str::from_utf8(name).map_err(|_| InvitationError::BadName)?;
        Self::new(name, secret).map_err(|RealmNameError| InvitationError::BadName)
    }

    /// The text of the realm file. It is the secret itself: the file is for its owner only (0600).
    pub fn to_realm_file(&self) -> Zeroizing<String> {
        let code = armor::encode(&[REALM_FILE, &self.body(&[])], self.secret.as_bytes());
        Zeroizing::new(["motet-realm1 ", &self.name, "\n", &code, "\n"].concat())
    }

    /// Reads the text of a realm file. Other line ends and the code in upper case do no harm.
    ///
    /// # Errors
    /// [`RealmFileError`] by kind; the text is never repeated in it.
    pub fn from_realm_file(text: &str) -> Result<Self, RealmFileError> {
        let text = text.trim_start_matches('\u{feff}').trim_start();
        let (head, code) = text.split_once('\n').unwrap_or((text, ""));
        let mut words = head.split_whitespace();
        let kind = armor::normal(words.next().unwrap_or_default())?;
        if !armor::strip_version(&kind, "MOTET-REALM", None)?.is_empty() {
            return Err(RealmFileError::NotARealmFile);
        }
        let name = words.next().ok_or(RealmFileError::BadName)?;
        if words.next().is_some() {
            return Err(RealmFileError::BadName);
        }
        let mut realm = Self::new(name, RealmSecret::from_bytes([0; 32]))
            .map_err(|RealmNameError| RealmFileError::BadName)?;
        let domain = [REALM_FILE, &realm.body(&[])];
        let secret = armor::decode(&domain, &armor::normal(code)?)?;
        let secret = <[u8; 32]>::try_from(&secret[..]).map_err(|_| RealmFileError::Damaged)?;
        realm.secret = RealmSecret::from_bytes(secret);
        Ok(realm)
    }

    /// `start`, the name's length and the name, with room for the secret.
    fn body(&self, start: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut body = Zeroizing::new(Vec::with_capacity(start.len() + 1 + self.name.len() + 32));
        body.extend_from_slice(start);
        body.push(self.name.len() as u8); // at most MAX_NAME
        body.extend_from_slice(self.name.as_bytes());
        body
    }
}

/// The name is not 1–63 bytes of UTF-8, or has a character that [`Invitation::new`] refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("a realm's name has 1 to 63 bytes, no white space and no slash, and no dot or dash first")]
pub struct RealmNameError;

/// Why [`Invitation::from_line`] refused a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InvitationError {
    /// It does not start with `motet1-`.
    #[error("this is not an invitation (motet1-…): ask a member for a line: motet realm invite")]
    NotAnInvitation,
    /// The checksum or a length is wrong.
    #[error("the invitation is damaged: copy all of it, or ask for a new line: motet realm invite")]
    Damaged,
    /// It was made by a later version.
    #[error("the invitation is of a newer motet: update motet on this machine")]
    Newer,
    /// The realm's name in it is none.
    #[error("the invitation names no valid realm: ask for a new line: motet realm invite")]
    BadName,
}

impl From<Fault> for InvitationError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Foreign => Self::NotAnInvitation,
            Fault::Damaged => Self::Damaged,
            Fault::Newer => Self::Newer,
        }
    }
}

/// Why [`Invitation::from_realm_file`] refused a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum RealmFileError {
    /// It does not start with `motet-realm1`.
    #[error("this is not a motet realm file: join again with a line from: motet realm invite")]
    NotARealmFile,
    /// The checksum or a length is wrong.
    #[error("the realm file is damaged: join again with a line from: motet realm invite")]
    Damaged,
    /// It was written by a later version.
    #[error("the realm file is of a newer motet: update motet on this machine")]
    Newer,
    /// The realm's name in it is none.
    #[error("the realm file names no valid realm: join again with a line from: motet realm invite")]
    BadName,
}

impl From<Fault> for RealmFileError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Foreign => Self::NotARealmFile,
            Fault::Damaged => Self::Damaged,
            Fault::Newer => Self::Newer,
        }
    }
}
