//! The sockets of an endpoint, and sending by them.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use motet_net::{
    Class, Datagram, Ecn, Interface, InterfacePattern, MulticastSocket, SendError, UnicastSocket,
};
use motet_proto::{HostEvent, InterfaceInfo, Transmit, TxBatch, Via};

use super::core::Core;
use super::lanes::Lanes;
use crate::impair::{Dice, Impairment};

/// Which interfaces and groups an endpoint uses.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) pattern: InterfacePattern,
    /// Loopback only.
    pub(crate) host_only: bool,
    pub(crate) group_v4: Option<SocketAddr>,
    pub(crate) group_v6: Option<SocketAddr>,
}

impl Plan {
    /// Whether there is a group of either family.
    pub(crate) fn multicast(&self) -> bool {
        self.group_v4.is_some() || self.group_v6.is_some()
    }
}

/// The sockets, shared by whoever sends.
pub(crate) struct Sockets {
    pub(crate) unicast: Arc<UnicastSocket>,
    pub(crate) plan: Plan,
    pub(crate) lanes: Lanes,
    groups: RwLock<Vec<Arc<MulticastSocket>>>,
}

impl Sockets {
    pub(crate) fn new(unicast: UnicastSocket, plan: Plan) -> Self {
        let (lanes, groups) = (Lanes::default(), RwLock::default());
        Self { unicast: Arc::new(unicast), plan, lanes, groups }
    }

    pub(crate) fn groups(&self) -> Vec<Arc<MulticastSocket>> {
        self.groups.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The interfaces in use now.
    pub(crate) fn interfaces(&self) -> std::io::Result<Vec<Interface>> {
        let mut all = motet_net::interfaces()?;
        all.retain(|interface| {
            // Loopback always: endpoints of one host meet there whatever else is excluded.
            interface.up
                && (interface.loopback
                    || !self.plan.host_only && self.plan.pattern.matches(&interface.name))
        });
        Ok(all)
    }

    /// Opens the groups of interfaces that are new or have another address, closes those that are
    /// gone, and says what there is: the interfaces, then each lane that is heard no more, or again.
    pub(crate) fn refresh(&self) -> std::io::Result<(Vec<InterfaceInfo>, Vec<HostEvent>)> {
        let interfaces = self.interfaces()?;
        let old = self.groups();
        let mut groups = Vec::new();
        let infos = interfaces
            .iter()
            .map(|interface| {
                let mut join = |group: Option<SocketAddr>| {
                    let socket = group.and_then(|group| group_socket(interface, group, &old));
                    let open = socket.is_some();
                    groups.extend(socket);
                    open
                };
                let multicast = (join(self.plan.group_v4), join(self.plan.group_v6));
                describe(interface, multicast)
            })
            .collect();
        *self.groups.write().unwrap_or_else(PoisonError::into_inner) = groups;
        Ok((infos, self.lanes.refresh(&interfaces)))
    }

    fn group(&self, iface: u32, v6: bool) -> Option<Arc<MulticastSocket>> {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        let wanted = groups.iter().find(|s| s.iface() == iface && s.group().is_ipv6() == v6);
        wanted.map(Arc::clone)
    }
}

fn group_socket(
    interface: &Interface,
    group: SocketAddr,
    old: &[Arc<MulticastSocket>],
) -> Option<Arc<MulticastSocket>> {
    let kept = old.iter().find(|socket| {
        socket.iface() == interface.index
            && socket.group().ip() == group.ip()
            && (group.is_ipv6() || socket.source() == interface.ipv4())
    });
    match kept {
        Some(socket) => Some(Arc::clone(socket)),
        // What is refused here (no address of the family, no permission) is found by `doctor`;
        // discovery has its other ways.
        None => MulticastSocket::open(interface, group).ok().map(Arc::new),
    }
}

fn describe(interface: &Interface, multicast: (bool, bool)) -> InterfaceInfo {
    InterfaceInfo {
        index: interface.index,
        name: interface.name.clone(),
        addresses: interface.subnets.clone(),
        mtu: interface.mtu,
        loopback: interface.loopback,
        multicast,
        class: match interface.class {
            Class::Wired => 1,
            Class::Wifi => 2,
            Class::Loopback => 3,
            _ => 0,
        },
    }
}

/// The one place that sends, behind its lock.
pub(crate) struct Tx {
    batch: TxBatch,
    /// What its socket did not take yet: the batch, from this byte on.
    rest: Option<(Transmit, usize)>,
    dice: Option<Dice>,
}

impl Tx {
    pub(crate) fn new(impairment: Impairment) -> Self {
        let dice = impairment.is_active().then(|| Dice::new(impairment, 1));
        Self { batch: TxBatch::new(), rest: None, dice }
    }

    /// Sends what the node has, but not more than one turn's worth.
    pub(crate) fn pump(&mut self, core: &Core) -> Pumped {
        for _ in 0..TRANSMITS_MAX {
            let (transmit, from) = match self.rest.take() {
                Some(rest) => rest,
                None => match core.pull(&mut self.batch) {
                    Some(transmit) => (transmit, 0),
                    None => return Pumped::All,
                },
            };
            let result = match (&mut self.dice, transmit.via) {
                (Some(dice), _) => send_impaired(dice, core, &transmit, &self.batch.bytes),
                (None, Via::Unicast) => {
                    send_unicast(core, &transmit, &self.batch.bytes[from..transmit.len])
                }
                (None, Via::Group { iface, v6 }) => {
                    send_group(core, iface, v6, &transmit, &self.batch.bytes[..transmit.len])
                }
                (None, Via::Lane { iface, v6, .. }) => {
                    send_lane(core, (iface, v6), &transmit, &self.batch.bytes[from..transmit.len])
                }
            };
            match result {
                Err(SendError::WouldBlock { sent })
                    if !matches!(transmit.via, Via::Group { .. }) =>
                {
                    self.rest = Some((transmit, from + sent));
                    return Pumped::Blocked(transmit.via);
                }
                Err(SendError::TooBig) => {
                    let Transmit { dst, segment, len, .. } = transmit;
                    let size = segment.min(len);
                    let event = HostEvent::TooBig { dst, size };
                    core.with(|inner, now| inner.node.handle_host(now, event));
                }
                Err(SendError::Unreachable(_)) => {
                    core.with(|inner, now| {
                        inner.node.handle_host(now, HostEvent::Unreachable(transmit.dst));
                    });
                }
                // Lost as on the wire: the core repairs what matters.
                Ok(()) | Err(_) => {}
            }
        }
        Pumped::More
    }
}

/// How a turn of sending ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pumped {
    /// The node has nothing more.
    All,
    /// This socket takes nothing now.
    Blocked(Via),
    /// There is more, for another turn: whoever published first is not to send for all others.
    More,
}

/// Transmits (64 KB each at most) of one turn.
const TRANSMITS_MAX: usize = 64;

fn send_unicast(core: &Core, transmit: &Transmit, contents: &[u8]) -> Result<(), SendError> {
    core.calls.sends.fetch_add(1, Ordering::Relaxed);
    core.sockets.unicast.try_send(&Datagram {
        dst: transmit.dst,
        src: transmit.src,
        ecn: Some(Ecn::Ect0),
        contents,
        segment: (transmit.segment < contents.len()).then_some(transmit.segment),
    })
}

fn send_lane(
    core: &Core,
    by: (u32, bool),
    transmit: &Transmit,
    contents: &[u8],
) -> Result<(), SendError> {
    core.calls.sends.fetch_add(1, Ordering::Relaxed);
    core.sockets.lanes.send(by, transmit, contents)
}

fn send_group(
    core: &Core,
    iface: u32,
    v6: bool,
    transmit: &Transmit,
    contents: &[u8],
) -> Result<(), SendError> {
    let Some(socket) = core.sockets.group(iface, v6) else { return Ok(()) };
    contents.chunks(transmit.segment.max(1)).try_for_each(|datagram| socket.try_send(datagram))
}

/// One by one, each with its fate. What would block is one more loss.
fn send_impaired(
    dice: &mut Dice,
    core: &Core,
    transmit: &Transmit,
    bytes: &[u8],
) -> Result<(), SendError> {
    let mut last = Ok(());
    for datagram in bytes[..transmit.len].chunks(transmit.segment.max(1)) {
        let fate = dice.fate();
        let mut datagram = datagram.to_vec();
        fate.bend(&mut datagram);
        for _ in 0..fate.copies {
            let sent = match transmit.via {
                Via::Unicast => send_unicast(core, transmit, &datagram),
                Via::Group { iface, v6 } => send_group(core, iface, v6, transmit, &datagram),
                Via::Lane { iface, v6, .. } => send_lane(core, (iface, v6), transmit, &datagram),
            };
            match sent {
                Ok(()) | Err(SendError::WouldBlock { .. }) => {}
                Err(error) => last = Err(error),
            }
        }
    }
    last
}
