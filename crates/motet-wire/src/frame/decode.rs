//! From plaintext to frames.

use super::{Ack, Bodies, Frame, GapReason, LaneHbItems, MAX_REASON, NakItems, ty};
use crate::Malformed;
use crate::codec::{MAX_VI, Reader};

/// The frames of a plaintext, in order. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    reader: Reader<'a>,
}

impl<'a> Frames<'a> {
    /// Reads the plaintext of a DATA or MDATA packet.
    pub fn new(plaintext: &'a [u8]) -> Self {
        Self { reader: Reader::new(plaintext) }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let frame = frame(&mut self.reader);
        if frame.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(frame)
    }
}

fn frame<'a>(r: &mut Reader<'a>) -> Result<Frame<'a>, Malformed> {
    let ty = r.get_u8()?;
    Ok(match ty {
        ty::PADDING => Frame::Padding(padding(r)),
        ty::PING => Frame::Ping,
        ty::ACK | ty::ACK_ECN => Frame::Ack(Ack::decode(r, ty == ty::ACK_ECN)?),
        ty::CLOSE => Frame::Close { code: r.get_vi()?, reason: r.get_vi_bytes(MAX_REASON)? },
        ty::PATH_CHALLENGE => Frame::PathChallenge(r.get_u64()?),
        ty::PATH_RESPONSE => Frame::PathResponse(r.get_u64()?),
        ty::SESSION_CREDIT => Frame::SessionCredit { bytes: r.get_vi()?, packets: r.get_vi()? },
        ty::LANE_ACK => Frame::LaneAck { source_tag: r.get_u64()?, ack: Ack::decode(r, false)? },
        ty::RECORDS => Frame::Records(r.get_vi_bytes(usize::MAX)?),
        _ if matches!(ty & !ty::REPAIR_BIT, ty::MSG | ty::MSGS | ty::FRAG) => message(r, ty)?,
        ty::HEARTBEAT => heartbeat(r)?,
        ty::GAP => gap(r)?,
        ty::STATUS => status(r)?,
        ty::NAK => Frame::Nak { stream: r.get_vi_u32()?, items: NakItems::decode(r)? },
        ty::NCF => Frame::Ncf { stream: r.get_vi_u32()?, items: NakItems::decode(r)? },
        ty::LANE_HB => Frame::LaneHb {
            readers_log2: small(r.get_vi()?, 63, Malformed::Range)?,
            grtt_us: r.get_vi()?,
            items: LaneHbItems::decode(r)?,
        },
        ty::LANE_STATE => Frame::LaneState {
            source_tag: r.get_u64()?,
            state: small(u64::from(r.get_u8()?), 3, Malformed::Value)?,
            loss_ppm: r.get_vi()?,
        },
        ty::EXTENSION_FIRST..=ty::EXTENSION_LAST => {
            Frame::Extension { ty, body: r.get_vi_bytes(usize::MAX)? }
        }
        _ => return Err(Malformed::Type),
    })
}

/// Takes the rest of a run of zeros whose first byte was taken; its whole length.
fn padding(r: &mut Reader<'_>) -> usize {
    let more = r.peek().iter().take_while(|byte| **byte == 0).count();
    let _ = r.get_bytes(more); // they are there: they were just counted
    more + 1
}

fn small(v: u64, max: u8, rule: Malformed) -> Result<u8, Malformed> {
    u8::try_from(v).ok().filter(|v| *v <= max).ok_or(rule)
}

/// Fails unless `first + count - 1` is a number (W-24).
fn in_range(first: u64, count: u64) -> Result<(), Malformed> {
    let last = count.checked_sub(1).ok_or(Malformed::Count)?;
    if first <= MAX_VI && last <= MAX_VI - first { Ok(()) } else { Err(Malformed::Range) }
}

fn message<'a>(r: &mut Reader<'a>, ty: u8) -> Result<Frame<'a>, Malformed> {
    let repair = ty & ty::REPAIR_BIT != 0;
    let (stream, seq, t_us) = (r.get_vi_u32()?, r.get_vi()?, r.get_vi()?);
    match ty & !ty::REPAIR_BIT {
        ty::MSG => {
            let body = r.get_vi_bytes(usize::MAX)?;
            Ok(Frame::Msg { stream, seq, t_us, repair, body })
        }
        ty::MSGS => {
            let bodies = Bodies::decode(r)?;
            in_range(seq, bodies.len() as u64)?;
            Ok(Frame::Msgs { stream, first_seq: seq, t_us, repair, bodies })
        }
        _ => {
            let (total, off) = (r.get_vi()?, r.get_vi()?);
            let body = r.get_vi_bytes(usize::MAX)?;
            let room = total.checked_sub(off).ok_or(Malformed::Range)?;
            if body.len() as u64 > room {
                return Err(Malformed::Range);
            }
            Ok(Frame::Frag { stream, seq, t_us, total, off, repair, body })
        }
    }
}

fn heartbeat<'a>(r: &mut Reader<'a>) -> Result<Frame<'a>, Malformed> {
    let (stream, first_avail, next_seq) = (r.get_vi_u32()?, r.get_vi()?, r.get_vi()?);
    let f = r.get_flags(7)?;
    let (answer, end, blocked) = (f & 1 != 0, f & 2 != 0, f & 4 != 0);
    Ok(Frame::Heartbeat { stream, first_avail, next_seq, answer, end, blocked })
}

fn gap<'a>(r: &mut Reader<'a>) -> Result<Frame<'a>, Malformed> {
    let (stream, from, count) = (r.get_vi_u32()?, r.get_vi()?, r.get_vi()?);
    let reason = match r.get_u8()? {
        0 => GapReason::Evicted,
        1 => GapReason::Expired,
        2 => GapReason::Filtered,
        3 => GapReason::Cancelled,
        4 => GapReason::Conflated,
        5 => GapReason::Refused,
        _ => return Err(Malformed::Value),
    };
    in_range(from, count)?;
    Ok(Frame::Gap { stream, from, count, reason })
}

fn status<'a>(r: &mut Reader<'a>) -> Result<Frame<'a>, Malformed> {
    let (stream, next_seq, next_off) = (r.get_vi_u32()?, r.get_vi()?, r.get_vi()?);
    let (window, f) = (r.get_vi()?, r.get_flags(3)?);
    let (required, end) = (f & 1 != 0, f & 2 != 0);
    Ok(Frame::Status { stream, next_seq, next_off, window, required, end })
}
