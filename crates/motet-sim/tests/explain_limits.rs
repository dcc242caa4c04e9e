//! Reasons that need an insider, or a limit: refusals, limits of both ends, and members that break
//! limits, who are counted, named and harm nobody.

use motet_proto::crypto::{Aead as _, Cipher, Crypto as _};
use motet_proto::explain::{Offence, Reason, Verdict, join, tell};
use motet_proto::node::{MemberWhere, Other};
use motet_proto::{EndpointKey, Event, PubQos, SlowPolicy, SubQos};
use motet_sim::net::{Ep, Net, config, ms, realm};
use motet_sim::null::{Ledger, NullCrypto};
use motet_sim::{Flight, Verdict as Fate};
use motet_wire::control::{Control, RejectReason};
use motet_wire::frame::{Frame, NakBuilder};
use motet_wire::packet::RealmHeader;
use motet_wire::record::Record;
use motet_wire::record::swim::{SwimIdentity, SwimMember, SwimMessage, SwimPacket, SwimState};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const TOPIC: &str = "line1/temp";

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn other(net: &Net, ep: Ep) -> Other {
    let name = net.world.slots[ep.0].cfg.name.clone();
    Other { id: net.key(ep).map(|key| key.id), name, addrs: vec![net.world.addr(ep.0)] }
}

#[track_caller]
fn says(net: &mut Net, writer: Ep, reader: Ep, reason: Reason, parts: &[&str]) -> Verdict {
    let now = net.world.now;
    let (of_writer, of_reader) = (other(net, writer), other(net, reader));
    let at_writer = net.node(writer).map(|node| node.explain_writer(now, &of_reader, TOPIC));
    let at_reader = net.node(reader).map(|node| node.explain_reader(now, &of_writer, TOPIC));
    let verdict = join(at_writer, at_reader);
    let line = tell(&verdict, &of_writer.name, &of_reader.name, TOPIC).to_string();
    assert_eq!(verdict.reason(), reason, "{line}\n{verdict:#?}");
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in: {line}");
    }
    verdict
}

fn pair(seed: u64) -> (Net, Ep, Ep) {
    let mut net = Net::seeded(seed);
    let [alice, bob] = [net.endpoint("alice"), net.endpoint("bob")];
    assert!(net.run_until(|net| net.connected(alice, bob), secs(5)), "they meet");
    (net, alice, bob)
}

fn joined(net: &mut Net, writer: Ep) {
    let ready =
        |net: &mut Net| net.events(writer).any(|event| matches!(event, Event::ReaderJoined { .. }));
    assert!(net.run_until(ready, secs(5)), "the reader joins");
}

/// Publishes until the policy `disconnect` has dropped the reader that does not read.
#[test]
fn a_reader_dropped_for_its_slowness_is_told_so_at_both_ends() {
    let (mut net, alice, bob) = pair(1);
    net.strict = false; // what it lost was accepted
    let sub = net.subscribe_with(bob, &[TOPIC], SubQos { queue_bytes: 1_024, ..SubQos::default() });
    let slow = SlowPolicy::Disconnect(secs(1));
    let qos = PubQos { slow, log_bytes: 4_096, ..PubQos::default() };
    let temp = net.advertise_with(alice, TOPIC, qos);
    joined(&mut net, alice);
    net.hold(sub);
    for _ in 0..300 {
        let _ = net.try_publish(temp, &[7; 200]);
        net.run_for(ms(10));
    }
    net.run_for(secs(1));
    let verdict = says(
        &mut net,
        alice,
        bob,
        Reason::Limit,
        &["alice dropped bob for its slowness", "--slow"],
    );
    assert_eq!(verdict.limit, "slowness");
    let now = net.world.now;
    let of_bob = other(&net, bob);
    let writer = net.node(alice).unwrap().explain_writer(now, &of_bob, TOPIC);
    assert_eq!((writer.reason(), writer.limit.as_str()), (Reason::Limit, "slowness"));
}

#[test]
fn a_reader_that_left_for_its_lag_is_told_so() {
    let (mut net, alice, bob) = pair(2);
    let abort_after = Some(ms(200));
    net.subscribe_with(bob, &[TOPIC], SubQos { abort_after, ..SubQos::default() });
    let temp = net.advertise(alice, TOPIC);
    joined(&mut net, alice);
    net.publish(temp, "on time");
    net.run_for(ms(50));
    net.world.block(alice.0, bob.0);
    net.publish(temp, "late");
    net.run_for(secs(1));
    net.heal();
    net.run_for(secs(2));
    let verdict = says(&mut net, alice, bob, Reason::Limit, &["too far behind", "abort_after"]);
    assert_eq!(verdict.limit, "lag");
}

#[test]
fn an_endpoint_without_room_for_a_session_says_so_and_names_the_setting() {
    let mut net = Net::seeded(3);
    let mut small = config("alice");
    small.sessions_max = 1;
    let alice = net.endpoint_with(small);
    let carol = net.endpoint("carol");
    assert!(net.run_until(|net| net.connected(alice, carol), secs(5)));
    let bob = net.endpoint("bob");
    net.run_for(secs(3));
    let parts = ["alice stops at a limit: sessions (1)", "raise sessions_max at alice"];
    says(&mut net, alice, bob, Reason::Limit, &parts);
}

#[test]
fn more_filters_than_are_kept_of_one_peer_are_a_limit_and_an_offence() {
    let (mut net, alice, bob) = pair(4);
    net.advertise(alice, TOPIC);
    let now = net.world.now;
    let node = net.node(bob).unwrap();
    for n in 0..10_001 {
        node.subscribe(now, &[&format!("other/{n}/*")], SubQos::default()).unwrap();
    }
    net.run_for(secs(5));
    net.subscribe(bob, TOPIC);
    net.run_for(secs(5));
    let parts = ["alice stops at a limit: filters (10000)", "use * and **"];
    let verdict = says(&mut net, alice, bob, Reason::Limit, &parts);
    assert!(verdict.offences.iter().any(|(what, _)| *what == Offence::FilterFlood), "{verdict:?}");
}

#[test]
fn an_offer_without_an_answer_is_offered_since_then() {
    let (mut net, alice, bob) = pair(5);
    net.subscribe(bob, TOPIC);
    net.run_for(secs(1));
    net.world.block(bob.0, alice.0);
    net.advertise(alice, TOPIC);
    net.run_for(secs(2));
    let now = net.world.now;
    let of_bob = other(&net, bob);
    let verdict = net.node(alice).unwrap().explain_writer(now, &of_bob, TOPIC);
    let line = tell(&verdict, "alice", "bob", TOPIC).to_string();
    assert_eq!(verdict.reason(), Reason::Offered, "{line}");
    assert!(line.contains("alice offered it 2.0 s ago and bob has not answered"), "{line}");
    assert!(line.contains("motet endpoint ping bob"), "{line}");
}

#[test]
fn an_interest_that_is_still_under_way_is_not_offered_yet() {
    let (mut net, alice, bob) = pair(6);
    net.advertise(alice, TOPIC);
    net.run_for(secs(1));
    net.world.block(bob.0, alice.0);
    net.subscribe(bob, TOPIC);
    net.run_for(secs(1));
    says(&mut net, alice, bob, Reason::NotOffered, &["bob wants it", "ask again in a second"]);
    net.heal();
    net.run_for(secs(2));
    says(&mut net, alice, bob, Reason::Receiving, &[]);
}

/// Bytes of one frame.
fn frame(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

#[test]
fn a_session_that_was_refused_as_not_authorised_is_revoked() {
    let (mut net, alice, bob) = pair(7);
    net.subscribe(bob, TOPIC);
    let temp = net.advertise(alice, TOPIC);
    joined(&mut net, alice);
    // Alice's realm has revoked bob, and he cannot come back.
    let close = frame(&Frame::Close { code: 3, reason: b"" });
    net.slot(alice).liar.clone().say(move |_| close.clone());
    net.publish(temp, "not for him");
    net.rule(
        |flight: &Flight<'_>| {
            if flight.now.0 > 0 && flight.from == 1 { Fate::Drop } else { Fate::Pass }
        },
    );
    net.run_for(secs(3));
    let of_alice = other(&net, alice);
    let now = net.world.now;
    let verdict = net.node(bob).unwrap().explain_reader(now, &of_alice, TOPIC);
    let line = tell(&verdict, "alice", "bob", TOPIC).to_string();
    assert_eq!(verdict.reason(), Reason::Revoked, "{line}");
    assert!(
        line.contains("not authorised any more") && line.contains("motet realm invite"),
        "{line}"
    );
}

#[test]
fn a_stream_that_a_rule_forbids_is_not_authorised() {
    let (mut net, alice, bob) = pair(8);
    // The next number on bob's control stream, as alice will take it.
    let next = Arc::new(AtomicU64::new(1));
    let seen = Arc::clone(&next);
    net.rule(move |flight: &Flight<'_>| {
        for frame in flight.frames().filter(|_| flight.from == 1) {
            if let Frame::Msg { stream: 0, seq, .. } = frame {
                seen.fetch_max(seq + 1, Ordering::Relaxed);
            }
        }
        Fate::Pass
    });
    net.subscribe(bob, TOPIC);
    net.run_for(secs(3));
    let seq = next.load(Ordering::Relaxed);
    net.slot(bob).liar.clone().say(move |_| {
        let reject = Control::Reject {
            stream: 1,
            reason: RejectReason::NotAuthorised,
            interest_version: 9,
            detail: String::new(),
        };
        let mut body = Vec::new();
        reject.encode(&mut body);
        frame(&Frame::Msg { stream: 0, seq, t_us: 0, repair: false, body: &body })
    });
    net.advertise(alice, TOPIC);
    net.run_for(secs(2));
    let now = net.world.now;
    let of_bob = other(&net, bob);
    let verdict = net.node(alice).unwrap().explain_writer(now, &of_bob, TOPIC);
    let line = tell(&verdict, "alice", "bob", TOPIC).to_string();
    assert_eq!(verdict.reason(), Reason::NotAuthorised, "{line} {seq}");
    assert!(line.contains("forbids line1/temp to bob") && line.contains("grant it"), "{line}");
}

/// What alice counts of mallory, and how often each was told of.
fn judged(
    net: &mut Net,
    alice: Ep,
    mallory: Ep,
) -> (BTreeMap<Offence, u64>, BTreeMap<Offence, u64>) {
    let now = net.world.now;
    let id = net.key(mallory).expect("mallory runs").id;
    let offenders = net.node(alice).expect("alice runs").offenders(now);
    let mine = offenders.into_iter().find(|it| it.key.id == id);
    let mut told = BTreeMap::new();
    for event in net.events(alice) {
        if let Event::Offender { key, what } = event {
            assert_eq!(key.id, id, "nobody else breaks a limit");
            *told.entry(*what).or_insert(0) += 1;
        }
    }
    (mine.map(|it| it.offences.into_iter().collect()).unwrap_or_default(), told)
}

#[test] // E-10
fn an_insider_that_floods_naks_status_interests_questions_and_joins_is_named_and_harms_nobody() {
    let mut net = Net::seeded(9);
    net.malformed = true;
    net.check_every = 64;
    let [alice, bob, mallory] = ["alice", "bob", "mallory"].map(|name| net.endpoint(name));
    let met = |net: &mut Net| net.connected(alice, bob) && net.connected(alice, mallory);
    assert!(net.run_until(met, secs(5)));
    let heard = net.subscribe(bob, TOPIC);
    net.subscribe(mallory, TOPIC);
    let temp = net.advertise(alice, TOPIC);
    joined(&mut net, alice);
    let readers = |net: &mut Net| {
        net.events(alice).filter(|it| matches!(it, Event::ReaderJoined { .. })).count()
    };
    assert!(net.run_until(|net| readers(net) >= 2, secs(5)));
    let mut sent = 0;
    let mut publish = |net: &mut Net| {
        sent += 1;
        net.publish(temp, format!("{sent}"));
        sent
    };
    let ping = |net: &mut Net| {
        let (now, id) = (net.world.now, net.key(alice).unwrap().id);
        net.node(mallory).map(|node| node.ping(now, id));
        net.world.flush(mallory.0);
    };

    // Questions.
    let (now, alice_id) = (net.world.now, net.key(alice).unwrap().id);
    for _ in 0..60 {
        let _ = net.node(mallory).unwrap().ask(now, alice_id, (4, 0), b"why"); // E-4
    }
    net.run_for(secs(1));
    // Interests: each a new version of its set.
    for n in 0..900 {
        let now = net.world.now;
        let node = net.node(mallory).unwrap();
        let id = node.subscribe(now, &[&format!("x/{n}")], SubQos::default()).unwrap();
        node.unsubscribe(now, id);
        net.world.flush(mallory.0);
        net.run_for(ms(5));
    }
    publish(&mut net);
    let noise = net.advertise_with(mallory, "noise", PubQos::default());
    net.subscribe(alice, "noise");
    net.run_for(secs(1));
    // NAKs for what was never sent, and acknowledgements of it.
    let mut items = NakBuilder::new();
    for n in 0..30 {
        assert!(items.push_range((1 << 40) + 2 * n, 1));
    }
    let mut nak = Vec::new();
    items.encode(1, false, &mut nak);
    let status = frame(&Frame::Status {
        stream: 1,
        next_seq: 1 << 40,
        next_off: 0,
        window: 1 << 20,
        required: true,
        end: false,
    });
    let liar = net.slot(mallory).liar.clone();
    liar.say(move |room| {
        [&nak[..], &status[..]]
            .into_iter()
            .find(|it| it.len() <= room)
            .map(<[u8]>::to_vec)
            .unwrap_or_default()
    });
    for n in 0..2_000 {
        let _ = net.try_publish(noise, &[7; 400]);
        ping(&mut net);
        net.run_for(ms(5));
        if n % 20 == 0 {
            publish(&mut net);
        }
    }
    liar.hush();
    // Joins: the same key, again and again.
    for _ in 0..40 {
        net.restart(mallory, true);
        net.run_for(ms(300));
        publish(&mut net);
    }
    net.run_for(secs(3));

    let (counted, told) = judged(&mut net, alice, mallory);
    for what in [
        Offence::QueryFlood,
        Offence::InterestFlood,
        Offence::NakFlood,
        Offence::FalseStatus,
        Offence::Flapping,
    ] {
        assert!(
            counted.get(&what).is_some_and(|n| *n > what.per_minute()),
            "{what:?}: {counted:?}"
        );
        assert!((1..=3).contains(&told.get(&what).copied().unwrap_or(0)), "{what:?}: {told:?}");
    }
    let all = publish(&mut net);
    net.run_for(secs(1));
    assert_eq!(net.received(heard).len(), all, "bob has every message");
    assert!(net.counters(bob).messages_missed == 0);
    let now = net.world.now;
    let of_mallory = other(&net, mallory);
    let verdict = net.node(alice).unwrap().explain_writer(now, &of_mallory, TOPIC);
    assert!(!verdict.offences.is_empty(), "explain names it, too");
    let of_bob = other(&net, bob);
    assert!(net.node(alice).unwrap().explain_writer(now, &of_bob, TOPIC).offences.is_empty());
}

/// A realm packet of `from`: whoever holds the realm's secret can write it.
fn sealed(from: EndpointKey, counter: u64, records: &[u8]) -> Vec<u8> {
    let crypto = NullCrypto::new([9; 32], &Ledger::default());
    let realm = realm();
    let (root, name) = (realm.secret.expect("it has one"), realm.name.as_bytes());
    let packets = crypto.derive(&root, &[b"realm key", name]);
    let key = crypto.derive(&packets, &[&from.id.0, &from.incarnation.to_le_bytes()]);
    let [a, b, c, d, ..] = crypto.hash(&[b"motet realm tag", name]);
    let realm_tag = u32::from_le_bytes([a, b, c, d]);
    let EndpointKey { id, incarnation } = from;
    let header = RealmHeader { realm_tag, id, incarnation, counter, ..RealmHeader::default() };
    let head = header.encode();
    let mut out = [&head[..], records].concat();
    let aead = crypto.aead(Cipher::Aes256GcmSiv, &key);
    let tag = aead.seal(counter, &head, &mut out[head.len()..]);
    out.extend_from_slice(&tag);
    out
}

#[test] // E-10, M-22
fn an_insider_that_tells_of_deaths_is_named_and_buries_nobody() {
    let mut net = Net::seeded(11);
    net.check_every = 64;
    let [alice, bob, carol, mallory] =
        ["alice", "bob", "carol", "mallory"].map(|name| net.endpoint(name));
    let met = |net: &mut Net| [bob, carol, mallory].iter().all(|it| net.connected(alice, *it));
    assert!(net.run_until(met, secs(5)));
    let heard = net.subscribe(bob, TOPIC);
    let temp = net.advertise(alice, TOPIC);
    joined(&mut net, alice);
    let key = |net: &Net, ep: Ep| net.key(ep).expect("it runs");
    let identity = |net: &Net, ep: Ep, generation| SwimIdentity {
        key: key(net, ep),
        generation,
        addr: net.world.addr(ep.0),
    };
    let lies = 140;
    for n in 0..lies {
        // Of whatever generation they all are by now.
        for own in 0..3 {
            let dead = [bob, carol].into_iter().flat_map(|ep| [0, 1, 2].map(|it| (ep, it)));
            let dead = dead.map(|(ep, generation)| SwimMember {
                identity: identity(&net, ep, generation),
                count: 0,
                state: SwimState::Down,
            });
            let packet = SwimPacket {
                src: identity(&net, mallory, own),
                src_count: 0,
                dst: (key(&net, alice), own),
                message: SwimMessage::Gossip,
                updates: dead.collect(),
            };
            let (mut bytes, mut records) = (Vec::new(), Vec::new());
            packet.encode(&mut bytes);
            Record::Swim(&bytes).encode(&mut records);
            let counter = (1 << 63) + 3 * n + u64::from(own);
            let packet = sealed(key(&net, mallory), counter, &records);
            let src = net.world.addr(mallory.0);
            net.world.inject(alice.0, src, motet_proto::Via::Unicast, &packet);
        }
        net.publish(temp, format!("{n}"));
        net.run_for(ms(500));
        let members = net.node(alice).map(|node| node.members()).unwrap_or_default();
        let gone = members.iter().filter(|it| it.state == MemberWhere::Dead).count();
        assert_eq!((members.len(), gone), (3, 0), "{n}");
    }
    let (counted, told) = judged(&mut net, alice, mallory);
    let what = Offence::FalseDeath;
    assert!(counted.get(&what).is_some_and(|n| *n > what.per_minute()), "{counted:?}");
    assert!((1..=3).contains(&told.get(&what).copied().unwrap_or(0)), "{told:?}");
    assert_eq!(net.received(heard).len(), lies as usize, "bob has every message");
    let of_mallory = other(&net, mallory);
    let now = net.world.now;
    let verdict = net.node(alice).unwrap().explain_writer(now, &of_mallory, TOPIC);
    assert!(!verdict.offences.is_empty(), "explain names it");
}

#[test] // E-9
fn ten_thousand_strangers_push_nothing_out_of_what_is_remembered_of_our_own_dials() {
    let mut net = Net::seeded(10);
    net.malformed = true;
    let alice = net.endpoint("alice");
    let gone: SocketAddr = ([10, 0, 77, 1], 37_321).into();
    let now = net.world.now;
    net.node(alice).unwrap().add_seed(now, gone);
    net.run_for(secs(10));
    let mut cfg = config("stranger");
    cfg.realm.name = "elsewhere".into();
    let stranger = net.endpoint_with(cfg);
    let packet = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&packet);
    let from = stranger.0;
    net.rule(move |flight: &Flight<'_>| {
        if flight.from == from && flight.multicast {
            *seen.lock().unwrap() = flight.bytes.to_vec();
        }
        Fate::Pass
    });
    net.run_for(secs(5));
    let packet = packet.lock().unwrap().clone();
    assert!(!packet.is_empty());
    for n in 0..10_000_u32 {
        let [_, a, b, c] = n.to_be_bytes();
        let src = SocketAddr::from(([10, a + 1, b, c], 37_321));
        net.world.inject(alice.0, src, motet_proto::Via::Unicast, &packet);
    }
    net.run_for(ms(100));
    let now = net.world.now;
    let asked = Other { addrs: vec![gone], ..Other::default() };
    let verdict = net.node(alice).unwrap().explain_link(now, &asked);
    assert_eq!(verdict.reason(), Reason::Unreachable, "{verdict:?}");
    assert!(net.node(alice).unwrap().neighbours().iter().count() <= 64);
}
