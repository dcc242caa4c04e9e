//! One packet for many readers: what it saves, and what must not come of it.

use super::secs;
use crate::flight::{Verdict, lose};
use crate::links::LinkModel;
use crate::net::{Ep, Net, Pub, Sub, config, ms};
use crate::null::{Ledger, NullCrypto};
use motet_proto::crypto::{Aead, Cipher, Crypto};
use motet_proto::node::{Carrier, WhyUnicast};
use motet_proto::{Delivery, Event, LanePolicy, PubQos, SlowPolicy, SubQos, Time, Via};
use motet_wire::control::{Control, LaneOffer};
use motet_wire::frame::{Frame, Frames, GapReason, LaneHbItem, NakBuilder, NakItem, put_lane_hb};
use motet_wire::packet::MdataHeader;
use motet_wire::record::roles;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// A writer and readers of one topic on one network.
pub struct Group {
    /// Their network.
    pub net: Net,
    /// Who writes.
    pub writer: Ep,
    /// What it writes to.
    pub topic: Pub,
    /// Who reads.
    pub readers: Vec<Ep>,
    /// What they read.
    pub subs: Vec<Sub>,
}

impl Group {
    /// They know each other. `seed` is all chance.
    pub fn new(seed: u64, readers: usize, link: LinkModel, qos: PubQos) -> Self {
        Self::prepared(seed, readers, link, qos, |_, _, _| {})
    }

    /// As [`new`](Self::new); `prepare` is told writer and readers before anything is published.
    pub fn prepared(
        seed: u64,
        readers: usize,
        link: LinkModel,
        qos: PubQos,
        prepare: impl FnOnce(&mut Net, Ep, &[Ep]),
    ) -> Self {
        let mut net = Net::seeded(seed).links(link);
        let writer = net.endpoint("writer");
        let names = (0..readers).map(|n| net.endpoint(&format!("reader{n}")));
        let readers: Vec<Ep> = names.collect();
        let subs: Vec<Sub> = readers.iter().map(|ep| net.subscribe(*ep, "data")).collect();
        prepare(&mut net, writer, &readers);
        let topic = net.advertise_with(writer, "data", qos);
        let all = readers.len();
        let met = net.run_until(|net| joined(net, writer) >= all, secs(30));
        assert!(met, "they do not meet");
        net.run_for(ms(500));
        Self { net, writer, topic, readers, subs }
    }

    /// Very many readers that know only the writer.
    pub fn star(seed: u64, readers: usize, link: LinkModel, qos: PubQos) -> Self {
        let mut net = Net::seeded(seed).links(link);
        net.check_every = 1_024;
        let mut cfg = config("writer");
        cfg.sessions_max = readers + 1;
        (cfg.group_v4, cfg.group_v6) = (None, None);
        let writer = net.endpoint_with(cfg);
        let center = net.world.addr(writer.0);
        let reader = |net: &mut Net, n: usize| {
            let mut cfg = config(&format!("reader{n}"));
            (cfg.group_v4, cfg.group_v6, cfg.greet_loopback) = (None, None, false);
            (cfg.sessions_max, cfg.roles) = (1, roles::OBSERVER);
            cfg.seeds = vec![center];
            let ep = net.endpoint_with(cfg);
            net.run_for(ms(2));
            ep
        };
        let readers: Vec<Ep> = (0..readers).map(|n| reader(&mut net, n)).collect();
        let subs: Vec<Sub> = readers.iter().map(|ep| net.subscribe(*ep, "data")).collect();
        let topic = net.advertise_with(writer, "data", qos);
        let all = readers.len();
        let met = net.run_until(|net| joined(net, writer) >= all, secs(60));
        assert!(met, "only {} of {all} have met the writer", joined(&net, writer));
        net.run_for(ms(500));
        Self { net, writer, topic, readers, subs }
    }

    /// As [`new`](Self::new), on a lane.
    pub fn on_a_lane(seed: u64, readers: usize, link: LinkModel, slow: SlowPolicy) -> Self {
        let qos = PubQos { lane: LanePolicy::Always, slow, history: 0, ..PubQos::default() };
        let mut group = Self::new(seed, readers, link, qos);
        group.await_lane(readers, 10);
        group
    }

    /// Runs until so many readers are on a lane.
    pub fn await_lane(&mut self, readers: usize, seconds: u64) {
        let writer = self.writer;
        let there = self.net.run_until(|net| on_lane(net, writer) >= readers, secs(seconds));
        let carriers = self.carriers();
        assert!(there, "only {} are on a lane: {carriers:?}", on_lane(&mut self.net, writer));
    }

    /// What brings the topic to each reader.
    pub fn carriers(&mut self) -> Vec<Carrier> {
        carriers(&mut self.net, self.writer)
    }

    /// Readers on a lane.
    pub fn on_lane(&mut self) -> usize {
        on_lane(&mut self.net, self.writer)
    }

    /// Messages that each reader was handed.
    pub fn got(&self) -> Vec<usize> {
        self.subs.iter().map(|sub| self.net.deliveries(*sub).len()).collect()
    }

    /// Publishes `count` messages of `size` bytes, `per_ms` each millisecond, waiting where the log
    /// is full.
    pub fn publish(&mut self, count: u64, size: usize, per_ms: u64) {
        let mut left = count;
        let mut waits = 0;
        while left > 0 {
            for _ in 0..per_ms.min(left) {
                let payload = vec![left as u8; size];
                match self.net.try_publish(self.topic, &payload) {
                    Ok(_) => left -= 1,
                    Err(_) => break,
                }
            }
            waits += 1;
            assert!(waits < 1_000_000, "the writer is stuck with {left} left");
            self.net.run_for(ms(1));
        }
    }
}

fn joined(net: &Net, writer: Ep) -> usize {
    net.events(writer).filter(|event| matches!(event, Event::ReaderJoined { .. })).count()
}

/// What brings the first publication of an endpoint to its readers.
pub fn carriers(net: &mut Net, writer: Ep) -> Vec<Carrier> {
    let views = net.node(writer).map(|node| node.publications()).unwrap_or_default();
    let first = views.into_iter().next();
    first.into_iter().flat_map(|view| view.readers).filter_map(|reader| reader.carrier).collect()
}

/// How many of them are on a lane.
pub fn on_lane(net: &mut Net, writer: Ep) -> usize {
    carriers(net, writer).iter().filter(|it| matches!(it, Carrier::Lane { .. })).count()
}

/// Why it is not a lane.
pub fn why(carrier: &Carrier) -> Option<WhyUnicast> {
    match carrier {
        Carrier::Unicast { why } => Some(*why),
        Carrier::Lane { .. } => None,
    }
}

/// One packet leaves however many read it, and each reader gets everything once.
pub fn a_lane_brings_everything_to_all_with_one_packet_each() {
    let mut group = Group::on_a_lane(1, 5, LinkModel::default(), SlowPolicy::Block);
    let before = group.net.counters(group.writer);
    let lanes = group.net.world.traffic.lane_packets;
    for _ in 0..200 {
        group.publish(1, 1_000, 1);
    }
    group.net.run_for(secs(1));
    assert_eq!(group.got(), [200; 5]);
    let sent = group.net.counters(group.writer);
    let packets = group.net.world.traffic.lane_packets - lanes;
    assert!((200..=230).contains(&packets), "{packets} lane packets for 200 messages");
    assert_eq!(sent.messages_sent - before.messages_sent, 200);
    assert_eq!(sent.repairs_sent, before.repairs_sent);
    group.net.demand();
}

/// N13, T-25: what all readers miss is asked for by few of them and sent again once.
pub fn a_loss_that_all_share_is_repaired_once_for_all() {
    shared_loss(60, 12);
}

/// `readers` miss the same packets, `losses` times: NAKs per loss, mean and largest, and repairs by
/// the lane.
// L-40, L-41, L-43
pub fn shared_loss(readers: usize, losses: usize) -> (f64, u64, u64) {
    let slow = SlowPolicy::Block;
    let qos = PubQos { lane: LanePolicy::Always, slow, history: 0, ..PubQos::default() };
    let mut group = Group::star(5, readers, LinkModel::default(), qos);
    group.await_lane(readers, 20);
    let asked = |group: &mut Group| {
        let eps = group.readers.clone();
        eps.into_iter().map(|ep| group.net.counters(ep).naks_sent).sum::<u64>()
    };
    let before = group.net.counters(group.writer).lane_repairs_sent;
    let (mut total, mut largest) = (0, 0);
    for n in 0..losses {
        group.publish(3, 500, 3);
        group.net.run_for(ms(100));
        let from = asked(&mut group);
        group
            .net
            .world
            .rules
            .push(lose(readers, |flight| flight.is_lane() && flight.carries_messages()));
        group.publish(1, 500, 1);
        group.net.world.rules.clear();
        group.publish(1, 500, 1);
        group.net.run_for(ms(400));
        let naks = asked(&mut group) - from;
        assert!(naks > 0, "loss {n} was not noticed");
        (total, largest) = (total + naks, largest.max(naks));
    }
    assert_eq!(group.got(), vec![losses * 5; readers]);
    let repairs = group.net.counters(group.writer).lane_repairs_sent - before;
    let mean = total as f64 / losses as f64;
    assert!(mean <= 5.0 && largest <= 20, "NAKs per loss: {mean:.1} on average, at most {largest}");
    assert!(repairs <= losses as u64 * 2, "{repairs} repairs by the lane for {losses} losses");
    assert!(repairs >= losses as u64 / 2, "{repairs} repairs by the lane for {losses} losses");
    (mean, largest, repairs)
}

/// A repair that a busy lane cannot send at once is confirmed at once: the NCF leaves before it, and
/// whoever hears it does not ask again.
// L-42, L-44
pub fn a_repair_that_has_to_wait_is_confirmed_before_it_leaves() {
    let link = LinkModel { rate: Some(1_000_000), latency: ms(10), ..LinkModel::default() };
    let mut group = Group::on_a_lane(21, 12, link, SlowPolicy::Block);
    /// When a number was lost, confirmed, and sent again by the lane.
    type Book = Arc<Mutex<(BTreeSet<u64>, BTreeMap<u64, Time>, BTreeMap<u64, Time>)>>;
    let book = Book::default();
    let noted = Arc::clone(&book);
    group.net.rule(move |flight| {
        let Ok(mut book) = noted.lock() else { return Verdict::Pass };
        let (lost, confirmed, repaired) = &mut *book;
        let mut verdict = Verdict::Pass;
        for frame in flight.frames().filter(|_| flight.is_lane()) {
            match frame {
                // All readers miss one in fifty.
                Frame::Msg { seq, repair: false, .. } if seq % 50 == 7 => {
                    lost.insert(seq);
                    verdict = Verdict::Drop;
                }
                Frame::Msg { seq, repair: true, .. } => {
                    repaired.entry(seq).or_insert(flight.now);
                }
                Frame::Ncf { items, .. } => {
                    for item in items {
                        if let NakItem::Range { seq, count } = item {
                            for seq in seq..seq + count {
                                confirmed.entry(seq).or_insert(flight.now);
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        verdict
    });
    // As fast as the lane takes it, so that there is hardly ever room for a repair at once.
    group.publish(2_000, 1_000, 8);
    let subs = group.subs.clone();
    let all = |net: &mut Net| subs.iter().all(|sub| net.deliveries(*sub).len() >= 2_000);
    assert!(group.net.run_until(all, secs(60)), "{:?}", group.got());
    assert_eq!(group.got(), [2_000; 12]);
    let book = book.lock().map(|book| book.clone()).unwrap_or_default();
    let (lost, confirmed, repaired) = book;
    assert!(lost.len() >= 20, "{} lost", lost.len());
    assert!(confirmed.len() >= 5, "{} of {} lost confirmed", confirmed.len(), lost.len());
    for (seq, at) in &confirmed {
        assert!(lost.contains(seq), "{seq} was not lost");
        assert!(repaired.get(seq).is_none_or(|repair| at <= repair), "{seq} was sent before");
    }
}

/// PE-6: what one reader alone misses comes by its session; the others hear nothing of it.
// L-43
pub fn a_loss_of_one_reader_is_repaired_for_it_alone() {
    let mut group = Group::on_a_lane(2, 6, LinkModel::default(), SlowPolicy::Block);
    let one = group.readers[2].0;
    let mut n = 0;
    group.net.rule(move |flight| {
        n += u32::from(flight.is_lane() && flight.to == Some(one));
        let dropped = flight.is_lane() && flight.to == Some(one) && n.is_multiple_of(9);
        if dropped { Verdict::Drop } else { Verdict::Pass }
    });
    group.publish(500, 700, 2);
    group.net.run_for(secs(2));

    assert_eq!(group.got(), [500; 6]);
    let counters = group.net.counters(group.writer);
    assert_eq!(counters.lane_repairs_sent, 0);
    assert!(counters.repairs_sent >= 20, "{}", counters.repairs_sent);
    for ep in [0, 1, 3, 4, 5].map(|n| group.readers[n]) {
        assert_eq!(group.net.counters(ep).duplicates, 0);
    }
}

/// P33: a switch without a querier forgets the group after 260 s; nothing is lost, and within a
/// second everything comes by sessions.
// L-14, L-32
pub fn multicast_that_dies_silently_is_noticed_within_a_second() {
    let mut group = Group::on_a_lane(3, 4, LinkModel::default(), SlowPolicy::Block);
    let joined = group.net.world.now;
    group.net.world.air.snooping = Some(secs(260));
    let mut sent = 0;
    while group.net.world.now < joined + secs(259) {
        group.publish(1, 400, 1);
        group.net.run_for(ms(499));
        sent += 1;
    }
    assert_eq!(group.on_lane(), 4);
    let mut gap = std::time::Duration::ZERO;
    while group.net.world.now < joined + secs(270) {
        let (before, now) = (group.net.oracle.delivered, group.net.world.now);
        group.net.publish(group.topic, [9; 400]);
        sent += 1;
        let all = |net: &mut Net| net.oracle.delivered >= before + 4;
        assert!(group.net.run_until(all, secs(3)), "a message is stuck");
        gap = gap.max(group.net.world.now.since(now));
        group.net.run_for(ms(20));
    }
    assert!(gap < secs(1), "a message took {gap:?}");
    assert_eq!(group.got(), [sent; 4]);
    let lost = |it: &Carrier| matches!(why(it), Some(WhyUnicast::LaneLost { .. }));
    assert!(group.carriers().iter().all(lost), "{:?}", group.carriers());
}

/// The last messages before a lane dies are known to nobody but the writer: it speaks last.
// L-13, L-30, L-31
pub fn the_last_messages_survive_the_death_of_their_lane() {
    let mut group = Group::on_a_lane(4, 3, LinkModel::default(), SlowPolicy::Block);
    group.publish(20, 300, 5);
    group.net.world.air.snooping = Some(ms(0));
    group.publish(7, 300, 7);
    let before = group.net.world.now;
    let all = |net: &mut Net| net.oracle.delivered >= 27 * 3;
    assert!(group.net.run_until(all, secs(5)), "{:?}", group.got());
    assert!(group.net.world.now.since(before) < secs(2));
    assert_eq!(group.got(), [27; 3]);
    group.net.demand();
}

/// A path that swallows large packets is not taken for a lane that works.
// L-11, L-14
pub fn a_path_that_takes_no_large_packets_keeps_its_session() {
    let qos = PubQos { lane: LanePolicy::Always, slow: SlowPolicy::Block, ..PubQos::default() };
    let narrow = |net: &mut Net, writer: Ep, readers: &[Ep]| {
        net.world.link_mut(writer.0, readers[1].0).mtu = 1_400;
    };
    let mut group = Group::prepared(6, 3, LinkModel::default(), qos, narrow);
    group.await_lane(2, 5);
    group.publish(100, 5_000, 1);
    group.net.run_for(secs(5));

    assert_eq!(group.got(), [100; 3]);
    assert_eq!(group.on_lane(), 2);
    let carriers = group.carriers();
    assert!(matches!(why(&carriers[1]), Some(WhyUnicast::NotHeard { .. })), "{carriers:?}");
}

/// A host that may hold no more memberships says so, and is served as before.
pub fn who_cannot_join_keeps_its_session() {
    let qos = PubQos { lane: LanePolicy::Always, slow: SlowPolicy::Block, ..PubQos::default() };
    let deny = |net: &mut Net, _: Ep, readers: &[Ep]| net.slot(readers[0]).lanes_denied = true;
    let mut group = Group::prepared(7, 3, LinkModel::default(), qos, deny);
    group.await_lane(2, 5);
    group.publish(100, 500, 1);
    group.net.run_for(secs(2));

    assert_eq!(group.got(), [100; 3]);
    let carriers = group.carriers();
    assert!(matches!(why(&carriers[0]), Some(WhyUnicast::JoinFailed { .. })), "{carriers:?}");
}

/// P13, PE-4: of eight readers one takes a hundredth and one nothing; the others keep their rate,
/// and what the slow one does not get is counted.
// L-15, L-22
pub fn slow_readers_leave_the_lane_and_the_others_keep_their_rate() {
    let alone = rate_with(6, 0);
    let with_slow = rate_with(6, 2);
    assert!(
        with_slow * 100 >= alone * 95,
        "{with_slow} messages to each quick reader beside slow ones, {alone} without",
    );
}

/// Messages that each of `quick` readers got in ten seconds, with up to two slow ones beside them.
fn rate_with(quick: usize, slow: usize) -> usize {
    let link = LinkModel { rate: Some(2_500_000), ..LinkModel::default() };
    let qos =
        PubQos { lane: LanePolicy::Always, history: 0, log_bytes: 1 << 20, ..PubQos::default() };
    let mut net = Net::seeded(8).links(link);
    net.check_every = 256;
    let writer = net.endpoint("writer");
    let eps: Vec<Ep> = (0..quick + slow).map(|n| net.endpoint(&format!("reader{n}"))).collect();
    let small = SubQos { queue_bytes: 64 << 10, ..SubQos::default() };
    let subs: Vec<Sub> =
        eps.iter().map(|ep| net.subscribe_with(*ep, &["data"], small.clone())).collect();
    let topic = net.advertise_with(writer, "data", qos);
    let there = net.run_until(|net| on_lane(net, writer) >= quick + slow, secs(10));
    assert!(there, "{:?}", carriers(&mut net, writer));
    for sub in &subs[quick..] {
        net.hold(*sub);
    }
    if slow > 1 {
        net.world.pause(eps[quick + 1].0); // one is stopped altogether
    }
    let end = net.world.now + secs(10);
    let (mut sent, mut step) = (0, 0);
    while net.world.now < end {
        for _ in 0..2 {
            sent += usize::from(net.try_publish(topic, &[7; 1_000]).is_ok());
        }
        step += 1;
        if slow > 0 && step % 100 == 0 {
            net.release(subs[quick]); // a hundredth: what its queue held
            net.hold(subs[quick]);
        }
        net.run_for(ms(1));
    }
    for (n, sub) in subs[quick..].iter().enumerate() {
        if n == 1 {
            net.world.resume(eps[quick + 1].0);
        }
        net.release(*sub);
    }
    let least = subs[..quick].iter().map(|sub| net.deliveries(*sub).len()).min().unwrap_or(0);
    net.run_for(secs(20));
    for sub in &subs {
        let (mut got, mut missed) = (0, 0);
        for delivery in net.deliveries(*sub) {
            match delivery {
                Delivery::Message(_) => got += 1,
                Delivery::Missed { n, .. } => missed += *n as usize,
            }
        }
        assert_eq!(got + missed, sent, "what is missed is counted");
    }
    for sub in &subs[..quick] {
        let missed = net.deliveries(*sub).iter().any(|it| matches!(it, Delivery::Missed { .. }));
        assert!(!missed, "a quick reader missed something");
    }
    net.demand();
    least
}

/// P14: who joins in the middle of a run at full rate catches up by its session, or stays there.
///
/// What is measured is how long so many messages take to the slowest of the others: at a given
/// moment up to a second's worth may wait behind a repair, with a late joiner or without.
pub fn a_late_joiner_does_not_drag_the_group() {
    let link = LinkModel { rate: Some(5_000_000), ..LinkModel::default() };
    let mut group = Group::on_a_lane(9, 4, link, SlowPolicy::Block);
    // What 5 MB/s carry of 1,000 bytes with their headers.
    let full = 5_000_000 / 1_110;
    let mut total = 0;
    let mut takes = |group: &mut Group| {
        let (began, count) = (group.net.world.now, full * 10);
        group.publish(count, 1_000, 8);
        total += count as usize;
        let subs = group.subs.clone();
        let all = |net: &mut Net| subs.iter().all(|sub| net.deliveries(*sub).len() >= total);
        assert!(group.net.run_until(all, secs(10)), "the others do not get all");
        group.net.world.now.since(began)
    };
    let most = secs(10).mul_f64(1.0 / 0.95);
    let alone = takes(&mut group);
    assert!(alone <= most, "{alone:?} without a late joiner");
    let late = group.net.endpoint("late");
    let sub = group.net.subscribe(late, "data");
    let beside = takes(&mut group);
    assert!(beside <= most, "{beside:?} beside a late joiner, {alone:?} without");
    assert_eq!(group.on_lane(), 5, "{:?}", group.carriers());
    group.net.run_for(secs(5));
    assert!(!group.net.deliveries(sub).is_empty());
    group.net.demand();
}

/// Everything that reaches a lane's socket and is not what it should be.
// L-1, L-3, L-7, L-8
pub fn bad_lane_packets_change_nothing_but_counters() {
    let mut group = Group::on_a_lane(10, 3, LinkModel::default(), SlowPolicy::Block);
    let (victim, writer) = (group.readers[0], group.writer);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let book = Arc::clone(&seen);
    group.net.rule(move |flight| {
        if flight.is_lane()
            && flight.to == Some(victim.0)
            && let Ok(mut book) = book.lock()
        {
            book.push(flight.bytes.to_vec());
        }
        Verdict::Pass
    });
    group.publish(50, 300, 1);
    group.net.run_for(ms(500));
    let packets = seen.lock().map(|seen| seen.clone()).unwrap_or_default();
    assert!(packets.len() >= 50);
    let via = lane_via(&mut group.net, writer);
    let src = group.net.world.addr(writer.0);
    for packet in &packets {
        let mut unknown = packet.clone();
        unknown[5] ^= 1;
        let mut forged = packet.clone();
        let last = forged.len() - 1;
        forged[last] ^= 1;
        let mut stale = packet.clone();
        stale[1] ^= 0x7f;
        for bad in [packet.clone(), unknown, forged, stale] {
            group.net.world.inject(victim.0, src, via, &bad);
        }
        group.net.world.inject(victim.0, src, Via::Unicast, packet);
    }
    group.net.run_for(ms(500));
    let counters = group.net.counters(victim);
    let n = packets.len() as u64;
    assert_eq!(counters.lane_replayed, n);
    assert_eq!((counters.lane_forged, counters.lane_stale), (n, n));
    assert!(counters.lane_unknown >= 2 * n, "by a foreign tag, and by another socket");
    assert_eq!(counters.duplicates, 0, "none of them was looked into");
    group.publish(10, 300, 1);
    group.net.run_for(ms(500));
    assert_eq!(group.got(), [60; 3]);
    assert_eq!(group.on_lane(), 3);
}

/// Which socket the writer's lane comes in by.
fn lane_via(net: &mut Net, writer: Ep) -> Via {
    let lane = carriers(net, writer).into_iter().find_map(|carrier| match carrier {
        Carrier::Lane { lane, iface, .. } => Some((lane, iface)),
        Carrier::Unicast { .. } => None,
    });
    let (lane, iface) = lane.expect("there is a lane");
    Via::Lane { iface, lane, v6: false }
}

/// P47: a member of a lane knows its key and can write what it likes. It can put words into the
/// writer's mouth, but not stop it.
// L-25, L-50, L-51, L-52, L-53
pub fn a_malicious_member_wedges_nobody() {
    let key: Arc<Mutex<Option<LaneOffer>>> = Arc::default();
    let book = Arc::clone(&key);
    let qos = PubQos { lane: LanePolicy::Always, slow: SlowPolicy::Block, ..PubQos::default() };
    let overhear = move |net: &mut Net, _: Ep, _: &[Ep]| {
        net.rule(move |flight| {
            for frame in flight.frames() {
                if let Frame::Msg { stream: 0, body, .. } = frame
                    && let Ok(Control::LaneOffer(offer)) = Control::decode(body)
                    && let Ok(mut book) = book.lock()
                {
                    *book = Some(offer);
                }
            }
            Verdict::Pass
        });
    };
    let mut group = Group::prepared(11, 3, LinkModel::default(), qos, overhear);
    (group.net.strict, group.net.malformed) = (false, true);
    // Beside the lane a topic by sessions only.
    let quiet = PubQos { lane: LanePolicy::Never, slow: SlowPolicy::Block, ..PubQos::default() };
    let other = group.net.advertise_with(group.writer, "other", quiet);
    let heard = group.net.subscribe(group.readers[0], "other");
    group.await_lane(3, 5);
    group.publish(20, 200, 1);
    let offer = key.lock().ok().and_then(|key| key.clone()).expect("an offer was overheard");
    let crypto = NullCrypto::new([66; 32], &Ledger::default());
    let cipher = Cipher::of_suite(offer.suite).expect("a known suite");
    let aead = crypto.aead(cipher, &offer.key.0);
    let (via, src) =
        (lane_via(&mut group.net, group.writer), group.net.world.addr(group.readers[2].0));
    let stream = offer.streams[0];
    let mut pn = 1_000_000;
    let evil = |frames: &[Frame<'_>], pn: u64| {
        let head = MdataHeader { epoch: 0, lane: offer.lane, source_tag: offer.source_tag, pn };
        let head = head.encode();
        let mut body = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut body));
        let tag = aead.seal(pn, &head, &mut body);
        [&head[..], &body, &tag].concat()
    };
    let huge = 1 << 40;
    let mut hb = Vec::new();
    put_lane_hb(&mut hb, 60, 1 << 40, &[LaneHbItem { stream, first_avail: 0, next_seq: huge }]);
    for round in 0..50_u64 {
        let next = 21 + round * 2;
        let attacks: [Vec<Frame<'_>>; 6] = [
            vec![Frame::Gap { stream, from: next, count: 1 << 30, reason: GapReason::Evicted }],
            vec![Frame::Frag {
                stream,
                seq: next,
                t_us: 0,
                total: 99,
                off: 3,
                repair: false,
                body: b"evil",
            }],
            vec![Frame::Msg {
                stream,
                seq: next + 200_000,
                t_us: 0,
                repair: false,
                body: b"\0evil",
            }],
            vec![Frame::Heartbeat {
                stream,
                first_avail: 1,
                next_seq: 1,
                answer: true,
                end: true,
                blocked: true,
            }],
            vec![Frame::Close { code: 0, reason: b"" }],
            vec![Frame::Msg { stream: 0, seq: 9, t_us: 0, repair: false, body: b"\x04\x02\x01\0" }],
        ];
        let mut packets: Vec<Vec<u8>> = Vec::new();
        for attack in &attacks {
            packets.push(evil(attack, pn));
            pn += 1;
        }
        let head = MdataHeader { epoch: 0, lane: offer.lane, source_tag: offer.source_tag, pn };
        let head = head.encode();
        let mut body = hb.clone();
        let tag = aead.seal(pn, &head, &mut body);
        packets.push([&head[..], &body, &tag].concat());
        pn += 1;
        for packet in packets {
            group.net.world.inject(group.readers[0].0, src, via, &packet);
        }
        group.publish(2, 200, 2);
        group.net.publish(other, "unharmed");
        group.net.run_for(ms(20));
    }
    group.net.run_for(secs(10));
    assert_eq!(group.got()[1..], [120, 120], "the others");
    assert!(group.got()[0] >= 100, "the victim got {} of 120", group.got()[0]);
    assert_eq!(group.net.received(heard).len(), 50);
    group.publish(1, 200, 1);
    let before = group.got()[0];
    group.publish(5, 200, 1);
    group.net.run_for(secs(3));
    assert!(group.got()[0] >= before + 5, "nothing is stuck");
    assert!(group.net.counters(group.readers[0]).lane_frames_refused >= 100);
}

/// A NAK for what was never sent is put right, and one that floods costs the others nothing.
// L-26
pub fn an_insider_that_asks_for_everything_harms_only_itself() {
    let mut group = Group::on_a_lane(12, 4, LinkModel::default(), SlowPolicy::Block);
    let insider = group.readers[3];
    group.publish(50, 500, 2);
    let mut n = 0_u32;
    group.net.slot(insider).liar.clone().script(move |buf| {
        let status = Frames::new(buf).map_while(Result::ok).find_map(|frame| match frame {
            Frame::Status { stream, next_seq, .. } if stream != 0 => Some((stream, next_seq)),
            _ => None,
        });
        n += 1;
        let Some((stream, next)) = status.filter(|_| !n.is_multiple_of(8)) else { return };
        let mut out = Vec::new();
        let all = (next.saturating_sub(40).max(1), 40);
        let (from, count) = if n.is_multiple_of(3) { (next + 1_000, 1_000) } else { all };
        let mut nak = NakBuilder::new();
        nak.push_range(from, count);
        nak.encode(stream, false, &mut out);
        if out.len() <= buf.len() {
            buf.fill(0);
            buf[..out.len()].copy_from_slice(&out);
        }
    });
    group.publish(2_000, 500, 2);
    group.net.run_for(secs(2));
    assert_eq!(group.got()[..3], [2_050; 3]);
    let counters = group.net.counters(group.writer);
    assert!(counters.naks_ignored > 0, "{counters:?}");
    assert!(group.on_lane() >= 3);
    for ep in [0, 1, 2].map(|n| group.readers[n]) {
        assert!(group.net.counters(ep).duplicates <= 50, "{}", group.net.counters(ep).duplicates);
    }
}

/// Windows are those of the slowest: a lane does not run ahead of readers that do not read.
// L-20
pub fn a_lane_does_not_outrun_its_readers() {
    let qos = PubQos { lane: LanePolicy::Always, slow: SlowPolicy::Block, ..PubQos::default() };
    let mut group = Group::new(13, 2, LinkModel::default(), qos);
    group.await_lane(2, 5);
    for sub in group.subs.clone() {
        group.net.hold(sub);
    }
    let mut sent = 0;
    for _ in 0..3_000 {
        sent += usize::from(group.net.try_publish(group.topic, &[3; 10_000]).is_ok());
        group.net.run_for(ms(1));
    }
    for ep in group.readers.clone() {
        let held = group.net.node(ep).map_or(0, |node| node.reassembling());
        assert!(held <= 1 << 20, "{held} bytes wait behind a full queue");
    }
    for sub in group.subs.clone() {
        group.net.release(sub);
    }
    group.net.run_for(secs(5));
    assert_eq!(group.got(), [sent; 2]);
}
