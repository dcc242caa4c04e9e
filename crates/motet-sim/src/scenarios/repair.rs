//! Losses and what is done about them.

use super::{Pair, expect_messages, secs};
use crate::flight::{Flight, Verdict, lose, message_stream};
use crate::links::{Burst, LinkModel};
use crate::net::ms;
use motet_wire::frame::Frame;
use std::time::Duration;

fn lan() -> LinkModel {
    LinkModel::default()
}

fn first_time(frame: &Frame<'_>) -> bool {
    match frame {
        Frame::Msg { repair, .. } | Frame::Msgs { repair, .. } | Frame::Frag { repair, .. } => {
            !repair && message_stream(frame) != Some(0)
        }
        _ => false,
    }
}

fn numbers(flight: &Flight<'_>, seq: u64) -> bool {
    flight.frames().any(|frame| match frame {
        Frame::Msg { stream, seq: s, .. } => stream != 0 && s == seq,
        _ => false,
    })
}

fn asks(flight: &Flight<'_>) -> bool {
    flight.frames().any(|frame| matches!(frame, Frame::Nak { .. }))
}

/// A hole is named once, filled once.
pub fn a_lost_message_is_asked_for_once_and_everything_arrives_in_order() {
    let Pair { mut net, bob, words, heard, .. } = Pair::over(lan());
    net.world.rules.push(lose(1, |flight| numbers(flight, 2)));

    for word in ["one", "two", "three"] {
        net.publish(words, word);
        net.run_for(Duration::from_micros(50));
    }
    net.run_for(ms(50));

    assert_eq!(net.received(heard), ["one", "two", "three"]);
    assert_eq!(net.counters(bob).naks_sent, 1, "{}", net.trace());
}

/// P1: the question itself is repeated; the next heartbeat would only come later.
pub fn a_lost_question_is_asked_again_before_a_heartbeat_could_help() {
    let Pair { mut net, words, heard, .. } = Pair::over(lan());
    net.world.rules.push(lose(1, |flight| numbers(flight, 1)));
    net.world.rules.push(lose(1, asks));
    let heartbeat = |frame: Frame<'_>| matches!(frame, Frame::Heartbeat { .. });
    net.world.rules.push(lose(usize::MAX, move |flight| flight.frames().any(heartbeat)));

    net.publish(words, "one");
    net.run_for(Duration::from_micros(50));
    net.publish(words, "two");
    net.run_for(ms(60));

    assert_eq!(net.received(heard), ["one", "two"], "{}", net.trace());
}

/// P10: no hole, no NAK; not at connect either.
pub fn a_calm_net_asks_for_nothing() {
    let Pair { mut net, alice, bob, words, heard } = Pair::over(lan());
    for n in 0..100 {
        net.publish(words, format!("{n}"));
        net.run_for(ms(n % 7));
    }
    net.run_for(ms(100));

    assert_eq!(net.received(heard).len(), 100);
    for ep in [alice, bob] {
        let counters = net.counters(ep);
        assert_eq!((counters.naks_sent, counters.repairs_sent), (0, 0), "{}", net.trace());
    }
}

/// P1: each kind of feedback is lost for five seconds, then it heals (O5).
pub fn feedback_lost_for_five_seconds_stalls_nobody() {
    type Kind = fn(&Frame<'_>) -> bool;
    let kinds: [Kind; 3] = [
        |frame| matches!(frame, Frame::Nak { .. }),
        |frame| matches!(frame, Frame::Status { .. }),
        |frame| matches!(frame, Frame::Heartbeat { .. }),
    ];
    for kind in kinds {
        let Pair { mut net, words, heard, .. } = Pair::over(lan().losing(0.1));
        net.world.rules.push(lose(usize::MAX, move |flight| {
            flight.frames().any(|frame| kind(&frame)) && flight.frames().count() < 4
        }));
        for n in 0..100 {
            net.publish(words, format!("{n}"));
            net.run_for(ms(50));
        }
        net.heal();
        net.run_for(secs(10));

        net.demand();
        assert_eq!(net.received(heard).len(), 100);
    }
}

/// P2: nothing follows what was lost.
pub fn the_last_message_of_a_burst_is_recovered_within_50_ms() {
    let Pair { mut net, words, heard, .. } = Pair::over(lan());
    for minute in 0..5_usize {
        net.world.rules.push(lose(1, |flight| flight.carries_messages()));
        net.publish(words, "alone");
        expect_messages(&mut net, heard, minute + 1, ms(50));
        net.run_for(secs(60));
    }
}

/// P3: no timer backs off while a repair is under way.
pub fn a_large_message_crosses_a_bursty_link_in_bounded_time() {
    let burst = Some(Burst { enter: 0.005, leave: 0.1, loss: 1.0 });
    let Pair { mut net, words, heard, .. } = Pair::over(LinkModel { burst, ..lan().losing(0.3) });
    net.world.trace.keep = false;
    net.publish(words, vec![7; 1 << 20]);
    expect_messages(&mut net, heard, 1, secs(100));
}

/// P4, O7: at any round trip.
pub fn repairs_stay_below_three_times_what_was_lost() {
    for micros in [50, 500, 5_000, 50_000, 150_000] {
        let link = lan().losing(0.05).taking(Duration::from_micros(micros));
        let Pair { mut net, alice, words, heard, .. } = Pair::over(link);
        net.world.trace.keep = false;
        let before = net.world.traffic.lost_bytes;
        for n in 0..2_000_u32 {
            let payload: Vec<u8> = n.to_le_bytes().iter().cycle().take(1_000).copied().collect();
            net.publish(words, &payload);
            net.run_for(ms(1));
        }
        expect_messages(&mut net, heard, 2_000, secs(300)); // CUBIC has about 5 packets a round trip

        let (lost, sent) =
            (net.world.traffic.lost_bytes - before, net.counters(alice).repair_bytes);
        assert!(sent <= 3 * lost, "latency {micros} µs: lost {lost}, repaired {sent}");
    }
}

/// P5: a question names a range of bytes, and is answered with these bytes.
pub fn only_the_lost_piece_of_a_large_message_is_sent_again() {
    let Pair { mut net, alice, words, heard, .. } = Pair::over(lan());
    let middle =
        |frame: Frame<'_>| matches!(frame, Frame::Frag { off, total, .. } if off > total / 2);
    net.world.rules.push(lose(1, move |flight| flight.frames().any(middle)));
    net.publish(words, vec![1; 100_000]);
    expect_messages(&mut net, heard, 1, secs(1));
    net.run_for(ms(100));

    let counters = net.counters(alice);
    let bytes = counters.repair_bytes;
    assert!((1..=1_500).contains(&bytes), "{bytes} bytes sent again");
}

/// P9: what is late was not lost.
pub fn late_originals_do_not_confuse_the_questions() {
    let Pair { mut net, words, heard, .. } = Pair::over(lan());
    let mut n = 0_u64;
    net.rule(move |flight| {
        n += u64::from(flight.carries_messages());
        match n % 5 {
            0 => Verdict::Late(ms(3)),
            3 => Verdict::Twice(ms(12)),
            _ => Verdict::Pass,
        }
    });
    for n in 0..500 {
        net.publish(words, format!("{n}"));
        net.run_for(Duration::from_micros(n % 3 * 400));
    }
    net.run_for(secs(2));

    assert_eq!(net.received(heard), (0..500).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// P11: suppression of repeats is per range.
pub fn a_hundred_separate_holes_are_repaired_at_once() {
    let Pair { mut net, words, heard, .. } = Pair::over(lan().taking(ms(5)));
    let mut n = 0;
    let every_second = move |flight: &Flight<'_>| {
        let counts = flight.frames().any(|frame| first_time(&frame));
        n += usize::from(counts);
        counts && n % 2 == 0
    };
    net.world.rules.push(lose(100, every_second));
    for n in 0..200_u32 {
        let payload: Vec<u8> = n.to_le_bytes().iter().cycle().take(1_100).copied().collect();
        net.publish(words, &payload);
        net.run_for(Duration::from_micros(20));
    }
    expect_messages(&mut net, heard, 200, secs(5));
}

/// P52: there is no limit on holes that a message of 16 MiB could hit at five percent.
pub fn a_very_large_message_survives_five_percent_loss() {
    let Pair { mut net, bob, words, heard, .. } = Pair::over(lan().losing(0.05));
    net.world.trace.keep = false;
    net.publish(words, vec![3; 16 << 20]);
    expect_messages(&mut net, heard, 1, secs(120));

    assert_eq!(net.counters(bob).overruns, 0);
}
