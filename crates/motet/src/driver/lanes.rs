//! The sockets of lanes: those that hear, one per lane and interface, and those that send, one per
//! interface and family. Which lanes are heard is the node's decision.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use motet_net::{Interface, LaneSender, LaneSocket, RecvBatch, SendError};
use motet_proto::{HostAction, HostEvent, Transmit, Via};

/// A lane that is heard on one interface. Dropped, it is left.
pub(crate) struct Lane {
    pub(crate) via: Via,
    socket: LaneSocket,
    /// Has something to be read, as far as the runtime told.
    ready: AtomicBool,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Lanes {
    table: RwLock<Table>,
    /// What the kernel dropped of lanes that are no longer heard.
    drops_gone: AtomicU64,
}

#[derive(Default)]
struct Table {
    /// As they were when somebody last looked.
    interfaces: Vec<Interface>,
    wanted: Vec<Wanted>,
    senders: Vec<Arc<LaneSender>>,
}

/// What the node wants to hear, and whether it does.
struct Wanted {
    iface: u32,
    lane: u16,
    group: SocketAddr,
    heard: Option<Arc<Lane>>,
}

impl Lanes {
    /// Does what the node asks for, and what it is to be told then.
    pub(crate) fn act(&self, action: &HostAction) -> Option<HostEvent> {
        let mut table = self.write();
        match *action {
            HostAction::JoinLane { iface, lane, group } => {
                let ok = table.join(iface, lane, group);
                Some(HostEvent::LaneJoined { iface, lane, ok })
            }
            HostAction::LeaveLane { iface, lane, group } => {
                let gone = |w: &Wanted| (w.iface, w.lane, w.group) == (iface, lane, group);
                for wanted in table.wanted.extract_if(.., |wanted| gone(wanted)) {
                    self.forget(wanted.heard);
                }
                None
            }
        }
    }

    /// Interfaces may have come, gone or changed their address: lanes are joined again, senders
    /// opened anew. What the node is to be told: every lane whose state has changed.
    pub(crate) fn refresh(&self, interfaces: &[Interface]) -> Vec<HostEvent> {
        let mut table = self.write();
        let table = &mut *table;
        interfaces.clone_into(&mut table.interfaces);
        let mut told = Vec::new();
        for wanted in &mut table.wanted {
            let before = wanted.heard.is_some();
            let interface = interfaces.iter().find(|each| each.index == wanted.iface);
            let stays = |lane: &Arc<Lane>| {
                interface.is_some_and(|each| {
                    wanted.group.is_ipv6() || lane.socket.source() == each.ipv4()
                })
            };
            if !wanted.heard.as_ref().is_some_and(stays) {
                self.forget(wanted.heard.take());
                wanted.heard = join(interfaces, wanted.iface, wanted.lane, wanted.group);
            }
            let (iface, lane, ok) = (wanted.iface, wanted.lane, wanted.heard.is_some());
            if ok != before {
                told.push(HostEvent::LaneJoined { iface, lane, ok });
            }
        }
        let senders = interfaces.iter().flat_map(|each| {
            let v4 = each.ipv4().map(|_| false);
            let v6 = each.has_ipv6().then_some(true);
            [v4, v6].into_iter().flatten().map(move |v6| (each, v6))
        });
        let old = std::mem::take(&mut table.senders);
        table.senders = senders.filter_map(|(interface, v6)| sender(interface, v6, &old)).collect();
        told
    }

    /// How an interface is called; its number if it has gone.
    pub(crate) fn interface_name(&self, iface: u32) -> String {
        let table = self.read();
        let named = table.interfaces.iter().find(|each| each.index == iface);
        named.map_or_else(|| iface.to_string(), |each| each.name.clone())
    }

    /// Those that are heard now.
    pub(crate) fn heard(&self) -> Vec<Arc<Lane>> {
        self.read().wanted.iter().filter_map(|wanted| wanted.heard.clone()).collect()
    }

    /// What the kernel dropped since the endpoint was opened because a receive buffer was full.
    pub(crate) fn kernel_drops(&self) -> u64 {
        let heard = self.heard().iter().map(|lane| lane.socket.kernel_drops()).sum::<u64>();
        heard + self.drops_gone.load(Ordering::Relaxed)
    }

    /// Sends whole runs, out of one interface.
    pub(crate) fn send(
        &self,
        (iface, v6): (u32, bool),
        transmit: &Transmit,
        contents: &[u8],
    ) -> Result<(), SendError> {
        let Some(sender) = self.sender(iface, v6) else {
            // The interface has gone a moment ago: readers miss the lane's heartbeat.
            return Err(SendError::Unreachable(io::ErrorKind::AddrNotAvailable.into()));
        };
        let segment = (transmit.segment < contents.len()).then_some(transmit.segment);
        sender.try_send(transmit.dst, contents, segment)
    }

    pub(crate) fn sender(&self, iface: u32, v6: bool) -> Option<Arc<LaneSender>> {
        let table = self.read();
        let wanted =
            table.senders.iter().find(|each| (each.iface(), each.is_ipv6()) == (iface, v6));
        wanted.map(Arc::clone)
    }

    fn forget(&self, lane: Option<Arc<Lane>>) {
        let drops = lane.map_or(0, |lane| lane.socket.kernel_drops());
        self.drops_gone.fetch_add(drops, Ordering::Relaxed);
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Whether it is heard now. What is refused is not kept: the node goes on by unicast, and asks
    /// again later.
    fn join(&mut self, iface: u32, lane: u16, group: SocketAddr) -> bool {
        let same = |w: &Wanted| (w.iface, w.lane, w.group) == (iface, lane, group);
        if self.wanted.iter().any(|wanted| same(wanted) && wanted.heard.is_some()) {
            return true;
        }
        self.wanted.retain(|wanted| !same(wanted));
        if self.wanted.len() >= LANE_SOCKETS_MAX {
            // Those that wait for their interface make room.
            self.wanted.retain(|wanted| wanted.heard.is_some());
        }
        if self.wanted.len() >= LANE_SOCKETS_MAX {
            return false;
        }
        let Some(heard) = join(&self.interfaces, iface, lane, group) else { return false };
        self.wanted.push(Wanted { iface, lane, group, heard: Some(heard) });
        true
    }
}

impl Lane {
    pub(crate) fn recv(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        self.socket.recv(batch)
    }

    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    pub(crate) fn take_ready(&self) -> bool {
        self.ready.swap(false, Ordering::Relaxed)
    }
}

impl AsRawFd for Lane {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// What is refused (no memory, no permission, no such interface now) leaves the node on unicast.
fn join(interfaces: &[Interface], iface: u32, lane: u16, group: SocketAddr) -> Option<Arc<Lane>> {
    let interface = interfaces.iter().find(|each| each.index == iface)?;
    let socket = LaneSocket::open(interface, group).ok()?;
    let via = Via::Lane { iface, lane, v6: group.is_ipv6() };
    Some(Arc::new(Lane { via, socket, ready: AtomicBool::new(true) }))
}

fn sender(interface: &Interface, v6: bool, old: &[Arc<LaneSender>]) -> Option<Arc<LaneSender>> {
    let kept = old.iter().find(|sender| {
        let same = (sender.iface(), sender.is_ipv6()) == (interface.index, v6);
        same && (v6 || sender.source() == interface.ipv4())
    });
    kept.map(Arc::clone).or_else(|| LaneSender::open(interface, v6).ok().map(Arc::new))
}

/// Lanes that one endpoint hears at most, over all interfaces: each takes a descriptor and up to 4
/// MiB of the kernel's memory while it is not read.
pub(crate) const LANE_SOCKETS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    fn lo() -> Interface {
        let all = motet_net::interfaces().unwrap();
        all.into_iter().find(|interface| interface.loopback).unwrap()
    }

    /// Lane `n` on a port that no endpoint uses.
    fn group(n: u16) -> SocketAddr {
        ([239, 192, 138, n.to_le_bytes()[0]], 37_318).into()
    }

    fn join(lanes: &Lanes, iface: u32, lane: u16, group: SocketAddr) -> bool {
        match lanes.act(&HostAction::JoinLane { iface, lane, group }) {
            Some(HostEvent::LaneJoined { iface: told, lane: which, ok }) => {
                assert_eq!((told, which), (iface, lane));
                ok
            }
            other => panic!("{other:?}"),
        }
    }

    fn told(events: &[HostEvent]) -> Vec<(u16, bool)> {
        let told = events.iter().map(|event| match event {
            HostEvent::LaneJoined { lane, ok, .. } => (*lane, *ok),
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    #[test]
    fn a_lane_is_joined_once_heard_and_left() {
        let (lanes, lo) = (Lanes::default(), lo());
        assert!(lanes.refresh(from_ref(&lo)).is_empty());
        let (iface, lane, group) = (lo.index, 7, group(7));
        assert!(join(&lanes, iface, lane, group) && join(&lanes, iface, lane, group));
        let heard = lanes.heard();
        assert_eq!(heard.len(), 1);
        assert_eq!(heard[0].via, Via::Lane { iface, lane, v6: false });
        let transmit = Transmit { via: heard[0].via, dst: group, src: None, len: 5, segment: 2 };
        lanes.send((iface, false), &transmit, b"hello").unwrap();
        let mut batch = RecvBatch::default();
        assert!(heard[0].take_ready() && heard[0].recv(&mut batch).unwrap() > 0);
        let datagrams: Vec<_> = batch.datagrams().map(|(_, datagram)| datagram).collect();
        assert_eq!(datagrams, [&b"he"[..], b"ll", b"o"]);
        assert!(lanes.act(&HostAction::LeaveLane { iface, lane, group }).is_none());
        assert!(lanes.heard().is_empty());
    }

    #[test]
    fn what_cannot_be_joined_is_answered_with_no() {
        let (lanes, lo) = (Lanes::default(), lo());
        lanes.refresh(from_ref(&lo));
        assert!(!join(&lanes, 4_000_000, 1, group(1)), "no such interface");
        assert!(!join(&lanes, lo.index, 1, ([127, 0, 0, 1], 37_318).into()), "no group");
        let unknown = Transmit {
            via: Via::Lane { iface: 4_000_000, lane: 1, v6: false },
            dst: group(1),
            src: None,
            len: 1,
            segment: 1,
        };
        assert!(matches!(
            lanes.send((4_000_000, false), &unknown, b"x"),
            Err(SendError::Unreachable(_))
        ));
    }

    #[test]
    fn lanes_beyond_the_bound_are_refused_until_others_are_left() {
        let (lanes, lo) = (Lanes::default(), lo());
        lanes.refresh(from_ref(&lo));
        // Groups on many ports: the bound counts sockets.
        let group = |n: usize| SocketAddr::new(group(3).ip(), 37_000 + n as u16);
        for n in 0..LANE_SOCKETS_MAX {
            assert!(join(&lanes, lo.index, 3, group(n)), "lane {n}");
        }
        assert!(!join(&lanes, lo.index, 3, group(LANE_SOCKETS_MAX)));
        lanes.act(&HostAction::LeaveLane { iface: lo.index, lane: 3, group: group(0) });
        assert!(join(&lanes, lo.index, 3, group(LANE_SOCKETS_MAX)));
        assert_eq!(lanes.heard().len(), LANE_SOCKETS_MAX);
    }

    #[test]
    fn a_lane_is_lost_with_its_interface_and_joined_again_when_it_is_back() {
        let (lanes, lo) = (Lanes::default(), lo());
        lanes.refresh(from_ref(&lo));
        assert!(join(&lanes, lo.index, 7, group(7)));
        let first = lanes.heard();
        assert!(lanes.refresh(from_ref(&lo)).is_empty());
        assert!(Arc::ptr_eq(&first[0], &lanes.heard()[0]), "nothing has changed");
        assert_eq!(told(&lanes.refresh(&[])), [(7, false)]);
        assert!(lanes.heard().is_empty() && lanes.sender(lo.index, false).is_none());
        assert_eq!(told(&lanes.refresh(from_ref(&lo))), [(7, true)]);
        assert!(lanes.sender(lo.index, false).is_some());

        // Another first address: a membership may have gone with the old one.
        let mut moved = lo.clone();
        moved.addresses.insert(0, std::net::Ipv4Addr::new(127, 0, 0, 2).into());
        let before = lanes.heard();
        assert!(lanes.refresh(&[moved]).is_empty(), "it was heard, and is");
        assert!(!Arc::ptr_eq(&before[0], &lanes.heard()[0]));
    }

    #[test]
    fn what_the_kernel_drops_is_counted_also_after_the_lane_was_left() {
        let (lanes, lo) = (Lanes::default(), lo());
        lanes.refresh(from_ref(&lo));
        let (iface, lane, group) = (lo.index, 9, group(9));
        assert!(join(&lanes, iface, lane, group));
        let via = Via::Lane { iface, lane, v6: false };
        let contents = [0; 60_000];
        let transmit = Transmit { via, dst: group, src: None, len: contents.len(), segment: 1_000 };
        while lanes.kernel_drops() == 0 {
            lanes.send((iface, false), &transmit, &contents).unwrap();
        }
        let drops = lanes.kernel_drops();
        lanes.act(&HostAction::LeaveLane { iface, lane, group });
        assert_eq!(lanes.kernel_drops(), drops);
    }
}
