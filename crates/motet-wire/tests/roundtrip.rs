//! What is encoded decodes to itself, and arbitrary bytes never panic.

use std::net::IpAddr;

use motet_wire::codec::{self, MAX_VI, Reader};
use motet_wire::control::{Class, LaneKey, LaneOffer, Open, Order, RejectReason, Secret};
use motet_wire::frame::{self, GapReason, NakBuilder, NakItem};
use motet_wire::handshake::{Hs1, Hs2, Hs3, is_foreign_hs1};
use motet_wire::packet::{Cookie, DataHeader, Hint, MdataHeader, RealmHeader, Reset, Vneg};
use motet_wire::record::{self, Beacon, Interest, Member, Roles};
use motet_wire::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn vi() -> impl Strategy<Value = u64> {
    (0_u32..=62, any::<u64>()).prop_map(|(bits, v)| v & ((1 << bits) - 1))
}

fn id() -> impl Strategy<Value = EndpointId> {
    any::<[u8; 16]>().prop_map(EndpointId)
}

fn key() -> impl Strategy<Value = EndpointKey> {
    (id(), any::<u64>()).prop_map(|(id, incarnation)| EndpointKey { id, incarnation })
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)]
}

fn addresses(max: usize) -> impl Strategy<Value = Vec<IpAddr>> {
    let v4 = any::<[u8; 4]>().prop_map(IpAddr::from);
    let v6 = any::<[u8; 16]>().prop_map(IpAddr::from);
    vec(prop_oneof![v4, v6], 0..=max)
}

fn text(max: usize) -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..=max / 4).prop_map(|chars| chars.into_iter().collect())
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=max)
}

fn interest() -> impl Strategy<Value = Interest> {
    let hashes = || vec(any::<u64>(), 0..20);
    let patterns = || vec(text(60).prop_map(|mut text| (text.push('*'), text).1), 0..5);
    (vi(), vi(), 0_u8..=1, hashes(), hashes(), patterns(), patterns(), option::of(bytes(90)))
        .prop_map(|(base, version, flags, added, removed, patterns_added, patterns_removed, f)| {
            let filter = f;
            Interest {
                base,
                version,
                flags,
                added,
                removed,
                patterns_added,
                patterns_removed,
                filter,
            }
        })
}

fn member() -> impl Strategy<Value = Member> {
    (any::<u8>(), key(), vi(), any::<u16>(), addresses(8), vi()).prop_map(
        |(state, key, addr_version, port, addresses, interest_version)| Member {
            state,
            key,
            addr_version,
            port,
            addresses,
            interest_version,
        },
    )
}

fn beacon() -> impl Strategy<Value = Beacon> {
    let who = (any::<u16>(), addresses(8), text(63), any::<u16>(), any::<u8>());
    (who, any::<u64>(), vi(), vi(), any::<[u8; 16]>()).prop_map(
        |(
            (port, addresses, name, roles, interface_class),
            membership_hash,
            v,
            members,
            host_id,
        )| {
            let (roles, interest_version) = (Roles(roles), v);
            Beacon {
                port,
                addresses,
                name,
                roles,
                interface_class,
                membership_hash,
                interest_version,
                members,
                host_id,
            }
        },
    )
}

fn open() -> impl Strategy<Value = Open> {
    let class = prop_oneof![Just(Class::BestEffort), Just(Class::Reliable)];
    let order = prop_oneof![Just(Order::Fifo), Just(Order::Latest), Just(Order::Unordered)];
    let topic = text(200).prop_map(|text| format!("a{text}"));
    (
        (any::<u32>(), any::<u64>(), topic, class, order, 0_u8..=7),
        (vi(), vi(), vi(), text(255)),
        (vi(), vi(), vi(), any::<u64>()),
    )
        .prop_map(|(a, b, c)| Open {
            stream: a.0,
            topic_hash: a.1,
            topic: a.2,
            class: a.3,
            order: a.4,
            priority: a.5,
            history: b.0,
            lifespan_ms: b.1,
            max_message: b.2,
            type_tag: b.3,
            first_avail: c.0,
            next_seq: c.1,
            t_us: c.2,
            wall_us: c.3,
        })
}

fn params() -> impl Strategy<Value = Params> {
    (
        (text(63), any::<[u8; 16]>(), option::of(text(255)), any::<u16>(), vi(), vi(), vi()),
        (any::<u64>(), any::<u16>(), any::<[u8; 4]>(), bytes(16), any::<[u8; 16]>()),
        (any::<u64>(), any::<u8>(), any::<u16>(), option::of(bytes(96)), option::of(bytes(300))),
    )
        .prop_map(|(a, b, c)| Params {
            name: a.0,
            host_id: a.1,
            shm_path: a.2,
            max_datagram: a.3,
            credit_bytes: a.4,
            credit_packets: a.5,
            idle_timeout_ms: a.6,
            features: b.0,
            versions: b.1,
            suites: b.2,
            header: b.3,
            reset_token: b.4,
            wall_ms: c.0,
            interface_class: c.1,
            roles: c.2,
            signing: c.3,
            certificate: c.4,
            incarnation: 7,
        })
}

/// Encodes a frame and reads it back as the only one.
fn same_frame(frame: &Frame<'_>) {
    let mut out = Vec::new();
    frame.encode(&mut out);
    let mut frames = Frames::new(&out);
    assert_eq!(frames.next(), Some(Ok(frame.clone())));
    assert_eq!(frames.next(), None);
}

fn same_control(control: &Control<'_>) {
    let mut out = Vec::new();
    control.encode(&mut out);
    assert_eq!(Control::decode(&out).as_ref(), Ok(control));
}

fn same_record(record: &Record<'_>) {
    let mut out = Vec::new();
    record.encode(&mut out);
    record.encode(&mut out);
    let read: Vec<_> = Records::new(&out).collect();
    assert_eq!(read, [Ok(record.clone()), Ok(record.clone())]);
}

proptest! {
    #[test] // W-2
    fn a_number_comes_back_in_its_shortest_form(v in vi(), more in bytes(3)) {
        let mut out = Vec::new();
        codec::put_vi(&mut out, v);
        prop_assert_eq!(out.len(), codec::vi_len(v));
        out.extend_from_slice(&more);
        let mut r = Reader::new(&out);
        prop_assert_eq!(r.get_vi(), Ok(v));
        prop_assert_eq!(r.rest(), &more[..]);
    }

    #[test]
    fn session_headers_come_back(key_phase in 0_u8..4, index: u32, pn: u64, lane: u16, epoch: u8, source_tag: u64) {
        let data = DataHeader { key_phase, index, pn };
        prop_assert_eq!(DataHeader::decode(&data.encode()), Ok(data));
        let mdata = MdataHeader { epoch, lane, source_tag, pn };
        prop_assert_eq!(MdataHeader::decode(&mdata.encode()), Ok(mdata));
    }

    #[test]
    fn a_realm_header_comes_back(flags in any::<[bool; 3]>(), epoch: u16, realm_tag: u32, id in id(), incarnation: u64, counter: u64) {
        let [multicast, solicit, leaving] = flags;
        let header = RealmHeader { multicast, solicit, leaving, epoch, realm_tag, id, incarnation, counter };
        prop_assert_eq!(RealmHeader::decode(&header.encode()), Ok(header));
    }

    #[test]
    fn small_packets_come_back(index: u32, cookie: [u8; 16], mac: [u8; 16], versions: u16, suites: [u8; 4]) {
        let packet = Cookie { index, cookie, mac };
        prop_assert_eq!(Cookie::decode(&packet.encode()), Ok(packet));
        let packet = Reset { index, token: cookie };
        prop_assert_eq!(Reset::decode(&packet.encode()), Ok(packet));
        let packet = Vneg { versions, index, suites };
        prop_assert_eq!(Vneg::decode(&packet.encode()), Ok(packet));
    }

    #[test] // W-8
    fn a_hint_comes_back(versions: u16, realm_tag: u32, id in id(), incarnation: u64, port: u16, addresses in addresses(4)) {
        let hint = Hint { versions, realm_tag, id, incarnation, port, addresses };
        let bytes = hint.encode();
        prop_assert_eq!(packet_type(&bytes), Ok(PacketType::Hint));
        prop_assert_eq!(Hint::decode(&bytes), Ok(hint));
    }

    #[test] // W-12, W-13
    fn handshake_packets_come_back(a: u32, b: u32, id in id(), c: u64, d: u64, e: [u8; 16], m in bytes(300), cookie_present: bool, len in 0_usize..2_000) {
        let message = &[7; 48];
        let hs1 = Hs1 { cookie_present, versions: a as u16, realm_tag: b, index: a, id, incarnation: c,
            suites: b.to_be_bytes(), stamp: d, message, cookie: e, mac1: e };
        let mut bytes = hs1.encode(len);
        bytes.extend_from_slice(&hs1.mac1);
        prop_assert_eq!(bytes.len(), len.max(Hs1::MIN_LEN));
        prop_assert_eq!(packet_type(&bytes), Ok(PacketType::Hs1));
        prop_assert_eq!(Hs1::decode(&bytes), Ok(hs1));
        prop_assert_eq!(Hs1::macced(&bytes), &bytes[..bytes.len() - 16]);
        let prologue = Hs1::prologue(&bytes);
        prop_assert_eq!((prologue[0], prologue[1], &prologue[2..]), (0x12, 0, &bytes[2..48]));
        let hs2 = Hs2 { version: a as u16, initiator: a, responder: b, suite: 3, message: &m };
        let bytes = hs2.encode();
        prop_assert_eq!(Hs2::decode(&bytes), Ok(hs2));
        let hs3 = Hs3 { responder: b, message: &m };
        let bytes = hs3.encode();
        prop_assert_eq!(Hs3::decode(&bytes), Ok(hs3));
    }

    #[test] // W-19, W-20
    fn parameters_come_back(params in params()) {
        prop_assert_eq!(Params::decode(&params.encode()), Ok(params));
    }

    #[test]
    fn frames_with_bytes_come_back(stream: u32, a in vi(), b in vi(), c: u64, body in bytes(300), repair: bool, ty in 0x40_u8..0x80) {
        let body = &body[..];
        same_frame(&Frame::Ping);
        same_frame(&Frame::Padding(1 + body.len()));
        same_frame(&Frame::Close { code: a, reason: &body[..body.len().min(200)] });
        same_frame(&Frame::PathChallenge(c));
        same_frame(&Frame::PathResponse(c));
        same_frame(&Frame::SessionCredit { bytes: a, packets: b });
        same_frame(&Frame::Records(body));
        same_frame(&Frame::Msg { stream, seq: a, t_us: b, repair, body });
        same_frame(&Frame::Extension { ty, body });
        let off = a.min(MAX_VI - 300);
        same_frame(&Frame::Frag { stream, seq: a, t_us: b, total: off + body.len() as u64, off, repair, body });
    }

    #[test]
    fn frames_of_numbers_come_back(stream: u32, a in vi(), b in vi(), c in vi(), tag: u64, f in any::<[bool; 3]>()) {
        same_frame(&Frame::Heartbeat { stream, first_avail: a, next_seq: b, answer: f[0], end: f[1], blocked: f[2] });
        same_frame(&Frame::Status { stream, next_seq: a, next_off: b, window: c, required: f[0], end: f[1] });
        same_frame(&Frame::LaneState { source_tag: tag, state: (tag % 3) as u8, loss_ppm: a });
        for reason in [GapReason::Evicted, GapReason::Expired, GapReason::Filtered, GapReason::Cancelled, GapReason::Conflated, GapReason::Refused] {
            same_frame(&Frame::Gap { stream, from: a / 2, count: 1 + b / 2, reason });
        }
    }

    #[test] // W-27
    fn messages_in_a_run_come_back(stream: u32, first_seq in 0..MAX_VI - 300, t_us in vi(), repair: bool, bodies in vec(bytes(90), 2..=255)) {
        let mut out = Vec::new();
        frame::put_msgs_header(&mut out, stream, first_seq, t_us, repair, bodies.len() as u8);
        prop_assert_eq!(out.len(), frame::msgs_header_len(stream, first_seq, t_us));
        bodies.iter().for_each(|body| codec::put_vi_bytes(&mut out, body));
        let frame = Frames::new(&out).next().unwrap().unwrap();
        same_frame(&frame);
        let Frame::Msgs { bodies: read, .. } = frame else { panic!("{frame:?}") };
        prop_assert_eq!(read.len(), bodies.len());
        prop_assert!(read.eq(bodies.iter().map(|body| &body[..])));
    }

    #[test]
    fn overheads_are_what_encoding_adds(stream: u32, a in vi(), b in vi(), off in 0..MAX_VI / 2, body in bytes(90)) {
        let (mut out, body) = (Vec::new(), &body[..]);
        Frame::Msg { stream, seq: a, t_us: b, repair: false, body }.encode(&mut out);
        prop_assert_eq!(out.len(), frame::msg_overhead(stream, a, b, body.len()) + body.len());
        out.clear();
        let total = off + 90;
        Frame::Frag { stream, seq: a, t_us: b, total, off, repair: true, body }.encode(&mut out);
        prop_assert_eq!(out.len(), frame::frag_overhead(stream, a, b, total, off, body.len()) + body.len());
    }

    #[test]
    fn acknowledged_ranges_come_back(steps in vec((0_u64..9, 0_u64..9), 1..=33), delay in vi(), ce in option::of(vi()), tag: u64) {
        let mut at = 1_000_u64;
        let ranges: Vec<(u64, u64)> = steps.iter().map(|(gap, len)| {
            let (lo, hi) = (at - len, at);
            at = lo - gap - 2;
            (lo, hi)
        }).collect();
        let mut out = Vec::new();
        frame::put_ack(&mut out, 1_000, delay, ranges.iter().copied(), ce);
        frame::put_lane_ack(&mut out, tag, 1_000, delay, ranges.iter().copied());
        let frames: Vec<_> = Frames::new(&out).map(Result::unwrap).collect();
        let [Frame::Ack(ack), Frame::LaneAck { source_tag, ack: lane }] = &frames[..] else { panic!("{frames:?}") };
        prop_assert_eq!((ack.largest, ack.delay_us, ack.ce, *source_tag, lane.ce), (1_000, delay, ce, tag, None));
        for ack in [ack, lane] {
            let read: Vec<_> = ack.ranges().map(|range| (*range.start(), *range.end())).collect();
            prop_assert_eq!(&read, &ranges);
        }
        frames.iter().for_each(same_frame);
    }

    #[test] // W-30, W-31
    fn missing_items_come_back(steps in vec((0_u64..50, 1_u64..9, option::of(vec((0_u64..99, 1_u64..99), 1..70))), 0..80), stream: u32, ncf: bool) {
        let (mut builder, mut pushed, mut next) = (NakBuilder::new(), Vec::new(), 0);
        for (skip, count, ranges) in steps {
            let seq = next + skip;
            let Some(ranges) = ranges else {
                if builder.push_range(seq, count) {
                    pushed.push(NakItem::Range { seq, count });
                    next = seq + count;
                }
                continue;
            };
            let mut from = 0;
            for (skip, len) in ranges {
                if builder.push_bytes(seq, from + skip, len) {
                    pushed.push(NakItem::Bytes { seq, off: from + skip, len });
                    from += skip + len;
                    next = seq + 1;
                }
            }
        }
        let mut out = Vec::new();
        builder.encode(stream, ncf, &mut out);
        prop_assert_eq!(out.len(), builder.encoded_len(stream));
        let frame = Frames::new(&out).next().unwrap().unwrap();
        same_frame(&frame);
        let (Frame::Nak { items, .. } | Frame::Ncf { items, .. }) = frame else { panic!("{frame:?}") };
        prop_assert_eq!(items.collect::<Vec<_>>(), pushed);
    }

    #[test]
    fn an_envelope_comes_back(key in option::of(bytes(90)), headers in vec((text(30), text(60)), 0..=64), payload in bytes(90)) {
        let pairs: Vec<_> = headers.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        let (mut out, key) = (Vec::new(), key.as_deref());
        envelope::encode(&mut out, key, &pairs, &payload);
        prop_assert_eq!(out.len(), envelope::encoded_len(key, &pairs, payload.len()));
        let envelope = Envelope::decode(&out).unwrap();
        prop_assert_eq!((envelope.key, envelope.payload), (key, &payload[..]));
        prop_assert_eq!(envelope.headers.collect::<Vec<_>>(), pairs);
    }

    #[test]
    fn records_come_back(beacon in beacon(), member in member(), interest in interest(), body in bytes(90), ty in 11_u8..) {
        for record in [Record::Padding, Record::Beacon(beacon), Record::Member(member), Record::Interest(interest),
            Record::Swim(&body), Record::AeVector(&body), Record::AeBucket(&body), Record::AePull(&body),
            Record::AeInterest(&body), Record::Holdings(&body), Record::Unknown(ty)] {
            same_record(&record);
        }
    }

    #[test] // W-42
    fn control_records_come_back(stream: u32, a in vi(), b in vi(), tag: u64, key in key(), byte: u8, flag: bool, body in bytes(90)) {
        let rest = &body[..];
        for control in [
            Control::Accept { stream, start_seq: a, window: b, required: flag },
            Control::Reject { stream: a, reason: RejectReason::from_code(byte), interest_version: b, detail: "int32".into() },
            Control::CloseStream { stream, code: a },
            Control::Resume { stream, next_seq: a, next_off: b },
            Control::RejectMsg { stream, seq: a, limit: b },
            Control::ProbeReq(key),
            Control::ProbeResult { key, result: byte, rtt_us: a },
            Control::HistoryPull { id: a, rest },
            Control::ShmOffer { source_tag: tag, rest },
            Control::Query { id: a, what: byte, cursor: b },
            Control::Ask { id: a, what: byte, cursor: b, argument: rest },
            Control::Answer { id: a, more: flag, cursor: b, body: rest },
            Control::Sync { n: a },
            Control::Synced { n: b },
            Control::Unknown(byte | 0x80),
        ] {
            same_control(&control);
        }
    }

    #[test]
    fn offers_and_keys_of_lanes_come_back(tag: u64, lane: u16, group in address(), port: u16, mtu: u16, epoch in vi(), suite: u8, key: [u8; 32], start_pn in vi(), streams in vec(any::<u32>(), 0..=128)) {
        let key = Secret(key);
        let offer = LaneOffer { source_tag: tag, lane, group, port, mtu, epoch, suite, key: key.clone(), start_pn, streams };
        same_control(&Control::LaneOffer(offer));
        same_control(&Control::LaneKey(LaneKey { source_tag: tag, epoch, key, start_pn }));
    }

    #[test]
    fn heartbeats_of_lanes_come_back(log2 in 0_u8..64, grtt_us in vi(), items in vec((any::<u32>(), vi(), vi()), 0..=128)) {
        let item = |(stream, first_avail, next_seq): &(u32, u64, u64)| frame::LaneHbItem { stream: *stream, first_avail: *first_avail, next_seq: *next_seq };
        let items: Vec<_> = items.iter().map(item).collect();
        let mut out = Vec::new();
        frame::put_lane_hb(&mut out, log2, grtt_us, &items);
        let frames: Vec<_> = Frames::new(&out).collect::<Result<_, _>>().unwrap();
        let [Frame::LaneHb { readers_log2, grtt_us: back, items: list }] = &frames[..] else { panic!("{frames:?}") };
        prop_assert_eq!((*readers_log2, *back), (log2, grtt_us));
        prop_assert_eq!(list.clone().collect::<Vec<_>>(), items);
    }

    #[test]
    fn owned_control_records_come_back(open in open(), interest in interest(), members in vec(member(), 0..=64)) {
        same_control(&Control::Open(open));
        same_control(&Control::Interest(interest));
        same_control(&Control::Members(members));
    }

    #[test]
    fn padding_is_exact(n in 2_usize..40_000) {
        let mut out = vec![1];
        record::put_padding(&mut out, n);
        prop_assert_eq!(out.len(), n + 1);
        let read: Vec<_> = Records::new(&out[1..]).collect();
        prop_assert_eq!(read, [Ok(Record::Padding)]);
    }

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in bytes(700), first in 0_u8..0x48) {
        read_all(&bytes);
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        read_all(&bytes);
        if let Some(byte) = bytes.first_mut() {
            *byte = 0x10 | first & 0xf;
        }
        read_all(&bytes);
    }

    #[test]
    fn small_numbers_never_panic(bytes in vec(0_u8..4, 0..80), first in 0_u8..0x48) {
        let bytes = [&[first][..], &bytes].concat();
        read_all(&bytes);
        let bytes = [&bytes[..], &[0xff; 40]].concat();
        read_all(&bytes);
    }
}

/// Hands the bytes to every decoder; what a frame decoder takes encodes and decodes to itself.
fn read_all(bytes: &[u8]) {
    let _ = packet_type(bytes);
    let _ = DataHeader::decode(bytes);
    let _ = MdataHeader::decode(bytes);
    let _ = RealmHeader::decode(bytes);
    let _ = Cookie::decode(bytes);
    let _ = Reset::decode(bytes);
    let _ = Vneg::decode(bytes);
    let _ = Hint::decode(bytes);
    let _ = Hs1::decode(bytes);
    let _ = Hs2::decode(bytes);
    let _ = Hs3::decode(bytes);
    let _ =
        (Hs1::macced(bytes), Hs1::prologue(bytes), is_foreign_hs1(bytes), Cookie::macced(bytes));
    let _ = Params::decode(bytes);
    let _ = Envelope::decode(bytes).map(|envelope| envelope.headers.count());
    let _ = Control::decode(bytes);
    let _ = Records::new(bytes).count();
    for frame in Frames::new(bytes).filter_map(Result::ok) {
        same_frame(&frame);
        match frame {
            Frame::Ack(ack) | Frame::LaneAck { ack, .. } => {
                assert!(ack.ranges().count() <= frame::MAX_ACK_RANGES);
            }
            Frame::Msgs { bodies, .. } => assert_eq!(bodies.len(), bodies.count()),
            Frame::Nak { items, .. } | Frame::Ncf { items, .. } => {
                assert!(items.count() <= frame::MAX_NAK_ITEMS * frame::MAX_NAK_RANGES);
            }
            Frame::LaneHb { items, .. } => assert_eq!(items.len(), items.count()),
            _ => {}
        }
    }
}

#[test] // V-40
fn questions_about_keys_and_their_answers_come_back_as_they_were() {
    use motet_wire::service::{Finding, Found, Inquiry, ToCaller, ToServer};
    let inquiry =
        Inquiry { number: 300, remaining_us: 9, origin: [7; 16], service: "a/b", key: b"k" };
    let mut out = Vec::new();
    inquiry.encode(&mut out);
    assert_eq!(ToServer::decode(&out), Ok(ToServer::Inquiry(inquiry)));
    for found in [Found::Promised, Found::Here, Found::Elsewhere] {
        let finding = Finding { number: 1, found, promised: 70_000 };
        out.clear();
        finding.encode(&mut out);
        assert_eq!(ToCaller::decode(&out), Ok(ToCaller::Finding(finding)));
    }
    out[3] = 3;
    assert_eq!(ToCaller::decode(&out), Err(Malformed::Range));
}
