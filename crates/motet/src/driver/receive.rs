//! From the sockets into the node.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use motet_net::{Ecn, Meta, MulticastSocket, RecvBatch};
use motet_proto::{InterfaceInfo, RecvMeta, Time, Via};

use super::core::Core;
use super::lanes::Lane;
use crate::impair::{Dice, Impairment};

/// Buffers of the receiving side, and the faults made there.
pub(crate) struct Receiver {
    batch: RecvBatch,
    /// Small runs are packed here one behind the other; each keeps the block as long as it is kept.
    block: BytesMut,
    dice: Option<Dice>,
    /// A datagram that comes after its successor, or at this time.
    late: Option<(Time, RecvMeta, BytesMut)>,
    behind: bool,
    interfaces: Vec<InterfaceInfo>,
}

impl Receiver {
    pub(crate) fn new(impairment: Impairment) -> Self {
        Self {
            batch: RecvBatch::default(),
            block: BytesMut::new(),
            dice: impairment.is_active().then(|| Dice::new(impairment, 0)),
            late: None,
            behind: false,
            interfaces: Vec::new(),
        }
    }

    /// Takes what the unicast socket has, but not more than one turn's worth.
    pub(crate) fn unicast(&mut self, core: &Core) {
        self.behind = (0..BATCHES_MAX).all(|_| self.batch(core) > 0 && self.batch.is_full());
    }

    /// Takes what a lane has, but not more than one turn's worth.
    pub(crate) fn lane(&mut self, core: &Core, lane: &Lane) {
        let more = |receiver: &mut Self| {
            receiver.batch_of(core, lane.via, |batch| lane.recv(batch)) > 0
                && receiver.batch.is_full()
        };
        if (0..BATCHES_MAX).all(|_| more(self)) {
            lane.set_ready();
            self.behind = true;
        }
    }

    /// Takes one batch, if the unicast socket has any: how many runs.
    pub(crate) fn batch(&mut self, core: &Core) -> usize {
        self.batch_of(core, Via::Unicast, |batch| core.sockets.unicast.recv(batch))
    }

    /// Takes one batch of the socket that is `via`, and by `recv`.
    fn batch_of(
        &mut self,
        core: &Core,
        via: Via,
        recv: impl FnOnce(&mut RecvBatch) -> io::Result<usize>,
    ) -> usize {
        // Others than `WouldBlock` are passing: what comes next makes it readable again.
        let Ok(filled) = recv(&mut self.batch) else { return 0 };
        core.calls.receives.fetch_add(1, Ordering::Relaxed);
        let mut runs = 0..filled;
        while !runs.is_empty() {
            // One hold of the lock for many datagrams, also where each is a run of its own.
            core.with(|inner, now| {
                let mut taken = 0;
                while taken < HOLD_MAX
                    && let Some((meta, mut run)) = runs.next().and_then(|index| self.run(index))
                {
                    let about = about(&meta, via);
                    while !run.is_empty() {
                        let datagram = match meta.stride.max(1) {
                            stride if stride < run.len() => run.split_to(stride),
                            _ => std::mem::take(&mut run),
                        };
                        let (dice, late) = (&mut self.dice, &mut self.late);
                        impaired(dice, late, now, about, datagram, |about, datagram| {
                            inner.node.handle_datagram(now, about, datagram);
                        });
                        taken += 1;
                    }
                }
            });
        }
        // Acknowledgements and repairs leave while the next batch arrives.
        core.flush();
        filled
    }

    /// One run of a batch. What fills at least half of its buffer stays there; less is copied, so
    /// that a message pins its own length and not a buffer.
    fn run(&mut self, index: usize) -> Option<(Meta, BytesMut)> {
        let (meta, run) = self.batch.runs().nth(index)?;
        if meta.len * 2 < RecvBatch::BUFFER {
            return Some((*meta, packed(&mut self.block, run)));
        }
        self.batch.take(index)
    }

    /// Takes what the socket of one group has.
    pub(crate) fn group(&mut self, core: &Core, socket: &Arc<MulticastSocket>) {
        let mut buffer = [0; GROUP_DATAGRAM_MAX];
        let (iface, v6) = (socket.iface(), socket.group().is_ipv6());
        for _ in 0..GROUP_DATAGRAMS_MAX {
            let Ok((len, src)) = socket.try_recv(&mut buffer) else { return };
            let dst = Some(socket.group().ip());
            let about = RecvMeta { src, dst, iface, ce: false, via: Via::Group { iface, v6 } };
            let datagram = packed(&mut self.block, &buffer[..len]);
            let (dice, late) = (&mut self.dice, &mut self.late);
            core.with(|inner, now| {
                impaired(dice, late, now, about, datagram, |about, datagram| {
                    inner.node.handle_datagram(now, about, datagram);
                });
            });
        }
        self.behind = true;
    }

    /// Whether a socket may have more.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind
    }

    /// The same, and forgets it.
    pub(crate) fn take_behind(&mut self) -> bool {
        std::mem::take(&mut self.behind)
    }

    /// Hands over what had no successor in time.
    pub(crate) fn release_late(&mut self, core: &Core, now: Time) {
        if self.late_due().is_some_and(|due| due <= now)
            && let Some((_, about, datagram)) = self.late.take()
        {
            core.with(|inner, now| inner.node.handle_datagram(now, about, datagram));
        }
    }

    pub(crate) fn late_due(&self) -> Option<Time> {
        self.late.as_ref().map(|(due, ..)| *due)
    }

    /// Whether these differ from those of the last call.
    pub(crate) fn interfaces_differ(&mut self, interfaces: &[InterfaceInfo]) -> bool {
        let differ = self.interfaces != interfaces;
        interfaces.clone_into(&mut self.interfaces);
        differ
    }
}

fn about(meta: &Meta, via: Via) -> RecvMeta {
    let Meta { src, dst, iface, ecn, .. } = *meta;
    RecvMeta { src, dst, iface, ce: ecn == Some(Ecn::Ce), via }
}

/// A copy, one behind the other.
fn packed(block: &mut BytesMut, datagram: &[u8]) -> BytesMut {
    if block.capacity() < datagram.len() && !block.try_reclaim(BLOCK) {
        *block = BytesMut::with_capacity(BLOCK);
    }
    block.extend_from_slice(datagram);
    block.split()
}

/// Gives `take` the datagram as often, as late and as whole as fate wants.
fn impaired(
    dice: &mut Option<Dice>,
    late: &mut Option<(Time, RecvMeta, BytesMut)>,
    now: Time,
    about: RecvMeta,
    mut datagram: BytesMut,
    mut take: impl FnMut(RecvMeta, BytesMut),
) {
    let Some(dice) = dice else { return take(about, datagram) };
    let fate = dice.fate();
    fate.bend(&mut datagram);
    if fate.late && late.is_none() && fate.copies > 0 {
        *late = Some((now + LATE, about, datagram));
        return;
    }
    for _ in 1..fate.copies {
        take(about, datagram.clone());
    }
    if fate.copies > 0 {
        take(about, datagram);
    }
    if let Some((_, about, datagram)) = late.take() {
        take(about, datagram);
    }
}

/// Room for two full runs. A message that is kept, keeps it.
const BLOCK: usize = 128 * 1024;
/// With so many datagrams, or a run (64 of them at most) more, the lock is let go.
const HOLD_MAX: usize = 64;
/// Batches (32 runs each at most) that one turn takes before others have theirs.
const BATCHES_MAX: usize = 4;
/// Datagrams of one group that one turn takes.
const GROUP_DATAGRAMS_MAX: usize = 256;
/// What is longer is no packet of discovery.
const GROUP_DATAGRAM_MAX: usize = 2_048;
/// How late a datagram without a successor is.
const LATE: Duration = Duration::from_millis(10);
