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
                let table = &mut *table;
                let same = |w: &&Wanted| (w.iface, w.lane, w.group) == (iface, lane, group);
                let known = table.wanted.iter().find(same);
                let ok = match known {
                    Some(wanted) => wanted.heard.is_some(),
                    // The node goes on by unicast, and asks again later.
                    None if table.wanted.len() >= LANE_SOCKETS_MAX => false,
                    None => {
                        let heard = join(&table.interfaces, iface, lane, group);
                        let ok = heard.is_some();
                        table.wanted.push(Wanted { iface, lane, group, heard });
                        ok
                    }
                };
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
