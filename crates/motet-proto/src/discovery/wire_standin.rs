//! Stands in for `motet_wire::record` until it lands.
#![allow(missing_docs)]
use crate::ids::EndpointKey;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
pub mod roles {
    pub const OBSERVER: u16 = 16;
}
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beacon {
    pub port: u16,
    pub addresses: Vec<IpAddr>,
    pub name: String,
    pub roles: u16,
    pub class: u8,
    pub membership_hash: u64,
    pub interest_version: u64,
    pub members: u64,
    pub host_id: [u8; 16],
}
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    pub state: u8,
    pub key: EndpointKey,
    pub addr_version: u64,
    pub port: u16,
    pub addresses: Vec<IpAddr>,
    pub interest_version: u64,
}
