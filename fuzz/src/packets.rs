//! Headers, small packets, handshake packets and their parameters.

use std::fmt::Debug;

use motet_wire::handshake::{Hs1, Hs2, Hs3, Params, is_foreign_hs1};
use motet_wire::packet::{
    Cookie, DataHeader, Hint, MdataHeader, PacketType, RealmHeader, Reset, Vneg,
};
use motet_wire::{Malformed, packet_type};

/// What is accepted says the same once it is written and read again.
fn again<T: PartialEq + Debug>(one: &T, other: Result<T, Malformed>) {
    assert_eq!(Ok(one), other.as_ref());
}

/// Each decoder reads the whole input; at most one of those of whole packets accepts it.
pub fn packets(data: &[u8]) {
    let ty = packet_type(data);
    let mut accepted = Vec::new();
    if let Ok(header) = DataHeader::decode(data) {
        again(&header, DataHeader::decode(&header.encode()));
        accepted.push(PacketType::Data);
    }
    if let Ok(header) = MdataHeader::decode(data) {
        again(&header, MdataHeader::decode(&header.encode()));
        accepted.push(PacketType::Mdata);
    }
    if let Ok(header) = RealmHeader::decode(data) {
        again(&header, RealmHeader::decode(&header.encode()));
        accepted.push(PacketType::Realm);
    }
    if let Ok(packet) = Cookie::decode(data) {
        assert_eq!(packet.encode(), data);
        assert_eq!(Cookie::macced(data).len(), Cookie::MACCED_LEN);
        accepted.push(PacketType::Cookie);
    }
    if let Ok(packet) = Reset::decode(data) {
        assert_eq!(packet.encode(), data);
        accepted.push(PacketType::Reset);
    }
    if let Ok(packet) = Vneg::decode(data) {
        assert_eq!(packet.encode(), data);
        accepted.push(PacketType::Vneg);
    }
    if let Ok(packet) = Hint::decode(data) {
        again(&packet, Hint::decode(&packet.encode()));
        accepted.push(PacketType::Hint);
    }
    if let Ok(packet) = Hs2::decode(data) {
        assert_eq!(packet.encode(), data);
        assert!(data.starts_with(&packet.header()));
        accepted.push(PacketType::Hs2);
    }
    if let Ok(packet) = Hs3::decode(data) {
        assert_eq!(packet.encode(), data);
        accepted.push(PacketType::Hs3);
    }
    let foreign = is_foreign_hs1(data);
    if let Ok(packet) = Hs1::decode(data) {
        let mut bytes = packet.encode(data.len());
        bytes.extend_from_slice(&packet.mac1);
        if !foreign {
            again(&packet, Hs1::decode(&bytes));
            accepted.push(PacketType::Hs1);
        }
        assert_eq!(Hs1::macced(data).len(), data.len() - Hs1::MAC_LEN);
        assert_eq!(Hs1::prologue(data)[2..], data[2..Hs1::PROLOGUE_LEN]);
    }
    assert!(accepted.len() <= 1, "{accepted:?}");
    if let (Ok(ty), Some(accepted)) = (ty, accepted.first()) {
        assert_eq!(ty, *accepted);
    }
    if let Ok(params) = Params::decode(data) {
        again(&params, Params::decode(&params.encode()));
    }
}
