use proptest::prelude::*;

use super::*;

const MS: u64 = 1_000_000;

fn sent(packets: u64, every: u64) -> (Sent, Rtt) {
    let mut s = Sent::new();
    for pn in 0..packets {
        s.on_sent(Time(pn * every), pn, 1_000, true);
    }
    (s, Rtt::new())
}

fn ack(s: &mut Sent, rtt: &mut Rtt, now: u64, ranges: &[(u64, u64)]) -> Outcome {
    let it = ranges.iter().map(|&(lo, hi)| lo..=hi);
    s.on_ranges(Time(now), ranges[0].1, it, None, Duration::ZERO, rtt)
}

#[test]
fn an_ack_settles_what_it_names_and_gives_a_sample() {
    let (mut s, mut rtt) = sent(3, MS);
    let out = ack(&mut s, &mut rtt, 10 * MS, &[(0, 2)]);
    assert_eq!((out.acked_bytes, out.newest_acked_pn), (3_000, Some(2)));
    assert_eq!(out.largest_acked_sent_at, Some(Time(2 * MS)));
    assert_eq!(rtt.srtt(), Duration::from_millis(8));
    assert_eq!((s.in_flight(), s.pto_base()), ((0, 0), None));
    let again = ack(&mut s, &mut rtt, 50 * MS, &[(0, 2)]);
    assert_eq!(again, Outcome::default());
    assert_eq!(rtt.srtt(), Duration::from_millis(8), "no second sample of the same packet");
}

#[test] // S-18
fn three_later_packets_make_one_lost() {
    let (mut s, mut rtt) = sent(5, 0);
    assert_eq!(ack(&mut s, &mut rtt, 50 * MS, &[(1, 2)]).lost_packets, 0);
    assert!(s.loss_deadline().is_some());
    let out = ack(&mut s, &mut rtt, 50 * MS, &[(1, 3)]);
    assert_eq!((out.lost_packets, out.lost_bytes, out.smallest_lost_size), (1, 1_000, 1_000));
    assert_eq!(s.in_flight(), (1_000, 1));
    assert_eq!(s.loss_deadline(), None);
}

#[test] // S-18
fn an_overtaken_packet_is_lost_after_nine_eighths_of_a_round_trip() {
    let (mut s, mut rtt) = sent(2, 0);
    ack(&mut s, &mut rtt, 80 * MS, &[(1, 1)]);
    assert_eq!(s.loss_deadline(), Some(Time(90 * MS)));
    assert_eq!(s.detect_lost(Time(90 * MS - 1), &rtt).lost_packets, 0);
    assert_eq!(s.detect_lost(Time(90 * MS), &rtt).lost_packets, 1);
    assert_eq!(s.loss_deadline(), None);
}

#[test] // S-17
fn an_ack_of_an_unsent_packet_changes_nothing() {
    let (mut s, mut rtt) = sent(3, MS);
    let out = ack(&mut s, &mut rtt, 10 * MS, &[(0, 3)]);
    assert_eq!(out, Outcome { invalid: true, ..Outcome::default() });
    assert_eq!(s.in_flight().1, 3);
    assert!(!rtt.has_sample());
}

#[test]
fn packets_that_ask_for_no_ack_are_never_in_flight() {
    let (mut s, mut rtt) = (Sent::new(), Rtt::new());
    s.on_sent(Time(1), 0, 50, false);
    assert_eq!((s.in_flight(), s.pto_base()), ((0, 0), None));
    let out = ack(&mut s, &mut rtt, MS, &[(0, 0)]);
    assert_eq!((out.acked_bytes, out.newest_acked_pn), (0, Some(0)));
    assert!(!rtt.has_sample());
}

#[test]
fn lost_probes_are_not_congestion() {
    let (mut s, mut rtt) = (Sent::new(), Rtt::new());
    s.on_probe_sent(Time(0), 0, 1_472);
    for pn in 1..4 {
        s.on_sent(Time(0), pn, 100, true);
    }
    let out = ack(&mut s, &mut rtt, 10 * MS, &[(1, 3)]);
    assert_eq!((out.lost_probe, out.lost_packets, out.largest_lost_sent_at), (Some(0), 0, None));
    s.on_probe_sent(Time(0), 4, 1_452);
    assert_eq!(ack(&mut s, &mut rtt, 20 * MS, &[(1, 4)]).acked_probe, Some(4));
}

#[test]
fn only_more_marks_than_before_count() {
    let (mut s, mut rtt) = sent(4, 0);
    let mut count = |ce| {
        s.on_ranges(Time(MS), 3, core::iter::once(0..=3), Some(ce), Duration::ZERO, &mut rtt)
            .ce_increase
    };
    assert_eq!([count(2), count(2), count(1), count(5)], [2, 0, 0, 3]);
}

#[test]
fn persistent_congestion_is_a_long_run_of_losses_without_an_arrival() {
    // With a round trip of 10 ms, three probe timeouts are 3 · (10 + 20 + 5) ms at first.
    for (arrives, persistent) in [(None, true), (Some(150), false)] {
        let (mut s, mut rtt) = (Sent::new(), Rtt::new());
        s.on_sent(Time(0), 0, 1_000, true);
        ack(&mut s, &mut rtt, 10 * MS, &[(0, 0)]);
        for pn in 1..=300 {
            s.on_sent(Time((10 + pn) * MS), pn, 1_000, true);
        }
        let out = match arrives {
            None => ack(&mut s, &mut rtt, 320 * MS, &[(300, 300), (0, 0)]),
            Some(pn) => {
                let spread = [(300, 300), (225, 225), (pn, pn), (75, 75), (0, 0)];
                ack(&mut s, &mut rtt, 320 * MS, &spread)
            }
        };
        assert_eq!(out.persistent, persistent);
        assert!(out.lost_packets > 290);
    }
}

#[test]
fn what_the_ring_pushes_out_is_lost() {
    let (mut s, rtt) = sent(MAX_TRACKED as u64 + 10, 1);
    assert_eq!(s.in_flight().1, MAX_TRACKED as u64);
    assert_eq!(s.detect_lost(Time(MS), &rtt).lost_packets, 10);
}

proptest! {
    #[test]
    fn every_packet_is_settled_once(
        steps in prop::collection::vec((0u8..4, 0u64..60, 0u64..60, 1u32..1_500), 1..300),
    ) {
        let (mut s, mut rtt, mut now, mut pn) = (Sent::new(), Rtt::new(), 0u64, 0u64);
        let (mut flown, mut settled, mut packets) = (0u64, 0u64, 0u64);
        for (what, a, b, size) in steps {
            now += a * MS / 4;
            let out = match what {
                0 | 1 => {
                    s.on_sent(Time(now), pn, size, what == 0);
                    flown += if what == 0 { u64::from(size) } else { 0 };
                    packets += u64::from(what == 0);
                    pn += 1;
                    continue;
                }
                2 => {
                    let hi = pn.saturating_sub(a / 6);
                    let lo = hi.saturating_sub(b / 8);
                    ack(&mut s, &mut rtt, now, &[(lo, hi)])
                }
                _ => s.detect_lost(Time(now), &rtt),
            };
            settled += out.acked_bytes + out.lost_bytes;
            prop_assert_eq!(s.in_flight().0, flown - settled);
            prop_assert!(s.in_flight().1 <= packets);
            prop_assert_eq!(s.in_flight().1 == 0, s.in_flight().0 == 0);
            prop_assert!(out.invalid || s.loss_deadline().is_none_or(|at| at > Time(now)));
        }
    }
}
