//! Is this machine fit for it? What was looked at, what was found, what to do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use motet_net::{Class, Interface, check};

use crate::driver::Hold;
use crate::endpoint::Endpoint;
use crate::report::DoctorFinding;

impl Endpoint {
    /// Looks at everything that commonly keeps endpoints apart: interfaces, whether multicast
    /// really comes back, buffers, open files, the clock, the realm's file, others on the network.
    /// Takes about half a second per interface at most.
    ///
    /// # Cancel safety
    /// Cancel safe: nothing is changed.
    pub async fn doctor(&self) -> Vec<DoctorFinding> {
        let hold = std::sync::Arc::clone(&self.hold);
        // The probes block.
        tokio::task::spawn_blocking(move || examine(&hold)).await.unwrap_or_default()
    }
}

fn examine(hold: &Hold) -> Vec<DoctorFinding> {
    let core = &hold.core;
    let mut findings = Vec::new();
    let sockets = &core.sockets;
    match sockets.interfaces() {
        Err(error) => findings.push(bad(
            "interfaces",
            format!("the network interfaces cannot be listed: {error}"),
            "allow netlink in the sandbox",
        )),
        Ok(interfaces) => {
            let names: Vec<_> = interfaces.iter().map(|each| each.name.as_str()).collect();
            let only_loopback = interfaces.iter().all(|each| each.loopback);
            if only_loopback && !sockets.plan.host_only {
                let what = "no network interface but loopback is up: only this host is reached";
                findings.push(bad("interfaces", what.to_owned(), "connect the network"));
            } else {
                findings.push(good("interfaces", format!("in use: {}", names.join(", "))));
            }
            for interface in &interfaces {
                let groups = [
                    sockets.plan.group_v4.filter(|_| interface.ipv4().is_some()),
                    sockets.plan.group_v6.filter(|_| interface.has_ipv6() && !interface.loopback),
                ];
                let families = groups.map(|group| group.is_some());
                let probed = groups.into_iter().flatten().map(|group| {
                    finding("multicast", check::check_multicast(interface, group, PROBE))
                });
                let probed: Vec<_> = probed.collect();
                let lanes = lanes(interface, &probed, families);
                findings.extend(probed.into_iter().chain(lanes));
            }
            if !sockets.plan.multicast() {
                let what = "multicast is off: this host and named peers only, and no lanes";
                findings.push(good("multicast", what.to_owned()));
            }
        }
    }
    let buffers = check::check_buffers(&sockets.unicast);
    findings.extend(buffers.into_iter().map(|found| finding("buffers", found)));
    findings.push(finding("files", check::check_files(FILES)));
    findings.push(clock());
    findings.push(realm(hold));
    findings.extend(neighbours(hold));
    findings
}

/// Whether one packet can go to many readers on `interface`, whose discovery groups were `probed`.
/// One family is enough.
fn lanes(
    interface: &Interface,
    probed: &[DoctorFinding],
    groups: [bool; 2],
) -> Option<DoctorFinding> {
    let name = &interface.name;
    let each = "each reader of a topic gets packets of its own";
    let families = [LANES_V4, LANES_V6].into_iter().zip(groups).filter(|(_, probed)| *probed);
    let works = families.zip(probed).find(|(_, found)| found.ok);
    let Some(((lanes, _), _)) = works else {
        let remedy = probed.iter().find_map(|found| found.remedy.as_deref())?;
        let what = format!("no lanes on {name}, as multicast does not work: {each}");
        return Some(bad("lanes", what, remedy));
    };
    // A firewall may know the discovery group alone.
    let found = check::check_multicast(interface, lanes, PROBE);
    Some(match found.remedy {
        Some(remedy) => {
            bad("lanes", format!("no lanes on {name}: {}; {each}", found.what), &remedy)
        }
        None if interface.class == Class::Wifi => good(
            "lanes",
            format!(
                "lanes on {name} only for very many readers: it is Wi-Fi, where multicast is slow"
            ),
        ),
        None => good("lanes", format!("lanes work on {name}")),
    })
}

fn clock() -> DoctorFinding {
    let year = 1970 + motet_net::wall_ms() / MS_PER_YEAR;
    if (YEAR_MIN..YEAR_MAX).contains(&year) {
        return good("clock", format!("the clock is plausible (year {year})"));
    }
    let what = format!("the clock says it is the year {year}: ages and restarts are misjudged");
    bad("clock", what, "timedatectl set-ntp true")
}

fn realm(hold: &Hold) -> DoctorFinding {
    let about = &hold.core.about;
    let Some(path) = &about.realm_file else {
        let what = format!("realm {:?} is open: anybody on the network is a member", about.realm);
        return bad("realm", what, "leave out --insecure");
    };
    match motet_net::read_secret(path) {
        Ok(_) => {
            good("realm", format!("realm {:?} has a secret in {}", about.realm, path.display()))
        }
        Err(error) => bad(
            "realm",
            format!("the realm file {} cannot be used: {error}", path.display()),
            &format!("chmod 600 {0}, or join again: motet realm join", path.display()),
        ),
    }
}

fn neighbours(hold: &Hold) -> Vec<DoctorFinding> {
    let heard = hold.core.with(|inner, now| crate::ask::neighbours(inner, now));
    let each = heard.into_iter().map(|neighbour| {
        let address = neighbour.address;
        if neighbour.kind == "wrong-key" {
            let what = format!("{address} uses this realm's name with another secret");
            bad(
                "neighbours",
                what,
                "on one of the two: motet realm invite, on the other: motet realm join",
            )
        } else {
            good("neighbours", format!("{address} is of another realm"))
        }
    });
    let each: Vec<_> = each.collect();
    if each.is_empty() {
        return vec![good("neighbours", "nobody of another realm was heard".to_owned())];
    }
    each
}

fn finding(check: &str, found: check::Finding) -> DoctorFinding {
    DoctorFinding { check: check.to_owned(), ok: found.ok, what: found.what, remedy: found.remedy }
}

fn good(check: &str, what: String) -> DoctorFinding {
    DoctorFinding { check: check.to_owned(), ok: true, what, remedy: None }
}

fn bad(check: &str, what: String, remedy: &str) -> DoctorFinding {
    DoctorFinding { check: check.to_owned(), ok: false, what, remedy: Some(remedy.to_owned()) }
}

/// A datagram that comes back at all does so at once; this is for a busy machine.
const PROBE: Duration = Duration::from_millis(250);
/// The first lane of each family, for all of them; the probe has a port of its own.
const LANES_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 192, 138, 0)), 0);
const LANES_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0x6d6f, 0x7465, 0)), 0);
/// Two sockets of each of 64 interfaces in two families, 128 lanes, and what the program itself
/// needs.
const FILES: u64 = 512;
const MS_PER_YEAR: u64 = 31_556_952_000;
/// The project did not exist before.
const YEAR_MIN: u64 = 2025;
const YEAR_MAX: u64 = 2100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_need_multicast_of_one_family_and_say_what_helps() {
        let all = motet_net::interfaces().unwrap();
        let lo = all.into_iter().find(|interface| interface.loopback).unwrap();
        let works = good("multicast", "works".to_owned());
        let fails = bad("multicast", "does not come back".to_owned(), "ip link set lo up");

        assert_eq!(lanes(&lo, &[], [false, false]), None, "multicast is off");
        let found = lanes(&lo, &[fails.clone(), fails.clone()], [true, true]).unwrap();
        assert_eq!((found.ok, found.remedy.as_deref()), (false, Some("ip link set lo up")));
        let found = lanes(&lo, &[works.clone(), fails], [true, true]).unwrap();
        assert_eq!((found.ok, &found.what[..]), (true, "lanes work on lo"));
        let wifi = Interface { class: Class::Wifi, ..lo };
        let found = lanes(&wifi, &[works], [true, false]).unwrap();
        assert!(found.ok && found.what.contains("Wi-Fi"), "{found:?}");
    }
}
