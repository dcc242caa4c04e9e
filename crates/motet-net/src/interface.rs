//! The network interfaces of this machine that have an address.

use std::collections::btree_map::{BTreeMap, Entry};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::sys;

/// One interface, as it was when [`interfaces`] looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's number for it; what joins and scope ids want.
    pub index: u32,
    /// Its name, like `eth0`.
    pub name: String,
    /// Its addresses, in the kernel's order: the first IPv4 address is the primary one.
    pub addresses: Vec<IpAddr>,
    /// The same addresses, each with its prefix length in bits.
    pub subnets: Vec<(IpAddr, u8)>,
    /// Largest IP packet in bytes.
    pub mtu: u32,
    /// Whether it leads back to this machine.
    pub loopback: bool,
    /// Whether it is switched on and has a carrier.
    pub up: bool,
    /// Whether it says that it can multicast. Linux's `lo` does not say so, and can.
    pub multicast: bool,
    /// What kind it is, as far as can be told.
    pub class: Class,
}

/// What kind of network is behind an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Class {
    /// This machine only.
    Loopback,
    /// Ethernet and whatever else is not told apart.
    Wired,
    /// A radio: multicast is slow and lossy there.
    Wifi,
    /// A tunnel, a modem: one other end.
    PointToPoint,
    /// A bridge or virtual cable of containers or virtual machines on this host, without a physical
    /// port.
    ContainerBridge,
}

/// All interfaces that have an address, by index; loopback included, and nothing else when no
/// network card is up.
///
/// # Errors
/// When the kernel does not answer. An interface that vanishes meanwhile is left out.
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let asker = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut found: BTreeMap<u32, Interface> = BTreeMap::new();
    for entry in if_addrs::get_if_addrs()? {
        let Some(index) = entry.index else { continue };
        // A second IPv4 address may carry a label, `eth0:1`.
        let name = entry.name.split(':').next().unwrap_or_default();
        let interface = match found.entry(index) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let Ok(interface) = Interface::ask(&asker, index, name) else { continue };
                new.insert(interface)
            }
        };
        let (address, prefix) = match &entry.addr {
            if_addrs::IfAddr::V4(v4) => (IpAddr::V4(v4.ip), v4.prefixlen),
            if_addrs::IfAddr::V6(v6) => (IpAddr::V6(v6.ip), v6.prefixlen),
        };
        interface.addresses.push(address);
        interface.subnets.push((address, prefix));
    }
    Ok(found.into_values().collect())
}

impl Interface {
    /// The primary IPv4 address.
    #[must_use]
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        self.addresses.iter().find_map(|address| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        })
    }

    /// Whether it has any IPv6 address.
    #[must_use]
    pub fn has_ipv6(&self) -> bool {
        self.addresses.iter().any(IpAddr::is_ipv6)
    }

    /// Whether `address` lies in one of its subnets.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let shift = |bits: u32, prefix: u8| bits.saturating_sub(u32::from(prefix));
        self.subnets.iter().any(|&(own, prefix)| match (own, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(shift(32, prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(shift(128, prefix)).unwrap_or(0) == 0
            }
            _ => false,
        })
    }

    fn ask(asker: &impl AsFd, index: u32, name: &str) -> io::Result<Self> {
        // From the kernel, not from /sys, which may show another network namespace.
        let flags = sys::interface_flags(asker, name)?;
        let mtu = sys::interface_mtu(asker, name)?;
        let all = |wanted: libc::c_int| flags & wanted.cast_unsigned() == wanted.cast_unsigned();
        let loopback = all(libc::IFF_LOOPBACK);
        let class = if loopback {
            Class::Loopback
        } else if all(libc::IFF_POINTOPOINT) {
            Class::PointToPoint
        } else {
            classify(&PathBuf::from("/sys/class/net").join(name), name)
        };
        Ok(Self {
            index,
            name: name.to_owned(),
            addresses: Vec::new(),
            subnets: Vec::new(),
            mtu,
            loopback,
            up: all(libc::IFF_UP | libc::IFF_RUNNING),
            multicast: all(libc::IFF_MULTICAST),
            class,
        })
    }
}

/// By `directory`, the interface's own in `/sys/class/net`, and by the names that container engines
/// give.
fn classify(directory: &Path, name: &str) -> Class {
    if directory.join("wireless").exists() || directory.join("phy80211").exists() {
        return Class::Wifi;
    }
    if CONTAINER_NAMES.iter().any(|prefix| name.starts_with(prefix)) {
        return Class::ContainerBridge;
    }
    // A bridge with a physical port is how a host of virtual machines reaches its LAN.
    if directory.join("bridge").exists() && !has_physical_port(&directory.join("brif")) {
        return Class::ContainerBridge;
    }
    Class::Wired
}

fn has_physical_port(ports: &Path) -> bool {
    let Ok(ports) = ports.read_dir() else { return false };
    // Each entry is a link into the port's own directory, where `device` is its hardware.
    ports.flatten().any(|port| port.path().join("../device").exists())
}

/// Docker, its networks' `br-…` and cables, libvirt, Podman, LXC, LXD, Kubernetes.
const CONTAINER_NAMES: [&str; 11] = [
    "docker", "br-", "veth", "virbr", "vnet", "podman", "lxcbr", "lxdbr", "cni", "flannel", "cali",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_the_loopback_interface() {
        let all = interfaces().unwrap();
        let lo = all.iter().find(|interface| interface.loopback).unwrap();
        assert_eq!(lo.class, Class::Loopback);
        assert!(lo.up && lo.index > 0 && lo.mtu >= 1_280);
        assert_eq!(lo.ipv4(), Some(Ipv4Addr::LOCALHOST));
        assert!(
            lo.contains(IpAddr::from([127, 9, 9, 9])) && !lo.contains(IpAddr::from([128, 0, 0, 1]))
        );
        assert_eq!(lo.addresses.len(), lo.subnets.len());
    }

    #[test]
    fn classes_follow_the_directory_and_the_name() {
        let root = std::env::temp_dir().join(format!("motet-net-class-{}", std::process::id()));
        for directory in [
            "wlan0/wireless",
            "radio/phy80211",
            "kvm0/bridge",
            "br0/bridge",
            "br0/brif",
            "eth0/brport",
            "eth0/device",
        ] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        std::os::unix::fs::symlink("../../eth0/brport", root.join("br0/brif/eth0")).unwrap();
        let class = |name: &str| classify(&root.join(name), name);
        let table = [
            ("wlan0", Class::Wifi),
            ("radio", Class::Wifi),
            ("eth0", Class::Wired),
            ("kvm0", Class::ContainerBridge),
            ("br0", Class::Wired),
            ("docker0", Class::ContainerBridge),
            ("veth12ab", Class::ContainerBridge),
            ("enp3s0", Class::Wired),
        ];
        for (name, expected) in table {
            assert_eq!(class(name), expected, "{name}");
        }
        std::fs::remove_dir_all(root).unwrap();
    }
}
