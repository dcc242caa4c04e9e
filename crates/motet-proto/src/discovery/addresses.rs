//! Which addresses we advertise, and in which order those of others are tried.

use crate::host::{InterfaceInfo, Via};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Addresses advertised, and addresses tried (§2.3, §2.4 step 6).
pub(super) const ADDRESSES_MAX: usize = 8;

/// How names of interfaces begin that lead to containers of this host: their addresses mean
/// something else, or nothing, on every other host.
const BRIDGES: [&str; 9] =
    ["docker", "br-", "veth", "virbr", "podman", "cni", "flannel", "lxcbr", "lxdbr"];

/// What the interfaces have become.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Change {
    /// Something that concerns discovery is different.
    pub(super) any: bool,
    /// A loopback address is there that was not.
    pub(super) loopback: bool,
}

#[derive(Debug)]
pub(super) struct Own {
    pub(super) interfaces: Vec<InterfaceInfo>,
    advertise: Vec<IpAddr>,
    port: u16,
    pub(super) host_id: [u8; 16],
    pub(super) version: u64,
}

/// What is known of where a peer can be reached.
pub(super) struct Known<'a> {
    /// The address of its last session.
    pub(super) worked: Option<SocketAddr>,
    /// Where its beacon came from, with the port that it advertised.
    pub(super) source: Option<SocketAddr>,
    pub(super) addresses: &'a [IpAddr],
    pub(super) port: u16,
    pub(super) host_id: Option<[u8; 16]>,
    /// The interface its beacon came in by: the scope of its link-local addresses. 0 if unknown.
    pub(super) iface: u32,
}

impl Own {
    pub(super) fn new(advertise: Vec<IpAddr>, port: u16, host_id: [u8; 16]) -> Self {
        Self { interfaces: Vec::new(), advertise, port, host_id, version: 1 }
    }

    pub(super) fn update(&mut self, interfaces: &[InterfaceInfo]) -> Change {
        let before = self.loopbacks();
        let same = self.interfaces.len() == interfaces.len()
            && self.interfaces.iter().zip(interfaces).all(|(a, b)| {
                (a.index, &a.addresses, a.multicast) == (b.index, &b.addresses, b.multicast)
            });
        if same {
            return Change::default();
        }
        let advertised = self.advertised();
        self.interfaces = interfaces.to_vec();
        if advertised != self.advertised() {
            self.version += 1; // D-6
        }
        let loopback = self.loopbacks().iter().any(|ip| !before.contains(ip));
        Change { any: true, loopback }
    }

    /// Those of 127.0.0.1 and ::1 that we have.
    pub(super) fn loopbacks(&self) -> Vec<IpAddr> {
        let ours = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        ours.into_iter().filter(|ip| self.has(*ip)).collect()
    }

    pub(super) fn is_own(&self, addr: SocketAddr) -> bool {
        addr.port() == self.port && self.has(addr.ip())
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn groups(
        &self,
        (v4, v6): (Option<SocketAddr>, Option<SocketAddr>),
    ) -> Vec<(Via, SocketAddr)> {
        let mut all = Vec::new();
        for face in &self.interfaces {
            let iface = face.index;
            if let (true, Some(group)) = (face.multicast.0, v4) {
                all.push((Via::Group { iface, v6: false }, group));
            }
            if let (true, Some(mut group)) = (face.multicast.1, v6) {
                if let SocketAddr::V6(group) = &mut group {
                    group.set_scope_id(iface);
                }
                all.push((Via::Group { iface, v6: true }, group));
            }
        }
        all
    }

    /// Kind of the interface that our best address is of.
    pub(super) fn class(&self) -> u8 {
        let best = self.advertised().first().copied();
        let of = |face: &&InterfaceInfo| face.addresses.iter().any(|(ip, _)| Some(*ip) == best);
        self.interfaces.iter().find(of).map_or(0, |face| face.class)
    }

    /// Our addresses for others, best first (D-7).
    pub(super) fn advertised(&self) -> Vec<IpAddr> {
        let mut all = self.advertise.clone();
        if all.is_empty() {
            let outward = self.interfaces.iter().filter(|face| !face.loopback && !bridge(face));
            all = outward.flat_map(addresses).filter(|ip| !ip.is_loopback()).collect();
            all.sort_by_key(|ip| preference(*ip));
        }
        if all.is_empty() {
            all = self.interfaces.iter().flat_map(addresses).collect();
            all.sort_by_key(|ip| preference(*ip));
        }
        let mut unique = Vec::new();
        all.into_iter().for_each(|ip| push_new(&mut unique, ip));
        unique.truncate(ADDRESSES_MAX);
        unique
    }

    /// Where to try a peer: what worked, its beacon's source, our subnets, the rest (D-14).
    pub(super) fn candidates(&self, peer: &Known<'_>) -> Vec<SocketAddr> {
        let same_host = peer.host_id.is_some_and(|id| id == self.host_id && id != [0; 16]);
        let mut told: Vec<IpAddr> = peer.addresses.to_vec();
        told.retain(|ip| !ip.is_unspecified() && !ip.is_multicast());
        told.retain(|ip| same_host || !ip.is_loopback());
        told.sort_by_key(|ip| !self.on_our_subnet(*ip));
        let told = told.into_iter().filter_map(|ip| scoped(ip, peer.port, peer.iface));

        let mut all = Vec::new();
        for addr in peer.worked.into_iter().chain(peer.source).chain(told) {
            if addr.port() != 0 && !self.is_own(addr) {
                push_new(&mut all, addr);
            }
        }
        all.truncate(ADDRESSES_MAX);
        all
    }

    fn has(&self, ip: IpAddr) -> bool {
        self.interfaces.iter().flat_map(addresses).any(|own| own == ip)
    }

    fn on_our_subnet(&self, ip: IpAddr) -> bool {
        let all = self.interfaces.iter().flat_map(|face| &face.addresses);
        all.into_iter().any(|(own, prefix)| same_subnet(*own, ip, *prefix))
    }
}

fn addresses(face: &InterfaceInfo) -> impl Iterator<Item = IpAddr> + '_ {
    face.addresses.iter().map(|(ip, _)| *ip)
}

fn bridge(face: &InterfaceInfo) -> bool {
    BRIDGES.iter().any(|start| face.name.starts_with(start))
}

/// IPv4 first (shortest way to most peers), then IPv6 that needs no scope.
fn preference(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(ip) if ip.is_link_local() => 2,
        IpAddr::V4(_) => 0,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => 3,
        IpAddr::V6(_) => 1,
    }
}

/// A link-local address means nothing without the link it is on.
fn scoped(ip: IpAddr, port: u16, iface: u32) -> Option<SocketAddr> {
    match ip {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            (iface != 0).then(|| SocketAddr::V6(SocketAddrV6::new(ip, port, 0, iface)))
        }
        _ => Some(SocketAddr::new(ip, port)),
    }
}

fn same_subnet(a: IpAddr, b: IpAddr, prefix: u8) -> bool {
    let (a, b, width) = match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        _ => return false,
    };
    let host_bits = width - u32::from(prefix).min(width);
    (a ^ b).checked_shr(host_bits).unwrap_or(0) == 0
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}
