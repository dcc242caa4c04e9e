//! The encrypted limit: what a protocol could reach that did nothing but pack, seal, send, receive
//! and open, with motet's own cipher and crypto library, and had neither acknowledgements nor order.
//!
//! Messages are copied into packets as large as the path takes; larger messages are cut. A packet is
//! an 8-byte number, sealed content, a 16-byte tag. The reader opens in place and takes the
//! messages' lengths.

use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddr};

use bench_harness::{Args, Outcome, PROBE, Reader, Writer};
use motet_crypto::Sealer;
use motet_proto::crypto::{Aead, Cipher};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};

use crate::datagrams::{probe, socket};

const NUMBER: usize = 8;
const TAG: usize = 16;
/// Largest payload of one send call.
const TRAIN: usize = 65_000;
const KEY: [u8; 32] = [7; 32];

/// Bytes of a datagram: what motet finds on the loopback, or an Ethernet's.
fn packet(args: &Args) -> usize {
    if args.text("variant") == "encrypted-1472" { 1472 } else { 65_000 }
}

pub(crate) fn publish(args: &Args) -> Outcome {
    let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port()?));
    let socket = socket(0, Some(remote.port()))?;
    let state = UdpSocketState::new((&socket).into())?;
    socket.set_nonblocking(false)?; // the state has made it non-blocking; a full socket shall wait
    let sealer = Sealer::new(Cipher::Aes256Gcm, &KEY);
    let mut writer = Writer::new(args)?;
    probe(&writer, |probe| socket.send(probe).map(drop))?;
    let payload = writer.payload().to_vec();
    let packet = packet(args);
    let room = packet - NUMBER - TAG;
    let most = (TRAIN / packet).min(state.max_gso_segments()).max(1);
    let mut train = Vec::with_capacity(TRAIN + packet);
    let (mut number, mut packets, mut offset) = (0_u64, 0, 0);
    while !writer.stopped() {
        // One packet: whole messages while they fit, or a part of one.
        let start = train.len();
        train.extend_from_slice(&number.to_le_bytes());
        let mut left = room;
        let mut messages = 0;
        while left > 0 {
            let part = (payload.len() - offset).min(left);
            if part < payload.len() && offset == 0 && payload.len() <= room {
                break; // a small message is not cut
            }
            train.extend_from_slice(&payload[offset..offset + part]);
            (left, offset) = (left - part, offset + part);
            if offset == payload.len() {
                (offset, messages) = (0, messages + 1);
            }
        }
        let body = start + NUMBER;
        let (head, content) = train.split_at_mut(body);
        let tag = sealer.seal(number, &head[start..], content);
        train.extend_from_slice(&tag);
        (number, packets) = (number + 1, packets + 1);
        let length = train.len() - start;
        if packets == most || length < train.len() / packets {
            let transmit = Transmit {
                destination: remote,
                ecn: None,
                contents: &train,
                segment_size: (packets > 1).then_some(train.len().div_ceil(packets)),
                src_ip: None,
            };
            state.try_send((&socket).into(), &transmit)?;
            train.clear();
            packets = 0;
        }
        writer.sent_many(messages);
    }
    writer.done();
    Ok(())
}

pub(crate) fn subscribe(args: &Args) -> Outcome {
    let socket = socket(args.port()?, None)?;
    let state = UdpSocketState::new((&socket).into())?;
    socket.set_nonblocking(false)?;
    let sealer = Sealer::new(Cipher::Aes256Gcm, &KEY);
    let reader = Reader::new(args)?;
    let (size, mut bytes) = (args.size()?, 0);
    let mut buffers = vec![vec![0; 1 << 16]; quinn_udp::BATCH_SIZE];
    let mut metas = vec![RecvMeta::default(); quinn_udp::BATCH_SIZE];
    loop {
        let mut slices: Vec<_> = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        let count = state.recv((&socket).into(), &mut slices, &mut metas)?;
        for (meta, buffer) in metas[..count].iter().zip(&mut buffers) {
            for packet in buffer[..meta.len].chunks_mut(meta.stride.max(1)) {
                if packet.len() == PROBE.len() {
                    reader.received(packet.len());
                    continue;
                }
                bytes += open(&sealer, packet)?;
            }
            reader.received_many((bytes / size) as u64);
            bytes %= size;
        }
    }
}

/// Opens a packet in place; the bytes of its content.
fn open(sealer: &Sealer, packet: &mut [u8]) -> Outcome<usize> {
    let length = packet.len().checked_sub(NUMBER + TAG).ok_or("a packet is too short")?;
    let (head, rest) = packet.split_at_mut(NUMBER);
    let (content, tag) = rest.split_at_mut(length);
    let number = u64::from_le_bytes(head[..].try_into()?);
    let tag: [u8; TAG] = tag[..].try_into()?;
    sealer.open(number, head, content, &tag).then_some(length).ok_or_else(|| "forged".into())
}
