//! Acceptance lines about many endpoints, small enough for every change. The same at full size are
//! subcommands of `motet-sim`: `members`, `crash`, `split`, `coldstart`, `discovery`.

use motet_proto::node::MemberWhere;
use motet_proto::wire::packet::PacketType;
use motet_proto::wire::record::swim::SwimState;
use motet_proto::{Event, Time};
use motet_sim::flock::{Flock, FlockSpec};
use motet_sim::multitude::{Multitude, Spec};
use motet_sim::scenarios::{crowd, flow};
use motet_sim::{Ep, LinkModel, Net, ms};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn state(net: &mut Net, at: Ep, of: Ep) -> Option<MemberWhere> {
    let key = net.key(of);
    let members = net.node(at)?.members();
    members.into_iter().find(|it| Some(it.key) == key || key.is_none()).map(|it| it.state)
}

// PE-5: silence, asked, suspect, dead: visible, and when.
#[test] // M-6
fn pe_5_a_silent_peer_becomes_quiet_suspect_and_dead_at_stated_times() {
    let mut net = Net::seeded(5);
    let [alice, bob] = [net.endpoint("alice"), net.endpoint("bob")];
    net.run_for(secs(10));
    assert_eq!(state(&mut net, alice, bob), Some(MemberWhere::Alive));
    net.world.pause(bob.0);
    let silent = net.world.now;
    let (mut seen, mut last) = (Vec::new(), MemberWhere::Alive);
    for _ in 0..80 {
        net.run_for(ms(100));
        let now = state(&mut net, alice, bob).expect("bob is remembered");
        if now != last {
            seen.push((now, net.world.now.since(silent).as_millis() as u64));
            last = now;
        }
    }
    let order: Vec<_> = seen.iter().map(|(state, _)| *state).collect();
    assert_eq!(order, [MemberWhere::Quiet, MemberWhere::Suspect, MemberWhere::Dead], "{seen:?}");
    assert!(seen[0].1 <= 1_200 && seen[1].1 <= 3_000, "{seen:?}");
    // Silence counts from the last packet heard: up to a second before bob was stopped.
    assert!((3_900..=5_200).contains(&seen[2].1), "{seen:?}");
    net.world.resume(bob.0);
    net.run_for(secs(2));
    assert_eq!(state(&mut net, alice, bob), Some(MemberWhere::Alive), "it comes back");
}

// PE-5: merely slow is not dead.
#[test]
fn pe_5_a_peer_that_stands_still_for_two_seconds_is_not_declared_dead() {
    let mut net = Net::seeded(6);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| net.endpoint(name));
    net.run_for(secs(10));
    for _ in 0..10 {
        net.world.pause(bob.0);
        net.run_for(secs(2));
        net.world.resume(bob.0);
        net.run_for(secs(1));
    }
    for ep in [alice, bob, carol] {
        let dead = |event: &Event| {
            matches!(event, Event::PeerDown { .. })
                || matches!(event, Event::Member { state: SwimState::Down, .. })
        };
        assert_eq!(net.said(ep, dead), None, "{ep:?}");
    }
}

// PE-5: members without sessions are watched by probes: none that is well is declared dead, though
// datagrams are lost and a third of all stand still most of the time.
#[test] // M-7
fn pe_5_starved_members_declare_nobody_dead_who_is_well_unless_health_is_ignored() {
    let spec = FlockSpec { nodes: 20, loss: 0.05, starved: 0.3, slice: 10, health: true, seed: 3 };
    let deaths = |spec| {
        let mut flock = Flock::new(spec);
        flock.introduce_all();
        flock.run_for(secs(600));
        flock.tally.false_deaths
    };
    let (scaled, ignored) = (deaths(spec), deaths(FlockSpec { health: false, ..spec }));
    assert_eq!(scaled, 0);
    assert!(ignored >= 50, "health is worth it: {ignored}");
}

// PE-11: a blocked peer: its queue fills, it is dropped and told, others notice nothing; it may come
// back.
#[test]
fn pe_11_a_blocked_peer_is_dropped_and_told_and_may_come_back() {
    flow::only_the_slow_reader_is_dropped();
    flow::who_was_dropped_may_ask_again();
}

// BC-3: at most ten beacons a second in all, however many there are.
#[test] // D-2
fn bc_3_beacons_stay_within_their_budget_however_many_there_are() {
    for count in [10, 40] {
        let (mut net, eps) = crowd::crowd(4, count, 8);
        net.run_for(secs(30));
        let sent =
            |net: &mut Net| -> u64 { eps.iter().map(|ep| net.counters(*ep).beacons_sent).sum() };
        let before = sent(&mut net);
        net.run_for(secs(120));
        let period = (count as f64 / 10.0).max(2.0);
        let rate = (sent(&mut net) - before) as f64 / 120.0;
        let budget = count as f64 / period;
        assert!(rate <= budget * 1.1 && rate <= 11.0, "{count}: {rate} of {budget} a second");
    }
}

// SV-7: many answer one question: spread over time, bounded, none lost.
#[test] // D-5
fn sv_7_two_hundred_candidates_answer_spread_over_time_and_none_is_lost() {
    let mut net = Net::seeded(7);
    (net.check_every, net.keep) = (0, false);
    let mut eps = Vec::new();
    for n in 0..200 {
        let mut cfg = motet_sim::net::config(&format!("m{n}"));
        cfg.sessions_eager = 4;
        eps.push(net.endpoint_with(cfg));
        if n % 10 == 9 {
            net.run_for(ms(50));
        }
    }
    net.run_for(secs(10));
    let answers: Arc<Mutex<Vec<Time>>> = Arc::default();
    let noted = Arc::clone(&answers);
    let newcomer = eps.len();
    net.rule(move |flight| {
        let beacon = flight.packet() == Some(PacketType::Realm) && flight.bytes.len() == 256;
        if flight.to == Some(newcomer) && !flight.multicast && beacon {
            noted.lock().unwrap().push(flight.now);
        }
        motet_sim::Verdict::Pass
    });
    let mut cfg = motet_sim::net::config("newcomer");
    cfg.sessions_eager = 4;
    let late = net.endpoint_with(cfg);
    net.run_for(secs(5));
    let answers = answers.lock().unwrap().clone();
    // Four questions, eight answers expected to each.
    assert!((8..=80).contains(&answers.len()), "{} answers", answers.len());
    let burst = |at: &Time| answers.iter().filter(|it| it.0.abs_diff(at.0) < 2_500_000).count();
    let most = answers.iter().map(burst).max().unwrap_or(0);
    assert!(most <= 8, "{most} answers within 5 ms");
    assert_eq!(net.counters(late).kernel_drops, 0);
    assert_eq!(crowd::known(&mut net, late), 200, "all are known, whoever answered");
}

// PB-5: very many, with loss, delay, a split and crashes, from one seed, to the byte. At 1,000:
// `motet-sim coldstart --nodes 1000 --loss 2`, whose trace hash is printed.
#[test]
fn pb_5_a_hundred_endpoints_with_loss_a_split_and_crashes_repeat_exactly() {
    let run = || {
        let link = LinkModel { loss: 0.02, latency: ms(2), jitter: ms(1), ..LinkModel::default() };
        let mut net = Net::seeded(9).links(link);
        (net.check_every, net.keep) = (0, false);
        let eps: Vec<Ep> = (0..100).map(|n| net.endpoint(&format!("m{n}"))).collect();
        net.run_for(ms(600));
        for (a, b) in eps.iter().zip(eps.iter().rev()).take(20) {
            net.world.block(a.0, b.0);
        }
        net.kill(eps[3]);
        net.kill(eps[77]);
        net.run_for(ms(600));
        net.heal();
        net.run_for(ms(400));
        (net.world.trace.hash(), net.world.traffic.packets)
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    assert!(first.1 > 10_000, "{first:?}");
}

// M4: a crash is known to all, in seconds.
#[test] // M-4, M-6
fn a_crash_is_known_to_all_within_the_stated_time() {
    let spec = FlockSpec { nodes: 50, loss: 0.0, starved: 0.0, slice: 0, health: true, seed: 1 };
    let mut flock = Flock::new(spec);
    flock.introduce_all();
    flock.run_for(secs(10));
    flock.watch(7);
    flock.kill(7);
    let killed = flock.now;
    flock.run_for(secs(30));
    let dead: Vec<_> = flock.seen().iter().filter(|it| it.2 == SwimState::Down).collect();
    assert_eq!(dead.len(), 49);
    let last = dead.iter().map(|it| it.1.since(killed)).max().unwrap_or_default();
    assert!(last < secs(20), "{last:?}");
}

// P31: an access point with a hundred stations that loses a tenth of all.
#[test]
fn a_hundred_on_a_bad_access_point_declare_nobody_dead_for_ten_minutes() {
    let spec = FlockSpec { nodes: 100, loss: 0.1, starved: 0.0, slice: 0, health: true, seed: 2 };
    let mut flock = Flock::new(spec);
    flock.introduce_all();
    flock.run_for(secs(600));
    assert_eq!(flock.tally.false_deaths, 0, "{:?}", flock.tally.first);
}

// Questions, pings and names reach members without a session.
#[test] // M-12, M-13
fn a_member_without_a_session_is_found_by_name_pinged_and_asked() {
    let (mut net, eps) = crowd::crowd(11, 12, 4);
    net.run_for(secs(90));
    let (asker, other) = (eps[0], eps[7]);
    assert!(!net.connected(asker, other));
    let key = net.key(other).expect("it runs");
    let found = net.node(asker).map(|node| node.resolve("m7"));
    assert_eq!(found, Some(vec![key]));
    let now = net.world.now;
    let asked = net.node(asker).map(|node| node.query(now, key.id, 9, 0));
    assert!(matches!(asked, Some(Ok(_))), "{asked:?}");
    net.run_for(secs(1));
    let question = |event: &Event| matches!(event, Event::Query { what: 9, .. });
    assert!(net.said(other, question).is_some());
    assert!(net.node(asker).is_some_and(|node| node.ping(now, key.id)));
    let nobody = motet_proto::EndpointId([9; 16]);
    assert!(net.node(asker).is_some_and(|node| !node.ping(now, nobody)));
}

#[test] // M-18, M-20
fn of_a_large_set_a_writer_knows_what_is_certainly_not_wanted_and_dials_nobody_for_it() {
    let (mut net, eps) = crowd::crowd(12, 12, 4);
    let (reader, writer) = (eps[3], eps[9]);
    let topics: Vec<String> = (0..600).map(|n| format!("line/{n}/temp")).collect();
    let filters: Vec<&str> = topics.iter().map(String::as_str).collect();
    let heard = net.subscribe_with(reader, &filters, motet_proto::SubQos::default());
    net.run_for(secs(100));
    assert!(!net.connected(reader, writer), "it carries nothing");
    for topic in ["line/600/temp", "line/1/pressure", "elsewhere"] {
        let other = net.advertise(writer, topic);
        net.publish(other, "nobody wants it");
    }
    net.run_for(secs(10));
    assert!(!net.connected(reader, writer), "nothing that the reader wants is written");
    let words = net.advertise(writer, "line/599/temp");
    net.publish(words, "21");
    assert!(net.run_until(|net| net.received(heard).len() == 1, secs(5)), "what it wants comes");
    // One more topic is told as a change of the set that the sieve stands for.
    net.subscribe(reader, "line/700/temp");
    net.run_for(secs(5));
    let more = net.advertise(eps[10], "line/700/temp");
    net.publish(more, "22");
    assert!(net.run_until(|net| net.connected(reader, eps[10]), secs(10)), "it is dialled");
}

/// The same at full size: `motet-sim multitude`.
#[test] // D-2, M-4, M-14
fn the_cost_of_knowing_each_other_does_not_grow_with_the_number() {
    for nodes in [30, 300] {
        let mut all = Multitude::new(Spec { nodes, loss: 0.0, seed: 3 });
        assert_eq!(all.unknown(), 0, "{nodes}");
        all.run_for(secs(10));
        let before = all.sent;
        all.run_for(secs(40));
        let announced = all.sent.announcements - before.announcements;
        assert!(
            (300..=600).contains(&announced),
            "{nodes}: {announced} in 40 s, ten a second are meant"
        );
        let each = (all.sent.packets - before.packets) / 40 / nodes as u64;
        assert!((3..=4).contains(&each), "{nodes}: {each} packets of each in a second");
        assert_eq!((all.sent.suspicions, all.unknown()), (0, 0), "{nodes}");
    }
}

#[test] // M-6
fn a_multitude_learns_of_crashes_and_repeats_exactly() {
    let run = || {
        let mut all = Multitude::new(Spec { nodes: 60, loss: 0.02, seed: 4 });
        all.run_for(secs(5));
        (0..3).for_each(|victim| all.kill(victim));
        all.run_for(secs(60));
        assert_eq!((all.unknown(), all.sent.false_deaths), (0, 0));
        assert_eq!(all.deaths().len(), 3 * all.living(), "each learns of each once");
        all.hash()
    };
    assert_eq!(run(), run());
}
