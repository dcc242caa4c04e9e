//! One test per reason of `motet explain`: the situation is built, both ends are asked, and the one
//! line that a user reads names the right thing to do.

use motet_proto::explain::{Reason, Verdict, join, tell};
use motet_proto::node::Other;
use motet_proto::{Event, HostEvent, PubQos, Realm, SubQos, Via};
use motet_sim::net::{Ep, Net, config, ms};
use motet_sim::scenarios::lanes::Group;
use motet_sim::{LinkModel, Verdict as Fate};
use motet_wire::packet::{PacketType, Vneg};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TOPIC: &str = "line1/temp";

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// What the asker knows of an endpoint: its name, id and address.
fn other(net: &Net, ep: Ep) -> Other {
    let addrs = vec![net.world.addr(ep.0)];
    let name = net.world.slots[ep.0].cfg.name.clone();
    Other { id: net.key(ep).map(|key| key.id), name, addrs }
}

/// Both views, the answer, and the line that is printed.
fn explain(net: &mut Net, writer: Ep, reader: Ep) -> (Verdict, String) {
    explain_on(net, writer, reader, TOPIC)
}

fn explain_on(net: &mut Net, writer: Ep, reader: Ep, topic: &str) -> (Verdict, String) {
    let now = net.world.now;
    let (of_writer, of_reader) = (other(net, writer), other(net, reader));
    let at_writer = net.node(writer).map(|node| node.explain_writer(now, &of_reader, topic));
    let at_reader = net.node(reader).map(|node| node.explain_reader(now, &of_writer, topic));
    let verdict = join(at_writer, at_reader);
    let line = tell(&verdict, &of_writer.name, &of_reader.name, topic).to_string();
    (verdict, line)
}

#[track_caller]
fn says(found: &(Verdict, String), reason: Reason, parts: &[&str]) {
    let (verdict, line) = found;
    assert_eq!(verdict.reason(), reason, "{line}\n{verdict:#?}");
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in: {line}");
    }
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

#[test]
fn a_lane_is_named_and_a_lost_one_too_with_what_brings_it_back() {
    let link = LinkModel::default();
    let mut group = Group::on_a_lane(17, 3, link, motet_proto::SlowPolicy::Block);
    group.publish(5, 300, 5);
    group.net.run_for(secs(1));
    let (writer, reader) = (group.writer, group.readers[0]);
    let found = explain_on(&mut group.net, writer, reader, "data");
    says(&found, Reason::Receiving, &["reader0 gets data from writer: by lane"]);

    group.net.world.air.snooping = Some(ms(0));
    for _ in 0..30 {
        group.publish(1, 300, 1);
        group.net.run_for(ms(100));
    }
    let found = explain_on(&mut group.net, writer, reader, "data");
    says(&found, Reason::LaneLost, &["reader0 gets data", "goes on by unicast", "IGMP querier"]);
}

#[test] // E-1, E-2
fn receiving_names_carrier_last_message_and_lag_and_needs_no_remedy() {
    let (mut net, alice, bob) = pair(1);
    net.subscribe(bob, "line1/*");
    let temp = net.advertise(alice, TOPIC);
    joined(&mut net, alice);
    net.publish(temp, "21");
    net.run_for(ms(2_010));

    let before = format!("{:?}", net.node(bob).unwrap().peers());
    let found = explain(&mut net, alice, bob);
    says(&found, Reason::Receiving, &["bob gets line1/temp from alice", "by unicast", "2.0 s ago"]);
    says(&found, Reason::Receiving, &["0 behind"]);
    assert!(!found.1.contains("; do:"), "{}", found.1);
    assert_eq!((found.0.next, found.0.missed), (2, 0));
    assert_eq!(before, format!("{:?}", net.node(bob).unwrap().peers()), "asking changes nothing");
}

#[test]
fn a_writer_that_does_not_publish_the_topic_is_named_with_the_nearest_topic() {
    let (mut net, alice, bob) = pair(2);
    net.subscribe(bob, "line1/**");
    net.advertise(alice, "line1/tmp");
    net.run_for(secs(1));
    let found = explain(&mut net, alice, bob);
    says(&found, Reason::NotPublished, &["alice does not publish line1/temp", "\"line1/tmp\""]);
    says(&found, Reason::NotPublished, &["read line1/tmp at bob, or publish line1/temp at alice"]);

    let found = explain_on(&mut net, alice, bob, "weather");
    says(&found, Reason::NotPublished, &["motet endpoint info alice"]);
}

#[test]
fn a_reader_whose_filters_do_not_match_is_told_the_nearest_filter() {
    let (mut net, alice, bob) = pair(3);
    net.subscribe(bob, "line1/tmp");
    net.advertise(alice, TOPIC);
    net.run_for(secs(1));
    let found = explain(&mut net, alice, bob);
    says(&found, Reason::NoFilter, &["no filter of bob matches line1/temp", "\"line1/tmp\""]);
    says(&found, Reason::NoFilter, &["subscribe to line1/temp at bob"]);
}

#[test]
fn types_that_differ_are_both_named() {
    let (mut net, alice, bob) = pair(4);
    let typed = |tag: &str| SubQos { type_tag: tag.into(), ..SubQos::default() };
    net.subscribe_with(bob, &[TOPIC], typed("float64"));
    net.advertise_with(alice, TOPIC, PubQos { type_tag: "int32".into(), ..PubQos::default() });
    net.run_for(secs(1));
    let found = explain(&mut net, alice, bob);
    says(&found, Reason::TypeDiffers, &["\"int32\" at alice", "\"float64\" at bob", "--type"]);
    let now = net.world.now;
    let of_bob = other(&net, bob);
    let alone = net.node(alice).unwrap().explain_writer(now, &of_bob, TOPIC);
    assert_eq!(alone.reason(), Reason::TypeDiffers, "the writer knows it, too");
    assert_eq!((alone.at_writer.as_str(), alone.at_reader.as_str()), ("int32", "float64"));
}

#[test]
fn a_message_above_the_readers_limit_is_a_policy_with_both_settings() {
    let mut net = Net::seeded(5);
    let alice = net.endpoint("alice");
    let mut small = config("bob");
    small.max_message = 1_000;
    let bob = net.endpoint_with(small);
    net.subscribe(bob, TOPIC);
    let temp = net.advertise(alice, TOPIC);
    joined(&mut net, alice);
    net.publish(temp, vec![b'x'; 5_000]);
    net.run_for(secs(1));
    let found = explain(&mut net, alice, bob);
    says(&found, Reason::Policy, &["max_message 1000 B", "raise max_message at bob"]);
    net.publish(temp, "small");
    net.run_for(secs(1));
    says(&explain(&mut net, alice, bob), Reason::Receiving, &["1 missed"]);
}

#[test]
fn a_program_that_does_not_read_is_paused_since_then() {
    let (mut net, alice, bob) = pair(6);
    let sub = net.subscribe_with(bob, &[TOPIC], SubQos { queue_bytes: 1_024, ..SubQos::default() });
    let temp = net.advertise(alice, TOPIC);
    joined(&mut net, alice);
    net.hold(sub);
    for n in 0..100 {
        net.publish(temp, format!("{n}"));
        net.run_for(ms(10));
    }
    net.run_for(secs(5));
    let found = explain(&mut net, alice, bob);
    says(
        &found,
        Reason::Paused,
        &["the program of bob has not read for", "let the program of bob"],
    );
    assert!(found.0.since >= Some(secs(5)), "{:?}", found.0.since);
    assert!(found.0.behind > 50, "{}", found.0.behind);

    let now = net.world.now;
    let of_bob = other(&net, bob);
    let writer = net.node(alice).unwrap().explain_writer(now, &of_bob, TOPIC);
    assert_eq!(writer.reason(), Reason::Paused, "the writer sees the closed window");

    net.release(sub);
    net.run_for(secs(2));
    says(&explain(&mut net, alice, bob), Reason::Receiving, &[]);
}

#[test]
fn a_reader_behind_a_thin_path_is_lagging_by_messages_and_time() {
    let (mut net, alice, bob) = pair(7);
    net.subscribe(bob, TOPIC);
    let temp = net.advertise(alice, TOPIC);
    joined(&mut net, alice);
    let thin = LinkModel { rate: Some(20_000), ..LinkModel::default() };
    *net.world.link_mut(alice.0, bob.0) = thin;
    for _ in 0..200 {
        net.publish(temp, vec![b'x'; 1_000]);
        net.run_for(ms(10));
    }
    let found = explain(&mut net, alice, bob);
    says(&found, Reason::Lagging, &["bob gets", "bob is behind by", "packets_lost"]);
    assert!(found.0.lag >= Some(secs(1)) && found.0.behind > 10, "{:?}", found.0);
}

#[test]
fn a_silent_reader_is_suspended_with_the_time_that_its_streams_are_kept() {
    let (mut net, alice, bob) = pair(8);
    net.subscribe(bob, TOPIC);
    net.advertise(alice, TOPIC);
    joined(&mut net, alice);
    net.kill(bob);
    net.run_for(secs(20));
    let found = explain(&mut net, alice, bob);
    says(&found, Reason::Suspended, &["bob has been silent for 2", "kept for 4", "is bob running"]);
    says(&found, Reason::Suspended, &["no answer", "motet doctor alice bob"]);
}

#[test]
fn one_that_said_goodbye_is_gone_since_then() {
    let (mut net, alice, bob) = pair(9);
    net.advertise(alice, TOPIC);
    net.close(bob);
    net.run_for(secs(3));
    let of_bob = Other { name: "bob".into(), ..Other::default() };
    let now = net.world.now;
    let verdict = net.node(alice).unwrap().explain_writer(now, &of_bob, TOPIC);
    let line = tell(&verdict, "alice", "bob", TOPIC).to_string();
    says(&(verdict, line), Reason::Gone, &["bob said goodbye 3", "start bob again"]);
}

#[test]
fn an_address_that_does_not_answer_is_unreachable_with_what_came_back() {
    for no_route in [false, true] {
        let mut net = Net::seeded(10);
        let [alice, bob] = [net.endpoint("alice"), net.endpoint("bob")];
        net.world.block(alice.0, bob.0);
        if no_route {
            let addr = net.world.addr(bob.0).ip();
            net.world.set_unreachable(addr);
        } else {
            net.world.block(bob.0, alice.0);
        }
        let (now, addr) = (net.world.now, net.world.addr(bob.0));
        net.node(alice).unwrap().add_seed(now, addr);
        net.world.flush(alice.0);
        net.run_for(secs(12));
        let at = if no_route { "10.0.2.1:37321 no way there" } else { "10.0.2.1:37321 no answer" };
        let remedy = if no_route { "ip route get" } else { "firewall of bob" };
        let found = explain(&mut net, alice, bob);
        says(&found, Reason::Unreachable, &["alice cannot reach bob", at, remedy]);
    }
}

#[test]
fn a_port_that_nobody_listens_on_is_told_apart_from_a_firewall() {
    let mut net = Net::seeded(11);
    let [alice, bob] = [net.endpoint("alice"), net.endpoint("bob")];
    net.world.block(alice.0, bob.0);
    net.world.block(bob.0, alice.0);
    let (now, addr) = (net.world.now, net.world.addr(bob.0));
    let node = net.node(alice).unwrap();
    node.add_seed(now, addr);
    node.handle_host(now, HostEvent::Refused(addr));
    net.world.flush(alice.0);
    net.run_for(secs(8));
    let found = explain(&mut net, alice, bob);
    says(&found, Reason::Unreachable, &["refused, no program listens there", "start bob again"]);
}

#[test]
fn two_that_never_heard_of_each_other_are_told_how_to_meet() {
    let mut net = Net::seeded(12);
    let [alice, bob] = [net.endpoint("alice"), net.endpoint("bob")];
    net.world.block(alice.0, bob.0);
    net.world.block(bob.0, alice.0);
    net.run_for(secs(3));
    let found = explain(&mut net, alice, bob);
    says(&found, Reason::NotMet, &["multicast does not pass", "--peer", "motet doctor alice bob"]);
}

#[test]
fn another_realm_at_that_address_is_named() {
    let mut net = Net::seeded(13);
    let alice = net.endpoint("alice");
    let mut cfg = config("bob");
    cfg.realm = Realm { name: "elsewhere".into(), secret: Some([42; 32]) };
    let bob = net.endpoint_with(cfg);
    net.run_for(secs(3));
    let found = explain(&mut net, alice, bob);
    says(&found, Reason::WrongRealm, &["is in another realm", "heard", "--realm"]);
}

#[test]
fn another_secret_under_the_same_name_is_named() {
    let mut net = Net::seeded(14);
    let alice = net.endpoint("alice");
    let mut cfg = config("bob");
    cfg.realm.secret = Some([43; 32]);
    let bob = net.endpoint_with(cfg);
    net.run_for(secs(3));
    let found = explain(&mut net, alice, bob);
    says(&found, Reason::WrongKey, &["this realm's name with another secret", "realm invite"]);
}

#[test]
fn no_common_version_is_told_after_vneg() {
    let mut net = Net::seeded(15);
    let [alice, bob] = [net.endpoint("alice"), net.endpoint("bob")];
    let index = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&index);
    net.rule(move |flight| {
        if flight.from == 0 && flight.packet() == Some(PacketType::Hs1) {
            let index = flight.bytes.get(8..12).and_then(|it| it.try_into().ok());
            *seen.lock().unwrap() = index.map(u32::from_le_bytes);
        }
        if flight.packet() == Some(PacketType::Realm) { Fate::Pass } else { Fate::Drop }
    });
    assert!(net.run_until(|_| index.lock().unwrap().is_some(), secs(5)), "alice dials");
    let index = index.lock().unwrap().unwrap();
    let answer = Vneg { versions: 1 << 7, index, suites: [9, 0, 0, 0] }.encode();
    let addr = net.world.addr(bob.0);
    net.world.inject(alice.0, addr, Via::Unicast, &answer);
    net.run_for(secs(10));
    let found = explain(&mut net, alice, bob);
    says(&found, Reason::Version, &["no protocol version or cipher suite", "motet version"]);
}

#[test]
fn a_clock_that_went_back_is_named_with_its_skew() {
    let (mut net, alice, bob) = pair(16);
    // Bob dies and comes back with the same key, an hour earlier; alice does not hear him die.
    net.world.slots[bob.0].clock_off = -3_600_000;
    net.kill(bob);
    net.run_for(ms(200));
    net.start(bob, false);
    let stale = |net: &mut Net| net.counters(alice).stale_handshakes > 0;
    assert!(net.run_until(stale, secs(3)), "a stamp that does not rise");
    let found = explain(&mut net, alice, bob);
    says(&found, Reason::Clock, &["the clock of bob went back", "60 min behind", "timedatectl"]);
    let met = |net: &mut Net| {
        net.key(bob)
            .is_some_and(|key| net.node(alice).unwrap().peers().iter().any(|peer| peer.key == key))
    };
    assert!(net.run_until(met, secs(10)), "he gets in by one of his retries");
    let (now, of_bob) = (net.world.now, other(&net, bob));
    let link = net.node(alice).unwrap().explain_link(now, &of_bob).link;
    assert!(link.skew_ms.is_some_and(|ms| (-3_600_500..-3_599_000).contains(&ms)), "{link:?}");
}

/// Which test shows which reason. One that is seen from outside only is shown by the library or the
/// command, with the whole of both ends.
const SHOWN: &[(Reason, &str, &str)] = &[
    (Reason::NotFound, CLI, "a_name_that_nobody_has_is_not_found_and_the_nearest_is_named"),
    (Reason::WrongKey, HERE, "another_secret_under_the_same_name_is_named"),
    (Reason::WrongRealm, HERE, "another_realm_at_that_address_is_named"),
    (Reason::Revoked, LIMITS, "a_session_that_was_refused_as_not_authorised_is_revoked"),
    (Reason::Version, HERE, "no_common_version_is_told_after_vneg"),
    (Reason::Clock, HERE, "a_clock_that_went_back_is_named_with_its_skew"),
    (Reason::Limit, LIMITS, "an_endpoint_without_room_for_a_session_says_so_and_names_the_setting"),
    (Reason::Gone, HERE, "one_that_said_goodbye_is_gone_since_then"),
    (
        Reason::Suspended,
        HERE,
        "a_silent_reader_is_suspended_with_the_time_that_its_streams_are_kept",
    ),
    (
        Reason::Unreachable,
        HERE,
        "an_address_that_does_not_answer_is_unreachable_with_what_came_back",
    ),
    (Reason::NotMet, HERE, "two_that_never_heard_of_each_other_are_told_how_to_meet"),
    (Reason::NotAuthorised, LIMITS, "a_stream_that_a_rule_forbids_is_not_authorised"),
    (
        Reason::NotPublished,
        HERE,
        "a_writer_that_does_not_publish_the_topic_is_named_with_the_nearest_topic",
    ),
    (Reason::NoFilter, HERE, "a_reader_whose_filters_do_not_match_is_told_the_nearest_filter"),
    (Reason::TypeDiffers, HERE, "types_that_differ_are_both_named"),
    (Reason::Policy, HERE, "a_message_above_the_readers_limit_is_a_policy_with_both_settings"),
    (
        Reason::NotAnswering,
        CLI,
        "a_program_that_does_not_read_is_paused_and_a_stopped_one_does_not_answer",
    ),
    (Reason::NotOffered, LIMITS, "an_interest_that_is_still_under_way_is_not_offered_yet"),
    (Reason::Offered, LIMITS, "an_offer_without_an_answer_is_offered_since_then"),
    (Reason::Paused, HERE, "a_program_that_does_not_read_is_paused_since_then"),
    (Reason::LaneLost, HERE, "a_lane_is_named_and_a_lost_one_too_with_what_brings_it_back"),
    (Reason::Lagging, HERE, "a_reader_behind_a_thin_path_is_lagging_by_messages_and_time"),
    (Reason::Receiving, HERE, "receiving_names_carrier_last_message_and_lag_and_needs_no_remedy"),
    (
        Reason::Unknown,
        CORE,
        "every_reason_has_a_stable_name_of_its_own_and_a_strange_name_is_unknown",
    ),
];
const HERE: &str = include_str!("explain.rs");
const LIMITS: &str = include_str!("explain_limits.rs");
const CLI: &str = include_str!("../../motet-cli/tests/explain.rs");
const CORE: &str = include_str!("../../motet-proto/src/explain/mod.rs");

#[test]
fn every_reason_is_shown_by_a_test_that_names_it() {
    let reasons: Vec<Reason> = SHOWN.iter().map(|(reason, ..)| *reason).collect();
    assert_eq!(reasons, Reason::ALL);
    for (reason, file, test) in SHOWN {
        let head = format!("fn {test}()");
        let (before, body) = file.split_once(&head).unwrap_or_else(|| panic!("no test {test}"));
        let above = before.rsplit("\n\n").next().unwrap_or_default();
        assert!(above.contains("#[test]") && !above.contains("#[ignore"), "{test} is not run");
        let end = body.find("\nfn ").unwrap_or(body.len());
        let variant = format!("Reason::{reason:?}");
        // The command says it in words.
        let word = match reason {
            Reason::NotFound => "no endpoint",
            Reason::NotAnswering => "does not answer",
            _ => &variant,
        };
        let named = body[..end].contains(word);
        assert!(named, "{test} does not name {reason:?}");
    }
}
