//! Each rule, broken by the fewest bytes that break it; and what must be skipped instead.

use motet_wire::control::{LaneOffer, Secret};
use motet_wire::handshake::{Hs1, is_foreign_hs1};
use motet_wire::packet::{DataHeader, Hint, Reset, Vneg};
use motet_wire::record::put_record;
use motet_wire::*;

fn frame(bytes: &[u8]) -> Result<Frame<'_>, Malformed> {
    Frames::new(bytes).next().expect("a frame")
}

fn record(bytes: &[u8]) -> Result<Record<'_>, Malformed> {
    Records::new(bytes).next().expect("a record")
}

fn sized(first: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    bytes[0] = first;
    bytes
}

#[test] // W-3, W-5, W-11
fn bytes_that_end_early_are_short() {
    assert_eq!(packet_type(&[]), Err(Malformed::Short));
    assert_eq!(packet_type(&sized(0x16, 15)), Err(Malformed::Short));
    assert_eq!(packet_type(&sized(0x12, 511)), Err(Malformed::Short));
    assert_eq!(Hs1::decode(&sized(0x12, 511)), Err(Malformed::Short));
    assert_eq!(frame(&[0x10, 1, 1, 1, 2, 0]), Err(Malformed::Short));
    assert_eq!(frame(&[0x11, 1, 1, 1, 2, 0]), Err(Malformed::Short));
    assert_eq!(frame(&[0x10, 0xc0]), Err(Malformed::Short));
}

#[test] // W-5, W-14
fn a_foreign_version_is_named_and_an_hs1_of_it_can_be_read() {
    assert_eq!(packet_type(&sized(0x26, 32)), Err(Malformed::Version));
    assert_eq!(DataHeader::decode(&sized(0x26, 32)), Err(Malformed::Version));
    let hs1 = sized(0x22, 512);
    assert_eq!(packet_type(&hs1), Err(Malformed::Version));
    assert!(is_foreign_hs1(&hs1) && !is_foreign_hs1(&sized(0x12, 512)));
    assert!(Hs1::decode(&hs1).is_ok());
}

#[test] // W-5, W-21
fn an_unknown_type_that_must_be_understood_is_refused() {
    assert_eq!(packet_type(&sized(0x1b, 600)), Err(Malformed::Type));
    assert_eq!(packet_type(&sized(0x10, 600)), Err(Malformed::Type));
    assert_eq!(Hs1::decode(&sized(0x13, 600)), Err(Malformed::Type));
    for ty in [0x0a, 0x13, 0x17, 0x1d, 0x1f, 0x22, 0x3f, 0x80, 0xff] {
        assert_eq!(frame(&[ty, 0]), Err(Malformed::Type), "{ty:#x}");
    }
}

#[test] // W-7, W-28, W-33
fn a_reserved_bit_is_refused() {
    let mut data = sized(0x16, 32);
    data[1] = 4;
    assert_eq!(DataHeader::decode(&data), Err(Malformed::Flags));
    data[1] = 0;
    data[3] = 1;
    assert_eq!(DataHeader::decode(&data), Err(Malformed::Flags));
    assert_eq!(frame(&[0x18, 1, 1, 1, 8]), Err(Malformed::Flags));
    assert_eq!(frame(&[0x1a, 1, 1, 1, 1, 4]), Err(Malformed::Flags));
    assert_eq!(Envelope::decode(&[4]), Err(Malformed::Flags));
    assert_eq!(Control::decode(&[2, 4, 1, 1, 1, 2]), Err(Malformed::Flags));
    assert_eq!(record(&[3, 7, 0, 1, 2, 0, 0, 0, 0]), Err(Malformed::Flags));
}

#[test] // W-5, W-20, W-34, W-46
fn a_length_above_its_maximum_is_refused() {
    assert_eq!(packet_type(&sized(0x16, MAX_DATAGRAM + 1)), Err(Malformed::Length));
    assert_eq!(frame(&[&[4, 0, 0x40, 201][..], &[0; 201]].concat()), Err(Malformed::Length));
    assert_eq!(Envelope::decode(&[1, 0x44, 0x01]), Err(Malformed::Length));
    let mut answer = Vec::new();
    Control::Answer { id: 1, more: false, cursor: 0, body: &[0; 32_769] }.encode(&mut answer);
    assert_eq!(Control::decode(&answer), Err(Malformed::Length));
    assert_eq!(Params::decode(&[&[0x0b, 17][..], &[0; 17]].concat()), Err(Malformed::Length));
    assert_eq!(Params::decode(&[0xff, 0x50, 0x01]), Err(Malformed::Length));
}

#[test] // W-3, W-24, W-26, W-29
fn a_number_out_of_range_is_refused() {
    // a stream id of 33 bits
    assert_eq!(frame(&[0x10, 0xc0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0]), Err(Malformed::Range));
    // ranges below packet 0: in the first range, in a gap, in a later range
    assert_eq!(frame(&[2, 3, 0, 0, 4]), Err(Malformed::Range));
    assert_eq!(frame(&[2, 3, 0, 1, 0, 2, 0]), Err(Malformed::Range));
    assert_eq!(frame(&[2, 3, 0, 1, 0, 1, 1]), Err(Malformed::Range));
    assert!(frame(&[2, 3, 0, 1, 0, 1, 0]).is_ok());
    // a fragment outside its message
    assert_eq!(frame(&[0x12, 1, 1, 1, 3, 4, 0]), Err(Malformed::Range));
    assert_eq!(frame(&[0x12, 1, 1, 1, 3, 2, 2, 0, 0]), Err(Malformed::Range));
    // numbers from 2^62 on
    let gap = [&[0x19, 1][..], &[0xff; 8], &[2, 0]].concat();
    assert_eq!(frame(&gap), Err(Malformed::Range));
    let msgs = [&[0x11, 1][..], &[0xff; 8], &[1, 2, 0, 0]].concat();
    assert_eq!(frame(&msgs), Err(Malformed::Range));
    let nak = [&[0x1b, 1, 1][..], &[0xff; 8], &[4]].concat();
    assert_eq!(frame(&nak), Err(Malformed::Range));
    let nak = [&[0x1b, 1, 1, 5, 3][..], &[0xff; 8], &[1]].concat();
    assert_eq!(frame(&nak), Err(Malformed::Range));
    assert_eq!(frame(&[0x20, 0x40, 64, 0, 0]), Err(Malformed::Range));
}

#[test] // W-4, W-27, W-31, W-32, W-34, W-39, W-40, W-46
fn a_list_too_long_or_empty_is_refused() {
    assert_eq!(frame(&[2, 63, 0, 33, 0]), Err(Malformed::Count));
    assert_eq!(frame(&[0x11, 1, 1, 1, 1, 0]), Err(Malformed::Count));
    assert_eq!(frame(&[0x19, 1, 1, 0, 0]), Err(Malformed::Count));
    assert_eq!(frame(&[0x1b, 1, 65]), Err(Malformed::Count));
    assert_eq!(frame(&[0x1b, 1, 1, 1, 0]), Err(Malformed::Count));
    assert_eq!(frame(&[0x1b, 1, 1, 1, 1]), Err(Malformed::Count));
    assert_eq!(frame(&[0x1b, 1, 1, 1, 0x40, 131]), Err(Malformed::Count));
    assert_eq!(frame(&[0x20, 1, 1, 0x40, 129]), Err(Malformed::Count));
    assert_eq!(Envelope::decode(&[2, 0x40, 65]), Err(Malformed::Count));
    assert_eq!(record(&[1, 3, 0, 0, 9]), Err(Malformed::Count));
    assert_eq!(record(&[3, 7, 0, 1, 0, 0x80, 0, 0x40, 1]), Err(Malformed::Count));
    assert_eq!(record(&[3, 7, 0, 1, 0, 0, 0, 0x67, 0x11]), Err(Malformed::Count));
    assert_eq!(Control::decode(&[8, 2, 0x40, 65]), Err(Malformed::Count));
}

#[test] // W-40
fn both_lists_of_patterns_share_one_maximum() {
    let mut interest = record::Interest {
        patterns_added: vec!["a".into(); 6_000],
        patterns_removed: vec!["b".into(); 4_000],
        ..Default::default()
    };
    let mut bytes = Vec::new();
    Record::Interest(interest.clone()).encode(&mut bytes);
    assert_eq!(record(&bytes), Ok(Record::Interest(interest.clone())));
    interest.patterns_removed.push("b".into());
    bytes.clear();
    Record::Interest(interest).encode(&mut bytes);
    assert_eq!(record(&bytes), Err(Malformed::Count));
}

#[test] // W-30, W-31
fn missing_items_that_overlap_are_refused() {
    // bytes 4..6, then 5..6 of the same message
    assert_eq!(frame(&[0x1b, 1, 1, 7, 5, 4, 2, 5, 1]), Err(Malformed::Order));
    // the same, the second range in an item of its own
    assert_eq!(frame(&[0x1b, 1, 2, 7, 3, 4, 2, 0, 3, 5, 1]), Err(Malformed::Order));
    // a range after one that goes to the end
    assert_eq!(frame(&[0x1b, 1, 1, 7, 5, 4, 0, 9, 1]), Err(Malformed::Order));
    // the whole message after bytes of it
    assert_eq!(frame(&[0x1b, 1, 2, 7, 3, 4, 2, 0, 2]), Err(Malformed::Order));
    assert!(frame(&[0x1b, 1, 2, 7, 3, 4, 2, 0, 3, 6, 1]).is_ok());
    assert!(frame(&[0x1b, 1, 2, 7, 3, 4, 2, 1, 2]).is_ok());
}

#[test] // W-34, W-38, W-41
fn text_that_is_not_utf8_is_refused() {
    assert_eq!(Params::decode(&[1, 1, 0xff]), Err(Malformed::Text));
    assert_eq!(record(&[1, 5, 0, 0, 0, 1, 0xff]), Err(Malformed::Text));
    assert_eq!(Envelope::decode(&[2, 1, 1, 0xff, 0]), Err(Malformed::Text));
    assert_eq!(record(&[3, 8, 0, 1, 0, 0, 0, 1, 1, 0xff]), Err(Malformed::Text));
}

#[test] // W-38, W-44
fn a_name_too_long_or_missing_is_refused() {
    assert_eq!(Params::decode(&[&[1, 0x40, 64][..], &[b'a'; 64]].concat()), Err(Malformed::Name));
    assert_eq!(record(&[1, 4, 0, 0, 0, 64]), Err(Malformed::Name));
    let open = [1, 1, 2, 3, 4, 5, 6, 7, 8, 0];
    let mut bytes = Vec::new();
    put_record(&mut bytes, 1, |out| out.extend_from_slice(&open));
    assert_eq!(Control::decode(&bytes), Err(Malformed::Name));
    bytes.clear();
    put_record(&mut bytes, 1, |out| {
        out.extend_from_slice(&[&open[..9], &[0x44, 1]].concat());
    });
    assert_eq!(Control::decode(&bytes), Err(Malformed::Name));
}

#[test] // W-41
fn a_pattern_too_long_or_empty_is_refused() {
    assert_eq!(record(&[3, 7, 0, 1, 0, 0, 0, 1, 0]), Err(Malformed::Pattern));
    assert_eq!(record(&[3, 8, 0, 1, 0, 0, 0, 1, 0x44, 1]), Err(Malformed::Pattern));
}

#[test]
fn an_address_of_an_unknown_family_is_refused() {
    assert_eq!(record(&[1, 8, 0, 0, 1, 5, 0, 0, 0, 0]), Err(Malformed::Address));
    let mut hint = Hint::default().encode();
    hint[34] = 1;
    assert_eq!(Hint::decode(&hint), Err(Malformed::Address));
}

#[test] // W-6
fn a_sealed_packet_without_room_for_its_tag_is_refused() {
    for (first, header) in [(0x11, 40), (0x16, 16), (0x17, 20)] {
        assert_eq!(packet_type(&sized(first, header + 15)), Err(Malformed::Mac));
        assert!(packet_type(&sized(first, header + 16)).is_ok());
    }
}

#[test] // W-8, W-20, W-36, W-42
fn bytes_left_over_are_refused() {
    assert_eq!(Reset::decode(&sized(0x18, 25)), Err(Malformed::Trailing));
    assert_eq!(Vneg::decode(&sized(0x19, 13)), Err(Malformed::Trailing));
    assert_eq!(Hint::decode(&sized(0x1a, 513)), Err(Malformed::Trailing));
    assert_eq!(Control::decode(&[4, 2, 1, 1, 0]), Err(Malformed::Trailing));
    assert_eq!(Control::decode(&[4, 3, 1, 1, 0]), Err(Malformed::Trailing));
    assert_eq!(Params::decode(&[4, 3, 1, 1, 0]), Err(Malformed::Trailing));
}

#[test] // W-18
fn a_parameter_given_twice_is_refused() {
    assert_eq!(Params::decode(&[5, 1, 1, 5, 1, 1]), Err(Malformed::Duplicate));
}

#[test] // W-45
fn a_choice_that_does_not_exist_is_refused() {
    assert_eq!(frame(&[0x19, 1, 1, 1, 6]), Err(Malformed::Value));
    assert_eq!(frame(&[0x21, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0]), Err(Malformed::Value));
    assert_eq!(Control::decode(&[0x10, 3, 1, 2, 0]), Err(Malformed::Value));
    for choices in [[2, 0, 0], [0, 3, 0], [0, 0, 8]] {
        let mut bytes = Vec::new();
        put_record(&mut bytes, 1, |out| {
            out.extend_from_slice(&[1, 1, 2, 3, 4, 5, 6, 7, 8, 1, b'a']);
            out.extend_from_slice(&choices);
        });
        assert_eq!(Control::decode(&bytes), Err(Malformed::Value), "{choices:?}");
    }
}

#[test] // W-37
fn nothing_is_read_after_the_first_error() {
    assert_eq!(Frames::new(&[0x3f, 1, 1]).count(), 1);
    assert_eq!(Records::new(&[1, 0, 0, 0]).count(), 1);
}

#[test] // W-17, W-19, W-22, W-35, W-43
fn unknown_things_that_may_be_skipped_are_skipped() {
    let frames: Vec<_> = Frames::new(&[0x7f, 2, 9, 9, 1]).map(Result::unwrap).collect();
    assert_eq!(frames, [Frame::Extension { ty: 0x7f, body: &[9, 9] }, Frame::Ping]);
    assert_eq!(record(&[0x77, 1, 9]), Ok(Record::Unknown(0x77)));
    assert_eq!(Control::decode(&[0x77, 1, 9]), Ok(Control::Unknown(0x77)));
    let params = Params::decode(&[0x77, 1, 9, 0x77, 0, 5, 1, 3]).unwrap();
    assert_eq!(params, Params { credit_bytes: 3, ..Params::default() });
}

#[test] // W-47
fn a_question_may_be_followed_by_what_later_versions_add_and_has_a_bounded_argument() {
    let ask = |argument: &[u8], more: &[u8]| {
        let mut bytes = Vec::new();
        put_record(&mut bytes, 0x11, |out| {
            out.extend_from_slice(&[7, 4, 0]);
            codec::put_vi_bytes(out, argument);
            out.extend_from_slice(more);
        });
        bytes
    };
    let said = Control::Ask { id: 7, what: 4, cursor: 0, argument: b"why" };
    assert_eq!(Control::decode(&ask(b"why", b"")), Ok(said.clone()));
    assert_eq!(Control::decode(&ask(b"why", b"later")), Ok(said));
    assert!(Control::decode(&ask(&[0; 4_096], b"")).is_ok());
    assert_eq!(Control::decode(&ask(&[0; 4_097], b"")), Err(Malformed::Length));
    assert_eq!(Control::decode(&[0x11, 4, 7, 4, 0, 9]), Err(Malformed::Short));
}

#[test] // W-2
fn numbers_longer_than_they_need_be_are_accepted() {
    let body = &b"x"[..];
    let long = [0x10, 0x40, 1, 0x80, 0, 0, 2, 0xc0, 0, 0, 0, 0, 0, 0, 3, 0x40, 1, b'x'];
    assert_eq!(frame(&long), Ok(Frame::Msg { stream: 1, seq: 2, t_us: 3, repair: false, body }));
}

#[test] // W-25
fn only_frames_for_all_readers_are_allowed_on_a_lane() {
    let allowed = |bytes: &[u8]| frame(bytes).unwrap().allowed_on_lane();
    assert!(allowed(&[0]) && allowed(&[0x10, 1, 1, 1, 0]) && allowed(&[0x1c, 1, 0]));
    assert!(!allowed(&[1]) && !allowed(&[2, 0, 0, 0, 0]) && !allowed(&[0x1b, 1, 0]));
}

#[test] // S-16
fn only_frames_that_answer_or_end_ask_for_no_ack() {
    let asks = |bytes: &[u8]| frame(bytes).unwrap().is_ack_eliciting();
    assert!(asks(&[1]) && asks(&[0x10, 1, 1, 1, 0]) && asks(&[0x1b, 1, 0]));
    assert!(!asks(&[0]) && !asks(&[2, 0, 0, 0, 0]) && !asks(&[4, 0, 0]));
    assert!(!asks(&[8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
}

#[test] // W-48
fn a_lane_offer_names_at_most_128_streams() {
    let offer = |n: usize| {
        let key = Secret([1; 32]);
        let group = std::net::IpAddr::from([239, 192, 138, 1]);
        let streams = vec![7; n];
        let offer = LaneOffer {
            source_tag: 1,
            lane: 1,
            group,
            port: 37_320,
            mtu: 1_452,
            epoch: 0,
            suite: 1,
            key,
            start_pn: 0,
            streams,
        };
        let mut out = Vec::new();
        Control::LaneOffer(offer).encode(&mut out);
        Control::decode(&out).map(|_| ())
    };
    assert_eq!(offer(128), Ok(()));
    assert_eq!(offer(129), Err(Malformed::Count));
}
