//! Calls → instances.

use super::*;

impl Callers {
    /// Gives waiting calls to instances.
    pub(in crate::services) fn work(
        &mut self,
        now: Time,
        directory: &mut Directory,
        rng: &mut Rng,
    ) {
        while let Some(service) = self.feed.pop_first() {
            self.feed_one(now, &service, None, directory, rng);
            for book in self.books.of(&service) {
                self.feed_one(now, &service, Some(book), directory, rng);
            }
        }
    }

    /// Gives the calls that wait in one line: those of a service, or of a book.
    fn feed_one(
        &mut self,
        now: Time,
        service: &Arc<str>,
        book: Option<BookId>,
        directory: &mut Directory,
        rng: &mut Rng,
    ) {
        let mut skipped = Vec::new();
        while let Some(waiting) = self.books.waiting(now, service, book, directory)
            && let Some(id) = waiting.pop_front()
        {
            let Some(call) = self.calls.get_mut(&id) else { continue };
            if !call.waits {
                continue;
            }
            if self.pursue(now, id, directory, rng) {
                continue;
            }
            let plain = self.calls.get(&id).is_some_and(|call| call.is_plain());
            skipped.push(id);
            if plain || skipped.len() >= SKIPS_MAX {
                break;
            }
        }
        if let Some(waiting) = self.books.waiting(now, service, book, directory) {
            for id in skipped.into_iter().rev() {
                waiting.push_front(id);
            }
        }
    }

    /// Finds an instance for a call that waits; false if it goes on waiting.
    pub(super) fn pursue(
        &mut self,
        now: Time,
        id: u64,
        directory: &mut Directory,
        rng: &mut Rng,
    ) -> bool {
        let Some(call) = self.calls.get_mut(&id) else { return true };
        if call.pause.is_some_and(|until| until > now) {
            return true; // it comes back by its deadline
        }
        call.pause = None;
        let service = call.service.clone();
        let entry = directory.service(now, &service);
        let nobody = BTreeSet::new();
        let avoid = if call.is_one() { &call.failed } else { &nobody };
        let mut candidates = entry.candidates(now, &call.spec.settings, avoid);
        // V-14: what a broker may have given away is for another broker to find.
        let brokered = call.targets.iter().any(|it| it.broker && it.sent.is_some());
        if brokered && call.spec.key.is_some() && !call.spec.settings.safe {
            candidates.retain(|it| it.offer.role == Role::Broker);
        }
        if let Some(book) = call.spec.settings.book {
            candidates.retain(|it| self.books.lists(book, it.key.id)); // V-50
        }
        call.lonely = false;
        if candidates.is_empty() {
            return self.nobody(now, id, directory);
        }
        call.lacks = None;
        let mode = call.spec.settings.mode;
        let chosen: Vec<(EndpointKey, Offer)> = match mode {
            Mode::One => {
                let Some(key) = choose(now, &candidates, rng) else { return false };
                let step = stride(now, &candidates, key);
                let offer = candidates.iter().find(|it| it.key == key).map(|it| it.offer.clone());
                let Some(offer) = offer else { return false };
                let clock = entry.clock;
                if let Some(instance) = entry.instances.get_mut(&key) {
                    let pace = &mut instance.pace;
                    let from = pace.clock.max(clock.saturating_sub(16 * step));
                    pace.clock = from.saturating_add(step);
                    entry.clock = clock.max(from);
                }
                [(key, offer)].into()
            }
            Mode::First(n) => {
                let n = if n == 0 { usize::MAX } else { n as usize };
                let mut all: Vec<_> = candidates.iter().collect();
                all.sort_by_key(|it| (it.doubtful, it.pace.outstanding, it.pace.clock, it.key));
                all.into_iter().take(n).map(|it| (it.key, it.offer.clone())).collect()
            }
            Mode::All(_) => {
                let given = |key| call.targets.iter().any(|target| target.key == key);
                let new = candidates.iter().filter(|it| !given(it.key));
                new.map(|it| (it.key, it.offer.clone())).collect()
            }
            Mode::Ordered(_) => {
                let single = candidates.len() == 1;
                let mut all: Vec<_> = candidates.iter().collect();
                // PL-4: whoever failed last is not the first to be asked.
                all.sort_by_key(|it| (it.pace.avoid.0 > now, it.key));
                let given = |key| call.targets.iter().any(|target| target.key == key);
                let next = all.into_iter().find(|it| single || !given(it.key));
                next.map(|it| (it.key, it.offer.clone())).into_iter().collect()
            }
        };
        if chosen.is_empty() {
            if matches!(mode, Mode::All(_)) {
                // Those that come later are asked, too.
                return false;
            }
            call.waits = false;
            self.exhausted(now, id, directory);
            return true;
        }
        call.waits = matches!(mode, Mode::All(_));
        for (key, offer) in chosen {
            self.aim(now, id, key, &offer, directory);
        }
        self.rearm(id, directory);
        !matches!(mode, Mode::All(_))
    }

    pub(super) fn aim(
        &mut self,
        now: Time,
        id: u64,
        key: EndpointKey,
        offer: &Offer,
        directory: &mut Directory,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let target = call.aim(now, key, offer);
        let ttl = call.spec.settings.ttl;
        let known = match call.target(key) {
            Some(known) => {
                let (open, sent, next_part) = (!known.over, known.sent, known.next_part);
                let attempt = known.attempt;
                *known = if open { Target { sent, next_part, attempt, ..target } } else { target };
                open
            }
            None => {
                call.targets.push(target);
                false
            }
        };
        let service = call.service.clone();
        let link = self.links.entry(key).or_insert_with(|| Link {
            control: VecDeque::new(),
            to_send: VecDeque::new(),
            open: BTreeSet::new(),
            heard: now,
            pinged: now,
            silent: false,
            ttl,
        });
        if link.open.is_empty() {
            // Silence counts from when an answer was first awaited.
            (link.heard, link.pinged, link.ttl) = (now, now, ttl);
        }
        link.ttl = link.ttl.min(ttl);
        self.links_due = self.links_due.min(link.pinged.max(link.heard) + link.ttl / 3);
        link.open.insert(id);
        link.to_send.push_back(id);
        self.dirty.insert(key);
        if !known && let Some(instance) = directory.instance(&service, key) {
            instance.pace.outstanding += 1;
            instance.pace.oldest.get_or_insert(now);
        }
    }

    /// There is no instance that may get the call: it waits, or ends (V-10). True if it ended.
    pub(super) fn nobody(&mut self, now: Time, id: u64, directory: &mut Directory) -> bool {
        let heard = self.heard();
        let Some(call) = self.calls.get_mut(&id) else { return true };
        if call.is_asking() {
            return false;
        }
        call.lonely = true;
        let since = *call.lacks.get_or_insert(now);
        let (wait, book) = (call.spec.settings.wait, call.spec.settings.book);
        let told = book.is_none_or(|book| self.books.ask_for(book, since));
        let over = match wait {
            WaitFor::Nothing => told,
            WaitFor::Deadline => false,
            WaitFor::Settled => {
                let entry = directory.services.get(&call.service);
                let empty = entry.and_then(|entry| heard.empty_at(entry));
                let empty = self.books.empty_at(book, since, empty);
                empty.is_some_and(|at| at <= now)
            }
        };
        let survey = matches!(call.spec.settings.mode, Mode::All(_));
        if survey {
            // A survey takes its time: who comes late is asked, too.
            self.rearm(id, directory);
            return false;
        }
        if over {
            let kind = call.said.take().unwrap_or(FailureKind::NoResponders);
            self.end_failed(now, id, kind, directory);
            return true;
        }
        self.rearm(id, directory);
        false
    }

    /// All that may be tried was tried.
    pub(super) fn exhausted(&mut self, now: Time, id: u64, directory: &mut Directory) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if call.is_asking() && call.targets.iter().any(|it| !it.over && !it.late) {
            return;
        }
        let kind = call.said.take().unwrap_or(FailureKind::TimedOut);
        self.end_failed(now, id, kind, directory);
    }

    /// Puts a call back among those that wait: at the front, for it has waited before (BK-21).
    pub(super) fn again(&mut self, now: Time, id: u64, directory: &mut Directory) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        if !core::mem::replace(&mut call.waits, true) {
            call.lacks = Some(now);
            let (service, book) = (call.service.clone(), call.spec.settings.book);
            if let Some(waiting) = self.books.waiting(now, &service, book, directory) {
                waiting.push_front(id);
            }
            self.feed.insert(service);
        }
        self.rearm(id, directory);
    }

    pub(super) fn pause(&mut self, now: Time, id: u64, directory: &Directory, rng: &mut Rng) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (first, longest) = call.spec.settings.backoff;
        call.pause = Some(now + backoff(first, longest, call.pauses, rng.unit()));
        call.pauses += 1;
        call.failed.clear();
        call.waits = false;
        self.rearm(id, directory);
    }

    /// The instance no longer has this call.
    pub(super) fn release(
        &mut self,
        key: EndpointKey,
        id: u64,
        service: &Arc<str>,
        directory: &mut Directory,
    ) {
        let Some(link) = self.links.get_mut(&key) else { return };
        if !link.open.remove(&id) {
            return;
        }
        let oldest = link.open.first().copied();
        let sent = oldest
            .and_then(|oldest| self.calls.get(&oldest))
            .and_then(|call| call.targets.iter().find(|it| it.key == key)?.sent);
        if let Some(instance) = directory.instance(service, key) {
            instance.pace.outstanding = instance.pace.outstanding.saturating_sub(1);
            instance.pace.oldest = if instance.pace.outstanding == 0 { None } else { sent };
        }
        self.feed.insert(service.clone());
    }
}
