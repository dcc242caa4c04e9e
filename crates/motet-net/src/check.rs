//! Is this machine fit for it? Answers as data, each with the command that helps.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use crate::clock::{monotonic_now, wait_readable};
use crate::interface::Interface;
use crate::multicast::MulticastSocket;
use crate::unicast::UnicastSocket;

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found, in a sentence.
    pub what: String,
    /// What to do about it: a command, or a sentence where no single command helps. Always there
    /// when not `ok`.
    pub remedy: Option<String>,
}

/// Port of [`check_multicast`], beside that of the endpoints so that none of them is disturbed.
pub const CHECK_PORT: u16 = 37_319;

/// Whether the socket got the buffers it asked for.
#[must_use]
pub fn check_buffers(socket: &UnicastSocket) -> Vec<Finding> {
    let Ok(buffers) = socket.buffers() else {
        return vec![Finding::bad(
            "the sizes of the socket's buffers cannot be read".to_owned(),
            "allow getsockopt(2) in the sandbox".to_owned(),
        )];
    };
    vec![
        buffer("receive", buffers.recv, UnicastSocket::RECV_BUFFER, "net.core.rmem_max"),
        buffer("send", buffers.send, UnicastSocket::SEND_BUFFER, "net.core.wmem_max"),
    ]
}

/// Whether a datagram to `group` out of `iface` comes back within `deadline`: sends one for real,
/// on [`CHECK_PORT`] whatever the port of `group`. Blocks for `deadline` at most. That others on
/// the LAN hear it is not proven by this; that firewall, routes and interface of this machine let
/// it pass is.
#[must_use]
pub fn check_multicast(iface: &Interface, group: SocketAddr, deadline: Duration) -> Finding {
    let group = SocketAddr::new(group.ip(), CHECK_PORT);
    let name = &iface.name;
    let family = if group.is_ipv4() { "IPv4" } else { "IPv6" };
    match probe(iface, group, deadline) {
        Ok(true) => Finding::good(format!("{family} multicast works on {name}")),
        Ok(false) => Finding::bad(
            format!("{family} multicast to {} on {name} does not come back", group.ip()),
            format!(
                "allow UDP to {} in the firewall of this machine, or name peers by address",
                group.ip()
            ),
        ),
        Err(error) => Finding::bad(
            format!("{family} multicast to {} cannot be sent on {name}: {error}", group.ip()),
            way_out(iface, group.is_ipv4()),
        ),
    }
}

/// Whether the process may open `needed` descriptors.
#[must_use]
pub fn check_files(needed: u64) -> Finding {
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => Finding::bad(
            format!("{limit} files may be open, {needed} are needed"),
            format!("ulimit -n {needed}"),
        ),
        Some(limit) => Finding::good(format!("{limit} files may be open")),
        None => Finding::good("any number of files may be open".to_owned()),
    }
}

impl Finding {
    fn good(what: String) -> Self {
        Self { ok: true, what, remedy: None }
    }

    fn bad(what: String, remedy: String) -> Self {
        Self { ok: false, what, remedy: Some(remedy) }
    }
}

fn buffer(which: &str, granted: usize, asked: usize, sysctl: &str) -> Finding {
    if granted >= asked {
        return Finding::good(format!("the {which} buffer has {granted} bytes"));
    }
    Finding::bad(
        format!("the {which} buffer has {granted} bytes instead of {asked}: bursts may be lost"),
        format!("sysctl -w {sysctl}={asked}"),
    )
}

/// What to do when a multicast socket cannot be opened on `iface` or refuses to send.
fn way_out(iface: &Interface, ipv4: bool) -> String {
    let name = &iface.name;
    if !iface.up {
        format!("ip link set {name} up")
    } else if ipv4 && iface.ipv4().is_none() {
        format!("give {name} an IPv4 address (169.254.0.0/16 will do), or name peers by address")
    } else if !ipv4 && !iface.has_ipv6() {
        format!("sysctl -w net.ipv6.conf.{name}.disable_ipv6=0")
    } else if !iface.multicast && !iface.loopback {
        format!("ip link set {name} multicast on")
    } else if !ipv4 {
        // The kernel adds this route by itself only where the multicast flag was set in time.
        format!("ip -6 route add multicast ff00::/8 dev {name} table local")
    } else {
        "allow outgoing UDP multicast in the firewall of this machine, or name peers by address"
            .to_owned()
    }
}

fn probe(iface: &Interface, group: SocketAddr, deadline: Duration) -> io::Result<bool> {
    let socket = MulticastSocket::open(iface, group)?;
    let until = monotonic_now().saturating_add(deadline);
    // Tells our probe from that of another process that is checking now.
    let probe = format!("motet check {} {}", std::process::id(), monotonic_now().as_nanos());
    socket.try_send(probe.as_bytes()).map_err(io::Error::other)?;
    let mut heard = [0; 128];
    // The clock is asked each time: others' probes must not keep us here.
    while monotonic_now() < until && wait_readable(&socket, until.saturating_sub(monotonic_now()))?
    {
        match socket.try_recv(&mut heard) {
            Ok((length, _)) if heard[..length] == *probe.as_bytes() => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_buffer_is_told_with_the_command_that_helps() {
        let finding = buffer("receive", 212_992, UnicastSocket::RECV_BUFFER, "net.core.rmem_max");
        assert!(!finding.ok);
        assert_eq!(finding.remedy.as_deref(), Some("sysctl -w net.core.rmem_max=4194304"));
        assert!(buffer("receive", UnicastSocket::RECV_BUFFER, UnicastSocket::RECV_BUFFER, "").ok);
    }

    #[test]
    fn each_obstacle_to_multicast_has_its_remedy() {
        let lo = crate::interfaces().unwrap().into_iter().find(|i| i.loopback).unwrap();
        let eth = Interface { name: "eth7".into(), loopback: false, multicast: true, ..lo };
        let bare = Interface { addresses: Vec::new(), ..eth.clone() };
        let table = [
            (Interface { up: false, ..eth.clone() }, true, "ip link set eth7 up"),
            (Interface { multicast: false, ..eth.clone() }, true, "ip link set eth7 multicast on"),
            (bare.clone(), true, "give eth7 an IPv4 address"),
            (bare, false, "sysctl -w net.ipv6.conf.eth7.disable_ipv6=0"),
            (eth, true, "allow outgoing UDP multicast"),
        ];
        for (iface, ipv4, expected) in table {
            let remedy = way_out(&iface, ipv4);
            assert!(remedy.starts_with(expected), "{remedy}");
        }
    }

    #[test]
    fn too_few_files_are_told() {
        assert!(check_files(1).ok);
        if getrlimit(Resource::Nofile).current.is_some() {
            assert!(check_files(u64::MAX).remedy.is_some());
        }
    }
}
