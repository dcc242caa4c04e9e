//! The bytes of the specification: `docs/spec/vectors/wire.txt`, lines of `name hex`.

use std::collections::BTreeMap;
use std::fs;

use motet_wire::control::{Class, Open, Order};
use motet_wire::frame::{NakBuilder, put_ack};
use motet_wire::handshake::Hs2;
use motet_wire::packet::{DataHeader, MdataHeader, RealmHeader, Reset, Vneg};
use motet_wire::record::{Beacon, Interest, Roles, roles};
use motet_wire::*;

fn written(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out);
    out
}

fn id() -> EndpointId {
    EndpointId(core::array::from_fn(|at| at as u8))
}

/// What the encoders write today, by the names of the specification.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let beacon = Beacon {
        port: 7_447,
        addresses: vec![[192, 0, 2, 1].into()],
        name: "cellar".into(),
        roles: Roles(roles::SEED),
        interface_class: 0,
        membership_hash: 0x0102_0304_0506_0708,
        interest_version: 5,
        members: 2,
        host_id: [9; 16],
    };
    let interest = Interest {
        base: 0,
        version: 5,
        flags: Interest::HISTORY,
        added: vec![0x1122_3344_5566_7788],
        patterns_added: vec!["home/*/temp".into()],
        ..Interest::default()
    };
    let open = Open {
        stream: 1,
        topic_hash: 0x1122_3344_5566_7788,
        topic: "home/temp".into(),
        class: Class::Reliable,
        order: Order::Fifo,
        priority: 4,
        history: 1,
        lifespan_ms: 0,
        max_message: 65_536,
        type_tag: "json".into(),
        first_avail: 1,
        next_seq: 1,
        t_us: 1_000,
        wall_us: 1_700_000_000_000_000,
    };
    let realm = RealmHeader {
        multicast: true,
        solicit: true,
        leaving: false,
        epoch: 1,
        realm_tag: 0xaabb_ccdd,
        id: id(),
        incarnation: 7,
        counter: 1 << 32,
    };
    let hs2 = Hs2 { version: 1, initiator: 1, responder: 2, suite: 3, message: &[0xee; 4] };
    let bytes_missing = written(|out| {
        let mut nak = NakBuilder::new();
        assert!(nak.push_range(5, 2) && nak.push_bytes(9, 0, 100) && nak.push_bytes(9, 200, 0));
        nak.encode(1, false, out);
    });
    vec![
        ("data-header", DataHeader { key_phase: 1, index: 0x0102_0304, pn: 258 }.encode().into()),
        (
            "mdata-header",
            MdataHeader { epoch: 2, lane: 3, source_tag: 0x0102_0304_0506_0708, pn: 9 }
                .encode()
                .into(),
        ),
        ("realm-header", realm.encode().into()),
        ("reset", Reset { index: 1, token: [0xab; 16] }.encode().into()),
        ("vneg", Vneg { versions: 2, index: 1, suites: [3, 1, 2, 0] }.encode().into()),
        ("hs2", hs2.encode()),
        (
            "params",
            Params { name: "cellar".into(), credit_bytes: 65_536, ..Params::default() }.encode(),
        ),
        ("ack", written(|out| put_ack(out, 100, 25, [(98, 100), (90, 95)].into_iter(), None))),
        ("ack-ecn", written(|out| put_ack(out, 100, 25, [(0, 100)].into_iter(), Some(7)))),
        (
            "msg",
            written(|out| {
                let body = b"\0hi";
                Frame::Msg { stream: 1, seq: 64, t_us: 20_000, repair: false, body }.encode(out);
            }),
        ),
        ("nak", bytes_missing),
        ("envelope", written(|out| envelope::encode(out, Some(b"k"), &[("unit", "C")], b"21.5"))),
        ("beacon", written(|out| Record::Beacon(beacon).encode(out))),
        ("interest", written(|out| Record::Interest(interest).encode(out))),
        ("open", written(|out| Control::Open(open).encode(out))),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test] // W-1, W-10
fn the_bytes_are_those_of_the_specification() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/spec/vectors/wire.txt");
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let specified: BTreeMap<_, _> = lines.map(|line| line.split_once(' ').unwrap()).collect();
    let samples = samples();
    for (name, bytes) in &samples {
        assert_eq!(specified.get(name), Some(&&*hex(bytes)), "{name}");
    }
    assert_eq!(specified.len(), samples.len());
}
