//! Lines of docs/acceptance.md: ways in where multicast does not reach.

use motet_proto::Event;
use motet_proto::events::DownReason;
use motet_sim::net::{Ep, Net, config, ms};
use motet_sim::{LinkModel, Verdict};
use motet_wire::record::roles;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Subnets joined by a router: unicast passes, multicast does not.
struct Cloud {
    net: Net,
    /// The one contact that everybody is told of.
    contact: Ep,
    others: Vec<Ep>,
}

impl Cloud {
    /// A contact in the first of three subnets and `n` others, all of them started at once.
    fn new(seed: u64, n: usize, link: LinkModel) -> Self {
        let mut net = Net::seeded(seed).links(link);
        let mut cfg = config("contact");
        cfg.roles = roles::SEED;
        let contact = place(&mut net, 0, cfg);
        let at = net.world.addr(contact.0);
        let others: Vec<Ep> = (0..n)
            .map(|n| {
                let mut cfg = config(&format!("n{n}"));
                cfg.seeds = vec![at];
                place(&mut net, n as u32 % 3, cfg)
            })
            .collect();
        net.start(contact, false);
        others.iter().for_each(|ep| net.start(*ep, false));
        Self { net, contact, others }
    }

    fn all_met(&mut self, limit: Duration) -> bool {
        let others = self.others.clone();
        self.net.run_until(|net| complete(net, &others), limit)
    }
}

fn place(net: &mut Net, subnet: u32, mut cfg: motet_proto::Config) -> Ep {
    (cfg.group_v4, cfg.group_v6) = (None, None);
    let host = net.world.add_host(&[subnet]);
    net.place(host, cfg)
}

/// Each of them is a live peer of each other.
fn complete(net: &mut Net, all: &[Ep]) -> bool {
    let pairs = all.iter().enumerate().flat_map(|(at, a)| all[at + 1..].iter().map(|b| (*a, *b)));
    let pairs: Vec<(Ep, Ep)> = pairs.collect();
    pairs.into_iter().all(|(a, b)| net.connected(a, b))
}

fn dials(net: &mut Net, all: &[Ep]) -> u64 {
    all.iter().map(|ep| net.counters(*ep).dials).sum()
}

// GL-19
#[test]
fn gl_19_one_known_endpoint_brings_all_together_and_then_there_are_no_dials_and_no_detours() {
    for seed in 0..8 {
        let mut cloud = Cloud::new(seed, 12, LinkModel::default());
        assert!(cloud.all_met(secs(3)), "seed {seed}: not all have met");
        let everybody = [&cloud.others[..], &[cloud.contact]].concat();
        let net = &mut cloud.net;
        net.run_for(secs(10));
        // A pair needs one handshake; both may begin it, nobody begins another.
        let met = dials(net, &everybody);
        assert!(met <= 2 * 13 * 12 / 2, "seed {seed}: {met} dials of 13");
        net.run_for(secs(120));
        assert_eq!(dials(net, &everybody), met, "seed {seed}: announcements go in circles");

        let (writer, reader) = (cloud.others[1], cloud.others[2]);
        let (to, astray) = (reader.0, Arc::new(AtomicU64::new(0)));
        let (direct, seen) = (Arc::new(AtomicU64::new(0)), (Arc::clone(&astray)));
        let passed = Arc::clone(&direct);
        net.rule(move |flight| {
            if flight.carries_messages() {
                let right = flight.from == writer.0 && flight.to == Some(to);
                (if right { &passed } else { &seen }).fetch_add(1, Ordering::Relaxed);
            }
            Verdict::Pass
        });
        let heard = net.subscribe(reader, "words");
        let words = net.advertise(writer, "words");
        net.run_for(secs(1));
        for n in 0..100 {
            net.publish(words, format!("{n}"));
            net.run_for(ms(10));
        }
        assert_eq!(net.received(heard).len(), 100);
        assert_eq!(astray.load(Ordering::Relaxed), 0, "seed {seed}: relayed");
        assert!(direct.load(Ordering::Relaxed) >= 50);

        // Without the contact everything goes on.
        net.kill(cloud.contact);
        net.run_for(secs(10));
        net.publish(words, "still here");
        net.run_for(secs(1));
        assert_eq!(net.received(heard).len(), 101);
        assert!(complete(net, &cloud.others));
        net.demand();
    }
}

// GL-19
#[test]
fn gl_19_lost_announcements_delay_and_do_not_divide() {
    for seed in 0..8 {
        let mut cloud = Cloud::new(seed, 9, LinkModel::default().losing(0.2));
        assert!(cloud.all_met(secs(30)), "seed {seed}");
    }
}

// RC-6
#[test]
fn rc_6_with_every_contact_killed_a_newcomer_enters_by_what_it_remembers_and_lists_are_clean() {
    let mut cloud = Cloud::new(6, 6, LinkModel::default());
    assert!(cloud.all_met(secs(3)));
    let (contact, others) = (cloud.contact, cloud.others.clone());
    let net = &mut cloud.net;
    let known = net.world.addr(others[4].0);
    net.kill(contact);
    net.kill(others[5]);
    net.run_for(secs(8));

    let seeds = vec![net.world.addr(contact.0)];
    let mut cfg = config("newcomer");
    cfg.seeds.clone_from(&seeds);
    // Long gone, gone just now, and one that is there.
    let gone: SocketAddr = "10.2.0.99:37321".parse().unwrap();
    cfg.remembered = vec![gone, seeds[0], known];
    let newcomer = place(net, 2, cfg);
    net.start(newcomer, false);
    let alive = [&others[..5], &[newcomer]].concat();
    assert!(net.run_until(|net| complete(net, &alive), secs(2)), "nobody let it in");
    let names: Vec<String> = {
        let node = net.node(newcomer).expect("it runs");
        node.peers().iter().map(|peer| peer.name.to_string()).collect()
    };
    assert!(!names.contains(&"contact".into()) && !names.contains(&"n5".into()), "{names:?}");
    let silent = |event: &Event| matches!(event, Event::PeerDown { name, reason: DownReason::Silent, .. } if **name == *"n5");
    assert!(net.said(others[0], silent).is_some());
}

// RC-13: the part about peers.
#[test]
fn rc_13_after_a_blackout_all_rejoin_by_memory_with_contact_and_multicast_gone() {
    for seed in 0..4 {
        let mut cloud = Cloud::new(seed, 6, LinkModel::default());
        assert!(cloud.all_met(secs(3)));
        let (contact, others) = (cloud.contact, cloud.others.clone());
        let net = &mut cloud.net;
        let remembered: Vec<SocketAddr> = others.iter().map(|ep| net.world.addr(ep.0)).collect();
        net.kill(contact);
        others.iter().for_each(|ep| net.kill(*ep));
        net.run_for(secs(60));
        // Nobody is there at first, so what is remembered is not given up.
        for (n, ep) in others.iter().enumerate() {
            let cfg = &mut net.slot(*ep).cfg;
            (cfg.seeds, cfg.remembered) = (Vec::new(), remembered.clone());
            net.start(*ep, false);
            net.run_for(secs(if n == 0 { 300 } else { 1 }));
        }
        assert!(net.run_until(|net| complete(net, &others), secs(5)), "seed {seed}");
    }
}

#[test] // D-82
fn who_looks_on_learns_of_those_who_come_later() {
    for seed in 0..8 {
        let mut cloud = Cloud::new(seed, 9, LinkModel::default());
        let net = &mut cloud.net;
        let at = net.world.addr(cloud.contact.0);
        let new = |net: &mut Net, name: &str, role: u16| {
            let mut cfg = config(name);
            (cfg.seeds, cfg.roles) = (vec![at], role);
            let ep = place(net, 1, cfg);
            net.start(ep, false);
            ep
        };
        let observer = new(net, "observer", roles::OBSERVER);
        net.run_for(secs(5));
        let late = new(net, "late", 0);
        assert!(net.run_until(|net| net.connected(observer, late), secs(2)), "seed {seed}");
        assert_eq!(net.node(late).map(|node| node.peers().len()), Some(11));
    }
}
