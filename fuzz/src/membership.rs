//! What a hostile member of the realm can tell of members: SWIM packets, anti-entropy, profiles and
//! beacons, of any members in any life, as bytes and by a script.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use motet_proto::discovery::crowd::{Crowd, CrowdAction, OwnProfile};
use motet_proto::discovery::swim::{MEMBERS_MAX, SwimSettings};
use motet_proto::rng::Rng;
use motet_proto::{EndpointId, EndpointKey, Time};
use motet_wire::record::entropy::{self, AeEntry, AePull, Profile};
use motet_wire::record::swim::{
    MAX_UPDATES, SwimIdentity, SwimMember, SwimMessage, SwimPacket, SwimState,
};
use motet_wire::record::{Beacon, Record, Records, Roles};

use crate::memory;
use crate::tape::Tape;

/// Steps of a script.
const STEPS: usize = 200;
/// What membership may do at one moment: as many wakes, as many packets.
const AT_ONCE: usize = 20_000;

fn addr(n: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, n)), 37_321)
}

fn key(n: u8) -> EndpointKey {
    EndpointKey { id: EndpointId([n; 16]), incarnation: 1_000 }
}

/// Once a script ends, and a minute after it, somebody new asks whether we are there, and is answered.
pub fn membership(data: &[u8]) {
    let own = OwnProfile {
        key: key(0),
        name: "victim".into(),
        roles: 0,
        host_id: [0; 16],
        tags: Vec::new(),
        port: 37_321,
    };
    let now = Time(1_000_000_000);
    let crowd = Crowd::new(now, own, SwimSettings::default(), &mut Rng::new([7; 32]));
    let mut scene =
        Scene { crowd, now, own: SwimIdentity { key: key(0), generation: 0, addr: addr(0) } };
    let before = memory();
    scene.crowd.set_addresses(now, &[addr(0).ip()], 37_321, 1);
    for n in 1..5 {
        scene.crowd.on_session_up(now, key(n), "honest", addr(n), 0, [n; 16]);
    }
    scene.acts();
    let mut tape = Tape(data);
    for _ in 0..STEPS {
        if tape.is_empty() {
            break;
        }
        scene.step(&mut tape);
        scene.acts();
    }
    scene.pass(Duration::from_secs(60));
    let ping = SwimPacket {
        src: SwimIdentity { key: key(0xff), generation: 0, addr: addr(0xff) },
        src_count: 0,
        dst: (scene.own.key, scene.own.generation),
        message: SwimMessage::Ping(9),
        updates: Vec::new(),
    };
    let mut bytes = Vec::new();
    ping.encode(&mut bytes);
    scene.hear(key(0xff), addr(0xff), &Record::Swim(&bytes));
    let acked = scene.acts().iter().any(|it| it.message == SwimMessage::Ack(9));
    assert!(acked, "who is new is not answered: {:?}", scene.crowd.counts());
    let members = scene.crowd.members().count();
    assert!(members <= MEMBERS_MAX, "{members} members");
    assert!(memory().saturating_sub(before) < crate::GROWTH_MAX, "it remembers too much");
}

struct Scene {
    crowd: Crowd,
    now: Time,
    /// As it last named itself.
    own: SwimIdentity,
}

impl Scene {
    /// Does what membership wants, which must be well formed, and gives back its SWIM packets.
    fn acts(&mut self) -> Vec<SwimPacket> {
        let mut packets = Vec::new();
        for n in 0.. {
            assert!(n < AT_ONCE, "it has no end of things to do");
            let Some(action) = self.crowd.poll() else { break };
            let CrowdAction::Send { records, .. } = action else { continue };
            for record in Records::new(&records) {
                let record = record.expect("we send what can be read");
                if let Record::Swim(bytes) = record {
                    let packet = SwimPacket::decode(bytes).expect("we send what can be read");
                    assert_eq!(packet.src.key, key(0));
                    self.own = packet.src;
                    packets.push(packet);
                }
            }
        }
        packets
    }

    fn hear(&mut self, from: EndpointKey, src: SocketAddr, record: &Record<'_>) {
        let _ = self.crowd.on_record(self.now, from, src, record); // what breaks a rule is counted
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for n in 0.. {
            assert!(n < AT_ONCE, "it wakes without end");
            let at = self.crowd.deadline();
            if at > until {
                break;
            }
            self.now = self.now.max(at);
            self.crowd.on_timeout(self.now);
            self.acts();
        }
        self.now = until;
    }

    fn step(&mut self, tape: &mut Tape<'_>) {
        let from = someone(tape);
        let src = addr(tape.u8());
        match tape.below(12) {
            0..=3 => {
                let packet = self.packet(tape);
                let from = if tape.below(8) == 0 { from } else { packet.src.key };
                let mut bytes = Vec::new();
                packet.encode(&mut bytes);
                self.hear(from, src, &Record::Swim(&bytes));
            }
            4 => self.hear(from, src, &Record::Swim(tape.short())),
            5 => {
                let hashes = std::array::from_fn(|n| if n % 7 == 0 { tape.u8().into() } else { 0 });
                self.hear(from, src, &Record::AeVector(&entropy::encode_vector(&hashes)));
            }
            6 => {
                let entries: Vec<AeEntry> = (0..tape.below(30)).map(|_| entry(tape)).collect();
                let bytes = entropy::encode_bucket(tape.u8(), &entries);
                self.hear(from, src, &Record::AeBucket(&bytes));
            }
            7 => {
                let pulls: Vec<AePull> = (0..tape.below(30))
                    .map(|_| AePull {
                        id: [tape.u8() % 8; 8],
                        addr_version: tape.number(&[1]),
                        interest_version: tape.number(&[1]),
                    })
                    .collect();
                self.hear(from, src, &Record::AePull(&entropy::encode_pull(&pulls)));
            }
            8 => {
                let profile = Profile {
                    member: self.member(tape),
                    addr_version: tape.number(&[1]),
                    addresses: (0..tape.below(9)).map(|_| addr(tape.u8()).ip()).collect(),
                    name: "x".repeat(tape.below(64)),
                    roles: Roles(tape.u8().into()),
                    host_id: [tape.u8(); 16],
                    interest_version: tape.number(&[1]),
                    tags: Vec::new(),
                };
                self.hear(from, src, &Record::Profile(profile));
            }
            9 => {
                let beacon = Beacon {
                    port: tape.number(&[37_321]) as u16,
                    name: "y".into(),
                    roles: Roles(tape.u8().into()),
                    interest_version: tape.number(&[1]),
                    ..Beacon::default()
                };
                self.crowd.on_beacon(self.now, from, &beacon, src);
            }
            10 => {
                let ms = tape.ms();
                self.pass(Duration::from_millis(ms));
            }
            _ => match tape.below(4) {
                0 => self.crowd.on_session_up(self.now, from, "z", src, 0, [1; 16]),
                1 => self.crowd.on_session_down(self.now, from, tape.flag()),
                2 => self.crowd.want_interest(tape.flag()),
                _ => self.crowd.set_interest(tape.number(&[1])),
            },
        }
    }

    fn packet(&self, tape: &mut Tape<'_>) -> SwimPacket {
        let src = self.identity(tape);
        let dst = if tape.below(8) == 0 { self.identity(tape) } else { self.own };
        let n = tape.u8();
        let about = self.identity(tape);
        let message = match tape.below(10) {
            0 => SwimMessage::Ping(n),
            1 => SwimMessage::Ack(n),
            2 => SwimMessage::PingReq(about, n),
            3 => SwimMessage::IndirectPing(about, n),
            4 => SwimMessage::IndirectAck(about, n),
            5 => SwimMessage::ForwardedAck(about, n),
            6 => SwimMessage::Announce,
            7 => SwimMessage::Feed,
            8 => SwimMessage::Gossip,
            _ => SwimMessage::TurnUndead,
        };
        let updates = (0..tape.below(MAX_UPDATES as u8)).map(|_| self.member(tape)).collect();
        let dst = (dst.key, dst.generation);
        SwimPacket { src, src_count: tape.number(&[1, 65_535]) as u16, dst, message, updates }
    }

    fn member(&self, tape: &mut Tape<'_>) -> SwimMember {
        let states = [SwimState::Alive, SwimState::Suspect, SwimState::Down];
        let state = states[tape.below(3)];
        SwimMember { identity: self.identity(tape), count: tape.number(&[65_535]) as u16, state }
    }

    /// Ourselves, one of the honest, or anybody; in any life.
    fn identity(&self, tape: &mut Tape<'_>) -> SwimIdentity {
        let who = tape.u8();
        if who % 4 == 0 {
            return SwimIdentity {
                generation: self.own.generation + u32::from(who & 4),
                ..self.own
            };
        }
        let key = someone(tape);
        let generation = tape.number(&[1, u32::MAX.into()]) as u32;
        let mut addr = addr(who);
        addr.set_port(if who == 0xff { 0 } else { 37_321 });
        SwimIdentity { key, generation, addr }
    }
}

fn someone(tape: &mut Tape<'_>) -> EndpointKey {
    let n = tape.u8();
    // Who is asked for at the end is not known before.
    let id = if n < 0x80 { EndpointId([n % 8; 16]) } else { EndpointId([n & 0xfe; 16]) };
    EndpointKey { id, incarnation: tape.number(&[1_000]) }
}

fn entry(tape: &mut Tape<'_>) -> AeEntry {
    AeEntry {
        id: [tape.u8() % 8; 8],
        incarnation: tape.number(&[1_000]),
        addr_version: tape.number(&[1]),
        interest_version: tape.number(&[1]),
    }
}
