//! Received datagrams and the buffers they land in.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use bytes::BytesMut;
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};

use crate::sys;
use crate::unicast::{Ecn, unmapped_socket};

/// What the kernel says about the contents of one buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The sender. An IPv4 address is one, not an IPv6 address with IPv4 inside.
    pub src: SocketAddr,
    /// The address of ours that was written to; answer from it.
    pub dst: Option<IpAddr>,
    /// Index of the interface it came in by; 0 if unknown.
    pub iface: u32,
    /// Congestion mark.
    pub ecn: Option<Ecn>,
    /// Bytes filled.
    pub len: usize,
    /// Bytes per datagram; the last may be shorter. Equal to `len` for a single datagram.
    pub stride: usize,
}

impl Meta {
    /// The datagrams in `buffer`, the one that was filled.
    pub fn split<'a>(&self, buffer: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        // An empty datagram has no stride; as no protocol of ours sends one it is passed over.
        buffer[..self.len.min(buffer.len())].chunks(self.stride.max(1))
    }
}

impl Default for Meta {
    fn default() -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self { src: nowhere, dst: None, iface: 0, ecn: None, len: 0, stride: 0 }
    }
}

impl From<&RecvMeta> for Meta {
    fn from(meta: &RecvMeta) -> Self {
        Self {
            src: unmapped_socket(meta.addr),
            dst: meta.dst_ip.map(|address| address.to_canonical()),
            iface: meta.interface_index.unwrap_or(0),
            ecn: meta.ecn.map(Ecn::from),
            len: meta.len,
            stride: meta.stride,
        }
    }
}

/// Buffers for [`UnicastSocket::recv`](crate::UnicastSocket::recv), used again and again.
///
/// The kernel may put up to 64 datagrams of one sender into one buffer (GRO), so a buffer should
/// hold [`RecvBatch::BUFFER`] bytes; a run that does not fit is cut off. It begins with a few
/// buffers and has more once one receive fills them all. What is [taken](RecvBatch::take) comes
/// back when nobody holds it any more.
#[derive(Debug)]
pub struct RecvBatch {
    buffers: Vec<BytesMut>,
    most: usize,
    size: usize,
    metas: [Meta; BATCH_SIZE],
    filled: usize,
    /// The rests of buffers whose beginning was taken, about the oldest first; those whole again.
    taken: VecDeque<BytesMut>,
    free: Vec<BytesMut>,
    /// How often the oldest was found in use.
    refused: u32,
}

impl RecvBatch {
    /// The most buffers that one system call fills.
    pub const COUNT_MAX: usize = BATCH_SIZE;
    /// A buffer that holds any run.
    pub const BUFFER: usize = 65_536;

    /// Up to `count` buffers (1..=[`RecvBatch::COUNT_MAX`]) of `bytes` each (at least 1).
    #[must_use]
    pub fn new(count: usize, bytes: usize) -> Self {
        let (most, size) = (count.clamp(1, Self::COUNT_MAX), bytes.max(1));
        let buffers = (0..most.min(COUNT_FIRST)).map(|_| BytesMut::zeroed(size)).collect();
        let (metas, taken) = ([Meta::default(); BATCH_SIZE], VecDeque::new());
        Self { buffers, most, size, metas, filled: 0, taken, free: Vec::new(), refused: 0 }
    }

    /// The filled buffers of the last receive: each a run of datagrams from one sender.
    pub fn runs(&self) -> impl Iterator<Item = (&Meta, &[u8])> {
        let runs = self.metas[..self.filled].iter().zip(&self.buffers);
        runs.map(|(meta, buffer)| (meta, &buffer[..meta.len.min(buffer.len())]))
    }

    /// The datagrams of the last receive, in the order of their arrival.
    pub fn datagrams(&self) -> impl Iterator<Item = (&Meta, &[u8])> {
        self.runs().flat_map(|(meta, run)| meta.split(run).map(move |datagram| (meta, datagram)))
    }

    /// Whether the last receive may have left something: it filled all that it was given.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.filled == self.buffers.len()
    }

    /// The run of number `index` of the last receive, without a copy: its buffer goes with it and
    /// another takes its place. Once only: afterwards that run is empty.
    pub fn take(&mut self, index: usize) -> Option<(Meta, BytesMut)> {
        let meta = *self.metas[..self.filled].get(index)?;
        let fresh = self.fresh();
        let mut buffer = std::mem::replace(self.buffers.get_mut(index)?, fresh);
        let run = buffer.split_to(meta.len.min(buffer.len()));
        buffer.clear();
        self.taken.push_back(buffer);
        self.metas[index].len = 0;
        Some((meta, run))
    }

    /// A buffer that nobody holds any more, or a new one. Of those the last to become free: it is
    /// the likeliest to be near the processor.
    fn fresh(&mut self) -> BytesMut {
        while let Some(oldest) = self.taken.front_mut() {
            if !oldest.try_reclaim(self.size) {
                self.refused += 1;
                if self.refused >= PATIENCE {
                    self.refused = 0;
                    self.taken.rotate_left(1); // somebody keeps it
                }
                break;
            }
            self.refused = 0;
            self.free.extend(self.taken.pop_front());
        }
        if self.taken.len() + self.free.len() > TAKEN_MAX && self.free.pop().is_none() {
            self.taken.pop_front();
        }
        match self.free.pop() {
            Some(buffer) => sys::refilled(buffer, self.size),
            None => BytesMut::zeroed(self.size),
        }
    }

    /// Lends the buffers to `fill`, which says how many of them it has filled.
    pub(crate) fn fill<E>(
        &mut self,
        fill: impl FnOnce(&mut [IoSliceMut<'_>], &mut [Meta]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        if self.is_full() && self.filled < self.most {
            let more = self.filled.min(self.most - self.filled);
            self.buffers.extend((0..more).map(|_| BytesMut::zeroed(self.size)));
        }
        self.filled = 0;
        let count = self.buffers.len();
        let mut buffers = self.buffers.iter_mut();
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] = std::array::from_fn(|_| {
            IoSliceMut::new(buffers.next().map_or(&mut [], |buffer| &mut buffer[..]))
        });
        self.filled = fill(&mut slices[..count], &mut self.metas[..count])?.min(count);
        Ok(self.filled)
    }
}

impl Default for RecvBatch {
    /// As much as one system call can use: 2 MiB at most.
    fn default() -> Self {
        Self::new(Self::COUNT_MAX, Self::BUFFER)
    }
}

/// One system call on `socket`, into at most [`RecvBatch::COUNT_MAX`] buffers and at most as many as
/// there are `metas`: how many were filled.
pub(crate) fn receive(
    state: &UdpSocketState,
    socket: &UdpSocket,
    buffers: &mut [IoSliceMut<'_>],
    metas: &mut [Meta],
) -> io::Result<usize> {
    let count = buffers.len().min(metas.len()).min(BATCH_SIZE);
    if count == 0 {
        return Ok(0);
    }
    let mut received = [RecvMeta::default(); BATCH_SIZE];
    let filled = state.recv(socket.into(), &mut buffers[..count], &mut received[..count])?;
    for (meta, received) in metas.iter_mut().zip(&received[..filled]) {
        *meta = Meta::from(received);
    }
    Ok(filled)
}

/// Buffers at first.
const COUNT_FIRST: usize = 4;
/// Buffers that are remembered while somebody holds what was in them.
const TAKEN_MAX: usize = 64;
/// When the oldest was found in use so often, it goes to the end.
const PATIENCE: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_splits_at_its_stride_and_an_empty_datagram_is_passed_over() {
        let meta = Meta { len: 7, stride: 3, ..Meta::default() };
        let parts: Vec<_> = meta.split(b"abcdefg---").collect();
        assert_eq!(parts, [&b"abc"[..], b"def", b"g"]);
        assert_eq!(Meta::default().split(b"---").count(), 0);
    }

    fn filled(batch: &mut RecvBatch, with: &[&[u8]]) {
        let fill = |buffers: &mut [IoSliceMut<'_>], metas: &mut [Meta]| {
            for ((buffer, meta), bytes) in buffers.iter_mut().zip(metas).zip(with) {
                buffer[..bytes.len()].copy_from_slice(bytes);
                *meta = Meta { len: bytes.len(), stride: bytes.len(), ..Meta::default() };
            }
            Ok::<_, ()>(with.len().min(buffers.len()))
        };
        batch.fill(fill).unwrap();
    }

    #[test]
    fn a_taken_run_stays_as_it_is_and_its_memory_comes_back_when_it_is_dropped() {
        let mut batch = RecvBatch::new(1, 8);
        filled(&mut batch, &[b"first"]);
        let (meta, first) = batch.take(0).unwrap();
        assert_eq!((meta.len, &first[..]), (5, &b"first"[..]));
        assert!(batch.take(1).is_none());
        assert!(batch.runs().all(|(_, run)| run.is_empty()), "it is taken once");
        filled(&mut batch, &[b"second"]);
        assert_eq!(&first[..], b"first");
        let place = first.as_ptr();
        drop(first);
        drop(batch.take(0));
        let run = batch.buffers[0].as_ptr();
        assert_eq!((run, batch.buffers[0].len()), (place, 8));
    }

    #[test]
    fn there_are_more_buffers_once_a_receive_fills_them_all() {
        let mut batch = RecvBatch::new(6, 8);
        let many: Vec<&[u8]> = vec![b"x"; 9];
        for expected in [4, 6, 6] {
            filled(&mut batch, &many);
            assert_eq!((batch.runs().count(), batch.is_full()), (expected, true));
        }
        filled(&mut batch, &many[..5]);
        assert!(!batch.is_full());
    }
}
