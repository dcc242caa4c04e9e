//! A lane at its writer.

use super::asked::Asked;
use super::backoff::Backoff;
use super::keys::WriterKeys;
use super::meter::Meter;
use super::{ACTIVE_FOR, BEAT_ACTIVE, BEAT_IDLE};
use crate::Time;
use crate::crypto::Aead;
use crate::transport::stream::cursor::Cursor;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use motet_wire::frame::NakItem;
use motet_wire::packet::{MdataHeader, TAG_LEN};

/// Bytes of a lane's packet that are not frames.
pub const OVERHEAD: usize = MdataHeader::LEN + TAG_LEN;
/// Confirmations that wait to leave; further ones are left out (the readers ask again).
pub const NCF_MAX: usize = 64;
/// What the round trip of a group is at least taken for.
const GRTT_MIN: Duration = Duration::from_micros(200);

/// A reader of a lane.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// It has heard the lane, and its messages come that way.
    pub ready: bool,
    /// It hears the lane but is too far behind it.
    pub hears: bool,
    /// Since when it is what it is.
    pub since: Time,
    /// The last sign of it.
    pub heard: Time,
    /// What it says it loses, parts per million.
    pub loss_ppm: u64,
    /// Since when it is the one that the lane waits for.
    pub edge_since: Option<Time>,
    /// Bytes it asked for again in this second.
    pub asked: u64,
    /// Seconds in a row in which it asked for far more than the others.
    pub crying: u32,
}

/// A lane: one stream on one interface.
pub struct LaneWriter<A> {
    /// Its random name.
    pub tag: u64,
    /// Its number.
    pub lane: u16,
    /// The interface it leaves by.
    pub iface: u32,
    /// By IPv6.
    pub v6: bool,
    /// The group.
    pub group: SocketAddr,
    /// Size of its largest datagrams.
    pub mtu: u16,
    /// The stream.
    pub stream: u32,
    /// What is sent for the first time, and again for several.
    pub cursor: Cursor,
    /// Its readers, by place in the node's table of peers.
    pub members: BTreeMap<usize, Member>,
    /// Those that are ready.
    pub ready: usize,
    /// Keys and packet numbers.
    pub keys: WriterKeys<A>,
    /// How fast.
    pub meter: Meter,
    /// Who asked for what.
    pub asked: Asked,
    /// The largest round trip of its readers.
    pub grtt: Duration,
    /// Confirmations to send.
    pub ncf: VecDeque<NakItem>,
    /// It stands in the node's list of those with something to send.
    pub queued: bool,
    /// When the pacer lets the next packet go.
    pub send_at: Time,
    /// The bounds of its readers changed since they were last gathered.
    pub dirty: bool,
    /// When they are gathered at the latest.
    pub gather_at: Time,
    /// When it is next looked for who holds it up.
    pub lag_at: Time,
    /// Bytes sent in this second.
    pub sent_bytes: u64,
    /// When it last carried something.
    pub active: Time,
    /// When it last said that someone acknowledges.
    pub asked_acker: Time,
    beat_at: Time,
    beaten: Time,
}

/// What a lane is made of.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its number.
    pub lane: u16,
    /// The interface.
    pub iface: u32,
    /// IPv6.
    pub v6: bool,
    /// The group.
    pub group: SocketAddr,
    /// Datagram size.
    pub mtu: u16,
}

impl<A: Aead> LaneWriter<A> {
    /// A lane without readers.
    pub fn new(
        now: Time,
        tag: u64,
        stream: u32,
        place: Place,
        cursor: Cursor,
        keys: WriterKeys<A>,
        meter: Meter,
    ) -> Self {
        let Place { lane, iface, v6, group, mtu } = place;
        Self {
            tag,
            lane,
            iface,
            v6,
            group,
            mtu,
            stream,
            cursor,
            members: BTreeMap::new(),
            ready: 0,
            keys,
            meter,
            asked: Asked::default(),
            grtt: GRTT_MIN,
            ncf: VecDeque::new(),
            queued: false,
            send_at: Time::NEVER,
            dirty: false,
            gather_at: Time::NEVER,
            lag_at: Time::NEVER,
            sent_bytes: 0,
            active: now,
            asked_acker: Time::ZERO,
            beat_at: now,
            beaten: now,
        }
    }

    /// A reader was offered the lane.
    pub fn invite(&mut self, now: Time, at: usize) {
        let member = Member {
            ready: false,
            hears: false,
            since: now,
            heard: now,
            loss_ppm: 0,
            edge_since: None,
            asked: 0,
            crying: 0,
        };
        self.members.insert(at, member);
        self.active = now;
        self.beat_at = self.beat_at.min(now + BEAT_ACTIVE / 4);
    }

    /// It is ready.
    pub fn admit(&mut self, now: Time, at: usize) -> bool {
        match self.members.get_mut(&at) {
            Some(member) if !member.ready => {
                (member.ready, member.since, member.heard) = (true, now, now);
                self.ready += 1;
                self.dirty = true;
                true
            }
            _ => false,
        }
    }

    /// It leaves. True if it was ready.
    pub fn dismiss(&mut self, now: Time, at: usize) -> bool {
        let Some(member) = self.members.remove(&at) else { return false };
        if self.meter.acker() == Some(at) {
            self.meter.elect(now, None, self.grtt);
        }
        if member.ready {
            self.ready -= 1;
            self.dirty = true;
            if self.ready == 0 {
                self.cursor.drop_repairs();
                self.asked.clear();
                self.ncf.clear();
            }
        }
        member.ready
    }

    /// Someone still has to hear a packet of full size.
    pub fn is_proving(&self) -> bool {
        self.members.len() > self.ready
    }

    /// A sign of a reader.
    pub fn heard(&mut self, now: Time, at: usize) {
        if let Some(member) = self.members.get_mut(&at) {
            member.heard = now;
        }
    }

    /// The largest round trip of the group, from those of its sessions.
    pub fn set_grtt(&mut self, largest: Duration) {
        self.grtt = largest.max(GRTT_MIN);
    }

    /// The distribution that readers wait by.
    pub fn backoff(&self) -> Backoff {
        Backoff::new(1 << self.readers_log2(), self.grtt)
    }

    /// log2 of the readers, rounded up.
    pub fn readers_log2(&self) -> u8 {
        let readers = self.ready.max(1) as u64;
        (64 - (readers - 1).leading_zeros()) as u8
    }

    /// True if a LANE_HB is due.
    pub fn beat_due(&self, now: Time) -> bool {
        self.beat_at <= now && !self.members.is_empty()
    }

    /// It leaves now. `unacked`: something was sent and is not acknowledged by all.
    pub fn on_beat(&mut self, now: Time, unacked: bool) {
        let busy = unacked || self.is_proving() || now.since(self.active) < ACTIVE_FOR;
        self.beaten = now;
        self.beat_at = now + if busy { BEAT_ACTIVE } else { BEAT_IDLE };
    }

    /// Data left; `last`: nothing more waits, so the tail is announced soon (L-30).
    pub fn on_data(&mut self, now: Time, last: bool) {
        self.active = now;
        let tail = now + self.grtt * 2 + Duration::from_millis(2);
        let regular = (self.beaten + BEAT_ACTIVE).max(now);
        self.beat_at = if last { tail.min(regular) } else { regular };
    }

    /// Starts a packet: the header's place is taken in `out`.
    pub fn begin(&self, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.extend_from_slice(&[0; MdataHeader::LEN]);
        start
    }

    /// Seals the packet begun at `start`, once for all readers (L-2), and notes it as sent. `end` is
    /// its end, which does not have to be copied before.
    pub fn seal(&mut self, now: Time, out: &mut Vec<u8>, start: usize, end: &[u8]) {
        let pn = self.keys.take_pn();
        let header =
            MdataHeader { epoch: self.keys.epoch(), lane: self.lane, source_tag: self.tag, pn };
        let header = header.encode();
        out.resize(out.len() + end.len() + TAG_LEN, 0);
        let (_, packet) = out.split_at_mut(start);
        if let Some((place, rest)) = packet.split_first_chunk_mut::<{ MdataHeader::LEN }>() {
            *place = header;
            self.keys.seal(pn, &header, rest, end);
        }
        let size = out.len() - start;
        self.sent_bytes += size as u64;
        self.meter.on_sent(now, pn, u32::try_from(size).unwrap_or(u32::MAX));
    }

    /// When the lane needs attention.
    pub fn deadline(&self) -> Time {
        let beat = if self.members.is_empty() { Time::NEVER } else { self.beat_at };
        let gather = if self.dirty { self.gather_at } else { Time::NEVER };
        beat.min(self.send_at)
            .min(gather)
            .min(self.lag_at)
            .min(self.meter.deadline())
            .min(self.keys.deadline())
    }
}
