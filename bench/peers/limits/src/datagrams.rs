//! UDP: one call per message, or trains of datagrams by GSO and GRO.

use std::io::{ErrorKind, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use bench_harness::{Args, Outcome, PROBE, Reader, Writer};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Socket, Type};

/// Largest payload of one send call.
const TRAIN: usize = 65_000;
/// Largest payload of a datagram; larger messages are cut.
const DATAGRAM: usize = 65_000;
/// Socket buffers: what Linux commonly allows at most.
const BUFFER: usize = 4 << 20;

/// A blocking socket with large buffers, connected to the other end if that is known.
pub(crate) fn socket(local: u16, remote: Option<u16>) -> Outcome<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_send_buffer_size(BUFFER)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, local)).into())?;
    if let Some(remote) = remote {
        socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, remote)).into())?;
    }
    Ok(socket.into())
}

/// Sends a probe every millisecond until the measurement begins. Nobody may listen yet.
pub(crate) fn probe(
    writer: &Writer,
    mut send: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> Outcome {
    while !writer.started() {
        match send(PROBE) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error.into()),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

pub(crate) fn publish(args: &Args) -> Outcome {
    let socket = socket(0, Some(args.port()?))?;
    let mut writer = Writer::new(args)?;
    probe(&writer, |probe| socket.send(probe).map(drop))?;
    let payload = writer.payload().to_vec();
    while !writer.stopped() {
        for part in payload.chunks(DATAGRAM) {
            socket.send(part)?;
        }
        writer.sent();
    }
    writer.done();
    Ok(())
}

pub(crate) fn subscribe(args: &Args) -> Outcome {
    let socket = socket(args.port()?, None)?;
    let reader = Reader::new(args)?;
    let (size, mut buffer, mut bytes) = (args.size()?, vec![0; 1 << 16], 0);
    loop {
        let length = socket.recv(&mut buffer)?;
        if length == PROBE.len() {
            reader.received(length);
            continue;
        }
        bytes += length;
        if bytes >= size {
            bytes -= size;
            reader.received_many(1);
        }
    }
}

pub(crate) fn publish_trains(args: &Args) -> Outcome {
    let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port()?));
    let socket = socket(0, Some(remote.port()))?;
    let state = UdpSocketState::new((&socket).into())?;
    socket.set_nonblocking(false)?; // the state has made it non-blocking; a full socket shall wait
    let mut writer = Writer::new(args)?;
    probe(&writer, |probe| socket.send(probe).map(drop))?;
    let size = args.size()?;
    let count = (TRAIN / size).min(state.max_gso_segments()).max(1);
    let train = vec![0x5a; size * count];
    let transmit = |contents| Transmit {
        destination: remote,
        ecn: None,
        contents,
        segment_size: (count > 1).then_some(size),
        src_ip: None,
    };
    while !writer.stopped() {
        for part in train.chunks(TRAIN) {
            state.try_send((&socket).into(), &transmit(part))?;
        }
        writer.sent_many(count as u64);
    }
    writer.done();
    Ok(())
}

pub(crate) fn subscribe_trains(args: &Args) -> Outcome {
    let socket = socket(args.port()?, None)?;
    let state = UdpSocketState::new((&socket).into())?;
    socket.set_nonblocking(false)?;
    let reader = Reader::new(args)?;
    let (size, mut bytes) = (args.size()?, 0);
    let mut buffers = vec![vec![0; 1 << 16]; quinn_udp::BATCH_SIZE];
    let mut metas = vec![RecvMeta::default(); quinn_udp::BATCH_SIZE];
    loop {
        let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        let count = state.recv((&socket).into(), &mut slices, &mut metas)?;
        for meta in &metas[..count] {
            if meta.len == PROBE.len() || meta.stride == PROBE.len() {
                reader.received(PROBE.len());
                continue;
            }
            bytes += meta.len;
            reader.received_many((bytes / size) as u64);
            bytes %= size;
        }
    }
}
