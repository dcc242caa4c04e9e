//! One peer: its session, its control streams, the streams to and from it.

use super::lanes::Tie;
use crate::fragmentation::assembly::Assembly;
use crate::ids::{EndpointKey, StreamId, SubId};
use crate::received::Origin;
use crate::time::Time;
use crate::topics::interest::RemoteInterest;
use crate::topics::lag::LagClock;
use crate::topics::name::TopicName;
use crate::transport::session::Session;
use crate::transport::stream::cursor::Cursor;
use crate::transport::stream::log::Log;
use crate::transport::stream::reader::{ReadQos, Reader};
use crate::transport::stream::{Order, Share};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use motet_wire::control::RejectReason;
use motet_wire::frame::NakItem;

/// Topics on which a peer's type differs that are remembered; on more it is only counted.
pub(super) const MISMATCHES_MAX: usize = 1_024;
/// Streams of one peer that we read, and that we write to it.
pub(super) const STREAMS_MAX: usize = 131_072;

pub(super) struct Peer<A> {
    pub(super) key: EndpointKey,
    pub(super) name: Arc<str>,
    pub(super) roles: u16,
    pub(super) host_id: [u8; 16],
    pub(super) session: Session<A>,
    /// Number of the packet that is being taken, and the largest on this session.
    pub(super) pn: (u64, u64),
    pub(super) control: Control,
    pub(super) interest: RemoteInterest,
    /// The version of our interest that it was told.
    pub(super) interest_told: u64,
    /// The last SYNC it was sent, and the last it has answered (P-18).
    pub(super) sync: (u64, u64),
    pub(super) outs: BTreeMap<StreamId, Outgoing>,
    pub(super) ins: BTreeMap<StreamId, Incoming>,
    /// Streams with something to send, by priority.
    pub(super) ready: [VecDeque<StreamId>; 8],
    /// Streams with a deadline.
    pub(super) hot_outs: Vec<StreamId>,
    pub(super) hot_ins: Vec<StreamId>,
    pub(super) hot: Soonest,
    pub(super) share: Share,
    /// What is to be asked for again; it leaves as packets take it.
    pub(super) naks: VecDeque<(StreamId, NakItem)>,
    /// LANE_STATE and LANE_ACK frames, and the last STATUS of streams that we leave, for the next packet.
    pub(super) lane_says: Vec<u8>,
    pub(super) lane_acks: Vec<u8>,
    /// It stands in the node's list of those with something to send.
    pub(super) queued: bool,
    /// When the pacer lets the next packet go.
    pub(super) send_at: Time,
    pub(super) deadline: Time,
    /// A probe on behalf of discovery: pings sent, when it ends.
    pub(super) probe: Option<Probe>,
    pub(super) queries: (u64, u32),
    pub(super) asked: Vec<u64>,
    /// Packets built so far, for the share of lower classes.
    pub(super) turn: u64,
    /// Topics on which the application was told that types differ.
    pub(super) mismatches: Vec<Arc<str>>,
    /// When it last carried something (M-13).
    pub(super) used: Time,
}

/// Before this none of the hot streams has anything to do. It may be too early, never too late: so
/// they are looked at only when something may be due, and not for each packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Soonest {
    at: Time,
    /// How many packets the session will have received.
    pkt: u64,
}

impl Soonest {
    pub(super) const NEVER: Self = Self { at: Time::NEVER, pkt: u64::MAX };

    pub(super) fn deadline(self, pkt: u64) -> Time {
        if self.pkt <= pkt { Time::ZERO } else { self.at }
    }

    pub(super) fn of_reader(&mut self, reader: &Reader<Assembly>) {
        let (at, pkt) = reader.nak_bound();
        let status = reader.status_deadline().unwrap_or(Time::NEVER);
        self.at = self.at.min(at).min(status);
        self.pkt = self.pkt.min(pkt);
    }

    pub(super) fn of_cursor(&mut self, cursor: &Cursor) {
        self.at = self.at.min(cursor.deadline().unwrap_or(Time::NEVER));
    }
}

pub(super) struct Probe {
    /// Discovery waits for the result.
    pub(super) asked: bool,
    /// Silence means death: a newcomer claims this identity.
    pub(super) deadly: bool,
    pub(super) sent: u32,
    pub(super) since: Time,
    pub(super) at: Time,
}

impl Probe {
    pub(super) fn new(now: Time) -> Self {
        Self { asked: false, deadly: false, sent: 0, since: now, at: now }
    }
}

/// The control stream of a session, both directions.
pub(super) struct Control {
    pub(super) log: Log,
    pub(super) cursor: Cursor,
    pub(super) reader: Reader<Assembly>,
    pub(super) ready: bool,
    /// Something was left out for want of room.
    pub(super) resync: bool,
}

impl Control {
    pub(super) fn new() -> Self {
        let log = Log::new(1);
        Self {
            cursor: Cursor::new(&log, 0, 1, CONTROL_WINDOW, true),
            reader: Reader::new(1, CONTROL_QOS),
            log,
            ready: false,
            resync: false,
        }
    }
}

/// What a peer may send on the control stream before it is read: it is read at once.
pub(super) const CONTROL_WINDOW: u64 = 1 << 20;
/// Unread control records before the session is closed.
pub(super) const CONTROL_MAX: u64 = 4 << 20;

const CONTROL_QOS: ReadQos =
    ReadQos { reliable: true, order: Order::Fifo, max_message: CONTROL_WINDOW };

pub(super) struct Outgoing {
    pub(super) cursor: Cursor,
    pub(super) state: OutState,
    pub(super) priority: u8,
    pub(super) ready: bool,
    pub(super) hot: bool,
    /// The first message that was offered: kept until the answer.
    pub(super) offered: u64,
    /// When OPEN was said last.
    pub(super) offered_at: Time,
    /// It came back after the log had moved past what it wants: it is told what it missed.
    pub(super) behind: bool,
    /// A STATUS in a packet below this was said before the reader chose its place.
    pub(super) status_from: u64,
    /// Its lane, if any.
    pub(super) tie: Tie,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OutState {
    /// OPEN is on its way.
    Offered,
    /// It reads.
    Active,
    /// Its session is dead.
    Suspended,
    /// It does not want it, as long as its interest has this version.
    Rejected { reason: RejectReason, version: u64 },
}

pub(super) struct Incoming {
    pub(super) topic: TopicName,
    pub(super) origin: Arc<Origin>,
    pub(super) reader: Reader<Assembly>,
    pub(super) subs: Vec<SubId>,
    /// Where subscriptions start that came when the stream was open already.
    pub(super) starts: BTreeMap<SubId, u64>,
    /// Those of them that have had nothing yet.
    pub(super) fresh: BTreeSet<SubId>,
    /// History below this was asked for again: what is gone of it is nobody's loss.
    pub(super) history_below: u64,
    pub(super) qos: ReadQos,
    pub(super) first_avail: u64,
    pub(super) lag: LagClock,
    pub(super) lifespan: Option<core::time::Duration>,
    pub(super) missed: u64,
    pub(super) type_tag: Arc<str>,
    pub(super) hot: bool,
    pub(super) stalled: bool,
    /// When it was stalled last.
    pub(super) stalled_at: Time,
    pub(super) suspended: bool,
    /// Its reader went back to an earlier message while it was suspended.
    pub(super) rewound: bool,
}

impl Incoming {
    /// The first message that is for this subscription.
    pub(super) fn start_of(&self, id: SubId) -> u64 {
        self.starts.get(&id).copied().unwrap_or(0)
    }
}

impl<A> Peer<A> {
    /// True if the application is to be told, the first time, that types differ on this topic.
    pub(super) fn mismatch_is_news(&mut self, topic: &Arc<str>) -> bool {
        let news = self.mismatches.len() < MISMATCHES_MAX && !self.mismatches.contains(topic);
        if news {
            self.mismatches.push(topic.clone());
        }
        news
    }

    pub(super) fn make_ready(&mut self, stream: StreamId) {
        if let Some(out) = self.outs.get_mut(&stream)
            && !out.ready
            && out.state == OutState::Active
        {
            out.ready = true;
            if let Some(class) = self.ready.get_mut(usize::from(out.priority.min(7))) {
                class.push_back(stream);
            }
        }
    }

    /// To be called after whatever may have given the stream an earlier deadline.
    pub(super) fn heat_out(&mut self, stream: StreamId) {
        let Some(out) = self.outs.get_mut(&stream) else { return };
        self.hot.of_cursor(&out.cursor);
        if !out.hot {
            out.hot = true;
            self.hot_outs.push(stream);
        }
    }

    /// As [`heat_out`](Self::heat_out), for a stream that we read.
    pub(super) fn heat_in(&mut self, stream: StreamId) {
        let Some(incoming) = self.ins.get_mut(&stream) else { return };
        self.hot.of_reader(&incoming.reader);
        if !incoming.hot {
            incoming.hot = true;
            self.hot_ins.push(stream);
        }
    }
}
