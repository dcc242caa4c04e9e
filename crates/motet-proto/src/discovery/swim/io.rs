//! What foca sees of the world and wants of it: the time, the table, timers, packets with names
//! instead of slots.

use super::doubt::ASK_EVERY;
use super::*;
use compact::Parts;
use foca::{Message, Notification, Runtime};

/// What happens later.
pub(super) enum Due {
    /// Something of foca's; our score when it was put in.
    Foca(Timer<Handle>, u32),
    /// The one that we suspect is told so and asked (M-6), as long as it has this count.
    Ask(Handle, u16),
}

/// What foca sees of the world, and what it wants of it.
pub(super) struct Io<N> {
    pub(super) now: Time,
    pub(super) me: SwimIdentity,
    /// Our own count, as foca last sent it.
    pub(super) count: u16,
    pub(super) table: Table<N>,
    pub(super) timers: BTreeMap<(Time, u64), Due>,
    pub(super) tie: u64,
    pub(super) out: VecDeque<SwimAction>,
    pub(super) health: Health,
    /// The probe under way: its number, whom, since when, and whether it was answered.
    pub(super) probe: Option<(u8, u32, Time)>,
    pub(super) defunct: bool,
    /// Whose packet is being taken.
    pub(super) sender: Option<(Handle, SwimIdentity)>,
    pub(super) limits: gate::Limits,
    pub(super) counts: SwimCounts,
}

impl<N: Default> Io<N> {
    pub(super) fn schedule(&mut self, timer: Timer<Handle>, after: Duration) {
        self.tie += 1;
        let score = self.health.score();
        self.timers.insert((self.now + after, self.tie), Due::Foca(timer, score));
    }

    /// Asks the one that we accuse, every second until it is decided: a life does not hang on a rumour
    /// that happens to pass us by.
    pub(super) fn ask(&mut self, suspect: Handle, count: u16) {
        if self.table.of(&suspect).is_some_and(|entry| entry.count == count)
            && self.ask_once(&suspect)
        {
            self.tie += 1;
            self.timers.insert((self.now + ASK_EVERY, self.tie), Due::Ask(suspect, count));
        }
    }

    /// Tells a suspect that it is one, and asks whether it is there: its answer refutes it. False if
    /// it is no suspect.
    pub(super) fn ask_once(&mut self, suspect: &Handle) -> bool {
        let Some(entry) = self.table.of(suspect) else { return false };
        if entry.state != SwimState::Suspect {
            return false;
        }
        let (identity, count, state) = (entry.identity(), entry.count, SwimState::Suspect);
        let packet = SwimPacket {
            src: self.me,
            src_count: self.count,
            dst: table::name(&identity),
            message: SwimMessage::Ping(0),
            updates: alloc::vec![SwimMember { identity, count, state }],
        };
        self.send(&identity, &packet);
        true
    }

    fn send(&mut self, to: &SwimIdentity, packet: &SwimPacket) {
        let mut bytes = Vec::with_capacity(128 + 50 * packet.updates.len());
        packet.encode(&mut bytes);
        self.counts.sent += 1;
        self.out.push_back(SwimAction::Send { dst: to.addr, to: to.key, bytes });
    }

    pub(super) fn answered(&mut self, number: u8, slot: u32) {
        if let Some((asked, whom, since)) = self.probe
            && (asked, whom) == (number, slot)
        {
            let rtt = self.now.since(since);
            if let Some(entry) = self.table.get_mut(slot) {
                entry.set_rtt(rtt);
            }
        }
    }

    fn tell(&mut self, slot: u32, state: SwimState) {
        let now = self.now;
        self.table.put(now, slot, state);
        if let Some(entry) = self.table.get(slot) {
            let (key, addr) = (entry.key(), entry.addr());
            self.out.push_back(SwimAction::State { key, addr, state });
        }
    }

    fn identity(&self, handle: &Handle) -> Option<SwimIdentity> {
        if handle.slot == ME {
            let ours = handle.incarnation == self.me.key.incarnation;
            return ours.then_some(SwimIdentity { generation: handle.generation, ..self.me });
        }
        self.table.of(handle).map(Entry::identity)
    }

    fn translate(&self, parts: &Parts, to: &SwimIdentity) -> Option<SwimPacket> {
        let header = &parts.header;
        let about = |handle: &Handle| self.identity(handle);
        let message = match &header.message {
            Message::Ping(n) => SwimMessage::Ping(*n),
            Message::Ack(n) => SwimMessage::Ack(*n),
            Message::PingReq { target, probe_number } => {
                SwimMessage::PingReq(about(target)?, *probe_number)
            }
            Message::IndirectPing { origin, probe_number } => {
                SwimMessage::IndirectPing(about(origin)?, *probe_number)
            }
            Message::IndirectAck { target, probe_number } => {
                SwimMessage::IndirectAck(about(target)?, *probe_number)
            }
            Message::ForwardedAck { origin, probe_number } => {
                SwimMessage::ForwardedAck(about(origin)?, *probe_number)
            }
            Message::Announce => SwimMessage::Announce,
            Message::Feed => SwimMessage::Feed,
            Message::Gossip => SwimMessage::Gossip,
            Message::TurnUndead => SwimMessage::TurnUndead,
            Message::Broadcast => return None,
        };
        let told = |member: &foca::Member<Handle>| {
            let state = match member.state() {
                foca::State::Alive => SwimState::Alive,
                foca::State::Suspect => SwimState::Suspect,
                foca::State::Down => SwimState::Down,
            };
            let identity = self.identity(member.id())?;
            Some(SwimMember { identity, count: member.incarnation(), state })
        };
        Some(SwimPacket {
            src: SwimIdentity { generation: header.src.generation, ..self.me },
            src_count: header.src_incarnation,
            dst: table::name(to),
            message,
            updates: parts.updates.iter().filter_map(told).collect(),
        })
    }
}

impl<N: Default> Runtime<Handle> for Io<N> {
    fn notify(&mut self, notification: Notification<'_, Handle>) {
        match notification {
            Notification::MemberUp(handle) => self.tell(handle.slot, SwimState::Alive),
            Notification::MemberDown(handle) => self.tell(handle.slot, SwimState::Down),
            Notification::Defunct => self.defunct = true,
            Notification::ProbeFailed(..) => {
                self.counts.probes_failed += 1;
                self.health.worse();
            }
            _ => {}
        }
    }

    fn send_to(&mut self, to: Handle, data: &[u8]) {
        let Some(parts) = compact::parts(data) else { return };
        let known = self.table.of(&to).map(|entry| (entry.identity(), entry.state));
        let undead = parts.header.message == Message::TurnUndead;
        if undead && known.is_some_and(|(_, state)| state != SwimState::Down) {
            return; // foca says it when a suspicion runs out, to those who refuted it, too (ADR 17)
        }
        let known = known.map(|(identity, _)| identity);
        let earlier = self.sender.filter(|(handle, _)| undead && *handle == to);
        let Some(identity) = known.or_else(|| earlier.map(|(_, identity)| identity)) else {
            return;
        };
        let Some(packet) = self.translate(&parts, &identity) else { return };
        if let SwimMessage::Ping(number) = packet.message {
            self.probe = Some((number, to.slot, self.now));
        }
        self.count = packet.src_count;
        self.send(&identity, &packet);
    }

    fn submit_after(&mut self, event: Timer<Handle>, after: Duration) {
        let after = match &event {
            Timer::ProbeRandomMember(_) | Timer::SendIndirectProbe { .. } => {
                self.health.stretched(after)
            }
            Timer::ChangeSuspectToDown { member_id, incarnation, .. } => {
                let (slot, suspect, count) = (member_id.slot, *member_id, *incarnation);
                self.tie += 1;
                self.timers.insert((self.now, self.tie), Due::Ask(suspect, count));
                if let Some(entry) = self.table.get_mut(slot) {
                    entry.count = *incarnation;
                }
                if self.table.get(slot).is_some_and(|entry| entry.state == SwimState::Alive) {
                    self.tell(slot, SwimState::Suspect);
                }
                // The probe that failed has just counted against us: as it began, we were better.
                let before = self.health.score().saturating_sub(1);
                after * (1 + before)
            }
            Timer::RemoveDown(_) => return, // our own list of the dead decides
            _ => after,
        };
        self.schedule(event, after);
    }
}
