//! What a script can make the hostile member say: frames and records of valid shape whose numbers
//! are anything.

use std::net::{IpAddr, Ipv4Addr};

use motet_proto::{EndpointId, EndpointKey};
use motet_wire::control::{Class, Control, Interest, Member, Open, Order, RejectReason};
use motet_wire::frame::{Frame, GapReason, NakBuilder, put_ack, put_msgs_header, ty};

use super::{Scene, TOPICS, open};
use crate::host::WALL_MS;
use crate::tape::Tape;

impl Scene {
    pub(super) fn put_frame(&mut self, tape: &mut Tape<'_>, out: &mut Vec<u8>) {
        let seen = self.rogue.link.as_ref().map_or(0, |link| link.seen);
        let seqs: [u64; 4] = [1, 3, 100, 1 << 32];
        let stream = u32::from(tape.u8()) & 3;
        let n = |tape: &mut Tape<'_>| tape.number(&seqs);
        match tape.below(18) {
            0 => Frame::Ping.encode(out),
            1 => {
                let mut high = tape.number(&[seen]);
                let largest = high;
                let ranges = (0..=tape.below(40)).map_while(|at| {
                    let low = high.checked_sub(if at == 0 { 0 } else { 2 }).map(|top| {
                        let low = top.saturating_sub(u64::from(tape.u8()));
                        (low, top)
                    })?;
                    high = low.0;
                    Some(low)
                });
                let ranges: Vec<_> = ranges.collect();
                let ce = tape.flag().then(|| tape.number(&[seen]));
                put_ack(out, largest, tape.number(&[1_000]), ranges.into_iter(), ce);
            }
            2 => Frame::Close { code: n(tape), reason: tape.short() }.encode(out),
            3 => Frame::PathChallenge(n(tape)).encode(out),
            4 => Frame::PathResponse(n(tape)).encode(out),
            5 => Frame::SessionCredit { bytes: n(tape), packets: n(tape) }.encode(out),
            6 => Frame::Records(tape.short()).encode(out),
            7 | 8 => {
                let (seq, t_us, repair) = (n(tape), n(tape), tape.flag());
                Frame::Msg { stream, seq, t_us, repair, body: tape.short() }.encode(out);
            }
            9 => {
                let (seq, t_us, count) = (n(tape), n(tape), 2 + tape.u8() % 8);
                put_msgs_header(out, stream, seq, t_us, tape.flag(), count);
                let size = tape.u8() % 32;
                for _ in 0..count {
                    out.push(size);
                    out.extend(std::iter::repeat_n(0, size.into()));
                }
            }
            10 | 11 => {
                let (seq, t_us, repair) = (n(tape), n(tape), tape.flag());
                let total = tape.number(&[1 << 20, 3_000]);
                let off = tape.number(&[total]);
                let body = vec![0; tape.number(&[1_000]).min(1_200) as usize];
                Frame::Frag { stream, seq, t_us, total, off, repair, body: &body }.encode(out);
            }
            12 => {
                let (first_avail, next_seq, f) = (n(tape), n(tape), tape.u8());
                let (answer, end, blocked) = (f & 1 != 0, f & 2 != 0, f & 4 != 0);
                Frame::Heartbeat { stream, first_avail, next_seq, answer, end, blocked }
                    .encode(out);
            }
            13 => {
                let reasons = [GapReason::Evicted, GapReason::Expired, GapReason::Filtered];
                let (from, count, reason) = (n(tape), n(tape), reasons[tape.below(3)]);
                Frame::Gap { stream, from, count, reason }.encode(out);
            }
            14 => {
                let (next_seq, next_off, window) = (n(tape), n(tape), n(tape));
                let (required, end) = (tape.flag(), tape.flag());
                Frame::Status { stream, next_seq, next_off, window, required, end }.encode(out);
            }
            15 | 16 => {
                let mut builder = NakBuilder::new();
                let (mut seq, ncf) = (n(tape), tape.below(8) == 0);
                for _ in 0..tape.below(64) {
                    if tape.flag() {
                        builder.push_range(seq, n(tape));
                    } else {
                        builder.push_bytes(seq, n(tape), n(tape));
                    }
                    seq = seq.saturating_add(tape.u8().into());
                }
                builder.encode(stream, ncf, out);
            }
            _ => {
                let ty = if tape.flag() { ty::EXTENSION_FIRST } else { tape.u8() };
                out.push(ty);
                out.extend_from_slice(tape.short());
            }
        }
    }

    pub(super) fn put_control(&mut self, tape: &mut Tape<'_>, out: &mut Vec<u8>) {
        let n = |tape: &mut Tape<'_>| tape.number(&[1, 3, 1 << 20]);
        let stream = u32::from(tape.u8()) & 7;
        let text = |tape: &mut Tape<'_>| String::from_utf8_lossy(tape.short()).into_owned();
        let record = match tape.below(14) {
            0 | 1 => {
                let topic = match tape.below(8) {
                    at @ 0..6 => TOPICS[at].into(),
                    _ => text(tape),
                };
                Control::Open(Open {
                    stream: if tape.below(8) == 0 { tape.id(&[]) } else { stream },
                    topic,
                    class: if tape.flag() { Class::Reliable } else { Class::BestEffort },
                    order: [Order::Fifo, Order::Latest, Order::Unordered][tape.below(3)],
                    priority: tape.u8() & 7,
                    history: n(tape),
                    lifespan_ms: n(tape),
                    max_message: n(tape),
                    type_tag: if tape.flag() { "U".into() } else { String::new() },
                    first_avail: n(tape),
                    next_seq: n(tape),
                    t_us: n(tape),
                    wall_us: tape.number(&[WALL_MS * 1_000]),
                    ..open()
                })
            }
            2 => Control::Accept {
                stream,
                start_seq: n(tape),
                window: n(tape),
                required: tape.flag(),
            },
            3 => Control::Reject {
                stream: n(tape),
                reason: RejectReason::from_code(tape.u8() % 8),
                interest_version: n(tape),
                detail: text(tape).chars().take(60).collect(),
            },
            4 => Control::CloseStream { stream, code: n(tape) },
            5 => Control::Resume { stream, next_seq: n(tape), next_off: n(tape) },
            6 => Control::RejectMsg { stream, seq: n(tape), limit: n(tape) },
            7 | 8 => Control::Interest(self.interest(tape)),
            9 => Control::Members((0..tape.below(8)).map(|_| member(tape)).collect()),
            10 => Control::ProbeReq(self.key(tape)),
            11 => Control::Query { id: n(tape), what: tape.u8(), cursor: n(tape) },
            12 => Control::Answer {
                id: n(tape),
                more: tape.flag(),
                cursor: n(tape),
                body: tape.short(),
            },
            _ => {
                let body = tape.short();
                let Some(link) = &mut self.rogue.link else { return };
                let seq = link.control;
                link.control = link.control.wrapping_add(1);
                Frame::Msg { stream: 0, seq, t_us: 0, repair: false, body }.encode(out);
                return;
            }
        };
        self.rogue.put_control(&record, out);
    }

    pub(super) fn interest(&self, tape: &mut Tape<'_>) -> Interest {
        let pattern = |tape: &mut Tape<'_>| match tape.below(6) {
            0 => "**".to_owned(),
            1 => "out/*".to_owned(),
            2 => "$inbox/**".to_owned(),
            3 => TOPICS[tape.below(6)].to_owned(),
            _ => format!("p{}/*", tape.u8()),
        };
        Interest {
            base: tape.number(&[1]),
            version: tape.number(&[2]),
            flags: tape.u8() & 1,
            added: (0..tape.below(4)).map(|_| tape.number(&[])).collect(),
            removed: (0..tape.below(4)).map(|_| tape.number(&[])).collect(),
            patterns_added: (0..tape.below(4)).map(|_| pattern(tape)).collect(),
            patterns_removed: (0..tape.below(4)).map(|_| pattern(tape)).collect(),
            filter: tape.flag().then(|| tape.short().to_vec()),
        }
    }

    pub(super) fn key(&self, tape: &mut Tape<'_>) -> EndpointKey {
        let incarnation = tape.number(&[WALL_MS << 8]);
        match tape.below(3) {
            0 => EndpointKey { incarnation, ..self.rogue.key },
            1 => EndpointKey { incarnation, ..self.host.node.key() },
            _ => EndpointKey { id: EndpointId([tape.u8(); 16]), incarnation },
        }
    }
}

pub(super) fn addresses(tape: &mut Tape<'_>) -> Vec<IpAddr> {
    let address = |tape: &mut Tape<'_>| IpAddr::V4(Ipv4Addr::new(10, 0, 0, tape.u8()));
    (0..tape.below(9)).map(|_| address(tape)).collect()
}

pub(super) fn member(tape: &mut Tape<'_>) -> Member {
    let id = EndpointId([tape.u8() & 0x0f; 16]);
    Member {
        state: tape.u8() & 7,
        key: EndpointKey { id, incarnation: tape.number(&[WALL_MS << 8]) },
        addr_version: tape.number(&[]),
        port: tape.number(&[37_321]) as u16,
        addresses: addresses(tape),
        interest_version: tape.number(&[1]),
    }
}
