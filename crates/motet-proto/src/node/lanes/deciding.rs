//! Readers, rates and losses → lanes begin, end, lose readers. Looked at once a second.

use super::super::peer::OutState;
use super::leaving::Leaves;
use super::{Node, Place, WhyUnicast};
use crate::config::LanePolicy;
use crate::crypto::Crypto;
use crate::ids::StreamId;
use crate::time::Time;
use crate::transport::lane::decide::{Against, Situation, Step};
use crate::transport::lane::keys::WriterKeys;
use crate::transport::lane::meter::{Meter, score};
use crate::transport::lane::writer::{LaneWriter, Place as At};
use crate::transport::lane::{PROOF_WITHIN, SILENT_MAX, group_of, lane_of};
use crate::transport::stream::cursor::Cursor;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr, SocketAddrV6};
use core::time::Duration;
use motet_wire::control::{Control as Record, LaneKey, LaneOffer, Secret};

/// Time between decisions.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// Largest datagram of a lane: less than the largest of UDP, as with sessions.
const MTU_MAX: u32 = 65_000;
/// IPv6 and UDP headers.
const HEADERS: u32 = 48;
/// So many seconds in a row a reader asks for far more than the others before it leaves (L-26).
const CRYING: u32 = 3;
/// So many full packets in a second say something about losses.
const SAMPLE_MIN: u64 = 50;
/// A reader may lose this much at least, parts per million.
const CRYING_MIN: u64 = 20_000;
/// Another reader becomes the acker only when it is worse by this much, in quarters.
const ACKER_BIAS: (u128, u128) = (3, 2);
/// The acker is asked so often to be one.
const ASK_ACKER: Duration = Duration::from_millis(900);

impl<C: Crypto> Node<C> {
    pub(super) fn lanes_tick(&mut self, now: Time) {
        let streams: Vec<StreamId> = self.lanes.watched.keys().copied().collect();
        for stream in streams {
            self.decide(now, stream);
        }
        let tags: Vec<u64> = self.lanes.writers.keys().copied().collect();
        for tag in tags {
            self.inspect(now, tag);
        }
        let idle = self.lanes.watched.is_empty() && self.lanes.writers.is_empty();
        self.lanes.tick_at = if idle { Time::NEVER } else { now + TICK };
    }

    /// Is a lane worth it for this stream, on each interface?
    fn decide(&mut self, now: Time, stream: StreamId) {
        let Some(publication) = self.publications.get(&stream) else {
            self.lanes.watched.remove(&stream);
            return;
        };
        let policy = publication.qos.lane;
        let (end, lanes) = (publication.log.pos(publication.log.next()), publication.lanes.clone());
        let mut places: BTreeMap<Place, Vec<usize>> = BTreeMap::new();
        for at in &publication.readers {
            let Some(peer) = self.peers.get(*at).and_then(Option::as_ref) else { continue };
            let active = peer.outs.get(&stream).is_some_and(|out| out.state == OutState::Active);
            if active && let Some(place) = self.place_of(peer) {
                places.entry(place).or_default().push(*at);
            }
        }
        let mut tags: BTreeMap<Place, u64> = BTreeMap::new();
        for tag in lanes {
            let Some(writer) = self.lanes.writers.get(&tag) else { continue };
            let place = (writer.iface, writer.v6);
            tags.insert(place, tag);
            places.entry(place).or_default();
            // Who came to be reached another way leaves.
            let gone = |at: &&usize| !places.get(&place).is_some_and(|here| here.contains(at));
            let gone: Vec<usize> = writer.members.keys().filter(gone).copied().collect();
            for at in gone {
                self.lane_release(now, at, stream, Leaves::Ended);
            }
        }
        let Some(watched) = self.lanes.watched.get_mut(&stream) else { return };
        let elapsed = now.since(watched.at).as_nanos().max(1);
        let rate = u128::from(end.saturating_sub(watched.pos)) * 1_000_000_000 / elapsed;
        watched.rate = u64::try_from(rate).unwrap_or(u64::MAX);
        (watched.pos, watched.at) = (end, now);
        let rate = watched.rate;
        watched.deciders.retain(|place, _| places.contains_key(place));
        for (place, readers) in &places {
            let tag = tags.get(place).copied();
            let loss_ppm = tag.map_or(0, |tag| self.median_loss(tag));
            let face = self.lanes.interfaces.iter().find(|face| face.index == place.0);
            let wifi = face.is_some_and(|face| face.class == 2);
            let up = tag.is_some();
            let (readers_here, enough) = (readers.len(), self.cfg.lane_rate);
            let at = Situation { policy, readers: readers_here, rate, enough, loss_ppm, wifi, up };
            let Some(watched) = self.lanes.watched.get_mut(&stream) else { return };
            let step = watched.deciders.entry(*place).or_default().judge(now, &at);
            let tag = match step {
                Step::Stay => tag,
                Step::Up => self.begin_lane(now, stream, *place),
                Step::Down => {
                    tag.into_iter().for_each(|tag| self.end_lane(now, tag));
                    None
                }
            };
            let why = match (step, at.against()) {
                (Step::Up, _) if tag.is_none() => WhyUnicast::Limit,
                (_, Against::Policy) => WhyUnicast::Policy,
                (_, Against::Readers) => WhyUnicast::TooFewReaders,
                (_, Against::Rate) => WhyUnicast::RateTooLow,
                (_, Against::Wifi) => WhyUnicast::Wifi,
                (_, Against::Time) => WhyUnicast::Waiting,
            };
            for at in readers {
                self.invite(now, *at, stream, tag, why);
            }
        }
        let Some(publication) = self.publications.get(&stream) else { return };
        let over = publication.lanes.is_empty()
            && (publication.readers.is_empty()
                || (rate == 0 && rate <= self.cfg.lane_rate && policy == LanePolicy::Auto));
        if over {
            self.lanes.watched.remove(&stream);
        }
    }

    fn median_loss(&self, tag: u64) -> u64 {
        let Some(writer) = self.lanes.writers.get(&tag) else { return 0 };
        let ready = writer.members.values().filter(|member| member.ready);
        let mut losses: Vec<u64> = ready.map(|member| member.loss_ppm).collect();
        losses.sort_unstable();
        losses.get(losses.len() / 2).copied().unwrap_or(0)
    }

    /// A reader that is near is offered the lane; else it is noted why it is not.
    fn invite(
        &mut self,
        now: Time,
        at: usize,
        stream: StreamId,
        tag: Option<u64>,
        why: WhyUnicast,
    ) {
        let near = tag
            .and_then(|tag| self.lane_distance(at, tag))
            .is_some_and(|(behind, allowed)| behind <= allowed);
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let Some(out) = peer.outs.get_mut(&stream) else { return };
        if out.tie.tag.is_some() || out.tie.until > now {
            return;
        }
        out.tie.why = match tag {
            None => why,
            Some(_) if !near || out.behind => WhyUnicast::CatchingUp,
            Some(_) => WhyUnicast::Joining,
        };
        let (Some(tag), WhyUnicast::Joining) = (tag, out.tie.why) else { return };
        let Some(writer) = self.lanes.writers.get_mut(&tag) else { return };
        out.tie.tag = Some(tag);
        writer.invite(now, at);
        let (suite, told, start_pn) = writer.keys.told();
        let coming = writer.keys.coming();
        let offer = LaneOffer {
            source_tag: tag,
            lane: writer.lane,
            group: writer.group.ip(),
            port: writer.group.port(),
            mtu: writer.mtu,
            epoch: told.epoch,
            suite,
            key: Secret(told.key),
            start_pn,
            streams: alloc::vec![stream],
        };
        self.lanes.due = self.lanes.due.min(writer.deadline());
        self.say(now, at, &Record::LaneOffer(offer));
        if let Some(told) = coming {
            let key = Secret(told.key);
            self.say(
                now,
                at,
                &Record::LaneKey(LaneKey { source_tag: tag, epoch: told.epoch, key, start_pn }),
            );
        }
        self.rearm(at);
    }

    fn begin_lane(&mut self, now: Time, stream: StreamId, (iface, v6): Place) -> Option<u64> {
        if self.lanes.writers.len() >= self.cfg.lanes_max {
            return None;
        }
        let face = self.lanes.interfaces.iter().find(|face| face.index == iface)?;
        let largest = u32::from(self.cfg.mtu_max).min(face.mtu.saturating_sub(HEADERS));
        let largest = if self.cfg.mtu_discovery {
            largest
        } else {
            u32::from(self.cfg.mtu_base).min(largest)
        };
        let mtu = u16::try_from(largest.clamp(512, MTU_MAX)).unwrap_or(512);
        let publication = self.publications.get_mut(&stream)?;
        let lane = lane_of(publication.hash);
        let group = match group_of(lane, v6) {
            IpAddr::V4(v4) => SocketAddr::from((v4, self.cfg.lane_port)),
            IpAddr::V6(v6) => SocketAddrV6::new(v6, self.cfg.lane_port, 0, iface).into(),
        };
        let [suite, ..] = self.crypto.suites();
        let keys = WriterKeys::new(&self.crypto, now, suite, self.rng.bytes())?;
        let tag = self.rng.u64();
        let log = &publication.log;
        let cursor = Cursor::new(log, stream, log.next(), 0, publication.qos.reliable);
        let (credit, seed) = (self.cfg.session_credit, self.rng.u32());
        let meter = Meter::new(now, self.cfg.congestion, mtu, credit, seed);
        let place = At { lane, iface, v6, group, mtu };
        publication.lanes.push(tag);
        let writer = LaneWriter::new(now, tag, stream, place, cursor, keys, meter);
        self.lanes.writers.insert(tag, writer);
        self.counters.lanes_begun += 1;
        Some(tag)
    }

    /// A lane ends; its readers go on by their sessions.
    pub(super) fn end_lane(&mut self, now: Time, tag: u64) {
        let Some(writer) = self.lanes.writers.get(&tag) else { return };
        let stream = writer.stream;
        let members: Vec<usize> = writer.members.keys().copied().collect();
        for at in members {
            self.lane_release(now, at, stream, Leaves::Ended);
        }
        let ended = self.lanes.writers.remove(&tag);
        let readers = self.publications.get(&stream).map(|it| it.readers.clone());
        if let Some((next, off)) = ended.map(|writer| writer.cursor.position()) {
            for at in readers.unwrap_or_default() {
                if let Some(out) = self.peer(at).and_then(|peer| peer.outs.get_mut(&stream)) {
                    out.cursor.may_have(next, off); // it may have heard until now
                }
            }
        }
        self.counters.lanes_ended += 1;
        if let Some(publication) = self.publications.get_mut(&stream) {
            publication.lanes.retain(|other| *other != tag);
        }
    }

    /// A publication is gone, and its lanes with it.
    pub(in crate::node) fn end_lanes_of(&mut self, now: Time, stream: StreamId) {
        let Some(publication) = self.publications.get(&stream) else { return };
        for tag in publication.lanes.clone() {
            self.end_lane(now, tag);
        }
    }

    /// The host's interfaces are these now; a lane on one that went ends.
    pub(in crate::node) fn lanes_on_interfaces(
        &mut self,
        now: Time,
        list: &[crate::host::InterfaceInfo],
    ) {
        self.lanes.interfaces = list.to_vec();
        let known = |iface: u32| list.iter().any(|face| face.index == iface);
        let gone = self.lanes.writers.iter().filter(|(_, writer)| !known(writer.iface));
        for tag in gone.map(|(tag, _)| *tag).collect::<Vec<_>>() {
            self.end_lane(now, tag);
        }
        let gone = self.lanes.sources.iter().filter(|(_, source)| !known(source.iface));
        for tag in gone.map(|(tag, _)| *tag).collect::<Vec<_>>() {
            self.lose_lane(now, tag);
        }
        if !self.lanes.watched.is_empty() {
            self.lanes.tick_at = self.lanes.tick_at.min(now + TICK);
        }
    }

    /// A lane's packets are too large for its interface after all.
    pub(in crate::node) fn lane_too_big(&mut self, dst: SocketAddr) {
        let base = self.cfg.mtu_base;
        let same = |group: &SocketAddr| (group.ip(), group.port()) == (dst.ip(), dst.port());
        for writer in self.lanes.writers.values_mut().filter(|writer| same(&writer.group)) {
            writer.mtu = writer.mtu.min(base);
        }
    }

    /// Once a second: who does not come, who says nothing, who asks too much, who acknowledges.
    fn inspect(&mut self, now: Time, tag: u64) {
        let Some(writer) = self.lanes.writers.get_mut(&tag) else { return };
        let stream = writer.stream;
        let (next, off) = writer.cursor.position();
        let mut leaving: Vec<(usize, Leaves)> = Vec::new();
        let mut grtt = Duration::ZERO;
        for (at, member) in &mut writer.members {
            let Some(peer) = self.peers.get_mut(*at).and_then(Option::as_mut) else { continue };
            if !member.ready {
                if now.since(member.since) >= PROOF_WITHIN {
                    leaving.push((*at, Leaves::NotHeard));
                }
                continue;
            }
            if peer.session.rtt.has_sample() {
                grtt = grtt.max(round_trip(&peer.session.rtt));
            }
            let Some(out) = peer.outs.get_mut(&stream) else { continue };
            out.cursor.follow(now, next, off);
            if out.cursor.deadline().is_some() {
                peer.heat_out(stream);
                let soonest = peer.hot.deadline(peer.session.received);
                peer.deadline = peer.deadline.min(soonest);
                self.peers_due = self.peers_due.min(soonest);
            }
            let Some(out) = peer.outs.get(&stream) else { continue };
            let owes = out.cursor.acked() < next;
            if owes && now.since(member.heard) >= SILENT_MAX {
                leaving.push((*at, Leaves::Laggard));
            }
        }
        writer.set_grtt(grtt);
        leaving.extend(judge_losses(writer).into_iter().map(|at| (at, Leaves::CryingBaby)));
        for (at, leaves) in leaving {
            self.lane_release(now, at, stream, leaves);
        }
        self.elect(now, tag);
    }

    /// The reader that acknowledges: the one with the largest rtt² · loss (L-23).
    pub(super) fn elect(&mut self, now: Time, tag: u64) {
        let Some(writer) = self.lanes.writers.get_mut(&tag) else { return };
        let present = writer.meter.acker();
        let forsaken = writer.meter.is_forsaken(now);
        let ready = writer.members.iter().filter(|(_, member)| member.ready);
        let scored = ready.filter_map(|(at, member)| {
            let peer = self.peers.get(*at)?.as_ref()?;
            let out = Some(*at) == present && forsaken;
            let (rtt, least) = (round_trip(&peer.session.rtt), peer.session.rtt.min());
            (!out).then(|| (score(rtt, member.loss_ppm), *at, least))
        });
        let scored: Vec<_> = scored.collect();
        let own = scored.iter().find(|(_, at, _)| Some(*at) == present).copied();
        let best = scored.into_iter().max_by_key(|(score, at, _)| (*score, usize::MAX - *at));
        let (times, over) = ACKER_BIAS;
        let chosen = match (best, own) {
            (Some(best), Some(own)) if best.0 * over <= own.0 * times => Some(own),
            (best, _) => best,
        };
        let least = chosen.map_or(writer.grtt, |(_, _, least)| least);
        let acker = chosen.map(|(_, at, _)| at);
        writer.meter.elect(now, acker, least);
        let news = acker != present;
        if let Some(at) = acker
            && (news || now.since(writer.asked_acker) >= ASK_ACKER)
        {
            writer.asked_acker = now;
            self.say_of_lane(at, &super::writing::lane_state(tag, 3, 0));
        }
        self.lanes.wake(tag);
    }

    pub(super) fn renew_lane_key(&mut self, now: Time, tag: u64) {
        let key = self.rng.bytes();
        let Some(writer) = self.lanes.writers.get_mut(&tag) else { return };
        let told = writer.keys.announce(now, key);
        let start_pn = writer.keys.next_pn();
        let members: Vec<usize> = writer.members.keys().copied().collect();
        for at in members {
            let key = Secret(told.key);
            let record = LaneKey { source_tag: tag, epoch: told.epoch, key, start_pn };
            self.say(now, at, &Record::LaneKey(record));
            self.rearm(at);
        }
        self.counters.lane_keys_renewed += 1;
    }
}

/// A reader's round trip without what its own session's queue adds: that is not on the lane's way.
fn round_trip(rtt: &crate::transport::rtt::Rtt) -> Duration {
    rtt.srtt().min(rtt.min() * 4)
}

/// Who asks for far more than the others for some seconds (L-26); halves the window when many ask
/// for much (L-24). One reader alone can do neither to the others.
fn judge_losses<A: crate::crypto::Aead>(writer: &mut LaneWriter<A>) -> Vec<usize> {
    let sent = core::mem::take(&mut writer.sent_bytes);
    let part = |asked: u64| {
        let ppm = u128::from(asked) * 1_000_000 / u128::from(sent.max(1));
        u64::try_from(ppm).unwrap_or(u64::MAX)
    };
    let loss = |member: &crate::transport::lane::writer::Member| {
        if sent == 0 { member.loss_ppm } else { member.loss_ppm.max(part(member.asked)) }
    };
    let ready = || writer.members.values().filter(|member| member.ready);
    let mut losses: Vec<u64> = ready().map(loss).collect();
    let mut asked: Vec<u64> = ready().map(|member| member.asked).collect();
    losses.sort_unstable();
    asked.sort_unstable_by(|a, b| b.cmp(a));
    let median = losses.get(losses.len().saturating_sub(1) / 2).copied().unwrap_or(0);
    let worst = asked.get(usize::from(asked.len() > 1)).copied().unwrap_or(0);
    let telling = sent >= SAMPLE_MIN * u64::from(writer.mtu);
    if telling && worst > sent / 10 {
        writer.meter.halve();
    } else {
        writer.meter.relax();
    }
    let mut crying = Vec::new();
    let alone = losses.len() < 2;
    for (at, member) in writer.members.iter_mut().filter(|(_, member)| member.ready) {
        let asked = core::mem::take(&mut member.asked);
        if !telling {
            continue;
        }
        let loss = member.loss_ppm.max(part(asked));
        let cries = !alone && loss > CRYING_MIN.max(median.saturating_mul(4));
        member.crying = if cries { member.crying + 1 } else { 0 };
        if member.crying >= CRYING {
            crying.push(*at);
        }
    }
    crying
}
