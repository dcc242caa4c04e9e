//! Data to many at once, with real sockets on loopback; where it is allowed also in a network
//! namespace of our own.
#![allow(clippy::unwrap_used)] // in the functions that the tests share, too

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use motet_net::{
    Interface, LaneSender, LaneSocket, MulticastSocket, RecvBatch, SendError, interfaces,
    wait_readable,
};

const PATIENCE: Duration = Duration::from_secs(5);

fn lo() -> Interface {
    interfaces().unwrap().into_iter().find(|interface| interface.loopback).unwrap()
}

/// Lane `n`, on a port that no endpoint uses.
fn group(n: u8, port: u16) -> SocketAddr {
    (Ipv4Addr::new(239, 192, 138, n), port).into()
}

fn free_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Everything that comes until `bytes` of them are there: the datagrams, and how many buffers the
/// kernel filled for them.
fn hear(socket: &LaneSocket, bytes: usize) -> (Vec<Vec<u8>>, usize) {
    let mut batch = RecvBatch::default();
    let (mut heard, mut length, mut runs) = (Vec::new(), 0, 0);
    while length < bytes {
        assert!(wait_readable(socket, PATIENCE).unwrap(), "{length} of {bytes} bytes");
        runs += socket.recv(&mut batch).unwrap();
        for (meta, datagram) in batch.datagrams() {
            assert_eq!((meta.iface, meta.dst), (socket.iface(), Some(socket.group().ip())));
            length += datagram.len();
            heard.push(datagram.to_vec());
        }
    }
    (heard, runs)
}

fn silent(socket: &LaneSocket) -> bool {
    let heard = socket.recv(&mut RecvBatch::new(1, 2_048));
    heard.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

#[test]
fn one_run_reaches_every_member_of_the_lane_and_nobody_else() {
    let (lo, port) = (lo(), free_port());
    let open = |n| LaneSocket::open(&lo, group(n, port)).unwrap();
    let members = [open(7), open(7), open(7)];
    let other = open(8);
    let discovery =
        MulticastSocket::open(&lo, SocketAddr::new(MulticastSocket::GROUP_V4.ip(), port)).unwrap();
    let sender = LaneSender::open(&lo, false).unwrap();
    let run: Vec<u8> = (0..40_u8).flat_map(|n| [n; 1_200]).chain([99; 300]).collect();
    sender.try_send(group(7, port), &run, Some(1_200)).unwrap();
    for member in &members {
        let (heard, runs) = hear(member, run.len());
        assert_eq!(heard, run.chunks(1_200).map(<[u8]>::to_vec).collect::<Vec<_>>());
        println!("{} datagrams in {runs} buffers", heard.len());
        // Offload on both sides, to a group too; where the kernel has none it is one each.
        assert_eq!(runs, if sender.gso() { 1 } else { 41 });
        assert!(silent(member));
    }
    // Loopback delivers inside the send, so what is not here by now does not come.
    assert!(silent(&other));
    assert!(discovery.try_recv(&mut [0; 16]).is_err());
    let unicast = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let _ = unicast.send_to(b"unicast", (Ipv4Addr::LOCALHOST, port));
    assert!(members.iter().all(silent));
}

#[test]
fn a_run_without_offload_is_the_same_to_those_who_hear_it() {
    let (lo, port) = (lo(), free_port());
    let member = LaneSocket::open(&lo, group(1, port)).unwrap();
    let sender = LaneSender::open(&lo, false).unwrap();
    sender.set_gso(false);
    sender.try_send(group(1, port), &[5; 2_500], Some(1_000)).unwrap();
    sender.try_send(group(1, port), &[6; 700], None).unwrap();
    let (heard, runs) = hear(&member, 3_200);
    let expected = [vec![5; 1_000], vec![5; 1_000], vec![5; 500], vec![6; 700]];
    assert_eq!((heard, runs), (expected.to_vec(), 4));
}

#[test]
fn all_lanes_of_an_interface_can_be_joined_at_once_and_left() {
    let (lo, port) = (lo(), free_port());
    let open = |n| LaneSocket::open(&lo, group(n, port)).unwrap();
    let sockets: Vec<_> = (0..64).map(open).collect();
    let sender = LaneSender::open(&lo, false).unwrap();
    for (n, socket) in (0..).zip(&sockets) {
        sender.try_send(group(n, port), &[n; 9], None).unwrap();
        assert_eq!(hear(socket, 9).0, [vec![n; 9]]);
        assert!(socket.recv_buffer().unwrap() > 100_000);
    }
    drop(sockets);
    // Once more: nothing of the first membership is left.
    let again = open(3);
    sender.try_send(group(3, port), b"again", None).unwrap();
    assert_eq!(hear(&again, 5).0, [b"again"]);
}

#[test]
fn what_a_full_receive_buffer_loses_is_counted_and_the_rest_is_heard() {
    let (lo, port) = (lo(), free_port());
    let slow = LaneSocket::open(&lo, group(1, port)).unwrap();
    let sender = LaneSender::open(&lo, false).unwrap();
    assert_eq!(slow.kernel_drops(), 0);
    let sent = 4 * LaneSocket::RECV_BUFFER / 1_000;
    for _ in 0..sent {
        sender.try_send(group(1, port), &[0; 1_000], None).unwrap();
    }
    let lost = slow.kernel_drops() as usize;
    assert!((1..sent).contains(&lost), "{lost} of {sent} lost");
    let (heard, _) = hear(&slow, (sent - lost) * 1_000);
    assert_eq!(heard.len() + lost, sent);
    assert!(silent(&slow));
}

#[test]
fn an_address_that_is_no_group_is_refused_both_ways() {
    let lo = lo();
    let address = SocketAddr::from(([127, 0, 0, 1], 37_320));
    let error = LaneSocket::open(&lo, address).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let sender = LaneSender::open(&lo, false).unwrap();
    assert!(matches!(sender.try_send(address, b"x", None), Err(SendError::Unreachable(_))));
    let bare = Interface { addresses: Vec::new(), ..lo };
    for v6 in [false, true] {
        let error = LaneSender::open(&bare, v6).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }
}

#[test]
fn without_default_route_and_on_ipv6_alone_lanes_work_on_every_kind_of_interface() {
    let me = std::env::current_exe().unwrap();
    let inner = ["--exact", "inside_a_namespace_of_its_own", "--ignored", "--nocapture"];
    let allowed = Command::new("unshare").args(["-rn", "ip", "link", "set", "lo", "up"]).output();
    if !allowed.as_ref().is_ok_and(|output| output.status.success()) {
        println!("skipped: no network namespace to be had ({allowed:?})");
        return;
    }
    let output = Command::new("unshare").arg("-rn").arg(me).args(inner).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
    println!("{text}");
}

#[test]
#[ignore = "makes interfaces: run by its neighbour inside a network namespace"]
fn inside_a_namespace_of_its_own() {
    let ip = |arguments: &str| {
        let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "ip {arguments}: {output:?}");
    };
    ip("link set lo up");
    // Two ends of a cable; what we hear is our own copy. No route but those of the addresses.
    ip("link add cable0 type veth peer name cable1");
    ip("link add six0 type veth peer name six1");
    ip("link add switch0 type bridge");
    ip("link set cable1 master switch0");
    for interface in ["switch0", "cable1", "cable0", "six1", "six0"] {
        ip(&format!("link set {interface} up"));
    }
    ip("addr add 10.78.0.1/24 dev cable0");
    ip("addr add 10.79.0.1/24 dev switch0");
    ip("addr add fe80::6/64 dev six0 nodad");
    let all = interfaces().unwrap();
    let found = |name: &str| all.iter().find(|interface| interface.name == name).unwrap();
    let v6 = Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0x6d6f, 0x7465, 9);
    let v4 = Ipv4Addr::new(239, 192, 138, 9);
    for (name, ip) in [
        ("lo", IpAddr::from(v4)),
        ("cable0", v4.into()),
        ("switch0", v4.into()),
        ("six0", v6.into()),
    ] {
        let (interface, group) = (found(name), SocketAddr::new(ip, 37_320));
        let member = LaneSocket::open(interface, group).unwrap();
        let sender = LaneSender::open(interface, group.is_ipv6()).unwrap();
        assert_eq!(sender.is_ipv6(), group.is_ipv6());
        let contents: Vec<u8> = (0..20_u8).flat_map(|n| [n; 1_200]).collect();
        sender.try_send(group, &contents, Some(1_200)).unwrap();
        let (heard, runs) = hear(&member, contents.len());
        assert_eq!(heard.concat(), contents);
        println!("{name}: offload {}, {} datagrams in {runs} buffers", sender.gso(), heard.len());
        // Above the MTU nothing leaves, and offload is not to blame.
        let (gso, above) = (sender.gso(), interface.mtu as usize);
        if name != "lo" {
            let refused = sender.try_send(group, &vec![0; 2 * above], Some(above));
            assert!(matches!(refused, Err(SendError::TooBig)), "{refused:?}");
        }
        assert_eq!(sender.gso(), gso);
    }
}
