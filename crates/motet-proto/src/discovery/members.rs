//! Who is a member.

use crate::Time;
use crate::ids::EndpointKey;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// Where a member stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberState {
    /// Its session stands.
    Live,
    /// Its session died; it is redialled.
    Dead,
    /// It said goodbye, or another took its place; remembered for 60 s.
    Left,
}

/// An endpoint with which a handshake has completed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberEntry {
    /// Who.
    pub key: EndpointKey,
    /// Its name.
    pub name: Arc<str>,
    /// Role bits of `motet_wire::record::roles`.
    pub roles: u16,
    /// Hash of its machine and boot.
    pub host_id: [u8; 16],
    /// Where it stands.
    pub state: MemberState,
    /// Since when it stands there.
    pub since: Time,
    /// The address that worked last.
    pub addr: SocketAddr,
    /// Where its last beacon came from, with the port that it advertised.
    pub source: Option<SocketAddr>,
    /// The addresses that it advertises.
    pub addresses: Vec<IpAddr>,
    /// The port that it advertises.
    pub port: u16,
    /// Version of its addresses, where a member record told it.
    pub addr_version: u64,
    /// Version of its interest set, as its last beacon told.
    pub interest_version: u64,
}
