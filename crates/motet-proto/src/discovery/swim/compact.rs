//! The bytes that foca sees: slots instead of identities, each padded to what it will take on the
//! network, so that foca's limit holds there. They never leave this machine.

use super::table::Handle;
use alloc::vec::Vec;
use bytes::{Buf, BufMut};
use core::fmt;
use foca::{Header, Member, Message, State};
use motet_wire::record::swim::{HEAD_LEN, MEMBER_LEN};

const HANDLE_LEN: usize = 16;
const UPDATE_LEN: usize = HANDLE_LEN + 3;

/// foca was given bytes that this module did not write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not our bytes")
    }
}

impl core::error::Error for Broken {}

pub(super) struct Compact;

/// A packet of foca's, taken apart.
pub(super) struct Parts {
    pub(super) header: Header<Handle>,
    pub(super) updates: Vec<Member<Handle>>,
}

impl foca::Codec<Handle> for Compact {
    type Error = Broken;

    fn encode_header(
        &mut self,
        header: &Header<Handle>,
        mut buf: impl BufMut,
    ) -> Result<(), Broken> {
        if buf.remaining_mut() < HEAD_LEN {
            return Err(Broken);
        }
        put_handle(&header.src, &mut buf);
        buf.put_u16_le(header.src_incarnation);
        put_handle(&header.dst, &mut buf);
        let nobody = Handle { incarnation: 0, slot: 0, generation: 0 };
        let (number, about, probe) = match &header.message {
            Message::Ping(probe) => (0, nobody, *probe),
            Message::Ack(probe) => (1, nobody, *probe),
            Message::PingReq { target, probe_number } => (2, *target, *probe_number),
            Message::IndirectPing { origin, probe_number } => (3, *origin, *probe_number),
            Message::IndirectAck { target, probe_number } => (4, *target, *probe_number),
            Message::ForwardedAck { origin, probe_number } => (5, *origin, *probe_number),
            Message::Announce => (6, nobody, 0),
            Message::Feed => (7, nobody, 0),
            Message::Gossip => (8, nobody, 0),
            Message::TurnUndead => (9, nobody, 0),
            Message::Broadcast => return Err(Broken),
        };
        buf.put_u8(number);
        put_handle(&about, &mut buf);
        buf.put_u8(probe);
        buf.put_bytes(0, HEAD_LEN - (3 * HANDLE_LEN + 4));
        Ok(())
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<Handle>, Broken> {
        if buf.remaining() < HEAD_LEN {
            return Err(Broken);
        }
        let src = get_handle(&mut buf);
        let src_incarnation = buf.get_u16_le();
        let dst = get_handle(&mut buf);
        let number = buf.get_u8();
        let about = get_handle(&mut buf);
        let probe_number = buf.get_u8();
        buf.advance(HEAD_LEN - (3 * HANDLE_LEN + 4));
        let message = match number {
            0 => Message::Ping(probe_number),
            1 => Message::Ack(probe_number),
            2 => Message::PingReq { target: about, probe_number },
            3 => Message::IndirectPing { origin: about, probe_number },
            4 => Message::IndirectAck { target: about, probe_number },
            5 => Message::ForwardedAck { origin: about, probe_number },
            6 => Message::Announce,
            7 => Message::Feed,
            8 => Message::Gossip,
            9 => Message::TurnUndead,
            _ => return Err(Broken),
        };
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(
        &mut self,
        member: &Member<Handle>,
        mut buf: impl BufMut,
    ) -> Result<(), Broken> {
        if buf.remaining_mut() < MEMBER_LEN {
            return Err(Broken);
        }
        put_handle(member.id(), &mut buf);
        buf.put_u16_le(member.incarnation());
        buf.put_u8(match member.state() {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        });
        buf.put_bytes(0, MEMBER_LEN - UPDATE_LEN);
        Ok(())
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Member<Handle>, Broken> {
        if buf.remaining() < MEMBER_LEN {
            return Err(Broken);
        }
        let handle = get_handle(&mut buf);
        let count = buf.get_u16_le();
        let state = match buf.get_u8() {
            0 => State::Alive,
            1 => State::Suspect,
            2 => State::Down,
            _ => return Err(Broken),
        };
        buf.advance(MEMBER_LEN - UPDATE_LEN);
        Ok(Member::new(handle, count, state))
    }
}

/// Takes apart what foca wants sent.
pub(super) fn parts(mut bytes: &[u8]) -> Option<Parts> {
    let header = foca::Codec::decode_header(&mut Compact, &mut bytes).ok()?;
    let mut updates = Vec::new();
    if bytes.remaining() >= 2 {
        let n = bytes.get_u16(); // foca writes this count itself, big-endian
        for _ in 0..n {
            updates.push(foca::Codec::decode_member(&mut Compact, &mut bytes).ok()?);
        }
    }
    Some(Parts { header, updates })
}

/// Puts a packet together as foca expects it.
pub(super) fn whole(parts: &Parts, out: &mut Vec<u8>) {
    out.clear();
    let done = foca::Codec::encode_header(&mut Compact, &parts.header, &mut *out);
    debug_assert!(done.is_ok(), "a Vec has room");
    if parts.header.message == Message::Announce {
        return;
    }
    out.put_u16(parts.updates.len() as u16);
    for member in &parts.updates {
        let done = foca::Codec::encode_member(&mut Compact, member, &mut *out);
        debug_assert!(done.is_ok(), "a Vec has room");
    }
}

fn put_handle(handle: &Handle, buf: &mut impl BufMut) {
    buf.put_u64_le(handle.incarnation);
    buf.put_u32_le(handle.slot);
    buf.put_u32_le(handle.generation);
}

fn get_handle(buf: &mut impl Buf) -> Handle {
    Handle { incarnation: buf.get_u64_le(), slot: buf.get_u32_le(), generation: buf.get_u32_le() }
}
