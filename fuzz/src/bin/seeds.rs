//! Writes the first inputs of the corpora: one of each kind, made by the encoders themselves.
//! Files that are there already are written anew; others stay.
#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::path::Path;
use std::{fs, io};

use motet_crypto::{Identity, Invitation, RealmSecret};
use motet_wire::control::{
    Class, Control, Interest, LaneKey, LaneOffer, Member, Open, RejectReason, Secret,
};
use motet_wire::frame::{Frame, GapReason, NakBuilder, put_ack, put_lane_ack, put_msgs_header};
use motet_wire::handshake::{Hs1, Hs2, Hs3, Params};
use motet_wire::packet::{Cookie, DataHeader, Hint, MdataHeader, RealmHeader, Reset, Vneg};
use motet_wire::record::{Beacon, Record, Roles, put_padding};
use motet_wire::{EndpointId, EndpointKey, codec, envelope};

type Seeds = Vec<(String, Vec<u8>)>;

fn main() -> io::Result<()> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let all = [
        ("endpoint", scripts(20, 6)),
        ("filter", filters()),
        ("frames", frames()),
        ("handshake", scripts(14, 4)),
        ("invitation", texts()),
        ("membership", scripts(12, 4)),
        ("packets", packets()),
        ("records", records()),
        ("script", scripts(16, 3)),
    ];
    for (target, seeds) in all {
        let folder = corpora.join(target);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in seeds {
            fs::write(folder.join(format!("seed-{name}")), bytes)?;
        }
    }
    Ok(())
}

fn named<const N: usize>(list: [(&str, Vec<u8>); N]) -> Seeds {
    list.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

const ID: EndpointId = EndpointId([0xa5; 16]);
const KEY: EndpointKey = EndpointKey { id: ID, incarnation: 7 };

fn packets() -> Seeds {
    let sealed = |head: &[u8]| [head, &[0; 40]].concat();
    let hs1 = Hs1 {
        cookie_present: true,
        versions: 2,
        realm_tag: 3,
        index: 4,
        id: ID,
        incarnation: 5,
        suites: [3, 1, 2, 0],
        stamp: 6,
        message: &[7; 48],
        cookie: [8; 16],
        mac1: [0; 16],
    };
    let hs2 = Hs2 { version: 1, initiator: 4, responder: 5, suite: 3, message: &[9; 100] };
    let params = Params {
        name: "a".into(),
        host_id: [1; 16],
        shm_path: Some("/x".into()),
        max_datagram: 1_472,
        credit_bytes: 1 << 20,
        credit_packets: 1_024,
        idle_timeout_ms: 5_000,
        features: 1,
        versions: 2,
        suites: [3, 1, 2, 0],
        header: hs2.header().to_vec(),
        reset_token: [2; 16],
        wall_ms: 1,
        interface_class: 1,
        roles: 1,
        signing: Some(vec![3; 96]),
        certificate: Some(vec![4; 10]),
        incarnation: 5,
    };
    let hint = Hint {
        versions: 2,
        realm_tag: 3,
        id: ID,
        incarnation: 5,
        port: 37_321,
        addresses: addresses(),
    };
    let realm = RealmHeader { id: ID, counter: 5, solicit: true, ..RealmHeader::default() };
    let mut whole = hs1.encode(Hs1::MIN_LEN);
    whole.extend_from_slice(&[9; 16]);
    let mut foreign = whole.clone();
    foreign[0] = 0x22;
    named([
        ("data", sealed(&DataHeader { key_phase: 1, index: 2, pn: 3 }.encode())),
        ("mdata", sealed(&MdataHeader { epoch: 1, lane: 2, source_tag: 3, pn: 4 }.encode())),
        ("realm", sealed(&realm.encode())),
        ("cookie", Cookie { index: 1, cookie: [2; 16], mac: [3; 16] }.encode().to_vec()),
        ("reset", Reset { index: 1, token: [2; 16] }.encode().to_vec()),
        ("vneg", Vneg { versions: 2, index: 3, suites: [1, 2, 3, 0] }.encode().to_vec()),
        ("hint", hint.encode()),
        ("hs1", whole),
        ("hs1-foreign", foreign),
        ("hs2", hs2.encode()),
        ("hs3", Hs3 { responder: 1, message: &[2; 80] }.encode()),
        ("params", params.encode()),
    ])
}

fn frame(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(&mut out);
    out
}

fn frames() -> Seeds {
    let (stream, repair, body) = (1, false, &[0, 1, 2, 3][..]);
    let mut ack = Vec::new();
    put_ack(&mut ack, 90, 10, [(80, 90), (60, 70), (0, 5)].into_iter(), Some(3));
    let mut lane_ack = Vec::new();
    put_lane_ack(&mut lane_ack, 7, 90, 10, [(80, 90), (60, 70)].into_iter());
    let mut msgs = Vec::new();
    put_msgs_header(&mut msgs, 1, 5, 9, true, 2);
    [body, body].iter().for_each(|body| codec::put_vi_bytes(&mut msgs, body));
    let mut naks = NakBuilder::new();
    assert!(naks.push_range(3, 2) && naks.push_bytes(9, 10, 20) && naks.push_bytes(9, 50, 0));
    assert!(naks.push_range(70, 1_000));
    let (mut nak, mut ncf) = (Vec::new(), Vec::new());
    naks.encode(1, false, &mut nak);
    naks.encode(1, true, &mut ncf);
    let lane_hb = [0x20, 3, 0x40, 100, 2, 1, 2, 3, 4, 5, 6].to_vec();
    let mut list = named([
        ("padding", vec![0; 20]),
        ("ping", frame(&Frame::Ping)),
        ("ack", ack),
        ("lane-ack", lane_ack),
        ("close", frame(&Frame::Close { code: 2, reason: b"bye" })),
        ("challenge", frame(&Frame::PathChallenge(u64::MAX))),
        ("response", frame(&Frame::PathResponse(1))),
        ("credit", frame(&Frame::SessionCredit { bytes: 1 << 20, packets: 1_024 })),
        ("records", frame(&Frame::Records(body))),
        ("msg", frame(&Frame::Msg { stream, seq: 1, t_us: 2, repair, body })),
        ("msgs", msgs),
        (
            "frag",
            frame(&Frame::Frag { stream, seq: 1, t_us: 2, total: 100, off: 96, repair, body }),
        ),
        (
            "heartbeat",
            frame(&Frame::Heartbeat {
                stream,
                first_avail: 1,
                next_seq: 70_000,
                answer: true,
                end: false,
                blocked: true,
            }),
        ),
        ("gap", frame(&Frame::Gap { stream, from: 1, count: 9, reason: GapReason::Expired })),
        (
            "status",
            frame(&Frame::Status {
                stream,
                next_seq: 1,
                next_off: 2,
                window: 1 << 40,
                required: true,
                end: true,
            }),
        ),
        ("nak", nak),
        ("ncf", ncf),
        ("lane-hb", lane_hb),
        ("lane-state", frame(&Frame::LaneState { source_tag: 1, state: 2, loss_ppm: 3 })),
        ("extension", frame(&Frame::Extension { ty: 0x40, body })),
    ]);
    let all = list.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
    list.push(("all".into(), all));
    list
}

fn addresses() -> Vec<IpAddr> {
    vec![IpAddr::from([10, 0, 0, 1]), IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1])]
}

fn interest() -> Interest {
    Interest {
        base: 1,
        version: 2,
        flags: 1,
        added: vec![1, 2],
        removed: vec![3],
        patterns_added: vec!["a/**".into()],
        patterns_removed: vec!["b/*".into(), "c".into()],
        filter: Some(vec![1, 2, 3]),
    }
}

fn records() -> Seeds {
    let member = Member {
        state: 1,
        key: KEY,
        addr_version: 2,
        port: 37_321,
        addresses: addresses(),
        interest_version: 3,
    };
    let beacon = Beacon {
        port: 37_321,
        addresses: addresses(),
        name: "name".into(),
        roles: Roles(3),
        members: 3,
        ..Beacon::default()
    };
    let realm = [
        Record::Beacon(beacon),
        Record::Member(member.clone()),
        Record::Interest(interest()),
        Record::Swim(&[1, 2]),
        Record::AeVector(&[3; 64]),
        Record::AeBucket(&[4; 9]),
        Record::AePull(&[5; 9]),
        Record::AeInterest(&[6; 40]),
        Record::Holdings(&[7; 9]),
        Record::Unknown(0x30),
    ];
    let open = Open {
        stream: 1,
        topic: "a/b".into(),
        class: Class::Reliable,
        type_tag: "T".into(),
        ..Open::default()
    };
    let reason = RejectReason::TypeDiffers;
    let control = [
        Control::Open(open),
        Control::Accept { stream: 1, start_seq: 2, window: 3, required: true },
        Control::Reject { stream: 1, reason, interest_version: 2, detail: "U".into() },
        Control::CloseStream { stream: 1, code: 2 },
        Control::Resume { stream: 1, next_seq: 2, next_off: 3 },
        Control::RejectMsg { stream: 1, seq: 2, limit: 3 },
        Control::Interest(interest()),
        Control::Members(vec![member.clone(), member]),
        Control::ProbeReq(KEY),
        Control::ProbeResult { key: KEY, result: 1, rtt_us: 2 },
        Control::Sync { n: 1 },
        Control::Synced { n: 1 },
        Control::LaneOffer(LaneOffer {
            source_tag: 1,
            lane: 1,
            group: [239, 192, 138, 1].into(),
            port: 37_320,
            mtu: 1_452,
            epoch: 0,
            suite: 1,
            key: Secret([2; 32]),
            start_pn: 0,
            streams: vec![1, 2],
        }),
        Control::LaneKey(LaneKey { source_tag: 1, epoch: 1, key: Secret([2; 32]), start_pn: 9 }),
        Control::HistoryPull { id: 1, rest: &[2; 30] },
        Control::ShmOffer { source_tag: 1, rest: &[2; 30] },
        Control::Query { id: 1, what: 2, cursor: 3 },
        Control::Answer { id: 1, more: true, cursor: 2, body: &[3; 30] },
    ];
    let mut list = Seeds::new();
    let mut all = Vec::new();
    for (at, record) in realm.iter().enumerate() {
        let mut out = Vec::new();
        record.encode(&mut out);
        all.extend_from_slice(&out);
        list.push((format!("realm-{at}"), out));
    }
    put_padding(&mut all, 40);
    list.push(("realm-all".into(), all));
    for (at, record) in control.iter().enumerate() {
        let mut out = Vec::new();
        record.encode(&mut out);
        list.push((format!("control-{at}"), out));
    }
    let mut message = Vec::new();
    envelope::encode(&mut message, Some(b"key"), &[("a", "b"), ("c", "")], b"payload");
    list.push(("envelope".into(), message));
    list
}

fn filters() -> Seeds {
    let texts = [
        "a/*/c\na/b/c",
        "**\na/b",
        "a/**/c\na/c",
        "**/c/**/d/**\na/b/c/d/e",
        "*\n$inbox/x",
        "$inbox/**\n$inbox/x/y",
        "a/**/**/b\na/b",
        "a*\nb//c",
        "ä/\u{2028}\n\u{7}",
        "**/**/a/**/b/**/c/**\na/b/c",
        "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a\na",
    ];
    let bytes = |text: &str| text.as_bytes().to_vec();
    texts.iter().enumerate().map(|(at, text)| (at.to_string(), bytes(text))).collect()
}

fn texts() -> Seeds {
    let Ok(realm) = Invitation::new("home-ä", RealmSecret::from_bytes([7; 32])) else {
        return Seeds::new();
    };
    let line = realm.to_line();
    let newer = line.replacen('1', "2", 1);
    named([
        ("line", line.as_bytes().to_vec()),
        ("line-loud", line.to_ascii_uppercase().replace('-', " - ").into_bytes()),
        ("line-newer", newer.into_bytes()),
        ("realm", realm.to_realm_file().as_bytes().to_vec()),
        ("realm-dos", realm.to_realm_file().replace('\n', "\r\n").into_bytes()),
        ("key", Identity::from_bytes([9; 32]).to_key_file().as_bytes().to_vec()),
    ])
}

/// Scripts in which each operation is most frequent once, and mixed ones: `each` of every kind.
fn scripts(operations: u8, each: u8) -> Seeds {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut chance = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let mut list = Seeds::new();
    for operation in 0..=operations {
        for n in 0..each {
            let mut bytes = vec![n, chance()];
            for _ in 0..12 + 8 * u32::from(n) {
                let any = operation == operations || chance() & 3 == 0;
                bytes.push(if any { chance() } else { operation });
                let tail = chance() & 7;
                bytes.extend((0..tail).map(|_| chance() & if tail & 1 == 0 { 0x3f } else { 0xff }));
            }
            list.push((format!("{operation:02}-{n}"), bytes));
        }
    }
    list
}
