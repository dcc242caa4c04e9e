//! Received datagrams and the buffers they land in.

use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use quinn_udp::{BATCH_SIZE, RecvMeta};

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

/// Buffers for [`UnicastSocket::recv`](crate::UnicastSocket::recv), allocated once.
///
/// The kernel may put up to 64 datagrams of one sender into one buffer (GRO), so a buffer should
/// hold [`RecvBatch::BUFFER`] bytes; a run that does not fit is cut off. Untouched pages cost no
/// memory.
#[derive(Debug)]
pub struct RecvBatch {
    slab: Box<[u8]>,
    buffer: usize,
    metas: [Meta; BATCH_SIZE],
    filled: usize,
}

impl RecvBatch {
    /// The most buffers that one system call fills.
    pub const COUNT_MAX: usize = BATCH_SIZE;
    /// A buffer that holds any run.
    pub const BUFFER: usize = 65_536;

    /// `count` buffers (1..=[`RecvBatch::COUNT_MAX`]) of `bytes` each (at least 1).
    #[must_use]
    pub fn new(count: usize, bytes: usize) -> Self {
        let (count, buffer) = (count.clamp(1, Self::COUNT_MAX), bytes.max(1));
        let slab = vec![0; count * buffer].into_boxed_slice();
        Self { slab, buffer, metas: [Meta::default(); BATCH_SIZE], filled: 0 }
    }

    /// The filled buffers of the last receive: each a run of datagrams from one sender.
    pub fn runs(&self) -> impl Iterator<Item = (&Meta, &[u8])> {
        let buffers = self.slab.chunks_exact(self.buffer);
        self.metas[..self.filled]
            .iter()
            .zip(buffers)
            .map(|(meta, buffer)| (meta, &buffer[..meta.len.min(buffer.len())]))
    }

    /// The datagrams of the last receive, in the order of their arrival.
    pub fn datagrams(&self) -> impl Iterator<Item = (&Meta, &[u8])> {
        self.runs().flat_map(|(meta, run)| meta.split(run).map(move |datagram| (meta, datagram)))
    }

    /// Lends the buffers to `fill`, which says how many of them it has filled.
    pub(crate) fn fill<E>(
        &mut self,
        fill: impl FnOnce(&mut [IoSliceMut<'_>], &mut [Meta]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.filled = 0;
        let count = self.slab.len() / self.buffer;
        let mut buffers = self.slab.chunks_exact_mut(self.buffer);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
        let filled = fill(&mut slices[..count], &mut self.metas[..count])?;
        self.filled = filled.min(count);
        Ok(self.filled)
    }
}

impl Default for RecvBatch {
    /// As large as one system call can use: 2 MiB of address space.
    fn default() -> Self {
        Self::new(Self::COUNT_MAX, Self::BUFFER)
    }
}

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
}
