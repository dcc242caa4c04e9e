//! Fixed headers: what stands in clear in front of sealed bytes, and the packets that have no more.
//!
//! First byte = `version << 4 | type`. A UDP payload holds exactly one packet.
//!
//! | type | name | bytes |
//! |---|---|---|
//! | 1 | REALM | `11`, u8 flags (b0 multicast copy, b1 solicit, b2 leaving), u16 epoch, u32 realm tag, 16 B id, u64 incarnation, u64 counter, sealed records, 16 B tag |
//! | 2, 3, 4 | HS1, HS2, HS3 | [`handshake`](crate::handshake) |
//! | 5 | COOKIE | `15 00 00 00`, u32 initiator's index, 16 B cookie, 16 B mac |
//! | 6 | DATA | `16`, u8 flags (b0–1 key phase), u16 zero, u32 receiver's index, u64 packet number, sealed frames, 16 B tag |
//! | 7 | MDATA | `17`, u8 epoch, u16 lane, u64 source tag, u64 packet number, sealed frames, 16 B tag |
//! | 8 | RESET | `18 00 00 00`, u32 unknown index, 16 B token |
//! | 9 | VNEG | `19 00`, u16 version bitmap, u32 initiator's index, 4 × u8 suites |
//! | 10 | HINT | `1A 00`, u16 version bitmap, u32 realm tag, 16 B id, u64 incarnation, u16 port, u8 n ≤ 4, n × (u8 family 4/6, address), zeros to 512 |
//!
//! - **W-5** A receiver drops a datagram that is empty, longer than 65,507 bytes, of an unknown
//!   version or type, or shorter than its type's fixed header.
//! - **W-6** A receiver drops a REALM, DATA or MDATA packet without room for its 16-byte tag.
//! - **W-7** A sender writes zero to reserved bits and bytes of a header; a receiver drops a packet
//!   in which one is set.
//! - **W-8** COOKIE is 40 bytes, RESET 24, VNEG 12 and HINT 512; a receiver drops any other length.
//! - **W-9** The bytes of HINT after its addresses are zero when sent and ignored when received.
//! - **W-10** Bit v of a version bitmap stands for version v.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::codec::{self, Reader};
use crate::{EndpointId, Malformed};

/// The version of this protocol: the high nibble of every packet.
pub const VERSION: u8 = 1;
/// The largest UDP payload of IPv4, in bytes.
pub const MAX_DATAGRAM: usize = 65_507;
/// Bytes of the tag behind every sealed payload.
pub const TAG_LEN: usize = 16;

/// The low nibble of a packet's first byte.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum PacketType {
    /// Beacons, membership and gossip under the realm key.
    Realm = 1,
    /// First handshake packet.
    Hs1 = 2,
    /// Second handshake packet.
    Hs2 = 3,
    /// Third handshake packet.
    Hs3 = 4,
    /// "Come again with this, I keep no state."
    Cookie = 5,
    /// Frames of a session.
    Data = 6,
    /// Frames of a multicast lane.
    Mdata = 7,
    /// "I do not know this session any more."
    Reset = 8,
    /// "These versions and suites are mine."
    Vneg = 9,
    /// A beacon in clear.
    Hint = 10,
}

impl PacketType {
    /// All types, in the order of their numbers.
    pub const ALL: &[Self] = &[
        Self::Realm,
        Self::Hs1,
        Self::Hs2,
        Self::Hs3,
        Self::Cookie,
        Self::Data,
        Self::Mdata,
        Self::Reset,
        Self::Vneg,
        Self::Hint,
    ];

    /// The first byte of such a packet.
    pub const fn first_byte(self) -> u8 {
        VERSION << 4 | self as u8
    }

    /// Bytes in front of what is sealed, or of the whole packet if nothing is.
    pub const fn min_len(self) -> usize {
        match self {
            Self::Realm => RealmHeader::LEN,
            Self::Hs1 => crate::handshake::Hs1::MIN_LEN,
            Self::Hs2 => crate::handshake::Hs2::HEADER_LEN,
            Self::Hs3 => crate::handshake::Hs3::HEADER_LEN,
            Self::Cookie => Cookie::LEN,
            Self::Data => DataHeader::LEN,
            Self::Mdata => MdataHeader::LEN,
            Self::Reset => Reset::LEN,
            Self::Vneg => Vneg::LEN,
            Self::Hint => Hint::LEN,
        }
    }
}

/// What a datagram is (W-5, W-6): version, type and bounds of its length, nothing else.
pub fn packet_type(datagram: &[u8]) -> Result<PacketType, Malformed> {
    let first = *datagram.first().ok_or(Malformed::Short)?;
    if datagram.len() > MAX_DATAGRAM {
        return Err(Malformed::Length);
    }
    if first >> 4 != VERSION {
        return Err(Malformed::Version);
    }
    let ty = PacketType::ALL.iter().find(|ty| ty.first_byte() == first);
    let ty = *ty.ok_or(Malformed::Type)?;
    let body = datagram.len().checked_sub(ty.min_len()).ok_or(Malformed::Short)?;
    let sealed = matches!(ty, PacketType::Realm | PacketType::Data | PacketType::Mdata);
    if sealed && body < TAG_LEN { Err(Malformed::Mac) } else { Ok(ty) }
}

/// Opens a packet that must be of type `ty` and takes its first byte.
pub(crate) fn open(datagram: &[u8], ty: PacketType) -> Result<Reader<'_>, Malformed> {
    let mut reader = Reader::new(datagram);
    let first = reader.get_u8()?;
    match first {
        _ if first >> 4 != VERSION => Err(Malformed::Version),
        _ if first == ty.first_byte() => Ok(reader),
        _ => Err(Malformed::Type),
    }
}

/// The clear header of DATA, which is also its additional authenticated data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DataHeader {
    /// Key phase modulo 4.
    pub key_phase: u8,
    /// The receiver's session index.
    pub index: u32,
    /// Packet number: from 0 per direction, one more per packet, never reused.
    pub pn: u64,
}

impl DataHeader {
    /// Bytes of this header.
    pub const LEN: usize = 16;

    /// The header's bytes; only the low two bits of the key phase are written.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let [a, b, c, d] = self.index.to_le_bytes();
        let [p, q, r, s, t, u, v, w] = self.pn.to_le_bytes();
        let first = PacketType::Data.first_byte();
        [first, self.key_phase & 3, 0, 0, a, b, c, d, p, q, r, s, t, u, v, w]
    }

    /// Reads the header in front of a datagram's sealed bytes.
    pub fn decode(datagram: &[u8]) -> Result<Self, Malformed> {
        let mut r = open(datagram, PacketType::Data)?;
        let key_phase = r.get_flags(3)?;
        r.get_zero(2)?;
        Ok(Self { key_phase, index: r.get_u32()?, pn: r.get_u64()? })
    }
}

/// The clear header of MDATA, which is also its additional authenticated data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MdataHeader {
    /// Low 8 bits of the lane's key epoch.
    pub epoch: u8,
    /// Lane number.
    pub lane: u16,
    /// Random name of (writer, lane, audience).
    pub source_tag: u64,
    /// Packet number of this source tag.
    pub pn: u64,
}

impl MdataHeader {
    /// Bytes of this header.
    pub const LEN: usize = 20;

    /// The header's bytes.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let fields = [PacketType::Mdata.first_byte(), self.epoch].into_iter();
        let fields = fields.chain(self.lane.to_le_bytes()).chain(self.source_tag.to_le_bytes());
        out.iter_mut().zip(fields.chain(self.pn.to_le_bytes())).for_each(|(to, from)| *to = from);
        out
    }

    /// Reads the header in front of a datagram's sealed bytes.
    pub fn decode(datagram: &[u8]) -> Result<Self, Malformed> {
        let mut r = open(datagram, PacketType::Mdata)?;
        let (epoch, lane) = (r.get_u8()?, r.get_u16()?);
        Ok(Self { epoch, lane, source_tag: r.get_u64()?, pn: r.get_u64()? })
    }
}

/// The clear header of REALM, which is also its additional authenticated data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RealmHeader {
    /// This copy was sent to the group.
    pub multicast: bool,
    /// The sender asks for a beacon in return.
    pub solicit: bool,
    /// The sender is going away.
    pub leaving: bool,
    /// Epoch of the realm key.
    pub epoch: u16,
    /// First four bytes of the realm's id.
    pub realm_tag: u32,
    /// The sender.
    pub id: EndpointId,
    /// The sender's life.
    pub incarnation: u64,
    /// One more per packet of this sender; also the nonce.
    pub counter: u64,
}

impl RealmHeader {
    /// Bytes of this header.
    pub const LEN: usize = 40;

    /// The header's bytes.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let flags =
            u8::from(self.multicast) | u8::from(self.solicit) << 1 | u8::from(self.leaving) << 2;
        let mut out = [0; Self::LEN];
        let fields = [PacketType::Realm.first_byte(), flags].into_iter();
        let fields = fields.chain(self.epoch.to_le_bytes()).chain(self.realm_tag.to_le_bytes());
        let fields = fields.chain(self.id.0).chain(self.incarnation.to_le_bytes());
        out.iter_mut().zip(fields.chain(self.counter.to_le_bytes())).for_each(|(to, v)| *to = v);
        out
    }

    /// Reads the header in front of a datagram's sealed bytes.
    pub fn decode(datagram: &[u8]) -> Result<Self, Malformed> {
        let mut r = open(datagram, PacketType::Realm)?;
        let flags = r.get_flags(7)?;
        Ok(Self {
            multicast: flags & 1 != 0,
            solicit: flags & 2 != 0,
            leaving: flags & 4 != 0,
            epoch: r.get_u16()?,
            realm_tag: r.get_u32()?,
            id: r.get_id()?,
            incarnation: r.get_u64()?,
            counter: r.get_u64()?,
        })
    }
}

/// COOKIE: a responder under load asks for proof of the address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cookie {
    /// The initiator's session index.
    pub index: u32,
    /// To be repeated in HS1.
    pub cookie: [u8; 16],
    /// Over all bytes before it, under the mac1 key.
    pub mac: [u8; 16],
}

impl Cookie {
    /// Bytes of this packet.
    pub const LEN: usize = 40;
    /// Bytes under the mac.
    pub const MACCED_LEN: usize = 24;

    /// The packet's bytes, the mac included as it stands here.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let fields = [PacketType::Cookie.first_byte(), 0, 0, 0].into_iter();
        let fields = fields.chain(self.index.to_le_bytes()).chain(self.cookie).chain(self.mac);
        out.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        out
    }

    /// Reads a whole packet. The mac is not checked.
    pub fn decode(datagram: &[u8]) -> Result<Self, Malformed> {
        let mut r = open(datagram, PacketType::Cookie)?;
        r.get_zero(3)?;
        let packet = Self { index: r.get_u32()?, cookie: *r.get_array()?, mac: *r.get_array()? };
        r.finish().map(|()| packet)
    }

    /// The bytes under the mac; shorter only if the datagram is.
    pub fn macced(datagram: &[u8]) -> &[u8] {
        datagram.get(..Self::MACCED_LEN).unwrap_or(datagram)
    }
}

/// RESET: the receiver of a DATA packet does not know its session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reset {
    /// The index that is not known.
    pub index: u32,
    /// The token given in the handshake.
    pub token: [u8; 16],
}

impl Reset {
    /// Bytes of this packet.
    pub const LEN: usize = 24;

    /// The packet's bytes.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let fields = [PacketType::Reset.first_byte(), 0, 0, 0].into_iter();
        let fields = fields.chain(self.index.to_le_bytes()).chain(self.token);
        out.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        out
    }

    /// Reads a whole packet.
    pub fn decode(datagram: &[u8]) -> Result<Self, Malformed> {
        let mut r = open(datagram, PacketType::Reset)?;
        r.get_zero(3)?;
        let packet = Self { index: r.get_u32()?, token: *r.get_array()? };
        r.finish().map(|()| packet)
    }
}

/// VNEG: what a responder can do, when an HS1 asked for something else.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Vneg {
    /// Bitmap of versions (W-10).
    pub versions: u16,
    /// The initiator's session index.
    pub index: u32,
    /// Cipher suites, best first, padded with 0.
    pub suites: [u8; 4],
}

impl Vneg {
    /// Bytes of this packet.
    pub const LEN: usize = 12;

    /// The packet's bytes.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let [v, w] = self.versions.to_le_bytes();
        let [a, b, c, d] = self.index.to_le_bytes();
        let [p, q, r, s] = self.suites;
        [PacketType::Vneg.first_byte(), 0, v, w, a, b, c, d, p, q, r, s]
    }

    /// Reads a whole packet.
    pub fn decode(datagram: &[u8]) -> Result<Self, Malformed> {
        let mut r = open(datagram, PacketType::Vneg)?;
        r.get_zero(1)?;
        let packet = Self { versions: r.get_u16()?, index: r.get_u32()?, suites: *r.get_array()? };
        r.finish().map(|()| packet)
    }
}

/// HINT: "somebody is here", in clear; it proves nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hint {
    /// Bitmap of versions (W-10).
    pub versions: u16,
    /// First four bytes of the realm's id.
    pub realm_tag: u32,
    /// The sender.
    pub id: EndpointId,
    /// The sender's life.
    pub incarnation: u64,
    /// UDP port at all addresses.
    pub port: u16,
    /// At most [`Hint::MAX_ADDRESSES`].
    pub addresses: Vec<IpAddr>,
}

impl Hint {
    /// Bytes of this packet.
    pub const LEN: usize = 512;
    /// Addresses that a HINT can name.
    pub const MAX_ADDRESSES: u8 = 4;

    /// The packet's bytes; addresses above the maximum are left out.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::LEN);
        out.extend_from_slice(&[PacketType::Hint.first_byte(), 0]);
        codec::put_u16(&mut out, self.versions);
        codec::put_u32(&mut out, self.realm_tag);
        out.extend_from_slice(&self.id.0);
        codec::put_u64(&mut out, self.incarnation);
        codec::put_u16(&mut out, self.port);
        codec::put_addresses(&mut out, &self.addresses, Self::MAX_ADDRESSES);
        out.resize(Self::LEN, 0);
        out
    }

    /// Reads a whole packet.
    pub fn decode(datagram: &[u8]) -> Result<Self, Malformed> {
        let packet = datagram.get(..Self::LEN).ok_or(Malformed::Short)?;
        let mut r = open(packet, PacketType::Hint)?;
        if datagram.len() > Self::LEN {
            return Err(Malformed::Trailing);
        }
        r.get_zero(1)?;
        Ok(Self {
            versions: r.get_u16()?,
            realm_tag: r.get_u32()?,
            id: r.get_id()?,
            incarnation: r.get_u64()?,
            port: r.get_u16()?,
            addresses: r.get_addresses(Self::MAX_ADDRESSES)?,
        })
    }
}
