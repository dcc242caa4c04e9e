//! Multicast of data: memberships, one queue at the sender, independent loss at each receiver,
//! switches that forget, and Wi-Fi.

use super::{Ev, World};
use crate::host::Iface;
use motet_proto::{HostAction, HostEvent, Node, RecvMeta, Time, Via};
use std::net::SocketAddr;
use std::time::Duration;

/// A host takes this long to join a group.
const JOIN: Duration = Duration::from_micros(200);
/// IP and UDP headers.
const HEADERS: usize = 28;

impl World {
    /// Changes the first interface of an endpoint's host, and tells all endpoints there.
    pub fn change_iface(&mut self, slot: usize, change: impl FnOnce(&mut Iface)) {
        let host = self.slots[slot].host;
        change(&mut self.hosts[host].ifaces[0]);
        let event = self.hosts[host].interfaces();
        for at in 0..self.slots.len() {
            if self.slots[at].host == host {
                self.push(self.now, Ev::Host { slot: at, event: event.clone() });
            }
        }
    }

    /// Does what a node wants of its host.
    pub(super) fn memberships(&mut self, slot: usize) {
        while let Some(action) = self.slots[slot].node.as_mut().and_then(Node::poll_host) {
            match action {
                HostAction::JoinLane { iface, lane, group } => {
                    let ok = !self.slots[slot].lanes_denied;
                    if ok {
                        let key = (iface, lane, group.is_ipv6());
                        let since = self.now;
                        self.slots[slot].lanes.insert(key, since);
                    }
                    let event = HostEvent::LaneJoined { iface, lane, ok };
                    self.push(self.now + JOIN, Ev::Host { slot, event });
                }
                HostAction::LeaveLane { iface, lane, group } => {
                    self.slots[slot].lanes.remove(&(iface, lane, group.is_ipv6()));
                }
            }
        }
    }

    /// What arrives at a starved endpoint, and its timers, come later by chance.
    pub(super) fn when_run(&self, slot: usize, at: Time) -> Time {
        let starved = self.slots[slot].starved;
        if starved.is_zero() || at == Time::NEVER {
            return at;
        }
        // The processor is given to it now and then: all that waited is handled at that moment.
        let turn = starved.as_nanos() as u64;
        Time(at.0.div_ceil(turn) * turn)
    }

    /// One datagram to all who receive a lane.
    pub(super) fn send_lane(
        &mut self,
        from: usize,
        (iface, lane, v6): (u32, u16, bool),
        dst: SocketAddr,
        bytes: &[u8],
    ) {
        self.traffic.packets += 1;
        self.traffic.bytes += bytes.len() as u64;
        self.traffic.lane_packets += 1;
        let host = self.slots[from].host;
        let out = self.hosts[host].ifaces.iter().find(|it| it.index == iface).copied();
        let Some(out) = out else {
            // Loopback: only this host hears it.
            for to in 0..self.slots.len() {
                let hears = self.slots[to].lanes.contains_key(&(iface, lane, v6));
                if iface == 1 && self.slots[to].host == host && hears {
                    let src = SocketAddr::from(([127, 0, 0, 1], self.slots[from].port));
                    let via = Via::Lane { iface, lane, v6 };
                    let meta = RecvMeta { src, dst: Some(dst.ip()), iface, ce: false, via };
                    self.fly((from, Some(to)), dst, meta, bytes);
                }
            }
            return;
        };
        if bytes.len() + HEADERS > out.mtu as usize {
            self.traffic.too_large += 1;
            let event = HostEvent::TooBig { dst, size: bytes.len() };
            self.push(self.now, Ev::Host { slot: from, event });
            return;
        }
        let Some(left) = self.leave(host, &out, bytes.len()) else {
            self.traffic.lost += 1;
            return;
        };
        self.air.leaves = left;
        for to in 0..self.slots.len() {
            let there = self.slots[to].host;
            let find = |it: &&Iface| it.segment == out.segment;
            let Some(into) = self.hosts[there].ifaces.iter().find(find).copied() else { continue };
            let member = self.slots[to].lanes.get(&(into.index, lane, v6)).copied();
            let Some(since) = member else { continue };
            let snooped = self.air.snooping.is_some_and(|after| self.now.since(since) >= after);
            if there != host && (snooped || self.lost_in_air(&out, &into)) {
                continue;
            }
            let src = SocketAddr::from((out.addr, self.slots[from].port));
            let via = Via::Lane { iface: into.index, lane, v6 };
            let meta = RecvMeta { src, dst: Some(dst.ip()), iface: into.index, ce: false, via };
            self.fly((from, Some(to)), dst, meta, bytes);
        }
    }

    /// Wi-Fi repairs unicast, but not multicast.
    fn lost_in_air(&mut self, out: &Iface, into: &Iface) -> bool {
        (out.wifi || into.wifi) && self.rng.unit() < self.air.wifi_loss
    }

    /// When a multicast has left its sender's queue: at the interface's rate, or on Wi-Fi at the
    /// basic rate of an air that all senders share. `None`: the queue is full.
    fn leave(&mut self, host: usize, out: &Iface, len: usize) -> Option<Time> {
        let rate = if out.wifi { Some(self.air.basic_rate) } else { self.link.rate };
        let Some(rate) = rate else { return Some(self.now) };
        let key = if out.wifi { (true, out.segment as usize) } else { (false, host) };
        let free = self.egress.entry(key).or_insert(Time::ZERO);
        let start = (*free).max(self.now);
        if start.since(self.now).as_secs_f64() * rate as f64 > self.link.queue as f64 {
            return None;
        }
        let nanos = (len + HEADERS) as u64 * 1_000_000_000 / rate.max(1);
        *free = start + Duration::from_nanos(nanos);
        Some(*free)
    }
}
