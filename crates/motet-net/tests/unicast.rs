//! Datagrams between two real sockets on loopback.
#![allow(clippy::unwrap_used)] // in the functions that the tests share, too

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use motet_net::{
    Bind, BindError, Datagram, Ecn, RecvBatch, SendError, UnicastSocket, interfaces, wait_readable,
};

const PATIENCE: Duration = Duration::from_secs(5);

/// Source, destination, interface, mark and bytes of each datagram.
type Heard = (SocketAddr, Option<IpAddr>, u32, Option<Ecn>, Vec<u8>);

fn hear(socket: &UnicastSocket, bytes: usize) -> Vec<Heard> {
    let mut batch = RecvBatch::default();
    let mut heard = Vec::new();
    while heard.iter().map(|heard: &Heard| heard.4.len()).sum::<usize>() < bytes {
        assert!(wait_readable(socket, PATIENCE).unwrap(), "only {heard:?}");
        match socket.recv(&mut batch) {
            Ok(runs) => assert!(runs > 0),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        heard.extend(
            batch
                .datagrams()
                .map(|(meta, bytes)| (meta.src, meta.dst, meta.iface, meta.ecn, bytes.to_vec())),
        );
    }
    heard
}

fn plain(dst: SocketAddr, contents: &[u8]) -> Datagram<'_> {
    Datagram { dst, src: None, ecn: None, contents, segment: None }
}

fn any() -> UnicastSocket {
    UnicastSocket::bind(Bind::Addr((Ipv6Addr::UNSPECIFIED, 0).into()))
        .or_else(|_| UnicastSocket::bind(Bind::Addr((Ipv4Addr::UNSPECIFIED, 0).into())))
        .unwrap()
}

fn lo() -> u32 {
    interfaces().unwrap().into_iter().find(|interface| interface.loopback).unwrap().index
}

#[test]
fn a_run_arrives_as_its_datagrams_with_and_without_offload() {
    let (from, to) = (any(), any());
    let dst = SocketAddr::from((Ipv4Addr::LOCALHOST, to.local_port()));
    let contents: Vec<u8> = (0..100_000u32).map(|i| (i / 1_000) as u8).collect();
    let offload = from.gso();
    for gso in [true, false] {
        from.set_gso(gso);
        from.try_send(&Datagram { segment: Some(1_200), ..plain(dst, &contents) }).unwrap();
        let heard = hear(&to, contents.len());
        assert_eq!(heard.len(), 84);
        assert!(heard[..83].iter().all(|heard| heard.4.len() == 1_200));
        assert_eq!(heard.into_iter().flat_map(|heard| heard.4).collect::<Vec<_>>(), contents);
        assert_eq!(from.gso(), gso && offload);
    }
    assert_eq!(to.kernel_drops(), 0);
}

#[test]
fn ipv4_is_ipv4_on_a_dual_stack_socket_and_the_asked_address_is_told() {
    let (from, to) = (any(), any());
    let asked = IpAddr::from([127, 0, 0, 9]);
    let src = IpAddr::from([127, 0, 0, 8]);
    let dst = SocketAddr::from((asked, to.local_port()));
    from.try_send(&Datagram { src: Some(src), ecn: Some(Ecn::Ect0), ..plain(dst, b"hello") })
        .unwrap();
    let heard = hear(&to, 5);
    let expected = (
        SocketAddr::from((src, from.local_port())),
        Some(asked),
        lo(),
        Some(Ecn::Ect0),
        b"hello".to_vec(),
    );
    assert_eq!(heard, [expected]);
    // Answered from the address that was asked.
    to.try_send(&Datagram { src: heard[0].1, ..plain(heard[0].0, b"back") }).unwrap();
    assert_eq!(hear(&from, 4)[0].0, dst);
}

#[test]
fn ipv6_goes_through_the_same_socket() {
    let (from, to) = (any(), any());
    if !(from.is_dual_stack() && interfaces().unwrap().iter().any(|i| i.loopback && i.has_ipv6())) {
        println!("skipped: no IPv6 on loopback");
        return;
    }
    let dst = SocketAddr::from((Ipv6Addr::LOCALHOST, to.local_port()));
    from.try_send(&Datagram { ecn: Some(Ecn::Ect0), ..plain(dst, b"six") }).unwrap();
    let heard = hear(&to, 3);
    assert_eq!((heard[0].1, heard[0].2, heard[0].3), (Some(dst.ip()), lo(), Some(Ecn::Ect0)));
    assert_eq!(heard[0].0, SocketAddr::from((Ipv6Addr::LOCALHOST, from.local_port())));
}

#[test]
fn a_mapped_destination_works_on_an_ipv4_socket() {
    let from = UnicastSocket::bind(Bind::Addr((Ipv4Addr::UNSPECIFIED, 0).into())).unwrap();
    let to = UnicastSocket::bind(Bind::Addr((Ipv4Addr::LOCALHOST, 0).into())).unwrap();
    assert!(!from.is_dual_stack());
    let mapped = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), to.local_port()));
    from.try_send(&plain(mapped, b"mapped")).unwrap();
    assert_eq!(hear(&to, 6)[0].0, SocketAddr::from((Ipv4Addr::LOCALHOST, from.local_port())));
    let six = SocketAddr::from((Ipv6Addr::LOCALHOST, to.local_port()));
    assert!(matches!(from.try_send(&plain(six, b"six")), Err(SendError::Unreachable(_))));
}

#[test]
fn what_cannot_be_sent_is_told_and_disturbs_nothing() {
    let (from, to) = (any(), any());
    let offload = from.gso();
    let dst = SocketAddr::from((Ipv4Addr::LOCALHOST, to.local_port()));
    let big = vec![0; 65_600];
    assert!(matches!(from.try_send(&plain(dst, &big)), Err(SendError::TooBig)));
    assert!(matches!(
        from.try_send(&plain(SocketAddr::from((dst.ip(), 0)), b"x")),
        Err(SendError::Unreachable(_))
    ));
    // Not addresses of this machine (RFC 5737, RFC 3849); the latter gives EINVAL.
    let mut gone = vec![(IpAddr::from([203, 0, 113, 77]), dst)];
    if from.is_dual_stack() {
        let six = SocketAddr::from((Ipv6Addr::LOCALHOST, to.local_port()));
        gone.push(("2001:db8::77".parse().unwrap(), six));
    }
    for (src, dst) in gone {
        let run = Datagram { src: Some(src), segment: Some(1), ..plain(dst, b"abc") };
        assert!(matches!(from.try_send(&run), Err(SendError::Unreachable(_))), "{src}");
        assert_eq!(from.gso(), offload);
    }
    // A source that no datagram to there can have is left out.
    for src in ["224.0.0.1", "255.255.255.255", "0.0.0.0", "::1"] {
        from.try_send(&Datagram { src: Some(src.parse().unwrap()), ..plain(dst, b"x") }).unwrap();
    }
    assert_eq!(hear(&to, 4).len(), 4);
    from.try_send(&Datagram { ecn: Some(Ecn::Ect0), ..plain(dst, b"fine") }).unwrap();
    let heard = hear(&to, 4);
    assert_eq!((heard[0].3, &heard[0].4[..]), (Some(Ecn::Ect0), &b"fine"[..]));
}

#[test]
fn a_full_send_buffer_never_blocks_and_everything_sent_is_received_or_counted() {
    let (from, to) = (any(), any());
    let dst = SocketAddr::from((Ipv4Addr::LOCALHOST, to.local_port()));
    let run = vec![7; 60_000];
    for _ in 0..1_000 {
        match from.try_send(&Datagram { segment: Some(1_200), ..plain(dst, &run) }) {
            Ok(()) | Err(SendError::WouldBlock { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert!(to.kernel_drops() > 0);
    let mut batch = RecvBatch::default();
    assert!(to.recv(&mut batch).unwrap() > 0);
}

#[test]
fn a_taken_port_is_told_and_the_first_free_one_is_another() {
    let first = any();
    let port = first.local_port();
    let again = UnicastSocket::bind(Bind::Addr((Ipv4Addr::UNSPECIFIED, port).into()));
    assert!(matches!(again, Err(BindError::InUse { port: taken }) if taken == port));

    let endpoints: Vec<_> = (0..3).map(|_| UnicastSocket::bind(Bind::FirstFree).unwrap()).collect();
    let ports: BTreeSet<_> = endpoints.iter().map(UnicastSocket::local_port).collect();
    assert_eq!(ports.len(), 3);
    let in_order: Vec<_> = endpoints.iter().map(UnicastSocket::local_port).collect();
    // Others on this machine may hold some; if they hold all 64, any port will do.
    if ports.iter().all(|port| UnicastSocket::PORTS.contains(port)) {
        assert!(in_order.is_sorted(), "{in_order:?}");
    }
}

#[test]
fn the_buffers_are_read_back_and_checked() {
    let socket = any();
    let buffers = socket.buffers().unwrap();
    assert!(buffers.recv > 0 && buffers.recv <= UnicastSocket::RECV_BUFFER);
    if buffers.recv_max.is_some_and(|max| max >= UnicastSocket::RECV_BUFFER) {
        assert_eq!(buffers.recv, UnicastSocket::RECV_BUFFER);
    }
    let findings = motet_net::check::check_buffers(&socket);
    assert_eq!(findings.len(), 2);
    assert_eq!(findings[0].ok, buffers.recv == UnicastSocket::RECV_BUFFER);
    assert!(findings.iter().all(|finding| finding.ok != finding.remedy.is_some()));
}
