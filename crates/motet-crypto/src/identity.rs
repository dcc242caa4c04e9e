//! The static key of an endpoint: who it is, for as long as the key is kept.

use core::fmt;

use aws_lc_rs::agreement::{PrivateKey, X25519};
use motet_wire::EndpointId;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::armor::{self, Fault};

/// What the checksum of a key file begins with.
const DOMAIN: &[&[u8]] = &[b"motet key"];

/// A static X25519 key pair (RFC 7748).
#[derive(Clone)]
pub struct Identity {
    private: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl Identity {
    /// A fresh key from the operating system's generator.
    pub fn generate() -> Self {
        let mut private = Zeroizing::new([0; 32]);
        crate::random(&mut *private);
        Self::new(private)
    }

    /// The identity of a raw private key. Every 32 bytes are one; RFC 7748 §5 clamps them on use.
    pub fn from_bytes(private: [u8; 32]) -> Self {
        Self::new(Zeroizing::new(private))
    }

    fn new(private: Zeroizing<[u8; 32]>) -> Self {
        let (_, public) = x25519(&private);
        Self { private, public }
    }

    /// The public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.public
    }

    /// The name of this identity on the wire.
    pub fn endpoint_id(&self) -> EndpointId {
        endpoint_id(&self.public)
    }

    /// The text of a key file: one line `motet-key1-…` that ends in a line feed. It is the secret
    /// itself: the file is for its owner only (0600).
    pub fn to_key_file(&self) -> Zeroizing<String> {
        let code = armor::encode(DOMAIN, &*self.private);
        Zeroizing::new(["motet-key1-", &code, "\n"].concat())
    }

    /// Reads the text of a key file. White space and upper case do no harm.
    ///
    /// # Errors
    /// [`KeyFileError`] by kind; the text is never repeated in it.
    pub fn from_key_file(text: &str) -> Result<Self, KeyFileError> {
        let text = armor::normal(text)?;
        let body = armor::decode(DOMAIN, armor::strip_version(&text, "MOTET-KEY", Some('-'))?)?;
        let private = <[u8; 32]>::try_from(&body[..]).map_err(|_| KeyFileError::Damaged)?;
        Ok(Self::from_bytes(private))
    }

    pub(crate) fn private(&self) -> &[u8; 32] {
        &self.private
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?})", self.endpoint_id())
    }
}

/// The id of the holder of a public key: the first 16 bytes of SHA-256(`"motet-id"` ‖ key).
pub fn endpoint_id(public_key: &[u8; 32]) -> EndpointId {
    let hash = crate::sha256(&[b"motet-id", public_key]);
    let mut id = EndpointId::default();
    id.0.copy_from_slice(&hash[..16]);
    id
}

/// The key pair of 32 raw bytes, as aws-lc holds it, and its public key.
pub(crate) fn x25519(private: &[u8; 32]) -> (PrivateKey, [u8; 32]) {
    let key = PrivateKey::from_private_key(&X25519, private).expect("any 32 bytes are a key");
    let public = key.compute_public_key().expect("every X25519 key has a public key");
    let mut bytes = [0; 32];
    bytes.copy_from_slice(public.as_ref());
    (key, bytes)
}

/// Why [`Identity::from_key_file`] refused a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It does not start with `motet-key1-`.
    #[error("this is not a motet key file: name another file, or remove it to get a new key")]
    NotAKey,
    /// The checksum or the length is wrong.
    #[error("the key file is damaged: restore it, or remove it to get a new key")]
    Damaged,
    /// It was written by a later version.
    #[error("the key file is of a newer motet: update motet on this machine")]
    Newer,
}

impl From<Fault> for KeyFileError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Foreign => Self::NotAKey,
            Fault::Damaged => Self::Damaged,
            Fault::Newer => Self::Newer,
        }
    }
}
