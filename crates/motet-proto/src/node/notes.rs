//! What other parts of the node note down for `explain`, each in one line there.

use super::Node;
use super::explain::of_reject;
use super::failures::StreamNote;
use crate::crypto::Crypto;
use crate::events::Event;
use crate::explain::{Offence, Reason};
use crate::ids::{EndpointId, EndpointKey, StreamId};
use crate::time::Time;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::net::SocketAddr;
use motet_wire::control::RejectReason;
use motet_wire::handshake::Params;

impl<C: Crypto> Node<C> {
    /// A member did something that is counted; told of when it is too much (E-10).
    pub(super) fn offence(&mut self, now: Time, key: EndpointKey, what: Offence, n: u64) {
        if self.failures.offence(now, key, what, n) {
            self.counters.offences_told += 1;
            self.events.push_back(Event::Offender { key, what });
        }
    }

    /// As [`offence`](Self::offence), of the peer at this place.
    pub(super) fn offence_at(&mut self, now: Time, at: usize, what: Offence, n: u64) {
        let key = self.peers.get(at).and_then(Option::as_ref).map(|peer| peer.key);
        if let Some(key) = key.filter(|_| n > 0) {
            self.offence(now, key, what, n);
        }
    }

    /// We do not take a stream that `writer` offered.
    pub(super) fn note_reject(
        &mut self,
        now: Time,
        writer: EndpointKey,
        topic: &Arc<str>,
        reason: RejectReason,
        theirs: &str,
        ours: &Option<String>,
    ) {
        if reason == RejectReason::NoInterest {
            return self.offence(now, writer, Offence::OfferFlood, 1);
        }
        let ours = ours.as_deref().unwrap_or_default();
        let note = StreamNote::of_types(of_reject(reason), theirs, ours);
        self.failures.stream(now, writer.id, topic, note);
    }

    /// A reader was dropped for its slowness.
    pub(super) fn note_eviction(&mut self, now: Time, at: usize, stream: StreamId) {
        let topic = self.publications.get(&stream).map(|it| it.topic.arc());
        let reader = self.peers.get(at).and_then(Option::as_ref).map(|peer| peer.key.id);
        if let (Some(topic), Some(reader)) = (topic, reader) {
            self.failures.stream(now, reader, &topic, StreamNote::of_limit("slowness", 0));
        }
    }

    /// A reader refused a message for its size.
    pub(super) fn note_refusal(
        &mut self,
        now: Time,
        at: usize,
        stream: StreamId,
        seq: u64,
        limit: u64,
    ) {
        let topic = self.publications.get(&stream).map(|it| it.topic.arc());
        let reader = self.peers.get(at).and_then(Option::as_ref).map(|peer| peer.key.id);
        if let (Some(topic), Some(reader)) = (topic, reader) {
            let at_writer = format!("a larger message, number {seq}");
            let at_reader = format!("max_message {limit} B");
            let note = StreamNote {
                reason: Some(Reason::Policy),
                limit: "max_message",
                limit_value: limit,
                at_writer,
                at_reader,
                seq,
            };
            self.failures.stream(now, reader, &topic, note);
        }
    }

    /// A handshake did not become a session.
    pub(super) fn note_refused(
        &mut self,
        now: Time,
        id: EndpointId,
        addr: SocketAddr,
        reason: Reason,
    ) {
        self.failures.refused(now, id, Some(addr), reason);
    }

    /// The stamp of a handshake did not rise: what its clock is off by, if it is that.
    pub(super) fn note_stale(
        &mut self,
        now: Time,
        id: EndpointId,
        addr: SocketAddr,
        stamp_ns: u64,
    ) {
        let ours = i128::from(self.wall.micros(now)) / 1_000;
        let skew = i128::from(stamp_ns / 1_000_000) - ours;
        let note = self.failures.refused(now, id, Some(addr), Reason::Clock);
        note.skew_ms = i64::try_from(skew).ok();
    }

    /// A session stands.
    pub(super) fn note_met(
        &mut self,
        now: Time,
        key: EndpointKey,
        addr: SocketAddr,
        params: &Params,
    ) {
        let ours = self.wall.micros(now) / 1_000;
        let skew = i128::from(params.wall_ms) - i128::from(ours);
        let skew = i64::try_from(skew).ok().filter(|_| params.wall_ms > 0);
        self.failures.met(now, key.id, addr, skew, params.versions);
        self.offence(now, key, Offence::Flapping, 1);
    }
}
