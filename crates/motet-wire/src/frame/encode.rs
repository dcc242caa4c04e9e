//! From frames to plaintext.

use alloc::vec::Vec;

use super::{Frame, ty};
use crate::codec::{put_u64, put_vi, put_vi_bytes, vi_len};

impl Frame<'_> {
    /// Appends the frame's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Padding(n) => out.resize(out.len().saturating_add(n), ty::PADDING),
            Self::Ping => out.push(ty::PING),
            Self::Ack(ack) => {
                out.push(if ack.ce.is_some() { ty::ACK_ECN } else { ty::ACK });
                ack.put_body(out);
                if let Some(ce) = ack.ce {
                    put_vi(out, ce);
                }
            }
            Self::Close { code, reason } => {
                out.push(ty::CLOSE);
                put_vi(out, code);
                put_vi_bytes(out, reason);
            }
            Self::PathChallenge(v) => put_tagged(out, ty::PATH_CHALLENGE, v),
            Self::PathResponse(v) => put_tagged(out, ty::PATH_RESPONSE, v),
            Self::SessionCredit { bytes, packets } => {
                out.push(ty::SESSION_CREDIT);
                put_all(out, &[bytes, packets]);
            }
            Self::LaneAck { source_tag, ref ack } => {
                put_tagged(out, ty::LANE_ACK, source_tag);
                ack.put_body(out);
            }
            Self::Records(bytes) => {
                out.push(ty::RECORDS);
                put_vi_bytes(out, bytes);
            }
            Self::Msg { body, .. } | Self::Frag { body, .. } => {
                self.encode_head(body.len(), out);
                out.extend_from_slice(body);
            }
            Self::Msgs { stream, first_seq, t_us, repair, ref bodies } => {
                out.push(repaired(ty::MSGS, repair));
                put_all(out, &[u64::from(stream), first_seq, t_us]);
                bodies.put(out);
            }
            Self::Heartbeat { stream, first_avail, next_seq, answer, end, blocked } => {
                out.push(ty::HEARTBEAT);
                put_all(out, &[u64::from(stream), first_avail, next_seq]);
                out.push(u8::from(answer) | u8::from(end) << 1 | u8::from(blocked) << 2);
            }
            Self::Gap { stream, from, count, reason } => {
                out.push(ty::GAP);
                put_all(out, &[u64::from(stream), from, count]);
                out.push(reason as u8);
            }
            Self::Status { stream, next_seq, next_off, window, required, end } => {
                out.push(ty::STATUS);
                put_all(out, &[u64::from(stream), next_seq, next_off, window]);
                out.push(u8::from(required) | u8::from(end) << 1);
            }
            Self::Nak { stream, ref items } => {
                out.push(ty::NAK);
                put_vi(out, u64::from(stream));
                items.put(out);
            }
            Self::Ncf { stream, ref items } => {
                out.push(ty::NCF);
                put_vi(out, u64::from(stream));
                items.put(out);
            }
            Self::LaneHb { readers_log2, grtt_us, ref items } => {
                out.push(ty::LANE_HB);
                put_all(out, &[u64::from(readers_log2), grtt_us]);
                items.put(out);
            }
            Self::LaneState { source_tag, state, loss_ppm } => {
                put_tagged(out, ty::LANE_STATE, source_tag);
                out.push(state);
                put_vi(out, loss_ppm);
            }
            Self::Extension { ty, body } => {
                out.push(ty);
                put_vi_bytes(out, body);
            }
        }
    }

    /// Appends a MSG or FRAG up to its body, for which the caller appends `len` bytes; of other
    /// frames nothing.
    pub fn encode_head(&self, len: usize, out: &mut Vec<u8>) {
        match *self {
            Self::Msg { stream, seq, t_us, repair, .. } => {
                out.push(repaired(ty::MSG, repair));
                put_all(out, &[u64::from(stream), seq, t_us, len as u64]);
            }
            Self::Frag { stream, seq, t_us, total, off, repair, .. } => {
                out.push(repaired(ty::FRAG, repair));
                put_all(out, &[u64::from(stream), seq, t_us, total, off, len as u64]);
            }
            _ => {}
        }
    }
}

fn put_tagged(out: &mut Vec<u8>, ty: u8, v: u64) {
    out.push(ty);
    put_u64(out, v);
}

fn put_all(out: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|v| put_vi(out, *v));
}

fn repaired(ty: u8, repair: bool) -> u8 {
    if repair { ty | ty::REPAIR_BIT } else { ty }
}

/// Bytes of a MSG beside its body of `len` bytes.
pub fn msg_overhead(stream: u32, seq: u64, t_us: u64, len: usize) -> usize {
    1 + vi_len(u64::from(stream)) + vi_len(seq) + vi_len(t_us) + vi_len(len as u64)
}

/// Bytes of a FRAG beside its piece of `len` bytes.
pub fn frag_overhead(stream: u32, seq: u64, t_us: u64, total: u64, off: u64, len: usize) -> usize {
    msg_overhead(stream, seq, t_us, len) + vi_len(total) + vi_len(off)
}

/// Bytes that [`put_msgs_header`] appends.
pub fn msgs_header_len(stream: u32, first_seq: u64, t_us: u64) -> usize {
    2 + vi_len(u64::from(stream)) + vi_len(first_seq) + vi_len(t_us)
}

/// Appends a MSGS up to its bodies; the caller appends `n` (2..=255) × (vi length, bytes).
pub fn put_msgs_header(
    out: &mut Vec<u8>,
    stream: u32,
    first_seq: u64,
    t_us: u64,
    repair: bool,
    n: u8,
) {
    out.push(repaired(ty::MSGS, repair));
    put_all(out, &[u64::from(stream), first_seq, t_us]);
    out.push(n);
}
