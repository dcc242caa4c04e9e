//! What is remembered of one member. There may be as many of these as members times members in one
//! place (a simulation, a machine with hundreds of endpoints): nothing stands in it twice, and what few
//! have stands elsewhere.

use super::table::Handle;
use crate::Time;
use crate::ids::{EndpointId, EndpointKey};
use alloc::boxed::Box;
use core::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use core::time::Duration;
use motet_wire::record::swim::{SwimIdentity, SwimState};

/// No probe was answered yet.
const NO_RTT: u32 = u32::MAX;

/// One slot. `N` is what the user of membership keeps of this life of the member.
#[derive(Clone, Debug)]
pub(super) struct Entry<N> {
    id: EndpointId,
    incarnation: u64,
    /// Since when it is in this state.
    pub(super) since: Time,
    /// Its identity may change again from here on (M-9).
    pub(super) damped: Time,
    place: Place,
    pub(super) note: N,
    generation: u32,
    /// Microseconds.
    rtt: u32,
    pub(super) count: u16,
    pub(super) state: SwimState,
    /// A session with it stands: only a handshake may put another life in its place.
    pub(super) held: bool,
}

/// An address in half the room. Those of IPv6, if they are used at all, stand on the heap.
#[derive(Clone, Debug)]
enum Place {
    V4([u8; 4], u16),
    V6(Box<SocketAddrV6>),
}

impl Place {
    fn of(addr: SocketAddr) -> Self {
        match addr {
            SocketAddr::V4(addr) => Self::V4(addr.ip().octets(), addr.port()),
            SocketAddr::V6(addr) => Self::V6(Box::new(addr)),
        }
    }

    fn addr(&self) -> SocketAddr {
        match self {
            Self::V4(ip, port) => SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(*ip), *port)),
            Self::V6(addr) => SocketAddr::V6(**addr),
        }
    }
}

impl<N: Default> Entry<N> {
    /// Somebody who lives and of whom nothing else is known.
    pub(super) fn new(now: Time, identity: &SwimIdentity, count: u16) -> Self {
        Self {
            id: identity.key.id,
            incarnation: identity.key.incarnation,
            since: now,
            damped: Time::ZERO,
            place: Place::of(identity.addr),
            note: N::default(),
            generation: identity.generation,
            rtt: NO_RTT,
            count,
            state: SwimState::Alive,
            held: false,
        }
    }

    /// A later life of it, or a later generation of this one. What was noted is of one life.
    pub(super) fn replace(&mut self, identity: &SwimIdentity, count: u16) {
        if self.incarnation != identity.key.incarnation {
            self.note = N::default();
        }
        self.incarnation = identity.key.incarnation;
        (self.generation, self.count) = (identity.generation, count);
        self.place = Place::of(identity.addr);
    }
}

impl<N> Entry<N> {
    pub(super) fn id(&self) -> &EndpointId {
        &self.id
    }

    pub(super) fn key(&self) -> EndpointKey {
        EndpointKey { id: self.id, incarnation: self.incarnation }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.place.addr()
    }

    pub(super) fn identity(&self) -> SwimIdentity {
        SwimIdentity { key: self.key(), generation: self.generation, addr: self.addr() }
    }

    pub(super) fn handle(&self, slot: u32) -> Handle {
        Handle { incarnation: self.incarnation, slot, generation: self.generation }
    }

    /// Which of two lives of one endpoint is the later.
    pub(super) fn rank(&self) -> (u64, u32) {
        (self.incarnation, self.generation)
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        (self.rtt != NO_RTT).then(|| Duration::from_micros(self.rtt.into()))
    }

    pub(super) fn set_rtt(&mut self, rtt: Duration) {
        self.rtt = u32::try_from(rtt.as_micros()).unwrap_or(NO_RTT).min(NO_RTT - 1);
    }
}

/// Whether anybody can be reached there.
pub(super) fn usable(addr: SocketAddr) -> bool {
    let ip: IpAddr = addr.ip();
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_takes_72_bytes_and_what_is_noted_of_it() {
        assert_eq!(size_of::<Option<Entry<()>>>(), 72);
        assert_eq!(size_of::<Option<Entry<[u64; 4]>>>(), 72 + 32);
    }

    #[test]
    fn an_address_comes_out_as_it_went_in() {
        for text in ["10.1.2.3:37321", "[2001:db8::1]:9", "[fe80::1%3]:37320"] {
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(Place::of(addr).addr(), addr);
        }
    }

    #[test]
    fn a_note_is_of_one_life() {
        let addr: SocketAddr = "10.1.2.3:37321".parse().unwrap();
        let life = |incarnation, generation| SwimIdentity {
            key: EndpointKey { id: EndpointId([1; 16]), incarnation },
            generation,
            addr,
        };
        let mut entry: Entry<u64> = Entry::new(Time(1), &life(1, 0), 0);
        entry.note = 7;
        entry.replace(&life(1, 1), 0);
        assert_eq!(entry.note, 7);
        entry.replace(&life(2, 0), 0);
        assert_eq!(entry.note, 0);
    }
}
