//! Readers leave lanes, of their own will or not, and go on by their sessions.

use super::{Node, Tie, WhyUnicast};
use crate::config::SlowPolicy;
use crate::crypto::Crypto;
use crate::ids::StreamId;
use crate::time::Time;
use crate::transport::lane::{COOL, COOL_MAX, LAG_TIMEOUT};
use alloc::vec::Vec;
use core::time::Duration;
use motet_wire::control::{Control as Record, LaneOffer, Secret};

/// While a lane is held up, it is looked so often who does it.
const LAG_STEP: Duration = Duration::from_millis(20);
/// A reader that holds up a log that drops what is old is not waited for longer than four round
/// trips, and at least this long.
const LAG_MIN: Duration = Duration::from_millis(10);
/// Who was ready for so long begins with the shortest pause again.
const STEADY: Duration = Duration::from_secs(60);

/// Why a reader leaves a lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::node) enum Leaves {
    /// The stream, the lane or the session ends.
    Ended,
    /// It cannot join.
    JoinFailed,
    /// It does not hear it any more.
    Lost,
    /// It did not hear it in time.
    NotHeard,
    /// It holds up the others.
    Laggard,
    /// It loses far more than the others.
    CryingBaby,
}

impl<C: Crypto> Node<C> {
    /// A reader leaves its lane: everything comes by its session again, from the first message that
    /// it has not acknowledged (L-13).
    pub(in crate::node) fn lane_release(
        &mut self,
        now: Time,
        at: usize,
        stream: StreamId,
        leaves: Leaves,
    ) {
        self.lane_follow(now, at, stream);
        let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut) else { return };
        let Some(out) = peer.outs.get_mut(&stream) else { return };
        let Some(tag) = out.tie.tag.take() else { return };
        out.tie.ready = false;
        out.cursor.take_back();
        let mut steady = false;
        if let Some(writer) = self.lanes.writers.get_mut(&tag) {
            let since = writer.members.get(&at).map(|member| (member.ready, member.since));
            steady = since.is_some_and(|(ready, since)| ready && now.since(since) >= STEADY);
            self.counters.lane_readers_left += u64::from(writer.dismiss(now, at));
        }
        cool(&mut out.tie, now, leaves, steady);
        if let Some(publication) = self.publications.get_mut(&stream)
            && let Ok(place) = publication.laned.binary_search(&at)
        {
            publication.laned.remove(place);
        }
        peer.make_ready(stream);
        peer.heat_out(stream);
        self.withdraw(now, at, tag);
        self.lanes.wake(tag);
        self.lanes.due = self.lanes.due.min(now); // who is left may be less slow
        self.wake(at);
        self.rearm(at);
    }

    /// Tells a reader that a lane carries nothing for it any more.
    fn withdraw(&mut self, now: Time, at: usize, tag: u64) {
        let Some(writer) = self.lanes.writers.get(&tag) else { return };
        let offer = LaneOffer {
            source_tag: tag,
            lane: writer.lane,
            group: writer.group.ip(),
            port: writer.group.port(),
            mtu: writer.mtu,
            epoch: 0,
            suite: 0,
            key: Secret([0; 32]),
            start_pn: 0,
            streams: Vec::new(),
        };
        self.say(now, at, &Record::LaneOffer(offer));
    }

    /// A peer's session died of silence: as a reader it leaves its lanes, which get new keys; as a
    /// writer its lanes are lost, which it is told should it come back.
    pub(in crate::node) fn lanes_give_up(&mut self, now: Time, at: usize) {
        let of = self.lanes.writers.values_mut().filter(|it| it.members.contains_key(&at));
        let streams = of.map(|writer| {
            writer.keys.renew_soon(now);
            writer.stream
        });
        for stream in streams.collect::<Vec<_>>() {
            self.lane_release(now, at, stream, Leaves::Ended);
        }
        self.lose_lanes_of(now, at);
    }

    /// A peer is gone, or its session is another one: no lane has it as a reader any more.
    /// `unwilling`: it did not say goodbye, so that a new key follows (L-5).
    pub(in crate::node) fn lanes_forget(&mut self, now: Time, at: usize, unwilling: bool) {
        let tags: Vec<u64> = self.lanes.writers.keys().copied().collect();
        for tag in tags {
            let Some(writer) = self.lanes.writers.get_mut(&tag) else { continue };
            if !writer.members.contains_key(&at) {
                continue;
            }
            if unwilling {
                writer.keys.renew_soon(now);
            }
            let (stream, (next, off)) = (writer.stream, writer.cursor.position());
            self.counters.lane_readers_left += u64::from(writer.dismiss(now, at));
            self.lanes.due = self.lanes.due.min(writer.deadline());
            if let Some(publication) = self.publications.get_mut(&stream)
                && let Ok(place) = publication.laned.binary_search(&at)
            {
                publication.laned.remove(place);
            }
            if let Some(peer) = self.peers.get_mut(at).and_then(Option::as_mut)
                && let Some(out) = peer.outs.get_mut(&stream)
            {
                out.cursor.follow(now, next, off);
                out.tie = Tie { was: out.tie.was, ..Tie::NONE };
                out.cursor.take_back();
            }
            self.lanes.wake(tag);
        }
        let tags: Vec<u64> = self.lanes.sources.keys().copied().collect();
        for tag in tags {
            if self.lanes.sources.get(&tag).is_some_and(|source| source.peer == at) {
                self.drop_source(tag);
            }
        }
    }

    /// Who holds up a lane leaves it, unless all do (L-22).
    pub(super) fn look_for_laggards(&mut self, now: Time, tag: u64) {
        let Some(writer) = self.lanes.writers.get_mut(&tag) else { return };
        writer.lag_at = Time::NEVER;
        let stream = writer.stream;
        let Some(publication) = self.publications.get(&stream) else { return };
        let log = &publication.log;
        if writer.ready == 0 || !writer.cursor.blocked(log) {
            writer.members.values_mut().for_each(|member| member.edge_since = None);
            return;
        }
        let (next, off) = writer.cursor.position();
        let here = log.pos(next) + off;
        let lossy = matches!(publication.qos.slow, SlowPolicy::DropOldest | SlowPolicy::DropNewest);
        let waiting = log.pos(log.next()).saturating_sub(here);
        let hurry = lossy && waiting * 2 > publication.qos.log_bytes as u64;
        let patience = if hurry { LAG_MIN.max(writer.grtt * 4) } else { LAG_TIMEOUT };
        let (mut late, mut at_edge) = (Vec::new(), 0);
        for (at, member) in writer.members.iter_mut().filter(|(_, member)| member.ready) {
            let peer = self.peers.get(*at).and_then(Option::as_ref);
            let Some(out) = peer.and_then(|peer| peer.outs.get(&stream)) else { continue };
            if out.cursor.edge_pos() > here {
                member.edge_since = None;
                continue;
            }
            at_edge += 1;
            if now.since(*member.edge_since.get_or_insert(now)) >= patience {
                late.push(*at);
            }
        }
        writer.lag_at = now + LAG_STEP.min(patience / 4).max(Duration::from_millis(2));
        let all = at_edge >= writer.ready;
        if !all && !crate::planted::on("lane_waits_for_laggards") {
            late.into_iter().for_each(|at| self.lane_release(now, at, stream, Leaves::Laggard));
        }
    }
}

/// Notes why a reader is back on its session, and for how long at least (L-14).
fn cool(tie: &mut Tie, now: Time, leaves: Leaves, steady: bool) {
    if leaves == Leaves::Ended {
        tie.why = WhyUnicast::Waiting;
        return;
    }
    tie.wait = if steady || tie.wait.is_zero() { COOL } else { (tie.wait * 2).min(COOL_MAX) };
    tie.until = now + tie.wait;
    let until = tie.until;
    tie.why = match leaves {
        Leaves::Ended => WhyUnicast::Waiting,
        Leaves::JoinFailed => WhyUnicast::JoinFailed { until },
        Leaves::Lost => WhyUnicast::LaneLost { at: now, until },
        Leaves::NotHeard => WhyUnicast::NotHeard { until },
        Leaves::Laggard => WhyUnicast::Laggard { until },
        Leaves::CryingBaby => WhyUnicast::CryingBaby { until },
    };
}
