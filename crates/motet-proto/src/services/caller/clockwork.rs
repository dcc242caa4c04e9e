//! Time → attempts and calls that are over, questions to the silent.

use super::*;

impl Callers {
    pub(in crate::services) fn deadline(&self) -> Option<Time> {
        let calls = self.due.first().map(|(at, _)| *at);
        let links = (self.links_due < Time::NEVER).then_some(self.links_due);
        calls.into_iter().chain(links).min()
    }

    pub(in crate::services) fn on_time(
        &mut self,
        now: Time,
        directory: &mut Directory,
        rng: &mut Rng,
        tally: &mut Tally,
    ) {
        while let Some((at, id)) = self.due.first().copied()
            && at <= now
        {
            self.due.pop_first();
            if let Some(call) = self.calls.get_mut(&id) {
                call.due = Time::NEVER;
            }
            self.call_due(now, id, directory, rng, tally);
        }
        if self.links_due > now {
            return;
        }
        let awaited = |link: &Link| !link.open.is_empty() && !link.silent;
        let next = |link: &Link| link.pinged.max(link.heard) + link.ttl / 3;
        let due: Vec<EndpointKey> = self
            .links
            .iter()
            .filter(|(_, link)| awaited(link) && next(link) <= now)
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            self.link_due(now, key, directory);
        }
        let left = self.links.values().filter(|link| awaited(link)).map(next);
        self.links_due = left.min().unwrap_or(Time::NEVER);
    }

    pub(super) fn call_due(
        &mut self,
        now: Time,
        id: u64,
        directory: &mut Directory,
        rng: &mut Rng,
        tally: &mut Tally,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.deadline <= now {
            let kind = match (&call.said, call.is_asking()) {
                (Some(said), false) => said.clone(),
                _ if call.tried.is_empty() => FailureKind::NoResponders,
                _ => FailureKind::TimedOut,
            };
            if let Mode::All(_) = call.spec.settings.mode {
                let (asked, answered) = (call.tried.len(), call.answered);
                return self.end(now, id, CallOutput::End { asked, answered }, directory);
            }
            return self.end_failed(now, id, kind, directory);
        }
        if call.pause.is_some_and(|until| until <= now) {
            call.pause = None;
            return self.again(now, id, directory);
        }
        let late: Vec<EndpointKey> = call
            .targets
            .iter_mut()
            .filter(|it| !it.over && !it.late && it.until <= now)
            .map(|it| {
                it.late = true;
                it.key
            })
            .collect();
        for key in late {
            self.on_late(now, id, key, directory, tally);
        }
        if self.calls.get(&id).is_some_and(|call| call.is_answered()) {
            return self.survey_over(now, id, directory);
        }
        // It waits, and now it is clear that nobody comes.
        if self.calls.get(&id).is_some_and(|call| call.waits && !call.is_asking()) {
            self.pursue(now, id, directory, rng);
        }
        self.rearm(id, directory);
    }

    /// An attempt has not been answered in time.
    pub(super) fn on_late(
        &mut self,
        now: Time,
        id: u64,
        key: EndpointKey,
        directory: &mut Directory,
        tally: &mut Tally,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let service = call.service.clone();
        call.failed.insert(key);
        if let Some(instance) = directory.instance(&service, key) {
            instance.pace.on_failure(now);
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        let more = call.attempts < u64::from(call.spec.settings.tries);
        match call.spec.settings.mode {
            Mode::Ordered(_) => {
                let single = call.tried.len() == 1;
                if single && !more {
                    // A single instance had all its tries, unless others are there.
                    call.waits = false;
                    let others = directory.service(now, &service);
                    let settings = &call.spec.settings;
                    let mut others = others.candidates(now, settings, &BTreeSet::new());
                    if let Some(book) = settings.book {
                        others.retain(|it| self.books.lists(book, it.key.id));
                    }
                    if others.len() <= 1 {
                        return self.end_failed(now, id, FailureKind::TimedOut, directory);
                    }
                }
                tally.calls_repeated += 1;
                self.again(now, id, directory);
            }
            Mode::One => {
                let safe = call.target(key).is_some_and(|it| it.safe);
                let keyed = call.spec.key.is_some();
                if !more || !(safe || keyed) {
                    return self.end_failed(now, id, FailureKind::TimedOut, directory);
                }
                tally.calls_repeated += 1;
                if safe {
                    return self.again(now, id, directory);
                }
                // With a key it is the same instance that is asked again: it knows the deed.
                let offer = directory.instance(&service, key).map(|it| it.offer.clone());
                match offer {
                    Some(offer) => {
                        self.aim(now, id, key, &offer, directory);
                        self.rearm(id, directory);
                    }
                    None => self.end_failed(now, id, FailureKind::TimedOut, directory),
                }
            }
            _ => {}
        }
    }

    /// A server with open requests has been quiet for a while: it is asked, then given up (V-32).
    pub(super) fn link_due(&mut self, now: Time, key: EndpointKey, directory: &mut Directory) {
        let Some(link) = self.links.get_mut(&key) else { return };
        link.pinged = now;
        if now.since(link.heard) >= link.ttl {
            link.silent = true;
            directory.on_silence(now, key);
            let open: Vec<u64> = link.open.iter().copied().collect();
            for id in open.into_iter().rev() {
                self.on_stalled(now, id, key, directory);
            }
            return;
        }
        let service = directory.of(key).first().cloned().unwrap_or_else(|| "".into());
        self.say_ping(key, 0, &service);
    }

    /// The server that has a call stalls: another gets it, if that is allowed.
    pub(super) fn on_stalled(
        &mut self,
        now: Time,
        id: u64,
        key: EndpointKey,
        directory: &mut Directory,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (keyed, streaming) = (call.spec.key.is_some(), call.from.is_some());
        let Some(target) = call.target(key).filter(|it| !it.over) else { return };
        let elsewhere = target.sent.is_none() || target.safe || keyed && target.broker;
        if elsewhere && !streaming {
            if target.sent.is_some() {
                self.say_cancel(key, id);
            }
            self.on_lost(now, id, key, true, directory);
        }
    }

    /// Puts the next thing to do for a call into the table of deadlines.
    pub(super) fn rearm(&mut self, id: u64, directory: &Directory) {
        let heard = self.heard();
        let Some(call) = self.calls.get_mut(&id) else { return };
        let answered = self.settled && call.is_answered();
        // Most calls need no look: they are with somebody.
        let look = call.waits || answered;
        let entry = look.then(|| directory.services.get(&call.service)).flatten();
        let empty = entry.filter(|_| call.waits);
        let empty = empty.and_then(|it| heard.empty_at(it));
        let empty = match (call.spec.settings.book, call.lacks) {
            (Some(book), Some(since)) => self.books.empty_at(Some(book), since, empty),
            _ => empty,
        };
        let over = entry.filter(|_| answered);
        let over = over.map_or(Time::NEVER, |it| heard.asked_at(it));
        let due = over.min(call.next_due(empty));
        if due != call.due {
            self.due.remove(&(call.due, id));
            call.due = due;
            self.due.insert((due, id));
        }
    }
}
