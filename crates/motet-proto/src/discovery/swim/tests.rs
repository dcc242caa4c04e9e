//! One endpoint's membership, driven by hand.

use super::*;
use motet_wire::record::swim::SwimMember;
use std::net::{IpAddr, Ipv4Addr};
use std::vec::Vec;

const S: Duration = Duration::from_secs(1);
const START: Time = Time(1_000_000_000);

fn key(n: u32, incarnation: u64) -> EndpointKey {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    EndpointKey { id: EndpointId(id), incarnation }
}

fn addr(n: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n)), 37_321)
}

fn identity(n: u32, incarnation: u64) -> SwimIdentity {
    SwimIdentity { key: key(n, incarnation), generation: 0, addr: addr(n) }
}

fn member(n: u32, incarnation: u64, state: SwimState) -> SwimMember {
    SwimMember { identity: identity(n, incarnation), count: 0, state }
}

fn me() -> Swim {
    let mut rng = Rng::new([5; 32]);
    Swim::new(START, key(0, 7), addr(0), SwimSettings::default(), &mut rng)
}

/// A packet of member `n`.
fn packet(n: u32, to: &Swim, message: SwimMessage, updates: Vec<SwimMember>) -> Vec<u8> {
    let src = identity(n, 1);
    let dst = (to.own().key, to.own().generation);
    let mut bytes = Vec::new();
    SwimPacket { src, src_count: 0, dst, message, updates }.encode(&mut bytes);
    bytes
}

fn told(swim: &mut Swim, n: u32, message: SwimMessage, updates: Vec<SwimMember>, now: Time) {
    let bytes = packet(n, swim, message, updates);
    swim.on_packet(now, key(n, 1), addr(n), &bytes);
}

fn actions(swim: &mut Swim) -> Vec<SwimAction> {
    core::iter::from_fn(|| swim.poll()).collect()
}

/// What was sent, taken apart.
fn sent(swim: &mut Swim) -> Vec<SwimPacket> {
    let packets = actions(swim).into_iter().filter_map(|action| match action {
        SwimAction::Send { bytes, .. } => Some(SwimPacket::decode(&bytes).unwrap()),
        _ => None,
    });
    packets.collect()
}

fn run(swim: &mut Swim, until: Time) {
    while swim.deadline() <= until {
        let at = swim.deadline();
        swim.on_timeout(at);
    }
}

#[test] // M-3
fn a_packet_that_names_another_sender_is_dropped() {
    let mut swim = me();
    let bytes = packet(2, &swim, SwimMessage::Ping(1), Vec::new());
    swim.on_packet(START, key(3, 1), addr(3), &bytes);
    assert_eq!((swim.counts().forged, swim.alive()), (1, 0));
    swim.on_packet(START, key(2, 1), addr(2), &bytes);
    assert_eq!((swim.counts().forged, swim.alive()), (1, 1));
    swim.on_packet(START, key(2, 1), addr(2), &bytes[..bytes.len() - 1]);
    assert_eq!(swim.counts().malformed, 1); // M-1
}

#[test] // M-4
fn one_member_is_probed_each_second_and_three_others_are_asked_if_it_is_silent() {
    let mut swim = me();
    for n in 1..=9 {
        swim.join(START, key(n, 1), addr(n));
    }
    run(&mut swim, START + S + S / 4);
    let probes =
        sent(&mut swim).iter().filter(|it| matches!(it.message, SwimMessage::Ping(_))).count();
    run(&mut swim, START + S + S * 3 / 4);
    let asked = sent(&mut swim);
    let asked = asked.iter().filter(|it| matches!(it.message, SwimMessage::PingReq(..))).count();
    assert_eq!((probes, asked), (1, 3));
}

#[test] // M-5
fn an_earlier_life_changes_nothing_and_a_later_one_replaces() {
    let mut swim = me();
    swim.told(START, &member(1, 5, SwimState::Alive));
    swim.left(START + S * 2, key(1, 5));
    assert!(!swim.told(START + S * 4, &member(1, 4, SwimState::Alive)));
    assert!(!swim.told(START + S * 4, &member(1, 5, SwimState::Alive)), "down is for good");
    assert!(swim.told(START + S * 6, &member(1, 6, SwimState::Alive)));
    assert_eq!(swim.member(key(1, 0).id).map(|view| view.key.incarnation), Some(6));
}

#[test] // M-6
fn a_suspect_is_asked_every_second_and_its_answer_refutes() {
    let mut swim = me();
    for n in 1..=2 {
        swim.join(START, key(n, 1), addr(n));
    }
    run(&mut swim, START + S * 3);
    let packets = sent(&mut swim);
    let accused = |it: &&SwimPacket| {
        it.message == SwimMessage::Ping(0)
            && it.updates.iter().any(|it| it.state == SwimState::Suspect)
    };
    let asked = packets.iter().filter(accused).count();
    assert!(asked >= 1, "{packets:?}");
    let suspect = packets.iter().find(accused).unwrap().dst.0;
    assert_eq!(swim.member(suspect.id).map(|view| view.state), Some(SwimState::Suspect));

    let n = u32::from_be_bytes(suspect.id.0[..4].try_into().unwrap());
    let (src, dst) = (identity(n, 1), (swim.own().key, 0));
    let answer =
        SwimPacket { src, src_count: 1, dst, message: SwimMessage::Ack(0), updates: vec![] };
    let mut bytes = Vec::new();
    answer.encode(&mut bytes);
    swim.on_packet(START + S * 3, suspect, addr(n), &bytes);
    assert_eq!(swim.member(suspect.id).map(|view| view.state), Some(SwimState::Alive));
}

#[test] // M-19
fn a_suspect_of_others_is_asked_when_nothing_more_is_heard_of_it() {
    let mut swim = me();
    // Nobody is probed in this time but member 1, who answers.
    let suspects = [2, 3, 4];
    for n in [1, 2, 3, 4] {
        swim.told(START, &member(n, 1, SwimState::Alive));
    }
    let updates = suspects.map(|n| member(n, 1, SwimState::Suspect)).to_vec();
    told(&mut swim, 1, SwimMessage::Gossip, updates, START);
    let _ = actions(&mut swim);
    let asked = |swim: &mut Swim, until: Time| {
        let mut asked = Vec::new();
        while swim.doubt.at() <= until {
            let at = swim.doubt.at();
            swim.io.timers.clear(); // foca's own probes are another story
            swim.on_timeout(at);
            let asks = sent(swim).into_iter().filter(|it| it.message == SwimMessage::Ping(0));
            asked.extend(asks.map(|it| (at.since(START).as_secs(), it.dst.0.id.0[3])));
        }
        asked
    };
    let decided = START + suspicion(4) / 4;
    assert_eq!(asked(&mut swim, decided - S / 2), [], "others have their time");
    assert_eq!(asked(&mut swim, decided + S * 4), [(1, 2), (2, 3), (3, 4), (4, 2), (5, 3)]);
    let answer = |swim: &mut Swim, n: u32, at: Time| {
        let (src, dst) = (identity(n, 1), (swim.own().key, 0));
        let mut bytes = Vec::new();
        SwimPacket { src, src_count: 1, dst, message: SwimMessage::Ack(0), updates: vec![] }
            .encode(&mut bytes);
        swim.on_packet(at, key(n, 1), addr(n), &bytes);
    };
    answer(&mut swim, 2, decided + S * 5);
    answer(&mut swim, 4, decided + S * 5);
    assert_eq!(swim.member(key(2, 1).id).map(|view| view.state), Some(SwimState::Alive));
    assert_eq!(asked(&mut swim, decided + S * 7), [(6, 3), (7, 3), (8, 3)]);
    swim.left(decided + S * 8, key(3, 1));
    assert_eq!(swim.doubt.at(), Time::NEVER);
}

#[test] // M-6
fn a_suspicion_lasts_longer_among_more() {
    let seconds = [1, 10, 100, 1_000, 10_000].map(|n| suspicion(n).as_secs_f64().round() as u64);
    assert_eq!(seconds, [4, 4, 8, 12, 16]);
}

#[test] // M-7
fn who_slept_accuses_nobody_before_it_has_listened() {
    let mut swim = me();
    for n in 1..=5 {
        swim.join(START, key(n, 1), addr(n));
    }
    run(&mut swim, START + S);
    let woken = START + S * 60;
    swim.on_timeout(woken);
    assert_eq!((swim.counts().late, swim.score()), (1, 1));
    let lives = |swim: &Swim| swim.members().filter(|it| it.state == SwimState::Alive).count();
    assert_eq!(lives(&swim), 5);
    run(&mut swim, woken + S / 4);
    assert_eq!(lives(&swim), 5);
}

#[test] // M-8
fn the_death_of_somebody_unknown_is_no_news() {
    let mut swim = me();
    let updates = vec![member(9, 1, SwimState::Down)];
    told(&mut swim, 1, SwimMessage::Gossip, updates, START);
    assert_eq!((swim.counts().unknown_dead, swim.dead(), swim.members().count()), (1, 0, 1));
}

#[test] // M-9
fn a_flood_of_joins_is_bounded_and_counted() {
    let mut swim = me();
    for n in 0..40_000 {
        let now = START + Duration::from_micros(u64::from(n) * 10);
        swim.join(now, key(n + 1, 1), addr(n + 1));
        actions(&mut swim);
    }
    // 2,048 at once and one each 2 ms of 0.4 s.
    let known = swim.members().count();
    assert!((2_200..=2_260).contains(&known), "{known}");
    assert_eq!(swim.counts().limited as usize, 40_000 - known);
}

#[test] // M-9
fn who_joins_and_leaves_ten_times_a_second_gets_one_life_a_second() {
    let mut swim = me();
    let mut lives = 0;
    for tenth in 0..100_u64 {
        let now = START + S / 10 * tenth as u32;
        let life = tenth / 2 + 1;
        if tenth % 2 == 0 {
            swim.told(now, &member(1, life, SwimState::Alive));
        } else {
            swim.left(now, key(1, life));
        }
        let up = |it: &SwimAction| matches!(it, SwimAction::State { state: SwimState::Alive, .. });
        lives += actions(&mut swim).iter().filter(|it| up(it)).count();
    }
    assert!(lives <= 11, "{lives}");
    assert!(swim.counts().damped >= 30, "{:?}", swim.counts());
}

#[test] // M-9
fn hearsay_replaces_nobody_that_we_have_a_session_with() {
    let mut swim = me();
    swim.confirmed(START, key(1, 5), addr(1));
    actions(&mut swim);
    swim.told(START + S * 5, &member(1, 6, SwimState::Alive));
    assert_eq!(swim.member(key(1, 0).id).map(|view| view.key.incarnation), Some(5));
    let check = SwimAction::Check { key: key(1, 6), addr: addr(1) };
    assert!(actions(&mut swim).contains(&check), "it is dialled instead");
    swim.confirmed(START + S * 6, key(1, 6), addr(1));
    assert_eq!(swim.member(key(1, 0).id).map(|view| view.key.incarnation), Some(6));
}

#[test] // M-10
fn the_dead_are_bounded_by_the_living_and_forgotten_after_a_day() {
    let mut swim = me();
    swim.join(START, key(1, 1), addr(1));
    for n in 2..200 {
        swim.told(START, &member(n, 1, SwimState::Alive));
    }
    for n in 2..200 {
        swim.left(START + S * 2, key(n, 1));
    }
    assert_eq!((swim.alive(), swim.dead(), swim.counts().forgotten), (1, 32, 166));
    let known: Vec<_> = swim.members().filter(|it| it.state == SwimState::Down).collect();
    assert_eq!(known.len(), 32);
    swim.left(START + S * 2, key(1, 1));
    swim.on_timeout(START + S * 24 * 3_600 + S * 3);
    assert_eq!(swim.dead(), 0);
}

#[test] // M-10
fn the_dead_are_asked_the_latest_first_and_seldom_when_nothing_happens() {
    let mut swim = me();
    for n in 1..=9 {
        swim.told(START, &member(n, 1, SwimState::Alive));
    }
    for n in 2..=9 {
        let at = START + Duration::from_millis(u64::from(n));
        swim.left(at, key(n, 1));
    }
    let _ = actions(&mut swim);
    let asked = |swim: &mut Swim, until| {
        run(swim, until);
        let asks = sent(swim).into_iter().filter(|it| it.message == SwimMessage::Announce);
        let dead = asks.filter(|it| it.dst.0 != key(1, 1)).map(|it| it.dst.0.id.0[3]);
        dead.collect::<Vec<_>>()
    };
    assert_eq!(asked(&mut swim, START + S * 6), [9, 2], "the last, and the first in turn");
    assert_eq!(asked(&mut swim, START + S * 11), [8, 3]);
    run(&mut swim, START + S * 700);
    let _ = actions(&mut swim);
    let later = asked(&mut swim, START + S * 760);
    assert!((2..=4).contains(&later.len()), "two in 30 s, or one twice in turn: {later:?}");
    swim.leave(START + S * 761);
    let _ = actions(&mut swim);
    assert!(asked(&mut swim, START + S * 900).is_empty(), "who has left asks nobody");
}

#[test] // M-11, P50
fn who_is_declared_dead_comes_back_twice_and_then_once_a_minute() {
    let mut swim = me();
    told(&mut swim, 1, SwimMessage::Gossip, Vec::new(), START);
    let mut generations = Vec::new();
    let mut now = START + S;
    for _ in 0..4 {
        told(&mut swim, 1, SwimMessage::TurnUndead, Vec::new(), now);
        run(&mut swim, now + S * 11);
        generations.push(swim.own().generation);
        now = now + S * 12;
    }
    assert_eq!(generations, [1, 2, 2, 2]);
    run(&mut swim, now + S * 60);
    assert_eq!(swim.own().generation, 3, "it does not wait to be told again");
    let duplicates = actions(&mut swim).iter().filter(|it| **it == SwimAction::Duplicate).count();
    assert_eq!(duplicates, 1);
}

#[test] // M-11
fn coming_back_happens_at_most_once_in_ten_seconds() {
    let mut swim = me();
    told(&mut swim, 1, SwimMessage::Gossip, Vec::new(), START);
    told(&mut swim, 1, SwimMessage::TurnUndead, Vec::new(), START + S);
    assert_eq!(swim.own().generation, 1);
    told(&mut swim, 1, SwimMessage::TurnUndead, Vec::new(), START + S * 2);
    run(&mut swim, START + S * 10);
    assert_eq!(swim.own().generation, 1);
    run(&mut swim, START + S * 11);
    assert_eq!(swim.own().generation, 2);
}

#[test]
fn what_we_tell_of_members_is_what_foca_holds() {
    let mut swim = me();
    for n in 1..=30 {
        swim.join(START, key(n, 1), addr(n));
    }
    let mut now = START;
    for step in 0..200_u32 {
        now = now + S / 5;
        let n = step % 30 + 1;
        let state = [SwimState::Alive, SwimState::Suspect, SwimState::Down][(step % 3) as usize];
        let about = (step * 7) % 30 + 1;
        let mut update = member(about, 1, state);
        update.count = (step / 40) as u16;
        let dead = state == SwimState::Down && about > 25;
        let updates = if state != SwimState::Down || dead { vec![update] } else { Vec::new() };
        told(&mut swim, n, SwimMessage::Gossip, updates, now);
        swim.on_timeout(now);
        actions(&mut swim);
        for known in swim.foca.iter_membership_state().filter(|it| it.id().slot != ME) {
            let entry = swim.io.table.of(known.id()).expect("foca knows nobody that we do not");
            assert_eq!(state_of(entry.state), known.state(), "{step}: {entry:?}");
        }
        let ours = swim.io.table.iter().count();
        let theirs = swim.foca.iter_membership_state().filter(|it| it.id().slot != ME).count();
        assert_eq!(ours, theirs);
    }
}

/// A packet of member 1, who tells of these.
fn gossip(swim: &mut Swim, now: Time, updates: &[SwimMember]) {
    for page in updates.chunks(20) {
        told(swim, 1, SwimMessage::Gossip, page.to_vec(), now);
    }
}

/// What member `n` answers when it is asked: that it lives, with this count.
fn answers(swim: &mut Swim, n: u32, count: u16, now: Time) {
    let (src, dst) = (identity(n, 1), (swim.own().key, swim.own().generation));
    let mut bytes = Vec::new();
    SwimPacket { src, src_count: count, dst, message: SwimMessage::Ack(0), updates: vec![] }
        .encode(&mut bytes);
    swim.on_packet(now, key(n, 1), addr(n), &bytes);
}

fn state(swim: &Swim, n: u32) -> Option<SwimState> {
    swim.member(key(n, 1).id).map(|view| view.state)
}

#[test] // M-22
fn whose_death_is_a_rumour_is_asked_and_given_up_only_if_it_is_silent() {
    let mut swim = me();
    (1..=4).for_each(|n| swim.join(START, key(n, 1), addr(n)));
    swim.confirmed(START, key(4, 1), addr(4));
    let _ = actions(&mut swim);
    gossip(&mut swim, START, &[2, 3, 4].map(|n| member(n, 1, SwimState::Down)));
    assert_eq!([2, 3, 4].map(|n| state(&swim, n)), [Some(SwimState::Suspect); 3]);
    assert_eq!(swim.counts().rumours, 3);
    run(&mut swim, START);
    let mut asked: Vec<u8> = Vec::new();
    for packet in sent(&mut swim) {
        if packet.message == SwimMessage::Ping(0) {
            asked.push(packet.dst.0.id.0[3]);
        }
        let dead = |it: &SwimMember| it.state == SwimState::Down;
        assert!(!packet.updates.iter().any(dead), "a rumour is passed on as a fact");
    }
    assert_eq!(asked, [2, 3, 4]);
    answers(&mut swim, 2, 1, START + S / 2);
    // Meanwhile it is told again: who is suspected for too short a time is still not dead.
    gossip(&mut swim, START + S, &[member(3, 1, SwimState::Down)]);
    assert_eq!(state(&swim, 3), Some(SwimState::Suspect));
    run(&mut swim, START + S * 4);
    assert_eq!(state(&swim, 2), Some(SwimState::Alive), "it answered");
    assert_eq!(state(&swim, 3), Some(SwimState::Down), "it did not");
    assert_eq!(state(&swim, 4), Some(SwimState::Suspect), "its session knows better");
    swim.released(key(4, 1).id);
    run(&mut swim, START + S * 7);
    assert_eq!(state(&swim, 4), Some(SwimState::Down));
    let slander = SwimAction::Slander { by: key(1, 1) };
    assert_eq!(actions(&mut swim).iter().filter(|it| **it == slander).count(), 1);
    assert_eq!(swim.counts().slanders, 1);
}

#[test] // M-22
fn a_suspect_that_was_silent_when_we_asked_is_dead_when_others_say_so() {
    let mut swim = me();
    (1..=3).for_each(|n| swim.join(START, key(n, 1), addr(n)));
    gossip(&mut swim, START, &[2, 3].map(|n| member(n, 1, SwimState::Suspect)));
    swim.io.timers.clear(); // our own probes are another story
    let decided = START + suspicion(4) / 4;
    run(&mut swim, decided); // M-19: 2 is asked
    swim.io.timers.clear();
    gossip(&mut swim, decided + S, &[member(2, 1, SwimState::Down)]);
    assert_eq!(state(&swim, 2), Some(SwimState::Suspect), "it has a second and a half");
    swim.io.timers.clear();
    let both = [2, 3].map(|n| member(n, 1, SwimState::Down));
    gossip(&mut swim, decided + S * 3 / 2, &both);
    assert_eq!([2, 3].map(|n| state(&swim, n)), [Some(SwimState::Down), Some(SwimState::Suspect)]);
}

#[test] // M-8, M-22
fn the_death_of_a_life_that_nobody_called_alive_changes_nothing() {
    let mut swim = me();
    (1..=2).for_each(|n| swim.join(START, key(n, 1), addr(n)));
    let mut later = member(2, 1, SwimState::Down);
    later.identity.generation = u32::MAX;
    gossip(&mut swim, START + S, &[later, member(2, u64::MAX, SwimState::Down)]);
    gossip(&mut swim, START + S, &[member(2, u64::MAX, SwimState::Suspect)]);
    let view = swim.member(key(2, 1).id).map(|it| (it.key, it.generation, it.state));
    assert_eq!(view, Some((key(2, 1), 0, SwimState::Alive)));
    assert_eq!(swim.counts().unknown_dead, 2);
}

#[test] // M-22
fn a_thousand_rumours_are_asked_about_at_a_steady_rate() {
    let mut swim = me();
    (1..=1_000).for_each(|n| swim.join(START, key(n, 1), addr(n)));
    let _ = actions(&mut swim);
    let all: Vec<_> = (2..=1_000).map(|n| member(n, 1, SwimState::Down)).collect();
    let mut now = START;
    let (mut asked, mut most) = (0, 0);
    for _ in 0..20 {
        gossip(&mut swim, now, &all);
        run(&mut swim, now + S);
        now = now + S;
        let asks: Vec<(u32, u16)> = sent(&mut swim)
            .iter()
            .filter(|it| it.message == SwimMessage::Ping(0))
            .map(|it| {
                (u32::from_be_bytes(*it.dst.0.id.0.first_chunk().unwrap()), it.updates[0].count)
            })
            .collect();
        (asked, most) = (asked + asks.len(), most.max(asks.len()));
        asks.into_iter().for_each(|(n, count)| answers(&mut swim, n, count + 1, now));
    }
    assert!((400..=1_200).contains(&asked), "{asked} in 20 s");
    assert!(most <= 100, "{most} in a second");
    assert_eq!(swim.dead(), 0);
}

#[test] // M-11
fn a_rumour_of_our_own_death_ends_one_generation_in_ten_seconds_and_we_go_on_meanwhile() {
    let mut swim = me();
    (1..=3).for_each(|n| swim.join(START, key(n, 1), addr(n)));
    let mut now = START;
    let mut answered = 0;
    for _ in 0..600 {
        now = now + S / 10;
        let own = SwimMember { identity: swim.own(), count: 0, state: SwimState::Down };
        gossip(&mut swim, now, &[own]);
        let never_had = SwimMember { count: 40_000, state: SwimState::Suspect, ..own };
        gossip(&mut swim, now, &[never_had]);
        told(&mut swim, 1, SwimMessage::TurnUndead, Vec::new(), now);
        swim.io.timers.clear(); // our own probes are another story
        run(&mut swim, now);
        let _ = actions(&mut swim);
        told(&mut swim, 2, SwimMessage::Ping(7), Vec::new(), now);
        let acks = sent(&mut swim);
        answered += usize::from(acks.iter().any(|it| it.message == SwimMessage::Ack(7)));
    }
    assert!((2..=3).contains(&swim.own().generation), "{:?}", swim.own());
    assert_eq!(answered, 600, "who asks is answered all the time");
    assert!(swim.counts().own_rumours > 500, "{:?}", swim.counts());
}

#[test] // M-11
fn suspicions_of_us_are_answered_ten_times_a_second_at_most() {
    let mut swim = me();
    (1..=9).for_each(|n| swim.join(START, key(n, 1), addr(n)));
    let _ = actions(&mut swim);
    let mut count = 0;
    let mut packets = 0;
    for step in 0..1_000_u32 {
        let now = START + S / 1_000 * step;
        let own = SwimMember { identity: swim.own(), count, state: SwimState::Suspect };
        gossip(&mut swim, now, &[own]);
        for packet in sent(&mut swim) {
            packets += 1;
            count = count.max(packet.src_count);
        }
    }
    assert!((10..=20).contains(&count), "{count} answers");
    assert!(packets <= 80, "{packets} packets");
    assert_eq!(swim.own().generation, 0);
}

#[test] // M-9
fn who_tells_of_too_many_new_members_is_told_of() {
    let mut swim = me();
    let all: Vec<_> = (2..=4_000).map(|n| member(n, 1, SwimState::Alive)).collect();
    gossip(&mut swim, START, &all);
    let flood = |it: &SwimAction| match it {
        SwimAction::Flood { by, n } if *by == key(1, 1) => *n,
        _ => 0,
    };
    let n: u64 = actions(&mut swim).iter().map(flood).sum();
    assert_eq!((n, swim.members().count() as u64 + n), (swim.counts().limited, 4_000));
}

#[test] // M-23
fn who_asks_for_a_generation_that_is_over_is_told_of_the_present_one() {
    let mut swim = me();
    swim.join(START, key(1, 1), addr(1));
    let asks = packet(1, &swim, SwimMessage::Ping(3), Vec::new());
    told(&mut swim, 1, SwimMessage::TurnUndead, Vec::new(), START + S);
    let _ = actions(&mut swim);
    let mut said = 0;
    for step in 0..1_000 {
        let now = START + S * 2 + S / 1_000 * step;
        swim.on_packet(now, key(1, 1), addr(1), &asks);
        for it in sent(&mut swim) {
            let empty = it.message == SwimMessage::Gossip && it.updates.is_empty();
            assert!(empty && it.src.generation == 1 && it.dst == (key(1, 1), 0), "{it:?}");
            said += 1;
        }
    }
    assert!((64..=120).contains(&said), "{said} in a second");
}
