//! Requests → accepted or refused.

use super::*;
use crate::wanted::{groups, version_fits};

impl Servers {
    /// Takes a request. What is wrong with it is said to its caller.
    pub(in crate::services) fn on_request(
        &mut self,
        now: Time,
        from: EndpointKey,
        from_name: &Arc<str>,
        bytes: &Bytes,
        request: &wire::Request<'_>,
        tally: &mut Tally,
    ) {
        let waiter = Waiter { client: from, call: request.call, attempt: request.attempt };
        if request.incarnation != from.incarnation {
            tally.service_malformed += 1;
            return;
        }
        if request.server != self.own.incarnation {
            // V-12
            let text = "the instance that was meant is gone; this one began later";
            return self.refuse(waiter, request.service, ServiceStatus::Unavailable, text, tally);
        }
        let Some(id) = self.by_name.get(request.service).copied() else {
            let text = format!("{:?} is not offered here", request.service);
            return self.refuse(
                waiter,
                request.service,
                ServiceStatus::UnknownService,
                &text,
                tally,
            );
        };
        if let Some(number) = self.by_call.get(&waiter.id()) {
            // Sent again while the first one waits or runs: that one is answered (V-22).
            tally.requests_repeated += 1;
            let known = self.accepted.get_mut(number).into_iter().flat_map(|it| &mut it.waiters);
            for known in known.filter(|known| known.id() == waiter.id()) {
                known.attempt = known.attempt.max(waiter.attempt);
            }
            if let Some(serving) = self.serving.get_mut(&id) {
                serving.stats.repeated += 1;
            }
            return;
        }
        let Some(serving) = self.serving.get_mut(&id) else { return };
        let origin = request.hops.first().copied().unwrap_or(from.id);
        let origin = if crate::planted::on("reply_cache_without_client") {
            self.own.id
        } else {
            origin // V-20
        };
        let deed = request.key.map(|key| (origin, bytes.slice_ref(key)));
        if let Some(deed) = &deed {
            // V-22
            if let Some(kept) = serving.cache.get(now, deed).cloned() {
                serving.stats.repeated += 1;
                tally.requests_repeated += 1;
                return self.replay(id, waiter, &kept, tally);
            }
            if let Some(running) = serving.deeds.get(deed).copied()
                && !crate::planted::on("work_given_twice")
            {
                serving.stats.repeated += 1;
                tally.requests_repeated += 1;
                return self.attach(running, waiter, tally);
            }
            if !serving.promises.allow(now, deed, from, request.attempt)
                && !crate::planted::on("promise_broken")
            {
                // V-41
                let text = "a later attempt at this key has asked, and goes elsewhere";
                let status = ServiceStatus::Unavailable;
                return self.refuse(waiter, request.service, status, text, tally);
            }
        }
        let broker = serving.settings.role == Role::Broker;
        let fits = broker || version_fits(&serving.settings.version, request.version);
        let meant = match &request.address {
            Address::Any => true,
            Address::Endpoint(id) => *id == self.own.id || broker,
            Address::Group(group) => {
                broker || groups(&serving.settings.metadata).any(|it| it == *group)
            }
        };
        if serving.state != InstanceState::Up {
            // V-30
            let (state, reason) = (serving.state.as_str(), serving.reason.clone());
            let text = if reason.is_empty() { state.into() } else { format!("{state}: {reason}") };
            return self.refuse(waiter, request.service, ServiceStatus::Unavailable, &text, tally);
        }
        if !fits || !meant {
            let text = "this instance is not of the version, endpoint or group that was meant";
            return self.refuse(waiter, request.service, ServiceStatus::Unavailable, text, tally);
        }
        let deadline = Time(request.deadline_us.saturating_mul(1_000));
        if deadline <= now {
            // V-16
            tally.requests_expired += 1;
            let text = "the request came after its deadline, and was not begun";
            return self.refuse(
                waiter,
                request.service,
                ServiceStatus::DeadlinePassed,
                text,
                tally,
            );
        }
        let size = bytes.len();
        if serving.is_full(size) {
            self.drop_expired(now, id, tally);
        }
        let Some(serving) = self.serving.get_mut(&id) else { return };
        if serving.is_full(size) {
            // V-18
            let text = format!("{} requests wait, {} run", serving.queue.len(), serving.running);
            return self.refuse(waiter, request.service, ServiceStatus::Overload, &text, tally);
        }
        let number = RequestId(self.next_request);
        self.next_request += 1;
        // V-4: all of them, whatever they mean.
        let properties = request.properties.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        let request = ServiceRequest {
            id: number,
            service: serving.name.clone(),
            client: from,
            client_name: from_name.clone(),
            call: request.call,
            attempt: request.attempt,
            key: deed.as_ref().map(|(_, key)| key.clone()),
            address: match &request.address {
                Address::Any => Address::Any,
                Address::Endpoint(id) => Address::Endpoint(*id),
                Address::Group(group) => Address::Group((*group).into()),
            },
            version: request.version.into(),
            deadline,
            hops: request.hops.clone(),
            properties: properties.collect(),
            frames: request.frames.iter().map(|frame| bytes.slice_ref(frame)).collect(),
        };
        serving.queue.push_back(number);
        serving.queue_bytes += size;
        serving.stats.accepted += 1;
        if let Some(deed) = &deed {
            serving.deeds.insert(deed.clone(), number);
        }
        tally.requests_accepted += 1;
        self.by_call.insert(waiter.id(), number);
        let accepted = Accepted {
            serving: id,
            request,
            bytes: size,
            started: None,
            waiters: [waiter].into(),
            deed,
            parts: 0,
            kept: Vec::new(),
            overfull: false,
        };
        self.accepted.insert(number, Box::new(accepted));
        self.ready(id);
    }

    pub(super) fn refuse(
        &mut self,
        waiter: Waiter,
        service: &str,
        status: ServiceStatus,
        text: &str,
        tally: &mut Tally,
    ) {
        tally.requests_refused += 1;
        let serving = self.by_name.get(service).and_then(|id| self.serving.get_mut(id));
        if let Some(serving) = serving {
            serving.stats.refused += 1;
        }
        self.say_no(waiter, status, text, tally);
    }

    /// Answers what could not be read at all (V-3).
    pub(in crate::services) fn on_broken(
        &mut self,
        from: EndpointKey,
        bytes: &[u8],
        why: motet_wire::Malformed,
        tally: &mut Tally,
    ) {
        tally.service_malformed += 1;
        if let Some((incarnation, call, attempt)) = wire::Request::correlation(bytes)
            && incarnation == from.incarnation
        {
            tally.requests_refused += 1;
            let text = format!("the request breaks the protocol: {why}");
            let waiter = Waiter { client: from, call, attempt };
            self.say_no(waiter, ServiceStatus::BadRequest, &text, tally);
        }
    }

    /// The caller no longer wants it (V-24).
    pub(in crate::services) fn on_cancel(
        &mut self,
        from: EndpointKey,
        call: u64,
        tally: &mut Tally,
    ) {
        if let Some(waiter) = self.drop_waiter((from, call), tally) {
            self.say_no(waiter, ServiceStatus::Cancelled, "cancelled by the caller", tally);
        }
    }

    /// A caller is gone: nobody waits for its answers.
    pub(in crate::services) fn on_client_gone(&mut self, client: EndpointKey, tally: &mut Tally) {
        let last = (client, u64::MAX);
        let calls: Vec<_> = self.by_call.range((client, 0)..=last).map(|(of, _)| *of).collect();
        for waiter in calls {
            self.drop_waiter(waiter, tally);
        }
        if let Some(waiting) = self.replies.remove(&client) {
            tally.replies_dropped += waiting.queue.len() as u64;
        }
        self.dirty.remove(&client);
    }

    /// One who waited no longer does.
    pub(super) fn drop_waiter(
        &mut self,
        of: (EndpointKey, u64),
        tally: &mut Tally,
    ) -> Option<Waiter> {
        let number = self.by_call.remove(&of)?;
        let accepted = self.accepted.get_mut(&number)?;
        let at = accepted.waiters.iter().position(|each| each.id() == of)?;
        let waiter = accepted.waiters.remove(at);
        if !accepted.waiters.is_empty() {
            return Some(waiter);
        }
        tally.requests_cancelled += 1;
        if accepted.started.is_some() {
            self.notices.push_back(ServerNotice::Cancelled(number));
            return Some(waiter);
        }
        let id = accepted.serving;
        if let Some(serving) = self.serving.get_mut(&id) {
            serving.queue.retain(|queued| *queued != number);
            serving.stats.refused += 1;
        }
        self.forget(number);
        Some(waiter)
    }

    /// Takes a request out of all tables.
    pub(super) fn forget(&mut self, number: RequestId) -> Option<Box<Accepted>> {
        let accepted = self.accepted.remove(&number)?;
        for waiter in &accepted.waiters {
            self.by_call.remove(&waiter.id());
        }
        if let Some(serving) = self.serving.get_mut(&accepted.serving) {
            if accepted.started.is_none() {
                serving.queue_bytes -= accepted.bytes;
            }
            if let Some(deed) = &accepted.deed {
                serving.deeds.remove(deed);
            }
        }
        Some(accepted)
    }

    pub(super) fn drop_expired(&mut self, now: Time, id: ServeId, tally: &mut Tally) {
        let Some(serving) = self.serving.get_mut(&id) else { return };
        let table = &self.accepted;
        let late = |number: &RequestId| {
            table.get(number).is_none_or(|accepted| accepted.request.deadline <= now)
        };
        let queue = core::mem::take(&mut serving.queue).into_iter();
        let (gone, kept): (Vec<RequestId>, Vec<RequestId>) = queue.partition(late);
        serving.queue = kept.into();
        for number in gone {
            tally.requests_expired += 1;
            let text = "the request waited until its deadline, and was not begun";
            self.turn_away(number, ServiceStatus::DeadlinePassed, text, tally);
        }
    }

    /// Refuses one that waited; it is in no queue any more.
    pub(super) fn turn_away(
        &mut self,
        number: RequestId,
        status: ServiceStatus,
        text: &str,
        tally: &mut Tally,
    ) {
        let Some(accepted) = self.forget(number) else { return };
        tally.requests_refused += 1;
        if let Some(serving) = self.serving.get_mut(&accepted.serving) {
            serving.stats.refused += 1;
        }
        for waiter in accepted.waiters {
            self.say_no(waiter, status, text, tally);
        }
    }
}
