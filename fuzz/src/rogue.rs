//! A member of the realm whose every byte a script decides: it holds the realm's secret and speaks
//! the protocol by hand, with a real handshake and real seals.

use std::net::SocketAddr;

use motet_proto::EndpointKey;
use motet_proto::crypto::{Aead as _, Cipher, Crypto, Handshake as _, Role};
use motet_proto::node::endpoint_id;
use motet_wire::codec::put_vi_bytes;
use motet_wire::frame::Frame;
use motet_wire::handshake::{Hs1, Hs2, Hs3, Params};
use motet_wire::packet::{DataHeader, RealmHeader, TAG_LEN};
use motet_wire::{Control, PacketType, packet_type};

use crate::host::{REALM, SECRET};

/// Versions it offers.
const VERSIONS: u16 = 1 << 1;

/// The member.
pub struct Rogue<C: Crypto> {
    /// Who it says it is.
    pub key: EndpointKey,
    /// Where it sends from.
    pub addr: SocketAddr,
    /// The stamp of its next HS1.
    pub stamp: u64,
    /// Counter of its next realm packet.
    pub counter: u64,
    /// Its session, once there is one.
    pub link: Option<Link<C::Aead>>,
    crypto: C,
    tag: u32,
    mac1: [u8; 32],
    psk: [u8; 32],
    packets: [u8; 32],
    index: u32,
    noise: Option<C::Handshake>,
}

/// Its end of a session.
pub struct Link<A> {
    /// The other side's index.
    pub remote: u32,
    /// Number of its next packet.
    pub pn: u64,
    /// Number of its next control record.
    pub control: u64,
    /// The largest packet number that came.
    pub seen: u64,
    cipher: Cipher,
    keys: [([u8; 32], A); 2],
    phase: u8,
}

impl<C: Crypto> Rogue<C> {
    /// A member with these keys.
    pub fn new(crypto: C, addr: SocketAddr, incarnation: u64) -> Self {
        let derive = |label: &[u8]| crypto.derive(&SECRET, &[label, REALM.as_bytes()]);
        let [a, b, c, d, ..] = crypto.hash(&[b"motet realm tag", REALM.as_bytes()]);
        Self {
            key: EndpointKey { id: endpoint_id(&crypto, &crypto.public_key()), incarnation },
            addr,
            stamp: 1,
            counter: 1 << 40,
            link: None,
            tag: u32::from_le_bytes([a, b, c, d]),
            mac1: derive(b"mac1"),
            psk: derive(b"psk"),
            packets: derive(b"realm key"),
            crypto,
            index: 0,
            noise: None,
        }
    }

    /// An HS1, and the beginning of a handshake.
    pub fn hs1(&mut self, cookie: Option<[u8; 16]>) -> Vec<u8> {
        self.index += 1;
        self.stamp += 1;
        let mut hs1 = Hs1 {
            cookie_present: cookie.is_some(),
            versions: VERSIONS,
            realm_tag: self.tag,
            index: self.index,
            id: self.key.id,
            incarnation: self.key.incarnation,
            suites: self.crypto.suites(),
            stamp: self.stamp,
            message: &[0; 48],
            cookie: cookie.unwrap_or_default(),
            mac1: [0; 16],
        };
        let prologue = Hs1::prologue(&hs1.encode(Hs1::MIN_LEN));
        let seed = [self.index as u8; 32];
        let suite = hs1.suites[0];
        let mut noise = self.crypto.handshake(Role::Initiator, suite, &self.psk, &prologue, seed);
        let mut message = Vec::new();
        noise.write(&[], &mut message);
        let message = message.try_into().expect("message 1 has 48 bytes");
        hs1.message = &message;
        let mut bytes = hs1.encode(Hs1::PADDED_LEN);
        self.noise = Some(noise);
        self.remac(&mut bytes, true);
        bytes
    }

    /// Makes the mac of an HS1 right again; `append`: it has none yet.
    pub fn remac(&self, hs1: &mut Vec<u8>, append: bool) {
        if !append {
            hs1.truncate(Hs1::macced(hs1).len());
        }
        let mac = self.crypto.mac(&self.mac1, &[hs1]);
        hs1.extend_from_slice(&mac[..Hs1::MAC_LEN]);
    }

    /// The answer to an HS2: HS3 with parameters that `tweak` may change. `None` if it is not one.
    pub fn hs3(&mut self, datagram: &[u8], tweak: impl FnOnce(&mut Params)) -> Option<Vec<u8>> {
        let hs2 = Hs2::decode(datagram).ok().filter(|hs2| hs2.initiator == self.index)?;
        let mut noise = self.noise.take()?;
        if !noise.read(hs2.message, &mut Vec::new()) {
            return None;
        }
        let mut params = Params {
            name: "rogue".into(),
            incarnation: self.key.incarnation,
            max_datagram: 1_472,
            credit_bytes: 1 << 20,
            credit_packets: 1_024,
            versions: VERSIONS,
            suites: self.crypto.suites(),
            header: hs2.header().to_vec(),
            ..Params::default()
        };
        tweak(&mut params);
        let mut payload = Vec::new();
        put_vi_bytes(&mut payload, &params.encode());
        let mut message = Vec::new();
        noise.write(&payload, &mut message);
        let (ours, theirs) = noise.split()?;
        let cipher = Cipher::of_suite(hs2.suite)?;
        let keys = [ours, theirs].map(|key| (key, self.crypto.aead(cipher, &key)));
        let remote = hs2.responder;
        self.link = Some(Link { remote, pn: 0, control: 1, seen: 0, cipher, keys, phase: 0 });
        Some(Hs3 { responder: remote, message: &message }.encode())
    }

    /// A sealed DATA packet of the session; none without one.
    pub fn data(&mut self, plaintext: &[u8]) -> Option<Vec<u8>> {
        let link = self.link.as_mut()?;
        let header = DataHeader { key_phase: link.phase, index: link.remote, pn: link.pn };
        link.pn = link.pn.wrapping_add(1);
        let head = header.encode();
        let mut out = head.to_vec();
        out.extend_from_slice(plaintext);
        let tag = link.keys[0].1.seal(header.pn, &head, &mut out[head.len()..]);
        out.extend_from_slice(&tag);
        Some(out)
    }

    /// Moves the sending key on.
    pub fn update_key(&mut self) {
        if let Some(link) = &mut self.link {
            let key = self.crypto.derive(&link.keys[0].0, &[b"ku"]);
            link.keys[0] = (key, self.crypto.aead(link.cipher, &key));
            link.phase = (link.phase + 1) & 3;
        }
    }

    /// Takes note of a packet that came.
    pub fn hear(&mut self, datagram: &[u8]) {
        if packet_type(datagram) == Ok(PacketType::Data)
            && let Ok(header) = DataHeader::decode(datagram)
            && header.index == self.index
            && let Some(link) = &mut self.link
        {
            link.seen = link.seen.max(header.pn);
        }
    }

    /// The plaintext of a DATA packet of its session.
    pub fn open(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        let header = DataHeader::decode(datagram).ok().filter(|it| it.index == self.index)?;
        let (head, rest) = datagram.split_at_checked(DataHeader::LEN)?;
        let (body, tag) = rest.split_last_chunk::<TAG_LEN>()?;
        let mut body = body.to_vec();
        let link = self.link.as_ref()?;
        link.keys[1].1.open(header.pn, head, &mut body, tag).then_some(body)
    }

    /// Appends a MSG frame that carries the next control record.
    pub fn put_control(&mut self, record: &Control<'_>, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        record.encode(&mut body);
        let Some(link) = &mut self.link else { return };
        let seq = link.control;
        link.control = link.control.wrapping_add(1);
        Frame::Msg { stream: 0, seq, t_us: 0, repair: false, body: &body }.encode(out);
    }

    /// A realm packet of `from`, whoever that is: all members share what its key is made of.
    pub fn realm_packet(&mut self, mut header: RealmHeader, records: &[u8]) -> Vec<u8> {
        header.realm_tag = self.tag;
        let info: [&[u8]; 2] = [&header.id.0, &header.incarnation.to_le_bytes()];
        let key = self.crypto.derive(&self.packets, &info);
        let head = header.encode();
        let mut out = head.to_vec();
        out.extend_from_slice(records);
        let aead = self.crypto.aead(Cipher::Aes256GcmSiv, &key);
        let tag = aead.seal(header.counter, &head, &mut out[head.len()..]);
        out.extend_from_slice(&tag);
        out
    }
}
