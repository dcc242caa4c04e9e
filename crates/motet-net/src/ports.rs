//! Ports with a meaning, which no socket takes by chance.

use std::ops::RangeInclusive;

use crate::multicast::MulticastSocket;
use crate::unicast::UnicastSocket;

/// That of the groups, and those where endpoints are looked for. They lie in the range out of which
/// Linux gives ports to whoever asks for any (`net.ipv4.ip_local_port_range`).
const WITH_A_MEANING: RangeInclusive<u16> =
    MulticastSocket::GROUP_PORT..=*UnicastSocket::PORTS.end();

/// A socket on any port but those with a meaning: an endpoint that takes one of them by chance keeps
/// another from the port that it was told to listen on, or from the group.
///
/// `open` binds a socket to port 0 and says which it got. What it got in vain is held meanwhile, so
/// that the kernel gives another; where nothing else is free, that is taken after all.
pub(crate) fn by_chance<S, E>(mut open: impl FnMut() -> Result<(u16, S), E>) -> Result<S, E> {
    // Ends: each turn holds another of few ports.
    let mut held = Vec::new();
    loop {
        match open() {
            Ok((port, socket)) if !WITH_A_MEANING.contains(&port) => return Ok(socket),
            Ok((_, socket)) => held.push(socket),
            Err(error) => return held.pop().ok_or(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(ports: &[Result<u16, &'static str>]) -> (Result<u16, &'static str>, usize) {
        let mut asked = 0;
        let got = by_chance(|| {
            asked += 1;
            ports[asked - 1].map(|port| (port, port))
        });
        (got, asked)
    }

    #[test]
    fn a_port_with_a_meaning_is_not_taken_while_there_is_another() {
        assert_eq!(opened(&[Ok(40_000)]), (Ok(40_000), 1));
        assert_eq!(opened(&[Ok(37_320), Ok(37_337), Ok(37_384), Ok(37_385)]), (Ok(37_385), 4));
        assert_eq!(opened(&[Ok(37_321), Ok(37_319)]), (Ok(37_319), 2));
    }

    #[test]
    fn where_nothing_else_is_free_it_is_taken_after_all() {
        assert_eq!(opened(&[Ok(37_321), Err("none is free")]), (Ok(37_321), 2));
        assert_eq!(opened(&[Err("none is free")]), (Err("none is free"), 1));
    }
}
