//! Does a program have that port? The endpoint's own socket cannot tell: what ICMP says of one
//! address would fail a send to another. A connected socket of its own can.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};

/// Addresses that are probed at once.
const PROBES_MAX: usize = 8;

/// Sockets that wait for ICMP, each connected to an address that did not answer.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    waiting: Vec<(SocketAddr, UdpSocket)>,
}

impl Probes {
    /// Sends one byte to each address, of which nobody takes notice: it is no packet of ours. What
    /// comes back is there at the next [`refused`](Self::refused).
    pub(super) fn start(&mut self, addrs: impl Iterator<Item = SocketAddr>) {
        for addr in addrs.filter(|addr| addr.port() != 0).take(PROBES_MAX) {
            if !self.waiting.iter().any(|(known, _)| *known == addr)
                && let Some(socket) = probe(addr)
            {
                self.waiting.push((addr, socket));
            }
        }
        let more = self.waiting.len().saturating_sub(PROBES_MAX);
        self.waiting.drain(..more);
    }

    /// The probed addresses at which no program listens. Ends all probes.
    pub(super) fn refused(&mut self) -> Vec<SocketAddr> {
        let refused = |(addr, socket): (SocketAddr, UdpSocket)| {
            let answer = socket.recv(&mut [0]).err().map(|error| error.kind());
            (answer == Some(ErrorKind::ConnectionRefused)).then_some(addr)
        };
        self.waiting.drain(..).filter_map(refused).collect()
    }
}

/// A socket that has sent its byte; without one the outcome stays what it was.
fn probe(addr: SocketAddr) -> Option<UdpSocket> {
    let any: SocketAddr =
        if addr.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect(addr).ok()?;
    socket.send(&[0]).ok()?;
    Some(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_without_a_program_is_refused_and_one_with_a_program_is_not() {
        let local: SocketAddr = ([127, 0, 0, 1], 0).into();
        let listener = UdpSocket::bind(local).unwrap();
        let closed = UdpSocket::bind(local).unwrap().local_addr().unwrap();
        let open = listener.local_addr().unwrap();
        let mut probes = Probes::default();
        // On loopback ICMP is there before the send returns.
        probes.start([open, closed, closed].into_iter());
        assert_eq!(probes.waiting.len(), 2, "each address once");
        assert_eq!(probes.refused(), [closed]);
        assert!(probes.refused().is_empty());
        probes.start((1..100).map(|port| SocketAddr::from(([127, 0, 0, 1], port))));
        assert_eq!(probes.waiting.len(), PROBES_MAX);
    }
}
