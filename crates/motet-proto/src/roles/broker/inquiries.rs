//! Where a key is: before a request is given that somebody may have begun, all servers are asked
//! (B-17). One that has it gets it; if none has, each promises not to begin it for anybody who asked
//! earlier, and one of them gets it. So of two brokers that both ask, at most one begins it.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::claims::Way;
use super::task::{Inquiry, Refusal, Standing, Task, TaskId};
use super::{Action, Broker};
use crate::ids::EndpointKey;
use crate::time::Time;
use motet_wire::service::{Finding, Found};

/// Longest pause after another broker has asked later.
const YIELD_FOR: Duration = Duration::from_millis(50);
/// Two brokers' numbers differ by the questions that one has asked more; by so many they cannot.
const AHEAD_MAX: u64 = 1 << 32;
/// A worker that names such a number is given nothing for so long.
const ABSURD_RESTS: Duration = Duration::from_secs(5);
/// Without an answer the question is put once more.
const REMIND_AFTER: Duration = Duration::from_secs(1);

impl Broker {
    /// All servers that can be known are known: inquiries may begin. Until then requests that were
    /// sent before wait.
    pub fn settled(&mut self, now: Time) {
        if core::mem::replace(&mut self.settled, true) {
            return;
        }
        let asking = self.tasks.iter().filter(|(_, it)| matches!(it.standing, Standing::Asking(_)));
        let asking: Vec<TaskId> = asking.map(|(task, _)| *task).collect();
        for task in asking {
            self.ask(now, task);
        }
    }

    /// Whether a peer acts on its key, so that it is for that one to ask.
    pub(super) fn goes_to_a_peer(&self, entry: &Task) -> bool {
        matches!(self.way(entry), Way::To(given) if given.forward)
    }

    /// Asks all servers where the key of a task is.
    pub(super) fn ask(&mut self, now: Time, task: TaskId) {
        let Some(entry) = self.tasks.get_mut(&task) else { return };
        entry.standing = Standing::Asking(Inquiry::new(now, 0));
        if !self.settled {
            return;
        }
        self.number = self.number.saturating_add(1);
        let number = self.number;
        entry.standing = Standing::Asking(Inquiry::new(now, number));
        self.asking.insert(number, task);
        self.meter.counters.inquiries += 1;
        self.ask_more(now, task);
    }

    /// Asks those that were not asked yet; if all have promised, the task may be given.
    fn ask_more(&mut self, now: Time, task: TaskId) {
        let Some(entry) = self.tasks.get_mut(&task) else { return };
        let Standing::Asking(inquiry) = &mut entry.standing else { return };
        if !inquiry.waiting.is_empty() || inquiry.again_at.is_some() {
            return;
        }
        let all = self.pool.all(&entry.asked.service);
        let asked =
            |key: &EndpointKey| inquiry.promised.contains(key) || inquiry.absurd.contains(key);
        let new: Vec<EndpointKey> = all.iter().filter(|key| !asked(key)).copied().collect();
        if new.is_empty() && inquiry.promised.is_empty() && !inquiry.absurd.is_empty() {
            // Nobody is left who makes sense.
            let (number, again_at) = (inquiry.number, Some(now + YIELD_FOR));
            entry.standing = Standing::Asking(Inquiry { again_at, ..Inquiry::new(now, 0) });
            self.asking.remove(&number);
            return;
        }
        if new.is_empty() || crate::planted::on("broker_never_asks") {
            let (number, promised) = (inquiry.number, core::mem::take(&mut inquiry.promised));
            let promised = if new.is_empty() { promised } else { all };
            return self.clear(now, task, number, promised);
        }
        inquiry.waiting.extend(&new);
        let (number, until) = (inquiry.number, entry.asked.deadline);
        let service = Arc::clone(&entry.asked.service);
        let key = entry.asked.key.clone().unwrap_or_default();
        for to in new {
            let (service, key) = (Arc::clone(&service), key.clone());
            self.out.push_back(Action::Inquire { to, number, service, key, until });
        }
    }

    /// Nobody who lives has begun it.
    fn clear(&mut self, now: Time, task: TaskId, number: u64, promised: BTreeSet<EndpointKey>) {
        self.asking.remove(&number);
        let Some(entry) = self.tasks.get_mut(&task) else { return };
        entry.standing = Standing::Clear(number, promised);
        if entry.lost && !entry.asked.repeatable {
            return self.refuse(task, Refusal::Unknown);
        }
        self.at_the_front(now, task);
    }

    fn at_the_front(&mut self, now: Time, task: TaskId) {
        let Some(entry) = self.tasks.get(&task) else { return };
        let service = Arc::clone(&entry.asked.service);
        self.services.entry(Arc::clone(&service)).or_default().queue.push_front(task);
        self.dispatch(now, &service);
    }

    /// What a worker says of a key.
    pub fn found(&mut self, now: Time, from: EndpointKey, finding: Finding) {
        self.heard(now, from);
        let Some(task) = self.asking.get(&finding.number).copied() else { return };
        let Some(entry) = self.tasks.get_mut(&task) else { return };
        let Standing::Asking(inquiry) = &mut entry.standing else { return };
        if !inquiry.waiting.remove(&from) {
            return;
        }
        match finding.found {
            Found::Promised => {
                inquiry.promised.insert(from);
                self.ask_more(now, task);
            }
            Found::Here => {
                entry.standing = Standing::Held(from);
                self.asking.remove(&finding.number);
                self.at_the_front(now, task);
            }
            Found::Elsewhere if finding.promised > self.number.saturating_add(AHEAD_MAX) => {
                inquiry.absurd.insert(from);
                let service = Arc::clone(&entry.asked.service);
                self.meter.counters.absurd += 1;
                self.pool.rest(&service, from, now + ABSURD_RESTS);
                self.ask_more(now, task);
            }
            Found::Elsewhere => {
                let pause = YIELD_FOR.mul_f64(self.rng.unit());
                let waits = Inquiry { again_at: Some(now + pause), ..Inquiry::new(now, 0) };
                entry.standing = Standing::Asking(waits);
                self.asking.remove(&finding.number);
                self.number = self.number.max(finding.promised);
            }
        }
    }

    /// A worker is gone: it answers nothing any more.
    pub(super) fn ask_no_longer(&mut self, now: Time, gone: EndpointKey) {
        let asking: Vec<TaskId> = self.asking.values().copied().collect();
        for task in asking {
            let Some(entry) = self.tasks.get_mut(&task) else { continue };
            if let Standing::Asking(inquiry) = &mut entry.standing {
                inquiry.promised.remove(&gone);
                if inquiry.waiting.remove(&gone) {
                    self.ask_more(now, task);
                }
            }
        }
    }

    /// Those that have not answered for long are asked once more; the question is the same.
    pub(super) fn remind(&mut self, now: Time) {
        let asking: Vec<TaskId> = self.asking.values().copied().collect();
        for task in asking {
            let Some(entry) = self.tasks.get_mut(&task) else { continue };
            let Standing::Asking(inquiry) = &mut entry.standing else { continue };
            if now.since(inquiry.asked_at) < REMIND_AFTER {
                continue;
            }
            inquiry.asked_at = now;
            for to in inquiry.waiting.iter().copied() {
                self.out.push_back(Action::Inquire {
                    to,
                    number: inquiry.number,
                    service: Arc::clone(&entry.asked.service),
                    key: entry.asked.key.clone().unwrap_or_default(),
                    until: entry.asked.deadline,
                });
            }
        }
    }

    /// Those that another asked for later are asked for again.
    pub(super) fn ask_again(&mut self, now: Time) {
        let due = |entry: &Task| match &entry.standing {
            Standing::Asking(inquiry) => inquiry.again_at.is_some_and(|at| at <= now),
            _ => false,
        };
        let due = self.tasks.iter().filter(|(_, entry)| due(entry)).map(|(task, _)| *task);
        for task in due.collect::<Vec<_>>() {
            self.ask(now, task);
        }
    }
}
