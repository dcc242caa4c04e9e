//! SWIM: one packet of the membership protocol, as M-1 in `docs/spec/9-membership.md` lays it out.
//!
//! | part | fields |
//! |---|---|
//! | identity | 16 B id, u64 incarnation, u32 generation, u8 family 4/6, address, u16 port |
//! | name of an identity | 16 B id, u64 incarnation, u32 generation |
//! | member | identity, u16 life count, u8 state (0 alive, 1 suspect, 2 down) |
//! | packet | identity of the sender, u16 its life count, name of the receiver, u8 message, fields, u8 n ≤ 28, n × member |
//!
//! | message | name | fields |
//! |---|---|---|
//! | 0 / 1 | PING / ACK | u8 probe |
//! | 2 | PING_REQ | identity of the target, u8 probe |
//! | 3 | INDIRECT_PING | identity of who asks, u8 probe |
//! | 4 | INDIRECT_ACK | identity of who asks, u8 probe |
//! | 5 | FORWARDED_ACK | identity of the target, u8 probe |
//! | 6 | ANNOUNCE | – |
//! | 7 | FEED | – |
//! | 8 | GOSSIP | – |
//! | 9 | TURN_UNDEAD | – |

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::codec::{self, Reader};
use crate::{EndpointKey, Malformed};

/// Members that one packet names.
pub const MAX_UPDATES: usize = 28;
/// Bytes of a member with an IPv6 address: the most that one takes.
pub const MEMBER_LEN: usize = 16 + 8 + 4 + 1 + 16 + 2 + 2 + 1;
/// Bytes of a packet without its members: the most that they take.
pub const HEAD_LEN: usize = 47 + 2 + 28 + 1 + 47 + 1 + 1;

/// Who takes part, which of its lives it is, and where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SwimIdentity {
    /// Who.
    pub key: EndpointKey,
    /// Rises when it was declared dead though it lives, and when its address changes.
    pub generation: u32,
    /// Its best address.
    pub addr: SocketAddr,
}

/// What is said of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SwimState {
    /// It answers.
    Alive,
    /// It did not answer somebody.
    Suspect,
    /// It is gone.
    Down,
}

/// One member, as its teller sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SwimMember {
    /// Who.
    pub identity: SwimIdentity,
    /// How often it has answered a suspicion in this generation.
    pub count: u16,
    /// Where it stands.
    pub state: SwimState,
}

/// What a packet is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SwimMessage {
    /// Are you there?
    Ping(u8),
    /// I am.
    Ack(u8),
    /// Ask `target` for me.
    PingReq(SwimIdentity, u8),
    /// Somebody asks whether you are there.
    IndirectPing(SwimIdentity, u8),
    /// Tell who asked that I am.
    IndirectAck(SwimIdentity, u8),
    /// `target` is there.
    ForwardedAck(SwimIdentity, u8),
    /// Here I am; who else?
    Announce,
    /// These.
    Feed,
    /// News.
    Gossip,
    /// I hold you for dead.
    TurnUndead,
}

/// One packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SwimPacket {
    /// Who sends it.
    pub src: SwimIdentity,
    /// The sender's own count.
    pub src_count: u16,
    /// For which life of whom.
    pub dst: (EndpointKey, u32),
    /// What for.
    pub message: SwimMessage,
    /// What else is told.
    pub updates: Vec<SwimMember>,
}

impl SwimIdentity {
    /// Appends the identity.
    pub fn encode(&self, out: &mut Vec<u8>) {
        codec::put_key(out, &self.key);
        codec::put_u32(out, self.generation);
        match self.addr.ip().to_canonical() {
            IpAddr::V4(ip) => {
                out.push(4);
                out.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.push(6);
                out.extend_from_slice(&ip.octets());
            }
        }
        codec::put_u16(out, self.addr.port());
    }

    /// Takes an identity.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (key, generation) = (r.get_key()?, r.get_u32()?);
        let ip = match r.get_u8()? {
            4 => IpAddr::from(*r.get_array::<4>()?),
            6 => IpAddr::from(*r.get_array::<16>()?),
            _ => return Err(Malformed::Value),
        };
        Ok(Self { key, generation, addr: SocketAddr::new(ip, r.get_u16()?) })
    }
}

impl SwimMember {
    /// Appends the member.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.identity.encode(out);
        codec::put_u16(out, self.count);
        out.push(match self.state {
            SwimState::Alive => 0,
            SwimState::Suspect => 1,
            SwimState::Down => 2,
        });
    }

    /// Takes a member.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (identity, count) = (SwimIdentity::decode(r)?, r.get_u16()?);
        let state = match r.get_u8()? {
            0 => SwimState::Alive,
            1 => SwimState::Suspect,
            2 => SwimState::Down,
            _ => return Err(Malformed::Value),
        };
        Ok(Self { identity, count, state })
    }
}

impl SwimPacket {
    /// Appends the packet. Members above [`MAX_UPDATES`] are left out.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.src.encode(out);
        codec::put_u16(out, self.src_count);
        codec::put_key(out, &self.dst.0);
        codec::put_u32(out, self.dst.1);
        let (number, about, probe) = match &self.message {
            SwimMessage::Ping(probe) => (0, None, Some(*probe)),
            SwimMessage::Ack(probe) => (1, None, Some(*probe)),
            SwimMessage::PingReq(id, probe) => (2, Some(id), Some(*probe)),
            SwimMessage::IndirectPing(id, probe) => (3, Some(id), Some(*probe)),
            SwimMessage::IndirectAck(id, probe) => (4, Some(id), Some(*probe)),
            SwimMessage::ForwardedAck(id, probe) => (5, Some(id), Some(*probe)),
            SwimMessage::Announce => (6, None, None),
            SwimMessage::Feed => (7, None, None),
            SwimMessage::Gossip => (8, None, None),
            SwimMessage::TurnUndead => (9, None, None),
        };
        out.push(number);
        if let Some(id) = about {
            id.encode(out);
        }
        out.extend(probe);
        let n = self.updates.len().min(MAX_UPDATES);
        out.push(n as u8);
        self.updates.iter().take(n).for_each(|member| member.encode(out));
    }

    /// Takes a packet that fills `bytes`.
    ///
    /// # Errors
    /// The rule that it breaks (M-1).
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let (src, src_count) = (SwimIdentity::decode(&mut r)?, r.get_u16()?);
        let dst = (r.get_key()?, r.get_u32()?);
        let number = r.get_u8()?;
        let about =
            |r: &mut Reader<'_>| Ok::<_, Malformed>((SwimIdentity::decode(r)?, r.get_u8()?));
        let message = match number {
            0 => SwimMessage::Ping(r.get_u8()?),
            1 => SwimMessage::Ack(r.get_u8()?),
            2 => about(&mut r).map(|(id, probe)| SwimMessage::PingReq(id, probe))?,
            3 => about(&mut r).map(|(id, probe)| SwimMessage::IndirectPing(id, probe))?,
            4 => about(&mut r).map(|(id, probe)| SwimMessage::IndirectAck(id, probe))?,
            5 => about(&mut r).map(|(id, probe)| SwimMessage::ForwardedAck(id, probe))?,
            6 => SwimMessage::Announce,
            7 => SwimMessage::Feed,
            8 => SwimMessage::Gossip,
            9 => SwimMessage::TurnUndead,
            _ => return Err(Malformed::Value),
        };
        let n = usize::from(r.get_u8()?);
        if n > MAX_UPDATES {
            return Err(Malformed::Count);
        }
        let mut updates = Vec::new();
        for _ in 0..n {
            updates.push(SwimMember::decode(&mut r)?);
        }
        r.finish()?;
        Ok(Self { src, src_count, dst, message, updates })
    }
}
