//! What servers say → calls.

use super::*;

impl Callers {
    /// A reply from a server, or part of one.
    pub(in crate::services) fn on_reply(
        &mut self,
        now: Time,
        from: EndpointKey,
        bytes: &Bytes,
        reply: &wire::Reply<'_>,
        cx: &mut Cx<'_>,
    ) {
        let Cx { directory, tally, rng } = cx;
        self.on_life(now, from, directory);
        let id = reply.call;
        let known = self
            .calls
            .get_mut(&id)
            .filter(|_| reply.incarnation == self.own.incarnation)
            .filter(|call| call.from.is_none_or(|answering| answering == from));
        // V-23: only from whom this very call was given to.
        let Some(call) = known else { return self.unexpected(from, reply, tally) };
        let service = call.service.clone();
        let Some(target) = call.target(from).filter(|it| !it.over && it.sent.is_some()) else {
            return self.unexpected(from, reply, tally);
        };
        if reply.part < target.next_part {
            tally.replies_duplicate += 1;
            return;
        }
        if reply.part > target.next_part {
            let text = "parts of the answer are missing".to_owned();
            let status = ServiceStatus::BadRequest;
            let kind = FailureKind::Status { from, status, code: 0, text };
            return self.end_failed(now, id, kind, directory);
        }
        if reply.status.not_begun() && reply.attempt < target.attempt {
            // V-14: an attempt that left later may be begun yet.
            tally.replies_duplicate += 1;
            return;
        }
        tally.replies_received += 1;
        target.next_part += 1;
        if reply.last {
            target.over = true;
            let sent = target.sent;
            let pace = directory.instance(&service, from).map(|it| &mut it.pace);
            if let Some(pace) = pace.filter(|_| !reply.status.not_begun() && !reply.cached) {
                let round = sent.map_or(0, |sent| now.since(sent).as_micros());
                let took = reply.took_us.min(u64::try_from(round).unwrap_or(u64::MAX));
                pace.on_answer(now, took, reply.backlog);
            }
            self.release(from, id, &service, directory);
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        let mode = call.spec.settings.mode;
        let survey = matches!(mode, Mode::All(_));
        if reply.last && reply.status != ServiceStatus::Ok && !survey {
            return self.on_no(now, from, reply, directory, rng);
        }
        let reply = owned(from, bytes, reply);
        call.out_bytes += size(&reply);
        if call.out_bytes > call.spec.settings.reply_bytes {
            return self.end_failed(now, id, FailureKind::TooLarge, directory);
        }
        if survey {
            call.answered += usize::from(reply.last);
            self.put(id, CallOutput::Part(reply));
            return self.survey_over(now, id, directory);
        }
        if reply.last {
            self.end(now, id, CallOutput::Done(reply), directory);
        } else {
            call.from = Some(from);
            self.put(id, CallOutput::Part(reply));
            // Who answers in parts has until the deadline.
            let until = call_deadline(&mut self.calls, id, from);
            if until {
                self.rearm(id, directory);
            }
        }
    }

    /// The last word of an instance is not `Ok`.
    pub(super) fn on_no(
        &mut self,
        now: Time,
        from: EndpointKey,
        reply: &wire::Reply<'_>,
        directory: &mut Directory,
        rng: &mut Rng,
    ) {
        let id = reply.call;
        let Some(call) = self.calls.get_mut(&id) else { return };
        let status = reply.status;
        let (code, text) = (reply.code, reply.text.to_owned());
        let kind = FailureKind::Status { from, status, code, text };
        call.failed.insert(from);
        call.said = Some(kind.clone());
        match call.spec.settings.mode {
            Mode::First(_) => {
                if !call.is_asking() {
                    self.end_failed(now, id, kind, directory);
                }
            }
            Mode::Ordered(_) if status.not_begun() => {
                let service = call.service.clone();
                let entry = directory.service(now, &service);
                let others = entry.candidates(now, &call.spec.settings, &BTreeSet::new());
                let given = |key| call.targets.iter().any(|target| target.key == key);
                if others.iter().any(|it| !given(it.key)) {
                    self.again(now, id, directory);
                } else if call.attempts < u64::from(call.spec.settings.tries) {
                    self.pause(now, id, directory, rng);
                } else {
                    self.end_failed(now, id, kind, directory);
                }
            }
            Mode::One if status.not_begun() && call.is_asking() => {}
            Mode::One if status.not_begun() => {
                // V-14: what was not begun may be begun elsewhere, whatever it is.
                let service = call.service.clone();
                if status == ServiceStatus::Unavailable || status == ServiceStatus::UnknownService {
                    // What it said of itself is out of date; the news is on its way.
                    if let Some(instance) = directory.instance(&service, from) {
                        instance.pace.on_failure(now);
                    }
                }
                let entry = directory.service(now, &service);
                let others = entry.candidates(now, &call.spec.settings, &call.failed);
                let rest = || others.iter().filter(|it| !call.failed.contains(&it.key));
                // One that has no credit now is waited for, but not without a pause in which the
                // others are left alone.
                let other = rest().any(|it| (it.pace.outstanding as u64) < it.offer.credit);
                let busy = rest().next().is_some();
                let stale = status == ServiceStatus::Unavailable;
                let nobody = status == ServiceStatus::NoWorkers;
                if other {
                    self.again(now, id, directory);
                } else if nobody || call.spec.settings.wait == WaitFor::Nothing {
                    self.end_failed(now, id, kind, directory);
                } else if busy || stale || call.pauses + 1 < call.spec.settings.tries {
                    self.pause(now, id, directory, rng);
                } else {
                    self.end_failed(now, id, kind, directory);
                }
            }
            _ => self.end_failed(now, id, kind, directory),
        }
    }

    /// A reply that nobody asked for, or that comes too late.
    pub(super) fn unexpected(
        &mut self,
        from: EndpointKey,
        reply: &wire::Reply<'_>,
        tally: &mut Tally,
    ) {
        tally.replies_unexpected += 1;
        // Whoever still sends parts is told that nobody wants them.
        if !reply.last && reply.part.is_multiple_of(16) && reply.incarnation == self.own.incarnation
        {
            self.say_cancel(from, reply.call);
        }
    }

    /// Any message of a server is a sign of life (V-32).
    pub(in crate::services) fn on_life(
        &mut self,
        now: Time,
        from: EndpointKey,
        directory: &mut Directory,
    ) {
        if let Some(link) = self.links.get_mut(&from) {
            link.heard = now;
            if core::mem::take(&mut link.silent) {
                self.links_due = self.links_due.min(now + link.ttl / 3);
            }
        }
        if directory.on_life(now, from) {
            for service in directory.of(from) {
                self.feed.insert(service);
            }
        }
    }

    pub(in crate::services) fn on_pong(
        &mut self,
        now: Time,
        from: EndpointKey,
        pong: wire::Pong<'_>,
        directory: &mut Directory,
    ) {
        self.on_life(now, from, directory);
        let asked = self.pings.get_mut(&pong.token).filter(|(id, _)| *id == from.id);
        if let Some((_, answer)) = asked
            && answer.is_none()
        {
            *answer = Some(pong.standing);
            self.answered_pings.push_back(pong.token);
        }
    }
}
