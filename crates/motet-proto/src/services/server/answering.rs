//! Answers → those who wait for them, and the cache.

use super::*;

impl Servers {
    /// Sends an answer, or a part of it, to all who wait for it.
    pub(in crate::services) fn respond(
        &mut self,
        now: Time,
        number: RequestId,
        mut reply: ReplySpec,
        max_message: u64,
        tally: &mut Tally,
    ) -> Result<(), RespondError> {
        check_reply(&reply, max_message)?;
        let accepted = self.accepted.get_mut(&number).ok_or(RespondError::Gone)?;
        let started = accepted.started.ok_or(RespondError::Gone)?;
        let took = now.since(started);
        if !reply.last {
            let full = accepted.waiters.iter().any(|waiter| {
                self.replies
                    .get(&waiter.client)
                    .is_some_and(|waiting| waiting.bytes >= PART_BYTES_MAX)
            });
            if full {
                return Err(RespondError::Full);
            }
            if accepted.waiters.is_empty() && accepted.deed.is_none() {
                return Err(RespondError::Gone);
            }
        }
        reply.text.truncate(floor(&reply.text, wire::MAX_STATUS_TEXT));
        let part = accepted.parts;
        accepted.parts += 1;
        let (waiters, keyed) = (accepted.waiters.clone(), accepted.deed.is_some());
        let serving = self.serving.get_mut(&accepted.serving);
        let room = serving.as_ref().map_or(0, |serving| serving.settings.cache_bytes);
        if keyed {
            let held = accepted.kept.iter().map(size).sum::<usize>() + size(&reply);
            if held <= room && !accepted.overfull {
                accepted.kept.push(reply.clone());
            } else {
                accepted.kept.clear();
                accepted.overfull = true;
            }
        }
        let backlog = serving.map_or(0, |serving| serving.backlog() - u64::from(reply.last));
        let head = Head { part, took, backlog, cached: false };
        for waiter in &waiters {
            self.send(*waiter, &reply, head, tally);
        }
        if reply.last {
            self.finish(now, number, &reply, took, tally);
        }
        if waiters.is_empty() { Err(RespondError::Gone) } else { Ok(()) }
    }

    pub(super) fn finish(
        &mut self,
        now: Time,
        number: RequestId,
        reply: &ReplySpec,
        took: Duration,
        tally: &mut Tally,
    ) {
        let Some(accepted) = self.forget(number) else { return };
        let Some(serving) = self.serving.get_mut(&accepted.serving) else { return };
        serving.running -= 1;
        match reply.status {
            ServiceStatus::Ok => serving.stats.answered += 1,
            _ => serving.stats.failed += 1,
        }
        serving.stats.busy_us += u64::try_from(took.as_micros()).unwrap_or(u64::MAX >> 8);
        // What was not begun is begun by whoever asks again.
        if let Some(deed) = accepted.deed.filter(|_| !reply.status.not_begun()) {
            // No shorter than anybody may ask again (V-21).
            let until = (now + serving.settings.cache_for).max(accepted.request.deadline);
            let kept = if accepted.overfull { Vec::new() } else { accepted.kept };
            serving.cache.put(now, deed, kept, until);
            tally.replies_forgotten += core::mem::take(&mut serving.cache.forgotten);
        }
        self.ready(accepted.serving);
    }

    /// One more who waits for a deed that waits or runs already.
    pub(super) fn attach(&mut self, number: RequestId, waiter: Waiter, tally: &mut Tally) {
        let Some(accepted) = self.accepted.get_mut(&number) else { return };
        accepted.waiters.push(waiter);
        self.by_call.insert(waiter.id(), number);
        let head = |part| Head { part, took: Duration::ZERO, backlog: 0, cached: false };
        let parts = accepted.kept.clone();
        for (part, reply) in parts.iter().enumerate() {
            self.send(waiter, reply, head(part as u64), tally);
        }
    }

    /// Answers from what was kept.
    pub(super) fn replay(&mut self, id: ServeId, waiter: Waiter, kept: &Kept, tally: &mut Tally) {
        let backlog = self.serving.get(&id).map_or(0, Serving::backlog);
        let head = |part| Head { part, took: Duration::ZERO, backlog, cached: true };
        match kept {
            Kept::Answer(parts) if !parts.is_empty() => {
                for (part, reply) in parts.iter().enumerate() {
                    self.send(waiter, reply, head(part as u64), tally);
                }
            }
            _ => {
                let text = "it was done before; its answer is no longer kept".to_owned();
                let status = ServiceStatus::Unknown;
                let reply = ReplySpec { status, text, ..ReplySpec::default() };
                self.send(waiter, &reply, head(0), tally);
            }
        }
    }

    pub(super) fn say_no(
        &mut self,
        waiter: Waiter,
        status: ServiceStatus,
        text: &str,
        tally: &mut Tally,
    ) {
        let reply = ReplySpec { status, text: text.to_owned(), ..ReplySpec::default() };
        let head = Head { part: 0, took: Duration::ZERO, backlog: 0, cached: false };
        self.send(waiter, &reply, head, tally);
    }

    pub(super) fn send(
        &mut self,
        Waiter { client, call, attempt }: Waiter,
        reply: &ReplySpec,
        head: Head,
        tally: &mut Tally,
    ) {
        let properties = reply.properties.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let message = wire::Reply {
            incarnation: client.incarnation,
            call,
            attempt,
            part: head.part,
            last: reply.last,
            cached: head.cached,
            status: reply.status,
            code: reply.code.min(motet_wire::codec::MAX_VI),
            took_us: u64::try_from(head.took.as_micros()).unwrap_or(0),
            backlog: head.backlog,
            text: &reply.text,
            properties: properties.collect(),
            frames: reply.frames.iter().map(|frame| &frame[..]).collect(),
        };
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.push_reply(client, bytes, tally);
    }

    /// Puts a message in the queue for a caller.
    pub(in crate::services) fn push_reply(
        &mut self,
        client: EndpointKey,
        bytes: Vec<u8>,
        tally: &mut Tally,
    ) {
        let waiting = self.replies.entry(client).or_default();
        if !waiting.queue.is_empty() && waiting.bytes + bytes.len() > REPLY_BYTES_MAX {
            tally.replies_dropped += 1;
            return;
        }
        waiting.bytes += bytes.len() + 64;
        waiting.queue.push_back(bytes);
        self.dirty.insert(client);
    }

    /// The first message that waits for a caller.
    pub(in crate::services) fn peek_reply(&self, client: EndpointKey) -> Option<&[u8]> {
        self.replies.get(&client)?.queue.front().map(Vec::as_slice)
    }

    /// It was sent, or cannot be.
    pub(in crate::services) fn pop_reply(&mut self, client: EndpointKey) {
        let Some(waiting) = self.replies.get_mut(&client) else { return };
        if let Some(bytes) = waiting.queue.pop_front() {
            waiting.bytes -= bytes.len() + 64;
        }
        if waiting.queue.is_empty() {
            self.replies.remove(&client);
        }
    }
}
