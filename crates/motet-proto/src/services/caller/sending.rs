//! Calls, cancels and questions → messages.

use super::*;

impl Callers {
    pub(super) fn say_cancel(&mut self, to: EndpointKey, call: u64) {
        let mut bytes = Vec::new();
        wire::Cancel { incarnation: self.own.incarnation, call }.encode(&mut bytes);
        self.say(to, bytes);
    }

    pub(super) fn say_ping(&mut self, to: EndpointKey, token: u64, service: &str) {
        let mut bytes = Vec::new();
        wire::Ping { token, service }.encode(&mut bytes);
        self.say(to, bytes);
    }

    pub(super) fn say(&mut self, to: EndpointKey, bytes: Vec<u8>) {
        if let Some(link) = self.links.get_mut(&to)
            && link.control.len() < LANE_MAX
        {
            link.control.push_back(bytes);
            self.dirty.insert(to);
        }
    }

    /// Asks an instance how it stands.
    pub(in crate::services) fn ping(
        &mut self,
        now: Time,
        to: EndpointKey,
        service: &str,
    ) -> Result<u64, CallRefused> {
        check_service(service).map_err(CallRefused::Name)?;
        while self.pings.len() >= PINGS_MAX {
            self.pings.pop_first(); // nobody waits that long
        }
        let token = self.next_token;
        self.next_token += 1;
        self.pings.insert(token, (to.id, None));
        self.link(now, to);
        self.say_ping(to, token, service);
        Ok(token)
    }

    /// The way to a server, made if there was none.
    pub(super) fn link(&mut self, now: Time, to: EndpointKey) {
        self.links.entry(to).or_insert_with(|| Link {
            control: VecDeque::new(),
            to_send: VecDeque::new(),
            open: BTreeSet::new(),
            heard: now,
            pinged: now,
            silent: false,
            ttl: Duration::from_secs(6),
        });
    }

    pub(in crate::services) fn take_standing(
        &mut self,
        token: u64,
    ) -> Option<Option<(Offer, Stats)>> {
        self.pings.get(&token)?.1.as_ref()?;
        self.pings.remove(&token)?.1
    }

    /// The next message for a server, written into `out`: cancels and questions first. `offset` is
    /// how far the server's clock is ahead of ours at least, in µs. False if there is none.
    pub(in crate::services) fn next_message(
        &mut self,
        to: EndpointKey,
        offset: i64,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(link) = self.links.get_mut(&to) else { return false };
        out.clear();
        if let Some(bytes) = link.control.front() {
            out.extend_from_slice(bytes);
            return true;
        }
        loop {
            let Some(id) = link.to_send.front().copied() else { return false };
            let open = self.calls.get_mut(&id).and_then(|call| {
                let deadline = call.target(to).filter(|it| !it.over && it.queued);
                deadline.map(|it| it.deadline).map(|deadline| (deadline, call))
            });
            let Some((deadline, call)) = open else {
                link.to_send.pop_front();
                continue;
            };
            let spec = &call.spec;
            let server_us = i128::from(deadline.micros()) + i128::from(offset);
            let properties = spec.properties.iter().map(|(k, v)| (k.as_str(), v.as_str()));
            let request = wire::Request {
                server: to.incarnation,
                incarnation: self.own.incarnation,
                call: id,
                attempt: spec.sent_before + call.attempts + 1,
                deadline_us: u64::try_from(server_us).unwrap_or(0),
                address: match &spec.settings.address {
                    Address::Any => Address::Any,
                    Address::Endpoint(id) => Address::Endpoint(*id),
                    Address::Group(group) => Address::Group(group.as_str()),
                },
                service: &call.service,
                version: &spec.settings.version,
                key: spec.key.as_deref(),
                hops: spec.hops.clone(),
                properties: properties.collect(),
                frames: spec.frames.iter().map(|frame| &frame[..]).collect(),
            };
            request.encode(out);
            return true;
        }
    }

    /// The message that [`Callers::next_message`] gave has left.
    pub(in crate::services) fn sent(&mut self, now: Time, to: EndpointKey, tally: &mut Tally) {
        let Some(link) = self.links.get_mut(&to) else { return };
        if link.control.pop_front().is_some() {
            return;
        }
        let Some(id) = link.to_send.pop_front() else { return };
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.attempts += 1;
        call.tried.insert(to);
        tally.requests_sent += 1;
        let attempt = call.spec.sent_before + call.attempts;
        if let Some(target) = call.target(to) {
            target.attempt = attempt;
            target.sent.get_or_insert(now);
            target.queued = false;
        }
    }

    /// The way to a server is full.
    pub(in crate::services) fn on_full(&self, tally: &mut Tally) {
        tally.service_lanes_full += 1;
    }

    /// Whether anything is open at an endpoint, or waits to go there.
    pub(in crate::services) fn needs(&self, key: EndpointKey) -> bool {
        self.links.get(&key).is_some_and(|link| {
            !link.open.is_empty() || !link.control.is_empty() || !link.to_send.is_empty()
        })
    }
}
