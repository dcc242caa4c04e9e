//! Names of endpoints as they stand on the wire.

use core::fmt;

/// The first 16 bytes of SHA-256(`"motet-id"` ‖ static public key): an identity nobody can claim.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EndpointId(pub [u8; 16]);

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One life of an endpoint: its identity and its incarnation, which rises with every start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct EndpointKey {
    /// Who.
    pub id: EndpointId,
    /// Which life: `max(stored + 1, unix_ms << 8 | rand8)`.
    pub incarnation: u64,
}
