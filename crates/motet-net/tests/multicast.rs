//! Groups, interfaces and their changes, with real sockets; where it is allowed also in a network
//! namespace of our own.
#![allow(clippy::unwrap_used)] // in the functions that the tests share, too

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use motet_net::check::check_multicast;
use motet_net::{
    Bind, Datagram, Interface, InterfaceWatch, MulticastSocket, SendError, UnicastSocket,
    interfaces, wait_readable,
};

const PATIENCE: Duration = Duration::from_secs(5);

fn lo() -> Interface {
    interfaces().unwrap().into_iter().find(|interface| interface.loopback).unwrap()
}

/// The group on a port that no endpoint uses.
fn group() -> SocketAddr {
    let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    SocketAddr::new(MulticastSocket::GROUP_V4.ip(), port)
}

fn hear(socket: &MulticastSocket) -> (Vec<u8>, SocketAddr) {
    assert!(wait_readable(socket, PATIENCE).unwrap(), "nothing arrived");
    let mut buffer = [0; 2_048];
    let (length, from) = socket.try_recv(&mut buffer).unwrap();
    (buffer[..length].to_vec(), from)
}

fn silent(socket: &MulticastSocket) -> bool {
    socket.try_recv(&mut [0; 16]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[test]
fn a_datagram_to_the_group_on_loopback_is_heard_by_both_sockets() {
    let (lo, group) = (lo(), group());
    let one = MulticastSocket::open(&lo, group).unwrap();
    let two = MulticastSocket::open(&lo, group).unwrap();
    assert_eq!(
        (one.iface(), one.group(), one.source()),
        (lo.index, group, Some(Ipv4Addr::LOCALHOST))
    );
    assert!(silent(&two));
    one.try_send(b"here I am").unwrap();
    for socket in [&one, &two] {
        let (bytes, from) = hear(socket);
        assert_eq!((&bytes[..], from.ip()), (&b"here I am"[..], Ipv4Addr::LOCALHOST.into()));
        assert!(silent(socket));
    }
}

#[test]
fn a_socket_hears_neither_another_group_nor_unicast_on_its_port() {
    let (lo, group) = (lo(), group());
    let socket = MulticastSocket::open(&lo, group).unwrap();
    let other =
        MulticastSocket::open(&lo, SocketAddr::new([239, 192, 137, 2].into(), group.port()))
            .unwrap();
    other.try_send(b"another group").unwrap();
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let _ = sender.send_to(b"unicast", (Ipv4Addr::LOCALHOST, group.port()));
    // Loopback delivers inside the send, so what is not here by now does not come.
    assert_eq!(hear(&other).0, b"another group");
    assert!(silent(&socket));
}

#[test]
fn sockets_of_two_interfaces_do_not_hear_each_other() {
    let group = group();
    let sockets: Vec<_> = interfaces()
        .unwrap()
        .iter()
        .filter(|interface| interface.up && interface.ipv4().is_some())
        .map(|interface| MulticastSocket::open(interface, group).unwrap())
        .collect();
    let (lo, others) = sockets.split_first().unwrap();
    lo.try_send(b"inside").unwrap();
    assert_eq!(hear(lo).0, b"inside");
    assert!(others.iter().all(silent));
}

#[test]
fn a_group_that_is_none_is_refused() {
    let error =
        MulticastSocket::open(&lo(), SocketAddr::from(([10, 0, 0, 1], 37_320))).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn ipv6_multicast_on_loopback_is_heard_or_refused_when_sending() {
    let lo = lo();
    let group = SocketAddr::new(MulticastSocket::GROUP_V6.ip(), group().port());
    if !lo.has_ipv6() {
        println!("skipped: no IPv6 on loopback");
        return;
    }
    let one = MulticastSocket::open(&lo, group).unwrap();
    match one.try_send(b"six") {
        Ok(()) => assert_eq!(hear(&one).0, b"six"),
        Err(error) => println!("IPv6 multicast on loopback: {error}"),
    }
}

#[test]
fn the_check_hears_its_own_probe_on_loopback() {
    let finding = check_multicast(&lo(), MulticastSocket::GROUP_V4, PATIENCE);
    assert!(finding.ok, "{finding:?}");
    assert_eq!(finding.remedy, None);
}

#[test]
fn with_loopback_alone_multicast_works_and_a_new_address_is_noticed() {
    let me = std::env::current_exe().unwrap();
    let inner = ["--exact", "inside_a_namespace_of_its_own", "--ignored", "--nocapture"];
    let allowed = Command::new("unshare").args(["-rn", "ip", "link", "set", "lo", "up"]).output();
    if !allowed.as_ref().is_ok_and(|output| output.status.success()) {
        println!("skipped: no network namespace to be had ({allowed:?})");
        return;
    }
    let output = Command::new("unshare").arg("-rn").arg(me).args(inner).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
#[ignore = "changes addresses: run by its neighbour inside a network namespace"]
fn inside_a_namespace_of_its_own() {
    let ip = |arguments: &str| {
        let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "ip {arguments}: {output:?}");
    };
    assert!(
        !interfaces().unwrap().iter().any(|interface| !interface.loopback),
        "not in a namespace"
    );
    ip("link set lo up");
    let all = interfaces().unwrap();
    assert_eq!((all.len(), all[0].loopback, all[0].up), (1, true, true));
    assert!(check_multicast(&all[0], MulticastSocket::GROUP_V4, PATIENCE).ok);
    println!("{:?}", check_multicast(&all[0], MulticastSocket::GROUP_V6, PATIENCE));

    ip("link set lo mtu 1500");
    a_segment_above_the_mtu_is_too_big_and_leaves_offload_on();

    let watch = InterfaceWatch::new().unwrap();
    assert!(!watch.drain());
    for address in ["127.0.0.77/32", "fd00::77/128"] {
        ip(&format!("addr add {address} dev lo"));
        assert!(wait_readable(&watch, PATIENCE).unwrap(), "no notice of {address}");
        assert!(watch.drain());
    }
    let expected = "127.0.0.77".parse().unwrap();
    assert!(interfaces().unwrap()[0].addresses.contains(&expected));
    ip("link set lo down");
    assert!(wait_readable(&watch, PATIENCE).unwrap());
    let down = interfaces().unwrap().into_iter().next().unwrap_or_else(|| all[0].clone());
    let finding = check_multicast(&down, MulticastSocket::GROUP_V4, PATIENCE);
    println!("{finding:?}");
    assert!(!finding.ok && finding.remedy.is_some());
}

fn a_segment_above_the_mtu_is_too_big_and_leaves_offload_on() {
    let socket = UnicastSocket::bind(Bind::FirstFree).unwrap();
    assert_eq!(socket.local_port(), *UnicastSocket::PORTS.start());
    let offload = socket.gso();
    let dst = SocketAddr::from((Ipv4Addr::LOCALHOST, socket.local_port()));
    let contents = [0; 6_000];
    for (segment, fits) in [(1_472, true), (1_473, false), (1_200, true)] {
        let run =
            Datagram { dst, src: None, ecn: None, contents: &contents, segment: Some(segment) };
        match socket.try_send(&run) {
            Ok(()) => assert!(fits, "{segment}"),
            Err(SendError::TooBig) => assert!(!fits, "{segment}"),
            Err(other) => panic!("{segment}: {other}"),
        }
        assert_eq!(socket.gso(), offload);
    }
}
