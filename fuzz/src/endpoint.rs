//! A node with applications, and a member of its realm that sends whatever a script says: frames
//! and control records of valid shape with wild numbers, raw plaintexts, realm packets in
//! anybody's name, handshakes again and again.
//!
//! Once the script ends a newcomer must be served as if nothing had happened.

mod lanes;
mod words;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use motet_proto::config::{History, QueuePolicy};
use motet_proto::events::Event;
use motet_proto::node::{Message, Payload};
use motet_proto::{
    EndpointKey, HostEvent, InterfaceInfo, LanePolicy, PubQos, SlowPolicy, SubQos, Via,
};
use motet_sim::null::{Ledger, NullCrypto};
use motet_wire::control::{Class, Control, Interest, Open};
use motet_wire::frame::{Frame, Frames, put_ack};
use motet_wire::packet::{Cookie, RealmHeader};
use motet_wire::record::{Beacon, Record, Roles};
use motet_wire::{PacketType, packet_type};

use crate::host::{Host, WALL_MS, config};
use crate::rogue::Rogue;
use crate::tape::Tape;
use words::{addresses, member};

/// Steps of a script.
const STEPS: usize = 200;
/// Time a script may let pass, ms.
const TIME_MS: u64 = 90_000;
/// Topics of the node under test and of the script.
const TOPICS: [&str; 6] = ["out/keep", "out/block", "in/a", "in/b", "in/typed", "$inbox/x"];

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 37_321))
}

/// First byte: b0 the path's MTU is probed, b1 what comes after the last peer is looked at, b2 lanes stand.
/// Then steps.
pub fn endpoint(data: &[u8]) {
    let ledger = Ledger::default();
    let mut tape = Tape(data);
    let flags = tape.u8();
    let mut scene = Scene::new(&ledger, flags);
    for _ in 0..STEPS {
        if tape.is_empty() {
            break;
        }
        scene.step(&mut tape);
        scene.collect();
    }
    scene.newcomer(&ledger);
    if flags & 2 != 0 {
        scene.alone();
    }
    assert_eq!(ledger.reused(), 0, "a packet number was sealed twice");
}

struct Scene {
    host: Host<NullCrypto>,
    rogue: Rogue<NullCrypto>,
    publications: Vec<motet_proto::PubId>,
    subscriptions: Vec<motet_proto::SubId>,
    questions: Vec<motet_proto::QueryKey>,
    /// Lanes that the node offered, and the number of the last packet on the member's own.
    lane_tags: Vec<u64>,
    lane_pn: u64,
    time: u64,
}

impl Scene {
    /// The node runs, publishes and reads; the rogue has a session, wants everything, and writes
    /// three streams.
    fn new(ledger: &Ledger, flags: u8) -> Self {
        let mut cfg = config("victim");
        cfg.mtu_discovery = flags & 1 != 0;
        let host = Host::new(cfg, NullCrypto::new([1; 32], ledger), 1, WALL_MS << 8);
        let rogue = Rogue::new(NullCrypto::new([2; 32], ledger), addr(2), WALL_MS << 8);
        let mut scene = Self {
            host,
            rogue,
            publications: Vec::new(),
            subscriptions: Vec::new(),
            questions: Vec::new(),
            lane_tags: Vec::new(),
            lane_pn: 0,
            time: 0,
        };
        scene.host.notice(interfaces(1_500));
        scene.advertise(0);
        scene.advertise(1);
        let sub = |filter: &[&str], qos: SubQos, scene: &mut Self| {
            let id = scene.host.call(|node, now| node.subscribe(now, filter, qos));
            let id = id.expect("a valid filter");
            scene.subscriptions.push(id);
            scene.host.reading.push(id);
        };
        sub(&["in/a", "in/b"], SubQos::default(), &mut scene);
        let small = SubQos {
            queue_bytes: 4_096,
            full: QueuePolicy::DropOldest,
            history: History::Last(3),
            ..SubQos::default()
        };
        sub(&["in/*"], small, &mut scene);
        let typed = SubQos { type_tag: "T".into(), ..SubQos::default() };
        sub(&["in/typed"], typed, &mut scene);
        scene.publish(0, 40);
        scene.connect(|_| {});
        scene.say(&Control::Interest(Interest {
            version: 1,
            flags: Interest::HISTORY,
            patterns_added: vec!["**".into()],
            ..Interest::default()
        }));
        for (stream, class) in [(1, Class::Reliable), (2, Class::BestEffort)] {
            let topic = TOPICS[1 + stream as usize].into();
            scene.say(&Control::Open(Open { stream, class, topic, ..open() }));
        }
        for stream in [1, 2] {
            let accept = Control::Accept { stream, start_seq: 1, window: 1 << 20, required: true };
            scene.say(&accept);
        }
        scene.publish(0, 40);
        scene.publish(1, 3_000);
        scene.collect();
        let node = &scene.host.node;
        assert!(scene.publications.iter().all(|id| node.readers(*id) == 1), "it does not read");
        let writers = node.subscriptions().iter().map(|view| view.writers.len()).sum::<usize>();
        assert_eq!(writers, 4, "it does not write");
        if flags & 4 != 0 {
            scene.lanes_work();
        }
        scene
    }

    fn connect(&mut self, tweak: impl FnOnce(&mut motet_wire::Params)) {
        let hs1 = self.rogue.hs1(None);
        self.host.datagram(self.rogue.addr, Via::Unicast, &hs1);
        let sent = std::mem::take(&mut self.host.sent);
        let cookie = sent.iter().find_map(|sent| Cookie::decode(&sent.bytes).ok());
        if let Some(cookie) = cookie {
            let hs1 = self.rogue.hs1(Some(cookie.cookie));
            self.host.datagram(self.rogue.addr, Via::Unicast, &hs1);
        }
        let is_hs2 = |bytes: &[u8]| packet_type(bytes) == Ok(PacketType::Hs2);
        let all = sent.iter().chain(&self.host.sent);
        let Some(hs2) = all.map(|sent| &sent.bytes).rfind(|it| is_hs2(it)).cloned() else {
            return;
        };
        if let Some(hs3) = self.rogue.hs3(&hs2, tweak) {
            self.host.datagram(self.rogue.addr, Via::Unicast, &hs3);
        }
    }

    fn send(&mut self, plaintext: &[u8]) {
        if let Some(packet) = self.rogue.data(plaintext) {
            self.host.datagram(self.rogue.addr, Via::Unicast, &packet);
        }
    }

    fn say(&mut self, record: &Control<'_>) {
        let mut out = Vec::new();
        self.rogue.put_control(record, &mut out);
        self.send(&out);
    }

    fn advertise(&mut self, topic: usize) {
        let slow = if topic == 1 { SlowPolicy::Block } else { SlowPolicy::DropOldest };
        let history = if topic == 0 { 3 } else { 0 };
        let lane = LanePolicy::Always;
        let qos = PubQos { slow, history, lane, log_bytes: 64 << 10, ..PubQos::default() };
        let id = self.host.call(|node, now| node.advertise(now, TOPICS[topic % 2], qos));
        self.publications.extend(id.ok());
    }

    fn publish(&mut self, at: usize, size: usize) {
        let Some(id) = self.publications.get(at).copied() else { return };
        let payload = vec![7; size];
        let message = Message { payload: Payload::Copied(&payload), ..Message::default() };
        let _ = self.host.call(|node, now| node.publish(now, id, message)); // it may be full
    }

    fn collect(&mut self) {
        for sent in std::mem::take(&mut self.host.sent) {
            self.rogue.hear(&sent.bytes);
            self.hear_lanes(&sent.bytes);
        }
        for event in self.host.events.drain(..) {
            if let Event::Query { key, .. } = event {
                self.questions.push(key);
            }
        }
        self.questions.truncate(16);
    }

    fn step(&mut self, tape: &mut Tape<'_>) {
        match tape.below(24) {
            20 => self.offer_lane(tape),
            21 | 22 => self.lane_packet(tape),
            23 => self.answer_lane(tape),
            0..=5 => {
                let mut out = Vec::new();
                for _ in 0..=tape.below(4) {
                    self.put_frame(tape, &mut out);
                }
                self.send(&out);
            }
            6..=8 => {
                let mut out = Vec::new();
                for _ in 0..=tape.below(3) {
                    self.put_control(tape, &mut out);
                }
                self.send(&out);
            }
            9 => self.send(tape.short()),
            10 | 11 => {
                let ms = tape.ms().min(TIME_MS - self.time);
                self.time += ms;
                self.host.pass(Duration::from_millis(ms));
            }
            12 => {
                let (at, size) = (tape.below(4), tape.number(&[1_200, 70_000]) as usize);
                self.publish(at, size.min(100_000));
            }
            13 => self.application(tape),
            14 => self.realm(tape),
            15 => self.host.datagram(self.rogue.addr, Via::Unicast, tape.short()),
            16 => self.again(tape),
            17 => self.notice(tape),
            18 => self.acknowledge(),
            _ => {
                let jump = tape.number(&[]);
                match (tape.below(4), self.rogue.link.as_mut()) {
                    (0, Some(link)) => link.pn = link.pn.saturating_add(jump),
                    (1, Some(link)) => link.control = link.control.wrapping_add(jump),
                    (2, _) => self.rogue.update_key(),
                    _ => self.rogue.addr = addr(2 + (jump & 3) as u8),
                }
            }
        }
    }

    fn application(&mut self, tape: &mut Tape<'_>) {
        let host = &mut self.host;
        let rogue = self.rogue.key.id;
        match tape.below(9) {
            0 => self.advertise(tape.below(2)),
            1 => {
                if !self.publications.is_empty() {
                    let at = tape.below(self.publications.len() as u8);
                    let id = self.publications.remove(at);
                    host.call(|node, now| node.unadvertise(now, id));
                }
            }
            2 => {
                let topic = TOPICS[2 + tape.below(3)];
                let id = host.call(|node, now| node.subscribe(now, &[topic], SubQos::default()));
                let id = id.expect("a valid filter");
                self.subscriptions.push(id);
                if tape.flag() {
                    host.reading.push(id);
                }
            }
            3 => {
                if !self.subscriptions.is_empty() {
                    let at = tape.below(self.subscriptions.len() as u8);
                    let id = self.subscriptions.remove(at);
                    host.reading.retain(|other| *other != id);
                    host.call(|node, now| node.unsubscribe(now, id));
                }
            }
            4 => host.reading.clear(),
            5 => {
                host.reading.clone_from(&self.subscriptions);
                host.call(|_, _| ());
            }
            6 => {
                let _ = host.call(|node, now| node.query(now, rogue, 1, 0)); // too many are refused
            }
            7 => {
                if let Some(key) = self.questions.pop() {
                    host.call(|node, now| node.answer(now, key, &[0; 3_000], Some(7)));
                }
            }
            _ => drop(host.call(|node, now| node.ping(now, rogue))),
        }
    }

    fn realm(&mut self, tape: &mut Tape<'_>) {
        let mut records = Vec::new();
        for _ in 0..=tape.below(3) {
            let record = match tape.below(4) {
                0 => Record::Beacon(Beacon {
                    port: tape.number(&[37_321]) as u16,
                    addresses: addresses(tape),
                    name: if tape.flag() { "victim".into() } else { "other".into() },
                    roles: Roles(tape.u8().into()),
                    membership_hash: tape.number(&[]),
                    interest_version: tape.number(&[1]),
                    members: tape.number(&[2]),
                    host_id: [tape.u8() & 1; 16],
                    ..Beacon::default()
                }),
                1 => Record::Member(member(tape)),
                2 => Record::Interest(self.interest(tape)),
                _ => {
                    records.extend_from_slice(tape.short());
                    continue;
                }
            };
            record.encode(&mut records);
        }
        let EndpointKey { id, incarnation } = self.key(tape);
        let flags = tape.u8();
        self.rogue.counter += 1;
        let counter = if flags & 8 == 0 { self.rogue.counter } else { tape.number(&[1 << 40]) };
        let [multicast, solicit, leaving] = [1, 2, 4].map(|bit| flags & bit != 0);
        let header = RealmHeader {
            multicast,
            solicit,
            leaving,
            epoch: u16::from(flags >> 7),
            id,
            incarnation,
            counter,
            ..RealmHeader::default()
        };
        let packet = self.rogue.realm_packet(header, &records);
        let via = if multicast { Via::Group { iface: 2, v6: false } } else { Via::Unicast };
        let src = addr(2 + tape.u8() % 4);
        self.host.datagram(src, via, &packet);
    }

    /// Another handshake: the same life, a new one or an old one, with odd parameters.
    fn again(&mut self, tape: &mut Tape<'_>) {
        match tape.below(4) {
            0 => self.rogue.key.incarnation += 1,
            1 => self.rogue.key.incarnation = tape.number(&[WALL_MS << 8]),
            2 => self.rogue.stamp = tape.number(&[self.rogue.stamp]),
            _ => {}
        }
        if tape.below(8) == 0 {
            let hs1 = self.rogue.hs1(None);
            return self.host.datagram(self.rogue.addr, Via::Unicast, &hs1);
        }
        let mut params = motet_wire::Params {
            name: if tape.flag() { "victim".into() } else { "rogue".into() },
            max_datagram: tape.number(&[512, 1_200]) as u16,
            credit_bytes: tape.number(&[2_048]),
            credit_packets: tape.number(&[]),
            idle_timeout_ms: tape.number(&[]),
            wall_ms: tape.number(&[WALL_MS]),
            ..motet_wire::Params::default()
        };
        let odd = tape.below(8) == 0;
        self.connect(|valid| {
            if !odd {
                params.incarnation = valid.incarnation;
                (params.versions, params.suites) = (valid.versions, valid.suites);
                params.header = std::mem::take(&mut valid.header);
            }
            *valid = params;
        });
    }

    fn notice(&mut self, tape: &mut Tape<'_>) {
        let event = match tape.below(6) {
            0 => interfaces(tape.number(&[1_500, 600]) as u32),
            1 => HostEvent::WallClock(tape.number(&[WALL_MS])),
            2 => HostEvent::RxDropped(tape.u8().into()),
            3 => {
                let size = tape.number(&[1_200]) as usize;
                HostEvent::TooBig { dst: self.rogue.addr, size }
            }
            4 => HostEvent::Unreachable(self.rogue.addr),
            _ => HostEvent::Resumed,
        };
        self.host.notice(event);
    }

    /// An honest ACK of all that came, and room on the two streams that it reads.
    fn acknowledge(&mut self) {
        let Some(seen) = self.rogue.link.as_ref().map(|link| link.seen) else { return };
        let mut out = Vec::new();
        put_ack(&mut out, seen, 0, std::iter::once((0, seen)), None);
        self.send(&out);
    }

    /// After a while of peace, longer than a handshake is half open, another endpoint comes, says
    /// something and is heard.
    fn newcomer(&mut self, ledger: &Ledger) {
        self.host.pass(Duration::from_secs(8));
        self.collect();
        let last = self.host.call(|node, now| node.subscribe(now, &["last"], SubQos::default()));
        self.host.reading = vec![last.expect("a valid filter")];
        self.host.read = 0;
        self.rogue = Rogue::new(NullCrypto::new([99; 32], ledger), addr(99), WALL_MS << 8);
        self.connect(|_| {});
        let counters = self.host.node.counters();
        assert!(self.rogue.link.is_some(), "the newcomer's HS1 is not answered: {counters:?}");
        self.say(&Control::Open(Open { stream: 1, topic: "last".into(), ..open() }));
        let mut out = Vec::new();
        let body = [0, 1, 1, 1];
        Frame::Msg { stream: 1, seq: 1, t_us: 0, repair: false, body: &body }.encode(&mut out);
        self.send(&out);
        assert_eq!(self.host.read, 3, "the newcomer is not heard");
        self.host.pass(Duration::from_millis(200));
        let heard = |frame: &Frame<'_>| matches!(frame, Frame::Ack(_));
        let acked = self
            .host
            .sent
            .iter()
            .filter_map(|sent| self.rogue.open(&sent.bytes))
            .any(|plaintext| Frames::new(&plaintext).flatten().any(|frame| heard(&frame)));
        assert!(acked, "the newcomer's packets are not acknowledged");
    }

    /// Once all others are given up nobody holds a publication back.
    fn alone(&mut self) {
        self.host.pass(Duration::from_secs(80));
        assert_eq!(self.host.node.peers().len(), 0, "the silent are remembered");
        for id in self.publications.clone() {
            let message = Message { payload: Payload::Copied(b"alone"), ..Message::default() };
            let sent = self.host.call(|node, now| node.publish(now, id, message));
            assert!(sent.is_ok(), "a publication without readers refuses: {sent:?}");
        }
    }
}

/// A stream from its first message on.
fn open() -> Open {
    Open {
        class: Class::Reliable,
        max_message: 1 << 20,
        first_avail: 1,
        next_seq: 1,
        wall_us: WALL_MS * 1_000,
        ..Open::default()
    }
}

fn interfaces(mtu: u32) -> HostEvent {
    HostEvent::Interfaces(vec![InterfaceInfo {
        index: 2,
        name: "eth0".into(),
        addresses: vec![(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 24)],
        mtu,
        loopback: false,
        multicast: (true, false),
        class: 1,
    }])
}
